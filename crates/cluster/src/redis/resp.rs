//! What Redis says, in the form of RESP 3, read where it lies.

/// Digits of a length. Redis has none of more.
const DIGITS_MAX: usize = 12;
/// Bytes of a value that has no length before it. Redis has none of more.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Why nothing can be said of it.
pub(super) enum Stop {
    Partial,
    Strange,
}

/// How far a value is known that has not come whole, so that nothing is looked at again with each part.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    len: usize,
    /// So many values follow that belong to it.
    values: usize,
}

impl Walk {
    pub(super) const BEGINNING: Self = Self { len: 0, values: 1 };
}

/// The length of the value at the start.
pub(super) fn skip(input: &[u8], walk: &mut Walk) -> Result<usize, Stop> {
    let mut rest = &input[walk.len..];
    while walk.values > 0 {
        let mut values = walk.values - 1;
        let [kind, next, ..] = rest else { return Err(Stop::Partial) };
        let is_nothing = *next == b'-';
        match kind {
            // What has no length is nothing.
            b'$' | b'=' | b'!' if !is_nothing => drop(bulk(&mut rest)?),
            b'*' | b'~' | b'>' if !is_nothing => {
                values = values.saturating_add(line(&mut rest)?.1);
            }
            // Of an attribute, its value follows.
            kind @ (b'%' | b'|') => {
                let more = line(&mut rest)?.1.saturating_mul(2);
                values = values.saturating_add(more).saturating_add(usize::from(*kind == b'|'));
            }
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' | b'$' | b'*' => {
                let line = &rest[..rest.len().min(LINE_BYTES_MAX)];
                match line.iter().position(|&byte| byte == b'\n') {
                    Some(end) => rest = &rest[end + 1..],
                    None if line.len() == LINE_BYTES_MAX => return Err(Stop::Strange),
                    None => return Err(Stop::Partial),
                }
            }
            _ => return Err(Stop::Strange),
        }
        *walk = Walk { len: input.len() - rest.len(), values };
    }
    Ok(walk.len)
}

/// Takes a line with a length: its kind, and that.
pub(super) fn line(rest: &mut &[u8]) -> Result<(u8, usize), Stop> {
    let (kind, digits) = rest.split_first().ok_or(Stop::Partial)?;
    let mut length = 0_usize;
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at < DIGITS_MAX => length = length * 10 + usize::from(byte - b'0'),
            b'\r' if at > 0 => {
                let after = digits.get(at + 1).ok_or(Stop::Partial)?;
                if *after != b'\n' {
                    return Err(Stop::Strange);
                }
                *rest = &digits[at + 2..];
                return Ok((*kind, length));
            }
            _ => return Err(Stop::Strange),
        }
    }
    Err(Stop::Partial)
}

/// Takes a text of bytes with its length before it.
pub(super) fn bulk<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    let mut after = *rest;
    let (kind, length) = line(&mut after)?;
    if !matches!(kind, b'$' | b'=' | b'!') {
        return Err(Stop::Strange);
    }
    let bytes = after.get(..length).ok_or(Stop::Partial)?;
    match after.get(length..length + 2) {
        Some(b"\r\n") => *rest = &after[length + 2..],
        Some(_) => return Err(Stop::Strange),
        None => return Err(Stop::Partial),
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of many fields was looked at from its beginning with each read.
    #[test]
    fn what_has_come_of_a_value_is_looked_at_once() {
        let fields = "$1\r\na\r\n+b\r\n".repeat(10_000);
        let answer = format!("%1\r\n$1\r\ns\r\n*20000\r\n{fields}");
        let (mut bytes, mut walk) = (answer.into_bytes(), Walk::BEGINNING);
        for end in (0..bytes.len()).step_by(1_000) {
            assert!(matches!(skip(&bytes[..end], &mut walk), Err(Stop::Partial)));
            assert!(end - walk.len < 7, "{} of {end}", walk.len);
            // Whoever looks there again finds nothing that Redis says.
            bytes[..walk.len].fill(b'?');
        }
        assert!(matches!(skip(&bytes, &mut walk), Ok(len) if len == bytes.len()));
    }

    #[test]
    fn a_line_without_an_end_is_strange() {
        for (bytes, is_strange) in [(LINE_BYTES_MAX - 1, false), (LINE_BYTES_MAX, true)] {
            let line = "+".repeat(bytes);
            let stop = skip(line.as_bytes(), &mut { Walk::BEGINNING });
            assert_eq!(matches!(stop, Err(Stop::Strange)), is_strange);
        }
    }
}
