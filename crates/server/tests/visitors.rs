//! Who comes back: a secret alone gives nobody somebody else's socket, and nobody's connection ends for
//! who is not let in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use roomful::{Cookie, Hello, Namespace, Recovery, Refusal, Server, Socket};
use serde_json::{Value, json};
use support::returner::Returner;
use support::{Client, Running, start, until};

/// Who somebody is, as a cookie or `Authorization` says, and what they may do.
struct User {
    name: String,
    is_admin: bool,
    asked: AtomicUsize,
}

/// What the server knows of its users.
#[derive(Default)]
struct Users {
    /// Whether admins are any more.
    is_over: AtomicBool,
    /// Whether somebody may not come in.
    closed: AtomicBool,
}

async fn connect(hello: Hello<State>) -> Result<User, Refusal> {
    if hello.state().closed.load(Ordering::SeqCst) {
        return Err("closed".into());
    }
    let name = hello.header("cookie").or(hello.header("authorization")).unwrap_or("nobody");
    let is_admin = !hello.state().is_over.load(Ordering::SeqCst);
    Ok(User { name: name.to_owned(), is_admin, asked: AtomicUsize::new(0) })
}

type State = Arc<Users>;
type Guests = Namespace<State, User>;

struct Stage {
    server: Running<State>,
    guests: Guests,
    users: State,
}

impl Stage {
    async fn new(recovery: Recovery) -> Self {
        Self::with_cookie(recovery, None).await
    }

    async fn with_cookie(recovery: Recovery, cookie: Option<Cookie>) -> Self {
        let users = State::default();
        let mut builder = Server::builder().recovery(recovery);
        if let Some(cookie) = cookie {
            builder = builder.cookie(cookie);
        }
        let io = builder.state(Arc::clone(&users)).build();
        let guests = (*io).clone().connect(connect);
        guests.on("fence", async |_: Socket<State, User>| ());
        guests.on("who", async |me: Socket<State, User>| {
            let me = me.data();
            (me.name.clone(), me.is_admin, me.asked.fetch_add(1, Ordering::SeqCst))
        });
        io.of("/other").on("echo", async |_: Socket<State>, value: Value| value);
        Self { server: start(io).await, guests, users }
    }

    async fn open(&self, headers: &str) -> Client {
        Client::open_with(self.server.address, headers).await
    }

    /// Somebody who was there, lost the connection, and has missed something.
    async fn lost(&self, headers: &str, auth: &str) -> Returner {
        let mut client = self.open(headers).await;
        let me = Returner::join(&mut client, auth).await;
        client.ask("who", "").await;
        drop(client);
        until("the socket gone", || self.server.io.is_empty()).await;
        self.server.io.emit("private", ());
        me
    }

    /// Whether a client with these headers and that payload gets the socket.
    async fn gets(&self, me: &Returner, headers: &str, auth: &str) -> bool {
        let mut back = me.clone();
        let mut client = self.open(headers).await;
        let missed = back.back_on(&mut client, auth).await;
        assert_eq!(back.id == me.id, missed == [json!(["private"])], "{missed:?}");
        drop(client);
        until("the socket gone", || self.server.io.is_empty()).await;
        back.id == me.id
    }
}

#[tokio::test]
async fn a_cookie_or_a_header_of_somebody_else_does_not_give_their_socket() {
    let stage = Stage::new(Recovery::new()).await;
    for (alice, bob) in [
        ("Cookie: session=alice\r\n", "Cookie: session=bob\r\n"),
        ("Authorization: Bearer a\r\n", "Authorization: Bearer b\r\n"),
        ("Cookie: session=alice\r\n", ""),
        ("", "Cookie: session=bob\r\n"),
    ] {
        let me = stage.lost(alice, "").await;
        assert!(!stage.gets(&me, bob, "").await, "{bob}");
        assert!(stage.gets(&me, alice, "").await, "{alice}");
    }
}

#[tokio::test]
async fn cookies_that_change_by_themselves_say_nothing() {
    let cookie = Cookie::new().name("node");
    let stage = Stage::with_cookie(Recovery::new(), Some(cookie)).await;
    let me = stage.lost("Cookie: node=1; session=alice; AWSALB=x\r\n", "").await;
    assert!(stage.gets(&me, "Cookie: AWSALB=y; node=2; session=alice\r\n", "").await);
    assert!(!stage.gets(&me, "Cookie: node=1; session=bob; AWSALB=x\r\n", "").await);
}

#[tokio::test]
async fn only_the_cookies_count_that_were_named() {
    let stage = Stage::new(Recovery::builder().visitor_cookies(["session"]).build()).await;
    let me = stage.lost("Cookie: theme=dark; session=alice\r\n", "").await;
    assert!(stage.gets(&me, "Cookie: theme=light; session=alice\r\n", "").await);
    assert!(!stage.gets(&me, "Cookie: theme=dark; session=bob\r\n", "").await);
}

/// A secret alone is not enough where no `connect` function asks who somebody is, either.
#[tokio::test]
async fn where_nobody_is_asked_a_cookie_still_says_who_it_is() {
    let io = Server::builder().recovery(Recovery::new()).build();
    io.on("fence", async |_: Socket| ());
    let server = start(io).await;
    let alice = "Cookie: session=alice\r\n";
    let mut client = Client::open_with(server.address, alice).await;
    let me = Returner::join(&mut client, "").await;
    for (headers, is_same) in [("Cookie: session=bob\r\n", false), ("", false), (alice, true)] {
        let mut back = me.clone();
        let mut client = Client::open_with(server.address, headers).await;
        back.back_on(&mut client, "").await;
        assert_eq!(back.id == me.id, is_same, "{headers}");
    }
}

/// Read as numbers of 64 bits, or as the last of two fields, they were equal.
#[tokio::test]
async fn payloads_that_read_as_the_same_are_not_the_same() {
    let stage = Stage::new(Recovery::new()).await;
    for (alice, bob) in [
        (",\"user\":184467440737095516170", ",\"user\":184467440737095516171"),
        (",\"user\":1,\"user\":2", ",\"user\":2"),
        (",\"user\":2", ",\"user\":1,\"user\":2"),
        (",\"user\":{\"id\":1,\"id\":2}", ",\"user\":{\"id\":2}"),
    ] {
        let me = stage.lost("", alice).await;
        assert!(!stage.gets(&me, "", bob).await, "{bob}");
        assert!(stage.gets(&me, "", alice).await, "{alice}");
    }
}

#[tokio::test]
async fn a_right_that_was_taken_away_does_not_come_back() {
    let stage = Stage::new(Recovery::new()).await;
    for carries in [false, true] {
        if carries {
            stage.guests.carry_over(|old, new| {
                *new.asked.get_mut() = old.asked.load(Ordering::SeqCst);
            });
        }
        stage.users.is_over.store(false, Ordering::SeqCst);
        let mut me = stage.lost("", "").await;
        stage.users.is_over.store(true, Ordering::SeqCst);
        let id = me.id.clone();
        let (mut client, missed) = me.back(stage.server.address).await;
        assert_eq!((&me.id, missed), (&id, vec![json!(["private"])]));
        let asked = usize::from(carries);
        assert_eq!(client.ask("who", "").await, json!(["nobody", false, asked]));
        drop(client);
        until("the socket gone", || stage.server.io.is_empty()).await;
        // What counts is what it is now, also the next time.
        let (mut client, _) = me.back(stage.server.address).await;
        let asked = if carries { 2 } else { 0 };
        assert_eq!(client.ask("who", "").await, json!(["nobody", false, asked]));
        drop(client);
        until("the socket gone", || stage.server.io.is_empty()).await;
    }
}

/// The function that compares visitors was not asked while the old connection stood.
#[tokio::test]
async fn who_comes_back_is_compared_also_while_the_old_connection_stands() {
    let stage = Stage::new(Recovery::new()).await;
    let compared = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&compared);
    stage.guests.same_visitor(move |old, new| {
        counts.fetch_add(1, Ordering::SeqCst);
        old.name == new.name
    });
    let mut old = stage.open("Cookie: session=alice\r\n").await;
    let me = Returner::join(&mut old, "").await;
    let mut stranger = stage.open("Cookie: session=bob\r\n").await;
    let mut bob = me.clone();
    assert!(bob.back_on(&mut stranger, "").await.is_empty());
    assert_ne!(bob.id, me.id);
    assert_eq!(stranger.ask("who", "").await, json!(["session=bob", true, 0]));
    assert_eq!(compared.load(Ordering::SeqCst), 1);
    // Alice has not lost anything by it, and may come back with another token.
    assert_eq!(old.ask("who", "").await, json!(["session=alice", true, 0]));
    let mut again = stage.open("Cookie: session=alice\r\n").await;
    let mut alice = me.clone();
    alice.back_on(&mut again, ",\"token\":2").await;
    assert_eq!(alice.id, me.id);
    assert_eq!(old.try_next().await, None, "the old connection is over");
}

#[tokio::test]
async fn who_is_not_let_in_or_somebody_else_ends_nobodys_connection() {
    for skips in [false, true] {
        let stage = Stage::new(Recovery::builder().skip_connect(skips).build()).await;
        let mut old = stage.open("Cookie: session=alice\r\n").await;
        let me = Returner::join(&mut old, "").await;
        old.join("/other", "").await.expect("let in");
        let users = &stage.users;
        for (closed, headers) in
            [(true, "Cookie: session=bob\r\n"), (false, "Cookie: session=bob\r\n"), (false, "")]
        {
            users.closed.store(closed, Ordering::SeqCst);
            let mut stranger = stage.open(headers).await;
            stranger.send(&me.claim("")).await;
            let answer = stranger.next().await;
            assert_eq!(answer.kind, if closed { 4 } else { 0 }, "{answer:?}");
            assert_ne!(answer.data["sid"], *me.id);
        }
        users.closed.store(false, Ordering::SeqCst);
        old.send("2/other,1[\"echo\",7]").await;
        assert_eq!(old.next().await.data, json!([7]));
        assert_eq!(old.ask("who", "").await[0], "session=alice");
    }
}
