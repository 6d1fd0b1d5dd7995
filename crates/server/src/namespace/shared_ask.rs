//! [`SharedAsk`]: an ack request to many that is open.

use std::collections::HashSet;

use parking_lot::Mutex;
use roomful_proto::{Args, SocketId};

use crate::namespace::adapter::{Reply, ReplyTo};

/// An ack request to many that is open.
pub(crate) struct SharedAsk {
    state: Mutex<SharedAskState>,
}

struct SharedAskState {
    waiting: HashSet<SocketId>,
    /// Gone when nobody is waited for any more. At most one reply per asked socket goes through.
    replies: Option<ReplyTo>,
}

impl SharedAsk {
    /// Asks these sockets.
    pub(crate) fn new(waiting: HashSet<SocketId>, replies: ReplyTo) -> Self {
        Self { state: Mutex::new(SharedAskState { waiting, replies: Some(replies) }) }
    }

    /// `false` when that socket was not asked, or has answered.
    pub(crate) fn answer(&self, id: SocketId, args: Args) -> bool {
        let mut state = self.state.lock();
        let expected = state.waiting.remove(&id);
        if expected && let Some(replies) = &state.replies {
            replies.send(Reply::Ack(Some(id), args));
        }
        state.close_if_done();
        expected
    }

    /// That socket will not answer.
    pub(crate) fn gone(&self, id: SocketId) {
        let mut state = self.state.lock();
        state.waiting.remove(&id);
        state.close_if_done();
    }

    pub(crate) fn close_if_done(&self) {
        self.state.lock().close_if_done();
    }
}

impl SharedAskState {
    fn close_if_done(&mut self) {
        if self.waiting.is_empty() {
            self.replies = None;
        }
    }
}
