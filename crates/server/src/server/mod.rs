//! [`Server`]: what users hold.

pub(crate) mod builder;
pub mod cheat_sheet;
pub mod embedding;
pub(crate) mod stop;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::api::hello::Hello;
use crate::api::namespace::Namespace;
use crate::ground::metrics::Stats;
use crate::http::front::serve::{self, NotFound, ServeError};
use crate::http::origin::origin_layer::OriginLayer;
use crate::http::refused::ConnectionError;
use crate::http::service::{Layer, Service};
use crate::http::site::Site;
use crate::namespace::family::parents::{AskFn, Rule};
use crate::namespace::family::pattern::Pattern;
use crate::namespace::family::registry::Registry;
use crate::namespace::family::standing::Hold;
use crate::node::core::Core;
use crate::server::builder::Builder;
use crate::transport::websocket::Wire;

/// A Socket.IO server. A cheap handle: clone it, keep it, send with it from anywhere.
///
/// It is also its namespace `/`, as `io` is in JavaScript: whatever a [`Namespace`] can do, it can do there. Most
/// programs have no other, and a client that names none is there. So the server derefs to that namespace:
/// `io.on(…)`, `io.to("room")` and `io.emit(…)` are those of `io.of("/")`, and reach nobody of other namespaces.
/// What is the server's alone, such as [`serve`](Self::serve) or [`stats`](Self::stats), has no name that a
/// namespace has.
///
/// `A` is the state that all sockets share, `()` unless one is given to [`Builder::state`].
pub struct Server<A = ()> {
    site: Arc<Site>,
    root: Namespace<A>,
}

impl Server {
    /// A server with the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings, to build a server from.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The version of the JavaScript client that is built in; `None` when none is.
    pub const fn client_version() -> Option<&'static str> {
        crate::http::bundle::version()
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Send + Sync + 'static> Server<A> {
    #[cfg(test)]
    pub(crate) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.site.core)
    }

    pub(crate) fn over(site: Arc<Site>) -> Self {
        let root = Namespace::new(site.registry.namespace("/"));
        Self { site, root }
    }

    /// Another node of this program in this process: with the same settings, state and functions, and with
    /// clients of its own. What is sent to a namespace or to a room reaches the clients of all nodes: by the
    /// [adapter](Builder::adapter) of this server, or by one in memory if it has none.
    ///
    /// Each node is served as any server is, or all together by [`serve_nodes_on`](Self::serve_nodes_on). A
    /// request of a session may come to any of them.
    ///
    /// All limits hold for each node alone, and [`stats`](Self::stats), [`Namespace::len`], `socket` and `children`
    /// are those of one node. A node lives as long as a handle of it does.
    ///
    /// It is for programs with a server for each core, and for tests that want to see how a program does as a
    /// cluster. What is registered with any handle of this server counts for all its nodes; what is registered on
    /// a child of a pattern, for this node alone.
    ///
    /// ```
    /// # use roomful::{Server, Socket};
    /// let io = Server::new();
    /// io.on("hello", async |me: Socket| me.others().emit("hello", ()));
    /// let second = io.node();
    /// # drop(second);
    /// ```
    #[must_use = "a node that nobody has is gone"]
    pub fn node(&self) -> Self {
        let core = Core::new(Registry::follow(&self.site.registry));
        Self::over(self.site.follow(core))
    }

    /// The namespace of that name, made if there is none. A name without a leading slash gets one.
    /// Clients can join only namespaces that were made, and those that [`of_pattern`](Self::of_pattern)
    /// or [`of_matching`](Self::of_matching) allow.
    ///
    /// Where a pattern fits the name, this is its child, as if a client had asked for it: with the handlers of
    /// the pattern, and only for as long as it is used. It is for sending, such as
    /// `io.of("/room-7").emit(…)`. Functions and limits cannot be registered on it with this handle: they
    /// are not, which is logged and counted in
    /// [`Stats::registrations_refused`](crate::Stats::registrations_refused). Register them on the pattern,
    /// in [`on_new_namespace`](Self::on_new_namespace), or with [`find`](Self::find) on a child that is
    /// there.
    ///
    /// Whether a function of [`of_matching`](Self::of_matching) stands for the name can be told only with a
    /// client. Until something is registered on the namespace, clients are asked about as if it was not there:
    /// it becomes the child of the function that says yes, and nobody can join where none does. Once
    /// something is registered, best a [`connect`](Namespace::connect) function, it is the program's own. So
    /// where there is any such function, a program claims a namespace that it only sends to, as with
    /// `io.of("/news").emit(…)`, by registering anything on it, such as an
    /// [`on_connect`](Namespace::on_connect) function; the log says where that is missing.
    ///
    /// So a namespace of the program's own with a name that a parent would stand for is one on which
    /// something was registered before that parent was added. Its own `connect` function is its only one; the
    /// log says so where it has none.
    pub fn of(&self, name: &str) -> Namespace<A> {
        Namespace::held(self.site.registry.namespace(&with_slash(name)), Hold::Named)
    }

    /// The namespace of that name, if there is one now.
    pub fn find(&self, name: &str) -> Option<Namespace<A>> {
        self.site.find_namespace(&with_slash(name)).map(Namespace::new)
    }

    /// A namespace that stands for all of a pattern, such as `/room-{id}`: each is made when somebody first
    /// asks for it, a client or the program, by [`of`](Self::of).
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
    /// What is registered on it, and what it is limited to, counts for all that are made from then on,
    /// each for itself; what is sent or done to its sockets reaches those of all that there are, its
    /// [`children`](Namespace::children). Only the [`connect`](Namespace::connect) function counts for those
    /// that there are, too. Several such namespaces are asked in the order in which they were added; the first
    /// that fits has the child, whether a client asks for it first or the program, by [`of`](Self::of). A
    /// namespace on which the program has registered something before is not asked about.
    ///
    /// A child ends when nobody is in it and nobody has a handle of it, unless
    /// [`Builder::keep_empty_namespaces`] says otherwise; there are up to
    /// [`Builder::child_namespaces_max`].
    #[doc(alias = "RegExp")]
    pub fn of_pattern(&self, pattern: &str) -> Namespace<A> {
        let pattern = with_slash(pattern);
        let rule = Rule::Pattern(Pattern::new(pattern.strip_prefix('/').unwrap_or_default()));
        self.parent(&pattern, rule)
    }

    /// A namespace that stands for others, as that of [`of_pattern`](Self::of_pattern): an async function
    /// of the [`Hello`] says whether the namespace that a client asks for is to be made. It is asked only
    /// about namespaces that there are not, so who may come in is for the
    /// [`connect`](Namespace::connect) function to decide, which is asked after it. It is asked, too, about one
    /// that the program has only asked for [by its name](Self::of).
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
        self.parent("/*", Rule::Asked(erase(wanted)))
    }

    fn parent(&self, name: &str, rule: Rule) -> Namespace<A> {
        Namespace::new(self.site.registry.add_parent(name, rule))
    }

    /// Calls `on_new` with each namespace that is made from now on, by [`of`](Self::of) or for a
    /// client; for a client before it or anybody else can join. It is called again for one that was made by
    /// its name and becomes the child of a parent, with the functions of that. A second function takes the
    /// place of the first. It must be quick; one that panics is counted and changes nothing.
    #[doc(alias = "new_namespace")]
    pub fn on_new_namespace<F>(&self, on_new: F) -> &Self
    where
        F: Fn(Namespace<A>) + Send + Sync + 'static,
    {
        let on_new = move |core: &Arc<_>| on_new(Namespace::held(Arc::clone(core), Hold::New));
        self.site.registry.leading_parents().set_on_new(Arc::new(on_new));
        self
    }

    /// Serves at `address`, such as `127.0.0.1:3000`, until the server is [closed](Self::close): by a signal, with
    /// [`drain_on`](Self::drain_on). All paths but the server's own answer 404; an upgrade to one of them is closed with that.
    ///
    /// # Errors
    ///
    /// When it cannot listen there; the error says why, and what to do.
    #[doc(alias = "listen")]
    #[doc(alias = "attach")]
    pub async fn serve(&self, address: &str) -> Result<(), ServeError> {
        let listener = serve::bind(address).await?;
        self.serve_on(listener).await;
        Ok(())
    }

    /// Serves on a listener, until the server is [closed](Self::close). The head of a request may
    /// have 16 KiB, and must come within 10 s.
    ///
    /// Where thousands of clients come at once, as after a restart, let the listener have a long queue
    /// ([`TcpSocket::listen`](tokio::net::TcpSocket::listen)), as [`serve`](Self::serve) does with 4,096:
    /// that of [`TcpListener::bind`] is short, and beyond it the system lets clients wait for seconds.
    #[doc(alias = "listen")]
    #[doc(alias = "attach")]
    pub async fn serve_on(&self, listener: TcpListener) {
        serve::run(vec![Arc::clone(&self.site)], listener, NotFound).await;
    }

    /// As [`serve_on`](Self::serve_on), by this server and all [nodes](Self::node) that were made of it: each has
    /// the next connection in turn.
    pub async fn serve_nodes_on(&self, listener: TcpListener) {
        serve::run(self.site.all(), listener, NotFound).await;
    }

    /// Serves on a listener, and gives requests to other paths to `other`: a tower service such as
    /// an `axum::Router`. Upgrades to other paths are given to it, too.
    #[doc(alias = "attach")]
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
        serve::run(vec![Arc::clone(&self.site)], listener, other).await;
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
    /// many there are. A stream that fails has ended, which is no error here.
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
    #[doc(alias = "bind")]
    #[doc(alias = "onconnection")]
    pub async fn serve_stream<T>(&self, stream: T, peer: Option<SocketAddr>)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let wire = Wire::of(stream);
        if let Some(connection) =
            serve::http(Arc::clone(&self.site), wire, peer, NotFound, None).await
        {
            drop(tokio::spawn(connection));
        }
    }
}

impl<A> Server<A> {
    /// The server as a tower service, to be mounted at its path.
    #[doc(alias = "attach")]
    #[doc(alias = "handleRequest")]
    pub fn service(&self) -> Service {
        Service::new(Arc::clone(&self.site))
    }

    /// The server as a tower layer, which answers below its path and leaves the rest to others.
    #[doc(alias = "attach")]
    pub fn layer(&self) -> Layer {
        Layer::new(Arc::clone(&self.site))
    }

    /// A tower layer for the routes of the program: what pages may connect to the server may use them, too.
    pub fn origin_layer(&self) -> OriginLayer {
        OriginLayer::new(Arc::clone(&self.site))
    }

    /// What the server has counted.
    #[doc(alias = "clientsCount")]
    pub fn stats(&self) -> Stats {
        let tally = self.site.deflate.as_ref().map(|deflate| deflate.tally()).unwrap_or_default();
        let deciding = self.site.decisions.deciding();
        self.site.metrics.read(self.site.sessions.len(), deciding).with(tally)
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
    #[doc(alias = "connection_error")]
    pub fn on_connection_error<F>(&self, on_error: F) -> &Self
    where
        F: Fn(&ConnectionError<'_>) + Send + Sync + 'static,
    {
        self.site.set_on_error(Arc::new(on_error));
        self
    }

    /// Moves all clients away, for another server to take them over, and then
    /// [closes](Self::close) this one. From now on it opens no session; the connections that there are
    /// go on as before until they are closed, one after the other over the whole `budget`, at moments
    /// that nobody can foresee. So their clients do not all come to the other server at once.
    ///
    /// An official client whose connection is closed sees `transport close`, or `transport error` where
    /// a request of its own was under way, and comes back by itself.
    /// With a [`Recovery`](crate::Recovery) that both servers share, it has its socket there and has
    /// missed nothing.
    ///
    /// Takes up to the `budget`, however many clients there are, and then what [`close`](Self::close)
    /// takes; the log says where it took longer. A future that is dropped
    /// leaves the server as it is then: it opens no session, but still has those that were not closed.
    pub async fn drain(&self, budget: Duration) {
        let sites = self.site.all();
        join_all(sites.iter().map(|site| site.drain(budget))).await;
        self.close().await;
    }

    /// [Drains](Self::drain) the server when `signal` ends, in a task of its own: returns at once. Serving ends when
    /// the server is closed, so a program that ends behind [`serve`](Self::serve) has let nobody down:
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), roomful::ServeError> {
    /// let io = roomful::Server::new();
    /// io.drain_on(roomful::stop_signal(), std::time::Duration::from_secs(5));
    /// io.serve("127.0.0.1:3000").await
    /// # }
    /// ```
    ///
    /// The task has a handle of the server until then. Where another HTTP library serves, such as `axum::serve`, that has
    /// to be told as well: its `with_graceful_shutdown` takes a [`stop_signal`](crate::stop_signal) of its own.
    ///
    /// # Panics
    ///
    /// Where there is no tokio runtime.
    pub fn drain_on(&self, signal: impl Future<Output = ()> + Send + 'static, budget: Duration)
    where
        A: Send + Sync + 'static,
    {
        let io = self.clone();
        drop(tokio::spawn(async move {
            signal.await;
            io.drain(budget).await;
        }));
    }

    /// Closes the server: it takes no more clients, every socket sees `server shutting down`, and
    /// its connection is closed, so that its client comes back as soon as there is a server again.
    /// Where the server serves by itself, serving ends when all of that is done.
    ///
    /// Waits for the sessions to end and for HTTP connections to write what they owe, for at most
    /// [`Builder::stop_timeout`]. A handler that has not ended then holds nothing up; the log says how many
    /// connections are left. Of that time the sessions have three quarters, each with its
    /// [`Builder::close_timeout`].
    ///
    /// The [nodes](Self::node) that were made of this server are drained and closed with it.
    ///
    /// [`Builder::stop_timeout`]: crate::Builder::stop_timeout
    /// [`Builder::close_timeout`]: crate::Builder::close_timeout
    pub async fn close(&self) {
        let sites = self.site.all();
        join_all(sites.iter().map(|site| site.close())).await;
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
        Self { site: Arc::clone(&self.site), root: self.root.clone() }
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("path", &self.site.settings.path)
            .field("connections", &self.site.sessions.len())
            .finish_non_exhaustive()
    }
}

fn with_slash(name: &str) -> String {
    format!("/{}", name.strip_prefix('/').unwrap_or(name))
}

/// Forgets the types of a function that is asked.
fn erase<A, F, Fut>(wanted: F) -> AskFn
where
    A: Send + Sync + 'static,
    F: Fn(Hello<A>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = bool> + Send + 'static,
{
    Box::new(move |link, parent, name, auth| {
        let hello = Hello::<A>::asking(link, parent, name, auth)?;
        Some(Box::pin(wanted(hello)))
    })
}
