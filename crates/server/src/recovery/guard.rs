//! [`Guard`]: a journal that is locked: what is sent, who comes, who is lost, and who comes back.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::MutexGuard;
use roomful_proto::{Letter, Parcel, RecoveryId, SocketId, Unstamped};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::journal::Journal;
use super::log::{ENTRY_OVERHEAD_BYTES, Log, To};
use super::session::{Newcomer, Place, Session};
use super::{Claim, Key, NotRecovered};
use crate::handler::Data;
use crate::link::{Link, Worth};
use crate::rooms::{NotJoined, Rooms};
use crate::socket_core::Member;

/// A socket that counts for more than this part of what all that wait may take does not wait: else one
/// could put all others out.
pub(super) const SESSIONS_BYTES_PART: usize = 16;

/// The journal, locked.
pub(crate) struct Guard<'a> {
    pub(super) state: MutexGuard<'a, State>,
    pub(super) journal: &'a Journal,
    /// Data of the user's, dropped when the lock is not held any more.
    pub(super) dropped: Vec<Session>,
}

pub(super) struct State {
    pub(super) log: Log,
    pub(super) sessions: HashMap<SocketId, Session>,
    pub(super) keys: HashMap<Key, SocketId>,
    /// Those that wait, and since when, the longest first; what is not true any more is skipped.
    pub(super) waiting: VecDeque<(Instant, SocketId)>,
    pub(super) waiting_count: usize,
    /// The sockets that are connected: one place for each server.
    pub(super) places: Vec<Weak<Rooms<Member>>>,
}

/// A socket that was given back.
pub(crate) struct Recovered {
    pub(crate) id: SocketId,
    pub(crate) data: Data,
    pub(crate) rooms: Vec<Arc<str>>,
    pub(crate) missed: Vec<Parcel>,
    /// The last event that it will have been sent.
    pub(crate) sent: u64,
    /// How long it may still stay; `None` for ever.
    pub(crate) life: Option<Duration>,
}

impl Guard<'_> {
    /// The number of the last event.
    pub(crate) fn last(&self) -> u64 {
        self.state.log.last()
    }

    /// Writes the offset into an event. A volatile one is not kept and has no number of its own, but
    /// clients take any text at its end for an offset.
    pub(super) fn stamp(&self, event: Unstamped, worth: Worth) -> Letter {
        let number = match worth {
            Worth::Kept | Worth::Latest(_) => self.state.log.next(),
            Worth::Volatile => self.last(),
        };
        let mut offset = self.journal.mark.clone();
        offset.push_str(itoa::Buffer::new().format(number));
        event.stamp(&offset)
    }

    /// Gives an event its number and keeps it, unless it is volatile.
    pub(super) fn record<R: AsRef<str>>(
        &mut self,
        parcel: &Parcel,
        to: &[R],
        except: &[R],
        worth: Worth,
    ) -> u64 {
        let names = |rooms: &[R]| rooms.iter().map(|room| room.as_ref().into()).collect();
        self.keep(parcel, || To::Rooms { to: names(to), except: names(except) }, worth)
    }

    /// The same for an event to one socket.
    pub(super) fn record_for(&mut self, parcel: &Parcel, id: SocketId, worth: Worth) -> u64 {
        self.keep(parcel, || To::Socket(id), worth)
    }

    fn keep(&mut self, parcel: &Parcel, to: impl FnOnce() -> To, worth: Worth) -> u64 {
        if worth == Worth::Volatile {
            return self.last();
        }
        let (number, bytes) = self.state.log.push(parcel, to());
        self.journal.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.trim();
        number
    }

    /// Drops events and sockets that are too old, too many or too large together: the oldest.
    pub(super) fn trim(&mut self) {
        let now = Instant::now();
        while let Some(oldest) = self.state.log.oldest()
            && (self.has_too_much_in_log() || now - oldest.at >= self.journal.keeps)
        {
            let bytes = self.state.log.pop();
            self.journal.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        while let Some((since, id)) = self.state.longest_waiting()
            && (self.has_too_many_waiting() || now - since >= self.journal.settings.window)
        {
            self.remove(id);
        }
    }

    fn has_too_much_in_log(&self) -> bool {
        let settings = &self.journal.settings;
        self.state.sessions.is_empty()
            || self.state.log.len() > settings.events_max
            || self.journal.bytes.load(Ordering::Relaxed) > settings.bytes_max
    }

    fn has_too_many_waiting(&self) -> bool {
        let settings = &self.journal.settings;
        self.state.waiting_count > settings.sockets_max
            || self.journal.waiting_bytes.load(Ordering::Relaxed) > settings.sockets_bytes_max
    }

    /// The oldest event that is kept.
    fn first(&self) -> u64 {
        self.state.log.first()
    }

    /// Keeps a new socket.
    pub(crate) fn enter(&mut self, id: SocketId, recovery: &RecoveryId, newcomer: &Newcomer) {
        let key = Key::new(recovery);
        let session = Session::new(key, newcomer, self.last());
        self.state.keys.insert(key, id);
        self.state.sessions.insert(id, session);
    }

    /// Gives a socket back to whoever shows that it is theirs. One that cannot be given back is not
    /// kept for another attempt: its client gets a new one and forgets it.
    pub(crate) fn recover(
        &mut self,
        claim: &Claim,
        newcomer: &Newcomer,
    ) -> Result<Recovered, NotRecovered> {
        self.trim();
        let key = Key::new(&claim.id);
        let id = *self.state.keys.get(&key).ok_or(NotRecovered::Unknown)?;
        let recovered = self.give_back(id, claim, newcomer);
        // Neither may who is connected be put out by it, nor who waits by a stranger.
        if !matches!(recovered, Ok(_) | Err(NotRecovered::Connected | NotRecovered::Stranger)) {
            self.remove(id);
        }
        recovered
    }

    fn give_back(
        &mut self,
        id: SocketId,
        claim: &Claim,
        newcomer: &Newcomer,
    ) -> Result<Recovered, NotRecovered> {
        let (missed, sent) = self.owed(id, claim, newcomer)?;
        let session = self.state.sessions.get_mut(&id).ok_or(NotRecovered::Unknown)?;
        session.auth = newcomer.auth;
        session.asked.clone_from(&newcomer.asked);
        let life = session.over_at.take().map(|at| at.saturating_duration_since(Instant::now()));
        session.place = Place::connected(&newcomer.link);
        let (data, rooms, bytes) = (Arc::clone(&session.data), session.rooms(), session.bytes());
        self.wait_no_more(bytes);
        Ok(Recovered { id, data, rooms, missed, sent, life })
    }

    /// What a socket that is claimed has missed, and the last event that it will have been sent then.
    fn owed(
        &self,
        id: SocketId,
        claim: &Claim,
        newcomer: &Newcomer,
    ) -> Result<(Vec<Parcel>, u64), NotRecovered> {
        let session = self.state.sessions.get(&id).ok_or(NotRecovered::Unknown)?;
        let Place::Waiting { sent, lost, .. } = session.place else {
            return Err(NotRecovered::Connected);
        };
        if session.is_over() {
            return Err(NotRecovered::Unknown);
        }
        if !newcomer.same.unwrap_or(session.auth == newcomer.auth) {
            return Err(NotRecovered::Stranger);
        }
        let shown = claim.offset.as_deref().and_then(|offset| self.journal.number(offset));
        let had = match shown {
            Some(shown) if (session.since..self.state.log.next()).contains(&shown) => shown,
            _ if claim.offset.is_none() || sent == session.since => session.since,
            _ => return Err(NotRecovered::Offset),
        };
        // What was sent while the socket was there it has had up to `sent`, or not.
        let from = if had < sent { had } else { lost.max(had) };
        if from < session.known_since || from + 1 < self.first() {
            return Err(NotRecovered::Incomplete);
        }
        let missed = self.missed(id, session, from, newcomer.bytes_max)?;
        let sent = missed.last().map_or(sent, |(number, _)| *number);
        Ok((missed.into_iter().map(|(_, parcel)| parcel).collect(), sent))
    }

    /// The events behind one that were for a socket, up to so many bytes. All that are kept behind it are
    /// looked at under the lock, each for the rooms that it names, in however many the socket was.
    fn missed(
        &self,
        id: SocketId,
        session: &Session,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Parcel)>, NotRecovered> {
        let mut left = bytes_max;
        let mut missed = Vec::new();
        let hearing = session.hearing(id);
        for (number, entry) in self.state.log.behind(from) {
            if hearing.hears(number, entry) {
                let bytes = entry.parcel.len() + ENTRY_OVERHEAD_BYTES;
                left = match left.checked_sub(bytes) {
                    Some(left) => left,
                    // One message always fits.
                    None if missed.is_empty() => 0,
                    None => return Err(NotRecovered::TooMuch),
                };
                missed.push((number, entry.parcel.clone()));
            }
        }
        Ok(missed)
    }

    /// The data of the socket of that key, if it waits.
    pub(crate) fn data(&self, key: &Key) -> Option<Data> {
        let session = self.state.sessions.get(self.state.keys.get(key)?)?;
        (session.waits() && !session.is_over()).then(|| Arc::clone(&session.data))
    }

    /// The data of the socket that is claimed, if it would be given back now and the `connect`
    /// function that would be asked now has let it in.
    pub(crate) fn expects(&self, claim: &Claim, newcomer: &Newcomer) -> Option<Data> {
        let id = *self.state.keys.get(&Key::new(&claim.id))?;
        self.owed(id, claim, newcomer).ok()?;
        let session = self.state.sessions.get(&id)?;
        let knows = session.asked.is_some() && session.asked == newcomer.asked;
        knows.then(|| Arc::clone(&session.data))
    }

    /// Who has the socket of that key, if it is connected, and how to learn that it is not any more.
    pub(super) fn watch(&mut self, key: &Key) -> Option<(Arc<Link>, oneshot::Receiver<()>)> {
        let id = *self.state.keys.get(key)?;
        match &mut self.state.sessions.get_mut(&id)?.place {
            Place::Connected { link, watched } => {
                let (sender, receiver) = oneshot::channel();
                watched.push(sender);
                Some((Arc::clone(link), receiver))
            }
            Place::Waiting { .. } => None,
        }
    }

    /// Puts a socket into a room.
    pub(crate) fn join(
        &mut self,
        rooms: &Rooms<Member>,
        id: SocketId,
        room: &str,
        rooms_max: usize,
    ) -> Result<bool, NotJoined> {
        let joined = rooms.join(id, room, rooms_max)?;
        if joined && let Some(room) = rooms.name(room) {
            self.joined(id, room);
        }
        Ok(joined)
    }

    /// Takes a socket out of a room; `false` when it was not there.
    pub(crate) fn leave(&mut self, rooms: &Rooms<Member>, id: SocketId, room: &str) -> bool {
        let left = rooms.leave(id, room);
        if let Some(at) = left {
            self.left(id, room, at);
        }
        left.is_some()
    }

    pub(super) fn joined(&mut self, id: SocketId, room: Arc<str>) {
        let from = self.last();
        if let Some(session) = self.state.sessions.get_mut(&id) {
            session.join(room, from);
        }
    }

    pub(super) fn left(&mut self, id: SocketId, room: &str, at: usize) {
        let (first, last) = (self.first(), self.last());
        if let Some(session) = self.state.sessions.get_mut(&id) {
            session.leave(room, at, first, last);
        }
    }

    /// A socket has left its connection; it waits for another if `lost` says so, and no longer than its
    /// `life` lasts.
    pub(crate) fn depart(&mut self, id: SocketId, lost: bool, sent: u64, life: Option<Duration>) {
        let last = self.last();
        let Some(session) = self.state.sessions.get_mut(&id) else {
            return;
        };
        if !lost || session.revoked {
            self.remove(id);
            return;
        }
        let since = Instant::now();
        // None is so long that nobody waits for its end.
        session.over_at = life.and_then(|life| since.checked_add(life));
        session.place = Place::Waiting { since, sent, lost: last };
        let bytes = session.bytes();
        self.wait(bytes);
        self.state.waiting.push_back((since, id));
        if bytes > self.journal.settings.sockets_bytes_max / SESSIONS_BYTES_PART {
            self.remove(id);
        }
        self.state.compact();
        self.trim();
    }

    /// One more socket waits, which counts for so much.
    fn wait(&mut self, bytes: usize) {
        self.state.waiting_count += 1;
        self.journal.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn wait_no_more(&mut self, bytes: usize) {
        self.state.waiting_count -= 1;
        self.journal.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Forgets all who wait, unless somebody is connected; `false` then.
    pub(super) fn give_up(&mut self) -> bool {
        if !self.state.sessions.values().all(Session::waits) {
            return false;
        }
        let ids: Vec<_> = self.state.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.remove(id));
        true
    }

    /// A socket is not to come back, now or later.
    pub(crate) fn revoke(&mut self, id: SocketId) {
        match self.state.sessions.get_mut(&id) {
            Some(Session { place: Place::Connected { .. }, revoked, .. }) => *revoked = true,
            Some(_) => self.remove(id),
            None => {}
        }
    }

    /// The sockets that wait, and their data.
    pub(crate) fn waiting(&self) -> Vec<(SocketId, Data)> {
        let sessions = self.state.sessions.iter().filter(|(_, session)| session.waits());
        sessions.map(|(id, session)| (*id, Arc::clone(&session.data))).collect()
    }

    fn remove(&mut self, id: SocketId) {
        let Some(session) = self.state.sessions.remove(&id) else {
            return;
        };
        self.state.keys.remove(&session.key);
        if session.waits() {
            self.wait_no_more(session.bytes());
        }
        self.dropped.push(session);
        if self.state.sessions.is_empty() {
            // Memory returns: the tables are as large as they ever were.
            self.state.sessions = HashMap::new();
            self.state.keys = HashMap::new();
            self.state.waiting = VecDeque::new();
        }
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            log: Log::new(),
            sessions: HashMap::new(),
            keys: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_count: 0,
            places: Vec::new(),
        }
    }

    /// The socket that waits longest, and since when.
    fn longest_waiting(&mut self) -> Option<(Instant, SocketId)> {
        while let Some(&(since, id)) = self.waiting.front() {
            if self.is_waiting(id, since) {
                return Some((since, id));
            }
            self.waiting.pop_front();
        }
        None
    }

    fn is_waiting(&self, id: SocketId, since: Instant) -> bool {
        let place = self.sessions.get(&id).map(|session| &session.place);
        matches!(place, Some(Place::Waiting { since: waits, .. }) if *waits == since)
    }

    /// A client that comes and goes leaves places in the queue that nobody waits at.
    fn compact(&mut self) {
        if self.waiting.len() > 2 * self.waiting_count + 64 {
            let waiting = std::mem::take(&mut self.waiting);
            let waiting = waiting.into_iter().filter(|&(since, id)| self.is_waiting(id, since));
            self.waiting = waiting.collect();
        }
    }
}
