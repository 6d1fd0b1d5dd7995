//! Clients join rooms and leave them again: what that costs when it never stops, and how long it
//! takes at a pace.

use std::time::{Duration, Instant};

use super::acks::{self, Acks};
use super::measure::{Count, Counted, measure};
use super::{Case, Figure, Scale};
use crate::load::pace::Pace;
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::servers::Server;
use crate::{Result, fail};

const CLIENTS: usize = 100;
const ROOMS: u64 = 100;
const IN_FLIGHT: u64 = 16;
const PER_SECOND: u32 = 10_000;
/// Answers that one client may wait for. A server that is too slow for the pace is asked less, and
/// `paced_per_second` tells.
const UNDER_WAY_MAX: usize = 80;

pub(crate) struct Churn;

impl Case for Churn {
    fn name(&self) -> String {
        "churn".to_owned()
    }

    fn title(&self) -> String {
        format!(
            "join or leave a room with ack, {CLIENTS} clients, {IN_FLIGHT} in flight; then \
             {PER_SECOND} a second"
        )
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per join or leave"
    }

    fn is_short(&self) -> bool {
        false
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(CLIENTS)?;
        let mut churning = Churning {
            movers: vec![Acks::default(); CLIENTS],
            pace: None,
            next: 0,
            count: Count::default(),
        };
        for who in 0..CLIENTS {
            for _ in 0..IN_FLIGHT {
                churning.go(who, Instant::now(), &mut swarm.clients);
            }
        }
        let ceaseless = measure(&mut swarm, &mut churning, server, scale)?;
        churning.pace = Some(Pace::new(PER_SECOND));
        churning.count.over = false;
        let paced = measure(&mut swarm, &mut churning, server, scale)?;
        let overtaken = acks::overtaken_percent(server, churning.movers.iter())?;
        Ok(vec![
            ("cpu_us", ceaseless.cpu_us()),
            ("per_second", ceaseless.rate()),
            ("paced_cpu_us", paced.cpu_us()),
            ("paced_per_second", paced.rate()),
            ("p50_us", churning.count.times.quantile(0.5)),
            ("p99_us", churning.count.times.quantile(0.99)),
            ("overtaken_percent", overtaken),
        ])
    }
}

struct Churning {
    movers: Vec<Acks>,
    /// Without one, every answer is followed by the next move.
    pace: Option<Pace>,
    /// Who is next at a pace.
    next: usize,
    count: Count,
}

impl Churning {
    /// Joins a room, and leaves it the next time.
    fn go(&mut self, who: usize, due: Instant, clients: &mut Clients) {
        let mover = &mut self.movers[who];
        let event = if mover.sent().is_multiple_of(2) { "join" } else { "leave" };
        let room = (who as u64 + mover.sent() / 2) % ROOMS;
        let packet = format!(r#"2{}["{event}","r{room:03}"]"#, mover.send(due));
        self.count.begun += 1;
        clients.send(who, packet.as_bytes());
    }
}

impl Play for Churning {
    fn packet(&mut self, who: usize, packet: Packet<'_>, clients: &mut Clients) -> Result<()> {
        let number = match packet {
            Packet::Text(ack) if ack.ends_with(b"[true]") && ack.len() == 9 => acks::number(ack),
            _ => None,
        };
        let Some(number) = number else {
            return fail(format!("client {who} waits for acks and got {packet:?}"));
        };
        self.count.times.add(self.movers[who].answer(number)?.elapsed());
        self.count.done += 1;
        if self.pace.is_none() && !self.count.over {
            self.go(who, Instant::now(), clients);
        }
        Ok(())
    }
}

impl Counted for Churning {
    fn count(&mut self) -> &mut Count {
        &mut self.count
    }

    fn pace(&mut self, swarm: &mut Swarm) -> Result<Option<Duration>> {
        let Some(pace) = &mut self.pace else {
            return Ok(Some(Duration::from_secs(1)));
        };
        let due: Vec<Instant> = std::iter::from_fn(|| pace.next()).collect();
        for due in due {
            let who = self.next;
            self.next = (who + 1) % CLIENTS;
            if self.movers[who].missing() < UNDER_WAY_MAX {
                self.go(who, due, &mut swarm.clients);
            }
        }
        // A timer is too coarse to wait for.
        Ok(Some(Duration::ZERO))
    }
}
