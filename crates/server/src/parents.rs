//! [`Parents`]: namespaces that stand for many others, each of which is made when the first client asks
//! for it.
//!
//! A child has the handlers that its parent had when it was made. It lives for as long as somebody is in
//! it or has a handle of it: the table of all namespaces does not keep it, unless the server is to.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::core::Core;
use crate::hello::{Hello, Refusal};
use crate::link::Link;
use crate::namespace_core::NamespaceCore;
use crate::pattern::{Params, Pattern};
use crate::recovery::Claim;

/// What a server knows of namespaces that are made when they are asked for.
#[derive(Default)]
pub(crate) struct Parents {
    list: RwLock<Arc<[Arc<Parent>]>>,
    /// The names of children that are being made.
    making: Mutex<HashSet<Box<str>>>,
    /// One of these is made, or is not.
    settled: Notify,
    /// Children that there are, and that are being made.
    children: AtomicUsize,
    on_new: RwLock<Option<NewFn>>,
}

/// A namespace that stands for others.
pub(crate) struct Parent {
    namespace: Arc<NamespaceCore>,
    rule: Rule,
}

/// Which others.
pub(crate) enum Rule {
    Pattern(Pattern),
    Asked(AskFn),
}

impl Rule {
    /// What the children of a parent are known by, also to other servers: the pattern of their names.
    /// Two functions cannot be told to be the same, so each has a number.
    pub(crate) fn family(&self, name: &str) -> Box<str> {
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

    /// Adds one, to be asked after those that there are.
    pub(crate) fn add(&self, namespace: Arc<NamespaceCore>, rule: Rule) {
        let parent = Arc::new(Parent { namespace, rule });
        let mut list = self.list.write();
        *list = list.iter().cloned().chain([parent]).collect();
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
    let asking = ask(&core, &link, &name, auth);
    match tokio::time::timeout(core.config.namespace_timeout, asking).await {
        Ok(Some((parent, params))) => make(&core, &parent, &name, params).await,
        Ok(None) => Err(Refusal::new("Invalid namespace")),
        Err(_) => {
            core.metrics.namespace_timeouts.add();
            Err(Refusal::new("No decision in time"))
        }
    }
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
    for parent in parents.iter() {
        let params = match &parent.rule {
            Rule::Pattern(pattern) => pattern.fill(name.strip_prefix('/').unwrap_or(name)),
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
        let making = Making::begin(&core.parents, name);
        if let Some(found) = core.find_namespace(name) {
            return Ok(found);
        }
        if making.is_none() {
            settled.await;
            continue;
        }
        if !core.parents.take_place(core.config.child_namespaces_max) {
            core.metrics.namespaces_refused.add();
            return Err(Refusal::new("too many namespaces"));
        }
        let child = NamespaceCore::child(name, params, &parent.namespace, core);
        core.metrics.namespaces_made.add();
        core.parents.tell_new(core, &child);
        return Ok(core.adopt(child));
    }
}

/// A name whose namespace is being made; until this is dropped, by nobody else.
struct Making<'a> {
    parents: &'a Parents,
    name: Box<str>,
}

impl<'a> Making<'a> {
    fn begin(parents: &'a Parents, name: &str) -> Option<Self> {
        let begun = parents.making.lock().insert(name.into());
        begun.then(|| Self { parents, name: name.into() })
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.parents.making.lock().remove(&self.name);
        self.parents.settled.notify_waiters();
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
