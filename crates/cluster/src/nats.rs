//! [`Nats`]: NATS, with a wire of our own.
//!
//! | what | subject | body |
//! |---|---|---|
//! | what is for all nodes of a namespace | `PREFIX.NSP` | the envelope: JSON, or msgpack where there are bytes in it |
//! | an answer | `PREFIX.NSP.UID` | as well |
//!
//! `NSP` is the name of the namespace in base64url (RFC 4648 section 5) without padding, since names may have dots and
//! spaces, and subjects may not.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Subscriber};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use roomful_proto::cluster::{Packet, Presence, envelope};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet};
use crate::cluster::Cluster;

/// How long NATS may take to be connected to.
const PATIENCE: Duration = Duration::from_secs(5);

/// NATS from version 2 on: plain subjects, without a stream.
pub struct Nats {
    url: String,
    prefix: String,
}

impl Nats {
    /// Joins a server to all that use this NATS: `nats://[user:password@]host[:4222]`, or several with commas between.
    ///
    /// # Errors
    ///
    /// When NATS cannot be connected to.
    pub async fn connect(url: &str) -> Result<Cluster, BusError> {
        Cluster::connect(Self::new(url)).await
    }

    /// The engine itself, to be given to [`Cluster::connect_with`].
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), prefix: "socket-io".to_owned() }
    }

    /// What all subjects begin with. Default `socket-io`.
    #[must_use]
    pub fn subject_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

impl Bus for Nats {
    fn presence(&self) -> Presence {
        Presence::Heartbeats
    }

    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let ended = Arc::new(Notify::new());
            let is_over = Arc::clone(&ended);
            // The cluster connects again by itself, since it has to know when.
            let options = ConnectOptions::new().connection_timeout(PATIENCE).max_reconnects(1);
            let options = options.event_callback(move |event| {
                if let Event::Disconnected | Event::Closed = event {
                    is_over.notify_one();
                }
                ready(())
            });
            let urls: Vec<_> = self.url.split(',').map(str::trim).map(str::to_owned).collect();
            let client = options.connect(urls).await.map_err(BusError::new)?;
            let echo = Echo::new(&client).await?;
            let (prefix, reading) = (self.prefix.clone(), Mutex::default());
            let connection = NatsConnection { client, inlet, prefix, ended, reading, echo };
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
}

/// A subject of this connection alone. NATS confirms nothing, but does everything in order: when what was said to
/// oneself comes back, all before it was done.
pub(crate) struct Echo {
    subject: String,
    heard: tokio::sync::Mutex<Heard>,
}

struct Heard {
    subscriber: Subscriber,
    count: u64,
}

impl Echo {
    pub(crate) async fn new(client: &Client) -> Result<Self, BusError> {
        let subject = client.new_inbox();
        let subscriber = client.subscribe(subject.clone()).await.map_err(BusError::new)?;
        Ok(Self { subject, heard: tokio::sync::Mutex::new(Heard { subscriber, count: 0 }) })
    }

    /// Waits until all that was told to NATS before has been done.
    pub(crate) async fn wait(&self, client: &Client) -> Result<(), BusError> {
        let mut heard = self.heard.lock().await;
        heard.count += 1;
        let count = heard.count.to_be_bytes();
        let said = client.publish(self.subject.clone(), count.to_vec().into());
        said.await.map_err(BusError::new)?;
        // One that nobody waited for any more may come first.
        while let Some(message) = heard.subscriber.next().await {
            if message.payload[..] == count {
                return Ok(());
            }
        }
        Err(BusError::new("NATS has closed the connection"))
    }
}

struct Reading {
    task: AbortHandle,
    times: usize,
}

impl NatsConnection {
    fn subject(&self, namespace: &str) -> String {
        format!("{}.{}", self.prefix, BASE64.encode(namespace))
    }

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
    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        uid: &'a Arc<str>,
        _past: Option<Duration>,
    ) -> BusFuture<'a, ()> {
        Box::pin(async move {
            let subject = self.subject(namespace);
            self.listen(format!("{subject}.{uid}"), Arc::clone(namespace)).await?;
            self.listen(subject, Arc::clone(namespace)).await
        })
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        let subject = self.subject(namespace);
        self.forget(&format!("{subject}.{uid}"));
        self.forget(&subject);
        Box::pin(async { Ok(()) })
    }

    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let mut unsaid = 0;
            for packet in packets {
                let Some(payload) = envelope::encode(packet) else {
                    unsaid += 1;
                    continue;
                };
                if payload.len() > self.client.max_payload() {
                    unsaid += 1;
                    continue;
                }
                let subject = match &packet.to {
                    Some(node) => format!("{}.{node}", self.subject(&packet.namespace)),
                    None => self.subject(&packet.namespace),
                };
                self.client.publish(subject, payload).await.map_err(BusError::new)?;
            }
            self.echo.wait(&self.client).await?;
            Ok(unsaid)
        })
    }

    fn count<'a>(&'a self, _namespace: &'a Arc<str>) -> BusFuture<'a, usize> {
        Box::pin(async { Err(BusError::new("NATS does not count who listens")) })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(self.echo.wait(&self.client))
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(async {
            self.ended.notified().await;
            BusError::new("NATS has closed the connection")
        })
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
        f.debug_struct("Nats").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
