//! [`Upgrade`]: a request that becomes a WebSocket.

use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderValue};
use roomful_proto::Form;
use roomful_proto::deflate::{self, Agreed, Unasked};
use roomful_proto::engine::Query;
use roomful_proto::ws::handshake;

use super::elsewhere::FarStream;
use super::open::Opening;
use super::refuse;
use crate::connection::Connection;
use crate::ground::dialect::Dialect;
use crate::http::answer::Answer;
use crate::http::head::Head;
use crate::http::refused::Cause;
use crate::http::request::Request;
use crate::http::site::Site;
use crate::transport::link::{FromHttp, Link};
use crate::transport::stream::Stream;
use crate::transport::websocket::{WebSocket, Wire};
/// A request that becomes a WebSocket.
pub(crate) struct Upgrade {
    site: Arc<Site>,
    accepted: Accepted,
    to: To,
}

/// A request to become one that is as it should be.
pub(super) struct Accepted {
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
pub(super) enum To {
    Open(Opening),
    /// To take over a session from polling.
    Probe(Arc<Link>),
    /// The same, for a session that another node holds.
    Elsewhere(Box<FarStream>),
}

pub(super) fn accept(
    site: &Site,
    head: &Head<'_>,
    dialect: Dialect,
) -> Result<Accepted, handshake::Refusal> {
    let accept = handshake::accept(&handshake::Request {
        method: head.method,
        connection: head.list("connection").as_deref(),
        upgrade: head.list("upgrade").as_deref(),
        version: head.text("sec-websocket-version"),
        key: head.text("sec-websocket-key"),
    })?;
    let form = Form::new(dialect.revision, Query::parse(head.query).base64);
    let deflated = form.deflated().zip(negotiate(site, head));
    let (form, extension) = deflated.map_or((form, None), |(form, agreed)| (form, Some(agreed)));
    Ok(Accepted { accept, extension, protocol: first_protocol(head), form })
}

pub(super) fn refuse_upgrade(site: &Site, head: &Head<'_>, refusal: handshake::Refusal) -> Answer {
    let answer = refuse(site, &Request::new(*head), &Cause::TransportHandshake, true);
    if refusal != handshake::Refusal::Version {
        return answer;
    }
    answer
        .status(StatusCode::UPGRADE_REQUIRED)
        .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}

impl Upgrade {
    pub(super) fn new(site: &Arc<Site>, accepted: Accepted, to: To) -> Self {
        Self { site: Arc::clone(site), accepted, to }
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
        let socket = |wire| {
            let socket = WebSocket::new(wire, &self.site.limits, form, remembers);
            Box::new(Stream::WebSocket(socket))
        };
        match self.to {
            To::Open(opening) => {
                let stream = socket(wire);
                Some(Connection::over(Arc::clone(&self.site.core), opening.done()?, stream, answer))
            }
            To::Probe(link) => {
                // Fails when the session has ended meanwhile; the WebSocket is dropped with it.
                drop(link.request(FromHttp::Probe(socket(wire))));
                None
            }
            To::Elsewhere(far) => {
                let site = Arc::clone(&self.site);
                drop(tokio::spawn(async move {
                    if let Some(connection) = far.carry(site, wire, form, remembers).await {
                        connection.await;
                    }
                }));
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
fn negotiate(site: &Site, head: &Head<'_>) -> Option<Agreed> {
    site.deflate.as_ref()?;
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
