//! [`Link`]: the half of a connection that other tasks hold.
//!
//! Other tasks put parcels into its outbox, hand it HTTP requests and give it orders. The connection's own task takes
//! up the requests and the orders. One small lock guards the link. It is never held while user code runs, anything
//! waits or the stream is called, and no other lock is ever taken under it. What changes under it is in [`state`], and
//! how it changes is in a file for each purpose.
//!
//! A letter for one client has the same encoding as a parcel, but is not shared. While the client's task runs on a
//! stream, as when its own handlers answer, the link copies a letter straight into the piece that the end of the turn
//! writes (the tail of the outbox). At any other time it becomes a parcel, and so does a letter of more than 16 KiB.
//!
//! The outbox is written by the task that is first to do so: see `writing`. While a client polls, its connection rests
//! in the link between two turns: see `berth`.
//!
//! The connection's task says when it rests. Only then does a push wake it: a task that is running looks again by
//! itself before it rests.

mod berth;
mod errands;
mod state;
mod writing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use roomful_proto::engine::Transport;
use roomful_proto::{Letter, Parcel, SessionId};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;

pub(crate) use self::berth::{Resting, Rests, run};
pub(crate) use self::errands::{Errands, FromHttp, Order, Taken};
use self::state::{State, Writing};
pub(crate) use self::writing::Flushed;
use crate::ground::dialect::Dialect;
use crate::ground::handshake::Handshake;
use crate::ground::target::Reliability;
use crate::transport::cork;
use crate::transport::outbox::{COPIED_BYTES_MAX, Full};

/// The half of a connection that other tasks hold.
pub(crate) struct Link {
    pub(crate) id: SessionId,
    pub(crate) key: Key,
    pub(crate) dialect: Dialect,
    state: Mutex<State>,
    /// The writing half of the stream, where it can be written to from any task. Locked for one
    /// system call at a time, and only by whoever the state names as writing.
    writer: Mutex<Option<OwnedWriteHalf>>,
    /// What waits in the outbox, in bytes.
    waiting: AtomicUsize,
    /// When the connection wants to run next, in milliseconds; read by the wheel.
    deadline_ms: AtomicU64,
    /// The tick of the wheel that holds the connection; see there.
    scheduled: AtomicU64,
    /// A stream carries the session: letters can be joined then, and requests that come beside it are told.
    on_stream: AtomicBool,
    /// Bytes of a request have come, or the client has taken some that it was slow to take, since the
    /// connection last looked.
    moved: AtomicBool,
    pub(crate) handshake: Handshake,
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// The connection has ended.
    Gone,
    /// The outbox was full; the connection is being closed.
    Overflow,
    /// It is in the outbox, and now so much waits there that the client is slow.
    Slow,
    /// A volatile parcel that could not leave at once.
    Dropped,
    /// A letter that the server's parser could not write.
    Unwritten,
}

impl Pushed {
    /// Whether it is in the outbox.
    pub(crate) const fn is_queued(self) -> bool {
        matches!(self, Self::Queued | Self::Slow)
    }
}

/// Where a connection is kept. A key is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Link {
    pub(crate) fn new(
        id: SessionId,
        key: Key,
        transport: Transport,
        dialect: Dialect,
        handshake: Handshake,
        outbox_bytes_max: usize,
    ) -> Self {
        Self {
            id,
            key,
            dialect,
            state: Mutex::new(State::new(outbox_bytes_max)),
            writer: Mutex::new(None),
            waiting: AtomicUsize::new(0),
            deadline_ms: AtomicU64::new(u64::MAX),
            scheduled: AtomicU64::new(u64::MAX),
            on_stream: AtomicBool::new(!transport.polls()),
            moved: AtomicBool::new(false),
            handshake,
        }
    }

    /// Puts a parcel into the outbox.
    pub(crate) fn push(self: &Arc<Self>, parcel: Parcel, reliability: Reliability) -> Pushed {
        if let Reliability::Latest(key) = reliability {
            return self.push_latest(parcel, key);
        }
        self.put(reliability, |state| state.outbox.push(parcel))
    }

    /// Apart, so that what is sent to many otherwise does not carry it along.
    #[inline(never)]
    fn push_latest(self: &Arc<Self>, parcel: Parcel, key: u64) -> Pushed {
        self.put(Reliability::Latest(key), |state| state.outbox.push_latest(parcel, key))
    }

    /// Puts a letter into the outbox. While the task runs it is copied to what is written at the end
    /// of its turn; else it waits as a parcel, which holds no more memory than it needs.
    pub(crate) fn push_letter(
        self: &Arc<Self>,
        letter: Letter,
        reliability: Reliability,
    ) -> Pushed {
        if letter.len() > COPIED_BYTES_MAX {
            // Not under the lock: it takes its time.
            return self.push(letter.into(), reliability);
        }
        self.put(reliability, |state| {
            if state.is_awake() && self.on_stream.load(Ordering::Relaxed) {
                state.outbox.push_letter(letter)
            } else {
                state.outbox.push(letter.into())
            }
        })
    }

    #[inline]
    fn put(
        self: &Arc<Self>,
        reliability: Reliability,
        push: impl FnOnce(&mut State) -> Result<(), Full>,
    ) -> Pushed {
        let mut state = self.state.lock();
        if !state.is_open() {
            return Pushed::Gone;
        }
        let volatile = reliability == Reliability::Volatile;
        if volatile && (state.writing == Writing::Full || state.outbox.is_behind()) {
            return Pushed::Dropped;
        }
        if let Err(full) = push(&mut state)
            && !state.outbox.push_one_more(full)
        {
            if volatile {
                // It is not worth a connection.
                return Pushed::Dropped;
            }
            state.overflow();
            return Pushed::Overflow;
        }
        self.waiting.store(state.outbox.bytes(), Ordering::Relaxed);
        if state.is_unattended() && !(state.direct && self.cork(&mut state)) {
            state.wake();
        }
        if state.outbox.is_slow() && !std::mem::replace(&mut state.slow, true) {
            return Pushed::Slow;
        }
        Pushed::Queued
    }

    /// Leaves the writing to a cork; `false` when this thread has none open. Then it does not wait
    /// for that of another thread either, whose turn may be a long one.
    fn cork(self: &Arc<Self>, state: &mut State) -> bool {
        if state.corked {
            return cork::is_open();
        }
        state.corked = cork::add(self);
        state.corked
    }

    /// Sends a parcel of the connection itself, after what waits.
    pub(crate) fn append(&self, parcel: Parcel) {
        let mut state = self.state.lock();
        state.outbox.append(parcel);
        self.note_waiting(&mut state);
    }

    /// Sends a parcel of the connection itself, before what waits.
    pub(crate) fn put_first(&self, parcel: Parcel) {
        let mut state = self.state.lock();
        state.outbox.put_first(parcel);
        self.note_waiting(&mut state);
    }

    fn note_waiting(&self, state: &mut State) {
        self.waiting.store(state.outbox.bytes(), Ordering::Relaxed);
        if state.slow || state.drained.is_some() {
            state.slow &= !state.outbox.keeps_up();
            state.drained.take_if(|_| state.outbox.bytes() == 0);
        }
    }

    /// Learns when nothing waits any more, or when nothing will be sent; `None` when that is so.
    pub(crate) fn drained(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state.lock();
        if !state.is_open() || state.outbox.bytes() == 0 {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let drained = state.drained.get_or_insert_default();
        // Who has given up waiting leaves nothing behind.
        drained.0.retain(|sender| !sender.is_closed());
        drained.0.push(sender);
        Some(receiver)
    }

    /// Bytes that wait or are being written.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Bytes that may still be pushed.
    pub(crate) fn outbox_bytes_left(&self) -> usize {
        self.state.lock().outbox.bytes_left()
    }

    /// Parcels that wait.
    pub(crate) fn outbox_len(&self) -> usize {
        self.state.lock().outbox.len()
    }

    /// The transport that the session is on, for requests that come beside it.
    pub(crate) fn transport(&self) -> Transport {
        let on_stream = self.on_stream.load(Ordering::Acquire);
        if on_stream { Transport::WebSocket } else { Transport::Polling }
    }

    pub(crate) fn deadline_ms(&self) -> u64 {
        self.deadline_ms.load(Ordering::SeqCst)
    }

    pub(crate) fn set_deadline_ms(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms, Ordering::SeqCst);
    }

    pub(crate) const fn scheduled(&self) -> &AtomicU64 {
        &self.scheduled
    }
}

/// The link of a client that polls, and that nobody runs.
#[cfg(test)]
pub(crate) fn for_tests() -> Arc<Link> {
    let id = SessionId::from_random([7; 15]);
    let dialect = Dialect::new(&roomful_proto::engine::Query::default());
    let handshake = Handshake::new(false, "/", "", [].into_iter(), None);
    let key = Key { index: 0, generation: 0 };
    Arc::new(Link::new(id, key, Transport::Polling, dialect, handshake, 100_000))
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use roomful_proto::Moment;
    use smallvec::SmallVec;

    use super::*;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    /// A session that is over answers no poll, though the timer has not rung yet.
    #[test]
    fn what_is_due_goes_before_a_poll_that_comes_then() {
        let link = for_tests();
        link.set_deadline_ms(10);
        let polled_at = |ms| {
            assert!(link.rest(false, true), "nothing is to be done");
            let (reply, _answer) = oneshot::channel();
            assert!(link.request_poll(Moment::from_millis(ms), FromHttp::Poll(reply)).is_ok());
            link.take().errands.map_or_else(SmallVec::new, |errands| errands.requests)
        };
        assert!(matches!(polled_at(9)[..], [FromHttp::Poll(_)]));
        assert!(matches!(polled_at(10)[..], [FromHttp::Due, FromHttp::Poll(_)]));
    }

    /// The task is over, and what wakes it would keep it in memory as long as anybody has a socket.
    #[test]
    fn what_wakes_a_task_is_not_kept_behind_its_end() {
        let (link, nobody) = (for_tests(), Arc::new(Nobody));
        let waker = Waker::from(Arc::clone(&nobody));
        link.attend(&waker);
        assert_eq!(Arc::strong_count(&nobody), 3);
        link.clear();
        assert!(link.take_resting(&waker).is_none());
        drop(waker);
        assert_eq!(Arc::strong_count(&nobody), 1);
    }
}
