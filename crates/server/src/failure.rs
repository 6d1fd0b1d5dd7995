//! [`EventError`]: why an event came to nothing.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use roomful_proto::ArgError;

const INTERNAL: &str = "internal_error";
/// What a client is told that is to know no more.
const INTERNAL_TEXT: &str = "internal error";

/// Why an event came to nothing. A client that asked for an answer gets
/// `{"error": {"code": …, "message": …}}`, with `data` if there is [some](Self::data), and the
/// function given to [`Namespace::on_error`](crate::Namespace::on_error) is told all.
///
/// A handler gives one as the `Err` of a `Result`. Any other error becomes one by `?`: the client is
/// then told `internal_error` and nothing of its text; but an [`ArgError`] is an `invalid_arguments`
/// with its text.
///
/// ```
/// # use roomful::{EventError, Server, Socket};
/// # let io = Server::new();
/// io.on("buy", async |_: Socket, count: u32| -> Result<u32, EventError> {
///     if count > 10 {
///         return Err(EventError::new("too_many", "at most ten"));
///     }
///     let left: u32 = std::fs::read_to_string("stock")?.trim().parse()?;
///     Ok(left - count)
/// });
/// ```
pub struct EventError {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    /// Details for programs.
    data: Option<Box<serde_json::Value>>,
    /// What the client is not told.
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl EventError {
    /// An error that the client is told: a code for programs, a message for people.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), message: message.into(), data: None, source: None }
    }

    /// An error of which the client is told only that there was one.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..Self::new(INTERNAL, INTERNAL_TEXT) }
    }

    /// Adds details for programs, which the client is told as `data` beside the code and the message:
    /// anything that can be written as JSON. What cannot is left out.
    #[must_use]
    pub fn data(mut self, data: impl serde::Serialize) -> Self {
        self.data = serde_json::to_value(data).ok().map(Box::new);
        self
    }

    /// Adds what only the server is to know.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The code that the client is told. Those of the server itself are `invalid_arguments`,
    /// `rate_limited`, `too_large` and `internal_error`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message that the client is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the client is not told, such as the text of a panic.
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// What is answered.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut error = serde_json::json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = (**data).clone();
        }
        serde_json::json!({ "error": error })
    }

    /// From what a panic has left.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::internal(format!("panicked: {}", text.unwrap_or("with no text")))
    }

    pub(crate) const fn too_fast() -> Self {
        Self {
            code: Cow::Borrowed("rate_limited"),
            message: Cow::Borrowed("too many events"),
            data: None,
            source: None,
        }
    }

    pub(crate) fn too_large(args_bytes_max: usize) -> Self {
        Self::new("too_large", format!("the arguments have more than {args_bytes_max} bytes"))
            .data(serde_json::json!({ "args_bytes_max": args_bytes_max }))
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

/// With the source, which clients are not told.
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

    #[test]
    fn a_client_is_told_no_source() {
        let error = EventError::from(std::io::Error::other("the password is x"));
        assert_eq!(
            error.to_json().to_string(),
            r#"{"error":{"code":"internal_error","message":"internal error"}}"#
        );
        assert_eq!(error.to_string(), "internal_error: internal error (the password is x)");
    }

    #[test]
    fn a_client_is_told_data_if_there_is_some() {
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
        let args = roomful_proto::Args::new("x").unwrap();
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
}
