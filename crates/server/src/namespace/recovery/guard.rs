//! [`Guard`]: a journal that is locked: what is sent, who comes, who is lost, and who comes back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::MutexGuard;
use roomful_proto::{Letter, Parcel, RecoveryId, SocketId, Unstamped};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::journal::Journal;
use super::kept_session::Departed;
use super::log::Log;
use super::search::{Progress, Search};
use super::session::{Newcomer, Place, Session};
use super::shares::Kind;
use super::{Claim, Key, NotRecovered};
use crate::ground::target::Reliability;
use crate::namespace::erased::Data;
use crate::namespace::rooms::{NotJoined, Rooms};
use crate::namespace::socket_core::Member;
use crate::transport::link::Link;

/// A socket that counts for more than this part of what all that wait may take does not wait: else one
/// could put all others out.
pub(super) const SESSIONS_BYTES_PART: usize = 16;
/// What a journal counts for while somebody waits in it: it may be there for that alone.
const JOURNAL_BYTES: usize = 2_048;
/// Events that are dropped at once while the lock is held. There is no hurry: what is too old is dropped
/// with the next event or by the next sweep.
const DROPPED_AT_ONCE: usize = 256;

/// The journal, locked. When it is locked no more, room is made where all together hold too much.
pub(crate) struct Guard<'a> {
    pub(super) state: MutexGuard<'a, State>,
    pub(super) journal: &'a Journal,
    /// Data of the user's, and whole logs: dropped when the lock is not held any more.
    pub(super) dropped: Vec<Session>,
    dropped_all: HashMap<SocketId, Box<Session>>,
    pub(super) dropped_log: Option<Log>,
    _room: Option<Room<'a>>,
}

/// Makes room when it is dropped: last, when the lock is not held any more.
struct Room<'a>(&'a Journal);

pub(super) struct State {
    pub(super) log: Log,
    /// Apart, since a table has more places than sockets.
    pub(super) sessions: HashMap<SocketId, Box<Session>>,
    pub(super) keys: HashMap<Key, SocketId>,
    /// Those that wait, and since when, the longest first; what is not true any more is skipped.
    pub(super) waiting: VecDeque<(Instant, SocketId)>,
    pub(super) waiting_count: usize,
    /// What these count for.
    pub(super) waiting_bytes: usize,
    /// The sockets that are connected: one place for each server.
    pub(super) places: Vec<Weak<Rooms<Member>>>,
}

/// A socket that was given back.
pub(crate) struct Recovered {
    pub(crate) id: SocketId,
    /// What it had remembered.
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
    pub(super) fn stamp(&self, event: Unstamped, reliability: Reliability) -> Letter {
        if self.state.log.is_copy() {
            return event.stamp(&self.state.log.last_offset().to_string());
        }
        let number = match reliability {
            Reliability::Reliable | Reliability::Latest(_) => self.state.log.next(),
            Reliability::Volatile => self.last(),
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
        reliability: Reliability,
    ) -> u64 {
        self.keep(reliability, |log| log.push(parcel, to, except))
    }

    /// The same for an event to one socket.
    pub(super) fn record_for(
        &mut self,
        parcel: &Parcel,
        id: SocketId,
        reliability: Reliability,
    ) -> u64 {
        self.keep(reliability, |log| log.push_for(parcel, id))
    }

    fn keep(&mut self, reliability: Reliability, push: impl FnOnce(&mut Log) -> u64) -> u64 {
        if reliability == Reliability::Volatile {
            return self.last();
        }
        if self.state.sessions.is_empty() && !self.state.log.is_copy() {
            // Nobody is there who could miss it.
            self.trim();
            return self.state.log.skip();
        }
        let number = push(&mut self.state.log);
        self.trim();
        number
    }

    /// Drops events and sockets that are too old or too many: the oldest. `false` when there are more of
    /// them than are to be dropped at once.
    pub(super) fn trim(&mut self) -> bool {
        let now = Instant::now();
        let gone = self.give_up_longest(|guard, since| {
            guard.state.waiting_count > guard.journal.settings.sockets_max
                || guard.is_over(since, now)
        });
        // Somebody may come who was lost at another node.
        let may_be_missed = !self.state.sessions.is_empty() || self.state.log.is_copy();
        if !may_be_missed && !self.state.log.is_empty() {
            self.dropped_log = Some(self.state.log.take());
        }
        let keeps = self.journal.keeps;
        let is_done = self.drop_events(|log| {
            log.len() > self.journal.settings.events_max
                || log.oldest().is_some_and(|oldest| now - oldest.at >= keeps)
        });
        self.journal.note_events(self.state.log.bytes());
        gone && is_done
    }

    /// Drops the oldest events until what all count for is down to so much. `false` when that are more
    /// than are to be dropped at once.
    pub(super) fn cut_events(&mut self, bytes_max: usize) -> bool {
        let is_done = self.drop_events(|log| log.bytes() > bytes_max);
        self.journal.note_events(self.state.log.bytes());
        is_done
    }

    fn drop_events(&mut self, is_too_much: impl Fn(&Log) -> bool) -> bool {
        let silence = self.journal.silence();
        let log = &mut self.state.log;
        for _ in 0..DROPPED_AT_ONCE {
            if log.is_empty() || !is_too_much(log) {
                return true;
            }
            if log.is_copy() && log.oldest().is_some_and(|oldest| oldest.at.elapsed() < silence) {
                log.note_cut(log.first());
            }
            log.pop();
        }
        false
    }

    /// Gives up the sockets that wait longest until what all count for is down to so much. `false` when
    /// these are more than are to be dropped at once.
    pub(super) fn cut_sockets(&mut self, bytes_max: usize) -> bool {
        self.give_up_longest(|guard, _| guard.counted_bytes() > bytes_max)
    }

    /// Gives up the sockets that wait longest, as long as there are too many for one since then. `false` when
    /// these are more than are to go at once.
    fn give_up_longest(&mut self, is_one_too_many: impl Fn(&Self, Instant) -> bool) -> bool {
        for _ in 0..DROPPED_AT_ONCE {
            match self.state.longest_waiting() {
                Some((since, id)) if is_one_too_many(self, since) => self.remove(id),
                _ => return true,
            }
        }
        false
    }

    /// Since when the oldest event is kept, or the first socket waits.
    pub(super) fn oldest(&mut self, kind: Kind) -> Option<Instant> {
        match kind {
            Kind::Events => self.state.log.oldest().map(|entry| entry.at),
            Kind::Sockets => self.state.longest_waiting().map(|(since, _)| since),
        }
    }

    fn is_over(&self, since: Instant, now: Instant) -> bool {
        now - since >= self.journal.settings.window
    }

    /// The oldest event that is kept.
    fn first(&self) -> u64 {
        self.state.log.first()
    }

    /// Keeps a new socket.
    pub(crate) fn enter(&mut self, id: SocketId, recovery: &RecoveryId, newcomer: &Newcomer) {
        let key = Key::new(recovery);
        let mut session = Session::new(key, newcomer, self.last());
        session.secret = self.state.log.is_copy().then_some(*recovery);
        self.state.keys.insert(key, id);
        self.state.sessions.insert(id, Box::new(session));
    }

    /// Begins to look for what the socket that is claimed has missed. One that cannot be given back is
    /// not kept for another attempt: its client gets a new one and forgets it.
    pub(super) fn begin(
        &mut self,
        claim: &Claim,
        newcomer: &Newcomer,
    ) -> Result<Search, NotRecovered> {
        self.trim();
        let id = self.claimed(claim)?;
        let begun = self.look_for(id, claim, newcomer);
        begun.inspect_err(|why| self.give_up_on(id, *why))
    }

    /// Gives a socket back to whoever has looked for what it missed; what was sent since then is looked
    /// for here.
    pub(crate) fn recover(
        &mut self,
        claim: &Claim,
        newcomer: &Newcomer,
        search: &mut Search,
    ) -> Result<Recovered, NotRecovered> {
        let id = self.claimed(claim)?;
        let recovered = self.give_back(id, newcomer, search);
        recovered.inspect_err(|why| self.give_up_on(id, *why))
    }

    /// A search has failed.
    pub(super) fn give_up_search(&mut self, search: &Search, why: NotRecovered) {
        let since = search.waits_since;
        if self.state.is_waiting(search.id, since) {
            self.give_up_on(search.id, why);
        }
    }

    /// Neither may who is connected be put out by a claim, nor who waits by a stranger.
    pub(super) fn give_up_on(&mut self, id: SocketId, why: NotRecovered) {
        if !matches!(why, NotRecovered::Connected | NotRecovered::Stranger) {
            self.remove(id);
        }
    }

    pub(super) fn claimed(&self, claim: &Claim) -> Result<SocketId, NotRecovered> {
        self.state.keys.get(&Key::new(&claim.id)).copied().ok_or(NotRecovered::Unknown)
    }

    fn give_back(
        &mut self,
        id: SocketId,
        newcomer: &Newcomer,
        search: &mut Search,
    ) -> Result<Recovered, NotRecovered> {
        let (_, since) = self.waits_for(id, newcomer)?;
        if since != search.waits_since {
            // It was given back and lost again meanwhile.
            return Err(NotRecovered::Connected);
        }
        while search.step(&self.state.log)? != Progress::Done {
            search.settle();
        }
        // Since it began, other namespaces may have sent something over the same connection.
        if !search.fits(newcomer.bytes_max) {
            return Err(NotRecovered::TooMuch);
        }
        let session = self.state.sessions.get_mut(&id).ok_or(NotRecovered::Unknown)?;
        let Place::Waiting { sent, .. } = session.place else {
            return Err(NotRecovered::Connected);
        };
        let bytes = session.bytes();
        session.auth = newcomer.auth;
        session.asked.clone_from(&newcomer.asked);
        let life = session.over_at.take().map(|at| at.saturating_duration_since(Instant::now()));
        session.place = Place::connected(&newcomer.link);
        let data = std::mem::replace(&mut session.data, Arc::clone(&newcomer.data));
        let rooms = session.rooms();
        self.wait_no_more(bytes);
        let missed = search.take_missed();
        let sent = missed.last().map_or(sent, |(number, _)| *number);
        let missed = missed.into_iter().map(|(_, parcel)| parcel).collect();
        Ok(Recovered { id, data, rooms, missed, sent, life })
    }

    /// The socket and since when it waits, if it does, for this newcomer.
    fn waits_for(
        &self,
        id: SocketId,
        newcomer: &Newcomer,
    ) -> Result<(&Session, Instant), NotRecovered> {
        let session = self.state.sessions.get(&id).ok_or(NotRecovered::Unknown)?;
        if !session.is_of(newcomer) {
            return Err(NotRecovered::Stranger);
        }
        match session.place {
            Place::Connected { .. } => Err(NotRecovered::Connected),
            Place::Waiting { since, .. }
                if session.is_over() || self.is_over(since, Instant::now()) =>
            {
                Err(NotRecovered::Unknown)
            }
            Place::Waiting { since, .. } => Ok((session, since)),
        }
    }

    /// A search for what a socket has missed that is claimed.
    fn look_for(
        &self,
        id: SocketId,
        claim: &Claim,
        newcomer: &Newcomer,
    ) -> Result<Search, NotRecovered> {
        let (session, waits_since) = self.waits_for(id, newcomer)?;
        let from = self.missed_behind(session, claim)?;
        let stays = session.stays().cloned().collect();
        let work_max = self.journal.settings.search_max;
        Ok(Search::new(id, waits_since, stays, from, newcomer.bytes_max, work_max))
    }

    /// The event behind which a socket that is claimed has missed what was sent.
    fn missed_behind(&self, session: &Session, claim: &Claim) -> Result<u64, NotRecovered> {
        let Place::Waiting { sent, lost, .. } = session.place else {
            return Err(NotRecovered::Connected);
        };
        let shown = claim.offset.as_deref().and_then(|offset| self.number(offset));
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
        Ok(from)
    }

    /// The number in an offset; `None` where it is none of this journal.
    fn number(&self, offset: &str) -> Option<u64> {
        if self.state.log.is_copy() {
            return self.state.log.number_of(offset.parse().ok()?);
        }
        self.journal.number(offset)
    }

    /// The data of the socket that is claimed, unless its time is over.
    pub(crate) fn data(&self, claim: &Claim) -> Option<Data> {
        let session = self.state.sessions.get(&self.claimed(claim).ok()?)?;
        (!session.is_over()).then(|| Arc::clone(&session.data))
    }

    /// Whether the socket that is claimed is that of this newcomer, connected or not.
    pub(super) fn is_theirs(&self, claim: &Claim, newcomer: &Newcomer) -> bool {
        let session = self.claimed(claim).ok().and_then(|id| self.state.sessions.get(&id));
        session.is_some_and(|session| session.is_of(newcomer))
    }

    /// The data of the socket that is claimed, if it is that of this newcomer and the `connect` function
    /// that would be asked now has let it in.
    pub(crate) fn expects(&self, claim: &Claim, newcomer: &Newcomer) -> Option<Data> {
        let session = self.state.sessions.get(&self.claimed(claim).ok()?)?;
        let knows = session.asked.is_some() && session.asked == newcomer.asked;
        let is_expected = knows && session.is_of(newcomer) && !session.revoked;
        (is_expected && !session.is_over()).then(|| Arc::clone(&session.data))
    }

    /// Who has the socket that is claimed, if it is connected, and how to learn that it is not any more.
    pub(super) fn watch(&mut self, claim: &Claim) -> Option<(Arc<Link>, oneshot::Receiver<()>)> {
        let id = self.claimed(claim).ok()?;
        match &mut self.state.sessions.get_mut(&id)?.place {
            Place::Connected { link, watched } => {
                let (sender, receiver) = oneshot::channel();
                // Of two attempts to come back the later is that of the client as it is now.
                *watched = Some(sender);
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
    /// `life` lasts. Where an engine keeps it meanwhile, it is given.
    pub(crate) fn depart(
        &mut self,
        id: SocketId,
        lost: bool,
        sent: u64,
        life: Option<Duration>,
    ) -> Option<Departed> {
        let (last, is_copy) = (self.last(), self.state.log.is_copy());
        let session = self.state.sessions.get_mut(&id)?;
        if !lost || session.revoked {
            self.remove(id);
            return None;
        }
        if is_copy {
            return self.hand_over(id, sent, life);
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
        None
    }

    /// One more socket waits, which counts for so much.
    pub(super) fn wait(&mut self, bytes: usize) {
        self.state.waiting_count += 1;
        self.state.waiting_bytes += bytes;
        self.note_sockets();
    }

    fn wait_no_more(&mut self, bytes: usize) {
        self.state.waiting_count -= 1;
        self.state.waiting_bytes -= bytes;
        self.note_sockets();
    }

    /// A journal is there for whoever waits, and counts with them.
    fn note_sockets(&self) {
        self.journal.note_sockets(self.counted_bytes());
    }

    /// What the sockets that wait count for.
    fn counted_bytes(&self) -> usize {
        // Its name is kept in the table, too.
        let journal = JOURNAL_BYTES + 2 * self.journal.name.len();
        self.state.waiting_bytes + if self.state.waiting_count > 0 { journal } else { 0 }
    }

    /// Forgets all who wait, unless somebody is connected; `false` then.
    pub(super) fn give_up(&mut self) -> bool {
        if self.state.waiting_count < self.state.sessions.len() {
            return false;
        }
        self.dropped_all = std::mem::take(&mut self.state.sessions);
        self.state.keys = HashMap::new();
        self.state.waiting = VecDeque::new();
        (self.state.waiting_count, self.state.waiting_bytes) = (0, 0);
        self.note_sockets();
        true
    }

    /// A socket is not to come back, now or later.
    pub(crate) fn revoke(&mut self, id: SocketId) {
        match self.state.sessions.get_mut(&id) {
            Some(session) if !session.waits() => session.revoked = true,
            Some(_) => self.remove(id),
            None => {}
        }
    }

    /// The sockets that wait, and their data.
    pub(crate) fn waiting(&self) -> Vec<(SocketId, Data)> {
        let sessions = self.state.sessions.iter().filter(|(_, session)| session.waits());
        sessions.map(|(id, session)| (*id, Arc::clone(&session.data))).collect()
    }

    pub(super) fn remove(&mut self, id: SocketId) {
        let Some(session) = self.state.sessions.remove(&id) else {
            return;
        };
        self.state.keys.remove(&session.key);
        if session.waits() {
            self.wait_no_more(session.bytes());
        }
        self.dropped.push(*session);
        if self.state.sessions.is_empty() {
            // Memory returns: the tables are as large as they ever were.
            self.state.sessions = HashMap::new();
            self.state.keys = HashMap::new();
            self.state.waiting = VecDeque::new();
        }
    }
}

impl<'a> Guard<'a> {
    pub(super) fn new(journal: &'a Journal, state: MutexGuard<'a, State>) -> Self {
        Self { _room: Some(Room(journal)), ..Self::within(journal, state) }
    }

    /// One that makes no room, for whoever makes it.
    pub(super) fn within(journal: &'a Journal, state: MutexGuard<'a, State>) -> Self {
        let (dropped, dropped_all) = (Vec::new(), HashMap::new());
        Self { state, journal, dropped, dropped_all, dropped_log: None, _room: None }
    }

    /// Lets who waits for the lock have it next.
    pub(super) fn unlock_fairly(self) {
        MutexGuard::unlock_fair(self.state);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.make_room();
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
            waiting_bytes: 0,
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
