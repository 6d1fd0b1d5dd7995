//! [`Deflater`]: makes bytes smaller.

use std::cell::Cell;
use std::fmt;

use flate2::{Compress, Compression, FlushCompress, Status};

/// How what is compressed ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As a WebSocket message does: with an empty block, the last four bytes of which are left out
    /// (RFC 7692 section 7.2.1).
    Message,
    /// As a stream of DEFLATE does (RFC 1951).
    Stream,
}

/// What the compressor could not do; there is no such input.
#[derive(Debug)]
pub struct DeflateError;

/// A compressor. It has about 380 KB, so there is one for a thread.
pub struct Deflater {
    stream: Compress,
    level: u8,
}

/// The end of the empty block behind each message.
pub(super) const MESSAGE_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Room that is made first; further room doubles it.
const ROOM_BYTES_MIN: usize = 256;

thread_local! {
    static DEFLATER: Cell<Option<Box<Deflater>>> = const { Cell::new(None) };
}

impl Deflater {
    /// A compressor of a level from 1, the fastest, to 9. Levels outside are the nearest of these.
    pub fn new(level: u8) -> Self {
        let level = level.clamp(1, 9);
        Self { stream: Compress::new(Compression::new(level.into()), false), level }
    }

    /// Lends the thread's compressor.
    pub(super) fn with<R>(level: u8, work: impl FnOnce(&mut Self) -> R) -> R {
        let level = level.clamp(1, 9);
        // There is none the first time. One server uses up to two levels, and a change is cheap.
        let kept = DEFLATER.try_with(Cell::take).ok().flatten();
        let mut deflater = kept.unwrap_or_else(|| Box::new(Self::new(level)));
        if deflater.level != level {
            deflater.stream.reset();
            if deflater.stream.set_level(Compression::new(level.into())).is_err() {
                deflater = Box::new(Self::new(level));
            }
            deflater.level = level;
        }
        let result = work(&mut deflater);
        // Fails only while the thread ends, and then nobody needs it.
        let _ = DEFLATER.try_with(|kept| kept.set(Some(deflater)));
        result
    }

    /// Appends the compressed form of `input` to `out`. Nothing is remembered of earlier input.
    pub fn deflate(
        &mut self,
        input: &[u8],
        end: End,
        out: &mut Vec<u8>,
    ) -> Result<(), DeflateError> {
        self.stream.reset();
        let flush = match end {
            End::Message => FlushCompress::Sync,
            End::Stream => FlushCompress::Finish,
        };
        let mut rest = input;
        loop {
            if out.len() == out.capacity() {
                out.reserve(out.capacity().clamp(ROOM_BYTES_MIN, input.len().max(ROOM_BYTES_MIN)));
            }
            let before = (self.stream.total_in(), out.len());
            let status = self.stream.compress_vec(rest, out, flush).map_err(|_| DeflateError)?;
            let taken = usize::try_from(self.stream.total_in() - before.0);
            rest = taken.ok().and_then(|taken| rest.get(taken..)).ok_or(DeflateError)?;
            // Where there is room left, everything has come out.
            let done = match end {
                End::Message => rest.is_empty() && out.len() < out.capacity(),
                End::Stream => status == Status::StreamEnd,
            };
            if done {
                break;
            }
            if before == (self.stream.total_in(), out.len()) && out.len() < out.capacity() {
                return Err(DeflateError);
            }
        }
        if end == End::Message {
            if !out.ends_with(&MESSAGE_TAIL) {
                return Err(DeflateError);
            }
            out.truncate(out.len() - MESSAGE_TAIL.len());
        }
        Ok(())
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("level", &self.level).finish_non_exhaustive()
    }
}
