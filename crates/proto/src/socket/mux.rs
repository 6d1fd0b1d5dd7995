//! [`Mux`]: the server's end of Socket.IO on one connection.
//!
//! It knows which namespaces the connection has joined or asks to join, joins attachments to the
//! packet that announced them, and holds the events of a namespace that has not answered yet. Who
//! may join is the caller's to decide: [`Arrived::Connect`] asks, [`Mux::accept`] or
//! [`Mux::refuse`] answers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::packet::{Event, Packet};
use super::parser::Whole;
use super::query;
use super::reassembly::{Progress, Reassembly};
use super::text::Header;
use crate::args::Args;
use crate::engine::{Data, Revision};
use crate::error::Violation;
use crate::hidden::Hidden;
use crate::id::AckId;
use crate::limits::Limits;
use crate::time::Moment;

/// The place of a namespace on one connection. Places are small numbers and used again after a
/// namespace is left, but two attempts to join never have equal slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u64);

impl Slot {
    const fn new(index: usize, attempt: u32) -> Self {
        Self((index as u64) << 32 | attempt as u64)
    }

    /// As an index into a table of the caller's.
    pub const fn index(self) -> usize {
        (self.0 >> 32) as usize
    }

    const fn attempt(self) -> u32 {
        self.0 as u32
    }
}

/// What arrived.
pub enum Arrived {
    /// The client asks to join the namespace at `slot`; `auth` is the JSON of its payload, an
    /// object.
    Connect {
        /// Where the namespace will be.
        slot: Slot,
        /// What the client says about itself.
        auth: Option<Bytes>,
    },
    /// The client asks to join the namespace at `slot` with an auth payload of more than
    /// `auth_bytes_max`, which is dropped. It has to be told; there is nothing to accept or refuse.
    AuthTooLarge {
        /// Where the namespace would be.
        slot: Slot,
    },
    /// The client asks to join one namespace more than `namespaces_max`, and was not given a slot.
    Crowded {
        /// The namespace.
        namespace: Box<str>,
    },
    /// An event for a joined namespace.
    Event {
        /// Where it is.
        slot: Slot,
        /// The event.
        event: Event,
    },
    /// An answer to an event of ours.
    Ack {
        /// Where it is.
        slot: Slot,
        /// The id that was sent with the event.
        id: AckId,
        /// The answer.
        args: Args,
    },
    /// The client left the namespace, joined or not yet.
    Disconnect {
        /// Where it was.
        slot: Slot,
    },
}

impl fmt::Debug for Arrived {
    /// Of an auth payload, which is mostly a secret, only how long it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { slot, auth } => f
                .debug_struct("Connect")
                .field("slot", slot)
                .field("auth", &auth.as_ref().map(Hidden::new))
                .finish(),
            Self::Crowded { namespace } => {
                f.debug_struct("Crowded").field("namespace", namespace).finish()
            }
            Self::AuthTooLarge { slot } => {
                f.debug_struct("AuthTooLarge").field("slot", slot).finish()
            }
            Self::Event { slot, event } => {
                f.debug_struct("Event").field("slot", slot).field("event", event).finish()
            }
            Self::Ack { slot, id, args } => f
                .debug_struct("Ack")
                .field("slot", slot)
                .field("id", id)
                .field("args", args)
                .finish(),
            Self::Disconnect { slot } => f.debug_struct("Disconnect").field("slot", slot).finish(),
        }
    }
}

/// The server's end of Socket.IO on one connection.
#[derive(Debug)]
pub struct Mux {
    revision: Revision,
    limits: Arc<Limits>,
    seats: Vec<Seat>,
    assembling: Option<Box<Reassembly>>,
    /// Until when a namespace must have been joined; `None` while one is.
    connect_until: Option<Moment>,
    /// Attempts to join that were made so far.
    attempts: u32,
    /// What has arrived and was not polled for: mostly held events whose namespace has been joined now.
    released: VecDeque<Arrived>,
}

#[derive(Debug)]
struct Seat {
    namespace: Box<str>,
    attempt: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The namespace has not answered. What the client already sent is held.
    Joining(Vec<Arrived>),
    Joined,
    /// The namespace was left. Packets that were under way then are not held against the client.
    Left,
}

impl Mux {
    /// A connection that was just opened and has joined nothing.
    pub const fn new(connect_until: Moment, revision: Revision, limits: Arc<Limits>) -> Self {
        Self {
            revision,
            limits,
            seats: Vec::new(),
            assembling: None,
            connect_until: Some(connect_until),
            attempts: 0,
            released: VecDeque::new(),
        }
    }

    /// A client of Socket.IO 2 joins `/` by being there: asks for it in its name. Only once, and
    /// before anything was received.
    pub fn join_main(&mut self) -> Arrived {
        self.join("/".into(), None)
    }

    /// Takes a message of the session. Afterwards [`poll`](Self::poll) until it gives `None`. After
    /// an error the connection must be closed.
    pub fn receive(&mut self, now: Moment, data: Data) -> Result<(), Violation> {
        let mut arrived = None;
        self.take(now, data, &mut arrived)?;
        self.released.extend(arrived);
        Ok(())
    }

    /// As [`receive`](Self::receive), but puts what arrived right into its place: an event is written
    /// there once and not moved. Only for a caller that has polled until there was nothing.
    pub fn take(
        &mut self,
        now: Moment,
        data: Data,
        arrived: &mut Option<Arrived>,
    ) -> Result<(), Violation> {
        match (data, self.assembling.take()) {
            (Data::Text(text), None) => self.text(now, text, arrived),
            (Data::Binary(bytes), Some(assembling)) => {
                self.attachment(now, assembling, bytes, arrived)
            }
            (Data::Text(_), Some(_)) => Err(Violation::MissingAttachment),
            (Data::Binary(_), None) => Err(Violation::StrayAttachment),
        }
    }

    /// As [`take`](Self::take), for a packet that came in one piece and was read by a
    /// [`Parser`](super::Parser).
    pub fn take_whole(
        &mut self,
        now: Moment,
        whole: Whole,
        arrived: &mut Option<Arrived>,
    ) -> Result<(), Violation> {
        let (header, attachments) = whole.into_parts(&self.limits)?;
        self.packet(now, header, attachments.into(), arrived)
    }

    /// What arrived; `None` when that was all.
    pub fn poll(&mut self) -> Option<Arrived> {
        self.released.pop_front()
    }

    /// When [`expire`](Self::expire) must be called, at the latest.
    pub fn deadline(&self) -> Option<Moment> {
        let assembling = self.assembling.as_ref().map(|assembling| assembling.until());
        [self.connect_until, assembling].into_iter().flatten().min()
    }

    /// Does what time asks for: after an error the connection must be closed. The same error comes
    /// only once, so that a connection that takes its time to close is not woken for it again.
    pub fn expire(&mut self, now: Moment) -> Result<(), Violation> {
        if self.connect_until.take_if(|until| now >= *until).is_some() {
            return Err(Violation::ConnectTimeout);
        }
        let late = |assembling: &mut Box<Reassembly>| now >= assembling.until();
        match self.assembling.take_if(late) {
            Some(_) => Err(Violation::AttachmentTimeout),
            None => Ok(()),
        }
    }

    /// The namespace at `slot`.
    pub fn namespace(&self, slot: Slot) -> &str {
        self.seats.get(slot.index()).map_or("/", |seat| &seat.namespace)
    }

    /// The namespace at `slot` lets the client in; events that were held come out of
    /// [`poll`](Self::poll). `false` when the client has left meanwhile, even if it has come again.
    pub fn accept(&mut self, slot: Slot) -> bool {
        let Some(seat) = self.seat(slot) else {
            return false;
        };
        let State::Joining(held) = &mut seat.state else {
            return false;
        };
        let held = std::mem::take(held);
        seat.state = State::Joined;
        self.released.extend(held);
        self.connect_until = None;
        true
    }

    /// The namespace at `slot` does not let the client in; what it sent there is dropped.
    pub fn refuse(&mut self, slot: Slot) {
        if let Some(seat) = self.seat(slot)
            && matches!(seat.state, State::Joining(_))
        {
            seat.state = State::Left;
        }
    }

    /// This server took the client out of the namespace at `slot`.
    pub fn leave(&mut self, now: Moment, slot: Slot) {
        self.released.retain(|arrived| arrived.slot() != Some(slot));
        if let Some(seat) = self.seat(slot) {
            seat.state = State::Left;
        }
        self.rearm(now);
    }

    /// The seat at `slot`, while it is that of the same attempt to join.
    fn seat(&mut self, slot: Slot) -> Option<&mut Seat> {
        self.seats.get_mut(slot.index()).filter(|seat| seat.attempt == slot.attempt())
    }

    #[inline(always)]
    fn text(
        &mut self,
        now: Moment,
        text: Bytes,
        arrived: &mut Option<Arrived>,
    ) -> Result<(), Violation> {
        if self.revision == Revision::V3
            && let Some((name, auth)) = query::split(&text, &self.limits)?
        {
            *arrived = Some(self.connect(name, Some(auth))?);
            return Ok(());
        }
        let header = Header::decode(text, &self.limits)?;
        if header.attachments == 0 {
            return self.packet(now, header, Box::default(), arrived);
        }
        self.assembling = Some(Reassembly::begin(now, header, &self.limits));
        Ok(())
    }

    fn attachment(
        &mut self,
        now: Moment,
        assembling: Box<Reassembly>,
        bytes: Bytes,
        arrived: &mut Option<Arrived>,
    ) -> Result<(), Violation> {
        match assembling.push(bytes, &self.limits)? {
            Progress::Missing(assembling) => {
                self.assembling = Some(assembling);
                Ok(())
            }
            Progress::Whole(header, attachments) => self.packet(now, header, attachments, arrived),
        }
    }

    /// A packet whose attachments are there.
    // In place in each of the three that call it: as a call it would move the packet once more.
    #[inline(always)]
    fn packet(
        &mut self,
        now: Moment,
        header: Header,
        attachments: Box<[Bytes]>,
        arrived: &mut Option<Arrived>,
    ) -> Result<(), Violation> {
        // What most packets are comes the short way.
        if header.is_event()
            && let Some(slot) = self.joined(header.namespace())
        {
            let (name, args) = header.check_event(attachments.len(), &self.limits)?;
            let event = header.into_event(name, args, attachments);
            *arrived = Some(Arrived::Event { slot, event });
            return Ok(());
        }
        self.other_packet(now, header, attachments, arrived)
    }

    /// Where a namespace is that was joined.
    #[inline(always)]
    fn joined(&self, namespace: &str) -> Option<Slot> {
        let found =
            |seat: &Seat| matches!(seat.state, State::Joined) && *seat.namespace == *namespace;
        let index = self.seats.iter().position(found)?;
        Some(Slot::new(index, self.seats[index].attempt))
    }

    /// Whatever is not an event of a namespace that was joined.
    #[inline(never)]
    fn other_packet(
        &mut self,
        now: Moment,
        header: Header,
        attachments: Box<[Bytes]>,
        arrived: &mut Option<Arrived>,
    ) -> Result<(), Violation> {
        let name = header.namespace();
        let known = self.seats.iter().position(|seat| *seat.namespace == *name);
        let known = known.ok_or_else(|| Box::from(name));
        let packet = header.finish(attachments, &self.limits)?;
        let index = match known {
            Ok(index) => index,
            Err(name) => {
                *arrived = Some(self.join_first(name, packet)?);
                return Ok(());
            }
        };
        let seat = &mut self.seats[index];
        let slot = Slot::new(index, seat.attempt);
        let new = match packet {
            Packet::Event(event) => Arrived::Event { slot, event },
            Packet::Ack(id, args) => Arrived::Ack { slot, id, args },
            Packet::Disconnect => {
                if !seat.is_left() {
                    seat.state = State::Left;
                    self.rearm(now);
                    *arrived = Some(Arrived::Disconnect { slot });
                }
                return Ok(());
            }
            Packet::Connect(auth) => {
                *arrived = Some(self.join_again(index, auth)?);
                return Ok(());
            }
            // Only a server refuses.
            Packet::ConnectError(_) => return Err(Violation::Unexpected),
        };
        match seat.state {
            State::Joined => *arrived = Some(new),
            State::Left => {}
            State::Joining(_) => self.hold(index, new)?,
        }
        Ok(())
    }

    /// The client asks to join, for the first time or again.
    fn connect(&mut self, name: Box<str>, auth: Option<Bytes>) -> Result<Arrived, Violation> {
        match self.seats.iter().position(|seat| seat.namespace == name) {
            Some(index) => self.join_again(index, auth),
            None => Ok(self.join(name, auth)),
        }
    }

    /// Keeps what came for a namespace that has not decided yet.
    fn hold(&mut self, index: usize, arrived: Arrived) -> Result<(), Violation> {
        let held_bytes: usize = self.seats.iter().map(Seat::held_bytes).sum();
        let bytes = held_bytes + arrived.held_bytes();
        let State::Joining(held) = &mut self.seats[index].state else {
            return Ok(());
        };
        if held.len() >= self.limits.held_events_max || bytes > self.limits.held_bytes_max {
            return Err(Violation::HeldEvents);
        }
        held.push(arrived);
        Ok(())
    }

    /// The first that comes for a namespace must ask to join it.
    fn join_first(&mut self, name: Box<str>, packet: Packet) -> Result<Arrived, Violation> {
        match packet {
            Packet::Connect(auth) => Ok(self.join(name, auth)),
            Packet::ConnectError(_) => Err(Violation::Unexpected),
            _ => Err(Violation::NotConnected),
        }
    }

    /// The client asks to join a namespace in which it has been.
    fn join_again(&mut self, index: usize, auth: Option<Bytes>) -> Result<Arrived, Violation> {
        if !self.seats[index].is_left() {
            return Err(Violation::ConnectTwice);
        }
        Ok(self.take_seat(index, auth))
    }

    /// The client asks to join a namespace for the first time, or for the first time since its seat
    /// was another's.
    fn join(&mut self, namespace: Box<str>, auth: Option<Bytes>) -> Arrived {
        if self.seats.len() < self.limits.namespaces_max {
            if self.seats.is_empty() {
                // Most clients join one namespace, and a vector that grows by itself begins with four.
                self.seats.reserve_exact(1);
            }
            self.seats.push(Seat { namespace, attempt: 0, state: State::Left });
            return self.take_seat(self.seats.len() - 1, auth);
        }
        let Some(index) = self.seats.iter().position(Seat::is_left) else {
            return Arrived::Crowded { namespace };
        };
        self.seats[index].namespace = namespace;
        self.take_seat(index, auth)
    }

    /// Begins an attempt to join at a seat that is free. One whose payload is too large ends with that,
    /// and what the client sends behind it is not held against it.
    fn take_seat(&mut self, index: usize, auth: Option<Bytes>) -> Arrived {
        self.attempts = self.attempts.wrapping_add(1);
        let fits = auth.as_ref().is_none_or(|auth| auth.len() <= self.limits.auth_bytes_max);
        let seat = &mut self.seats[index];
        seat.attempt = self.attempts;
        let slot = Slot::new(index, seat.attempt);
        if !fits {
            seat.state = State::Left;
            return Arrived::AuthTooLarge { slot };
        }
        seat.state = State::Joining(Vec::new());
        Arrived::Connect { slot, auth }
    }

    /// When nothing is joined any more, the time to join something begins again.
    fn rearm(&mut self, now: Moment) {
        let joined = |seat: &Seat| matches!(seat.state, State::Joined);
        if self.connect_until.is_none() && !self.seats.iter().any(joined) {
            self.connect_until = Some(now + self.limits.connect_timeout);
        }
    }
}

impl Arrived {
    const fn slot(&self) -> Option<Slot> {
        match self {
            Self::Connect { slot, .. }
            | Self::AuthTooLarge { slot }
            | Self::Event { slot, .. }
            | Self::Ack { slot, .. }
            | Self::Disconnect { slot } => Some(*slot),
            Self::Crowded { .. } => None,
        }
    }

    /// Bytes that it holds in memory.
    fn held_bytes(&self) -> usize {
        match self {
            Self::Event { event, .. } => event.held_bytes(),
            Self::Ack { args, .. } => args.held_bytes(),
            Self::Connect { .. }
            | Self::AuthTooLarge { .. }
            | Self::Crowded { .. }
            | Self::Disconnect { .. } => 0,
        }
    }
}

impl Seat {
    const fn is_left(&self) -> bool {
        matches!(self.state, State::Left)
    }

    fn held_bytes(&self) -> usize {
        match &self.state {
            State::Joining(held) => held.iter().map(Arrived::held_bytes).sum(),
            State::Joined | State::Left => 0,
        }
    }
}
