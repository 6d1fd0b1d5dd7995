//! [`Cursor`] and [`FromArg`]: arguments to the types of a handler, by position.

use std::ops::Range;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Args, Span, decode, scan};
use crate::error::ArgError;

/// Gives the arguments one after the other.
#[derive(Debug)]
pub struct Cursor<'a> {
    text: &'a Bytes,
    /// Where in the text the arguments are that are left.
    left: Range<usize>,
    attachments: Attachments<'a>,
    index: usize,
}

/// The attachments of arguments that are read.
#[derive(Debug)]
pub(super) enum Attachments<'a> {
    /// They stay with their arguments.
    Shared(&'a [Bytes]),
    /// Nobody needs them behind their argument.
    Owned(&'a mut [Bytes]),
}

impl Attachments<'_> {
    /// The bytes of an attachment, if possible without a copy.
    pub(super) fn give(&mut self, number: usize) -> Option<Vec<u8>> {
        match self {
            Self::Shared(list) => list.get(number).map(|bytes| bytes.to_vec()),
            Self::Owned(list) => list.get_mut(number).map(|bytes| std::mem::take(bytes).into()),
        }
    }

    fn as_slice(&self) -> &[Bytes] {
        match self {
            Self::Shared(list) => list,
            Self::Owned(list) => list,
        }
    }
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a Bytes, span: Span, attachments: Attachments<'a>) -> Self {
        Self { text, left: span.range(), attachments, index: 0 }
    }

    /// The next argument as a `T`. A missing argument reads as `null`, so it is `None` for an
    /// `Option` and an error for most other types.
    pub fn value<T: DeserializeOwned>(&mut self) -> Result<T, ArgError> {
        let index = self.index;
        self.index += 1;
        let list = self.text.get(self.left.clone()).unwrap_or_default();
        let first = match self.attachments.as_slice() {
            [] => decode::first(list),
            _ => decode::first_bytes(list, &mut self.attachments),
        };
        if let Some((value, len)) = first
            && let Some(next) = scan::next_value(list, len)
        {
            self.pass(next);
            return Ok(value);
        }
        let json = self.next_json(list);
        decode::value(index, json, self.attachments.as_slice())
    }

    /// All arguments that are left.
    pub fn rest(&mut self) -> Args {
        let span = Span::new(self.left.clone());
        self.left.start = self.left.end;
        let attachments = self.attachments.as_slice().into();
        Args { text: self.text.clone(), span, attachments }
    }

    fn next_json<'b>(&mut self, list: &'b [u8]) -> Option<&'b [u8]> {
        if list.trim_ascii().is_empty() {
            return None;
        }
        let end = scan::value_end(list);
        self.pass((end + 1).min(list.len()));
        Some(list[..end].trim_ascii())
    }

    /// What begins with the next `len` bytes is read.
    fn pass(&mut self, len: usize) {
        self.left.start = self.left.start.saturating_add(len).min(self.left.end);
    }
}

/// A type that an argument of a handler can have: all that `serde` can read without borrowing, with
/// binary attachments wherever the type asks for bytes; or [`Args`] in the last place, which takes
/// all arguments that are left.
///
/// A `Result` is read as [`ToArgs`](super::ToArgs) writes it, `{"ok": …}` or `{"error": …}`, and with the names
/// that `serde` gives its variants (`Ok`, `Err`); inside of another type only with those.
///
/// By position, a tuple is one argument: an array. So an argument `(f32, f32)` of a handler is `[1.5, 2]`. Only
/// where it is all of an answer it may be several arguments, too: see [`from_answer`](Self::from_answer).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "this argument cannot be read from what the other end sends",
    note = "an argument must own its data and implement `serde::Deserialize`: add \
            `#[derive(serde::Deserialize)]` to the type, and take `String` instead of `&str`"
)]
pub trait FromArg: Sized {
    /// How many arguments it takes: [`One`], or [`Rest`] for all that are left.
    type Takes;

    /// Takes the argument off the cursor.
    fn from_arg(cursor: &mut Cursor<'_>) -> Result<Self, ArgError>;

    /// Reads an answer: its first argument, and `null` if there is none. A tuple that does not fit the first of
    /// several arguments is read from all of them: `(A, B)` is what `cb([a, b])` has answered in JavaScript,
    /// and what `cb(a, b)` has. [`Args`] are all arguments as they came.
    ///
    /// ```
    /// # use roomful_proto::{Args, FromArg};
    /// let together = Args::new(&vec![1, 2])?;
    /// let apart = Args::new(&(1, 2))?;
    /// for answer in [&together, &apart] {
    ///     assert_eq!(<(u8, u8)>::from_answer(answer)?, (1, 2));
    /// }
    /// assert_eq!(u8::from_answer(&apart)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where it does not fit.
    fn from_answer(args: &Args) -> Result<Self, ArgError> {
        Self::from_arg(&mut args.cursor())
    }
}

/// One argument of an event. Only a mark: there is no value of it.
#[derive(Debug)]
pub enum One {}

/// All arguments of an event that are left, so that nothing is left behind it. Only a mark, too.
#[derive(Debug)]
pub enum Rest {}

/// No argument: what a handler takes beside them, such as the ack. Only a mark, too.
#[derive(Debug)]
pub enum Nothing {}

/// Whether a parameter of a handler that takes so much may stand before others, which take `Behind`: one that
/// takes all arguments that are left only before what takes none.
#[diagnostic::on_unimplemented(
    message = "an argument of a handler stands behind one that takes all that are left",
    label = "another argument stands behind `Args`",
    note = "`Args` takes all arguments that are left: nothing but an `Ack` can stand behind it"
)]
pub trait Before<Behind> {}

impl<Behind> Before<Behind> for One {}

impl<Behind> Before<Behind> for Nothing {}

impl Before<()> for Rest {}

impl Before<(Nothing,)> for Rest {}

impl<T: DeserializeOwned> FromArg for T {
    type Takes = One;

    fn from_arg(cursor: &mut Cursor<'_>) -> Result<Self, ArgError> {
        cursor.value()
    }

    fn from_answer(args: &Args) -> Result<Self, ArgError> {
        Self::from_arg(&mut args.cursor())
            .or_else(|error| args.read_several().unwrap_or(Err(error)))
    }
}

impl FromArg for Args {
    type Takes = Rest;

    fn from_arg(cursor: &mut Cursor<'_>) -> Result<Self, ArgError> {
        Ok(cursor.rest())
    }
}
