//! An event with its ack: clients send, and answer every ack with the next event.

use std::time::Instant;

use super::acks::{self, Acks};
use super::measure::{Count, Counted, measure};
use super::{Case, Figure, Scale, option};
use crate::load::dialect::Dialect;
use crate::load::frames::{self, Kind};
use crate::load::known::Known;
use crate::load::msgpack;
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::servers::{Contestant, Server};
use crate::words::text;
use crate::{Result, fail};

const CLIENTS: usize = 100;
/// Length of a binary argument.
const BYTES: usize = 1024;

pub(crate) struct Echo {
    pub(crate) in_flight: u64,
    pub(crate) argument: Argument,
    pub(crate) dialect: Dialect,
}

/// What an event carries, and what its ack brings.
#[derive(Clone, Copy)]
pub(crate) enum Argument {
    /// A text, which comes back.
    Text,
    /// Bytes, which come back.
    Blob,
    /// Bytes, whose number comes back.
    Size,
}

impl Case for Echo {
    fn name(&self) -> String {
        let kind = match self.argument {
            Argument::Text => "echo",
            Argument::Blob => "blob",
            Argument::Size => "size",
        };
        let dialect = match self.dialect {
            Dialect::MsgPack => "msgpack-",
            Dialect::V3 => "eio3-",
            Dialect::Default | Dialect::Deflate => "",
        };
        format!("{dialect}{kind}-{}", self.in_flight)
    }

    fn title(&self) -> String {
        let event = match self.argument {
            Argument::Text => "event with ack",
            Argument::Blob => "event of 1 KiB binary that comes back",
            Argument::Size => "event of 1 KiB binary with ack",
        };
        let dialect = match self.dialect {
            Dialect::MsgPack => " in MessagePack",
            Dialect::V3 => " over Engine.IO 3",
            Dialect::Default | Dialect::Deflate => "",
        };
        format!("{event}{dialect}, {CLIENTS} clients, {} in flight", self.in_flight)
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per event"
    }

    fn is_short(&self) -> bool {
        !matches!(self.argument, Argument::Blob)
    }

    fn env(&self) -> Option<(&'static str, String)> {
        option::of(self.dialect)
    }

    fn takes(&self, server: &Contestant) -> bool {
        option::is_known(self.dialect, server)
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::speaking(self.dialect, server.address)?;
        swarm.grow(CLIENTS)?;
        let mut echoing = Echoing::new(self.argument, self.dialect);
        for who in 0..CLIENTS {
            for _ in 0..self.in_flight {
                echoing.send(who, &mut swarm.clients);
            }
        }
        let measured = measure(&mut swarm, &mut echoing, server, scale)?;
        let acks = echoing.senders.iter().map(|sender| &sender.acks);
        let overtaken = acks::overtaken_percent(server, acks)?;
        Ok(vec![
            ("cpu_us", measured.cpu_us()),
            ("per_second", measured.rate()),
            ("p50_us", echoing.count.times.quantile(0.5)),
            ("p99_us", echoing.count.times.quantile(0.99)),
            ("overtaken_percent", overtaken),
        ])
    }
}

impl Argument {
    /// An event with this number, as the client writes it.
    fn event(self, number: u64, dialect: Dialect) -> Vec<u8> {
        if dialect == Dialect::MsgPack {
            return frame(Kind::Binary, msgpack::event(number, "echo", &text(number)));
        }
        let name = match self {
            Self::Text => {
                return frame(Kind::Text, format!(r#"42{number}["echo","{}"]"#, text(number)));
            }
            Self::Blob => "blob",
            Self::Size => "size",
        };
        let event = format!(r#"451-{number}["{name}",{{"_placeholder":true,"num":0}}]"#);
        [frame(Kind::Text, event), frame(Kind::Binary, bytes())].concat()
    }

    /// Its ack, or the first half of that.
    fn ack(self, number: u64) -> String {
        match self {
            Self::Text => format!(r#"3{number}["{}"]"#, text(number)),
            Self::Blob => format!(r#"61-{number}[{{"_placeholder":true,"num":0}}]"#),
            Self::Size => format!("3{number}[{BYTES}]"),
        }
    }
}

fn frame(kind: Kind, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let mut frame = Vec::new();
    frames::push(&mut frame, kind, payload.as_ref());
    frame
}

fn bytes() -> Vec<u8> {
    (0..BYTES).map(|at| at as u8).collect()
}

/// Clients that echo.
struct Echoing {
    argument: Argument,
    dialect: Dialect,
    /// Events and their acks by their number, made beforehand: a client should cost less than the
    /// server.
    events: Vec<Vec<u8>>,
    acks: Vec<String>,
    msgpack_acks: Known,
    attachment: Vec<u8>,
    senders: Vec<Sender>,
    count: Count,
}

#[derive(Clone, Default)]
struct Sender {
    acks: Acks,
    /// The ack whose attachment is still to come.
    half: Option<u64>,
}

impl Echoing {
    fn new(argument: Argument, dialect: Dialect) -> Self {
        Self {
            argument,
            dialect,
            events: (0..100).map(|number| argument.event(number, dialect)).collect(),
            acks: (0..100).map(|number| argument.ack(number)).collect(),
            msgpack_acks: Known::default(),
            attachment: bytes(),
            senders: vec![Sender::default(); CLIENTS],
            count: Count::default(),
        }
    }

    fn send(&mut self, who: usize, clients: &mut Clients) {
        let number = self.senders[who].acks.send(Instant::now());
        self.count.begun += 1;
        clients.send_frames(who, &self.events[number as usize]);
    }

    /// The number of the event that is answered now, if what came is right.
    fn answered(&mut self, who: usize, packet: Packet<'_>) -> Option<u64> {
        let Sender { acks, half } = &mut self.senders[who];
        match packet {
            Packet::Binary(ack) if self.dialect == Dialect::MsgPack => {
                self.msgpack_acks.number(acks.first()?, ack, |ack| {
                    let (number, said) = msgpack::ack(ack)?;
                    (said == text(number)).then_some(number)
                })
            }
            Packet::Binary(bytes) => half.take().filter(|_| bytes == self.attachment),
            Packet::Text(_) if half.is_some() => None,
            Packet::Deflated(_) => None,
            Packet::Text(ack) => {
                let number = acks::number(ack)?;
                (ack == self.acks.get(number as usize)?.as_bytes()).then_some(number)
            }
        }
    }
}

impl Play for Echoing {
    fn packet(&mut self, who: usize, packet: Packet<'_>, clients: &mut Clients) -> Result<()> {
        let Some(number) = self.answered(who, packet) else {
            return fail(format!("client {who} waits for acks and got {packet:?}"));
        };
        let sender = &mut self.senders[who];
        if matches!((self.argument, packet), (Argument::Blob, Packet::Text(_))) {
            sender.half = Some(number);
            return Ok(());
        }
        self.count.times.add(sender.acks.answer(number)?.elapsed());
        self.count.done += 1;
        if !self.count.over {
            self.send(who, clients);
        }
        Ok(())
    }
}

impl Counted for Echoing {
    fn count(&mut self) -> &mut Count {
        &mut self.count
    }
}
