//! [`RemoteSocket`]: a socket of any node, as it is found by a selection.

use std::fmt;
use std::sync::Arc;

use roomful_proto::event::{CallName, EmitName};
use roomful_proto::{FromArg, SocketId, ToArgs};

use crate::ground::handshake::Handshake;
use crate::ground::room_names::RoomNames;
use crate::ground::target::Reliability;
use crate::namespace::asks::Call;
use crate::namespace::socket_core::SocketCore;

/// A socket that [`Broadcast::sockets`](crate::Broadcast::sockets) has found: what was known of it
/// then, and what can be done with it from anywhere. A cheap handle but for the list of its rooms.
///
/// It may be a socket of another node, so it has no types, and nothing tells what became of an event.
/// For a socket of this node, [`Namespace::socket`](crate::Namespace::socket) gives more.
#[derive(Clone)]
pub struct RemoteSocket {
    socket: Arc<SocketCore>,
    rooms: Vec<String>,
}

/// Why sockets could not be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// Not all other nodes have answered in time. A single node never waits.
    Timeout,
}

impl RemoteSocket {
    /// `None` when the socket has left.
    pub(crate) fn new(socket: &Arc<SocketCore>) -> Option<Self> {
        let rooms = socket.namespace.rooms.of(socket.id);
        (!rooms.is_empty()).then(|| Self { socket: Arc::clone(socket), rooms })
    }

    /// Its id.
    pub fn id(&self) -> SocketId {
        self.socket.id
    }

    /// The request that opened its connection.
    pub fn handshake(&self) -> &Handshake {
        &self.socket.link.handshake
    }

    /// Its rooms at the time when it was found; the first is that of its own id.
    pub fn rooms(&self) -> &[String] {
        &self.rooms
    }

    /// What the `connect` function of the namespace remembered of it, where it is a `U` and the socket
    /// is one of this node.
    pub fn data<U: 'static>(&self) -> Option<&U> {
        self.socket.data.downcast_ref()
    }

    /// As [`Socket::emit`](crate::Socket::emit): `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see
    /// [`ToArgs`]).
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        // What goes wrong here is counted and logged where it happens.
        let _ = self.socket.emit(event.event_name(), &args, Reliability::Reliable, true);
    }

    /// As [`Socket::send`](crate::Socket::send): `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see
    /// [`ToArgs`]).
    #[doc(alias = "write")]
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }

    /// As [`Socket::call`](crate::Socket::call), with the same answers. `(a, b)` and `[a, b]` are two arguments,
    /// `vec![a, b]` is one (see [`ToArgs`]).
    #[doc(alias = "emitWithAck")]
    pub fn call<N: CallName<T, R>, T: ToArgs, R: FromArg>(&self, event: N, args: T) -> Call<R> {
        self.socket.call(event.event_name(), &args, true)
    }

    /// Puts it into a room, or into several.
    pub fn join(&self, rooms: impl RoomNames) {
        self.socket.join(&rooms);
    }

    /// Takes it out of a room, or out of several.
    pub fn leave(&self, rooms: impl RoomNames) {
        self.socket.leave(&rooms);
    }

    /// As [`Socket::disconnect`](crate::Socket::disconnect).
    pub fn disconnect(&self) {
        self.socket.disconnect();
    }

    /// As [`Socket::close`](crate::Socket::close).
    #[doc(alias = "disconnect")]
    pub fn close(&self) {
        self.socket.close();
    }
}

impl fmt::Debug for RemoteSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSocket")
            .field("id", &self.socket.id)
            .field("rooms", &self.rooms)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("not all nodes have answered in time"),
        }
    }
}

impl std::error::Error for FetchError {}
