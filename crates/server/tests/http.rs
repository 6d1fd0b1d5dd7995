//! HTTP to the byte: statuses, headers and bodies of the handshake, of polling, and of the bundle.
//!
//! Not here, with the reason: a head that comes byte by byte, since its 10 s are not a setting and
//! a test would have to wait for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::time::Duration;

use roomful::{Hello, Origins, Refusal, Server, Socket, Transports};
use support::*;
use tokio::sync::mpsc;

async fn server() -> Running {
    start(Server::new()).await
}

/// A server whose `/` tells when sockets leave, and why.
async fn watched() -> (Running, mpsc::UnboundedReceiver<&'static str>) {
    let (gone, leaving) = mpsc::unbounded_channel();
    let io = Server::new();
    io.on_disconnect(move |_: Socket, reason| {
        gone.send(reason.as_str()).unwrap();
        async {}
    });
    (start(io).await, leaving)
}

/// A refusal as HTTP.
#[track_caller]
fn check_refusal(response: &Response, status: u16, code: u8, message: &str) {
    let json = format!(r#"{{"code":{code},"message":"{message}"}}"#);
    assert_eq!((response.status, response.text()), (status, json.as_str()));
    assert_eq!(response.header("content-type"), Some("application/json"));
}

/// A refusal of an upgrade.
#[track_caller]
fn check_refused_upgrade(response: &Response, status: u16, message: &str) {
    assert_eq!((response.status, response.text()), (status, message));
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(response.header("connection"), Some("close"));
}

#[track_caller]
fn check_empty(response: &Response, status: u16) {
    assert_eq!((response.status, response.text()), (status, ""));
}

/// The client learns what was wrong.
fn check_too_large(response: &Response) {
    let told = r#"{"code":3,"message":"Payload too large"}"#;
    assert_eq!((response.status, response.text()), (413, told));
}

// The table of results.

#[tokio::test]
async fn the_open_packet_has_five_keys_in_order_and_nothing_beside_it() {
    let server = server().await;
    let response = get(server.address, POLLING, "").await;
    let text = response.text();
    let (head, tail) = text.split_at(r#"0{"sid":""#.len());
    let (sid, tail) = tail.split_at(20);
    assert_eq!(head, r#"0{"sid":""#);
    assert!(sid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    assert_eq!(
        tail,
        r#"","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
    );
}

#[tokio::test]
async fn get_ok_is_200_plain_utf8_with_length_and_no_store() {
    let server = server().await;
    let response = get(server.address, POLLING, "").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let len = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(len.as_str()));
    assert_eq!(response.header("set-cookie"), None);
}

#[tokio::test]
async fn post_ok_is_200_html_ok() {
    let server = server().await;
    let response = server.poller().await.post("40").await;
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(response.header("content-length"), Some("2"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_verify_failure_on_http_is_400_json() {
    let server = server().await;
    let response = get(server.address, "/socket.io/?EIO=4", "").await;
    check_refusal(&response, 400, 0, "Transport unknown");
    let response = get(server.address, "/socket.io/?transport=polling", "").await;
    check_refusal(&response, 400, 5, "Unsupported protocol version");
    assert_eq!(server.stats().requests_refused, 2);
}

#[tokio::test]
async fn a_verify_failure_on_an_upgrade_is_400_text_and_close() {
    let server = server().await;
    let mut conn = Conn::open(server.address).await;
    conn.send(upgrade_head(&format!("{WEBSOCKET}&sid=none"))).await;
    check_refused_upgrade(&conn.response().await, 400, "Session ID unknown");
    conn.ended().await;
}

#[tokio::test]
async fn a_handshake_that_is_not_get_is_code_2() {
    let server = server().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let head = head(method, POLLING, "Content-Length: 0\r\n");
        let response = request(server.address, head).await;
        check_refusal(&response, 400, 2, "Bad handshake method");
    }
}

#[tokio::test]
async fn transport_websocket_without_an_upgrade_is_code_3() {
    let server = server().await;
    let response = get(server.address, WEBSOCKET, "").await;
    check_refusal(&response, 400, 3, "Bad request");
}

#[tokio::test]
async fn transport_polling_with_an_upgrade_is_refused_as_an_upgrade() {
    let server = server().await;
    let response = request(server.address, upgrade_head(POLLING)).await;
    check_refused_upgrade(&response, 400, "Bad request");
}

#[tokio::test]
async fn a_sid_with_another_transport_and_no_upgrade_is_code_3() {
    let server = server().await;
    let poller = server.poller().await;
    let target = poller.target().replace("polling", "websocket");
    check_refusal(&get(server.address, &target, "").await, 400, 3, "Bad request");
    poller.join().await;
}

#[tokio::test]
async fn a_sid_of_a_websocket_session_cannot_be_polled() {
    let server = server().await;
    let mut ws = server.ws().await;
    let open: serde_json::Value = serde_json::from_str(&ws.text().await[1..]).unwrap();
    let target = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
    let response = get(server.address, &target, "").await;
    check_refusal(&response, 400, 3, "Bad request");
    let response = request(server.address, post(&target, "40")).await;
    check_refusal(&response, 400, 3, "Bad request");
    ws.send_text("40").await;
    assert!(ws.text().await.starts_with("40{"));
}

#[tokio::test]
async fn an_unknown_sid_is_code_1() {
    let server = server().await;
    for sid in ["none", "", "AAAAAAAAAAAAAAAAAAAA", "constructor", "__proto__"] {
        let target = format!("{POLLING}&sid={sid}");
        let response = get(server.address, &target, "").await;
        check_refusal(&response, 400, 1, "Session ID unknown");
    }
}

#[tokio::test]
async fn transport_webtransport_over_http_is_code_0() {
    let server = server().await;
    let target = "/socket.io/?EIO=4&transport=webtransport";
    check_refusal(&get(server.address, target, "").await, 400, 0, "Transport unknown");
}

#[tokio::test]
async fn a_sid_with_another_method_is_500_empty_and_harmless() {
    let server = server().await;
    let poller = server.poller().await;
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let head = head(method, &poller.target(), "Content-Length: 0\r\n");
        check_empty(&request(server.address, head).await, 500);
    }
    poller.join().await;
}

#[tokio::test]
async fn of_two_polls_at_once_one_is_400_the_other_1_and_the_session_ends() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let (mut one, mut two) = (poller.pending().await, poller.pending().await);
    let (one, two) = tokio::join!(one.response(), two.response());
    // Which of them came first, nobody knows.
    let (first, second) = if one.status == 200 { (one, two) } else { (two, one) };
    assert_eq!((first.status, first.text()), (200, "1"));
    check_refusal(&second, 400, 3, "two polls at once");
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    check_refusal(&poller.get().await, 400, 1, "Session ID unknown");
    server.is_unharmed().await;
}

#[tokio::test]
async fn of_two_bodies_at_once_both_are_400_and_the_session_ends() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut slow = Conn::open(server.address).await;
    // The 100 says that the body is being received.
    let headers = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    slow.send(head("POST", &poller.target(), headers)).await;
    while !slow.input.ends_with(b"\r\n\r\n") {
        assert!(slow.fill().await);
    }
    assert!(slow.input.starts_with(b"HTTP/1.1 100 "));
    slow.input.clear();
    check_refusal(&poller.post("42[\"x\"]").await, 400, 3, "two bodies at once");
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    slow.send("42[1]").await;
    check_refusal(&slow.response().await, 400, 3, "no session that polls any more");
    server.is_unharmed().await;
}

/// Its end is seen at once, and not when its task has come to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_just_ended_is_unknown_to_the_next_poll() {
    let server = start(Server::new()).await;
    for _ in 0..300 {
        let poller = server.poller().await;
        let mut conn = Conn::open(server.address).await;
        let octets = "Content-Length: 1\r\nContent-Type: application/octet-stream\r\n";
        let broken = head("POST", &poller.target(), octets) + "x";
        // Both in one segment: the poll is read when the body was just refused.
        conn.send(broken + &head("GET", &poller.target(), "")).await;
        assert_eq!(conn.response().await.status, 400);
        check_refusal(&conn.response().await, 400, 1, "Session ID unknown");
    }
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_body_of_octets_is_400_and_the_session_ends() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let headers = "Content-Type: application/octet-stream\r\nContent-Length: 2\r\n";
    let octets = head("POST", &poller.target(), headers) + "40";
    let answer = request(server.address, octets).await;
    check_refusal(&answer, 400, 3, "body of the wrong kind");
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_delivers_nothing_and_the_session_lives() {
    let io = Server::builder().payload_bytes_max(1_000).build();
    io.on("size", async |_: Socket, text: String| text.len());
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    let body = |len: usize| format!("421[\"size\",\"{}\"]", "x".repeat(len));
    // With a length, so that it is refused unread.
    check_too_large(&poller.post(&body(1_000)).await);
    // Without one.
    let chunk = body(600);
    let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
    let chunked = head("POST", &poller.target(), "Transfer-Encoding: chunked\r\n");
    let chunked = format!("{chunked}{chunk}{chunk}0\r\n\r\n");
    check_too_large(&request(server.address, chunked).await);
    assert_eq!(server.stats().bodies_refused, 2);
    // Exactly as large as may be.
    let fits = body(1_000 - body(0).len());
    assert_eq!(fits.len(), 1_000);
    assert_eq!(poller.post(&fits).await.text(), "ok");
    assert_eq!(poller.get().await.text(), format!("431[{}]", 1_000 - body(0).len()));
}

#[tokio::test]
async fn a_parse_error_in_a_body_is_400_and_the_session_ends() {
    let (server, mut leaving) = watched().await;
    let engine = "malformed engine packet";
    for (body, told) in [
        ("", engine),
        ("x", engine),
        ("\x1e", engine),
        ("4\x1e", "unknown packet type"),
        ("b?", "broken base64"),
        ("4\x1e\x1e40", "unknown packet type"),
    ] {
        let poller = server.poller().await;
        poller.join().await;
        let mut pending = poller.pending().await;
        check_refusal(&poller.post(body).await, 400, 3, told);
        // It may come in before or after the body.
        let polled = pending.response().await;
        assert!(matches!(
            (polled.status, polled.text()),
            (200, "1") | (400, "" | "{\"code\":1,\"message\":\"Session ID unknown\"}")
        ));
        assert_eq!(within(leaving.recv()).await, Some("parse error"), "{body:?}");
    }
    assert_eq!(server.stats().violations, 6);
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_body_that_is_not_utf8_is_400_and_the_session_ends() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut bytes = head("POST", &poller.target(), "Content-Length: 2\r\n").into_bytes();
    bytes.extend(b"4\xff");
    check_refusal(&request(server.address, bytes).await, 400, 3, "not UTF-8");
    assert_eq!(within(leaving.recv()).await, Some("parse error"));
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_poll_that_is_given_up_ends_the_session() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    drop(poller.pending().await);
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    check_refusal(&poller.get().await, 400, 1, "Session ID unknown");
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_body_that_is_given_up_ends_the_session() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut conn = Conn::open(server.address).await;
    let head = head("POST", &poller.target(), "Content-Length: 100\r\n");
    conn.send(head + "42[").await;
    drop(conn);
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    check_refusal(&poller.get().await, 400, 1, "Session ID unknown");
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_408_and_the_session_ends() {
    let (gone, mut leaving) = mpsc::unbounded_channel();
    let io = Server::builder().request_timeout(Duration::from_millis(100)).build();
    io.on_disconnect(move |_: Socket, reason| {
        gone.send(reason.as_str()).unwrap();
        async {}
    });
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    let mut conn = Conn::open(server.address).await;
    let head = head("POST", &poller.target(), "Content-Length: 100\r\n");
    conn.send(head + "42[").await;
    check_refusal(&conn.response().await, 408, 3, "body too slow");
    assert_eq!(server.stats().bodies_refused, 1);
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    server.is_unharmed().await;
}

#[tokio::test]
async fn post_1_answers_the_poll_with_6_and_the_session_is_gone() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut pending = poller.pending().await;
    let closed = poller.post("1").await;
    assert_eq!((closed.status, closed.text()), (200, "ok"));
    let polled = pending.response().await;
    // Where the body came in first, the poll finds no session.
    assert!(
        matches!((polled.status, polled.text()), (200, "6")) || polled.status == 400,
        "{polled:?}"
    );
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
    check_refusal(&poller.get().await, 400, 1, "Session ID unknown");
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_server_that_closes_while_a_poll_waits_answers_1() {
    let server = server().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut pending = poller.pending().await;
    // An event through the poll, then the next poll on the same connection: so it is there.
    server.emit("tick", ());
    assert_eq!(pending.response().await.text(), "42[\"tick\"]");
    pending.send(head("GET", &poller.target(), "")).await;
    let (polled, ()) = tokio::join!(pending.response(), server.close());
    assert_eq!((polled.status, polled.text()), (200, "1"));
    assert_eq!(server.stats().connections, 0);
}

#[tokio::test]
async fn a_session_without_a_poll_fetches_its_close_packet_from_a_closing_server() {
    let server = server().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut conn = Conn::open(server.address).await;
    conn.send(head("GET", "/", "")).await;
    assert_eq!(conn.response().await.status, 404);
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    until("closing", || server.is_empty()).await;
    conn.send(head("GET", &poller.target(), "")).await;
    let polled = conn.response().await;
    assert_eq!((polled.status, polled.text()), (200, "1"));
    within(closing).await.unwrap();
    conn.ended().await;
}

#[tokio::test]
async fn a_close_while_no_poll_waits_comes_with_the_next_poll() {
    let io = Server::new();
    io.on("bye", async |me: Socket| me.close());
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    assert_eq!(poller.post("42[\"bye\"]").await.text(), "ok");
    let mut texts = String::new();
    loop {
        let response = poller.get().await;
        if response.status != 200 {
            break;
        }
        texts += response.text();
        texts.push('|');
    }
    // First that the namespace is left, then that the session is closed.
    assert_eq!(texts.replace(['|', '\u{1e}'], " "), "41 1 ");
    server.is_unharmed().await;
}

#[tokio::test]
async fn what_was_sent_before_a_close_arrives_before_it_however_large() {
    let io = Server::builder().payload_bytes_max(10_000).build();
    io.on("bye", async |me: Socket| {
        for n in 0..5 {
            me.emit("part", (n, "x".repeat(6_000)));
        }
        me.close();
    });
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    assert_eq!(poller.post("42[\"bye\"]").await.text(), "ok");
    let mut packets = Vec::new();
    loop {
        let response = poller.get().await;
        if response.status != 200 {
            break;
        }
        let text = response.text().split('\u{1e}');
        packets.extend(text.map(|packet| packet.chars().take(11).collect::<String>()));
    }
    let parts = (0..5).map(|n| format!("42[\"part\",{n}"));
    let expected: Vec<_> = parts.chain(["41".to_owned(), "1".to_owned()]).collect();
    assert_eq!(packets, expected);
}

#[tokio::test]
async fn a_closing_server_answers_503_to_whoever_comes() {
    let server = server().await;
    let poller = server.poller().await;
    poller.join().await;
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    // One session still has to fetch its close packet.
    until("closing", || server.is_empty()).await;
    check_empty(&get(server.address, POLLING, "").await, 503);
    check_empty(&request(server.address, upgrade_head(WEBSOCKET)).await, 503);
    assert_eq!(poller.get().await.text(), "1");
    within(closing).await.unwrap();
    within(server.serving).await.unwrap();
}

#[tokio::test]
async fn a_closed_server_has_written_what_it_owes_and_hung_up() {
    let server = server().await;
    let mut idle = Conn::open(server.address).await;
    idle.send(head("GET", "/", "")).await;
    assert_eq!(idle.response().await.status, 404);
    let poller = server.poller().await;
    poller.join().await;
    let mut pending = poller.pending().await;
    let mut more = 0;
    while more < 20 {
        // A request that is answered behind the poll shows that the poll has come.
        assert_eq!(get(server.address, "/", "").await.status, 404);
        more += 1;
    }
    server.io.close().await;
    within(server.serving).await.unwrap();
    // All of this was sent before the server was closed.
    assert_eq!(pending.response().await.text(), "1");
    pending.ended().await;
    idle.ended().await;
}

// What a server is set to.

#[tokio::test]
async fn transports_that_are_off_are_unknown_and_not_offered() {
    let only = |transports| start(Server::builder().transports(transports).build());
    let polling = only(Transports::POLLING).await;
    let response = get(polling.address, POLLING, "").await;
    assert!(response.text().contains(r#""upgrades":[],"#), "{response:?}");
    let response = request(polling.address, upgrade_head(WEBSOCKET)).await;
    check_refused_upgrade(&response, 400, "Transport unknown");
    let websocket = only(Transports::WEBSOCKET).await;
    let response = get(websocket.address, POLLING, "").await;
    check_refusal(&response, 400, 0, "Transport unknown");
    assert!(websocket.ws().await.text().await.contains(r#""upgrades":[],"#));
}

#[tokio::test]
async fn one_connection_more_than_there_may_be_is_503_and_counted() {
    let server = start(Server::builder().connections_max(1).build()).await;
    let first = server.opened().await;
    let response = get(server.address, POLLING, "").await;
    check_refusal(&response, 503, 4, "Too many connections");
    let response = request(server.address, upgrade_head(WEBSOCKET)).await;
    check_refused_upgrade(&response, 503, "Too many connections");
    assert_eq!(server.stats().connections_refused, 2);
    drop(first);
    server.is_empty_again().await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn one_tcp_connection_more_than_may_speak_http_is_dropped_and_counted() {
    let server = start(Server::builder().http_connections_max(1).build()).await;
    let mut silent = Conn::open(server.address).await;
    silent.send(head("GET", "/nothing", "")).await;
    assert_eq!(silent.response().await.status, 404);
    Conn::open(server.address).await.ended().await;
    assert_eq!(server.stats().connections_refused, 1);
    // One that has become a WebSocket no longer speaks HTTP.
    silent.send(upgrade_head(WEBSOCKET)).await;
    assert_eq!(silent.response().await.status, 101);
    until("there is room again", || server.stats().connections == 1).await;
    assert_eq!(get(server.address, "/nothing", "").await.status, 404);
}

// Paths.

#[tokio::test]
async fn the_path_is_ours_with_and_without_a_slash_and_below() {
    let server = server().await;
    for path in ["/socket.io", "/socket.io/", "/socket.io/below/it"] {
        let target = format!("{path}?EIO=4&transport=polling");
        assert_eq!(get(server.address, &target, "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn other_paths_are_not_ours() {
    let server = server().await;
    for path in [
        "/",
        "/socket.io-admin",
        "/socket.io-admin/",
        "/socket.iox",
        "/SOCKET.IO/",
        "/socket%2Eio/",
        "//socket.io/",
        "/x/socket.io/",
    ] {
        let target = format!("{path}?EIO=4&transport=polling");
        let response = get(server.address, &target, "").await;
        assert_eq!(response.status, 404, "{path}");
        assert!(response.text().starts_with("Nothing here."), "{path}");
    }
    assert_eq!(server.stats().opened, 0);
}

#[tokio::test]
async fn a_path_of_ones_own_replaces_the_default() {
    for path in ["/live/", "live", "/live"] {
        let server = start(Server::builder().path(path).build()).await;
        let target = "/live/?EIO=4&transport=polling";
        assert_eq!(get(server.address, target, "").await.status, 200, "{path}");
        assert_eq!(get(server.address, POLLING, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_path_of_everything_is_everything() {
    for path in ["/", "", "//"] {
        let server = start(Server::builder().path(path).build()).await;
        for path in ["/", "/socket.io/", "/x"] {
            let target = format!("{path}?EIO=4&transport=polling");
            assert_eq!(get(server.address, &target, "").await.status, 200, "{path}");
        }
        let response = request(server.address, upgrade_head("/?EIO=4&transport=websocket")).await;
        assert_eq!(response.status, 101);
    }
}

#[tokio::test]
async fn the_path_without_a_slash_can_be_left_to_others() {
    let server = start(Server::builder().trailing_slash_required(true).build()).await;
    for (path, status) in
        [("/socket.io", 404), ("/socket.io/", 200), ("/socket.io/x", 200), ("/socket.iox", 404)]
    {
        let target = format!("{path}?EIO=4&transport=polling");
        assert_eq!(get(server.address, &target, "").await.status, status, "{path}");
    }
}

#[tokio::test]
async fn an_upgrade_to_another_path_is_answered_and_closed() {
    let server = server().await;
    for target in ["/", "/chat?EIO=4&transport=websocket", "/socket.iox/"] {
        let mut conn = Conn::open(server.address).await;
        conn.send(upgrade_head(target)).await;
        let response = conn.response().await;
        assert_eq!((response.status, response.header("connection")), (404, Some("close")));
        conn.ended().await;
    }
    assert_eq!(server.stats().opened, 0);
}

#[tokio::test]
async fn an_upgrade_to_another_path_goes_to_whoever_is_there() {
    let io = Server::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = async |headers: http::HeaderMap| headers["upgrade"].to_str().unwrap().to_owned();
    let other = axum::Router::new().route("/other", axum::routing::get(echo));
    let server = io.clone();
    tokio::spawn(async move { server.serve_with(listener, other).await });
    let mut conn = Conn::open(address).await;
    conn.send(upgrade_head("/other")).await;
    let response = conn.response().await;
    assert_eq!((response.status, response.text()), (200, "websocket"));
    // It is theirs to say whether the connection goes on.
    conn.send(upgrade_head(WEBSOCKET)).await;
    assert_eq!(conn.response().await.status, 101);
}

// Odd requests.

#[tokio::test]
async fn odd_transports_are_plain_unknowns() {
    let server = server().await;
    for query in [
        "EIO=4",
        "EIO=4&transport",
        "EIO=4&transport=",
        "EIO=4&transport=__proto__",
        "EIO=4&transport=constructor",
        "EIO=4&transport=toString",
        "EIO=4&transport[]=polling",
        "EIO=4&transport=Polling",
        "EIO=4&transport=poll%69ng",
        "EIO=4&transport=polling%00",
        "EIO=4&transport=%ff%zz%",
        "&&&===&EIO=4",
        "?EIO=4?transport=polling",
    ] {
        let target = format!("/socket.io/?{query}");
        let response = get(server.address, &target, "").await;
        check_refusal(&response, 400, 0, "Transport unknown");
    }
    assert_eq!(server.stats().requests_refused, 13);
    server.is_unharmed().await;
}

#[tokio::test]
async fn odd_revisions_are_unsupported() {
    let server = server().await;
    for revision in ["", "3", "5", "04", "4 ", "4.0", "%34", "abc", "__proto__"] {
        let revision = revision.replace(' ', "%20");
        let target = format!("/socket.io/?transport=polling&EIO={revision}");
        let response = get(server.address, &target, "").await;
        check_refusal(&response, 400, 5, "Unsupported protocol version");
    }
}

#[tokio::test]
async fn of_repeated_parameters_the_first_counts() {
    let server = server().await;
    let target = "/socket.io/?EIO=4&EIO=3&transport=polling&transport=websocket&t=1&t=2&b64&b64";
    assert_eq!(get(server.address, target, "").await.status, 200);
    let target = "/socket.io/?EIO=3&EIO=4&transport=polling";
    check_refusal(&get(server.address, target, "").await, 400, 5, "Unsupported protocol version");
    let poller = server.poller().await;
    let target = format!("{POLLING}&sid=none&sid={}", poller.sid);
    check_refusal(&get(server.address, &target, "").await, 400, 1, "Session ID unknown");
}

#[tokio::test]
async fn what_is_not_http_is_answered_400_and_closed() {
    let server = server().await;
    for bytes in [
        &b"GET /socket.io/?EIO=4&transport=polling\x00 HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET /socket.io/?EIO=4&transport=poll ing HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /socket.io/ HTTP/1.1\r\nbad header\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /socket.io/ HTTP/9.9\r\n\r\n",
        b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\
          Content-Length: 3\r\n\r\n40",
        b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\
          \r\n40",
        b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\
          Transfer-Encoding: gzip\r\n\r\n40",
    ] {
        let mut conn = Conn::open(server.address).await;
        conn.send(bytes).await;
        let shown = String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(conn.response().await.status, 400, "{shown}");
        conn.ended().await;
    }
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_path_of_100_kb_is_refused_and_closed() {
    let server = server().await;
    let target = format!("/socket.io/{}?EIO=4&transport=polling", "x".repeat(100_000));
    let mut conn = Conn::open(server.address).await;
    conn.send(head("GET", &target, "")).await;
    if let Some(response) = conn.try_response().await {
        assert!(matches!(response.status, 414 | 431), "{response:?}");
    }
    conn.ended().await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn ten_thousand_headers_are_431_and_closed() {
    let server = server().await;
    let mut conn = Conn::open(server.address).await;
    // As many bytes as a head may have are enough to count too many headers in.
    let headers = "a:b\r\n".repeat(10_000);
    conn.send(head("GET", POLLING, &headers)).await;
    if let Some(response) = conn.try_response().await {
        check_empty(&response, 431);
    }
    conn.ended().await;
    let mut conn = Conn::open(server.address).await;
    conn.send(head("GET", POLLING, &"a:b\r\n".repeat(200))).await;
    check_empty(&conn.response().await, 431);
    conn.ended().await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_header_of_1_mb_is_431_and_closed() {
    let server = server().await;
    let mut conn = Conn::open(server.address).await;
    let headers = format!("x: {}\r\n", "y".repeat(1_000_000));
    conn.send(head("GET", POLLING, &headers)).await;
    if let Some(response) = conn.try_response().await {
        check_empty(&response, 431);
    }
    conn.ended().await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let server = server().await;
    let mut conn = Conn::open(server.address).await;
    let unknown = head("GET", "/socket.io/?EIO=4", "");
    conn.send(unknown + &head("GET", POLLING, "") + &head("GET", "/", "")).await;
    for status in [400, 200, 404] {
        assert_eq!(conn.response().await.status, status);
    }
}

// Bodies.

/// A chunked POST with the given raw chunks.
async fn post_chunks(poller: &Poller, chunks: &[&[u8]]) -> Option<Response> {
    let mut conn = Conn::open(poller.address).await;
    conn.send(head("POST", &poller.target(), "Transfer-Encoding: chunked\r\n")).await;
    for chunk in chunks {
        conn.send(chunk).await;
        tokio::task::yield_now().await;
    }
    conn.try_response().await
}

#[tokio::test]
async fn a_chunked_body_may_split_a_character_anywhere() {
    let io = Server::new();
    io.on("echo", async |_: Socket, text: String| text);
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    let body = "421[\"echo\",\"a€😀é\"]".as_bytes();
    let mut wire = Vec::new();
    for byte in body {
        wire.extend(b"1\r\n");
        wire.push(*byte);
        wire.extend(b"\r\n");
    }
    wire.extend(b"0\r\n\r\n");
    // Cut at other places than the chunks, too.
    let pieces: Vec<&[u8]> = wire.chunks(7).collect();
    let response = post_chunks(&poller, &pieces).await.unwrap();
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert_eq!(poller.get().await.text(), "431[\"a€😀é\"]");
}

#[tokio::test]
async fn bad_chunks_end_the_session() {
    let (server, mut leaving) = watched().await;
    let bad: [&[&[u8]]; 6] = [
        &[b"x\r\n40\r\n0\r\n\r\n"],
        &[b"-2\r\n40\r\n0\r\n\r\n"],
        &[b"ffffffffffffffffff\r\n40\r\n"],
        &[b"2\r\n40xx0\r\n\r\n"],
        &[b"\r\n\r\n"],
        &[b"2;\x00\r\n40\r\n", b"0\n\n", b"garbage \xff\xff\r\n"],
    ];
    for (n, chunks) in bad.iter().enumerate() {
        let poller = server.poller().await;
        poller.join().await;
        if let Some(response) = post_chunks(&poller, chunks).await {
            assert_eq!(response.status, 400, "{n}");
        }
        let reason = within(leaving.recv()).await.unwrap();
        assert!(matches!(reason, "transport error" | "parse error"), "{n}: {reason}");
    }
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_empty_and_a_parse_error() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let response = request(server.address, head("POST", &poller.target(), "")).await;
    check_refusal(&response, 400, 3, "malformed engine packet");
    assert_eq!(within(leaving.recv()).await, Some("parse error"));
}

#[tokio::test]
async fn a_body_of_many_packets_is_worked_off_in_order() {
    let (sender, mut numbers) = mpsc::unbounded_channel();
    let io = Server::new();
    io.on("n", move |_: Socket, n: u32| {
        sender.send(n).unwrap();
        async {}
    });
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    let packets: Vec<_> = (0..20_000).map(|n| format!("42[\"n\",{n}]")).collect();
    assert_eq!(poller.post(&packets.join("\u{1e}")).await.text(), "ok");
    for n in 0..20_000 {
        assert_eq!(within(numbers.recv()).await, Some(n));
    }
}

// The bundle.

const SCRIPT: &str = "/socket.io/socket.io.min.js";

/// The version of the client that is built in. `make test-rust` says that there must be one; else the
/// tests of it have nothing to look at.
fn bundle() -> Option<&'static str> {
    let version = <Server>::client_version();
    let required = std::env::var_os("BUNDLE_REQUIRED").is_some();
    assert!(version.is_some() || !required, "no client was built in: run tools/setup client");
    version
}

#[tokio::test]
async fn without_the_bundle_its_names_say_what_is_missing() {
    if bundle().is_some() {
        return;
    }
    let server = server().await;
    let response = get(server.address, SCRIPT, "").await;
    assert_eq!(response.status, 404);
    assert!(response.text().contains("npm ci"));
}

#[tokio::test]
async fn the_bundle_is_served_as_it_is_with_its_tag() {
    let Some(version) = bundle() else {
        return;
    };
    let server = server().await;
    let tag = format!("\"{version}\"");
    for name in
        ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"]
    {
        for (suffix, kind) in [("", "application/javascript"), (".map", "application/json")] {
            let target = format!("/socket.io/{name}{suffix}");
            let response = get(server.address, &target, "").await;
            assert_eq!(response.status, 200, "{target}");
            let expected = format!("{kind}; charset=utf-8");
            assert_eq!(response.header("content-type"), Some(expected.as_str()));
            assert_eq!(response.header("etag"), Some(tag.as_str()));
            assert_eq!(response.header("cache-control"), Some("public, max-age=0"));
            assert_eq!(response.headers("vary"), ["Accept-Encoding", "Origin"]);
            assert_eq!(response.header("content-encoding"), None);
            assert!(response.body.len() > 10_000, "{target}");
        }
    }
}

#[tokio::test]
async fn a_client_that_has_the_bundle_is_answered_304() {
    let Some(version) = bundle() else {
        return;
    };
    let server = server().await;
    let tag = format!("\"{version}\"");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let headers = format!("If-None-Match: {known}\r\n");
        let response = get(server.address, SCRIPT, &headers).await;
        check_empty(&response, 304);
        assert_eq!(response.header("etag"), Some(tag.as_str()));
    }
    for unknown in [version.to_owned(), "\"other\"".to_owned(), String::new()] {
        let headers = format!("If-None-Match: {unknown}\r\n");
        let response = get(server.address, SCRIPT, &headers).await;
        assert_eq!(response.status, 200, "{unknown}");
    }
}

#[tokio::test]
async fn the_bundle_comes_in_the_best_form_that_is_taken() {
    if bundle().is_none() {
        return;
    }
    let server = server().await;
    for (accepted, chosen) in [
        ("gzip, deflate, br, zstd", Some("br")),
        ("br;q=0, gzip", Some("gzip")),
        ("BR", Some("br")),
        ("gzip;q=0.5", Some("gzip")),
        ("gzip;q=0", None),
        ("identity", None),
        ("brotli", None),
        ("", None),
    ] {
        let headers = format!("Accept-Encoding: {accepted}\r\n");
        let response = get(server.address, SCRIPT, &headers).await;
        assert_eq!(
            (response.status, response.header("content-encoding")),
            (200, chosen),
            "{accepted}"
        );
        if chosen == Some("gzip") {
            assert!(response.body.starts_with(&[0x1f, 0x8b]));
        }
    }
}

#[tokio::test]
async fn head_of_the_bundle_is_its_head_alone() {
    if bundle().is_none() {
        return;
    }
    let server = server().await;
    let mut conn = Conn::open(server.address).await;
    conn.send(head("HEAD", SCRIPT, "Connection: close\r\n")).await;
    conn.ended().await;
    let text = String::from_utf8(conn.input).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn unknown_files_are_requests_like_any_other() {
    let server = server().await;
    for name in ["socket.io.slim.js", "socket.io.js.br", "socket.io.js.map.map", "..%2fCargo.toml"]
    {
        let response = get(server.address, &format!("/socket.io/{name}"), "").await;
        check_refusal(&response, 400, 0, "Transport unknown");
    }
    let off = start(Server::builder().serve_client(false).build()).await;
    let response = get(off.address, SCRIPT, "").await;
    check_refusal(&response, 400, 0, "Transport unknown");
    let response = get(server.address, "/socket.io.min.js", "").await;
    assert_eq!(response.status, 404);
}

// Origins.

const PAGE: &str = "Origin: https://page.example\r\n";
const ASKS: &str = "Access-Control-Request-Method: POST\r\n\
                    Access-Control-Request-Headers: x-one, content-type\r\n";

async fn with_origins(origins: Origins) -> Running {
    start(Server::builder().origins(origins).build()).await
}

#[track_caller]
fn check_cors(response: &Response, origin: Option<&str>, credentials: Option<&str>) {
    let found = (
        response.header("access-control-allow-origin"),
        response.header("access-control-allow-credentials"),
    );
    assert_eq!(found, (origin, credentials), "{response:?}");
}

#[tokio::test]
async fn by_default_pages_of_other_hosts_are_refused_everywhere() {
    let server = with_origins(Origins::SameHost).await;
    let poller = server.poller().await;
    for target in [POLLING.to_owned(), poller.target()] {
        let response = get(server.address, &target, PAGE).await;
        check_refusal(&response, 403, 4, "Origin not allowed");
        check_cors(&response, None, None);
    }
    for target in [WEBSOCKET.to_owned(), poller.upgrade_target()] {
        let response = request(server.address, upgrade_head_with(&target, PAGE)).await;
        check_refused_upgrade(&response, 403, "Origin not allowed");
    }
    let asked = head("OPTIONS", POLLING, &format!("{PAGE}{ASKS}"));
    let response = request(server.address, asked).await;
    check_refusal(&response, 403, 4, "Origin not allowed");
    check_cors(&response, None, None);
    for origin in [
        "null",
        "http://localhost.evil.example",
        "http://evil-localhost",
        "localhost",
        "http://localhost:81",
    ] {
        let response = get(server.address, POLLING, &format!("Origin: {origin}\r\n")).await;
        assert_eq!(response.status, 403, "{origin}");
    }
    poller.join().await;
}

#[tokio::test]
async fn by_default_pages_of_the_same_host_may_connect() {
    let server = with_origins(Origins::SameHost).await;
    for origin in ["http://localhost", "https://localhost", "http://LOCALHOST"] {
        let headers = format!("Origin: {origin}\r\n");
        let response = get(server.address, POLLING, &headers).await;
        assert_eq!(response.status, 200, "{origin}");
        check_cors(&response, Some(origin), Some("true"));
        assert_eq!(response.header("vary"), Some("Origin"));
        let response = request(server.address, upgrade_head_with(WEBSOCKET, &headers)).await;
        assert_eq!(response.status, 101, "{origin}");
    }
}

#[tokio::test]
async fn an_origin_with_invalid_characters_is_code_3() {
    let server = with_origins(Origins::Any).await;
    let mut bytes = format!("GET {POLLING} HTTP/1.1\r\nHost: localhost\r\nOrigin: ").into_bytes();
    bytes.extend(b"http://\xff\r\n\r\n");
    let response = request(server.address, bytes).await;
    check_refusal(&response, 400, 3, "Bad request");
}

#[tokio::test]
async fn any_origin_is_answered_with_a_star_and_without_credentials() {
    let server = with_origins(Origins::Any).await;
    let response = get(server.address, POLLING, PAGE).await;
    assert_eq!(response.status, 200);
    check_cors(&response, Some("*"), None);
    let response = request(server.address, upgrade_head_with(WEBSOCKET, PAGE)).await;
    assert_eq!(response.status, 101);
    // Refusals too: the page must be able to read them.
    let response = get(server.address, "/socket.io/?EIO=4", PAGE).await;
    check_refusal(&response, 400, 0, "Transport unknown");
    check_cors(&response, Some("*"), None);
}

#[tokio::test]
async fn a_listed_origin_is_answered_with_itself_and_credentials() {
    let server = with_origins(Origins::List(vec!["https://page.example".into()])).await;
    let response = get(server.address, POLLING, PAGE).await;
    assert_eq!(response.status, 200);
    check_cors(&response, Some("https://page.example"), Some("true"));
    assert_eq!(response.header("vary"), Some("Origin"));
    let script = get(server.address, SCRIPT, PAGE).await;
    check_cors(&script, Some("https://page.example"), Some("true"));
    let other = "Origin: https://other.example\r\n";
    assert_eq!(get(server.address, POLLING, other).await.status, 403);
    let response = request(server.address, upgrade_head_with(WEBSOCKET, other)).await;
    assert_eq!(response.status, 403);
}

#[tokio::test]
async fn a_preflight_is_answered_204_with_what_was_asked_for() {
    let any = with_origins(Origins::Any).await;
    let list = with_origins(Origins::List(vec!["https://page.example".into()])).await;
    let poller = list.poller().await;
    for (address, target, origin, credentials) in [
        (any.address, POLLING, "*", None),
        (list.address, POLLING, "https://page.example", Some("true")),
        (list.address, &poller.target(), "https://page.example", Some("true")),
    ] {
        let asked = head("OPTIONS", target, &format!("{PAGE}{ASKS}"));
        let response = request(address, asked).await;
        check_empty(&response, 204);
        check_cors(&response, Some(origin), credentials);
        assert_eq!(response.header("access-control-allow-methods"), Some("GET,POST"));
        assert_eq!(response.header("access-control-allow-headers"), Some("x-one, content-type"));
    }
    poller.join().await;
}

#[tokio::test]
async fn the_bundle_may_be_loaded_by_allowed_pages_and_still_varies_by_encoding() {
    if bundle().is_none() {
        return;
    }
    let any = with_origins(Origins::Any).await;
    let response = get(any.address, SCRIPT, PAGE).await;
    check_cors(&response, Some("*"), None);
    assert_eq!(response.header("vary"), Some("Accept-Encoding"));
    let list = with_origins(Origins::List(vec!["https://page.example".into()])).await;
    let response = get(list.address, SCRIPT, PAGE).await;
    check_cors(&response, Some("https://page.example"), Some("true"));
    let vary = response.headers("vary").join(", ");
    assert!(
        vary.contains("Accept-Encoding") && vary.contains("Origin"),
        "a cache would give the compressed form to everybody: {vary}"
    );
    // A script element names no origin and needs no leave.
    let same = with_origins(Origins::SameHost).await;
    assert_eq!(get(same.address, SCRIPT, PAGE).await.status, 200);
    check_cors(&get(same.address, SCRIPT, PAGE).await, None, None);
}

// Upgrades, as far as they are HTTP; the rest is in `websocket.rs`.

#[tokio::test]
async fn an_upgrade_is_answered_101_with_the_accept_of_its_key() {
    let server = server().await;
    let response = request(server.address, upgrade_head(WEBSOCKET)).await;
    assert_eq!(response.status, 101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(response.header("connection"), Some("Upgrade"));
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(response.header("sec-websocket-extensions"), None);
    assert_eq!(response.header("sec-websocket-protocol"), None);
}

#[tokio::test]
async fn headers_in_several_lines_are_one_list() {
    let server = server().await;
    for address in in_both_ways(&server).await {
        let upgrade = upgrade_head(WEBSOCKET)
            .replace("Connection: Upgrade\r\n", "Connection: keep-alive\r\nConnection: Upgrade\r\n")
            .replace("Upgrade: websocket\r\n", "Upgrade: h2c\r\nUpgrade: websocket\r\n");
        assert_eq!(request(address, upgrade).await.status, 101);
    }
}

/// What a client writes in front of the headers of a proxy must not push them out.
#[tokio::test]
async fn a_request_whose_headers_would_not_all_be_kept_opens_nothing() {
    let io = Server::new();
    let (met, mut meeting) = mpsc::unbounded_channel();
    io.connect(move |hello: Hello| {
        met.send(hello.header("x-forwarded-for").map(str::to_owned)).unwrap();
        async { Ok::<_, Refusal>(()) }
    });
    let server = start(io).await;
    for address in in_both_ways(&server).await {
        for (fill, status) in [(8_000, 200), (15_000, 200), (17_000, 431)] {
            let fill = "x".repeat(fill);
            let headers = format!("X-Fill: {fill}\r\nX-Forwarded-For: 203.0.113.9\r\n");
            let response = get(address, POLLING, &headers).await;
            assert_eq!(response.status, status, "{}", fill.len());
            if status == 200 {
                let open: serde_json::Value = serde_json::from_str(&response.text()[1..]).unwrap();
                let target = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
                assert_eq!(request(address, post(&target, "40")).await.text(), "ok");
                assert_eq!(within(meeting.recv()).await, Some(Some("203.0.113.9".to_owned())));
            }
        }
    }
}

#[tokio::test]
async fn nobody_says_of_a_request_over_http_1_that_it_is_secure() {
    let io = Server::new();
    let (met, mut meeting) = mpsc::unbounded_channel();
    io.connect(move |hello: Hello| {
        met.send(hello.handshake().is_secure()).unwrap();
        async { Ok::<_, Refusal>(()) }
    });
    let server = start(io).await;
    for address in in_both_ways(&server).await {
        let response = get(address, &format!("https://example.org{POLLING}"), "").await;
        assert_eq!(response.status, 200);
        let open: serde_json::Value = serde_json::from_str(&response.text()[1..]).unwrap();
        let target = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
        request(address, post(&target, "40")).await;
        assert_eq!(within(meeting.recv()).await, Some(false));
    }
}

#[tokio::test]
async fn a_websocket_over_http_1_0_is_refused() {
    let server = server().await;
    let upgrade = upgrade_head(WEBSOCKET).replace("HTTP/1.1", "HTTP/1.0");
    for address in in_both_ways(&server).await {
        assert_eq!(request(address, &upgrade).await.status, 400);
    }
    server.is_empty_again().await;
}

#[tokio::test]
async fn an_upgrade_in_which_something_is_missing_or_wrong_is_refused() {
    let server = server().await;
    let good = upgrade_head(WEBSOCKET);
    for (from, to) in [
        ("Connection: Upgrade\r\n", ""),
        ("Connection: Upgrade", "Connection: close"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        (KEY, "c2hvcnQ="),
        (KEY, "not base64!"),
        (KEY, ""),
    ] {
        let response = request(server.address, good.replace(from, to)).await;
        check_refused_upgrade(&response, 400, "Bad request");
    }
    let response = request(server.address, good.replace("GET", "POST")).await;
    check_refused_upgrade(&response, 400, "Bad handshake method");
    server.is_unharmed().await;
}

#[tokio::test]
async fn another_version_of_websocket_is_426_and_told_ours() {
    let server = server().await;
    for version in ["8", "0", "", "13, 8", "__proto__"] {
        let version = format!("Sec-WebSocket-Version: {version}");
        let head = upgrade_head(WEBSOCKET).replace("Sec-WebSocket-Version: 13", &version);
        let response = request(server.address, head).await;
        check_refused_upgrade(&response, 426, "Bad request");
        assert_eq!(response.header("sec-websocket-version"), Some("13"));
    }
    server.is_unharmed().await;
}

#[tokio::test]
async fn of_subprotocols_the_first_is_chosen_and_extensions_are_not_taken_up_however_many() {
    let server = server().await;
    let offers = format!(
        "Sec-WebSocket-Protocol: {}\r\nSec-WebSocket-Extensions: {}\r\n",
        "chat, ".repeat(500),
        "permessage-deflate; client_max_window_bits=\"\\\"\", ".repeat(150),
    );
    let response = request(server.address, upgrade_head_with(WEBSOCKET, &offers)).await;
    assert_eq!(response.status, 101);
    assert_eq!(response.header("sec-websocket-extensions"), None);
    // Where none is chosen, the official client takes it for a failure.
    assert_eq!(response.headers("sec-websocket-protocol"), ["chat"]);
    for (offer, chosen) in [("", None), ("b@d, chat", None), ("one", Some("one"))] {
        let offer = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let response = request(server.address, upgrade_head_with(WEBSOCKET, &offer)).await;
        assert_eq!((response.status, response.header("sec-websocket-protocol")), (101, chosen));
    }
}
