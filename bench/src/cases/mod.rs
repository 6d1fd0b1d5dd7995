//! The cases: what is measured, one file for each kind.
//!
//! A new case is a file with a [`Case`] in it, and a line in [`all`].

mod acks;
mod churn;
mod connect;
mod cores;
mod echo;
mod entry;
mod growth;
mod idle;
mod measure;
mod million;
mod option;
mod paced;
mod polling;
mod recovery;
mod room;
mod rooms;
mod storm;
mod talk;

use std::time::Duration;

use crate::Result;
use crate::load::dialect::Dialect;
use crate::servers::{Contestant, Server};

use cores::{Batches, TwoCores};
use echo::{Argument, Echo};
use growth::{ManyNamespaces, ManyRooms};
use idle::{Idle, Pings};
use million::InMemory;
use room::Room;
use talk::Words;

/// Something that can be measured.
pub(crate) trait Case {
    /// As it is called on the command line and in the data.
    fn name(&self) -> String;

    /// As it is called in a table.
    fn title(&self) -> String;

    /// What its first figure is, with its unit.
    fn unit(&self) -> &'static str;

    /// Whether the short form has it too.
    fn is_short(&self) -> bool {
        true
    }

    /// Whether this server is measured at all: some cases are about what only one of them can do.
    fn takes(&self, _server: &Contestant) -> bool {
        true
    }

    /// The CPUs of the server.
    fn cpus(&self) -> &'static str {
        "0"
    }

    /// A variable in the environment of the server, and its value: what it is to be, beside itself.
    fn env(&self) -> Option<(&'static str, String)> {
        None
    }

    /// Measures one server; each figure by its name. The first is the one that counts.
    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>>;
}

/// A name and a value.
pub(crate) type Figure = (&'static str, f64);

/// How long things are measured.
pub(crate) struct Scale {
    pub(crate) warm: Duration,
    pub(crate) window: Duration,
    /// The short form: fewer clients where a case is about their number.
    pub(crate) short: bool,
}

/// All cases, in the order of the tables.
pub(crate) fn all() -> Vec<Box<dyn Case>> {
    let echo = |in_flight, argument| Echo { in_flight, argument, dialect: Dialect::Default };
    let echo_in = |dialect| Echo { in_flight: 16, argument: Argument::Text, dialect };
    let room = |members, in_flight| Room { members, in_flight, others: 0, words: Words::Few };
    vec![
        Box::new(echo(16, Argument::Text)),
        Box::new(echo(1, Argument::Text)),
        Box::new(paced::Paced { per_second: 4_000 }),
        Box::new(room(1_000, 4)),
        Box::new(room(1_000, 1)),
        Box::new(room(5_000, 4)),
        Box::new(room(5_000, 1)),
        Box::new(room(18_000, 4)),
        Box::new(connect::Connect { at_once: 16 }),
        Box::new(echo(16, Argument::Size)),
        Box::new(echo(16, Argument::Blob)),
        Box::new(polling::Polling),
        Box::new(echo_in(Dialect::MsgPack)),
        Box::new(echo_in(Dialect::V3)),
        Box::new(Room { words: Words::Many, ..room(5_000, 4) }),
        Box::new(recovery::Recovery { clients: 5_000 }),
        Box::new(Idle { clients: 10_000, waves: 10 }),
        Box::new(Idle { clients: 1_000, waves: 1 }),
        Box::new(Idle { clients: 18_000, waves: 1 }),
        Box::new(Pings { clients: 18_000 }),
        Box::new(InMemory { connections: 1_000 }),
        Box::new(InMemory { connections: 18_000 }),
        Box::new(InMemory { connections: 1_000_000 }),
        Box::new(rooms::Rooms),
        Box::new(churn::Churn),
        Box::new(storm::Storm),
        Box::new(Batches),
        Box::new(TwoCores(Batches)),
        Box::new(TwoCores(echo(16, Argument::Text))),
        Box::new(TwoCores(room(1_000, 4))),
        Box::new(ManyRooms(echo(16, Argument::Text))),
        Box::new(Room { others: 99, ..room(1_000, 4) }),
        Box::new(ManyNamespaces(echo(16, Argument::Text))),
    ]
}
