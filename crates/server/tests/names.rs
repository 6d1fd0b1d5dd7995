//! Whose a namespace is: no way leads round the `connect` function of the parent that stands for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/logs.rs"]
mod logs;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use logs::Logs;
use roomful::{Hello, MsgPack, Namespace, Recovery, Refusal, Server, Socket};
use roomful_proto::ws::Message;
use serde_json::{Value, json};
use support::*;

fn no() -> Result<String, Value> {
    Err(json!({ "message": "no" }))
}

fn invalid() -> Result<String, Value> {
    Err(json!({ "message": "Invalid namespace" }))
}

async fn refuses(_: Hello) -> Result<(), Refusal> {
    Err(Refusal::new("no"))
}

/// Lets in who knows the word.
async fn asks(hello: Hello) -> Result<(), Refusal> {
    let auth: Value = hello.auth().unwrap_or_default();
    (auth["token"] == "letmein").then_some(()).ok_or(Refusal::new("no"))
}

const TOKEN: &str = r#"{"token":"letmein"}"#;

/// A pattern that refuses who does not know the word, and answers `who`.
fn tenants(io: &Server) -> Namespace {
    let tenants = io.of_pattern("/dyn-{id}").connect(asks);
    tenants.on("who", async |me: Socket| me.param("id").map(str::to_owned));
    tenants
}

async fn who(client: &mut Client, namespace: &str) -> Value {
    client.send(&format!("2{namespace},1[\"who\"]")).await;
    client.next().await.data
}

#[tokio::test]
async fn a_name_that_the_program_asks_for_first_has_the_door_of_its_pattern() {
    let io = Server::new();
    let tenants = tenants(&io);
    io.of("/dyn-5").emit("x", ());
    let server = start(io).await;
    assert!(server.find("/dyn-5").is_none(), "it ended with its only user");
    let handle = server.of("dyn-5");
    assert_eq!((handle.param("id"), tenants.children().len()), (Some("5"), 1));
    let mut client = Client::open(server.address).await;
    assert_eq!(client.join("/dyn-5", "").await, no());
    client.join("/dyn-5", TOKEN).await.unwrap();
    assert_eq!(who(&mut client, "/dyn-5").await, json!(["5"]));
    handle.emit("y", 1);
    assert_eq!(client.next().await.data, json!(["y", 1]));
    client.send("1/dyn-5,").await;
    until("it is empty", || handle.is_empty()).await;
    drop(handle);
    assert!(server.find("/dyn-5").is_none());
}

#[tokio::test]
async fn a_name_that_was_there_before_its_pattern_gets_the_door_with_it() {
    let io = Server::new();
    let handle = io.of("/dyn-5");
    io.of("/dyn-6").emit("x", ());
    let server = start(io).await;
    // While nobody stands for them, they are for everybody.
    let mut early = Client::open(server.address).await;
    early.join("/dyn-5", "").await.unwrap();
    let tenants = tenants(&server);
    let mut client = Client::open(server.address).await;
    for name in ["/dyn-5", "/dyn-6"] {
        assert_eq!(client.join(name, "").await, no());
    }
    assert_eq!((handle.param("id"), tenants.children().len()), (Some("5"), 1));
    client.join("/dyn-5", TOKEN).await.unwrap();
    assert_eq!(who(&mut client, "/dyn-5").await, json!(["5"]));
    handle.emit("y", 1);
    assert_eq!(client.next().await.data, json!(["y", 1]));
    assert_eq!(early.next().await.data, json!(["y", 1]));
}

#[tokio::test]
async fn a_name_that_a_function_may_stand_for_lets_nobody_in_by_itself() {
    let io = Server::new();
    let logs = Logs::collect();
    let handle = io.of("/fn-1");
    let functions = io.of_matching(async |hello: Hello| {
        let auth: Value = hello.auth().unwrap_or_default();
        hello.namespace().starts_with("/fn-") && auth["want"] == true
    });
    let functions = functions.connect(asks);
    functions.on("who", async |_: Socket| "a child");
    let later = io.of("/fn-2");
    io.of("/fn-3").emit("x", ());
    assert!(io.find("/fn-3").is_none());
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    for name in ["/fn-1", "/fn-2", "/fn-3"] {
        // The function would say yes to another client, so this one is not let in either.
        assert_eq!(client.join(name, "").await, invalid());
        assert_eq!(client.join(name, r#"{"want":true}"#).await, no());
    }
    assert!(!logs.with("of_matching").is_empty());
    let both = r#"{"want":true,"token":"letmein"}"#;
    for (name, handle) in [("/fn-1", &handle), ("/fn-2", &later)] {
        client.join(name, both).await.unwrap();
        assert_eq!(who(&mut client, name).await, json!(["a child"]));
        handle.emit("y", 1);
        assert_eq!(client.next().await.data, json!(["y", 1]));
    }
    assert_eq!(functions.children().len(), 2);
}

#[tokio::test]
async fn a_program_that_wants_a_name_of_a_pattern_for_its_own_is_told_at_once() {
    let io = Server::new();
    let logs = Logs::collect();
    let early = io.of("/dyn-4");
    let tenants = tenants(&io);
    let late = io.of("/dyn-5");
    for (n, own) in [&early, &late].into_iter().enumerate() {
        own.connect(async |_: Hello| Ok::<_, Refusal>(()));
        own.on("who", async |_: Socket| "its own");
        own.sockets_max(0);
        assert!(!own.off("who"));
        assert_eq!(logs.with("ERROR").len(), 4 * (n + 1), "{:?}", logs.with(""));
    }
    assert!(logs.with("ERROR")[0].contains("namespace=\"/dyn-4\""));
    assert_eq!(io.stats().registrations_refused, 8);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    for name in ["/dyn-4", "/dyn-5"] {
        assert_eq!(client.join(name, "").await, no());
        client.join(name, TOKEN).await.unwrap();
        assert_eq!(who(&mut client, name).await, json!([name[5..]]));
    }
    // A child as such can be changed: whoever finds it knows whose it is.
    tenants.children()[0].on("who", async |_: Socket| "changed");
    server.find("/dyn-5").unwrap().sockets_max(1);
    assert_eq!(server.stats().registrations_refused, 8);
}

#[tokio::test]
async fn what_the_program_had_for_its_own_before_stays_so_and_that_is_said_where_it_has_no_door() {
    let io = Server::new();
    let logs = Logs::collect();
    io.of("/dyn-1").on("who", async |_: Socket| "open");
    io.of("/dyn-2").connect(asks).on("who", async |_: Socket| "closed");
    assert!(logs.with("WARN").is_empty());
    tenants(&io);
    io.of_matching(async |_: Hello| true);
    assert_eq!(logs.with("WARN").len(), 1);
    assert!(logs.with("WARN")[0].contains("namespace=\"/dyn-1\""), "{:?}", logs.with("WARN"));
    // Where a function might claim the name, too.
    io.of("/other").connect(asks);
    assert_eq!(logs.with("WARN").len(), 1);
    io.of("/another").on("who", async |_: Socket| "another").sockets_max(1);
    assert_eq!(logs.with("namespace=\"/another\"").len(), 1);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    for (name, token, expected) in
        [("/dyn-1", "", "open"), ("/dyn-2", TOKEN, "closed"), ("/another", "", "another")]
    {
        client.join(name, token).await.unwrap();
        assert_eq!(who(&mut client, name).await, json!([expected]));
    }
    let mut other = Client::open(server.address).await;
    assert_eq!(other.join("/dyn-2", "").await, no());
    assert_eq!(other.join("/other", "").await, no());
}

#[tokio::test]
async fn no_other_way_of_writing_a_name_leads_round_its_door() {
    let io = Server::builder().allow_eio3(true).build();
    tenants(&io);
    let names = [
        "/dyn-5",
        "/Dyn-5",
        "/dyn-5/",
        "//dyn-5",
        "/dyn%2D5",
        "/dyn-5?a=b",
        "/dyn-5#",
        "/dyn-",
        "/dyn-5 ",
        "/dyn-%35",
        "/dyn-5\u{200b}",
        "/",
    ];
    let _handles = ["dyn-5", "/dyn-5", "dyn-6", "", "dyn-"].map(|name| io.of(name));
    let server = start(io).await;
    for target in [WEBSOCKET, "/socket.io/?EIO=3&transport=websocket"] {
        for name in names {
            let mut client = Ws::upgrade(server.address, target).await;
            assert!(client.text().await.starts_with('0'));
            if target != WEBSOCKET {
                assert_eq!(client.text().await, "40", "it is in / at once, which is nobody else's");
            }
            if target != WEBSOCKET && name == "/" {
                continue;
            }
            client.send_text(&format!("40{name},")).await;
            let answer = client.text().await;
            let is_in_the_main_one = name == "/" && answer.starts_with("40");
            // This one is made by the program, and no pattern fits it.
            let is_its_own = name == "/dyn-" && answer.starts_with("40/dyn-,");
            assert!(
                answer.starts_with("44") || is_in_the_main_one || is_its_own,
                "{name:?} at {target}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn a_name_without_its_slash_is_no_name_whatever_encodes_it() {
    let io = Server::builder().parser(MsgPack).build();
    let any = io.of_pattern("/{any}");
    any.connect(async |hello: Hello| match hello.namespace().starts_with("/dyn-") {
        true => Err(Refusal::new("no")),
        false => Ok(()),
    });
    io.of_matching(async |_: Hello| true);
    let _handle = io.of("/dyn-5");
    let server = start(io).await;
    for name in ["dyn-5", "/dyn-5", "dyn-6", "/dyn-6,"] {
        let mut client = server.opened().await;
        let mut packet = b"\x82\xa4type\x00\xa3nsp".to_vec();
        packet.push(0xa0 | name.len() as u8);
        packet.extend_from_slice(name.as_bytes());
        client.send_binary(&packet).await;
        match client.next().await {
            Some(Message::Binary(answer)) => {
                let answer = String::from_utf8_lossy(&answer).into_owned();
                assert!(answer.contains("no\u{fffd}nsp"), "{name:?}: {answer:?}");
            }
            Some(Message::Close(..)) => assert_ne!(name, "/dyn-5"),
            other => panic!("{name:?}: {other:?}"),
        }
    }
    assert_eq!(server.stats().joined, 0);
}

#[tokio::test]
async fn a_door_that_comes_late_closes_the_children_that_there_are() {
    for kept in [false, true] {
        let io = Server::builder().keep_empty_namespaces(kept).build();
        let tenants = io.of_pattern("/dyn-{id}");
        let server = start(io).await;
        let handle = server.of("/dyn-1");
        let mut client = Client::open(server.address).await;
        for name in ["/dyn-1", "/dyn-2"] {
            client.join(name, "").await.unwrap();
        }
        tenants.connect(asks);
        let mut late = Client::open(server.address).await;
        for name in ["/dyn-1", "/dyn-2"] {
            assert_eq!(late.join(name, "").await, no());
            late.join(name, TOKEN).await.unwrap();
        }
        tenants.connect(refuses);
        let mut later = Client::open(server.address).await;
        assert_eq!(later.join("/dyn-1", TOKEN).await, no());
        // A child with a door of its own keeps that.
        tenants.children().into_iter().for_each(|child| drop(child.connect(asks)));
        later.join("/dyn-1", TOKEN).await.unwrap();
        drop(handle);
    }
}

#[tokio::test]
async fn whoever_asks_for_a_child_while_it_is_made_has_the_child() {
    let io = Server::new();
    let tenants = tenants(&io);
    let made = Arc::new(AtomicUsize::new(0));
    let (count, inner) = (Arc::clone(&made), io.clone());
    io.on_new_namespace(move |namespace: Namespace| {
        count.fetch_add(1, Ordering::Relaxed);
        let name = namespace.name().to_owned();
        assert!(inner.find(&name).is_none());
        let same = inner.of(&name);
        same.emit("x", ());
        assert_eq!(same.param("id"), namespace.param("id"));
        namespace.on("hook", async |_: Socket| "hooked");
    });
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    assert_eq!(client.join("/dyn-5", "").await, no());
    client.join("/dyn-5", TOKEN).await.unwrap();
    client.send("2/dyn-5,1[\"hook\"]").await;
    assert_eq!(client.next().await.data, json!(["hooked"]));
    assert_eq!((server.stats().panics, tenants.children().len()), (0, 1));
    assert!(made.load(Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn a_name_that_is_only_sent_to_is_said_to_be_closed_by_a_function_and_can_be_claimed() {
    let io = Server::new();
    let logs = Logs::collect();
    io.of("/early").emit("x", ());
    let said = |name: &str| logs.with(&format!("namespace=\"{name}\"")).len();
    io.of_matching(async |_: Hello| false);
    assert_eq!((said("/early"), logs.with("WARN").len()), (1, 1));
    io.of("/news").emit("x", ());
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    assert_eq!(client.join("/nobodys", "").await, invalid());
    assert_eq!(logs.with("WARN").len(), 1);
    for _ in 0..3 {
        assert_eq!(client.join("/news", "").await, invalid());
    }
    // Not for each, however slow this is.
    assert!((1..=3).contains(&said("/news")));
    server.of("/news").on_connect(async |_: Socket| {});
    client.join("/news", "").await.unwrap();
    server.of("/news").emit("x", ());
    assert_eq!(client.next().await.data, json!(["x"]));
}

#[tokio::test]
async fn a_client_waits_no_longer_for_a_child_than_it_may_be_asked_about() {
    let io = Server::builder().namespace_timeout(Duration::from_millis(50)).build();
    let tenants = tenants(&io);
    let (begun, begins) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = std::sync::Mutex::new(goes_on);
    io.on_new_namespace(move |_: Namespace| {
        begun.send(()).unwrap();
        let _ = goes_on.lock().unwrap().recv();
    });
    let server = start(io).await;
    let program = server.io.clone();
    let making = std::thread::spawn(move || program.of("/dyn-5"));
    begins.recv().unwrap();
    let mut client = Client::open(server.address).await;
    let late = Err(json!({ "message": "No decision in time" }));
    assert_eq!(client.join("/dyn-5", TOKEN).await, late);
    drop(go_on);
    let handle = making.join().unwrap();
    client.join("/dyn-5", TOKEN).await.unwrap();
    assert_eq!((tenants.children().len(), handle.len()), (1, 1));
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

#[tokio::test]
async fn a_handler_that_panics_when_it_is_dropped_leaves_no_name_half_made() {
    let io = Server::new();
    io.on_new_namespace(|namespace: Namespace| {
        if namespace.param("id").is_none() {
            let panics = PanicsWhenDropped;
            namespace.on_connect(move |_| {
                let _ = &panics;
                async {}
            });
        }
    });
    let handle = io.of("/dyn-5");
    let tenants = tenants(&io);
    let server = start(io).await;
    for _ in 0..2 {
        let mut client = Client::open(server.address).await;
        assert_eq!(client.join("/dyn-5", "").await, no());
        client.join("/dyn-5", TOKEN).await.unwrap();
        assert_eq!(who(&mut client, "/dyn-5").await, json!(["5"]));
    }
    assert_eq!((server.stats().panics, tenants.children().len()), (1, 1));
    drop(handle);
}

/// Open namespaces are told of when they are made, and what is registered then makes them nobody's own.
#[tokio::test]
async fn a_function_that_sees_all_new_namespaces_opens_none() {
    let io = Server::new();
    io.on_new_namespace(|namespace: Namespace| {
        namespace.on("hook", async |_: Socket| "hooked");
    });
    let functions = io.of_matching(async |hello: Hello| hello.namespace() == "/fn-1");
    functions.connect(asks);
    let _handle = io.of("/fn-1");
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    assert_eq!(client.join("/fn-1", "").await, no());
    client.join("/fn-1", TOKEN).await.unwrap();
    client.send("2/fn-1,1[\"hook\"]").await;
    assert_eq!(client.next().await.data, json!(["hooked"]));
}

#[tokio::test]
async fn what_is_registered_on_a_new_namespace_that_was_kept_makes_it_the_programs_own() {
    let io = Server::new();
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    io.on_new_namespace(move |namespace: Namespace| keep.lock().unwrap().push(namespace));
    let handles = ["/dyn-1", "/dyn-2"].map(|name| io.of(name));
    let new: Vec<_> = std::mem::take(&mut *kept.lock().unwrap());
    new[0].connect(refuses).on("who", async |_: Socket| "its own");
    tenants(&io);
    // Too late: a pattern would throw it away.
    new[1].on("who", async |_: Socket| "its own");
    assert_eq!(io.stats().registrations_refused, 1);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    assert_eq!(client.join("/dyn-1", TOKEN).await, no());
    client.join("/dyn-2", TOKEN).await.unwrap();
    assert_eq!(who(&mut client, "/dyn-2").await, json!(["2"]));
    drop(handles);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_program_and_clients_that_ask_at_once_open_nothing() {
    const NAMES: usize = 40;
    let io = Server::new();
    let tenants = io.of_pattern("/dyn-{id}").connect(refuses);
    io.of_matching(async |hello: Hello| hello.namespace().starts_with("/fn-")).connect(refuses);
    let server = start(io).await;
    let over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let (io, over) = (server.io.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                for n in (0..NAMES).cycle() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    io.of(&format!("/dyn-{n}")).emit("x", ());
                    io.of(&format!("/fn-{n}")).emit("x", ());
                }
            })
        })
        .collect();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::open(server.address).await;
        clients.push(tokio::spawn(async move {
            for n in 0..NAMES {
                for name in [format!("/dyn-{n}"), format!("/fn-{n}")] {
                    assert_eq!(client.join(&name, "").await, no(), "{name}");
                }
            }
        }));
    }
    for client in clients {
        within(client).await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    asking.into_iter().for_each(|thread| thread.join().unwrap());
    until("all have ended", || tenants.children().is_empty()).await;
    assert!((0..NAMES).all(|n| server.find(&format!("/fn-{n}")).is_none()));
}

#[tokio::test]
async fn who_came_in_when_there_was_no_door_does_not_come_back_past_one() {
    let recovery = Recovery::builder().skip_connect(true).build();
    let io = Server::builder().recovery(recovery).build();
    let handle = io.of("/dyn-5");
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    client.send("0/dyn-5,{}").await;
    let joined = client.next().await.data;
    drop(client);
    until("it is lost", || handle.is_empty()).await;
    server.of_pattern("/dyn-{id}").connect(refuses);
    let mut client = Client::open(server.address).await;
    let claim = json!({ "pid": joined["pid"] }).to_string();
    assert_eq!(client.join("/dyn-5", &claim).await, no());
}

/// With `skip_connect`: joins, is lost, and gives what claims the socket.
async fn lost(server: &Running, name: &str) -> String {
    let mut client = Client::open(server.address).await;
    client.send(&format!("0{name},{TOKEN}")).await;
    let joined = client.next().await.data;
    drop(client);
    until("it is lost", || server.find(name).is_none_or(|found| found.is_empty())).await;
    json!({ "pid": joined["pid"], "token": "letmein" }).to_string()
}

#[tokio::test]
async fn who_was_let_in_by_one_door_does_not_come_back_past_another() {
    let recovery = Recovery::builder().skip_connect(true).build();
    let first = Server::builder().recovery(recovery.clone()).build();
    tenants(&first);
    let first = start(first).await;
    let claims = [lost(&first, "/dyn-1").await, lost(&first, "/dyn-2").await];
    until("they have ended", || first.find("/dyn-1").is_none()).await;
    // The pattern itself has the sockets back unasked, also of another server.
    let same = Server::builder().recovery(recovery.clone()).build();
    same.of_pattern("/dyn-{id}").connect(refuses);
    let same = start(same).await;
    let mut client = Client::open(same.address).await;
    client.join("/dyn-2", &claims[1]).await.unwrap();
    // By now the name is the program's own.
    let io = Server::builder().recovery(recovery).build();
    io.of("/dyn-1").connect(refuses);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    assert_eq!(client.join("/dyn-1", &claims[0]).await, no());
}

#[tokio::test]
async fn who_was_let_in_by_an_open_name_does_not_come_back_past_a_pattern() {
    let recovery = Recovery::builder().skip_connect(true).build();
    let io = Server::builder().recovery(recovery).build();
    io.on_new_namespace(|namespace: Namespace| {
        if namespace.param("id").is_none() {
            namespace.connect(asks);
        }
    });
    let handle = io.of("/dyn-5");
    let server = start(io).await;
    let (claim, again) = (lost(&server, "/dyn-5").await, lost(&server, "/dyn-5").await);
    let mut client = Client::open(server.address).await;
    client.join("/dyn-5", &again).await.unwrap();
    server.of_pattern("/dyn-{id}").connect(refuses);
    let mut client = Client::open(server.address).await;
    assert_eq!(client.join("/dyn-5", &claim).await, no());
    drop(handle);
}

#[tokio::test]
async fn what_the_program_asks_for_is_not_limited_but_counts() {
    let io = Server::builder().child_namespaces_max(2).build();
    let tenants = tenants(&io);
    let mut handles: Vec<_> = (0..3).map(|n| io.of(&format!("/dyn-{n}"))).collect();
    assert_eq!(tenants.children().len(), 3);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let full = Err(json!({ "message": "too many namespaces" }));
    assert_eq!(client.join("/dyn-9", TOKEN).await, full);
    client.join("/dyn-0", TOKEN).await.unwrap();
    handles.truncate(1);
    client.join("/dyn-9", TOKEN).await.unwrap();
    assert_eq!(server.stats().namespaces_made, 4);
}
