//! [`Journal`]: the events of one namespace that may still be missed, numbered as they were sent, and its sockets,
//! those that wait for their clients too.
//!
//! Its lock puts the events of a namespace into one order. A task that sends numbers the event, keeps it and puts it
//! into every outbox under this lock. A socket joins, leaves or comes back under it. So each socket is sent the events
//! in the order of their numbers, and the number that its client shows tells exactly what it has had. The locks of
//! rooms and links are taken under this one.
//!
//! A `Parser` writes events and the answer to CONNECT under this lock too, since the number of an event stands in what
//! it writes. So `Parser::encode` must be quick, and a call of the server out of it would wait for itself.
//!
//! An offset is the number of an event behind the mark of the journal. A volatile event has the number of the event
//! before it, since clients take any text at the end of an event for an offset. A client shows the last offset that it
//! was ever sent, even by a server that is no more, or as another socket. Then it has had nothing as the socket that it
//! wants back. That is believed if nothing was sent to that socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use roomful_proto::cluster::Offset;
use roomful_proto::{EncodeError, Reason, RecoveryId, SocketId, Unstamped};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::guard::{Guard, State};
use super::log::Arrival;
use super::search::{FEW_EVENTS, Progress, Search};
use super::shares::{Kind, Totals};
use super::{Claim, KeptSession, Key, Newcomer, NotRecovered, Settings, Store};
use crate::ground::farewell::Description;
use crate::ground::random;
use crate::ground::target::{Reliability, Target};
use crate::namespace::adapter::EventLog;
use crate::namespace::erased::Data;
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::rooms::{Rooms, Selection};
use crate::namespace::socket_core::{Member, SocketCore};
use crate::transport::link::{Order, Pushed};

/// How often a search begins anew with what was sent meanwhile. What is left then is looked for with the
/// lock held.
const ROUNDS_MAX: usize = 8;
/// How long a client that comes back waits until the events that it has had elsewhere have come to this node.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it looks whether they have.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(10);
/// Steps of a search behind which others have their turn.
const STEPS_PER_TURN: usize = 4;

/// The events and the sockets of one namespace.
pub(crate) struct Journal {
    pub(super) name: Box<str>,
    state: Mutex<State>,
    pub(super) settings: Arc<Settings>,
    pub(super) mark: String,
    /// How long an event is kept.
    pub(super) keeps: Duration,
    /// Whose child the namespace is, if it is one.
    family: Mutex<Option<Arc<str>>>,
    /// What its events count for. It is written under its lock.
    events: AtomicUsize,
    /// What its sockets that wait count for. It is written under its lock.
    sockets: AtomicUsize,
    /// The same of all journals.
    totals: Arc<Totals>,
    searches: Arc<Semaphore>,
    store: Weak<Store>,
}

/// How an event comes into a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It gets its number here.
    Own,
    /// It has its offset from the engine that keeps it for all nodes.
    Logged(Offset),
    /// It cannot be recovered.
    Unlogged,
}

impl Journal {
    pub(super) fn new(name: &str, store: &Arc<Store>, silence: Duration) -> Self {
        Self {
            name: name.into(),
            state: Mutex::new(State::new()),
            settings: Arc::clone(&store.settings),
            mark: mark(),
            keeps: store.settings.window.saturating_add(silence),
            family: Mutex::default(),
            events: AtomicUsize::new(0),
            sockets: AtomicUsize::new(0),
            totals: Arc::clone(&store.totals),
            searches: Arc::clone(&store.searches),
            store: Arc::downgrade(store),
        }
    }

    /// It is that of a child of this family: whoever made that last knows.
    pub(crate) fn adopt(&self, family: &Arc<str>) {
        *self.family.lock() = Some(Arc::clone(family));
    }

    /// It is the program's own from now on.
    pub(crate) fn leave_family(&self) {
        *self.family.lock() = None;
    }

    pub(super) fn family(&self) -> Option<Arc<str>> {
        self.family.lock().clone()
    }

    pub(super) fn is_of(&self, family: &str) -> bool {
        self.family.lock().as_deref() == Some(family)
    }

    /// What its events, or its sockets that wait, count for.
    pub(super) fn held(&self, kind: Kind) -> usize {
        match kind {
            Kind::Events => self.events.load(Ordering::Relaxed),
            Kind::Sockets => self.sockets.load(Ordering::Relaxed),
        }
    }

    /// Since when its oldest event is kept, or its first socket waits.
    pub(super) fn oldest(&self, kind: Kind) -> Option<Instant> {
        Guard::within(self, self.state.lock()).oldest(kind)
    }

    pub(super) fn note_events(&self, bytes: usize) {
        note(&self.events, &self.totals.events, bytes);
    }

    pub(super) fn note_sockets(&self, bytes: usize) {
        note(&self.sockets, &self.totals.sockets, bytes);
    }

    /// Drops the oldest events, or gives up the sockets that wait longest, until what they count for is
    /// down to so much.
    pub(super) fn cut(&self, kind: Kind, bytes_max: usize) {
        loop {
            // Not through `lock`, which would make room when it is over.
            let mut journal = Guard::within(self, self.state.lock());
            let is_done = match kind {
                Kind::Events => journal.cut_events(bytes_max),
                Kind::Sockets => journal.cut_sockets(bytes_max),
            };
            if is_done {
                return;
            }
            journal.unlock_fairly();
        }
    }

    /// Makes room where all journals together hold too much. Called without any lock.
    pub(super) fn make_room(&self) {
        let Settings { bytes_max, sockets_bytes_max, .. } = *self.settings;
        let is_too_much = self.totals.events.load(Ordering::Relaxed) > bytes_max
            || self.totals.sockets.load(Ordering::Relaxed) > sockets_bytes_max;
        if is_too_much && let Some(store) = self.store.upgrade() {
            store.make_room();
        }
    }

    /// Makes that nobody comes back here; `false`, and nothing is done, where somebody is connected.
    pub(crate) fn give_up(&self) -> bool {
        self.lock().give_up()
    }

    /// Makes that nobody gets one of those sockets back that wait here, and whose data `revoked` says so
    /// of; gives how many.
    pub(crate) fn revoke_all(&self, revoked: impl Fn(&Data) -> bool) -> usize {
        let waiting = self.lock().waiting();
        let theirs = waiting.iter().filter(|(_, data)| revoked(data));
        let ids: Vec<_> = theirs.map(|(id, _)| *id).collect();
        let mut journal = self.lock();
        ids.iter().for_each(|id| journal.revoke(*id));
        ids.len()
    }

    /// From now on what is sent goes to these sockets, too.
    pub(super) fn attach(&self, rooms: &Arc<Rooms<Member>>) {
        let mut state = self.state.lock();
        state.places.retain(|place| place.strong_count() > 0);
        state.places.push(Arc::downgrade(rooms));
    }

    /// What is sent does not go to these sockets any more.
    pub(super) fn detach(&self, rooms: &Arc<Rooms<Member>>) {
        let is_other = |place: &Weak<_>| !std::ptr::eq(place.as_ptr(), Arc::as_ptr(rooms));
        let mut state = self.state.lock();
        state.places.retain(is_other);
        state.places.shrink_to_fit();
    }

    pub(crate) fn lock(&self) -> Guard<'_> {
        Guard::new(self, self.state.lock())
    }

    /// Sends an event to a selection of the sockets of all servers that share this, and tells to how
    /// many it went.
    pub(crate) fn send(
        &self,
        event: Unstamped,
        namespace: &NamespaceCore,
        target: &Target,
    ) -> Result<usize, EncodeError> {
        self.deliver(event, namespace, target, Way::Own)
    }

    /// Sends an event that the engine keeps for all nodes, or that it does not keep since it is away.
    pub(crate) fn send_logged(
        &self,
        event: Unstamped,
        namespace: &NamespaceCore,
        target: &Target,
        offset: Option<Offset>,
    ) -> Result<usize, EncodeError> {
        self.deliver(event, namespace, target, offset.map_or(Way::Unlogged, Way::Logged))
    }

    /// Keeps an event that the engine had before the namespace was here.
    pub(crate) fn recall(
        &self,
        event: Unstamped,
        namespace: &NamespaceCore,
        target: &Target,
        offset: Offset,
    ) -> Result<(), EncodeError> {
        let mut journal = self.lock();
        if target.reliability == Reliability::Volatile {
            return Ok(());
        }
        let arrival = journal.state.log.advance(offset);
        if arrival == Arrival::Late {
            // As what is sent late.
            let last = journal.state.log.last_offset();
            journal.begin_behind(last);
        }
        if arrival == Arrival::New {
            let letter = journal.stamp(event, target.reliability);
            let parcel = namespace.parcel(letter, target.compress)?;
            journal.record(&parcel, &target.rooms, &target.except, target.reliability);
        }
        Ok(())
    }

    fn deliver(
        &self,
        event: Unstamped,
        namespace: &NamespaceCore,
        target: &Target,
        way: Way,
    ) -> Result<usize, EncodeError> {
        let Target { rooms, except, reliability, compress, local, socket } = target;
        let (mut journal, mut way) = (self.lock(), way);
        if let Way::Logged(offset) = way {
            match journal.state.log.advance(offset) {
                Arrival::New => {}
                Arrival::Known => return Ok(0),
                Arrival::Late => {
                    // Who is connected hears it. Who comes back is told that not all is known.
                    let last = journal.state.log.last_offset();
                    journal.begin_behind(last);
                    way = Way::Unlogged;
                }
            }
        }
        let places: Vec<_> = journal.state.places.iter().filter_map(Weak::upgrade).collect();
        // It cannot be told later at which node a socket was when it was sent.
        let only_here = *local && (places.len() > 1 || journal.state.log.is_copy());
        let is_kept = !only_here && way != Way::Unlogged;
        let kept = if is_kept { *reliability } else { Reliability::Volatile };
        let parcel = namespace.parcel(journal.stamp(event, kept), *compress)?;
        let number = match socket {
            Some(id) => journal.record_for(&parcel, *id, kept),
            None => journal.record(&parcel, rooms, except, kept),
        };
        let is_chosen = |place: &&Arc<_>| !only_here || Arc::ptr_eq(place, &namespace.rooms);
        let places = places.iter().filter(is_chosen);
        let selections: Vec<_> = places.map(|place| place.of_target(target)).collect();
        let mut queued = 0;
        let mut noted = Vec::new();
        for member in selections.iter().flat_map(Selection::iter) {
            let pushed = if is_kept {
                member.push(parcel.clone(), number, *reliability)
            } else {
                member.deliver(parcel.clone(), *reliability)
            };
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
        reliability: Reliability,
        compress: bool,
    ) -> Result<Pushed, EncodeError> {
        let mut journal = self.lock();
        // It may have left since it was looked at. Then this would be behind what it has missed.
        if !socket.is_connected() {
            return Ok(Pushed::Gone);
        }
        let parcel = socket.namespace.parcel(journal.stamp(event, reliability), compress)?;
        let number = journal.record_for(&parcel, socket.id, reliability);
        if reliability != Reliability::Volatile {
            socket.note_sent(number);
        }
        let pushed = socket.link.push(parcel, reliability);
        drop(journal);
        socket.note(pushed);
        Ok(pushed)
    }

    /// How long an event is kept.
    pub(crate) const fn keeps(&self) -> Duration {
        self.keeps
    }

    /// How long it may take to notice that a client is gone.
    pub(super) fn silence(&self) -> Duration {
        self.keeps.saturating_sub(self.settings.window)
    }

    /// How long a socket waits for its client.
    pub(crate) fn window(&self) -> Duration {
        self.settings.window
    }

    /// From now on an engine keeps the events, for all nodes.
    pub(crate) fn share(&self) {
        self.state.lock().log.copies();
    }

    /// The log of the engine begins behind this offset, as far as it is known here.
    pub(crate) fn begin_behind(&self, offset: Offset) {
        self.lock().begin_behind(offset);
    }

    /// Takes over a socket that was lost at another node, when the log is so far that it can be told what it missed.
    pub(crate) async fn import(
        &self,
        kept: KeptSession,
        claim: &Claim,
        newcomer: &Newcomer,
        log: &dyn EventLog,
    ) -> Result<(), NotRecovered> {
        let shown = claim.offset.as_deref().and_then(|offset| offset.parse().ok());
        let until = kept.lost().max(shown.unwrap_or_default());
        // An offset that nobody was given never comes.
        let _ = tokio::time::timeout(CATCH_UP_TIMEOUT, self.catch_up(until, log)).await;
        self.lock().import(kept, claim, newcomer)
    }

    /// Waits until all up to that offset has come, of this namespace or of others.
    async fn catch_up(&self, offset: Offset, log: &dyn EventLog) {
        while !self.has_reached(offset, log.reached()) {
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    }

    fn has_reached(&self, offset: Offset, reached: Option<Offset>) -> bool {
        let mut state = self.state.lock();
        if let Some(reached) = reached.filter(|reached| *reached >= offset) {
            state.log.note_reached(reached);
        }
        state.log.last_offset() >= offset
    }

    /// Whether the socket of a secret is to be given back to the engine. It waits here no longer, then.
    pub(crate) fn gives_back(&self, secret: &RecoveryId) -> bool {
        self.lock().forget(Key::new(secret))
    }

    /// A client is at another node now, and wants its socket back.
    pub(crate) fn vacate_for_another(&self, socket: &str, visitor: &str) {
        let theirs = self.lock().is_connected_to(socket, visitor);
        if let Some(link) = theirs {
            link.order(Order::Close(Reason::TransportClose, Some(Description::Replaced)));
        }
    }

    /// Waits until the socket that is claimed has no connection any more; the old one is told to end. Only for
    /// whoever the socket belongs to; `false` where there was nothing to wait for.
    pub(crate) async fn vacate(
        &self,
        claim: &Claim,
        newcomer: &Newcomer,
        patience: Duration,
    ) -> bool {
        let vacated = {
            let mut journal = self.lock();
            if !journal.is_theirs(claim, newcomer) {
                return false;
            }
            let Some((link, watch)) = journal.watch(claim) else {
                return false;
            };
            drop(journal);
            link.order(Order::Close(Reason::TransportClose, Some(Description::Replaced)));
            watch
        };
        // That the sender is dropped is the news.
        let _ = tokio::time::timeout(patience, vacated).await;
        true
    }

    /// Looks for what a socket has missed, in steps, so that nobody waits long for the lock.
    pub(crate) async fn search(
        &self,
        claim: &Claim,
        newcomer: &Newcomer,
    ) -> Result<Search, NotRecovered> {
        // Closed never, and then there is no bound.
        let permit = Arc::clone(&self.searches).acquire_owned().await.ok();
        let mut search = self.lock().begin(claim, newcomer)?;
        search.permit(permit);
        let (mut rounds, mut steps) = (0, 0);
        loop {
            search.settle();
            match self.step(&mut search) {
                Ok(Progress::Goes) => {}
                Ok(Progress::Round { left }) if left > FEW_EVENTS && rounds < ROUNDS_MAX => {
                    rounds += 1;
                }
                Ok(Progress::Round { .. } | Progress::Done) => return Ok(search),
                Err(why) => {
                    self.lock().give_up_search(&search, why);
                    return Err(why);
                }
            }
            steps += 1;
            if steps % STEPS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The number in an offset; `None` where it is none of this journal.
    pub(super) fn number(&self, offset: &str) -> Option<u64> {
        let digits = offset.strip_prefix(self.mark.as_str())?;
        // One that is longer than any was made up, and is to be seen as such.
        let number = || digits.parse().unwrap_or(u64::MAX);
        (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())).then(number)
    }

    fn step(&self, search: &mut Search) -> Result<Progress, NotRecovered> {
        let state = self.state.lock();
        let progress = search.step(&state.log);
        MutexGuard::unlock_fair(state);
        progress
    }

    /// Drops what is too old; `false` when nothing is left that could become so.
    pub(super) fn sweep(&self) -> bool {
        loop {
            let mut journal = self.lock();
            if journal.trim() {
                return !(journal.state.log.is_empty() && journal.state.sessions.is_empty());
            }
            journal.unlock_fairly();
        }
    }
}

/// What one holds changes, and with it what all hold.
fn note(own: &AtomicUsize, total: &AtomicUsize, bytes: usize) {
    let before = own.swap(bytes, Ordering::Relaxed);
    if bytes >= before {
        total.fetch_add(bytes - before, Ordering::Relaxed);
    } else {
        total.fetch_sub(before - bytes, Ordering::Relaxed);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.note_events(0);
        self.note_sockets(0);
    }
}

/// What tells the offsets of this journal from those of others: four letters, as good as random.
fn mark() -> String {
    let random = random::random().map(SocketId::from_random);
    random.and_then(|id| id.get(..4).map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use roomful_proto::RecoveryId;

    use super::super::guard::Recovered;
    use super::super::session::STAYS_OVER_MAX;
    use super::super::{AuthDigest, Recovery};
    use super::*;
    use crate::ground::config::Config;
    use crate::ground::shared::Shared;
    use crate::namespace::family::registry::Registry;
    use crate::namespace::family::standing::Whose;
    use crate::transport::link;

    const WINDOW: Duration = Duration::from_secs(60);
    const SILENCE: Duration = Duration::from_secs(10);

    fn journal() -> Arc<Journal> {
        Recovery::builder().window(WINDOW).build().journal("/", SILENCE, &Arc::default())
    }

    fn newcomer() -> Newcomer {
        Newcomer {
            link: link::for_tests(),
            auth: AuthDigest::new(None, b""),
            data: Arc::new(()),
            same: None,
            asked: Some(Whose::for_tests()),
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
        let shared = Shared::new(Config::default(), Arc::new(()));
        let namespace = Registry::new(shared, None).namespace("/");
        let target = Target { rooms: to.to_vec(), ..Target::everyone() };
        journal.send(event, &namespace, &target).unwrap();
    }

    fn recover_all(journal: &Journal, n: u8, offset: u64) -> Result<Recovered, NotRecovered> {
        let (claim, newcomer) = (claim(journal, n, offset), newcomer());
        let mut journal = journal.lock();
        let mut search = journal.begin(&claim, &newcomer)?;
        journal.recover(&claim, &newcomer, &mut search)
    }

    /// How many events came back, or why none did.
    fn recover(journal: &Journal, n: u8, offset: u64) -> Result<usize, NotRecovered> {
        recover_all(journal, n, offset).map(|recovered| recovered.missed.len())
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
            let found = recover_all(&journal, n, 0).map(|recovered| recovered.life);
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
        assert_ne!(recovery.store.totals.events.load(Ordering::Relaxed), 0);
        recovery.keep_tidy();
        journal.lock().depart(id(1), true, 5_000, None);
        tokio::time::sleep(2 * WINDOW).await;
        assert_eq!(recovery.store.totals.events.load(Ordering::Relaxed), 0);
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

    /// Rooms with long names, which cost nothing but their memory.
    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes_and_the_oldest_goes() {
        const BYTES_MAX: usize = 100_000;
        let recovery = Recovery::builder().sockets_bytes_max(BYTES_MAX).build();
        let journal = recovery.journal("/", SILENCE, &Arc::default());
        let lose = |n, rooms: usize| {
            enter(&journal, n);
            for room in 0..rooms {
                let room = format!("{}{room}", "x".repeat(1_000));
                journal.lock().joined(id(n), room.into());
            }
            journal.lock().depart(id(n), true, 0, None);
            assert!(recovery.store.totals.sockets.load(Ordering::Relaxed) <= BYTES_MAX);
        };
        (1..=30).for_each(|n| lose(n, 4));
        let found: Vec<_> = (1..=30).map(|n| recover(&journal, n, 0).is_ok()).collect();
        let waits = found.iter().filter(|found| **found).count();
        assert!(waits > 10 && found[30 - waits..].iter().all(|found| *found), "{found:?}");
        assert_eq!(recovery.store.totals.sockets.load(Ordering::Relaxed), 0);
        // One for all others.
        lose(31, 4);
        lose(32, 10);
        let found = [31, 32].map(|n| recover(&journal, n, 0));
        assert_eq!(found, [Ok(0), Err(NotRecovered::Unknown)]);
    }

    /// Fills a journal with so many events for everybody, and with a socket that has missed them all.
    fn fill(journal: &Journal, events: usize) {
        enter(journal, 1);
        journal.lock().depart(id(1), true, 0, None);
        (0..events).for_each(|_| emit(journal, &[]));
    }

    /// What one fills another does not lose, whoever comes last.
    #[tokio::test]
    async fn whoever_fills_a_namespace_takes_nothing_from_another() {
        const EVENTS: usize = 50;
        for many_children in [false, true] {
            let recovery = Recovery::builder().bytes_max(100_000).build();
            let journal = |name: &str| recovery.journal(name, SILENCE, &Arc::default());
            let victim = journal("/victim");
            fill(&victim, EVENTS);
            let children: Vec<_> = (0..if many_children { 100 } else { 1 })
                .map(|n| journal(&format!("/dyn-{n}")))
                .collect();
            let family: Arc<str> = "/dyn-{n}".into();
            for child in &children {
                child.adopt(&family);
                fill(child, 1_000 / children.len());
                emit(&victim, &["elsewhere".into()]);
            }
            let total = recovery.store.totals.events.load(Ordering::Relaxed);
            assert!((80_000..=100_000).contains(&total), "{total}");
            let logs = children.iter().chain([&victim]).map(|journal| journal.held(Kind::Events));
            assert_eq!(logs.sum::<usize>(), total);
            assert_eq!(recover(&victim, 1, 0), Ok(EVENTS));
            // Nor does a child that is small.
            let small = journal("/dyn-small");
            small.adopt(&family);
            fill(&small, 1);
            (0..1_000).for_each(|_| emit(&children[0], &[]));
            assert_eq!(recover(&small, 1, 0), Ok(1), "{many_children}");
            drop((children, small, victim));
            recovery.store.journals.lock().clear();
            assert_eq!(recovery.store.totals.events.load(Ordering::Relaxed), 0);
        }
    }

    #[tokio::test]
    async fn lost_sockets_with_many_rooms_put_nobody_out_elsewhere() {
        const BYTES_MAX: usize = 400_000;
        let recovery = Recovery::builder().sockets_bytes_max(BYTES_MAX).build();
        let victim = recovery.journal("/victim", SILENCE, &Arc::default());
        let attacker = recovery.journal("/dyn-1", SILENCE, &Arc::default());
        for n in 1..=20 {
            enter(&victim, n);
            victim.lock().depart(id(n), true, 0, None);
        }
        for n in 0..=255 {
            enter(&attacker, n);
            (0..100).for_each(|room| attacker.lock().joined(id(n), room.to_string().into()));
            attacker.lock().depart(id(n), true, 0, None);
            assert!(recovery.store.totals.sockets.load(Ordering::Relaxed) <= BYTES_MAX);
        }
        let back = (1..=20).filter(|n| recover(&victim, *n, 0).is_ok()).count();
        let theirs = (0..=255).filter(|n| recover(&attacker, *n, 0).is_ok()).count();
        assert_eq!(back, 20);
        assert!((50..200).contains(&theirs), "{theirs}");
        assert_eq!(recovery.store.totals.sockets.load(Ordering::Relaxed), 0);
    }

    /// One more than fits puts out the one that waits longest, and not all who count for the same.
    #[tokio::test(start_paused = true)]
    async fn one_too_many_puts_one_out_and_the_oldest() {
        let recovery = Recovery::builder().sockets_bytes_max(100_000).bytes_max(100_000).build();
        let family: Arc<str> = "/dyn-{n}".into();
        let mut all = Vec::new();
        for n in 0..60 {
            let child = recovery.journal(&format!("/dyn-{:02}", 59 - n), SILENCE, &Arc::default());
            child.adopt(&family);
            enter(&child, 1);
            child.lock().depart(id(1), true, 0, None);
            all.push(child);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let waits = |child: &Arc<Journal>| child.lock().state.waiting_count > 0;
        let first = all.iter().position(waits).unwrap();
        assert!((20..25).contains(&first) && all[first..].iter().all(waits), "{first}");
        // The same of events, in namespaces of the program's own.
        let mut all = Vec::new();
        for n in 0..20 {
            let journal =
                recovery.journal(&format!("/own-{:02}", 19 - n), SILENCE, &Arc::default());
            enter(&journal, 1);
            journal.lock().record(&large(), &["x"], &[], Reliability::Reliable);
            all.push(journal);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let keeps = |journal: &Arc<Journal>| journal.lock().state.log.len() == 1;
        let first = all.iter().position(keeps).unwrap();
        assert!((11..13).contains(&first) && all[first..].iter().all(keeps), "{first}");
    }

    /// An event of 10 kB.
    fn large() -> roomful_proto::Parcel {
        roomful_proto::Parcel::event("/", None, "e", &"x".repeat(10_000)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn windows_that_end_together_end_step_by_step() {
        let journal = journal();
        for n in 0..=255 {
            for m in 0..4 {
                let mut bytes = [m; 15];
                bytes[0] = n;
                let id = SocketId::from_random(bytes);
                journal.lock().enter(id, &RecoveryId::from_random(bytes), &newcomer());
                journal.lock().depart(id, true, 0, None);
            }
        }
        tokio::time::advance(WINDOW).await;
        assert!(!journal.lock().trim());
        assert_eq!(journal.lock().state.waiting_count, 1024 - 256);
        assert!(!journal.sweep());
        assert_eq!(journal.lock().state.waiting_count, 0);
    }

    /// What fits is judged again when it is sent: others may have used the same connection.
    #[tokio::test]
    async fn what_fitted_once_is_not_sent_where_it_fits_no_more() {
        let journal = journal();
        fill(&journal, 200);
        let (claim, mut newcomer) = (claim(&journal, 1, 0), newcomer());
        let mut search = journal.search(&claim, &newcomer).await.unwrap();
        newcomer.bytes_max = 1_000;
        let recovered = journal.lock().recover(&claim, &newcomer, &mut search).err();
        assert_eq!(recovered, Some(NotRecovered::TooMuch));
    }

    /// The later attempt is that of the client as it is now.
    #[tokio::test(start_paused = true)]
    async fn of_two_attempts_to_come_back_the_later_wins() {
        let journal = journal();
        enter(&journal, 1);
        let attempt = async |after| {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let (claim, newcomer) = (claim(&journal, 1, 0), newcomer());
            journal.vacate(&claim, &newcomer, Duration::from_secs(2)).await;
            let mut search = journal.search(&claim, &newcomer).await?;
            journal.lock().recover(&claim, &newcomer, &mut search).map(drop)
        };
        let end = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            journal.lock().depart(id(1), true, 0, None);
        };
        let (older, newer, ()) = tokio::join!(attempt(0), attempt(50), end);
        assert_eq!((older, newer), (Err(NotRecovered::Connected), Ok(())));
    }

    /// Whoever sends gets the lock between two steps of a search.
    #[tokio::test]
    async fn nobody_waits_for_a_search() {
        let journal = journal();
        fill(&journal, 20_000);
        let (claim, newcomer) = (claim(&journal, 1, 0), newcomer());
        let mut search = journal.lock().begin(&claim, &newcomer).unwrap();
        let mut steps = 0;
        search.settle();
        while journal.step(&mut search).unwrap_or(Progress::Done) == Progress::Goes {
            assert!(!journal.state.is_locked());
            search.settle();
            steps += 1;
        }
        assert!(steps > 20_000 / 256, "{steps}");
    }

    #[tokio::test]
    async fn what_was_sent_during_a_search_comes_too() {
        let journal = journal();
        fill(&journal, 100);
        let (claim, newcomer) = (claim(&journal, 1, 0), newcomer());
        let mut search = journal.search(&claim, &newcomer).await.unwrap();
        (0..100).for_each(|_| emit(&journal, &[]));
        let recovered = journal.lock().recover(&claim, &newcomer, &mut search).unwrap();
        assert_eq!((recovered.missed.len(), recovered.sent), (200, 200));
    }

    /// Two come with the same secret: only one gets the socket.
    #[tokio::test]
    async fn a_socket_is_given_back_once() {
        let journal = journal();
        fill(&journal, 10);
        let (claim, newcomer) = (claim(&journal, 1, 0), newcomer());
        let mut first = journal.search(&claim, &newcomer).await.unwrap();
        let mut second = journal.search(&claim, &newcomer).await.unwrap();
        let mut third = journal.search(&claim, &newcomer).await.unwrap();
        assert!(journal.lock().recover(&claim, &newcomer, &mut second).is_ok());
        let late = journal.lock().recover(&claim, &newcomer, &mut first).err();
        assert_eq!(late, Some(NotRecovered::Connected));
        // Nor with what was found before it was lost once more.
        journal.lock().depart(id(1), true, 10, None);
        let late = journal.lock().recover(&claim, &newcomer, &mut third).err();
        assert_eq!(late, Some(NotRecovered::Connected));
        assert_eq!(recover(&journal, 1, 10), Ok(0));
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn joining_and_leaving_cost_the_same_also_where_sockets_can_be_recovered() {
        crate::namespace::rooms::tests::assert_linear(|count| {
            let journal = journal();
            enter(&journal, 1);
            for n in 0..count {
                journal.lock().joined(id(1), n.to_string().into());
            }
            // From both ends, each from where Rooms has it.
            let mut open: Vec<_> = (0..count).collect();
            while !open.is_empty() {
                let at = if open.len() % 2 == 0 { open.len() - 1 } else { open.len() / 2 };
                let room = open.swap_remove(at);
                journal.lock().left(id(1), &room.to_string(), at);
            }
        });
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
                journal.lock().left(id(1), &room, 0);
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
