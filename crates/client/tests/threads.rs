//! Many tasks on several threads use one client at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::time::Duration;

use roomful::Server;
use roomful_client::{Manager, Reconnection, Status};
use support::{WAYS, builder, main_socket, serve, soon};
use tokio::net::TcpListener;

/// What was emitted while the connection's task was between its last write and its rest stayed where it was
/// until something else woke that task.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_emitted_while_the_connection_comes_to_rest_is_sent() {
    let io = Server::new();
    io.on("note", async |_: roomful::Socket, _: u32| ());
    io.on("echo", async |_: roomful::Socket, n: u32| n);
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    soon(socket.connect()).await.unwrap();
    // The event wakes the task of the connection, and the call comes at any moment of its turn: from a thread
    // of its own, so that both run at once.
    let runtime = tokio::runtime::Handle::current();
    let caller = tokio::task::spawn_blocking(move || {
        for n in 0..5_000_u32 {
            socket.emit("note", n);
            for _ in 0..n % 4_000 {
                std::hint::spin_loop();
            }
            let answer = runtime.block_on(socket.call::<_, _, u32>("echo", n).into_future());
            assert_eq!(answer.unwrap(), n);
        }
    });
    soon(caller).await.unwrap();
}

/// What its task had to say of a connection came behind what a user had been shown: a socket that had left was
/// waiting for the next attempt, for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_left_has_left_whatever_the_connection_is_about_to_say() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let manager = Manager::builder(&format!("http://{nobody}")).unwrap();
    let socket = main_socket(manager.reconnection(Reconnection::every(Duration::ZERO)));
    let leaver = tokio::task::spawn_blocking({
        let socket = socket.clone();
        let runtime = tokio::runtime::Handle::current();
        move || {
            for n in 0..4_000_u32 {
                let _entered = runtime.enter();
                drop(socket.connect());
                for _ in 0..n.wrapping_mul(7_919) % 30_000 {
                    std::hint::spin_loop();
                }
                socket.disconnect();
                runtime.block_on(soon(socket.closed()));
                runtime.block_on(soon(socket.manager().close()));
                let status = socket.status();
                assert!(matches!(status, Status::Disconnected(_)), "{n}: {status:?}");
            }
        }
    });
    leaver.await.unwrap();
}
