//! [`Body`]: what an answer carries. And how the body of a request is received.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};

/// What an answer of the server carries: bytes that are already there.
#[derive(Debug, Default)]
pub struct Body(Full<Bytes>);

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Full::new(bytes))
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
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Why the body of a request was not received.
pub(crate) enum NotReceived {
    TooLarge,
    Broken,
    TooSlow,
}

/// Receives a body of at most `bytes_max`, and never holds more.
pub(crate) async fn receive<B>(
    body: B,
    bytes_max: usize,
    patience: Duration,
) -> Result<Bytes, NotReceived>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(NotReceived::TooLarge);
    }
    let received = tokio::time::timeout(patience, collect(body, bytes_max)).await;
    received.unwrap_or(Err(NotReceived::TooSlow))
}

async fn collect<B>(body: B, bytes_max: usize) -> Result<Bytes, NotReceived>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let mut body = std::pin::pin!(body);
    let mut received = Vec::new();
    while let Some(frame) = body.frame().await {
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
    }
    Ok(Bytes::from(received))
}
