//! Arguments: raw ones take any type without a panic and split the same in every way, and values
//! come back as they were given.
//!
//! Input: one byte for the number of attachments, then the JSON of an event without its name.

use std::collections::HashMap;

use bytes::Bytes;
use roomful_proto::socket::{Packet, text::Header};
use roomful_proto::{Args, Limits};
use serde_json::Value;

/// Arguments as they arrive.
fn arrive(list: &str, attachments: Vec<Bytes>) -> Option<Args> {
    let limits = Limits::default();
    let count = attachments.len();
    let text = format!("5{count}-[\"x\",{list}]");
    let header = Header::decode(Bytes::from(text), &limits).ok()?;
    match header.finish(attachments.into(), &limits) {
        Ok(Packet::Event(event)) => Some(event.args),
        _ => None,
    }
}

fn check_raw(args: &Args) {
    let elements: Vec<_> = args.iter().collect();
    let mut cursor = args.cursor();
    for (index, element) in elements.iter().enumerate() {
        assert!(!element.is_empty());
        let rest = {
            let mut cursor = args.cursor();
            for _ in 0..index {
                let _ = cursor.value::<Value>();
            }
            cursor.rest()
        };
        assert!(rest.iter().eq(elements[index..].iter().copied()));
        let by_cursor = cursor.value::<Value>().ok();
        assert_eq!(by_cursor, args.get::<Value>(index).ok());
        // A value that can be read is the one that stands there.
        if let Some(value) = by_cursor {
            assert_eq!(serde_json::from_slice::<Value>(element).unwrap(), value);
        }
        take_all_types(args, index);
    }
    assert!(cursor.rest().is_empty());
    assert!(args.get::<u8>(elements.len()).is_err());
}

/// No type panics, and bytes are never more than what was attached or stands in the text.
fn take_all_types(args: &Args, index: usize) {
    let attached: usize = args.attachments().iter().map(Bytes::len).sum();
    let most = args.as_json().len() + attached;
    if let Ok(list) = args.get::<Vec<Bytes>>(index) {
        assert!(list.iter().map(Bytes::len).sum::<usize>() <= most);
    }
    if let Ok(map) = args.get::<HashMap<String, Bytes>>(index) {
        assert!(map.values().map(Bytes::len).sum::<usize>() <= most);
    }
    let _ = args.get::<Bytes>(index);
    let _ = args.get::<String>(index);
    let _ = args.get::<(f64, Option<i64>, bool)>(index);
    let _ = args.get::<Result<u8, char>>(index);
    let _ = args.get::<Box<serde_json::value::RawValue>>(index);
}

/// Whether there is an object in it that clients take for a placeholder.
fn has_placeholder(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(has_placeholder),
        Value::Object(map) => {
            map.get("_placeholder") == Some(&Value::Bool(true)) || map.values().any(has_placeholder)
        }
        _ => false,
    }
}

/// Runs the target on one input.
pub fn args(data: &[u8]) {
    let [count, list @ ..] = data else {
        return;
    };
    let Ok(list) = std::str::from_utf8(list) else {
        return;
    };
    let attachments = (0..count % 4).map(|n| Bytes::from(vec![n; 100])).collect();
    if let Some(args) = arrive(list, attachments) {
        check_raw(&args);
        assert_eq!(Args::new(&args).unwrap(), args);
    }
    if let Ok(value) = serde_json::from_str::<Value>(list) {
        let json = value.to_string();
        let sent = Args::new(&(&value, &Bytes::from_static(b"ab"), &value));
        // Beside bytes, it would name an attachment that it is not, or none.
        assert_eq!(sent.is_err(), has_placeholder(&value));
        let Ok(args) = sent else {
            return;
        };
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        assert!(args.iter().eq([json.as_bytes(), placeholder.as_bytes(), json.as_bytes()]));
        assert_eq!(args.get::<Bytes>(1).unwrap(), "ab");
        assert!(Args::new(&value).unwrap().iter().eq([json.as_bytes()]));
    }
}
