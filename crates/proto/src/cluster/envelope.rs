//! The common envelope of the official cluster adapters: sharded Redis, Redis Streams, PostgreSQL, and of ours for
//! NATS.
//!
//! ```json
//! { "uid": "0123456789abcdef", "nsp": "/", "type": 3, "data": { … } }
//! ```
//!
//! It is JSON, or msgpack where there are bytes in it. The first byte says which: no map of msgpack begins with `{`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::data::{self, Data, Name, Opts};
use super::packet::{Body, Malformed, Packet};
use crate::args::Args;
use crate::limits::Limits;

const HELLO: u64 = 1;
const HEARTBEAT: u64 = 2;
const EMIT: u64 = 3;
const JOIN: u64 = 4;
const LEAVE: u64 = 5;
const DISCONNECT: u64 = 6;
const FETCH: u64 = 7;
const FETCHED: u64 = 8;
const SERVER_SIDE: u64 = 9;
const SERVER_SIDE_ANSWER: u64 = 10;
const CLIENT_COUNT: u64 = 11;
const ACK: u64 = 12;
const GOODBYE: u64 = 13;
/// Of ours: official servers pass over types that they do not know.
const GAP: u64 = 100;
const VACATE: u64 = 101;

/// Writes a packet: as JSON, or as msgpack where there are bytes in it. `None` for what this wire has no word for.
pub fn encode(packet: &Packet) -> Option<Bytes> {
    let envelope = envelope(packet)?;
    Some(if envelope.is_binary() { envelope.to_msgpack().into() } else { envelope.json.into() })
}

/// Writes a packet as msgpack.
pub fn encode_msgpack(packet: &Packet) -> Option<Bytes> {
    Some(envelope(packet)?.to_msgpack().into())
}

/// Reads a packet.
pub fn decode(message: &Bytes, limits: &Limits) -> Result<Packet, Malformed> {
    decode_in(None, message, limits)
}

/// Reads a packet that came by the channel of a namespace: one that names none is of that, and one that names another
/// is refused.
pub fn decode_in(
    namespace: Option<&str>,
    message: &Bytes,
    limits: &Limits,
) -> Result<Packet, Malformed> {
    if message.len() > limits.payload_bytes_max {
        return Err(Malformed::TooLarge);
    }
    let data = match message.first() {
        Some(b'{') => Data::from_json(message, limits)?,
        _ => Data::from_msgpack(message, limits)?,
    };
    let envelope: Envelope<'_> = data.read()?;
    let named = envelope.nsp.as_deref().or(namespace).ok_or(Malformed::NotAPacket)?;
    // Who may publish in one namespace is not to be heard in another.
    if namespace.is_some_and(|namespace| namespace != named) || envelope.uid.is_empty() {
        return Err(Malformed::Refused);
    }
    let body = read(envelope.kind, envelope.data, &data)?;
    Packet { from: envelope.uid.into(), to: None, namespace: named.into(), body }.checked(limits)
}

/// The number of a type, and its data as the envelope has it. `None` for what this wire has no word for.
pub fn encode_data(packet: &Packet) -> Option<(u64, Option<Data>)> {
    let kind = kind(&packet.body)?;
    Some((kind, write(packet)))
}

/// The rooms that an event is for, without reading the rest of it: so it can be passed over where nobody is in them.
/// `None` where all of it has to be read: it is something else, wants answers, is for everyone, or names a room in a way
/// that is rare.
pub fn rooms_of(kind: u64, data: &[u8]) -> Option<Vec<&str>> {
    if kind != EMIT || data.first() != Some(&b'{') {
        return None;
    }
    let audience: Audience<'_> = serde_json::from_slice(data).ok()?;
    let rooms = audience.opts?.rooms.filter(|rooms| !rooms.is_empty())?;
    let names = rooms.into_iter().map(|room| {
        let name = room.get().strip_prefix('"')?.strip_suffix('"')?;
        (!name.contains('\\')).then_some(name)
    });
    names.collect::<Option<_>>().filter(|_| audience.request_id.is_none())
}

/// Reads a packet from the parts of its envelope.
pub fn decode_data(
    from: Arc<str>,
    namespace: Arc<str>,
    kind: u64,
    data: Option<&Data>,
    limits: &Limits,
) -> Result<Packet, Malformed> {
    let none = Data::default();
    let raw = data.map(Data::read::<&RawValue>).transpose()?;
    let body = read(kind, raw, data.unwrap_or(&none))?;
    Packet { from, to: None, namespace, body }.checked(limits)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    uid: String,
    #[serde(default)]
    nsp: Option<String>,
    #[serde(rename = "type")]
    kind: u64,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Of an event to clients, for whom it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audience<'a> {
    #[serde(borrow, default)]
    opts: Option<AudienceOpts<'a>>,
    #[serde(default)]
    request_id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct AudienceOpts<'a> {
    #[serde(borrow, default)]
    rooms: Option<Vec<&'a RawValue>>,
}

/// What `data` may have, of whatever type the packet is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Fields<'a> {
    #[serde(borrow)]
    opts: Option<Opts<'a>>,
    #[serde(borrow)]
    packet: Option<&'a RawValue>,
    request_id: Option<String>,
    #[serde(borrow)]
    rooms: Option<Vec<Name<'a>>>,
    close: bool,
    #[serde(borrow)]
    sockets: Option<&'a RawValue>,
    client_count: u64,
    socket: Option<String>,
    visitor: Option<String>,
}

/// The packet of Socket.IO inside an event to clients.
#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

fn read(kind: u64, raw: Option<&RawValue>, data: &Data) -> Result<Body, Malformed> {
    match kind {
        HELLO => return Ok(Body::Hello),
        HEARTBEAT => return Ok(Body::Heartbeat),
        GOODBYE => return Ok(Body::Goodbye),
        GAP => return Ok(Body::Gap),
        EMIT..=ACK | VACATE => {}
        _ => return Err(Malformed::UnknownType),
    }
    let raw = raw.ok_or(Malformed::NotAPacket)?.get();
    let fields: Fields<'_> = serde_json::from_str(raw).map_err(|_| Malformed::NotAPacket)?;
    let mut opts = fields.opts.map(Opts::into_selection);
    // What is for everyone says so.
    let mut to = || opts.take().ok_or(Malformed::NotAPacket);
    let request: Option<Arc<str>> = fields.request_id.map(Arc::from);
    let asked = || request.clone().ok_or(Malformed::NotAPacket);
    Ok(match kind {
        EMIT => {
            let raw = fields.packet.ok_or(Malformed::NotAPacket)?;
            let inner: Inner<'_> =
                serde_json::from_str(raw.get()).map_err(|_| Malformed::NotAPacket)?;
            let (name, args) = data.event(inner.data)?;
            Body::Emit { to: to()?, name, args, request }
        }
        JOIN => Body::Join { to: to()?, rooms: data::names(fields.rooms.unwrap_or_default()) },
        LEAVE => Body::Leave { to: to()?, rooms: data::names(fields.rooms.unwrap_or_default()) },
        DISCONNECT => Body::Disconnect { to: to()?, close: fields.close },
        FETCH => Body::Fetch { to: to()?, request: asked()? },
        FETCHED => Body::Fetched { request: asked()?, sockets: data.one(fields.sockets)? },
        SERVER_SIDE => {
            let (name, args) = data.event(fields.packet.ok_or(Malformed::NotAPacket)?)?;
            Body::ServerSide { name, args, request }
        }
        SERVER_SIDE_ANSWER => {
            Body::ServerSideAnswer { request: asked()?, answer: data.one(fields.packet)? }
        }
        VACATE => {
            let text = |text: Option<String>| text.ok_or(Malformed::NotAPacket);
            Body::Vacate { socket: text(fields.socket)?, visitor: text(fields.visitor)? }
        }
        CLIENT_COUNT => {
            let count = usize::try_from(fields.client_count).unwrap_or(usize::MAX);
            Body::ClientCount { request: asked()?, count }
        }
        _ => Body::Ack { request: asked()?, answer: data.one(fields.packet)? },
    })
}

fn envelope(packet: &Packet) -> Option<Data> {
    let kind = kind(&packet.body)?;
    let mut json = Vec::with_capacity(128);
    json.extend_from_slice(b"{\"uid\":");
    push(&mut json, &packet.from);
    json.extend_from_slice(b",\"nsp\":");
    push(&mut json, &packet.namespace);
    json.extend_from_slice(b",\"type\":");
    push(&mut json, &kind);
    let data = write(packet);
    if let Some(data) = &data {
        json.extend_from_slice(b",\"data\":");
        json.extend_from_slice(&data.json);
    }
    json.push(b'}');
    Some(Data { json, attachments: data.map(|data| data.attachments).unwrap_or_default() })
}

const fn kind(body: &Body) -> Option<u64> {
    Some(match body {
        Body::Hello => HELLO,
        Body::Heartbeat => HEARTBEAT,
        Body::Goodbye => GOODBYE,
        Body::Emit { .. } => EMIT,
        Body::Join { .. } => JOIN,
        Body::Leave { .. } => LEAVE,
        Body::Disconnect { .. } => DISCONNECT,
        Body::Fetch { .. } => FETCH,
        Body::Fetched { .. } => FETCHED,
        Body::ServerSide { .. } => SERVER_SIDE,
        Body::ServerSideAnswer { .. } => SERVER_SIDE_ANSWER,
        Body::ClientCount { .. } => CLIENT_COUNT,
        Body::Ack { .. } => ACK,
        Body::Ids { .. } | Body::IdsAnswer { .. } => return None,
        Body::Rooms { .. } | Body::RoomsAnswer { .. } | Body::Logged(_) => return None,
        Body::Gap => GAP,
        Body::Vacate { .. } => VACATE,
    })
}

/// The `data` of an envelope.
fn write(packet: &Packet) -> Option<Data> {
    let mut object = Object::new();
    match &packet.body {
        Body::Hello | Body::Heartbeat | Body::Goodbye | Body::Gap => return None,
        Body::Logged(_) => return None,
        Body::Ids { .. } | Body::IdsAnswer { .. } => return None,
        Body::Rooms { .. } | Body::RoomsAnswer { .. } => return None,
        Body::Emit { to, name, args, request } => {
            object.field("opts", &Opts::new(to));
            object.key("packet");
            push_packet(&mut object.json, &packet.namespace, name, args);
            object.attachments = args.attachments().to_vec();
            if let Some(request) = request {
                object.field("requestId", request);
            }
        }
        Body::Join { to, rooms } | Body::Leave { to, rooms } => {
            object.field("opts", &Opts::new(to));
            object.field("rooms", rooms);
        }
        Body::Disconnect { to, close } => {
            object.field("opts", &Opts::new(to));
            object.field("close", close);
        }
        Body::Fetch { to, request } => {
            object.field("opts", &Opts::new(to));
            object.field("requestId", request);
        }
        Body::Fetched { request, sockets } => {
            object.field("requestId", request);
            object.args("sockets", sockets);
        }
        Body::ServerSide { name, args, request } => {
            if let Some(request) = request {
                object.field("requestId", request);
            }
            object.key("packet");
            push_event(&mut object.json, name, args);
            object.attachments = args.attachments().to_vec();
        }
        Body::ServerSideAnswer { request, answer } | Body::Ack { request, answer } => {
            object.field("requestId", request);
            object.args("packet", answer);
        }
        Body::Vacate { socket, visitor } => {
            object.field("socket", socket);
            object.field("visitor", visitor);
        }
        Body::ClientCount { request, count } => {
            object.field("requestId", request);
            object.field("clientCount", count);
        }
    }
    Some(object.close())
}

/// A JSON object that is being written.
pub(super) struct Object {
    pub(super) json: Vec<u8>,
    pub(super) attachments: Vec<Bytes>,
}

impl Object {
    pub(super) fn new() -> Self {
        Self { json: vec![b'{'], attachments: Vec::new() }
    }

    pub(super) fn key(&mut self, key: &str) {
        if self.json.len() > 1 {
            self.json.push(b',');
        }
        push(&mut self.json, key);
        self.json.push(b':');
    }

    pub(super) fn field<T: serde::Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.key(key);
        push(&mut self.json, value);
    }

    /// The first of some arguments, or `null`: what JavaScript gives to an ack.
    pub(super) fn args(&mut self, key: &str, args: &Args) {
        self.key(key);
        let first = args.iter().next().unwrap_or(b"null");
        self.json.extend_from_slice(first);
        self.attachments = args.attachments().to_vec();
    }

    pub(super) fn close(mut self) -> Data {
        self.json.push(b'}');
        Data { json: self.json, attachments: self.attachments }
    }
}

/// Writes the packet of Socket.IO that an event is.
pub(super) fn push_packet(json: &mut Vec<u8>, namespace: &str, name: &str, args: &Args) {
    json.extend_from_slice(b"{\"type\":2,\"data\":");
    push_event(json, name, args);
    json.extend_from_slice(b",\"nsp\":");
    push(json, namespace);
    json.push(b'}');
}

/// Writes an event as an array.
pub(super) fn push_event(json: &mut Vec<u8>, name: &str, args: &Args) {
    json.push(b'[');
    push(json, name);
    if !args.is_empty() {
        json.push(b',');
        json.extend_from_slice(args.as_json());
    }
    json.push(b']');
}

/// Writes a value of ours: texts, numbers, and lists of them, which can always be written.
pub(super) fn push<T: serde::Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    let written = serde_json::to_writer(json, value);
    debug_assert!(written.is_ok(), "texts and numbers are JSON");
}
