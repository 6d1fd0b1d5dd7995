//! [`Acks`]: events of one socket that were sent and wait for their ack.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::window::Window;
use crate::id::AckId;
use crate::time::Moment;

/// Times of acks that have come are dropped when there are so many more of them than of others.
const STALE_MAX: usize = 64;
/// Times for which memory is kept where no ack is waited for.
const KEPT_MAX: usize = 32;

/// Events that wait for their ack. One that waits takes an entry here, and no timer of its own.
#[derive(Debug)]
pub(super) struct Acks<W> {
    open: Window<Open<W>>,
    times: Times,
    /// One more than the largest id so far.
    above: u64,
}

#[derive(Debug)]
struct Open<W> {
    waiter: W,
    until: Option<Moment>,
    /// The event has left the buffer: it may have reached the server.
    sent: bool,
}

impl<W> Acks<W> {
    pub(super) const fn new() -> Self {
        Self { open: Window::new(), times: Times::new(), above: 0 }
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.open.len()
    }

    /// One more waits.
    pub(super) fn open(&mut self, id: AckId, waiter: W, until: Option<Moment>, sent: bool) {
        self.above = self.above.max(id.get() + 1);
        if let Some(until) = until {
            self.times.push(until, id);
        }
        self.open.insert(id, Open { waiter, until, sent });
    }

    /// The ack has come: who waits for it. An event that was not sent has none.
    pub(super) fn answer(&mut self, id: AckId) -> Option<W> {
        let open = self.open.remove_if(id, |open| open.sent)?;
        self.closed(id);
        Some(open.waiter)
    }

    /// Nobody waits for it any more.
    pub(super) fn close(&mut self, id: AckId) -> Option<W> {
        let open = self.open.remove_if(id, |_| true)?;
        self.closed(id);
        Some(open.waiter)
    }

    fn closed(&mut self, id: AckId) {
        self.times.skip(id);
        if self.times.len() > 2 * self.open.len() + STALE_MAX {
            self.times.retain(|id| self.open.get(id).is_some());
        }
    }

    /// Whether an event may have been sent with that id: then its ack is late, and not invented.
    pub(super) fn was_sent(&self, id: AckId) -> bool {
        id.get() < self.above && self.open.get(id).is_none_or(|open| open.sent)
    }

    /// Its time is over then.
    pub(super) fn set_until(&mut self, id: AckId, until: Moment) {
        if let Some(open) = self.open.get_mut(id) {
            open.until = Some(until);
            self.times.push(until, id);
        }
    }

    /// The event has left the buffer, or is back in it.
    pub(super) fn set_sent(&mut self, id: AckId, sent: bool) {
        if let Some(open) = self.open.get_mut(id) {
            open.sent = sent;
        }
    }

    /// Those of which the events may have reached the server, which will not answer any more.
    pub(super) fn take_sent(&mut self) -> Vec<W> {
        let sent = self.open.iter().filter(|(_, open)| open.sent).map(|(id, _)| id);
        let sent: Vec<_> = sent.collect();
        sent.into_iter().filter_map(|id| self.close(id)).collect()
    }

    /// All of them.
    pub(super) fn take_all(&mut self) -> Vec<W> {
        self.times = Times::new();
        self.open.take_all().map(|open| open.waiter).collect()
    }

    /// One whose time is over, and its id.
    pub(super) fn close_late(&mut self, now: Moment) -> Option<(AckId, W)> {
        self.deadline().filter(|until| now >= *until)?;
        let (_, id) = self.times.pop()?;
        Some((id, self.close(id)?))
    }

    /// When the next one is over.
    pub(super) fn deadline(&mut self) -> Option<Moment> {
        while let Some((until, id)) = self.times.first() {
            if self.open.get(id).is_some_and(|open| open.until == Some(until)) {
                return Some(until);
            }
            self.times.pop();
        }
        None
    }
}

/// When to look at which ack; also at those that have come meanwhile.
#[derive(Debug)]
struct Times {
    /// Each at or behind the one before: all of them, where events wait equally long.
    line: VecDeque<(Moment, AckId)>,
    /// Others.
    others: BinaryHeap<Reverse<(Moment, AckId)>>,
}

impl Times {
    const fn new() -> Self {
        Self { line: VecDeque::new(), others: BinaryHeap::new() }
    }

    fn len(&self) -> usize {
        self.line.len() + self.others.len()
    }

    fn push(&mut self, until: Moment, id: AckId) {
        match self.line.back() {
            Some((last, _)) if *last > until => self.others.push(Reverse((until, id))),
            _ => self.line.push_back((until, id)),
        }
    }

    fn first(&self) -> Option<(Moment, AckId)> {
        match (self.line.front(), self.others.peek()) {
            (Some(first), Some(Reverse(other))) => Some(*first.min(other)),
            (Some(first), None) => Some(*first),
            (None, other) => other.map(|Reverse(other)| *other),
        }
    }

    /// Takes the first one out.
    fn pop(&mut self) -> Option<(Moment, AckId)> {
        let first = self.first()?;
        if self.line.front() == Some(&first) {
            self.skip(first.1);
        } else {
            self.others.pop();
        }
        Some(first)
    }

    /// Takes that of an ack out, if it is the first of the line: acks mostly come in the order of their events.
    fn skip(&mut self, id: AckId) {
        if self.line.front().is_some_and(|(_, first)| *first == id) {
            self.line.pop_front();
            if self.line.is_empty() && self.line.capacity() > KEPT_MAX {
                self.line = VecDeque::new();
            }
        }
    }

    /// Drops those of other acks.
    fn retain(&mut self, is_open: impl Fn(AckId) -> bool) {
        self.line.retain(|(_, id)| is_open(*id));
        self.line.shrink_to(2 * self.line.len());
        self.others.retain(|Reverse((_, id))| is_open(*id));
        self.others.shrink_to(2 * self.others.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> AckId {
        AckId::new(number).unwrap()
    }

    fn at(ms: u64) -> Option<Moment> {
        Some(Moment::from_millis(ms))
    }

    #[test]
    fn each_is_over_at_its_time_and_only_once() {
        let mut acks = Acks::new();
        acks.open(id(0), "slow", at(20), true);
        acks.open(id(2), "never", None, true);
        acks.open(id(4), "fast", at(10), true);
        acks.open(id(6), "late", at(30), true);
        assert_eq!(acks.deadline(), at(10));
        assert_eq!(acks.close_late(Moment::from_millis(9)), None);
        assert_eq!(acks.close_late(Moment::from_millis(10)), Some((id(4), "fast")));
        assert_eq!(acks.close_late(Moment::from_millis(10)), None);
        assert_eq!(acks.close(id(0)), Some("slow"));
        assert_eq!((acks.close(id(0)), acks.deadline(), acks.len()), (None, at(30), 2));
        acks.set_until(id(6), Moment::from_millis(25));
        assert_eq!(acks.deadline(), at(25));
        assert_eq!(acks.close_late(Moment::from_millis(40)), Some((id(6), "late")));
        assert_eq!((acks.deadline(), acks.len()), (None, 1));
        assert!(acks.was_sent(id(0)) && acks.was_sent(id(5)) && !acks.was_sent(id(7)));
    }

    #[test]
    fn times_of_acks_that_have_come_do_not_pile_up() {
        let mut acks = Acks::new();
        acks.open(id(0), (), at(1), true);
        for number in 1..10_000 {
            acks.open(id(number), (), at(1000), true);
            acks.close(id(number));
        }
        assert!(acks.times.len() <= STALE_MAX + 3, "{}", acks.times.len());
    }

    #[test]
    fn what_is_still_in_the_buffer_is_not_given_up_with_the_connection() {
        let mut acks = Acks::new();
        acks.open(id(0), "sent", None, true);
        acks.open(id(2), "kept", None, false);
        acks.open(id(4), "back", None, true);
        acks.set_sent(id(4), false);
        assert_eq!((acks.answer(id(2)), acks.was_sent(id(2))), (None, false));
        assert_eq!(acks.take_sent(), ["sent"]);
        assert_eq!(acks.len(), 2);
        assert_eq!(acks.take_all(), ["kept", "back"]);
    }
}
