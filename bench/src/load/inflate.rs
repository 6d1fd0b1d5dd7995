//! Messages that a server has compressed, each by itself.

use flate2::{Decompress, FlushDecompress};

/// More than any message of a case inflates to.
const BYTES_MAX: usize = 16 * 1024;

/// What the message was; `None` when it is not compressed, or too long for any that a case knows.
pub(crate) fn inflate(message: &[u8]) -> Option<Vec<u8>> {
    // What the sender leaves out (RFC 7692, 7.2.2).
    let whole = [message, &[0, 0, 0xff, 0xff]].concat();
    let mut text = Vec::with_capacity(BYTES_MAX);
    Decompress::new(false).decompress_vec(&whole, &mut text, FlushDecompress::Sync).ok()?;
    (text.len() < BYTES_MAX).then_some(text)
}
