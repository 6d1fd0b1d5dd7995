//! [`Connection`]: one task per client.
//!
//! It moves what happens on the transports into the session, what the session makes of it into the
//! [`Sockets`], and what waits in the outbox out again. It is the only place where all of these meet;
//! it decides nothing about the protocol.
//!
//! One turn: take up requests and orders, do what time asks for, run handlers, read what is there
//! (up to a bound, so that a flood from one client starves nobody), write what waits, rest.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use roomful_proto::engine::{Data, Handshake, Input, Output, Packet, Session, Transport};
use roomful_proto::ws::{CloseCode, Message, WsError};
use roomful_proto::{Moment, Parcel, Reason, Violation};

use crate::core::Core;
use crate::link::{Link, Order, Request, Taken};
use crate::outbox;
use crate::polling::{BodyReply, Polling};
use crate::sockets::Sockets;
use crate::websocket::WebSocket;

/// Bytes that one read takes at most. The buffer is the thread's, not the connection's.
const READ_BYTES: usize = 32 * 1024;
/// Reads in one turn. The second mostly finds nothing, and asks to be woken.
const READS_PER_TURN: usize = 2;
/// Messages of a polling body that are worked off in one turn.
const MESSAGES_PER_TURN: usize = 1_000;
/// Turns before other tasks get theirs.
const TURNS_MAX: usize = 8;
/// A client whose outbox holds more than this part of its bound is not read from: it must first take
/// what its own events have caused.
const OUTBOX_PART: usize = 4;

pub(crate) struct Connection {
    core: Arc<Core>,
    link: Arc<Link>,
    session: Session,
    sockets: Sockets,
    carrier: Carrier,
    /// A WebSocket that may take over from polling.
    probe: Option<Box<Probe>>,
    sending: VecDeque<Parcel>,
    /// What was written since the outbox was last told.
    written: usize,
    /// The answer to the last WebSocket ping; earlier ones need none (RFC 6455 section 5.5.3).
    pong: Option<Parcel>,
    /// The peer has closed its WebSocket in order.
    peer_closed: bool,
    /// The stream has ended: there is nobody to say goodbye to.
    stream_gone: bool,
    /// Something was not read in this turn because too much waits.
    held_back: bool,
    phase: Phase,
}

enum Carrier {
    Polling(Polling),
    WebSocket(Box<WebSocket>),
}

struct Probe {
    socket: WebSocket,
    sending: VecDeque<Parcel>,
    /// Write what waits, then drop it.
    ending: bool,
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

/// Which WebSocket something was read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Carrier,
    Probe,
}

impl Connection {
    /// A connection that begins with polling; the open packet waits for the first poll.
    pub(crate) fn polling(core: Arc<Core>, link: Arc<Link>, upgrades: &[Transport]) -> Self {
        Self::new(core, link, Transport::Polling, Carrier::Polling(Polling::default()), upgrades)
    }

    /// A connection that begins with a WebSocket.
    pub(crate) fn websocket(core: Arc<Core>, link: Arc<Link>, socket: Box<WebSocket>) -> Self {
        Self::new(core, link, Transport::WebSocket, Carrier::WebSocket(socket), &[])
    }

    fn new(
        core: Arc<Core>,
        link: Arc<Link>,
        transport: Transport,
        carrier: Carrier,
        upgrades: &[Transport],
    ) -> Self {
        let now = core.now();
        let limits = Arc::clone(&core.limits);
        let handshake = Handshake { session: link.id, upgrades, limits: &limits };
        let open = Parcel::engine(&Packet::Open(handshake.to_json().into()));
        link.charge(outbox::cost(&open));
        core.metrics.opened.add();
        if core.is_closing() {
            // It came too late to be told with the others.
            link.order(Order::Close(Reason::ServerShuttingDown));
        }
        Self {
            session: Session::new(now, transport, limits),
            sockets: Sockets::new(Arc::clone(&core), Arc::clone(&link), now),
            core,
            link,
            carrier,
            probe: None,
            sending: VecDeque::from([open]),
            written: 0,
            pong: None,
            peer_closed: false,
            stream_gone: false,
            held_back: false,
            phase: Phase::Open,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, taken: Taken) -> Turn {
        let now = self.core.now();
        self.take_up(cx, now, taken);
        self.expire(cx, now);
        let mut more = self.sockets.run(cx, now);
        self.check_poll(cx, now);
        self.held_back = self.is_congested();
        self.session.hold(self.held_back);
        more |= self.drive(cx, now);
        more |= self.read(cx, now, Source::Probe);
        more |= self.read(cx, now, Source::Carrier);
        let blocked = self.flush(cx, now);
        self.flush_probe(cx, now);
        // Nothing wakes a task for what it did not try to read.
        more |= self.held_back && !self.is_congested();
        if self.is_over(now) {
            return Turn::Over;
        }
        self.schedule();
        if more { Turn::More } else { Turn::Rest { blocked } }
    }

    fn take_up(&mut self, cx: &mut Context<'_>, now: Moment, taken: Taken) {
        for request in taken.requests {
            self.request(now, request);
            self.drive(cx, now);
        }
        for order in taken.orders {
            match order {
                Order::Leave(id) => self.sockets.leave(cx, now, id),
                Order::Close(reason) => {
                    if reason == Reason::ForcedServerClose {
                        self.sockets.leave_all(cx, now);
                    }
                    self.sockets.end(cx, now, reason);
                    self.collect();
                    self.session.close(now, reason);
                }
                Order::Cut => {
                    self.session.abort(Reason::ForcedServerClose);
                    self.drive(cx, now);
                    self.phase = Phase::Over;
                }
            }
        }
    }

    fn request(&mut self, now: Moment, request: Request) {
        match (request, &mut self.carrier) {
            (Request::Poll(reply), Carrier::Polling(polling)) => {
                polling.keep_poll(reply);
                self.session.receive(now, Input::Poll);
            }
            (Request::Body(body, reply), Carrier::Polling(polling)) => {
                polling.keep_body(reply);
                self.session.receive(now, Input::Body(body));
            }
            (Request::BodyBroken, Carrier::Polling(_)) => {
                self.session.receive(now, Input::BodyBroken);
            }
            (Request::Probe(socket), _) => self.probe_opened(now, *socket),
            // Requests on a session that has been upgraded get no reply, which answers them 400.
            (Request::Poll(_) | Request::Body(..) | Request::BodyBroken, _) => {}
        }
    }

    fn probe_opened(&mut self, now: Moment, socket: WebSocket) {
        let mut probe = Probe { socket, sending: VecDeque::new(), ending: false };
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
        self.session.expire(now);
        if let Err(violation) = self.sockets.expire(now) {
            self.session.fail(now, violation);
        }
        self.drive(cx, now);
    }

    /// Notices that the peer has given up its poll.
    fn check_poll(&mut self, cx: &mut Context<'_>, now: Moment) {
        if let Carrier::Polling(polling) = &mut self.carrier
            && polling.is_poll_gone(cx)
        {
            self.session.receive(now, Input::PollGone);
        }
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
                        probe.sending.push_back(Parcel::engine(&packet));
                    }
                }
                Output::DropProbe => {
                    if let Some(probe) = &mut self.probe {
                        probe.end();
                    }
                }
                Output::Upgraded => self.upgraded(),
                Output::PollRefused => tracing::debug!("a poll that does not belong here"),
                Output::Broken(violation) => self.broken(violation),
                Output::Closed(reason) => self.closed(cx, now, reason),
            }
        }
        true
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
        self.link.charge(outbox::cost(&parcel));
        if matches!(packet, Packet::Ping(_)) {
            self.send_first(parcel);
        } else {
            self.collect();
            self.sending.push_back(parcel);
        }
    }

    fn send_first(&mut self, parcel: Parcel) {
        let inside = match &self.carrier {
            Carrier::WebSocket(socket) => socket.is_inside_parcel(),
            Carrier::Polling(_) => false,
        };
        let at = usize::from(inside).min(self.sending.len());
        self.sending.insert(at, parcel);
    }

    /// Takes what waits out of the outbox.
    fn collect(&mut self) {
        self.link.take_outbox(&mut self.sending, &mut self.written);
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
        let Probe { socket, sending, .. } = *probe;
        for parcel in sending.into_iter().rev() {
            self.link.charge(outbox::cost(&parcel));
            self.sending.push_front(parcel);
        }
        let carrier = std::mem::replace(&mut self.carrier, Carrier::WebSocket(Box::new(socket)));
        if let Carrier::Polling(mut polling) = carrier {
            polling.release_poll();
            polling.answer_bodies(|| BodyReply::Taken);
        }
        self.link.set_transport(Transport::WebSocket);
        self.core.metrics.upgrades.add();
    }

    fn broken(&mut self, violation: Violation) {
        self.core.metrics.violations.add();
        tracing::debug!(%violation, "the client broke the protocol");
        if let Carrier::Polling(polling) = &mut self.carrier {
            polling.answer_bodies(|| BodyReply::Bad);
        }
    }

    /// The session has ended.
    fn closed(&mut self, cx: &mut Context<'_>, now: Moment, reason: Reason) {
        if reason == Reason::PingTimeout {
            self.core.metrics.ping_timeouts.add();
        }
        self.core.sessions.hide(&self.link);
        self.sockets.end(cx, now, reason);
        // What is sent from now on goes nowhere; what was sent before still leaves.
        self.collect();
        drop(self.link.close());
        match &mut self.carrier {
            Carrier::Polling(polling) => {
                let limit = self.core.limits.payload_bytes_max;
                polling.answer_poll(&mut self.sending, &mut self.written, limit);
                polling.release_poll();
                polling.answer_bodies(|| BodyReply::Bad);
                self.phase = Phase::Over;
            }
            Carrier::WebSocket(_) if self.stream_gone || reason == Reason::TransportError => {
                self.phase = Phase::Over;
            }
            Carrier::WebSocket(_) => {
                let goodbye = if self.peer_closed { Goodbye::Answered } else { Goodbye::Awaited };
                self.linger(now, close_code(reason), goodbye);
            }
        }
    }

    /// Begins the closing handshake of the WebSocket.
    fn linger(&mut self, now: Moment, code: CloseCode, goodbye: Goodbye) {
        self.sending.push_back(Parcel::close(code));
        self.phase = Phase::Lingering(now + self.core.limits.close_timeout, goodbye);
    }

    /// Reads what is there and works it off; `true` when there may be more.
    fn read(&mut self, cx: &mut Context<'_>, now: Moment, source: Source) -> bool {
        for _ in 0..READS_PER_TURN {
            if self.phase == Phase::Open && self.is_congested() {
                self.held_back = true;
                return false;
            }
            let Some(socket) = self.socket(source) else {
                return false;
            };
            let mut scratch = Scratch::take();
            let Poll::Ready(read) = socket.poll_read(cx, &mut scratch.buffer) else {
                return false;
            };
            match read {
                Ok(len @ 1..) => self.feed(cx, now, source, &mut scratch.buffer[..len]),
                end => {
                    self.stream_gone |= source == Source::Carrier;
                    self.stream_ended(now, source, end.is_ok());
                    self.drive(cx, now);
                    return false;
                }
            }
        }
        true
    }

    fn socket(&mut self, source: Source) -> Option<&mut WebSocket> {
        match (source, &mut self.carrier) {
            _ if self.phase == Phase::Over => None,
            (Source::Probe, _) => self.probe.as_mut().filter(|p| !p.ending).map(|p| &mut p.socket),
            (Source::Carrier, Carrier::WebSocket(socket)) => Some(socket),
            (Source::Carrier, Carrier::Polling(_)) => None,
        }
    }

    fn feed(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        mut source: Source,
        mut input: &mut [u8],
    ) {
        if matches!(self.phase, Phase::Lingering(_, Goodbye::Deaf)) {
            return;
        }
        loop {
            if source == Source::Probe && self.probe.is_none() {
                // It has taken over in the middle of what was read.
                source = Source::Carrier;
            }
            let Some(socket) = self.socket(source) else {
                return;
            };
            match socket.decode(&mut input) {
                Ok(Some(message)) => self.ws_message(now, source, message),
                Ok(None) => return,
                Err(error) => {
                    self.ws_error(cx, now, source, error);
                    return;
                }
            }
            self.drive(cx, now);
        }
    }

    fn ws_message(&mut self, now: Moment, source: Source, message: Message) {
        let data = match message {
            Message::Text(text) => Data::Text(text),
            Message::Binary(bytes) => Data::Binary(bytes),
            Message::Ping(bytes) => {
                if source == Source::Carrier {
                    self.pong = Some(Parcel::pong(&bytes));
                }
                return;
            }
            Message::Pong(_) => return,
            Message::Close(_) => return self.peer_closed(now, source),
        };
        let input = match source {
            Source::Carrier => Input::Frame(data),
            Source::Probe => Input::Probe(data),
        };
        self.session.receive(now, input);
    }

    fn peer_closed(&mut self, now: Moment, source: Source) {
        if source == Source::Carrier && self.phase != Phase::Open {
            // The answer to our own close.
            self.phase = Phase::Over;
        } else {
            self.peer_closed = source == Source::Carrier;
            self.stream_ended(now, source, true);
        }
    }

    fn stream_ended(&mut self, now: Moment, source: Source, in_order: bool) {
        match source {
            Source::Probe => {
                self.probe = None;
                self.session.receive(now, Input::ProbeGone);
            }
            Source::Carrier if self.phase == Phase::Open => {
                self.session.receive(now, Input::Gone { in_order });
            }
            Source::Carrier => self.phase = Phase::Over,
        }
    }

    fn ws_error(&mut self, cx: &mut Context<'_>, now: Moment, source: Source, error: WsError) {
        self.core.metrics.violations.add();
        tracing::debug!(%error, "the client broke the WebSocket protocol");
        match source {
            Source::Probe => {
                self.stream_ended(now, source, false);
                self.drive(cx, now);
            }
            Source::Carrier if self.phase == Phase::Open => {
                self.session.abort(Reason::TransportError);
                self.drive(cx, now);
                self.linger(now, error.code(), Goodbye::Deaf);
            }
            Source::Carrier => self.phase = Phase::Over,
        }
    }

    /// Writes what waits; `true` when it cannot write now.
    fn flush(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        self.collect();
        match &self.carrier {
            Carrier::Polling(_) => self.flush_polling(cx, now),
            Carrier::WebSocket(_) if self.phase == Phase::Over => true,
            Carrier::WebSocket(_) => self.flush_websocket(cx, now),
        }
    }

    fn flush_polling(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        if self.sending.is_empty() {
            self.session.flushed();
            self.drive(cx, now);
        }
        let Carrier::Polling(polling) = &mut self.carrier else {
            return true;
        };
        let limit = self.core.limits.payload_bytes_max;
        if polling.answer_poll(&mut self.sending, &mut self.written, limit) {
            self.session.receive(now, Input::PollAnswered);
            self.drive(cx, now);
        }
        !matches!(&self.carrier, Carrier::Polling(polling) if polling.has_poll())
    }

    fn flush_websocket(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        // At most one pong waits behind others, however many pings there were.
        if self.sending.len() < 2
            && let Some(pong) = self.pong.take()
        {
            self.link.charge(outbox::cost(&pong));
            self.send_first(pong);
        }
        let Carrier::WebSocket(socket) = &mut self.carrier else {
            return true;
        };
        if self.sending.is_empty() {
            return false;
        }
        match socket.poll_write(cx, &mut self.sending, &mut self.written) {
            Poll::Ready(Ok(())) => {
                outbox::shrink(&mut self.sending);
                match self.phase {
                    Phase::Lingering(_, Goodbye::Answered) => self.phase = Phase::Over,
                    // A stream that cannot say so at once says it when it is dropped.
                    Phase::Lingering(_, Goodbye::Deaf) => drop(socket.poll_shutdown(cx)),
                    // A pong that was not to wait behind others has none before it now.
                    Phase::Open if self.pong.is_some() => return self.flush_websocket(cx, now),
                    Phase::Lingering(_, Goodbye::Awaited) | Phase::Open | Phase::Over => {}
                }
                false
            }
            Poll::Pending => true,
            Poll::Ready(Err(_)) => {
                self.stream_ended(now, Source::Carrier, false);
                self.drive(cx, now);
                true
            }
        }
    }

    fn flush_probe(&mut self, cx: &mut Context<'_>, now: Moment) {
        let Some(probe) = &mut self.probe else {
            return;
        };
        let mut cost = 0;
        match probe.socket.poll_write(cx, &mut probe.sending, &mut cost) {
            Poll::Ready(Ok(())) if probe.ending => self.probe = None,
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(_)) => {
                self.stream_ended(now, Source::Probe, false);
                self.drive(cx, now);
            }
        }
    }

    fn is_congested(&self) -> bool {
        let part = self.core.config.outbox_bytes_max / OUTBOX_PART;
        let waiting = self.link.outbox_bytes().saturating_sub(self.written);
        self.sockets.is_congested() || waiting > part
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
        if let Carrier::WebSocket(socket) = &mut self.carrier {
            // Says that this end is done, where the stream can say so at once.
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = socket.poll_shutdown(&mut cx);
            self.carrier = Carrier::Polling(Polling::default());
            self.sending = VecDeque::new();
        }
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

/// How a turn ended.
enum Turn {
    /// There is more to do.
    More,
    Rest {
        blocked: bool,
    },
    Over,
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut taken = this.link.attend(cx.waker());
        for _ in 0..TURNS_MAX {
            match this.turn(cx, taken) {
                Turn::Over => return Poll::Ready(()),
                Turn::Rest { blocked } if this.link.rest(blocked, &mut this.written) => {
                    return Poll::Pending;
                }
                Turn::Rest { .. } => taken = this.link.take(),
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

impl Probe {
    /// Closes it, as far as can be done without waiting.
    fn end(&mut self) {
        if !self.ending {
            self.ending = true;
            self.sending.push_back(Parcel::close(CloseCode::NORMAL));
        }
    }
}

/// The code that tells a client why its WebSocket is closed.
const fn close_code(reason: Reason) -> CloseCode {
    match reason {
        Reason::ServerShuttingDown => CloseCode::GOING_AWAY,
        Reason::ParseError => CloseCode::PROTOCOL,
        _ => CloseCode::NORMAL,
    }
}

/// The thread's read buffer, borrowed for one read. An idle connection has none.
struct Scratch {
    buffer: Vec<u8>,
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Scratch {
    fn take() -> Self {
        let mut buffer = BUFFER.take();
        // Empty the first time, and where a handler itself drives another connection.
        buffer.resize(READ_BYTES, 0);
        Self { buffer }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Fails only while the thread ends, and then nobody needs it.
        let _ = BUFFER.try_with(|buffer| buffer.set(std::mem::take(&mut self.buffer)));
    }
}
