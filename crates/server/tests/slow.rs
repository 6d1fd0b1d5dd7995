//! Clients that read slowly: who learns it, and what can be done about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use roomful::{EmitError, Server, Socket, SocketId};
use serde_json::json;
use support::{Client, start, until, within};

const OUTBOX_BYTES_MAX: usize = 1_000_000;
const LARGE: usize = 64 * 1024;

/// A server with one client that does not read, for whom so much waits that it is slow.
async fn slow(io: Server) -> (support::Running, Client, Socket, usize) {
    let server = start(io).await;
    let client = server.client().await;
    let me: Socket = server.io.socket(SocketId::parse(&client.id).unwrap()).unwrap();
    let mut sent = 0;
    while me.waiting_bytes() <= OUTBOX_BYTES_MAX / 4 {
        me.emit("large", (sent, "x".repeat(LARGE)));
        sent += 1;
        tokio::task::yield_now().await;
    }
    (server, client, me, sent)
}

fn server() -> Server {
    Server::builder().outbox_bytes_max(OUTBOX_BYTES_MAX).build()
}

#[tokio::test]
async fn who_wants_to_know_is_told_once_that_a_client_is_slow() {
    let io = server();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    io.on_slow(move |_: Socket, bytes| {
        assert!(bytes > OUTBOX_BYTES_MAX / 4);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let (server, mut client, me, sent) = slow(io).await;
    assert_eq!(told.load(Ordering::SeqCst), 1);
    me.emit("large", (sent, "x".repeat(LARGE)));
    assert_eq!(told.load(Ordering::SeqCst), 1, "it was slow already");
    let drained = tokio::spawn({
        let me = me.clone();
        async move { me.drained().await }
    });
    for n in 0..=sent {
        assert_eq!(client.event().await[1], n);
    }
    assert!(within(drained).await.unwrap());
    assert_eq!((me.waiting_bytes(), server.io.stats().slow_warnings), (0, 1));
    assert!(me.drained().await, "nothing waits");
}

#[tokio::test]
async fn a_function_about_slow_clients_that_panics_is_counted() {
    let io = server();
    io.on_slow(|_: Socket, _| panic!("of the user's"));
    let (server, ..) = slow(io).await;
    assert_eq!((server.io.stats().panics, server.io.len()), (1, 1));
}

#[tokio::test]
async fn of_what_is_latest_a_slow_client_skips_some_and_ends_with_the_last() {
    let (server, mut client, me, sent) = slow(server()).await;
    let many = 1_000;
    for n in 0..many {
        server.io.everyone().latest("state").emit("state", (n, "y".repeat(LARGE)));
        server.io.everyone().latest(("other", n % 2)).emit("other", n);
    }
    assert!(me.is_connected(), "{} bytes wait", me.waiting_bytes());
    for n in 0..sent {
        assert_eq!(client.event().await[1], n);
    }
    let mut states = Vec::new();
    let mut others = Vec::new();
    while others.last() != Some(&json!(many - 1)) {
        let event = client.event().await;
        let to = if event[0] == "state" { &mut states } else { &mut others };
        to.push(event[1].clone());
    }
    assert_eq!(states.last(), Some(&json!(many - 1)));
    assert!(states.len() < 100, "{} states were sent", states.len());
    assert!(others.contains(&json!(many - 2)), "another key is another state");
    assert!(states.is_sorted_by_key(|n| n.as_u64()), "out of order");
    assert_eq!(server.io.stats().slow_peers, 0);
}

#[tokio::test]
async fn whoever_waits_for_a_client_that_goes_learns_it() {
    let (server, client, me, _) = slow(server()).await;
    let waiting = async {
        tokio::join!(me.drained(), async {
            drop(client);
            until("the client gone", || server.io.is_empty()).await;
        })
    };
    assert!(!within(waiting).await.0);
}

#[tokio::test]
async fn of_volatile_events_that_are_sent_at_once_the_first_leave_and_no_connection_ends() {
    const MANY: u64 = 100_000;
    let io = server();
    io.on("go", async |me: Socket| {
        (0..MANY).for_each(|n| me.emit_volatile("v", n));
        me.everyone().volatile().emit("v", MANY);
        me.emit("kept", ());
    });
    let server = start(io).await;
    let mut client = server.client().await;
    for round in 1..=2 {
        client.emit("go", "").await;
        let mut count = 0;
        loop {
            let event = client.event().await;
            if event[0] == "kept" {
                break;
            }
            assert_eq!(event, json!(["v", count]), "none but the last are missing");
            count += 1;
        }
        assert!((1_000..MANY / 10).contains(&count), "{count} were sent");
        assert!(server.stats().volatile_dropped >= round * (MANY + 1 - MANY / 10));
    }
    let stats = server.stats();
    assert_eq!((stats.slow_peers, stats.slow_warnings), (0, 0), "{stats:?}");
}

#[tokio::test]
async fn a_volatile_event_that_is_larger_than_the_outbox_leaves_if_nothing_waits_and_ends_nobody() {
    let server = start(server()).await;
    let mut client = server.client().await;
    let me = server.io.socket(SocketId::parse(&client.id).unwrap()).unwrap();
    let huge = "x".repeat(OUTBOX_BYTES_MAX);
    me.compress(true).volatile().try_emit("v", (1, &huge)).unwrap();
    let dropped = me.compress(true).volatile().try_emit("v", (2, &huge));
    assert!(matches!(dropped, Err(EmitError::Dropped)), "{dropped:?}");
    assert_eq!(server.everyone().volatile().try_emit("v", (3, &huge)).unwrap().local, 0);
    assert_eq!(client.event().await[1], 1);
    until("all taken", || me.waiting_bytes() == 0).await;
    me.emit_volatile("v", 4);
    assert_eq!(client.event().await, json!(["v", 4]));
    assert_eq!((server.stats().volatile_dropped, server.stats().slow_peers), (2, 0));
}

// One message always fits.

const HUGE: usize = 10_000_000;

/// With the default bound of 8 MiB.
async fn large_server() -> support::Running {
    let io = Server::builder().payload_bytes_max(20_000_000).build();
    io.on("large", async |_: Socket| "x".repeat(HUGE));
    io.on("large_with_others", async |me: Socket| {
        me.emit("before", "b".repeat(1_000));
        "x".repeat(HUGE)
    });
    start(io).await
}

#[tokio::test]
async fn an_answer_larger_than_the_outbox_arrives() {
    let server = large_server().await;
    let mut client = server.client().await;
    assert_eq!(client.ask("large", "").await[0].as_str().unwrap().len(), HUGE);
    assert_eq!(client.ask("large", "").await[0].as_str().unwrap().len(), HUGE);
    client.send("20[\"large_with_others\"]").await;
    assert_eq!(client.event().await[0], "before");
    let answer = client.next().await;
    assert_eq!((answer.kind, answer.data[0].as_str().unwrap().len()), (3, HUGE));
    assert_eq!(server.stats().slow_peers, 0);
}

#[tokio::test]
async fn an_answer_larger_than_the_outbox_arrives_by_polling() {
    let server = large_server().await;
    let poller = server.poller().await;
    poller.join().await;
    assert_eq!(poller.post("420[\"large\"]").await.text(), "ok");
    let answer = poller.get().await;
    assert_eq!(answer.body.len(), HUGE + "430[\"\"]".len());
    assert_eq!(server.stats().slow_peers, 0);
}

#[tokio::test]
async fn an_event_larger_than_the_outbox_reaches_all_of_a_room() {
    let server = large_server().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.client().await);
    }
    server.emit("large", "x".repeat(HUGE));
    for client in &mut clients {
        assert_eq!(client.event().await[1].as_str().unwrap().len(), HUGE);
    }
    assert_eq!(server.stats().slow_peers, 0);
}

/// More than that is too much, and whoever sends it hears it.
#[tokio::test]
async fn who_sends_what_does_not_fit_hears_it() {
    let server = large_server().await;
    let client = server.client().await;
    let me = server.io.socket(SocketId::parse(&client.id).unwrap()).unwrap();
    let huge = "x".repeat(HUGE);
    me.try_emit("large", &huge).unwrap();
    assert!(matches!(me.try_emit("large", &huge), Err(EmitError::Overflow)));
    assert!(matches!(me.try_emit("large", 1), Err(EmitError::Gone)));
    assert_eq!(server.stats().slow_peers, 1);
}
