//! From the streams: what arrives, to the session.

use std::task::{Context, Poll};

use roomful_proto::engine::Input;
use roomful_proto::{Moment, Parcel, Reason};

use super::{Carrier, Connection, Goodbye, Peer, Phase};
use crate::ground::farewell::Description;
use crate::transport::scratch::Scratch;
use crate::transport::stream::{Broken, Received, Stream};

/// Reads in one turn. The second mostly finds nothing, and asks to be woken.
const READS_PER_TURN: usize = 2;

/// Which stream something was read from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Carrier,
    Probe,
}

impl Connection {
    /// Reads what is there and works it off; `true` when there may be more.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Moment, source: Source) -> bool {
        for _ in 0..READS_PER_TURN {
            // What a probe says is bounded, and only its last word lets a client that has stopped polling
            // take what waits.
            if source == Source::Carrier && self.phase == Phase::Open {
                self.pressure = self.pressure();
                if self.pressure.is_on() {
                    return false;
                }
            }
            let Some(stream) = self.stream(source) else {
                return false;
            };
            let mut scratch = Scratch::take();
            let Poll::Ready(read) = stream.poll_read(cx, &mut scratch) else {
                return false;
            };
            match read {
                Ok(len @ 1..) => {
                    self.feed(cx, now, source, &mut scratch[..len]);
                    match self.stream(source) {
                        // Its pong can only come behind that.
                        Some(stream) if stream.is_within_packet() => self.session.alive(now),
                        _ => self.session.heard(now),
                    }
                }
                end => {
                    if source == Source::Carrier {
                        self.peer = Peer::Gone;
                    }
                    let how = end.err().map(|error| Description::Io(error.kind()));
                    self.stream_ended(now, source, how.unwrap_or(Description::StreamEnded));
                    self.drive(cx, now);
                    return false;
                }
            }
        }
        true
    }

    fn stream(&mut self, source: Source) -> Option<&mut Stream> {
        match (source, &mut self.carrier) {
            _ if self.phase == Phase::Over => None,
            (Source::Probe, _) => self.probe.as_mut().filter(|p| !p.ending).map(|p| &mut p.stream),
            (Source::Carrier, Carrier::Stream(stream)) => Some(stream),
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
        let bytes_max = self.core.limits.payload_bytes_max;
        let mut blocked = false;
        loop {
            if source == Source::Probe && self.probe.is_none() {
                // It has taken over in the middle of what was read.
                source = Source::Carrier;
            }
            let Some(stream) = self.stream(source) else {
                return;
            };
            match stream.decode(&mut input, bytes_max) {
                Ok(Some(received)) => self.received(cx, now, source, received),
                Ok(None) => return,
                Err(broken) => {
                    self.stream_broken(cx, now, source, *broken);
                    return;
                }
            }
            self.drive(cx, now);
            if source == Source::Carrier && self.phase == Phase::Open {
                // What was read may be a hundred times as large as it came, and so may its answers.
                blocked = blocked || self.is_backed_up() && self.flush(cx, now);
            }
        }
    }

    fn received(&mut self, cx: &mut Context<'_>, now: Moment, source: Source, received: Received) {
        let data = match received {
            Received::Packet(data) => data,
            Received::Ping(bytes) => {
                if source == Source::Carrier {
                    self.pong = Some(Parcel::pong(&bytes));
                }
                return;
            }
            Received::Pong => return,
            Received::Goodbye(how) => return self.peer_closed(now, source, how),
        };
        match source {
            Source::Carrier => {
                if let Some(message) = self.session.frame(now, data) {
                    self.message(cx, now, message);
                }
            }
            Source::Probe => self.session.receive(now, Input::Probe(data)),
        }
    }

    fn peer_closed(&mut self, now: Moment, source: Source, how: Description) {
        if source == Source::Carrier && self.phase != Phase::Open {
            // The answer to our own close, or the peer's own, and then ours may not be written yet.
            self.phase = match self.phase {
                Phase::Lingering(until, Goodbye::Awaited | Goodbye::Answered) => {
                    Phase::Lingering(until, Goodbye::Answered)
                }
                _ => Phase::Over,
            };
        } else {
            if source == Source::Carrier {
                self.peer = Peer::SaidGoodbye;
            }
            self.stream_ended(now, source, how);
        }
    }

    pub(super) fn stream_ended(&mut self, now: Moment, source: Source, how: Description) {
        match source {
            Source::Probe => {
                self.probe = None;
                self.session.receive(now, Input::ProbeGone);
            }
            Source::Carrier if self.phase == Phase::Open => {
                let in_order = how.is_in_order();
                self.note(how);
                self.session.receive(now, Input::Gone { in_order });
            }
            Source::Carrier => self.phase = Phase::Over,
        }
    }

    fn stream_broken(&mut self, cx: &mut Context<'_>, now: Moment, source: Source, broken: Broken) {
        let Broken { how, goodbye, counter } = broken;
        let metrics = &self.core.metrics;
        metrics.violations.add();
        counter.into_iter().for_each(|counter| counter(metrics).add());
        match source {
            Source::Probe => {
                self.stream_ended(now, source, how);
                self.drive(cx, now);
            }
            Source::Carrier if self.phase == Phase::Open => {
                self.note(how);
                self.session.abort(Reason::TransportError);
                self.drive(cx, now);
                self.linger(now, goodbye, Goodbye::Deaf);
            }
            Source::Carrier => self.phase = Phase::Over,
        }
    }
}
