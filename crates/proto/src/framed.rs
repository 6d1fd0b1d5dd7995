//! Packets on one stream of bytes, each behind its length: how Engine.IO goes over WebTransport.
//!
//! The first byte of a header has the length in its lower bits, or 126 or 127 where a length of two or eight bytes
//! follows, in network order. Its highest bit is set for bytes, and not for text.
//!
//! Specification: Engine.IO 4, WebTransport.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::engine::packet::Data;
use crate::text::is_text;

/// The bit that says that a payload is bytes.
const BINARY: u8 = 0x80;
/// The header of the longest payload.
const HEADER_BYTES_MAX: usize = 9;

/// Appends a payload behind its header.
pub fn write(out: &mut Vec<u8>, is_binary: bool, payload: &[u8]) {
    let flag = if is_binary { BINARY } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => out.push(flag | len),
        (_, Ok(len)) => {
            out.push(flag | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(flag | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Takes packets out of what is read. It holds no more than one that is not whole yet.
#[derive(Debug)]
pub struct Decoder {
    payload_bytes_max: usize,
    partial: BytesMut,
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramedError {
    /// A packet without a byte.
    Empty,
    /// A packet that is larger than one may be.
    TooBig,
    /// A text that is not UTF-8.
    NotText,
}

impl Decoder {
    /// One for packets of at most so many bytes.
    pub fn new(payload_bytes_max: usize) -> Self {
        let payload_bytes_max = payload_bytes_max.min(usize::MAX - HEADER_BYTES_MAX);
        Self { payload_bytes_max, partial: BytesMut::new() }
    }

    /// Whether a packet has begun to arrive and is not whole yet.
    pub fn is_within_packet(&self) -> bool {
        !self.partial.is_empty()
    }

    /// The next packet, with what is taken of the input; `None` when it is not whole yet.
    ///
    /// # Errors
    ///
    /// When what comes is no packet that may come. Nothing behind it can be read.
    pub fn receive(&mut self, input: &mut &[u8]) -> Result<Option<Data>, FramedError> {
        loop {
            let Some((header_len, is_binary, len)) = header(&self.partial) else {
                // No more than a header may need, so that what is behind it stays in the input.
                let Some((&byte, rest)) = input.split_first() else {
                    return Ok(None);
                };
                debug_assert!(self.partial.len() < HEADER_BYTES_MAX);
                self.partial.extend_from_slice(&[byte]);
                *input = rest;
                continue;
            };
            if len == 0 {
                return Err(FramedError::Empty);
            }
            let len = usize::try_from(len).ok().filter(|len| *len <= self.payload_bytes_max);
            let len = len.ok_or(FramedError::TooBig)?;
            let missing = header_len + len - self.partial.len();
            let (part, rest) = input.split_at(missing.min(input.len()));
            self.partial.extend_from_slice(part);
            *input = rest;
            if part.len() < missing {
                return Ok(None);
            }
            let mut packet = std::mem::take(&mut self.partial);
            packet.advance(header_len);
            return data(packet.freeze(), is_binary).map(Some);
        }
    }
}

/// The length of a header, whether bytes are behind it, and how many; `None` when it is not whole.
fn header(bytes: &[u8]) -> Option<(usize, bool, u64)> {
    let (&first, rest) = bytes.split_first()?;
    let is_binary = first & BINARY != 0;
    match first & !BINARY {
        126 => rest.first_chunk().map(|len| (3, is_binary, u64::from(u16::from_be_bytes(*len)))),
        127 => rest.first_chunk().map(|len| (9, is_binary, u64::from_be_bytes(*len))),
        len => Some((1, is_binary, u64::from(len))),
    }
}

fn data(payload: Bytes, is_binary: bool) -> Result<Data, FramedError> {
    if is_binary {
        return Ok(Data::Binary(payload));
    }
    is_text(&payload).then_some(Data::Text(payload)).ok_or(FramedError::NotText)
}

impl FramedError {
    /// A short text for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "a packet without a byte",
            Self::TooBig => "a packet that is too large",
            Self::NotText => "a text that is not UTF-8",
        }
    }
}

impl fmt::Display for FramedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for FramedError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8], bytes_max: usize) -> Result<Vec<Data>, FramedError> {
        let mut decoder = Decoder::new(bytes_max);
        let mut all = Vec::new();
        while let Some(data) = decoder.receive(&mut bytes)? {
            all.push(data);
        }
        assert!(bytes.is_empty());
        Ok(all)
    }

    #[test]
    fn a_packet_of_any_length_is_read_as_it_was_written_however_it_is_cut() {
        for len in [1, 2, 125, 126, 127, 65_535, 65_536] {
            let payload = vec![b'x'; len];
            let mut out = Vec::new();
            write(&mut out, false, &payload);
            write(&mut out, true, &payload);
            let payload = Bytes::from(payload);
            let expected = [Data::Text(payload.clone()), Data::Binary(payload)];
            assert_eq!(read(&out, 65_536).unwrap(), expected);
            let mut decoder = Decoder::new(65_536);
            let mut all = Vec::new();
            for byte in out.iter().take(2_000).map(std::slice::from_ref) {
                all.extend(decoder.receive(&mut { byte }).unwrap());
            }
            assert_eq!(all, expected[..all.len()]);
            assert_eq!(decoder.is_within_packet(), out.len() > 2_000);
        }
    }

    #[test]
    fn the_header_is_that_of_the_specification() {
        let mut out = Vec::new();
        write(&mut out, false, b"4hello");
        write(&mut out, true, &[1; 126]);
        assert_eq!((&out[..7], &out[7..10]), (&b"\x064hello"[..], &[0xfe, 0, 126][..]));
    }

    #[test]
    fn what_is_no_packet_is_told_before_it_is_kept() {
        assert_eq!(read(&[0], 10), Err(FramedError::Empty));
        assert_eq!(read(&[0x80], 10), Err(FramedError::Empty));
        assert_eq!(read(&[11], 10), Err(FramedError::TooBig));
        assert_eq!(read(&[0xff; 9], 10), Err(FramedError::TooBig));
        assert_eq!(read(&[1, 0xff], 10), Err(FramedError::NotText));
        assert_eq!(read(&[0x81, 0xff], 10), Ok(vec![Data::Binary(Bytes::from_static(&[0xff]))]));
        assert_eq!(read(&[127, 0, 0], 10), Ok(Vec::new()));
    }
}
