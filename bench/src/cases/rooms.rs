//! Events to many rooms in turn, while others come into these rooms and leave them.
//!
//! Those who stay must hear everything, once and in order. Those who come and go must hear
//! everything from their first event on until they ask to leave, and nothing once they have left.

use std::time::{Duration, Instant};

use super::entry::enter;
use super::measure::{Count, Counted, measure, two_digits};
use super::talk::{Talk, said};
use super::{Case, Figure, Scale};
use crate::load::pace::Pace;
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::load::times::Times;
use crate::servers::Server;
use crate::{Result, fail};

const ROOMS: usize = 100;
const MEMBERS: usize = 100;
const IN_FLIGHT: usize = 4;
/// Clients that come and go, besides the members.
const MOVERS: usize = 100;
const MOVES_PER_SECOND: u32 = 1_000;

pub(crate) struct Rooms;

impl Case for Rooms {
    fn name(&self) -> String {
        "rooms-churn".to_owned()
    }

    fn title(&self) -> String {
        format!(
            "{ROOMS} rooms of {MEMBERS} in turn, {IN_FLIGHT} in flight, {MOVES_PER_SECOND} joins \
             and leaves a second"
        )
    }

    fn unit(&self) -> &'static str {
        "µs of CPU per delivery"
    }

    fn is_short(&self) -> bool {
        false
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.take_short_turns();
        swarm.grow(ROOMS * MEMBERS + MOVERS)?;
        enter(&mut swarm, |who| {
            if who < ROOMS * MEMBERS { vec![name(who / MEMBERS)] } else { Vec::new() }
        })?;
        let mut moving = Moving::new();
        for _ in 0..IN_FLIGHT {
            moving.say(&mut swarm.clients);
        }
        let measured = measure(&mut swarm, &mut moving, server, scale)?;
        let moves = moving.moves.len() as f64 / measured.wall.as_secs_f64();
        Ok(vec![
            ("cpu_us", measured.cpu_us()),
            ("per_second", measured.rate()),
            ("p50_us", moving.count.times.quantile(0.5)),
            ("p99_us", moving.count.times.quantile(0.99)),
            ("moves_per_second", moves),
            ("move_p99_us", moving.moves.quantile(0.99)),
        ])
    }
}

fn name(room: usize) -> String {
    format!("r{room:03}")
}

struct Moving {
    talks: Vec<Talk>,
    /// The room that is spoken to next.
    next: usize,
    movers: Vec<Mover>,
    /// The one that moves next.
    turn: usize,
    pace: Pace,
    /// Of the deliveries.
    count: Count,
    moves: Times,
}

/// A client that joins one room after the other, and leaves each again.
#[derive(Default)]
struct Mover {
    room: usize,
    place: Place,
    /// Moves made, which are the numbers of their acks.
    moves: u64,
    /// The event that must come next, once one has come.
    next: Option<u64>,
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    Entering,
    Inside,
    Leaving,
}

impl Moving {
    fn new() -> Self {
        let talk = |room: usize| Talk::new(name(room), room * MEMBERS, MEMBERS);
        let mover = |number| Mover { room: number % ROOMS, ..Mover::default() };
        Self {
            talks: (0..ROOMS).map(talk).collect(),
            next: 0,
            movers: (0..MOVERS).map(mover).collect(),
            turn: 0,
            pace: Pace::new(MOVES_PER_SECOND),
            count: Count::default(),
            moves: Times::default(),
        }
    }

    fn say(&mut self, clients: &mut Clients) {
        self.talks[self.next].say(clients);
        self.next = (self.next + 1) % ROOMS;
    }
}

impl Mover {
    /// Asks to be let in, or out.
    fn go(&mut self, who: usize, due: Instant, clients: &mut Clients) {
        let event = if self.place == Place::Outside { "join" } else { "leave" };
        self.place = if self.place == Place::Outside { Place::Entering } else { Place::Leaving };
        self.since = Some(due);
        let (number, room) = (two_digits(self.moves), name(self.room));
        clients.send(who, format!(r#"2{number}["{event}","{room}"]"#).as_bytes());
    }

    fn receive(&mut self, packet: Packet<'_>, times: &mut Times) -> Result<()> {
        let Some(number) = said(packet) else {
            return self.moved(packet, times);
        };
        if self.place == Place::Outside || self.next.is_some_and(|next| next != number) {
            let Self { place, next, .. } = self;
            return fail(format!("one that is {place:?} waits for {next:?} and got {packet:?}"));
        }
        self.next = Some(two_digits(number.saturating_sub(9)));
        Ok(())
    }

    fn moved(&mut self, packet: Packet<'_>, times: &mut Times) -> Result<()> {
        let wanted = format!("3{}[true]", two_digits(self.moves));
        if !matches!(packet, Packet::Text(ack) if ack == wanted.as_bytes()) {
            return fail(format!("one that moves waits for {wanted} and got {packet:?}"));
        }
        self.moves += 1;
        times.add(self.since.take().ok_or("an answer too much")?.elapsed());
        if self.place == Place::Entering {
            self.place = Place::Inside;
        } else {
            self.place = Place::Outside;
            self.room = (self.room + 1) % ROOMS;
            self.next = None;
        }
        Ok(())
    }
}

impl Play for Moving {
    fn packet(&mut self, who: usize, packet: Packet<'_>, clients: &mut Clients) -> Result<()> {
        if let Some(mover) = who.checked_sub(ROOMS * MEMBERS) {
            self.count.done += u64::from(said(packet).is_some());
            return self.movers[mover].receive(packet, &mut self.moves);
        }
        let talk = &mut self.talks[who / MEMBERS];
        let heard = talk.hear(who % MEMBERS, packet, &mut self.count.times)?;
        self.count.done += 1;
        if !self.count.over {
            (0..heard).for_each(|_| self.say(clients));
        }
        Ok(())
    }
}

impl Counted for Moving {
    fn count(&mut self) -> &mut Count {
        &mut self.count
    }

    fn under_way(&mut self) -> u64 {
        let moves = self.movers.iter().filter(|mover| mover.since.is_some()).count();
        self.talks.iter().map(Talk::missing).sum::<u64>() + moves as u64
    }

    fn begin(&mut self) {
        self.count.times.clear();
        self.moves.clear();
    }

    /// Has those move who are due. One that still waits for its last move is left out.
    fn pace(&mut self, swarm: &mut Swarm) -> Result<Option<Duration>> {
        while let Some(due) = self.pace.next() {
            let (at, mover) = (self.turn, &mut self.movers[self.turn]);
            self.turn = (self.turn + 1) % MOVERS;
            if mover.since.is_none() {
                mover.go(ROOMS * MEMBERS + at, due, &mut swarm.clients);
            }
        }
        Ok(Some(Duration::from_millis(1)))
    }
}
