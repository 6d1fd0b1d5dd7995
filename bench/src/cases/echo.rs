//! An event with its ack: clients send, and answer every ack with the next event.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Case, Counted, Figure, Scale, measure, two_digits};
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::load::times::Times;
use crate::servers::Server;
use crate::{Result, fail};

const CLIENTS: usize = 100;

pub(crate) struct Echo {
    pub(crate) in_flight: u64,
    /// Length of a binary argument; without one the argument is a text.
    pub(crate) bytes: Option<usize>,
}

impl Case for Echo {
    fn name(&self) -> String {
        let kind = if self.bytes.is_some() { "blob" } else { "echo" };
        format!("{kind}-{}", self.in_flight)
    }

    fn title(&self) -> String {
        match self.bytes {
            Some(len) => format!("event of {len} bytes with ack, {} in flight", self.in_flight),
            None => format!("event with ack, {CLIENTS} clients, {} in flight", self.in_flight),
        }
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per event"
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(CLIENTS)?;
        let mut echoing = Echoing::new(CLIENTS, self.bytes);
        for who in 0..CLIENTS {
            for _ in 0..self.in_flight {
                echoing.send(who, &mut swarm.clients);
            }
        }
        let measured = measure(&mut swarm, &mut echoing, server, scale)?;
        Ok(vec![
            ("cpu_us", measured.cpu_us()),
            ("per_second", measured.rate()),
            ("p50_us", echoing.times.quantile(0.5)),
            ("p99_us", echoing.times.quantile(0.99)),
        ])
    }
}

/// Clients that echo.
struct Echoing {
    senders: Vec<Sender>,
    bytes: Option<Vec<u8>>,
    done: u64,
    times: Times,
}

#[derive(Default)]
struct Sender {
    sent: u64,
    answered: u64,
    /// The ack of a binary event has come, its attachment has not.
    half: bool,
    under_way: VecDeque<Instant>,
}

impl Echoing {
    fn new(clients: usize, bytes: Option<usize>) -> Self {
        let mut senders = Vec::new();
        senders.resize_with(clients, Sender::default);
        let bytes = bytes.map(|len| (0..len).map(|at| at as u8).collect());
        Self { senders, bytes, done: 0, times: Times::default() }
    }

    fn send(&mut self, who: usize, clients: &mut Clients) {
        let sender = &mut self.senders[who];
        let number = two_digits(sender.sent);
        sender.sent += 1;
        sender.under_way.push_back(Instant::now());
        match &self.bytes {
            None => {
                clients.send(who, format!(r#"2{number}["echo","{}"]"#, text(number)).as_bytes())
            }
            Some(bytes) => {
                let event = format!(r#"51-{number}["blob",{{"_placeholder":true,"num":0}}]"#);
                clients.send(who, event.as_bytes());
                clients.send_binary(who, bytes);
            }
        }
    }

    fn answered(&mut self, who: usize, clients: &mut Clients) -> Result<()> {
        let sender = &mut self.senders[who];
        sender.answered += 1;
        let sent = sender.under_way.pop_front().ok_or("an answer too much")?;
        self.times.add(sent.elapsed());
        self.done += 1;
        self.send(who, clients);
        Ok(())
    }
}

fn text(number: u64) -> String {
    format!("a message of forty-four characters, number {number}")
}

impl Play for Echoing {
    fn packet(&mut self, who: usize, packet: Packet<'_>, clients: &mut Clients) -> Result<()> {
        let sender = &mut self.senders[who];
        let number = two_digits(sender.answered);
        let right = match (packet, &self.bytes) {
            (Packet::Text(ack), None) => {
                ack == format!(r#"3{number}["{}"]"#, text(number)).as_bytes()
            }
            (Packet::Text(ack), Some(_)) if !sender.half => {
                sender.half = true;
                let wanted = format!(r#"61-{number}[{{"_placeholder":true,"num":0}}]"#);
                if ack == wanted.as_bytes() {
                    return Ok(());
                }
                false
            }
            (Packet::Binary(got), Some(bytes)) if sender.half => {
                sender.half = false;
                got == bytes.as_slice()
            }
            _ => false,
        };
        if !right {
            return fail(format!("client {who} waits for ack {number} and got {packet:?}"));
        }
        self.answered(who, clients)
    }
}

impl Counted for Echoing {
    fn done(&self) -> u64 {
        self.done
    }

    fn begin(&mut self) {
        self.times.clear();
    }
}
