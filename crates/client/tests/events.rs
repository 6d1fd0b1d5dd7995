//! Events and acks in both directions, on every transport.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use roomful::Server;
use roomful_client::{Args, Bytes, CallError, Event, EventError, Socket};
use support::{WAYS, builder, main_socket, serve, soon};

fn site() -> Server {
    let io = Server::new();
    io.on("echo", async |me: roomful::Socket, args: Args| me.emit("echo", args));
    io.on("ask", async |_: roomful::Socket, args: Args| args);
    io.on("add", async |_: roomful::Socket, a: i64, b: i64| a + b);
    io.on("divide", async |_: roomful::Socket, a: i64, b: i64| {
        a.checked_div(b).ok_or_else(|| EventError::new("zero", "division by zero"))
    });
    io.on("never", async |_: roomful::Socket, _ack: roomful::Ack| {
        std::future::pending::<()>().await;
    });
    io.on("question-me", async |me: roomful::Socket, n: i32| {
        let asked: Vec<_> = (0..n).map(|i| me.call::<_, _, i32>("question", i)).collect();
        let mut answers = Vec::new();
        for asked in asked {
            answers.push(asked.await.unwrap());
        }
        me.emit("answered", answers);
    });
    io
}

#[tokio::test]
async fn an_event_and_its_answer_go_both_ways() {
    let io = site();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        let mut echo = socket.events::<_, (String, i32, Bytes)>("echo");
        soon(socket.connect()).await.unwrap();
        assert!(socket.is_connected() && socket.id().is_some());
        let bytes = Bytes::from_static(&[0, 1, 255]);
        socket.emit("echo", ("a", 1, bytes.clone()));
        let (text, number, found) = soon(echo.next()).await.unwrap().unwrap();
        assert_eq!((text.as_str(), number, found), ("a", 1, bytes.clone()));
        let sum: i64 = soon(socket.call("add", (1, 2))).await.unwrap();
        assert_eq!(sum, 3);
        let nested: (Bytes, i32) = soon(socket.call::<_, _, Args>("ask", (bytes.clone(), 7)))
            .await
            .unwrap()
            .read()
            .unwrap();
        assert_eq!(nested, (bytes, 7));
    }
}

/// An event whose answer has two arguments.
const HALVE: Event<i64, (i64, i64)> = Event::new("halve");

#[tokio::test]
async fn an_event_whose_answer_is_a_tuple_goes_both_ways() {
    let io = Server::new();
    io.on(HALVE, async |_: roomful::Socket, n: i64| (n / 2, n % 2));
    io.on("question-me", async |me: roomful::Socket, n: i64| me.call(HALVE, n).await.ok());
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        socket.on(HALVE, async |_: Socket, n: i64| (n / 2, n % 2));
        soon(socket.connect()).await.unwrap();
        assert_eq!(soon(socket.call(HALVE, 7)).await.unwrap(), (3, 1));
        let answered: Option<(i64, i64)> = soon(socket.call("question-me", 9)).await.unwrap();
        assert_eq!(answered, Some((4, 1)));
    }
}

#[tokio::test]
async fn many_questions_at_once_find_their_answers() {
    let io = site();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        let mut answered = socket.events::<_, Vec<i32>>("answered");
        socket.on("question", async |_: Socket, n: i32| {
            // Later ones answer first.
            tokio::time::sleep(Duration::from_millis(20 - n as u64)).await;
            n * 10
        });
        soon(socket.connect()).await.unwrap();
        let asked: Vec<_> = (0..100).map(|n| socket.call::<_, _, i64>("add", (n, n))).collect();
        for (n, asked) in asked.into_iter().enumerate() {
            assert_eq!(soon(asked).await.unwrap(), 2 * n as i64);
        }
        socket.emit("question-me", 20);
        let answers = soon(answered.next()).await.unwrap().unwrap();
        assert_eq!(answers, (0..20).map(|n| n * 10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_fallible_answer_is_a_result() {
    let io = site();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    soon(socket.connect()).await.unwrap();
    let half: Result<i64, EventError> = soon(socket.call("divide", (4, 2))).await.unwrap();
    assert_eq!(half.unwrap(), 2);
    let none: Result<i64, EventError> = soon(socket.call("divide", (4, 0))).await.unwrap();
    assert_eq!(none.unwrap_err().code(), "zero");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let io = site();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    soon(socket.connect()).await.unwrap();
    let call = socket.call::<_, _, ()>("never", ()).timeout(Duration::from_millis(30));
    assert!(matches!(soon(call).await, Err(CallError::Timeout)));
    let wrong = soon(socket.call::<_, _, Vec<String>>("add", (1, 2))).await;
    assert!(matches!(wrong, Err(CallError::Answer(_))), "{wrong:?}");
    let reserved = soon(socket.call::<_, _, ()>("connect", ())).await;
    assert!(matches!(reserved, Err(CallError::ReservedEvent)));
}

#[tokio::test]
async fn a_handler_that_waits_or_panics_holds_up_nothing() {
    let io = site();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let told = Arc::new(told);
    let tell = Arc::clone(&told);
    socket.on("echo", move |_: Socket, n: i32| {
        let tell = Arc::clone(&tell);
        async move {
            match n {
                0 => std::future::pending().await,
                1 => panic!("as asked"),
                n => tell.send(n).unwrap(),
            }
        }
    });
    soon(socket.connect()).await.unwrap();
    for n in 0..4 {
        socket.emit("echo", n);
    }
    assert_eq!(soon(heard.recv()).await, Some(2));
    assert_eq!(soon(heard.recv()).await, Some(3));
    assert_eq!(soon(socket.call::<_, _, i64>("add", (1, 1))).await.unwrap(), 2);
}

#[tokio::test]
async fn what_is_emitted_before_the_connection_is_there_goes_with_it() {
    let io = site();
    let site = serve(&io).await;
    for way in WAYS {
        let socket = main_socket(builder(&site, way));
        let mut echo = socket.events::<_, i32>("echo");
        for n in 0..100 {
            socket.emit("echo", n);
        }
        let sum = socket.call::<_, _, i64>("add", (20, 22));
        socket.emit_volatile("echo", 1000);
        soon(socket.connect()).await.unwrap();
        assert_eq!(soon(sum).await.unwrap(), 42);
        for n in 0..100 {
            assert_eq!(soon(echo.next()).await.unwrap().unwrap(), n);
        }
        let manager = socket.manager();
        soon(manager.drained()).await;
        assert_eq!(manager.waiting_bytes(), 0);
        soon(manager.close()).await;
        assert!(!socket.is_connected());
    }
}

#[tokio::test]
async fn an_event_without_a_handler_goes_to_the_listener_with_its_ack() {
    let io = site();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    let mut answered = socket.events::<_, Vec<i32>>("answered");
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    socket.on("echo", async |_: Socket| ());
    socket.on_unhandled(move |name, args, ack| {
        told.send((name.to_owned(), args.clone(), ack.is_wanted())).unwrap();
        ack.send(args.get::<i32>(0).unwrap_or_default() + 1);
    });
    soon(socket.connect()).await.unwrap();
    socket.emit("echo", ());
    socket.emit("question-me", 1);
    assert_eq!(soon(answered.next()).await.unwrap().unwrap(), [1]);
    let first = soon(heard.recv()).await.unwrap();
    assert_eq!(first, ("question".to_owned(), Args::new(&0).unwrap(), true));
    let second = soon(heard.recv()).await.unwrap();
    assert_eq!((second.0.as_str(), second.2), ("answered", false));
}

#[test]
fn the_path_of_a_url_is_the_namespace() {
    let namespace = |url| roomful_client::Manager::builder(url).unwrap().namespace().to_owned();
    assert_eq!(namespace("http://localhost:3000"), "/");
    assert_eq!(namespace("localhost:3000/chat?x=1"), "/chat");
}

/// What a function was called with, in the order of the calls.
type Said = tokio::sync::mpsc::UnboundedReceiver<String>;

fn teller() -> (impl Fn(String) + Clone + Send + Sync + 'static, Said) {
    let (tell, said) = tokio::sync::mpsc::unbounded_channel();
    (move |text| tell.send(text).unwrap(), said)
}

#[tokio::test]
async fn listeners_see_what_comes_before_its_handler_and_what_goes() {
    let io = site();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    let (tell, mut said) = teller();
    for name in ["first", "second"] {
        let (comes, goes) = (tell.clone(), tell.clone());
        socket.on_any(move |event, args| {
            comes(format!("{name} in {event} {}", args.get::<i32>(0).unwrap()))
        });
        socket.on_any_outgoing(move |event, args| {
            goes(format!("{name} out {event} {}", args.get::<i32>(0).unwrap()))
        });
    }
    let handled = tell.clone();
    socket.on("echo", move |_: Socket, n: i32| {
        handled(format!("handler {n}"));
        async {}
    });
    soon(socket.connect()).await.unwrap();
    socket.emit("echo", 1);
    let expected = [
        "first out echo 1",
        "second out echo 1",
        "first in echo 1",
        "second in echo 1",
        "handler 1",
    ];
    for expected in expected {
        assert_eq!(soon(said.recv()).await.unwrap(), expected);
    }
    socket.off_any();
    socket.emit("echo", 2);
    assert_eq!(soon(said.recv()).await.unwrap(), "handler 2");
}

#[tokio::test]
async fn an_event_has_one_handler_and_one_more_for_its_first() {
    let io = site();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    let (tell, mut said) = teller();
    let handler = |name: &'static str| {
        let tell = tell.clone();
        move |_: Socket, n: i32| {
            tell(format!("{name} {n}"));
            std::future::ready(())
        }
    };
    socket.on("echo", handler("replaced")).on("echo", handler("on")).once("echo", handler("once"));
    let others = tell.clone();
    socket.on_unhandled(move |event, _, _| others(format!("nobody hears {event}")));
    soon(socket.connect()).await.unwrap();
    for n in 0..3 {
        socket.emit("echo", n);
    }
    for expected in ["once 0", "on 1", "on 2"] {
        assert_eq!(soon(said.recv()).await.unwrap(), expected);
    }
    assert!(socket.off("echo") && !socket.off("echo"));
    socket.emit("echo", 3);
    assert_eq!(soon(said.recv()).await.unwrap(), "nobody hears echo");
}

#[tokio::test]
async fn send_is_a_message() {
    let io = site();
    io.on("message", async |me: roomful::Socket, text: String| me.send(text));
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]));
    let mut messages = socket.events::<_, String>("message");
    soon(socket.connect()).await.unwrap();
    socket.send("hello");
    assert_eq!(soon(messages.next()).await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn the_time_for_answers_can_be_set_for_all_calls() {
    let io = site();
    let site = serve(&io).await;
    let socket = main_socket(builder(&site, WAYS[1]).ack_timeout(Duration::from_millis(30)));
    soon(socket.connect()).await.unwrap();
    // By default it is 10 s, and this call would end first.
    let patient = socket.call::<_, _, ()>("never", ()).timeout(Duration::from_secs(5));
    let asked = socket.call::<_, _, ()>("never", ());
    tokio::select! {
        ended = asked => assert!(matches!(ended, Err(CallError::Timeout)), "{ended:?}"),
        _ = patient => panic!("the time that was set does not count"),
    }
}
