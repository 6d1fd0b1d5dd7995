//! [`Packet`]: what one node of a cluster says to others.

use std::fmt;
use std::sync::Arc;

use super::offset::Offset;
use crate::args::Args;
use crate::limits::Limits;

/// What one node says to others, in one namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// The uid of who says it. A node has one for each namespace; an emitter has `emitter` for all.
    pub from: Arc<str>,
    /// The uid of the node that it is for, where it is an answer to that.
    pub to: Option<Arc<str>>,
    /// The namespace.
    pub namespace: Arc<str>,
    /// What it says.
    pub body: Body,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A node has come; those that are there answer with a [`Heartbeat`](Self::Heartbeat).
    Hello,
    /// A node is still there.
    Heartbeat,
    /// A node goes.
    Goodbye,
    /// An event for the sockets of a selection. With a request it is to be answered: first with a
    /// [`ClientCount`](Self::ClientCount), then with an [`Ack`](Self::Ack) for each client.
    Emit {
        /// The sockets.
        to: Selection,
        /// The name of the event.
        name: String,
        /// Its arguments.
        args: Args,
        /// The request that the answers name.
        request: Option<Arc<str>>,
    },
    /// Put sockets into rooms.
    Join {
        /// The sockets.
        to: Selection,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Take sockets out of rooms.
    Leave {
        /// The sockets.
        to: Selection,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Disconnect sockets.
    Disconnect {
        /// The sockets.
        to: Selection,
        /// Close their whole connections.
        close: bool,
    },
    /// Tell of sockets.
    Fetch {
        /// The sockets.
        to: Selection,
        /// The request that the answer names.
        request: Arc<str>,
    },
    /// The sockets of a node: a JSON array of `{id, handshake, rooms, data}`.
    Fetched {
        /// The request.
        request: Arc<str>,
        /// The array, as one argument.
        sockets: Args,
    },
    /// An event for the servers themselves.
    ServerSide {
        /// The name of the event.
        name: String,
        /// Its arguments.
        args: Args,
        /// The request that the answer names, where one is wanted.
        request: Option<Arc<str>>,
    },
    /// What a server answered: one value.
    ServerSideAnswer {
        /// The request.
        request: Arc<str>,
        /// The value.
        answer: Args,
    },
    /// How many clients a node has asked.
    ClientCount {
        /// The request.
        request: Arc<str>,
        /// The number.
        count: usize,
    },
    /// What a client answered: the first argument of its ack.
    Ack {
        /// The request.
        request: Arc<str>,
        /// The argument.
        answer: Args,
    },
    /// The ids of the sockets of a selection, which a classic server may ask for.
    Ids {
        /// The sockets.
        to: Selection,
        /// The request that the answer names.
        request: Arc<str>,
    },
    /// The ids of the sockets of a node.
    IdsAnswer {
        /// The request.
        request: Arc<str>,
        /// The ids.
        ids: Vec<String>,
    },
    /// The names of all rooms of a node, which a classic server may ask for.
    Rooms {
        /// The request that the answer names.
        request: Arc<str>,
    },
    /// The names of all rooms of a node.
    RoomsAnswer {
        /// The request.
        request: Arc<str>,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// A node has sent something past the log: what lies before cannot be recovered. Official servers pass it over.
    Gap,
    /// A client has come to another node and wants its socket back: whoever has it ends its connection, if it is of that
    /// visitor. Official servers pass it over.
    Vacate {
        /// A hash of the secret of the socket.
        socket: String,
        /// A hash of what shows who the visitor is.
        visitor: String,
    },
    /// An entry of the log: one that is to be put there, or that the engine brings.
    Logged(Box<Logged>),
}

/// An entry of the log of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Where it stands; `None` while the engine has not said so.
    pub offset: Option<Offset>,
    /// It was there before somebody here listened: it is to be kept, and sent to nobody.
    pub is_past: bool,
    /// By which its node knows it when it comes back; 0 for those of official servers.
    pub number: u64,
    /// An event, or a gap.
    pub body: Body,
}

/// The sockets that are in one of some rooms and in none of others, and how an event goes to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The rooms; none is everyone.
    pub rooms: Vec<String>,
    /// The rooms whose members are left out.
    pub except: Vec<String>,
    /// How an event goes to them.
    pub flags: Flags,
}

/// How an event goes to its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// It is dropped where it cannot leave at once.
    pub volatile: bool,
    /// It may be compressed.
    pub compress: bool,
    /// It waits until the next of this key takes its place. Only nodes of ours know that.
    pub latest: Option<u64>,
    /// How long answers are waited for, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl Default for Flags {
    fn default() -> Self {
        Self { volatile: false, compress: true, latest: None, timeout_ms: None }
    }
}

impl Logged {
    /// An entry as the engine brings it.
    pub const fn brought(offset: Offset, number: u64, body: Body) -> Self {
        Self { offset: Some(offset), is_past: false, number, body }
    }

    /// One that is to be put into the log.
    pub const fn new(number: u64, body: Body) -> Self {
        Self { offset: None, is_past: false, number, body }
    }
}

/// Bytes of a uid or a request: official ones have 6 to 16.
const ID_BYTES_MAX: usize = 64;
/// Names of rooms in one list.
const ROOMS_MAX: usize = 10_000;

impl Packet {
    /// An entry of the log as the packet that it carries; any other as it is.
    pub fn unlogged(&self) -> std::borrow::Cow<'_, Self> {
        match &self.body {
            Body::Logged(logged) => {
                let (from, to, namespace) =
                    (Arc::clone(&self.from), self.to.clone(), Arc::clone(&self.namespace));
                std::borrow::Cow::Owned(Self { from, to, namespace, body: logged.body.clone() })
            }
            _ => std::borrow::Cow::Borrowed(self),
        }
    }

    /// Itself, if nothing in it is larger than it may be.
    pub(super) fn checked(self, limits: &Limits) -> Result<Self, Malformed> {
        if self.fits(limits) { Ok(self) } else { Err(Malformed::Refused) }
    }

    fn fits(&self, limits: &Limits) -> bool {
        let ids = [self.body.asks(), self.body.answers()].into_iter().flatten();
        // Not every wire says who answers.
        let named = (!self.from.is_empty()).then_some(&self.from);
        self.namespace.len() <= limits.namespace_bytes_max
            && named.into_iter().chain(ids).all(|id| is_id(id))
            && self.body.names().iter().all(|names| names.len() <= ROOMS_MAX)
            && self.body.event().is_none_or(|name| name.len() <= limits.event_bytes_max)
    }
}

/// Short, and of characters that mean nothing on any wire.
fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

impl Body {
    /// Whether it is dropped where it cannot leave at once.
    pub const fn is_volatile(&self) -> bool {
        matches!(self, Self::Emit { to, .. } if to.flags.volatile)
    }

    /// The request that this makes.
    fn asks(&self) -> Option<&Arc<str>> {
        match self {
            Self::Emit { request, .. } | Self::ServerSide { request, .. } => request.as_ref(),
            Self::Fetch { request, .. } | Self::Ids { request, .. } | Self::Rooms { request } => {
                Some(request)
            }
            _ => None,
        }
    }

    /// The name of the event that it is.
    fn event(&self) -> Option<&str> {
        match self {
            Self::Emit { name, .. } | Self::ServerSide { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Its lists of names.
    fn names(&self) -> [&[String]; 3] {
        match self {
            Self::Join { to, rooms } | Self::Leave { to, rooms } => [&to.rooms, &to.except, rooms],
            Self::Emit { to, .. }
            | Self::Disconnect { to, .. }
            | Self::Fetch { to, .. }
            | Self::Ids { to, .. } => [&to.rooms, &to.except, &[]],
            _ => [&[], &[], &[]],
        }
    }

    /// The request that this is an answer to.
    pub fn answers(&self) -> Option<&Arc<str>> {
        match self {
            Self::Fetched { request, .. }
            | Self::IdsAnswer { request, .. }
            | Self::RoomsAnswer { request, .. }
            | Self::ServerSideAnswer { request, .. }
            | Self::ClientCount { request, .. }
            | Self::Ack { request, .. } => Some(request),
            _ => None,
        }
    }

    /// Bytes that it holds in memory, about.
    pub fn held_bytes(&self) -> usize {
        let names = |names: &[String]| names.iter().map(|name| name.len() + 24).sum::<usize>();
        let event = self.event().map_or(0, str::len);
        let of = |to: &Selection| names(&to.rooms) + names(&to.except);
        let more = match self {
            Self::Emit { to, args, .. } => of(to) + args.held_bytes(),
            Self::Join { to, rooms } | Self::Leave { to, rooms } => of(to) + names(rooms),
            Self::Disconnect { to, .. } | Self::Fetch { to, .. } | Self::Ids { to, .. } => of(to),
            Self::ServerSide { args, .. } => args.held_bytes(),
            Self::Fetched { sockets: args, .. }
            | Self::ServerSideAnswer { answer: args, .. }
            | Self::Ack { answer: args, .. } => args.held_bytes(),
            Self::IdsAnswer { ids, .. } => names(ids),
            Self::RoomsAnswer { rooms, .. } => names(rooms),
            Self::Hello | Self::Heartbeat | Self::Goodbye | Self::Gap => 0,
            Self::Logged(logged) => logged.body.held_bytes(),
            Self::Vacate { socket, visitor } => socket.len() + visitor.len(),
            Self::ClientCount { .. } | Self::Rooms { .. } => 0,
        };
        size_of::<Packet>() + event + more
    }
}

/// Why what a broker brought is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// It is no packet.
    NotAPacket,
    /// It is a packet of a type that is not known here: a newer version may have sent it.
    UnknownType,
    /// It is larger than what is read.
    TooLarge,
    /// It is nested too deeply, or its attachments are not those that it names.
    Refused,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPacket => "it is no packet",
            Self::UnknownType => "its type is not known here",
            Self::TooLarge => "it is too large",
            Self::Refused => "it is nested too deeply, or names attachments that are not there",
        })
    }
}

impl std::error::Error for Malformed {}
