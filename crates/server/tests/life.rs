//! Signs of life: who is there though its pong is late, and who is not. Through the real front, with
//! servers that stand still and lines that are slow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use roomful::{ConnectionFlow, Description, Rate, Server, Socket};
use roomful_proto::ws::Message;
use roomful_proto::ws::frame::Opcode;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// Why sockets left, and what is known of it.
type Leaving = mpsc::UnboundedReceiver<(&'static str, Option<Description>)>;

fn watch(io: &Server) -> Leaving {
    let (gone, leaving) = mpsc::unbounded_channel();
    io.on_disconnect(move |me: Socket, reason| {
        let description = me.farewell().and_then(|farewell| farewell.description.clone());
        let _ = gone.send((reason.as_str(), description));
        async {}
    });
    leaving
}

/// So much time passes in small steps, in each of which the server does what is due.
async fn passes_step_by_step(time: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    for _ in 0..time.as_millis() / STEP.as_millis() {
        passes(STEP).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

// A pong is late.

/// The official suites ask just then, with a tenth of these times. A server that is late by a quarter of the timeout
/// would wait longer: these are so long that no machine is.
#[tokio::test]
async fn a_silent_session_answers_no_poll_after_interval_and_timeout() {
    let (interval, timeout) = (Duration::from_secs(3), Duration::from_secs(2));
    for round in 0..20 {
        let io = Server::builder().ping_interval(interval).ping_timeout(timeout).build();
        let server = start(io).await;
        let poller = server.poller().await;
        if round % 2 == 1 {
            poller.join().await;
        }
        passes_step_by_step(interval + timeout).await;
        assert_eq!(poller.get().await.status, 400, "round {round}");
        server.is_empty_again().await;
    }
}

// The server stands still.

/// A server on a runtime of its own with one thread, which `block` stops for a time.
fn blockable(io: Server) -> (std::net::SocketAddr, Server) {
    io.on("block", async |_: Socket, ms: u64| {
        std::thread::sleep(Duration::from_millis(ms));
    });
    io.on("echo", async |_: Socket, text: String| text);
    let (told, address) = std_mpsc::channel();
    let own = io.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            own.serve_on(listener).await;
        });
    });
    (address.recv().unwrap(), io)
}

/// Answers pings until it is told to end; gives its poller or WebSocket back.
async fn answer_pings(mut ws: Ws, over: Arc<AtomicBool>) -> Ws {
    while !over.load(Ordering::SeqCst) {
        let next = tokio::time::timeout(Duration::from_millis(50), ws.next()).await;
        match next {
            Err(_) => {}
            Ok(Some(Message::Text(text))) if text.starts_with(b"2") => {
                ws.send_text("3").await;
            }
            Ok(Some(Message::Text(text))) if text.starts_with(b"42") => break,
            Ok(other) => panic!("{other:?}"),
        }
    }
    ws
}

async fn answer_polled_pings(poller: Poller, over: Arc<AtomicBool>) -> Poller {
    loop {
        let polled = poller.get().await;
        assert_eq!(polled.status, 200, "{polled:?}");
        if polled.text() == "2" {
            assert_eq!(poller.post("3").await.text(), "ok");
        } else {
            // A ping may be in the same answer.
            assert!(polled.text().contains("42[\"over\""), "{polled:?}");
            over.store(true, Ordering::SeqCst);
            return poller;
        }
    }
}

/// A paused container, a blocked runtime: whatever came meanwhile lies unread in the streams.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answered_while_the_server_stood_still_is_still_there() {
    const CLIENTS: usize = 20;
    let (interval, timeout) = (Duration::from_millis(1_000), Duration::from_millis(1_000));
    let io = Server::builder().ping_interval(interval).ping_timeout(timeout).build();
    let mut leaving = watch(&io);
    let (address, io) = blockable(io);
    let over = Arc::new(AtomicBool::new(false));
    let mut on_websocket = Vec::new();
    let mut polling = Vec::new();
    for _ in 0..CLIENTS {
        let mut ws = Ws::upgrade(address, WEBSOCKET).await;
        ws.text().await;
        ws.send_text("40").await;
        ws.text().await;
        on_websocket.push(tokio::spawn(answer_pings(ws, Arc::clone(&over))));
        let poller = Poller::open(address).await;
        poller.join().await;
        polling.push(tokio::spawn(answer_polled_pings(poller, Arc::clone(&over))));
    }
    let mut blocker = Client::open(address).await;
    blocker.join("/", "").await.unwrap();
    // At different moments of the heartbeat, each longer than interval and timeout together.
    for ms in [2_100, 2_500, 2_900] {
        blocker.send(&format!("20[\"block\",{ms}]")).await;
        loop {
            let packet = blocker.ws.text().await;
            if packet == "2" {
                blocker.ws.send_text("3").await;
            } else {
                assert_eq!(packet, "430[]");
                break;
            }
        }
        assert_eq!(io.stats().ping_timeouts, 0, "after {ms} ms");
    }
    assert_eq!(io.len(), 2 * CLIENTS + 1);
    io.emit("over", ());
    for poller in polling {
        within(poller).await.unwrap();
    }
    let on_websocket = futures_util::future::join_all(on_websocket);
    let _still_open = within(on_websocket).await;
    assert_eq!(leaving.try_recv().ok(), None);
    drop(blocker);
    io.close().await;
}

#[tokio::test]
async fn who_is_silent_is_found_though_the_server_stands_still_again_and_again() {
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    let io = Server::builder().ping_interval(interval).ping_timeout(timeout).build();
    let mut leaving = watch(&io);
    let (address, io) = blockable(io);
    let mut silent = Client::open(address).await;
    silent.join("/", "").await.unwrap();
    let mut blocker = Client::open(address).await;
    blocker.join("/", "").await.unwrap();
    until("blocked ten times", || io.stats().opened == 2).await;
    let blocking = async {
        loop {
            blocker.send("20[\"block\",600]").await;
            let rest = tokio::time::sleep(Duration::from_millis(2_000));
            tokio::pin!(rest);
            loop {
                tokio::select! {
                    () = &mut rest => break,
                    text = blocker.ws.text() => match &*text {
                        "2" => blocker.ws.send_text("3").await,
                        answer => assert_eq!(answer, "430[]"),
                    },
                }
            }
        }
    };
    tokio::select! {
        biased;
        gone = within(leaving.recv()) => assert_eq!(gone.unwrap().0, "ping timeout"),
        _ = blocking => {}
    }
    // The one that answers has stayed.
    blocker.send("21[\"echo\",\"here\"]").await;
    let mut heard = blocker.ws.text().await;
    while heard == "2" || heard == "430[]" {
        heard = blocker.ws.text().await;
    }
    assert_eq!(heard, "431[\"here\"]");
    io.close().await;
}

// Bytes that move.

/// A stream whose buffer for what comes is small, so that a slow reader is one.
async fn slow_stream(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    within(socket.connect(address)).await.unwrap()
}

async fn joined(address: std::net::SocketAddr) -> Ws {
    let mut conn = Conn::over(slow_stream(address).await);
    conn.send(upgrade_head(WEBSOCKET)).await;
    assert_eq!(conn.response().await.status, 101);
    let mut ws = Ws::over(conn);
    ws.text().await;
    ws.send_text("40").await;
    ws.text().await;
    ws
}

/// More than a quarter of the outbox waits, so nothing is read from the client, its pong neither; but it
/// takes what waits, piece by piece, for several times as long as a pong may take, and answers the pings
/// that it finds there.
#[tokio::test]
async fn who_takes_bytes_is_there_though_its_pong_is_not_read() {
    let (server, leaving) = serve_slowly().await;
    takes_slowly(&server, server.address, leaving).await;
}

#[tokio::test]
async fn who_takes_bytes_behind_an_http_library_is_there_too() {
    let (server, leaving) = serve_slowly().await;
    let [_, behind] = in_both_ways(&server).await;
    takes_slowly(&server, behind, leaving).await;
}

async fn serve_slowly() -> (Running, Leaving) {
    let timeout = Duration::from_millis(1_000);
    let io = Server::builder().ping_interval(timeout).ping_timeout(timeout).build();
    let leaving = watch(&io);
    (start(io).await, leaving)
}

async fn takes_slowly(server: &Running, address: std::net::SocketAddr, mut leaving: Leaving) {
    const EVENTS: usize = 75;
    let mut ws = joined(address).await;
    for _ in 0..EVENTS {
        server.emit("large", "x".repeat(100_000));
    }
    let mut events = 0;
    while events < EVENTS {
        let mut part = vec![0; 30_000];
        let len = within(ws.conn.stream.read(&mut part)).await.unwrap();
        ws.conn.input.extend_from_slice(&part[..len]);
        while let Some(Message::Text(text)) = ws.next_of_input() {
            if &*text == b"2" {
                ws.send_text("3").await;
            } else {
                events += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
        assert_eq!(leaving.try_recv().ok(), None, "after {events} events");
    }
    assert_eq!((server.len(), server.stats().stalled_peers), (1, 0));
}

#[tokio::test]
async fn who_takes_nothing_is_found_and_told_apart_from_who_is_silent() {
    let timeout = Duration::from_millis(500);
    let io = Server::builder().ping_interval(timeout).ping_timeout(timeout).build();
    let mut leaving = watch(&io);
    let server = start(io).await;
    let ws = joined(server.address).await;
    for _ in 0..60 {
        server.emit("large", "x".repeat(100_000));
    }
    let (reason, description) = within(leaving.recv()).await.unwrap();
    assert_eq!(reason, "ping timeout");
    assert_eq!(description, Some(Description::Stalled { waited: timeout }));
    let stats = server.stats();
    assert_eq!((stats.stalled_peers, stats.ping_timeouts, stats.slow_peers), (1, 0, 0));
    drop(ws);
    server.is_empty_again().await;
}

/// A message that takes longer than the heartbeat to come up the line.
#[tokio::test]
async fn a_message_that_comes_slowly_is_a_sign_of_life() {
    let timeout = Duration::from_millis(2_000);
    let io = Server::builder().ping_interval(timeout).ping_timeout(timeout).build();
    io.on("size", async |_: Socket, text: String| text.len());
    let mut leaving = watch(&io);
    let server = start(io).await;
    let mut client = server.client().await;
    let message = format!("420[\"size\",\"{}\"]", "x".repeat(900_000));
    for part in frame_bytes(Opcode::Text, message.as_bytes()).chunks(20_000) {
        client.ws.conn.stream.write_all(part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(125)).await;
        assert_eq!(leaving.try_recv().ok(), None);
    }
    let mut heard = client.ws.text().await;
    while heard == "2" {
        heard = client.ws.text().await;
    }
    assert_eq!(heard, "430[900000]");
}

/// Pace and handlers are ours to end, so a pong that is not read because of them is none that is missed.
#[tokio::test]
async fn who_is_not_read_because_of_handlers_is_not_silent() {
    let timeout = Duration::from_millis(200);
    let io = Server::builder()
        .ping_interval(timeout)
        .ping_timeout(timeout)
        .connection_flow(ConnectionFlow::new().handlers_max(1));
    let io = io.build();
    let release = Arc::new(tokio::sync::Notify::new());
    let waits = Arc::clone(&release);
    io.on("wait", move |_: Socket, _: String| {
        let waits = Arc::clone(&waits);
        async move { waits.notified().await }
    });
    let mut leaving = watch(&io);
    let server = start(io).await;
    let mut client = server.client().await;
    // One runs, and more than 4 MiB wait.
    for _ in 0..6 {
        client.emit("wait", &format!("\"{}\"", "x".repeat(900_000))).await;
    }
    for _ in 0..4 {
        assert_eq!(client.ws.text().await, "2", "it is pinged again, and is not closed");
        client.ws.send_text("3").await;
    }
    assert_eq!(leaving.try_recv().ok(), None);
    for _ in 0..6 {
        release.notify_one();
        tokio::task::yield_now().await;
    }
}

/// Its handlers wait for it, and it is gone: whoever does not even take the ping is not excused by them.
#[tokio::test]
async fn a_polling_client_that_is_gone_is_found_though_its_handlers_wait_for_ever() {
    // Long enough for all that is posted before.
    let (interval, timeout) = (Duration::from_secs(5), Duration::from_millis(200));
    let io = Server::builder().ping_interval(interval).ping_timeout(timeout).build();
    io.on("wait", async |me: Socket, _: String| {
        me.emit("that waits", "");
        me.drained().await;
    });
    let mut leaving = watch(&io);
    let server = start(io).await;
    let poller = server.poller().await;
    poller.join().await;
    for n in 0..5 {
        let text = format!("42[\"wait\",\"{}\"]", "x".repeat(900_000));
        let mut conn = Conn::open(server.address).await;
        conn.send(post(&poller.target(), &text)).await;
        if n < 4 {
            assert_eq!(conn.response().await.text(), "ok");
        }
    }
    assert_eq!(within(leaving.recv()).await.unwrap().0, "ping timeout");
    server.is_empty_again().await;
}

/// A pong may stand behind other messages, each of which comes whole.
#[tokio::test]
async fn who_sends_whole_messages_has_more_time_for_its_pong() {
    let timeout = Duration::from_secs(3);
    let io = Server::builder().ping_interval(timeout).ping_timeout(timeout).build();
    io.on("n", async |_: Socket, _: u64| {});
    let mut leaving = watch(&io);
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ws.text().await, "2");
    // One and a half times as long as a pong may take.
    for n in 0..18 {
        client.emit("n", &n.to_string()).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(leaving.try_recv().ok(), None);
    }
    client.ws.send_text("3").await;
    assert_eq!(client.ws.text().await, "2");
}

#[tokio::test]
async fn who_is_not_read_because_of_its_pace_is_not_silent() {
    let timeout = Duration::from_millis(200);
    let pace = Rate::new(1, Duration::from_secs(2)).burst(1);
    let io = Server::builder()
        .ping_interval(timeout)
        .ping_timeout(timeout)
        .connection_flow(ConnectionFlow::new().pace(pace));
    let io = io.build();
    io.on("echo", async |_: Socket, n: u64| n);
    let mut leaving = watch(&io);
    let server = start(io).await;
    let mut client = server.client().await;
    for n in 0..3 {
        client.send(&format!("2{n}[\"echo\",{n}]")).await;
    }
    let mut answers = 0;
    while answers < 3 {
        match client.ws.text().await.as_str() {
            "2" => client.ws.send_text("3").await,
            answer => {
                assert!(answer.starts_with("43"), "{answer}");
                answers += 1;
            }
        }
    }
    assert_eq!(leaving.try_recv().ok(), None);
}
