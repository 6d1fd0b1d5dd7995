//! How a client ends: by its handles, by its runtime, and when it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use roomful::Server;
use roomful_client::{
    CallError, CloseCode, ConnectError, DisconnectReason, Limits, Manager, Reconnection, Socket,
    Status, Transport, TransportCause,
};
use support::raw::{JOINED, Raw, WEBSOCKET, open_packet, switching, text};
use support::{WAYS, builder, main_socket, serve, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};

/// A server that tells who comes and goes.
fn site() -> (Server, mpsc::UnboundedReceiver<bool>) {
    let (tell, told) = mpsc::unbounded_channel();
    let io = Server::new();
    let came = tell.clone();
    io.on_connect(move |_: roomful::Socket| {
        let _ = came.send(true);
        std::future::ready(())
    });
    io.on_disconnect(move |_: roomful::Socket, _| {
        let _ = tell.send(false);
        std::future::ready(())
    });
    io.on("echo", async |me: roomful::Socket, n: i32| me.emit("echo", n));
    io.on("never", async |_: roomful::Socket, _ack: roomful::Ack| {
        std::future::pending::<()>().await;
    });
    (io, told)
}

#[tokio::test]
async fn the_last_handle_takes_the_connection_with_it() {
    let (io, mut told) = site();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        soon(socket.connect()).await.unwrap();
        assert_eq!(soon(told.recv()).await, Some(true));
        let (second, manager) = (socket.clone(), socket.manager());
        let mut watch = socket.watch();
        drop((socket, second));
        assert!(manager.transport().is_some());
        drop(manager);
        assert_eq!(soon(told.recv()).await, Some(false));
        // The socket itself is gone, too.
        while soon(watch.changed()).await.is_ok() {}
    }
}

#[tokio::test]
async fn it_does_so_while_it_connects() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let silent = Raw::start(move |mut wire| {
        let tell = tell.clone();
        async move {
            wire.head().await;
            let _ = tell.send(true);
            wire.read_all().await;
            let _ = tell.send(false);
        }
    })
    .await;
    for way in WAYS {
        let manager = Manager::builder(&silent.url).unwrap().transports(way.iter().copied());
        let socket = main_socket(manager);
        drop(socket.connect());
        assert_eq!(soon(told.recv()).await, Some(true));
        drop(socket);
        assert_eq!(soon(told.recv()).await, Some(false));
    }
}

#[tokio::test]
async fn it_does_so_while_it_waits() {
    let reconnection = Reconnection::every(Duration::from_secs(3600));
    let manager = Manager::builder("http://127.0.0.1:1").unwrap().reconnection(reconnection);
    let socket = main_socket(manager);
    let mut watch = socket.watch();
    let call = socket.call::<_, _, ()>("ask", ());
    soon(socket.connect()).await.unwrap_err();
    assert!(matches!(socket.status(), Status::Waiting { attempt: 1, .. }));
    drop(socket);
    // A call is a handle, too.
    assert!(watch.has_changed().is_ok());
    drop(call);
    while soon(watch.changed()).await.is_ok() {}
}

#[tokio::test]
async fn a_handler_that_runs_is_a_handle() {
    let (io, mut told) = site();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WEBSOCKET));
    let (go_on, may_end) = tokio::sync::watch::channel(false);
    let (tell, mut started) = mpsc::unbounded_channel();
    socket.on("echo", move |me: Socket, n: i32| {
        let (mut may_end, tell) = (may_end.clone(), tell.clone());
        async move {
            let _ = tell.send(n);
            let _ = may_end.wait_for(|end| *end).await;
            me.emit("echo", n + 1);
        }
    });
    soon(socket.connect()).await.unwrap();
    assert_eq!(soon(told.recv()).await, Some(true));
    socket.emit("echo", 1);
    assert_eq!(soon(started.recv()).await, Some(1));
    drop(socket);
    go_on.send(true).unwrap();
    assert_eq!(soon(told.recv()).await, Some(false));
}

#[tokio::test]
async fn a_socket_that_leaves_before_it_is_there_has_left() {
    let silent = Raw::start(|mut wire| async move { wire.read_all().await }).await;
    let reconnection = Reconnection::every(Duration::from_secs(3600));
    for url in [&silent.url, "http://127.0.0.1:1"] {
        let manager = Manager::builder(url).unwrap().reconnection(reconnection.clone());
        let socket = main_socket(manager);
        let connecting = socket.connect();
        if url != silent.url {
            soon(connecting).await.unwrap_err();
        }
        let connected = socket.connected();
        socket.disconnect();
        assert!(matches!(soon(connected).await, Err(ConnectError::Disconnected(_))));
        match soon(socket.closed()).await {
            Status::Disconnected(why) => {
                assert_eq!(why.reason, DisconnectReason::ClientDisconnect);
            }
            other => panic!("{other:?}"),
        }
        soon(socket.manager().close()).await;
    }
}

#[tokio::test]
async fn it_comes_and_goes_as_fast_as_it_is_told() {
    let (io, mut told) = site();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        for _ in 0..100 {
            drop(socket.connect());
            socket.disconnect();
        }
        for _ in 0..100 {
            drop(socket.connect());
            tokio::task::yield_now().await;
            socket.disconnect();
            tokio::task::yield_now().await;
        }
        soon(socket.connect()).await.unwrap();
        for _ in 0..50 {
            socket.disconnect();
            assert!(!socket.is_active());
            soon(socket.connect()).await.unwrap();
        }
        let mut echo = socket.events::<_, i32>("echo");
        socket.emit("echo", 7);
        assert_eq!(soon(echo.next()).await.unwrap().unwrap(), 7);
        soon(socket.manager().close()).await;
        assert!(matches!(socket.status(), Status::Disconnected(_)));
        // Whoever came has gone.
        let mut there = 0;
        loop {
            match told.try_recv() {
                Ok(true) => there += 1,
                Ok(false) => there -= 1,
                Err(_) if there == 0 => break,
                Err(_) => there += if soon(told.recv()).await.unwrap() { 1 } else { -1 },
            }
        }
    }
}

#[tokio::test]
async fn close_lets_leave_what_was_emitted() {
    let io = Server::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    io.on("number", move |_: roomful::Socket, n: i32, _text: String| {
        let _ = tell.send(n);
        std::future::ready(())
    });
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        soon(socket.connect()).await.unwrap();
        for n in 0..1_000 {
            socket.emit("number", (n, "x".repeat(1_000)));
        }
        soon(socket.manager().close()).await;
        for n in 0..1_000 {
            assert_eq!(soon(told.recv()).await, Some(n));
        }
        match socket.status() {
            Status::Disconnected(why) => {
                assert_eq!(why.reason, DisconnectReason::ClientDisconnect);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A server at the other end of a stream that holds few bytes: reads byte by byte, so that it is always full,
/// until the client has no transport any more, and then all the rest. What it has read.
async fn reads_slowly(
    mut stream: DuplexStream,
    manager: oneshot::Receiver<Manager>,
    is_gone: oneshot::Receiver<()>,
) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    stream.write_all(&switching(&head, "").unwrap()).await.unwrap();
    stream.write_all(&text(open_packet("", 25_000, 20_000))).await.unwrap();
    let mut heard = vec![stream.read_u8().await.unwrap()];
    stream.write_all(&text(JOINED)).await.unwrap();
    let manager = manager.await.unwrap();
    while manager.transport().is_some() {
        heard.push(stream.read_u8().await.unwrap());
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    drop(manager);
    // Its last words do not fit before it reads on, and `close` waits for them.
    let mut is_gone = pin!(is_gone);
    let polled = is_gone.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "close() did not wait");
    stream.read_to_end(&mut heard).await.unwrap();
    drop(stream);
    is_gone.await.unwrap();
    heard
}

#[tokio::test]
async fn close_lets_leave_the_last_words_where_the_stream_is_full() {
    let (give, manager) = oneshot::channel();
    let (tell, is_gone) = oneshot::channel();
    let (stream, server) = tokio::io::duplex(512);
    let (server, stream) =
        (tokio::spawn(reads_slowly(server, manager, is_gone)), Mutex::new(Some(stream)));
    // It says no pong, and so is not waited for as long as usual.
    let mut limits = Limits::client();
    limits.close_timeout = Duration::from_secs(1);
    let opens = Manager::builder("http://localhost").unwrap().limits(limits);
    let socket = main_socket(opens.transports([Transport::WebSocket]).stream(move || {
        let stream = stream.lock().unwrap().take();
        std::future::ready(stream.ok_or_else(|| std::io::ErrorKind::NotConnected.into()))
    }));
    soon(socket.connect()).await.unwrap();
    give.send(socket.manager()).ok().unwrap();
    socket.emit("event", "x".repeat(2_000));
    soon(socket.manager().close()).await;
    tell.send(()).unwrap();
    let heard = soon(server).await.unwrap();
    // A close frame, of the key and the code: masked, as all that a client says.
    let [.., 0x88, 0x82, k0, k1, _, _, c0, c1] = heard[..] else { panic!("no close frame") };
    assert_eq!(u16::from_be_bytes([c0 ^ k0, c1 ^ k1]), CloseCode::NORMAL.get());
    assert!(heard.len() > 2_000, "{}", heard.len());
}

#[test]
fn without_a_runtime_it_says_so() {
    let socket = Socket::new("http://127.0.0.1:1").unwrap();
    socket.emit("event", ());
    socket.emit_volatile("event", ());
    let call = socket.call::<_, _, ()>("ask", ());
    drop(call);
    drop(socket.connect());
    let is_named = |error: &ConnectError| match error {
        ConnectError::Transport(e) => *e.cause() == TransportCause::NoRuntime,
        _ => false,
    };
    assert!(matches!(socket.status(), Status::Failed(error) if is_named(&error)));
    socket.disconnect();
    drop(socket);
}

#[test]
fn without_a_runtime_it_can_be_made_and_used_later_in_one() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (io, _told) = site();
    let site = runtime.block_on(serve(&io));
    let socket = main_socket(builder(&site, WEBSOCKET));
    let mut echo = socket.events::<_, i32>("echo");
    socket.emit("echo", 1);
    runtime.block_on(async {
        soon(socket.connect()).await.unwrap();
        assert_eq!(soon(echo.next()).await.unwrap().unwrap(), 1);
    });
    // And from outside again, and to its end.
    socket.emit("echo", 2);
    assert_eq!(runtime.block_on(soon(echo.next())).unwrap().unwrap(), 2);
    drop(socket);
    assert!(runtime.block_on(soon(echo.next())).is_none());
}

#[test]
fn when_its_runtime_ends_nobody_waits_for_ever() {
    let servers =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (io, _told) = site();
    let site = servers.block_on(serve(&io));
    for way in WAYS {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let socket = main_socket(builder(&site, way));
        let away = socket.manager().socket("/away");
        let held = Arc::new(());
        let is_held = Arc::clone(&held);
        socket.on("echo", move |_: Socket, _: i32| {
            let _held = Arc::clone(&is_held);
            std::future::pending::<()>()
        });
        runtime.block_on(async { soon(socket.connect()).await.unwrap() });
        let sent = socket.call::<_, _, ()>("never", ());
        let unsent = away.call::<_, _, ()>("never", ());
        runtime.shutdown_background();
        servers.block_on(async {
            assert!(matches!(soon(sent).await, Err(CallError::Disconnected)));
            assert!(matches!(soon(unsent).await, Err(CallError::Disconnected)));
            assert!(matches!(soon(socket.closed()).await, Status::Failed(_)));
            soon(socket.manager().close()).await;
            // What is asked of it now is answered at once.
            let late = socket.call::<_, _, ()>("never", ());
            assert!(matches!(soon(late).await, Err(CallError::Disconnected)));
            let late = soon(socket.connect()).await;
            assert!(matches!(late, Err(ConnectError::Transport(_))), "{late:?}");
        });
        drop((socket, away));
        servers.block_on(soon(async {
            while Arc::strong_count(&held) > 1 {
                tokio::task::yield_now().await;
            }
        }));
    }
}
