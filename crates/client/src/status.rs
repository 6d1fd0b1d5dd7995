//! [`Status`]: where a socket stands.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use roomful_proto::DisconnectReason;
use roomful_proto::ws::CloseCode;

use crate::error::ConnectError;

/// Where a socket stands. [`Socket::watch`](crate::Socket::watch) tells of each change.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Status {
    /// Nobody has called [`connect`](crate::Socket::connect) yet.
    #[default]
    Idle,
    /// It is being connected.
    Connecting,
    /// It is connected.
    Connected {
        /// Whether it is the same socket as before, and has missed nothing.
        recovered: bool,
    },
    /// There is no connection; the next attempt is made then.
    Waiting {
        /// Attempts that have failed or are waited for, from 1.
        attempt: u32,
        /// When the attempt is made.
        until: Instant,
        /// Why there is no connection.
        error: Arc<ConnectError>,
    },
    /// The server has refused it, or the last attempt has failed. It stays so until
    /// [`connect`](crate::Socket::connect) is called again.
    Failed(Arc<ConnectError>),
    /// One of both sides has left the namespace. It stays so until
    /// [`connect`](crate::Socket::connect) is called again.
    Disconnected(Disconnection),
}

impl Status {
    /// Whether it is connected.
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Whether nothing more happens by itself.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Disconnected(_))
    }
}

/// How a socket was disconnected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnection {
    /// Why; its texts are those of the official client.
    pub reason: DisconnectReason,
    /// The code with which the server closed the WebSocket, if it did.
    pub close_code: Option<CloseCode>,
    /// What else is known: what the server said when it closed, or how the transport failed.
    pub detail: Option<Arc<str>>,
}

impl From<DisconnectReason> for Disconnection {
    fn from(reason: DisconnectReason) -> Self {
        Self { reason, close_code: None, detail: None }
    }
}

impl fmt::Display for Disconnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        if let Some(code) = self.close_code {
            write!(f, " ({code})")?;
        }
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}
