//! [`AnswerHeaders`]: what functions of the user's add to answers.

use std::fmt;

use http::header::{HeaderName, HeaderValue, VARY};

use crate::http::answer::Answer;

/// Headers of the server's alone: how long a body is, and what becomes of the connection.
const OWN: [&str; 14] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers to be added to an answer of the server.
///
/// A name or a value that cannot be one, because there is the end of a line in it for example, is
/// left out, and so are headers that only the server knows: those about the length of the body
/// and the connection, `Date`, and those of the WebSocket handshake. That is logged as an error and
/// counted.
#[derive(Default)]
pub struct AnswerHeaders {
    list: Vec<Added>,
    refused: usize,
}

struct Added {
    name: HeaderName,
    value: HeaderValue,
    /// What the answer has under this name is taken out.
    replaces: bool,
}

impl fmt::Debug for AnswerHeaders {
    /// Only the names: values such as that of `Set-Cookie` are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.list.iter().map(|added| added.name.as_str()).collect();
        f.debug_struct("AnswerHeaders")
            .field("names", &names)
            .field("refused", &self.refused)
            .finish()
    }
}

impl AnswerHeaders {
    /// Sets a header, in place of what the answer has under that name. `Vary` is only ever added to.
    pub fn set(&mut self, name: &str, value: &str) {
        if let Some((name, value)) = self.check(name, value) {
            self.list.retain(|added| added.name != name);
            let replaces = name != VARY;
            self.list.push(Added { name, value, replaces });
        }
    }

    /// Adds a header beside what the answer has under that name, such as one more `Set-Cookie`.
    pub fn add(&mut self, name: &str, value: &str) {
        if let Some((name, value)) = self.check(name, value) {
            self.list.push(Added { name, value, replaces: false });
        }
    }

    fn check(&mut self, name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
        let found = HeaderName::from_bytes(name.as_bytes()).ok();
        let found = found.filter(|name| !OWN.contains(&name.as_str()));
        let found = found.zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        if found.is_none() {
            self.refused += 1;
            tracing::error!(?name, "a header that cannot be added to an answer");
        }
        found
    }

    /// Adds those of another list behind these.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
        self.refused += other.refused;
    }

    /// How many were left out.
    pub(crate) const fn refused(&self) -> usize {
        self.refused
    }

    pub(crate) fn apply(self, answer: Answer) -> Answer {
        self.list.into_iter().fold(answer, |answer, Added { name, value, replaces }| {
            let answer = if replaces { answer.without(&name) } else { answer };
            answer.with(name, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    #[test]
    fn values_are_not_shown() {
        let mut headers = AnswerHeaders::default();
        headers.add("Set-Cookie", "session=hunter2");
        let shown = format!("{headers:?}");
        assert!(shown.contains("set-cookie") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_would_end_a_line_or_an_answer_is_left_out() {
        let mut headers = AnswerHeaders::default();
        for (name, value) in [
            ("x", "a\r\nSet-Cookie: b=c"),
            ("x", "a\nb"),
            ("x", "a\rb"),
            ("x", "a\0b"),
            ("x\r\ny", "a"),
            ("x:", "a"),
            ("x y", "a"),
            ("", "a"),
            ("é", "a"),
            ("Content-Length", "0"),
            ("transfer-encoding", "chunked"),
            ("Connection", "close"),
            ("upgrade", "h2c"),
            ("sec-websocket-protocol", "x"),
            ("date", "never"),
        ] {
            headers.set(name, value);
            headers.add(name, value);
        }
        assert!(headers.list.is_empty(), "{headers:?}");
        assert_eq!(headers.refused(), 30);
        headers.set("x", "é");
        assert_eq!(headers.list.len(), 1);
    }

    #[test]
    fn setting_replaces_and_adding_does_not() {
        let mut headers = AnswerHeaders::default();
        headers.add("x-one", "1");
        headers.set("x-one", "2");
        headers.add("x-one", "3");
        headers.set("content-type", "text/x");
        headers.set("Cache-Control", "private");
        headers.set("vary", "X");
        let answer = Answer::new(StatusCode::OK, "text/plain", Bytes::new())
            .cache("no-store")
            .with(HeaderName::from_static("x-one"), HeaderValue::from_static("0"))
            .with(VARY, HeaderValue::from_static("Origin"));
        let answer = headers.apply(answer);
        let found: Vec<_> = answer
            .headers()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect();
        let expected = [
            "vary: Origin",
            "x-one: 2",
            "x-one: 3",
            "content-type: text/x",
            "cache-control: private",
            "vary: X",
        ];
        assert_eq!(found, expected);
    }
}
