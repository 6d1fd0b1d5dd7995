//! [`Core`]: one server: its namespaces, its connections, its timer, and how it ends.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use roomful_proto::Reason;
use tokio::time::Instant;

use crate::ground::farewell::Description;
use crate::ground::random::random;
use crate::namespace::family::registry::Registry;
use crate::node::closing::{Close, Closing, Phase};
use crate::node::pace;
use crate::node::sessions::Sessions;
use crate::node::wheel::Wheel;
use crate::transport::link::{Link, Order};

/// What all connections of a server share. The registry of its namespaces is found through it.
pub(crate) struct Core {
    pub(crate) registry: Arc<Registry>,
    pub(crate) sessions: Sessions,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) closing: Closing,
}

impl Core {
    pub(crate) fn new(registry: Arc<Registry>) -> Arc<Self> {
        Arc::new(Self {
            registry,
            sessions: Sessions::default(),
            wheel: Arc::new(Wheel::new()),
            closing: Closing::default(),
        })
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_past(Phase::Serving)
    }

    /// Opens no more sessions, and tells the connections to close one after the other, evenly over
    /// that time, in no order and at no moment that could be foreseen.
    pub(crate) async fn drain(&self, budget: Duration) {
        self.closing.drain();
        let mut links = self.sessions.all();
        links.sort_by_cached_key(|_| random());
        let clients = links.len();
        let close = |link: Arc<Link>| link.order(self.closing_order());
        let took = pace::spread(links, budget, jitter, close).await;
        if took > budget.saturating_add(pace::LATENESS_MAX) {
            tracing::warn!(clients, ?budget, ?took, "draining took longer than its budget");
        }
    }

    /// Closes the server, within [`Config::stop_timeout`](crate::ground::config::Config).
    pub(crate) async fn close(&self) {
        let limit = self.config.stop_timeout;
        let patience = self.limits.close_timeout;
        let began = Instant::now();
        let left = || limit.saturating_sub(began.elapsed());
        let sessions = || self.sessions.len();
        let close = self.begin_close();
        close.sessions_ended(patience.saturating_mul(2).min(limit / 4 * 3), sessions).await;
        // Half of what is left, so that what they had open can still end.
        let hung_up = close.hang_up(patience.min(left() / 2)).await;
        // A request that was under way when the server began to close may have opened one more, and a
        // client that came over from polling in the last moment has its WebSocket to close.
        let ended = close.sessions_ended(patience.min(left()), sessions).await;
        if !(hung_up && ended) {
            let left = sessions();
            tracing::warn!(left, "not all connections had ended when the time to close was over");
        }
        // Serving ends behind it, and with that perhaps the program.
        self.leave_cluster();
    }

    /// Tells every connection to close, and those that come from now on.
    pub(crate) fn begin_close(&self) -> Close<'_> {
        let close = self.closing.begin();
        for link in self.sessions.all() {
            link.order(self.closing_order());
        }
        close
    }

    /// What a connection of a server that drains or closes is told.
    pub(crate) fn closing_order(&self) -> Order {
        let closes = self.closing.is_past(Phase::Draining);
        let why = if closes { Description::Closing } else { Description::Draining };
        Order::Close(Reason::ServerShuttingDown, Some(why))
    }

    /// A connection has ended.
    pub(crate) fn forget(&self, link: &Link) {
        self.sessions.remove(link);
        self.metrics.closed.add();
        self.closing.note_end();
    }
}

impl Deref for Core {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.wheel.stop();
    }
}

/// From 0 to 1, at random.
fn jitter() -> f64 {
    let jitter = random().map_or(0, |[low, high, ..]| u16::from_le_bytes([low, high]));
    f64::from(jitter) / f64::from(u16::MAX)
}
