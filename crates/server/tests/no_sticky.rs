//! Requests of a session that come to any node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/session_bus.rs"]
mod session_bus;
mod support;

use std::time::Duration;

use roomful::{Args, Builder, Server, Socket};
use roomful_proto::SessionId;
use roomful_proto::cluster::sessions::{Body, Carried, Message, NodeId, Want};
use roomful_proto::engine::{Data, Packet};
use roomful_proto::ws::frame::Opcode;
use serde_json::{Value, json};
use session_bus::TestBus;
use support::{
    Client, Conn, POLLING, Poller, Running, WEBSOCKET, Ws, get, head, hears_nothing, post, request,
    start, until, within,
};

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// Servers that share a bus, and nothing else.
struct Cluster {
    bus: TestBus,
    nodes: Vec<Running>,
}

async fn cluster(count: usize) -> Cluster {
    cluster_with(count, |builder| builder).await
}

async fn cluster_with(count: usize, set: impl Fn(Builder) -> Builder) -> Cluster {
    let bus = TestBus::default();
    let mut nodes = Vec::new();
    for _ in 0..count {
        let io = set(Server::builder().session_bus(bus.clone())).build();
        io.on("echo", async |_: Socket, args: Args| args);
        io.on("say", async |me: Socket, args: Args| me.emit("said", args));
        nodes.push(start(io).await);
    }
    Cluster { bus, nodes }
}

impl Cluster {
    fn at(&self, poller: &Poller, node: usize) -> Poller {
        Poller { address: self.nodes[node].address, sid: poller.sid.clone() }
    }

    /// A session of the first node whose client is in `/`.
    async fn joined(&self) -> Poller {
        let poller = self.nodes[0].poller().await;
        poller.join().await;
        poller
    }

    /// Nothing is left of any client at any node.
    async fn is_empty_again(&self) {
        for node in &self.nodes {
            node.is_empty_again().await;
        }
    }

    /// Comes over to a WebSocket at a node.
    async fn upgraded(&self, poller: &Poller, node: usize) -> Client {
        let mut ws = self.probed(poller, node).await;
        ws.send_text("5").await;
        Client { ws, id: String::new() }
    }

    async fn probed(&self, poller: &Poller, node: usize) -> Ws {
        let target = poller.upgrade_target();
        let mut ws = Ws::upgrade(self.nodes[node].address, &target).await;
        ws.send_text("2probe").await;
        assert_eq!(ws.text().await, "3probe");
        ws
    }
}

/// The first socket of a server.
async fn only_socket(server: &Running) -> Socket {
    until("a socket", || !server.is_empty()).await;
    let id = server.everyone().local_ids()[0];
    server.socket(id).unwrap()
}

#[tokio::test]
async fn polls_and_bodies_come_to_any_node() {
    let cluster = cluster(3).await;
    let poller = cluster.nodes[0].poller().await;
    assert_eq!(cluster.at(&poller, 1).post("40").await.text(), "ok");
    assert!(cluster.at(&poller, 2).get().await.text().starts_with("40{\"sid\""));
    for turn in 0..9 {
        let body = format!("42{turn}[\"echo\",{turn}]\u{1e}42[\"say\",{turn}]");
        assert_eq!(cluster.at(&poller, turn % 3).post(&body).await.text(), "ok");
        let answer = cluster.at(&poller, (turn + 1) % 3).get().await;
        assert_eq!(answer.text(), format!("43{turn}[{turn}]\u{1e}42[\"said\",{turn}]"));
    }
    assert_eq!(cluster.nodes[0].stats().opened, 1);
    assert_eq!(cluster.nodes[1].stats().opened, 0);
    assert_eq!(cluster.at(&poller, 1).post("1").await.text(), "ok");
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn a_poll_that_waits_elsewhere_gets_what_is_sent_later() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let mut waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 1).await;
    cluster.nodes[0].emit("news", 1);
    assert_eq!(waiting.response().await.text(), "42[\"news\",1]");
}

#[tokio::test]
async fn a_websocket_comes_over_at_another_node() {
    let cluster = cluster(3).await;
    let poller = cluster.joined().await;
    let mut waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 1).await;
    let mut client = cluster.upgraded(&poller, 2).await;
    // So its client goes on.
    assert_eq!(waiting.response().await.text(), "6");
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    cluster.nodes[0].emit("news", 1);
    assert_eq!(client.event().await, json!(["news", 1]));
    assert_eq!(cluster.nodes[0].stats().upgrades, 1);
    assert_eq!(cluster.nodes[2].stats().opened, 0);
    // What is left of the polling is refused, as on one node.
    assert_eq!(cluster.at(&poller, 1).get().await.status, 400);
    client.ws.close().await;
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn a_websocket_comes_over_at_the_node_of_its_session() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let mut waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 1).await;
    let mut client = cluster.upgraded(&poller, 0).await;
    assert_eq!(waiting.response().await.text(), "6");
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    assert_eq!(cluster.nodes[0].stats().upgrades, 1);
}

#[tokio::test]
async fn an_upgrade_that_fails_elsewhere_leaves_the_session_polling() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let mut ws = cluster.probed(&poller, 1).await;
    ws.send_text("4what").await;
    ws.ended().await;
    let found = || cluster.nodes[1].stats().sessions_found;
    assert_eq!(found(), 1);
    assert_eq!(cluster.at(&poller, 1).post("42[\"say\",1]").await.text(), "ok");
    assert_eq!(cluster.at(&poller, 1).get().await.text(), "42[\"said\",1]");
    let mut client = cluster.upgraded(&poller, 1).await;
    assert_eq!(client.ask("echo", "7").await, json!([7]));
}

#[tokio::test]
async fn who_closes_a_websocket_elsewhere_ends_the_session() {
    let cluster = cluster(2).await;
    let gone = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = gone.clone();
    cluster.nodes[0].on_disconnect(move |_: Socket, reason: roomful::Reason| {
        told.lock().push(reason.as_str());
        async {}
    });
    for round in 0..3 {
        let poller = cluster.joined().await;
        let mut client = cluster.upgraded(&poller, 1).await;
        assert_eq!(client.ask("echo", "7").await, json!([7]));
        match round {
            0 => client.ws.close().await,
            1 => {
                client.ws.send_text("1").await;
                assert_eq!(client.ws.close_code().await, Some(1000));
            }
            _ => drop(client),
        }
        until("gone", || gone.lock().len() == round + 1).await;
    }
    assert_eq!(*gone.lock(), ["transport close"; 3]);
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn a_poll_or_a_body_that_is_given_up_elsewhere_ends_the_session() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 1).await;
    drop(waiting);
    cluster.is_empty_again().await;
    let poller = cluster.joined().await;
    let mut conn = Conn::open(cluster.nodes[1].address).await;
    let target = poller.target();
    conn.send(head("POST", &target, "Content-Length: 100\r\n") + "42").await;
    until("found", || cluster.nodes[1].stats().sessions_found == 2).await;
    drop(conn);
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn the_server_ends_a_session_elsewhere() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let mut client = cluster.upgraded(&poller, 1).await;
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    only_socket(&cluster.nodes[0]).await.close();
    assert!(client.ws.close_code().await.is_some());
    let poller = cluster.joined().await;
    let mut waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 2).await;
    only_socket(&cluster.nodes[0]).await.close();
    assert_eq!(waiting.response().await.text(), "41");
    assert_eq!(cluster.at(&poller, 1).get().await.text(), "1");
    cluster.is_empty_again().await;
}

/// Times so short that a test can wait for them.
fn impatient(builder: Builder) -> Builder {
    builder.ping_interval(Duration::from_millis(500)).ping_timeout(Duration::from_millis(2_000))
}

#[tokio::test]
async fn an_owner_that_dies_lets_nobody_wait_for_ever() {
    let cluster = cluster_with(2, impatient).await;
    let poller = cluster.joined().await;
    let other = cluster.joined().await;
    let mut client = cluster.upgraded(&other, 1).await;
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    let mut waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 2).await;
    cluster.bus.cut(0);
    let response = waiting.response().await;
    // It may have been pinged just before.
    if response.text() != "2" {
        assert_eq!((response.status, response.text()), (400, UNKNOWN));
    }
    assert_eq!(client.ws.close_code().await, Some(1001));
    let refused = cluster.at(&poller, 1).get().await;
    assert_eq!((refused.status, refused.text()), (400, UNKNOWN));
    // And what the dead node has of them ends as well.
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn an_owner_that_dies_is_noticed_by_a_body() {
    let cluster = cluster_with(2, impatient).await;
    let poller = cluster.joined().await;
    let mut conn = Conn::open(cluster.nodes[1].address).await;
    conn.send(head("POST", &poller.target(), "Content-Length: 2\r\n") + "4").await;
    until("found", || cluster.nodes[1].stats().sessions_found == 1).await;
    cluster.bus.cut(0);
    conn.send("2").await;
    let refused = conn.response().await;
    assert_eq!((refused.status, refused.text()), (400, UNKNOWN));
    let refused = cluster.at(&poller, 1).post("42").await;
    assert_eq!((refused.status, refused.text()), (400, UNKNOWN));
}

#[tokio::test]
async fn a_bus_that_was_away_ends_what_goes_over_it() {
    let cluster = cluster(2).await;
    for node in [0, 1] {
        let own = cluster.joined().await;
        let poller = cluster.joined().await;
        let other = cluster.joined().await;
        let mut client = cluster.upgraded(&other, 1).await;
        assert_eq!(client.ask("echo", "7").await, json!([7]));
        let mut waiting = cluster.at(&poller, 1).pending().await;
        until("polls", || cluster.nodes[1].stats().sessions_found == 2 * (node as u64 + 1)).await;
        cluster.bus.interrupt(node);
        assert!(client.ws.close_code().await.is_some());
        assert!(["1", UNKNOWN].contains(&waiting.response().await.text()));
        until("they are gone", || cluster.nodes[0].stats().connections == 1).await;
        // Nobody else has to do with this one.
        assert_eq!(own.post("42[\"say\",1]").await.text(), "ok");
        assert_eq!(own.get().await.text(), "42[\"said\",1]");
        own.post("1").await;
        cluster.is_empty_again().await;
    }
}

#[tokio::test]
async fn a_session_that_is_nowhere_is_refused() {
    let cluster = cluster(2).await;
    let target = format!("{POLLING}&sid=AAAAAAAAAAAAAAAAAAAA");
    let upgrade = format!("{WEBSOCKET}&sid=AAAAAAAAAAAAAAAAAAAA");
    let mut conn = Conn::open(cluster.nodes[1].address).await;
    conn.send(support::upgrade_head(&upgrade)).await;
    let refused = [
        get(cluster.nodes[1].address, &target, "").await,
        request(cluster.nodes[1].address, post(&target, "40")).await,
    ];
    for refused in refused {
        assert_eq!((refused.status, refused.text()), (400, UNKNOWN));
    }
    let refused = conn.response().await;
    assert_eq!((refused.status, refused.text()), (400, "Session ID unknown"));
    assert_eq!(cluster.nodes[1].stats().sessions_asked, 3);
    // What is no id, and what no other node can serve, nobody is asked about.
    for more in ["&sid=short", "&sid=AAAAAAAAAAAAAAAAAAA%21", "&sid=AAAAAAAAAAAAAAAAAAAA&j=1"] {
        let refused = get(cluster.nodes[1].address, &format!("{POLLING}{more}"), "").await;
        assert_eq!((refused.status, refused.text()), (400, UNKNOWN));
    }
    let old = "/socket.io/?EIO=3&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA";
    assert_eq!(get(cluster.nodes[1].address, old, "").await.text(), UNKNOWN);
    assert_eq!(cluster.nodes[1].stats().sessions_asked, 3);
}

#[tokio::test]
async fn what_is_wrong_in_itself_is_refused_where_it_arrives() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let (address, target) = (cluster.nodes[1].address, poller.target());
    let elsewhere = get(address, &target, "Origin: http://evil.example\r\n").await;
    assert_eq!(elsewhere.status, 403);
    assert_eq!(cluster.nodes[1].stats().sessions_asked, 0);
    let large = "4".repeat(1_000_001);
    assert_eq!(request(address, post(&target, &large)).await.status, 413);
    // Which does not end the session.
    assert_eq!(cluster.at(&poller, 1).post("42[\"say\",1]").await.text(), "ok");
    assert_eq!(cluster.at(&poller, 1).get().await.text(), "42[\"said\",1]");
    // And this does.
    assert_eq!(cluster.at(&poller, 1).post("what").await.status, 400);
    cluster.is_empty_again().await;
    assert_eq!(cluster.nodes[0].stats().violations, 1);
}

#[tokio::test]
async fn two_polls_at_once_are_one_too_many() {
    let cluster = cluster(3).await;
    // At two nodes that do not hold the session.
    let poller = cluster.joined().await;
    let mut waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 1).await;
    let refused = cluster.at(&poller, 2).get().await;
    assert_eq!((refused.status, refused.text()), (400, UNKNOWN));
    assert_eq!(waiting.response().await.text(), "1");
    cluster.is_empty_again().await;
    // One of them at the node of the session.
    let poller = cluster.joined().await;
    let mut waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 2).await;
    assert_eq!(poller.get().await.status, 400);
    assert_eq!(waiting.response().await.text(), "1");
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn a_megabyte_goes_both_ways() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let large = "x".repeat(990_000);
    let body = format!("42[\"say\",\"{large}\"]");
    assert_eq!(cluster.at(&poller, 1).post(&body).await.text(), "ok");
    let answer = cluster.at(&poller, 1).get().await;
    assert_eq!(answer.text(), format!("42[\"said\",\"{large}\"]"));
    let mut client = cluster.upgraded(&poller, 1).await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
    client.send("51-7[\"echo\",{\"_placeholder\":true,\"num\":0}]").await;
    client.ws.send_binary(&bytes).await;
    let packet = client.next().await;
    assert_eq!((packet.kind, packet.ack), (6, Some(7)));
    assert!(packet.attachments[0] == bytes);
    // One byte more than a message may have.
    client.ws.send_text(&format!("4{}", "x".repeat(1_000_000))).await;
    assert_eq!(client.ws.close_code().await, Some(1009));
    cluster.is_empty_again().await;
}

/// A session took 10,000 packets of one body at most, if these came faster than it took them.
#[tokio::test]
async fn a_body_may_have_as_many_packets_as_at_the_node_of_its_session() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let body = "6\u{1e}".repeat(199_999) + "42[\"say\",1]";
    assert_eq!(cluster.at(&poller, 1).post(&body).await.text(), "ok");
    assert_eq!(cluster.at(&poller, 1).get().await.text(), "42[\"said\",1]");
}

#[tokio::test]
async fn order_is_kept_while_a_client_moves() {
    let cluster = cluster(3).await;
    cluster.nodes[0].on("count", async |me: Socket, number: u64| me.emit("counted", number));
    let poller = cluster.joined().await;
    let mut heard = Vec::new();
    let numbers = |text: &str| -> Vec<Value> {
        let packets = text.split('\u{1e}').filter_map(|packet| packet.strip_prefix("42"));
        packets.map(|json| serde_json::from_str::<Value>(json).unwrap()[1].clone()).collect()
    };
    for turn in 0..25 {
        let events: Vec<_> =
            (0..10).map(|one| format!("42[\"count\",{}]", turn * 10 + one)).collect();
        let posted = cluster.at(&poller, turn % 3);
        let polled = cluster.at(&poller, (turn + 2) % 3);
        let body = events.join("\u{1e}");
        let (posted, polled) = tokio::join!(posted.post(&body), polled.get());
        assert_eq!(posted.text(), "ok");
        heard.extend(numbers(polled.text()));
    }
    // What was posted last is with the session before it comes over.
    assert_eq!(cluster.at(&poller, 1).post("42[\"count\",250]").await.text(), "ok");
    let mut client = cluster.upgraded(&poller, 2).await;
    for number in 251..500 {
        client.emit("count", &number.to_string()).await;
    }
    while heard.len() < 500 {
        heard.push(client.event().await[1].clone());
    }
    assert_eq!(heard, (0..500).map(Value::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn heartbeats_go_over_a_websocket_elsewhere() {
    let cluster = cluster_with(2, impatient).await;
    let poller = cluster.joined().await;
    let mut client = cluster.upgraded(&poller, 1).await;
    for _ in 0..5 {
        assert_eq!(client.ws.text().await, "2");
        client.ws.send_text("3").await;
    }
    // Whoever does not answer is gone.
    assert_eq!(client.ws.text().await, "2");
    assert!(client.ws.close_code().await.is_some());
    cluster.is_empty_again().await;
    assert_eq!(cluster.nodes[0].stats().ping_timeouts, 1);
}

#[tokio::test]
async fn a_guest_that_closes_lets_its_clients_go() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let other = cluster.joined().await;
    let mut client = cluster.upgraded(&other, 1).await;
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    let mut waiting = cluster.at(&poller, 1).pending().await;
    until("found", || cluster.nodes[1].stats().sessions_found == 2).await;
    within(cluster.nodes[1].close()).await;
    assert_eq!(client.ws.close_code().await, Some(1001));
    assert_eq!(waiting.response().await.text(), "1");
    cluster.nodes[0].is_empty_again().await;
}

#[tokio::test]
async fn a_guest_that_drains_serves_the_clients_of_others() {
    let cluster = cluster(2).await;
    let poller = cluster.joined().await;
    let own = [cluster.nodes[1].client().await, cluster.nodes[1].client().await];
    let io = cluster.nodes[1].io.clone();
    let draining = tokio::spawn(async move { io.drain(Duration::from_secs(3_600)).await });
    within(async { while get(cluster.nodes[1].address, POLLING, "").await.status != 503 {} }).await;
    assert_eq!(cluster.at(&poller, 1).post("42[\"say\",1]").await.text(), "ok");
    assert_eq!(cluster.at(&poller, 1).get().await.text(), "42[\"said\",1]");
    let mut client = cluster.upgraded(&poller, 1).await;
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    draining.abort();
    drop(own);
}

#[tokio::test]
async fn nodes_of_one_process_share_a_place_on_the_bus() {
    let cluster = cluster(2).await;
    let node = cluster.nodes[0].node();
    let node = start(node).await;
    let poller = node.poller().await;
    assert_eq!(cluster.at(&poller, 1).post("40").await.text(), "ok");
    assert!(cluster.at(&poller, 0).get().await.text().starts_with("40{"));
    let mut client = cluster.upgraded(&poller, 1).await;
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    assert_eq!(node.stats().upgrades, 1);
}

/// A node that plays the official engine.
struct Official {
    plays: session_bus::Impostor,
    name: NodeId,
}

impl Official {
    fn new(cluster: &Cluster) -> Self {
        let name = NodeId::parse("0ff1c1").unwrap();
        Self { plays: cluster.bus.join(name.as_str()), name }
    }

    fn say(&self, to: &NodeId, body: Body) {
        self.plays.say(&Message { from: self.name.clone(), to: Some(to.clone()), body });
    }

    /// A request of a session of this node arrives; it goes on.
    async fn grants(&self, session: SessionId, wanted: Want) -> NodeId {
        let (from, request) = self
            .plays
            .hears(|message| match message.body {
                Body::Lock { request, session: asked, want } if asked == session => {
                    assert_eq!(want, wanted);
                    Some((message.from.clone(), request))
                }
                _ => None,
            })
            .await;
        self.say(&from, Body::LockAnswer { request, granted: true });
        from
    }
}

fn message(text: &str) -> Carried {
    Carried::message(Data::Text(text.to_owned().into()))
}

#[tokio::test]
async fn a_session_is_taken_over_from_an_official_node() {
    let cluster = cluster(1).await;
    let official = Official::new(&cluster);
    let session = SessionId::parse("BBBBBBBBBBBBBBBBBBBB").unwrap();
    let poller = Poller { address: cluster.nodes[0].address, sid: session.as_str().to_owned() };
    let upgrading = async {
        let mut client = cluster.upgraded(&poller, 0).await;
        // It comes behind what the client has sent before.
        client.emit("echo", "1").await;
        client
    };
    let granting = async {
        let guest = official.grants(session, Want::Stream).await;
        let upgrade = |message: &Message| match message.body {
            Body::Upgrade { request, success: true, .. } => Some(request),
            _ => None,
        };
        let request = official.plays.hears(upgrade).await;
        let packets = vec![message("0"), message("2[\"say\",0]")];
        official.say(&guest, Body::UpgradeAnswer { request, take_over: true, packets });
    };
    let (mut client, ()) = tokio::join!(upgrading, granting);
    assert!(client.ws.text().await.starts_with("40{\"sid\""));
    assert_eq!(client.event().await, json!(["said", 0]));
    hears_nothing(&mut client).await;
    assert_eq!(cluster.nodes[0].stats().connections, 1);
    client.ws.close().await;
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn an_official_node_carries_a_session_on() {
    let cluster = cluster(1).await;
    let official = Official::new(&cluster);
    let session = SessionId::parse("BBBBBBBBBBBBBBBBBBBB").unwrap();
    let poller = Poller { address: cluster.nodes[0].address, sid: session.as_str().to_owned() };
    let (mut ws, guest) =
        tokio::join!(cluster.probed(&poller, 0), official.grants(session, Want::Stream));
    ws.send_text("5").await;
    let upgrade = |message: &Message| match message.body {
        Body::Upgrade { request, success: true, .. } => Some(request),
        _ => None,
    };
    let request = official.plays.hears(upgrade).await;
    // What waits comes before the answer.
    official.say(&guest, Body::Drain { session, packets: vec![message("2[1]")] });
    official.say(&guest, Body::UpgradeAnswer { request, take_over: false, packets: vec![] });
    assert_eq!(ws.text().await, "42[1]");
    ws.send_text("42[2]").await;
    let packet = |message: &Message| match &message.body {
        Body::Packet { packet, .. } => Some(packet.clone()),
        _ => None,
    };
    assert_eq!(official.plays.hears(packet).await, message("2[2]"));
    ws.send_frame(Opcode::Ping, b"x").await;
    assert!(matches!(ws.next().await, Some(roomful_proto::ws::Message::Pong(_))));
    let close = Carried::Packet(Packet::Close);
    official.say(&guest, Body::Drain { session, packets: vec![message("2[3]"), close] });
    assert_eq!(ws.text().await, "42[3]");
    assert_eq!(ws.close_code().await, Some(1000));
}

#[tokio::test]
async fn an_upgrade_that_fails_is_told_to_an_official_node() {
    let cluster = cluster(1).await;
    let official = Official::new(&cluster);
    let session = SessionId::parse("BBBBBBBBBBBBBBBBBBBB").unwrap();
    let poller = Poller { address: cluster.nodes[0].address, sid: session.as_str().to_owned() };
    let (ws, _) = tokio::join!(cluster.probed(&poller, 0), official.grants(session, Want::Stream));
    drop(ws);
    let failed = |message: &Message| match message.body {
        Body::Upgrade { success: false, .. } => Some(()),
        Body::Close { .. } => panic!("the session goes on"),
        _ => None,
    };
    official.plays.hears(failed).await;
}

#[tokio::test]
async fn a_client_that_is_gone_when_its_owner_answers_is_told_of() {
    let cluster = cluster(1).await;
    let official = Official::new(&cluster);
    let session = SessionId::parse("BBBBBBBBBBBBBBBBBBBB").unwrap();
    let poller = Poller { address: cluster.nodes[0].address, sid: session.as_str().to_owned() };
    let waiting = poller.pending().await;
    until("asked", || cluster.nodes[0].stats().sessions_asked == 1).await;
    drop(waiting);
    let gone = async {
        let lock = |message: &Message| match message.body {
            Body::Lock { request, .. } => Some((message.from.clone(), request)),
            _ => None,
        };
        let (guest, request) = official.plays.hears(lock).await;
        loop {
            official.say(&guest, Body::LockAnswer { request, granted: true });
            let packets = vec![message("2[1]")];
            official.say(&guest, Body::Drain { session, packets });
            let closed = official.plays.hears(|message| match message.body {
                Body::Close { session: closed, in_order } => Some((closed, in_order)),
                _ => None,
            });
            if let Ok(closed) = tokio::time::timeout(Duration::from_millis(50), closed).await {
                return closed;
            }
        }
    };
    assert_eq!(within(gone).await, (session, false));
}

#[tokio::test]
async fn so_many_sessions_are_looked_for_at_the_same_time() {
    let cluster = cluster(1).await;
    let address = cluster.nodes[0].address;
    let mut conns = Vec::new();
    for number in 0..1_000 {
        let mut conn = Conn::open(address).await;
        conn.send(head("GET", &format!("{POLLING}&sid={number:0>20}"), "")).await;
        conns.push(conn);
        if cluster.nodes[0].stats().session_asks_refused > 0 {
            break;
        }
    }
    // On a slow machine the first are refused before the last are there.
    for mut conn in conns {
        assert_eq!(conn.response().await.text(), UNKNOWN);
    }
    assert_eq!(cluster.nodes[0].stats().sessions_found, 0);
    cluster.nodes[0].is_unharmed().await;
}

#[tokio::test]
async fn whatever_is_said_on_the_bus_harms_nobody() {
    let cluster = cluster(2).await;
    let official = Official::new(&cluster);
    for garbage in [&b""[..], b"\x81", b"\xff", &[0x91; 10_000], b"\x81\xa7_source\xa4_eio"] {
        official.plays.say_bytes(garbage.to_vec());
    }
    assert_eq!(cluster.nodes[0].stats().session_messages_malformed, 5);
    let poller = cluster.joined().await;
    let session = SessionId::parse(&poller.sid).unwrap();
    let nowhere = SessionId::parse("BBBBBBBBBBBBBBBBBBBB").unwrap();
    let name = NodeId::parse(&cluster.bus.name(0)).unwrap();
    for session in [session, nowhere] {
        // Of these nothing is expected.
        let packets = || vec![message("2[\"said\",1]")];
        for body in [
            Body::LockAnswer { request: 1, granted: true },
            Body::Drain { session, packets: packets() },
            Body::UpgradeAnswer { request: 1, take_over: true, packets: packets() },
            Body::Upgrade { request: 1, session, success: true },
            Body::Upgrade { request: 1, session, success: false },
        ] {
            official.say(&name, body);
        }
    }
    assert_eq!(poller.post("42[\"say\",1]").await.text(), "ok");
    assert_eq!(poller.get().await.text(), "42[\"said\",1]");
    // Whoever knows the id may speak for the client, and a flood ends the session.
    let flood = message(&"x".repeat(100_000));
    for _ in 0..100 {
        official.say(&name, Body::Packet { session, packet: flood.clone() });
    }
    cluster.is_empty_again().await;
    cluster.nodes[0].is_unharmed().await;
}

#[tokio::test]
async fn a_body_that_comes_while_its_session_is_looked_for_is_whole() {
    let cluster = cluster(1).await;
    let official = Official::new(&cluster);
    let session = SessionId::parse("BBBBBBBBBBBBBBBBBBBB").unwrap();
    let target = format!("{POLLING}&sid={session}");
    let text = "x".repeat(200_000);
    let mut conn = Conn::open(cluster.nodes[0].address).await;
    let whole = post(&target, &format!("4{text}"));
    let (early, late) = whole.split_at(whole.len() / 2);
    conn.send(early).await;
    until("asked", || cluster.nodes[0].stats().sessions_asked == 1).await;
    let sending = async {
        conn.send(late).await;
        conn.response().await
    };
    let granting = async {
        let guest = official.grants(session, Want::Write).await;
        let packet = |message: &Message| match &message.body {
            Body::Packet { packet, .. } => Some(packet.clone()),
            _ => None,
        };
        assert!(official.plays.hears(packet).await == message(&text));
        // And one behind it, of this node alone.
        assert_eq!(official.grants(session, Want::Write).await, guest);
    };
    let (response, ()) = tokio::join!(sending, granting);
    assert_eq!(response.text(), "ok");
}

/// Whoever has a WebSocket elsewhere and reads nothing costs no more than so much.
#[tokio::test]
async fn who_reads_nothing_elsewhere_is_let_go() {
    let small = |builder: Builder| builder.outbox_bytes_max(1_000_000);
    let cluster = cluster_with(2, small).await;
    let poller = cluster.joined().await;
    let mut client = cluster.upgraded(&poller, 1).await;
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    let socket = only_socket(&cluster.nodes[0]).await;
    let large = "x".repeat(100_000);
    while !cluster.nodes[0].is_empty() {
        socket.emit("news", &large);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.ws.ended().await;
    cluster.is_empty_again().await;
}

/// Whoever sends more than its session takes is let go, since nothing holds it back.
#[tokio::test]
async fn who_sends_more_than_its_pace_elsewhere_is_let_go() {
    let paced = |builder: Builder| {
        let flow =
            roomful::ConnectionFlow::new().pace(roomful::Rate::new(1, Duration::from_secs(60)));
        builder.outbox_bytes_max(1_000_000).connection_flow(flow)
    };
    let cluster = cluster_with(2, paced).await;
    let poller = cluster.joined().await;
    let mut client = cluster.upgraded(&poller, 1).await;
    let event = format!("42[\"what\",\"{}\"]", "x".repeat(50_000));
    let sending = async {
        let mut writer = client.ws.conn.writer();
        let frame = support::frame_bytes(Opcode::Text, event.as_bytes());
        while tokio::io::AsyncWriteExt::write_all(&mut writer, &frame).await.is_ok() {}
    };
    within(sending).await;
    client.ws.ended().await;
    cluster.is_empty_again().await;
}
