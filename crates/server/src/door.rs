//! The door: HTTP requests to sessions.
//!
//! It checks a request in the official order (transport, origin, session or method, revision),
//! answers what is wrong with the official codes, and hands what is right to its connection. It
//! neither reads nor writes HTTP: those who do ask it, the [front](crate::front) where the server
//! serves by itself, and the [service](crate::service) inside another server.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use roomful_proto::deflate;
use roomful_proto::engine::{Query, Refused, Transport};
use roomful_proto::ws::handshake;
use roomful_proto::{Form, Reason, SessionId};

use crate::answer::Answer;
use crate::body::NotReceived;
use crate::bundle;
use crate::coding::Accepted;
use crate::config::Transports;
use crate::connection::{Connection, Guarded};
use crate::core::{self, Core};
use crate::cors;
use crate::handshake::Handshake;
use crate::head::Head;
use crate::link::{Link, Order, Request as LinkRequest};
use crate::polling::{BodyGuard, BodyReply, PollReply};
use crate::websocket::{WebSocket, Wire};

/// The address of the peer, as an extension of a request. [`Server::serve`](crate::Server::serve)
/// adds it; a server that embeds this one can add it too.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// What is to be done with a request.
pub(crate) enum Decision {
    /// Answer it.
    Answer(Answer),
    /// Wait for what there is to send, and answer with that: [`poll_answer`].
    Poll(Arc<Link>, Accepted),
    /// Receive its body and hand that over: [`post`].
    Post(BodyGuard),
    /// Answer that it becomes a WebSocket, and make it one.
    Upgrade(Upgrade),
}

/// Decides about a request below the path of the server.
pub(crate) fn decide(core: &Arc<Core>, head: &Head<'_>) -> Decision {
    if let Some(file) = bundle::wanted(head, core.config.serve_client) {
        return Decision::Answer(bundle::answer(file, head));
    }
    let upgrade = is_upgrade(head);
    let checked = match check(core, head, upgrade) {
        // A session that is open may still fetch its close packet.
        Ok(Checked::Session(link)) => Checked::Session(link),
        _ if core.is_closing() => return empty(StatusCode::SERVICE_UNAVAILABLE),
        Ok(checked) => checked,
        Err(refusal) => {
            core.metrics.requests_refused.add();
            return Decision::Answer(refusal.answer(upgrade));
        }
    };
    match checked {
        Checked::Preflight => Decision::Answer(cors::preflight(head)),
        Checked::Open(Transport::Polling) => open_polling(core, head),
        Checked::Open(Transport::WebSocket) => open_websocket(core, head),
        Checked::Session(link) if upgrade => Upgrade::decide(core, head, || Some(To::Probe(link))),
        Checked::Session(link) => match head.method {
            "GET" => Decision::Poll(link, accepted(core, head)),
            "POST" => begin_post(head, &link),
            _ => empty(StatusCode::INTERNAL_SERVER_ERROR),
        },
    }
}

const fn empty(status: StatusCode) -> Decision {
    Decision::Answer(Answer::empty(status))
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
    fn answer(&self, upgrade: bool) -> Answer {
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
            return Answer::new(status, "text/html", message)
                .with(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let json = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        Answer::new(status, "application/json", json)
    }
}

fn check(core: &Core, head: &Head<'_>, upgrade: bool) -> Result<Checked, Refusal> {
    let query = Query::parse(head.query);
    if cors::is_preflight(head) {
        check_origin(core, head)?;
        return Ok(Checked::Preflight);
    }
    let transport = query.transport()?;
    if !is_enabled(core.config.transports, transport) {
        return Err(Refused::UnknownTransport.into());
    }
    check_origin(core, head)?;
    if let Some(sid) = query.session {
        let link = core.sessions.by_id(sid).ok_or(Refused::UnknownSession)?;
        let fits = if upgrade {
            // For a session that is on a WebSocket already, this one is accepted and then closed.
            transport == Transport::WebSocket
        } else {
            transport == Transport::Polling && link.transport() == Transport::Polling
        };
        return if fits { Ok(Checked::Session(link)) } else { Err(Refused::BadRequest.into()) };
    }
    if head.method != "GET" {
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

fn check_origin(core: &Core, head: &Head<'_>) -> Result<(), Refusal> {
    if head.header("origin").is_none() {
        return Ok(());
    }
    let origin = head.text("origin").ok_or(Refused::BadRequest)?;
    if core.config.origins.allow(origin, head.text("host")) {
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

fn is_upgrade(head: &Head<'_>) -> bool {
    let upgrade = head.text("upgrade").unwrap_or_default();
    upgrade.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

fn new_link(core: &Core, head: &Head<'_>, transport: Transport) -> Option<Arc<Link>> {
    let id = SessionId::from_random(core::random()?);
    let handshake = Handshake::new(head);
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

// Polling.

/// The open packet is what the first poll of the session is answered.
fn open_polling(core: &Arc<Core>, head: &Head<'_>) -> Decision {
    let Some(link) = new_link(core, head, Transport::Polling) else {
        return Decision::Answer(Refusal::Crowded.answer(false));
    };
    let upgrades: &[_] = match core.config.transports {
        Transports::Both => &[Transport::WebSocket],
        _ => &[],
    };
    let connection = Connection::polling(Arc::clone(core), Arc::clone(&link), upgrades);
    drop(tokio::spawn(Guarded::new(Arc::clone(&link), connection)));
    Decision::Poll(link, accepted(core, head))
}

/// What a poll accepts its answer to be compressed with.
fn accepted(core: &Core, head: &Head<'_>) -> Accepted {
    match head.text("accept-encoding") {
        Some(header) if !core.config.http_compression.is_off() => Accepted::new(header),
        _ => Accepted::default(),
    }
}

/// What a poll is answered, once [`poll`](crate::polling::poll) has waited for something to send.
pub(crate) fn poll_answer(core: &Core, reply: Option<PollReply>, accepted: Accepted) -> Answer {
    let answer = |body: Bytes| {
        Answer::new(StatusCode::OK, "text/plain; charset=UTF-8", body).cache("no-store")
    };
    match reply {
        Some(PollReply::Body(body)) => compressed(core, answer(body), accepted),
        Some(PollReply::Plain(body)) => answer(body),
        Some(PollReply::Overlap) | None => Answer::empty(StatusCode::BAD_REQUEST),
    }
}

/// The answer, compressed where it is large enough and the client accepts that.
fn compressed(core: &Core, mut answer: Answer, accepted: Accepted) -> Answer {
    let settings = core.config.http_compression;
    let coding = accepted.coding(answer.body.len(), settings);
    if coding.is_none() && answer.body.len() < settings.threshold {
        return answer;
    }
    if let Some(coding) = coding
        && let Some(small) = coding.encode(settings.level, &answer.body)
    {
        core.metrics.answers_compressed.add();
        core.metrics.bytes_before_compression.add_all(answer.body.len());
        core.metrics.bytes_after_compression.add_all(small.len());
        answer.body = small;
        answer = answer.with(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    answer.with(header::VARY, HeaderValue::from_static("Accept-Encoding"))
}

fn begin_post(head: &Head<'_>, link: &Arc<Link>) -> Decision {
    let Some(guard) = BodyGuard::new(link) else {
        // Two at once: there is no order between them any more.
        let _ = link.request(LinkRequest::BodyBroken);
        return empty(StatusCode::BAD_REQUEST);
    };
    if head.header("content-type") == Some(b"application/octet-stream") {
        // Dropping the guard ends the session.
        return empty(StatusCode::BAD_REQUEST);
    }
    Decision::Post(guard)
}

/// Hands over a body, if it was received, and waits until it is worked off.
pub(crate) async fn post(guard: BodyGuard, body: Result<Bytes, NotReceived>) -> Answer {
    let status = match body {
        Ok(body) => match guard.hand_over(body).await {
            Some(BodyReply::Taken) => {
                return Answer::new(StatusCode::OK, "text/html", "ok").cache("no-store");
            }
            Some(BodyReply::Bad) | None => StatusCode::BAD_REQUEST,
        },
        Err(NotReceived::TooLarge) => {
            guard.forgive();
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Err(NotReceived::Broken) => StatusCode::BAD_REQUEST,
        Err(NotReceived::TooSlow) => StatusCode::REQUEST_TIMEOUT,
    };
    Answer::empty(status)
}

// WebSocket.

/// A request that becomes a WebSocket.
pub(crate) struct Upgrade {
    core: Arc<Core>,
    accept: String,
    /// The extension that was agreed on.
    extension: Option<&'static str>,
    form: Form,
    to: To,
}

/// What the WebSocket is for.
enum To {
    Open(Opening),
    /// To take over a session from polling.
    Probe(Arc<Link>),
}

fn open_websocket(core: &Arc<Core>, head: &Head<'_>) -> Decision {
    Upgrade::decide(core, head, || {
        let link = new_link(core, head, Transport::WebSocket)?;
        Some(To::Open(Opening { core: Arc::clone(core), link: Some(link) }))
    })
}

impl Upgrade {
    fn decide(core: &Arc<Core>, head: &Head<'_>, to: impl FnOnce() -> Option<To>) -> Decision {
        let accept = handshake::accept(&handshake::Request {
            method: head.method,
            connection: head.text("connection"),
            upgrade: head.text("upgrade"),
            version: head.text("sec-websocket-version"),
            key: head.text("sec-websocket-key"),
        });
        let accept = match accept {
            Ok(accept) => accept,
            Err(refusal) => return Decision::Answer(refuse_upgrade(core, refusal)),
        };
        let Some(to) = to() else {
            return Decision::Answer(Refusal::Crowded.answer(true));
        };
        let text_only = Query::parse(head.query).base64;
        let extension = if text_only { None } else { negotiate(core, head) };
        let form = match extension {
            _ if text_only => Form::TextOnly,
            Some(_) => Form::Deflated,
            None => Form::Wire,
        };
        Decision::Upgrade(Self { core: Arc::clone(core), accept, extension, form, to })
    }

    /// What to answer before the stream is a WebSocket.
    pub(crate) fn answer(&self) -> Answer {
        let answer = Answer::empty(StatusCode::SWITCHING_PROTOCOLS)
            .with(header::UPGRADE, HeaderValue::from_static("websocket"))
            .with(header::CONNECTION, HeaderValue::from_static("Upgrade"))
            .with_bytes(header::SEC_WEBSOCKET_ACCEPT, self.accept.as_bytes());
        match self.extension {
            Some(extension) => {
                answer.with(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extension))
            }
            None => answer,
        }
    }

    /// Whether the connection says something at once, with which the answer can go out. That is never
    /// compressed, and has no other form.
    pub(crate) const fn takes_answer(&self) -> bool {
        matches!((&self.to, self.form), (To::Open(_), Form::Wire | Form::Deflated))
    }

    /// Makes the stream a WebSocket, on which `answer` is still to be written if there is any. It may
    /// be a connection to be run; if not, its session has it.
    pub(crate) fn complete(self, wire: Wire, answer: &[u8]) -> Option<Connection> {
        let socket = Box::new(WebSocket::new(wire, &self.core, self.form));
        match self.to {
            To::Open(opening) => {
                Some(Connection::websocket(self.core, opening.done()?, socket, answer))
            }
            To::Probe(link) => {
                // Fails when the session has ended meanwhile; the WebSocket is dropped with it.
                drop(link.request(LinkRequest::Probe(socket)));
                None
            }
        }
    }
}

/// What to answer to the offer of compression, if there is one that can be taken.
fn negotiate(core: &Core, head: &Head<'_>) -> Option<&'static str> {
    core.deflate.as_ref()?;
    let named = |name: &str| name.eq_ignore_ascii_case("sec-websocket-extensions");
    let offers = head.headers.iter().filter(|(name, _)| named(name));
    deflate::negotiate(offers.filter_map(|(_, value)| std::str::from_utf8(value).ok()))
}

fn refuse_upgrade(core: &Core, refusal: handshake::Refusal) -> Answer {
    core.metrics.requests_refused.add();
    let answer = Refusal::Protocol(Refused::BadRequest).answer(true);
    if refusal != handshake::Refusal::Version {
        return answer;
    }
    answer
        .status(StatusCode::UPGRADE_REQUIRED)
        .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}

/// A session whose WebSocket is not there yet; it is forgotten if that never comes.
struct Opening {
    core: Arc<Core>,
    link: Option<Arc<Link>>,
}

impl Opening {
    fn done(mut self) -> Option<Arc<Link>> {
        self.link.take()
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
