//! Every bus does what a bus must.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use roomful_cluster::{MemoryBus, conformance};

#[tokio::test]
async fn memory() {
    for bus in [MemoryBus::new(), MemoryBus::counted()] {
        conformance::check(|| bus.clone()).await.unwrap();
    }
}

/// `make test-cluster` starts the engines, and gives their URLs by the environment.
#[cfg(any(feature = "nats", feature = "postgres", feature = "redis"))]
fn url(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test-cluster`"))
}

#[cfg(feature = "redis")]
mod redis {
    use roomful_cluster::{Redis, RedisStreams, ShardedRedis, SubscriptionMode, conformance};

    use super::url;

    #[tokio::test]
    #[ignore = "it needs the engine"]
    async fn classic() {
        let url = url("REDIS_URL");
        conformance::check(|| Redis::new(&url).unwrap().key("conformance")).await.unwrap();
    }

    #[tokio::test]
    #[ignore = "it needs the engine"]
    async fn sharded() {
        for mode in [SubscriptionMode::Static, SubscriptionMode::Dynamic] {
            let url = url("REDIS_URL");
            let bus = || ShardedRedis::new(&url).unwrap().channel_prefix("conformance");
            conformance::check(|| bus().subscription_mode(mode)).await.unwrap();
        }
    }

    #[tokio::test]
    #[ignore = "it needs the engine"]
    async fn streams() {
        let url = url("REDIS_URL");
        let bus = || RedisStreams::new(&url).unwrap().channel_prefix("conformance");
        conformance::check(|| bus().stream_name("conformance")).await.unwrap();
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn postgres() {
    let url = url("POSTGRES_URL");
    let bus = || roomful_cluster::Postgres::new(&url).unwrap().channel_prefix("conformance");
    conformance::check(bus).await.unwrap();
}

#[cfg(feature = "nats")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn nats() {
    let url = url("NATS_URL");
    let bus = || roomful_cluster::Nats::new(&url).subject_prefix("conformance");
    conformance::check(bus).await.unwrap();
}
