//! A network that fails in every way, at every step: the client says how, and is back when it works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::time::Duration;

use roomful::Server;
use roomful_client::{
    Builder, ConnectError, DisconnectReason, Manager, Reconnection, Socket, Status, Transport,
    TransportCause,
};
use support::proxy::{Proxy, Weather};
use support::raw::{BOTH, JOINED, POLLING, Raw, WEBSOCKET, Wire, ok, open_packet, status, text};
use support::{WAYS, main_socket, serve, soon};
use tokio::net::TcpListener;

fn site() -> Server {
    fill(Server::new())
}

/// A server whose heartbeats are so fast that silence is soon noticed: that of a machine that stands still, too.
fn hasty_site() -> Server {
    let (interval, timeout) = (Duration::from_millis(50), Duration::from_millis(250));
    fill(Server::builder().ping_interval(interval).ping_timeout(timeout).build())
}

fn fill(io: Server) -> Server {
    io.on("add", async |_: roomful::Socket, a: i64, b: i64| a + b);
    io.on("large", async |_: roomful::Socket| "x".repeat(50_000));
    io
}

fn client(url: &str, way: &[Transport]) -> Builder {
    Manager::builder(url)
        .unwrap()
        .transports(way.iter().copied())
        .connect_timeout(Duration::from_secs(20))
        .reconnection(Reconnection::every(Duration::from_secs(3600)))
}

/// Connects, and tells why there is no connection any more.
async fn ending(socket: &Socket) -> ConnectError {
    let mut watch = socket.watch();
    drop(socket.connect());
    waiting(&mut watch).await
}

async fn waiting(watch: &mut tokio::sync::watch::Receiver<Status>) -> ConnectError {
    let ended = watch.wait_for(|status| matches!(status, Status::Waiting { .. }));
    match &*soon(ended).await.unwrap() {
        Status::Waiting { error, .. } => (**error).clone(),
        other => panic!("{other:?}"),
    }
}

fn cause(error: &ConnectError) -> &TransportCause {
    match error {
        ConnectError::Transport(e) => e.cause(),
        other => panic!("{other:?}"),
    }
}

async fn works(socket: &Socket) {
    assert!(soon(answers(socket)).await);
}

async fn answers(socket: &Socket) -> bool {
    socket.call::<_, _, i64>("add", (1, 2)).await.is_ok_and(|sum| sum == 3)
}

#[tokio::test]
async fn byte_by_byte_all_works() {
    let io = site();
    let site = serve(&io).await;
    let proxy = Proxy::start(site.port).await;
    proxy.set(Weather::ByteByByte);
    for way in WAYS {
        let socket = main_socket(client(&proxy.url, way));
        soon(socket.connect()).await.unwrap();
        works(&socket).await;
        soon(socket.manager().close()).await;
    }
}

/// From the first byte of the server on, every few bytes: within the answer that opens the session, the
/// answer to CONNECT, the probe, the upgrade, a frame.
#[tokio::test]
async fn wherever_it_is_cut_it_says_so_and_is_back() {
    let io = site();
    let site = serve(&io).await;
    let proxy = Proxy::start(site.port).await;
    for way in WAYS {
        for after in (0..2_000).step_by(61) {
            for weather in [
                Weather::CutAfter(after),
                Weather::ResetAfter(after),
                Weather::ResetAfterSent(after),
            ] {
                proxy.set(weather);
                let socket = main_socket(client(&proxy.url, way));
                let mut watch = socket.watch();
                let first = soon(socket.connect()).await;
                if first.is_ok() {
                    // It has got so far; more bytes go, until it is cut. An upgrade may be what is cut, and
                    // costs nothing.
                    while socket.is_connected() {
                        let large = socket.call::<_, _, String>("large", ());
                        let _ = soon(large).await;
                    }
                }
                let error = waiting(&mut watch).await;
                let named = matches!(
                    cause(&error),
                    TransportCause::Stream(_)
                        | TransportCause::Http(_)
                        | TransportCause::WebSocket(_)
                        | TransportCause::Status { .. }
                        | TransportCause::Ended(
                            DisconnectReason::TransportError | DisconnectReason::TransportClose
                        )
                );
                assert!(named, "{weather:?} {way:?}: {error:?}");
                proxy.set(Weather::Fair);
                soon(socket.connect()).await.unwrap();
                works(&socket).await;
            }
        }
    }
}

#[tokio::test]
async fn where_it_falls_silent_it_says_so_and_is_back() {
    let io = hasty_site();
    let site = serve(&io).await;
    let proxy = Proxy::start(site.port).await;
    for way in WAYS {
        for weather in [
            Weather::Silent,
            Weather::SilentAfter(10),
            Weather::SilentAfter(150),
            Weather::SilentAfter(250),
            Weather::SilentAfter(400),
            Weather::SilentAfter(800),
        ] {
            proxy.set(weather);
            let socket =
                main_socket(client(&proxy.url, way).connect_timeout(Duration::from_millis(200)));
            let mut watch = socket.watch();
            if soon(socket.connect()).await.is_ok() {
                while socket.is_connected() {
                    let large = socket.call::<_, _, String>("large", ());
                    let _ = soon(large.timeout(Duration::from_millis(50))).await;
                }
            }
            let error = waiting(&mut watch).await;
            let named = matches!(&error, ConnectError::NotAnswered)
                || matches!(
                    cause(&error),
                    TransportCause::Timeout | TransportCause::Ended(DisconnectReason::PingTimeout)
                    // The server has noticed it first, and its farewell came through one of two streams.
                    | TransportCause::Status { .. } | TransportCause::Ended(_)
                );
            assert!(named, "{weather:?} {way:?}: {error:?}");
            proxy.set(Weather::Fair);
            // Whoever is late by the haste of these heartbeats is lost once more.
            let is_back = async {
                let socket = main_socket(client(&proxy.url, way));
                while socket.connect().await.is_err() || !answers(&socket).await {}
            };
            soon(is_back).await;
        }
    }
}

#[tokio::test]
async fn where_nobody_is_it_says_so() {
    // A port that was ours and is free.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for way in WAYS {
        for host in ["127.0.0.1", "no-such-host.invalid"] {
            let socket = main_socket(
                client(&format!("http://{host}:{port}"), way)
                    .connect_timeout(Duration::from_secs(15)),
            );
            let error = ending(&socket).await;
            let found = cause(&error);
            let is_named = matches!(found, TransportCause::Stream(_))
                // A machine whose resolver is not reached.
                || host != "127.0.0.1" && *found == TransportCause::Timeout;
            assert!(is_named, "{error:?}");
        }
    }
    // And somebody comes.
    let manager = client(&format!("http://127.0.0.1:{port}"), BOTH)
        .reconnection(Reconnection::every(Duration::from_millis(5)));
    let socket = main_socket(manager);
    soon(socket.connect()).await.unwrap_err();
    let io = site();
    let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await else {
        // Somebody else has taken it meanwhile.
        return;
    };
    let _site = support::serve_at(&io, listener);
    soon(socket.connected()).await.unwrap();
    works(&socket).await;
}

#[tokio::test]
async fn attempts_end_where_their_number_does() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let reconnection = Reconnection::every(Duration::from_millis(1)).attempts(3);
    let socket = main_socket(
        client(&format!("http://127.0.0.1:{port}"), POLLING).reconnection(reconnection),
    );
    drop(socket.connect());
    let failed = soon(socket.connected()).await.unwrap_err();
    assert!(matches!(cause(&failed), TransportCause::Stream(_)), "{failed:?}");
    assert!(matches!(socket.status(), Status::Failed(_)));
    assert_eq!(socket.manager().stats().failures, 4);
    assert!(!socket.is_active());
}

#[tokio::test]
async fn what_stands_between_is_named() {
    let portal = ok("text/html; charset=utf-8", "<html>Please log in");
    let bare = ok("text/plain", "\n<!doctype html><title>Welcome");
    let redirect = |code: &str| status(code, "Location: https://portal.example/\r\n", "");
    let balancer = status("502 Bad Gateway", "Content-Type: text/html\r\n", "<html>502 nginx");
    let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
    let page = |content_type: &str, excerpt: &str| TransportCause::NotSocketIo {
        content_type: content_type.to_owned(),
        excerpt: excerpt.to_owned(),
    };
    let redirected = || TransportCause::Redirect { location: "https://portal.example/".to_owned() };
    let refused = |status: u16, excerpt: &str| TransportCause::Status {
        status,
        engine: None,
        excerpt: excerpt.to_owned(),
    };
    let cases = [
        (portal, page("text/html; charset=utf-8", "<html>Please log in")),
        (bare, page("text/plain", "<!doctype html><title>Welcome")),
        (redirect("301 Moved Permanently"), redirected()),
        (redirect("302 Found"), redirected()),
        (redirect("307 Temporary Redirect"), redirected()),
        (status("401 Unauthorized", "", "who?"), refused(401, "who?")),
        (status("404 Not Found", "", ""), refused(404, "")),
        (balancer, refused(502, "<html>502 nginx")),
        (
            status("400 Bad Request", "", unknown),
            TransportCause::Status {
                status: 400,
                engine: Some((1, "Session ID unknown".to_owned())),
                excerpt: unknown.to_owned(),
            },
        ),
    ];
    for (bytes, expected) in cases {
        for way in [POLLING, WEBSOCKET] {
            let raw = Raw::answers(bytes.clone()).await;
            let error = ending(&main_socket(client(&raw.url, way))).await;
            match (cause(&error), &expected) {
                // For a WebSocket 200 is no answer at all.
                (
                    TransportCause::Status { status: 200, .. },
                    TransportCause::NotSocketIo { .. },
                ) if way == WEBSOCKET => {}
                (found, expected) => assert_eq!(found, expected),
            }
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Answers the handshake and CONNECT by polling, and everything then as `then` says.
async fn session(then: Vec<u8>) -> Raw {
    Raw::start(move |mut wire: Wire| {
        let then = then.clone();
        async move {
            let mut is_joined = false;
            while let Some(head) = wire.head().await {
                let answer = if head.starts_with("POST") {
                    ok("text/html", "ok")
                } else if !head.contains("sid=") {
                    ok("text/plain", &open_packet("", 25_000, 20_000))
                } else if !std::mem::replace(&mut is_joined, true) {
                    ok("text/plain", JOINED)
                } else {
                    then.clone()
                };
                wire.say(answer).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_session_that_the_server_does_not_know_any_more_is_made_anew() {
    let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
    let raw = session(status("400 Bad Request", "", unknown)).await;
    let socket = main_socket(client(&raw.url, POLLING));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    socket.on_disconnect(move |_, why| {
        tell.send(why).unwrap();
        std::future::ready(())
    });
    let error = ending(&socket).await;
    let engine = Some((1, "Session ID unknown".to_owned()));
    let expected = TransportCause::Status { status: 400, engine, excerpt: unknown.to_owned() };
    assert_eq!(*cause(&error), expected);
    let why = soon(told.recv()).await.unwrap();
    assert_eq!(why.reason, DisconnectReason::TransportError);
    assert!(why.detail.unwrap().contains("Session ID unknown"));
    // Another one, without waiting.
    soon(socket.connect()).await.unwrap();
}

#[tokio::test]
async fn a_page_in_the_middle_of_a_session_ends_it() {
    let raw = session(ok("text/html", "<html>Please log in")).await;
    let error = ending(&main_socket(client(&raw.url, POLLING))).await;
    let found = cause(&error);
    assert!(matches!(found, TransportCause::NotSocketIo { .. }), "{found:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let short = Duration::from_millis(200);
    for way in WAYS {
        let raw = Raw::start(|mut wire| async move { wire.read_all().await }).await;
        let socket = main_socket(client(&raw.url, way).connect_timeout(short));
        assert_eq!(*cause(&ending(&socket).await), TransportCause::Timeout);
    }
    // The handshake comes, and the answer to CONNECT does not.
    let raw = Raw::start(|mut wire| async move {
        wire.open_websocket("").await;
        wire.say(text(open_packet("", 25_000, 20_000))).await;
        wire.read_all().await;
    })
    .await;
    // Long enough for the handshake on any machine.
    let longer = Duration::from_secs(2);
    let socket = main_socket(client(&raw.url, WEBSOCKET).connect_timeout(longer));
    let error = ending(&socket).await;
    assert!(matches!(error, ConnectError::NotAnswered), "{error:?}");
    // It comes, and then nothing.
    let raw = Raw::start(|mut wire| async move {
        wire.join_with("", &open_packet("", 50, 50)).await;
        wire.read_all().await;
    })
    .await;
    let error = ending(&main_socket(client(&raw.url, WEBSOCKET))).await;
    assert_eq!(*cause(&error), TransportCause::Ended(DisconnectReason::PingTimeout));
}

#[tokio::test]
async fn a_server_that_closes_at_once_is_connected_again_and_again() {
    let raw = Raw::start(|mut wire| async move {
        wire.join("").await;
    })
    .await;
    let manager = client(&raw.url, WEBSOCKET).reconnection(Reconnection::every(Duration::ZERO));
    let socket = main_socket(manager);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    socket.on_connect(move |_| {
        let _ = tell.send(());
        std::future::ready(())
    });
    drop(socket.connect());
    for _ in 0..20 {
        soon(told.recv()).await.unwrap();
    }
    socket.disconnect();
    assert!(matches!(soon(socket.closed()).await, Status::Disconnected(_)));
}

/// Where the WebSocket beside the polling fails, wherever that is, the polling goes on.
#[tokio::test]
async fn an_upgrade_that_is_cut_costs_nothing() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fails {
        BeforeTheAnswer,
        BehindTheAnswer,
        BehindTheProbe,
        /// The polling has been paused for it.
        BehindThePong,
        Silently,
        SilentlyBehindThePong,
    }
    for fails in [
        Fails::BeforeTheAnswer,
        Fails::BehindTheAnswer,
        Fails::BehindTheProbe,
        Fails::BehindThePong,
        Fails::Silently,
        Fails::SilentlyBehindThePong,
    ] {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let raw = Raw::start(move |mut wire: Wire| {
            let tell = tell.clone();
            async move {
                while let Some(head) = wire.head().await {
                    if head.contains("transport=websocket") {
                        if fails == Fails::BeforeTheAnswer {
                            wire.reset();
                        } else {
                            wire.switch(&head, "").await;
                            if fails != Fails::BehindTheAnswer {
                                wire.read_frame().await;
                            }
                            if matches!(fails, Fails::BehindThePong | Fails::SilentlyBehindThePong)
                            {
                                wire.say(text("3probe")).await;
                            }
                            if matches!(fails, Fails::Silently | Fails::SilentlyBehindThePong) {
                                wire.read_all().await;
                            }
                            wire.reset();
                        }
                        let _ = tell.send("cut");
                        return;
                    }
                    if head.starts_with("POST") {
                        wire.answer("ok").await;
                        let _ = tell.send("post");
                    } else if !head.contains("sid=") {
                        wire.answer(&open_packet("\"websocket\"", 25_000, 20_000)).await;
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
        let mut limits = roomful_client::Limits::client();
        limits.upgrade_timeout = Duration::from_millis(50);
        let socket = main_socket(client(&raw.url, BOTH).limits(limits));
        soon(socket.connect()).await.unwrap();
        let mut posts = 0;
        let mut is_cut = false;
        // One of them is CONNECT.
        while !is_cut || posts < 2 {
            match soon(told.recv()).await {
                Some("cut") => {
                    is_cut = true;
                    socket.emit("event", ());
                }
                _ => posts += 1,
            }
        }
        assert!(socket.is_connected(), "{fails:?}");
        assert_eq!(socket.manager().transport(), Some(Transport::Polling), "{fails:?}");
    }
}
