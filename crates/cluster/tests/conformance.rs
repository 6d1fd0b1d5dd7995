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

// They share a Redis, so each has channels of its own.
#[cfg(feature = "redis")]
mod redis {
    use roomful_cluster::{Redis, RedisStreams, ShardedRedis, SubscriptionMode, conformance};

    use super::url;

    #[tokio::test]
    #[ignore = "it needs the engine"]
    async fn classic() {
        let url = url("REDIS_URL");
        conformance::check(|| Redis::new(&url).unwrap().key("classic")).await.unwrap();
    }

    #[tokio::test]
    #[ignore = "it needs the engine"]
    async fn sharded() {
        use SubscriptionMode::{Dynamic, DynamicPrivate, Static};
        for mode in [Static, Dynamic, DynamicPrivate] {
            let url = url("REDIS_URL");
            let bus = || ShardedRedis::new(&url).unwrap().channel_prefix("sharded");
            conformance::check(|| bus().subscription_mode(mode)).await.unwrap();
        }
    }

    #[tokio::test]
    #[ignore = "it needs the engine"]
    async fn streams() {
        let url = url("REDIS_URL");
        let bus = || RedisStreams::new(&url).unwrap().channel_prefix("streams");
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

#[cfg(feature = "postgres")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn postgres_with_a_log() {
    let url = url("POSTGRES_URL");
    let bus = || roomful_cluster::Postgres::new(&url).unwrap().channel_prefix("conformance-log");
    conformance::check(|| bus().with_log().log_prefix("it's \"a\" log")).await.unwrap();
}

#[cfg(feature = "nats")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn nats() {
    let url = url("NATS_URL");
    let bus = || roomful_cluster::Nats::new(&url).subject_prefix("conformance");
    conformance::check(bus).await.unwrap();
}

#[cfg(feature = "nats")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn nats_with_a_log() {
    let url = url("NATS_URL");
    let bus = || roomful_cluster::Nats::new(&url).subject_prefix("conformance.log");
    conformance::check(|| bus().with_log()).await.unwrap();
}

/// A client may ask for such a namespace. It took the connection of all others along, for as long as it stayed.
#[cfg(feature = "postgres")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn a_namespace_that_postgres_has_no_channel_for_takes_no_other_along() {
    let cluster = roomful_cluster::Postgres::connect(&url("POSTGRES_URL")).await.unwrap();
    let io = roomful::Server::builder().adapter(cluster.clone()).build();
    let (zero, long) = (io.of("/a\0"), io.of(&format!("/{}", "x".repeat(60))));
    zero.emit("event", 1);
    long.emit("event", 1);
    cluster.flush(std::time::Duration::from_secs(10)).await.unwrap();
    let stats = cluster.stats();
    assert_eq!((cluster.state(), stats.lost), (roomful_cluster::ClusterState::Up, 0));
    assert!(stats.dropped_unsaid >= 2, "{stats:?}");
}
