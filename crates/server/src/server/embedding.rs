//! The server inside another server, below another path, and over other streams: one example for
//! each. There is nothing else here.
//!
//! # Inside axum
//!
//! [`Server::layer`](crate::Server::layer) answers below the server's own path and leaves the rest to
//! the router.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use roomful::Server;
//!
//! # async fn example() -> std::io::Result<()> {
//! let io = Server::new();
//! let app = Router::new().route("/", get(async || "hello")).layer(io.layer());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await
//! # }
//! ```
//!
//! To serve both without a second HTTP library in front of polls, give the router to
//! [`Server::serve_with`](crate::Server::serve_with): what is below the server's path does not go
//! through the router then.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! # use axum::{Router, routing::get};
//! # let io = roomful::Server::new();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! io.serve_with(listener, Router::new().route("/", get(async || "hello"))).await;
//! # Ok(()) }
//! ```
//!
//! # Without a connection
//!
//! A request that the program itself makes, as tests do, names its host as any other: one of HTTP/1.1, which a
//! request of the `http` crate is by default, in a header `host`; one of HTTP/2 there or in the authority of its
//! URI. HTTP/1.1 without that header is answered 400, as is any request with two.
//!
//! ```
//! use axum::body::Body;
//! use axum::http::Request;
//! use tower_service::Service as _;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let io = roomful::Server::new();
//! let request = Request::get("/socket.io/?EIO=4&transport=polling").header("host", "localhost");
//! let request = request.body(Body::empty()).expect("all of it is right");
//! let Ok(response) = io.service().call(request).await;
//! assert_eq!(response.status(), 200);
//! # }
//! ```
//!
//! # With a middleware in front
//!
//! A layer that is added to a router later sees requests earlier. This one sees all of them, polls
//! and upgrades alike, and it may wait. Where the server serves by itself, the places for this are
//! [`Builder::on_request`] and, where something has to be waited for, [`Builder::allow_request`].
//!
//! ```
//! use axum::extract::Request;
//! use axum::http::StatusCode;
//! use axum::middleware::{Next, from_fn};
//! use axum::response::{IntoResponse, Response};
//!
//! async fn only_with_a_cookie(request: Request, next: Next) -> Response {
//!     match request.headers().get("cookie") {
//!         Some(_) => next.run(request).await,
//!         None => StatusCode::UNAUTHORIZED.into_response(),
//!     }
//! }
//!
//! # fn app() -> axum::Router {
//! let io = roomful::Server::new();
//! axum::Router::new().layer(io.layer()).layer(from_fn(only_with_a_cookie))
//! # }
//! ```
//!
//! A middleware must hand on what stands for the upgrade, the extensions of the request, and the 101
//! as it is. One that says who the peer is puts a [`PeerAddress`] into the extensions:
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use axum::extract::{ConnectInfo, Request};
//! use axum::middleware::{Next, from_fn};
//! use axum::response::Response;
//! use roomful::PeerAddress;
//!
//! async fn tell_peer(mut request: Request, next: Next) -> Response {
//!     if let Some(&ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
//!         request.extensions_mut().insert(PeerAddress(peer));
//!     }
//!     next.run(request).await
//! }
//!
//! # async fn example(listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! let io = roomful::Server::new();
//! let app = axum::Router::new().layer(io.layer()).layer(from_fn(tell_peer));
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
//! # }
//! ```
//!
//! # Below a path
//!
//! Either the server knows its path, or a router takes it off. Clients are told the same path:
//! `io({ path: "/live/socket.io" })`.
//!
//! ```
//! # use roomful::Server;
//! # fn app() -> axum::Router {
//! let knows = Server::builder().path("/live/socket.io").build();
//! let nested = Server::new();
//! axum::Router::new().nest_service("/other/socket.io", nested.service()).layer(knows.layer())
//! # }
//! ```
//!
//! Behind a proxy, it is the path that arrives here that counts. And the header `host`: pages of other
//! hosts [may not connect](crate::Origins::SameHost), so the proxy must pass it on as it came, or the
//! origins of the pages must be listed.
//!
//! # Many servers in one program
//!
//! Servers share nothing: neither sessions nor namespaces, limits or counters. So one program can
//! have as many as it likes, each at a path of its own as above, or each on a listener of its own:
//!
//! ```no_run
//! # use roomful::Server;
//! # async fn example() -> Result<(), roomful::ServeError> {
//! let (public, internal) = (Server::new(), Server::new());
//! tokio::try_join!(public.serve("0.0.0.0:3000"), internal.serve("127.0.0.1:3001"))?;
//! # Ok(()) }
//! ```
//!
//! # Inside hyper
//!
//! ```
//! use hyper::server::conn::http1;
//! use hyper_util::rt::{TokioIo, TokioTimer};
//! use hyper_util::service::TowerToHyperService;
//!
//! # async fn example(listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! let io = roomful::Server::new();
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     let service = TowerToHyperService::new(io.service());
//!     tokio::spawn(async move {
//!         http1::Builder::new()
//!             // Without a timer, a peer may take as long as it likes for the head of a request.
//!             .timer(TokioTimer::new())
//!             .serve_connection(TokioIo::new(stream), service)
//!             // Without this, nothing becomes a WebSocket.
//!             .with_upgrades()
//!             .await
//!     });
//! }
//! # }
//! ```
//!
//! # HTTP/2
//!
//! Polls go over HTTP/2 as over anything else, all sessions of a browser on one connection. A WebSocket
//! does not: browsers open a connection with HTTP/1.1 for it, so the port must speak both, as this one
//! does. With TLS, offer `h2` and `http/1.1` by ALPN.
//!
//! ```
//! use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
//! use hyper_util::server::conn::auto;
//! use hyper_util::service::TowerToHyperService;
//!
//! # async fn example(listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! let io = roomful::Server::new();
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     let service = TowerToHyperService::new(io.service());
//!     tokio::spawn(async move {
//!         let mut http = auto::Builder::new(TokioExecutor::new());
//!         http.http1().timer(TokioTimer::new());
//!         http.http2().timer(TokioTimer::new()).max_concurrent_streams(100);
//!         http.serve_connection_with_upgrades(TokioIo::new(stream), service).await
//!     });
//! }
//! # }
//! ```
//!
//! # Behind TLS
//!
//! Mostly a proxy speaks TLS and this server does not. Where it should,
//! [`Server::serve_stream`](crate::Server::serve_stream) takes any stream; here one of `tokio-rustls`.
//! It speaks HTTP/1.1, and that is what to offer by ALPN.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use tokio_rustls::TlsAcceptor;
//! use tokio_rustls::rustls::ServerConfig;
//!
//! # async fn example(listener: tokio::net::TcpListener, mut tls: ServerConfig) -> std::io::Result<()> {
//! tls.alpn_protocols = vec![b"http/1.1".to_vec()];
//! let acceptor = TlsAcceptor::from(Arc::new(tls));
//! let io = roomful::Server::new();
//! loop {
//!     let (stream, peer) = listener.accept().await?;
//!     let (io, acceptor) = (io.clone(), acceptor.clone());
//!     tokio::spawn(async move {
//!         // Somebody who only connects must not stay for ever.
//!         let handshake = tokio::time::timeout(Duration::from_secs(10), acceptor.accept(stream));
//!         if let Ok(Ok(stream)) = handshake.await {
//!             io.serve_stream(stream, Some(peer)).await;
//!         }
//!     });
//! }
//! # }
//! ```
//!
//! For HTTP/2 as well, offer both and let hyper speak what was agreed on:
//!
//! ```
//! use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
//! use hyper_util::server::conn::auto;
//! use hyper_util::service::TowerToHyperService;
//! use tokio_rustls::rustls::ServerConfig;
//!
//! fn offer(tls: &mut ServerConfig) {
//!     tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
//! }
//!
//! async fn serve(io: roomful::Server, stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
//!     let mut http = auto::Builder::new(TokioExecutor::new());
//!     http.http1().timer(TokioTimer::new());
//!     http.http2().timer(TokioTimer::new()).max_concurrent_streams(100);
//!     let service = TowerToHyperService::new(io.service());
//!     // How a connection ended is nobody's business here.
//!     let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
//! }
//! ```
//!
//! # A Unix socket
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! let io = roomful::Server::new();
//! let listener = tokio::net::UnixListener::bind("/run/app/io.sock")?;
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     let io = io.clone();
//!     tokio::spawn(async move { io.serve_stream(stream, None).await });
//! }
//! # }
//! ```
//!
//! [`Builder::on_request`]: crate::Builder::on_request
//! [`Builder::allow_request`]: crate::Builder::allow_request
//! [`PeerAddress`]: crate::PeerAddress
