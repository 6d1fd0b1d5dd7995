//! Whether the server has read what was emitted: before that, a client that leaves may take it along.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomful::Server;
use roomful_client::{Bytes, DisconnectReason, Limits, Manager, Reconnection, Socket, Status};
use roomful_proto::ws::frame::Opcode;
use roomful_proto::ws::{Decoder, Message, Role};
use support::raw::{Raw, WEBSOCKET, Wire, frame, text};
use support::{WAYS, builder, main_socket, serve, soon};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;

#[tokio::test]
async fn what_was_emitted_has_arrived_by_every_transport() {
    let io = Server::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    io.on("n", move |_: roomful::Socket, _: String| {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    });
    let site = serve(&io).await;
    for way in WAYS {
        let before = seen.load(Ordering::Relaxed);
        let socket = main_socket(builder(&site, way));
        let manager = socket.manager();
        assert!(!soon(manager.arrived()).await, "without a connection");
        // More than one write or one body takes, and from before the connection is there.
        (0..50).for_each(|_| socket.emit("n", "x".repeat(10_000)));
        soon(socket.connect()).await.unwrap();
        (0..50).for_each(|_| socket.emit("n", "x".repeat(10_000)));
        assert!(soon(manager.arrived()).await);
        assert_eq!(manager.waiting_bytes(), 0);
        // Twice at once, and with nothing to wait for.
        let (first, second) = tokio::join!(manager.arrived(), manager.arrived());
        assert!(first && second);
        // All that has arrived is heard before what comes behind it.
        soon(manager.close()).await;
        while seen.load(Ordering::Relaxed) < before + 100 {
            tokio::task::yield_now().await;
        }
        assert!(!soon(manager.arrived()).await, "after the connection");
    }
}

#[tokio::test]
async fn what_waits_of_a_socket_that_nobody_has_connected_holds_nobody_up() {
    let io = Server::new();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        let manager = socket.manager();
        let other = manager.socket("/other");
        other.emit("x", ());
        soon(socket.connect()).await.unwrap();
        assert!(soon(manager.arrived()).await);
        assert!(manager.waiting_bytes() > 0);
    }
}

/// Reads frames until the ping, and gives what it says.
async fn ping(wire: &mut Wire) -> Option<Bytes> {
    ping_behind(wire, &mut Vec::new()).await
}

/// The same, with the texts before it.
async fn ping_behind(wire: &mut Wire, texts: &mut Vec<String>) -> Option<Bytes> {
    let mut decoder = Decoder::new(Role::Server, 1_000_000, 10);
    loop {
        let mut bytes = vec![0; 4096];
        let len = wire.stream.read(&mut bytes).await.ok().filter(|len| *len > 0)?;
        let mut rest = &mut bytes[..len];
        while let Some(message) = decoder.receive(&mut rest).unwrap() {
            match message {
                Message::Ping(says) => return Some(says),
                Message::Text(text) => texts.push(String::from_utf8(text.to_vec()).unwrap()),
                _ => {}
            }
        }
    }
}

async fn is_pending(future: impl Future + Unpin) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = std::future::ready(()) => true,
    }
}

fn client(raw: &Raw) -> Socket {
    let builder = Manager::builder(&raw.url).unwrap().reconnection(Reconnection::never());
    main_socket(builder.transports(WEBSOCKET.iter().copied()))
}

#[tokio::test]
async fn only_the_pong_to_the_ping_behind_it_proves_that_an_event_has_arrived() {
    let answer = Arc::new(Notify::new());
    let may = Arc::clone(&answer);
    let raw = Raw::start(move |mut wire| {
        let may = Arc::clone(&may);
        async move {
            wire.join("").await;
            let says = ping(&mut wire).await.unwrap();
            wire.say(frame(Opcode::Pong, b"")).await;
            wire.say(frame(Opcode::Pong, [0; 8])).await;
            wire.say(text(r#"42["heard"]"#)).await;
            may.notified().await;
            wire.say(frame(Opcode::Pong, says)).await;
            wire.read_all().await;
        }
    })
    .await;
    let socket = client(&raw);
    let mut heard = socket.events::<_, ()>("heard");
    soon(socket.connect()).await.unwrap();
    socket.emit("x", ());
    let manager = socket.manager();
    let mut arrived = Box::pin(manager.arrived());
    assert!(is_pending(&mut arrived).await);
    soon(heard.next()).await.unwrap().unwrap();
    assert!(is_pending(&mut arrived).await);
    answer.notify_one();
    assert!(soon(arrived).await);
}

#[tokio::test]
async fn what_the_connection_takes_along_has_not_arrived() {
    let raw = Raw::start(|mut wire| async move {
        wire.join("").await;
        ping(&mut wire).await;
        wire.reset();
    })
    .await;
    let socket = client(&raw);
    soon(socket.connect()).await.unwrap();
    socket.emit("x", ());
    assert!(!soon(socket.manager().arrived()).await);
}

/// Node and Bun drop an event that they read together with the goodbye behind it.
#[tokio::test]
async fn who_is_closed_says_goodbye_when_the_server_has_read_its_last_words() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let raw = Raw::start(move |mut wire| {
        let tell = tell.clone();
        async move {
            wire.join("").await;
            let mut before = Vec::new();
            let says = ping_behind(&mut wire, &mut before).await.unwrap();
            let _ = tell.send(before);
            wire.say(frame(Opcode::Pong, says)).await;
            let mut behind = Vec::new();
            let _ = ping_behind(&mut wire, &mut behind).await;
            let _ = tell.send(behind);
        }
    })
    .await;
    let socket = client(&raw);
    soon(socket.connect()).await.unwrap();
    socket.emit("x", ());
    soon(socket.manager().close()).await;
    assert_eq!(soon(told.recv()).await.unwrap(), [r#"42["x"]"#]);
    assert_eq!(soon(told.recv()).await.unwrap()[0], "41");
}

#[tokio::test]
async fn who_is_closed_leaves_a_server_that_reads_no_more() {
    let raw = Raw::start(|mut wire| async move {
        wire.join("").await;
        wire.read_all().await;
    })
    .await;
    let mut limits = Limits::client();
    limits.close_timeout = Duration::from_millis(20);
    let builder = Manager::builder(&raw.url).unwrap().limits(limits);
    let socket = main_socket(builder.transports(WEBSOCKET.iter().copied()));
    soon(socket.connect()).await.unwrap();
    socket.emit("x", ());
    soon(socket.manager().close()).await;
    let Status::Disconnected(why) = socket.status() else { panic!() };
    assert_eq!(why.reason, DisconnectReason::ClientDisconnect);
}
