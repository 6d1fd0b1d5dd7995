//! [`Inflater`]: gives back what was compressed, but never more than it was told to.

use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use super::deflater::MESSAGE_TAIL;
use super::offer::SMALL_WINDOW_BYTES;

/// A decompressor for WebSocket messages. It has about 50 KB beside what came out of it last, so
/// there is one for a thread.
pub struct Inflater {
    stream: Decompress,
    out: Vec<u8>,
}

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// It is not DEFLATE, or it ends in the middle.
    Garbage,
    /// It has more bytes than it may have.
    TooBig,
}

/// How far a part of a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// All of it is used up.
    End,
    /// A block said that it is the last.
    LastBlock,
}

/// Behind each message: what its sender left out, and an empty last block. That one is understood
/// only where a block may begin, so a message that was cut does not look like a whole one.
const TAIL: [u8; 6] = [MESSAGE_TAIL[0], MESSAGE_TAIL[1], MESSAGE_TAIL[2], MESSAGE_TAIL[3], 3, 0];
/// Room that is made first; further room doubles it.
const ROOM_BYTES_MIN: usize = 4 * 1024;
/// More than this is not kept for the next message.
const KEPT_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static INFLATER: Cell<Option<Box<Inflater>>> = const { Cell::new(None) };
}

/// The last [`SMALL_WINDOW_BYTES`] that a peer has sent, which it remembers.
struct Window {
    bytes: [u8; SMALL_WINDOW_BYTES],
    len: usize,
}

impl Window {
    fn of(before: &[u8]) -> Self {
        let mut window = Self { bytes: [0; SMALL_WINDOW_BYTES], len: 0 };
        window.push(before);
        window
    }

    /// The peer has sent more.
    fn push(&mut self, sent: &[u8]) {
        if sent.is_empty() {
            // A block that was the last may be empty, and there may be many of them.
            return;
        }
        let sent = &sent[sent.len().saturating_sub(SMALL_WINDOW_BYTES)..];
        let kept = self.len.min(SMALL_WINDOW_BYTES - sent.len());
        self.bytes.copy_within(self.len - kept..self.len, 0);
        self.len = kept + sent.len();
        self.bytes[kept..self.len].copy_from_slice(sent);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Makes of what a peer remembers what it does when it has sent that, too.
pub(crate) fn remember(before: &mut Vec<u8>, sent: &[u8]) {
    let sent = &sent[sent.len().saturating_sub(SMALL_WINDOW_BYTES)..];
    let room = SMALL_WINDOW_BYTES - sent.len();
    before.drain(..before.len().saturating_sub(room));
    before.reserve_exact(sent.len());
    before.extend_from_slice(sent);
}

/// Inflates a message of at most `bytes_max`, on the thread's decompressor. `before` is the end of what the
/// peer has sent before this one, where it remembers that.
pub(crate) fn inflate(
    message: &[u8],
    before: Option<&[u8]>,
    bytes_max: usize,
) -> Result<Bytes, InflateError> {
    // There is none the first time.
    let kept = INFLATER.try_with(Cell::take).ok().flatten();
    let mut inflater = kept.unwrap_or_default();
    let result = inflater.inflate_behind(message, before, bytes_max).map(Bytes::copy_from_slice);
    if inflater.out.capacity() > KEPT_BYTES_MAX {
        inflater.out = Vec::new();
    }
    // Fails only while the thread ends, and then nobody needs it.
    let _ = INFLATER.try_with(|kept| kept.set(Some(inflater)));
    result
}

impl Inflater {
    /// A decompressor.
    pub fn new() -> Self {
        Self { stream: Decompress::new(false), out: Vec::new() }
    }

    /// Inflates a whole message (RFC 7692 section 7.2.2) that may then have up to `bytes_max` bytes.
    /// A block may say that it is the last; another may follow at the next byte. An empty payload is
    /// an empty message.
    ///
    /// The time that it takes is bounded by the bytes of the message and `bytes_max`.
    pub fn inflate(&mut self, message: &[u8], bytes_max: usize) -> Result<&[u8], InflateError> {
        self.inflate_behind(message, None, bytes_max)
    }

    /// The same where the peer may refer to the last [`SMALL_WINDOW_BYTES`] that it has sent before, which
    /// `before` has.
    pub fn inflate_behind(
        &mut self,
        message: &[u8],
        before: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<&[u8], InflateError> {
        self.out.clear();
        self.begin(before.unwrap_or_default())?;
        // What the peer remembers since the last block that was the last, and how much had come out then.
        let mut window = None;
        let mut windowed = 0;
        let mut rest = message;
        while !rest.is_empty() {
            if self.run(&mut rest, bytes_max)? == Reached::End {
                self.end(bytes_max)?;
                break;
            }
            // What follows begins anew; and if nothing does, the message is whole. Whoever remembers
            // may still refer to what came before.
            match before {
                None => self.stream.reset(false),
                Some(before) => {
                    let window = window.get_or_insert_with(|| Window::of(before));
                    window.push(&self.out[windowed..]);
                    windowed = self.out.len();
                    self.begin(window.bytes())?;
                }
            }
        }
        Ok(&self.out)
    }

    fn begin(&mut self, before: &[u8]) -> Result<(), InflateError> {
        self.stream.reset(false);
        if before.is_empty() {
            return Ok(());
        }
        self.stream.set_dictionary(before).map(drop).map_err(|_| InflateError::Garbage)
    }

    /// Checks that the message ends where a block ends.
    fn end(&mut self, bytes_max: usize) -> Result<(), InflateError> {
        let (len, mut tail) = (self.out.len(), &TAIL[..]);
        let reached = self.run(&mut tail, bytes_max)?;
        if reached == Reached::LastBlock && tail.is_empty() && self.out.len() == len {
            Ok(())
        } else {
            Err(InflateError::Garbage)
        }
    }

    /// Inflates until the input is used up or a last block ends.
    fn run(&mut self, rest: &mut &[u8], bytes_max: usize) -> Result<Reached, InflateError> {
        loop {
            self.make_room(bytes_max);
            let before = (self.stream.total_in(), self.out.len());
            let status = self
                .stream
                .decompress_vec(rest, &mut self.out, FlushDecompress::None)
                .map_err(|_| InflateError::Garbage)?;
            let taken = usize::try_from(self.stream.total_in() - before.0);
            *rest = taken.ok().and_then(|taken| rest.get(taken..)).ok_or(InflateError::Garbage)?;
            if self.out.len() > bytes_max {
                return Err(InflateError::TooBig);
            }
            if status == Status::StreamEnd {
                return Ok(Reached::LastBlock);
            }
            // Where there is room left, everything has come out.
            let has_room = self.out.len() < self.out.capacity();
            if rest.is_empty() && has_room {
                return Ok(Reached::End);
            }
            if before == (self.stream.total_in(), self.out.len()) && has_room {
                return Err(InflateError::Garbage);
            }
        }
    }

    /// Makes room by doubling it, but only for one byte more than there may be.
    fn make_room(&mut self, bytes_max: usize) {
        if self.out.len() == self.out.capacity() {
            let doubled = (self.out.len() * 2).max(ROOM_BYTES_MIN);
            let room = doubled.min(bytes_max.saturating_add(1)).max(self.out.len() + 1);
            self.out.reserve_exact(room - self.out.len());
        }
    }

    /// Bytes that are held for messages.
    pub fn held_bytes(&self) -> usize {
        self.out.capacity()
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("held", &self.held_bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::{Deflater, End};

    const HELLO: &[u8] = b"Hello";

    fn inflate(message: &[u8], bytes_max: usize) -> Result<Vec<u8>, InflateError> {
        let mut inflater = Inflater::new();
        let inflated = inflater.inflate(message, bytes_max).map(<[u8]>::to_vec);
        // The next message sees nothing of this one.
        assert_eq!(inflater.inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5), Ok(HELLO));
        inflated
    }

    fn deflated(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Deflater::new(9).deflate(message, End::Message, &mut out).unwrap();
        out
    }

    /// Section 7.2.3.
    #[test]
    fn the_examples_of_the_specification_are_understood() {
        let check = |message: &[u8]| assert_eq!(inflate(message, 100).as_deref(), Ok(HELLO));
        check(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
        // A block without compression.
        check(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]);
        // A block that says that it is the last.
        check(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]);
        // Two blocks.
        check(&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]);
        // An empty message.
        assert_eq!(inflate(&[0x00], 0).as_deref(), Ok(&[][..]));
        // The second message of a context that is taken over refers to the first.
        assert_eq!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 100), Err(InflateError::Garbage));
    }

    #[test]
    fn last_blocks_may_stand_anywhere() {
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflate(&last, 100).as_deref(), Ok(HELLO), "and be the end");
        let twice = [&last[..], &last].concat();
        assert_eq!(inflate(&twice, 100).as_deref(), Ok(&b"HelloHello"[..]));
        assert_eq!(inflate(&twice, 9), Err(InflateError::TooBig), "all count together");
        assert_eq!(inflate(&[3, 0].repeat(10_000), 0).as_deref(), Ok(&[][..]));
    }

    /// Blocks of one stream, the window of which goes on behind each that says that it is the last.
    #[test]
    fn what_is_remembered_goes_on_behind_last_blocks() {
        // "Hello" as a last block, empty ones behind it, and an "H" with what then came 5 bytes before.
        let (hello, again) = ([0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], [0xf3, 0x00, 0x11, 0x00]);
        for empty in [0, 1, 100] {
            let message = [&hello[..], &[3, 0].repeat(empty), &again].concat();
            let mut inflater = Inflater::new();
            let inflated = inflater.inflate_behind(&message, Some(b"before"), 100);
            assert_eq!(inflated, Ok(&b"HelloHello"[..]), "{empty}");
        }
        let parts: Vec<Vec<u8>> = [0, 1, 5, 300, 511, 512, 513, 2_000, 0, 7]
            .map(|len: u32| (0..len).map(|i| (i % 251 + len) as u8).collect())
            .into();
        let (mut all, mut window, mut kept) = (Vec::new(), Window::of(&[]), Vec::new());
        for part in parts {
            all.extend_from_slice(&part);
            window.push(&part);
            remember(&mut kept, &part);
            let end = &all[all.len().saturating_sub(SMALL_WINDOW_BYTES)..];
            assert_eq!(window.bytes(), end);
            assert_eq!(kept, end);
            assert!(kept.capacity() <= SMALL_WINDOW_BYTES, "{}", kept.capacity());
        }
    }

    #[test]
    fn a_message_without_payload_is_empty() {
        assert_eq!(inflate(&[], 0).as_deref(), Ok(&[][..]));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        // What a gigabyte of zeros becomes: a megabyte.
        let mega = deflated(&vec![0; 1 << 20]);
        let bomb = [mega.as_slice(), &MESSAGE_TAIL].concat().repeat(1024);
        assert!(bomb.len() > 1_000_000 && bomb.len() < 1_200_000, "{}", bomb.len());
        let mut inflater = Inflater::new();
        assert_eq!(inflater.inflate(&bomb, 1_000_000), Err(InflateError::TooBig));
        assert!(inflater.held_bytes() <= 1_000_001, "{}", inflater.held_bytes());
        assert!(inflater.stream.total_out() <= 1_000_001, "{}", inflater.stream.total_out());
    }

    #[test]
    fn the_limit_is_exact() {
        for len in [0, 1, 5, 4_095, 4_096, 4_097, 100_000] {
            let plain: Vec<u8> = (0..len).map(|i: u32| (u64::from(i).pow(2) % 251) as u8).collect();
            let message = deflated(&plain);
            assert_eq!(inflate(&message, plain.len()).as_deref(), Ok(&plain[..]));
            if let Some(less) = plain.len().checked_sub(1) {
                assert_eq!(inflate(&message, less), Err(InflateError::TooBig));
            }
        }
    }

    #[test]
    fn a_message_that_was_cut_is_refused() {
        let plain: Vec<u8> = (0..3_000_u32).map(|i| (u64::from(i).pow(2) % 251) as u8).collect();
        let message = deflated(&plain);
        for len in 1..message.len() {
            assert_eq!(inflate(&message[..len], 10_000), Err(InflateError::Garbage), "{len}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        for garbage in [&[0xff; 40][..], b"no deflate at all", &[0x06], &[0x00, 0x05, 0x00, 0x05]] {
            assert_eq!(inflate(garbage, 10_000), Err(InflateError::Garbage), "{garbage:x?}");
        }
    }

    #[test]
    fn empty_blocks_without_end_end() {
        let stored = [0, 0, 0, 0xff, 0xff].repeat(200_000);
        assert_eq!(inflate(&[&stored[..], &[0]].concat(), 0).as_deref(), Ok(&[][..]));
    }

    #[test]
    fn what_a_thread_keeps_is_bounded() {
        let big = deflated(&vec![7; 10 * KEPT_BYTES_MAX]);
        assert_eq!(
            super::inflate(&big, None, usize::MAX).map(|b| b.len()),
            Ok(10 * KEPT_BYTES_MAX)
        );
        let kept = INFLATER.take().unwrap();
        assert_eq!(kept.held_bytes(), 0);
    }
}
