//! [`Limiter`]: a [`Rate`] for each of many: addresses, users, rooms.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use roomful_proto::Moment;

use crate::ground::rate::rates::{Bucket, Rate};

/// How many keys are remembered, unless another number is set.
const KEYS_MAX: usize = 10_000;
/// How long keys are not looked through again, however many new ones come.
const SWEEP_PAUSE_MS: u64 = 100;

/// Keeps each of many to a [`Rate`]: users across all of their sockets, or addresses that log in by a route beside
/// the server.
///
/// At most [`keys_max`](Self::keys_max) keys are remembered, 10,000 by default. When there are as many, those are
/// forgotten whose tokens are all back; when none is, new ones are refused. A key is kept as it is given: where others
/// choose it, as they do names, it is to be checked before.
///
/// ```
/// use roomful::{EventError, Limiter, Rate};
///
/// let logins = Limiter::new(Rate::new(5, std::time::Duration::from_secs(60)));
/// let may_log_in = |user: &str| {
///     logins.take(user.to_owned()).map_err(|wait| {
///         EventError::new("rate_limited", format!("Try again in {} s.", wait.as_secs() + 1))
///     })
/// };
/// assert!((0..5).all(|_| may_log_in("ann").is_ok()));
/// assert!(may_log_in("ann").is_err());
/// assert!(may_log_in("bob").is_ok());
/// ```
pub struct Limiter<K> {
    rate: Rate,
    keys_max: usize,
    began: Instant,
    buckets: Mutex<Buckets<K>>,
}

struct Buckets<K> {
    of: HashMap<K, Bucket>,
    /// Until then no quiet key is looked for.
    full_until: Moment,
}

impl<K: Eq + Hash> Limiter<K> {
    /// Keeps each key to this rate. Whether the rate [disconnects](Rate::disconnects) changes nothing here.
    pub fn new(rate: Rate) -> Self {
        let buckets = Buckets { of: HashMap::new(), full_until: Moment::from_millis(0) };
        Self { rate, keys_max: KEYS_MAX, began: Instant::now(), buckets: Mutex::new(buckets) }
    }

    /// Sets how many keys are remembered. At least one.
    #[must_use]
    pub fn keys_max(mut self, keys: usize) -> Self {
        self.keys_max = keys.max(1);
        self
    }

    /// Takes a token of this key.
    ///
    /// # Errors
    ///
    /// When the key has none left, or is a new one and there are too many: how long until it is worth a try.
    pub fn take(&self, key: K) -> Result<(), Duration> {
        self.take_at(key, self.now())
    }

    /// Gives this key one token back: what took it was nothing that counts, such as a log-in that was right where
    /// only those that fail are to be few. Only for one that was taken.
    pub fn give_back(&self, key: &K) {
        if let Some(bucket) = self.buckets.lock().of.get_mut(key) {
            bucket.give_back(&self.rate);
        }
    }

    fn take_at(&self, key: K, now: Moment) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock();
        if buckets.of.len() >= self.keys_max && !buckets.of.contains_key(&key) {
            buckets.make_room(self.keys_max, now)?;
        }
        let bucket = buckets.of.entry(key).or_default();
        bucket.take_of(&self.rate, now).map_err(|next| since(now, next))
    }

    fn now(&self) -> Moment {
        Moment::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Limiter<IpAddr> {
    /// Takes a token of whoever is at this address: of IPv6 the first 64 bits, since whoever has one address there has
    /// all that begin so, and an IPv4 address in IPv6 as what it is.
    ///
    /// # Errors
    ///
    /// As of [`take`](Self::take).
    pub fn take_of(&self, address: IpAddr) -> Result<(), Duration> {
        self.take(household(address))
    }

    /// [Gives a token back](Self::give_back) to whoever is at this address.
    pub fn give_back_of(&self, address: IpAddr) {
        self.give_back(&household(address));
    }
}

/// What stands for all addresses that one visitor may have.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// Forgets who is quiet.
    fn make_room(&mut self, keys_max: usize, now: Moment) -> Result<(), Duration> {
        if now >= self.full_until {
            self.of.retain(|_, bucket| !bucket.is_full(now));
            self.full_until = Moment::from_millis(now.as_millis().saturating_add(SWEEP_PAUSE_MS));
        }
        if self.of.len() < keys_max { Ok(()) } else { Err(since(now, self.full_until)) }
    }
}

const fn since(now: Moment, later: Moment) -> Duration {
    Duration::from_millis(later.as_millis().saturating_sub(now.as_millis()))
}

impl<K> fmt::Debug for Limiter<K> {
    /// Without the keys, which may be names of people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("rate", &self.rate)
            .field("keys_max", &self.keys_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn each_key_has_tokens_of_its_own() {
        let limiter = Limiter::new(Rate::per_second(2));
        let take = |key, at| limiter.take_at(key, ms(at));
        assert_eq!([take("a", 0), take("a", 0), take("b", 0)], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(take("a", 0), Err(Duration::from_millis(500)));
        assert_eq!([take("b", 0), take("a", 500)], [Ok(()), Ok(())]);
        limiter.give_back(&"a");
        assert_eq!(take("a", 500), Ok(()));
        assert!(take("a", 500).is_err());
    }

    #[test]
    fn an_address_counts_with_its_neighbours() {
        let limiter = Limiter::new(Rate::new(1, Duration::from_secs(3_600)));
        let take = |address: &str| limiter.take_of(address.parse().unwrap()).is_ok();
        assert!(take("2001:db8::1") && !take("2001:db8::ffff:1") && take("2001:db8:0:1::1"));
        assert!(take("10.0.0.1") && take("10.0.0.2") && !take("::ffff:10.0.0.1"));
        limiter.give_back_of("2001:db8::2".parse().unwrap());
        assert!(take("2001:db8::3") && !take("2001:db8::1"));
    }

    #[test]
    fn it_remembers_no_more_keys_than_it_may() {
        let limiter = Limiter::new(Rate::new(1, Duration::from_secs(1))).keys_max(3);
        for key in 0..3 {
            assert_eq!(limiter.take_at(key, ms(0)), Ok(()));
        }
        assert_eq!(limiter.take_at(3, ms(0)), Err(Duration::from_millis(100)), "all are busy");
        assert!(limiter.take_at(0, ms(0)).is_err(), "those that are known are kept to their rate");
        assert_eq!(limiter.take_at(3, ms(99)), Err(Duration::from_millis(1)), "no second look");
        assert_eq!(limiter.take_at(3, ms(1_000)), Ok(()), "those that are quiet are forgotten");
        assert_eq!(limiter.buckets.lock().of.len(), 1);
    }
}
