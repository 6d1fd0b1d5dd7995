//! Polling with scripts, as browsers of old need it: JSONP.
//!
//! The answer to a poll is a script that calls a function of the page with the body as a text. A
//! body of the client is the field `d` of a form.
//!
//! The texts of an answer come from anywhere, so nothing in them may end the text or the script.

use crate::percent;

/// The number of the page's function, from the parameter `j`: digits alone.
pub fn index(parameter: &str) -> Option<u32> {
    let is_number = !parameter.is_empty() && parameter.bytes().all(|byte| byte.is_ascii_digit());
    parameter.parse().ok().filter(|_| is_number)
}

/// The script that gives `body`, which must be UTF-8, to the function of that number.
pub fn script(index: u32, body: &[u8]) -> Vec<u8> {
    let mut script = Vec::with_capacity(body.len() + body.len() / 8 + 32);
    script.extend_from_slice(b"___eio[");
    script.extend_from_slice(itoa::Buffer::new().format(index).as_bytes());
    script.extend_from_slice(b"](\"");
    let mut rest = body;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match rest {
            // They end a line of a script, though not one of JSON.
            [0xe2, 0x80, last @ (0xa8 | 0xa9), tail @ ..] => {
                push_code(&mut script, if *last == 0xa8 { 0x2028 } else { 0x2029 });
                tail
            }
            [b'"' | b'\\', ..] => {
                script.extend_from_slice(&[b'\\', byte]);
                tail
            }
            // `<` begins `</script` and `<!--`, where a page has the script within itself.
            [0..0x20 | b'<' | 0x7f, ..] => {
                push_code(&mut script, u16::from(byte));
                tail
            }
            _ => {
                script.push(byte);
                tail
            }
        };
    }
    script.extend_from_slice(b"\");");
    script
}

/// The body in a form; `None` where the form has no field `d`.
pub fn body(form: &[u8]) -> Option<Vec<u8>> {
    let mut fields = form.split(|&byte| byte == b'&');
    let field = fields.find_map(|field| field.strip_prefix(b"d="))?;
    Some(with_newlines(&percent::decode(field)))
}

/// A client writes a newline as `\n`, because forms change newlines, and what was `\n` before as
/// `\\n`.
fn with_newlines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match rest {
            [b'\\', b'\\', b'n', tail @ ..] => {
                out.extend_from_slice(b"\\n");
                tail
            }
            [b'\\', b'n', tail @ ..] => {
                out.push(b'\n');
                tail
            }
            _ => {
                out.push(byte);
                tail
            }
        };
    }
    out
}

fn push_code(script: &mut Vec<u8>, unit: u16) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u16| HEX[usize::from(unit >> shift & 0xf)];
    script.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_alone() {
        assert_eq!(index("0"), Some(0));
        assert_eq!(index("4294967295"), Some(u32::MAX));
        for odd in ["", "+1", "-1", "1]", "1](alert(1))", "٣", "4294967296", " 1", "0x1", "1,1"] {
            assert_eq!(index(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn nothing_in_a_text_ends_it() {
        let check = |body: &str, text: &str| {
            let script = String::from_utf8(script(7, body.as_bytes())).unwrap();
            assert_eq!(script, format!("___eio[7](\"{text}\");"), "{body:?}");
        };
        check(r#"2:4a"#, "2:4a");
        check("\");alert(1);//", r#"\");alert(1);//"#);
        check(r#"\"x"#, r#"\\\"x"#);
        check("a\u{2028}b\u{2029}", r"a\u2028b\u2029");
        check("</script><!--", r"\u003c/script>\u003c!--");
        check("\n\r\0\u{7f}\u{1e}", r"\u000a\u000d\u0000\u007f\u001e");
        check("é😀\u{2027}\u{202a}", "é😀\u{2027}\u{202a}");
    }

    #[test]
    fn the_text_of_a_script_is_the_body() {
        let all: String =
            (0..0x3000).filter_map(char::from_u32).chain(['😀', '\u{10ffff}']).collect();
        let script = String::from_utf8(script(0, all.as_bytes())).unwrap();
        let text = script.strip_prefix("___eio[0](").and_then(|rest| rest.strip_suffix(");"));
        assert_eq!(serde_json::from_str::<String>(text.unwrap()).unwrap(), all);
    }

    #[test]
    fn a_form_gives_its_body() {
        let check = |form: &str, expected: Option<&str>| {
            assert_eq!(body(form.as_bytes()).as_deref(), expected.map(str::as_bytes), "{form}");
        };
        check("d=2%3A4a", Some("2:4a"));
        check("x=1&d=a+b%2Bc&d=2", Some("a b+c"));
        check("d=", Some(""));
        check("", None);
        check("e=1", None);
        check("dd=1", None);
        check(r"d=a\nb", Some("a\nb"));
        check(r"d=a\\nb", Some(r"a\nb"));
        check(r"d=a\\\nb", Some(r"a\\nb"));
        check("d=a%5C%6eb", Some("a\nb"));
        check(r"d=\", Some(r"\"));
        check("d=%26d%3D1", Some("&d=1"));
    }
}
