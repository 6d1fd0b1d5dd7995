//! [`Stream`]: the numbers of a room that a member has seen, and must see next.

use std::collections::HashMap;

/// What a member of a room has seen of it since it joined.
#[derive(Default)]
pub struct Stream {
    first: Option<u64>,
    next: Option<u64>,
    /// By voice.
    said: HashMap<String, u64>,
    /// Whether the client has an answer that says that it is in the room.
    pub is_sure: bool,
}

impl Stream {
    /// A number that the server has given.
    pub fn told(&mut self, number: u64) -> Result<(), String> {
        self.first.get_or_insert(number);
        match self.next.replace(number + 1) {
            Some(next) if next != number => Err(format!("told {number}, and {next} comes next")),
            _ => Ok(()),
        }
    }

    /// A number of somebody else's, or an own one.
    pub fn said(&mut self, voice: &str, number: u64) -> Result<(), String> {
        match self.said.insert(voice.to_owned(), number + 1) {
            Some(next) if next != number => {
                Err(format!("{voice} said {number}, and {next} comes next"))
            }
            _ => Ok(()),
        }
    }

    /// The server has let the client in when `number` was the next one.
    pub fn joined(&mut self, number: u64) -> Result<(), String> {
        self.is_sure = true;
        match self.first {
            Some(first) if first != number => {
                Err(format!("joined at {number}, and the first one told was {first}"))
            }
            _ => {
                self.next.get_or_insert(number);
                Ok(())
            }
        }
    }

    /// All before `number` must have been told by now.
    pub fn marked(&mut self, number: u64) -> Result<(), String> {
        let next = *self.next.get_or_insert(number);
        if next < number { Err(format!("at {number}, and told up to {next} only")) } else { Ok(()) }
    }

    /// All before `number` must have been told by now, and none from it on.
    pub fn left(&self, number: u64) -> Result<(), String> {
        match self.next {
            Some(next) if next != number => {
                Err(format!("left at {number}, and {next} would have come next"))
            }
            _ => Ok(()),
        }
    }
}
