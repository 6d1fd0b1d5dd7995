//! Redis as people run it: with passwords and users, and as a cluster of its own.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![cfg(feature = "redis")]

mod support;

#[cfg(feature = "redis-cluster")]
use roomful_cluster::ShardedRedis;
use roomful_cluster::{ClusterState, Redis, RedisStreams, conformance};

#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_password_is_needed_and_given() {
    let redis = support::Redis::start_with(&["--requirepass", "p@ss/w:rd"]).await;
    let url = format!("redis://:p%40ss%2Fw%3Ard@127.0.0.1:{}", redis.port());
    conformance::check(|| Redis::new(&url).unwrap()).await.unwrap();
    let refused = Redis::connect(&redis.url()).await.unwrap_err().to_string();
    assert!(refused.contains("NOAUTH") || refused.contains("Authentication"), "{refused}");
    let wrong = format!("redis://:wrong@127.0.0.1:{}", redis.port());
    let refused = Redis::connect(&wrong).await.unwrap_err().to_string();
    assert!(!refused.contains("wrong@"), "{refused}");
}

const COMMANDS: &str = "-@all +publish +subscribe +unsubscribe +psubscribe +punsubscribe +pubsub|numsub +ping +hello +auth";

async fn with_user(channels: &str) -> (support::Redis, String) {
    with_rights(&format!("{channels} {COMMANDS}")).await
}

async fn with_rights(rights: &str) -> (support::Redis, String) {
    let rights = format!("on >secret resetkeys resetchannels {rights}");
    let user: Vec<_> = ["--user", "events"].into_iter().chain(rights.split_whitespace()).collect();
    let redis = support::Redis::start_with(&user).await;
    let url = format!("redis://events:secret@127.0.0.1:{}", redis.port());
    (redis, url)
}

#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_user_of_the_channels_alone_is_enough() {
    let (_redis, url) = with_user("allchannels").await;
    conformance::check(|| Redis::new(&url).unwrap()).await.unwrap();
}

/// Redis refuses a pattern that is not in its list as it is. That was taken for a subscription.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_subscription_that_is_refused_is_none() {
    let (_redis, url) = with_user("&socket.io*").await;
    let refused = conformance::check(|| Redis::new(&url).unwrap()).await.unwrap_err().to_string();
    assert!(refused.contains("no permissions"), "{refused}");
}

#[tokio::test]
#[ignore = "it needs redis-server"]
async fn another_database_is_no_other_cluster_for_channels_and_is_one_for_streams() {
    let redis = support::Redis::start().await;
    let url = format!("{}/3", redis.url());
    conformance::check(|| RedisStreams::new(&url).unwrap()).await.unwrap();
}

/// It was a lost connection for each event, and what others had sent was missed each time.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn an_event_that_redis_refuses_costs_no_connection() {
    let redis = support::Redis::start_with(&["--maxmemory", "1mb"]).await;
    let cluster = RedisStreams::connect(&redis.url()).await.unwrap();
    let io = roomful::Server::builder().adapter(cluster.clone()).build();
    cluster.nodes("/").await.unwrap();
    for _ in 0..5 {
        io.emit("large", "x".repeat(500_000));
    }
    cluster.flush(support::PATIENCE).await.unwrap();
    let stats = cluster.stats();
    assert!(stats.dropped_unsaid > 0 && stats.lost == 0, "{stats:?}");
}

/// A client may ask for a namespace whose channel Redis does not allow.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_namespace_that_redis_refuses_takes_no_other_along() {
    let rights = "&socket.io#/#* &socket.io-request#/* &socket.io-response#/*";
    let (_redis, url) = with_user(rights).await;
    let cluster = Redis::connect(&url).await.unwrap();
    let io = roomful::Server::builder().adapter(cluster.clone()).build();
    let refused = io.of("/refused");
    assert_eq!(cluster.nodes("/").await.unwrap(), 1);
    assert_eq!((cluster.state(), cluster.stats().lost), (ClusterState::Up, 0));
    drop(refused);
}

/// Each request dropped the connection, and with it what others had sent.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_user_that_may_not_count_nodes_keeps_its_connection() {
    let without = COMMANDS.replace("+pubsub|numsub ", "");
    let (_redis, url) = with_rights(&format!("allchannels {without}")).await;
    let cluster = Redis::connect(&url).await.unwrap();
    let io = roomful::Server::builder().adapter(cluster.clone()).build();
    assert!(cluster.nodes("/").await.is_err());
    let everyone = io.everyone().timeout(std::time::Duration::from_millis(50));
    assert!(everyone.sockets().await.is_empty());
    assert_eq!((cluster.state(), cluster.stats().lost), (ClusterState::Up, 0));
}

#[cfg(feature = "redis-cluster")]
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_redis_cluster_has_the_channels_at_all_its_nodes() {
    let redis = support::RedisCluster::start().await;
    conformance::check(|| ShardedRedis::cluster(redis.urls())).await.unwrap();
    // One of them is enough to find the others.
    let [first, ..] = &redis.urls()[..] else { panic!("there are three") };
    conformance::check(|| ShardedRedis::cluster([first.clone()])).await.unwrap();
}

/// Who had the old master was left with it.
#[cfg(feature = "redis-sentinel")]
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn sentinels_tell_which_redis_is_the_master_also_when_another_is() {
    let secret = ["--requirepass", "p@ss", "--masterauth", "p@ss"];
    let mut master = support::Redis::start_with(&secret).await;
    let of = master.port().to_string();
    let replica = [&secret[..], &["--replicaof", "127.0.0.1", &of]].concat();
    let _replica = support::Redis::start_with(&replica).await;
    let sentinel = support::Redis::sentinel("main", master.port(), "p@ss").await;
    // The first is not there.
    let url = format!("redis+sentinel://:p%40ss@127.0.0.1:1,127.0.0.1:{}/main", sentinel.port());
    conformance::check(|| Redis::new(&url).unwrap()).await.unwrap();
    conformance::check(|| RedisStreams::new(&url).unwrap()).await.unwrap();
    let wrong = Redis::connect(&url.replace("/main", "/other")).await.unwrap_err().to_string();
    assert!(!wrong.contains("p@ss") && !wrong.contains("p%40ss"), "{wrong}");

    let cluster = Redis::connect(&url).await.unwrap();
    // It has to know of the replica, to make that the master.
    let knows = async {
        while !sentinel.knows_a_replica() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, knows).await.unwrap();
    master.kill();
    let back = async {
        cluster.changed(ClusterState::Up).await;
        cluster.changed(ClusterState::Down).await;
    };
    // A Sentinel that was late itself waits for half a minute.
    tokio::time::timeout(3 * support::PATIENCE, back).await.unwrap();
    conformance::check(|| Redis::new(&url).unwrap()).await.unwrap();
}
