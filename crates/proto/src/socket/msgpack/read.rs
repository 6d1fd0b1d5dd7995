//! msgpack to a packet.
//!
//! A message is walked twice: once over the map of the packet, where its payload is passed over,
//! and once over the payload, which becomes JSON in the order in which it comes. Nothing is
//! recursive, and no declared length is believed: what is taken was there.

use bytes::Bytes;

use super::{Integer, date};
use crate::args::push_text;
use crate::error::Violation;
use crate::id::AckId;
use crate::limits::Limits;
use crate::socket::parser::Whole;
use crate::text::as_text;

/// The type of an extension that the specification calls timestamp.
const TIMESTAMP: i8 = -1;
/// The type of the extensions of notepack 2.
const NOTEPACK: i8 = 0;

const NS_PER_SECOND: u32 = 1_000_000_000;
const NS_PER_MS: u32 = 1_000_000;

/// Reads a packet.
pub(super) fn packet(message: &Bytes, limits: &Limits) -> Result<Whole, Violation> {
    whole(Envelope::read(message)?, message, limits)
}

/// Reads a packet that version 2 of the npm package wrote, in which events and acks with bytes have types of
/// their own.
pub(super) fn old_packet(message: &Bytes, limits: &Limits) -> Result<Whole, Violation> {
    let mut envelope = Envelope::read(message)?;
    envelope.number = match envelope.number {
        5 => 2,
        6 => 3,
        other => other,
    };
    whole(envelope, message, limits)
}

fn whole(envelope: Envelope<'_>, message: &Bytes, limits: &Limits) -> Result<Whole, Violation> {
    let mut whole = Whole::new(envelope.number, envelope.namespace, envelope.ack)?;
    if let Some(data) = envelope.data {
        let start = whole.json().len();
        let json_max = start + limits.json_bytes_max();
        Payload { message, limits, whole: &mut whole, json_max }.write(data)?;
        settle(whole.attachments(), message);
    }
    Ok(whole)
}

/// Reads a value that is no packet.
pub(super) fn value(message: &Bytes, limits: &Limits) -> Result<(Vec<u8>, Vec<Bytes>), Violation> {
    let mut reader = Reader { rest: message };
    let value = reader.pass()?;
    if !reader.rest.is_empty() {
        return Err(Violation::Malformed);
    }
    let mut whole = Whole::value();
    let json_max = limits.json_bytes_max();
    Payload { message, limits, whole: &mut whole, json_max }.write(value)?;
    settle(whole.attachments(), message);
    Ok(whole.into_value())
}

/// Attachments lie in the message and keep all of it in memory. Where most of it is something else,
/// they get memory of their own.
fn settle(attachments: &mut [Bytes], message: &Bytes) {
    let attached: usize = attachments.iter().map(Bytes::len).sum();
    if attachments.is_empty() || attached >= message.len() / 2 {
        return;
    }
    let mut own = Vec::with_capacity(attached);
    attachments.iter().for_each(|bytes| own.extend_from_slice(bytes));
    let mut own = Bytes::from(own);
    for bytes in attachments {
        *bytes = own.split_to(bytes.len());
    }
}

/// The map of a packet. Its payload is somewhere among the other keys, and is read when they are
/// known.
struct Envelope<'a> {
    number: u8,
    namespace: &'a str,
    ack: Option<AckId>,
    data: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Violation> {
        let mut reader = Reader { rest: message };
        let Token::Map(keys) = reader.token()? else {
            return Err(Violation::Malformed);
        };
        let (mut number, mut namespace, mut ack, mut data) = (None, None, None, None);
        for _ in 0..keys {
            let Token::Text(key) = reader.token()? else {
                return Err(Violation::Malformed);
            };
            match key {
                b"type" => once(&mut number, packet_type(&reader.token()?)?)?,
                b"nsp" => once(&mut namespace, text(&reader.token()?)?)?,
                b"id" => once(&mut ack, ack_id(&reader.token()?)?)?,
                b"data" => once(&mut data, reader.pass()?)?,
                _ => drop(reader.pass()?),
            }
        }
        if !reader.rest.is_empty() {
            return Err(Violation::Malformed);
        }
        Ok(Self {
            number: number.ok_or(Violation::PacketType)?,
            namespace: namespace.ok_or(Violation::Malformed)?,
            ack: ack.flatten(),
            data: data.filter(|data| !is_nothing(data)),
        })
    }
}

/// A key may come once.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Violation> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Violation::Malformed),
    }
}

fn packet_type(token: &Token<'_>) -> Result<u8, Violation> {
    match *token {
        Token::Unsigned(number) => u8::try_from(number).map_err(|_| Violation::PacketType),
        _ => Err(Violation::PacketType),
    }
}

fn ack_id(token: &Token<'_>) -> Result<Option<AckId>, Violation> {
    match *token {
        Token::Nil | Token::Undefined => Ok(None),
        Token::Unsigned(id) => AckId::new(id).map(Some).ok_or(Violation::AckId),
        Token::Negative(_) => Err(Violation::AckId),
        _ => Err(Violation::Malformed),
    }
}

fn text<'a>(token: &Token<'a>) -> Result<&'a str, Violation> {
    match *token {
        Token::Text(bytes) => as_text(bytes).ok_or(Violation::Utf8),
        _ => Err(Violation::Malformed),
    }
}

/// Whether a value is only there because its sender had nothing.
fn is_nothing(value: &[u8]) -> bool {
    matches!(Reader { rest: value }.token(), Ok(Token::Nil | Token::Undefined))
}

/// A payload that becomes JSON.
struct Payload<'a> {
    message: &'a Bytes,
    limits: &'a Limits,
    whole: &'a mut Whole,
    /// Where the JSON must end.
    json_max: usize,
}

/// An array or a map whose values are being read.
struct Open {
    /// Values that are still to come.
    left: u32,
    is_map: bool,
    /// Where in the JSON the entry begins that is being read.
    entry: usize,
}

impl Payload<'_> {
    fn write(mut self, data: &[u8]) -> Result<(), Violation> {
        let mut reader = Reader { rest: data };
        let mut open: Vec<Open> = Vec::new();
        loop {
            match open.last_mut() {
                None => {}
                Some(Open { left: 0, is_map, .. }) => {
                    let close = if *is_map { b'}' } else { b']' };
                    self.json().push(close);
                    open.pop();
                    if open.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                Some(outer) => {
                    outer.left -= 1;
                    self.entry(outer, &mut reader)?;
                }
            }
            let (left, is_map) = match reader.token()? {
                Token::Array(len) => (len, false),
                Token::Map(len) => (len, true),
                other => {
                    self.value(&other, open.last())?;
                    if open.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
            };
            if open.len() >= self.limits.json_depth_max as usize {
                return Err(Violation::Depth);
            }
            self.json().push(if is_map { b'{' } else { b'[' });
            open.push(Open { left, is_map, entry: 0 });
        }
    }

    /// Writes what comes before a value: a comma, and the key.
    fn entry(&mut self, outer: &mut Open, reader: &mut Reader<'_>) -> Result<(), Violation> {
        if self.json().len() > self.json_max {
            return Err(Violation::Expansion);
        }
        outer.entry = self.json().len();
        // No value ends with a bracket that opens.
        if !matches!(self.json().last(), Some(b'[' | b'{')) {
            self.json().push(b',');
        }
        if outer.is_map {
            self.text(text(&reader.token()?)?)?;
            self.json().push(b':');
        }
        Ok(())
    }

    fn value(&mut self, token: &Token<'_>, outer: Option<&Open>) -> Result<(), Violation> {
        match *token {
            Token::Undefined => match outer {
                Some(Open { is_map: true, entry, .. }) => self.json().truncate(*entry),
                _ => self.word(b"null"),
            },
            Token::Nil => self.word(b"null"),
            Token::Bool(true) => self.word(b"true"),
            Token::Bool(false) => self.word(b"false"),
            Token::Unsigned(number) => self.unsigned(number),
            Token::Negative(number) => self.negative(number),
            Token::Float(number) => self.float(number)?,
            Token::Text(bytes) => self.text(as_text(bytes).ok_or(Violation::Utf8)?)?,
            Token::Date(ms) => date::push_iso(self.json(), ms),
            Token::Bytes(bytes) => {
                if self.whole.attachments().len() >= self.limits.whole_attachments_max {
                    return Err(Violation::AttachmentCount);
                }
                self.whole.attach(self.message.slice_ref(bytes));
            }
            // Not values of their own.
            Token::Array(_) | Token::Map(_) => {}
        }
        Ok(())
    }

    /// As JavaScript writes numbers: whole ones without a fraction.
    fn float(&mut self, number: f64) -> Result<(), Violation> {
        match Integer::new(number) {
            Some(Integer::Unsigned(number)) => self.unsigned(number),
            Some(Integer::Negative(number)) => self.negative(number),
            // Writes what is not finite as `null`.
            None => {
                return serde_json::to_writer(self.json(), &number)
                    .map_err(|_| Violation::Malformed);
            }
        }
        Ok(())
    }

    fn unsigned(&mut self, number: u64) {
        self.word(itoa::Buffer::new().format(number).as_bytes());
    }

    fn negative(&mut self, number: i64) {
        self.word(itoa::Buffer::new().format(number).as_bytes());
    }

    fn text(&mut self, text: &str) -> Result<(), Violation> {
        push_text(self.json(), text).map_err(|_| Violation::Malformed)
    }

    fn word(&mut self, word: &[u8]) {
        self.json().extend_from_slice(word);
    }

    const fn json(&mut self) -> &mut Vec<u8> {
        self.whole.json()
    }
}

/// A value without what is inside.
#[derive(Debug, PartialEq)]
enum Token<'a> {
    Nil,
    Undefined,
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
    Float(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// Milliseconds since 1970; `None` where there are too many to count.
    Date(Option<i64>),
    Array(u32),
    Map(u32),
}

/// What is left of a message.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn token(&mut self) -> Result<Token<'a>, Violation> {
        let [marker] = self.array()?;
        Ok(match marker {
            0x00..=0x7f => Token::Unsigned(marker.into()),
            0x80..=0x8f => Token::Map((marker & 0x0f).into()),
            0x90..=0x9f => Token::Array((marker & 0x0f).into()),
            0xa0..=0xbf => Token::Text(self.take((marker & 0x1f).into())?),
            0xc0 => Token::Nil,
            // The one that the specification never uses.
            0xc1 => return Err(Violation::Malformed),
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => Token::Bytes(self.sized(marker - 0xc4)?),
            0xc7..=0xc9 => {
                let len = self.len(marker - 0xc7)?;
                self.extension(len, false)?
            }
            0xca => Token::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Token::Unsigned(u8::from_be_bytes(self.array()?).into()),
            0xcd => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0xce => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => integer(i8::from_be_bytes(self.array()?).into()),
            0xd1 => integer(i16::from_be_bytes(self.array()?).into()),
            0xd2 => integer(i32::from_be_bytes(self.array()?).into()),
            0xd3 => integer(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4), true)?,
            0xd9..=0xdb => Token::Text(self.sized(marker - 0xd9)?),
            0xdc => Token::Array(self.len(1)?),
            0xdd => Token::Array(self.len(2)?),
            0xde => Token::Map(self.len(1)?),
            0xdf => Token::Map(self.len(2)?),
            0xe0..=0xff => integer(i8::from_be_bytes([marker]).into()),
        })
    }

    /// Passes over a value with all that is inside, and gives it.
    fn pass(&mut self) -> Result<&'a [u8], Violation> {
        let before = self.rest;
        let mut left = 1_u64;
        while left > 0 {
            left -= 1;
            match self.token()? {
                Token::Array(len) => left += u64::from(len),
                Token::Map(len) => left += 2 * u64::from(len),
                _ => {}
            }
        }
        Ok(&before[..before.len() - self.rest.len()])
    }

    /// An extension of that length, whose type comes next. `fixed` is one whose length is in its
    /// marker.
    fn extension(&mut self, len: u32, fixed: bool) -> Result<Token<'a>, Violation> {
        let kind = i8::from_be_bytes(self.array()?);
        let bytes = self.take(len)?;
        match (kind, bytes, fixed) {
            (NOTEPACK, _, false) => Ok(Token::Bytes(bytes)),
            (NOTEPACK, [_], true) => Ok(Token::Undefined),
            (NOTEPACK, _, true) => match bytes.try_into() {
                Ok(ms) => Ok(Token::Date(Some(i64::from_be_bytes(ms)))),
                Err(_) => Err(Violation::Malformed),
            },
            (TIMESTAMP, ..) => timestamp(bytes),
            _ => Err(Violation::Malformed),
        }
    }

    /// Bytes behind their length, of which this is the size.
    fn sized(&mut self, size: u8) -> Result<&'a [u8], Violation> {
        let len = self.len(size)?;
        self.take(len)
    }

    /// A length of one, two or four bytes: of size 0, 1 or 2.
    fn len(&mut self, size: u8) -> Result<u32, Violation> {
        Ok(match size {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?),
        })
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], Violation> {
        let (taken, rest) = self.rest.split_at_checked(len as usize).ok_or(Violation::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Violation::Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }
}

fn integer(number: i64) -> Token<'static> {
    match u64::try_from(number) {
        Ok(number) => Token::Unsigned(number),
        Err(_) => Token::Negative(number),
    }
}

/// The timestamp of the specification: seconds; or 30 bits of nanoseconds and 34 of seconds; or 32
/// and 64 bits.
fn timestamp(bytes: &[u8]) -> Result<Token<'static>, Violation> {
    let (seconds, ns) = match *bytes {
        [a, b, c, d] => (i64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [a, b, c, d, e, f, g, h] => {
            let ns = u32::from_be_bytes([a, b, c, d]) >> 2;
            (i64::from_be_bytes([0, 0, 0, d & 3, e, f, g, h]), ns)
        }
        [a, b, c, d, ref seconds @ ..] => {
            let seconds = seconds.try_into().map_err(|_| Violation::Malformed)?;
            (i64::from_be_bytes(seconds), u32::from_be_bytes([a, b, c, d]))
        }
        _ => return Err(Violation::Malformed),
    };
    if ns >= NS_PER_SECOND {
        return Err(Violation::Malformed);
    }
    let ms = seconds.checked_mul(1000).and_then(|ms| ms.checked_add((ns / NS_PER_MS).into()));
    Ok(Token::Date(ms))
}
