//! [`SessionBus`]: what carries messages about sessions between nodes.

use std::fmt;
use std::sync::{Arc, Weak};

use bytes::Bytes;

/// Carries messages about sessions between nodes: see
/// [`Builder::session_bus`](crate::Builder::session_bus). The crate `roomful-cluster` has some.
///
/// What a bus promises is little: messages of one node arrive at another in the order in which they were said, each
/// once or not at all. Where something may be lost, it [says so](SessionInlet::interrupted).
///
/// The id of a session is in each message, and whoever knows it can act for its client. So only servers may be on the
/// bus.
pub trait SessionBus: fmt::Debug + Send + Sync + 'static {
    /// Takes part as the node of that name, for as long as the line is held. What is said to all and to this node is
    /// given to the inlet; what the node has said itself may be given to it, too.
    ///
    /// A name is up to 64 letters, digits, `-` and `_`, and six hexadecimal digits for each node of this library.
    fn open(&self, node: &str, inlet: SessionInlet) -> Box<dyn SessionLine>;
}

/// The part of a node in a bus. Dropping it leaves.
pub trait SessionLine: Send + Sync + 'static {
    /// Says something to the node of that name, or to all. `false` where it will not be said: the session that it is
    /// about ends then. It never waits, and may be called from any thread.
    fn say(&self, to: Option<&str>, message: Bytes) -> bool;
}

/// Where a bus brings what it hears. It never waits.
#[derive(Clone)]
pub struct SessionInlet {
    hears: Weak<dyn Hears>,
}

/// Who is brought what a bus hears.
pub(super) trait Hears: Send + Sync + 'static {
    fn hear(self: Arc<Self>, message: Bytes);
    fn interrupted(self: Arc<Self>);
}

impl SessionInlet {
    pub(super) fn new<H: Hears>(hears: Weak<H>) -> Self {
        Self { hears }
    }

    /// A message has come. No lock must be held that [`SessionLine::say`] takes: it may be called before this returns.
    pub fn hear(&self, message: Bytes) {
        if let Some(hears) = self.hears.upgrade() {
            hears.hear(message);
        }
    }

    /// What was said may be lost, or what others have said: as when a connection has ended. Sessions that other nodes
    /// serve, or are served for them, end: their clients connect again, and see that they were away.
    pub fn interrupted(&self) {
        if let Some(hears) = self.hears.upgrade() {
            hears.interrupted();
        }
    }

    /// Whether the server that listens is still there.
    pub fn is_open(&self) -> bool {
        self.hears.strong_count() > 0
    }
}

impl fmt::Debug for SessionInlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionInlet").finish_non_exhaustive()
    }
}
