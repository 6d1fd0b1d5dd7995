//! [`Session`]: a socket, as far as it can be given back: whose it is, where it was, and since when.

use std::collections::{HashMap, hash_map};
use std::sync::Arc;

use roomful_proto::SocketId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::log::{Entry, To};
use super::{AuthDigest, Key};
use crate::handler::Data;
use crate::link::Link;
use crate::standing::Whose;

/// What a socket that waits counts for beside its rooms: its entries in the tables, and its part of a
/// journal, which may be there for it alone. What it remembers for the user nobody can count.
const SESSION_OVERHEAD_BYTES: usize = 512;
/// What a room of it counts for beside its name.
const STAY_OVERHEAD_BYTES: usize = 40;
/// Rooms that a socket has left and that are remembered. Without them it could not be told which of
/// the events that it missed were for it.
pub(super) const STAYS_OVER_MAX: usize = 64;
/// Up to so many times in rooms are looked through for each event, which costs less than a table of them.
const STAYS_FEW: usize = 8;

/// Who was let in.
pub(crate) struct Newcomer {
    pub(crate) link: Arc<Link>,
    pub(crate) auth: AuthDigest,
    pub(crate) data: Data,
    /// Whether it is who it was, if that was decided.
    pub(crate) same: Option<bool>,
    /// Whose `connect` function has let it in, if one has.
    pub(crate) asked: Option<Whose>,
    /// What may be sent to it now.
    pub(crate) bytes_max: usize,
}

impl Newcomer {
    pub(crate) fn new(
        link: &Arc<Link>,
        auth: Option<AuthDigest>,
        data: Data,
        same: Option<bool>,
        asked: Option<Whose>,
    ) -> Self {
        let left = link.outbox_bytes_left();
        Self {
            link: Arc::clone(link),
            auth: auth.unwrap_or_else(|| AuthDigest::new(None)),
            data,
            same,
            asked,
            // The rest is for the answer to it, and for what is sent next.
            bytes_max: left - left / 4,
        }
    }
}

/// A socket, as far as it can be given back.
pub(super) struct Session {
    pub(super) key: Key,
    pub(super) auth: AuthDigest,
    pub(super) data: Data,
    /// The last event before it joined.
    pub(super) since: u64,
    /// The rooms that it is in, in the order that [`Rooms`](crate::rooms::Rooms) has them in.
    open: Vec<Stay>,
    /// Those that it has left, in the order in which it did.
    over: Vec<Stay>,
    /// Its rooms are known from this event on.
    pub(super) known_since: u64,
    /// Whose `connect` function has let it in, if one has.
    pub(super) asked: Option<Whose>,
    /// It is not to come back.
    pub(super) revoked: bool,
    /// Nor from then on, while it waits.
    pub(super) over_at: Option<Instant>,
    pub(super) place: Place,
}

pub(super) enum Place {
    Connected {
        link: Arc<Link>,
        /// Dropped when it is not any more.
        watched: Vec<oneshot::Sender<()>>,
    },
    Waiting {
        since: Instant,
        /// The last event that it was sent; `since` of the session if there was none.
        sent: u64,
        /// The last event before it was lost.
        lost: u64,
    },
}

/// The time in a room, from behind one event until another.
pub(super) struct Stay {
    pub(super) room: Arc<str>,
    pub(super) from: u64,
    pub(super) until: Option<u64>,
}

/// The times of a socket in its rooms, found by the name of the room where they are many.
pub(super) struct Hearing<'a> {
    id: SocketId,
    session: &'a Session,
    by_room: Option<HashMap<&'a str, OfRoom<'a>>>,
}

/// The times in one room: mostly a single one.
type OfRoom<'a> = (&'a Stay, Vec<&'a Stay>);

impl Session {
    /// Whether the time of a socket that waits is over.
    pub(super) fn is_over(&self) -> bool {
        self.over_at.is_some_and(|at| at <= Instant::now())
    }

    /// A socket that has just joined, when `since` was the last event.
    pub(super) fn new(key: Key, newcomer: &Newcomer, since: u64) -> Self {
        Self {
            key,
            auth: newcomer.auth,
            data: Arc::clone(&newcomer.data),
            since,
            open: Vec::new(),
            over: Vec::new(),
            known_since: since,
            asked: newcomer.asked.clone(),
            revoked: false,
            over_at: None,
            place: Place::connected(&newcomer.link),
        }
    }

    pub(super) const fn waits(&self) -> bool {
        matches!(self.place, Place::Waiting { .. })
    }

    /// What it counts for while it waits, without what it remembers for the user.
    pub(super) fn bytes(&self) -> usize {
        let stay = |stay: &Stay| STAY_OVERHEAD_BYTES + stay.room.len();
        SESSION_OVERHEAD_BYTES + self.stays().map(stay).sum::<usize>()
    }

    /// The rooms that it is in.
    pub(super) fn rooms(&self) -> Vec<Arc<str>> {
        self.open.iter().map(|stay| Arc::clone(&stay.room)).collect()
    }

    /// It has joined a room, behind this event.
    pub(super) fn join(&mut self, room: Arc<str>, from: u64) {
        self.open.push(Stay { room, from, until: None });
    }

    /// It has left a room, behind the last event; `first` is the oldest that is kept. The room was at
    /// that place among all that it is in, and is looked for only where that is not so.
    pub(super) fn leave(&mut self, room: &str, at: usize, first: u64, last: u64) {
        let is_it = |stay: &Stay| *stay.room == *room;
        let is_there = self.open.get(at).is_some_and(is_it);
        let found = if is_there { Some(at) } else { self.open.iter().position(is_it) };
        if let Some(found) = found {
            let stay = self.open.swap_remove(found);
            self.over.push(Stay { until: Some(last), ..stay });
        }
        self.forget_stays(first);
    }

    fn stays(&self) -> impl Iterator<Item = &Stay> {
        self.open.iter().chain(&self.over)
    }

    /// What many events are held against, to know which of them were for this socket.
    pub(super) fn hearing(&self, id: SocketId) -> Hearing<'_> {
        let stays = self.open.len() + self.over.len();
        let by_room = (stays > STAYS_FEW).then(|| {
            let mut by_room: HashMap<_, OfRoom<'_>> = HashMap::with_capacity(stays);
            for stay in self.stays() {
                match by_room.entry(&*stay.room) {
                    hash_map::Entry::Vacant(room) => drop(room.insert((stay, Vec::new()))),
                    hash_map::Entry::Occupied(mut room) => room.get_mut().1.push(stay),
                }
            }
            by_room
        });
        Hearing { id, session: self, by_room }
    }

    /// Drops the rooms that were left before the oldest event, and the oldest of too many.
    fn forget_stays(&mut self, first: u64) {
        self.over.retain(|stay| stay.until.is_none_or(|until| until >= first));
        if self.over.len() > STAYS_OVER_MAX {
            let oldest = self.over.remove(0);
            self.known_since = self.known_since.max(oldest.until.unwrap_or(0));
        }
    }
}

impl Hearing<'_> {
    /// Whether an event was for the socket. Costs what the event names, not what the socket was in.
    pub(super) fn hears(&self, number: u64, entry: &Entry) -> bool {
        let named = |rooms: &[Box<str>]| rooms.iter().any(|room| self.was_in(room, number));
        let was_for = match &entry.to {
            To::Socket(one) => *one == self.id,
            To::Rooms { to, except } => (to.is_empty() || named(to)) && !named(except),
        };
        number > self.session.since && was_for
    }

    fn was_in(&self, room: &str, number: u64) -> bool {
        if *room == *self.id && number > self.session.since {
            return true;
        }
        match &self.by_room {
            None => self.session.stays().any(|stay| *stay.room == *room && stay.covers(number)),
            Some(by_room) => by_room.get(room).is_some_and(|(first, more)| {
                first.covers(number) || more.iter().any(|stay| stay.covers(number))
            }),
        }
    }
}

impl Place {
    pub(super) fn connected(link: &Arc<Link>) -> Self {
        Self::Connected { link: Arc::clone(link), watched: Vec::new() }
    }
}

impl Stay {
    fn covers(&self, number: u64) -> bool {
        number > self.from && self.until.is_none_or(|until| number <= until)
    }
}

#[cfg(test)]
mod tests {
    use roomful_proto::{Parcel, RecoveryId};

    use super::*;
    use crate::link;

    fn session() -> Session {
        let newcomer = Newcomer::new(&link::for_tests(), None, Arc::new(()), None, None);
        Session::new(Key::new(&RecoveryId::from_random([1; 15])), &newcomer, 0)
    }

    fn id() -> SocketId {
        SocketId::from_random([1; 15])
    }

    fn entry(to: &[&str], except: &[&str]) -> Entry {
        let names = |rooms: &[&str]| rooms.iter().map(|room| Box::from(*room)).collect();
        let to = To::Rooms { to: names(to), except: names(except) };
        let parcel = Parcel::event("/", None, "e", "").unwrap();
        Entry { parcel, to, at: Instant::now(), bytes: 0 }
    }

    #[test]
    fn an_event_is_heard_in_the_same_way_in_few_rooms_and_in_many() {
        for others in [0, 2 * STAYS_FEW] {
            let mut session = session();
            for other in 0..others {
                session.join(format!("other {other}").into(), 0);
            }
            session.join("a".into(), 10);
            session.leave("a", others, 0, 20);
            session.join("a".into(), 30);
            session.join("b".into(), 0);
            let hearing = session.hearing(id());
            assert_eq!(hearing.by_room.is_some(), others > 0);
            let heard =
                |number, to: &[&str], except: &[&str]| hearing.hears(number, &entry(to, except));
            let times = [10, 11, 20, 21, 30, 31].map(|number| heard(number, &["x", "a"], &[]));
            assert_eq!(times, [false, true, true, false, false, true], "{others}");
            assert!(heard(1, &[], &[]) && !heard(0, &[], &[]));
            assert!(heard(1, &[&id()], &[]) && !heard(1, &["x"], &[]));
            assert!(
                !heard(11, &[], &["a"]) && heard(21, &[], &["a"]) && !heard(21, &["b"], &["b"])
            );
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_missed_is_found_at_the_same_cost_in_however_many_rooms_a_socket_was() {
        crate::rooms::tests::assert_linear(|count| {
            let mut session = session();
            for room in 0..count {
                session.join(format!("room {room}").into(), 0);
            }
            let hearing = session.hearing(id());
            let elsewhere = entry(&["room elsewhere"], &[]);
            assert!((1..=count as u64).all(|number| !hearing.hears(number, &elsewhere)));
        });
    }
}
