//! [`Sealed`]: a session as it may lie in a database.
//!
//! Whoever can read there finds no secret by which a client's socket is given to somebody else: a session lies under a
//! hash of its key, and without it.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The field that has the key.
const KEY_FIELD: &str = "pid";

pub(crate) struct Sealed {
    /// SHA-256 of the key.
    pub(crate) hash: [u8; 32],
    pub(crate) json: String,
}

impl Sealed {
    /// `None` where it is no JSON object.
    pub(crate) fn new(key: &str, json: &str) -> Option<Self> {
        let mut session: Map<String, Value> = serde_json::from_str(json).ok()?;
        session.remove(KEY_FIELD);
        Some(Self { hash: Self::hash(key), json: Value::Object(session).to_string() })
    }

    pub(crate) fn hash(key: &str) -> [u8; 32] {
        Sha256::digest(key).into()
    }

    /// The session, for whoever has its key.
    pub(crate) fn open(key: &str, json: &str) -> Option<String> {
        let mut session: Map<String, Value> = serde_json::from_str(json).ok()?;
        session.insert(KEY_FIELD.to_owned(), key.into());
        Some(Value::Object(session).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_database_has_no_secret() {
        let sealed = Sealed::new("secret", r#"{"sid":"a","pid":"secret","data":[1]}"#).unwrap();
        assert_eq!(sealed.json, r#"{"data":[1],"sid":"a"}"#);
        let opened = Sealed::open("secret", &sealed.json).unwrap();
        assert_eq!(opened, r#"{"data":[1],"pid":"secret","sid":"a"}"#);
        assert!(Sealed::new("secret", "[]").is_none() && Sealed::open("secret", "").is_none());
    }
}
