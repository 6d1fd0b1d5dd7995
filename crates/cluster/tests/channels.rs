//! Which channels of Redis a node hears.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![cfg(feature = "redis")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use roomful::{Server, Socket};
use roomful_client::Manager;
use roomful_cluster::{Cluster, ShardedRedis, SubscriptionMode};
use support::{PATIENCE, Redis};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// A server whose clients join and leave rooms as they like.
struct Node {
    redis: Redis,
    cluster: Cluster,
    url: String,
}

impl Node {
    async fn start(mode: SubscriptionMode) -> Self {
        let redis = Redis::start().await;
        let bus = ShardedRedis::new(&redis.url()).unwrap().subscription_mode(mode);
        let cluster = Cluster::connect(bus).await.unwrap();
        let io = Server::builder().adapter(cluster.clone()).build();
        io.on("join", async |me: Socket, room: String| me.join(room));
        io.on("leave", async |me: Socket, room: String| me.leave(room));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { io.serve_on(listener).await });
        Self { redis, cluster, url }
    }

    /// A client, and the id of its socket.
    async fn client(&self) -> (roomful_client::Socket, String) {
        let socket = Manager::builder(&self.url).unwrap().build().unwrap().socket("/");
        socket.connect().await.unwrap();
        let id = socket.id().unwrap();
        (socket, id)
    }

    /// Rooms that have a channel, when the node has told Redis of all that has happened.
    async fn has_channels_of(&self, rooms: &[&str]) {
        let wanted: BTreeSet<_> = rooms.iter().map(|room| (*room).to_owned()).collect();
        let mut found = BTreeSet::new();
        for _ in 0..PATIENCE.as_millis() / 10 {
            self.cluster.nodes("/").await.ok();
            found = self.channels();
            if found == wanted {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{found:?} instead of {wanted:?}");
    }

    fn channels(&self) -> BTreeSet<String> {
        let client = ::redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut ask = ::redis::cmd("PUBSUB");
        let all: Vec<String> = ask.arg("SHARDCHANNELS").query(&mut connection).unwrap();
        // Those of the node and of the namespace are no rooms.
        let rooms = all.iter().filter_map(|channel| channel.strip_prefix("socket.io#/#"));
        let rooms = rooms.filter_map(|room| room.strip_suffix('#')).filter(|room| room.len() != 16);
        rooms.map(str::to_owned).collect()
    }
}

#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_room_that_sockets_have_joined_has_one_and_a_single_socket_only_where_that_is_wanted() {
    use SubscriptionMode::{Dynamic, DynamicPrivate, Static};
    for (mode, joined, own) in
        [(Static, false, false), (Dynamic, true, false), (DynamicPrivate, true, true)]
    {
        let node = Node::start(mode).await;
        let (one, id) = node.client().await;
        one.call::<_, _, Option<bool>>("join", "room").await.unwrap();
        let rooms = [("room", joined), (&*id, own)];
        let with_one = rooms.iter().filter(|(_, has)| *has).map(|(room, _)| *room);
        node.has_channels_of(&with_one.collect::<Vec<_>>()).await;
        one.manager().close().await;
        node.has_channels_of(&[]).await;
    }
}

/// Such a room begins and ends for others while its socket is there.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn the_channel_of_a_socket_stays_when_others_leave_its_room_and_with_them_when_it_goes() {
    let node = Node::start(SubscriptionMode::DynamicPrivate).await;
    let (other, other_id) = node.client().await;
    node.has_channels_of(&[&other_id]).await;
    // While Redis stands still, all but what it is told of the first is told in one go.
    node.redis.signal("-STOP");
    let (first, first_id) = node.client().await;
    let (one, id) = node.client().await;
    for what in ["join", "leave"] {
        other.call::<_, _, Option<bool>>(what, &id).await.unwrap();
    }
    node.redis.signal("-CONT");
    node.has_channels_of(&[&id, &first_id, &other_id]).await;
    first.manager().close().await;
    other.call::<_, _, Option<bool>>("join", &id).await.unwrap();
    one.manager().close().await;
    node.has_channels_of(&[&id, &other_id]).await;
    other.emit("leave", &id);
    node.has_channels_of(&[&other_id]).await;
}

/// It stayed for ever: that the room has begun again was taken for that it has begun.
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_room_that_ends_begins_and_ends_before_redis_is_told_has_no_channel() {
    let node = Node::start(SubscriptionMode::DynamicPrivate).await;
    let (one, id) = node.client().await;
    one.call::<_, _, Option<bool>>("join", "room").await.unwrap();
    node.has_channels_of(&[&id, "room"]).await;
    node.redis.signal("-STOP");
    let (_first, first_id) = node.client().await;
    for what in ["leave", "join", "leave"] {
        one.call::<_, _, Option<bool>>(what, "room").await.unwrap();
    }
    node.redis.signal("-CONT");
    node.has_channels_of(&[&id, &first_id]).await;
}

#[tokio::test]
#[ignore = "it needs redis-server"]
async fn a_redis_that_comes_back_is_told_of_single_sockets_again() {
    let mut node = Node::start(SubscriptionMode::DynamicPrivate).await;
    let (_one, id) = node.client().await;
    let (two, other_id) = node.client().await;
    two.call::<_, _, Option<bool>>("join", "room").await.unwrap();
    node.has_channels_of(&[&id, &other_id, "room"]).await;
    node.redis.kill();
    node.redis.again().await;
    node.has_channels_of(&[&id, &other_id, "room"]).await;
}
