//! [`Pending`]: events of this node on their way through the log of the engine.

use std::collections::VecDeque;
use std::time::Duration;

use roomful::adapter::Message;
use tokio::time::Instant;

/// Events that the log is to bring back, in the order in which they were sent.
#[derive(Default)]
pub(crate) struct Pending {
    /// The number of the last event.
    last: u64,
    waiting: VecDeque<Waiting>,
    /// Events were delivered here without the log, and the other nodes do not know that yet.
    has_gap: bool,
}

struct Waiting {
    number: u64,
    message: Message,
    since: Instant,
}

/// What is to be delivered now that the log has brought an entry of this node back.
pub(crate) struct Due {
    /// Events before it, which the log has not brought.
    pub(crate) lost: Vec<Message>,
    /// The event itself; `None` when it was delivered before.
    pub(crate) message: Option<Message>,
}

impl Pending {
    /// The number of the next event.
    pub(crate) const fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// It is on its way.
    pub(crate) fn push(&mut self, number: u64, message: Message) {
        self.waiting.push_back(Waiting { number, message, since: Instant::now() });
    }

    /// The log has brought the event of that number.
    pub(crate) fn back(&mut self, number: u64) -> Due {
        let mut due = Due { lost: Vec::new(), message: None };
        while let Some(first) = self.waiting.front()
            && first.number <= number
            && let Some(Waiting { number: found, message, .. }) = self.waiting.pop_front()
        {
            if found == number {
                due.message = Some(message);
            } else {
                due.lost.push(message);
            }
        }
        self.has_gap |= !due.lost.is_empty();
        due
    }

    /// The log brings nothing more, for now: what waits is to be delivered without it.
    pub(crate) fn give_up(&mut self) -> Vec<Message> {
        self.has_gap |= !self.waiting.is_empty();
        self.waiting.drain(..).map(|waiting| waiting.message).collect()
    }

    /// One was delivered without the log.
    pub(crate) const fn note_past_log(&mut self) {
        self.has_gap = true;
    }

    /// Whether the log has not brought the first for so long.
    pub(crate) fn is_overdue(&self, patience: Duration) -> bool {
        self.waiting.front().is_some_and(|first| first.since.elapsed() >= patience)
    }

    /// Whether the other nodes are to be told of a gap, which they are from now on.
    pub(crate) const fn take_gap(&mut self) -> bool {
        std::mem::replace(&mut self.has_gap, false)
    }
}
