//! Namespaces that are made when clients ask for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use roomful::{Args, Beginning, Hello, Namespace, Recovery, Refusal, Server, Socket, SocketId};
use serde_json::{Value, json};
use support::*;
use tokio::sync::{mpsc, oneshot};

fn invalid() -> Value {
    json!({ "message": "Invalid namespace" })
}

/// A client that has joined a namespace and nothing else.
async fn client_in(server: &Running, namespace: &str) -> Client {
    let mut client = Client::open(server.address).await;
    client.id = client.join(namespace, "").await.unwrap();
    client
}

/// Joins, and gives the whole answer.
async fn answer(client: &mut Client, namespace: &str, auth: &Value) -> Packet {
    client.send(&format!("0{namespace},{auth}")).await;
    client.next().await
}

#[tokio::test]
async fn a_namespace_of_a_pattern_is_made_with_the_handlers_of_its_parent() {
    if is_for_one_node("each node makes its child with the functions of then") {
        return;
    }
    let io = Server::new();
    let rooms = io.of_pattern("/room-{id}");
    rooms.on("where", async |me: Socket| {
        (me.namespace().to_owned(), me.param("id").map(str::to_owned), me.param("x").is_none())
    });
    let server = start(io).await;
    let mut one = client_in(&server, "/room-1").await;
    // For those that are made from now on.
    rooms.on("late", async |_: Socket| 1);
    let mut two = client_in(&server, "/room-2").await;
    let mut again = client_in(&server, "/room-1").await;
    one.send("2/room-1,1[\"where\"]").await;
    assert_eq!(one.next().await.data, json!(["/room-1", "1", true]));
    two.send("2/room-2,1[\"late\"]").await;
    assert_eq!(two.next().await.data, json!([1]));
    again.send("2/room-1,1[\"late\"]").await;
    again.send("2/room-1,2[\"where\"]").await;
    assert_eq!(again.next().await.ack, Some(2));
    assert_eq!(one.join("/rooms", "").await, Err(invalid()));
    assert_eq!(one.join("/room-1/x", "").await, Err(invalid()));
    let stats = server.stats();
    assert_eq!((stats.namespaces_made, stats.events_unhandled), (2, 1));
}

#[tokio::test]
async fn what_is_done_to_a_parent_reaches_all_its_children() {
    let io = Server::new();
    let rooms = io.of_pattern("/room-{id}");
    let server = start(io).await;
    let mut one = client_in(&server, "/room-1").await;
    let mut two = client_in(&server, "/room-2").await;
    server.has_emitted(rooms.everyone().try_emit("x", 1), 2);
    for client in [&mut one, &mut two] {
        assert_eq!(client.event().await, json!(["x", 1]));
    }
    rooms.except(&one.id).join("a");
    let found = rooms.to("a").sockets().await;
    let ids: Vec<_> = found.iter().map(|socket| socket.id()).collect();
    drop(found);
    assert_eq!(ids, [SocketId::parse(&two.id).unwrap()]);
    assert_eq!(rooms.everyone().sockets().await.len(), 2);
    if server.others.is_empty() {
        assert_eq!(rooms.len(), 2);
        assert_eq!(rooms.socket(ids[0]).unwrap().namespace(), "/room-2");
        let children = rooms.children();
        let mut names: Vec<_> = children.iter().map(|child| child.name().to_owned()).collect();
        names.sort_unstable();
        assert_eq!(names, ["/room-1", "/room-2"]);
    }
    let answers = rooms.everyone().call::<_, _, u8>("q", ());
    assert_eq!(answers.asked(), 2);
    for (client, answer) in [(&mut one, 1), (&mut two, 2)] {
        let Packet { namespace, ack, .. } = client.next().await;
        client.send(&format!("3{namespace},{}[{answer}]", ack.unwrap())).await;
    }
    let mut answers: Vec<_> = answers.collect().await.into_iter().map(|(_, n)| n).collect();
    answers.sort_unstable();
    assert_eq!(answers, [1, 2]);
    rooms.everyone().disconnect();
    assert_eq!((one.next().await.kind, two.next().await.kind), (1, 1));
    server.has_ended("/room-1").await;
    server.has_ended("/room-2").await;
    assert!(rooms.is_empty());
}

#[tokio::test]
async fn a_function_says_which_namespaces_are_to_be_and_the_first_that_wants_one_has_it() {
    let io = Server::builder().state(7_u8).build();
    io.of("/own").on("who", async |_: Socket<u8>| 3);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let first = io.of_matching(move |hello: Hello<u8>| {
        let auth: Value = hello.auth().unwrap();
        let query = hello.query("transport");
        seen.lock().push((hello.namespace().to_owned(), auth.clone(), *hello.state(), query));
        async move { auth["token"] == "letmein" }
    });
    let second = io.of_pattern("/{any}");
    first.on("who", async |_: Socket<u8>| 1);
    second.on("who", async |_: Socket<u8>| 2);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    for (name, auth, expected) in
        [("/a", r#"{"token":"letmein"}"#, 1), ("/b", "", 2), ("/own", r#"{"token":"letmein"}"#, 3)]
    {
        client.join(name, auth).await.unwrap();
        client.send(&format!("2{name},1[\"who\"]")).await;
        assert_eq!(client.next().await.data, json!([expected]));
    }
    let web = Some("websocket".to_owned());
    let expected = [
        ("/a".to_owned(), json!({"token": "letmein"}), 7, web.clone()),
        ("/b".to_owned(), json!({}), 7, web),
    ];
    assert_eq!(*asked.lock(), expected);
    assert_eq!(
        (first.everyone().sockets().await.len(), second.everyone().sockets().await.len()),
        (1, 1)
    );
    assert_eq!(client.join("/a/b", "").await, Err(invalid()));
}

#[tokio::test]
async fn connect_decides_about_each_client_of_a_child() {
    let io = Server::new();
    let tenants = io.of_pattern("/tenant/{id}").connect(async |hello: Hello| {
        match (hello.param("id"), hello.namespace()) {
            (Some("a"), "/tenant/a") => Ok("data".to_owned()),
            _ => Err(Refusal::new("no")),
        }
    });
    tenants.on("data", async |me: Socket<(), String>| me.data().clone());
    let server = start(io).await;
    let mut client = client_in(&server, "/tenant/a").await;
    client.send("2/tenant/a,1[\"data\"]").await;
    assert_eq!(client.next().await.data, json!(["data"]));
    assert_eq!(client.join("/tenant/b", "").await, Err(json!({ "message": "no" })));
    // It ended with the client that was refused.
    server.has_ended("/tenant/b").await;
    assert_eq!(server.stats().namespaces_made, 2);
    assert!(server.nodes().any(|io| io.find("/tenant/a").is_some()));
}

#[tokio::test]
async fn many_clients_at_once_make_one_child() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let io = Server::new();
    let (open, gate) = tokio::sync::watch::channel(false);
    io.of_matching(move |_: Hello| {
        let mut gate = gate.clone();
        async move { gate.wait_for(|open| *open).await.is_ok() }
    });
    io.on_new_namespace(move |namespace: Namespace| {
        count.fetch_add(1, Ordering::Relaxed);
        namespace.on("hook", async |_: Socket| "was there first");
    });
    let server = start(io).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Client::open(server.address).await;
        client.send("0/x").await;
        client.send("2/x,1[\"hook\"]").await;
        clients.push(client);
    }
    open.send(true).unwrap();
    for client in &mut clients {
        assert_eq!(client.next().await.kind, 0);
        assert_eq!(client.next().await.data, json!(["was there first"]));
    }
    // One at each node.
    let nodes = server.nodes().count();
    let made_by = server.stats().namespaces_made;
    assert_eq!((made.load(Ordering::Relaxed), made_by), (nodes, nodes as u64));
    let own = server.of("/own");
    assert_eq!(server.of("/own").name(), own.name());
    assert_eq!(made.load(Ordering::Relaxed), nodes + 1);
}

#[tokio::test]
async fn a_child_ends_with_its_last_socket_or_handle() {
    if is_for_one_node("a handle keeps the child of its own node") {
        return;
    }
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let io = Server::new();
    io.of_pattern("/room-{id}");
    io.on_new_namespace(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let server = start(io).await;
    let mut one = client_in(&server, "/room-1").await;
    let mut two = client_in(&server, "/room-1").await;
    one.send("1/room-1,").await;
    let handle = server.find("/room-1").unwrap();
    until("one is left", || handle.len() == 1).await;
    two.send("1/room-1,").await;
    until("none is left", || handle.is_empty()).await;
    assert!(server.find("/room-1").is_some(), "there is a handle");
    drop(handle);
    until("gone", || server.find("/room-1").is_none()).await;
    one.join("/room-1", "").await.unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn empty_children_can_be_kept() {
    if is_for_one_node("each node keeps its own") {
        return;
    }
    let io = Server::builder().keep_empty_namespaces(true).build();
    let rooms = io.of_pattern("/room-{id}");
    let server = start(io).await;
    drop(client_in(&server, "/room-1").await);
    server.is_empty_again().await;
    assert_eq!(rooms.children().len(), 1);
    client_in(&server, "/room-1").await;
    assert_eq!(server.stats().namespaces_made, 1);
}

#[tokio::test]
async fn clients_cannot_make_namespaces_without_end() {
    if is_for_one_node("each node counts its own") {
        return;
    }
    let io = Server::builder().child_namespaces_max(2).build();
    let rooms = io.of_pattern("/room-{id}");
    let server = start(io).await;
    let mut client = client_in(&server, "/room-1").await;
    client.join("/room-2", "").await.unwrap();
    let refused = client.join("/room-3", "").await;
    assert_eq!(refused, Err(json!({ "message": "too many namespaces" })));
    assert_eq!(server.stats().namespaces_refused, 1);
    let mut other = client_in(&server, "/room-1").await;
    client.send("1/room-2,").await;
    until("there is a place", || rooms.children().len() == 1).await;
    other.join("/room-3", "").await.unwrap();
}

#[tokio::test]
async fn a_function_that_does_not_decide_or_panics_refuses_its_client() {
    let io = Server::builder().namespace_timeout(Duration::from_millis(20)).build();
    io.of_matching(async |hello: Hello| match hello.namespace() {
        "/never" => std::future::pending().await,
        "/panic" => panic!("on purpose"),
        _ => false,
    });
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    for (name, message) in [
        ("/never", "No decision in time"),
        ("/panic", "Internal error"),
        ("/no", "Invalid namespace"),
    ] {
        assert_eq!(client.join(name, "").await, Err(json!({ "message": message })));
    }
    let stats = server.stats();
    assert_eq!((stats.namespace_timeouts, stats.panics, stats.refused), (1, 1, 3));
    assert_eq!(stats.namespaces_made, 0);
}

#[tokio::test]
async fn a_function_is_dropped_with_its_client() {
    struct Tell(Option<oneshot::Sender<()>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.take().map(|sender| sender.send(()));
        }
    }
    let io = Server::new();
    let (sender, mut asked) = mpsc::unbounded_channel();
    io.of_matching(move |_: Hello| {
        let (tell, dropped) = oneshot::channel();
        sender.send(dropped).unwrap();
        let tell = Tell(Some(tell));
        async move {
            let _tell = tell;
            std::future::pending().await
        }
    });
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    // Out of the namespace again.
    client.send("0/x").await;
    let dropped = within(asked.recv()).await.unwrap();
    client.send("1/x,").await;
    within(dropped).await.unwrap();
    // The whole client.
    client.send("0/x").await;
    let dropped = within(asked.recv()).await.unwrap();
    drop(client);
    within(dropped).await.unwrap();
    server.is_empty_again().await;
}

#[tokio::test]
async fn what_a_parent_sends_while_a_child_has_ended_is_missed_by_nobody() {
    let recovery = Recovery::new();
    let io = Server::builder().recovery(recovery.clone()).build();
    let rooms = io.of_pattern("/room-{id}");
    let other = Server::builder().recovery(recovery).build();
    let others = other.of_pattern("/room-{id}");
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let joined = answer(&mut client, "/room-1", &json!({})).await;
    drop(client);
    server.has_ended("/room-1").await;
    rooms.emit("news", 1);
    others.emit("news", 2);
    io_of_other_functions(&other).emit("news", "of another family");
    let mut client = Client::open(server.address).await;
    let back = answer(&mut client, "/room-1", &json!({ "pid": joined.data["pid"] })).await;
    assert_eq!(back.data, joined.data);
    for n in [1, 2] {
        let packet = client.next().await;
        assert_eq!((packet.namespace.as_str(), &packet.data[1]), ("/room-1", &json!(n)));
    }
    others.emit("news", 3);
    assert_eq!(client.next().await.data[1], json!(3), "the other server has no such child");
    // The program that asks for it by its name has the same child.
    drop(client);
    server.has_ended("/room-1").await;
    let child = server.of("/room-1");
    let mut client = Client::open(server.address).await;
    answer(&mut client, "/room-1", &json!({})).await;
    rooms.emit("news", 4);
    child.emit("news", 5);
    assert_eq!(client.next().await.data[1], json!(4));
    assert_eq!(client.next().await.data[1], json!(5));
}

#[tokio::test]
async fn who_is_revoked_while_its_child_has_ended_does_not_come_back() {
    let io = Server::builder().recovery(Recovery::new()).build();
    let rooms = io.of_pattern("/room-{id}");
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let joined = answer(&mut client, "/room-1", &json!({})).await;
    drop(client);
    server.has_ended("/room-1").await;
    assert_eq!(rooms.revoke(|()| true), 1);
    let mut client = Client::open(server.address).await;
    let new = answer(&mut client, "/room-1", &json!({ "pid": joined.data["pid"] })).await;
    assert_ne!(new.data["sid"], joined.data["sid"]);
}

#[tokio::test]
async fn no_more_who_wait_in_children_that_have_ended_are_sent_to_than_there_may_be_children() {
    let recovery = Recovery::new();
    let io = Server::builder().recovery(recovery).child_namespaces_max(2).build();
    let rooms = io.of_pattern("/room-{id}");
    let server = start(io).await;
    let mut pids = Vec::new();
    for n in 0..5 {
        let mut client = Client::open(server.address).await;
        pids.push(answer(&mut client, &format!("/room-{n}"), &json!({})).await.data);
        drop(client);
        server.has_ended(&format!("/room-{n}")).await;
    }
    // What nobody could miss, and what is not sent, changes nothing.
    rooms.everyone().volatile().emit("news", 0);
    rooms.emit("disconnect", 0);
    assert_eq!(rooms.revoke(|()| false), 0);
    rooms.emit("news", 1);
    let mut recovered = 0;
    for (n, joined) in pids.iter().enumerate() {
        let mut client = Client::open(server.address).await;
        let namespace = format!("/room-{n}");
        let back = answer(&mut client, &namespace, &json!({ "pid": joined["pid"] })).await;
        if back.data["sid"] == joined["sid"] {
            assert_eq!(client.next().await.data[1], json!(1));
            recovered += 1;
        }
        client.send(&format!("1{namespace},")).await;
        server.has_ended(&namespace).await;
    }
    assert_eq!(recovered, 2, "the others are told by a new socket");
}

fn io_of_other_functions(server: &Server) -> Namespace {
    server.of_matching(async |_| true)
}

#[tokio::test]
async fn who_was_lost_in_a_child_comes_back_after_its_end() {
    let recovery = Recovery::new();
    let io = Server::builder().recovery(recovery).build();
    let rooms = io.of_pattern("/room-{id}");
    rooms.on("how", async |me: Socket| matches!(me.recovery(), Beginning::Recovered { missed: 0 }));
    rooms.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let joined = answer(&mut client, "/room-1", &json!({})).await;
    drop(client);
    server.has_ended("/room-1").await;
    let mut client = Client::open(server.address).await;
    let back = answer(&mut client, "/room-1", &json!({ "pid": joined.data["pid"] })).await;
    assert_eq!(back.data, joined.data);
    client.send("2/room-1,1[\"how\"]").await;
    assert_eq!(client.next().await.data, json!([true]));
    assert_eq!(server.stats().namespaces_made, 2);
    // Out by itself: nothing waits for it any more.
    client.send("1/room-1,").await;
    server.has_ended("/room-1").await;
    let new = answer(&mut client, "/room-1", &json!({ "pid": joined.data["pid"] })).await;
    assert_ne!(new.data["sid"], joined.data["sid"]);
}
