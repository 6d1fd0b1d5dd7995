//! A packet to msgpack.
//!
//! The length of an array or a map stands before its values, so the JSON is walked twice: first to
//! count, then to write. It is JSON of our own or was checked when it arrived. What is not JSON all
//! the same is written as something, and never fails.

use super::Integer;
use crate::socket::parser::Plain;
use crate::socket::placeholder::Key;

/// Bytes around a payload, the name of the namespace not counted.
const ENVELOPE_BYTES: usize = 48;

/// Writes a packet.
pub(super) fn packet(packet: &Plain<'_>) -> Vec<u8> {
    let attachments = packet.attachments();
    let json = packet.json();
    let attached: usize = attachments.iter().map(|bytes| bytes.len() + 5).sum();
    let size = packet.namespace().len() + json.map_or(0, str::len) + attached + ENVELOPE_BYTES;
    let mut out = Vec::with_capacity(size);
    let optional = u8::from(json.is_some()) + u8::from(packet.ack().is_some());
    out.push(0x80 | (2 + optional));
    text(&mut out, b"type");
    out.push(packet.number());
    if let Some(json) = json {
        text(&mut out, b"data");
        payload(&mut out, json.as_bytes(), attachments);
    }
    if let Some(id) = packet.ack() {
        text(&mut out, b"id");
        unsigned(&mut out, id.get());
    }
    text(&mut out, b"nsp");
    text(&mut out, packet.namespace().as_bytes());
    out
}

/// Writes a JSON value, with bytes in place of their placeholders.
pub(crate) fn payload(out: &mut Vec<u8>, json: &[u8], attachments: &[&[u8]]) {
    let lists = count(json);
    let mut lists = lists.iter();
    let mut tokens = tokens(json);
    let mut unescaped = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Open { is_object } => {
                let Some(list) = lists.next() else {
                    continue;
                };
                let attached = list.placeholder().and_then(|number| attachments.get(number));
                if let Some(bytes) = attached {
                    binary(out, bytes);
                    let inner = pass(&mut tokens);
                    lists.by_ref().take(inner).for_each(drop);
                } else if is_object {
                    sized(out, list.len, 0x80, 0xde);
                } else {
                    sized(out, list.len, 0x90, 0xdc);
                }
            }
            Token::Text(quoted) => {
                let plain = quoted.get(1..quoted.len() - 1).unwrap_or_default();
                if plain.contains(&b'\\') {
                    unescaped.clear();
                    unescape(plain, &mut unescaped);
                    text(out, &unescaped);
                } else {
                    text(out, plain);
                }
            }
            Token::Word(word) => scalar(out, word),
            Token::Close | Token::Colon => {}
        }
    }
}

/// Goes on behind the list that was opened last; gives how many lists were in it.
fn pass<'a>(tokens: &mut impl Iterator<Item = Token<'a>>) -> usize {
    let (mut depth, mut inner) = (1, 0);
    for token in tokens {
        match token {
            Token::Open { .. } => (depth, inner) = (depth + 1, inner + 1),
            Token::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    inner
}

/// An array or an object.
#[derive(Clone, Copy, Debug, Default)]
struct List {
    /// Its values, or its pairs.
    len: u32,
    is_object: bool,
    is_placeholder: bool,
    number: Option<usize>,
}

impl List {
    /// The number of the attachment that it stands for.
    fn placeholder(&self) -> Option<usize> {
        self.number.filter(|_| self.is_placeholder)
    }
}

/// All arrays and objects, in the order in which they are opened.
fn count(json: &[u8]) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut text: &[u8] = b"\"\"";
    // What the value belongs to that comes next, where that is an object.
    let mut key = None;
    for token in tokens(json) {
        let outer = open.last().and_then(|&index| lists.get_mut(index));
        match (token, outer) {
            (Token::Colon, Some(outer)) => {
                outer.len += 1;
                key = Some(Key::new(text));
                continue;
            }
            (Token::Text(quoted), Some(outer)) if outer.is_object => text = quoted,
            (Token::Word(word), Some(outer)) if outer.is_object => match key {
                Some(Key::Placeholder) => outer.is_placeholder |= word == b"true",
                Some(Key::Number) => {
                    outer.number = std::str::from_utf8(word).ok().and_then(|n| n.parse().ok());
                }
                _ => {}
            },
            (Token::Text(_) | Token::Word(_), Some(outer)) => outer.len += 1,
            (Token::Open { is_object }, outer) => {
                if let Some(outer) = outer.filter(|outer| !outer.is_object) {
                    outer.len += 1;
                }
                open.push(lists.len());
                lists.push(List { is_object, ..List::default() });
            }
            (Token::Close, _) => drop(open.pop()),
            (_, None) => {}
        }
        key = None;
    }
    lists
}

/// A piece of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Open {
        is_object: bool,
    },
    Close,
    Colon,
    /// A text with its quotes, a key or a value.
    Text(&'a [u8]),
    /// A number, `true`, `false` or `null`.
    Word(&'a [u8]),
}

/// The tokens of JSON. Commas say nothing that the others do not.
fn tokens(json: &[u8]) -> impl Iterator<Item = Token<'_>> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let skipped = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let start = rest.iter().position(|byte| !skipped(byte))?;
        let from = rest.get(start..)?;
        let (len, token) = match from.first()? {
            b'{' => (1, Token::Open { is_object: true }),
            b'[' => (1, Token::Open { is_object: false }),
            b'}' | b']' => (1, Token::Close),
            b':' => (1, Token::Colon),
            b'"' => {
                let len = text_len(from);
                (len, Token::Text(&from[..len]))
            }
            _ => {
                let len = from.iter().position(ends_word).unwrap_or(from.len());
                (len, Token::Word(&from[..len]))
            }
        };
        rest = &from[len..];
        Some(token)
    })
}

fn ends_word(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b'"' | b'[' | b']' | b'{' | b'}')
}

/// The length of the text at the front, with its quotes.
fn text_len(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if json.get(at - 1) == Some(&b'"') {
            return at;
        }
        at += 1;
    }
    json.len()
}

/// Appends what a text says that has escapes. Half a surrogate pair, which UTF-8 cannot say, becomes
/// U+FFFD.
fn unescape(escaped: &[u8], out: &mut Vec<u8>) {
    let mut rest = escaped;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let [_, escape, tail @ ..] = &rest[at..] else {
            return;
        };
        rest = tail;
        let char = match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (char, len) = code_point(tail);
                rest = tail.get(len..).unwrap_or_default();
                char
            }
            other => char::from(*other),
        };
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.extend_from_slice(rest);
}

/// The character behind `\u`, and the bytes that it takes: the four digits, and those of the other
/// half of its pair.
fn code_point(digits: &[u8]) -> (char, usize) {
    let first = unit(digits).unwrap_or(0xfffd);
    if let 0xd800..=0xdbff = first
        && let Some([b'\\', b'u', low @ ..]) = digits.get(4..)
        && let Some(low @ 0xdc00..=0xdfff) = unit(low)
    {
        let pair = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

fn unit(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

fn scalar(out: &mut Vec<u8>, word: &[u8]) {
    match word {
        b"true" => out.push(0xc3),
        b"false" => out.push(0xc2),
        b"null" => out.push(0xc0),
        number => self::number(out, std::str::from_utf8(number).unwrap_or_default()),
    }
}

/// A number as notepack writes that of JavaScript: whole ones in the shortest form, whatever they
/// look like in JSON.
fn number(out: &mut Vec<u8>, number: &str) {
    if let Ok(number) = number.parse() {
        unsigned(out, number)
    } else if let Ok(number) = number.parse() {
        negative(out, number)
    } else if let Ok(number) = number.parse() {
        match Integer::new(number) {
            Some(Integer::Unsigned(number)) => unsigned(out, number),
            Some(Integer::Negative(number)) => negative(out, number),
            None => push(out, 0xcb, number.to_be_bytes()),
        }
    } else {
        out.push(0xc0);
    }
}

/// Writes a number from 0 on.
pub(crate) fn unsigned(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => push(out, 0xcd, (number as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => push(out, 0xce, (number as u32).to_be_bytes()),
        _ => push(out, 0xcf, number.to_be_bytes()),
    }
}

/// A number below zero.
fn negative(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = i8::try_from(number) {
        match number {
            -32.. => out.push(number as u8),
            _ => push(out, 0xd0, number.to_be_bytes()),
        }
    } else if let Ok(number) = i16::try_from(number) {
        push(out, 0xd1, number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        push(out, 0xd2, number.to_be_bytes());
    } else {
        push(out, 0xd3, number.to_be_bytes());
    }
}

/// Writes a text.
pub(crate) fn text(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        len @ ..=0x1f => out.push(0xa0 | len as u8),
        len @ 0x20..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len @ 0x100..=0xffff => push(out, 0xda, (len as u16).to_be_bytes()),
        len => push(out, 0xdb, (len as u32).to_be_bytes()),
    }
    out.extend_from_slice(text);
}

/// Writes bytes.
pub(crate) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        len @ ..=0xff => out.extend_from_slice(&[0xc4, len as u8]),
        len @ 0x100..=0xffff => push(out, 0xc5, (len as u16).to_be_bytes()),
        len => push(out, 0xc6, (len as u32).to_be_bytes()),
    }
    out.extend_from_slice(bytes);
}

/// Writes `true` or `false`.
pub(crate) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Begins an array of so many values.
pub(crate) fn array(out: &mut Vec<u8>, len: usize) {
    sized(out, u32::try_from(len).unwrap_or(u32::MAX), 0x90, 0xdc);
}

/// Begins a map of so many pairs.
pub(crate) fn map(out: &mut Vec<u8>, len: usize) {
    sized(out, u32::try_from(len).unwrap_or(u32::MAX), 0x80, 0xde);
}

/// The head of an array or a map: of a short one, of one with 16 bits or, by the next marker, 32.
fn sized(out: &mut Vec<u8>, len: u32, short: u8, long: u8) {
    match len {
        0..=0x0f => out.push(short | len as u8),
        0x10..=0xffff => push(out, long, (len as u16).to_be_bytes()),
        _ => push(out, long + 1, len.to_be_bytes()),
    }
}

fn push<const N: usize>(out: &mut Vec<u8>, marker: u8, number: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&number);
}
