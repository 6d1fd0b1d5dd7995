//! One event to everybody in a room, again and again.

use super::entry::enter;
use super::measure::{Count, Counted, measure};
use super::talk::{Talk, Words};
use super::{Case, Figure, Scale, option};
use crate::Result;
use crate::load::dialect::Dialect;
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::servers::{Contestant, Server};

/// Rooms that there are besides, where members are in others too.
const OTHER_ROOMS: usize = 10_000;

pub(crate) struct Room {
    pub(crate) members: usize,
    pub(crate) in_flight: u64,
    /// Rooms that each member is in besides.
    pub(crate) others: usize,
    /// In many words the event is compressed.
    pub(crate) words: Words,
}

impl Case for Room {
    fn name(&self) -> String {
        let others = if self.others > 0 { "many-rooms-" } else { "" };
        let deflate = if self.words == Words::Many { "deflate-" } else { "" };
        format!("{others}{deflate}room-{}-{}", self.members, self.in_flight)
    }

    fn title(&self) -> String {
        let Self { members, in_flight, others, words } = self;
        let event = match words {
            Words::Few => "one event",
            Words::Many => "one event of 2 KiB, compressed,",
        };
        let title = format!("{event} to a room of {members}, {in_flight} in flight");
        match others {
            0 => title,
            _ => format!("{title}, each member in {others} of {OTHER_ROOMS} rooms besides"),
        }
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per delivery"
    }

    fn is_short(&self) -> bool {
        matches!((self.members, self.in_flight, self.others), (1_000, _, 0) | (5_000, 4, 0))
    }

    fn env(&self) -> Option<(&'static str, String)> {
        option::of(self.dialect())
    }

    fn takes(&self, server: &Contestant) -> bool {
        option::is_known(self.dialect(), server)
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::speaking(self.dialect(), server.address)?;
        swarm.grow(self.members)?;
        enter(&mut swarm, |who| {
            let first = who * self.others;
            let others = (first..first + self.others).map(|room| room % OTHER_ROOMS);
            let others = others.map(|room| format!("other{room}"));
            std::iter::once("room".to_owned()).chain(others).collect()
        })?;
        let mut talking = Talking {
            talk: Talk::new("room".to_owned(), 0, self.members).in_words(self.words),
            count: Count::default(),
        };
        for _ in 0..self.in_flight {
            talking.talk.say(&mut swarm.clients);
        }
        // A slow server takes seconds for one event to so many.
        let factor = if self.members > 10_000 { 3 } else { 1 };
        let scale = Scale { window: scale.window * factor, warm: scale.warm * factor, ..*scale };
        let measured = measure(&mut swarm, &mut talking, server, &scale)?;
        Ok(vec![
            ("cpu_us", measured.cpu_us()),
            ("per_second", measured.rate()),
            ("p50_us", talking.count.times.quantile(0.5)),
            ("p99_us", talking.count.times.quantile(0.99)),
        ])
    }
}

impl Room {
    const fn dialect(&self) -> Dialect {
        match self.words {
            Words::Few => Dialect::Default,
            Words::Many => Dialect::Deflate,
        }
    }
}

struct Talking {
    talk: Talk,
    count: Count,
}

impl Play for Talking {
    fn packet(&mut self, who: usize, packet: Packet<'_>, clients: &mut Clients) -> Result<()> {
        let heard = self.talk.hear(who, packet, &mut self.count.times)?;
        self.count.done += 1;
        if !self.count.over {
            (0..heard).for_each(|_| self.talk.say(clients));
        }
        Ok(())
    }
}

impl Counted for Talking {
    fn count(&mut self) -> &mut Count {
        &mut self.count
    }

    fn under_way(&mut self) -> u64 {
        self.talk.missing()
    }
}
