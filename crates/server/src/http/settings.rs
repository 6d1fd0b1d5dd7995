//! [`HttpSettings`]: what a server is set to for HTTP, with its defaults and their reasons.

use std::fmt;
use std::ops::BitOr;
use std::time::Duration;

use roomful_proto::engine::Transport;

use crate::ground::compression::HttpCompression;
use crate::http::bundle::ServeClient;
use crate::http::cookie::Cookie;
use crate::http::head::Head;
use crate::http::hooks::Hooks;
use crate::http::origin::cors::Cors;
use crate::http::origin::hosts::Hosts;
use crate::http::origin::origins::Origins;

/// What a server is set to for HTTP. Made by [`Builder`](crate::Builder).
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings {
    /// Without a slash at its end; empty for everything.
    pub(crate) path: String,
    /// Whether the path itself, without a slash behind it, is somebody else's.
    pub(crate) slash_required: bool,
    pub(crate) origins: Origins,
    /// `None` is any host.
    pub(crate) hosts: Option<Hosts>,
    pub(crate) cors: Cors,
    pub(crate) cookie: Option<Cookie>,
    pub(crate) transports: Transports,
    pub(crate) allow_eio3: bool,
    pub(crate) jsonp: bool,
    pub(crate) serve_client: ServeClient,
    pub(crate) http_compression: HttpCompression,
    pub(crate) http_connections_max: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) allow_timeout: Duration,
    pub(crate) hooks: Hooks,
}

impl HttpSettings {
    /// Whether a path is that of the server or below it.
    pub(crate) fn is_ours(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.path.as_str());
        rest.is_some_and(|rest| rest.starts_with('/') || rest.is_empty() && !self.slash_required)
    }

    /// Whether a request may go to its host.
    pub(crate) fn has_host(&self, head: &Head<'_>) -> bool {
        let host = || head.host().unwrap_or_default();
        self.hosts.as_ref().is_none_or(|hosts| hosts.has(host()))
    }

    /// Whether pages of an origin may connect by a request.
    pub(crate) fn allows(&self, origin: &str, head: &Head<'_>) -> bool {
        let host = head.host();
        // Behind a proxy nobody knows by which scheme the request was sent, unless the list of hosts says it
        // or the request itself.
        let scheme_fits = |scheme: &str| {
            let listed = self.hosts.as_ref().zip(host);
            !(head.secure && scheme.eq_ignore_ascii_case("http"))
                && listed.is_none_or(|(hosts, host)| hosts.has_pages(host, scheme))
        };
        self.origins.allow(origin, host, scheme_fits)
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            slash_required: false,
            origins: Origins::SameHost,
            hosts: None,
            cors: Cors::new(),
            cookie: None,
            transports: Transports::ALL,
            allow_eio3: false,
            jsonp: false,
            serve_client: ServeClient::Embedded,
            http_compression: HttpCompression::default(),
            http_connections_max: 100_000,
            request_timeout: Duration::from_secs(30),
            // Longer than most proxies keep theirs, 60 to 120 s, so that it is the proxy that ends them.
            keep_alive_timeout: Duration::from_secs(180),
            allow_timeout: Duration::from_secs(10),
            hooks: Hooks::default(),
        }
    }
}

/// The transports that clients may use: a set.
///
/// ```
/// use roomful::{Server, Transports};
///
/// let io = Server::builder().transports(Transports::WEBSOCKET).build();
/// assert_eq!(Transports::default(), Transports::POLLING | Transports::WEBSOCKET);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transports(u8);

impl Transports {
    /// All that there are, with the upgrade from polling to the others. The default.
    pub const ALL: Self = Self(Self::POLLING.0 | Self::WEBSOCKET.0);
    /// HTTP long-polling.
    pub const POLLING: Self = Self(1);
    /// WebSocket.
    pub const WEBSOCKET: Self = Self(2);

    /// Whether all of `other` are in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn has(self, transport: Transport) -> bool {
        match transport {
            Transport::Polling => self.contains(Self::POLLING),
            Transport::WebSocket => self.contains(Self::WEBSOCKET),
        }
    }
}

impl BitOr for Transports {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Default for Transports {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(Self::POLLING, "polling"), (Self::WEBSOCKET, "websocket")];
        let names = names.into_iter().filter(|(one, _)| self.contains(*one));
        f.debug_set().entries(names.map(|(_, name)| name)).finish()
    }
}
