//! What a server may make a client hold. A program of its own with a single test, because it reads the
//! memory of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

use roomful_client::{Builder, Limits, Manager, Reconnection, Socket, Status, Transport};
use roomful_proto::deflate::Deflate;
use roomful_proto::ws::frame::{Header, Opcode};
use support::raw::{POLLING, Raw, WEBSOCKET, Wire, binary, frame, open_packet, text};
use support::{main_socket, soon};

const MB: usize = 1_000_000;
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                       client_no_context_takeover\r\n";

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

fn client(raw: &Raw, way: &[Transport]) -> Builder {
    let mut limits = Limits::client();
    limits.close_timeout = Duration::from_millis(50);
    Manager::builder(&raw.url)
        .unwrap()
        .limits(limits)
        .transports(way.iter().copied())
        .reconnection(Reconnection::every(Duration::from_secs(3600)))
}

/// A server that joins `/` and says the same for ever.
async fn repeats(more: &'static str, bytes: Vec<u8>) -> Raw {
    Raw::start(move |mut wire: Wire| {
        let bytes = bytes.clone();
        async move {
            wire.join_with(more, &open_packet("", 100, 900)).await;
            while wire.say(&bytes).await {}
        }
    })
    .await
}

/// What the process grows by, at most, until the client waits for its next attempt.
async fn costs(socket: &Socket) -> usize {
    let before = resident_bytes();
    let mut most = before;
    let mut watch = socket.watch();
    drop(socket.connect());
    soon(async {
        while !matches!(*watch.borrow_and_update(), Status::Waiting { .. }) {
            most = most.max(resident_bytes());
            let _ = tokio::time::timeout(Duration::from_millis(1), watch.changed()).await;
        }
    })
    .await;
    most.saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_server_sends_it_costs_no_more_than_its_limits() {
    let bomb = {
        let mut small = Vec::new();
        let message = [b"4", &vec![b' '; 300 * MB][..]].concat();
        assert!(Deflate::new(0, 1).message(&message, &mut small));
        let header = Header::new(Opcode::Text, small.len(), None).compressed();
        [header.as_bytes(), &small].concat()
    };
    let piece = [&[0x00, 127][..], &(MB as u64).to_be_bytes(), &vec![b' '; MB]].concat();
    let fragments = [&[0x01, 1, b'4'][..], &piece.repeat(20)].concat();
    let attachment = binary(vec![0; MB]);
    let announced: Vec<String> =
        (0..900).map(|n| format!("{{\"_placeholder\":true,\"num\":{n}}}")).collect();
    let announced = text(format!("4590{}-[\"x\",{}]", 0, announced.join(",")));
    let attachments = [announced, attachment.repeat(30)].concat();
    let declared = [&[0x81, 127][..], &(300 * MB as u64).to_be_bytes(), b"42"].concat();
    // The limit of a message is 16 MiB, which may be there twice while it grows.
    let cases: Vec<(&str, &'static str, Vec<u8>, usize)> = vec![
        ("a message that inflates", DEFLATE, bomb, 60 * MB),
        ("a message that is declared", "", declared, 10 * MB),
        ("fragments", "", fragments, 60 * MB),
        ("attachments", "", attachments, 80 * MB),
        ("pings", "", frame(Opcode::Ping, "x".repeat(125)).repeat(1_000), 20 * MB),
        ("pings of the session", "", text(format!("2{}", "x".repeat(100))).repeat(1_000), 20 * MB),
    ];
    for (what, more, bytes, most) in cases {
        let raw = repeats(more, bytes).await;
        let socket = main_socket(client(&raw, WEBSOCKET));
        let grown = costs(&socket).await;
        assert!(grown < most, "{what}: {grown} bytes");
    }

    let endless = Raw::start(|mut wire: Wire| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let chunk = [b"10000\r\n", &[b'4'; 0x10000][..], b"\r\n"].concat();
        while wire.say(&chunk).await {}
    })
    .await;
    let grown = costs(&main_socket(client(&endless, POLLING))).await;
    assert!(grown < 110 * MB, "a body without end: {grown} bytes");

    // A handler that never ends holds up the reading, when so many run and so much waits.
    let flood = text(format!("42[\"x\",\"{}\"]", "x".repeat(1_000))).repeat(1_000);
    let raw = repeats("", flood.clone()).await;
    let socket = main_socket(client(&raw, WEBSOCKET).inbox_bytes_max(4 * MB).handlers_max(100));
    socket.on("x", async |_: Socket, _: String| std::future::pending::<()>().await);
    let before = resident_bytes();
    soon(socket.connect()).await.unwrap();
    soon(async {
        while socket.manager().stats().pauses == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let events = socket.manager().stats().events;
    // Nothing more comes, however often it is tried.
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(socket.manager().stats().events, events);
    assert!(socket.is_connected());
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 40 * MB, "events whose handlers wait: {grown} bytes");
    socket.disconnect();
    soon(socket.closed()).await;

    // Without a handler, and into a stream that nobody reads, as many come as the server sends.
    let raw = repeats("", flood).await;
    let socket = main_socket(client(&raw, WEBSOCKET).stream_bytes_max(MB));
    let _unread = socket.events::<_, String>("x");
    let before = resident_bytes();
    soon(socket.connect()).await.unwrap();
    soon(async {
        while socket.manager().stats().events < 50_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 50 * MB, "events that nobody hears: {grown} bytes");
    soon(socket.manager().close()).await;
}
