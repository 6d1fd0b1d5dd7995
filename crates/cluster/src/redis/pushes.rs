//! [`Pushes`]: a connection without what comes in masses, which [`Ears`] hear before the library reads it.
//!
//! The library makes a tree of values of all that Redis says, which costs more than all else that is done with a message
//! or an entry for nobody here. So these are taken where they lie, and the library gets the rest: it logs in,
//! subscribes, asks, and knows what is answered to what.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Heard;
use super::resp::{Stop, Walk, bulk, line, skip};

/// Bytes that are read at once, and kept for that.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of one thing that are kept. Redis has no longer text; what is longer is for the library as it comes.
const KEPT_BYTES_MAX: usize = 600 << 20;

/// Who is told of what comes.
pub(super) trait Ears: Unpin {
    /// What somebody has published.
    fn message(&self, _heard: Heard<'_>) {}

    /// A map that is answered. `true` where it is taken, and the library is told `OK` in its place.
    fn map(&self, _answer: &[u8]) -> bool {
        false
    }
}

impl<F: Fn(Heard<'_>) + Unpin> Ears for F {
    fn message(&self, heard: Heard<'_>) {
        self(heard);
    }
}

/// What the library is told of an answer that was taken.
const TAKEN: &[u8] = b"+OK\r\n";

pub(super) struct Pushes<S, E> {
    stream: S,
    ears: E,
    /// What was read; of that `start..end` is still there.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// What is known of what is at the start and has not come whole.
    walk: Walk,
    /// So much at the start is for the library.
    passing: usize,
    /// Something was not understood: from there on all is for the library, which tells what it is.
    is_strange: bool,
}

impl<S, E: Ears> Pushes<S, E> {
    pub(super) fn new(stream: S, ears: E) -> Self {
        let buffer = vec![0; READ_BYTES];
        let walk = Walk::BEGINNING;
        Self { stream, ears, buffer, start: 0, end: 0, walk, passing: 0, is_strange: false }
    }

    /// Takes what is at the start, up to something that is for the library.
    fn hear(&mut self) {
        while self.passing == 0 && self.start < self.end {
            let input = &self.buffer[self.start..self.end];
            let front = Front::of(input, &mut self.walk);
            if front.is_some() {
                self.walk = Walk::BEGINNING;
            }
            match front {
                Some(Front::Message(heard, len)) => {
                    self.ears.message(heard);
                    self.start += len;
                }
                Some(Front::Other(len)) => {
                    let is_map = input[0] == b'%' && len >= TAKEN.len();
                    self.passing = len;
                    if is_map && self.ears.map(&input[..len]) {
                        let end = self.start + len;
                        (self.start, self.passing) = (end - TAKEN.len(), TAKEN.len());
                        self.buffer[self.start..end].copy_from_slice(TAKEN);
                    }
                }
                None if input.len() < KEPT_BYTES_MAX => return,
                Some(Front::Strange) | None => {
                    tracing::debug!("Redis says something that only the library may understand");
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

impl<S: AsyncRead + Unpin, E: Ears> AsyncRead for Pushes<S, E> {
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
                this.buffer = Vec::new();
                (this.start, this.end) = (0, 0);
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

impl<S: AsyncWrite + Unpin, E: Unpin> AsyncWrite for Pushes<S, E> {
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
    fn of(input: &'a [u8], walk: &mut Walk) -> Option<Self> {
        if input.first() == Some(&b'>') {
            let mut rest = input;
            match message(&mut rest) {
                Ok(Some(heard)) => return Some(Self::Message(heard, input.len() - rest.len())),
                Err(Stop::Partial) => return None,
                // Another push, such as that something is subscribed.
                Ok(None) | Err(Stop::Strange) => {}
            }
        }
        match skip(input, walk) {
            Ok(len) => Some(Self::Other(len)),
            Err(Stop::Partial) => None,
            Err(Stop::Strange) => Some(Self::Strange),
        }
    }
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

    /// Takes every second map.
    struct Maps(Mutex<Vec<String>>);

    impl Ears for &Maps {
        fn map(&self, answer: &[u8]) -> bool {
            let mut maps = self.0.lock().unwrap();
            maps.push(String::from_utf8_lossy(answer).into_owned());
            maps.len() % 2 == 1
        }
    }

    #[tokio::test]
    async fn a_map_that_is_taken_is_ok_to_the_library_and_one_that_is_not_is_what_it_is() {
        let maps = ["%1\r\n+a\r\n*2\r\n:1\r\n:2\r\n", "%2\r\n+a\r\n_\r\n+b\r\n%0\r\n"];
        let message = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n";
        let bytes = format!("+x\r\n{}{message}{}*1\r\n%0\r\n%0\r\n{}", maps[0], maps[1], maps[0]);
        let left = format!("+x\r\n+OK\r\n{}*1\r\n%0\r\n%0\r\n+OK\r\n", maps[1]);
        for piece in 1..bytes.len() {
            let taken = Maps(Mutex::default());
            let (mut redis, stream) = tokio::io::duplex(piece);
            let mut pushes = Pushes::new(stream, &taken);
            let says = async {
                tokio::io::AsyncWriteExt::write_all(&mut redis, bytes.as_bytes()).await.unwrap();
                drop(redis);
            };
            let mut found = String::new();
            let (_, read) = tokio::join!(says, pushes.read_to_string(&mut found));
            read.unwrap();
            assert_eq!(found, left, "in pieces of {piece}");
            // One of four bytes has no room for that word.
            assert_eq!(*taken.0.lock().unwrap(), [maps[0], maps[1], maps[0]]);
        }
    }
}
