//! [`History`]: what a stream has of a namespace, for a node that comes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::StreamRangeReply;
use ::redis::{Cmd, FromRedisValue, Value, cmd};
use roomful_proto::cluster::{Body, Offset};

use super::link;
use super::streams::{Entry, is_logged};
use crate::bus::{BusError, Inlet};

/// Entries that are asked for at once.
const PAGE: usize = 1_000;
/// How long it may take. A node to which the stream is too long begins with what comes.
const TIME_MAX: Duration = Duration::from_secs(2);

/// What a stream has of a namespace.
pub(super) struct History<'a> {
    pub(super) stream: &'a str,
    pub(super) namespace: &'a str,
    /// The node that comes.
    pub(super) uid: &'a str,
    /// The last entry of it: what is behind comes by itself.
    pub(super) upto: Offset,
}

impl History<'_> {
    /// Brings the events of so long ago, and all that came behind. An official server that recovers a client looks at
    /// the whole stream; here the end of it is read once.
    pub(super) async fn bring(
        &self,
        connection: &mut MultiplexedConnection,
        past: Duration,
        inlet: &Inlet,
    ) -> Result<(), BusError> {
        if past.is_zero() {
            inlet.begin_log(self.namespace, self.uid, self.upto);
            return Ok(());
        }
        let began = Instant::now();
        let past_ms = u64::try_from(past.as_millis()).unwrap_or(u64::MAX);
        let mut from = Offset::new(self.upto.major().saturating_sub(past_ms), 0);
        let behind = self.beginning(connection, from).await?;
        inlet.begin_log(self.namespace, self.uid, behind);
        while from <= self.upto {
            if began.elapsed() > TIME_MAX {
                tracing::warn!(
                    stream = self.stream,
                    "what is in the stream takes too long to read"
                );
                inlet.begin_log(self.namespace, self.uid, self.upto);
                return Ok(());
            }
            let mut range = cmd("XRANGE");
            range.arg(self.stream).arg(from.to_string()).arg(self.upto.to_string());
            range.arg("COUNT").arg(PAGE);
            let page: StreamRangeReply = asked(connection, &range).await?;
            let is_last = page.ids.len() < PAGE;
            for entry in page.ids {
                let offset: Offset = entry.id.parse().unwrap_or_default();
                from = Offset::new(offset.major(), offset.minor().saturating_add(1));
                let read =
                    Entry::read(entry, |namespace| namespace == self.namespace, inlet.limits());
                match read {
                    Ok(Some(Entry { packet, .. })) if packet.body == Body::Gap => {
                        inlet.begin_log(self.namespace, self.uid, offset);
                    }
                    Ok(Some(Entry { packet, .. })) if is_logged(&packet.body) => {
                        inlet.recall(offset, packet);
                    }
                    Ok(_) => {}
                    Err(why) => inlet.refuse(why),
                }
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// The entry behind which all are there, of those before `from`.
    async fn beginning(
        &self,
        connection: &mut MultiplexedConnection,
        from: Offset,
    ) -> Result<Offset, BusError> {
        // Nothing is before the beginning, and Redis refuses to look there.
        if from != Offset::BEGINNING {
            let before = last_entry(connection, self.stream, &format!("({from}")).await?;
            if before != Offset::BEGINNING {
                return Ok(before);
            }
        }
        let info = asked(connection, cmd("XINFO").arg("STREAM").arg(self.stream)).await;
        let info: HashMap<String, Value> = match info {
            Ok(info) => info,
            // There is no stream yet.
            Err(error) if error.is_refusal() => return Ok(Offset::BEGINNING),
            Err(error) => return Err(error),
        };
        // Redis 7 knows how many there have been.
        let is_whole = info.get("entries-added").is_some_and(|all| info.get("length") == Some(all));
        if is_whole {
            return Ok(Offset::BEGINNING);
        }
        let mut first = cmd("XRANGE");
        first.arg(self.stream).arg("-").arg("+").arg("COUNT").arg(1);
        let first: StreamRangeReply = asked(connection, &first).await?;
        let first = first.ids.into_iter().next().and_then(|entry| entry.id.parse().ok());
        Ok(first.unwrap_or(self.upto))
    }
}

/// The id of the last entry of a stream up to an end; that of the beginning where there is none.
pub(super) async fn last_entry(
    connection: &mut MultiplexedConnection,
    stream: &str,
    end: &str,
) -> Result<Offset, BusError> {
    let mut last = cmd("XREVRANGE");
    last.arg(stream).arg(end).arg("-").arg("COUNT").arg(1);
    let entries: Vec<(String, Value)> = asked(connection, &last).await?;
    Ok(entries.into_iter().next().and_then(|(id, _)| id.parse().ok()).unwrap_or_default())
}

async fn asked<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> Result<T, BusError> {
    let answer = link::answered(connection.send_packed_command(command).await?)?;
    T::from_redis_value(answer).map_err(BusError::new)
}
