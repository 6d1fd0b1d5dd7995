//! Slow lines, with the default settings: a room of 100 is sent 30 MB in four and a half minutes, and
//! clients send what their lines take. Who makes progress and stays within the outbox stays connected;
//! the others are dropped, each for its own reason.
//!
//! Time runs eight times as fast here: lines, pauses and the heartbeat. Only a pong has twice as long, since
//! a second that is left outside would be a moment here, which a busy machine can miss.
//! `SLOW_LINES_SPEED=1` is all as it is outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomful::{Description, Server, Socket};
use roomful_proto::ws::Message;
use roomful_proto::ws::frame::Opcode;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

const FAST: usize = 94;
const EVENTS: usize = 300;
const EVENT_BYTES: usize = 100_000;
/// How long the room is sent events: a little more slowly than the line of 1 Mbit/s takes them.
const SENDING: Duration = Duration::from_secs(270);
/// Bytes of a message that a client sends: less than a server takes by default.
const MESSAGE_BYTES: usize = 900_000;

/// Why those who are gone went, by the ids of their sockets.
type Gone = HashMap<String, (&'static str, Option<Description>)>;

/// How fast a client takes or sends bytes.
#[derive(Clone, Copy, Debug)]
enum Line {
    Open,
    /// So many bytes a second.
    Narrow(usize),
    /// Open for one second, and still for nineteen.
    Stopping,
    Dead,
}

/// 1 Mbit/s and 200 kbit/s.
const MEGABIT: Line = Line::Narrow(125_000);
const FIFTH: Line = Line::Narrow(25_000);

/// How much faster than outside time runs.
fn speed() -> u32 {
    std::env::var("SLOW_LINES_SPEED").map_or(8, |speed| speed.parse().unwrap())
}

/// Lets a client have bytes as its line has.
struct Meter {
    line: Line,
    began: Instant,
    moved: usize,
}

impl Meter {
    fn new(line: Line) -> Self {
        Self { line, began: Instant::now(), moved: 0 }
    }

    /// Waits until some bytes may move; how many.
    async fn some(&mut self) -> usize {
        const PIECE: usize = 16 * 1024;
        match self.line {
            Line::Open => {}
            Line::Narrow(rate) => {
                let rate = rate as f64 * f64::from(speed());
                let due = Duration::from_secs_f64(self.moved as f64 / rate);
                tokio::time::sleep_until(self.began + due).await;
            }
            Line::Stopping => {
                let cycle = Duration::from_secs(20) / speed();
                let cycles = self.began.elapsed().as_secs_f64() / cycle.as_secs_f64();
                if cycles.fract() > 1.0 / 20.0 {
                    tokio::time::sleep_until(self.began + cycle.mul_f64(cycles.ceil())).await;
                }
            }
            Line::Dead => std::future::pending().await,
        }
        self.moved += PIECE;
        PIECE
    }
}

async fn stream(address: SocketAddr, line: Line) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if !matches!(line, Line::Open) {
        // What the two systems hold is no part of the line.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.set_send_buffer_size(64 * 1024).unwrap();
    }
    within(socket.connect(address)).await.unwrap()
}

/// A client in the room; its id.
async fn join(address: SocketAddr, line: Line) -> (Ws, String) {
    let mut conn = Conn::over(stream(address, line).await);
    conn.send(upgrade_head(WEBSOCKET)).await;
    assert_eq!(conn.response().await.status, 101);
    let mut ws = Ws::over(conn);
    ws.text().await;
    ws.send_text("40").await;
    let joined = ws.text().await;
    (ws, joined[10..30].to_owned())
}

/// Reads as the line allows, answers pings, and counts events; ends at the end of the stream.
async fn take(mut ws: Ws, line: Line, events: usize) -> usize {
    let mut meter = Meter::new(line);
    let mut heard = 0;
    while heard < events {
        let most = meter.some().await;
        let mut part = vec![0; most];
        let Ok(len @ 1..) = ws.conn.stream.read(&mut part).await else {
            break;
        };
        meter.moved -= most - len;
        ws.conn.input.extend_from_slice(&part[..len]);
        while let Some(message) = ws.next_of_input() {
            match message {
                Message::Text(text) if &*text == b"2" => ws.send_text("3").await,
                Message::Text(_) => heard += 1,
                _ => {}
            }
        }
    }
    heard
}

/// The same by polling, on one connection for polls and one for pongs.
async fn take_polling(address: SocketAddr, line: Line, events: usize) -> usize {
    let poller = Poller::open(address).await;
    poller.join().await;
    let mut conn = Conn::over(stream(address, line).await);
    let mut meter = Meter::new(line);
    let mut heard = 0;
    while heard < events {
        conn.send(head("GET", &poller.target(), "")).await;
        let (mut answer, mut len) = (Vec::new(), usize::MAX);
        while answer.len() < len {
            let most = meter.some().await;
            let mut part = vec![0; most];
            let read = conn.stream.read(&mut part).await.unwrap();
            assert_ne!(read, 0, "after {heard} events");
            meter.moved -= most - read;
            answer.extend_from_slice(&part[..read]);
            if len == usize::MAX
                && let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = std::str::from_utf8(&answer[..at]).unwrap();
                assert!(head.starts_with("HTTP/1.1 200"), "after {heard} events: {head}");
                let (_, rest) = head.split_once("content-length: ").unwrap();
                len = at + 4 + rest.split("\r\n").next().unwrap().parse::<usize>().unwrap();
            }
        }
        let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        for packet in answer[at..].split(|&byte| byte == 0x1e) {
            match packet {
                b"2" => assert_eq!(poller.post("3").await.text(), "ok"),
                b"6" => {}
                _ => heard += 1,
            }
        }
    }
    heard
}

/// Sends large messages as the line allows, for that time, and is answered each; how many it sent.
async fn send(mut ws: Ws, line: Line, time: Duration) -> usize {
    let mut meter = Meter::new(line);
    let began = Instant::now();
    let mut sent = 0;
    while sent == 0 || began.elapsed() < time {
        let text = format!("42{sent}[\"size\",\"{}\"]", "x".repeat(MESSAGE_BYTES));
        let frame = frame_bytes(Opcode::Text, text.as_bytes());
        let mut at = 0;
        while at < frame.len() {
            let most = meter.some().await.min(frame.len() - at);
            ws.conn.stream.write_all(&frame[at..at + most]).await.unwrap();
            at += most;
        }
        let answer = format!("43{sent}[{MESSAGE_BYTES}]");
        loop {
            match within_long(ws.text()).await {
                ping if ping == "2" => ws.send_text("3").await,
                text if text.starts_with("43") => {
                    assert_eq!(text, answer);
                    break;
                }
                _ => {}
            }
        }
        sent += 1;
    }
    sent
}

async fn within_long<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("an answer")
}

/// The same by polling: each body is one message.
async fn send_polling(address: SocketAddr, line: Line, time: Duration) -> usize {
    let poller = Poller::open(address).await;
    poller.join().await;
    let polls = {
        let (address, target) = (poller.address, poller.target());
        tokio::spawn(async move {
            loop {
                let polled = get_long(address, &target).await;
                assert_eq!(polled.status, 200, "{}", polled.text());
                if polled.text().contains("done") {
                    return;
                }
            }
        })
    };
    let mut conn = Conn::over(stream(address, line).await);
    let mut meter = Meter::new(line);
    let began = Instant::now();
    let mut sent = 0;
    while sent == 0 || began.elapsed() < time {
        // The pong comes with whatever is sent next.
        let body = format!("3\u{1e}42{sent}[\"size\",\"{}\"]", "x".repeat(MESSAGE_BYTES));
        let request = post(&poller.target(), &body);
        let mut at = 0;
        while at < request.len() {
            let most = meter.some().await.min(request.len() - at);
            conn.stream.write_all(&request.as_bytes()[at..at + most]).await.unwrap();
            at += most;
        }
        let answer = within_long(conn.response()).await;
        assert_eq!(answer.text(), "ok", "after {sent} messages");
        sent += 1;
    }
    assert_eq!(poller.post("42[\"done\"]").await.text(), "ok");
    within(polls).await.unwrap();
    sent
}

/// A poll may wait for as long as nothing is sent.
async fn get_long(address: SocketAddr, target: &str) -> Response {
    let mut conn = Conn::open(address).await;
    conn.send(head("GET", target, "")).await;
    loop {
        let response = tokio::time::timeout(Duration::from_secs(60), conn.stream.readable()).await;
        response.expect("a ping at least").unwrap();
        if let Some(response) = conn.try_response().await {
            return response;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_lines_are_borne_and_dead_ones_are_told_apart() {
    let io = Server::builder()
        .ping_interval(Duration::from_secs(25) / speed())
        .ping_timeout(Duration::from_secs(20) * speed().min(2) / speed())
        .build();
    io.on_connect(async |me: Socket| {
        me.join("room");
    });
    io.on("size", async |me: Socket, text: String| {
        me.leave("room");
        text.len()
    });
    io.on("done", async |me: Socket| me.emit("done", ()));
    let gone: Arc<Mutex<Gone>> = Arc::default();
    let going = Arc::clone(&gone);
    io.on_disconnect(move |me: Socket, reason| {
        let description = me.farewell().and_then(|farewell| farewell.description.clone());
        going.lock().unwrap().insert(me.id().to_string(), (reason.as_str(), description));
        async {}
    });
    let server = start(io).await;
    let address = server.address;
    let time = SENDING / speed();

    // Those who send are not in the room while they do.
    let mut sending = JoinSet::new();
    for line in [MEGABIT, FIFTH, Line::Stopping] {
        let (mut ws, _) = join(address, line).await;
        ws.send_text("420[\"size\",\"\"]").await;
        while !ws.text().await.starts_with("43") {}
        sending.spawn(async move { (line, "websocket", send(ws, line, time).await) });
        if !matches!(line, Line::Stopping) {
            sending
                .spawn(async move { (line, "polling", send_polling(address, line, time).await) });
        }
    }
    let mut fast = JoinSet::new();
    for _ in 0..FAST {
        let (ws, _) = join(address, Line::Open).await;
        fast.spawn(take(ws, Line::Open, EVENTS));
    }
    let megabit = join(address, MEGABIT).await;
    let fifth = join(address, FIFTH).await;
    let stopping = join(address, Line::Stopping).await;
    let dead = join(address, Line::Dead).await;
    let [megabit_id, fifth_id, stopping_id, dead_id] =
        [&megabit, &fifth, &stopping, &dead].map(|(_, id)| id.clone());
    let megabit = tokio::spawn(take(megabit.0, MEGABIT, EVENTS));
    let polling = tokio::spawn(take_polling(address, MEGABIT, EVENTS));
    let fifth = tokio::spawn(take(fifth.0, FIFTH, EVENTS));
    let stopping = tokio::spawn(take(stopping.0, Line::Stopping, EVENTS));
    let dead = tokio::spawn(take(dead.0, Line::Dead, EVENTS));
    tokio::time::sleep(Duration::from_millis(100)).await;

    let began = Instant::now();
    for n in 0..EVENTS {
        server.to("room").emit("e", "x".repeat(EVENT_BYTES));
        tokio::time::sleep_until(began + time * (n as u32 + 1) / EVENTS as u32).await;
    }
    while let Some(heard) = within_long(fast.join_next()).await {
        assert_eq!(heard.unwrap(), EVENTS);
    }
    assert_eq!(within_long(megabit).await.unwrap(), EVENTS, "{:?}", gone.lock().unwrap());
    assert_eq!(within_long(polling).await.unwrap(), EVENTS);
    assert_eq!(within_long(stopping).await.unwrap(), EVENTS);
    let heard = within_long(fifth).await.unwrap();
    assert!((10..EVENTS).contains(&heard), "{heard}");
    while let Some(sent) = within_long(sending.join_next()).await {
        println!("{:?}", sent.unwrap());
    }
    let gone = gone.lock().unwrap().clone();
    let why = |id: &String| gone.get(id).cloned();
    assert!(matches!(why(&fifth_id), Some((_, Some(Description::OutboxFull { .. })))));
    assert!(matches!(why(&dead_id), Some(("ping timeout", Some(Description::Stalled { .. })))));
    for id in [megabit_id, stopping_id] {
        // They have it all, and then they went.
        assert!(!matches!(why(&id), Some(("ping timeout" | "forced server close", _))));
    }
    let stats = server.stats();
    assert_eq!((stats.slow_peers, stats.stalled_peers, stats.ping_timeouts), (1, 1, 0));
    dead.abort();
}
