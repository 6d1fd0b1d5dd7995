//! [`Known`]: messages that were read once, and are known again by their bytes.
//!
//! A client should cost less than the server. So what is costly to read is read only when its bytes
//! are new.

/// The last message of each number that was read.
pub(crate) struct Known([Vec<u8>; NUMBERS]);

/// Messages have numbers of two digits.
const NUMBERS: usize = 100;

impl Default for Known {
    fn default() -> Self {
        Self([const { Vec::new() }; NUMBERS])
    }
}

impl Known {
    /// The number of a message, which is `likely` this one.
    pub(crate) fn number(
        &mut self,
        likely: u64,
        message: &[u8],
        read: impl FnOnce(&[u8]) -> Option<u64>,
    ) -> Option<u64> {
        if self.0.get(likely as usize).is_some_and(|known| known == message) {
            return Some(likely);
        }
        let number = read(message)?;
        let known = self.0.get_mut(number as usize)?;
        known.clear();
        known.extend_from_slice(message);
        Some(number)
    }
}
