//! [`Value`]: whatever JavaScript may have sent, bytes among it.

use std::collections::BTreeMap;

use roomful::{Args, Bytes};
use serde::Serialize;
use serde_json::Value as Json;

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Plain(Json),
    Bytes(Bytes),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl Value {
    /// Each of some arguments.
    pub(crate) fn all(args: &Args) -> Vec<Self> {
        let json = args.iter().map(|json| serde_json::from_slice(json).unwrap_or_default());
        json.map(|json| Self::of(json, args.attachments())).collect()
    }

    /// The first of some arguments, as `emitWithAck` gives it.
    pub(crate) fn first(args: &Args) -> Self {
        Self::all(args).into_iter().next().unwrap_or(Self::Plain(Json::Null))
    }

    fn of(json: Json, attachments: &[Bytes]) -> Self {
        match json {
            Json::Array(list) => {
                Self::List(list.into_iter().map(|json| Self::of(json, attachments)).collect())
            }
            Json::Object(map) => {
                let number = map.get("num").and_then(Json::as_u64).map(|number| number as usize);
                let is_placeholder = map.get("_placeholder") == Some(&Json::Bool(true));
                let bytes = number.filter(|_| is_placeholder).and_then(|at| attachments.get(at));
                match bytes {
                    Some(bytes) => Self::Bytes(bytes.clone()),
                    None => {
                        let pairs = map.into_iter();
                        Self::Map(
                            pairs.map(|(key, json)| (key, Self::of(json, attachments))).collect(),
                        )
                    }
                }
            }
            plain => Self::Plain(plain),
        }
    }
}
