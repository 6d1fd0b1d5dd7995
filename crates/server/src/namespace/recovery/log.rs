//! [`Log`]: the events of one namespace that may still be missed, in the order of their numbers, and the
//! numbers of those that went to each room. So a search looks at what a socket could have heard, and at
//! nothing else.
//!
//! Numbers are of this node. Where an engine keeps the events for all nodes, each event has an [`Offset`], too, by which
//! nodes speak of it: this log is then a copy of the end of that one.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use roomful_proto::cluster::Offset;
use roomful_proto::{Parcel, SocketId};
use tokio::time::Instant;

/// What an event that is kept counts for beside its bytes.
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 128;
/// What a name that an event excepts counts for beside its bytes.
const NAME_OVERHEAD_BYTES: usize = 48;
/// What a room counts for in each event that went to it: a reference, and the number in its list.
const PLACE_BYTES: usize = 32;
/// What a list counts for beside the name of its room: the list, the name, and a place in a table
/// that may be half empty.
const LIST_OVERHEAD_BYTES: usize = 256;
/// A table or list that had room for more gives it back when little is left in it.
const KEPT_CAPACITY: usize = 1024;

/// The events, the oldest first.
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The number of the next event; that of the oldest is this less the number of entries.
    next: u64,
    /// What all of it counts for.
    bytes: usize,
    /// Events for everybody.
    all: Numbers,
    rooms: HashMap<Arc<str>, Numbers>,
    /// Events for one socket, which are not those to a room of the same name.
    sockets: HashMap<SocketId, Numbers>,
    /// Where the engine keeps the events.
    copied: Option<Copied>,
}

/// Which part of the log of an engine this is a copy of.
#[derive(Debug, Default)]
struct Copied {
    /// All behind this is here; `None` until it is known where it begins.
    behind: Option<Offset>,
    /// The last event, which is not kept if it was volatile.
    last: Offset,
    /// The last events, the newest last.
    recent: VecDeque<Offset>,
    /// The last event that was dropped before its time, and when: whether a client has had it can be told no more, until
    /// it would have been found dead.
    cut: Option<(u64, Instant)>,
}

/// Where an event stands that an engine has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Behind all others.
    New,
    /// It was brought before: servers of one process may share a log.
    Known,
    /// Before one that has come: that of a namespace and that of its parent come on two ways.
    Late,
}

/// So many events are remembered, to tell those that are late from those that come twice.
const RECENT: usize = 256;

/// An event that may be missed.
pub(super) struct Entry {
    pub(super) parcel: Parcel,
    pub(super) at: Instant,
    /// Where it stands in the log of the engine.
    offset: Offset,
    to: To,
    /// The rooms whose members it was not for.
    pub(super) except: Box<[Box<str>]>,
    bytes: usize,
}

/// Whom it was for.
enum To {
    All,
    Socket(SocketId),
    Rooms(Box<[Arc<str>]>),
}

impl Entry {
    /// Whether it was for a socket that was in some rooms then, beside its own.
    pub(super) fn is_for(&self, id: SocketId, was_in: impl Fn(&str) -> bool) -> bool {
        match &self.to {
            To::All => true,
            To::Socket(one) => *one == id,
            To::Rooms(rooms) => rooms.iter().any(|room| **room == *id || was_in(room)),
        }
    }

    /// The rooms that it names.
    pub(super) fn names(&self) -> usize {
        let to = match &self.to {
            To::Rooms(rooms) => rooms.len(),
            To::All | To::Socket(_) => 0,
        };
        to + self.except.len()
    }
}

/// Which events a source of events has, as a search asks for them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    All,
    Socket(SocketId),
    Room(&'a str),
}

/// Numbers of events, the smallest first.
#[derive(Default)]
struct Numbers(VecDeque<u64>);

impl Log {
    pub(super) fn new() -> Self {
        Self::from(1)
    }

    /// One whose next event has this number.
    fn from(next: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            next,
            bytes: 0,
            all: Numbers::default(),
            rooms: HashMap::new(),
            sockets: HashMap::new(),
            copied: None,
        }
    }

    /// From now on it is a copy of a log that an engine keeps.
    pub(super) fn copies(&mut self) {
        self.copied.get_or_insert_default();
    }

    /// Whether an engine keeps the events.
    pub(super) const fn is_copy(&self) -> bool {
        self.copied.is_some()
    }

    /// The next event has this offset.
    pub(super) fn advance(&mut self, offset: Offset) -> Arrival {
        let Some(copied) = &mut self.copied else {
            return Arrival::Known;
        };
        if offset > copied.last {
            copied.last = offset;
            if copied.recent.len() == RECENT {
                copied.recent.pop_front();
            }
            copied.recent.push_back(offset);
            return Arrival::New;
        }
        if copied.recent.contains(&offset) { Arrival::Known } else { Arrival::Late }
    }

    /// Begins behind this offset: the events before, which it gives, are not to be recovered.
    pub(super) fn begin_behind(&mut self, offset: Offset) -> Self {
        let last = self.last();
        self.note_cut(last);
        let old = self.take();
        // So there is a number of what was before, and it is not 0, which is not known.
        self.skip();
        if let Some(copied) = &mut self.copied {
            // What has come is known, wherever it begins.
            (copied.behind, copied.last) = (Some(offset), offset);
        }
        old
    }

    /// The engine has brought all up to this offset, and the last of it was of other namespaces.
    pub(super) fn note_reached(&mut self, offset: Offset) {
        if let Some(copied) = &mut self.copied {
            copied.last = copied.last.max(offset);
        }
    }

    /// An event was dropped before its time.
    pub(super) fn note_cut(&mut self, number: u64) {
        if let Some(copied) = &mut self.copied {
            copied.cut = Some((number, Instant::now()));
        }
    }

    /// Whether it cannot be told if a client that was lost just now has had an event, since that was dropped too early.
    pub(super) fn has_cut(&self, number: u64, silence: Duration) -> bool {
        let cut = self.copied.as_ref().and_then(|copied| copied.cut);
        number < self.first()
            && cut.is_some_and(|(last, at)| number <= last && at.elapsed() < silence)
    }

    /// The offset of the last event, kept or not.
    pub(super) fn last_offset(&self) -> Offset {
        self.copied.as_ref().map_or(Offset::BEGINNING, |copied| copied.last)
    }

    /// The offset of an event, for another node; that of the beginning where it is not known any more.
    pub(super) fn offset_of(&self, number: u64) -> Offset {
        let first = self.first();
        match (self.get(number), &self.copied) {
            (Some(entry), _) => entry.offset,
            (None, Some(copied)) if number + 1 == first => copied.behind.unwrap_or_default(),
            _ => Offset::BEGINNING,
        }
    }

    /// The number of the last event that is not behind this offset. 0 when what comes next was dropped, or is not known
    /// here; `None` when the offset is behind all events.
    pub(super) fn number_of(&self, offset: Offset) -> Option<u64> {
        let copied = self.copied.as_ref()?;
        if offset > copied.last {
            return None;
        }
        if copied.behind.is_none_or(|behind| offset < behind) {
            return Some(0);
        }
        let upto = self.entries.partition_point(|entry| entry.offset <= offset);
        Some(self.first() - 1 + upto as u64)
    }

    /// The number that the next event will have.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The number of the last event.
    pub(super) const fn last(&self) -> u64 {
        self.next - 1
    }

    /// The number of the oldest event that is kept; that of the next one where none is.
    pub(super) fn first(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What all of it counts for.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest event.
    pub(super) fn oldest(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The event of that number, if it is kept.
    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        let index = number.checked_sub(self.first())?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Keeps an event for whoever is in one of some rooms, or for everybody where there are none, and in
    /// none of others. Gives its number.
    pub(super) fn push<R: AsRef<str>>(&mut self, parcel: &Parcel, to: &[R], except: &[R]) -> u64 {
        let except: Box<[Box<str>]> = except.iter().map(|room| room.as_ref().into()).collect();
        let names = except.iter().map(|room| room.len() + NAME_OVERHEAD_BYTES).sum::<usize>();
        let mut bytes = names + to.len() * PLACE_BYTES;
        let to = if to.is_empty() {
            self.all.add(self.next);
            bytes += PLACE_BYTES;
            To::All
        } else {
            To::Rooms(to.iter().map(|room| self.add_to_room(room.as_ref())).collect())
        };
        self.keep(parcel, to, except, bytes)
    }

    /// Keeps an event for one socket. Gives its number.
    pub(super) fn push_for(&mut self, parcel: &Parcel, id: SocketId) -> u64 {
        let numbers = self.sockets.entry(id).or_insert_with(|| {
            self.bytes += LIST_OVERHEAD_BYTES;
            Numbers::default()
        });
        numbers.add(self.next);
        self.keep(parcel, To::Socket(id), Box::default(), PLACE_BYTES)
    }

    /// Counts an event that nobody can miss.
    pub(super) const fn skip(&mut self) -> u64 {
        self.next += 1;
        self.last()
    }

    fn keep(&mut self, parcel: &Parcel, to: To, except: Box<[Box<str>]>, beside: usize) -> u64 {
        let bytes = parcel.len() + ENTRY_OVERHEAD_BYTES + beside;
        let (at, offset) = (Instant::now(), self.last_offset());
        let entry = Entry { parcel: parcel.clone(), at, offset, to, except, bytes };
        self.entries.push_back(entry);
        self.bytes += bytes;
        self.next += 1;
        self.last()
    }

    fn add_to_room(&mut self, room: &str) -> Arc<str> {
        if let Some((name, _)) = self.rooms.get_key_value(room) {
            let name = Arc::clone(name);
            if let Some(numbers) = self.rooms.get_mut(room) {
                numbers.add(self.next);
            }
            return name;
        }
        let name: Arc<str> = room.into();
        let mut numbers = Numbers::default();
        numbers.add(self.next);
        self.rooms.insert(Arc::clone(&name), numbers);
        self.bytes += LIST_OVERHEAD_BYTES + name.len();
        name
    }

    /// Drops the oldest event.
    pub(super) fn pop(&mut self) {
        let number = self.first();
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= entry.bytes;
        if let Some(copied) = &mut self.copied {
            copied.behind = copied.behind.max(Some(entry.offset));
        }
        match &entry.to {
            To::All => self.all.remove(number),
            To::Socket(id) => {
                if remove(&mut self.sockets, id, number) {
                    self.bytes -= LIST_OVERHEAD_BYTES;
                }
            }
            To::Rooms(rooms) => {
                for room in rooms {
                    if remove(&mut self.rooms, room, number) {
                        self.bytes -= LIST_OVERHEAD_BYTES + room.len();
                    }
                }
            }
        }
        if self.entries.capacity() > KEPT_CAPACITY
            && self.entries.len() < self.entries.capacity() / 4
        {
            self.entries.shrink_to(self.entries.capacity() / 2);
        }
    }

    /// Takes all events out, for whoever can drop them when no lock is held.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self { copied: self.copied.take(), ..Self::from(self.next) };
        std::mem::replace(self, empty)
    }

    /// The numbers of the events of a source that are behind one and not behind another, in order.
    pub(super) fn numbers(
        &self,
        source: Source<'_>,
        behind: u64,
        until: u64,
    ) -> impl Iterator<Item = u64> + use<'_> {
        let numbers = match source {
            Source::All => Some(&self.all),
            Source::Socket(id) => self.sockets.get(&id),
            Source::Room(room) => self.rooms.get(room),
        };
        numbers.into_iter().flat_map(move |numbers| numbers.between(behind, until))
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity() + self.rooms.capacity() + self.sockets.capacity()
    }
}

/// Takes a number out of a list; `true` when the list is empty then, and gone.
fn remove<K, Q>(lists: &mut HashMap<K, Numbers>, key: &Q, number: u64) -> bool
where
    K: Hash + Eq + std::borrow::Borrow<Q>,
    Q: Hash + Eq + ?Sized,
{
    let Some(numbers) = lists.get_mut(key) else {
        return false;
    };
    numbers.remove(number);
    if !numbers.0.is_empty() {
        return false;
    }
    lists.remove(key);
    if lists.capacity() > KEPT_CAPACITY && lists.len() < lists.capacity() / 8 {
        lists.shrink_to(lists.len() * 2);
    }
    true
}

impl Numbers {
    /// Adds the largest, once.
    fn add(&mut self, number: u64) {
        if self.0.back() != Some(&number) {
            self.0.push_back(number);
        }
    }

    /// Takes the smallest out, if it is that.
    fn remove(&mut self, number: u64) {
        if self.0.front() == Some(&number) {
            self.0.pop_front();
        }
        if self.0.capacity() > KEPT_CAPACITY && self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.capacity() / 2);
        }
    }

    fn between(&self, behind: u64, until: u64) -> impl Iterator<Item = u64> + use<'_> {
        let start = self.0.partition_point(|number| *number <= behind);
        self.0.range(start..).copied().take_while(move |number| *number <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel() -> Parcel {
        Parcel::event("/", None, "e", "").unwrap()
    }

    fn numbers(log: &Log, source: Source<'_>) -> Vec<u64> {
        log.numbers(source, 0, u64::MAX).collect()
    }

    #[test]
    fn each_event_is_in_the_lists_of_whom_it_was_for() {
        let mut log = Log::new();
        let id = SocketId::from_random([1; 15]);
        log.push(&parcel(), &["a", "b", "a"], &[]);
        log.push(&parcel(), &[], &["a"]);
        log.push_for(&parcel(), id);
        log.push(&parcel(), &["a", &*id], &[]);
        let of = |source| numbers(&log, source);
        assert_eq!(of(Source::Room("a")), [1, 4]);
        assert_eq!(of(Source::Room("b")), [1]);
        assert_eq!(of(Source::All), [2]);
        assert_eq!(of(Source::Socket(id)), [3]);
        assert_eq!(of(Source::Room(&id)), [4]);
        assert!(of(Source::Room("c")).is_empty());
        assert_eq!(log.numbers(Source::Room("a"), 1, 3).count(), 0);
        assert_eq!(log.get(2).map(|entry| entry.except.len()), Some(1));
        assert!(log.get(0).is_none() && log.get(5).is_none());
    }

    #[test]
    fn what_is_dropped_is_in_no_list_and_counts_for_nothing() {
        let mut log = Log::new();
        let id = SocketId::from_random([1; 15]);
        for number in 0..5_000 {
            let room = format!("room {}", number % 3_000);
            log.push(&parcel(), &[room.as_str(), "all", "all"], &["x"]);
            log.push::<&str>(&parcel(), &[], &[]);
            log.push_for(&parcel(), id);
        }
        let before = log.bytes();
        assert!(before > 15_000 * ENTRY_OVERHEAD_BYTES + 3_000 * LIST_OVERHEAD_BYTES);
        (0..7_500).for_each(|_| log.pop());
        assert!(log.bytes() < before && log.get(7_500).is_none() && log.get(7_501).is_some());
        assert_eq!(numbers(&log, Source::Room("all")).first(), Some(&7_501));
        (0..7_500).for_each(|_| log.pop());
        assert_eq!((log.bytes(), log.len(), log.first()), (0, 0, 15_001));
        assert!(log.capacity() <= 3 * 2 * KEPT_CAPACITY, "{}", log.capacity());
        assert!(numbers(&log, Source::All).is_empty());
        log.pop();
        assert_eq!(log.skip(), 15_001);
    }

    /// As nodes speak of events: each has numbers of its own.
    #[test]
    fn an_offset_is_the_number_of_the_last_event_that_is_not_behind_it() {
        let mut log = Log::new();
        log.copies();
        let offset = |major| Offset::new(major, 0);
        assert_eq!(log.number_of(Offset::BEGINNING), Some(0), "it is not known where it begins");
        drop(log.begin_behind(offset(100)));
        let before = log.last();
        assert_eq!(
            (log.number_of(offset(100)), log.number_of(offset(99))),
            (Some(before), Some(0))
        );
        for major in [110, 120, 130] {
            assert_eq!(log.advance(offset(major)), Arrival::New);
            log.push::<&str>(&parcel(), &[], &[]);
        }
        // One that is not kept.
        assert_eq!(log.advance(offset(140)), Arrival::New);
        let again = [90, 110, 115, 140].map(|major| log.advance(offset(major)));
        assert_eq!(again, [Arrival::Late, Arrival::Known, Arrival::Late, Arrival::Known]);
        for (major, number) in [(110, 1), (115, 1), (129, 2), (130, 3), (140, 3)] {
            assert_eq!(log.number_of(offset(major)), Some(before + number), "{major}");
        }
        assert_eq!(log.number_of(offset(141)), None);
        assert_eq!(
            [before, before + 2].map(|number| log.offset_of(number)),
            [100, 120].map(offset)
        );
        log.pop();
        assert_eq!(log.offset_of(before), Offset::BEGINNING);
        assert_eq!(log.offset_of(before + 1), offset(110));
        assert_eq!(
            (log.number_of(offset(109)), log.number_of(offset(110))),
            (Some(0), Some(before + 1))
        );
        // It begins anew, with smaller ones.
        drop(log.begin_behind(offset(5)));
        assert_eq!(log.advance(offset(6)), Arrival::New);
        assert!(log.number_of(offset(120)).is_none());
    }
}
