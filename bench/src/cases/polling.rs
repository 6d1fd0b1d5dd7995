//! An event with its ack over long-polling: clients post, and answer every ack with the next event.

use std::time::{Duration, Instant};

use super::measure::{AFTERMATH, SILENCE, two_digits};
use super::{Case, Figure, Scale};
use crate::load::polling::{Polled, Pollers};
use crate::load::times::Times;
use crate::servers::Server;
use crate::words::text;
use crate::{Result, fail};

const CLIENTS: usize = 100;
const TURN: Duration = Duration::from_millis(100);

pub(crate) struct Polling;

impl Case for Polling {
    fn name(&self) -> String {
        "polling".to_owned()
    }

    fn title(&self) -> String {
        format!("event with ack over polling, {CLIENTS} clients, keep-alive")
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per event"
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut pollers = Pollers::open(server.address, CLIENTS)?;
        let mut echoing = Echoing {
            posters: vec![Poster::default(); CLIENTS],
            done: 0,
            over: false,
            times: Times::default(),
        };
        pollers.begin(&mut echoing)?;
        echoing.go_on(&mut pollers, scale.warm)?;
        echoing.times.clear();
        let (cpu, done, started) = (server.cpu()?, echoing.done, Instant::now());
        echoing.go_on(&mut pollers, scale.window)?;
        let (wall, cpu) = (started.elapsed(), server.cpu_since(cpu)?);
        let done = (echoing.done - done) as f64;
        echoing.finish(&mut pollers)?;
        if done == 0.0 {
            return fail("nothing was done in the time");
        }
        Ok(vec![
            ("cpu_us", cpu.as_secs_f64() * 1e6 / done),
            ("per_second", done / wall.as_secs_f64()),
            ("p50_us", echoing.times.quantile(0.5)),
            ("p99_us", echoing.times.quantile(0.99)),
        ])
    }
}

struct Echoing {
    posters: Vec<Poster>,
    done: u64,
    over: bool,
    times: Times,
}

#[derive(Clone, Default)]
struct Poster {
    answered: u64,
    /// When the event under way was posted.
    since: Option<Instant>,
    /// The post was not taken yet.
    posting: bool,
}

impl Echoing {
    fn go_on(&mut self, pollers: &mut Pollers, time: Duration) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < time {
            pollers.turn(self, TURN)?;
        }
        Ok(())
    }

    /// Sees that every client gets its last answer, and gets it once.
    fn finish(&mut self, pollers: &mut Pollers) -> Result<()> {
        self.over = true;
        let stopped = Instant::now();
        while let Some(who) = self.posters.iter().position(|poster| poster.since.is_some()) {
            pollers.turn(self, TURN)?;
            if stopped.elapsed() > SILENCE {
                let answered = self.posters[who].answered;
                return fail(format!("client {who} had {answered} answers, the next never came"));
            }
        }
        self.go_on(pollers, AFTERMATH)
    }
}

impl Polled for Echoing {
    fn packet(&mut self, who: usize, packet: &[u8]) -> Result<()> {
        let poster = &mut self.posters[who];
        let number = two_digits(poster.answered);
        if packet != format!(r#"3{number}["{}"]"#, text(number)).as_bytes() {
            let packet = String::from_utf8_lossy(packet);
            return fail(format!("client {who} waits for ack {number} and got {packet}"));
        }
        poster.answered += 1;
        self.done += 1;
        self.times.add(poster.since.take().ok_or("an answer too much")?.elapsed());
        Ok(())
    }

    fn taken(&mut self, who: usize) -> Result<()> {
        self.posters[who].posting = false;
        Ok(())
    }

    fn next(&mut self, who: usize) -> Option<String> {
        let poster = &mut self.posters[who];
        if self.over || poster.posting || poster.since.is_some() {
            return None;
        }
        poster.since = Some(Instant::now());
        poster.posting = true;
        let number = two_digits(poster.answered);
        Some(format!(r#"2{number}["echo","{}"]"#, text(number)))
    }
}
