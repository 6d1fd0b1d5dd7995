//! A server that breaks every rule: each time an error names it, and the client goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use roomful_client::{
    Builder, Bytes, CloseCode, ConnectError, DisconnectReason, Limits, Manager, Proxy,
    Reconnection, Socket, Status, Transport, TransportCause, Violation,
};
use roomful_proto::deflate::Deflate;
use roomful_proto::ws::frame::{self, Header, Opcode};
use support::raw::{
    BOTH, JOINED, POLLING, Raw, WEBSOCKET, Wire, binary, frame, ok, open_packet, status, switching,
    text,
};
use support::{main_socket, soon};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                       client_no_context_takeover\r\n";

fn client(raw: &Raw, way: &[Transport]) -> Builder {
    Manager::builder(&raw.url)
        .unwrap()
        .transports(way.iter().copied())
        .reconnection(Reconnection::every(Duration::from_secs(3600)))
}

/// Small limits, so that crossing them takes no time.
fn limits() -> Limits {
    let mut limits = Limits::client();
    limits.payload_bytes_max = 100_000;
    limits.held_bytes_max = 10_000;
    limits.fragments_max = 1_000;
    limits.close_timeout = Duration::from_millis(50);
    limits
}

/// Connects, and tells why there is no connection any more.
async fn ending(socket: &Socket) -> ConnectError {
    let mut watch = socket.watch();
    drop(socket.connect());
    let ended = watch.wait_for(|status| matches!(status, Status::Waiting { .. }));
    match &*soon(ended).await.unwrap() {
        Status::Waiting { error, attempt: 1, .. } => (**error).clone(),
        other => panic!("{other:?}"),
    }
}

async fn cause(socket: &Socket) -> TransportCause {
    match ending(socket).await {
        ConnectError::Transport(e) => e.cause().clone(),
        other => panic!("{other:?}"),
    }
}

fn websocket(why: &str) -> TransportCause {
    TransportCause::WebSocket(why.to_owned())
}

fn broken(violation: Violation) -> TransportCause {
    TransportCause::Protocol(violation)
}

#[tokio::test]
async fn what_breaks_the_websocket_is_named() {
    let mut masked = Vec::new();
    frame::write(&mut masked, Opcode::Text, b"2", Some([1; 4]));
    let mut fragments = vec![0x01, 1, b'4'];
    fragments.extend([0x00, 1, b'x'].repeat(1_001));
    let mut large = vec![0x01, 1, b'4'];
    for _ in 0..100 {
        large.extend([0x00, 126, 0x10, 0]);
        large.extend([b'x'; 0x1000]);
    }
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("frame masked the wrong way", masked),
        ("reserved bit in a frame", vec![0xc1, 1, b'2']),
        ("reserved bit in a frame", vec![0xa1, 1, b'2']),
        ("unknown opcode", vec![0x83, 0]),
        ("message too big", [&[0x81, 127][..], &300_000_000_u64.to_be_bytes()].concat()),
        ("bad frame length", [&[0x81, 127][..], &u64::MAX.to_be_bytes()].concat()),
        ("bad frame length", vec![0x81, 126, 0, 1, b'2']),
        ("fragments out of order", vec![0x80, 0]),
        ("fragments out of order", vec![0x01, 1, b'4', 0x81, 1, b'4']),
        ("bad control frame", vec![0x09, 0]),
        ("bad control frame", vec![0x89, 126, 0, 126]),
        ("text is not UTF-8", text(b"4\xff")),
        ("bad close frame", vec![0x88, 1, 3]),
        ("bad close frame", vec![0x88, 2, 0, 0]),
        ("text is not UTF-8", vec![0x88, 3, 3, 0xe8, 0xff]),
        ("too many fragments", fragments),
        ("message too big", large),
    ];
    for (why, bytes) in cases {
        let raw = Raw::joins_and_says(bytes).await;
        let socket = main_socket(client(&raw, WEBSOCKET).limits(limits()));
        assert_eq!(cause(&socket).await, websocket(why));
        assert_eq!(socket.manager().stats().violations, 1, "{why}");
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_is_named() {
    let texts = |texts: &[&str]| texts.iter().flat_map(text).collect::<Vec<u8>>();
    let deep = format!("42[\"x\",{}1{}]", "[".repeat(600), "]".repeat(600));
    let many = |packet: &str| texts(&vec![packet; 1_001]);
    let announced = r#"451-["x",{"_placeholder":true,"num":0}]"#;
    let lies = r#"451-["x",{"_placeholder":true,"num":7}]"#;
    let two = r#"452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let half = binary([0; 60_000]);
    let cases: Vec<(Violation, Vec<u8>)> = vec![
        (Violation::EnginePacket, text("")),
        (Violation::EnginePacket, text("9")),
        (Violation::Unexpected, text("0{}")),
        (Violation::Unexpected, text("5")),
        (Violation::PacketType, text("4")),
        (Violation::PacketType, text("49")),
        (Violation::Payload, text("42{}")),
        (Violation::EventName, text("42[]")),
        (Violation::EventName, text("42[[]]")),
        (Violation::ReservedEvent, text("42[\"connect\"]")),
        (Violation::Payload, text("42[\"x\"")),
        (Violation::Depth, text(deep)),
        (Violation::AckId, text("4399999999999999999999[]")),
        (Violation::NamespaceName, text(format!("42/{},[\"x\"]", "a".repeat(600)))),
        (Violation::StrayAttachment, binary("x")),
        (Violation::MissingAttachment, texts(&[announced, "42[\"x\"]"])),
        (Violation::AttachmentCount, text("451001-[\"x\"]")),
        (Violation::AttachmentTimeout, text(announced)),
        (Violation::AttachmentBytes, [text(two), half.clone(), half].concat()),
        (Violation::Placeholder, [text(lies), binary("x")].concat()),
        (Violation::Strays, many("437[]")),
        (Violation::Strays, many("40/never,{\"sid\":\"x\"}")),
        (Violation::Strays, many("42/never,[\"x\"]")),
        (Violation::Strays, many(JOINED)),
        (Violation::Strays, many("44{\"message\":\"no\"}")),
    ];
    for (at, (violation, bytes)) in cases.into_iter().enumerate() {
        let raw = Raw::joins_and_says(bytes).await;
        let mut limits = limits();
        if violation == Violation::AttachmentTimeout {
            limits.attachments_timeout = Duration::from_millis(50);
        }
        let socket = main_socket(client(&raw, WEBSOCKET).limits(limits));
        assert_eq!(cause(&socket).await, broken(violation), "case {at}");
        assert_eq!(socket.manager().stats().violations, 1, "case {at}");
    }
}

#[tokio::test]
async fn what_is_harmless_changes_nothing() {
    let packets = ["3", "6", "2", "3probe", "437[]", "42/never,[\"x\"]", "41/never,", "42[\"x\"]"];
    let raw = Raw::start(move |mut wire| async move {
        wire.join("").await;
        for packet in packets {
            wire.say(text(packet)).await;
        }
        wire.say(frame(Opcode::Ping, "p")).await;
        wire.say(frame(Opcode::Pong, "p")).await;
        wire.say(text("42[\"last\",1]")).await;
        wire.read_all().await;
    })
    .await;
    let socket = main_socket(client(&raw, WEBSOCKET));
    let mut last = socket.events::<_, i32>("last");
    soon(socket.connect()).await.unwrap();
    assert_eq!(soon(last.next()).await.unwrap().unwrap(), 1);
    assert!(socket.is_connected());
    assert_eq!(socket.manager().stats().violations, 0);
}

#[tokio::test]
async fn what_is_no_open_packet_is_named() {
    let with = |sid: &str, interval: &str| {
        format!(
            "0{{\"sid\":{sid},\"upgrades\":[],\"pingInterval\":{interval},\"pingTimeout\":20000}}"
        )
    };
    let long = format!("\"{}\"", "x".repeat(1_000_000));
    let cases: Vec<(Violation, String)> = vec![
        (Violation::EnginePacket, "hello".to_owned()),
        (Violation::Handshake, "0".to_owned()),
        (Violation::Handshake, "0{}".to_owned()),
        (Violation::Handshake, "2".to_owned()),
        (Violation::Handshake, "42[\"x\"]".to_owned()),
        (Violation::Handshake, with("\"a b\"", "1")),
        (Violation::Handshake, with("\"a\\r\\nx: y\"", "1")),
        (Violation::Handshake, with("7", "1")),
        (Violation::Handshake, with(&long, "1")),
        (Violation::Handshake, with("\"a\"", "-1")),
        (Violation::Handshake, with("\"a\"", "\"soon\"")),
    ];
    for (violation, body) in cases {
        let raw = Raw::answers(ok("text/plain", &body)).await;
        let socket = main_socket(client(&raw, POLLING));
        let shown = &body[..body.len().min(80)];
        assert_eq!(cause(&socket).await, broken(violation), "{shown}");
        let bytes = body.clone();
        let raw = Raw::start(move |mut wire| {
            let bytes = text(&bytes);
            async move {
                wire.open_websocket("").await;
                wire.say(bytes).await;
                wire.read_all().await;
            }
        })
        .await;
        let socket = main_socket(client(&raw, WEBSOCKET));
        assert_eq!(cause(&socket).await, broken(violation), "{shown}");
    }
    let raw = Raw::answers(ok("text/plain", "2:40")).await;
    let socket = main_socket(client(&raw, POLLING));
    assert_eq!(cause(&socket).await, broken(Violation::EngineIo3));
    let separators = open_packet("", 1, 1) + &"\u{1e}6".repeat(200_000);
    let raw = Raw::answers(ok("text/plain", &separators)).await;
    let socket = main_socket(client(&raw, POLLING));
    assert_eq!(cause(&socket).await, broken(Violation::PayloadPackets));
}

/// Days of silence would be allowed, and a millisecond: both are taken, and nothing overflows.
#[tokio::test]
async fn absurd_intervals_are_lived_with() {
    for interval in ["1e300", "0", "18446744073709551615"] {
        let open = format!(
            "0{{\"sid\":\"a\",\"upgrades\":[],\"pingInterval\":{interval},\"pingTimeout\":1e308,\
             \"maxPayload\":1e300}}"
        );
        let raw = Raw::start(move |mut wire| {
            let open = open.clone();
            async move {
                wire.join_with("", &open).await;
                wire.read_all().await;
            }
        })
        .await;
        let socket = main_socket(client(&raw, WEBSOCKET).limits(limits()));
        soon(socket.connect()).await.unwrap();
        soon(socket.manager().close()).await;
    }
}

#[tokio::test]
async fn answers_that_are_no_http_are_named() {
    let endless = Raw::start(|mut wire: Wire| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let chunk = [b"2000\r\n", &[b'4'; 0x2000][..], b"\r\n"].concat();
        while wire.say(&chunk).await {}
    })
    .await;
    let socket = main_socket(client(&endless, POLLING).limits(limits()));
    assert_eq!(cause(&socket).await, TransportCause::TooLarge);
    let declared = "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n0";
    let large_error = status("500 Oh", "", &"x".repeat(1_000_000));
    let excerpt = String::new();
    let heads =
        "HTTP/1.1 200 OK\r\n".to_owned() + &format!("X: {}\r\n", "x".repeat(900)).repeat(99);
    let cases: Vec<(Vec<u8>, TransportCause)> = vec![
        (declared.into(), TransportCause::TooLarge),
        (large_error, TransportCause::Status { status: 500, engine: None, excerpt }),
        (heads.into(), TransportCause::Http(String::new())),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n".into(),
            TransportCause::Http(String::new()),
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n".into(), TransportCause::Http(String::new())),
        ("\0\0\0\0\0\0\0\0\r\n\r\n".into(), TransportCause::Http(String::new())),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".into(),
            TransportCause::Http(String::new()),
        ),
    ];
    for (bytes, expected) in cases {
        let raw = Raw::answers(bytes.clone()).await;
        let socket = main_socket(client(&raw, POLLING));
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        match (cause(&socket).await, expected) {
            (TransportCause::Http(_), TransportCause::Http(_)) => {}
            (found, expected) => assert_eq!(found, expected, "{shown}"),
        }
    }
    // More is declared than comes.
    let lies = Raw::start(|mut wire: Wire| async move {
        wire.head().await;
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n0{").await;
    })
    .await;
    let socket = main_socket(client(&lies, POLLING));
    let found = cause(&socket).await;
    assert!(matches!(found, TransportCause::Stream(_)), "{found:?}");
}

#[tokio::test]
async fn a_websocket_that_was_not_asked_for_like_this_is_named() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let wrong_accept = format!("{head}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    let raw = Raw::answers(wrong_accept).await;
    let socket = main_socket(client(&raw, WEBSOCKET));
    let found = cause(&socket).await;
    assert!(matches!(&found, TransportCause::WebSocket(_)), "{found:?}");
    let raw = Raw::answers(ok("text/plain", "no")).await;
    let found = cause(&main_socket(client(&raw, WEBSOCKET))).await;
    let expected = TransportCause::Status { status: 200, engine: None, excerpt: "no".to_owned() };
    assert_eq!(found, expected);
    for more in [
        "Sec-WebSocket-Protocol: chat\r\n",
        "Sec-WebSocket-Extensions: x-unknown\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n",
    ] {
        let raw = Raw::start(move |mut wire| async move {
            wire.join(more).await;
        })
        .await;
        let found = cause(&main_socket(client(&raw, WEBSOCKET))).await;
        assert!(matches!(&found, TransportCause::WebSocket(_)), "{more}: {found:?}");
    }
    let raw = Raw::start(|mut wire| async move {
        wire.join(DEFLATE).await;
    })
    .await;
    let found = cause(&main_socket(client(&raw, WEBSOCKET).compress_from(None))).await;
    assert_eq!(found, websocket("compression that was not offered"));
}

#[tokio::test]
async fn a_compressed_message_is_worth_no_more_than_its_limits() {
    let bomb = |bytes: usize| {
        let mut small = Vec::new();
        let message = [b"4", &vec![b' '; bytes][..]].concat();
        assert!(Deflate::new(0, 6).message(&message, &mut small));
        let header = Header::new(Opcode::Text, small.len(), None).compressed();
        [header.as_bytes(), &small].concat()
    };
    let noop = {
        let mut small = Vec::new();
        let message = [b"6", &vec![b' '; 90_000][..]].concat();
        assert!(Deflate::new(0, 6).message(&message, &mut small));
        let header = Header::new(Opcode::Text, small.len(), None).compressed();
        [header.as_bytes(), &small].concat()
    };
    let broken = [Header::new(Opcode::Text, 4, None).compressed().as_bytes(), &[0xff; 4]].concat();
    for (why, bytes) in [
        ("message too big when inflated", bomb(1_000_000)),
        ("messages inflate too much", noop.repeat(20)),
        ("compressed message is broken", broken),
    ] {
        let raw = Raw::start(move |mut wire| {
            let bytes = bytes.clone();
            async move {
                wire.join(DEFLATE).await;
                wire.say(bytes).await;
                wire.read_all().await;
            }
        })
        .await;
        let socket = main_socket(client(&raw, WEBSOCKET).limits(limits()));
        assert_eq!(cause(&socket).await, websocket(why));
    }
}

#[tokio::test]
async fn pings_without_end_are_named_where_the_pongs_are_not_read() {
    let pings = |engine: bool| match engine {
        true => text(format!("2{}", "x".repeat(100))),
        false => frame(Opcode::Ping, "x".repeat(100)),
    };
    for engine in [true, false] {
        let flood = pings(engine).repeat(100);
        let raw = Raw::start(move |mut wire| {
            let flood = flood.clone();
            async move {
                wire.join("").await;
                while wire.say(&flood).await {}
            }
        })
        .await;
        let socket = main_socket(client(&raw, WEBSOCKET).limits(limits()));
        assert_eq!(cause(&socket).await, broken(Violation::Pings), "engine: {engine}");
        assert_eq!(socket.manager().stats().violations, 1);
    }
}

#[tokio::test]
async fn many_pings_at_once_are_answered_where_the_pongs_are_read() {
    for (ping, pong) in [(text("2"), 7), (frame(Opcode::Ping, ""), 6)] {
        let many = ping.repeat(100_000);
        let raw = Raw::start(move |mut wire| {
            let many = many.clone();
            async move {
                wire.join("").await;
                let (mut from, mut to) = wire.stream.split();
                let pongs = async {
                    let (mut left, mut bytes) = (100_000 * pong, [0; 4096]);
                    while left > 0 {
                        left -= from.read(&mut bytes).await.unwrap();
                    }
                };
                let pings = async { to.write_all(&many).await.unwrap() };
                tokio::join!(pings, pongs);
                wire.say(text("42[\"last\",1]")).await;
                wire.read_all().await;
            }
        })
        .await;
        let socket = main_socket(client(&raw, WEBSOCKET));
        let mut last = socket.events::<_, i32>("last");
        soon(socket.connect()).await.unwrap();
        assert_eq!(soon(last.next()).await.unwrap().unwrap(), 1);
        assert_eq!(socket.manager().stats().violations, 0);
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_stop_the_reading() {
    let raw = Raw::start(|mut wire| async move {
        wire.join_with("", &open_packet("", 50, 300)).await;
        let flood: Vec<u8> = (0..100).flat_map(|n| text(format!("42{n}[\"ask\"]"))).collect();
        while wire.say(&flood).await {}
    })
    .await;
    let socket = main_socket(client(&raw, WEBSOCKET).waiting_bytes_max(100_000));
    let answer = "x".repeat(1_000);
    socket.on("ask", move |_: Socket| {
        let answer = answer.clone();
        async move { answer }
    });
    assert_eq!(cause(&socket).await, TransportCause::Ended(DisconnectReason::PingTimeout));
    assert!(socket.manager().stats().pauses > 0);
}

#[tokio::test]
async fn events_before_the_namespace_answers_are_bounded() {
    let raw = Raw::start(|mut wire| async move {
        wire.open_websocket("").await;
        wire.say(text(open_packet("", 25_000, 20_000))).await;
        wire.say(text("42[\"x\",\"0123456789\"]").repeat(10_000)).await;
        wire.read_all().await;
    })
    .await;
    let socket = main_socket(client(&raw, WEBSOCKET).limits(limits()));
    assert_eq!(cause(&socket).await, broken(Violation::HeldEvents));
    let raw = Raw::start(|mut wire| async move {
        wire.open_websocket("").await;
        wire.say(text(open_packet("", 25_000, 20_000))).await;
        wire.read_frame().await;
        wire.say(text("40")).await;
        wire.read_all().await;
    })
    .await;
    let socket = main_socket(client(&raw, WEBSOCKET));
    assert_eq!(cause(&socket).await, broken(Violation::NoSocketId));
}

#[tokio::test]
async fn a_server_that_closes_says_how() {
    let close = [&1001_u16.to_be_bytes()[..], b"going home"].concat();
    let raw = Raw::joins_and_says(frame(Opcode::Close, close)).await;
    let socket = main_socket(client(&raw, WEBSOCKET));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    socket.on_disconnect(move |_, why| {
        tell.send(why).unwrap();
        std::future::ready(())
    });
    assert_eq!(cause(&socket).await, TransportCause::Ended(DisconnectReason::TransportClose));
    let why = soon(told.recv()).await.unwrap();
    assert_eq!(why.reason, DisconnectReason::TransportClose);
    assert_eq!(why.close_code, CloseCode::new(1001));
    assert_eq!(why.detail.as_deref(), Some("going home"));
    let raw = Raw::joins_and_says(text("1")).await;
    let socket = main_socket(client(&raw, WEBSOCKET));
    assert_eq!(cause(&socket).await, TransportCause::Ended(DisconnectReason::TransportClose));
}

#[tokio::test]
async fn cookies_without_end_are_kept_up_to_a_bound() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let raw = Raw::start(move |mut wire| {
        let tell = tell.clone();
        async move {
            let mut number = 0;
            while let Some(head) = wire.head().await {
                let cookies = head.lines().find_map(|line| line.strip_prefix("cookie: "));
                let count = cookies.map_or(0, |cookies| cookies.split("; ").count());
                if tell.send(count).is_err() {
                    return;
                }
                let mut more = String::from("Content-Type: text/plain\r\n");
                for _ in 0..80 {
                    number += 1;
                    more.push_str(&format!("Set-Cookie: c{number}={}\r\n", "x".repeat(300)));
                }
                let body = if number == 80 { open_packet("", 25_000, 20_000) } else { "6".into() };
                wire.say(status("200 OK", &more, &body)).await;
            }
        }
    })
    .await;
    let socket = main_socket(client(&raw, POLLING));
    drop(socket.connect());
    let mut most = 0;
    for _ in 0..10 {
        most = most.max(soon(told.recv()).await.unwrap());
    }
    assert!((1..=64).contains(&most), "{most} cookies");
}

/// This side did not read, and said that the server was late.
#[tokio::test]
async fn an_attachment_is_not_late_where_it_is_not_read() {
    let announced = text(r#"451-["bytes",{"_placeholder":true,"num":0}]"#);
    let full = text("42[\"wait\"]").repeat(20);
    // No read takes all of it.
    let raw = Raw::joins_and_says([full, announced, binary([7; 90_000])].concat()).await;
    let mut limits = limits();
    limits.attachments_timeout = Duration::from_secs(2);
    let as_long_as_it_may_take = 2 * limits.attachments_timeout;
    let builder = client(&raw, WEBSOCKET).limits(limits);
    let socket = main_socket(builder.inbox_bytes_max(100).handlers_max(1));
    let (go_on, may_end) = tokio::sync::watch::channel(false);
    socket.on("wait", move |_: Socket| {
        let mut may_end = may_end.clone();
        async move { drop(may_end.wait_for(|end| *end).await) }
    });
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    socket.on("bytes", move |_: Socket, bytes: Bytes| {
        tell.send(bytes.len()).unwrap();
        std::future::ready(())
    });
    soon(socket.connect()).await.unwrap();
    while socket.manager().stats().pauses == 0 {
        tokio::task::yield_now().await;
    }
    let mut watch = socket.watch();
    let lost = watch.wait_for(|status| !status.is_connected());
    let lost = tokio::time::timeout(as_long_as_it_may_take, lost).await;
    assert!(lost.is_err(), "{lost:?}");
    go_on.send(true).unwrap();
    assert_eq!(soon(told.recv()).await, Some(90_000));
    assert_eq!(socket.manager().stats().violations, 0);
}

/// What comes on the WebSocket beside the polling costs the upgrade, and not the session.
#[tokio::test]
async fn a_probe_that_goes_wrong_leaves_the_polling_as_it_was() {
    let wrong = [text("3"), text("3other"), binary("x"), vec![0xff, 0xff], text("42[\"x\"]")];
    for bytes in wrong {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let raw = Raw::start(move |mut wire| {
            let (bytes, tell) = (bytes.clone(), tell.clone());
            async move {
                let mut answers =
                    [open_packet("\"websocket\"", 25_000, 20_000), JOINED.to_owned()].into_iter();
                while let Some(head) = wire.head().await {
                    if head.contains("transport=websocket") {
                        wire.switch(&head, "").await;
                        wire.read_frame().await;
                        wire.say(&bytes).await;
                        wire.read_all().await;
                        let _ = tell.send(());
                        return;
                    }
                    if head.starts_with("POST") {
                        wire.answer("ok").await;
                    } else if !head.contains("sid=") {
                        wire.answer(&answers.next().unwrap()).await;
                        answers.next();
                    } else {
                        wire.answer(JOINED).await;
                        // The next poll is held.
                        wire.read_all().await;
                        return;
                    }
                }
            }
        })
        .await;
        let socket = main_socket(client(&raw, BOTH));
        soon(socket.connect()).await.unwrap();
        assert_eq!(soon(told.recv()).await, Some(()));
        assert!(socket.is_connected());
        assert_eq!(socket.manager().transport(), Some(Transport::Polling));
    }
}

/// Whatever a server does in place of an answer: once the attempt is given up, nobody listens to it any more.
#[tokio::test]
async fn a_stream_that_is_given_up_is_let_go_of() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
    let cases = [
        ("nothing", String::new(), String::new()),
        ("answers before the answer", String::new(), "HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
        (
            "hints before the answer",
            String::new(),
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_owned(),
        ),
        ("a head without end", ok.to_owned(), "X: y\r\n".to_owned()),
        ("a name without end", ok.to_owned(), "x".to_owned()),
        ("lines before the answer", String::new(), "\r\n".to_owned()),
        ("chunks without bytes", chunked.clone(), "0000000".to_owned()),
        ("an extension without end", format!("{chunked}1;"), "x".to_owned()),
        ("trailers without end", format!("{chunked}0\r\n"), "X: y\r\n".to_owned()),
        ("a body without end", ok.to_owned() + "\r\n", "4".to_owned()),
        (
            "another protocol",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
                .to_owned(),
            "4".to_owned(),
        ),
    ];
    for (what, begins, goes_on) in cases {
        for way in [POLLING, WEBSOCKET] {
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let (begins, goes_on) = (begins.clone(), goes_on.repeat(100));
            let raw = Raw::start(move |mut wire: Wire| {
                let (begins, goes_on, tell) = (begins.clone(), goes_on.clone(), tell.clone());
                async move {
                    wire.head().await;
                    wire.say(begins).await;
                    if goes_on.is_empty() {
                        wire.read_all().await;
                    } else {
                        while wire.say(&goes_on).await {
                            tokio::task::yield_now().await;
                        }
                    }
                    let _ = tell.send(());
                }
            })
            .await;
            let given_up = Duration::from_millis(100);
            let socket = main_socket(client(&raw, way).limits(limits()).connect_timeout(given_up));
            let why = cause(&socket).await;
            let ended = tokio::time::timeout(support::PATIENCE, told.recv()).await;
            assert_eq!(ended, Ok(Some(())), "{what} {way:?}: {why:?}");
        }
    }
}

/// It had a megabyte of answers to send for each hundred bytes that were asked.
#[tokio::test]
async fn a_server_that_asks_and_reads_nothing_is_answered_up_to_a_bound() {
    let raw = Raw::start(|mut wire| async move {
        wire.join_with("", &open_packet("", 50, 500)).await;
        let flood: Vec<u8> = (0..5_000).flat_map(|n| text(format!("42{n}[\"ask\"]"))).collect();
        while wire.say(&flood).await {}
    })
    .await;
    let socket = main_socket(client(&raw, WEBSOCKET).waiting_bytes_max(1_000_000));
    let answer = "x".repeat(1_000_000);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    socket.on("ask", move |me: Socket| {
        let _ = tell.send(me.manager().waiting_bytes());
        let answer = answer.clone();
        async move { answer }
    });
    assert_eq!(cause(&socket).await, TransportCause::Ended(DisconnectReason::PingTimeout));
    let mut most = 0;
    while let Ok(waiting) = told.try_recv() {
        most = most.max(waiting);
    }
    assert!((1_000_000..10_000_000).contains(&most), "{most} bytes");
}

/// A stream that takes nothing any more when a part of what comes has been read.
struct Deaf {
    stream: DuplexStream,
    reads_left: usize,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.reads_left = self.reads_left.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.reads_left {
            0 => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            _ => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Opens a WebSocket on `stream`, joins `/`, and says that in one go.
async fn says(mut stream: DuplexStream, said: Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(&switching(&String::from_utf8(head).unwrap(), "").unwrap()).await.unwrap();
    stream.write_all(&text(open_packet("", 25_000, 20_000))).await.unwrap();
    stream.read_u8().await.unwrap();
    stream.write_all(&said).await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// It was connected again and again by a client that did not read that it was put out.
#[tokio::test]
async fn what_a_server_has_said_is_heard_also_where_it_takes_nothing_any_more() {
    for puts_out in [true, false] {
        let mut said = text(JOINED);
        said.extend(text("42[\"x\",1]").repeat(20_000));
        said.extend(if puts_out { text("41") } else { Vec::new() });
        let manager = Manager::builder("http://localhost")
            .unwrap()
            .transports([Transport::WebSocket])
            .reconnection(Reconnection::every(Duration::from_secs(3600)))
            .stream(move || {
                let (stream, server) = tokio::io::duplex(1_000_000);
                tokio::spawn(says(server, said.clone()));
                std::future::ready(Ok(Deaf { stream, reads_left: 100_000 }))
            });
        let socket = main_socket(manager);
        socket.on("x", async |me: Socket, _: i32| me.emit("y", 1));
        let mut watch = socket.watch();
        drop(socket.connect());
        let over = |status: &Status| status.is_final() || matches!(status, Status::Waiting { .. });
        let status = soon(watch.wait_for(over)).await.unwrap().clone();
        match status {
            Status::Disconnected(why) if puts_out => {
                assert_eq!(why.reason, DisconnectReason::ServerDisconnect);
            }
            Status::Waiting { .. } if !puts_out => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(socket.manager().stats().events, 20_000);
    }
}

#[tokio::test]
async fn a_proxy_that_breaks_its_protocol_is_named() {
    let http = |said: &str| ("http", said.as_bytes().to_vec(), Vec::new());
    let socks = |said: &[u8]| ("socks5", said.to_vec(), Vec::new());
    let cases: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
        http("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        http("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"),
        http("HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n"),
        http("SSH-2.0-OpenSSH\r\n\r\n"),
        http("HTTP/1.1 20"),
        ("http", b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".to_vec()),
        ("http", b"HTTP/1.1 200 OK\r\n".to_vec(), b"x".to_vec()),
        ("http", Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        socks(b"\x04\x00"),
        socks(b"\x05"),
        socks(b"\x05\xff"),
        socks(b"\x05\x02"),
        socks(b"\x05\x00\x04"),
        socks(b"\x05\x00\x05\x01\x00\x01\0\0\0\0\0\0"),
        socks(b"\x05\x00\x05\x63\x00\x01\0\0\0\0\0\0"),
        socks(b"\x05\x00\x05\x00\x00\x09\0\0\0\0\0\0"),
        socks(b"\x05\x00\x05\x00\x00\x03\xffabc"),
        ("socks5", b"\x05\x00\x05\x00\x00\x03\x04".to_vec(), b"\xff".to_vec()),
    ];
    for (scheme, said, goes_on) in cases {
        let shown = format!("{scheme} {}", said.escape_ascii());
        let raw = Raw::start(move |mut wire: Wire| {
            let (said, goes_on) = (said.clone(), goes_on.repeat(100));
            async move {
                wire.read_frame().await;
                wire.say(said).await;
                while !goes_on.is_empty() && wire.say(&goes_on).await {}
            }
        })
        .await;
        for way in [POLLING, WEBSOCKET] {
            let proxy = Proxy::url(&raw.url.replace("http", scheme)).unwrap();
            let builder = Manager::builder("http://server.example")
                .unwrap()
                .transports(way.iter().copied())
                .proxy(proxy)
                .reconnection(Reconnection::every(Duration::from_secs(3600)));
            let found = cause(&main_socket(builder)).await;
            assert!(matches!(found, TransportCause::Proxy(_)), "{shown}: {found:?}");
        }
    }
    let silent = Raw::start(|mut wire| async move { wire.read_all().await }).await;
    for scheme in ["http", "socks5"] {
        let proxy = Proxy::url(&silent.url.replace("http", scheme)).unwrap();
        let short = Duration::from_millis(50);
        let builder = client(&silent, POLLING).proxy(proxy).connect_timeout(short);
        assert_eq!(cause(&main_socket(builder)).await, TransportCause::Timeout);
    }
}
