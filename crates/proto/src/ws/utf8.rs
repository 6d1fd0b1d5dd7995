//! [`Utf8`]: checks a text that arrives in pieces, and fails at the first byte that cannot be part
//! of one (RFC 6455 section 8.1).

/// The state between two pieces: the beginning of a character that the last piece cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    cut: [u8; 4],
    len: u8,
}

/// The text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8 {
    /// Takes the next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.len > 0 {
            let Some((&next, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            self.complete(next)?;
        }
        self.scan(piece)
    }

    /// Ends the text: nothing may be left of a character.
    pub(super) fn finish(&mut self) -> Result<(), NotUtf8> {
        let whole = self.len == 0;
        *self = Self::default();
        if whole { Ok(()) } else { Err(NotUtf8) }
    }

    /// Adds one byte to the cut character; it is gone when that completes it.
    fn complete(&mut self, next: u8) -> Result<(), NotUtf8> {
        let at = usize::from(self.len);
        *self.cut.get_mut(at).ok_or(NotUtf8)? = next;
        self.len += 1;
        match std::str::from_utf8(&self.cut[..at + 1]) {
            Ok(_) => self.len = 0,
            Err(e) if e.error_len().is_none() => {}
            Err(_) => return Err(NotUtf8),
        }
        Ok(())
    }

    fn scan(&mut self, piece: &[u8]) -> Result<(), NotUtf8> {
        let Err(e) = simdutf8::compat::from_utf8(piece) else {
            return Ok(());
        };
        if e.error_len().is_some() {
            return Err(NotUtf8);
        }
        let tail = &piece[e.valid_up_to()..];
        self.cut.get_mut(..tail.len()).ok_or(NotUtf8)?.copy_from_slice(tail);
        // At most three bytes: four would be a whole character or none.
        self.len = tail.len() as u8;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<(), NotUtf8> {
        let mut utf8 = Utf8::default();
        pieces.iter().try_for_each(|piece| utf8.push(piece))?;
        utf8.finish()
    }

    #[test]
    fn every_cut_of_a_text_is_accepted() {
        let text = "aé€😀\u{10ffff}".as_bytes();
        for cut in 0..=text.len() {
            assert_eq!(check(&[&text[..cut], &text[cut..]]), Ok(()), "cut at {cut}");
        }
        let singles: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(check(&singles), Ok(()));
    }

    #[test]
    fn a_surrogate_or_an_overlong_form_fails_at_its_second_byte() {
        for bad in [&[0xed, 0xa0][..], &[0xf4, 0x90], &[0xe0, 0x80], &[0xf0, 0x80]] {
            let mut utf8 = Utf8::default();
            assert_eq!(utf8.push(&bad[..1]), Ok(()));
            assert_eq!(utf8.push(&bad[1..]), Err(NotUtf8), "{bad:x?}");
        }
    }

    #[test]
    fn a_text_that_ends_inside_a_character_is_refused() {
        assert_eq!(check(&[b"abc\xe2\x82"]), Err(NotUtf8));
    }
}
