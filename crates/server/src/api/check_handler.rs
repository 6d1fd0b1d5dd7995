//! [`check_handler`]: what keeps a function from being a handler.

use std::future::Future;

use roomful_proto::EventError;
use roomful_proto::args::{Before, ToArgs};
use roomful_proto::event::Fallible;

use crate::api::handler::FromEvent;
use crate::api::socket::Socket;

/// Has the compiler say which part of a function keeps it from being a [`Handler`](crate::Handler), where it
/// says only "this is not a handler" at [`on`](crate::Namespace::on). Name the types of its arguments, and take
/// the line out again when it compiles: it does nothing when it runs.
///
/// ```compile_fail
/// # use roomful::{Server, Socket};
/// struct Point { x: f32 }
///
/// async fn go(_: Socket, to: Point, speed: u8) {
///     println!("{} {speed}", to.x);
/// }
///
/// // error: the trait bound `Point: serde::Deserialize<'de>` is not satisfied
/// roomful::check_handler::<(Socket, Point, u8), _>(go);
/// ```
///
/// The socket in the list is that of the namespace: `Socket<State, User>` where it has a state and a `connect`
/// function.
pub fn check_handler<Arguments, Shape>(_handler: impl Checked<Arguments, Shape>) {}

/// A function of the arguments of which [`check_handler`] is told.
#[diagnostic::on_unimplemented(
    message = "this is not a handler of the arguments `{Arguments}`",
    label = "it has other arguments, or is not async",
    note = "`check_handler` is given the types of all arguments in their order, the socket first: for \
            `async fn say(me: Socket, text: String)` it is `check_handler::<(Socket, String), _>(say)`"
)]
pub trait Checked<Arguments, Shape> {}

/// What such a function can return.
pub trait CheckedAnswer<Shape> {}

impl<T: ToArgs> CheckedAnswer<()> for T {}

impl<R: serde::Serialize> CheckedAnswer<Fallible<()>> for Result<R, EventError> {}

macro_rules! checked {
    ($($t:ident $v:ident [$($behind:ident)*]),*) => {
        impl<A, U, F, Fut, S, $($t,)*> Checked<(Socket<A, U>, $($t,)*), S> for F
        where
            F: Fn(Socket<A, U>, $($t),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: CheckedAnswer<S> + Send,
            $($t: FromEvent, $t::Takes: Before<($($behind::Takes,)*)>,)*
        {
        }
    };
}

roomful_proto::for_parameters_of_handlers!(checked);
