//! [`Stream`]: a stream of Redis as a log.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::StreamRangeReply;
use ::redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Value, cmd};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use roomful_proto::Limits;
use roomful_proto::cluster::{Data, Malformed, Offset, envelope};

use super::address::Address;
use super::link;
use crate::bus::{BusError, Inlet};
use crate::log::{Entry, PAGE, Page, READ_WAIT, Read, Store};
use crate::subscriptions::Subscriptions;

/// A stream, as it is read by one connection.
pub(super) struct Stream {
    pub(super) connection: MultiplexedConnection,
    pub(super) name: String,
    pub(super) inlet: Inlet,
}

impl Stream {
    /// By a connection of its own, on which a read may wait.
    pub(super) async fn open(
        address: &Address,
        name: &str,
        inlet: &Inlet,
    ) -> Result<Self, BusError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(link::PATIENCE))
            .set_response_timeout(Some(READ_WAIT + link::PATIENCE));
        let client = address.client().await?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self { connection, name: name.to_owned(), inlet: inlet.clone() })
    }

    async fn asked<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, BusError> {
        let answer = link::answered(self.connection.send_packed_command(command).await?)?;
        T::from_redis_value(answer).map_err(BusError::new)
    }

    /// `inlet` tells of which events nothing need be read.
    fn page_of(
        &self,
        range: Value,
        is_meant: impl Fn(&str) -> bool,
        inlet: Option<&Inlet>,
    ) -> Result<Page, BusError> {
        let entries =
            entries_of(range).ok_or_else(|| BusError::new("a stream of other entries"))?;
        let has_more = entries.len() == PAGE;
        let limits = self.inlet.limits();
        let read =
            |(offset, fields): (Offset, Fields)| (offset, fields.read(&is_meant, inlet, limits));
        Ok(Page { entries: entries.into_iter().map(read).collect(), has_more, ..Page::default() })
    }
}

impl Store for Stream {
    async fn last(&mut self, upto: Option<Offset>) -> Result<Offset, BusError> {
        let end = upto.map_or_else(|| "+".to_owned(), |upto| upto.to_string());
        let mut last = cmd("XREVRANGE");
        last.arg(&self.name).arg(end).arg("-").arg("COUNT").arg(1);
        let entries: Vec<(String, Value)> = self.asked(&last).await?;
        Ok(entries.into_iter().next().and_then(|(id, _)| id.parse().ok()).unwrap_or_default())
    }

    async fn first(&mut self, behind: Offset) -> Result<Option<Offset>, BusError> {
        let mut range = cmd("XRANGE");
        range.arg(&self.name).arg(behind.after().to_string()).arg("+").arg("COUNT").arg(1);
        let first: StreamRangeReply = self.asked(&range).await?;
        Ok(first.ids.into_iter().next().and_then(|entry| entry.id.parse().ok()))
    }

    /// By the time of the last entry, which is that of Redis.
    async fn ago(&mut self, past: Duration) -> Result<Offset, BusError> {
        let past_ms = u64::try_from(past.as_millis()).unwrap_or(u64::MAX);
        let last = self.last(None).await?;
        Ok(Offset::new(last.major().saturating_sub(past_ms), 0))
    }

    /// Its offset is the time when it was written.
    async fn stamp(&mut self, _of: Offset) -> Result<u64, BusError> {
        Ok(0)
    }

    async fn page(
        &mut self,
        namespace: &str,
        from: Offset,
        upto: Offset,
    ) -> Result<Page, BusError> {
        let mut range = cmd("XRANGE");
        range.arg(&self.name).arg(from.to_string()).arg(upto.to_string());
        range.arg("COUNT").arg(PAGE);
        let range = self.asked(&range).await?;
        self.page_of(range, |of| of == namespace, None)
    }

    async fn next(&mut self, behind: Offset, namespaces: &Subscriptions) -> Result<Page, BusError> {
        let mut command = cmd("XREAD");
        command.arg("BLOCK").arg(READ_WAIT.as_millis() as u64).arg("COUNT").arg(PAGE);
        command.arg("STREAMS").arg(&self.name).arg(behind.to_string());
        // Nothing, or the one stream that is read with its entries.
        let range = match self.asked(&command).await? {
            Value::Map(mut streams) => streams.pop().map(|(_, range)| range),
            _ => None,
        };
        let range = range.unwrap_or_else(|| Value::Array(Vec::new()));
        let page = self.page_of(range, |of| namespaces.contains(of), Some(&self.inlet))?;
        // Who lags may have been overtaken by the end of the stream, which moves as others write.
        let may_lag = page.has_more && behind != Offset::BEGINNING;
        let has_lost = may_lag && self.last(Some(behind)).await? != behind;
        Ok(Page { has_lost, ..page })
    }
}

/// The entries of a range.
fn entries_of(range: Value) -> Option<Vec<(Offset, Fields)>> {
    let entries = <Vec<Value>>::from_redis_value(range).ok()?;
    let entry = |entry: Value| {
        let Value::Array(entry) = entry else { return None };
        let [id, fields] = <[Value; 2]>::try_from(entry).ok()?;
        let Value::Array(fields) = fields else { return None };
        Some((text(id)?.parse().ok()?, Fields::of(fields)))
    };
    entries.into_iter().map(entry).collect()
}

/// What an entry of the stream has.
#[derive(Default)]
struct Fields {
    uid: Option<String>,
    namespace: Option<String>,
    kind: Option<String>,
    number: Option<String>,
    data: Option<String>,
}

impl Fields {
    fn of(fields: Vec<Value>) -> Self {
        let mut this = Self::default();
        let mut fields = fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            let Value::BulkString(name) = name else { continue };
            let field = match &*name {
                b"uid" => &mut this.uid,
                b"nsp" => &mut this.namespace,
                b"type" => &mut this.kind,
                b"number" => &mut this.number,
                b"data" => &mut this.data,
                _ => continue,
            };
            *field = text(value);
        }
        this
    }

    /// Reads it, as the stream has entries of all namespaces.
    fn read(self, is_meant: impl Fn(&str) -> bool, inlet: Option<&Inlet>, limits: &Limits) -> Read {
        let missing = Malformed::NotAPacket;
        let (uid, namespace) = (self.uid.ok_or(missing)?, self.namespace.ok_or(missing)?);
        if !is_meant(&namespace) {
            return Ok(None);
        }
        let kind = self.kind.and_then(|kind| kind.parse().ok()).ok_or(missing)?;
        let rooms = self.data.as_ref().and_then(|data| envelope::rooms_of(kind, data.as_bytes()));
        if let (Some(inlet), Some(rooms)) = (inlet, rooms)
            && !inlet.needs(&namespace, &uid, &rooms)
        {
            return Ok(None);
        }
        let number = self.number.and_then(|number| number.parse().ok()).unwrap_or(0);
        let data = self.data.map(|data| data_of(data, limits)).transpose()?;
        let packet =
            envelope::decode_data(uid.into(), namespace.into(), kind, data.as_ref(), limits)?;
        Ok(Some(Entry { packet, number }))
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        value => String::from_redis_value(value).ok(),
    }
}

/// What is written in a stream, and in a session: JSON, or msgpack in Base64.
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
