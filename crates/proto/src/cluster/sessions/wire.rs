//! The messages as msgpack: a map with `senderId`, `recipientId`, `requestId`, `type`, `data` and `_source`.

use bytes::Bytes;

use super::fields::{Fields, Value};
use super::message::{Body, Carried, Message, NodeId, Want};
use crate::cluster::Malformed;
use crate::engine::Data;
use crate::id::SessionId;
use crate::socket::msgpack::write;

/// What marks a message of this wire, since others may use the same channel.
const SOURCE: &[u8] = b"_eio";

const LOCK: u64 = 0;
const LOCK_ANSWER: u64 = 1;
const DRAIN: u64 = 2;
const PACKET: u64 = 3;
const UPGRADE: u64 = 4;
const UPGRADE_ANSWER: u64 = 5;
const CLOSE: u64 = 6;

/// Why a client went, in the words of the wire.
const IN_ORDER: &[u8] = b"transport close";
const BROKEN: &[u8] = b"transport error";

/// Writes a message.
pub fn encode(message: &Message) -> Vec<u8> {
    let body = &message.body;
    let request = body.request();
    let mut out = Vec::with_capacity(160 + body.len());
    let fields = 4 + usize::from(request.is_some()) + usize::from(message.to.is_some());
    write::map(&mut out, fields);
    if let Some(request) = request {
        write::text(&mut out, b"requestId");
        write::unsigned(&mut out, request);
    }
    pair(&mut out, b"senderId", message.from.as_str().as_bytes());
    if let Some(to) = &message.to {
        pair(&mut out, b"recipientId", to.as_str().as_bytes());
    }
    write::text(&mut out, b"type");
    write::unsigned(&mut out, body.number());
    write::text(&mut out, b"data");
    body.encode(&mut out);
    pair(&mut out, b"_source", SOURCE);
    out
}

fn pair(out: &mut Vec<u8>, name: &[u8], text: &[u8]) {
    write::text(out, name);
    write::text(out, text);
}

fn flag(out: &mut Vec<u8>, name: &[u8], value: bool) {
    write::text(out, name);
    write::boolean(out, value);
}

fn list(out: &mut Vec<u8>, packets: &[Carried]) {
    write::text(out, b"packets");
    write::array(out, packets.len());
    packets.iter().for_each(|packet| packet.encode(out));
}

impl Body {
    const fn number(&self) -> u64 {
        match self {
            Self::Lock { .. } => LOCK,
            Self::LockAnswer { .. } => LOCK_ANSWER,
            Self::Drain { .. } => DRAIN,
            Self::Packet { .. } => PACKET,
            Self::Upgrade { .. } => UPGRADE,
            Self::UpgradeAnswer { .. } => UPGRADE_ANSWER,
            Self::Close { .. } => CLOSE,
        }
    }

    const fn request(&self) -> Option<u64> {
        match self {
            Self::Lock { request, .. }
            | Self::LockAnswer { request, .. }
            | Self::Upgrade { request, .. }
            | Self::UpgradeAnswer { request, .. } => Some(*request),
            Self::Drain { .. } | Self::Packet { .. } | Self::Close { .. } => None,
        }
    }

    /// Bytes that its packets take, nearly.
    fn len(&self) -> usize {
        match self {
            Self::Drain { packets, .. } | Self::UpgradeAnswer { packets, .. } => {
                packets.iter().map(|packet| packet.len() + 32).sum()
            }
            Self::Packet { packet, .. } => packet.len(),
            _ => 0,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Lock { session, want, .. } => {
                let (transport, kind): (&[u8], &[u8]) = match want {
                    Want::Read => (b"polling", b"read"),
                    Want::Write => (b"polling", b"write"),
                    Want::Stream => (b"websocket", b"read"),
                };
                write::map(out, 3);
                pair(out, b"sid", session.as_bytes());
                pair(out, b"transportName", transport);
                pair(out, b"type", kind);
            }
            Self::LockAnswer { granted, .. } => {
                write::map(out, 1);
                flag(out, b"success", *granted);
            }
            Self::Drain { session, packets } => {
                write::map(out, 2);
                pair(out, b"sid", session.as_bytes());
                list(out, packets);
            }
            Self::Packet { session, packet } => {
                write::map(out, 2);
                pair(out, b"sid", session.as_bytes());
                write::text(out, b"packet");
                packet.encode(out);
            }
            Self::Upgrade { session, success, .. } => {
                write::map(out, 2);
                pair(out, b"sid", session.as_bytes());
                flag(out, b"success", *success);
            }
            Self::UpgradeAnswer { take_over, packets, .. } => {
                write::map(out, 2);
                flag(out, b"takeOver", *take_over);
                list(out, packets);
            }
            Self::Close { session, in_order } => {
                write::map(out, 2);
                pair(out, b"sid", session.as_bytes());
                pair(out, b"reason", if *in_order { IN_ORDER } else { BROKEN });
            }
        }
    }
}

impl Carried {
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, data) = self.parts();
        write::map(out, 1 + usize::from(data.is_some()));
        pair(out, b"type", kind.as_bytes());
        let Some(data) = data else {
            return;
        };
        write::text(out, b"data");
        match data {
            Data::Text(text) => write::text(out, &text),
            Data::Binary(bytes) => write::binary(out, &bytes),
        }
    }
}

/// Reads a message of up to `bytes_max` bytes.
///
/// # Errors
///
/// When it is not one of this wire, or longer.
pub fn decode(message: &Bytes, bytes_max: usize) -> Result<Message, Malformed> {
    if message.len() > bytes_max {
        return Err(Malformed::TooLarge);
    }
    let mut fields = Fields::new(message);
    let mut found = Found::default();
    for _ in 0..fields.map()? {
        found.read(&mut fields)?;
    }
    if !fields.is_done() || !found.is_ours {
        return Err(Malformed::NotAPacket);
    }
    found.into_message().ok_or(Malformed::NotAPacket)?
}

/// The fields of a message, in whatever order they come.
#[derive(Default)]
struct Found {
    is_ours: bool,
    from: Option<NodeId>,
    to: Option<NodeId>,
    request: Option<u64>,
    number: Option<u64>,
    data: Inner,
}

/// The fields of `data`, whatever the type.
#[derive(Default)]
struct Inner {
    session: Option<SessionId>,
    transport: Option<Bytes>,
    kind: Option<Bytes>,
    success: Option<bool>,
    packet: Option<Carried>,
    packets: Option<Vec<Carried>>,
    take_over: Option<bool>,
    reason: Option<Bytes>,
}

impl Found {
    fn read(&mut self, fields: &mut Fields<'_>) -> Result<(), Malformed> {
        let name = key(fields)?;
        let value = fields.value()?;
        match (&*name, value) {
            (b"_source", Value::Text(text)) => self.is_ours = text == SOURCE,
            (b"senderId", value) => self.from = node(value)?,
            (b"recipientId", value) => self.to = node(value)?,
            (b"requestId", Value::Number(number)) => self.request = Some(number),
            (b"type", Value::Number(number)) => self.number = Some(number),
            (b"data", Value::Map(pairs)) => {
                for _ in 0..pairs {
                    self.data.read(fields)?;
                }
            }
            (_, value) => fields.skip(&value)?,
        }
        Ok(())
    }

    /// `None` where something is missing.
    fn into_message(self) -> Option<Result<Message, Malformed>> {
        let Self { from, to, request, number, data, .. } = self;
        let body = match number? {
            LOCK => Body::Lock { request: request?, session: data.session?, want: data.want()? },
            LOCK_ANSWER => Body::LockAnswer { request: request?, granted: data.success? },
            DRAIN => Body::Drain { session: data.session?, packets: data.packets? },
            PACKET => Body::Packet { session: data.session?, packet: data.packet? },
            UPGRADE => {
                Body::Upgrade { request: request?, session: data.session?, success: data.success? }
            }
            UPGRADE_ANSWER => Body::UpgradeAnswer {
                request: request?,
                take_over: data.take_over?,
                packets: data.packets?,
            },
            CLOSE => Body::Close { session: data.session?, in_order: data.reason? == IN_ORDER },
            _ => return Some(Err(Malformed::UnknownType)),
        };
        Some(Ok(Message { from: from?, to, body }))
    }
}

impl Inner {
    fn read(&mut self, fields: &mut Fields<'_>) -> Result<(), Malformed> {
        let name = key(fields)?;
        let value = fields.value()?;
        match (&*name, value) {
            (b"sid", Value::Text(text)) => {
                self.session = std::str::from_utf8(&text).ok().and_then(SessionId::parse);
            }
            (b"transportName", Value::Text(text)) => self.transport = Some(text),
            (b"type", Value::Text(text)) => self.kind = Some(text),
            (b"reason", Value::Text(text)) => self.reason = Some(text),
            (b"success", Value::Bool(success)) => self.success = Some(success),
            (b"takeOver", Value::Bool(take_over)) => self.take_over = Some(take_over),
            (b"packet", Value::Map(pairs)) => self.packet = Some(packet(fields, pairs)?),
            (b"packets", Value::Array(len)) => self.packets = Some(packets(fields, len)?),
            (_, value) => fields.skip(&value)?,
        }
        Ok(())
    }

    fn want(&self) -> Option<Want> {
        match (&**self.transport.as_ref()?, &**self.kind.as_ref()?) {
            (b"polling", b"read") => Some(Want::Read),
            (b"polling", b"write") => Some(Want::Write),
            (b"websocket" | b"webtransport", _) => Some(Want::Stream),
            _ => None,
        }
    }
}

fn key(fields: &mut Fields<'_>) -> Result<Bytes, Malformed> {
    match fields.value()? {
        Value::Text(name) => Ok(name),
        _ => Err(Malformed::NotAPacket),
    }
}

fn node(value: Value) -> Result<Option<NodeId>, Malformed> {
    match value {
        Value::Nil => Ok(None),
        Value::Text(text) => {
            let id = std::str::from_utf8(&text).ok().and_then(NodeId::parse);
            id.map(Some).ok_or(Malformed::NotAPacket)
        }
        _ => Err(Malformed::NotAPacket),
    }
}

fn packets(fields: &mut Fields<'_>, len: u32) -> Result<Vec<Carried>, Malformed> {
    let mut packets = Vec::new();
    for _ in 0..len {
        let pairs = fields.map()?;
        packets.push(packet(fields, pairs)?);
    }
    Ok(packets)
}

fn packet(fields: &mut Fields<'_>, pairs: u32) -> Result<Carried, Malformed> {
    let (mut kind, mut data) = (None, None);
    for _ in 0..pairs {
        let name = key(fields)?;
        match (&*name, fields.value()?) {
            (b"type", Value::Text(text)) => kind = Some(text),
            (b"data", Value::Nil) => data = None,
            (b"data", value @ (Value::Text(_) | Value::Binary(_))) => data = value.into_data(),
            (b"data", _) => return Err(Malformed::NotAPacket),
            (_, value) => fields.skip(&value)?,
        }
    }
    let kind = kind.ok_or(Malformed::NotAPacket)?;
    Carried::from_parts(&kind, data).ok_or(Malformed::NotAPacket)
}
