//! [`Server`] and its [`Builder`].

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::compression::{Compression, HttpCompression};
use crate::config::{Config, Origins, Transports};
use crate::core::Core;
use crate::metrics::Stats;
use crate::namespace::Namespace;
use crate::serve::{self, NotFound, ServeError};
use crate::service::{Layer, Service};
use crate::websocket::Wire;

/// A Socket.IO server. A cheap handle: clone it, keep it, send with it from anywhere.
///
/// It is also its namespace `/`: whatever a [`Namespace`] can do, it can do there. `A` is the state
/// that all sockets share, `()` unless one is given to [`Builder::state`].
pub struct Server<A = ()> {
    core: Arc<Core>,
    root: Namespace<A>,
}

impl Server {
    /// A server with the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings, to build a server from.
    pub fn builder() -> Builder {
        Builder { config: Config::default(), state: () }
    }

    /// The version of the JavaScript client that is built in; `None` when none is.
    pub const fn client_version() -> Option<&'static str> {
        crate::bundle::version()
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Send + Sync + 'static> Server<A> {
    /// The namespace of that name, made if there is none. A name without a leading slash gets one.
    /// Clients can join only namespaces that were made.
    pub fn of(&self, name: &str) -> Namespace<A> {
        let name = name.strip_prefix('/').unwrap_or(name);
        Namespace::new(self.core.namespace(&format!("/{name}")))
    }

    /// Serves at `address`, such as `127.0.0.1:3000`, until the server is [closed](Self::close).
    /// All paths but the server's own answer 404.
    ///
    /// # Errors
    ///
    /// When it cannot listen there; the error says why, and what to do.
    pub async fn serve(&self, address: &str) -> Result<(), ServeError> {
        let listener = serve::bind(address).await?;
        self.serve_on(listener).await;
        Ok(())
    }

    /// Serves on a listener, until the server is [closed](Self::close). The head of a request may
    /// have 16 KiB, and must come within 10 s.
    pub async fn serve_on(&self, listener: TcpListener) {
        serve::run(Arc::clone(&self.core), listener, NotFound).await;
    }

    /// Serves on a listener, and gives requests to other paths to `other`: a tower service such as
    /// an `axum::Router`.
    pub async fn serve_with<S, B>(&self, listener: TcpListener, other: S)
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        serve::run(Arc::clone(&self.core), listener, other).await;
    }

    /// Serves one stream that is open already: one in memory, a Unix socket, or TLS on top of
    /// something. `peer` is what [`Hello::address`](crate::Hello::address) will tell. All paths
    /// but the server's own answer 404.
    ///
    /// Returns when the stream has ended, or has become a WebSocket; that lives on in a task of its
    /// own. A future that is dropped before takes the stream with it. When the server is
    /// [closed](Self::close), so is the stream.
    ///
    /// All limits hold but [`Builder::http_connections_max`]: whoever accepts the streams bounds how
    /// many there are. A stream that fails has ended, which is no error here. TCP is better left to
    /// [`serve_on`](Self::serve_on), where whoever sends to a client may write to its stream.
    ///
    /// ```
    /// # async fn accept(listener: tokio::net::UnixListener) -> std::io::Result<()> {
    /// let io = roomful::Server::new();
    /// loop {
    ///     let (stream, _) = listener.accept().await?;
    ///     let io = io.clone();
    ///     tokio::spawn(async move { io.serve_stream(stream, None).await });
    /// }
    /// # }
    /// ```
    pub async fn serve_stream<T>(&self, stream: T, peer: Option<SocketAddr>)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let wire = Wire::Other(Box::new(stream));
        if let Some(connection) = serve::http(Arc::clone(&self.core), wire, peer, NotFound).await {
            drop(tokio::spawn(connection));
        }
    }
}

impl<A> Server<A> {
    /// The server as a tower service, to be mounted at its path.
    pub fn service(&self) -> Service {
        Service::new(Arc::clone(&self.core))
    }

    /// The server as a tower layer, which answers below its path and leaves the rest to others.
    pub fn layer(&self) -> Layer {
        Layer::new(Arc::clone(&self.core))
    }

    /// What the server has counted.
    pub fn stats(&self) -> Stats {
        let tally = self.core.deflate.as_ref().map(|deflate| deflate.tally()).unwrap_or_default();
        self.core.metrics.read(self.core.sessions.len()).with(tally)
    }

    /// Closes the server: it takes no more clients, every socket sees `server shutting down`, and
    /// its connection is closed, so that its client comes back as soon as there is a server again.
    /// Where the server serves by itself, serving ends when all of that is done.
    ///
    /// Waits at most four times the `close_timeout` (4 × 5 s): for the sessions to end, and for
    /// HTTP connections to write what they owe.
    pub async fn close(&self) {
        let patience = self.core.limits.close_timeout;
        let sessions = || self.core.sessions.len();
        let close = self.core.begin_close();
        let told = close.sessions_ended(patience * 2, sessions).await;
        let hung_up = close.hang_up(patience).await;
        // A request that was under way when the server began to close may have opened one more.
        let ended = told && close.sessions_ended(patience, sessions).await;
        if !(hung_up && ended) {
            let left = sessions();
            tracing::warn!(left, "not all connections had ended when the time to close was over");
        }
    }
}

impl<A> Deref for Server<A> {
    type Target = Namespace<A>;

    fn deref(&self) -> &Namespace<A> {
        &self.root
    }
}

impl<A> Clone for Server<A> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), root: self.root.clone() }
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("path", &self.core.config.path)
            .field("connections", &self.core.sessions.len())
            .finish_non_exhaustive()
    }
}

/// Settings of a server. Each has a safe default; sizes are in bytes.
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until the server is built"]
pub struct Builder<A = ()> {
    config: Config,
    state: A,
}

impl<A: Send + Sync + 'static> Builder<A> {
    /// The server.
    pub fn build(self) -> Server<A> {
        let core = Core::new(self.config, Arc::new(self.state));
        let root = Namespace::new(core.namespace("/"));
        Server { core, root }
    }

    /// What all sockets share; a handler reads it with [`Socket::state`](crate::Socket::state).
    pub fn state<B>(self, state: B) -> Builder<B> {
        Builder { config: self.config, state }
    }

    /// Where the server is. Default `/socket.io`.
    pub fn path(mut self, path: &str) -> Self {
        self.config.path = format!("/{}", path.trim_matches('/'));
        self
    }

    /// Which web pages may connect. Default: those of the same host.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.config.origins = origins;
        self
    }

    /// Which transports clients may use. Default: all.
    pub fn transports(mut self, transports: Transports) -> Self {
        self.config.transports = transports;
        self
    }

    /// Whether the JavaScript client is served below the path, where it is built in. Default yes.
    pub fn serve_client(mut self, serve: bool) -> Self {
        self.config.serve_client = serve;
        self
    }

    /// Compresses WebSocket messages for clients that take that. Default: no.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.config.limits.inflate_ratio_max = compression.ratio_max;
        self.config.compression = Some(compression);
        self
    }

    /// Compresses the answers to polls for clients that take that. Default: from 1,024 bytes on.
    pub fn http_compression(mut self, compression: HttpCompression) -> Self {
        self.config.http_compression = compression;
        self
    }

    /// Largest message, polling body, and sum of the attachments of a packet. Default 1,000,000.
    pub fn payload_bytes_max(mut self, bytes: usize) -> Self {
        self.config.limits.payload_bytes_max = bytes;
        self
    }

    /// Attachments that one packet may have. Default 10.
    pub fn attachments_max(mut self, count: u32) -> Self {
        self.config.limits.attachments_max = count;
        self
    }

    /// Namespaces that one connection may join. Default 32.
    pub fn namespaces_max(mut self, count: usize) -> Self {
        self.config.limits.namespaces_max = count;
        self
    }

    /// Time between a pong and the next ping. Default 25 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.config.limits.ping_interval = interval;
        self
    }

    /// Time for the pong to come. Default 20 s.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.ping_timeout = timeout;
        self
    }

    /// Time for an upgrade from polling to WebSocket. Default 10 s.
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.upgrade_timeout = timeout;
        self
    }

    /// Time from the handshake until a namespace must have been joined. Default 45 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.connect_timeout = timeout;
        self
    }

    /// Time that a closing connection waits for its peer. Default 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.close_timeout = timeout;
        self
    }

    /// Time for the body of a polling request to arrive. Default 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// Time that a question to a client waits for its answer, unless it says otherwise itself.
    /// Default 10 s.
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.config.ack_timeout = timeout;
        self
    }

    /// What may wait to be sent to one client. A client that reads more slowly than that loses
    /// volatile events first, and then its connection. Must be larger than the largest message.
    /// Default 8 MiB.
    pub fn outbox_bytes_max(mut self, bytes: usize) -> Self {
        self.config.outbox_bytes_max = bytes;
        self
    }

    /// Open connections. Further ones are answered 503. Default 1,000,000.
    pub fn connections_max(mut self, count: usize) -> Self {
        self.config.connections_max = count;
        self
    }

    /// TCP connections that speak HTTP at the same time, where the server serves by itself; one
    /// that has become a WebSocket no longer counts. Further ones are dropped. Default 100,000.
    pub fn http_connections_max(mut self, count: usize) -> Self {
        self.config.http_connections_max = count;
        self
    }

    /// Handlers of one connection that wait for something at the same time. Further events wait
    /// their turn. When the events that are being handled or wait have more than 4 MiB, nothing
    /// more is read from the client until handlers have ended. Default 1,024.
    pub fn handlers_max(mut self, count: usize) -> Self {
        self.config.handlers_max = count.max(1);
        self
    }

    /// Questions to one client that wait for their answer. Default 16,384.
    pub fn asks_max(mut self, count: usize) -> Self {
        self.config.asks_max = count;
        self
    }

    /// Rooms that one socket may be in, that of its own id not counted. Default 1,000.
    pub fn rooms_max(mut self, count: usize) -> Self {
        self.config.rooms_max = count;
        self
    }
}
