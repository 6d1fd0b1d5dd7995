//! The server as a tower service and as a layer: requests that another HTTP library has read.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body_util::Either;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use crate::connection;
use crate::http::answer::Answer;
use crate::http::body::{self, Body};
use crate::http::bundle;
use crate::http::door::{self, Decision, PeerAddress, Received, Upgrade};
use crate::http::front::impatient::Impatient;
use crate::http::head::{Head, Headers};
use crate::http::site::Site;
use crate::transport::polling;
use crate::transport::websocket::Wire;
use crate::transport::wire::Rewind;

/// Time for the stream to be handed over after the 101 answer was made.
const UPGRADE_HANDOVER: Duration = Duration::from_secs(10);

/// A tower service that answers each request as one to the server, whatever its path: mount it
/// where the server shall be. Made by [`Server::service`](crate::Server::service).
///
/// The body of a request that is refused is read past before it is answered, up to 32 MiB, 30 s or a pause
/// of 5 s: else most HTTP libraries reset the connection, and the answer is lost.
///
/// ```
/// # fn app() -> axum::Router {
/// let io = roomful::Server::new();
/// axum::Router::new().nest_service("/socket.io", io.service())
/// # }
/// ```
#[derive(Clone)]
pub struct Service {
    site: Arc<Site>,
}

/// A tower layer that answers requests below the path of the server, and leaves all others to the
/// service behind it. Made by [`Server::layer`](crate::Server::layer).
///
/// ```
/// # fn app() -> axum::Router {
/// let io = roomful::Server::new();
/// axum::Router::new().layer(io.layer())
/// # }
/// ```
#[derive(Clone)]
pub struct Layer {
    site: Arc<Site>,
}

/// What [`Layer`] makes of a service.
#[derive(Clone, Debug)]
pub struct Layered<S> {
    ours: Service,
    theirs: S,
}

type Answering<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service {
    pub(crate) const fn new(site: Arc<Site>) -> Self {
        Self { site }
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let site = Arc::clone(&self.site);
        Box::pin(async move { Ok(answer(site, request).await) })
    }
}

impl Layer {
    pub(crate) const fn new(site: Arc<Site>) -> Self {
        Self { site }
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Layered<S>;

    fn layer(&self, theirs: S) -> Layered<S> {
        Layered { ours: Service::new(Arc::clone(&self.site)), theirs }
    }
}

impl<S, B, T> tower_service::Service<Request<B>> for Layered<S>
where
    S: tower_service::Service<Request<B>, Response = Response<T>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    T: http_body::Body<Data = Bytes>,
{
    type Response = Response<Either<Body, T>>;
    type Error = S::Error;
    type Future = Answering<Response<Either<Body, T>>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.theirs.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.ours.site.settings.is_ours(request.uri().path()) {
            let site = Arc::clone(&self.ours.site);
            return Box::pin(async move {
                let response = answer(site, request).await;
                Ok(response.map(Either::Left))
            });
        }
        let answering = self.theirs.call(request);
        Box::pin(async move { Ok(answering.await?.map(Either::Right)) })
    }
}

/// Answers a request below the path of the server.
async fn answer<B>(site: Arc<Site>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let (mut parts, body) = request.into_parts();
    let head = head(&parts);
    let (finish, received) = if !head.has_right_host(parts.version == Version::HTTP_11) {
        door::refuse_host(&site, &head)
    } else {
        door::receive(&site, &head)
    };
    let decision = match received {
        Received::Decided(decision) => decision,
        Received::Asks(applicant) => door::ask(&site, applicant).await,
        Received::Strange(stranger) => door::look_for(&site, stranger).await,
    };
    let mut body = pin!(body);
    // Who waits to be asked for the body is not asked for one that nobody wants.
    let mut is_waited_for = !parts.headers.contains_key(header::EXPECT);
    let mut taker = None;
    let answer = match decision {
        Decision::Answer(answer) => answer,
        Decision::Read(file) => bundle::read(file).await,
        Decision::Poll(link, polled) => {
            let reply = polling::poll(site.now(), &link).await;
            taker = Some(link);
            door::poll_answer(&site, reply, polled)
        }
        Decision::FarPoll(poll) => door::far_poll(&site, poll).await,
        Decision::Post(posted) => {
            let limits = (site.limits.payload_bytes_max, site.settings.request_timeout);
            is_waited_for = true;
            let body = body::receive(body.as_mut(), limits, || posted.note_moved()).await;
            let body = body.inspect_err(|why| why.count(&site.metrics));
            door::post(&site, posted, body).await
        }
        Decision::Upgrade(upgrade) => {
            let answer = begin_upgrade(&mut parts, upgrade);
            return finish.apply(&site, answer).into_response();
        }
    };
    if is_waited_for {
        body::read_past(body).await;
    }
    finish.apply(&site, answer).into_response().map(|body| body.taken_by(taker))
}

pub(crate) fn head(parts: &Parts) -> Head<'_> {
    Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        authority: parts.uri.authority().map(|authority| host_and_port(authority.as_str())),
        // In HTTP/1.1 the client may write there what it likes.
        secure: parts.version >= Version::HTTP_2
            && parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS),
        headers: Headers::Map(&parts.headers),
        peer: parts.extensions.get::<PeerAddress>().map(|address| address.0),
    }
}

/// An authority without the name of a user.
fn host_and_port(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Waits for the stream in a task of its own, which then is the task of the connection.
fn begin_upgrade(parts: &mut Parts, upgrade: Upgrade) -> Answer {
    if parts.version < Version::HTTP_11 {
        tracing::debug!(
            "refused: a WebSocket needs HTTP/1.1; nginx says that by proxy_http_version"
        );
        return Answer::empty(StatusCode::BAD_REQUEST);
    }
    let Some(on_upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        tracing::error!("the HTTP server above does not allow upgrades");
        return Answer::empty(StatusCode::NOT_IMPLEMENTED);
    };
    let answer = upgrade.answer();
    drop(tokio::spawn(connection::Task::new(async move {
        let handed_over = tokio::time::timeout(UPGRADE_HANDOVER, on_upgrade).await;
        upgrade.complete(wire(handed_over.ok()?.ok()?)?, &[])
    })));
    answer
}

/// The stream itself, where it is one that we know.
fn wire(upgraded: Upgraded) -> Option<Wire> {
    let upgraded = match upgraded.downcast::<TokioIo<Impatient>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner().into_inner();
            return stream.map(|stream| stream.put_back(parts.read_buf).into_wire());
        }
        Err(other) => other,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Some(tcp(parts.io, parts.read_buf)),
        Err(other) => other,
    };
    // As axum serves.
    Some(match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => tcp(parts.io, parts.read_buf),
        Err(other) => Wire::Other(Box::new(TokioIo::new(other))),
    })
}

fn tcp(stream: TokioIo<TcpStream>, read: Bytes) -> Wire {
    Rewind::new(read, stream.into_inner().into()).into_wire()
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("path", &self.site.settings.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("path", &self.site.settings.path).finish_non_exhaustive()
    }
}
