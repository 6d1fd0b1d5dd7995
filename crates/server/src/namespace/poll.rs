//! [`Poll`]: a question to many that is open.

use std::collections::HashSet;

use parking_lot::Mutex;
use roomful_proto::{Args, SocketId};
use tokio::sync::mpsc;

/// A question to many that is open.
pub(crate) struct Poll {
    state: Mutex<PollState>,
}

struct PollState {
    waiting: HashSet<SocketId>,
    /// Gone when nobody is waited for any more. At most one message per asked socket goes through.
    sender: Option<mpsc::UnboundedSender<(SocketId, Args)>>,
}

impl Poll {
    /// Asks these sockets; their answers go to the sender.
    pub(crate) fn new(
        waiting: HashSet<SocketId>,
        sender: mpsc::UnboundedSender<(SocketId, Args)>,
    ) -> Self {
        Self { state: Mutex::new(PollState { waiting, sender: Some(sender) }) }
    }

    /// `false` when that socket was not asked, or has answered.
    pub(crate) fn answer(&self, id: SocketId, args: Args) -> bool {
        let mut state = self.state.lock();
        let expected = state.waiting.remove(&id);
        if expected && let Some(sender) = &state.sender {
            // Nobody listens any more when this fails.
            let _ = sender.send((id, args));
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

impl PollState {
    fn close_if_done(&mut self) {
        if self.waiting.is_empty() {
            self.sender = None;
        }
    }
}
