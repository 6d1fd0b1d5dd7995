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
    gap: Gap,
}

/// Whether events were delivered here without the log, and the other nodes know that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gap {
    #[default]
    None,
    /// They are to be told.
    Owed,
    /// They were told under this number, which the log has not brought back yet.
    Told(u64, Instant),
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
        if !due.lost.is_empty() {
            self.gap = Gap::Owed;
        }
        due
    }

    /// The log brings nothing more, for now: what waits is to be delivered without it.
    pub(crate) fn give_up(&mut self) -> Vec<Message> {
        if !self.waiting.is_empty() || self.gap != Gap::None {
            self.gap = Gap::Owed;
        }
        self.waiting.drain(..).map(|waiting| waiting.message).collect()
    }

    /// One was delivered without the log.
    pub(crate) const fn note_past_log(&mut self) {
        self.gap = Gap::Owed;
    }

    /// Whether the log has not brought the first for so long.
    pub(crate) fn is_overdue(&self, patience: Duration) -> bool {
        let gap = match self.gap {
            Gap::Told(_, since) => Some(since),
            Gap::None | Gap::Owed => None,
        };
        let first = self.waiting.front().map(|first| first.since);
        gap.into_iter().chain(first).any(|since| since.elapsed() >= patience)
    }

    /// The number under which the other nodes are to be told of a gap now, if they are.
    pub(crate) fn tell_gap(&mut self) -> Option<u64> {
        if self.gap != Gap::Owed {
            return None;
        }
        let number = self.next();
        self.gap = Gap::Told(number, Instant::now());
        Some(number)
    }

    /// The log has brought back that the other nodes were told.
    pub(crate) fn gap_is_told(&mut self, number: u64) {
        if matches!(self.gap, Gap::Told(told, _) if told == number) {
            self.gap = Gap::None;
        }
    }

    /// Whether there is no gap that another node may not know.
    pub(crate) fn is_whole(&self) -> bool {
        self.gap == Gap::None
    }
}

#[cfg(test)]
mod tests {
    use roomful::Args;
    use roomful::adapter::Target;

    use super::*;

    fn message(name: u64) -> Message {
        let (target, name) = (Target::everyone(), name.to_string());
        Message::Emit { target, name, args: Args::default(), ask: None }
    }

    fn names(messages: impl IntoIterator<Item = Message>) -> Vec<String> {
        let name = |message| match message {
            Message::Emit { name, .. } => name,
            _ => String::new(),
        };
        messages.into_iter().map(name).collect()
    }

    fn pending(count: u64) -> Pending {
        let mut pending = Pending::default();
        for _ in 0..count {
            let number = pending.next();
            pending.push(number, message(number));
        }
        pending
    }

    #[test]
    fn each_event_is_due_once_and_what_the_log_has_lost_comes_before() {
        let mut pending = pending(4);
        let due = pending.back(1);
        assert_eq!((names(due.lost).len(), names(due.message)), (0, vec!["1".to_owned()]));
        assert!(pending.is_whole());
        let due = pending.back(4);
        assert_eq!(
            (names(due.lost), names(due.message)),
            (vec!["2".into(), "3".into()], vec!["4".into()])
        );
        assert_eq!((pending.tell_gap(), pending.tell_gap()), (Some(5), None));
        let due = pending.back(4);
        assert!(due.lost.is_empty() && due.message.is_none());
    }

    #[test]
    fn what_was_given_up_is_a_gap_and_is_not_due_when_it_comes_after_all() {
        let mut pending = pending(2);
        assert_eq!(names(pending.give_up()), ["1", "2"]);
        assert!(pending.back(2).message.is_none() && !pending.is_overdue(Duration::ZERO));
        let number = pending.next();
        pending.push(number, message(number));
        assert!(pending.is_overdue(Duration::ZERO));
        assert_eq!((number, names(pending.back(number).message)), (3, vec!["3".to_owned()]));
    }

    /// What was told and is lost on its way is told again.
    #[test]
    fn a_gap_is_owed_until_the_log_has_brought_it() {
        let mut pending = pending(1);
        drop(pending.give_up());
        assert_eq!(pending.tell_gap(), Some(2));
        assert!(!pending.is_whole() && pending.is_overdue(Duration::ZERO));
        drop(pending.give_up());
        assert_eq!(pending.tell_gap(), Some(3));
        pending.gap_is_told(2);
        assert!(!pending.is_whole());
        pending.gap_is_told(3);
        assert!(pending.is_whole() && pending.tell_gap().is_none());
    }
}
