//! [`Search`]: what a socket has missed, looked for step by step.
//!
//! ```text
//! numbers of the events that went to its rooms ──sort──▶ each of these events ──▶ what it missed
//!        └──────────────── more was sent meanwhile ◀─────────────┘
//! ```
//!
//! The log knows the events of each room, so the cost to come back is bounded by what comes back. Where little was
//! sent, its events are looked at without their numbers being collected.
//!
//! A step takes the lock of the journal once, and looks at 256 rooms, events or names of excepted rooms. What all steps
//! may look at is bounded too (`search_max`), and so is what the socket gets back. What was sent meanwhile is looked
//! for when the socket is given back.

use std::collections::HashMap;
use std::sync::Arc;

use roomful_proto::{Parcel, SocketId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::NotRecovered;
use super::log::{ENTRY_OVERHEAD_BYTES, Log, Source};
use super::session::Stay;

/// What one step looks at: a room, an event, or the name of an excepted room is one.
const STEP: usize = 256;
/// Up to so many events are looked at one by one, whoever they were for: as when a socket is given back, with
/// what was sent since it was last looked.
pub(super) const FEW_EVENTS: u64 = 64;
/// Up to so many times in rooms are looked through for each name, which costs less than a table.
const STAYS_FEW: usize = 8;

/// What a socket has missed, as far as it was looked for.
pub(crate) struct Search {
    pub(super) id: SocketId,
    /// Since when the socket waits, which says that it is still the same loss.
    pub(super) waits_since: Instant,
    stays: Box<[Stay]>,
    by_room: HashMap<Arc<str>, Vec<usize>>,
    /// Everything up to this event was looked at.
    upto: u64,
    /// The present round goes up to this event.
    target: u64,
    phase: Phase,
    numbers: Vec<u64>,
    /// Whether these are of all events, and not of those that the socket could have heard.
    numbers_of_all: bool,
    missed: Vec<(u64, Parcel)>,
    /// What these count for.
    bytes: usize,
    bytes_max: usize,
    work_left: usize,
    /// There are no more searches at once than may be.
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The numbers of events are collected, of one source after the other.
    Gather { source: usize, behind: u64 },
    /// They are to be sorted, for which no lock is needed.
    Sort,
    /// The events of these numbers are looked at, from that place on.
    Weigh { at: usize },
    /// The round is over.
    Rest,
}

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to do.
    Goes,
    /// All that was sent when the last round began was looked at, and since then so many more events were.
    Round { left: u64 },
    /// All that was sent was looked at.
    Done,
}

impl Search {
    /// Of a socket that was in these rooms, for what was sent behind an event.
    pub(super) fn new(
        id: SocketId,
        waits_since: Instant,
        stays: Box<[Stay]>,
        from: u64,
        bytes_max: usize,
        work_max: usize,
    ) -> Self {
        Self {
            id,
            waits_since,
            stays,
            by_room: HashMap::new(),
            upto: from,
            target: from,
            phase: Phase::Rest,
            numbers: Vec::new(),
            numbers_of_all: false,
            missed: Vec::new(),
            bytes: 0,
            bytes_max,
            work_left: work_max,
            _permit: None,
        }
    }

    /// As one of the searches that may be at once.
    pub(super) fn permit(&mut self, permit: Option<OwnedSemaphorePermit>) {
        self._permit = permit;
    }

    /// Whether what was found may be sent, where so much fits.
    pub(super) const fn fits(&self, bytes_max: usize) -> bool {
        // One message always fits.
        self.bytes <= bytes_max || self.missed.len() <= 1
    }

    /// What was missed, with the numbers.
    pub(super) fn take_missed(&mut self) -> Vec<(u64, Parcel)> {
        std::mem::take(&mut self.missed)
    }

    /// Does one step, for which the log must not change.
    pub(super) fn step(&mut self, log: &Log) -> Result<Progress, NotRecovered> {
        match self.phase {
            Phase::Rest if self.upto == log.last() => {}
            Phase::Rest => {
                self.target = log.last();
                self.numbers_of_all = self.target - self.upto <= FEW_EVENTS;
                if self.numbers_of_all {
                    self.numbers = (self.upto + 1..=self.target).collect();
                    self.weigh(log, 0)?;
                } else {
                    self.gather(log, 0, self.upto)?;
                }
            }
            Phase::Gather { source, behind } => self.gather(log, source, behind)?,
            Phase::Sort => {}
            Phase::Weigh { at } => self.weigh(log, at)?,
        }
        Ok(match self.phase {
            Phase::Rest if self.upto == log.last() => Progress::Done,
            Phase::Rest => Progress::Round { left: log.last() - self.upto },
            _ => Progress::Goes,
        })
    }

    /// Does what the step before has left to do without the log.
    pub(super) fn settle(&mut self) {
        self.index_rooms();
        if self.phase != Phase::Sort {
            return;
        }
        self.numbers.sort_unstable();
        self.numbers.dedup();
        self.phase = Phase::Weigh { at: 0 };
    }

    /// Collects the numbers of events from a source on, in it those behind `behind`.
    fn gather(&mut self, log: &Log, source: usize, behind: u64) -> Result<(), NotRecovered> {
        if self.upto + 1 < log.first() {
            return Err(NotRecovered::Incomplete);
        }
        let mut work = STEP;
        let (mut next, mut behind) = (source, behind);
        // One for the source, and one at least for what it has.
        while work > 1
            && let Some((source, from, until)) = self.source(next)
        {
            work -= 1;
            let (from, until) = (from.max(behind), until.min(self.target));
            let numbers = log.numbers(source, from, until).take(work);
            let before = self.numbers.len();
            self.numbers.extend(numbers);
            let found = self.numbers.len() - before;
            work -= found;
            match self.numbers.last() {
                // There may be more of this source.
                Some(last) if work == 0 && found > 0 => behind = *last,
                _ => (next, behind) = (next + 1, self.upto),
            }
        }
        let is_last = next == self.stays.len() + FIXED_SOURCES;
        self.phase = if is_last { Phase::Sort } else { Phase::Gather { source: next, behind } };
        self.spend(STEP - work)
    }

    /// Whence the socket may have heard something: the source, and from behind which event until which.
    fn source(&self, index: usize) -> Option<(Source<'_>, u64, u64)> {
        match index {
            0 => Some((Source::All, self.upto, u64::MAX)),
            1 => Some((Source::Socket(self.id), self.upto, u64::MAX)),
            // The room of its own, which it is in for as long as it is there.
            2 => Some((Source::Room(self.id.as_str()), self.upto, u64::MAX)),
            _ => {
                let stay = self.stays.get(index - FIXED_SOURCES)?;
                let from = stay.from.max(self.upto);
                Some((Source::Room(&stay.room), from, stay.until.unwrap_or(u64::MAX)))
            }
        }
    }

    /// Looks at the events whose numbers were collected, from one on.
    fn weigh(&mut self, log: &Log, mut at: usize) -> Result<(), NotRecovered> {
        let mut work = STEP;
        while work > 0
            && let Some(&number) = self.numbers.get(at)
        {
            let entry = log.get(number).ok_or(NotRecovered::Incomplete)?;
            let names = 1 + entry.names();
            work = work.saturating_sub(names);
            self.spend(names)?;
            at += 1;
            let was_in = |room: &str| self.was_in(room, number);
            if self.numbers_of_all && !entry.is_for(self.id, was_in)
                || entry.except.iter().any(|room| was_in(room))
            {
                continue;
            }
            self.bytes += entry.parcel.len() + ENTRY_OVERHEAD_BYTES;
            self.missed.push((number, entry.parcel.clone()));
            if !self.fits(self.bytes_max) {
                return Err(NotRecovered::TooMuch);
            }
        }
        self.phase = Phase::Weigh { at };
        if at == self.numbers.len() {
            self.numbers = Vec::new();
            self.upto = self.target;
            self.phase = Phase::Rest;
        }
        Ok(())
    }

    fn spend(&mut self, work: usize) -> Result<(), NotRecovered> {
        self.work_left = self.work_left.checked_sub(work).ok_or(NotRecovered::TooMuch)?;
        Ok(())
    }

    fn was_in(&self, room: &str, number: u64) -> bool {
        let covers = |stay: &Stay| *stay.room == *room && stay.covers(number);
        *room == *self.id
            || match self.by_room.get(room) {
                Some(stays) => stays.iter().any(|at| self.stays.get(*at).is_some_and(covers)),
                None => self.by_room.is_empty() && self.stays.iter().any(covers),
            }
    }

    /// Makes a table of many rooms, once.
    fn index_rooms(&mut self) {
        if self.stays.len() <= STAYS_FEW || !self.by_room.is_empty() {
            return;
        }
        self.by_room.reserve(self.stays.len());
        for (at, stay) in self.stays.iter().enumerate() {
            self.by_room.entry(Arc::clone(&stay.room)).or_default().push(at);
        }
    }
}

/// Sources that each socket has: everybody, itself, and the room of its own.
const FIXED_SOURCES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> SocketId {
        SocketId::from_random([1; 15])
    }

    fn parcel() -> Parcel {
        Parcel::event("/", None, "e", "").unwrap()
    }

    fn stay(room: &str, from: u64, until: Option<u64>) -> Stay {
        Stay { room: room.into(), from, until }
    }

    fn search(stays: Vec<Stay>, from: u64, work_max: usize) -> Search {
        Search::new(id(), Instant::now(), stays.into(), from, usize::MAX, work_max)
    }

    /// The numbers that are found, and after how many steps.
    fn find(search: &mut Search, log: &Log) -> Result<(Vec<u64>, usize), NotRecovered> {
        let mut steps = 1;
        while search.step(log)? != Progress::Done {
            search.settle();
            steps += 1;
        }
        Ok((search.missed.iter().map(|(number, _)| *number).collect(), steps))
    }

    fn others(count: usize) -> impl Iterator<Item = Stay> {
        (0..count).map(|other| stay(&format!("other {other}"), 0, None))
    }

    #[test]
    fn an_event_is_heard_in_the_same_way_in_few_rooms_and_in_many() {
        for count in [0, 2 * STAYS_FEW, 4 * STEP] {
            let mut log = Log::new();
            let rooms = [stay("a", 1, Some(3)), stay("a", 5, None), stay("b", 0, None)];
            let mut push = |to: &[&str], except: &[&str]| log.push(&parcel(), to, except);
            push(&["a"], &[]); // 1: before it was in the room
            push(&["x", "a"], &[]); // 2
            push(&["a", "b"], &[]); // 3: once
            push(&["a"], &[]); // 4: it has left
            push(&[], &["a"]); // 5: and so it is not excepted
            push(&[], &["a"]); // 6: it is there again
            push(&["a"], &["x"]); // 7
            push(&["b"], &["b"]); // 8
            push(&["x"], &[]); // 9
            push(&[&id()], &[]); // 10
            push(&[], &[&id()]); // 11
            push(&[], &["other 0"]); // 12
            log.push_for(&parcel(), id()); // 13
            log.push_for(&parcel(), SocketId::from_random([2; 15])); // 14
            let mut search = search(others(count).chain(rooms).collect(), 0, usize::MAX);
            let (found, _) = find(&mut search, &log).unwrap();
            let mut expected = vec![2, 3, 5, 7, 10, 12, 13];
            expected.retain(|number| count == 0 || *number != 12);
            assert_eq!(found, expected, "{count}");
        }
    }

    #[test]
    fn what_is_sent_meanwhile_is_found_too_and_nothing_twice() {
        let mut log = Log::new();
        let mut search = search(vec![stay("a", 0, None)], 0, usize::MAX);
        let mut sent = 0;
        let mut send = |log: &mut Log| {
            for _ in 0..STEP {
                log.push(&parcel(), if sent % 3 == 0 { &[] } else { &["a"] }, &[]);
                log.push(&parcel(), &["b"], &[]);
                sent += 1;
            }
        };
        send(&mut log);
        let mut rounds = 0;
        while rounds < 3 {
            if search.step(&log).unwrap() != Progress::Goes {
                send(&mut log);
                rounds += 1;
            }
            search.settle();
        }
        let (found, _) = find(&mut search, &log).unwrap();
        let expected: Vec<_> = (0..4 * STEP as u64).map(|index| 2 * index + 1).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_dropped_meanwhile_is_told() {
        for steps in [1, 6] {
            let mut log = Log::new();
            for _ in 0..4 * STEP {
                log.push::<&str>(&parcel(), &[], &[]);
            }
            let mut search = search(Vec::new(), 0, usize::MAX);
            for _ in 0..steps {
                assert_eq!(search.step(&log), Ok(Progress::Goes));
                search.settle();
            }
            drop(log.take());
            assert_eq!(find(&mut search, &log), Err(NotRecovered::Incomplete));
        }
    }

    /// Many rooms, and many events for others: only the rooms cost something.
    #[test]
    fn a_search_costs_what_it_finds_and_not_what_is_kept() {
        let mut log = Log::new();
        let beginning = "x".repeat(400);
        let rooms: Vec<_> = (0..999).map(|room| format!("{beginning}{room}")).collect();
        for number in 0..90_000 {
            let elsewhere = format!("{beginning}elsewhere {}", number % 1_000);
            log.push(&parcel(), &[elsewhere], &[]);
        }
        log.push(&parcel(), &[&rooms[7]], &[]);
        let stays: Vec<_> = rooms.iter().map(|room| stay(room, 0, None)).collect();
        let mut search = search(stays, 0, usize::MAX);
        let (found, steps) = find(&mut search, &log).unwrap();
        assert_eq!(found, [90_001]);
        let work = usize::MAX - search.work_left;
        assert!(work <= 999 + FIXED_SOURCES + 3, "{work}");
        assert!(steps <= work / STEP + 4, "{steps}");
    }

    #[test]
    fn what_is_looked_at_is_bounded_also_where_nothing_is_found() {
        let mut log = Log::new();
        for _ in 0..5_000 {
            log.push(&parcel(), &[], &[&*id()]);
        }
        let mut unbounded = search(Vec::new(), 0, usize::MAX);
        assert!(find(&mut unbounded, &log).unwrap().0.is_empty());
        let work = usize::MAX - unbounded.work_left;
        assert!((15_000..15_100).contains(&work), "{work}");
        assert!(find(&mut search(Vec::new(), 0, work), &log).is_ok());
        let few = find(&mut search(Vec::new(), 0, work - 1), &log);
        assert_eq!(few, Err(NotRecovered::TooMuch));
        let mut log = Log::new();
        let names: Vec<_> = (0..5_000).map(|n| n.to_string()).collect();
        log.push(&parcel(), &[], &names);
        let few = find(&mut search(Vec::new(), 0, 5_000), &log);
        assert_eq!(few, Err(NotRecovered::TooMuch));
    }
}
