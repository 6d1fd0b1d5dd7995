//! [`Line`]: how many decisions of one connection are under way, and who waits in it for one to end.

use std::collections::VecDeque;

use roomful_proto::Moment;
use roomful_proto::socket::Slot;

use crate::namespace::decisions::Caller;

/// The decisions of one connection. Nobody waits in most, so those who do are apart.
#[derive(Default)]
pub(super) struct Line {
    /// Decisions that have not ended at their first poll, and have not ended yet.
    pub(super) running: usize,
    #[allow(
        clippy::box_collection,
        reason = "one word for the many connections where nobody waits"
    )]
    waiting: Option<Box<VecDeque<Caller>>>,
}

impl Line {
    pub(super) fn push(&mut self, caller: Caller) {
        self.waiting.get_or_insert_default().push_back(caller);
    }

    /// The one who has waited longest.
    pub(super) fn pop(&mut self) -> Option<Caller> {
        let waiting = self.waiting.as_mut()?;
        let caller = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting = None;
        }
        caller
    }

    /// The same, if its time is over.
    pub(super) fn pop_late(&mut self, now: Moment) -> Option<Caller> {
        self.deadline().filter(|until| now >= *until)?;
        self.pop()
    }

    /// One who does not wait any more.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Caller> {
        let waiting = self.waiting.as_mut()?;
        let index = waiting.iter().position(|caller| caller.slot == slot)?;
        let caller = waiting.remove(index);
        if waiting.is_empty() {
            self.waiting = None;
        }
        caller
    }

    /// When the time is over of the one who has waited longest.
    pub(super) fn deadline(&self) -> Option<Moment> {
        Some(self.waiting.as_ref()?.front()?.patience.turn_until)
    }
}
