//! One event to everybody in a room, again and again.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Case, Counted, Figure, Scale, measure, two_digits};
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::load::times::Times;
use crate::servers::Server;
use crate::{Result, fail};

pub(crate) struct Room {
    pub(crate) members: usize,
    pub(crate) in_flight: u64,
}

impl Case for Room {
    fn name(&self) -> String {
        format!("room-{}-{}", self.members, self.in_flight)
    }

    fn title(&self) -> String {
        format!("one event to a room of {}, {} in flight", self.members, self.in_flight)
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per delivery"
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.grow(self.members)?;
        join_all(&mut swarm, self.members)?;
        let mut talking = Talking {
            received: vec![0; self.members],
            sent: 0,
            said: 0,
            under_way: VecDeque::new(),
            done: 0,
            times: Times::default(),
        };
        for _ in 0..self.in_flight {
            talking.say(&mut swarm.clients);
        }
        let measured = measure(&mut swarm, &mut talking, server, scale)?;
        Ok(vec![
            ("cpu_us", measured.cpu_us()),
            ("per_second", measured.rate()),
            ("p50_us", talking.times.quantile(0.5)),
            ("p99_us", talking.times.quantile(0.99)),
        ])
    }
}

/// Has all join the room, and waits until they are in it.
pub(crate) fn join_all(swarm: &mut Swarm, members: usize) -> Result<()> {
    let mut joining = Joining(0);
    for who in 0..members {
        swarm.clients.send(who, br#"210["join","room"]"#);
    }
    while joining.0 < members {
        swarm.turn(&mut joining, None)?;
    }
    Ok(())
}

struct Joining(usize);

impl Play for Joining {
    fn packet(&mut self, _: usize, packet: Packet<'_>, _: &mut Clients) -> Result<()> {
        if !matches!(packet, Packet::Text(b"310[true]")) {
            return fail(format!("not let into the room: {packet:?}"));
        }
        self.0 += 1;
        Ok(())
    }
}

struct Talking {
    /// Events that each member has received.
    received: Vec<u64>,
    sent: u64,
    /// Events that all have received.
    said: u64,
    /// For each event under way when it was sent, and who still misses it.
    under_way: VecDeque<(Instant, usize)>,
    done: u64,
    times: Times,
}

impl Talking {
    fn say(&mut self, clients: &mut Clients) {
        let number = two_digits(self.sent);
        self.sent += 1;
        self.under_way.push_back((Instant::now(), self.received.len()));
        clients.send(0, format!(r#"2["say","room","{}"]"#, text(number)).as_bytes());
    }
}

fn text(number: u64) -> String {
    format!("a message of forty-four characters, number {number}")
}

impl Play for Talking {
    fn packet(&mut self, who: usize, packet: Packet<'_>, clients: &mut Clients) -> Result<()> {
        let count = self.received[who];
        let number = two_digits(count);
        // The text is the same but for its number, which is its end.
        let wanted = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8, b'"', b']'];
        if !matches!(packet, Packet::Text(event) if event.starts_with(br#"2["said","a message"#)
            && event.ends_with(&wanted))
        {
            return fail(format!("member {who} waits for event {number} and got {packet:?}"));
        }
        self.received[who] += 1;
        self.done += 1;
        let at = usize::try_from(count - self.said)?;
        let (sent, missing) = self.under_way.get_mut(at).ok_or("an event too much")?;
        *missing -= 1;
        self.times.add(sent.elapsed());
        while self.under_way.front().is_some_and(|(_, missing)| *missing == 0) {
            self.under_way.pop_front();
            self.said += 1;
            self.say(clients);
        }
        Ok(())
    }
}

impl Counted for Talking {
    fn done(&self) -> u64 {
        self.done
    }

    fn begin(&mut self) {
        self.times.clear();
    }
}
