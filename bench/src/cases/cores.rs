//! One server process on two CPUs.
//!
//! The clients need a CPU too, and this machine may have no third: the server's second CPU is that
//! of the clients, so the rate cannot double. Where a client's work is about the server's, as for
//! [`Echo`](super::echo::Echo), it can hardly grow at all, and what shows is whether an event costs
//! more CPU when two CPUs work on the same things. [`Batches`] are for the rate: nearly all of
//! their work is the server's.

use std::time::Instant;

use super::measure::{Count, Counted, measure, two_digits};
use super::{Case, Figure, Scale};
use crate::load::frames::{self, Kind};
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::servers::Server;
use crate::words::text;
use crate::{Result, fail, process};

const CLIENTS: usize = 100;
/// Events of one batch; the last has an ack, which tells that all before it were handled.
const BATCH: u64 = 64;

/// A case with the server on both CPUs.
pub(crate) struct TwoCores<C>(pub(crate) C);

impl<C: Case> Case for TwoCores<C> {
    fn name(&self) -> String {
        format!("two-cores-{}", self.0.name())
    }

    fn title(&self) -> String {
        format!("{}, the server on two CPUs, one of them the clients'", self.0.title())
    }

    fn unit(&self) -> &'static str {
        self.0.unit()
    }

    fn is_short(&self) -> bool {
        false
    }

    fn cpus(&self) -> &'static str {
        "0,1"
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        self.0.run(server, scale)
    }
}

/// Events to a room with nobody in it, which were made beforehand, with an ack at the end of each
/// batch: much for the server to do and little for the clients.
pub(crate) struct Batches;

impl Case for Batches {
    fn name(&self) -> String {
        "batches".to_owned()
    }

    fn title(&self) -> String {
        format!("events to an empty room, {BATCH} to a batch, {CLIENTS} clients")
    }

    fn unit(&self) -> &'static str {
        "µs of time per event"
    }

    fn is_short(&self) -> bool {
        false
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(CLIENTS)?;
        let mut batching = Batching::new();
        (0..CLIENTS).for_each(|who| batching.send(who, &mut swarm.clients));
        let (own, started) = (process::cpu("self")?, Instant::now());
        let measured = measure(&mut swarm, &mut batching, server, scale)?;
        let own = process::cpu("self")?.saturating_sub(own).div_duration_f64(started.elapsed());
        Ok(vec![
            ("us", 1e6 / measured.rate()),
            ("cpu_us", measured.cpu_us()),
            ("per_second", measured.rate()),
            ("p99_us", batching.count.times.quantile(0.99)),
            ("clients_cpus", own),
        ])
    }
}

struct Batching {
    /// A batch without its last event.
    events: Vec<u8>,
    senders: Vec<Sender>,
    count: Count,
}

#[derive(Clone, Default)]
struct Sender {
    answered: u64,
    since: Option<Instant>,
}

impl Batching {
    fn new() -> Self {
        let mut events = Vec::new();
        for number in 1..BATCH {
            let event = format!(r#"42["say","r000","{}"]"#, text(two_digits(number)));
            frames::push(&mut events, Kind::Text, event.as_bytes());
        }
        let senders = vec![Sender::default(); CLIENTS];
        Self { events, senders, count: Count::default() }
    }

    fn send(&mut self, who: usize, clients: &mut Clients) {
        let number = two_digits(self.senders[who].answered);
        self.senders[who].since = Some(Instant::now());
        self.count.begun += BATCH;
        clients.send_frames(who, &self.events);
        clients.send(who, format!(r#"2{number}["echo","{}"]"#, text(number)).as_bytes());
    }
}

impl Play for Batching {
    fn packet(&mut self, who: usize, packet: Packet<'_>, clients: &mut Clients) -> Result<()> {
        let sender = &mut self.senders[who];
        let number = two_digits(sender.answered);
        let wanted = format!(r#"3{number}["{}"]"#, text(number));
        if !matches!(packet, Packet::Text(ack) if ack == wanted.as_bytes()) {
            return fail(format!("client {who} waits for ack {number} and got {packet:?}"));
        }
        sender.answered += 1;
        self.count.times.add(sender.since.take().ok_or("an answer too much")?.elapsed());
        self.count.done += BATCH;
        if !self.count.over {
            self.send(who, clients);
        }
        Ok(())
    }
}

impl Counted for Batching {
    fn count(&mut self) -> &mut Count {
        &mut self.count
    }
}
