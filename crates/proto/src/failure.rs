//! [`EventError`]: why an event came to nothing.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::ArgError;

const INTERNAL: &str = "internal_error";
/// What the other end is told that is to know no more.
const INTERNAL_TEXT: &str = "internal error";
/// What is read of an error; what else is in it is passed over.
const FIELDS: &[&str] = &["code", "message", "data"];

/// Why an event came to nothing. Who asked for an answer gets
/// `{"error": {"code": …, "message": …}}`, with `data` if there is [some](Self::data).
///
/// A handler gives one as the `Err` of a `Result`. Any other error becomes one by `?`: the other end is
/// then told `internal_error` and nothing of its text; but an [`ArgError`] is an `invalid_arguments`
/// with its text.
///
/// ```
/// # use roomful_proto::EventError;
/// fn buy(count: u32) -> Result<u32, EventError> {
///     if count > 10 {
///         return Err(EventError::new("too_many", "at most ten"));
///     }
///     let left: u32 = std::fs::read_to_string("stock")?.trim().parse()?;
///     Ok(left - count)
/// }
/// assert_eq!(buy(11).unwrap_err().code(), "too_many");
/// ```
///
/// Who asked reads the answer as a `Result`, too:
///
/// ```
/// # use roomful_proto::{Args, EventError};
/// let answer = Args::new(&EventError::new("too_many", "at most ten").to_json())?;
/// let left: Result<u32, EventError> = answer.get(0)?;
/// assert_eq!(left.unwrap_err().code(), "too_many");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// There is no `Serialize`: a handler that gives a `Result` of this would be one whose `Result` is an answer
// like all else, too, and the compiler could not choose.
pub struct EventError {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    /// Details for programs.
    data: Option<Box<serde_json::Value>>,
    /// What the other end is not told.
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl EventError {
    /// An error that the other end is told: a code for programs, a message for people.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), message: message.into(), data: None, source: None }
    }

    /// An error of which the other end is told only that there was one.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..Self::new(INTERNAL, INTERNAL_TEXT) }
    }

    /// An [internal](Self::internal) error of what a panic has left, with its text as the source.
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::internal(format!("panicked: {}", text.unwrap_or("with no text")))
    }

    /// Adds details for programs, which the other end is told as `data` beside the code and the message:
    /// anything that can be written as JSON. What cannot is left out.
    #[must_use]
    pub fn data(mut self, data: impl serde::Serialize) -> Self {
        self.data = serde_json::to_value(data).ok().map(Box::new);
        self
    }

    /// Adds what only this end is to know.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The code that the other end is told. Those of Roomful itself are `invalid_arguments`,
    /// `rate_limited`, `too_large` and `internal_error`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether its code is `internal_error`: something has failed, and not what was asked for was wrong. So a route
    /// beside the server answers it with status 500.
    pub fn is_internal(&self) -> bool {
        self.code == INTERNAL
    }

    /// The message that the other end is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The details for programs, if there are some: what [`data`](Self::data) was given, or what came.
    pub fn details(&self) -> Option<&serde_json::Value> {
        self.data.as_deref()
    }

    /// What the other end is not told, such as the text of a panic. An error that came from the other end
    /// has none.
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// What is answered: `{"error": {"code": …, "message": …}}`, with `data` if there is some.
    pub fn to_json(&self) -> serde_json::Value {
        let mut error = serde_json::json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = (**data).clone();
        }
        serde_json::json!({ "error": error })
    }

    fn misfit(error: &ArgError) -> Self {
        Self::new("invalid_arguments", error.to_string())
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for EventError {
    fn from(error: E) -> Self {
        match (&error as &dyn Any).downcast_ref() {
            Some(misfit) => Self::misfit(misfit),
            None => Self::internal(error),
        }
    }
}

/// Reads `{"code": …, "message": …}`, with `data` or without, as it stands below `error` in an answer.
/// The answer itself is read as a `Result<T, EventError>`.
impl<'de> Deserialize<'de> for EventError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("EventError", FIELDS, Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = EventError;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error with a code and a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EventError, A::Error> {
        let (mut code, mut message, mut data) = (None::<String>, None::<String>, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "code" => fill(&mut code, "code", map.next_value()?)?,
                "message" => fill(&mut message, "message", map.next_value()?)?,
                "data" => fill(&mut data, "data", map.next_value()?)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = <A::Error as serde::de::Error>::missing_field;
        let code = code.ok_or_else(|| missing("code"))?;
        let message = message.ok_or_else(|| missing("message"))?;
        Ok(EventError { data: data.map(Box::new), ..EventError::new(code, message) })
    }
}

/// Takes a field, once.
fn fill<T, E: serde::de::Error>(
    field: &mut Option<T>,
    name: &'static str,
    value: T,
) -> Result<(), E> {
    match field.replace(value) {
        Some(_) => Err(E::duplicate_field(name)),
        None => Ok(()),
    }
}

/// With the source, which the other end is not told.
impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}

impl fmt::Debug for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventError")
            .field("code", &self.code)
            .field("message", &self.message)
            .field("data", &self.data)
            .field("source", &self.source)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Args;

    #[test]
    fn the_other_end_is_told_no_source() {
        let error = EventError::from(std::io::Error::other("the password is x"));
        assert_eq!(
            error.to_json().to_string(),
            r#"{"error":{"code":"internal_error","message":"internal error"}}"#
        );
        assert_eq!(error.to_string(), "internal_error: internal error (the password is x)");
    }

    #[test]
    fn the_other_end_is_told_data_if_there_is_some() {
        let error = EventError::new("taken", "by another").data([1, 2]);
        assert_eq!(
            error.to_json(),
            serde_json::json!({"error": {"code": "taken", "message": "by another", "data": [1, 2]}})
        );
        let unwritable = std::collections::HashMap::from([([1], 2)]);
        let error = error.data(unwritable);
        assert_eq!(
            error.to_json(),
            serde_json::json!({"error": {"code": "taken", "message": "by another"}})
        );
    }

    #[test]
    fn arguments_that_do_not_fit_are_told() {
        let args = Args::new("x").unwrap();
        let error = EventError::from(args.get::<u8>(0).unwrap_err());
        assert_eq!(error.code(), "invalid_arguments");
        assert!(error.message().starts_with("argument 1 does not fit"), "{error}");
    }

    #[test]
    fn a_panic_is_told_by_its_text() {
        let error = EventError::panicked(&String::from("oh"));
        assert_eq!(error.source().unwrap().to_string(), "panicked: oh");
        assert_eq!(EventError::panicked(&"no").source().unwrap().to_string(), "panicked: no");
        assert_eq!((error.code(), error.message()), (INTERNAL, INTERNAL_TEXT));
    }

    #[test]
    fn an_error_is_read_as_it_is_answered() {
        let details = [None, Some(serde_json::json!(null)), Some(serde_json::json!({"a": [1]}))];
        for details in details {
            let mut error = EventError::new("taken", "by another").caused_by("a secret");
            if let Some(details) = &details {
                error = error.data(details);
            }
            let args = Args::new(&error.to_json()).unwrap();
            let answer: Result<u8, EventError> = args.cursor().value().unwrap();
            let read = answer.unwrap_err();
            assert_eq!((read.code(), read.message()), ("taken", "by another"));
            assert_eq!(read.details(), details.as_ref());
            assert!(read.source().is_none());
        }
    }

    #[test]
    fn what_is_no_error_does_not_fit() {
        let shapes = [
            "null",
            "[]",
            "{}",
            r#""text""#,
            r#"["a","b"]"#,
            r#"{"code":"a"}"#,
            r#"{"message":"a"}"#,
            r#"{"code":1,"message":"a"}"#,
            r#"{"code":"a","message":null}"#,
            r#"{"code":"a","code":"a","message":"b"}"#,
            r#"{"code":"a","message":"b","data":1,"data":2}"#,
        ];
        for json in shapes {
            assert!(serde_json::from_str::<EventError>(json).is_err(), "{json}");
        }
        let more = r#"{"more":[{}],"message":"b","code":"a"}"#;
        assert_eq!(serde_json::from_str::<EventError>(more).unwrap().to_string(), "a: b");
    }
}
