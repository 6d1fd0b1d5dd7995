//! What a user's code may do where the client calls it: call back, panic, and be dropped at the worst moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::future::IntoFuture;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use roomful::Server;
use roomful_client::{
    ArgError, CallError, ConnectError, DisconnectReason, FromArg, Reconnection, Socket, Status,
    TransportCause,
};
use support::raw::WEBSOCKET;
use support::{WAYS, builder, main_socket, serve, soon};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

fn echoing() -> Server {
    let io = Server::new();
    io.on("echo", async |me: roomful::Socket, n: i32| me.emit("echo", n));
    io.on("ask-me", async |me: roomful::Socket, name: String| {
        me.call::<_, _, roomful::Args>(&*name, ()).await.is_ok()
    });
    io.on("leave-me", async |me: roomful::Socket| me.disconnect());
    io
}

fn fast() -> Reconnection {
    Reconnection::every(Duration::from_millis(1))
}

/// A value that does something when it is dropped.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_may_change_all_that_is_registered_and_leave() {
    let io = echoing();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        let (tell, mut told) = unbounded_channel();
        let told_once = tell.clone();
        socket.once("echo", move |me: Socket, n: i32| {
            let tell = told_once.clone();
            async move {
                let told_by_next = tell.clone();
                me.off("echo");
                me.off_any();
                me.on("echo", move |me: Socket, n: i32| {
                    let tell = told_by_next.clone();
                    async move {
                        me.off("echo");
                        me.disconnect();
                        tell.send(("next", n)).unwrap();
                    }
                });
                me.emit("echo", n + 1);
                tell.send(("once", n)).unwrap();
            }
        });
        socket.on_any_outgoing({
            let tell = tell.clone();
            move |_, args| tell.send(("out", args.get(0).unwrap())).unwrap()
        });
        let (left, mut has_left) = unbounded_channel();
        socket.on_disconnect(move |me: Socket, why| {
            left.send((why.reason, me.is_connected())).unwrap();
            me.on_connect(async |_: Socket| ());
            std::future::ready(())
        });
        soon(socket.connect()).await.unwrap();
        socket.emit("echo", 1);
        for expected in [("out", 1), ("once", 1), ("next", 2)] {
            assert_eq!(soon(told.recv()).await, Some(expected));
        }
        let left = soon(has_left.recv()).await;
        assert_eq!(left, Some((DisconnectReason::ClientDisconnect, false)));
    }
}

/// It was dropped under the lock of the handlers, and waited for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_for_one_event_that_was_replaced_meanwhile_is_dropped_without_a_lock() {
    let io = echoing();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WEBSOCKET));
    let (tell, mut told) = unbounded_channel();
    let me = Arc::new(std::sync::Mutex::new(None));
    let held = OnDrop({
        let me = Arc::clone(&me);
        move || {
            let socket: Option<Socket> = me.lock().unwrap().take();
            socket.unwrap().emit("echo", 7);
            tell.send(()).unwrap();
        }
    });
    *me.lock().unwrap() = Some(socket.clone());
    // Its argument does not fit, so that it is put back.
    socket.once("echo", move |_: Socket, _: Vec<String>| {
        let _ = &held;
        std::future::ready(())
    });
    socket.on_any({
        let socket = std::sync::Mutex::new(Some(socket.clone()));
        move |_, _| {
            if let Some(socket) = socket.lock().unwrap().take() {
                socket.once("echo", async |_: Socket, _: i32| ());
            }
        }
    });
    let mut echo = socket.events::<_, i32>("echo");
    soon(socket.connect()).await.unwrap();
    socket.emit("echo", 1);
    assert_eq!(soon(told.recv()).await, Some(()));
    assert_eq!(soon(echo.next()).await.unwrap().unwrap(), 1);
    assert_eq!(soon(echo.next()).await.unwrap().unwrap(), 7);
}

/// Calls the client when it is told that a call has ended.
struct CallsBack {
    socket: Socket,
    tell: UnboundedSender<bool>,
}

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        let _ = self.tell.send(self.socket.is_active());
    }
}

/// Whoever waited was woken under the lock of the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_drops_a_call_may_wake_one_that_calls_back() {
    let socket = Socket::new("http://127.0.0.1:1").unwrap();
    let (tell, mut told) = unbounded_channel();
    let waker = Waker::from(Arc::new(CallsBack { socket: socket.clone(), tell }));
    let mut call = Box::pin(socket.call::<_, _, ()>("ask", ()).into_future());
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    std::thread::spawn(move || drop(call));
    assert_eq!(soon(told.recv()).await, Some(false));
}

/// It was the end of all handlers, and in the end nothing was read any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_when_it_is_dropped_is_the_end_of_no_other() {
    let io = echoing();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WEBSOCKET));
    let held = OnDrop(|| panic!("as asked"));
    socket.once("echo", move |_: Socket, _: i32| {
        let _ = &held;
        std::future::ready(())
    });
    let (tell, mut told) = unbounded_channel();
    socket.on("echo", move |_: Socket, n: i32| {
        tell.send(n).unwrap();
        std::future::ready(())
    });
    soon(socket.connect()).await.unwrap();
    for n in 0..3 {
        socket.emit("echo", n);
    }
    for n in 1..3 {
        assert_eq!(soon(told.recv()).await, Some(n));
    }
}

/// The streams of the other sockets did not end.
#[tokio::test]
async fn a_handler_that_panics_when_its_client_ends_keeps_nobody_waiting() {
    let io = echoing();
    let site = serve(&io).await;
    for connects in [true, false] {
        let manager = builder(&site, WEBSOCKET).build().unwrap();
        let sockets = ["/", "/other"].map(|name| manager.socket(name));
        let mut streams = sockets.each_ref().map(|socket| socket.events::<_, i32>("echo"));
        for socket in &sockets {
            let held = OnDrop(|| panic!("as asked"));
            socket.on("held", move |_: Socket| {
                let _ = &held;
                std::future::ready(())
            });
        }
        if connects {
            soon(sockets[0].connect()).await.unwrap();
        }
        drop((manager, sockets));
        for stream in &mut streams {
            assert!(soon(stream.next()).await.is_none());
        }
    }
}

/// An argument whose reading panics.
struct Odd;

impl FromArg for Odd {
    type Takes = roomful_proto::args::One;

    fn from_arg(_: &mut roomful_proto::args::Cursor<'_>) -> Result<Self, ArgError> {
        panic!("as asked")
    }
}

#[tokio::test]
async fn a_panic_of_whatever_is_called_costs_that_alone() {
    let io = echoing();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WEBSOCKET));
    socket.on("odd-argument", async |_: Socket, _: Odd| ());
    socket.on("odd-answer", async |_: Socket| Unwritable);
    socket.on("panics-at-once", |_: Socket| -> std::future::Ready<()> { panic!("as asked") });
    socket.on("panics-later", async |_: Socket| {
        tokio::task::yield_now().await;
        assert!(Vec::<i32>::new().len() > 1, "as asked");
    });
    socket.on_any(|_, _| panic!("as asked"));
    socket.on_connect(|_: Socket| -> std::future::Ready<()> { panic!("as asked") });
    socket.on_unhandled(|_, _, _| panic!("as asked"));
    soon(socket.connect()).await.unwrap();
    for name in ["odd-argument", "odd-answer", "panics-at-once", "panics-later"] {
        // Each is answered.
        let answered: bool = soon(socket.call("ask-me", name)).await.unwrap();
        assert!(answered, "{name}");
    }
    socket.emit("ask-me", "nobody-hears-it");
    let answered: bool = soon(socket.call("ask-me", "panics-later")).await.unwrap();
    assert!(answered && socket.is_connected());
}

/// A value that panics where it is written.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as asked")
    }
}

/// A value that emits where it is written.
struct Chatty(Socket);

impl serde::Serialize for Chatty {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.emit("echo", 1);
        drop(self.0.call::<_, _, ()>("echo", 2));
        serializer.serialize_i32(3)
    }
}

#[tokio::test]
async fn a_value_may_emit_where_it_is_written() {
    let io = echoing();
    let site = serve(&io).await;
    for retries in [false, true] {
        let socket = main_socket(builder(&site, WEBSOCKET));
        if retries {
            socket.retry_events(false);
        }
        socket.on_any_outgoing(|_, _| ());
        soon(socket.connect()).await.unwrap();
        let mut echo = socket.events::<_, i32>("echo");
        socket.emit("echo", Chatty(socket.clone()));
        // It is written twice: for the listener, too.
        for expected in [1, 2, 1, 2, 3] {
            assert_eq!(soon(echo.next()).await.unwrap().unwrap(), expected, "{retries}");
        }
        soon(socket.manager().close()).await;
    }
}

/// It ended the task of the connection, whose error was that there is no runtime.
#[tokio::test]
async fn a_function_that_panics_where_it_opens_a_stream_has_failed_to_open_it() {
    let io = echoing();
    let site = serve(&io).await;
    let port = site.port;
    for way in WAYS {
        let tries = AtomicUsize::new(0);
        let socket = main_socket(builder(&site, way).reconnection(fast()).stream(move || {
            let first = tries.fetch_add(1, Ordering::Relaxed);
            assert!(first != 0, "as asked");
            async move {
                assert!(first != 1, "as asked, later");
                TcpStream::connect(("127.0.0.1", port)).await
            }
        }));
        let (tell, mut told) = unbounded_channel();
        socket.on_connect_error(move |_, error| {
            let _ = tell.send(error);
            std::future::ready(())
        });
        let error = soon(socket.connect()).await.unwrap_err();
        let ConnectError::Transport(error) = error else { panic!("{error:?}") };
        assert!(matches!(error.cause(), TransportCause::Stream(_)), "{error:?}");
        soon(socket.connected()).await.unwrap();
        soon(told.recv()).await.unwrap();
        soon(told.recv()).await.unwrap();
    }
}

/// A stream that panics once it is told to.
struct Panics {
    stream: TcpStream,
    when: Arc<AtomicBool>,
}

impl tokio::io::AsyncRead for Panics {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = std::pin::Pin::new(&mut self.stream).poll_read(cx, buffer);
        assert!(!(polled.is_ready() && self.when.swap(false, Ordering::Relaxed)), "as asked");
        polled
    }
}

impl tokio::io::AsyncWrite for Panics {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_stream_that_panics_has_failed() {
    let io = echoing();
    let site = serve(&io).await;
    let port = site.port;
    for way in WAYS {
        let when = Arc::new(AtomicBool::new(false));
        let panics = Arc::clone(&when);
        let socket =
            main_socket(builder(&site, way).reconnection(fast()).stream(move || {
                let when = Arc::clone(&panics);
                async move {
                    Ok(Panics { stream: TcpStream::connect(("127.0.0.1", port)).await?, when })
                }
            }));
        let (tell, mut told) = unbounded_channel();
        socket.on_disconnect(move |_, why| {
            let _ = tell.send(why.reason);
            std::future::ready(())
        });
        soon(socket.connect()).await.unwrap();
        when.store(true, Ordering::Relaxed);
        socket.emit("echo", 1);
        let why = soon(told.recv()).await.unwrap();
        assert_eq!(why, DisconnectReason::TransportError);
        soon(socket.connected()).await.unwrap();
        let mut echo = socket.events::<_, i32>("echo");
        socket.emit("echo", 2);
        while soon(echo.next()).await.unwrap().unwrap() != 2 {}
    }
}

/// Whoever leaves is not connected from that moment on, whoever is faster.
#[tokio::test]
async fn who_has_left_is_not_connected_at_once() {
    let io = echoing();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        soon(socket.connect()).await.unwrap();
        socket.disconnect();
        assert!(!socket.is_connected() && !socket.is_active());
        assert!(socket.id().is_none() && matches!(socket.status(), Status::Disconnected(_)));
        let error = soon(socket.connected()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Disconnected(_)), "{error:?}");
        soon(socket.connect()).await.unwrap();
        assert!(socket.is_connected() && socket.id().is_some());
    }
}

/// It never came back, as the connection did.
#[tokio::test]
async fn close_does_not_wait_for_a_connection_that_is_made_meanwhile() {
    let io = echoing();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way).reconnection(fast()));
        socket.on_disconnect(async |me: Socket, _| drop(me.connect()));
        soon(socket.connect()).await.unwrap();
        soon(socket.manager().close()).await;
        soon(socket.connected()).await.unwrap();
    }
}

/// Each attempt left one behind.
#[tokio::test]
async fn an_auth_payload_that_nobody_waits_for_any_more_is_not_made_any_further() {
    let io = echoing();
    io.of("/other");
    let site = serve(&io).await;
    let manager = builder(&site, WEBSOCKET).build().unwrap();
    let (main, other) = (manager.socket("/"), manager.socket("/other"));
    soon(main.connect()).await.unwrap();
    let made = Arc::new(AtomicUsize::new(0));
    let (tell, mut told) = unbounded_channel();
    let counted = Arc::clone(&made);
    other.auth_with(move || {
        let (made, tell) = (Arc::clone(&counted), tell.clone());
        async move {
            made.fetch_add(1, Ordering::Relaxed);
            tell.send(()).unwrap();
            let _counted = OnDrop(|| {
                made.fetch_sub(1, Ordering::Relaxed);
            });
            std::future::pending::<()>().await;
            serde_json::json!({})
        }
    });
    for _ in 0..5 {
        drop(other.connect());
        soon(told.recv()).await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 1);
        other.disconnect();
    }
    soon(manager.close()).await;
}

#[tokio::test]
async fn a_value_that_panics_where_it_is_written_panics_for_whoever_emits_it() {
    let io = echoing();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WEBSOCKET));
    soon(socket.connect()).await.unwrap();
    let emitted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        socket.emit("echo", Unwritable);
    }));
    assert!(emitted.is_err());
    let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(socket.call::<_, _, ()>("echo", Unwritable));
    }));
    assert!(called.is_err());
    assert!(matches!(
        soon(socket.call::<_, _, ()>("connect", ())).await,
        Err(CallError::ReservedEvent)
    ));
    let mut echo = socket.events::<_, i32>("echo");
    socket.emit("echo", 3);
    assert_eq!(soon(echo.next()).await.unwrap().unwrap(), 3);
}
