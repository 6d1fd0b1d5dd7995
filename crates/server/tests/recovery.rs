//! Connection state recovery, as a client sees it that knows its rules to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomful::{
    Beginning, Builder, Hello, Namespace, NotRecovered, Recovery, Refusal, Server, Socket,
};
use serde_json::{Value, json};
use support::returner::Returner;
use support::{Client, Running, start, until, within};

/// How the last socket began.
type Last = Arc<Mutex<Option<Beginning>>>;

/// A server that remembers how the last socket began.
struct Stage {
    server: Running<Last>,
    last: Last,
}

impl Deref for Stage {
    type Target = Running<Last>;

    fn deref(&self) -> &Running<Last> {
        &self.server
    }
}

impl Stage {
    async fn new(recovery: Recovery, set: impl FnOnce(Builder) -> Builder) -> Self {
        let last = Last::default();
        let io = set(Server::builder().recovery(recovery)).state(Arc::clone(&last)).build();
        io.on_connect(async |me: Socket<Last>| {
            *me.state().lock().unwrap() = Some(me.recovery());
        });
        io.on("fence", async |_: Socket<Last>| ());
        io.on("join", async |me: Socket<Last>, room: String| me.join(room));
        io.on("leave", async |me: Socket<Last>, room: String| me.leave(room));
        io.on("rooms", async |me: Socket<Last>| me.rooms());
        io.on("kick", async |me: Socket<Last>| me.disconnect());
        Self { server: start(io).await, last }
    }

    fn last(&self) -> Beginning {
        self.last.lock().unwrap().expect("somebody came")
    }

    /// The offset of an event.
    async fn an_offset(&self) -> String {
        let mut client = Client::open(self.address).await;
        let mut me = Returner::join(&mut client, "").await;
        self.io.emit("event", ());
        me.event(&mut client).await;
        self.cut(client).await;
        me.offset.expect("an offset")
    }

    /// Ends a connection without a word, and waits until the server has seen it.
    async fn cut(&self, client: Client) {
        drop(client);
        until("the connection gone", || self.stats().connections == 0).await;
    }
}

async fn started() -> Stage {
    Stage::new(Recovery::new(), |builder| builder).await
}

#[tokio::test]
async fn a_client_that_comes_back_has_its_id_its_rooms_and_what_it_missed() {
    let server = started().await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    let id = me.id.clone();
    client.ask("join", "\"den\"").await;
    server.io.emit("before", 1);
    assert_eq!(me.event(&mut client).await, json!(["before", 1]));
    server.cut(client).await;
    server.io.emit("all", ());
    server.io.to("den").emit("den", ("two", 2));
    server.io.to("other").emit("other", ());
    server.io.to(&id).emit("mine", true);
    server.io.except("den").emit("others", ());
    server.io.everyone().volatile().emit("volatile", ());
    let (mut client, missed) = me.back(server.address).await;
    assert_eq!(missed, [json!(["all"]), json!(["den", "two", 2]), json!(["mine", true])]);
    assert_eq!((&me.id, server.last()), (&id, Beginning::Recovered { missed: 3 }));
    let rooms = client.ask("rooms", "").await;
    assert_eq!(rooms, json!([[id, "den"]]));
    server.io.to("den").emit("after", ());
    assert_eq!(me.event(&mut client).await, json!(["after"]));
    assert_eq!(server.stats().recovered, 1);
}

#[tokio::test]
async fn who_was_sent_nothing_yet_comes_back_too() {
    let server = started().await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    server.cut(client).await;
    server.io.emit("first", ());
    let (_client, missed) = me.back(server.address).await;
    assert_eq!(missed, [json!(["first"])]);
}

#[tokio::test]
async fn nothing_comes_twice_however_often_a_client_comes_back() {
    let server = started().await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    let mut heard = Vec::new();
    for round in 0..5 {
        server.io.emit("there", round);
        heard.push(me.event(&mut client).await);
        server.cut(client).await;
        server.io.emit("away", round);
        let missed;
        (client, missed) = me.back(server.address).await;
        heard.extend(missed);
    }
    let rounds = (0..5).flat_map(|n| [json!(["there", n]), json!(["away", n])]);
    assert_eq!(heard, rounds.collect::<Vec<_>>());
}

/// An official client shows the offset of the last event that it was ever sent, even by a server that
/// is no more. It must not be taken for one of this server's.
#[tokio::test]
async fn an_offset_of_another_time_is_none() {
    let server = started().await;
    let old = server.an_offset().await;
    let elsewhere = started().await.an_offset().await;
    for stale in [&old, &elsewhere] {
        let mut client = Client::open(server.address).await;
        let mut me = Returner::join(&mut client, "").await;
        server.cut(client).await;
        server.io.emit("missed", ());
        me.offset = Some(stale.clone());
        let (client, missed) = me.back(server.address).await;
        assert_eq!(missed, [json!(["missed"])], "{stale}");
        server.cut(client).await;
    }
}

/// An official client takes any text at the end of an event for an offset.
#[tokio::test]
async fn a_text_at_the_end_of_a_volatile_event_is_no_wrong_offset() {
    let server = started().await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    server.io.emit("kept", "text");
    server.io.everyone().volatile().emit("volatile", "text");
    server.io.everyone().volatile().emit("volatile", ());
    assert_eq!(me.event(&mut client).await, json!(["kept", "text"]));
    assert_eq!(me.event(&mut client).await, json!(["volatile", "text"]));
    assert_eq!(me.event(&mut client).await, json!(["volatile"]));
    server.cut(client).await;
    server.io.emit("missed", ());
    assert_eq!(me.back(server.address).await.1, [json!(["missed"])]);
}

#[tokio::test]
async fn who_was_put_out_or_has_left_does_not_come_back() {
    let server = started().await;
    for (event, goodbye) in [("2[\"kick\"]", true), ("1", false)] {
        let mut client = Client::open(server.address).await;
        let mut me = Returner::join(&mut client, "").await;
        let id = me.id.clone();
        client.send(event).await;
        if goodbye {
            assert_eq!(client.next().await.kind, 1);
        }
        server.cut(client).await;
        let (client, _) = me.back(server.address).await;
        assert_ne!(me.id, id);
        assert_eq!(server.last(), Beginning::Refused(NotRecovered::Unknown));
        server.cut(client).await;
    }
}

#[tokio::test]
async fn made_up_claims_are_new_sockets() {
    let server = started().await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    server.io.emit("event", ());
    me.event(&mut client).await;
    server.cut(client).await;
    let stranger = Returner { pid: "AAAAAAAAAAAAAAAAAAAA".into(), ..me.clone() };
    let socket_id = Returner { pid: me.id.clone(), ..me.clone() };
    for mut forged in [stranger, socket_id] {
        let (client, missed) = forged.back(server.address).await;
        assert_eq!(missed, Vec::<Value>::new());
        assert_ne!(forged.id, me.id);
        assert_eq!(server.last(), Beginning::Refused(NotRecovered::Unknown));
        server.cut(client).await;
    }
    let mark = server.an_offset().await[..4].to_owned();
    let beyond =
        [format!("{mark}9999"), format!("{mark}99999999999999999999"), format!("{mark}-1")];
    let others = ["", "hello", "1", "-1", "\\u0000", "１"].map(str::to_owned);
    for made_up in beyond.into_iter().chain(others) {
        let mut client = Client::open(server.address).await;
        let mut honest = Returner::join(&mut client, "").await;
        server.io.emit("event", ());
        honest.event(&mut client).await;
        server.cut(client).await;
        let id = honest.id.clone();
        let mut forged = Returner { offset: Some(made_up.clone()), ..honest };
        let (client, missed) = forged.back(server.address).await;
        assert_ne!(forged.id, id, "{made_up}");
        assert_eq!(missed, Vec::<Value>::new());
        let why = Beginning::Refused(NotRecovered::Offset);
        assert_eq!(server.last(), why, "{made_up}");
        server.cut(client).await;
    }
    assert_eq!(server.stats().recovered, 0);
}

#[tokio::test]
async fn odd_claims_are_no_claims() {
    let server = started().await;
    let claims = [
        r#"{"pid":null}"#,
        r#"{"pid":{"a":1},"offset":[]}"#,
        r#"{"pid":"x","offset":"1"}"#,
        r#"{"pid":["AAAAAAAAAAAAAAAAAAAA"]}"#,
        r#"{"offset":"1"}"#,
        r#"{"pid":"AAAAAAAAAAAAAAAAAAA.","offset":"1"}"#,
    ];
    for claim in claims {
        let mut client = Client::open(server.address).await;
        client.join("/", claim).await.expect(claim);
        assert_eq!(server.last(), Beginning::New, "{claim}");
    }
}

#[tokio::test]
async fn a_room_is_heard_from_when_it_was_joined_until_it_was_left() {
    let server = started().await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    server.io.to("late").emit("before joining", ());
    client.ask("join", "\"late\"").await;
    client.ask("join", "\"left\"").await;
    // Its client has not read it when the connection is lost: it was sent, and is missed.
    server.io.to("left").emit("while there", ());
    client.send("2[\"leave\",\"left\"]").await;
    until("the room left", || server.ids(|io| io.to("left")).is_empty()).await;
    server.io.to("left").emit("after leaving", ());
    server.io.except("left").emit("not to left", ());
    server.io.except("late").emit("not to late", ());
    server.cut(client).await;
    server.io.to("left").emit("after all", ());
    server.io.to("late").to("left").emit("to both", ());
    let missed = me.back(server.address).await.1;
    assert_eq!(missed, [json!(["while there"]), json!(["not to left"]), json!(["to both"])]);
}

#[tokio::test]
async fn an_old_connection_that_never_ended_is_ended_for_the_new_one() {
    let server = started().await;
    let mut old = Client::open(server.address).await;
    let mut me = Returner::join(&mut old, "").await;
    let id = me.id.clone();
    server.io.emit("unread", ());
    let (mut client, missed) = me.back(server.address).await;
    assert_eq!((&me.id, missed), (&id, vec![json!(["unread"])]));
    assert_eq!(old.event().await[0], "unread");
    assert_eq!(within(old.try_next()).await, None, "the old connection is over");
    server.io.emit("after", ());
    assert_eq!(me.event(&mut client).await, json!(["after"]));
    assert_eq!(server.len(), 1);
}

#[tokio::test]
async fn a_log_that_does_not_reach_back_is_told() {
    let recovery = Recovery::builder().events_max(10).build();
    let server = Stage::new(recovery, |builder| builder).await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    server.cut(client).await;
    (0..11).for_each(|n| server.io.emit("many", n));
    let (client, missed) = me.back(server.address).await;
    assert_eq!(missed, Vec::<Value>::new());
    assert_eq!(server.last(), Beginning::Refused(NotRecovered::Incomplete));
    server.cut(client).await;
    (0..10).for_each(|n| server.io.emit("few", n));
    assert_eq!(me.back(server.address).await.1.len(), 10);
}

#[tokio::test]
async fn a_window_without_an_end_is_no_panic() {
    let recovery = Recovery::builder().window(Duration::MAX).build();
    let server = Stage::new(recovery, |builder| builder).await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    server.cut(client).await;
    server.io.emit("missed", ());
    assert_eq!(me.back(server.address).await.1, [json!(["missed"])]);
}

/// How long an event is kept is the sum of them and of the window.
#[tokio::test]
async fn pings_without_an_end_are_no_panic() {
    const MAX: Duration = Duration::MAX;
    for (interval, timeout) in [(MAX, Duration::from_secs(20)), (MAX, MAX)] {
        let set = |builder: Builder| builder.ping_interval(interval).ping_timeout(timeout);
        let server = Stage::new(Recovery::new(), set).await;
        let mut client = Client::open(server.address).await;
        let mut me = Returner::join(&mut client, "").await;
        server.cut(client).await;
        server.io.emit("missed", ());
        assert_eq!(me.back(server.address).await.1, [json!(["missed"])]);
    }
}

/// What went to others may be forgotten: only what was for this socket can be missed by it.
#[tokio::test]
async fn a_quiet_socket_comes_back_though_the_log_was_trimmed() {
    let recovery = Recovery::builder().events_max(10).build();
    let server = Stage::new(recovery, |builder| builder).await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    server.io.emit("first", ());
    assert_eq!(me.event(&mut client).await, json!(["first"]));
    (0..100).for_each(|n| server.io.to("elsewhere").emit("many", n));
    server.cut(client).await;
    server.io.emit("missed", ());
    assert_eq!(me.back(server.address).await.1, [json!(["missed"])]);
}

#[tokio::test]
async fn bytes_are_bounded_and_more_than_an_outbox_is_not_sent() {
    let recovery = Recovery::builder().bytes_max(100_000).build();
    let server = Stage::new(recovery, |builder| builder.outbox_bytes_max(60_000)).await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    server.cut(client).await;
    (0..8).for_each(|_| server.io.emit("big", "x".repeat(10_000)));
    let (client, missed) = me.back(server.address).await;
    assert_eq!(missed, Vec::<Value>::new());
    assert_eq!(server.last(), Beginning::Refused(NotRecovered::TooMuch));
    server.cut(client).await;
    (0..12).for_each(|_| server.io.emit("big", "x".repeat(10_000)));
    me.back(server.address).await;
    assert_eq!(server.last(), Beginning::Refused(NotRecovered::Incomplete));
}

#[tokio::test]
async fn a_second_server_with_the_same_recovery_takes_over() {
    let recovery = Recovery::new();
    let first = Stage::new(recovery.clone(), |builder| builder).await;
    let second = Stage::new(recovery, |builder| builder).await;
    let mut client = Client::open(first.address).await;
    let mut me = Returner::join(&mut client, "").await;
    let id = me.id.clone();
    client.ask("join", "\"den\"").await;
    first.io.emit("heard", ());
    me.event(&mut client).await;
    first.io.to("den").emit("unread", ());
    // What arrives from now on is lost on the way.
    let read_on = async move { client.ws.close_code().await };
    assert_eq!(tokio::join!(first.io.close(), read_on).1, Some(1001));
    second.io.to("den").emit("between", ());
    first.io.to("den").emit("by the first", ());
    let (mut client, missed) = me.back(second.address).await;
    assert_eq!(
        (&me.id, missed),
        (&id, vec![json!(["unread"]), json!(["between"]), json!(["by the first"])])
    );
    assert_eq!(client.ask("rooms", "").await, json!([[id, "den"]]));
}

#[tokio::test]
async fn servers_that_share_a_recovery_are_one_to_events() {
    let recovery = Recovery::new();
    let first = Stage::new(recovery.clone(), |builder| builder).await;
    let second = Stage::new(recovery, |builder| builder).await;
    let mut clients = [Client::open(first.address).await, Client::open(second.address).await];
    for client in &mut clients {
        Returner::join(client, "").await;
        client.ask("join", "\"den\"").await;
    }
    assert_eq!(first.io.to("den").try_emit("one", ()).unwrap().local, 2);
    assert_eq!(second.io.everyone().volatile().try_emit("two", ()).unwrap().local, 2);
    for client in &mut clients {
        assert_eq!(client.event().await[0], "one");
        assert_eq!(client.event().await[0], "two");
    }
}

// Who comes back.

#[derive(serde::Deserialize)]
struct Login {
    user: String,
    token: String,
}

struct User {
    name: String,
    events: AtomicUsize,
}

async fn enter(hello: Hello) -> Result<User, Refusal> {
    let login: Login = hello.auth()?;
    match login.token.strip_prefix("valid") {
        Some(_) => Ok(User { name: login.user, events: AtomicUsize::new(0) }),
        None => Err("not allowed".into()),
    }
}

/// A server on which each socket counts, and tells who it is and how often it was asked.
async fn guarded(recovery: Recovery, hook: bool) -> Running {
    start(guard(recovery, hook).0).await
}

fn guard(recovery: Recovery, hook: bool) -> (Server, Namespace<(), User>) {
    let io = Server::builder().recovery(recovery).build();
    let users = (*io).clone().connect(enter);
    if hook {
        users.same_visitor(|old, new| old.name == new.name);
    }
    users.carry_over(|old, new| *new.events.get_mut() = old.events.load(Ordering::SeqCst));
    users.on("fence", async |_: Socket<(), User>| ());
    users.on("who", async |me: Socket<(), User>| {
        let asked = me.data().events.fetch_add(1, Ordering::SeqCst);
        (me.data().name.clone(), asked)
    });
    (io, users)
}

const ANN: &str = ",\"user\":\"ann\",\"token\":\"valid 1\"";
const ANN_AGAIN: &str = ",\"user\":\"ann\",\"token\":\"valid 2\"";
const BOB: &str = ",\"user\":\"bob\",\"token\":\"valid 1\"";

async fn lost(server: &Running) -> Returner {
    let mut client = Client::open(server.address).await;
    let me = Returner::join(&mut client, ANN).await;
    assert_eq!(client.ask("who", "").await, json!(["ann", 0]));
    drop(client);
    until("the socket gone", || server.is_empty()).await;
    server.io.emit("private", ());
    me
}

#[tokio::test]
async fn data_comes_back_with_the_same_auth_payload() {
    let server = guarded(Recovery::new(), false).await;
    let mut me = lost(&server).await;
    let (mut client, missed) = me.back_with(server.address, ANN).await;
    assert_eq!(missed, [json!(["private"])]);
    assert_eq!(client.ask("who", "").await, json!(["ann", 1]));
}

#[tokio::test]
async fn another_auth_payload_gets_a_new_socket() {
    let server = guarded(Recovery::new(), false).await;
    for auth in [ANN_AGAIN, BOB] {
        let me = lost(&server).await;
        let mut other = me.clone();
        let (mut client, missed) = other.back_with(server.address, auth).await;
        assert_eq!(missed, Vec::<Value>::new());
        assert_ne!(other.id, me.id);
        assert_eq!(client.ask("who", "").await[1], 0);
        drop(client);
        until("the socket gone", || server.is_empty()).await;
    }
    assert_eq!(server.stats().recoveries_refused, 2);
}

#[tokio::test]
async fn a_hook_decides_who_is_the_same() {
    let server = guarded(Recovery::new(), true).await;
    let mut me = lost(&server).await;
    let mut bob = me.clone();
    let (mut client, missed) = bob.back_with(server.address, BOB).await;
    assert_eq!(missed, Vec::<Value>::new());
    assert_eq!(client.ask("who", "").await, json!(["bob", 0]));
    drop(client);
    let (mut client, missed) = me.back_with(server.address, ANN_AGAIN).await;
    assert_eq!(missed, [json!(["private"])], "a new token, the same user");
    assert_eq!(client.ask("who", "").await, json!(["ann", 1]));
}

#[tokio::test]
async fn who_is_not_let_in_has_not_lost_the_socket() {
    let server = guarded(Recovery::new(), true).await;
    let mut me = lost(&server).await;
    let mut client = Client::open(server.address).await;
    client.send(&me.claim(",\"user\":\"ann\",\"token\":\"expired\"")).await;
    assert_eq!(client.next().await.data["message"], "not allowed");
    client.send(&me.claim(",\"user\":7")).await;
    assert_eq!(client.next().await.kind, 4);
    let (_client, missed) = me.back_with(server.address, ANN_AGAIN).await;
    assert_eq!(missed, [json!(["private"])]);
}

#[tokio::test]
async fn what_was_revoked_does_not_come_back() {
    let (io, users) = guard(Recovery::new(), true);
    let server = start(io).await;
    let mut me = lost(&server).await;
    assert_eq!(users.revoke(|user| user.name == "bob"), 0);
    assert_eq!(users.revoke(|user| user.name == "ann"), 1);
    let id = me.id.clone();
    let (_client, missed) = me.back_with(server.address, ANN).await;
    assert_ne!(me.id, id);
    assert_eq!(missed, Vec::<Value>::new());
}

#[tokio::test]
async fn connect_is_skipped_only_by_choice_and_only_for_the_same_payload() {
    let server = guarded(Recovery::builder().skip_connect(true).build(), false).await;
    let mut me = lost(&server).await;
    // The function knows no other server, so that it was not asked shows in what it would make anew.
    let (mut client, _) = me.back_with(server.address, ANN).await;
    assert_eq!(client.ask("who", "").await, json!(["ann", 1]));
    drop(client);
    until("the socket gone", || server.is_empty()).await;
    let mut client = Client::open(server.address).await;
    client.send(&me.claim(",\"user\":\"ann\",\"token\":\"expired\"")).await;
    assert_eq!(client.next().await.kind, 4, "another payload is asked");
}

/// Else whoever shows an offset that is none would come in as who it was, and `connect` would not know.
#[tokio::test]
async fn who_skips_connect_gets_its_socket_back_or_is_asked() {
    let server = guarded(Recovery::builder().skip_connect(true).build(), false).await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, ANN).await;
    let id = me.id.clone();
    assert_eq!(client.ask("who", "").await, json!(["ann", 0]));
    server.io.emit("had", ());
    assert_eq!(me.event(&mut client).await, json!(["had"]));
    drop(client);
    until("the socket gone", || server.is_empty()).await;
    me.offset = Some("none of this server".to_owned());
    let (mut client, missed) = me.back_with(server.address, ANN).await;
    assert_eq!((missed, me.id == id), (Vec::new(), false));
    assert_eq!(client.ask("who", "").await, json!(["ann", 0]), "new data, not that of before");
}

#[tokio::test]
async fn who_skips_connect_does_not_outlive_its_time() {
    let (io, users) = guard(Recovery::builder().skip_connect(true).build(), false);
    users.on("token", async |me: Socket<(), User>, ms: u64| {
        me.expire_after(Duration::from_millis(ms));
    });
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, ANN).await;
    let id = me.id.clone();
    client.ask("who", "").await;
    client.ask("token", "200").await;
    drop(client);
    until("the socket gone", || server.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(201)).await;
    let (mut client, _) = me.back_with(server.address, ANN).await;
    assert_ne!(me.id, id);
    assert_eq!(client.ask("who", "").await, json!(["ann", 0]), "new data, not that of before");
}

/// What was remembered gives way to what `connect` has just made, and its end is a function of the user's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_give_way_are_dropped_without_a_lock() {
    struct Guest(Server);
    impl Drop for Guest {
        fn drop(&mut self) {
            self.0.emit("a guest has gone", ());
        }
    }
    let io = Server::builder().recovery(Recovery::new()).build();
    let guests = (*io).clone().connect({
        let io = io.clone();
        move |_: Hello| {
            let guest = Guest(io.clone());
            async move { Ok::<_, Refusal>(guest) }
        }
    });
    guests.on("fence", async |_: Socket<(), Guest>| ());
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let mut me = Returner::join(&mut client, "").await;
    drop(client);
    until("the socket gone", || server.is_empty()).await;
    let (_client, missed) = within(me.back(server.address)).await;
    assert!(missed.len() <= 1, "{missed:?}");
}

#[tokio::test]
async fn without_recovery_nothing_is_added_to_anything() {
    let server = start(Server::new()).await;
    let mut client = Client::open(server.address).await;
    client.send(r#"0{"pid":"AAAAAAAAAAAAAAAAAAAA","offset":"1"}"#).await;
    let packet = client.next().await;
    assert_eq!(packet.data.as_object().unwrap().len(), 1, "{packet:?}");
    server.io.emit("plain", 1);
    assert_eq!(client.event().await, json!(["plain", 1]));
    assert_eq!(server.stats().recoveries_refused, 0);
}
