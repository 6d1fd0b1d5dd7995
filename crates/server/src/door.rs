//! The door: HTTP requests to sessions.
//!
//! It checks a request in the official order (transport, origin, session or method, revision),
//! answers what is wrong with the official codes, and hands what is right to its connection. It
//! waits for the connection's reply and writes it as HTTP; it knows nothing of what is in a packet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use roomful_proto::engine::{Query, Refused, Transport};
use roomful_proto::ws::handshake;
use roomful_proto::{Reason, SessionId};

use crate::body::Body;
use crate::bundle;
use crate::config::{Origins, Transports};
use crate::connection::Connection;
use crate::core::{self, Core};
use crate::handshake::Handshake;
use crate::link::{Link, Order, Request as LinkRequest};
use crate::polling::{self, BodyGuard, BodyReply, PollReply};
use crate::websocket::{WebSocket, Wire};

/// Time for the stream to be handed over after the 101 answer was made.
const UPGRADE_HANDOVER: Duration = Duration::from_secs(10);

/// The address of the peer, as an extension of a request. [`Server::serve`](crate::Server::serve)
/// adds it; a server that embeds this one can add it too.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// Answers a request below the path of the server.
pub(crate) async fn answer<B>(core: Arc<Core>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let (parts, body) = request.into_parts();
    let cors = Cors::new(&core.config.origins, &parts.headers);
    let mut response = route(&core, parts, body).await;
    cors.apply(response.headers_mut());
    response
}

async fn route<B>(core: &Arc<Core>, mut parts: Parts, body: B) -> Response<Body>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    if let Some(file) = bundle::wanted(&parts.uri, &parts.method, core.config.serve_client) {
        return bundle::answer(file, &parts.headers);
    }
    let upgrade = is_upgrade(&parts.headers);
    let checked = match check(core, &parts, upgrade) {
        // A session that is open may still fetch its close packet.
        Ok(Checked::Session(link)) => Checked::Session(link),
        _ if core.is_closing() => return plain(StatusCode::SERVICE_UNAVAILABLE),
        Ok(checked) => checked,
        Err(refusal) => {
            core.metrics.requests_refused.add();
            return refusal.response(upgrade);
        }
    };
    match checked {
        Checked::Preflight => preflight(&parts.headers),
        Checked::Open(transport) => open(core, &mut parts, transport).await,
        Checked::Session(link) if upgrade => probe(core, &mut parts, link),
        Checked::Session(link) => match parts.method {
            Method::GET => reply_to_poll(polling::poll(&link).await),
            Method::POST => post(core, &parts.headers, &link, body).await,
            _ => plain(StatusCode::INTERNAL_SERVER_ERROR),
        },
    }
}

/// What a request may do.
enum Checked {
    /// Ask whether pages of its origin may connect.
    Preflight,
    /// Open a session.
    Open(Transport),
    /// Take part in a session.
    Session(Arc<Link>),
}

/// Why a request is refused.
enum Refusal {
    Protocol(Refused),
    /// Pages of this origin may not connect.
    Origin,
    /// As many connections as there may be.
    Crowded,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Protocol(refused)
    }
}

impl Refusal {
    fn response(&self, upgrade: bool) -> Response<Body> {
        let (status, code, message) = match self {
            Self::Protocol(refused) => (StatusCode::BAD_REQUEST, refused.code(), refused.message()),
            Self::Origin => {
                (StatusCode::FORBIDDEN, Refused::Forbidden.code(), "Origin not allowed")
            }
            Self::Crowded => {
                (StatusCode::SERVICE_UNAVAILABLE, Refused::Forbidden.code(), "Too many connections")
            }
        };
        if upgrade {
            let mut response = with_type(status, "text/html", message.into());
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        let json = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        with_type(status, "application/json", json.into())
    }
}

fn check(core: &Core, parts: &Parts, upgrade: bool) -> Result<Checked, Refusal> {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    if is_preflight(parts) {
        check_origin(core, &parts.headers)?;
        return Ok(Checked::Preflight);
    }
    let transport = query.transport()?;
    if !is_enabled(core.config.transports, transport) {
        return Err(Refused::UnknownTransport.into());
    }
    check_origin(core, &parts.headers)?;
    if let Some(sid) = query.session {
        let link = SessionId::parse(sid).and_then(|id| core.sessions.by_id(id));
        let link = link.ok_or(Refused::UnknownSession)?;
        let fits = if upgrade {
            // For a session that is on a WebSocket already, this one is accepted and then closed.
            transport == Transport::WebSocket
        } else {
            transport == Transport::Polling && link.transport() == Transport::Polling
        };
        return if fits { Ok(Checked::Session(link)) } else { Err(Refused::BadRequest.into()) };
    }
    if parts.method != Method::GET {
        return Err(Refused::HandshakeMethod.into());
    }
    if (transport == Transport::WebSocket) != upgrade {
        return Err(Refused::BadRequest.into());
    }
    query.check_revision()?;
    if core.sessions.len() >= core.config.connections_max {
        core.metrics.connections_refused.add();
        return Err(Refusal::Crowded);
    }
    Ok(Checked::Open(transport))
}

fn check_origin(core: &Core, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    if origin.to_str().is_err() {
        return Err(Refused::BadRequest.into());
    }
    if core.config.origins.allow(origin, headers.get(header::HOST)) {
        Ok(())
    } else {
        tracing::warn!(?origin, "refused: allow this origin with Builder::origins");
        Err(Refusal::Origin)
    }
}

const fn is_enabled(transports: Transports, transport: Transport) -> bool {
    match transports {
        Transports::Both => true,
        Transports::PollingOnly => matches!(transport, Transport::Polling),
        Transports::WebSocketOnly => matches!(transport, Transport::WebSocket),
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    let upgrade = text(headers, header::UPGRADE).unwrap_or_default();
    upgrade.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// A question of a browser on behalf of a page of another origin.
fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(header::ORIGIN)
        && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(headers: &HeaderMap) -> Response<Body> {
    let mut response = plain(StatusCode::NO_CONTENT);
    let methods = HeaderValue::from_static("GET,POST");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    response
}

/// Opens a session.
async fn open(core: &Arc<Core>, parts: &mut Parts, transport: Transport) -> Response<Body> {
    match transport {
        Transport::Polling => {
            let Some(link) = new_link(core, parts, transport) else {
                return Refusal::Crowded.response(false);
            };
            let upgrades: &[_] = match core.config.transports {
                Transports::Both => &[Transport::WebSocket],
                _ => &[],
            };
            let connection = Connection::polling(Arc::clone(core), Arc::clone(&link), upgrades);
            drop(tokio::spawn(connection));
            reply_to_poll(polling::poll(&link).await)
        }
        Transport::WebSocket => {
            let Some(link) = new_link(core, parts, transport) else {
                return Refusal::Crowded.response(true);
            };
            let opening = Opening { core: Arc::clone(core), link: Some(link) };
            upgrade(core, parts, move |socket| async move {
                let Some((core, link)) = opening.opened() else {
                    return;
                };
                Connection::websocket(core, link, Box::new(socket)).await;
            })
        }
    }
}

/// A session whose WebSocket is not there yet; it is forgotten if that never comes.
struct Opening {
    core: Arc<Core>,
    link: Option<Arc<Link>>,
}

impl Opening {
    fn opened(mut self) -> Option<(Arc<Core>, Arc<Link>)> {
        Some((Arc::clone(&self.core), self.link.take()?))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            self.core.sessions.remove(link);
            self.core.closing.note_end();
        }
    }
}

/// Opens a WebSocket that may take over a session from polling.
fn probe(core: &Arc<Core>, parts: &mut Parts, link: Arc<Link>) -> Response<Body> {
    upgrade(core, parts, move |socket| async move {
        // Fails when the session has ended meanwhile; the WebSocket is dropped with it.
        drop(link.request(LinkRequest::Probe(Box::new(socket))));
    })
}

/// Answers 101 and gives the WebSocket to `then`, in a task of its own.
fn upgrade<F, Fut>(core: &Arc<Core>, parts: &mut Parts, then: F) -> Response<Body>
where
    F: FnOnce(WebSocket) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let accept = handshake::accept(&handshake::Request {
        method: parts.method.as_str(),
        connection: text(&parts.headers, header::CONNECTION),
        upgrade: text(&parts.headers, header::UPGRADE),
        version: text(&parts.headers, header::SEC_WEBSOCKET_VERSION),
        key: text(&parts.headers, header::SEC_WEBSOCKET_KEY),
    });
    let accept = match accept {
        Ok(accept) => accept,
        Err(refusal) => return refuse_upgrade(core, refusal),
    };
    let Some(on_upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        tracing::error!("the HTTP server above does not allow upgrades");
        return plain(StatusCode::NOT_IMPLEMENTED);
    };
    let text_only = Query::parse(parts.uri.query().unwrap_or_default()).base64;
    let core = Arc::clone(core);
    drop(tokio::spawn(async move {
        if let Ok(Ok(stream)) = tokio::time::timeout(UPGRADE_HANDOVER, on_upgrade).await {
            let socket = WebSocket::new(Wire::Other(Box::new(TokioIo::new(stream))), &core, text_only);
            then(socket).await;
        }
    }));
    let mut response = plain(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

fn refuse_upgrade(core: &Core, refusal: handshake::Refusal) -> Response<Body> {
    core.metrics.requests_refused.add();
    if refusal != handshake::Refusal::Version {
        return Refusal::Protocol(Refused::BadRequest).response(true);
    }
    let mut response = Refusal::Protocol(Refused::BadRequest).response(true);
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn new_link(core: &Core, parts: &Parts, transport: Transport) -> Option<Arc<Link>> {
    let id = SessionId::from_random(core::random()?);
    let address = parts.extensions.get::<PeerAddress>().map(|address| address.0);
    let query = parts.uri.query().unwrap_or_default();
    let handshake = Handshake::new(query, &parts.headers, address);
    let outbox_bytes_max = core.config.outbox_bytes_max;
    let link = core.sessions.insert(core.config.connections_max, |key| {
        Link::new(id, key, transport, handshake, outbox_bytes_max)
    })?;
    if core.is_closing() {
        // The server has begun to close since this was checked, and may not have seen this one.
        link.order(Order::Close(Reason::ServerShuttingDown));
    }
    Some(link)
}

fn reply_to_poll(reply: Option<PollReply>) -> Response<Body> {
    match reply {
        Some(PollReply::Body(body)) => {
            no_store(with_type(StatusCode::OK, "text/plain; charset=UTF-8", body.into()))
        }
        Some(PollReply::Overlap) | None => plain(StatusCode::BAD_REQUEST),
    }
}

async fn post<B>(core: &Core, headers: &HeaderMap, link: &Arc<Link>, body: B) -> Response<Body>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let Some(guard) = BodyGuard::new(link) else {
        // Two at once: there is no order between them any more.
        let _ = link.request(LinkRequest::BodyBroken);
        return plain(StatusCode::BAD_REQUEST);
    };
    if text(headers, header::CONTENT_TYPE) == Some("application/octet-stream") {
        // Dropping the guard ends the session.
        return plain(StatusCode::BAD_REQUEST);
    }
    let limit = core.limits.payload_bytes_max;
    match tokio::time::timeout(core.config.request_timeout, receive(body, limit)).await {
        Ok(Ok(body)) => match guard.hand_over(body).await {
            Some(BodyReply::Taken) => no_store(with_type(StatusCode::OK, "text/html", "ok".into())),
            Some(BodyReply::Bad) | None => plain(StatusCode::BAD_REQUEST),
        },
        Ok(Err(NotReceived::TooLarge)) => {
            guard.forgive();
            plain(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Ok(Err(NotReceived::Broken)) => plain(StatusCode::BAD_REQUEST),
        Err(_) => plain(StatusCode::REQUEST_TIMEOUT),
    }
}

enum NotReceived {
    TooLarge,
    Broken,
}

/// Receives a body of at most `bytes_max`, and never holds more.
async fn receive<B>(body: B, bytes_max: usize) -> Result<Bytes, NotReceived>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    use bytes::Buf as _;
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(NotReceived::TooLarge);
    }
    let mut body = std::pin::pin!(body);
    let mut received = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame.map_err(|_| NotReceived::Broken)?.into_data() else {
            continue;
        };
        if received.len() + data.remaining() > bytes_max {
            return Err(NotReceived::TooLarge);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            received.extend_from_slice(chunk);
            let len = chunk.len();
            data.advance(len);
        }
    }
    Ok(Bytes::from(received))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}

pub(crate) fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn no_store(mut response: Response<Body>) -> Response<Body> {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

/// What a browser is told about pages of other origins.
enum Cors {
    Nothing,
    Any,
    Origin(HeaderValue),
}

impl Cors {
    fn new(origins: &Origins, headers: &HeaderMap) -> Self {
        match (origins, headers.get(header::ORIGIN)) {
            (_, None) => Self::Nothing,
            (Origins::Any, Some(_)) => Self::Any,
            (_, Some(origin)) if origins.allow(origin, headers.get(header::HOST)) => {
                Self::Origin(origin.clone())
            }
            _ => Self::Nothing,
        }
    }

    fn apply(self, headers: &mut HeaderMap) {
        match self {
            Self::Nothing => {}
            Self::Any => {
                let any = HeaderValue::from_static("*");
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            }
            Self::Origin(origin) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.append(header::VARY, HeaderValue::from_static("Origin"));
                let yes = HeaderValue::from_static("true");
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
    }
}
