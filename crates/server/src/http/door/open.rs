//! [`Applicant`]: a request that may open a session, and how it is opened.
//!
//! A request that is still asked about is no session: nothing is kept, counted or answered before `allow_request` has
//! decided, and the request is dropped with its client.

use std::sync::Arc;

use http::StatusCode;
use roomful_proto::SessionId;
use roomful_proto::engine::Transport;

use super::poll::{Polled, function};
use super::upgrade::{Accepted, To, Upgrade, accept, refuse_upgrade};
use super::{Decision, Received, empty, refuse};
use crate::connection::{Connection, Guarded};
use crate::ground::dialect::Dialect;
use crate::ground::handshake::HANDSHAKE_BYTES_MAX;
use crate::ground::random;
use crate::http::answer::Answer;
use crate::http::coding::Codings;
use crate::http::head::Head;
use crate::http::hooks;
use crate::http::refused::Cause;
use crate::http::request::Request;
use crate::http::settings::Transports;
use crate::http::site::Site;
use crate::transport::link::Link;
/// A request that may open a session if it is allowed to.
pub(crate) struct Applicant {
    request: Request<'static>,
    dialect: Dialect,
    /// `None` for polling.
    pub(super) accepted: Option<Accepted>,
}

/// Refuses a request whose head is larger than what is kept of one.
pub(super) fn refuse_large(site: &Site, head: &Head<'_>, transport: Transport) -> Option<Answer> {
    (head.bytes() > HANDSHAKE_BYTES_MAX).then(|| {
        let upgrade = transport == Transport::WebSocket;
        let answer = refuse(site, &Request::new(*head), &Cause::TransportHandshake, upgrade);
        tracing::debug!("refused: the head of the request has more than 16 KiB");
        answer.status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    })
}

/// Opens a session, unless it is first to be asked whether it may.
pub(super) fn apply(
    site: &Arc<Site>,
    head: &Head<'_>,
    transport: Transport,
    dialect: Dialect,
) -> Received {
    if let Some(answer) = refuse_large(site, head, transport) {
        return answer.into();
    }
    let accepted = match transport {
        Transport::Polling => None,
        Transport::WebSocket => match accept(site, head, dialect) {
            Ok(accepted) => Some(accepted),
            Err(refusal) => return refuse_upgrade(site, head, refusal).into(),
        },
    };
    let request = Request::new(*head);
    if site.settings.hooks.decides() {
        let request = request.into_owned();
        return Received::Asks(Box::new(Applicant { request, dialect, accepted }));
    }
    admit(site, &request, dialect, accepted).into()
}

/// Asks whether a request may open a session, and opens it. Nothing is open, and nothing counted,
/// before that is decided.
pub(crate) async fn ask(site: &Arc<Site>, applicant: Box<Applicant>) -> Decision {
    let Applicant { request, dialect, accepted } = *applicant;
    let allowed = tokio::select! {
        biased;
        () = site.closing.begun() => return empty(StatusCode::SERVICE_UNAVAILABLE),
        allowed = hooks::allow(site, request.clone()) => allowed,
    };
    match allowed {
        Ok(()) => admit(site, &request, dialect, accepted),
        Err(not_allowed) => refuse(site, &request, &not_allowed.cause(), accepted.is_some()).into(),
    }
}

pub(super) fn admit(
    site: &Arc<Site>,
    request: &Request<'_>,
    dialect: Dialect,
    accepted: Option<Accepted>,
) -> Decision {
    let upgrade = accepted.is_some();
    let transport = if upgrade { Transport::WebSocket } else { Transport::Polling };
    let Some(link) = new_link(site, request, transport, dialect) else {
        return refuse(site, request, &Cause::TooManyConnections, upgrade).into();
    };
    match accepted {
        Some(accepted) => {
            let opening = Opening { site: Arc::clone(site), link: Some(link) };
            Decision::Upgrade(Upgrade::new(site, accepted, To::Open(opening)))
        }
        None => open_polling(site, request, link),
    }
}

pub(super) fn new_link(
    site: &Site,
    request: &Request<'_>,
    transport: Transport,
    dialect: Dialect,
) -> Option<Arc<Link>> {
    let id = SessionId::from_random(random::random()?);
    let handshake = request.to_handshake();
    let outbox_bytes_max = site.config.outbox_bytes_max;
    let link = site.sessions.insert(site.config.connections_max, |key| {
        Link::new(id, key, transport, dialect, handshake, outbox_bytes_max)
    })?;
    if site.is_closing() {
        // The server has begun to close since this was checked, and may not have seen this one.
        link.order(site.closing_order());
    }
    Some(link)
}

/// The open packet is what the first poll of the session is answered.
pub(super) fn open_polling(site: &Arc<Site>, request: &Request<'_>, link: Arc<Link>) -> Decision {
    let can_upgrade = site.settings.transports.contains(Transports::WEBSOCKET);
    let upgrades: &[_] = if can_upgrade { &[Transport::WebSocket] } else { &[] };
    let connection = Connection::polling(Arc::clone(&site.core), Arc::clone(&link), upgrades);
    drop(tokio::spawn(Guarded::new(Arc::clone(&link), connection)));
    let function = function(&link, request.query_string());
    // What is open now is told in few bytes.
    Decision::Poll(link, Polled { function, codings: Codings::default() })
}

/// A session whose WebSocket is not there yet; it is forgotten if that never comes.
pub(super) struct Opening {
    site: Arc<Site>,
    link: Option<Arc<Link>>,
}

impl Opening {
    pub(super) fn done(mut self) -> Option<Arc<Link>> {
        self.link.take()
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            self.site.sessions.remove(link);
            self.site.closing.note_end();
        }
    }
}
