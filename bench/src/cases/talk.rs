//! [`Talk`]: what is said in one room, and who has heard what of it; [`Words`]: how much at a time.

use std::collections::VecDeque;
use std::time::Instant;

use super::measure::two_digits;
use crate::load::inflate::inflate;
use crate::load::known::Known;
use crate::load::swarm::{Clients, Packet};
use crate::load::times::Times;
use crate::words::{many, text};
use crate::{Result, fail};

/// How much is said at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// [`text`], which no server compresses.
    Few,
    /// [`many`], which is worth it.
    Many,
}

pub(super) struct Talk {
    room: String,
    words: Words,
    /// What was said in many words, as members heard it.
    known: Known,
    /// The client that speaks.
    speaker: usize,
    /// Events that each member has heard.
    heard: Vec<u64>,
    sent: u64,
    /// Events that all have heard.
    said: u64,
    /// For each event under way when it was sent, and how many still miss it.
    under_way: VecDeque<(Instant, usize)>,
}

impl Talk {
    pub(super) fn new(room: String, speaker: usize, members: usize) -> Self {
        Self {
            room,
            words: Words::Few,
            known: Known::default(),
            speaker,
            heard: vec![0; members],
            sent: 0,
            said: 0,
            under_way: VecDeque::new(),
        }
    }

    pub(super) fn in_words(self, words: Words) -> Self {
        Self { words, ..self }
    }

    pub(super) fn say(&mut self, clients: &mut Clients) {
        let number = two_digits(self.sent);
        self.sent += 1;
        self.under_way.push_back((Instant::now(), self.heard.len()));
        let event = format!(r#"2["say","{}","{}"]"#, self.room, self.words.text(number));
        clients.send(self.speaker, event.as_bytes());
    }

    /// A member heard something; tells how many events all have heard now that they had not.
    pub(super) fn hear(
        &mut self,
        member: usize,
        packet: Packet<'_>,
        times: &mut Times,
    ) -> Result<usize> {
        let count = self.heard[member];
        let wanted = two_digits(count);
        let number = match (self.words, packet) {
            (Words::Few, packet) => said(packet),
            (Words::Many, Packet::Deflated(bytes)) => self.known.number(wanted, bytes, inflated),
            (Words::Many, _) => None,
        };
        if number != Some(wanted) {
            let room = &self.room;
            return fail(format!(
                "member {member} of {room} waits for event {wanted} and got {packet:?}"
            ));
        }
        self.heard[member] += 1;
        let at = usize::try_from(count - self.said)?;
        let (sent, missing) = self.under_way.get_mut(at).ok_or("an event too much")?;
        *missing -= 1;
        times.add(sent.elapsed());
        let mut done = 0;
        while self.under_way.front().is_some_and(|(_, missing)| *missing == 0) {
            self.under_way.pop_front();
            self.said += 1;
            done += 1;
        }
        Ok(done)
    }

    /// Events that members still have to hear, all members together.
    pub(super) fn missing(&self) -> u64 {
        self.under_way.iter().map(|(_, missing)| *missing as u64).sum()
    }
}

impl Words {
    fn text(self, number: u64) -> String {
        match self {
            Self::Few => text(number),
            Self::Many => many(number),
        }
    }
}

/// The number of an event that was said in many words.
fn inflated(message: &[u8]) -> Option<u64> {
    let event = inflate(message)?;
    let text = event.strip_prefix(br#"42["said",""#)?.strip_suffix(br#""]"#)?;
    let number = std::str::from_utf8(text.last_chunk::<2>()?).ok()?.parse().ok()?;
    (text == many(number).as_bytes()).then_some(number)
}

/// The number of an event that was said in a room.
pub(super) fn said(packet: Packet<'_>) -> Option<u64> {
    let Packet::Text(event) = packet else {
        return None;
    };
    // All texts are the same but for their number, which is their end.
    let number = event
        .strip_prefix(br#"2["said","a message of forty-four characters, number "#)?
        .strip_suffix(br#""]"#)?;
    std::str::from_utf8(number).ok()?.parse().ok()
}
