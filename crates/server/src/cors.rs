//! [`Cors`]: what a browser is told about pages of other origins.

use http::HeaderValue;
use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, VARY,
};

use crate::answer::Answer;
use crate::config::Origins;
use crate::head::Head;

pub(crate) enum Cors {
    Nothing,
    Any,
    Origin(HeaderValue),
}

impl Cors {
    pub(crate) fn new(origins: &Origins, head: &Head<'_>) -> Self {
        if head.header("origin").is_none() {
            return Self::Nothing;
        }
        if *origins == Origins::Any {
            return Self::Any;
        }
        let allowed = head.text("origin").filter(|origin| origins.allow(origin, head.text("host")));
        let allowed = allowed.and_then(|origin| HeaderValue::from_str(origin).ok());
        allowed.map_or(Self::Nothing, Self::Origin)
    }

    /// Every answer says it, refusals too: the page must be able to read them.
    pub(crate) fn apply(self, answer: Answer) -> Answer {
        match self {
            Self::Nothing => answer,
            Self::Any => answer.with(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            Self::Origin(origin) => answer
                .with(ACCESS_CONTROL_ALLOW_ORIGIN, origin)
                .with(VARY, HeaderValue::from_static("Origin"))
                .with(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")),
        }
    }
}

/// Whether a browser asks on behalf of a page of another origin.
pub(crate) fn is_preflight(head: &Head<'_>) -> bool {
    head.method == "OPTIONS"
        && head.header("origin").is_some()
        && head.header("access-control-request-method").is_some()
}

/// The answer to that.
pub(crate) fn preflight(head: &Head<'_>) -> Answer {
    let answer = Answer::empty(StatusCode::NO_CONTENT)
        .with(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST"));
    match head.header("access-control-request-headers") {
        Some(asked) => answer.with_bytes(ACCESS_CONTROL_ALLOW_HEADERS, asked),
        None => answer,
    }
}
