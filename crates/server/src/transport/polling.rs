//! HTTP long-polling: what requests and the connection's task say to each other.
//!
//! A request is not the connection: it hands over what it brings and waits for a reply.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::engine::payload::SEPARATOR;
use roomful_proto::engine::{Data, Revision, jsonp, v3};
use roomful_proto::ws::frame;
use roomful_proto::{Moment, Parcel};
use tokio::sync::oneshot;

use crate::ground::dialect::Dialect;
use crate::ground::farewell::Description;
use crate::transport::link::{self, FromHttp, Link};
use crate::transport::outbox::Batch;

/// The answer to a poll (GET).
pub(crate) enum PollReply {
    Body(PollBody),
    /// Another poll was waiting already.
    Overlap,
}

/// What a poll is answered with.
pub(crate) struct PollBody {
    pub(crate) bytes: Bytes,
    pub(crate) is_text: bool,
    /// It is not to be compressed: something in it must not be guessed from the size of the answer.
    pub(crate) is_plain: bool,
}

/// The answer to a body (POST).
#[derive(Clone, Copy)]
pub(crate) enum BodyReply {
    Taken,
    /// The session has ended, and why.
    Bad(&'static str),
}

/// The connection's side: the requests that wait.
#[derive(Default)]
pub(crate) struct Polling {
    poll: Option<oneshot::Sender<PollReply>>,
    bodies: VecDeque<oneshot::Sender<BodyReply>>,
}

impl Polling {
    /// Keeps a poll; gives back the reply to send when one waits already.
    pub(crate) fn keep_poll(&mut self, reply: oneshot::Sender<PollReply>) {
        if self.poll.is_none() {
            self.poll = Some(reply);
        } else {
            // The peer may be gone; then there is nobody to tell.
            let _ = reply.send(PollReply::Overlap);
        }
    }

    pub(crate) fn keep_body(&mut self, reply: oneshot::Sender<BodyReply>) {
        self.bodies.push_back(reply);
    }

    /// Answers the oldest body.
    pub(crate) fn answer_body(&mut self, answer: BodyReply) {
        if let Some(reply) = self.bodies.pop_front() {
            let _ = reply.send(answer);
        }
    }

    /// Answers all bodies.
    pub(crate) fn answer_bodies(&mut self, answer: BodyReply) {
        while !self.bodies.is_empty() {
            self.answer_body(answer);
        }
    }

    pub(crate) const fn has_poll(&self) -> bool {
        self.poll.is_some()
    }

    /// The peer has given up the poll that waits.
    pub(crate) fn drop_poll(&mut self) {
        self.poll = None;
    }

    /// Answers the poll that waits with as many parcels as one body should hold, at least one.
    /// `false` when no poll waits or there is nothing to send.
    pub(crate) fn answer_poll(
        &mut self,
        batch: &mut Batch,
        body_bytes_max: usize,
        dialect: Dialect,
    ) -> bool {
        if batch.is_empty() {
            return false;
        }
        let Some(reply) = self.poll.take() else {
            return false;
        };
        let body = match dialect.revision {
            Revision::V4 => fill(batch, body_bytes_max),
            Revision::V3 => fill_v3(batch, body_bytes_max, dialect.base64),
        };
        // Where the peer is gone, so is the session: a poll that is given up ends it.
        let _ = reply.send(PollReply::Body(body));
        true
    }

    /// Answers the poll that waits with a noop, now that another transport has taken over.
    pub(crate) fn release_poll(&mut self, dialect: Dialect) {
        if let Some(reply) = self.poll.take() {
            let noop = if dialect.is_v3() { v3::NOOP } else { b"6" };
            let bytes = Bytes::from_static(noop);
            let _ = reply.send(PollReply::Body(PollBody { bytes, is_text: true, is_plain: true }));
        }
    }
}

/// Takes parcels out, as many as a body should hold.
fn fill(batch: &mut Batch, body_bytes_max: usize) -> PollBody {
    let mut body = Vec::new();
    let mut is_plain = false;
    while let Some(parcel) = batch.first() {
        let len = body.len();
        if len > 0 {
            body.push(SEPARATOR);
        } else {
            body.reserve(parcel.len());
        }
        parcel.append_polling(&mut body);
        if len > 0 && body.len() > body_bytes_max {
            body.truncate(len);
            break;
        }
        is_plain |= parcel.is_plain();
        batch.written_first();
    }
    PollBody { bytes: Bytes::from(body), is_text: true, is_plain }
}

/// The same for Engine.IO 3, which has no limit for a body: it is one only of the work at a time, and
/// lengths and base64 are not counted.
fn fill_v3(batch: &mut Batch, body_bytes_max: usize, base64: bool) -> PollBody {
    let mut len = 0;
    let fits = |parcel: &&Parcel| {
        let is_first = len == 0;
        len += parcel.len();
        is_first || len <= body_bytes_max
    };
    let count = batch.left().iter().take_while(fits).count();
    let parcels = || batch.left().iter().take(count);
    let is_plain = parcels().any(Parcel::is_plain);
    let frames = parcels().flat_map(|parcel| frame::split(parcel.wire()));
    let body = v3::encode(frames, base64);
    (0..count).for_each(|_| batch.written_first());
    match body {
        Data::Text(bytes) => PollBody { bytes, is_text: true, is_plain },
        Data::Binary(bytes) => PollBody { bytes, is_text: false, is_plain },
    }
}

/// A body that is being received; dropped before it was answered, it ends the session, because what
/// was in it, or the answer, is lost.
pub(crate) struct BodyGuard {
    link: Arc<Link>,
    done: bool,
}

impl BodyGuard {
    /// `None` when another body is being received.
    pub(crate) fn new(link: &Arc<Link>) -> Option<Self> {
        link.begin_body().then(|| Self { link: Arc::clone(link), done: false })
    }

    /// Some of it has come.
    pub(crate) fn note_moved(&self) {
        self.link.note_moved();
    }

    /// Hands the body over and waits for the answer; `None` when the session has ended.
    pub(crate) async fn hand_over(mut self, mut body: Bytes) -> Option<BodyReply> {
        if self.link.dialect.jsonp {
            match jsonp::body(&body) {
                Some(decoded) => body = Bytes::from(decoded),
                None => {
                    let kind = Description::BodyKind;
                    let told = BodyReply::Bad(kind.as_str());
                    self.refuse(kind);
                    return Some(told);
                }
            }
        }
        let answer = bring(&self.link, |reply| FromHttp::Body(body, reply)).await;
        // A peer that gives up before that could bring body after body, and none would be held
        // back.
        self.done = true;
        answer
    }

    /// Gives the body up, and ends the session for that.
    pub(crate) fn refuse(mut self, why: Description) {
        self.done = true;
        // Fails when the session has ended, and then there is nothing to end.
        let _ = self.link.request(FromHttp::BodyBroken(why));
    }

    /// Gives the body up without ending the session.
    pub(crate) fn forgive(mut self) {
        self.done = true;
    }
}

impl Drop for BodyGuard {
    fn drop(&mut self) {
        self.link.end_body();
        if !self.done {
            // Fails when the session has ended, and then there is nothing to break.
            let _ = self.link.request(FromHttp::BodyBroken(Description::BodyGone));
        }
    }
}

/// Hands over a body that another node has received, and waits for the answer; `None` when the session has ended, or
/// has come over to a stream.
pub(crate) async fn hand_over_forwarded(link: &Link, body: Bytes) -> Option<BodyReply> {
    bring(link, |reply| FromHttp::Forwarded(body, reply)).await
}

/// Brings a body to its connection, which is run on the spot where it rests.
async fn bring(
    link: &Link,
    body: impl FnOnce(oneshot::Sender<BodyReply>) -> FromHttp,
) -> Option<BodyReply> {
    let (reply, answer) = oneshot::channel();
    if let Some((connection, waker)) = link.request_running(body(reply)).ok()? {
        link::run(link, connection, &waker);
    }
    answer.await.ok()
}

/// A poll that waits; dropped before it was answered, it ends the session, because what was to be
/// its answer may be lost.
struct PollGuard<'a> {
    link: &'a Link,
    done: bool,
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            // Fails when the session has ended, and then there is nothing to end.
            let _ = self.link.request(FromHttp::PollGone);
        }
    }
}

/// Waits for something to send; `None` when the session has ended.
pub(crate) async fn poll(now: Moment, link: &Link) -> Option<PollReply> {
    let (reply, answer) = oneshot::channel();
    link.request_poll(now, FromHttp::Poll(reply)).ok()?;
    let mut guard = PollGuard { link, done: false };
    let answer = answer.await.ok();
    guard.done = true;
    answer
}
