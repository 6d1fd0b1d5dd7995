//! Polling bodies: packets joined by the record separator; in Engine.IO 3 each behind its length.

use bytes::Bytes;
use std::fmt;

use super::handshake::Revision;
use super::packet::Packet;
use super::v3;
use crate::error::Violation;
use crate::hidden::Hidden;
use crate::text::is_text;

/// What stands between two packets of a body.
pub const SEPARATOR: u8 = 0x1e;

/// A body that was received; an iterator over its packets, so that a large body can be worked off
/// in portions. It ends after the first error.
#[derive(Clone)]
pub struct Payload {
    /// What is left; `None` when all packets were given.
    rest: Option<Bytes>,
    form: Form,
    /// Packets that may still come.
    budget: u32,
    /// Bytes of the whole body.
    len: usize,
}

impl fmt::Debug for Payload {
    /// Of what is left, only how much it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("rest", &self.rest.as_ref().map(Hidden::new))
            .field("form", &self.form)
            .field("budget", &self.budget)
            .field("len", &self.len)
            .finish()
    }
}

/// How a body holds its packets.
#[derive(Clone, Copy, Debug)]
enum Form {
    Separated,
    V3(v3::Form),
}

impl Payload {
    /// Checks that the body is UTF-8. It may hold up to `packets_max` packets.
    pub fn new(body: Bytes, packets_max: u32) -> Result<Self, Violation> {
        if !is_text(&body) {
            return Err(Violation::Utf8);
        }
        Ok(Self::begin(body, Form::Separated, packets_max))
    }

    /// A body of Engine.IO 3. It may hold up to `packets_max` packets.
    pub fn v3(body: Bytes, packets_max: u32) -> Result<Self, Violation> {
        let form = v3::Form::of(&body)?;
        Ok(Self::begin(body, Form::V3(form), packets_max))
    }

    /// A body of that revision. It may hold up to `packets_max` packets.
    pub fn of(revision: Revision, body: Bytes, packets_max: u32) -> Result<Self, Violation> {
        match revision {
            Revision::V4 => Self::new(body, packets_max),
            Revision::V3 => Self::v3(body, packets_max),
        }
    }

    const fn begin(body: Bytes, form: Form, packets_max: u32) -> Self {
        Self { len: body.len(), rest: Some(body), form, budget: packets_max }
    }

    /// Whether all packets were given.
    pub const fn is_done(&self) -> bool {
        self.rest.is_none()
    }

    fn take(&mut self) -> Option<Result<Packet, Violation>> {
        let mut rest = self.rest.take()?;
        self.budget = match self.budget.checked_sub(1) {
            Some(left) => left,
            None => return Some(Err(Violation::PayloadPackets)),
        };
        if let Form::V3(form) = self.form {
            return Some(self.take_v3(rest, form));
        }
        let end = memchr::memchr(SEPARATOR, &rest);
        let packet = match end {
            Some(end) => {
                let packet = rest.split_to(end);
                self.rest = Some(rest.slice(1..));
                packet
            }
            None => rest,
        };
        Some(Packet::take(self.detach(packet)))
    }

    fn take_v3(&mut self, mut rest: Bytes, form: v3::Form) -> Result<Packet, Violation> {
        let data = v3::split(&mut rest, form)?;
        self.rest = Some(rest).filter(|rest| !rest.is_empty());
        v3::decode(data.map(|bytes| self.detach(bytes)))
    }

    /// A part of the body would keep all of it alive, for as long as an event waits somewhere.
    fn detach(&self, part: Bytes) -> Bytes {
        if part.len() < self.len / 2 { Bytes::copy_from_slice(&part) } else { part }
    }
}

impl Iterator for Payload {
    type Item = Result<Packet, Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        let packet = self.take();
        if let Some(Err(_)) = packet {
            self.rest = None;
        }
        packet
    }
}

/// Appends `packet` to a body that is being written.
pub fn push(body: &mut Vec<u8>, packet: &Packet) {
    if !body.is_empty() {
        body.push(SEPARATOR);
    }
    packet.encode(body);
}

#[cfg(test)]
mod tests {
    use super::super::packet::Data;
    use super::*;

    fn packets(body: &'static [u8], max: u32) -> Vec<Result<Packet, Violation>> {
        match Payload::new(Bytes::from_static(body), max) {
            Ok(payload) => payload.collect(),
            Err(violation) => vec![Err(violation)],
        }
    }

    #[test]
    fn a_body_splits_at_separators() {
        let text =
            |t: &'static str| Ok(Packet::Message(Data::Text(Bytes::from_static(t.as_bytes()))));
        assert_eq!(packets("4a\u{1e}4€\u{1e}4".as_bytes(), 9), [text("a"), text("€"), text("")]);
    }

    #[test]
    fn separators_alone_are_empty_packets_and_end_the_body() {
        for body in [&b""[..], b"\x1e", b"\x1e\x1e\x1e4a"] {
            assert_eq!(packets(body, 9), [Err(Violation::EnginePacket)], "{body:?}");
        }
        assert_eq!(packets(b"6\x1e", 9), [Ok(Packet::Noop), Err(Violation::EnginePacket)]);
    }

    #[test]
    fn a_body_of_too_many_packets_is_refused_where_the_limit_is() {
        let found = packets(b"6\x1e6\x1e6", 2);
        assert_eq!(found, [Ok(Packet::Noop), Ok(Packet::Noop), Err(Violation::PayloadPackets)]);
    }

    #[test]
    fn a_body_must_be_utf8() {
        assert_eq!(packets(b"4\xff", 9), [Err(Violation::Utf8)]);
    }
}
