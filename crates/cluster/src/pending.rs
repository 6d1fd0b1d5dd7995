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
        assert!(!pending.take_gap());
        let due = pending.back(4);
        assert_eq!(
            (names(due.lost), names(due.message)),
            (vec!["2".into(), "3".into()], vec!["4".into()])
        );
        assert!(pending.take_gap() && !pending.take_gap());
        let due = pending.back(4);
        assert!(due.lost.is_empty() && due.message.is_none());
    }

    #[test]
    fn what_was_given_up_is_a_gap_and_is_not_due_when_it_comes_after_all() {
        let mut pending = pending(2);
        assert_eq!(names(pending.give_up()), ["1", "2"]);
        assert!(pending.take_gap());
        assert!(pending.back(2).message.is_none() && !pending.is_overdue(Duration::ZERO));
        let number = pending.next();
        pending.push(number, message(number));
        assert!(pending.is_overdue(Duration::ZERO));
        assert_eq!((number, names(pending.back(number).message)), (3, vec!["3".to_owned()]));
    }
}
