//! [`Parser`]: how the packets of Socket.IO are written, where that is not the default encoding.
//!
//! Inside, arguments are always JSON with placeholders for their attachments. A parser translates at
//! the two edges: what arrives becomes a [`Whole`], what is sent is seen as a [`Plain`]. In between
//! nobody knows which encoding the clients speak.

use std::fmt;

use bytes::Bytes;

use super::packet::PacketKind;
use super::placeholder;
use super::text::{Head, Header, push_namespace};
use crate::engine::Data;
use crate::error::Violation;
use crate::hidden::Hidden;
use crate::id::AckId;
use crate::limits::Limits;
use crate::text::is_text;
use crate::ws::frame;

/// An encoding of packets. A server and all of its clients must speak the same.
///
/// One packet is one message of the session, in both directions, with its bytes inside.
/// [`MsgPack`](super::MsgPack) is one. Whoever implements another is called with whatever any
/// peer sends: it must not panic, must take time in proportion to the message, and must never
/// allocate what a message only declares. A client of ours reads and writes under its lock: there it must not
/// call the client, either.
pub trait Parser: fmt::Debug + Send + Sync + 'static {
    /// Reads a packet of the peer. What it gives is checked as any other packet is: the name of the
    /// namespace, the JSON and its depth, event names, placeholders, and the limits on size.
    ///
    /// # Errors
    ///
    /// When the message is no packet. The connection is closed then.
    fn decode(&self, message: Data, limits: &Limits) -> Result<Whole, Violation>;

    /// Writes a packet of this side. Called once for an event, however many it goes to. A text
    /// must not have the character U+001E in it, which separates packets on polling.
    ///
    /// It must be quick, and it must call neither server nor client. Where sockets can be recovered it is called
    /// under the lock that keeps the events of a namespace in order: whoever sends, joins or leaves
    /// there waits until it returns, and a call out of it would wait for itself, for ever. In a client
    /// that holds for both functions: they are called under the lock of its state, which all calls of
    /// the client take.
    fn encode(&self, packet: &Plain<'_>) -> Data;
}

/// A packet that came in one piece: a [`Parser`] makes it, writes its JSON and attaches its bytes.
#[derive(Clone)]
pub struct Whole {
    kind: PacketKind,
    ack: Option<AckId>,
    /// A header as that of a text packet, and the JSON behind it: the arguments stay where they are
    /// written.
    text: Vec<u8>,
    json: usize,
    attachments: Vec<Bytes>,
}

impl fmt::Debug for Whole {
    /// Of the JSON, only how long it is with its header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole")
            .field("kind", &self.kind)
            .field("ack", &self.ack)
            .field("text", &Hidden::new(&self.text))
            .field("attachments", &self.attachments.len())
            .finish()
    }
}

impl Whole {
    /// A packet without a payload, by the number of its type: 0 CONNECT, 1 DISCONNECT, 2 EVENT,
    /// 3 ACK, 4 CONNECT_ERROR. Whether bytes are attached makes no other type here.
    ///
    /// # Errors
    ///
    /// When there is no type of that number.
    pub fn new(number: u8, namespace: &str, ack: Option<AckId>) -> Result<Self, Violation> {
        let kind = PacketKind::from_number(number).filter(|kind| !kind.is_binary());
        let kind = kind.ok_or(Violation::PacketType)?;
        let mut text = vec![b'0' + number];
        push_namespace(&mut text, namespace);
        Ok(Self { kind, ack, json: text.len(), text, attachments: Vec::new() })
    }

    /// Where the JSON of the payload is to be appended: for an event an array of its name and
    /// its arguments, for an ack one of its arguments, for a CONNECT an object or nothing.
    pub const fn json(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Sets bytes aside, and writes their placeholder at the end of the JSON.
    pub fn attach(&mut self, bytes: Bytes) {
        placeholder::push(&mut self.text, self.attachments.len());
        self.attachments.push(bytes);
    }

    /// The bytes that were set aside, in the order of their placeholders' numbers. For a parser
    /// whose messages have placeholders in them.
    pub const fn attachments(&mut self) -> &mut Vec<Bytes> {
        &mut self.attachments
    }

    /// Only JSON, with its attachments: of no packet.
    pub(super) const fn value() -> Self {
        Self {
            kind: PacketKind::Event,
            ack: None,
            json: 0,
            text: Vec::new(),
            attachments: Vec::new(),
        }
    }

    /// The JSON and its attachments.
    pub(super) fn into_value(self) -> (Vec<u8>, Vec<Bytes>) {
        (self.text, self.attachments)
    }

    /// Checks what can be said without reading the JSON.
    pub(super) fn into_parts(self, limits: &Limits) -> Result<(Header, Vec<Bytes>), Violation> {
        let Self { kind, ack, mut text, json, attachments } = self;
        let namespace = match text.get(1..json) {
            Some([]) => 1..1,
            Some([name @ .., b',']) if name.starts_with(b"/") && !name.contains(&b',') => {
                1..json - 1
            }
            // No name, or a parser has cut off more than it had written.
            _ => return Err(Violation::NamespaceName),
        };
        if namespace.len() > limits.namespace_bytes_max {
            return Err(Violation::NamespaceName);
        }
        if text.len() - json > limits.json_bytes_max() {
            return Err(Violation::Expansion);
        }
        if attachments.len() > limits.whole_attachments_max {
            return Err(Violation::AttachmentCount);
        }
        if attachments.iter().map(Bytes::len).sum::<usize>() > limits.payload_bytes_max {
            return Err(Violation::AttachmentBytes);
        }
        if !is_text(&text) {
            return Err(Violation::Utf8);
        }
        // What a parser wrote and took back is not to be held as long as the packet is, uncounted.
        text.shrink_to(2 * text.len());
        let text = Bytes::from(text);
        let header = Header::of_whole(kind, ack, attachments.len(), text, namespace, json)?;
        Ok((header, attachments))
    }
}

/// A packet that is to be sent, as a [`Parser`] sees it.
#[derive(Clone)]
pub struct Plain<'a> {
    number: u8,
    namespace: &'a str,
    ack: Option<AckId>,
    json: &'a str,
    attachments: Vec<&'a [u8]>,
}

impl fmt::Debug for Plain<'_> {
    /// Of the JSON, only how long it is: the answer to CONNECT has a recovery id in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain")
            .field("number", &self.number)
            .field("namespace", &self.namespace)
            .field("ack", &self.ack)
            .field("json", &Hidden::new(&self.json))
            .field("attachments", &self.attachments.len())
            .finish()
    }
}

impl<'a> Plain<'a> {
    /// The number of its type: 0 CONNECT, 1 DISCONNECT, 2 EVENT, 3 ACK, 4 CONNECT_ERROR.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// The namespace, such as `/`.
    pub const fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// The id of an event that is to be answered, or of an ack.
    pub const fn ack(&self) -> Option<AckId> {
        self.ack
    }

    /// The JSON of the payload, with a placeholder for each attachment; `None` where the packet has
    /// no payload. For an event it is an array of its name and its arguments, for an ack one of its
    /// arguments, otherwise an object.
    pub fn json(&self) -> Option<&'a str> {
        (!self.json.is_empty()).then_some(self.json)
    }

    /// The attachments, in the order of their placeholders' numbers.
    pub fn attachments(&self) -> &[&'a [u8]] {
        &self.attachments
    }

    /// Reads what was written as a frame with the packet in the default encoding, and frames of
    /// attachments.
    pub(crate) fn read(packet: &'a [u8], attachments: &'a [u8]) -> Option<Self> {
        let (_, text) = frame::split(packet).next()?;
        let text = text.get(1..)?;
        let head = Head::read(text, u32::MAX, usize::MAX).ok()?;
        Some(Self {
            number: head.kind.plain().number(),
            namespace: head.namespace(text),
            ack: head.ack,
            json: std::str::from_utf8(text.get(head.json..)?).ok()?,
            attachments: frame::split(attachments).map(|(_, bytes)| bytes).collect(),
        })
    }
}
