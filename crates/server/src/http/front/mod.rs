//! [`Front`]: HTTP/1.1 for requests to the server, where it serves by itself.
//!
//! It reads a request, asks the [door](crate::http::door), and writes the answer, one request after the
//! other. It knows only what clients send every day. Whatever is not for the server, or is written
//! in an unusual way, goes to the HTTP library with all bytes from its first one on, and so does
//! everything behind it: the front refuses nothing by itself, and no byte is understood twice.
//!
//! An idle connection has no buffer here. What is read lies in the thread's, and what must stay is
//! copied out of it.
//!
//! When this was decided, a polling event with its ack cost 13.4 µs of CPU through the front and 22.9 µs through hyper,
//! where a bare epoll loop needed 9. Hyper also wants a second task for each WebSocket; here the task that accepts a
//! WebSocket becomes the task of its connection. `httparse` reads heads for both, and the rules of hyper decide about
//! everything odd.

pub(crate) mod impatient;
pub(crate) mod linger;
mod output;
mod request;
pub(crate) mod serve;

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;
use tokio::time::Instant;

use self::output::Output;
use self::request::{HEADERS_MAX, Parsed, Request};
use crate::http::answer::Answer;
use crate::http::body::NotReceived;
use crate::http::bundle;
use crate::http::door::{self, Decision, Finish, Posted, Received, Upgrade};
use crate::http::front::linger::linger;
use crate::http::site::Site;
use crate::node::closing::Phase;
use crate::transport::link::Link;
use crate::transport::polling;
use crate::transport::scratch::Scratch;
use crate::transport::websocket::Wire;
use crate::transport::wire::Rewind;

/// Time for the head of a request to arrive, counted from its first byte, or from when the connection
/// was accepted.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a body that each have `request_timeout` to come.
pub(crate) const BODY_PART_BYTES: usize = 64 * 1024;
/// What is kept of later requests while one is being answered. Then nothing more is read.
const AHEAD_BYTES_MAX: usize = HEAD_BYTES_MAX;
/// Time in which a peer must take a part of its answer, however small.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream on which somebody speaks HTTP.
pub(crate) struct Front {
    site: Arc<Site>,
    wire: Wire,
    peer: Option<SocketAddr>,
    /// What was read and is not understood yet.
    input: Vec<u8>,
    /// Until when the next head is waited for.
    head_until: Instant,
}

/// What becomes of the stream.
pub(crate) enum Next {
    /// It has ended, or shall.
    Ended,
    /// It is for the HTTP library.
    Foreign(Rewind),
    /// It is a WebSocket now.
    /// With what is to be written first.
    Upgraded(Upgrade, Wire, Vec<u8>),
}

/// What the bytes that have come are.
enum Step {
    /// The beginning of a request.
    Partial,
    /// No request has come in time.
    Late,
    Ended,
    Foreign,
    Request(Taken),
}

/// A request, without the bytes that it was read from.
struct Taken {
    finish: Finish,
    received: Received,
    /// The body as far as it has come, and how much has not.
    body: Vec<u8>,
    missing: usize,
    /// The client wants the connection to end behind the answer.
    last: bool,
}

/// How it goes on behind an answer.
enum Flow {
    On,
    End,
    /// As [`End`](Self::End), but the client may still be sending.
    Linger,
    Upgrade(Upgrade, Vec<u8>),
}

impl Front {
    pub(crate) fn new(site: Arc<Site>, wire: Wire, peer: Option<SocketAddr>) -> Self {
        Self { site, wire, peer, input: Vec::new(), head_until: Instant::now() + HEAD_TIMEOUT }
    }

    /// Answers requests until it is not for the front any more what happens on the stream.
    // Not an `async fn`, which keeps its arguments twice: here and in `serve`, where each request would be
    // copied for it.
    pub(crate) fn run(mut self) -> impl Future<Output = Next> {
        let site = Arc::clone(&self.site);
        async move {
            let mut hung_up = pin!(site.closing.hung_up());
            // One timer, which is not set anew for each request but looks how late it is when it rings.
            let mut alarm = pin!(tokio::time::sleep(HEAD_TIMEOUT));
            // Whom both wake. It stays so from request to request, and mostly neither has happened.
            let mut woken: Option<Waker> = None;
            loop {
                let step = poll_fn(|cx| {
                    if let Poll::Ready(step) = self.poll_step(cx) {
                        return Poll::Ready(step);
                    }
                    if self.head_until < alarm.deadline() {
                        // A head has begun, and has less time than the next one had to begin.
                        alarm.as_mut().reset(self.head_until);
                        woken = None;
                    }
                    let known = woken.as_ref().is_some_and(|woken| woken.will_wake(cx.waker()));
                    if known && !alarm.is_elapsed() && !site.closing.is_past(Phase::Serving) {
                        return Poll::Pending;
                    }
                    if hung_up.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Step::Ended);
                    }
                    while alarm.as_mut().poll(cx).is_ready() {
                        if Instant::now() >= self.head_until {
                            return Poll::Ready(Step::Late);
                        }
                        alarm.as_mut().reset(self.head_until);
                    }
                    // Where the task has used up its turn, the alarm could not be set.
                    woken = coop::has_budget_remaining().then(|| cx.waker().clone());
                    Poll::Pending
                });
                let mut step = step.await;
                if matches!(step, Step::Late) && self.input.is_empty() {
                    step = Box::pin(self.last_look()).await;
                    if matches!(step, Step::Late) && !self.input.is_empty() {
                        // The beginning of a head, which has its own time.
                        continue;
                    }
                }
                let flow = match step {
                    Step::Request(request) => self.serve(request).await.unwrap_or(Flow::End),
                    Step::Foreign => return Next::Foreign(self.rewind()),
                    Step::Ended | Step::Late | Step::Partial => Flow::End,
                };
                match flow {
                    Flow::On => {}
                    Flow::Upgrade(upgrade, answer) => {
                        return Next::Upgraded(upgrade, self.rewind().into_wire(), answer);
                    }
                    Flow::End => {
                        self.hang_up().await;
                        return Next::Ended;
                    }
                    Flow::Linger => {
                        // Large, and rare.
                        Box::pin(linger(&site, &mut self.wire)).await;
                        return Next::Ended;
                    }
                }
            }
        }
    }

    /// A request that came in the last moment, or while the server itself stood still, is not lost: the
    /// system is asked once more what has come, and that is waited for as any other.
    async fn last_look(&mut self) -> Step {
        tokio::task::yield_now().await;
        let look = poll_fn(|cx| Poll::Ready(self.poll_step(cx)));
        match look.await {
            Poll::Ready(step) => step,
            Poll::Pending => Step::Late,
        }
    }

    /// Finds the next request in what was read before, or reads.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            match self.digest(&input) {
                Step::Partial => self.input = input,
                step => return Poll::Ready(step),
            }
        }
        loop {
            let mut scratch = Scratch::take();
            let read = match ready!(self.poll_read(cx, &mut scratch)) {
                Ok(len @ 1..) => &scratch[..len],
                _ => return Poll::Ready(Step::Ended),
            };
            let step = if self.input.is_empty() { self.begin(read) } else { self.go_on(read) };
            if !matches!(step, Step::Partial) {
                return Poll::Ready(step);
            }
        }
    }

    /// The first bytes of a request, which mostly are all of it.
    fn begin(&mut self, read: &[u8]) -> Step {
        let step = self.digest(read);
        if matches!(step, Step::Partial) {
            self.input.extend_from_slice(read);
            self.head_until = Instant::now() + HEAD_TIMEOUT;
        }
        step
    }

    /// Further bytes of a request.
    fn go_on(&mut self, read: &[u8]) -> Step {
        self.input.extend_from_slice(read);
        // Only the end of a line can be the end of a head: a head that comes byte by byte is not
        // read from its beginning for each.
        if !read.contains(&b'\n') && self.input.len() <= HEAD_BYTES_MAX {
            return Step::Partial;
        }
        let input = std::mem::take(&mut self.input);
        let step = self.digest(&input);
        if matches!(step, Step::Partial) {
            self.input = input;
        }
        step
    }

    /// Understands bytes, the first of which begins a request. What is not used of them is kept,
    /// except of a part of a request.
    fn digest(&mut self, bytes: &[u8]) -> Step {
        let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        match request::parse(bytes, &mut room, &self.site, self.peer) {
            Parsed::Partial if bytes.len() <= HEAD_BYTES_MAX => Step::Partial,
            Parsed::Partial | Parsed::Foreign => {
                self.input.extend_from_slice(bytes);
                Step::Foreign
            }
            Parsed::Ours(request) => Step::Request(self.take(bytes, &request)),
        }
    }

    fn take(&mut self, bytes: &[u8], request: &Request<'_>) -> Taken {
        let rest = &bytes[request.head_len..];
        let (body, next) = rest.split_at(rest.len().min(request.body_len));
        self.input.extend_from_slice(next);
        let (finish, received) = door::receive(&self.site, &request.head);
        Taken {
            finish,
            received,
            body: body.to_vec(),
            missing: request.body_len - body.len(),
            last: request.last,
        }
    }

    /// Answers a request; `None` when the peer is gone or does not take its answer.
    fn serve(&mut self, request: Taken) -> impl Future<Output = Option<Flow>> {
        let Taken { finish, received, mut body, mut missing, mut last } = request;
        async move {
            let decision = match received {
                Received::Decided(decision) => decision,
                // Large, and most servers never ask.
                Received::Asks(applicant) => {
                    let site = Arc::clone(&self.site);
                    let asking = Box::pin(async move { door::ask(&site, applicant).await });
                    self.attended(pin!(asking)).await?
                }
                Received::Strange(stranger) => {
                    let site = Arc::clone(&self.site);
                    let looking = Box::pin(async move { door::look_for(&site, stranger).await });
                    let decision = self.attended(pin!(looking)).await?;
                    // Of the body more has come meanwhile.
                    let ahead = self.input.len().min(missing);
                    body.extend(self.input.drain(..ahead));
                    missing -= ahead;
                    decision
                }
            };
            let mut taker = None;
            let answer = match decision {
                Decision::Answer(answer) => answer,
                Decision::Read(file) => {
                    self.attended(Box::pin(bundle::read(file)).as_mut()).await?
                }
                Decision::Poll(link, polled) => {
                    let now = self.site.now();
                    let reply = self.attended(pin!(polling::poll(now, &link))).await?;
                    taker = Some(link);
                    door::poll_answer(&self.site, reply, polled)
                }
                Decision::FarPoll(poll) => {
                    let site = Arc::clone(&self.site);
                    let polling = Box::pin(async move { door::far_poll(&site, poll).await });
                    self.attended(pin!(polling)).await?
                }
                Decision::Post(posted) => {
                    let body = match missing {
                        0 => Ok(Bytes::from(body)),
                        // Large, and rare.
                        _ => Box::pin(self.receive(body, missing, &posted)).await,
                    };
                    if matches!(body, Err(NotReceived::Broken)) {
                        return None;
                    }
                    match &body {
                        Ok(_) => missing = 0,
                        Err(why) => {
                            why.count(&self.site.metrics);
                            last = true;
                        }
                    }
                    let site = Arc::clone(&self.site);
                    let answer = self.attended(pin!(door::post(&site, posted, body))).await?;
                    if !self.input.is_empty() {
                        // A body is a turn of its session. Others have theirs before the next one.
                        tokio::task::yield_now().await;
                    }
                    answer
                }
                Decision::Upgrade(upgrade) => {
                    let answer = finish.apply(&self.site, upgrade.answer());
                    if upgrade.takes_answer() {
                        return Some(Flow::Upgrade(
                            upgrade,
                            Output::new(&answer, false, Instant::now()).into_head(),
                        ));
                    }
                    self.write(&answer, false, None).await?;
                    return Some(Flow::Upgrade(upgrade, Vec::new()));
                }
            };
            last |= answer.is_last() || self.site.closing.is_past(Phase::SayingGoodbye);
            self.write(&finish.apply(&self.site, answer), last, taker.as_deref()).await?;
            if last {
                let more_comes = missing > 0 || !self.input.is_empty();
                return Some(if more_comes { Flow::Linger } else { Flow::End });
            }
            if missing > 0 {
                // A body that nobody wanted.
                Box::pin(self.skip(missing)).await?;
                self.await_head(Instant::now());
            }
            Some(Flow::On)
        }
    }

    /// Waits for an answer as long as its peer is there; `None` when it has gone.
    async fn attended<F: Future>(&mut self, mut answering: Pin<&mut F>) -> Option<F::Output> {
        let attended = poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => self.poll_gone(cx).map(|()| None),
        });
        attended.await
    }

    /// Reads ahead, only to notice that the peer has gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.input.len() < AHEAD_BYTES_MAX {
            let mut scratch = Scratch::take();
            let room = scratch.len().min(AHEAD_BYTES_MAX - self.input.len());
            match ready!(self.poll_read(cx, &mut scratch[..room])) {
                Ok(len @ 1..) => self.input.extend_from_slice(&scratch[..len]),
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Receives what is missing of a body. Each part of it has its time, so that a slow line may bring
    /// a large one; and what comes is a sign of life.
    async fn receive(
        &mut self,
        mut body: Vec<u8>,
        missing: usize,
        posted: &Posted,
    ) -> Result<Bytes, NotReceived> {
        let len = body.len() + missing;
        let patience = self.site.settings.request_timeout;
        while body.len() < len {
            let part_len = len.min(body.len() + BODY_PART_BYTES);
            let until = Instant::now() + patience;
            while body.len() < part_len {
                let receiving = poll_fn(|cx| self.poll_body(cx, &mut body, len));
                let received = tokio::time::timeout_at(until, receiving).await;
                received.unwrap_or(Err(NotReceived::TooSlow))?;
                if body.len() < len {
                    posted.note_moved();
                }
            }
        }
        Ok(Bytes::from(body))
    }

    /// Reads what is missing of a body that nobody wanted; `None` when it does not come. Each part has its
    /// time, as those of a body that is wanted.
    async fn skip(&mut self, mut missing: usize) -> Option<()> {
        let patience = self.site.settings.request_timeout;
        while missing > 0 {
            let part_end = missing.saturating_sub(BODY_PART_BYTES);
            let until = Instant::now() + patience;
            while missing > part_end {
                let skipping = poll_fn(|cx| {
                    let mut scratch = Scratch::take();
                    let read = match ready!(self.poll_read(cx, &mut scratch)) {
                        Ok(len @ 1..) => &scratch[..len],
                        _ => return Poll::Ready(None),
                    };
                    let (skipped, next) = read.split_at(read.len().min(missing));
                    self.input.extend_from_slice(next);
                    Poll::Ready(Some(skipped.len()))
                });
                missing -= tokio::time::timeout_at(until, skipping).await.ok()??;
            }
        }
        Some(())
    }

    /// Reads the next bytes of a body of that length.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Vec<u8>,
        len: usize,
    ) -> Poll<Result<(), NotReceived>> {
        let mut scratch = Scratch::take();
        let read = match ready!(self.poll_read(cx, &mut scratch)) {
            Ok(len @ 1..) => &scratch[..len],
            _ => return Poll::Ready(Err(NotReceived::Broken)),
        };
        let (ours, next) = read.split_at(read.len().min(len - body.len()));
        body.extend_from_slice(ours);
        self.input.extend_from_slice(next);
        Poll::Ready(Ok(()))
    }

    /// Writes an answer; `None` when the peer does not take it. To take a long one is a sign of life of
    /// the session that it is for.
    async fn write(&mut self, answer: &Answer, last: bool, taker: Option<&Link>) -> Option<()> {
        let now = Instant::now();
        self.await_head(now);
        let mut output = Output::new(answer, last, now);
        loop {
            // The system mostly takes an answer at once, and then there is no timer to be set.
            let at_once = poll_fn(|cx| Poll::Ready(output.poll_write(cx, &mut self.wire)));
            let written = match at_once.await {
                Poll::Ready(written) => written,
                Poll::Pending => {
                    let writing = poll_fn(|cx| output.poll_write(cx, &mut self.wire));
                    let written = tokio::time::timeout(STALL_TIMEOUT, writing).await.ok()?;
                    self.await_head(Instant::now());
                    taker.into_iter().for_each(Link::note_moved);
                    written
                }
            };
            if written.ok()? {
                return Some(());
            }
        }
    }

    /// From now on the next head is waited for, which may have begun to come.
    fn await_head(&mut self, now: Instant) {
        let begun = !self.input.is_empty();
        let patience = if begun { HEAD_TIMEOUT } else { self.site.settings.keep_alive_timeout };
        self.head_until = now + patience;
    }

    /// Says that nothing more comes, where the stream can say so.
    async fn hang_up(&mut self) {
        let shutdown = poll_fn(|cx| AsyncWrite::poll_shutdown(Pin::new(&mut self.wire), cx));
        let _ = tokio::time::timeout(STALL_TIMEOUT, shutdown).await;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut to = ReadBuf::new(to);
        ready!(AsyncRead::poll_read(Pin::new(&mut self.wire), cx, &mut to))?;
        Poll::Ready(Ok(to.filled().len()))
    }

    fn rewind(self) -> Rewind {
        Rewind::new(self.input.into(), self.wire)
    }
}
