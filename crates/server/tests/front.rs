//! The server's own HTTP: requests that come in pieces, several at once, too slowly, or written so
//! that two readers might understand them differently; and what goes to the HTTP library instead.
//!
//! Times are those of a clock that stands still until everybody waits for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use roomful::{EmitError, Hello, Refusal, Server, Socket};
use roomful_proto::ws::frame::Opcode;
use support::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A server that echoes, and tells why sockets leave.
fn echo() -> (Server, mpsc::UnboundedReceiver<&'static str>) {
    let (gone, leaving) = mpsc::unbounded_channel();
    let io = Server::new();
    io.on("echo", async |_: Socket, text: String| text);
    io.on_disconnect(move |_: Socket, reason| {
        let _ = gone.send(reason.as_str());
        async {}
    });
    (io, leaving)
}

/// A stream in memory that the server serves; the task ends when it no longer does.
fn in_memory(io: &Server, buffer: usize) -> (Conn<DuplexStream>, JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(buffer);
    let io = io.clone();
    let serving = tokio::spawn(async move { io.serve_stream(theirs, None).await });
    (Conn::over(ours), serving)
}

/// Opens a polling session on this connection.
async fn open(conn: &mut Conn<DuplexStream>) -> String {
    conn.send(head("GET", POLLING, "")).await;
    let response = conn.response().await;
    let open: serde_json::Value = serde_json::from_str(&response.text()[1..]).unwrap();
    format!("{POLLING}&sid={}", open["sid"].as_str().unwrap())
}

// Odd requests are understood as the HTTP library understands them, or not at all.

/// The same server behind the HTTP library alone.
async fn behind_library(io: &Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().layer(io.layer());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Statuses of all answers until the connection ends.
async fn statuses(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut conn = Conn::open(address).await;
    conn.send(bytes).await;
    let mut statuses = Vec::new();
    while let Some(response) = conn.try_response().await {
        statuses.push(response.status);
    }
    statuses
}

/// Requests, each followed by one that asks for the end: where a reader takes another end for the
/// first one, it sees something else in the second.
#[tokio::test]
async fn odd_requests_mean_the_same_to_the_front_and_to_the_library() {
    let (io, _leaving) = echo();
    let server = start(io).await;
    let library = behind_library(&server.io).await;
    let target = format!("{POLLING}&sid=AAAAAAAAAAAAAAAAAAAA");
    let get = |rest: &str| format!("GET {target} HTTP/1.1\r\n{rest}");
    let post = |rest: &str| format!("POST {target} HTTP/1.1\r\nHost: x\r\n{rest}");
    let smuggled = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    let len = smuggled.len();
    let odd = [
        // Lengths.
        post(&format!("Content-Length: {len}\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: {len}\r\nContent-Length: {len}\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: 0\r\nContent-Length: {len}\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: {len}\r\nContent-Length: 0\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: +{len}\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: 0{len}\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: {len} \r\n\r\n{smuggled}")),
        post(&format!("Content-Length:\t{len}\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: {len},{len}\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: 0x10\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: \r\n\r\n{smuggled}")),
        post(&format!("Content-Length\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: 18446744073709551616\r\n\r\n{smuggled}")),
        post(&format!("Content_Length: {len}\r\n\r\n{smuggled}")),
        post(&format!("CONTENT-LENGTH: {len}\r\n\r\n{smuggled}")),
        post(&format!("\r\n{smuggled}")),
        get(&format!("Content-Length: {len}\r\n\r\n{smuggled}")),
        get(&format!("Content-Length: 0\r\n\r\n{smuggled}")),
        // Encodings.
        post(&format!("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        post(&format!(
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"
        )),
        post(&format!(
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        )),
        post(&format!("Transfer-Encoding: identity\r\nContent-Length: {len}\r\n\r\n{smuggled}")),
        post(&format!(
            "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"
        )),
        post(&format!("Transfer-Encoding:\r\nContent-Length: {len}\r\n\r\n{smuggled}")),
        post(&format!("Transfer-Encoding : chunked\r\nContent-Length: {len}\r\n\r\n{smuggled}")),
        post(&format!("Transfer-Encoding\x0b: chunked\r\nContent-Length: {len}\r\n\r\n{smuggled}")),
        post(&format!(
            "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n{smuggled}"
        )),
        get(&format!("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        // Lines.
        get(&format!("Host : x\r\n\r\n{smuggled}")),
        get(&format!(" Host: x\r\n\r\n{smuggled}")),
        get(&format!("Host: x\r\n folded\r\n\r\n{smuggled}")),
        get(&format!("Host: x\n\n{smuggled}")),
        get(&format!("Host: x\rX: y\r\n\r\n{smuggled}")),
        get(&format!("Host: x\r\r\n\r\n{smuggled}")),
        get(&format!("Host: a\0b\r\n\r\n{smuggled}")),
        get(&format!("Host: a\x7fb\r\n\r\n{smuggled}")),
        get(&format!(": x\r\n\r\n{smuggled}")),
        get(&format!("\u{e9}: x\r\n\r\n{smuggled}")),
        get(&format!("X: \u{e9}\r\n\r\n{smuggled}")),
        get(&format!("\r\n{smuggled}")),
        format!("\r\n\r\n{}", get(&format!("Host: x\r\n\r\n{smuggled}"))),
        // The first line.
        format!("GET {target} HTTP/1.0\r\n\r\n{smuggled}"),
        format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{smuggled}"),
        format!("GET {target} HTTP/1.2\r\n\r\n{smuggled}"),
        format!("GET {target} HTTP/2.0\r\n\r\n{smuggled}"),
        format!("GET  {target} HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET {target}  HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET\t{target} HTTP/1.1\r\n\r\n{smuggled}"),
        format!("get {target} HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET {target}#x HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET {target}\u{e9} HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET {target}<\"> HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET /socket.io/^`|?transport=polling HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET http://x{target} HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET /./{target} HTTP/1.1\r\n\r\n{smuggled}"),
        format!("GET * HTTP/1.1\r\n\r\n{smuggled}"),
        format!("OPTIONS * HTTP/1.1\r\n\r\n{smuggled}"),
        format!("CONNECT {target} HTTP/1.1\r\n\r\n{smuggled}"),
        format!("PUT {target} HTTP/1.1\r\nContent-Length: {len}\r\n\r\n{smuggled}"),
        // The end.
        get(&format!("Connection: close\r\n\r\n{smuggled}")),
        get(&format!("Connection: x, CLOSE\r\nConnection: keep-alive\r\n\r\n{smuggled}")),
        get(&format!("Connection: close-not\r\n\r\n{smuggled}")),
    ];
    for bytes in &odd {
        let bytes = bytes.clone() + &head("GET", "/last", "Connection: close\r\n");
        let ours = statuses(server.address, bytes.as_bytes()).await;
        let theirs = statuses(library, bytes.as_bytes()).await;
        assert_eq!(ours, theirs, "{bytes:?}");
    }
    server.is_unharmed().await;
}

#[tokio::test]
async fn what_is_behind_an_odd_request_is_not_read_by_two() {
    let (io, _leaving) = echo();
    let (mut conn, _serving) = in_memory(&io, 1 << 16);
    let target = open(&mut conn).await;
    // The second length says that the body is an event.
    let odd = head("POST", &target, "Content-Length: 2\r\nContent-Length: 60\r\n");
    conn.send(odd + "40" + &post(&target, "42[\"smuggled\"]")).await;
    assert_eq!(conn.response().await.status, 400);
    conn.ended().await;
}

// In pieces.

#[tokio::test]
async fn a_request_may_be_cut_anywhere() {
    let (io, _leaving) = echo();
    let (mut conn, _serving) = in_memory(&io, 1 << 16);
    let target = open(&mut conn).await;
    conn.send(post(&target, "40")).await;
    assert_eq!(conn.response().await.text(), "ok");
    conn.send(head("GET", &target, "")).await;
    assert!(conn.response().await.text().starts_with("40{"));
    let both = post(&target, "421[\"echo\",\"é\"]") + &head("GET", &target, "");
    for cut in 1..both.len() {
        let (one, two) = both.as_bytes().split_at(cut);
        conn.send(one).await;
        // On this one thread the server now reads all that is there.
        tokio::task::yield_now().await;
        conn.send(two).await;
        assert_eq!(conn.response().await.text(), "ok", "{cut}");
        assert_eq!(conn.response().await.text(), "431[\"é\"]", "{cut}");
    }
    for byte in both.as_bytes() {
        conn.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(conn.response().await.text(), "ok");
    assert_eq!(conn.response().await.text(), "431[\"é\"]");
}

#[tokio::test]
async fn a_head_is_as_long_as_it_may_be_and_no_longer() {
    let (io, _leaving) = echo();
    for (len, status) in [(8 * 1024, 200), (16 * 1024 - 1, 200), (17 * 1024, 431), (1 << 20, 431)] {
        for piece in [1 << 20, 4_000] {
            let (mut conn, _serving) = in_memory(&io, 1 << 21);
            let bare = head("GET", POLLING, "X: \r\n").len();
            let request = head("GET", POLLING, &format!("X: {}\r\n", "x".repeat(len - bare)));
            for piece in request.as_bytes().chunks(piece) {
                conn.send(piece).await;
                tokio::task::yield_now().await;
            }
            assert_eq!(conn.response().await.status, status, "{len} in {piece}");
        }
    }
}

// Several at once.

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_order() {
    let (io, _leaving) = echo();
    let (mut conn, _serving) = in_memory(&io, 1 << 20);
    let target = open(&mut conn).await;
    conn.send(post(&target, "40") + &head("GET", &target, "")).await;
    assert_eq!(conn.response().await.text(), "ok");
    assert!(conn.response().await.text().starts_with("40{"));
    let mut requests = String::new();
    for n in 0..200 {
        requests += &post(&target, &format!("421[\"echo\",\"{n}\"]"));
        requests += &head("GET", &target, "");
        requests += &head("GET", "/socket.io/?EIO=4", "");
    }
    conn.send(requests).await;
    for n in 0..200 {
        assert_eq!(conn.response().await.text(), "ok");
        assert_eq!(conn.response().await.text(), format!("431[\"{n}\"]"));
        assert_eq!(conn.response().await.status, 400);
    }
}

#[tokio::test]
async fn what_comes_behind_a_poll_waits_for_its_answer_and_is_bounded() {
    let (io, mut leaving) = echo();
    let (mut conn, _serving) = in_memory(&io, 1 << 10);
    let target = open(&mut conn).await;
    let (mut other, _serving) = in_memory(&io, 1 << 16);
    other.send(post(&target, "40")).await;
    assert_eq!(other.response().await.text(), "ok");
    conn.send(head("GET", &target, "")).await;
    assert!(conn.response().await.text().starts_with("40{"));
    // A poll, and behind it more than is kept.
    conn.send(head("GET", &target, "")).await;
    let (mut from, mut to) = tokio::io::split(conn.stream);
    let flood = head("GET", "/socket.io/?EIO=4", "").repeat(1_000);
    let flooding = tokio::spawn(async move { to.write_all(flood.as_bytes()).await.map(|()| to) });
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!flooding.is_finished());
    // Its answer lets go what waits.
    other.send(post(&target, "421[\"echo\",\"x\"]")).await;
    assert_eq!(other.response().await.text(), "ok");
    let mut all = Vec::new();
    while all.windows(12).filter(|twelve| twelve == b"HTTP/1.1 400").count() < 1_000 {
        assert_ne!(within(from.read_buf(&mut all)).await.unwrap(), 0);
    }
    assert!(String::from_utf8(all).unwrap().contains("431[\"x\"]HTTP/1.1 400"));
    drop((from, flooding));
    other.send(post(&target, "1")).await;
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
}

#[tokio::test]
async fn a_poll_with_requests_behind_it_can_still_be_given_up() {
    let (io, mut leaving) = echo();
    let (mut conn, _serving) = in_memory(&io, 1 << 16);
    let target = open(&mut conn).await;
    conn.send(post(&target, "40") + &head("GET", &target, "")).await;
    assert_eq!(conn.response().await.text(), "ok");
    assert!(conn.response().await.text().starts_with("40{"));
    conn.send(head("GET", &target, "") + &head("GET", &target, "")).await;
    drop(conn);
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_read_past() {
    let (io, _leaving) = echo();
    let (mut conn, _serving) = in_memory(&io, 1 << 16);
    let unknown = format!("{POLLING}&sid=none");
    let refused = head("POST", &unknown, "Content-Length: 100000\r\n");
    conn.send(refused).await;
    assert_eq!(conn.response().await.status, 400);
    conn.send("x".repeat(100_000) + &head("GET", POLLING, "")).await;
    assert_eq!(conn.response().await.status, 200);
}

#[tokio::test]
async fn a_client_that_asks_for_the_end_gets_its_answer_and_the_end() {
    let (io, _leaving) = echo();
    for wish in ["close", "keep-alive, Close"] {
        let (mut conn, serving) = in_memory(&io, 1 << 16);
        let last = head("GET", POLLING, &format!("Connection: {wish}\r\n"));
        conn.send(last + &head("GET", POLLING, "")).await;
        let response = conn.response().await;
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        conn.ended().await;
        assert_eq!(conn.input, b"");
        within(serving).await.unwrap();
    }
}

// To the HTTP library.

#[tokio::test]
async fn other_requests_go_to_the_library_with_all_that_is_behind_them() {
    let (io, _leaving) = echo();
    let server = start(io).await;
    for other in [
        head("GET", "/", ""),
        head("HEAD", "/socket.io/", "").replace("HEAD", "PATCH"),
        format!("GET {POLLING} HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let mut conn = Conn::open(server.address).await;
        conn.send(head("GET", POLLING, "") + &other + &head("GET", POLLING, "")).await;
        assert_eq!(conn.response().await.status, 200);
        conn.response().await;
        assert_eq!(conn.response().await.status, 200);
        // An upgrade there, with its first packets.
        let mut upgrade = upgrade_head(WEBSOCKET).into_bytes();
        upgrade.extend(frame_bytes(Opcode::Text, b"40"));
        upgrade.extend(frame_bytes(Opcode::Text, b"421[\"echo\",\"x\"]"));
        conn.send(upgrade).await;
        assert_eq!(conn.response().await.status, 101);
        let mut ws = Ws::over(conn);
        assert!(ws.text().await.starts_with("0{"));
        assert!(ws.text().await.starts_with("40{"));
        assert_eq!(ws.text().await, "431[\"x\"]");
        ws.close().await;
    }
}

#[tokio::test]
async fn a_service_beside_the_server_gets_its_requests_whole() {
    let (io, _leaving) = echo();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upper = axum::routing::post(async |body: String| body.to_uppercase());
    let router = axum::Router::new().route("/upper", upper);
    let server = io.clone();
    tokio::spawn(async move { server.serve_with(listener, router).await });
    let mut conn = Conn::open(address).await;
    let both = head("GET", POLLING, "") + &post("/upper", "shout");
    for (n, piece) in both.as_bytes().chunks(both.len() - 20).enumerate() {
        conn.send(piece).await;
        if n == 0 {
            assert_eq!(conn.response().await.status, 200);
        }
    }
    assert_eq!(conn.response().await.text(), "SHOUT");
    conn.send(post("/upper", "again")).await;
    assert_eq!(conn.response().await.text(), "AGAIN");
}

// Too slowly.

/// How long the server serves this stream.
async fn lasts(serving: JoinHandle<()>) -> Duration {
    let begin = Instant::now();
    serving.await.unwrap();
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_ends_in_time() {
    let (io, _leaving) = echo();
    let (_conn, serving) = in_memory(&io, 1 << 16);
    assert_eq!(lasts(serving).await.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_too_slowly_ends_in_time() {
    let (io, _leaving) = echo();
    let (mut conn, serving) = in_memory(&io, 1 << 16);
    let dripping = tokio::spawn(async move {
        for byte in head("GET", POLLING, "").bytes() {
            conn.send([byte]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        conn
    });
    assert_eq!(lasts(serving).await.as_secs(), 10);
    assert_eq!(dripping.await.unwrap().try_response().await.map(|r| r.status), None);
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_ends_in_time_after_its_last_answer() {
    let (io, _leaving) = echo();
    let (mut conn, serving) = in_memory(&io, 1 << 16);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        conn.send(head("GET", "/socket.io/?EIO=4", "")).await;
        assert_eq!(conn.response().await.status, 400);
    }
    assert_eq!(lasts(serving).await.as_secs(), 180);
}

/// Behind the HTTP library too, in its own way.
#[tokio::test(start_paused = true)]
async fn an_idle_stream_lasts_as_long_as_it_is_set_to_in_both_parsers() {
    for odd in ["", "Content-Length: 0\r\n"] {
        let io = Server::builder().keep_alive_timeout(Duration::from_secs(120)).build();
        let (mut conn, serving) = in_memory(&io, 1 << 16);
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            conn.send(head("GET", "/socket.io/?EIO=4", odd)).await;
            assert_eq!(conn.response().await.status, 400);
            tokio::time::sleep(Duration::from_secs(100)).await;
            conn.send(head("GET", "/socket.io/?EIO=4", odd)).await;
            assert_eq!(conn.response().await.status, 400);
        }
        // The library says goodbye, and is answered here by nobody.
        let lasted = lasts(serving).await.as_secs();
        assert!([120, 125].contains(&lasted), "{lasted} s");
        assert_eq!(conn.try_response().await.map(|answer| answer.status), None);
    }
}

/// The time for a head begins with its first byte, however long the connection may be idle.
#[tokio::test(start_paused = true)]
async fn a_later_head_that_comes_too_slowly_ends_in_time_in_both_parsers() {
    for odd in ["", "Content-Length: 0\r\n"] {
        let (io, _leaving) = echo();
        let (mut conn, serving) = in_memory(&io, 1 << 16);
        conn.send(head("GET", "/socket.io/?EIO=4", odd)).await;
        assert_eq!(conn.response().await.status, 400);
        tokio::time::sleep(Duration::from_secs(40)).await;
        let dripping = tokio::spawn(async move {
            for byte in head("GET", POLLING, "").bytes() {
                conn.send([byte]).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            conn
        });
        assert_eq!(lasts(serving).await.as_secs(), 10);
        dripping.abort();
    }
}

/// In a body each 64 KiB have their time, so that a slow line may bring what is large.
#[tokio::test(start_paused = true)]
async fn a_large_body_on_a_slow_line_is_taken_in_both_parsers() {
    const LEN: usize = 900_000;
    for odd in ["", "Expect: 100-continue\r\n"] {
        let (io, _leaving) = echo();
        let (mut conn, serving) = in_memory(&io, 1 << 16);
        let target = open(&mut conn).await;
        conn.send(post(&target, "40") + &head("GET", &target, "")).await;
        assert_eq!(conn.response().await.text(), "ok");
        conn.response().await;
        let body = format!("421[\"echo\",\"{}\"]", "x".repeat(LEN));
        let headers = format!("{odd}Content-Length: {}\r\n", body.len());
        conn.send(head("POST", &target, &headers)).await;
        if !odd.is_empty() {
            assert_eq!(conn.response_head().await, 100);
        }
        // 4 KB a second: 225 s, in which the session would end for its silence.
        for part in body.as_bytes().chunks(4_000) {
            conn.send(part).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(conn.response().await.text(), "ok");
        conn.send(head("GET", &target, "")).await;
        let answer = conn.response().await;
        assert!(answer.text().ends_with("\"]"), "{} bytes", answer.body.len());
        assert!(!serving.is_finished());
    }
}

/// A long answer to a poll that is taken slowly, but is taken, keeps its session alive.
#[tokio::test(start_paused = true)]
async fn a_poll_whose_answer_is_taken_slowly_keeps_its_session_in_both_parsers() {
    const LEN: usize = 900_000;
    for odd in ["", "Content-Length: 0\r\n"] {
        let (io, _leaving) = echo();
        let (mut conn, serving) = in_memory(&io, 1 << 12);
        let target = open(&mut conn).await;
        conn.send(post(&target, "40") + &head("GET", &target, odd)).await;
        assert_eq!(conn.response().await.text(), "ok");
        conn.response().await;
        io.emit("large", "x".repeat(LEN));
        conn.send(head("GET", &target, odd)).await;
        let mut taken = Vec::new();
        while !taken.ends_with(b"\"]") {
            let mut part = [0; 4_096];
            let len = conn.stream.read(&mut part).await.unwrap();
            taken.extend_from_slice(&part[..len]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(taken.len() > LEN);
        // The ping has waited meanwhile.
        conn.send(head("GET", &target, odd)).await;
        assert_eq!(conn.response().await.text(), "2");
        conn.send(post(&target, "3")).await;
        assert_eq!(conn.response().await.text(), "ok");
        assert!(!serving.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_too_slowly_is_408_and_the_end() {
    let (io, mut leaving) = echo();
    let (mut conn, serving) = in_memory(&io, 1 << 16);
    let target = open(&mut conn).await;
    conn.send(post(&target, "40") + &head("GET", &target, "")).await;
    assert_eq!(conn.response().await.text(), "ok");
    assert!(conn.response().await.text().starts_with("40{"));
    conn.send(head("POST", &target, "Content-Length: 9\r\n") + "42[").await;
    // Behind the answer it is waited for 5 s, so that whoever is still sending can read it.
    assert_eq!(lasts(serving).await.as_secs(), 35);
    let response = conn.response().await;
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    assert_eq!(leaving.recv().await, Some("transport error"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_its_answer_is_dropped_in_time() {
    let (io, _leaving) = echo();
    // Room for a part of the answer.
    let (mut conn, serving) = in_memory(&io, 64);
    let request = head("GET", POLLING, "");
    let sent = tokio::spawn(async move {
        conn.stream.write_all(request.as_bytes()).await.unwrap();
        conn
    });
    // The answer, and then the end of the stream, which here cannot stall.
    assert_eq!(lasts(serving).await.as_secs(), 30);
    drop(sent);
}

/// The HTTP library, to which requests go that are written in an unusual way, has no such timer.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_an_unusual_answer_is_dropped_in_time() {
    let (io, _leaving) = echo();
    let (mut conn, serving) = in_memory(&io, 64);
    let request = head("GET", POLLING, "Content-Length: 0\r\n");
    let sent = tokio::spawn(async move {
        conn.stream.write_all(request.as_bytes()).await.unwrap();
        conn
    });
    assert_eq!(lasts(serving).await.as_secs(), 30);
    drop(sent);
}

// Streams of any kind.

#[tokio::test]
async fn a_websocket_over_a_stream_in_memory_lives_on() {
    let (io, mut leaving) = echo();
    let (ours, theirs) = tokio::io::duplex(1 << 12);
    let peer: SocketAddr = "192.0.2.1:5".parse().unwrap();
    let (met, mut meeting) = mpsc::unbounded_channel();
    io.of("/who").connect(move |hello: Hello| {
        met.send(hello.address()).unwrap();
        async { Ok::<_, Refusal>(()) }
    });
    let mut conn = Conn::over(ours);
    let mut bytes = upgrade_head(WEBSOCKET).into_bytes();
    bytes.extend(frame_bytes(Opcode::Text, b"40"));
    conn.send(bytes).await;
    within(io.serve_stream(theirs, Some(peer))).await;
    assert_eq!(conn.response().await.status, 101);
    let mut ws = Ws::over(conn);
    assert!(ws.text().await.starts_with("0{"));
    assert!(ws.text().await.starts_with("40{"));
    ws.send_text("421[\"echo\",\"x\"]").await;
    assert_eq!(ws.text().await, "431[\"x\"]");
    ws.send_text("40/who,").await;
    assert!(ws.text().await.starts_with("40/who,{"));
    assert_eq!(within(meeting.recv()).await, Some(Some(peer)));
    ws.close().await;
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
}

#[tokio::test]
async fn a_server_that_closes_ends_streams_of_any_kind() {
    let (io, _leaving) = echo();
    let (mut idle, idling) = in_memory(&io, 1 << 16);
    let (mut half, halving) = in_memory(&io, 1 << 16);
    half.send("GET /socket.io/?E").await;
    let (mut polling, serving) = in_memory(&io, 1 << 16);
    let target = open(&mut polling).await;
    polling.send(head("GET", &target, "")).await;
    tokio::task::yield_now().await;
    within(io.close()).await;
    let response = polling.response().await;
    assert_eq!((response.status, response.text()), (200, "1"));
    for (conn, serving) in [(&mut idle, idling), (&mut half, halving), (&mut polling, serving)] {
        within(serving).await.unwrap();
        conn.ended().await;
        assert_eq!(conn.input, b"");
    }
}

/// The runtime lets a task do so much at once, and then nothing more for it is ready, a timer neither.
/// One of these bursts ends just there, before the timer was ever set.
#[tokio::test(start_paused = true)]
async fn a_burst_that_uses_up_the_turn_of_its_task_does_not_stop_the_head_timeout() {
    let io = Server::new();
    for count in 30..140 {
        let (mut client, stream) = tokio::io::duplex(64 * 1024);
        let burst = "GET /socket.io/?x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count);
        client.write_all(burst.as_bytes()).await.unwrap();
        let io = io.clone();
        tokio::spawn(async move { io.serve_stream(stream, None).await });
        let mut answers = Vec::new();
        let ended =
            tokio::time::timeout(Duration::from_secs(200), client.read_to_end(&mut answers));
        assert!(ended.await.is_ok(), "after {count} requests the connection stays for good");
    }
}

/// Each is a turn of its session, and one burst may bring hundreds.
#[tokio::test]
async fn between_bodies_that_came_together_others_get_their_turn() {
    const BODIES: usize = 8;
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let io = Server::new();
    io.on("count", move |_: Socket| {
        count.fetch_add(1, Ordering::Relaxed);
        async {}
    });
    let (mut conn, _serving) = in_memory(&io, 1 << 16);
    let target = open(&mut conn).await;
    conn.send(post(&target, "40")).await;
    assert_eq!(conn.response().await.text(), "ok");
    let other = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.last() != Some(&BODIES) {
            seen.push(handled.load(Ordering::Relaxed));
            tokio::task::yield_now().await;
        }
        seen
    });
    conn.send(post(&target, r#"42["count"]"#).repeat(BODIES)).await;
    let seen = within(other).await.unwrap();
    assert!(seen.iter().any(|count| (1..BODIES).contains(count)), "{seen:?}");
    for _ in 0..BODIES {
        assert_eq!(conn.response().await.text(), "ok");
    }
}

/// A stream that sends something when it is dropped, as one of the user's may.
struct LastWords {
    stream: DuplexStream,
    socket: Arc<Mutex<Option<Socket>>>,
    said: mpsc::UnboundedSender<Result<(), EmitError>>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let socket = self.socket.lock().unwrap().take();
        let _ = self.said.send(socket.unwrap().try_emit("gone", ()));
    }
}

impl AsyncRead for LastWords {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, to)
    }
}

impl AsyncWrite for LastWords {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// It would wait for a lock that its own thread holds.
#[test]
fn a_stream_that_is_dropped_with_its_session_may_send_to_it() {
    let (said, mut saying) = mpsc::unbounded_channel();
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let joined = Arc::new(Mutex::new(None));
            let keep = Arc::clone(&joined);
            let io = Server::new();
            io.on_connect(move |me: Socket| {
                *keep.lock().unwrap() = Some(me);
                async {}
            });
            let (mut polling, _serving) = in_memory(&io, 1 << 16);
            let target = open(&mut polling).await;
            polling.send(post(&target, "40")).await;
            assert_eq!(polling.response().await.text(), "ok");
            let (mut ours, theirs) = tokio::io::duplex(1 << 16);
            let upgrade = upgrade_head(&target.replace("polling", "websocket"));
            ours.write_all(upgrade.as_bytes()).await.unwrap();
            let stream = LastWords { stream: theirs, socket: joined, said };
            // One poll hands the WebSocket over, and the session's task does not get to take it up.
            let mut serving = pin!(io.serve_stream(stream, None));
            let over = poll_fn(|cx| Poll::Ready(serving.as_mut().poll(cx).is_ready())).await;
            assert!(over);
        });
        drop(runtime);
        done.send(()).unwrap();
    });
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(()), "the stream never came to its end");
    assert!(matches!(saying.try_recv(), Ok(Err(EmitError::Gone))));
}
