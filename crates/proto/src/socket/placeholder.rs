//! Placeholders: `{"_placeholder":true,"num":0}` stands in JSON for an attachment.

use crate::error::Violation;

/// A placeholder as clients and servers write it, up to its number.
const USUAL: &[u8] = br#"{"_placeholder":true,"num":"#;

/// Appends the placeholder of that number.
pub(crate) fn push(json: &mut Vec<u8>, number: usize) {
    json.extend_from_slice(USUAL);
    json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    json.push(b'}');
}

/// Checks that each placeholder in `json` names one of the attachments, none twice. Passed on to
/// other clients, one that names nothing would end their connections; one attachment named a
/// thousand times would be a thousand copies in a typed argument.
///
/// Placeholders mostly look the same to the byte, and nothing else looks like one: then they are
/// found by their mark. What looks otherwise is walked.
pub(crate) fn check(json: &[u8], attachments: usize) -> Result<(), Violation> {
    // Bytes that stand for themselves are written as just that.
    if usual(json).is_some_and(|(number, len)| len == json.len() && number < attachments) {
        return Ok(());
    }
    match check_usual(json, attachments) {
        Some(result) => result,
        None => check_any(json, attachments),
    }
}

/// The number of the usual placeholder at the front of `json`, and its length.
pub(crate) fn usual(json: &[u8]) -> Option<(usize, usize)> {
    let rest = json.strip_prefix(USUAL)?;
    let (number, len) = match rest {
        [digit @ b'0'..=b'9', b'}', ..] => (usize::from(digit - b'0'), 1),
        [tens @ b'1'..=b'9', digit @ b'0'..=b'9', b'}', ..] => {
            (usize::from(tens - b'0') * 10 + usize::from(digit - b'0'), 2)
        }
        _ => return None,
    };
    Some((number, USUAL.len() + len + 1))
}

/// `None` when there may be placeholders of another look. Without a backslash in `json`, a quote
/// begins or ends a text, so that the mark in quotes is a whole text, and the text of a placeholder
/// is a placeholder.
fn check_usual(json: &[u8], attachments: usize) -> Option<Result<(), Violation>> {
    if json.contains(&b'\\') || attachments > 64 {
        return None;
    }
    let mut named = 0_u64;
    let mut at = 0;
    while let Some(next) = json[at..].iter().position(|&byte| byte == b'_') {
        let mark = at + next;
        at = mark + 1;
        if !json[..mark].ends_with(b"\"") || !json[mark..].starts_with(b"_placeholder\"") {
            continue;
        }
        let (number, _) = usual(&json[mark.checked_sub(2)?..])?;
        let bit = 1_u64.checked_shl(u32::try_from(number).ok()?).unwrap_or(0);
        if number >= attachments || named & bit != 0 {
            return Some(Err(Violation::Placeholder));
        }
        named |= bit;
    }
    Some(Ok(()))
}

/// `serde_json` refuses some texts and numbers that are JSON all the same, such as half a surrogate
/// pair, so this walks on its own.
fn check_any(json: &[u8], attachments: usize) -> Result<(), Violation> {
    let mut named = vec![false; attachments];
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let len = match byte {
            b'{' | b'[' => {
                if let Some(outer) = open.last_mut() {
                    outer.value(&[byte]);
                }
                open.push(Open::new(byte == b'{'));
                1
            }
            b'}' | b']' => {
                if let Some(placeholder) = open.pop().filter(|done| done.is_placeholder) {
                    let number = placeholder.number.ok_or(Violation::Placeholder)?;
                    match named.get_mut(number) {
                        Some(named) if !*named => *named = true,
                        _ => return Err(Violation::Placeholder),
                    }
                }
                1
            }
            b',' => {
                if let Some(outer) = open.last_mut() {
                    outer.key = Key::Absent;
                }
                1
            }
            b':' | b' ' | b'\t' | b'\n' | b'\r' => 1,
            _ => {
                let token = token(&json[at..]);
                if let Some(outer) = open.last_mut() {
                    outer.token(token);
                }
                token.len()
            }
        };
        at += len;
    }
    Ok(())
}

/// An array or an object of which the end is still to come.
struct Open {
    is_object: bool,
    key: Key,
    is_placeholder: bool,
    number: Option<usize>,
}

/// What the value to come belongs to.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Absent,
    Placeholder,
    Number,
    Other,
}

impl Open {
    const fn new(is_object: bool) -> Self {
        Self { is_object, key: Key::Absent, is_placeholder: false, number: None }
    }

    /// Takes a text, a number or a word: a key where one is due, a value elsewhere.
    fn token(&mut self, token: &[u8]) {
        if self.is_object && matches!(self.key, Key::Absent) {
            self.key = Key::new(token);
        } else {
            self.value(token);
        }
    }

    fn value(&mut self, token: &[u8]) {
        match self.key {
            Key::Placeholder => self.is_placeholder |= token == b"true",
            Key::Number => {
                let text = std::str::from_utf8(token).unwrap_or_default();
                self.number = text.parse().ok();
            }
            Key::Absent | Key::Other => {}
        }
    }
}

impl Key {
    pub(super) fn new(raw: &[u8]) -> Self {
        let unescaped;
        let name = if raw.contains(&b'\\') {
            unescaped = serde_json::from_slice::<String>(raw).unwrap_or_default();
            unescaped.as_bytes()
        } else {
            raw.get(1..raw.len() - 1).unwrap_or_default()
        };
        match name {
            b"_placeholder" => Self::Placeholder,
            b"num" => Self::Number,
            _ => Self::Other,
        }
    }
}

/// The text, number or word at the front of `json`; never empty unless `json` is.
fn token(json: &[u8]) -> &[u8] {
    let mut bytes = json.iter().enumerate().skip(1);
    if json.first() == Some(&b'"') {
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => return &json[..=at],
                b'\\' => drop(bytes.next()),
                _ => {}
            }
        }
        return json;
    }
    let end =
        bytes.find(|(_, byte)| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'));
    end.map_or(json, |(at, _)| &json[..at])
}
