//! [`Session`]: one Engine.IO connection, with its streams.

mod inbound;
mod line;
mod outbound;
mod requests;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;

use roomful_proto::engine::dialer::Output;
use roomful_proto::engine::{Data, Dial, Dialer, Transport};
use roomful_proto::ws::CloseCode;
use roomful_proto::{DisconnectReason, Moment, Violation};

use self::line::{Line, Place};
use self::requests::Requests;
use super::Boxed;
use super::proof::Proof;
use super::websocket::{Scratch, WebSocket};
use crate::error::{TransportCause, TransportError};
use crate::shared::Shared;
use crate::status::Disconnection;

/// One Engine.IO connection.
pub(super) struct Session {
    dialer: Dialer,
    requests: Requests,
    /// Until when it must be open; `None` once it is.
    open_until: Option<Moment>,
    /// The WebSocket that carries the session.
    carrier: Line,
    /// The one beside the polling.
    probe: Line,
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
    proof: Proof,
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
            && settings.websocket_worked.load(Ordering::Relaxed)
            && let Some(at) = transports.iter().position(|t| *t == Transport::WebSocket)
        {
            transports[..=at].rotate_right(1);
        }
        let stamp = stamp();
        Self {
            dialer: Dialer::new(Dial {
                transports,
                try_all: settings.try_all_transports,
                upgrade: settings.upgrade,
                revision: settings.revision,
                limits: Arc::clone(&settings.manager.limits),
            }),
            requests: Requests::new(stamp),
            open_until: Some(now + settings.connect_timeout),
            carrier: Line::None,
            probe: Line::None,
            error: None,
            close_code: None,
            detail: None,
            ended: None,
            paused: false,
            has_taken: false,
            pong_bytes: 0,
            proof: Proof::new(stamp),
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
    pub(super) fn give_up(&mut self, error: TransportError) {
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
            self.give_up(TransportCause::Timeout.into());
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
            Output::Get => self.requests.get(session_id(&self.dialer), shared),
            Output::OpenWebSocket => self.open_line(Place::Carrier, shared),
            Output::OpenProbe => self.open_line(Place::Probe, shared),
            Output::Open => self.opened(now, shared),
            Output::Message(data) => self.message(now, data, shared),
            Output::Send(packet) => self.send(now, &packet, shared),
            Output::Probe(packet) => {
                if let Line::Open(line) = &mut self.probe {
                    line.push(&packet);
                }
            }
            Output::DropProbe => self.leave(Place::Probe, shared),
            Output::Upgraded => {
                self.carrier = mem::replace(&mut self.probe, Line::None);
                self.transport_works(shared);
            }
            Output::Broken(violation) => {
                shared.counters.violation();
                self.error.get_or_insert(TransportCause::Protocol(violation).into());
            }
            Output::NextTransport => {
                self.requests.abort();
                self.requests.close();
                self.carrier = Line::None;
                self.error = None;
            }
            Output::HangUp => {
                self.requests.abort();
                self.leave(Place::Carrier, shared);
            }
            Output::Closed(reason) => self.end(reason),
        }
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
        shared.look(|state| state.set_transport(Some(transport)));
        if transport == Transport::WebSocket {
            self.requests.close();
            shared.settings.websocket_worked.store(true, Ordering::Relaxed);
        }
    }

    /// A message for the layer above.
    fn message(&mut self, now: Moment, data: Data, shared: &Arc<Shared>) {
        let received = shared.look(|state| state.manager.receive(now, data));
        if let Err(violation) = received {
            self.fail(now, violation);
        }
    }
}

/// A number that is most likely another for each session.
fn stamp() -> u64 {
    let mut stamp = [0; 8];
    // Without randomness the number only repeats after a start.
    let _ = getrandom::fill(&mut stamp);
    u64::from_ne_bytes(stamp)
}

/// The id of the session, once there is one.
fn session_id(dialer: &Dialer) -> Option<&str> {
    dialer.welcome().map(|welcome| &*welcome.session)
}
