//! Events that come too fast.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use roomful::{Args, ConnectionFlow, EventFlow, OneEvent, Rate, Reason, Server, Socket};
use roomful_proto::ws::frame::Opcode;
use serde_json::{Value, json};
use support::*;
use tokio::io::AsyncWriteExt as _;

/// So long that no token comes back while a test runs.
const LONG: Duration = Duration::from_secs(3_600);

fn refused() -> Value {
    json!([{"error": {"code": "rate_limited", "message": "too many events"}}])
}

fn echoing(io: &Server) {
    io.on("echo", async |_: Socket, args: Args| args);
    io.on("login", async |_: Socket| "in");
}

#[tokio::test]
async fn events_beyond_the_rate_of_a_connection_are_refused_and_it_lives_on() {
    let io = Server::builder()
        .connection_flow(ConnectionFlow::new().rate(Rate::new(1, LONG).burst(3)))
        .build();
    echoing(&io);
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    io.on_error(move |_, event, error| list.lock().push(format!("{event} {}", error.code())));
    let server = start(io).await;
    let mut client = server.client().await;
    let mut other = server.client().await;
    for n in 0..3 {
        assert_eq!(client.ask("echo", &n.to_string()).await, json!([n]));
    }
    assert_eq!(client.ask("echo", "3").await, refused());
    client.emit("echo", "4").await;
    assert_eq!(client.ask("unknown", "5").await, refused());
    assert_eq!(other.ask("echo", "6").await, json!([6]), "each connection has its own");
    assert_eq!(server.stats().events_too_fast, 3);
    assert_eq!(*told.lock(), ["echo rate_limited", "echo rate_limited", "unknown rate_limited"]);
}

#[tokio::test]
async fn a_strict_rate_closes_the_connection() {
    let io = Server::builder()
        .connection_flow(ConnectionFlow::new().rate(Rate::new(2, LONG).disconnects()))
        .build();
    echoing(&io);
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&reasons);
    io.on_disconnect(move |_: Socket, reason: Reason| {
        list.lock().push(reason);
        async {}
    });
    let server = start(io).await;
    let mut client = server.client().await;
    for n in 0..100 {
        client.emit("echo", &n.to_string()).await;
    }
    assert_eq!(client.next().await.kind, 1, "nothing asked, so nothing but this");
    client.ws.close_code().await;
    drop(client);
    server.is_empty_again().await;
    assert_eq!(server.stats().events_too_fast, 1);
    assert_eq!(reasons.lock().len(), 1);
}

#[tokio::test]
async fn a_paced_client_waits_and_loses_nothing() {
    let io = Server::builder()
        .connection_flow(ConnectionFlow::new().pace(Rate::per_second(1_000).burst(1)))
        .build();
    echoing(&io);
    let server = start(io).await;
    let mut client = server.client().await;
    for n in 0..300 {
        client.send(&format!("2{n}[\"echo\",{n}]")).await;
    }
    for n in 0..300 {
        assert_eq!(client.next().await.ack, Some(n));
    }
    let stats = server.stats();
    assert_eq!(stats.events_too_fast, 0);
    assert!(stats.paced > 0, "{stats:?}");
}

/// Its pongs lie behind what is not read, and nobody may take that for silence.
#[tokio::test]
async fn a_paced_client_lives_longer_than_its_pongs_take() {
    let io = Server::builder()
        .connection_flow(ConnectionFlow::new().pace(Rate::per_second(1).burst(1)))
        .build();
    echoing(&io);
    let server = start(io).await;
    // Of the larger ones, no two are in one read.
    for bytes in [1, 40_000] {
        let mut client = server.client().await;
        let filler = "x".repeat(bytes);
        let events = (0..60).map(|n| format!("42{n}[\"echo\",{n},\"{filler}\"]"));
        let frames: Vec<_> =
            events.flat_map(|event| frame_bytes(Opcode::Text, event.as_bytes())).collect();
        let mut writer = client.ws.conn.writer();
        let writing = tokio::spawn(async move { writer.write_all(&frames).await });
        let mut heard = 0;
        while heard < 60 {
            passes(Duration::from_secs(1)).await;
            let text = client.ws.text().await;
            if text != "2" {
                assert!(text.starts_with(&format!("43{heard}[{heard},")), "{:.20}", text);
                heard += 1;
            }
        }
        within(writing).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_paced_client_that_leaves_is_forgotten_with_what_waits() {
    let io = Server::builder()
        .connection_flow(ConnectionFlow::new().pace(Rate::new(1, Duration::from_secs(3_600))))
        .build();
    echoing(&io);
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    let body: Vec<_> = (0..50).map(|n| format!("42{n}[\"echo\",{n}]")).collect();
    assert_eq!(poller.post(&body.join("\u{1e}")).await.text(), "ok");
    // What was answered at once.
    assert_eq!(poller.get().await.text(), "430[0]");
    poller.pending().await.reset();
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_paced_poller_waits_and_loses_nothing() {
    let io = Server::builder()
        .connection_flow(ConnectionFlow::new().pace(Rate::per_second(1_000).burst(1)))
        .build();
    echoing(&io);
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    let body: Vec<_> = (0..200).map(|n| format!("42{n}[\"echo\",{n}]")).collect();
    assert_eq!(poller.post(&body.join("\u{1e}")).await.text(), "ok");
    let mut heard = String::new();
    while heard.matches("43").count() < 200 {
        heard += poller.get().await.text();
    }
    assert!(server.stats().paced > 0);
}

#[tokio::test]
async fn single_events_have_their_rate_for_each_socket() {
    let io = Server::new();
    echoing(&io);
    io.event_flow(EventFlow::new().event("login", OneEvent::new().rate(Rate::new(2, LONG))));
    io.on_any(|_, event, _| assert_ne!(event, "never"));
    let server = start(io).await;
    let mut client = server.client().await;
    let mut other = server.client().await;
    for expected in [json!(["in"]), json!(["in"]), refused(), refused()] {
        assert_eq!(client.ask("login", "").await, expected);
    }
    assert_eq!(client.ask("echo", "1").await, json!([1]), "others are not limited");
    assert_eq!(other.ask("login", "").await, json!(["in"]));
    client.send("1").await;
    until("it has left", || server.len() == 1).await;
    client.join("/", "").await.unwrap();
    assert_eq!(client.ask("login", "").await, json!(["in"]), "a new socket");
    assert_eq!(server.stats().events_too_fast, 2);
}

#[tokio::test]
async fn a_strict_rate_of_an_event_costs_its_socket() {
    let io = Server::new();
    echoing(&io);
    io.event_flow(
        EventFlow::new().event("login", OneEvent::new().rate(Rate::new(1, LONG).disconnects())),
    );
    io.of("/b").on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/b", "").await.unwrap();
    assert_eq!(client.ask("login", "").await, json!(["in"]));
    assert_eq!(client.ask("login", "").await, refused());
    let left = client.next().await;
    assert_eq!((left.kind, left.namespace.as_str()), (1, "/"));
    client.send("2/b,7[\"echo\",1]").await;
    assert_eq!(client.next().await.data, json!([1]));
}

#[tokio::test]
async fn single_events_have_the_rate_of_the_server_unless_their_namespace_says_otherwise() {
    let login = |rate| EventFlow::new().event("login", OneEvent::new().rate(rate));
    let io = Server::builder().event_flow(login(Rate::new(1, LONG))).build();
    echoing(&io);
    for namespace in [&io.of("/twice"), &io.of("/large"), &io.of_pattern("/room-{id}")] {
        namespace.on("login", async |_: Socket| "in");
    }
    io.of("/twice").event_flow(login(Rate::new(2, LONG)));
    io.of("/large").event_flow(EventFlow::new().args_bytes_max(1_000));
    let server = start(io).await;
    for (name, times) in [("/", 1), ("/twice", 2), ("/large", 1), ("/room-1", 1)] {
        let mut client = server.client().await;
        if name != "/" {
            client.join(name, "").await.unwrap();
        }
        let prefix = if name == "/" { String::new() } else { format!("{name},") };
        for n in 0..3 {
            client.send(&format!("2{prefix}{n}[\"login\"]")).await;
            let expected = if n < times { json!(["in"]) } else { refused() };
            assert_eq!(client.next().await.data, expected, "{name} {n}");
        }
    }
}
