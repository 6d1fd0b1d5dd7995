//! Errors, by whose fault they are.
//!
//! [`Violation`] is the peer's: it broke the protocol or a limit, and the connection ends with it.
//! [`EncodeError`] and [`ArgError`] are ours: what was given could not be written, or what arrived
//! does not have the type that was asked for. Nobody's fault is a [`Reason`](crate::Reason): a
//! connection that simply ended.

use std::fmt;

/// How the peer broke the protocol. A reason is a variant, so that it can be compared and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// An Engine.IO packet without a type, or with an unknown one.
    EnginePacket,
    /// An open packet that is not what an Engine.IO server sends, or anything before it.
    Handshake,
    /// The server speaks Engine.IO 3, and was asked for 4.
    EngineIo3,
    /// The server speaks Engine.IO 4, and was asked for 3.
    EngineIo4,
    /// Broken base64 in a binary packet.
    Base64,
    /// A packet that is not allowed now, or not in this direction, such as a ping from a client.
    Unexpected,
    /// More packets in a polling body than `payload_packets_max`.
    PayloadPackets,
    /// A length in a polling body of Engine.IO 3 that does not fit what is behind it.
    PayloadLength,
    /// A body or a message that is not UTF-8.
    Utf8,
    /// A Socket.IO packet without a type, or with an unknown one.
    PacketType,
    /// A malformed attachment count, or more than `attachments_max`; in one piece, more than
    /// `whole_attachments_max`.
    AttachmentCount,
    /// Attachments that together are larger than `payload_bytes_max`.
    AttachmentBytes,
    /// Attachments that did not all arrive within `attachments_timeout`.
    AttachmentTimeout,
    /// A placeholder that names no attachment.
    Placeholder,
    /// A binary message although no attachment was announced.
    StrayAttachment,
    /// A text packet although attachments were still to come.
    MissingAttachment,
    /// A namespace name longer than `namespace_bytes_max`, or one that is no name.
    NamespaceName,
    /// An ack id above 2^53 - 1.
    AckId,
    /// A payload that is not JSON, or not the JSON that its packet needs.
    Payload,
    /// A message that the server's parser cannot read as a packet.
    Malformed,
    /// A packet that becomes more JSON than [`json_bytes_max`](crate::Limits::json_bytes_max).
    Expansion,
    /// JSON deeper than `json_depth_max`.
    Depth,
    /// An event without a name, or with a name that is not a text or a number.
    EventName,
    /// An event with a name that belongs to the protocol, such as `disconnect`.
    ReservedEvent,
    /// A second CONNECT to a namespace that is joined.
    ConnectTwice,
    /// A packet for a namespace that was never joined.
    NotConnected,
    /// More events than `held_events_max` before a namespace let the client in.
    HeldEvents,
    /// No namespace was joined within `connect_timeout`.
    ConnectTimeout,
    /// More packets than `strays_max` from a server, for namespaces and of acks that its client has not
    /// asked for.
    Strays,
    /// More pings than could be answered: the server sends them and does not read the pongs.
    Pings,
    /// A server that has not told a client the id of its socket, as one of Socket.IO 2 does.
    NoSocketId,
}

impl Violation {
    /// A short text for logs and counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnginePacket => "malformed engine packet",
            Self::Handshake => "malformed handshake",
            Self::EngineIo3 => "the server speaks Engine.IO 3",
            Self::EngineIo4 => "the server speaks Engine.IO 4",
            Self::Base64 => "broken base64",
            Self::Unexpected => "unexpected packet",
            Self::PayloadPackets => "too many packets in a payload",
            Self::PayloadLength => "wrong length in a payload",
            Self::Utf8 => "not UTF-8",
            Self::PacketType => "unknown packet type",
            Self::AttachmentCount => "bad attachment count",
            Self::AttachmentBytes => "attachments too large",
            Self::AttachmentTimeout => "attachments missing for too long",
            Self::Placeholder => "placeholder without attachment",
            Self::StrayAttachment => "unannounced attachment",
            Self::MissingAttachment => "text instead of an attachment",
            Self::NamespaceName => "namespace name too long",
            Self::AckId => "ack id too large",
            Self::Payload => "invalid payload",
            Self::Malformed => "malformed packet",
            Self::Expansion => "payload that grows too much",
            Self::Depth => "payload nested too deeply",
            Self::EventName => "invalid event name",
            Self::ReservedEvent => "reserved event name",
            Self::ConnectTwice => "namespace joined twice",
            Self::NotConnected => "packet for a namespace that was not joined",
            Self::HeldEvents => "too many events before the connection was accepted",
            Self::ConnectTimeout => "no namespace joined in time",
            Self::Strays => "too many packets that nobody has asked for",
            Self::Pings => "more pings than could be answered",
            Self::NoSocketId => "no socket id in the answer to CONNECT, as from Socket.IO 2",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Violation {}

/// A value could not be written as the arguments of an event: it has no JSON form (such as a map
/// whose keys are not texts), its own `Serialize` failed, or the server's parser did.
#[derive(Debug)]
pub struct EncodeError(pub(crate) serde_json::Error);

impl EncodeError {
    /// An error that says why.
    pub fn new(why: impl fmt::Display) -> Self {
        Self(serde::ser::Error::custom(why))
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the arguments cannot be written as JSON: {}", self.0)
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// An argument that arrived does not have the type that was asked for.
#[derive(Debug)]
pub struct ArgError {
    /// Position of the argument, from 0.
    pub index: usize,
    /// What was wrong with it.
    pub cause: ArgCause,
}

/// What was wrong with an argument.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArgCause {
    /// The peer sent fewer arguments, and the type has no value for a missing one.
    Missing,
    /// The argument is of another type; the text says which, without the value that came, in at most
    /// [`MISFIT_BYTES_MAX`](crate::args::MISFIT_BYTES_MAX) bytes and an ellipsis.
    Type(String),
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nth = self.index + 1;
        match &self.cause {
            ArgCause::Missing => write!(f, "argument {nth} is missing"),
            ArgCause::Type(why) => write!(f, "argument {nth} does not fit: {why}"),
        }
    }
}

impl std::error::Error for ArgError {}
