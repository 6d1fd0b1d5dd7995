//! Several servers of one process, joined by the memory adapter: what is sent and done at one reaches all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::{Arc, Weak};
use std::time::Duration;

use roomful::adapter::{Adapter, Line, MemoryAdapter, Message, Node, Reply, ReplyTo};
use roomful::{
    Answers, Args, Beginning, CallError, Hello, NodeAnswers, Recovery, Refusal, Server, Socket,
};
use serde_json::json;
use support::returner::Returner;
use support::*;

fn echoing(io: Server) -> Server {
    io.on("echo", async |_: Socket, args: Args| args);
    io.on("fence", async |_: Socket| ());
    io.on("join", async |me: Socket, room: String| me.join(room));
    io
}

/// Two servers that know of each other by an adapter alone.
async fn two() -> [Running; 2] {
    let adapter = MemoryAdapter::new();
    let one = echoing(Server::builder().adapter(adapter.clone()).build());
    let two = echoing(Server::builder().adapter(adapter).build());
    [start(one).await, start(two).await]
}

#[tokio::test]
async fn an_event_reaches_the_clients_of_all_nodes_once_and_only_in_its_rooms() {
    let [one, two] = two().await;
    let (mut here, mut there) = (one.client().await, two.client().await);
    let mut beside = two.client().await;
    there.ask("join", "\"den\"").await;
    one.emit("all", 1);
    one.to("den").emit("den", "bytes");
    one.except("den").emit("others", ());
    one.everyone().local().emit("here", ());
    one.to(&beside.id).emit("own", 2);
    assert_eq!(here.event().await, json!(["all", 1]));
    assert_eq!(here.event().await, json!(["others"]));
    assert_eq!(here.event().await, json!(["here"]));
    assert_eq!(there.event().await, json!(["all", 1]));
    assert_eq!(there.event().await, json!(["den", "bytes"]));
    assert_eq!(beside.event().await, json!(["all", 1]));
    assert_eq!(beside.event().await, json!(["others"]));
    assert_eq!(beside.event().await, json!(["own", 2]));
    for client in [&mut here, &mut there, &mut beside] {
        hears_nothing(client).await;
    }
}

#[tokio::test]
async fn sockets_of_all_nodes_are_found_moved_and_put_out() {
    let [one, two] = two().await;
    let (mut here, mut there) = (one.client().await, two.client().await);
    one.everyone().join(["a", "b"]);
    one.to(&there.id).leave("b");
    let found = one.to("a").sockets().await;
    assert_eq!((found.len(), found.nodes_missing()), (2, 0));
    let theirs = found.iter().find(|socket| socket.id().as_str() == there.id).unwrap();
    assert_eq!(theirs.rooms(), [there.id.as_str(), "a"]);
    assert_eq!(theirs.handshake().header("host"), Some("localhost"));
    assert_eq!(theirs.local_data::<()>(), None);
    theirs.emit("hello", 1);
    assert_eq!(there.event().await, json!(["hello", 1]));
    theirs.join("c");
    assert!(two.socket(theirs.id()).unwrap().is_in("c"));
    theirs.disconnect();
    assert_eq!(there.next().await.kind, 1);
    hears_nothing(&mut here).await;
    one.everyone().close();
    assert_eq!(here.next().await.kind, 1);
}

#[tokio::test]
async fn what_a_namespace_shares_of_its_data_is_seen_by_all_nodes() {
    let adapter = MemoryAdapter::new();
    let make = || {
        let io = Server::builder().adapter(adapter.clone()).build();
        let enter = async |_: Hello| -> Result<(String, u8), Refusal> { Ok(("ana".into(), 7)) };
        io.of("/users").connect(enter).share_data(|(name, _)| name.clone());
        io
    };
    let (one, two) = (make(), start(make()).await);
    let mut client = Client::open(two.address).await;
    client.join("/users", "").await.unwrap();
    let found = one.of("/users").everyone().sockets().await;
    assert_eq!(found[0].data::<String>().as_deref(), Some("ana"));
    assert_eq!(found[0].data::<u8>(), None);
}

#[tokio::test]
async fn an_ack_request_is_answered_by_the_clients_of_all_nodes() {
    let [one, two] = two().await;
    let (mut here, mut there) = (one.client().await, two.client().await);
    let mut answers: Answers<u8> = one.everyone().timeout(Duration::from_secs(10)).call("q", "?");
    assert_eq!((answers.asked(), answers.missing(), answers.nodes_missing()), (2, 2, 0));
    for (client, answer) in [(&mut here, 1), (&mut there, 2)] {
        let question = client.next().await;
        assert_eq!(question.data, json!(["q", "?"]));
        client.send(&format!("3{}[{answer}]", question.ack.unwrap())).await;
    }
    let mut all = Vec::new();
    while let Some((id, answer)) = within(answers.next()).await {
        all.push((id.unwrap().to_string(), answer.unwrap()));
    }
    all.sort_by_key(|(_, answer)| *answer);
    assert_eq!(all, [(here.id, 1), (there.id, 2)]);
    assert_eq!(answers.missing(), 0);
}

#[tokio::test]
async fn a_socket_of_another_node_is_asked_and_its_silence_ends_with_the_time() {
    let [one, two] = two().await;
    let mut there = two.client().await;
    let found = one.everyone().sockets().await;
    let asking = {
        let socket = found[0].clone();
        tokio::spawn(async move { socket.call::<_, _, u8>("q", ()).await })
    };
    let question = there.next().await;
    there.send(&format!("3{}[7]", question.ack.unwrap())).await;
    assert_eq!(within(asking).await.unwrap().unwrap(), 7);
    one.ack_timeout(Duration::from_millis(50));
    let silent: Result<u8, _> = within(found[0].call("q", ())).await;
    assert!(matches!(silent, Err(CallError::Timeout)), "{silent:?}");
}

#[tokio::test]
async fn server_side_events_are_heard_by_other_nodes_and_answered() {
    let [one, two] = two().await;
    let (saw, mut seen) = tokio::sync::mpsc::unbounded_channel();
    one.on_server_side("count", async |_: Args| -> u8 { panic!("a node does not hear itself") });
    two.on_server_side("count", async |args: Args| args.get::<u8>(0).unwrap() + 1);
    two.on_server_side("note", move |args: Args| {
        let saw = saw.clone();
        async move { drop(saw.send(args.get::<String>(0))) }
    });
    let answers: NodeAnswers<u8> = one.server_side_call("count", 1).await.unwrap();
    assert_eq!((&answers[..], answers.nodes_missing()), (&[2][..], 0));
    one.server_side_emit("note", "x").unwrap();
    assert_eq!(within(seen.recv()).await.unwrap().unwrap(), "x");
    let none: NodeAnswers<u8> = one.server_side_call("nobody", ()).await.unwrap();
    assert_eq!((none.len(), none.nodes_missing()), (0, 1));
}

#[tokio::test]
async fn children_of_a_pattern_are_one_over_all_nodes() {
    let adapter = MemoryAdapter::new();
    let make = || {
        let io = Server::builder().adapter(adapter.clone()).build();
        io.of_pattern("/room-{id}")
            .on("where", async |me: Socket| me.param("id").map(str::to_owned));
        io
    };
    let (one, two) = (start(make()).await, start(make()).await);
    let (mut here, mut there) = (Client::open(one.address).await, Client::open(two.address).await);
    here.join("/room-1", "").await.unwrap();
    there.join("/room-2", "").await.unwrap();
    one.of_pattern("/other-{id}");
    // The pattern reaches all its children, a name those of that name.
    one.io.find("/room-1").unwrap().emit("one", ());
    assert_eq!(here.event().await, json!(["one"]));
    one.io.of("/room-2").emit("two", ());
    assert_eq!(there.event().await, json!(["two"]));
}

#[tokio::test]
async fn a_client_is_recovered_by_another_node_after_its_own_was_dropped_without_a_word() {
    let adapter = MemoryAdapter::with_recovery(Recovery::new());
    let make = || {
        let io = echoing(Server::builder().adapter(adapter.clone()).build());
        io.on("how", async |me: Socket| matches!(me.recovery(), Beginning::Recovered { .. }));
        io
    };
    let two = start(make()).await;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let io = make();
    let one = runtime.spawn(start(io.clone())).await.unwrap();
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    client.ask("join", "\"den\"").await;
    two.to("den").emit("before", 1);
    assert_eq!(me.event(&mut client).await, json!(["before", 1]));
    // Neither the server nor the client says anything.
    runtime.shutdown_background();
    drop((one, io, client));
    two.to("den").emit("missed", 2);
    two.emit("all", 3);
    let (mut client, missed) = me.back(two.address).await;
    assert_eq!(missed, [json!(["missed", 2]), json!(["all", 3])]);
    assert_eq!(client.ask("how", "").await, json!([true]));
}

/// A node that has no runtime, no handlers and no clients: what comes costs it nothing.
#[tokio::test]
async fn a_node_that_is_dropped_is_asked_no_more() {
    let [one, two] = two().await;
    drop(two.client().await);
    until("gone", || two.stats().connections == 0).await;
    two.serving.abort();
    let _ = two.serving.await;
    drop(two.io);
    one.emit("all", ());
    let found = one.everyone().sockets().await;
    assert_eq!((found.len(), found.nodes_missing()), (0, 0));
}

/// An adapter that loses what is asked, and one node of which never answers.
#[derive(Debug)]
struct Deaf;

impl Adapter for Deaf {
    fn open(&self, _: &str, _: Weak<dyn Node>) -> Box<dyn Line> {
        Box::new(Self)
    }
}

impl Line for Deaf {
    fn send(&self, _: Message) {}

    fn ask(&self, _: Message, replies: ReplyTo) {
        replies.send(Reply::Asked(2));
        // It holds on to where replies go, for as long as anybody waits, and says nonsense.
        replies.send(Reply::Sockets(Vec::new()));
        tokio::spawn(async move {
            while !replies.is_closed() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(replies);
        });
    }
}

#[tokio::test]
async fn nodes_that_do_not_answer_are_counted_and_waited_for_no_longer_than_was_said() {
    let io = echoing(Server::builder().adapter(Deaf).build());
    let server = start(io).await;
    let mut client = server.client().await;
    let everyone = server.everyone().timeout(Duration::from_millis(50));
    let found = within(everyone.sockets()).await;
    assert_eq!((found.len(), found.nodes_missing()), (1, 1));
    let mut answers: Answers<u8> = everyone.call("q", ());
    client.next().await;
    assert!(within(answers.next()).await.is_none());
    assert_eq!((answers.asked(), answers.missing(), answers.nodes_missing()), (1, 1, 2));
    server.ack_timeout(Duration::from_millis(50));
    let none: NodeAnswers<u8> = within(server.server_side_call("x", ())).await.unwrap();
    assert_eq!((none.len(), none.nodes_missing()), (0, 2));
    hears_nothing(&mut client).await;
}

#[tokio::test]
async fn nodes_of_one_program_have_its_functions_whenever_they_were_registered() {
    let io = echoing(Server::new());
    let second = io.node();
    io.on("late", async |_: Socket| 7);
    io.of("/later").on("x", async |_: Socket| 8);
    io.of_pattern("/p-{id}").on("id", async |me: Socket| me.param("id").map(str::to_owned));
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let heard = Arc::new(heard);
    let listener = io.on_room(move |_, event| drop(heard.send(format!("{event:?}"))));
    let (one, two) = (start(io).await, start(second).await);
    let (mut here, mut there) = (one.client().await, two.client().await);
    assert_eq!(there.ask("late", "").await, json!([7]));
    there.join("/later", "").await.unwrap();
    there.send("2/later,1[\"x\"]").await;
    assert_eq!(there.next().await.data, json!([8]));
    there.join("/p-5", "").await.unwrap();
    there.send("2/p-5,1[\"id\"]").await;
    assert_eq!(there.next().await.data, json!(["5"]));
    there.ask("join", "\"den\"").await;
    assert_eq!(within(hears.recv()).await.unwrap(), "Created(\"den\")");
    assert!(within(hears.recv()).await.unwrap().starts_with("Joined(\"den\""));
    listener.off();
    one.to("den").emit("den", 1);
    assert_eq!(there.event().await, json!(["den", 1]));
    hears_nothing(&mut here).await;
    // They end together.
    let closing = tokio::spawn(async move { one.close().await });
    assert_eq!(there.ws.close_code().await, Some(1001));
    assert_eq!(here.ws.close_code().await, Some(1001));
    drop((here, there));
    within(closing).await.unwrap();
}

/// A room may have the name of somebody's id.
#[tokio::test]
async fn what_is_done_to_a_socket_that_was_found_is_done_to_no_namesake() {
    let [one, two] = two().await;
    let (mut here, mut there) = (one.client().await, two.client().await);
    let mut spy = one.client().await;
    for id in [&here.id, &there.id] {
        spy.ask("join", &format!("{id:?}")).await;
    }
    let found = one.everyone().sockets().await;
    for (client, id) in [(&mut here, 0), (&mut there, 1)] {
        let socket = found.iter().find(|socket| socket.id().as_str() == client.id).unwrap();
        socket.emit("secret", id);
        assert_eq!(client.event().await, json!(["secret", id]));
        socket.join("admins");
        socket.disconnect();
        assert_eq!(client.next().await.kind, 1);
    }
    let spied = socket_of(&one, &spy);
    assert!(!spied.is_in("admins"));
    hears_nothing(&mut spy).await;
}

#[tokio::test]
async fn a_socket_that_was_found_and_then_lost_does_not_come_back_when_it_is_put_out() {
    let adapter = MemoryAdapter::with_recovery(Recovery::new());
    let make = || echoing(Server::builder().adapter(adapter.clone()).build());
    let (one, two) = (start(make()).await, start(make()).await);
    for server in [&one, &two] {
        let mut client = Client::open(server.address).await;
        let mut me = Returner::join(&mut client, "").await;
        let found = one.everyone().sockets().await;
        // It has not read this when its connection is lost.
        found[0].emit("kept", 1);
        drop(client);
        until("lost", || server.stats().connections == 0).await;
        let id = me.id.clone();
        let (client, missed) = me.back(server.address).await;
        assert_eq!((&me.id, missed), (&id, vec![json!(["kept", 1])]));
        drop(client);
        until("lost", || server.stats().connections == 0).await;
        found[0].disconnect();
        let (_client, missed) = me.back(server.address).await;
        assert_ne!(me.id, id, "it was put out");
        assert_eq!(missed, Vec::<serde_json::Value>::new());
    }
}

#[tokio::test]
async fn an_event_comes_once_where_a_recovery_was_given_beside_an_adapter_without() {
    let (recovery, adapter) = (Recovery::new(), MemoryAdapter::new());
    let make = || {
        let builder = Server::builder().recovery(recovery.clone()).adapter(adapter.clone());
        start(echoing(builder.build()))
    };
    let (one, two) = (make().await, make().await);
    for server in [&one, &two] {
        let mut client = server.client().await;
        one.emit("x", 1);
        assert_eq!(client.event().await[1], json!(1));
        hears_nothing(&mut client).await;
    }
}

#[tokio::test]
async fn what_is_registered_with_the_handle_of_any_node_counts_for_all() {
    let io = echoing(Server::new());
    let second = io.node();
    // Asked for at the second first, and its door is put in at the first.
    let _handle = second.of("/x");
    drop(io.of("/x").connect(async |_: Hello| Err::<(), _>(Refusal::new("no"))));
    second.of("/y").on("y", async |_: Socket| 1);
    second.of_pattern("/a-{id}").on("a", async |_: Socket| 2);
    io.of_pattern("/b-{id}").on("b", async |_: Socket| 3);
    let (made, mut new) = tokio::sync::mpsc::unbounded_channel();
    second.on_new_namespace(move |namespace| drop(made.send(namespace.name().to_owned())));
    let (one, two) = (start(io).await, start(second).await);
    for server in [&one, &two] {
        let mut client = Client::open(server.address).await;
        assert_eq!(client.join("/x", "").await, Err(json!({ "message": "no" })));
        for (name, event, answer) in [("/y", "y", 1), ("/a-1", "a", 2), ("/b-1", "b", 3)] {
            client.join(name, "").await.unwrap();
            client.send(&format!("2{name},1[{event:?}]")).await;
            assert_eq!(client.next().await.data, json!([answer]), "{name}");
        }
    }
    for name in ["/a-1", "/b-1", "/a-1", "/b-1"] {
        assert_eq!(within(new.recv()).await.unwrap(), name);
    }
}

/// A name that was open may become a parent's, at one node before the other.
#[tokio::test]
async fn an_open_namespace_that_becomes_a_child_has_its_door_at_each_node() {
    let io = Server::new();
    let second = io.node();
    io.of("/room-1").emit("x", ());
    let _mirror = second.find("/room-1");
    let rooms = io.of_pattern("/room-{id}");
    let (one, two) = (start(io).await, start(second).await);
    let mut first = Client::open(one.address).await;
    first.join("/room-1", "").await.unwrap();
    drop(rooms.connect(async |hello: Hello| match hello.param("id") {
        Some("1") => Err(Refusal::new("no more")),
        _ => Ok(()),
    }));
    let mut late = Client::open(two.address).await;
    let refused = late.join("/room-1", "").await;
    assert_eq!(refused, Err(json!({ "message": "no more" })));
    let mut other = Client::open(two.address).await;
    other.join("/room-2", "").await.unwrap();
    rooms.emit("all", 1);
    assert_eq!(first.event().await, json!(["all", 1]));
    assert_eq!(other.event().await, json!(["all", 1]));
}

#[tokio::test]
async fn a_function_of_share_data_that_panics_costs_nothing() {
    let [one, two] = two().await;
    two.share_data(|()| -> u8 { panic!("on purpose") });
    let _client = two.client().await;
    let found = one.everyone().sockets().await;
    assert_eq!((found.len(), found[0].data::<u8>()), (1, None));
    assert_eq!(two.stats().panics, 1);
    two.on_server_side("panic", async |_: Args| -> u8 { panic!("on purpose") });
    one.ack_timeout(Duration::from_millis(50));
    let answers: NodeAnswers<u8> = one.server_side_call("panic", ()).await.unwrap();
    assert_eq!((answers.len(), answers.nodes_missing()), (0, 1));
    until("counted", || two.stats().panics == 2).await;
}

#[tokio::test]
async fn a_node_that_was_closed_is_given_no_connection() {
    let io = echoing(Server::new());
    let second = io.node();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = {
        let io = io.clone();
        tokio::spawn(async move { io.serve_nodes_on(listener).await })
    };
    second.close().await;
    for _ in 0..4 {
        let mut client = Client::open(address).await;
        client.join("/", "").await.unwrap();
    }
    io.close().await;
    within(serving).await.unwrap();
    // One that is made of a closed server is closed, too.
    let late = io.node();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    within(late.serve_on(listener)).await;
}

#[tokio::test]
async fn an_ack_request_of_another_node_is_closed_when_that_waits_no_more() {
    let [one, two] = two().await;
    let mut there = two.client().await;
    let answers: Answers<u8> = one.everyone().timeout(Duration::MAX).call("q", ());
    let question = there.next().await;
    drop(answers);
    // It looks once in a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    there.send(&format!("3{}[7]", question.ack.unwrap())).await;
    hears_nothing(&mut there).await;
    assert_eq!(two.stats().acks_unmatched, 1);
}
