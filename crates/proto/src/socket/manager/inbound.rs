//! What a [`Manager`] does with the packets of its server.

use bytes::Bytes;

use super::buffer::Waiting;
use super::socket::{self, State, Waiter};
use super::{Attempt, Frames, Key, Link, Manager, NoAck, Output};
use crate::args::Args;
use crate::engine::Revision;
use crate::error::Violation;
use crate::id::AckId;
use crate::letter::Letter;
use crate::reason::DisconnectReason;
use crate::socket::packet::{Event, Packet};
use crate::socket::text::Header;
use crate::time::Moment;

impl<W> Manager<W> {
    /// A packet whose attachments are there.
    pub(super) fn packet(
        &mut self,
        now: Moment,
        header: Header,
        attachments: Box<[Bytes]>,
    ) -> Result<(), Violation> {
        let key = self.find(header.namespace());
        let packet = header.finish(attachments, &self.settings.limits)?;
        let Some(key) = key else {
            return self.stray();
        };
        match packet {
            Packet::Event(event) => self.event(key, event),
            Packet::Ack(id, args) => self.acked(now, key, id, args),
            Packet::Connect(payload) => self.joined(now, key, payload),
            Packet::ConnectError(why) => self.refused(key, why),
            Packet::Disconnect => {
                self.expelled(key);
                Ok(())
            }
        }
    }

    /// Something that nobody has asked for.
    fn stray(&mut self) -> Result<(), Violation> {
        self.strays += 1;
        if self.strays > self.settings.strays_max { Err(Violation::Strays) } else { Ok(()) }
    }

    fn event(&mut self, key: Key, event: Event) -> Result<(), Violation> {
        let bytes_max = self.settings.limits.held_bytes_max;
        let Some(socket) = self.sockets.get_mut(key.index()).and_then(Option::as_deref_mut) else {
            return Ok(());
        };
        match &mut socket.state {
            State::Joined => {
                socket.recovery.note(&event);
                let attempt = Attempt { key, number: socket.attempt };
                self.out.push_back(Output::Event { attempt, event });
            }
            State::Joining { held, .. } => {
                held.bytes += event.held_bytes();
                if held.bytes > bytes_max {
                    return Err(Violation::HeldEvents);
                }
                held.events.push(event);
            }
            // It was under way when this side left.
            State::Inactive | State::Away | State::Authorizing { .. } => {}
        }
        Ok(())
    }

    fn acked(&mut self, now: Moment, key: Key, id: AckId, args: Args) -> Result<(), Violation> {
        let Some(socket) = self.get_mut(key) else {
            return Ok(());
        };
        match socket.acks.close(id) {
            Some(waiter) => {
                self.settle(now, key, waiter, Ok(args));
                Ok(())
            }
            // Its time was over.
            None if socket.acks.was_open(id) => Ok(()),
            None => self.stray(),
        }
    }

    /// Tells whoever waits for an ack what became of it.
    pub(super) fn settle(
        &mut self,
        now: Moment,
        key: Key,
        waiter: Waiter<W>,
        answer: Result<Args, NoAck>,
    ) {
        let retries = self.settings.retries;
        match waiter {
            Waiter::User(waiter) => self.out.push_back(Output::Ack { waiter, answer }),
            Waiter::Retries => {
                let Some(socket) = self.get_mut(key) else {
                    return;
                };
                let Some(first) = socket.retries.first() else {
                    return;
                };
                first.pending = None;
                if answer.is_ok() || first.tries > retries {
                    let waiter = socket.retries.pop().and_then(|retry| retry.waiter);
                    self.out.extend(waiter.map(|waiter| Output::Ack { waiter, answer }));
                }
                self.retry(now, key, false);
            }
        }
    }

    /// Sends the first of the events that are sent again, if it is not under way.
    pub(super) fn retry(&mut self, now: Moment, key: Key, again: bool) {
        let until = now + self.settings.retry_timeout;
        let id = AckId::new(self.next_retry);
        let parser = self.parser.clone();
        let Some(socket) = self.get_mut(key).filter(|socket| socket.is_joined()) else {
            return;
        };
        let namespace = socket.namespace.clone();
        let Some(first) = socket.retries.first().filter(|first| again || first.pending.is_none())
        else {
            return;
        };
        let Some(id) = id else {
            return;
        };
        // Arguments that have been written once can be written again.
        let Ok(letter) = Letter::event(&namespace, Some(id), &first.name, &first.args) else {
            return;
        };
        first.tries = first.tries.saturating_add(1);
        let before = first.pending.replace(id);
        if let Some(before) = before {
            socket.acks.close(before);
        }
        socket.acks.open(id, Waiter::Retries, Some(until), true);
        self.next_retry = if self.next_retry + 2 > AckId::MAX { 1 } else { self.next_retry + 2 };
        // What is sent again is not put back into the buffer besides.
        self.push(None, Frames::new(letter, parser.as_deref()), true);
    }

    fn joined(&mut self, now: Moment, key: Key, payload: Option<Bytes>) -> Result<(), Violation> {
        let Link::Open { revision } = self.link else {
            return Ok(());
        };
        let (id, recovery) = match revision {
            Revision::V4 => socket_ids(payload.as_deref())?,
            Revision::V3 => (None, None),
        };
        let session = self.session.clone();
        let Some(socket) = self.get_mut(key) else {
            return Ok(());
        };
        let State::Joining { held, .. } = &mut socket.state else {
            return self.stray();
        };
        let held = std::mem::take(held);
        socket.state = State::Joined;
        let id = id.or_else(|| match &*socket.namespace {
            "/" => Some(session),
            namespace => Some(format!("{namespace}#{session}").into()),
        });
        let recovered = recovery.is_some() && socket.recovery.id == recovery;
        if !recovered {
            socket.recovery.offset.clear();
        }
        socket.recovery.id = recovery;
        let attempt = Attempt { key, number: socket.attempt };
        self.out.push_back(Output::Connected { attempt, id, recovered });
        for event in held.events {
            self.event(key, event)?;
        }
        self.retry(now, key, true);
        self.flush_buffer(key);
        Ok(())
    }

    /// What was emitted while the socket was not connected.
    fn flush_buffer(&mut self, key: Key) {
        while let Some(socket) = self.get_mut(key)
            && let Some(waiting) = socket.buffer.pop()
        {
            if let Some(id) = waiting.ack {
                socket.acks.set_sent(id, true);
            }
            let Waiting { frames, ack, compress } = waiting;
            self.outgoing.push_wire(&frames, Some((key.0, ack)), compress);
        }
    }

    fn refused(&mut self, key: Key, why: Option<Bytes>) -> Result<(), Violation> {
        let Some(socket) = self.get_mut(key) else {
            return Ok(());
        };
        if !matches!(socket.state, State::Joining { .. }) {
            return self.stray();
        }
        socket.state = State::Inactive;
        self.out.push_back(Output::Refused { key, why });
        self.hang_up_if_unused();
        Ok(())
    }

    /// The server takes the socket out of its namespace.
    fn expelled(&mut self, key: Key) {
        let Some(socket) = self.get_mut(key) else {
            return;
        };
        if !matches!(socket.state, State::Joined | State::Joining { .. }) {
            return;
        }
        socket.state = State::Inactive;
        // Whoever was put out is not to come back as the same.
        socket.recovery = socket::Recovery::default();
        self.left(key, DisconnectReason::ServerDisconnect);
        self.hang_up_if_unused();
    }
}

/// An id, and the secret one.
type SocketIds = (Option<Box<str>>, Option<Box<str>>);

/// The ids in the answer to CONNECT: that of the socket, and the secret one by which it is recovered.
fn socket_ids(payload: Option<&[u8]>) -> Result<SocketIds, Violation> {
    let payload: Option<serde_json::Value> =
        payload.and_then(|payload| serde_json::from_slice(payload).ok());
    let text = |key: &str| {
        let text = payload.as_ref().and_then(|payload| payload.get(key)?.as_str());
        text.filter(|text| text.len() <= ID_BYTES_MAX).map(Box::from)
    };
    match text("sid") {
        Some(id) => Ok((Some(id), text("pid"))),
        None => Err(Violation::NoSocketId),
    }
}

/// Bytes of an id of a socket.
const ID_BYTES_MAX: usize = 256;
