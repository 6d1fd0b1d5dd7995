//! The client's half of Socket.IO through any sequence of a user's calls, a server's messages and a network's
//! ends: each who waits for an ack is told exactly once, nothing comes of a socket that is not connected, what
//! waits is bounded, and a deadline that was kept moves on.
//!
//! Input: steps of a verb, a length and that much text. The top bit of the first verb chooses the revision.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::{Data, Revision};
use roomful_proto::socket::Manager;
use roomful_proto::socket::manager::{
    Ask, Attempt, Emission, Frames, Key, ManagerSettings, Output, Overflow, Writable,
};
use roomful_proto::{AckId, Answer, Args, DisconnectReason, Letter, Limits, Moment};

const NAMES: [&str; 3] = ["/", "/a", "/b"];
const WAITING_BYTES_MAX: usize = 4_000;

struct Driver {
    now: Moment,
    manager: Manager<u32>,
    revision: Revision,
    keys: [Key; NAMES.len()],
    connected: [bool; NAMES.len()],
    dialing: bool,
    open: bool,
    asks: Vec<Attempt>,
    next: u32,
    waiting: BTreeSet<u32>,
}

impl Driver {
    fn place(&self, key: Key) -> usize {
        self.keys.iter().position(|own| *own == key).expect("a key that was given")
    }

    fn drain(&mut self) {
        while let Some(output) = self.manager.poll() {
            match output {
                Output::Dial { .. } => {
                    assert!(!self.dialing && !self.open, "one connection at a time");
                    self.dialing = true;
                }
                Output::HangUp => self.closed(DisconnectReason::ForcedClose),
                Output::Opened { .. } => assert!(self.open),
                Output::Waiting { until, .. } => assert!(until >= self.now && !self.open),
                Output::GaveUp => assert!(!self.open && !self.dialing),
                Output::Authorize(attempt) => self.asks.push(attempt),
                Output::Connected { attempt, .. } => {
                    let place = self.place(attempt.key());
                    assert!(!std::mem::replace(&mut self.connected[place], true));
                }
                Output::Event { attempt, .. } => {
                    assert!(self.connected[self.place(attempt.key())], "an event of nobody");
                }
                Output::Disconnected { key, .. } => {
                    let place = self.place(key);
                    assert!(std::mem::replace(&mut self.connected[place], false));
                }
                Output::Refused { key, .. } => assert!(!self.connected[self.place(key)]),
                Output::NotAnswered(_) => {}
                Output::Ack { waiter, .. } => {
                    assert!(self.waiting.remove(&waiter), "told twice");
                }
            }
        }
    }

    fn closed(&mut self, reason: DisconnectReason) {
        (self.dialing, self.open) = (false, false);
        self.asks.clear();
        self.manager.closed(self.now, reason);
    }

    fn emit(&mut self, key: Key, verb: u8, text: &str) {
        self.next += 1;
        let id = AckId::new(u64::from(self.next) * 2).expect("a small number");
        let asks = verb & 0x40 != 0;
        let letter = Letter::event("/", asks.then_some(id), "e", text).expect("a text is JSON");
        let ask = asks.then_some(Ask {
            id,
            waiter: self.next,
            timeout: (verb & 0x80 != 0).then_some(Duration::from_millis(text.len() as u64)),
        });
        let volatile = (verb & 0x20 != 0 && !asks).then_some(Writable(self.open));
        let frames = Frames::new(letter, None);
        let emission = Emission { frames, ask, volatile, compress: true };
        if self.manager.emit(self.now, key, emission).is_ok() && asks {
            self.waiting.insert(self.next);
        }
    }

    fn retry(&mut self, key: Key, text: &str) {
        self.next += 1;
        let args = Args::new(text).expect("a text is JSON");
        let waiter = Some(self.next);
        if self.manager.emit_retrying(self.now, key, "again", args, waiter).is_ok() {
            self.waiting.insert(self.next);
        }
    }

    fn receive(&mut self, data: Data) {
        if self.open && self.manager.receive(self.now, data).is_err() {
            self.drain();
            self.closed(DisconnectReason::ParseError);
        }
    }

    fn step(&mut self, verb: u8, text: &[u8]) {
        let bytes = Bytes::copy_from_slice(text);
        let place = usize::from(verb >> 4) % NAMES.len();
        let key = self.keys[place];
        let is_text = std::str::from_utf8(text).ok();
        match verb & 0x0f {
            0..=3 if is_text.is_some() => self.receive(Data::Text(bytes)),
            0..=3 => self.receive(Data::Binary(bytes)),
            4 => self.manager.connect(self.now, key),
            5 => self.manager.disconnect(key),
            6 if self.dialing => {
                (self.dialing, self.open) = (false, true);
                self.manager.opened(self.now, self.revision, "session");
            }
            7 if self.dialing || self.open => self.closed(DisconnectReason::TransportClose),
            8 => {
                for attempt in std::mem::take(&mut self.asks) {
                    self.manager.authorize(self.now, attempt, Some(b"{\"a\":1}"));
                }
            }
            9 | 10 => self.emit(key, verb, is_text.unwrap_or_default()),
            11 => self.retry(key, is_text.unwrap_or_default()),
            12 => {
                self.manager.clear_buffer(key);
            }
            13 => {
                // What the transport takes.
                let mut out = Vec::new();
                let mask = || [0; 4];
                let outgoing = self.manager.outgoing();
                outgoing.take_frames(self.revision, false, None, 64, mask, &mut out);
            }
            14 if verb & 0x10 != 0 => {
                let id = AckId::new(u64::from(text.first().copied().unwrap_or(0)));
                // Of an attempt that may be long over.
                if let (Some(id), Some(attempt)) = (id, self.asks.first().copied()) {
                    let answer = Answer::new(id, &()).expect("nothing is JSON");
                    self.manager.answer(attempt, answer);
                }
            }
            _ => {
                let ms = text.iter().fold(0_u64, |ms, byte| ms << 8 | u64::from(*byte));
                self.now = self.now + Duration::from_millis(ms % 100_000);
                if self.manager.expire(self.now).is_err() {
                    self.drain();
                    self.closed(DisconnectReason::ParseError);
                }
            }
        }
    }
}

/// Runs the target on one input.
pub fn manager(data: &[u8]) {
    let mut limits = Limits::client();
    limits.payload_bytes_max = 500;
    limits.held_bytes_max = 500;
    let mut settings = ManagerSettings::default();
    settings.limits = Arc::new(limits);
    settings.waiting_bytes_max = WAITING_BYTES_MAX;
    settings.overflow = match data.get(1) {
        Some(len) if len % 2 == 1 => Overflow::DropOldest,
        _ => Overflow::Refuse,
    };
    settings.strays_max = 3;
    settings.acks_max = 8;
    let is_v3 = data.first().is_some_and(|verb| verb & 0x80 != 0);
    let mut manager = Manager::new(Arc::new(settings), None, 1);
    let keys = NAMES.map(|name| manager.socket(name));
    let mut driver = Driver {
        now: Moment::from_millis(1_000),
        manager,
        revision: if is_v3 { Revision::V3 } else { Revision::V4 },
        keys,
        connected: [false; NAMES.len()],
        dialing: false,
        open: false,
        asks: Vec::new(),
        next: 0,
        waiting: BTreeSet::new(),
    };
    let mut steps = data;
    while let [verb, len, rest @ ..] = steps {
        let (text, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        steps = rest;
        driver.step(*verb, text);
        driver.drain();
        for (place, key) in driver.keys.into_iter().enumerate() {
            assert_eq!(driver.manager.is_joined(key), driver.connected[place]);
        }
        // One event more than the bound, and packets of the session itself.
        assert!(driver.manager.waiting_bytes() <= WAITING_BYTES_MAX + 4_000);
        if let Some(at) = driver.manager.deadline().filter(|at| *at <= driver.now) {
            let late = driver.manager.expire(driver.now).is_err();
            driver.drain();
            if late {
                driver.closed(DisconnectReason::ParseError);
                driver.drain();
            }
            assert_ne!(driver.manager.deadline(), Some(at), "the deadline stays");
        }
    }
    driver.manager.end();
    driver.drain();
    assert!(driver.waiting.is_empty(), "never told: {:?}", driver.waiting);
}
