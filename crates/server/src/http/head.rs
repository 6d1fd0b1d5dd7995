//! [`Head`]: what the door asks of a request, whichever HTTP code has read it.

use std::borrow::Cow;
use std::net::SocketAddr;

use http::HeaderMap;

use crate::ground::handshake::Handshake;

/// The head of a request. Borrowed: what is kept of it is copied out.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Behind the question mark; empty where there is none.
    pub(crate) query: &'a str,
    /// The host, with its port, where the first line of the request names it, as HTTP/2 does, and HTTP/1.1
    /// to a proxy.
    pub(crate) authority: Option<&'a str>,
    /// Whether it says of itself that it is an `https` one, as HTTP/2 can.
    pub(crate) secure: bool,
    pub(crate) headers: Headers<'a>,
    pub(crate) peer: Option<SocketAddr>,
}

/// The headers of a request, as one of two parsers gives them.
#[derive(Clone, Copy)]
pub(crate) enum Headers<'a> {
    Map(&'a HeaderMap),
    Slice(&'a [httparse::Header<'a>]),
}

impl<'a> Head<'a> {
    /// The value of the first header of that name, which must be given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a [u8]> {
        match self.headers {
            Headers::Map(map) => map.get(name).map(http::HeaderValue::as_bytes),
            Headers::Slice(headers) => {
                let mut headers = headers.iter();
                headers.find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
            }
        }
    }

    /// The same, where it is text: ASCII that can be seen, blanks and tabs.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        text(self.header(name)?)
    }

    /// What is kept of it.
    pub(crate) fn handshake(&self) -> Handshake {
        Handshake::new(self.secure, self.path, self.query, self.headers.iter(), self.peer)
    }

    /// Bytes of all that is said.
    pub(crate) fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 2);
        self.path.len() + self.query.len() + 4 + headers.sum::<usize>()
    }

    /// The values of all headers of that name as one list (RFC 9110 section 5.3), where they are text.
    pub(crate) fn list(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut lines = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let first = text(lines.next()?.1)?;
        lines.try_fold(Cow::Borrowed(first), |list, (_, value)| {
            text(value).map(|value| Cow::Owned(format!("{list}, {value}")))
        })
    }

    /// The same, where it comes only once.
    pub(crate) fn only_text(&self, name: &str) -> Option<&'a str> {
        let comes_again = match self.headers {
            Headers::Map(map) => map.get_all(name).iter().nth(1).is_some(),
            Headers::Slice(headers) => {
                headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).nth(1).is_some()
            }
        };
        self.text(name).filter(|_| !comes_again)
    }

    /// Whether its headers say rightly, and not twice, for which host it is (RFC 9112 section 3.2); or not at
    /// all, unless one `must` be there.
    pub(crate) fn has_right_host(&self, must: bool) -> bool {
        let mut hosts = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        hosts.next().map_or(!must, |(_, host)| is_host(host)) && hosts.next().is_none()
    }

    /// The host that the request goes to, with its port. Where the first line names one, the header does not
    /// count (RFC 9112 section 3.2.2).
    pub(crate) fn host(&self) -> Option<&'a str> {
        self.authority.or_else(|| self.text("host"))
    }
}

/// Whether the value of a header can be a host with a port (RFC 3986 section 3.2.2), or nothing, as in a
/// request for no host in particular.
pub(crate) fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte))
}

fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|&byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

impl<'a> Headers<'a> {
    /// Names, in the case in which they came, and values.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let (map, slice): (_, &[_]) = match self {
            Self::Map(map) => (Some(map), &[]),
            Self::Slice(slice) => (None, slice),
        };
        let map = map.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_bytes()));
        map.chain(slice.iter().map(|header| (header.name, header.value)))
    }
}
