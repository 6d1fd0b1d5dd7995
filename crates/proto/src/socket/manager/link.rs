//! [`Link`]: the connection that the sockets share, and what a [`Manager`] does when it comes and goes.

use std::collections::BTreeMap;

use super::buffer::Waiting;
use super::left::Left;
use super::socket::{Held, State};
use super::{Attempt, Key, Manager, NoAck, Output, Waiter};
use crate::engine::{Revision, Unsent};
use crate::letter::Letter;
use crate::reason::DisconnectReason;
use crate::socket::query;
use crate::time::Moment;

/// The state of the connection.
#[derive(Debug)]
pub(super) enum Link {
    /// There is none, and none is wanted.
    Idle,
    /// One is being opened.
    Opening,
    Open {
        revision: Revision,
        since: Moment,
    },
    /// The next attempt is made then.
    Waiting {
        until: Moment,
    },
    /// It was asked to close.
    Closing,
}

impl<W> Manager<W> {
    /// The connection is open.
    pub fn opened(&mut self, now: Moment, revision: Revision, session: &str) {
        if !matches!(self.link, Link::Opening) {
            return;
        }
        self.link = Link::Open { revision, since: now };
        self.session = session.into();
        self.strays = 0;
        self.out.push_back(Output::Opened { attempt: self.backoff.attempts() });
        self.backoff.opened();
        for key in self.keys() {
            self.join(now, key, revision);
        }
    }

    /// The connection has ended, or could not be opened.
    pub fn closed(&mut self, now: Moment, reason: DisconnectReason) {
        if matches!(self.link, Link::Idle | Link::Waiting { .. }) {
            return;
        }
        let link = std::mem::replace(&mut self.link, Link::Idle);
        self.forget_connection();
        self.take_back();
        for key in self.keys() {
            let Some(socket) = self.get_mut(key) else {
                continue;
            };
            let after = if socket.is_active() { State::Away } else { State::Inactive };
            let before = std::mem::replace(&mut socket.state, after);
            if socket.is_removed {
                self.free(key);
            } else if let State::Joined = before {
                self.left(key, reason);
            }
        }
        match link {
            Link::Closing if self.is_wanted() => self.dial(),
            Link::Closing | Link::Idle | Link::Waiting { .. } => {}
            Link::Opening => self.wait(now),
            Link::Open { since, .. } => {
                self.backoff.lost(now.since(since), &self.settings.reconnection);
                self.wait(now);
            }
        }
    }

    /// Nothing of the connection is left for the next one.
    pub(super) fn forget_connection(&mut self) {
        (self.assembling, self.left, self.is_put) = (None, Left::default(), false);
        // It would be the next one that is hung up.
        self.out.retain(|output| !matches!(output, Output::HangUp));
    }

    /// The auth payload of a socket that is about to join: the JSON of an object.
    pub fn authorize(&mut self, now: Moment, attempt: Attempt, auth: Option<&[u8]>) {
        let Link::Open { revision, .. } = self.link else {
            return;
        };
        let until = Some(now + self.settings.join_timeout);
        let Some(socket) = self.sockets.get(attempt.key.index()).and_then(Option::as_deref) else {
            return;
        };
        if socket.attempt != attempt.number || !matches!(socket.state, State::Authorizing { .. }) {
            return;
        }
        let letter = match revision {
            Revision::V4 => {
                let payload = socket.connect_payload(auth);
                Letter::connect(&socket.namespace, payload.as_deref())
            }
            Revision::V3 => Letter::connect(&query::join(&socket.namespace, auth), None),
        };
        // What comes now may be of the time before the client has left.
        let held = (!self.left.contains(&socket.namespace)).then(Held::default);
        if let Some(socket) = self.get_mut(attempt.key) {
            socket.state = State::Joining { until, held };
        }
        self.send(letter);
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.sockets.iter().flatten().any(|socket| socket.is_active())
    }

    pub(super) fn dial(&mut self) {
        self.link = Link::Opening;
        self.out.push_back(Output::Dial { attempt: self.backoff.attempts() });
    }

    /// The next attempt is to be made after a while, if there is to be one.
    fn wait(&mut self, now: Moment) {
        if !self.is_wanted() {
            self.backoff.reset();
            return;
        }
        let reconnection = &self.settings.reconnection;
        if reconnection.attempts_max.is_some_and(|max| self.backoff.attempts() >= max) {
            self.backoff.reset();
            for socket in self.sockets.iter_mut().flatten() {
                socket.state = State::Inactive;
            }
            self.out.push_back(Output::GaveUp);
            return;
        }
        let until = now + self.backoff.next(reconnection);
        self.link = Link::Waiting { until };
        self.out.push_back(Output::Waiting { attempt: self.backoff.attempts(), until });
    }

    pub(super) fn hang_up_if_unused(&mut self) {
        if self.is_wanted() {
            return;
        }
        match self.link {
            Link::Opening | Link::Open { .. } => {
                self.link = Link::Closing;
                self.backoff.reset();
                self.out.push_back(Output::HangUp);
            }
            Link::Waiting { .. } => {
                self.link = Link::Idle;
                self.backoff.reset();
            }
            Link::Idle | Link::Closing => {}
        }
    }

    /// Begins to join the namespace of a socket that wants to be there and is not.
    pub(super) fn join(&mut self, now: Moment, key: Key, revision: Revision) {
        let number = self.attempts.wrapping_add(1);
        let until = Some(now + self.settings.join_timeout);
        let has_left = |namespace: &str| self.left.contains(namespace);
        let Some(socket) = self.sockets.get(key.index()).and_then(Option::as_deref) else {
            return;
        };
        // A server of Socket.IO 2 puts everybody into `/` by itself, once.
        let comes_by_itself =
            revision == Revision::V3 && *socket.namespace == *"/" && !has_left("/");
        let Some(socket) = self.get_mut(key).filter(|socket| matches!(socket.state, State::Away))
        else {
            return;
        };
        socket.attempt = number;
        socket.state = if comes_by_itself {
            State::Joining { until, held: Some(Held::default()) }
        } else {
            State::Authorizing { until }
        };
        self.attempts = number;
        if !comes_by_itself {
            self.out.push_back(Output::Authorize(Attempt { key, number }));
        } else if self.is_put {
            self.enter(now, key, None, None);
        }
    }

    /// Tells the server that a socket leaves its namespace.
    pub(super) fn leave(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key.index()).and_then(Option::as_deref) else {
            return;
        };
        let letter = Letter::disconnected(&socket.namespace);
        self.left.add(&socket.namespace);
        self.send(letter);
    }

    /// The socket is not connected any more: nobody will answer what it has sent.
    pub(super) fn left(&mut self, key: Key, reason: DisconnectReason) {
        self.out.push_back(Output::Disconnected { key, reason });
        let waiters = self.get_mut(key).map(|socket| socket.acks.take_sent());
        for waiter in waiters.unwrap_or_default() {
            // It is not connected, so nothing is sent again now, and the time does not matter.
            self.settle(Moment::default(), key, waiter, Err(NoAck::Disconnected));
        }
    }

    /// Tells all that wait for an ack of a socket that is no more, and drops what it had to send.
    pub(super) fn give_up(&mut self, key: Key) {
        let Some(socket) = self.get_mut(key) else {
            return;
        };
        let (acks, retries) = socket.clear();
        let users = acks.into_iter().filter_map(|waiter| match waiter {
            Waiter::User(waiter) => Some(waiter),
            Waiter::Retries => None,
        });
        let answer = |waiter| Output::Ack { waiter, answer: Err(NoAck::Disconnected) };
        self.out.extend(users.chain(retries).map(answer));
    }

    /// The place of a socket that was removed can be another's.
    pub(super) fn free(&mut self, key: Key) {
        if let Some(place) = self.sockets.get_mut(key.index()) {
            *place = None;
        }
    }

    /// Events that the connection has taken and not sent go back into the buffers of their sockets.
    pub(super) fn take_back(&mut self) {
        let unsent = self.outgoing.take_unsent();
        if unsent.is_empty() {
            return;
        }
        let key_of: BTreeMap<u32, Key> =
            self.keys().filter_map(|key| Some((self.get(key)?.serial, key))).collect();
        for Unsent { owner: (serial, ack), frames, compress } in unsent.into_iter().rev() {
            // A socket that was removed has nothing more to say, even if its key is another's now.
            let socket = key_of.get(&serial).and_then(|key| self.get_mut(*key));
            if let Some(socket) = socket {
                if let Some(id) = ack {
                    socket.acks.set_sent(id, false);
                }
                socket.buffer.push_front(Waiting { frames, ack, compress });
            }
        }
    }
}
