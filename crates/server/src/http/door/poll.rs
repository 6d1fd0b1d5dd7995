//! Requests of a session that polls: what a poll is answered, and a body.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use roomful_proto::engine::{Query, Refused, jsonp};

use super::Decision;
use super::elsewhere::{FarBody, far_post};
use crate::ground::farewell::Description;
use crate::http::answer::Answer;
use crate::http::body::NotReceived;
use crate::http::coding::Codings;
use crate::http::head::Head;
use crate::http::site::Site;
use crate::transport::link::{FromHttp, Link};
use crate::transport::polling::{BodyGuard, BodyReply, PollBody, PollReply};
/// How a poll is to be answered.
#[derive(Clone, Copy)]
pub(crate) struct Polled {
    /// With a script that calls the function of this number.
    pub(super) function: Option<u32>,
    /// Compressed in one of these ways.
    pub(super) codings: Codings,
}

pub(super) fn begin_poll(site: &Site, head: &Head<'_>, link: Arc<Link>) -> Decision {
    let codings = codings(site, head);
    let function = function(&link, head.query);
    Decision::Poll(link, Polled { function, codings })
}

/// How the answer may be compressed.
pub(super) fn codings(site: &Site, head: &Head<'_>) -> Codings {
    match head.text("accept-encoding") {
        Some(header) if !site.settings.http_compression.is_off() => Codings::new(header),
        _ => Codings::default(),
    }
}

/// The number of the function that a client that polls with scripts wants to be called.
pub(super) fn function(link: &Link, query: &str) -> Option<u32> {
    if link.dialect.jsonp { Query::parse(query).jsonp.and_then(jsonp::index) } else { None }
}

/// What a poll is answered, once [`poll`](crate::transport::polling::poll) has waited for something to send.
pub(crate) fn poll_answer(site: &Site, reply: Option<PollReply>, polled: Polled) -> Answer {
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
    if is_plain { answer } else { compressed(site, answer, polled.codings) }
}

/// The answer, compressed where it is large enough and the client accepts that.
fn compressed(site: &Site, mut answer: Answer, codings: Codings) -> Answer {
    let settings = site.settings.http_compression;
    let coding = codings.coding(answer.body.len(), settings);
    if coding.is_none() && answer.body.len() < settings.threshold {
        return answer;
    }
    if let Some(coding) = coding
        && let Some(small) = coding.encode(settings.level, &answer.body)
    {
        site.metrics.answers_compressed.add();
        site.metrics.bytes_before_compression.add_all(answer.body.len());
        site.metrics.bytes_after_compression.add_all(small.len());
        answer.body = small;
        answer = answer.with(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    answer.with(header::VARY, HeaderValue::from_static("Accept-Encoding"))
}

pub(super) fn begin_post(head: &Head<'_>, link: &Arc<Link>) -> Decision {
    let Some(guard) = BodyGuard::new(link) else {
        // Two at once: there is no order between them any more.
        let why = Description::BodyOverlap;
        let answer = bad_request(why.as_str());
        let _ = link.request(FromHttp::BodyBroken(why));
        return answer.into();
    };
    if !link.dialect.is_v3() && head.header("content-type") == Some(b"application/octet-stream") {
        let why = Description::BodyKind;
        let answer = bad_request(why.as_str());
        guard.refuse(why);
        return answer.into();
    }
    Decision::Post(Posted::Here(guard))
}

/// A request that brings a body.
pub(crate) enum Posted {
    /// To a session of this process.
    Here(BodyGuard),
    /// To one that another node holds.
    Elsewhere(Box<FarBody>),
}

impl Posted {
    /// Some of it has come.
    pub(crate) fn note_moved(&self) {
        if let Self::Here(guard) = self {
            guard.note_moved();
        }
    }
}

/// Hands over a body, if it was received, and waits until it is worked off.
pub(crate) async fn post(site: &Site, posted: Posted, body: Result<Bytes, NotReceived>) -> Answer {
    let guard = match posted {
        Posted::Here(guard) => guard,
        // Large, and rare.
        Posted::Elsewhere(far) => return Box::pin(far_post(site, far, body)).await,
    };
    match body {
        Ok(body) => match guard.hand_over(body).await {
            Some(BodyReply::Taken) => taken(),
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

/// What a body is answered that was taken.
pub(super) fn taken() -> Answer {
    Answer::new(StatusCode::OK, "text/html", "ok").cache("no-store")
}

/// What a request of a session is answered that cannot be done, in the form of other refusals. `why` is a
/// text of ours without quotes.
pub(super) fn bad_request(why: &'static str) -> Answer {
    refusal(Refused::BadRequest, why)
}

pub(super) fn refusal(refused: Refused, why: &'static str) -> Answer {
    let json = format!(r#"{{"code":{},"message":"{why}"}}"#, refused.code());
    Answer::new(StatusCode::BAD_REQUEST, "application/json", json)
}
