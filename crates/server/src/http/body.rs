//! [`Body`]: what an answer carries. And how the body of a request is received.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::ground::metrics::Metrics;
use crate::http::front::BODY_PART_BYTES;
use crate::http::front::linger::{LINGER_BYTES_MAX, LINGER_STALL_TIMEOUT, LINGER_TIMEOUT};
use crate::transport::link::Link;

/// Bytes that an HTTP library is given at a time, where it matters how far the client has come.
const PIECE_BYTES: usize = 64 * 1024;

/// What an answer of the server carries: bytes that are already there.
#[derive(Default)]
pub struct Body {
    bytes: Bytes,
    /// The session of the client that takes it.
    taker: Option<Arc<Link>>,
}

impl Body {
    /// To take it is a sign of life of that session. What has one piece tells nothing.
    pub(crate) fn taken_by(self, taker: Option<Arc<Link>>) -> Self {
        Self { taker: taker.filter(|_| self.bytes.len() > PIECE_BYTES), ..self }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, taker: None }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let piece = match &self.taker {
            // It asks for the next piece when the one before is written.
            Some(taker) => {
                taker.note_moved();
                let len = self.bytes.len().min(PIECE_BYTES);
                self.bytes.split_to(len)
            }
            None => std::mem::take(&mut self.bytes),
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Why the body of a request was not received.
pub(crate) enum NotReceived {
    TooLarge,
    Broken,
    TooSlow,
}

impl NotReceived {
    /// Counts it, unless nobody is there any more to be refused.
    pub(crate) fn count(&self, metrics: &Metrics) {
        match self {
            Self::TooLarge | Self::TooSlow => metrics.bodies_refused.add(),
            Self::Broken => {}
        }
    }
}

/// Receives a body of at most so many bytes, and never holds more. Each [part](BODY_PART_BYTES) of it has
/// its time; whenever some of it has come and more is to come, that is noted.
pub(crate) async fn receive<B>(
    mut body: Pin<&mut B>,
    (bytes_max, patience): (usize, Duration),
    note_moved: impl Fn() + Send,
) -> Result<Bytes, NotReceived>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(NotReceived::TooLarge);
    }
    let mut received = Vec::new();
    let mut until = Instant::now() + patience;
    let mut part_len = BODY_PART_BYTES;
    loop {
        let frame = tokio::time::timeout_at(until, body.frame()).await;
        let Some(frame) = frame.map_err(|_| NotReceived::TooSlow)? else {
            return Ok(Bytes::from(received));
        };
        let Ok(mut data) = frame.map_err(|_| NotReceived::Broken)?.into_data() else {
            continue;
        };
        if received.len() + data.remaining() > bytes_max {
            return Err(NotReceived::TooLarge);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            received.extend_from_slice(chunk);
            let len = chunk.len();
            data.advance(len);
        }
        if !body.is_end_stream() {
            note_moved();
        }
        if received.len() >= part_len {
            part_len = received.len() + BODY_PART_BYTES;
            until = Instant::now() + patience;
        }
    }
}

/// Reads what is left of a body that nobody wants, so that its client is done with it before it has its
/// answer. Up to the limits of [`linger`](crate::http::front::linger): for what is beyond them the connection
/// has to end.
pub(crate) async fn read_past<B>(mut body: Pin<&mut B>)
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let until = Instant::now() + LINGER_TIMEOUT;
    let mut left = LINGER_BYTES_MAX;
    // What is longer is not begun with.
    while left > 0 && !body.is_end_stream() && body.size_hint().lower() <= left as u64 {
        let stalled = until.min(Instant::now() + LINGER_STALL_TIMEOUT);
        match tokio::time::timeout_at(stalled, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                left = left.saturating_sub(frame.data_ref().map_or(1, |data| data.remaining()));
            }
            Ok(Some(Err(_)) | None) | Err(_) => return,
        }
    }
}
