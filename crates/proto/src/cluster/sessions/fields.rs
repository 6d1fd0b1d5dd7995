//! [`Fields`]: reads msgpack, as far as the wire of sessions has it.
//!
//! Time and memory are in proportion to the length of what is read: nothing is reserved for a length that is only
//! announced, and what is passed over is counted and not descended into.

use bytes::Bytes;

use crate::cluster::Malformed;
use crate::engine::Data;
use crate::text::is_text;

/// What is left of a message.
pub(super) struct Fields<'a> {
    message: &'a Bytes,
    rest: &'a [u8],
}

/// A value, or the head of one.
pub(super) enum Value {
    Nil,
    Bool(bool),
    Number(u64),
    Text(Bytes),
    Binary(Bytes),
    Array(u32),
    Map(u32),
    /// A number that is none of ours, or an extension.
    Other,
}

type Read<T> = Result<T, Malformed>;

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a Bytes) -> Self {
        Self { message, rest: message }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value. What is in an array or a map comes after its head.
    pub(super) fn value(&mut self) -> Read<Value> {
        let [marker] = self.take_array()?;
        Ok(match marker {
            0x00..=0x7f => Value::Number(marker.into()),
            0x80..=0x8f => Value::Map((marker & 0x0f).into()),
            0x90..=0x9f => Value::Array((marker & 0x0f).into()),
            0xa0..=0xbf => self.text(u32::from(marker & 0x1f))?,
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let len = self.number(marker - 0xc4)?;
                Value::Binary(self.bytes(len)?)
            }
            0xcc..=0xcf => Value::Number(self.number(marker - 0xcc)?),
            0xd3 => match u64::from_be_bytes(self.take_array()?) {
                number @ ..=0x7fff_ffff_ffff_ffff => Value::Number(number),
                _ => Value::Other,
            },
            0xd9..=0xdb => {
                let len = self.number(marker - 0xd9)?;
                self.text(u32::try_from(len).map_err(|_| Malformed::TooLarge)?)?
            }
            0xdc | 0xdd => Value::Array(self.count(marker - 0xdc)?),
            0xde | 0xdf => Value::Map(self.count(marker - 0xde)?),
            _ => {
                self.pass(marker)?;
                Value::Other
            }
        })
    }

    /// The head of a map that has to be here.
    pub(super) fn map(&mut self) -> Read<u32> {
        match self.value()? {
            Value::Map(pairs) => Ok(pairs),
            _ => Err(Malformed::NotAPacket),
        }
    }

    /// Passes over a value whose head was read, with all that is in it.
    pub(super) fn skip(&mut self, head: &Value) -> Read<()> {
        let inside = |value: &Value| match value {
            Value::Array(len) => u64::from(*len),
            Value::Map(len) => 2 * u64::from(*len),
            _ => 0,
        };
        let mut left = inside(head);
        while left > 0 {
            // Each takes a byte at least, so this ends with the message.
            left = left - 1 + inside(&self.value()?);
        }
        Ok(())
    }

    /// A number of 1, 2, 4 or 8 bytes.
    fn number(&mut self, size: u8) -> Read<u64> {
        Ok(match size {
            0 => u8::from_be_bytes(self.take_array()?).into(),
            1 => u16::from_be_bytes(self.take_array()?).into(),
            2 => u32::from_be_bytes(self.take_array()?).into(),
            _ => u64::from_be_bytes(self.take_array()?),
        })
    }

    /// The length of an array or a map, of 2 or 4 bytes.
    fn count(&mut self, size: u8) -> Read<u32> {
        Ok(match size {
            0 => u16::from_be_bytes(self.take_array()?).into(),
            _ => u32::from_be_bytes(self.take_array()?),
        })
    }

    /// Numbers and extensions that no field of ours has.
    fn pass(&mut self, marker: u8) -> Read<()> {
        let len = match marker {
            0xe0..=0xff => 0,
            0xc7..=0xc9 => 1 + self.number(marker - 0xc7)?,
            0xca => 4,
            0xcb => 8,
            0xd0..=0xd2 => 1 << (marker - 0xd0),
            0xd4..=0xd8 => 1 + (1 << (marker - 0xd4)),
            _ => return Err(Malformed::NotAPacket),
        };
        self.take(len).map(drop)
    }

    fn text(&mut self, len: u32) -> Read<Value> {
        let bytes = self.bytes(len.into())?;
        if is_text(&bytes) { Ok(Value::Text(bytes)) } else { Err(Malformed::NotAPacket) }
    }

    /// A part of the message. A small one would keep all of it alive, so it is copied.
    fn bytes(&mut self, len: u64) -> Read<Bytes> {
        let part = self.take(len)?;
        let is_small = part.len() < self.message.len() / 2;
        Ok(if is_small { Bytes::copy_from_slice(part) } else { self.message.slice_ref(part) })
    }

    fn take(&mut self, len: u64) -> Read<&'a [u8]> {
        let len = usize::try_from(len).map_err(|_| Malformed::TooLarge)?;
        let (part, rest) = self.rest.split_at_checked(len).ok_or(Malformed::NotAPacket)?;
        self.rest = rest;
        Ok(part)
    }

    fn take_array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (part, rest) = self.rest.split_first_chunk().ok_or(Malformed::NotAPacket)?;
        self.rest = rest;
        Ok(*part)
    }
}

impl Value {
    pub(super) fn into_data(self) -> Option<Data> {
        match self {
            Self::Text(text) => Some(Data::Text(text)),
            Self::Binary(bytes) => Some(Data::Binary(bytes)),
            _ => None,
        }
    }
}
