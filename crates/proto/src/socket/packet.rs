//! Socket.IO packets.

use bytes::Bytes;
use std::fmt;

use crate::args::{Args, Span};
use crate::hidden::Hidden;
use crate::id::AckId;

/// The digit that begins a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// `0`: asks to join a namespace, or says that it was joined.
    Connect,
    /// `1`: leaves a namespace.
    Disconnect,
    /// `2`: an event.
    Event,
    /// `3`: the answer to an event.
    Ack,
    /// `4`: a namespace was not joined.
    ConnectError,
    /// `5`: an event with attachments.
    BinaryEvent,
    /// `6`: an answer with attachments.
    BinaryAck,
}

impl PacketKind {
    pub(crate) const fn new(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Connect,
            b'1' => Self::Disconnect,
            b'2' => Self::Event,
            b'3' => Self::Ack,
            b'4' => Self::ConnectError,
            b'5' => Self::BinaryEvent,
            b'6' => Self::BinaryAck,
            _ => return None,
        })
    }

    /// The type of that number, which is its digit.
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        Self::new(b'0'.wrapping_add(number))
    }

    /// Its number, which is its digit.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Connect => 0,
            Self::Disconnect => 1,
            Self::Event => 2,
            Self::Ack => 3,
            Self::ConnectError => 4,
            Self::BinaryEvent => 5,
            Self::BinaryAck => 6,
        }
    }

    /// Whether attachments belong to it.
    pub(crate) const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }

    /// The type in an encoding whose packets come in one piece, where attachments make no type of
    /// their own.
    pub(crate) const fn plain(self) -> Self {
        match self {
            Self::BinaryEvent => Self::Event,
            Self::BinaryAck => Self::Ack,
            other => other,
        }
    }
}

/// Names of events that belong to the protocol or to its clients and may not be sent.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Whether a name may not be sent as an event.
pub fn is_reserved(event: impl AsRef<[u8]>) -> bool {
    let event = event.as_ref();
    // No event of another length has to be compared with any of them.
    (7..=14).contains(&event.len()) && RESERVED_EVENTS.iter().any(|name| name.as_bytes() == event)
}

/// A packet as it came from the peer, its namespace apart.
#[derive(Clone)]
pub enum Packet {
    /// The JSON of the payload, if there was one, an object: of a client its auth payload, of a server
    /// the ids of the socket.
    Connect(Option<Bytes>),
    /// The peer ends the socket.
    Disconnect,
    /// An event.
    Event(Event),
    /// The answer to an event of ours.
    Ack(AckId, Args),
    /// The server refuses the client: the JSON of why, if it says that. An object, or in Socket.IO 2
    /// any value.
    ConnectError(Option<Bytes>),
}

impl fmt::Debug for Packet {
    /// Of an auth payload, which is mostly a secret, only how long it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(auth) => {
                f.debug_tuple("Connect").field(&auth.as_ref().map(Hidden::new)).finish()
            }
            Self::Disconnect => f.write_str("Disconnect"),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
            Self::Ack(id, args) => f.debug_tuple("Ack").field(id).field(args).finish(),
            Self::ConnectError(error) => {
                f.debug_tuple("ConnectError").field(&error.as_ref().map(Hidden::new)).finish()
            }
        }
    }
}

/// An event that arrived.
#[derive(Clone)]
pub struct Event {
    pub(crate) name: Name,
    /// The arguments, without the name.
    pub args: Args,
    /// Where to send the answer, if the client asks for one.
    pub ack: Option<AckId>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.name())
            .field("args", &self.args)
            .field("ack", &self.ack)
            .finish()
    }
}

impl Event {
    /// The name of the event.
    pub fn name(&self) -> &str {
        // Received text was checked to be UTF-8, and quotes never cut a character.
        std::str::from_utf8(self.name_bytes()).unwrap_or_default()
    }

    /// The name of the event as it is compared, which costs nothing.
    pub fn name_bytes(&self) -> &[u8] {
        self.name.bytes(self.args.packet())
    }

    /// The same event with other arguments.
    #[must_use]
    pub fn with_args(self, args: Args) -> Self {
        let name = Name::Unescaped(self.name().into());
        Self { name, args, ack: self.ack }
    }

    /// Takes the event out of a place that it leaves; what stays there has no name and no arguments.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let left = Self { name: Name::Within(Span::default()), args: Args::default(), ack: None };
        std::mem::replace(self, left)
    }

    /// Bytes that the event holds in memory: at least, so that events of no size are bounded too.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + HELD_OVERHEAD_BYTES + self.args.held_bytes()
    }
}

/// What the allocation of a packet takes beside its bytes, its count and its place in a queue.
const HELD_OVERHEAD_BYTES: usize = 64;

/// A name mostly lies in the packet as it is; only one with escapes is kept apart.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Within(Span),
    Unescaped(Box<str>),
}

impl Name {
    /// The bytes of the name of an event, of which this is the packet.
    pub(crate) fn bytes<'a>(&'a self, packet: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Within(span) => span.of(packet),
            Self::Unescaped(name) => name.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else events of six bytes could take forty times what they count for while they wait.
    #[test]
    fn an_event_of_no_size_counts_for_its_memory() {
        let args = Args::from_packet(Bytes::from_static(b"2[\"a\"]"), 5..5, Box::default());
        let event = Event { name: Name::Within(Span::new(3..4)), args, ack: None };
        assert!(event.held_bytes() >= size_of::<Event>() + 64, "{}", event.held_bytes());
    }
}
