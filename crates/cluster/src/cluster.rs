//! [`Cluster`]: the adapter of a server whose nodes talk by a [`Bus`].

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use roomful::adapter::{Adapter, Line, Node};
use roomful_proto::Limits;
use roomful_proto::cluster::Packet;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::bus::{Bus, BusError};
use crate::keeper;
use crate::outbox::Order;
use crate::part::Part;
use crate::shared::Shared;
use crate::stats::{ClusterState, ClusterStats};

/// Settings of a [`Cluster`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterSettings {
    /// Packets that wait for the engine at most; one more is dropped and counted. Default 10,000.
    pub waiting_max: usize,
    /// Bytes of these at most. Default 64 MiB.
    pub waiting_bytes_max: usize,
    /// Bytes of a packet of another node at most; a larger one is dropped and counted. Default 16 MiB.
    pub packet_bytes_max: usize,
    /// How long the engine may take for anything before the connection is taken for lost. Default 5 s.
    pub response_timeout: Duration,
    /// The longest pause before it is tried again to connect. The first is 100 ms, and each is twice as long as the
    /// one before, more or less. Default 5 s.
    pub reconnect_pause_max: Duration,
    /// Time between the heartbeats of a node, and between signs of life that are asked of the engine. Default 5 s.
    pub heartbeat_interval: Duration,
    /// Silence after which another node is taken for dead. Default 10 s.
    pub heartbeat_timeout: Duration,
    /// Requests to other nodes that may be open in a namespace. Default 10,000.
    pub requests_max: usize,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            waiting_max: 10_000,
            waiting_bytes_max: 64 * 1024 * 1024,
            packet_bytes_max: 16 * 1024 * 1024,
            response_timeout: Duration::from_secs(5),
            reconnect_pause_max: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            requests_max: 10_000,
        }
    }
}

impl ClusterSettings {
    /// Times that a timer can wait for, and sizes that can be read.
    fn check(&self) -> Result<(), BusError> {
        let times = [
            ("response_timeout", self.response_timeout),
            ("reconnect_pause_max", self.reconnect_pause_max),
            ("heartbeat_interval", self.heartbeat_interval),
            ("heartbeat_timeout", self.heartbeat_timeout),
        ];
        for (name, time) in times {
            if !(TIME_MIN..=TIME_MAX).contains(&time) {
                let why =
                    format!("{name} is {time:?}: it has to be from {TIME_MIN:?} to {TIME_MAX:?}");
                return Err(BusError::new(why));
            }
        }
        if self.packet_bytes_max > Limits::PAYLOAD_BYTES {
            return Err(BusError::new("packet_bytes_max is more than 2 GiB"));
        }
        Ok(())
    }
}

const TIME_MIN: Duration = Duration::from_millis(10);
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Joins servers by an engine: give it to [`Builder::adapter`](roomful::Builder::adapter). A clone is the same
/// cluster.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    /// The connection ends with the last of them, and of the namespaces.
    _held: Arc<Held>,
}

/// Closes the outbox when nobody can put anything into it any more.
pub(crate) struct Held(Weak<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.outbox.close();
        }
    }
}

impl Cluster {
    /// Connects to an engine, with the default settings.
    ///
    /// # Errors
    ///
    /// When the engine cannot be connected to, or a setting cannot be. Once it was connected, the cluster connects again by
    /// itself.
    ///
    /// # Panics
    ///
    /// Where there is no tokio runtime.
    pub async fn connect(bus: impl Bus) -> Result<Self, BusError> {
        Self::connect_with(bus, ClusterSettings::default()).await
    }

    /// Connects to an engine.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(bus: impl Bus, settings: ClusterSettings) -> Result<Self, BusError> {
        settings.check()?;
        let shared = Arc::new(Shared::new(Arc::new(bus), settings));
        let connection = keeper::connect(&shared).await?;
        shared.enter(ClusterState::Up);
        let held = Arc::new(Held(Arc::downgrade(&shared)));
        tokio::spawn(keeper::keep(Arc::clone(&shared), connection));
        Ok(Self { shared, _held: held })
    }

    /// Whether the engine is there.
    pub fn state(&self) -> ClusterState {
        *self.shared.state.borrow()
    }

    /// Waits until the state is another than `known`, and gives it.
    pub async fn changed(&self, known: ClusterState) -> ClusterState {
        let mut state = self.shared.state.subscribe();
        match state.wait_for(|state| *state != known).await {
            Ok(state) => *state,
            // The sender is in `shared`, which is held.
            Err(_) => known,
        }
    }

    /// How many nodes take part in a namespace, this one too: as the engine counts them, or as many as have been heard
    /// in time.
    ///
    /// # Errors
    ///
    /// When the engine does not answer in time, or is away.
    pub async fn nodes(&self, namespace: &str) -> Result<usize, BusError> {
        if !self.shared.is_up() {
            return Err(BusError::new("the engine of the cluster is away"));
        }
        let (told, count) = oneshot::channel();
        self.shared.order(Order::Count(namespace.into(), told));
        let patience = self.shared.settings.response_timeout;
        match timeout(patience, count).await {
            Ok(Ok(count)) => Ok(count),
            _ => Err(BusError::new(
                "the engine of the cluster is away, or does not tell (see the log)",
            )),
        }
    }

    /// Waits until all that was sent before has been taken by the engine, or was dropped.
    ///
    /// # Errors
    ///
    /// When that takes longer than `patience`.
    pub async fn flush(&self, patience: Duration) -> Result<(), BusError> {
        let (tell, done) = oneshot::channel();
        self.shared.order(Order::Tell(tell));
        match timeout(patience, done).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(BusError::new(format!("not all was sent within {patience:?}"))),
        }
    }

    /// Publishes what is no node's.
    pub(crate) fn publish(&self, packet: Packet) {
        self.shared.order(Order::Publish(packet));
    }

    /// Counters from the beginning.
    pub fn stats(&self) -> ClusterStats {
        self.shared.counters.stats(self.shared.outbox.waiting())
    }
}

impl Adapter for Cluster {
    fn open(&self, namespace: &str, node: Weak<dyn Node>) -> Box<dyn Line> {
        Part::open(&self.shared, namespace.into(), node, Arc::clone(&self._held))
    }

    fn keeps_log(&self) -> bool {
        self.shared.bus.keeps_log()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("bus", &self.shared.bus)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
