//! [`Scene`]: what all in a world share: the time, chance, what is to happen, and what has happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roomful_proto::Moment;
use roomful_proto::cluster::{Body, Packet};

use crate::dice::Dice;
use crate::history::{Entry, History, Who};
use crate::rules::Rules;

/// What is to happen at some time.
pub(crate) enum Due {
    /// Somebody does something.
    Operate,
    Start,
    Heal,
    EngineBack,
    /// The engine notices that a node has died.
    Missed(Who),
    At(Who, Turn),
}

/// What is to happen at a node.
pub(crate) enum Turn {
    /// A packet comes by a connection.
    Arrive(u32, Arc<Packet>),
    /// The keeper looks whose time is over; does what is ordered; tries to connect; notices that its engine is away.
    Tick,
    Work,
    Connect,
    Notice,
    /// A task has an answer for another node.
    Answer(Arc<str>, Box<Body>),
    /// Whoever has made a request waits no longer.
    GiveUp(Arc<str>),
    /// The tasks of a node that has left are done.
    Vanish,
}

pub(crate) struct Scene {
    pub(crate) now: Moment,
    pub(crate) rules: Rules,
    pub(crate) dice: Dice,
    pub(crate) history: History,
    agenda: BTreeMap<(Moment, u64), Due>,
    planned: u64,
    numbers: u32,
}

impl Scene {
    pub(crate) fn new(rules: Rules, dice: Dice) -> Self {
        let (now, history, agenda) = (Moment::default(), History::default(), BTreeMap::new());
        Self { now, rules, dice, history, agenda, planned: 0, numbers: 0 }
    }

    pub(crate) fn note(&mut self, entry: Entry) {
        self.history.entries.push((self.now, entry));
    }

    /// The next of rising numbers: of an event, a request or a client.
    pub(crate) const fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn plan(&mut self, ms: u64, due: Due) {
        self.plan_at(self.now + Duration::from_millis(ms), due);
    }

    pub(crate) fn plan_turn(&mut self, ms: u64, who: Who, turn: Turn) {
        self.plan(ms, Due::At(who, turn));
    }

    /// What is planned for the same time happens in the order in which it was planned.
    pub(crate) fn plan_at(&mut self, at: Moment, due: Due) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), due);
    }

    /// Moves time on to what happens next; `None` when that is later.
    pub(crate) fn next(&mut self, until: Moment) -> Option<Due> {
        let next = self.agenda.first_entry().filter(|next| next.key().0 <= until)?;
        let ((at, _), due) = next.remove_entry();
        self.now = at;
        Some(due)
    }
}
