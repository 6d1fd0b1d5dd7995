//! What one client may make the server hold. A program of its own with a single test, because it
//! reads the memory of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use roomful::{Hello, Refusal, Server};
use support::*;

#[tokio::test]
async fn an_event_that_waits_does_not_keep_the_body_it_came_in() {
    let io = Server::new();
    let slow = io.of("/slow");
    slow.connect(async |_: Hello| -> Result<(), Refusal> { std::future::pending().await });
    let server = start(io).await;
    let poller = server.poller().await;
    assert_eq!(poller.post("40/slow").await.text(), "ok");
    let noop = "x".repeat(999_000);
    let body = format!("42/slow,[\"x\"]\u{1e}6{noop}");
    // Once, so that what is needed for a body is there.
    assert_eq!(poller.post(&body).await.text(), "ok");
    let before = resident_bytes();
    for _ in 0..60 {
        assert_eq!(poller.post(&body).await.text(), "ok");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 20_000_000, "61 small events hold {grown} bytes");
}
