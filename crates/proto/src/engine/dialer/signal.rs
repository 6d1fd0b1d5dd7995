//! [`Input`] and [`Output`]: what a [`Dialer`](super::Dialer) is told, and what it says.

use std::fmt;

use bytes::Bytes;

use crate::engine::packet::{Data, Packet};
use crate::error::Violation;
use crate::hidden::Hidden;
use crate::reason::DisconnectReason;

/// What happened on a transport.
pub enum Input {
    /// The GET under way was answered 200 with this body.
    Answered(Bytes),
    /// The POST under way was answered 200.
    Posted,
    /// A GET or a POST failed: its stream did, its status was another, or its answer was too large.
    RequestFailed,
    /// The WebSocket that is to carry the session is open.
    Opened,
    /// A message arrived on the WebSocket that carries the session.
    Frame(Data),
    /// The WebSocket that carries the session, or was to carry it, ended; in order, or by a failure.
    Gone {
        /// Whether the server closed it in order.
        in_order: bool,
    },
    /// The WebSocket beside the polling is open.
    ProbeOpened,
    /// A message arrived on it.
    Probe(Data),
    /// It ended.
    ProbeGone,
}

impl fmt::Debug for Input {
    /// Of frames and bodies, only how long they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(body) => f.debug_tuple("Answered").field(&Hidden::new(body)).finish(),
            Self::Posted => f.write_str("Posted"),
            Self::RequestFailed => f.write_str("RequestFailed"),
            Self::Opened => f.write_str("Opened"),
            Self::Frame(data) => f.debug_tuple("Frame").field(data).finish(),
            Self::Gone { in_order } => f.debug_struct("Gone").field("in_order", in_order).finish(),
            Self::ProbeOpened => f.write_str("ProbeOpened"),
            Self::Probe(data) => f.debug_tuple("Probe").field(data).finish(),
            Self::ProbeGone => f.write_str("ProbeGone"),
        }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a GET: the handshake while there is no [`welcome`](super::Dialer::welcome), else a poll.
    Get,
    /// Open a WebSocket that carries the session from its beginning: without a session id.
    OpenWebSocket,
    /// Open a WebSocket beside the polling, with the session id.
    OpenProbe,
    /// The handshake was read: [`welcome`](super::Dialer::welcome) tells it.
    Open,
    /// A message for the layer above.
    Message(Data),
    /// Send this packet on the transport of the session, after what already waits.
    Send(Packet),
    /// Send this packet on the WebSocket beside the polling.
    Probe(Packet),
    /// Close that WebSocket, or give up opening it.
    DropProbe,
    /// That WebSocket carries the session from now on, and takes what waits.
    Upgraded,
    /// The server broke the protocol. What becomes of it follows.
    Broken(Violation),
    /// The transport failed while the session was opened: drop all of it, another one is tried.
    NextTransport,
    /// Close the WebSocket of the session in order, and drop all requests.
    HangUp,
    /// The session has ended, and why. Nothing follows.
    Closed(DisconnectReason),
}
