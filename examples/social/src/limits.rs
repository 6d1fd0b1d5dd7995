//! [`Limiter`]: how often somebody may do something, where Roomful does not see it.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use roomful::EventError;

use crate::social::Result;

/// Those whose bucket is not full. When there are so many, nobody may do it.
const KEYS_MAX: usize = 10_000;

/// A bucket of tokens for each key: when it will be full again.
pub(crate) struct Limiter<K> {
    interval: Duration,
    burst: u32,
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// One more after each `interval`, and `burst` of them at once.
    pub(crate) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, full_at: Mutex::default() }
    }

    pub(crate) fn take(&self, key: K) -> Result<()> {
        let (now, mut all) = (Instant::now(), self.full_at.lock());
        if all.len() >= KEYS_MAX {
            all.retain(|_, full_at| *full_at > now);
        }
        let full_at = all.get(&key).map_or(now, |at| now.max(*at)) + self.interval;
        if full_at > now + self.interval * self.burst || all.len() >= KEYS_MAX {
            return Err(EventError::new("rate_limited", "Too fast. Wait a little and try again."));
        }
        all.insert(key, full_at);
        Ok(())
    }

    /// It was nothing that counts.
    pub(crate) fn give_back(&self, key: &K) {
        if let Some(full_at) = self.full_at.lock().get_mut(key) {
            *full_at -= self.interval;
        }
    }
}
