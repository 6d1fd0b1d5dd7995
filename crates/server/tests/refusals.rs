//! Refusals that arrive: a request is answered before its body was read, its client sends all of that
//! first, as proxies do, and still finds the answer behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use roomful::{Server, Socket};
use support::*;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

/// Sizes of bodies that nobody wants, all of them more than a stream takes in one piece.
const SIZES: [usize; 4] = [20_000, 300_000, 1_500_000, 5_000_000];

/// How a body is sent.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks,
}

/// How a request says what is to become of its connection.
const CONNECTIONS: [&str; 3] = ["", "Connection: close\r\n", "Connection: keep-alive\r\n"];

/// The request, whole.
fn with_body(target: &str, headers: &str, len: usize, framing: Framing) -> Vec<u8> {
    let body = "x".repeat(len);
    match framing {
        Framing::Length => {
            head("POST", target, &format!("{headers}Content-Length: {len}\r\n")) + &body
        }
        Framing::Chunks => {
            let head = head("POST", target, &format!("{headers}Transfer-Encoding: chunked\r\n"));
            format!("{head}{len:x}\r\n{body}\r\n0\r\n\r\n")
        }
    }
    .into_bytes()
}

/// Sends all of a request, which must go, and reads its answer only then.
async fn status_behind(address: SocketAddr, request: &[u8]) -> u16 {
    let mut conn = Conn::open(address).await;
    let sent = within(conn.stream.write_all(request)).await;
    assert!(sent.is_ok(), "the connection broke while the body was sent: {sent:?}");
    // Long after it was answered, and maybe closed.
    tokio::task::yield_now().await;
    conn.response().await.status
}

async fn serve() -> (Running, [SocketAddr; 2]) {
    let io = Server::new();
    io.on("echo", async |_: Socket, text: String| text);
    let server = start(io).await;
    let ways = in_both_ways(&server).await;
    (server, ways)
}

/// Each way to send a body, in each way to serve, is answered with that status.
async fn all_are_answered(target: &str, headers: &str, status: u16, sizes: &[usize]) {
    let (_server, ways) = serve().await;
    for address in ways {
        for connection in CONNECTIONS {
            for framing in [Framing::Length, Framing::Chunks] {
                for &len in sizes {
                    let headers = format!("{headers}{connection}");
                    let request = with_body(target, &headers, len, framing);
                    let found = status_behind(address, &request).await;
                    assert_eq!(found, status, "{len} bytes, {framing:?}, {connection:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_for_an_unknown_session_is_read_past_and_400_arrives() {
    all_are_answered(&format!("{POLLING}&sid=unknown"), "", 400, &SIZES).await;
}

#[tokio::test]
async fn a_body_of_a_refused_origin_is_read_past_and_403_or_400_arrives() {
    let headers = "Origin: https://elsewhere.example\r\n";
    let expected = get(serve().await.0.address, POLLING, headers).await.status;
    all_are_answered(POLLING, headers, expected, &SIZES).await;
}

#[tokio::test]
async fn a_handshake_with_a_body_is_read_past_and_400_arrives() {
    all_are_answered(POLLING, "", 400, &SIZES).await;
}

/// The HTTP library of axum resets the connection when it has answered before the body was read.
#[tokio::test]
async fn a_body_of_a_request_without_a_host_or_with_two_is_read_past_and_400_arrives() {
    let (_server, ways) = serve().await;
    for address in ways {
        for hosts in ["", "Host: a\r\nHost: b\r\n"] {
            for framing in [Framing::Length, Framing::Chunks] {
                for len in SIZES {
                    let request = with_body(POLLING, "Connection: close\r\n", len, framing);
                    let request = String::from_utf8(request).unwrap();
                    let request = request.replacen("Host: localhost\r\n", hosts, 1);
                    let found = status_behind(address, request.as_bytes()).await;
                    assert_eq!(found, 400, "{len} bytes, {framing:?}, {hosts:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_for_nothing_is_read_past_and_404_arrives() {
    let server = start(Server::new()).await;
    for len in SIZES {
        let request = with_body("/elsewhere", "Connection: close\r\n", len, Framing::Length);
        assert_eq!(status_behind(server.address, &request).await, 404);
    }
}

/// What nginx says if nobody tells it otherwise.
#[tokio::test]
async fn a_body_over_http_1_0_is_read_past_and_its_refusal_arrives() {
    let (_server, ways) = serve().await;
    for address in ways {
        for len in SIZES {
            let target = format!("{POLLING}&sid=unknown");
            let request = with_body(&target, "Connection: close\r\n", len, Framing::Length);
            let request = String::from_utf8(request).unwrap().replace("HTTP/1.1", "HTTP/1.0");
            assert_eq!(status_behind(address, request.as_bytes()).await, 400, "{len} bytes");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_read_past_413_arrives_and_the_session_goes_on() {
    let (_server, ways) = serve().await;
    for address in ways {
        for connection in CONNECTIONS {
            for framing in [Framing::Length, Framing::Chunks] {
                let poller = Poller::open(address).await;
                poller.join().await;
                for len in [1_000_001, 1_500_000, 5_000_000] {
                    let request = with_body(&poller.target(), connection, len, framing);
                    let found = status_behind(address, &request).await;
                    assert_eq!(found, 413, "{len} bytes, {framing:?}, {connection:?}");
                }
                assert_eq!(poller.post("421[\"echo\",\"x\"]").await.text(), "ok");
                assert_eq!(poller.get().await.text(), "431[\"x\"]");
            }
        }
    }
}

#[tokio::test]
async fn a_second_body_at_the_same_time_is_read_past_and_400_arrives() {
    let (server, ways) = serve().await;
    for address in ways {
        let poller = Poller::open(address).await;
        let mut first = Conn::open(address).await;
        first.send(head("POST", &poller.target(), "Content-Length: 10\r\n") + "4").await;
        // The first is there when it is answered 100, or else when the second is refused.
        let request =
            with_body(&poller.target(), "Connection: close\r\n", 900_000, Framing::Length);
        let mut refused = false;
        while !refused {
            let found = status_behind(address, &request).await;
            refused = found == 400;
        }
        drop(first);
    }
    server.is_unharmed().await;
}

/// Those of the HTTP library: what it cannot read, and heads that are too long.
#[tokio::test]
async fn refusals_of_the_http_library_arrive_too() {
    let server = start(Server::new()).await;
    for len in SIZES {
        let odd = head("POST", POLLING, "Content-Length: x\r\n") + &"x".repeat(len);
        assert_eq!(status_behind(server.address, odd.as_bytes()).await, 400);
        let long = head("GET", POLLING, &format!("Long: {}\r\n", "x".repeat(len)));
        assert_eq!(status_behind(server.address, long.as_bytes()).await, 431);
    }
}

/// Where the client asks first, it is told at once, and sends nothing.
#[tokio::test]
async fn who_asks_whether_a_body_may_come_is_told_that_it_may_not() {
    let (_server, ways) = serve().await;
    let target = format!("{POLLING}&sid=unknown");
    let expects = "Expect: 100-continue\r\nContent-Length: 5000000\r\n";
    for address in ways {
        assert_eq!(request(address, head("POST", &target, expects)).await.status, 400);
    }
}

#[tokio::test]
async fn a_body_without_end_is_read_past_only_up_to_the_limit() {
    let server = start(Server::new()).await;
    let mut conn = Conn::open(server.address).await;
    let head = head(
        "POST",
        &format!("{POLLING}&sid=unknown"),
        "Connection: close\r\nContent-Length: 999999999\r\n",
    );
    conn.send(head).await;
    let mut writer = conn.writer();
    let flood = tokio::spawn(async move {
        let part = vec![b'x'; 1_000_000];
        let mut sent = 0;
        while writer.write_all(&part).await.is_ok() {
            sent += part.len();
        }
        sent
    });
    assert_eq!(conn.response().await.status, 400, "long before its end");
    let sent = within(flood).await.unwrap();
    // Once read past before the answer, once behind it, and what the system holds.
    assert!((32_000_000..90_000_000).contains(&sent), "{sent} bytes");
    until("cut", || server.stats().lingers_cut == 1).await;
}

#[tokio::test(start_paused = true)]
async fn who_stops_in_the_middle_of_an_unwanted_body_is_waited_for_5_seconds() {
    let io = Server::new();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn({
        let io = io.clone();
        async move { io.serve_stream(theirs, None).await }
    });
    let mut conn = Conn::over(ours);
    let target = format!("{POLLING}&sid=unknown");
    let refused = "Connection: close\r\nContent-Length: 100000\r\n";
    conn.send(head("POST", &target, refused) + &"x".repeat(1_000)).await;
    assert_eq!(conn.response().await.status, 400);
    let began = Instant::now();
    serving.await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert_eq!(io.stats().lingers_cut, 0, "nothing more came");
}

/// A server that closes does not wait for who still sends.
#[tokio::test(start_paused = true)]
async fn who_sends_on_is_waited_for_one_second_when_the_server_hangs_up() {
    let io = Server::new();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn({
        let io = io.clone();
        async move { io.serve_stream(theirs, None).await }
    });
    let mut conn = Conn::over(ours);
    let target = format!("{POLLING}&sid=unknown");
    conn.send(head("POST", &target, "Connection: close\r\nContent-Length: 100000\r\n")).await;
    assert_eq!(conn.response().await.status, 400);
    let dripping = tokio::spawn(async move {
        loop {
            conn.send("x").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let began = Instant::now();
    io.close().await;
    assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
    serving.await.unwrap();
    dripping.abort();
}
