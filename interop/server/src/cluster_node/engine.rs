//! The engine that the command line names.

use std::env;
use std::error::Error;

use roomful_cluster::{
    Cluster, MemoryBus, Nats, Postgres, Redis, RedisStreams, ShardedRedis, SubscriptionMode,
};

#[derive(Default)]
pub(crate) struct Options {
    engine: String,
    url: String,
    servers: usize,
    /// Whether lost clients get their sockets back.
    pub(crate) recovers: bool,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, Box<dyn Error>> {
        let mut options = Self { servers: 1, ..Self::default() };
        let mut args = env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match &*name {
                "--engine" => options.engine = value,
                "--url" => options.url = value,
                "--servers" => options.servers = value.parse()?,
                "--recovery" => options.recovers = value == "yes",
                // Nodes of ours always hear emitters.
                "--emitter" => {}
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        Ok(options)
    }

    /// One for each server.
    pub(crate) async fn connect(&self) -> Result<Vec<Cluster>, Box<dyn Error>> {
        let memory = MemoryBus::new();
        let mut clusters = Vec::new();
        for _ in 0..self.servers {
            clusters.push(self.one(&memory).await?);
        }
        Ok(clusters)
    }

    async fn one(&self, memory: &MemoryBus) -> Result<Cluster, Box<dyn Error>> {
        Ok(match &*self.engine {
            "redis" => Redis::connect(&self.url).await?,
            "sharded" => self.sharded(SubscriptionMode::Dynamic).await?,
            "sharded-static" => self.sharded(SubscriptionMode::Static).await?,
            "sharded-private" => self.sharded(SubscriptionMode::DynamicPrivate).await?,
            "streams" => RedisStreams::connect(&self.url).await?,
            "postgres" => Postgres::connect(&self.url).await?,
            "postgres-log" => Cluster::connect(Postgres::new(&self.url)?.with_log()).await?,
            "nats" => Nats::connect(&self.url).await?,
            "nats-log" => Cluster::connect(Nats::new(&self.url).with_log()).await?,
            "memory" => Cluster::connect(memory.clone()).await?,
            other => return Err(format!("there is no engine {other}").into()),
        })
    }

    async fn sharded(&self, mode: SubscriptionMode) -> Result<Cluster, Box<dyn Error>> {
        // Several nodes are a Redis Cluster.
        let bus = match self.url.contains(',') {
            true => ShardedRedis::cluster(self.url.split(',')),
            false => ShardedRedis::new(&self.url)?,
        };
        Ok(Cluster::connect(bus.subscription_mode(mode)).await?)
    }
}
