//! Percent-encoding, as queries and forms need it.

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

/// Appends a text as a value of a query: all but letters, digits and `-._~` becomes a code.
pub fn encode(text: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_reads_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        encode(&all, &mut text);
        assert_eq!(decode(text.as_bytes()), all);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-._~".contains(&byte)));
    }

    #[test]
    fn only_codes_are_decoded() {
        for (text, decoded) in
            [("a%41+b", "aA b"), ("%", "%"), ("%4", "%4"), ("%zz%c3%A9", "%zzé"), ("%2541", "%41")]
        {
            assert_eq!(decode(text.as_bytes()), decoded.as_bytes(), "{text}");
        }
    }
}
