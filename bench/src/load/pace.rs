//! [`Pace`]: when things are due that happen so often in a second, whatever the answers do.

use std::time::{Duration, Instant};

pub(crate) struct Pace {
    due: Instant,
    gap: Duration,
}

impl Pace {
    /// Begins now.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { due: Instant::now(), gap: Duration::from_secs(1) / per_second }
    }

    /// When the next thing was due, if that is not to come yet. Ask until there is nothing.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        let due = self.due;
        let is_due = due <= Instant::now();
        if is_due {
            self.due += self.gap;
        }
        is_due.then_some(due)
    }
}
