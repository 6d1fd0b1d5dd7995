//! The client's end of a connection through any sequence of inputs: an end is the end, early calls are
//! harmless, a deadline that was kept moves on, and only one poll is under way. What it sends is taken
//! from an `Outgoing`, which loses nothing.
//!
//! Input: one byte for the transports, the revision and whether it upgrades, then steps of a verb, a
//! length and that much text.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::dialer::{Input, Output};
use roomful_proto::engine::{Data, Dial, Dialer, Outgoing, Packet, Revision, Transport};
use roomful_proto::{Limits, Moment, Violation};

struct Driver {
    now: Moment,
    dialer: Dialer,
    outgoing: Outgoing,
    polls: bool,
    probes: bool,
    opened: bool,
    closed: bool,
}

impl Driver {
    fn drain(&mut self) -> usize {
        let mut count = 0;
        while let Some(output) = self.dialer.poll(self.now) {
            assert!(!self.closed, "{output:?} after the end");
            count += 1;
            self.act(output);
        }
        assert_eq!(self.closed, self.dialer.is_closed());
        assert_eq!(self.opened, self.dialer.welcome().is_some());
        count
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Get => {
                assert!(!self.polls, "two polls");
                assert_eq!(self.dialer.transport(), Transport::Polling);
                self.polls = true;
            }
            Output::OpenProbe => {
                assert!(!self.probes && self.opened);
                self.probes = true;
            }
            Output::Probe(packet) => {
                assert!(self.probes);
                assert!(matches!(packet, Packet::Ping(_) | Packet::Upgrade));
            }
            Output::DropProbe => assert!(std::mem::take(&mut self.probes)),
            Output::Upgraded => {
                assert!(std::mem::take(&mut self.probes) && !self.polls);
                assert_eq!(self.dialer.transport(), Transport::WebSocket);
            }
            Output::Open => {
                assert!(!self.opened);
                self.opened = true;
            }
            Output::Message(data) => {
                assert!(self.opened);
                if let Data::Text(text) = data {
                    assert!(std::str::from_utf8(&text).is_ok());
                }
            }
            Output::Send(packet) => {
                assert!(matches!(packet, Packet::Ping(_) | Packet::Pong(_) | Packet::Close));
                self.outgoing.push_packet(&packet);
            }
            Output::NextTransport => {
                assert!(!self.opened);
                self.polls = false;
            }
            Output::OpenWebSocket => assert!(!self.opened),
            Output::Broken(_) | Output::HangUp => {}
            Output::Closed(_) => {
                assert!(!self.probes);
                self.closed = true;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.dialer.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now);
            self.now = at;
            self.dialer.expire(at);
            self.drain();
            assert_ne!(self.dialer.deadline(), Some(at), "the deadline stays");
            self.write();
        }
        self.now = end;
    }

    /// What waits leaves, if it may.
    fn write(&mut self) {
        if !self.dialer.is_writable() {
            return;
        }
        let revision = self.dialer.revision();
        match self.dialer.transport() {
            Transport::Polling => {
                let max = self.dialer.welcome().and_then(|welcome| welcome.payload_bytes_max);
                if self.outgoing.take_body(revision, false, max).is_some() {
                    self.dialer.posting();
                    assert!(!self.dialer.is_writable());
                }
            }
            Transport::WebSocket => {
                let mut out = Vec::new();
                self.outgoing.take_frames(revision, false, None, 1 << 20, || [0; 4], &mut out);
                assert!(self.outgoing.is_empty());
            }
        }
    }

    fn step(&mut self, verb: u8, text: &[u8]) {
        let bytes = Bytes::copy_from_slice(text);
        // Whoever gives texts has checked them; bodies are checked here.
        let data = match std::str::from_utf8(text) {
            Ok(_) if verb & 0x80 == 0 => Data::Text(bytes.clone()),
            _ => Data::Binary(bytes.clone()),
        };
        let input = match verb & 0x0f {
            0 | 1 => {
                self.polls = false;
                Input::Answered(bytes)
            }
            2 => Input::Posted,
            3 => Input::RequestFailed,
            4 => Input::Opened,
            5 | 6 => Input::Frame(data),
            7 => Input::Gone { in_order: verb & 0x10 == 0 },
            8 => Input::ProbeOpened,
            9 => Input::Probe(data),
            10 => {
                self.probes = false;
                Input::ProbeGone
            }
            11 if verb & 0x10 != 0 => return self.dialer.abort(),
            11 => return self.dialer.close(self.now),
            12 => return self.dialer.fail(self.now, Violation::Payload),
            13 if verb & 0x10 != 0 => return self.dialer.alive(self.now),
            13 => return self.write(),
            _ => {
                let ms = text.iter().fold(0_u64, |ms, byte| ms << 8 | u64::from(*byte));
                return self.pass(Duration::from_millis(ms % 100_000));
            }
        };
        self.dialer.receive(self.now, input);
    }
}

/// Runs the target on one input.
pub fn dialer(data: &[u8]) {
    let [how, steps @ ..] = data else {
        return;
    };
    let mut steps = steps;
    let transports = match how & 3 {
        0 => vec![Transport::Polling],
        1 => vec![Transport::WebSocket],
        2 => vec![Transport::Polling, Transport::WebSocket],
        _ => vec![Transport::WebSocket, Transport::Polling],
    };
    let mut limits = Limits::default();
    limits.payload_packets_max = 10;
    let dial = Dial {
        transports,
        try_all: how & 8 != 0,
        upgrade: how & 16 == 0,
        revision: if how & 4 != 0 { Revision::V3 } else { Revision::V4 },
        limits: Arc::new(limits),
    };
    let mut driver = Driver {
        now: Moment::from_millis(1000),
        dialer: Dialer::new(dial),
        outgoing: Outgoing::new(),
        polls: false,
        probes: false,
        opened: false,
        closed: false,
    };
    driver.drain();
    while let [verb, len, rest @ ..] = steps {
        let (text, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        steps = rest;
        driver.step(*verb, text);
        driver.drain();
        if verb & 0x40 != 0 {
            driver.dialer.flushed();
            driver.drain();
        }
        let deadline = driver.dialer.deadline();
        assert_eq!(deadline.is_some(), driver.opened && !driver.closed);
        if deadline.is_some_and(|at| at > driver.now) {
            driver.dialer.expire(driver.now);
            assert_eq!(driver.drain(), 0, "an early call says something");
            assert_eq!(driver.dialer.deadline(), deadline);
        }
    }
}
