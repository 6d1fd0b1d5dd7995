//! Who may join a room: the functions given to [`Namespace::before_join`](crate::Namespace::before_join).
//!
//! A panic in one of them costs the one joining.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use roomful_proto::EventError;

use crate::namespace::socket_core::SocketCore;

/// Whether a socket may join a room.
pub(crate) type BeforeJoin = Arc<dyn Fn(&Arc<SocketCore>, &str) -> bool + Send + Sync>;

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
