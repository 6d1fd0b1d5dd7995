//! [`Stream`]: a stream of Redis as a log.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::StreamRangeReply;
use ::redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Value, cmd};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use parking_lot::Mutex;
use roomful_proto::Limits;
use roomful_proto::cluster::{Body, Data, Malformed, Offset, envelope};

use super::address::Address;
use super::link;
use super::pushes::Ears;
use super::resp::{bulk, line};
use crate::bus::{BusError, Inlet};
use crate::log::{Entry, PAGE, Page, READ_WAIT, Read, Store};
use crate::subscriptions::Subscriptions;

/// A stream, as it is read by one connection.
pub(super) struct Stream {
    pub(super) connection: MultiplexedConnection,
    pub(super) name: String,
    pub(super) inlet: Inlet,
    /// What is read of the stream.
    pub(super) taken: Taken,
}

/// The answer to a read, before the library makes values of it.
#[derive(Clone, Default)]
pub(super) struct Taken(Arc<Mutex<Answer>>);

#[derive(Default)]
enum Answer {
    #[default]
    Unasked,
    Awaited,
    Here(Vec<u8>),
}

impl Ears for Taken {
    fn map(&self, answer: &[u8]) -> bool {
        let mut taken = self.0.lock();
        let is_awaited = matches!(*taken, Answer::Awaited);
        if is_awaited {
            *taken = Answer::Here(answer.to_vec());
        }
        is_awaited
    }
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
        let taken = Taken::default();
        let connection = link::connect(&address.client().await?, config, taken.clone()).await?;
        Ok(Self { connection, name: name.to_owned(), inlet: inlet.clone(), taken })
    }

    async fn asked<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, BusError> {
        let answer = link::answered(self.connection.send_packed_command(command).await?)?;
        T::from_redis_value(answer).map_err(BusError::new)
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
        let range: Value = self.asked(&range).await?;
        page_of(of_value(&range), |of| of == namespace, &self.inlet, false)
    }

    async fn next(&mut self, behind: Offset, namespaces: &Subscriptions) -> Result<Page, BusError> {
        let mut command = cmd("XREAD");
        command.arg("BLOCK").arg(READ_WAIT.as_millis() as u64).arg("COUNT").arg(PAGE);
        command.arg("STREAMS").arg(&self.name).arg(behind.to_string());
        *self.taken.0.lock() = Answer::Awaited;
        let answer: Value = self.asked(&command).await?;
        let taken = std::mem::take(&mut *self.taken.0.lock());
        // Nothing, or the one stream that is read with its entries.
        let entries = match (&answer, &taken) {
            (Value::Okay, Answer::Here(answer)) => of_answer(answer),
            (Value::Map(streams), _) => streams.first().and_then(|(_, range)| of_value(range)),
            // As servers have it that are like Redis, whatever was agreed on.
            (Value::Array(streams), _) => {
                streams.first().and_then(list).and_then(|stream| of_value(stream.get(1)?))
            }
            (Value::Nil, _) => Some(Vec::new()),
            _ => None,
        };
        let page = page_of(entries, |of| namespaces.contains(of), &self.inlet, true)?;
        // Who lags may have been overtaken by the end of the stream, which moves as others write.
        let may_lag = page.has_more && behind != Offset::BEGINNING;
        let has_lost = may_lag && self.last(Some(behind)).await? != behind;
        Ok(Page { has_lost, ..page })
    }
}

/// The page of some entries. Events that are for nobody here need not be read where it `passes_over`; a namespace is
/// meant that `is_meant` says so of.
fn page_of(
    entries: Option<Vec<(Offset, Fields<'_>)>>,
    is_meant: impl Fn(&str) -> bool,
    inlet: &Inlet,
    mut passes_over: bool,
) -> Result<Page, BusError> {
    let entries = entries.ok_or_else(|| BusError::new("what is read of a stream is none"))?;
    let has_more = entries.len() == PAGE;
    let read = |(offset, fields): (Offset, Fields<'_>)| {
        let read = fields.read(&is_meant, inlet, passes_over);
        if let Ok(Some(Entry { packet, .. })) = &read {
            // What is done before an event may be what puts somebody into its room.
            passes_over &= matches!(packet.body, Body::Emit { .. });
        }
        (offset, read)
    };
    Ok(Page { entries: entries.into_iter().map(read).collect(), has_more, ..Page::default() })
}

/// The entries of what Redis answers to a read of one stream.
fn of_answer(mut answer: &[u8]) -> Option<Vec<(Offset, Fields<'_>)>> {
    let rest = &mut answer;
    let (_, 1) = line(rest).ok()? else { return None };
    let _name = bulk(rest).ok()?;
    let (b'*', entries) = line(rest).ok()? else { return None };
    let mut entry = || {
        let (b'*', 2) = line(rest).ok()? else { return None };
        let id = text(bulk(rest).ok()?)?.parse().ok()?;
        let (b'*', count) = line(rest).ok()? else { return None };
        let mut fields = Fields::default();
        for _ in 0..count / 2 {
            fields.set(bulk(rest).ok()?, bulk(rest).ok()?);
        }
        Some((id, fields))
    };
    (0..entries).map(|_| entry()).collect()
}

/// The entries of a range that the library has read.
fn of_value(range: &Value) -> Option<Vec<(Offset, Fields<'_>)>> {
    list(range)?.iter().map(entry_of).collect()
}

fn entry_of(entry: &Value) -> Option<(Offset, Fields<'_>)> {
    let [id, values] = list(entry)? else { return None };
    let mut fields = Fields::default();
    for pair in list(values)?.chunks_exact(2) {
        fields.set(bytes(&pair[0])?, bytes(&pair[1])?);
    }
    Some((text(bytes(id)?)?.parse().ok()?, fields))
}

fn list(value: &Value) -> Option<&[Value]> {
    if let Value::Array(values) = value { Some(values) } else { None }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::BulkString(bytes) = value { Some(bytes) } else { None }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// What an entry of the stream has.
#[derive(Debug, Default, PartialEq)]
struct Fields<'a> {
    uid: Option<&'a str>,
    namespace: Option<&'a str>,
    kind: Option<&'a str>,
    number: Option<&'a str>,
    data: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn set(&mut self, name: &[u8], value: &'a [u8]) {
        let field = match name {
            b"uid" => &mut self.uid,
            b"nsp" => &mut self.namespace,
            b"type" => &mut self.kind,
            b"number" => &mut self.number,
            b"data" => &mut self.data,
            _ => return,
        };
        *field = text(value);
    }

    /// Reads it, as the stream has entries of all namespaces.
    fn read(self, is_meant: impl Fn(&str) -> bool, inlet: &Inlet, passes_over: bool) -> Read {
        let (missing, limits) = (Malformed::NotAPacket, inlet.limits());
        let (uid, namespace) = (self.uid.ok_or(missing)?, self.namespace.ok_or(missing)?);
        if !is_meant(namespace) {
            return Ok(None);
        }
        let kind = self.kind.and_then(|kind| kind.parse().ok()).ok_or(missing)?;
        let is_in_limits = |data: &&str| data.len() <= limits.payload_bytes_max;
        if let Some(data) = self.data.filter(is_in_limits)
            && passes_over
            && !inlet.recovers(namespace)
            && let Some(rooms) = envelope::rooms_of(kind, data.as_bytes())
            && !inlet.needs(namespace, uid, &rooms)
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

/// What is written in a stream, and in a session: JSON, or msgpack in Base64.
pub(super) fn data_of(data: &str, limits: &Limits) -> Result<Data, Malformed> {
    if data.len() > limits.payload_bytes_max {
        return Err(Malformed::TooLarge);
    }
    if data.starts_with('{') {
        return Data::from_json(data.as_bytes(), limits);
    }
    let bytes = BASE64.decode(data).map_err(|_| Malformed::NotAPacket)?;
    Data::from_msgpack(&Bytes::from(bytes), limits)
}

#[cfg(test)]
mod tests {
    use roomful_proto::cluster::Packet;

    use super::*;
    use crate::bus::Hears;

    fn bulk_string(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    /// What Redis answers to a read, and its range as the library reads that.
    fn answer(entries: &[(&str, &[(&str, &str)])]) -> (String, Value) {
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let mut raw = format!("%1\r\n{}*{}\r\n", bulk("stream"), entries.len());
        let mut range = Vec::new();
        for (id, fields) in entries {
            raw += &format!("*2\r\n{}*{}\r\n", bulk(id), fields.len() * 2);
            let texts: Vec<_> = fields.iter().flat_map(|(name, value)| [*name, *value]).collect();
            raw.extend(texts.iter().map(|text| bulk(text)));
            let fields = texts.into_iter().map(bulk_string).collect();
            range.push(Value::Array(vec![bulk_string(id), Value::Array(fields)]));
        }
        (raw, Value::Array(range))
    }

    #[test]
    fn an_answer_is_read_as_the_library_reads_it() {
        let (raw, range) = answer(&[
            ("1-0", &[("uid", "a"), ("nsp", "/"), ("type", "3"), ("data", "{\"é\r\n$9\":1}")]),
            ("1-1", &[]),
            ("2-7", &[("other", ""), ("number", "5"), ("uid", ""), ("uid", "twice")]),
        ]);
        let read = of_answer(raw.as_bytes()).unwrap();
        assert_eq!(read, of_value(&range).unwrap());
        assert_eq!(read[0].1.data, Some("{\"é\r\n$9\":1}"));
        assert_eq!((read[2].0, read[2].1.uid), (Offset::new(2, 7), Some("twice")));
        assert_eq!(of_answer(answer(&[]).0.as_bytes()), Some(Vec::new()));
    }

    /// Nobody is in any room.
    struct Nobody;

    impl Hears for Nobody {
        fn has_room(&self, _: &str, _: &str) -> bool {
            false
        }
        fn recovers(&self, namespace: &str) -> bool {
            namespace == "/recovers"
        }
        fn needs(&self, _: &str, _: &str, _: &[&str]) -> bool {
            false
        }
        fn deliver(&self, _: Packet) {}
        fn begin_log(&self, _: Option<&str>, _: Option<&str>, _: Offset) {}
        fn log_begun(&self, _: &str, _: &str) {}
        fn log_reached(&self, _: Offset) {}
        fn pass_over(&self) {}
        fn refuse(&self, _: Malformed) {}
    }

    /// Whether the entries of a page are read: events of a room, and what puts somebody into one.
    fn are_read(said: &[(&str, char)], passes_over: bool) -> Vec<bool> {
        let event = r#"{"opts":{"rooms":["b"]},"packet":{"type":2,"data":["x"]}}"#;
        let join = r#"{"opts":{"rooms":["a"]},"rooms":["b"]}"#;
        let everyone = event.replace("\"b\"", "");
        let entries = said.iter().map(|(namespace, what)| {
            let (kind, data) = match what {
                'e' => ("3", event),
                'j' => ("4", join),
                _ => ("3", &*everyone),
            };
            let (uid, namespace) = (Some("a"), Some(*namespace));
            let fields =
                Fields { uid, namespace, kind: Some(kind), number: None, data: Some(data) };
            (Offset::BEGINNING, fields)
        });
        let nobody = Arc::new(Nobody);
        let inlet = Inlet::new(&nobody, Arc::default());
        let page = page_of(Some(entries.collect()), |_| true, &inlet, passes_over).unwrap();
        page.entries.iter().map(|(_, read)| matches!(read, Ok(Some(_)))).collect()
    }

    /// It was passed over: nobody was in the room yet, when all entries of a page were looked at.
    #[test]
    fn an_event_behind_what_puts_somebody_into_its_room_is_read() {
        let here = |whats: &str| whats.chars().map(|what| ("/", what)).collect::<Vec<_>>();
        assert_eq!(are_read(&here("eje*e"), true), [false, true, true, true, true]);
        assert_eq!(are_read(&here("*e"), true), [true, false]);
        assert_eq!(are_read(&here("ee"), false), [true, true]);
        assert_eq!(are_read(&[("/recovers", 'e'), ("/", 'e')], true), [true, false]);
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let (raw, _) = answer(&[("1-0", &[("uid", "a")])]);
        for end in 0..raw.len() {
            assert_eq!(of_answer(&raw.as_bytes()[..end]), None, "{end}");
        }
        for (from, to) in
            [("%1", "%2"), ("1-0", "1:0"), ("*2\r\n$3\r\n1", "*3\r\n$3\r\n1"), ("$1", "+1")]
        {
            assert_eq!(of_answer(raw.replacen(from, to, 1).as_bytes()), None, "{to}");
        }
    }
}
