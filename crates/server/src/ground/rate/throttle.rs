//! [`Throttle`]: says when something may be said again that could be said all the time.

use std::sync::atomic::{AtomicU64, Ordering};

use roomful_proto::Moment;

/// How long it is not said again.
const PAUSE_MS: u64 = 1_000;

/// When something was said last. What a client can cause does not fill a log with it.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// The moment until which it is not said, in milliseconds.
    until_ms: AtomicU64,
}

impl Throttle {
    /// Whether it may be said now; of several at once one may say it.
    pub(crate) fn passes(&self, now: Moment) -> bool {
        let now_ms = now.as_millis();
        let later = |until_ms| (now_ms >= until_ms).then_some(now_ms + PAUSE_MS);
        self.until_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_passes_once_in_a_second() {
        let throttle = Throttle::default();
        let passed = [0, 1, 999, 1_000, 1_999, 2_500, 2_501]
            .map(|ms| throttle.passes(Moment::from_millis(ms)));
        assert_eq!(passed, [true, false, false, true, false, true, false]);
    }
}
