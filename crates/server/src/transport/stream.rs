//! [`Stream`]: a transport that carries packets both ways over one stream of bytes.
//!
//! This is the waist of all transports but polling: it has all that a connection asks of one. The session asks no more
//! than whether the client polls or has a stream. So another transport is a file beside `websocket`, a variant of this
//! enum, and a function that accepts its streams and begins a connection (`Connection::over`, as in
//! `http/door/upgrade.rs`). A transport with frames of its own also needs a `Form` of its parcels. `framed` is such a
//! transport, for tests.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use roomful_proto::engine::Data;
use roomful_proto::ws::{CloseCode, Message, WsError};
use roomful_proto::{Form, Parcel};
use tokio::net::tcp::OwnedWriteHalf;

use crate::ground::farewell::Description;
use crate::ground::metrics::{Counter, Metrics};
#[cfg(test)]
use crate::transport::framed::Framed;
use crate::transport::outbox::Batch;
use crate::transport::websocket::WebSocket;

/// A transport over one stream of bytes.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each client, and nearly all are WebSockets"
)]
pub(crate) enum Stream {
    WebSocket(WebSocket),
    #[cfg(test)]
    Framed(Framed),
}

/// What has come.
pub(crate) enum Received {
    Packet(Data),
    /// It is to be answered with the same bytes.
    Ping(Bytes),
    Pong,
    /// The peer says goodbye, and why.
    Goodbye(Description),
}

/// The peer broke the rules of the transport. What is behind it cannot be read.
pub(crate) struct Broken {
    pub(crate) how: Description,
    /// What it is told.
    pub(crate) goodbye: (CloseCode, &'static str),
    /// What is counted beside the violation.
    pub(crate) counter: Option<fn(&Metrics) -> &Counter>,
}

impl Stream {
    /// The form in which parcels are wanted.
    pub(crate) const fn form(&self) -> Form {
        match self {
            Self::WebSocket(socket) => socket.form(),
            #[cfg(test)]
            Self::Framed(_) => Form::Framed,
        }
    }

    /// Gives the writing half away, where the stream has halves.
    pub(crate) fn split(self) -> (Self, Option<OwnedWriteHalf>) {
        match self {
            Self::WebSocket(socket) => {
                let (socket, writer) = socket.split();
                (Self::WebSocket(socket), writer)
            }
            #[cfg(test)]
            framed @ Self::Framed(_) => (framed, None),
        }
    }

    /// Reads what is there into `scratch`; 0 bytes are the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::WebSocket(socket) => socket.poll_read(cx, scratch),
            #[cfg(test)]
            Self::Framed(framed) => framed.poll_read(cx, scratch),
        }
    }

    /// The next of what was read; `None` when that is all. A packet may have so many bytes. What is rare is boxed, so
    /// that what is not is moved in fewer steps.
    #[inline]
    pub(crate) fn decode(
        &mut self,
        input: &mut &mut [u8],
        bytes_max: usize,
    ) -> Result<Option<Received>, Box<Broken>> {
        match self {
            Self::WebSocket(socket) => match socket.decode(input) {
                Ok(message) => Ok(message.map(Received::from)),
                Err(error) => Err(Broken::web_socket(error, bytes_max)),
            },
            #[cfg(test)]
            Self::Framed(framed) => framed.decode(input),
        }
    }

    /// Whether a packet has begun to arrive and is not whole yet.
    pub(crate) fn is_within_packet(&self) -> bool {
        match self {
            Self::WebSocket(socket) => socket.is_within_message(),
            #[cfg(test)]
            Self::Framed(framed) => framed.is_within_packet(),
        }
    }

    /// Whether it writes by itself, and not somebody else with the other half.
    pub(crate) const fn has_both_halves(&self) -> bool {
        match self {
            Self::WebSocket(socket) => socket.has_both_halves(),
            #[cfg(test)]
            Self::Framed(_) => true,
        }
    }

    /// Writes a batch until it is empty or the stream is full.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::WebSocket(socket) => socket.poll_write(cx, batch),
            #[cfg(test)]
            Self::Framed(framed) => framed.poll_write(cx, batch),
        }
    }

    /// Ends the stream in order.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::WebSocket(socket) => socket.poll_shutdown(cx),
            #[cfg(test)]
            Self::Framed(framed) => framed.poll_shutdown(cx),
        }
    }

    /// What says goodbye, and why.
    pub(crate) fn goodbye(&self, code: CloseCode, why: &str) -> Parcel {
        match self {
            Self::WebSocket(_) => Parcel::close(code, why),
            #[cfg(test)]
            Self::Framed(_) => Framed::goodbye(),
        }
    }
}

impl From<Message> for Received {
    #[inline]
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Packet(Data::Text(text)),
            Message::Binary(bytes) => Self::Packet(Data::Binary(bytes)),
            Message::Ping(bytes) => Self::Ping(bytes),
            Message::Pong(_) => Self::Pong,
            Message::Close(code, said) => Self::Goodbye(Description::closed(code, &said)),
        }
    }
}

impl Broken {
    #[cold]
    pub(crate) fn web_socket(error: WsError, bytes_max: usize) -> Box<Self> {
        let counter: Option<fn(&Metrics) -> &Counter> = match error {
            WsError::InflatedTooBig => Some(|metrics| &metrics.inflated_too_big),
            WsError::InflateRatio => Some(|metrics| &metrics.inflate_ratio_exceeded),
            _ => None,
        };
        tracing::debug!(%error, "the client broke the WebSocket protocol");
        let goodbye = (error.code(), error.as_str());
        Box::new(Self { how: Description::broken(error, bytes_max), goodbye, counter })
    }
}
