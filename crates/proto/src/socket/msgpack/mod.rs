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
pub(crate) mod write;

use bytes::Bytes;

use crate::engine::Data;
use crate::error::Violation;
use crate::limits::Limits;

use super::parser::{Parser, Plain, Whole};

/// Packets as msgpack, as the npm package `socket.io-msgpack-parser` writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "socket.io-msgpack-parser")]
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

/// Packets as version 2 of that package writes them: for a client of a server of Socket.IO 2. What joins,
/// leaves and refuses comes as JSON text then, and events and acks with bytes have types of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsgPackV2;

impl Parser for MsgPackV2 {
    fn decode(&self, message: Data, limits: &Limits) -> Result<Whole, Violation> {
        match message {
            Data::Binary(message) => read::old_packet(&message, limits),
            Data::Text(text) => old_text(&text),
        }
    }

    /// As [`MsgPack`]: that version reads the types without bytes with them, too.
    fn encode(&self, packet: &Plain<'_>) -> Data {
        MsgPack.encode(packet)
    }
}

/// Reads a packet that is JSON text. Its payload is written anew, and is checked as any other.
fn old_text(text: &[u8]) -> Result<Whole, Violation> {
    let packet: serde_json::Value =
        serde_json::from_slice(text).map_err(|_| Violation::Malformed)?;
    let number = packet.get("type").and_then(serde_json::Value::as_u64);
    let number = number.and_then(|number| u8::try_from(number).ok());
    // CONNECT, DISCONNECT and ERROR.
    let number = number.filter(|number| [0, 1, 4].contains(number)).ok_or(Violation::PacketType)?;
    let namespace = packet.get("nsp").and_then(serde_json::Value::as_str);
    let mut whole = Whole::new(number, namespace.ok_or(Violation::Malformed)?, None)?;
    if let Some(data) = packet.get("data").filter(|data| !data.is_null()) {
        serde_json::to_writer(whole.json(), data).map_err(|_| Violation::Malformed)?;
    }
    Ok(whole)
}

/// Writes a JSON value, with bytes in place of the placeholders that name them.
pub(crate) fn value(json: &[u8], attachments: &[Bytes]) -> Vec<u8> {
    let attached: usize = attachments.iter().map(|bytes| bytes.len() + 5).sum();
    let mut out = Vec::with_capacity(json.len() + attached);
    let attachments: Vec<&[u8]> = attachments.iter().map(|bytes| &**bytes).collect();
    write::payload(&mut out, json, &attachments);
    out
}

/// Reads one value: its JSON, and the bytes that its placeholders name.
pub(crate) fn read_value(
    message: &Bytes,
    limits: &Limits,
) -> Result<(Vec<u8>, Vec<Bytes>), Violation> {
    read::value(message, limits)
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
    use super::*;
    use crate::socket::Packet;

    fn read(parser: impl Parser, message: Data) -> Result<Packet, Violation> {
        let limits = Limits::default();
        let (header, attachments) = parser.decode(message, &limits)?.into_parts(&limits)?;
        header.finish(attachments.into(), &limits)
    }

    #[test]
    fn version_2_has_json_texts_and_types_for_bytes() {
        let text = |text: &'static str| Data::Text(Bytes::from_static(text.as_bytes()));
        let joined = read(MsgPackV2, text(r#"{"type":0,"nsp":"/a"}"#)).unwrap();
        assert!(matches!(joined, Packet::Connect(None)));
        let left = read(MsgPackV2, text(r#"{"type":1,"nsp":"/a"}"#)).unwrap();
        assert!(matches!(left, Packet::Disconnect));
        for why in [r#""Invalid namespace""#, r#"{"code":401}"#] {
            let message = format!(r#"{{"type":4,"nsp":"/a","data":{why}}}"#);
            match read(MsgPackV2, Data::Text(message.into())).unwrap() {
                Packet::ConnectError(found) => assert_eq!(found.unwrap(), why),
                other => panic!("{other:?}"),
            }
        }
        for bad in ["", "[]", r#"{"type":2,"nsp":"/","data":["e"]}"#, r#"{"type":0}"#] {
            read(MsgPackV2, text(bad)).unwrap_err();
        }

        let binary = |message: &'static [u8]| Data::Binary(Bytes::from_static(message));
        let event = b"\x83\xa4type\x05\xa3nsp\xa1/\xa4data\x92\xa1e\xc4\x01\x07";
        match read(MsgPackV2, binary(event)).unwrap() {
            Packet::Event(event) => assert_eq!(event.args.get::<Bytes>(0).unwrap(), &b"\x07"[..]),
            other => panic!("{other:?}"),
        }
        let ack = b"\x84\xa4type\x06\xa3nsp\xa1/\xa2id\x01\xa4data\x91\xc4\x01\x07";
        assert!(matches!(read(MsgPackV2, binary(ack)).unwrap(), Packet::Ack(..)));
        assert_eq!(read(MsgPack, binary(event)).unwrap_err(), Violation::PacketType);
    }

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
