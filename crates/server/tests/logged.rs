//! Clients that are lost at one server and come back at another, where an engine keeps the events for all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/memory_log.rs"]
mod memory_log;
mod support;

use std::sync::{Arc, Mutex};

use memory_log::MemoryLog;
use roomful::{Args, Beginning, Hello, NotRecovered, Recovery, Refusal, Server, Socket, SocketId};
use serde_json::{Value, json};
use support::returner::Returner;
use support::{Client, Running, hears_nothing, start, until};

/// How the last socket of a server began.
type Last = Arc<Mutex<Option<Beginning>>>;

async fn server(log: &MemoryLog) -> Running<Last> {
    let recovery = Recovery::new();
    let io = Server::builder().recovery(recovery).adapter(log.clone()).state(Last::default());
    let io = io.build();
    io.on_connect(async |me: Socket<Last>| {
        *me.state().lock().unwrap() = Some(me.recovery());
    });
    io.on("fence", async |_: Socket<Last>| ());
    io.on("echo", async |_: Socket<Last>, args: Args| args);
    io.on("join", async |me: Socket<Last>, room: String| me.join(room));
    io.on("rooms", async |me: Socket<Last>| me.rooms());
    start(io).await
}

fn last(server: &Running<Last>) -> Beginning {
    server.io.state().lock().unwrap().expect("somebody came")
}

async fn cut(server: &Running<Last>, client: Client) {
    drop(client);
    until("the connection gone", || server.stats().connections == 0).await;
}

#[tokio::test]
async fn what_was_missed_comes_once_and_in_order_at_whatever_server() {
    let log = MemoryLog::default();
    let servers = [server(&log).await, server(&log).await];
    let [one, two] = &servers;
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    let id = me.id.clone();
    client.ask("join", "\"den\"").await;
    two.io.emit("before", 1);
    assert_eq!(me.event(&mut client).await, json!(["before", 1]));
    for turn in 0..4 {
        cut(&servers[turn % 2], client).await;
        one.io.emit("all", turn);
        two.io.to("den").emit("den", turn);
        two.io.to("other").emit("other", ());
        one.io.to(&id).emit("mine", turn);
        two.io.except("den").emit("others", ());
        two.io.everyone().volatile().emit("volatile", ());
        one.io.everyone().local().emit("local", ());
        let missed;
        (client, missed) = me.back(servers[(turn + 1) % 2].address).await;
        let expected = [json!(["all", turn]), json!(["den", turn]), json!(["mine", turn])];
        assert_eq!(missed, expected, "{turn}");
        assert_eq!(me.id, id);
        assert_eq!(last(&servers[(turn + 1) % 2]), Beginning::Recovered { missed: 3 });
        two.io.to("den").emit("after", ());
        assert_eq!(me.event(&mut client).await, json!(["after"]));
    }
    assert_eq!(client.ask("rooms", "").await, json!([[id, "den"]]));
    hears_nothing(&mut client).await;
    assert!(log.session().is_none());
}

/// The rooms of the time of each event count, also of those at another server.
#[tokio::test]
async fn a_room_counts_for_what_was_sent_while_the_socket_was_in_it() {
    let log = MemoryLog::default();
    let [one, two] = [server(&log).await, server(&log).await];
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    one.io.emit("first", ());
    me.event(&mut client).await;
    let socket = one.io.socket(SocketId::parse(&me.id).unwrap()).unwrap();
    socket.join("a");
    two.io.to("a").emit("in a", ());
    socket.leave("a");
    two.io.to("a").emit("out of a", ());
    two.io.to("b").emit("not yet in b", ());
    socket.join("b");
    two.io.to("b").emit("in b", ());
    drop(socket);
    // All that came since the first event is lost on its way to the client.
    cut(&one, client).await;
    two.io.to("a").emit("gone", ());
    two.io.to("b").emit("away", ());
    let (_client, missed) = me.back(two.address).await;
    assert_eq!(missed, [json!(["in a"]), json!(["in b"]), json!(["away"])]);
}

#[tokio::test]
async fn a_server_that_comes_later_has_what_was_missed_before() {
    let log = MemoryLog::default();
    let one = server(&log).await;
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    one.io.emit("first", ());
    me.event(&mut client).await;
    cut(&one, client).await;
    one.io.emit("missed", ());
    let two = server(&log).await;
    let (mut client, missed) = me.back(two.address).await;
    assert_eq!(missed, [json!(["missed"])]);
    one.io.emit("live", ());
    assert_eq!(me.event(&mut client).await, json!(["live"]));
}

/// It has had at one server what has not come to the other yet.
#[tokio::test]
async fn a_server_that_is_behind_sends_nothing_twice() {
    let log = MemoryLog::default();
    let [one, two] = [server(&log).await, server(&log).await];
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    log.hold(1);
    for number in 0..3 {
        one.io.emit("number", number);
        assert_eq!(me.event(&mut client).await, json!(["number", number]));
    }
    cut(&one, client).await;
    one.io.emit("missed", ());
    let back = tokio::spawn(async move {
        let (client, missed) = me.back(two.address).await;
        (client, missed, two)
    });
    until("the session taken", || log.session().is_none()).await;
    log.release();
    let (mut client, missed, two) = back.await.unwrap();
    // It comes with what was missed, or behind that as all others.
    match &*missed {
        [] => assert_eq!(client.event().await[0], "missed"),
        missed => assert_eq!(missed, [json!(["missed"])]),
    }
    hears_nothing(&mut client).await;
    drop(two);
}

#[tokio::test]
async fn across_a_gap_nobody_is_recovered_and_the_client_is_told() {
    let log = MemoryLog::default();
    let [one, two] = [server(&log).await, server(&log).await];
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    one.io.emit("first", ());
    me.event(&mut client).await;
    let id = me.id.clone();
    cut(&one, client).await;
    log.gap();
    one.io.emit("behind", ());
    let (client, missed) = me.back(two.address).await;
    assert_ne!(me.id, id);
    assert!(missed.is_empty());
    assert_eq!(last(&two), Beginning::Refused(NotRecovered::Incomplete));
    // What comes behind it is recovered again.
    two.io.emit("second", ());
    let mut client = client;
    me.event(&mut client).await;
    cut(&two, client).await;
    two.io.emit("missed", ());
    assert_eq!(me.back(one.address).await.1, [json!(["missed"])]);
}

/// Who shows the secret and is somebody else neither gets the socket nor takes it from its owner.
#[tokio::test]
async fn a_stranger_with_the_secret_takes_nothing() {
    let log = MemoryLog::default();
    let [one, two] = [server(&log).await, server(&log).await];
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, ",\"token\":\"mine\"").await;
    one.io.emit("first", ());
    me.event(&mut client).await;
    cut(&one, client).await;
    one.io.emit("missed", ());
    let mut stranger = me.clone();
    let (theirs, missed) = stranger.back_with(two.address, ",\"token\":\"theirs\"").await;
    assert!(missed.is_empty() && stranger.id != me.id);
    assert_eq!(last(&two), Beginning::Refused(NotRecovered::Stranger));
    let (_client, missed) = me.back_with(two.address, ",\"token\":\"mine\"").await;
    assert_eq!(missed, [json!(["missed"])]);
    drop(theirs);
}

/// A telephone that changes its network is back before anybody knows that it was gone.
#[tokio::test]
async fn a_connection_that_lives_at_another_server_is_ended_for_the_new_one() {
    let log = MemoryLog::default();
    let [one, two] = [server(&log).await, server(&log).await];
    let mut old = Client::open(one.address).await;
    let mut me = Returner::join(&mut old, "").await;
    one.io.emit("first", ());
    me.event(&mut old).await;
    let mut stranger = me.clone();
    let (theirs, _) = stranger.back_with(two.address, ",\"token\":\"theirs\"").await;
    assert!(stranger.id != me.id && one.stats().connections == 1);
    drop(theirs);
    two.io.emit("not read", ());
    let id = me.id.clone();
    let (mut client, missed) = me.back(two.address).await;
    assert_eq!((&me.id, missed), (&id, vec![json!(["not read"])]));
    until("the old connection gone", || one.stats().connections == 0).await;
    hears_nothing(&mut client).await;
}

#[tokio::test]
async fn an_offset_of_the_future_is_none() {
    let log = MemoryLog::default();
    let [one, two] = [server(&log).await, server(&log).await];
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    one.io.emit("first", ());
    me.event(&mut client).await;
    for offset in ["18446744073709551615-18446744073709551615", "x", "1000-00", ""] {
        cut(&one, client).await;
        me.offset = Some(offset.to_owned());
        let (back, missed) = me.back(two.address).await;
        assert!(missed.is_empty(), "{offset}");
        assert_eq!(last(&two), Beginning::Refused(NotRecovered::Offset), "{offset}");
        cut(&two, back).await;
        client = Client::open(one.address).await;
        me = Returner::join(&mut client, "").await;
        one.io.emit("again", ());
        me.event(&mut client).await;
    }
}

/// What an engine has kept may have been written by anybody.
#[tokio::test]
async fn a_session_that_is_none_brings_a_new_socket() {
    let log = MemoryLog::default();
    let one = server(&log).await;
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    one.io.emit("first", ());
    me.event(&mut client).await;
    cut(&one, client).await;
    let (key, session) = log.session().unwrap();
    let good: Value = serde_json::from_str(&session).unwrap();
    let mut bad = vec!["".to_owned(), "7".to_owned(), "{}".to_owned(), "[".repeat(5_000)];
    for (field, value) in [
        ("sid", json!("short")),
        ("pid", json!("AAAAAAAAAAAAAAAAAAAA")),
        ("rooms", json!({})),
        ("roomful", json!({ "auth": [] })),
    ] {
        let mut session = good.clone();
        session[field] = value;
        bad.push(session.to_string());
    }
    for (field, value) in [
        ("since", json!("x")),
        ("lost", json!("99999999-0")),
        ("stays", json!([{ "room": "a", "from": "-1-0" }])),
        ("over_at_ms", json!(-1)),
    ] {
        let mut session = good.clone();
        session["roomful"][field] = value;
        bad.push(session.to_string());
    }
    for session in bad {
        log.put(&key, &session);
        let mut again = me.clone();
        let (client, missed) = again.back(one.address).await;
        assert!(missed.is_empty() && again.id != me.id, "{session}");
        cut(&one, client).await;
        log.put(&again.pid, "");
    }
    one.is_unharmed().await;
}

/// As an official server writes it, which knows less.
#[tokio::test]
async fn a_session_of_an_official_server_is_one() {
    let log = MemoryLog::default();
    let one = server(&log).await;
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, "").await;
    one.io.emit("first", ());
    me.event(&mut client).await;
    cut(&one, client).await;
    let (key, _) = log.session().unwrap();
    let session = json!({ "sid": me.id, "pid": key, "rooms": [me.id, "den", 42], "data": {} });
    log.put(&key, &session.to_string());
    one.io.to("den").emit("den", ());
    one.io.to("42").emit("number", ());
    one.io.to("other").emit("other", ());
    let id = me.id.clone();
    let (mut client, missed) = me.back(one.address).await;
    assert_eq!((me.id, missed), (id.clone(), vec![json!(["den"]), json!(["number"])]));
    assert_eq!(client.ask("rooms", "").await, json!([[id, "den", "42"]]));
}

struct User {
    name: String,
    score: u32,
}

#[tokio::test]
async fn old_data_come_back_where_the_program_says_how() {
    let log = MemoryLog::default();
    let server = async || {
        let io = Server::builder().recovery(Recovery::new()).adapter(log.clone()).build();
        let game = io.connect(async |hello: Hello| {
            let auth: Value = hello.auth().unwrap_or_default();
            let name = auth["name"].as_str().ok_or_else(|| Refusal::new("who?"))?.to_owned();
            Ok::<_, Refusal>(User { name, score: 0 })
        });
        game.on("fence", async |_: Socket<(), User>| ());
        game.on("score", async |me: Socket<(), User>| me.data().score);
        game.share_data(|user| (user.name.clone(), user.score + 1));
        game.restore_data(|shared| {
            let (name, score) = serde_json::from_value(shared).ok()?;
            Some(User { name, score })
        });
        game.same_visitor(|old, new| old.name == new.name);
        game.carry_over(|old, new| new.score = old.score);
        start(io).await
    };
    let [one, two] = [server().await, server().await];
    let mut client = Client::open(one.address).await;
    let mut me = Returner::join(&mut client, ",\"name\":\"ana\",\"token\":1").await;
    one.io.emit("first", ());
    me.event(&mut client).await;
    let id = me.id.clone();
    drop(client);
    until("the session kept", || log.session().is_some()).await;
    let mut stranger = me.clone();
    let (theirs, _) = stranger.back_with(two.address, ",\"name\":\"bob\",\"token\":1").await;
    assert_ne!(stranger.id, id);
    drop(theirs);
    // Another token, and the same person.
    let (mut client, _) = me.back_with(two.address, ",\"name\":\"ana\",\"token\":2").await;
    assert_eq!(me.id, id);
    assert_eq!(client.ask("score", "").await, json!([1]));
}
