//! [`Claim`]: what a client shows that wants its socket back.

use bytes::Bytes;
use roomful_proto::RecoveryId;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// What a client shows that wants its socket back.
pub(crate) struct Claim {
    pub(crate) id: RecoveryId,
    /// That of the last event that it was sent; `None` when it was sent none.
    pub(crate) offset: Option<String>,
}

/// A recovery id as it is kept: whoever reads our memory cannot come back with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// An auth payload as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuthDigest([u8; 32]);

impl Claim {
    /// Takes the claim out of an auth payload: what is left is what the user's program gave. Whatever
    /// does not look like a claim stays where it is.
    pub(crate) fn take(auth: Option<Bytes>) -> (Option<Self>, Option<Bytes>) {
        let Some(json) = auth else {
            return (None, None);
        };
        if memchr::memmem::find(&json, b"\"pid\"").is_none() {
            return (None, Some(json));
        }
        let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(&json) else {
            return (None, Some(json));
        };
        let id = fields.get("pid").and_then(Value::as_str).and_then(RecoveryId::parse);
        let Some(id) = id else {
            return (None, Some(json));
        };
        fields.remove("pid");
        let offset = match fields.remove("offset") {
            None | Some(Value::Null) => None,
            Some(Value::String(offset)) => Some(offset),
            // No offset of ours, and to be treated as such.
            Some(_) => Some(String::new()),
        };
        let rest = serde_json::to_vec(&fields).map_or(json, Bytes::from);
        (Some(Self { id, offset }), Some(rest))
    }
}

impl Key {
    pub(crate) fn new(id: &RecoveryId) -> Self {
        Self(Sha256::digest(id.as_bytes()).into())
    }
}

impl AuthDigest {
    /// Of an auth payload without a claim. The order of its fields and its spaces do not count.
    pub(crate) fn new(auth: Option<&[u8]>) -> Self {
        let json = auth.unwrap_or(b"{}");
        let sorted = serde_json::from_slice::<Value>(json).and_then(|v| serde_json::to_vec(&v));
        Self(Sha256::digest(sorted.as_deref().unwrap_or(json)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(json: &'static str) -> (Option<(String, Option<String>)>, String) {
        let (claim, rest) = Claim::take(Some(Bytes::from_static(json.as_bytes())));
        let claim = claim.map(|claim| (claim.id.to_string(), claim.offset));
        (claim, String::from_utf8(rest.unwrap().to_vec()).unwrap())
    }

    #[test]
    fn a_claim_leaves_the_auth_payload() {
        let id = "AAAAAAAAAAAAAAAAAAAA".to_owned();
        assert_eq!(
            take(r#"{"pid":"AAAAAAAAAAAAAAAAAAAA","offset":"1f","token":"x"}"#),
            (Some((id.clone(), Some("1f".into()))), r#"{"token":"x"}"#.into())
        );
        assert_eq!(
            take(r#"{"pid":"AAAAAAAAAAAAAAAAAAAA"}"#),
            (Some((id.clone(), None)), "{}".into())
        );
        assert_eq!(
            take(r#"{"pid":"AAAAAAAAAAAAAAAAAAAA","offset":7}"#),
            (Some((id, Some(String::new()))), "{}".into())
        );
    }

    #[test]
    fn what_is_no_claim_stays_where_it_is() {
        for auth in [r#"{"pid":7}"#, r#"{"pid":"short","offset":"1"}"#, r#"{"offset":"1"}"#, "{}"] {
            assert_eq!(take(auth), (None, auth.to_owned()));
        }
        assert!(Claim::take(None).0.is_none());
    }

    #[test]
    fn an_auth_payload_is_the_same_whatever_its_order() {
        let digest = |json: &str| AuthDigest::new(Some(json.as_bytes()));
        assert_eq!(digest(r#"{"a":1,"b":2}"#), digest(r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":2}"#));
        assert_eq!(AuthDigest::new(None), digest("{}"));
    }
}
