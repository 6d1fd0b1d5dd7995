//! [`Requests`]: who is waited for, who has answered, and how it ends.
//!
//! It has a table of its own of what a relay should know, and says for each packet what that should do.

use std::collections::BTreeMap;

use roomful_proto::Moment;
use roomful_proto::cluster::{Ask, Presence};

use super::Verdict;
use crate::history::{Answer, Crowd, End, Entry, Said, Who};
use crate::rules::{Rules, SILENCE_MAX};

pub(crate) struct Requests {
    presence: Presence,
    requests_max: usize,
    open: BTreeMap<u32, Open>,
    /// When the one was heard by the other last, and since when there is an engine for it.
    heard: BTreeMap<(Who, Who), Moment>,
    connected: BTreeMap<Who, Moment>,
    /// How many others a node has counted last.
    counted: BTreeMap<Who, usize>,
    /// An answer that is to be passed on next.
    due: Option<(Who, u32, Answer)>,
    /// Requests of which it is to be said that they are done, at this time still.
    owed: BTreeMap<u32, Moment>,
}

struct Open {
    by: Who,
    ask: Ask,
    until: Moment,
    asked: Asked,
    /// Clients of nodes that have answered, and how many of them have.
    clients: BTreeMap<Who, Clients>,
    /// What whoever has made it has been told: how many nodes are asked and have answered, and how many clients.
    nodes: usize,
    nodes_told: usize,
    clients_told: usize,
    acks_told: usize,
    /// That has ended for them.
    has_ended: bool,
}

enum Asked {
    /// Who has not answered.
    These(Crowd),
    /// How many were counted, when they were, and who has answered. Nobody in particular may be several.
    Counted { count: Option<usize>, come: usize, named: Crowd },
}

#[derive(Default)]
struct Clients {
    asked: usize,
    answered: usize,
}

impl Requests {
    pub(crate) const fn new(rules: &Rules) -> Self {
        Self {
            presence: rules.presence,
            requests_max: rules.requests_max,
            open: BTreeMap::new(),
            heard: BTreeMap::new(),
            connected: BTreeMap::new(),
            counted: BTreeMap::new(),
            due: None,
            owed: BTreeMap::new(),
        }
    }

    pub(crate) fn see(&mut self, now: Moment, entry: &Entry) -> Verdict {
        if let Some((node, request, answer)) = self.due.take() {
            return match *entry {
                Entry::Passed { node: by, request: passed, answer: what }
                    if (by, passed, what) == (node, request, answer) =>
                {
                    Ok(())
                }
                _ => Err(format!("answers: that of {request} is not passed on")),
            };
        }
        if let Some((request, _)) = self.owed.iter().find(|(_, at)| **at < now) {
            return Err(format!("ends: {request} waits for nobody, and is not done"));
        }
        match *entry {
            Entry::Asked { request, by, ask, known, said, until } => {
                self.asked(now, request, Open::new(self.presence, by, ask, until, known), said)
            }
            Entry::Refused(by) => self.refused(by),
            Entry::Expected { request, nodes } => self.expected(request, nodes),
            Entry::Counted { node, request, nodes } => {
                self.counted.insert(node, nodes);
                self.change(now, request, |open| open.counted(nodes));
                Ok(())
            }
            Entry::Connected(node) => {
                self.connected.insert(node, now);
                Ok(())
            }
            Entry::Disconnected(node) => {
                self.connected.remove(&node);
                Ok(())
            }
            Entry::Heard { node, from, said } => {
                self.hear(now, node, from, said);
                Ok(())
            }
            Entry::Passed { request, .. } => {
                Err(format!("answers: one of {request} is passed on that is none, or comes again"))
            }
            Entry::Left { node, other } => {
                self.lose(now, node, other);
                Ok(())
            }
            Entry::Done { request, .. } => self.done(request),
            Entry::Ended { request, how, nodes_missing, clients_missing } => {
                self.ended(now, request, how, (nodes_missing, clients_missing))
            }
            Entry::Forgotten { request } => self.forget(request),
            Entry::Killed(node) | Entry::Leaves(node) => {
                self.open.retain(|_, open| open.by != node);
                self.owed.retain(|request, _| self.open.contains_key(request));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn asked(&mut self, now: Moment, request: u32, open: Open, said: Option<usize>) -> Verdict {
        let known = match &open.asked {
            Asked::These(known) => Some(known.len()),
            Asked::Counted { .. } => None,
        };
        if said != known {
            return Err(format!("ends: {request} asks {said:?} nodes of {known:?}"));
        }
        self.open.insert(request, open);
        self.change(now, request, |_| ());
        Ok(())
    }

    fn expected(&mut self, request: u32, nodes: usize) -> Verdict {
        let Some(open) = self.open.get_mut(&request) else {
            return Ok(());
        };
        open.nodes = nodes;
        match nodes == self.counted.get(&open.by).copied().unwrap_or(0) {
            true => Ok(()),
            false => Err(format!("ends: {request} expects {nodes} nodes, and not the last count")),
        }
    }

    fn refused(&self, by: Who) -> Verdict {
        let open = self.open.values().filter(|open| open.by == by).count();
        match open < self.requests_max {
            true => Err(format!("ends: one more than {open} requests is refused")),
            false => Ok(()),
        }
    }

    /// Changes what is known of a request, and looks whether it is to be done now.
    fn change(&mut self, now: Moment, request: u32, change: impl FnOnce(&mut Open)) {
        if let Some(open) = self.open.get_mut(&request) {
            change(open);
            if open.is_over() {
                self.owed.insert(request, now);
            }
        }
    }

    fn hear(&mut self, now: Moment, node: Who, from: Who, said: Said) {
        if node == from {
            return;
        }
        self.heard.insert((from, node), now);
        let Said::Answer(request, answer) = said else {
            return;
        };
        let mut is_due = false;
        if self.open.get(&request).is_some_and(|open| open.by == node) {
            self.change(now, request, |open| is_due = open.answer(from, answer));
        }
        if is_due {
            self.due = Some((node, request, answer));
        }
    }

    fn lose(&mut self, now: Moment, node: Who, other: Who) {
        let of_node = self.open.iter().filter(|(_, open)| open.by == node);
        for request in of_node.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.change(now, request, |open| open.lose(other));
        }
    }

    fn done(&mut self, request: u32) -> Verdict {
        let Some(_) = self.owed.remove(&request) else {
            return Err(format!("ends: {request} is done before all have answered"));
        };
        // Nobody is told of it whose time was over before.
        self.open.retain(|number, open| *number != request || !open.has_ended);
        Ok(())
    }

    fn ended(&mut self, now: Moment, request: u32, how: End, missing: (usize, usize)) -> Verdict {
        let Some(open) = self.open.get_mut(&request) else {
            return Err(format!("ends: {request} ends again"));
        };
        let wrong = |why: &str| Err(format!("ends: {request} {why}"));
        if std::mem::replace(&mut open.has_ended, true) {
            return wrong("ends again");
        }
        if how == End::NotAsked {
            open.nodes = self.counted.get(&open.by).copied().unwrap_or(0);
        }
        if missing != open.missing() {
            return wrong(&format!("misses not {:?} nodes and clients", open.missing()));
        }
        if how != End::Time {
            self.open.remove(&request);
            return Ok(());
        }
        if now != open.until {
            return wrong("does not end in its time");
        }
        let (by, connected) = (open.by, self.connected.get(&open.by));
        let heard = |other: &Who| self.heard.get(&(*other, by)).copied().unwrap_or_default();
        let is_silent = |other: &Who| {
            connected.is_some_and(|since| now.since(heard(other).max(*since)) > SILENCE_MAX)
        };
        match open.waits_for().find(is_silent) {
            Some(other) => Err(format!("waits: {request} waits for {other:?}, which is silent")),
            None => Ok(()),
        }
    }

    fn forget(&mut self, request: u32) -> Verdict {
        match self.open.remove(&request) {
            Some(open) if !open.has_ended => {
                Err(format!("ends: {request} is forgotten before it has ended"))
            }
            _ => Ok(()),
        }
    }

    /// All requests have ended.
    pub(crate) fn end(&self) -> Verdict {
        match self.open.keys().next() {
            Some(request) => Err(format!("ends: {request} never ends")),
            None => Ok(()),
        }
    }
}

impl Open {
    const fn new(presence: Presence, by: Who, ask: Ask, until: Moment, known: Crowd) -> Self {
        let (nodes, asked) = match presence {
            Presence::Counted => {
                let named = Crowd::NONE;
                (0, Asked::Counted { count: None, come: 0, named })
            }
            _ => (known.len(), Asked::These(known)),
        };
        Self {
            by,
            ask,
            until,
            asked,
            clients: BTreeMap::new(),
            nodes,
            nodes_told: 0,
            clients_told: 0,
            acks_told: 0,
            has_ended: false,
        }
    }

    const fn counted(&mut self, nodes: usize) {
        self.nodes = nodes;
        if let Asked::Counted { count, .. } = &mut self.asked {
            *count = Some(nodes);
        }
    }

    /// Whether an answer is to be passed on.
    fn answer(&mut self, from: Who, answer: Answer) -> bool {
        let is_due = match (self.ask, answer) {
            (Ask::Nodes, Answer::Node) => self.strike(from),
            (Ask::Clients, Answer::Count(count)) => {
                let is_due = self.strike(from);
                if is_due {
                    let asked = &mut self.clients.entry(from).or_default().asked;
                    *asked = asked.saturating_add(count);
                    self.clients_told = self.clients_told.saturating_add(count);
                }
                is_due
            }
            (Ask::Clients, Answer::Ack) => self.ack(from),
            _ => false,
        };
        self.nodes_told += usize::from(is_due && answer != Answer::Ack);
        self.acks_told += usize::from(is_due && answer == Answer::Ack);
        is_due
    }

    /// Notes that a node has answered; `false` when it was not asked, or has answered before.
    fn strike(&mut self, node: Who) -> bool {
        match &mut self.asked {
            Asked::These(left) => left.remove(node),
            Asked::Counted { count, come, named } => {
                let is_due = count.is_none_or(|count| *come < count)
                    && (node == Who::NOBODY || named.insert(node));
                *come += usize::from(is_due);
                is_due
            }
        }
    }

    fn ack(&mut self, from: Who) -> bool {
        let clients = self.clients.get_mut(&from).filter(|clients| clients.are_awaited());
        clients.map(|clients| clients.answered += 1).is_some()
    }

    fn lose(&mut self, node: Who) {
        if let Asked::These(left) = &mut self.asked {
            left.remove(node);
            self.clients.remove(&node);
        }
    }

    fn is_over(&self) -> bool {
        let have_all = match &self.asked {
            Asked::These(left) => left.is_empty(),
            Asked::Counted { count, come, .. } => count.is_some_and(|count| *come >= count),
        };
        have_all && self.clients.values().all(|clients| !clients.are_awaited())
    }

    /// Nodes and clients that were asked and have not answered.
    const fn missing(&self) -> (usize, usize) {
        let nodes = self.nodes.saturating_sub(self.nodes_told);
        (nodes, self.clients_told.saturating_sub(self.acks_told))
    }

    /// Nodes that are waited for, or their clients, where it is known which these are.
    fn waits_for(&self) -> impl Iterator<Item = Who> {
        let (left, known) = match &self.asked {
            Asked::These(left) => (*left, true),
            Asked::Counted { .. } => (Crowd::default(), false),
        };
        let clients =
            self.clients.iter().filter(move |(_, clients)| known && clients.are_awaited());
        left.iter().chain(clients.map(|(node, _)| *node))
    }
}

impl Clients {
    const fn are_awaited(&self) -> bool {
        self.answered < self.asked
    }
}
