//! [`NamespaceLimits`]: what one namespace is limited to.
//!
//! Limits of a namespace and of what is asked of its sockets are numbers of the namespace, which are
//! looked at where they are needed. Limits of events are part of the table of handlers, so an event of
//! a namespace without any looks at none.
//!
//! A limit that is set holds from then on; one of events, for sockets that come later. A child begins with the limits
//! of its parent. The mirror of a namespace at another node of this process has the same limits at all times.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::ground::config::Config;

/// The limits of a namespace that are not those of its events.
#[derive(Debug)]
pub(crate) struct NamespaceLimits {
    sockets_max: AtomicUsize,
    rooms_max: AtomicUsize,
    room_name_bytes_max: AtomicUsize,
    asks_max: AtomicUsize,
    ack_timeout_ns: AtomicU64,
}

impl NamespaceLimits {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            sockets_max: AtomicUsize::new(config.sockets_max),
            rooms_max: AtomicUsize::new(config.rooms_max),
            room_name_bytes_max: AtomicUsize::new(config.room_name_bytes_max),
            asks_max: AtomicUsize::new(config.asks_max),
            ack_timeout_ns: AtomicU64::new(whole_ns(config.ack_timeout)),
        }
    }

    /// From now on as those of another namespace are now.
    pub(crate) fn take_over(&self, from: &Self) {
        for (own, theirs) in [
            (&self.sockets_max, &from.sockets_max),
            (&self.rooms_max, &from.rooms_max),
            (&self.room_name_bytes_max, &from.room_name_bytes_max),
            (&self.asks_max, &from.asks_max),
        ] {
            own.store(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let timeout_ns = from.ack_timeout_ns.load(Ordering::Relaxed);
        self.ack_timeout_ns.store(timeout_ns, Ordering::Relaxed);
    }

    pub(crate) fn set_sockets_max(&self, count: usize) {
        self.sockets_max.store(count, Ordering::Relaxed);
    }

    pub(crate) fn set_rooms_max(&self, count: usize) {
        self.rooms_max.store(count, Ordering::Relaxed);
    }

    pub(crate) fn set_room_name_bytes_max(&self, bytes: usize) {
        self.room_name_bytes_max.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_asks_max(&self, count: usize) {
        self.asks_max.store(count, Ordering::Relaxed);
    }

    pub(crate) fn set_ack_timeout(&self, timeout: Duration) {
        self.ack_timeout_ns.store(whole_ns(timeout), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn sockets_max(&self) -> usize {
        self.sockets_max.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn rooms_max(&self) -> usize {
        self.rooms_max.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn room_name_bytes_max(&self) -> usize {
        self.room_name_bytes_max.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn asks_max(&self) -> usize {
        self.asks_max.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn ack_timeout(&self) -> Duration {
        Duration::from_nanos(self.ack_timeout_ns.load(Ordering::Relaxed))
    }
}

fn whole_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
