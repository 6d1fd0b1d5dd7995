//! [`Handshake`]: the request that opened a connection, as one compact slice.
//!
//! A header map would keep the whole read buffer of its HTTP library alive for as long as the
//! connection lives. What is asked for later, the query and the headers, is copied out of it.

use std::net::SocketAddr;

use roomful_proto::percent;

use crate::head::Head;

/// What is kept of a request at most; further headers are left out. A browser with cookies sends
/// one or two kilobytes.
const HANDSHAKE_BYTES_MAX: usize = 8 * 1024;

/// Headers about the HTTP connection itself, which say nothing about the client.
const LEFT_OUT: [&str; 12] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "accept",
    "accept-encoding",
    "cache-control",
    "pragma",
    "content-length",
    "content-type",
    "transfer-encoding",
];

/// The request that opened a connection.
#[derive(Clone)]
pub(crate) struct Handshake {
    /// The query, then for each header its name and its value, each ended by a zero byte.
    bytes: Box<[u8]>,
    address: Option<SocketAddr>,
}

impl Handshake {
    pub(crate) fn new(head: &Head<'_>) -> Self {
        let mut bytes = Vec::with_capacity(512);
        push(&mut bytes, head.query.as_bytes());
        for (name, value) in head.headers.iter() {
            let len = name.len() + value.len() + 2;
            let left_out = LEFT_OUT.iter().any(|other| other.eq_ignore_ascii_case(name));
            if left_out || bytes.len() + len > HANDSHAKE_BYTES_MAX {
                continue;
            }
            push(&mut bytes, name.as_bytes());
            push(&mut bytes, value);
        }
        Self { bytes: bytes.into_boxed_slice(), address: head.peer }
    }

    /// The address of the peer, where the server knows it.
    pub(crate) const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The value of the first header of that name, in any case, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name));
        std::str::from_utf8(found?.1).ok()
    }

    /// Names, in the case in which they came, and values.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut parts = self.parts().skip(1);
        std::iter::from_fn(move || {
            let (name, value) = (parts.next()?, parts.next()?);
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    /// The query as it was sent.
    pub(crate) fn query(&self) -> &str {
        let query = self.parts().next().unwrap_or_default();
        std::str::from_utf8(query).unwrap_or_default()
    }

    /// The value of the first query parameter of that name, percent-decoded.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        query_value(self.query(), name)
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|&byte| byte == 0)
    }
}

/// The value of the first parameter of that name, percent-decoded.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| percent_decode(key) == name).map(|(_, value)| percent_decode(value))
}

/// Neither a query nor a header can hold a zero byte: such requests are refused.
fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(part);
    bytes.push(0);
}

/// Decodes `%41` and `+`; what is not UTF-8 is replaced.
fn percent_decode(text: &str) -> String {
    String::from_utf8_lossy(&percent::decode(text.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Headers;

    fn handshake(query: &str, headers: &[(&str, &str)]) -> Handshake {
        let headers: Vec<_> = headers
            .iter()
            .map(|&(name, value)| httparse::Header { name, value: value.as_bytes() })
            .collect();
        let headers = Headers::Slice(&headers);
        Handshake::new(&Head {
            method: "GET",
            path: "/",
            query,
            authority: None,
            headers,
            peer: None,
        })
    }

    #[test]
    fn query_and_headers_are_found_again() {
        let headers = [("X-one", "1"), ("cookie", "a=b"), ("Upgrade", "websocket")];
        let handshake = handshake("EIO=4&name=J%C3%B6+x&bad=%4", &headers);
        assert_eq!(handshake.header("X-One"), Some("1"));
        assert_eq!(handshake.header("cookie"), Some("a=b"));
        assert_eq!(handshake.header("upgrade"), None);
        assert_eq!(handshake.query_value("name").as_deref(), Some("Jö x"));
        assert_eq!(handshake.query_value("bad").as_deref(), Some("%4"));
        assert_eq!(handshake.query_value("none"), None);
    }

    #[test]
    fn a_handshake_is_bounded() {
        let handshake = handshake("", &[("x-big", &"x".repeat(100_000)), ("x-small", "1")]);
        assert_eq!((handshake.header("x-big"), handshake.header("x-small")), (None, Some("1")));
    }
}
