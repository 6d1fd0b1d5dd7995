//! [`Server`] and its [`Builder`].

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::bundle::ServeClient;
use crate::compression::{Compression, HttpCompression};
use crate::config::{Config, Transports};
use crate::cookie::Cookie;
use crate::core::Core;
use crate::cors::Cors;
use crate::flow::Flow;
use crate::headers::AnswerHeaders;
use crate::hello::{Hello, Refusal};
use crate::metrics::Stats;
use crate::namespace::{Namespace, NamespaceCore};
use crate::origins::Origins;
use crate::parents::{self, Rule};
use crate::parser::{Parser, ServerParser};
use crate::pattern::Pattern;
use crate::rates::Rate;
use crate::recovery::Recovery;
use crate::refused::ConnectionError;
use crate::request::Request;
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
    /// Clients can join only namespaces that were made, and those that [`of_pattern`](Self::of_pattern)
    /// or [`of_matching`](Self::of_matching) allow.
    pub fn of(&self, name: &str) -> Namespace<A> {
        Namespace::new(self.core.namespace(&with_slash(name)))
    }

    /// The namespace of that name, if there is one now.
    pub fn find(&self, name: &str) -> Option<Namespace<A>> {
        self.core.find_namespace(&with_slash(name)).map(Namespace::new)
    }

    /// A namespace that stands for all of a pattern, such as `/room-{id}`: each is made when the first
    /// client asks for it.
    ///
    /// A gap in braces is one character at least and no slash; `{*rest}` as the last part is all that
    /// is left, slashes too. What stands there is [`Socket::param`](crate::Socket::param). Where
    /// JavaScript has `io.of(/^\/room-\w+$/)`, this is `/room-{id}`; what a pattern cannot say, such as
    /// that the gap is a number, is for [`of_matching`](Self::of_matching) or for the
    /// [`connect`](Namespace::connect) function.
    ///
    /// ```
    /// # use roomful::{Server, Socket};
    /// # let io = Server::new();
    /// let rooms = io.of_pattern("/room-{id}");
    /// rooms.on("where", async |me: Socket| me.param("id").map(str::to_owned));
    /// rooms.emit("hello", "to all who are in any of them");
    /// ```
    ///
    /// What is registered on it counts for all that are made from then on, and what is sent or done to
    /// its sockets reaches those of all that there are, its [`children`](Namespace::children).
    /// Several such namespaces are asked in the order in which they were added; the first that fits has
    /// the child. A namespace that there is already, such as one of [`of`](Self::of), is not asked about.
    ///
    /// A child ends when nobody is in it and nobody has a handle of it, unless
    /// [`Builder::keep_empty_namespaces`] says otherwise; there are up to
    /// [`Builder::child_namespaces_max`].
    pub fn of_pattern(&self, pattern: &str) -> Namespace<A> {
        let pattern = with_slash(pattern);
        let rule = Rule::Pattern(Pattern::new(pattern.strip_prefix('/').unwrap_or_default()));
        self.parent(&pattern, rule)
    }

    /// A namespace that stands for others, as that of [`of_pattern`](Self::of_pattern): an async function
    /// of the [`Hello`] says whether the namespace that a client asks for is to be made. It is asked only
    /// about namespaces that there are not, so who may come in is for the
    /// [`connect`](Namespace::connect) function to decide, which is asked after it.
    ///
    /// The function may wait. All that are asked for one client have
    /// [`Builder::namespace_timeout`] together, and are dropped where they wait when the client
    /// leaves. One that panics is counted, and its client refused.
    ///
    /// ```
    /// # use roomful::{Hello, Server};
    /// # let io = Server::new();
    /// let numbered = io.of_matching(async |hello: Hello| {
    ///     let number = hello.namespace().strip_prefix("/dynamic-");
    ///     number.is_some_and(|number| number.parse::<u32>().is_ok())
    /// });
    /// ```
    pub fn of_matching<F, Fut>(&self, wanted: F) -> Namespace<A>
    where
        F: Fn(Hello<A>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.parent("/*", Rule::Asked(parents::erase(wanted)))
    }

    fn parent(&self, name: &str, rule: Rule) -> Namespace<A> {
        let namespace = Arc::new(NamespaceCore::parent(name, &self.core));
        self.core.parents.add(Arc::clone(&namespace), rule);
        Namespace::new(namespace)
    }

    /// Calls `on_new` with each namespace that is made from now on, by [`of`](Self::of) or for a
    /// client; for a client before it or anybody else can join. A second function takes the place of the
    /// first. It must be quick; one that panics is counted and changes nothing.
    pub fn on_new_namespace<F>(&self, on_new: F) -> &Self
    where
        F: Fn(Namespace<A>) + Send + Sync + 'static,
    {
        let on_new = move |core: &Arc<_>| on_new(Namespace::new(Arc::clone(core)));
        self.core.parents.set_on_new(Arc::new(on_new));
        self
    }

    /// Serves at `address`, such as `127.0.0.1:3000`, until the server is [closed](Self::close).
    /// All paths but the server's own answer 404; an upgrade to one of them is closed with that.
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
    /// an `axum::Router`. Upgrades to other paths are given to it, too.
    pub async fn serve_with<S, B>(&self, listener: TcpListener, other: S)
    where
        S: tower_service::Service<http::Request<Incoming>, Response = Response<B>>
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

    /// Calls `on_error` for each request that is refused before a session was opened or found for it:
    /// what the official server tells as `connection_error`. It is called on the way of the request,
    /// so it must be quick; one that panics is counted and changes nothing. A second function takes
    /// the place of the first.
    ///
    /// ```
    /// # let io = roomful::Server::new();
    /// io.on_connection_error(|error| eprintln!("{:?}: {error}", error.address()));
    /// ```
    pub fn on_connection_error<F>(&self, on_error: F) -> &Self
    where
        F: Fn(&ConnectionError<'_>) + Send + Sync + 'static,
    {
        self.core.set_on_error(Arc::new(on_error));
        self
    }

    /// Moves all clients away, for another server to take them over, and then
    /// [closes](Self::close) this one. From now on it opens no session; the connections that there are
    /// go on as before until they are closed, one after the other over the whole `budget`, at moments
    /// that nobody can foresee. So their clients do not all come to the other server at once.
    ///
    /// An official client whose connection is closed sees `transport close`, and comes back by itself. With a
    /// [`Recovery`] that both servers share, it has its socket there and has missed nothing.
    ///
    /// Takes up to the `budget`, and then what [`close`](Self::close) takes. A future that is dropped
    /// leaves the server as it is then: it opens no session, but still has those that were not closed.
    pub async fn drain(&self, budget: Duration) {
        self.core.drain(budget).await;
        self.close().await;
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

fn with_slash(name: &str) -> String {
    format!("/{}", name.strip_prefix('/').unwrap_or(name))
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

    /// Where the server is. Default `/socket.io`; `/` is everywhere.
    ///
    /// Requests to this path are the server's, with and without a slash at its end, and those to all
    /// paths below it: `/socket.io`, `/socket.io/` and `/socket.io/anything`, but not `/socket.iox`.
    /// So clients find it whatever their `addTrailingSlash` is set to. Paths are compared as they
    /// were sent: `/Socket.io/`, `/socket%2Eio/` and `//socket.io/` are others.
    pub fn path(mut self, path: &str) -> Self {
        let path = path.trim_matches('/');
        self.config.path = if path.is_empty() { String::new() } else { format!("/{path}") };
        self
    }

    /// Whether the path without a slash at its end is left to others, as the official server leaves it
    /// unless its `addTrailingSlash` is off. Default no. Where the server is mounted as a
    /// [service](Server::service), whoever mounts it decides.
    pub fn trailing_slash_required(mut self, required: bool) -> Self {
        self.config.slash_required = required;
        self
    }

    /// Which web pages may connect. Default: those of the same host.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.config.origins = origins;
        self
    }

    /// What browsers are told about pages of other hosts. Default: what clients need.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.config.cors = cors;
        self
    }

    /// Shows every request below the path of the server to a function, before anything else is done
    /// with it: polls, bodies, upgrades, preflights, and those for the files of the client. It may add
    /// headers to whatever the answer will be, and it may answer by itself. It is called on the way of
    /// every request, so it must be quick; when it panics, the request is answered 500.
    ///
    /// What happens to a request, in order: this; client files and preflights; transport, origin,
    /// session or method, revision and the WebSocket handshake; [`allow_request`]; the headers of
    /// [`initial_headers`] and [`headers`]; and when the session joins a namespace,
    /// [`Namespace::connect`]. A function that has to wait fits [`allow_request`], or a tower
    /// layer around [`Server::service`] where the server is inside another.
    ///
    /// What pages of other origins are told is added to every answer, to those of this function, too.
    ///
    /// ```
    /// use roomful::{Flow, Server, StatusCode};
    ///
    /// let io = Server::builder()
    ///     .on_request(|request, headers| {
    ///         headers.set("x-frame-options", "DENY");
    ///         match request.path() {
    ///             "/socket.io/health" => Flow::answer(StatusCode::OK, "fine"),
    ///             _ => Flow::Pass,
    ///         }
    ///     })
    ///     .build();
    /// ```
    ///
    /// [`allow_request`]: Self::allow_request
    /// [`initial_headers`]: Self::initial_headers
    /// [`headers`]: Self::headers
    /// [`Namespace::connect`]: crate::Namespace::connect
    pub fn on_request<F>(mut self, on_request: F) -> Self
    where
        F: Fn(&Request<'_>, &mut AnswerHeaders) -> Flow + Send + Sync + 'static,
    {
        self.config.hooks.set_on_request(on_request);
        self
    }

    /// Sets a cookie for load balancers with the first answer to a polling client. Default: none.
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.config.cookie = Some(cookie);
        self
    }

    /// Decides which requests may open a session, before anything is kept of them: an async function
    /// of the [`Request`] that gives `Ok(())` or a [`Refusal`]. It is asked for polling and WebSocket
    /// alike, once for each session, when all else about the request is right; requests of a session
    /// that is open are not asked about. The request is a [copy](Request::into_owned).
    ///
    /// A refusal is answered 403 with its message; its data is not sent. The function may wait, for
    /// [`allow_timeout`](Self::allow_timeout), and is dropped where it waits when the client goes.
    /// Then it is answered 503; when it panics, 500. To know who somebody is, let the namespace
    /// decide ([`Namespace::connect`](crate::Namespace::connect)), which can remember it.
    ///
    /// ```
    /// # use roomful::{Refusal, Request, Server};
    /// async fn is_known(request: Request<'static>) -> Result<(), Refusal> {
    ///     match request.header("x-key") {
    ///         Some("letmein") => Ok(()),
    ///         _ => Err(Refusal::new("no key")),
    ///     }
    /// }
    /// let io = Server::builder().allow_request(is_known).build();
    /// ```
    pub fn allow_request<F, Fut>(mut self, allow: F) -> Self
    where
        F: Fn(Request<'static>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.config.hooks.set_allow(allow);
        self
    }

    /// Time for that function to decide. Default 10 s.
    pub fn allow_timeout(mut self, timeout: Duration) -> Self {
        self.config.allow_timeout = timeout;
        self
    }

    /// Adds headers to the first answer of each session: the one to its first poll, or the 101 of its
    /// WebSocket. Called when the request has come, and it must be quick; one that panics is counted
    /// and adds nothing.
    ///
    /// ```
    /// let io = roomful::Server::builder()
    ///     .initial_headers(|_, headers| headers.add("set-cookie", "seen=1; Path=/; HttpOnly"))
    ///     .build();
    /// ```
    pub fn initial_headers<F>(mut self, add: F) -> Self
    where
        F: Fn(&Request<'_>, &mut AnswerHeaders) + Send + Sync + 'static,
    {
        self.config.hooks.set_initial_headers(add);
        self
    }

    /// Adds headers to every answer of a session: to its polls, to its bodies, and to the 101 of its
    /// WebSocket. Otherwise as [`initial_headers`](Self::initial_headers), after which it is called.
    /// Refusals have none of both.
    pub fn headers<F>(mut self, add: F) -> Self
    where
        F: Fn(&Request<'_>, &mut AnswerHeaders) + Send + Sync + 'static,
    {
        self.config.hooks.set_headers(add);
        self
    }

    /// Which transports clients may use. Default: all.
    pub fn transports(mut self, transports: Transports) -> Self {
        self.config.transports = transports;
        self
    }

    /// Whether clients of Socket.IO 1 and 2 may connect, which speak Engine.IO 3. Default no: they are
    /// refused with code 5, `Unsupported protocol version`.
    ///
    /// What is different for them:
    ///
    /// - They are in `/` as soon as they are connected, without having asked for it. The `connect`
    ///   function of `/` decides about them too, so it must not take an `auth` for granted: they
    ///   can give none there. What it can ask for is the [query](crate::Hello::query).
    /// - For other namespaces they give a query, `io("/chat", { query: { token } })`. It is what
    ///   [`Hello::auth`](crate::Hello::auth) reads: an object of texts, at most 64, of which the
    ///   first of a name counts.
    /// - A [`Refusal`](crate::Refusal) reaches them as `error`: its data, if that is a text, an
    ///   object or a list, else its message.
    /// - They ping, and the server answers. One that is silent for `ping_interval` and
    ///   `ping_timeout` together is disconnected; the server cannot ask whether it is still there.
    /// - They compute a `socket.id` of their own from the secret id of their session. It is not
    ///   the id of the socket here, which is random and public as that of any other: tell them
    ///   theirs in an event, if they need it.
    ///
    /// What it costs: bytes that go to them are encoded once more, on WebSocket once for all of
    /// them and while they poll for each.
    pub fn allow_eio3(mut self, allow: bool) -> Self {
        self.config.allow_eio3 = allow;
        self
    }

    /// Whether clients may poll with scripts (JSONP), as very old browsers do. Default no: they are
    /// refused with code 3, `Bad request`.
    ///
    /// A script is fetched without regard for its origin, and the page that fetches it reads it.
    /// So [`Builder::origins`] does not hold any more: any page can open a session and read what
    /// comes, as its visitor where a cookie says who that is. Allow it only where nothing depends
    /// on cookies or on where a client is in the network.
    ///
    /// What a client sends is a form, and its size is that of the form as it comes: up to three
    /// times that of its texts.
    pub fn jsonp(mut self, allow: bool) -> Self {
        self.config.jsonp = allow;
        self
    }

    /// Whether the JavaScript client is served below the path, and from where: `true` for the one that
    /// is built in, `false`, or a [`ServeClient`]. Default: the one that is built in, if there is one.
    ///
    /// ```
    /// # use roomful::{ServeClient, Server};
    /// let dist = "node_modules/socket.io-client/dist";
    /// let io = Server::builder().serve_client(ServeClient::Directory(dist.into())).build();
    /// ```
    pub fn serve_client(mut self, serve: impl Into<ServeClient>) -> Self {
        self.config.serve_client = serve.into();
        self
    }

    /// How packets are written, where it is not the default encoding: [`MsgPack`](crate::MsgPack),
    /// or a [`Parser`] of your own. A server speaks one encoding, and its clients must speak the
    /// same; the JavaScript client takes it as its option `parser`.
    ///
    /// ```
    /// use roomful::{MsgPack, Server};
    ///
    /// let io = Server::builder().parser(MsgPack).build();
    /// ```
    pub fn parser(mut self, parser: impl Parser) -> Self {
        self.config.parser = Some(ServerParser::new(parser));
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

    /// Attachments that one packet may have, each in a message of its own. Default 10.
    pub fn attachments_max(mut self, count: u32) -> Self {
        self.config.limits.attachments_max = count;
        self
    }

    /// Attachments that one packet may have where packets come in one piece, as with
    /// [`MsgPack`](crate::MsgPack). Default 10,000.
    pub fn whole_attachments_max(mut self, count: usize) -> Self {
        self.config.limits.whole_attachments_max = count;
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

    /// Time that the function given to [`Namespace::on_expire`] has until the socket leaves that nobody
    /// has let stay meanwhile. Default 10 s.
    pub fn expiry_timeout(mut self, timeout: Duration) -> Self {
        self.config.expiry_timeout = timeout;
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

    /// How fast the events of one connection may come, of all its namespaces together. Those beyond are
    /// refused; where the [rate disconnects](Rate::disconnects), the first of them closes the connection,
    /// and its sockets see `forced server close`. Default: no limit.
    pub fn event_rate(mut self, rate: Rate) -> Self {
        self.config.event_rate = Some(rate);
        self
    }

    /// How fast the events of one connection are handled, of all its namespaces together. None is lost:
    /// while one has to wait, nothing more is read from the client, so that it has to wait itself. That
    /// holds for its answers to questions, too. At least what comes in 40 ms is handled at once. Default:
    /// no limit.
    pub fn event_pace(mut self, pace: Rate) -> Self {
        self.config.event_pace = Some(pace);
        self
    }

    /// Questions to one client that wait for their answer. Default 16,384.
    pub fn asks_max(mut self, count: usize) -> Self {
        self.config.asks_max = count;
        self
    }

    /// Namespaces that there are because clients have asked for them: see [`Server::of_pattern`].
    /// Whoever asks for one more is refused with `too many namespaces`. Default 10,000.
    pub fn child_namespaces_max(mut self, count: usize) -> Self {
        self.config.child_namespaces_max = count;
        self
    }

    /// Whether namespaces that were made because a client asked for them stay when nobody is in them
    /// any more, as in the official server unless its `cleanupEmptyChildNamespaces` is on. Default no:
    /// clients could fill the server with them.
    pub fn keep_empty_namespaces(mut self, keep: bool) -> Self {
        self.config.keep_empty_namespaces = keep;
        self
    }

    /// Time for the functions given to [`Server::of_matching`] to decide. Whoever waits for them is
    /// refused then, with `No decision in time`. Default 10 s.
    pub fn namespace_timeout(mut self, timeout: Duration) -> Self {
        self.config.namespace_timeout = timeout;
        self
    }

    /// Lets clients that were lost come back to their sockets, and to what they missed. Default: not.
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.config.recovery = Some(recovery);
        self
    }

    /// Rooms that one socket may be in, that of its own id not counted. Default 1,000.
    pub fn rooms_max(mut self, count: usize) -> Self {
        self.config.rooms_max = count;
        self
    }
}
