//! [`NatsSessionBus`]: the messages of `@socket.io/cluster-engine` by NATS, on subjects of our own.
//!
//! | what | subject | body |
//! |---|---|---|
//! | what is for all nodes | `PREFIX` | msgpack |
//! | what is for one | `PREFIX.NODE` | as well |

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use roomful::{SessionBus, SessionInlet, SessionLine};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::keeper::{self, Connection, Engine};
use super::outbox::Outgoing;
use crate::bus::{BusError, BusFuture};
use crate::nats::{self, Echo};

/// A bus of sessions by NATS from version 2 on: plain subjects, without a stream.
///
/// NATS takes messages of up to 1 MiB unless its `max_payload` says otherwise. A longer one ends the session that it is
/// about, so that has to be larger than the longest event.
///
/// Where the connection is lost, it is as with [`RedisSessionBus`](crate::RedisSessionBus).
#[derive(Clone)]
pub struct NatsSessionBus {
    engine: Arc<NatsEngine>,
    runtime: Handle,
}

#[derive(Clone)]
struct NatsEngine {
    url: String,
    prefix: String,
}

struct NatsConnection {
    client: Client,
    prefix: String,
    ended: Arc<Notify>,
    reading: [AbortHandle; 2],
    echo: Echo,
}

impl NatsSessionBus {
    /// A bus by the NATS of this URL: `nats://[user:password@]host[:4222]`: see [`Nats::connect`](crate::Nats::connect).
    ///
    /// # Errors
    ///
    /// When NATS cannot be connected to.
    pub async fn connect(url: &str) -> Result<Self, BusError> {
        let engine = NatsEngine { url: url.to_owned(), prefix: "engine-io".to_owned() };
        drop(nats::connect(&engine.url, &Arc::default()).await?);
        Ok(Self { engine: Arc::new(engine), runtime: Handle::current() })
    }

    /// What all subjects begin with. Default `engine-io`.
    #[must_use]
    pub fn subject_prefix(mut self, prefix: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.engine).prefix = prefix.into();
        self
    }
}

impl SessionBus for NatsSessionBus {
    fn open(&self, node: &str, inlet: SessionInlet) -> Box<dyn SessionLine> {
        let engine: Arc<NatsEngine> = Arc::clone(&self.engine);
        keeper::open(engine, &self.runtime, node, inlet)
    }
}

impl Engine for NatsEngine {
    fn connect(&self, node: &str, inlet: SessionInlet) -> BusFuture<'_, Box<dyn Connection>> {
        let subjects = [subject(&self.prefix, None), subject(&self.prefix, Some(node))];
        Box::pin(async move {
            let ended = Arc::new(Notify::new());
            let client = nats::connect(&self.url, &ended).await?;
            let echo = Echo::new(&client).await?;
            let [all, own] = subjects;
            let all = client.subscribe(all).await.map_err(BusError::new)?;
            let own = client.subscribe(own).await.map_err(BusError::new)?;
            // From here on nothing is missed.
            echo.wait(&client).await?;
            let read = |subscriber| tokio::spawn(read(subscriber, inlet.clone())).abort_handle();
            let reading = [read(all), read(own)];
            let prefix = self.prefix.clone();
            let connection = NatsConnection { client, prefix, ended, reading, echo };
            Ok(Box::new(connection) as Box<dyn Connection>)
        })
    }
}

async fn read(mut subscriber: Subscriber, inlet: SessionInlet) {
    while let Some(message) = subscriber.next().await {
        inlet.hear(message.payload);
    }
}

impl Connection for NatsConnection {
    fn message_bytes_max(&self) -> usize {
        self.client.server_info().max_payload
    }

    fn publish(&self, messages: Vec<Outgoing>) -> BusFuture<'_, ()> {
        Box::pin(async move {
            for Outgoing { to, message } in messages {
                let subject = subject(&self.prefix, to.as_deref());
                self.client.publish(subject, message).await.map_err(BusError::new)?;
            }
            self.client.flush().await.map_err(BusError::new)
        })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(self.echo.wait(&self.client))
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(nats::lost(&self.ended))
    }
}

impl Drop for NatsConnection {
    fn drop(&mut self) {
        // The subscriptions end with their tasks.
        self.reading.iter().for_each(AbortHandle::abort);
    }
}

/// The subject of a node, or of all.
fn subject(prefix: &str, node: Option<&str>) -> String {
    match node {
        Some(node) => format!("{prefix}.{node}"),
        None => prefix.to_owned(),
    }
}

impl fmt::Debug for NatsSessionBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}

impl fmt::Debug for NatsEngine {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSessionBus").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
