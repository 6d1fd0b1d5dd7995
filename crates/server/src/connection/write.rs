//! To the streams: what waits in the outbox, on whichever transport carries the session.

use std::task::{Context, Poll};

use roomful_proto::Moment;
use roomful_proto::engine::Input;

use super::read::Source;
use super::{Carrier, Connection, Goodbye, Phase};
use crate::outbox;

impl Connection {
    /// Writes what waits; `true` when it cannot write now.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
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

    pub(super) fn flush_probe(&mut self, cx: &mut Context<'_>, now: Moment) {
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
}
