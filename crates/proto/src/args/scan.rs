//! Finds its way in JSON without reading it: where a value ends, and how deep values are nested.
//!
//! Whether it is JSON at all is `serde_json`'s to say; on what is not, these functions give some
//! answer and never fail.

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
pub(crate) fn first_element(
    array: &[u8],
) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
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

/// Whether no value in `json` is nested deeper than `depth_max`.
pub(crate) fn check_depth(json: &[u8], depth_max: u32) -> bool {
    walk(json, |_, depth| depth > depth_max).is_none()
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
    fn depth_counts_open_brackets() {
        assert!(check_depth(br#"[["[[["]]"#, 2));
        assert!(!check_depth(b"[[[]]]", 2));
        assert!(!check_depth(&b"[".repeat(1_000_000), 128));
    }
}
