//! Engine.IO 3: all in which it differs from 4. Clients of Socket.IO 1 and 2 speak it.
//!
//! - A polling body has each packet behind its length. In a text body that is `<length>:<packet>`,
//!   counted in UTF-16 code units; bytes are `b4` and base64. A binary body has for each packet a
//!   byte that says whether it is text (0) or bytes (1), the decimal digits of its length in bytes
//!   as the bytes 0 to 9, the byte 255, and the packet.
//! - A binary message, in a frame or a binary body, begins with its type as a byte: 4.
//! - The client pings, and the server answers: that is in [`Session`](super::Session).
//!
//! A length is compared with what has come and is never believed before that.

use bytes::{Buf, Bytes};

use super::packet::{Data, Packet, base64_decode, push_base64};
use crate::error::Violation;
use crate::text::is_text;
use crate::ws::frame::Opcode;

/// A body with a noop alone.
pub const NOOP: &[u8] = b"1:6";

/// The type of a message, before its bytes.
pub(crate) const MESSAGE: u8 = 4;
/// What begins a message in base64.
const BASE64_MESSAGE: &[u8; 2] = b"b4";
/// Ends a length in a binary body.
const LENGTH_END: u8 = 0xff;
/// Digits of a length. One more could only be that of a body that no memory can hold.
const LENGTH_DIGITS_MAX: usize = 20;

/// A body, of a request or an answer: the packets in `frames`, in order. With `base64` the peer takes
/// no bytes; else the body is binary as soon as one packet is.
pub fn encode<'a>(frames: impl Iterator<Item = (Opcode, &'a [u8])> + Clone, base64: bool) -> Data {
    let mut body = Vec::new();
    if !base64 && frames.clone().any(|(opcode, _)| opcode == Opcode::Binary) {
        frames.for_each(|(opcode, payload)| push_binary(&mut body, opcode, payload));
        return Data::Binary(body.into());
    }
    frames.for_each(|(opcode, payload)| push_text(&mut body, opcode, payload));
    Data::Text(body.into())
}

/// Appends the form of a message of bytes that is text.
pub(crate) fn base64_encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(BASE64_MESSAGE);
    push_base64(bytes, out);
}

fn push_text(body: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let mut digits = itoa::Buffer::new();
    if opcode == Opcode::Binary {
        let len = BASE64_MESSAGE.len() + payload.len().div_ceil(3) * 4;
        body.extend_from_slice(digits.format(len).as_bytes());
        body.push(b':');
        base64_encode(payload, body);
    } else {
        body.extend_from_slice(digits.format(utf16_len(payload)).as_bytes());
        body.push(b':');
        body.extend_from_slice(payload);
    }
}

fn push_binary(body: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let is_bytes = opcode == Opcode::Binary;
    body.push(u8::from(is_bytes));
    let mut digits = itoa::Buffer::new();
    let len = digits.format(payload.len() + usize::from(is_bytes));
    body.extend(len.bytes().map(|digit| digit - b'0'));
    body.push(LENGTH_END);
    if is_bytes {
        body.push(MESSAGE);
    }
    body.extend_from_slice(payload);
}

/// How a text that is UTF-8 would be as long in UTF-16: in code units.
fn utf16_len(text: &[u8]) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.iter().map(|&byte| utf16_units(byte)).sum()
}

/// Code units of the character that a byte begins; none where it goes on with one.
const fn utf16_units(byte: u8) -> usize {
    match byte {
        0x80..=0xbf => 0,
        0xf0.. => 2,
        _ => 1,
    }
}

/// Reads a frame, or a packet of a body.
pub(super) fn decode(data: Data) -> Result<Packet, Violation> {
    match data {
        Data::Text(mut text) if text.first() == Some(&b'b') => {
            if !text.starts_with(BASE64_MESSAGE) {
                return Err(Violation::EnginePacket);
            }
            text.advance(BASE64_MESSAGE.len());
            Ok(Packet::Message(Data::Binary(base64_decode(&text)?)))
        }
        Data::Text(text) => Packet::take(text),
        Data::Binary(mut bytes) if bytes.first() == Some(&MESSAGE) => {
            bytes.advance(1);
            Ok(Packet::Message(Data::Binary(bytes)))
        }
        Data::Binary(_) => Err(Violation::EnginePacket),
    }
}

/// What a body is. Its first byte tells, whatever its sender calls it: a digit as text begins a text
/// body, a 0 or 1 as a byte a binary one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Text,
    Binary,
}

impl Form {
    /// Checks that a text body is UTF-8.
    pub(super) fn of(body: &[u8]) -> Result<Self, Violation> {
        match body.first() {
            Some(0 | 1) => Ok(Self::Binary),
            Some(_) if !is_text(body) => Err(Violation::Utf8),
            Some(_) => Ok(Self::Text),
            None => Err(Violation::EnginePacket),
        }
    }
}

/// Takes the next packet off the rest of a body, which is not empty.
pub(super) fn split(rest: &mut Bytes, form: Form) -> Result<Data, Violation> {
    match form {
        Form::Text => {
            let units = take_length(rest, 0, b'0', b':')?;
            let end = utf16_end(rest, units).ok_or(Violation::PayloadLength)?;
            Ok(Data::Text(rest.split_to(end)))
        }
        Form::Binary => {
            let kind = rest.first().copied();
            let len = take_length(rest, 1, 0, LENGTH_END)?;
            if len > rest.len() {
                return Err(Violation::PayloadLength);
            }
            let packet = rest.split_to(len);
            match kind {
                Some(0) if is_text(&packet) => Ok(Data::Text(packet)),
                Some(0) => Err(Violation::Utf8),
                Some(1) => Ok(Data::Binary(packet)),
                _ => Err(Violation::EnginePacket),
            }
        }
    }
}

/// Takes a length off, and with it `skipped` bytes before its digits, of which the first is `zero`,
/// and the byte `end` behind them.
fn take_length(rest: &mut Bytes, skipped: usize, zero: u8, end: u8) -> Result<usize, Violation> {
    let digits = rest.get(skipped..).unwrap_or_default();
    let digits = &digits[..digits.len().min(LENGTH_DIGITS_MAX + 1)];
    let count = digits.iter().position(|&byte| byte == end).ok_or(Violation::PayloadLength)?;
    let value = digits[..count].iter().try_fold(0_usize, |value, digit| {
        let digit = digit.checked_sub(zero).filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(usize::from(digit))
    });
    let value = value.filter(|_| count > 0).ok_or(Violation::PayloadLength)?;
    rest.advance(skipped + count + 1);
    Ok(value)
}

/// Where so many code units of a text end; `None` where the text ends before, and within a
/// character.
fn utf16_end(text: &[u8], units: usize) -> Option<usize> {
    // No character has fewer bytes than code units.
    if text.get(..units)?.is_ascii() {
        return Some(units);
    }
    let mut left = units;
    for (at, &byte) in text.iter().enumerate() {
        let more = utf16_units(byte);
        if more > left {
            // The next character, unless it began within.
            return (left == 0).then_some(at);
        }
        left -= more;
    }
    (left == 0).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::payload::Payload;
    use super::*;
    use crate::parcel::Parcel;
    use crate::ws::frame;

    fn text(text: &str) -> Packet {
        Packet::Message(Data::Text(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn bytes(bytes: &'static [u8]) -> Packet {
        Packet::Message(Data::Binary(Bytes::from_static(bytes)))
    }

    fn packets(body: &[u8]) -> Vec<Result<Packet, Violation>> {
        match Payload::v3(Bytes::copy_from_slice(body), 9) {
            Ok(payload) => payload.collect(),
            Err(violation) => vec![Err(violation)],
        }
    }

    #[test]
    fn a_text_body_counts_in_utf16() {
        let check = |body: &str, expected: &[Packet]| {
            let expected: Vec<_> = expected.iter().cloned().map(Ok).collect();
            assert_eq!(packets(body.as_bytes()), expected, "{body}");
        };
        check("2:4a1:4", &[text("a"), text("")]);
        check("2:4é2:4€3:4😀3:4ab", &[text("é"), text("€"), text("😀"), text("ab")]);
        check("0012:4hello world1:6", &[text("hello world"), Packet::Noop]);
        check(
            "1:26:2probe1:1",
            &[Packet::Ping(Bytes::new()), Packet::Ping("probe".into()), Packet::Close],
        );
        check("6:b4AQI=2:4:", &[bytes(&[1, 2]), text(":")]);
    }

    #[test]
    fn a_binary_body_counts_in_bytes() {
        let body = [
            &b"\x00\x03\xff4\xc3\xa9"[..],
            b"\x01\x04\xff\x04abc",
            b"\x01\x00\x01\xff\x04",
            b"\x00\x01\x02\xff4hello world",
        ];
        let expected = [text("é"), bytes(b"abc"), bytes(b""), text("hello world")];
        assert_eq!(packets(&body.concat()), expected.map(Ok));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |body: &[u8], violation| {
            assert_eq!(packets(body).pop(), Some(Err(violation)), "{}", body.escape_ascii());
        };
        use Violation::{Base64, EnginePacket, PayloadLength, PayloadPackets, Utf8};
        check(b"", EnginePacket);
        for body in ["4a", ":", ":4", "x:4", "-1:4", "+1:4", "1.0:4", " 1:4", "2:4", "1:4x", "1:42"]
        {
            check(body.as_bytes(), PayloadLength);
        }
        check(b"0:", EnginePacket);
        check(b"1:7", EnginePacket);
        check(b"2:b5", EnginePacket);
        check(b"1:b", EnginePacket);
        check(b"5:b4AQI", Base64);
        check("2:4😀".as_bytes(), PayloadLength);
        check("4:4😀".as_bytes(), PayloadLength);
        check(b"2:4\xff", Utf8);
        check(format!("{}:4", "9".repeat(310)).as_bytes(), PayloadLength);
        check(format!("{}1:4", "0".repeat(310)).as_bytes(), PayloadLength);
        check("9".repeat(100_000).as_bytes(), PayloadLength);
        check(format!("{}:4", u64::MAX).as_bytes(), PayloadLength);
        check(&b"1:4".repeat(10), PayloadPackets);

        check(b"\x00", PayloadLength);
        check(b"\x00\xff", PayloadLength);
        check(b"\x00\x01", PayloadLength);
        check(b"\x00\x01\xff", PayloadLength);
        check(b"\x00\x0a\xff4", PayloadLength);
        check(b"\x00\x31\xff4", PayloadLength);
        check(b"\x00\x00\xff", EnginePacket);
        check(b"\x01\x00\xff", EnginePacket);
        check(b"\x01\x01\xff\x02", EnginePacket);
        check(b"\x01\x01\xff4", EnginePacket);
        check(b"\x00\x01\xff4\x02\x01\xff4", EnginePacket);
        check(b"\x00\x02\xff4\xc3\xa9", Utf8);
        check(&[&b"\x01"[..], &[9; 310], b"\xff\x04"].concat(), PayloadLength);
        check(&[&b"\x01"[..], &[0; 100_000]].concat(), PayloadLength);
    }

    #[test]
    fn nothing_comes_behind_what_is_broken() {
        assert_eq!(packets(b"1:6:1:6"), [Ok(Packet::Noop), Err(Violation::PayloadLength)]);
        assert_eq!(packets(b"1:61:7"), [Ok(Packet::Noop), Err(Violation::EnginePacket)]);
    }

    #[test]
    fn an_answer_is_binary_only_where_it_must_be() {
        let plain = Parcel::event("/", None, "é😀", "x").unwrap();
        let attached = Parcel::event("/", None, "f", &Bytes::from_static(&[1, 2])).unwrap();
        let body = |parcels: &[&Parcel], base64| {
            encode(parcels.iter().flat_map(|parcel| frame::split(parcel.wire())), base64)
        };
        let text = |text: &str| Data::Text(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(body(&[&plain], false), text("13:42[\"é😀\",\"x\"]"));
        let json = r#"451-["f",{"_placeholder":true,"num":0}]"#;
        assert_eq!(body(&[&attached], true), text(&format!("39:{json}6:b4AQI=")));
        let binary =
            [&b"\x00\x03\x09\xff"[..], json.as_bytes(), b"\x01\x03\xff\x04\x01\x02"].concat();
        assert_eq!(body(&[&attached], false), Data::Binary(binary.clone().into()));
        let plain_binary = [&b"\x00\x01\x06\xff"[..], "42[\"é😀\",\"x\"]".as_bytes()].concat();
        let both = [plain_binary, binary].concat();
        assert_eq!(body(&[&plain, &attached], false), Data::Binary(both.into()));
        let noop = Parcel::engine(&Packet::Noop);
        assert_eq!(body(&[&noop], false), text(std::str::from_utf8(NOOP).unwrap()));
    }

    #[test]
    fn frames_begin_with_their_type() {
        let frame = |frame: &'static [u8]| decode(Data::Binary(Bytes::from_static(frame)));
        assert_eq!(frame(b"\x04ab"), Ok(bytes(b"ab")));
        assert_eq!(frame(b"\x04"), Ok(bytes(b"")));
        for broken in [&b""[..], b"4ab", b"\x00", b"\x02probe"] {
            assert_eq!(frame(broken), Err(Violation::EnginePacket));
        }
    }
}
