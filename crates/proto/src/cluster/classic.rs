//! The wire of `@socket.io/redis-adapter` 8 and `@socket.io/redis-emitter` 5: plain publish and subscribe.
//!
//! | what | channel | body |
//! |---|---|---|
//! | an event | `KEY#NSP#`, or `KEY#NSP#ROOM#` when it is for one room | msgpack `[uid, packet, opts]` |
//! | a request | `KEY-request#NSP#` | JSON, or msgpack where there are bytes in it |
//! | an answer | `KEY-response#NSP#` | as well |
//!
//! An answer does not say who gives it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::data::{self, Data, Name, Opts};
use super::envelope::{Object, push_event, push_packet};
use super::packet::{Body, Flags, Malformed, Packet, Selection};
use crate::args::Args;
use crate::limits::Limits;
use crate::socket::msgpack::write;

const IDS: u64 = 0;
const ROOMS: u64 = 1;
const JOIN: u64 = 2;
const LEAVE: u64 = 3;
const DISCONNECT: u64 = 4;
const FETCH: u64 = 5;
const SERVER_SIDE: u64 = 6;
const EMIT: u64 = 7;
const CLIENT_COUNT: u64 = 8;
const ACK: u64 = 9;

/// Which of its channels a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// Events for everyone, or for one room.
    Events(Option<&'a str>),
    /// Requests.
    Requests,
    /// Answers.
    Answers,
}

impl Channel<'_> {
    /// Its name, behind a prefix that is `socket.io` unless somebody has said otherwise.
    pub fn name(self, key: &str, namespace: &str) -> String {
        match self {
            Self::Events(None) => format!("{key}#{namespace}#"),
            Self::Events(Some(room)) => format!("{key}#{namespace}#{room}#"),
            Self::Requests => format!("{key}-request#{namespace}#"),
            Self::Answers => format!("{key}-response#{namespace}#"),
        }
    }
}

/// The room that a channel of events is for, by its name without `KEY#NSP#`: none is everyone.
pub fn room_of(rest: &str) -> Option<&str> {
    rest.strip_suffix('#').filter(|room| !room.is_empty())
}

/// Writes a packet, and says where it goes. `None` for what this wire has no word for.
pub fn encode(packet: &Packet) -> Option<(Channel<'_>, Bytes)> {
    let bytes = |data: Data| match data.is_binary() {
        true => data.to_msgpack().into(),
        false => Bytes::from(data.json),
    };
    Some(match &packet.body {
        Body::Hello | Body::Heartbeat | Body::Goodbye | Body::Gap => return None,
        Body::Logged(_) | Body::Vacate { .. } => return None,
        Body::Emit { to, name, args, request: None } => {
            let room = match &*to.rooms {
                [room] => Some(&**room),
                _ => None,
            };
            let event = event(&packet.namespace, &packet.from, to, name, args);
            (Channel::Events(room), event.into())
        }
        Body::Emit { .. } => (Channel::Requests, request(packet)?.to_msgpack().into()),
        body if body.answers().is_some() => (Channel::Answers, bytes(answer(body)?)),
        _ => (Channel::Requests, bytes(request(packet)?)),
    })
}

/// Reads an event. `None` when it is one of another namespace: the names of two may be such that channels of the one
/// look like those of the other.
pub fn decode_event(
    namespace: &Arc<str>,
    message: &Bytes,
    limits: &Limits,
) -> Result<Option<Packet>, Malformed> {
    let data = read(message, limits)?;
    let Event(uid, packet, opts) = data.read()?;
    if packet.nsp.as_deref().unwrap_or("/") != &**namespace {
        return Ok(None);
    }
    let (name, args) = data.event(packet.data.ok_or(Malformed::NotAPacket)?)?;
    let to = opts.ok_or(Malformed::NotAPacket)?.into_selection();
    let body = Body::Emit { to, name, args, request: None };
    let namespace = Arc::clone(namespace);
    Packet { from: uid.into(), to: None, namespace, body }.checked(limits).map(Some)
}

/// Reads a request.
pub fn decode_request(
    namespace: &Arc<str>,
    message: &Bytes,
    limits: &Limits,
) -> Result<Packet, Malformed> {
    let data = read(message, limits)?;
    let fields: Fields<'_> = data.read()?;
    let request: Option<Arc<str>> = fields.request_id.map(Arc::from);
    let asked = || request.clone().ok_or(Malformed::NotAPacket);
    let mut opts = fields.opts.map(Opts::into_selection);
    // What is for everyone says so.
    let mut to = || opts.take().ok_or(Malformed::NotAPacket);
    let rooms = || data::names(fields.rooms.unwrap_or_default());
    let body = match fields.kind.ok_or(Malformed::NotAPacket)? {
        IDS => {
            let to = Selection { rooms: rooms(), ..Selection::default() };
            Body::Ids { to, request: asked()? }
        }
        ROOMS => Body::Rooms { request: asked()? },
        JOIN => Body::Join { to: to()?, rooms: rooms() },
        LEAVE => Body::Leave { to: to()?, rooms: rooms() },
        DISCONNECT => Body::Disconnect { to: to()?, close: fields.close.unwrap_or(false) },
        FETCH => Body::Fetch { to: to()?, request: asked()? },
        SERVER_SIDE => {
            let (name, args) = data.event(fields.data.ok_or(Malformed::NotAPacket)?)?;
            Body::ServerSide { name, args, request }
        }
        EMIT => {
            let raw = fields.packet.ok_or(Malformed::NotAPacket)?.get();
            let packet: Inner<'_> = serde_json::from_str(raw).map_err(|_| Malformed::NotAPacket)?;
            let (name, args) = data.event(packet.data.ok_or(Malformed::NotAPacket)?)?;
            Body::Emit { to: to()?, name, args, request: Some(asked()?) }
        }
        _ => return Err(Malformed::UnknownType),
    };
    let from = fields.uid.unwrap_or_default().into();
    Packet { from, to: None, namespace: Arc::clone(namespace), body }.checked(limits)
}

/// Reads an answer.
pub fn decode_answer(
    namespace: &Arc<str>,
    message: &Bytes,
    limits: &Limits,
) -> Result<Packet, Malformed> {
    let data = read(message, limits)?;
    let fields: Fields<'_> = data.read()?;
    let request: Arc<str> = fields.request_id.ok_or(Malformed::NotAPacket)?.into();
    let body = match fields.kind {
        Some(SERVER_SIDE) => Body::ServerSideAnswer { request, answer: data.one(fields.data)? },
        Some(CLIENT_COUNT) => {
            let count = fields.client_count.and_then(|count| usize::try_from(count).ok());
            Body::ClientCount { request, count: count.ok_or(Malformed::NotAPacket)? }
        }
        Some(ACK) => Body::Ack { request, answer: data.one(fields.packet)? },
        _ => match (fields.sockets, fields.rooms) {
            // An empty list may be either, and only `Fetched` is asked for here.
            (Some(sockets), _) => match serde_json::from_str::<Vec<String>>(sockets.get()) {
                Ok(ids) if !ids.is_empty() => Body::IdsAnswer { request, ids },
                _ => Body::Fetched { request, sockets: data.one(Some(sockets))? },
            },
            (None, Some(rooms)) => Body::RoomsAnswer { request, rooms: data::names(rooms) },
            // The answer to a request of an old form, which we do not send.
            (None, None) => return Err(Malformed::UnknownType),
        },
    };
    Packet { from: "".into(), to: None, namespace: Arc::clone(namespace), body }.checked(limits)
}

/// An event.
#[derive(Deserialize)]
struct Event<'a>(String, #[serde(borrow)] Inner<'a>, #[serde(borrow, default)] Option<Opts<'a>>);

/// The packet of Socket.IO in it.
#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    nsp: Option<String>,
}

/// What requests and answers may have.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Fields<'a> {
    uid: Option<String>,
    #[serde(rename = "type")]
    kind: Option<u64>,
    request_id: Option<String>,
    #[serde(borrow)]
    opts: Option<Opts<'a>>,
    #[serde(borrow)]
    rooms: Option<Vec<Name<'a>>>,
    close: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    packet: Option<&'a RawValue>,
    #[serde(borrow)]
    sockets: Option<&'a RawValue>,
    client_count: Option<u64>,
}

fn read(message: &Bytes, limits: &Limits) -> Result<Data, Malformed> {
    if message.len() > limits.payload_bytes_max {
        return Err(Malformed::TooLarge);
    }
    match message.first() {
        Some(b'{') => Data::from_json(message, limits),
        _ => Data::from_msgpack(message, limits),
    }
}

/// Writes an event. Of what every event pays only its arguments are JSON that becomes msgpack.
fn event(namespace: &str, from: &str, to: &Selection, name: &str, args: &Args) -> Vec<u8> {
    let attached: usize = args.attachments().iter().map(|bytes| bytes.len() + 5).sum();
    let mut out = Vec::with_capacity(args.as_json().len() + attached + EVENT_BYTES);
    write::array(&mut out, 3);
    write::text(&mut out, from.as_bytes());
    write::map(&mut out, 3);
    write::text(&mut out, b"type");
    write::unsigned(&mut out, 2);
    write::text(&mut out, b"data");
    let mut json = Vec::with_capacity(args.as_json().len() + name.len() + 8);
    push_event(&mut json, name, args);
    let attachments: Vec<&[u8]> = args.attachments().iter().map(|bytes| &**bytes).collect();
    write::payload(&mut out, &json, &attachments);
    write::text(&mut out, b"nsp");
    write::text(&mut out, namespace.as_bytes());
    push_opts(&mut out, to);
    out
}

/// About as many bytes stand around the arguments of an event.
const EVENT_BYTES: usize = 128;

fn push_opts(out: &mut Vec<u8>, to: &Selection) {
    write::map(out, 3);
    for (key, rooms) in [("rooms", &to.rooms), ("except", &to.except)] {
        write::text(out, key.as_bytes());
        write::array(out, rooms.len());
        rooms.iter().for_each(|room| write::text(out, room.as_bytes()));
    }
    let Flags { volatile, compress, latest, timeout_ms } = to.flags;
    let booleans =
        [("volatile", volatile.then_some(true)), ("compress", (!compress).then_some(false))];
    let numbers = [("latest", latest), ("timeout", timeout_ms)];
    let booleans = booleans.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let numbers = numbers.into_iter().filter_map(|(key, value)| Some((key, value?)));
    write::text(out, b"flags");
    write::map(out, booleans.clone().count() + numbers.clone().count());
    for (key, value) in booleans {
        write::text(out, key.as_bytes());
        write::boolean(out, value);
    }
    for (key, value) in numbers {
        write::text(out, key.as_bytes());
        write::unsigned(out, value);
    }
}

fn request(packet: &Packet) -> Option<Data> {
    let mut object = Object::new();
    object.field("uid", &packet.from);
    match &packet.body {
        Body::Ids { to, request } => {
            object.field("type", &IDS);
            object.field("requestId", request);
            object.field("rooms", &to.rooms);
        }
        Body::Rooms { request } => {
            object.field("type", &ROOMS);
            object.field("requestId", request);
        }
        Body::Join { to, rooms } => {
            object.field("type", &JOIN);
            object.field("opts", &Opts::new(to));
            object.field("rooms", rooms);
        }
        Body::Leave { to, rooms } => {
            object.field("type", &LEAVE);
            object.field("opts", &Opts::new(to));
            object.field("rooms", rooms);
        }
        Body::Disconnect { to, close } => {
            object.field("type", &DISCONNECT);
            object.field("opts", &Opts::new(to));
            object.field("close", close);
        }
        Body::Fetch { to, request } => {
            object.field("type", &FETCH);
            object.field("requestId", request);
            object.field("opts", &Opts::new(to));
        }
        Body::ServerSide { name, args, request } => {
            object.field("type", &SERVER_SIDE);
            if let Some(request) = request {
                object.field("requestId", request);
            }
            object.key("data");
            push_event(&mut object.json, name, args);
            object.attachments = args.attachments().to_vec();
        }
        Body::Emit { to, name, args, request } => {
            object.field("type", &EMIT);
            object.field("requestId", request);
            object.key("packet");
            push_packet(&mut object.json, &packet.namespace, name, args);
            object.attachments = args.attachments().to_vec();
            object.field("opts", &Opts::new(to));
        }
        _ => return None,
    }
    Some(object.close())
}

fn answer(body: &Body) -> Option<Data> {
    let mut object = Object::new();
    match body {
        Body::IdsAnswer { request, ids } => {
            object.field("requestId", request);
            object.field("sockets", ids);
        }
        Body::RoomsAnswer { request, rooms } => {
            object.field("requestId", request);
            object.field("rooms", rooms);
        }
        Body::Fetched { request, sockets } => {
            object.field("requestId", request);
            object.args("sockets", sockets);
        }
        Body::ServerSideAnswer { request, answer } => {
            object.field("type", &SERVER_SIDE);
            object.field("requestId", request);
            object.args("data", answer);
        }
        Body::ClientCount { request, count } => {
            object.field("type", &CLIENT_COUNT);
            object.field("requestId", request);
            object.field("clientCount", count);
        }
        Body::Ack { request, answer } => {
            object.field("type", &ACK);
            object.field("requestId", request);
            object.args("packet", answer);
        }
        _ => return None,
    }
    Some(object.close())
}
