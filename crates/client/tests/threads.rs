//! Many tasks on several threads use one client at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use roomful::Server;
use support::{WAYS, builder, main_socket, serve, soon};

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
