//! [`Lanes`]: events that wait for the one of the same socket in front of them.
//!
//! A lane is there while something holds it, or events wait in it; most sockets never have one. What
//! holds it is one piece of work at a time: a middleware, or a handler that is to end before the next
//! event starts.

use std::collections::VecDeque;

use roomful_proto::socket::{Event, Slot};

/// The lanes of one connection. Nothing is allocated while there is none.
#[derive(Default)]
pub(crate) struct Lanes {
    #[allow(clippy::box_collection, reason = "one word where there is none, as nearly everywhere")]
    lanes: Option<Box<Vec<Lane>>>,
}

struct Lane {
    slot: Slot,
    held: bool,
    waiting: VecDeque<Event>,
}

impl Lanes {
    /// Whether an event that comes now has to wait behind another.
    pub(crate) fn is_blocked(&self, slot: Slot) -> bool {
        self.all().any(|lane| lane.slot == slot)
    }

    /// Whether nothing is held and nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.lanes.is_none()
    }

    /// Lets an event wait.
    pub(crate) fn queue(&mut self, slot: Slot, event: Event) {
        self.lane(slot).waiting.push_back(event);
    }

    /// From now on events wait.
    pub(crate) fn hold(&mut self, slot: Slot) {
        self.lane(slot).held = true;
    }

    /// Whatever held the lane has ended.
    pub(crate) fn release(&mut self, slot: Slot) {
        let lanes = self.lanes.iter_mut().flat_map(|lanes| lanes.iter_mut());
        lanes.filter(|lane| lane.slot == slot).for_each(|lane| lane.held = false);
        self.tidy();
    }

    /// The next event that waits for nothing any more.
    pub(crate) fn pop(&mut self) -> Option<(Slot, Event)> {
        let lane = self.lanes.as_mut()?.iter_mut().find(|lane| !lane.held)?;
        let next = lane.waiting.pop_front().map(|event| (lane.slot, event));
        self.tidy();
        next
    }

    /// Its socket has left. Gives the bytes that no longer wait.
    pub(crate) fn remove(&mut self, slot: Slot) -> usize {
        let Some(lanes) = &mut self.lanes else {
            return 0;
        };
        let Some(index) = lanes.iter().position(|lane| lane.slot == slot) else {
            return 0;
        };
        let lane = lanes.swap_remove(index);
        self.tidy();
        lane.waiting.iter().map(Event::held_bytes).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().flat_map(|lanes| lanes.iter())
    }

    fn lane(&mut self, slot: Slot) -> &mut Lane {
        let lanes = self.lanes.get_or_insert_default();
        let found = lanes.iter().position(|lane| lane.slot == slot);
        let index = found.unwrap_or(lanes.len());
        if found.is_none() {
            lanes.push(Lane { slot, held: false, waiting: VecDeque::new() });
        }
        &mut lanes[index]
    }

    fn tidy(&mut self) {
        if let Some(lanes) = &mut self.lanes {
            lanes.retain(|lane| lane.held || !lane.waiting.is_empty());
            if lanes.is_empty() {
                self.lanes = None;
            }
        }
    }
}
