//! One request in the bytes that were read: which are for the front, and how long they are.

use std::mem::MaybeUninit;
use std::net::SocketAddr;

use wide::u8x16;

use super::HEAD_BYTES_MAX;
use crate::http::head::{Head, Headers, is_host};
use crate::http::site::Site;

/// Headers that a request may have; the HTTP library takes as many.
pub(super) const HEADERS_MAX: usize = 100;

/// What bytes at the beginning of a request are.
pub(super) enum Parsed<'a> {
    /// The head has not come whole.
    Partial,
    /// Not for the server, or not written as clients do it every day, or wrong.
    Foreign,
    Ours(Request<'a>),
}

pub(super) struct Request<'a> {
    pub(super) head: Head<'a>,
    pub(super) head_len: usize,
    pub(super) body_len: usize,
    /// The client wants the connection to end behind the answer.
    pub(super) last: bool,
}

/// Where a request ends, and whether the connection ends with it.
#[derive(Default)]
struct Framing {
    body_len: Option<usize>,
    last: bool,
}

/// Reads a request. `room` is where its headers are noted.
pub(super) fn parse<'a>(
    bytes: &'a [u8],
    room: &'a mut [MaybeUninit<httparse::Header<'a>>],
    site: &Site,
    peer: Option<SocketAddr>,
) -> Parsed<'a> {
    let mut request = httparse::Request::new(&mut []);
    let head_len = match request.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Foreign,
    };
    let httparse::Request { method: Some(method), path: Some(target), version: Some(1), headers } =
        request
    else {
        return Parsed::Foreign;
    };
    let mark = target.bytes().position(|byte| byte == b'?').unwrap_or(target.len());
    let (path, query) = (&target[..mark], target.get(mark + 1..).unwrap_or_default());
    let usual = head_len <= HEAD_BYTES_MAX && site.settings.is_ours(path) && are_plain(target);
    let framing = Framing::new(headers).filter(|framing| framing.is_usual(method));
    match framing {
        Some(Framing { body_len, last })
            if usual && body_len.unwrap_or(0) <= site.limits.payload_bytes_max =>
        {
            let headers = Headers::Slice(headers);
            let secure = false;
            let head = Head { method, path, query, authority: None, secure, headers, peer };
            Parsed::Ours(Request { head, head_len, body_len: body_len.unwrap_or(0), last })
        }
        _ => Parsed::Foreign,
    }
}

/// Whether a path, and a query behind the first question mark, are written as always: in characters
/// about which nobody argues, where a question mark is one too. Looks at sixteen at once.
fn are_plain(target: &str) -> bool {
    let (chunks, rest) = target.as_bytes().as_chunks();
    let mut last = [b'a'; 16];
    last[..rest.len()].copy_from_slice(rest);
    chunks.iter().chain([&last]).all(is_plain)
}

fn is_plain(chunk: &[u8; 16]) -> bool {
    let bytes = u8x16::new(*chunk);
    let range = |low, high| {
        bytes.max(u8x16::splat(low)).simd_eq(bytes) & bytes.min(u8x16::splat(high)).simd_eq(bytes)
    };
    let single = |byte| bytes.simd_eq(u8x16::splat(byte));
    let plain = range(b'$', b';') | range(b'?', b'_') | range(b'a', b'z');
    (plain | single(b'!') | single(b'=') | single(b'~')).all()
}

impl Framing {
    /// `None` where a header is there about which two readers might not agree where the request
    /// ends, or which wants something that is not an answer; and where there is not one host.
    fn new(headers: &[httparse::Header<'_>]) -> Option<Self> {
        let mut framing = Self::default();
        let mut hosts = 0;
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                if framing.body_len.is_some() {
                    return None;
                }
                framing.body_len = Some(length(header.value)?);
            } else if is("transfer-encoding") || is("expect") {
                return None;
            } else if is("connection") {
                framing.last |= header.value != b"keep-alive" && names_close(header.value);
            } else if is("host") {
                hosts += if is_host(header.value) { 1 } else { 2 };
            }
        }
        (hosts == 1).then_some(framing)
    }

    /// Whether there is a body where there should be one, and nowhere else.
    fn is_usual(&self, method: &str) -> bool {
        match method {
            "GET" | "OPTIONS" => self.body_len.is_none(),
            "POST" => self.body_len.is_some(),
            _ => false,
        }
    }
}

/// A number of digits alone, and not too many of them.
fn length(digits: &[u8]) -> Option<usize> {
    let usual = !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    let value = |len: usize, digit: &u8| len * 10 + usize::from(digit - b'0');
    usual.then(|| digits.iter().fold(0, value))
}

fn names_close(value: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(headers: &[(&str, &str)]) -> Option<(Option<usize>, bool)> {
        let headers: Vec<_> = [("Host", "x")]
            .iter()
            .chain(headers)
            .map(|&(name, value)| httparse::Header { name, value: value.as_bytes() })
            .collect();
        Framing::new(&headers).map(|framing| (framing.body_len, framing.last))
    }

    #[test]
    fn a_length_is_digits_and_comes_once() {
        assert_eq!(framing(&[("Content-Length", "12")]), Some((Some(12), false)));
        assert_eq!(framing(&[("content-LENGTH", "0")]), Some((Some(0), false)));
        for odd in ["", "+1", "-1", " 1", "1 ", "1,1", "1, 1", "0x1", "1e1", "٣", "9999999999"] {
            assert_eq!(framing(&[("Content-Length", odd)]), None, "{odd:?}");
        }
        assert_eq!(framing(&[("Content-Length", "2"), ("content-length", "2")]), None);
    }

    #[test]
    fn nothing_is_plain_but_what_clients_write() {
        let plain = "!$%&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_\
                     abcdefghijklmnopqrstuvwxyz~";
        assert!(are_plain(plain));
        for byte in 0..=u8::MAX {
            for at in 0..16 {
                let mut chunk = *b"/socket.io/?EIO=";
                chunk[at] = byte;
                assert_eq!(is_plain(&chunk), plain.as_bytes().contains(&byte), "{byte} at {at}");
            }
        }
        for len in 0..60 {
            assert!(are_plain(&"a".repeat(len)));
            assert!(!are_plain(&("a".repeat(len) + "#")));
        }
    }

    #[test]
    fn another_encoding_or_expectation_is_not_for_the_front() {
        for header in [("Transfer-Encoding", "chunked"), ("transfer-encoding", ""), ("Expect", "x")]
        {
            assert_eq!(framing(&[("Content-Length", "2"), header]), None);
            assert_eq!(framing(&[header]), None);
        }
    }

    #[test]
    fn one_close_among_many_is_enough() {
        assert_eq!(framing(&[("Connection", "keep-alive")]), Some((None, false)));
        assert_eq!(framing(&[("Connection", "keep-alive, Close ")]), Some((None, true)));
        let two = [("Connection", "close"), ("Connection", "keep-alive")];
        assert_eq!(framing(&two), Some((None, true)));
    }
}
