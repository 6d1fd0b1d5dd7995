//! [`WebSocket`]: moves bytes between a stream and the codec. It decides nothing.

use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use roomful_proto::ws::{Decoder, Message, Role, WsError};
use roomful_proto::{Form, Limits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::transport::outbox::Batch;

/// Anything that a WebSocket can run over.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a WebSocket runs over. Most run over TCP, and those are called directly.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Other(Box<dyn Duplex>),
}

pub(crate) struct WebSocket {
    side: Side,
    decoder: Decoder,
    /// What the client takes.
    form: Form,
}

/// What the WebSocket has of its stream.
enum Side {
    Both(Wire),
    /// The other half was [given away](WebSocket::split).
    Reading(OwnedReadHalf),
}

impl WebSocket {
    /// Where the client `remembers`, what it sends compressed may refer to what it has sent before.
    pub(crate) fn new(wire: Wire, limits: &Limits, form: Form, remembers: bool) -> Self {
        Self::resumed(wire, Self::decoder(limits, form, remembers), form)
    }

    /// One of which something was read already.
    pub(crate) fn resumed(wire: Wire, decoder: Decoder, form: Form) -> Self {
        Self { side: Side::Both(wire), decoder, form }
    }

    /// What understands one.
    pub(crate) fn decoder(limits: &Limits, form: Form, remembers: bool) -> Decoder {
        let decoder = Decoder::new(Role::Server, limits.payload_bytes_max, limits.fragments_max);
        let decoder = match form {
            Form::Deflated | Form::V3Deflated => decoder.inflating(limits.inflate_ratio_max),
            _ => decoder,
        };
        if remembers { decoder.remembering() } else { decoder }
    }

    /// What the client takes.
    pub(crate) const fn form(&self) -> Form {
        self.form
    }

    /// Gives the writing half away, where the stream has halves.
    pub(crate) fn split(self) -> (Self, Option<OwnedWriteHalf>) {
        match self.side {
            Side::Both(Wire::Tcp(stream)) => {
                let (reading, writing) = stream.into_split();
                (Self { side: Side::Reading(reading), ..self }, Some(writing))
            }
            side => (Self { side, ..self }, None),
        }
    }

    /// Reads what is there into `scratch`; 0 bytes are the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(match &mut self.side {
            Side::Both(wire) => wire.poll_read(cx, &mut buffer),
            Side::Reading(half) => Pin::new(half).poll_read(cx, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// The next message in what was read.
    #[inline]
    pub(crate) fn decode(&mut self, input: &mut &mut [u8]) -> Result<Option<Message>, WsError> {
        self.decoder.receive(input)
    }

    /// Whether a message has begun to arrive and is not whole yet.
    pub(crate) const fn is_within_message(&self) -> bool {
        self.decoder.is_within_message()
    }

    /// Whether it writes by itself, and not somebody else with the other half.
    pub(crate) const fn has_both_halves(&self) -> bool {
        matches!(self.side, Side::Both(_))
    }

    /// Writes a batch until it is empty or the stream is full.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<io::Result<()>> {
        match &mut self.side {
            Side::Both(wire) => wire.poll_write_batch(cx, batch, self.form),
            Side::Reading(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Ends the stream in order.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.side {
            Side::Both(wire) => wire.poll_shutdown(cx),
            Side::Reading(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Wire {
    /// Any stream. One of TCP can be written to by any task.
    pub(crate) fn of<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: T) -> Self {
        let mut stream = Some(stream);
        let any: &mut dyn Any = &mut stream;
        let tcp = any.downcast_mut::<Option<TcpStream>>().and_then(Option::take);
        match (tcp, stream) {
            (Some(tcp), _) => tcp.into(),
            (None, Some(stream)) => Self::Other(Box::new(stream)),
            // It is the one or the other.
            (None, None) => Self::Other(Box::new(tokio::io::empty())),
        }
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        set_options(&stream);
        Self::Tcp(stream)
    }
}

/// What the system holds of what was written to a stream and is not sent yet. Without this it may be
/// megabytes: a slow client then seems to take nothing for minutes, while a ping waits behind all that.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Where an option cannot be set, the connection is only slower.
fn set_options(stream: &TcpStream) {
    // A small packet must not wait for the answer to the one before it.
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

impl Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, to),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, to),
        }
    }

    fn poll_write_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
        form: Form,
    ) -> Poll<io::Result<()>> {
        while !batch.is_empty() {
            match ready!(batch.write(form, |slices| self.poll_write(cx, slices)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => batch.written(len, form),
            }
        }
        self.poll_flush(cx)
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
