//! What was reported of other servers, tried here: each is a public report or advisory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use roomful::{Hello, Server, Socket};
use roomful_proto::ws::frame::Opcode;
use serde_json::{Value, json};
use support::*;

async fn echoing() -> Running {
    let io = Server::new();
    io.on("echo", async |_: Socket, value: Value| value);
    start(io).await
}

/// CVE-2026-33151, CVE-2026-69185 (socket.io-parser): packets with attachments that were believed.
#[tokio::test]
async fn announced_attachments_are_not_believed() {
    let server = echoing().await;
    for packet in [
        r#"511-["echo",1]"#,
        r#"54294967296-["echo",1]"#,
        r#"518446744073709551616-["echo",1]"#,
        r#"5-["echo",1]"#,
        r#"5-1-["echo",1]"#,
        r#"51e3-["echo",1]"#,
        r#"61-7["x"]"#,
    ] {
        let mut client = server.client().await;
        client.send(packet).await;
        if packet.starts_with("61-") {
            // One that is waited for; the text in its place ends it.
            client.send(r#"2["echo",1]"#).await;
        }
        assert_eq!(within(client.try_next()).await, None, "{packet}");
    }
    // None at all are none: the event comes at once, and nothing is waited for.
    let mut client = server.client().await;
    for _ in 0..1_000 {
        client.send(r#"50-["echo",1]"#).await;
    }
    assert_eq!(client.ask("echo", "7").await, json!([7]));
    drop(client);
    server.is_unharmed().await;
}

/// CVE-2023-32695, CVE-2022-2421 (socket.io-parser): names and placeholders that are none.
#[tokio::test]
async fn names_and_placeholders_of_odd_types_end_only_their_connection() {
    let server = echoing().await;
    for packet in [
        r#"2[{"toString":"foo"}]"#,
        r#"2[["echo"],1]"#,
        r#"2[null]"#,
        r#"2{"0":"echo"}"#,
        r#"51-["echo",{"_placeholder":true,"num":"splice"}]"#,
        r#"51-["echo",{"_placeholder":true,"num":-1}]"#,
        r#"51-["echo",{"_placeholder":true,"num":0.5}]"#,
        r#"51-["echo",{"_placeholder":true,"num":1}]"#,
    ] {
        let mut client = server.client().await;
        client.send(packet).await;
        if packet.starts_with('5') {
            client.ws.send_binary(b"x").await;
        }
        let answer = within(client.try_next()).await;
        assert!(answer.is_none(), "{packet}: {answer:?}");
    }
    server.is_unharmed().await;
}

/// CVE-2022-21676 (engine.io): a frame with reserved bits. CVE-2022-41940: a reset just then. And
/// engine.io#658: an upgrade to something else.
#[tokio::test]
async fn what_comes_instead_of_a_websocket_harms_nobody() {
    let server = echoing().await;
    for first in [0xF1, 0xA1, 0x91, 0x83, 0x8B] {
        let mut ws = server.opened().await;
        ws.conn.send(odd_frame(first, b"40")).await;
        assert_eq!(ws.close_code().await, Some(1002), "{first:#x}");
    }
    for _ in 0..20 {
        let mut conn = Conn::open(server.address).await;
        conn.send(upgrade_head(WEBSOCKET)).await;
        conn.reset();
    }
    let h2c =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n";
    for target in [WEBSOCKET, "/", "/socket.io/"] {
        let mut conn = Conn::open(server.address).await;
        conn.send(head("GET", target, h2c)).await;
        conn.reset();
        let response = get(server.address, target, h2c).await;
        assert!((200..500).contains(&response.status), "{target}: {response:?}");
    }
    server.is_unharmed().await;
}

/// GHSA-r635-g3xr-vw7x (engine.io): requests of a polling session that overlap were left open.
#[tokio::test]
async fn requests_that_overlap_are_all_answered() {
    let server = echoing().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut first = poller.pending().await;
    let mut open = Vec::new();
    for _ in 0..50 {
        open.push(poller.pending().await);
    }
    // The session ends by it, and nobody waits for anything any more.
    assert!(within(first.response()).await.status < 500);
    for mut conn in open {
        assert!(within(conn.response()).await.status < 500);
    }
    // Two bodies at once, of which the first never comes whole.
    let poller = server.poller().await;
    let mut slow = Conn::open(server.address).await;
    let length = "Content-Length: 100\r\nContent-Type: text/plain\r\n";
    slow.send(head("POST", &poller.target(), length)).await;
    slow.send("4").await;
    let mut others = Vec::new();
    for _ in 0..50 {
        let mut other = Conn::open(server.address).await;
        other.send(head("POST", &poller.target(), length)).await;
        other.send("x".repeat(100)).await;
        others.push(other);
    }
    for mut other in others {
        assert!(within(other.response()).await.status < 500);
    }
    drop(slow);
    server.is_unharmed().await;
}

/// socket.io#4136: clients that ask for the same new namespace while that is being decided.
#[tokio::test]
async fn clients_that_ask_at_once_are_in_one_namespace() {
    let io = Server::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&asked);
    let children = io.of_matching(move |_: Hello| {
        counts.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::task::yield_now().await;
            true
        }
    });
    children.on("say", async |me: Socket, text: String| me.everyone().emit("said", text));
    let server = start(io).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::open(server.address).await);
    }
    for client in &mut clients {
        client.send("0/new,").await;
    }
    for client in &mut clients {
        assert_eq!(client.next().await.kind, 0);
    }
    clients[0].send(r#"2/new,["say","hi"]"#).await;
    for client in &mut clients {
        assert_eq!(client.event().await, json!(["said", "hi"]));
    }
    assert!(asked.load(Ordering::SeqCst) >= 1);
    let frame = frame_bytes(Opcode::Ping, b"");
    clients[0].ws.conn.send(frame).await;
}

/// socket.io #2039, #2351, #2844, Flask-SocketIO #811: a page that is loaded anew quickly leaves sockets behind. It
/// leaves in the middle of an upgrade: its WebSocket ends, and no poll waits that would end with it.
#[tokio::test]
async fn a_page_that_is_left_while_it_upgrades_leaves_no_socket_behind() {
    let timeout = std::time::Duration::from_millis(300);
    let server = start(Server::builder().ping_timeout(timeout).build()).await;
    for probes in [false, true] {
        let poller = server.poller().await;
        poller.join().await;
        let mut probe = Ws::upgrade(server.address, &poller.upgrade_target()).await;
        if probes {
            probe.send_text("2probe").await;
            assert_eq!(probe.text().await, "3probe");
        }
        drop(probe);
        server.is_empty_again().await;
    }
}
