//! [`RedisStreams`]: the wire of `@socket.io/redis-streams-adapter` 0.3.
//!
//! What is for sockets goes into a stream, which every node reads for itself. A node whose connection was lost for a
//! while reads on where it was. Requests and answers are published and forgotten.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{FromRedisValue as _, cmd, pipe};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use roomful_proto::cluster::{Body, Data, Packet, Presence, envelope};
use tokio::sync::Notify;

use super::address::Address;
use super::link::{self, Heard, Link};
use super::stream::{Stream, Taken, data_of};
use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet, KeptSession};
use crate::cluster::Cluster;
use crate::log::{Place, Reader};

/// Redis, on the wire of `@socket.io/redis-streams-adapter` 0.3, and of its emitter.
pub struct RedisStreams {
    address: Address,
    prefix: String,
    max_len: usize,
    stream: String,
    session_prefix: String,
    place: Place,
}

impl RedisStreams {
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
        Ok(Self {
            address: Address::parse(url)?,
            prefix: "socket.io".to_owned(),
            max_len: 10_000,
            stream: "socket.io".to_owned(),
            session_prefix: "sio:session:".to_owned(),
            place: Place::default(),
        })
    }

    /// The name of the stream, the option `streamName` of the official adapter. Default `socket.io`.
    #[must_use]
    pub fn stream_name(mut self, name: impl Into<String>) -> Self {
        self.stream = name.into();
        self
    }

    /// About how many entries the stream keeps, the option `maxLen` of the official adapter. Default 10,000.
    #[must_use]
    pub const fn max_len(mut self, entries: usize) -> Self {
        self.max_len = entries;
        self
    }

    /// The prefix of the keys of sessions, the option `sessionKeyPrefix` of the official adapter. Default
    /// `sio:session:`.
    #[must_use]
    pub fn session_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.session_prefix = prefix.into();
        self
    }

    /// The prefix of channels, the option `channelPrefix` of the official adapter. Default `socket.io`.
    #[must_use]
    pub fn channel_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

/// Whether a packet is published, and not kept in the stream.
const fn is_passing(body: &Body) -> bool {
    matches!(
        body,
        Body::Emit { request: Some(_), .. }
            | Body::Fetch { .. }
            | Body::ServerSide { .. }
            | Body::Vacate { .. }
    )
}

struct StreamsConnection {
    address: Address,
    link: Link,
    ended: Arc<Notify>,
    reader: Reader,
    inlet: Inlet,
    prefix: String,
    stream: String,
    session_prefix: String,
    max_len: usize,
}

impl Bus for RedisStreams {
    fn presence(&self) -> Presence {
        Presence::Counted
    }

    fn keeps_log(&self) -> bool {
        true
    }

    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let ended = Arc::new(Notify::new());
            let ear = inlet.clone();
            let hear =
                move |heard: Heard<'_>| match envelope::decode(&heard.payload(), ear.limits()) {
                    Ok(packet) => ear.deliver(packet),
                    Err(why) => ear.refuse(why),
                };
            let link = Link::open(&self.address, hear).await?;
            Ok(Box::new(StreamsConnection {
                address: self.address.clone(),
                link,
                reader: Reader::new(&self.place, inlet.clone(), Arc::clone(&ended)),
                ended,
                inlet,
                prefix: self.prefix.clone(),
                stream: self.stream.clone(),
                session_prefix: self.session_prefix.clone(),
                max_len: self.max_len,
            }) as Box<dyn Connection>)
        })
    }
}

impl StreamsConnection {
    fn channels(&self, namespace: &str, uid: &str) -> [String; 2] {
        let all = format!("{}#{namespace}#", self.prefix);
        let own = format!("{all}{uid}#");
        [all, own]
    }
}

impl Connection for StreamsConnection {
    fn begin(&self) -> BusFuture<'_, ()> {
        Box::pin(async {
            let stream = Stream::open(&self.address, &self.stream, &self.inlet).await?;
            self.reader.begin(stream).await
        })
    }

    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        uid: &'a Arc<str>,
        past: Option<Duration>,
    ) -> BusFuture<'a, ()> {
        Box::pin(async move {
            let (connection, name) = (self.link.speaker(), self.stream.clone());
            let mut stream =
                Stream { connection, name, inlet: self.inlet.clone(), taken: Taken::default() };
            self.reader.subscribe(namespace, uid, past, &mut stream).await?;
            let channels = self.channels(namespace, uid);
            self.link.listen_all("SUBSCRIBE", &channels).await
        })
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        let [all, own] = self.channels(namespace, uid);
        let mut channels = vec![own];
        channels.extend(self.reader.namespaces().remove(namespace).then_some(all));
        Box::pin(async move { self.link.listen_all("UNSUBSCRIBE", &channels).await })
    }

    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let mut commands = pipe();
            for packet in packets {
                let channel = match &packet.to {
                    Some(node) => Some(format!("{}#{}#{node}#", self.prefix, packet.namespace)),
                    None if is_passing(&packet.body) => {
                        Some(format!("{}#{}#", self.prefix, packet.namespace))
                    }
                    None => None,
                };
                if let Some(channel) = channel {
                    if let Some(payload) = envelope::encode_msgpack(packet) {
                        commands.cmd("PUBLISH").arg(channel).arg(&payload[..]);
                    }
                } else if let Some((kind, data)) = envelope::encode_data(&packet.unlogged()) {
                    let entry = commands.cmd("XADD");
                    entry.arg(&self.stream).arg("MAXLEN").arg("~").arg(self.max_len).arg("*");
                    entry.arg("uid").arg(&*packet.from).arg("nsp").arg(&*packet.namespace);
                    entry.arg("type").arg(kind);
                    if let Body::Logged(logged) = &packet.body {
                        entry.arg("number").arg(logged.number);
                    }
                    match data {
                        Some(data) if data.is_binary() => {
                            entry.arg("data").arg(BASE64.encode(data.to_msgpack()));
                        }
                        Some(data) => drop(entry.arg("data").arg(data.json)),
                        None => {}
                    }
                }
            }
            let refused = self.link.say_all(&commands).await?;
            Ok(packets.len() - commands.len() + refused)
        })
    }

    /// As the official adapter: msgpack, in Base64.
    fn keep_sessions<'a>(&'a self, sessions: &'a [KeptSession]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let mut commands = pipe();
            for KeptSession { key, json, keeps } in sessions {
                let Ok(data) = Data::from_json(json.as_bytes(), self.inlet.limits()) else {
                    continue;
                };
                let set = commands.cmd("SET").arg(format!("{}{key}", self.session_prefix));
                set.arg(BASE64.encode(data.to_msgpack()))
                    .arg("PX")
                    .arg(keeps.as_millis().max(1) as u64);
            }
            let refused = self.link.say_all(&commands).await?;
            Ok(sessions.len() - commands.len() + refused)
        })
    }

    fn take_sessions<'a>(&'a self, keys: &'a [String]) -> BusFuture<'a, Vec<Option<String>>> {
        Box::pin(async move {
            let mut commands = pipe();
            for key in keys {
                commands.cmd("GETDEL").arg(format!("{}{key}", self.session_prefix));
            }
            let answers = self.link.say(&commands).await?.into_iter().map(|answer| {
                let answer = link::answered(answer);
                let answer = answer.inspect_err(|why| {
                    tracing::warn!(%why, "a session cannot be taken out: that needs GETDEL of Redis 6.2");
                });
                let text: Option<String> = Option::from_redis_value(answer.ok()?).ok()?;
                let data = data_of(&text?, self.inlet.limits()).ok()?;
                String::from_utf8(data.json).ok()
            });
            Ok(answers.collect())
        })
    }

    fn count<'a>(&'a self, namespace: &'a Arc<str>) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let channel = format!("{}#{namespace}#", self.prefix);
            let count = cmd("PUBSUB").arg("NUMSUB").arg(channel).take();
            link::counted(&self.link.ask(count).await?)
        })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(self.link.ping())
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(async {
            tokio::select! {
                error = self.link.ended() => error,
                () = self.ended.notified() => BusError::new("the stream cannot be read any more"),
            }
        })
    }
}

impl fmt::Debug for RedisStreams {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreams").field("stream", &self.stream).finish_non_exhaustive()
    }
}
