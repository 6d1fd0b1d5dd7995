//! [`Subscriptions`]: what a connection is subscribed to, each as often as it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Names that are subscribed. Servers of one process that share a cluster subscribe to a namespace more than once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriptions(Arc<Mutex<HashMap<Arc<str>, usize>>>, Arc<AtomicUsize>);

impl Subscriptions {
    /// Once more; `true` when it is the first.
    pub(crate) fn add(&self, name: &Arc<str>) -> bool {
        let mut names = self.0.lock();
        let times = names.entry(Arc::clone(name)).or_default();
        *times += 1;
        self.1.fetch_add(1, Ordering::AcqRel);
        *times == 1
    }

    /// How often one was added: by it somebody sees that one has come.
    pub(crate) fn added(&self) -> usize {
        self.1.load(Ordering::Acquire)
    }

    /// Once less; `true` when it was the last.
    pub(crate) fn remove(&self, name: &Arc<str>) -> bool {
        let mut names = self.0.lock();
        let Some(times) = names.get_mut(name) else {
            return false;
        };
        *times -= 1;
        let was_last = *times == 0;
        if was_last {
            names.remove(name);
        }
        was_last
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.0.lock().keys().cloned().collect()
    }

    #[cfg(any(feature = "nats", feature = "redis", test))]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.lock().contains_key(name)
    }
}
