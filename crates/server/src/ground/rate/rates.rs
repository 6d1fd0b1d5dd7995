//! [`Rate`]: how many events may come in which time; and who keeps to it, without a timer.
//!
//! A bucket is one number, the time at which it will be full again: each event moves that on by the
//! time in which one token comes back, and one that would move it too far does not fit.

use std::time::Duration;

use roomful_proto::Moment;
use roomful_proto::socket::Slot;

/// How long a client that is held back may be left alone beyond its time: two ticks of the timer.
const PACE_GRAIN_US: u64 = 40_000;

/// How many events may come in which time: a token bucket. Default of all settings that take one: no
/// limit.
///
/// ```
/// use roomful::{ConnectionFlow, EventFlow, OneEvent, Rate, Server};
///
/// let flow = ConnectionFlow::new().rate(Rate::per_second(100).burst(500));
/// let io = Server::builder().connection_flow(flow).build();
/// let logins = Rate::new(5, std::time::Duration::from_secs(60)).disconnects();
/// io.event_flow(EventFlow::new().event("login", OneEvent::new().rate(logins)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a rate does nothing by itself"]
pub struct Rate {
    /// The time in which one token comes back, in microseconds.
    interval_us: u64,
    burst: u32,
    disconnects: bool,
}

impl Rate {
    /// So many events in any such time, and so many at once. At least one; the finest distinction is a
    /// million in a second.
    pub const fn new(events: u32, window: Duration) -> Self {
        let events = if events == 0 { 1 } else { events };
        // A window of thousands of years is as good as one of hundreds.
        let us = window.as_micros();
        let us = if us > (u64::MAX / 8) as u128 { u64::MAX / 8 } else { us as u64 };
        let interval_us = us / events as u64;
        let interval_us = if interval_us == 0 { 1 } else { interval_us };
        Self { interval_us, burst: events, disconnects: false }
    }

    /// So many events a second, and so many at once.
    pub const fn per_second(events: u32) -> Self {
        Self::new(events, Duration::from_secs(1))
    }

    /// Sets how many may come at once when none came for long. At least one.
    pub const fn burst(mut self, events: u32) -> Self {
        self.burst = if events == 0 { 1 } else { events };
        self
    }

    /// Whoever comes faster is disconnected. Without this its event is refused: it is dropped, and a
    /// client that asked for an answer gets the error `rate_limited`.
    pub const fn disconnects(mut self) -> Self {
        self.disconnects = true;
        self
    }

    pub(crate) const fn is_strict(&self) -> bool {
        self.disconnects
    }

    /// How far ahead of now the bucket may be full.
    const fn tolerance_us(&self) -> u64 {
        self.interval_us.saturating_mul(self.burst as u64 - 1)
    }
}

/// What is left of a [`Rate`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at_us: u64,
}

impl Bucket {
    /// Takes a token of a rate; the moment of the next one if there is none.
    pub(crate) fn take_of(&mut self, rate: &Rate, now: Moment) -> Result<(), Moment> {
        self.take(now, rate.interval_us, rate.tolerance_us())
    }

    /// Puts a token back.
    pub(crate) const fn give_back(&mut self, rate: &Rate) {
        self.full_at_us = self.full_at_us.saturating_sub(rate.interval_us);
    }

    /// Whether all tokens are back.
    pub(crate) const fn is_full(&self, now: Moment) -> bool {
        self.full_at_us <= now.as_millis().saturating_mul(1_000)
    }

    /// Takes a token; the moment of the next one if there is none.
    fn take(&mut self, now: Moment, interval_us: u64, tolerance_us: u64) -> Result<(), Moment> {
        let now_us = now.as_millis().saturating_mul(1_000);
        let full_at_us = self.full_at_us.max(now_us);
        if full_at_us - now_us > tolerance_us {
            let next_us = full_at_us - tolerance_us;
            return Err(Moment::from_millis(next_us.div_ceil(1_000)));
        }
        self.full_at_us = full_at_us.saturating_add(interval_us);
        Ok(())
    }
}

/// How fast the events of one connection may come.
pub(crate) struct Rates {
    rate: Option<(Rate, Bucket)>,
    pace: Option<(Rate, Bucket)>,
    /// Until then nothing is handled.
    held_until: Option<Moment>,
    /// Its connection is being closed.
    closing: bool,
}

/// What is to become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Handled,
    Refused,
    /// It was one too many.
    Fatal,
    /// It came after that.
    Ignored,
}

impl Rates {
    /// `None` where nothing is limited.
    pub(crate) fn new(rate: Option<Rate>, pace: Option<Rate>) -> Option<Box<Self>> {
        let with_bucket = |rate| (rate, Bucket::default());
        (rate.is_some() || pace.is_some()).then(|| {
            let (rate, pace) = (rate.map(with_bucket), pace.map(with_bucket));
            Box::new(Self { rate, pace, held_until: None, closing: false })
        })
    }

    /// An event has come.
    pub(crate) fn admit(&mut self, now: Moment) -> Fate {
        if self.closing {
            return Fate::Ignored;
        }
        match &mut self.rate {
            None => Fate::Handled,
            Some((rate, bucket)) => {
                if rate.admits(bucket, now) {
                    return Fate::Handled;
                }
                self.closing = rate.disconnects;
                if self.closing { Fate::Fatal } else { Fate::Refused }
            }
        }
    }

    /// Whether an event may be handled now.
    pub(crate) fn keeps_pace(&mut self, now: Moment) -> bool {
        let Some((pace, bucket)) = &mut self.pace else {
            return true;
        };
        let tolerance_us = pace.tolerance_us().max(PACE_GRAIN_US);
        self.held_until = bucket.take(now, pace.interval_us, tolerance_us).err();
        self.held_until.is_none()
    }

    /// Time has passed. Whoever may go on is not held back any more, even if there is no room yet.
    pub(crate) fn wake(&mut self, now: Moment) {
        self.held_until = self.held_until.filter(|until| *until > now);
    }

    /// When the next event may be handled, if one waits for that.
    pub(crate) const fn held_until(&self) -> Option<Moment> {
        self.held_until
    }
}

impl Rate {
    fn admits(&self, bucket: &mut Bucket, now: Moment) -> bool {
        bucket.take(now, self.interval_us, self.tolerance_us()).is_ok()
    }
}

/// The buckets of single events of the sockets of one connection. Nothing is allocated before the first
/// such event.
#[derive(Default)]
pub(crate) struct Buckets {
    #[allow(clippy::box_collection, reason = "one word where there is none, as nearly everywhere")]
    list: Option<Box<Vec<(Slot, u32, Bucket)>>>,
}

impl Buckets {
    /// Whether an event of a socket fits into a rate of its namespace, of that number.
    pub(crate) fn admit(&mut self, now: Moment, slot: Slot, number: u32, rate: &Rate) -> bool {
        let list = self.list.get_or_insert_default();
        if let Some((.., bucket)) = list.iter_mut().find(|(s, n, _)| (*s, *n) == (slot, number)) {
            return rate.admits(bucket, now);
        }
        let mut bucket = Bucket::default();
        let admits = rate.admits(&mut bucket, now);
        list.push((slot, number, bucket));
        admits
    }

    /// Its socket has left.
    pub(crate) fn remove(&mut self, slot: Slot) {
        if let Some(list) = &mut self.list {
            list.retain(|(s, ..)| *s != slot);
            if list.is_empty() {
                self.list = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn a_burst_fits_and_then_what_comes_back() {
        let rate = Rate::per_second(10).burst(3);
        let mut bucket = Bucket::default();
        let mut admits = |ms| rate.admits(&mut bucket, at(ms));
        assert_eq!([1_000; 4].map(&mut admits), [true, true, true, false]);
        assert_eq!([1_099, 1_100, 1_100].map(&mut admits), [false, true, false]);
        assert_eq!([60_000; 4].map(&mut admits), [true, true, true, false], "no more than a burst");
    }

    #[test]
    fn odd_rates_are_at_least_something() {
        for rate in [
            Rate::new(0, Duration::ZERO),
            Rate::new(u32::MAX, Duration::from_millis(1)).burst(0),
            Rate::new(1, Duration::MAX).burst(u32::MAX),
        ] {
            let mut bucket = Bucket::default();
            assert!(rate.admits(&mut bucket, at(u64::MAX)), "{rate:?}");
            assert!(rate.admits(&mut Bucket::default(), at(0)), "{rate:?}");
        }
    }

    #[test]
    fn one_who_is_too_fast_is_refused_or_disconnected_once() {
        let mut rates = Rates::new(Some(Rate::per_second(1)), None).unwrap();
        assert_eq!(
            [0, 0, 1_000].map(|ms| rates.admit(at(ms))),
            [Fate::Handled, Fate::Refused, Fate::Handled]
        );
        let mut rates = Rates::new(Some(Rate::per_second(1).disconnects()), None).unwrap();
        assert_eq!(
            [0, 0, 0, 9_000].map(|ms| rates.admit(at(ms))),
            [Fate::Handled, Fate::Fatal, Fate::Ignored, Fate::Ignored]
        );
        assert!(Rates::new(None, None).is_none());
    }

    #[test]
    fn pace_says_when_it_goes_on() {
        let mut rates = Rates::new(None, Some(Rate::per_second(10).burst(2))).unwrap();
        assert_eq!([0, 0, 0].map(|ms| rates.keeps_pace(at(ms))), [true, true, false]);
        assert_eq!(rates.held_until(), Some(at(100)));
        rates.wake(at(99));
        assert!(!rates.keeps_pace(at(99)));
        assert_eq!(rates.held_until(), Some(at(100)));
        rates.wake(at(100));
        assert_eq!(rates.held_until(), None);
        assert!(rates.keeps_pace(at(100)));
        assert_eq!(rates.held_until(), None);
    }
}
