//! [`Impatient`]: a stream on which another HTTP library speaks, and whose peer must do its part: take
//! what is written, and send a head that it has begun.
//!
//! The HTTP library has no timer for an answer that nobody reads, one for idle connections and heads
//! together, and drops the stream when it is done with it. The stream then comes back to where it was
//! made, for what its peer [still sends](crate::http::front::linger).

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::transport::wire::Rewind;

/// A stream on which reading and writing fail when the peer lets the server wait for too long.
pub(crate) struct Impatient {
    stream: Option<Rewind>,
    patience: Patience,
    /// Rings when the peer has taken nothing for so long; while there is something to be taken.
    write_alarm: Option<Pin<Box<Sleep>>>,
    /// Rings when the head that has begun is not there.
    head_alarm: Option<Pin<Box<Sleep>>>,
    /// Which head that is.
    head: usize,
    /// The peer has let the server wait for too long, or nothing can be written: nobody is owed
    /// anything.
    failed: bool,
    speech: Arc<Speech>,
}

/// How long the peer is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// Until it takes some of what is written.
    pub(crate) write: Duration,
    /// Until a head that it has begun is there.
    pub(crate) head: Duration,
}

/// What those who serve and the stream tell each other.
pub(crate) struct Speech {
    /// It is HTTP: what becomes of the stream later may take its time.
    http: AtomicBool,
    /// The next bytes begin a head, or go on with one.
    between: AtomicBool,
    /// Requests that have their answer.
    answered: AtomicUsize,
    /// The stream, when HTTP is over and nothing else is spoken.
    left: Mutex<Option<Rewind>>,
}

impl Speech {
    /// A request was read, up to the end of its head.
    pub(crate) fn note_head(&self) {
        self.between.store(false, Ordering::Relaxed);
    }

    /// It has its answer, and had no body: what is read next is another request. Where there is a body,
    /// its rest may come behind the answer, and takes its time.
    pub(crate) fn note_answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.between.store(true, Ordering::Relaxed);
    }

    /// HTTP is over. Gives the stream back, unless somebody else has it.
    pub(crate) fn end(&self) -> Option<Rewind> {
        self.http.store(false, Ordering::Relaxed);
        self.left.lock().take()
    }
}

impl Impatient {
    pub(crate) fn new(stream: Rewind, patience: Patience) -> (Self, Arc<Speech>) {
        let speech = Arc::new(Speech {
            http: AtomicBool::new(true),
            between: AtomicBool::new(true),
            answered: AtomicUsize::new(0),
            left: Mutex::new(None),
        });
        let stream = Self {
            stream: Some(stream),
            patience,
            write_alarm: None,
            head_alarm: None,
            head: 0,
            failed: false,
            speech: Arc::clone(&speech),
        };
        (stream, speech)
    }

    /// The stream itself. Nobody has taken it before.
    pub(crate) fn into_inner(mut self) -> Option<Rewind> {
        self.stream.take()
    }

    fn is_http(&self) -> bool {
        self.speech.http.load(Ordering::Relaxed)
    }

    fn with<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut Rewind>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.stream {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn limit_writing<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = if written.is_ready() || !self.is_http() {
            self.write_alarm = None;
            written
        } else {
            ring(&mut self.write_alarm, self.patience.write, cx)
        };
        // Whoever does not take its answer need not be waited for.
        self.failed |= matches!(written, Poll::Ready(Err(_)));
        written
    }
}

/// Fails when an alarm rings, which is set if it is not.
fn ring<T>(
    alarm: &mut Option<Pin<Box<Sleep>>>,
    patience: Duration,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    let alarm = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
    alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
}

impl Drop for Impatient {
    fn drop(&mut self) {
        if self.is_http() && !self.failed {
            *self.speech.left.lock() = self.stream.take();
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        let read = self.with(|stream| AsyncRead::poll_read(stream, cx, to));
        let head = self.speech.answered.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.head, head) != head {
            self.head_alarm = None;
        }
        if !self.is_http() || !self.speech.between.load(Ordering::Relaxed) {
            self.head_alarm = None;
            return read;
        }
        if read.is_ready() {
            if to.filled().len() > before && self.head_alarm.is_none() {
                let head = self.patience.head;
                self.head_alarm = Some(Box::pin(tokio::time::sleep(head)));
            }
            return read;
        }
        match self.head_alarm {
            // Between two requests, for which the HTTP library has a timer of its own.
            None => Poll::Pending,
            Some(_) => {
                let head = self.patience.head;
                let rung = ring(&mut self.head_alarm, head, cx);
                self.failed |= rung.is_ready();
                rung
            }
        }
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.with(|stream| AsyncWrite::poll_write(stream, cx, from));
        self.limit_writing(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.with(|stream| AsyncWrite::poll_write_vectored(stream, cx, from));
        self.limit_writing(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.with(|stream| AsyncWrite::poll_flush(stream, cx));
        self.limit_writing(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.with(|stream| AsyncWrite::poll_shutdown(stream, cx));
        self.limit_writing(cx, shut)
    }
}
