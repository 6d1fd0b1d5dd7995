//! [`Message`]: what nodes say to each other about sessions.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Data, Packet, Revision, payload, v3};
use crate::id::SessionId;
use crate::parcel::Form;
use crate::ws::frame::Opcode;

/// Bytes that the name of a node may have. Official ones have six hexadecimal digits.
const NODE_BYTES_MAX: usize = 64;

/// The name of a node: letters, digits, `-` and `_`, so that it can be a part of the name of a channel.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The name for these random bytes, as official nodes have one.
    pub fn from_random([a, b, c]: [u8; 3]) -> Self {
        Self(format!("{a:02x}{b:02x}{c:02x}").into())
    }

    /// Reads a name; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = (1..=NODE_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits);
        is_name.then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.0)
    }
}

/// What one node says to another, or to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The node that says it.
    pub from: NodeId,
    /// The node that it is for; `None` for all.
    pub to: Option<NodeId>,
    /// What is said.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A request of this session has arrived.
    Lock {
        /// The number by which the answer is known.
        request: u64,
        /// The session.
        session: SessionId,
        /// What the request wants of it.
        want: Want,
    },
    /// The session is here.
    LockAnswer {
        /// The number of the request.
        request: u64,
        /// Whether the request may go on.
        granted: bool,
    },
    /// Packets for the client.
    Drain {
        /// The session.
        session: SessionId,
        /// The packets, in order.
        packets: Vec<Carried>,
    },
    /// A packet of the client.
    Packet {
        /// The session.
        session: SessionId,
        /// The packet.
        packet: Carried,
    },
    /// An upgrade has come to its end.
    Upgrade {
        /// The number by which the answer is known.
        request: u64,
        /// The session.
        session: SessionId,
        /// Whether the client has come over. A failure is not answered.
        success: bool,
    },
    /// Who has the session from now on.
    UpgradeAnswer {
        /// The number of the request.
        request: u64,
        /// Whether it is the node that has asked.
        take_over: bool,
        /// What the client has sent to a session that is taken over, and nobody has looked at.
        packets: Vec<Carried>,
    },
    /// What carried the session at this node has ended.
    Close {
        /// The session.
        session: SessionId,
        /// Whether the client has closed it in order.
        in_order: bool,
    },
}

/// What a request wants of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A poll (GET): what there is for the client.
    Read,
    /// A body (POST): to bring packets.
    Write,
    /// A WebSocket, to carry the session.
    Stream,
}

/// A packet on its way between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// A packet.
    Packet(Packet),
    /// What the client has sent in place of a packet, and is none.
    Broken,
}

impl Message {
    /// Whether it is for the owner of a session, and not for a guest.
    pub const fn is_for_owner(&self) -> bool {
        match self.body {
            Body::Lock { .. } | Body::Packet { .. } | Body::Upgrade { .. } | Body::Close { .. } => {
                true
            }
            Body::LockAnswer { .. } | Body::Drain { .. } | Body::UpgradeAnswer { .. } => false,
        }
    }
}

impl Body {
    /// The session that it is about, unless it is an answer.
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::Lock { session, .. }
            | Self::Drain { session, .. }
            | Self::Packet { session, .. }
            | Self::Upgrade { session, .. }
            | Self::Close { session, .. } => Some(*session),
            Self::LockAnswer { .. } | Self::UpgradeAnswer { .. } => None,
        }
    }
}

impl Carried {
    /// A polling body of these, for who speaks `revision`, and with `base64` takes no bytes. What is no packet stays none.
    pub fn body(packets: &[Self], revision: Revision, base64: bool) -> Data {
        match revision {
            Revision::V4 => {
                let mut body = Vec::new();
                packets.iter().for_each(|packet| packet.push(&mut body));
                Data::Text(body.into())
            }
            Revision::V3 => {
                let frames: Vec<_> =
                    packets.iter().map(|packet| packet.frame(Form::Wire)).collect();
                let frames = frames.iter().map(|frame| match frame {
                    Data::Text(text) => (Opcode::Text, &text[..]),
                    Data::Binary(bytes) => (Opcode::Binary, &bytes[..]),
                });
                v3::encode(frames, base64)
            }
        }
    }

    /// Appends it to a polling body of Engine.IO 4.
    fn push(&self, body: &mut Vec<u8>) {
        match self {
            // It would be two of them.
            Self::Packet(
                Packet::Message(Data::Text(text)) | Packet::Ping(text) | Packet::Pong(text),
            ) if text.contains(&payload::SEPARATOR) => {
                Self::Broken.push(body);
            }
            Self::Packet(packet) => payload::push(body, packet),
            Self::Broken if body.is_empty() => body.push(b'?'),
            Self::Broken => body.extend_from_slice(b"\x1e?"),
        }
    }

    /// The message of a WebSocket that it is, for who takes them in that form.
    pub fn frame(&self, form: Form) -> Data {
        let mut text = Vec::with_capacity(1 + self.len());
        match (self, form) {
            (
                Self::Packet(Packet::Message(Data::Binary(bytes))),
                Form::Wire | Form::Deflated | Form::Framed,
            ) => return Data::Binary(bytes.clone()),
            (Self::Packet(Packet::Message(Data::Binary(bytes))), Form::V3 | Form::V3Deflated) => {
                return Data::Binary([&[v3::MESSAGE], &bytes[..]].concat().into());
            }
            (Self::Packet(Packet::Message(Data::Binary(bytes))), Form::V3TextOnly) => {
                v3::base64_encode(bytes, &mut text);
            }
            (Self::Packet(packet), _) => packet.encode(&mut text),
            (Self::Broken, _) => text.push(b'?'),
        }
        Data::Text(text.into())
    }

    /// What a message of a WebSocket is, on which that revision is spoken.
    pub fn of_frame(revision: Revision, frame: Data) -> Self {
        Packet::of_frame(revision, frame).map_or(Self::Broken, Self::Packet)
    }

    /// Bytes that it has, without its type.
    pub const fn len(&self) -> usize {
        match self {
            Self::Packet(
                Packet::Open(bytes)
                | Packet::Ping(bytes)
                | Packet::Pong(bytes)
                | Packet::Message(Data::Text(bytes) | Data::Binary(bytes)),
            ) => bytes.len(),
            Self::Packet(Packet::Close | Packet::Upgrade | Packet::Noop) | Self::Broken => 0,
        }
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A message.
    pub const fn message(data: Data) -> Self {
        Self::Packet(Packet::Message(data))
    }

    /// The name of its type on the wire, and its data.
    pub(super) fn parts(&self) -> (&'static str, Option<Data>) {
        let text = |bytes: &Bytes| Some(Data::Text(bytes.clone())).filter(|_| !bytes.is_empty());
        match self {
            Self::Packet(Packet::Open(json)) => ("open", text(json)),
            Self::Packet(Packet::Close) => ("close", None),
            Self::Packet(Packet::Ping(bytes)) => ("ping", text(bytes)),
            Self::Packet(Packet::Pong(bytes)) => ("pong", text(bytes)),
            Self::Packet(Packet::Message(data)) => ("message", Some(data.clone())),
            Self::Packet(Packet::Upgrade) => ("upgrade", None),
            Self::Packet(Packet::Noop) => ("noop", None),
            Self::Broken => ("error", Some(Data::Text(Bytes::from_static(b"parser error")))),
        }
    }

    /// The reverse; `None` where there is no such type, or the data does not fit it.
    pub(super) fn from_parts(kind: &[u8], data: Option<Data>) -> Option<Self> {
        let text = |data: Option<Data>| match data {
            None => Some(Bytes::new()),
            Some(Data::Text(text)) => Some(text),
            Some(Data::Binary(_)) => None,
        };
        Some(Self::Packet(match kind {
            b"open" => Packet::Open(text(data)?),
            b"close" => Packet::Close,
            b"ping" => Packet::Ping(text(data)?),
            b"pong" => Packet::Pong(text(data)?),
            b"message" => Packet::Message(data.unwrap_or(Data::Text(Bytes::new()))),
            b"upgrade" => Packet::Upgrade,
            b"noop" => Packet::Noop,
            b"error" => return Some(Self::Broken),
            _ => return None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Carried> {
        let text =
            |text: &'static str| Carried::message(Data::Text(Bytes::from_static(text.as_bytes())));
        let bytes = |bytes| Carried::message(Data::Binary(Bytes::from_static(bytes)));
        let ping = |text: &'static str| Packet::Ping(text.into());
        let packets =
            [ping(""), ping("probe"), Packet::Pong(Bytes::new()), Packet::Upgrade, Packet::Close];
        let messages =
            [text("0"), text("2[\"é😀\"]"), bytes(b"\x00\x04\xff"), text(""), bytes(b"")];
        packets.into_iter().map(Carried::Packet).chain(messages).chain([Carried::Broken]).collect()
    }

    #[test]
    fn a_body_is_its_packets_at_every_revision() {
        use Revision::{V3, V4};
        for (revision, base64) in [(V4, false), (V4, true), (V3, false), (V3, true)] {
            let body = Carried::body(&all(), revision, base64);
            assert_eq!(matches!(body, Data::Binary(_)), revision == V3 && !base64);
            let packets = payload::Payload::of(revision, body.into_bytes(), 20).unwrap();
            let read = packets.map(|packet| packet.map_or(Carried::Broken, Carried::Packet));
            assert_eq!(read.collect::<Vec<_>>(), all(), "{revision:?}, base64 {base64}");
        }
    }

    #[test]
    fn a_text_that_would_be_two_packets_of_a_body_is_none() {
        let packet = Carried::message(Data::Text("a\u{1e}1".into()));
        let (before, packets) =
            (Carried::Packet(Packet::Noop), [Carried::Packet(Packet::Noop), packet.clone()]);
        let read = |revision| {
            let body = Carried::body(&packets, revision, false).into_bytes();
            let packets = payload::Payload::of(revision, body, 9).unwrap();
            packets
                .map(|packet| packet.map_or(Carried::Broken, Carried::Packet))
                .collect::<Vec<_>>()
        };
        assert_eq!(read(Revision::V4), [before, Carried::Broken]);
        assert_eq!(read(Revision::V3), packets);
        assert_eq!(Carried::of_frame(Revision::V4, packet.frame(Form::Wire)), packet);
    }

    #[test]
    fn a_frame_is_its_packet_in_every_form() {
        for form in [Form::Wire, Form::TextOnly, Form::V3, Form::V3TextOnly, Form::V3Deflated] {
            for packet in all() {
                let frame = packet.frame(form);
                let is_text = matches!(frame, Data::Text(_));
                assert!(is_text || !matches!(form, Form::TextOnly | Form::V3TextOnly));
                assert_eq!(Carried::of_frame(form.revision(), frame), packet, "{form:?}");
            }
        }
    }
}
