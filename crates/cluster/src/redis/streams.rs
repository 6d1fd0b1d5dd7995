//! [`RedisStreams`]: the wire of `@socket.io/redis-streams-adapter` 0.3.
//!
//! What is for sockets goes into a stream, which every node reads for itself. A node whose connection was lost for a
//! while reads on where it was. Requests and answers are published and forgotten.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::{StreamId, StreamReadReply};
use ::redis::{AsyncConnectionConfig, Client, FromRedisValue as _, Value, cmd, pipe};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use parking_lot::Mutex;
use roomful_proto::Limits;
use roomful_proto::cluster::{Body, Data, Malformed, Offset, Packet, Presence, envelope};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};

use super::history::{self, History};
use super::link::{self, Heard, Link};
use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet, KeptSession};
use crate::cluster::Cluster;
use crate::subscriptions::Subscriptions;

/// Entries of the stream that are read at once.
const READ_COUNT: usize = 100;
/// How long a read waits for the next entry.
const BLOCK: Duration = Duration::from_secs(5);

/// Redis, on the wire of `@socket.io/redis-streams-adapter` 0.3, and of its emitter.
pub struct RedisStreams {
    client: Client,
    prefix: String,
    max_len: usize,
    stream: String,
    session_prefix: String,
    /// The last entry that was read: the next connection goes on behind it.
    read: Arc<Position>,
    /// The task that reads: the next one begins when it has ended, so that nothing is read by both.
    reading: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
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
            client: link::client(url)?,
            prefix: "socket.io".to_owned(),
            max_len: 10_000,
            stream: "socket.io".to_owned(),
            session_prefix: "sio:session:".to_owned(),
            read: Arc::default(),
            reading: Arc::default(),
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

/// What a connection needs to begin to read.
struct Reader {
    client: Client,
    stream: String,
    read: Arc<Position>,
    reading: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
    inlet: Inlet,
}

/// The last entry that was read; `None` before there was a connection. Whoever brings entries has the lock, so what a
/// namespace had before it came is brought in front of all that comes.
type Position = tokio::sync::Mutex<Option<Offset>>;

impl Reader {
    /// Begins to read where the last connection was, or at the end.
    async fn begin(
        &self,
        namespaces: Subscriptions,
        ended: Arc<Notify>,
    ) -> Result<AbortHandle, BusError> {
        let mut reading = self.reading.lock().await;
        if let Some(before) = reading.take() {
            before.abort();
            // It may be in the middle of what it has read, and says then where it was.
            drop(before.await);
        }
        // A read waits for as long as it says itself.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(link::PATIENCE))
            .set_response_timeout(Some(BLOCK + link::PATIENCE));
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.find_position(&mut connection).await?;
        let (stream, read, inlet) =
            (self.stream.clone(), Arc::clone(&self.read), self.inlet.clone());
        let task = tokio::spawn(async move {
            let error = read_on(&mut connection, &stream, &read, &namespaces, &inlet).await;
            tracing::debug!(%error, stream, "the stream is not read any more");
            ended.notify_one();
        });
        let handle = task.abort_handle();
        *reading = Some(task);
        Ok(handle)
    }

    /// Where to go on. What was read last may be gone, and what came behind it with it.
    async fn find_position(&self, connection: &mut MultiplexedConnection) -> Result<(), BusError> {
        let mut read = self.read.lock().await;
        let last = history::last_entry(connection, &self.stream, "+").await?;
        let Some(known) = *read else {
            *read = Some(last);
            return Ok(());
        };
        if known != Offset::BEGINNING
            && history::last_entry(connection, &self.stream, &known.to_string()).await? != known
        {
            // A Redis that has begun anew may give ids that are before those of old.
            let from = known.min(last);
            tracing::warn!(stream = self.stream, "entries of the stream were lost");
            self.inlet.begin_anew(from);
            *read = Some(from);
        }
        Ok(())
    }
}

/// Reads until something fails.
async fn read_on(
    connection: &mut MultiplexedConnection,
    stream: &str,
    read: &Position,
    namespaces: &Subscriptions,
    inlet: &Inlet,
) -> BusError {
    loop {
        let from = read.lock().await.unwrap_or_default();
        let mut command = cmd("XREAD");
        command.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("COUNT").arg(READ_COUNT);
        command.arg("STREAMS").arg(stream).arg(from.to_string());
        let reply = match connection.send_packed_command(&command).await {
            Ok(Value::Nil) => continue,
            Ok(reply) => reply,
            Err(error) => return error.into(),
        };
        let reply = match link::answered(reply) {
            Ok(reply) => reply,
            Err(why) => return why,
        };
        let reply = match StreamReadReply::from_redis_value(reply) {
            Ok(reply) => reply,
            Err(error) => return BusError::new(error),
        };
        let mut read = read.lock().await;
        for entry in reply.keys.into_iter().flat_map(|key| key.ids) {
            let Ok(offset) = entry.id.parse() else {
                return BusError::new("the id of an entry is none");
            };
            match Entry::read(entry, |namespace| namespaces.contains(namespace), inlet.limits()) {
                Ok(Some(Entry { packet, number })) if is_logged(&packet.body) => {
                    inlet.deliver_logged(offset, number, packet);
                }
                Ok(Some(Entry { packet, .. })) => inlet.deliver(packet),
                Ok(None) => inlet.pass_over(),
                Err(why) => inlet.refuse(why),
            }
            *read = Some(offset);
        }
    }
}

/// Whether it is of the log, and not only carried by the stream.
pub(super) const fn is_logged(body: &Body) -> bool {
    matches!(body, Body::Emit { request: None, .. } | Body::Gap)
}

/// An entry of the stream.
pub(super) struct Entry {
    pub(super) packet: Packet,
    /// By which its node knows it.
    number: u64,
}

impl Entry {
    /// Reads one; `None` where it is of a namespace that is not meant: the stream has those of all.
    pub(super) fn read(
        mut entry: StreamId,
        is_meant: impl Fn(&str) -> bool,
        limits: &Limits,
    ) -> Result<Option<Self>, Malformed> {
        let mut field = |name: &str| {
            let value = entry.map.remove(name)?;
            String::from_redis_value(value).ok()
        };
        let missing = Malformed::NotAPacket;
        let (uid, namespace) = (field("uid").ok_or(missing)?, field("nsp").ok_or(missing)?);
        if !is_meant(&namespace) {
            return Ok(None);
        }
        let kind = field("type").and_then(|kind| kind.parse().ok()).ok_or(missing)?;
        let number = field("number").and_then(|number| number.parse().ok()).unwrap_or(0);
        let data = field("data").map(|data| data_of(data, limits)).transpose()?;
        let packet =
            envelope::decode_data(uid.into(), namespace.into(), kind, data.as_ref(), limits)?;
        Ok(Some(Self { packet, number }))
    }
}

fn data_of(data: String, limits: &Limits) -> Result<Data, Malformed> {
    if data.len() > limits.payload_bytes_max {
        return Err(Malformed::TooLarge);
    }
    if data.starts_with('{') {
        return Data::from_json(data.as_bytes(), limits);
    }
    let bytes = BASE64.decode(data).map_err(|_| Malformed::NotAPacket)?;
    Data::from_msgpack(&Bytes::from(bytes), limits)
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
    link: Link,
    namespaces: Subscriptions,
    ended: Arc<Notify>,
    reader: Reader,
    /// Ends with the connection.
    reading: Mutex<Option<AbortHandle>>,
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
            let hear = move |heard: Heard| match envelope::decode(&heard.payload, ear.limits()) {
                Ok(packet) => ear.deliver(packet),
                Err(why) => ear.refuse(why),
            };
            let link = Link::open(&self.client, hear).await?;
            Ok(Box::new(StreamsConnection {
                link,
                namespaces: Subscriptions::default(),
                ended,
                reader: Reader {
                    client: self.client.clone(),
                    stream: self.stream.clone(),
                    read: Arc::clone(&self.read),
                    reading: Arc::clone(&self.reading),
                    inlet,
                },
                reading: Mutex::default(),
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
    /// When all are subscribed: entries of a namespace that is not are passed over for good.
    fn begin(&self) -> BusFuture<'_, ()> {
        Box::pin(async {
            let begun = self.reader.begin(self.namespaces.clone(), Arc::clone(&self.ended)).await?;
            *self.reading.lock() = Some(begun);
            Ok(())
        })
    }

    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        uid: &'a Arc<str>,
        past: Option<Duration>,
    ) -> BusFuture<'a, ()> {
        Box::pin(async move {
            // Nothing is brought meanwhile: what was before comes first.
            let mut read = self.reader.read.lock().await;
            if let Some(past) = past {
                let upto = match *read {
                    Some(upto) => upto,
                    None => *read.insert(
                        history::last_entry(&mut self.link.speaker(), &self.stream, "+").await?,
                    ),
                };
                let history = History { stream: &self.stream, namespace, uid, upto };
                let brought =
                    history.bring(&mut self.link.speaker(), past, &self.reader.inlet).await;
                if let Err(why) = brought {
                    if !why.is_refusal() {
                        return Err(why);
                    }
                    tracing::warn!(%why, "clients that were lost before cannot be recovered here");
                    self.reader.inlet.begin_log(namespace, uid, upto);
                }
            }
            self.namespaces.add(namespace);
            drop(read);
            let channels = self.channels(namespace, uid);
            self.link.listen(cmd("SUBSCRIBE").arg(&channels).take()).await
        })
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        let [all, own] = self.channels(namespace, uid);
        let mut channels = vec![own];
        channels.extend(self.namespaces.remove(namespace).then_some(all));
        Box::pin(self.link.listen(cmd("UNSUBSCRIBE").arg(&channels).take()))
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
    fn keep_sessions<'a>(&'a self, sessions: &'a [KeptSession]) -> BusFuture<'a, ()> {
        Box::pin(async move {
            let mut commands = pipe();
            for KeptSession { key, json, keeps } in sessions {
                let data = Data::from_json(json.as_bytes(), self.reader.inlet.limits());
                let data = data.map_err(BusError::refusal)?;
                let set = commands.cmd("SET").arg(format!("{}{key}", self.session_prefix));
                set.arg(BASE64.encode(data.to_msgpack()))
                    .arg("PX")
                    .arg(keeps.as_millis().max(1) as u64);
            }
            self.link.say_all(&commands).await.map(drop)
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
                let data = data_of(text?, self.reader.inlet.limits()).ok()?;
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

impl Drop for StreamsConnection {
    fn drop(&mut self) {
        self.reading.lock().iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for RedisStreams {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreams").field("stream", &self.stream).finish_non_exhaustive()
    }
}
