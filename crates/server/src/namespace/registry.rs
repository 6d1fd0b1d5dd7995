//! [`Registry`]: the namespaces of a server, by their names, and who may have one made.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use crate::ground::shared::Shared;
use crate::namespace::asks::AskIds;
use crate::namespace::decisions::Decisions;
use crate::namespace::family::parents::{self, Parents};
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::recovery::Recovery;

/// What all namespaces of a server share. It is found through each of them, and what all of the server may look
/// at through it.
pub(crate) struct Registry {
    shared: Shared,
    namespaces: RwLock<HashMap<Box<str>, Entry>>,
    pub(crate) parents: Parents,
    pub(crate) decisions: Decisions,
    pub(crate) recovery: Option<Recovery>,
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

impl Registry {
    pub(crate) fn new(shared: Shared, recovery: Option<Recovery>) -> Self {
        Self {
            decisions: Decisions::new(&shared.config),
            shared,
            namespaces: RwLock::default(),
            parents: Parents::default(),
            ask_ids: recovery.as_ref().map_or_else(AskIds::new, Recovery::ask_ids),
            recovery,
        }
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
}

impl Deref for Registry {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::ground::config::Config;

    #[test]
    fn a_namespace_that_many_want_at_once_is_made_once() {
        let shared = Shared::new(Config::default(), Arc::new(()));
        let registry = Arc::new(Registry::new(shared, Some(Recovery::new())));
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        registry.parents.set_on_new(Arc::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let barrier = Barrier::new(8);
        let wait_and_make = || {
            barrier.wait();
            registry.namespace("/x")
        };
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(wait_and_make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|one| Arc::ptr_eq(one, &made[0])));
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
