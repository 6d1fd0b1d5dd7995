//! [`Dialer`]: the client's end of one Engine.IO connection.
//!
//! It is told what happens on the transports and says what to do there. It does not hold messages
//! that wait to be sent: those stay with the caller (in an [`Outgoing`](super::Outgoing)), who sends them
//! on [`Dialer::transport`] while [`Dialer::is_writable`].
//!
//! ```text
//!   Opening ──open packet──▶ Open ──close()──▶ Closing ──all has left──▶ Closed
//!                             │
//!     beside the polling:     └▶ Opening ──open──▶ Probing ──"3probe"──▶ Pausing ──▶ on the WebSocket
//! ```
//!
//! Opening has no deadline here: whoever dials bounds the whole of it.

mod heartbeat;
mod signal;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use self::heartbeat::{Beat, Heartbeat};
pub use self::signal::{Input, Output};
use super::handshake::{Revision, Transport};
use super::packet::{Data, MESSAGE, Packet};
use super::payload::Payload;
use super::welcome::Welcome;
use crate::error::Violation;
use crate::limits::Limits;
use crate::reason::DisconnectReason;
use crate::time::Moment;

/// What a probe says, in its ping and in the pong.
const PROBE: Bytes = Bytes::from_static(b"probe");

/// How a connection is opened.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The transports, in the order in which they are tried. Not empty.
    pub transports: Vec<Transport>,
    /// Whether the next transport is tried where one fails before the session is open.
    pub try_all: bool,
    /// Whether polling is upgraded to a WebSocket, if that is one of the transports and the server
    /// offers it.
    pub upgrade: bool,
    /// Which Engine.IO is spoken.
    pub revision: Revision,
    /// Of these, `payload_packets_max`, `upgrade_timeout` and `close_timeout` count here.
    pub limits: Arc<Limits>,
}

/// The client's end of one Engine.IO connection.
#[derive(Debug)]
pub struct Dialer {
    dial: Dial,
    /// Transports that have failed, the first so many of the list.
    failed: usize,
    transport: Transport,
    state: State,
    welcome: Option<Welcome>,
    heartbeat: Option<Heartbeat>,
    get: Get,
    /// A POST is under way.
    posting: bool,
    upgrade: Upgrade,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    /// What waits leaves first; on polling, the close packet is `said` behind it and has to arrive.
    Closing {
        until: Moment,
        reason: DisconnectReason,
        said: bool,
    },
    Closed,
}

/// The poll.
#[derive(Debug)]
enum Get {
    Idle,
    UnderWay,
    /// It was answered, and that is what is left of the answer.
    Answered(Payload),
}

/// The WebSocket beside the polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upgrade {
    None,
    /// It is being opened.
    Opening {
        until: Moment,
    },
    /// The probe was sent.
    Probing {
        until: Moment,
    },
    /// The probe was answered. No request is begun, and those under way come to their end.
    Pausing {
        until: Moment,
    },
}

impl Dialer {
    /// Begins to open a connection: the first [`poll`](Self::poll) says how. With no transport in the list
    /// it has ended already, with [`DisconnectReason::TransportError`].
    pub fn new(dial: Dial) -> Self {
        let mut dialer = Self {
            dial,
            failed: 0,
            transport: Transport::Polling,
            state: State::Opening,
            welcome: None,
            heartbeat: None,
            get: Get::Idle,
            posting: false,
            upgrade: Upgrade::None,
            out: VecDeque::new(),
        };
        dialer.open();
        dialer
    }

    /// The transport that carries the session, or is to carry it.
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Which Engine.IO is spoken.
    pub const fn revision(&self) -> Revision {
        self.dial.revision
    }

    /// What the server said in its open packet; `None` before it came.
    pub const fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Whether the session is open: it was opened, and nobody has closed it yet.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether the connection has ended.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether what waits may leave now: on the WebSocket of the session, or in a POST, which the caller
    /// then tells by [`posting`](Self::posting). A session that is closing is writable until its close
    /// packet has left.
    pub const fn is_writable(&self) -> bool {
        matches!(self.state, State::Open | State::Closing { .. })
            && match self.transport {
                Transport::WebSocket => true,
                Transport::Polling => {
                    !self.posting && !matches!(self.upgrade, Upgrade::Pausing { .. })
                }
            }
    }

    /// The caller has begun a POST. The next is begun after [`Input::Posted`].
    pub const fn posting(&mut self) {
        self.posting = true;
    }

    /// Takes what happened. Afterwards [`poll`](Self::poll) until it gives `None`, then ask for the
    /// [`deadline`](Self::deadline) again. What does not fit, such as an answer without a request, changes
    /// nothing.
    pub fn receive(&mut self, now: Moment, input: Input) {
        if self.is_closed() {
            return;
        }
        match input {
            Input::Answered(body) => self.answered(body),
            Input::Posted => self.posted(),
            Input::RequestFailed if self.transport == Transport::Polling => {
                self.lost(DisconnectReason::TransportError, true);
            }
            Input::Gone { in_order } if self.transport == Transport::WebSocket => {
                let reason = match in_order {
                    true => DisconnectReason::TransportClose,
                    false => DisconnectReason::TransportError,
                };
                self.lost(reason, false);
            }
            // The open packet of the server says more.
            Input::Opened | Input::RequestFailed | Input::Gone { .. } => {}
            Input::Frame(data) => {
                let message = self.frame(now, data);
                self.out.extend(message.map(Output::Message));
            }
            Input::ProbeOpened => self.probe_opened(),
            Input::Probe(data) => self.probe(data),
            Input::ProbeGone => self.upgrade_failed(),
        }
    }

    /// As [`receive`](Self::receive) with an [`Input::Frame`], but if the frame is a message, and
    /// nothing is to be done before it, gives it straight back: most frames are, and need not go
    /// through a queue.
    #[inline]
    pub fn frame(&mut self, now: Moment, mut data: Data) -> Option<Data> {
        if self.is_closed() || self.transport != Transport::WebSocket {
            return None;
        }
        let is_direct = self.is_open() && self.out.is_empty();
        if let Data::Text(text) = &mut data
            && is_direct
            && text.first() == Some(&MESSAGE)
        {
            text.advance(1);
            return Some(data);
        }
        match Packet::of_frame(self.dial.revision, data) {
            Ok(Packet::Message(message)) if is_direct => return Some(message),
            Ok(packet) => self.packet(now, packet),
            Err(violation) => self.broken(violation),
        }
        None
    }

    /// What is to be done next; `None` when nothing is.
    pub fn poll(&mut self, now: Moment) -> Option<Output> {
        loop {
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            if self.out.capacity() > 0 {
                // A session that is idle shall not keep it.
                self.out = VecDeque::new();
            }
            self.next_of_answer(now)?;
        }
    }

    /// Bytes of a message have come: the silence of the server begins anew.
    pub fn alive(&mut self, now: Moment) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.alive(now);
        }
    }

    /// Whether [`expire`](Self::expire) would end an open session for the silence of its server. To be
    /// asked before something is sent: after a sleep of the whole machine the deadline is noticed late, and
    /// what is sent until then is lost. What has come is to be read before that.
    pub fn is_expired(&self, now: Moment) -> bool {
        self.is_open() && self.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.is_over(now))
    }

    /// All that was to be sent has left, and been answered. To be called whenever nothing waits any more,
    /// at least once [closed](Self::close); a session that is closing goes on then.
    pub fn flushed(&mut self) {
        let State::Closing { reason, said, .. } = &mut self.state else {
            return;
        };
        match self.transport {
            Transport::WebSocket => {
                let reason = *reason;
                self.end(reason, true);
            }
            Transport::Polling => {
                let is_pausing = matches!(self.upgrade, Upgrade::Pausing { .. });
                if !*said && !self.posting && !is_pausing {
                    *said = true;
                    self.out.push_back(Output::Send(Packet::Close));
                }
            }
        }
    }

    /// Closes the connection in order: what waits leaves first, for `close_timeout` at most. An upgrade of
    /// which the server knows comes to its end before. What the server says meanwhile is dropped.
    pub fn close(&mut self, now: Moment) {
        self.close_for(now, DisconnectReason::ForcedClose);
    }

    /// Closes because the layer above found `violation`.
    pub fn fail(&mut self, now: Moment, violation: Violation) {
        if matches!(self.state, State::Opening | State::Open) {
            self.out.push_back(Output::Broken(violation));
            self.close_for(now, DisconnectReason::ParseError);
        }
    }

    /// Ends the connection at once, without a word to the server.
    pub fn abort(&mut self) {
        if !self.is_closed() {
            self.end(DisconnectReason::ForcedClose, true);
        }
    }

    /// When [`expire`](Self::expire) must be called, at the latest; `None` while the session is being
    /// opened, and at its end.
    pub fn deadline(&self) -> Option<Moment> {
        let upgrade = match self.upgrade {
            Upgrade::None => None,
            Upgrade::Opening { until }
            | Upgrade::Probing { until }
            | Upgrade::Pausing { until } => Some(until),
        };
        let state = match self.state {
            State::Opening | State::Closed => return None,
            State::Open => self.heartbeat.as_ref().map(Heartbeat::deadline),
            State::Closing { until, .. } => Some(until),
        };
        [upgrade, state].into_iter().flatten().min()
    }

    /// Does what time asks for. Too early a call does nothing.
    pub fn expire(&mut self, now: Moment) {
        if let Upgrade::Opening { until } | Upgrade::Probing { until } | Upgrade::Pausing { until } =
            self.upgrade
            && now >= until
        {
            self.drop_probe();
            self.go_on();
        }
        match self.state {
            State::Opening | State::Closed => {}
            State::Closing { until, reason, .. } => {
                if now >= until {
                    self.end(reason, true);
                }
            }
            State::Open => self.beat(now),
        }
    }

    /// Opens the first transport that has not failed.
    fn open(&mut self) {
        let Some(&transport) = self.dial.transports.get(self.failed) else {
            return self.end(DisconnectReason::TransportError, false);
        };
        self.transport = transport;
        self.get = Get::Idle;
        match transport {
            Transport::Polling => self.send_get(),
            Transport::WebSocket => self.out.push_back(Output::OpenWebSocket),
        }
    }

    fn send_get(&mut self) {
        self.get = Get::UnderWay;
        self.out.push_back(Output::Get);
    }

    fn answered(&mut self, body: Bytes) {
        if !matches!(self.get, Get::UnderWay) {
            return;
        }
        if self.state == State::Opening
            && let Some(violation) = other_revision(self.dial.revision, &body)
        {
            return self.broken(violation);
        }
        let packets_max = self.dial.limits.payload_packets_max;
        match Payload::of(self.dial.revision, body, packets_max) {
            Ok(payload) => self.get = Get::Answered(payload),
            Err(violation) => self.broken(violation),
        }
    }

    /// Takes one packet off the answer to a poll; `None` when there is no answer.
    fn next_of_answer(&mut self, now: Moment) -> Option<()> {
        let Get::Answered(answer) = &mut self.get else {
            return None;
        };
        let packet = answer.next();
        let is_done = answer.is_done();
        match packet {
            Some(Ok(packet)) => self.packet(now, packet),
            Some(Err(violation)) => self.broken(violation),
            None => {}
        }
        // The packet may have ended all of it.
        if is_done && matches!(self.get, Get::Answered(_)) {
            self.get = Get::Idle;
            self.go_on();
        }
        Some(())
    }

    fn posted(&mut self) {
        if !mem::take(&mut self.posting) {
            return;
        }
        match self.state {
            State::Closing { reason, said: true, .. } => self.end(reason, true),
            _ => self.go_on(),
        }
    }

    /// A request has ended, or a pause: the next step of the polling, if there is one.
    fn go_on(&mut self) {
        if self.transport != Transport::Polling || !matches!(self.get, Get::Idle) {
            return;
        }
        let is_pausing = matches!(self.upgrade, Upgrade::Pausing { .. });
        if is_pausing && !self.posting {
            self.upgraded();
        } else if !is_pausing
            && matches!(self.state, State::Open | State::Closing { said: false, .. })
        {
            self.send_get();
        }
    }

    fn upgraded(&mut self) {
        self.upgrade = Upgrade::None;
        self.transport = Transport::WebSocket;
        self.out.extend([Output::Probe(Packet::Upgrade), Output::Upgraded]);
    }

    /// A packet of the session itself, from whichever transport carries it.
    fn packet(&mut self, now: Moment, packet: Packet) {
        if self.state == State::Opening {
            return match packet {
                Packet::Open(json) => self.handshake(now, &json),
                _ => self.broken(Violation::Handshake),
            };
        }
        match (packet, self.dial.revision) {
            (Packet::Message(data), _) => {
                if self.is_open() {
                    self.out.push_back(Output::Message(data));
                }
            }
            (Packet::Ping(data), Revision::V4) => self.pinged(now, data),
            // In Engine.IO 3 that is the client's; a WebSocket shows no earlier who speaks what.
            (Packet::Ping(_), Revision::V3) => self.broken(Violation::EngineIo4),
            (Packet::Pong(_), _) => {
                if let Some(heartbeat) = &mut self.heartbeat {
                    heartbeat.ponged(now);
                }
            }
            (Packet::Close, _) => self.lost(DisconnectReason::TransportClose, true),
            (Packet::Noop, _) => {}
            (Packet::Open(_) | Packet::Upgrade, _) => self.broken(Violation::Unexpected),
        }
    }

    fn handshake(&mut self, now: Moment, json: &[u8]) {
        let welcome = match Welcome::parse(json) {
            Ok(welcome) => welcome,
            Err(violation) => return self.broken(violation),
        };
        self.state = State::Open;
        self.heartbeat = Some(Heartbeat::new(now, self.dial.revision, &welcome));
        self.out.push_back(Output::Open);
        let mut left = self.dial.transports.iter().skip(self.failed);
        if self.transport == Transport::Polling
            && self.dial.upgrade
            && welcome.offers_websocket
            && left.any(|transport| *transport == Transport::WebSocket)
        {
            self.upgrade = Upgrade::Opening { until: now + self.dial.limits.upgrade_timeout };
            self.out.push_back(Output::OpenProbe);
        }
        self.welcome = Some(welcome);
    }

    fn pinged(&mut self, now: Moment, data: Bytes) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.pinged(now);
        }
        // Nothing goes behind a close packet.
        if !matches!(self.state, State::Closing { said: true, .. }) {
            self.out.push_back(Output::Send(Packet::Pong(data)));
        }
    }

    fn beat(&mut self, now: Moment) {
        match self.heartbeat.as_mut().map(|heartbeat| heartbeat.expire(now)) {
            Some(Beat::Ping) => self.out.push_back(Output::Send(Packet::Ping(Bytes::new()))),
            Some(Beat::Silence) => self.end(DisconnectReason::PingTimeout, true),
            Some(Beat::Nothing) | None => {}
        }
    }

    fn probe_opened(&mut self) {
        if let Upgrade::Opening { until } = self.upgrade {
            self.upgrade = Upgrade::Probing { until };
            self.out.push_back(Output::Probe(Packet::Ping(PROBE)));
        }
    }

    fn probe(&mut self, data: Data) {
        if let Upgrade::Probing { until } = self.upgrade
            && let Ok(Packet::Pong(text)) = Packet::of_frame(self.dial.revision, data)
            && text == PROBE
        {
            self.upgrade = Upgrade::Pausing { until };
        } else {
            self.drop_probe();
        }
        self.go_on();
    }

    /// The WebSocket beside the polling has ended by itself; polling goes on.
    fn upgrade_failed(&mut self) {
        self.upgrade = Upgrade::None;
        self.go_on();
    }

    /// Gives up the WebSocket beside the polling, if there is one.
    fn drop_probe(&mut self) {
        if mem::replace(&mut self.upgrade, Upgrade::None) != Upgrade::None {
            self.out.push_back(Output::DropProbe);
        }
    }

    fn close_for(&mut self, now: Moment, reason: DisconnectReason) {
        match self.state {
            State::Opening => self.end(reason, true),
            State::Open => {
                if !matches!(self.upgrade, Upgrade::Pausing { .. }) {
                    self.drop_probe();
                }
                let until = now + self.dial.limits.close_timeout;
                self.state = State::Closing { until, reason, said: false };
            }
            State::Closing { .. } | State::Closed => {}
        }
    }

    /// The server broke Engine.IO. Another revision of it is the same on every transport.
    fn broken(&mut self, violation: Violation) {
        self.out.push_back(Output::Broken(violation));
        match violation {
            Violation::EngineIo3 | Violation::EngineIo4 => {
                self.end(DisconnectReason::TransportError, true);
            }
            _ => self.lost(DisconnectReason::TransportError, true),
        }
    }

    /// The transport is gone, or of no use. A session that was closing ends for the reason it was closing
    /// for; one that is being opened may try the next transport.
    fn lost(&mut self, reason: DisconnectReason, hangs_up: bool) {
        match self.state {
            State::Opening if self.tries_next() => {
                self.failed += 1;
                self.out.push_back(Output::NextTransport);
                self.open();
            }
            State::Closing { reason, .. } => self.end(reason, hangs_up),
            _ => self.end(reason, hangs_up),
        }
    }

    const fn tries_next(&self) -> bool {
        self.dial.try_all && self.failed + 1 < self.dial.transports.len()
    }

    fn end(&mut self, reason: DisconnectReason, hangs_up: bool) {
        self.drop_probe();
        self.state = State::Closed;
        self.get = Get::Idle;
        self.posting = false;
        if hangs_up {
            self.out.push_back(Output::HangUp);
        }
        self.out.push_back(Output::Closed(reason));
    }
}

/// The violation, if the first body of a server is of the other revision. That of Engine.IO 3 begins with
/// a length, in digits before a colon or behind a byte that is no text; that of 4 with the open packet.
fn other_revision(revision: Revision, body: &[u8]) -> Option<Violation> {
    let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_v3 =
        matches!(body.first(), Some(0 | 1)) || digits > 0 && body.get(digits) == Some(&b':');
    match revision {
        Revision::V4 if is_v3 => Some(Violation::EngineIo3),
        Revision::V3 if body.starts_with(b"0{") => Some(Violation::EngineIo4),
        _ => None,
    }
}
