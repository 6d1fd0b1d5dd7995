//! [`Stats`]: what a client counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a client has counted since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that were opened.
    pub connections: u64,
    /// Attempts to open one that failed.
    pub failures: u64,
    /// Events that were handed over, to functions or streams.
    pub events: u64,
    /// Events for which there was no handler.
    pub events_unheard: u64,
    /// Events whose arguments did not fit their handler.
    pub events_misfit: u64,
    /// Connections that were closed because the server broke the protocol or a limit.
    pub violations: u64,
    /// How often reading was put off, since handlers did not keep up (`inbox_bytes_max`) or the server did
    /// not take their answers (twice `waiting_bytes_max`).
    pub pauses: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    connections: AtomicU64,
    failures: AtomicU64,
    events: AtomicU64,
    unheard: AtomicU64,
    misfit: AtomicU64,
    violations: AtomicU64,
    pauses: AtomicU64,
}

macro_rules! count {
    ($($name:ident: $field:ident),*) => {$(
        pub(crate) fn $name(&self) {
            self.$field.fetch_add(1, Ordering::Relaxed);
        }
    )*};
}

impl Counters {
    count!(connection: connections, failure: failures, event: events, unheard: unheard);
    count!(misfit: misfit, violation: violations, pause: pauses);

    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections: read(&self.connections),
            failures: read(&self.failures),
            events: read(&self.events),
            events_unheard: read(&self.unheard),
            events_misfit: read(&self.misfit),
            violations: read(&self.violations),
            pauses: read(&self.pauses),
        }
    }
}
