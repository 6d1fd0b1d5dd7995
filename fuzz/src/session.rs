//! A session through any sequence of inputs: an end is the end, early calls are harmless, and a
//! deadline that was kept moves on.
//!
//! Input: one byte for the transport and the revision, then steps of a verb, a length and that much text.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::{Data, Input, Output, Packet, Revision, Session, Transport};
use roomful_proto::{Limits, Moment, Reason, Violation};

struct Driver {
    now: Moment,
    session: Session,
    is_v3: bool,
    closed: bool,
}

impl Driver {
    fn drain(&mut self) -> usize {
        let mut count = 0;
        while let Some(output) = self.session.poll(self.now) {
            assert!(!self.closed, "{output:?} after the end");
            count += 1;
            match output {
                Output::Closed(_) => self.closed = true,
                Output::Message(Data::Text(text)) => assert!(std::str::from_utf8(&text).is_ok()),
                Output::Upgraded => assert_eq!(self.session.transport(), Transport::WebSocket),
                Output::Send(packet) => {
                    let beats = match packet {
                        Packet::Ping(_) => !self.is_v3,
                        Packet::Pong(_) => self.is_v3,
                        _ => false,
                    };
                    assert!(beats || matches!(packet, Packet::Noop | Packet::Close));
                }
                Output::Probe(packet) => assert_eq!(packet, Packet::Pong("probe".into())),
                _ => {}
            }
        }
        assert_eq!(self.closed, self.session.is_closed());
        count
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now);
            self.now = at;
            self.session.expire(at);
            self.drain();
            assert_ne!(self.session.deadline(), Some(at), "the deadline stays");
        }
        self.now = end;
    }

    fn step(&mut self, verb: u8, text: &[u8]) {
        let bytes = Bytes::copy_from_slice(text);
        // Whoever gives texts has checked them; bodies are checked here.
        let data = match std::str::from_utf8(text) {
            Ok(_) if verb & 0x80 == 0 => Data::Text(bytes.clone()),
            _ => Data::Binary(bytes.clone()),
        };
        let input = match verb & 0x0f {
            0 => Input::Frame(data),
            1 => Input::Gone { in_order: verb & 0x10 == 0 },
            2 => Input::Poll,
            3 => Input::PollAnswered,
            4 => Input::PollGone,
            5 | 6 => Input::Body(bytes),
            7 => Input::BodyBroken,
            8 => Input::ProbeOpened,
            9 | 10 => Input::Probe(data),
            11 => Input::ProbeGone,
            12 if verb & 0x10 != 0 => return self.session.abort(Reason::ServerShuttingDown),
            12 => return self.session.close(self.now, Reason::ForcedServerClose),
            13 if verb & 0x10 != 0 => return self.session.hold(verb & 0x20 != 0),
            13 => return self.session.fail(self.now, Violation::Payload),
            _ => {
                let ms = text.iter().fold(0_u64, |ms, byte| ms << 8 | u64::from(*byte));
                return self.pass(Duration::from_millis(ms % 100_000));
            }
        };
        self.session.receive(self.now, input);
    }
}

/// Runs the target on one input.
pub fn session(data: &[u8]) {
    let [transport, steps @ ..] = data else {
        return;
    };
    let mut steps = steps;
    let is_v3 = transport & 2 != 0;
    let revision = if is_v3 { Revision::V3 } else { Revision::V4 };
    let transport = match transport & 1 {
        0 => Transport::Polling,
        _ => Transport::WebSocket,
    };
    let mut limits = Limits::default();
    limits.payload_packets_max = 10;
    let now = Moment::from_millis(1000);
    let session = Session::new(now, transport, revision, Arc::new(limits));
    let mut driver = Driver { now, session, is_v3, closed: false };
    while let [verb, len, rest @ ..] = steps {
        let (text, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        steps = rest;
        driver.step(*verb, text);
        driver.drain();
        if verb & 0x40 != 0 {
            driver.session.flushed();
            driver.drain();
        }
        let deadline = driver.session.deadline();
        assert_eq!(deadline.is_none(), driver.closed);
        if deadline.is_some_and(|at| at > driver.now) {
            driver.session.expire(driver.now);
            assert_eq!(driver.drain(), 0, "an early call says something");
            assert_eq!(driver.session.deadline(), deadline);
        }
    }
}
