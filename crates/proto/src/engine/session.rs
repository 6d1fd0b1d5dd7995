//! [`Session`]: the server's end of one Engine.IO connection.
//!
//! It is told what happens on the transports and says what to do there. It does not hold messages
//! that wait to be sent: those are bytes already and stay with the caller, who sends them on
//! [`Session::transport`].
//!
//! ```text
//!   Open ──probe opens──▶ Upgrading ──"5"──▶ Open (on the WebSocket)
//!     │ ◀─a poll waits─ timeout, or the probe ends ─no poll waits─▶ Deserted ──a poll──▶ Open, or in time Closed
//!     └──▶ Closing (polling only: the close packet waits for a poll, or for the "5") ──▶ Closed
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::handshake::{Revision, Transport};
use super::packet::{Data, MESSAGE, Packet};
use super::payload::Payload;
use crate::error::Violation;
use crate::hidden::Hidden;
use crate::limits::Limits;
use crate::reason::Reason;
use crate::time::Moment;

/// How long a poll that comes during an upgrade may wait for something better than a noop.
const UPGRADE_POLL_WAIT: Duration = Duration::from_millis(100);

/// What happened on a transport.
pub enum Input {
    /// A message arrived on the WebSocket that carries the session.
    Frame(Data),
    /// The WebSocket that carries the session ended; in order, or by a failure.
    Gone {
        /// Whether the peer closed it in order.
        in_order: bool,
    },
    /// A poll (GET) waits for an answer.
    Poll,
    /// The waiting poll was given an answer by the caller.
    PollAnswered,
    /// The waiting poll was given up by the peer.
    PollGone,
    /// A body (POST) arrived.
    Body(Bytes),
    /// A body was given up by the peer, or was not acceptable.
    BodyBroken,
    /// Another WebSocket was opened for this session.
    ProbeOpened,
    /// A message arrived on that other WebSocket.
    Probe(Data),
    /// That other WebSocket ended.
    ProbeGone,
}

impl fmt::Debug for Input {
    /// Of frames and bodies, only how long they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(data) => f.debug_tuple("Frame").field(data).finish(),
            Self::Gone { in_order } => f.debug_struct("Gone").field("in_order", in_order).finish(),
            Self::Poll => f.write_str("Poll"),
            Self::PollAnswered => f.write_str("PollAnswered"),
            Self::PollGone => f.write_str("PollGone"),
            Self::Body(body) => f.debug_tuple("Body").field(&Hidden::new(body)).finish(),
            Self::BodyBroken => f.write_str("BodyBroken"),
            Self::ProbeOpened => f.write_str("ProbeOpened"),
            Self::Probe(data) => f.debug_tuple("Probe").field(data).finish(),
            Self::ProbeGone => f.write_str("ProbeGone"),
        }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// A message for the layer above.
    Message(Data),
    /// Send this packet on the transport of the session, after what already waits.
    Send(Packet),
    /// All packets of the oldest body were taken: answer it with `ok`.
    BodyDone,
    /// Send this packet on the probing WebSocket.
    Probe(Packet),
    /// Close the probing WebSocket.
    DropProbe,
    /// The probing WebSocket is the transport from now on. A waiting poll ends with a noop.
    Upgraded,
    /// The poll that came last is answered 400: another one waits already, and then the session
    /// closes, or the session has left polling, and then it goes on.
    PollRefused,
    /// The peer broke the protocol; the session closes for that reason.
    Broken(Violation, Reason),
    /// The session has ended, and why. Nothing follows.
    Closed(Reason),
}

/// The server's end of one Engine.IO connection.
#[derive(Debug)]
pub struct Session {
    transport: Transport,
    revision: Revision,
    state: State,
    poll: Poll,
    heartbeat: Heartbeat,
    bodies: VecDeque<Payload>,
    /// No packet is taken off a body for now.
    held: bool,
    /// A body was let through although they are held.
    let_through: bool,
    /// What the peer says is not heard for now, its pongs neither.
    deaf: bool,
    out: VecDeque<Output>,
    limits: Arc<Limits>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A WebSocket was opened beside the polling; `probed` once it sent its probe.
    Upgrading {
        until: Moment,
        probed: bool,
    },
    /// The WebSocket of an upgrade has ended, and no poll waits. A client that stays polls again; that of a page
    /// that was loaded anew just then is gone, and nothing else would tell before the heartbeat.
    ///
    /// An official client whose probe was answered polls no more then, though it lives and still sends; so what it
    /// sends is no sign that it will take anything. Of one that was not `probed` it is.
    Deserted {
        until: Moment,
        probed: bool,
    },
    /// What was sent before, and then the close packet, wait for polls to carry them. The close
    /// packet has an answer of its own: a client that finds it beside others acts on it first.
    ///
    /// A client whose probe was answered polls no more, and if the probe ended now the official one
    /// would not begin again: until its heartbeat is missed it would hear of nothing. So a session that
    /// is `upgrading` lets it come over, and ends there.
    Closing {
        until: Moment,
        reason: Reason,
        said: bool,
        upgrading: bool,
    },
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Absent,
    /// Waits; during an upgrade only until then.
    Waiting {
        until: Option<Moment>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heartbeat {
    /// The next ping goes out then.
    Resting(Moment),
    /// A pong must come before then. Messages put that off, but not beyond the second moment.
    Awaiting(Moment, Moment),
    /// Engine.IO 3: the client pings, and must do so before then.
    Listening(Moment),
}

impl Session {
    /// A session that was just opened on `transport`. The open packet is the caller's to send.
    pub fn new(now: Moment, transport: Transport, revision: Revision, limits: Arc<Limits>) -> Self {
        Self {
            transport,
            revision,
            state: State::Open,
            poll: Poll::Absent,
            heartbeat: match revision {
                Revision::V4 => Heartbeat::Resting(now + limits.ping_interval),
                Revision::V3 => Heartbeat::Listening(now + silence_max(&limits)),
            },
            bodies: VecDeque::new(),
            held: false,
            let_through: false,
            deaf: false,
            out: VecDeque::new(),
            limits,
        }
    }

    /// The transport that carries the session.
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the session has ended.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether a WebSocket may be opened to upgrade this session: only once, and only from polling.
    pub fn can_upgrade(&self) -> bool {
        self.transport.polls() && matches!(self.state, State::Open | State::Deserted { .. })
    }

    /// Whether a poll decides if the session lives on.
    pub const fn waits_for_a_poll(&self) -> bool {
        matches!(self.state, State::Deserted { .. })
    }

    /// Whether a poll waits, so that what is to be sent can leave now.
    pub const fn is_polled(&self) -> bool {
        matches!(self.poll, Poll::Waiting { .. })
    }

    /// Takes what happened. Afterwards [`poll`](Self::poll) until it gives `None`, then ask for the
    /// [`deadline`](Self::deadline) again.
    pub fn receive(&mut self, now: Moment, input: Input) {
        if self.is_closed() {
            return;
        }
        match input {
            Input::Frame(data) => {
                let message = self.frame(now, data);
                self.out.extend(message.map(Output::Message));
            }
            Input::Gone { in_order: true } => self.lost(Reason::TransportClose),
            Input::Gone { in_order: false } => self.lost(Reason::TransportError),
            Input::Poll => self.polled(now),
            Input::PollAnswered => self.poll_answered(),
            Input::PollGone | Input::BodyBroken => self.lost(Reason::TransportError),
            Input::Body(body) => self.body(body),
            Input::ProbeOpened => self.probe_opened(now),
            Input::Probe(data) => self.probe(now, data),
            Input::ProbeGone => self.probe_gone(now),
        }
    }

    /// As [`receive`](Self::receive) with an [`Input::Frame`], but if the frame is a message, and
    /// nothing is to be done before it, gives it straight back: most frames are, and need not go
    /// through a queue.
    #[inline(always)]
    pub fn frame(&mut self, now: Moment, mut data: Data) -> Option<Data> {
        if self.is_closed() || self.transport.polls() {
            return None;
        }
        // What most frames are is not taken apart and put together again: each move takes its time.
        if let Data::Text(text) = &mut data
            && self.revision == Revision::V4
            && self.out.is_empty()
            && text.first() == Some(&MESSAGE)
        {
            text.advance(1);
            return Some(data);
        }
        match Packet::of_frame(self.revision, data) {
            Ok(Packet::Message(message)) if self.out.is_empty() => return Some(message),
            Ok(packet) => self.packet(now, packet),
            Err(violation) => self.fail(now, violation),
        }
        None
    }

    /// What is to be done next; `None` when nothing is, or when all that is left is in a body and
    /// bodies are [held](Self::hold).
    pub fn poll(&mut self, now: Moment) -> Option<Output> {
        loop {
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            if self.held && !self.lets_through() {
                return None;
            }
            self.next_of_body(now)?;
        }
    }

    /// Holds back the packets of bodies that have arrived, or lets them go on. A body that is held
    /// is not answered, so the client sends no other: that is how it is slowed down. One body is let
    /// through all the same, once, if its client upgrades.
    pub const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether what the peer says is left unread for now by the server's will. Then it is not silent if
    /// its pong does not arrive, but is pinged again.
    pub const fn set_deaf(&mut self, deaf: bool) {
        self.deaf = deaf;
    }

    /// Bytes have moved: the peer has sent a part of a message, or has taken some of what waited for it.
    /// Whoever does either is there, and its pong, which comes behind them, has a whole `ping_timeout`
    /// again.
    #[inline]
    pub fn alive(&mut self, now: Moment) {
        let timeout = self.limits.ping_timeout;
        // It may still be taking the answer to the poll before.
        if let State::Deserted { until, probed: false } = &mut self.state {
            *until = (*until).max(now + timeout);
        }
        match &mut self.heartbeat {
            Heartbeat::Resting(_) => {}
            Heartbeat::Awaiting(until, _) => *until = (*until).max(now + timeout),
            Heartbeat::Listening(until) => *until = (*until).max(now + silence_max(&self.limits)),
        }
    }

    /// Whole messages have come. The pong may stand behind others in the peer's own queue, so it has more
    /// time; but only one interval and one `ping_timeout` more, since talking does not replace
    /// answering.
    #[inline]
    pub fn heard(&mut self, now: Moment) {
        if let Heartbeat::Awaiting(until, at_most) = &mut self.heartbeat {
            *until = (*until).max((now + self.limits.ping_timeout).min(*at_most));
        }
    }

    /// Nobody is silent before that moment: until then the server itself has stood still, or has not had
    /// the time to read what came meanwhile.
    pub fn excuse(&mut self, before: Moment) {
        if let Heartbeat::Awaiting(until, _) | Heartbeat::Listening(until) = &mut self.heartbeat {
            *until = (*until).max(before);
        }
        if let State::Deserted { until, .. } = &mut self.state {
            *until = (*until).max(before);
        }
    }

    /// Whether [`expire`](Self::expire) would end the session since its client polls no more.
    pub fn is_deserted(&self, now: Moment) -> bool {
        matches!(self.state, State::Deserted { until, .. } if now >= until)
    }

    /// Whether [`expire`](Self::expire) would end the session for the silence of its peer. What has come
    /// is to be read before that.
    pub fn is_silent(&self, now: Moment) -> bool {
        if self.is_deserted(now) {
            return true;
        }
        let lives = !matches!(self.state, State::Closed | State::Closing { .. });
        let (Heartbeat::Awaiting(until, _) | Heartbeat::Listening(until)) = self.heartbeat else {
            return false;
        };
        lives && !self.deaf && now >= until
    }

    /// A client whose probe was answered waits for the answer to its body before it comes over, and polls
    /// no more. If bodies are held because of what waits for it, only that lets it take what waits. Once,
    /// so that nobody gets around being held by probing again and again.
    const fn lets_through(&self) -> bool {
        !self.let_through
            && matches!(
                self.state,
                State::Upgrading { probed: true, .. } | State::Closing { upgrading: true, .. }
            )
    }

    /// All that was to be sent has been. A session that is closing says so now, if a poll waits.
    pub fn flushed(&mut self) {
        if let State::Closing { said, .. } = &mut self.state
            && !*said
            && matches!(self.poll, Poll::Waiting { .. })
        {
            *said = true;
            self.out.push_back(Output::Send(Packet::Close));
        }
    }

    /// Ends the session at once, without a word to the peer.
    pub fn abort(&mut self, reason: Reason) {
        if !self.is_closed() {
            self.end(reason);
        }
    }

    /// When [`expire`](Self::expire) must be called, at the latest.
    pub fn deadline(&self) -> Option<Moment> {
        let state = match self.state {
            State::Closed => return None,
            State::Closing { until, .. } => return Some(until),
            State::Upgrading { until, .. } | State::Deserted { until, .. } => Some(until),
            State::Open => None,
        };
        let poll = match self.poll {
            Poll::Waiting { until } => until,
            Poll::Absent => None,
        };
        let (Heartbeat::Resting(beat) | Heartbeat::Awaiting(beat, _) | Heartbeat::Listening(beat)) =
            self.heartbeat;
        [state, poll, Some(beat)].into_iter().flatten().min()
    }

    /// Does what time asks for. Too early a call does nothing.
    pub fn expire(&mut self, now: Moment) {
        match self.state {
            State::Closed => return,
            State::Closing { until, reason, .. } => {
                if now >= until {
                    self.end(reason);
                }
                return;
            }
            State::Upgrading { until, .. } if now >= until => {
                self.out.push_back(Output::DropProbe);
                self.probe_gone(now);
            }
            State::Deserted { until, .. } if now >= until => {
                return self.end(Reason::TransportClose);
            }
            State::Upgrading { .. } | State::Deserted { .. } | State::Open => {}
        }
        if let Poll::Waiting { until: Some(until) } = self.poll
            && now >= until
        {
            self.poll = Poll::Waiting { until: None };
            self.out.push_back(Output::Send(Packet::Noop));
        }
        self.beat(now);
    }

    /// Closes from this side. On polling, the close packet still has to be polled for.
    pub fn close(&mut self, now: Moment, reason: Reason) {
        if matches!(self.state, State::Closed | State::Closing { .. }) {
            return;
        }
        match self.transport {
            Transport::WebSocket => self.end(reason),
            Transport::Polling => {
                let upgrading = matches!(self.state, State::Upgrading { probed: true, .. });
                if !upgrading {
                    self.drop_probe();
                }
                let until = now + self.limits.close_timeout;
                self.state = State::Closing { until, reason, said: false, upgrading };
            }
        }
    }

    /// Closes because the layer above found `violation`.
    pub fn fail(&mut self, now: Moment, violation: Violation) {
        if matches!(self.state, State::Closed | State::Closing { .. }) {
            return;
        }
        self.bodies.clear();
        let reason = match violation {
            Violation::ConnectTimeout | Violation::ConnectTwice | Violation::NotConnected => {
                Reason::ForcedServerClose
            }
            _ => Reason::ParseError,
        };
        self.out.push_back(Output::Broken(violation, reason));
        self.close(now, reason);
    }

    /// A packet of the session itself, from whichever transport carries it.
    fn packet(&mut self, now: Moment, packet: Packet) {
        match packet {
            Packet::Message(data) => self.out.push_back(Output::Message(data)),
            Packet::Ping(data) if self.revision == Revision::V3 => {
                self.heartbeat = Heartbeat::Listening(now + silence_max(&self.limits));
                self.out.push_back(Output::Send(Packet::Pong(data)));
            }
            Packet::Pong(_) if self.revision == Revision::V4 => {
                // A pong that nobody asked for changes nothing.
                if let Heartbeat::Awaiting(..) = self.heartbeat {
                    self.heartbeat = Heartbeat::Resting(now + self.limits.ping_interval);
                }
            }
            Packet::Close => self.closed_by_peer(),
            Packet::Noop => {}
            // In that direction the other revision has them.
            Packet::Ping(_) | Packet::Pong(_) => {
                self.broken(Reason::TransportError, Violation::Unexpected);
            }
            Packet::Open(_) | Packet::Upgrade => {
                self.broken(Reason::ParseError, Violation::Unexpected);
            }
        }
    }

    fn closed_by_peer(&mut self) {
        // A close in a body is not a broken body: it is answered like any other.
        self.out.extend(self.bodies.drain(..).map(|_| Output::BodyDone));
        if self.is_polled() {
            self.out.push_back(Output::Send(Packet::Noop));
        }
        self.end(Reason::TransportClose);
    }

    fn broken(&mut self, reason: Reason, violation: Violation) {
        self.out.push_back(Output::Broken(violation, reason));
        if self.is_polled() {
            self.out.push_back(Output::Send(Packet::Close));
        }
        self.end(reason);
    }

    fn polled(&mut self, now: Moment) {
        if !self.transport.polls() {
            self.out.push_back(Output::PollRefused);
            return;
        }
        if self.is_polled() {
            self.out.push_back(Output::PollRefused);
            self.out.push_back(Output::Send(Packet::Close));
            return self.end(Reason::TransportError);
        }
        let until = match self.state {
            State::Upgrading { probed: true, .. } => Some(now + UPGRADE_POLL_WAIT),
            State::Deserted { .. } => {
                self.state = State::Open;
                None
            }
            _ => None,
        };
        self.poll = Poll::Waiting { until };
    }

    fn poll_answered(&mut self) {
        self.poll = Poll::Absent;
        if let State::Closing { reason, said: true, .. } = self.state {
            // The answer carried the close packet.
            self.end(reason);
        }
    }

    fn body(&mut self, body: Bytes) {
        let packets_max = self.limits.payload_packets_max;
        match Payload::of(self.revision, body, packets_max) {
            Ok(payload) => {
                self.bodies.push_back(payload);
                if let State::Deserted { probed: false, .. } = self.state {
                    self.state = State::Open;
                }
            }
            Err(violation) => self.broken(Reason::ParseError, violation),
        }
    }

    /// Takes one packet off the oldest body; `None` when there is no body.
    fn next_of_body(&mut self, now: Moment) -> Option<()> {
        let body = self.bodies.front_mut()?;
        let packet = body.next();
        let done = body.is_done();
        match packet {
            Some(Ok(packet)) if !matches!(self.state, State::Closing { .. }) => {
                self.packet(now, packet);
            }
            Some(Err(violation)) => self.broken(Reason::ParseError, violation),
            _ => {}
        }
        // An end of the session has dropped the bodies: then there is none to answer.
        if done && self.bodies.pop_front().is_some() {
            self.out.push_back(Output::BodyDone);
            self.let_through |= self.held;
        }
        Some(())
    }

    fn probe_opened(&mut self, now: Moment) {
        if self.can_upgrade() {
            self.state =
                State::Upgrading { until: now + self.limits.upgrade_timeout, probed: false };
        } else {
            self.out.push_back(Output::DropProbe);
        }
    }

    fn probe(&mut self, now: Moment, data: Data) {
        let packet = Packet::of_frame(self.revision, data);
        match (self.state, packet) {
            (State::Upgrading { until, probed: false }, Ok(Packet::Ping(text)))
                if text == "probe" =>
            {
                self.out.push_back(Output::Probe(Packet::Pong(text)));
                self.state = State::Upgrading { until, probed: true };
                if self.is_polled() {
                    self.out.push_back(Output::Send(Packet::Noop));
                }
            }
            // Some clients do not probe: they have seen the WebSocket open, and that is enough for them.
            (State::Upgrading { .. }, Ok(Packet::Upgrade)) => self.upgraded(),
            (State::Closing { reason, upgrading: true, .. }, Ok(Packet::Upgrade)) => {
                self.upgraded();
                self.end(reason);
            }
            _ => {
                self.drop_probe();
                self.probe_gone(now);
            }
        }
    }

    fn upgraded(&mut self) {
        self.state = State::Open;
        self.transport = Transport::WebSocket;
        self.poll = Poll::Absent;
        self.out.push_back(Output::Upgraded);
    }

    fn probe_gone(&mut self, now: Moment) {
        let is_polled = self.is_polled();
        match &mut self.state {
            State::Upgrading { probed, .. } if !is_polled => {
                let until = now + self.limits.ping_timeout;
                self.state = State::Deserted { until, probed: *probed };
            }
            State::Upgrading { .. } => self.state = State::Open,
            State::Closing { upgrading, .. } => *upgrading = false,
            State::Open | State::Deserted { .. } | State::Closed => {}
        }
    }

    /// Says that the probe is to be closed, if there is one.
    fn drop_probe(&mut self) {
        if matches!(self.state, State::Upgrading { .. } | State::Closing { upgrading: true, .. }) {
            self.out.push_back(Output::DropProbe);
        }
    }

    fn beat(&mut self, now: Moment) {
        let timeout = self.limits.ping_timeout;
        match self.heartbeat {
            Heartbeat::Resting(at) if now >= at => {
                // Counted from when the ping was due, so that lateness does not add up; but whoever is
                // pinged much too late has at least half of the time.
                self.ping((at + timeout).max(now + timeout / 2));
            }
            Heartbeat::Awaiting(until, _) if now >= until && self.deaf => self.ping(now + timeout),
            Heartbeat::Listening(until) if now >= until && self.deaf => {
                self.heartbeat = Heartbeat::Listening(now + silence_max(&self.limits));
            }
            Heartbeat::Awaiting(until, _) | Heartbeat::Listening(until) if now >= until => {
                if self.is_polled() {
                    self.out.push_back(Output::Send(Packet::Close));
                }
                self.end(Reason::PingTimeout);
            }
            Heartbeat::Resting(_) | Heartbeat::Awaiting(..) | Heartbeat::Listening(_) => {}
        }
    }

    /// Sends a ping, to be answered by then.
    fn ping(&mut self, until: Moment) {
        let at_most = until + silence_max(&self.limits);
        self.heartbeat = Heartbeat::Awaiting(until, at_most);
        self.out.push_back(Output::Send(Packet::Ping(Bytes::new())));
    }

    /// The transport is gone. A session that was closing ends for the reason it was closing for.
    fn lost(&mut self, reason: Reason) {
        match self.state {
            State::Closing { reason, .. } => self.end(reason),
            _ => self.end(reason),
        }
    }

    fn end(&mut self, reason: Reason) {
        self.drop_probe();
        self.state = State::Closed;
        self.bodies.clear();
        self.out.push_back(Output::Closed(reason));
    }
}

/// How long a client of Engine.IO 3 may be silent.
fn silence_max(limits: &Limits) -> Duration {
    limits.ping_interval.saturating_add(limits.ping_timeout)
}
