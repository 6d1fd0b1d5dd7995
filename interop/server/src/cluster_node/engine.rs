//! The engine that the command line names.

use std::env;
use std::error::Error;

use roomful_cluster::{
    Cluster, Nats, Postgres, Redis, RedisStreams, ShardedRedis, SubscriptionMode,
};

pub(crate) struct Options {
    engine: String,
    url: String,
    mode: SubscriptionMode,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, Box<dyn Error>> {
        let (mut engine, mut url, mut mode) = (None, None, SubscriptionMode::default());
        let mut args = env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match &*name {
                "--engine" => engine = Some(value),
                "--url" => url = Some(value),
                "--mode" if value == "static" => mode = SubscriptionMode::Static,
                "--mode" | "--emitter" => {}
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        let engine = engine.ok_or("--engine is missing")?;
        Ok(Self { engine, url: url.ok_or("--url is missing")?, mode })
    }
}

pub(crate) async fn connect(options: &Options) -> Result<Cluster, Box<dyn Error>> {
    Ok(match &*options.engine {
        "redis" => Redis::connect(&options.url).await?,
        "sharded" => {
            let bus = ShardedRedis::new(&options.url)?.subscription_mode(options.mode);
            Cluster::connect(bus).await?
        }
        "postgres" => Postgres::connect(&options.url).await?,
        "nats" => Nats::connect(&options.url).await?,
        "streams" => RedisStreams::connect(&options.url).await?,
        other => return Err(format!("there is no engine {other}").into()),
    })
}
