//! The door: HTTP requests to sessions.
//!
//! It checks a request in the official order (transport, origin, session or method, revision),
//! answers what is wrong with the official codes, asks whether a session may be opened, and hands
//! what is right to its connection. It neither reads nor writes HTTP: those who do ask it, the
//! [front](crate::http::front) where the server serves by itself, and the [service](crate::http::service) inside
//! another server. The checks stand in one file since their order is what clients see.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use roomful_proto::deflate::{self, Agreed, Unasked};
use roomful_proto::engine::{Query, Refused, Transport, jsonp};
use roomful_proto::ws::handshake;
use roomful_proto::{Form, SessionId};

use crate::connection::{Connection, Guarded};
use crate::ground::config::Transports;
use crate::ground::dialect::Dialect;
use crate::ground::farewell::Description;
use crate::ground::handshake::HANDSHAKE_BYTES_MAX;
use crate::http::answer::Answer;
use crate::http::body::NotReceived;
use crate::http::bundle::{self, OnDisk, Wanted};
use crate::http::coding::Codings;
use crate::http::head::Head;
use crate::http::headers::AnswerHeaders;
use crate::http::hooks;
use crate::http::origin::cors::{self, CorsHeaders, Origin};
use crate::http::origin::origins::Origins;
use crate::http::refused::{Cause, ConnectionError, shown};
use crate::http::request::Request;
use crate::node::core::{self, Core};
use crate::transport::link::{Link, Request as LinkRequest};
use crate::transport::polling::{BodyGuard, BodyReply, PollBody, PollReply};
use crate::transport::websocket::{WebSocket, Wire};

/// The address of the peer, as an extension of a request. [`Server::serve`](crate::Server::serve)
/// adds it; a server that embeds this one can add it too.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// A request that was looked at.
pub(crate) enum Received {
    Decided(Decision),
    /// It may open a session if it is allowed to: [`ask`], as long as its client is there.
    Asks(Box<Applicant>),
}

/// What is to be done with a request.
pub(crate) enum Decision {
    /// Answer it.
    Answer(Answer),
    /// Answer it with a file: [`bundle::read`].
    Read(Box<OnDisk>),
    /// Wait for what there is to send, and answer with that: [`poll_answer`].
    Poll(Arc<Link>, Polled),
    /// Receive its body and hand that over: [`post`].
    Post(BodyGuard),
    /// Answer that it becomes a WebSocket, and make it one.
    Upgrade(Upgrade),
}

/// What every answer to a request says beside what it says.
pub(crate) struct Finish {
    cors: CorsHeaders,
    /// What was added to whatever it will be.
    any: Option<Box<AnswerHeaders>>,
    /// What was added if it is one of a session.
    session: Option<Box<AnswerHeaders>>,
}

impl Finish {
    pub(crate) fn apply(self, core: &Core, answer: Answer) -> Answer {
        let answer = self.cors.apply(&core.config.cors, answer);
        let answer = match self.any {
            Some(headers) => headers.apply(answer),
            None => answer,
        };
        match self.session {
            Some(headers) if answer.is_of_session() => headers.apply(answer),
            _ => answer,
        }
    }
}

/// Takes a request below the path of the server in: what is to be done with it, and how whatever
/// comes of that is to be finished.
pub(crate) fn receive(core: &Arc<Core>, head: &Head<'_>) -> (Finish, Received) {
    if !core.config.has_host(head) {
        return refuse_unseen(core, head, &Cause::host_refused(head.host()));
    }
    let origin = Origin::of(core, head);
    let cors = CorsHeaders::new(&core.config.origins, origin);
    let mut finish = Finish { cors, any: None, session: None };
    if core.config.hooks.see_requests() {
        let headers = finish.any.insert(Box::default());
        if let Some(answer) = show(core, head, headers) {
            return (finish, answer.into());
        }
    }
    let received = decide(core, head, origin);
    if core.config.hooks.add_headers() || core.config.cookie.is_some() {
        finish.session = session_headers(core, head, &received);
    }
    (finish, received)
}

/// Refuses a request that does not name its host once and rightly (RFC 9112 section 3.2).
pub(crate) fn refuse_host(core: &Core, head: &Head<'_>) -> (Finish, Received) {
    tracing::debug!(
        "refused: no header `host` in HTTP/1.1, two in any version, or one that is no host"
    );
    refuse_unseen(core, head, &Cause::InvalidHost)
}

/// Refuses a request that is not for this server. Nobody else sees it, the rule of the origins neither, so
/// no page may read the answer, and it is the same for all.
fn refuse_unseen(core: &Core, head: &Head<'_>, cause: &Cause<'_>) -> (Finish, Received) {
    let answer = refuse(core, &Request::new(*head), cause, is_upgrade(head));
    (Finish { cors: CorsHeaders::Nothing, any: None, session: None }, answer.into())
}

/// Looks at a request for a route beside the server: what its answer has to say of the page that it comes from;
/// or what it is answered instead, since that page may not ask so, or only wants to know whether it may.
pub(crate) fn pass_by(
    core: &Core,
    head: &Head<'_>,
    must_name_host: bool,
) -> Result<CorsHeaders, Answer> {
    let refuse = |cause: &Cause<'_>| refuse(core, &Request::new(*head), cause, is_upgrade(head));
    if !head.has_right_host(must_name_host) {
        return Err(refuse(&Cause::InvalidHost));
    }
    if !core.config.has_host(head) {
        return Err(refuse(&Cause::host_refused(head.host())));
    }
    let origin = match Origin::of(core, head) {
        // So a browser sends the form of a page of this very host that is to name no referrer.
        Origin::Refused("null") if head.text("sec-fetch-site") == Some("same-origin") => {
            Origin::Absent
        }
        origin => origin,
    };
    let cors = match &core.config.origins {
        // Routes are kept by caches: what is the same for all is said to all.
        Origins::Any => CorsHeaders::Any,
        origins => CorsHeaders::new(origins, origin),
    };
    // Links from elsewhere lead here, and name no origin.
    let is_visit = matches!(origin, Origin::Elsewhere(_))
        && matches!(head.method, "GET" | "HEAD")
        && !is_upgrade(head);
    let answer = match check_origin(origin) {
        Ok(()) if cors::is_preflight(head) => cors::preflight(&core.config, head),
        Err(cause) if !is_visit => refuse(&cause),
        _ => return Ok(cors),
    };
    Err(cors.apply(&core.config.cors, answer))
}

/// Shows a request to whoever sees it first, and may answer it.
fn show(core: &Core, head: &Head<'_>, headers: &mut AnswerHeaders) -> Option<Answer> {
    let upgrade = is_upgrade(head);
    let Some(flow) = hooks::see(core, head, headers) else {
        return Some(refuse(core, &Request::new(*head), &Cause::Panicked, upgrade));
    };
    flow.into_answer(upgrade)
}

/// What is added to the answer, if it becomes one of a session.
fn session_headers(
    core: &Core,
    head: &Head<'_>,
    received: &Received,
) -> Option<Box<AnswerHeaders>> {
    let polls = match received {
        Received::Decided(Decision::Answer(_) | Decision::Read(_)) => return None,
        Received::Decided(decision) => matches!(decision, Decision::Poll(..)),
        Received::Asks(applicant) => applicant.accepted.is_none(),
    };
    let initial = Query::parse(head.query).session.is_none();
    let mut headers = Box::<AnswerHeaders>::default();
    if let Some(cookie) = core.config.cookie.as_ref().filter(|_| initial && polls) {
        headers.add("set-cookie", &cookie.write()?);
    }
    hooks::headers(core, head, initial, &mut headers);
    Some(headers)
}

fn decide(core: &Arc<Core>, head: &Head<'_>, origin: Origin<'_>) -> Received {
    match bundle::wanted(head, &core.config.serve_client) {
        None => {}
        Some(Wanted::Found(file)) => return bundle::answer(file, head).into(),
        Some(Wanted::Missing) => return bundle::missing().into(),
        Some(Wanted::OnDisk(file)) => return Decision::Read(file).into(),
    }
    let upgrade = is_upgrade(head);
    let checked = match check(core, head, origin, upgrade) {
        // A session that is open may still fetch its close packet.
        Ok(Checked::Session(link)) => Checked::Session(link),
        _ if core.is_closing() => return empty(StatusCode::SERVICE_UNAVAILABLE).into(),
        Ok(checked) => checked,
        Err(cause) => return refuse(core, &Request::new(*head), &cause, upgrade).into(),
    };
    let decision = match checked {
        Checked::Preflight => Decision::Answer(cors::preflight(&core.config, head)),
        Checked::Open(transport, dialect) => return apply(core, head, transport, dialect),
        Checked::Session(link) if upgrade => match accept(core, head, link.dialect) {
            Ok(accepted) => Decision::Upgrade(Upgrade::new(core, accepted, To::Probe(link))),
            Err(refusal) => refuse_upgrade(core, head, refusal).into(),
        },
        Checked::Session(link) => match head.method {
            "GET" => begin_poll(core, head, link),
            "POST" => begin_post(head, &link),
            _ => empty(StatusCode::INTERNAL_SERVER_ERROR),
        },
    };
    decision.into()
}

impl From<Decision> for Received {
    fn from(decision: Decision) -> Self {
        Self::Decided(decision)
    }
}

impl From<Answer> for Decision {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl From<Answer> for Received {
    fn from(answer: Answer) -> Self {
        Self::Decided(Decision::Answer(answer))
    }
}

const fn empty(status: StatusCode) -> Decision {
    Decision::Answer(Answer::empty(status))
}

/// Refuses a request, for which no lock must be held: somebody may want to know.
fn refuse(core: &Core, request: &Request<'_>, cause: &Cause<'_>, upgrade: bool) -> Answer {
    core.metrics.requests_refused.add();
    match cause {
        Cause::OriginRefused { origin } => {
            core.metrics.origins_refused.add();
            // Anybody can send such requests.
            if core.origin_said.passes(core.now()) {
                let host = shown(request.host().unwrap_or_default());
                tracing::warn!(
                    ?origin,
                    ?host,
                    "refused: the origin is not that of the host. Behind a proxy, have it pass the header `host` on \
                     (nginx: proxy_set_header Host $http_host); pages of other hosts are allowed with \
                     Builder::origins"
                );
            }
        }
        Cause::SiteRefused { site } => {
            core.metrics.origins_refused.add();
            if core.site_said.passes(core.now()) {
                tracing::warn!(
                    site,
                    "refused: a page of another site asks without naming its origin, as for an image or a script. \
                     Pages of other hosts are allowed with Builder::origins and name it; to let such requests \
                     in too, only Origins::Any will do"
                );
            }
        }
        Cause::HostRefused { host } => {
            core.metrics.hosts_refused.add();
            if core.host_said.passes(core.now()) {
                tracing::warn!(
                    ?host,
                    "refused: the host is not one of Builder::hosts. Behind a proxy, have it pass the header `host` \
                     on (nginx: proxy_set_header Host $http_host). Or list the name that it uses: then its \
                     pages need Builder::origins, and DNS rebinding is for the proxy to stop"
                );
            }
        }
        Cause::TooManyConnections => core.metrics.connections_refused.add(),
        _ => {}
    }
    core.tell_error(&ConnectionError::new(cause, request));
    cause.answer(upgrade)
}

/// What a request may do.
enum Checked {
    /// Ask whether pages of its origin may connect.
    Preflight,
    /// Open a session.
    Open(Transport, Dialect),
    /// Take part in a session.
    Session(Arc<Link>),
}

fn check<'a>(
    core: &Core,
    head: &Head<'a>,
    origin: Origin<'a>,
    upgrade: bool,
) -> Result<Checked, Cause<'a>> {
    let query = Query::parse(head.query);
    if cors::is_preflight(head) {
        check_origin(origin)?;
        return Ok(Checked::Preflight);
    }
    let unknown = || Cause::unknown_transport(query.transport);
    let transport = query.transport().map_err(|_| unknown())?;
    if !is_enabled(core.config.transports, transport) {
        return Err(unknown());
    }
    check_origin(origin)?;
    if let Some(sid) = query.session {
        let link = core.sessions.by_id(sid).ok_or_else(|| Cause::unknown_session(sid))?;
        let previous = link.transport();
        let fits = if upgrade {
            // For a session that is on a WebSocket already, this one is accepted and then closed.
            transport == Transport::WebSocket
        } else {
            transport == Transport::Polling
                && previous == Transport::Polling
                && link.dialect.jsonp == is_jsonp(&query)?
        };
        return if fits {
            Ok(Checked::Session(link))
        } else {
            Err(Cause::mismatch(transport, previous))
        };
    }
    if head.method != "GET" {
        return Err(Cause::handshake_method(head.method));
    }
    if (transport == Transport::WebSocket) != upgrade {
        return Err(Cause::TransportHandshake);
    }
    let dialect = Dialect::new(&query);
    if transport == Transport::Polling && is_jsonp(&query)? && !core.config.jsonp {
        tracing::debug!("refused: Builder::jsonp lets clients poll with scripts");
        return Err(Cause::TransportHandshake);
    }
    if dialect.is_v3() && !core.config.allow_eio3 {
        tracing::debug!("refused: Builder::allow_eio3 lets clients of Socket.IO 2 in");
        return Err(Cause::unsupported_version(query.revision));
    }
    if core.sessions.len() >= core.config.connections_max {
        return Err(Cause::TooManyConnections);
    }
    Ok(Checked::Open(transport, dialect))
}

/// Whether the client polls with a script. What is not a number would not be its function's name
/// alone.
fn is_jsonp<'a>(query: &Query<'_>) -> Result<bool, Cause<'a>> {
    match query.jsonp.map(jsonp::index) {
        None => Ok(false),
        Some(Some(_)) => Ok(true),
        Some(None) => Err(Cause::TransportHandshake),
    }
}

fn check_origin(origin: Origin<'_>) -> Result<(), Cause<'_>> {
    match origin {
        Origin::Absent | Origin::Allowed(_) => Ok(()),
        Origin::Elsewhere(site) => Err(Cause::SiteRefused { site }),
        Origin::Refused(origin) => Err(Cause::origin_refused(origin)),
        Origin::Malformed(origin) => Err(Cause::invalid_origin(origin)),
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
    let upgrade = head.list("upgrade").unwrap_or_default();
    upgrade.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

// Opening a session.

/// A request that may open a session if it is allowed to.
pub(crate) struct Applicant {
    request: Request<'static>,
    dialect: Dialect,
    /// `None` for polling.
    accepted: Option<Accepted>,
}

/// Opens a session, unless it is first to be asked whether it may.
fn apply(core: &Arc<Core>, head: &Head<'_>, transport: Transport, dialect: Dialect) -> Received {
    if head.bytes() > HANDSHAKE_BYTES_MAX {
        let upgrade = transport == Transport::WebSocket;
        let answer = refuse(core, &Request::new(*head), &Cause::TransportHandshake, upgrade);
        tracing::debug!("refused: the head of the request has more than 16 KiB");
        return answer.status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).into();
    }
    let accepted = match transport {
        Transport::Polling => None,
        Transport::WebSocket => match accept(core, head, dialect) {
            Ok(accepted) => Some(accepted),
            Err(refusal) => return refuse_upgrade(core, head, refusal).into(),
        },
    };
    let request = Request::new(*head);
    if core.config.hooks.decides() {
        let request = request.into_owned();
        return Received::Asks(Box::new(Applicant { request, dialect, accepted }));
    }
    admit(core, &request, dialect, accepted).into()
}

/// Asks whether a request may open a session, and opens it. Nothing is open, and nothing counted,
/// before that is decided.
pub(crate) async fn ask(core: &Arc<Core>, applicant: Box<Applicant>) -> Decision {
    let Applicant { request, dialect, accepted } = *applicant;
    let allowed = tokio::select! {
        biased;
        () = core.closing.begun() => return empty(StatusCode::SERVICE_UNAVAILABLE),
        allowed = hooks::allow(core, request.clone()) => allowed,
    };
    match allowed {
        Ok(()) => admit(core, &request, dialect, accepted),
        Err(not_allowed) => refuse(core, &request, &not_allowed.cause(), accepted.is_some()).into(),
    }
}

fn admit(
    core: &Arc<Core>,
    request: &Request<'_>,
    dialect: Dialect,
    accepted: Option<Accepted>,
) -> Decision {
    let upgrade = accepted.is_some();
    let transport = if upgrade { Transport::WebSocket } else { Transport::Polling };
    let Some(link) = new_link(core, request, transport, dialect) else {
        return refuse(core, request, &Cause::TooManyConnections, upgrade).into();
    };
    match accepted {
        Some(accepted) => {
            let opening = Opening { core: Arc::clone(core), link: Some(link) };
            Decision::Upgrade(Upgrade::new(core, accepted, To::Open(opening)))
        }
        None => open_polling(core, request, link),
    }
}

fn new_link(
    core: &Core,
    request: &Request<'_>,
    transport: Transport,
    dialect: Dialect,
) -> Option<Arc<Link>> {
    let id = SessionId::from_random(core::random()?);
    let handshake = request.to_handshake();
    let outbox_bytes_max = core.config.outbox_bytes_max;
    let link = core.sessions.insert(core.config.connections_max, |key| {
        Link::new(id, key, transport, dialect, handshake, outbox_bytes_max)
    })?;
    if core.is_closing() {
        // The server has begun to close since this was checked, and may not have seen this one.
        link.order(core.closing_order());
    }
    Some(link)
}

// Polling.

/// The open packet is what the first poll of the session is answered.
fn open_polling(core: &Arc<Core>, request: &Request<'_>, link: Arc<Link>) -> Decision {
    let upgrades: &[_] = match core.config.transports {
        Transports::Both => &[Transport::WebSocket],
        _ => &[],
    };
    let connection = Connection::polling(Arc::clone(core), Arc::clone(&link), upgrades);
    drop(tokio::spawn(Guarded::new(Arc::clone(&link), connection)));
    let function = function(&link, request.query_string());
    // What is open now is told in few bytes.
    Decision::Poll(link, Polled { function, codings: Codings::default() })
}

/// How a poll is to be answered.
#[derive(Clone, Copy)]
pub(crate) struct Polled {
    /// With a script that calls the function of this number.
    function: Option<u32>,
    /// Compressed in one of these ways.
    codings: Codings,
}

fn begin_poll(core: &Core, head: &Head<'_>, link: Arc<Link>) -> Decision {
    let codings = match head.text("accept-encoding") {
        Some(header) if !core.config.http_compression.is_off() => Codings::new(header),
        _ => Codings::default(),
    };
    let function = function(&link, head.query);
    Decision::Poll(link, Polled { function, codings })
}

/// The number of the function that a client that polls with scripts wants to be called.
fn function(link: &Link, query: &str) -> Option<u32> {
    if link.dialect.jsonp { Query::parse(query).jsonp.and_then(jsonp::index) } else { None }
}

/// What a poll is answered, once [`poll`](crate::transport::polling::poll) has waited for something to send.
pub(crate) fn poll_answer(core: &Core, reply: Option<PollReply>, polled: Polled) -> Answer {
    let PollBody { bytes, is_text, is_plain } = match reply {
        Some(PollReply::Body(body)) => body,
        Some(PollReply::Overlap) => return bad_request(Description::PollOverlap.as_str()),
        // It has ended since it was found; the next request would not find it.
        None => return refusal(Refused::UnknownSession, Refused::UnknownSession.message()),
    };
    let answer = match polled.function {
        Some(function) if is_text => {
            let script = jsonp::script(function, &bytes);
            Answer::new(StatusCode::OK, "text/javascript; charset=UTF-8", script)
                .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        }
        _ if is_text => Answer::new(StatusCode::OK, "text/plain; charset=UTF-8", bytes),
        _ => Answer::new(StatusCode::OK, "application/octet-stream", bytes),
    };
    let answer = answer.cache("no-store");
    if is_plain { answer } else { compressed(core, answer, polled.codings) }
}

/// The answer, compressed where it is large enough and the client accepts that.
fn compressed(core: &Core, mut answer: Answer, codings: Codings) -> Answer {
    let settings = core.config.http_compression;
    let coding = codings.coding(answer.body.len(), settings);
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
        let why = Description::BodyOverlap;
        let answer = bad_request(why.as_str());
        let _ = link.request(LinkRequest::BodyBroken(why));
        return answer.into();
    };
    if !link.dialect.is_v3() && head.header("content-type") == Some(b"application/octet-stream") {
        let why = Description::BodyKind;
        let answer = bad_request(why.as_str());
        guard.refuse(why);
        return answer.into();
    }
    Decision::Post(guard)
}

/// Hands over a body, if it was received, and waits until it is worked off.
pub(crate) async fn post(guard: BodyGuard, body: Result<Bytes, NotReceived>) -> Answer {
    match body {
        Ok(body) => match guard.hand_over(body).await {
            Some(BodyReply::Taken) => {
                Answer::new(StatusCode::OK, "text/html", "ok").cache("no-store")
            }
            Some(BodyReply::Bad(why)) => bad_request(why),
            None => bad_request("no session that polls any more"),
        },
        Err(NotReceived::TooLarge) => {
            guard.forgive();
            bad_request("Payload too large").status(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Err(NotReceived::Broken) => bad_request(Description::BodyGone.as_str()),
        Err(NotReceived::TooSlow) => {
            let why = Description::BodySlow;
            let answer = bad_request(why.as_str()).status(StatusCode::REQUEST_TIMEOUT);
            guard.refuse(why);
            answer
        }
    }
}

/// What a request of a session is answered that cannot be done, in the form of other refusals. `why` is a
/// text of ours without quotes.
fn bad_request(why: &'static str) -> Answer {
    refusal(Refused::BadRequest, why)
}

fn refusal(refused: Refused, why: &'static str) -> Answer {
    let json = format!(r#"{{"code":{},"message":"{why}"}}"#, refused.code());
    Answer::new(StatusCode::BAD_REQUEST, "application/json", json)
}

// WebSocket.

/// A request that becomes a WebSocket.
pub(crate) struct Upgrade {
    core: Arc<Core>,
    accepted: Accepted,
    to: To,
}

/// A request to become one that is as it should be.
struct Accepted {
    /// The proof that it was understood.
    accept: String,
    /// The extension that was agreed on.
    extension: Option<Agreed>,
    /// The first subprotocol that the client offers, if it offers any: where none is chosen, browsers
    /// and the official client take the WebSocket for failed.
    protocol: Option<Box<str>>,
    form: Form,
}

/// What the WebSocket is for.
enum To {
    Open(Opening),
    /// To take over a session from polling.
    Probe(Arc<Link>),
}

fn accept(core: &Core, head: &Head<'_>, dialect: Dialect) -> Result<Accepted, handshake::Refusal> {
    let accept = handshake::accept(&handshake::Request {
        method: head.method,
        connection: head.list("connection").as_deref(),
        upgrade: head.list("upgrade").as_deref(),
        version: head.text("sec-websocket-version"),
        key: head.text("sec-websocket-key"),
    })?;
    let form = Form::new(dialect.revision, Query::parse(head.query).base64);
    let deflated = form.deflated().zip(negotiate(core, head));
    let (form, extension) = deflated.map_or((form, None), |(form, agreed)| (form, Some(agreed)));
    Ok(Accepted { accept, extension, protocol: first_protocol(head), form })
}

fn refuse_upgrade(core: &Core, head: &Head<'_>, refusal: handshake::Refusal) -> Answer {
    let answer = refuse(core, &Request::new(*head), &Cause::TransportHandshake, true);
    if refusal != handshake::Refusal::Version {
        return answer;
    }
    answer
        .status(StatusCode::UPGRADE_REQUIRED)
        .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}

impl Upgrade {
    fn new(core: &Arc<Core>, accepted: Accepted, to: To) -> Self {
        Self { core: Arc::clone(core), accepted, to }
    }

    /// What to answer before the stream is a WebSocket.
    pub(crate) fn answer(&self) -> Answer {
        let answer = Answer::empty(StatusCode::SWITCHING_PROTOCOLS)
            .with(header::UPGRADE, HeaderValue::from_static("websocket"))
            .with(header::CONNECTION, HeaderValue::from_static("Upgrade"))
            .with_bytes(header::SEC_WEBSOCKET_ACCEPT, self.accepted.accept.as_bytes());
        let answer = match self.accepted.extension {
            Some(Agreed { answer: extension, .. }) => {
                answer.with(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extension))
            }
            None => answer,
        };
        match &self.accepted.protocol {
            Some(protocol) => {
                answer.with_bytes(header::SEC_WEBSOCKET_PROTOCOL, protocol.as_bytes())
            }
            None => answer,
        }
    }

    /// Whether the connection says something at once, with which the answer can go out. That is never
    /// compressed, and has no other form.
    pub(crate) const fn takes_answer(&self) -> bool {
        matches!((&self.to, self.accepted.form), (To::Open(_), Form::Wire | Form::Deflated))
    }

    /// Makes the stream a WebSocket, on which `answer` is still to be written if there is any. It may
    /// be a connection to be run; if not, its session has it.
    pub(crate) fn complete(self, wire: Wire, answer: &[u8]) -> Option<Connection> {
        let Accepted { form, extension, .. } = self.accepted;
        let remembers = extension.is_some_and(|agreed| agreed.remembers);
        let socket = Box::new(WebSocket::new(wire, &self.core, form, remembers));
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

/// The subprotocol that is chosen: it says nothing here, so the first will do.
fn first_protocol(head: &Head<'_>) -> Option<Box<str>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let first = head.text("sec-websocket-protocol")?.split(',').next()?.trim();
    (!first.is_empty() && first.bytes().all(is_token)).then(|| first.into())
}

/// What to answer to the offer of compression, if there is one that can be taken.
fn negotiate(core: &Core, head: &Head<'_>) -> Option<Agreed> {
    core.deflate.as_ref()?;
    let named = |name: &str| name.eq_ignore_ascii_case("sec-websocket-extensions");
    let offers = head.headers.iter().filter(|(name, _)| named(name));
    deflate::negotiate(
        offers.filter_map(|(_, value)| std::str::from_utf8(value).ok()),
        unasked(head),
    )
}

/// Whether a client takes what it has not offered. Browsers do, which name the page and themselves, and so
/// does OkHttp, with which Java and Android come and which could not be told anything else.
fn unasked(head: &Head<'_>) -> Unasked {
    let agent = head.text("user-agent").unwrap_or_default();
    let is_browser = agent.starts_with("Mozilla/") && head.header("origin").is_some();
    if is_browser || agent.starts_with("okhttp/") { Unasked::Taken } else { Unasked::Unknown }
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
