//! [`Lanes`]: events that wait for the one of the same socket in front of them.
//!
//! A lane is there while something is in its way, or events wait in it; most sockets never have one.
//! What holds it is one piece of work at a time: a middleware, or a handler that is to end before the
//! next event starts. Where a socket may have only so many handlers under way, they are counted in its
//! lane.
//!
//! Work that holds up an event holds up its socket, and no other. What waits in lanes counts among all events that wait
//! for handlers, and is bounded with them.

use std::collections::VecDeque;

use roomful_proto::socket::{Event, Slot};

use crate::ground::event_flow::Hold;

/// The lanes of one connection. Nothing is allocated while there is none.
#[derive(Default)]
pub(crate) struct Lanes {
    #[allow(clippy::box_collection, reason = "one word where there is none, as nearly everywhere")]
    lanes: Option<Box<Vec<Lane>>>,
}

struct Lane {
    slot: Slot,
    held: bool,
    /// Pieces of work that are counted, and how many of them there may be.
    running: usize,
    running_max: usize,
    waiting: VecDeque<Event>,
}

impl Lane {
    const fn is_open(&self) -> bool {
        !self.held && self.running < self.running_max
    }
}

impl Lanes {
    /// Whether an event that comes now has to wait behind another.
    pub(crate) fn is_blocked(&self, slot: Slot) -> bool {
        let lane = self.all().find(|lane| lane.slot == slot);
        lane.is_some_and(|lane| !lane.is_open() || !lane.waiting.is_empty())
    }

    /// Whether nothing is held or counted, and nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.lanes.is_none()
    }

    /// Lets an event wait.
    pub(crate) fn queue(&mut self, slot: Slot, event: Event) {
        self.lane(slot).waiting.push_back(event);
    }

    /// A piece of work is under way.
    pub(crate) fn hold(&mut self, slot: Slot, hold: Hold) {
        match hold {
            Hold::None => {}
            Hold::All => self.lane(slot).held = true,
            Hold::UpTo(running_max) => {
                let lane = self.lane(slot);
                lane.running += 1;
                lane.running_max = running_max;
            }
        }
    }

    /// It has ended.
    pub(crate) fn release(&mut self, slot: Slot, hold: Hold) {
        let lanes = self.lanes.iter_mut().flat_map(|lanes| lanes.iter_mut());
        for lane in lanes.filter(|lane| lane.slot == slot) {
            match hold {
                Hold::None => {}
                Hold::All => lane.held = false,
                Hold::UpTo(_) => lane.running = lane.running.saturating_sub(1),
            }
        }
        self.tidy();
    }

    /// The next event that waits for nothing any more.
    pub(crate) fn pop(&mut self) -> Option<(Slot, Event)> {
        let ready = |lane: &&mut Lane| lane.is_open() && !lane.waiting.is_empty();
        let lane = self.lanes.as_mut()?.iter_mut().find(ready)?;
        let next = lane.waiting.pop_front().map(|event| (lane.slot, event));
        if lane.waiting.is_empty() {
            // The lane may live on, and is not to be as large as it ever was.
            lane.waiting = VecDeque::new();
        }
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
            lanes.push(Lane {
                slot,
                held: false,
                running: 0,
                running_max: usize::MAX,
                waiting: VecDeque::new(),
            });
        }
        &mut lanes[index]
    }

    fn tidy(&mut self) {
        if let Some(lanes) = &mut self.lanes {
            lanes.retain(|lane| lane.held || lane.running > 0 || !lane.waiting.is_empty());
            if lanes.is_empty() {
                self.lanes = None;
            }
        }
    }
}
