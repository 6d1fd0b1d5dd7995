//! [`Journal`]: the events of one namespace that may still be missed, numbered as they were sent, and
//! its sockets, those that wait for their clients too.
//!
//! Its lock is what puts the events of a namespace into one order: whoever sends holds it until the
//! event is with everybody, and whoever joins, leaves or comes back until that is done. So each socket
//! is sent the events in the order of their numbers, and the number that its client shows tells
//! exactly what it has had. It is the only lock under which others are taken.
//!
//! An offset is the number of an event behind the mark of the journal. A client shows the last one that
//! it was ever sent, even by a server that is no more, or as another socket. Then it has had nothing as the
//! one that it wants back; that is believed if nothing was sent to that.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use roomful_proto::{EncodeError, Letter, Parcel, RecoveryId, SocketId, Unstamped};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{AuthDigest, Claim, Key, NotRecovered, Settings, Store};
use crate::core;
use crate::handler::Data;
use crate::link::{Link, Pushed, Worth};
use crate::namespace::NamespaceCore;
use crate::rooms::{NotJoined, Rooms, Selection};
use crate::socket::{Member, SocketCore};

/// What an event that is kept counts for beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 128;
/// Rooms that a socket has left and that are remembered. Without them it could not be told which of
/// the events that it missed were for it.
const STAYS_OVER_MAX: usize = 64;

/// The events and the sockets of one namespace.
pub(crate) struct Journal {
    state: Mutex<State>,
    settings: Settings,
    mark: String,
    /// How long an event is kept.
    keeps: Duration,
    /// What the events of all journals count for.
    bytes: Arc<AtomicUsize>,
}

/// The journal, locked.
pub(crate) struct Guard<'a> {
    state: MutexGuard<'a, State>,
    journal: &'a Journal,
    /// Data of the user's, dropped when the lock is not held any more.
    dropped: Vec<Session>,
}

struct State {
    log: VecDeque<Entry>,
    /// The number of the next event; that of the oldest in the log is this less the length of the log.
    next: u64,
    sessions: HashMap<SocketId, Session>,
    keys: HashMap<Key, SocketId>,
    /// Those that wait, and since when; what is not true any more is skipped.
    waiting: VecDeque<(Instant, SocketId)>,
    waiting_count: usize,
    /// The sockets that are connected: one place for each server.
    places: Vec<Weak<Rooms<Member>>>,
}

/// An event that may be missed.
struct Entry {
    parcel: Parcel,
    to: Names,
    except: Names,
    at: Instant,
    bytes: usize,
}

type Names = Box<[Box<str>]>;

/// A socket, as far as it can be given back.
struct Session {
    key: Key,
    auth: AuthDigest,
    data: Data,
    /// The last event before it joined.
    since: u64,
    stays: Vec<Stay>,
    /// Its rooms are known from this event on.
    known_since: u64,
    /// It is not to come back.
    revoked: bool,
    /// Nor from then on, while it waits.
    over_at: Option<Instant>,
    place: Place,
}

enum Place {
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
struct Stay {
    room: Arc<str>,
    from: u64,
    until: Option<u64>,
}

/// Whom an event goes to, and how.
pub(crate) struct Sending<'a> {
    pub(crate) namespace: &'a NamespaceCore,
    pub(crate) to: &'a [String],
    pub(crate) except: &'a [String],
    pub(crate) worth: Worth,
    pub(crate) compress: bool,
}

/// Who was let in.
pub(crate) struct Newcomer {
    pub(crate) link: Arc<Link>,
    pub(crate) auth: AuthDigest,
    pub(crate) data: Data,
    /// Whether it is who it was, if that was decided.
    pub(crate) same: Option<bool>,
    /// What may be sent to it now.
    pub(crate) bytes_max: usize,
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

impl Journal {
    pub(super) fn new(store: &Store, silence: Duration) -> Self {
        let state = State {
            log: VecDeque::new(),
            next: 1,
            sessions: HashMap::new(),
            keys: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_count: 0,
            places: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            settings: store.settings.clone(),
            mark: mark(),
            keeps: store.settings.window.saturating_add(silence),
            bytes: Arc::clone(&store.bytes),
        }
    }

    /// From now on what is sent goes to these sockets, too.
    pub(super) fn attach(&self, rooms: &Arc<Rooms<Member>>) {
        let mut state = self.state.lock();
        state.places.retain(|place| place.strong_count() > 0);
        state.places.push(Arc::downgrade(rooms));
    }

    pub(crate) fn lock(&self) -> Guard<'_> {
        Guard { state: self.state.lock(), journal: self, dropped: Vec::new() }
    }

    /// Sends an event to a selection of the sockets of all servers that share this, and tells to how
    /// many it went.
    pub(crate) fn send(
        &self,
        event: Unstamped,
        sending: &Sending<'_>,
    ) -> Result<usize, EncodeError> {
        let Sending { namespace, to, except, worth, compress } = *sending;
        let mut journal = self.lock();
        let parcel = namespace.parcel(journal.stamp(event, worth), compress)?;
        let number = journal.record(&parcel, to, except, worth);
        let places = journal.state.places.iter().filter_map(Weak::upgrade);
        let selections: Vec<_> = places.map(|rooms| rooms.select(to, except)).collect();
        let mut queued = 0;
        let mut noted = Vec::new();
        for member in selections.iter().flat_map(Selection::iter) {
            let pushed = member.push(parcel.clone(), number, worth);
            queued += usize::from(pushed.is_queued());
            if pushed != Pushed::Queued {
                noted.push((member, pushed));
            }
        }
        drop(journal);
        // Not under the lock: it is logged, or told to a function of the user's.
        noted.into_iter().for_each(|(member, pushed)| member.socket.note(pushed));
        Ok(queued)
    }

    /// Sends an event to one socket.
    pub(crate) fn send_to(
        &self,
        socket: &Arc<SocketCore>,
        event: Unstamped,
        worth: Worth,
        compress: bool,
    ) -> Result<Pushed, EncodeError> {
        let mut journal = self.lock();
        let parcel = socket.namespace.parcel(journal.stamp(event, worth), compress)?;
        let number = journal.record(&parcel, &[socket.id.as_str()], &[], worth);
        if worth != Worth::Volatile {
            socket.note_sent(number);
        }
        let pushed = socket.link.push(parcel, worth);
        drop(journal);
        socket.note(pushed);
        Ok(pushed)
    }

    /// Waits until the socket of that key has no connection any more; the old one is told to end.
    pub(crate) async fn vacated(&self, key: &Key, patience: Duration) {
        let vacated = {
            let mut journal = self.lock();
            let Some((link, watch)) = journal.watch(key) else {
                return;
            };
            drop(journal);
            link.order(crate::link::Order::Close(roomful_proto::Reason::TransportClose));
            watch
        };
        // That the sender is dropped is the news.
        let _ = tokio::time::timeout(patience, vacated).await;
    }

    /// The number in an offset; `None` where it is none of this journal.
    fn number(&self, offset: &str) -> Option<u64> {
        let digits = offset.strip_prefix(self.mark.as_str())?;
        // One that is longer than any was made up, and is to be seen as such.
        let number = || digits.parse().unwrap_or(u64::MAX);
        (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())).then(number)
    }

    /// Drops what is too old; `false` when nothing is left that could become so.
    pub(super) fn sweep(&self) -> bool {
        let mut journal = self.lock();
        journal.trim();
        !(journal.state.log.is_empty() && journal.state.sessions.is_empty())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let held: usize = self.state.get_mut().log.iter().map(|entry| entry.bytes).sum();
        self.bytes.fetch_sub(held, Ordering::Relaxed);
    }
}

impl Guard<'_> {
    /// The number of the last event.
    pub(crate) fn last(&self) -> u64 {
        self.state.next - 1
    }

    /// Writes the offset into an event. A volatile one is not kept and has no number of its own, but
    /// clients take any text at its end for an offset.
    fn stamp(&self, event: Unstamped, worth: Worth) -> Letter {
        let number = match worth {
            Worth::Kept | Worth::Latest(_) => self.state.next,
            Worth::Volatile => self.last(),
        };
        let mut offset = self.journal.mark.clone();
        offset.push_str(itoa::Buffer::new().format(number));
        event.stamp(&offset)
    }

    /// Gives an event its number and keeps it, unless it is volatile.
    fn record<R: AsRef<str>>(
        &mut self,
        parcel: &Parcel,
        to: &[R],
        except: &[R],
        worth: Worth,
    ) -> u64 {
        if worth == Worth::Volatile {
            return self.last();
        }
        let number = self.state.next;
        let names =
            |rooms: &[R]| -> Names { rooms.iter().map(|room| room.as_ref().into()).collect() };
        let (to, except) = (names(to), names(except));
        let names: usize = to.iter().chain(&except).map(|room| room.len()).sum();
        let bytes = parcel.len() + names + ENTRY_OVERHEAD_BYTES;
        let entry = Entry { parcel: parcel.clone(), to, except, at: Instant::now(), bytes };
        self.state.next += 1;
        self.state.log.push_back(entry);
        self.journal.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.trim();
        number
    }

    /// Drops events and sockets that are too old or too many.
    fn trim(&mut self) {
        let now = Instant::now();
        let settings = &self.journal.settings;
        let too_many = |state: &State| {
            state.sessions.is_empty()
                || state.log.len() > settings.events_max
                || self.journal.bytes.load(Ordering::Relaxed) > settings.bytes_max
        };
        while let Some(oldest) = self.state.log.front() {
            if !too_many(&self.state) && now - oldest.at < self.journal.keeps {
                break;
            }
            self.journal.bytes.fetch_sub(oldest.bytes, Ordering::Relaxed);
            self.state.log.pop_front();
        }
        if self.state.log.is_empty() && self.state.log.capacity() > 1024 {
            self.state.log = VecDeque::new();
        }
        while let Some(&(since, id)) = self.state.waiting.front() {
            let too_many = self.state.waiting_count > settings.sockets_max;
            if !too_many && now - since < settings.window && self.state.is_waiting(id, since) {
                break;
            }
            self.state.waiting.pop_front();
            if self.state.is_waiting(id, since) {
                self.remove(id);
            }
        }
    }

    /// The oldest event that is kept.
    fn first(&self) -> u64 {
        self.state.next - self.state.log.len() as u64
    }

    /// Keeps a new socket.
    pub(crate) fn enter(&mut self, id: SocketId, recovery: &RecoveryId, newcomer: &Newcomer) {
        let key = Key::new(recovery);
        let since = self.last();
        let session = Session {
            key,
            auth: newcomer.auth,
            data: Arc::clone(&newcomer.data),
            since,
            stays: Vec::new(),
            known_since: since,
            revoked: false,
            over_at: None,
            place: Place::Connected { link: Arc::clone(&newcomer.link), watched: Vec::new() },
        };
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
        if self.state.sessions.get(&id).is_some_and(Session::is_over) {
            self.remove(id);
            return Err(NotRecovered::Unknown);
        }
        let recovered = self.give_back(id, claim, newcomer);
        if let Err(NotRecovered::Offset | NotRecovered::Incomplete | NotRecovered::TooMuch) =
            recovered
        {
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
        let session = self.state.sessions.get(&id).ok_or(NotRecovered::Unknown)?;
        let Place::Waiting { sent, lost, .. } = session.place else {
            return Err(NotRecovered::Connected);
        };
        if !newcomer.same.unwrap_or(session.auth == newcomer.auth) {
            return Err(NotRecovered::Stranger);
        }
        let shown = claim.offset.as_deref().and_then(|offset| self.journal.number(offset));
        let had = match shown {
            Some(shown) if (session.since..self.state.next).contains(&shown) => shown,
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
        let missed = missed.into_iter().map(|(_, parcel)| parcel).collect();
        let session = self.state.sessions.get_mut(&id).ok_or(NotRecovered::Unknown)?;
        session.auth = newcomer.auth;
        let life = session.over_at.take().map(|at| at.saturating_duration_since(Instant::now()));
        session.place = Place::Connected { link: Arc::clone(&newcomer.link), watched: Vec::new() };
        let data = Arc::clone(&session.data);
        let rooms = session.stays.iter().filter(|stay| stay.until.is_none());
        let rooms = rooms.map(|stay| Arc::clone(&stay.room)).collect();
        self.state.waiting_count -= 1;
        Ok(Recovered { id, data, rooms, missed, sent, life })
    }

    /// The events behind one that were for a socket, up to so many bytes: nobody waits for the lock
    /// while more is looked for than can be sent.
    fn missed(
        &self,
        id: SocketId,
        session: &Session,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Parcel)>, NotRecovered> {
        let first = self.first();
        let skip = usize::try_from((from + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let mut left = bytes_max;
        let mut missed = Vec::new();
        for (number, entry) in (first..).zip(&self.state.log).skip(skip) {
            if session.hears(id, number, entry) {
                let bytes = entry.parcel.len() + ENTRY_OVERHEAD_BYTES;
                left = left.checked_sub(bytes).ok_or(NotRecovered::TooMuch)?;
                missed.push((number, entry.parcel.clone()));
            }
        }
        Ok(missed)
    }

    /// The data of the socket of that key, if it waits.
    pub(crate) fn data(&self, key: &Key) -> Option<Data> {
        let session = self.state.sessions.get(self.state.keys.get(key)?)?;
        matches!(session.place, Place::Waiting { .. }).then(|| Arc::clone(&session.data))
    }

    /// Whether the socket of that key waits for somebody with this auth payload.
    pub(crate) fn expects(&self, key: &Key, auth: AuthDigest) -> bool {
        let session = self.state.keys.get(key).and_then(|id| self.state.sessions.get(id));
        session.is_some_and(|s| s.auth == auth && matches!(s.place, Place::Waiting { .. }))
    }

    /// Who has the socket of that key, if it is connected, and how to learn that it is not any more.
    fn watch(&mut self, key: &Key) -> Option<(Arc<Link>, oneshot::Receiver<()>)> {
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
        if left {
            self.left(id, room);
        }
        left
    }

    fn joined(&mut self, id: SocketId, room: Arc<str>) {
        let from = self.last();
        if let Some(session) = self.state.sessions.get_mut(&id) {
            session.stays.push(Stay { room, from, until: None });
        }
    }

    fn left(&mut self, id: SocketId, room: &str) {
        let (first, last) = (self.first(), self.last());
        let Some(session) = self.state.sessions.get_mut(&id) else {
            return;
        };
        let open = |stay: &&mut Stay| stay.until.is_none() && *stay.room == *room;
        if let Some(stay) = session.stays.iter_mut().find(open) {
            stay.until = Some(last);
        }
        session.forget_stays(first);
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
        self.state.waiting_count += 1;
        self.state.waiting.push_back((since, id));
        self.state.compact();
        self.trim();
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
        let waits = |session: &Session| matches!(session.place, Place::Waiting { .. });
        let sessions = self.state.sessions.iter().filter(|(_, session)| waits(session));
        sessions.map(|(id, session)| (*id, Arc::clone(&session.data))).collect()
    }

    fn remove(&mut self, id: SocketId) {
        let Some(session) = self.state.sessions.remove(&id) else {
            return;
        };
        self.state.keys.remove(&session.key);
        self.state.waiting_count -= usize::from(matches!(session.place, Place::Waiting { .. }));
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

impl Session {
    /// Whether the time of a socket that waits is over.
    fn is_over(&self) -> bool {
        self.over_at.is_some_and(|at| at <= Instant::now())
    }

    /// Whether an event was for this socket.
    fn hears(&self, id: SocketId, number: u64, entry: &Entry) -> bool {
        let was_in = |room: &str| {
            let own = *room == *id && number > self.since;
            own || self.stays.iter().any(|stay| *stay.room == *room && stay.covers(number))
        };
        let named = |rooms: &[Box<str>]| rooms.iter().any(|room| was_in(room));
        number > self.since && (entry.to.is_empty() || named(&entry.to)) && !named(&entry.except)
    }

    /// Drops the rooms that were left before the oldest event, and the oldest of too many.
    fn forget_stays(&mut self, first: u64) {
        self.stays.retain(|stay| stay.until.is_none_or(|until| until >= first));
        let over = self.stays.iter().filter(|stay| stay.until.is_some()).count();
        if over > STAYS_OVER_MAX
            && let Some(oldest) = self.stays.iter().position(|stay| stay.until.is_some())
        {
            let stay = self.stays.remove(oldest);
            self.known_since = self.known_since.max(stay.until.unwrap_or(0));
        }
    }
}

impl Stay {
    fn covers(&self, number: u64) -> bool {
        number > self.from && self.until.is_none_or(|until| number <= until)
    }
}

/// What tells the offsets of this journal from those of others: four letters, as good as random.
fn mark() -> String {
    let random = core::random().map(SocketId::from_random);
    random.and_then(|id| id.get(..4).map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use roomful_proto::SessionId;
    use roomful_proto::engine::{Query, Transport};

    use super::super::Recovery;
    use super::*;
    use crate::config::Config;
    use crate::core::Core;
    use crate::dialect::Dialect;
    use crate::handshake::Handshake;
    use crate::head::{Head, Headers};
    use crate::sessions::Sessions;

    const WINDOW: Duration = Duration::from_secs(60);
    const SILENCE: Duration = Duration::from_secs(10);

    fn journal() -> Arc<Journal> {
        Recovery::builder().window(WINDOW).build().journal("/", SILENCE, &Arc::default())
    }

    fn link() -> Arc<Link> {
        let headers = Headers::Slice(&[]);
        let head = Head {
            method: "GET",
            path: "/",
            query: "",
            authority: None,
            secure: false,
            headers,
            peer: None,
        };
        let id = SessionId::from_random([7; 15]);
        let dialect = Dialect::new(&Query::parse("EIO=4"));
        let handshake = Handshake::new(&head);
        let make = |key| Link::new(id, key, Transport::Polling, dialect, handshake, 100_000);
        Sessions::default().insert(1, make).unwrap()
    }

    fn newcomer() -> Newcomer {
        Newcomer {
            link: link(),
            auth: AuthDigest::new(None),
            data: Arc::new(()),
            same: None,
            bytes_max: 100_000,
        }
    }

    fn id(n: u8) -> SocketId {
        SocketId::from_random([n; 15])
    }

    fn claim(journal: &Journal, n: u8, offset: u64) -> Claim {
        let offset = Some(format!("{}{offset}", journal.mark));
        Claim { id: RecoveryId::from_random([n; 15]), offset }
    }

    fn enter(journal: &Journal, n: u8) {
        journal.lock().enter(id(n), &RecoveryId::from_random([n; 15]), &newcomer());
    }

    fn emit(journal: &Journal, to: &[String]) {
        let event = Unstamped::event("/", "e", &()).unwrap();
        let namespace = Core::new(Config::default(), Arc::new(())).namespace("/");
        let (worth, namespace) = (Worth::Kept, &*namespace);
        let sending = Sending { namespace, to, except: &[], worth, compress: true };
        journal.send(event, &sending).unwrap();
    }

    /// How many events came back, or why none did.
    fn recover(journal: &Journal, n: u8, offset: u64) -> Result<usize, NotRecovered> {
        let recovered = journal.lock().recover(&claim(journal, n, offset), &newcomer());
        recovered.map(|recovered| recovered.missed.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_waits_as_long_as_the_window_and_no_longer() {
        let journal = journal();
        for (n, waits) in [(1, WINDOW - Duration::from_millis(1)), (2, WINDOW)] {
            enter(&journal, n);
            let last = journal.lock().last();
            journal.lock().depart(id(n), true, last, None);
            emit(&journal, &[]);
            tokio::time::advance(waits).await;
            let expected = if waits < WINDOW { Ok(1) } else { Err(NotRecovered::Unknown) };
            assert_eq!(recover(&journal, n, last), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_waits_no_longer_than_it_may_stay() {
        let journal = journal();
        let second = Duration::from_secs(1);
        for (n, life, left) in [
            (1, second, None),
            (2, 3 * second, Some(Some(2 * second))),
            (3, Duration::MAX, Some(None)),
        ] {
            enter(&journal, n);
            journal.lock().depart(id(n), true, 0, Some(life));
            tokio::time::advance(second).await;
            let recovered = journal.lock().recover(&claim(&journal, n, 0), &newcomer());
            let found = recovered.map(|recovered| recovered.life);
            assert_eq!(found, left.ok_or(NotRecovered::Unknown));
        }
        assert_eq!(journal.lock().state.sessions.len(), 2, "what is over is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_before_a_loss_was_noticed_is_kept_for_the_window_too() {
        let journal = journal();
        enter(&journal, 1);
        emit(&journal, &[id(1).to_string()]);
        tokio::time::advance(SILENCE).await;
        journal.lock().depart(id(1), true, 1, None);
        tokio::time::advance(WINDOW - Duration::from_millis(1)).await;
        assert_eq!(recover(&journal, 1, 0), Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_returns_when_nobody_waits_any_more() {
        let recovery = Recovery::builder().window(WINDOW).build();
        let journal = recovery.journal("/", SILENCE, &Arc::default());
        enter(&journal, 1);
        journal.lock().joined(id(1), "room".into());
        (0..5_000).for_each(|_| emit(&journal, &[]));
        assert_ne!(recovery.store.bytes.load(Ordering::Relaxed), 0);
        recovery.keep_tidy();
        journal.lock().depart(id(1), true, 5_000, None);
        tokio::time::sleep(2 * WINDOW).await;
        assert_eq!(recovery.store.bytes.load(Ordering::Relaxed), 0);
        let journal = journal.lock();
        let state = &journal.state;
        assert_eq!((state.log.capacity(), state.sessions.capacity(), state.keys.len()), (0, 0, 0));
        assert_eq!((state.waiting_count, state.waiting.capacity()), (0, 0));
    }

    /// A client that comes and goes all the time.
    #[tokio::test(start_paused = true)]
    async fn coming_and_going_leaves_nothing_in_the_queue() {
        let journal = journal();
        enter(&journal, 1);
        for _ in 0..10_000 {
            journal.lock().depart(id(1), true, 0, None);
            tokio::time::advance(Duration::from_nanos(1)).await;
            assert_eq!(recover(&journal, 1, 0), Ok(0));
        }
        assert!(journal.lock().state.waiting.len() < 100);
    }

    #[tokio::test]
    async fn sockets_that_wait_are_bounded_and_the_oldest_go() {
        let recovery = Recovery::builder().sockets_max(2).build();
        let journal = recovery.journal("/", SILENCE, &Arc::default());
        for n in 1..=3 {
            enter(&journal, n);
            journal.lock().depart(id(n), true, 0, None);
        }
        let found = [1, 2, 3].map(|n| recover(&journal, n, 0));
        assert_eq!(found, [Err(NotRecovered::Unknown), Ok(0), Ok(0)]);
    }

    /// The rooms that a socket has left are remembered up to a bound; behind that it is told.
    #[tokio::test]
    async fn a_socket_that_changed_rooms_too_often_is_told() {
        for (rooms, expected) in
            [(STAYS_OVER_MAX, Ok(1)), (STAYS_OVER_MAX + 1, Err(NotRecovered::Incomplete))]
        {
            let journal = journal();
            enter(&journal, 1);
            for n in 0..rooms {
                let room = n.to_string();
                journal.lock().joined(id(1), room.as_str().into());
                emit(&journal, &["elsewhere".into()]);
                journal.lock().left(id(1), &room);
            }
            emit(&journal, &["0".into()]);
            emit(&journal, &[]);
            let last = journal.lock().last();
            journal.lock().depart(id(1), true, last, None);
            assert_eq!(recover(&journal, 1, 0), expected, "{rooms} rooms");
        }
    }

    #[tokio::test]
    async fn what_is_revoked_while_connected_does_not_wait() {
        let journal = journal();
        enter(&journal, 1);
        journal.lock().revoke(id(1));
        journal.lock().depart(id(1), true, 0, None);
        assert_eq!(recover(&journal, 1, 0), Err(NotRecovered::Unknown));
    }
}
