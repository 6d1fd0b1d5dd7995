//! [`Core`]: what all connections of a server share.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use roomful_proto::deflate::Deflate;
use roomful_proto::id::ID_BYTES;
use roomful_proto::{Limits, Moment, Reason};
use tokio::time::Instant;

use crate::ground::config::Config;
use crate::ground::farewell::Description;
use crate::ground::metrics::Metrics;
use crate::ground::throttle::Throttle;
use crate::http::hooks::ErrorFn;
use crate::http::refused::ConnectionError;
use crate::namespace::asks::AskIds;
use crate::namespace::decisions::Decisions;
use crate::namespace::family::parents::{self, Parents};
use crate::namespace::namespace_core::NamespaceCore;
use crate::node::closing::{Close, Closing, Phase};
use crate::node::pace;
use crate::node::sessions::Sessions;
use crate::node::wheel::Wheel;
use crate::recovery::Recovery;
use crate::transport::link::{Link, Order};

pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) limits: Arc<Limits>,
    pub(crate) sessions: Sessions,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) metrics: Metrics,
    pub(crate) state: Arc<dyn Any + Send + Sync>,
    /// How WebSocket messages are compressed, if they are.
    pub(crate) deflate: Option<Arc<Deflate>>,
    namespaces: RwLock<HashMap<Box<str>, Entry>>,
    pub(crate) parents: Parents,
    pub(crate) decisions: Decisions,
    on_error: RwLock<Option<ErrorFn>>,
    origin: Instant,
    /// The line in the log about a refused origin.
    pub(crate) origin_said: Throttle,
    /// The one about a page of another site that names no origin.
    pub(crate) site_said: Throttle,
    /// The one about a refused host.
    pub(crate) host_said: Throttle,
    pub(crate) closing: Closing,
    pub(crate) ask_ids: AskIds,
}

/// A namespace as it can be found.
enum Entry {
    Kept(Arc<NamespaceCore>),
    /// Kept only by those who are in it, or have a handle of it.
    Passing(Weak<NamespaceCore>),
    /// Becomes a child, and is found only by who has its name from the program.
    Making(Arc<NamespaceCore>),
}

/// What there is of a name.
pub(crate) enum Held {
    Here(Arc<NamespaceCore>),
    Making(Arc<NamespaceCore>),
}

impl Entry {
    fn new(namespace: &Arc<NamespaceCore>, stays: bool) -> Self {
        match stays {
            true => Self::Kept(Arc::clone(namespace)),
            false => Self::Passing(Arc::downgrade(namespace)),
        }
    }

    fn held(&self) -> Option<Held> {
        match self {
            Self::Kept(namespace) => Some(Held::Here(Arc::clone(namespace))),
            Self::Passing(namespace) => namespace.upgrade().map(Held::Here),
            Self::Making(namespace) => Some(Held::Making(Arc::clone(namespace))),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Passing(namespace) if namespace.strong_count() == 0)
    }

    fn is(&self, other: &Arc<NamespaceCore>) -> bool {
        match self {
            Self::Kept(namespace) | Self::Making(namespace) => Arc::ptr_eq(namespace, other),
            Self::Passing(namespace) => std::ptr::eq(namespace.as_ptr(), Arc::as_ptr(other)),
        }
    }
}

impl Core {
    pub(crate) fn new(config: Config, state: Arc<dyn Any + Send + Sync>) -> Arc<Self> {
        let deflate = config.compression.map(|c| Arc::new(Deflate::new(c.threshold, c.level)));
        let recovery = config.recovery.as_ref();
        Arc::new(Self {
            limits: Arc::new(config.limits.clone()),
            ask_ids: recovery.map_or_else(AskIds::new, Recovery::ask_ids),
            decisions: Decisions::new(&config),
            config,
            sessions: Sessions::default(),
            wheel: Arc::new(Wheel::new()),
            metrics: Metrics::default(),
            state,
            deflate,
            namespaces: RwLock::default(),
            parents: Parents::default(),
            on_error: RwLock::default(),
            origin: Instant::now(),
            origin_said: Throttle::default(),
            site_said: Throttle::default(),
            host_said: Throttle::default(),
            closing: Closing::default(),
        })
    }

    /// The time, as the protocol machines take it.
    pub(crate) fn now(&self) -> Moment {
        let ms = self.origin.elapsed().as_millis();
        Moment::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// That time by the clock of the runtime.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        let origin = self.origin;
        // What is further away than the clock goes is as good as never.
        let far = origin + Duration::from_secs(FAR_SECONDS);
        origin.checked_add(Duration::from_millis(moment.as_millis())).unwrap_or(far)
    }

    /// The namespace of that name, made if there is none: as a child, where a parent stands for it.
    pub(crate) fn namespace(self: &Arc<Self>, name: &str) -> Arc<NamespaceCore> {
        loop {
            let open = match self.look_up(name) {
                Some(Held::Here(found)) if found.standing.is_open() => Some(found),
                Some(Held::Here(found) | Held::Making(found)) => {
                    self.parents.count(self, &found);
                    return found;
                }
                None => None,
            };
            if let Some(found) = parents::of(self, name, open) {
                return found;
            }
        }
    }

    pub(crate) fn look_up(&self, name: &str) -> Option<Held> {
        self.namespaces.read().get(name).and_then(Entry::held)
    }

    pub(crate) fn find_namespace(&self, name: &str) -> Option<Arc<NamespaceCore>> {
        match self.look_up(name) {
            Some(Held::Here(found)) => Some(found),
            Some(Held::Making(_)) | None => None,
        }
    }

    /// Those that can be found.
    pub(crate) fn all_namespaces(&self) -> Vec<Arc<NamespaceCore>> {
        let held: Vec<_> = self.namespaces.read().values().filter_map(Entry::held).collect();
        let here = |held| match held {
            Held::Here(found) => Some(found),
            Held::Making(_) => None,
        };
        held.into_iter().filter_map(here).collect()
    }

    /// Adds an open one, which ends with its last handle unless it `stays`; `false` when somebody was first.
    pub(crate) fn add_open(&self, namespace: &Arc<NamespaceCore>, stays: bool) -> bool {
        let mut namespaces = self.namespaces.write();
        let is_free = namespaces.get(&namespace.name).is_none_or(Entry::is_over);
        if is_free {
            namespaces.insert(namespace.name.clone(), Entry::new(namespace, stays));
        }
        is_free
    }

    /// The program has it, and so it stays.
    pub(crate) fn keep(&self, namespace: &Arc<NamespaceCore>) {
        let entry = Entry::new(namespace, true);
        let _old = self.namespaces.write().insert(namespace.name.clone(), entry);
    }

    /// A child stays, if everybody can find it already.
    pub(crate) fn keep_child(&self, child: &Arc<NamespaceCore>) {
        let mut namespaces = self.namespaces.write();
        if let Some(entry @ Entry::Passing(_)) = namespaces.get_mut(&child.name)
            && entry.is(child)
        {
            *entry = Entry::new(child, true);
        }
    }

    /// Begins to make a child of an open namespace, which may be new. From now on clients do not find it;
    /// `false` when somebody was first.
    pub(crate) fn begin_making(&self, namespace: &Arc<NamespaceCore>) -> bool {
        let mut namespaces = self.namespaces.write();
        let entry = namespaces.get(&namespace.name);
        let is_its = entry.is_none_or(|entry| entry.is_over() || entry.is(namespace));
        let begun = is_its && namespace.standing.adopt();
        if begun {
            let making = Entry::Making(Arc::clone(namespace));
            namespaces.insert(namespace.name.clone(), making);
        }
        begun
    }

    /// Makes a child known to everybody.
    pub(crate) fn end_making(&self, child: &Arc<NamespaceCore>) {
        let mut namespaces = self.namespaces.write();
        // Under the lock: who takes its place later sees that it can be found.
        let stays = self.config.keep_empty_namespaces && child.has_place();
        let entry = Entry::new(child, stays);
        let _old = namespaces.insert(child.name.clone(), entry);
        // Whoever finds it finds a child.
        child.standing.adopted();
        drop(namespaces);
        child.join_family();
    }

    /// A namespace is no more.
    pub(crate) fn forget_namespace(&self, name: &str) {
        let mut namespaces = self.namespaces.write();
        if namespaces.get(name).is_some_and(Entry::is_over) {
            namespaces.remove(name);
        }
    }

    /// From now on tells this function of requests that are refused.
    pub(crate) fn set_on_error(&self, on_error: ErrorFn) {
        let _old = self.on_error.write().replace(on_error);
    }

    /// Tells whoever wants to know of a request that is refused.
    pub(crate) fn tell_error(&self, error: &ConnectionError<'_>) {
        let on_error = self.on_error.read().clone();
        if let Some(on_error) = on_error {
            self.guarded("the function of on_connection_error", || on_error(error));
        }
    }

    /// Calls a function of the user's that has no socket; `None` when it panics, which is counted.
    pub(crate) fn guarded<T>(&self, what: &str, function: impl FnOnce() -> T) -> Option<T> {
        let called = catch_unwind(AssertUnwindSafe(function));
        if called.is_err() {
            self.metrics.panics.add();
            tracing::error!("{what} panicked");
        }
        called.ok()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_past(Phase::Serving)
    }

    /// Opens no more sessions, and tells the connections to close one after the other, evenly over
    /// that time, in no order and at no moment that could be foreseen.
    pub(crate) async fn drain(&self, budget: Duration) {
        self.closing.drain();
        let mut links = self.sessions.all();
        links.sort_by_cached_key(|_| random());
        let clients = links.len();
        let close = |link: Arc<Link>| link.order(self.closing_order());
        let took = pace::spread(links, budget, jitter, close).await;
        if took > budget.saturating_add(pace::LATENESS_MAX) {
            tracing::warn!(clients, ?budget, ?took, "draining took longer than its budget");
        }
    }

    /// Tells every connection to close, and those that come from now on.
    pub(crate) fn begin_close(&self) -> Close<'_> {
        let close = self.closing.begin();
        for link in self.sessions.all() {
            link.order(self.closing_order());
        }
        close
    }

    /// What a connection of a server that drains or closes is told.
    pub(crate) fn closing_order(&self) -> Order {
        let closes = self.closing.is_past(Phase::Draining);
        let why = if closes { Description::Closing } else { Description::Draining };
        Order::Close(Reason::ServerShuttingDown, Some(why))
    }

    /// A connection has ended.
    pub(crate) fn forget(&self, link: &Link) {
        self.sessions.remove(link);
        self.metrics.closed.add();
        self.closing.note_end();
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.wheel.stop();
    }
}

/// A hundred years.
const FAR_SECONDS: u64 = 100 * 365 * 86_400;

/// Bytes of randomness that are fetched at a time, enough for 32 ids.
const RANDOM_BYTES: usize = 32 * ID_BYTES;

thread_local! {
    /// Randomness of the system that is not used yet, since each fetch is a system call.
    static RANDOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes for an id; `None` when the system has no randomness to give, which means no id must be
/// made.
pub(crate) fn random() -> Option<[u8; ID_BYTES]> {
    RANDOM.with_borrow_mut(|random| {
        if random.is_empty() {
            let mut fetched = [0; RANDOM_BYTES];
            getrandom::fill(&mut fetched).ok()?;
            random.extend_from_slice(&fetched);
        }
        // Taken out: no bytes are ever used twice.
        let rest = random.len().checked_sub(ID_BYTES)?;
        let id = random[rest..].try_into().ok();
        random.truncate(rest);
        id
    })
}

/// From 0 to 1, at random.
fn jitter() -> f64 {
    let jitter = random().map_or(0, |[low, high, ..]| u16::from_le_bytes([low, high]));
    f64::from(jitter) / f64::from(u16::MAX)
}

/// A namespace keeps no server alive.
pub(crate) type WeakCore = Weak<Core>;

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::recovery::Recovery;

    #[test]
    fn a_namespace_that_many_want_at_once_is_made_once() {
        let config = Config { recovery: Some(Recovery::new()), ..Config::default() };
        let core = Core::new(config, Arc::new(()));
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        core.parents.set_on_new(Arc::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let barrier = Barrier::new(8);
        let wait_and_make = || {
            barrier.wait();
            core.namespace("/x")
        };
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(wait_and_make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|one| Arc::ptr_eq(one, &made[0])));
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
