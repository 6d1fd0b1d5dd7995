//! [`Rooms`]: who is where in one namespace.
//!
//! Pure data behind one lock. A fan-out does not hold it: each room keeps a snapshot of its
//! members, a shared slice that is made when somebody first sends to the room after it has changed.
//! One that is not true any more is dropped when the lock is not held: it may be the last to hold
//! thousands of handles.
//!
//! Every member is in a room of its own id; that room is the table of ids itself and costs nothing.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use parking_lot::Mutex;
use roomful_proto::SocketId;
use slab::Slab;

use crate::ground::target::Target;
use crate::namespace::room_news::{Change, News};

/// Most members are in no more rooms.
const FEW_ROOMS: usize = 8;

/// Who is where. `T` is a cheap handle of a member.
pub(crate) struct Rooms<T> {
    inner: Mutex<Inner<T>>,
}

/// Where a member is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MemberKey(u32);

type Members<T> = Arc<[(MemberKey, T)]>;

struct Inner<T> {
    members: Slab<Member<T>>,
    ids: HashMap<SocketId, MemberKey>,
    rooms: HashMap<Arc<str>, Room<T>>,
    everyone: Option<Members<T>>,
    /// What is still to be told; `None` where nobody wants to know.
    news: Option<Box<News>>,
}

struct Member<T> {
    handle: T,
    /// In no order that means anything.
    rooms: Vec<Arc<str>>,
}

struct Room<T> {
    /// The members, and where each has the room among its own: so neither joining nor leaving looks
    /// through all rooms of a member.
    members: HashMap<MemberKey, u32>,
    snapshot: Option<Members<T>>,
}

/// Whom an event goes to.
pub(crate) struct Selection<T> {
    lists: Vec<Members<T>>,
    except: HashSet<MemberKey>,
}

/// Why a room was not joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotJoined {
    /// The member has left the namespace.
    Gone,
    /// The member is in as many rooms as it may be.
    TooMany,
}

impl<T> Default for Rooms<T> {
    fn default() -> Self {
        let inner = Inner {
            members: Slab::new(),
            ids: HashMap::new(),
            rooms: HashMap::new(),
            everyone: None,
            news: None,
        };
        Self { inner: Mutex::new(inner) }
    }
}

impl<T: Clone> Rooms<T> {
    /// Adds a member, in no room but that of its own id.
    pub(crate) fn enter(&self, id: SocketId, handle: T) {
        let _stale;
        let mut inner = self.inner.lock();
        let key = inner.members.insert(Member { handle, rooms: Vec::new() });
        // There are never 2^32 members: each has a connection.
        inner.ids.insert(id, MemberKey(key as u32));
        if let Some(news) = &mut inner.news {
            news.add_member(Change::Entered(id));
        }
        _stale = inner.everyone.take();
    }

    /// Removes a member from everywhere; `false` when it was not there.
    pub(crate) fn exit(&self, id: SocketId) -> bool {
        let mut stale = Vec::new();
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let Some(key) = inner.ids.remove(&id) else {
            return false;
        };
        let member = inner.members.remove(key.0 as usize);
        stale.extend(member.rooms.iter().filter_map(|room| leave(&mut inner.rooms, room, key)));
        stale.extend(inner.everyone.take());
        if let Some(news) = &mut inner.news {
            member.rooms.into_iter().for_each(|room| note_left(news, &inner.rooms, room, id));
            news.add_member(Change::Exited(id));
        }
        if inner.members.is_empty() {
            // Memory returns after churn: the tables are as large as they ever were.
            *inner = Inner {
                members: Slab::new(),
                ids: HashMap::new(),
                rooms: HashMap::new(),
                everyone: None,
                news: inner.news.take(),
            };
        }
        true
    }

    /// Puts a member into a room; `Ok(false)` when it already was there.
    pub(crate) fn join(
        &self,
        id: SocketId,
        room: &str,
        rooms_max: usize,
    ) -> Result<bool, NotJoined> {
        let _stale;
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let key = *inner.ids.get(&id).ok_or(NotJoined::Gone)?;
        if room == id.as_str() {
            return Ok(false);
        }
        let member = inner.members.get_mut(key.0 as usize).ok_or(NotJoined::Gone)?;
        let known = inner.rooms.get_key_value(room);
        let is_in = match member.is_in_few() {
            true => member.rooms.iter().any(|joined| **joined == *room),
            false => known.is_some_and(|(_, room)| room.members.contains_key(&key)),
        };
        if is_in {
            return Ok(false);
        }
        if member.rooms.len() >= rooms_max {
            return Err(NotJoined::TooMany);
        }
        let name = known.map_or_else(|| Arc::from(room), |(name, _)| Arc::clone(name));
        if let Some(news) = &mut inner.news {
            note_joined(news, &inner.rooms, &name, id);
        }
        // Each has a name in memory, so there are never 2^32 of them.
        let at = member.rooms.len() as u32;
        member.rooms.push(Arc::clone(&name));
        let empty = || Room { members: HashMap::new(), snapshot: None };
        let entry = inner.rooms.entry(name).or_insert_with(empty);
        entry.members.insert(key, at);
        _stale = entry.snapshot.take();
        Ok(true)
    }

    /// The name of a room that somebody is in, to be kept.
    pub(crate) fn name(&self, room: &str) -> Option<Arc<str>> {
        let inner = self.inner.lock();
        inner.rooms.get_key_value(room).map(|(name, _)| Arc::clone(name))
    }

    /// Whether somebody is in a room.
    pub(crate) fn has(&self, room: &str) -> bool {
        let inner = self.inner.lock();
        inner.rooms.contains_key(room)
            || SocketId::parse(room).is_some_and(|id| inner.ids.contains_key(&id))
    }

    /// The names of all rooms, those of single members too.
    pub(crate) fn names(&self) -> Vec<String> {
        let inner = self.inner.lock();
        let own = inner.ids.keys().map(ToString::to_string);
        own.chain(inner.rooms.keys().map(|name| (**name).to_owned())).collect()
    }

    /// Takes a member out of a room, and gives where it had that among its rooms; the last of these has
    /// that place from now on. `None` when it was not there.
    pub(crate) fn leave(&self, id: SocketId, room: &str) -> Option<usize> {
        let _stale;
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let key = *inner.ids.get(&id)?;
        let member = inner.members.get_mut(key.0 as usize)?;
        let at = match member.is_in_few() {
            true => member.rooms.iter().position(|joined| **joined == *room)?,
            false => *inner.rooms.get(room)?.members.get(&key)? as usize,
        };
        let name = member.rooms.swap_remove(at);
        if let Some(moved) = member.rooms.get(at)
            && let Some(moved) = inner.rooms.get_mut(moved)
        {
            moved.members.insert(key, at as u32);
        }
        _stale = leave(&mut inner.rooms, room, key);
        if let Some(news) = &mut inner.news {
            note_left(news, &inner.rooms, name, id);
        }
        Some(at)
    }

    /// The rooms of a member, its own id first.
    pub(crate) fn of(&self, id: SocketId) -> Vec<String> {
        let inner = self.inner.lock();
        let member = inner.ids.get(&id).and_then(|key| inner.members.get(key.0 as usize));
        let rooms = member.map(|member| &member.rooms);
        let own = member.map(|_| id.to_string());
        own.into_iter().chain(rooms.into_iter().flatten().map(|room| (**room).to_owned())).collect()
    }

    /// Whether a member is in a room, its own or another.
    pub(crate) fn is_in(&self, id: SocketId, room: &str) -> bool {
        let inner = self.inner.lock();
        let Some(&key) = inner.ids.get(&id) else {
            return false;
        };
        room == id.as_str()
            || inner.rooms.get(room).is_some_and(|room| room.members.contains_key(&key))
    }

    /// The member of that id.
    pub(crate) fn get(&self, id: SocketId) -> Option<T> {
        self.look_at(id, T::clone)
    }

    /// What a short look at the member of that id tells.
    #[inline]
    pub(crate) fn look_at<R>(&self, id: SocketId, look: impl FnOnce(&T) -> R) -> Option<R> {
        let inner = self.inner.lock();
        let key = inner.ids.get(&id)?;
        inner.members.get(key.0 as usize).map(|member| look(&member.handle))
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().members.len()
    }

    /// Whether who joins and leaves is noted from now on. That is asked under the lock: of two who
    /// change it at the same time, the one who comes last here knows what holds.
    pub(crate) fn watch(&self, watched: impl FnOnce() -> bool) {
        let mut inner = self.inner.lock();
        if watched() {
            inner.news.get_or_insert_default().set_wanted(true);
        } else {
            inner.news.take_if(|news| !news.set_wanted(false));
        }
    }

    /// Has those who are told of rooms told of those of single members too, from now on.
    pub(crate) fn watch_members(&self) {
        self.inner.lock().news.get_or_insert_default().want_members();
    }

    /// Does something with what is to be told; `None` where nobody wants to know.
    pub(crate) fn news<R>(&self, take: impl FnOnce(&mut News) -> Option<R>) -> Option<R> {
        self.inner.lock().news.as_deref_mut().and_then(take)
    }

    /// All of a target.
    pub(crate) fn of_target(&self, target: &Target) -> Selection<T> {
        match target.socket {
            Some(id) => self.select_one(id),
            None => self.select(&target.rooms, &target.except),
        }
    }

    fn select_one(&self, id: SocketId) -> Selection<T> {
        let inner = self.inner.lock();
        let found = inner.ids.get(&id).and_then(|key| {
            let member = inner.members.get(key.0 as usize)?;
            Some(Arc::from([(*key, member.handle.clone())]))
        });
        Selection { lists: found.into_iter().collect(), except: HashSet::new() }
    }

    /// All who are in one of `rooms` and in none of `except`; in no rooms named means everyone.
    pub(crate) fn select<R: AsRef<str>>(&self, rooms: &[R], except: &[R]) -> Selection<T> {
        let mut inner = self.inner.lock();
        let lists = match rooms {
            [] => vec![inner.everyone()],
            rooms => rooms.iter().flat_map(|room| inner.lists(room.as_ref())).collect(),
        };
        let except = except.iter().flat_map(|room| inner.keys(room.as_ref())).collect();
        Selection { lists, except }
    }
}

impl<T: Clone> Inner<T> {
    fn everyone(&mut self) -> Members<T> {
        let members = &self.members;
        let all =
            || members.iter().map(|(key, m)| (MemberKey(key as u32), m.handle.clone())).collect();
        Arc::clone(self.everyone.get_or_insert_with(all))
    }

    /// The members of a room, and the one member whose id it is.
    fn lists(&mut self, room: &str) -> impl Iterator<Item = Members<T>> + use<T> {
        let members = &self.members;
        let handle = |key: &MemberKey| Some((*key, members.get(key.0 as usize)?.handle.clone()));
        let joined = self.rooms.get_mut(room).map(|found| {
            let make = || found.members.keys().filter_map(handle).collect();
            Arc::clone(found.snapshot.get_or_insert_with(make))
        });
        let own = self.ids.get(room).and_then(handle).map(|own| Arc::from([own]));
        joined.into_iter().chain(own)
    }

    fn keys(&self, room: &str) -> impl Iterator<Item = MemberKey> {
        let joined = self.rooms.get(room).into_iter().flat_map(|room| room.members.keys());
        joined.chain(self.ids.get(room)).copied()
    }
}

impl<T> Member<T> {
    /// Whether its rooms are looked through sooner than one is found by its name.
    const fn is_in_few(&self) -> bool {
        self.rooms.len() <= FEW_ROOMS
    }
}

impl<T> Selection<T> {
    /// Each selected member once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut seen = HashSet::new();
        let several = self.lists.len() > 1;
        self.lists
            .iter()
            .flat_map(|list| list.iter())
            .filter(move |(key, _)| {
                let wanted = self.except.is_empty() || !self.except.contains(key);
                wanted && (!several || seen.insert(*key))
            })
            .map(|(_, handle)| handle)
    }
}

/// Takes a member out of a room, and gives the snapshot that is not true any more; a room without
/// members is gone.
fn leave<T>(
    rooms: &mut HashMap<Arc<str>, Room<T>>,
    name: &str,
    key: MemberKey,
) -> Option<Members<T>> {
    let room = rooms.get_mut(name)?;
    room.members.remove(&key);
    let stale = room.snapshot.take();
    if room.members.is_empty() {
        rooms.remove(name);
    }
    stale
}

/// A member is about to join. Apart, since few want to know.
#[cold]
fn note_joined<T>(
    news: &mut News,
    rooms: &HashMap<Arc<str>, Room<T>>,
    name: &Arc<str>,
    socket: SocketId,
) {
    let created = !rooms.contains_key(name);
    news.add(Arc::clone(name), Change::Joined { socket, created });
}

/// A member has left. Apart, too.
#[cold]
fn note_left<T>(
    news: &mut News,
    rooms: &HashMap<Arc<str>, Room<T>>,
    name: Arc<str>,
    socket: SocketId,
) {
    let deleted = !rooms.contains_key(&name);
    news.add(name, Change::Left { socket, deleted });
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn id(n: u8) -> SocketId {
        SocketId::from_random([n; 15])
    }

    /// Members 1 to 4: 1 and 2 in "a", 2 and 3 in "b".
    fn rooms() -> Rooms<u8> {
        let rooms = Rooms::default();
        for n in 1..=4 {
            rooms.enter(id(n), n);
        }
        for (n, room) in [(1, "a"), (2, "a"), (2, "b"), (3, "b")] {
            assert_eq!(rooms.join(id(n), room, 10), Ok(true));
        }
        rooms
    }

    fn select(rooms: &Rooms<u8>, to: &[&str], except: &[&str]) -> Vec<u8> {
        let mut found: Vec<_> = rooms.select(to, except).iter().copied().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn each_member_is_selected_once_and_the_excepted_never() {
        let rooms = rooms();
        let own = id(1);
        assert_eq!(select(&rooms, &[], &[]), [1, 2, 3, 4]);
        assert_eq!(select(&rooms, &["a"], &[]), [1, 2]);
        assert_eq!(select(&rooms, &["a", "b", "a"], &[]), [1, 2, 3]);
        assert_eq!(select(&rooms, &["a", "b"], &["b"]), [1]);
        assert_eq!(select(&rooms, &[], &["a", "none"]), [3, 4]);
        assert_eq!(select(&rooms, &["none"], &[]), [0_u8; 0]);
        assert_eq!(select(&rooms, &[&own], &[]), [1]);
        assert_eq!(select(&rooms, &["a"], &[&own]), [2]);
    }

    /// Ids are public, and names of rooms may come from clients.
    #[test]
    fn a_room_with_the_name_of_an_id_takes_nothing_from_its_socket() {
        let rooms = rooms();
        let own = id(1);
        assert_eq!(rooms.join(id(3), &own, 10), Ok(true));
        assert_eq!(select(&rooms, &[&own], &[]), [1, 3]);
        assert_eq!(select(&rooms, &[], &[&own]), [2, 4]);
        assert!(rooms.is_in(id(1), &own) && rooms.is_in(id(3), &own) && !rooms.is_in(id(2), &own));
        assert!(rooms.leave(id(3), &own).is_some());
        assert_eq!(select(&rooms, &[&own], &[]), [1]);
    }

    #[test]
    fn a_snapshot_never_outlives_a_change() {
        let rooms = rooms();
        assert_eq!(select(&rooms, &["a"], &[]), [1, 2]);
        assert_eq!(rooms.join(id(4), "a", 10), Ok(true));
        assert_eq!(select(&rooms, &["a"], &[]), [1, 2, 4]);
        assert!(rooms.leave(id(1), "a").is_some());
        assert_eq!(select(&rooms, &["a"], &[]), [2, 4]);
        rooms.exit(id(2));
        assert_eq!(select(&rooms, &["a"], &[]), [4]);
        assert_eq!(select(&rooms, &[], &[]), [1, 3, 4]);
    }

    #[test]
    fn rooms_and_members_leave_nothing_behind() {
        let rooms = rooms();
        for n in 1..=4 {
            rooms.exit(id(n));
            rooms.exit(id(n));
        }
        let inner = rooms.inner.lock();
        assert_eq!((inner.rooms.len(), inner.members.capacity(), inner.ids.capacity()), (0, 0, 0));
    }

    /// Time of the processor that this thread has taken.
    fn busy_ns() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse().unwrap()
    }

    /// Asserts that eight times as many take about as much longer. With the square it would be 64 times;
    /// caches account for some of the rest.
    pub(crate) fn assert_linear(work: impl Fn(usize)) {
        let took = |count| {
            let before = busy_ns();
            work(count);
            busy_ns() - before
        };
        // The best of three, since a machine can be slow for a moment.
        let best = |count| (0..3).map(|_| took(count)).min().unwrap();
        let (few, many) = (best(8_000), best(64_000));
        assert!(many < 32 * few, "{few} ns for 8,000, {many} ns for 64,000");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn joining_and_leaving_cost_the_same_in_however_many_rooms_a_member_is() {
        assert_linear(|count| {
            let rooms = Rooms::default();
            rooms.enter(id(1), 1);
            for room in 0..count {
                assert_eq!(rooms.join(id(1), &room.to_string(), usize::MAX), Ok(true));
            }
            for room in (0..count).rev().step_by(2).chain((0..count).step_by(2)) {
                assert!(rooms.leave(id(1), &room.to_string()).is_some());
            }
            assert_eq!(rooms.of(id(1)), [id(1).as_str()]);
        });
    }

    #[test]
    fn a_member_knows_its_rooms_whichever_it_leaves() {
        let rooms = Rooms::default();
        rooms.enter(id(1), 1);
        let names = ["a", "b", "c", "d"];
        for first in names {
            for second in names.into_iter().filter(|name| *name != first) {
                names.iter().for_each(|name| drop(rooms.join(id(1), name, 10)));
                assert!(rooms.leave(id(1), first).is_some() && rooms.leave(id(1), first).is_none());
                assert!(rooms.leave(id(1), second).is_some());
                let mut left = rooms.of(id(1)).split_off(1);
                left.sort_unstable();
                let others = names.into_iter().filter(|name| *name != first && *name != second);
                assert_eq!(left, others.collect::<Vec<_>>());
            }
        }
        rooms.exit(id(1));
        assert!(rooms.inner.lock().rooms.is_empty());
    }

    #[test]
    fn joins_are_counted_and_repeated_ones_are_not() {
        let rooms = rooms();
        assert_eq!(rooms.join(id(2), "a", 2), Ok(false));
        assert_eq!(rooms.join(id(2), "c", 2), Err(NotJoined::TooMany));
        assert_eq!(rooms.join(id(9), "a", 2), Err(NotJoined::Gone));
        assert_eq!(rooms.join(id(2), &id(2), 2), Ok(false));
        assert_eq!(rooms.of(id(2)), [id(2).as_str(), "a", "b"]);
        assert!(rooms.is_in(id(2), "b") && rooms.is_in(id(2), &id(2)) && !rooms.is_in(id(2), "c"));
    }
}
