//! Decisions about clients: how many are under way at the same time, who waits, and what is told to whom
//! whose decision does not come. And that a namespace takes its place with its first client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use roomful::{Args, Builder, Handshake, Hello, MsgPack, Namespace, Refusal, Server, Socket};
use roomful_proto::ws::Message;
use serde_json::{Value, json};
use support::*;
use tokio::sync::Semaphore;

const KIB: usize = 1_024;
/// The default of `decision_timeout`.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A `connect` function that lets in who has the token, and all others when its gate opens. It says who was
/// asked about, and how much was under way in it at once.
#[derive(Clone)]
struct Desk {
    asked: Arc<Mutex<Vec<String>>>,
    running: Arc<Peak>,
    bytes: Arc<Peak>,
    gate: Arc<Semaphore>,
}

/// A number, and what it was at most.
#[derive(Default)]
struct Peak {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Peak {
    fn add(&self, count: usize) {
        let now = self.now.fetch_add(count, Ordering::SeqCst) + count;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// What is under way in a [`Desk`].
struct Under(Desk, usize);

impl Drop for Under {
    fn drop(&mut self) {
        self.0.running.now.fetch_sub(1, Ordering::SeqCst);
        self.0.bytes.now.fetch_sub(self.1, Ordering::SeqCst);
    }
}

impl Desk {
    fn new() -> Self {
        Self {
            asked: Arc::default(),
            running: Arc::default(),
            bytes: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    /// It decides about who joins.
    fn sits_at(&self, namespace: &Namespace) {
        let desk = self.clone();
        let decided = namespace.connect(move |hello: Hello| desk.clone().decide(hello));
        decided.on("echo", async |_: Socket, args: Args| args);
    }

    async fn decide(self, hello: Hello) -> Result<(), Refusal> {
        let auth: Value = hello.auth()?;
        if auth["token"] == "letmein" {
            return Ok(());
        }
        let bytes = auth.to_string().len();
        self.asked.lock().push(hello.namespace().to_owned());
        self.running.add(1);
        self.bytes.add(bytes);
        let under = Under(self, bytes);
        under.0.gate.acquire().await.unwrap().forget();
        match auth["no"] == true {
            true => Err(Refusal::new("no")),
            false => Ok(()),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    async fn has_asked(&self, count: usize) {
        until("they are asked about", || self.asked.lock().len() == count).await;
    }
}

fn serving(builder: Builder) -> Server {
    let io = builder.build();
    io.on("echo", async |_: Socket, args: Args| args);
    io
}

/// Nothing that was sent by anybody before this is still to be read, and the server has done what it can.
async fn settled(bystander: &mut Client) {
    for n in 0..200 {
        assert_eq!(bystander.ask("echo", &n.to_string()).await, json!([n]));
    }
}

/// Of so many bytes.
fn auth_of(bytes: usize) -> String {
    format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8))
}

fn late(code: &str) -> Value {
    json!({"message": "No decision in time", "data": {"code": code}})
}

fn too_many() -> Value {
    json!({ "message": "too many namespaces" })
}

const TOKEN: &str = r#"{"token":"letmein"}"#;

// Auth payloads.

const TOO_LARGE: &str = "the auth payload is larger than 16384 bytes";

#[tokio::test]
async fn an_auth_payload_that_is_too_large_is_refused_and_its_connection_stays() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let io = serving(Server::builder());
    io.of("/a").connect(move |hello: Hello| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { hello.auth::<Value>() }
    });
    let server = start(io).await;
    let mut client = server.client().await;
    let large = json!({"message": TOO_LARGE, "data": {"code": "auth_too_large"}});
    assert_eq!(client.join("/a", &auth_of(16 * KIB + 1)).await, Err(large));
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    client.send("2/a,[\"x\"]").await;
    assert_eq!(client.ask("echo", "2").await, json!([2]), "what it sends behind it is dropped");
    client.join("/a", &auth_of(16 * KIB)).await.unwrap();
    let stats = server.stats();
    assert_eq!((stats.auth_too_large, stats.refused), (1, 1));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_auth_payload_that_comes_as_msgpack_has_the_same_limit() {
    let server = start(Server::builder().parser(MsgPack).build()).await;
    let mut client = Client::open(server.address).await;
    // {"type": 0, "nsp": "/", "data": {"a": a text of 20,000 bytes}}
    let mut packet = b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x81\xa1a\xda\x4e\x20".to_vec();
    packet.extend(std::iter::repeat_n(b'x', 20_000));
    client.ws.send_binary(&packet).await;
    let Some(Message::Binary(answer)) = client.ws.next().await else {
        panic!("no answer");
    };
    let found = answer.windows(TOO_LARGE.len()).any(|part| part == TOO_LARGE.as_bytes());
    assert!(found, "{answer:?}");
    assert_eq!(server.stats().auth_too_large, 1);
}

#[tokio::test]
async fn the_query_of_an_old_client_is_its_auth_payload_and_has_its_limit() {
    let io = Server::builder().allow_eio3(true).auth_bytes_max(100).build();
    io.of("/a");
    let server = start(io).await;
    let target = "/socket.io/?EIO=3&transport=websocket";
    let mut client = Ws::upgrade(server.address, target).await;
    assert!(client.text().await.starts_with("0{"));
    assert_eq!(client.text().await, "40");
    client.send_text(&format!("40/a?token={},", "x".repeat(100))).await;
    assert_eq!(client.text().await, r#"44/a,{"code":"auth_too_large"}"#);
    client.send_text(&format!("40/a?token={},", "x".repeat(50))).await;
    assert!(client.text().await.starts_with("40/a"));
}

// Decisions of one connection.

#[tokio::test]
async fn a_client_that_opens_ten_namespaces_at_once_gets_into_all_of_them_in_order() {
    let desk = Desk::new();
    let io = serving(Server::builder());
    let names: Vec<_> = (0..10).map(|n| format!("/{n}")).collect();
    names.iter().for_each(|name| desk.sits_at(&io.of(name)));
    let server = start(io).await;
    let (mut client, mut bystander) = (server.client().await, server.client().await);
    for name in &names {
        client.send(&format!("0{name},")).await;
    }
    desk.has_asked(8).await;
    settled(&mut bystander).await;
    assert_eq!(desk.asked(), names[..8], "the others wait");
    let stats = server.stats();
    assert_eq!((stats.deciding, stats.decisions_waited), (8, 2));
    for (n, name) in names.iter().enumerate() {
        desk.gate.add_permits(1);
        let joined = client.next().await;
        assert_eq!((joined.kind, &joined.namespace), (0, name));
        desk.has_asked((9 + n).min(10)).await;
    }
    assert_eq!(desk.asked(), names);
    assert_eq!((desk.running.most(), server.stats().deciding), (8, 0));
}

#[tokio::test]
async fn who_leaves_while_it_waits_in_its_connection_is_not_asked_about() {
    let desk = Desk::new();
    let io = serving(Server::builder().decisions_max(1));
    for name in ["/a", "/b", "/c", "/d"] {
        desk.sits_at(&io.of(name));
    }
    io.of("/open");
    let server = start(io).await;
    let mut client = server.client().await;
    for name in ["/a", "/b", "/c", "/d"] {
        client.send(&format!("0{name},{}", auth_of(100))).await;
    }
    client.join("/open", "").await.expect("nobody has to decide about that");
    client.send("1/b,").await;
    // The one that is decided about, which makes room for the next.
    client.send("1/a,").await;
    desk.has_asked(2).await;
    client.send("0/b,").await;
    desk.gate.add_permits(3);
    for name in ["/c", "/d", "/b"] {
        assert_eq!(client.next().await.namespace, name);
    }
    assert_eq!((desk.running.most(), server.stats().deciding), (1, 0));
    // The whole client, while one of it is decided about and others wait.
    for name in ["/a", "/b", "/c"] {
        client.send(&format!("1{name},")).await;
        client.send(&format!("0{name},")).await;
    }
    desk.has_asked(5).await;
    drop(client);
    server.is_empty_again().await;
    assert_eq!((desk.asked().len(), server.stats().deciding), (5, 0));
}

// Families and the server.

#[tokio::test]
async fn a_family_that_is_flooded_has_a_quarter_and_the_others_get_in() {
    let desk = Desk::new();
    // Sixteen decisions, of which a family has four.
    let io = serving(Server::builder().deciding_bytes_max(16 * KIB));
    let flooded = io.of_pattern("/flooded-{id}");
    desk.sits_at(&flooded);
    desk.sits_at(&io.of_pattern("/other-{id}"));
    desk.sits_at(&io.of("/own"));
    let server = start(io).await;
    let (mut early, mut bystander) = (Client::open(server.address).await, server.client().await);
    early.join("/flooded-early", TOKEN).await.unwrap();
    let mut flood = Vec::new();
    for n in 0..10 {
        let mut client = Client::open(server.address).await;
        for m in 0..8 {
            client.send(&format!("0/flooded-{n}-{m},")).await;
        }
        flood.push(client);
    }
    desk.has_asked(4).await;
    settled(&mut bystander).await;
    let stats = server.stats();
    assert_eq!((desk.running.most(), stats.deciding, stats.decisions_waited), (4, 4, 76));
    assert_eq!(stats.namespaces_made, 5, "none is made for who waits");
    assert_eq!(flooded.children().len(), 5);

    let mut client = Client::open(server.address).await;
    for name in ["/other-1", "/other-2", "/own"] {
        client.join(name, TOKEN).await.unwrap();
    }
    early.send("2/flooded-early,7[\"echo\",1]").await;
    assert_eq!(early.next().await.data, json!([1]));
    // Who is next has its turn when one of the flood leaves.
    drop(flood);
    client.join("/flooded-late", TOKEN).await.unwrap();
    assert!(desk.running.most() <= 4);
    drop((client, early, bystander));
    server.is_empty_again().await;
    assert_eq!(server.stats().deciding, 0);
    assert!(flooded.children().is_empty());
}

#[tokio::test]
async fn all_families_together_have_what_the_server_has_and_who_leaves_gives_it_back() {
    let desk = Desk::new();
    let io = serving(Server::builder().deciding_bytes_max(4 * KIB));
    let names: Vec<_> = (0..6).map(|n| format!("/{n}")).collect();
    names.iter().for_each(|name| desk.sits_at(&io.of(name)));
    let server = start(io).await;
    let mut bystander = server.client().await;
    let mut clients = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let mut client = Client::open(server.address).await;
        client.send(&format!("0{name},")).await;
        until("it has come", || {
            let stats = server.stats();
            stats.deciding + stats.decisions_waited == n as u64 + 1
        })
        .await;
        clients.push(client);
    }
    settled(&mut bystander).await;
    assert_eq!(desk.asked(), names[..4]);
    // One that waits, and then one that is decided about: the last one's turn comes.
    drop(clients.remove(4));
    until("it is gone", || server.stats().connections == 6).await;
    drop(clients.remove(0));
    desk.has_asked(5).await;
    assert_eq!(desk.asked().last(), names.last());
    desk.gate.add_permits(4);
    for client in &mut clients {
        assert_eq!(client.next().await.kind, 0);
    }
    assert_eq!((desk.running.most(), server.stats().deciding), (4, 0));
    // All of it is there again.
    for client in &mut clients {
        client.send("0/0,").await;
    }
    desk.has_asked(6).await;
    drop((clients, bystander));
    server.is_empty_again().await;
    assert_eq!(server.stats().deciding, 0);
}

#[tokio::test]
async fn what_is_read_of_strangers_at_once_has_its_bound_in_bytes() {
    const BYTES: usize = 256 * KIB;
    let desk = Desk::new();
    let io = serving(Server::builder().deciding_bytes_max(BYTES));
    for n in 0..8 {
        desk.sits_at(&io.of_pattern(&format!("/p{n}-{{id}}")));
    }
    let server = start(io).await;
    let mut bystander = server.client().await;
    let mut attackers = Vec::new();
    // 128 payloads of many small objects, 16 KiB each: 2 MiB.
    let auth = format!("{{\"a\":[{}]    }}", ["{\"\":0}"; 2_339].join(","));
    assert_eq!(auth.len(), 16 * KIB);
    for n in 0..16 {
        let mut client = Client::open(server.address).await;
        for m in 0..8 {
            client.send(&format!("0/p{m}-{n},{auth}")).await;
        }
        attackers.push(client);
    }
    desk.has_asked(16).await;
    settled(&mut bystander).await;
    assert_eq!((desk.asked().len(), server.stats().deciding), (16, 16));
    desk.gate.add_permits(128);
    for client in &mut attackers {
        for _ in 0..8 {
            assert_eq!(client.next().await.kind, 0);
        }
    }
    assert!(desk.bytes.most() <= BYTES, "{} bytes at once", desk.bytes.most());
    assert_eq!((desk.asked().len(), server.stats().deciding), (128, 0));
}

#[tokio::test]
async fn a_payload_that_is_larger_than_a_share_waits_for_all_of_it() {
    let desk = Desk::new();
    let io = serving(Server::builder().deciding_bytes_max(16 * KIB));
    desk.sits_at(&io.of("/a"));
    let server = start(io).await;
    let mut bystander = server.client().await;
    let (mut small, mut large) = (server.client().await, server.client().await);
    small.send("0/a,").await;
    desk.has_asked(1).await;
    large.send(&format!("0/a,{}", auth_of(10 * KIB))).await;
    until("it waits", || server.stats().decisions_waited == 1).await;
    settled(&mut bystander).await;
    desk.gate.add_permits(2);
    assert_eq!((small.next().await.kind, large.next().await.kind), (0, 0));
    assert_eq!((desk.running.most(), server.stats().deciding), (1, 0));
}

#[tokio::test]
async fn functions_that_say_which_namespaces_are_to_be_are_decisions_too() {
    let desk = Desk::new();
    let io = serving(Server::builder().deciding_bytes_max(4 * KIB));
    let asking = desk.clone();
    io.of_matching(move |hello: Hello| {
        let desk = asking.clone();
        async move { hello.namespace().starts_with("/fn") && desk.decide(hello).await.is_ok() }
    });
    desk.sits_at(&io.of_pattern("/pattern-{id}"));
    let server = start(io).await;
    let mut clients = Vec::new();
    for n in 0..3 {
        let mut client = server.client().await;
        client.send(&format!("0/fn-{n},")).await;
        until("it has come", || {
            let stats = server.stats();
            stats.deciding + stats.decisions_waited == n + 1
        })
        .await;
        clients.push(client);
    }
    assert_eq!((server.stats().deciding, desk.asked().len()), (1, 1));
    desk.gate.add_permits(3);
    for client in &mut clients {
        assert_eq!(client.next().await.kind, 0);
    }
    assert_eq!((desk.running.most(), server.stats().deciding), (1, 0));
    // What the function does not want is not its any more, and keeps it from nobody.
    clients[0].send("0/pattern-1,").await;
    desk.has_asked(4).await;
    clients[1].join("/fn-9", TOKEN).await.unwrap();
}

#[tokio::test]
async fn waiting_for_a_turn_takes_nothing_of_the_time_of_such_functions() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let io = Server::builder().deciding_bytes_max(KIB).build();
    io.of_matching(move |_: Hello| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    });
    let server = start(io).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.send("0/a,").await;
    until("it is asked about", || asked.load(Ordering::SeqCst) == 1).await;
    second.send("0/b,").await;
    until("it waits", || server.stats().decisions_waited == 1).await;
    for client in [&mut first, &mut second] {
        passes(Duration::from_secs(10)).await;
        let refused = client.next().await;
        assert_eq!(refused.data, json!({ "message": "No decision in time" }));
    }
    let stats = server.stats();
    assert_eq!((stats.namespace_timeouts, stats.decision_timeouts, stats.deciding), (2, 0, 0));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

// Time.

#[tokio::test]
async fn who_waits_too_long_is_refused_and_told_for_what() {
    let desk = Desk::new();
    let io = serving(Server::builder().deciding_bytes_max(KIB).decisions_max(1));
    desk.sits_at(&io.of("/a"));
    io.of("/b").connect(async |_: Hello| Ok::<_, Refusal>(()));
    let server = start(io).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.send("0/a,").await;
    desk.has_asked(1).await;
    // Behind it in its connection, and for its turn.
    first.send("0/b,").await;
    second.send("0/a,").await;
    until("they wait", || server.stats().decisions_waited == 2).await;
    passes(TIMEOUT).await;
    let mut refused = [first.next().await, first.next().await];
    refused.sort_by_key(|packet| packet.namespace.clone());
    assert_eq!(refused.map(|packet| packet.data), [late("no_decision"), late("busy")]);
    assert_eq!(second.next().await.data, late("busy"));
    let stats = server.stats();
    assert_eq!((stats.decision_timeouts, stats.deciding, stats.refused), (3, 0, 3));
    assert_eq!(desk.asked().len(), 1);
    first.join("/b", "").await.unwrap();
    second.join("/a", TOKEN).await.unwrap();
    drop((first, second));
    server.is_empty_again().await;
}

// Addresses.

/// The parameter `ip` of the opening request.
fn ip(request: &Handshake) -> Option<String> {
    let ip = request.query("ip")?;
    assert_ne!(ip, "panic", "on purpose");
    Some(ip)
}

#[tokio::test]
async fn an_address_has_so_many_decisions_where_it_is_known() {
    let desk = Desk::new();
    let io = serving(Server::builder().client_address(ip).decisions_per_address_max(2));
    desk.sits_at(&io.of("/a"));
    let server = start(io).await;
    let mut bystander = server.client().await;
    let mut clients = Vec::new();
    for n in 0..4 {
        let mut client = Client::open_at(server.address, &format!("{WEBSOCKET}&ip=1")).await;
        client.send("0/a,").await;
        until("it has come", || {
            let stats = server.stats();
            stats.deciding + stats.decisions_waited == n + 1
        })
        .await;
        clients.push(client);
    }
    settled(&mut bystander).await;
    assert_eq!(desk.asked().len(), 2);
    for other in ["&ip=2", "&ip=panic", ""] {
        let mut client = Client::open_at(server.address, &format!("{WEBSOCKET}{other}")).await;
        client.join("/a", TOKEN).await.unwrap();
    }
    assert_eq!(server.stats().panics, 1);
    // One that waits leaves, and one that is decided about.
    drop(clients.remove(3));
    drop(clients.remove(0));
    desk.has_asked(3).await;
    desk.gate.add_permits(2);
    for client in &mut clients {
        assert_eq!(client.next().await.kind, 0);
    }
    assert_eq!((desk.running.most(), server.stats().deciding), (2, 0));
}

// Places of namespaces.

#[tokio::test]
async fn who_is_still_decided_about_takes_no_place_of_a_namespace() {
    let desk = Desk::new();
    let io = serving(Server::builder().child_namespaces_max(4));
    let flooded = io.of_pattern("/flooded-{id}");
    desk.sits_at(&flooded);
    desk.sits_at(&io.of_pattern("/other-{id}"));
    let server = start(io).await;
    let mut early = Client::open(server.address).await;
    early.join("/flooded-early", TOKEN).await.unwrap();
    let mut flood = Client::open(server.address).await;
    for n in 0..8 {
        flood.send(&format!("0/flooded-{n},")).await;
    }
    desk.has_asked(8).await;
    assert_eq!(flooded.children().len(), 9);
    let mut client = Client::open(server.address).await;
    for name in ["/other-1", "/flooded-new", "/flooded-early"] {
        client.join(name, TOKEN).await.unwrap();
    }
    // One place is left for those eight.
    desk.gate.add_permits(8);
    assert_eq!(flood.next().await.kind, 0);
    for _ in 0..7 {
        let refused = flood.next().await;
        assert_eq!((refused.kind, refused.data), (4, too_many()));
    }
    assert_eq!(server.stats().namespaces_refused, 7);
    until("those seven have ended", || flooded.children().len() == 3).await;
    let mut late = Client::open(server.address).await;
    assert_eq!(late.join("/other-2", TOKEN).await, Err(too_many()));
    for name in ["/other-1", "/flooded-0", "/flooded-early"] {
        late.join(name, TOKEN).await.expect("those that are there are as they were");
    }
}

#[tokio::test]
async fn a_place_is_given_back_once_by_each_namespace_that_had_one() {
    let desk = Desk::new();
    desk.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    let io = serving(Server::builder().child_namespaces_max(2));
    let rooms = io.of_pattern("/room-{id}");
    desk.sits_at(&rooms);
    let server = start(io).await;
    let (mut one, mut two) = (Client::open(server.address).await, server.client().await);
    for n in 0..6 {
        let name = format!("/room-{n}");
        one.join(&name, "").await.unwrap();
        two.join(&name, TOKEN).await.unwrap();
        // One that ends with the client that is refused, and has had none.
        let refused = two.join("/room-refused", r#"{"no":true}"#).await;
        assert_eq!(refused, Err(json!({ "message": "no" })));
        one.send(&format!("1{name},")).await;
        two.send(&format!("1{name},")).await;
        until("it ends", || rooms.children().is_empty()).await;
    }
    one.join("/room-a", "").await.unwrap();
    one.join("/room-b", "").await.unwrap();
    assert_eq!(two.join("/room-c", "").await, Err(too_many()));
    // The program has as many as it wants, and each counts once, however often it asks.
    let handles = [server.of("/room-c"), server.of("/room-c"), server.of("/room-a")];
    two.join("/room-c", "").await.unwrap();
    one.send("1/room-b,").await;
    until("it ends", || rooms.children().len() == 2).await;
    assert_eq!(two.join("/room-d", "").await, Err(too_many()));
    two.send("1/room-c,").await;
    drop(handles);
    until("it ends", || rooms.children().len() == 1).await;
    two.join("/room-d", "").await.unwrap();
    assert_eq!(two.join("/room-e", "").await, Err(too_many()));
}

#[tokio::test]
async fn a_namespace_that_the_program_asks_for_while_its_first_client_is_decided_about_has_a_place()
{
    let desk = Desk::new();
    let io = serving(Server::builder().child_namespaces_max(1));
    desk.sits_at(&io.of_pattern("/room-{id}"));
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    client.send("0/room-a,").await;
    desk.has_asked(1).await;
    let handle = server.of("/room-a");
    let mut other = Client::open(server.address).await;
    assert_eq!(other.join("/room-b", TOKEN).await, Err(too_many()));
    desk.gate.add_permits(1);
    assert_eq!(client.next().await.kind, 0);
    drop((handle, client));
    until("it ends", || server.find("/room-a").is_none()).await;
    other.join("/room-b", TOKEN).await.unwrap();
}

#[tokio::test]
async fn of_empty_namespaces_those_are_kept_in_which_somebody_was() {
    let desk = Desk::new();
    desk.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    let io = serving(Server::builder().keep_empty_namespaces(true).child_namespaces_max(2));
    let rooms = io.of_pattern("/room-{id}");
    desk.sits_at(&rooms);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    for n in 0..5 {
        let refused = client.join(&format!("/room-{n}"), r#"{"no":true}"#).await;
        assert_eq!(refused, Err(json!({ "message": "no" })));
    }
    until("nothing of them is kept", || rooms.children().is_empty()).await;
    for name in ["/room-a", "/room-b"] {
        client.join(name, "").await.unwrap();
        client.send(&format!("1{name},")).await;
    }
    assert_eq!(client.join("/room-c", "").await, Err(too_many()));
    assert_eq!(rooms.children().len(), 2);
    client.join("/room-a", "").await.unwrap();
    drop(server.of("/room-d"));
    assert_eq!(rooms.children().len(), 3, "and those that the program has asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_no_more_namespaces_get_a_place_than_there_are() {
    const PLACES: usize = 10;
    let io = serving(Server::builder().child_namespaces_max(PLACES).deciding_bytes_max(32 * KIB));
    let rooms = io.of_pattern("/room-{id}").connect(async |_: Hello| {
        tokio::task::yield_now().await;
        Ok::<_, Refusal>(())
    });
    let server = start(io).await;
    let address = server.address;
    for _ in 0..3 {
        // Two clients for each of twenty namespaces.
        let joining: Vec<_> = (0..40)
            .map(|n| {
                tokio::spawn(async move {
                    let mut client = Client::open(address).await;
                    (client.join(&format!("/room-{}", n % 20), "").await, client)
                })
            })
            .collect();
        let mut clients = Vec::new();
        for joined in joining {
            let (joined, client) = within(joined).await.unwrap();
            if let Err(refused) = &joined {
                assert_eq!(refused, &too_many());
            }
            clients.push(client);
        }
        until("those that were refused have ended", || rooms.children().len() == PLACES).await;
        drop(clients);
        until("all have ended", || rooms.children().is_empty()).await;
        until("all is given back", || server.stats().deciding == 0).await;
    }
}

/// More come than can be decided about, for long. Those who are told to wait no longer make room for others,
/// whose functions have the time that they need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_too_many_come_as_many_get_in_as_can_be_decided_about() {
    const CLIENTS: usize = 250;
    let timeout = Duration::from_secs(2);
    let io = Server::builder().deciding_bytes_max(KIB).decision_timeout(timeout).build();
    io.of("/a").connect(async |_: Hello| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, Refusal>(())
    });
    let server = start(io).await;
    let address = server.address;
    let mut coming = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..CLIENTS {
        pace.tick().await;
        coming.push(tokio::spawn(async move {
            Client::open(address).await.join("/a", "").await.is_ok()
        }));
    }
    let mut are_in = Vec::new();
    for client in coming {
        are_in.push(within(client).await.unwrap());
    }
    let late = are_in[CLIENTS / 2..].iter().filter(|is_in| **is_in).count();
    assert!(late >= 5, "{late} of the later half");
}

/// A program may keep handles of new namespaces, in a list of its own.
#[tokio::test]
async fn children_that_are_kept_by_handles_are_bounded_though_nobody_was_let_in() {
    let kept: Arc<Mutex<Vec<Namespace>>> = Arc::default();
    let io = Server::builder().child_namespaces_max(4).deciding_bytes_max(8 * KIB).build();
    let keep = Arc::clone(&kept);
    io.on_new_namespace(move |namespace| keep.lock().push(namespace));
    let rooms = io.of_pattern("/room-{id}");
    let rooms = rooms.connect(async |_: Hello| Err::<(), _>(Refusal::new("no")));
    let server = start(io).await;
    let mut client = server.client().await;
    for n in 0..50 {
        client.join(&format!("/room-{n}"), "").await.expect_err("refused");
    }
    assert_eq!(rooms.children().len(), 4 + 8);
    assert_eq!(server.stats().namespaces_refused, 50 - 12);
    // What was kept is one that a client may join.
    kept.lock().clear();
    client.join("/room-x", "").await.expect_err("refused");
    assert_eq!(server.stats().namespaces_refused, 50 - 12);
}

/// Those of an address that wait for a family that is flooded hold up nobody in another.
#[tokio::test]
async fn an_address_that_waits_in_one_family_gets_into_another() {
    let io = Server::builder()
        .deciding_bytes_max(4 * KIB)
        .client_address(|request| request.query("ip"))
        .decisions_per_address_max(4)
        .build();
    io.of("/flooded").connect(async |_: Hello| {
        std::future::pending::<()>().await;
        Ok::<_, Refusal>(())
    });
    io.of("/idle").connect(async |_: Hello| Ok::<_, Refusal>(()));
    let server = start(io).await;
    let open =
        async |ip: &str| Client::open_at(server.address, &format!("{WEBSOCKET}&ip={ip}")).await;
    let mut flooder = open("evil").await;
    flooder.send("0/flooded,").await;
    until("flooded", || server.stats().deciding == 1).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut client = open("nat").await;
        client.send("0/flooded,").await;
        waiting.push(client);
    }
    until("they wait", || server.stats().decisions_waited == 4).await;
    open("nat").await.join("/idle", "").await.expect("let in");
    assert_eq!(server.stats().decision_timeouts, 0, "nobody had to give up for it");
}

/// The panic is caught where the decision is dropped, too.
#[tokio::test]
async fn a_decision_that_panics_as_it_is_dropped_is_answered() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "as it is dropped");
        }
    }
    let io = Server::builder().decision_timeout(Duration::from_millis(50)).build();
    io.of("/a").connect(async |_: Hello| {
        let _bad = Bad;
        std::future::pending::<()>().await;
        Ok::<_, Refusal>(())
    });
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/a", "").await.expect_err("refused");
    assert_eq!((server.stats().panics, server.stats().deciding), (1, 0));
}
