//! [`Claim`]: what a client shows that wants its socket back.

use std::fmt;

use bytes::Bytes;
use roomful_proto::RecoveryId;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Bytes of an id or an offset, in quotes. What is longer is none of ours, and is not kept while
/// somebody decides.
const TEXT_BYTES_MAX: usize = 64;

/// The fields of an auth payload as they were written, also those of equal names. What is in them is not
/// looked into.
#[derive(Default)]
struct Fields<'a>(Vec<(String, &'a RawValue)>);

/// What a client shows that wants its socket back.
pub(crate) struct Claim {
    pub(crate) id: RecoveryId,
    /// That of the last event that it was sent; `None` when it was sent none.
    pub(crate) offset: Option<String>,
}

/// A recovery id as it is kept: whoever reads our memory cannot come back with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// What a client shows of who it is, as it is kept: its auth payload and its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuthDigest(pub(super) [u8; 32]);

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
        let id = fields.only("pid").and_then(short::<String>);
        let Some(id) = id.as_deref().and_then(RecoveryId::parse) else {
            return (None, Some(json));
        };
        let offset = match fields.only("offset") {
            // What is no text is no offset of ours, and to be treated as such.
            Some(offset) => short(offset).unwrap_or_else(|| Some(String::new())),
            None if fields.has("offset") => return (None, Some(json)),
            None => None,
        };
        fields.0.retain(|(name, _)| name != "pid" && name != "offset");
        let rest = serde_json::to_vec(&fields);
        let rest = rest.map_or_else(|_| json.clone(), Bytes::from);
        (Some(Self { id, offset }), Some(rest))
    }
}

impl Key {
    pub(crate) fn new(id: &RecoveryId) -> Self {
        Self(Sha256::digest(id.as_bytes()).into())
    }

    /// Reads the digits of one.
    pub(super) fn parse(digits: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let is_right = digits.len() == 2 * bytes.len() && digits.is_ascii();
        for (byte, digits) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)).filter(|_| is_right)
        {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        is_right.then_some(Self(bytes))
    }

    /// What a claim is known by to other nodes.
    pub(crate) fn of(claim: &Claim) -> Self {
        Self::new(&claim.id)
    }
}

/// As nodes tell each other, in hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for AuthDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl AuthDigest {
    /// Of an auth payload without a claim, and of what else shows who somebody is. The order of the fields
    /// and the spaces around them do not count. What is in them is compared byte by byte: two numbers may
    /// be too large to be told apart as values, and of two fields of one name a program may read either.
    pub(crate) fn new(auth: Option<&[u8]>, credentials: &[u8]) -> Self {
        let json = auth.unwrap_or(b"{}");
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(credentials);
        match serde_json::from_slice::<Fields<'_>>(json) {
            Ok(mut fields) => {
                // Those of equal names stay in their order.
                fields.0.sort_by(|(a, _), (b, _)| a.cmp(b));
                for (name, value) in &fields.0 {
                    add(name.as_bytes());
                    add(value.get().as_bytes());
                }
            }
            Err(_) => add(json),
        }
        Self(hash.finalize().into())
    }
}

impl<'a> Fields<'a> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }

    /// The value of a field, if there is one of that name and no second one.
    fn only(&self, name: &str) -> Option<&'a RawValue> {
        let mut found = self.0.iter().filter(|(found, _)| found == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(*value)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self::default())
    }
}

impl<'de> Visitor<'de> for Fields<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<Self, M::Error> {
        while let Some(field) = map.next_entry()? {
            self.0.push(field);
        }
        Ok(self)
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
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
        assert_eq!(digest(rest.as_deref()), digest(Some(without.as_bytes())));
    }

    #[test]
    fn what_is_no_claim_stays_where_it_is() {
        let twice = r#"{"pid":"AAAAAAAAAAAAAAAAAAAA","pid":"AAAAAAAAAAAAAAAAAAAB"}"#;
        let offsets = r#"{"pid":"AAAAAAAAAAAAAAAAAAAA","offset":"1","offset":"2"}"#;
        for auth in [
            r#"{"pid":7}"#,
            r#"{"pid":"short","offset":"1"}"#,
            r#"{"offset":"1"}"#,
            "{}",
            twice,
            offsets,
        ] {
            assert_eq!(take(auth), (None, auth.to_owned()));
        }
        assert!(Claim::take(None).0.is_none());
    }

    fn digest(auth: Option<&[u8]>) -> AuthDigest {
        AuthDigest::new(auth, b"")
    }

    #[test]
    fn an_auth_payload_is_the_same_whatever_the_order_of_its_fields() {
        let of = |json: &str| digest(Some(json.as_bytes()));
        assert_eq!(of(r#"{"a":1,"b":2}"#), of(r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":2}"#));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"b":1}"#));
        assert_ne!(of(r#"{"a":"b","c":"d"}"#), of(r#"{"a":"d","c":"b"}"#));
        assert_eq!(digest(None), of("{}"));
        assert_ne!(digest(None), AuthDigest::new(None, b"cookie"));
        let long = "x".repeat(1_000_000);
        let large = |first: &str, last: &str| of(&format!("{{{first},{last}}}"));
        let (a, b) = (format!("\"a\":\"{long}\""), r#""b":[1]"#);
        assert_eq!(large(&a, b), large(b, &a));
        assert_ne!(large(&a, b), large(&a, r#""b":[2]"#));
    }

    #[test]
    fn payloads_that_read_as_equal_values_are_not_the_same() {
        let of = |json: &str| digest(Some(json.as_bytes()));
        let (one, other) = (r#"{"user":18446744073709551617}"#, r#"{"user":18446744073709551616}"#);
        assert_ne!(of(one), of(other));
        assert_ne!(of(r#"{"user":1,"user":2}"#), of(r#"{"user":2}"#));
        assert_ne!(of(r#"{"user":1,"user":2}"#), of(r#"{"user":2,"user":1}"#));
        assert_ne!(of(r#"{"a":{"user":1,"user":2}}"#), of(r#"{"a":{"user":2}}"#));
        assert_ne!(of(r#"{"user":0.1}"#), of(r#"{"user":0.10000000000000000001}"#));
    }

    #[test]
    fn what_is_left_of_a_payload_is_as_it_was_written() {
        let auth = r#"{"z":1.00,"pid":"AAAAAAAAAAAAAAAAAAAA","a":[ ],"z":2}"#;
        assert_eq!(take(auth).1, r#"{"z":1.00,"a":[ ],"z":2}"#);
    }
}
