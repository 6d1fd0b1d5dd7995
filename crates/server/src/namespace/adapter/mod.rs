//! What joins several servers into one: an [`Adapter`] carries messages between nodes.
//!
//! A node is one [`Server`](crate::Server). An adapter owns no rooms and delivers nothing to clients: it passes a
//! [`Message`] to the other nodes, and their [`Reply`]s back. The server's half is written once, behind
//! [`Node`], so an adapter for a broker has only to say how a message travels.
//!
//! [`MemoryAdapter`] joins servers of one process.
//!
//! ```
//! use roomful::Server;
//! use roomful::adapter::MemoryAdapter;
//!
//! let adapter = MemoryAdapter::new();
//! let one = Server::builder().adapter(adapter.clone()).build();
//! let two = Server::builder().adapter(adapter).build();
//! one.to("news").emit("headline", "this reaches the clients of both");
//! # drop(two);
//! ```

mod event_log;
mod memory;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use roomful_proto::{Args, SocketId};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use self::event_log::{EventLog, LogFuture, Offset};
pub use self::memory::MemoryAdapter;
use crate::ground::handshake::Handshake;
pub use crate::ground::target::{Reliability, Target};
use crate::namespace::recovery::Recovery;

/// Carries messages between the nodes of a cluster.
pub trait Adapter: fmt::Debug + Send + Sync + 'static {
    /// Takes part in a namespace, for as long as the line is held. Called without any lock. `namespace` is its name, or the pattern of a
    /// namespace that stands for many. What other nodes send there is given to `node`.
    fn open(&self, namespace: &str, node: Weak<dyn Node>) -> Box<dyn Line>;

    /// The recovery that all nodes share, where the adapter has one. It carries the events of a namespace, in
    /// one order for all nodes, so these do not come as messages. `None` by default: each node then has its
    /// own, and a client is recovered by the node that has lost it.
    fn recovery(&self) -> Option<Recovery> {
        None
    }

    /// Whether its engine keeps the events that may be missed, so that a client is recovered by any node. `false` by
    /// default. Lines have a [log](Line::log) then, in namespaces where sockets can be recovered.
    fn keeps_log(&self) -> bool {
        false
    }
}

/// The part of a node in one namespace. Dropping it leaves.
pub trait Line: Send + Sync + 'static {
    /// Sends a message to all other nodes. Messages of one task arrive in the order in which they were sent.
    /// This never waits and never fails: what cannot be sent is dropped, counted and logged by the adapter.
    fn send(&self, message: Message);

    /// Sends a message and passes on what is replied, with [`Reply::Asked`] as soon as it is known how many nodes are
    /// asked. The replies have ended when `replies` and all its clones are dropped: at the latest when
    /// [`ReplyTo::is_closed`] says that nobody waits any more. It never waits, as [`send`](Self::send).
    fn ask(&self, message: Message, replies: ReplyTo);

    /// The server has closed, and nobody need wait for it any more: other nodes are told at once. It is called before
    /// serving ends; the line may live on.
    fn leave(&self) {}

    /// The log of the namespace, where the engine keeps one and the [node wants it](Node::wants_log). Events to
    /// clients go through it then, and no other message carries them.
    fn log(&self) -> Option<&dyn EventLog> {
        None
    }
}

/// The server's half: what it does with messages of other nodes.
pub trait Node: Send + Sync + 'static {
    /// Does what a message says, and replies where that is asked for. It never waits: replies may come later, from
    /// tasks in the runtime of the node. No lock of the adapter's must be held, since functions of the program's
    /// run here and may send.
    fn receive(self: Arc<Self>, message: Message, replies: Option<ReplyTo>);

    /// Whether somebody is in a room at this node. An event for a room that nobody is in need not be read.
    fn has_room(&self, room: &str) -> bool;

    /// The names of all rooms at this node, those of single sockets too.
    fn room_names(&self) -> Vec<String>;

    /// Tells a function from now on of each room that begins and ends at this node, in order. It must be quick. A
    /// namespace that stands for others tells of none.
    fn watch_rooms(
        self: Arc<Self>,
        which: WatchedRooms,
        told: Box<dyn Fn(RoomChange<'_>) + Send + Sync>,
    );

    /// Whether events are to go through the log of the engine, and of how long ago it is to bring what it has when
    /// the node comes: first [`log_begins`](Self::log_begins), then each event as one of the past. Of no time ago, it
    /// only says where it begins.
    fn wants_log(&self) -> Option<Duration>;

    /// All events behind this offset will be brought, or have been: what was before is not known here.
    fn log_begins(self: Arc<Self>, offset: Offset);

    /// A message of the log. An event of the past is kept for those who come back, and sent to nobody. A message without
    /// offset is not in the log.
    fn receive_logged(self: Arc<Self>, offset: Option<Offset>, is_past: bool, message: Message);
}

/// Of which rooms an adapter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchedRooms {
    /// Those that sockets have joined.
    Joined,
    /// Those of single sockets too, which begin and end with their socket. Others may join such a room: it then begins
    /// once more for them, and ends when they have left. Ask [`Node::has_room`] whether somebody is left.
    All,
}

/// What becomes of a room at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomChange<'a> {
    /// Somebody is in it.
    Began(&'a str),
    /// Nobody is in it any more.
    Ended(&'a str),
    /// There were more changes than are kept: look at [`Node::room_names`] again.
    Missed,
}

/// What one node wants of the others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Message {
    /// Send an event to the clients of a target. `ask` makes it an ack request, which waits so long for its
    /// answers.
    Emit {
        /// The clients.
        target: Target,
        /// The name of the event.
        name: String,
        /// Its arguments.
        args: Args,
        /// How long answers are waited for, where any are.
        ask: Option<Duration>,
    },
    /// Put the sockets of a target into rooms.
    Join {
        /// The sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Take the sockets of a target out of rooms.
    Leave {
        /// The sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Disconnect the sockets of a target.
    Disconnect {
        /// The sockets.
        target: Target,
        /// Close their whole connections.
        close: bool,
    },
    /// Tell of the sockets of a target.
    Sockets {
        /// The sockets.
        target: Target,
    },
    /// Run the server-side handler of a name.
    ServerSide {
        /// The name of the event.
        name: String,
        /// Its arguments.
        args: Args,
    },
    /// End the connection of a socket that its client wants back at another node. Only where there is a
    /// [log](Line::log).
    Vacate {
        /// A hash of the secret of the socket.
        socket: String,
        /// A hash of what shows who the visitor is: a socket of another stays.
        visitor: String,
    },
}

/// What another node replies.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// Of the adapter itself: so many other nodes are asked. The first replies may come before it, and of several the
    /// last counts.
    Asked(usize),
    /// To an ack request, first: this node asks so many clients.
    Clients(usize),
    /// To an ack request: what a client answered. Not every wire says which.
    Ack(Option<SocketId>, Args),
    /// The sockets of this node.
    Sockets(Vec<SocketState>),
    /// What the server-side handler of this node answered.
    ServerSide(Args),
}

impl Reply {
    /// Bytes that it holds in memory, about.
    fn held_bytes(&self) -> usize {
        let more = match self {
            Self::Asked(_) | Self::Clients(_) => 0,
            Self::Ack(_, args) | Self::ServerSide(args) => args.held_bytes(),
            // What lies in its data is not looked through.
            Self::Sockets(sockets) => sockets.len() * SOCKET_BYTES,
        };
        size_of::<Self>() + more
    }
}

/// About what is told of a socket: its handshake and some rooms.
const SOCKET_BYTES: usize = 1024;

/// What one node tells another of a socket.
#[derive(Clone, Debug)]
pub struct SocketState {
    /// Its id.
    pub id: SocketId,
    /// The request that opened its connection.
    pub handshake: Handshake,
    /// Its rooms; the first is that of its own id.
    pub rooms: Vec<String>,
    /// What its namespace [shares](crate::Namespace::share_data) of its data; `null` where it shares nothing.
    pub data: serde_json::Value,
}

/// Where replies go. When all clones are dropped, no more will come.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    sender: mpsc::UnboundedSender<Reply>,
    /// Bytes of what was not taken yet.
    waiting: Arc<AtomicUsize>,
}

/// Bytes of replies that wait until somebody takes them. What comes then is dropped, as if it had not been answered.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

impl ReplyTo {
    /// Where replies go, and where they arrive. No more than 64 MiB of them wait to be taken.
    pub fn channel() -> (Self, Replies) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { sender, waiting: Arc::clone(&waiting) }, Replies { receiver, waiting })
    }

    /// Passes a reply on. Once nobody waits any more, or too much waits to be taken, it goes nowhere.
    pub fn send(&self, reply: Reply) {
        let bytes = reply.held_bytes();
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > WAITING_BYTES_MAX {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            tracing::warn!(
                bytes = before,
                "too many answers wait to be taken: one more is dropped"
            );
            return;
        }
        let _ = self.sender.send(reply);
    }

    /// Whether nobody waits any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until nobody waits any more, or until no more replies can come; no longer than that. It keeps the
    /// replies from ending no more than nothing does.
    pub(crate) fn over(&self, timeout: Duration) -> impl Future<Output = ()> + use<> {
        let sender = self.sender.downgrade();
        async move {
            let until = Instant::now().checked_add(timeout);
            while sender.upgrade().is_some_and(|sender| !sender.is_closed())
                && until.is_none_or(|until| Instant::now() < until)
            {
                tokio::time::sleep(LOOK_PAUSE.min(timeout)).await;
            }
        }
    }
}

/// Where replies arrive.
#[derive(Debug)]
pub struct Replies {
    receiver: mpsc::UnboundedReceiver<Reply>,
    waiting: Arc<AtomicUsize>,
}

impl Replies {
    /// The next; `None` when no more can come.
    pub async fn next(&mut self) -> Option<Reply> {
        let reply = self.receiver.recv().await;
        self.taken(reply)
    }

    /// One that is there already.
    pub(crate) fn try_recv(&mut self) -> Option<Reply> {
        let reply = self.receiver.try_recv().ok();
        self.taken(reply)
    }

    fn taken(&self, reply: Option<Reply>) -> Option<Reply> {
        let bytes = reply.as_ref().map_or(0, Reply::held_bytes);
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        reply
    }
}

/// How often a node looks whether the one that has asked still waits.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
