//! [`Core`]: what all connections of a server share.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;
use roomful_proto::deflate::Deflate;
use roomful_proto::id::ID_BYTES;
use roomful_proto::{Limits, Moment, Reason};
use tokio::time::Instant;

use crate::closing::{Close, Closing, Phase};
use crate::config::Config;
use crate::link::{Link, Order};
use crate::metrics::Metrics;
use crate::namespace::NamespaceCore;
use crate::sessions::Sessions;
use crate::wheel::Wheel;

pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) limits: Arc<Limits>,
    pub(crate) sessions: Sessions,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) metrics: Metrics,
    pub(crate) state: Arc<dyn Any + Send + Sync>,
    /// How WebSocket messages are compressed, if they are.
    pub(crate) deflate: Option<Arc<Deflate>>,
    namespaces: RwLock<HashMap<Box<str>, Arc<NamespaceCore>>>,
    origin: Instant,
    pub(crate) closing: Closing,
}

impl Core {
    pub(crate) fn new(config: Config, state: Arc<dyn Any + Send + Sync>) -> Arc<Self> {
        let deflate = config.compression.map(|c| Arc::new(Deflate::new(c.threshold, c.level)));
        Arc::new(Self {
            limits: Arc::new(config.limits.clone()),
            config,
            sessions: Sessions::default(),
            wheel: Arc::new(Wheel::new()),
            metrics: Metrics::default(),
            state,
            deflate,
            namespaces: RwLock::default(),
            origin: Instant::now(),
            closing: Closing::default(),
        })
    }

    /// The time, as the protocol machines take it.
    pub(crate) fn now(&self) -> Moment {
        let ms = self.origin.elapsed().as_millis();
        Moment::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// The namespace of that name, made if there is none.
    pub(crate) fn namespace(self: &Arc<Self>, name: &str) -> Arc<NamespaceCore> {
        if let Some(found) = self.find_namespace(name) {
            return found;
        }
        let mut namespaces = self.namespaces.write();
        let make = || Arc::new(NamespaceCore::new(name, self, Arc::downgrade(self)));
        Arc::clone(namespaces.entry(name.into()).or_insert_with(make))
    }

    pub(crate) fn find_namespace(&self, name: &str) -> Option<Arc<NamespaceCore>> {
        self.namespaces.read().get(name).cloned()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_past(Phase::Serving)
    }

    /// Tells every connection to close, and those that come from now on.
    pub(crate) fn begin_close(&self) -> Close<'_> {
        let close = self.closing.begin();
        for link in self.sessions.all() {
            link.order(Order::Close(Reason::ServerShuttingDown));
        }
        close
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

/// A namespace keeps no server alive.
pub(crate) type WeakCore = Weak<Core>;
