//! [`NamespaceLimits`]: what one namespace is limited to, and how users say so.
//!
//! Limits of a namespace and of what is asked of its sockets are numbers of the namespace, which are
//! looked at where they are needed. Limits of events are part of the table of handlers, so an event of
//! a namespace without any looks at none.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::api::namespace::Namespace;
use crate::ground::config::Config;

/// What is limited in this namespace alone. Without these the settings of the server hold, which are
/// those of the [`Builder`](crate::Builder).
///
/// A namespace that stands for others gives its limits to each of those that are made from then on, and
/// they hold for each by itself.
///
/// ```
/// use std::time::Duration;
///
/// let io = roomful::Server::new();
/// io.of("/chat")
///     .sockets_max(5_000)
///     .rooms_max(20)
///     .handlers_max(8)
///     .asks_max(16)
///     .ack_timeout(Duration::from_secs(3))
///     .args_bytes_max(16 * 1024)
///     .event_args_bytes_max("avatar", 512 * 1024);
/// ```
impl<A, U> Namespace<A, U> {
    /// Sockets that may be in the namespace at the same time. Whoever comes beyond is refused with
    /// `the namespace is full` and the data `{"code": "namespace_full"}`: before
    /// [`connect`](Self::connect) is asked, and once more after it, if it has become full meanwhile. A
    /// client that wants its socket back needs a place, too. Default: no limit.
    ///
    /// It holds for all who come from now on. Nobody who is there is put out.
    pub fn sockets_max(&self, count: usize) -> &Self {
        self.limit(|limits| limits.sockets_max.store(count, Ordering::Relaxed));
        self
    }

    /// Rooms that one socket may be in, that of its own id not counted. Default:
    /// [`Builder::rooms_max`](crate::Builder::rooms_max).
    ///
    /// It holds for all rooms that are joined from now on. Nobody leaves one for it.
    pub fn rooms_max(&self, count: usize) -> &Self {
        self.limit(|limits| limits.rooms_max.store(count, Ordering::Relaxed));
        self
    }

    /// Bytes that the name of a room may have. Default:
    /// [`Builder::room_name_bytes_max`](crate::Builder::room_name_bytes_max).
    ///
    /// It holds for all rooms that are joined from now on. Nobody leaves one for it.
    pub fn room_name_bytes_max(&self, bytes: usize) -> &Self {
        self.limit(|limits| limits.room_name_bytes_max.store(bytes, Ordering::Relaxed));
        self
    }

    /// Questions to one socket that wait for their answer. Default:
    /// [`Builder::asks_max`](crate::Builder::asks_max).
    ///
    /// It holds for all questions that are asked from now on.
    pub fn asks_max(&self, count: usize) -> &Self {
        self.limit(|limits| limits.asks_max.store(count, Ordering::Relaxed));
        self
    }

    /// Time that a question to one socket or to many waits for its answers, unless it says otherwise
    /// itself. Default: [`Builder::ack_timeout`](crate::Builder::ack_timeout). At most 500 years.
    ///
    /// It holds for all questions and selections that are made from now on.
    pub fn ack_timeout(&self, timeout: Duration) -> &Self {
        self.limit(|limits| limits.ack_timeout_ns.store(whole_ns(timeout), Ordering::Relaxed));
        self
    }

    /// Handlers of events of one socket that wait for something at the same time; at least one.
    /// Further events of the socket wait their turn, in order, whatever their names; those of other
    /// sockets, and answers to [`Socket::call`](crate::Socket::call), do not. Not more than 4 MiB of
    /// events are read ahead, and no answers behind them. Default: no limit but
    /// [`Builder::handlers_max`](crate::Builder::handlers_max), which holds for the whole connection.
    ///
    /// As handlers do, this counts for sockets that come later.
    pub fn handlers_max(&self, count: usize) -> &Self {
        self.change(|table| table.extras_mut().handlers_max = Some(count.max(1)));
        self
    }

    /// Bytes that the arguments of one event may have: their JSON, without the name, and their
    /// attachments. An event with more is refused before any function sees it: it is dropped and
    /// counted, [`on_error`](Self::on_error) is told, and a client that asked for an answer gets the
    /// error `too_large` with the data `{"args_bytes_max": …}`. Answers to questions are no events.
    /// Default: no limit but [`Builder::payload_bytes_max`](crate::Builder::payload_bytes_max), beyond
    /// which nothing is read and the connection is closed.
    ///
    /// As handlers do, this counts for sockets that come later.
    pub fn args_bytes_max(&self, bytes: usize) -> &Self {
        self.change(|table| table.extras_mut().args_bytes_max = Some(bytes));
        self
    }

    /// As [`args_bytes_max`](Self::args_bytes_max), for events of that name, in its place: it may be
    /// more, too.
    pub fn event_args_bytes_max(&self, event: &str, bytes: usize) -> &Self {
        self.change(|table| {
            table.extras_mut().event_args_bytes_max.insert(event.as_bytes().into(), bytes)
        });
        self
    }
}

impl<A, U> Namespace<A, U> {
    fn limit(&self, change: impl FnOnce(&NamespaceLimits)) {
        let _ = self.core.register(self.hold, |_| change(&self.core.limits));
    }
}

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
            sockets_max: AtomicUsize::new(usize::MAX),
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

    pub(crate) fn sockets_max(&self) -> usize {
        self.sockets_max.load(Ordering::Relaxed)
    }

    pub(crate) fn rooms_max(&self) -> usize {
        self.rooms_max.load(Ordering::Relaxed)
    }

    pub(crate) fn room_name_bytes_max(&self) -> usize {
        self.room_name_bytes_max.load(Ordering::Relaxed)
    }

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
