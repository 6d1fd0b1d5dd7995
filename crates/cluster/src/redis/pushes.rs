//! [`Pushes`]: a connection that listens, without what others have published.
//!
//! The library makes a tree of values of each push, which costs more than all else that is done with a message for
//! nobody here. So messages are heard where they lie, and the library gets the rest: it logs in, subscribes, and asks
//! for signs of life. The form is that of RESP 3.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Heard;

/// Bytes that are read at once, and kept for that.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of one thing that are kept. Redis has no longer text; what is longer is for the library as it comes.
const KEPT_BYTES_MAX: usize = 600 << 20;
/// Digits of a length. Redis has none of more.
const DIGITS_MAX: usize = 12;

pub(super) struct Pushes<S, H> {
    stream: S,
    hear: H,
    /// What was read; of that `start..end` is still there.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// So much at the start is for the library.
    passing: usize,
    /// Something was not understood: from there on all is for the library, which tells what it is.
    is_strange: bool,
}

impl<S, H: Fn(Heard<'_>)> Pushes<S, H> {
    pub(super) fn new(stream: S, hear: H) -> Self {
        let buffer = vec![0; READ_BYTES];
        Self { stream, hear, buffer, start: 0, end: 0, passing: 0, is_strange: false }
    }

    /// Hears the messages at the start, up to something that is for the library.
    fn hear(&mut self) {
        while self.passing == 0 && self.start < self.end {
            let input = &self.buffer[self.start..self.end];
            match Front::of(input) {
                Some(Front::Message(heard, len)) => {
                    (self.hear)(heard);
                    self.start += len;
                }
                Some(Front::Other(len)) => self.passing = len,
                None if input.len() < KEPT_BYTES_MAX => return,
                Some(Front::Strange) | None => {
                    self.is_strange = true;
                    self.passing = input.len();
                }
            }
        }
    }

    /// Makes room behind what is there.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == 0 && self.buffer.len() > READ_BYTES {
            // Something large has come.
            self.buffer = vec![0; READ_BYTES];
        } else if self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }
}

impl<S: AsyncRead + Unpin, H: Fn(Heard<'_>) + Unpin> AsyncRead for Pushes<S, H> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.hear();
            if this.passing > 0 {
                let len = this.passing.min(out.remaining());
                out.put_slice(&this.buffer[this.start..this.start + len]);
                this.start += len;
                this.passing -= len;
                return Poll::Ready(Ok(()));
            }
            if this.is_strange {
                return Pin::new(&mut this.stream).poll_read(cx, out);
            }
            this.make_room();
            let mut to = ReadBuf::new(&mut this.buffer[this.end..]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut to))?;
            let read = to.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.end += read;
        }
    }
}

impl<S: AsyncWrite + Unpin, H: Unpin> AsyncWrite for Pushes<S, H> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// What stands at the start of what was read, and its length.
enum Front<'a> {
    Message(Heard<'a>, usize),
    Other(usize),
    Strange,
}

impl<'a> Front<'a> {
    /// `None` where its end has not come yet.
    fn of(input: &'a [u8]) -> Option<Self> {
        if input.first() == Some(&b'>') {
            let mut rest = input;
            match message(&mut rest) {
                Ok(Some(heard)) => return Some(Self::Message(heard, input.len() - rest.len())),
                Err(Stop::Partial) => return None,
                // Another push, such as that something is subscribed.
                Ok(None) | Err(Stop::Strange) => {}
            }
        }
        match skip(input) {
            Ok(len) => Some(Self::Other(len)),
            Err(Stop::Partial) => None,
            Err(Stop::Strange) => Some(Self::Strange),
        }
    }
}

/// Why nothing can be said of it.
enum Stop {
    Partial,
    Strange,
}

/// Reads a message; `Ok(None)` where it is another push.
fn message<'a>(rest: &mut &'a [u8]) -> Result<Option<Heard<'a>>, Stop> {
    let (_, parts) = line(rest)?;
    let has_pattern = match (parts, bulk(rest)?) {
        (3, b"message" | b"smessage") => false,
        (4, b"pmessage") => true,
        _ => return Ok(None),
    };
    let pattern = if has_pattern { Some(bulk(rest)?) } else { None };
    let (channel, payload) = (bulk(rest)?, bulk(rest)?);
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Stop::Strange);
    let pattern = pattern.map(text).transpose()?;
    Ok(Some(Heard::new(text(channel)?, pattern, payload)))
}

/// The length of the value at the start.
fn skip(input: &[u8]) -> Result<usize, Stop> {
    let mut rest = input;
    let mut values = 1_usize;
    while values > 0 {
        values -= 1;
        let [kind, next, ..] = rest else { return Err(Stop::Partial) };
        let is_nothing = *next == b'-';
        match kind {
            // What has no length is nothing.
            b'$' | b'=' | b'!' if !is_nothing => drop(bulk(&mut rest)?),
            b'*' | b'~' | b'>' if !is_nothing => {
                values = values.saturating_add(line(&mut rest)?.1);
            }
            // Of an attribute, its value follows.
            kind @ (b'%' | b'|') => {
                let more = line(&mut rest)?.1.saturating_mul(2);
                values = values.saturating_add(more).saturating_add(usize::from(*kind == b'|'));
            }
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' | b'$' | b'*' => {
                let end = rest.iter().position(|&byte| byte == b'\n').ok_or(Stop::Partial)?;
                rest = &rest[end + 1..];
            }
            _ => return Err(Stop::Strange),
        }
    }
    Ok(input.len() - rest.len())
}

/// Takes a line with a length: its kind, and that.
fn line(rest: &mut &[u8]) -> Result<(u8, usize), Stop> {
    let (kind, digits) = rest.split_first().ok_or(Stop::Partial)?;
    let mut length = 0_usize;
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at < DIGITS_MAX => length = length * 10 + usize::from(byte - b'0'),
            b'\r' if at > 0 => {
                let after = digits.get(at + 1).ok_or(Stop::Partial)?;
                if *after != b'\n' {
                    return Err(Stop::Strange);
                }
                *rest = &digits[at + 2..];
                return Ok((*kind, length));
            }
            _ => return Err(Stop::Strange),
        }
    }
    Err(Stop::Partial)
}

/// Takes a text of bytes with its length before it.
fn bulk<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    let mut after = *rest;
    let (kind, length) = line(&mut after)?;
    if !matches!(kind, b'$' | b'=' | b'!') {
        return Err(Stop::Strange);
    }
    let bytes = after.get(..length).ok_or(Stop::Partial)?;
    match after.get(length..length + 2) {
        Some(b"\r\n") => *rest = &after[length + 2..],
        Some(_) => return Err(Stop::Strange),
        None => return Err(Stop::Partial),
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What Redis says, and in it what is heard and what is left for the library.
    const SAID: [(&str, Option<&str>); 13] = [
        ("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n", None),
        (">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", None),
        (">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhe\r\no\r\n", Some("a None \"he\\r\\no\"")),
        ("+PONG\r\n", None),
        (
            ">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$0\r\n\r\n",
            Some("ab Some(\"a*\") \"\""),
        ),
        (">3\r\n$8\r\nsmessage\r\n$0\r\n\r\n$3\r\n$9\r\r\n", Some(" None \"$9\\r\"")),
        ("*3\r\n$-1\r\n*-1\r\n*2\r\n:-5\r\n$1\r\n>\r\n", None),
        ("-ERR > $\r\n", None),
        ("_\r\n#t\r\n,1.5\r\n(123\r\n", None),
        ("=5\r\ntxt:>\r\n!1\r\ne\r\n~0\r\n", None),
        ("|1\r\n+ttl\r\n:3\r\n*1\r\n:9\r\n", None),
        (">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", None),
        (">3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$1\r\n1\r\n", Some("b None \"1\"")),
    ];

    /// What is heard of some bytes, and what the library gets, where these come in pieces of that size.
    async fn read(bytes: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let (mut redis, stream) = tokio::io::duplex(piece);
        let mut pushes = Pushes::new(stream, move |heard: Heard<'_>| {
            let payload = heard.payload();
            let payload = String::from_utf8_lossy(&payload);
            let said = format!("{} {:?} {payload:?}", heard.channel, heard.pattern);
            hears.lock().unwrap().push(said);
        });
        let says = async {
            tokio::io::AsyncWriteExt::write_all(&mut redis, bytes).await.unwrap();
            drop(redis);
        };
        let mut left = Vec::new();
        let (_, read) = tokio::join!(says, pushes.read_to_end(&mut left));
        read.unwrap();
        (std::mem::take(&mut *heard.lock().unwrap()), left)
    }

    #[tokio::test]
    async fn messages_are_heard_and_all_else_is_left_however_it_comes() {
        let bytes: String = SAID.iter().map(|(said, _)| *said).collect();
        let heard: Vec<_> = SAID.iter().filter_map(|(_, heard)| *heard).collect();
        let left = SAID.iter().filter(|(_, heard)| heard.is_none());
        let left: String = left.map(|(said, _)| *said).collect();
        for piece in (1..40).chain([bytes.len(), 100_000]) {
            let (found, rest) = read(bytes.as_bytes(), piece).await;
            assert_eq!(found, heard, "in pieces of {piece}");
            assert_eq!(String::from_utf8(rest).unwrap(), left, "in pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn what_is_larger_than_the_buffer_is_heard_and_the_buffer_is_as_before() {
        let payload = "x".repeat(3 * READ_BYTES);
        let large =
            format!(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n${}\r\n{payload}\r\n", payload.len());
        let bytes = large.repeat(3) + "+PONG\r\n";
        for piece in [1000, READ_BYTES, bytes.len()] {
            let (heard, left) = read(bytes.as_bytes(), piece).await;
            assert_eq!(heard, [(); 3].map(|()| format!("a None {payload:?}")));
            assert_eq!(left, b"+PONG\r\n");
        }
    }

    #[tokio::test]
    async fn what_is_not_understood_and_all_behind_it_is_left_for_the_library() {
        let message = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n";
        for strange in [
            "what\r\n",
            "\r\n",
            ">x\r\n",
            ">3\r\n$7\r\nmessage\r\n$1\r\naa\r\n$1\r\n1\r\n",
            "$1234567890123\r\n",
            "$?\r\n",
            "*99999999999999999999\r\n",
            "$1\n1\r\n",
        ] {
            let (heard, left) = read(format!("{message}{strange}{message}").as_bytes(), 7).await;
            assert_eq!(heard, ["a None \"1\""], "{strange:?}");
            assert_eq!(String::from_utf8(left).unwrap(), format!("{strange}{message}"));
        }
    }

    #[tokio::test]
    async fn a_channel_that_is_no_text_is_left_for_the_library() {
        let bytes = b">3\r\n$7\r\nmessage\r\n$1\r\n\xff\r\n$1\r\n1\r\n";
        assert_eq!(read(bytes, 100).await, (Vec::new(), bytes.to_vec()));
    }
}
