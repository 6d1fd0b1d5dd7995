//! HTTP answers as a client reads them; no more of RFC 9112 than a client of ours meets.

use std::borrow::Cow;

use crate::{Result, fail};

/// The body of the first whole answer, and how long that is with its head.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<(Cow<'_, [u8]>, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]);
    if !head.starts_with("HTTP/1.1 200") {
        return fail(format!("an answer that is not 200: {}", String::from_utf8_lossy(bytes)));
    }
    if header(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        return fail("the server does not keep the connection");
    }
    if let Some(len) = header(&head, "content-length") {
        let len: usize = len.parse()?;
        return Ok(rest.get(..len).map(|body| (Cow::Borrowed(body), end + 4 + len)));
    }
    if header(&head, "transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        let whole = chunks(rest)?;
        return Ok(whole.map(|(body, len)| (Cow::Owned(body), end + 4 + len)));
    }
    fail(format!("an answer without a length: {head}"))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A body in chunks, and how long those are.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..line])?, 16)?;
        let Some(chunk) = rest.get(line + 2..line + 2 + len + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..len]);
        at += line + 2 + len + 2;
        if len == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first;

    #[track_caller]
    fn check(bytes: &str, body: Option<(&str, usize)>) {
        let got = first(bytes.as_bytes()).unwrap();
        let got = got.map(|(body, len)| (String::from_utf8(body.into_owned()).unwrap(), len));
        assert_eq!(got, body.map(|(body, len)| (body.to_owned(), len)), "{bytes:?}");
    }

    #[test]
    fn takes_whole_answers_only() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        check(answer, Some(("ok", answer.len())));
        check(&format!("{answer}HTTP"), Some(("ok", answer.len())));
        (0..answer.len()).for_each(|len| check(&answer[..len], None));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n\
                       1\r\nk\r\n0\r\n\r\n";
        check(chunked, Some(("ok", chunked.len())));
        (0..chunked.len()).for_each(|len| check(&chunked[..len], None));
    }

    #[test]
    fn refuses_errors_and_connections_that_end() {
        for head in ["HTTP/1.1 400 Bad Request", "HTTP/1.1 200 OK\r\nConnection: close"] {
            let answer = format!("{head}\r\nContent-Length: 0\r\n\r\n");
            assert!(first(answer.as_bytes()).is_err(), "{head}");
        }
    }
}
