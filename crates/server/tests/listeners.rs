//! Listeners beside the handlers: those that see everything, those of one socket, those of one event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use roomful::{Args, Recipients, Server, Socket};
use serde_json::json;
use support::*;

/// What was seen, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

fn json_of(args: &Args) -> String {
    String::from_utf8(args.as_json().to_vec()).unwrap()
}

// All events.

#[tokio::test]
async fn every_event_is_seen_before_its_handler() {
    let io = Server::new();
    let seen = Seen::default();
    let (first, second, zeroth, handler) = (seen.clone(), seen.clone(), seen.clone(), seen.clone());
    io.on_any(move |_, event, args| first.add(format!("first {event} {}", json_of(args))));
    io.on_any(move |me, event, _| second.add(format!("second {event} {}", me.is_connected())));
    io.prepend_any(move |_, event, _| zeroth.add(format!("zeroth {event}")));
    io.on("known", move |_: Socket, a: u8| {
        let handler = handler.clone();
        async move {
            handler.add("handler");
            a + 1
        }
    });
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("known", "1").await, json!([2]));
    assert_eq!(seen.take(), ["zeroth known", "first known 1", "second known true", "handler"]);
    client.emit("unknown", "[1],\"x\"").await;
    assert_eq!(client.ask("echo", "").await, json!([]));
    assert_eq!(
        seen.take()[..3],
        ["zeroth unknown", "first unknown [1],\"x\"", "second unknown true"]
    );
    assert_eq!(server.stats().events_unhandled, 1);
}

#[tokio::test]
async fn what_sees_every_event_can_be_removed_and_can_be_for_one_only() {
    let io = Server::new();
    let seen = Seen::default();
    let (all, one) = (seen.clone(), seen.clone());
    let all = io.on_any(move |_, event, _| all.add(format!("all {event}")));
    io.once_any(move |_, event, _| one.add(format!("one {event}")));
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut early = server.client().await;
    early.ask("echo", "1").await;
    early.ask("echo", "2").await;
    assert_eq!(seen.take(), ["all echo", "one echo", "all echo"]);
    all.off();
    early.ask("echo", "3").await;
    let mut late = server.client().await;
    late.ask("echo", "4").await;
    assert_eq!(seen.take(), [""; 0]);
}

#[tokio::test]
async fn listeners_for_one_event_are_forgotten_when_others_come() {
    let io = Server::new();
    let held = Arc::new(());
    let once = || {
        let held = Arc::clone(&held);
        move || drop(Arc::clone(&held))
    };
    let (event, sent) = (once(), once());
    io.once_any(move |_, _, _| event());
    io.once_any_outgoing(move |_, _, _| sent());
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = server.client().await;
    client.ask("echo", "1").await;
    server.emit("news", ());
    drop(client);
    server.is_empty_again().await;
    server.once_any(|_, _, _| {});
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn a_listener_that_panics_costs_its_socket_and_no_other() {
    let io = Server::new();
    io.on_any(|_, event, _| assert_ne!(event, "bad", "a bad event"));
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut good = server.client().await;
    let mut bad = server.client().await;
    bad.emit("bad", "").await;
    assert_eq!(bad.next().await.kind, 1);
    assert_eq!(good.ask("echo", "1").await, json!([1]));
    assert_eq!(server.stats().panics, 1);
}

// What is sent.

#[tokio::test]
async fn what_is_sent_is_seen_once_and_answers_are_not() {
    let io = Server::new();
    let seen = Seen::default();
    let watch = seen.clone();
    let watch = io.on_any_outgoing(move |to, event, args| {
        let to = match to {
            Recipients::One(_) => "one",
            _ => "many",
        };
        watch.add(format!("{to} {event} {}", json_of(args)));
    });
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut first = server.client().await;
    let mut second = server.client().await;
    server.emit("all", (1, "x"));
    socket_of(&server, &first).emit("you", ());
    let asked = socket_of(&server, &second).call::<_, _, u8>("sure", 5);
    drop(asked);
    drop(server.everyone().call::<_, _, u8>("vote", 6));
    assert_eq!(seen.take(), ["many all 1,\"x\"", "one you ", "one sure 5", "many vote 6"]);
    assert_eq!(first.event().await, json!(["all", 1, "x"]));
    assert_eq!(first.event().await, json!(["you"]));
    assert_eq!(first.event().await, json!(["vote", 6]));
    assert_eq!(first.ask("echo", "7").await, json!([7]));
    assert_eq!(second.event().await, json!(["all", 1, "x"]));
    assert_eq!(seen.take(), [""; 0], "an answer is no event");
    watch.off();
    server.emit("all", 2);
    assert_eq!(first.event().await, json!(["all", 2]));
    assert_eq!(seen.take(), [""; 0]);
}

#[tokio::test]
async fn what_sees_all_that_is_sent_can_come_first_and_can_be_for_one_only() {
    let io = Server::new();
    let seen = Seen::default();
    let watcher = |name: &'static str| {
        let seen = seen.clone();
        move |_: Recipients<'_>, event: &str, _: &Args| seen.add(format!("{name} {event}"))
    };
    io.on_any_outgoing(watcher("second"));
    let first = io.prepend_any_outgoing(watcher("first"));
    io.once_any_outgoing(watcher("once"));
    let never = io.once_any_outgoing(watcher("never"));
    never.off();
    io.emit("a", ());
    io.emit("b", ());
    first.off();
    io.emit("c", ());
    assert_eq!(seen.take(), ["first a", "second a", "once a", "first b", "second b", "second c"]);
}

#[tokio::test]
async fn a_watcher_may_send_elsewhere_and_its_panic_changes_nothing() {
    let io = Server::new();
    let log = io.of("/log");
    io.on_any_outgoing(move |_, event, _| {
        log.emit("sent", event);
        panic!("afterwards");
    });
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/log", "").await.unwrap();
    server.emit("news", 1);
    assert_eq!(client.event().await, json!(["sent", "news"]));
    assert_eq!(client.event().await, json!(["news", 1]));
    assert_eq!(server.stats().panics, 1);
}

// One socket, one event.

#[tokio::test]
async fn a_socket_can_have_handlers_of_its_own() {
    let io = Server::new();
    io.on("who", async |_: Socket| "anybody");
    io.on("echo", async |_: Socket, args: Args| args);
    io.on("special", async |me: Socket| {
        me.on("who", async |_: Socket| "me");
        me.on("more", async |_: Socket| "more");
    });
    io.on("plain", async |me: Socket| (me.off("who"), me.off("who")));
    let server = start(io).await;
    let mut special = server.client().await;
    let mut other = server.client().await;
    assert_eq!(special.ask("who", "").await, json!(["anybody"]));
    special.ask("special", "").await;
    assert_eq!(special.ask("who", "").await, json!(["me"]));
    assert_eq!(special.ask("more", "").await, json!(["more"]));
    assert_eq!(special.ask("echo", "1").await, json!([1]), "the namespace's still count");
    assert_eq!(other.ask("who", "").await, json!(["anybody"]));
    other.emit("more", "").await;
    special.ask("plain", "").await;
    special.emit("who", "").await;
    assert_eq!(special.ask("echo", "1").await, json!([1]));
    assert_eq!(other.ask("who", "").await, json!(["anybody"]));
    assert_eq!(server.stats().events_unhandled, 2);
}

#[tokio::test]
async fn a_handler_of_one_socket_that_holds_it_is_let_go_with_it() {
    let held = Arc::new(());
    let io = Server::new();
    let witness = Arc::clone(&held);
    io.on_connect(move |me| {
        let (witness, holds) = (Arc::clone(&witness), me.clone());
        me.on("x", move |_: Socket| {
            let _held = (&witness, &holds);
            async {}
        });
        async {}
    });
    let server = start(io).await;
    let mut client = server.client().await;
    client.ask("x", "").await;
    assert_eq!(Arc::strong_count(&held), 3);
    client.ws.close().await;
    until("the handler is gone", || Arc::strong_count(&held) == 2).await;
}

#[tokio::test]
async fn once_is_once() {
    let io = Server::new();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    io.once("first", move |_: Socket, _: u8| {
        let counted = Arc::clone(&counted);
        async move { counted.fetch_add(1, Ordering::Relaxed) }
    });
    io.on("first", async |_: Socket, _: u8| "late");
    io.on_connect(async |me: Socket| {
        me.once("mine", async |_: Socket| "mine");
    });
    let server = start(io).await;
    let mut a = server.client().await;
    let mut b = server.client().await;
    let misfit = a.ask("first", "\"x\"").await;
    assert_eq!(misfit[0]["error"]["code"], "invalid_arguments");
    assert_eq!(a.ask("first", "1").await, json!([0]));
    assert_eq!(a.ask("first", "1").await, json!(["late"]));
    assert_eq!(b.ask("first", "1").await, json!(["late"]));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!(a.ask("mine", "").await, json!(["mine"]));
    assert_eq!(b.ask("mine", "").await, json!(["mine"]), "once for each socket");
    b.emit("mine", "").await;
    assert_eq!(b.ask("first", "1").await, json!(["late"]));
    assert_eq!(server.stats().events_unhandled, 1);
}

#[tokio::test]
async fn a_handler_that_is_removed_is_not_there_for_those_who_come_later() {
    let io = Server::new();
    io.on("x", async |_: Socket| "x");
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut early = server.client().await;
    assert!(server.off("x"));
    assert!(!server.off("x"));
    let mut late = server.client().await;
    late.emit("x", "").await;
    assert_eq!(late.ask("echo", "1").await, json!([1]));
    assert_eq!(server.stats().events_unhandled, 1);
    assert_eq!(early.ask("x", "").await, json!(["x"]));
}

/// Calls a function when it is dropped, as part of a handler may.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs what would wait for ever if a function of the user's were dropped under a lock that it takes
/// itself.
fn does_not_hang(what: &str, act: impl FnOnce() + Send + 'static) {
    let (done, ended) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        act();
        let _ = done.send(());
    });
    assert!(ended.recv_timeout(PATIENCE).is_ok(), "{what}");
    thread.join().unwrap();
}

#[tokio::test]
async fn what_falls_out_of_a_table_is_dropped_without_its_lock() {
    let io = Server::new();
    let dropped = Arc::new(AtomicUsize::new(0));
    let part = {
        let (io, dropped) = (io.clone(), Arc::clone(&dropped));
        move || {
            let (io, dropped) = (io.clone(), Arc::clone(&dropped));
            OnDrop(move || {
                io.on("from a drop", async |_: Socket| ());
                io.on_any_outgoing(|_, _, _| ()).off();
                dropped.fetch_add(1, Ordering::Relaxed);
            })
        }
    };
    let handler = move || {
        let part = part();
        move |_: Socket| {
            let _part = &part;
            async {}
        }
    };

    let (server, make) = (io.clone(), handler.clone());
    does_not_hang("a handler that is removed", move || {
        server.on("x", make()).once("x", make());
        assert!(server.off("x"));
    });
    let (server, make) = (io.clone(), handler.clone());
    does_not_hang("a handler that another takes the place of", move || {
        server.on("x", make()).on("x", async |_: Socket| ());
        server.once("x", make()).once("x", async |_: Socket| ());
        server.on_connect(make()).on_connect(async |_: Socket| ());
    });
    let (server, make) = (io.clone(), handler.clone());
    does_not_hang("listeners that are removed", move || {
        let (seen, sent) = (make(), make());
        server.on_any(move |me, _, _| drop(seen(me.clone()))).off();
        server.on_any_outgoing(move |_, _, _| assert!(size_of_val(&sent) > 0)).off();
    });
    assert_eq!(dropped.load(Ordering::Relaxed), 7);

    let server = start(io).await;
    let client = server.client().await;
    let me = socket_of(&server, &client);
    does_not_hang("a handler of one socket", move || {
        let inner = me.clone();
        let part = OnDrop(move || assert!(!inner.off("other")));
        me.on("x", move |_: Socket| {
            let _part = &part;
            async {}
        });
        assert!(me.off("x"));
    });
}
