//! [`Erased`]: a handler without the types of its user, and what it gives: [`Started`], [`Reply`]. [`Data`] is
//! what is remembered of a socket, and [`DataType`] of which type that is.

use std::any::{Any, TypeId, type_name};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use roomful_proto::args::ToArgs;
use roomful_proto::socket::Event;
use roomful_proto::{AckId, Answer, EncodeError, EventError};

use crate::namespace::socket_core::SocketCore;

/// What a namespace remembers of a socket.
pub(crate) type Data = Arc<dyn Any + Send + Sync>;

/// What is remembered as a `U`, which `()` is whatever is remembered.
pub(crate) fn read<U: 'static>(data: &Data) -> Option<&U> {
    let nothing: &dyn Any = &();
    (**data).downcast_ref().or_else(|| nothing.downcast_ref())
}

/// The type of what is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataType {
    id: TypeId,
    pub(crate) name: &'static str,
}

impl DataType {
    pub(crate) fn of<U: 'static>() -> Self {
        Self { id: TypeId::of::<U>(), name: type_name::<U>() }
    }

    /// Whether a function for sockets of this type can be given those of another.
    pub(crate) fn reads(self, other: Self) -> bool {
        self.is_nothing() || self.id == other.id
    }

    fn is_nothing(self) -> bool {
        self.id == TypeId::of::<()>()
    }
}

impl Default for DataType {
    fn default() -> Self {
        Self::of::<()>()
    }
}

/// A handler whose types are forgotten.
#[derive(Clone)]
pub(crate) struct Erased {
    pub(crate) event: Arc<str>,
    start: Arc<StartFn>,
}

pub(crate) type StartFn = dyn Fn(&Arc<SocketCore>, &mut Event) -> Option<Started> + Send + Sync;

impl Erased {
    pub(crate) fn new(event: Arc<str>, start: Arc<StartFn>) -> Self {
        Self { event, start }
    }

    /// `None` when the event did not fit and was answered. Afterwards the event has an ack only if that
    /// was not handed out.
    pub(crate) fn start(&self, socket: &Arc<SocketCore>, event: &mut Event) -> Option<Started> {
        (self.start)(socket, event)
    }
}

/// A handler that has started, and ends with its answer, if one is wanted and it was not given by
/// an [`Ack`](crate::Ack). The server sends it.
pub type Started = Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

/// A function that has started, and that nobody waits for.
pub(crate) fn unasked(started: impl Future<Output = ()> + Send + 'static) -> Started {
    Box::pin(async move {
        started.await;
        None
    })
}

/// What a handler has answered, already written. The handlers that this crate implements make it;
/// one of your own answers by an [`Ack`](crate::Ack) that it takes [from the event](crate::FromEvent).
#[must_use = "whoever runs the handler has to pass its answer on"]
pub struct Reply {
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    Answer(Result<Answer, EncodeError>),
    Failure(Box<Failure>),
}

/// What a handler has given instead of an answer.
pub(crate) struct Failure {
    pub(crate) event: Arc<str>,
    pub(crate) ack: Option<AckId>,
    pub(crate) error: EventError,
}

impl Reply {
    /// Writes the answer to the event that came with `id`.
    pub(crate) fn new<T: ToArgs>(id: AckId, answer: &T) -> Self {
        Self { outcome: Outcome::Answer(Answer::new(id, answer)) }
    }

    pub(crate) fn failed(event: Arc<str>, ack: Option<AckId>, error: EventError) -> Self {
        Self { outcome: Outcome::Failure(Box::new(Failure { event, ack, error })) }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}
