//! [`EventLog`]: the streams of JetStream that are the log, and what goes into them.

use std::time::Duration;

use async_nats::jetstream::context::{
    ContextBuilder, CreateStreamError, CreateStreamErrorKind, PublishAckFuture, PublishError,
};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};
use async_nats::jetstream::{self, Context, ErrorCode, context};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use roomful_proto::Limits;
use roomful_proto::cluster::{Body, Packet};

use super::link::PATIENCE;
use super::sessions::Sessions;
use super::stream::EventStream;
use crate::bus::BusError;

/// The header with the number by which its node knows an event.
pub(super) const NUMBER: &str = "Roomful-Number";
/// Bytes that headers take at most.
pub(super) const HEADER_BYTES: usize = 128;
/// How long JetStream remembers what was sent, so as not to take it twice. Nothing is sent twice here.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);

/// How a log is made that is missing.
pub(super) struct LogSettings {
    pub(super) age: Duration,
    pub(super) bytes_max: usize,
    pub(super) replicas: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { age: Duration::from_secs(300), bytes_max: 256 * 1024 * 1024, replicas: 1 }
    }
}

pub(super) struct EventLog {
    context: Context,
    prefix: String,
    events: Stream,
    sessions: Sessions,
}

impl EventLog {
    pub(super) async fn open(
        client: &Client,
        prefix: &str,
        settings: &LogSettings,
    ) -> Result<Self, BusError> {
        let context = ContextBuilder::new().timeout(PATIENCE).ack_timeout(PATIENCE);
        let context = context.build(client.clone());
        let name = |what| format!("{}_{what}", prefix.replace(is_no_name, "_"));
        let events =
            Config { subjects: vec![format!("{prefix}.*")], ..settings.config(name("events")) };
        let of_sessions = format!("{prefix}.sessions");
        let sessions = Config {
            subjects: vec![format!("{of_sessions}.*")],
            max_messages_per_subject: 1,
            ..settings.config(name("sessions"))
        };
        let events = made(&context, events).await?;
        let sessions = made(&context, sessions).await?;
        let sessions = Sessions::new(&context, sessions, of_sessions);
        Ok(Self { context, prefix: prefix.to_owned(), events, sessions })
    }

    pub(super) const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The events, as one reads them.
    pub(super) fn stream(&self, limits: &Limits) -> EventStream {
        EventStream::new(self.context.client(), self.events.clone(), &self.prefix, limits)
    }

    /// Sends a packet on its way into the log. It is there when what this gives has ended well.
    pub(super) async fn append(
        &self,
        subject: String,
        packet: &Packet,
        payload: Bytes,
    ) -> Result<PublishAckFuture, BusError> {
        let mut headers = HeaderMap::new();
        if let Body::Logged(logged) = &packet.body {
            headers.insert(NUMBER, logged.number.to_string());
        }
        self.context.publish_with_headers(subject, headers, payload).await.map_err(BusError::new)
    }
}

impl LogSettings {
    fn config(&self, name: String) -> Config {
        Config {
            name,
            max_age: self.age,
            max_bytes: i64::try_from(self.bytes_max).unwrap_or(i64::MAX),
            num_replicas: self.replicas,
            duplicate_window: DUPLICATE_WINDOW.min(self.age),
            ..Config::default()
        }
    }
}

/// What the name of a stream cannot have.
fn is_no_name(char: char) -> bool {
    !char.is_ascii_alphanumeric() && char != '-'
}

/// The stream of that name, which is made where it is missing.
async fn made(context: &Context, config: Config) -> Result<Stream, BusError> {
    let stream = match context.get_or_create_stream(&config).await {
        Ok(stream) => stream,
        // Another node may have made it at the same time, in another way.
        Err(why) => match context.get_stream(&config.name).await {
            Ok(stream) => stream,
            Err(_) => return Err(unmade(&config.name, &why)),
        },
    };
    let found = &stream.cached_info().config;
    if found.subjects != config.subjects
        || found.max_messages_per_subject.max(0) != config.max_messages_per_subject
    {
        return Err(BusError::new(format!(
            "NATS has a stream {} for something else: its subjects are {:?}. Give this cluster another subject_prefix",
            config.name, found.subjects
        )));
    }
    let keeps_all = found.retention == RetentionPolicy::Limits && !found.no_ack && !found.sealed;
    if !keeps_all || found.mirror.is_some() || found.sources.is_some() {
        return Err(BusError::new(format!(
            "the stream {} of NATS is none for a log: it needs the retention `limits`, and acks, and no other source",
            config.name
        )));
    }
    if (found.max_age, found.max_bytes, found.num_replicas)
        != (config.max_age, config.max_bytes, config.num_replicas)
    {
        tracing::warn!(
            stream = config.name, age = ?found.max_age, bytes_max = found.max_bytes, replicas = found.num_replicas,
            "the log was made in another way, and stays so"
        );
    }
    Ok(stream)
}

fn unmade(name: &str, why: &CreateStreamError) -> BusError {
    use context::RequestErrorKind::NoResponders;
    let has_none = match why.kind() {
        CreateStreamErrorKind::JetStreamUnavailable => true,
        CreateStreamErrorKind::JetStream(error) => {
            [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT]
                .contains(&error.error_code())
        }
        _ => {
            let source = std::error::Error::source(why);
            source
                .and_then(|source| source.downcast_ref::<context::RequestError>())
                .is_some_and(|error| error.kind() == NoResponders)
        }
    };
    BusError::new(match has_none {
        true => "NATS has no JetStream: start it with -js, and allow it to this account".to_owned(),
        false => format!("NATS does not make the stream {name}: {why}"),
    })
}

/// Waits until JetStream has taken all that, or refused it; gives how much it has refused.
pub(super) async fn refused(appended: Vec<PublishAckFuture>) -> Result<usize, BusError> {
    let (mut refused, mut reason) = (0, None);
    for appended in appended {
        if let Err(why) = taken(appended.await)? {
            refused += 1;
            reason = Some(why);
        }
    }
    if let Some(why) = reason {
        tracing::warn!(%why, refused, "JetStream does not take messages");
    }
    Ok(refused)
}

/// Whether JetStream has taken something, or is there and refuses just this.
pub(super) fn taken(
    appended: Result<PublishAck, PublishError>,
) -> Result<Result<(), jetstream::Error>, BusError> {
    match appended {
        Ok(_) => Ok(Ok(())),
        Err(why) => match refusal(&why) {
            Some(error) => Ok(Err(error.clone())),
            None => Err(BusError::new(format!("NATS: {why}"))),
        },
    }
}

/// What is wrong with what was said, or with the room that there is for it, and not with the connection.
fn refusal(why: &PublishError) -> Option<&jetstream::Error> {
    let source = std::error::Error::source(why)?;
    let error = source.downcast_ref::<jetstream::Error>()?;
    let no_room = [ErrorCode::INSUFFICIENT_RESOURCES, ErrorCode::STREAM_STORE_FAILED];
    (error.code() < 500 || no_room.contains(&error.error_code())).then_some(error)
}
