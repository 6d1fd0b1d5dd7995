//! [`EventStream`]: a stream of JetStream as a log.
//!
//! The entries of a stream have numbers without a hole, but for those that were removed at its beginning: so whoever
//! reads sees what is gone. A stream that is made anew begins at 1 again, and was made later.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::stream::{Info, Stream};
use base64::Engine as _;
use futures_util::{FutureExt as _, StreamExt as _};
use roomful_proto::Limits;
use roomful_proto::cluster::{Offset, envelope};

use super::event_log::NUMBER;
use super::{BASE64, subject};
use crate::bus::BusError;
use crate::log::{Entry, PAGE, Page, READ_WAIT, Read, Store, is_logged};
use crate::subscriptions::Subscriptions;

/// Bytes that are asked for at once, and no less than two of the largest messages.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long JetStream remembers somebody who reads and says nothing.
const INACTIVE_MAX: Duration = Duration::from_secs(60);

/// Nobody asks for more, and times have an end.
const PAST_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A stream, as it is read by one who reads.
pub(super) struct EventStream {
    stream: Stream,
    prefix: String,
    limits: Limits,
    /// When it was made, in milliseconds since 1970: the first number of its offsets.
    made: u64,
    /// What was in it when this connection began. Who has asked something before waits no more.
    began: u64,
    reading: Option<Reading>,
}

/// Somebody who reads on, as JetStream knows them.
struct Reading {
    consumer: Consumer<Config>,
    /// Entries that were asked for and have not come yet.
    batch: Option<Batch>,
    /// The last that was read.
    behind: u64,
    /// Those that were there behind it, when that was asked.
    pending: u64,
}

impl EventStream {
    pub(super) fn new(stream: Stream, prefix: &str, limits: &Limits) -> Self {
        let made = made(stream.cached_info());
        let (prefix, limits) = (prefix.to_owned(), limits.clone());
        Self { stream, prefix, limits, made, began: 0, reading: None }
    }

    /// It brings what is asked from now on only.
    pub(super) async fn begun(mut self) -> Result<Self, BusError> {
        self.began = self.info().await?.state.last_sequence;
        Ok(self)
    }

    async fn info(&self) -> Result<Info, BusError> {
        let info = self.stream.get_info().await.map_err(BusError::new)?;
        match made(&info) == self.made {
            true => Ok(info),
            false => Err(BusError::new("the stream of events was made anew")),
        }
    }

    fn offset(&self, sequence: u64) -> Offset {
        Offset::new(self.made, sequence)
    }

    /// The number of an entry: 0 of one before this stream, and the largest of one behind it.
    fn sequence(&self, offset: Offset) -> u64 {
        match offset.major().cmp(&self.made) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => offset.minor(),
            std::cmp::Ordering::Greater => u64::MAX,
        }
    }

    async fn consumer(&self, config: Config) -> Result<Consumer<Config>, BusError> {
        let config = Config {
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE_MAX,
            memory_storage: true,
            num_replicas: 1,
            ..config
        };
        self.stream.create_consumer(config).await.map_err(BusError::new)
    }

    /// Begins to read behind an entry: all, or those of one subject.
    async fn read_from(&self, behind: u64, filter: String) -> Result<Reading, BusError> {
        let start_sequence = behind.saturating_add(1);
        let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence };
        let config = Config { deliver_policy, filter_subject: filter, ..Config::default() };
        let consumer = self.consumer(config).await?;
        let pending = consumer.cached_info().num_pending;
        Ok(Reading { consumer, batch: None, behind, pending })
    }

    /// What an entry has in it, where its namespace is meant.
    fn read(&self, message: &Message, sequence: u64, is_meant: impl Fn(&str) -> bool) -> Read {
        let name =
            message.subject.strip_prefix(&*self.prefix).and_then(|name| name.strip_prefix('.'));
        let namespace = name.and_then(|name| String::from_utf8(BASE64.decode(name).ok()?).ok());
        // What is of no namespace is for nobody.
        let Some(namespace) = namespace.filter(|namespace| is_meant(namespace)) else {
            return Ok(None);
        };
        let packet = envelope::decode_in(Some(&namespace), &message.payload, &self.limits)?;
        if sequence <= self.began && !is_logged(&packet.body) {
            return Ok(None);
        }
        let number = message.headers.as_ref().and_then(|headers| headers.get(NUMBER));
        let number = number.and_then(|number| number.as_str().parse().ok()).unwrap_or(0);
        Ok(Some(Entry { packet, number }))
    }
}

impl Reading {
    /// The next entries, with their numbers: none when none came within [`READ_WAIT`].
    async fn next(&mut self, bytes_max: usize) -> Result<Vec<(u64, Message)>, BusError> {
        let mut messages = Vec::new();
        let mut batch = match self.batch.take() {
            Some(batch) => batch,
            None => {
                let asked = self.consumer.batch().max_messages(PAGE).max_bytes(bytes_max);
                asked.expires(READ_WAIT).messages().await.map_err(BusError::new)?
            }
        };
        let mut next = batch.next().await;
        while let Some(message) = next {
            let message = match message {
                Ok(message) => message,
                // It says so, too, when the next would be too many bytes. What lasts is said again.
                Err(_) if !messages.is_empty() => return Ok(messages),
                Err(why) => return Err(BusError::new(why)),
            };
            let info = message.info().map_err(BusError::new)?;
            let sequence = info.stream_sequence;
            self.pending = info.pending;
            messages.push((sequence, message));
            if messages.len() == PAGE {
                break;
            }
            next = match batch.next().now_or_never() {
                Some(next) => next,
                // It goes on with the same.
                None => {
                    self.batch = Some(batch);
                    break;
                }
            };
        }
        Ok(messages)
    }
}

impl EventStream {
    fn batch_bytes(&self) -> usize {
        BATCH_BYTES.max(2 * self.limits.payload_bytes_max)
    }

    /// Entries behind an offset, each the next of the one before. Where one is missing that JetStream may have lost on its
    /// way, it is asked for again.
    async fn read_behind(
        &mut self,
        behind: Offset,
    ) -> Result<(Vec<(u64, Message)>, bool), BusError> {
        let behind = self.sequence(behind);
        loop {
            let known = self.reading.take().filter(|reading| reading.behind == behind);
            let is_known = known.is_some();
            let mut reading = match known {
                Some(reading) => reading,
                None => self.read_from(behind, String::new()).await?,
            };
            let mut messages = reading.next(self.batch_bytes()).await?;
            let first = messages.first().map(|(sequence, _)| *sequence);
            let has_lost = first.is_some_and(|first| first != behind + 1);
            if has_lost && is_known {
                continue;
            }
            let whole = messages.windows(2).position(|pair| pair[1].0 != pair[0].0 + 1);
            match whole {
                Some(last) => messages.truncate(last + 1),
                None => {
                    reading.behind = messages.last().map_or(behind, |(sequence, _)| *sequence);
                    self.reading = Some(reading);
                }
            }
            return Ok((messages, has_lost));
        }
    }
}

impl Store for EventStream {
    /// That behind which all is there that came later, be it gone itself.
    async fn last(&mut self, upto: Option<Offset>) -> Result<Offset, BusError> {
        let state = self.info().await?.state;
        let last = upto.map_or(state.last_sequence, |upto| self.sequence(upto));
        let last = last.min(state.last_sequence);
        let is_before = upto.is_some_and(|upto| upto.major() < self.made);
        match is_before || last + 1 < state.first_sequence {
            true => Ok(Offset::BEGINNING),
            false => Ok(self.offset(last)),
        }
    }

    async fn first(&mut self, behind: Offset) -> Result<Option<Offset>, BusError> {
        let state = self.info().await?.state;
        let first = self.sequence(behind).saturating_add(1).max(state.first_sequence);
        Ok((first <= state.last_sequence).then(|| self.offset(first)))
    }

    /// By the time of the last entry, which is that of NATS.
    async fn ago(&mut self, past: Duration) -> Result<Offset, BusError> {
        let state = self.info().await?.state;
        if state.messages == 0 {
            return Ok(self.offset(state.last_sequence).after());
        }
        let start_time = state.last_timestamp - past.min(PAST_MAX);
        let deliver_policy = DeliverPolicy::ByStartTime { start_time };
        let asked = self.consumer(Config { deliver_policy, ..Config::default() }).await?;
        let info = asked.cached_info();
        // Entries may have come since; then it is a little later than it need be.
        let first = (state.last_sequence + 1).saturating_sub(info.num_pending);
        let name = info.name.clone();
        // Where it is not deleted it goes by itself.
        drop(self.stream.delete_consumer(&name).await);
        Ok(self.offset(first.max(state.first_sequence)))
    }

    async fn page(
        &mut self,
        namespace: &str,
        from: Offset,
        upto: Offset,
    ) -> Result<Page, BusError> {
        let (behind, upto) = (self.sequence(from).saturating_sub(1), self.sequence(upto));
        let known = self.reading.take().filter(|reading| reading.behind == behind);
        let mut reading = match known {
            Some(reading) => reading,
            None => self.read_from(behind, subject(&self.prefix, namespace)).await?,
        };
        let mut page = Page::default();
        if reading.pending > 0 {
            let messages = reading.next(self.batch_bytes()).await?;
            if messages.is_empty() {
                return Err(BusError::refusal("events were removed while they were read"));
            }
            for (sequence, message) in messages.iter().filter(|(sequence, _)| *sequence <= upto) {
                let read = self.read(message, *sequence, |name| name == namespace);
                page.entries.push((self.offset(*sequence), read));
            }
            reading.behind = messages.last().map_or(behind, |(sequence, _)| *sequence);
            page.has_more = reading.pending > 0 && reading.behind < upto;
        }
        if page.has_more {
            self.reading = Some(reading);
        } else {
            drop(self.stream.delete_consumer(&reading.consumer.cached_info().name).await);
        }
        Ok(page)
    }

    async fn next(&mut self, behind: Offset, namespaces: &Subscriptions) -> Result<Page, BusError> {
        let (messages, has_lost) = self.read_behind(behind).await?;
        let entries = messages.iter().map(|(sequence, message)| {
            let read = self.read(message, *sequence, |namespace| namespaces.contains(namespace));
            (self.offset(*sequence), read)
        });
        Ok(Page { entries: entries.collect(), has_more: false, has_lost })
    }
}

fn made(info: &Info) -> u64 {
    u64::try_from(info.created.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
