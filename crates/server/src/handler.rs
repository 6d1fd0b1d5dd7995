//! [`Handler`]: the user's functions, and how they are called.
//!
//! A handler is any async function or closure whose first argument is a [`Socket`] and whose others
//! are the arguments of the event, by position. Its returned value is the ack.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use roomful_proto::args::{Cursor, FromArg, ToArgs};
use roomful_proto::socket::{Event, Slot};
use roomful_proto::{AckId, Answer, ArgError, EncodeError};

use crate::entry::Visitor;
use crate::hello::Refusal;
use crate::namespace::NamespaceCore;
use crate::socket::{Socket, SocketCore};

/// What a handler is called with, beside the socket.
pub struct Incoming<'a> {
    cursor: Cursor<'a>,
    socket: &'a Arc<SocketCore>,
    /// The answer that is wanted, unless an argument has taken it over.
    ack: Option<AckId>,
}

/// Where the answer to an event goes. As an argument of a handler it lets the handler answer later;
/// what the handler returns is then not sent. Where the client asked for no answer, sending one
/// does nothing.
#[must_use = "the client waits for an answer"]
pub struct Ack {
    wanted: Option<(Arc<SocketCore>, AckId)>,
}

impl Ack {
    /// Whether the client asked for an answer.
    pub const fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Sends the answer: a tuple is several arguments, everything else is one.
    pub fn send<T: ToArgs>(self, answer: T) {
        if let Some((socket, id)) = self.wanted.filter(|(socket, _)| socket.is_connected()) {
            socket.reply(Reply::new(id, &answer));
        }
    }
}

/// What a handler has answered, already written. The handlers that this crate implements make it;
/// one of your own answers by an [`Ack`] that it takes [`from the event`](FromEvent).
#[must_use = "whoever runs the handler has to pass its answer on"]
pub struct Reply {
    answer: Result<Answer, EncodeError>,
}

impl Reply {
    /// Writes the answer to the event that came with `id`.
    pub(crate) fn new<T: ToArgs>(id: AckId, answer: &T) -> Self {
        Self { answer: Answer::new(id, answer) }
    }

    pub(crate) fn into_answer(self) -> Result<Answer, EncodeError> {
        self.answer
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
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

/// What an argument of a handler can be: see [`FromArg`], and [`Ack`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "this argument cannot be read from an event",
    note = "an argument must own its data and implement `serde::Deserialize`: add \
            `#[derive(serde::Deserialize)]` to the type, and take `String` instead of `&str`"
)]
pub trait FromEvent: Sized {
    /// Takes the argument off the event.
    fn from_event(incoming: &mut Incoming<'_>) -> Result<Self, ArgError>;
}

impl<T: FromArg> FromEvent for T {
    fn from_event(incoming: &mut Incoming<'_>) -> Result<Self, ArgError> {
        T::from_arg(&mut incoming.cursor)
    }
}

impl FromEvent for Ack {
    fn from_event(incoming: &mut Incoming<'_>) -> Result<Self, ArgError> {
        let wanted = incoming.ack.take().map(|id| (Arc::clone(incoming.socket), id));
        Ok(Self { wanted })
    }
}

/// A function that can be registered for an event.
///
/// Implemented for async functions and closures of up to eight arguments behind the [`Socket`].
/// Handlers of one socket start in the order of their events and run to their first wait before the
/// next one starts.
#[diagnostic::on_unimplemented(
    message = "this is not a handler",
    label = "not a handler",
    note = "a handler is `async fn(Socket, A, B, …) -> R`: the first argument is a `Socket` (of the \
            namespace's types: `Socket<State, User>` where it has a state and a `connect` function), \
            each other one implements `serde::Deserialize`, the returned value implements \
            `serde::Serialize`",
    note = "what it holds over an `.await` must be `Send`: no `Rc`, and no guard of a lock",
    note = "an async closure must say the types of its arguments, as in \
            `async |me: Socket, text: String| …`, and must not capture: shared state comes from \
            `me.state()`, or from a closure without `async` that clones it into the `async move` block \
            it returns"
)]
pub trait Handler<A, U, M>: Send + Sync + 'static {
    /// Starts the handler; `Err` when the arguments do not fit it.
    fn start(&self, socket: Socket<A, U>, incoming: Incoming<'_>) -> Result<Started, ArgError>;
}

macro_rules! handler {
    ($($t:ident $v:ident),*) => {
        impl<A, U, F, Fut, $($t,)*> Handler<A, U, fn($($t),*) -> Fut::Output> for F
        where
            A: 'static,
            U: 'static,
            F: Fn(Socket<A, U>, $($t),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: ToArgs + Send,
            $($t: FromEvent,)*
        {
            fn start(
                &self,
                socket: Socket<A, U>,
                #[allow(unused_mut, reason = "no argument, nothing to take")]
                mut incoming: Incoming<'_>,
            ) -> Result<Started, ArgError> {
                $(let $v = $t::from_event(&mut incoming)?;)*
                let ack = incoming.ack;
                let answer = self(socket, $($v),*);
                Ok(Box::pin(async move {
                    let answer = answer.await;
                    ack.map(|id| Reply::new(id, &answer))
                }))
            }
        }
    };
}

handler!();
handler!(T1 t1);
handler!(T1 t1, T2 t2);
handler!(T1 t1, T2 t2, T3 t3);
handler!(T1 t1, T2 t2, T3 t3, T4 t4);
handler!(T1 t1, T2 t2, T3 t3, T4 t4, T5 t5);
handler!(T1 t1, T2 t2, T3 t3, T4 t4, T5 t5, T6 t6);
handler!(T1 t1, T2 t2, T3 t3, T4 t4, T5 t5, T6 t6, T7 t7);
handler!(T1 t1, T2 t2, T3 t3, T4 t4, T5 t5, T6 t6, T7 t7, T8 t8);

/// A handler whose types are forgotten. `None` when the event did not fit it and was answered.
pub(crate) type Erased = Arc<dyn Fn(&Arc<SocketCore>, &mut Event) -> Option<Started> + Send + Sync>;

/// A handler that has started, and ends with its answer, if one is wanted and it was not given by
/// an [`Ack`]. The server sends it.
pub type Started = Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

/// A function that has started, and that nobody waits for.
pub(crate) fn unasked(started: impl Future<Output = ()> + Send + 'static) -> Started {
    Box::pin(async move {
        started.await;
        None
    })
}

/// What a connection runs for its sockets.
pub(crate) enum Work {
    Handler(Started),
    Decision(Pin<Box<dyn Future<Output = Decided> + Send>>),
}

/// What came of a piece of work.
pub(crate) enum Done {
    /// A handler has ended.
    Handled(Option<Reply>),
    /// A namespace has decided about a client.
    Decided(Decided),
}

impl Future for Work {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        match &mut *self {
            Self::Handler(running) => running.as_mut().poll(cx).map(Done::Handled),
            Self::Decision(decision) => decision.as_mut().poll(cx).map(Done::Decided),
        }
    }
}

pub(crate) enum Decided {
    /// Whether a client may come in.
    Entry { slot: Slot, verdict: Result<Data, Refusal>, visitor: Visitor },
    /// Whether the namespace that a client asks for is to be.
    Namespace { slot: Slot, found: Result<Arc<NamespaceCore>, Refusal>, auth: Option<Bytes> },
}

/// What a namespace remembers of a socket.
pub(crate) type Data = Arc<dyn Any + Send + Sync>;

/// Forgets the types of a handler.
pub(crate) fn erase<A, U, M, H>(handler: H) -> Erased
where
    A: 'static,
    U: 'static,
    H: Handler<A, U, M>,
{
    Arc::new(move |core, event| {
        // A socket that was let in before `connect` changed its type cannot be given to this one.
        let socket = Socket::<A, U>::new(core)?;
        let incoming = Incoming { cursor: event.args.cursor_mut(), socket: core, ack: event.ack };
        match handler.start(socket, incoming) {
            Ok(running) => Some(running),
            Err(error) => {
                core.note_misfit(event.name(), &error);
                if let Some(id) = event.ack {
                    core.reply(Reply::new(id, &misfit(&error)));
                }
                None
            }
        }
    })
}

/// What a client is told whose arguments do not fit.
fn misfit(error: &ArgError) -> serde_json::Value {
    serde_json::json!({ "error": { "code": "invalid_arguments", "message": error.to_string() } })
}
