//! [`Backoff`]: how long a client waits before it tries to connect again.

use std::time::Duration;

/// How a client reconnects, with the defaults of the official client but for
/// [`steady_after`](Self::steady_after).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reconnection {
    /// Attempts after a connection was lost, or could not be made, until the client gives up; `None` for
    /// no bound. With 0 it never reconnects. Default `None`.
    pub attempts_max: Option<u32>,
    /// The delay before the first attempt; it doubles with each. Default 1 s.
    pub delay: Duration,
    /// What a delay is at most. Default 5 s.
    pub delay_max: Duration,
    /// By how much of itself a delay is changed at random, from 0 to 1. Default 0.5.
    pub jitter: f64,
    /// How long a connection must hold before the delays begin anew. Default 10 s, other than in the
    /// official client, where each connection begins them anew, as zero does here: then a server that
    /// accepts its clients and loses them at once is called again by all of them after the shortest
    /// delay, for as long as that lasts. The attempts that `attempts_max` bounds are counted anew with
    /// each connection in any case.
    pub steady_after: Duration,
}

impl Default for Reconnection {
    fn default() -> Self {
        Self {
            attempts_max: None,
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(5),
            jitter: 0.5,
            steady_after: Duration::from_secs(10),
        }
    }
}

impl Reconnection {
    /// Attempts at equal distances: the delay never grows, and has no jitter.
    ///
    /// ```
    /// # use roomful_proto::socket::Reconnection;
    /// # use std::time::Duration;
    /// let five_times = Reconnection::every(Duration::from_secs(1)).attempts(5);
    /// ```
    #[must_use]
    pub fn every(delay: Duration) -> Self {
        Self { delay, delay_max: delay, jitter: 0.0, ..Self::default() }
    }

    /// Never reconnects.
    #[must_use]
    pub fn never() -> Self {
        Self { attempts_max: Some(0), ..Self::default() }
    }

    /// The same, but the client gives up after so many attempts.
    #[must_use]
    pub const fn attempts(mut self, attempts_max: u32) -> Self {
        self.attempts_max = Some(attempts_max);
        self
    }
}

/// The delays of one series of attempts, by the formula of the official client.
#[derive(Debug)]
pub(super) struct Backoff {
    attempts: u32,
    /// How often the next delay is doubled: more often than there were attempts, where connections were
    /// opened meanwhile that did not hold.
    doublings: u32,
    random: u64,
}

/// A delay never takes more doublings: the factor still fits a float exactly.
const DOUBLINGS_MAX: u32 = 52;

impl Backoff {
    /// `seed` is what the jitter is made of; it must differ from client to client.
    pub(super) const fn new(seed: u64) -> Self {
        Self { attempts: 0, doublings: 0, random: seed }
    }

    /// Delays that were given since a connection was [`opened`](Self::opened).
    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// A connection is open: attempts are counted anew. Whether it holds is not known yet.
    pub(super) const fn opened(&mut self) {
        self.attempts = 0;
    }

    /// A connection has ended that was open for that long.
    pub(super) fn lost(&mut self, after: Duration, reconnection: &Reconnection) {
        if after >= reconnection.steady_after {
            self.reset();
        }
    }

    /// The series is over.
    pub(super) const fn reset(&mut self) {
        (self.attempts, self.doublings) = (0, 0);
    }

    /// The delay before the next attempt.
    pub(super) fn next(&mut self, reconnection: &Reconnection) -> Duration {
        let mut ms = reconnection.delay.as_secs_f64() * 1000.0 * (1_u64 << self.doublings) as f64;
        self.attempts = self.attempts.saturating_add(1);
        self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
        let jitter = reconnection.jitter.clamp(0.0, 1.0);
        if jitter > 0.0 {
            let random = self.random();
            let deviation = (random * jitter * ms).floor();
            // The first digit behind the point says in which direction.
            let shorter = (random * 10.0).floor() % 2.0 == 0.0;
            ms += if shorter { -deviation } else { deviation };
        }
        let ms = ms.min(reconnection.delay_max.as_secs_f64() * 1000.0);
        // A float that is too large, or none, becomes the nearest number.
        Duration::from_millis(ms as u64)
    }

    /// A number from 0 up to 1. Nothing secret depends on it, so a small generator is enough (splitmix64).
    const fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(reconnection: &Reconnection, count: usize) -> Vec<u64> {
        let mut backoff = Backoff::new(7);
        (0..count).map(|_| backoff.next(reconnection).as_millis() as u64).collect()
    }

    #[test]
    fn without_jitter_a_delay_doubles_up_to_its_maximum() {
        let plain = Reconnection { jitter: 0.0, ..Reconnection::default() };
        assert_eq!(delays(&plain, 5), [1000, 2000, 4000, 5000, 5000]);
        assert_eq!(delays(&Reconnection::every(Duration::from_millis(250)), 3), [250, 250, 250]);
    }

    #[test]
    fn jitter_goes_both_ways_and_stays_within_its_share() {
        let reconnection =
            Reconnection { delay_max: Duration::from_secs(9_999), ..Reconnection::default() };
        let mut backoff = Backoff::new(1);
        let (mut shorter, mut longer) = (0, 0);
        for _ in 0..1000 {
            backoff.reset();
            let ms = backoff.next(&reconnection).as_millis();
            assert!((500..=1500).contains(&ms), "{ms}");
            shorter += u32::from(ms < 1000);
            longer += u32::from(ms > 1000);
        }
        assert!(shorter > 300 && longer > 300, "{shorter} {longer}");
    }

    #[test]
    fn any_number_of_attempts_and_any_settings_give_a_delay() {
        for jitter in [0.0, 1.0, 7.0, -1.0, f64::NAN, f64::INFINITY] {
            for delay in [Duration::ZERO, Duration::MAX] {
                let reconnection = Reconnection { delay, jitter, ..Reconnection::default() };
                let found = delays(&reconnection, 200);
                assert!(found.iter().all(|ms| *ms <= 5000), "{jitter} {delay:?} {found:?}");
            }
        }
    }
}
