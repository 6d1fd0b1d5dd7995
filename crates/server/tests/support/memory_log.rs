//! [`MemoryLog`]: an adapter with a log, as an engine keeps one, for servers of this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use roomful::adapter::{Adapter, EventLog, Line, LogFuture, Message, Node, Offset, Reply, ReplyTo};

#[derive(Clone, Default)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    sessions: Mutex<HashMap<String, String>>,
}

#[derive(Default)]
struct State {
    entries: Vec<(Offset, String, Message)>,
    nodes: Vec<(String, Weak<dyn Node>)>,
    /// What comes to the nodes from this one on is kept back.
    held_from: Option<usize>,
    held: Vec<(Weak<dyn Node>, Offset, Message)>,
}

impl MemoryLog {
    /// What nodes that have come later than so many are brought from now on waits.
    pub fn hold(&self, first: usize) {
        self.shared.state.lock().unwrap().held_from = Some(first);
    }

    /// It comes.
    pub fn release(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.held_from = None;
        for (node, offset, message) in std::mem::take(&mut state.held) {
            node.upgrade().unwrap().receive_logged(Some(offset), false, message);
        }
    }

    /// All nodes are told that they do not know what was before.
    pub fn gap(&self) {
        let mut state = self.shared.state.lock().unwrap();
        let offset = state.next();
        let nodes: Vec<_> = state.nodes.iter().filter_map(|(_, node)| node.upgrade()).collect();
        let gap = Message::ServerSide { name: "gap".into(), args: roomful::Args::default() };
        state.entries.push((offset, String::new(), gap));
        drop(state);
        nodes.into_iter().for_each(|node| node.log_begins(offset));
    }

    /// The only session that is kept.
    pub fn session(&self) -> Option<(String, String)> {
        let sessions = self.shared.sessions.lock().unwrap();
        assert!(sessions.len() < 2);
        sessions.iter().next().map(|(key, session)| (key.clone(), session.clone()))
    }

    pub fn put(&self, key: &str, session: &str) {
        self.shared.sessions.lock().unwrap().insert(key.into(), session.into());
    }
}

impl State {
    fn next(&self) -> Offset {
        Offset::new(1_000 + self.entries.len() as u64, 0)
    }
}

struct LogLine {
    shared: Arc<Shared>,
    namespace: String,
    is_logged: bool,
}

impl Adapter for MemoryLog {
    fn open(&self, namespace: &str, node: Weak<dyn Node>) -> Box<dyn Line> {
        let wants = node.upgrade().and_then(|node| node.wants_log());
        let mut state = self.shared.state.lock().unwrap();
        if let (Some(past), Some(node)) = (wants, node.upgrade()) {
            let last = state.entries.last().map_or(Offset::BEGINNING, |(offset, ..)| *offset);
            let is_past = past > Duration::ZERO;
            Arc::clone(&node).log_begins(if is_past { Offset::BEGINNING } else { last });
            for (offset, of, message) in state.entries.iter().filter(|_| is_past) {
                if of == namespace {
                    Arc::clone(&node).receive_logged(Some(*offset), true, message.clone());
                }
            }
        }
        state.nodes.push((namespace.into(), node));
        let shared = Arc::clone(&self.shared);
        Box::new(LogLine { shared, namespace: namespace.into(), is_logged: wants.is_some() })
    }

    fn keeps_log(&self) -> bool {
        true
    }
}

impl Line for LogLine {
    fn send(&self, message: Message) {
        let nodes = self.shared.state.lock().unwrap().nodes.clone();
        let there = nodes.iter().filter(|(of, _)| *of == self.namespace);
        for node in there.filter_map(|(_, node)| node.upgrade()) {
            node.receive(message.clone(), None);
        }
    }

    fn ask(&self, _message: Message, replies: ReplyTo) {
        replies.send(Reply::Asked(0));
    }

    fn log(&self) -> Option<&dyn EventLog> {
        self.is_logged.then_some(self)
    }
}

impl EventLog for LogLine {
    fn append(&self, message: Message) {
        let mut state = self.shared.state.lock().unwrap();
        let offset = state.next();
        state.entries.push((offset, self.namespace.clone(), message.clone()));
        let (nodes, held_from) = (state.nodes.clone(), state.held_from);
        for (at, (_, node)) in
            nodes.into_iter().enumerate().filter(|(_, (of, _))| *of == self.namespace)
        {
            if held_from.is_some_and(|first| at >= first) {
                state.held.push((node, offset, message.clone()));
            } else if let Some(node) = node.upgrade() {
                node.receive_logged(Some(offset), false, message.clone());
            }
        }
    }

    fn reached(&self) -> Option<Offset> {
        let state = self.shared.state.lock().unwrap();
        let last = state.entries.last().map_or(Offset::BEGINNING, |(offset, ..)| *offset);
        Some(state.held.first().map_or(last, |(_, offset, _)| Offset::new(offset.major() - 1, 0)))
    }

    fn keep(&self, key: &str, session: String, _keeps: Duration) {
        self.shared.sessions.lock().unwrap().insert(key.into(), session);
    }

    fn take<'a>(&'a self, key: &'a str) -> LogFuture<'a, Option<String>> {
        Box::pin(async { self.shared.sessions.lock().unwrap().remove(key) })
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog").finish_non_exhaustive()
    }
}
