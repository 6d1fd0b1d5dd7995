//! [`Refusal`]: why a client may not come in.

use std::fmt;

use roomful_proto::EventError;

/// Why a client may not join, or not even open a session (see
/// [`Builder::allow_request`](crate::Builder::allow_request)). It is told: when it may not join, in
/// JavaScript as `connect_error` with an `Error` whose
/// `message` and `data` are these.
#[derive(Clone, Debug, PartialEq)]
#[doc(alias = "connect_error")]
pub struct Refusal {
    message: String,
    data: Option<serde_json::Value>,
}

impl Refusal {
    /// A refusal with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Adds details for programs: anything that can be written as JSON. What cannot is left out.
    pub fn data(mut self, data: impl serde::Serialize) -> Self {
        self.data = serde_json::to_value(data).ok();
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn to_json(&self) -> String {
        let mut json = serde_json::json!({ "message": self.message });
        if let Some(data) = &self.data {
            json["data"] = data.clone();
        }
        json.to_string()
    }

    /// The same for a client of Socket.IO 2, which is told one thing: the data, if its parser takes
    /// it, or else the message.
    pub(crate) fn to_json_v2(&self) -> String {
        use serde_json::Value;
        match &self.data {
            Some(data @ (Value::String(_) | Value::Object(_) | Value::Array(_))) => {
                data.to_string()
            }
            _ => Value::from(self.message.as_str()).to_string(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// With the code of the error, and its details, in the [data](Refusal::data): `{"code": …, "data": …}`. What the error
/// does not tell, its source, is logged here: nobody else will see it.
impl From<EventError> for Refusal {
    fn from(error: EventError) -> Self {
        if let Some(source) = error.source() {
            tracing::error!(
                code = error.code(),
                source,
                "a client is refused: its `connect` function failed"
            );
        }
        let mut data = serde_json::json!({ "code": error.code() });
        if let Some(details) = error.details() {
            data["data"] = details.clone();
        }
        Self::new(error.message()).data(data)
    }
}

impl From<&str> for Refusal {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}
