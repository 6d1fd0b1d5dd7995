//! What the documentation promises, seen from a client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/logs.rs"]
mod logs;
mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logs::Logs;
use parking_lot::Mutex;
use roomful::{
    Ack, Answers, Args, Bytes, CallError, EmitError, Event, Hello, Reason, Refusal, Server, Socket,
    SocketId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::*;
use tokio::sync::{mpsc, oneshot};

const SHORT: Duration = Duration::from_millis(50);

/// A server whose `/` echoes.
async fn server() -> Running {
    let io = Server::new();
    io.on("echo", async |_: Socket, args: Args| args);
    start(io).await
}

// Sending.

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Serialize)]
struct File {
    name: &'static str,
    data: Bytes,
}

#[tokio::test]
async fn a_tuple_is_several_arguments_nothing_is_none_and_all_else_is_one() {
    let server = server().await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    me.emit("none", ());
    me.emit("one", 1);
    me.emit("text", "a\"b€");
    me.emit("owned", String::from("x"));
    me.emit(String::from("name"), true);
    me.emit("several", (1, "b", None::<u8>));
    me.emit("tuple of one", (vec![1, 2],));
    me.emit("list", vec![1, 2]);
    me.emit("struct", Point { x: 1, y: -1 });
    me.emit("json", json!({"a": [null]}));
    me.emit("null", Value::Null);
    me.emit("ok", Ok::<_, ()>(1));
    me.emit("error", Err::<(), _>("why"));
    let pair = (1, String::from("b"));
    me.emit("by reference", &pair);
    me.emit("and again", pair);
    for expected in [
        json!(["none"]),
        json!(["one", 1]),
        json!(["text", "a\"b€"]),
        json!(["owned", "x"]),
        json!(["name", true]),
        json!(["several", 1, "b", null]),
        json!(["tuple of one", [1, 2]]),
        json!(["list", [1, 2]]),
        json!(["struct", {"x": 1, "y": -1}]),
        json!(["json", {"a": [null]}]),
        json!(["null", null]),
        json!(["ok", {"ok": 1}]),
        json!(["error", {"error": "why"}]),
        json!(["by reference", 1, "b"]),
        json!(["and again", 1, "b"]),
    ] {
        assert_eq!(client.event().await, expected);
    }
}

#[tokio::test]
async fn bytes_travel_as_attachments_wherever_they_are() {
    let server = server().await;
    let mut client = server.client().await;
    let data = Bytes::from_static(&[0, 255]);
    server.emit("bytes", &data);
    let name = "a";
    let file = File { name, data: data.clone() };
    server.emit("file", (1, file, Bytes::new()));
    let packet = client.next().await;
    let first = json!({"_placeholder": true, "num": 0});
    assert_eq!(packet.kind, 5);
    assert_eq!(packet.data, json!(["bytes", first]));
    assert_eq!(packet.attachments, std::slice::from_ref(&data));
    let packet = client.next().await;
    let second = json!({"_placeholder": true, "num": 1});
    let expected = json!(["file", 1, {"name": "a", "data": first}, second]);
    assert_eq!(packet.data, expected);
    assert_eq!(packet.attachments, [data, Bytes::new()]);
}

#[tokio::test]
async fn arguments_are_passed_on_as_they_came_with_their_attachments() {
    let server = server().await;
    server.on("pass", async |me: Socket, args: Args| {
        me.others().emit("passed", &args);
        me.others().emit("again", args);
    });
    let (mut one, mut two) = (server.client().await, server.client().await);
    // Spaces, escapes and large numbers stay as they were.
    let json = r#"[ "pass" , 1.50,"\u0041",123456789012345678901,{"_placeholder":true,"num":0}]"#;
    one.send(&format!("51-{json}")).await;
    one.ws.send_binary(b"bytes").await;
    let text = two.ws.text().await;
    assert!(text.contains(r#"1.50,"\u0041",123456789012345678901,{"#), "{text}");
    assert!(text.starts_with(r#"451-["passed","#), "{text}");
    let bytes = Bytes::from_static(b"bytes");
    let binary = roomful_proto::ws::Message::Binary(bytes.clone());
    assert_eq!(within(two.ws.next()).await, Some(binary));
    assert_eq!(two.next().await.attachments, [bytes]);
    one.emit("pass", "").await;
    assert_eq!(two.event().await, json!(["passed"]));
}

#[tokio::test]
async fn events_of_one_task_arrive_in_the_order_in_which_they_were_sent() {
    let server = server().await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    me.join("room");
    for n in 0..1_000 {
        match n % 4 {
            0 => me.emit("n", n),
            1 => server.emit("n", n),
            2 => server.to("room").emit("n", n),
            _ => server.to(&*me.id()).emit("n", n),
        }
    }
    for n in 0..1_000 {
        assert_eq!(client.event().await, json!(["n", n]));
    }
}

#[tokio::test]
async fn try_emit_tells_what_became_of_an_event() {
    let io = Server::builder().outbox_bytes_max(10_000).build();
    let server = start(io).await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    assert!(me.try_emit("ok", 1).is_ok());
    for name in
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
    {
        assert!(matches!(me.try_emit(name, 1), Err(EmitError::ReservedEvent)));
    }
    let unwritable = HashMap::from([((1, 2), 3)]);
    assert!(matches!(me.try_emit("map", &unwritable), Err(EmitError::Encode(_))));
    me.emit("map", &unwritable);
    server.emit("map", &unwritable);
    assert_eq!(server.stats().encode_failures, 3);
    assert_eq!(client.event().await, json!(["ok", 1]));
    let large = "x".repeat(10_000);
    assert!(me.try_emit("large", &large).is_ok(), "nothing waits");
    assert!(matches!(me.try_emit("large", &large), Err(EmitError::Overflow)));
    assert!(matches!(me.try_emit("late", 1), Err(EmitError::Gone)));
    assert_eq!(server.stats().slow_peers, 1);
    assert!(client.try_next().await.is_none());
    server.is_empty_again().await;
    assert!(matches!(me.try_emit("late", 1), Err(EmitError::Gone)));
}

#[tokio::test]
async fn try_emit_of_a_broadcast_tells_how_many_it_goes_to() {
    let server = server().await;
    let (one, _two) = (server.client().await, server.client().await);
    server.has_emitted(server.everyone().try_emit("x", 1), 2);
    server.has_emitted(server.except(&one.id).try_emit("x", 1), 1);
    server.has_emitted(server.to("nobody").try_emit("x", 1), 0);
    assert!(matches!(server.everyone().try_emit("connect", 1), Err(EmitError::ReservedEvent)));
}

#[tokio::test]
async fn volatile_events_are_dropped_when_they_cannot_leave_at_once() {
    let server = server().await;
    let poller = server.poller().await;
    poller.join().await;
    let id = server.ids(|io| io.everyone())[0];
    let me = server.socket(id).unwrap();
    // No poll waits.
    me.emit_volatile("v", 1);
    server.everyone().volatile().emit("v", 2);
    assert_eq!(server.stats().volatile_dropped, 2);
    me.emit("kept", 3);
    assert_eq!(poller.get().await.text(), "42[\"kept\",3]");
    let mut client = server.client().await;
    server.everyone().volatile().emit("v", 4);
    assert_eq!(client.event().await, json!(["v", 4]));
    assert_eq!(server.stats().volatile_dropped, 3);
}

// Handlers.

#[tokio::test]
async fn what_a_handler_returns_is_the_ack() {
    let server = server().await;
    server.on("none", async |_: Socket| {});
    server.on("one", async |_: Socket| 1);
    server.on("several", async |_: Socket| (1, "b"));
    server.on("result", async |_: Socket, n: u8| -> Result<u8, &str> {
        n.checked_add(1).ok_or("too large")
    });
    server.on("bytes", async |_: Socket| Bytes::from_static(b"x"));
    let mut client = server.client().await;
    assert_eq!(client.ask("none", "").await, json!([]));
    assert_eq!(client.ask("one", "").await, json!([1]));
    assert_eq!(client.ask("several", "").await, json!([1, "b"]));
    assert_eq!(client.ask("result", "1").await, json!([{"ok": 2}]));
    let error = json!([{"error": "too large"}]);
    assert_eq!(client.ask("result", "255").await, error);
    client.send("27[\"bytes\"]").await;
    let ack = client.next().await;
    assert_eq!((ack.kind, ack.ack), (6, Some(7)));
    assert_eq!(ack.attachments, [Bytes::from_static(b"x")]);
    // Where no ack is asked for, none is sent.
    client.emit("one", "").await;
    hears_nothing(&mut client).await;
}

#[tokio::test]
async fn arguments_are_read_by_position() {
    let server = server().await;
    server.on(
        "eight",
        async |_: Socket, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8| {
            [a, b, c, d, e, f, g, h].to_vec()
        },
    );
    server.on("point", async |_: Socket, p: Point, unit: Option<String>| (p.x, unit));
    server.on("rest", async |_: Socket, first: u8, rest: Args| (first, rest.iter().count()));
    server.on("blob", async |_: Socket, n: u8, blob: Bytes| (n, blob.len()));
    let mut client = server.client().await;
    assert_eq!(client.ask("eight", "1,2,3,4,5,6,7,8").await, json!([[1, 2, 3, 4, 5, 6, 7, 8]]));
    let point = r#"{"x":1,"y":2,"z":3}"#;
    assert_eq!(client.ask("point", point).await, json!([1, null]));
    let with_unit = format!(r#"{point},"m","more""#);
    assert_eq!(client.ask("point", &with_unit).await, json!([1, "m"]));
    assert_eq!(client.ask("rest", r#"1,"a,]",[2]"#).await, json!([1, 2]));
    assert_eq!(client.ask("rest", "1").await, json!([1, 0]));
    client.send(r#"51-7["blob",5,{"_placeholder":true,"num":0}]"#).await;
    client.ws.send_binary(&[0; 300]).await;
    assert_eq!(client.next().await.data, json!([5, 300]));
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_answered_with_an_error_and_no_handler_runs() {
    let server = server().await;
    server.on("add", async |_: Socket, _: u8, _: u8| -> u8 { panic!("called") });
    server.on("late", async |_: Socket, _: Ack, _: u8| -> () { panic!("called") });
    let mut client = server.client().await;
    for (event, args, message) in [
        ("add", "1", "argument 2 is missing"),
        ("add", "", "argument 1 is missing"),
        (
            "add",
            "1,\"x\"",
            "argument 2 does not fit: invalid type: string, expected u8 at line 1 column 3",
        ),
        (
            "add",
            "1,256",
            "argument 2 does not fit: invalid value: integer, expected u8 at line 1 column 3",
        ),
        ("late", "", "argument 1 is missing"),
    ] {
        let expected = json!([{"error": {"code": "invalid_arguments", "message": message}}]);
        assert_eq!(client.ask(event, args).await, expected);
    }
    client.emit("add", "").await;
    hears_nothing(&mut client).await;
    let stats = server.stats();
    assert_eq!((stats.events_misfit, stats.panics), (6, 0));
}

#[tokio::test]
async fn what_does_not_fit_is_not_told_to_the_answer_or_the_log() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {}
    let logs = Logs::collect();
    let server = server().await;
    server.on("login", async |_: Socket, _: u32| -> () { panic!("called") });
    server.on("strict", async |_: Socket, _: Strict| -> () { panic!("called") });
    let mut client = server.client().await;
    let long = "hunter2".repeat(1_000);
    for (event, args) in [
        ("login", r#""hunter2""#.to_owned()),
        ("login", format!("\"{long}\"")),
        ("strict", format!("{{\"{long}\":1}}")),
    ] {
        let answer = client.ask(event, &args).await.to_string();
        assert!(answer.contains("argument 1 does not fit: "), "{answer}");
        assert!(!answer.contains("hunter2") && answer.len() < 300, "{answer}");
    }
    assert_eq!(logs.with("hunter2"), [""; 0]);
    assert_eq!(server.stats().events_misfit, 3);
}

#[tokio::test]
async fn an_ack_as_an_argument_is_answered_whenever_it_likes() {
    let (sender, mut acks) = mpsc::unbounded_channel();
    let server = server().await;
    server.on("later", move |_: Socket, n: u8, ack: Ack| {
        sender.send((n, ack)).unwrap();
        async { "what is returned is not sent" }
    });
    let mut client = server.client().await;
    client.send("21[\"later\",1]").await;
    client.send("22[\"later\",2]").await;
    client.send("2[\"later\",3]").await;
    let (_, one) = within(acks.recv()).await.unwrap();
    let (_, two) = within(acks.recv()).await.unwrap();
    let (_, three) = within(acks.recv()).await.unwrap();
    assert!(one.is_wanted() && two.is_wanted() && !three.is_wanted());
    hears_nothing(&mut client).await;
    three.send("to nobody");
    two.send((2, "two"));
    one.send(());
    let packet = client.next().await;
    assert_eq!((packet.ack, packet.data), (Some(2), json!([2, "two"])));
    let packet = client.next().await;
    assert_eq!((packet.ack, packet.data), (Some(1), json!([])));
    // After the client has left, and in time for nothing.
    client.send("24[\"later\",4]").await;
    let (_, four) = within(acks.recv()).await.unwrap();
    client.send("1").await;
    until("left", || server.is_empty()).await;
    four.send(4);
    client.join("/", "").await.unwrap();
    hears_nothing(&mut client).await;
}

#[tokio::test]
async fn handlers_start_in_order_and_overlap_only_in_their_waits() {
    let server = server().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let (open, gate) = oneshot::channel::<()>();
    let gate = Arc::new(Mutex::new(Some(gate)));
    let seen = Arc::clone(&log);
    server.on("n", move |_: Socket, n: u8| {
        let (seen, gate) = (Arc::clone(&seen), Arc::clone(&gate));
        async move {
            seen.lock().push(format!("start {n}"));
            if n == 0 {
                let gate = gate.lock().take().unwrap();
                gate.await.unwrap();
            }
            seen.lock().push(format!("end {n}"));
        }
    });
    let mut client = server.client().await;
    for n in 0..3 {
        client.send(&format!("2{n}[\"n\",{n}]")).await;
    }
    assert_eq!(client.next().await.ack, Some(1));
    assert_eq!(client.next().await.ack, Some(2));
    open.send(()).unwrap();
    assert_eq!(client.next().await.ack, Some(0));
    let log = log.lock().join(", ");
    assert_eq!(log, "start 0, start 1, end 1, start 2, end 2, end 0");
}

#[tokio::test]
async fn a_handler_takes_the_place_of_the_one_before_for_those_who_come_later() {
    let server = server().await;
    server.on("which", async |_: Socket| 1);
    let mut early = server.client().await;
    server.on("which", async |_: Socket| 2);
    server.on("new", async |_: Socket| 3);
    let mut late = server.client().await;
    assert_eq!(early.ask("which", "").await, json!([1]));
    assert_eq!(late.ask("which", "").await, json!([2]));
    assert_eq!(late.ask("new", "").await, json!([3]));
    early.send("27[\"new\"]").await;
    hears_nothing(&mut early).await;
    assert_eq!(server.stats().events_unhandled, 1);
}

#[tokio::test]
async fn on_other_is_called_for_events_without_a_handler() {
    let server = server().await;
    server.on("7", async |_: Socket| "seven");
    server.on_other(async |me: Socket, name: String, args: Args| {
        me.emit("other", (name, args.iter().count()));
    });
    let mut client = server.client().await;
    client.emit("what\\u0021", "1,2").await;
    assert_eq!(client.event().await, json!(["other", "what!", 2]));
    client.send("2[8]").await;
    assert_eq!(client.event().await, json!(["other", "8", 0]));
    client.send("27[7]").await;
    assert_eq!(client.next().await.data, json!(["seven"]));
    hears_nothing(&mut client).await;
    assert_eq!(server.stats().events_unhandled, 0);
}

// Typed events.

const MOVE: Event<(f32, f32)> = Event::new("move");
const SAY: Event<String> = Event::new("say");
const NOW: Event = Event::new("now");
const ADD: Event<(i64, i64), i64> = Event::new("add");
const AGE: Event<(), u8> = Event::new("age");

#[tokio::test]
async fn an_event_goes_wherever_a_name_goes() {
    let server = server().await;
    server.on(ADD, async |_: Socket, a: i64, b: i64| a + b);
    server.on(MOVE, async |me: Socket, x: f32, y: f32| {
        me.emit(MOVE, (y, x));
        me.everyone().emit(SAY, "moved".to_owned());
        me.emit_volatile(NOW, ());
    });
    server.on(AGE, async |me: Socket| -> u8 { me.call(AGE, ()).await.unwrap_or(0) });
    let mut client = server.client().await;
    assert_eq!(client.ask("add", "1,2").await, json!([3]));
    client.emit("move", "1.5,2").await;
    assert_eq!(client.event().await, json!(["move", 2.0, 1.5]));
    assert_eq!(client.event().await, json!(["say", "moved"]));
    assert_eq!(client.event().await, json!(["now"]));
    client.send("21[\"age\"]").await;
    let question = client.next().await;
    client.send(&format!("3{}[42]", question.ack.unwrap())).await;
    assert_eq!(client.next().await.data, json!([42]));
    let answers = server.everyone().call(ADD, (1, 2));
    let question = client.next().await;
    assert_eq!(question.data, json!(["add", 1, 2]));
    client.send(&format!("3{}[3]", question.ack.unwrap())).await;
    let all = within(answers.collect()).await;
    assert_eq!(all, [(SocketId::parse(&client.id), 3)]);
    assert_eq!((ADD.name(), format!("{ADD:?}").as_str()), ("add", "Event(\"add\")"));
}

// Questions to one.

#[tokio::test]
async fn a_question_is_answered_by_the_first_argument_or_by_all() {
    let server = server().await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    let asking = me.clone();
    let asked = tokio::spawn(async move {
        let one: u8 = asking.call("q", (1, "a")).await.unwrap();
        let all: Args = asking.call("q", ()).await.unwrap();
        let blob: Bytes = asking.call("q", Bytes::from_static(b"?")).await.unwrap();
        let none: Option<u8> = asking.call("q", ()).await.unwrap();
        (one, all.iter().count(), blob, none)
    });
    let question = client.next().await;
    assert_eq!(question.data, json!(["q", 1, "a"]));
    client.send(&format!("3{}[5,6]", question.ack.unwrap())).await;
    let question = client.next().await;
    client.send(&format!("3{}[5,6]", question.ack.unwrap())).await;
    let question = client.next().await;
    assert_eq!((question.kind, question.attachments.len()), (5, 1));
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    client.send(&format!("61-{}[{placeholder}]", question.ack.unwrap())).await;
    client.ws.send_binary(b"!").await;
    let question = client.next().await;
    client.send(&format!("3{}[]", question.ack.unwrap())).await;
    let expected = (5, 2, Bytes::from_static(b"!"), None);
    assert_eq!(within(asked).await.unwrap(), expected);
}

#[tokio::test]
async fn a_question_without_an_answer_says_why() {
    let io = Server::builder().asks_max(2).ack_timeout(SHORT).build();
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    let call = |event: &'static str| me.call::<_, _, u8>(event, ());

    assert!(matches!(call("disconnect").await, Err(CallError::ReservedEvent)));
    let unwritable = HashMap::from([((1, 2), 3)]);
    let encode = me.call::<_, _, u8>("q", &unwritable).await;
    assert!(matches!(encode, Err(CallError::Encode(_))), "{encode:?}");
    // Neither of the two counts as open.
    assert!(matches!(call("q").await, Err(CallError::Timeout)));
    let late = client.next().await.ack.unwrap();
    assert!(matches!(call("q").timeout(Duration::ZERO).await, Err(CallError::Timeout)));
    client.next().await;
    client.send(&format!("3{late}[1]")).await;
    hears_nothing(&mut client).await;
    assert_eq!(server.stats().acks_unmatched, 1);

    // Two may be open. Sent they are when they are made; a question that is dropped is free again.
    let wait = Duration::from_secs(3_600);
    let (one, two) = (call("one").timeout(wait), call("two"));
    assert!(matches!(call("three").await, Err(CallError::TooMany)));
    assert_eq!(server.stats().asks_refused, 1);
    drop(two);
    let (one_id, two_id) = (client.next().await, client.next().await);
    assert_eq!((&one_id.data, &two_id.data), (&json!(["one"]), &json!(["two"])));
    let three = call("three").timeout(wait);
    let three_id = client.next().await.ack.unwrap();
    client.send(&format!("3{}[\"x\"]", one_id.ack.unwrap())).await;
    let answer = within(one.into_future()).await;
    assert!(matches!(answer, Err(CallError::Answer(_))), "{answer:?}");
    let four = call("four").timeout(wait);
    client.send(&format!("3{three_id}[3]")).await;
    assert_eq!(within(three.into_future()).await.unwrap(), 3);
    client.send("1").await;
    assert!(matches!(within(four.into_future()).await, Err(CallError::Gone)));
    assert!(matches!(call("five").await, Err(CallError::Gone)));
}

#[tokio::test]
async fn a_question_ends_when_its_client_is_gone() {
    let server = server().await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    let wait = Duration::from_secs(3_600);
    let asked = me.call::<_, _, u8>("q", ()).timeout(wait);
    client.next().await;
    client.ws.conn.reset();
    assert!(matches!(within(asked.into_future()).await, Err(CallError::Gone)));
}

// Questions to many.

#[tokio::test]
async fn a_question_to_many_gives_the_answers_there_are() {
    let server = server().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.client().await);
    }
    let mut answers: Answers<u8> =
        server.except(&clients[3].id).timeout(Duration::from_secs(10)).call("q", "?");
    assert_eq!((answers.asked(), answers.missing()), (3, 3));
    let mut ids = Vec::new();
    for client in &mut clients[..3] {
        let question = client.next().await;
        assert_eq!(question.data, json!(["q", "?"]));
        ids.push(question.ack.unwrap());
    }
    hears_nothing(&mut clients[3]).await;
    // One answers, one answers nonsense, one stays silent.
    clients[0].send(&format!("3{}[7]", ids[0])).await;
    let (who, answer) = within(answers.next()).await.unwrap();
    assert_eq!((who.unwrap().as_str(), answer.unwrap()), (clients[0].id.as_str(), 7));
    clients[1].send(&format!("3{}[\"x\"]", ids[1])).await;
    let (_, answer) = within(answers.next()).await.unwrap();
    assert!(answer.is_err());
    passes(Duration::from_secs(11)).await;
    assert!(within(answers.next()).await.is_none());
    assert_eq!((answers.asked(), answers.missing()), (3, 1));
    // Too late.
    clients[2].send(&format!("3{}[7]", ids[2])).await;
    hears_nothing(&mut clients[2]).await;
    assert!(within(answers.next()).await.is_none());
    assert_eq!(server.stats().acks_unmatched, 1);
}

#[tokio::test]
async fn a_question_to_many_ends_when_all_have_answered_or_are_gone() {
    let server = server().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.client().await);
    }
    let wait = Duration::from_secs(3_600);
    let answers = server.everyone().timeout(wait).call::<_, _, u8>("q", ());
    let mut ids = Vec::new();
    for client in &mut clients {
        ids.extend(client.next().await.ack);
    }
    clients[0].send(&format!("3{}[1]", ids[0])).await;
    clients[1].send("1").await;
    clients.pop().unwrap().ws.conn.reset();
    let all = within(answers.collect()).await;
    assert_eq!(all, [(SocketId::parse(&clients[0].id), 1)]);
}

#[tokio::test]
async fn a_question_to_nobody_ends_at_once() {
    let server = server().await;
    let _client = server.client().await;
    let wait = Duration::from_secs(3_600);
    let nobody = server.to("nobody").timeout(wait);
    assert_eq!(within(nobody.call::<_, _, u8>("q", ()).collect()).await, []);
    let reserved = server.everyone().timeout(wait);
    let answers = reserved.call::<_, _, u8>("connect", ());
    assert_eq!(answers.asked(), 0);
    assert_eq!(within(answers.collect()).await, []);
}

// Whom an event goes to.

#[tokio::test]
async fn each_selection_reaches_whom_it_names_and_nobody_twice() {
    let server = server().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.client().await);
    }
    let sockets: Vec<_> = clients.iter().map(|c| socket_of(&server, c)).collect();
    // 0 and 1 in a, 1 and 2 in b.
    for (n, room) in [(0, "a"), (1, "a"), (1, "b"), (2, "b")] {
        assert!(sockets[n].join(room));
    }
    let own = clients[3].id.clone();
    let me = &sockets[0];
    for (selection, expected) in [
        (server.everyone(), vec![0, 1, 2, 3]),
        (me.everyone(), vec![0, 1, 2, 3]),
        (me.others(), vec![1, 2, 3]),
        (server.to("a"), vec![0, 1]),
        (server.to("a").to("b"), vec![0, 1, 2]),
        (server.to("a").to("a"), vec![0, 1]),
        (server.to("a").except("b"), vec![0]),
        (server.except("a"), vec![2, 3]),
        (server.except("a").except("b"), vec![3]),
        (me.to("a"), vec![1]),
        (me.to("a").to("b"), vec![1, 2]),
        (me.to("a").to(own.as_str()), vec![1, 3]),
        (server.to(&own), vec![3]),
        (server.to("none"), vec![]),
        (server.to(""), vec![]),
    ] {
        let found = selection.sockets().await;
        let mut ids: Vec<_> = found.iter().map(|socket| socket.id().to_string()).collect();
        ids.sort();
        let mut named: Vec<_> = expected.iter().map(|&n| clients[n].id.clone()).collect();
        named.sort();
        assert_eq!(ids, named, "{selection:?}");
        selection.emit("x", 1);
        for (n, client) in clients.iter_mut().enumerate() {
            if expected.contains(&n) {
                assert_eq!(client.event().await, json!(["x", 1]), "{selection:?}");
            }
        }
    }
    for client in &mut clients {
        hears_nothing(client).await;
    }
}

#[tokio::test]
async fn a_selection_is_made_anew_each_time_it_is_used() {
    let server = server().await;
    let room = server.to("room");
    let mut client = server.client().await;
    room.emit("x", 1);
    let me = socket_of(&server, &client);
    me.join("room");
    room.emit("x", 2);
    me.leave("room");
    room.emit("x", 3);
    assert_eq!(client.event().await, json!(["x", 2]));
    hears_nothing(&mut client).await;
}

#[tokio::test]
async fn rooms_of_two_namespaces_with_one_name_are_two_rooms() {
    let server = server().await;
    let chat = server.of("chat");
    assert_eq!((chat.name(), server.name()), ("/chat", "/"));
    chat.on_connect(async |me: Socket| {
        me.join("room");
    });
    let mut client = server.client().await;
    client.join("/chat", "").await.unwrap();
    socket_of(&server, &client).join("room");
    chat.to("room").emit("x", 1);
    server.of("/chat").to("room").emit("x", 2);
    let packet = client.next().await;
    assert_eq!((packet.namespace.as_str(), packet.data), ("/chat", json!(["x", 1])));
    assert_eq!(client.next().await.data, json!(["x", 2]));
    hears_nothing(&mut client).await;
}

#[tokio::test]
async fn disconnect_takes_the_selected_out_of_the_namespace_alone() {
    let server = server().await;
    let chat = server.of("/chat");
    chat.on("echo", async |_: Socket, args: Args| args);
    let (mut one, mut two) = (server.client().await, server.client().await);
    one.join("/chat", "").await.unwrap();
    socket_of(&server, &one).join("room");
    server.to("room").disconnect();
    let packet = one.next().await;
    assert_eq!((packet.kind, packet.namespace.as_str()), (1, "/"));
    one.send("2/chat,7[\"echo\",1]").await;
    assert_eq!(one.next().await.data, json!([1]));
    // What it still sends there is not held against it.
    one.emit("echo", "1").await;
    assert!(one.join("/", "").await.is_ok());
    hears_nothing(&mut two).await;
    assert_eq!(server.stats().violations, 0);
}

// Rooms.

#[tokio::test]
async fn a_socket_knows_its_rooms() {
    let io = Server::builder().rooms_max(2).build();
    let server = start(io).await;
    let client = server.client().await;
    let me = socket_of(&server, &client);
    assert_eq!(me.rooms(), std::slice::from_ref(&client.id));
    assert!(me.join("a") && me.join("a") && me.join(String::from("b")));
    assert!(!me.join("c"), "one more than there may be");
    assert_eq!(server.stats().rooms_refused, 1);
    assert!(me.join("a") && me.join(&*me.id()), "it is there already");
    let mut rooms = me.rooms();
    rooms[1..].sort();
    assert_eq!(rooms, [client.id.as_str(), "a", "b"]);
    assert!(me.is_in("a") && me.is_in(&*me.id()) && !me.is_in("c"));
    assert!(me.leave("a") && !me.leave("a") && !me.leave("c"));
    assert!(me.join("c"));
    drop(client);
    server.is_empty_again().await;
    assert!(!me.join("a") && !me.leave("b") && !me.is_in("b") && !me.is_in(&*me.id()));
    assert_eq!(me.rooms(), [""; 0]);
    assert!(!me.is_connected());
}

// Coming.

struct User {
    name: String,
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

#[tokio::test]
async fn a_connect_function_decides_and_what_it_gives_is_remembered() {
    let io = Server::builder().state(String::from("state")).build();
    let chat = io.of("/chat").connect(async |hello: Hello<String>| {
        let login: Login = hello.auth()?;
        let query = hello.query("q").unwrap_or_default();
        let agent = hello.header("User-Agent").unwrap_or_default().to_owned();
        assert_eq!((hello.state().as_str(), hello.namespace()), ("state", "/chat"));
        assert!(hello.address().unwrap().ip().is_loopback());
        match login.token.as_str() {
            "good" => Ok(User { name: format!("{query} with {agent}") }),
            "bad" => Err("bad token".into()),
            _ => Err(Refusal::new("no").data(json!({"code": 401}))),
        }
    });
    chat.on("who", async |me: Socket<String, User>| (me.state().clone(), me.data().name.clone()));
    let server = start(io).await;
    let mut conn = Conn::open(server.address).await;
    let target = format!("{WEBSOCKET}&q=J%C3%B6+x%2");
    conn.send(upgrade_head_with(&target, "User-Agent: curl\r\n")).await;
    assert_eq!(conn.response().await.status, 101);
    let mut ws = Ws::over(conn);
    ws.text().await;
    let mut client = Client { ws, id: String::new() };
    let refused = client.join("/chat", "").await.unwrap_err();
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.starts_with("the auth payload does not fit: missing field `token`"),
        "{message}"
    );
    let refused = client.join("/chat", r#"{"token":"bad"}"#).await;
    assert_eq!(refused, Err(json!({"message": "bad token"})));
    let refused = client.join("/chat", r#"{"token":"x"}"#).await;
    let expected = json!({"message": "no", "data": {"code": 401}});
    assert_eq!(refused, Err(expected));
    let id = client.join("/chat", r#"{"token":"good"}"#).await.unwrap();
    client.send("2/chat,7[\"who\"]").await;
    let expected = json!(["state", "Jö x%2 with curl"]);
    assert_eq!(client.next().await.data, expected);
    let id = SocketId::parse(&id).unwrap();
    assert!(chat.socket(id).is_some() || !server.others.is_empty());
    // The namespace without the type of its data knows the socket too, but not what it remembers.
    assert!(server.nodes().any(|io| io.of("/chat").socket(id).is_some()));
    let stats = server.stats();
    assert_eq!((stats.joined, stats.refused), (1, 3));
}

#[tokio::test]
async fn on_connect_runs_before_the_first_event_and_after_the_client_knows() {
    let server = server().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let (greeted, heard) = (Arc::clone(&log), Arc::clone(&log));
    server.on_connect(move |me: Socket| {
        greeted.lock().push("greeting");
        me.emit("welcome", ());
        async {}
    });
    server.on("first", move |_: Socket| {
        heard.lock().push("event");
        async {}
    });
    let mut ws = server.opened().await;
    let mut bytes = frame_bytes(roomful_proto::ws::frame::Opcode::Text, b"40");
    bytes.extend(frame_bytes(roomful_proto::ws::frame::Opcode::Text, b"421[\"first\"]"));
    ws.conn.send(bytes).await;
    assert!(ws.text().await.starts_with("40{"));
    assert_eq!(ws.text().await, "42[\"welcome\"]");
    assert_eq!(ws.text().await, "431[]");
    assert_eq!(*log.lock(), ["greeting", "event"]);
}

#[tokio::test]
async fn events_that_come_before_the_decision_are_handled_after_it_in_order() {
    let (decide, decision) = oneshot::channel::<()>();
    let decision = Arc::new(Mutex::new(Some(decision)));
    let server = server().await;
    let chat = server.of("/chat").connect(move |_: Hello| {
        let decision = decision.lock().take().unwrap();
        async move {
            decision.await.unwrap();
            Ok::<_, Refusal>(5_u8)
        }
    });
    chat.on("n", async |me: Socket<(), u8>, n: u8| n + me.data());
    let mut client = server.client().await;
    client.send("0/chat").await;
    client.send("2/chat,1[\"n\",1]").await;
    client.send("2/chat,2[\"n\",2]").await;
    hears_nothing(&mut client).await;
    decide.send(()).unwrap();
    assert_eq!(client.next().await.kind, 0);
    assert_eq!(client.next().await.data, json!([6]));
    assert_eq!(client.next().await.data, json!([7]));
}

#[tokio::test]
async fn clients_can_join_only_namespaces_that_were_made() {
    let server = server().await;
    let mut client = server.client().await;
    let refused = client.join("/chat", "").await;
    assert_eq!(refused, Err(json!({"message": "Invalid namespace"})));
    server.of("/chat");
    assert!(client.join("/chat", "").await.is_ok());
}

// Going.

#[tokio::test]
async fn on_disconnect_tells_why_and_finds_the_rooms_left() {
    let (sender, mut log) = mpsc::unbounded_channel();
    let io = Server::new();
    let before = sender.clone();
    io.on_disconnecting(move |me: Socket, reason: Reason| {
        before.send((reason, me.rooms().len())).unwrap();
        async {}
    });
    io.on_disconnect(move |me: Socket, reason: Reason| {
        assert!(!me.is_connected());
        sender.send((reason, me.rooms().len())).unwrap();
        async {}
    });
    io.on_connect(async |me: Socket| {
        me.join("room");
    });
    let server = start(io).await;

    let mut leaving = server.client().await;
    leaving.send("1").await;
    let mut dismissed = server.client().await;
    let mut expected = vec![Reason::ClientNamespaceDisconnect];
    check_log(&mut log, &expected).await;
    socket_of(&server, &dismissed).disconnect();
    assert_eq!(dismissed.next().await.kind, 1);
    expected = vec![Reason::ServerNamespaceDisconnect];
    check_log(&mut log, &expected).await;
    let mut closed = server.client().await;
    socket_of(&server, &closed).close();
    assert_eq!(closed.next().await.kind, 1);
    assert_eq!(closed.ws.close_code().await, Some(1000));
    check_log(&mut log, &[Reason::ServerNamespaceDisconnect]).await;
    drop(server.client().await);
    check_log(&mut log, &[Reason::TransportClose]).await;
    server.client().await.ws.conn.reset();
    check_log(&mut log, &[Reason::TransportError]).await;
    let mut silent = server.client().await;
    // The ping comes after 25 s, and 20 s later it should have been answered.
    passes(Duration::from_secs(26)).await;
    assert_eq!(silent.ws.text().await, "2");
    passes(Duration::from_secs(21)).await;
    check_log(&mut log, &[Reason::PingTimeout]).await;
    let mut broken = server.client().await;
    broken.ws.send_text("x").await;
    check_log(&mut log, &[Reason::ParseError]).await;
    let mut last = server.client().await;
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    check_log(&mut log, &[Reason::ServerShuttingDown]).await;
    assert_eq!(last.ws.close_code().await, Some(1001));
    drop((leaving, dismissed, closed, silent, broken, last));
    within(closing).await.unwrap();
    assert!(log.try_recv().is_err(), "one farewell for each");
}

#[tokio::test]
async fn a_socket_that_is_about_to_leave_can_still_leave_rooms_and_one_that_has_left_cannot() {
    let (sender, mut log) = mpsc::unbounded_channel();
    let io = Server::new();
    let after = sender.clone();
    io.on_disconnecting(move |me: Socket, _| {
        sender.send((me.leave("room"), me.join("other"), me.leave("room"))).unwrap();
        async {}
    });
    io.on_disconnect(move |me: Socket, _| {
        after.send((me.leave("other"), me.join("other"), me.join(&*me.id()))).unwrap();
        async {}
    });
    let server = start(io).await;
    let client = server.client().await;
    assert!(socket_of(&server, &client).join("room"));
    drop(client);
    assert_eq!(within(log.recv()).await, Some((true, true, false)));
    assert_eq!(within(log.recv()).await, Some((false, false, false)));
}

#[tokio::test]
async fn a_socket_that_is_about_to_leave_reaches_its_rooms_and_is_not_reached_itself() {
    let server = server().await;
    server.on_disconnecting(async |me: Socket, _| {
        for room in me.rooms() {
            me.to(room).emit("leaves", ());
        }
        assert!(matches!(me.try_emit("late", 1), Err(EmitError::Gone)));
        assert!(!me.is_connected());
    });
    let (mut one, mut two) = (server.client().await, server.client().await);
    socket_of(&server, &one).join("room");
    socket_of(&server, &two).join("room");
    socket_of(&server, &one).disconnect();
    assert_eq!(one.next().await.kind, 1);
    assert_eq!(two.event().await, json!(["leaves"]));
    one.join("/", "").await.unwrap();
    hears_nothing(&mut one).await;
    assert_eq!(server.stats().panics, 0);
}

/// Each reason twice: first in two rooms, then in none.
async fn check_log(log: &mut mpsc::UnboundedReceiver<(Reason, usize)>, reasons: &[Reason]) {
    for &reason in reasons {
        assert_eq!(within(log.recv()).await, Some((reason, 2)));
        assert_eq!(within(log.recv()).await, Some((reason, 0)));
    }
}

#[tokio::test]
async fn close_takes_a_client_out_of_all_its_namespaces() {
    let server = server().await;
    let count = Arc::new(AtomicUsize::new(0));
    let chat = server.of("/chat");
    for namespace in [&*server.io, &chat] {
        let count = Arc::clone(&count);
        namespace.on_disconnect(move |_: Socket, _| {
            count.fetch_add(1, Ordering::SeqCst);
            async {}
        });
    }
    let mut client = server.client().await;
    client.join("/chat", "").await.unwrap();
    socket_of(&server, &client).close();
    let (one, two) = (client.next().await, client.next().await);
    assert_eq!((one.kind, two.kind), (1, 1));
    assert_eq!(client.ws.close_code().await, Some(1000));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    drop(client);
    server.is_empty_again().await;
    assert!(chat.is_empty());
}

#[tokio::test]
async fn close_of_the_server_ends_serving_and_may_be_called_again() {
    let server = server().await;
    let mut client = server.client().await;
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    assert_eq!(client.ws.close_code().await, Some(1001));
    client.ws.conn.reset();
    within(closing).await.unwrap();
    within(server.serving).await.unwrap();
    within(server.io.close()).await;
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
    assert_eq!(server.io.stats().connections, 0);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_says_what_to_do() {
    let server = server().await;
    let error = Server::new().serve(&server.address.to_string()).await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with(&format!("cannot listen at {}: ", server.address))
            && text.ends_with("stop it, or choose another port"),
        "{text}"
    );
}

#[tokio::test]
async fn inside_another_server_the_layer_answers_below_its_path_and_leaves_the_rest() {
    let io = Server::new();
    io.on("echo", async |_: Socket, args: Args| args);
    let app = axum::Router::new().route("/", axum::routing::get(async || "home")).layer(io.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(get(address, "/", "").await.text(), "home");
    let mut client = Client::open(address).await;
    client.join("/", "").await.unwrap();
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    // Nobody said where the client comes from.
    assert_eq!(io.socket(io.everyone().local_ids()[0]).unwrap().address(), None);
    let nested = axum::Router::new().nest_service("/live", io.service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, nested).await });
    let mut client = Client::open_at(address, "/live/?EIO=4&transport=websocket").await;
    assert!(client.join("/", "").await.is_ok());
}

#[tokio::test]
async fn serve_with_gives_other_paths_to_the_other_service() {
    let io = Server::new();
    let app = axum::Router::new().route("/", axum::routing::get(async || "home"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = io.clone();
    let serving = tokio::spawn(async move { server.serve_with(listener, app).await });
    assert_eq!(get(address, "/", "").await.text(), "home");
    let ours = get(address, "/socket.io/?EIO=4", "").await;
    assert_eq!((ours.status, io.stats().requests_refused), (400, 1));
    let (closed, ()) = tokio::join!(within(serving), io.close());
    closed.unwrap();
}

/// Each departure orders the next one, so that there is one in every turn of a poll, the last one too.
#[tokio::test]
async fn an_order_in_the_last_turn_of_a_poll_is_not_lost() {
    const COUNT: usize = 20;
    let sockets = Arc::new(Mutex::new(Vec::<Socket>::new()));
    let io = Server::new();
    for at in 0..COUNT {
        let namespace = io.of(&format!("n{at}"));
        let joined = Arc::clone(&sockets);
        namespace.on_connect(move |me: Socket| {
            joined.lock().push(me);
            std::future::ready(())
        });
        let joined = Arc::clone(&sockets);
        namespace.on_disconnect(move |_: Socket, _: Reason| {
            let next = joined.lock().get(at + 1).cloned();
            if let Some(next) = next {
                next.disconnect();
            }
            std::future::ready(())
        });
    }
    let server = start(io).await;
    let mut client = server.client().await;
    for at in 0..COUNT {
        client.join(&format!("/n{at}"), "").await.unwrap();
    }
    let first = sockets.lock()[0].clone();
    first.disconnect();
    for at in 0..COUNT {
        let packet = client.next().await;
        assert_eq!((packet.kind, packet.namespace), (1, format!("/n{at}")));
    }
}

/// Near the longest duration a point in time has no room for it. When a client is told to go is left to
/// chance, so it is tried often.
#[tokio::test]
async fn a_drain_without_an_end_is_no_panic() {
    for _ in 0..20 {
        let server = server().await;
        let _client = server.client().await;
        let io = server.io.clone();
        let draining = tokio::spawn(async move { io.drain(Duration::MAX).await });
        // It has begun when nobody is let in any more.
        while get(server.address, POLLING, "").await.status == 200 {}
        draining.abort();
        assert!(!draining.await.is_err_and(|ended| ended.is_panic()));
    }
}

#[tokio::test]
async fn a_close_without_an_end_is_no_panic() {
    let server = start(Server::builder().close_timeout(Duration::MAX).build()).await;
    let mut client = server.client().await;
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    assert_eq!(client.ws.close_code().await, Some(1001));
    drop(client);
    within(closing).await.unwrap();
}

#[tokio::test]
async fn a_question_to_many_without_an_end_is_no_panic() {
    let server = server().await;
    let mut client = server.client().await;
    let answers: Answers<u8> = server.everyone().timeout(Duration::MAX).call("ask", ());
    let question = client.next().await;
    client.send(&format!("3{}[7]", question.ack.unwrap())).await;
    let answers: Vec<_> = answers.collect().await.into_iter().map(|(_, answer)| answer).collect();
    assert_eq!(answers, [7]);
}

/// It stands last, but for what is no argument.
#[tokio::test]
async fn all_that_is_left_may_stand_before_an_ack() {
    let io = Server::new();
    io.on("sum", async |_: Socket, first: u32, rest: Args, ack: Ack| {
        let more = |at| rest.get::<u32>(at).unwrap();
        ack.send(first + more(0) + more(1));
    });
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("sum", "1,2,3").await, json!([6]));
}
