//! Namespaces through any sequence of messages and decisions: slots keep their limit, nothing comes
//! from a namespace that was not joined, and an early call is harmless.
//!
//! Input: steps of a verb, a length and that much text. The top bit of the first verb chooses the
//! revision.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::{Data, Revision};
use roomful_proto::socket::{Arrived, Mux, Slot};
use roomful_proto::{Limits, Moment, Violation};

const NAMESPACES_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    Asking,
    Joined,
    Left,
}

struct Driver {
    now: Moment,
    mux: Mux,
    limits: Arc<Limits>,
    /// What should be at each slot.
    seats: [Option<(Slot, Seat)>; NAMESPACES_MAX],
}

impl Driver {
    fn seat(&mut self, slot: Slot) -> &mut Seat {
        &mut self.seats[slot.index()].as_mut().unwrap().1
    }

    fn drain(&mut self) {
        while let Some(arrived) = self.mux.poll() {
            self.arrived(arrived);
        }
    }

    fn arrived(&mut self, arrived: Arrived) {
        match arrived {
            Arrived::Connect { slot, auth } => {
                assert!(auth.is_none_or(|auth| auth.trim_ascii().starts_with(b"{")));
                let taken = self.seats[slot.index()].replace((slot, Seat::Asking));
                assert!(taken.is_none_or(|(_, seat)| seat == Seat::Left));
            }
            Arrived::AuthTooLarge { slot } => {
                // It has left with that, and its place is free.
                let taken = self.seats[slot.index()].replace((slot, Seat::Left));
                assert!(taken.is_none_or(|(_, seat)| seat == Seat::Left));
            }
            Arrived::Crowded { .. } => {
                let taken =
                    |seat: &Option<_>| matches!(seat, Some((_, seat)) if *seat != Seat::Left);
                assert!(self.seats.iter().all(taken));
            }
            Arrived::Event { slot, event } => {
                assert_eq!(*self.seat(slot), Seat::Joined);
                assert!(event.args.attachments().len() <= self.limits.attachments_max as usize);
                let attached: usize = event.args.attachments().iter().map(Bytes::len).sum();
                assert!(attached <= self.limits.payload_bytes_max);
            }
            Arrived::Ack { slot, .. } => assert_eq!(*self.seat(slot), Seat::Joined),
            Arrived::Disconnect { slot } => {
                assert_ne!(*self.seat(slot), Seat::Left);
                *self.seat(slot) = Seat::Left;
            }
        }
    }

    fn step(&mut self, verb: u8, text: &[u8]) -> Result<(), Violation> {
        let bytes = Bytes::copy_from_slice(text);
        let chosen = self.seats[usize::from(verb >> 4) % NAMESPACES_MAX];
        match (verb & 0x0f, chosen) {
            (0..8, _) if std::str::from_utf8(text).is_ok() => {
                self.mux.receive(self.now, Data::Text(bytes))?;
            }
            (8, _) => self.mux.receive(self.now, Data::Binary(bytes))?,
            (9 | 10, Some((slot, seat))) => {
                let stood = self.mux.accept(slot);
                assert_eq!(stood, seat == Seat::Asking);
                if stood {
                    *self.seat(slot) = Seat::Joined;
                }
            }
            (11, Some((slot, Seat::Asking))) => {
                self.mux.refuse(slot);
                *self.seat(slot) = Seat::Left;
            }
            (12, Some((slot, Seat::Joined))) => {
                self.mux.leave(self.now, slot);
                *self.seat(slot) = Seat::Left;
            }
            (13.., _) => {
                let ms = text.iter().fold(0_u64, |ms, byte| ms << 8 | u64::from(*byte));
                self.now = self.now + Duration::from_millis(ms % 100_000);
                if self.mux.deadline().is_some_and(|at| at <= self.now) {
                    let late = self.mux.expire(self.now);
                    assert!(late.is_err(), "a deadline that means nothing");
                    return late;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Runs the target on one input.
pub fn mux(data: &[u8]) {
    let mut limits = Limits::default();
    limits.namespaces_max = NAMESPACES_MAX;
    limits.held_events_max = 3;
    limits.payload_bytes_max = 500;
    let limits = Arc::new(limits);
    let is_v3 = data.first().is_some_and(|verb| verb & 0x80 != 0);
    let revision = if is_v3 { Revision::V3 } else { Revision::V4 };
    let now = Moment::from_millis(1000);
    let mut driver = Driver {
        now,
        mux: Mux::new(now + limits.connect_timeout, revision, Arc::clone(&limits)),
        limits,
        seats: [None; NAMESPACES_MAX],
    };
    if is_v3 {
        let arrived = driver.mux.join_main();
        driver.arrived(arrived);
    }
    let mut steps = data;
    while let [verb, len, rest @ ..] = steps {
        let (text, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        steps = rest;
        if driver.step(*verb, text).is_err() {
            // The connection is to be closed.
            return;
        }
        driver.drain();
        let deadline = driver.mux.deadline();
        let joined = |seat: &Option<_>| matches!(seat, Some((_, Seat::Joined)));
        assert!(deadline.is_some() || driver.seats.iter().any(joined));
        if deadline.is_none_or(|at| at > driver.now) {
            assert_eq!(driver.mux.expire(driver.now), Ok(()));
            assert_eq!(driver.mux.deadline(), deadline);
        }
    }
}
