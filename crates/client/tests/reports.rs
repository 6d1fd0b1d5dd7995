//! What was reported of other clients, in public: each as a test of this one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use roomful::Server;
use roomful_client::{CallError, DisconnectReason, Manager, Reconnection, Socket, Status};
use support::{WAYS, builder, main_socket, serve, serve_at, soon};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;

fn echoing() -> Server {
    // A handler that never ends is not waited for.
    let io = Server::builder().stop_timeout(Duration::from_millis(200)).build();
    io.on("echo", async |_: roomful::Socket, text: String| text);
    io.on("leave-me", async |me: roomful::Socket| me.disconnect());
    io
}

fn fast() -> Reconnection {
    Reconnection::every(Duration::from_millis(2))
}

/// rust-socketio 374, 466 and 500, python-socketio 252: a client that is told to disconnect while its server
/// is gone goes on trying.
#[tokio::test]
async fn who_disconnects_while_the_server_is_gone_tries_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let io = echoing();
    let site = serve_at(&io, listener);
    let socket = main_socket(builder(&site, WAYS[1]).reconnection(fast()));
    soon(socket.connect()).await.unwrap();
    let mut watch = socket.watch();
    soon(io.close()).await;
    drop(site);
    soon(watch.wait_for(|status| matches!(status, Status::Waiting { .. }))).await.unwrap();
    socket.disconnect();
    let Status::Disconnected(why) = soon(socket.closed()).await else { panic!() };
    assert_eq!(why.reason, DisconnectReason::ClientDisconnect);
    soon(socket.manager().close()).await;
    // Nobody comes any more.
    let listener = TcpListener::bind(address).await.unwrap();
    let nobody = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(nobody.is_err());
}

/// socket.io 3152 and client-java 446: whoever asks while the client is away, or has asked before it was lost,
/// is never told anything.
#[tokio::test]
async fn who_asks_is_told_something_whatever_the_network_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let io = echoing();
    io.on("never", async |_: roomful::Socket, _ack: roomful::Ack| {
        std::future::pending::<()>().await;
    });
    let site = serve_at(&io, listener);
    let socket = main_socket(builder(&site, WAYS[1]).reconnection(fast()));
    soon(socket.connect()).await.unwrap();
    let before = socket.call::<_, _, ()>("never", ());
    let _: String = soon(socket.call("echo", "there")).await.unwrap();
    let mut watch = socket.watch();
    soon(io.close()).await;
    drop(site);
    soon(watch.wait_for(|status| !status.is_connected())).await.unwrap();
    let while_away = socket.call::<_, _, String>("echo", "later");
    let too_late =
        socket.call::<_, _, String>("echo", "too late").timeout(Duration::from_millis(5));
    assert!(matches!(soon(before).await, Err(CallError::Disconnected)));
    assert!(matches!(soon(too_late).await, Err(CallError::Timeout)));
    let heard = Arc::new(AtomicU32::new(0));
    let io = echoing();
    let counted = Arc::clone(&heard);
    io.on_any(move |_: &roomful::Socket, _, _| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let _site = serve_at(&io, TcpListener::bind(address).await.unwrap());
    assert_eq!(soon(while_away).await.unwrap(), "later");
    // socket.io 4318: an event whose time was over is sent all the same.
    let _: String = soon(socket.call("echo", "now")).await.unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 2);
}

/// socket.io-website 282, android-chat 63, client-java 412 and 519: what has piled up cannot be dropped.
#[tokio::test]
async fn what_has_piled_up_can_be_dropped() {
    let io = echoing();
    let (told, mut heard) = unbounded_channel();
    io.on("say", move |_: roomful::Socket, n: i32| {
        let told = told.clone();
        async move { told.send(n).unwrap() }
    });
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    for n in 0..10 {
        socket.emit("say", n);
    }
    let asked = socket.call::<_, _, String>("echo", "x");
    assert_eq!(socket.clear_buffer(), 11);
    assert!(matches!(soon(asked).await, Err(CallError::Dropped)));
    assert_eq!(socket.manager().waiting_bytes(), 0);
    socket.emit("say", 42);
    soon(socket.connect()).await.unwrap();
    assert_eq!(soon(heard.recv()).await, Some(42));
}

/// client-swift 1461: a token in a header that has changed until the client comes back.
#[tokio::test]
async fn a_header_can_change_from_connection_to_connection() {
    let io = Server::new();
    io.on("token", async |me: roomful::Socket| me.header("x-token").map(str::to_owned));
    let site = serve(&io).await;
    for way in WAYS {
        let manager = builder(&site, way).header("x-token", "old").unwrap().build().unwrap();
        let socket = manager.socket("/");
        soon(socket.connect()).await.unwrap();
        let old: Option<String> = soon(socket.call("token", ())).await.unwrap();
        assert_eq!(old.as_deref(), Some("old"));
        manager.set_header("X-Token", "new").unwrap();
        assert!(manager.set_header("upgrade", "h2c").is_err());
        soon(manager.close()).await;
        soon(socket.connect()).await.unwrap();
        let new: Option<String> = soon(socket.call("token", ())).await.unwrap();
        assert_eq!(new.as_deref(), Some("new"));
    }
}

/// socketIO-client 107, rust-socketio 262: disconnecting, or connecting again, from the function that is told
/// of the disconnection.
#[tokio::test]
async fn the_function_that_is_told_of_the_end_may_disconnect_or_connect() {
    let io = echoing();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    let (told, mut heard) = unbounded_channel();
    socket.on_disconnect(move |socket: Socket, why| {
        told.send(why.reason).unwrap();
        async move {
            match why.reason {
                DisconnectReason::ServerDisconnect => drop(socket.connect()),
                _ => socket.disconnect(),
            }
        }
    });
    soon(socket.connect()).await.unwrap();
    let first = socket.id();
    socket.emit("leave-me", ());
    assert_eq!(soon(heard.recv()).await, Some(DisconnectReason::ServerDisconnect));
    soon(socket.connected()).await.unwrap();
    assert_ne!(socket.id(), first);
    socket.disconnect();
    assert_eq!(soon(heard.recv()).await, Some(DisconnectReason::ClientDisconnect));
}

/// socketIO-client 189: an id that stays after the socket has left; emitting works after leaving.
#[tokio::test]
async fn who_has_left_has_no_id_and_says_nothing_until_it_is_back() {
    let io = echoing();
    let heard = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&heard);
    io.on("say", move |_: roomful::Socket, _: i32| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {}
    });
    let site = serve(&io).await;
    let manager = builder(&site, WAYS[1]).build().unwrap();
    let (socket, other) = (manager.socket("/"), manager.socket("/"));
    soon(socket.connect()).await.unwrap();
    let first = socket.id();
    socket.disconnect();
    soon(socket.closed()).await;
    assert_eq!(socket.id(), None);
    socket.emit("say", 1);
    soon(other.connect()).await.unwrap();
    assert!(socket.is_connected() && socket.id() != first);
    let _: String = soon(socket.call("echo", "x")).await.unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 1);
}

/// rust-socketio's events without arguments came to the handler of `message`; its binary events lost their
/// other arguments (peers that were read).
#[tokio::test]
async fn an_event_without_arguments_comes_to_its_own_handler() {
    let io = Server::new();
    io.on("ping-me", async |me: roomful::Socket| me.emit("ping", ()));
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[0]));
    let (told, mut heard) = unbounded_channel();
    let other = told.clone();
    socket.on("message", move |_: Socket| {
        other.send("message").unwrap();
        async {}
    });
    socket.on("ping", move |_: Socket| {
        told.send("ping").unwrap();
        async {}
    });
    soon(socket.connect()).await.unwrap();
    socket.emit("ping-me", ());
    assert_eq!(soon(heard.recv()).await, Some("ping"));
}

/// client-swift 1300, and every second report about "connects and disconnects for ever": a server of another
/// revision. The error names it, and what to do.
#[tokio::test]
async fn a_server_of_another_revision_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        let open = r#"{"sid":"hNQ5cAC1VdkVHNIAAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":5000}"#;
        let body = format!("{}:0{open}2:40", open.len() + 1);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read(&mut head).await;
    });
    let socket = main_socket(Manager::builder(&url).unwrap().reconnection(Reconnection::never()));
    let error = soon(socket.connect()).await.unwrap_err().to_string();
    assert!(error.contains("Socket.IO 2") && error.contains("Builder::revision"), "{error}");
    assert!(matches!(soon(socket.closed()).await, Status::Failed(_)));
    soon(server).await.unwrap();
}
