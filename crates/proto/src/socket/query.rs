//! What a client of Socket.IO 2 says about itself when it joins a namespace: `0/name?key=value,`.

use bytes::Bytes;

use crate::error::Violation;
use crate::limits::Limits;
use crate::percent;

/// Parameters of such a query.
const PARAMETERS_MAX: usize = 64;

/// The namespace that a packet asks to join, and the query behind it as JSON: an object of texts.
/// Of parameters with the same name the first counts. `None` for any other packet.
pub(super) fn split(text: &[u8], limits: &Limits) -> Result<Option<(Box<str>, Bytes)>, Violation> {
    if !text.starts_with(b"0/") {
        return Ok(None);
    }
    let target = &text[1..];
    let end = memchr::memchr(b',', target).unwrap_or(target.len());
    let Some(mark) = memchr::memchr(b'?', &target[..end]) else {
        return Ok(None);
    };
    if mark > limits.namespace_bytes_max {
        return Err(Violation::NamespaceName);
    }
    let name = std::str::from_utf8(&target[..mark]).map_err(|_| Violation::Utf8)?;
    Ok(Some((name.into(), to_json(&target[mark + 1..end])?)))
}

fn to_json(query: &[u8]) -> Result<Bytes, Violation> {
    let mut object = serde_json::Map::new();
    for (count, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if count >= PARAMETERS_MAX {
            return Err(Violation::Payload);
        }
        let mut parts = pair.splitn(2, |&byte| byte == b'=');
        let mut part = || text(parts.next().unwrap_or_default());
        let (key, value) = (part(), part());
        if !pair.is_empty() {
            object.entry(key).or_insert(value.into());
        }
    }
    serde_json::to_vec(&object).map(Bytes::from).map_err(|_| Violation::Payload)
}

/// The namespace with an auth payload behind it, as a client of Socket.IO 2 asks to join it. Of the
/// payload, which is the JSON of an object, texts go as they are, and all else as JSON.
pub(super) fn join(namespace: &str, auth: Option<&[u8]>) -> String {
    let mut target = namespace.to_owned();
    let auth = auth.and_then(|auth| serde_json::from_slice::<serde_json::Value>(auth).ok());
    let Some(serde_json::Value::Object(auth)) = auth else {
        return target;
    };
    for (index, (key, value)) in auth.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        percent::encode(key.as_bytes(), &mut target);
        target.push('=');
        match value {
            serde_json::Value::String(text) => percent::encode(text.as_bytes(), &mut target),
            other => percent::encode(other.to_string().as_bytes(), &mut target),
        }
    }
    target
}

/// What is not UTF-8 is replaced.
fn text(encoded: &[u8]) -> String {
    String::from_utf8_lossy(&percent::decode(encoded)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_an_object_of_texts() {
        let check = |packet: &str, name: &str, json: &str| {
            let found = split(packet.as_bytes(), &Limits::default()).unwrap().unwrap();
            assert_eq!((&*found.0, &*found.1), (name, json.as_bytes()), "{packet}");
        };
        check("0/a?token=x,", "/a", r#"{"token":"x"}"#);
        check("0/a?token=x", "/a", r#"{"token":"x"}"#);
        check("0/a?,", "/a", "{}");
        check("0/?a=1&a=2&b", "/", r#"{"a":"1","b":""}"#);
        check("0/a?x=%22%2C+%C3%A9%3D=%ff&&=,", "/a", "{\"\":\"\",\"x\":\"\\\", é==\u{fffd}\"}");
        check("0/a?__proto__=1&x=a?b", "/a", r#"{"__proto__":"1","x":"a?b"}"#);
    }

    #[test]
    fn what_a_client_says_reads_back() {
        let auth = br#"{"token":"a&b=c, d","n":1}"#;
        let packet = format!("0{},", join("/a", Some(auth)));
        let (name, json) = split(packet.as_bytes(), &Limits::default()).unwrap().unwrap();
        assert_eq!((&*name, &*json), ("/a", &br#"{"n":"1","token":"a&b=c, d"}"#[..]));
        for nothing in [None, Some(&b"{}"[..]), Some(b"1")] {
            assert_eq!(join("/a", nothing), "/a");
        }
    }

    #[test]
    fn other_packets_are_left_alone() {
        for packet in ["", "0", "0/a", "0/a,", "0/a,{\"x\":\"?\"}", "1/a?x=1,", "2/a,[\"?\"]"] {
            assert_eq!(split(packet.as_bytes(), &Limits::default()), Ok(None), "{packet}");
        }
    }

    #[test]
    fn a_query_is_bounded() {
        let check = |packet: String, violation| {
            assert_eq!(split(packet.as_bytes(), &Limits::default()), Err(violation));
        };
        check(format!("0/{}?x=1,", "a".repeat(600)), Violation::NamespaceName);
        check(format!("0/a?{}", "a&".repeat(100_000)), Violation::Payload);
    }
}
