//! What a [`Manager`] does with the packets of its server.

use bytes::Bytes;

use super::{Attempt, Key, Link, Manager, NoAck, Output, Recovery, Socket, State, Waiter};
use crate::args::Args;
use crate::engine::Revision;
use crate::error::Violation;
use crate::id::AckId;
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
        let was_left = key.is_none() && self.left.contains(header.namespace());
        let is_main = header.namespace() == "/";
        let packet = header.finish(attachments, &self.settings.limits)?;
        let Some(key) = key else {
            return match packet {
                _ if was_left => Ok(()),
                packet if is_main && self.is_v3() => {
                    self.main_unasked(&packet);
                    Ok(())
                }
                _ => self.stray(),
            };
        };
        match packet {
            Packet::Event(event) => self.event(key, event),
            Packet::Ack(id, args) => self.acked(now, key, id, args),
            Packet::Connect(payload) => self.joined(now, key, payload),
            Packet::ConnectError(why) => self.refused(now, key, why),
            Packet::Disconnect => {
                self.expelled(now, key);
                Ok(())
            }
        }
    }

    /// Something that nobody has asked for.
    fn stray(&mut self) -> Result<(), Violation> {
        self.strays = self.strays.saturating_add(1);
        if self.strays > self.settings.strays_max { Err(Violation::Strays) } else { Ok(()) }
    }

    const fn is_v3(&self) -> bool {
        matches!(self.link, Link::Open { revision: Revision::V3, .. })
    }

    /// A server of Socket.IO 2 puts everybody into `/`, and nobody here wants to be there, yet.
    fn main_unasked(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(_) => self.is_put = true,
            // Whoever wants to be there has to ask now.
            Packet::ConnectError(_) | Packet::Disconnect => self.left.add("/"),
            Packet::Event(_) | Packet::Ack(..) => {}
        }
    }

    fn event(&mut self, key: Key, event: Event) -> Result<(), Violation> {
        let socket = self.get(key);
        if socket.is_some_and(Socket::is_joined) {
            self.hand_over(key, event);
            return Ok(());
        }
        let limits = &self.settings.limits;
        let (events_max, bytes_max) = (limits.held_events_max, limits.held_bytes_max);
        let held = self.sockets.iter().flatten().filter_map(|socket| socket.held());
        let (count, bytes) = held.fold((1, event.held_bytes()), |(count, bytes), held| {
            (count + held.events.len(), bytes + held.bytes)
        });
        let Some(socket) = self.get_mut(key) else {
            return Ok(());
        };
        match &mut socket.state {
            State::Joining { held: Some(held), .. } => {
                if count > events_max || bytes > bytes_max {
                    return Err(Violation::HeldEvents);
                }
                held.bytes += event.held_bytes();
                held.events.push(event);
            }
            // It was under way when this side left.
            State::Joining { held: None, .. }
            | State::Joined
            | State::Inactive
            | State::Away
            | State::Authorizing { .. }
            | State::Leaving { .. } => {}
        }
        Ok(())
    }

    /// An event for a socket that is connected.
    fn hand_over(&mut self, key: Key, event: Event) {
        if let Some(socket) = self.get_mut(key) {
            socket.recovery.note(&event);
            let attempt = Attempt { key, number: socket.attempt };
            self.out.push_back(Output::Event { attempt, event });
        }
    }

    fn acked(&mut self, now: Moment, key: Key, id: AckId, args: Args) -> Result<(), Violation> {
        let Some(socket) = self.get_mut(key) else {
            return Ok(());
        };
        match socket.acks.answer(id) {
            Some(waiter) => {
                self.settle(now, key, waiter, Ok(args));
                Ok(())
            }
            // Its time was over.
            None if socket.acks.was_sent(id) => Ok(()),
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

    fn joined(&mut self, now: Moment, key: Key, payload: Option<Bytes>) -> Result<(), Violation> {
        let Link::Open { revision, .. } = self.link else {
            return Ok(());
        };
        let Some(socket) = self.get_mut(key) else {
            return Ok(());
        };
        match socket.state {
            State::Joining { .. } => {
                let (id, recovery) = match revision {
                    Revision::V4 => socket_ids(payload.as_deref())?,
                    Revision::V3 => (None, None),
                };
                self.enter(now, key, id, recovery);
                Ok(())
            }
            State::Leaving { .. } => {
                self.leave(key);
                self.answered(now, key);
                Ok(())
            }
            _ if revision == Revision::V3 && *socket.namespace == *"/" => {
                self.is_put = true;
                Ok(())
            }
            _ => {
                // One without an id, before it was asked for, is how a server of Socket.IO 2 begins.
                if revision == Revision::V4 {
                    socket_ids(payload.as_deref())?;
                }
                self.stray()
            }
        }
    }

    /// A socket that was about to join is in its namespace.
    pub(super) fn enter(
        &mut self,
        now: Moment,
        key: Key,
        id: Option<Box<str>>,
        recovery: Option<Box<str>>,
    ) {
        let session = self.session.clone();
        let Some(socket) = self.get_mut(key) else {
            return;
        };
        let State::Joining { held, .. } = std::mem::replace(&mut socket.state, State::Joined)
        else {
            return;
        };
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
        for event in held.unwrap_or_default().events {
            self.hand_over(key, event);
        }
        self.flush_buffer(key);
        self.retry(now, key, true);
    }

    fn refused(&mut self, now: Moment, key: Key, why: Option<Bytes>) -> Result<(), Violation> {
        let is_v3 = self.is_v3();
        let Some(socket) = self.get_mut(key) else {
            return Ok(());
        };
        let is_main = is_v3 && *socket.namespace == *"/";
        match socket.state {
            State::Joining { .. } => {
                socket.state = State::Inactive;
                self.out.push_back(Output::Refused { key, why });
                self.hang_up_if_unused();
            }
            State::Leaving { .. } => self.answered(now, key),
            State::Inactive | State::Away if is_main => {}
            _ => return self.stray(),
        }
        if is_main {
            // It is not put there once more.
            self.left.add("/");
        }
        Ok(())
    }

    /// The server takes the socket out of its namespace.
    fn expelled(&mut self, now: Moment, key: Key) {
        let is_v3 = self.is_v3();
        let Some(socket) = self.sockets.get(key.index()).and_then(Option::as_deref) else {
            return;
        };
        let was_left = self.left.contains(&socket.namespace);
        let is_main = is_v3 && *socket.namespace == *"/";
        match socket.state {
            State::Joined => {
                self.left.add(&socket.namespace);
                if let Some(socket) = self.get_mut(key) {
                    socket.state = State::Inactive;
                    // Whoever was put out is not to come back as the same.
                    socket.recovery = Recovery::default();
                }
                self.left(key, DisconnectReason::ServerDisconnect);
                self.hang_up_if_unused();
            }
            // It is of the time before the client has left, and the answer to CONNECT is still to come.
            State::Joining { .. } | State::Leaving { .. } if was_left => {}
            State::Joining { .. } | State::Leaving { .. } => {
                // A refusal without a reason: the socket was not connected.
                let _ = self.refused(now, key, None);
            }
            State::Inactive | State::Away if is_main => self.left.add("/"),
            State::Inactive | State::Away | State::Authorizing { .. } => {}
        }
    }

    /// The answer has come for which a socket has waited only to leave.
    fn answered(&mut self, now: Moment, key: Key) {
        let Some(socket) = self.get_mut(key) else {
            return;
        };
        let State::Leaving { again, .. } = socket.state else {
            return;
        };
        socket.state = if again { State::Away } else { State::Inactive };
        if socket.is_removed {
            self.free(key);
        } else if let Link::Open { revision, .. } = self.link {
            self.join(now, key, revision);
        }
    }
}

/// An id, and the secret one.
type SocketIds = (Option<Box<str>>, Option<Box<str>>);

/// The ids in the answer to CONNECT: that of the socket, and the secret one by which it is recovered.
fn socket_ids(payload: Option<&[u8]>) -> Result<SocketIds, Violation> {
    if payload.is_some_and(|payload| payload.len() > CONNECT_BYTES_MAX) {
        return Err(Violation::Payload);
    }
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

/// Bytes of the answer to CONNECT. That of the official server has about 60.
const CONNECT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an id of a socket.
const ID_BYTES_MAX: usize = 256;
