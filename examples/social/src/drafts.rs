//! [`Draft`]: what somebody wants to say, in a post or in a message.

use roomful::EventError;

use crate::social::Result;

pub(crate) struct Draft {
    pub(crate) text: String,
    /// Made by whoever wrote it: tells a text that is sent again from a new one.
    pub(crate) key: String,
}

impl Draft {
    /// As it may be stored.
    pub(crate) fn new([text, key]: [String; 2], chars_max: usize) -> Result<Self> {
        let text = text.trim().replace("\r\n", "\n");
        if !(1..=chars_max).contains(&text.chars().count()) || text.contains('\0') {
            return Err(EventError::new("bad_text", format!("Write 1 to {chars_max} characters.")));
        }
        let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !(8..=64).contains(&key.len()) || !is_plain {
            return Err(EventError::new("bad_key", "A key is 8 to 64 of a-z, A-Z, 0-9 and -."));
        }
        Ok(Self { text, key })
    }
}

/// The key is that of another text.
pub(crate) fn key_used() -> EventError {
    EventError::new("key_used", "Something else has this key: load the page again.")
}
