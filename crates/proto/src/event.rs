//! Names of events: a text, or an [`Event`] that also fixes the types of its arguments and its
//! answer. Server and clients share them, so that both ends of an event are written down once.

use std::fmt;
use std::marker::PhantomData;

/// An event as a value: its name, the type of its arguments, and the type of its answer. Written
/// once and used at both ends, by the server and by its clients, it makes a mismatch a compile error.
///
/// `T` is one argument, or a tuple for several (`()` for none); `R` is the answer, `()` for none, and a tuple
/// where it has several arguments.
/// Wherever a method takes the name of an event, it takes such a value or a plain text.
///
/// ```
/// use roomful_proto::event::{CallName, EmitName, Event};
///
/// const MOVE: Event<(f32, f32)> = Event::new("move");
/// const ADD: Event<(i64, i64), i64> = Event::new("add");
///
/// fn emit<T>(event: impl EmitName<T>, _: T) -> String {
///     event.event_name().to_owned()
/// }
/// fn call<T, R: Default>(_: impl CallName<T, R>, _: T) -> R {
///     R::default()
/// }
///
/// assert_eq!(emit(MOVE, (1.0, 2.0)), "move");
/// let sum = call(ADD, (1, 2));
/// let _: i64 = sum;
/// ```
///
/// Other arguments do not compile:
///
/// ```compile_fail
/// # use roomful_proto::event::{EmitName, Event};
/// # const MOVE: Event<(f32, f32)> = Event::new("move");
/// # fn emit<T>(event: impl EmitName<T>, _: T) -> String {
/// #     event.event_name().to_owned()
/// # }
/// emit(MOVE, "north");
/// ```
pub struct Event<T = (), R = ()> {
    name: &'static str,
    types: PhantomData<fn(T) -> R>,
}

impl<T, R> Event<T, R> {
    /// The event of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T, R> Clone for Event<T, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, R> Copy for Event<T, R> {}

impl<T, R> fmt::Debug for Event<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({:?})", self.name)
    }
}

/// A name under which arguments of type `T` can be sent: a text for any, an [`Event`] for its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name an event with these arguments",
    label = "the arguments are not those of this event",
    note = "an `Event<T>` takes exactly its `T`; a text takes any arguments"
)]
pub trait EmitName<T: ?Sized> {
    /// The name of the event.
    fn event_name(&self) -> &str;
}

impl<T: ?Sized> EmitName<T> for &str {
    fn event_name(&self) -> &str {
        self
    }
}

impl<T: ?Sized> EmitName<T> for &String {
    fn event_name(&self) -> &str {
        self
    }
}

impl<T: ?Sized> EmitName<T> for String {
    fn event_name(&self) -> &str {
        self
    }
}

impl<T, R> EmitName<T> for Event<T, R> {
    fn event_name(&self) -> &str {
        self.name
    }
}

/// A name under which arguments of type `T` can be sent for an answer of type `R`: a text for any, an
/// [`Event`] for its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name an event with these arguments and this answer",
    label = "the arguments or the answer are not those of this event",
    note = "an `Event<T, R>` takes exactly its `T` and gives its `R`; a text takes and gives any"
)]
pub trait CallName<T: ?Sized, R>: EmitName<T> {}

impl<T: ?Sized, R> CallName<T, R> for &str {}
impl<T: ?Sized, R> CallName<T, R> for &String {}
impl<T: ?Sized, R> CallName<T, R> for String {}
impl<T, R> CallName<T, R> for Event<T, R> {}

/// A name under which a handler of the shape `M` can be registered: a function of the event's arguments, as
/// `fn(A, B) -> R`, or that as [`Fallible`].
#[diagnostic::on_unimplemented(
    message = "the handler does not fit the event `{Self}`",
    label = "this event has other arguments or another answer than the handler",
    note = "for an `Event<(A, B), R>` the handler is `async fn(Socket, A, B) -> R`"
)]
pub trait OnName<M> {
    /// The name of the event.
    fn event_name(&self) -> &str;
}

impl<M> OnName<M> for &str {
    fn event_name(&self) -> &str {
        self
    }
}

impl<M> OnName<M> for String {
    fn event_name(&self) -> &str {
        self
    }
}

/// The shape of a handler that may give an [`EventError`](crate::EventError). Only a mark: there is no value
/// of it.
#[derive(Debug)]
pub struct Fallible<M>(PhantomData<M>);

macro_rules! on_name {
    ($types:ty => $shape:ty; $($t:ident),*) => {
        impl<$($t,)* R> OnName<$shape> for Event<$types, R> {
            fn event_name(&self) -> &str {
                self.name
            }
        }

        impl<$($t,)* R> OnName<Fallible<$shape>> for Event<$types, R> {
            fn event_name(&self) -> &str {
                self.name
            }
        }
    };
}

on_name!(() => fn() -> R;);
on_name!(T => fn(T) -> R; T);
on_name!((T1, T2) => fn(T1, T2) -> R; T1, T2);
on_name!((T1, T2, T3) => fn(T1, T2, T3) -> R; T1, T2, T3);
on_name!((T1, T2, T3, T4) => fn(T1, T2, T3, T4) -> R; T1, T2, T3, T4);
on_name!((T1, T2, T3, T4, T5) => fn(T1, T2, T3, T4, T5) -> R; T1, T2, T3, T4, T5);
on_name!((T1, T2, T3, T4, T5, T6) => fn(T1, T2, T3, T4, T5, T6) -> R; T1, T2, T3, T4, T5, T6);

/// Calls a macro for each number of parameters that a handler can have behind its socket: with each parameter
/// as a type and a variable, and the types of those behind it.
#[doc(hidden)]
#[macro_export]
macro_rules! for_parameters_of_handlers {
    ($call:ident) => {
        $call!();
        $call!(T1 t1 []);
        $call!(T1 t1 [T2], T2 t2 []);
        $call!(T1 t1 [T2 T3], T2 t2 [T3], T3 t3 []);
        $call!(T1 t1 [T2 T3 T4], T2 t2 [T3 T4], T3 t3 [T4], T4 t4 []);
        $call!(T1 t1 [T2 T3 T4 T5], T2 t2 [T3 T4 T5], T3 t3 [T4 T5], T4 t4 [T5], T5 t5 []);
        $call!(
            T1 t1 [T2 T3 T4 T5 T6],
            T2 t2 [T3 T4 T5 T6],
            T3 t3 [T4 T5 T6],
            T4 t4 [T5 T6],
            T5 t5 [T6],
            T6 t6 []
        );
        $call!(
            T1 t1 [T2 T3 T4 T5 T6 T7],
            T2 t2 [T3 T4 T5 T6 T7],
            T3 t3 [T4 T5 T6 T7],
            T4 t4 [T5 T6 T7],
            T5 t5 [T6 T7],
            T6 t6 [T7],
            T7 t7 []
        );
        $call!(
            T1 t1 [T2 T3 T4 T5 T6 T7 T8],
            T2 t2 [T3 T4 T5 T6 T7 T8],
            T3 t3 [T4 T5 T6 T7 T8],
            T4 t4 [T5 T6 T7 T8],
            T5 t5 [T6 T7 T8],
            T6 t6 [T7 T8],
            T7 t7 [T8],
            T8 t8 []
        );
    };
}
