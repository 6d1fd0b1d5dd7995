//! Percent-decoding, as queries and forms need it.

/// Decodes `%41` and `+`; what is not a code stays as it is.
pub fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let hex = |at: usize| tail.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits are at most 255.
                out.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_are_decoded() {
        for (text, decoded) in
            [("a%41+b", "aA b"), ("%", "%"), ("%4", "%4"), ("%zz%c3%A9", "%zzé"), ("%2541", "%41")]
        {
            assert_eq!(decode(text.as_bytes()), decoded.as_bytes(), "{text}");
        }
    }
}
