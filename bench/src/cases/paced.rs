//! Events with acks at a fixed pace, whatever the answers do: the delays that users see.

use std::time::Duration;

use super::acks::{self, Acks};
use super::measure::{Count, Counted, measure};
use super::{Case, Figure, Scale};
use crate::load::pace::Pace;
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::servers::Server;
use crate::words::text;
use crate::{Result, fail};

const CLIENTS: usize = 100;
/// Answers that one client may wait for; above it two messages would have one number. A server
/// that is too slow for the pace is asked less, and `per_second` tells.
const UNDER_WAY_MAX: usize = 80;

/// How much longer this is measured than other cases: of a second's events, four are the slowest
/// thousandth.
const LONGER: u32 = 5;

pub(crate) struct Paced {
    pub(crate) per_second: u32,
}

impl Case for Paced {
    fn name(&self) -> String {
        format!("paced-{}", self.per_second)
    }

    fn title(&self) -> String {
        let paced = format!("event with ack, {CLIENTS} clients, {} a second", self.per_second);
        format!("{paced}, measured {LONGER} times as long")
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per event"
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(CLIENTS)?;
        let mut pacing = Pacing::new(CLIENTS, self.per_second);
        let scale = Scale { window: scale.window * LONGER, ..*scale };
        let measured = measure(&mut swarm, &mut pacing, server, &scale)?;
        let overtaken = acks::overtaken_percent(server, pacing.senders.iter())?;
        Ok(vec![
            ("cpu_us", measured.cpu_us()),
            ("per_second", measured.rate()),
            ("p50_us", pacing.count.times.quantile(0.5)),
            ("p99_us", pacing.count.times.quantile(0.99)),
            ("p999_us", pacing.count.times.quantile(0.999)),
            ("overtaken_percent", overtaken),
        ])
    }
}

/// Clients that send in turn at a pace.
pub(super) struct Pacing {
    pace: Pace,
    next: usize,
    /// When an event should have been sent is what counts, so a delay of the generator does too.
    pub(super) senders: Vec<Acks>,
    pub(super) count: Count,
}

impl Pacing {
    pub(super) fn new(clients: usize, per_second: u32) -> Self {
        Self {
            pace: Pace::new(per_second),
            next: 0,
            senders: vec![Acks::default(); clients],
            count: Count::default(),
        }
    }
}

impl Play for Pacing {
    fn packet(&mut self, who: usize, packet: Packet<'_>, _: &mut Clients) -> Result<()> {
        let number = match packet {
            Packet::Text(ack) => acks::number(ack)
                .filter(|number| ack == format!(r#"3{number}["{}"]"#, text(*number)).as_bytes()),
            Packet::Binary(_) | Packet::Deflated(_) => None,
        };
        let Some(number) = number else {
            return fail(format!("client {who} waits for acks and got {packet:?}"));
        };
        self.count.times.add(self.senders[who].answer(number)?.elapsed());
        self.count.done += 1;
        Ok(())
    }
}

impl Counted for Pacing {
    fn count(&mut self) -> &mut Count {
        &mut self.count
    }

    /// Sends all that is due. The turn does not wait: a timer is too coarse.
    fn pace(&mut self, swarm: &mut Swarm) -> Result<Option<Duration>> {
        while let Some(due) = self.pace.next() {
            let who = self.next;
            self.next = (who + 1) % self.senders.len();
            let sender = &mut self.senders[who];
            if sender.missing() == UNDER_WAY_MAX {
                continue;
            }
            let number = sender.send(due);
            self.count.begun += 1;
            let event = format!(r#"2{number}["echo","{}"]"#, text(number));
            swarm.clients.send(who, event.as_bytes());
        }
        Ok(Some(Duration::ZERO))
    }
}
