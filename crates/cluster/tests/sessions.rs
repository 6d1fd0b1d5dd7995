//! Buses of sessions: requests of a session come to another node by each of them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::time::Duration;

use roomful::{Server, SessionBus};
use roomful_cluster::MemorySessionBus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// A server on the bus, and where it is.
async fn serve(bus: impl SessionBus) -> (Server, String) {
    let io =
        Server::builder().session_bus(bus).session_lookup_timeout(Duration::from_secs(10)).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = io.clone();
    drop(tokio::spawn(async move { server.serve_on(listener).await }));
    (io, address)
}

/// The body of the answer to a request.
async fn ask(address: &str, method: &str, target: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let len = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A client opens a session at one node, and goes on at the other.
async fn check(bus: impl SessionBus + Clone) {
    let (one, first) = serve(bus.clone()).await;
    let (two, second) = serve(bus).await;
    one.on("say", async |me: roomful::Socket, text: String| me.emit("said", text));
    // Whoever asks before its bus is there asks again.
    let (sid, target) = loop {
        let open = ask(&first, "GET", POLLING, "").await;
        let sid = open.split('"').nth(3).unwrap().to_owned();
        let target = format!("{POLLING}&sid={sid}");
        if ask(&second, "POST", &target, "40").await == "ok" {
            break (sid, target);
        }
    };
    assert!(ask(&second, "GET", &target, "").await.starts_with("40{"), "{}", sid.len());
    let text = "x".repeat(500_000);
    let event = format!("42[\"say\",\"{text}\"]");
    assert_eq!(ask(&second, "POST", &target, &event).await, "ok");
    let said = format!("42[\"said\",\"{text}\"]");
    assert!(ask(&second, "GET", &target, "").await == said);
    assert_eq!(two.stats().opened, 0);
    assert_eq!(ask(&second, "POST", &target, "1").await, "ok");
    while !one.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn memory() {
    check(MemorySessionBus::new()).await;
}

/// `make test-cluster` starts the engines, and gives their URLs by the environment.
#[cfg(any(feature = "nats", feature = "redis"))]
fn url(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test-cluster`"))
}

#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn redis() {
    let bus = roomful_cluster::RedisSessionBus::connect(&url("REDIS_URL")).await.unwrap();
    check(bus.channel_prefix("test-sessions")).await;
}

#[cfg(feature = "nats")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn nats() {
    let bus = roomful_cluster::NatsSessionBus::connect(&url("NATS_URL")).await.unwrap();
    check(bus.subject_prefix("test-sessions")).await;
}
