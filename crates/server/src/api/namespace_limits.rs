//! What one namespace is limited to, in place of the settings of the server.

use std::time::Duration;

use crate::api::namespace::Namespace;
use crate::namespace::namespace_limits::NamespaceLimits;

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
///     .asks_max(16)
///     .ack_timeout(Duration::from_secs(3));
/// ```
impl<A, U> Namespace<A, U> {
    /// Sockets that may be in the namespace at the same time. Whoever comes beyond is refused with
    /// `the namespace is full` and the data `{"code": "namespace_full"}`: before
    /// [`connect`](Self::connect) is asked, and once more after it, if it has become full meanwhile. A
    /// client that wants its socket back needs a place, too. Default:
    /// [`Builder::sockets_max`](crate::Builder::sockets_max), and so no limit.
    ///
    /// It holds for all who come from now on. Nobody who is there is put out.
    pub fn sockets_max(&self, count: usize) -> &Self {
        self.limit(|limits| limits.set_sockets_max(count));
        self
    }

    /// Rooms that one socket may be in, that of its own id not counted. Default:
    /// [`Builder::rooms_max`](crate::Builder::rooms_max).
    ///
    /// It holds for all rooms that are joined from now on. Nobody leaves one for it.
    pub fn rooms_max(&self, count: usize) -> &Self {
        self.limit(|limits| limits.set_rooms_max(count));
        self
    }

    /// Bytes that the name of a room may have. Default:
    /// [`Builder::room_name_bytes_max`](crate::Builder::room_name_bytes_max).
    ///
    /// It holds for all rooms that are joined from now on. Nobody leaves one for it.
    pub fn room_name_bytes_max(&self, bytes: usize) -> &Self {
        self.limit(|limits| limits.set_room_name_bytes_max(bytes));
        self
    }

    /// Ack requests to one socket that wait for their answer. Default:
    /// [`Builder::asks_max`](crate::Builder::asks_max).
    ///
    /// It holds for all that are made from now on.
    pub fn asks_max(&self, count: usize) -> &Self {
        self.limit(|limits| limits.set_asks_max(count));
        self
    }

    /// Time that an ack request to one socket or to many waits for its answers, unless it says otherwise
    /// itself. Default: [`Builder::ack_timeout`](crate::Builder::ack_timeout). At most 500 years.
    ///
    /// It holds for all ack requests and selections that are made from now on.
    pub fn ack_timeout(&self, timeout: Duration) -> &Self {
        self.limit(|limits| limits.set_ack_timeout(timeout));
        self
    }
}

impl<A, U> Namespace<A, U> {
    fn limit(&self, change: impl FnOnce(&NamespaceLimits)) {
        let _ = self.core.register(self.hold, |_| change(&self.core.limits));
    }
}
