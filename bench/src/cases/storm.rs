//! All connections are cut at once, and all clients come back at once: how long until all are back,
//! and what that is like for clients that were not cut.
//!
//! The same thread plays those who come back and the others. It looks after the others every few
//! clients, thus about every millisecond, and what it is late itself counts as the server's delay.

use std::time::{Duration, Instant};

use super::acks::overtaken_percent;
use super::measure::Counted;
use super::paced::Pacing;
use super::{Case, Figure, Scale};
use crate::load::swarm::{Nothing, PATIENCE, Swarm};
use crate::load::times::Times;
use crate::servers::Server;
use crate::{Result, fail};

const CLIENTS: usize = 15_000;
/// Clients that come back at the same time: what the shortest queue of a server holds that wait to
/// be accepted (Node's, 511). Above it the kernel drops some for a second, whoever the server is.
const AT_ONCE: usize = 500;
/// Clients that are cut, or dial, between two looks at the others.
const SLICE: usize = 16;
const OTHERS: usize = 20;
const OTHERS_PER_SECOND: u32 = 400;
/// The worst p99 of the others is that of the worst stretch of this length.
const STRETCH: Duration = Duration::from_millis(250);

pub(crate) struct Storm;

impl Case for Storm {
    fn name(&self) -> String {
        "storm".to_owned()
    }

    fn title(&self) -> String {
        format!("{CLIENTS} clients are cut and come back, {AT_ONCE} at a time")
    }

    fn unit(&self) -> &'static str {
        "seconds until all are back"
    }

    fn is_short(&self) -> bool {
        false
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut crowd = Swarm::new(server.address)?;
        crowd.take_short_turns();
        crowd.grow(CLIENTS)?;
        let mut others = Others::new(server)?;
        others.go_on(&mut crowd, scale.warm)?;
        others.forget();
        others.go_on(&mut crowd, scale.window)?;
        let (_, calm) = others.end_stretches();
        let (cpu, cut) = (server.cpu()?, Instant::now());
        for who in 0..CLIENTS {
            crowd.clients.cut(who)?;
            if who % SLICE == 0 {
                others.turn()?;
            }
        }
        others.come_back(&mut crowd)?;
        let (back, cpu) = (cut.elapsed(), server.cpu_since(cpu)?);
        others.go_on(&mut crowd, STRETCH)?;
        others.finish()?;
        let (worst, p99) = others.end_stretches();
        overtaken_percent(server, others.pacing.senders.iter())?;
        Ok(vec![
            ("back_s", back.as_secs_f64()),
            ("cpu_us", cpu.as_secs_f64() * 1e6 / CLIENTS as f64),
            ("worst_p99_us", worst),
            ("p99_us", p99),
            ("calm_p99_us", calm),
        ])
    }
}

/// Those who are not cut, and send events at a pace.
struct Others {
    swarm: Swarm,
    pacing: Pacing,
    began: Instant,
    /// The p99 of each stretch that is over.
    stretches: Vec<f64>,
    times: Times,
}

impl Others {
    fn new(server: &Server) -> Result<Self> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(OTHERS)?;
        let pacing = Pacing::new(OTHERS, OTHERS_PER_SECOND);
        let (stretches, times) = (Vec::new(), Times::default());
        Ok(Self { swarm, pacing, began: Instant::now(), stretches, times })
    }

    fn turn(&mut self) -> Result<()> {
        self.pacing.pace(&mut self.swarm)?;
        self.swarm.turn(&mut self.pacing, Some(Duration::ZERO))?;
        if self.began.elapsed() >= STRETCH {
            self.end_stretch();
        }
        Ok(())
    }

    /// Plays that long, the crowd being silent.
    fn go_on(&mut self, crowd: &mut Swarm, time: Duration) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < time {
            self.turn()?;
            crowd.turn(&mut Nothing, Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Plays until the whole crowd has joined again.
    fn come_back(&mut self, crowd: &mut Swarm) -> Result<()> {
        let (mut dialled, mut joined, mut heard) = (0, 0, Instant::now());
        while joined < CLIENTS {
            let now = (CLIENTS - dialled).min(AT_ONCE - (dialled - joined)).min(SLICE);
            for who in dialled..dialled + now {
                crowd.dial(who)?;
            }
            dialled += now;
            crowd.turn(&mut Nothing, Some(Duration::ZERO))?;
            self.turn()?;
            if crowd.clients.joined() > joined {
                (joined, heard) = (crowd.clients.joined(), Instant::now());
            } else if heard.elapsed() > PATIENCE {
                return fail(format!("only {joined} of {CLIENTS} came back"));
            }
        }
        Ok(())
    }

    /// Waits for the answers that are still to come.
    fn finish(&mut self) -> Result<()> {
        let stopped = Instant::now();
        while self.pacing.under_way() > 0 {
            self.swarm.turn(&mut self.pacing, Some(Duration::from_millis(1)))?;
            if stopped.elapsed() > PATIENCE {
                return fail("answers to those who were not cut never came");
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.pacing.begin();
        self.stretches.clear();
        self.times = Times::default();
        self.began = Instant::now();
    }

    fn end_stretch(&mut self) {
        let mut times = std::mem::take(&mut self.pacing.count.times);
        if times.len() > 0 {
            self.stretches.push(times.quantile(0.99));
            self.times.append(times);
        }
        self.began = Instant::now();
    }

    /// The worst p99 of all stretches, and the p99 of all times, since the last call.
    fn end_stretches(&mut self) -> (f64, f64) {
        self.end_stretch();
        let worst = self.stretches.iter().copied().fold(0.0, f64::max);
        let all = self.times.quantile(0.99);
        self.forget();
        (worst, all)
    }
}
