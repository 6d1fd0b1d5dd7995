//! Placeholders: `{"_placeholder":true,"num":0}` stands in JSON for an attachment.

use crate::error::Violation;

/// Checks that each placeholder in `json` names one of the attachments, none twice. Passed on to
/// other clients, one that names nothing would end their connections; one attachment named a
/// thousand times would be a thousand copies in a typed argument.
///
/// `serde_json` refuses some texts and numbers that are JSON all the same, such as half a surrogate
/// pair, so this walks on its own.
pub(crate) fn check(json: &[u8], attachments: usize) -> Result<(), Violation> {
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
enum Key {
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
    fn new(raw: &[u8]) -> Self {
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
