//! Events that come to nothing: what the client is told, and what only the server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;

use parking_lot::Mutex;
use roomful::{Ack, Args, Event, EventError, Reason, Server, Socket};
use serde_json::{Value, json};
use support::*;

/// What the function of `on_error` was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn listen(io: &Server) -> Self {
        let told = Self::default();
        let list = Arc::clone(&told.0);
        io.on_error(move |_, event, error| list.lock().push(format!("{event}: {error}")));
        told
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }

    async fn next(&self) -> Vec<String> {
        until("an error is told", || !self.0.lock().is_empty()).await;
        self.take()
    }
}

fn internal() -> Value {
    json!([{"error": {"code": "internal_error", "message": "internal error"}}])
}

async fn buy(_: Socket, count: i64) -> Result<i64, EventError> {
    if count > 10 {
        return Err(EventError::new("too_many", "at most ten").caused_by("ten is what we have"));
    }
    let text = if count < 0 { "x" } else { "10" };
    Ok(text.parse::<i64>()? - count)
}

#[tokio::test]
async fn an_error_is_answered_and_told() {
    let io = Server::new();
    let told = Told::listen(&io);
    io.on("buy", buy);
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("buy", "3").await, json!([{"ok": 7}]));
    let refused = json!([{"error": {"code": "too_many", "message": "at most ten"}}]);
    assert_eq!(client.ask("buy", "11").await, refused);
    assert_eq!(told.take(), ["buy: too_many: at most ten (ten is what we have)"]);
    assert_eq!(client.ask("buy", "-1").await, internal());
    let [told_one] = &told.take()[..] else { panic!("one error") };
    assert!(
        told_one.starts_with("buy: internal_error: internal error (invalid digit"),
        "{told_one}"
    );
    client.emit("buy", "12").await;
    assert_eq!(client.ask("buy", "0").await, json!([{"ok": 10}]));
    assert_eq!(told.take().len(), 1, "told though nobody asked");
    assert_eq!(server.stats().events_failed, 3);
}

#[tokio::test]
async fn an_event_as_a_value_names_its_errors() {
    const BUY: Event<i64, Result<i64, EventError>> = Event::new("buy");
    const PING: Event<(), Result<(), EventError>> = Event::new("ping");
    let io = Server::new();
    io.on(BUY, buy);
    io.on(PING, async |_: Socket| -> Result<(), EventError> { Ok(()) });
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("buy", "3").await, json!([{"ok": 7}]));
    assert_eq!(client.ask("ping", "").await, json!([{"ok": null}]));
}

#[tokio::test]
async fn any_other_result_is_an_answer_like_all_else() {
    let io = Server::new();
    let told = Told::listen(&io);
    io.on("x", async |_: Socket, good: bool| if good { Ok(1) } else { Err("why".to_owned()) });
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("x", "true").await, json!([{"ok": 1}]));
    assert_eq!(client.ask("x", "false").await, json!([{"error": "why"}]));
    assert_eq!(told.take(), [""; 0]);
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_told() {
    let io = Server::new();
    let told = Told::listen(&io);
    io.on("buy", buy);
    io.on("all", async |_: Socket, args: Args| -> Result<u8, EventError> { Ok(args.get(0)?) });
    let server = start(io).await;
    let mut client = server.client().await;
    let answer = client.ask("buy", "\"x\"").await;
    assert_eq!(answer[0]["error"]["code"], "invalid_arguments");
    let message = answer[0]["error"]["message"].as_str().unwrap();
    assert_eq!(told.take(), [format!("buy: invalid_arguments: {message}")]);
    assert_eq!(server.stats().events_misfit, 1);
    let answer = client.ask("all", "\"x\"").await;
    assert_eq!(answer[0]["error"]["code"], "invalid_arguments");
    assert_eq!(told.take().len(), 1);
}

#[tokio::test]
async fn a_panic_is_answered_and_told_and_its_text_stays_here() {
    let io = Server::new();
    let told = Told::listen(&io);
    io.on("now", async |_: Socket, secret: String| assert_eq!(secret, "", "at once"));
    io.on("later", async |_: Socket, secret: String| {
        tokio::task::yield_now().await;
        assert_eq!(secret, "", "after a wait");
    });
    let server = start(io).await;
    for (event, text) in [("now", "at once"), ("later", "after a wait")] {
        let mut client = server.client().await;
        assert_eq!(client.ask(event, "\"s3cret\"").await, internal());
        assert_eq!(client.next().await.kind, 1, "a panic costs the socket");
        let [told] = &told.next().await[..] else { panic!("one error") };
        assert!(told.starts_with(&format!("{event}: internal_error")), "{told}");
        assert!(told.contains(text) && told.contains("s3cret"), "{told}");
    }
    assert_eq!(server.stats().panics, 2);
}

#[tokio::test]
async fn who_has_taken_the_answer_over_and_panics_has_answered() {
    let io = Server::new();
    io.on("at once", async |_: Socket, _ack: Ack| assert_eq!(1, 2));
    io.on("elsewhere", async |_: Socket, ack: Ack| {
        drop(tokio::spawn(async move {
            let _ack = ack;
            assert_eq!(1, 2);
        }));
    });
    io.on("answered", async |_: Socket, ack: Ack| {
        ack.send("first");
        assert_eq!(1, 2);
    });
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("elsewhere", "").await, internal());
    assert_eq!(client.ask("at once", "").await, internal());
    assert_eq!(client.next().await.kind, 1);
    let mut client = server.client().await;
    assert_eq!(client.ask("answered", "").await, json!(["first"]));
    assert_eq!(client.next().await.kind, 1, "nothing was answered twice");
}

#[tokio::test]
async fn functions_that_come_and_go_with_a_socket_are_told_of_too() {
    let io = Server::new();
    let told = Told::listen(&io);
    let bad = io.of("/bad");
    let list = told.clone();
    bad.on_error(move |me, event, _| list.0.lock().push(format!("{} {event}", me.namespace())));
    bad.on_connect(async |_: Socket| assert_eq!(1, 2));
    bad.on_disconnect(async |_: Socket, _: Reason| assert_eq!(1, 2));
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/bad", "").await.unwrap();
    assert_eq!(client.next().await.kind, 1);
    until("both are told", || told.0.lock().len() == 2).await;
    assert_eq!(told.take(), ["/bad connect", "/bad disconnect"]);
}

#[tokio::test]
async fn a_function_that_is_told_and_panics_changes_nothing() {
    let io = Server::new();
    io.on_error(|_, _, _| panic!("no"));
    io.on("buy", buy);
    let server = start(io).await;
    let mut client = server.client().await;
    client.ask("buy", "11").await;
    assert_eq!(client.ask("buy", "3").await, json!([{"ok": 7}]));
    assert_eq!(server.stats().panics, 1);
}
