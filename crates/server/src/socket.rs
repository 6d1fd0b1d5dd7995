//! [`Socket`]: a client in a namespace.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use roomful_proto::socket::Slot;
use roomful_proto::socket::packet::is_reserved;
use roomful_proto::{
    AckId, EncodeError, FromArg, Letter, Parcel, Reason, SocketId, ToArgs, Unstamped,
};

use crate::asks::{Asked, Asks, Call, CallError};
use crate::broadcast::Broadcast;
use crate::entry::Entrance;
use crate::event::{CallName, EmitName, OnName};
use crate::expiry::Expiry;
use crate::failure::EventError;
use crate::farewell::Farewell;
use crate::handler::{self, Data, Handler, Outcome, Reply};
use crate::handshake::Handshake;
use crate::hello::Types;
use crate::link::{Link, Order, Pushed, Worth};
use crate::listeners::{Once, Recipients};
use crate::namespace_core::NamespaceCore;
use crate::parser::{self, parcel};
use crate::recovery::Beginning;
use crate::room_names::RoomNames;
use crate::rooms::NotJoined;
use crate::table::Table;

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

/// A client in a namespace, without types.
pub(crate) struct SocketCore {
    pub(crate) id: SocketId,
    pub(crate) link: Arc<Link>,
    pub(crate) namespace: Arc<NamespaceCore>,
    /// The handlers that were registered when the socket came.
    pub(crate) table: Arc<Table>,
    pub(crate) slot: Slot,
    pub(crate) asks: Asks,
    pub(crate) data: Data,
    beginning: Beginning,
    pub(crate) expiry: Expiry,
    /// The last event of those that can be recovered that it was sent.
    sent: AtomicU64,
    connected: AtomicBool,
    /// There is more to an event of this socket than a handler in its table.
    special: AtomicBool,
    rare: OnceLock<Box<Rare>>,
}

/// What few sockets have, and those that have ended.
#[derive(Default)]
struct Rare {
    /// Its table, if it has handlers of its own.
    own: Mutex<Option<Arc<Table>>>,
    farewell: OnceLock<Farewell>,
}

/// A socket as its namespace lists it. The link is at hand, so that sending to all of a long list
/// touches nothing else of each.
#[derive(Clone)]
pub(crate) struct Member {
    link: Arc<Link>,
    pub(crate) socket: Arc<SocketCore>,
}

/// What became of an event.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The client is gone, or has left the namespace.
    Gone,
    /// Too much waited for the client already; its connection is being closed. The limit is
    /// [`Builder::outbox_bytes_max`](crate::Builder::outbox_bytes_max).
    Overflow,
    /// The event was volatile and could not leave at once.
    Dropped,
    /// The arguments could not be written as JSON.
    Encode(EncodeError),
    /// The name belongs to the protocol, such as `disconnect`.
    ReservedEvent,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the client is gone"),
            Self::Overflow => f.write_str("the client reads too slowly and is being disconnected"),
            Self::Dropped => f.write_str("a volatile event could not leave at once"),
            Self::Encode(e) => e.fmt(f),
            Self::ReservedEvent => f.write_str("the name of the event is reserved"),
        }
    }
}

impl std::error::Error for EmitError {}

impl<A: 'static, U: 'static> Socket<A, U> {
    /// `None` when the socket remembers something else than a `U`.
    pub(crate) fn new(core: &Arc<SocketCore>) -> Option<Self> {
        let fits = TypeId::of::<U>() == TypeId::of::<()>() || core.data.is::<U>();
        fits.then(|| Self { core: Arc::clone(core), types: PhantomData })
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
        let nothing: &dyn Any = &();
        let data: &dyn Any = &*self.core.data;
        data.downcast_ref().or_else(|| nothing.downcast_ref()).expect("checked in Socket::new")
    }

    /// Calls `handler` for each event of that name of this socket, in place of the namespace's
    /// [handler](crate::Namespace::on), from the next event on.
    ///
    /// The socket gets a table of its own for that, as large as its namespace's. What all sockets do
    /// is better told to the namespace.
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
    pub fn namespace(&self) -> &str {
        &self.core.namespace.name
    }

    /// What stands in a gap of the namespace's name: see [`Namespace::param`](crate::Namespace::param).
    pub fn param(&self, gap: &str) -> Option<&str> {
        self.core.namespace.param(gap)
    }

    /// Whether this is a socket that its client has back after its connection was lost, and if not,
    /// why not.
    pub fn recovery(&self) -> Beginning {
        self.core.beginning
    }

    /// Whether the client is still in the namespace.
    pub fn is_connected(&self) -> bool {
        self.core.is_connected()
    }

    /// How this socket ended: the reason, and what more is known of it, such as the close code that the
    /// client sent. `None` while it is connected. It is there from
    /// [`on_disconnecting`](crate::Namespace::on_disconnecting) on, and as long as anybody has the socket.
    /// Where the runtime of its connection ends, that function is not called, and the reason is
    /// [`Reason::ForcedServerClose`].
    pub fn farewell(&self) -> Option<&Farewell> {
        self.core.farewell()
    }

    /// Sends an event to this client. A tuple is several arguments, everything else is one, `()` is
    /// none. Specification: Socket.IO 5, `EVENT`.
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        // What goes wrong here is counted and logged where it happens.
        let _ = self.core.emit(event.event_name(), &args, Worth::Kept, true);
    }

    /// Sends a `message` to this client: a short form of [`emit`](Self::emit).
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }

    /// Sends an event to this client and tells what became of it.
    pub fn try_emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) -> Result<(), EmitError> {
        self.core.emit(event.event_name(), &args, Worth::Kept, true)
    }

    /// Sends an event to this client if it can leave at once, and drops it otherwise: while its stream
    /// takes nothing or no poll of its waits, and when more than 64 KiB were sent to it that are not
    /// written yet. So of many that are sent at once the first leave, and they never fill the outbox. To
    /// have only the last leave, see [`Broadcast::latest`].
    pub fn emit_volatile<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        let _ = self.core.emit(event.event_name(), &args, Worth::Volatile, true);
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
        ToOne { core: &self.core, worth: Worth::Kept, compress }
    }

    /// Asks this client: sends an event that it is to answer.
    ///
    /// ```
    /// # use roomful::Socket; use std::time::Duration;
    /// # async fn example(me: Socket) -> Result<(), roomful::CallError> {
    /// let sure: bool = me.call("confirm", "delete it?").timeout(Duration::from_secs(5)).await?;
    /// # Ok(()) }
    /// ```
    pub fn call<N: CallName<T, R>, T: ToArgs, R: FromArg>(&self, event: N, args: T) -> Call<R> {
        self.core.call(event.event_name(), &args, true)
    }

    /// Puts this socket into a room, or into several. `false` when it is not in all of them then:
    /// because it has left the namespace, or is in [`rooms_max`](crate::Namespace::rooms_max) rooms
    /// already, or a function of [`Namespace::before_join`](crate::Namespace::before_join) has refused.
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
    pub fn to(&self, rooms: impl RoomNames) -> Broadcast {
        self.others().to(rooms)
    }

    /// Everyone in the namespace but this socket, and but those in a room, or in one of several.
    pub fn except(&self, rooms: impl RoomNames) -> Broadcast {
        self.others().except(rooms)
    }

    /// Everyone in the namespace but this socket.
    pub fn others(&self) -> Broadcast {
        Broadcast::new(&self.core.namespace).except(self.core.id.as_str())
    }

    /// Everyone in the namespace, this socket too.
    pub fn everyone(&self) -> Broadcast {
        Broadcast::new(&self.core.namespace)
    }

    /// What waits to be sent to the client, in bytes: to all its namespaces, and before compression. What
    /// the system has taken over does not count.
    pub fn waiting_bytes(&self) -> usize {
        self.core.link.outbox_bytes()
    }

    /// Waits until nothing waits to be sent to the client any more: a way to send much, one portion
    /// after the other. `false` when the client has gone instead.
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
    pub fn close(&self) {
        self.core.close();
    }

    /// A header of the request that opened the connection, by its name in any case.
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

    /// The request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.core.link.handshake
    }
}

/// One socket, and how an event goes to it. Made by [`Socket::compress`].
#[derive(Clone, Copy)]
#[must_use = "it sends nothing by itself"]
pub struct ToOne<'a> {
    core: &'a Arc<SocketCore>,
    worth: Worth,
    compress: bool,
}

impl ToOne<'_> {
    /// Drops the event if it cannot leave at once: see [`Socket::emit_volatile`].
    pub const fn volatile(mut self) -> Self {
        self.worth = Worth::Volatile;
        self
    }

    /// As [`Socket::emit`].
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        // What goes wrong here is counted and logged where it happens.
        let _ = self.try_emit(event, args);
    }

    /// As [`Socket::send`].
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }

    /// As [`Socket::try_emit`].
    pub fn try_emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) -> Result<(), EmitError> {
        self.core.emit(event.event_name(), &args, self.worth, self.compress)
    }

    /// As [`Socket::call`]. A question is never volatile.
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

impl SocketCore {
    pub(crate) fn new(
        id: SocketId,
        link: Arc<Link>,
        entrance: Entrance,
        data: Data,
        beginning: Beginning,
        sent: u64,
    ) -> Self {
        let Entrance { slot, namespace, table } = entrance;
        let special = AtomicBool::new(table.extras.is_some());
        Self {
            id,
            link,
            namespace,
            table,
            slot,
            asks: Asks::new(),
            data,
            beginning,
            expiry: Expiry::never(),
            sent: AtomicU64::new(sent),
            connected: AtomicBool::new(true),
            special,
            rare: OnceLock::new(),
        }
    }

    /// Whether there is more to an event than a handler in [`table`](Self::table).
    #[inline]
    pub(crate) fn is_special(&self) -> bool {
        self.special.load(Ordering::Relaxed)
    }

    /// Its handlers as they are now.
    pub(crate) fn own_table(&self) -> Arc<Table> {
        let own = self.rare.get().and_then(|rare| rare.own.lock().clone());
        own.unwrap_or_else(|| Arc::clone(&self.table))
    }

    /// Changes its own handlers, and gives what falls out of the table, as
    /// [`NamespaceCore::change`]; `None` when the socket has left.
    fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> Option<R> {
        let mut own = self.rare.get_or_init(Box::default).own.lock();
        // After its end nobody would let go of a handler that holds its socket.
        self.is_connected().then(|| {
            self.special.store(true, Ordering::Relaxed);
            change(Arc::make_mut(own.get_or_insert_with(|| Arc::clone(&self.table))))
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// How it ended; `None` while it has not.
    pub(crate) fn farewell(&self) -> Option<&Farewell> {
        self.rare.get()?.farewell.get()
    }

    /// The socket is about to leave, and that is how.
    pub(crate) fn bid(&self, farewell: Farewell) {
        // It leaves once.
        let _ = self.rare.get_or_init(Box::default).farewell.set(farewell);
        self.mute();
    }

    /// Nothing is sent to the socket any more.
    fn mute(&self) {
        self.connected.store(false, Ordering::Release);
    }

    /// The socket leaves, and whoever waits for it learns it. It may come back if it was `lost`.
    pub(crate) fn end(&self, lost: bool) {
        self.mute();
        self.namespace.exit(self, lost);
        self.asks.close();
        if let Some(rare) = self.rare.get() {
            let _own = rare.own.lock().take();
        }
    }

    /// `false` when it is not in all of them then.
    pub(crate) fn join(self: &Arc<Self>, rooms: &impl RoomNames) -> bool {
        let mut all = true;
        rooms.each_room(&mut |room| {
            if !self.may_join(room) {
                all = false;
                return;
            }
            match self.namespace.join(self.id, room) {
                Ok(()) => {}
                Err(NotJoined::Gone | NotJoined::TooMany) => all = false,
            }
        });
        all
    }

    /// `false` when it was not in all of them.
    pub(crate) fn leave(&self, rooms: &impl RoomNames) -> bool {
        let mut all = true;
        rooms.each_room(&mut |room| all &= self.namespace.leave(self.id, room));
        all
    }

    /// Has the socket taken out of its namespace, not to come back.
    pub(crate) fn disconnect(&self) {
        self.namespace.revoke(self.id);
        self.link.order(Order::Leave(self.id, None));
    }

    /// Has the whole connection closed.
    pub(crate) fn close(&self) {
        self.namespace.revoke(self.id);
        self.link.order(Order::Close(Reason::ForcedServerClose, None));
    }

    pub(crate) fn emit<T: ToArgs>(
        self: &Arc<Self>,
        event: &str,
        args: &T,
        worth: Worth,
        compress: bool,
    ) -> Result<(), EmitError> {
        if is_reserved(event) {
            tracing::error!(event, "a reserved name cannot be emitted");
            return Err(EmitError::ReservedEvent);
        }
        if !self.is_connected() {
            return Err(EmitError::Gone);
        }
        self.namespace.show(Recipients::One(self.id), event, args);
        let pushed = match &self.namespace.journal {
            None => Letter::event(&self.namespace.name, None, event, args)
                .map(|letter| self.deliver(self.namespace.packed(letter, compress), worth)),
            Some(journal) => Unstamped::event(&self.namespace.name, event, args)
                .and_then(|event| journal.send_to(self, event, worth, compress)),
        };
        let pushed = pushed.map_err(|error| {
            self.note_encode_failure(event, &error);
            EmitError::Encode(error)
        })?;
        match pushed {
            Pushed::Queued | Pushed::Slow => Ok(()),
            Pushed::Gone => Err(EmitError::Gone),
            Pushed::Overflow => Err(EmitError::Overflow),
            Pushed::Dropped => Err(EmitError::Dropped),
            Pushed::Unwritten => Err(EmitError::Encode(parser::panicked())),
        }
    }

    pub(crate) fn call<T: ToArgs, R>(
        self: &Arc<Self>,
        event: &str,
        args: &T,
        compress: bool,
    ) -> Call<R> {
        let asked = self.ask(event, args, compress);
        Call { asked, timeout: self.namespace.limits.ack_timeout(), answer: PhantomData }
    }

    fn ask<T: ToArgs>(
        self: &Arc<Self>,
        event: &str,
        args: &T,
        compress: bool,
    ) -> Result<Asked, CallError> {
        if is_reserved(event) {
            return Err(CallError::ReservedEvent);
        }
        if !self.is_connected() {
            return Err(CallError::Gone);
        }
        self.namespace.show(Recipients::One(self.id), event, args);
        let Some((id, receiver)) = self.asks.open(self.namespace.limits.asks_max()) else {
            self.namespace.count(|metrics| &metrics.asks_refused);
            return Err(CallError::TooMany);
        };
        let asked = Asked { socket: Arc::clone(self), id, receiver };
        if !self.is_connected() {
            // It has left since, and nobody would tell this question.
            return Err(CallError::Gone);
        }
        let letter = Letter::event(&self.namespace.name, Some(id), event, args);
        let letter = self.namespace.packed(letter.map_err(CallError::Encode)?, compress);
        match self.deliver(letter, Worth::Kept) {
            Pushed::Queued | Pushed::Slow => Ok(asked),
            Pushed::Gone | Pushed::Overflow | Pushed::Dropped => Err(CallError::Gone),
            Pushed::Unwritten => Err(CallError::Encode(parser::panicked())),
        }
    }

    /// Sends the answer to an event, unless the socket has left.
    pub(crate) fn reply(self: &Arc<Self>, reply: Reply) {
        match reply.into_outcome() {
            Outcome::Answer(_) if !self.is_connected() => {}
            Outcome::Answer(Ok(answer)) => {
                let letter = answer.address(&self.namespace.name);
                self.deliver(self.namespace.packed(letter, true), Worth::Kept);
            }
            Outcome::Answer(Err(error)) => self.note_encode_failure("an ack", &error),
            Outcome::Failure(failure) => {
                self.namespace.count(|metrics| &metrics.events_failed);
                self.fail(&failure.event, failure.ack, &failure.error);
            }
        }
    }

    /// An event has come to nothing: tells the client, if it waits for an answer, and the function that
    /// is told of errors. Called without any lock.
    pub(crate) fn fail(self: &Arc<Self>, event: &str, ack: Option<AckId>, error: &EventError) {
        tracing::debug!(event, %error, "an event came to nothing");
        if let Some(id) = ack {
            self.refuse(id, error);
        }
        if let (Some(on_error), Some(core)) = (&self.table.on_error, self.namespace.core()) {
            core.guarded("the function of on_error", || on_error(self, event, error));
        }
    }

    /// Answers an error.
    pub(crate) fn refuse(self: &Arc<Self>, id: AckId, error: &EventError) {
        self.reply(Reply::new(id, &error.to_json()));
    }

    /// Sends a letter to this client, and counts when it does not go.
    fn deliver(self: &Arc<Self>, letter: Letter, worth: Worth) -> Pushed {
        let pushed = match &self.namespace.parser {
            None => self.link.push_letter(letter, worth),
            chosen => match parcel(letter, chosen.as_ref()) {
                Ok(parcel) => self.link.push(parcel, worth),
                Err(error) => {
                    self.note_encode_failure("a packet", &error);
                    Pushed::Unwritten
                }
            },
        };
        if pushed != Pushed::Queued {
            self.note(pushed);
        }
        pushed
    }

    pub(crate) fn note(self: &Arc<Self>, pushed: Pushed) {
        match pushed {
            Pushed::Slow => self.note_slow(),
            // What could not be written is counted where that was tried.
            Pushed::Queued | Pushed::Gone | Pushed::Unwritten => {}
            Pushed::Overflow => {
                self.namespace.count(|metrics| &metrics.slow_peers);
                tracing::warn!(socket = %self.id, "outbox full: the client reads too slowly");
            }
            Pushed::Dropped => self.namespace.count(|metrics| &metrics.volatile_dropped),
        }
    }

    /// So much waits for this client that it is slow: tells whoever wants to know.
    fn note_slow(self: &Arc<Self>) {
        self.namespace.count(|metrics| &metrics.slow_warnings);
        let Some(on_slow) = &self.table.on_slow else {
            return;
        };
        let bytes = self.link.outbox_bytes();
        if catch_unwind(AssertUnwindSafe(|| on_slow(self, bytes))).is_err() {
            self.namespace.count(|metrics| &metrics.panics);
            tracing::error!("an on_slow function panicked");
        }
    }

    /// The last event of those that can be recovered that it was sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// It is sent this event, or should have been. Called with the journal locked.
    pub(crate) fn note_sent(&self, number: u64) {
        self.sent.store(number, Ordering::Relaxed);
    }

    pub(crate) fn note_encode_failure(&self, event: &str, error: &EncodeError) {
        self.namespace.note_unwritten(event, error);
    }
}

impl Member {
    pub(crate) fn new(socket: &Arc<SocketCore>) -> Self {
        Self { link: Arc::clone(&socket.link), socket: Arc::clone(socket) }
    }

    /// Sends an event that can be recovered to this client. Called with the journal locked.
    pub(crate) fn push(&self, parcel: Parcel, number: u64, worth: Worth) -> Pushed {
        if worth != Worth::Volatile {
            self.socket.note_sent(number);
        }
        self.link.push(parcel, worth)
    }

    /// Sends a parcel to this client, and counts when it does not go.
    #[inline]
    pub(crate) fn deliver(&self, parcel: Parcel, worth: Worth) -> Pushed {
        let pushed = self.link.push(parcel, worth);
        if pushed != Pushed::Queued {
            self.socket.note(pushed);
        }
        pushed
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
