//! [`Impatient`]: a stream whose peer must take what is written.
//!
//! The HTTP library has no timer for an answer that nobody reads: it would keep its connection, and that
//! its place among all, for ever.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::wire::Rewind;

/// A stream on which writing fails when nothing of it could be written for some time.
pub(crate) struct Impatient {
    stream: Rewind,
    patience: Duration,
    /// Rings when the peer has taken nothing for so long; while there is something to be taken.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Whether it speaks HTTP: what becomes of it later may take its time.
    http: Arc<AtomicBool>,
}

impl Impatient {
    /// With a flag that is to be taken back when HTTP is over.
    pub(crate) fn new(stream: Rewind, patience: Duration) -> (Self, Arc<AtomicBool>) {
        let http = Arc::new(AtomicBool::new(true));
        (Self { stream, patience, alarm: None, http: Arc::clone(&http) }, http)
    }

    pub(crate) fn into_inner(self) -> Rewind {
        self.stream
    }

    fn limit<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() || !self.http.load(Ordering::Relaxed) {
            self.alarm = None;
            return written;
        }
        let patience = self.patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.stream), cx, to)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, from);
        self.limit(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = AsyncWrite::poll_write_vectored(Pin::new(&mut self.stream), cx, from);
        self.limit(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx);
        self.limit(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = AsyncWrite::poll_shutdown(Pin::new(&mut self.stream), cx);
        self.limit(cx, shut)
    }
}
