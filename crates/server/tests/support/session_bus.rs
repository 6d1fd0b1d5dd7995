//! [`TestBus`]: a bus of sessions whose nodes can be cut off, and on which anything can be said and heard.
#![allow(dead_code, reason = "each test program uses its part of this")]

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use roomful::{SessionBus, SessionInlet, SessionLine};
use roomful_proto::cluster::sessions::{Message, decode, encode};

/// A bus of sessions. Each node has it by a clone.
#[derive(Clone, Default)]
pub struct TestBus(Arc<Mutex<Vec<Node>>>);

#[derive(Clone)]
struct Node {
    name: String,
    /// None for the test itself.
    inlet: Option<SessionInlet>,
    is_cut: bool,
    heard: Arc<Mutex<Vec<Message>>>,
}

struct Line {
    bus: TestBus,
    index: usize,
}

impl TestBus {
    fn add(&self, name: &str, inlet: Option<SessionInlet>) -> usize {
        let mut nodes = self.0.lock();
        let name = name.to_owned();
        nodes.push(Node { name, inlet, is_cut: false, heard: Arc::default() });
        nodes.len() - 1
    }

    /// Takes part as a node that the test plays.
    pub fn join(&self, name: &str) -> Impostor {
        Impostor { bus: self.clone(), index: self.add(name, None) }
    }

    /// The name of a server, by when it was built.
    pub fn name(&self, index: usize) -> String {
        self.0.lock()[index].name.clone()
    }

    /// A server is dead to the others, and they to it.
    pub fn cut(&self, index: usize) {
        self.0.lock()[index].is_cut = true;
    }

    /// A server is told that something may be lost.
    pub fn interrupt(&self, index: usize) {
        let inlet = self.0.lock()[index].inlet.clone();
        inlet.unwrap().interrupted();
    }

    fn say(&self, from: usize, to: Option<&str>, message: &Bytes) {
        let nodes = self.0.lock().clone();
        if nodes[from].is_cut {
            return;
        }
        for (index, node) in nodes.iter().enumerate() {
            if index == from || node.is_cut || to.is_some_and(|to| to != node.name) {
                continue;
            }
            match &node.inlet {
                Some(inlet) => inlet.hear(message.clone()),
                None => node.heard.lock().extend(decode(message, usize::MAX).ok()),
            }
        }
    }
}

impl SessionBus for TestBus {
    fn open(&self, node: &str, inlet: SessionInlet) -> Box<dyn SessionLine> {
        Box::new(Line { bus: self.clone(), index: self.add(node, Some(inlet)) })
    }
}

impl SessionLine for Line {
    fn say(&self, to: Option<&str>, message: Bytes) -> bool {
        self.bus.say(self.index, to, &message);
        true
    }
}

impl fmt::Debug for TestBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestBus")
    }
}

/// A node that the test plays.
pub struct Impostor {
    bus: TestBus,
    index: usize,
}

impl Impostor {
    pub fn say_bytes(&self, bytes: impl Into<Bytes>) {
        self.bus.say(self.index, None, &bytes.into());
    }

    pub fn say(&self, message: &Message) {
        let to = message.to.as_ref().map(|to| to.as_str());
        self.bus.say(self.index, to, &encode(message).into());
    }

    /// The next message that the function takes; those before it are gone.
    pub async fn hears<T>(&self, mut take: impl FnMut(&Message) -> Option<T>) -> T {
        let heard = Arc::clone(&self.bus.0.lock()[self.index].heard);
        crate::support::within(async {
            loop {
                let messages = std::mem::take(&mut *heard.lock());
                let mut messages = messages.into_iter();
                let found = messages.by_ref().find_map(|message| take(&message));
                heard.lock().splice(0..0, messages);
                if let Some(found) = found {
                    return found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await
    }
}
