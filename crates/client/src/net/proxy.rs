//! [`Proxy`]: what stands between the client and the server.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::http::HeaderValue;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::BoxStream;
use crate::error::{BuildError, TransportCause, TransportError};
use crate::lock::lock;

/// A proxy through which the server is reached.
#[derive(Default)]
pub struct Proxy {
    rule: Option<Box<Matcher>>,
}

impl Proxy {
    /// No proxy, whatever the environment says. This is the default.
    pub fn none() -> Self {
        Self::default()
    }

    /// The proxy of this URL, for every server: `http://[user:password@]host:port` is asked by HTTP
    /// CONNECT, `socks5://…` by SOCKS 5, which is given the name of the server to look up.
    ///
    /// # Errors
    ///
    /// Where it is no such URL.
    pub fn url(url: &str) -> Result<Self, BuildError> {
        let uri: Uri = url.parse().map_err(|_| BuildError::Proxy)?;
        let known = matches!(uri.scheme_str(), Some("http" | "socks5" | "socks5h"));
        if !known || uri.host().is_none_or(str::is_empty) {
            return Err(BuildError::Proxy);
        }
        Ok(Self { rule: Some(Box::new(Matcher::builder().all(url.to_owned()).build())) })
    }

    /// The proxy that the environment names: `HTTPS_PROXY` or `HTTP_PROXY` by the scheme of the server,
    /// `ALL_PROXY` for both, also in small letters, and none for the hosts in `NO_PROXY`.
    pub fn environment() -> Self {
        Self { rule: Some(Box::new(Matcher::from_env())) }
    }
}

impl fmt::Debug for Proxy {
    /// Without its address, which may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("is_set", &self.rule.is_some()).finish()
    }
}

/// Connects to the server, through its proxy if it has one.
pub(super) async fn connect(
    proxy: &Proxy,
    mut connector: HttpConnector,
    server: Uri,
) -> Result<BoxStream, TransportError> {
    let intercept = proxy.rule.as_ref().and_then(|rule| rule.intercept(&server));
    let stream = match intercept {
        None => connector.call(server).await.map_err(|e| TransportCause::Stream(told(&e)))?,
        Some(proxy) => through(&proxy, connector, server).await.map_err(TransportCause::Proxy)?,
    };
    Ok(Box::new(stream.into_inner()))
}

async fn through(
    proxy: &Intercept,
    connector: HttpConnector,
    server: Uri,
) -> Result<TokioIo<TcpStream>, String> {
    let address = proxy.uri().clone();
    match address.scheme_str() {
        Some("socks5" | "socks5h") => {
            let why = Arc::default();
            let mut socks = SocksV5::new(address, Noting { connector, why: Arc::clone(&why) });
            let login = proxy.raw_auth();
            if let Some((user, password)) = login {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            socks.call(server).await.map_err(|e| match lock(&why).take() {
                Some(why) => why,
                // As hyper-util tells of a proxy that takes nobody without.
                None if login.is_none() && e.to_string().contains("user/pass") => {
                    "SOCKS error: the proxy wants a user and a password".to_owned()
                }
                None => told(&e),
            })
        }
        Some("http") => {
            let mut tunnel = Tunnel::new(address, connector);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(HeaderValue::clone(auth));
            }
            tunnel.call(server).await.map_err(|e| told(&e))
        }
        other => Err(format!("a proxy of scheme {} is not supported", other.unwrap_or("?"))),
    }
}

/// Connects to a SOCKS proxy, and notes why that has failed, which the error of the whole does not tell.
#[derive(Clone)]
struct Noting {
    connector: HttpConnector,
    why: Arc<Mutex<Option<String>>>,
}

impl Service<Uri> for Noting {
    type Response = TokioIo<TcpStream>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let (connecting, why) = (self.connector.call(proxy), Arc::clone(&self.why));
        Box::pin(async move {
            let connected = connecting.await;
            connected.inspect_err(|e| *lock(&why) = Some(told(e)))
        })
    }
}

/// An error with its causes, each once.
pub(super) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
