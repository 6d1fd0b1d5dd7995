//! [`Log`]: the events of one namespace that may still be missed, in the order of their numbers.

use std::collections::VecDeque;

use roomful_proto::{Parcel, SocketId};
use tokio::time::Instant;

/// What an event that is kept counts for beside its bytes.
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 128;
/// And the name of a room.
const NAME_OVERHEAD_BYTES: usize = 48;
/// A log that had room for more gives it back when it is empty.
const KEPT_CAPACITY: usize = 1024;

/// The events, the oldest first.
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The number of the next event; that of the oldest is this less the number of entries.
    next: u64,
}

/// An event that may be missed.
pub(super) struct Entry {
    pub(super) parcel: Parcel,
    pub(super) to: To,
    pub(super) at: Instant,
    pub(super) bytes: usize,
}

/// Whom it was for.
pub(super) enum To {
    /// One socket, and not those in a room of the same name.
    Socket(SocketId),
    /// Whoever was in one of some rooms, or everybody where there are none, and in none of others.
    Rooms { to: Names, except: Names },
}

/// Names of rooms.
pub(super) type Names = Box<[Box<str>]>;

impl To {
    /// Bytes of it.
    fn len(&self) -> usize {
        match self {
            Self::Socket(_) => 0,
            Self::Rooms { to, except } => {
                to.iter().chain(except).map(|room| room.len() + NAME_OVERHEAD_BYTES).sum()
            }
        }
    }
}

impl Log {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), next: 1 }
    }

    /// The number that the next event will have.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The number of the last event.
    pub(super) const fn last(&self) -> u64 {
        self.next - 1
    }

    /// The number of the oldest event that is kept; that of the next one where none is.
    pub(super) fn first(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The oldest event.
    pub(super) fn oldest(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// Keeps an event, and gives its number and what it counts for.
    pub(super) fn push(&mut self, parcel: &Parcel, to: To) -> (u64, usize) {
        let bytes = parcel.len() + to.len() + ENTRY_OVERHEAD_BYTES;
        let entry = Entry { parcel: parcel.clone(), to, at: Instant::now(), bytes };
        self.entries.push_back(entry);
        self.next += 1;
        (self.last(), bytes)
    }

    /// Drops the oldest event, and gives what it counted for.
    pub(super) fn pop(&mut self) -> usize {
        let bytes = self.entries.pop_front().map_or(0, |entry| entry.bytes);
        if self.entries.is_empty() && self.entries.capacity() > KEPT_CAPACITY {
            self.entries = VecDeque::new();
        }
        bytes
    }

    /// The events behind one of them, with their numbers.
    pub(super) fn behind(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let first = self.first();
        let skip = usize::try_from((number + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        (first..).zip(&self.entries).skip(skip)
    }

    /// What all of them count for.
    pub(super) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }
}
