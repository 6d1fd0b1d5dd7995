//! [`Builder`]: how a client is made.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use roomful_proto::deflate::Deflate;
use roomful_proto::engine::{Revision, Transport};
use roomful_proto::percent;
use roomful_proto::socket::manager::Overflow;
use roomful_proto::socket::{ManagerSettings, Reconnection};
use roomful_proto::{Limits, Parser};

use crate::address::Address;
use crate::error::BuildError;
use crate::manager::Manager;
#[cfg(feature = "tls")]
use crate::net::Tls;
use crate::net::{BoxStream, Net, Proxy, Stream, Way};
use crate::settings::Settings;
use crate::shared::Shared;

/// Parameters of Engine.IO.
const RESERVED_PARAMETERS: [&str; 6] = ["EIO", "transport", "sid", "t", "j", "b64"];
/// What the server may send where the user does not say.
static LIMITS: LazyLock<Arc<Limits>> = LazyLock::new(|| Arc::new(Limits::client()));
/// Headers that the client sets itself.
const OWN_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// How a client is made. Where a default is not said to be other, it is that of the official client.
///
/// ```
/// # use roomful_client::{Manager, Reconnection, Transport};
/// # use std::time::Duration;
/// # fn example() -> Result<(), roomful_client::BuildError> {
/// let manager = Manager::builder("https://example.org")?
///     .transports([Transport::WebSocket])
///     .header("authorization", "Bearer …")?
///     .reconnection(Reconnection::every(Duration::from_secs(1)).attempts(5))
///     .build()?;
/// # drop(manager); Ok(()) }
/// # example().unwrap();
/// ```
pub struct Builder {
    address: Address,
    namespace: String,
    query: String,
    path: String,
    headers: HeaderMap,
    cookies: bool,
    transports: Vec<Transport>,
    try_all_transports: bool,
    upgrade: bool,
    remember_upgrade: bool,
    revision: Revision,
    force_base64: bool,
    connect_timeout: Duration,
    ack_timeout: Duration,
    compress_from: Option<usize>,
    parser: Option<Arc<dyn Parser>>,
    manager: ManagerSettings,
    /// Those of all clients without it.
    limits: Option<Limits>,
    inbox_bytes_max: usize,
    handlers_max: usize,
    stream_bytes_max: usize,
    way: Way,
    proxy: Proxy,
    #[cfg(feature = "tls")]
    tls: Tls,
}

impl Builder {
    pub(crate) fn of(url: &str) -> Result<Self, BuildError> {
        let (address, namespace) = Address::parse(url)?;
        let query = address.query().to_owned();
        let builder = Self {
            address,
            namespace,
            query: String::new(),
            path: "/socket.io/".to_owned(),
            headers: HeaderMap::new(),
            cookies: true,
            transports: vec![Transport::Polling, Transport::WebSocket],
            try_all_transports: false,
            upgrade: true,
            remember_upgrade: false,
            revision: Revision::V4,
            force_base64: false,
            connect_timeout: Duration::from_secs(20),
            ack_timeout: Duration::from_secs(10),
            compress_from: Some(1024),
            parser: None,
            manager: ManagerSettings::default(),
            limits: None,
            inbox_bytes_max: 16 * 1024 * 1024,
            handlers_max: 1_000,
            stream_bytes_max: 4 * 1024 * 1024,
            way: Way::Tcp,
            proxy: Proxy::none(),
            #[cfg(feature = "tls")]
            tls: Tls::new(),
        };
        builder.add_query(&query)
    }

    /// The namespace that the path of the URL names, which JavaScript's `io(url)` would connect to; `/`
    /// without one.
    #[doc(alias = "nsp")]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    // What is asked.

    /// The path of the server. Default `/socket.io/`.
    ///
    /// # Errors
    ///
    /// Where it does not begin with `/`, or has a character that no URL has.
    pub fn path(mut self, path: &str) -> Result<Self, BuildError> {
        let fits = path.starts_with('/')
            && path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte));
        if !fits {
            return Err(BuildError::Path);
        }
        self.path = path.to_owned();
        // As the official client (`addTrailingSlash`).
        if !self.path.ends_with('/') {
            self.path.push('/');
        }
        Ok(self)
    }

    /// The path exactly as [`path`](Self::path) says it, without a slash at its end.
    #[doc(alias = "addTrailingSlash")]
    pub fn no_trailing_slash(mut self) -> Self {
        while self.path.len() > 1 && self.path.ends_with('/') {
            self.path.pop();
        }
        self
    }

    /// A parameter that goes with each request, beside those in the URL.
    ///
    /// # Errors
    ///
    /// Where it is Engine.IO's own.
    pub fn query(mut self, name: &str, value: &str) -> Result<Self, BuildError> {
        if RESERVED_PARAMETERS.contains(&name) {
            return Err(BuildError::Query(name.to_owned()));
        }
        if !self.query.is_empty() {
            self.query.push('&');
        }
        percent::encode(name.as_bytes(), &mut self.query);
        self.query.push('=');
        percent::encode(value.as_bytes(), &mut self.query);
        Ok(self)
    }

    /// The query of a URL, as it is.
    fn add_query(mut self, query: &str) -> Result<Self, BuildError> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            if RESERVED_PARAMETERS.contains(&name) {
                return Err(BuildError::Query(name.to_owned()));
            }
        }
        self.query = query.to_owned();
        Ok(self)
    }

    /// A header that goes with each request.
    ///
    /// # Errors
    ///
    /// Where it is none, or one that the client sets itself.
    #[doc(alias = "extraHeaders")]
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, BuildError> {
        let (key, value) = read_header(name, value)?;
        self.headers.append(key, value);
        Ok(self)
    }

    /// Whether cookies that the server sets go with what is sent to it, as sticky load balancers need it.
    /// Default yes, other than in the official client. A server that knows visitors by their cookies, such as
    /// Roomful with recovery, can take the client for somebody else when it first comes back with one that the
    /// first answer has set.
    #[doc(alias = "withCredentials")]
    pub const fn cookies(mut self, cookies: bool) -> Self {
        self.cookies = cookies;
        self
    }

    // How.

    /// The transports, in the order in which they are tried. Default polling, then WebSocket: it begins
    /// with polling and upgrades.
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = transports.into_iter().collect();
        let mut seen = Vec::new();
        self.transports.retain(|transport| {
            let is_new = !seen.contains(transport);
            seen.push(*transport);
            is_new
        });
        self
    }

    /// Whether the next transport is tried where one fails before the connection is open. Default no.
    #[doc(alias = "tryAllTransports")]
    pub const fn try_all_transports(mut self, all: bool) -> Self {
        self.try_all_transports = all;
        self
    }

    /// Whether polling is upgraded to a WebSocket. Default yes.
    pub const fn upgrade(mut self, upgrade: bool) -> Self {
        self.upgrade = upgrade;
        self
    }

    /// Whether to begin with a WebSocket where the last one of this client worked. Default no.
    #[doc(alias = "rememberUpgrade")]
    pub const fn remember_upgrade(mut self, remember: bool) -> Self {
        self.remember_upgrade = remember;
        self
    }

    /// Which Engine.IO is spoken: 4, or 3 for servers of Socket.IO 2. Default 4.
    pub const fn revision(mut self, revision: Revision) -> Self {
        self.revision = revision;
        self
    }

    /// Whether bytes go as base64 in texts also on a WebSocket, for what stands between and takes no bytes.
    /// Default no.
    #[doc(alias = "forceBase64")]
    pub const fn force_base64(mut self, force: bool) -> Self {
        self.force_base64 = force;
        self
    }

    /// From how many bytes on messages are compressed where the server agrees to `permessage-deflate`;
    /// `None` to offer it to no server. Default 1024. Nothing is remembered from message to message, so an
    /// idle connection keeps no memory for it.
    #[doc(alias = "perMessageDeflate")]
    pub const fn compress_from(mut self, bytes: Option<usize>) -> Self {
        self.compress_from = bytes;
        self
    }

    /// The encoding of packets, which must be that of the server, such as [`MsgPack`](crate::MsgPack), or
    /// [`MsgPackV2`](crate::MsgPackV2) for a server of Socket.IO 2.
    ///
    /// One of your own runs under the lock of this client's state: while it works, all that use the client
    /// wait, and if it calls the client it waits for itself, for ever.
    #[doc(alias = "msgpack")]
    pub fn parser(mut self, parser: impl Parser) -> Self {
        self.parser = Some(Arc::new(parser));
        self
    }

    // When.

    /// When the client connects again. Default after 1 s, then 2 s, and at most 5 s, each more or less by
    /// up to a half, without end; the delays begin anew with a connection that has held for
    /// [`steady_after`](Reconnection::steady_after) (10 s).
    #[doc(alias = "reconnectionAttempts")]
    #[doc(alias = "reconnectionDelay")]
    #[doc(alias = "reconnectionDelayMax")]
    #[doc(alias = "randomizationFactor")]
    pub const fn reconnection(mut self, reconnection: Reconnection) -> Self {
        self.manager.reconnection = reconnection;
        self
    }

    /// Time for a connection to be open, and again for a namespace to answer. Default 20 s each. A namespace
    /// that does not answer fails with [`ConnectError::NotAnswered`](crate::ConnectError::NotAnswered), and is
    /// not tried again by itself; where no other one of the connection is connected, the connection is closed
    /// and made again.
    #[doc(alias = "timeout")]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self.manager.join_timeout = timeout;
        self
    }

    /// Time for an answer, where a [`Call`](crate::Call) does not say another. Default 10 s, other than in
    /// the official client, which waits for ever.
    #[doc(alias = "ackTimeout")]
    pub const fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// How often events are sent again, and the time for the ack each time, where
    /// [`Socket::retry_events`](crate::Socket::retry_events) says that they are. Default 3 times, 10 s.
    #[doc(alias = "ackTimeout")]
    pub const fn retries(mut self, retries: u32, timeout: Duration) -> Self {
        self.manager.retries = retries;
        self.manager.retry_timeout = timeout;
        self
    }

    // How much.

    /// Bytes that may wait to be sent, of all sockets together. Default 16 MiB; above it `emit` drops the
    /// event, with a line in the log, and `try_emit` says so.
    pub const fn waiting_bytes_max(mut self, bytes: usize) -> Self {
        self.manager.waiting_bytes_max = bytes;
        self
    }

    /// What happens to an event above that while its socket is not connected. Default
    /// [`Overflow::Refuse`].
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.manager.overflow = overflow;
        self
    }

    /// Events of one socket that may wait for their answer. Default 100,000.
    pub const fn acks_max(mut self, acks: usize) -> Self {
        self.manager.acks_max = acks;
        self
    }

    /// Limits on what the server sends. Default [`Limits::client`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Bytes of events that wait for handlers. Default 16 MiB; above it nothing is read from the server
    /// until half of it is worked off.
    pub const fn inbox_bytes_max(mut self, bytes: usize) -> Self {
        self.inbox_bytes_max = bytes;
        self
    }

    /// Handlers that run at once, those that wait for something included. Default 1,000; others start when
    /// one has ended.
    pub const fn handlers_max(mut self, handlers: usize) -> Self {
        self.handlers_max = handlers;
        self
    }

    /// Bytes of events that wait in one stream. Default 4 MiB; above it the oldest are dropped, and the
    /// stream tells how many.
    pub const fn stream_bytes_max(mut self, bytes: usize) -> Self {
        self.stream_bytes_max = bytes;
        self
    }

    // By which way.

    /// The proxy, of both transports. Default none.
    #[doc(alias = "agent")]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Whom to trust, for `https`. Default the roots of the system.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Connects through this Unix socket, in place of the host and the port of the URL.
    #[doc(alias = "socketPath")]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.way = Way::Unix(path.into());
        self
    }

    /// Connects by streams that `open` opens, in place of TCP to the host and the port of the URL: one for
    /// a WebSocket, and up to two at once for polling.
    #[doc(alias = "agent")]
    #[doc(alias = "localAddress")]
    #[doc(alias = "family")]
    pub fn stream<F, Fut, S>(mut self, open: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream,
    {
        self.way = Way::Custom(Arc::new(move || {
            let opening = open();
            Box::pin(async move { Ok(Box::new(opening.await?) as BoxStream) })
        }));
        self
    }

    /// The client. Nothing is connected before [`Socket::connect`](crate::Socket::connect).
    ///
    /// # Errors
    ///
    /// Where no transport is left, or TLS cannot be set up.
    pub fn build(self) -> Result<Manager, BuildError> {
        if self.transports.is_empty() {
            return Err(BuildError::NoTransport);
        }
        let mut manager = self.manager;
        manager.limits = match self.limits {
            Some(limits) => Arc::new(limits),
            None => Arc::clone(&LIMITS),
        };
        let mut address = self.address;
        address.set_query(self.query);
        let net = Net {
            #[cfg(feature = "tls")]
            tls: if address.is_secure() { Some(self.tls.ready()?) } else { None },
            address,
            way: self.way,
            proxy: self.proxy,
        };
        let mut seed = [0; 8];
        // Without randomness clients only come back at the same time.
        let _ = getrandom::fill(&mut seed);
        // By far the most is gained at the lowest level.
        let deflate = self.compress_from.map(|threshold| Arc::new(Deflate::new(threshold, 1)));
        let settings = Settings {
            net: Arc::new(net),
            path: self.path,
            headers: Mutex::new(self.headers),
            cookies: self.cookies.then(Arc::default),
            transports: self.transports,
            try_all_transports: self.try_all_transports,
            upgrade: self.upgrade,
            remember_upgrade: self.remember_upgrade,
            websocket_worked: AtomicBool::new(false),
            revision: self.revision,
            force_base64: self.force_base64,
            connect_timeout: self.connect_timeout,
            ack_timeout: self.ack_timeout,
            deflate,
            parser: self.parser,
            manager: Arc::new(manager),
            inbox_bytes_max: self.inbox_bytes_max,
            handlers_max: self.handlers_max,
            stream_bytes_max: self.stream_bytes_max,
        };
        Ok(Manager::new(Shared::start(settings, u64::from_ne_bytes(seed))))
    }
}

/// A header as the HTTP library has it.
pub(crate) fn read_header(
    name: &str,
    value: &str,
) -> Result<(HeaderName, HeaderValue), BuildError> {
    let bad = || BuildError::Header(name.to_owned());
    let key = HeaderName::try_from(name).map_err(|_| bad())?;
    if OWN_HEADERS.contains(&key) {
        return Err(bad());
    }
    let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok((key, value))
}

impl fmt::Debug for Builder {
    /// Without headers and the query, in which there may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("transports", &self.transports).finish_non_exhaustive()
    }
}
