//! [`Link`]: two connections to a Redis, one that publishes and one that listens.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, Pipeline, PushInfo, PushKind, RedisError,
    Value, pipe,
};
use bytes::Bytes;
use futures_util::future::select_ok;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::address::Address;
use super::pushes::{Ears, Pushes};
use crate::bus::BusError;

impl From<RedisError> for BusError {
    fn from(error: RedisError) -> Self {
        Self::new(error)
    }
}

/// How long Redis may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What a Redis brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard<'a> {
    pub(crate) channel: &'a str,
    /// The pattern by which it was subscribed.
    pub(crate) pattern: Option<&'a str>,
    payload: &'a [u8],
}

impl<'a> Heard<'a> {
    pub(super) const fn new(channel: &'a str, pattern: Option<&'a str>, payload: &'a [u8]) -> Self {
        Self { channel, pattern, payload }
    }

    /// What was said, to be kept.
    pub(crate) fn payload(&self) -> Bytes {
        Bytes::copy_from_slice(self.payload)
    }
}

/// Two connections, since what is heard is not to wait behind what is said.
pub(crate) struct Link {
    speaker: MultiplexedConnection,
    listener: MultiplexedConnection,
    ended: Arc<Notify>,
}

impl Link {
    pub(crate) async fn open(
        address: &Address,
        hear: impl Fn(Heard<'_>) + Send + Sync + 'static,
    ) -> Result<Self, BusError> {
        let client = address.client().await?;
        let ended = Arc::new(Notify::new());
        let config = || {
            AsyncConnectionConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE))
        };
        let (is_over, hear) = (Arc::clone(&ended), Arc::new(hear));
        let hears = Arc::clone(&hear);
        let pushed = move |info: PushInfo| {
            match info.kind {
                PushKind::Disconnection => is_over.notify_one(),
                _ => heard(&info).into_iter().for_each(|heard| hears(heard)),
            }
            Ok::<_, RedisError>(())
        };
        let pushed = Arc::new(pushed);
        let told = Arc::clone(&pushed);
        // That a connection has ended is told by both.
        let config = (
            config().set_push_sender(move |info| told(info)),
            config().set_push_sender(move |info| pushed(info)),
        );
        let speaker = client.get_multiplexed_async_connection_with_config(&config.0).await?;
        let listener = connect(&client, config.1, move |heard: Heard<'_>| hear(heard)).await?;
        Ok(Self { speaker, listener, ended })
    }

    /// The connection that publishes, for what is asked by it.
    pub(super) fn speaker(&self) -> MultiplexedConnection {
        self.speaker.clone()
    }

    /// Has the listener do something, such as subscribe.
    pub(crate) async fn listen(&self, command: Cmd) -> Result<(), BusError> {
        answered(self.listener.clone().send_packed_command(&command).await?).map(drop)
    }

    /// Has the listener do the same with several channels. One by one: to a command with several there would be as many
    /// answers, and the library takes each for that of a command.
    pub(crate) async fn listen_all(
        &self,
        command: &str,
        channels: &[String],
    ) -> Result<(), BusError> {
        let mut commands = pipe();
        for channel in channels {
            commands.cmd(command).arg(channel);
        }
        let mut listener = self.listener.clone();
        let answers = listener.send_packed_commands(&commands, 0, channels.len()).await?;
        answers.into_iter().try_for_each(|answer| answered(answer).map(drop))
    }

    /// Does several things one after the other, in one go.
    pub(crate) async fn say(&self, commands: &Pipeline) -> Result<Vec<Value>, BusError> {
        let count = commands.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        Ok(self.speaker.clone().send_packed_commands(commands, 0, count).await?)
    }

    /// Says several things, and tells how many of them were refused.
    pub(crate) async fn say_all(&self, commands: &Pipeline) -> Result<usize, BusError> {
        let answers = self.say(commands).await?;
        let refused = answers.into_iter().filter_map(|answer| answered(answer).err());
        Ok(refused.inspect(|why| tracing::warn!(%why, "an event is not sent")).count())
    }

    /// Asks something.
    pub(crate) async fn ask(&self, command: Cmd) -> Result<Value, BusError> {
        answered(self.speaker.clone().send_packed_command(&command).await?)
    }

    /// A sign of life of both connections.
    pub(crate) async fn ping(&self) -> Result<(), BusError> {
        let ping = ::redis::cmd("PING");
        answered(self.speaker.clone().send_packed_command(&ping).await?)?;
        answered(self.listener.clone().send_packed_command(&ping).await?).map(drop)
    }

    pub(crate) async fn ended(&self) -> BusError {
        self.ended.notified().await;
        BusError::new("Redis has closed the connection")
    }
}

/// A connection whose masses are heard [before the library](Pushes) has them, where it is plain TCP.
pub(super) async fn connect(
    client: &Client,
    config: AsyncConnectionConfig,
    ears: impl Ears + Send + 'static,
) -> Result<MultiplexedConnection, BusError> {
    let at = client.get_connection_info();
    let ConnectionAddr::Tcp(host, port) = at.addr() else {
        return Ok(client.get_multiplexed_async_connection_with_config(&config).await?);
    };
    let connecting = async {
        // Of several addresses, some may not answer.
        let found = lookup_host((&**host, *port)).await.map_err(BusError::new)?;
        let all: Vec<_> = found.map(|address| Box::pin(TcpStream::connect(address))).collect();
        if all.is_empty() {
            return Err(BusError::new("the host of Redis has no address"));
        }
        let (stream, _) = select_ok(all).await.map_err(BusError::new)?;
        stream.set_nodelay(true).map_err(BusError::new)?;
        let stream = Pushes::new(stream, ears);
        let settings = at.redis_settings();
        MultiplexedConnection::new_with_config(settings, stream, config)
            .await
            .map_err(BusError::from)
    };
    let late = |_| BusError::new(format!("Redis has not answered within {PATIENCE:?}"));
    let (connection, driver) = timeout(PATIENCE, connecting).await.map_err(late)??;
    // It ends with the connection, or when nobody has that any more.
    drop(tokio::spawn(driver));
    Ok(connection)
}

/// An answer that is no refusal: the library gives these as values.
pub(crate) fn answered(answer: Value) -> Result<Value, BusError> {
    match answer {
        Value::ServerError(why) => Err(BusError::refusal(format!("Redis refuses: {why}"))),
        answer => Ok(answer),
    }
}

/// What somebody has published: a pattern where there is one, the channel, and what was said.
pub(crate) fn heard(info: &PushInfo) -> Option<Heard<'_>> {
    if !matches!(info.kind, PushKind::Message | PushKind::PMessage | PushKind::SMessage) {
        return None;
    }
    let mut data = info.data.iter().rev().map(bytes);
    let payload = data.next()??;
    let mut text = || std::str::from_utf8(data.next()??).ok();
    let channel = text()?;
    Some(Heard { channel, pattern: text(), payload })
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.as_bytes()),
        _ => None,
    }
}

/// The number in the answer of `NUMSUB`: a list, or a map, of one channel and its number.
pub(crate) fn counted(counted: &Value) -> Result<usize, BusError> {
    let number = match counted {
        Value::Array(values) => values.get(1),
        Value::Map(pairs) => pairs.first().map(|(_, number)| number),
        _ => None,
    };
    match number {
        Some(Value::Int(number)) => Ok(usize::try_from(*number).unwrap_or(0)),
        _ => Err(BusError::new("Redis has not said how many nodes there are")),
    }
}
