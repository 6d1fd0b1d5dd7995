//! [`Shared`]: what all of a server may look at: its settings, its clock, its counters.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use roomful_proto::deflate::Deflate;
use roomful_proto::{Limits, Moment};
use tokio::time::Instant;

use crate::ground::config::Config;
use crate::ground::metrics::Metrics;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
    /// What the user has given for all sockets.
    pub(crate) state: Arc<dyn Any + Send + Sync>,
    /// How WebSocket messages are compressed, if they are.
    pub(crate) deflate: Option<Arc<Deflate>>,
    origin: Instant,
}

/// A hundred years.
const FAR_SECONDS: u64 = 100 * 365 * 86_400;

impl Shared {
    pub(crate) fn new(config: Config, state: Arc<dyn Any + Send + Sync>) -> Self {
        Self {
            limits: Arc::new(config.limits.clone()),
            metrics: Metrics::default(),
            state,
            deflate: config.compression.map(|c| Arc::new(Deflate::new(c.threshold, c.level))),
            origin: Instant::now(),
            config,
        }
    }

    /// The same for another node of this process. Its time is the same, since a poll may come to either.
    pub(crate) fn another(&self) -> Self {
        let another = Self::new(self.config.clone(), Arc::clone(&self.state));
        Self { origin: self.origin, ..another }
    }

    /// The time, as the protocol machines take it.
    pub(crate) fn now(&self) -> Moment {
        let ms = self.origin.elapsed().as_millis();
        Moment::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// That time by the clock of the runtime.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        let origin = self.origin;
        // What is further away than the clock goes is as good as never.
        let far = origin + Duration::from_secs(FAR_SECONDS);
        origin.checked_add(Duration::from_millis(moment.as_millis())).unwrap_or(far)
    }

    /// Calls a function of the user's that has no socket; `None` when it panics, which is counted.
    pub(crate) fn guarded<T>(&self, what: &str, function: impl FnOnce() -> T) -> Option<T> {
        let called = catch_unwind(AssertUnwindSafe(function));
        if called.is_err() {
            self.metrics.panics.add();
            tracing::error!("{what} panicked");
        }
        called.ok()
    }
}
