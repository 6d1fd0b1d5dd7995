//! [`Stranger`]: a request whose session is not in this process, and may be at another node.
//!
//! Whatever is wrong with it in itself is answered here, as always, before anybody is asked. While its session is
//! looked for it is dropped with its client, as one that is [asked about](super::ask).

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use roomful_proto::cluster::sessions::{Carried, Want};
use roomful_proto::engine::payload::Payload;
use roomful_proto::engine::{Data, Packet, Query, Refused, Transport, jsonp};
use roomful_proto::{Form, SessionId};

use super::check::is_jsonp;
use super::open::refuse_large;
use super::poll::{Polled, Posted, bad_request, codings, poll_answer, refusal, taken};
use super::upgrade::{Accepted, To, Upgrade, accept, refuse_upgrade};
use super::{Decision, Received, empty, refuse};
use crate::connection::Connection;
use crate::forwarding::visit::{TakenOver, Visit};
use crate::ground::dialect::Dialect;
use crate::ground::farewell::Description;
use crate::ground::handshake::Handshake;
use crate::http::answer::Answer;
use crate::http::body::NotReceived;
use crate::http::head::Head;
use crate::http::refused::Cause;
use crate::http::request::Request;
use crate::http::site::Site;
use crate::transport::link::Link;
use crate::transport::polling::{PollBody, PollReply};
use crate::transport::stream::Stream;
use crate::transport::websocket::{WebSocket, Wire};

/// A request whose session is not in this process.
pub(crate) struct Stranger {
    request: Request<'static>,
    session: SessionId,
    /// How its client speaks, as each of its requests says: the handshake is elsewhere.
    dialect: Dialect,
    wants: Wants,
}

/// What it wants.
enum Wants {
    Poll(Polled),
    Body,
    Stream(Accepted),
}

/// A poll of a session at another node.
pub(crate) struct FarPoll {
    visit: Visit,
    dialect: Dialect,
    polled: Polled,
}

/// A body for a session at another node.
pub(crate) struct FarBody {
    visit: Visit,
    dialect: Dialect,
}

/// A WebSocket of a session at another node.
pub(super) struct FarStream {
    visit: Visit,
    session: SessionId,
    dialect: Dialect,
    handshake: Handshake,
}

/// The session that a request is to be looked for, if it can be at another node.
pub(super) fn find_elsewhere(site: &Site, query: &Query<'_>) -> Option<SessionId> {
    site.forwarding.as_ref()?;
    let dialect = Dialect::new(query);
    let is_let_in = (!dialect.is_v3() || site.settings.allow_eio3)
        && (!is_jsonp(query).ok()? || site.settings.jsonp);
    is_let_in.then_some(())?;
    // Who does not say it has said it in the handshake, elsewhere.
    query.revision?;
    SessionId::parse(query.session?)
}

pub(super) fn receive_stranger(
    site: &Arc<Site>,
    head: &Head<'_>,
    session: SessionId,
    transport: Transport,
) -> Received {
    if let Some(answer) = refuse_large(site, head, transport) {
        return answer.into();
    }
    let query = Query::parse(head.query);
    let dialect = Dialect::new(&query);
    let wants = match (transport, head.method) {
        (Transport::WebSocket, _) => match accept(site, head, dialect) {
            Ok(accepted) => Wants::Stream(accepted),
            Err(refusal) => return refuse_upgrade(site, head, refusal).into(),
        },
        (Transport::Polling, "GET") => {
            let function = query.jsonp.and_then(jsonp::index);
            Wants::Poll(Polled { function, codings: codings(site, head) })
        }
        (Transport::Polling, "POST") => Wants::Body,
        _ => return empty(StatusCode::INTERNAL_SERVER_ERROR).into(),
    };
    let is_binary = head.header("content-type") == Some(b"application/octet-stream");
    if is_binary && head.method == "POST" && !dialect.is_v3() {
        return bad_request(Description::BodyKind.as_str()).into();
    }
    let request = Request::new(*head).into_owned();
    Received::Strange(Box::new(Stranger { request, session, dialect, wants }))
}

impl Stranger {
    /// Whether it polls.
    pub(super) const fn polls(&self) -> bool {
        matches!(self.wants, Wants::Poll(_))
    }
}

/// Looks for the node that holds the session of a request.
pub(crate) async fn look_for(site: &Arc<Site>, stranger: Box<Stranger>) -> Decision {
    let Stranger { request, session, dialect, wants } = *stranger;
    let want = match &wants {
        Wants::Poll(_) => Want::Read,
        Wants::Body => Want::Write,
        Wants::Stream(_) => Want::Stream,
    };
    let visit = site.forwarding.as_ref().and_then(|ours| ours.visit(session, want));
    let found = match visit {
        Some(visit) => visit.found().await,
        None => None,
    };
    match (found, wants) {
        (Some(visit), Wants::Poll(polled)) => {
            Decision::FarPoll(Box::new(FarPoll { visit, dialect, polled }))
        }
        (Some(visit), Wants::Body) => {
            Decision::Post(Posted::Elsewhere(Box::new(FarBody { visit, dialect })))
        }
        (Some(visit), Wants::Stream(accepted)) => {
            let handshake = request.to_handshake();
            let to = To::Elsewhere(Box::new(FarStream { visit, session, dialect, handshake }));
            Decision::Upgrade(Upgrade::new(site, accepted, to))
        }
        (None, wants) => {
            let upgrade = matches!(wants, Wants::Stream(_));
            refuse(site, &request, &Cause::unknown_session(session.as_str()), upgrade).into()
        }
    }
}

/// Waits for what there is to be answered to a poll.
pub(crate) async fn far_poll(site: &Site, poll: Box<FarPoll>) -> Answer {
    let FarPoll { visit, dialect, polled } = *poll;
    let reply = visit.polled().await.map(|packets| {
        let is_plain = packets.iter().any(is_secret);
        let body = Carried::body(&packets, dialect.revision, dialect.base64);
        let is_text = matches!(body, Data::Text(_));
        PollReply::Body(PollBody { bytes: body.into_bytes(), is_text, is_plain })
    });
    poll_answer(site, reply, polled)
}

/// Whether a packet may tell an id that must not be guessed from the size of an answer: the handshake of the session,
/// or of a socket.
fn is_secret(packet: &Carried) -> bool {
    match packet {
        Carried::Packet(Packet::Open(_)) => true,
        Carried::Packet(Packet::Message(Data::Text(text))) => text.first() == Some(&b'0'),
        _ => false,
    }
}

/// Brings a body, if it was received, and waits until the session has it.
pub(super) async fn far_post(
    site: &Site,
    body: Box<FarBody>,
    received: Result<Bytes, NotReceived>,
) -> Answer {
    let FarBody { visit, dialect } = *body;
    let received = match received {
        Ok(received) if dialect.jsonp => jsonp::body(&received).map(Bytes::from),
        Ok(received) => Some(received),
        Err(NotReceived::TooLarge) => {
            visit.forgive();
            return bad_request("Payload too large").status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Err(NotReceived::Broken) => return bad_request(Description::BodyGone.as_str()),
        Err(NotReceived::TooSlow) => {
            let answer = bad_request(Description::BodySlow.as_str());
            return answer.status(StatusCode::REQUEST_TIMEOUT);
        }
    };
    let (packets, broken) = match received {
        Some(received) => packets(site, dialect, received),
        None => (vec![Carried::Broken], Some(Description::BodyKind.as_str())),
    };
    let is_taken = visit.bring(packets).await;
    match broken {
        Some(why) => bad_request(why),
        None if is_taken => taken(),
        None => refusal(Refused::UnknownSession, Refused::UnknownSession.message()),
    }
}

/// The packets of a body, and what is wrong with it. Behind them is one that is none then, so that the session ends as
/// one of this node does.
fn packets(site: &Site, dialect: Dialect, body: Bytes) -> (Vec<Carried>, Option<&'static str>) {
    let mut packets = Vec::new();
    let mut broken = None;
    match Payload::of(dialect.revision, body, site.limits.payload_packets_max) {
        Ok(payload) => {
            for packet in payload {
                match packet {
                    Ok(packet) => packets.push(Carried::Packet(packet)),
                    Err(violation) => broken = Some(violation.as_str()),
                }
            }
        }
        Err(violation) => broken = Some(violation.as_str()),
    }
    if broken.is_some() {
        packets.push(Carried::Broken);
    }
    (packets, broken)
}

impl FarStream {
    /// Carries the session's packets over the WebSocket, for as long as both last; it may become a session of this
    /// node.
    pub(super) async fn carry(
        self,
        site: Arc<Site>,
        wire: Wire,
        form: Form,
        remembers: bool,
    ) -> Option<Connection> {
        let Self { visit, session, dialect, handshake } = self;
        let decoder = WebSocket::decoder(&site.limits, form, remembers);
        let deflate = site.deflate.clone();
        let carried = Box::pin(visit.carry(wire, decoder, form, deflate)).await;
        let TakenOver { wire, decoder, packets } = carried?;
        let outbox_bytes_max = site.config.outbox_bytes_max;
        let is_new = site.session(&session).is_none() && !site.is_closing();
        let link = is_new.then(|| {
            site.sessions.insert(site.config.connections_max, |key| {
                Link::new(session, key, Transport::WebSocket, dialect, handshake, outbox_bytes_max)
            })
        });
        let stream = Stream::WebSocket(WebSocket::resumed(wire, decoder, form));
        Some(Connection::taken_over(Arc::clone(&site.core), link??, stream, packets))
    }
}
