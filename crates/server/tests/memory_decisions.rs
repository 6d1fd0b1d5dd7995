//! What decisions about clients make the server hold. A program of its own with a single test, because it
//! reads the memory of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use roomful::{Hello, Refusal, Server};
use support::*;

const DECISIONS: usize = 10_000;
/// Of each, with the child that it is about.
const BYTES_MAX: usize = 3_072;

/// A decision that had its future in several places took 5 KiB.
#[tokio::test]
async fn a_decision_that_waits_is_small() {
    let io = Server::builder()
        .namespaces_max(2 * DECISIONS)
        .decisions_max(2 * DECISIONS)
        .deciding_bytes_max(16 * DECISIONS * 1_024)
        .build();
    let slow = io.of_pattern("/slow-{n}");
    slow.connect(async |_: Hello| -> Result<(), Refusal> { std::future::pending().await });
    let server = start(io).await;
    let mut ws = server.opened().await;
    let mut ask = async |numbers: std::ops::Range<usize>| {
        let deciding = numbers.end as u64;
        for n in numbers {
            ws.send_text(&format!("40/slow-{n},")).await;
        }
        until("all are decided about", || server.stats().deciding == deciding).await;
    };
    // So that what is needed for a client is there.
    ask(0..100).await;
    let before = resident_bytes();
    ask(100..100 + DECISIONS).await;
    let each = resident_bytes().saturating_sub(before) / DECISIONS;
    assert!(each < BYTES_MAX, "{each} bytes for each");
}
