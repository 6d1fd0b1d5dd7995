//! Sockets that may stay for a time only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use roomful::{Args, Hello, Reason, Recovery, Refusal, Server, Socket};
use serde_json::{Value, json};
use support::*;
use tokio::sync::Notify;

/// So long that it is not over while a test runs.
const LONG: Duration = Duration::from_secs(3_600);
/// Over as soon as anybody looks.
const SHORT: Duration = Duration::from_millis(5);

type Reasons = Arc<Mutex<Vec<Reason>>>;

/// A server that notes why sockets leave. Sockets of `/` may stay for `life`.
fn server(io: Server, life: Duration) -> (Server, Reasons) {
    let reasons = Reasons::default();
    let list = Arc::clone(&reasons);
    io.on("echo", async |_: Socket, args: Args| args);
    io.on("token", async |me: Socket, ms: u64| me.expire_after(Duration::from_millis(ms)));
    io.on_connect(move |me: Socket| {
        me.expire_after(life);
        async {}
    });
    io.on_disconnect(move |_: Socket, reason| {
        list.lock().push(reason);
        async {}
    });
    (io, reasons)
}

/// The next packet is that the server has taken it out of `/`.
async fn leaves(client: &mut Client) {
    let packet = client.next().await;
    assert_eq!((packet.kind, packet.namespace.as_str()), (1, "/"), "{packet:?}");
}

#[tokio::test]
async fn a_socket_whose_time_is_over_leaves_its_namespace_and_no_other() {
    let (io, reasons) = server(Server::new(), SHORT);
    io.of("/other").on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = server.client().await;
    leaves(&mut client).await;
    until("it has left", || server.is_empty()).await;
    client.join("/other", "").await.unwrap();
    client.send("2/other,7[\"echo\",1]").await;
    assert_eq!(client.next().await.data, json!([1]));
    assert_eq!(*reasons.lock(), [Reason::Expired]);
    assert_eq!((Reason::Expired.as_str(), server.stats().expired), ("expired", 1));
    // It may come in again.
    client.id = client.join("/", "").await.unwrap();
    leaves(&mut client).await;
}

#[tokio::test]
async fn a_client_that_polls_is_told_too() {
    let (io, reasons) = server(Server::new(), SHORT);
    let server = start(io).await;
    let poller = server.poller().await;
    assert_eq!(poller.post("40").await.text(), "ok");
    // It may be over before the first poll: then the poll has both.
    let mut polled = poller.get().await.text().to_owned();
    if !polled.ends_with("41") {
        polled += poller.get().await.text();
    }
    assert!(polled.starts_with("40{\"sid\"") && polled.ends_with("41"), "{polled}");
    until("it has left", || *reasons.lock() == [Reason::Expired]).await;
}

#[tokio::test]
async fn a_later_call_takes_the_place_of_an_earlier_one() {
    let (io, reasons) = server(Server::new(), Duration::MAX);
    let last = io.of("/last");
    last.on_connect(async |me: Socket| me.expire_after(SHORT));
    io.on("longer", async |me: Socket| {
        me.expire_after(SHORT);
        me.expire_after(LONG);
    });
    io.on("keep", async |me: Socket| {
        me.expire_after(SHORT);
        me.keep();
    });
    let server = start(io).await;
    for event in ["longer", "keep"] {
        let mut client = server.client().await;
        let me = socket_of(&server, &client);
        assert!(me.expires_in().unwrap() > LONG, "longer than anybody lives");
        client.ask(event, "").await;
        // What is over later is over, and the first is still here.
        client.join("/last", "").await.unwrap();
        assert_eq!(client.next().await.namespace, "/last");
        assert_eq!(client.ask("echo", "1").await, json!([1]));
        let left = me.expires_in();
        assert_eq!(left.is_some_and(|left| left > LONG / 2), event == "longer", "{left:?}");
        // And it can be made shorter.
        client.emit("token", "1").await;
        leaves(&mut client).await;
    }
    until("told", || *reasons.lock() == [Reason::Expired; 2]).await;
}

/// A server that tells its client when its time is over, and waits at a gate before it looks.
fn asking(io: Server) -> (Server, Reasons, Arc<Notify>) {
    let (io, reasons) = server(io, SHORT);
    let gate = Arc::new(Notify::new());
    let open = Arc::clone(&gate);
    io.on_expire(move |me: Socket| {
        let open = Arc::clone(&open);
        async move {
            me.emit("expired", me.expires_in().unwrap().as_millis() as u64);
            open.notified().await;
        }
    });
    (io, reasons, gate)
}

/// As the documentation of `expire_after` shows it.
#[tokio::test]
async fn a_token_of_the_auth_payload_lets_in_and_says_for_how_long() {
    #[derive(serde::Deserialize)]
    struct Login {
        token: String,
    }
    async fn enter(hello: Hello) -> Result<Duration, Refusal> {
        let login: Login = hello.auth()?;
        login.token.parse().map(Duration::from_secs).map_err(|_| Refusal::new("who are you?"))
    }
    let io = Server::new();
    let chat = io.connect(enter);
    chat.on_connect(async |me: Socket<(), Duration>| me.expire_after(*me.data()));
    chat.on("life", async |me: Socket<(), Duration>| me.expires_in().unwrap() > LONG / 2);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let refused = client.join("/", r#"{"token":"ada"}"#).await;
    assert_eq!(refused, Err(json!({"message": "who are you?"})));
    let refused = client.join("/", "").await.unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("missing field `token`"), "{refused}");
    client.join("/", &format!(r#"{{"token":"{}"}}"#, LONG.as_secs())).await.unwrap();
    assert_eq!(client.ask("life", "").await, json!([true]));
}

#[tokio::test]
async fn a_client_renews_its_token_by_an_event_of_its_own() {
    let (io, reasons, gate) = asking(Server::new());
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.event().await, json!(["expired", 0]));
    assert_eq!(client.ask("echo", "1").await, json!([1]), "it is served meanwhile");
    client.ask("token", "3600000").await;
    gate.notify_one();
    // The second is over at once, and asked about anew.
    let mut second = server.client().await;
    assert_eq!(second.event().await, json!(["expired", 0]));
    gate.notify_one();
    leaves(&mut second).await;
    assert_eq!(client.ask("echo", "2").await, json!([2]));
    client.ask("token", "1").await;
    assert_eq!(client.event().await, json!(["expired", 0]), "each time");
    gate.notify_one();
    leaves(&mut client).await;
    until("told", || *reasons.lock() == [Reason::Expired; 2]).await;
    assert_eq!(server.stats().expired, 2);
}

/// The first function waits while the time that its socket was given meanwhile is over too.
#[tokio::test]
async fn the_end_of_an_old_question_ends_no_newer_one() {
    let (io, reasons) = server(Server::builder().expiry_timeout(LONG).build(), SHORT);
    let gate = Arc::new(Notify::new());
    let (open, count) = (Arc::clone(&gate), Arc::new(AtomicUsize::new(0)));
    io.on_expire(move |me: Socket| {
        let (open, nth) = (Arc::clone(&open), count.fetch_add(1, Ordering::Relaxed));
        async move {
            me.emit("asked", nth);
            match nth {
                0 => open.notified().await,
                _ => std::future::pending().await,
            }
            me.emit("ended", nth);
        }
    });
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.event().await, json!(["asked", 0]));
    client.emit("token", "1").await;
    assert_eq!(client.event().await, json!(["asked", 1]));
    gate.notify_one();
    assert_eq!(client.event().await, json!(["ended", 0]));
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    client.ask("token", "3600000").await;
    assert_eq!(client.ask("echo", "2").await, json!([2]));
    assert_eq!(*reasons.lock(), []);
}

#[tokio::test]
async fn the_function_can_ask_the_client() {
    let (io, reasons) = server(Server::new(), SHORT);
    io.on_expire(async |me: Socket| {
        if me.call("renew", ()).await.is_ok_and(|renews: bool| renews) {
            me.keep();
        }
    });
    let server = start(io).await;
    for renews in [true, false] {
        let mut client = server.client().await;
        let question = client.next().await;
        assert_eq!(question.data, json!(["renew"]));
        client.send(&format!("3{}[{renews}]", question.ack.unwrap())).await;
        if renews {
            assert_eq!(client.ask("echo", "1").await, json!([1]));
            assert_eq!(socket_of(&server, &client).expires_in(), None);
        } else {
            leaves(&mut client).await;
        }
    }
    until("told", || reasons.lock().contains(&Reason::Expired)).await;
    assert_eq!(server.stats().expired, 1);
}

#[tokio::test]
async fn a_function_that_does_not_end_is_not_waited_for_longer_than_it_has_time() {
    let io = Server::builder().expiry_timeout(SHORT).build();
    let (io, reasons, _gate) = asking(io);
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.event().await, json!(["expired", 0]));
    leaves(&mut client).await;
    until("told", || *reasons.lock() == [Reason::Expired]).await;
}

#[tokio::test]
async fn a_function_that_panics_lets_nobody_stay() {
    for waits in [false, true] {
        let (io, reasons) = server(Server::new(), SHORT);
        io.on_expire(move |_: Socket| async move {
            if waits {
                tokio::task::yield_now().await;
            }
            panic!("of the user's");
        });
        let server = start(io).await;
        let mut client = server.client().await;
        leaves(&mut client).await;
        until("it has left", || reasons.lock().len() == 1).await;
        assert_eq!(server.stats().panics, 1);
    }
}

/// Comes in as who shows `pid`, if that is one; gives what it is now.
async fn enter(server: &Running, pid: &Value) -> (Client, Value) {
    let mut client = Client::open(server.address).await;
    let pid = if pid.is_null() { String::new() } else { format!("\"pid\":{pid},") };
    client.send(&format!("0{{{pid}\"none\":0}}")).await;
    let joined = client.next().await.data;
    client.id = joined["sid"].as_str().unwrap().to_owned();
    (client, joined)
}

#[tokio::test]
async fn what_is_over_does_not_come_back_and_what_comes_back_has_what_is_left() {
    let io = Server::builder().recovery(Recovery::new()).build();
    io.on("token", async |me: Socket, ms: u64| me.expire_after(Duration::from_millis(ms)));
    let server = start(io).await;
    let lost = async || until("lost", || server.is_empty()).await;

    let (mut client, first) = enter(&server, &Value::Null).await;
    client.ask("token", "3600000").await;
    drop(client);
    lost().await;
    let (mut client, second) = enter(&server, &first["pid"]).await;
    assert_eq!(first["sid"], second["sid"], "its own");
    let left = socket_of(&server, &client).expires_in().unwrap();
    assert!(left <= LONG && left > LONG / 2, "{left:?}");

    // Over while it is connected.
    client.emit("token", "1").await;
    leaves(&mut client).await;
    drop(client);
    lost().await;
    let (mut client, third) = enter(&server, &second["pid"]).await;
    assert_ne!(third["sid"], second["sid"]);
    assert_eq!(socket_of(&server, &client).expires_in(), None);

    // Over while it is away.
    client.ask("token", "100").await;
    drop(client);
    lost().await;
    tokio::time::sleep(Duration::from_millis(101)).await;
    let (_, fourth) = enter(&server, &third["pid"]).await;
    assert_ne!(fourth["sid"], third["sid"]);
}
