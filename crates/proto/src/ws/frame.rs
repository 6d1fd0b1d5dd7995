//! Frames: their header, and how one is written. RFC 6455 section 5.2.

/// The longest header: two bytes, eight of length, four of mask.
pub const HEADER_BYTES_MAX: usize = 14;
/// The longest payload of a control frame (section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// A text message, or the first part of one.
    Text,
    /// A binary message, or the first part of one.
    Binary,
    /// The closing handshake.
    Close,
    /// To be answered by a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    pub(crate) const fn new(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    pub(crate) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// An encoded header.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

impl Header {
    /// The header of a whole, unfragmented frame of `len` payload bytes; with `mask`, as a client
    /// must send it.
    pub fn new(opcode: Opcode, len: usize, mask: Option<[u8; 4]>) -> Self {
        let mut header = Self { bytes: [0; HEADER_BYTES_MAX], len: 0 };
        if let (0..=125, None) = (len, mask) {
            // Most of what a server sends.
            header.bytes[..2].copy_from_slice(&[0x80 | opcode.bits(), len as u8]);
            header.len = 2;
            return header;
        }
        header.push(&[0x80 | opcode.bits()]);
        let masked = if mask.is_some() { 0x80 } else { 0 };
        match len {
            0..=125 => header.push(&[masked | len as u8]),
            126..=0xffff => {
                header.push(&[masked | 126]);
                header.push(&(len as u16).to_be_bytes());
            }
            _ => {
                header.push(&[masked | 127]);
                header.push(&(len as u64).to_be_bytes());
            }
        }
        if let Some(key) = mask {
            header.push(&key);
        }
        header
    }

    /// The same for a message that is compressed (RFC 7692 section 6).
    pub fn compressed(mut self) -> Self {
        self.bytes[0] |= 0x40;
        self
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// Appends a whole frame to `wire`.
pub fn write(wire: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    wire.extend_from_slice(Header::new(opcode, payload.len(), mask).as_bytes());
    let start = wire.len();
    wire.extend_from_slice(payload);
    if let Some(key) = mask {
        super::mask::apply(key, 0, &mut wire[start..]);
    }
}

/// Appends a whole frame in the form that a client sends, its payload in two parts.
pub(crate) fn write_masked(
    wire: &mut Vec<u8>,
    header: &Header,
    key: [u8; 4],
    prefix: &[u8],
    payload: &[u8],
) {
    wire.reserve(header.as_bytes().len() + prefix.len() + payload.len());
    wire.extend_from_slice(header.as_bytes());
    let start = wire.len();
    wire.extend_from_slice(prefix);
    wire.extend_from_slice(payload);
    super::mask::apply(key, 0, &mut wire[start..]);
}

/// Bytes of an unmasked frame with that much payload.
pub(crate) const fn whole_len(payload_len: usize) -> usize {
    let header = match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    header + payload_len
}

/// The unmasked frames of `wire`, which must have been written by [`write()`] or [`Header`]: each
/// as its opcode and payload. Ends at the first byte that is not the start of a whole frame.
pub fn split(wire: &[u8]) -> impl Iterator<Item = (Opcode, &[u8])> + Clone {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&[first, second], tail) = rest.split_first_chunk::<2>()?;
        let (len, tail) = match second {
            127 => {
                let (len, tail) = tail.split_first_chunk::<8>()?;
                (usize::try_from(u64::from_be_bytes(*len)).ok()?, tail)
            }
            126 => {
                let (len, tail) = tail.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*len)), tail)
            }
            len => (usize::from(len), tail),
        };
        let (payload, after) = tail.split_at_checked(len)?;
        rest = after;
        Some((Opcode::new(first & 0x0f)?, payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_their_shortest_form() {
        for (len, header_len) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            assert_eq!(Header::new(Opcode::Text, len, None).as_bytes().len(), header_len, "{len}");
        }
    }

    #[test]
    fn what_is_written_splits_again() {
        let mut wire = Vec::new();
        let long = vec![7; 70_000];
        write(&mut wire, Opcode::Text, b"one", None);
        write(&mut wire, Opcode::Binary, &long, None);
        write(&mut wire, Opcode::Binary, b"", None);
        let frames: Vec<_> = split(&wire).collect();
        assert_eq!(
            frames,
            [(Opcode::Text, &b"one"[..]), (Opcode::Binary, &long[..]), (Opcode::Binary, &b""[..]),]
        );
    }
}
