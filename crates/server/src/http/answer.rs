//! [`Answer`]: what a request is answered, before it is written in anybody's HTTP.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::http::body::Body;

/// The answer to a request.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    content_type: Option<&'static str>,
    cache: Option<&'static str>,
    /// Those that most answers do not have.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// A status and nothing else.
    pub(crate) const fn empty(status: StatusCode) -> Self {
        Self { status, body: Bytes::new(), content_type: None, cache: None, headers: Vec::new() }
    }

    pub(crate) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self { body: body.into(), content_type: Some(content_type), ..Self::empty(status) }
    }

    /// With another status.
    pub(crate) const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// How caches may keep it.
    pub(crate) const fn cache(mut self, cache: &'static str) -> Self {
        self.cache = Some(cache);
        self
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.add(name, value);
        self
    }

    /// Without the headers of that name.
    pub(crate) fn without(mut self, name: &HeaderName) -> Self {
        if name == header::CONTENT_TYPE {
            self.content_type = None;
        } else if name == header::CACHE_CONTROL {
            self.cache = None;
        }
        self.headers.retain(|(found, _)| found != name);
        self
    }

    /// Adds a header.
    pub(crate) fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.push((name, value));
    }

    /// With one more header, if the value can be one.
    pub(crate) fn with_bytes(self, name: HeaderName, value: &[u8]) -> Self {
        match HeaderValue::from_bytes(value) {
            Ok(value) => self.with(name, value),
            Err(_) => self,
        }
    }

    /// Whether a cache may keep it and give it to others.
    pub(crate) fn is_kept(&self) -> bool {
        self.cache.is_some_and(|cache| cache.starts_with("public"))
    }

    /// Whether it says what a session has to say, and not that something went wrong.
    pub(crate) fn is_of_session(&self) -> bool {
        matches!(self.status, StatusCode::OK | StatusCode::SWITCHING_PROTOCOLS)
    }

    /// The connection ends behind it.
    pub(crate) fn is_last(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == header::CONNECTION && value == "close")
    }

    /// The headers, without those that tell how the body is sent.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let content_type = self.content_type.map(|value| ("content-type", value.as_bytes()));
        let cache = self.cache.map(|value| ("cache-control", value.as_bytes()));
        let more = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        content_type.into_iter().chain(cache).chain(more)
    }

    /// The same for an HTTP library.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let mut set = |name, value: Option<_>| {
            value.map(|value| headers.insert(name, HeaderValue::from_static(value)))
        };
        set(header::CONTENT_TYPE, self.content_type);
        set(header::CACHE_CONTROL, self.cache);
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}
