//! [`Output`]: what a [`Manager`](super::Manager) says.

use std::fmt;

use bytes::Bytes;

use super::{Attempt, Key};
use crate::args::Args;
use crate::hidden::Hidden;
use crate::reason::DisconnectReason;
use crate::socket::packet::Event;
use crate::time::Moment;

/// What is to be done. `W` is whoever waits for an ack.
pub enum Output<W> {
    /// Open a connection.
    Dial {
        /// The number of the attempt: 0 for the first connection, from 1 after one has failed or was lost.
        attempt: u32,
    },
    /// Close the connection, or stop opening it; [`Manager::closed`](super::Manager::closed) is to follow. What waits to be
    /// sent is to leave before.
    HangUp,
    /// A connection is there again, or for the first time.
    Opened {
        /// The number of the attempt, as in [`Dial`](Self::Dial).
        attempt: u32,
    },
    /// There is no connection; the next attempt is made then.
    Waiting {
        /// Counted from 1.
        attempt: u32,
        /// When it is made.
        until: Moment,
    },
    /// No further attempt is made; all sockets are inactive.
    GaveUp,
    /// CONNECT is to be sent: [`Manager::authorize`](super::Manager::authorize) wants the auth payload.
    Authorize(Attempt),
    /// The socket is connected.
    Connected {
        /// Which.
        attempt: Attempt,
        /// Its public id; `None` where the server has told none (Socket.IO 2).
        id: Option<Box<str>>,
        /// Whether it is the same as before, and has missed nothing.
        recovered: bool,
    },
    /// The server has refused the client in the namespace; the socket is inactive. The JSON of why: an
    /// object with a `message`, or in Socket.IO 2 any value. None where the server has sent DISCONNECT
    /// instead.
    Refused {
        /// Which.
        key: Key,
        /// The JSON, if there was any.
        why: Option<Bytes>,
    },
    /// The namespace has not answered CONNECT within `join_timeout`. The socket still waits: the caller
    /// disconnects it, or closes the connection where no other socket is connected.
    NotAnswered(Key),
    /// An event for a connected socket. What answers it names the attempt.
    Event {
        /// Which.
        attempt: Attempt,
        /// The event.
        event: Event,
    },
    /// The ack of an event, or why there is none.
    Ack {
        /// Who waits for it.
        waiter: W,
        /// The arguments of the ack.
        answer: Result<Args, NoAck>,
    },
    /// The socket is not connected any more. It comes back by itself, unless a side has left the
    /// namespace.
    Disconnected {
        /// Which.
        key: Key,
        /// Why.
        reason: DisconnectReason,
    },
}

impl<W> Output<W> {
    /// The socket that it names.
    pub(super) const fn key(&self) -> Option<Key> {
        match self {
            Self::Authorize(attempt)
            | Self::Connected { attempt, .. }
            | Self::Event { attempt, .. } => Some(attempt.key),
            Self::Refused { key, .. } | Self::NotAnswered(key) | Self::Disconnected { key, .. } => {
                Some(*key)
            }
            Self::Dial { .. }
            | Self::HangUp
            | Self::Opened { .. }
            | Self::Waiting { .. }
            | Self::GaveUp
            | Self::Ack { .. } => None,
        }
    }
}

impl<W> fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial { attempt } => f.debug_struct("Dial").field("attempt", attempt).finish(),
            Self::HangUp => f.write_str("HangUp"),
            Self::Opened { attempt } => f.debug_struct("Opened").field("attempt", attempt).finish(),
            Self::Waiting { attempt, until } => {
                f.debug_struct("Waiting").field("attempt", attempt).field("until", until).finish()
            }
            Self::GaveUp => f.write_str("GaveUp"),
            Self::Authorize(attempt) => f.debug_tuple("Authorize").field(attempt).finish(),
            Self::Connected { attempt, id, recovered } => f
                .debug_struct("Connected")
                .field("attempt", attempt)
                .field("id", id)
                .field("recovered", recovered)
                .finish(),
            Self::Refused { key, why } => f
                .debug_struct("Refused")
                .field("key", key)
                .field("why", &why.as_ref().map(Hidden::new))
                .finish(),
            Self::NotAnswered(key) => f.debug_tuple("NotAnswered").field(key).finish(),
            Self::Event { attempt, event } => {
                f.debug_struct("Event").field("attempt", attempt).field("event", event).finish()
            }
            Self::Ack { answer, .. } => {
                f.debug_struct("Ack").field("answer", answer).finish_non_exhaustive()
            }
            Self::Disconnected { key, reason } => {
                f.debug_struct("Disconnected").field("key", key).field("reason", reason).finish()
            }
        }
    }
}

/// Why an event has no ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoAck {
    /// It did not come in time.
    Timeout,
    /// The socket was disconnected after the event was sent: nobody knows whether it arrived.
    Disconnected,
    /// The event was dropped to make room for later ones ([`Overflow::DropOldest`](super::Overflow::DropOldest)).
    Dropped,
}
