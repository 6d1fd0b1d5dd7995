//! [`PacketStream`]: packets on a WebSocket that is not the server's own business.
//!
//! At the node where a client has opened it, it is that client's WebSocket; at the node of the session, it is the
//! client's end of a stream within the process.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use roomful_proto::Form;
use roomful_proto::cluster::sessions::Carried;
use roomful_proto::deflate::Deflate;
use roomful_proto::engine::Data;
use roomful_proto::ws::frame::{self, Header, Opcode};
use roomful_proto::ws::{CloseCode, Decoder, Message, Role, WsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::scratch::Scratch;

/// What may wait to be written before no more is taken.
const FULL_BYTES: usize = 64 * 1024;

pub(super) struct PacketStream<S> {
    stream: S,
    role: Role,
    decoder: Decoder,
    /// What was read and not understood yet.
    input: Vec<u8>,
    output: BytesMut,
    /// How the peer speaks.
    form: Form,
    /// How messages are compressed, where that was agreed on.
    deflate: Option<Arc<Deflate>>,
    /// What was compressed last.
    small: Vec<u8>,
}

/// What has come.
pub(super) enum Heard {
    Packet(Carried),
    /// The peer closes it in order.
    Goodbye,
    /// The peer broke the rules of WebSockets.
    Broken(WsError),
    /// It has ended: without a word, or by a failure.
    Ended(Option<io::ErrorKind>),
    /// There is room again for what is to be sent.
    Room,
}

impl<S: AsyncRead + AsyncWrite + Unpin> PacketStream<S> {
    pub(super) fn new(stream: S, role: Role, decoder: Decoder) -> Self {
        let (input, small) = (Vec::new(), Vec::new());
        let output = BytesMut::new();
        Self { stream, role, decoder, input, output, form: Form::Wire, deflate: None, small }
    }

    /// The same for a peer that takes messages in that form.
    pub(super) fn in_form(self, form: Form, deflate: Option<Arc<Deflate>>) -> Self {
        let deflate = deflate.filter(|_| matches!(form, Form::Deflated | Form::V3Deflated));
        Self { form, deflate, ..self }
    }

    /// The stream, what understands it, and what was read of it and not understood yet.
    pub(super) fn into_parts(self) -> (S, Decoder, Bytes) {
        (self.stream, self.decoder, self.input.into())
    }

    pub(super) fn send(&mut self, packet: &Carried) {
        match packet.frame(self.form) {
            Data::Binary(bytes) => self.message(Opcode::Binary, &bytes, true),
            Data::Text(text) => {
                // The handshake of a socket has ids that are not to be guessed from a size.
                let is_secret = text.starts_with(b"40");
                self.message(Opcode::Text, &text, !is_secret);
            }
        }
    }

    pub(super) fn send_close(&mut self, code: CloseCode) {
        self.frame(Opcode::Close, &code.get().to_be_bytes());
    }

    /// Whether so much waits to be written that no more should be sent.
    pub(super) fn is_full(&self) -> bool {
        self.output.len() >= FULL_BYTES
    }

    /// The next that has come; writes what waits meanwhile. Nothing is lost where it is dropped.
    pub(super) async fn next(&mut self) -> Heard {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next that was read before, if there is one.
    pub(super) fn next_read(&mut self) -> Option<Heard> {
        loop {
            if self.input.is_empty() {
                return None;
            }
            let mut rest = &mut self.input[..];
            let message = self.decoder.receive(&mut rest);
            let left = rest.len();
            let used = self.input.len() - left;
            self.input.drain(..used);
            return Some(match message {
                Ok(Some(Message::Text(text))) => self.heard(Data::Text(text)),
                Ok(Some(Message::Binary(bytes))) => self.heard(Data::Binary(bytes)),
                Ok(Some(Message::Ping(bytes))) => {
                    self.frame(Opcode::Pong, &bytes);
                    continue;
                }
                Ok(Some(Message::Pong(_))) => continue,
                Ok(Some(Message::Close { .. })) => Heard::Goodbye,
                Ok(None) => continue,
                Err(error) => Heard::Broken(error),
            });
        }
    }

    fn heard(&self, frame: Data) -> Heard {
        Heard::Packet(Carried::of_frame(self.form.revision(), frame))
    }

    /// Writes what waits, and says that nothing more comes; no longer than `patience`. The peer's own goodbye is read,
    /// so that its end of the stream is not broken off.
    pub(super) async fn finish(mut self, patience: Duration) {
        let finishing = async {
            poll_fn(|cx| self.poll_write_all(cx)).await.ok();
            poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await.ok();
            loop {
                match self.next().await {
                    Heard::Goodbye | Heard::Broken(_) | Heard::Ended(_) => return,
                    Heard::Packet(_) | Heard::Room => {}
                }
            }
        };
        // A peer that does not take its goodbye is left.
        let _ = tokio::time::timeout(patience, finishing).await;
    }

    /// A message, compressed where it may be and gets smaller.
    fn message(&mut self, opcode: Opcode, payload: &[u8], compressed: bool) {
        let deflate = self.deflate.as_ref().filter(|_| compressed);
        if deflate.is_some_and(|deflate| deflate.message(payload, &mut self.small)) {
            let header = Header::new(opcode, self.small.len(), None).compressed();
            self.output.extend_from_slice(header.as_bytes());
            self.output.extend_from_slice(&self.small);
        } else {
            self.frame(opcode, payload);
        }
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        // A mask hides nothing here.
        let mask = (self.role == Role::Client).then_some([0; 4]);
        let mut out = Vec::with_capacity(payload.len() + frame::HEADER_BYTES_MAX);
        frame::write(&mut out, opcode, payload, mask);
        self.output.extend_from_slice(&out);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let was_full = self.is_full();
        if let Poll::Ready(Err(error)) = self.poll_write_all(cx) {
            return Poll::Ready(Heard::Ended(Some(error.kind())));
        }
        if was_full && !self.is_full() {
            return Poll::Ready(Heard::Room);
        }
        loop {
            if let Some(heard) = self.next_read() {
                return Poll::Ready(heard);
            }
            // A pong may have been added.
            if let Poll::Ready(Err(error)) = self.poll_write_all(cx) {
                return Poll::Ready(Heard::Ended(Some(error.kind())));
            }
            // What rests keeps no memory.
            self.input = Vec::new();
            let mut scratch = Scratch::take();
            let mut to = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut to)) {
                Ok(()) if to.filled().is_empty() => return Poll::Ready(Heard::Ended(None)),
                Ok(()) => self.input.extend_from_slice(to.filled()),
                Err(error) => return Poll::Ready(Heard::Ended(Some(error.kind()))),
            }
        }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        if self.output.capacity() > FULL_BYTES {
            // What rests keeps no memory.
            self.output = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}
