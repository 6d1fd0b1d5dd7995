//! [`Relay`]: what one node knows of the others in one namespace, and whom it waits for.
//!
//! Nodes are seen by their heartbeats, or are counted by the engine. A request ends when all who were asked have
//! answered, and a node that goes, or is silent for too long, is not waited for any more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::packet::{Body, Packet};
use crate::time::Moment;

/// What an emitter calls itself: it is no node.
const EMITTER: &str = "emitter";

/// How nodes know of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// They say that they are there.
    Heartbeats,
    /// The engine counts them when it is asked.
    Counted,
}

/// The settings of a [`Relay`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelaySettings {
    /// How nodes know of each other.
    pub presence: Presence,
    /// Time between heartbeats. Default 5 s, as the official adapters.
    pub heartbeat_interval: Duration,
    /// Silence after which a node is taken for dead. Default 10 s, as the official adapters.
    pub heartbeat_timeout: Duration,
    /// Nodes that are remembered: beyond, a new one is not. Default 10,000.
    pub nodes_max: usize,
    /// Requests that may be open. Default 10,000.
    pub requests_max: usize,
}

impl RelaySettings {
    /// The defaults.
    pub const fn new(presence: Presence) -> Self {
        Self {
            presence,
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            nodes_max: 10_000,
            requests_max: 10_000,
        }
    }
}

/// What a request asks for, which says how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// One answer of each node.
    Nodes,
    /// The number of clients of each node, and then an answer of each client.
    Clients,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Signal {
    /// Publish this.
    Publish(Body),
    /// Do what another node says.
    Deliver(Packet),
    /// Somebody has answered a request.
    Answer(Body),
    /// A request waits for nobody any more.
    Done(Arc<str>),
    /// A node was seen for the first time.
    Joined(Arc<str>),
    /// A node has gone, or was silent for too long.
    Left(Arc<str>),
}

/// What one node knows of the others in one namespace.
#[derive(Debug)]
pub struct Relay {
    uid: Arc<str>,
    settings: RelaySettings,
    /// When each node was heard last.
    nodes: HashMap<Arc<str>, Moment>,
    requests: HashMap<Arc<str>, Request>,
    /// When the next heartbeat is due; `None` where there are none, or when it has gone.
    next_heartbeat: Option<Moment>,
    /// It has said goodbye.
    has_left: bool,
    signals: VecDeque<Signal>,
}

#[derive(Debug)]
struct Request {
    ask: Ask,
    missing: Missing,
    /// Clients that have not answered, by the nodes that have asked them. It has no node that waits for none.
    clients: HashMap<Arc<str>, usize>,
}

impl Request {
    fn is_done(&self) -> bool {
        self.missing.is_none() && self.clients.is_empty()
    }

    /// A node has asked so many of its clients. Where a wire does not say who answers, several nodes are one.
    fn wait_for(&mut self, node: &Arc<str>, clients: usize) {
        if clients > 0 {
            let left = self.clients.entry(Arc::clone(node)).or_default();
            *left = left.saturating_add(clients);
        }
    }

    /// `false` when all clients of that node have answered before, or none was asked.
    fn strike_client(&mut self, node: &str) -> bool {
        let Some(left) = self.clients.get_mut(node) else {
            return false;
        };
        *left -= 1;
        if *left == 0 {
            self.clients.remove(node);
        }
        true
    }
}

/// Who has not answered.
#[derive(Debug)]
enum Missing {
    Nodes(HashSet<Arc<str>>),
    Counted(Counted),
}

/// Where the engine counts nodes, who has answered: one that is named is one of them once.
#[derive(Debug, Default)]
struct Counted {
    /// `None` until it is known how many to expect.
    asked: Option<usize>,
    answered: usize,
    named: HashSet<Arc<str>>,
}

impl Missing {
    fn is_none(&self) -> bool {
        match self {
            Self::Nodes(nodes) => nodes.is_empty(),
            Self::Counted(counted) => counted.are_all(),
        }
    }

    /// `false` when that node has answered before, or was never asked.
    fn strike(&mut self, node: &Arc<str>) -> bool {
        match self {
            Self::Nodes(nodes) => nodes.remove(node),
            Self::Counted(counted) => counted.strike(node),
        }
    }
}

impl Counted {
    fn are_all(&self) -> bool {
        self.asked.is_some_and(|asked| self.answered >= asked)
    }

    fn strike(&mut self, node: &Arc<str>) -> bool {
        // Not every wire says who answers.
        let is_due = !self.are_all() && (node.is_empty() || self.named.insert(Arc::clone(node)));
        self.answered += usize::from(is_due);
        is_due
    }
}

impl Relay {
    /// A node that comes into a namespace under a uid that nobody else has. Its first heartbeat is due at once.
    pub fn new(uid: Arc<str>, settings: RelaySettings, now: Moment) -> Self {
        let mut signals = VecDeque::new();
        let mut next_heartbeat = None;
        if settings.presence == Presence::Heartbeats {
            signals.push_back(Signal::Publish(Body::Hello));
            next_heartbeat = Some(now + settings.heartbeat_interval);
        }
        let (nodes, requests) = (HashMap::new(), HashMap::new());
        let has_left = false;
        Self { uid, settings, nodes, requests, next_heartbeat, has_left, signals }
    }

    /// Its uid.
    pub const fn uid(&self) -> &Arc<str> {
        &self.uid
    }

    /// The other nodes that are known: none where the engine counts them.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.nodes.keys()
    }

    /// How many requests are open.
    pub fn open_requests(&self) -> usize {
        self.requests.len()
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    /// When [`expire`](Self::expire) has something to do at the latest.
    pub fn deadline(&self) -> Option<Moment> {
        let silent = self.nodes.values().min();
        let silent = silent.map(|seen| *seen + self.settings.heartbeat_timeout);
        [self.next_heartbeat, silent].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn expire(&mut self, now: Moment) {
        if self.next_heartbeat.is_some_and(|due| due <= now) {
            self.signals.push_back(Signal::Publish(Body::Heartbeat));
            self.next_heartbeat = Some(now + self.settings.heartbeat_interval);
        }
        let timeout = self.settings.heartbeat_timeout;
        let is_silent = |seen: &Moment| *seen + timeout <= now;
        let silent = self.nodes.iter().filter(|(_, seen)| is_silent(seen));
        let silent: Vec<_> = silent.map(|(node, _)| Arc::clone(node)).collect();
        silent.into_iter().for_each(|node| self.lose(&node));
    }

    /// Something was said to all, which is a sign of life as good as a heartbeat.
    pub fn spoke(&mut self, now: Moment) {
        if self.next_heartbeat.is_some() {
            self.next_heartbeat = Some(now + self.settings.heartbeat_interval);
        }
    }

    /// The node goes, and says no more that it is there. Whether it is to say [`Body::Goodbye`]: once, where nodes say
    /// that they are there.
    pub fn leave(&mut self) -> bool {
        self.next_heartbeat = None;
        let had_left = std::mem::replace(&mut self.has_left, true);
        self.settings.presence == Presence::Heartbeats && !had_left
    }

    /// The engine was away, so nobody could be heard: all that were there have their time anew.
    pub fn resume(&mut self, now: Moment) {
        self.nodes.values_mut().for_each(|seen| *seen = now);
    }

    /// Begins to wait for the answers to a request. Gives how many nodes are asked, where that is known:
    /// [`counted`](Self::counted) tells it otherwise. `Err` when too many requests are open.
    pub fn ask(&mut self, request: Arc<str>, ask: Ask) -> Result<Option<usize>, TooManyRequests> {
        if self.requests.len() >= self.settings.requests_max {
            return Err(TooManyRequests);
        }
        let (missing, count) = match self.settings.presence {
            Presence::Heartbeats => {
                let nodes: HashSet<_> = self.nodes.keys().cloned().collect();
                let count = nodes.len();
                (Missing::Nodes(nodes), Some(count))
            }
            Presence::Counted => (Missing::Counted(Counted::default()), None),
        };
        self.requests
            .insert(Arc::clone(&request), Request { ask, missing, clients: HashMap::new() });
        self.end_if_done(&request);
        Ok(count)
    }

    /// So many other nodes were counted when a request was made.
    pub fn counted(&mut self, request: &Arc<str>, nodes: usize) {
        if let Some(Request { missing: Missing::Counted(counted), .. }) =
            self.requests.get_mut(request)
        {
            counted.asked.get_or_insert(nodes);
        }
        self.end_if_done(request);
    }

    /// Nobody waits for a request any more.
    pub fn forget(&mut self, request: &str) {
        self.requests.remove(request);
    }

    /// A packet has come.
    pub fn receive(&mut self, packet: Packet, now: Moment) {
        if let Body::Logged(logged) = &packet.body {
            // What it has put into the log itself comes back, in its place among what others have.
            if packet.from != self.uid && !logged.is_past {
                self.see(&packet.from, now);
            }
            return self.signals.push_back(Signal::Deliver(packet));
        }
        if packet.from == self.uid {
            return;
        }
        if packet.body == Body::Goodbye {
            return self.lose(&packet.from);
        }
        // Who has said goodbye may still have an answer: that is no sign that it is there again.
        if packet.body.answers().is_none() || self.nodes.contains_key(&packet.from) {
            self.see(&packet.from, now);
        }
        match packet.body {
            Body::Hello if self.has_left => {}
            Body::Hello => self.signals.push_back(Signal::Publish(Body::Heartbeat)),
            Body::Heartbeat | Body::Goodbye => {}
            body if body.answers().is_some() => self.answer(&packet.from, body),
            _ => self.signals.push_back(Signal::Deliver(packet)),
        }
    }

    /// What this node said itself is to be delivered here, behind all that has come before.
    pub fn deliver(&mut self, packet: Packet) {
        self.signals.push_back(Signal::Deliver(packet));
    }

    fn see(&mut self, node: &Arc<str>, now: Moment) {
        if self.settings.presence != Presence::Heartbeats || &**node == EMITTER {
            return;
        }
        if let Some(seen) = self.nodes.get_mut(node) {
            *seen = now;
        } else if self.nodes.len() < self.settings.nodes_max {
            self.nodes.insert(Arc::clone(node), now);
            self.signals.push_back(Signal::Joined(Arc::clone(node)));
        }
    }

    fn lose(&mut self, node: &Arc<str>) {
        if self.nodes.remove(node).is_none() {
            return;
        }
        self.signals.push_back(Signal::Left(Arc::clone(node)));
        let requests: Vec<_> = self.requests.keys().cloned().collect();
        for request in requests {
            if let Some(Request { missing: Missing::Nodes(nodes), clients, .. }) =
                self.requests.get_mut(&request)
            {
                nodes.remove(node);
                clients.remove(node);
            }
            self.end_if_done(&request);
        }
    }

    fn answer(&mut self, from: &Arc<str>, body: Body) {
        let Some(request) = body.answers().cloned() else {
            return;
        };
        // Of a request of another node, or one that is over.
        let Some(open) = self.requests.get_mut(&request) else {
            return;
        };
        let is_due = match (open.ask, &body) {
            (Ask::Clients, Body::ClientCount { count, .. }) => {
                let is_due = open.missing.strike(from);
                if is_due {
                    open.wait_for(from, *count);
                }
                is_due
            }
            (Ask::Clients, Body::Ack { .. }) => open.strike_client(from),
            (Ask::Nodes, Body::ClientCount { .. } | Body::Ack { .. }) => false,
            (Ask::Nodes, _) => open.missing.strike(from),
            (Ask::Clients, _) => false,
        };
        if is_due {
            self.signals.push_back(Signal::Answer(body));
        }
        self.end_if_done(&request);
    }

    fn end_if_done(&mut self, request: &Arc<str>) {
        if self.requests.get(request).is_some_and(Request::is_done) {
            self.requests.remove(request);
            self.signals.push_back(Signal::Done(Arc::clone(request)));
        }
    }
}

/// Too many requests are open: see [`RelaySettings::requests_max`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRequests;
