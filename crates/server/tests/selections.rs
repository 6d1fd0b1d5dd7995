//! What can be done with many sockets at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use roomful::{Args, EmitError, Hello, NodeAnswers, Recovery, Refusal, Server, Socket, SocketId};
use serde_json::json;
use support::*;

/// A server whose `/` echoes.
fn echoing(io: Server) -> Server {
    io.on("echo", async |_: Socket, args: Args| args);
    io
}

async fn server() -> Running {
    start(echoing(Server::new())).await
}

fn sorted(mut ids: Vec<SocketId>) -> Vec<SocketId> {
    ids.sort_unstable();
    ids
}

fn ids(clients: &[&Client]) -> Vec<SocketId> {
    sorted(clients.iter().map(|client| SocketId::parse(&client.id).unwrap()).collect())
}

#[tokio::test]
async fn several_rooms_can_be_named_at_once() {
    let server = server().await;
    let (one, two, three) = (server.client().await, server.client().await, server.client().await);
    let me = socket_of(&server, &one);
    assert!(me.join(["a", "b"]));
    assert!(socket_of(&server, &two).join(vec!["b".to_owned(), "c".to_owned()]));
    assert!(me.is_in("a") && me.is_in("b") && !me.is_in("c"));
    assert_eq!(sorted(server.ids(|io| io.to(["a", "c"]))), ids(&[&one, &two]));
    assert_eq!(server.ids(|io| io.except(["a", "c"])), ids(&[&three]));
    let others = async |to: roomful::Broadcast| -> Vec<SocketId> {
        to.sockets().await.iter().map(|socket| socket.id()).collect()
    };
    assert_eq!(others(me.to(&["a", "b"][..])).await, ids(&[&two]));
    assert_eq!(others(me.except(vec!["b"])).await, ids(&[&three]));
    assert_eq!(server.ids(|io| io.everyone().except([me.id()]).except("b")), ids(&[&three]));
    assert!(!me.leave(["a", "none"]), "not in all of them");
    assert!(me.leave(["b"]) && !me.is_in("a"));
    // No room is no one's room, and so everyone, as without it.
    assert_eq!(server.ids(|io| io.to([""; 0])).len(), 3);
}

#[tokio::test]
async fn many_join_and_leave_at_once() {
    let server = server().await;
    let (mut one, mut two) = (server.client().await, server.client().await);
    let mut three = server.client().await;
    socket_of(&server, &one).join("a");
    socket_of(&server, &two).join("a");
    server.to("a").join(["b", "c"]);
    server.to("b").emit("x", 1);
    server.to("a").except(&one.id).leave(["b", "a"]);
    server.to("b").emit("x", 2);
    assert_eq!(one.event().await, json!(["x", 1]));
    assert_eq!(two.event().await, json!(["x", 1]));
    assert_eq!(one.event().await, json!(["x", 2]));
    hears_nothing(&mut two).await;
    hears_nothing(&mut three).await;
    assert_eq!(sorted(server.ids(|io| io.to("c"))), ids(&[&one, &two]));
}

#[tokio::test]
async fn what_many_join_is_bounded_for_each_of_them() {
    let server = start(echoing(Server::builder().rooms_max(1).build())).await;
    let (one, two) = (server.client().await, server.client().await);
    assert!(socket_of(&server, &one).join("a"));
    server.everyone().join("b");
    assert_eq!(server.ids(|io| io.to("b")), ids(&[&two]));
    assert_eq!(server.stats().rooms_refused, 1);
}

#[tokio::test]
async fn rooms_that_many_have_joined_come_back_with_each() {
    let io = Server::builder().recovery(Recovery::new()).build();
    let server = start(echoing(io)).await;
    let mut client = Client::open(server.address).await;
    client.send("0").await;
    let packet = client.next().await;
    let (id, pid) = (packet.data["sid"].clone(), packet.data["pid"].clone());
    server.everyone().join(["a", "b"]);
    server.everyone().leave("b");
    server.to("a").emit("x", 1);
    let offset = client.event().await[2].clone();
    drop(client);
    until("lost", || server.is_empty()).await;
    server.to("a").emit("x", 2);
    server.to("b").emit("x", 3);
    let mut client = Client::open(server.address).await;
    client.send(&format!("0{}", json!({ "pid": pid, "offset": offset }))).await;
    assert_eq!(client.next().await.data["sid"], id);
    assert_eq!(client.event().await[1], json!(2));
    hears_nothing(&mut client).await;
    let me = server.socket(server.ids(|io| io.everyone())[0]).unwrap();
    assert!(me.is_in("a") && !me.is_in("b"));
}

#[tokio::test]
async fn disconnect_leaves_the_connections_and_close_does_not() {
    let io = Server::new();
    io.of("/other");
    let server = start(echoing(io)).await;
    let (mut one, mut two) = (server.client().await, server.client().await);
    one.join("/other", "").await.unwrap();
    two.join("/other", "").await.unwrap();
    server.to(&one.id).disconnect();
    assert_eq!(one.next().await.kind, 1);
    one.join("/", "").await.unwrap();
    server.to(&two.id).close();
    let mut left =
        [two.next().await, two.next().await].map(|packet| (packet.kind, packet.namespace));
    left.sort();
    assert_eq!(left, [(1, "/".to_owned()), (1, "/other".to_owned())]);
    assert!(two.try_next().await.is_none());
    until("one is left", || server.len() == 1).await;
}

#[tokio::test]
async fn send_is_a_message() {
    let server = server().await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    me.send("one");
    me.compress(false).send(("two", 2));
    server.send(3);
    server.to(me.id()).send(());
    for expected in [
        json!(["message", "one"]),
        json!(["message", "two", 2]),
        json!(["message", 3]),
        json!(["message"]),
    ] {
        assert_eq!(client.event().await, expected);
    }
}

#[tokio::test]
async fn sockets_are_found_with_what_is_known_of_them() {
    let io = Server::new();
    let named = io.of("/named").connect(async |hello: Hello| -> Result<String, Refusal> {
        let host = hello.handshake().header("host").unwrap().to_owned();
        Ok(format!("{host}{}", hello.handshake().url()))
    });
    named.share_data(String::clone);
    let server = start(echoing(io)).await;
    let url = "/socket.io/?EIO=4&transport=websocket&name=a%20b";
    let mut client = Client::open_at(server.address, url).await;
    let id = client.join("/named", "").await.unwrap();
    named.everyone().join("room");
    let found = named.to("room").sockets().await;
    let [socket] = &found[..] else { panic!("{found:?}") };
    assert_eq!(socket.id().as_str(), id);
    assert_eq!(socket.rooms(), [id.as_str(), "room"]);
    assert_eq!(socket.data(), Some(format!("localhost{url}")));
    assert_eq!(socket.data::<u8>(), None);
    let handshake = socket.handshake();
    let pairs: Vec<_> = handshake.query_pairs().collect();
    assert_eq!(pairs[2], ("name".to_owned(), "a b".to_owned()));
    assert_eq!((handshake.path(), handshake.is_secure()), ("/socket.io/", false));
    assert!(handshake.headers().any(|(name, value)| (name, value) == ("host", b"localhost")));
    assert_eq!(handshake.address().map(|address| address.ip()), Some([127, 0, 0, 1].into()));
    let age = SystemTime::now().duration_since(handshake.issued()).unwrap_or_default();
    assert!(age < Duration::from_secs(3_600), "{age:?}");
    // At another node it is no socket with types.
    let me = named.socket(socket.id());
    assert!(me.map_or(!server.others.is_empty(), |me| me.handshake().url() == url));
    assert!(named.to("none").sockets().await.is_empty());
}

#[tokio::test]
async fn sockets_that_were_found_can_be_dealt_with() {
    let server = server().await;
    let mut client = server.client().await;
    let found = server.everyone().sockets().await;
    let socket = found[0].clone();
    socket.emit("x", 1);
    socket.send(2);
    assert_eq!(client.event().await, json!(["x", 1]));
    assert_eq!(client.event().await, json!(["message", 2]));
    let answer = tokio::spawn(async move { found[0].call::<_, _, u8>("q", ()).await });
    let question = client.next().await;
    client.send(&format!("3{}[7]", question.ack.unwrap())).await;
    assert_eq!(within(answer).await.unwrap().unwrap(), 7);
    socket.join(["a", "b"]);
    socket.leave("a");
    assert_eq!((server.ids(|io| io.to("a")).len(), server.ids(|io| io.to("b")).len()), (0, 1));
    assert_eq!(socket.rooms().len(), 1, "those of the time when it was found");
    socket.disconnect();
    assert_eq!(client.next().await.kind, 1);
    until("left", || server.is_empty()).await;
    assert!(server.everyone().sockets().await.is_empty());
    client.join("/", "").await.unwrap();
    server.everyone().sockets().await[0].close();
    assert_eq!(client.next().await.kind, 1);
    assert!(client.try_next().await.is_none());
}

#[tokio::test]
async fn what_goes_to_other_nodes_reaches_nobody_where_there_are_none() {
    if is_for_one_node("there are other nodes") {
        return;
    }
    let server = server().await;
    server.on_server_side("x", async |_: Args| -> u8 { panic!("a node does not hear itself") });
    let mut client = server.client().await;
    server.server_side_emit("x", (1, "b")).unwrap();
    let answers: NodeAnswers<u8> = server.server_side_call("x", ()).await.unwrap();
    assert_eq!((answers.len(), answers.nodes_missing()), (0, 0));
    for name in ["connect", "connection", "new_namespace"] {
        assert!(matches!(server.server_side_emit(name, ()), Err(EmitError::ReservedEvent)));
    }
    let unwritable = HashMap::from([((1, 2), 3)]);
    assert!(matches!(server.server_side_emit("x", &unwritable), Err(EmitError::Encode(_))));
    assert_eq!((server.stats().encode_failures, server.stats().panics), (1, 0));
    hears_nothing(&mut client).await;
}

/// The storm saw one such event, once: the task that sent it was interrupted between its selection and the outbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_event_of_a_room_comes_after_the_answer_to_a_client_that_has_left_it() {
    for recovers in [false, true] {
        let mut builder = Server::builder();
        if recovers {
            builder = builder.recovery(Recovery::new());
        }
        let io = echoing(builder.build());
        io.on("join", async |me: Socket| me.join("room"));
        io.on("leave", async |me: Socket| me.leave("room"));
        let server = start(io).await;
        // They make the way from the selection to the last outbox long.
        let mut others = Vec::new();
        for _ in 0..200 {
            let other = server.client().await;
            socket_of(&server, &other).join("room");
            others.push(other);
        }
        let (io, wanted) = (server.io.clone(), Arc::new(()));
        let is_wanted = Arc::downgrade(&wanted);
        let sending = tokio::task::spawn_blocking(move || {
            while is_wanted.strong_count() > 0 {
                io.to("room").volatile().emit("said", ());
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let mut client = server.client().await;
        // From the first round on somebody sends.
        client.send("20[\"join\"]").await;
        while client.next().await.kind != 2 {}
        let mut heard = events_before(&mut client, "29[\"leave\"]", 3).await;
        for _ in 0..100 {
            heard += events_before(&mut client, "21[\"join\"]", 3).await;
            heard += events_before(&mut client, "22[\"leave\"]", 3).await;
            assert_eq!(events_before(&mut client, "23[\"echo\"]", 3).await, 0, "it has left");
            heard += events_before(&mut client, "24[\"join\"]", 3).await;
            client.send("1").await;
            heard += events_before(&mut client, "0", 0).await;
            assert_eq!(
                events_before(&mut client, "25[\"echo\"]", 3).await,
                0,
                "it is another socket"
            );
        }
        drop(wanted);
        sending.await.unwrap();
        assert!(heard > 0);
    }
}

/// Sends a packet, and counts the events that come before the packet of this type that answers it.
async fn events_before(client: &mut Client, packet: &str, answer: u8) -> usize {
    client.send(packet).await;
    let mut heard = 0;
    loop {
        let packet = client.next().await;
        if packet.kind == answer {
            return heard;
        }
        assert_eq!(packet.data[0], "said");
        heard += 1;
    }
}
