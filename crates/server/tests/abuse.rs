//! Clients that mean harm, where the server has more to offer than by default: other encodings, old
//! clients, scripts, compression, sockets that come back, functions around requests. What they do is
//! refused or borne, nothing of it stays, and what it costs meanwhile is bounded.
//!
//! The tests read the memory of the process, so they run one after the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use roomful::{
    Args, Builder, Compression, Hello, MsgPack, Origins, Recovery, Refusal, Request, Server, Socket,
};
use roomful_proto::deflate::{Deflater, End};
use roomful_proto::ws::frame::Opcode;
use serde_json::json;
use support::*;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::task::JoinSet;

const V3: &str = "/socket.io/?EIO=3&transport=polling";
const V3_WEBSOCKET: &str = "/socket.io/?EIO=3&transport=websocket";
const FORM: &str = "application/x-www-form-urlencoded";
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const MB: usize = 1_000_000;
/// How long a server that closes waits for clients that do not poll.
const SOON: Duration = Duration::from_millis(100);

/// One test at a time: whoever holds this.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What the process had when a test began.
struct Alone {
    before: usize,
    _guard: MutexGuard<'static, ()>,
}

impl Alone {
    async fn begin() -> Self {
        let guard = ALONE.lock().await;
        Self { before: resident_bytes(), _guard: guard }
    }

    /// No more than so much was added since the test began.
    #[track_caller]
    fn holds_at_most(&self, bytes: usize) {
        let grown = resident_bytes().saturating_sub(self.before);
        assert!(grown <= bytes, "{grown} bytes more, {bytes} at most");
    }
}

/// Bytes of memory that the process has.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

fn echoing(builder: Builder) -> Server {
    let io = builder.build();
    io.on("echo", async |_: Socket, args: Args| args);
    io
}

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    Deflater::new(9).deflate(message, End::Message, &mut payload).unwrap();
    payload
}

static MEGABYTE: OnceLock<Vec<u8>> = OnceLock::new();

/// What becomes a text and so many megabytes of `x` behind it.
fn bomb(text: &[u8], megabytes: usize) -> Vec<u8> {
    // Each part is a message without its last bytes, which lead to the next part.
    let part = |bytes: &[u8]| [&deflated(bytes)[..], &[0, 0, 0xff, 0xff]].concat();
    let megabyte = MEGABYTE.get_or_init(|| part(&vec![b'x'; MB]));
    [part(text), megabyte.repeat(megabytes), vec![0]].concat()
}

/// A WebSocket on which compression was agreed on.
async fn compressed_ws(server: &Running, target: &str) -> Ws {
    let mut conn = Conn::open(server.address).await;
    conn.send(upgrade_head_with(target, OFFER)).await;
    let response = conn.response().await;
    assert_eq!(response.status, 101, "{response:?}");
    assert!(response.header("sec-websocket-extensions").is_some());
    Ws::over(conn)
}

/// The same with its open packet read.
async fn compressed(server: &Running) -> Ws {
    let mut ws = compressed_ws(server, WEBSOCKET).await;
    assert!(ws.text().await.starts_with("0{"));
    ws
}

fn compressing() -> Builder {
    Server::builder().compression(Compression::default())
}

// Attachments.

/// What a connection may hold of a packet that never becomes whole is one message.
#[tokio::test]
async fn attachments_that_never_come_on_many_connections_hold_no_more_than_they_have_sent() {
    const CLIENTS: usize = 200;
    let alone = Alone::begin().await;
    let server = start(echoing(Server::builder().allow_eio3(true).close_timeout(SOON))).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = server.client().await;
        // Each announces ten, sends nine of one byte, and fills the rest with noise.
        client.send("510-[\"echo\"]").await;
        for _ in 0..9 {
            client.ws.send_binary(b"x").await;
        }
        client.ws.send_frame(Opcode::Ping, &[0; 125]).await;
        clients.push(client);
    }
    // Polling, and each of the nine in a body of its own that is large.
    let mut pollers = Vec::new();
    for _ in 0..CLIENTS / 10 {
        let first = get(server.address, V3, "").await;
        let sid = first.text().split('"').nth(3).unwrap().to_owned();
        let target = format!("{V3}&sid={sid}");
        let text = "510-[\"echo\"]";
        let body = format!("{}:4{text}", text.len() + 1);
        assert_eq!(request(server.address, post(&target, &body)).await.text(), "ok");
        let noop = format!("6{}", "x".repeat(900_000));
        let body = format!("6:b4AQI={}:{noop}", noop.len());
        for _ in 0..9 {
            assert_eq!(request(server.address, post(&target, &body)).await.text(), "ok");
        }
        pollers.push(sid);
    }
    // The bodies alone were 160 MB. What small packets between them leave of the heap, the system's
    // allocator gives back late: it was up to 70 MB.
    alone.holds_at_most(100 * MB);
    assert_eq!(server.stats().violations, 0);
    drop(clients);
    server.close().await;
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_message_of_nothing_but_attachments_is_refused_at_the_limit() {
    let alone = Alone::begin().await;
    let server = start(echoing(Server::builder().parser(MsgPack))).await;
    // A list of the name and 300,000 times no bytes at all, in 600 kB.
    let mut args = vec![0xdd, 0, 4, 0x93, 0xe1, 0xa4];
    args.extend_from_slice(b"echo");
    args.extend([0xc4, 0].repeat(300_000));
    let mut client = MsgPackClient::join(&server).await;
    client.ws.send_binary(&packet(2, &args)).await;
    assert_eq!(client.ws.close_code().await, Some(1002));
    drop(client);
    assert_eq!(server.stats().violations, 1);
    alone.holds_at_most(20 * MB);
    server.is_empty_again().await;
}

// Nesting.

/// A packet of msgpack for `/`: its payload comes as it is.
fn packet(kind: u8, data: &[u8]) -> Vec<u8> {
    let head = [&b"\x83\xa4type"[..], &[kind], b"\xa3nsp\xa1/\xa4data"];
    [&head.concat(), data].concat()
}

struct MsgPackClient {
    ws: Ws,
}

impl MsgPackClient {
    async fn join(server: &Running) -> Self {
        let mut ws = server.opened().await;
        ws.send_binary(b"\x82\xa4type\x00\xa3nsp\xa1/").await;
        assert!(ws.next().await.is_some());
        Self { ws }
    }

    /// Whether an event with this argument comes back as the answer.
    async fn echoes(&mut self, argument: &[u8]) -> bool {
        let head = b"\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x07\xa4data\x92\xa4echo";
        self.ws.send_binary(&[head, argument].concat()).await;
        matches!(self.ws.next().await, Some(roomful_proto::ws::Message::Binary(_)))
    }
}

#[tokio::test]
async fn nesting_is_taken_up_to_the_limit_and_not_beyond_in_both_encodings() {
    let alone = Alone::begin().await;
    // The arguments are within a list already.
    const LEVELS: usize = 511;
    let server = start(echoing(Server::builder())).await;
    for (levels, taken) in [(LEVELS, true), (LEVELS + 1, false), (490_000, false)] {
        let mut client = server.client().await;
        let list = "[".repeat(levels) + &"]".repeat(levels);
        client.send(&format!("27[\"echo\",{list}]")).await;
        if taken {
            assert_eq!(client.ws.text().await, format!("437[{list}]"));
        } else {
            assert_eq!(client.ws.close_code().await, Some(1002), "{levels}");
        }
    }
    assert_eq!(server.stats().violations, 2);
    server.is_unharmed().await;

    let server = start(echoing(Server::builder().parser(MsgPack))).await;
    let nested = |marker: &[u8], levels: usize| [&marker.repeat(levels)[..], &[0xc0]].concat();
    for (levels, taken) in [(LEVELS, true), (LEVELS + 1, false), (300_000, false)] {
        // Lists of one, maps of one, and lists that lie about how many they are.
        for (marker, honest) in
            [(&b"\x91"[..], true), (b"\x81\xa0", true), (b"\xdd\xff\xff\xff\xff", false)]
        {
            let levels = levels.min(MB / marker.len() - 100);
            let mut client = MsgPackClient::join(&server).await;
            let echoed = client.echoes(&nested(marker, levels)).await;
            assert_eq!(echoed, taken && honest, "{levels} of {marker:x?}");
        }
    }
    alone.holds_at_most(30 * MB);
    server.is_empty_again().await;
}

// Compression.

/// Sends a compressed message in frames of one byte; the last one ends it, or not.
async fn send_fragmented(ws: &mut Ws, payload: &[u8], ends: bool) {
    let mut wire = Vec::new();
    for (n, &byte) in payload.iter().enumerate() {
        let opcode = if n == 0 { 0x41 } else { 0 };
        let fin = if ends && n + 1 == payload.len() { 0x80 } else { 0 };
        wire.extend(odd_frame(opcode | fin, &[byte]));
    }
    ws.conn.send(wire).await;
}

#[tokio::test]
async fn deflate_bombs_are_closed_wherever_they_are_hidden() {
    let alone = Alone::begin().await;
    let large = bomb(b"4", 100);
    assert!(large.len() < 110_000);
    let server = start(echoing(compressing())).await;
    // As a message, in frames of one byte, as an event, as an auth payload, in bytes.
    let mut ws = compressed(&server).await;
    ws.conn.send(odd_frame(0xc1, &large)).await;
    assert_eq!(ws.close_code().await, Some(1009));
    let mut ws = compressed(&server).await;
    send_fragmented(&mut ws, &large, true).await;
    assert_eq!(ws.close_code().await, Some(1009));
    for start in ["42[\"echo\",\"", "40{\"token\":\""] {
        let bomb = bomb(start.as_bytes(), 20);
        let mut ws = compressed(&server).await;
        ws.conn.send(odd_frame(0xc1, &bomb)).await;
        assert_eq!(ws.close_code().await, Some(1009));
    }
    let mut ws = compressed(&server).await;
    ws.conn.send(odd_frame(0xc2, &large)).await;
    assert_eq!(ws.close_code().await, Some(1009));
    // As the first message of a WebSocket that is to take over; the session goes on without it.
    let poller = server.poller().await;
    let mut probe = compressed_ws(&server, &poller.upgrade_target()).await;
    probe.conn.send(odd_frame(0xc1, &large)).await;
    probe.ended().await;
    poller.join().await;
    assert_eq!(poller.post("41").await.text(), "ok");
    // Message after message, each within the limit.
    let noop = deflated(format!("6{}", "x".repeat(999_000)).as_bytes());
    let mut client = compressed(&server).await;
    let wire = odd_frame(0xc1, &noop).repeat(200);
    client.conn.send(wire).await;
    assert_eq!(client.close_code().await, Some(1008));
    let stats = server.stats();
    assert_eq!((stats.inflated_too_big, stats.inflate_ratio_exceeded), (6, 1));
    assert_eq!(poller.post("1").await.text(), "ok");
    server.is_unharmed().await;

    // In a text of msgpack.
    let server = start(echoing(compressing().parser(MsgPack))).await;
    let head = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa4echo\xdb\x01\x31\x2d\x00";
    let bomb = bomb(head, 20);
    let mut ws = compressed(&server).await;
    ws.conn.send(odd_frame(0xc2, &bomb)).await;
    assert_eq!(ws.close_code().await, Some(1009));
    alone.holds_at_most(60 * MB);
    server.is_empty_again().await;
}

#[tokio::test]
async fn what_stands_in_msgpack_for_more_json_than_it_may_become_is_refused() {
    let alone = Alone::begin().await;
    let server = start(echoing(compressing().parser(MsgPack))).await;
    // A control character is one byte, and six of JSON; compressed it is next to nothing.
    let mut text = vec![0xdb];
    text.extend(900_000_u32.to_be_bytes());
    text.extend(vec![1; 900_000]);
    let args = [&b"\x92\xa4echo"[..], &text].concat();
    for _ in 0..20 {
        let mut ws = compressed(&server).await;
        ws.conn.send(frame_bytes(Opcode::Binary, b"\x82\xa4type\x00\xa3nsp\xa1/")).await;
        assert!(ws.next().await.is_some());
        ws.conn.send(odd_frame(0xc2, &deflated(&packet(2, &args)))).await;
        assert_eq!(ws.close_code().await, Some(1002));
    }
    assert_eq!(server.stats().violations, 20);
    alone.holds_at_most(40 * MB);
    server.is_empty_again().await;
}

#[tokio::test]
async fn compressed_fragments_of_one_byte_hold_no_more_than_they_are() {
    const CLIENTS: usize = 50;
    let alone = Alone::begin().await;
    let server = start(echoing(compressing())).await;
    let event = format!("427[\"echo\",\"{}\"]", "ab".repeat(3_000));
    // Blocks without compression, so that there are many bytes.
    let mut payload = Vec::new();
    for part in event.as_bytes().chunks(1_000) {
        let len = part.len() as u16;
        payload.push(0);
        payload.extend(len.to_le_bytes());
        payload.extend((!len).to_le_bytes());
        payload.extend_from_slice(part);
    }
    payload.push(0);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut ws = compressed(&server).await;
        ws.send_text("40").await;
        assert!(ws.text().await.starts_with("40"));
        send_fragmented(&mut ws, &payload, false).await;
        clients.push(ws);
    }
    alone.holds_at_most(20 * MB);
    // A whole one, with a ping between its frames.
    let mut ws = compressed(&server).await;
    ws.send_text("40").await;
    assert!(ws.text().await.starts_with("40"));
    let (last, others) = payload.split_last().unwrap();
    for (n, byte) in others.iter().enumerate() {
        let mut wire = odd_frame(if n == 0 { 0x41 } else { 0 }, &[*byte]);
        if n == 7 {
            wire.extend(frame_bytes(Opcode::Ping, b"x"));
        }
        ws.conn.send(wire).await;
    }
    assert!(matches!(ws.next().await, Some(roomful_proto::ws::Message::Pong(_))));
    ws.conn.send(odd_frame(0x80, &[*last])).await;
    let mut whole = Ws::over(ws.conn);
    // The answer is compressed; that it comes is what is looked for.
    assert!(whole.conn.fill().await);
    assert_eq!(whole.conn.input[0] & 0xcf, 0xc1);
    drop((whole, clients));
    assert_eq!(server.stats().violations, 0);
    server.is_unharmed().await;
}

#[tokio::test]
async fn reserved_bits_close_wherever_they_do_not_belong() {
    let _alone = Alone::begin().await;
    let server = start(echoing(compressing())).await;
    let payload = deflated(b"40");
    let continued = [odd_frame(0x41, &payload[..1]), odd_frame(0xc0, &payload[1..])].concat();
    let cases = [
        odd_frame(0xa1, b"40"),
        odd_frame(0x91, b"40"),
        odd_frame(0xe1, &payload),
        odd_frame(0xf1, &payload),
        odd_frame(0xc9, b"ping"),
        odd_frame(0xc8, &1000_u16.to_be_bytes()),
        odd_frame(0xc0, &payload),
        odd_frame(0xc3, &payload),
        continued,
        // A text that says it is compressed and is not.
        odd_frame(0xc1, b"40"),
    ];
    let count = cases.len();
    for case in cases {
        let mut ws = compressed(&server).await;
        ws.conn.send(&case).await;
        let code = ws.close_code().await;
        assert!(matches!(code, Some(1002 | 1007)), "{code:?} for {case:x?}");
    }
    // Not agreed on.
    let mut ws = server.opened().await;
    ws.conn.send(odd_frame(0xc1, &payload)).await;
    assert_eq!(ws.close_code().await, Some(1002));
    drop(ws);
    assert_eq!(server.stats().violations, count as u64 + 1);
    server.is_unharmed().await;
}

/// A block may say that it is the last, and another follow: as often as there are bytes.
#[tokio::test]
async fn a_message_of_nothing_but_last_blocks_holds_nobody_up() {
    let _alone = Alone::begin().await;
    let server = start(echoing(compressing())).await;
    let mut bystander = server.client().await;
    let mut ws = compressed(&server).await;
    ws.conn.send(odd_frame(0xc1, &[3, 0].repeat(450_000))).await;
    for n in 0..10 {
        assert_eq!(bystander.ask("echo", &n.to_string()).await, json!([n]));
    }
    // It is an empty text, which is no packet.
    assert_eq!(ws.close_code().await, Some(1002));
    drop((ws, bystander));
    server.is_unharmed().await;
}

// Engine.IO 3.

async fn v3_session(server: &Running, query: &str) -> String {
    let first = get(server.address, &format!("{V3}{query}"), "").await;
    assert_eq!(first.status, 200, "{first:?}");
    let (_, sid) = first.text().split_once("sid").unwrap();
    let sid = sid.trim_start_matches(['\\', '"', ':']).get(..20).unwrap();
    format!("{V3}{query}&sid={sid}")
}

async fn v3_post(server: &Running, target: &str, content_type: &str, body: &[u8]) -> Response {
    let headers = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
    let head = head("POST", target, &headers);
    request(server.address, [head.as_bytes(), body].concat()).await
}

#[tokio::test]
async fn lengths_that_lie_are_answered_and_end_only_their_session() {
    let alone = Alone::begin().await;
    let server = start(echoing(Server::builder().allow_eio3(true).close_timeout(SOON))).await;
    let digits = "9".repeat(900_000);
    let large = format!("{}2:40", "0".repeat(900_000));
    let texts: &[&str] = &[
        "-1:40",
        "+2:40",
        "1e3:40",
        "18446744073709551615:40",
        "18446744073709551617:40",
        "2147483648:40",
        "99:40",
        ":40",
        "2",
        "2:40:",
        "1:40",
        "2:😀",
        "1:😀",
        "0:",
        &digits,
        &large,
        " 2:40",
        "2 :40",
        "\u{661}:4",
        "",
    ];
    let many = [&[0][..], &[9; 900_000]].concat();
    let binaries: &[&[u8]] = &[
        &[0],
        &[1, 0xff],
        &[0, 2, 0xff, b'4'],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0xff, b'4'],
        &[1, 10, 0xff, 4],
        &[1, b'1', 0xff, 4],
        &[2, 1, 0xff, 4],
        &[0, 2, 0xff, 0xc3, 0x28],
        &[1, 1, 0xff, 0],
        &many,
    ];
    let mut sessions = 0;
    let bodies = texts.iter().map(|text| ("text/plain", text.as_bytes()));
    for (content_type, body) in
        bodies.chain(binaries.iter().map(|&b| ("application/octet-stream", b)))
    {
        let target = v3_session(&server, "").await;
        let response = v3_post(&server, &target, content_type, body).await;
        let shown = &body[..body.len().min(30)];
        assert_eq!(response.status, 400, "{}", shown.escape_ascii());
        sessions += 1;
    }
    assert_eq!(server.stats().violations, sessions);
    alone.holds_at_most(30 * MB);
    server.is_unharmed().await;
}

/// Each ping of an old client is answered, and the answers wait where it does not poll.
#[tokio::test]
async fn pings_of_old_clients_that_read_nothing_are_bounded() {
    let alone = Alone::begin().await;
    let io = Server::builder().allow_eio3(true).outbox_bytes_max(MB);
    let server = start(echoing(io)).await;
    let target = v3_session(&server, "").await;
    let mut conns = Vec::new();
    // 200,000 pings in one body; more such bodies are not taken before these are worked off.
    let body = "1:2".repeat(200_000);
    for _ in 0..3 {
        let mut conn = Conn::open(server.address).await;
        conn.send(post(&target, &body)).await;
        conns.push(conn);
    }
    let mut old = Vec::new();
    for _ in 0..20 {
        let mut ws = Ws::upgrade(server.address, V3_WEBSOCKET).await;
        assert!(ws.text().await.starts_with("0{"));
        assert_eq!(ws.text().await, "40");
        let mut writer = ws.conn.writer();
        let ping = frame_bytes(Opcode::Text, format!("2{}", "x".repeat(100_000)).as_bytes());
        let flood = tokio::spawn(async move {
            for _ in 0..1_000 {
                if writer.write_all(&ping).await.is_err() {
                    return;
                }
            }
        });
        old.push((ws, flood));
    }
    let mut bystander = server.client().await;
    for n in 0..300 {
        assert_eq!(bystander.ask("echo", &n.to_string()).await, json!([n]));
    }
    // 20 outboxes and what the polling one has, where 2 GB were sent.
    alone.holds_at_most(60 * MB);
    for (ws, flood) in old {
        flood.abort();
        ws.conn.reset();
    }
    drop((conns, bystander));
    server.close().await;
    server.is_empty_again().await;
}

// Scripts.

#[tokio::test]
async fn nothing_is_smuggled_into_a_script() {
    let alone = Alone::begin().await;
    let io = Server::builder().allow_eio3(true).jsonp(true).build();
    io.on("say", async |me: Socket, text: String| me.everyone().emit("said", text));
    let server = start(io).await;
    let huge = "9".repeat(10_000);
    for number in ["1](alert(1))//", "-1", "0x1", "1%5D", "a", "", "__proto__", &huge] {
        let response = get(server.address, &format!("{V3}&j={number}"), "").await;
        assert_eq!(response.status, 400, "{number}");
        assert!(!response.text().contains("___eio"), "{response:?}");
    }
    let target = v3_session(&server, "&j=0").await;
    // What comes behind the number that counts is not looked at.
    let odd = format!("{target}&j=1](alert(1))");
    let text = "\\\"\\\\\\\"]);alert(1);//</script><!--\u{2028}\u{2029}";
    let packet = format!("42[\"say\",\"{text}\"]");
    let body = format!("{}:{packet}", packet.encode_utf16().count());
    // A backslash before an `n` would be a newline here; there is none.
    let form: String = body.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let form = format!("d={form}");
    let sent = v3_post(&server, &target, FORM, form.as_bytes()).await;
    assert_eq!(sent.text(), "ok");
    let said = get(server.address, &odd, "").await;
    let script = said.text().strip_prefix("___eio[0](").unwrap().strip_suffix(");").unwrap();
    assert!(!script.contains(['<', '\u{2028}', '\u{2029}', '\n']), "{script}");
    let heard: String = serde_json::from_str(script).unwrap();
    assert!(heard.contains("alert(1);//</script>"), "{heard}");
    assert_eq!(said.header("x-content-type-options"), Some("nosniff"));
    // Forms without a field, of nothing but fields, and of broken codes.
    for form in ["", "e=1", &"&".repeat(900_000), &"d=%".repeat(300_000), "d=%zz", "d"] {
        let target = v3_session(&server, "&j=0").await;
        let response = v3_post(&server, &target, FORM, form.as_bytes()).await;
        assert_eq!(response.status, 400, "{}", &form[..form.len().min(20)]);
    }
    // A session of scripts is not polled otherwise, nor the other way round.
    let (_, sid) = target.split_once("&sid=").unwrap();
    assert_eq!(get(server.address, &format!("{V3}&sid={sid}"), "").await.status, 400);
    alone.holds_at_most(30 * MB);
    assert_eq!(v3_post(&server, &target, "text/plain", b"d=1:1").await.text(), "ok");
    server.is_unharmed().await;
}

// Sockets that come back.

/// Joins `/` with an auth payload: the id of the socket, and the secret with which to come back.
async fn join_with(client: &mut Client, auth: &str) -> (String, String) {
    client.send(&format!("0{auth}")).await;
    let packet = client.next().await;
    assert_eq!(packet.kind, 0, "{packet:?}");
    let text = |key: &str| packet.data[key].as_str().unwrap().to_owned();
    (text("sid"), text("pid"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_sockets_that_are_lost_and_come_back_are_forgotten_in_the_end() {
    const SOCKETS: usize = 3_000;
    const WAITING_MAX: usize = 1_000;
    let alone = Alone::begin().await;
    let recovery =
        Recovery::builder().sockets_max(WAITING_MAX).window(Duration::from_secs(1)).build();
    let server = start(echoing(Server::builder().recovery(recovery))).await;
    let mut pids = Vec::new();
    for _ in 0..SOCKETS {
        let mut client = Client::open(server.address).await;
        pids.push(join_with(&mut client, "").await.1);
        client.ws.conn.reset();
    }
    until("all lost", || server.stats().connections == 0).await;
    server.io.emit("missed", "x".repeat(1_000));
    for pid in &pids {
        let mut client = Client::open(server.address).await;
        let auth = format!("{{\"pid\":\"{pid}\"}}");
        join_with(&mut client, &auth).await;
        client.ws.conn.reset();
    }
    let stats = server.stats();
    assert_eq!(stats.recovered + stats.recoveries_refused, SOCKETS as u64);
    // Only so many waited, and time was over for some of those.
    assert!(stats.recovered <= WAITING_MAX as u64, "{stats:?}");
    assert!(stats.recoveries_refused >= (SOCKETS - WAITING_MAX) as u64);
    alone.holds_at_most(20 * MB);
    server.is_unharmed().await;
}

#[tokio::test]
async fn made_up_secrets_and_offsets_get_a_new_socket_and_nothing_of_others() {
    let alone = Alone::begin().await;
    let builder = Server::builder().recovery(Recovery::new()).auth_bytes_max(MB);
    let server = start(echoing(builder)).await;
    let mut owner = Client::open(server.address).await;
    let (id, pid) = join_with(&mut owner, r#"{"token":"mine"}"#).await;
    server.io.to(&id).emit("secret", ());
    let offset = owner.event().await[1].as_str().unwrap().to_owned();
    drop(owner);
    until("lost", || server.stats().connections == 0).await;
    server.io.to(&id).emit("secret", ());
    let long = "9".repeat(900_000);
    let claims = [
        format!(r#"{{"pid":"{id}","offset":"{offset}"}}"#),
        format!(r#"{{"pid":"{}","offset":"{offset}"}}"#, "A".repeat(20)),
        format!(r#"{{"pid":"{pid}x","offset":"{offset}"}}"#),
        format!(r#"{{"pid":["{pid}"],"offset":"{offset}"}}"#),
        format!(r#"{{"pid":"{long}"}}"#),
        format!(r#"{{"pid":{{"pid":"{pid}"}}}}"#),
        r#"{"pid":null,"offset":null}"#.to_owned(),
        format!(r#"{{"pid":"{}","offset":{{"a":[]}}}}"#, "B".repeat(20)),
    ];
    for claim in &claims {
        let mut client = Client::open(server.address).await;
        let (other, _) = join_with(&mut client, claim).await;
        assert_ne!(other, id, "{}", &claim[..60]);
        assert_eq!(client.ask("echo", "1").await[0], json!(1), "the next packet");
    }
    assert_eq!(server.stats().recovered, 0);
    // A socket that was lost is given back for none of these, and is gone then.
    let mark: String = offset.chars().take_while(|c| !c.is_ascii_digit()).collect();
    for end in [long.as_str(), "-1", "0", "99999999999999999999999", "1e3", ""] {
        let mut client = Client::open(server.address).await;
        let (before, pid) = join_with(&mut client, "").await;
        server.io.emit("seen", ());
        client.event().await;
        let closed = server.stats().closed;
        drop(client);
        until("lost", || server.stats().closed > closed).await;
        let mut client = Client::open(server.address).await;
        let claim = format!(r#"{{"pid":"{pid}","offset":"{mark}{end}"}}"#);
        let (after, _) = join_with(&mut client, &claim).await;
        assert_ne!(before, after, "{:.30}", end);
    }
    alone.holds_at_most(30 * MB);
    within(server.close()).await;
    server.is_empty_again().await;
}

/// What an auth payload becomes when it is looked into could be a hundred times as large.
#[tokio::test]
async fn auth_payloads_are_not_blown_up_where_sockets_can_be_recovered() {
    const CLIENTS: usize = 4;
    let alone = Alone::begin().await;
    let io = Server::builder().recovery(Recovery::new()).auth_bytes_max(MB).build();
    io.of("/").connect(async |_: Hello| -> Result<(), Refusal> { Ok(()) });
    let server = start(io).await;
    let empty = (0..100_000).map(|_| "{\"\":0}").collect::<Vec<_>>().join(",");
    let deep = "[".repeat(500) + &"]".repeat(500);
    let auths = [
        format!("{{\"a\":[{empty}]}}"),
        format!("{{\"pid\":\"{}\",\"a\":[{empty}]}}", "A".repeat(20)),
        format!("{{\"pid\":\"{}\",\"a\":{deep}}}", "A".repeat(20)),
        format!("{{{}}}", (0..80_000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",")),
    ];
    for auth in &auths {
        for _ in 0..CLIENTS {
            let mut client = Client::open(server.address).await;
            join_with(&mut client, auth).await;
            alone.holds_at_most(40 * MB);
            client.send("1").await;
        }
    }
    server.is_unharmed().await;
}

/// What the documentation of `Hello::auth` says: an upper bound of what the memory is that one byte takes.
#[tokio::test]
async fn a_byte_of_small_objects_takes_a_hundred_when_it_is_read_into_values() {
    #[derive(serde::Deserialize)]
    struct Token {
        token: String,
    }

    const COPIES: usize = 200;
    const BYTES: usize = 16 * 1_024;
    let alone = Alone::begin().await;
    let list = |item: &str| {
        let items = vec![item; BYTES / (item.len() + 1) - 4].join(",");
        format!("{{\"token\":\"x\",\"a\":[{items}]}}")
    };
    // None is dropped before the last, whose memory would be used again.
    let mut kept = Vec::new();
    for (item, at_most) in [("{\"\":0}", 100), ("{}", 30), ("[]", 30), ("0", 50)] {
        let auth = list(item);
        let before = resident_bytes();
        let values: Vec<serde_json::Value> =
            (0..COPIES).map(|_| serde_json::from_str(&auth).unwrap()).collect();
        let each = resident_bytes().saturating_sub(before) / (COPIES * auth.len());
        println!("{item}: {each} bytes for one");
        assert!(each <= at_most, "{item}: {each}");
        kept.push(values);
    }
    drop((kept, alone));
    let alone = Alone::begin().await;
    let auth = list("{\"\":0}");
    let tokens: Vec<Token> =
        (0..COPIES * 100).map(|_| serde_json::from_str(&auth).unwrap()).collect();
    assert!(tokens.iter().all(|token| token.token == "x"));
    alone.holds_at_most(4 * MB);
}

/// Whether there is one decision to wait for or many, what waits for them has one bound.
#[tokio::test]
async fn auth_payloads_that_wait_for_decisions_are_limited_in_size() {
    const NAMESPACES: usize = 30;
    let alone = Alone::begin().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Notify::new());
    // Where nothing else bounds them.
    let builder = Server::builder().auth_bytes_max(MB).decisions_max(NAMESPACES);
    let io = builder.deciding_bytes_max(100 * MB).build();
    for n in 0..NAMESPACES {
        let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
        io.of(&format!("/{n}")).connect(move |hello: Hello| {
            asked.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                gate.notified().await;
                drop(hello);
                Err::<(), _>(Refusal::new("no"))
            }
        });
    }
    let server = start(echoing_at(io)).await;
    let mut bystander = server.client().await;
    let client = Client::open(server.address).await;
    let mut writer = client.ws.conn.writer();
    let flood = tokio::spawn(async move {
        for n in 0..NAMESPACES {
            let connect = format!("40/{n},{{\"a\":\"{}\"}}", "x".repeat(950_000));
            if writer.write_all(&frame_bytes(Opcode::Text, connect.as_bytes())).await.is_err() {
                return;
            }
        }
    });
    until("some were asked", || asked.load(Ordering::SeqCst) >= 5).await;
    for n in 0..300 {
        assert_eq!(bystander.ask("echo", &n.to_string()).await, json!([n]));
    }
    // 4 MiB are held, and with them one more.
    assert_eq!(asked.load(Ordering::SeqCst), 5);
    alone.holds_at_most(30 * MB);
    let opening = tokio::spawn(async move {
        loop {
            gate.notify_waiters();
            tokio::task::yield_now().await;
        }
    });
    until("all were asked", || asked.load(Ordering::SeqCst) == NAMESPACES).await;
    within(flood).await.unwrap();
    opening.abort();
    client.ws.conn.reset();
    drop(bystander);
    until("gone", || server.stats().connections == 0).await;
}

fn echoing_at(io: Server) -> Server {
    io.on("echo", async |_: Socket, args: Args| args);
    io
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_claim_one_socket_that_is_there_share_one_at_most() {
    const CLAIMS: usize = 100;
    let alone = Alone::begin().await;
    let server = start(echoing(Server::builder().recovery(Recovery::new()))).await;
    let mut bystander = Client::open(server.address).await;
    join_with(&mut bystander, "").await;
    let mut owner = Client::open(server.address).await;
    let (id, pid) = join_with(&mut owner, "").await;
    // The owner does not read, so that its close is not answered either.
    let mut claims = JoinSet::new();
    for _ in 0..CLAIMS {
        let (address, auth) = (server.address, format!("{{\"pid\":\"{pid}\"}}"));
        claims.spawn(async move {
            let mut client = Client::open(address).await;
            // Pushed out by the next one, perhaps before it was told.
            client.send(&format!("0{auth}")).await;
            let packet = client.try_next().await;
            (packet.map(|packet| packet.data["sid"].as_str().unwrap().to_owned()), client)
        });
    }
    let mut clients = Vec::new();
    while let Some(claimed) = within(claims.join_next()).await {
        clients.push(claimed.unwrap());
    }
    let ids = server.everyone().local_ids();
    let same = ids.iter().filter(|found| found.as_str() == id).count();
    assert!(same <= 1, "{same} have one socket");
    let stats = server.stats();
    assert_eq!(stats.recovered + stats.recoveries_refused, CLAIMS as u64, "{stats:?}");
    assert_eq!(bystander.ask("echo", "1").await[0], json!(1));
    alone.holds_at_most(30 * MB);
    drop((owner, clients, bystander));
    server.is_unharmed().await;
}

// Requests.

#[tokio::test]
async fn pages_of_elsewhere_get_no_websocket_whatever_the_form_of_the_rule() {
    let _alone = Alone::begin().await;
    let rules = [
        Origins::SameHost,
        Origins::List(vec!["https://good.example".to_owned()]),
        Origins::subdomains_of("https://good.example"),
        Origins::matching(|origin| origin == "https://good.example"),
        Origins::matching(|_| panic!("on purpose")),
    ];
    let evil = [
        "https://evil.example",
        "https://good.example.evil.example",
        "https://evilgood.example",
        "https://evil.example/https://good.example",
        "https://good.example@evil.example",
        "https://localhost.evil.example",
        "null",
        "",
        "\x22",
        "https://good.example https://evil.example",
    ];
    for rule in rules {
        let io = Server::builder().origins(rule.clone()).allow_eio3(true).jsonp(true).build();
        let server = start(io).await;
        let poller = server.poller().await;
        let own = poller.upgrade_target();
        let targets = [WEBSOCKET, V3_WEBSOCKET, own.as_str()];
        let mut refused = 0;
        for origin in evil {
            let header = format!("Origin: {origin}\r\n");
            for target in targets {
                let response = request(server.address, upgrade_head_with(target, &header)).await;
                assert_ne!(response.status, 101, "{rule:?} {origin} {target}");
            }
            for target in [POLLING, V3, &format!("{V3}&j=0"), &poller.target()] {
                let response = get(server.address, target, &header).await;
                assert_ne!(response.status, 200, "{rule:?} {origin} {target}");
                assert_eq!(response.header("access-control-allow-origin"), None);
            }
            refused += 7;
        }
        // Two at once, of which one may.
        let twice = "Origin: http://localhost\r\nOrigin: https://evil.example\r\n";
        let response = request(server.address, upgrade_head_with(WEBSOCKET, twice)).await;
        assert_ne!(response.status, 101);
        assert_eq!(server.stats().requests_refused, refused + 1);
        assert_eq!(server.stats().opened, 1);
        assert_eq!(poller.post("1").await.text(), "ok");
        server.is_unharmed().await;
    }
}

#[tokio::test]
async fn odd_queries_are_answered_on_all_transports() {
    let alone = Alone::begin().await;
    let server =
        start(echoing(Server::builder().allow_eio3(true).jsonp(true).close_timeout(SOON))).await;
    let long = "x".repeat(5_000);
    let many = "sid=a&".repeat(800);
    let queries = [
        "",
        "&",
        "=&=&=",
        "EIO=3",
        "EIO=3&transport=polling&transport=websocket&sid=",
        "EIO=3&transport=__proto__",
        "EIO=4&transport[]=polling",
        "EIO=4&transport=polling&sid=__proto__",
        "EIO=4&transport=polling&sid=%00%00",
        "EIO=4&transport=websocket&sid=%ff",
        "EIO=3&transport=polling&j=1&sid=x",
        "EIO=3&transport=polling&j=%30",
        "EIO=3&transport=polling&j",
        "EIO=99999999999999999999&transport=x",
        "transport=constructor&EIO=NaN",
        "t=%&EIO=4&transport=polling&sid=a%",
        &format!("EIO=3&transport=polling&sid={long}"),
        &format!("EIO=3&transport=polling&j={long}"),
        &format!("EIO=4&transport={long}"),
        &format!("{many}EIO=3&transport=polling"),
        &format!("EIO=3&transport=polling&{many}"),
    ];
    for query in queries {
        let target = format!("/socket.io/?{query}");
        let shown = &query[..query.len().min(60)];
        for request in [
            head("GET", &target, ""),
            post(&target, "1:1"),
            head("DELETE", &target, ""),
            upgrade_head(&target),
        ] {
            let response = support::request(server.address, request).await;
            assert!(matches!(response.status, 400..=499), "{shown}: {response:?}");
        }
    }
    // Where a parameter comes twice, the first one counts, and the session is usable.
    for query in ["EIO=3&transport=polling&EIO=4&b64=1&b64=0", "EIO=4&transport=polling&EIO=3"] {
        let response = get(server.address, &format!("/socket.io/?{query}"), "").await;
        assert_eq!(response.status, 200, "{query}");
    }
    assert_eq!(server.stats().opened, 2);
    alone.holds_at_most(10 * MB);
    within(server.close()).await;
    server.is_empty_again().await;
}

#[tokio::test]
async fn bodies_of_any_type_are_answered_and_leave_no_connection_behind() {
    let _alone = Alone::begin().await;
    let server =
        start(echoing(Server::builder().allow_eio3(true).jsonp(true).close_timeout(SOON))).await;
    let types = [
        "application/octet-stream",
        "application/octet-stream; charset=utf-8",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/json",
        FORM,
        "\u{1}",
        "x",
        "",
    ];
    for content_type in types {
        for (target, body) in [(POLLING, "9"), (V3, "1:9"), (&format!("{V3}&j=0"), "e=9")] {
            let opened = get(server.address, target, "").await;
            let (_, sid) = opened.text().split_once("sid").unwrap();
            let sid = sid.trim_start_matches(['\\', '"', ':']).get(..20).unwrap();
            let target = format!("{target}&sid={sid}");
            let response = v3_post(&server, &target, content_type, body.as_bytes()).await;
            assert_eq!(response.status, 400, "{content_type:?} {target}");
        }
    }
    // Upgrades that are never completed: the probe says nothing, or half a frame.
    let mut probes = Vec::new();
    for n in 0..50 {
        let poller = server.poller().await;
        let mut probe = Ws::upgrade(server.address, &poller.upgrade_target()).await;
        if n % 2 == 0 {
            probe.conn.send([0x81]).await;
        }
        probes.push((poller, probe));
    }
    within(server.close()).await;
    server.is_empty_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_nobody_decides_about_hold_little_and_are_answered() {
    const WAITING: usize = 2_000;
    let alone = Alone::begin().await;
    let io = Server::builder()
        .allow_timeout(Duration::from_secs(3))
        .allow_request(async |request: Request<'static>| -> Result<(), Refusal> {
            if request.header("x-key").is_none() {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
        .build();
    let server = start(echoing_at(io)).await;
    let padding = format!("X-Padding: {}\r\n", "x".repeat(4_000));
    let mut waiting = Vec::new();
    for n in 0..WAITING {
        let mut conn = Conn::open(server.address).await;
        conn.send(match n % 2 {
            0 => head("GET", POLLING, &padding),
            _ => upgrade_head_with(WEBSOCKET, &padding),
        })
        .await;
        waiting.push(conn);
    }
    // Others are served meanwhile.
    let mut conn = Conn::open(server.address).await;
    conn.send(upgrade_head_with(WEBSOCKET, "X-Key: 1\r\n")).await;
    assert_eq!(conn.response().await.status, 101);
    let mut ws = Ws::over(conn);
    assert!(ws.text().await.starts_with("0{"));
    // Three times the head for each, and its task.
    alone.holds_at_most(WAITING * 24_000);
    assert_eq!(server.stats().opened, 1);
    for conn in &mut waiting {
        assert_eq!(conn.response().await.status, 503);
    }
    assert_eq!(server.stats().allow_timeouts, WAITING as u64);
    drop(waiting);
    ws.close().await;
    server.is_empty_again().await;
}

// The end.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_drains_while_it_is_flooded() {
    const CLIENTS: usize = 20;
    let alone = Alone::begin().await;
    let io = compressing()
        .allow_eio3(true)
        .recovery(Recovery::new())
        .close_timeout(Duration::from_millis(500))
        .outbox_bytes_max(2 * MB);
    let server = start(echoing(io)).await;
    let address = server.address;
    let numbers: String = (0..2_000).map(|n| format!("{n} ")).collect();
    let event = format!("427[\"echo\",\"{numbers}\"]");
    let compressed_event = odd_frame(0xc1, &deflated(event.as_bytes()));
    let plain_event = frame_bytes(Opcode::Text, event.as_bytes());
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut ws = compressed(&server).await;
        ws.send_text("40").await;
        assert!(ws.text().await.starts_with("40"));
        clients.push(ws);
    }
    let mut floods = JoinSet::new();
    for (n, mut ws) in clients.into_iter().enumerate() {
        let frame = if n % 2 == 0 { compressed_event.clone() } else { plain_event.clone() };
        let mut writer = ws.conn.writer();
        floods.spawn(async move {
            // Half of them read nothing.
            let reading = async {
                while n % 4 < 2 && ws.conn.fill().await {
                    ws.conn.input.clear();
                }
            };
            let writing = async { while writer.write_all(&frame).await.is_ok() {} };
            tokio::join!(reading, writing);
        });
    }
    // And those who come all the time.
    let coming = tokio::spawn(async move {
        loop {
            let mut conn = Conn::open(address).await;
            conn.send(head("GET", POLLING, "")).await;
            let _ = conn.try_response().await;
        }
    });
    until("a flood", || server.stats().opened > CLIENTS as u64 + 5).await;
    assert_eq!(server.stats().violations, 0);
    within(server.drain(Duration::from_millis(500))).await;
    coming.abort();
    server.is_empty_again().await;
    while let Some(ended) = within(floods.join_next()).await {
        ended.unwrap();
    }
    alone.holds_at_most(80 * MB);
    server.is_empty_again().await;
}
