//! [`Link`]: the half of a connection that other tasks hold.
//!
//! They put parcels into its outbox, hand it HTTP requests and give it orders; the connection's own
//! task takes up the requests and orders. One small lock guards it. It is never held while user
//! code runs, anything waits or the stream is called, and no other lock is ever taken under it.
//!
//! What waits in the outbox is written by whoever is first: the connection's own task at the end of
//! its turn, or, where a stream can be written to from outside, the task that sent to many and now
//! comes round to write (see [`cork`](crate::transport::cork)). Whoever writes takes out all that waits, so
//! order is kept, and only one writes at a time.
//!
//! While a client polls, the connection itself rests in here between two turns, and a request that
//! brings a body takes it out and runs it on behalf of its task (see
//! [`Guarded`](crate::connection::Guarded)).
//!
//! All of this changes under the one lock, which is why it is one long file.
//!
//! The connection's task says when it rests. Only then does a push wake it: a task that is running
//! looks again by itself before it rests.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use roomful_proto::engine::Transport;
use roomful_proto::{Form, Letter, Moment, Parcel, Reason, SessionId, SocketId};
use smallvec::SmallVec;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;

use crate::ground::dialect::Dialect;
use crate::ground::farewell::Description;
use crate::ground::handshake::Handshake;
use crate::ground::target::Reliability;
use crate::transport::cork;
use crate::transport::outbox::{Batch, COPIED_BYTES_MAX, Full, Outbox};
use crate::transport::polling::{BodyReply, PollReply};
use crate::transport::websocket::WebSocket;

/// Requests that are brought to one turn without a queue of their own: mostly a poll and a body.
const REQUESTS: usize = 2;
/// System calls that write for one client before others get their turn.
const WRITES_PER_FLUSH: usize = 16;

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
    /// The session is on a WebSocket.
    on_websocket: AtomicBool,
    /// Bytes of a request have come, or the client has taken some that it was slow to take, since the
    /// connection last looked.
    moved: AtomicBool,
    pub(crate) handshake: Handshake,
}

struct State {
    outbox: Outbox,
    /// What others want of the task; absent while they want nothing.
    errands: Option<Box<Errands>>,
    waker: Option<Waker>,
    /// The task is running, or has been woken, and will look at everything here.
    attentive: bool,
    /// The time of the connection has come since the task last looked.
    due: bool,
    /// Nothing can be written now: the socket is full, or no poll waits.
    blocked: bool,
    /// There is a [`Link::writer`].
    direct: bool,
    /// Letters can be joined: a WebSocket carries the session. Those that its client takes in another form
    /// are left out by the outbox.
    joins: bool,
    /// Somebody is writing, and will see what is pushed meanwhile.
    writing: bool,
    /// A task that sent to many will come round to write.
    corked: bool,
    /// Writing has failed, and the task does not know yet.
    broken: Option<ErrorKind>,
    /// The task wants to know when all is written.
    awaited: bool,
    /// A body is being received.
    posting: bool,
    /// A poll can wait here: the task would only take note of it.
    polls_wait: bool,
    /// The connection itself, while nobody runs it, where others than its task may.
    resting: Option<Resting>,
    /// Its task came to run it while another did.
    missed: bool,
    /// Its task has ended.
    abandoned: bool,
    /// It has been dropped.
    over: bool,
    closed: bool,
    /// More waits than should, and whoever wants to know was told.
    slow: bool,
    /// Who waits until nothing waits.
    drained: Option<Box<Drained>>,
}

/// Those who wait until nothing waits to be sent. Apart, since few are waited for.
#[derive(Default)]
struct Drained(Vec<oneshot::Sender<()>>);

/// What an HTTP request brings.
pub(crate) enum Request {
    Poll(oneshot::Sender<PollReply>),
    Body(bytes::Bytes, oneshot::Sender<BodyReply>),
    /// A body was given up, or is none that can be taken.
    BodyBroken(Description),
    /// A poll was given up.
    PollGone,
    /// Time is to be looked at before what comes next.
    Due,
    Probe(Box<WebSocket>),
}

/// What another task wants of the connection.
pub(crate) enum Order {
    /// Join `/` for a client that does not ask for it.
    JoinMain,
    /// Take this socket out of its namespace.
    Leave(SocketId, Option<Description>),
    /// Close the connection.
    Close(Reason, Option<Description>),
    /// Drop the connection at once: its client does not read.
    Cut,
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

/// A connection that rests.
pub(crate) type Resting = Box<dyn Rests>;

/// A connection, as far as it rests in its link: a task that may be run by another.
pub(crate) trait Rests: Future<Output = ()> + Send + Unpin {
    /// Whether it polls, and may go on resting there.
    fn is_polling(&self) -> bool;
}

/// What others want of a connection.
#[derive(Default)]
pub(crate) struct Errands {
    pub(crate) requests: SmallVec<[Request; REQUESTS]>,
    pub(crate) orders: VecDeque<Order>,
}

/// What the connection's task takes up when it runs.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) errands: Option<Box<Errands>>,
    /// Its time has come.
    pub(crate) due: bool,
}

/// How far writing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is written.
    All,
    /// There is more, and it could be written now.
    More,
    /// The stream takes no more for now.
    Blocked,
    /// Another task is writing, and goes on until all is written.
    Elsewhere,
    Broken(ErrorKind),
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
        let state = State {
            outbox: Outbox::new(outbox_bytes_max),
            errands: None,
            waker: None,
            attentive: true,
            due: false,
            blocked: false,
            direct: false,
            joins: false,
            writing: false,
            corked: false,
            broken: None,
            awaited: false,
            posting: false,
            polls_wait: false,
            resting: None,
            missed: false,
            abandoned: false,
            over: false,
            closed: false,
            slow: false,
            drained: None,
        };
        Self {
            id,
            key,
            dialect,
            state: Mutex::new(state),
            writer: Mutex::new(None),
            waiting: AtomicUsize::new(0),
            deadline_ms: AtomicU64::new(u64::MAX),
            scheduled: AtomicU64::new(u64::MAX),
            on_websocket: AtomicBool::new(transport == Transport::WebSocket),
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
            if state.attentive && state.joins {
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
        if state.closed {
            return Pushed::Gone;
        }
        let volatile = reliability == Reliability::Volatile;
        if volatile && (state.blocked || state.outbox.is_behind()) {
            return Pushed::Dropped;
        }
        if let Err(full) = push(&mut state)
            && !state.outbox.push_one_more(full)
        {
            if volatile {
                // It is reliability no connection.
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

    /// From now on a WebSocket carries the session. With a `writer`, what waits can be written by
    /// any task.
    pub(crate) fn set_websocket(&self, writer: Option<OwnedWriteHalf>, form: Form) {
        let direct = writer.is_some();
        *self.writer.lock() = writer;
        let mut state = self.state.lock();
        state.direct = direct;
        state.joins = true;
        // That no poll waited says nothing about the stream.
        state.blocked = false;
        state.outbox.set_form(form);
    }

    /// Closes this direction of the stream.
    pub(crate) fn shut_writer(&self) {
        drop(self.take_writer());
    }

    /// Gives this half of the stream up. With the other one it closes the stream, and needs no system
    /// call of its own for that.
    pub(crate) fn drop_writer(&self) {
        if let Some(writer) = self.take_writer() {
            writer.forget();
        }
    }

    fn take_writer(&self) -> Option<OwnedWriteHalf> {
        self.state.lock().direct = false;
        self.writer.lock().take()
    }

    /// Takes out all that waits, for the connection's task to write in its own way.
    pub(crate) fn take_batch(&self) -> Batch {
        self.state.lock().outbox.take()
    }

    /// Takes back what was not written.
    pub(crate) fn give_back(&self, batch: Batch) {
        let mut state = self.state.lock();
        state.outbox.give_back(batch);
        self.note_waiting(&mut state);
    }

    /// What a probe still has to write goes before all else, now that it carries the session.
    pub(crate) fn adopt(&self, batch: Batch) {
        let mut state = self.state.lock();
        state.outbox.adopt(batch);
        self.note_waiting(&mut state);
    }

    /// Writes what waits, for the connection's task.
    pub(crate) fn flush(&self) -> Flushed {
        let mut state = self.state.lock();
        if let Some(kind) = state.broken.take() {
            return Flushed::Broken(kind);
        }
        if state.writing {
            return Flushed::Elsewhere;
        }
        let was_blocked = std::mem::take(&mut state.blocked);
        if !state.begin() {
            return Flushed::All;
        }
        let form = state.outbox.form();
        let batch = state.outbox.take();
        drop(state);
        let (mut state, flushed) = self.write(batch, form, was_blocked);
        state.blocked = flushed == Flushed::Blocked;
        flushed
    }

    /// Writes what waits, for a task that sent to many.
    pub(crate) fn uncork(&self) {
        let mut state = self.state.lock();
        state.corked = false;
        if state.attentive || state.blocked || !state.begin() {
            // The connection's own task writes it, or another does already.
            return;
        }
        let form = state.outbox.form();
        let batch = state.outbox.take();
        drop(state);
        let (mut state, flushed) = self.write(batch, form, false);
        match flushed {
            Flushed::All | Flushed::Elsewhere => {}
            Flushed::Blocked => {
                state.blocked = true;
                state.wake();
            }
            Flushed::More => state.wake(),
            Flushed::Broken(kind) => {
                state.broken = Some(kind);
                state.wake();
            }
        }
    }

    /// A task that was to write will not: the connection's own does.
    pub(crate) fn leave_corked(&self) {
        let mut state = self.state.lock();
        state.corked = false;
        state.wake();
    }

    /// Writes until nothing waits, and gives the lock back with which that was seen. `was_blocked` says
    /// that the stream took nothing before, so that what it takes now the peer has made room for.
    fn write(
        &self,
        mut batch: Batch,
        form: Form,
        was_blocked: bool,
    ) -> (parking_lot::MutexGuard<'_, State>, Flushed) {
        let mut flushed = Flushed::More;
        for _ in 0..WRITES_PER_FLUSH {
            let written = batch.write(form, |slices| self.try_write(slices));
            match &written {
                Ok(len @ 1..) => {
                    batch.written(*len, form);
                    if was_blocked {
                        self.note_moved();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => flushed = Flushed::Blocked,
                Ok(_) => flushed = Flushed::Broken(ErrorKind::WriteZero),
                Err(error) => flushed = Flushed::Broken(error.kind()),
            }
            if written.is_ok() && !batch.is_empty() && flushed == Flushed::More {
                continue;
            }
            let mut state = self.state.lock();
            state.outbox.give_back(batch);
            self.note_waiting(&mut state);
            if flushed == Flushed::More && state.outbox.is_empty() {
                flushed = Flushed::All;
            }
            if flushed != Flushed::More {
                state.end(flushed);
                return (state, flushed);
            }
            batch = state.outbox.take();
        }
        let mut state = self.state.lock();
        state.outbox.give_back(batch);
        self.note_waiting(&mut state);
        state.end(flushed);
        (state, flushed)
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (&*self.writer.lock(), slices) {
            (Some(writer), [slice]) => writer.try_write(slice),
            (Some(writer), slices) => writer.try_write_vectored(slices),
            (None, _) => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// The client is there: bytes of its request have come, or it has taken some that it was slow to take.
    pub(crate) fn note_moved(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Something was written by the connection's task in its own way: a sign of life if the stream took
    /// nothing before.
    pub(crate) fn note_written(&self) {
        if self.state.lock().blocked {
            self.note_moved();
        }
    }

    /// Whether bytes have moved since this was asked last.
    pub(crate) fn take_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }

    /// Waits until the stream can be written to again.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.writer.lock() {
            Some(writer) => writer.as_ref().poll_write_ready(cx),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
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
        if state.closed || state.outbox.bytes() == 0 {
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

    /// The task wants to know when all is written, though another writes it.
    pub(crate) fn await_flush(&self) {
        let mut state = self.state.lock();
        state.awaited = state.writing;
        if !state.writing {
            state.due = true;
        }
    }

    /// Hands over an HTTP request; gives it back when the connection has ended.
    pub(crate) fn request(&self, request: Request) -> Result<(), Request> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(request);
        }
        state.errands().requests.push(request);
        state.wake();
        Ok(())
    }

    /// As [`request`](Self::request), for a poll. While nothing is to be sent, it waits here for
    /// whatever wakes the task next. A poll that comes when the time of the connection has come goes
    /// behind that, though the timer may be a little late: a session that is over answers no poll.
    pub(crate) fn request_poll(&self, now: Moment, request: Request) -> Result<(), Request> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(request);
        }
        let is_late = self.deadline_ms() <= now.as_millis();
        let rests = !state.attentive && state.polls_wait && state.outbox.is_empty();
        let waits = rests && !is_late;
        if is_late {
            state.errands().requests.push(Request::Due);
        }
        state.errands().requests.push(request);
        if waits {
            state.polls_wait = false;
            state.blocked = false;
        } else {
            state.wake();
        }
        Ok(())
    }

    /// As [`request`](Self::request), but a connection that rests here is given to the caller, who
    /// is to run it: that spares two changes of task.
    pub(crate) fn request_running(
        &self,
        request: Request,
    ) -> Result<Option<(Resting, Waker)>, Request> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(request);
        }
        state.errands().requests.push(request);
        if !state.attentive
            && state.resting.is_some()
            && let Some(waker) = state.waker.clone()
            && let Some(connection) = state.resting.take()
        {
            state.attentive = true;
            return Ok(Some((connection, waker)));
        }
        state.wake();
        Ok(None)
    }

    /// Gives the connection to its task, to be run. Where another task runs it just now, this one is
    /// woken when that is done.
    pub(crate) fn take_resting(&self, waker: &Waker) -> Option<Resting> {
        let mut state = self.state.lock();
        let connection = state.resting.take();
        if connection.is_none() && !state.over {
            state.missed = true;
            if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                state.waker = Some(waker.clone());
            }
        }
        connection
    }

    /// The connection was run; gives it back when its task has ended.
    pub(crate) fn put_resting(&self, connection: Resting) -> Option<Resting> {
        let mut state = self.state.lock();
        if state.abandoned {
            return Some(connection);
        }
        state.resting = Some(connection);
        if std::mem::take(&mut state.missed)
            && let Some(waker) = &state.waker
        {
            waker.wake_by_ref();
        }
        None
    }

    /// The task of the connection has ended, before or after the connection.
    pub(crate) fn abandon(&self) -> Option<Resting> {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.resting.take()
    }

    /// Whether the connection has ended, and not only its session.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().over
    }

    /// Says that a body is coming; `false` when one already is.
    pub(crate) fn begin_body(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().posting, true)
    }

    /// The body has been answered.
    pub(crate) fn end_body(&self) {
        self.state.lock().posting = false;
    }

    pub(crate) fn order(&self, order: Order) {
        let mut state = self.state.lock();
        if !state.closed {
            state.errands().orders.push_back(order);
            state.wake();
        }
    }

    /// Makes the task run: its time has come.
    pub(crate) fn nudge(&self) {
        let mut state = self.state.lock();
        state.due = true;
        state.wake();
    }

    /// The task begins to run.
    pub(crate) fn attend(&self, waker: &Waker) -> Taken {
        let mut state = self.state.lock();
        state.attentive = true;
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        state.take()
    }

    /// Takes up what came while the task was running.
    pub(crate) fn take(&self) -> Taken {
        self.state.lock().take()
    }

    /// The task wants to rest; `false` when something came meanwhile. `blocked` says that it could
    /// not write if something came, `polls_wait` that it would only take note of a poll.
    pub(crate) fn rest(&self, blocked: bool, polls_wait: bool) -> bool {
        let mut state = self.state.lock();
        state.blocked = blocked;
        state.polls_wait = polls_wait;
        let waits = !(blocked || state.outbox.is_empty() || state.writing || state.corked);
        let idle = !(waits || state.due || state.broken.is_some() || state.errands.is_some());
        if idle {
            state.attentive = false;
        }
        idle
    }

    /// The connection has ended: nothing is taken any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.drained = None;
        let errands = state.errands.take();
        drop(state);
        // A stream of the user's may be among them.
        drop(errands);
    }

    /// Drops everything that holds memory; the task is about to end.
    pub(crate) fn clear(&self) {
        self.drop_writer();
        let mut state = self.state.lock();
        state.closed = true;
        state.drained = None;
        state.outbox.clear();
        state.over = true;
        let errands = state.errands.take();
        let waker = state.waker.take();
        drop(state);
        // A stream of the user's may be among them.
        drop(errands);
        // Its task, where another ran it.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The transport that the session is on, for requests that come beside it.
    pub(crate) fn transport(&self) -> Transport {
        let on_websocket = self.on_websocket.load(Ordering::Acquire);
        if on_websocket { Transport::WebSocket } else { Transport::Polling }
    }

    pub(crate) fn set_transport(&self, transport: Transport) {
        self.on_websocket.store(transport == Transport::WebSocket, Ordering::Release);
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

impl State {
    /// Whether somebody must be told that something waits: nobody writes it, and it could be
    /// written.
    const fn is_unattended(&self) -> bool {
        !(self.attentive || self.blocked || self.writing)
    }

    /// Begins to write; `false` when another does already, or when there is nothing to write.
    fn begin(&mut self) -> bool {
        let begins = self.direct && !self.writing && !self.outbox.is_empty();
        self.writing |= begins;
        begins
    }

    fn end(&mut self, flushed: Flushed) {
        self.writing = false;
        if flushed == Flushed::All && std::mem::take(&mut self.awaited) {
            // A task that is about to rest is not woken, but looks whether something is due.
            self.due = true;
            self.wake();
        }
    }

    fn wake(&mut self) {
        if !self.attentive {
            self.attentive = true;
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Its client does not read: nothing more is sent to it.
    #[cold]
    fn overflow(&mut self) {
        self.outbox.clear();
        self.closed = true;
        self.drained = None;
        self.errands().orders.push_back(Order::Cut);
        self.wake();
    }

    fn errands(&mut self) -> &mut Errands {
        self.errands.get_or_insert_default()
    }

    fn take(&mut self) -> Taken {
        Taken { errands: self.errands.take(), due: std::mem::take(&mut self.due) }
    }
}

/// Runs a connection that rested, as its own task would: it is that which is woken for it.
pub(crate) fn run(link: &Link, mut connection: Resting, waker: &Waker) {
    let mut cx = Context::from_waker(waker);
    if Pin::new(&mut *connection).poll(&mut cx).is_pending() {
        drop(link.put_resting(connection));
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
    use std::task::Wake;

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
            assert!(link.request_poll(Moment::from_millis(ms), Request::Poll(reply)).is_ok());
            link.take().errands.map_or_else(SmallVec::new, |errands| errands.requests)
        };
        assert!(matches!(polled_at(9)[..], [Request::Poll(_)]));
        assert!(matches!(polled_at(10)[..], [Request::Due, Request::Poll(_)]));
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
