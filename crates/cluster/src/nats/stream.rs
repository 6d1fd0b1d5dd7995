//! [`EventStream`]: a stream of JetStream as a log.
//!
//! The entries of a stream have numbers without a hole, but for those that were removed at its beginning: so whoever
//! reads sees what is gone. A stream that is made anew begins at 1 again, and was made later.

use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::connection::State;
use async_nats::datetime::DateTime;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::context::RequestError;
use async_nats::jetstream::stream::{Info, RawMessageError, RawMessageErrorKind, Stream};
use base64::Engine as _;
use futures_util::{FutureExt as _, StreamExt as _};
use roomful_proto::Limits;
use roomful_proto::cluster::{Offset, envelope};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::event_log::NUMBER;
use super::{BASE64, subject};
use crate::bus::BusError;
use crate::log::{Entry, PAGE, Page, READ_WAIT, Read, Store, is_logged};
use crate::subscriptions::Subscriptions;

/// Bytes that are asked for at once, and no less than two of the largest messages that NATS takes.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long what should be there may take to come.
const PAGE_WAIT: Duration = Duration::from_secs(1);
/// How much later than it was asked to JetStream may say that nothing has come.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How long JetStream remembers somebody who reads and says nothing.
const INACTIVE_MAX: Duration = Duration::from_secs(60);

/// Nobody asks for more, and times have an end.
const PAST_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A stream, as it is read by one who reads.
pub(super) struct EventStream {
    client: Client,
    stream: Stream,
    prefix: String,
    limits: Limits,
    /// When it was made, in milliseconds since 1970: the first number of its offsets.
    made: u64,
    /// What was in it when this connection began. Who has asked something before waits no more.
    began: u64,
    reading: Option<Reading>,
    /// Where something seemed to be missing, and was asked for again.
    doubted: Option<u64>,
}

/// Somebody who reads on, as JetStream knows them.
struct Reading {
    client: Client,
    stream: Stream,
    consumer: Consumer<Config>,
    /// How many it has brought.
    brought: u64,
    /// Entries that were asked for and have not come yet.
    batch: Option<Batch>,
    batch_bytes: usize,
    /// The last that was read.
    behind: u64,
    /// The last of its subject, when it began: there are others up to it.
    last: u64,
}

/// An entry as it comes, with its number.
struct Numbered {
    sequence: u64,
    message: Message,
}

impl EventStream {
    pub(super) fn new(client: Client, stream: Stream, prefix: &str, limits: &Limits) -> Self {
        let made = made(stream.cached_info());
        let (prefix, limits) = (prefix.to_owned(), limits.clone());
        Self { client, stream, prefix, limits, made, began: 0, reading: None, doubted: None }
    }

    /// It brings what is asked from now on only. Whether it may be read at all is known then.
    pub(super) async fn begun(mut self) -> Result<Self, BusError> {
        self.began = self.info().await?.state.last_sequence;
        drop(self.reads_all(self.began).await?);
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

    /// Somebody who reads behind an entry: all, or those of one subject.
    async fn reads(&self, config: Config, behind: u64, last: u64) -> Result<Reading, BusError> {
        let config = Config {
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE_MAX,
            memory_storage: true,
            num_replicas: 1,
            ..config
        };
        let consumer = self.stream.create_consumer(config).await.map_err(BusError::new)?;
        Ok(Reading {
            client: self.client.clone(),
            stream: self.stream.clone(),
            consumer,
            brought: 0,
            batch: None,
            batch_bytes: BATCH_BYTES.max(2 * self.client.max_payload()),
            behind,
            last,
        })
    }

    async fn reads_all(&self, behind: u64) -> Result<Reading, BusError> {
        let deliver_policy = start_behind(behind);
        self.reads(Config { deliver_policy, ..Config::default() }, behind, 0).await
    }

    /// JetStream may have those who read at a server that has not all yet. The last of the subject is told by the one that
    /// has.
    async fn reads_subject(&self, behind: u64, subject: String) -> Result<Reading, BusError> {
        let last = match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(last) => last.sequence,
            Err(why) if why.kind() == RawMessageErrorKind::NoMessageFound => 0,
            Err(why) if is_answer(&why) => {
                return Err(BusError::refusal("the last event cannot be read"));
            }
            Err(why) => return Err(BusError::new(why)),
        };
        let (deliver_policy, filter_subject) = (start_behind(behind), subject);
        let config = Config { deliver_policy, filter_subject, ..Config::default() };
        self.reads(config, behind, last).await
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

fn start_behind(behind: u64) -> DeliverPolicy {
    DeliverPolicy::ByStartSequence { start_sequence: behind.saturating_add(1) }
}

impl Reading {
    /// The next entries: none when none came within that time.
    async fn next(&mut self, wait: Duration) -> Result<Vec<Numbered>, BusError> {
        if let Some(batch) = self.batch.take() {
            // The rest of a batch may end with an error, as when the next would be too many bytes. What lasts is said again.
            let asked = Instant::now();
            match self.take(batch, wait).await {
                Ok(messages) if messages.is_empty() => {}
                Err(why) if !why.is_refusal() && asked.elapsed() < wait => {}
                done => return done,
            }
        }
        let asked = self.consumer.batch().max_messages(PAGE).max_bytes(self.batch_bytes);
        let batch = asked.expires(wait).messages().await.map_err(BusError::new)?;
        self.take(batch, wait).await
    }

    /// What there is of a batch, and the first if it has to come. JetStream says when nothing has, and nothing at all of
    /// somebody whom it has forgotten.
    async fn take(&mut self, mut batch: Batch, wait: Duration) -> Result<Vec<Numbered>, BusError> {
        let mut messages = Vec::new();
        let Ok(mut next) = timeout(wait + LATE_MAX, batch.next()).await else {
            return Err(BusError::new("NATS does not answer who reads the log"));
        };
        while let Some(message) = next {
            let message = match message {
                Ok(message) => message,
                Err(_) if !messages.is_empty() => break,
                Err(why) => return Err(BusError::new(why)),
            };
            let info = message.info().map_err(BusError::new)?;
            let (sequence, is_next) =
                (info.stream_sequence, info.consumer_sequence == self.brought.saturating_add(1));
            self.brought = info.consumer_sequence;
            if self.last > 0 && !is_next {
                // Those of one subject have no numbers by which that is seen.
                return Err(BusError::refusal("an event was lost on its way from NATS"));
            }
            messages.push(Numbered { sequence, message });
            if messages.len() == PAGE {
                break;
            }
            next = match batch.next().now_or_never() {
                Some(next) => next,
                None => {
                    self.batch = Some(batch);
                    break;
                }
            };
        }
        Ok(messages)
    }
}

impl Drop for Reading {
    /// It would be remembered for a while.
    fn drop(&mut self) {
        let (stream, name) = (self.stream.clone(), self.consumer.cached_info().name.clone());
        // One whose connection is lost would connect again for that.
        let is_connected = self.client.connection_state() == State::Connected;
        if let Ok(runtime) = Handle::try_current()
            && is_connected
        {
            runtime.spawn(async move { stream.delete_consumer(&name).await.is_ok() });
        }
    }
}

impl EventStream {
    /// Entries behind an offset, each the next of the one before, and whether some before them are gone. Where one is
    /// missing that may have been lost on its way, it is asked for again.
    async fn read_behind(&mut self, behind: Offset) -> Result<(Vec<Numbered>, bool), BusError> {
        let behind = self.sequence(behind);
        loop {
            let known = self.reading.take().filter(|reading| reading.behind == behind);
            let is_known = known.is_some();
            let mut reading = match known {
                Some(reading) => reading,
                None => self.reads_all(behind).await?,
            };
            let mut messages = match reading.next(READ_WAIT).await {
                Ok(messages) => messages,
                // As when the server is gone that had it.
                Err(_) if is_known => continue,
                Err(why) => return Err(why),
            };
            // A server that has not all yet begins with what it has.
            messages.retain(|message| message.sequence > behind);
            let first = messages.first().map(|message| message.sequence);
            let has_lost = first.is_some_and(|first| first - 1 != behind);
            if has_lost && is_known && self.doubted.replace(behind) != Some(behind) {
                continue;
            }
            let hole =
                messages.windows(2).position(|pair| pair[1].sequence - 1 != pair[0].sequence);
            match hole {
                Some(last) => messages.truncate(last + 1),
                None => {
                    reading.behind = messages.last().map_or(behind, |last| last.sequence);
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
        match is_before || last.saturating_add(1) < state.first_sequence {
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
        let reads = self.reads(Config { deliver_policy, ..Config::default() }, 0, 0).await?;
        // Entries may have come since; then it is a little later than it need be.
        let pending = reads.consumer.cached_info().num_pending;
        let first = state.last_sequence.saturating_add(1).saturating_sub(pending);
        Ok(self.offset(first.max(state.first_sequence)))
    }

    /// The time when NATS took it, in nanoseconds since 1970.
    async fn stamp(&mut self, of: Offset) -> Result<u64, BusError> {
        if of.major() != self.made || of.minor() == 0 {
            return Ok(0);
        }
        match self.stream.get_raw_message(of.minor()).await {
            Ok(message) => Ok(stamp(message.time)),
            // It is gone, or cannot be read.
            Err(why) if is_answer(&why) => Ok(0),
            Err(why) => Err(BusError::new(why)),
        }
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
            None => self.reads_subject(behind, subject(&self.prefix, namespace)).await?,
        };
        let mut page = Page::default();
        if behind < reading.last.min(upto) {
            let messages = reading.next(PAGE_WAIT).await?;
            let Some(last) = messages.last() else {
                return Err(BusError::refusal("events were removed while they were read"));
            };
            reading.behind = last.sequence;
            for Numbered { sequence, message } in &messages {
                if (behind + 1..=upto).contains(sequence) {
                    let read = self.read(message, *sequence, |name| name == namespace);
                    page.entries.push((self.offset(*sequence), read));
                }
            }
            page.has_more = reading.behind < reading.last.min(upto);
        }
        self.reading = page.has_more.then_some(reading);
        Ok(page)
    }

    async fn next(&mut self, behind: Offset, namespaces: &Subscriptions) -> Result<Page, BusError> {
        let (messages, has_lost) = self.read_behind(behind).await?;
        let last = messages.last().and_then(|last| last.message.info().ok());
        let stamp = last.map_or(0, |info| stamp(info.published));
        let entries = messages.iter().map(|Numbered { sequence, message }| {
            let read = self.read(message, *sequence, |namespace| namespaces.contains(namespace));
            (self.offset(*sequence), read)
        });
        Ok(Page { entries: entries.collect(), has_more: false, has_lost, stamp })
    }
}

fn stamp(time: DateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos()).unwrap_or(0)
}

/// Whether NATS has answered that there is no such message, or has given one that is none.
pub(super) fn is_answer(why: &RawMessageError) -> bool {
    match why.kind() {
        RawMessageErrorKind::NoMessageFound => true,
        RawMessageErrorKind::Other => {
            let source = std::error::Error::source(why);
            source.is_some_and(|source| !source.is::<RequestError>())
        }
        _ => false,
    }
}

fn made(info: &Info) -> u64 {
    u64::try_from(info.created.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
