//! [`Handler`]: the user's functions, and how they are called.
//!
//! A handler is any async function or closure whose first argument is a [`Socket`] and whose others are
//! the arguments of the event, by position. What it returns is the ack.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use roomful_proto::args::{Before, Cursor, FromArg, Nothing, ToArgs};
use roomful_proto::event::Fallible;
use roomful_proto::socket::manager::Attempt;
use roomful_proto::socket::packet::Event;
use roomful_proto::{AckId, Answer, ArgError, EventError};

use crate::socket::Socket;

/// What a handler is called with, beside the socket.
#[derive(Debug)]
pub struct Incoming<'a> {
    cursor: Cursor<'a>,
    socket: &'a Socket,
    attempt: Attempt,
    /// The ack that is wanted, unless an argument has taken it over.
    ack: &'a mut Option<AckId>,
}

#[cfg(feature = "blocking")]
impl Incoming<'_> {
    /// The ack that is wanted, when all arguments were taken.
    pub(crate) const fn ack(&self) -> Option<AckId> {
        *self.ack
    }
}

/// Where the ack of an event goes. As an argument of a handler it lets the handler answer later; what the
/// handler returns is then not sent. Where the server asked for no ack, sending one does nothing; nor does
/// it once the socket was disconnected.
#[must_use = "the server waits for an answer"]
pub struct Ack {
    pub(crate) wanted: Option<(Socket, Attempt, AckId)>,
}

impl Ack {
    /// Whether the server asked for an ack.
    pub const fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Sends the ack. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see [`ToArgs`].
    pub fn send<T: ToArgs>(self, answer: T) {
        if let Some((socket, attempt, id)) = self.wanted {
            socket.answer(attempt, Answer::new(id, &answer));
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").field("is_wanted", &self.is_wanted()).finish()
    }
}

/// What an argument of a handler can be: see [`FromArg`], and [`Ack`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "this argument cannot be read from an event",
    note = "an argument must own its data and implement `serde::Deserialize`: add \
            `#[derive(serde::Deserialize)]` to the type, and take `String` instead of `&str`"
)]
pub trait FromEvent: Sized {
    /// How many arguments it takes: [`One`](roomful_proto::args::One), [`Rest`](roomful_proto::args::Rest) for
    /// all that are left, or [`Nothing`].
    type Takes;

    /// Takes the argument off the event.
    ///
    /// # Errors
    ///
    /// Where it does not fit.
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
        let (socket, attempt) = (incoming.socket, incoming.attempt);
        Ok(Self { wanted: incoming.ack.take().map(|id| (socket.clone(), attempt, id)) })
    }
}

/// A handler that has started, and ends with its answer, if one is wanted and no [`Ack`] gave it.
pub type Started = Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

/// A function that nobody waits for.
pub(crate) fn unasked(started: impl Future<Output = ()> + Send + 'static) -> Started {
    Box::pin(async move {
        started.await;
        None
    })
}

/// What a handler has answered, already written.
#[must_use = "whoever runs the handler has to pass its answer on"]
pub struct Reply {
    pub(crate) answer: Result<Answer, roomful_proto::EncodeError>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

impl Reply {
    pub(crate) fn new<T: ToArgs>(id: AckId, answer: &T) -> Self {
        Self { answer: Answer::new(id, answer) }
    }

    pub(crate) fn failed(ack: Option<AckId>, error: &EventError) -> Option<Self> {
        tracing::debug!("a handler failed: {error}");
        ack.map(|id| Self::new(id, &error.to_json()))
    }
}

/// A function that can be registered for an event.
///
/// Implemented for async functions and closures of up to eight arguments behind the [`Socket`]. One that
/// returns a `Result` with an [`EventError`] answers `{"ok": …}` or `{"error": …}`. Handlers of one socket
/// start in the order of its events, and run to their first wait before the next one starts; waiting, they
/// overlap. However long they take, the connection goes on beside them.
///
/// Arguments are read by position. One that is missing reads as `null`; arguments behind those that the handler takes
/// are ignored, and [`Args`](crate::Args) as the last argument takes all that are left. A tuple that is returned is
/// several arguments of the ack, of which `emitWithAck` of JavaScript gives the first.
#[diagnostic::on_unimplemented(
    message = "this is not a handler",
    label = "not a handler",
    note = "a handler is `async fn(Socket, A, B, …) -> R`: the first argument is a `Socket`, each other \
            one implements `serde::Deserialize`, the returned value implements `serde::Serialize`",
    note = "`Args` takes all arguments that are left: nothing but an `Ack` can stand behind it",
    note = "what it holds over an `.await` must be `Send`: no `Rc`, and no guard of a lock",
    note = "an async closure must say the types of its arguments, as in \
            `async |me: Socket, text: String| …`, and must not capture: shared state comes from a closure \
            without `async` that clones it into the `async move` block it returns",
    note = "to be told which of this it is: `roomful_client::check_handler::<(Socket, A, B), _>(handler)`, with \
            the types of its arguments"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// Starts the handler; `Err` when the arguments do not fit it.
    ///
    /// # Errors
    ///
    /// When the arguments do not fit.
    fn start(&self, socket: Socket, incoming: Incoming<'_>) -> Result<Started, ArgError>;
}

macro_rules! handler {
    ($($t:ident $v:ident [$($behind:ident)*]),*) => {
        impl<F, Fut, $($t,)*> Handler<fn($($t),*) -> Fut::Output> for F
        where
            F: Fn(Socket, $($t),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: ToArgs + Send,
            $($t: FromEvent, $t::Takes: Before<($($behind::Takes,)*)>,)*
        {
            fn start(
                &self,
                socket: Socket,
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

        impl<F, Fut, R, $($t,)*> Handler<Fallible<fn($($t),*) -> Fut::Output>> for F
        where
            F: Fn(Socket, $($t),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<R, EventError>> + Send + 'static,
            R: serde::Serialize + Send,
            $($t: FromEvent, $t::Takes: Before<($($behind::Takes,)*)>,)*
        {
            fn start(
                &self,
                socket: Socket,
                #[allow(unused_mut, reason = "no argument, nothing to take")]
                mut incoming: Incoming<'_>,
            ) -> Result<Started, ArgError> {
                $(let $v = $t::from_event(&mut incoming)?;)*
                let ack = *incoming.ack;
                let answer = self(socket, $($v),*);
                Ok(Box::pin(async move {
                    match answer.await {
                        Ok(answer) => ack.map(|id| Reply::new(id, &Ok::<_, ()>(answer))),
                        Err(error) => Reply::failed(ack, &error),
                    }
                }))
            }
        }
    };
}

roomful_proto::for_parameters_of_handlers!(handler);

/// A handler whose types are forgotten.
pub(crate) type Erased = Arc<dyn Fn(&Socket, Attempt, &mut Event) -> Begun + Send + Sync>;

/// What came of starting a handler.
pub(crate) enum Begun {
    Started(Started),
    /// The arguments do not fit; the answer says so, where one is wanted.
    Misfit(ArgError, Option<Reply>),
}

pub(crate) fn erase<M, H: Handler<M>>(handler: H) -> Erased {
    Arc::new(move |socket, attempt, event| {
        let mut ack = event.ack;
        let cursor = event.args.cursor_mut();
        let incoming = Incoming { cursor, socket, attempt, ack: &mut ack };
        let started = handler.start(socket.clone(), incoming);
        match started {
            Ok(started) => {
                // What was handed out is not answered a second time, not even for a panic.
                event.ack = ack;
                Begun::Started(started)
            }
            Err(misfit) => {
                let error =
                    EventError::from(ArgError { index: misfit.index, cause: clone(&misfit) });
                Begun::Misfit(misfit, Reply::failed(event.ack, &error))
            }
        }
    })
}

fn clone(misfit: &ArgError) -> roomful_proto::error::ArgCause {
    use roomful_proto::error::ArgCause;
    match &misfit.cause {
        ArgCause::Type(why) => ArgCause::Type(why.clone()),
        _ => ArgCause::Missing,
    }
}
