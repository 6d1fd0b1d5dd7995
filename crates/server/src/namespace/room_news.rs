//! [`RoomEvent`]: who has joined a room or left it; [`News`]: what of that is still to be told.
//!
//! What happens is noted under the lock of the rooms, so that it is in order, and told when no lock is
//! held, by one at a time: whoever finds news that nobody is telling. So the functions see everything
//! in the order in which it happened, on whichever task comes first.
//!
//! What waits to be told is bounded in number and in bytes. What is not told is told to be missing
//! ([`RoomEvent::Missed`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use roomful_proto::SocketId;
use tokio::runtime::Handle;

use crate::namespace::adapter::RoomChange;
use crate::namespace::listeners::Catch;
use crate::namespace::namespace_core::NamespaceCore;

/// What may wait to be told. There is more only where rooms change faster than the functions that
/// are told can follow.
const NEWS_MAX: usize = 65_536;
/// The bytes that the names of their rooms may have, a name counted each time.
const NEWS_BYTES_MAX: usize = 4 << 20;
/// What one caller tells before it leaves the rest to a task.
const TOLD_AT_ONCE: usize = 1_000;

/// What has happened to a room, as a function given to
/// [`Namespace::on_room`](crate::Namespace::on_room) is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "create-room")]
#[doc(alias = "delete-room")]
#[doc(alias = "join-room")]
#[doc(alias = "leave-room")]
pub enum RoomEvent<'a> {
    /// There is a room that was not there before: somebody joins it, as told next.
    Created(&'a str),
    /// A socket has joined a room.
    Joined(&'a str, SocketId),
    /// A socket has left a room.
    Left(&'a str, SocketId),
    /// The last socket has left a room, as told before.
    Deleted(&'a str),
    /// So many joinings and leavings are not told: the functions were too slow for them, and 65,536
    /// waited already, or so many that the names of their rooms had 4 MiB. What was concluded from
    /// them before may be wrong now.
    Missed(usize),
}

/// What a function is told of.
#[derive(Clone, Copy)]
pub(crate) enum Told<'a> {
    /// A room that sockets have joined.
    Room(RoomEvent<'a>),
    /// A socket that has come, and the room of its id with it.
    Entered(SocketId),
    /// One that has gone.
    Exited(SocketId),
}

impl Told<'_> {
    /// What becomes of a room by it, for an adapter.
    pub(crate) fn change(&self) -> Option<RoomChange<'_>> {
        Some(match self {
            Self::Room(RoomEvent::Created(room)) => RoomChange::Began(room),
            Self::Room(RoomEvent::Deleted(room)) => RoomChange::Ended(room),
            Self::Room(RoomEvent::Missed(_)) => RoomChange::Missed,
            Self::Room(RoomEvent::Joined(..) | RoomEvent::Left(..)) => return None,
            Self::Entered(socket) => RoomChange::Began(socket.as_str()),
            Self::Exited(socket) => RoomChange::Ended(socket.as_str()),
        })
    }
}

pub(crate) type RoomFn = dyn Fn(&Arc<NamespaceCore>, Told<'_>) + Send + Sync;

/// Functions that are told of rooms.
#[derive(Default)]
pub(crate) struct RoomWatchers {
    list: RwLock<Arc<[Catch<RoomFn>]>>,
    /// Whether there are any.
    any: AtomicBool,
}

impl RoomWatchers {
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    fn all(&self) -> Arc<[Catch<RoomFn>]> {
        Arc::clone(&self.list.read())
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Catch<RoomFn>>)) {
        let mut list = self.list.write();
        let mut changed = list.to_vec();
        change(&mut changed);
        self.any.store(!changed.is_empty(), Ordering::Relaxed);
        // Dropping it may drop functions of the user's, when the lock is released.
        let _old = std::mem::replace(&mut *list, changed.into());
        drop(list);
    }
}

impl NamespaceCore {
    /// Has a function told of rooms, at all nodes of this process that have the functions of this one.
    pub(crate) fn watch_rooms(self: &Arc<Self>, watcher: &Catch<RoomFn>) {
        self.everywhere().iter().for_each(|namespace| namespace.watch_rooms_here(watcher));
    }

    /// Its own list first: a child that is made meanwhile is in the list of children before it looks
    /// there, so it finds the function itself or is found below.
    pub(crate) fn watch_rooms_here(&self, watcher: &Catch<RoomFn>) {
        self.change_room_watchers(|list| {
            if !list.iter().any(|known| known.is(watcher)) {
                list.push(watcher.clone());
            }
        });
        for child in self.children().unwrap_or_default() {
            child.watch_rooms_here(watcher);
        }
    }

    /// Forgets functions that are not to be told any more.
    pub(crate) fn sweep_rooms(self: &Arc<Self>) {
        self.everywhere().iter().for_each(|namespace| namespace.sweep_rooms_here());
    }

    fn sweep_rooms_here(&self) {
        self.change_room_watchers(|list| list.retain(|watcher| !watcher.is_over()));
        for child in self.children().unwrap_or_default() {
            child.sweep_rooms_here();
        }
    }

    /// Has the functions of its parent told too, which has it among its children already.
    pub(crate) fn watch_rooms_as(&self, parent: &Self) {
        let theirs = parent.room_watchers.all();
        if theirs.is_empty() {
            return;
        }
        self.change_room_watchers(|list| {
            let is_later = |watcher: &&Catch<RoomFn>| !theirs.iter().any(|their| their.is(watcher));
            let later: Vec<_> = list.iter().filter(is_later).cloned().collect();
            // One that is over by now may have been swept here already.
            *list = theirs.iter().filter(|their| !their.is_over()).cloned().collect();
            list.extend(later);
        });
    }

    fn change_room_watchers(&self, change: impl FnOnce(&mut Vec<Catch<RoomFn>>)) {
        self.room_watchers.change(change);
        self.rooms.watch(|| self.room_watchers.is_on());
    }

    /// Tells what has happened to rooms, if anybody wants to know. Called without any lock.
    #[inline]
    pub(crate) fn tell_rooms(self: &Arc<Self>) {
        if self.room_watchers.is_on() {
            self.tell_room_news();
        }
    }

    #[cold]
    fn tell_room_news(self: &Arc<Self>) {
        while self.rooms.news(News::begin).is_some() && !self.tell_some() {
            if let Ok(runtime) = Handle::try_current() {
                let namespace = Arc::clone(self);
                drop(runtime.spawn(async move { namespace.tell_room_news() }));
                return;
            }
            // There is nobody else to go on.
        }
    }

    /// `true` when it has told all.
    fn tell_some(self: &Arc<Self>) -> bool {
        let core = self.registry();
        for _ in 0..TOLD_AT_ONCE {
            let Some(piece) = self.rooms.news(News::next) else {
                return true;
            };
            // Anew for each, and after it was taken: whoever came before it happened is told of it.
            let watchers = self.room_watchers.all();
            for told in piece.told().into_iter().flatten() {
                for watcher in watchers.iter() {
                    if let (Some(function), Some(core)) = (watcher.take(), &core) {
                        core.guarded("a function of on_room", || function(self, told));
                    }
                }
            }
        }
        self.rooms.news(News::pause);
        false
    }
}

/// What has happened to rooms and is still to be told.
#[derive(Default)]
pub(crate) struct News {
    pieces: VecDeque<Piece>,
    /// Of the names of their rooms.
    bytes: usize,
    /// So many were not kept, behind all that were.
    missed: usize,
    /// Somebody is telling.
    telling: bool,
    /// Nobody wants to know any more.
    over: bool,
    /// The rooms of single sockets are told, too.
    of_members: bool,
}

/// One thing that has happened.
pub(crate) struct Piece {
    room: Arc<str>,
    change: Change,
}

/// What a socket has done.
pub(crate) enum Change {
    Joined {
        socket: SocketId,
        created: bool,
    },
    Left {
        socket: SocketId,
        deleted: bool,
    },
    Entered(SocketId),
    Exited(SocketId),
    /// Of any rooms, by any sockets.
    Missed(usize),
}

impl News {
    /// The rooms of single sockets are told as well, from now on.
    pub(crate) fn want_members(&mut self) {
        self.of_members = true;
    }

    /// A socket has come or gone.
    pub(crate) fn add_member(&mut self, change: Change) {
        if self.of_members {
            self.add(Arc::default(), change);
        }
    }

    pub(crate) fn add(&mut self, room: Arc<str>, change: Change) {
        if self.over {
            return;
        }
        // What was missed is told in its place, before anything newer.
        let bytes = self.bytes + room.len();
        if self.pieces.len() >= NEWS_MAX || bytes > NEWS_BYTES_MAX || self.missed > 0 {
            self.missed += 1;
        } else {
            self.bytes = bytes;
            self.pieces.push_back(Piece { room, change });
        }
    }

    /// Whether somebody wants to know; `false` when this is not needed any more. While somebody is
    /// telling it stays: two would not tell in order.
    pub(crate) fn set_wanted(&mut self, wanted: bool) -> bool {
        self.over = !wanted;
        if self.over {
            self.pieces.clear();
            (self.bytes, self.missed) = (0, 0);
        }
        wanted || self.telling
    }

    /// From now on the caller tells; `None` when there is nothing, or somebody does.
    fn begin(&mut self) -> Option<()> {
        let begins = !self.telling && (!self.pieces.is_empty() || self.missed > 0);
        self.telling |= begins;
        begins.then_some(())
    }

    /// What is to be told next; with `None` the caller has told all.
    fn next(&mut self) -> Option<Piece> {
        if let Some(piece) = self.pieces.pop_front() {
            self.bytes -= piece.room.len();
            return Some(piece);
        }
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 {
            return Some(Piece { room: Arc::default(), change: Change::Missed(missed) });
        }
        *self = Self { over: self.over, of_members: self.of_members, ..Self::default() };
        None
    }

    /// The caller does not go on.
    fn pause(&mut self) -> Option<()> {
        self.telling = false;
        Some(())
    }
}

impl Piece {
    fn told(&self) -> [Option<Told<'_>>; 2] {
        let room = &*self.room;
        let events = match self.change {
            Change::Joined { socket, created } => {
                [created.then_some(RoomEvent::Created(room)), Some(RoomEvent::Joined(room, socket))]
            }
            Change::Left { socket, deleted } => {
                [Some(RoomEvent::Left(room, socket)), deleted.then_some(RoomEvent::Deleted(room))]
            }
            Change::Entered(socket) => return [Some(Told::Entered(socket)), None],
            Change::Exited(socket) => return [Some(Told::Exited(socket)), None],
            Change::Missed(count) => [Some(RoomEvent::Missed(count)), None],
        };
        events.map(|event| event.map(Told::Room))
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::Server;
    use crate::namespace::family::pattern::Params;

    fn joined(news: &mut News, n: usize) {
        let socket = SocketId::from_random([1; 15]);
        news.add(n.to_string().into(), Change::Joined { socket, created: false });
    }

    fn told(news: &mut News) -> Option<String> {
        let piece = news.next()?;
        Some(match piece.change {
            Change::Missed(count) => format!("{count} missed"),
            Change::Joined { .. } | Change::Left { .. } => piece.room.to_string(),
            Change::Entered(socket) => format!("{socket} entered"),
            Change::Exited(socket) => format!("{socket} exited"),
        })
    }

    #[test]
    fn one_tells_until_all_is_told() {
        let mut news = News::default();
        assert!(news.begin().is_none(), "there is nothing");
        joined(&mut news, 1);
        assert!(news.begin().is_some() && news.begin().is_none());
        assert_eq!(told(&mut news).as_deref(), Some("1"));
        joined(&mut news, 2);
        assert!(news.begin().is_none(), "the one who tells tells this too");
        assert_eq!(told(&mut news).as_deref(), Some("2"));
        assert_eq!(told(&mut news), None);
        joined(&mut news, 3);
        assert!(news.begin().is_some());
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_missed_is_told_in_its_place() {
        let mut news = News::default();
        (0..NEWS_MAX + 3).for_each(|n| joined(&mut news, n));
        assert_eq!(told(&mut news).as_deref(), Some("0"));
        joined(&mut news, 1_000_000);
        (1..NEWS_MAX).for_each(|n| assert_eq!(told(&mut news), Some(n.to_string())));
        assert_eq!(told(&mut news).as_deref(), Some("4 missed"));
        joined(&mut news, 7);
        assert_eq!(told(&mut news).as_deref(), Some("7"));
        assert_eq!((told(&mut news), news.pieces.capacity()), (None, 0));
    }

    #[test]
    fn the_bytes_of_what_waits_are_bounded_too() {
        let mut news = News::default();
        let add = |news: &mut News, bytes: usize| {
            let socket = SocketId::from_random([1; 15]);
            news.add("x".repeat(bytes).into(), Change::Joined { socket, created: false });
        };
        let one_of = |news: &mut News| told(news).map(|told| told.len());
        (0..4).for_each(|_| add(&mut news, NEWS_BYTES_MAX / 4));
        add(&mut news, 1);
        (0..4).for_each(|_| assert_eq!(one_of(&mut news), Some(NEWS_BYTES_MAX / 4)));
        assert_eq!(told(&mut news).as_deref(), Some("1 missed"));
        // There is room again: after it was told, and after nobody wanted to know.
        add(&mut news, NEWS_BYTES_MAX);
        assert!(!news.set_wanted(false) && news.set_wanted(true));
        add(&mut news, NEWS_BYTES_MAX);
        assert_eq!((one_of(&mut news), told(&mut news)), (Some(NEWS_BYTES_MAX), None));
        add(&mut news, NEWS_BYTES_MAX + 1);
        assert_eq!(told(&mut news).as_deref(), Some("1 missed"));
    }

    #[test]
    fn nobody_tells_while_another_does_though_it_was_not_wanted_meanwhile() {
        let mut news = News::default();
        joined(&mut news, 1);
        assert!(news.begin().is_some());
        joined(&mut news, 2);
        assert!(news.set_wanted(false), "kept for the one who tells");
        joined(&mut news, 3);
        assert!(news.set_wanted(true));
        joined(&mut news, 4);
        assert!(news.begin().is_none());
        assert_eq!(told(&mut news).as_deref(), Some("4"), "what nobody wanted is gone");
        assert_eq!(told(&mut news), None);
        assert!(!news.set_wanted(false));
    }

    /// A function that comes while a child is made may be found by the child, find it, or both.
    #[test]
    fn a_child_that_is_made_has_each_function_of_its_parent_once_and_in_their_order() {
        let io = Server::new();
        let parent = io.of_pattern("/room-{id}");
        let core = parent.core.registry().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let watcher = |name: &'static str| {
            let order = Arc::clone(&order);
            let told: Arc<RoomFn> = Arc::new(move |_, _| order.lock().push(name));
            Catch::new(told, false)
        };
        let (first, over, second) = (watcher("first"), watcher("over"), watcher("second"));
        parent.core.watch_rooms(&first);
        parent.core.watch_rooms(&over);
        over.handle(&parent.core).off();
        let child = Arc::new(NamespaceCore::new("/room-1", &core));
        child.become_child(&parent.core, Params::default());
        parent.core.watch_rooms(&second);
        // The functions that it found come late, with one that is over.
        parent.core.room_watchers.change(|list| list.push(over.clone()));
        child.watch_rooms_as(&parent.core);
        for watcher in child.room_watchers.all().iter() {
            watcher.take().unwrap()(&child, Told::Room(RoomEvent::Missed(1)));
        }
        assert_eq!(*order.lock(), ["first", "second"]);
    }
}
