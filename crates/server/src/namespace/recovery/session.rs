//! [`Session`]: a socket, as far as it can be given back: whose it is, where it was, and since when.

use std::sync::Arc;

use roomful_proto::RecoveryId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{AuthDigest, Key};
use crate::namespace::erased::Data;
use crate::namespace::family::standing::Whose;
use crate::transport::link::Link;

/// What a socket that waits counts for beside its rooms: its entries in the tables, and its part of a
/// journal, which may be there for it alone. What it remembers for the user nobody can count.
const SESSION_OVERHEAD_BYTES: usize = 512;
/// What a room of it counts for beside its name.
const STAY_OVERHEAD_BYTES: usize = 40;
/// Rooms that a socket has left and that are remembered. Without them it could not be told which of
/// the events that it missed were for it.
pub(super) const STAYS_OVER_MAX: usize = 64;

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
            auth: auth.unwrap_or_else(|| AuthDigest::new(None, b"")),
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
    /// The secret itself, where an engine keeps the session under it when the socket is lost.
    pub(super) secret: Option<RecoveryId>,
    pub(super) auth: AuthDigest,
    pub(super) data: Data,
    /// The last event before it joined.
    pub(super) since: u64,
    /// The rooms that it is in, in the order that [`Rooms`](crate::namespace::rooms::Rooms) has them in.
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
        watched: Option<oneshot::Sender<()>>,
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
#[derive(Clone)]
pub(super) struct Stay {
    pub(super) room: Arc<str>,
    pub(super) from: u64,
    pub(super) until: Option<u64>,
}

impl Session {
    /// Whether the time of a socket that waits is over.
    pub(super) fn is_over(&self) -> bool {
        self.over_at.is_some_and(|at| at <= Instant::now())
    }

    /// A socket that has just joined, when `since` was the last event.
    pub(super) fn new(key: Key, newcomer: &Newcomer, since: u64) -> Self {
        Self {
            key,
            secret: None,
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

    /// Whether it is that of this newcomer: whoever compares visitors has said so, or else it shows what it
    /// has shown before.
    pub(super) fn is_of(&self, newcomer: &Newcomer) -> bool {
        newcomer.same.unwrap_or(self.auth == newcomer.auth)
    }

    /// A time in a room that it was in at another node.
    pub(super) fn stay(&mut self, stay: Stay) {
        if stay.until.is_some() { self.over.push(stay) } else { self.open.push(stay) }
    }

    /// It waits from now on, when `sent` was the last event that it was sent and `lost` the last of all.
    pub(super) fn wait(&mut self, sent: u64, lost: u64) {
        self.place = Place::Waiting { since: Instant::now(), sent, lost };
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

    /// All its times in rooms that are known.
    pub(super) fn stays(&self) -> impl Iterator<Item = &Stay> {
        self.open.iter().chain(&self.over)
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

impl Place {
    /// Of a session that is on its way.
    pub(super) fn nowhere() -> Self {
        Self::Waiting { since: Instant::now(), sent: 0, lost: 0 }
    }

    pub(super) fn connected(link: &Arc<Link>) -> Self {
        Self::Connected { link: Arc::clone(link), watched: None }
    }
}

impl Stay {
    pub(super) fn covers(&self, number: u64) -> bool {
        number > self.from && self.until.is_none_or(|until| number <= until)
    }
}
