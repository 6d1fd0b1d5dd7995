//! Finds its way in JSON without reading it: where a value ends, and how deep values are nested.
//!
//! Whether it is JSON at all is `serde_json`'s to say; on what is not, these functions give some
//! answer and never fail.

use std::ops::Range;

use super::plain::plain_len;
use crate::socket::placeholder;

/// The values of a list without its brackets.
pub(super) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = (!list.trim_ascii().is_empty()).then_some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let end = value_end(list);
        rest = list.get(end + 1..);
        Some(list[..end].trim_ascii())
    })
}

/// Where the first value of a list without brackets ends: at its comma, or where the list ends.
pub(super) fn value_end(list: &[u8]) -> usize {
    walk(list, |byte, depth| byte == b',' && depth == 0).unwrap_or(list.len())
}

/// In an array, the ranges of its first value and of what follows that value's comma; `None` for an
/// array without values, or for something else.
pub(crate) fn first_element(array: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    let start = array.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let end = array.iter().rposition(|byte| !byte.is_ascii_whitespace())?;
    if array.get(start) != Some(&b'[') || array.get(end) != Some(&b']') || start == end {
        return None;
    }
    let list = &array[start + 1..end];
    let first = value_end(list);
    if list[..first].trim_ascii().is_empty() {
        return None;
    }
    let value_start = start + 1 + list.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let value = value_start..value_start + list[..first].trim_ascii().len();
    let rest = (start + 1 + first + 1).min(end);
    Some((value, rest..end))
}

/// Whether no value in `json` is nested deeper than `depth_max`. Most packets have fewer brackets
/// than that, or even fewer bytes, and are not walked.
pub(crate) fn check_depth(json: &[u8], depth_max: u32) -> bool {
    let depth_at_most = |len: usize| len <= depth_max as usize;
    let opens = |byte: &&u8| matches!(byte, b'[' | b'{');
    depth_at_most(json.len())
        || depth_at_most(json.iter().filter(opens).count())
        || walk(json, |_, depth| depth > depth_max).is_none()
}

/// In a list whose first value ends at `len`, where the next one begins, or the list ends; `None`
/// when that value does not end there.
pub(super) fn next_value(list: &[u8], len: usize) -> Option<usize> {
    let rest = list.get(len..)?;
    let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    match rest.get(spaces) {
        None => Some(list.len()),
        Some(b',') => Some(len + spaces + 1),
        Some(_) => None,
    }
}

/// In an array that begins with a text without escapes, as events do, the ranges of that text and of
/// what follows its comma; `None` for any other, which [`first_element`] may understand. The array
/// must be JSON.
pub(crate) fn first_text(array: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    let text = array.strip_prefix(b"[\"")?;
    let end = 2 + plain_len(text);
    let last = array.len() - 1;
    match (array.get(end)?, array.get(end + 1)?, array.get(last)?) {
        (b'"', b',', b']') => Some((2..end, end + 2..last)),
        (b'"', b']', b']') if end + 1 == last => Some((2..end, last..last)),
        _ => None,
    }
}

/// How deep a [plain list](is_plain_list) is at most.
pub(crate) const PLAIN_DEPTH: u32 = 2;

/// Whether `json` is an array of texts without escapes and of placeholders, as many events are, with
/// each placeholder for another one of so many attachments. Such a packet has nothing that is to be
/// refused; what is wrong with any other, if anything, others have to say.
pub(crate) fn is_plain_list(json: &[u8], attachments: usize) -> bool {
    let Some(mut rest) = json.strip_prefix(b"[") else {
        return false;
    };
    let mut named = 0;
    while let Some(len) =
        plain_text(rest).or_else(|| new_placeholder(rest, attachments, &mut named))
    {
        match &rest[len..] {
            [b']'] => return true,
            [b',', next @ ..] => rest = next,
            _ => return false,
        }
    }
    false
}

/// The length of the usual placeholder at the front, if it is for one of so many attachments, of the
/// first 64, that is not among those `named` before.
fn new_placeholder(json: &[u8], attachments: usize, named: &mut u64) -> Option<usize> {
    let (number, len) = placeholder::usual(json)?;
    let bit = 1_u64.checked_shl(u32::try_from(number).ok()?)?;
    if number >= attachments || *named & bit != 0 {
        return None;
    }
    *named |= bit;
    Some(len)
}

/// The length, quotes included, of a text without escapes at the front.
pub(super) fn plain_text(json: &[u8]) -> Option<usize> {
    let text = json.strip_prefix(b"\"")?;
    let len = plain_len(text);
    (text.get(len) == Some(&b'"')).then_some(len + 2)
}

/// The position of the first byte outside texts for which `found(byte, depth)` says so, where the
/// depth counts the brackets that are open after that byte.
fn walk(json: &[u8], found: impl Fn(u8, u32) -> bool) -> Option<usize> {
    let mut depth = 0_u32;
    let mut bytes = json.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((_, &byte)) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if found(byte, depth) {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_splits_at_its_own_commas_only() {
        let list = br#" 1, "a,\"b", [1,2] ,{"x":[",",3]}"#;
        let found: Vec<_> = elements(list).map(|e| std::str::from_utf8(e).unwrap()).collect();
        assert_eq!(found, ["1", r#""a,\"b""#, "[1,2]", r#"{"x":[",",3]}"#]);
        assert_eq!(elements(b"  ").count(), 0);
    }

    #[test]
    fn the_first_element_and_the_rest_are_found() {
        let check = |array: &str, expected: Option<(&str, &str)>| {
            let found = first_element(array.as_bytes()).map(|(a, b)| (&array[a], &array[b]));
            assert_eq!(found, expected, "{array}");
        };
        check(r#"["a",1,2]"#, Some((r#""a""#, "1,2")));
        check(r#" [ "a" ] "#, Some((r#""a""#, "")));
        check(r#"["a" , 1 ]"#, Some((r#""a""#, " 1 ")));
        check("[]", None);
        check("[ ]", None);
        check("{}", None);
        check("[", None);
        check("", None);
    }

    #[test]
    fn a_plain_text_at_the_front_is_found_without_a_walk() {
        let check = |array: &str, expected: Option<(&str, &str)>| {
            let found = first_text(array.as_bytes()).map(|(a, b)| (&array[a], &array[b]));
            assert_eq!(found, expected, "{array}");
        };
        check(r#"["a",1,2]"#, Some(("a", "1,2")));
        check(r#"["a", 1 ]"#, Some(("a", " 1 ")));
        check(r#"["a"]"#, Some(("a", "")));
        check(r#"[""]"#, Some(("", "")));
        for other in ["", "[", "[]", "[\"", r#"["a"#, r#"["a\"",1]"#, r#"[ "a"]"#, r#"["a" ]"#] {
            check(other, None);
        }
        check(r#"["a"] "#, None);
        check("[1]", None);
    }

    #[test]
    fn only_what_is_json_is_a_plain_list() {
        let check = |json: &str, expected: bool| {
            assert_eq!(is_plain_list(json.as_bytes(), 13), expected, "{json}");
            assert!(!expected || serde_json::from_str::<serde_json::Value>(json).is_ok(), "{json}");
        };
        for list in [r#"["a"]"#, r#"["",""]"#, "[\"é\",\"a b\",\"\u{7f}\"]"] {
            check(list, true);
        }
        check(r#"["a",{"_placeholder":true,"num":0},"b",{"_placeholder":true,"num":12}]"#, true);
        check(r#"[{"_placeholder":true,"num":0,"x":1}]"#, false);
        check(r#"[{"_placeholder":true,"num":0]"#, false);
        for other in ["", "[", "[]", r#""a""#, r#"["a""#, r#"["a",]"#, r#"["a" ]"#, r#"["a"]]"#] {
            check(other, false);
        }
        for other in [r#"["a"]""#, r#"["a\""]"#, "[\"a\nb\"]", "[1]", r#"["a""b"]"#, r#"["a"#] {
            check(other, false);
        }
    }

    #[test]
    fn a_placeholder_of_a_plain_list_is_for_an_attachment_of_its_own() {
        let check = |numbers: &[usize], attachments, expected: bool| {
            let list: Vec<_> =
                numbers.iter().map(|n| format!(r#"{{"_placeholder":true,"num":{n}}}"#)).collect();
            let json = format!("[{}]", list.join(","));
            assert_eq!(is_plain_list(json.as_bytes(), attachments), expected, "{json}");
        };
        check(&[0], 0, false);
        check(&[0], 1, true);
        check(&[1, 0], 2, true);
        check(&[0, 1, 0], 2, false);
        check(&[2], 2, false);
        check(&[63], 100, true);
        check(&[64], 100, false);
    }

    #[test]
    fn depth_counts_open_brackets() {
        assert!(check_depth(br#"[["[[["]]"#, 2));
        assert!(!check_depth(b"[[[]]]", 2));
        assert!(check_depth(b"[[],[],[],[]]", 2));
        assert!(!check_depth(&b"[".repeat(1_000_000), 128));
    }
}
