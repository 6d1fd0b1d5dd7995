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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

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
    let (tell, _) = unbounded_channel();
    repeats_and_reads(more, bytes, tell).await
}

/// The same, which tells each time that it has said it, and that it has read something.
async fn repeats_and_reads(more: &'static str, bytes: Vec<u8>, tell: UnboundedSender<Did>) -> Raw {
    Raw::start(move |mut wire: Wire| {
        let (bytes, tell) = (bytes.clone(), tell.clone());
        async move {
            wire.join_with(more, &open_packet("", 100, 900)).await;
            let (mut from, mut to) = wire.stream.into_split();
            let says = async {
                while to.write_all(&bytes).await.is_ok() {
                    let _ = tell.send(Did::Say);
                }
            };
            let reads = async {
                while from.read(&mut [0; 4096]).await.is_ok_and(|len| len > 0) {
                    if tell.send(Did::Read).is_err() {
                        // Nobody reads these.
                        return std::future::pending().await;
                    }
                }
            };
            tokio::select! { () = says => {} () = reads => {} }
        }
    })
    .await
}

/// What a server has done.
#[derive(PartialEq)]
enum Did {
    Say,
    Read,
}

/// From now on the kernel notes anew what the process holds at most.
fn forget_peak() -> usize {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    resident_bytes()
}

/// What the process has held at most since then.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// What the process grows by, at most, until the client waits for its next attempt.
async fn costs(socket: &Socket) -> usize {
    let before = forget_peak();
    let mut watch = socket.watch();
    drop(socket.connect());
    soon(watch.wait_for(|status| matches!(status, Status::Waiting { .. }))).await.unwrap();
    peak_bytes().saturating_sub(before)
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
    let (tell, mut did) = unbounded_channel();
    let raw = repeats_and_reads("", flood.clone(), tell).await;
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
    // Nothing more is read, however often the connection's task gets to something else.
    for _ in 0..50 {
        socket.emit("written", ());
        while soon(did.recv()).await.unwrap() != Did::Read {}
    }
    assert_eq!(socket.manager().stats().events, events);
    assert!(socket.is_connected());
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 40 * MB, "events whose handlers wait: {grown} bytes");
    socket.disconnect();
    soon(socket.closed()).await;

    // Without a handler, and into a stream that nobody reads, as many come as the server sends.
    let (tell, mut did) = unbounded_channel();
    let raw = repeats_and_reads("", flood, tell).await;
    let socket = main_socket(client(&raw, WEBSOCKET).stream_bytes_max(MB));
    let _unread = socket.events::<_, String>("x");
    let before = forget_peak();
    soon(socket.connect()).await.unwrap();
    // A thousand events each time.
    for _ in 0..100 {
        while soon(did.recv()).await.unwrap() != Did::Say {}
    }
    let grown = peak_bytes().saturating_sub(before);
    assert!(grown < 50 * MB, "events that nobody hears: {grown} bytes");
    soon(socket.manager().close()).await;
}
