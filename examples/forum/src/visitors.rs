//! [`Visitors`]: who is there. A visitor is a browser, known by a cookie, and not a socket.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::Forum;

/// How much longer than its last socket a visitor counts: a page that is loaded again is soon back.
const GRACE: Duration = Duration::from_secs(3);

/// How many sockets each visitor has.
#[derive(Default)]
pub(crate) struct Visitors(watch::Sender<HashMap<String, usize>>);

impl Visitors {
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Tells of each change.
    pub(crate) fn watch(&self) -> watch::Receiver<HashMap<String, usize>> {
        self.0.subscribe()
    }

    /// A visitor has one more socket.
    pub(crate) fn arrive(&self, visitor: &str) {
        self.0.send_modify(|sockets| *sockets.entry(visitor.to_owned()).or_default() += 1);
    }

    /// A visitor has one socket less.
    fn leave(&self, visitor: &str) {
        self.0.send_modify(|sockets| {
            let left = sockets.remove(visitor).unwrap_or_default().saturating_sub(1);
            if left > 0 {
                sockets.insert(visitor.to_owned(), left);
            }
        });
    }
}

/// A visitor will have one socket less, when the time is over in which it may be back.
pub(crate) fn leave_soon(forum: Arc<Forum>, visitor: String) {
    tokio::spawn(async move {
        tokio::time::sleep(GRACE).await;
        forum.visitors.leave(&visitor);
    });
}

/// Whether a header `cookie` names a visitor.
pub(crate) fn are_in(cookies: &str) -> bool {
    cookies.split("; ").any(|cookie| cookie.strip_prefix("visitor=").is_some_and(is_id))
}

/// Whether this can be the id of a visitor: 32 hexadecimal digits, as the pages make them.
pub(crate) fn is_id(value: &str) -> bool {
    value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}
