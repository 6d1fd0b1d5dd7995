//! [`MemoryAdapter`]: joins servers of one process.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Adapter, Line, Message, Node, Reply, ReplyTo};
use crate::namespace::recovery::Recovery;

/// Joins servers of one process: give a clone to each of them. A message is passed on by a call, so it has reached
/// all nodes when `emit` returns.
#[derive(Clone, Default)]
pub struct MemoryAdapter {
    lines: Arc<Lines>,
    recovery: Option<Recovery>,
}

/// The nodes that take part, by namespace. A list is replaced when it changes, so no lock is held while a message
/// is passed on.
#[derive(Default)]
struct Lines {
    nodes: Mutex<HashMap<Box<str>, Nodes>>,
    /// Lines that were opened; each has a number.
    opened: AtomicU64,
}

type Nodes = Arc<[(u64, Weak<dyn Node>)]>;

struct MemoryLine {
    lines: Arc<Lines>,
    namespace: Box<str>,
    number: u64,
}

impl MemoryAdapter {
    /// An adapter without recovery.
    pub fn new() -> Self {
        Self::default()
    }

    /// An adapter whose servers share a recovery: a client that was lost on one comes back on another.
    pub fn with_recovery(recovery: Recovery) -> Self {
        Self { recovery: Some(recovery), ..Self::default() }
    }
}

impl Adapter for MemoryAdapter {
    fn open(&self, namespace: &str, node: Weak<dyn Node>) -> Box<dyn Line> {
        let number = self.lines.opened.fetch_add(1, Ordering::Relaxed);
        let mut lines = self.lines.nodes.lock();
        let nodes = lines.entry(namespace.into()).or_default();
        *nodes = nodes.iter().cloned().chain([(number, node)]).collect();
        drop(lines);
        let (lines, namespace) = (Arc::clone(&self.lines), namespace.into());
        Box::new(MemoryLine { lines, namespace, number })
    }

    fn recovery(&self) -> Option<Recovery> {
        self.recovery.clone()
    }
}

impl MemoryLine {
    /// The other nodes that there are.
    fn others(&self) -> Vec<Arc<dyn Node>> {
        let nodes = self.lines.nodes.lock().get(&self.namespace).cloned().unwrap_or_default();
        let others = nodes.iter().filter(|(number, _)| *number != self.number);
        others.filter_map(|(_, node)| node.upgrade()).collect()
    }
}

impl Line for MemoryLine {
    fn send(&self, message: Message) {
        for node in self.others() {
            node.receive(message.clone(), None);
        }
    }

    fn ask(&self, message: Message, replies: ReplyTo) {
        let others = self.others();
        replies.send(Reply::Asked(others.len()));
        for node in others {
            node.receive(message.clone(), Some(replies.clone()));
        }
    }
}

impl Drop for MemoryLine {
    fn drop(&mut self) {
        let mut lines = self.lines.nodes.lock();
        let Some(nodes) = lines.get_mut(&self.namespace) else {
            return;
        };
        let others = nodes.iter().filter(|(number, _)| *number != self.number);
        *nodes = others.cloned().collect();
        if nodes.is_empty() {
            lines.remove(&self.namespace);
        }
    }
}

impl fmt::Debug for MemoryAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAdapter").field("recovery", &self.recovery).finish_non_exhaustive()
    }
}
