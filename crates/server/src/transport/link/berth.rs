//! [`Berth`]: where a connection is that other tasks than its own may run.
//!
//! A client that polls has no stream of its own: the answer to a GET carries what waits. Its connection rests here
//! between two turns.
//!
//! - A GET that finds nothing to answer it waits in the link, and wakes nobody.
//! - A POST takes the connection out, runs its turn on the spot, on behalf of its task, and puts it back. That spares
//!   two changes of task.
//! - The connection's own task runs it for all else, such as time.
//!
//! ```text
//! Here ◀──▶ Away ──▶ Wanted ──▶ Here
//!   └─────────┴─────────┴─────▶ Orphaned
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use super::Link;
use super::errands::FromHttp;
use super::state::{Life, Task};

/// Where a connection is that others than its own task may run.
pub(super) enum Berth {
    /// Somebody runs it, or only its task may.
    Away,
    /// Somebody runs it, and its task came to run it meanwhile.
    Wanted,
    /// It rests here.
    Here(Resting),
    /// Its task has ended.
    Orphaned,
}

/// A connection that rests.
pub(crate) type Resting = Box<dyn Rests>;

/// A connection as its link knows it: a future that may be polled by another task than its own.
pub(crate) trait Rests: Future<Output = ()> + Send + Unpin {
    /// Whether it polls, and may go on resting in its link.
    fn is_polling(&self) -> bool;
}

impl Berth {
    /// The connection, if it rests here.
    fn leave(&mut self) -> Option<Resting> {
        match std::mem::replace(self, Self::Away) {
            Self::Here(connection) => Some(connection),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Link {
    /// As [`request`](Self::request), but a connection that rests here is given to the caller, who
    /// is to run it.
    pub(crate) fn request_running(
        &self,
        request: FromHttp,
    ) -> Result<Option<(Resting, Waker)>, FromHttp> {
        let mut state = self.state.lock();
        if !state.is_open() {
            return Err(request);
        }
        state.errands().requests.push(request);
        if !state.is_awake()
            && let Some(waker) = state.waker.clone()
            && let Some(connection) = state.berth.leave()
        {
            state.task = Task::Awake;
            return Ok(Some((connection, waker)));
        }
        state.wake();
        Ok(None)
    }

    /// Gives the connection to its task, to be run. Where another task runs it just now, this one is
    /// woken when that is done.
    pub(crate) fn take_resting(&self, waker: &Waker) -> Option<Resting> {
        let mut state = self.state.lock();
        let connection = state.berth.leave();
        if connection.is_none() && state.life != Life::Over {
            state.know(waker);
            if matches!(state.berth, Berth::Away) {
                state.berth = Berth::Wanted;
            }
        }
        connection
    }

    /// The connection was run; gives it back when its task has ended.
    pub(crate) fn put_resting(&self, connection: Resting) -> Option<Resting> {
        let mut state = self.state.lock();
        if matches!(state.berth, Berth::Orphaned) {
            return Some(connection);
        }
        let before = std::mem::replace(&mut state.berth, Berth::Here(connection));
        if matches!(before, Berth::Wanted)
            && let Some(waker) = &state.waker
        {
            waker.wake_by_ref();
        }
        None
    }

    /// The task of the connection has ended, before or after the connection.
    pub(crate) fn abandon(&self) -> Option<Resting> {
        let mut state = self.state.lock();
        let connection = state.berth.leave();
        state.berth = Berth::Orphaned;
        connection
    }

    /// Whether the connection has ended, and not only its session.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().life == Life::Over
    }
}

/// Runs a connection that rested, as its own task would: that task is woken for it.
pub(crate) fn run(link: &Link, mut connection: Resting, waker: &Waker) {
    let mut cx = Context::from_waker(waker);
    if Pin::new(&mut *connection).poll(&mut cx).is_pending() {
        drop(link.put_resting(connection));
    }
}
