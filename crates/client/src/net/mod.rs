//! How a stream to the server is opened: TCP or a Unix socket, through a proxy or not, with TLS or
//! without.
//!
//! It knows packets of neither protocol.

mod http;
mod proxy;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::http::{Answer, Exchange, Http, Upgraded, foreign, refusal};
pub use self::proxy::Proxy;
#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsError};
use crate::address::Address;
use crate::error::{TransportCause, TransportError};

/// A stream of bytes to a server. Implemented for whatever reads and writes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Any stream.
pub(crate) type BoxStream = Box<dyn Stream>;

/// Opens a stream, as a user does.
pub(crate) type OpenStream =
    dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send>> + Send + Sync;

/// How streams are opened.
#[derive(Clone)]
pub(crate) enum Way {
    Tcp,
    Unix(PathBuf),
    Custom(Arc<OpenStream>),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("Tcp"),
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// All that is needed to open streams to one server.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) address: Address,
    pub(crate) way: Way,
    pub(crate) proxy: Proxy,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

impl Net {
    /// Opens a stream on which HTTP can be spoken with the server.
    pub(crate) async fn open(&self) -> Result<BoxStream, TransportError> {
        let stream = match &self.way {
            Way::Tcp => self.tcp().await?,
            Way::Unix(path) => unix(path).await?,
            Way::Custom(open) => open().await.map_err(|e| TransportCause::Stream(e.to_string()))?,
        };
        if !self.address.is_secure() {
            return Ok(stream);
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.connect(self.address.host(), stream).await;
        }
        Err(TransportCause::NoTls.into())
    }

    async fn tcp(&self) -> Result<BoxStream, TransportError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let target: Uri = self.address.origin().parse().map_err(|_| TransportCause::Address)?;
        proxy::connect(&self.proxy, connector, target).await
    }
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> Result<BoxStream, TransportError> {
    let stream = tokio::net::UnixStream::connect(path).await;
    let stream = stream.map_err(|e| TransportCause::Stream(format!("{}: {e}", path.display())))?;
    Ok(Box::new(stream))
}

#[cfg(not(unix))]
async fn unix(path: &std::path::Path) -> Result<BoxStream, TransportError> {
    Err(TransportCause::Stream(format!("{}: this system has no Unix sockets", path.display()))
        .into())
}
