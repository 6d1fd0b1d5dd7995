//! [`Request`]: a request below the path of the server, as functions of the user's see it.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::ground::handshake::{self, Handshake};
use crate::http::head::Head;

/// The head of a request below the path of the server, before a session is opened or found for it.
///
/// The session id in its query is a secret: whoever knows it can speak for the client.
#[derive(Clone)]
pub struct Request<'a>(Source<'a>);

#[derive(Clone)]
enum Source<'a> {
    Head(Head<'a>),
    Kept(Arc<Kept>),
}

struct Kept {
    method: Box<str>,
    handshake: Handshake,
}

impl<'a> Request<'a> {
    pub(crate) const fn new(head: Head<'a>) -> Self {
        Self(Source::Head(head))
    }

    /// The method, such as `GET`.
    pub fn method(&self) -> &str {
        match &self.0 {
            Source::Head(head) => head.method,
            Source::Kept(kept) => &kept.method,
        }
    }

    /// The path as it was sent, without the query. Where the server is a tower service in a router,
    /// the router may have taken the beginning off.
    pub fn path(&self) -> &str {
        match &self.0 {
            Source::Head(head) => head.path,
            Source::Kept(kept) => kept.handshake.path(),
        }
    }

    /// The query as it was sent, without the question mark.
    pub fn query_string(&self) -> &str {
        match &self.0 {
            Source::Head(head) => head.query,
            Source::Kept(kept) => kept.handshake.query_string(),
        }
    }

    /// The first parameter of that name in the query, percent-decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        handshake::query_value(self.query_string(), name)
    }

    /// The first header of that name, in any case, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        match &self.0 {
            Source::Head(head) => {
                let mut headers = head.headers.iter();
                let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
                std::str::from_utf8(found?.1).ok()
            }
            Source::Kept(kept) => kept.handshake.header(name),
        }
    }

    /// The names, in lower case, and values of all headers.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, &[u8])> {
        let (head, kept) = match &self.0 {
            Source::Head(head) => (Some(head.headers.iter()), None),
            Source::Kept(kept) => (None, Some(kept.handshake.headers())),
        };
        let headers = head.into_iter().flatten().chain(kept.into_iter().flatten());
        headers.map(|(name, value)| match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => (Cow::Owned(name.to_ascii_lowercase()), value),
            false => (Cow::Borrowed(name), value),
        })
    }

    /// The host that it goes to, with its port: what its first line names, or its header `host`.
    pub(crate) fn host(&self) -> Option<&str> {
        match &self.0 {
            Source::Head(head) => head.host(),
            Source::Kept(kept) => kept.handshake.header("host"),
        }
    }

    /// The address of the peer: a proxy's, where there is one. `None` when the server is embedded
    /// in another that did not say (see [`PeerAddress`](crate::PeerAddress)).
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Source::Head(head) => head.peer,
            Source::Kept(kept) => kept.handshake.address(),
        }
    }

    /// A copy that lends nothing, to be taken where the request itself cannot go. It has up to 16 KiB of
    /// the path, the query and the headers, and none that are about the HTTP connection itself, such as
    /// `Upgrade` or `Content-Type`.
    pub fn into_owned(self) -> Request<'static> {
        Request(Source::Kept(match self.0 {
            Source::Kept(kept) => kept,
            Source::Head(head) => {
                Arc::new(Kept { method: head.method.into(), handshake: head.handshake() })
            }
        }))
    }

    /// What a session keeps of the request that opened it.
    pub(crate) fn to_handshake(&self) -> Handshake {
        match &self.0 {
            Source::Head(head) => head.handshake(),
            Source::Kept(kept) => kept.handshake.clone(),
        }
    }
}

impl fmt::Debug for Request<'_> {
    /// Without the query and the headers, in which secrets are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Headers;

    #[test]
    fn a_copy_says_the_same() {
        let header = |name, value| httparse::Header { name, value };
        let headers = [header("X-One", b"1"), header("x-two", b"\xff"), header("Cookie", b"a=b")];
        let head = Head {
            method: "GET",
            path: "/live/x",
            query: "a=%41&b=c+d",
            authority: None,
            secure: false,
            headers: Headers::Slice(&headers),
            peer: Some(([127, 0, 0, 1], 80).into()),
        };
        let request = Request::new(head);
        for request in [request.clone(), request.into_owned()] {
            assert_eq!((request.method(), request.path()), ("GET", "/live/x"));
            assert_eq!(request.query_string(), "a=%41&b=c+d");
            assert_eq!(request.query("a").as_deref(), Some("A"));
            assert_eq!(request.query("b").as_deref(), Some("c d"));
            assert_eq!(request.header("x-ONE"), Some("1"));
            assert_eq!(request.header("x-two"), None);
            assert_eq!(request.header("x-three"), None);
            assert_eq!(request.address(), Some(([127, 0, 0, 1], 80).into()));
            let all: Vec<_> = request.headers().collect();
            let expected = [("x-one", &b"1"[..]), ("x-two", b"\xff"), ("cookie", b"a=b")];
            assert_eq!(all, expected.map(|(name, value)| (Cow::Borrowed(name), value)));
            assert!(!format!("{request:?}").contains("a=b"));
        }
    }
}
