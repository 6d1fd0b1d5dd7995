//! [`Client`]: a stream with a client at its other end, which answers as soon as it has heard.
//!
//! What it says it says within the server's write, so nothing has to be kept between the two but
//! which of a few things is to be said next, and whom to wake for it: 24 bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::load::frames::{self, Kind};
use crate::{Result, fail};

/// What all clients of the process have seen.
pub(super) struct Tally {
    pub(super) joined: AtomicUsize,
    pub(super) pings: AtomicUsize,
}

pub(super) static TALLY: Tally = Tally { joined: AtomicUsize::new(0), pings: AtomicUsize::new(0) };

/// What a server writes in one piece at most, to a client that does nothing.
const PIECE_BYTES_MAX: usize = 1024;

const UPGRADE: &[u8] = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
// Masked, as a client must; a mask of zeros changes nothing.
const JOIN: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'4', b'0'];
const PONG: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'3'];

pub(super) struct Client {
    awaits: Awaits,
    says: Says,
    waker: Option<Waker>,
}

#[derive(Clone, Copy)]
enum Awaits {
    Upgrade,
    Open,
    Join,
    Ping,
}

enum Says {
    Nothing,
    Upgrade,
    Join,
    Pong,
}

impl Default for Client {
    fn default() -> Self {
        Self { awaits: Awaits::Upgrade, says: Says::Upgrade, waker: None }
    }
}

impl Client {
    /// Hears all of one piece.
    fn hear(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Awaits::Upgrade = self.awaits {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let (Some(end), true) = (end, bytes.starts_with(b"HTTP/1.1 101")) else {
                return fail(format!("no upgrade: {}", String::from_utf8_lossy(bytes)));
            };
            bytes = &bytes[end + 4..];
            self.awaits = Awaits::Open;
        }
        while let Some((kind, payload, len)) = frames::first(bytes)? {
            bytes = &bytes[len..];
            self.says = match (self.awaits, kind, payload) {
                (Awaits::Open, Kind::Text, [b'0', ..]) => {
                    self.awaits = Awaits::Join;
                    Says::Join
                }
                (Awaits::Join, Kind::Text, [b'4', b'0', ..]) => {
                    self.awaits = Awaits::Ping;
                    TALLY.joined.fetch_add(1, Relaxed);
                    continue;
                }
                (Awaits::Ping, Kind::Text, b"2") => {
                    TALLY.pings.fetch_add(1, Relaxed);
                    Says::Pong
                }
                _ => return fail(format!("unexpected: {}", String::from_utf8_lossy(payload))),
            };
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
        if bytes.is_empty() { Ok(()) } else { fail("a frame in pieces") }
    }

    const fn say(&mut self) -> &'static [u8] {
        match std::mem::replace(&mut self.says, Says::Nothing) {
            Says::Nothing => &[],
            Says::Upgrade => UPGRADE,
            Says::Join => JOIN,
            Says::Pong => PONG,
        }
    }

    /// Has no server, but hears all that joins it to one.
    pub(super) fn join_nothing(&mut self) -> Result<()> {
        self.exchange(b"HTTP/1.1 101\r\n\r\n\x81\x010")?;
        self.exchange(b"\x81\x0240")
    }

    /// Hears a ping, answers it and waits for the next.
    pub(super) fn be_pinged(&mut self) -> Result<()> {
        self.exchange(b"\x81\x012")
    }

    fn exchange(&mut self, bytes: &[u8]) -> Result<()> {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut buffer = [0; PIECE_BYTES_MAX];
        self.hear(bytes)?;
        while Pin::new(&mut *self).poll_read(cx, &mut ReadBuf::new(&mut buffer))?.is_ready() {}
        Ok(())
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = self.say();
        if bytes.is_empty() {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if bytes.len() > to.remaining() {
            return Poll::Ready(Err(io::Error::other("too little room to read")));
        }
        to.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Ends the connection, which is missed when the connections are counted.
        self.hear(from).map_err(|error| io::Error::other(error.to_string()))?;
        Poll::Ready(Ok(from.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (mut whole, mut len) = ([0; PIECE_BYTES_MAX], 0);
        for slice in from {
            let Some(room) = whole.get_mut(len..len + slice.len()) else {
                return Poll::Ready(Err(io::Error::other("more than an idle client is sent")));
            };
            room.copy_from_slice(slice);
            len += slice.len();
        }
        self.poll_write(cx, &whole[..len])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
