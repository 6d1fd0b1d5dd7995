//! [`Connection`]: one task per client.
//!
//! It moves what happens on the transports into the session, what the session makes of it into the
//! [`Sockets`], and what waits in the outbox out again. It is the only place where all of these
//! meet; it decides nothing about the protocol.
//!
//! One turn: take up requests and orders, do what time asks for, run handlers, read what is there
//! (up to a bound, so that a flood from one client starves nobody), write what waits, rest.
//!
//! One task at a time runs a connection, and that task alone reads, and touches the session and the sockets: the
//! client's own task, or on its behalf a request that brings a body (see `transport/link/berth.rs`). All other tasks
//! reach the client through its link.
//!
//! `Connection::note` notes why a session ends, where that is seen. The first reason stays. A socket keeps its end
//! among what few sockets have, so a socket at rest has no room for it. Of what the peer said, 123 bytes are kept at
//! most.
//!
//! A client is not called silent while its sign of life may lie unread:
//!
//! - What has come is read first.
//! - Bytes of a message on its way are a sign of life, up as well as down.
//! - While nothing is read because of handlers or pace, a missing pong says nothing.
//! - A client that takes nothing of a full outbox is gone all the same.
//! - A server that stood still, as its timer sees, is patient for as long.

pub(crate) mod entry;
mod far;
pub(crate) mod lanes;
mod pressure;
mod probe;
mod read;
pub(crate) mod sockets;
mod task;
mod write;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomful_proto::engine::{Data, Handshake, Input, Output, Packet, Revision, Session, Transport};
use roomful_proto::ws::CloseCode;
use roomful_proto::{Moment, Parcel, Reason, Violation};

pub(crate) use self::task::{Guarded, Task};

use self::pressure::Pressure;
use self::probe::Probe;
use self::read::Source;
use crate::connection::sockets::Sockets;
use crate::ground::farewell::{Description, Farewell};
use crate::node::core::Core;
use crate::transport::cork::Cork;
use crate::transport::link::{Errands, FromHttp, Link, Order, Rests, Taken};
use crate::transport::outbox::{Batch, SLOW_PART};
use crate::transport::polling::{BodyReply, Polling};
use crate::transport::stream::Stream;

/// Messages of a polling body that are worked off in one turn.
const MESSAGES_PER_TURN: usize = 1_000;
/// How long a client is not called silent of whom more has come than one turn reads.
const READING_PATIENCE: Duration = Duration::from_millis(100);
/// Turns before other tasks get theirs.
const TURNS_MAX: usize = 8;

pub(crate) struct Connection {
    core: Arc<Core>,
    link: Arc<Link>,
    session: Session,
    sockets: Sockets,
    carrier: Carrier,
    /// A WebSocket that may take over from polling.
    probe: Option<Box<Probe>>,
    /// The answer to the last WebSocket ping; earlier ones need none (RFC 6455 section 5.5.3).
    pong: Option<Parcel>,
    /// What is known of why the session ends, from when it does.
    cause: Option<Box<Description>>,
    peer: Peer,
    /// Why something was not read in this turn.
    pressure: Pressure,
    phase: Phase,
}

enum Carrier {
    Polling(Polling),
    Stream(Box<Stream>),
}

/// The other end of the WebSocket that carries the session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Here,
    /// It has closed its WebSocket in order.
    SaidGoodbye,
    /// The stream has ended: nobody is there to say goodbye to.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The session has ended; a WebSocket still has its closing handshake, until then.
    Lingering(Moment, Goodbye),
    /// Nothing is left to be sent.
    Over,
}

/// How far the closing handshake of the WebSocket is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    /// We have said it, and wait for the peer to say it too.
    Awaited,
    /// The peer has said it; ours is the last thing to be written.
    Answered,
    /// The peer broke the protocol: what it still sends is read, so that it can read our last word,
    /// but not understood.
    Deaf,
}

impl Connection {
    /// A connection that begins with polling; the open packet waits for the first poll.
    pub(crate) fn polling(core: Arc<Core>, link: Arc<Link>, upgrades: &[Transport]) -> Self {
        let carrier = Carrier::Polling(Polling::default());
        Self::new(core, link, Transport::Polling, carrier, upgrades, &[])
    }

    /// A connection that begins with a stream. `answer` to the request for it is still to be
    /// written, unless it is empty.
    pub(crate) fn over(
        core: Arc<Core>,
        link: Arc<Link>,
        stream: Box<Stream>,
        answer: &[u8],
    ) -> Self {
        Self::new(core, link, Transport::WebSocket, Carrier::Stream(stream), &[], answer)
    }

    fn new(
        core: Arc<Core>,
        link: Arc<Link>,
        transport: Transport,
        carrier: Carrier,
        upgrades: &[Transport],
        answer: &[u8],
    ) -> Self {
        let handshake = Handshake { session: link.id, upgrades, limits: &core.limits };
        let open = Parcel::engine_behind(answer, &Packet::Open(handshake.to_json().into()));
        let carrier = match carrier {
            Carrier::Stream(stream) => carry(&link, *stream),
            polling @ Carrier::Polling(_) => polling,
        };
        link.append(open);
        Self::begin(core, link, transport, carrier)
    }

    fn begin(core: Arc<Core>, link: Arc<Link>, transport: Transport, carrier: Carrier) -> Self {
        let now = core.now();
        let limits = Arc::clone(&core.limits);
        core.metrics.opened.add();
        core.note_runtime();
        if core.is_closing() {
            // It came too late to be told with the others.
            link.order(core.closing_order());
        }
        if link.dialect.is_v3() {
            link.order(Order::JoinMain);
        }
        Self {
            session: Session::new(now, transport, link.dialect.revision, limits),
            sockets: Sockets::new(Arc::clone(&core), Arc::clone(&link), now),
            core,
            link,
            carrier,
            probe: None,
            pong: None,
            cause: None,
            peer: Peer::Here,
            pressure: Pressure::default(),
            phase: Phase::Open,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, taken: Taken) -> Turn {
        let now = self.core.now();
        if let Some(errands) = taken.errands {
            self.take_up(cx, now, *errands);
        }
        if taken.due {
            self.expire(cx, now);
        }
        let mut more = self.sockets.run(cx, now);
        self.pressure = self.pressure();
        self.session.hold(self.pressure.is_on());
        more |= self.drive(cx, now);
        more |= self.read(cx, now, Source::Probe);
        more |= self.read(cx, now, Source::Carrier);
        let blocked = self.flush(cx, now);
        self.flush_probe(cx, now);
        // Nothing wakes a task for what it did not try to read.
        more |= self.pressure.is_on() && !self.pressure().is_on();
        if self.is_over(now) {
            return Turn::Over;
        }
        self.schedule();
        if more { Turn::More } else { Turn::Rest { blocked } }
    }

    fn take_up(&mut self, cx: &mut Context<'_>, now: Moment, errands: Errands) {
        for request in errands.requests {
            match request {
                FromHttp::Due => self.expire(cx, now),
                // The session has ended; what is dropped is answered so.
                _ if self.phase == Phase::Over => {}
                request => self.request(now, request),
            }
            self.drive(cx, now);
        }
        for order in errands.orders {
            match order {
                Order::JoinMain => self.sockets.join_main(cx, now),
                Order::Leave(id, why) => self.sockets.leave(cx, now, id, why),
                Order::Close(reason, why) => {
                    why.into_iter().for_each(|why| self.note(why));
                    let farewell = self.farewell(reason);
                    if reason == Reason::ForcedServerClose {
                        self.sockets.leave_all(cx, now, farewell.description.as_ref());
                    }
                    self.sockets.end(cx, now, &farewell);
                    self.session.close(now, reason);
                }
                Order::Cut => {
                    let bytes_max = self.core.config.outbox_bytes_max;
                    self.note(Description::OutboxFull { bytes_max });
                    self.session.abort(Reason::ForcedServerClose);
                    self.drive(cx, now);
                    self.phase = Phase::Over;
                }
            }
        }
    }

    fn request(&mut self, now: Moment, request: FromHttp) {
        match (request, &mut self.carrier) {
            (FromHttp::Poll(reply), Carrier::Polling(polling)) => {
                polling.keep_poll(reply);
                self.session.receive(now, Input::Poll);
            }
            (
                FromHttp::Body(body, reply) | FromHttp::Forwarded(body, reply),
                Carrier::Polling(polling),
            ) => {
                polling.keep_body(reply);
                self.session.heard(now);
                self.session.receive(now, Input::Body(body));
            }
            (FromHttp::BodyBroken(why), Carrier::Polling(_)) => {
                self.note(why);
                self.session.receive(now, Input::BodyBroken);
            }
            (FromHttp::PollGone, Carrier::Polling(polling)) => {
                polling.drop_poll();
                self.note(Description::PollGone);
                self.session.receive(now, Input::PollGone);
            }
            (FromHttp::Probe(stream), _) => self.probe_opened(now, *stream),
            (FromHttp::Forwarded(body, _), Carrier::Stream(_)) => self.forwarded_late(now, body),
            // Requests on a session that has been upgraded get no reply, which answers them 400.
            (
                FromHttp::Poll(_)
                | FromHttp::Body(..)
                | FromHttp::BodyBroken(_)
                | FromHttp::PollGone
                | FromHttp::Due,
                _,
            ) => {}
        }
    }

    fn probe_opened(&mut self, now: Moment, stream: Stream) {
        let mut probe = Probe { stream, sending: Batch::default(), ending: false };
        if self.session.can_upgrade() && self.probe.is_none() {
            self.session.receive(now, Input::ProbeOpened);
        } else {
            probe.end();
        }
        // A second one while another probes is dropped, which closes it.
        self.probe.get_or_insert(Box::new(probe));
    }

    fn expire(&mut self, cx: &mut Context<'_>, now: Moment) {
        if self.phase != Phase::Open {
            return;
        }
        if self.link.take_moved() {
            self.session.alive(now);
        }
        self.session.set_deaf(self.excuses_silence());
        if self.session.is_silent(now) {
            self.look_for_life(cx, now);
            self.session.set_deaf(self.excuses_silence());
        }
        if self.session.is_deserted(now) {
            self.core.metrics.ping_timeouts.add();
            self.note(Description::PollsNoMore { waited: self.core.limits.ping_timeout });
        }
        self.session.expire(now);
        if let Err(violation) = self.sockets.expire(cx, now) {
            self.session.fail(now, violation);
        }
        self.drive(cx, now);
    }

    /// Before the client is called silent: reads what has come of it, or writes what it takes, and
    /// waits as long again as the server itself stood still.
    fn look_for_life(&mut self, cx: &mut Context<'_>, now: Moment) {
        self.session.excuse(self.core.wheel.patient_until(now, self.core.limits.ping_timeout));
        self.flush(cx, now);
        let mut more = self.read(cx, now, Source::Probe);
        more |= self.read(cx, now, Source::Carrier);
        if self.link.take_moved() {
            self.session.alive(now);
        }
        if more {
            // It may lie behind what was read in this turn; the next one looks again.
            self.session.excuse(now + READING_PATIENCE);
        }
    }

    /// Whether the silence of the client says nothing about it, because its pong lies unread by our own
    /// will. It says something if even the ping has not gone: handlers may wait for ever, and among
    /// others for this very client.
    fn excuses_silence(&self) -> bool {
        self.pressure().excuses_silence() && self.link.outbox_bytes() == 0
    }

    /// Does what the session says; `true` when it has more to say than fits into one turn.
    fn drive(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        for _ in 0..MESSAGES_PER_TURN {
            let Some(output) = self.session.poll(now) else {
                return false;
            };
            match output {
                Output::Message(data) => self.message(cx, now, data),
                Output::Send(packet) => self.send(&packet),
                Output::BodyDone => self.answer_body(BodyReply::Taken),
                Output::Probe(packet) => {
                    if let Some(probe) = &mut self.probe {
                        probe.sending.push(Parcel::engine(&packet));
                    }
                }
                Output::DropProbe => {
                    if let Some(probe) = &mut self.probe {
                        probe.end();
                    }
                }
                Output::Upgraded => self.upgraded(),
                Output::PollRefused => self.poll_refused(),
                Output::Broken(violation, reason) => self.broken(cx, now, violation, reason),
                Output::Closed(reason) => self.closed(cx, now, reason),
            }
        }
        true
    }

    fn poll_refused(&mut self) {
        tracing::debug!("a poll that does not belong here");
        if self.session.is_closed() {
            self.note(Description::PollOverlap);
        }
    }

    fn message(&mut self, cx: &mut Context<'_>, now: Moment, data: Data) {
        if let Err(violation) = self.sockets.receive(cx, now, data) {
            self.session.fail(now, violation);
        }
    }

    /// Sends a packet of the session. A ping goes first, so that a long queue does not look like a
    /// dead server.
    fn send(&mut self, packet: &Packet) {
        let parcel = Parcel::engine(packet);
        if matches!(packet, Packet::Ping(_)) {
            self.link.put_first(parcel);
        } else {
            self.link.append(parcel);
        }
    }

    fn answer_body(&mut self, reply: BodyReply) {
        if let Carrier::Polling(polling) = &mut self.carrier {
            polling.answer_body(reply);
        }
    }

    fn upgraded(&mut self) {
        let Some(probe) = self.probe.take() else {
            return;
        };
        let Probe { stream, sending, .. } = *probe;
        self.link.adopt(sending);
        let carrier = std::mem::replace(&mut self.carrier, carry(&self.link, stream));
        if let Carrier::Polling(mut polling) = carrier {
            polling.release_poll(self.link.dialect);
            polling.answer_bodies(BodyReply::Taken);
        }
        self.core.metrics.upgrades.add();
    }

    /// The peer broke the protocol. Its sockets leave at once, though the goodbye may still have to
    /// be polled for.
    fn broken(&mut self, cx: &mut Context<'_>, now: Moment, violation: Violation, reason: Reason) {
        self.note(Description::Protocol(violation));
        self.sockets.end(cx, now, &self.farewell(reason));
        self.core.metrics.violations.add();
        tracing::debug!(%violation, "the client broke the protocol");
        if let Carrier::Polling(polling) = &mut self.carrier {
            polling.answer_bodies(BodyReply::Bad(violation.as_str()));
        }
    }

    /// The session has ended.
    fn closed(&mut self, cx: &mut Context<'_>, now: Moment, reason: Reason) {
        match reason {
            Reason::PingTimeout => self.note_silence(),
            // Any other end in order was noted before.
            Reason::TransportClose => self.note(Description::ClosePacket),
            _ => {}
        }
        self.core.sessions.hide(&self.link);
        self.sockets.end(cx, now, &self.farewell(reason));
        // What is sent from now on goes nowhere; what was sent before still leaves.
        self.link.close();
        let told = self.cause.as_deref().and_then(Description::told).unwrap_or(reason.as_str());
        match &mut self.carrier {
            Carrier::Polling(polling) => {
                let mut batch = self.link.take_batch();
                let dialect = self.link.dialect;
                polling.answer_poll(&mut batch, self.core.limits.payload_bytes_max, dialect);
                polling.release_poll(dialect);
                polling.answer_bodies(BodyReply::Bad(told));
                self.phase = Phase::Over;
            }
            Carrier::Stream(_) if self.peer == Peer::Gone || reason == Reason::TransportError => {
                self.phase = Phase::Over;
            }
            Carrier::Stream(_) => {
                let said = self.peer == Peer::SaidGoodbye;
                let goodbye = if said { Goodbye::Answered } else { Goodbye::Awaited };
                let code = close_code(reason, self.cause.as_deref());
                // Who has closed it knows.
                let told = if goodbye == Goodbye::Answered { "" } else { told };
                self.linger(now, (code, told), goodbye);
            }
        }
    }

    /// Notes what is known of why the session ends. What came first is why.
    fn note(&mut self, cause: Description) {
        self.cause.get_or_insert_with(|| Box::new(cause));
    }

    /// Notes that the client gave no sign of life, how long that was waited for, and whether it was to
    /// take what waits for it.
    fn note_silence(&mut self) {
        let limits = &self.core.limits;
        let waited = match self.link.dialect.revision {
            Revision::V4 => limits.ping_timeout,
            Revision::V3 => limits.ping_interval.saturating_add(limits.ping_timeout),
        };
        if self.is_backed_up() {
            let waiting_bytes = self.link.outbox_bytes();
            self.core.metrics.stalled_peers.add();
            tracing::warn!(
                waiting_bytes,
                "the client takes nothing of what waits for it; its connection is closed"
            );
            self.note(Description::Stalled { waited });
        } else {
            self.core.metrics.ping_timeouts.add();
            self.note(Description::Silent { waited });
        }
    }

    /// What sockets are told that end for that reason.
    fn farewell(&self, reason: Reason) -> Farewell {
        Farewell::new(reason, self.cause.as_deref().cloned())
    }

    /// Says goodbye on the stream, and why, and waits for that of the peer.
    fn linger(&mut self, now: Moment, (code, why): (CloseCode, &str), goodbye: Goodbye) {
        if let Carrier::Stream(stream) = &self.carrier {
            self.link.append(stream.goodbye(code, why));
        }
        self.phase = Phase::Lingering(now + self.core.limits.close_timeout, goodbye);
    }

    /// Why nothing more should be read, as it is now.
    fn pressure(&self) -> Pressure {
        Pressure {
            // A slow client must first take what its own events have caused.
            outbox: self.is_backed_up(),
            handlers: self.sockets.is_congested(),
            pace: self.sockets.is_paced(),
        }
    }

    /// Whether more waits for the client than for one that keeps up.
    fn is_backed_up(&self) -> bool {
        self.link.outbox_bytes() > self.core.config.outbox_bytes_max / SLOW_PART
    }

    fn is_over(&mut self, now: Moment) -> bool {
        if let Phase::Lingering(until, _) = self.phase
            && now >= until
        {
            self.phase = Phase::Over;
        }
        if self.phase == Phase::Over {
            self.hang_up();
        }
        self.phase == Phase::Over && self.sockets.is_idle()
    }

    /// Ends the stream. Handlers may run on for long; the peer need not wait for them.
    fn hang_up(&mut self) {
        self.probe = None;
        if let Carrier::Stream(stream) = &mut self.carrier {
            // Says that this end is done, where the stream can say so at once. TCP says it by itself.
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = stream.poll_shutdown(&mut cx);
            self.link.drop_writer();
            self.carrier = Carrier::Polling(Polling::default());
            drop(self.link.take_batch());
        }
    }

    /// Whether there is nothing to be done for a poll but to keep it.
    fn lets_polls_wait(&self) -> bool {
        matches!(&self.carrier, Carrier::Polling(polling) if !polling.has_poll())
            && self.session.can_upgrade()
            && !self.session.waits_for_a_poll()
            && self.probe.is_none()
    }

    /// Tells the wheel when to come back.
    fn schedule(&self) {
        let deadline = match self.phase {
            Phase::Open => {
                [self.session.deadline(), self.sockets.deadline()].into_iter().flatten().min()
            }
            Phase::Lingering(until, _) => Some(until),
            Phase::Over => None,
        };
        self.link.set_deadline_ms(deadline.map_or(u64::MAX, Moment::as_millis));
        self.core.wheel.schedule(&self.core, &self.link);
    }
}

/// A WebSocket that carries the session: where its stream has halves, the link has the one that
/// writes, so that others can write too.
fn carry(link: &Link, stream: Stream) -> Carrier {
    let (stream, writer) = stream.split();
    link.set_stream(writer, stream.form());
    Carrier::Stream(Box::new(stream))
}

/// How a turn ended.
enum Turn {
    /// There is more to do.
    More,
    Rest {
        blocked: bool,
    },
    Over,
}

impl Rests for Connection {
    fn is_polling(&self) -> bool {
        matches!(self.carrier, Carrier::Polling(_))
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // What handlers send to other clients is written when this ends, each client once.
        let _cork = Cork::open();
        let mut attended = Some(this.link.attend(cx.waker()));
        for _ in 0..TURNS_MAX {
            // Taken by the turn that does it: what a turn too many took would be lost.
            let taken = attended.take().unwrap_or_else(|| this.link.take());
            match this.turn(cx, taken) {
                Turn::Over => return Poll::Ready(()),
                Turn::Rest { blocked } if this.link.rest(blocked, this.lets_polls_wait()) => {
                    return Poll::Pending;
                }
                Turn::Rest { .. } => {}
                Turn::More => break,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.clear();
        self.core.forget(&self.link);
    }
}

/// The code that tells a client why its WebSocket is closed.
const fn close_code(reason: Reason, cause: Option<&Description>) -> CloseCode {
    match (reason, cause) {
        (Reason::ServerShuttingDown, _) => CloseCode::GOING_AWAY,
        (Reason::ParseError, _) => CloseCode::PROTOCOL,
        (_, Some(Description::TooFast(_))) => CloseCode::POLICY,
        _ => CloseCode::NORMAL,
    }
}
