//! Writing what waits in the outbox, by the task that is first.
//!
//! A TCP stream has two halves. The link has the writing half, and the connection's task reads the other one. So any
//! task that sends may write:
//!
//! - The client's own task writes at the end of its turn, by [`Link::flush`]. While it runs, or has been woken, nobody
//!   else needs to write.
//! - The turn of another client that sends to a client at rest puts it on the list of its thread. When that turn ends,
//!   the thread writes to each client on the list once, by [`Link::uncork`], and wakes nobody for it (see
//!   `transport/cork.rs`).
//! - Any other task that sends, such as one of the user's, has no turn that ends. It wakes the client's task, which
//!   writes.
//!
//! One task writes at a time: [`Writing`] says that one does, under the lock of the link. The task that writes takes
//! out all that waits, and looks again before it stops. So order is kept, and a parcel that is pushed meanwhile wakes
//! nobody. After 16 system calls, or when the stream is full, the rest is left to the client's task. The lock of the
//! link is not held while the stream is called. The lock around the writing half is held for that one call.
//!
//! Any other stream than TCP has no halves here. Its own task alone writes to it, in its own way, by
//! [`Link::take_batch`].

use std::io::{self, ErrorKind, IoSlice};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use parking_lot::MutexGuard;
use roomful_proto::Form;
use tokio::net::tcp::OwnedWriteHalf;

use super::Link;
use super::state::{State, Writing};
use crate::transport::outbox::Batch;

/// System calls that write for one client before others get their turn.
const WRITES_PER_FLUSH: usize = 16;

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
    /// From now on a stream carries the session. With a `writer`, what waits can be written by
    /// any task.
    pub(crate) fn set_stream(&self, writer: Option<OwnedWriteHalf>, form: Form) {
        let direct = writer.is_some();
        *self.writer.lock() = writer;
        let mut state = self.state.lock();
        state.direct = direct;
        // That no poll waited says nothing about the stream.
        state.note_blocked(false);
        state.outbox.set_form(form);
        // Last: requests that come beside it are told from now on.
        self.on_stream.store(true, Ordering::Release);
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
        let was_full = match state.writing {
            Writing::Busy { .. } => return Flushed::Elsewhere,
            Writing::Broken(kind) => {
                state.writing = Writing::Free;
                return Flushed::Broken(kind);
            }
            Writing::Full => true,
            Writing::Free => false,
        };
        state.writing = Writing::Free;
        if !state.begin_writing() {
            return Flushed::All;
        }
        let form = state.outbox.form();
        let batch = state.outbox.take();
        drop(state);
        let (mut state, flushed) = self.write(batch, form, was_full);
        state.note_blocked(flushed == Flushed::Blocked);
        flushed
    }

    /// Writes what waits, for a task that sent to many.
    pub(crate) fn uncork(&self) {
        let mut state = self.state.lock();
        state.corked = false;
        if state.is_awake() || state.writing == Writing::Full || !state.begin_writing() {
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
                state.writing = Writing::Full;
                state.wake();
            }
            Flushed::More => state.wake(),
            Flushed::Broken(kind) => {
                state.writing = Writing::Broken(kind);
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

    /// Writes until nothing waits, and gives the lock back with which that was seen. `was_full` says
    /// that the stream took nothing before, so that what it takes now the peer has made room for.
    fn write(
        &self,
        mut batch: Batch,
        form: Form,
        was_full: bool,
    ) -> (MutexGuard<'_, State>, Flushed) {
        let mut flushed = Flushed::More;
        for _ in 0..WRITES_PER_FLUSH {
            let written = batch.write(form, |slices| self.try_write(slices));
            match &written {
                Ok(len @ 1..) => {
                    batch.written(*len, form);
                    if was_full {
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
                state.end_writing(flushed);
                return (state, flushed);
            }
            batch = state.outbox.take();
        }
        let mut state = self.state.lock();
        state.outbox.give_back(batch);
        self.note_waiting(&mut state);
        state.end_writing(flushed);
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
        if self.state.lock().writing == Writing::Full {
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

    /// The task wants to know when all is written, though another writes it.
    pub(crate) fn await_flush(&self) {
        let mut state = self.state.lock();
        match &mut state.writing {
            Writing::Busy { awaited } => *awaited = true,
            Writing::Free | Writing::Full | Writing::Broken(_) => state.due = true,
        }
    }
}
