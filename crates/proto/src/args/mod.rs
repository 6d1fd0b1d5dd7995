//! The arguments of an event or an ack.
//!
//! [`Args`] is what arrived: positional arguments as raw JSON, with their attachments, not looked
//! into until somebody asks for a type. [`ToArgs`] is what can be sent, [`FromArg`] is what can be
//! asked for, one position at a time.

mod cursor;
mod decode;
mod encode;
mod misfit;
mod plain;
mod scan;
mod span;
mod top;
mod whole;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::error::Violation;
use crate::limits::Limits;
use crate::socket::placeholder;

pub use cursor::{Before, Cursor, FromArg, Nothing, One, Rest};
pub use encode::{ArgsWriter, Shape, ToArgs};
pub(crate) use encode::{Attachments, push_text};
pub use misfit::{MISFIT_BYTES_MAX, misfit};
pub(crate) use scan::{PLAIN_DEPTH, check_depth, first_element, first_text, is_plain_list};
pub(crate) use span::Span;

/// Positional arguments as raw JSON, with the attachments that their placeholders name.
///
/// Cheap to clone. The JSON was checked when it arrived, so passing it on cannot send something
/// broken to others. As an argument of a handler, `Args` takes all that is left.
#[derive(Clone, Default)]
pub struct Args {
    /// The packet that the arguments came in.
    text: Bytes,
    /// Where they are in it: JSON values with commas between.
    span: Span,
    attachments: Box<[Bytes]>,
}

impl Args {
    /// Arguments made of values: a tuple is several, everything else is one.
    pub fn new<T: ToArgs + ?Sized>(values: &T) -> Result<Self, crate::EncodeError> {
        let mut text = Vec::new();
        let mut attachments = Attachments::default();
        values.write(&mut ArgsWriter::new(&mut text, &mut attachments))?;
        let span = 0..text.len();
        Ok(Self::from_packet(Bytes::from(text), span, attachments.into_list().into()))
    }

    /// Arguments that lie in a packet. `span` must be checked JSON values with commas between.
    #[inline(always)]
    pub(crate) fn from_packet(text: Bytes, span: Range<usize>, attachments: Box<[Bytes]>) -> Self {
        Self { text, span: Span::new(span), attachments }
    }

    /// Arguments from a JSON array of them, and the bytes that its placeholders name.
    ///
    /// # Errors
    ///
    /// When it is no JSON array, is nested deeper than a packet may be, or a placeholder names no attachment, or one
    /// that another has named.
    pub fn from_json(array: &str, attachments: Vec<Bytes>) -> Result<Self, Violation> {
        let json: &RawValue = serde_json::from_str(array).map_err(|_| Violation::Malformed)?;
        let list = json.get().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        Self::checked(list.ok_or(Violation::Malformed)?.as_bytes(), attachments)
    }

    /// Arguments from JSON values with commas between.
    pub(crate) fn checked(list: &[u8], attachments: Vec<Bytes>) -> Result<Self, Violation> {
        placeholder::check(list, attachments.len())?;
        if !check_depth(list, Limits::default().json_depth_max) {
            return Err(Violation::Depth);
        }
        let span = 0..list.len();
        Ok(Self::from_packet(Bytes::copy_from_slice(list), span, attachments.into()))
    }

    /// The same with one more at their end: a text.
    #[must_use]
    pub fn and_text(&self, text: &str) -> Self {
        let mut json = self.as_json().to_vec();
        if !self.is_empty() {
            json.push(b',');
        }
        // A text can always be written.
        let _ = push_text(&mut json, text);
        let span = 0..json.len();
        Self::from_packet(json.into(), span, self.attachments.clone())
    }

    /// The JSON of all arguments, with commas between and no brackets around.
    pub fn as_json(&self) -> &[u8] {
        self.span.of(&self.text)
    }

    /// Binary attachments, in the order of their placeholders' numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Whether there is no argument.
    pub fn is_empty(&self) -> bool {
        self.as_json().trim_ascii().is_empty()
    }

    /// The raw JSON of each argument. A binary argument is its placeholder.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        scan::elements(self.as_json())
    }

    /// The argument at `index`, from 0, as a `T`. A missing argument reads as `null`.
    pub fn get<T: serde::de::DeserializeOwned>(&self, index: usize) -> Result<T, crate::ArgError> {
        let json = self.iter().nth(index);
        decode::value(index, json, &self.attachments)
    }

    /// Reads the arguments one position after the other.
    pub fn cursor(&self) -> Cursor<'_> {
        let attachments = cursor::Attachments::Shared(&self.attachments);
        Cursor::new(&self.text, self.span, attachments)
    }

    /// As [`cursor`](Self::cursor), but an attachment that is read is given away and not copied: in
    /// its place there is an empty one from then on.
    pub fn cursor_mut(&mut self) -> Cursor<'_> {
        let attachments = cursor::Attachments::Owned(&mut self.attachments);
        Cursor::new(&self.text, self.span, attachments)
    }

    /// Bytes that the arguments hold in memory, the whole packet that they came in included.
    pub fn held_bytes(&self) -> usize {
        let attached = |bytes: &Bytes| size_of::<Bytes>() + bytes.len();
        self.text.len() + self.attachments.iter().map(attached).sum::<usize>()
    }

    /// The packet that the arguments came in.
    pub(crate) const fn packet(&self) -> &Bytes {
        &self.text
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = String::from_utf8_lossy(self.as_json());
        write!(f, "Args({json}; {} attachments)", self.attachments.len())
    }
}

/// Equal when the JSON is the same to the byte and so are the attachments.
impl PartialEq for Args {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json() && self.attachments == other.attachments
    }
}

impl Eq for Args {}
