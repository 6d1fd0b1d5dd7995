//! The client without async: no runtime is anywhere but where the server is.
#![cfg(feature = "blocking")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use roomful::{Hello, Reason, Server};
use roomful_client::blocking::Socket;
use roomful_client::{
    Ack, Args, CallError, Event, EventError, Manager, Status, StreamError, Transport,
};
use support::PATIENCE;

/// A server on a thread of its own, until the sender is dropped.
fn serve(io: &Server) -> (String, tokio::sync::oneshot::Sender<()>) {
    let (tell, url) = mpsc::channel();
    let (alive, ended) = tokio::sync::oneshot::channel();
    let io = io.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = support::serve(&io).await;
            tell.send(site.url.clone()).unwrap();
            let _ = ended.await;
        });
    });
    (url.recv_timeout(PATIENCE).unwrap(), alive)
}

const ADD: Event<(i64, i64), i64> = Event::new("add");
const TWICE: Event<i64, i64> = Event::new("twice");

fn site() -> Server {
    let io = Server::new();
    io.on(ADD, async |_: roomful::Socket, a: i64, b: i64| a + b);
    io.on("echo", async |me: roomful::Socket, args: Args| me.emit("echo", args));
    io.on("never", async |_: roomful::Socket, _ack: roomful::Ack| {
        std::future::pending::<()>().await;
    });
    // Asks back before it answers.
    io.on("ask-me", async |me: roomful::Socket, event: String| {
        me.call::<_, _, Args>(&*event, 21).await.unwrap()
    });
    io
}

#[test]
fn events_and_answers_go_both_ways_without_a_runtime() {
    let (url, _alive) = serve(&site());
    let io = Socket::new(&url).unwrap();
    io.on(TWICE, |_: Socket, n: i64| n * 2);
    let mut echo = io.events::<_, (String, i64)>("echo");
    io.connect().unwrap();
    assert!(io.is_connected() && io.id().is_some());
    io.emit("echo", ("a", 1));
    assert!(io.arrived());
    assert_eq!(echo.next().unwrap().unwrap(), ("a".to_owned(), 1));
    assert_eq!(io.call(ADD, (1, 2)).wait().unwrap(), 3);
    assert_eq!(io.call::<_, _, i64>("ask-me", "twice").wait().unwrap(), 42);
    let none = io.call::<_, _, ()>("never", ()).timeout(Duration::from_millis(20)).wait();
    assert!(matches!(none, Err(CallError::Timeout)), "{none:?}");
    io.close();
    assert!(matches!(io.status(), Status::Disconnected(_)));
    // And again.
    io.connect().unwrap();
    assert_eq!(io.call(ADD, (2, 2)).wait().unwrap(), 4);
}

#[test]
fn a_handler_may_wait_for_an_answer_and_the_others_come_in_order() {
    let (url, _alive) = serve(&site());
    let io = Socket::new(&url).unwrap();
    let (tell, heard) = mpsc::channel();
    io.on("echo", move |me: Socket, n: i64| {
        let sum = me.call(ADD, (n, 100)).wait().unwrap();
        tell.send(sum).unwrap();
    });
    io.connect().unwrap();
    (0..50).for_each(|n| io.emit("echo", n));
    for n in 0..50 {
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), n + 100);
    }
}

#[test]
fn what_goes_wrong_in_a_handler_is_answered() {
    let (url, _alive) = serve(&site());
    let io = Socket::new(&url).unwrap();
    io.on("panics", |_: Socket, n: i64| assert!(n < 0, "as asked"));
    io.on("fails", |_: Socket, _: i64| Err::<i64, _>(EventError::new("odd", "it is odd")));
    io.on("misfit", |_: Socket, _: Vec<String>| {});
    io.on("acks", |_: Socket, n: i64, ack: Ack| {
        thread::spawn(move || ack.send(n));
    });
    io.connect().unwrap();
    let ask = |event: &str| io.call::<_, _, Result<i64, EventError>>("ask-me", event).wait();
    assert!(ask("panics").unwrap().is_err());
    assert_eq!(ask("fails").unwrap().unwrap_err().code(), "odd");
    assert!(ask("misfit").unwrap().is_err());
    assert_eq!(io.call::<_, _, i64>("ask-me", "acks").wait().unwrap(), 21);
}

#[test]
fn the_last_handle_closes_the_connection_and_frees_what_handlers_hold() {
    let io = site();
    let (tell, left) = mpsc::channel();
    io.on_disconnect(move |_: roomful::Socket, why: Reason| {
        let tell = tell.clone();
        async move { tell.send(why).unwrap() }
    });
    let (url, _alive) = serve(&io);
    let io = Socket::new(&url).unwrap();
    let (held, freed) = mpsc::channel::<()>();
    io.on("echo", move |_: Socket| held.send(()).unwrap());
    let (greeted, greeting) = mpsc::channel();
    io.on_connect(move |me: Socket| greeted.send(me.id()).unwrap());
    let echo = io.events::<_, i64>("echo");
    io.connect().unwrap();
    assert_eq!(greeting.recv_timeout(PATIENCE).unwrap(), io.id());
    drop(io);
    assert_eq!(left.recv_timeout(PATIENCE).unwrap(), Reason::ClientNamespaceDisconnect);
    // The iterator ends, and no handler is left that could send.
    assert_eq!(echo.count(), 0);
    assert_eq!(freed.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(greeting.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_handler_may_close_its_client_and_drop_the_last_of_it() {
    let io = site();
    let (tell, left) = mpsc::channel();
    io.on_disconnect(move |_: roomful::Socket, why: Reason| {
        let tell = tell.clone();
        async move { tell.send(why).unwrap() }
    });
    let (url, _alive) = serve(&io);
    let io = Socket::new(&url).unwrap();
    let (told, heard) = mpsc::channel();
    let (others, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    io.on("echo", move |me: Socket, n: i64| {
        told.send(n).unwrap();
        match n {
            0 => {
                me.close();
                me.connect().unwrap();
            }
            1 => panic!("as asked"),
            // By then nobody else has the client.
            _ => drop(gone.lock().unwrap().recv()),
        }
    });
    io.connect().unwrap();
    io.emit("echo", 0);
    assert_eq!(left.recv_timeout(PATIENCE).unwrap(), Reason::ClientNamespaceDisconnect);
    io.emit("echo", 1);
    io.emit("echo", 2);
    for n in 0..3 {
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), n);
    }
    drop((io, others));
    assert_eq!(left.recv_timeout(PATIENCE).unwrap(), Reason::ClientNamespaceDisconnect);
    // What the handler held is freed.
    assert_eq!(heard.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_client_that_never_connected_ends_too() {
    let io = Socket::new("http://127.0.0.1:9").unwrap();
    let events = io.events::<_, i64>("echo");
    let (held, freed) = mpsc::channel::<()>();
    io.on("echo", move |_: Socket| held.send(()).unwrap());
    drop(io);
    assert_eq!(events.count(), 0);
    assert_eq!(freed.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[tokio::test]
async fn it_works_in_a_program_that_has_a_runtime_all_the_same() {
    let (url, _alive) = serve(&site());
    let io = Socket::new(&url).unwrap();
    io.connect().unwrap();
    assert_eq!(io.call(ADD, (1, 2)).wait().unwrap(), 3);
}

#[test]
fn events_are_waited_for_as_long_as_is_said() {
    let (url, _alive) = serve(&site());
    let io = Socket::new(&url).unwrap();
    let mut echo = io.events::<_, i64>("echo");
    io.connect().unwrap();
    assert!(matches!(echo.next_timeout(Duration::ZERO), Some(Err(StreamError::Timeout))));
    let short = Duration::from_millis(5);
    assert!(matches!(echo.next_timeout(short), Some(Err(StreamError::Timeout))));
    io.emit("echo", 1);
    assert_eq!(echo.next_timeout(PATIENCE).unwrap().unwrap(), 1);
    io.emit("echo", 2);
    assert_eq!(echo.next_timeout(Duration::MAX).unwrap().unwrap(), 2);
    io.emit("echo", "three");
    assert!(matches!(echo.next_timeout(PATIENCE), Some(Err(StreamError::Misfit(_)))));
    drop(io);
    assert!(echo.next_timeout(PATIENCE).is_none());
}

#[test]
fn a_status_is_waited_for_as_long_as_is_said() {
    let (url, _alive) = serve(&site());
    let io = Socket::new(&url).unwrap();
    assert!(matches!(io.wait_for(Status::is_connected, Duration::from_millis(5)), Status::Idle));
    assert!(!io.is_active());
    let waits = io.clone();
    let connected = thread::spawn(move || waits.wait_for(Status::is_connected, Duration::MAX));
    io.connect().unwrap();
    assert!(io.is_active() && !io.is_recovered());
    assert!(connected.join().unwrap().is_connected());
    io.disconnect();
    assert!(matches!(io.wait_for(Status::is_final, PATIENCE), Status::Disconnected(_)));
    // One that holds already.
    assert!(io.wait_for(|status| !status.is_connected(), Duration::ZERO).is_final());
}

#[test]
fn listeners_see_what_comes_and_goes_and_may_wait_for_an_answer() {
    let (url, _alive) = serve(&site());
    let io = Socket::new(&url).unwrap();
    let (tell, told) = mpsc::channel();
    let (any, outgoing, own) = (tell.clone(), tell.clone(), tell);
    let asks = io.clone();
    io.on_any(move |name, args| {
        let n: i64 = args.get(0).unwrap();
        // The connection goes on meanwhile.
        let sum = asks.call(ADD, (n, 100)).wait().unwrap();
        any.send(format!("any {name} {sum}")).unwrap();
        assert_ne!(n, 1, "as asked");
    });
    io.on_any_outgoing(move |name, args| {
        outgoing.send(format!("out {name} {}", args.iter().count())).unwrap();
    });
    io.on("echo", move |_: Socket, n: i64| own.send(format!("echo {n}")).unwrap());
    io.connect().unwrap();
    io.emit("echo", 1);
    let next = || told.recv_timeout(PATIENCE).unwrap();
    let first: Vec<_> = (0..4).map(|_| next()).collect();
    assert_eq!(first, ["out echo 1", "out add 2", "any echo 101", "echo 1"]);
    // A listener that has panicked goes on, too.
    io.emit("echo", 2);
    let second: Vec<_> = (0..4).map(|_| next()).collect();
    assert_eq!(second, ["out echo 1", "out add 2", "any echo 102", "echo 2"]);
    io.off_any();
    io.emit("echo", 3);
    assert_eq!(next(), "echo 3");
}

#[test]
fn an_event_without_a_handler_goes_to_the_listener_which_may_wait() {
    let (url, _alive) = serve(&site());
    let io = Socket::new(&url).unwrap();
    let asks = io.clone();
    io.on_unhandled(move |name, args, ack| {
        let (a, b): (&str, i64) = (name, args.get(0).unwrap());
        let sum = asks.call(ADD, (a.len() as i64, b)).wait().unwrap();
        ack.send(sum);
    });
    io.connect().unwrap();
    assert_eq!(io.call::<_, _, i64>("ask-me", "strange").wait().unwrap(), 28);
}

#[test]
fn a_listener_that_takes_its_time_holds_up_the_reading_and_nothing_piles_up() {
    let io = site();
    io.on("flood", async |me: roomful::Socket, events: usize| {
        (0..events).for_each(|n| me.emit("drop", "x".repeat(1024) + &n.to_string()));
    });
    let (url, _alive) = serve(&io);
    let builder = Manager::builder(&url).unwrap().handlers_max(2).inbox_bytes_max(16 * 1024);
    let io = Socket::build(builder.transports([Transport::WebSocket]), "/").unwrap();
    let (go_on, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let wait = Mutex::new(wait);
    io.on_any(move |name, _| {
        let _ = wait.lock().unwrap().recv();
        tell.send(name.to_owned()).unwrap();
    });
    io.connect().unwrap();
    io.emit("flood", 200);
    let began = Instant::now();
    while io.manager().stats().pauses == 0 {
        assert!(began.elapsed() < PATIENCE, "it reads all");
        thread::sleep(Duration::from_millis(1));
    }
    // The answer stands behind what is not read.
    let answer = io.call(ADD, (1, 2)).timeout(Duration::from_millis(200)).wait();
    assert!(matches!(answer, Err(CallError::Timeout)), "{answer:?}");
    drop(go_on);
    for _ in 0..200 {
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "drop");
    }
}

#[derive(serde::Deserialize)]
struct Login {
    token: u64,
}

#[test]
fn an_auth_payload_is_made_anew_each_time_also_while_a_handler_waits_for_it() {
    let (tell, told) = mpsc::channel();
    let io = Server::new();
    let private = io.of("/private").connect(move |hello: Hello| {
        let token = hello.auth::<Login>().map(|login| login.token);
        let _ = tell.send(token.as_ref().ok().copied());
        std::future::ready(token.map(drop))
    });
    private.on("put-me-out", async |me: roomful::Socket| me.disconnect());
    let (url, _alive) = serve(&io);
    let io = Socket::new(&format!("{url}/private")).unwrap();
    let tokens = AtomicU64::new(0);
    io.auth_with(move || serde_json::json!({ "token": tokens.fetch_add(1, Ordering::Relaxed) }));
    let (tell, back) = mpsc::channel();
    io.on_disconnect(move |me: Socket, _| tell.send(me.connect().is_ok()).unwrap());
    io.connect().unwrap();
    for token in 0..3 {
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Some(token));
        io.emit("put-me-out", ());
        assert!(back.recv_timeout(PATIENCE).unwrap());
    }
}

#[test]
fn an_auth_function_that_panics_costs_its_attempt_only() {
    let (url, _alive) = serve(&site());
    let builder = Manager::builder(&url).unwrap().connect_timeout(Duration::from_secs(3));
    let io = Socket::build(builder, "/").unwrap();
    io.auth_with(|| -> () { panic!("as asked") });
    assert!(io.connect().is_err());
    io.auth_with(|| serde_json::json!({})).connect().unwrap();
}

#[test]
fn events_are_sent_again_until_their_ack_comes() {
    let io = site();
    let (tell, told) = mpsc::channel();
    io.on("order", move |_: roomful::Socket, n: i64, key: String, ack: roomful::Ack| {
        tell.send((n, key, ack)).unwrap();
        std::future::ready(())
    });
    let (url, _alive) = serve(&io);
    let builder = Manager::builder(&url).unwrap().retries(1_000, Duration::from_millis(20));
    let io = Socket::build(builder, "/").unwrap();
    io.retry_events(true).connect().unwrap();
    io.emit("order", 7);
    io.emit("order", 8);
    let (n, key, _unanswered) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(n, 7);
    // All from the second time on are answered, until one is in time and the next event has its turn.
    let other = loop {
        let (n, same, ack) = told.recv_timeout(PATIENCE).unwrap();
        ack.send(());
        if n == 8 {
            break same;
        }
        assert_eq!((n, &same), (7, &key));
    };
    assert_ne!(other, key);
}

#[test]
fn what_waits_can_be_dropped() {
    let io = Socket::new("http://127.0.0.1:9").unwrap();
    io.send("hello");
    io.emit_uncompressed("secret", 1);
    assert!(io.manager().waiting_bytes() > 0);
    assert_eq!(io.clear_buffer(), 2);
    assert_eq!(io.manager().waiting_bytes(), 0);
}
