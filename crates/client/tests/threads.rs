//! Many tasks on several threads use one client at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::time::Duration;

use roomful::Server;
use roomful_client::{Manager, Reconnection, Socket, Status};
use support::{PATIENCE, WAYS, builder, main_socket, serve, soon};
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
            let answer = runtime.block_on(soon(socket.call::<_, _, u32>("echo", n)));
            assert_eq!(answer.unwrap(), n);
        }
    });
    caller.await.unwrap();
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

/// A number that looks random and is the same each time (xorshift).
struct Random(u32);

impl Random {
    fn below(&mut self, max: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % max
    }
}

/// One of all that a user may do with a socket.
async fn does_something(socket: &Socket, random: &mut Random) {
    match random.below(16) {
        0 => drop(socket.connect()),
        1 => socket.disconnect(),
        2 => socket.emit("leave-me", ()),
        3 => socket.emit("close-me", ()),
        4 => drop(soon(socket.connect()).await),
        5 => drop(soon(socket.call::<_, _, u32>("echo", 1)).await),
        6 => drop(socket.call::<_, _, u32>("echo", 1)),
        7 => drop(soon(socket.call::<_, _, ()>("late", 1)).await),
        8 => drop(socket.once("echo", async |me: Socket, _: u32| me.emit("note", 2))),
        9 => drop(socket.on("echo", async |me: Socket, _: u32| me.emit("note", 2))),
        10 => drop(socket.off("echo")),
        11 => drop(socket.clear_buffer()),
        12 => soon(socket.manager().close()).await,
        13 => {
            let stream = socket.events::<_, u32>("echo");
            tokio::task::yield_now().await;
            drop(stream);
        }
        14 => socket.emit_volatile("note", 3),
        _ => socket.emit("note", 4),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_many_do_at_once_everybody_is_told_and_all_works_afterwards() {
    // A session that was given up while it was opened ends by silence.
    let (interval, timeout) = (Duration::from_millis(100), Duration::from_millis(2_900));
    let io = Server::builder().ping_interval(interval).ping_timeout(timeout).build();
    io.on("echo", async |me: roomful::Socket, n: u32| {
        me.emit("echo", n);
        n
    });
    io.on("note", async |_: roomful::Socket, _: u32| ());
    io.on("leave-me", async |me: roomful::Socket| me.disconnect());
    io.on("close-me", async |me: roomful::Socket| me.close());
    io.on("late", async |_: roomful::Socket, _: u32| {
        tokio::time::sleep(Duration::from_millis(100)).await;
    });
    let other = io.of("/other");
    other.on("echo", async |_: roomful::Socket, n: u32| n);
    let site = serve(&io).await;
    for way in WAYS {
        let manager = builder(&site, way)
            .reconnection(Reconnection::every(Duration::from_millis(1)))
            .ack_timeout(Duration::from_millis(50))
            .build()
            .unwrap();
        let many: Vec<_> = (1..=6)
            .map(|seed| {
                let socket = manager.socket(if seed % 2 == 0 { "/" } else { "/other" });
                tokio::spawn(async move {
                    let mut random = Random(seed);
                    for _ in 0..50 {
                        does_something(&socket, &mut random).await;
                    }
                })
            })
            .collect();
        for one in many {
            // What it waits for has an end each.
            one.await.unwrap();
        }
        soon(manager.close()).await;
        for name in ["/", "/other"] {
            let socket = manager.socket(name);
            socket.clear_buffer();
            soon(socket.connect()).await.unwrap();
            let echo: u32 = soon(socket.call("echo", 7).timeout(PATIENCE)).await.unwrap();
            assert_eq!(echo, 7);
        }
        drop(manager);
        soon(async {
            while io.stats().connections > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
