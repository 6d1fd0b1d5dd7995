//! [`Session`]: one Engine.IO connection, with its streams.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use roomful_proto::engine::dialer::{Input, Output};
use roomful_proto::engine::{Data, Dial, Dialer, Packet, Transport};
use roomful_proto::ws::{CloseCode, Message, WsError};
use roomful_proto::{DisconnectReason, Moment, Violation};

use super::Boxed;
use super::websocket::{Scratch, WebSocket};
use crate::error::{TransportCause, TransportError};
use crate::net::{Answer, Exchange, Http, Upgraded, foreign, refusal};
use crate::shared::Shared;
use crate::status::Disconnection;

/// Bytes of pongs that may wait to be sent, with [`PONG_COST`] for each; above it the server is one that
/// pings and does not read. More than one round can bring, after which they are written.
const PONG_BYTES_MAX: usize = 1024 * 1024;
/// What a pong without data counts.
const PONG_COST: usize = 8;

/// One Engine.IO connection.
pub(super) struct Session {
    dialer: Dialer,
    /// How requests are sent; made when one is, and gone once a WebSocket carries the session, with the
    /// streams that it keeps.
    http: Option<Arc<Http>>,
    /// Until when it must be open; `None` once it is.
    open_until: Option<Moment>,
    /// The WebSocket that carries the session.
    carrier: Line,
    /// The one beside the polling.
    probe: Line,
    get: Option<Boxed<Result<Answer, TransportError>>>,
    post: Option<Boxed<Result<Answer, TransportError>>>,
    /// A number that differs from request to request.
    stamp: u64,
    /// Why it failed, as far as that is known.
    error: Option<TransportError>,
    close_code: Option<CloseCode>,
    detail: Option<Arc<str>>,
    ended: Option<Ended>,
    paused: bool,
    /// The server has taken something since the end of its silence was put off for that.
    has_taken: bool,
    /// Bytes of pongs since nothing waited.
    pong_bytes: usize,
}

/// A WebSocket, or the way to one.
enum Line {
    None,
    Opening(Boxed<Result<Upgraded, TransportError>>),
    Open(Box<WebSocket>),
}

/// What ended a run of messages.
enum Taken {
    /// Something else, or the end of what was read.
    Decoded(Result<Option<Message>, WsError>),
    /// A packet of the session itself.
    Framed,
    /// A message that breaks Socket.IO.
    Broken(Violation),
}

/// How a session ended.
pub(super) struct Ended {
    pub(super) how: Disconnection,
    pub(super) error: Option<TransportError>,
    pub(super) was_open: bool,
}

impl Session {
    pub(super) fn dial(now: Moment, shared: &Shared) -> Self {
        let settings = &shared.settings;
        let mut transports = settings.transports.clone();
        if settings.remember_upgrade
            && settings.websocket_worked.load(std::sync::atomic::Ordering::Relaxed)
            && let Some(at) = transports.iter().position(|t| *t == Transport::WebSocket)
        {
            transports[..=at].rotate_right(1);
        }
        let mut stamp = [0; 8];
        // Without randomness the number only repeats after a start.
        let _ = getrandom::fill(&mut stamp);
        Self {
            dialer: Dialer::new(Dial {
                transports,
                try_all: settings.try_all_transports,
                upgrade: settings.upgrade,
                revision: settings.revision,
                limits: Arc::clone(&settings.manager.limits),
            }),
            http: None,
            open_until: Some(now + settings.connect_timeout),
            carrier: Line::None,
            probe: Line::None,
            get: None,
            post: None,
            stamp: u64::from_ne_bytes(stamp) >> 24,
            error: None,
            close_code: None,
            detail: None,
            ended: None,
            paused: false,
            has_taken: false,
            pong_bytes: 0,
        }
    }

    /// Closes in order.
    pub(super) fn close(&mut self, now: Moment) {
        self.dialer.close(now);
    }

    /// Closes since the server broke Socket.IO.
    pub(super) fn fail(&mut self, now: Moment, violation: Violation) {
        self.error.get_or_insert(TransportCause::Protocol(violation).into());
        self.dialer.fail(now, violation);
    }

    /// Ends, for that reason.
    pub(super) fn give_up(&mut self, _: Moment, error: TransportError) {
        self.error = Some(error);
        self.dialer.abort();
        self.end(DisconnectReason::TransportError);
    }

    pub(super) const fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// Whether nothing is read for now.
    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        [self.dialer.deadline(), self.open_until].into_iter().flatten().min()
    }

    /// One round; whether there may be more to do at once.
    pub(super) fn round(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        shared: &Arc<Shared>,
    ) -> bool {
        if self.open_until.is_some_and(|until| now >= until) {
            self.give_up(now, TransportCause::Timeout.into());
            return true;
        }
        let (is_full, is_behind) = (shared.inbox.is_full(), shared.is_behind());
        let was_paused = mem::replace(&mut self.paused, is_full || is_behind);
        if self.paused && !was_paused {
            shared.counters.pause();
        }
        let mut busy = false;
        if !self.paused {
            busy |= self.poll_get(cx, now);
            busy |= self.read(cx, now, shared);
        }
        busy |= self.poll_post(cx, now);
        busy |= self.poll_lines(cx, now, shared);
        // Only now: what had come before counts as a sign of life.
        if self.dialer.deadline().is_some_and(|until| now >= until) {
            // This side does not listen, so the server is not silent. Where it does not for what the server
            // has not taken yet, that has to go on.
            if self.paused && (!is_behind || mem::take(&mut self.has_taken)) {
                self.dialer.alive(now);
            }
            self.dialer.expire(now);
        }
        busy |= self.do_what_dialer_says(now, shared);
        busy |= self.write(cx, now, shared);
        busy |= self.do_what_dialer_says(now, shared);
        busy | (self.paused && !is_full && !shared.is_behind())
    }

    fn do_what_dialer_says(&mut self, now: Moment, shared: &Arc<Shared>) -> bool {
        let mut busy = false;
        while self.ended.is_none()
            && let Some(output) = self.dialer.poll(now)
        {
            busy = true;
            self.dialer_says(now, output, shared);
        }
        busy
    }

    fn dialer_says(&mut self, now: Moment, output: Output, shared: &Arc<Shared>) {
        match output {
            Output::Get => {
                let target = self.target(Transport::Polling, shared);
                let http = self.http(shared);
                self.get =
                    Some(Box::pin(async move { http.exchange(&target, Exchange::Get).await }));
            }
            Output::OpenWebSocket => self.carrier = self.open_line(shared),
            Output::OpenProbe => self.probe = self.open_line(shared),
            Output::Open => self.opened(now, shared),
            Output::Message(data) => self.message(now, data, shared),
            Output::Send(packet) => self.send(now, &packet, shared),
            Output::Probe(packet) => {
                if let Line::Open(line) = &mut self.probe {
                    line.push(&packet);
                }
            }
            Output::DropProbe => self.leave(true, shared),
            Output::Upgraded => {
                self.carrier = mem::replace(&mut self.probe, Line::None);
                self.transport_works(shared);
            }
            Output::Broken(violation) => {
                shared.counters.violation();
                self.error.get_or_insert(TransportCause::Protocol(violation).into());
            }
            Output::NextTransport => {
                (self.get, self.post) = (None, None);
                self.carrier = Line::None;
                self.http = None;
                self.error = None;
            }
            Output::HangUp => {
                (self.get, self.post) = (None, None);
                self.leave(false, shared);
            }
            Output::Closed(reason) => self.end(reason),
        }
    }

    /// Puts a packet of the session behind what waits.
    fn send(&mut self, now: Moment, packet: &Packet, shared: &Shared) {
        if let Packet::Pong(data) = packet {
            self.pong_bytes = self.pong_bytes.saturating_add(data.len() + PONG_COST);
            if self.pong_bytes > PONG_BYTES_MAX {
                return self.fail(now, Violation::Pings);
            }
        }
        shared.look(|state| state.manager.outgoing().push_packet(packet));
    }

    fn end(&mut self, reason: DisconnectReason) {
        let detail = self
            .detail
            .take()
            .or_else(|| self.error.as_ref().map(|error| Arc::from(error.to_string())));
        let how = Disconnection { reason, close_code: self.close_code, detail };
        let was_open = self.open_until.is_none();
        self.ended.get_or_insert(Ended { how, error: self.error.take(), was_open });
    }

    fn open_line(&mut self, shared: &Shared) -> Line {
        let target = self.target(Transport::WebSocket, shared);
        let (http, deflate) = (self.http(shared), shared.settings.deflate.is_some());
        Line::Opening(Box::pin(async move { http.upgrade(&target, deflate).await }))
    }

    fn http(&mut self, shared: &Shared) -> Arc<Http> {
        Arc::clone(self.http.get_or_insert_with(|| Arc::new(shared.settings.http())))
    }

    fn target(&mut self, transport: Transport, shared: &Shared) -> String {
        let session = self.dialer.welcome().map(|welcome| &*welcome.session);
        self.stamp = self.stamp.wrapping_add(1);
        let stamp = (transport == Transport::Polling).then_some(self.stamp);
        shared.settings.target(transport, session, stamp)
    }

    fn opened(&mut self, now: Moment, shared: &Arc<Shared>) {
        self.open_until = None;
        let Some(welcome) = self.dialer.welcome() else {
            return;
        };
        let revision = self.dialer.revision();
        shared.look(|state| state.manager.opened(now, revision, &welcome.session));
        self.transport_works(shared);
    }

    fn transport_works(&mut self, shared: &Shared) {
        let transport = self.dialer.transport();
        shared.look(|state| state.transport = Some(transport));
        if transport == Transport::WebSocket {
            self.http = None;
            let worked = &shared.settings.websocket_worked;
            worked.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// A message for the layer above.
    fn message(&mut self, now: Moment, data: Data, shared: &Arc<Shared>) {
        let received = shared.look(|state| state.manager.receive(now, data));
        if let Err(violation) = received {
            self.fail(now, violation);
        }
    }

    // Polling.

    fn poll_get(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let Some(Poll::Ready(answer)) = self.get.as_mut().map(|get| get.as_mut().poll(cx)) else {
            return false;
        };
        self.get = None;
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

    fn poll_post(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let Some(Poll::Ready(answer)) = self.post.as_mut().map(|post| post.as_mut().poll(cx))
        else {
            return false;
        };
        self.post = None;
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

    // WebSockets.

    fn poll_lines(&mut self, cx: &mut Context<'_>, now: Moment, shared: &Shared) -> bool {
        let mut busy = false;
        for is_probe in [false, true] {
            let line = if is_probe { &mut self.probe } else { &mut self.carrier };
            let Line::Opening(opening) = line else {
                continue;
            };
            let Poll::Ready(opened) = opening.as_mut().poll(cx) else {
                continue;
            };
            busy = true;
            match opened {
                Ok(upgraded) => {
                    let limits = &shared.settings.manager.limits;
                    let deflate = shared.settings.deflate.as_ref();
                    *line = Line::Open(Box::new(WebSocket::new(upgraded, limits, deflate)));
                    let input = if is_probe { Input::ProbeOpened } else { Input::Opened };
                    self.dialer.receive(now, input);
                }
                Err(e) => {
                    *line = Line::None;
                    if is_probe {
                        tracing::debug!("no upgrade: {e}");
                        self.dialer.receive(now, Input::ProbeGone);
                    } else {
                        self.error.get_or_insert(e);
                        self.dialer.receive(now, Input::Gone { in_order: false });
                    }
                }
            }
        }
        busy
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Moment, shared: &Arc<Shared>) -> bool {
        let mut busy = false;
        for is_probe in [false, true] {
            let line = if is_probe { &mut self.probe } else { &mut self.carrier };
            if matches!(line, Line::Open(_)) {
                busy |= self.read_once(cx, now, is_probe, &mut Scratch::take(), shared);
            }
        }
        busy
    }

    /// Reads once from a WebSocket, and works off what came; whether there may be more.
    fn read_once(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        is_probe: bool,
        scratch: &mut Scratch,
        shared: &Arc<Shared>,
    ) -> bool {
        let Some(mut line) = self.take_line(is_probe) else {
            return false;
        };
        let bytes = scratch.bytes();
        let len = match line.poll_read(cx, bytes) {
            Poll::Pending => {
                let Some(e) = line.write_error() else {
                    self.put_back(is_probe, line);
                    return false;
                };
                self.line_gone(now, is_probe, false, Some(e.to_string().into()));
                return true;
            }
            Poll::Ready(Ok(0)) => {
                self.line_gone(now, is_probe, false, Some("the stream ended".into()));
                return true;
            }
            Poll::Ready(Ok(len)) => len,
            Poll::Ready(Err(e)) => {
                self.line_gone(now, is_probe, false, Some(e.to_string().into()));
                return true;
            }
        };
        if !is_probe {
            self.dialer.alive(now);
        }
        let mut rest = &mut bytes[..len];
        loop {
            let decoded = if is_probe || self.ended.is_some() {
                line.decode(&mut rest)
            } else {
                match self.take_messages(now, &mut line, &mut rest, shared) {
                    Taken::Decoded(decoded) => decoded,
                    Taken::Framed => {
                        self.do_what_dialer_says(now, shared);
                        continue;
                    }
                    Taken::Broken(violation) => {
                        self.fail(now, violation);
                        self.do_what_dialer_says(now, shared);
                        continue;
                    }
                }
            };
            match decoded {
                Ok(None) if self.ended.is_none() => {
                    self.put_back(is_probe, line);
                    return true;
                }
                // What has made an end of the session may stand before others.
                Ok(_) if self.ended.is_some() => {
                    line.close(Some(CloseCode::NORMAL));
                    shared.part(line.say_goodbye());
                    return true;
                }
                // Other messages were taken above.
                Ok(Some(Message::Text(text))) => {
                    self.dialer.receive(now, Input::Probe(Data::Text(text)));
                }
                Ok(Some(Message::Binary(bytes))) => {
                    self.dialer.receive(now, Input::Probe(Data::Binary(bytes)));
                }
                Ok(Some(Message::Ping(bytes))) => {
                    if !line.pong(&bytes) {
                        self.fail(now, Violation::Pings);
                    }
                }
                Ok(None | Some(Message::Pong(_))) => {}
                Ok(Some(Message::Close(code, said))) => {
                    line.close(code);
                    if !is_probe {
                        self.close_code = code;
                    }
                    let said = String::from_utf8_lossy(&said);
                    let said = (!said.is_empty()).then(|| Arc::from(&*said));
                    shared.part(line.say_goodbye());
                    self.line_gone(now, is_probe, true, said);
                    return true;
                }
                Err(e) => {
                    line.close(Some(e.code()));
                    shared.part(line.say_goodbye());
                    if !is_probe {
                        let why = late_refusal(&bytes[..len]);
                        let broken = || TransportCause::WebSocket(e.to_string()).into();
                        self.error.get_or_insert_with(|| why.unwrap_or_else(broken));
                    }
                    shared.counters.violation();
                    self.line_gone(now, is_probe, false, None);
                    return true;
                }
            }
        }
    }

    /// Takes messages as long as they are all that was read: that is mostly so, and the lock is taken once
    /// for all of them.
    fn take_messages(
        &mut self,
        now: Moment,
        line: &mut WebSocket,
        rest: &mut &mut [u8],
        shared: &Shared,
    ) -> Taken {
        shared.look(|state| {
            loop {
                let data = match line.decode(rest) {
                    Ok(Some(Message::Text(text))) => Data::Text(text),
                    Ok(Some(Message::Binary(bytes))) => Data::Binary(bytes),
                    decoded => return Taken::Decoded(decoded),
                };
                let Some(message) = self.dialer.frame(now, data) else {
                    return Taken::Framed;
                };
                if let Err(violation) = state.manager.receive(now, message) {
                    return Taken::Broken(violation);
                }
            }
        })
    }

    fn line_gone(&mut self, now: Moment, is_probe: bool, in_order: bool, said: Option<Arc<str>>) {
        if is_probe {
            self.dialer.receive(now, Input::ProbeGone);
        } else {
            if self.detail.is_none() {
                self.detail = said;
            }
            self.dialer.receive(now, Input::Gone { in_order });
        }
    }

    fn take_line(&mut self, is_probe: bool) -> Option<Box<WebSocket>> {
        let line = if is_probe { &mut self.probe } else { &mut self.carrier };
        match mem::replace(line, Line::None) {
            Line::Open(open) => Some(open),
            other => {
                *line = other;
                None
            }
        }
    }

    /// Puts a WebSocket back that was taken to be read; where what it said has made it the carrier, there.
    fn put_back(&mut self, was_probe: bool, line: Box<WebSocket>) {
        let place = if was_probe { &mut self.probe } else { &mut self.carrier };
        *place = Line::Open(line);
    }

    /// Closes the WebSocket beside the polling, or else the one of the session.
    fn leave(&mut self, is_probe: bool, shared: &Arc<Shared>) {
        match self.take_line(is_probe) {
            Some(mut line) => {
                line.close(Some(CloseCode::NORMAL));
                shared.part(line.say_goodbye());
            }
            None if is_probe => self.probe = Line::None,
            None => self.carrier = Line::None,
        }
    }

    // Writing.

    fn write(&mut self, cx: &mut Context<'_>, now: Moment, shared: &Arc<Shared>) -> bool {
        if let Line::Open(probe) = &mut self.probe
            && let Poll::Ready(Err(e)) = probe.poll_write(cx)
        {
            self.probe = Line::None;
            self.line_gone(now, true, false, Some(e.to_string().into()));
            return true;
        }
        match self.dialer.transport() {
            Transport::WebSocket => self.write_frames(cx, shared),
            Transport::Polling => self.write_body(shared),
        }
    }

    fn write_frames(&mut self, cx: &mut Context<'_>, shared: &Shared) -> bool {
        let (revision, base64) = (self.dialer.revision(), shared.settings.force_base64);
        let is_writable = self.dialer.is_writable();
        let Line::Open(carrier) = &mut self.carrier else {
            return false;
        };
        if carrier.write_error().is_some() {
            return false;
        }
        loop {
            let waits = shared.look(|state| {
                let outgoing = state.manager.outgoing();
                if is_writable {
                    self.has_taken |= carrier.is_flushed();
                    carrier.fill(outgoing, revision, base64);
                }
                let waits = is_writable && !state.manager.outgoing().is_empty();
                state.writable = is_writable && carrier.is_flushed();
                waits
            });
            match carrier.poll_write(cx) {
                Poll::Ready(Ok(())) if waits => {}
                Poll::Ready(Ok(())) => break,
                // What has come before is still to be read: it may be that the server puts the socket out.
                Poll::Ready(Err(e)) => {
                    carrier.set_write_error(e);
                    shared.look(|state| state.writable = false);
                    return true;
                }
                Poll::Pending => return false,
            }
        }
        shared.look(|state| {
            state.writable = is_writable;
            if state.manager.outgoing().is_empty() {
                self.dialer.flushed();
                self.pong_bytes = 0;
            }
        });
        false
    }

    fn write_body(&mut self, shared: &Arc<Shared>) -> bool {
        let is_writable = self.dialer.is_writable();
        let base64 = shared.settings.force_base64;
        let max = self.dialer.welcome().and_then(|welcome| welcome.payload_bytes_max);
        let body = shared.look(|state| {
            state.writable = is_writable && self.post.is_none();
            let outgoing = state.manager.outgoing();
            if outgoing.is_empty() {
                self.dialer.flushed();
                self.pong_bytes = 0;
            }
            let takes = is_writable && self.post.is_none();
            takes.then(|| outgoing.take_body(self.dialer.revision(), base64, max)).flatten()
        });
        let Some(body) = body else {
            return false;
        };
        self.dialer.posting();
        let target = self.target(Transport::Polling, shared);
        let http = self.http(shared);
        self.post =
            Some(Box::pin(async move { http.exchange(&target, Exchange::Post(body)).await }));
        true
    }
}

/// Servers of Engine.IO 6 refuse some clients by an answer of HTTP on a WebSocket that they have opened: its
/// status and its body.
fn late_refusal(bytes: &[u8]) -> Option<TransportError> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.strip_prefix("HTTP/1.1 ")?.split_once("\r\n\r\n")?;
    let status = head.get(..3)?.parse().ok()?;
    Some(refusal(status, String::new(), body.as_bytes()))
}
