//! [`RedisSessionBus`]: the wire of `@socket.io/cluster-engine`, by plain publish and subscribe.
//!
//! | what | channel | body |
//! |---|---|---|
//! | what is for all nodes | `PREFIX#` | msgpack |
//! | what is for one | `PREFIX#NODE#` | as well |

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use ::redis::pipe;
use roomful::{SessionBus, SessionInlet, SessionLine};
use tokio::runtime::Handle;

use super::keeper::{self, Connection, Engine};
use super::outbox::Outgoing;
use crate::bus::{BusError, BusFuture};
use crate::redis::address::Address;
use crate::redis::link::Link;

/// A bus of sessions by Redis, from version 6 on, on the wire of `@socket.io/cluster-engine` 0.1: servers in
/// JavaScript with `RedisEngine` take part.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use roomful::Server;
/// use roomful_cluster::{Redis, RedisSessionBus};
///
/// let url = "redis://127.0.0.1:6379";
/// let io = Server::builder()
///     .adapter(Redis::connect(url).await?)
///     .session_bus(RedisSessionBus::connect(url).await?)
///     .build();
/// # drop(io);
/// # Ok(()) }
/// ```
///
/// Where the connection is lost, sessions end that other nodes serve, since nobody knows what was lost with it. It is
/// tried again at once, and then after up to 5 s. Up to 262,144 messages and 64 MiB wait to be published.
#[derive(Clone)]
pub struct RedisSessionBus {
    engine: Arc<RedisEngine>,
    runtime: Handle,
}

#[derive(Clone)]
struct RedisEngine {
    address: Address,
    prefix: String,
}

struct RedisConnection {
    link: Link,
    prefix: String,
}

impl RedisSessionBus {
    /// A bus by the Redis of this URL: `redis://[user:password@]host[:port][/database]`: see
    /// [`Redis::connect`](crate::Redis::connect).
    ///
    /// # Errors
    ///
    /// When the URL is none, or Redis cannot be connected to.
    pub async fn connect(url: &str) -> Result<Self, BusError> {
        let address = Address::parse(url)?;
        // Whether it can be connected to is known now; each server has connections of its own.
        Link::open(&address, |_| {}).await?.ping().await?;
        let engine = RedisEngine { address, prefix: "engine.io".to_owned() };
        Ok(Self { engine: Arc::new(engine), runtime: Handle::current() })
    }

    /// The prefix of all channels, the option `channelPrefix` of the official engine. Default `engine.io`.
    #[must_use]
    pub fn channel_prefix(mut self, prefix: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.engine).prefix = prefix.into();
        self
    }
}

impl SessionBus for RedisSessionBus {
    fn open(&self, node: &str, inlet: SessionInlet) -> Box<dyn SessionLine> {
        let engine: Arc<RedisEngine> = Arc::clone(&self.engine);
        keeper::open(engine, &self.runtime, node, inlet)
    }
}

impl Engine for RedisEngine {
    fn connect(&self, node: &str, inlet: SessionInlet) -> BusFuture<'_, Box<dyn Connection>> {
        let channels = [channel(&self.prefix, None), channel(&self.prefix, Some(node))];
        Box::pin(async move {
            let link = Link::open(&self.address, move |heard| inlet.hear(heard.payload())).await?;
            link.listen_all("SUBSCRIBE", &channels).await?;
            let connection = RedisConnection { link, prefix: self.prefix.clone() };
            Ok(Box::new(connection) as Box<dyn Connection>)
        })
    }
}

impl Connection for RedisConnection {
    fn publish(&self, messages: Vec<Outgoing>) -> BusFuture<'_, ()> {
        Box::pin(async move {
            let mut commands = pipe();
            for Outgoing { to, message } in &messages {
                let channel = channel(&self.prefix, to.as_deref());
                commands.cmd("PUBLISH").arg(channel).arg(&message[..]);
            }
            let refused = self.link.say_all(&commands).await?;
            // What is refused is lost, and nobody would be told.
            if refused > 0 { Err(BusError::new("Redis has refused to publish")) } else { Ok(()) }
        })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(self.link.ping())
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(self.link.ended())
    }
}

/// The channel of a node, or of all.
fn channel(prefix: &str, node: Option<&str>) -> String {
    match node {
        Some(node) => format!("{prefix}#{node}#"),
        None => format!("{prefix}#"),
    }
}

impl fmt::Debug for RedisSessionBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}

impl fmt::Debug for RedisEngine {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSessionBus").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
