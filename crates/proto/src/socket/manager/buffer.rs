//! [`Buffer`]: events of one socket that wait until it is connected.

use std::collections::VecDeque;

use crate::id::AckId;

/// What a socket does with an event for which there is no room while it is not connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Refuses it: whoever emits is told.
    #[default]
    Refuse,
    /// Drops the oldest that wait, until there is room. Whoever waits for an ack of one is told.
    DropOldest,
}

/// Events that wait, in their order.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    events: VecDeque<Waiting>,
    bytes: usize,
}

/// An event that waits: whole frames, unmasked.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) frames: Box<[u8]>,
    pub(super) ack: Option<AckId>,
    pub(super) compress: bool,
}

/// What an event counts for beside its bytes.
const OVERHEAD_BYTES: usize = size_of::<Waiting>() + 16;

impl Waiting {
    pub(super) const fn held_bytes(&self) -> usize {
        self.frames.len() + OVERHEAD_BYTES
    }
}

impl Buffer {
    /// Bytes that all of them hold.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.held_bytes();
        self.events.push_back(waiting);
    }

    /// Puts one back that has not been sent after all, before those that came later.
    pub(super) fn push_front(&mut self, waiting: Waiting) {
        self.bytes += waiting.held_bytes();
        self.events.push_front(waiting);
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.events.pop_front();
        match &waiting {
            Some(waiting) => self.bytes -= waiting.held_bytes(),
            // No memory for who has nothing to say.
            None => self.events = VecDeque::new(),
        }
        waiting
    }

    /// Nobody waits for those acks any more, which are sorted, so their events need not be sent.
    pub(super) fn remove(&mut self, acks: &[AckId]) {
        let bytes = &mut self.bytes;
        self.events.retain(|waiting| {
            let goes = waiting.ack.is_some_and(|id| acks.binary_search(&id).is_ok());
            if goes {
                *bytes -= waiting.held_bytes();
            }
            !goes
        });
    }
}
