//! What clients cost that have joined and do nothing, in waves that come and go.

use std::time::{Duration, Instant};

use super::{Case, Figure, Scale};
use crate::load::swarm::{Nothing, Swarm};
use crate::servers::{Contestant, Server};
use crate::spread::Spread;
use crate::{Result, fail};

/// A server has this long to notice that a wave has gone.
const SETTLE: Duration = Duration::from_millis(1500);

pub(crate) struct Idle {
    pub(crate) clients: usize,
    /// In the short form not more than three. The median of the second half of them shows whether
    /// memory is lost.
    pub(crate) waves: usize,
}

impl Case for Idle {
    fn name(&self) -> String {
        format!("idle-{}", self.clients)
    }

    fn title(&self) -> String {
        format!("memory of an idle connection with its namespace, of {}", self.clients)
    }

    fn unit(&self) -> &'static str {
        "KiB resident per connection"
    }

    /// The slow servers take half a minute to let 10,000 in and out, again and again.
    fn is_short(&self) -> bool {
        self.clients <= 1_000
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        // What is made once is not a connection's.
        let mut one = Swarm::new(server.address)?;
        one.grow(1)?;
        drop(one);
        std::thread::sleep(SETTLE);
        let empty = server.resident_kib()?;
        let waves = if scale.short { self.waves.min(3) } else { self.waves };
        let mut each = vec![self.wave(server, empty)?];
        for _ in 1..waves {
            std::thread::sleep(SETTLE);
            each.push(self.wave(server, empty)?);
        }
        let mut figures = vec![("kib", each[0])];
        // What an allocator keeps differs from wave to wave; what is lost in each adds up.
        let late = Spread::of(each.split_off(waves.div_ceil(2)).into_iter());
        figures.extend(late.map(|late| ("kib_late_waves", late.median)));
        Ok(figures)
    }
}

impl Idle {
    /// The memory of each client while all are there.
    fn wave(&self, server: &Server, empty: f64) -> Result<f64> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(self.clients)?;
        let each = (server.resident_kib()? - empty) / self.clients as f64;
        rest(&mut swarm, Duration::from_millis(100))?;
        Ok(each)
    }
}

/// Clients that do nothing for a while: nothing but pings may come.
fn rest(swarm: &mut Swarm, time: Duration) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < time {
        swarm.turn(&mut Nothing, Some(Duration::from_millis(100)))?;
    }
    Ok(())
}

/// What idle clients cost in CPU, which is their pings.
pub(crate) struct Pings {
    pub(crate) clients: usize,
}

/// How often all servers ping, as all do unless told otherwise.
const INTERVAL: Duration = Duration::from_secs(25);

impl Case for Pings {
    fn name(&self) -> String {
        "idle-pings".to_owned()
    }

    fn title(&self) -> String {
        let seconds = INTERVAL.as_secs();
        format!("{} idle connections with pings every {seconds} s", self.clients)
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per connection and second"
    }

    fn is_short(&self) -> bool {
        false
    }

    /// The bare servers send no pings.
    fn takes(&self, server: &Contestant) -> bool {
        !server.name.starts_with("floor")
    }

    fn run(&self, server: &Server, _: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(self.clients)?;
        rest(&mut swarm, SETTLE)?;
        let (cpu, pings, started) = (server.cpu()?, swarm.clients.pings(), Instant::now());
        rest(&mut swarm, INTERVAL)?;
        let (wall, cpu) = (started.elapsed(), server.cpu_since(cpu)?);
        let pings = (swarm.clients.pings() - pings) as f64;
        let wanted = self.clients as f64;
        if (pings - wanted).abs() > wanted / 20.0 {
            return fail(format!("{pings} pings came in {wall:?}, not one for each client"));
        }
        Ok(vec![
            ("cpu_us", cpu.as_secs_f64() * 1e6 / wanted / wall.as_secs_f64()),
            ("pings_per_second", pings / wall.as_secs_f64()),
        ])
    }
}
