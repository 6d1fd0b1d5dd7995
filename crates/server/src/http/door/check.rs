//! What a request may do: the checks in the order of the official server, which clients see.

use std::sync::Arc;

use roomful_proto::SessionId;
use roomful_proto::engine::{Query, Transport, jsonp};

use super::elsewhere::find_elsewhere;
use crate::ground::dialect::Dialect;
use crate::http::head::Head;
use crate::http::origin::cors::{self, Origin};
use crate::http::refused::Cause;
use crate::http::site::Site;
use crate::transport::link::Link;
/// What a request may do.
pub(super) enum Checked {
    /// Ask whether pages of its origin may connect.
    Preflight,
    /// Open a session.
    Open(Transport, Dialect),
    /// Take part in a session.
    Session(Arc<Link>),
    /// Take part in a session that may be at another node.
    Elsewhere(Transport, SessionId),
}

pub(super) fn check<'a>(
    site: &Arc<Site>,
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
    if !site.settings.transports.has(transport) {
        return Err(unknown());
    }
    check_origin(origin)?;
    if let Some(sid) = query.session {
        let Some(link) = site.session(sid) else {
            return match find_elsewhere(site, &query) {
                Some(session) if upgrade == (transport == Transport::WebSocket) => {
                    Ok(Checked::Elsewhere(transport, session))
                }
                _ => Err(Cause::unknown_session(sid)),
            };
        };
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
    if transport == Transport::Polling && is_jsonp(&query)? && !site.settings.jsonp {
        tracing::debug!("refused: Builder::jsonp lets clients poll with scripts");
        return Err(Cause::TransportHandshake);
    }
    if dialect.is_v3() && !site.settings.allow_eio3 {
        tracing::debug!("refused: Builder::allow_eio3 lets clients of Socket.IO 2 in");
        return Err(Cause::unsupported_version(query.revision));
    }
    if site.sessions.len() >= site.config.connections_max {
        return Err(Cause::TooManyConnections);
    }
    Ok(Checked::Open(transport, dialect))
}

/// Whether the client polls with a script. What is not a number would not be its function's name
/// alone.
pub(super) fn is_jsonp<'a>(query: &Query<'_>) -> Result<bool, Cause<'a>> {
    match query.jsonp.map(jsonp::index) {
        None => Ok(false),
        Some(Some(_)) => Ok(true),
        Some(None) => Err(Cause::TransportHandshake),
    }
}

pub(super) fn check_origin(origin: Origin<'_>) -> Result<(), Cause<'_>> {
    match origin {
        Origin::Absent | Origin::Allowed(_) => Ok(()),
        Origin::Elsewhere(site) => Err(Cause::SiteRefused { site }),
        Origin::Refused(origin) => Err(Cause::origin_refused(origin)),
        Origin::Malformed(origin) => Err(Cause::invalid_origin(origin)),
    }
}

pub(super) fn is_upgrade(head: &Head<'_>) -> bool {
    let upgrade = head.list("upgrade").unwrap_or_default();
    upgrade.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}
