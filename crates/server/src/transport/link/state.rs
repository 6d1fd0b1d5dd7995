//! [`State`]: what changes of a link, under its one lock.
//!
//! ```text
//! task       Awake ◀──▶ Asleep               a task that sleeps is woken, and looks at everything here
//! writing    Free ──▶ Busy ──▶ Free, Full, Broken
//! life       Open ──▶ Closed ──▶ Over
//! ```
//!
//! Where the connection itself is, its berth, has a [file of its own](super::berth).

use std::io::ErrorKind;
use std::task::Waker;

use tokio::sync::oneshot;

use super::berth::Berth;
use super::errands::{Errands, Order, Taken};
use super::writing::Flushed;
use crate::transport::outbox::Outbox;

pub(super) struct State {
    pub(super) outbox: Outbox,
    /// What others want of the task; absent while they want nothing.
    pub(super) errands: Option<Box<Errands>>,
    pub(super) waker: Option<Waker>,
    pub(super) task: Task,
    /// The time of the connection has come since the task last looked.
    pub(super) due: bool,
    pub(super) writing: Writing,
    /// There is a [`Link::writer`](super::Link): any task may write.
    pub(super) direct: bool,
    /// A task that sent to many will come round to write.
    pub(super) corked: bool,
    /// A body is being received.
    pub(super) posting: bool,
    pub(super) berth: Berth,
    pub(super) life: Life,
    /// More waits than should, and the application was told.
    pub(super) slow: bool,
    /// The tasks that wait until nothing waits to be sent.
    pub(super) drained: Option<Box<Drained>>,
}

/// The task of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// It runs, or has been woken, and will look at everything here.
    Awake,
    /// It rests until it is woken. It `keeps_poll`: of a poll it would only take note, so that one can wait
    /// here without it.
    Asleep { keeps_poll: bool },
}

/// What becomes of the bytes that wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// They can be written.
    Free,
    /// Somebody writes, and will see what is pushed meanwhile. The end is `awaited`: the task wants to know
    /// when all is written.
    Busy { awaited: bool },
    /// Nothing can be written now: the stream is full, or no poll waits.
    Full,
    /// Writing has failed, and the task does not know yet.
    Broken(ErrorKind),
}

/// What is still to come of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// The session has ended: nothing more is taken.
    Closed,
    /// The connection has been dropped.
    Over,
}

/// The tasks that wait until nothing waits to be sent. Apart, since few are waited for.
#[derive(Default)]
pub(super) struct Drained(pub(super) Vec<oneshot::Sender<()>>);

impl State {
    pub(super) fn new(outbox_bytes_max: usize) -> Self {
        Self {
            outbox: Outbox::new(outbox_bytes_max),
            errands: None,
            waker: None,
            task: Task::Awake,
            due: false,
            writing: Writing::Free,
            direct: false,
            corked: false,
            posting: false,
            berth: Berth::Away,
            life: Life::Open,
            slow: false,
            drained: None,
        }
    }

    pub(super) fn is_awake(&self) -> bool {
        self.task == Task::Awake
    }

    pub(super) fn is_open(&self) -> bool {
        self.life == Life::Open
    }

    /// Whether somebody must be told that something waits: nobody writes it, and it could be
    /// written.
    pub(super) fn is_unattended(&self) -> bool {
        !self.is_awake() && matches!(self.writing, Writing::Free | Writing::Broken(_))
    }

    /// Begins to write; `false` when another task writes already, or when there is nothing to write.
    pub(super) fn begin_writing(&mut self) -> bool {
        let is_busy = matches!(self.writing, Writing::Busy { .. });
        let begins = self.direct && !is_busy && !self.outbox.is_empty();
        if begins {
            self.writing = Writing::Busy { awaited: false };
        }
        begins
    }

    pub(super) fn end_writing(&mut self, flushed: Flushed) {
        let before = std::mem::replace(&mut self.writing, Writing::Free);
        if flushed == Flushed::All && before == (Writing::Busy { awaited: true }) {
            // A task that is about to rest is not woken, but looks whether something is due.
            self.due = true;
            self.wake();
        }
    }

    /// What the task has found of the stream, or of polls, when it rests. What another task does
    /// meanwhile stays.
    pub(super) fn note_blocked(&mut self, blocked: bool) {
        if matches!(self.writing, Writing::Free | Writing::Full) {
            self.writing = if blocked { Writing::Full } else { Writing::Free };
        }
    }

    pub(super) fn wake(&mut self) {
        if !self.is_awake() {
            self.task = Task::Awake;
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Keeps the waker of the task, for when it is wanted.
    pub(super) fn know(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// The session has ended: nothing more is taken.
    pub(super) fn close(&mut self) {
        if self.life == Life::Open {
            self.life = Life::Closed;
        }
        self.drained = None;
    }

    /// The client does not read: nothing more is sent to it.
    #[cold]
    pub(super) fn overflow(&mut self) {
        self.outbox.clear();
        self.close();
        self.errands().orders.push_back(Order::Cut);
        self.wake();
    }

    pub(super) fn errands(&mut self) -> &mut Errands {
        self.errands.get_or_insert_default()
    }

    pub(super) fn take(&mut self) -> Taken {
        Taken { errands: self.errands.take(), due: std::mem::take(&mut self.due) }
    }
}
