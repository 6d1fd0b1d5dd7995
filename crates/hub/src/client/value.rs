//! [`Value`]: an argument as it is given on the command line.

use std::fs::File;
use std::io::Read;

use roomful_client::Bytes;
use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde_json::value::RawValue;

use super::failure::Failure;

/// Bytes of a file, or of a line, that is an argument: what the client lets wait for the server.
pub(crate) const VALUE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// An argument.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// JSON, as it was written.
    Json(Box<RawValue>),
    Text(String),
    Bytes(Bytes),
    /// The next line of the standard input.
    Line,
}

impl Value {
    /// Reads JSON, or takes it as a text.
    pub(crate) fn json_or_text(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(json) => Self::Json(json),
            Err(_) => Self::Text(text.to_owned()),
        }
    }

    /// Reads JSON, a text, or `@file`.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        match text.strip_prefix('@') {
            Some(path) if !path.is_empty() => Ok(Self::Bytes(file(path)?.into())),
            _ => Ok(Self::json_or_text(text)),
        }
    }
}

/// The arguments of an event. They write themselves as a tuple, which is several arguments.
#[derive(Clone, Debug)]
pub(crate) struct Values(pub(crate) Vec<Value>);

impl Values {
    /// Reads arguments of the command line, where `-` is a line of the standard input.
    pub(crate) fn read(arguments: &[String]) -> Result<Self, Failure> {
        let value = |text: &String| match text.as_str() {
            "-" => Ok(Value::Line),
            text => Value::read(text),
        };
        let values: Vec<_> = arguments.iter().map(value).collect::<Result<_, _>>()?;
        let lines = values.iter().filter(|value| matches!(value, Value::Line)).count();
        match lines {
            0 | 1 => Ok(Self(values)),
            _ => Err(Failure::usage("only one argument can be -, a line of the standard input")),
        }
    }

    /// Whether lines of the standard input are wanted.
    pub(crate) fn wants_lines(&self) -> bool {
        self.0.iter().any(|value| matches!(value, Value::Line))
    }

    /// The same with this line.
    pub(crate) fn with_line(&self, line: &str) -> Self {
        let with = |value: &Value| match value {
            Value::Line => Value::json_or_text(line),
            other => other.clone(),
        };
        Self(self.0.iter().map(with).collect())
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            match value {
                Value::Json(json) => tuple.serialize_element(json)?,
                Value::Text(text) => tuple.serialize_element(text)?,
                Value::Bytes(bytes) => tuple.serialize_element(bytes)?,
                Value::Line => tuple.serialize_element("-")?,
            }
        }
        tuple.end()
    }
}

/// Reads the auth payload: an object in JSON, or `@file` with one in it.
pub(crate) fn auth(text: &str) -> Result<Box<RawValue>, Failure> {
    let read;
    let text = match text.strip_prefix('@') {
        Some(path) => {
            read = String::from_utf8(file(path)?)
                .map_err(|_| Failure::usage(format!("the auth payload in {path} is no text")))?;
            read.trim()
        }
        None => text.trim(),
    };
    // Nothing of it is printed: there are secrets in it.
    let json: Box<RawValue> = serde_json::from_str(text).map_err(|e| {
        let at = format!("line {}, column {}", e.line(), e.column());
        Failure::usage(format!(
            "the auth payload is not JSON ({at}); it is an object such as '{{\"token\":\"…\"}}'"
        ))
    })?;
    match json.get().starts_with('{') {
        true => Ok(json),
        false => Err(Failure::usage(
            "the auth payload is not an object; it is one such as '{\"token\":\"…\"}'",
        )),
    }
}

/// The bytes of a file.
pub(crate) fn file(path: &str) -> Result<Vec<u8>, Failure> {
    let bad = |e| Failure::usage(format!("{path} cannot be read: {e}"));
    let mut bytes = Vec::new();
    // Not by its size: a device has none.
    let limited = File::open(path).map_err(bad)?.take(VALUE_BYTES_MAX + 1);
    { limited }.read_to_end(&mut bytes).map_err(bad)?;
    match bytes.len() as u64 > VALUE_BYTES_MAX {
        true => Err(Failure::usage(format!("{path} is larger than what may be sent, 16 MiB"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use roomful_client::Args;

    use super::*;

    fn json(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        let args = Args::new(&Values::read(&arguments).unwrap()).unwrap();
        String::from_utf8(args.as_json().to_vec()).unwrap()
    }

    #[test]
    fn an_argument_is_json_if_it_can_be_and_a_text_otherwise() {
        assert_eq!(json(&[]), "");
        assert_eq!(json(&["1", "a b", "true", "\"1\"", "[1", ""]), r#"1,"a b",true,"1","[1","""#);
        // As it was written: not in another order, and no number is rounded.
        assert_eq!(
            json(&[r#"{"b":1.50,"a":9007199254740993123}"#]),
            r#"{"b":1.50,"a":9007199254740993123}"#
        );
        assert_eq!(json(&["@"]), r#""@""#);
    }

    #[test]
    fn a_file_is_an_attachment() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let args =
            Args::new(&Values::read(&[format!("@{path}"), "1".to_owned()]).unwrap()).unwrap();
        assert_eq!(args.as_json(), br#"{"_placeholder":true,"num":0},1"#);
        assert_eq!(args.attachments()[0], std::fs::read(path).unwrap());
        assert!(Values::read(&["@/none".to_owned()]).is_err());
        #[cfg(unix)]
        assert!(Values::read(&["@/dev/zero".to_owned()]).is_err());
    }

    #[test]
    fn a_line_of_the_input_takes_the_place_of_a_dash() {
        let values = Values::read(&["a".to_owned(), "-".to_owned()]).unwrap();
        assert!(values.wants_lines());
        let args = Args::new(&values.with_line("[1]")).unwrap();
        assert_eq!(args.as_json(), br#""a",[1]"#);
        assert!(Values::read(&["-".to_owned(), "-".to_owned()]).is_err());
    }

    #[test]
    fn an_auth_payload_is_an_object_and_no_error_shows_it() {
        assert_eq!(auth(r#" {"token":"x"} "#).unwrap().get(), r#"{"token":"x"}"#);
        for bad in ["[1]", "secret", "{\"secret\":", "@/none"] {
            assert!(!auth(bad).unwrap_err().to_string().contains("secret"), "{bad}");
        }
    }
}
