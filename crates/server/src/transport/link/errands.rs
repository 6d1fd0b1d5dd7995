//! [`Errands`]: what others want of a connection, and when its task rests.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use roomful_proto::{Moment, Reason, SocketId};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::Link;
use super::state::{Life, Task, Writing};
use crate::ground::farewell::Description;
use crate::transport::polling::{BodyReply, PollReply};
use crate::transport::stream::Stream;

/// Requests that are brought to one turn without a queue of their own: mostly a poll and a body.
const REQUESTS: usize = 2;

/// What an HTTP request brings.
pub(crate) enum FromHttp {
    Poll(oneshot::Sender<PollReply>),
    Body(Bytes, oneshot::Sender<BodyReply>),
    /// A body that another node has received. Unlike one that was received here, it may come late, when its client
    /// has come over to a stream already.
    Forwarded(Bytes, oneshot::Sender<BodyReply>),
    /// A body was given up, or is none that can be taken.
    BodyBroken(Description),
    /// A poll was given up.
    PollGone,
    /// Time is to be looked at before what comes next.
    Due,
    Probe(Box<Stream>),
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

/// What others want of a connection.
#[derive(Default)]
pub(crate) struct Errands {
    pub(crate) requests: SmallVec<[FromHttp; REQUESTS]>,
    pub(crate) orders: VecDeque<Order>,
}

/// What the connection's task takes up when it runs.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) errands: Option<Box<Errands>>,
    /// Its time has come.
    pub(crate) due: bool,
}

impl Link {
    /// Hands over an HTTP request; gives it back when the connection has ended.
    pub(crate) fn request(&self, request: FromHttp) -> Result<(), FromHttp> {
        let mut state = self.state.lock();
        if !state.is_open() {
            return Err(request);
        }
        state.errands().requests.push(request);
        state.wake();
        Ok(())
    }

    /// As [`request`](Self::request), for a poll. While nothing is to be sent, it waits here for
    /// whatever wakes the task next. A poll that comes when the time of the connection has come goes
    /// behind that, though the timer may be a little late: a session that is over answers no poll.
    pub(crate) fn request_poll(&self, now: Moment, request: FromHttp) -> Result<(), FromHttp> {
        let mut state = self.state.lock();
        if !state.is_open() {
            return Err(request);
        }
        let is_late = self.deadline_ms() <= now.as_millis();
        let keeps_poll = state.task == (Task::Asleep { keeps_poll: true });
        let waits = keeps_poll && state.outbox.is_empty() && !is_late;
        if is_late {
            state.errands().requests.push(FromHttp::Due);
        }
        state.errands().requests.push(request);
        if waits {
            state.task = Task::Asleep { keeps_poll: false };
            state.note_blocked(false);
        } else {
            state.wake();
        }
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
        if state.is_open() {
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
        state.task = Task::Awake;
        state.know(waker);
        state.take()
    }

    /// Takes up what came while the task was running.
    pub(crate) fn take(&self) -> Taken {
        self.state.lock().take()
    }

    /// The task wants to rest; `false` when something came meanwhile. `blocked` says that it could
    /// not write if something came, `keeps_poll` that it would only take note of a poll.
    pub(crate) fn rest(&self, blocked: bool, keeps_poll: bool) -> bool {
        let mut state = self.state.lock();
        state.note_blocked(blocked);
        let is_free = state.writing == Writing::Free;
        let waits = is_free && !state.outbox.is_empty() && !state.corked;
        let is_broken = matches!(state.writing, Writing::Broken(_));
        let rests = !(waits || is_broken || state.due || state.errands.is_some());
        if rests {
            state.task = Task::Asleep { keeps_poll };
        }
        rests
    }

    /// The connection has ended: nothing is taken any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.close();
        let errands = state.errands.take();
        drop(state);
        // A stream of the user's may be among them.
        drop(errands);
    }

    /// Drops everything that holds memory; the task is about to end.
    pub(crate) fn clear(&self) {
        self.drop_writer();
        let mut state = self.state.lock();
        state.close();
        state.life = Life::Over;
        state.outbox.clear();
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
}
