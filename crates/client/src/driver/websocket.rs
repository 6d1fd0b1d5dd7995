//! [`WebSocket`]: a WebSocket on any stream: moves bytes, decides nothing.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::Limits;
use roomful_proto::deflate::Deflate;
use roomful_proto::engine::{Outgoing, Packet, Revision};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::{CloseCode, Decoder, Message, Role, WsError};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::net::{BoxStream, Upgraded};

/// Bytes that one read takes at most, into memory of the thread.
pub(super) const READ_BYTES: usize = 32 * 1024;
/// Bytes that are written in one go.
const WRITE_BYTES: usize = 64 * 1024;
/// How long a WebSocket that was closed may take to end.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// Bytes of pongs that may wait to be written: more than what is read at once can ask for.
const PONG_BYTES_MAX: usize = 1024 * 1024;
/// What a pong counts beside its data.
const PONG_COST: usize = 6;
/// More than this is not kept while nothing is written.
const IDLE_BYTES_MAX: usize = 4 * 1024;

/// A WebSocket.
pub(super) struct WebSocket {
    stream: BoxStream,
    decoder: Decoder,
    /// What came behind the answer that opened it.
    ahead: Bytes,
    deflate: Option<Arc<Deflate>>,
    /// Masked frames that are being written.
    out: Vec<u8>,
    written: usize,
    /// Bytes of pongs in there.
    pong_bytes: usize,
    /// Why nothing can be written any more.
    write_error: Option<io::Error>,
}

impl WebSocket {
    pub(super) fn new(upgraded: Upgraded, limits: &Limits, deflate: Option<&Arc<Deflate>>) -> Self {
        let Upgraded { stream, ahead, deflate: agreed } = upgraded;
        // Without the rest of the memory that the answer was read into.
        let ahead = Bytes::copy_from_slice(&ahead);
        let decoder = Decoder::new(Role::Client, limits.payload_bytes_max, limits.fragments_max);
        let decoder = if agreed { decoder.inflating(limits.inflate_ratio_max) } else { decoder };
        let deflate = deflate.filter(|_| agreed).cloned();
        let (out, written, pong_bytes, write_error) = (Vec::new(), 0, 0, None);
        Self { stream, decoder, ahead, deflate, out, written, pong_bytes, write_error }
    }

    pub(super) const fn write_error(&self) -> Option<&io::Error> {
        self.write_error.as_ref()
    }

    pub(super) fn set_write_error(&mut self, error: io::Error) {
        self.write_error = Some(error);
    }

    /// Reads bytes into `scratch`; how many, or 0 at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.ahead.is_empty() {
            let taken = self.ahead.split_to(self.ahead.len().min(scratch.len()));
            scratch[..taken.len()].copy_from_slice(&taken);
            return Poll::Ready(Ok(taken.len()));
        }
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// The next message in what was read; `None` when it is used up.
    pub(super) fn decode(&mut self, input: &mut &mut [u8]) -> Result<Option<Message>, WsError> {
        self.decoder.receive(input)
    }

    /// Whether all has been written.
    pub(super) const fn is_flushed(&self) -> bool {
        self.written == self.out.len()
    }

    /// Takes more that is to be written, when all before has been.
    pub(super) fn fill(&mut self, outgoing: &mut Outgoing, revision: Revision, base64: bool) {
        if self.is_flushed() && !outgoing.is_empty() {
            self.rewind();
            let deflate = self.deflate.as_deref();
            outgoing.take_frames(revision, base64, deflate, WRITE_BYTES, mask, &mut self.out);
        }
    }

    /// Writes a packet of the session behind what is being written.
    pub(super) fn push(&mut self, packet: &Packet) {
        let mut text = Vec::new();
        packet.encode(&mut text);
        self.frame(Opcode::Text, &text);
    }

    /// Answers a ping; `false` where more than [`PONG_BYTES_MAX`] would wait to be written.
    pub(super) fn pong(&mut self, ping: &[u8]) -> bool {
        if self.pong_bytes > PONG_BYTES_MAX {
            return false;
        }
        self.frame(Opcode::Pong, ping);
        self.pong_bytes += ping.len() + PONG_COST;
        true
    }

    /// Asks the server for a pong that says the same.
    pub(super) fn ping(&mut self, says: &[u8]) {
        self.frame(Opcode::Ping, says);
    }

    pub(super) fn close(&mut self, code: Option<CloseCode>) {
        let code = code.map(|code| code.get().to_be_bytes());
        self.frame(Opcode::Close, code.as_ref().map_or(&[], |code| &code[..]));
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.is_flushed() {
            self.rewind();
        }
        frame::write(&mut self.out, opcode, payload, Some(mask()));
    }

    fn rewind(&mut self) {
        (self.written, self.pong_bytes) = (0, 0);
        self.out.clear();
    }

    /// Writes as much as the stream takes; ready when all is written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let rest = &self.out[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        if self.out.capacity() > IDLE_BYTES_MAX {
            self.out = Vec::new();
            self.written = 0;
        }
        // TLS keeps records until it is told.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Writes what is left, says that nothing more comes, and reads what the server still sends until it
    /// has closed, too: a stream that is dropped with something unread is reset, and what was written
    /// last can be lost by that. For [`GOODBYE_TIME`] at most.
    pub(super) async fn say_goodbye(mut self: Box<Self>) {
        let goodbye = async move {
            poll_fn(|cx| self.poll_write(cx)).await?;
            poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
            loop {
                let read = poll_fn(|cx| {
                    let mut scratch = Scratch::take();
                    self.poll_read(cx, scratch.bytes())
                });
                if read.await? == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        let _ = tokio::time::timeout(GOODBYE_TIME, goodbye).await;
    }
}

/// Keys that are drawn from the system in one call.
const KEYS: usize = 256;

/// Random bytes of the thread.
struct Keys {
    bytes: [u8; KEYS * 4],
    left: usize,
}

thread_local! {
    static MASKS: Cell<Option<Box<Keys>>> = const { Cell::new(None) };
}

/// The key for one frame, which nobody can predict (RFC 6455 section 10.3).
fn mask() -> [u8; 4] {
    let mut keys = MASKS
        .try_with(Cell::take)
        .ok()
        .flatten()
        .unwrap_or_else(|| Box::new(Keys { bytes: [0; KEYS * 4], left: 0 }));
    if keys.left == 0 {
        // Where the system gives none, the frames are still right: only a proxy that is attacked through
        // its cache is not protected.
        let _ = getrandom::fill(&mut keys.bytes);
        keys.left = KEYS;
    }
    keys.left -= 1;
    let at = keys.left * 4;
    let key = [keys.bytes[at], keys.bytes[at + 1], keys.bytes[at + 2], keys.bytes[at + 3]];
    let _ = MASKS.try_with(|masks| masks.set(Some(keys)));
    key
}

/// The thread's memory for reading, borrowed for one turn. What is idle has none.
pub(super) struct Scratch(Vec<u8>);

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Scratch {
    pub(super) fn take() -> Self {
        let mut bytes = SCRATCH.try_with(Cell::take).unwrap_or_default();
        bytes.resize(READ_BYTES, 0);
        Self(bytes)
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Fails only while the thread ends, and then nobody needs it.
        let _ = SCRATCH.try_with(|kept| kept.set(std::mem::take(&mut self.0)));
    }
}
