//! How many arguments an event and an answer have, and which of them are read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use roomful::{Args, CallError, Event, Server, Socket, SocketId};
use serde_json::json;
use support::*;

const WHERE: Event<(), (f32, f32)> = Event::new("where");

#[tokio::test]
async fn an_array_is_several_arguments_and_a_vec_is_one() {
    let server = start(Server::new()).await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    me.emit("array", [1, 2]);
    me.emit("list", vec![1, 2]);
    me.emit("slice", &[1, 2][..]);
    me.emit("one array", ([1, 2],));
    me.emit("one tuple", ((1, 2),));
    for expected in [
        json!(["array", 1, 2]),
        json!(["list", [1, 2]]),
        json!(["slice", [1, 2]]),
        json!(["one array", [1, 2]]),
        json!(["one tuple", [1, 2]]),
    ] {
        assert_eq!(client.event().await, expected);
    }
}

/// What a client says to each of so many questions, one after the other.
async fn answers(client: &mut Client, answers: &[&str]) {
    for answer in answers {
        let id = client.next().await.ack.unwrap();
        client.send(&format!("3{id}{answer}")).await;
    }
}

#[tokio::test]
async fn a_tuple_reads_an_answer_of_several_arguments_and_of_an_array() {
    let server = start(Server::new()).await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    let asking = me.clone();
    let asked = tokio::spawn(async move {
        let together: (f32, f32) = asking.call("where", ()).await.unwrap();
        let apart: (f32, f32) = asking.compress(false).call("where", ()).await.unwrap();
        let typed = asking.call(WHERE, ()).await.unwrap();
        let first: f32 = asking.call("where", ()).await.unwrap();
        let all: Args = asking.call("where", ()).await.unwrap();
        let wrong: Result<(f32, f32), CallError> = asking.call("where", ()).await;
        assert_eq!([together, apart, typed, all.read().unwrap()], [(1.0, 2.5); 4]);
        assert_eq!(first, 1.0);
        assert!(matches!(wrong, Err(CallError::Answer(_))), "{wrong:?}");
    });
    let said = ["[[1,2.5]]", "[1,2.5]", "[1,2.5]", "[1,2.5]", "[1,2.5]", r#"[1,"a"]"#];
    answers(&mut client, &said).await;
    within(asked).await.unwrap();

    let votes = server.everyone().call(WHERE, ());
    answers(&mut client, &["[1,2.5]"]).await;
    let id = SocketId::parse(&client.id).unwrap();
    assert_eq!(within(votes.collect()).await, [(Some(id), (1.0, 2.5))]);
}

#[tokio::test]
async fn a_typed_answer_of_two_arguments_goes_both_ways() {
    let io = Server::new();
    io.on(WHERE, async |_: Socket| (1.0, 2.5));
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("where", "").await, json!([1.0, 2.5]));
}

#[tokio::test]
async fn surplus_arguments_are_ignored_unless_the_handler_takes_them() {
    let io = Server::new();
    io.on("two", async |_: Socket, a: u8, b: Option<u8>| vec![Some(a), b]);
    io.on("rest", async |_: Socket, _: u8, rest: Args| rest.iter().count());
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("two", r#"1,2,3,{"four":4}"#).await, json!([[1, 2]]));
    assert_eq!(client.ask("two", "1").await, json!([[1, null]]));
    assert_eq!(client.ask("rest", "1,2,3").await, json!([2]));
    assert_eq!(client.ask("rest", "1").await, json!([0]));
    assert_eq!(server.stats().events_misfit, 0);
}
