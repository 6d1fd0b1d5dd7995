//! [`Parents`]: namespaces that stand for many others, each of which is made when a client or the program first asks
//! for it.
//!
//! A child has the handlers that its parent had when it was made.
//!
//! A child lives by its references. The table of all namespaces and its parent hold it weakly (unless empty ones are
//! kept), so it ends with its last socket, decision or handle, also when the last client was refused. Its end takes the
//! lock of that table, so no last reference may be dropped under it. Its journal outlives it while a client may still
//! come back there. What the parent sends meanwhile goes into that journal too, as it does to the children of another
//! server with the same `Recovery`.
//!
//! A child takes its place among all children with its first client that is let in, before CONNECT is answered, or when
//! the program asks for it by its name. It gives the place back when it ends, if it had one.
//!
//! One client has the child made. A client that asks meanwhile waits, no longer than `namespace_timeout`, until the
//! function of `on_new_namespace` has returned and all can find the child. A panic ends the waiting too. The program,
//! which cannot wait, gets the child that is being made. The parent lists the child before the child takes over the
//! functions that are told of rooms, so it misses none of them.
//!
//! A node that follows another one (`Server::node`) has its own list of parents, and brings it up to date when it looks
//! at it (`Parents::follow`).

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ground::errors::refusal::Refusal;
use crate::ground::rate::throttle::Throttle;
use crate::namespace::decisions::{Caller, Turn};
use crate::namespace::family::pattern::{Params, Pattern};
use crate::namespace::family::registry::{Held, Registry};
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::recovery::Claim;
use crate::transport::link::Link;

/// What a server knows of namespaces that are made when they are asked for.
#[derive(Default)]
pub(crate) struct Parents {
    list: RwLock<Arc<[Arc<Parent>]>>,
    /// A child is made.
    settled: Notify,
    /// When the log was told last of an open namespace that nobody could join.
    closed: Throttle,
    sought: Sought,
    /// Places that children have taken: those in which somebody was let in, or that the program has asked
    /// for by their name.
    places: Mutex<usize>,
    /// Children that there are, with a place or not.
    living: AtomicUsize,
    on_new: RwLock<Option<NewFn>>,
}

/// Which parent stands for a name, as far as that can be told without a client.
pub(crate) enum Stands {
    Nobody,
    /// One whose function says so, when it is asked about a client.
    Perhaps,
    /// One or another: a pattern, unless a function before it claims the name for a client.
    Surely,
    Parent(Arc<Parent>, Params),
}

/// A namespace that stands for others.
pub(crate) struct Parent {
    namespace: Arc<NamespaceCore>,
    rule: Arc<Rule>,
}

impl Parent {
    /// Says which namespaces fit it and are the program's own, so that its door is none of theirs; and which
    /// nobody can join any more, since only a function could say whose they are.
    fn name_what_it_misses(&self, registry: &Registry) {
        let Rule::Pattern(pattern) = &*self.rule else {
            for namespace in registry.all_namespaces() {
                if namespace.standing.is_open() {
                    warn_closed(&namespace.name);
                }
            }
            return;
        };
        for namespace in registry.all_namespaces() {
            let fits =
                namespace.name.strip_prefix('/').is_some_and(|name| pattern.fill(name).is_some());
            if fits && namespace.standing.is_own() {
                namespace.warn_without_door(&self.namespace.name);
            }
        }
    }
}

/// Which others.
pub(crate) enum Rule {
    Pattern(Pattern),
    Asked(AskFn),
}

impl Rule {
    /// What the children of a parent are known by, also to other servers: the pattern of their names.
    /// Two functions cannot be told to be the same, so each has a number.
    pub(crate) fn family(&self, name: &str) -> Arc<str> {
        static FUNCTIONS: AtomicUsize = AtomicUsize::new(0);
        match self {
            Self::Pattern(_) => name.into(),
            Self::Asked(_) => {
                format!("{} functions", FUNCTIONS.fetch_add(1, Ordering::Relaxed)).into()
            }
        }
    }

    /// What the parent is known by to other nodes, where its name says nothing: nodes of one program add their
    /// functions in the same order.
    pub(crate) fn line_name(&self, registry: &Registry) -> Option<Box<str>> {
        let Self::Asked(_) = self else {
            return None;
        };
        let list = registry.parents().list.read();
        let before = list.iter().filter(|parent| matches!(*parent.rule, Self::Asked(_))).count();
        Some(format!("function {before}").into())
    }
}

/// Tells whether a client may have a namespace made.
pub(crate) type AskFn = Box<
    dyn Fn(&Arc<Link>, &Arc<NamespaceCore>, &str, Option<Bytes>) -> Option<Asking> + Send + Sync,
>;
type Asking = Pin<Box<dyn Future<Output = bool> + Send>>;
type NewFn = Arc<dyn Fn(&Arc<NamespaceCore>) + Send + Sync>;

impl Parents {
    /// Whether nobody stands for others here.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.read().is_empty()
    }

    /// Who stands for a name. `/` is always the program's own.
    pub(crate) fn stands(&self, name: &str) -> Stands {
        let Some(name) = name.strip_prefix('/').filter(|name| !name.is_empty()) else {
            return Stands::Nobody;
        };
        let parents = Arc::clone(&self.list.read());
        let mut stands = Stands::Nobody;
        for parent in parents.iter() {
            match (&*parent.rule, &stands) {
                (Rule::Asked(_), _) => stands = Stands::Perhaps,
                (Rule::Pattern(pattern), before) => match (pattern.fill(name), before) {
                    (None, _) => {}
                    (Some(params), Stands::Nobody) => {
                        return Stands::Parent(Arc::clone(parent), params);
                    }
                    (Some(_), _) => return Stands::Surely,
                },
            }
        }
        stands
    }

    /// Adds one, to be asked after those that there are.
    pub(crate) fn add(&self, registry: &Registry, namespace: Arc<NamespaceCore>, rule: Rule) {
        let parent = Arc::new(Parent { namespace, rule: Arc::new(rule) });
        let mut list = self.list.write();
        *list = list.iter().cloned().chain([Arc::clone(&parent)]).collect();
        drop(list);
        parent.name_what_it_misses(registry);
    }

    /// Becomes as those of another node of this process.
    pub(crate) fn follow(&self, theirs: &Self, registry: &Registry) {
        let theirs = Arc::clone(&theirs.list.read());
        if self.list.read().len() == theirs.len() {
            return;
        }
        let known = self.list.read().len();
        // Made without the lock: a mirror takes part in the cluster, and that is for its adapter to do.
        let later: Vec<_> = theirs
            .iter()
            .skip(known)
            .filter_map(|parent| {
                let namespace = registry.mirror(&parent.namespace)?;
                Some(Arc::new(Parent { namespace, rule: Arc::clone(&parent.rule) }))
            })
            .collect();
        let mut list = self.list.write();
        // Somebody else may have been first.
        if list.len() == known {
            *list = list.iter().cloned().chain(later).collect();
        }
    }

    /// The parents themselves.
    pub(crate) fn namespaces(&self) -> Vec<Arc<NamespaceCore>> {
        self.list.read().iter().map(|parent| Arc::clone(&parent.namespace)).collect()
    }

    /// From now on tells this function of new namespaces.
    pub(crate) fn set_on_new(&self, on_new: NewFn) {
        let _old = self.on_new.write().replace(on_new);
    }

    /// Tells whoever wants to know of a new namespace.
    pub(crate) fn tell_new(&self, registry: &Registry, namespace: &Arc<NamespaceCore>) {
        let on_new = registry.leading_parents().on_new.read().clone();
        if let Some(on_new) = on_new {
            registry.guarded("the function of on_new_namespace", || on_new(namespace));
        }
        namespace.note_told();
    }

    /// A client is about to be let in: its namespace takes a place among all children, if it is one and has
    /// none; `false` when there is none left. Who is still being decided about has taken none.
    pub(crate) fn let_in(&self, registry: &Registry, namespace: &Arc<NamespaceCore>) -> bool {
        namespace.has_place()
            || namespace.lineage().is_none()
            || self.take_place(registry, namespace, registry.config.child_namespaces_max)
    }

    /// The program has asked for a child by its name. The limit is for clients: the program knows what it
    /// asks for.
    pub(crate) fn count(&self, registry: &Registry, namespace: &Arc<NamespaceCore>) {
        if namespace.is_adopted() && !namespace.has_place() {
            self.take_place(registry, namespace, usize::MAX);
        }
    }

    fn take_place(
        &self,
        registry: &Registry,
        child: &Arc<NamespaceCore>,
        places_max: usize,
    ) -> bool {
        let mut places = self.places.lock();
        let is_first = !child.has_place();
        if is_first && *places >= places_max {
            return false;
        }
        if is_first {
            *places += 1;
            // Under the lock, so that it is counted once.
            child.note_place();
        }
        drop(places);
        if is_first && registry.config.keep_empty_namespaces {
            registry.keep_child(child);
        }
        true
    }

    /// A child that has had a place is no more.
    pub(crate) fn give_place_back(&self) {
        *self.places.lock() -= 1;
    }

    /// A child is no more.
    pub(crate) fn note_end(&self) {
        self.living.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether no more children may be made for clients. Those about whose first client is still decided have
    /// no place, and there are no more of them than decisions: others without a place are kept by handles
    /// of the program's.
    fn are_full(&self, registry: &Registry) -> bool {
        let places_max = registry.config.child_namespaces_max;
        let living_max = places_max.saturating_add(registry.decisions.turns_max());
        *self.places.lock() >= places_max || self.living.load(Ordering::Relaxed) >= living_max
    }
}

/// The namespace that a client asks for and that there is not, if a parent wants it to be there. The client
/// has its turn in the family of that parent, where it needs one: no child is made for one that waits.
pub(crate) async fn find(
    registry: Arc<Registry>,
    link: Arc<Link>,
    name: Box<str>,
    mut caller: Caller,
) -> Result<(Arc<NamespaceCore>, Caller), Refusal> {
    let mut clock = Clock { left: registry.config.namespace_timeout };
    let namespace = match ask(&registry, &link, &name, &mut caller, &mut clock).await? {
        Some((parent, params)) => {
            clock.run(&registry, make(&registry, &parent, &name, params)).await??
        }
        None => unclaimed(&registry, &name).ok_or_else(|| Refusal::new("Invalid namespace"))?,
    };
    Ok((namespace, caller))
}

/// The time for functions to decide, and for a child that another is making. Waiting for a turn takes none
/// of it.
struct Clock {
    left: Duration,
}

impl Clock {
    async fn run<T>(
        &mut self,
        registry: &Registry,
        work: impl Future<Output = T>,
    ) -> Result<T, Refusal> {
        let began = Instant::now();
        let done = tokio::time::timeout(self.left, work).await;
        self.left = self.left.saturating_sub(began.elapsed());
        done.map_err(|_| {
            registry.metrics.namespace_timeouts.add();
            Refusal::new("No decision in time")
        })
    }
}

/// A namespace that no parent has claimed for a client, if it is there for everybody. One that is open is
/// only where no function could claim it for another client, whom that parent would have asked.
fn unclaimed(registry: &Registry, name: &str) -> Option<Arc<NamespaceCore>> {
    let found = registry.find_namespace(name);
    let is_there = |found: &Arc<NamespaceCore>| {
        found.standing.is_settled() || matches!(registry.parents().stands(name), Stands::Nobody)
    };
    if found.as_ref().is_some_and(is_there) {
        return found;
    }
    if (found.is_some() || registry.parents().sought.has(name))
        && registry.parents().closed.passes(registry.now())
    {
        warn_closed(name);
    }
    None
}

#[cold]
fn warn_closed(name: &str) {
    tracing::warn!(
        namespace = ?name,
        "the program has asked for this namespace, and nobody can join it unless a function of of_matching \
         claims it for the client: it is not the program's own. Register something on it, such as a connect \
         or an on_connect function, and it is"
    );
}

/// Names that the program has asked for lately and that only a function could claim, also when their
/// namespaces have ended with their handles; by their hashes, of which a later one takes the place of
/// another. It is for the log only.
#[derive(Default)]
struct Sought {
    hashes: OnceLock<Box<[AtomicU64]>>,
    by: RandomState,
}

impl Sought {
    fn add(&self, name: &str) {
        let hashes =
            self.hashes.get_or_init(|| (0..SOUGHT_MAX).map(|_| AtomicU64::new(0)).collect());
        let hash = self.hash(name);
        if let Some(place) = place(hashes, hash) {
            place.store(hash, Ordering::Relaxed);
        }
    }

    fn has(&self, name: &str) -> bool {
        let hash = self.hash(name);
        let place = self.hashes.get().and_then(|hashes| place(hashes, hash));
        place.is_some_and(|place| place.load(Ordering::Relaxed) == hash)
    }

    /// 0 is no name's.
    fn hash(&self, name: &str) -> u64 {
        self.by.hash_one(name).max(1)
    }
}

fn place(hashes: &[AtomicU64], hash: u64) -> Option<&AtomicU64> {
    let index = usize::try_from(hash % SOUGHT_MAX).ok()?;
    hashes.get(index)
}

/// As many names as are remembered, at most.
const SOUGHT_MAX: u64 = 256;

/// The namespace that the program asks for by its name, and that is nobody's yet: it is `open`, or not
/// there. `None` when somebody else was first.
pub(crate) fn of(
    registry: &Arc<Registry>,
    name: &str,
    open: Option<Arc<NamespaceCore>>,
) -> Option<Arc<NamespaceCore>> {
    let stands = registry.parents().stands(name);
    if let Stands::Parent(parent, params) = stands {
        let child = adopt(registry, &parent, name, params, open)?;
        registry.parents().count(registry, &child);
        return Some(child);
    }
    let is_anybodys = matches!(stands, Stands::Nobody);
    if !is_anybodys {
        registry.parents().sought.add(name);
    }
    if open.is_some() {
        return open;
    }
    // Before the lock is taken, since its journal has one of its own.
    let made = registry.opened(NamespaceCore::new(name, registry));
    if !registry.add_open(&made, is_anybodys) {
        return None;
    }
    if name != "/" {
        registry.parents().tell_new(registry, &made);
    }
    Some(made)
}

/// The first parent that wants a namespace to be there.
async fn ask(
    registry: &Arc<Registry>,
    link: &Arc<Link>,
    name: &str,
    caller: &mut Caller,
    clock: &mut Clock,
) -> Result<Option<(Arc<Parent>, Params)>, Refusal> {
    let (claim, auth) = match registry.recovery {
        Some(_) => Claim::take(caller.auth.clone()),
        None => (None, caller.auth.clone()),
    };
    let parents = Arc::clone(&registry.parents().list.read());
    // A name without its slash would be another namespace with a name that looks the same.
    let Some(bare) = name.strip_prefix('/') else {
        return Ok(None);
    };
    for parent in parents.iter() {
        let params = match &*parent.rule {
            Rule::Pattern(pattern) => match pattern.fill(bare) {
                Some(params) => {
                    let namespace = &parent.namespace;
                    if claim.is_some() || namespace.door(&namespace.table()).is_some() {
                        take_turn(registry, link, namespace, caller).await?;
                    }
                    Some(params)
                }
                None => None,
            },
            Rule::Asked(ask) => {
                take_turn(registry, link, &parent.namespace, caller).await?;
                match ask(link, &parent.namespace, name, auth.clone()) {
                    Some(asking) => clock.run(registry, asking).await?.then(Params::default),
                    None => None,
                }
            }
        };
        if let Some(params) = params {
            return Ok(Some((Arc::clone(parent), params)));
        }
    }
    Ok(None)
}

/// Waits for the turn of a client in the family of a parent. What it has of another goes first.
async fn take_turn(
    registry: &Arc<Registry>,
    link: &Link,
    parent: &NamespaceCore,
    caller: &mut Caller,
) -> Result<(), Refusal> {
    let share = parent.share(registry);
    if caller.turn.as_ref().is_some_and(|turn| turn.is_of(share)) {
        return Ok(());
    }
    caller.turn = None;
    let auth_bytes = caller.auth_bytes();
    let turn = Turn::wait(registry, link, share, auth_bytes, &mut caller.patience).await?;
    caller.turn = Some(Box::new(turn));
    Ok(())
}

/// The child of that name. Of many clients that ask at the same time, one has it made, and the others
/// wait until it is known to everybody.
async fn make(
    registry: &Arc<Registry>,
    parent: &Parent,
    name: &str,
    params: Params,
) -> Result<Arc<NamespaceCore>, Refusal> {
    loop {
        let settled = registry.parents().settled.notified();
        let open = match registry.look_up(name) {
            Some(Held::Here(found)) if found.standing.is_settled() => return Ok(found),
            Some(Held::Here(open)) => Some(open),
            Some(Held::Making(_)) => {
                settled.await;
                continue;
            }
            None => None,
        };
        // Nobody need be asked about who would be refused then.
        if open.is_none() && registry.parents().are_full(registry) {
            return Err(too_many(registry));
        }
        let is_named = open.is_some();
        if let Some(child) = adopt(registry, parent, name, params.clone(), open) {
            if is_named {
                registry.parents().count(registry, &child);
            }
            return Ok(child);
        }
    }
}

/// Why a client is refused for whose namespace there is no place.
pub(crate) fn too_many(registry: &Registry) -> Refusal {
    registry.metrics.namespaces_refused.add();
    Refusal::new("too many namespaces")
}

/// Makes an open namespace a child, or a new one. `None` when somebody else was first.
fn adopt(
    registry: &Arc<Registry>,
    parent: &Parent,
    name: &str,
    params: Params,
    open: Option<Arc<NamespaceCore>>,
) -> Option<Arc<NamespaceCore>> {
    // One with the functions of another node's stays that; this node has a child of its own.
    let open = open.filter(|open| open.original().is_none());
    let child = open.unwrap_or_else(|| Arc::new(NamespaceCore::new(name, registry)));
    if !registry.begin_making(&child) {
        return None;
    }
    registry.parents().living.fetch_add(1, Ordering::Relaxed);
    let making = Making { registry, child };
    let child = &making.child;
    let become_child = || child.become_child(&parent.namespace, params);
    registry.guarded("what was registered on a namespace, and is dropped,", become_child);
    // As a child, which has not all of what its parent has sent, and before anybody is told of it, who may send.
    registry.take_part(child);
    registry.metrics.namespaces_made.add();
    registry.parents().tell_new(registry, child);
    Some(Arc::clone(child))
}

/// A child that is being made: whatever happens, nobody waits for it for ever.
struct Making<'a> {
    registry: &'a Registry,
    child: Arc<NamespaceCore>,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.registry.end_making(&self.child);
        self.registry.parents().settled.notify_waiters();
    }
}
