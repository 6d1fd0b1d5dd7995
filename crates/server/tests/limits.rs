//! Limits of one namespace: of its sockets, of what they may do, of their events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/logs.rs"]
mod logs;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logs::Logs;
use parking_lot::Mutex;
use roomful::{Args, EventFlow, Hello, OneEvent, Recovery, Refusal, Server, Socket};
use roomful_proto::ws::frame::Opcode;
use serde_json::{Value, json};
use support::*;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

/// So long that nothing times out while a test runs.
const LONG: Duration = Duration::from_secs(3_600);
/// Nobody answers in that time.
const SHORT: Duration = Duration::from_millis(20);

fn full() -> Value {
    json!({"message": "the namespace is full", "data": {"code": "namespace_full"}})
}

fn too_large(bytes_max: usize) -> Value {
    json!([{"error": {
        "code": "too_large",
        "message": format!("the arguments have more than {bytes_max} bytes"),
        "data": {"args_bytes_max": bytes_max},
    }}])
}

/// Asks in a namespace; the answer must be the next packet.
async fn ask(client: &mut Client, namespace: &str, event: &str, json: &str) -> Value {
    client.send(&format!("2{}7{}", prefix(namespace), array(event, json))).await;
    let packet = client.next().await;
    assert_eq!((packet.kind, packet.ack), (3, Some(7)), "{packet:?}");
    packet.data
}

// Sockets.

#[tokio::test]
async fn a_full_namespace_refuses_and_says_so() {
    let io = Server::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let small = io.of("/small").connect(move |_: Hello| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Refusal>(()) }
    });
    small.sockets_max(2);
    let server = start(io).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.client().await);
    }
    clients[0].join("/small", "").await.unwrap();
    clients[1].join("/small", "").await.unwrap();
    assert_eq!(clients[2].join("/small", "").await, Err(full()));
    assert_eq!(asked.load(Ordering::Relaxed), 2, "nobody is asked about one who has no place");
    let stats = server.stats();
    assert_eq!((stats.sockets_refused, stats.refused, stats.joined), (1, 1, 5));

    clients[0].send("1/small,").await;
    until("one has left", || small.len() == 1).await;
    clients[2].join("/small", "").await.unwrap();
    small.sockets_max(1);
    assert_eq!(small.len(), 2, "nobody is put out");
    assert_eq!(clients[0].join("/small", "").await, Err(full()));
    small.sockets_max(3);
    clients[0].join("/small", "").await.unwrap();
    drop(clients);
    until("all have left", || small.is_empty()).await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn who_is_let_in_while_the_last_place_is_taken_is_refused_then() {
    let io = Server::new();
    let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, opened) = (Arc::clone(&asked), Arc::clone(&gate));
    let small = io.of("/small").connect(move |_: Hello| {
        count.fetch_add(1, Ordering::Relaxed);
        let opened = Arc::clone(&opened);
        async move {
            opened.acquire().await.unwrap().forget();
            Ok::<_, Refusal>(())
        }
    });
    small.sockets_max(1);
    let server = start(io).await;
    let mut clients = Vec::new();
    for n in 0..3 {
        let mut client = server.client().await;
        client.send("0/small,").await;
        until("it is asked about", || asked.load(Ordering::Relaxed) == n + 1).await;
        clients.push(client);
    }
    // One who leaves undecided has had no place.
    drop(clients.remove(0));
    until("it is gone", || server.stats().connections == 2).await;
    gate.add_permits(1);
    assert_eq!(clients[0].next().await.kind, 0);
    gate.add_permits(1);
    let refused = clients[1].next().await;
    assert_eq!((refused.kind, refused.data), (4, full()));
    assert_eq!((small.len(), server.stats().sockets_refused), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_no_more_come_in_than_there_are_places() {
    let io = Server::new();
    io.sockets_max(10);
    let server = start(io).await;
    let address = server.address;
    let joining: Vec<_> = (0..40)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::open(address).await;
                (client.join("/", "").await, client)
            })
        })
        .collect();
    let mut clients = Vec::new();
    for joining in joining {
        clients.push(joining.await.unwrap());
    }
    assert_eq!(clients.iter().filter(|(joined, _)| joined.is_ok()).count(), 10);
    assert_eq!((server.len(), server.stats().sockets_refused), (10, 30));
    drop(clients);
    server.is_empty_again().await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn who_comes_back_has_the_place_of_its_old_connection_and_else_needs_one() {
    async fn back(server: &Running, pid: &str) -> (Client, Packet) {
        let mut client = Client::open(server.address).await;
        client.send(&format!("0{{\"pid\":\"{pid}\"}}")).await;
        let packet = client.next().await;
        (client, packet)
    }

    let io = Server::builder().recovery(Recovery::new()).build();
    io.sockets_max(1);
    let server = start(io).await;
    let mut first = Client::open(server.address).await;
    first.send("0{}").await;
    let joined = first.next().await.data;
    let pid = joined["pid"].as_str().unwrap();

    let (again, packet) = back(&server, pid).await;
    assert_eq!((packet.kind, &packet.data["sid"]), (0, &joined["sid"]));
    drop((first, again));
    until("it is lost", || server.is_empty() && server.stats().connections == 0).await;

    let other = server.client().await;
    let (_, packet) = back(&server, pid).await;
    assert_eq!((packet.kind, packet.data), (4, full()));
    drop(other);
    until("the place is free", || server.is_empty()).await;
    let (_again, packet) = back(&server, pid).await;
    assert_eq!((packet.kind, &packet.data["sid"]), (0, &joined["sid"]), "it still waits");
}

// What sockets may do, and what they are asked.

#[tokio::test]
async fn each_namespace_has_its_rooms_max_and_a_new_one_holds_from_then_on() {
    let io = Server::builder().rooms_max(3).build();
    let small = io.of("/small");
    small.rooms_max(1);
    for namespace in [&*io, &small] {
        namespace.on("join", async |me: Socket, room: String| me.join(room));
        namespace.on("rooms", async |me: Socket| me.rooms().len());
    }
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/small", "").await.unwrap();
    assert_eq!(ask(&mut client, "/small", "join", "\"a\"").await, json!([true]));
    assert_eq!(ask(&mut client, "/small", "join", "\"b\"").await, json!([false]));
    for (room, joined) in [("a", true), ("b", true), ("c", true), ("d", false)] {
        let answer = ask(&mut client, "/", "join", &format!("\"{room}\"")).await;
        assert_eq!(answer, json!([joined]), "{room}");
    }
    small.rooms_max(2);
    assert_eq!(ask(&mut client, "/small", "join", "\"b\"").await, json!([true]));
    small.rooms_max(0);
    assert_eq!(ask(&mut client, "/small", "join", "\"c\"").await, json!([false]));
    assert_eq!(ask(&mut client, "/small", "rooms", "").await, json!([3]), "it leaves none");
    assert_eq!(server.stats().rooms_refused, 3);
}

#[tokio::test]
async fn a_name_that_is_too_long_for_a_room_is_refused_before_anybody_is_asked() {
    let io = Server::builder().room_name_bytes_max(6).build();
    let wide = io.of("/wide");
    wide.room_name_bytes_max(7);
    let asked = Arc::new(AtomicUsize::new(0));
    for namespace in [&*io, &wide] {
        namespace.on("join", async |me: Socket, room: String| me.join(room));
        let asked = Arc::clone(&asked);
        namespace.before_join(move |_, _| {
            asked.fetch_add(1, Ordering::Relaxed);
            true
        });
    }
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/wide", "").await.unwrap();
    for (namespace, room, joined) in [
        ("/", "雪雪", true),
        ("/", "雪雪.", false),
        ("/wide", "雪雪.", true),
        ("/wide", "雪雪..", false),
    ] {
        let answer = ask(&mut client, namespace, "join", &format!("\"{room}\"")).await;
        assert_eq!(answer, json!([joined]), "{namespace} {room}");
    }
    assert_eq!((asked.load(Ordering::Relaxed), server.stats().room_names_refused), (2, 2));
    wide.room_name_bytes_max(0);
    let answer = ask(&mut client, "/wide", "join", "\"雪雪.\"").await;
    assert_eq!(answer, json!([true]), "who is in a room is in it");
    let me = socket_of(&server, &client);
    assert!(me.join(&*me.id()), "the room of its own id is no question of length");
    server.everyone().join("much too long");
    assert_eq!(me.rooms(), [client.id.as_str(), "雪雪"]);
    assert_eq!(server.stats().room_names_refused, 3);
}

#[tokio::test]
async fn each_namespace_has_its_ack_timeout_and_asks_max() {
    let io = Server::builder().ack_timeout(LONG).build();
    let curt = io.of("/curt");
    curt.ack_timeout(SHORT).asks_max(1);
    curt.on("ask", async |me: Socket| me.call::<_, _, u8>("q", ()).await.unwrap_err().to_string());
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/curt", "").await.unwrap();

    client.send("2/curt,1[\"ask\"]").await;
    assert_eq!(client.event().await, json!(["q"]));
    assert_eq!(client.next().await.data, json!(["the client did not answer in time"]));
    assert!(curt.everyone().call::<_, _, u8>("q", ()).collect().await.is_empty());
    assert_eq!(client.event().await, json!(["q"]));

    curt.ack_timeout(LONG);
    client.send("2/curt,2[\"ask\"]").await;
    let open = client.next().await;
    assert_eq!(open.data, json!(["q"]));
    let too_many = "too many ack requests to this client are open";
    assert_eq!(ask(&mut client, "/curt", "ask", "").await, json!([too_many]));
    assert_eq!(server.stats().asks_refused, 1);
    curt.asks_max(2);
    client.send("2/curt,3[\"ask\"]").await;
    assert_eq!(client.event().await, json!(["q"]), "another one may be asked now");
    client.send(&format!("3/curt,{}[\"no number\"]", open.ack.unwrap())).await;
    let answer = client.next().await;
    assert_eq!(answer.ack, Some(2));
    assert!(answer.data[0].as_str().unwrap().starts_with("the answer does not fit"), "{answer:?}");
}

#[tokio::test]
async fn the_longest_ack_timeout_is_no_error() {
    let io = Server::builder().ack_timeout(Duration::MAX).build();
    io.of("/b").ack_timeout(Duration::MAX);
    for namespace in ["/", "/b"] {
        let io = io.of(namespace);
        assert!(io.everyone().call::<_, _, u8>("q", ()).collect().await.is_empty());
    }
}

// Handlers.

/// Handlers `work` of a namespace, which wait for a gate and say when they begin.
#[derive(Clone)]
struct Works {
    begun: Arc<Mutex<Vec<u64>>>,
    running: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Works {
    fn new(io: &Server, namespace: &str) -> Self {
        let works = Self {
            begun: Arc::default(),
            running: Arc::default(),
            peak: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let namespace = io.of(namespace);
        namespace.on("echo", async |_: Socket, args: Args| args);
        let all = works.clone();
        namespace.on("work", move |_: Socket, n: u64| {
            let works = all.clone();
            async move {
                works.begun.lock().push(n);
                let running = works.running.fetch_add(1, Ordering::Relaxed) + 1;
                works.peak.fetch_max(running, Ordering::Relaxed);
                works.gate.acquire().await.unwrap().forget();
                works.running.fetch_sub(1, Ordering::Relaxed);
                n
            }
        });
        works
    }

    fn begun(&self) -> Vec<u64> {
        self.begun.lock().clone()
    }
}

#[tokio::test]
async fn no_more_handlers_of_a_socket_wait_than_its_namespace_says() {
    let io = Server::new();
    let works = Works::new(&io, "/few");
    io.of("/few").event_flow(EventFlow::new().handlers_max(2));
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/few", "").await.unwrap();
    for n in 1..=4 {
        client.send(&format!("2/few,{n}[\"work\",{n}]")).await;
    }
    client.send("2/few,5[\"echo\",5]").await;
    assert_eq!(client.ask("echo", "0").await, json!([0]), "other namespaces go on");
    assert_eq!(works.begun(), [1, 2]);

    let mut other = server.client().await;
    other.join("/few", "").await.unwrap();
    assert_eq!(ask(&mut other, "/few", "echo", "6").await, json!([6]), "other sockets do not wait");

    for expected in [1, 2] {
        works.gate.add_permits(1);
        assert_eq!(client.next().await.ack, Some(expected));
    }
    until("the others begin", || works.begun().len() == 4).await;
    assert_eq!(works.begun(), [1, 2, 3, 4], "in the order of their events");
    works.gate.add_permits(1);
    assert_eq!(client.next().await.ack, Some(3));
    assert_eq!(client.next().await.ack, Some(5), "there is room for one that does not wait");
    works.gate.add_permits(1);
    assert_eq!(client.next().await.ack, Some(4));
    assert_eq!(works.peak.load(Ordering::Relaxed), 2);
    assert_eq!(ask(&mut client, "/few", "echo", "7").await, json!([7]), "nothing is in the way");
}

#[tokio::test]
async fn a_socket_that_leaves_takes_its_waiting_events_along() {
    let io = Server::new();
    let works = Works::new(&io, "/few");
    io.of("/few").event_flow(EventFlow::new().handlers_max(1));
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/few", "").await.unwrap();
    for n in 1..=3 {
        client.send(&format!("2/few,{n}[\"work\",{n}]")).await;
    }
    client.send("1/few,").await;
    client.join("/few", "").await.unwrap();
    client.send("2/few,4[\"work\",4]").await;
    client.send("2/few,5[\"work\",5]").await;
    until("the new socket's begins", || works.begun().len() == 2).await;
    works.gate.add_permits(3);
    assert_eq!(client.next().await.ack, Some(4));
    assert_eq!(client.next().await.ack, Some(5));
    assert_eq!(works.begun(), [1, 4, 5]);
}

#[tokio::test]
async fn a_handler_may_ask_its_client_while_others_wait_for_its_place() {
    let io = Server::new();
    io.event_flow(EventFlow::new().handlers_max(1));
    io.on("ask", async |me: Socket| me.call::<_, _, u8>("question", ()).await.unwrap());
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = server.client().await;
    for n in [1, 2] {
        client.send(&format!("2{n}[\"ask\"]")).await;
    }
    client.send("23[\"echo\"]").await;
    for n in [1, 2] {
        let question = client.next().await;
        assert_eq!(question.data, json!(["question"]));
        client.send(&format!("3{}[{n}]", question.ack.unwrap())).await;
        assert_eq!(client.next().await.ack, Some(n));
    }
    assert_eq!(client.next().await.ack, Some(3));
}

#[tokio::test]
async fn of_events_that_wait_for_a_handlers_place_only_so_much_is_read() {
    const EVENTS: u64 = 1_000;
    let io = Server::new();
    let works = Works::new(&io, "/");
    io.on("blob", async |_: Socket, n: u64, _: String| n);
    io.event_flow(EventFlow::new().handlers_max(1));
    let server = start(io).await;
    let mut bystander = server.client().await;
    let mut client = server.client().await;
    client.send("20[\"work\",0]").await;
    let mut writer = client.ws.conn.writer();
    let flood = tokio::spawn(async move {
        // 64 MB, far more than the kernel holds.
        let blob = "x".repeat(64_000);
        for n in 1..=EVENTS {
            let text = format!("42{n}[\"blob\",{n},\"{blob}\"]");
            writer.write_all(&frame_bytes(Opcode::Text, text.as_bytes())).await.unwrap();
        }
    });
    for n in 0..1_000 {
        assert_eq!(bystander.ask("echo", &n.to_string()).await, json!([n]));
    }
    assert!(!flood.is_finished(), "64 MB were read into memory");
    works.gate.add_permits(1);
    for n in 0..=EVENTS {
        assert_eq!(client.next().await.ack, Some(n));
    }
    within(flood).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_or_is_in_order_gives_its_place_back() {
    let io = Server::new();
    let strict = OneEvent::new().ordered(true);
    io.event_flow(EventFlow::new().handlers_max(1).event("strict", strict));
    io.on("strict", async |_: Socket| tokio::task::yield_now().await);
    io.on("loose", async |_: Socket| tokio::task::yield_now().await);
    io.on("bad", async |_: Socket| {
        tokio::task::yield_now().await;
        assert!(std::hint::black_box(false), "on purpose");
    });
    let server = start(io).await;
    let mut client = server.client().await;
    for (n, event) in ["loose", "strict", "loose", "strict", "bad", "loose"].iter().enumerate() {
        client.send(&format!("2{n}[\"{event}\"]")).await;
    }
    for n in 0..5 {
        assert_eq!(client.next().await.ack, Some(n));
    }
    assert_eq!(client.next().await.kind, 1, "a panic costs the socket, and its waiting event");
    client.join("/", "").await.unwrap();
    assert_eq!(client.ask("loose", "").await, json!([]));
}

// Sizes of events.

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_with_the_limit_and_told() {
    let io = Server::new();
    io.event_flow(EventFlow::new().args_bytes_max(10));
    io.on("echo", async |_: Socket, args: Args| args);
    let (told, seen) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (list, count) = (Arc::clone(&told), Arc::clone(&seen));
    io.on_error(move |_, event, error| list.lock().push(format!("{event} {error}")));
    io.on_any(move |_, _, _| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    io.of("/any").on("echo", async |_: Socket, args: Args| args.as_json().len());
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("echo", "\"12345678\"").await, json!(["12345678"]));
    assert_eq!(client.ask("echo", "1,2,3,4,55").await, json!([1, 2, 3, 4, 55]));
    assert_eq!(client.ask("echo", "\"123456789\"").await, too_large(10));
    client.emit("echo", "\"123456789\"").await;
    assert_eq!(client.ask("unknown", "[1,2,3,4,5,6]").await, too_large(10));
    assert_eq!(client.ask("echo", "1").await, json!([1]), "it lives on");
    assert_eq!(server.stats().events_too_large, 3);
    assert_eq!(seen.load(Ordering::Relaxed), 3, "nobody sees what is refused");
    let text = "too_large: the arguments have more than 10 bytes";
    let expected = ["echo", "echo", "unknown"].map(|event| format!("{event} {text}"));
    assert_eq!(*told.lock(), expected);

    client.join("/any", "").await.unwrap();
    let long = format!("\"{}\"", "x".repeat(998));
    assert_eq!(ask(&mut client, "/any", "echo", &long).await, json!([1_000]));
}

#[tokio::test]
async fn single_events_may_be_larger_or_have_to_be_smaller_and_attachments_count() {
    const PLACEHOLDER: &str = "{\"_placeholder\":true,\"num\":0}";
    let io = Server::new();
    let bytes_max = PLACEHOLDER.len() + 70;
    let up_to = |bytes| OneEvent::new().args_bytes_max(bytes);
    let flow = EventFlow::new().args_bytes_max(10);
    io.event_flow(flow.event("avatar", up_to(bytes_max)).event("tiny", up_to(0)));
    for event in ["avatar", "tiny"] {
        io.on(event, async |_: Socket, args: Args| args.attachments().len());
    }
    let server = start(io).await;
    let mut client = server.client().await;
    for (bytes, answer) in [(70, json!([1])), (71, too_large(bytes_max))] {
        client.send(&format!("51-7[\"avatar\",{PLACEHOLDER}]")).await;
        client.ws.send_binary(&vec![0; bytes]).await;
        assert_eq!(client.next().await.data, answer);
    }
    assert_eq!(client.ask("tiny", "").await, json!([0]));
    assert_eq!(client.ask("tiny", "1").await, too_large(0));
    assert_eq!(server.stats().events_too_large, 2);
    server.event_flow(EventFlow::new().args_bytes_max(1).event("tiny", up_to(5)));
    assert_eq!(client.ask("tiny", "1").await, too_large(0), "it holds for those who come later");
    let mut late = server.client().await;
    assert_eq!(late.ask("tiny", "12345").await, json!([0]));
}

// Namespaces that stand for others.

#[tokio::test]
async fn children_have_the_limits_of_their_parent_each_for_itself() {
    let io = Server::builder().ack_timeout(LONG).build();
    let asked = io.of_matching(async |hello: Hello| hello.namespace().starts_with("/asked-"));
    let pattern = io.of_pattern("/room-{id}");
    for parent in [&asked, &pattern] {
        parent.sockets_max(1).rooms_max(1).ack_timeout(SHORT);
        parent.event_flow(EventFlow::new().args_bytes_max(9).handlers_max(1));
        parent.on("join", async |me: Socket, room: String| me.join(room));
        parent.on("ask", async |me: Socket| {
            me.call::<_, _, u8>("q", ()).await.unwrap_err().to_string()
        });
    }
    let server = start(io).await;
    let mut client = server.client().await;
    let mut other = server.client().await;
    for namespace in ["/room-1", "/room-2", "/asked-1", "/asked-2"] {
        client.join(namespace, "").await.unwrap();
        assert_eq!(other.join(namespace, "").await, Err(full()));
        assert_eq!(ask(&mut client, namespace, "join", "\"a\"").await, json!([true]));
        assert_eq!(ask(&mut client, namespace, "join", "\"b\"").await, json!([false]));
        assert_eq!(ask(&mut client, namespace, "join", "\"12345678\"").await, too_large(9));
        client.send(&format!("2{namespace},7[\"ask\"]")).await;
        assert_eq!(client.event().await, json!(["q"]));
        let answer = client.next().await.data;
        assert_eq!(answer, json!(["the client did not answer in time"]));
    }
    server.find("/room-1").unwrap().sockets_max(2);
    other.join("/room-1", "").await.unwrap();
    assert_eq!(other.join("/room-2", "").await, Err(full()), "only that one");
    pattern.sockets_max(2);
    assert_eq!(other.join("/room-2", "").await, Err(full()), "only those that are made later");
    client.join("/room-3", "").await.unwrap();
    other.join("/room-3", "").await.unwrap();
}

#[tokio::test]
async fn a_room_that_is_one_too_many_is_in_the_log_but_does_not_fill_it() {
    let logs = Logs::collect();
    let server = start(Server::builder().rooms_max(1_000).build()).await;
    let client = server.client().await;
    let me = socket_of(&server, &client);
    (0..1_000).for_each(|n| assert!(me.join(n.to_string())));
    (0..50).for_each(|n| assert!(!me.join(format!("more {n}"))));
    assert_eq!(server.stats().rooms_refused, 50);
    let lines = logs.with("rooms_max");
    assert!(matches!(lines.len(), 1..10), "{lines:?}");
    for said in ["WARN", client.id.as_str(), "rooms_max=1000", "namespace=\"/"] {
        assert!(lines[0].contains(said), "{said}: {lines:?}");
    }
}

// What the server says for all of them.

#[tokio::test]
async fn a_namespace_has_the_sockets_max_of_the_server_unless_it_says_otherwise() {
    let io = Server::builder().sockets_max(1).build();
    io.of("/small");
    io.of("/large").sockets_max(2);
    let _rooms = io.of_pattern("/room-{id}");
    io.of("/small").on_connect(async |_: Socket| {});
    let server = start(io).await;
    let mut clients = [Client::open(server.address).await, Client::open(server.address).await];
    for (name, second) in
        [("/small", Err(full())), ("/room-1", Err(full())), ("/large", Ok(())), ("/", Err(full()))]
    {
        clients[0].join(name, "").await.unwrap();
        assert_eq!(clients[1].join(name, "").await.map(drop), second, "{name}");
    }
    assert_eq!(server.stats().sockets_refused, 3);
}

#[tokio::test]
async fn events_have_the_args_bytes_max_of_the_server_unless_their_namespace_says_otherwise() {
    let io = Server::builder().event_flow(EventFlow::new().args_bytes_max(4)).build();
    let rooms = io.of_pattern("/room-{id}");
    let large = io.of("/large");
    large.event_flow(EventFlow::new().args_bytes_max(8));
    for namespace in [&io, &large, &rooms] {
        namespace.on("size", async |_: Socket, args: Args| args.as_json().len());
        namespace.on("file", async |_: Socket, args: Args| args.as_json().len());
        let file = OneEvent::new().args_bytes_max(6);
        namespace.event_flow(EventFlow::new().event("file", file));
    }
    let server = start(io).await;
    let mut client = server.client().await;
    client.join("/large", "").await.unwrap();
    client.join("/room-1", "").await.unwrap();
    for name in ["/", "/room-1"] {
        assert_eq!(ask(&mut client, name, "size", "1234").await, json!([4]));
        assert_eq!(ask(&mut client, name, "size", "12345").await, too_large(4));
        assert_eq!(ask(&mut client, name, "file", "123456").await, json!([6]));
    }
    assert_eq!(ask(&mut client, "/large", "size", "12345678").await, json!([8]));
    assert_eq!(ask(&mut client, "/large", "size", "123456789").await, too_large(8));
    assert_eq!(server.stats().events_too_large, 3);
}
