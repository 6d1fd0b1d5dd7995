//! What a server is set to: [`Config`], with its defaults and their reasons.

use std::time::Duration;

use roomful_proto::Limits;

use crate::compression::{Compression, HttpCompression};

/// What a server is set to. Made by [`Builder`](crate::Builder).
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Without a slash at its end.
    pub(crate) path: String,
    pub(crate) limits: Limits,
    pub(crate) origins: Origins,
    pub(crate) transports: Transports,
    pub(crate) serve_client: bool,
    /// Of WebSocket messages; `None` for none.
    pub(crate) compression: Option<Compression>,
    pub(crate) http_compression: HttpCompression,
    pub(crate) outbox_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) http_connections_max: usize,
    pub(crate) handlers_max: usize,
    pub(crate) asks_max: usize,
    pub(crate) rooms_max: usize,
    pub(crate) ack_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

impl Config {
    /// Whether a path is that of the server or below it.
    pub(crate) fn is_ours(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            limits: Limits::default(),
            origins: Origins::SameHost,
            transports: Transports::Both,
            serve_client: true,
            compression: None,
            http_compression: HttpCompression::default(),
            outbox_bytes_max: 8 * 1024 * 1024,
            connections_max: 1_000_000,
            http_connections_max: 100_000,
            handlers_max: 1_024,
            asks_max: 16_384,
            rooms_max: 1_000,
            ack_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// Which web pages may connect, by their origin (scheme, host and port).
///
/// A browser names the origin of a page with every request; other programs name none and are not
/// held back by this. It is checked for polling and for WebSocket alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Only pages of the host that the request goes to. The default.
    #[default]
    SameHost,
    /// All pages. With cookies as the only proof of who somebody is, any page can then act for its
    /// visitors.
    Any,
    /// Pages of the same host and of these origins, such as `https://example.org`.
    List(Vec<String>),
}

impl Origins {
    /// Whether a page of `origin` may connect to `host`.
    pub(crate) fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        let same_host = || {
            let authority = origin.split_once("://");
            authority
                .zip(host)
                .is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host))
        };
        match self {
            Self::Any => true,
            Self::SameHost => same_host(),
            Self::List(origins) => {
                origins.iter().any(|listed| origin.eq_ignore_ascii_case(listed)) || same_host()
            }
        }
    }
}

/// Which transports clients may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transports {
    /// Polling, WebSocket, and the upgrade from the one to the other. The default.
    #[default]
    Both,
    /// Only HTTP long-polling.
    PollingOnly,
    /// Only WebSocket.
    WebSocketOnly,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_whole() {
        let check = |origins: &Origins, origin: &str, allowed: bool| {
            let host = Some("example.org:3000");
            assert_eq!(origins.allow(origin, host), allowed, "{origin:?}");
        };
        let same = Origins::SameHost;
        check(&same, "http://example.org:3000", true);
        check(&same, "https://EXAMPLE.org:3000", true);
        check(&same, "http://example.org", false);
        check(&same, "http://evil-example.org:3000", false);
        check(&same, "http://example.org:3000.evil.org", false);
        check(&same, "null", false);
        let list = Origins::List(vec!["https://app.example.com".into()]);
        check(&list, "https://app.example.com", true);
        check(&list, "http://app.example.com", false);
        check(&list, "https://app.example.com.evil.org", false);
        check(&list, "http://example.org:3000", true);
        check(&Origins::Any, "null", true);
    }
}
