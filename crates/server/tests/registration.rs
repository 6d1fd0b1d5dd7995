//! Functions that take each other's place, and functions that no socket fits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/logs.rs"]
mod logs;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use logs::Logs;
use parking_lot::Mutex;
use roomful::{Args, EventError, Hello, Namespace, Reason, Recovery, Refusal, Server, Socket};
use serde_json::{Value, json};
use support::*;

struct Guest;

struct User {
    name: String,
}

async fn guests(_: Hello) -> Result<Guest, Refusal> {
    Ok(Guest)
}

async fn users(_: Hello) -> Result<User, Refusal> {
    Ok(User { name: "Ada".to_owned() })
}

fn internal() -> Value {
    json!([{"error": {"code": "internal_error", "message": "internal error"}}])
}

async fn ask(client: &mut Client, namespace: &str, event: &str) -> Value {
    client.send(&format!("2{}7{}", prefix(namespace), array(event, ""))).await;
    let packet = client.next().await;
    assert_eq!((packet.kind, packet.ack), (3, Some(7)), "{packet:?}");
    packet.data
}

#[tokio::test]
async fn a_second_function_takes_the_place_of_the_first_and_the_log_says_so() {
    let io = Server::new();
    let logs = Logs::collect();
    let register = |io: &Namespace| {
        let guests = io.connect(guests);
        guests.same_visitor(|_, _| true).carry_over(|_, _| {});
        io.on("a", async |_: Socket| 1);
        io.once("a", async |_: Socket| 1);
        io.on_connect(async |_: Socket| {});
        io.on_disconnecting(async |_: Socket, _: Reason| {});
        io.on_disconnect(async |_: Socket, _: Reason| {});
        io.on_other(async |_: Socket, _: String, _: Args| {});
        io.on_error(|_, _, _| {});
        io.on_slow(|_, _| {});
        io.on_expire(async |_: Socket| {});
        io.on_server_side("a", async |_: Args| ());
        // Of these there may be several.
        io.on_any(|_, _, _| {});
        io.before(async |_: Socket, _: String, args: Args| Ok(args));
        io.before_join(|_, _| true);
    };
    register(&io);
    assert_eq!(logs.with("place"), Vec::<String>::new());
    register(&io);
    let said = logs.with("takes the place");
    assert_eq!(said.len(), 13, "{said:#?}");
    assert!(said.iter().all(|line| line.starts_with("WARN") && line.contains("namespace=\"/\"")));
    let handlers = logs.with("event=\"a\"");
    assert_eq!(handlers.len(), 3, "{handlers:#?}");
    assert!(handlers[0].contains("function=\"on\""), "{handlers:#?}");

    io.off("a");
    io.on("a", async |_: Socket| 2);
    assert_eq!(logs.with("takes the place").len(), 13, "one that was taken off is not replaced");
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("a", "").await, json!([2]));
}

#[tokio::test]
async fn a_child_with_a_handler_of_its_own_is_no_mistake() {
    let io = Server::new();
    let logs = Logs::collect();
    let rooms = io.of_pattern("/room-{id}");
    rooms.on("a", async |_: Socket| "the parent's");
    let _room = io.of("/room-1");
    io.find("/room-1").unwrap().on("a", async |_: Socket| "its own");
    assert_eq!(logs.with("takes the place"), Vec::<String>::new());
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    client.join("/room-1", "").await.unwrap();
    assert_eq!(ask(&mut client, "/room-1", "a").await, json!(["its own"]));
}

#[tokio::test]
async fn a_handler_for_sockets_with_other_data_is_told_and_answered() {
    let io = Server::new();
    let logs = Logs::collect();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = Arc::clone(&told);
    io.on_error(move |_, event, error| {
        tells.lock().push(format!("{event}: {} {:?}", error.code(), error.source()));
    });
    let old = io.connect(guests);
    old.on("old", async |_: Socket<(), Guest>| "never");
    old.on_connect(async |_: Socket<(), Guest>| panic!("never"));
    old.before_join(|_, _| true);
    assert_eq!(logs.with("ERROR"), Vec::<String>::new());

    let new = io.connect(users);
    let said = logs.with("ERROR");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("Guest") && said[0].contains("User"), "{said:#?}");
    new.on("name", async |me: Socket<(), User>| (me.data().name.clone(), me.join("room")));
    assert_eq!(logs.with("ERROR").len(), 1);
    old.on("late", async |_: Socket<(), Guest>| "never");
    assert_eq!(logs.with("will not be called: ").len(), 1, "{:#?}", logs.with("ERROR"));

    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("old", "").await, internal());
    assert_eq!(client.ask("late", "").await, internal());
    assert_eq!(client.ask("name", "").await, json!(["Ada", false]), "what cannot be asked refuses");
    client.emit("old", "").await;
    assert_eq!(client.ask("old", "").await, internal());
    let why = |event| format!("{event}: internal_error Some(\"the function is for sockets with a ");
    let told = told.lock();
    for (told, event) in told.iter().zip(["connect", "old", "late", "old", "old"]) {
        assert!(told.starts_with(&why(event)) && told.contains("Guest"), "{told}");
    }
    assert_eq!(told.len(), 5);
    assert_eq!(server.stats().functions_misfit, 6);
    assert!(!logs.with("is not called: ").is_empty(), "{:#?}", logs.with("ERROR"));
}

#[tokio::test]
async fn a_function_before_events_that_does_not_know_the_socket_lets_nothing_through() {
    let io = Server::new();
    io.connect(guests).before(async |_: Socket<(), Guest>, _: String, _: Args| {
        Err(EventError::new("forbidden", "not for guests"))
    });
    let users = io.connect(users);
    users.on("name", async |me: Socket<(), User>| me.data().name.clone());
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("name", "").await, internal());
    assert_eq!((server.stats().functions_misfit, server.stats().events_refused), (1, 1));
}

#[tokio::test]
async fn children_whose_parent_has_another_connect_are_told_of_too() {
    let io = Server::new();
    let rooms = io.of_pattern("/room-{id}");
    let old = rooms.connect(guests);
    old.on("old", async |_: Socket<(), Guest>| "here");
    let server = start(io).await;
    let mut early = Client::open(server.address).await;
    early.join("/room-1", "").await.unwrap();
    let logs = Logs::collect();
    let _new = rooms.connect(users);
    assert_eq!(logs.with("until they are registered anew").len(), 1, "{:#?}", logs.with(""));
    let mut late = Client::open(server.address).await;
    late.join("/room-1", "").await.unwrap();
    assert_eq!(ask(&mut early, "/room-1", "old").await, json!(["here"]));
    assert_eq!(ask(&mut late, "/room-1", "old").await, internal());
}

#[tokio::test]
async fn a_handle_without_data_reads_whatever_is_remembered() {
    let io = Server::builder().recovery(Recovery::new()).build();
    let logs = Logs::collect();
    let users = io.connect(users);
    io.on("ping", async |_: Socket| "pong");
    users.on("name", async |me: Socket<(), User>| me.data().name.clone());
    let asked = Arc::new(AtomicUsize::new(0));
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("ping", "").await, json!(["pong"]));
    drop(client);
    until("its socket waits", || server.is_empty()).await;
    let counts = Arc::clone(&asked);
    let revoked = server.revoke(move |(): &()| {
        counts.fetch_add(1, Ordering::Relaxed);
        true
    });
    assert_eq!((revoked, asked.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(logs.with("ERROR"), Vec::<String>::new());
    assert_eq!(server.stats().functions_misfit, 0);
}
