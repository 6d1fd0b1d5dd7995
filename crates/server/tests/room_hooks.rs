//! Functions around rooms: those that decide who may join, and those that are told of who has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use roomful::{Listener, Namespace, Recovery, RoomEvent, Server, Socket, SocketId};
use serde_json::json;
use support::*;

/// What was told, in order; sockets by the first letters of their ids.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn add(&self, event: RoomEvent<'_>) {
        self.0.lock().push(match event {
            RoomEvent::Created(room) => format!("created {room}"),
            RoomEvent::Joined(room, who) => format!("joined {room} {who}"),
            RoomEvent::Left(room, who) => format!("left {room} {who}"),
            RoomEvent::Deleted(room) => format!("deleted {room}"),
            other => format!("{other:?}"),
        });
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

fn watch(namespace: &Namespace) -> (Told, Listener) {
    let told = Told::default();
    let to = told.clone();
    let listener = namespace.on_room(move |_, event| to.add(event));
    (told, listener)
}

fn rooms(io: &Server) {
    io.on("join", async |me: Socket, room: String| me.join(room));
    io.on("leave", async |me: Socket, room: String| me.leave(room));
    io.on("rooms", async |me: Socket| me.rooms().len());
}

// Who may join.

#[tokio::test]
async fn whoever_lets_a_socket_join_is_told_that_it_was_refused() {
    let io = Server::new();
    rooms(&io);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    io.before_join(move |me, room| {
        count.fetch_add(1, Ordering::Relaxed);
        room != "secret" && room != me.id().as_str()
    });
    io.before_join(|_, room| room != "closed");
    let server = start(io).await;
    let mut client = server.client().await;
    let me = socket_of(&server, &client);
    assert_eq!(client.ask("join", "\"open\"").await, json!([true]));
    assert_eq!(client.ask("join", "\"secret\"").await, json!([false]));
    assert_eq!(client.ask("join", "\"closed\"").await, json!([false]));
    assert!(!me.join(["lobby", "secret", "hall"]), "not all of them");
    server.everyone().join(["selected", "secret"]);
    for found in server.everyone().sockets().await {
        found.join(["found", "closed"]);
    }
    let mut rooms = me.rooms();
    rooms.sort_unstable();
    let mut expected = vec![client.id.as_str(), "open", "lobby", "hall", "selected", "found"];
    expected.sort_unstable();
    assert_eq!(rooms, expected);
    assert_eq!(server.stats().joins_refused, 5);
    // Where it is already, its own room too, nobody is asked.
    let before = asked.load(Ordering::Relaxed);
    assert!(me.join(["open", client.id.as_str()]));
    assert_eq!(asked.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn a_function_that_panics_refuses_and_costs_nothing_else() {
    let io = Server::new();
    rooms(&io);
    let told = Told::default();
    let errors = told.clone();
    io.on_error(move |_, event, error| errors.0.lock().push(format!("{event}: {error}")));
    io.before_join(|_, room| {
        assert_ne!(room, "bad", "a bad room");
        true
    });
    let server = start(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("join", "\"bad\"").await, json!([false]));
    assert_eq!(client.ask("join", "\"good\"").await, json!([true]));
    let told = told.take();
    assert!(told[0].starts_with("join: internal_error") && told[0].contains("a bad room"));
    assert_eq!((told.len(), server.stats().panics, server.stats().joins_refused), (1, 1, 1));
}

/// It may look at the rooms, join others and send.
#[tokio::test]
async fn no_lock_is_held_while_it_is_asked() {
    if is_for_one_node("each node tells of its own sockets") {
        return;
    }
    let io = Server::builder().recovery(Recovery::new()).build();
    rooms(&io);
    io.before_join(|me, room| {
        if room == "inner" {
            return true;
        }
        me.emit("asked", room);
        let crowd = me.everyone().to(room).local_ids().len();
        crowd < 1 && me.join("inner") && me.is_in("inner")
    });
    let server = start(io).await;
    let mut first = server.client().await;
    let mut second = server.client().await;
    first.emit("join", "\"seat\"").await;
    assert_eq!(first.event().await.as_array().unwrap()[..2], [json!("asked"), json!("seat")]);
    second.emit("join", "\"seat\"").await;
    assert_eq!(second.event().await.as_array().unwrap()[..2], [json!("asked"), json!("seat")]);
    assert_eq!(second.ask("rooms", "").await, json!([1]), "its own");
    assert_eq!(first.ask("rooms", "").await, json!([3]));
}

// What is told.

#[tokio::test]
async fn who_comes_and_goes_is_told_in_order() {
    if is_for_one_node("each node tells of its own sockets") {
        return;
    }
    let io = Server::new();
    rooms(&io);
    let (told, listener) = watch(&io);
    let server = start(io).await;
    let mut one = server.client().await;
    let mut two = server.client().await;
    let (a, b) = (one.id.clone(), two.id.clone());
    assert_eq!(told.take(), [""; 0], "nothing of the rooms of their own ids");
    one.ask("join", "\"r\"").await;
    one.ask("join", "\"r\"").await;
    two.ask("join", "\"r\"").await;
    one.ask("leave", "\"r\"").await;
    one.ask("leave", "\"r\"").await;
    let expected = [
        "created r".to_owned(),
        format!("joined r {a}"),
        format!("joined r {b}"),
        format!("left r {a}"),
    ];
    assert_eq!(told.take(), expected);
    server.everyone().join("s");
    assert_eq!(told.take().len(), 3, "created once, and joined by two");
    drop(two);
    until("the client gone", || server.len() == 1).await;
    let left = told.take();
    assert_eq!(left, [format!("left r {b}"), "deleted r".to_owned(), format!("left s {b}")]);
    server.everyone().leave(["s", "none"]);
    assert_eq!(told.take(), [format!("left s {a}"), "deleted s".to_owned()]);
    listener.off();
    one.ask("join", "\"r\"").await;
    assert_eq!(told.take(), [""; 0]);
}

/// Dropping the last function registers another: just between the two steps in which the last one goes.
#[tokio::test]
async fn a_function_that_comes_while_the_last_one_goes_is_told() {
    struct Successor(Namespace, Told);
    impl Drop for Successor {
        fn drop(&mut self) {
            let told = self.1.clone();
            self.0.on_room(move |_, event| told.add(event));
        }
    }
    let io = Server::new();
    rooms(&io);
    let told = Told::default();
    let successor = Successor(Namespace::clone(&io), told.clone());
    let listener = io.on_room(move |_, _| {
        let _kept = &successor;
    });
    let server = start(io).await;
    let mut client = server.client().await;
    listener.off();
    client.ask("join", "\"r\"").await;
    assert_eq!(told.take(), ["created r".to_owned(), format!("joined r {}", client.id)]);
}

#[tokio::test]
async fn what_a_function_does_itself_is_told_when_it_has_returned() {
    if is_for_one_node("each node tells of its own sockets") {
        return;
    }
    let io = Server::new();
    rooms(&io);
    let namespace = io.clone();
    let told = Told::default();
    let to = told.clone();
    io.on_room(move |io, event| {
        to.add(event);
        if let RoomEvent::Joined("first", who) = event {
            namespace.socket(who).unwrap().join("second");
            io.to("first").emit("welcome", io.name());
            to.0.lock().push("returned".to_owned());
        }
    });
    io.on_room(|_, event| assert!(!matches!(event, RoomEvent::Joined("first", _)), "no"));
    let server = start(io).await;
    let mut client = server.client().await;
    client.emit("join", "\"first\"").await;
    assert_eq!(client.event().await, json!(["welcome", "/"]));
    let id = &client.id;
    let expected = [
        "created first".to_owned(),
        format!("joined first {id}"),
        "returned".to_owned(),
        "created second".to_owned(),
        format!("joined second {id}"),
    ];
    until("all is told", || told.0.lock().len() == expected.len()).await;
    assert_eq!(told.take(), expected);
    assert_eq!(server.stats().panics, 1);
}

#[tokio::test]
async fn a_function_that_comes_while_news_is_told_is_told_what_happens_after() {
    let io = Server::new();
    rooms(&io);
    let told = Told::default();
    let to = told.clone();
    io.on_room(move |io, event| {
        if let RoomEvent::Joined("first", who) = event {
            let told = to.clone();
            io.on_room(move |_, event| told.add(event));
            io.socket(who).unwrap().join("second");
        }
    });
    let server = start(io).await;
    let mut client = server.client().await;
    client.ask("join", "\"first\"").await;
    assert_eq!(told.take(), ["created second".to_owned(), format!("joined second {}", client.id)]);
}

/// More than one caller tells by itself, in a runtime and outside of one.
#[tokio::test]
async fn much_that_happens_at_once_is_all_told() {
    const MANY: usize = 2_500;
    let io = Server::builder().rooms_max(2 * MANY).build();
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    io.on_room(move |io, event| {
        if let RoomEvent::Joined(room, who) = event {
            list.lock().push(room.to_owned());
            if let Some(first) = room.strip_prefix("many from ") {
                let first: usize = first.parse().unwrap();
                let rooms: Vec<_> = (first..first + MANY).map(|n| n.to_string()).collect();
                io.socket(who).unwrap().join(rooms);
            }
        }
    });
    let server = start(io).await;
    let client = server.client().await;
    let me = socket_of(&server, &client);
    let expected = |first: usize| {
        let rooms = (first..first + MANY).map(|n| n.to_string());
        std::iter::once(format!("many from {first}")).chain(rooms).collect::<Vec<_>>()
    };
    me.join("many from 0");
    until("all is told", || told.lock().len() > MANY).await;
    assert_eq!(std::mem::take(&mut *told.lock()), expected(0));
    me.leave(me.rooms());
    let joining = std::thread::spawn(move || me.join(format!("many from {MANY}")));
    assert!(joining.join().unwrap());
    assert_eq!(*told.lock(), expected(MANY));
}

/// Many threads join and leave the same rooms. What is told adds up at each step.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_tasks_do_at_once_is_told_in_the_order_in_which_it_happened() {
    if is_for_one_node("each node tells of its own sockets") {
        return;
    }
    const ROOMS: usize = 3;
    const ROUNDS: usize = 500;
    let io = Server::new();
    let members: Arc<Mutex<HashMap<String, HashSet<SocketId>>>> = Arc::default();
    let seen = Arc::new(AtomicUsize::new(0));
    let (of, count) = (Arc::clone(&members), Arc::clone(&seen));
    io.on_room(move |_, event| {
        let mut members = of.lock();
        let fits = match event {
            RoomEvent::Created(room) => members.insert(room.to_owned(), HashSet::new()).is_none(),
            RoomEvent::Joined(room, who) => members.get_mut(room).is_some_and(|m| m.insert(who)),
            RoomEvent::Left(room, who) => members.get_mut(room).is_some_and(|m| m.remove(&who)),
            RoomEvent::Deleted(room) => members.remove(room).is_some_and(|m| m.is_empty()),
            _ => false,
        };
        assert!(fits, "{event:?} does not fit what was told before");
        // How many rooms come to be and go is not known before.
        if matches!(event, RoomEvent::Joined(..) | RoomEvent::Left(..)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let server = start(io).await;
    let mut clients = Vec::new();
    let mut tasks = Vec::new();
    for n in 0..4 {
        let client = server.client().await;
        let me = socket_of(&server, &client);
        clients.push(client);
        tasks.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                let room = ((n + round) % ROOMS).to_string();
                assert!(me.join(&room) && me.leave(&room));
                if round % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    for task in tasks {
        within(task).await.unwrap();
    }
    until("all is told", || seen.load(Ordering::Relaxed) == 4 * ROUNDS * 2).await;
    until("nobody is anywhere", || members.lock().is_empty()).await;
    assert_eq!(server.stats().panics, 0);
}

#[tokio::test]
async fn the_namespaces_that_one_stands_for_tell_it_too() {
    let io = Server::new();
    let parent = io.of_pattern("/room-{id}");
    parent.on_connect(async |me: Socket| {
        me.join("r");
    });
    parent.before_join(|me, _| me.param("id") != Some("3"));
    let told = Told::default();
    let early = told.clone();
    parent.on_room(move |io, event| {
        early.0.lock().push(format!(
            "early {} {}",
            io.name(),
            matches!(event, RoomEvent::Created(_))
        ));
    });
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    client.join("/room-1", "").await.unwrap();
    until("told", || told.0.lock().len() == 2).await;
    assert_eq!(told.take(), ["early /room-1 true", "early /room-1 false"]);
    let late = told.clone();
    let listener = parent.on_room(move |io, _| late.0.lock().push(format!("late {}", io.name())));
    parent.everyone().leave("r");
    assert_eq!(told.take().concat(), "early /room-1 falselate /room-1".repeat(2));
    listener.off();
    client.join("/room-2", "").await.unwrap();
    until("told", || told.0.lock().len() == 2).await;
    assert_eq!(told.take(), ["early /room-2 true", "early /room-2 false"]);
    client.join("/room-3", "").await.unwrap();
    until("refused", || server.stats().joins_refused == 1).await;
    assert_eq!(told.take(), [""; 0]);
}

#[tokio::test]
async fn a_function_that_comes_while_a_child_is_made_is_told_of_it() {
    if is_for_one_node("each node tells of its own sockets") {
        return;
    }
    let io = Server::new();
    let parent = io.of_pattern("/room-{id}");
    parent.on_connect(async |me: Socket| {
        me.join("r");
    });
    let told = Told::default();
    let (of, to) = (parent.clone(), told.clone());
    io.on_new_namespace(move |_| {
        let told = to.clone();
        of.on_room(move |_, event| told.add(event));
    });
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let id = client.join("/room-1", "").await.unwrap();
    until("joined", || parent.everyone().to("r").local_ids().len() == 1).await;
    parent.everyone().leave("r");
    let expected = [
        "created r".to_owned(),
        format!("joined r {id}"),
        format!("left r {id}"),
        "deleted r".to_owned(),
    ];
    assert_eq!(told.take(), expected);
}

#[tokio::test]
async fn a_socket_that_comes_back_is_not_asked_again_and_is_told_to_have_come_back() {
    let io = Server::builder().recovery(Recovery::new()).build();
    rooms(&io);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // Once only: it could not join again.
    io.before_join(move |_, _| count.fetch_add(1, Ordering::Relaxed) == 0);
    let (told, _) = watch(&io);
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    client.send("0{\"none\":0}").await;
    let joined = client.next().await.data;
    let id = joined["sid"].as_str().unwrap();
    assert_eq!(client.ask("join", "\"r\"").await, json!([true]));
    drop(client);
    until("lost", || server.is_empty()).await;
    let mut client = Client::open(server.address).await;
    client.send(&format!("0{{\"pid\":{},\"none\":0}}", joined["pid"])).await;
    assert_eq!(client.next().await.data["sid"], id);
    assert_eq!(client.ask("rooms", "").await, json!([2]));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let came = ["created r".to_owned(), format!("joined r {id}")];
    let went = [format!("left r {id}"), "deleted r".to_owned()];
    assert_eq!(told.take(), [&came[..], &went, &came].concat());
}
