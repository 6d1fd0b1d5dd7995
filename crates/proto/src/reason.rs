//! [`Reason`]: why a socket or a connection ended; [`DisconnectReason`]: the same as a client says it.

use std::fmt;

/// Why a socket or a whole connection ended. The texts are the official ones, where there are such, so
/// that logs and handlers ported from JavaScript keep their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The transport failed, or its rules were broken.
    TransportError,
    /// The peer closed the transport.
    TransportClose,
    /// The peer asked to close the session.
    ForcedClose,
    /// The peer did not answer a ping in time.
    PingTimeout,
    /// The peer sent something that is not the protocol.
    ParseError,
    /// This server is closing.
    ServerShuttingDown,
    /// This server closed the connection: by `disconnect`, for a peer that reads too slowly, or
    /// because no namespace was joined in time.
    ForcedServerClose,
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// This server took the socket out of the namespace.
    ServerNamespaceDisconnect,
    /// The time for which the socket was let in is over. Other than those before, only this server says
    /// it; for the client it is a disconnect by the server.
    Expired,
}

impl Reason {
    /// The text, such as `transport close`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::ForcedClose => "forced close",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ServerShuttingDown => "server shutting down",
            Self::ForcedServerClose => "forced server close",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a client's connection ended, or a socket on it. The texts are those of the official client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The transport failed, or the server sent what is not Engine.IO.
    TransportError,
    /// The server closed the session, or its WebSocket.
    TransportClose,
    /// Nothing came from the server for longer than it had promised.
    PingTimeout,
    /// The server sent what is not Socket.IO.
    ParseError,
    /// This client closed the connection.
    ForcedClose,
    /// The server took the socket out of its namespace.
    ServerDisconnect,
    /// This client took the socket out of its namespace.
    ClientDisconnect,
}

impl DisconnectReason {
    /// The text, such as `transport close`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ServerDisconnect => "io server disconnect",
            Self::ClientDisconnect => "io client disconnect",
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
