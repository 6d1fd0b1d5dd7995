//! Functions before the handlers, and events that wait for the one in front of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;

use parking_lot::Mutex;
use roomful::{Args, Bytes, EventError, EventFlow, OneEvent, Server, Socket};
use serde_json::{Value, json};
use support::*;
use tokio::sync::Notify;

/// A server that notes the order of things, and whose `gate` lets waiting functions go on.
struct Scene {
    io: Server,
    log: Arc<Mutex<Vec<String>>>,
    gate: Arc<Notify>,
}

impl Scene {
    fn new() -> Self {
        Self::of(Server::new())
    }

    fn of(io: Server) -> Self {
        io.on("echo", async |_: Socket, args: Args| args);
        Self { io, log: Arc::default(), gate: Arc::new(Notify::new()) }
    }

    /// A function before the handlers that waits at the gate with events that are called `slow`.
    fn slow_before(&self) {
        let (log, gate) = (Arc::clone(&self.log), Arc::clone(&self.gate));
        self.io.before(move |_: Socket, event: String, args: Args| {
            let (log, gate) = (Arc::clone(&log), Arc::clone(&gate));
            async move {
                log.lock().push(format!("before {event}"));
                if event == "slow" {
                    gate.notified().await;
                }
                Ok(args)
            }
        });
    }

    /// A handler that logs when it begins and ends; with `waits` it waits at the gate between.
    fn handler(&self, event: &'static str, waits: bool) {
        let (log, gate) = (Arc::clone(&self.log), Arc::clone(&self.gate));
        self.io.on(event, move |_: Socket| {
            let (log, gate) = (Arc::clone(&log), Arc::clone(&gate));
            async move {
                log.lock().push(format!("{event} begins"));
                if waits {
                    gate.notified().await;
                }
                log.lock().push(format!("{event} ends"));
            }
        });
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }

    async fn logged(&self, count: usize) -> Vec<String> {
        until("so much is logged", || self.log.lock().len() >= count).await;
        self.log()
    }
}

fn error(code: &str, message: &str) -> Value {
    json!([{"error": {"code": code, "message": message}}])
}

#[tokio::test]
async fn it_passes_changes_or_refuses() {
    let Scene { io, log, .. } = Scene::new();
    let told = Arc::clone(&log);
    io.on_error(move |_, event, error| told.lock().push(format!("{event}: {error}")));
    io.before(async |me: Socket, event: String, args: Args| match event.as_str() {
        "forbidden" => Err(EventError::new("forbidden", "not you")),
        "broken" => Err(std::io::Error::other("the database is away").into()),
        "signed" => Ok(Args::new(&(me.id().to_string(), args.get::<u8>(0)?))?),
        _ => Ok(args),
    });
    io.before(async |_: Socket, event: String, args: Args| match event.as_str() {
        "signed" => Ok(Args::new(&(args.get::<String>(0)?, args.get::<u8>(1)? + 1))?),
        _ => Ok(args),
    });
    let called = Arc::clone(&log);
    io.on_other(move |_, event, _| {
        called.lock().push(event);
        async {}
    });
    io.on("signed", async |_: Socket, who: String, n: u8| (who, n));
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("echo", "1,\"x\"").await, json!([1, "x"]));
    assert_eq!(client.ask("signed", "1").await, json!([client.id.as_str(), 2]));
    assert_eq!(client.ask("forbidden", "").await, error("forbidden", "not you"));
    assert_eq!(client.ask("broken", "").await, error("internal_error", "internal error"));
    let misfit = client.ask("signed", "\"x\"").await;
    assert_eq!(misfit[0]["error"]["code"], "invalid_arguments");
    let told = log.lock().clone();
    assert_eq!(told[0], "forbidden: forbidden: not you");
    assert_eq!(told[1], "broken: internal_error: internal error (the database is away)");
    assert_eq!(told.len(), 3, "{told:?}");
    client.emit("forbidden", "").await;
    client.ask("echo", "").await;
    assert_eq!(server.stats().events_refused, 4);
    assert_eq!(log.lock().len(), 4, "no handler was called");
}

#[tokio::test]
async fn bytes_come_through() {
    let Scene { io, .. } = Scene::new();
    io.before(async |_: Socket, _: String, args: Args| Ok(Args::new(&(args.get::<Bytes>(0)?, 1))?));
    let server = start(io).await;
    let mut client = server.client().await;
    client.ws.send_text("451-7[\"echo\",{\"_placeholder\":true,\"num\":0}]").await;
    client.ws.send_binary(b"abc").await;
    let packet = client.next().await;
    assert_eq!(packet.kind, 6);
    assert_eq!(packet.attachments, [Bytes::from_static(b"abc")]);
    assert_eq!(packet.data[1], 1);
}

#[tokio::test]
async fn what_sees_all_events_sees_them_as_they_were_sent_and_when_it_is_their_turn() {
    let scene = Scene::new();
    let log = Arc::clone(&scene.log);
    scene.io.on_any(move |_, event, args| {
        log.lock().push(format!("any {event} {}", String::from_utf8_lossy(args.as_json())));
    });
    scene.slow_before();
    scene.io.before(async |_: Socket, event: String, args: Args| match event.as_str() {
        "forbidden" => Err(EventError::new("forbidden", "not you")),
        "changed" => Ok(Args::new("other")?),
        _ => Ok(args),
    });
    scene.handler("slow", false);
    scene.io.on("changed", async |_: Socket, text: String| text);
    scene.io.of("/other").on("echo", async |_: Socket, args: Args| args);
    let server = start(scene.io.clone()).await;
    let mut client = server.client().await;
    client.join("/other", "").await.unwrap();
    assert_eq!(client.ask("forbidden", "1").await, error("forbidden", "not you"));
    assert_eq!(scene.log(), ["any forbidden 1", "before forbidden"]);
    assert_eq!(client.ask("changed", "\"x\"").await, json!(["other"]));
    assert_eq!(scene.log(), ["any changed \"x\"", "before changed"]);
    client.emit("slow", "2").await;
    client.emit("forbidden", "3").await;
    // What is answered came behind both.
    client.send("2/other,7[\"echo\"]").await;
    assert_eq!(client.next().await.namespace, "/other");
    assert_eq!(scene.log(), ["any slow 2", "before slow"]);
    scene.gate.notify_one();
    let went = ["slow begins", "slow ends", "any forbidden 3", "before forbidden"];
    assert_eq!(scene.logged(went.len()).await, went);
}

#[tokio::test]
async fn later_events_of_the_same_socket_wait_behind_one_that_waits_and_others_do_not() {
    let scene = Scene::new();
    scene.slow_before();
    scene.handler("slow", false);
    scene.handler("fast", false);
    let server = start(scene.io.clone()).await;
    let mut one = server.client().await;
    let mut other = server.client().await;
    one.emit("slow", "").await;
    one.emit("fast", "").await;
    one.emit("slow", "").await;
    one.emit("fast", "").await;
    assert_eq!(scene.logged(1).await, ["before slow"]);
    other.emit("fast", "").await;
    other.ask("echo", "").await;
    assert_eq!(scene.log(), ["before fast", "fast begins", "fast ends", "before echo"]);
    scene.gate.notify_one();
    let log = scene.logged(6).await;
    let first = ["slow begins", "slow ends", "before fast", "fast begins", "fast ends"];
    assert_eq!(log[..5], first);
    assert_eq!(log[5..], ["before slow"]);
    scene.gate.notify_one();
    let rest = ["slow begins", "slow ends", "before fast", "fast begins", "fast ends"];
    assert_eq!(scene.logged(5).await, rest);
    assert_eq!(one.ask("echo", "1").await, json!([1]));
}

#[tokio::test]
async fn one_that_waits_may_ask_its_client() {
    let Scene { io, .. } = Scene::new();
    io.before(async |me: Socket, event: String, args: Args| {
        if event == "delete" && !me.call::<_, _, bool>("sure", ()).await? {
            return Err(EventError::new("cancelled", "then not"));
        }
        Ok(args)
    });
    io.on("delete", async |_: Socket| "deleted");
    let server = start(io).await;
    let mut client = server.client().await;
    for (sure, outcome) in [("true", json!(["deleted"])), ("false", error("cancelled", "then not"))]
    {
        client.send("27[\"delete\"]").await;
        client.send("28[\"echo\"]").await;
        let question = client.next().await;
        assert_eq!(question.data, json!(["sure"]));
        client.send(&format!("3{}[{sure}]", question.ack.unwrap())).await;
        let answers = [client.next().await, client.next().await];
        assert_eq!((answers[0].ack, &answers[0].data), (Some(7), &outcome));
        assert_eq!(answers[1].ack, Some(8));
    }
}

#[tokio::test]
async fn what_waits_is_forgotten_with_its_socket() {
    let scene = Scene::new();
    scene.slow_before();
    scene.handler("slow", false);
    let server = start(scene.io.clone()).await;
    let mut client = server.client().await;
    client.emit("slow", "").await;
    client.emit("fast", "").await;
    assert_eq!(scene.logged(1).await, ["before slow"]);
    client.send("1").await;
    until("it has left", || server.is_empty()).await;
    scene.gate.notify_one();
    client.join("/", "").await.unwrap();
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    assert_eq!(scene.log(), ["before echo"], "no event of a socket that has left");
    client.ws.close().await;
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_panic_costs_the_socket() {
    let Scene { io, .. } = Scene::new();
    io.before(async |_: Socket, event: String, args: Args| {
        tokio::task::yield_now().await;
        assert_ne!(event, "bad");
        Ok(args)
    });
    let server = start(io).await;
    let mut client = server.client().await;
    client.send("27[\"bad\"]").await;
    client.emit("echo", "").await;
    assert_eq!(client.next().await.data, error("internal_error", "internal error"));
    assert_eq!(client.next().await.kind, 1);
    client.ws.close().await;
    server.is_unharmed().await;
    assert_eq!(server.stats().panics, 1);
}

#[tokio::test]
async fn many_events_that_wait_are_all_handled_in_order() {
    let scene = Scene::new();
    scene.slow_before();
    scene.io.on("slow", async |_: Socket| {});
    let server = start(scene.io.clone()).await;
    let mut client = server.client().await;
    client.emit("slow", "").await;
    for n in 0..5_000 {
        client.send(&format!("2{n}[\"echo\",{n}]")).await;
    }
    assert_eq!(scene.logged(1).await, ["before slow"]);
    scene.gate.notify_one();
    for n in 0..5_000 {
        assert_eq!(client.next().await.ack, Some(n));
    }
}

// Handlers that are to end first.

#[tokio::test]
async fn without_order_handlers_overlap_while_they_wait() {
    let scene = Scene::new();
    scene.handler("slow", true);
    scene.handler("fast", false);
    let server = start(scene.io.clone()).await;
    let mut client = server.client().await;
    client.emit("slow", "").await;
    client.emit("fast", "").await;
    client.ask("echo", "").await;
    assert_eq!(scene.log(), ["slow begins", "fast begins", "fast ends"]);
    scene.gate.notify_one();
    assert_eq!(scene.logged(1).await, ["slow ends"]);
}

#[tokio::test]
async fn in_order_the_next_event_starts_when_the_one_before_has_ended() {
    let scene = Scene::new();
    scene.handler("slow", true);
    scene.handler("fast", false);
    scene.io.event_flow(EventFlow::new().ordered(true));
    let server = start(scene.io.clone()).await;
    let mut client = server.client().await;
    let mut other = server.client().await;
    client.emit("slow", "").await;
    client.emit("fast", "").await;
    client.emit("slow", "").await;
    client.emit("fast", "").await;
    assert_eq!(scene.logged(1).await, ["slow begins"]);
    other.emit("fast", "").await;
    other.ask("echo", "").await;
    assert_eq!(scene.log(), ["fast begins", "fast ends"], "other sockets do not wait");
    scene.gate.notify_one();
    let log = scene.logged(4).await;
    assert_eq!(log, ["slow ends", "fast begins", "fast ends", "slow begins"]);
    scene.gate.notify_one();
    assert_eq!(scene.logged(3).await, ["slow ends", "fast begins", "fast ends"]);
    assert_eq!(client.ask("echo", "1").await, json!([1]));
}

#[tokio::test]
async fn single_events_can_be_in_order_or_not() {
    let scene = Scene::new();
    scene.handler("strict", true);
    scene.handler("loose", true);
    scene.handler("fast", false);
    let strict = OneEvent::new().ordered(true);
    scene.io.event_flow(EventFlow::new().event("strict", strict));
    let server = start(scene.io.clone()).await;
    let mut client = server.client().await;
    for event in ["loose", "strict", "fast"] {
        client.emit(event, "").await;
    }
    assert_eq!(scene.logged(2).await, ["loose begins", "strict begins"]);
    scene.gate.notify_one();
    scene.gate.notify_one();
    let log = scene.logged(4).await;
    assert!(log.contains(&"loose ends".to_owned()), "{log:?}");
    let strict = log.iter().position(|line| line == "strict ends");
    assert!(strict < log.iter().position(|line| line == "fast begins"), "{log:?}");
}

#[tokio::test]
async fn all_events_of_a_server_can_be_in_order_but_those_of_one_name() {
    let flow = EventFlow::new().ordered(true);
    let scene = Scene::of(Server::builder().event_flow(flow).build());
    scene.handler("loose", true);
    scene.handler("slow", true);
    scene.handler("fast", false);
    scene.io.event_flow(EventFlow::new().event("loose", OneEvent::new().ordered(false)));
    let server = start(scene.io.clone()).await;
    let mut client = server.client().await;
    for event in ["loose", "fast", "slow", "fast"] {
        client.emit(event, "").await;
    }
    let log = scene.logged(4).await;
    assert_eq!(log, ["loose begins", "fast begins", "fast ends", "slow begins"]);
    server.client().await.ask("echo", "").await;
    assert_eq!(scene.log(), Vec::<String>::new(), "the second waits for the slow one");
    scene.gate.notify_waiters();
    let log = scene.logged(4).await;
    let at = |line: &str| log.iter().position(|l| l == line);
    assert!(at("slow ends") < at("fast begins") && at("loose ends").is_some(), "{log:?}");
}

#[tokio::test]
async fn a_handler_in_order_may_ask_its_client() {
    let Scene { io, .. } = Scene::new();
    io.event_flow(EventFlow::new().ordered(true));
    io.on("ask", async |me: Socket| me.call::<_, _, u8>("question", ()).await.unwrap());
    let server = start(io).await;
    let mut client = server.client().await;
    client.send("21[\"ask\"]").await;
    client.send("22[\"ask\"]").await;
    client.send("23[\"echo\"]").await;
    for n in [1, 2] {
        let question = client.next().await;
        assert_eq!(question.data, json!(["question"]));
        client.send(&format!("3{}[{n}]", question.ack.unwrap())).await;
        let answer = client.next().await;
        assert_eq!((answer.ack, answer.data), (Some(n), json!([n])));
    }
    assert_eq!(client.next().await.ack, Some(3));
}

#[tokio::test]
async fn one_that_ends_badly_makes_way_too() {
    let Scene { io, .. } = Scene::new();
    io.event_flow(EventFlow::new().ordered(true));
    io.on("bad", async |_: Socket| -> Result<(), EventError> {
        tokio::task::yield_now().await;
        Err(EventError::new("bad", "bad"))
    });
    let server = start(io).await;
    let mut client = server.client().await;
    client.emit("bad", "").await;
    client.emit("bad", "").await;
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    assert_eq!(server.stats().events_failed, 2);
}
