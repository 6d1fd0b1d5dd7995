//! [`Claim`]: what a client shows that wants its socket back.

use std::collections::BTreeMap;

use bytes::Bytes;
use roomful_proto::RecoveryId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Bytes of an auth payload of which all levels are put into one order. As values it can take about
/// a hundred times as much memory for a moment, so of a larger one it is only the first level.
const SORTED_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an id or an offset, in quotes. What is longer is none of ours, and is not kept while
/// somebody decides.
const TEXT_BYTES_MAX: usize = 64;

/// The fields of an auth payload, by name. What is in them is not looked into.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

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
        let Ok(mut fields) = serde_json::from_slice::<Fields<'_>>(&json) else {
            return (None, Some(json));
        };
        let id = fields.get("pid").and_then(|pid| short::<String>(pid));
        let Some(id) = id.as_deref().and_then(RecoveryId::parse) else {
            return (None, Some(json));
        };
        fields.remove("pid");
        let offset = match fields.remove("offset") {
            None => None,
            // What is no text is no offset of ours, and to be treated as such.
            Some(offset) => short(offset).unwrap_or_else(|| Some(String::new())),
        };
        let rest = serde_json::to_vec(&fields);
        let rest = rest.map_or_else(|_| json.clone(), Bytes::from);
        (Some(Self { id, offset }), Some(rest))
    }
}

impl Key {
    pub(crate) fn new(id: &RecoveryId) -> Self {
        Self(Sha256::digest(id.as_bytes()).into())
    }
}

impl AuthDigest {
    /// Of an auth payload without a claim. The order of its fields and its spaces do not count; within
    /// the fields of a large one they do.
    pub(crate) fn new(auth: Option<&[u8]>) -> Self {
        let json = auth.unwrap_or(b"{}");
        let fields = serde_json::from_slice::<Fields<'_>>(json);
        let mut sorted = fields.and_then(|fields| serde_json::to_vec(&fields));
        if let Ok(json) = &sorted
            && json.len() <= SORTED_BYTES_MAX
            && let Ok(value) = serde_json::from_slice::<Value>(json)
        {
            sorted = serde_json::to_vec(&value);
        }
        Self(Sha256::digest(sorted.as_deref().unwrap_or(json)).into())
    }
}

/// A value that takes few bytes.
fn short<T: DeserializeOwned>(json: &RawValue) -> Option<T> {
    let json = json.get();
    if json.len() <= TEXT_BYTES_MAX { serde_json::from_str(json).ok() } else { None }
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
    fn an_offset_that_is_too_long_is_not_kept() {
        let long =
            format!(r#"{{"pid":"AAAAAAAAAAAAAAAAAAAA","offset":"{}"}}"#, "1".repeat(900_000));
        let (claim, rest) = Claim::take(Some(Bytes::from(long)));
        assert_eq!(claim.unwrap().offset.as_deref(), Some(""));
        assert_eq!(rest.as_deref(), Some(&b"{}"[..]));
    }

    #[test]
    fn a_claim_is_found_beside_what_is_deep() {
        let deep = "[".repeat(500) + &"]".repeat(500);
        let auth = format!(r#"{{"pid":"AAAAAAAAAAAAAAAAAAAA","deep":{deep}}}"#);
        let (claim, rest) = Claim::take(Some(Bytes::from(auth)));
        assert!(claim.is_some());
        let without = format!(r#"{{"deep":{deep}}}"#);
        assert_eq!(rest.as_deref(), Some(without.as_bytes()));
        assert_eq!(AuthDigest::new(rest.as_deref()), AuthDigest::new(Some(without.as_bytes())));
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
        assert_eq!(digest(r#"{"a":{"x":1,"y":2}}"#), digest(r#"{"a":{"y": 2,"x":1}}"#));
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":2}"#));
        let long = "x".repeat(SORTED_BYTES_MAX);
        let large = |first: &str, last: &str| digest(&format!("{{{first},{last}}}"));
        let (a, b) = (format!("\"a\":\"{long}\""), r#""b":[1]"#);
        assert_eq!(large(&a, b), large(b, &a));
        assert_ne!(large(&a, b), large(&a, r#""b":[2]"#));
        assert_eq!(AuthDigest::new(None), digest("{}"));
    }
}
