//! The door: HTTP requests to sessions.
//!
//! It checks a request in the official order (transport, origin, session or method, revision),
//! answers what is wrong with the official codes, asks whether a session may be opened, and hands
//! what is right to its connection. It neither reads nor writes HTTP: those who do ask it, the
//! [front](crate::http::front) where the server serves by itself, and the [service](crate::http::service) inside
//! another server. The checks stand in one file, [`check`],
//! since their order is what clients see.
//!
//! A request to a host that is not listed is refused before any function of the user's is called. Only that of
//! `on_connection_error` is told of it.

mod check;
mod elsewhere;
mod open;
mod poll;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use roomful_proto::engine::Query;

use self::check::{Checked, check, check_origin, is_upgrade};
use self::elsewhere::receive_stranger;
pub(crate) use self::elsewhere::{FarPoll, Stranger, far_poll, look_for};
use self::open::apply;
pub(crate) use self::open::{Applicant, ask};
pub(crate) use self::poll::{Polled, Posted, poll_answer, post};
use self::poll::{begin_poll, begin_post};
pub(crate) use self::upgrade::Upgrade;
use self::upgrade::{To, accept, refuse_upgrade};
use crate::http::answer::Answer;
use crate::http::bundle::{self, OnDisk, Wanted};
use crate::http::head::Head;
use crate::http::headers::AnswerHeaders;
use crate::http::hooks;
use crate::http::origin::cors::{self, CorsHeaders, Origin};
use crate::http::origin::origins::Origins;
use crate::http::refused::{Cause, ConnectionError, shown};
use crate::http::request::Request;
use crate::http::site::Site;
use crate::node::closing::Phase;
use crate::transport::link::Link;

/// The address of the peer, as an extension of a request. [`Server::serve`](crate::Server::serve)
/// adds it; a server that embeds this one can add it too.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "remoteAddress")]
pub struct PeerAddress(pub SocketAddr);

/// A request that was looked at.
pub(crate) enum Received {
    Decided(Decision),
    /// It may open a session if it is allowed to: [`ask`], as long as its client is there.
    Asks(Box<Applicant>),
    /// Its session may be at another node: [`look_for`] it, as long as its client is there.
    Strange(Box<Stranger>),
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
    Post(Posted),
    /// Wait for what another node has to send, and answer with that: [`far_poll`].
    FarPoll(Box<FarPoll>),
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
    pub(crate) fn apply(self, site: &Site, answer: Answer) -> Answer {
        let answer = self.cors.apply(&site.settings.cors, answer);
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
pub(crate) fn receive(site: &Arc<Site>, head: &Head<'_>) -> (Finish, Received) {
    if !site.settings.has_host(head) {
        return refuse_unseen(site, head, &Cause::host_refused(head.host()));
    }
    let origin = Origin::of(site, head);
    let cors = CorsHeaders::new(&site.settings.origins, origin);
    let mut finish = Finish { cors, any: None, session: None };
    if site.settings.hooks.see_requests() {
        let headers = finish.any.insert(Box::default());
        if let Some(answer) = show(site, head, headers) {
            return (finish, answer.into());
        }
    }
    let received = decide(site, head, origin);
    if site.settings.hooks.add_headers() || site.settings.cookie.is_some() {
        finish.session = session_headers(site, head, &received);
    }
    (finish, received)
}

/// Refuses a request that does not name its host once and rightly (RFC 9112 section 3.2).
pub(crate) fn refuse_host(site: &Site, head: &Head<'_>) -> (Finish, Received) {
    tracing::debug!(
        "refused: no header `host` in HTTP/1.1, two in any version, or one that is no host"
    );
    refuse_unseen(site, head, &Cause::InvalidHost)
}

/// Refuses a request that is not for this server. Nobody else sees it, the rule of the origins neither, so
/// no page may read the answer, and it is the same for all.
fn refuse_unseen(site: &Site, head: &Head<'_>, cause: &Cause<'_>) -> (Finish, Received) {
    let answer = refuse(site, &Request::new(*head), cause, is_upgrade(head));
    (Finish { cors: CorsHeaders::Nothing, any: None, session: None }, answer.into())
}

/// Looks at a request for a route beside the server: what its answer has to say of the page that it comes from;
/// or what it is answered instead, since that page may not ask so, or only wants to know whether it may.
pub(crate) fn pass_by(
    site: &Site,
    head: &Head<'_>,
    must_name_host: bool,
) -> Result<CorsHeaders, Answer> {
    let refuse = |cause: &Cause<'_>| refuse(site, &Request::new(*head), cause, is_upgrade(head));
    if !head.has_right_host(must_name_host) {
        return Err(refuse(&Cause::InvalidHost));
    }
    if !site.settings.has_host(head) {
        return Err(refuse(&Cause::host_refused(head.host())));
    }
    let origin = match Origin::of(site, head) {
        // So a browser sends the form of a page of this very host that is to name no referrer.
        Origin::Refused("null") if head.text("sec-fetch-site") == Some("same-origin") => {
            Origin::Absent
        }
        origin => origin,
    };
    let cors = match &site.settings.origins {
        // Routes are kept by caches: what is the same for all is said to all.
        Origins::Any => CorsHeaders::Any,
        origins => CorsHeaders::new(origins, origin),
    };
    // Links from elsewhere lead here, and name no origin.
    let is_visit = matches!(origin, Origin::Elsewhere(_))
        && matches!(head.method, "GET" | "HEAD")
        && !is_upgrade(head);
    let answer = match check_origin(origin) {
        Ok(()) if cors::is_preflight(head) => cors::preflight(&site.settings, head),
        Err(cause) if !is_visit => refuse(&cause),
        _ => return Ok(cors),
    };
    Err(cors.apply(&site.settings.cors, answer))
}

/// Shows a request to whoever sees it first, and may answer it.
fn show(site: &Site, head: &Head<'_>, headers: &mut AnswerHeaders) -> Option<Answer> {
    let upgrade = is_upgrade(head);
    let Some(flow) = hooks::see(site, head, headers) else {
        return Some(refuse(site, &Request::new(*head), &Cause::Panicked, upgrade));
    };
    flow.into_answer(upgrade)
}

/// What is added to the answer, if it becomes one of a session.
fn session_headers(
    site: &Site,
    head: &Head<'_>,
    received: &Received,
) -> Option<Box<AnswerHeaders>> {
    let polls = match received {
        Received::Decided(Decision::Answer(_) | Decision::Read(_)) => return None,
        Received::Decided(decision) => matches!(decision, Decision::Poll(..)),
        Received::Asks(applicant) => applicant.accepted.is_none(),
        Received::Strange(stranger) => stranger.polls(),
    };
    let initial = Query::parse(head.query).session.is_none();
    let mut headers = Box::<AnswerHeaders>::default();
    if let Some(cookie) = site.settings.cookie.as_ref().filter(|_| initial && polls) {
        headers.add("set-cookie", &cookie.write()?);
    }
    hooks::headers(site, head, initial, &mut headers);
    Some(headers)
}

fn decide(site: &Arc<Site>, head: &Head<'_>, origin: Origin<'_>) -> Received {
    match bundle::wanted(head, &site.settings.serve_client) {
        None => {}
        Some(Wanted::Found(file)) => return bundle::answer(file, head).into(),
        Some(Wanted::Missing) => return bundle::missing().into(),
        Some(Wanted::OnDisk(file)) => return Decision::Read(file).into(),
    }
    let upgrade = is_upgrade(head);
    let checked = match check(site, head, origin, upgrade) {
        // A session that is open may still fetch its close packet.
        Ok(Checked::Session(link)) => Checked::Session(link),
        // While this server drains its clients away, those of others may still come to it.
        Ok(elsewhere @ Checked::Elsewhere(..)) if !site.closing.is_past(Phase::Draining) => {
            elsewhere
        }
        _ if site.is_closing() => return empty(StatusCode::SERVICE_UNAVAILABLE).into(),
        Ok(checked) => checked,
        Err(cause) => return refuse(site, &Request::new(*head), &cause, upgrade).into(),
    };
    let decision = match checked {
        Checked::Preflight => Decision::Answer(cors::preflight(&site.settings, head)),
        Checked::Open(transport, dialect) => return apply(site, head, transport, dialect),
        Checked::Elsewhere(transport, session) => {
            return receive_stranger(site, head, session, transport);
        }
        Checked::Session(link) if upgrade => match accept(site, head, link.dialect) {
            Ok(accepted) => Decision::Upgrade(Upgrade::new(site, accepted, To::Probe(link))),
            Err(refusal) => refuse_upgrade(site, head, refusal).into(),
        },
        Checked::Session(link) => match head.method {
            "GET" => begin_poll(site, head, link),
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
fn refuse(site: &Site, request: &Request<'_>, cause: &Cause<'_>, upgrade: bool) -> Answer {
    site.metrics.requests_refused.add();
    match cause {
        Cause::OriginRefused { origin } => {
            site.metrics.origins_refused.add();
            // Anybody can send such requests.
            if site.origin_said.passes(site.now()) {
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
        Cause::SiteRefused { site: from } => {
            site.metrics.origins_refused.add();
            if site.site_said.passes(site.now()) {
                tracing::warn!(
                    site = from,
                    "refused: a page of another site asks without naming its origin, as for an image or a script. \
                     Pages of other hosts are allowed with Builder::origins and name it; to let such requests \
                     in too, only Origins::Any will do"
                );
            }
        }
        Cause::HostRefused { host } => {
            site.metrics.hosts_refused.add();
            if site.host_said.passes(site.now()) {
                tracing::warn!(
                    ?host,
                    "refused: the host is not one of Builder::hosts. Behind a proxy, have it pass the header `host` \
                     on (nginx: proxy_set_header Host $http_host). Or list the name that it uses: then its \
                     pages need Builder::origins, and DNS rebinding is for the proxy to stop"
                );
            }
        }
        Cause::TooManyConnections => site.metrics.connections_refused.add(),
        _ => {}
    }
    site.tell_error(&ConnectionError::new(cause, request));
    cause.answer(upgrade)
}
