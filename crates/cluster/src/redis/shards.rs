//! [`Shards`]: what the sharded wire asks of a Redis, or of many.

use std::pin::Pin;
use std::sync::Arc;

use ::redis::{Cmd, cmd, pipe};
use bytes::Bytes;

use super::link::{self, Heard, Link};
use crate::bus::{BusError, BusFuture};

/// Channels that are subscribed or left in one go.
const CHANNELS_AT_ONCE: usize = 500;

/// What hears.
pub(super) type Ear = Arc<dyn Fn(Heard<'_>) + Send + Sync>;

/// One Redis, or a Redis Cluster.
pub(super) trait Shards: Send + Sync + 'static {
    /// Subscribes to channels, or leaves them.
    fn follow(&self, channels: Vec<String>, begins: bool) -> BusFuture<'_, ()>;

    /// Publishes in channels, in order, and tells how many were refused.
    fn publish(&self, messages: Vec<(String, Bytes)>) -> BusFuture<'_, usize>;

    /// How many connections have subscribed to a channel.
    fn count(&self, channel: String) -> BusFuture<'_, usize>;

    fn ping(&self) -> BusFuture<'_, ()>;

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>>;
}

const fn command(begins: bool) -> &'static str {
    if begins { "SSUBSCRIBE" } else { "SUNSUBSCRIBE" }
}

fn shardnumsub(channel: &str) -> Cmd {
    cmd("PUBSUB").arg("SHARDNUMSUB").arg(channel).take()
}

impl Shards for Link {
    fn follow(&self, channels: Vec<String>, begins: bool) -> BusFuture<'_, ()> {
        Box::pin(async move {
            for channels in channels.chunks(CHANNELS_AT_ONCE) {
                self.listen_all(command(begins), channels).await?;
            }
            Ok(())
        })
    }

    fn publish(&self, messages: Vec<(String, Bytes)>) -> BusFuture<'_, usize> {
        Box::pin(async move {
            let mut commands = pipe();
            for (channel, payload) in messages {
                commands.cmd("SPUBLISH").arg(channel).arg(&payload[..]);
            }
            self.say_all(&commands).await
        })
    }

    fn count(&self, channel: String) -> BusFuture<'_, usize> {
        Box::pin(async move { link::counted(&self.ask(shardnumsub(&channel)).await?) })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(Self::ping(self))
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(Self::ended(self))
    }
}

/// A Redis Cluster. The library connects to its nodes, follows what moves between them, and subscribes again.
#[cfg(feature = "redis-cluster")]
pub(super) mod many {
    use std::collections::HashMap;
    use std::future::pending;

    use ::redis::cluster::ClusterClient;
    use ::redis::cluster_async::ClusterConnection;
    use ::redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
    use ::redis::{Pipeline, ProtocolVersion, PushInfo, RedisError, Value};
    use futures_util::future::try_join_all;

    use super::*;

    pub(in super::super) struct Cluster {
        speaker: ClusterConnection,
        listener: ClusterConnection,
    }

    impl Cluster {
        pub(in super::super) async fn open(urls: &[String], ear: Ear) -> Result<Self, BusError> {
            let builder = || {
                ClusterClient::builder(urls.iter().map(String::as_str))
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(link::PATIENCE)
                    .response_timeout(link::PATIENCE)
            };
            let pushed = move |info: PushInfo| {
                link::heard(&info).into_iter().for_each(|heard| ear(heard));
                Ok::<_, RedisError>(())
            };
            let speaker = builder().build()?.get_async_connection().await?;
            let listener = builder().push_sender(pushed).build()?.get_async_connection().await?;
            Ok(Self { speaker, listener })
        }
    }

    impl Shards for Cluster {
        fn follow(&self, channels: Vec<String>, begins: bool) -> BusFuture<'_, ()> {
            Box::pin(async move {
                for channels in channels.chunks(CHANNELS_AT_ONCE) {
                    // Each is at a node of its own.
                    let followed = channels.iter().map(|channel| {
                        let mut listener = self.listener.clone();
                        async move {
                            match begins {
                                true => listener.ssubscribe(channel).await,
                                false => listener.sunsubscribe(channel).await,
                            }
                        }
                    });
                    try_join_all(followed).await?;
                }
                Ok(())
            })
        }

        fn publish(&self, messages: Vec<(String, Bytes)>) -> BusFuture<'_, usize> {
            Box::pin(async move {
                // Those of one channel in one go, in order. Others may be at another node, and overtake them.
                let mut channels: HashMap<String, Pipeline> = HashMap::new();
                for (channel, payload) in messages {
                    let command = cmd("SPUBLISH").arg(&channel).arg(&payload[..]).take();
                    channels.entry(channel).or_default().add_command(command);
                }
                let said = channels.into_iter().map(|(channel, commands)| {
                    let mut speaker = self.speaker.clone();
                    async move {
                        let (count, to) = (commands.len(), primary_of(&channel));
                        let answers = speaker.route_pipeline(commands, 0, count, to).await?;
                        let refused = answers
                            .into_iter()
                            .filter(|answer| matches!(answer, Value::ServerError(_)));
                        Ok::<_, BusError>(refused.count())
                    }
                });
                Ok(try_join_all(said).await?.into_iter().sum())
            })
        }

        fn count(&self, channel: String) -> BusFuture<'_, usize> {
            Box::pin(async move {
                let mut speaker = self.speaker.clone();
                let to = RoutingInfo::SingleNode(primary_of(&channel));
                let counted = speaker.route_command(shardnumsub(&channel), to);
                link::counted(&link::answered(counted.await?)?)
            })
        }

        fn ping(&self) -> BusFuture<'_, ()> {
            Box::pin(async {
                let anywhere = || RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                self.speaker.clone().route_command(cmd("PING"), anywhere()).await?;
                self.listener.clone().route_command(cmd("PING"), anywhere()).await?;
                Ok(())
            })
        }

        fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
            Box::pin(pending())
        }
    }

    /// The node that has a channel.
    fn primary_of(channel: &str) -> SingleNodeRoutingInfo {
        SingleNodeRoutingInfo::SpecificNode(Route::with_key(channel, SlotAddr::Master))
    }
}
