//! [`Cursor`] and [`FromArg`]: arguments to the types of a handler, by position.

use serde::de::DeserializeOwned;

use super::{Args, decode, scan};
use crate::error::ArgError;

/// Gives the arguments one after the other.
#[derive(Debug)]
pub struct Cursor<'a> {
    args: &'a Args,
    offset: usize,
    index: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(args: &'a Args) -> Self {
        Self { args, offset: 0, index: 0 }
    }

    /// The next argument as a `T`. A missing argument reads as `null`, so it is `None` for an
    /// `Option` and an error for most other types.
    pub fn value<T: DeserializeOwned>(&mut self) -> Result<T, ArgError> {
        let index = self.index;
        self.index += 1;
        let list = self.args.as_json().get(self.offset..).unwrap_or_default();
        if self.args.attachments.is_empty()
            && let Some((value, len)) = decode::first(list)
            && let Some(next) = scan::next_value(list, len)
        {
            self.offset += next;
            return Ok(value);
        }
        let json = self.next_json(list);
        decode::value(index, json, &self.args.attachments)
    }

    /// All arguments that are left.
    pub fn rest(&mut self) -> Args {
        let rest = self.args.skip(self.offset);
        self.offset = self.args.as_json().len();
        rest
    }

    fn next_json(&mut self, list: &'a [u8]) -> Option<&'a [u8]> {
        if list.trim_ascii().is_empty() {
            return None;
        }
        let end = scan::value_end(list);
        self.offset += (end + 1).min(list.len());
        Some(list[..end].trim_ascii())
    }
}

/// A type that an argument of a handler can have: all that `serde` can read without borrowing, with
/// binary attachments wherever the type asks for bytes; or [`Args`] in the last place, which takes
/// all arguments that are left.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "this argument cannot be read from what a client sends",
    note = "an argument must own its data and implement `serde::Deserialize`: add \
            `#[derive(serde::Deserialize)]` to the type, and take `String` instead of `&str`"
)]
pub trait FromArg: Sized {
    /// Takes the argument off the cursor.
    fn from_arg(cursor: &mut Cursor<'_>) -> Result<Self, ArgError>;
}

impl<T: DeserializeOwned> FromArg for T {
    fn from_arg(cursor: &mut Cursor<'_>) -> Result<Self, ArgError> {
        cursor.value()
    }
}

impl FromArg for Args {
    fn from_arg(cursor: &mut Cursor<'_>) -> Result<Self, ArgError> {
        Ok(cursor.rest())
    }
}
