//! [`Sky`]: the satellites that are there, and how much each has to do.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use roomful::SocketId;
use tokio::sync::Notify;

use crate::traffic::Traffic;

/// What all sockets of the hub share.
pub(crate) struct Sky {
    pub(crate) traffic: Traffic,
    duties: Mutex<HashMap<SocketId, Duties>>,
    risen: Notify,
}

/// What one satellite has to do, and has had.
#[derive(Default)]
struct Duties {
    open: usize,
    given: usize,
}

impl Sky {
    pub(crate) fn of(traffic: Traffic) -> Self {
        Self { traffic, duties: Mutex::default(), risen: Notify::new() }
    }

    fn duties(&self) -> MutexGuard<'_, HashMap<SocketId, Duties>> {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rises(&self, id: SocketId) {
        self.duties().insert(id, Duties::default());
        self.risen.notify_waiters();
    }

    pub(crate) fn sets(&self, id: SocketId) {
        self.duties().remove(&id);
    }

    /// The satellite with the least to do gets one thing more; another one than `before`, if there is one.
    pub(crate) async fn take(&self, before: Option<SocketId>) -> SocketId {
        loop {
            let risen = self.risen.notified();
            let load = |id: SocketId, of: &Duties| (Some(id) == before, of.open, of.given);
            if let Some((id, of)) = self.duties().iter_mut().min_by_key(|(id, of)| load(**id, of)) {
                of.open += 1;
                of.given += 1;
                return *id;
            }
            risen.await;
        }
    }

    /// It has done one, or will not.
    pub(crate) fn done(&self, id: SocketId) {
        if let Some(of) = self.duties().get_mut(&id) {
            of.open = of.open.saturating_sub(1);
        }
    }
}
