//! [`Data`]: JSON with its attachments, which is written as JSON or as msgpack.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::{Deserializer, Error as _, Unexpected};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::packet::{Flags, Malformed, Selection};
use crate::args::{Args, first_element};
use crate::limits::Limits;
use crate::socket::msgpack;

/// JSON in which placeholders stand for attachments, as in a packet of Socket.IO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// One JSON value.
    pub json: Vec<u8>,
    /// The bytes that its placeholders name.
    pub attachments: Vec<Bytes>,
}

impl Data {
    /// Whether plain JSON cannot say it.
    pub const fn is_binary(&self) -> bool {
        !self.attachments.is_empty()
    }

    /// The same as msgpack, with the bytes in place of their placeholders.
    pub fn to_msgpack(&self) -> Vec<u8> {
        msgpack::value(&self.json, &self.attachments)
    }

    /// Takes JSON without attachments, if it is not too long. It is read later.
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self, Malformed> {
        if json.len() > limits.json_bytes_max() {
            return Err(Malformed::TooLarge);
        }
        Ok(Self { json: json.to_vec(), attachments: Vec::new() })
    }

    /// Reads msgpack.
    pub fn from_msgpack(message: &Bytes, limits: &Limits) -> Result<Self, Malformed> {
        let (json, attachments) =
            msgpack::read_value(message, limits).map_err(|why| match why {
                crate::Violation::Malformed | crate::Violation::Utf8 => Malformed::NotAPacket,
                crate::Violation::Expansion => Malformed::TooLarge,
                _ => Malformed::Refused,
            })?;
        Ok(Self { json, attachments })
    }

    /// Reads the JSON into a type whose raw parts lie in it.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Malformed> {
        serde_json::from_slice(&self.json).map_err(|_| Malformed::NotAPacket)
    }

    /// One value of it as arguments.
    pub(super) fn one(&self, value: Option<&RawValue>) -> Result<Args, Malformed> {
        let json = value.map_or("null", RawValue::get);
        self.args(json.as_bytes())
    }

    /// An array of it that begins with a name, as an event is written: the name, and the arguments.
    pub(super) fn event(&self, array: &RawValue) -> Result<(String, Args), Malformed> {
        let array = array.get().as_bytes();
        let (name, rest) = first_element(array).ok_or(Malformed::NotAPacket)?;
        let name = serde_json::from_slice(&array[name]).map_err(|_| Malformed::NotAPacket)?;
        Ok((name, self.args(&array[rest])?))
    }

    /// Arguments as they lie in the JSON, checked as those of a client are.
    fn args(&self, json: &[u8]) -> Result<Args, Malformed> {
        Args::checked(json, self.attachments.clone()).map_err(|_| Malformed::Refused)
    }
}

/// `opts` of the official adapters.
#[derive(Serialize, Deserialize)]
pub(super) struct Opts<'a> {
    // Some emitters have nothing where others have an empty list.
    #[serde(borrow, default)]
    rooms: Option<Vec<Name<'a>>>,
    #[serde(borrow, default)]
    except: Option<Vec<Name<'a>>>,
    #[serde(default)]
    flags: Option<WireFlags>,
}

/// The name of a room. To JavaScript a number is one as well.
pub(super) struct Name<'a>(Cow<'a, str>);

#[derive(Default, Serialize, Deserialize)]
struct WireFlags {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volatile: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compress: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<f64>,
}

impl<'a> Opts<'a> {
    pub(super) fn new(to: &'a Selection) -> Self {
        let names = |names: &'a [String]| names.iter().map(|name| Name(name.into())).collect();
        let Flags { volatile, compress, latest, timeout_ms } = to.flags;
        let flags = WireFlags {
            volatile: volatile.then_some(true),
            compress: (!compress).then_some(false),
            latest,
            timeout: timeout_ms.map(|ms| ms as f64),
        };
        Self { rooms: Some(names(&to.rooms)), except: Some(names(&to.except)), flags: Some(flags) }
    }

    pub(super) fn into_selection(self) -> Selection {
        let names = |list: Option<Vec<Name<'_>>>| names(list.unwrap_or_default());
        let flags = self.flags.unwrap_or_default();
        Selection {
            rooms: names(self.rooms),
            except: names(self.except),
            flags: Flags {
                volatile: flags.volatile.unwrap_or(false),
                compress: flags.compress.unwrap_or(true),
                latest: flags.latest,
                timeout_ms: flags.timeout.map(|ms| ms as u64),
            },
        }
    }
}

impl Serialize for Name<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if text.starts_with('"') {
            let name: String = serde_json::from_str(text).map_err(D::Error::custom)?;
            return Ok(Self(Cow::Owned(name)));
        }
        match text.parse::<serde_json::Number>() {
            Ok(number) => Ok(Self(Cow::Owned(number.to_string()))),
            Err(_) => Err(D::Error::invalid_type(Unexpected::Other(text), &"the name of a room")),
        }
    }
}

/// The names as they are.
pub(super) fn names(names: Vec<Name<'_>>) -> Vec<String> {
    names.into_iter().map(|Name(name)| name.into()).collect()
}
