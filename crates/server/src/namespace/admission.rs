//! Who may join a room: the functions given to [`Namespace::before_join`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::api::namespace::Namespace;
use crate::api::socket::Socket;
use crate::namespace::socket_core::SocketCore;
use roomful_proto::EventError;

/// Whether a socket may join a room.
pub(crate) type BeforeJoin = Arc<dyn Fn(&Arc<SocketCore>, &str) -> bool + Send + Sync>;

impl<A: Send + Sync + 'static, U: Send + Sync + 'static> Namespace<A, U> {
    /// Asks a function about each socket that is to join a room, whoever wants it to: `false` keeps it
    /// out, and then [`Socket::join`] gives `false`. Several are asked one after the other, in the order
    /// in which they were registered, until one refuses. One that panics refuses, and is told to the
    /// function of [`on_error`](Self::on_error) as event `join`.
    ///
    /// It is not asked about a room that the socket is in already, nor about those of a socket that
    /// [comes back](crate::Builder::recovery): it has been asked when they were joined. It is called by
    /// whoever lets the socket join, so it must be quick, and no lock is held then; several sockets may
    /// be asked about at the same time. As handlers do, it counts for sockets that come later.
    ///
    /// ```
    /// # use roomful::Server;
    /// # let io = Server::new();
    /// io.before_join(|me, room| match room.strip_prefix("user:") {
    ///     Some(user) => me.query("user").as_deref() == Some(user),
    ///     None => true,
    /// });
    /// ```
    pub fn before_join<F>(&self, before: F) -> &Self
    where
        F: Fn(&Socket<A, U>, &str) -> bool + Send + Sync + 'static,
    {
        // A socket of other types than those it knows is none that it could let in.
        let before: BeforeJoin = Arc::new(move |core, room| {
            Socket::new(core).is_some_and(|socket| before(&socket, room))
        });
        self.change(|table| table.before_join.push(before));
        self
    }
}

impl SocketCore {
    /// Called without any lock.
    #[inline]
    pub(crate) fn may_join(self: &Arc<Self>, room: &str) -> bool {
        self.table.before_join.is_empty() || self.ask_to_join(room)
    }

    #[cold]
    fn ask_to_join(self: &Arc<Self>, room: &str) -> bool {
        if self.namespace.rooms.is_in(self.id, room) {
            return true;
        }
        let all = || self.table.before_join.iter().all(|before| before(self, room));
        let asked = catch_unwind(AssertUnwindSafe(all));
        if let Err(panic) = &asked {
            self.namespace.count(|metrics| &metrics.panics);
            tracing::error!(socket = %self.id, "a function of before_join panicked; it refuses");
            self.fail("join", None, &EventError::panicked(&**panic));
        }
        let joins = asked.unwrap_or(false);
        if !joins {
            self.namespace.count(|metrics| &metrics.joins_refused);
        }
        joins
    }
}
