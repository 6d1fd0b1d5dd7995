//! How a socket ended, as the server's program is told it, and what its client is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use roomful::{
    Builder, ConnectionFlow, Description, EventFlow, Farewell, OneEvent, Rate, Reason, Recovery,
    Server, Socket, Violation, WsError,
};
use roomful_proto::ws::frame::Opcode;
use support::*;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

/// How long nothing here takes.
const LONG: Duration = Duration::from_secs(3_600);
/// What a close frame can say at most.
const SAID_BYTES_MAX: usize = 123;
const V3_WEBSOCKET: &str = "/socket.io/?EIO=3&transport=websocket";

type Farewells = mpsc::UnboundedReceiver<Farewell>;

/// A server that passes on how each socket of `/` ended.
async fn watch(builder: Builder) -> (Running, Farewells) {
    let io = builder.build();
    let (gone, farewells) = mpsc::unbounded_channel();
    io.on_disconnect(move |me: Socket, reason: Reason| {
        let farewell = me.farewell().expect("it has ended").clone();
        assert_eq!(farewell.reason, reason);
        let _ = gone.send(farewell);
        async {}
    });
    io.on("panic", async |_: Socket| -> () { panic!("as it should") });
    io.on("leave", async |me: Socket| me.disconnect());
    io.on("close", async |me: Socket| me.close());
    (start(io).await, farewells)
}

async fn watched() -> (Running, Farewells) {
    watch(Server::builder()).await
}

#[track_caller]
fn check(found: Option<Farewell>, reason: Reason, description: Option<Description>) {
    let found = found.expect("a farewell");
    assert_eq!((found.reason, found.description), (reason, description));
}

async fn check_next(farewells: &mut Farewells, reason: Reason, description: Description) {
    check(within(farewells.recv()).await, reason, Some(description));
}

fn closed(code: Option<u16>, said: &str) -> Description {
    // Nobody else can make one, but anybody can look into one.
    Description::Closed { code, said: said.into() }
}

// The socket.

#[tokio::test]
async fn a_farewell_is_there_from_on_disconnecting_on_for_whoever_has_the_socket() {
    let io = Server::new();
    let kept: Arc<Mutex<Option<Socket>>> = Arc::default();
    let keep = Arc::clone(&kept);
    io.on_connect(move |me: Socket| {
        assert_eq!(me.farewell(), None);
        *keep.lock().unwrap() = Some(me);
        async {}
    });
    let (gone, mut farewells) = mpsc::unbounded_channel();
    let going = gone.clone();
    io.on_disconnecting(move |me: Socket, _| {
        let _ = going.send(("disconnecting", me.rooms().len(), me.farewell().cloned()));
        async {}
    });
    io.on_disconnect(move |me: Socket, _| {
        let _ = gone.send(("disconnect", me.rooms().len(), me.farewell().cloned()));
        async {}
    });
    let server = start(io).await;
    let mut client = server.client().await;
    let socket = kept.lock().unwrap().take().unwrap();
    assert_eq!(socket.farewell(), None);
    client.ws.send_frame(Opcode::Close, b"\x0f\xa1bye").await;
    for (when, rooms) in [("disconnecting", 1), ("disconnect", 0)] {
        let (found, in_rooms, farewell) = within(farewells.recv()).await.unwrap();
        assert_eq!((found, in_rooms), (when, rooms));
        check(farewell, Reason::TransportClose, Some(closed(Some(4001), "bye")));
    }
    client.ws.ended().await;
    drop(client);
    server.is_empty_again().await;
    check(socket.farewell().cloned(), Reason::TransportClose, Some(closed(Some(4001), "bye")));
}

/// Connections are dropped where they stand, and no function is called.
#[test]
fn a_socket_whose_runtime_ends_has_a_farewell() {
    let io = Server::new();
    let (come, mut sockets) = mpsc::unbounded_channel();
    io.on_connect(move |me: Socket| {
        let _ = come.send(me);
        async {}
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (client, sockets) = runtime.block_on(async {
        let server = start(io).await;
        let client = server.client().await;
        server.poller().await.join().await;
        (client, [within(sockets.recv()).await.unwrap(), within(sockets.recv()).await.unwrap()])
    });
    for socket in &sockets {
        assert_eq!((socket.is_connected(), socket.farewell()), (true, None));
    }
    drop(runtime);
    for socket in &sockets {
        assert!(!socket.is_connected());
        check(socket.farewell().cloned(), Reason::ForcedServerClose, None);
    }
    drop(client);
}

/// Handlers of its own are kept where a farewell is.
#[tokio::test]
async fn a_socket_with_handlers_of_its_own_has_a_farewell() {
    let io = Server::new();
    io.on_connect(async |me: Socket| {
        me.on("own", async |_: Socket| "mine");
    });
    let (gone, mut farewells) = mpsc::unbounded_channel();
    io.on_disconnect(move |me: Socket, _| {
        let _ = gone.send(me.farewell().cloned());
        async {}
    });
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("own", "").await, serde_json::json!(["mine"]));
    drop(client);
    let farewell = within(farewells.recv()).await.unwrap();
    check(farewell, Reason::TransportClose, Some(Description::StreamEnded));
}

#[tokio::test]
async fn all_sockets_of_a_connection_have_the_same_farewell() {
    let (gone, mut farewells) = mpsc::unbounded_channel();
    let io = Server::new();
    for namespace in ["/", "/a", "/b"] {
        let gone = gone.clone();
        io.of(namespace).on_disconnect(move |me: Socket, _| {
            let _ = gone.send(me.farewell().cloned());
            async {}
        });
    }
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/a", "").await.unwrap();
    client.join("/b", "").await.unwrap();
    client.ws.send_frame(Opcode::Close, b"\x03\xe9").await;
    for _ in 0..3 {
        let farewell = within(farewells.recv()).await.unwrap();
        check(farewell, Reason::TransportClose, Some(closed(Some(1001), "")));
    }
}

#[tokio::test]
async fn where_a_side_wanted_the_socket_gone_the_reason_says_all() {
    let (server, mut farewells) = watched().await;
    let mut client = server.client().await;
    client.send("1").await;
    check(within(farewells.recv()).await, Reason::ClientNamespaceDisconnect, None);
    for (event, ends) in [("leave", false), ("close", true)] {
        let mut client = server.client().await;
        client.emit(event, "").await;
        assert_eq!(client.next().await.kind, 1);
        check(within(farewells.recv()).await, Reason::ServerNamespaceDisconnect, None);
        if ends {
            let told = (1000, "forced server close".to_owned());
            assert_eq!(client.ws.close_frame().await, Some(told));
        }
    }
}

#[tokio::test]
async fn a_panic_of_a_handler_is_told() {
    let (server, mut farewells) = watched().await;
    let mut client = server.client().await;
    client.emit("panic", "").await;
    assert_eq!(client.next().await.kind, 1);
    check_next(&mut farewells, Reason::ServerNamespaceDisconnect, Description::Panicked).await;
}

// The stream.

#[tokio::test]
async fn what_a_client_says_when_it_closes_is_told_and_bounded() {
    let (server, mut farewells) = watched().await;
    let longest = "x".repeat(SAID_BYTES_MAX);
    let frames: [(&[u8], _); 5] = [
        (b"", closed(None, "")),
        (b"\x03\xe8", closed(Some(1000), "")),
        (b"\x13\x87that is all", closed(Some(4999), "that is all")),
        (b"\x0f\xa0\xc3\xa9", closed(Some(4000), "\u{e9}")),
        (&[b"\x03\xe9", longest.as_bytes()].concat(), closed(Some(1001), &longest)),
    ];
    for (payload, description) in frames {
        let mut client = server.client().await;
        client.ws.send_frame(Opcode::Close, payload).await;
        let told = client.ws.close_frame().await;
        assert_eq!(told, Some((1000, String::new())), "who has closed it knows");
        check_next(&mut farewells, Reason::TransportClose, description).await;
    }
    // One byte more is no close frame any more.
    let mut client = server.client().await;
    client.ws.send_frame(Opcode::Close, &[b"\x03\xe9", longest.as_bytes(), b"x"].concat()).await;
    assert_eq!(client.ws.close_code().await, Some(1002));
    let description = Description::WebSocket(WsError::Control);
    check_next(&mut farewells, Reason::TransportError, description).await;
}

#[tokio::test]
async fn a_close_packet_is_told_on_either_transport() {
    let (server, mut farewells) = watched().await;
    let mut client = server.client().await;
    client.ws.send_text("1").await;
    check_next(&mut farewells, Reason::TransportClose, Description::ClosePacket).await;
    let poller = server.poller().await;
    poller.join().await;
    assert_eq!(poller.post("1").await.text(), "ok");
    check_next(&mut farewells, Reason::TransportClose, Description::ClosePacket).await;
}

#[tokio::test]
async fn a_stream_that_ends_or_is_reset_is_told() {
    let (server, mut farewells) = watched().await;
    let mut client = server.client().await;
    client.ws.conn.stream.shutdown().await.unwrap();
    check_next(&mut farewells, Reason::TransportClose, Description::StreamEnded).await;
    let client = server.client().await;
    client.ws.conn.reset();
    let reset = Description::Io(ErrorKind::ConnectionReset);
    check_next(&mut farewells, Reason::TransportError, reset).await;
}

/// A stream that can be read, and fails when something of that length is written.
struct Faulty {
    stream: DuplexStream,
    len: usize,
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, to)
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        if from.len() >= self.len {
            return Poll::Ready(Err(ErrorKind::StorageFull.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_written_to_is_told() {
    let (server, mut farewells) = watched().await;
    let (ours, theirs) = tokio::io::duplex(10_000);
    let io = server.io.clone();
    let faulty = Faulty { stream: theirs, len: 2_000 };
    tokio::spawn(async move { io.serve_stream(faulty, None).await });
    let mut conn = Conn::over(ours);
    conn.send(upgrade_head(WEBSOCKET)).await;
    assert_eq!(conn.response().await.status, 101);
    let mut ws = Ws::over(conn);
    assert!(ws.text().await.starts_with("0{"));
    ws.send_text("40").await;
    assert!(ws.text().await.starts_with("40{"));
    server.emit("big", "x".repeat(5_000));
    let full = Description::Io(ErrorKind::StorageFull);
    check_next(&mut farewells, Reason::TransportError, full).await;
}

#[tokio::test]
async fn a_breach_of_the_websocket_protocol_is_told_to_both_sides() {
    let (server, mut farewells) = watch(Server::builder().payload_bytes_max(1_000)).await;
    let too_large = Description::TooLarge { bytes_max: 1_000 };
    let cases = [
        (odd_frame(0xc1, b"42"), 1002, Description::WebSocket(WsError::ReservedBits)),
        (odd_frame(0x83, b"42"), 1002, Description::WebSocket(WsError::Opcode)),
        (odd_frame(0x80, b"42"), 1002, Description::WebSocket(WsError::Continuation)),
        (odd_frame(0x09, b""), 1002, Description::WebSocket(WsError::Control)),
        (vec![0x81, 0x01, b'2'], 1002, Description::WebSocket(WsError::Mask)),
        (frame_bytes(Opcode::Text, b"4\xff"), 1007, Description::WebSocket(WsError::Utf8)),
        (frame_bytes(Opcode::Close, b"x"), 1002, Description::WebSocket(WsError::Close)),
        (frame_bytes(Opcode::Text, &[b'4'; 1_001]), 1009, too_large),
    ];
    for (bytes, code, description) in cases {
        let mut client = server.client().await;
        client.ws.conn.send(bytes).await;
        let told = (code, description.as_str().to_owned());
        assert_eq!(client.ws.close_frame().await, Some(told));
        check_next(&mut farewells, Reason::TransportError, description).await;
    }
}

// The session.

#[tokio::test]
async fn a_breach_of_the_protocol_is_told_to_both_sides() {
    use Violation::*;
    let (server, mut farewells) = watched().await;
    let cases = [
        ("8", 1002, Reason::ParseError, EnginePacket),
        ("0", 1002, Reason::ParseError, Unexpected),
        ("49", 1002, Reason::ParseError, PacketType),
        ("42[\"disconnect\"]", 1002, Reason::ParseError, ReservedEvent),
        ("42{}", 1002, Reason::ParseError, Payload),
        ("40", 1000, Reason::ForcedServerClose, ConnectTwice),
        ("42/x,[\"e\"]", 1000, Reason::ForcedServerClose, NotConnected),
    ];
    for (packet, code, reason, violation) in cases {
        let mut client = server.client().await;
        client.ws.send_text(packet).await;
        let told = (code, violation.as_str().to_owned());
        assert_eq!(client.ws.close_frame().await, Some(told), "{packet}");
        check_next(&mut farewells, reason, Description::Protocol(violation)).await;
        // The same in a body: the answer says it, unless nothing is behind it. Then it is ok already.
        let poller = server.poller().await;
        poller.join().await;
        let answer = poller.post(&format!("{packet}\u{1e}6")).await;
        let told = format!(r#"{{"code":3,"message":"{violation}"}}"#);
        assert_eq!((answer.status, answer.text()), (400, told.as_str()), "{packet}");
        check_next(&mut farewells, reason, Description::Protocol(violation)).await;
    }
}

#[tokio::test]
async fn silence_is_told_with_how_long_it_was_borne() {
    let (interval, timeout) = (Duration::from_secs(25), Duration::from_secs(20));
    let (server, mut farewells) = watch(Server::builder().allow_eio3(true)).await;
    let poller = server.poller().await;
    assert_eq!(poller.post("40").await.text(), "ok");
    let mut ws = server.opened().await;
    ws.send_text("40").await;
    // A client that is the one to ping, and is in without asking.
    let mut old = Ws::upgrade(server.address, V3_WEBSOCKET).await;
    until("all are in", || server.len() == 3).await;
    passes(interval + Duration::from_secs(1)).await;
    while ws.text().await != "2" {}
    passes(timeout).await;
    for ws in [&mut ws, &mut old] {
        assert_eq!(ws.close_frame().await, Some((1000, "ping timeout".to_owned())));
    }
    let mut waits = Vec::new();
    for _ in 0..3 {
        let Farewell { reason, description, .. } = within(farewells.recv()).await.unwrap();
        assert_eq!(reason, Reason::PingTimeout);
        let Some(Description::Silent { waited }) = description else { panic!("{description:?}") };
        waits.push(waited);
    }
    waits.sort();
    assert_eq!(waits, [timeout, timeout, interval + timeout]);
}

// Polling.

#[tokio::test]
async fn a_poll_that_is_given_up_is_told() {
    let (server, mut farewells) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    drop(poller.pending().await);
    check_next(&mut farewells, Reason::TransportError, Description::PollGone).await;
}

#[tokio::test]
async fn two_polls_at_once_are_told_to_both_sides() {
    let (server, mut farewells) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let (mut one, mut two) = (poller.pending().await, poller.pending().await);
    let (one, two) = tokio::join!(one.response(), two.response());
    let second = if one.status == 200 { two } else { one };
    let told = r#"{"code":3,"message":"two polls at once"}"#;
    assert_eq!((second.status, second.text()), (400, told));
    check_next(&mut farewells, Reason::TransportError, Description::PollOverlap).await;
}

/// A body of which a part is there, and the server has begun to receive it.
async fn half_a_body(poller: &Poller) -> Conn {
    let mut conn = Conn::open(poller.address).await;
    let headers = "Content-Length: 5\r\nExpect: 100-continue\r\n";
    conn.send(head("POST", &poller.target(), headers)).await;
    while !conn.input.ends_with(b"\r\n\r\n") {
        assert!(conn.fill().await);
    }
    assert!(conn.input.starts_with(b"HTTP/1.1 100 "));
    conn.input.clear();
    conn
}

#[tokio::test]
async fn a_body_that_is_given_up_is_told() {
    let (server, mut farewells) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    drop(half_a_body(&poller).await);
    check_next(&mut farewells, Reason::TransportError, Description::BodyGone).await;
}

#[tokio::test]
async fn two_bodies_at_once_are_told_to_both_sides() {
    let (server, mut farewells) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let _first = half_a_body(&poller).await;
    let second = poller.post("42[\"e\"]").await;
    let told = r#"{"code":3,"message":"two bodies at once"}"#;
    assert_eq!((second.status, second.text()), (400, told));
    check_next(&mut farewells, Reason::TransportError, Description::BodyOverlap).await;
}

#[tokio::test]
async fn a_body_that_is_too_slow_is_told_to_both_sides() {
    let patience = Duration::from_millis(300);
    let (server, mut farewells) = watch(Server::builder().request_timeout(patience)).await;
    let poller = server.poller().await;
    poller.join().await;
    let mut slow = half_a_body(&poller).await;
    let answer = slow.response().await;
    let told = r#"{"code":3,"message":"body too slow"}"#;
    assert_eq!((answer.status, answer.text()), (408, told));
    check_next(&mut farewells, Reason::TransportError, Description::BodySlow).await;
}

#[tokio::test]
async fn a_body_of_bytes_is_told_to_both_sides() {
    let (server, mut farewells) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    let headers = "Content-Type: application/octet-stream\r\nContent-Length: 2\r\n";
    let answer = request(server.address, head("POST", &poller.target(), headers) + "40").await;
    let told = r#"{"code":3,"message":"body of the wrong kind"}"#;
    assert_eq!((answer.status, answer.text()), (400, told));
    check_next(&mut farewells, Reason::TransportError, Description::BodyKind).await;
}

// The server.

#[tokio::test]
async fn an_outbox_that_was_full_is_told_with_its_limit() {
    let (server, mut farewells) = watch(Server::builder().outbox_bytes_max(100_000)).await;
    let full = Description::OutboxFull { bytes_max: 100_000 };
    let client = server.client().await;
    // More than the outbox and all buffers of the system hold.
    for _ in 0..1_000 {
        server.emit("blob", "x".repeat(30_000));
    }
    check_next(&mut farewells, Reason::ForcedServerClose, full.clone()).await;
    drop(client);
    let poller = server.poller().await;
    poller.join().await;
    for _ in 0..4 {
        server.emit("blob", "x".repeat(30_000));
    }
    check_next(&mut farewells, Reason::ForcedServerClose, full).await;
}

#[tokio::test]
async fn a_rate_that_was_exceeded_is_told_to_both_sides() {
    let rate = Rate::new(2, LONG).disconnects();
    let (server, mut farewells) =
        watch(Server::builder().connection_flow(ConnectionFlow::new().rate(rate))).await;
    let mut client = server.client().await;
    for _ in 0..3 {
        client.emit("nothing", "").await;
    }
    assert_eq!(client.next().await.kind, 1);
    assert_eq!(client.ws.close_frame().await, Some((1008, "too many events".to_owned())));
    let too_fast = Description::TooFast(rate);
    check_next(&mut farewells, Reason::ServerNamespaceDisconnect, too_fast).await;

    let (server, mut farewells) = watched().await;
    let rate = Rate::new(1, LONG).disconnects();
    server.event_flow(EventFlow::new().event("login", OneEvent::new().rate(rate)));
    let mut client = server.client().await;
    client.emit("login", "").await;
    client.emit("login", "").await;
    assert_eq!(client.next().await.kind, 1, "its socket, not its connection");
    let too_fast = Description::TooFast(rate);
    check_next(&mut farewells, Reason::ServerNamespaceDisconnect, too_fast).await;
    client.join("/", "").await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_server_is_told_to_both_sides() {
    let going_away = Some((1001, "server shutting down".to_owned()));
    let (server, mut farewells) = watched().await;
    let mut client = server.client().await;
    let poller = server.poller().await;
    poller.join().await;
    let mut pending = poller.pending().await;
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    assert_eq!(client.ws.close_frame().await, going_away);
    assert_eq!(pending.response().await.text(), "1");
    for _ in 0..2 {
        check_next(&mut farewells, Reason::ServerShuttingDown, Description::Closing).await;
    }
    drop(client);
    within(closing).await.unwrap();

    let (server, mut farewells) = watched().await;
    let mut client = server.client().await;
    let io = server.io.clone();
    let draining = tokio::spawn(async move { io.drain(Duration::from_millis(1)).await });
    assert_eq!(client.ws.close_frame().await, going_away);
    check_next(&mut farewells, Reason::ServerShuttingDown, Description::Draining).await;
    drop(client);
    within(draining).await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_back_elsewhere_is_told_on_its_old_connection() {
    let (server, mut farewells) = watch(Server::builder().recovery(Recovery::new())).await;
    let mut old = Client::open(server.address).await;
    old.send("0").await;
    let joined = old.next().await;
    let mut new = Client::open(server.address).await;
    new.send(&format!("0{{\"pid\":{}}}", joined.data["pid"])).await;
    let told = (1000, "back on another connection".to_owned());
    assert_eq!(old.ws.close_frame().await, Some(told));
    check_next(&mut farewells, Reason::TransportClose, Description::Replaced).await;
    assert_eq!(new.next().await.data["sid"], joined.data["sid"]);
}

/// Whatever a client says, what is kept of it is no longer than a close frame can be.
#[tokio::test]
async fn a_description_never_holds_more_than_a_close_frame_can_say() {
    let (server, mut farewells) = watched().await;
    for len in [1, 60, 122, 123, 124, 125, 126, 1_000, 70_000] {
        let mut client = server.client().await;
        let payload = [b"\x0f\xa0", "\u{e9}".repeat(len).as_bytes()].concat();
        client.ws.send_frame(Opcode::Close, &payload).await;
        let farewell = within(farewells.recv()).await.unwrap();
        match farewell.description.unwrap() {
            Description::Closed { code: Some(4000), said } => {
                assert!(said.len() <= SAID_BYTES_MAX && said.len() == 2 * len, "{len}");
            }
            description => assert_eq!(description, Description::WebSocket(WsError::Control)),
        }
    }
}
