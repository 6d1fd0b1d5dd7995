//! Texts that JSON holds as they are: without a quote, a backslash or a control character. Most are
//! such texts, and each is looked at three times on its way through a server, so this looks at
//! sixteen bytes at once.

use wide::u8x16;

/// How many bytes at the front are plain.
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (chunks, rest) = bytes.as_chunks();
    for (index, chunk) in chunks.iter().enumerate() {
        if let Some(at) = first_special(chunk) {
            return index * 16 + at;
        }
    }
    let (last, end) = match bytes.last_chunk() {
        // Some of it was looked at already, and is plain.
        Some(last) => (*last, bytes.len()),
        None => {
            let mut last = [b'~'; 16];
            last[..rest.len()].copy_from_slice(rest);
            (last, 16)
        }
    };
    first_special(&last).map_or(bytes.len(), |at| end - 16 + at)
}

/// Where the first byte is that is not plain.
fn first_special(chunk: &[u8; 16]) -> Option<usize> {
    let bytes = u8x16::new(*chunk);
    let controls = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    let quotes = bytes.simd_eq(u8x16::splat(b'"'));
    let backslashes = bytes.simd_eq(u8x16::splat(b'\\'));
    let marks = (controls | quotes | backslashes).to_bitmask();
    (marks != 0).then(|| marks.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bytes_end_at_what_json_must_escape() {
        for byte in 0..=u8::MAX {
            let is_plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
            for len in 1..40 {
                for at in 0..len {
                    let plain = [b'~', 0x80, 0xff, b'!', b' ', b'#', b'[', b']'];
                    let mut bytes: Vec<u8> = plain.into_iter().cycle().take(len).collect();
                    bytes[at] = byte;
                    assert_eq!(plain_len(&bytes), if is_plain { len } else { at }, "{bytes:?}");
                    // What comes behind the first one changes nothing.
                    bytes[at + 1..].fill(b'"');
                    assert_eq!(plain_len(&bytes), at + usize::from(is_plain), "{bytes:?}");
                }
            }
        }
    }
}
