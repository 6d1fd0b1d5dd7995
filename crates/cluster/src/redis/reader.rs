//! [`Reader`]: the task that reads a stream, and what an entry of it says.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::{StreamId, StreamReadReply};
use ::redis::{AsyncConnectionConfig, Client, FromRedisValue as _, Value, cmd};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use roomful_proto::Limits;
use roomful_proto::cluster::{Body, Data, Malformed, Offset, Packet, envelope};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};

use super::{history, link};
use crate::bus::{BusError, Inlet};
use crate::subscriptions::Subscriptions;

/// Entries of the stream that are read at once.
const READ_COUNT: usize = 100;
/// How long a read waits for the next entry.
const BLOCK: Duration = Duration::from_secs(5);

/// What a connection needs to begin to read.
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) stream: String,
    pub(super) read: Arc<Position>,
    pub(super) reading: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
    pub(super) inlet: Inlet,
}

/// The last entry that was read; `None` before there was a connection. Whoever brings entries has the lock, so what a
/// namespace had before it came is brought in front of all that comes.
pub(super) type Position = tokio::sync::Mutex<Option<Offset>>;

impl Reader {
    /// Begins to read where the last connection was, or at the end.
    pub(super) async fn begin(
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
            self.inlet.log_reached(last);
            return Ok(());
        };
        if known != Offset::BEGINNING
            && history::last_entry(connection, &self.stream, &known.to_string()).await? != known
        {
            // A Redis that has begun anew may give ids that are before those of old.
            let from = known.min(last);
            *read = Some(from);
            let first = history::first_entry(connection, &self.stream, from).await?;
            tell_lost(&self.stream, first.map_or(from, Offset::before), &self.inlet);
        }
        if let Some(read) = *read {
            self.inlet.log_reached(read);
        }
        Ok(())
    }
}

/// Entries are gone that were not read: all behind an offset is still there.
fn tell_lost(stream: &str, behind: Offset, inlet: &Inlet) {
    tracing::warn!(stream, "entries of the stream are gone, perhaps before they were read");
    inlet.begin_anew(behind);
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
        let entries: Vec<StreamId> = reply.keys.into_iter().flat_map(|key| key.ids).collect();
        // Who lags may have been overtaken by the end of the stream, which moves as others write.
        let may_lag = entries.len() == READ_COUNT && from != Offset::BEGINNING;
        let is_overtaken = match may_lag {
            true => match history::last_entry(connection, stream, &from.to_string()).await {
                Ok(there) => there != from,
                Err(why) => return why,
            },
            false => false,
        };
        let mut read = read.lock().await;
        let mut is_first = true;
        for entry in entries {
            let Ok(offset) = entry.id.parse::<Offset>() else {
                return BusError::new("the id of an entry is none");
            };
            if std::mem::take(&mut is_first) && is_overtaken {
                tell_lost(stream, offset.before(), inlet);
            }
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
        if let Some(read) = *read {
            inlet.log_reached(read);
        }
    }
}

/// Whether it is of the log, and not only carried by the stream.
pub(super) const fn is_logged(body: &Body) -> bool {
    matches!(
        body,
        Body::Emit { request: None, .. }
            | Body::Join { .. }
            | Body::Leave { .. }
            | Body::Disconnect { .. }
            | Body::Gap
    )
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

pub(super) fn data_of(data: String, limits: &Limits) -> Result<Data, Malformed> {
    if data.len() > limits.payload_bytes_max {
        return Err(Malformed::TooLarge);
    }
    if data.starts_with('{') {
        return Data::from_json(data.as_bytes(), limits);
    }
    let bytes = BASE64.decode(data).map_err(|_| Malformed::NotAPacket)?;
    Data::from_msgpack(&Bytes::from(bytes), limits)
}
