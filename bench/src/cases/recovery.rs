//! All clients are cut at once, miss events, and come back: how long until each has had the last event that
//! it missed.
//!
//! The time of a client runs from the cut of all, which is over in a moment, until its last missed event is
//! there. They come back as fast as the server takes them; half of the missed events are sent while they do.

use std::time::{Duration, Instant};

use super::entry::enter;
use super::measure::{AFTERMATH, SILENCE, two_digits};
use super::{Case, Figure, Scale, option};
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::load::times::Times;
use crate::servers::{Contestant, Server};
use crate::words::text;
use crate::{Result, fail};

const ROOM: &str = "room";
/// Events that all have had before the cut: whoever has had none cannot come back everywhere.
const BEFORE: u64 = 5;
/// Events that are missed.
const MISSED: u64 = 20;
/// Clients that come back at the same time: what the shortest queue of a server holds that wait to be
/// accepted (Node's, 511). Above it the kernel drops some for a second, whoever the server is.
const AT_ONCE: usize = 500;
/// Clients that dial between two turns.
const SLICE: usize = 64;

pub(crate) struct Recovery {
    pub(crate) clients: usize,
}

impl Case for Recovery {
    fn name(&self) -> String {
        format!("recovery-{}", self.clients)
    }

    fn title(&self) -> String {
        format!("{} clients are cut at once, miss {MISSED} events, and come back", self.clients)
    }

    fn unit(&self) -> &'static str {
        "ms until the last missed event, p99"
    }

    fn env(&self) -> Option<(&'static str, String)> {
        let (variable, option) = option::RECOVERY;
        Some((variable, option.to_owned()))
    }

    /// The others cannot, nor can the bare servers.
    fn takes(&self, server: &Contestant) -> bool {
        ["roomful", "node", "bun"].iter().any(|name| server.name.starts_with(name))
    }

    fn run(&self, server: &Server, _: &Scale) -> Result<Vec<Figure>> {
        let mut speaker = Swarm::new(server.address)?;
        speaker.grow(1)?;
        let mut swarm = Swarm::new(server.address)?;
        let mut visitors = Visitors::new(self.clients);
        swarm.grow_in(self.clients, &mut visitors)?;
        enter(&mut swarm, |_| vec![ROOM.to_owned()])?;
        let mut last = 0;
        last += speak(&mut speaker, last, BEFORE)?;
        visitors.hear(&mut swarm, last)?;

        for who in 0..self.clients {
            swarm.clients.cut(who)?;
        }
        let (cpu, cut) = (server.cpu()?, Instant::now());
        last += speak(&mut speaker, last, MISSED / 2)?;
        visitors.await_all(last + MISSED / 2);
        let mut dialled = 0;
        while dialled < self.clients {
            let joining = dialled - swarm.clients.joined();
            let now = (self.clients - dialled).min(AT_ONCE - joining).min(SLICE);
            for who in dialled..dialled + now {
                swarm.dial_with(who, visitors.join(who))?;
            }
            dialled += now;
            swarm.turn(&mut visitors, Some(Duration::from_millis(10)))?;
            if cut.elapsed() > SILENCE {
                return fail(format!("only {dialled} of {} could dial", self.clients));
            }
            if dialled >= self.clients / 2 && last < BEFORE + MISSED {
                last += speak(&mut speaker, last, MISSED / 2)?;
            }
        }
        visitors.hear(&mut swarm, last)?;
        let cpu = server.cpu_since(cpu)?;
        let times = &mut visitors.times(cut)?;
        // Those who came last were sent all that they missed and nothing since: they are to be in
        // their room again, too.
        last += speak(&mut speaker, last, 1)?;
        visitors.hear(&mut swarm, last)?;
        Ok(vec![
            ("p99_ms", times.quantile(0.99) / 1e3),
            ("p50_ms", times.quantile(0.5) / 1e3),
            ("last_ms", times.quantile(1.0) / 1e3),
            ("cpu_us", cpu.as_secs_f64() * 1e6 / self.clients as f64),
        ])
    }
}

/// Has so many events sent, and tells how many.
fn speak(speaker: &mut Swarm, from: u64, count: u64) -> Result<u64> {
    for number in from..from + count {
        let event = format!(r#"2["say","{ROOM}","{}"]"#, text(two_digits(number)));
        speaker.clients.send(0, event.as_bytes());
    }
    speaker.turn(&mut crate::load::swarm::Nothing, Some(Duration::ZERO))?;
    Ok(count)
}

/// Those who are cut and come back.
struct Visitors {
    all: Vec<Visitor>,
    /// The number of the event that all wait for, and how many do.
    awaited: u64,
    missing: usize,
}

#[derive(Clone, Default)]
struct Visitor {
    id: String,
    private_id: String,
    /// Of the last event.
    offset: String,
    heard: u64,
    /// When it had the event that all wait for.
    done: Option<Instant>,
}

impl Visitors {
    fn new(count: usize) -> Self {
        Self { all: vec![Visitor::default(); count], awaited: 0, missing: 0 }
    }

    /// From now on this event is waited for.
    fn await_all(&mut self, last: u64) {
        self.awaited = last;
        self.missing = self.all.iter().filter(|visitor| visitor.heard < last).count();
        self.all.iter_mut().for_each(|visitor| visitor.done = None);
    }

    /// Plays until all have heard all so far, and nobody hears more.
    fn hear(&mut self, swarm: &mut Swarm, last: u64) -> Result<()> {
        if self.awaited != last {
            self.await_all(last);
        }
        let (mut missing, mut heard) = (self.missing, Instant::now());
        while self.missing > 0 {
            swarm.turn(self, Some(Duration::from_millis(100)))?;
            if self.missing < missing {
                (missing, heard) = (self.missing, Instant::now());
            } else if heard.elapsed() > SILENCE {
                return fail(format!("{missing} never had event {last}: lost"));
            }
        }
        let ended = Instant::now();
        while ended.elapsed() < AFTERMATH {
            swarm.turn(self, Some(AFTERMATH))?;
        }
        Ok(())
    }

    /// How a client asks for its socket.
    fn join(&self, who: usize) -> Vec<u8> {
        let Visitor { private_id, offset, .. } = &self.all[who];
        format!(r#"40{{"pid":"{private_id}","offset":"{offset}"}}"#).into_bytes()
    }

    fn times(&self, since: Instant) -> Result<Times> {
        let mut times = Times::default();
        for visitor in &self.all {
            times.add(visitor.done.ok_or("a client that never came back")? - since);
        }
        Ok(times)
    }
}

impl Play for Visitors {
    fn packet(&mut self, who: usize, packet: Packet<'_>, _: &mut Clients) -> Result<()> {
        let visitor = &mut self.all[who];
        let wanted = text(two_digits(visitor.heard));
        let offset = said(packet).filter(|(said, _)| *said == wanted).map(|(_, offset)| offset);
        let Some(offset) = offset else {
            return fail(format!("client {who} waits for {wanted:?} and got {packet:?}"));
        };
        offset.clone_into(&mut visitor.offset);
        visitor.heard += 1;
        if visitor.heard == self.awaited {
            visitor.done = Some(Instant::now());
            self.missing -= 1;
        }
        Ok(())
    }

    fn joined(&mut self, who: usize, packet: &[u8]) -> Result<()> {
        let packet = std::str::from_utf8(packet)?;
        let (Some(id), Some(private_id)) = (value(packet, "sid"), value(packet, "pid")) else {
            return fail(format!("client {who} was told nothing to come back with: {packet}"));
        };
        let visitor = &mut self.all[who];
        if !visitor.id.is_empty() && visitor.id != id {
            return fail(format!("client {who} did not get its socket back"));
        }
        id.clone_into(&mut visitor.id);
        private_id.clone_into(&mut visitor.private_id);
        Ok(())
    }
}

/// What was said, and its offset.
fn said(packet: Packet<'_>) -> Option<(&str, &str)> {
    let Packet::Text(event) = packet else {
        return None;
    };
    let event = std::str::from_utf8(event).ok()?;
    event.strip_prefix(r#"2["said",""#)?.strip_suffix(r#""]"#)?.split_once(r#"",""#)
}

/// A text of a JSON object without escapes.
fn value<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!(r#""{key}":""#))?;
    rest.split_once('"').map(|(value, _)| value)
}
