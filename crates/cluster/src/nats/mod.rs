//! [`Nats`]: NATS, with a wire of our own.
//!
//! | what | subject | body |
//! |---|---|---|
//! | what is for all nodes of a namespace | `PREFIX.NSP` | the envelope: JSON, or msgpack where there are bytes in it |
//! | an answer | `PREFIX.NSP.UID` | as well |
//!
//! `NSP` is the name of the namespace in base64url (RFC 4648 section 5) without padding, since names may have dots and
//! spaces, and subjects may not.
//!
//! With a [log](Nats::with_log) a stream of JetStream keeps all that is said to `PREFIX.NSP`, by whichever node, and
//! nodes read it there.

mod event_log;
mod link;
mod sessions;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use roomful_proto::cluster::{Packet, Presence, envelope};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::event_log::{EventLog, LogSettings};
pub(crate) use self::link::{Echo, connect, lost};
use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet, KeptSession};
use crate::cluster::Cluster;
use crate::log::{Place, Reader};

/// NATS from version 2 on: plain subjects, and a stream of JetStream where events are [kept](Nats::with_log).
pub struct Nats {
    url: String,
    prefix: String,
    log: Option<LogSettings>,
    place: Place,
}

impl Nats {
    /// Joins a server to all that use this NATS: `nats://[user:password@]host[:4222]`, or `token@`, or several with commas
    /// between and the same user. Special characters of a password are percent-encoded.
    ///
    /// # Errors
    ///
    /// When NATS cannot be connected to.
    pub async fn connect(url: &str) -> Result<Cluster, BusError> {
        Cluster::connect(Self::new(url)).await
    }

    /// The engine itself, to be given to [`Cluster::connect_with`].
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "socket-io".to_owned(),
            log: None,
            place: Place::default(),
        }
    }

    /// What all subjects begin with. Default `socket-io`.
    #[must_use]
    pub fn subject_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Keeps events in a stream of JetStream for a while, so that a client that was lost at one node is recovered by any
    /// other: with [`Builder::recovery`](roomful::Builder::recovery). NATS 2.9 or later, started with `-js`.
    ///
    /// A node without it may be in the same cluster: what it sends is kept as well, and its own clients are recovered
    /// nowhere else.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use roomful::{Recovery, Server};
    /// use roomful_cluster::{Cluster, Nats};
    ///
    /// let cluster = Cluster::connect(Nats::new("nats://127.0.0.1:4222").with_log()).await?;
    /// let io = Server::builder().adapter(cluster).recovery(Recovery::new()).build();
    /// # Ok(()) }
    /// ```
    ///
    /// Two streams are made where they are missing, on disk. Their names have the prefix of the subjects, with `_` for
    /// what a name cannot have. Sessions lie there under a hash of their secrets:
    ///
    /// | stream | subjects | keeps |
    /// |---|---|---|
    /// | `PREFIX_events` | `PREFIX.*` | what is for all nodes, heartbeats and requests with it |
    /// | `PREFIX_sessions` | `PREFIX.sessions.*` | the last of each |
    #[must_use]
    pub fn with_log(mut self) -> Self {
        self.log.get_or_insert_default();
        self
    }

    /// How long events and sessions stay in the log, where that is made. It should be more than the
    /// [window](roomful::RecoveryBuilder::window) of the recovery and what it takes to notice that a client is lost.
    /// Default 5 minutes.
    #[must_use]
    pub fn log_age(mut self, age: Duration) -> Self {
        self.log.get_or_insert_default().age = age;
        self
    }

    /// How many bytes of events stay in the log, and how many of sessions, where that is made: the oldest make room.
    /// Default 256 MiB each.
    #[must_use]
    pub fn log_bytes_max(mut self, bytes: usize) -> Self {
        self.log.get_or_insert_default().bytes_max = bytes;
        self
    }

    /// How many servers of a NATS cluster keep the log, where that is made: 1, 3 or 5. Default 1.
    #[must_use]
    pub fn log_replicas(mut self, replicas: usize) -> Self {
        self.log.get_or_insert_default().replicas = replicas;
        self
    }
}

impl Bus for Nats {
    fn presence(&self) -> Presence {
        Presence::Heartbeats
    }

    fn keeps_log(&self) -> bool {
        self.log.is_some()
    }

    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let ended = Arc::new(Notify::new());
            let client = connect(&self.url, &ended).await?;
            let echo = Echo::new(&client).await?;
            let mut log = None;
            if let Some(settings) = &self.log {
                let events = EventLog::open(&client, &self.prefix, settings).await?;
                log = Some((events, Reader::new(&self.place, inlet.clone(), Arc::clone(&ended))));
            }
            let (prefix, reading) = (self.prefix.clone(), Mutex::default());
            let connection = NatsConnection { client, inlet, prefix, ended, reading, echo, log };
            Ok(Box::new(connection) as Box<dyn Connection>)
        })
    }
}

struct NatsConnection {
    client: Client,
    inlet: Inlet,
    prefix: String,
    ended: Arc<Notify>,
    /// The tasks that read subscriptions, by their subject, and how often that is subscribed.
    reading: Mutex<HashMap<String, Reading>>,
    echo: Echo,
    log: Option<(EventLog, Reader)>,
}

struct Reading {
    task: AbortHandle,
    times: usize,
}

/// The subject of what is for all nodes of a namespace.
fn subject(prefix: &str, namespace: &str) -> String {
    format!("{prefix}.{}", BASE64.encode(namespace))
}

impl NatsConnection {
    async fn listen(&self, subject: String, namespace: Arc<str>) -> Result<(), BusError> {
        if let Some(reading) = self.reading.lock().get_mut(&subject) {
            reading.times += 1;
            return Ok(());
        }
        let subscriber = self.client.subscribe(subject.clone()).await.map_err(BusError::new)?;
        // From here on nothing is missed.
        self.echo.wait(&self.client).await?;
        let task = tokio::spawn(read(subscriber, namespace, self.inlet.clone())).abort_handle();
        self.reading.lock().insert(subject, Reading { task, times: 1 });
        Ok(())
    }

    fn forget(&self, subject: &str) {
        let mut reading = self.reading.lock();
        let Some(found) = reading.get_mut(subject) else {
            return;
        };
        found.times -= 1;
        if found.times == 0 {
            // The subscription ends with its task.
            found.task.abort();
            reading.remove(subject);
        }
    }
}

async fn read(mut subscriber: Subscriber, namespace: Arc<str>, inlet: Inlet) {
    while let Some(message) = subscriber.next().await {
        match envelope::decode_in(Some(&namespace), &message.payload, inlet.limits()) {
            Ok(packet) => inlet.deliver(packet),
            Err(why) => inlet.refuse(why),
        }
    }
}

impl Connection for NatsConnection {
    fn begin(&self) -> BusFuture<'_, ()> {
        Box::pin(async {
            match &self.log {
                Some((log, reader)) => {
                    reader.begin(log.stream(self.inlet.limits()).begun().await?).await
                }
                None => Ok(()),
            }
        })
    }

    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        uid: &'a Arc<str>,
        past: Option<Duration>,
    ) -> BusFuture<'a, ()> {
        Box::pin(async move {
            let subject = subject(&self.prefix, namespace);
            self.listen(format!("{subject}.{uid}"), Arc::clone(namespace)).await?;
            match &self.log {
                Some((log, reader)) => {
                    let mut stream = log.stream(self.inlet.limits());
                    reader.subscribe(namespace, uid, past, &mut stream).await
                }
                None => self.listen(subject, Arc::clone(namespace)).await,
            }
        })
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        let subject = subject(&self.prefix, namespace);
        self.forget(&format!("{subject}.{uid}"));
        match &self.log {
            Some((_, reader)) => drop(reader.namespaces().remove(namespace)),
            None => self.forget(&subject),
        }
        Box::pin(async { Ok(()) })
    }

    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            // NATS closes the connection of whoever says more.
            let bytes_max = self.client.max_payload().saturating_sub(event_log::HEADER_BYTES);
            let (mut unsaid, mut appended) = (0, Vec::new());
            for packet in packets {
                let payload = envelope::encode(&packet.unlogged());
                let fits = |payload: &Bytes| payload.len() <= bytes_max;
                let Some(payload) = payload.filter(fits) else {
                    unsaid += 1;
                    continue;
                };
                let subject = subject(&self.prefix, &packet.namespace);
                match (&packet.to, &self.log) {
                    (Some(node), _) => {
                        let said = self.client.publish(format!("{subject}.{node}"), payload);
                        said.await.map_err(BusError::new)?;
                    }
                    (None, None) => {
                        self.client.publish(subject, payload).await.map_err(BusError::new)?;
                    }
                    (None, Some((log, _))) => {
                        appended.push(log.append(subject, packet, payload).await?);
                    }
                }
            }
            unsaid += event_log::refused(appended).await?;
            self.echo.wait(&self.client).await?;
            Ok(unsaid)
        })
    }

    fn keep_sessions<'a>(&'a self, sessions: &'a [KeptSession]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            match &self.log {
                Some((log, _)) => log.sessions().keep(sessions).await,
                None => Err(BusError::refusal("this NATS is used without a log")),
            }
        })
    }

    fn take_sessions<'a>(&'a self, keys: &'a [String]) -> BusFuture<'a, Vec<Option<String>>> {
        Box::pin(async move {
            match &self.log {
                Some((log, _)) => log.sessions().take(keys).await,
                None => Err(BusError::refusal("this NATS is used without a log")),
            }
        })
    }

    fn count<'a>(&'a self, _namespace: &'a Arc<str>) -> BusFuture<'a, usize> {
        Box::pin(async { Err(BusError::new("NATS does not count who listens")) })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(self.echo.wait(&self.client))
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(lost(&self.ended))
    }
}

impl Drop for NatsConnection {
    fn drop(&mut self) {
        self.reading.lock().values().for_each(|reading| reading.task.abort());
    }
}

impl fmt::Debug for Nats {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("prefix", &self.prefix)
            .field("has_log", &self.log.is_some())
            .finish_non_exhaustive()
    }
}
