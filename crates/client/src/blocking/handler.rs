//! [`Handler`]: plain functions, and how they are called.

use std::fmt;
use std::sync::Arc;

use roomful_proto::args::{Before, ToArgs};
use roomful_proto::event::Fallible;
use roomful_proto::{ArgError, EventError};

use super::socket::Socket;
use super::threads::Worker;
use crate::handler::{self, FromEvent, Incoming, Reply, Started};

/// A function with its arguments, to be called.
pub struct Ready {
    call: Box<dyn FnOnce() -> Option<Reply> + Send>,
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

/// A plain function that can be registered for an event.
///
/// Implemented for functions and closures of up to eight arguments behind the [`Socket`]. What it returns is
/// the ack; one that returns a `Result` with an [`EventError`] answers `{"ok": …}` or `{"error": …}`. It
/// is called on a thread for handlers, and may wait.
#[diagnostic::on_unimplemented(
    message = "this is not a handler",
    label = "not a handler",
    note = "a handler is `fn(Socket, A, B, …) -> R`, with the `Socket` of `blocking`: each other argument \
            implements `serde::Deserialize`, the returned value implements `serde::Serialize`",
    note = "a closure must say the types of its arguments, as in `|me: Socket, text: String| …`, and what \
            it captures must be `Send` and `Sync`",
    note = "async functions are handlers of `roomful_client::Socket`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// Takes the arguments.
    ///
    /// # Errors
    ///
    /// When the arguments do not fit.
    fn ready(
        self: Arc<Self>,
        socket: Socket,
        incoming: &mut Incoming<'_>,
    ) -> Result<Ready, ArgError>;
}

macro_rules! handler {
    ($($t:ident $v:ident [$($behind:ident)*]),*) => {
        impl<F, R, $($t,)*> Handler<fn($($t),*) -> R> for F
        where
            F: Fn(Socket, $($t),*) -> R + Send + Sync + 'static,
            R: ToArgs,
            $($t: FromEvent + Send + 'static, $t::Takes: Before<($($behind::Takes,)*)>,)*
        {
            fn ready(
                self: Arc<Self>,
                socket: Socket,
                incoming: &mut Incoming<'_>,
            ) -> Result<Ready, ArgError> {
                $(let $v = $t::from_event(incoming)?;)*
                let ack = incoming.ack();
                let call = move || {
                    let answer = self(socket, $($v),*);
                    ack.map(|id| Reply::new(id, &answer))
                };
                Ok(Ready { call: Box::new(call) })
            }
        }

        impl<F, R, $($t,)*> Handler<Fallible<fn($($t),*) -> Result<R, EventError>>> for F
        where
            F: Fn(Socket, $($t),*) -> Result<R, EventError> + Send + Sync + 'static,
            R: serde::Serialize,
            $($t: FromEvent + Send + 'static, $t::Takes: Before<($($behind::Takes,)*)>,)*
        {
            fn ready(
                self: Arc<Self>,
                socket: Socket,
                incoming: &mut Incoming<'_>,
            ) -> Result<Ready, ArgError> {
                $(let $v = $t::from_event(incoming)?;)*
                let ack = incoming.ack();
                let call = move || match self(socket, $($v),*) {
                    Ok(answer) => ack.map(|id| Reply::new(id, &Ok::<_, ()>(answer))),
                    Err(error) => Reply::failed(ack, &error),
                };
                Ok(Ready { call: Box::new(call) })
            }
        }
    };
}

roomful_proto::for_parameters_of_handlers!(handler);

/// A plain function as a handler of the connection, which calls it on the thread for handlers.
pub(super) struct Posted<H> {
    pub(super) handler: Arc<H>,
    pub(super) worker: Worker,
}

impl<M, H: Handler<M>> handler::Handler<M> for Posted<H> {
    fn start(
        &self,
        socket: crate::Socket,
        mut incoming: Incoming<'_>,
    ) -> Result<Started, ArgError> {
        let socket = Socket::from_parts(socket, self.worker.clone());
        let Ready { call } = Arc::clone(&self.handler).ready(socket, &mut incoming)?;
        let called = self.worker.call(call);
        Ok(Box::pin(async move { called.await.flatten() }))
    }
}
