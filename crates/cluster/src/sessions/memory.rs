//! [`MemorySessionBus`]: a bus of sessions in memory, for servers of one process and for tests.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use roomful::{SessionBus, SessionInlet, SessionLine};

/// A bus of sessions in memory. Give a clone of it to each server that is to take part.
///
/// ```
/// use roomful::Server;
/// use roomful_cluster::MemorySessionBus;
///
/// let bus = MemorySessionBus::new();
/// let one = Server::builder().session_bus(bus.clone()).build();
/// let two = Server::builder().session_bus(bus).build();
/// # drop((one, two));
/// ```
///
/// Nodes that are made by [`Server::node`](roomful::Server::node) need none: they find each other's sessions by
/// themselves.
#[derive(Clone, Default)]
pub struct MemorySessionBus {
    hub: Arc<Hub>,
}

#[derive(Default)]
struct Hub {
    nodes: Mutex<HashMap<u64, Node>>,
    opened: AtomicU64,
}

#[derive(Clone)]
struct Node {
    name: Arc<str>,
    inlet: SessionInlet,
}

struct MemoryLine {
    hub: Arc<Hub>,
    number: u64,
}

impl MemorySessionBus {
    /// A bus that nobody is on.
    pub fn new() -> Self {
        Self::default()
    }
}

impl SessionBus for MemorySessionBus {
    fn open(&self, node: &str, inlet: SessionInlet) -> Box<dyn SessionLine> {
        let number = self.hub.opened.fetch_add(1, Ordering::Relaxed);
        self.hub.nodes.lock().insert(number, Node { name: node.into(), inlet });
        Box::new(MemoryLine { hub: Arc::clone(&self.hub), number })
    }
}

impl SessionLine for MemoryLine {
    fn say(&self, to: Option<&str>, message: Bytes) -> bool {
        let is_for = |(number, node): &(&u64, &Node)| {
            **number != self.number && to.is_none_or(|to| *node.name == *to)
        };
        let nodes = self.hub.nodes.lock();
        let hearing: Vec<_> = nodes.iter().filter(is_for).map(|(_, node)| node.clone()).collect();
        // Whoever hears it may answer at once.
        drop(nodes);
        hearing.into_iter().for_each(|node| node.inlet.hear(message.clone()));
        true
    }
}

impl Drop for MemoryLine {
    fn drop(&mut self) {
        self.hub.nodes.lock().remove(&self.number);
    }
}

impl fmt::Debug for MemorySessionBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySessionBus").finish_non_exhaustive()
    }
}
