//! [`History`]: what a stream has of a namespace, for a node that comes.

use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::StreamRangeReply;
use ::redis::{Cmd, FromRedisValue, Value, cmd};
use roomful_proto::cluster::{Body, Offset};

use super::link;
use super::reader::{Entry, is_logged};
use crate::bus::{BusError, Inlet};

/// Entries that are asked for at once.
const PAGE: usize = 100;
/// How long all namespaces of a connection may take. A node to which the stream is too long begins with what comes.
pub(super) const TIME_MAX: Duration = Duration::from_secs(2);

/// What a stream has of a namespace.
pub(super) struct History<'a> {
    pub(super) stream: &'a str,
    pub(super) namespace: &'a str,
    /// The node that comes.
    pub(super) uid: &'a str,
    /// The last entry of it: what is behind comes by itself.
    pub(super) upto: Offset,
    /// How long it may take.
    pub(super) time: Duration,
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
            if began.elapsed() > self.time {
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
                from = offset.after();
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

    /// The offset behind which all entries are there, of those from `from` on.
    async fn beginning(
        &self,
        connection: &mut MultiplexedConnection,
        from: Offset,
    ) -> Result<Offset, BusError> {
        // Nothing is before the beginning, and Redis refuses to look there.
        if from != Offset::BEGINNING {
            let before = last_entry(connection, self.stream, &from.before().to_string()).await?;
            if before != Offset::BEGINNING {
                return Ok(before);
            }
        }
        // What was before the first was dropped, or there was nothing, or the stream was begun anew: who can tell?
        let first = first_entry(connection, self.stream, Offset::BEGINNING).await?;
        Ok(first.map_or(Offset::BEGINNING, Offset::before))
    }
}

/// The id of the first entry of a stream behind an offset.
pub(super) async fn first_entry(
    connection: &mut MultiplexedConnection,
    stream: &str,
    behind: Offset,
) -> Result<Option<Offset>, BusError> {
    let mut range = cmd("XRANGE");
    range.arg(stream).arg(behind.after().to_string()).arg("+").arg("COUNT").arg(1);
    let first: StreamRangeReply = asked(connection, &range).await?;
    Ok(first.ids.into_iter().next().and_then(|entry| entry.id.parse().ok()))
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
