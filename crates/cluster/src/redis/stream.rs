//! [`Stream`]: a stream of Redis as a log.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::{StreamId, StreamRangeReply, StreamReadReply};
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

    fn page_of(
        &self,
        entries: Vec<StreamId>,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Page, BusError> {
        let has_more = entries.len() == PAGE;
        let read = entries.into_iter().map(|entry| {
            let offset = entry.id.parse().map_err(|_| BusError::new("the id of an entry is none"));
            Ok((offset?, read(entry, &is_meant, self.inlet.limits())))
        });
        let entries = read.collect::<Result<_, BusError>>()?;
        Ok(Page { entries, has_more, ..Page::default() })
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
        let page: StreamRangeReply = self.asked(&range).await?;
        self.page_of(page.ids, |of| of == namespace)
    }

    async fn next(&mut self, behind: Offset, namespaces: &Subscriptions) -> Result<Page, BusError> {
        let mut command = cmd("XREAD");
        command.arg("BLOCK").arg(READ_WAIT.as_millis() as u64).arg("COUNT").arg(PAGE);
        command.arg("STREAMS").arg(&self.name).arg(behind.to_string());
        let reply: Option<StreamReadReply> = self.asked(&command).await?;
        let keys = reply.map(|reply| reply.keys).unwrap_or_default();
        let entries: Vec<StreamId> = keys.into_iter().flat_map(|key| key.ids).collect();
        let page = self.page_of(entries, |namespace| namespaces.contains(namespace))?;
        // Who lags may have been overtaken by the end of the stream, which moves as others write.
        let may_lag = page.has_more && behind != Offset::BEGINNING;
        let has_lost = may_lag && self.last(Some(behind)).await? != behind;
        Ok(Page { has_lost, ..page })
    }
}

/// Reads an entry of the stream, which has those of all namespaces.
fn read(mut entry: StreamId, is_meant: impl Fn(&str) -> bool, limits: &Limits) -> Read {
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
    let packet = envelope::decode_data(uid.into(), namespace.into(), kind, data.as_ref(), limits)?;
    Ok(Some(Entry { packet, number }))
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
