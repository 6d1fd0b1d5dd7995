//! What a session writes: what the manager has for the server, on the transport that carries it.

use std::task::{Context, Poll};

use roomful_proto::engine::{Packet, Transport};
use roomful_proto::{Moment, Violation};

use super::line::{Line, Place};
use super::{Session, session_id};
use crate::driver::proof::tell;
use crate::shared::Shared;

/// Bytes of pongs that may wait to be sent, with [`PONG_COST`] for each; above it the server is one that
/// pings and does not read. More than one round can bring, after which they are written.
const PONG_BYTES_MAX: usize = 1024 * 1024;
/// What a pong without data counts.
const PONG_COST: usize = 8;

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
        let asked = shared.look(|state| {
            state.writable = is_writable;
            if state.manager.outgoing().is_empty() {
                self.dialer.flushed();
                self.pong_bytes = 0;
            }
            let asks = is_writable && self.proof.is_done();
            if asks { state.take_askers() } else { Vec::new() }
        });
        if asked.is_empty() {
            return false;
        }
        carrier.ping(&self.proof.begin(asked));
        true
    }

    fn write_body(&mut self, shared: &Shared) -> bool {
        let takes = self.dialer.is_writable() && !self.requests.is_posting();
        let base64 = shared.settings.force_base64;
        let max = self.dialer.welcome().and_then(|welcome| welcome.payload_bytes_max);
        let (body, arrived) = shared.look(|state| {
            state.writable = takes;
            let outgoing = state.manager.outgoing();
            if outgoing.is_empty() {
                self.dialer.flushed();
                self.pong_bytes = 0;
            }
            if !takes {
                return (None, Vec::new());
            }
            match outgoing.take_body(self.dialer.revision(), base64, max) {
                None => (None, state.take_askers()),
                body => (body, Vec::new()),
            }
        });
        tell(arrived);
        let Some(body) = body else {
            return false;
        };
        self.dialer.posting();
        self.requests.post(body, session_id(&self.dialer), shared);
        true
    }
}
