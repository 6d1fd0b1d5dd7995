//! [`Sessions`]: all open connections, by key and by session id.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use roomful_proto::SessionId;
use roomful_proto::id::ID_CHARS;
use slab::Slab;

use crate::transport::link::{Key, Link};

#[derive(Default)]
pub(crate) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    links: Slab<Arc<Link>>,
    /// Where in the table above. The ids are ours and random, so nobody can fill one place of it.
    ids: HashMap<SessionId, u32, RandomState>,
    generation: u32,
}

impl Sessions {
    /// Keeps a connection; `None` when there are `count_max` already.
    pub(crate) fn insert(
        &self,
        count_max: usize,
        make: impl FnOnce(Key) -> Link,
    ) -> Option<Arc<Link>> {
        let mut inner = self.inner.lock();
        if inner.links.len() >= count_max {
            return None;
        }
        inner.generation = inner.generation.wrapping_add(1);
        let generation = inner.generation;
        let entry = inner.links.vacant_entry();
        let key = Key { index: u32::try_from(entry.key()).ok()?, generation };
        let link = Arc::new(make(key));
        entry.insert(Arc::clone(&link));
        inner.ids.insert(link.id, key.index);
        Some(link)
    }

    /// The connection can no longer be found by its session id.
    pub(crate) fn hide(&self, link: &Link) {
        self.inner.lock().ids.remove(&link.id);
    }

    pub(crate) fn remove(&self, link: &Link) {
        let mut inner = self.inner.lock();
        let index = link.key.index as usize;
        if inner.links.get(index).is_some_and(|found| found.key == link.key) {
            inner.links.remove(index);
        }
        inner.ids.remove(&link.id);
        if inner.links.is_empty() {
            inner.links = Slab::new();
            inner.ids = HashMap::default();
        }
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Link>> {
        // Nobody waits for a long text to be hashed.
        let id = Some(id).filter(|id| id.len() == ID_CHARS)?;
        let inner = self.inner.lock();
        inner.links.get(*inner.ids.get(id)? as usize).cloned()
    }

    pub(crate) fn by_key(&self, key: Key) -> Option<Arc<Link>> {
        let inner = self.inner.lock();
        inner.links.get(key.index as usize).filter(|link| link.key == key).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.inner.lock().links.iter().map(|(_, link)| Arc::clone(link)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().links.len()
    }
}
