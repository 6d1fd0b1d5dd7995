//! Masking, RFC 6455 section 5.3.

use wide::u8x16;

/// Masks or unmasks `bytes` in place. `offset` is the position of `bytes` in its frame.
pub(super) fn apply(key: [u8; 4], offset: usize, bytes: &mut [u8]) {
    let turned: [u8; 16] = std::array::from_fn(|i| key[(offset + i) & 3]);
    let (chunks, rest) = bytes.as_chunks_mut();
    for chunk in chunks {
        *chunk = (u8x16::new(*chunk) ^ u8x16::new(turned)).to_array();
    }
    for (byte, key) in rest.iter_mut().zip(turned) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_in_pieces_is_masking_at_once() {
        let key = [1, 2, 3, 0xf0];
        let plain: Vec<u8> = (0..=99).collect();
        let simple: Vec<u8> = plain.iter().zip(0..).map(|(b, i)| b ^ key[i & 3]).collect();
        for cut in 0..plain.len() {
            let mut bytes = plain.clone();
            let (head, tail) = bytes.split_at_mut(cut);
            apply(key, 0, head);
            apply(key, cut, tail);
            assert_eq!(bytes, simple, "cut at {cut}");
        }
    }
}
