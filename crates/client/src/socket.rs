//! [`Socket`]: the client in one namespace.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::event::{CallName, EmitName, OnName};
use roomful_proto::socket::manager::{Ask, Attempt, Emission, Frames, NotSent, Writable};
use roomful_proto::socket::packet::is_reserved;
use roomful_proto::{AckId, Answer, Args, EncodeError, FromArg, Letter, ToArgs};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::builder::Builder;
use crate::call::{Asked, Call};
use crate::connect::Connect;
use crate::core::{Auth, Core, Keyed};
use crate::error::{BuildError, CallError, ConnectError, EmitError};
use crate::events::{Events, Tap};
use crate::handler::{self, Ack, Handler};
use crate::manager::Manager;
use crate::shared::Handle;
use crate::status::{Disconnection, Status};

/// The client in one namespace. A handle: cloning it is cheap, and the connection is closed, in order, when
/// the last one of its [`Manager`] is dropped. So a handler should use the socket that it is given, and not
/// hold one of its own.
///
/// ```no_run
/// use roomful_client::Socket;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let io = Socket::new("http://localhost:3000")?;
/// io.on("message", async |_: Socket, text: String| println!("{text}"));
/// io.connect().await?;
/// io.emit("message", "hello");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Socket {
    core: Arc<Core>,
    handle: Arc<Handle>,
}

impl Socket {
    /// A socket of a client of its own. The path of the URL is the namespace, as in JavaScript's `io(url)`;
    /// all else is as by default. Nothing is connected before [`connect`](Self::connect), so that handlers
    /// can be registered before the first event.
    ///
    /// # Errors
    ///
    /// Where it is no URL of a server.
    #[doc(alias = "io")]
    pub fn new(url: &str) -> Result<Self, BuildError> {
        let builder = Builder::of(url)?;
        let namespace = builder.namespace().to_owned();
        Ok(builder.build()?.socket(&namespace))
    }

    pub(crate) const fn from_parts(core: Arc<Core>, handle: Arc<Handle>) -> Self {
        Self { core, handle }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    #[cfg(feature = "blocking")]
    pub(crate) fn shared(&self) -> &Arc<crate::shared::Shared> {
        &self.handle.shared
    }

    /// The manager of its connection.
    #[doc(alias = "io")]
    pub fn manager(&self) -> Manager {
        Manager::new(Arc::clone(&self.handle))
    }

    /// The name of its namespace.
    #[doc(alias = "nsp")]
    pub fn namespace(&self) -> &str {
        &self.core.namespace
    }

    /// Its public id, which is another each time that it is connected, unless it was recovered. `None`
    /// while it is not connected.
    #[doc(alias = "socket.id")]
    pub fn id(&self) -> Option<String> {
        self.core.id().filter(|_| self.is_connected()).map(String::from)
    }

    // Connecting.

    /// What the server is told each time that the socket is connected: anything that is an object in JSON.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn auth(&self, auth: impl Serialize) -> Result<&Self, BuildError> {
        self.core.set_auth(Auth::Value(object(&auth)?));
        Ok(self)
    }

    /// The same, made anew each time: a token that expires, for example. What cannot be written as an
    /// object is left out, with a line in the log. The task of the connection makes it: it may wait, and must
    /// not block its thread. It may take as long as the namespace may to answer ([`Builder::connect_timeout`]);
    /// where it takes longer, or panics, the namespace has not answered.
    #[doc(alias = "auth")]
    pub fn auth_with<F, Fut>(&self, auth: F) -> &Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Serialize> + Send + 'static,
    {
        self.core.set_auth(Auth::Made(Arc::new(move || {
            let made = auth();
            Box::pin(async move {
                let json = object(&made.await);
                json.inspect_err(|e| tracing::error!("no auth payload: {e}")).ok()
            })
        })));
        self
    }

    /// Connects the socket, and keeps it connected until [`disconnect`](Self::disconnect). It begins at
    /// once; awaited, it tells of the first thing that happens: that the socket is connected, or the
    /// first attempt has failed. Further attempts are then made all the same, as
    /// [`Builder::reconnection`] says: [`connected`](Self::connected) waits for them. Whoever awaits may
    /// look later than that: a socket that was connected, and is no more, was connected all the same, and
    /// [`closed`](Self::closed) or [`status`](Self::status) tell of the rest.
    #[doc(alias = "open")]
    #[doc(alias = "autoConnect")]
    pub fn connect(&self) -> Connect {
        let shared = &self.handle.shared;
        let connect = Connect::new(self, false);
        if shared.runtime().is_none() {
            let error = crate::error::TransportCause::NoRuntime.into();
            self.core.set_status(Status::Failed(Arc::new(ConnectError::Transport(error))));
            return connect;
        }
        shared.act(|state, now| {
            if !state.manager.is_joined(self.core.key) {
                self.core.set_status(Status::Connecting);
            }
            state.manager.connect(now, self.core.key);
        });
        connect
    }

    /// Waits until the socket is connected, through as many attempts as it takes. Call
    /// [`connect`](Self::connect) first.
    ///
    /// # Errors
    ///
    /// When no further attempt is made: the server has refused, all attempts have failed, or one of both
    /// sides has left.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        Connect::new(self, true).await
    }

    /// Leaves the namespace, and closes the connection if no other socket uses it. It does not come back
    /// before [`connect`](Self::connect). It is disconnected at once; [`Manager::close`] also waits until the
    /// server has read what was emitted, and was told.
    #[doc(alias = "close")]
    pub fn disconnect(&self) {
        self.handle.shared.act(|state, _| state.leave(&self.core));
    }

    /// Waits until nothing more happens by itself: the server has refused or put out the socket, this side
    /// has left, or no further attempt is made. Tells why.
    pub async fn closed(&self) -> Status {
        let mut watch = self.core.status.subscribe();
        match watch.wait_for(Status::is_final).await {
            Ok(status) => status.clone(),
            Err(_) => Status::Idle,
        }
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// Tells of each change of its [`Status`]; of several at once only the last. What `borrow` gives keeps
    /// the client waiting, for ever where it is held while the client is called: clone it.
    #[doc(alias = "reconnect")]
    #[doc(alias = "reconnect_attempt")]
    #[doc(alias = "reconnect_error")]
    #[doc(alias = "reconnect_failed")]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.core.status.subscribe()
    }

    /// Whether it is connected.
    #[doc(alias = "connected")]
    #[doc(alias = "disconnected")]
    pub fn is_connected(&self) -> bool {
        self.core.status.borrow().is_connected()
    }

    /// Whether it is connected, or will be without being told to.
    #[doc(alias = "active")]
    pub fn is_active(&self) -> bool {
        self.handle.shared.look(|state| state.manager.is_active(self.core.key))
    }

    /// Whether it is the same socket as before its connection was lost, and has missed nothing.
    #[doc(alias = "recovered")]
    pub fn is_recovered(&self) -> bool {
        matches!(*self.core.status.borrow(), Status::Connected { recovered: true })
    }

    // Hearing.

    /// Calls `handler` for each event of that name: see [`Handler`]. It takes the place of the one before.
    #[doc(alias = "addEventListener")]
    pub fn on<N: OnName<M>, H: Handler<M>, M: 'static>(&self, event: N, handler: H) -> &Self {
        self.core.listeners.on(event.event_name(), handler::erase(handler));
        self
    }

    /// As [`on`](Self::on), for one event only: the first whose arguments fit. It goes before a handler of
    /// the same name, which has the others.
    pub fn once<N: OnName<M>, H: Handler<M>, M: 'static>(&self, event: N, handler: H) -> &Self {
        self.core.listeners.once(event.event_name(), handler::erase(handler));
        self
    }

    /// Removes the handlers of an event; `false` when there was none.
    #[doc(alias = "removeListener")]
    #[doc(alias = "removeAllListeners")]
    #[doc(alias = "removeEventListener")]
    pub fn off(&self, event: &str) -> bool {
        self.core.listeners.off(event)
    }

    /// Calls `listener` with each event that comes, before its handler: with its name and its arguments. It
    /// is called behind those that were registered before.
    #[doc(alias = "onAny")]
    #[doc(alias = "catch-all")]
    pub fn on_any(&self, listener: impl Fn(&str, &Args) + Send + Sync + 'static) -> &Self {
        self.core.listeners.on_any(Arc::new(move |name, args| {
            listener(name, args);
            None
        }));
        self
    }

    /// Calls `listener` with each event that has no handler: with its name, its arguments, and the ack,
    /// which it may send at once or hand to a task that sends it later. It takes the place of the one before.
    pub fn on_unhandled(
        &self,
        listener: impl Fn(&str, Args, Ack) + Send + Sync + 'static,
    ) -> &Self {
        self.core.listeners.on_unhandled(Arc::new(move |name, args, ack| {
            listener(name, args, ack);
            None
        }));
        self
    }

    /// Calls `listener` with each event that is emitted, when it is emitted: also with one that then has to
    /// wait, or is dropped. It is called behind those that were registered before.
    #[doc(alias = "onAnyOutgoing")]
    pub fn on_any_outgoing(&self, listener: impl Fn(&str, &Args) + Send + Sync + 'static) -> &Self {
        self.core.listeners.on_any_outgoing(Arc::new(listener));
        self
    }

    /// Removes all functions of [`on_any`](Self::on_any) and [`on_any_outgoing`](Self::on_any_outgoing).
    #[doc(alias = "offAny")]
    #[doc(alias = "offAnyOutgoing")]
    pub fn off_any(&self) {
        self.core.listeners.off_any();
    }

    /// Calls `greet` each time that the socket has connected.
    #[doc(alias = "connect")]
    pub fn on_connect<F, Fut>(&self, greet: F) -> &Self
    where
        F: Fn(Self) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.core.listeners.on_connect(Arc::new(move |socket| handler::unasked(greet(socket))));
        self
    }

    /// Calls `farewell` each time that the socket was disconnected, and says why.
    #[doc(alias = "disconnect")]
    pub fn on_disconnect<F, Fut>(&self, farewell: F) -> &Self
    where
        F: Fn(Self, Disconnection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.core
            .listeners
            .on_disconnect(Arc::new(move |socket, why| handler::unasked(farewell(socket, why))));
        self
    }

    /// Calls `failed` each time that the socket could not be connected: [`is_active`](Self::is_active) tells
    /// whether another attempt follows.
    #[doc(alias = "connect_error")]
    pub fn on_connect_error<F, Fut>(&self, failed: F) -> &Self
    where
        F: Fn(Self, Arc<ConnectError>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.core
            .listeners
            .on_connect_error(Arc::new(move |socket, why| handler::unasked(failed(socket, why))));
        self
    }

    /// The events of one name as a stream: all arguments of each as a `T`, as [`emit`](Self::emit) writes
    /// it. The stream hears what comes from now on.
    ///
    /// ```no_run
    /// # use roomful_client::{Event, Socket};
    /// const MOVED: Event<(f32, f32)> = Event::new("moved");
    /// # async fn example(io: Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut moved = io.events(MOVED);
    /// while let Some(point) = moved.next().await {
    ///     let (x, y) = point?;
    ///     println!("{x} {y}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn events<N: EmitName<T>, T: DeserializeOwned>(&self, event: N) -> Events<T> {
        let tap = Tap::new(Some(event.event_name()), self.handle.shared.settings.stream_bytes_max);
        self.core.listeners.tap(&tap);
        Events::of_one(tap)
    }

    /// All events as a stream of one type: an enum that `serde` reads, with a variant for each name.
    ///
    /// ```no_run
    /// # use roomful_client::Socket;
    /// #[derive(serde::Deserialize)]
    /// #[serde(rename_all = "snake_case")]
    /// enum Heard {
    ///     Said(String),
    ///     Moved(f32, f32),
    ///     Bye,
    /// }
    /// # async fn example(io: Socket) {
    /// let mut heard = io.all_events::<Heard>();
    /// while let Some(event) = heard.next().await {
    ///     match event {
    ///         Ok(Heard::Said(text)) => println!("{text}"),
    ///         Ok(Heard::Moved(x, y)) => println!("{x} {y}"),
    ///         Ok(Heard::Bye) => break,
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn all_events<T: DeserializeOwned>(&self) -> Events<T> {
        let tap = Tap::new(None, self.handle.shared.settings.stream_bytes_max);
        self.core.listeners.tap(&tap);
        Events::of_all(tap)
    }

    // Speaking.

    /// Sends an event. A tuple is several arguments, everything else is one, `()` is none; so `(a, b)` and `[a, b]`
    /// are two arguments, `vec![a, b]` is one: see [`ToArgs`]. While the socket is not connected the event waits,
    /// up to `waiting_bytes_max` of all together.
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        let name = event.event_name();
        if let Err(e) = self.send_event(name, &args, None, true) {
            tracing::warn!("the event {name:?} was not sent: {e}");
        }
    }

    /// Sends a `message`: a short form of [`emit`](Self::emit). `(a, b)` and `[a, b]` are two arguments,
    /// `vec![a, b]` is one: see [`ToArgs`].
    #[doc(alias = "write")]
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }

    /// Sends an event, and tells what became of it. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see
    /// [`ToArgs`].
    ///
    /// # Errors
    ///
    /// Where it can not be written, or too much waits.
    #[doc(alias = "emit")]
    pub fn try_emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) -> Result<(), EmitError> {
        self.send_event(event.event_name(), &args, None, true)
    }

    /// Sends an event if it can leave at once, and drops it otherwise. `(a, b)` and `[a, b]` are two arguments,
    /// `vec![a, b]` is one: see [`ToArgs`].
    #[doc(alias = "volatile")]
    pub fn emit_volatile<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        // What cannot leave is to be dropped.
        let _ = self.send_event(event.event_name(), &args, Some(()), true);
    }

    /// Sends an event that is not compressed, where others are: what must not be guessed from the size
    /// of a message. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see [`ToArgs`].
    #[doc(alias = "compress")]
    pub fn emit_uncompressed<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        let name = event.event_name();
        if let Err(e) = self.send_event(name, &args, None, false) {
            tracing::warn!("the event {name:?} was not sent: {e}");
        }
    }

    /// Sends an event that the server is to answer. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one:
    /// see [`ToArgs`].
    ///
    /// The type of the answer is that of what takes it, as in `let sum: i64 = …`; an [`Event`](crate::Event) as the
    /// name fixes it, too. A tuple reads an array, or several arguments: see [`FromArg::from_answer`].
    ///
    /// ```no_run
    /// # use roomful_client::{CallError, Socket};
    /// # use std::time::Duration;
    /// # async fn example(io: Socket) -> Result<(), CallError> {
    /// let sum: i64 = io.call("add", (1, 2)).timeout(Duration::from_secs(5)).await?;
    /// # drop(sum); Ok(()) }
    /// ```
    #[doc(alias = "emitWithAck")]
    pub fn call<N: CallName<T, R>, T: ToArgs, R: FromArg>(&self, event: N, args: T) -> Call<R> {
        let asked = self.ask(event.event_name(), &args).map_err(Some);
        Call { asked, types: PhantomData }
    }

    /// From now on each event of this socket, but for volatile ones, is sent again until its ack comes: one
    /// after the other, so that they arrive in order, and as often and as long as [`Builder::retries`] says.
    /// The server must answer each, and may get one more than once.
    ///
    /// With `keyed` it can recognise that: each event has one more argument at its end, a text that is the
    /// same each time that the event is sent, and never that of another event.
    #[doc(alias = "retries")]
    pub fn retry_events(&self, keyed: bool) -> &Self {
        let mut random = [0; 15];
        let keyed = match keyed && getrandom::fill(&mut random).is_ok() {
            true => Keyed::By(Arc::from(&*roomful_proto::SocketId::from_random(random))),
            false => Keyed::No,
        };
        self.core.set_retrying(Some(keyed));
        self
    }

    /// Drops what was emitted while the socket was not connected and waits to be sent; how many events that
    /// were. Who waits for an answer of one gets [`CallError::Dropped`]. Events that are
    /// [sent again](Self::retry_events) until their ack comes stay.
    #[doc(alias = "sendBuffer")]
    pub fn clear_buffer(&self) -> usize {
        self.handle.shared.act(|state, _| state.manager.clear_buffer(self.core.key))
    }

    /// Waits until all that was emitted has left this client. It may wait for ever where there is no
    /// connection.
    pub async fn drained(&self) {
        self.manager().drained().await;
    }

    // Within.

    fn send_event<T: ToArgs + ?Sized>(
        &self,
        name: &str,
        args: &T,
        volatile: Option<()>,
        compress: bool,
    ) -> Result<(), EmitError> {
        if is_reserved(name) {
            return Err(EmitError::ReservedEvent);
        }
        self.tell_outgoing(name, args)?;
        if volatile.is_none()
            && let Some(keyed) = self.core.retrying()
        {
            return self.retry(name, args, &keyed, None);
        }
        let letter = Letter::event(&self.core.namespace, None, name, args);
        let shared = &self.handle.shared;
        let letter = letter.map_err(EmitError::Encode)?;
        let frames = Frames::new(letter, shared.settings.parser.as_deref());
        let sent = shared.act(|state, now| {
            let volatile = volatile.map(|()| Writable(state.writable));
            let emission = Emission { frames, ask: None, volatile, compress };
            state.manager.emit(now, self.core.key, emission)
        });
        Ok(sent?)
    }

    fn ask<T: ToArgs>(&self, name: &str, args: &T) -> Result<Asked, CallError> {
        if is_reserved(name) {
            return Err(CallError::ReservedEvent);
        }
        self.tell_outgoing(name, args)?;
        let shared = &self.handle.shared;
        let (waiter, receiver) = oneshot::channel();
        let asked = |id| Asked {
            handle: Arc::clone(&self.handle),
            key: self.core.key,
            id,
            receiver,
            is_done: false,
        };
        if let Some(keyed) = self.core.retrying() {
            let sent = self.retry(name, args, &keyed, Some(waiter));
            sent.map_err(CallError::from)?;
            return Ok(asked(None));
        }
        // Odd ids are those of events that are sent again.
        let id = AckId::new((self.core.next() * 2) & AckId::MAX).ok_or(CallError::TooMany)?;
        let letter = Letter::event(&self.core.namespace, Some(id), name, args);
        let frames =
            Frames::new(letter.map_err(CallError::Encode)?, shared.settings.parser.as_deref());
        let sent = shared.act(|state, now| {
            let ask = Some(Ask { id, waiter, timeout: Some(shared.settings.ack_timeout) });
            let emission = Emission { frames, ask, volatile: None, compress: true };
            state.manager.emit(now, self.core.key, emission)
        });
        match sent {
            Ok(()) => Ok(asked(Some(id))),
            Err(NotSent::TooManyAcks) => Err(CallError::TooMany),
            Err(e) => Err(EmitError::from(e).into()),
        }
    }

    fn retry<T: ToArgs + ?Sized>(
        &self,
        name: &str,
        args: &T,
        keyed: &Keyed,
        waiter: Option<oneshot::Sender<Result<Args, roomful_proto::socket::manager::NoAck>>>,
    ) -> Result<(), EmitError> {
        let mut args = Args::new(args).map_err(EmitError::Encode)?;
        if let Keyed::By(own) = keyed {
            args = args.and_text(&format!("{own}-{}", self.core.next()));
        }
        let sent = self
            .handle
            .shared
            .act(|state, now| state.manager.emit_retrying(now, self.core.key, name, args, waiter));
        Ok(sent?)
    }

    fn tell_outgoing<T: ToArgs + ?Sized>(&self, name: &str, args: &T) -> Result<(), EmitError> {
        let listeners = self.core.listeners.outgoing();
        if listeners.is_empty() {
            return Ok(());
        }
        let args = Args::new(args).map_err(EmitError::Encode)?;
        listeners.iter().for_each(|listener| listener(name, &args));
        Ok(())
    }

    /// Answers an event of the server.
    pub(crate) fn answer(&self, attempt: Attempt, answer: Result<Answer, EncodeError>) {
        match answer {
            Ok(answer) => {
                self.handle.shared.act(|state, _| state.manager.answer(attempt, answer));
            }
            Err(e) => tracing::error!("an answer could not be written: {e}"),
        }
    }
}

/// The JSON of an auth payload.
pub(crate) fn object(auth: &impl Serialize) -> Result<Bytes, BuildError> {
    let json = serde_json::to_vec(auth).map_err(|e| BuildError::Auth(e.to_string()))?;
    match json.first() {
        Some(b'{') => Ok(json.into()),
        _ => Err(BuildError::Auth("it is another value".to_owned())),
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("namespace", &self.namespace())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
