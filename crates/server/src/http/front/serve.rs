//! Serving by itself: accepts connections, and gives each to the front, or to an HTTP library with
//! a service behind it.
//!
//! # A runtime for each core
//!
//! A program may serve on several runtimes, one for each core, each with a listener of its own at the same port
//! (`SO_REUSEPORT`). It may do so with one server, or with a node for each (`Server::node`).
//!
//! The server serves on the runtime that it is called on, as often as it is called. A WebSocket stays on the runtime
//! that has accepted it; a client that polls also runs where its POSTs come in. A client of another runtime is written
//! to directly, as any other. Tasks to which a cork leaves clients start where the turn ran. The one timer runs where
//! the first deadline was set, and starts again elsewhere when that runtime ends.
//! `bench/src/bin/roomful-server/runtime.rs` serves that way with one server, so that it can be measured:
//!
//! ```sh
//! RUNTIME=per-core target/release/bench --cases two-cores --servers roomful
//! ```

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower_layer::Layer as _;

use crate::connection::{self, Connection};
use crate::http::answer::Answer;
use crate::http::body::Body;
use crate::http::door::PeerAddress;
use crate::http::front::impatient::{Impatient, Patience, Speech};
use crate::http::front::linger::linger;
use crate::http::front::{Front, HEAD_BYTES_MAX, HEAD_TIMEOUT, Next, STALL_TIMEOUT};
use crate::http::service::Layer;
use crate::http::site::Site;
use crate::transport::websocket::Wire;
use crate::transport::wire::Rewind;

/// Connections that are accepted before everybody else has had a turn. Each brings several turns of its
/// own, so when thousands come at once those who are there already would wait behind all of them.
const ACCEPTS_PER_TURN: usize = 16;
/// Connections that the system keeps until they are accepted, if it is set to allow so many
/// (`net.site.somaxconn`).
const BACKLOG: u32 = 4_096;
/// Pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server could not serve.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// It could not listen at the address.
    Bind {
        /// The address.
        address: String,
        /// Why not.
        source: io::Error,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bind { address, source } = self;
        write!(f, "cannot listen at {address}: {source}")?;
        match source.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str("; another program is listening there: stop it, or choose another port")
            }
            io::ErrorKind::PermissionDenied => {
                f.write_str("; ports below 1024 need special rights: choose another port")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let Self::Bind { source, .. } = self;
        Some(source)
    }
}

/// Binds, with an error that says where.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Bind { address: address.to_owned(), source };
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in tokio::net::lookup_host(address).await.map_err(failed)? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that is started again need not wait for the connections of the one before it.
    socket.set_reuseaddr(cfg!(unix))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until the server is closed: the first of these, which has the others as nodes. Connections go to each in
/// turn.
pub(crate) async fn run<S, B>(sites: Vec<Arc<Site>>, listener: TcpListener, other: S)
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // In a task: the future that was called may run on a thread from which every accepted
    // connection would have to be carried to another. Dropped with that future.
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(sites.clone(), listener, other));
    accepting.join_next().await;
    for (index, site) in sites.iter().enumerate() {
        // A node that was closed before serves no more, and is waited for by nobody.
        if index == 0 || site.is_closing() {
            site.closing.closed().await;
        }
    }
}

/// Accepts until the server hangs up.
async fn accept<S, B>(sites: Vec<Arc<Site>>, listener: TcpListener, other: S)
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (Some(first), mut nodes) = (sites.first(), sites.iter().cycle()) else {
        return;
    };
    let places =
        Arc::new(Semaphore::new(first.settings.http_connections_max.min(Semaphore::MAX_PERMITS)));
    let mut hung_up = std::pin::pin!(first.closing.hung_up());
    let mut in_turn = 0;
    loop {
        if in_turn == ACCEPTS_PER_TURN {
            in_turn = 0;
            behind_all_others().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut hung_up => return,
        };
        in_turn += 1;
        match accepted {
            Ok((stream, address)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    first.metrics.connections_refused.add();
                    continue;
                };
                let mut turns = nodes.by_ref().take(sites.len());
                let site = Arc::clone(turns.find(|node| !node.is_closing()).unwrap_or(first));
                let other = other.clone();
                let http = http(site, stream.into(), Some(address), other, Some(place));
                drop(tokio::spawn(connection::Task::new(http)));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Lets every task that is ready now have its turn first. (Tokio's own `yield_now` comes back as soon as
/// the system was asked for news, which is long before.)
async fn behind_all_others() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Serves HTTP on one stream, as one of those that may at the same time. When that has become a connection,
/// it is to be run.
pub(crate) async fn http<S, B>(
    site: Arc<Site>,
    wire: Wire,
    peer: Option<SocketAddr>,
    other: S,
    _place: Option<OwnedSemaphorePermit>,
) -> Option<Connection>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let _counted = site.closing.http_connection();
    match Front::new(Arc::clone(&site), wire, peer).run().await {
        Next::Ended => None,
        Next::Upgraded(upgrade, wire, answer) => upgrade.complete(wire, &answer),
        Next::Foreign(stream) => {
            let service = Layer::new(Arc::clone(&site)).layer(other);
            let address = peer.map(PeerAddress);
            // Large, and most connections never need it.
            Box::pin(foreign(&site, stream, service, address)).await;
            None
        }
    }
}

/// Adds the address of the peer to each request, and tells the stream how far each is.
struct Told<S> {
    service: S,
    address: Option<PeerAddress>,
    speech: Arc<Speech>,
}

impl<S, B> hyper::service::Service<Request<B>> for Told<S>
where
    S: hyper::service::Service<Request<B>>,
    S::Future: Send + 'static,
    B: http_body::Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn call(&self, mut request: Request<B>) -> Self::Future {
        if let Some(address) = self.address {
            request.extensions_mut().insert(address);
        }
        self.speech.note_head();
        let has_body = !request.body().is_end_stream();
        let (answering, speech) = (self.service.call(request), Arc::clone(&self.speech));
        Box::pin(async move {
            let answer = answering.await;
            if !has_body {
                speech.note_answer();
            }
            answer
        })
    }
}

/// Gives the HTTP library what is not for the front.
async fn foreign<S, B>(site: &Site, stream: Rewind, service: S, address: Option<PeerAddress>)
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let patience = Patience { write: STALL_TIMEOUT, head: HEAD_TIMEOUT };
    let (stream, speech) = Impatient::new(stream, patience);
    let service = TowerToHyperService::new(service);
    let service = Told { service, address, speech: Arc::clone(&speech) };
    // For the library this begins behind the last answer, and a head that begins at its end is to have
    // its time. Heads have a timer of the stream's.
    let idle_max = site.settings.keep_alive_timeout + HEAD_TIMEOUT;
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let served = {
        // Dropped in here: it has the stream.
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            served = &mut serving => served,
            () = site.closing.hung_up() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended");
    }
    if let Some(mut stream) = speech.end() {
        linger(site, &mut stream).await;
    }
}

/// What stands beside the server when nothing else does.
#[derive(Clone, Debug)]
pub(crate) struct NotFound;

impl tower_service::Service<Request<Incoming>> for NotFound {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response<Body>, std::convert::Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let text = "Nothing here. The Socket.IO server answers below its own path.\n";
        let not_found = Answer::new(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text);
        // Whoever wants to speak something else has nothing to say in HTTP any more.
        let not_found = if request.headers().contains_key(header::UPGRADE) {
            not_found.with(header::CONNECTION, HeaderValue::from_static("close"))
        } else {
            not_found
        };
        std::future::ready(Ok(not_found.into_response()))
    }
}
