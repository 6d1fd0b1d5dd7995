//! [`linger`]: the end of an HTTP connection whose peer may still be sending.
//!
//! A stream that is closed with bytes in it that nobody has read is reset, and the reset destroys
//! answers which the peer has not read yet: a proxy that is still sending a body then sees a broken
//! server, and not the answer that says what is wrong with it (RFC 9112 section 9.6). So what still
//! comes is read and thrown away, up to limits.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::http::site::Site;
use crate::transport::scratch::Scratch;

/// Bytes that are read past behind an answer, on a stream or of one body.
pub(crate) const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Time that this may take.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time in which the next bytes must come.
pub(crate) const LINGER_STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that is left when the server hangs up.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// Says that nothing more comes from here, and reads past what still comes until the peer ends too.
/// Whoever sends beyond the limits is cut off, and counted.
pub(crate) async fn linger<S>(site: &Site, stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shutdown = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx));
    if !matches!(tokio::time::timeout(LINGER_STALL_TIMEOUT, shutdown).await, Ok(Ok(()))) {
        return;
    }
    let mut hung_up = pin!(site.closing.hung_up());
    let mut closing = false;
    let mut until = Instant::now() + LINGER_TIMEOUT;
    let mut read = 0;
    while read < LINGER_BYTES_MAX {
        let stalled = until.min(Instant::now() + LINGER_STALL_TIMEOUT);
        tokio::select! {
            biased;
            () = &mut hung_up, if !closing => {
                closing = true;
                until = until.min(Instant::now() + CLOSING_TIMEOUT);
            }
            len = tokio::time::timeout_at(stalled, read_past(stream)) => match len {
                Ok(0) => return,
                Ok(len) if Instant::now() < until => read += len,
                Ok(_) | Err(_) => break,
            }
        }
    }
    if read > 0 {
        site.metrics.lingers_cut.add();
    }
}

/// Reads some bytes into nowhere; 0 at the end of the stream, be it in order or not.
async fn read_past<S: AsyncRead + Unpin>(stream: &mut S) -> usize {
    let read = poll_fn(|cx| {
        let mut scratch = Scratch::take();
        let mut buffer = ReadBuf::new(&mut scratch);
        let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    });
    read.await.unwrap_or(0)
}
