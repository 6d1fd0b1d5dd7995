//! What a session writes: what the manager has for the server, on the transport that carries it.

use std::task::{Context, Poll};

use roomful_proto::engine::{Packet, Transport};
use roomful_proto::{Moment, Violation};

use super::line::{Line, Place};
use super::{Session, session_id};
use crate::shared::Shared;

/// Bytes of pongs that may wait to be sent, with [`PONG_COST`] for each; above it the server is one that
/// pings and does not read. More than one round can bring, after which they are written.
const PONG_BYTES_MAX: usize = 1024 * 1024;
/// What a pong without data counts.
const PONG_COST: usize = 8;
/// Nothing is read while so many times `waiting_bytes_max` wait to be sent: what a user emits is refused
/// before that, so these are answers, and the server takes none of them.
const BACKLOG_FACTOR: usize = 2;

/// Whether the server takes so little that nothing more should be read of it.
pub(super) fn is_behind(shared: &Shared) -> bool {
    let max = shared.settings.manager.waiting_bytes_max.saturating_mul(BACKLOG_FACTOR);
    shared.look(|state| state.manager.outgoing().len() > max)
}

impl Session {
    /// Puts a packet of the session behind what waits.
    pub(super) fn send(&mut self, now: Moment, packet: &Packet, shared: &Shared) {
        if let Packet::Pong(data) = packet {
            self.pong_bytes = self.pong_bytes.saturating_add(data.len() + PONG_COST);
            if self.pong_bytes > PONG_BYTES_MAX {
                return self.fail(now, Violation::Pings);
            }
        }
        shared.look(|state| state.manager.outgoing().push_packet(packet));
    }

    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Moment, shared: &Shared) -> bool {
        if let Line::Open(probe) = &mut self.probe
            && let Poll::Ready(Err(e)) = probe.poll_write(cx)
        {
            self.probe = Line::None;
            self.line_gone(now, Place::Probe, false, Some(e.to_string().into()));
            return true;
        }
        match self.dialer.transport() {
            Transport::WebSocket => self.write_frames(cx, now, shared),
            Transport::Polling => self.write_body(shared),
        }
    }

    fn write_frames(&mut self, cx: &mut Context<'_>, now: Moment, shared: &Shared) -> bool {
        let (revision, base64) = (self.dialer.revision(), shared.settings.force_base64);
        let is_writable = self.dialer.is_writable();
        let Line::Open(carrier) = &mut self.carrier else {
            return false;
        };
        loop {
            let waits = shared.look(|state| {
                let outgoing = state.manager.outgoing();
                if is_writable {
                    carrier.fill(outgoing, revision, base64);
                }
                let waits = is_writable && !state.manager.outgoing().is_empty();
                state.writable = is_writable && carrier.is_flushed();
                waits
            });
            match carrier.poll_write(cx) {
                Poll::Ready(Ok(())) if waits => {}
                Poll::Ready(Ok(())) => break,
                Poll::Ready(Err(e)) => {
                    self.carrier = Line::None;
                    self.line_gone(now, Place::Carrier, false, Some(e.to_string().into()));
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

    fn write_body(&mut self, shared: &Shared) -> bool {
        let takes = self.dialer.is_writable() && !self.requests.is_posting();
        let base64 = shared.settings.force_base64;
        let max = self.dialer.welcome().and_then(|welcome| welcome.payload_bytes_max);
        let body = shared.look(|state| {
            state.writable = takes;
            let outgoing = state.manager.outgoing();
            if outgoing.is_empty() {
                self.dialer.flushed();
                self.pong_bytes = 0;
            }
            takes.then(|| outgoing.take_body(self.dialer.revision(), base64, max)).flatten()
        });
        let Some(body) = body else {
            return false;
        };
        self.dialer.posting();
        self.requests.post(body, session_id(&self.dialer), shared);
        true
    }
}
