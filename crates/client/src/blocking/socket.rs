//! [`Socket`]: the client in one namespace, for programs without async.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use roomful_proto::event::{CallName, EmitName, OnName};
use roomful_proto::{Args, FromArg, ToArgs};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::events::Events;
use super::handler::{Handler, Posted};
use super::threads::{self, Worker, wait, wait_at_most};
use crate::builder::Builder;
use crate::error::{BuildError, CallError, ConnectError, EmitError};
use crate::handler::{Ack, unasked};
use crate::manager::Manager;
use crate::status::{Disconnection, Status};

/// The client in one namespace. A handle: cloning it is cheap, and the connection is closed, in order,
/// when the last one is dropped; [`close`](Self::close) also waits for that. So a handler should use the
/// socket that it is given, and not hold one of its own.
#[derive(Clone)]
pub struct Socket {
    socket: crate::Socket,
    worker: Worker,
}

impl Socket {
    /// A socket of a client of its own. The path of the URL is the namespace; all else is as by default.
    /// Nothing is connected before [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// Where it is no URL of a server, or the system gives no thread.
    #[doc(alias = "io")]
    pub fn new(url: &str) -> Result<Self, BuildError> {
        let builder = Builder::of(url)?;
        let namespace = builder.namespace().to_owned();
        Self::build(builder, &namespace)
    }

    /// The socket of that namespace of a client that is made as the builder says.
    ///
    /// ```no_run
    /// # use roomful_client::{Manager, Transport, blocking::Socket};
    /// # fn example() -> Result<(), roomful_client::BuildError> {
    /// let builder = Manager::builder("https://example.org")?.transports([Transport::WebSocket]);
    /// let chat = Socket::build(builder, "/chat")?;
    /// # drop(chat); Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Builder::build`], or where the system gives no thread.
    pub fn build(builder: Builder, namespace: &str) -> Result<Self, BuildError> {
        let socket = builder.build()?.socket(namespace);
        threads::run(Arc::clone(socket.shared()))?;
        Ok(Self { socket, worker: Worker::start()? })
    }

    pub(super) const fn from_parts(socket: crate::Socket, worker: Worker) -> Self {
        Self { socket, worker }
    }

    /// The socket of another namespace on the same connection.
    pub fn socket(&self, namespace: &str) -> Self {
        let socket = self.socket.manager().socket(namespace);
        Self { socket, worker: self.worker.clone() }
    }

    /// The manager of its connection: its counters, its transport, headers for the next connection. What
    /// of it waits is a future, of which [`close`](Self::close) and [`drained`](Self::drained) are there
    /// here; sockets that it gives are those for async.
    #[doc(alias = "io")]
    #[doc(alias = "io.engine")]
    pub fn manager(&self) -> Manager {
        self.socket.manager()
    }

    /// The name of its namespace.
    #[doc(alias = "nsp")]
    pub fn namespace(&self) -> &str {
        self.socket.namespace()
    }

    /// Its public id; `None` while it is not connected.
    #[doc(alias = "socket.id")]
    pub fn id(&self) -> Option<String> {
        self.socket.id()
    }

    /// What the server is told each time that the socket is connected: anything that is an object in JSON.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn auth(&self, auth: impl Serialize) -> Result<&Self, BuildError> {
        self.socket.auth(auth)?;
        Ok(self)
    }

    /// The same, made anew each time: a token that expires, for example. `auth` is called on a thread
    /// beside, and may wait; meanwhile the namespace is waited for. What cannot be written as an object is
    /// left out, with a line in the log.
    ///
    /// ```no_run
    /// # use roomful_client::blocking::Socket;
    /// # fn example(io: Socket) {
    /// io.auth_with(|| serde_json::json!({ "token": std::fs::read_to_string("token").ok() }));
    /// # }
    /// ```
    #[doc(alias = "auth")]
    pub fn auth_with<T: Serialize + Send + 'static>(
        &self,
        auth: impl Fn() -> T + Send + Sync + 'static,
    ) -> &Self {
        let auth = Arc::new(auth);
        self.socket.auth_with(move || {
            let auth = Arc::clone(&auth);
            threads::aside(move || auth())
        });
        self
    }

    /// Connects the socket, and keeps it connected until [`disconnect`](Self::disconnect). Waits for the
    /// first thing that happens: that the socket is connected, or the first attempt has failed. Further
    /// attempts are then made all the same: [`connected`](Self::connected) waits for them.
    ///
    /// # Errors
    ///
    /// Where it is not connected at the first attempt.
    #[doc(alias = "open")]
    pub fn connect(&self) -> Result<(), ConnectError> {
        wait(self.socket.connect().into_future())
    }

    /// Waits until the socket is connected, through as many attempts as it takes. Call
    /// [`connect`](Self::connect) first. [`wait_for`](Self::wait_for) can do so for a time only.
    ///
    /// # Errors
    ///
    /// When no further attempt is made.
    pub fn connected(&self) -> Result<(), ConnectError> {
        wait(self.socket.connected())
    }

    /// Leaves the namespace, and closes the connection if no other socket uses it. Waits for nothing. (The
    /// `close` of JavaScript does no more than that, [`close`](Self::close) here does.)
    pub fn disconnect(&self) {
        self.socket.disconnect();
    }

    /// Waits until the server has read what was emitted, disconnects all sockets of the connection, and waits
    /// until it is closed. Each of both takes `close_timeout` (5 s) at most, and the last words a second.
    pub fn close(&self) {
        wait(self.socket.manager().close());
    }

    /// Waits until nothing more happens by itself, and tells why.
    pub fn closed(&self) -> Status {
        wait(self.socket.closed())
    }

    /// Waits until all that was emitted has left this client. It may wait for ever where there is no
    /// connection.
    pub fn drained(&self) {
        wait(self.socket.drained());
    }

    /// Waits until `is_so` of its status, for that long at most; its status then, whether it is so or not.
    /// Of several changes at once only the last is looked at.
    ///
    /// ```no_run
    /// # use roomful_client::{Status, blocking::Socket};
    /// # use std::time::Duration;
    /// # fn example(io: Socket) {
    /// let status = io.wait_for(Status::is_connected, Duration::from_secs(60));
    /// if !status.is_connected() {
    ///     println!("there is no connection after a minute: {status:?}");
    /// }
    /// # }
    /// ```
    pub fn wait_for(&self, is_so: impl Fn(&Status) -> bool, timeout: Duration) -> Status {
        let mut watch = self.socket.watch();
        let waiting = async {
            loop {
                // Not while the status is borrowed, which is a lock.
                let status = watch.borrow_and_update().clone();
                if is_so(&status) || watch.changed().await.is_err() {
                    return status;
                }
            }
        };
        wait_at_most(timeout, waiting).unwrap_or_else(|| self.status())
    }

    /// Waits until the server has read all that was emitted, and tells whether it has: see
    /// [`Manager::arrived`](crate::Manager::arrived).
    pub fn arrived(&self) -> bool {
        wait(self.socket.manager().arrived())
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.socket.status()
    }

    /// Whether it is connected.
    #[doc(alias = "connected")]
    pub fn is_connected(&self) -> bool {
        self.socket.is_connected()
    }

    /// Whether it is connected, or will be without being told to.
    #[doc(alias = "active")]
    pub fn is_active(&self) -> bool {
        self.socket.is_active()
    }

    /// Whether it is the same socket as before its connection was lost, and has missed nothing.
    #[doc(alias = "recovered")]
    pub fn is_recovered(&self) -> bool {
        self.socket.is_recovered()
    }

    /// Calls `handler` for each event of that name: see [`Handler`]. It takes the place of the one before.
    #[doc(alias = "addListener")]
    pub fn on<N: OnName<M>, H: Handler<M>, M: 'static>(&self, event: N, handler: H) -> &Self {
        self.socket.on::<_, _, M>(event, self.posted(handler));
        self
    }

    /// As [`on`](Self::on), for one event only: the first whose arguments fit.
    pub fn once<N: OnName<M>, H: Handler<M>, M: 'static>(&self, event: N, handler: H) -> &Self {
        self.socket.once::<_, _, M>(event, self.posted(handler));
        self
    }

    /// Removes the handlers of an event; `false` when there was none.
    #[doc(alias = "removeListener")]
    #[doc(alias = "removeAllListeners")]
    pub fn off(&self, event: &str) -> bool {
        self.socket.off(event)
    }

    /// Calls `listener` with each event that comes, before its handler and on the same thread: with its
    /// name and its arguments.
    #[doc(alias = "onAny")]
    #[doc(alias = "prependAny")]
    pub fn on_any(&self, listener: impl Fn(&str, &Args) + Send + Sync + 'static) -> &Self {
        let (worker, listener) = (self.worker.clone(), Arc::new(listener));
        self.socket.core().listeners.on_any(Arc::new(move |name, args| {
            let (listener, name, args) = (Arc::clone(&listener), name.to_owned(), args.clone());
            Some(unasked(worker.run(move || listener(&name, &args))))
        }));
        self
    }

    /// Calls `listener` with each event that has no handler: with its name, its arguments, and the ack,
    /// which it may send at once or hand to others that send it later. It takes the place of the one before.
    #[doc(alias = "catch-all")]
    pub fn on_unhandled(
        &self,
        listener: impl Fn(&str, Args, Ack) + Send + Sync + 'static,
    ) -> &Self {
        let (worker, listener) = (self.worker.clone(), Arc::new(listener));
        self.socket.core().listeners.on_unhandled(Arc::new(move |name, args, ack| {
            let (listener, name) = (Arc::clone(&listener), name.to_owned());
            Some(unasked(worker.run(move || listener(&name, args, ack))))
        }));
        self
    }

    /// Calls `listener` with each event that is emitted, before it is sent and on the thread that emits it.
    #[doc(alias = "onAnyOutgoing")]
    #[doc(alias = "prependAnyOutgoing")]
    pub fn on_any_outgoing(&self, listener: impl Fn(&str, &Args) + Send + Sync + 'static) -> &Self {
        self.socket.on_any_outgoing(listener);
        self
    }

    /// Removes all functions of [`on_any`](Self::on_any) and [`on_any_outgoing`](Self::on_any_outgoing).
    #[doc(alias = "offAny")]
    #[doc(alias = "offAnyOutgoing")]
    pub fn off_any(&self) {
        self.socket.off_any();
    }

    /// Calls `greet` each time that the socket has connected.
    #[doc(alias = "connect")]
    pub fn on_connect(&self, greet: impl Fn(Self) + Send + Sync + 'static) -> &Self {
        let (worker, greet) = (self.worker.clone(), Arc::new(greet));
        self.socket.on_connect(move |socket| {
            let (socket, greet) = (Self::from_parts(socket, worker.clone()), Arc::clone(&greet));
            worker.run(move || greet(socket))
        });
        self
    }

    /// Calls `farewell` each time that the socket was disconnected, and says why.
    #[doc(alias = "disconnect")]
    pub fn on_disconnect(
        &self,
        farewell: impl Fn(Self, Disconnection) + Send + Sync + 'static,
    ) -> &Self {
        let (worker, farewell) = (self.worker.clone(), Arc::new(farewell));
        self.socket.on_disconnect(move |socket, why| {
            let socket = Self::from_parts(socket, worker.clone());
            let farewell = Arc::clone(&farewell);
            worker.run(move || farewell(socket, why))
        });
        self
    }

    /// Calls `failed` each time that the socket could not be connected.
    #[doc(alias = "connect_error")]
    pub fn on_connect_error(
        &self,
        failed: impl Fn(Self, Arc<ConnectError>) + Send + Sync + 'static,
    ) -> &Self {
        let (worker, failed) = (self.worker.clone(), Arc::new(failed));
        self.socket.on_connect_error(move |socket, why| {
            let (socket, failed) = (Self::from_parts(socket, worker.clone()), Arc::clone(&failed));
            worker.run(move || failed(socket, why))
        });
        self
    }

    /// The events of one name, one after the other, from now on: all arguments of each as a `T`, as
    /// [`emit`](Self::emit) writes it. Do not wait for them in a handler for long: no other is called
    /// meanwhile.
    pub fn events<N: EmitName<T>, T: DeserializeOwned>(&self, event: N) -> Events<T> {
        Events::new(self.socket.events(event))
    }

    /// All events as values of one type: an enum that `serde` reads, with a variant for each name.
    pub fn all_events<T: DeserializeOwned>(&self) -> Events<T> {
        Events::new(self.socket.all_events())
    }

    /// Sends an event. A tuple is several arguments, everything else is one, `()` is none; so `(a, b)` and `[a, b]`
    /// are two arguments, `vec![a, b]` is one: see [`ToArgs`]. It waits for nothing: while the socket is not
    /// connected the event is kept, up to `waiting_bytes_max`.
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        self.socket.emit(event, args);
    }

    /// Sends a `message`: a short form of [`emit`](Self::emit). `(a, b)` and `[a, b]` are two arguments,
    /// `vec![a, b]` is one: see [`ToArgs`].
    #[doc(alias = "write")]
    pub fn send<T: ToArgs>(&self, args: T) {
        self.socket.send(args);
    }

    /// Sends an event, and tells what became of it. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see
    /// [`ToArgs`].
    ///
    /// # Errors
    ///
    /// Where it can not be written, or too much waits.
    pub fn try_emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) -> Result<(), EmitError> {
        self.socket.try_emit(event, args)
    }

    /// Sends an event if it can leave at once, and drops it otherwise. `(a, b)` and `[a, b]` are two arguments,
    /// `vec![a, b]` is one: see [`ToArgs`].
    #[doc(alias = "volatile")]
    pub fn emit_volatile<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        self.socket.emit_volatile(event, args);
    }

    /// Sends an event that is not compressed, where others are: what must not be guessed from the size
    /// of a message. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see [`ToArgs`].
    #[doc(alias = "compress")]
    pub fn emit_uncompressed<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        self.socket.emit_uncompressed(event, args);
    }

    /// Sends an event that the server is to answer: [`Call::wait`] waits for that. `(a, b)` and `[a, b]` are two
    /// arguments, `vec![a, b]` is one: see [`ToArgs`]. The type of the answer is that of what takes it, and a tuple reads
    /// an array or several arguments: see [`FromArg::from_answer`].
    #[doc(alias = "emitWithAck")]
    pub fn call<N: CallName<T, R>, T: ToArgs, R: FromArg>(&self, event: N, args: T) -> Call<R> {
        Call { call: self.socket.call(event, args) }
    }

    /// From now on each event of this socket, but for volatile ones, is sent again until its ack comes, as
    /// often and as long as [`Builder::retries`] says (3 times, 10 s each). With `keyed` each has a text
    /// at its end by which the server knows one that it had: see
    /// [`Socket::retry_events`](crate::Socket::retry_events).
    #[doc(alias = "retries")]
    pub fn retry_events(&self, keyed: bool) -> &Self {
        self.socket.retry_events(keyed);
        self
    }

    /// Drops what was emitted while the socket was not connected and waits to be sent; how many events that
    /// were. Who waits for an answer of one gets [`CallError::Dropped`].
    #[doc(alias = "sendBuffer")]
    pub fn clear_buffer(&self) -> usize {
        self.socket.clear_buffer()
    }

    fn posted<H>(&self, handler: H) -> Posted<H> {
        Posted { handler: Arc::new(handler), worker: self.worker.clone() }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// An event that was sent and is to be answered.
#[derive(Debug)]
#[must_use = "an answer that is not waited for is lost; use `emit` to ask for none"]
pub struct Call<R> {
    call: crate::Call<R>,
}

impl<R: FromArg> Call<R> {
    /// Waits for so long at most, from now on; otherwise as long as
    /// [`Builder::ack_timeout`](crate::Builder::ack_timeout) says (10 s).
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { call: self.call.timeout(timeout) }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn wait(self) -> Result<R, CallError> {
        wait(self.call)
    }
}
