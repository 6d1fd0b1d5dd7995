//! [`Builder`]: the settings of a [`Server`], to build one from.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::forwarding::SessionBus;
use crate::ground::compression::{Compression, HttpCompression};
use crate::ground::config::Config;
use crate::ground::connection_flow::ConnectionFlow;
use crate::ground::errors::refusal::Refusal;
use crate::ground::event_flow::EventFlow;
use crate::ground::handshake::Handshake;
use crate::ground::parser::{Parser, ServerParser};
use crate::ground::shared::Shared;
use crate::http::bundle::ServeClient;
use crate::http::cookie::Cookie;
use crate::http::flow::Flow;
use crate::http::headers::AnswerHeaders;
use crate::http::origin::cors::Cors;
use crate::http::origin::hosts::Hosts;
use crate::http::origin::origins::Origins;
use crate::http::request::Request;
use crate::http::settings::{HttpSettings, Transports};
use crate::http::site::Site;
use crate::namespace::adapter::Adapter;
use crate::namespace::family::registry::Registry;
use crate::namespace::recovery::Recovery;
use crate::node::core::Core;
use crate::server::Server;

/// What a time is at most that is added to the present.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Settings of a server. Each has a safe default; sizes are in bytes.
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until the server is built"]
pub struct Builder<A = ()> {
    config: Config,
    http: HttpSettings,
    recovery: Option<Recovery>,
    adapter: Option<Arc<dyn Adapter>>,
    session_bus: Option<Arc<dyn SessionBus>>,
    state: A,
}

impl Builder {
    /// The default settings.
    pub(crate) fn new() -> Self {
        Self {
            config: Config::default(),
            http: HttpSettings::default(),
            recovery: None,
            adapter: None,
            session_bus: None,
            state: (),
        }
    }
}

impl<A: Send + Sync + 'static> Builder<A> {
    /// The server.
    pub fn build(self) -> Server<A> {
        let Self { mut config, http, recovery, adapter, session_bus, state } = self;
        config.own_cookie = http.cookie.as_ref().map(|cookie| cookie.its_name().to_owned());
        let shared = Shared::new(config, Arc::new(state));
        let recovery = match &adapter {
            // Without one of the adapter, each node has its own: one that they share would bring events twice.
            Some(adapter) => {
                adapter.recovery().or_else(|| recovery.as_ref().map(Recovery::another))
            }
            None => recovery,
        };
        let registry = Registry::new(shared, recovery);
        if let Some(adapter) = &adapter {
            registry.join_cluster(adapter);
        }
        Server::over(Site::new(Core::new(registry), http, session_bus.as_deref()))
    }

    /// What all sockets share; a handler reads it with [`Socket::state`](crate::Socket::state).
    pub fn state<B>(self, state: B) -> Builder<B> {
        let Self { config, http, recovery, adapter, session_bus, .. } = self;
        Builder { config, http, recovery, adapter, session_bus, state }
    }

    /// Where the server is. Default `/socket.io`; `/` is everywhere.
    ///
    /// Requests to this path are the server's, with and without a slash at its end, and those to all
    /// paths below it: `/socket.io`, `/socket.io/` and `/socket.io/anything`, but not `/socket.iox`.
    /// So clients find it whatever their `addTrailingSlash` is set to. Paths are compared as they
    /// were sent: `/Socket.io/`, `/socket%2Eio/` and `//socket.io/` are others.
    pub fn path(mut self, path: &str) -> Self {
        let path = path.trim_matches('/');
        self.http.path = if path.is_empty() { String::new() } else { format!("/{path}") };
        self
    }

    /// Whether the path without a slash at its end is left to others, as the official server leaves it
    /// unless its `addTrailingSlash` is off. Default no. Where the server is mounted as a
    /// [service](Server::service), whoever mounts it decides.
    #[doc(alias = "addTrailingSlash")]
    pub fn trailing_slash_required(mut self, required: bool) -> Self {
        self.http.slash_required = required;
        self
    }

    /// The hosts at which the server is, as browsers call them: `example.org`, `example.org:8443`,
    /// `127.0.0.1`, `[::1]`, or `*.example.org`, where the star stands for one label or more. Without a port it
    /// is any port. Default: any host.
    ///
    /// A request to another host, or to none, is answered 421 and opens nothing, whatever it asks for below the
    /// path of the server; it is counted as `hosts_refused`, and logged. The host is what `:authority` says
    /// in HTTP/2, and the first line or the header `Host` in HTTP/1.1. A dot at its end is none.
    ///
    /// A proxy must pass the host on as the browser has sent it. If it puts its own name for the server there,
    /// that name must be listed, and two things follow. Pages are of another host then, so their origin belongs
    /// into [`Origins::List`]. And every request has a listed host, whatever the browser asked for: nothing
    /// holds DNS rebinding back any more but the names that the proxy itself takes. A health check, one that
    /// [`on_request`](Self::on_request) answers too, must send a listed host.
    ///
    /// This is against DNS rebinding. A page of `evil.example` may have its own name point to the address of
    /// this server once it is loaded. For the browser, and for [`Origins::SameHost`], it is of the same host
    /// from then on, and so it connects from within the network of its visitor. It is held back by this list,
    /// since the host of its requests stays `evil.example`. So list the hosts wherever a server is trusted
    /// because of where it is, such as at `localhost` or in a private network, and not because of who asks.
    ///
    /// A host may have a scheme in front, `https://example.org`. Then its own pages have that scheme, and one
    /// of `http://example.org`, which somebody in between may have changed, is of another origin. The scheme
    /// of the request itself is not compared: behind a proxy nobody knows it.
    ///
    /// What cannot be a host is left out and logged as an error. A list in which none is left refuses all.
    ///
    /// ```
    /// # use roomful::Server;
    /// let io = Server::builder().hosts(["https://example.org", "localhost:3000"]).build();
    /// ```
    ///
    /// [`Origins::SameHost`]: crate::Origins::SameHost
    /// [`Origins::List`]: crate::Origins::List
    pub fn hosts<T: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = T>) -> Self {
        self.http.hosts = Some(Hosts::new(hosts));
        self
    }

    /// Which web pages may connect. Default: those of the same host.
    #[doc(alias = "cors")]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.http.origins = origins.tidied();
        self
    }

    /// What browsers are told about pages of other hosts. Default: what clients need.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.http.cors = cors;
        self
    }

    /// Shows every request below the path of the server to a function, before anything else is done
    /// with it that goes to one of its hosts: polls, bodies, upgrades, preflights, and those for the files of the client. It may add
    /// headers to whatever the answer will be, and it may answer by itself. It is called on the way of
    /// every request, so it must be quick; when it panics, the request is answered 500.
    ///
    /// What happens to a request, in order: [`hosts`](Self::hosts); this; client files and preflights; transport, origin,
    /// session or method, revision and the WebSocket handshake; [`allow_request`]; the headers of
    /// [`initial_headers`] and [`headers`]; and when the session joins a namespace,
    /// [`Namespace::connect`]. A function that has to wait fits [`allow_request`], or a tower
    /// layer around [`Server::service`] where the server is inside another.
    ///
    /// What pages of other origins are told is added to every answer, to those of this function, too. Where hosts
    /// are listed, a health check that is answered here must send one of them as its `Host`.
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
    #[doc(alias = "use")]
    pub fn on_request<F>(mut self, on_request: F) -> Self
    where
        F: Fn(&Request<'_>, &mut AnswerHeaders) -> Flow + Send + Sync + 'static,
    {
        self.http.hooks.set_on_request(on_request);
        self
    }

    /// Sets a cookie for load balancers with the first answer to a polling client. Default: none.
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.http.cookie = Some(cookie);
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
    #[doc(alias = "allowRequest")]
    pub fn allow_request<F, Fut>(mut self, allow: F) -> Self
    where
        F: Fn(Request<'static>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.http.hooks.set_allow(allow);
        self
    }

    /// Time for that function to decide. Default 10 s.
    pub fn allow_timeout(mut self, timeout: Duration) -> Self {
        self.http.allow_timeout = timeout;
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
        self.http.hooks.set_initial_headers(add);
        self
    }

    /// Adds headers to every answer of a session: to its polls, to its bodies, and to the 101 of its
    /// WebSocket. Otherwise as [`initial_headers`](Self::initial_headers), after which it is called.
    /// Refusals have none of both.
    pub fn headers<F>(mut self, add: F) -> Self
    where
        F: Fn(&Request<'_>, &mut AnswerHeaders) + Send + Sync + 'static,
    {
        self.http.hooks.set_headers(add);
        self
    }

    /// Which transports clients may use. Default: all.
    #[doc(alias = "allowUpgrades")]
    pub fn transports(mut self, transports: Transports) -> Self {
        self.http.transports = transports;
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
    ///
    /// Since they are in `/` by being there, one GET runs the `connect` function of `/`, and a page of
    /// anybody's can have a browser send one, such as for an image, with the cookies of its visitor and without
    /// an origin. The page reads nothing of the answer. Such a request is refused where the browser says in
    /// `Sec-Fetch-Site` that it comes from another site, unless all [origins](crate::Origins) are allowed.
    /// Browsers from before 2023 may not say it, and none says it to a host that is neither `https` nor local.
    /// So let `connect` change nothing that a visitor must have wanted, and give cookies `SameSite=Lax`.
    #[doc(alias = "allowEIO3")]
    pub fn allow_eio3(mut self, allow: bool) -> Self {
        self.http.allow_eio3 = allow;
        self
    }

    /// Whether clients may poll with scripts (JSONP), as very old browsers do. Default no: they are
    /// refused with code 3, `Bad request`.
    ///
    /// A script is fetched without naming an origin, and the page that fetches it reads it. Pages of other
    /// sites are refused where the browser says in `Sec-Fetch-Site` that it is one, also those of a
    /// [list](crate::Origins::List), since it does not say which; with [`Origins::Any`](crate::Origins::Any) they
    /// may poll so. But the very old browsers that need scripts do not say it, and none does to a host that is
    /// neither `https` nor local. There [`Builder::origins`] does not hold any more: any page can open
    /// a session and read what comes, as its visitor where a cookie says who that is. Allow it only where
    /// nothing depends on cookies or on where a client is in the network.
    ///
    /// What a client sends is a form, and its size is that of the form as it comes: up to three
    /// times that of its texts.
    pub fn jsonp(mut self, allow: bool) -> Self {
        self.http.jsonp = allow;
        self
    }

    /// Whether the JavaScript client is served below the path, and from where: `true` for the one that
    /// is built in, `false`, or a [`ServeClient`]. Default: the one that is built in, if there is one:
    /// see [`Server::client_version`](crate::Server::client_version). A published crate has it; a
    /// dependency on the repository does not, and is given a directory.
    ///
    /// ```
    /// # use roomful::{ServeClient, Server};
    /// let dist = "node_modules/socket.io-client/dist";
    /// let io = Server::builder().serve_client(ServeClient::Directory(dist.into())).build();
    /// ```
    #[doc(alias = "serveClient")]
    pub fn serve_client(mut self, serve: impl Into<ServeClient>) -> Self {
        self.http.serve_client = serve.into();
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
    #[doc(alias = "perMessageDeflate")]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.config.limits.inflate_ratio_max = compression.ratio_max;
        self.config.compression = Some(compression);
        self
    }

    /// Compresses the answers to polls for clients that take that. Default: from 1,024 bytes on.
    #[doc(alias = "httpCompression")]
    pub fn http_compression(mut self, compression: HttpCompression) -> Self {
        self.http.http_compression = compression;
        self
    }

    /// Largest message, polling body, and sum of the attachments of a packet. Default 1,000,000. A
    /// namespace can refuse [smaller events](crate::EventFlow::args_bytes_max), without the end of the
    /// connection. At most 2 GiB: more counts as that.
    #[doc(alias = "maxHttpBufferSize")]
    #[doc(alias = "maxPayload")]
    pub fn payload_bytes_max(mut self, bytes: usize) -> Self {
        self.config.limits.payload_bytes_max = bytes.min(roomful_proto::Limits::PAYLOAD_BYTES);
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

    /// Bytes of the JSON that a client gives as its auth payload when it asks to join a namespace; with
    /// Socket.IO 2, of the object that is made of the query of the namespace. One with more is refused with
    /// `the auth payload is larger than … bytes` and the data `{"code": "auth_too_large"}`, before any
    /// function sees it, and its connection stays. Default 16 KiB.
    ///
    /// It is what anybody may send whom nobody has let in yet. Read into a [`serde_json::Value`], one byte
    /// can take a hundred bytes of memory (see [`Hello::auth`](crate::Hello::auth)), so with the default up
    /// to 1.6 MB for each decision that is under way. How many there are is bounded by
    /// [`deciding_bytes_max`](Self::deciding_bytes_max).
    pub fn auth_bytes_max(mut self, bytes: usize) -> Self {
        self.config.limits.auth_bytes_max = bytes;
        self
    }

    /// Decisions about one connection that are under way at the same time: functions of
    /// [`Namespace::connect`](crate::Namespace::connect) and [`Server::of_matching`] that have not ended;
    /// at least one. If it asks to join more namespaces meanwhile, these wait, and are decided about in the
    /// order in which they were asked for. Default 8.
    pub fn decisions_max(mut self, count: usize) -> Self {
        self.config.decisions_max = count.max(1);
        self
    }

    /// Bytes of auth payloads about which the server decides at the same time, in all functions of
    /// [`Namespace::connect`](crate::Namespace::connect) and [`Server::of_matching`] that have not ended. A
    /// decision counts for 1 KiB at least. Default 4 MiB, which is 4,096 small payloads.
    ///
    /// A quarter of it at most is for one namespace of the program's own, or for one parent with all its
    /// children, so that one of them which is slow, or flooded, does not stop the others. Further clients
    /// wait for their turn, in the order in which they came, for no longer than
    /// [`decision_timeout`](Self::decision_timeout). A payload that is larger than that quarter waits for
    /// all of it.
    pub fn deciding_bytes_max(mut self, bytes: usize) -> Self {
        self.config.deciding_bytes_max = bytes;
        self
    }

    /// Time that a client waits for a decision, from when it has asked: half of it for its turn, and the rest
    /// for the function of [`Namespace::connect`](crate::Namespace::connect). Then it is refused with `No decision in time`; the
    /// data is `{"code": "busy"}` if its turn had not come, and `{"code": "no_decision"}` if the function had
    /// not ended, which is dropped where it waits. Default 30 s. Official clients do not ask again by
    /// themselves after a refusal: on `busy`, have them call `socket.connect()` after a while. A connection
    /// that has joined nothing ends after [`connect_timeout`](Self::connect_timeout) in any case.
    ///
    /// A function that never ends would keep its part of
    /// [`deciding_bytes_max`](Self::deciding_bytes_max) for ever. Functions of [`Server::of_matching`] have
    /// [`namespace_timeout`](Self::namespace_timeout) of it.
    pub fn decision_timeout(mut self, timeout: Duration) -> Self {
        self.config.decision_timeout = timeout.min(FOREVER);
        self
    }

    /// Says what the address of a client is, so that
    /// [`decisions_per_address_max`](Self::decisions_per_address_max) holds for each. The server
    /// cannot know: behind a proxy all clients have the address of the proxy, and a header that a proxy
    /// writes can be written by anybody where there is none. Default: no address, and no such bound.
    ///
    /// The function is called with the opening request before each decision, perhaps more than once, and must
    /// be quick. `None` is a client without an address, for whom that bound does not hold; so is one for whom
    /// the function panics, which is counted. For IPv6 the first 64 bits are what one client has.
    ///
    /// ```
    /// let io = roomful::Server::builder()
    ///     .client_address(|request| request.header("x-real-ip").map(str::to_owned))
    ///     .build();
    /// ```
    pub fn client_address<F>(mut self, tell: F) -> Self
    where
        F: Fn(&Handshake) -> Option<String> + Send + Sync + 'static,
    {
        self.config.client_address.set(Arc::new(tell));
        self
    }

    /// Decisions about clients of one [address](Self::client_address) that are under way at the same time in a
    /// namespace of the program's own, or in all children of a parent; at least one. Further ones wait, as those do that [`deciding_bytes_max`](Self::deciding_bytes_max) keeps
    /// back. Default 64.
    pub fn decisions_per_address_max(mut self, count: usize) -> Self {
        self.config.decisions_per_address_max = count.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Time between a pong and the next ping. Default 25 s.
    #[doc(alias = "pingInterval")]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.config.limits.ping_interval = interval;
        self
    }

    /// Time for the pong to come. A client whose WebSocket ends before it has come over to it has as long to poll:
    /// else its session ends, since the page that it was of is gone. Default 20 s.
    #[doc(alias = "pingTimeout")]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.ping_timeout = timeout;
        self
    }

    /// Time for an upgrade from polling to WebSocket. Default 10 s.
    #[doc(alias = "upgradeTimeout")]
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.upgrade_timeout = timeout;
        self
    }

    /// Time from the handshake until a namespace must have been joined. Default 45 s.
    #[doc(alias = "connectTimeout")]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.connect_timeout = timeout;
        self
    }

    /// Time that a closing connection waits for its peer. Default 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.close_timeout = timeout;
        self
    }

    /// Time that [`Server::close`](crate::Server::close) takes at most. Default 8 s: `docker stop` kills
    /// a program after 10 s. Who stops it otherwise mostly waits for longer, such as systemd for 90 s.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.config.stop_timeout = timeout;
        self
    }

    /// Time for the body of a polling request to arrive; of a long one, for each 64 KiB of it. A session
    /// whose body does not come in time ends, and its request is answered 408. Default 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.http.request_timeout = timeout.min(FOREVER);
        self
    }

    /// Time that an HTTP connection is kept for the next request, where the server serves by itself.
    /// It must be longer than the proxy in front keeps its own: a connection that both give up at the
    /// same moment loses the request that is on its way, and the proxy answers it 502. The first request
    /// of a connection, and the head of each, have 10 s; a connection on which requests were written in
    /// an unusual way lasts 10 s longer. Default 180 s, since most proxies keep theirs
    /// for 60 to 120 s.
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.http.keep_alive_timeout = timeout.min(FOREVER);
        self
    }

    /// Time that an ack request to a client waits for its answer, unless it or its
    /// [namespace](crate::Namespace::ack_timeout) says otherwise. Default 10 s.
    #[doc(alias = "timeout")]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.config.ack_timeout = timeout;
        self
    }

    /// Time that the function given to [`Namespace::on_expire`](crate::Namespace::on_expire) has until the
    /// socket leaves that nobody has let stay meanwhile. Default 10 s.
    pub fn expiry_timeout(mut self, timeout: Duration) -> Self {
        self.config.expiry_timeout = timeout;
        self
    }

    /// What may wait to be sent to one client. A client that reads more slowly than that loses
    /// volatile events first, and then its connection. One message always fits, however large, while no
    /// more than a quarter of this waits. Default 8 MiB.
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
        self.http.http_connections_max = count;
        self
    }

    /// How the events of one connection flow, of all its namespaces together: how many are handled at the same
    /// time, and how fast they may come. Default: 1,024 handlers that wait, at any rate.
    pub fn connection_flow(mut self, flow: ConnectionFlow) -> Self {
        self.config.connection_flow = flow;
        self
    }

    /// How the events of each namespace come to their handlers, unless that
    /// [says otherwise](crate::Namespace::event_flow): which wait for each other, and how large and how fast they may
    /// be. What a second call does not say stays as the first has said. Default: none waits for another, and nothing
    /// is limited but by [`payload_bytes_max`](Self::payload_bytes_max) and
    /// [`connection_flow`](Self::connection_flow).
    pub fn event_flow(mut self, flow: EventFlow) -> Self {
        self.config.event_flow.merge(flow);
        self
    }

    /// Sockets that may be in each namespace at the same time, unless that
    /// [says otherwise](crate::Namespace::sockets_max). Default: no limit but
    /// [`connections_max`](Self::connections_max), since a connection has one socket in a namespace.
    pub fn sockets_max(mut self, count: usize) -> Self {
        self.config.sockets_max = count;
        self
    }

    /// Ack requests to one client that wait for their answer, in each namespace, unless that
    /// [says otherwise](crate::Namespace::asks_max). Default 16,384.
    pub fn asks_max(mut self, count: usize) -> Self {
        self.config.asks_max = count;
        self
    }

    /// Namespaces that there are because clients have asked for them: see [`Server::of_pattern`].
    /// Whoever asks for one more is refused with `too many namespaces`. Default 10,000.
    ///
    /// A namespace counts from when its first client is let in, or the program asks for it by its name, until
    /// its end. Before that it is part of the decision about that client, and ends with it.
    pub fn child_namespaces_max(mut self, count: usize) -> Self {
        self.config.child_namespaces_max = count;
        self
    }

    /// Whether namespaces that were made because a client asked for them stay when nobody is in them
    /// any more, as in the official server unless its `cleanupEmptyChildNamespaces` is on. One in which
    /// nobody was let in does not. Default no: clients could fill the server with them.
    #[doc(alias = "cleanupEmptyChildNamespaces")]
    pub fn keep_empty_namespaces(mut self, keep: bool) -> Self {
        self.config.keep_empty_namespaces = keep;
        self
    }

    /// Time for the functions given to [`Server::of_matching`] to decide. Whoever waits for them is
    /// refused then, with `No decision in time`; so is who waits as long for a namespace that another is having
    /// made, in [`Server::on_new_namespace`]. Default 10 s.
    pub fn namespace_timeout(mut self, timeout: Duration) -> Self {
        self.config.namespace_timeout = timeout;
        self
    }

    /// Lets clients that were lost come back to their sockets, and to what they missed. Default: not.
    #[doc(alias = "connectionStateRecovery")]
    #[doc(alias = "maxDisconnectionDuration")]
    #[doc(alias = "skipMiddlewares")]
    #[doc(alias = "adapter")]
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.recovery = Some(recovery);
        self
    }

    /// Joins the server to a cluster: see [`adapter`](crate::adapter). Default: none.
    ///
    /// What is sent to a namespace, and what is done to a selection of its sockets, reaches all nodes.
    /// Where the adapter has a [recovery](crate::adapter::Adapter::recovery), it takes the place of that of
    /// [`recovery`](Self::recovery); where it has none, each node has a recovery of its own with those settings.
    pub fn adapter(mut self, adapter: impl Adapter) -> Self {
        self.adapter = Some(Arc::new(adapter));
        self
    }

    /// Lets the requests of a session come to any node of a cluster: by this bus they find the node that holds it.
    /// Default: none, and a request whose session is not in this process is refused with code 1,
    /// `Session ID unknown`.
    ///
    /// So a load balancer may send each request where it likes, and needs no sticky sessions. Each server has an
    /// [`adapter`](Self::adapter) beside, since this is about requests and not about events; and all have the same
    /// ping interval and ping timeout.
    ///
    /// - A request for a session that is nowhere is refused after
    ///   [`session_lookup_timeout`](Self::session_lookup_timeout), and so is one whose node does not answer.
    /// - A WebSocket that comes over from polling at another node than that of its session stays there: what goes
    ///   over it passes both nodes and the bus. One without polling before is its node's own.
    /// - A node is asked for up to 1,000 sessions at the same time by requests whose session is not known yet. Further
    ///   requests are refused at once ([`Stats::session_asks_refused`](crate::Stats::session_asks_refused)).
    /// - Visitors of other nodes count for [`connections_max`](Self::connections_max).
    /// - Clients of [`allow_eio3`](Self::allow_eio3) and [`jsonp`](Self::jsonp) are served by the nodes that let them
    ///   in, so set these at all of them.
    /// - A message of up to 64 MiB goes over the bus, as far as the bus takes it. A larger one ends its session.
    /// - What the server decides about a request, such as its origin and host, and what it adds to the answer is done by
    ///   the node at which the request arrives. [`allow_request`](Self::allow_request) is asked once, at the node
    ///   that opens the session.
    ///
    /// The crate `roomful-cluster` has buses for Redis, on the wire of `@socket.io/cluster-engine`, and for NATS.
    #[doc(alias = "ClusterEngine")]
    #[doc(alias = "sticky")]
    pub fn session_bus(mut self, bus: impl SessionBus) -> Self {
        self.session_bus = Some(Arc::new(bus));
        self
    }

    /// Time for another node to say that it holds a session, where there is a [bus](Self::session_bus) to ask by. A
    /// request is refused then, so it has to be longer than a node may stand still. Default 1 s, as the official
    /// engine.
    #[doc(alias = "responseTimeout")]
    pub fn session_lookup_timeout(mut self, timeout: Duration) -> Self {
        self.config.session_lookup_timeout = timeout.min(FOREVER);
        self
    }

    /// Rooms that one socket may be in, that of its own id not counted, unless its namespace
    /// [says otherwise](crate::Namespace::rooms_max). Default 1,000.
    pub fn rooms_max(mut self, count: usize) -> Self {
        self.config.rooms_max = count;
        self
    }

    /// Bytes that the name of a room may have that a socket joins, unless its namespace
    /// [says otherwise](crate::Namespace::room_name_bytes_max). Default 512, as names of events.
    ///
    /// Names may come from clients, and are kept while somebody is in the room; the limit of a payload
    /// alone would let one client's rooms have a gigabyte of them.
    pub fn room_name_bytes_max(mut self, bytes: usize) -> Self {
        self.config.room_name_bytes_max = bytes;
        self
    }
}
