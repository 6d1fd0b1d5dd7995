//! [`MsgPack`]: packets as msgpack, which clients speak that have the npm package
//! `socket.io-msgpack-parser`.
//!
//! A packet is one binary message: a map of `type`, `nsp`, `data` and `id`. What JavaScript has and
//! msgpack has not is written by two dialects: notepack 2 has types of its own for `undefined`,
//! dates and typed arrays; notepack 3 and `@msgpack/msgpack` have the timestamp of the
//! specification, nil and bin. Both are read; written is what all of them read.
//!
//! What arrives becomes what `JSON.stringify` would have made of it: a date its ISO text, `NaN` and
//! the infinities `null`, `undefined` nothing in an object and `null` elsewhere. Bytes become
//! attachments. Texts must be UTF-8 and keys must be texts.
//!
//! Specification: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

mod date;
mod read;
mod write;

use crate::engine::Data;
use crate::error::Violation;
use crate::limits::Limits;

use super::parser::{Parser, Plain, Whole};

/// Packets as msgpack, as the npm package `socket.io-msgpack-parser` writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsgPack;

impl Parser for MsgPack {
    fn decode(&self, message: Data, limits: &Limits) -> Result<Whole, Violation> {
        match message {
            Data::Binary(message) => read::packet(&message, limits),
            Data::Text(_) => Err(Violation::Malformed),
        }
    }

    fn encode(&self, packet: &Plain<'_>) -> Data {
        Data::Binary(write::packet(packet).into())
    }
}

/// A number in one of the integer forms.
enum Integer {
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
}

/// Whole numbers between them fit an `i64` or a `u64`.
const I64_START: f64 = -9_223_372_036_854_775_808.0;
const U64_END: f64 = 18_446_744_073_709_551_616.0;

impl Integer {
    /// A whole number that has such a form; to JavaScript it is the same number in any form.
    fn new(number: f64) -> Option<Self> {
        if number.fract() != 0.0 {
            None
        } else if (0.0..U64_END).contains(&number) {
            Some(Self::Unsigned(number as u64))
        } else if (I64_START..0.0).contains(&number) {
            Some(Self::Negative(number as i64))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::socket::Packet;

    #[test]
    fn memory_of_what_was_left_out_is_given_back() {
        let key = [b'k'; 60_000];
        let map = [b"\x81\xda\xea\x60", &key[..], b"\xd4\0\0"].concat();
        let message = [&b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e"[..], &map].concat();
        let limits = Limits::default();
        let whole = MsgPack.decode(Data::Binary(Bytes::from(message)), &limits).unwrap();
        let (header, attachments) = whole.into_parts(&limits).unwrap();
        let Packet::Event(event) = header.finish(attachments.into(), &limits).unwrap() else {
            panic!("no event");
        };
        assert_eq!(event.args.as_json(), b"{}");
        let text = event.args.packet().clone();
        drop(event);
        assert!(text.try_into_mut().unwrap().capacity() < 100);
    }
}
