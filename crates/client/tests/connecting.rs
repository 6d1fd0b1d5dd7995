//! How a socket comes to be connected, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use roomful::{Hello, Server};
use roomful_client::{
    ConnectError, DisconnectReason, Manager, Reconnection, Socket, Status, Transport,
    TransportCause,
};
use support::{WAYS, builder, main_socket, serve, soon};

#[derive(serde::Deserialize)]
struct Login {
    token: String,
}

fn guarded() -> Server {
    let io = Server::new();
    io.of("/private").connect(async |hello: Hello| {
        let login: Login = hello.auth()?;
        match login.token.as_str() {
            "letmein" => Ok(()),
            _ => Err(roomful::Refusal::new("not allowed").data(401)),
        }
    });
    io
}

#[tokio::test]
async fn a_refusal_says_why_and_is_final() {
    let io = guarded();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = builder(&site, way).build().unwrap().socket("/private");
        socket.auth(serde_json::json!({ "token": "guess" })).unwrap();
        let refused = soon(socket.connect()).await.unwrap_err();
        let ConnectError::Refused(refusal) = refused else { panic!("{refused:?}") };
        assert_eq!((refusal.message.as_str(), refusal.data), ("not allowed", Some(401.into())));
        assert!(matches!(socket.status(), Status::Failed(_)) && !socket.is_active());
        socket.auth(serde_json::json!({ "token": "letmein" })).unwrap();
        soon(socket.connect()).await.unwrap();
    }
}

#[tokio::test]
async fn an_auth_payload_is_made_anew_each_time() {
    let io = guarded();
    let site = serve(&io).await;
    let socket = builder(&site, WAYS[1]).build().unwrap().socket("/private");
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    socket.auth_with(move || {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move { serde_json::json!({ "token": if first { "old" } else { "letmein" } }) }
    });
    soon(socket.connect()).await.unwrap_err();
    soon(socket.connect()).await.unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of_at_once_and_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for way in WAYS {
        let manager = Manager::builder(&format!("http://127.0.0.1:{port}")).unwrap();
        let manager = manager
            .transports(way.iter().copied())
            .reconnection(Reconnection::every(Duration::from_millis(1)).attempts(3));
        let socket = main_socket(manager);
        let errors = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&errors);
        socket.on_connect_error(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {}
        });
        let error = soon(socket.connect()).await.unwrap_err();
        let ConnectError::Transport(error) = error else { panic!("{error:?}") };
        assert!(matches!(error.cause(), TransportCause::Stream(_)), "{error:?}");
        let status = soon(socket.closed()).await;
        assert!(matches!(status, Status::Failed(_)), "{status:?}");
        // The first, and three more.
        soon(async {
            while errors.load(Ordering::Relaxed) < 4 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(errors.load(Ordering::Relaxed), 4);
        assert!(soon(socket.connected()).await.is_err());
    }
}

/// The next attempt began before it could look.
#[tokio::test]
async fn who_connects_is_told_of_the_first_failure_however_soon_the_next_attempt_follows() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for way in WAYS {
        let manager = Manager::builder(&format!("http://{nobody}")).unwrap();
        let manager = manager.transports(way.iter().copied());
        let socket = main_socket(manager.reconnection(Reconnection::every(Duration::ZERO)));
        for _ in 0..3 {
            let error = soon(socket.connect()).await.unwrap_err();
            let ConnectError::Transport(error) = error else { panic!("{error:?}") };
            assert!(matches!(error.cause(), TransportCause::Stream(_)), "{error:?}");
        }
        soon(socket.manager().close()).await;
    }
}

#[tokio::test]
async fn who_leaves_while_it_is_being_connected_is_disconnected() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let socket = Socket::new(&url).unwrap();
    let connect = socket.connect();
    assert!(matches!(socket.status(), Status::Connecting));
    socket.disconnect();
    assert!(matches!(soon(connect).await, Err(ConnectError::Disconnected(_))));
    let Status::Disconnected(why) = soon(socket.closed()).await else { panic!() };
    assert_eq!(why.reason, DisconnectReason::ClientDisconnect);
    soon(socket.manager().close()).await;
    // Nothing has failed.
    assert_eq!(socket.manager().stats().failures, 0);
}

/// A listener on the command line said that it had disconnected itself.
#[tokio::test]
async fn who_was_put_out_before_it_looked_was_connected_and_hears_by_whom() {
    let io = Server::new();
    io.on_connect(async |me: roomful::Socket| me.disconnect());
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        let connect = socket.connect();
        let Status::Disconnected(why) = soon(socket.closed()).await else { panic!() };
        assert_eq!(why.reason, DisconnectReason::ServerDisconnect);
        soon(connect).await.unwrap();
        // That was before this one.
        let Err(ConnectError::Disconnected(again)) = soon(socket.connected()).await else {
            panic!()
        };
        assert_eq!(again, why);
    }
}

#[tokio::test]
async fn who_was_cut_off_before_it_looked_was_connected() {
    let raw = support::raw::Raw::start(|mut wire| async move {
        wire.join("").await;
    })
    .await;
    let builder = Manager::builder(&raw.url).unwrap().transports([Transport::WebSocket]);
    let socket = main_socket(builder.reconnection(Reconnection::every(Duration::from_secs(3600))));
    let mut watch = socket.watch();
    let connect = socket.connect();
    soon(watch.wait_for(|status| matches!(status, Status::Waiting { .. }))).await.unwrap();
    soon(connect).await.unwrap();
    // The next one has failed when there is nobody any more.
    drop(raw);
    socket.disconnect();
    assert!(soon(socket.connect()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_and_connects_again_at_once_is_connected() {
    let io = Server::new();
    drop(io.of("/again"));
    let site = serve(&io).await;
    let manager = builder(&site, WAYS[1]).build().unwrap();
    // It keeps the connection.
    soon(manager.socket("/").connect()).await.unwrap();
    let socket = manager.socket("/again");
    for _ in 0..5_000 {
        soon(socket.connect()).await.unwrap();
        socket.disconnect();
    }
}

#[tokio::test]
async fn several_namespaces_share_a_connection() {
    let io = guarded();
    for name in ["/", "/a", "/b"] {
        io.of(name).on("where", async |me: roomful::Socket| me.namespace().to_owned());
    }
    let site = serve(&io).await;
    for way in WAYS {
        let manager = builder(&site, way).build().unwrap();
        let sockets = ["/", "/a", "/b"].map(|name| manager.socket(name));
        for socket in &sockets {
            soon(socket.connect()).await.unwrap();
        }
        for socket in &sockets {
            let name: String = soon(socket.call("where", ())).await.unwrap();
            assert_eq!(name, socket.namespace());
        }
        assert_eq!(manager.stats().connections, 1);
        sockets[1].disconnect();
        soon(sockets[1].closed()).await;
        assert!(sockets[0].is_connected() && !sockets[1].is_connected());
        soon(sockets[1].connect()).await.unwrap();
        soon(manager.close()).await;
        assert_eq!(manager.transport(), None);
    }
}

#[tokio::test]
async fn a_socket_of_its_own_has_a_connection_of_its_own() {
    let io = guarded();
    let site = serve(&io).await;
    let (first, second) = (Socket::new(&site.url).unwrap(), Socket::new(&site.url).unwrap());
    soon(first.connect()).await.unwrap();
    soon(second.connect()).await.unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(io.stats().connections, 2);
    let again = first.manager().socket("/");
    assert!(again.is_connected() && again.id() == first.id());
}

#[tokio::test]
async fn polling_is_upgraded_and_remembered() {
    let io = guarded();
    let site = serve(&io).await;
    let manager = builder(&site, WAYS[2]).remember_upgrade(true).build().unwrap();
    let socket = manager.socket("/");
    soon(socket.connect()).await.unwrap();
    let mut transport = manager.watch_transport();
    let upgraded = transport.wait_for(|transport| *transport == Some(Transport::WebSocket));
    soon(upgraded).await.unwrap();
    soon(manager.close()).await;
    soon(socket.connect()).await.unwrap();
    assert_eq!(manager.transport(), Some(Transport::WebSocket));
}

#[tokio::test]
async fn who_watches_the_transport_hears_when_it_changes() {
    let io = guarded();
    let site = serve(&io).await;
    for way in WAYS {
        let manager = builder(&site, way).build().unwrap();
        let socket = manager.socket("/");
        let mut transport = manager.watch_transport();
        assert_eq!(*transport.borrow_and_update(), None);
        let connecting = socket.connect();
        let last = way.last().copied();
        soon(transport.wait_for(|transport| *transport == last)).await.unwrap();
        soon(connecting).await.unwrap();
        assert_eq!(manager.transport(), last);
        // One that comes later finds what is.
        let mut second = manager.watch_transport();
        assert_eq!(*second.borrow_and_update(), last);
        socket.disconnect();
        for watch in [&mut transport, &mut second] {
            soon(watch.changed()).await.unwrap();
            assert_eq!(*watch.borrow_and_update(), None);
        }
        soon(manager.close()).await;
        drop((manager, socket));
        soon(transport.changed()).await.unwrap_err();
    }
}

#[tokio::test]
async fn the_server_puts_a_socket_out_for_good_or_until_it_comes_back() {
    let io = Server::new();
    io.on("leave-me", async |me: roomful::Socket| me.disconnect());
    io.on("close-me", async |me: roomful::Socket| me.close());
    let site = serve(&io).await;
    for way in WAYS {
        let fast = Reconnection::every(Duration::from_millis(1));
        let socket = main_socket(builder(&site, way).reconnection(fast));
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        socket.on_disconnect(move |_, why| {
            told.send(why.reason).unwrap();
            async {}
        });
        soon(socket.connect()).await.unwrap();
        socket.emit("leave-me", ());
        assert_eq!(soon(heard.recv()).await, Some(DisconnectReason::ServerDisconnect));
        assert!(!socket.is_active());
        soon(socket.connect()).await.unwrap();
        socket.emit("close-me", ());
        let why = soon(heard.recv()).await.unwrap();
        assert!(
            matches!(why, DisconnectReason::ServerDisconnect | DisconnectReason::TransportClose),
            "{why}"
        );
    }
}

#[tokio::test]
async fn the_last_handle_closes_the_connection() {
    let io = Server::new();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    io.on_disconnect(move |_: roomful::Socket, why| {
        let told = told.clone();
        async move { told.send(why).unwrap() }
    });
    io.on("last", async |_: roomful::Socket| ());
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        soon(socket.connect()).await.unwrap();
        let other = socket.clone();
        drop(socket);
        let _: () = soon(other.call("last", ())).await.unwrap();
        drop(other);
        assert!(soon(heard.recv()).await.is_some());
    }
}

/// The other namespace keeps the connection, so nothing else would tell.
#[tokio::test]
async fn a_namespace_that_never_answers_beside_another_is_given_up_in_time() {
    let io = Server::new();
    io.of("/silent").connect(async |_: Hello| {
        std::future::pending::<()>().await;
        Ok::<_, roomful::Refusal>(())
    });
    io.on("echo", async |_: roomful::Socket, text: String| text);
    let site = serve(&io).await;
    for way in WAYS {
        let soon_over = Duration::from_secs(2);
        let manager = builder(&site, way).connect_timeout(soon_over).build().unwrap();
        let (main, silent) = (manager.socket("/"), manager.socket("/silent"));
        soon(main.connect()).await.unwrap();
        let error = soon(silent.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::NotAnswered), "{error:?}");
        assert!(matches!(soon(silent.closed()).await, Status::Failed(_)) && !silent.is_active());
        let echo: String = soon(main.call("echo", "still there")).await.unwrap();
        assert_eq!((echo.as_str(), manager.stats().connections), ("still there", 1));
    }
}
