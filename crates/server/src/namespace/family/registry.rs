//! [`Registry`]: the namespaces of a server, by their names, and who may have one made.
//!
//! It is found through every value above it: `Registry` derefs to `Shared`, `Core` (room `node`) to `Registry`, and
//! `Site` (room `http`) to `Core`.
//!
//! `Server::node` makes another node of this process: the registry of the new one follows that of its leader. A
//! namespace of a follower is a mirror: it shares the functions, the limits and the standing of the namespace at the
//! leader, and has sockets of its own.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;

use crate::ground::shared::Shared;
use crate::namespace::adapter::{Adapter, MemoryAdapter};
use crate::namespace::asks::AskIds;
use crate::namespace::decisions::Decisions;
use crate::namespace::family::parents::{self, Parents, Rule, Stands};
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::recovery::Recovery;

/// What all namespaces of a server share. It is found through each of them, and what all of the server may look
/// at through it.
pub(crate) struct Registry {
    shared: Shared,
    namespaces: RwLock<HashMap<Box<str>, Entry>>,
    parents: Parents,
    pub(crate) decisions: Decisions,
    pub(crate) recovery: Option<Recovery>,
    pub(crate) ask_ids: AskIds,
    adapter: OnceLock<Arc<dyn Adapter>>,
    /// The node of this process that has the functions, where this one has the same.
    leader: Option<Arc<Self>>,
    followers: Mutex<Vec<Weak<Self>>>,
    /// Where the node serves.
    runtime: OnceLock<Handle>,
    me: Weak<Self>,
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
            Self::Kept(namespace) if namespace.is_stale() => None,
            Self::Kept(namespace) => Some(Held::Here(Arc::clone(namespace))),
            Self::Passing(namespace) => namespace.upgrade().map(Held::Here),
            Self::Making(namespace) => Some(Held::Making(Arc::clone(namespace))),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Kept(namespace) => namespace.is_stale(),
            Self::Passing(namespace) => namespace.strong_count() == 0,
            Self::Making(_) => false,
        }
    }

    /// Whether it has the functions of another node's.
    fn is_mirror(&self) -> bool {
        matches!(self, Self::Kept(namespace) if namespace.original().is_some())
    }

    fn is(&self, other: &Arc<NamespaceCore>) -> bool {
        match self {
            Self::Kept(namespace) | Self::Making(namespace) => Arc::ptr_eq(namespace, other),
            Self::Passing(namespace) => std::ptr::eq(namespace.as_ptr(), Arc::as_ptr(other)),
        }
    }
}

impl Registry {
    pub(crate) fn new(shared: Shared, recovery: Option<Recovery>) -> Arc<Self> {
        let ask_ids = recovery.as_ref().map_or_else(AskIds::new, Recovery::ask_ids);
        Arc::new_cyclic(|me| Self {
            decisions: Decisions::new(&shared.config),
            shared,
            namespaces: RwLock::default(),
            parents: Parents::default(),
            ask_ids,
            recovery,
            adapter: OnceLock::new(),
            leader: None,
            followers: Mutex::default(),
            runtime: OnceLock::new(),
            me: Weak::clone(me),
        })
    }

    /// That of another node of this process, with the same functions. The nodes are joined, by an adapter in memory
    /// where there is no other.
    pub(crate) fn follow(node: &Arc<Self>) -> Arc<Self> {
        let leader = node.leader.as_ref().unwrap_or(node);
        let in_memory = || {
            let recovery = leader.recovery.clone();
            Arc::new(recovery.map_or_else(MemoryAdapter::new, MemoryAdapter::with_recovery)) as _
        };
        let adapter = Arc::clone(leader.adapter.get_or_init(in_memory));
        leader.join_cluster(&adapter);
        let own_recovery = || leader.recovery.as_ref().map(Recovery::another);
        let recovery = adapter.recovery().or_else(own_recovery);
        let shared = leader.shared.another();
        let follower = Arc::new_cyclic(|me| Self {
            decisions: Decisions::new(&shared.config),
            shared,
            namespaces: RwLock::default(),
            parents: Parents::default(),
            ask_ids: leader.ask_ids.clone(),
            recovery,
            adapter: OnceLock::from(adapter),
            leader: Some(Arc::clone(leader)),
            followers: Mutex::default(),
            runtime: OnceLock::new(),
            me: Weak::clone(me),
        });
        let mut followers = leader.followers.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(&follower));
        drop(followers);
        follower
    }

    /// The namespaces that stand for others.
    pub(crate) fn parents(&self) -> &Parents {
        if let Some(leader) = &self.leader {
            self.parents.follow(&leader.parents, self);
        }
        &self.parents
    }

    /// The function that is told of new namespaces has the node that has the functions.
    pub(crate) fn leading_parents(&self) -> &Parents {
        self.leader.as_ref().map_or(&self.parents, |leader| &leader.parents)
    }

    /// The node serves here.
    pub(crate) fn note_runtime(&self) {
        if self.runtime.get().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            let _ = self.runtime.set(runtime);
        }
    }

    /// Where tasks of the node run.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.runtime.get().cloned().or_else(|| Handle::try_current().ok())
    }

    /// Adds a namespace that stands for others, at the node that has the functions.
    pub(crate) fn add_parent(self: &Arc<Self>, name: &str, rule: Rule) -> Arc<NamespaceCore> {
        if let Some(leader) = &self.leader {
            let theirs = leader.add_parent(name, rule);
            let mirrors = self.parents().namespaces();
            return mirrors.into_iter().find(|one| one.mirrors(&theirs)).unwrap_or(theirs);
        }
        let parent = self.opened(NamespaceCore::parent(name, &rule, self));
        self.parents.add(self, Arc::clone(&parent), rule);
        parent
    }

    /// A namespace of another node, as it is here.
    pub(crate) fn mirror(&self, theirs: &Arc<NamespaceCore>) -> Option<Arc<NamespaceCore>> {
        let registry = self.me.upgrade()?;
        Some(self.opened(NamespaceCore::mirror(theirs, &registry)))
    }

    /// The nodes that follow this one.
    fn followers(&self) -> Vec<Arc<Self>> {
        let mut followers = self.followers.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.iter().filter_map(Weak::upgrade).collect()
    }

    /// The same namespace at other nodes of this process.
    pub(crate) fn mirrors_of(&self, namespace: &Arc<NamespaceCore>) -> Vec<Arc<NamespaceCore>> {
        let leader = self.leader.clone().or_else(|| self.me.upgrade());
        let mut mirrors = Vec::new();
        for node in leader.iter().flat_map(|leader| leader.followers()).chain(leader.clone()) {
            mirrors.extend(node.all_namespaces());
            mirrors.extend(node.parents.namespaces());
        }
        mirrors.retain(|mirror| mirror.mirrors(namespace) && !Arc::ptr_eq(mirror, namespace));
        mirrors
    }

    /// The program's own namespace of that name, as the node has it that this one follows.
    fn follow_up(&self, name: &str) -> Option<Held> {
        let leader = self.leader.as_ref()?;
        let theirs = match leader.namespaces.read().get(name) {
            Some(Entry::Kept(theirs)) if theirs.lineage().is_none() => Arc::clone(theirs),
            _ => return None,
        };
        if theirs.is_adopted() {
            return None;
        }
        self.mirrored(&theirs).map(Held::Here)
    }

    /// A namespace of the node that this one follows, as it is here.
    fn mirrored(&self, theirs: &Arc<NamespaceCore>) -> Option<Arc<NamespaceCore>> {
        let known = |entry: Option<&Entry>| match entry {
            Some(Entry::Kept(known)) if known.mirrors(theirs) => Some(Arc::clone(known)),
            _ => None,
        };
        let there = known(self.namespaces.read().get(&theirs.name));
        if there.is_some() {
            return there;
        }
        let made = self.mirror(theirs)?;
        let mut namespaces = self.namespaces.write();
        // Another may have been faster.
        let mirror = known(namespaces.get(&theirs.name)).unwrap_or_else(|| {
            namespaces.insert(made.name.clone(), Entry::new(&made, true));
            Arc::clone(&made)
        });
        drop(namespaces);
        Some(mirror)
    }

    /// A namespace of this registry. It takes part in the cluster, where there is one.
    pub(crate) fn opened(&self, namespace: NamespaceCore) -> Arc<NamespaceCore> {
        let namespace = Arc::new(namespace);
        self.take_part(&namespace);
        namespace
    }

    /// Once more when it can be found: the server may have joined the cluster just before.
    pub(crate) fn take_part(&self, namespace: &Arc<NamespaceCore>) {
        if let Some(adapter) = self.adapter.get() {
            namespace.take_part(&**adapter);
        }
    }

    /// From now on the server is a node of a cluster, unless it is one already.
    pub(crate) fn join_cluster(&self, adapter: &Arc<dyn Adapter>) {
        let adapter = self.adapter.get_or_init(|| Arc::clone(adapter));
        for namespace in self.all_namespaces().iter().chain(&self.parents().namespaces()) {
            namespace.take_part(&**adapter);
        }
    }

    /// The server has closed: the other nodes are told.
    pub(crate) fn leave_cluster(&self) {
        for namespace in self.all_namespaces().iter().chain(&self.parents().namespaces()) {
            if let Some(line) = namespace.line() {
                line.leave();
            }
        }
    }

    /// The namespace of that name, made if there is none: as a child, where a parent stands for it.
    pub(crate) fn namespace(self: &Arc<Self>, name: &str) -> Arc<NamespaceCore> {
        // What is the program's own is so at all nodes; a child each has for itself.
        if let Some(leader) = &self.leader
            && !matches!(leader.parents.stands(name), Stands::Parent(..))
        {
            let theirs = leader.namespace(name);
            if !theirs.is_adopted()
                && let Some(mirror) = self.mirrored(&theirs)
            {
                return mirror;
            }
        }
        loop {
            let open = match self.look_up(name) {
                Some(Held::Here(found)) if found.standing.is_open() => Some(found),
                Some(Held::Here(found) | Held::Making(found)) => {
                    self.parents().count(self, &found);
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
        let held = self.namespaces.read().get(name).and_then(Entry::held);
        held.or_else(|| self.follow_up(name))
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
        drop(namespaces);
        self.take_part(namespace);
        is_free
    }

    /// The program has it, and so it stays.
    pub(crate) fn keep(&self, namespace: &Arc<NamespaceCore>) {
        let entry = Entry::new(namespace, true);
        let _old = self.namespaces.write().insert(namespace.name.clone(), entry);
        if let Some((leader, original)) = self.leader.as_ref().zip(namespace.original()) {
            leader.keep(original);
        }
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
        let is_its =
            entry.is_none_or(|entry| entry.is_over() || entry.is(namespace) || entry.is_mirror());
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
        self.take_part(child);
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
        let registry = Registry::new(shared, Some(Recovery::new()));
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        registry.parents().set_on_new(Arc::new(move |_| {
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
