//! What becomes of a cluster whose engine goes away, stands still, or brings nonsense.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![cfg(feature = "redis")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::redis::Commands as _;
use roomful::{Args, NodeAnswers, Server};
use roomful_cluster::{
    Cluster, ClusterSettings, ClusterState, Emitter, RedisStreams, ShardedRedis,
};
use support::{PATIENCE, Redis};
use tokio::time::{Instant, sleep, timeout};

/// A server of a cluster, and what it has heard of others.
struct Node {
    io: Server,
    cluster: Cluster,
    heard: Arc<Mutex<Vec<u32>>>,
}

impl Node {
    fn new(cluster: Cluster) -> Self {
        let io = Server::builder().adapter(cluster.clone()).build();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        io.on_server_side("number", move |args: Args| {
            hears.lock().unwrap().push(args.get(0).unwrap());
            async { "heard" }
        });
        Self { io, cluster, heard }
    }

    async fn classic(redis: &Redis) -> Self {
        let bus = roomful_cluster::Redis::new(&redis.url()).unwrap();
        let node = Self::new(Cluster::connect_with(bus, quick()).await.unwrap());
        node.is_ready().await;
        node
    }

    async fn streams(redis: &Redis) -> Self {
        let bus = RedisStreams::new(&redis.url()).unwrap();
        let node = Self::new(Cluster::connect_with(bus, quick()).await.unwrap());
        node.is_ready().await;
        node
    }

    /// What was ordered before is done.
    async fn is_ready(&self) {
        self.cluster.nodes("/").await.unwrap();
    }

    async fn is(&self, state: ClusterState) {
        let reached = async {
            while self.cluster.state() != state {
                self.cluster.changed(self.cluster.state()).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never {state:?}"));
    }

    /// It was cut off, and is back.
    async fn has_been_lost(&self) {
        let began = Instant::now();
        while self.cluster.stats().lost == 0 && began.elapsed() < PATIENCE {
            sleep(Duration::from_millis(5)).await;
        }
        assert_ne!(self.cluster.stats().lost, 0, "it was never cut off");
        self.is(ClusterState::Up).await;
        self.is_ready().await;
    }

    fn says(&self, number: u32) {
        self.io.server_side_emit("number", number).unwrap();
    }

    async fn has_heard(&self, numbers: &[u32]) {
        let began = Instant::now();
        while self.heard.lock().unwrap().len() < numbers.len() && began.elapsed() < PATIENCE {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(*self.heard.lock().unwrap(), numbers);
    }
}

/// So that nothing takes long.
fn quick() -> ClusterSettings {
    let mut settings = ClusterSettings::default();
    // A busy machine has its time.
    settings.response_timeout = Duration::from_secs(3);
    settings.reconnect_pause_max = Duration::from_millis(200);
    settings.heartbeat_interval = Duration::from_millis(200);
    settings.waiting_max = 25;
    settings
}

/// Redis ends a connection for which more waits than it keeps, whatever it was saying.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_node_that_redis_cuts_off_for_reading_slowly_is_back() {
    let limit = ["--client-output-buffer-limit", "pubsub", "1mb", "1mb", "1"];
    let redis = Redis::start_with(&limit).await;
    let (one, two) = (Node::classic(&redis).await, Node::classic(&redis).await);
    one.io.server_side_emit("large", "x".repeat(8_000_000)).unwrap();
    two.has_been_lost().await;
    one.is(ClusterState::Up).await;
    one.is_ready().await;
    one.says(1);
    two.has_heard(&[1]).await;
}

/// Far more than is read at once, and small things behind it.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn what_is_larger_than_all_buffers_comes_and_so_does_what_is_behind_it() {
    let redis = Redis::start_with(&["--client-output-buffer-limit", "pubsub", "0", "0", "0"]).await;
    let nodes = [Node::classic(&redis).await, Node::classic(&redis).await];
    let (large, lengths) = ("x".repeat(7_000_000), Arc::new(Mutex::new(Vec::new())));
    let hears = Arc::clone(&lengths);
    nodes[1].io.on_server_side("large", move |args: Args| {
        hears.lock().unwrap().push(args.get::<String>(0).unwrap().len());
        async {}
    });
    for number in 0..4 {
        nodes[0].io.server_side_emit("large", &large).unwrap();
        nodes[0].says(number);
    }
    nodes[1].has_heard(&[0, 1, 2, 3]).await;
    assert_eq!(*lengths.lock().unwrap(), [large.len(); 4]);
    assert_eq!(nodes[1].cluster.stats().lost, 0);
}

#[tokio::test]
#[ignore = "it needs redis-server"]
async fn what_is_said_while_the_engine_is_away_waits_up_to_a_bound() {
    let mut redis = Redis::start().await;
    let (one, two) = (Node::classic(&redis).await, Node::classic(&redis).await);
    one.says(0);
    two.has_heard(&[0]).await;
    redis.kill();
    one.is(ClusterState::Down).await;
    two.is(ClusterState::Down).await;
    let before = one.cluster.stats();
    for number in 1..=30 {
        one.says(number);
    }
    let stats = one.cluster.stats();
    assert_eq!((stats.waiting, stats.dropped_full - before.dropped_full), (25, 5));
    redis.again().await;
    two.is(ClusterState::Up).await;
    one.is(ClusterState::Up).await;
    one.is_ready().await;
    let stats = one.cluster.stats();
    assert_eq!((stats.waiting, stats.waiting_bytes, stats.lost), (0, 0, 1));
    assert_eq!(stats.published - before.published, 25);
    // Who had subscribed by then has heard them, in order; who had not, none of those before.
    one.says(31);
    let began = Instant::now();
    while two.heard.lock().unwrap().last() != Some(&31) && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5)).await;
    }
    let heard = two.heard.lock().unwrap().clone();
    assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
    assert_eq!(heard.last(), Some(&31));
}

/// A request is made, waits for no longer than was said, and tells that it had no answer.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn nothing_waits_for_ever() {
    let mut redis = Redis::start().await;
    let (one, two) = (Node::classic(&redis).await, Node::classic(&redis).await);
    let answers: NodeAnswers<String> = one.io.server_side_call("number", 1).await.unwrap();
    assert_eq!((&*answers, answers.nodes_missing()), (&["heard".to_owned()][..], 0));
    redis.kill();
    one.is(ClusterState::Down).await;
    one.io.ack_timeout(Duration::from_millis(100));
    let began = Instant::now();
    let answers: NodeAnswers<String> = one.io.server_side_call("number", 2).await.unwrap();
    assert!(answers.is_empty() && began.elapsed() < PATIENCE);
    assert_eq!(answers.nodes_missing(), 1, "that was there last");
    let found = one.io.everyone().timeout(Duration::from_millis(100)).sockets().await;
    assert_eq!((found.len(), found.nodes_missing()), (0, 1));
    assert!(one.cluster.nodes("/").await.is_err());
    drop(two);
}

/// A Redis that stands still is as good as one that is away, and nobody hears anything twice.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn an_engine_that_stands_still_is_noticed() {
    let redis = Redis::start().await;
    let (one, two) = (Node::streams(&redis).await, Node::streams(&redis).await);
    redis.signal("-STOP");
    one.is(ClusterState::Down).await;
    two.is(ClusterState::Down).await;
    redis.signal("-CONT");
    one.is(ClusterState::Up).await;
    two.is(ClusterState::Up).await;
    one.says(1);
    two.has_heard(&[1]).await;
}

const NAMESPACES: [&str; 4] = ["/", "/a", "/b", "/c"];

/// What goes by the stream is read on from where it was, in each namespace: it was read before these were subscribed.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_stream_is_read_on_by_who_comes_later() {
    let mut redis = Redis::start().await;
    let (one, two) = (Node::streams(&redis).await, Node::streams(&redis).await);
    for node in [&one, &two] {
        NAMESPACES.iter().for_each(|namespace| drop(node.io.of(namespace)));
        node.is_ready().await;
    }
    redis.kill();
    one.is(ClusterState::Down).await;
    two.is(ClusterState::Down).await;
    for namespace in NAMESPACES {
        for room in 0..5 {
            one.io.of(namespace).everyone().join(format!("room {room}"));
        }
    }
    redis.again().await;
    one.is(ClusterState::Up).await;
    two.is(ClusterState::Up).await;
    let began = Instant::now();
    let all = 5 * NAMESPACES.len() as u64;
    while two.cluster.stats().received < all && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(two.cluster.stats().received, all);
}

#[tokio::test]
#[ignore = "it needs redis-server"]
async fn nonsense_is_counted_and_changes_nothing() {
    let redis = Redis::start().await;
    let (one, two) = (Node::classic(&redis).await, Node::classic(&redis).await);
    let url = redis.url();
    let publish = |channel: &'static str, body: Vec<u8>| {
        let url = url.clone();
        tokio::task::spawn_blocking(move || {
            let mut connection = ::redis::Client::open(url).unwrap().get_connection().unwrap();
            let _: i64 = connection.publish(channel, body).unwrap();
        })
    };
    let bodies: [&[u8]; 9] = [
        b"",
        b"\xc1",
        b"{}",
        b"[]",
        br#"{"uid":"x","type":99}"#,
        br#"{"uid":"x","type":3,"rooms":["a"]}"#,
        br#"{"requestId":"nobody","type":8,"clientCount":18446744073709551615}"#,
        b"\x93\xa1x\x83\xa4type\x02\xa4data\x91\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
    ];
    for body in bodies {
        for channel in
            ["socket.io#/#", "socket.io#/#room#", "socket.io-request#/#", "socket.io-response#/#"]
        {
            publish(channel, body.to_vec()).await.unwrap();
        }
    }
    publish("socket.io#/#", vec![b'['; 20_000_000]).await.unwrap();
    publish("socket.io#/nowhere#", b"\x93\xa1x\x80\x80".to_vec()).await.unwrap();
    one.says(1);
    two.has_heard(&[1]).await;
    let stats = two.cluster.stats();
    assert!(stats.malformed > 20, "{stats:?}");
    assert_eq!(stats.lost, 0);
    // Redis itself cuts off who is sent so much at once.
    publish("socket.io#/#", vec![b'['; 50_000_000]).await.unwrap();
    for node in [&one, &two] {
        node.has_been_lost().await;
    }
    one.says(2);
    two.has_heard(&[1, 2]).await;
}

/// A node that has died is not waited for, as soon as the engine knows.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_node_that_has_gone_is_missed_by_nobody() {
    let redis = Redis::start().await;
    let (one, two) = (Node::classic(&redis).await, Node::classic(&redis).await);
    assert_eq!(one.cluster.nodes("/").await.unwrap(), 2);
    drop(two);
    let began = Instant::now();
    while one.cluster.nodes("/").await.unwrap() != 1 && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5)).await;
    }
    let answers: NodeAnswers<String> = one.io.server_side_call("number", 1).await.unwrap();
    assert_eq!((answers.len(), answers.nodes_missing()), (0, 0));
}

/// It is no node, and what it sends is taken before its process ends.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn an_emitter_reaches_all_and_is_none_of_them() {
    let redis = Redis::start().await;
    let (one, two) = (Node::classic(&redis).await, Node::streams(&redis).await);
    for (node, bus) in [
        (&one, Emitter::connect(roomful_cluster::Redis::new(&redis.url()).unwrap()).await),
        (&two, Emitter::connect(RedisStreams::new(&redis.url()).unwrap()).await),
    ] {
        let emitter = bus.unwrap();
        for number in 0..5 {
            emitter.server_side_emit("number", number).unwrap();
        }
        assert!(emitter.emit("disconnect", ()).is_err());
        emitter.flush(PATIENCE).await.unwrap();
        assert_eq!(emitter.stats().published, 5);
        drop(emitter);
        node.has_heard(&[0, 1, 2, 3, 4]).await;
        assert_eq!(node.cluster.nodes("/").await.unwrap(), 1);
    }
}

/// The namespace of the one that stays is not unsubscribed with that of the other.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn servers_of_one_process_may_share_a_cluster() {
    let redis = Redis::start().await;
    let url = redis.url();
    for shared in [
        Cluster::connect(ShardedRedis::new(&url).unwrap()).await.unwrap(),
        Cluster::connect(roomful_cluster::Redis::new(&url).unwrap()).await.unwrap(),
        Cluster::connect(RedisStreams::new(&url).unwrap()).await.unwrap(),
    ] {
        let (stays, goes) = (Node::new(shared.clone()), Node::new(shared.clone()));
        goes.is_ready().await;
        goes.says(1);
        stays.has_heard(&[1]).await;
        drop(goes);
        let late = Node::new(shared);
        late.is_ready().await;
        late.says(2);
        stays.has_heard(&[1, 2]).await;
        assert!(late.heard.lock().unwrap().is_empty());
    }
}

/// What a program waits for before it ends goes out when the engine is back.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_flush_lasts_until_the_engine_is_back() {
    let mut redis = Redis::start().await;
    let one = Node::classic(&redis).await;
    redis.kill();
    one.is(ClusterState::Down).await;
    one.says(1);
    let cluster = one.cluster.clone();
    let flushed = tokio::spawn(async move { cluster.flush(PATIENCE).await });
    redis.again().await;
    flushed.await.unwrap().unwrap();
    assert_eq!(one.cluster.stats().waiting, 0);
}

/// A timer that cannot be ended the task that has the connection, and the state stayed `Up`.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn settings_that_cannot_be_are_refused_by_name() {
    let redis = Redis::start().await;
    for time in [Duration::ZERO, Duration::MAX] {
        let mut settings = ClusterSettings::default();
        settings.heartbeat_interval = time;
        let bus = roomful_cluster::Redis::new(&redis.url()).unwrap();
        let refused = Cluster::connect_with(bus, settings).await.unwrap_err().to_string();
        assert!(refused.contains("heartbeat_interval"), "{refused}");
    }
}

/// What is volatile is not worth the place of what is not.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn volatile_events_do_not_wait_for_the_engine() {
    let mut redis = Redis::start().await;
    let one = Node::classic(&redis).await;
    redis.kill();
    one.is(ClusterState::Down).await;
    one.io.everyone().volatile().emit("state", 1);
    let stats = one.cluster.stats();
    assert_eq!((stats.waiting, stats.dropped_volatile), (0, 1));
}
