//! [`Emitter`]: sends to the clients of a cluster from a process that has none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use roomful::{Args, EmitError, RoomNames, ToArgs};
use roomful_proto::cluster::{Body, Packet, Selection};
use roomful_proto::socket::packet::is_reserved;

use crate::bus::{Bus, BusError};
use crate::cluster::{Cluster, ClusterSettings};
use crate::stats::{ClusterState, ClusterStats};

/// Sends to the clients of a cluster from a process that serves none: a cron job, a worker, a command.
///
/// It is what the packages `@socket.io/redis-emitter`, `redis-streams-emitter` and `postgres-emitter` are for
/// JavaScript, and reaches official servers as well.
///
/// ```no_run
/// # #[cfg(feature = "redis")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use roomful_cluster::{Emitter, Redis};
///
/// let emitter = Emitter::connect(Redis::new("redis://127.0.0.1:6379")?).await?;
/// emitter.to("news").emit("headline", "hello")?;
/// // Before the process ends.
/// emitter.flush(Duration::from_secs(5)).await?;
/// # Ok(()) }
/// ```
///
/// Each function that selects gives a new value, so a selection can be kept and used again. What is sent waits for the
/// engine as that of a server does, within the bounds of the [`ClusterSettings`].
#[derive(Clone)]
pub struct Emitter {
    cluster: Cluster,
    namespace: Arc<str>,
    to: Selection,
}

impl Emitter {
    /// Connects to an engine.
    ///
    /// # Errors
    ///
    /// When it cannot be connected to.
    ///
    /// # Panics
    ///
    /// Where there is no tokio runtime.
    pub async fn connect(bus: impl Bus) -> Result<Self, BusError> {
        Self::connect_with(bus, ClusterSettings::default()).await
    }

    /// Connects to an engine, with settings of your own.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(bus: impl Bus, settings: ClusterSettings) -> Result<Self, BusError> {
        let cluster = Cluster::connect_with(bus, settings).await?;
        Ok(Self { cluster, namespace: "/".into(), to: Selection::default() })
    }

    /// The clients of a namespace. Without it, those of `/`.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        let name = namespace.strip_prefix('/').unwrap_or(namespace);
        let namespace = format!("/{name}").into();
        Self { cluster: self.cluster.clone(), namespace, to: Selection::default() }
    }

    /// The clients that are in a room, or in one of several.
    #[must_use]
    #[doc(alias = "in")]
    pub fn to(&self, rooms: impl RoomNames) -> Self {
        self.with(|to| rooms.each_room(&mut |room| to.rooms.push(room.to_owned())))
    }

    /// Without the clients of a room, or of several.
    #[must_use]
    pub fn except(&self, rooms: impl RoomNames) -> Self {
        self.with(|to| rooms.each_room(&mut |room| to.except.push(room.to_owned())))
    }

    /// What is sent may be dropped where it cannot leave at once.
    #[must_use]
    pub fn volatile(&self) -> Self {
        self.with(|to| to.flags.volatile = true)
    }

    /// Whether what is sent may be compressed.
    #[must_use]
    pub fn compress(&self, compress: bool) -> Self {
        self.with(|to| to.flags.compress = compress)
    }

    fn with(&self, change: impl FnOnce(&mut Selection)) -> Self {
        let mut emitter = self.clone();
        change(&mut emitter.to);
        emitter
    }

    /// Sends an event to the selected. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see [`ToArgs`].
    /// Clients cannot be asked, since nobody is there to be answered.
    ///
    /// # Errors
    ///
    /// When the name belongs to the protocol, or the arguments cannot be written as JSON.
    pub fn emit<T: ToArgs>(&self, event: &str, args: T) -> Result<(), EmitError> {
        if is_reserved(event) {
            return Err(EmitError::ReservedEvent);
        }
        let args = Args::new(&args).map_err(EmitError::Encode)?;
        let (to, name) = (self.to.clone(), event.to_owned());
        self.publish(Body::Emit { to, name, args, request: None });
        Ok(())
    }

    /// Puts the selected into a room, or into several.
    #[doc(alias = "socketsJoin")]
    pub fn join(&self, rooms: impl RoomNames) {
        self.publish(Body::Join { to: self.to.clone(), rooms: names(&rooms) });
    }

    /// Takes the selected out of a room, or out of several.
    #[doc(alias = "socketsLeave")]
    pub fn leave(&self, rooms: impl RoomNames) {
        self.publish(Body::Leave { to: self.to.clone(), rooms: names(&rooms) });
    }

    /// Takes the selected out of the namespace; `close` closes their whole connections.
    #[doc(alias = "disconnectSockets")]
    pub fn disconnect(&self, close: bool) {
        self.publish(Body::Disconnect { to: self.to.clone(), close });
    }

    /// Sends an event to the servers themselves.
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written as JSON.
    #[doc(alias = "serverSideEmit")]
    pub fn server_side_emit<T: ToArgs>(&self, event: &str, args: T) -> Result<(), EmitError> {
        let args = Args::new(&args).map_err(EmitError::Encode)?;
        self.publish(Body::ServerSide { name: event.to_owned(), args, request: None });
        Ok(())
    }

    fn publish(&self, body: Body) {
        let namespace = Arc::clone(&self.namespace);
        // No node has this uid, and none takes it for one.
        self.cluster.publish(Packet { from: "emitter".into(), to: None, namespace, body });
    }

    /// Waits until all that was sent has been taken by the engine, or was dropped.
    ///
    /// # Errors
    ///
    /// When that takes longer than `patience`.
    pub async fn flush(&self, patience: Duration) -> Result<(), BusError> {
        self.cluster.flush(patience).await
    }

    /// Whether the engine is there.
    pub fn state(&self) -> ClusterState {
        self.cluster.state()
    }

    /// Counters from the beginning.
    pub fn stats(&self) -> ClusterStats {
        self.cluster.stats()
    }
}

fn names(rooms: &impl RoomNames) -> Vec<String> {
    let mut names = Vec::new();
    rooms.each_room(&mut |room| names.push(room.to_owned()));
    names
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("namespace", &self.namespace)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
