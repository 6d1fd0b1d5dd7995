//! [`Proxy`]: what stands between the client and the server.

use std::error::Error;
use std::fmt;

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
            let mut socks = SocksV5::new(address, connector);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            socks.call(server).await.map_err(|e| told(&e))
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
