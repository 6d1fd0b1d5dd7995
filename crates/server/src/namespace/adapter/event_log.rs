//! [`EventLog`]: where events can be recovered at any node, since the engine keeps them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use roomful_proto::cluster::Offset;

use super::Message;

/// What a function of a log gives, later.
pub type LogFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The log of a namespace, which an engine keeps and all nodes read, and the sessions of clients that were lost.
pub trait EventLog: Send + Sync {
    /// Puts a message into the log: a [`Message::Emit`] without `ask`, or one that changes rooms or disconnects. All
    /// nodes are given it, this one too, each by [`Node::receive_logged`](super::Node::receive_logged) and in the order of
    /// the log. While the engine is away it is given to this node at once, without an offset. It never waits.
    fn append(&self, message: Message);

    /// All up to this offset was given to the node, of whatever namespace; `None` while the engine is away.
    fn reached(&self) -> Option<Offset>;

    /// Keeps the session of a client that was lost for so long, a JSON object. What cannot be kept is lost: its client
    /// is told by a new socket. It never waits.
    fn keep(&self, key: &str, session: String, keeps: Duration);

    /// Takes a session out, which nobody else gets from then on; `None` when there is none, or the engine is away.
    fn take<'a>(&'a self, key: &'a str) -> LogFuture<'a, Option<String>>;
}
