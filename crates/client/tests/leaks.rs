//! What a connection leaves behind when it is gone: nothing. A program of its own with a single test,
//! because it reads what the whole process holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

use roomful::Server;
use roomful_client::{Reconnection, Socket, Status, Transport};
use support::proxy::Proxy;
use support::{WAYS, main_socket, serve, soon};
use tokio::sync::mpsc;

/// How often a client is cut off, on each way.
const TIMES: usize = 400;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn falls_to(what: &str, most: usize, number: impl Fn() -> usize) {
    soon(async {
        while number() > most {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(number() <= most, "{what}");
}

/// Is cut off so many times, each time as soon as it is connected.
async fn is_cut(proxy: &Proxy, way: &[Transport], times: usize) {
    let manager = roomful_client::Manager::builder(&proxy.url)
        .unwrap()
        .transports(way.iter().copied())
        .reconnection(Reconnection::every(Duration::from_millis(1)));
    let socket = main_socket(manager);
    let (tell, mut told) = mpsc::unbounded_channel();
    socket.on_connect(move |me: Socket| {
        let _ = tell.send(());
        me.emit("echo", "x".repeat(1_000));
        std::future::ready(())
    });
    drop(socket.connect());
    for _ in 0..times {
        soon(told.recv()).await.unwrap();
        let mut watch = socket.watch();
        while socket.is_connected() {
            proxy.cut();
            let _ = tokio::time::timeout(
                Duration::from_millis(5),
                watch.wait_for(|status| !status.is_connected()),
            )
            .await;
        }
    }
    soon(socket.manager().close()).await;
    assert!(matches!(socket.status(), Status::Disconnected(_)));
}

#[tokio::test]
async fn a_thousand_connections_that_are_cut_leave_nothing() {
    // A session that is polled is not cut by its streams: silence ends it.
    let (interval, timeout) = (Duration::from_millis(100), Duration::from_millis(900));
    let io = Server::builder().ping_interval(interval).ping_timeout(timeout).build();
    io.on("echo", async |me: roomful::Socket, text: String| me.emit("echo", text));
    let site = serve(&io).await;
    let proxy = Proxy::start(site.port).await;
    // Once each, so that what is needed at all is there.
    for way in WAYS {
        is_cut(&proxy, way, 50).await;
    }
    let settled = async || {
        soon(async {
            while io.stats().connections > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        proxy.cut();
    };
    settled().await;
    // The test, the server and the proxy listen, each in a task or two; whatever else says goodbye.
    tokio::time::timeout(Duration::from_secs(10), async {
        let mut before = (tasks(), descriptors());
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = (tasks(), descriptors());
            if now >= before {
                break;
            }
            before = now;
        }
    })
    .await
    .unwrap();
    let (tasks_before, descriptors_before, bytes) = (tasks(), descriptors(), resident_bytes());
    for way in WAYS {
        is_cut(&proxy, way, TIMES).await;
    }
    settled().await;
    falls_to("tasks", tasks_before, tasks).await;
    falls_to("descriptors", descriptors_before, descriptors).await;
    let grown = resident_bytes().saturating_sub(bytes);
    assert!(grown < 8_000_000, "{grown} bytes more");
}
