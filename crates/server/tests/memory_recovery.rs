//! What lost sockets make the server hold. A program of its own with a single test, because it reads the
//! memory of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

use roomful::{Recovery, Server};
use support::*;

const BYTES_MAX: usize = 32 * 1024 * 1024;
/// As many as one connection may join.
const NAMESPACES: usize = 32;

/// A child for each lost socket, which ends with it, so that its journal is there for it alone. Without a
/// bound they would hold 90 MB.
#[tokio::test]
async fn sockets_that_wait_in_children_that_have_ended_count_for_what_they_hold() {
    let recovery = Recovery::builder().sockets_bytes_max(BYTES_MAX).window(Duration::from_hours(1));
    let io = Server::builder().recovery(recovery.build()).child_namespaces_max(100).build();
    io.of_pattern("/dyn-{n}");
    let server = start(io).await;
    let lose = async |first: usize| {
        let mut client = Client::open(server.address).await;
        for n in first..first + NAMESPACES {
            client.join(&format!("/dyn-{n}"), "").await.expect("let in");
        }
        drop(client);
        until("the connection gone", || server.stats().connections == 0).await;
    };
    // So that what is needed for a client is there.
    lose(0).await;
    let before = resident_bytes();
    for turn in 1..1_000 {
        lose(turn * NAMESPACES).await;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown > BYTES_MAX / 2, "they do wait: {grown}");
    assert!(grown < BYTES_MAX + BYTES_MAX / 2, "{grown} bytes where {BYTES_MAX} are the bound");
}
