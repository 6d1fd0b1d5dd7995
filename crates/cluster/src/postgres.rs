//! [`Postgres`]: the wire of `@socket.io/postgres-adapter` 0.5, by `NOTIFY` and a table for what is too large for it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::cluster::{Malformed, Packet, Presence, envelope};
use serde::Deserialize;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::interval;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification, Socket, Statement};

use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet};
use crate::cluster::Cluster;
use crate::subscriptions::Subscriptions;

/// Notifications that wait until the one before was read.
const UNREAD_MAX: usize = 1_000;
/// Bytes of a notification, from which on it goes into the table. PostgreSQL takes no larger ones.
const PAYLOAD_THRESHOLD: usize = 8_000;
/// Bytes in the name of a channel: PostgreSQL cuts off the rest.
const CHANNEL_BYTES_MAX: usize = 63;
/// How long what is in the table stays there, and how often that is looked at.
const CLEANUP: Duration = Duration::from_secs(30);

/// PostgreSQL, on the wire of `@socket.io/postgres-adapter` 0.5, and of its emitter.
///
/// The table of large packets is made where it is missing:
///
/// ```sql
/// CREATE TABLE socket_io_attachments (
///     id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea
/// );
/// ```
pub struct Postgres {
    config: Config,
    prefix: String,
    table: String,
}

impl Postgres {
    /// Joins a server to all that use this database: `postgres://user:password@host:5432/database`.
    ///
    /// # Errors
    ///
    /// When the URL is none, or PostgreSQL cannot be connected to, or the table cannot be made.
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
            config: url.parse().map_err(told)?,
            prefix: "socket.io".to_owned(),
            table: "socket_io_attachments".to_owned(),
        })
    }

    /// The prefix of all channels, the option `channelPrefix` of the official adapter. Default `socket.io`.
    #[must_use]
    pub fn channel_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The table of large packets, the option `tableName` of the official adapter. Default `socket_io_attachments`.
    #[must_use]
    pub fn table_name(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }
}

/// An error with what the database says of it.
fn told(error: tokio_postgres::Error) -> BusError {
    match error.as_db_error() {
        Some(why) => BusError::refusal(format!("PostgreSQL refuses: {}", why.message())),
        None => BusError::new(format!("PostgreSQL: {error}")),
    }
}

/// Whether PostgreSQL has taken something, or is there and refuses just this: then its clients do not hear it.
fn is_taken(executed: Result<u64, tokio_postgres::Error>) -> Result<bool, BusError> {
    match executed.map_err(told) {
        Ok(_) => Ok(true),
        Err(why) if why.is_refusal() => {
            tracing::warn!(%why, "an event is not sent");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether there can be a channel of that name.
fn is_channel(name: &str) -> bool {
    name.len() <= CHANNEL_BYTES_MAX && !name.contains('\0')
}

/// A name as SQL has it where it is not simple.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Bus for Postgres {
    fn presence(&self) -> Presence {
        Presence::Heartbeats
    }

    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let ended = Arc::new(Notify::new());
            // What is heard is not to wait behind what is said, nor what is read of the table.
            let (listener, listening) = self.config.connect(NoTls).await.map_err(told)?;
            let (speaker, speaking) = self.config.connect(NoTls).await.map_err(told)?;
            let speaker = Arc::new(speaker);
            let (sender, unread) = mpsc::channel(UNREAD_MAX);
            let mut tasks =
                vec![drive(listening, Some(sender), &ended), drive(speaking, None, &ended)];
            let table = quoted(&self.table);
            prepare_table(&speaker, &self.table, &table).await?;
            let statement = |sql: String| {
                let speaker = Arc::clone(&speaker);
                async move { speaker.prepare(&sql).await.map_err(told) }
            };
            let notify = statement("SELECT pg_notify($1, $2)".to_owned()).await?;
            let attach = statement(format!(
                "WITH attached AS (INSERT INTO {table} (payload) VALUES ($3) RETURNING id) SELECT pg_notify($1, \
                 replace($2, '{ID}', attached.id::text)) FROM attached"
            ))
            .await?;
            let read = statement(format!(
                "SELECT payload FROM {table} WHERE id = $1 AND octet_length(payload) <= $2"
            ))
            .await?;
            let ear =
                Ear { inlet, prefix: self.prefix.clone(), speaker: Arc::clone(&speaker), read };
            tasks.push(tokio::spawn(ear.listen(unread)).abort_handle());
            tasks.push(tokio::spawn(clean(Arc::clone(&speaker), table)).abort_handle());
            Ok(Box::new(PostgresConnection {
                listener,
                speaker,
                notify,
                attach,
                prefix: self.prefix.clone(),
                subscriptions: Subscriptions::default(),
                ended,
                tasks,
            }) as Box<dyn Connection>)
        })
    }
}

/// What stands for the id of an attachment until that is known.
const ID: &str = "\u{1}id\u{1}";

/// Makes the table where it is missing.
async fn prepare_table(speaker: &Client, name: &str, table: &str) -> Result<(), BusError> {
    if is_there(speaker, name).await? {
        return Ok(());
    }
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {table} (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)"
    );
    match speaker.batch_execute(&create).await {
        // Another node may have made it at the same moment.
        Err(_) if is_there(speaker, name).await? => Ok(()),
        made => made.map_err(told),
    }
}

async fn is_there(speaker: &Client, name: &str) -> Result<bool, BusError> {
    let found = speaker.query_one("SELECT to_regclass($1) IS NOT NULL", &[&quoted(name)]).await;
    Ok(found.map_err(told)?.get(0))
}

/// Moves a connection on, and passes on what it is notified of.
fn drive<S>(
    mut connection: tokio_postgres::Connection<Socket, S>,
    heard: Option<mpsc::Sender<Notification>>,
    ended: &Arc<Notify>,
) -> AbortHandle
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let ended = Arc::clone(ended);
    let driving = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let (AsyncMessage::Notification(notification), Some(heard)) = (message, &heard)
                && heard.send(notification).await.is_err()
            {
                break;
            }
        }
        ended.notify_one();
    });
    driving.abort_handle()
}

/// Forgets what all have read long ago.
async fn clean(speaker: Arc<Client>, table: String) {
    let mut times = interval(CLEANUP);
    let seconds = CLEANUP.as_secs();
    let delete =
        format!("DELETE FROM {table} WHERE created_at < now() - interval '{seconds} seconds'");
    loop {
        times.tick().await;
        if let Err(error) = speaker.batch_execute(&delete).await {
            tracing::warn!(%error, "old attachments are not deleted");
        }
    }
}

/// What reads notifications.
struct Ear {
    inlet: Inlet,
    prefix: String,
    speaker: Arc<Client>,
    read: Statement,
}

/// What is told of a packet that lies in the table.
#[derive(Deserialize)]
struct Attached {
    #[serde(rename = "attachmentId")]
    id: Option<serde_json::Value>,
}

impl Ear {
    async fn listen(self, mut unread: mpsc::Receiver<Notification>) {
        while let Some(notification) = unread.recv().await {
            let namespace = notification.channel().strip_prefix(&self.prefix);
            let namespace = namespace.and_then(|rest| rest.strip_prefix('#'));
            let payload = notification.payload().as_bytes();
            let attached = serde_json::from_slice(payload).ok().and_then(|told: Attached| told.id);
            let message = match attached {
                None => Some(Bytes::copy_from_slice(payload)),
                Some(id) => self.attachment(&id).await,
            };
            // It was deleted, or what names it is no id.
            let Some(message) = message else {
                self.inlet.refuse(Malformed::NotAPacket);
                continue;
            };
            match envelope::decode_in(namespace, &message, self.inlet.limits()) {
                Ok(packet) => self.inlet.deliver(packet),
                Err(why) => self.inlet.refuse(why),
            }
        }
    }

    async fn attachment(&self, id: &serde_json::Value) -> Option<Bytes> {
        // JavaScript has them as texts.
        let id: i64 = match id {
            serde_json::Value::String(id) => id.parse().ok()?,
            id => id.as_i64()?,
        };
        let bytes_max = i32::try_from(self.inlet.limits().payload_bytes_max).unwrap_or(i32::MAX);
        let row = self.speaker.query_opt(&self.read, &[&id, &bytes_max]).await.ok()??;
        row.try_get::<_, Vec<u8>>(0).ok().map(Bytes::from)
    }
}

struct PostgresConnection {
    listener: Client,
    speaker: Arc<Client>,
    notify: Statement,
    attach: Statement,
    prefix: String,
    subscriptions: Subscriptions,
    ended: Arc<Notify>,
    tasks: Vec<AbortHandle>,
}

impl PostgresConnection {
    fn channel(&self, namespace: &str) -> String {
        format!("{}#{namespace}", self.prefix)
    }

    /// `false` when it cannot be said.
    async fn say(&self, packet: &Packet) -> Result<bool, BusError> {
        let channel = self.channel(&packet.namespace);
        let Some(message) = envelope::encode(packet) else {
            return Ok(false);
        };
        if !is_channel(&channel) {
            return Ok(false);
        }
        let text = std::str::from_utf8(&message).ok().filter(|text| text.starts_with('{'));
        if let Some(text) = text.filter(|text| text.len() < PAYLOAD_THRESHOLD) {
            return is_taken(self.speaker.execute(&self.notify, &[&channel, &text]).await);
        }
        let (kind, _) = envelope::encode_data(packet).unwrap_or_default();
        let header = format!(
            r#"{{"uid":{},"type":{kind},"attachmentId":"{ID}"}}"#,
            serde_json::Value::from(&*packet.from)
        );
        let payload = envelope::encode_msgpack(packet).unwrap_or_default();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&channel, &header, &payload.as_ref()];
        is_taken(self.speaker.execute(&self.attach, &params).await)
    }

    async fn listen(&self, command: &str, namespace: &str) -> Result<(), BusError> {
        let channel = self.channel(namespace);
        if !is_channel(&channel) {
            let why = "its channel would have more than 63 bytes, or a zero byte";
            return Err(BusError::refusal(why));
        }
        self.listener.batch_execute(&format!("{command} {}", quoted(&channel))).await.map_err(told)
    }
}

impl Connection for PostgresConnection {
    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        _uid: &'a Arc<str>,
        _past: Option<Duration>,
    ) -> BusFuture<'a, ()> {
        self.subscriptions.add(namespace);
        Box::pin(self.listen("LISTEN", namespace))
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, _uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        let is_last = self.subscriptions.remove(namespace);
        Box::pin(async move {
            match is_last {
                true => self.listen("UNLISTEN", namespace).await,
                false => Ok(()),
            }
        })
    }

    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            // They are sent in this order, without waiting for the answer to the one before.
            let said = packets.iter().map(|packet| self.say(packet));
            let said = futures_util::future::try_join_all(said).await?;
            Ok(said.iter().filter(|is_said| !**is_said).count())
        })
    }

    fn count<'a>(&'a self, _namespace: &'a Arc<str>) -> BusFuture<'a, usize> {
        Box::pin(async { Err(BusError::new("PostgreSQL does not count who listens")) })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(async {
            self.speaker.batch_execute("").await.map_err(told)?;
            self.listener.batch_execute("").await.map_err(told)
        })
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(async {
            self.ended.notified().await;
            BusError::new("PostgreSQL has closed the connection")
        })
    }
}

impl Drop for PostgresConnection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for Postgres {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("prefix", &self.prefix)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
