//! What a [`Manager`] does with what its user emits.

use std::time::Duration;

use super::buffer::{Overflow, Waiting};
use super::retries::Retry;
use super::{Attempt, Emission, Frames, Key, Manager, NoAck, NotSent, Output, Waiter, Writable};
use crate::args::Args;
use crate::engine::Owner;
use crate::id::AckId;
use crate::letter::{Answer, Letter};
use crate::time::Moment;

/// Less would send all tries at once.
const RETRY_TIMEOUT_MIN: Duration = Duration::from_millis(1);

impl<W> Manager<W> {
    /// Takes an event that a user emits on a socket.
    pub fn emit(&mut self, now: Moment, key: Key, emission: Emission<W>) -> Result<(), NotSent> {
        let acks_max = self.settings.acks_max;
        let is_idle = self.outgoing.is_empty();
        let Some(socket) = self.get_mut(key).filter(|socket| !socket.is_removed) else {
            return Err(NotSent::Dropped);
        };
        let serial = socket.serial;
        let joined = socket.is_joined();
        if let Some(Writable(writable)) = emission.volatile
            && !(joined && writable && is_idle)
        {
            return Err(NotSent::Dropped);
        }
        if emission.ask.is_some() && socket.acks.len() >= acks_max {
            return Err(NotSent::TooManyAcks);
        }
        let Emission { frames, ask, compress, volatile } = emission;
        let ack = ask.as_ref().map(|ask| ask.id);
        if joined {
            if self.outgoing.len() >= self.settings.waiting_bytes_max {
                return Err(NotSent::Full);
            }
            // What is volatile is not worth being sent later.
            let owner = volatile.is_none().then_some((serial, ack));
            self.push(owner, frames, compress);
        } else {
            let waiting = Waiting { frames: frames.into_bytes(), ack, compress };
            self.make_room(key, waiting.held_bytes())?;
            if let Some(socket) = self.get_mut(key) {
                socket.buffer.push(waiting);
            }
        }
        if let (Some(ask), Some(socket)) = (ask, self.get_mut(key)) {
            let until = ask.timeout.map(|timeout| now + timeout);
            socket.acks.open(ask.id, Waiter::User(ask.waiter), until, joined);
        }
        Ok(())
    }

    /// Takes an event that is sent again until its ack comes, [`retries`](super::ManagerSettings::retries) times.
    /// One of a socket is under way at a time, so that they arrive in order.
    pub fn emit_retrying(
        &mut self,
        now: Moment,
        key: Key,
        name: &str,
        args: Args,
        waiter: Option<W>,
    ) -> Result<(), NotSent> {
        let retry = Retry { name: name.into(), args, waiter, tries: 0, pending: None };
        if self.waiting_bytes() + retry.held_bytes() > self.settings.waiting_bytes_max {
            return Err(NotSent::Full);
        }
        let Some(socket) = self.get_mut(key).filter(|socket| !socket.is_removed) else {
            return Err(NotSent::Dropped);
        };
        socket.retries.push(retry);
        self.retry(now, key, false);
        Ok(())
    }

    /// Drops what a socket has emitted while it was not connected, and tells whoever waits for an ack of it;
    /// how many events that were. Events that are sent again until their ack comes stay.
    pub fn clear_buffer(&mut self, key: Key) -> usize {
        let mut dropped = 0;
        while let Some(socket) = self.get_mut(key)
            && let Some(waiting) = socket.buffer.pop()
        {
            dropped += 1;
            let waiter = waiting.ack.and_then(|id| socket.acks.close(id));
            if let Some(Waiter::User(waiter)) = waiter {
                self.out.push_back(Output::Ack { waiter, answer: Err(NoAck::Dropped) });
            }
        }
        dropped
    }

    /// Changes until when the ack of an event is waited for.
    pub fn set_ack_timeout(&mut self, now: Moment, key: Key, id: AckId, timeout: Duration) {
        if let Some(socket) = self.get_mut(key) {
            socket.acks.set_until(id, now + timeout);
        }
    }

    /// Nobody waits for the ack of an event any more: gives back who did. An event that was not sent yet
    /// still is.
    pub fn forget(&mut self, key: Key, id: AckId) -> Option<W> {
        match self.get_mut(key)?.acks.close(id)? {
            Waiter::User(waiter) => Some(waiter),
            Waiter::Retries => None,
        }
    }

    /// Answers an event. Dropped where its socket was disconnected since: the server has forgotten it.
    pub fn answer(&mut self, attempt: Attempt, answer: Answer) {
        let Some(socket) = self.get(attempt.key).filter(|socket| socket.is_joined()) else {
            return;
        };
        if socket.attempt == attempt.number {
            let letter = answer.address(&socket.namespace);
            self.send(letter);
        }
    }

    /// Sends the first of the events that are sent again, if it is not under way.
    pub(super) fn retry(&mut self, now: Moment, key: Key, again: bool) {
        let until = now + self.settings.retry_timeout.max(RETRY_TIMEOUT_MIN);
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

    /// What was emitted while the socket was not connected.
    pub(super) fn flush_buffer(&mut self, key: Key) {
        while let Some(socket) = self.get_mut(key)
            && let Some(waiting) = socket.buffer.pop()
        {
            if let Some(id) = waiting.ack {
                socket.acks.set_sent(id, true);
            }
            let Waiting { frames, ack, compress } = waiting;
            let owner = (socket.serial, ack);
            self.outgoing.push_wire(&frames, Some(owner), compress);
        }
    }

    /// Makes room for an event that is to wait.
    fn make_room(&mut self, key: Key, bytes: usize) -> Result<(), NotSent> {
        let max = self.settings.waiting_bytes_max;
        let mut waiting = self.waiting_bytes().saturating_add(bytes);
        if waiting <= max {
            return Ok(());
        }
        let overflow = self.settings.overflow;
        let Some(socket) = self.get_mut(key) else {
            return Err(NotSent::Full);
        };
        // Nothing is dropped for what does not fit in any case.
        if overflow == Overflow::Refuse || waiting - socket.buffer.bytes() > max {
            return Err(NotSent::Full);
        }
        let mut dropped = Vec::new();
        while waiting > max
            && let Some(event) = socket.buffer.pop()
        {
            waiting -= event.held_bytes();
            dropped.extend(event.ack.and_then(|id| socket.acks.close(id)));
        }
        let waiters = dropped.into_iter().filter_map(|waiter| match waiter {
            Waiter::User(waiter) => Some(waiter),
            Waiter::Retries => None,
        });
        let answer = |waiter| Output::Ack { waiter, answer: Err(NoAck::Dropped) };
        self.out.extend(waiters.map(answer));
        Ok(())
    }

    /// Sends a packet that is lost with its connection.
    pub(super) fn send(&mut self, letter: Letter) {
        let frames = Frames::new(letter, self.parser.as_deref());
        self.push(None, frames, true);
    }

    fn push(&mut self, owner: Option<Owner>, frames: Frames, compress: bool) {
        match frames {
            Frames::Letter(letter) => self.outgoing.push(letter, owner, compress),
            Frames::Parcel(parcel) => self.outgoing.push_wire(parcel.wire(), owner, compress),
        }
    }
}
