//! [`Batch`]: what the manager has said, on its way.

use std::cell::Cell;
use std::collections::VecDeque;

use roomful_proto::socket::Manager;
use roomful_proto::socket::manager::Output;

use crate::shared::Waiter;

/// Outputs for which memory is kept.
const KEPT_MAX: usize = 1_024;

type Queue = VecDeque<Output<Waiter>>;

/// What the manager has said and is not done yet. The memory for it goes round between here and the
/// manager while the task of the connection runs, and stays with the thread while that rests.
#[derive(Default)]
pub(super) struct Batch {
    queue: Queue,
}

thread_local! {
    static SPARE: Cell<Queue> = const { Cell::new(Queue::new()) };
}

impl Batch {
    /// Takes all that the manager says.
    pub(super) fn take_from(&mut self, manager: &mut Manager<Waiter>) {
        if self.queue.is_empty() {
            self.queue = manager.take_outputs();
        } else {
            self.queue.append(&mut manager.take_outputs());
        }
    }

    pub(super) fn next(&mut self) -> Option<Output<Waiter>> {
        self.queue.pop_front()
    }

    /// Lends the manager memory for what it says next.
    pub(super) fn give_back(&mut self, manager: &mut Manager<Waiter>) {
        let mut memory = std::mem::take(&mut self.queue);
        if memory.capacity() == 0 {
            memory = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        manager.give_back(memory);
    }

    /// The task rests: the memory is for others of the thread.
    pub(super) fn rest(&mut self, manager: &mut Manager<Waiter>) {
        if manager.has_output() {
            return;
        }
        let memory = manager.take_outputs();
        if (1..=KEPT_MAX).contains(&memory.capacity()) {
            // Fails only while the thread ends, and then nobody needs it.
            let _ = SPARE.try_with(|spare| spare.set(memory));
        }
    }
}
