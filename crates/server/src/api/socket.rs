//! [`Socket`]: a client in a namespace.

use std::any::{TypeId, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use roomful_proto::event::{CallName, EmitName, OnName};
use roomful_proto::{AckId, EventError, FromArg, SocketId, ToArgs};

use crate::api::broadcast::Broadcast;
use crate::api::handler::{self, Handler};
use crate::api::hello::Types;
use crate::ground::errors::emit_error::EmitError;
use crate::ground::farewell::Farewell;
use crate::ground::handshake::Handshake;
use crate::ground::room_names::RoomNames;
use crate::ground::target::Reliability;
use crate::namespace::asks::Call;
use crate::namespace::erased;
use crate::namespace::listeners::Once;
use crate::namespace::recovery::Beginning;
use crate::namespace::socket_core::SocketCore;

/// A client in a namespace. A cheap handle: clone it, keep it, send with it from anywhere.
///
/// `A` is the state that the server shares with all sockets, `U` what the namespace's `connect`
/// function remembered of this one; both are `()` unless they are asked for.
///
/// Sending never waits and never fails where it is called: an event is delivered in order, or the
/// connection ends. [`try_emit`](Self::try_emit) tells what became of it.
pub struct Socket<A = (), U = ()> {
    pub(crate) core: Arc<SocketCore>,
    types: Types<A, U>,
}

impl<A: 'static, U: 'static> Socket<A, U> {
    /// `None` when the socket remembers something else than a `U`.
    pub(crate) fn new(core: &Arc<SocketCore>) -> Option<Self> {
        let fits = TypeId::of::<U>() == TypeId::of::<()>() || core.data.is::<U>();
        fits.then(|| Self { core: Arc::clone(core), types: PhantomData })
    }

    /// The socket for a function of the user's. `None` when the socket remembers something else, which is told.
    #[inline]
    pub(crate) fn of(core: &Arc<SocketCore>, function: &str) -> Option<Self> {
        let socket = Self::new(core);
        if socket.is_none() {
            core.namespace.note_misfit(function, type_name::<U>());
        }
        socket
    }

    /// As [`of`](Self::of), for a function whose event comes to nothing then.
    #[inline]
    pub(crate) fn of_event(
        core: &Arc<SocketCore>,
        function: &str,
        event: &str,
        ack: Option<AckId>,
    ) -> Option<Self> {
        let socket = Self::of(core, function);
        if socket.is_none() {
            core.fail(event, ack, &misfit::<U>());
        }
        socket
    }

    /// The state that the server shares with all its sockets.
    #[allow(
        clippy::expect_used,
        reason = "the state lives as long as the namespace, and its type \
                                           is that of the server the namespace belongs to"
    )]
    pub fn state(&self) -> &A {
        self.core.namespace.state.downcast_ref().expect("a namespace has its server's state")
    }

    /// What the `connect` function of the namespace remembered of this client.
    #[allow(clippy::expect_used, reason = "checked when the handle was made")]
    pub fn data(&self) -> &U {
        erased::read(&self.core.data).expect("checked in Socket::new")
    }

    /// Calls `handler` for each event of that name of this socket, in place of the namespace's
    /// [handler](crate::Namespace::on) or of one that it had itself, from the next event on.
    ///
    /// The socket gets a table of its own for that, as large as its namespace's. What all sockets do
    /// is better told to the namespace.
    #[doc(alias = "addListener")]
    pub fn on<N, H, M>(&self, event: N, handler: H) -> &Self
    where
        N: OnName<M>,
        H: Handler<A, U, M>,
    {
        let erased = handler::erase(event.event_name(), handler);
        self.core.change(|table| table.events.insert(event.event_name().as_bytes().into(), erased));
        self
    }

    /// As [`on`](Self::on), for one event only: the first whose arguments fit. It goes before a handler
    /// of the same name, which has the others.
    pub fn once<N, H, M>(&self, event: N, handler: H) -> &Self
    where
        N: OnName<M>,
        H: Handler<A, U, M>,
    {
        let once = Once::new(handler::erase(event.event_name(), handler));
        self.core.change(|table| {
            table.extras_mut().once.insert(event.event_name().as_bytes().into(), once)
        });
        self
    }

    /// Removes the handlers of an event from this socket, its namespace's too; `false` when there was
    /// none.
    #[doc(alias = "removeListener")]
    #[doc(alias = "removeAllListeners")]
    pub fn off(&self, event: &str) -> bool {
        self.core.change(|table| table.off(event)).is_some_and(|removed| removed.is_some())
    }
}

impl<A, U> Socket<A, U> {
    /// The public id of the socket: 20 characters, another in each namespace, and never the secret
    /// id of the session. Also the name of a room that only this socket is in.
    pub fn id(&self) -> SocketId {
        self.core.id
    }

    /// The name of its namespace.
    #[doc(alias = "nsp")]
    pub fn namespace(&self) -> &str {
        &self.core.namespace.name
    }

    /// What stands in a gap of the namespace's name: see [`Namespace::param`](crate::Namespace::param).
    pub fn param(&self, gap: &str) -> Option<&str> {
        self.core.namespace.param(gap)
    }

    /// Whether this is a socket that its client has back after its connection was lost, and if not,
    /// why not.
    #[doc(alias = "recovered")]
    pub fn recovery(&self) -> Beginning {
        self.core.beginning
    }

    /// Whether the client is still in the namespace.
    #[doc(alias = "connected")]
    pub fn is_connected(&self) -> bool {
        self.core.is_connected()
    }

    /// Waits until the client is not [connected](Self::is_connected) any more. A handler that waits is not dropped when its client
    /// goes: it runs on to its end, and only what it sends comes to nothing. So one that goes on for as long as its
    /// client is there waits for both. It counts as one of [`handlers_max`](crate::ConnectionFlow::handlers_max) meanwhile.
    ///
    /// ```
    /// # let io = roomful::Server::new();
    /// io.on_connect(async |me: roomful::Socket| {
    ///     let mut ticks = tokio::time::interval(std::time::Duration::from_secs(1));
    ///     loop {
    ///         tokio::select! {
    ///             () = me.disconnected() => break,
    ///             _ = ticks.tick() => me.emit("tick", ()),
    ///         }
    ///     }
    /// });
    /// ```
    pub async fn disconnected(&self) {
        self.core.disconnected().await;
    }

    /// How this socket ended: the reason, and what more is known of it, such as the close code that the
    /// client sent. `None` while it is connected. It is there from
    /// [`on_disconnecting`](crate::Namespace::on_disconnecting) on, and as long as anybody has the socket.
    /// Where the runtime of its connection ends, that function is not called, and the reason is
    /// [`Reason::ForcedServerClose`](crate::Reason::ForcedServerClose).
    #[doc(alias = "description")]
    pub fn farewell(&self) -> Option<&Farewell> {
        self.core.farewell()
    }

    /// Sends an event to this client. A tuple is several arguments, everything else is one, `()` is none; so
    /// `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see [`ToArgs`]. Specification: Socket.IO 5,
    /// `EVENT`.
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        // What goes wrong here is counted and logged where it happens.
        let _ = self.core.emit(event.event_name(), &args, Reliability::Reliable, true);
    }

    /// Sends a `message` to this client: a short form of [`emit`](Self::emit), with arguments as there: `(a, b)`
    /// and `[a, b]` are two, `vec![a, b]` is one (see [`ToArgs`]).
    #[doc(alias = "write")]
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }

    /// Sends an event to this client and tells what became of it. `(a, b)` and `[a, b]` are two arguments,
    /// `vec![a, b]` is one: see [`ToArgs`].
    pub fn try_emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) -> Result<(), EmitError> {
        self.core.emit(event.event_name(), &args, Reliability::Reliable, true)
    }

    /// Sends an event to this client if it can leave at once, and drops it otherwise: while its stream
    /// takes nothing or no poll of its waits, and when more than 64 KiB were sent to it that are not
    /// written yet. So of many that are sent at once the first leave, and they never fill the outbox. To
    /// have only the last leave, see [`Broadcast::latest`]. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is
    /// one: see [`ToArgs`].
    #[doc(alias = "volatile")]
    pub fn emit_volatile<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        let _ = self.core.emit(event.event_name(), &args, Reliability::Volatile, true);
    }

    /// This client, for events that may be compressed or not, on a WebSocket or in the answer to a
    /// poll, where that is on. Without this they may.
    ///
    /// ```
    /// # use roomful::Socket;
    /// # fn example(me: Socket) {
    /// me.compress(false).emit("token", "what must not be guessed from the size of a message");
    /// # }
    /// ```
    pub fn compress(&self, compress: bool) -> ToOne<'_> {
        ToOne { core: &self.core, reliability: Reliability::Reliable, compress }
    }

    /// Asks this client: sends an event that it is to answer. What is sent is written as by [`emit`](Self::emit):
    /// `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see [`ToArgs`]).
    ///
    /// The type of the answer is that of what takes it, as in `let sure: bool = …`; an [`Event`](crate::Event) as
    /// the name fixes it, too.
    ///
    /// ```
    /// # use roomful::{Args, CallError, Event, Socket}; use std::time::Duration;
    /// # async fn example(me: Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// let sure: bool = me.call("confirm", "delete it?").timeout(Duration::from_secs(5)).await?;
    /// // One answer, or an error to look at.
    /// let name: Result<String, CallError> = me.call("name", ()).await;
    ///
    /// const NAME: Event<(), String> = Event::new("name");
    /// let name = me.call(NAME, ()).await?;
    ///
    /// // An answer of two arguments, or of an array of two.
    /// let (x, y): (f32, f32) = me.call("where", ()).await?;
    /// // All arguments of an answer, however many.
    /// let all: Args = me.call("anything", ()).await?;
    /// let (id, text): (u32, Option<String>) = all.read()?;
    /// # drop((sure, name, x, y, id, text)); Ok(()) }
    /// ```
    ///
    /// An answer is read from its first argument. A tuple that does not fit that is read from all of them:
    /// `(A, B)` reads what JavaScript answers with `cb([a, b])` and with `cb(a, b)`. [`Args`](crate::Args) are all
    /// arguments as they came. See [`FromArg::from_answer`].
    #[doc(alias = "emitWithAck")]
    pub fn call<N: CallName<T, R>, T: ToArgs, R: FromArg>(&self, event: N, args: T) -> Call<R> {
        self.core.call(event.event_name(), &args, true)
    }

    /// Puts this socket into a room, or into several. `false` when it is not in all of them then:
    /// because it has left the namespace, or is in [`rooms_max`](crate::Namespace::rooms_max) rooms
    /// already, or a name has more than
    /// [`room_name_bytes_max`](crate::Namespace::room_name_bytes_max), or a function of
    /// [`Namespace::before_join`](crate::Namespace::before_join) has refused.
    pub fn join(&self, rooms: impl RoomNames) -> bool {
        self.core.join(&rooms)
    }

    /// Takes this socket out of a room, or out of several; `false` when it was not in all of them.
    pub fn leave(&self, rooms: impl RoomNames) -> bool {
        self.core.leave(&rooms)
    }

    /// The rooms of this socket; the first is that of its own id. Empty once it has left.
    pub fn rooms(&self) -> Vec<String> {
        self.core.namespace.rooms.of(self.core.id)
    }

    /// Whether this socket is in a room.
    pub fn is_in(&self, room: impl AsRef<str>) -> bool {
        self.core.namespace.rooms.is_in(self.core.id, room.as_ref())
    }

    /// Everyone in a room, or in one of several, but this socket.
    #[doc(alias = "in")]
    pub fn to(&self, rooms: impl RoomNames) -> Broadcast {
        self.others().to(rooms)
    }

    /// Everyone in the namespace but this socket, and but those in a room, or in one of several.
    pub fn except(&self, rooms: impl RoomNames) -> Broadcast {
        self.others().except(rooms)
    }

    /// Everyone in the namespace but this socket.
    #[doc(alias = "broadcast")]
    pub fn others(&self) -> Broadcast {
        Broadcast::new(&self.core.namespace).except(self.core.id.as_str())
    }

    /// Everyone in the namespace, this socket too.
    pub fn everyone(&self) -> Broadcast {
        Broadcast::new(&self.core.namespace)
    }

    /// What waits to be sent to the client, in bytes: to all its namespaces, and before compression. What
    /// the system has taken over does not count.
    #[doc(alias = "bufferedAmount")]
    pub fn waiting_bytes(&self) -> usize {
        self.core.link.outbox_bytes()
    }

    /// Waits until nothing waits to be sent to the client any more: a way to send much, one portion
    /// after the other. `false` when the client has gone instead.
    #[doc(alias = "drain")]
    pub async fn drained(&self) -> bool {
        if let Some(drained) = self.core.link.drained() {
            // That the sender is dropped is the news.
            let _ = drained.await;
        }
        self.is_connected()
    }

    /// Takes the client out of the namespace. It sees `io server disconnect` and does not come back
    /// by itself; its connection stays for its other namespaces.
    pub fn disconnect(&self) {
        self.core.disconnect();
    }

    /// Closes the client's whole connection, with all its namespaces.
    #[doc(alias = "disconnect")]
    pub fn close(&self) {
        self.core.close();
    }

    /// A header of the request that opened the connection, by its name in any case.
    #[doc(alias = "headers")]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.core.link.handshake.header(name)
    }

    /// A parameter of that request's query, percent-decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.core.link.handshake.query(name)
    }

    /// The address of the peer: a proxy's, where there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.core.link.handshake.address()
    }

    /// The request that opened the connection. It can be [serialised](Handshake), with the secrets that are in it.
    #[doc(alias = "request")]
    pub fn handshake(&self) -> &Handshake {
        &self.core.link.handshake
    }
}

/// Why a function is not called that is for sockets with a `U`.
pub(crate) fn misfit<U>() -> EventError {
    EventError::internal(format!("the function is for sockets with a {}", type_name::<U>()))
}

/// One socket, and how an event goes to it. Made by [`Socket::compress`].
#[derive(Clone, Copy)]
#[must_use = "it sends nothing by itself"]
pub struct ToOne<'a> {
    core: &'a Arc<SocketCore>,
    reliability: Reliability,
    compress: bool,
}

impl ToOne<'_> {
    /// Drops the event if it cannot leave at once: see [`Socket::emit_volatile`].
    pub const fn volatile(mut self) -> Self {
        self.reliability = Reliability::Volatile;
        self
    }

    /// As [`Socket::emit`]: `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see [`ToArgs`]).
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        // What goes wrong here is counted and logged where it happens.
        let _ = self.try_emit(event, args);
    }

    /// As [`Socket::send`]: `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see [`ToArgs`]).
    #[doc(alias = "write")]
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }

    /// As [`Socket::try_emit`]: `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see [`ToArgs`]).
    pub fn try_emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) -> Result<(), EmitError> {
        self.core.emit(event.event_name(), &args, self.reliability, self.compress)
    }

    /// As [`Socket::call`], with the same answers: a tuple reads an array, or several arguments. What is sent is
    /// written as by [`Socket::emit`]: `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one (see
    /// [`ToArgs`]). An event that asks for an answer is never volatile.
    #[doc(alias = "emitWithAck")]
    pub fn call<N: CallName<T, R>, T: ToArgs, R: FromArg>(&self, event: N, args: T) -> Call<R> {
        self.core.call(event.event_name(), &args, self.compress)
    }
}

impl fmt::Debug for ToOne<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToOne")
            .field("id", &self.core.id)
            .field("compress", &self.compress)
            .finish_non_exhaustive()
    }
}

impl<A, U> Clone for Socket<A, U> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), types: PhantomData }
    }
}

impl<A, U> fmt::Debug for Socket<A, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.core.id)
            .field("namespace", &self.core.namespace.name)
            .finish_non_exhaustive()
    }
}
