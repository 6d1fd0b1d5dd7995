//! Events with acks at a fixed pace, whatever the answers do: the delays that users see.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Case, Counted, Figure, Scale, measure, two_digits};
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::load::times::Times;
use crate::servers::Server;
use crate::{Result, fail};

const CLIENTS: usize = 100;
/// Answers that one client may wait for; above it two messages would have one number.
const UNDER_WAY_MAX: u64 = 90;

pub(crate) struct Paced {
    pub(crate) per_second: u32,
}

impl Case for Paced {
    fn name(&self) -> String {
        format!("paced-{}", self.per_second)
    }

    fn title(&self) -> String {
        format!("event with ack, {CLIENTS} clients, {} a second", self.per_second)
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per event"
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(CLIENTS)?;
        let mut pacing = Pacing {
            due: Instant::now(),
            gap: Duration::from_secs(1) / self.per_second,
            next: 0,
            senders: vec![Sender::default(); CLIENTS],
            done: 0,
            times: Times::default(),
        };
        let measured = measure(&mut swarm, &mut pacing, server, scale)?;
        Ok(vec![
            ("cpu_us", measured.cpu_us()),
            ("per_second", measured.rate()),
            ("p50_us", pacing.times.quantile(0.5)),
            ("p99_us", pacing.times.quantile(0.99)),
            ("p999_us", pacing.times.quantile(0.999)),
        ])
    }
}

struct Pacing {
    /// When the next event is to be sent.
    due: Instant,
    gap: Duration,
    next: usize,
    senders: Vec<Sender>,
    done: u64,
    times: Times,
}

#[derive(Clone, Default)]
struct Sender {
    sent: u64,
    answered: u64,
    /// When each should have been sent: a delay of the generator counts too.
    under_way: VecDeque<Instant>,
}

impl Play for Pacing {
    fn packet(&mut self, who: usize, packet: Packet<'_>, _: &mut Clients) -> Result<()> {
        let sender = &mut self.senders[who];
        let number = two_digits(sender.answered);
        let wanted = format!(r#"3{number}["{}"]"#, text(number));
        if !matches!(packet, Packet::Text(ack) if ack == wanted.as_bytes()) {
            return fail(format!("client {who} waits for ack {number} and got {packet:?}"));
        }
        sender.answered += 1;
        self.done += 1;
        let due = sender.under_way.pop_front().ok_or("an answer too much")?;
        self.times.add(due.elapsed());
        Ok(())
    }
}

fn text(number: u64) -> String {
    format!("a message of forty-four characters, number {number}")
}

impl Counted for Pacing {
    fn done(&self) -> u64 {
        self.done
    }

    fn begin(&mut self) {
        self.times.clear();
    }

    /// Sends all that is due. The turn does not wait: a timer is too coarse.
    fn pace(&mut self, swarm: &mut Swarm) -> Result<Option<Duration>> {
        while self.due <= Instant::now() {
            let who = self.next;
            self.next = (who + 1) % self.senders.len();
            let sender = &mut self.senders[who];
            if sender.sent - sender.answered >= UNDER_WAY_MAX {
                return fail("the server cannot keep this pace");
            }
            let number = two_digits(sender.sent);
            sender.sent += 1;
            sender.under_way.push_back(self.due);
            let event = format!(r#"2{number}["echo","{}"]"#, text(number));
            swarm.clients.send(who, event.as_bytes());
            self.due += self.gap;
        }
        Ok(Some(Duration::ZERO))
    }
}
