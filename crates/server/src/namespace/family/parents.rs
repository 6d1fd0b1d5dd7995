//! [`Parents`]: namespaces that stand for many others, each of which is made when somebody first asks for
//! it, a client or the program.
//!
//! A child has the handlers that its parent had when it was made. It lives for as long as somebody is in
//! it or has a handle of it: the table of all namespaces does not keep it, unless the server is to.

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::api::hello::{Hello, Refusal};
use crate::ground::throttle::Throttle;
use crate::namespace::decisions::{Caller, Turn};
use crate::namespace::family::pattern::{Params, Pattern};
use crate::namespace::namespace_core::NamespaceCore;
use crate::node::core::{Core, Held};
use crate::recovery::Claim;
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
    rule: Rule,
}

impl Parent {
    /// Says which namespaces fit it and are the program's own, so that its door is none of theirs; and which
    /// nobody can join any more, since only a function could say whose they are.
    fn name_what_it_misses(&self, core: &Core) {
        let Rule::Pattern(pattern) = &self.rule else {
            for namespace in core.all_namespaces() {
                if namespace.standing.is_open() {
                    warn_closed(&namespace.name);
                }
            }
            return;
        };
        for namespace in core.all_namespaces() {
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
            match (&parent.rule, &stands) {
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
    pub(crate) fn add(&self, core: &Core, namespace: Arc<NamespaceCore>, rule: Rule) {
        let parent = Arc::new(Parent { namespace, rule });
        let mut list = self.list.write();
        *list = list.iter().cloned().chain([Arc::clone(&parent)]).collect();
        drop(list);
        parent.name_what_it_misses(core);
    }

    /// From now on tells this function of new namespaces.
    pub(crate) fn set_on_new(&self, on_new: NewFn) {
        let _old = self.on_new.write().replace(on_new);
    }

    /// Tells whoever wants to know of a new namespace.
    pub(crate) fn tell_new(&self, core: &Core, namespace: &Arc<NamespaceCore>) {
        let on_new = self.on_new.read().clone();
        if let Some(on_new) = on_new {
            core.guarded("the function of on_new_namespace", || on_new(namespace));
        }
        namespace.note_told();
    }

    /// A client is about to be let in: its namespace takes a place among all children, if it is one and has
    /// none; `false` when there is none left. Who is still being decided about has taken none.
    pub(crate) fn let_in(&self, core: &Core, namespace: &Arc<NamespaceCore>) -> bool {
        namespace.has_place()
            || namespace.lineage().is_none()
            || self.take_place(core, namespace, core.config.child_namespaces_max)
    }

    /// The program has asked for a child by its name. The limit is for clients: the program knows what it
    /// asks for.
    pub(crate) fn count(&self, core: &Core, namespace: &Arc<NamespaceCore>) {
        if namespace.is_adopted() && !namespace.has_place() {
            self.take_place(core, namespace, usize::MAX);
        }
    }

    fn take_place(&self, core: &Core, child: &Arc<NamespaceCore>, places_max: usize) -> bool {
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
        if is_first && core.config.keep_empty_namespaces {
            core.keep_child(child);
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
    fn are_full(&self, core: &Core) -> bool {
        let places_max = core.config.child_namespaces_max;
        let living_max = places_max.saturating_add(core.decisions.turns_max());
        *self.places.lock() >= places_max || self.living.load(Ordering::Relaxed) >= living_max
    }
}

/// The namespace that a client asks for and that there is not, if a parent wants it to be there. The client
/// has its turn in the family of that parent, where it needs one: no child is made for one that waits.
pub(crate) async fn find(
    core: Arc<Core>,
    link: Arc<Link>,
    name: Box<str>,
    mut caller: Caller,
) -> Result<(Arc<NamespaceCore>, Caller), Refusal> {
    let mut clock = Clock { left: core.config.namespace_timeout };
    let namespace = match ask(&core, &link, &name, &mut caller, &mut clock).await? {
        Some((parent, params)) => clock.run(&core, make(&core, &parent, &name, params)).await??,
        None => unclaimed(&core, &name).ok_or_else(|| Refusal::new("Invalid namespace"))?,
    };
    Ok((namespace, caller))
}

/// The time for functions to decide, and for a child that another is making. Waiting for a turn takes none
/// of it.
struct Clock {
    left: Duration,
}

impl Clock {
    async fn run<T>(&mut self, core: &Core, work: impl Future<Output = T>) -> Result<T, Refusal> {
        let began = Instant::now();
        let done = tokio::time::timeout(self.left, work).await;
        self.left = self.left.saturating_sub(began.elapsed());
        done.map_err(|_| {
            core.metrics.namespace_timeouts.add();
            Refusal::new("No decision in time")
        })
    }
}

/// A namespace that no parent has claimed for a client, if it is there for everybody. One that is open is
/// only where no function could claim it for another client, whom that parent would have asked.
fn unclaimed(core: &Core, name: &str) -> Option<Arc<NamespaceCore>> {
    let found = core.find_namespace(name);
    let is_there = |found: &Arc<NamespaceCore>| {
        found.standing.is_settled() || matches!(core.parents.stands(name), Stands::Nobody)
    };
    if found.as_ref().is_some_and(is_there) {
        return found;
    }
    if (found.is_some() || core.parents.sought.has(name)) && core.parents.closed.passes(core.now())
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
    core: &Arc<Core>,
    name: &str,
    open: Option<Arc<NamespaceCore>>,
) -> Option<Arc<NamespaceCore>> {
    let stands = core.parents.stands(name);
    if let Stands::Parent(parent, params) = stands {
        let child = adopt(core, &parent, name, params, open)?;
        core.parents.count(core, &child);
        return Some(child);
    }
    let is_anybodys = matches!(stands, Stands::Nobody);
    if !is_anybodys {
        core.parents.sought.add(name);
    }
    if open.is_some() {
        return open;
    }
    // Before the lock is taken, since its journal has one of its own.
    let made = Arc::new(NamespaceCore::new(name, core));
    if !core.add_open(&made, is_anybodys) {
        return None;
    }
    if name != "/" {
        core.parents.tell_new(core, &made);
    }
    Some(made)
}

/// The first parent that wants a namespace to be there.
async fn ask(
    core: &Arc<Core>,
    link: &Arc<Link>,
    name: &str,
    caller: &mut Caller,
    clock: &mut Clock,
) -> Result<Option<(Arc<Parent>, Params)>, Refusal> {
    let (claim, auth) = match core.config.recovery {
        Some(_) => Claim::take(caller.auth.clone()),
        None => (None, caller.auth.clone()),
    };
    let parents = Arc::clone(&core.parents.list.read());
    // A name without its slash would be another namespace with a name that looks the same.
    let Some(bare) = name.strip_prefix('/') else {
        return Ok(None);
    };
    for parent in parents.iter() {
        let params = match &parent.rule {
            Rule::Pattern(pattern) => match pattern.fill(bare) {
                Some(params) => {
                    let namespace = &parent.namespace;
                    if claim.is_some() || namespace.door(&namespace.table()).is_some() {
                        take_turn(core, link, namespace, caller).await?;
                    }
                    Some(params)
                }
                None => None,
            },
            Rule::Asked(ask) => {
                take_turn(core, link, &parent.namespace, caller).await?;
                match ask(link, &parent.namespace, name, auth.clone()) {
                    Some(asking) => clock.run(core, asking).await?.then(Params::default),
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
    core: &Arc<Core>,
    link: &Link,
    parent: &NamespaceCore,
    caller: &mut Caller,
) -> Result<(), Refusal> {
    let share = parent.share(core);
    if caller.turn.as_ref().is_some_and(|turn| turn.is_of(share)) {
        return Ok(());
    }
    caller.turn = None;
    let auth_bytes = caller.auth_bytes();
    let turn = Turn::wait(core, link, share, auth_bytes, &mut caller.patience).await?;
    caller.turn = Some(Box::new(turn));
    Ok(())
}

/// The child of that name. Of many clients that ask at the same time, one has it made, and the others
/// wait until it is known to everybody.
async fn make(
    core: &Arc<Core>,
    parent: &Parent,
    name: &str,
    params: Params,
) -> Result<Arc<NamespaceCore>, Refusal> {
    loop {
        let settled = core.parents.settled.notified();
        let open = match core.look_up(name) {
            Some(Held::Here(found)) if found.standing.is_settled() => return Ok(found),
            Some(Held::Here(open)) => Some(open),
            Some(Held::Making(_)) => {
                settled.await;
                continue;
            }
            None => None,
        };
        // Nobody need be asked about who would be refused then.
        if open.is_none() && core.parents.are_full(core) {
            return Err(too_many(core));
        }
        let is_named = open.is_some();
        if let Some(child) = adopt(core, parent, name, params.clone(), open) {
            if is_named {
                core.parents.count(core, &child);
            }
            return Ok(child);
        }
    }
}

/// Why a client is refused for whose namespace there is no place.
pub(crate) fn too_many(core: &Core) -> Refusal {
    core.metrics.namespaces_refused.add();
    Refusal::new("too many namespaces")
}

/// Makes an open namespace a child, or a new one. `None` when somebody else was first.
fn adopt(
    core: &Arc<Core>,
    parent: &Parent,
    name: &str,
    params: Params,
    open: Option<Arc<NamespaceCore>>,
) -> Option<Arc<NamespaceCore>> {
    let child = open.unwrap_or_else(|| Arc::new(NamespaceCore::new(name, core)));
    if !core.begin_making(&child) {
        return None;
    }
    core.parents.living.fetch_add(1, Ordering::Relaxed);
    let making = Making { core, child };
    let child = &making.child;
    let become_child = || child.become_child(&parent.namespace, params);
    core.guarded("what was registered on a namespace, and is dropped,", become_child);
    core.metrics.namespaces_made.add();
    core.parents.tell_new(core, child);
    Some(Arc::clone(child))
}

/// A child that is being made: whatever happens, nobody waits for it for ever.
struct Making<'a> {
    core: &'a Core,
    child: Arc<NamespaceCore>,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.core.end_making(&self.child);
        self.core.parents.settled.notify_waiters();
    }
}

/// Forgets the types of a function that is asked.
pub(crate) fn erase<A, F, Fut>(wanted: F) -> AskFn
where
    A: Send + Sync + 'static,
    F: Fn(Hello<A>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = bool> + Send + 'static,
{
    Box::new(move |link, parent, name, auth| {
        let hello = Hello::<A>::asking(link, parent, name, auth)?;
        Some(Box::pin(wanted(hello)))
    })
}
