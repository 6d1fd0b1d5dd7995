//! [`NamespaceCore`]: a namespace without types, as all parts of the server share it.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use roomful_proto::deflate::Deflate;
use roomful_proto::{AckId, EncodeError, Letter, Parcel, SocketId};

use crate::ground::metrics::{Counter, Metrics};
use crate::ground::parser::{ServerParser, parcel};
use crate::ground::rate::throttle::Throttle;
use crate::namespace::adapter::{Adapter, Line, Node};
use crate::namespace::asks::AskIds;
use crate::namespace::decisions::Share;
use crate::namespace::erased::{self, Data};
use crate::namespace::family::parents::Rule;
use crate::namespace::family::pattern::Params;
use crate::namespace::family::registry::Registry;
use crate::namespace::family::standing::{Lineage, Standing};
use crate::namespace::listeners::{Catch, OutgoingFn};
use crate::namespace::namespace_limits::NamespaceLimits;
use crate::namespace::recovery::{Beginning, Departed, Journal, Recovery};
use crate::namespace::room_news::RoomWatchers;
use crate::namespace::rooms::{NotJoined, Rooms};
use crate::namespace::shared_ask::SharedAsk;
use crate::namespace::socket_core::{Member, SocketCore};
use crate::namespace::table::Table;

pub(crate) struct NamespaceCore {
    pub(crate) name: Box<str>,
    pub(crate) rooms: Arc<Rooms<Member>>,
    /// Sockets that are in the rooms, or are just being let in.
    places_taken: AtomicUsize,
    pub(crate) state: Arc<dyn Any + Send + Sync>,
    pub(crate) limits: Arc<NamespaceLimits>,
    /// `None` is the default encoding.
    pub(crate) parser: Option<ServerParser>,
    deflate: Option<Arc<Deflate>>,
    /// What can be missed here; `None` where nothing is recovered.
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) recovery: Option<Recovery>,
    registry: Weak<Registry>,
    pub(crate) standing: Arc<Standing>,
    /// The function of `on_new_namespace` has returned.
    told: AtomicBool,
    /// It is counted among all children.
    placed: AtomicBool,
    /// What its decisions may have at the same time; of a child its parent has it.
    share: OnceLock<Share>,
    /// Of a child.
    lineage: OnceLock<Lineage>,
    /// Of a parent: those that it stands for.
    children: Option<Mutex<Children>>,
    /// And what they are known by.
    family: Option<Arc<str>>,
    table: Arc<RwLock<Arc<Table>>>,
    watchers: Arc<Watchers>,
    /// Functions that are told of rooms.
    pub(crate) room_watchers: Arc<RoomWatchers>,
    /// Shared by the events on their way from a selection to its outboxes, where no journal has them in order. No
    /// function of the user's runs under it.
    pub(crate) deliveries: RwLock<()>,
    /// Ack requests to many, by their id; that of a broadcast is odd.
    shared_asks: Mutex<HashMap<AckId, Arc<SharedAsk>>>,
    pub(crate) ask_ids: AskIds,
    /// When the log was told last of a room that was not joined.
    rooms_refused: Throttle,
    /// When it was told last of a function that a socket does not fit.
    misfits: Throttle,
    /// The way to the other nodes, where there may be some.
    line: OnceLock<Joined>,
    /// What a parent is known by to other nodes, where that is not its name.
    line_name: Option<Box<str>>,
    /// The namespace of another node of this process whose functions it has.
    original: Option<Arc<Self>>,
}

/// Functions that see what is sent.
#[derive(Default)]
struct Watchers {
    list: RwLock<Arc<[Catch<OutgoingFn>]>>,
    /// Whether there are any.
    any: AtomicBool,
}

/// The part in a cluster.
struct Joined {
    line: Box<dyn Line>,
    shares_recovery: bool,
}

type Children = HashMap<Box<str>, Weak<NamespaceCore>>;

impl NamespaceCore {
    pub(crate) fn new(name: &str, registry: &Arc<Registry>) -> Self {
        Self::with(name, registry, registry.recovery.as_ref())
    }

    /// One that stands for others, and that nobody is in itself.
    pub(crate) fn parent(name: &str, rule: &Rule, registry: &Arc<Registry>) -> Self {
        let mut parent = Self::with(name, registry, None);
        parent.children = Some(Mutex::default());
        parent.family = Some(rule.family(name));
        parent.line_name = rule.line_name(registry);
        parent.standing = Arc::new(Standing::own());
        parent
    }

    /// The namespace of that name at another node of this process: with the functions and limits of the one
    /// there, whatever they will be, and with sockets of its own.
    pub(crate) fn mirror(theirs: &Arc<Self>, registry: &Arc<Registry>) -> Self {
        let is_parent = theirs.children.is_some();
        let recovery = registry.recovery.as_ref().filter(|_| !is_parent);
        let mut mirror = Self::with(&theirs.name, registry, recovery);
        mirror.limits = Arc::clone(&theirs.limits);
        mirror.standing = Arc::clone(&theirs.standing);
        mirror.table = Arc::clone(&theirs.table);
        mirror.watchers = Arc::clone(&theirs.watchers);
        mirror.room_watchers = Arc::clone(&theirs.room_watchers);
        mirror.children = is_parent.then(Mutex::default);
        mirror.family.clone_from(&theirs.family);
        mirror.line_name.clone_from(&theirs.line_name);
        mirror.original = Some(Arc::clone(theirs));
        mirror.rooms.watch(|| mirror.room_watchers.is_on());
        mirror.note_told();
        mirror
    }

    /// The namespace of another node of this process whose functions it has.
    pub(crate) const fn original(&self) -> Option<&Arc<Self>> {
        self.original.as_ref()
    }

    /// Whether it has the functions of a namespace that is a parent's by now.
    pub(crate) fn is_stale(&self) -> bool {
        self.original.as_ref().is_some_and(|original| original.is_adopted())
    }

    /// Whether both are one namespace at two nodes of this process.
    pub(crate) fn mirrors(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
    }

    /// Becomes one of those that another stands for, with the handlers and limits of that, which stands for
    /// it from now on.
    pub(crate) fn become_child(self: &Arc<Self>, parent: &Arc<Self>, params: Params) {
        self.limits.take_over(&parent.limits);
        let lineage = Lineage { parent: Arc::clone(parent), params };
        let table = parent.table();
        let mut own = self.table.write();
        // Nobody else does it: it is being adopted once.
        let _ = self.lineage.set(lineage);
        let old = std::mem::replace(&mut *own, table);
        drop(own);
        self.enlist();
        self.watch_rooms_as(parent);
        // Functions of the user's, without a lock, and when all is done: they may panic.
        drop(old);
    }

    /// Whether it has a place among all children, which it gives back when it ends.
    pub(crate) fn has_place(&self) -> bool {
        self.placed.load(Ordering::Acquire)
    }

    /// Called under the lock of the places.
    pub(crate) fn note_place(&self) {
        self.placed.store(true, Ordering::Release);
    }

    /// What the decisions of its family may have at the same time: of itself, or of its parent and all
    /// children of that.
    pub(crate) fn share(&self, registry: &Registry) -> &Share {
        let family = self.its_parent().map_or(self, |parent| parent);
        family.share.get_or_init(|| registry.decisions.share())
    }

    pub(crate) fn lineage(&self) -> Option<&Lineage> {
        self.lineage.get()
    }

    fn its_parent(&self) -> Option<&Arc<Self>> {
        self.lineage.get().map(|lineage| &lineage.parent)
    }

    fn with(name: &str, registry: &Arc<Registry>, recovery: Option<&Recovery>) -> Self {
        let rooms = Arc::default();
        Self {
            name: name.into(),
            state: Arc::clone(&registry.state),
            limits: Arc::new(NamespaceLimits::new(&registry.config)),
            parser: registry.config.parser.clone(),
            deflate: registry.deflate.clone(),
            journal: recovery.map(|recovery| {
                // So long it may take to notice that a client is gone.
                let silence =
                    registry.limits.ping_interval.saturating_add(registry.limits.ping_timeout);
                recovery.journal(name, silence, &rooms)
            }),
            rooms,
            places_taken: AtomicUsize::new(0),
            recovery: recovery.cloned(),
            registry: Arc::downgrade(registry),
            standing: Arc::new(if name == "/" { Standing::own() } else { Standing::open() }),
            told: AtomicBool::new(false),
            placed: AtomicBool::new(false),
            share: OnceLock::new(),
            lineage: OnceLock::new(),
            children: None,
            family: None,
            table: Arc::new(RwLock::new(Arc::new(Table::new(&registry.config)))),
            watchers: Arc::default(),
            room_watchers: Arc::default(),
            deliveries: RwLock::default(),
            shared_asks: Mutex::default(),
            ask_ids: registry.ask_ids.clone(),
            rooms_refused: Throttle::default(),
            misfits: Throttle::default(),
            line: OnceLock::new(),
            line_name: None,
            original: None,
        }
    }

    /// From now on takes part in a cluster, unless it does already.
    pub(crate) fn take_part(self: &Arc<Self>, adapter: &dyn Adapter) {
        if self.line.get().is_some() {
            return;
        }
        let node: Weak<dyn Node> = Arc::downgrade(self) as Weak<dyn Node>;
        let name = self.line_name.as_deref().unwrap_or(&self.name);
        let shares_recovery = adapter.recovery().is_some();
        if let Some(journal) = self.journal.as_ref().filter(|_| adapter.keeps_log()) {
            journal.share();
        }
        // The adapter is called without any lock. Of two lines the second is dropped, which leaves.
        let _ = self.line.set(Joined { line: adapter.open(name, node), shares_recovery });
    }

    /// The way to the other nodes.
    #[inline]
    pub(crate) fn line(&self) -> Option<&dyn Line> {
        self.line.get().map(|joined| &*joined.line)
    }

    /// Whether all nodes have one recovery, which brings them the events.
    pub(crate) fn shares_recovery(&self) -> bool {
        self.line.get().is_some_and(|joined| joined.shares_recovery)
    }

    /// The server; `None` when it was dropped.
    pub(crate) fn registry(&self) -> Option<Arc<Registry>> {
        self.registry.upgrade()
    }

    /// Those that this one stands for; `None` when it stands for itself.
    #[inline]
    pub(crate) fn children(&self) -> Option<Vec<Arc<Self>>> {
        let children = self.children.as_ref()?;
        Some(children.lock().values().filter_map(Weak::upgrade).collect())
    }

    /// Those that this one stands for: itself, or its children.
    pub(crate) fn each(self: &Arc<Self>) -> Vec<Arc<Self>> {
        self.children().unwrap_or_else(|| vec![Arc::clone(self)])
    }

    /// The journals of children that have ended, or are those of another server, where somebody may
    /// still come back; by their names.
    pub(crate) fn absent(&self, children: &[Arc<Self>]) -> Vec<(Box<str>, Arc<Journal>)> {
        let Some(registry) = self.registry() else {
            return Vec::new();
        };
        let Some((recovery, family)) = registry.recovery.as_ref().zip(self.family.as_ref()) else {
            return Vec::new();
        };
        let here: HashSet<&str> = children.iter().map(|child| &*child.name).collect();
        let mut journals = recovery.journals_of(family);
        // What has that name here may be somebody else's by now.
        journals.retain(|(name, _)| {
            !here.contains(&**name)
                && registry
                    .find_namespace(name)
                    .is_none_or(|found| self.has(&found) || !found.standing.is_settled())
        });
        journals
    }

    /// To how many of these something is kept: clients make them, and there are no more children either.
    pub(crate) fn absent_max(&self) -> usize {
        self.registry().map_or(0, |registry| registry.config.child_namespaces_max)
    }

    /// From now on what its parent sends goes to its journal, also when it has ended.
    pub(crate) fn join_family(&self) {
        if let Some((journal, family)) = self.journal.as_ref().zip(self.its_family()) {
            journal.adopt(family);
        }
    }

    /// What the children of its parent are known by.
    pub(crate) fn its_family(&self) -> Option<&Arc<str>> {
        self.its_parent()?.family.as_ref()
    }

    /// Whether it is that one's parent.
    fn has(&self, child: &Self) -> bool {
        child.its_parent().is_some_and(|parent| std::ptr::eq(&**parent, self))
    }

    /// From now on its parent stands for it.
    fn enlist(self: &Arc<Self>) {
        if let Some(children) = self.siblings() {
            children.lock().insert(self.name.clone(), Arc::downgrade(self));
        }
    }

    fn siblings(&self) -> Option<&Mutex<Children>> {
        self.its_parent()?.children.as_ref()
    }

    pub(crate) fn param(&self, gap: &str) -> Option<&str> {
        let found = self.lineage.get()?.params.iter().find(|(name, _)| **name == *gap);
        found.map(|(_, value)| &**value)
    }

    /// The handlers as they are now.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// Changes the handlers. What falls out of the table is given back, so that no function of the
    /// user's is dropped under its lock.
    pub(crate) fn change_shared<R>(&self, change: impl FnOnce(&mut Arc<Table>) -> R) -> R {
        change(&mut self.table.write())
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> R {
        self.change_shared(|table| change(Arc::make_mut(table)))
    }

    /// Whether nobody but the function of `on_new_namespace` has been told of it.
    pub(crate) fn is_new(&self) -> bool {
        !self.told.load(Ordering::Acquire)
    }

    /// All that were to be told of it have been.
    pub(crate) fn note_told(&self) {
        self.told.store(true, Ordering::Release);
    }

    pub(crate) fn change_watchers(&self, change: impl FnOnce(&mut Vec<Catch<OutgoingFn>>)) {
        let mut watchers = self.watchers.list.write();
        let mut changed = watchers.to_vec();
        change(&mut changed);
        self.watchers.any.store(!changed.is_empty(), Ordering::Relaxed);
        let old = std::mem::replace(&mut *watchers, changed.into());
        // Dropping it may drop functions of the user's.
        drop(watchers);
        drop(old);
    }

    pub(crate) fn sweep_watchers(&self) {
        self.change_watchers(|watchers| watchers.retain(|watcher| !watcher.is_over()));
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.any.load(Ordering::Relaxed)
    }

    pub(crate) fn watchers(&self) -> Arc<[Catch<OutgoingFn>]> {
        Arc::clone(&self.watchers.list.read())
    }

    /// Forgets listeners that were removed.
    pub(crate) fn sweep(self: &Arc<Self>) {
        self.sweep_rooms();
        self.sweep_watchers();
        let _over: Vec<_> = self.change(|table| match table.extras {
            Some(_) => table.extras_mut().any.extract_if(.., |any| any.is_over()).collect(),
            None => Vec::new(),
        });
    }

    pub(crate) fn count(&self, counter: impl Fn(&Metrics) -> &Counter) {
        if let Some(registry) = self.registry() {
            counter(&registry.metrics).add();
        }
    }

    /// Says of a letter how it is to be compressed.
    pub(crate) fn pack(&self, letter: &mut Letter, compress: bool) {
        match &self.deflate {
            _ if !compress => letter.deflate_by(Deflate::never()),
            Some(deflate) if letter.len() >= deflate.threshold() => letter.deflate_by(deflate),
            _ => {}
        }
    }

    /// A letter as it leaves, to be compressed or not.
    pub(crate) fn parcel(&self, mut letter: Letter, compress: bool) -> Result<Parcel, EncodeError> {
        self.pack(&mut letter, compress);
        parcel(letter, self.parser.as_ref())
    }

    /// Whether nobody more may come in.
    pub(crate) fn is_full(&self) -> bool {
        self.places_taken.load(Ordering::Relaxed) >= self.limits.sockets_max()
    }

    /// Takes a place for a socket that is about to enter the rooms; `false` when there is none.
    pub(crate) fn take_place(&self) -> bool {
        let sockets_max = self.limits.sockets_max();
        let more = |taken| (taken < sockets_max).then_some(taken + 1);
        self.places_taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// A socket has left, or does not come in after all.
    pub(crate) fn give_place_back(&self) {
        self.places_taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a room has no longer name than one may have; that of a room that the socket is in has not.
    pub(crate) fn may_be_joined(&self, id: SocketId, room: &str) -> bool {
        let fits = room.len() <= self.limits.room_name_bytes_max() || self.rooms.is_in(id, room);
        if !fits {
            self.count(|metrics| &metrics.room_names_refused);
        }
        fits
    }

    pub(crate) fn join(self: &Arc<Self>, id: SocketId, room: &str) -> Result<(), NotJoined> {
        let joined = match &self.journal {
            None => self.rooms.join(id, room, self.limits.rooms_max()),
            Some(journal) => journal.lock().join(&self.rooms, id, room, self.limits.rooms_max()),
        };
        if joined == Err(NotJoined::TooMany) {
            self.refuse_room(id);
        }
        self.tell_rooms();
        joined.map(drop)
    }

    /// A socket was not given to a function, because that is for sockets of other data.
    #[cold]
    pub(crate) fn note_misfit(&self, function: &str, wanted: &str) {
        let Some(registry) = self.registry() else {
            return;
        };
        registry.metrics.functions_misfit.add();
        if self.misfits.passes(registry.now()) {
            tracing::error!(
                namespace = ?self.name,
                function,
                wanted,
                "a function is not called: it is for sockets whose data is of another type. Register it on what \
                 the last connect has given"
            );
        }
    }

    #[cold]
    fn refuse_room(&self, id: SocketId) {
        let Some(registry) = self.registry() else {
            return;
        };
        registry.metrics.rooms_refused.add();
        if self.rooms_refused.passes(registry.now()) {
            tracing::warn!(
                namespace = ?self.name,
                socket = %id,
                rooms_max = self.limits.rooms_max(),
                "a room is not joined: its socket is in as many as it may be (rooms_max)"
            );
        }
    }

    /// `false` when it was not in the room.
    pub(crate) fn leave(self: &Arc<Self>, id: SocketId, room: &str) -> bool {
        let left = match &self.journal {
            None => self.rooms.leave(id, room).is_some(),
            Some(journal) => journal.lock().leave(&self.rooms, id, room),
        };
        self.settle();
        self.tell_rooms();
        left
    }

    /// Waits for the events that other tasks are putting into outboxes. What a client is sent afterwards, such as the
    /// answer to its wish to leave a room, comes behind all that it was sent as a member.
    fn settle(&self) {
        if self.journal.is_none() {
            drop(self.deliveries.write());
        }
    }

    /// Something could not be written and is not sent.
    pub(crate) fn note_unwritten(&self, what: &str, error: &EncodeError) {
        self.count(|metrics| &metrics.encode_failures);
        tracing::error!(what, %error, "not sent");
    }

    /// Counts how a socket began.
    pub(crate) fn note_beginning(&self, beginning: Beginning) {
        match beginning {
            Beginning::New => {}
            Beginning::Recovered { .. } => self.count(|metrics| &metrics.recovered),
            Beginning::Refused(why) => {
                self.count(|metrics| &metrics.recoveries_refused);
                tracing::debug!(%why, "a client did not get its socket back");
            }
        }
    }

    /// A socket is not to come back after it is gone.
    pub(crate) fn revoke(&self, id: SocketId) {
        if let Some(journal) = &self.journal {
            journal.lock().revoke(id);
        }
    }

    /// Makes that no client gets one of those sockets back that wait at any node of this process, and that
    /// `revoked` names.
    pub(crate) fn revoke_all<U: 'static>(self: &Arc<Self>, revoked: impl Fn(&U) -> bool) -> usize {
        let revoked = |data: &Data| erased::read(data).is_some_and(&revoked);
        let mut journals: Vec<Arc<Journal>> = Vec::new();
        for namespace in self.everywhere() {
            let Some(children) = namespace.children() else {
                journals.extend(namespace.journal.clone());
                continue;
            };
            journals.extend(children.iter().filter_map(|child| child.journal.clone()));
            journals.extend(namespace.absent(&children).into_iter().map(|(_, journal)| journal));
        }
        // Nodes may share them.
        journals.sort_by_key(Arc::as_ptr);
        journals.dedup_by(|one, other| Arc::ptr_eq(one, other));
        journals.iter().map(|journal| journal.revoke_all(revoked)).sum()
    }

    /// This namespace at all nodes of the process that have its functions.
    pub(crate) fn everywhere(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut all = vec![Arc::clone(self)];
        if let Some(registry) = self.registry() {
            all.extend(registry.mirrors_of(self));
        }
        all
    }

    /// A socket leaves: its rooms, and the ack requests to many that still wait for it. It may come back
    /// if it was `lost`.
    pub(crate) fn exit(self: &Arc<Self>, socket: &SocketCore, lost: bool) {
        let (id, life) = (socket.id, socket.expires_in());
        let mut journal = self.journal.as_ref().map(|journal| journal.lock());
        if self.rooms.exit(id) {
            self.give_place_back();
        }
        let departed =
            journal.as_mut().and_then(|journal| journal.depart(id, lost, socket.sent(), life));
        drop(journal);
        if let Some(departed) = departed {
            self.keep(departed);
        }
        self.settle();
        self.tell_rooms();
        let shared_asks: Vec<_> = self.shared_asks.lock().values().cloned().collect();
        for ask in shared_asks {
            ask.gone(id);
        }
    }

    /// Has the engine keep a socket that was lost, for whatever node its client comes back to.
    fn keep(&self, departed: Departed) {
        let data = self.shared(departed.data());
        if let Some(log) = self.line().and_then(Line::log) {
            departed.give(data, |key, session, keeps| log.keep(key, session, keeps));
        }
    }

    /// What is shared with other nodes of the data of a socket.
    pub(crate) fn shared(&self, data: &Data) -> serde_json::Value {
        let share = self.table().share_data.clone();
        let shared = share.zip(self.registry()).and_then(|(share, registry)| {
            registry.guarded("the function of share_data", || share(data))
        });
        shared.unwrap_or_default()
    }

    /// The data of a socket that another node has shared; `None` where nobody can tell what it is.
    pub(crate) fn restored(&self, shared: serde_json::Value) -> Option<Data> {
        let restore = self.table().restore_data.clone()?;
        let registry = self.registry()?;
        registry.guarded("the function of restore_data", || restore(shared)).flatten()
    }

    /// The id of the next ack request to many.
    pub(crate) fn next_shared_ask_id(&self) -> Option<AckId> {
        loop {
            let id = AckId::new(self.ask_ids.next_shared())?;
            // One that waits for as long as all others took keeps its id.
            if !self.shared_asks.lock().contains_key(&id) {
                return Some(id);
            }
        }
    }

    pub(crate) fn open_shared_asks(&self) -> usize {
        self.shared_asks.lock().len()
    }

    pub(crate) fn open_shared_ask(&self, id: AckId, ask: Arc<SharedAsk>) {
        self.shared_asks.lock().insert(id, ask);
    }

    pub(crate) fn close_shared_ask(&self, id: AckId) {
        self.shared_asks.lock().remove(&id);
    }

    pub(crate) fn shared_ask(&self, id: AckId) -> Option<Arc<SharedAsk>> {
        self.shared_asks.lock().get(&id).cloned()
    }
}

impl Drop for NamespaceCore {
    /// A child ends when nobody has it any more, and so does one that a function might stand for.
    fn drop(&mut self) {
        let registry = self.registry();
        if let Some(children) = self.siblings() {
            let mut children = children.lock();
            if children.get(&self.name).is_some_and(|child| child.strong_count() == 0) {
                children.remove(&self.name);
            }
            drop(children);
            if let Some(registry) = &registry {
                registry.parents().note_end();
            }
            if let Some(registry) = registry.as_ref().filter(|_| self.has_place()) {
                registry.parents().give_place_back();
            }
        } else if registry.is_none() || !self.standing.is_open() {
            return;
        }
        if let Some(registry) = registry {
            registry.forget_namespace(&self.name);
        }
        drop(self.journal.take());
        if let Some(recovery) = &self.recovery {
            recovery.forget(&self.name, &self.rooms);
        }
    }
}
