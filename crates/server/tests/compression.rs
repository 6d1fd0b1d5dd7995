//! Compression on the wire: `permessage-deflate` on WebSockets, and answers to polls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::io::Read as _;

use roomful::{Args, Bytes, Compression, HttpCompression, Server, Socket, Stats};
use roomful_proto::deflate::{Deflater, End};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::{Decoder, Message, Role};
use support::*;

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11)\r\nOrigin: http://localhost\r\n";
const COMPRESSED_TEXT: u8 = 0xc1;
const TEXT: u8 = 0x81;
const THRESHOLD: usize = 1_024;

fn echoing(io: Server) -> Server {
    io.on("echo", async |_: Socket, args: Args| args);
    io.on("plain", async |me: Socket, args: Args| me.compress(false).emit("plain", args));
    io.on("join", async |me: Socket, room: String| me.join(room));
    io.on("both", async |me: Socket, args: Args| {
        me.emit("small", 1);
        me.emit("large", args.clone());
        me.emit("small", 2);
        me.everyone().emit("all", args);
        me.emit("small", 3);
    });
    io
}

async fn compressing() -> Running {
    let compression = Compression::default().threshold(THRESHOLD);
    start(echoing(Server::builder().compression(compression).build())).await
}

/// A client that looks at frames before it understands them.
struct Raw {
    conn: Conn,
    extension: Option<String>,
}

impl Raw {
    async fn open(server: &Running, target: &str, offer: &str) -> Self {
        let headers = match offer {
            "" => String::new(),
            offer => format!("{BROWSER}Sec-WebSocket-Extensions: {offer}\r\n"),
        };
        Self::with_headers(server, target, &headers).await
    }

    async fn with_headers(server: &Running, target: &str, headers: &str) -> Self {
        let mut conn = Conn::open(server.address).await;
        conn.send(upgrade_head_with(target, headers)).await;
        let response = conn.response().await;
        assert_eq!(response.status, 101, "{response:?}");
        let extension = response.header("sec-websocket-extensions").map(str::to_owned);
        Self { conn, extension }
    }

    /// In `/`, with compression.
    async fn joined(server: &Running) -> Self {
        let mut raw = Self::open(server, WEBSOCKET, OFFER).await;
        assert_eq!(raw.extension.as_deref(), Some(ANSWER));
        assert!(raw.text(TEXT).await.starts_with("0{"));
        raw.send_text("40").await;
        assert!(raw.text(TEXT).await.starts_with("40{"));
        raw
    }

    /// The next frame: its first byte, and what it holds.
    async fn frame(&mut self) -> (u8, Message, usize) {
        loop {
            let mut input = self.conn.input.clone();
            let mut rest = &mut input[..];
            let mut decoder = Decoder::new(Role::Client, 1 << 30, 1).inflating(u32::MAX);
            if let Some(message) = decoder.receive(&mut rest).unwrap() {
                let len = self.conn.input.len() - rest.len();
                let first = self.conn.input[0];
                self.conn.input.drain(..len);
                return (first, message, len);
            }
            assert!(self.conn.fill().await, "a frame");
        }
    }

    /// A text that comes in a frame which begins with this byte.
    async fn text(&mut self, expected: u8) -> String {
        let (first, message, _) = self.frame().await;
        let Message::Text(text) = message else { panic!("a text, not {message:?}") };
        assert_eq!(first, expected, "{text:?}");
        String::from_utf8(text.to_vec()).unwrap()
    }

    async fn send_text(&mut self, text: &str) {
        self.conn.send(frame_bytes(Opcode::Text, text.as_bytes())).await;
    }

    async fn send_compressed(&mut self, first: u8, message: &[u8]) {
        let mut payload = Vec::new();
        Deflater::new(6).deflate(message, End::Message, &mut payload).unwrap();
        self.conn.send(odd_frame(first, &payload)).await;
    }

    async fn close_code(&mut self) -> u16 {
        loop {
            if let (_, Message::Close(code, _), _) = self.frame().await {
                return code.unwrap().get();
            }
        }
    }
}

fn long() -> String {
    "\"".to_owned() + &"again and ".repeat(1_000) + "\""
}

#[tokio::test]
async fn compression_is_only_for_those_who_offer_it() {
    let server = compressing().await;
    let cases = [
        ("", None),
        ("x-webkit-deflate-frame", None),
        ("permessage-deflate; server_max_window_bits=9", None),
        ("permessage-deflate; server_max_window_bits=9, permessage-deflate", Some(ANSWER)),
        (OFFER, Some(ANSWER)),
    ];
    for (offer, answer) in cases {
        let mut raw = Raw::open(&server, WEBSOCKET, offer).await;
        assert_eq!(raw.extension.as_deref(), answer, "{offer:?}");
        assert!(raw.text(TEXT).await.starts_with("0{"));
    }
    // The only other form that a client can ask for.
    let base64 = Raw::open(&server, &format!("{WEBSOCKET}&b64=1"), OFFER).await;
    assert_eq!(base64.extension, None);
    let off = start(echoing(Server::new())).await;
    assert_eq!(Raw::open(&off, WEBSOCKET, OFFER).await.extension, None);
}

#[tokio::test]
async fn large_messages_are_compressed_both_ways_and_small_ones_are_not() {
    let server = compressing().await;
    let mut raw = Raw::joined(&server).await;
    raw.send_text("420[\"echo\",1]").await;
    assert_eq!(raw.text(TEXT).await, "430[1]");
    let long = long();
    raw.send_compressed(COMPRESSED_TEXT, format!("421[\"echo\",{long}]").as_bytes()).await;
    assert_eq!(raw.text(COMPRESSED_TEXT).await, format!("431[{long}]"));
    // Compressed although it need not be.
    raw.send_compressed(COMPRESSED_TEXT, b"422[\"echo\",2]").await;
    assert_eq!(raw.text(TEXT).await, "432[2]");
    let stats = server.stats();
    assert_eq!(stats.messages_compressed, 1);
    assert!(stats.bytes_before_compression > 10_000, "{stats:?}");
    assert!(stats.bytes_after_compression < 200, "{stats:?}");
    assert_eq!(stats.violations, 0);
}

/// Small ones are joined, large ones are parcels: they must not overtake each other.
#[tokio::test]
async fn small_and_large_events_keep_their_order() {
    let server = compressing().await;
    let mut raw = Raw::joined(&server).await;
    let long = long();
    for _ in 0..3 {
        raw.send_text(&format!("42[\"both\",{long}]")).await;
        assert_eq!(raw.text(TEXT).await, "42[\"small\",1]");
        assert_eq!(raw.text(COMPRESSED_TEXT).await, format!("42[\"large\",{long}]"));
        assert_eq!(raw.text(TEXT).await, "42[\"small\",2]");
        assert_eq!(raw.text(COMPRESSED_TEXT).await, format!("42[\"all\",{long}]"));
        assert_eq!(raw.text(TEXT).await, "42[\"small\",3]");
    }
}

#[tokio::test]
async fn an_event_can_be_sent_as_it_is() {
    let server = compressing().await;
    let mut raw = Raw::joined(&server).await;
    let long = long();
    raw.send_text(&format!("42[\"plain\",{long}]")).await;
    assert_eq!(raw.text(TEXT).await, format!("42[\"plain\",{long}]"));
    server.everyone().compress(false).emit("x", "y".repeat(5_000));
    assert!(raw.text(TEXT).await.starts_with("42[\"x\",\"yy"));
    assert_eq!(server.stats().messages_compressed, 0);
}

#[tokio::test]
async fn attachments_are_messages_of_their_own() {
    let server = compressing().await;
    let mut raw = Raw::joined(&server).await;
    let bytes = Bytes::from(vec![7; 5_000]);
    server.emit("file", &bytes);
    let packet = raw.text(TEXT).await;
    assert_eq!(packet, "451-[\"file\",{\"_placeholder\":true,\"num\":0}]");
    let (first, message, len) = raw.frame().await;
    assert_eq!((first, message), (0xc2, Message::Binary(bytes)));
    assert!(len < 100, "{len}");
}

#[tokio::test]
async fn a_broadcast_is_compressed_once() {
    let server = compressing().await;
    let mut some = Vec::new();
    for _ in 0..10 {
        some.push(Raw::joined(&server).await);
    }
    let mut other = server.client().await;
    let poller = server.poller().await;
    poller.join().await;
    let text = "x".repeat(100_000);
    server.emit("news", &text);
    for raw in &mut some {
        assert_eq!(raw.text(COMPRESSED_TEXT).await, format!("42[\"news\",\"{text}\"]"));
    }
    assert_eq!(other.event().await, serde_json::json!(["news", text]));
    assert_eq!(poller.get().await.text(), format!("42[\"news\",\"{text}\"]"));
    let stats = server.stats();
    assert_eq!(stats.messages_compressed, 1);
    assert_eq!(stats.bytes_before_compression, text.len() as u64 + 13);
}

#[tokio::test]
async fn a_higher_level_makes_it_smaller() {
    let mut sizes = Vec::new();
    for level in [1, 9] {
        let compression = Compression::default().threshold(THRESHOLD).level(level);
        let server = start(echoing(Server::builder().compression(compression).build())).await;
        let mut client = Raw::joined(&server).await;
        let words: Vec<u32> = (0..5_000).map(|n: u32| n.wrapping_mul(n) % 1_013).collect();
        client.send_text(&format!("420[\"echo\",{words:?}]")).await;
        client.frame().await;
        sizes.push(server.stats().bytes_after_compression);
    }
    assert!(sizes[1] < sizes[0], "{sizes:?}");
}

#[tokio::test]
async fn a_session_that_is_upgraded_is_compressed_from_then_on() {
    let server = compressing().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut raw = Raw::open(&server, &poller.upgrade_target(), OFFER).await;
    assert_eq!(raw.extension.as_deref(), Some(ANSWER));
    raw.send_text("2probe").await;
    assert_eq!(raw.text(TEXT).await, "3probe");
    raw.send_text("5").await;
    let long = long();
    raw.send_compressed(COMPRESSED_TEXT, format!("421[\"echo\",{long}]").as_bytes()).await;
    assert_eq!(raw.text(COMPRESSED_TEXT).await, format!("431[{long}]"));
}

#[tokio::test]
async fn inside_another_server_it_is_the_same() {
    let compression = Compression::default();
    let io = echoing(Server::builder().compression(compression).build());
    let app = axum::Router::new().layer(io.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let server = Running { io, address, serving: tokio::spawn(async {}), others: Vec::new() };
    let mut raw = Raw::joined(&server).await;
    let long = long();
    raw.send_text(&format!("421[\"echo\",{long}]")).await;
    assert_eq!(raw.text(COMPRESSED_TEXT).await, format!("431[{long}]"));
    let poller = Poller::open(address).await;
    poller.join().await;
    server.emit("news", "x".repeat(5_000));
    let headers = "Accept-Encoding: gzip\r\n";
    let answer = get(address, &poller.target(), headers).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    serving.abort();
}

#[tokio::test]
async fn what_breaks_a_rule_is_told_and_counted() {
    let io = Server::builder().compression(Compression::default()).payload_bytes_max(100_000);
    let server = start(echoing(io.build())).await;
    let check = async |first: u8, messages: &[Vec<u8>], code: u16, counted: fn(&Stats) -> u64| {
        let before = counted(&server.stats());
        let mut raw = Raw::joined(&server).await;
        for message in messages {
            raw.send_compressed(first, message).await;
        }
        assert_eq!(raw.close_code().await, code);
        assert_eq!(counted(&server.stats()), before + 1);
    };
    let bomb = vec![b' '; 50_000_000];
    let empty_event =
        |len: usize| [b"42[\"x\",".to_vec(), vec![b' '; len], b"1]".to_vec()].concat();
    check(COMPRESSED_TEXT, &[bomb], 1009, |stats| stats.inflated_too_big).await;
    let many = vec![empty_event(90_000); 3];
    check(COMPRESSED_TEXT, &many, 1008, |stats| stats.inflate_ratio_exceeded).await;
    check(COMPRESSED_TEXT, &[vec![0xff]], 1007, |stats| stats.violations).await;
    check(0xe1, &[vec![]], 1002, |stats| stats.violations).await;

    let mut raw = Raw::joined(&server).await;
    raw.conn.send(odd_frame(COMPRESSED_TEXT, &[0xff; 30])).await;
    assert_eq!(raw.close_code().await, 1007);
    let mut raw = Raw::open(&server, WEBSOCKET, "").await;
    raw.text(TEXT).await;
    raw.send_compressed(COMPRESSED_TEXT, b"40").await;
    assert_eq!(raw.close_code().await, 1002, "it was not agreed on");
    server.is_unharmed().await;
}

#[tokio::test]
async fn fragments_are_inflated_together() {
    let server = compressing().await;
    let mut raw = Raw::joined(&server).await;
    let long = long();
    let mut payload = Vec::new();
    let event = format!("421[\"echo\",{long}]");
    Deflater::new(6).deflate(event.as_bytes(), End::Message, &mut payload).unwrap();
    let (head, tail) = payload.split_at(payload.len() / 2);
    raw.conn.send(odd_frame(0x41, head)).await;
    raw.conn.send(odd_frame(0x89, b"?")).await;
    raw.conn.send(odd_frame(0x80, tail)).await;
    assert_eq!(raw.frame().await.1, Message::Pong(Bytes::from_static(b"?")));
    assert_eq!(raw.text(COMPRESSED_TEXT).await, format!("431[{long}]"));
}

/// What one read brings can be a hundred times as large, and so can its answers: they leave meanwhile.
#[tokio::test]
async fn answers_to_many_small_messages_that_were_large_ones_fill_no_outbox() {
    const EVENTS: usize = 60;
    const OUTBOX_BYTES_MAX: usize = 1_000_000;
    let builder = Server::builder().compression(Compression::default().ratio_max(u32::MAX));
    let io = echoing(builder.outbox_bytes_max(OUTBOX_BYTES_MAX).build());
    let server = start(io).await;
    let mut raw = Raw::joined(&server).await;
    let event = format!(r#"["echo","{}"]"#, "x".repeat(100_000));
    let mut frames = Vec::new();
    for id in 0..EVENTS {
        let mut payload = Vec::new();
        let message = format!("42{id}{event}");
        Deflater::new(6).deflate(message.as_bytes(), End::Message, &mut payload).unwrap();
        frames.extend(odd_frame(COMPRESSED_TEXT, &payload));
    }
    assert!(frames.len() < 64 * 1024, "all of it comes with one read");
    raw.conn.send(frames).await;
    for id in 0..EVENTS {
        assert!(raw.text(COMPRESSED_TEXT).await.starts_with(&format!("43{id}[")));
    }
    assert_eq!(server.stats().slow_peers, 0);
}

// Polling.

/// A poller in `/`, for whom an event of this many letters waits.
async fn waiting(server: &Running, len: usize) -> (Poller, String) {
    let poller = server.poller().await;
    poller.join().await;
    let text = "x".repeat(len);
    server.emit("news", &text);
    (poller, format!("42[\"news\",\"{text}\"]"))
}

fn unpack(response: &Response) -> String {
    let mut body = Vec::new();
    let packed = &response.body[..];
    match response.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(packed).read_to_end(&mut body).unwrap(),
        Some("deflate") => flate2::read::ZlibDecoder::new(packed).read_to_end(&mut body).unwrap(),
        #[cfg(feature = "brotli")]
        Some("br") => brotli::Decompressor::new(packed, 4_096).read_to_end(&mut body).unwrap(),
        Some(other) => panic!("{other}"),
        None => return response.text().to_owned(),
    };
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn answers_to_polls_are_compressed_as_the_client_accepts_it() {
    let server = start(echoing(Server::new())).await;
    let best = if cfg!(feature = "brotli") { "br" } else { "gzip" };
    let cases = [
        ("", None),
        ("gzip", Some("gzip")),
        ("deflate", Some("deflate")),
        ("gzip, deflate, br", Some(best)),
        ("gzip;q=0, deflate;q=0.5", Some("deflate")),
        ("gzip;q=0, identity", None),
        ("*;q=0.1", Some(best)),
    ];
    for (accepted, coding) in cases {
        let (poller, expected) = waiting(&server, 5_000).await;
        let headers = match accepted {
            "" => String::new(),
            accepted => format!("Accept-Encoding: {accepted}\r\n"),
        };
        let answer = get(server.address, &poller.target(), &headers).await;
        assert_eq!(answer.header("content-encoding"), coding, "{accepted:?}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{accepted:?}");
        assert_eq!(unpack(&answer), expected, "{accepted:?}");
        assert!(coding.is_none() || answer.body.len() < 200, "{accepted:?}");
        assert_eq!(poller.post("1").await.status, 200);
    }
    let stats = server.stats();
    assert_eq!(stats.answers_compressed, 5);
    assert!(stats.bytes_before_compression > 25_000 && stats.bytes_after_compression < 1_000);
}

#[tokio::test]
async fn small_answers_and_those_that_are_to_be_plain_are_not_compressed() {
    let server = start(echoing(Server::new())).await;
    let headers = "Accept-Encoding: gzip\r\n";
    let opened = get(server.address, POLLING, headers).await;
    assert_eq!((opened.header("content-encoding"), opened.header("vary")), (None, None));
    let (poller, expected) = waiting(&server, 500).await;
    let answer = get(server.address, &poller.target(), headers).await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None));
    assert_eq!(answer.text(), expected);
    server.emit("large", "x".repeat(5_000));
    server.everyone().compress(false).emit("token", "secret");
    let answer = get(server.address, &poller.target(), headers).await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None));
    assert!(answer.text().ends_with("42[\"token\",\"secret\"]"));
    assert_eq!(server.stats().answers_compressed, 0);
}

#[tokio::test]
async fn compression_of_answers_can_be_turned_off() {
    let io = Server::builder().http_compression(HttpCompression::off()).build();
    let server = start(echoing(io)).await;
    let (poller, expected) = waiting(&server, 5_000).await;
    let answer = get(server.address, &poller.target(), "Accept-Encoding: gzip\r\n").await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None));
    assert_eq!(answer.text(), expected);
}

#[test]
fn the_headers_of_frames_are_what_this_file_says() {
    assert_eq!(frame::Header::new(Opcode::Text, 0, None).as_bytes()[0], TEXT);
    assert_eq!(
        frame::Header::new(Opcode::Text, 0, None).compressed().as_bytes()[0],
        COMPRESSED_TEXT
    );
}

/// `new WebSocket(url, {perMessageDeflate: {clientNoContextTakeover: false}})` of ws offers what it offers by
/// default, and ends the handshake where it is told to take nothing over.
#[tokio::test]
async fn who_may_not_forget_is_not_told_to_and_is_understood_all_the_same() {
    const SMALL: &str = "permessage-deflate; server_no_context_takeover; client_max_window_bits=9";
    let server = compressing().await;
    let cases = [
        ("", OFFER, Some(SMALL)),
        ("", "permessage-deflate", None),
        ("", "permessage-deflate; client_no_context_takeover", Some(ANSWER)),
        ("Origin: http://localhost\r\n", OFFER, Some(SMALL)),
        ("User-Agent: okhttp/4.12.0\r\n", "permessage-deflate", Some(ANSWER)),
        (BROWSER, OFFER, Some(ANSWER)),
    ];
    for (agent, offer, answer) in cases {
        let headers = format!("{agent}Sec-WebSocket-Extensions: {offer}\r\n");
        let raw = Raw::with_headers(&server, WEBSOCKET, &headers).await;
        assert_eq!(raw.extension.as_deref(), answer, "{agent}{offer}");
    }
    let headers = format!("Sec-WebSocket-Extensions: {OFFER}\r\n");
    let mut raw = Raw::with_headers(&server, WEBSOCKET, &headers).await;
    assert!(raw.text(TEXT).await.starts_with("0{"));
    // One stream for all messages, so that the second refers to the first.
    let mut stream = flate2::Compress::new_with_window_bits(flate2::Compression::best(), false, 9);
    let mut lens = Vec::new();
    for message in ["40".to_owned(), array_of(1), array_of(2), array_of(3)] {
        let mut payload = Vec::with_capacity(4_096);
        stream.compress_vec(message.as_bytes(), &mut payload, flate2::FlushCompress::Sync).unwrap();
        payload.truncate(payload.len() - 4);
        lens.push(payload.len());
        raw.conn.send(odd_frame(COMPRESSED_TEXT, &payload)).await;
        let (_, answer, _) = raw.frame().await;
        let Message::Text(answer) = answer else { panic!("a text, not {answer:?}") };
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        match message.as_str() {
            "40" => assert!(answer.starts_with("40{")),
            event => assert!(answer.ends_with(&event[event.find(',').unwrap() + 1..]), "{answer}"),
        }
    }
    assert!(lens[2] < lens[1] / 2, "{lens:?}: nothing was taken over");
}

/// An event that asks for an answer, and differs little from others.
fn array_of(n: u32) -> String {
    format!(r#"421["echo","zyx wvu tsr qpo nml kji hgf edc ba9 876 543 21",{n}]"#)
}
