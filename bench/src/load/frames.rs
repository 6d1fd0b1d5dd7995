//! WebSocket frames as a client writes and reads them; no more of RFC 6455 than a client of ours
//! meets.

use crate::{Result, fail};

/// Clients must mask. Which key they use makes no difference to a server.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A text that was compressed by itself, without what its compression ends with (RFC 7692, 7.2.1).
    Deflated,
    Binary,
    Close,
    Other,
}

/// Appends one masked frame.
pub(crate) fn push(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    out.push(if kind == Kind::Binary { 0x82 } else { 0x81 });
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    for four in out[start..].chunks_mut(4) {
        four.iter_mut().zip(MASK).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// The first whole frame of `bytes`: its kind, its payload, and how long it is with its header.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<(Kind, &[u8], usize)>> {
    let [start, short, ..] = *bytes else {
        return Ok(None);
    };
    let kind = match start {
        0x81 => Kind::Text,
        0xc1 => Kind::Deflated,
        0x82 => Kind::Binary,
        0x88 => Kind::Close,
        0x89 | 0x8a => Kind::Other,
        _ => return fail(format!("a frame that begins with {start:#x}")),
    };
    let (head, len) = match (short, bytes) {
        (126, [_, _, a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [_, _, long @ ..]) if long.len() >= 8 => {
            (10, long[..8].iter().fold(0, |len, &byte| len << 8 | usize::from(byte)))
        }
        (126 | 127, _) => return Ok(None),
        (128.., _) => return fail("a masked frame from a server"),
        (len, _) => (2, usize::from(len)),
    };
    Ok(bytes.get(head..head + len).map(|payload| (kind, payload, head + len)))
}

#[cfg(test)]
mod tests {
    use super::{Kind, first, push};

    #[test]
    fn masks_what_it_writes() {
        let mut frame = Vec::new();
        push(&mut frame, Kind::Text, b"Hello");
        // The example of RFC 6455, section 5.7.
        assert_eq!(frame, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    }

    #[test]
    fn takes_whole_frames_only() {
        let long = [&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        let longer = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65_536]].concat();
        for (frame, head) in [(&b"\x81\x02ok"[..], 2), (&long, 4), (&longer, 10)] {
            let kind = if head == 2 { Kind::Text } else { Kind::Binary };
            let two = [frame, b"\x81"].concat();
            assert_eq!(first(&two).unwrap(), Some((kind, &frame[head..], frame.len())));
            assert_eq!(first(&frame[..frame.len() - 1]).unwrap(), None);
            assert_eq!(first(&frame[..head - 1]).unwrap(), None);
        }
    }
}
