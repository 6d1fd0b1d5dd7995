//! [`Retries`]: events that are sent again until their ack comes, one after the other.

use std::collections::VecDeque;

use crate::args::Args;
use crate::id::AckId;

/// Events of one socket that are sent until they are acknowledged, in their order: the first has been
/// sent, the others wait for it.
#[derive(Debug)]
pub(super) struct Retries<W> {
    events: VecDeque<Retry<W>>,
    bytes: usize,
}

/// An event that is sent until its ack comes.
#[derive(Debug)]
pub(super) struct Retry<W> {
    pub(super) name: Box<str>,
    pub(super) args: Args,
    pub(super) waiter: Option<W>,
    /// How often it was sent.
    pub(super) tries: u32,
    /// The id of the last try, while its ack may come.
    pub(super) pending: Option<AckId>,
}

impl<W> Retry<W> {
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.args.held_bytes()
    }
}

impl<W> Retries<W> {
    pub(super) const fn new() -> Self {
        Self { events: VecDeque::new(), bytes: 0 }
    }

    /// Bytes that all of them hold.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, retry: Retry<W>) {
        self.bytes += retry.held_bytes();
        self.events.push_back(retry);
    }

    /// The one that is to be acknowledged next.
    pub(super) fn first(&mut self) -> Option<&mut Retry<W>> {
        self.events.front_mut()
    }

    /// The first is done with.
    pub(super) fn pop(&mut self) -> Option<Retry<W>> {
        let retry = self.events.pop_front()?;
        self.bytes -= retry.held_bytes();
        Some(retry)
    }
}
