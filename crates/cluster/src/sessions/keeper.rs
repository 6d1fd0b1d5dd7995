//! The keeper: the task that has the connection of a bus of sessions.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful::{SessionInlet, SessionLine};
use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::outbox::{Outbox, Outgoing};
use crate::bus::{BusError, BusFuture};
use crate::keeper::jittered;

/// Messages that are published at once at most.
const PUBLISHED_AT_ONCE: usize = 256;
/// The first pause before it is tried again to connect, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long an engine may take for anything.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between signs of life of a connection.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// An engine: how it connects, and listens for a node.
pub(super) trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Connects. What is said to all and to the node is given to the inlet until the connection is dropped; when this
    /// is done, nothing that is said later is missed.
    fn connect(&self, node: &str, inlet: SessionInlet) -> BusFuture<'_, Box<dyn Connection>>;
}

/// A connection to an engine. It is dropped when a function of it fails.
pub(super) trait Connection: Send + Sync + 'static {
    /// What a message may have.
    fn message_bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Publishes messages, in order.
    fn publish(&self, messages: Vec<Outgoing>) -> BusFuture<'_, ()>;

    /// Asks the engine for a sign of life.
    fn ping(&self) -> BusFuture<'_, ()>;

    /// Waits until the connection has ended.
    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>>;
}

/// The line of a node by an engine.
struct KeptLine(Arc<Outbox>);

/// Keeps a node on an engine for as long as its line is held.
pub(super) fn open(
    engine: Arc<dyn Engine>,
    runtime: &Handle,
    node: &str,
    inlet: SessionInlet,
) -> Box<dyn SessionLine> {
    let outbox = Arc::new(Outbox::default());
    let keeper = Keeper { engine, node: node.to_owned(), inlet, outbox: Arc::clone(&outbox) };
    drop(runtime.spawn(keeper.run()));
    Box::new(KeptLine(outbox))
}

struct Keeper {
    engine: Arc<dyn Engine>,
    node: String,
    inlet: SessionInlet,
    outbox: Arc<Outbox>,
}

impl Keeper {
    async fn run(self) {
        let mut pause = PAUSES.0;
        while !self.outbox.is_closed() {
            let connected = self.engine.connect(&self.node, self.inlet.clone());
            match within(connected).await {
                Ok(connection) => {
                    pause = PAUSES.0;
                    self.outbox.take_up_to(connection.message_bytes_max());
                    let Err(error) = self.serve(&*connection).await else {
                        return;
                    };
                    drop(connection);
                    tracing::warn!(%error, engine = ?self.engine, "the bus of sessions is away");
                    // What waits belongs to sessions that end now.
                    self.outbox.clear();
                    self.inlet.interrupted();
                }
                Err(error) => {
                    tracing::warn!(%error, engine = ?self.engine, "the bus of sessions is not there");
                }
            }
            sleep(jittered(pause)).await;
            pause = (2 * pause).min(PAUSES.1);
        }
    }

    /// Says what is to be said, until nobody has the line any more; an error when the connection is lost.
    async fn serve(&self, connection: &dyn Connection) -> Result<(), BusError> {
        let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                messages = self.outbox.next(PUBLISHED_AT_ONCE) => match messages {
                    Some(messages) => within(connection.publish(messages)).await?,
                    None => return Ok(()),
                },
                _ = pings.tick() => within(connection.ping()).await?,
                error = connection.ended() => return Err(error),
            }
        }
    }
}

impl SessionLine for KeptLine {
    fn say(&self, to: Option<&str>, message: Bytes) -> bool {
        self.0.push(to, message)
    }
}

impl Drop for KeptLine {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn within<T>(done: BusFuture<'_, T>) -> Result<T, BusError> {
    let late = || BusError::new(format!("no answer within {PATIENCE:?}"));
    timeout(PATIENCE, done).await.unwrap_or_else(|_| Err(late()))
}
