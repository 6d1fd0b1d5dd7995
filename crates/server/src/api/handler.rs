//! [`Handler`]: the user's functions, and how they are called.
//!
//! A handler is any async function or closure whose first argument is a [`Socket`] and whose others
//! are the arguments of the event, by position. Its returned value is the ack.

use std::future::Future;
use std::sync::Arc;

use roomful_proto::args::{Before, Cursor, FromArg, Nothing, ToArgs};
use roomful_proto::event::Fallible;
use roomful_proto::socket::Event;
use roomful_proto::{AckId, ArgError, EventError};

use crate::api::socket::Socket;
use crate::namespace::erased::{Erased, Reply, Started};
use crate::namespace::socket_core::SocketCore;

/// What a handler is called with, beside the socket.
pub struct Incoming<'a> {
    cursor: Cursor<'a>,
    socket: &'a Arc<SocketCore>,
    event: &'a Arc<str>,
    /// The answer that is wanted, unless an argument has taken it over.
    ack: &'a mut Option<AckId>,
}

/// Where the answer to an event goes. As an argument of a handler it lets the handler answer later;
/// what the handler returns is then not sent. Where the client asked for no answer, sending one
/// does nothing.
#[must_use = "the client waits for an answer"]
#[doc(alias = "callback")]
pub struct Ack {
    wanted: Option<(Arc<SocketCore>, AckId)>,
}

impl Ack {
    /// Whether the client asked for an answer.
    pub const fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Sends the answer. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see [`ToArgs`].
    pub fn send<T: ToArgs>(mut self, answer: T) {
        if let Some((socket, id)) = self.wanted.take().filter(|(socket, _)| socket.is_connected()) {
            socket.reply(Reply::new(id, &answer));
        }
    }
}

/// Who panics still answers.
impl Drop for Ack {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some((socket, id)) = self.wanted.take()
        {
            socket.refuse(id, &EventError::internal("panicked"));
        }
    }
}

impl std::fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Ack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ack").field("is_wanted", &self.is_wanted()).finish()
    }
}

/// What an argument of a handler can be: see [`FromArg`], and [`Ack`]. What it costs to read is said at
/// [`Handler`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "this argument cannot be read from an event",
    note = "an argument must own its data and implement `serde::Deserialize`: add \
            `#[derive(serde::Deserialize)]` to the type, and take `String` instead of `&str`"
)]
pub trait FromEvent: Sized {
    /// How many arguments it takes: [`One`](crate::args::One), [`Rest`](crate::args::Rest) for
    /// all that are left, or [`Nothing`].
    type Takes;

    /// Takes the argument off the event.
    fn from_event(incoming: &mut Incoming<'_>) -> Result<Self, ArgError>;
}

impl<T: FromArg> FromEvent for T {
    type Takes = T::Takes;

    fn from_event(incoming: &mut Incoming<'_>) -> Result<Self, ArgError> {
        T::from_arg(&mut incoming.cursor)
    }
}

impl FromEvent for Ack {
    type Takes = Nothing;

    fn from_event(incoming: &mut Incoming<'_>) -> Result<Self, ArgError> {
        let wanted = incoming.ack.take().map(|id| (Arc::clone(incoming.socket), id));
        Ok(Self { wanted })
    }
}

/// A function that can be registered for an event.
///
/// Implemented for async functions and closures of up to eight arguments behind the [`Socket`]. One
/// that returns a `Result` with an [`EventError`] answers `{"ok": …}` or `{"error": …}`, and its error
/// is told to the function of [`Namespace::on_error`](crate::Namespace::on_error). Any other `Result`
/// is an answer like all else.
/// Handlers of one socket start in the order of their events and run to their first wait before the
/// next one starts.
///
/// Arguments are read by position. One that is missing reads as `null`, and so as `None` of an `Option`; arguments
/// behind those that the handler takes are ignored, as in JavaScript. [`Args`](crate::Args) as the last argument
/// takes all that are left, so a handler that wants no more than its own looks whether they are
/// [empty](crate::Args::is_empty).
///
/// ```
/// # use roomful::{Args, EventError, Server, Socket};
/// # let io = Server::new();
/// io.on("exactly two", async |_: Socket, a: i64, b: i64, rest: Args| match rest.is_empty() {
///     true => Ok(a + b),
///     false => Err(EventError::new("surplus", "two numbers are added")),
/// });
/// ```
///
/// A tuple that is returned is several arguments of the ack, of which `emitWithAck` of JavaScript gives the first:
/// return a struct, a `Vec` or `((a, b),)` for one. See [`ToArgs`].
///
/// An `async` closure must not capture: the [page of the crate](crate#state-in-handlers) has the two ways to reach
/// what handlers share. Where the compiler says no more than "this is not a handler",
/// [`check_handler`](crate::check_handler) has it say why.
///
/// A handler that waits is not dropped when its client goes, and holds up neither that nor the
/// [close](crate::Server::close) of the server: it runs on to its end. One that would go on for ever has to look at
/// [`Socket::disconnected`].
///
/// An error of your own becomes an [`EventError`] by `?` where you say how, which is possible for a type that is no
/// [`std::error::Error`]: `impl From<MyError> for EventError`.
///
/// ```
/// # use roomful::{EventError, Server, Socket};
/// # let io = Server::new();
/// io.on("buy", async |_: Socket, count: u32| -> Result<u32, EventError> {
///     if count > 10 {
///         return Err(EventError::new("too_many", "at most ten"));
///     }
///     let left: u32 = std::fs::read_to_string("stock")?.trim().parse()?;
///     Ok(left - count)
/// });
/// ```
///
/// What an argument takes in memory is for its type to say. A type with named fields takes what it keeps. One
/// that takes anything, such as [`serde_json::Value`], takes up to a hundred times the bytes of its JSON,
/// which the client chooses: 96 for each byte of `[{"":0},{"":0},…]`. An event may have
/// [`args_bytes_max`](crate::EventFlow::args_bytes_max) bytes, or else those of a message;
/// [`Args`](crate::Args) keeps them as they came.
#[diagnostic::on_unimplemented(
    message = "this is not a handler",
    label = "not a handler",
    note = "a handler is `async fn(Socket, A, B, …) -> R`: the first argument is a `Socket` (of the \
            namespace's types: `Socket<State, User>` where it has a state and a `connect` function), \
            each other one implements `serde::Deserialize`, the returned value implements \
            `serde::Serialize`",
    note = "`Args` takes all arguments that are left: nothing but an `Ack` can stand behind it",
    note = "what it holds over an `.await` must be `Send`: no `Rc`, and no guard of a lock",
    note = "an async closure must say the types of its arguments, as in \
            `async |me: Socket, text: String| …`, and must not capture: shared state comes from \
            `me.state()`, or from a closure without `async` that clones it into the `async move` block \
            it returns",
    note = "to be told which of this it is: `roomful::check_handler::<(Socket, A, B), _>(handler)`, with \
            the types of its arguments"
)]
pub trait Handler<A, U, M>: Send + Sync + 'static {
    /// Starts the handler; `Err` when the arguments do not fit it.
    fn start(&self, socket: Socket<A, U>, incoming: Incoming<'_>) -> Result<Started, ArgError>;
}

macro_rules! handler {
    ($($t:ident $v:ident [$($behind:ident)*]),*) => {
        impl<A, U, F, Fut, $($t,)*> Handler<A, U, fn($($t),*) -> Fut::Output> for F
        where
            A: 'static,
            U: 'static,
            F: Fn(Socket<A, U>, $($t),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: ToArgs + Send,
            $($t: FromEvent, $t::Takes: Before<($($behind::Takes,)*)>,)*
        {
            fn start(
                &self,
                socket: Socket<A, U>,
                #[allow(unused_mut, reason = "no argument, nothing to take")]
                mut incoming: Incoming<'_>,
            ) -> Result<Started, ArgError> {
                $(let $v = $t::from_event(&mut incoming)?;)*
                let ack = *incoming.ack;
                let answer = self(socket, $($v),*);
                Ok(Box::pin(async move {
                    let answer = answer.await;
                    ack.map(|id| Reply::new(id, &answer))
                }))
            }
        }

        impl<A, U, F, Fut, R, $($t,)*> Handler<A, U, Fallible<fn($($t),*) -> Fut::Output>> for F
        where
            A: 'static,
            U: 'static,
            F: Fn(Socket<A, U>, $($t),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<R, EventError>> + Send + 'static,
            R: serde::Serialize + Send,
            $($t: FromEvent, $t::Takes: Before<($($behind::Takes,)*)>,)*
        {
            fn start(
                &self,
                socket: Socket<A, U>,
                #[allow(unused_mut, reason = "no argument, nothing to take")]
                mut incoming: Incoming<'_>,
            ) -> Result<Started, ArgError> {
                $(let $v = $t::from_event(&mut incoming)?;)*
                let (event, ack) = (Arc::clone(incoming.event), *incoming.ack);
                let answer = self(socket, $($v),*);
                Ok(Box::pin(async move {
                    match answer.await {
                        Ok(answer) => ack.map(|id| Reply::new(id, &Ok::<_, ()>(answer))),
                        Err(error) => Some(Reply::failed(event, ack, error)),
                    }
                }))
            }
        }
    };
}

roomful_proto::for_parameters_of_handlers!(handler);

/// Forgets the types of a handler.
pub(crate) fn erase<A, U, M, H>(name: &str, handler: H) -> Erased
where
    A: 'static,
    U: 'static,
    H: Handler<A, U, M>,
{
    let name: Arc<str> = name.into();
    let event = Arc::clone(&name);
    let start = Arc::new(move |core: &Arc<SocketCore>, event: &mut Event| {
        let ack = event.ack;
        let socket = Socket::<A, U>::of_event(core, "on", &name, ack)?;
        let cursor = event.args.cursor_mut();
        let incoming = Incoming { cursor, socket: core, event: &name, ack: &mut event.ack };
        match handler.start(socket, incoming) {
            Ok(running) => Some(running),
            Err(error) => {
                core.namespace.count(|metrics| &metrics.events_misfit);
                core.fail(&name, ack, &error.into());
                None
            }
        }
    });
    Erased::new(event, start)
}
