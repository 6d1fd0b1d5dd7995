//! What the server says, as packets, and back.

use std::sync::Arc;
use std::time::Duration;

use roomful::adapter::{Message, Reliability, Reply, SocketState, Target};
use roomful::{Args, Handshake, SocketId};
use roomful_proto::cluster::{Ask, Body, Flags, Selection};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How long another node waits for acks at most where it does not say so, as the official adapter.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// A message that is answered by nobody.
pub(crate) fn body(message: Message) -> Option<Body> {
    Some(match message {
        Message::Emit { target, name, args, ask: None } => {
            Body::Emit { to: selection(target), name, args, request: None }
        }
        Message::Join { target, rooms } => Body::Join { to: selection(target), rooms },
        Message::Leave { target, rooms } => Body::Leave { to: selection(target), rooms },
        Message::Disconnect { target, close } => Body::Disconnect { to: selection(target), close },
        Message::ServerSide { name, args } => Body::ServerSide { name, args, request: None },
        Message::Vacate { socket, visitor } => Body::Vacate { socket, visitor },
        _ => return None,
    })
}

/// A message that is answered.
pub(crate) fn request(message: Message, request: &Arc<str>) -> Option<(Ask, Body)> {
    let request = Arc::clone(request);
    Some(match message {
        Message::Emit { target, name, args, ask: Some(timeout) } => {
            let mut to = selection(target);
            to.flags.timeout_ms = u64::try_from(timeout.as_millis()).ok();
            (Ask::Clients, Body::Emit { to, name, args, request: Some(request) })
        }
        Message::Sockets { target } => (Ask::Nodes, Body::Fetch { to: selection(target), request }),
        Message::ServerSide { name, args } => {
            (Ask::Nodes, Body::ServerSide { name, args, request: Some(request) })
        }
        _ => return None,
    })
}

/// What another node wants, and the request that it makes where it wants an answer.
pub(crate) fn message(body: Body) -> Option<(Message, Option<Arc<str>>)> {
    Some(match body {
        Body::Emit { to, name, args, request } => {
            let wait = to.flags.timeout_ms.map_or(ASK_TIMEOUT, Duration::from_millis);
            let ask = request.is_some().then_some(wait);
            (Message::Emit { target: target(to), name, args, ask }, request)
        }
        Body::Join { to, rooms } => (Message::Join { target: target(to), rooms }, None),
        Body::Leave { to, rooms } => (Message::Leave { target: target(to), rooms }, None),
        Body::Disconnect { to, close } => (Message::Disconnect { target: target(to), close }, None),
        Body::Fetch { to, request } | Body::Ids { to, request } => {
            (Message::Sockets { target: target(to) }, Some(request))
        }
        Body::ServerSide { name, args, request } => (Message::ServerSide { name, args }, request),
        Body::Vacate { socket, visitor } => (Message::Vacate { socket, visitor }, None),
        _ => return None,
    })
}

/// What another node has answered.
pub(crate) fn reply(body: &Body) -> Option<Reply> {
    Some(match body {
        Body::ClientCount { count, .. } => Reply::Clients(*count),
        Body::Ack { answer, .. } => Reply::Ack(None, answer.clone()),
        Body::Fetched { sockets, .. } => {
            // Each by itself: one that does not fit hides no other.
            let sockets: Vec<Box<RawValue>> = sockets.get(0).unwrap_or_default();
            let told = sockets.iter().filter_map(|socket| serde_json::from_str(socket.get()).ok());
            Reply::Sockets(told.filter_map(Told::into_state).collect())
        }
        Body::ServerSideAnswer { answer, .. } => Reply::ServerSide(answer.clone()),
        _ => return None,
    })
}

/// What this node answers.
pub(crate) fn answer(reply: Reply, request: &Arc<str>, ids_only: bool) -> Option<Body> {
    let request = Arc::clone(request);
    Some(match reply {
        Reply::Clients(count) => Body::ClientCount { request, count },
        Reply::Ack(_, answer) => Body::Ack { request, answer },
        Reply::Sockets(sockets) if ids_only => {
            let ids = sockets.iter().map(|socket| socket.id.to_string()).collect();
            Body::IdsAnswer { request, ids }
        }
        Reply::Sockets(sockets) => {
            let told: Vec<Told> = sockets.into_iter().map(Told::of).collect();
            Body::Fetched { request, sockets: Args::new(&told).ok()? }
        }
        Reply::ServerSide(answer) => Body::ServerSideAnswer { request, answer },
        _ => return None,
    })
}

fn selection(target: Target) -> Selection {
    let rooms = match target.socket {
        Some(id) => vec![id.to_string()],
        None => target.rooms,
    };
    let flags = Flags {
        volatile: target.reliability == Reliability::Volatile,
        compress: target.compress,
        latest: match target.reliability {
            Reliability::Latest(key) => Some(key),
            _ => None,
        },
        timeout_ms: None,
    };
    Selection { rooms, except: target.except, flags }
}

fn target(to: Selection) -> Target {
    let mut target = Target::everyone();
    target.rooms = to.rooms;
    target.except = to.except;
    target.compress = to.flags.compress;
    target.reliability = match (to.flags.volatile, to.flags.latest) {
        (true, _) => Reliability::Volatile,
        (false, Some(key)) => Reliability::Latest(key),
        (false, None) => Reliability::Reliable,
    };
    target
}

/// A socket as nodes tell of it.
#[derive(Serialize, Deserialize)]
struct Told {
    id: String,
    handshake: Option<Handshake>,
    #[serde(default)]
    rooms: Vec<serde_json::Value>,
    #[serde(default)]
    data: serde_json::Value,
}

impl Told {
    fn of(state: SocketState) -> Self {
        Self {
            id: state.id.to_string(),
            handshake: Some(state.handshake),
            rooms: state.rooms.into_iter().map(serde_json::Value::String).collect(),
            data: state.data,
        }
    }

    fn into_state(self) -> Option<SocketState> {
        let name = |room: serde_json::Value| match room {
            serde_json::Value::String(name) => Some(name),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Some(SocketState {
            id: SocketId::parse(&self.id)?,
            handshake: self.handshake?,
            rooms: self.rooms.into_iter().filter_map(name).collect(),
            data: self.data,
        })
    }
}
