//! [`Redis`]: the wire of `@socket.io/redis-adapter`, by plain publish and subscribe.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{cmd, pipe};
use parking_lot::RwLock;
use roomful_proto::cluster::classic::{self, Channel};
use roomful_proto::cluster::{Malformed, Packet, Presence};

use super::address::Address;
use super::link::{self, Heard, Link};
use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet};
use crate::cluster::{Cluster, ClusterSettings};

/// Redis, on the wire of `@socket.io/redis-adapter` 8: a single Redis, or one behind a proxy, from version 6 on.
///
/// Servers in JavaScript with `createAdapter(pubClient, subClient)` take part, and `@socket.io/redis-emitter` reaches
/// all.
pub struct Redis {
    address: Address,
    key: String,
}

impl Redis {
    /// Joins a server to all that use this Redis: `redis://[user:password@]host[:port][/database]`, and `rediss:` over
    /// TLS with the feature `redis-tls`. With the feature `redis-sentinel`, the master that Sentinels know:
    /// `redis+sentinel://[user:password@]host[:26379][,host…]/name[/database]`.
    ///
    /// # Errors
    ///
    /// When the URL is none, or Redis cannot be connected to.
    pub async fn connect(url: &str) -> Result<Cluster, BusError> {
        Cluster::connect(Self::new(url)?).await
    }

    /// As [`connect`](Self::connect), with settings of your own.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn connect_with(url: &str, settings: ClusterSettings) -> Result<Cluster, BusError> {
        Cluster::connect_with(Self::new(url)?, settings).await
    }

    /// The engine itself, to be given to [`Cluster::connect_with`].
    ///
    /// # Errors
    ///
    /// When the URL is none.
    pub fn new(url: &str) -> Result<Self, BusError> {
        Ok(Self { address: Address::parse(url)?, key: "socket.io".to_owned() })
    }

    /// The prefix of all channels, the option `key` of the official adapter. Default `socket.io`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }
}

/// The namespaces that are subscribed, each as often as it is.
type Namespaces = Arc<RwLock<Vec<Subscribed>>>;

/// A namespace, and the pattern of the channels of its events.
struct Subscribed {
    namespace: Arc<str>,
    pattern: String,
}

struct ClassicConnection {
    link: Link,
    key: String,
    namespaces: Namespaces,
}

impl Bus for Redis {
    fn presence(&self) -> Presence {
        Presence::Counted
    }

    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let namespaces = Namespaces::default();
            let ear = Ear { inlet, key: self.key.clone(), namespaces: Arc::clone(&namespaces) };
            let link = Link::open(&self.address, move |heard| ear.hear(heard)).await?;
            let key = self.key.clone();
            Ok(Box::new(ClassicConnection { link, key, namespaces }) as Box<dyn Connection>)
        })
    }
}

/// What reads what is heard.
struct Ear {
    inlet: Inlet,
    key: String,
    namespaces: Namespaces,
}

impl Ear {
    fn hear(&self, heard: Heard<'_>) {
        match self.read(heard) {
            Ok(Some(packet)) => self.inlet.deliver(packet),
            Ok(None) => self.inlet.pass_over(),
            Err(why) => self.inlet.refuse(why),
        }
    }

    /// `None` where it is for nobody here.
    fn read(&self, heard: Heard<'_>) -> Result<Option<Packet>, Malformed> {
        let limits = self.inlet.limits();
        let (kind, rest) = split(heard.channel, &self.key).ok_or(Malformed::NotAPacket)?;
        let namespace = self.namespace(heard, rest).ok_or(Malformed::NotAPacket)?;
        match kind {
            "" => {
                let room = classic::room_of(rest.get(namespace.len() + 1..).unwrap_or_default());
                if room.is_some_and(|room| !self.inlet.has_room(&namespace, room)) {
                    return Ok(None);
                }
                classic::decode_event(&namespace, &heard.payload(), limits)
            }
            "-request" => classic::decode_request(&namespace, &heard.payload(), limits).map(Some),
            "-response" => classic::decode_answer(&namespace, &heard.payload(), limits).map(Some),
            _ => Err(Malformed::NotAPacket),
        }
    }

    /// The namespace of a channel. One of events may fit the patterns of two, and is heard once for each.
    fn namespace(&self, heard: Heard<'_>, rest: &str) -> Option<Arc<str>> {
        let is_of = |subscribed: &&Subscribed| match heard.pattern {
            Some(pattern) => *pattern == *subscribed.pattern,
            None => {
                let rest = rest.strip_prefix(&*subscribed.namespace);
                rest.is_some_and(|rest| rest.starts_with('#'))
            }
        };
        let namespaces = self.namespaces.read();
        let found = namespaces.iter().filter(is_of).max_by_key(|found| found.namespace.len());
        found.map(|found| Arc::clone(&found.namespace))
    }
}

/// What stands between the key and the first `#` in the name of a channel, and what stands behind that.
fn split<'a>(channel: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    channel.strip_prefix(key)?.split_once('#')
}

impl ClassicConnection {
    /// The channels of a namespace beside that of its events.
    fn channels(&self, namespace: &str, uid: &str) -> [String; 3] {
        let answers = Channel::Answers.name(&self.key, namespace);
        let own = format!("{answers}{uid}#");
        [Channel::Requests.name(&self.key, namespace), answers, own]
    }

    /// Subscribed once less; `true` when it is not at all any more.
    fn forget(&self, namespace: &Arc<str>) -> bool {
        let mut namespaces = self.namespaces.write();
        let is_this = |subscribed: &Subscribed| subscribed.namespace == *namespace;
        if let Some(at) = namespaces.iter().position(is_this) {
            namespaces.swap_remove(at);
        }
        !namespaces.iter().any(is_this)
    }

    fn pattern(&self, namespace: &str) -> String {
        escaped(&Channel::Events(None).name(&self.key, namespace)) + "*"
    }
}

impl Connection for ClassicConnection {
    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        uid: &'a Arc<str>,
        _past: Option<Duration>,
    ) -> BusFuture<'a, ()> {
        Box::pin(async move {
            let (pattern, channels) = (self.pattern(namespace), self.channels(namespace, uid));
            let psubscribe = cmd("PSUBSCRIBE").arg(&pattern).take();
            let namespace = Arc::clone(namespace);
            self.namespaces.write().push(Subscribed { namespace, pattern });
            self.link.listen(psubscribe).await?;
            self.link.listen_all("SUBSCRIBE", &channels).await
        })
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        Box::pin(async move {
            let is_last = self.forget(namespace);
            let [requests, answers, own] = self.channels(namespace, uid);
            let mut channels = vec![own];
            if is_last {
                channels.extend([requests, answers]);
                self.link.listen(cmd("PUNSUBSCRIBE").arg(self.pattern(namespace)).take()).await?;
            }
            self.link.listen_all("UNSUBSCRIBE", &channels).await
        })
    }

    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let mut commands = pipe();
            for packet in packets {
                if let Some((channel, payload)) = classic::encode(packet) {
                    let channel = channel.name(&self.key, &packet.namespace);
                    commands.cmd("PUBLISH").arg(channel).arg(&payload[..]);
                }
            }
            let refused = self.link.say_all(&commands).await?;
            Ok(packets.len() - commands.len() + refused)
        })
    }

    fn count<'a>(&'a self, namespace: &'a Arc<str>) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let channel = Channel::Requests.name(&self.key, namespace);
            let counted = self.link.ask(cmd("PUBSUB").arg("NUMSUB").arg(channel).take()).await?;
            link::counted(&counted)
        })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(self.link.ping())
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(self.link.ended())
    }
}

/// A text as a pattern that is just that text.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

impl fmt::Debug for Redis {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("key", &self.key).finish_non_exhaustive()
    }
}
