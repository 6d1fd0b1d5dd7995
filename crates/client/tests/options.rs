//! What a client is set to, as a server sees it in its requests and frames.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::collections::HashSet;

use roomful_client::{BuildError, Builder, Bytes, Manager, Socket, Transport};
use support::raw::{BOTH, JOINED, POLLING, Raw, WEBSOCKET, Wire, open_packet, status, text};
use support::{main_socket, soon};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                       client_no_context_takeover\r\n";

/// A server that tells the head of each request, offers an upgrade and joins `/`.
async fn telling() -> (Raw, UnboundedReceiver<String>) {
    let (tell, told) = unbounded_channel();
    let raw = Raw::start(move |wire| tell_heads(wire, tell.clone())).await;
    (raw, told)
}

async fn tell_heads(mut wire: Wire, tell: UnboundedSender<String>) {
    let mut polls = 0;
    while let Some(head) = wire.head().await {
        let _ = tell.send(head.clone());
        if head.contains("transport=websocket") {
            wire.switch(&head, "").await;
            wire.say(text(open_packet("", 25_000, 20_000))).await;
            wire.read_frame().await;
            wire.say(text(JOINED)).await;
            return wire.read_all().await;
        }
        if head.starts_with("POST") {
            wire.answer("ok").await;
        } else if !head.contains("sid=") {
            let cookie = "Content-Type: text/plain\r\nSet-Cookie: sticky=1\r\n";
            let open = open_packet("\"websocket\"", 25_000, 20_000);
            wire.say(status("200 OK", cookie, &open)).await;
        } else if polls == 0 {
            polls += 1;
            wire.answer(JOINED).await;
        } else {
            // The poll is held.
            return wire.read_all().await;
        }
    }
}

fn client(raw: &Raw, way: &[Transport]) -> Builder {
    Manager::builder(&raw.url).unwrap().transports(way.iter().copied())
}

async fn connected(builder: Builder) -> Socket {
    let socket = main_socket(builder);
    soon(socket.connect()).await.unwrap();
    socket
}

/// The heads of the first requests.
async fn heads(told: &mut UnboundedReceiver<String>, many: usize) -> Vec<String> {
    let mut heads = Vec::new();
    for _ in 0..many {
        heads.push(soon(told.recv()).await.unwrap());
    }
    heads
}

#[tokio::test]
async fn path_query_and_headers_go_with_each_request() {
    for way in [POLLING, WEBSOCKET] {
        let (raw, mut told) = telling().await;
        let builder = Manager::builder(&format!("{}/?a=1", raw.url)).unwrap();
        let builder = builder.transports(way.iter().copied()).path("/my").unwrap();
        let builder = builder.query("b", "2&3").unwrap().header("X-Test", "it").unwrap();
        let _socket = connected(builder).await;
        let many = if way == POLLING { 3 } else { 1 };
        for head in heads(&mut told, many).await {
            let target = head.split(' ').nth(1).unwrap();
            assert!(target.starts_with("/my/?EIO=4&transport="), "{target}");
            assert!(target.ends_with("&a=1&b=2%263"), "{target}");
            assert!(head.contains("\r\nx-test: it\r\n"), "{head}");
        }
        let (raw, mut told) = telling().await;
        let builder = client(&raw, way).path("/my/").unwrap().no_trailing_slash();
        let _socket = connected(builder).await;
        let head = heads(&mut told, 1).await.remove(0);
        assert!(head.starts_with("GET /my?EIO=4&"), "{head}");
    }
}

#[test]
fn what_belongs_to_the_protocol_cannot_be_set() {
    let builder = || Manager::builder("http://localhost").unwrap();
    for name in ["EIO", "transport", "sid", "t", "j", "b64"] {
        let refused = builder().query(name, "1");
        assert!(matches!(refused, Err(BuildError::Query(own)) if own == name));
        let refused = Manager::builder(&format!("http://localhost/?x=1&{name}=1"));
        assert!(matches!(refused, Err(BuildError::Query(own)) if own == name));
    }
    for name in ["Connection", "upgrade", "content-length", "Sec-WebSocket-Key", "a b"] {
        assert!(matches!(builder().header(name, "1"), Err(BuildError::Header(_))), "{name}");
    }
    assert!(matches!(builder().header("x", "a\r\nb"), Err(BuildError::Header(_))));
}

#[tokio::test]
async fn each_poll_has_a_stamp_of_its_own_and_a_websocket_none() {
    let stamp = |head: &str| {
        let target = head.split(' ').nth(1).unwrap();
        target.split('&').find_map(|pair| pair.strip_prefix("t=").map(str::to_owned))
    };
    let (raw, mut told) = telling().await;
    let _socket = connected(client(&raw, POLLING)).await;
    let stamps: HashSet<_> = heads(&mut told, 3).await.iter().map(|head| stamp(head)).collect();
    assert!(stamps.len() == 3 && !stamps.contains(&None), "{stamps:?}");
    let (raw, mut told) = telling().await;
    let _socket = connected(client(&raw, WEBSOCKET)).await;
    assert_eq!(stamp(&heads(&mut told, 1).await[0]), None);
}

#[tokio::test]
async fn cookies_come_back_unless_that_is_off() {
    for keeps in [true, false] {
        let (raw, mut told) = telling().await;
        let builder = client(&raw, BOTH).cookies(keeps);
        let _socket = connected(builder).await;
        let heads = heads(&mut told, 3).await;
        assert!(!heads[0].contains("\r\ncookie:"), "{}", heads[0]);
        for head in &heads[1..] {
            assert_eq!(head.contains("\r\ncookie: sticky=1\r\n"), keeps, "{head}");
        }
    }
}

#[tokio::test]
async fn without_the_upgrade_it_stays_with_polling() {
    let (raw, mut told) = telling().await;
    let socket = connected(client(&raw, BOTH).upgrade(false)).await;
    socket.emit("x", ());
    // The handshake, CONNECT with its answer, and the event beside the poll that is held.
    for head in heads(&mut told, 5).await {
        assert!(head.contains("transport=polling"), "{head}");
    }
    assert_eq!(socket.manager().transport(), Some(Transport::Polling));
}

#[tokio::test]
async fn compression_is_offered_unless_it_is_off() {
    for (from, offers) in [(Some(1024), true), (None, false)] {
        let (raw, mut told) = telling().await;
        let _socket = connected(client(&raw, WEBSOCKET).compress_from(from)).await;
        let head = heads(&mut told, 1).await.remove(0);
        assert_eq!(head.contains("\r\nsec-websocket-extensions: permessage-deflate"), offers);
    }
}

/// A frame of a client: its first byte, and its payload.
type Sent = (u8, Vec<u8>);

/// A server that agrees to compression, joins `/` and tells the frames that come then.
async fn framing() -> (Raw, UnboundedReceiver<Sent>) {
    let (tell, told) = unbounded_channel();
    let raw = Raw::start(move |mut wire| {
        let tell = tell.clone();
        async move {
            wire.join(DEFLATE).await;
            while let Ok(frame) = read_frame(&mut wire).await {
                let _ = tell.send(frame);
            }
        }
    })
    .await;
    (raw, told)
}

async fn read_frame(wire: &mut Wire) -> std::io::Result<Sent> {
    let first = wire.stream.read_u8().await?;
    let len = match wire.stream.read_u8().await? & 0x7f {
        126 => usize::from(wire.stream.read_u16().await?),
        len => usize::from(len),
    };
    let mut key = [0; 4];
    wire.stream.read_exact(&mut key).await?;
    let mut payload = vec![0; len];
    wire.stream.read_exact(&mut payload).await?;
    payload.iter_mut().zip(key.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Ok((first, payload))
}

#[tokio::test]
async fn a_single_event_may_go_uncompressed() {
    const TEXT: u8 = 0x81;
    const COMPRESSED: u8 = 0xc1;
    let (raw, mut told) = framing().await;
    let socket = connected(client(&raw, WEBSOCKET)).await;
    let large = "x".repeat(10_000);
    socket.emit("a", large.as_str());
    socket.emit_uncompressed("a", large.as_str());
    socket.emit("a", "short");
    let (first, payload) = soon(told.recv()).await.unwrap();
    assert!(first == COMPRESSED && payload.len() < 200, "{first:x} {}", payload.len());
    let (first, payload) = soon(told.recv()).await.unwrap();
    assert!(first == TEXT && payload.len() > 10_000, "{first:x} {}", payload.len());
    let (first, payload) = soon(told.recv()).await.unwrap();
    assert_eq!((first, payload.as_slice()), (TEXT, &b"42[\"a\",\"short\"]"[..]));
}

#[tokio::test]
async fn bytes_go_as_texts_where_that_is_forced() {
    const TEXT: u8 = 0x81;
    const BINARY: u8 = 0x82;
    let cases = [(false, (BINARY, vec![1, 2, 3])), (true, (TEXT, b"bAQID".to_vec()))];
    for (forced, expected) in cases {
        let (raw, mut told) = framing().await;
        let socket = connected(client(&raw, WEBSOCKET).force_base64(forced)).await;
        socket.emit("a", Bytes::from_static(&[1, 2, 3]));
        let (first, payload) = soon(told.recv()).await.unwrap();
        assert!(first == TEXT && payload.starts_with(b"451-"), "{payload:?}");
        assert_eq!(soon(told.recv()).await.unwrap(), expected);
    }
    let (raw, mut told) = telling().await;
    let _socket = connected(client(&raw, WEBSOCKET).force_base64(true)).await;
    let head = heads(&mut told, 1).await.remove(0);
    assert!(head.contains("&b64=1"), "{head}");
}
