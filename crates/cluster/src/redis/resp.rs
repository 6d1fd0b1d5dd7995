//! What Redis says, in the form of RESP 3, read where it lies.

/// Digits of a length. Redis has none of more.
const DIGITS_MAX: usize = 12;

/// Why nothing can be said of it.
pub(super) enum Stop {
    Partial,
    Strange,
}

/// The length of the value at the start.
pub(super) fn skip(input: &[u8]) -> Result<usize, Stop> {
    let mut rest = input;
    let mut values = 1_usize;
    while values > 0 {
        values -= 1;
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
                let end = rest.iter().position(|&byte| byte == b'\n').ok_or(Stop::Partial)?;
                rest = &rest[end + 1..];
            }
            _ => return Err(Stop::Strange),
        }
    }
    Ok(input.len() - rest.len())
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
