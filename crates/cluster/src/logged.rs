//! The log half of a [`Part`]: events that the engine brings to all nodes in one order, and sessions that it keeps.
//!
//! An event of this node is delivered here when the log brings it back, so every node sends the events of a namespace
//! in one order. While the engine is away events are delivered here at once. The other nodes are told of that gap
//! before the engine keeps another session, so nobody recovers across it.

use std::sync::Arc;
use std::time::Duration;

use roomful::adapter::{EventLog, LogFuture, Message, Offset};
use roomful_proto::cluster::{Body, Logged, Packet};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::bus::KeptSession;
use crate::outbox::Order;
use crate::part::{Open, Part, State};
use crate::translate;

impl Part {
    /// Of how long ago a new connection is to bring what the log has.
    pub(crate) fn wants_past(&self) -> Option<Duration> {
        self.log_of.filter(|_| !self.state.lock().has_begun)
    }

    /// The log begins behind this offset, as far as this node knows it.
    pub(crate) fn begin_log(self: &Arc<Self>, offset: Offset) {
        if self.log_of.is_none() {
            return;
        }
        let mut state = self.state.lock();
        state
            .relay
            .deliver(self.entry(Logged { is_past: true, ..Logged::brought(offset, 0, Body::Gap) }));
        drop(state);
        self.act();
    }

    /// All that the log had was brought.
    pub(crate) fn note_begun(&self) {
        self.state.lock().has_begun = true;
    }

    fn append(self: &Arc<Self>, message: Message) {
        let Some(body) = translate::body(message.clone()) else {
            return;
        };
        let is_volatile = body.is_volatile();
        let mut state = self.state.lock();
        let is_up = self.shared.is_up();
        if !is_up && is_volatile {
            self.shared.counters.dropped_volatile.add(1);
        } else {
            let number = state.pending.next();
            // Under the lock: the numbers are in the order of the log. The other nodes get later what this one has at
            // once while the engine is away.
            let is_taken = self.shared.order(Order::Publish(self.entry(Logged::new(number, body))));
            if is_up && is_taken {
                return state.pending.push(number, message);
            }
        }
        let mut waiting = state.pending.give_up();
        state.pending.note_past_log();
        waiting.push(message);
        self.deliver_past_log(&mut state, waiting);
        drop(state);
        if is_up {
            self.tell_gap();
        }
        // Not here: functions of the program may run, which may be in the middle of something where it sends.
        let part = Arc::clone(self);
        drop(self.shared.runtime.spawn(async move { part.act() }));
    }

    /// The connection is lost: what the log has not brought back is delivered without it.
    pub(crate) fn lose_log(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let waiting = state.pending.give_up();
        self.deliver_past_log(&mut state, waiting);
        drop(state);
        self.act();
    }

    /// What the log does not bring back in time is delivered without it.
    pub(crate) fn expire_log(self: &Arc<Self>) {
        if self.state.lock().pending.is_overdue(self.shared.settings.response_timeout) {
            tracing::warn!(namespace = %self.namespace, "the log of the engine brings nothing back in time");
            self.lose_log();
        }
        if self.shared.is_up() {
            self.tell_gap();
        }
    }

    /// Tells the other nodes that they do not know all events, until the log brings that back.
    pub(crate) fn tell_gap(&self) {
        let mut state = self.state.lock();
        if let Some(number) = state.pending.tell_gap()
            && !self.shared.order(Order::Publish(self.entry(Logged::new(number, Body::Gap))))
        {
            state.pending.note_past_log();
        }
    }

    /// Nobody recovers across a gap that others may not know yet.
    fn may_recover(&self) -> bool {
        self.shared.is_up() && self.state.lock().pending.is_whole()
    }

    fn deliver_past_log(&self, state: &mut State, messages: Vec<Message>) {
        for body in messages.into_iter().filter_map(translate::body) {
            state.relay.deliver(self.entry(Logged::new(0, body)));
        }
    }

    fn entry(&self, logged: Logged) -> Packet {
        self.packet(Body::Logged(Box::new(logged)), None)
    }

    /// Does with an entry of the log what is to be done here.
    pub(crate) fn receive_logged(self: &Arc<Self>, from: &Arc<str>, logged: Logged) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let Logged { offset, mut is_past, number, body } = logged;
        let is_own = **from == *self.uid;
        let is_volatile = body.is_volatile();
        if self.log_of.is_none() {
            // Here events do not go through the log, and its own were delivered when they were sent.
            return if !is_own && !is_past {
                self.deliver_body(from, body)
            };
        }
        if body == Body::Gap {
            if is_own {
                self.state.lock().pending.gap_is_told(number);
            }
            return offset.into_iter().for_each(|offset| Arc::clone(&node).log_begins(offset));
        }
        let Some((mut message, None)) = translate::message(body) else {
            return;
        };
        if offset.is_none() && !is_own && !is_volatile {
            // Who is away now would miss it.
            self.state.lock().pending.note_past_log();
        }
        if is_own && number > 0 {
            let due = self.state.lock().pending.back(number);
            for lost in due.lost {
                Arc::clone(&node).receive_logged(None, false, lost);
            }
            match due.message {
                // As it was sent: the wire does not say everything.
                Some(sent) => message = sent,
                None => {
                    is_past = true;
                    // It may have come behind the gap that was told of it.
                    self.state.lock().pending.note_past_log();
                }
            }
        }
        node.receive_logged(offset, is_past, message);
    }
}

impl EventLog for Open {
    fn append(&self, message: Message) {
        self.part.append(message);
    }

    fn reached(&self) -> Option<Offset> {
        let shared = &self.part.shared;
        shared.is_up().then(|| *shared.reached.lock())
    }

    fn keep(&self, key: &str, session: String, keeps: Duration) {
        let shared = &self.part.shared;
        let session = KeptSession { key: key.to_owned(), json: session, keeps };
        if !(self.part.may_recover() && shared.order(Order::Keep(session))) {
            shared.counters.sessions_lost.add(1);
        }
    }

    fn take<'a>(&'a self, key: &'a str) -> LogFuture<'a, Option<String>> {
        Box::pin(async move {
            let shared = &self.part.shared;
            let (told, taken) = oneshot::channel();
            if !self.part.may_recover() || !shared.order(Order::Take(key.to_owned(), told)) {
                return None;
            }
            // The engine may go away before the order is carried out.
            timeout(shared.settings.response_timeout, taken).await.ok()?.ok().flatten()
        })
    }
}
