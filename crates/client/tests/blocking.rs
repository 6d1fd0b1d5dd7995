//! The client without async: no runtime is anywhere but where the server is.
#![cfg(feature = "blocking")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use roomful::{Reason, Server};
use roomful_client::blocking::Socket;
use roomful_client::{Ack, Args, CallError, Event, EventError, Status};
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
