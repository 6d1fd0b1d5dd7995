//! An answer as HTTP/1.1, on its way out.

use std::cell::Cell;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::http::answer::Answer;
use crate::transport::websocket::Wire;

/// A body up to this size is copied behind its head, so that both are one piece.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// What a head needs, mostly.
const HEAD_BYTES: usize = 256;

pub(super) struct Output {
    /// The head, and a small body.
    head: Vec<u8>,
    body: Bytes,
    written: usize,
}

impl Output {
    /// `last` says that the connection ends behind it.
    pub(super) fn new(answer: &Answer, last: bool, now: Instant) -> Self {
        let copied = answer.body.len() <= COPIED_BYTES_MAX;
        let copied_len = if copied { answer.body.len() } else { 0 };
        let mut head = Vec::with_capacity(HEAD_BYTES + copied_len);
        push_head(&mut head, answer, last, now);
        let body = if copied {
            head.extend_from_slice(&answer.body);
            Bytes::new()
        } else {
            answer.body.clone()
        };
        Self { head, body, written: 0 }
    }

    /// The bytes, of an answer without a body.
    pub(super) fn into_head(self) -> Vec<u8> {
        self.head
    }

    /// Writes as much as is taken; `true` when that was all.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire,
    ) -> Poll<io::Result<bool>> {
        let mut wire = Pin::new(wire);
        let len = self.head.len() + self.body.len();
        if self.written < len {
            let written = match self.head.get(self.written..).filter(|head| !head.is_empty()) {
                Some(head) if self.body.is_empty() => {
                    AsyncWrite::poll_write(wire.as_mut(), cx, head)
                }
                Some(head) => {
                    let slices = [IoSlice::new(head), IoSlice::new(&self.body)];
                    AsyncWrite::poll_write_vectored(wire.as_mut(), cx, &slices)
                }
                None => {
                    let body = &self.body[self.written - self.head.len()..];
                    AsyncWrite::poll_write(wire.as_mut(), cx, body)
                }
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        if self.written < len {
            return Poll::Ready(Ok(false));
        }
        ready!(AsyncWrite::poll_flush(wire, cx))?;
        Poll::Ready(Ok(true))
    }
}

fn push_head(head: &mut Vec<u8>, answer: &Answer, last: bool, now: Instant) {
    let status = answer.status;
    if status == StatusCode::OK {
        head.extend_from_slice(b"HTTP/1.1 200 OK");
    } else {
        head.extend_from_slice(b"HTTP/1.1 ");
        head.extend_from_slice(status.as_str().as_bytes());
        head.push(b' ');
        head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    }
    for (name, value) in answer.headers() {
        push_header(head, name, value);
    }
    if last && !answer.is_last() {
        push_header(head, "connection", b"close");
    }
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless {
        head.extend_from_slice(b"\r\ncontent-length: ");
        head.extend_from_slice(itoa::Buffer::new().format(answer.body.len()).as_bytes());
    }
    head.extend_from_slice(&date(now));
}

fn push_header(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
}

/// The header that says the time, and the end of the head, for it comes last.
const DATE: &[u8; 41] = b"\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
/// Where in it the time is.
const DATE_AT: usize = 8;

thread_local! {
    /// What was written last, and until when that is the time.
    static LAST: Cell<(Option<Instant>, [u8; DATE.len()])> = const { Cell::new((None, *DATE)) };
}

/// [`DATE`] as it is now; asked for and written once a second.
fn date(now: Instant) -> [u8; DATE.len()] {
    let (until, mut text) = LAST.get();
    if until.is_none_or(|until| until <= now) {
        let time = SystemTime::now();
        let begun = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        // It has room for this, which is always as long.
        let _ = write!(&mut text[DATE_AT..], "{}", httpdate::HttpDate::from(time));
        let until = now + (Duration::from_secs(1) - Duration::from_nanos(begun.into()));
        LAST.set((Some(until), text));
    }
    text
}
