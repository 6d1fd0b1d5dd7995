//! [`Link`]: the half of a connection that other tasks hold.
//!
//! They put parcels into its outbox, hand it HTTP requests and give it orders; the connection's own
//! task takes all of that up. One small lock guards it. It is never held while user code runs or
//! anything waits, and no other lock is ever taken under it.
//!
//! The connection's task says when it rests. Only then does a push wake it: a task that is running
//! looks again by itself before it rests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use roomful_proto::engine::Transport;
use roomful_proto::{Parcel, Reason, SessionId, SocketId};
use tokio::sync::oneshot;

use crate::handshake::Handshake;
use crate::outbox::Outbox;
use crate::polling::{BodyReply, PollReply};
use crate::sessions::Key;
use crate::websocket::WebSocket;

/// The half of a connection that other tasks hold.
pub(crate) struct Link {
    pub(crate) id: SessionId,
    pub(crate) key: Key,
    pub(crate) handshake: Handshake,
    state: Mutex<State>,
    /// When the connection wants to run next, in milliseconds; read by the wheel.
    deadline_ms: AtomicU64,
    /// The session is on a WebSocket.
    on_websocket: AtomicBool,
    /// The tick of the wheel that holds the connection; see there.
    scheduled: AtomicU64,
}

struct State {
    outbox: Outbox,
    requests: VecDeque<Request>,
    orders: VecDeque<Order>,
    waker: Option<Waker>,
    /// The task is running, or has been woken, and will look at everything here.
    attentive: bool,
    /// The time of the connection has come since the task last looked.
    due: bool,
    /// Nothing can be written now: the socket is full, or no poll waits.
    blocked: bool,
    /// A body is being received.
    posting: bool,
    closed: bool,
}

/// What an HTTP request brings.
pub(crate) enum Request {
    Poll(oneshot::Sender<PollReply>),
    Body(bytes::Bytes, oneshot::Sender<BodyReply>),
    BodyBroken,
    Probe(Box<WebSocket>),
}

/// What another task wants of the connection.
pub(crate) enum Order {
    /// Take this socket out of its namespace.
    Leave(SocketId),
    /// Close the connection.
    Close(Reason),
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
    /// A volatile parcel that could not leave at once.
    Dropped,
}

/// How much a parcel is worth to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    Kept,
    Volatile,
}

/// What the connection's task takes up when it runs.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) requests: VecDeque<Request>,
    pub(crate) orders: VecDeque<Order>,
}

impl Link {
    pub(crate) fn new(
        id: SessionId,
        key: Key,
        transport: Transport,
        handshake: Handshake,
        outbox_bytes_max: usize,
    ) -> Self {
        let state = State {
            outbox: Outbox::new(outbox_bytes_max),
            requests: VecDeque::new(),
            orders: VecDeque::new(),
            waker: None,
            attentive: true,
            due: false,
            blocked: false,
            posting: false,
            closed: false,
        };
        Self {
            id,
            key,
            handshake,
            state: Mutex::new(state),
            on_websocket: AtomicBool::new(transport == Transport::WebSocket),
            deadline_ms: AtomicU64::new(u64::MAX),
            scheduled: AtomicU64::new(u64::MAX),
        }
    }

    /// Puts a parcel into the outbox.
    pub(crate) fn push(&self, parcel: Parcel, worth: Worth) -> Pushed {
        let mut state = self.state.lock();
        if state.closed {
            return Pushed::Gone;
        }
        if worth == Worth::Volatile && state.blocked {
            return Pushed::Dropped;
        }
        if state.outbox.push(parcel).is_err() {
            state.outbox.clear();
            state.closed = true;
            state.orders.push_back(Order::Cut);
            state.wake();
            return Pushed::Overflow;
        }
        if !state.blocked {
            state.wake();
        }
        Pushed::Queued
    }

    /// Hands over an HTTP request; gives it back when the connection has ended.
    pub(crate) fn request(&self, request: Request) -> Result<(), Request> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(request);
        }
        state.requests.push_back(request);
        state.wake();
        Ok(())
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
            state.orders.push_back(order);
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

    /// Counts a parcel that goes past the outbox.
    pub(crate) fn charge(&self, cost: usize) {
        self.state.lock().outbox.charge(cost);
    }

    /// Moves what waits into `sending`, and reports what was written since the last time.
    pub(crate) fn take_outbox(&self, sending: &mut VecDeque<Parcel>, written: &mut usize) {
        let mut state = self.state.lock();
        state.outbox.sent(std::mem::take(written));
        state.outbox.take(sending);
    }

    /// Bytes that wait or are being sent.
    pub(crate) fn outbox_bytes(&self) -> usize {
        self.state.lock().outbox.bytes()
    }

    /// The task wants to rest; `false` when something came meanwhile. `blocked` says that it could
    /// not write if something came.
    pub(crate) fn rest(&self, blocked: bool, written: &mut usize) -> bool {
        let mut state = self.state.lock();
        state.outbox.sent(std::mem::take(written));
        state.blocked = blocked;
        let idle = !state.due
            && state.requests.is_empty()
            && state.orders.is_empty()
            && (blocked || state.outbox.is_empty());
        if idle {
            state.attentive = false;
            state.outbox.shrink();
        }
        idle
    }

    /// The connection has ended: nothing is taken any more.
    pub(crate) fn close(&self) -> Taken {
        let mut state = self.state.lock();
        state.closed = true;
        state.take()
    }

    /// Drops everything that holds memory; the task is about to end.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.outbox.clear();
        state.requests.clear();
        state.orders.clear();
        state.waker = None;
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
    fn wake(&mut self) {
        if !self.attentive {
            self.attentive = true;
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }

    fn take(&mut self) -> Taken {
        self.due = false;
        Taken {
            requests: std::mem::take(&mut self.requests),
            orders: std::mem::take(&mut self.orders),
        }
    }
}
