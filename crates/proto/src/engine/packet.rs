//! Engine.IO packets and their text form: one digit for the type, then the data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use std::fmt;

use super::handshake::Revision;
use super::v3;
use crate::error::Violation;
use crate::hidden::Hidden;

/// Begins a message.
pub(super) const MESSAGE: u8 = b'4';

/// What a message carries.
#[derive(Clone, PartialEq, Eq)]
pub enum Data {
    /// UTF-8; whoever received it has checked it.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl fmt::Debug for Data {
    /// Only how much it is: a client's auth payload and its recovery id come and go in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(&Hidden::new(text)).finish(),
            Self::Binary(bytes) => f.debug_tuple("Binary").field(&Hidden::new(bytes)).finish(),
        }
    }
}

impl Data {
    /// Its bytes, whatever they are.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes,
        }
    }

    /// The same with other bytes.
    pub(crate) fn map(self, change: impl FnOnce(Bytes) -> Bytes) -> Self {
        match self {
            Self::Text(text) => Self::Text(change(text)),
            Self::Binary(bytes) => Self::Binary(change(bytes)),
        }
    }
}

/// One packet.
#[derive(Clone, PartialEq, Eq)]
pub enum Packet {
    /// `0`: the handshake, from the server, as JSON.
    Open(Bytes),
    /// `1`: the session ends.
    Close,
    /// `2`: to be answered by a pong.
    Ping(Bytes),
    /// `3`: the answer to a ping.
    Pong(Bytes),
    /// `4`, or bytes on their own.
    Message(Data),
    /// `5`: the probed transport takes over.
    Upgrade,
    /// `6`: nothing, only ends a waiting poll.
    Noop,
}

impl fmt::Debug for Packet {
    /// Without the id in the handshake, and of messages only how long they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(json) => f.debug_tuple("Open").field(&Hidden::new(json)).finish(),
            Self::Close => f.write_str("Close"),
            Self::Ping(bytes) => f.debug_tuple("Ping").field(bytes).finish(),
            Self::Pong(bytes) => f.debug_tuple("Pong").field(bytes).finish(),
            Self::Message(data) => f.debug_tuple("Message").field(data).finish(),
            Self::Upgrade => f.write_str("Upgrade"),
            Self::Noop => f.write_str("Noop"),
        }
    }
}

impl Packet {
    /// Reads a packet from a text, which must be UTF-8. `b` begins bytes in base64.
    pub fn decode(text: &Bytes) -> Result<Self, Violation> {
        Self::take(text.clone())
    }

    /// Reads a packet from a text that it may keep: without a second reference to it.
    // As a call it would be given back in memory and moved once more.
    #[inline(always)]
    pub(crate) fn take(mut data: Bytes) -> Result<Self, Violation> {
        let digit = data.first().copied().ok_or(Violation::EnginePacket)?;
        data.advance(1);
        Ok(match digit {
            b'0' => Self::Open(data),
            b'1' => Self::Close,
            b'2' => Self::Ping(data),
            b'3' => Self::Pong(data),
            MESSAGE => Self::Message(Data::Text(data)),
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            b'b' => Self::Message(Data::Binary(base64_decode(&data)?)),
            _ => return Err(Violation::EnginePacket),
        })
    }

    /// Reads a message of a WebSocket, on which that revision is spoken.
    pub(crate) fn of_frame(revision: Revision, data: Data) -> Result<Self, Violation> {
        match (revision, data) {
            (Revision::V4, Data::Text(text)) => Self::take(text),
            (Revision::V4, data @ Data::Binary(_)) => Ok(Self::Message(data)),
            (Revision::V3, data) => v3::decode(data),
        }
    }

    /// Appends the text form, with bytes in base64.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (digit, data): (u8, &[u8]) = match self {
            Self::Open(json) => (b'0', json),
            Self::Close => (b'1', b""),
            Self::Ping(data) => (b'2', data),
            Self::Pong(data) => (b'3', data),
            Self::Message(Data::Text(text)) => (MESSAGE, text),
            Self::Message(Data::Binary(bytes)) => return base64_encode(bytes, out),
            Self::Upgrade => (b'5', b""),
            Self::Noop => (b'6', b""),
        };
        out.push(digit);
        out.extend_from_slice(data);
    }
}

/// Appends `b` and the base64 form of `bytes`.
pub(crate) fn base64_encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'b');
    push_base64(bytes, out);
}

/// Appends the base64 form of `bytes`.
pub(crate) fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The slice has exactly the room that padded base64 takes.
    let _ = STANDARD.encode_slice(bytes, &mut out[start..]);
}

pub(super) fn base64_decode(text: &[u8]) -> Result<Bytes, Violation> {
    STANDARD.decode(text).map(Bytes::from).map_err(|_| Violation::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_reads_back() {
        let text = |t: &'static str| Bytes::from_static(t.as_bytes());
        let packets = [
            (Packet::Open(text("{}")), "0{}"),
            (Packet::Close, "1"),
            (Packet::Ping(text("probe")), "2probe"),
            (Packet::Pong(text("")), "3"),
            (Packet::Message(Data::Text(text("é"))), "4é"),
            (Packet::Message(Data::Binary(text("\u{1}\u{2}"))), "bAQI="),
            (Packet::Upgrade, "5"),
            (Packet::Noop, "6"),
        ];
        for (packet, wire) in packets {
            let mut out = Vec::new();
            packet.encode(&mut out);
            assert_eq!(out, wire.as_bytes());
            assert_eq!(Packet::decode(&text(wire)), Ok(packet));
        }
    }

    #[test]
    fn what_is_no_packet_is_named() {
        let check = |text: &'static [u8], violation| {
            assert_eq!(Packet::decode(&Bytes::from_static(text)), Err(violation), "{text:?}");
        };
        check(b"", Violation::EnginePacket);
        check(b"7", Violation::EnginePacket);
        check(b"\xc3\xa9", Violation::EnginePacket);
        check(b"b?", Violation::Base64);
        check(b"bAQI", Violation::Base64);
    }
}
