//! What clients cost that have joined and do nothing, in waves that come and go.

use std::time::{Duration, Instant};

use super::{Case, Figure, Scale};
use crate::load::swarm::{Nothing, Swarm};
use crate::servers::Server;
use crate::{Result, fail};

/// A server has this long to notice that a wave has gone.
const SETTLE: Duration = Duration::from_millis(1500);

pub(crate) struct Idle;

impl Case for Idle {
    fn name(&self) -> String {
        "idle".to_owned()
    }

    fn title(&self) -> String {
        "memory of an idle connection with its namespace".to_owned()
    }

    fn unit(&self) -> &'static str {
        "KiB resident per connection"
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        // What is made once is not a connection's.
        let mut one = Swarm::new(server.address)?;
        one.grow(1)?;
        drop(one);
        std::thread::sleep(SETTLE);
        let empty = server.resident_kib()?;
        let (mut first, mut last) = (0.0, 0.0);
        for wave in 0..scale.waves {
            let mut swarm = Swarm::new(server.address)?;
            swarm.grow(scale.idle_clients)?;
            last = (server.resident_kib()? - empty) / scale.idle_clients as f64;
            if wave == 0 {
                first = last;
                settle(&mut swarm)?;
            }
            drop(swarm);
            std::thread::sleep(SETTLE);
        }
        if first == 0.0 {
            return fail("no wave was measured");
        }
        Ok(vec![("kib", first), ("kib_last_wave", last)])
    }
}

/// Sees that nothing is sent to clients that do nothing, for a moment.
fn settle(swarm: &mut Swarm) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < SETTLE {
        swarm.turn(&mut Nothing, Some(Duration::from_millis(100)))?;
    }
    Ok(())
}
