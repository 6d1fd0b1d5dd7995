//! [`WebSocket`]: moves bytes between a stream and the codec. It decides nothing.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use roomful_proto::Parcel;
use roomful_proto::ws::{Decoder, Message, Role, WsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::core::Core;
use crate::outbox;

/// Parcels that one system call writes at most.
const PARCELS_PER_WRITE: usize = 64;

/// Anything that a WebSocket can run over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a WebSocket runs over. Most run over TCP, and those are called directly.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Other(Box<dyn Stream>),
}

pub(crate) struct WebSocket {
    wire: Wire,
    decoder: Decoder,
    /// Bytes of the first parcel to send that are written already.
    written: usize,
    /// The client takes no binary frames.
    text_only: bool,
}

impl WebSocket {
    pub(crate) fn new(wire: Wire, core: &Core, text_only: bool) -> Self {
        let limits = &core.limits;
        let decoder = Decoder::new(Role::Server, limits.payload_bytes_max, limits.fragments_max);
        Self { wire, decoder, written: 0, text_only }
    }

    /// Reads what is there into `scratch`; 0 bytes are the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(self.wire.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// The next message in what was read.
    pub(crate) fn decode(&mut self, input: &mut &mut [u8]) -> Result<Option<Message>, WsError> {
        self.decoder.receive(input)
    }

    /// Whether the first parcel is written in part, so that nothing can go before it.
    pub(crate) const fn is_inside_parcel(&self) -> bool {
        self.written > 0
    }

    /// Writes parcels until there are none or the stream is full. What was written whole leaves the
    /// queue, and its cost is added to `cost`.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        sending: &mut VecDeque<Parcel>,
        cost: &mut usize,
    ) -> Poll<io::Result<()>> {
        while !sending.is_empty() {
            let written = ready!(self.poll_write_some(cx, sending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            while let Some(first) = sending.front() {
                let len = form(first, self.text_only).len();
                if self.written < len {
                    break;
                }
                self.written -= len;
                *cost += outbox::cost(first);
                sending.pop_front();
            }
        }
        self.wire.poll_flush(cx)
    }

    fn poll_write_some(
        &mut self,
        cx: &mut Context<'_>,
        sending: &VecDeque<Parcel>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); PARCELS_PER_WRITE];
        let mut count = 0;
        for (slice, parcel) in slices.iter_mut().zip(sending) {
            let skip = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&form(parcel, self.text_only)[skip..]);
            count += 1;
        }
        self.wire.poll_write(cx, &slices[..count])
    }

    /// Ends the stream in order.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_shutdown(cx)
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, to),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, to),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, from),
            Self::Other(stream) => Pin::new(stream).poll_write_vectored(cx, from),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // The system sends by itself.
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The form of a parcel that this client takes.
fn form(parcel: &Parcel, text_only: bool) -> &[u8] {
    if text_only { parcel.text_only() } else { parcel.wire() }
}
