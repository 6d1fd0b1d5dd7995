//! [`ShardedRedis`]: the wire of `createShardedAdapter`, by the sharded publish and subscribe of Redis 7.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use roomful::adapter::WatchedRooms;
use roomful_proto::cluster::{Body, Packet, Presence, envelope};

use super::address::Address;
use super::link::{Heard, Link};
#[cfg(feature = "redis-cluster")]
use super::shards::many;
use super::shards::{Ear, Shards};
use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet};
use crate::cluster::Cluster;
use crate::subscriptions::Subscriptions;

/// Rooms with names as long as the id of a socket have no channel of their own where single sockets have none, as in
/// the official adapter.
const ID_CHARS: usize = 20;

/// Redis 7, on the wire of `createShardedAdapter` of `@socket.io/redis-adapter` 8: a single Redis, or a Redis Cluster.
pub struct ShardedRedis {
    at: At,
    prefix: String,
    mode: SubscriptionMode,
}

enum At {
    One(Address),
    #[cfg(feature = "redis-cluster")]
    Many(Vec<String>),
}

/// Which channels there are. All servers of a cluster must have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionMode {
    /// Two for each namespace.
    Static,
    /// One more for each room that sockets have joined, so that events for it come only where somebody is in it. The
    /// default, as in the official adapter.
    #[default]
    Dynamic,
    /// One more for each single socket as well: where much is sent to single sockets. Each socket that comes or goes
    /// is then a command to Redis.
    DynamicPrivate,
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
        Ok(Self::at(At::One(Address::parse(url)?)))
    }

    /// A Redis Cluster, by the URLs of some of its nodes: the others are found. Channels are spread over its nodes, so
    /// each event goes to one of them only. Events to one room stay in order; those to another room may overtake them,
    /// since they go by another node.
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::at(At::Many(urls.into_iter().map(Into::into).collect()))
    }

    fn at(at: At) -> Self {
        Self { at, prefix: "socket.io".to_owned(), mode: SubscriptionMode::default() }
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
    shards: Box<dyn Shards>,
    prefix: String,
    mode: SubscriptionMode,
    subscriptions: Subscriptions,
}

impl Bus for ShardedRedis {
    fn presence(&self) -> Presence {
        Presence::Counted
    }

    fn follows_rooms(&self) -> Option<WatchedRooms> {
        match self.mode {
            SubscriptionMode::Static => None,
            SubscriptionMode::Dynamic => Some(WatchedRooms::Joined),
            SubscriptionMode::DynamicPrivate => Some(WatchedRooms::All),
        }
    }

    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let ear: Ear = Arc::new(move |heard: Heard<'_>| {
                match envelope::decode(&heard.payload(), inlet.limits()) {
                    Ok(packet) => inlet.deliver(packet),
                    Err(why) => inlet.refuse(why),
                }
            });
            let shards: Box<dyn Shards> = match &self.at {
                At::One(address) => Box::new(Link::open(address, move |heard| ear(heard)).await?),
                #[cfg(feature = "redis-cluster")]
                At::Many(urls) => Box::new(many::Cluster::open(urls, ear).await?),
            };
            let (prefix, mode) = (self.prefix.clone(), self.mode);
            let subscriptions = Subscriptions::default();
            let connection = ShardedConnection { shards, prefix, mode, subscriptions };
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
                [room] if self.has_channel(namespace, room) => self.channel_of(namespace, room),
                _ => self.channel(namespace),
            },
            _ => self.channel(namespace),
        }
    }

    fn has_channel(&self, namespace: &str, room: &str) -> bool {
        // One that stands for others is told of no rooms. Its name is a pattern, and what looks like one is heard by
        // all of the namespace as well.
        let is_pattern = namespace.contains(['{', '*']);
        match self.mode {
            SubscriptionMode::Static => false,
            // As JavaScript counts.
            SubscriptionMode::Dynamic => !is_pattern && room.encode_utf16().count() != ID_CHARS,
            SubscriptionMode::DynamicPrivate => !is_pattern,
        }
    }
}

impl Connection for ShardedConnection {
    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        uid: &'a Arc<str>,
        _past: Option<Duration>,
    ) -> BusFuture<'a, ()> {
        self.subscriptions.add(namespace);
        let channels = vec![self.channel(namespace), self.channel_of(namespace, uid)];
        self.shards.follow(channels, true)
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        let is_last = self.subscriptions.remove(namespace);
        let all = is_last.then(|| self.channel(namespace));
        let channels = [self.channel_of(namespace, uid)].into_iter().chain(all).collect();
        self.shards.follow(channels, false)
    }

    fn follow<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        rooms: &'a [(String, bool)],
    ) -> BusFuture<'a, ()> {
        Box::pin(async move {
            for begins in [true, false] {
                let rooms = rooms
                    .iter()
                    .filter(|(room, is)| *is == begins && self.has_channel(namespace, room));
                let channels = rooms.map(|(room, _)| self.channel_of(namespace, room)).collect();
                self.shards.follow(channels, begins).await?;
            }
            Ok(())
        })
    }

    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let said = packets.iter().filter_map(|packet| {
                let payload = envelope::encode(packet)?;
                Some((self.channel_for(packet), payload))
            });
            let said: Vec<_> = said.collect();
            let unsaid = packets.len() - said.len();
            Ok(unsaid + self.shards.publish(said).await?)
        })
    }

    fn count<'a>(&'a self, namespace: &'a Arc<str>) -> BusFuture<'a, usize> {
        self.shards.count(self.channel(namespace))
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        self.shards.ping()
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        self.shards.ended()
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
