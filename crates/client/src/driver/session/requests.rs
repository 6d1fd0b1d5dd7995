//! [`Requests`]: the polling of a session, and how its WebSockets are asked for.

use std::sync::Arc;
use std::task::{Context, Poll};

use roomful_proto::Moment;
use roomful_proto::engine::dialer::Input;
use roomful_proto::engine::{Data, Transport};

use super::line::Line;
use super::{Boxed, Session};
use crate::error::TransportError;
use crate::net::{Answer, Exchange, Http, foreign};
use crate::shared::Shared;

/// A request under way, if one is.
type Request = Option<Boxed<Result<Answer, TransportError>>>;

/// The requests of a session.
pub(super) struct Requests {
    /// How they are sent; made when one is, and gone once a WebSocket carries the session, with the
    /// streams that it keeps.
    http: Option<Arc<Http>>,
    get: Request,
    post: Request,
    /// A number that differs from request to request.
    stamp: u64,
}

impl Requests {
    /// The first request has the number behind that one, or a part of it.
    pub(super) const fn new(stamp: u64) -> Self {
        Self { http: None, get: None, post: None, stamp: stamp >> 24 }
    }

    /// Sends the handshake where there is no id of the session yet, else a poll.
    pub(super) fn get(&mut self, session: Option<&str>, shared: &Shared) {
        self.get = Some(self.exchange(Exchange::Get, session, shared));
    }

    pub(super) fn post(&mut self, body: Data, session: Option<&str>, shared: &Shared) {
        self.post = Some(self.exchange(Exchange::Post(body), session, shared));
    }

    pub(super) const fn is_posting(&self) -> bool {
        self.post.is_some()
    }

    /// Asks for a WebSocket.
    pub(super) fn websocket(&mut self, session: Option<&str>, shared: &Shared) -> Line {
        let target = shared.settings.target(Transport::WebSocket, session, None);
        let (http, deflate) = (self.http(shared), shared.settings.deflate.is_some());
        Line::Opening(Box::pin(async move { http.upgrade(&target, deflate).await }))
    }

    /// Drops those under way.
    pub(super) fn abort(&mut self) {
        (self.get, self.post) = (None, None);
    }

    /// No further request is made: the streams that are kept for them are closed.
    pub(super) fn close(&mut self) {
        self.http = None;
    }

    fn exchange(
        &mut self,
        exchange: Exchange,
        session: Option<&str>,
        shared: &Shared,
    ) -> Boxed<Result<Answer, TransportError>> {
        self.stamp = self.stamp.wrapping_add(1);
        let target = shared.settings.target(Transport::Polling, session, Some(self.stamp));
        let http = self.http(shared);
        Box::pin(async move { http.exchange(&target, exchange).await })
    }

    fn http(&mut self, shared: &Shared) -> Arc<Http> {
        Arc::clone(self.http.get_or_insert_with(|| Arc::new(shared.settings.http())))
    }
}

/// Takes the answer to a request, if it has come.
fn take(request: &mut Request, cx: &mut Context<'_>) -> Option<Result<Answer, TransportError>> {
    let Poll::Ready(answer) = request.as_mut()?.as_mut().poll(cx) else {
        return None;
    };
    *request = None;
    Some(answer)
}

impl Session {
    pub(super) fn poll_get(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let Some(answer) = take(&mut self.requests.get, cx) else {
            return false;
        };
        match answer {
            Ok(Answer { content_type, body }) => {
                if let Some(cause) = foreign(&content_type, &body) {
                    self.error = Some(cause.into());
                }
                self.dialer.receive(now, Input::Answered(body));
            }
            Err(e) => self.request_failed(now, e),
        }
        true
    }

    pub(super) fn poll_post(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let Some(answer) = take(&mut self.requests.post, cx) else {
            return false;
        };
        match answer {
            Ok(_) => {
                self.has_taken = true;
                self.dialer.receive(now, Input::Posted);
            }
            Err(e) => self.request_failed(now, e),
        }
        true
    }

    fn request_failed(&mut self, now: Moment, e: TransportError) {
        self.error.get_or_insert(e);
        self.dialer.receive(now, Input::RequestFailed);
    }
}
