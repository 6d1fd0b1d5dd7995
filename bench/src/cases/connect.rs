//! Clients come, join their namespace and go again.

use std::time::{Duration, Instant};

use super::{Case, Figure, Scale};
use crate::Result;
use crate::load::swarm::{Nothing, Swarm};
use crate::load::times::Times;
use crate::servers::Server;

pub(crate) struct Connect {
    pub(crate) at_once: usize,
}

impl Case for Connect {
    fn name(&self) -> String {
        "connect".to_owned()
    }

    fn title(&self) -> String {
        "connect by WebSocket, join the namespace, go".to_owned()
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per client"
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut times = Times::default();
        self.come_and_go(server, scale.warm, &mut Times::default())?;
        let (cpu, started) = (server.cpu()?, Instant::now());
        let done = self.come_and_go(server, scale.window, &mut times)?;
        let (wall, cpu) = (started.elapsed(), server.cpu_since(cpu)?);
        Ok(vec![
            ("cpu_us", cpu.as_secs_f64() * 1e6 / done as f64),
            ("per_second", done as f64 / wall.as_secs_f64()),
            ("p50_us", times.quantile(0.5)),
            ("p99_us", times.quantile(0.99)),
        ])
    }
}

impl Connect {
    fn come_and_go(&self, server: &Server, time: Duration, times: &mut Times) -> Result<usize> {
        let mut swarm = Swarm::new(server.address)?;
        let (started, mut done) = (Instant::now(), 0);
        let mut began = vec![started; self.at_once];
        swarm.grow(self.at_once)?;
        while started.elapsed() < time {
            for (who, began) in began.iter_mut().enumerate() {
                if swarm.clients.has_joined(who) {
                    times.add(began.elapsed());
                    done += 1;
                    swarm.clients.hang_up(who);
                    *began = Instant::now();
                    swarm.dial(who)?;
                }
            }
            swarm.turn(&mut Nothing, Some(Duration::from_secs(1)))?;
        }
        Ok(done)
    }
}
