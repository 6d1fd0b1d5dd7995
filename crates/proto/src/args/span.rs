//! [`Span`]: where something lies in a packet.

use std::fmt;
use std::ops::Range;

/// Where something lies in a packet. One word: it is moved with every event, and a word that was
/// written in halves keeps the processor waiting when it is read as a whole.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span(u64);

impl Span {
    /// No packet has 4 GiB ([`Limits::PAYLOAD_BYTES`](crate::Limits::PAYLOAD_BYTES)); what lies behind
    /// them is nowhere.
    pub(crate) fn new(range: Range<usize>) -> Self {
        let at = |offset| u64::from(u32::try_from(offset).unwrap_or(u32::MAX));
        Self(at(range.end) << 32 | at(range.start))
    }

    pub(crate) const fn range(self) -> Range<usize> {
        // The lower and the upper half.
        (self.0 as u32) as usize..(self.0 >> 32) as usize
    }

    /// The part of its packet.
    pub(crate) fn of(self, packet: &[u8]) -> &[u8] {
        packet.get(self.range()).unwrap_or_default()
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_the_range_that_it_was_made_of() {
        for range in [0..0, 3..9, 0..u32::MAX as usize, u32::MAX as usize..u32::MAX as usize] {
            assert_eq!(Span::new(range.clone()).range(), range);
        }
        assert_eq!(Span::new(1..3).of(b"abcd"), b"bc");
    }

    #[test]
    fn what_is_not_in_the_packet_is_nothing() {
        assert_eq!(Span::new(2..9).of(b"abcd"), b"");
        assert_eq!(Span::new(usize::MAX - 1..usize::MAX).of(b"abcd"), b"");
    }
}
