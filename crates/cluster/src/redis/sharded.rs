//! [`ShardedRedis`]: the wire of `createShardedAdapter`, by the sharded publish and subscribe of Redis 7.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use ::redis::{Client, Cmd, cmd, pipe};
use roomful_proto::cluster::{Body, Packet, Presence, envelope};

use super::link::{self, Link};
use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet};
use crate::cluster::Cluster;
use crate::subscriptions::Subscriptions;

/// Channels that are subscribed or left by one command.
const CHANNELS_AT_ONCE: usize = 500;
/// Rooms with names as long as the id of a socket have no channel of their own, as in the official adapter.
const ID_CHARS: usize = 20;

/// Redis 7, on the wire of `createShardedAdapter` of `@socket.io/redis-adapter` 8.
pub struct ShardedRedis {
    client: Client,
    prefix: String,
    mode: SubscriptionMode,
}

/// Which channels there are. All servers of a cluster must have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionMode {
    /// Two for each namespace.
    Static,
    /// One more for each room of several sockets, so that events for it come only where somebody is in it. The
    /// default, as in the official adapter.
    #[default]
    Dynamic,
}

impl ShardedRedis {
    /// Joins a server to all that use this Redis: see [`Redis::connect`](crate::Redis::connect).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn connect(url: &str) -> Result<Cluster, BusError> {
        Cluster::connect(Self::new(url)?).await
    }

    /// The engine itself, to be given to [`Cluster::connect_with`].
    ///
    /// # Errors
    ///
    /// When the URL is none.
    pub fn new(url: &str) -> Result<Self, BusError> {
        let (prefix, mode) = ("socket.io".to_owned(), SubscriptionMode::default());
        Ok(Self { client: link::client(url)?, prefix, mode })
    }

    /// The prefix of all channels, the option `channelPrefix` of the official adapter. Default `socket.io`.
    #[must_use]
    pub fn channel_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Which channels there are, the option `subscriptionMode` of the official adapter.
    #[must_use]
    pub const fn subscription_mode(mut self, mode: SubscriptionMode) -> Self {
        self.mode = mode;
        self
    }
}

struct ShardedConnection {
    link: Link,
    prefix: String,
    mode: SubscriptionMode,
    subscriptions: Subscriptions,
}

impl Bus for ShardedRedis {
    fn presence(&self) -> Presence {
        Presence::Counted
    }

    fn follows_rooms(&self) -> bool {
        self.mode == SubscriptionMode::Dynamic
    }

    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let hear =
                move |heard: link::Heard| match envelope::decode(&heard.payload, inlet.limits()) {
                    Ok(packet) => inlet.deliver(packet),
                    Err(why) => inlet.refuse(why),
                };
            let link = Link::open(&self.client, hear).await?;
            let (prefix, mode) = (self.prefix.clone(), self.mode);
            let subscriptions = Subscriptions::default();
            let connection = ShardedConnection { link, prefix, mode, subscriptions };
            Ok(Box::new(connection) as Box<dyn Connection>)
        })
    }
}

impl ShardedConnection {
    fn channel(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.prefix)
    }

    /// That of a node, or of a room.
    fn channel_of(&self, namespace: &str, of: &str) -> String {
        format!("{}#{namespace}#{of}#", self.prefix)
    }

    /// Where a packet goes.
    fn channel_for(&self, packet: &Packet) -> String {
        let namespace = &*packet.namespace;
        match (&packet.to, &packet.body) {
            (Some(node), _) => self.channel_of(namespace, node),
            (None, Body::Emit { to, request: None, .. }) => match &*to.rooms {
                [room] if self.has_channel(room) => self.channel_of(namespace, room),
                _ => self.channel(namespace),
            },
            _ => self.channel(namespace),
        }
    }

    fn has_channel(&self, room: &str) -> bool {
        // As JavaScript counts.
        self.mode == SubscriptionMode::Dynamic && room.encode_utf16().count() != ID_CHARS
    }
}

impl Connection for ShardedConnection {
    fn subscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        self.subscriptions.add(namespace);
        Box::pin(async move {
            for channel in [self.channel(namespace), self.channel_of(namespace, uid)] {
                self.link.listen(cmd("SSUBSCRIBE").arg(channel).take()).await?;
            }
            Ok(())
        })
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        let is_last = self.subscriptions.remove(namespace);
        Box::pin(async move {
            let all = is_last.then(|| self.channel(namespace));
            for channel in [self.channel_of(namespace, uid)].into_iter().chain(all) {
                self.link.listen(cmd("SUNSUBSCRIBE").arg(channel).take()).await?;
            }
            Ok(())
        })
    }

    fn follow<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        rooms: &'a [(String, bool)],
    ) -> BusFuture<'a, ()> {
        Box::pin(async move {
            for (command, begun) in [("SSUBSCRIBE", true), ("SUNSUBSCRIBE", false)] {
                let rooms =
                    rooms.iter().filter(|(room, is)| *is == begun && self.has_channel(room));
                let channels: Vec<_> =
                    rooms.map(|(room, _)| self.channel_of(namespace, room)).collect();
                for channels in channels.chunks(CHANNELS_AT_ONCE) {
                    self.link.listen(cmd(command).arg(channels).take()).await?;
                }
            }
            Ok(())
        })
    }

    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let mut commands = pipe();
            for packet in packets {
                if let Some(payload) = envelope::encode(packet) {
                    let channel = self.channel_for(packet);
                    commands.cmd("SPUBLISH").arg(channel).arg(&payload[..]);
                }
            }
            self.link.say(&commands).await?;
            Ok(packets.len() - commands.len())
        })
    }

    fn count<'a>(&'a self, namespace: &'a Arc<str>) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let mut count: Cmd = cmd("PUBSUB");
            count.arg("SHARDNUMSUB").arg(self.channel(namespace));
            link::counted(&self.link.ask(count).await?)
        })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(self.link.ping())
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(self.link.ended())
    }
}

impl fmt::Debug for ShardedRedis {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardedRedis")
            .field("prefix", &self.prefix)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
