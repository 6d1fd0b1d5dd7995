//! [`EmitError`]: why an event was not sent.

use std::fmt;

use roomful_proto::EncodeError;

/// What became of an event.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The client is gone, or has left the namespace.
    Gone,
    /// Too much waited for the client already; its connection is being closed. The limit is
    /// [`Builder::outbox_bytes_max`](crate::Builder::outbox_bytes_max). If the client gets its socket
    /// [back](crate::Builder::recovery), it gets this event, too.
    Overflow,
    /// The event was volatile and could not leave at once.
    Dropped,
    /// The arguments could not be written as JSON.
    Encode(EncodeError),
    /// The name belongs to the protocol, such as `disconnect`.
    ReservedEvent,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the client is gone"),
            Self::Overflow => f.write_str("the client reads too slowly and is being disconnected"),
            Self::Dropped => f.write_str("a volatile event could not leave at once"),
            Self::Encode(e) => e.fmt(f),
            Self::ReservedEvent => f.write_str("the name of the event is reserved"),
        }
    }
}

impl std::error::Error for EmitError {}
