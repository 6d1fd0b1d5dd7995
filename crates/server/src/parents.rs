//! [`Parents`]: namespaces that stand for many others, each of which is made when somebody first asks for
//! it, a client or the program.
//!
//! A child has the handlers that its parent had when it was made. It lives for as long as somebody is in
//! it or has a handle of it: the table of all namespaces does not keep it, unless the server is to.

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::core::{Core, Held};
use crate::hello::{Hello, Refusal};
use crate::link::Link;
use crate::namespace_core::NamespaceCore;
use crate::pattern::{Params, Pattern};
use crate::recovery::Claim;
use crate::throttle::Throttle;

/// What a server knows of namespaces that are made when they are asked for.
#[derive(Default)]
pub(crate) struct Parents {
    list: RwLock<Arc<[Arc<Parent>]>>,
    /// A child is made.
    settled: Notify,
    /// When the log was told last of an open namespace that nobody could join.
    closed: Throttle,
    sought: Sought,
    /// Children that there are, and that are being made.
    children: AtomicUsize,
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

    /// A child is no more.
    pub(crate) fn note_end(&self) {
        self.children.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes the place of one more child, if there may be one.
    fn take_place(&self, count_max: usize) -> bool {
        let more = |count| (count < count_max).then_some(count + 1);
        self.children.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// The namespace that a client asks for and that there is not, if a parent wants it to be there.
pub(crate) async fn find(
    core: Arc<Core>,
    link: Arc<Link>,
    name: Box<str>,
    auth: Option<Bytes>,
) -> Result<Arc<NamespaceCore>, Refusal> {
    let finding = async {
        match ask(&core, &link, &name, auth).await {
            Some((parent, params)) => make(&core, &parent, &name, params).await,
            None => unclaimed(&core, &name).ok_or_else(|| Refusal::new("Invalid namespace")),
        }
    };
    // Also the waiting for a child that another is making.
    match tokio::time::timeout(core.config.namespace_timeout, finding).await {
        Ok(found) => found,
        Err(_) => {
            core.metrics.namespace_timeouts.add();
            Err(Refusal::new("No decision in time"))
        }
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
        // The limit is for clients. The program knows what it asks for.
        core.parents.children.fetch_add(1, Ordering::Relaxed);
        return adopt(core, &parent, name, params, open);
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
    core: &Core,
    link: &Arc<Link>,
    name: &str,
    auth: Option<Bytes>,
) -> Option<(Arc<Parent>, Params)> {
    let auth = match core.config.recovery {
        Some(_) => Claim::take(auth).1,
        None => auth,
    };
    let parents = Arc::clone(&core.parents.list.read());
    // A name without its slash would be another namespace with a name that looks the same.
    let bare = name.strip_prefix('/')?;
    for parent in parents.iter() {
        let params = match &parent.rule {
            Rule::Pattern(pattern) => pattern.fill(bare),
            Rule::Asked(ask) => match ask(link, &parent.namespace, name, auth.clone()) {
                Some(asking) => asking.await.then(Params::default),
                None => None,
            },
        };
        if let Some(params) = params {
            return Some((Arc::clone(parent), params));
        }
    }
    None
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
        if !core.parents.take_place(core.config.child_namespaces_max) {
            core.metrics.namespaces_refused.add();
            return Err(Refusal::new("too many namespaces"));
        }
        if let Some(child) = adopt(core, parent, name, params.clone(), open) {
            return Ok(child);
        }
    }
}

/// Makes an open namespace a child, or a new one. Its place among all children is taken, and given back
/// when somebody else was first, which is `None`.
fn adopt(
    core: &Arc<Core>,
    parent: &Parent,
    name: &str,
    params: Params,
    open: Option<Arc<NamespaceCore>>,
) -> Option<Arc<NamespaceCore>> {
    let child = open.unwrap_or_else(|| Arc::new(NamespaceCore::new(name, core)));
    if !core.begin_making(&child) {
        core.parents.note_end();
        return None;
    }
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
