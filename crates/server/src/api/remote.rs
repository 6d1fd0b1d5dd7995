//! [`RemoteSocket`]: a socket of any node, as it is found by a selection.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use roomful_proto::event::{CallName, EmitName};
use roomful_proto::{FromArg, SocketId, ToArgs};
use serde::de::DeserializeOwned;

use crate::api::broadcast::Broadcast;
use crate::ground::handshake::Handshake;
use crate::ground::room_names::RoomNames;
use crate::ground::target::{Reliability, Target};
use crate::namespace::adapter::SocketState;
use crate::namespace::asks::CallError;
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::socket_core::SocketCore;

/// A socket that [`Broadcast::sockets`](crate::Broadcast::sockets) has found: what was known of it
/// then, and what can be done with it from anywhere.
///
/// It may be a socket of another node, so it has no types, and nothing tells what became of an event.
/// For a socket of this node, [`Namespace::socket`](crate::Namespace::socket) gives more.
#[derive(Clone)]
pub struct RemoteSocket {
    namespace: Arc<NamespaceCore>,
    whose: Whose,
    rooms: Vec<String>,
}

/// Of which node a socket is.
#[derive(Clone)]
enum Whose {
    Ours(Arc<SocketCore>),
    /// Apart, since its handshake is large.
    Another(Arc<SocketState>),
}

/// The sockets that were found.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is done to sockets that were found"]
pub struct Fetched {
    pub(crate) sockets: Vec<RemoteSocket>,
    pub(crate) nodes_missing: usize,
}

impl Fetched {
    /// How many other nodes have not answered in time: their sockets are missing. 0 on a single node.
    pub const fn nodes_missing(&self) -> usize {
        self.nodes_missing
    }
}

impl Deref for Fetched {
    type Target = [RemoteSocket];

    fn deref(&self) -> &[RemoteSocket] {
        &self.sockets
    }
}

impl IntoIterator for Fetched {
    type Item = RemoteSocket;
    type IntoIter = std::vec::IntoIter<RemoteSocket>;

    fn into_iter(self) -> Self::IntoIter {
        self.sockets.into_iter()
    }
}

impl RemoteSocket {
    /// `None` when the socket has left.
    pub(crate) fn new(socket: &Arc<SocketCore>) -> Option<Self> {
        let rooms = socket.namespace.rooms.of(socket.id);
        let (namespace, whose) = (Arc::clone(&socket.namespace), Whose::Ours(Arc::clone(socket)));
        (!rooms.is_empty()).then_some(Self { namespace, whose, rooms })
    }

    /// One of another node.
    pub(crate) fn of(namespace: &Arc<NamespaceCore>, mut state: SocketState) -> Self {
        let rooms = std::mem::take(&mut state.rooms);
        Self { namespace: Arc::clone(namespace), whose: Whose::Another(Arc::new(state)), rooms }
    }

    /// Its id.
    pub fn id(&self) -> SocketId {
        match &self.whose {
            Whose::Ours(socket) => socket.id,
            Whose::Another(state) => state.id,
        }
    }

    /// The request that opened its connection.
    pub fn handshake(&self) -> &Handshake {
        match &self.whose {
            Whose::Ours(socket) => &socket.link.handshake,
            Whose::Another(state) => &state.handshake,
        }
    }

    /// Its rooms at the time when it was found; the first is that of its own id.
    pub fn rooms(&self) -> &[String] {
        &self.rooms
    }

    /// What its namespace [shares](crate::Namespace::share_data) of what `connect` remembered of it; `None`
    /// where that is no `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Option<T> {
        let data = match &self.whose {
            Whose::Ours(socket) => socket.shared_data(),
            Whose::Another(state) => state.data.clone(),
        };
        serde_json::from_value(data).ok()
    }

    /// What the `connect` function of the namespace remembered of it, where it is a `U` and the socket
    /// is one of this node.
    pub fn local_data<U: 'static>(&self) -> Option<&U> {
        match &self.whose {
            Whose::Ours(socket) => socket.data.downcast_ref(),
            Whose::Another(_) => None,
        }
    }

    /// The socket as a selection.
    pub fn to(&self) -> Broadcast {
        Broadcast::over(&self.namespace, self.target())
    }

    /// As [`Socket::emit`](crate::Socket::emit): `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see
    /// [`ToArgs`]).
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        match &self.whose {
            // What goes wrong here is counted and logged where it happens.
            Whose::Ours(socket) => {
                let _ = socket.emit(event.event_name(), &args, Reliability::Reliable, true);
            }
            Whose::Another(_) => self.to().emit(event, args),
        }
    }

    /// As [`Socket::send`](crate::Socket::send): `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see
    /// [`ToArgs`]).
    #[doc(alias = "write")]
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }

    /// As [`Socket::call`](crate::Socket::call), with the [`ack_timeout`](crate::Namespace::ack_timeout) of the
    /// namespace. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see [`ToArgs`]).
    ///
    /// # Errors
    ///
    /// As there. Of a socket of another node nothing says that it is gone before the time is over.
    #[doc(alias = "emitWithAck")]
    pub async fn call<N, T, R>(&self, event: N, args: T) -> Result<R, CallError>
    where
        N: CallName<T, R>,
        T: ToArgs,
        R: FromArg + Send + 'static,
    {
        if let Whose::Ours(socket) = &self.whose {
            return socket.call(event.event_name(), &args, true).await;
        }
        let mut answers = self.to().call(event, args);
        let (_, answer) = answers.next().await.ok_or(CallError::Timeout)?;
        answer.map_err(CallError::Answer)
    }

    /// Puts it into a room, or into several.
    pub fn join(&self, rooms: impl RoomNames) {
        match &self.whose {
            Whose::Ours(socket) => {
                socket.join(&rooms);
            }
            Whose::Another(_) => self.namespace.join_all(&self.target(), &rooms),
        }
    }

    /// Takes it out of a room, or out of several.
    pub fn leave(&self, rooms: impl RoomNames) {
        match &self.whose {
            Whose::Ours(socket) => {
                socket.leave(&rooms);
            }
            Whose::Another(_) => self.namespace.leave_all(&self.target(), &rooms),
        }
    }

    /// As [`Socket::disconnect`](crate::Socket::disconnect).
    pub fn disconnect(&self) {
        match &self.whose {
            Whose::Ours(socket) => socket.disconnect(),
            Whose::Another(_) => self.namespace.disconnect_all(&self.target(), false),
        }
    }

    /// As [`Socket::close`](crate::Socket::close).
    #[doc(alias = "disconnect")]
    pub fn close(&self) {
        match &self.whose {
            Whose::Ours(socket) => socket.close(),
            Whose::Another(_) => self.namespace.disconnect_all(&self.target(), true),
        }
    }

    fn target(&self) -> Target {
        Target::socket(self.id())
    }
}

impl fmt::Debug for RemoteSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSocket")
            .field("id", &self.id())
            .field("rooms", &self.rooms)
            .finish_non_exhaustive()
    }
}
