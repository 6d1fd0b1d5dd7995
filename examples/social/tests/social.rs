//! What the network promises to its people, and what it answers to those that mean no good: on SQLite, and
//! again on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{App, Kind, MESSAGE, PASSWORD, PERSON, POST, Person, SEND, Tab, code, cookie, soon};

/// Each case is a test on either database.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Kind::Sqlite).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Kind::Postgres).await;
            })*
        }
    };
}

on_both! {
    people_sign_up_and_log_in_with_cookies_of_which_the_page_reads_two,
    what_is_no_signup_and_no_login_gets_a_clear_answer,
    a_logout_ends_the_session_and_its_sockets_and_no_others,
    a_session_ends_by_itself_and_its_sockets_hear_so,
    who_claims_wrongly_hears_no_and_then_nothing_ever,
    after_a_no_nothing_more_is_on_the_wire,
    who_has_not_said_who_they_are_hears_nothing_and_can_do_nothing,
    a_socket_stays_whose_it_is,
    a_follow_is_told_to_all_sockets_of_the_followed_and_to_nobody_else,
    a_message_reaches_three_tabs_and_a_phone_of_both_and_nobody_else,
    what_is_sent_again_is_stored_and_told_once,
    what_is_stored_when_the_database_fails_is_told_once_it_is_back,
    what_is_no_message_no_post_and_no_person_gets_a_clear_answer,
    who_tries_to_hear_and_read_what_is_of_others_fails,
    posts_are_in_the_feeds_of_those_who_follow_in_portions,
    subscriptions_come_over_the_sockets,
    what_is_no_subscription_gets_a_clear_answer,
    typing_is_seen_by_the_other_one_only,
    people_are_found_by_a_part_of_their_names,
    graphql_has_limits,
    whoever_floods_is_told_so_and_others_go_on,
    passwords_cannot_be_tried_for_long,
    no_secret_is_kept_in_clear,
    a_database_that_is_away_turns_nobody_away,
    sockets_that_a_crash_has_left_are_forgotten,
    nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed,
    a_server_that_is_told_to_stop_ends_what_it_has_begun,
}

async fn people_sign_up_and_log_in_with_cookies_of_which_the_page_reads_two(kind: Kind) {
    let app = App::start(kind).await;
    let ann = json!({ "handle": "ann_1", "name": " Ann Ö. ", "password": PASSWORD });
    let (status, head, answer) = app.post("/api/signup", "", &ann);
    assert_eq!((status, answer), (200, json!({ "handle": "ann_1", "name": "Ann Ö." })));
    let mut all = Vec::new();
    for (name, is_hidden) in [("id", false), ("secretkey", false), ("session", true)] {
        let set = cookie(&head, name);
        let (value, attributes) = set.split_once("; ").unwrap();
        assert!(attributes.contains("SameSite=Strict"), "{set}");
        assert!(attributes.contains("Path=/") && attributes.contains("Max-Age=43200"), "{set}");
        assert_eq!(attributes.contains("HttpOnly"), is_hidden, "{set}");
        all.push(value.to_owned());
    }
    assert_eq!((all[0].len(), all[1].len(), all[2].len()), (32, 64, 97));
    assert!(!all[2].contains(&all[1]), "what the page reads is not what its requests show");

    let login = json!({ "handle": "ann_1", "password": PASSWORD });
    let (status, head, answer) = app.post("/api/login", "", &login);
    assert_eq!((status, answer), (200, json!({ "handle": "ann_1", "name": "Ann Ö." })));
    for (name, before) in ["id", "secretkey", "session"].iter().zip(&all) {
        assert!(!cookie(&head, name).starts_with(before), "another session has other keys");
    }
    // A program shows what the cookie has in it, in a header.
    let bearer = format!("authorization: Bearer {}\r\n", all[2]);
    let query = json!({ "query": format!("{{ me {{ {PERSON} }} }}") });
    let (status, _, answer) = app.post("/graphql", &bearer, &query);
    let me = json!({ "handle": "ann_1", "name": "Ann Ö.", "followers": 0, "following": 0,
        "isFollowed": false, "followsMe": false });
    assert_eq!((status, &answer["data"]["me"]), (200, &me));
    for wrong in
        ["", "x", "x.y", &all[0], &all[1], &format!("{}.{}", all[0], all[1]), &"9".repeat(97)]
    {
        let (status, _, answer) =
            app.post("/graphql", &format!("authorization: Bearer {wrong}\r\n"), &query);
        assert_eq!((status, code(&answer)), (401, "unauthenticated"), "{wrong}");
    }
}

async fn what_is_no_signup_and_no_login_gets_a_clear_answer(kind: Kind) {
    let app = App::start(kind).await;
    app.person("ann_1");
    let signup = |handle: &str, name: &str, password: &str| json!({ "handle": handle, "name": name, "password": password });
    let long = "x".repeat(201);
    for (path, body, status, expected) in [
        ("signup", signup("ann_1", "Ann", PASSWORD), 409, "handle_taken"),
        ("signup", signup("an", "Ann", PASSWORD), 422, "bad_handle"),
        ("signup", signup("Ann", "Ann", PASSWORD), 422, "bad_handle"),
        ("signup", signup("ann\0x", "Ann", PASSWORD), 422, "bad_handle"),
        ("signup", signup(&long, "Ann", PASSWORD), 422, "bad_handle"),
        ("signup", signup("bob", " ", PASSWORD), 422, "bad_name"),
        ("signup", signup("bob", "two\nlines", PASSWORD), 422, "bad_name"),
        ("signup", signup("bob", &"x".repeat(41), PASSWORD), 422, "bad_name"),
        ("signup", signup("bob", "Bob", "1234567"), 422, "bad_password"),
        ("signup", signup("bob", "Bob", &long), 422, "bad_password"),
        ("signup", json!({ "handle": "bob" }), 422, "bad_json"),
        ("signup", json!({ "handle": 1, "name": [], "password": {} }), 422, "bad_json"),
        ("signup", json!("x".repeat(70_000)), 413, "too_large"),
        ("login", json!({ "handle": "ann_1", "password": "wrong password" }), 401, "bad_login"),
        ("login", json!({ "handle": "nobody", "password": PASSWORD }), 401, "bad_login"),
        ("login", json!({ "handle": "\0", "password": PASSWORD }), 401, "bad_login"),
        ("login", json!({ "handle": "ann_1", "password": "x".repeat(10_000) }), 401, "bad_login"),
        ("login", json!([]), 422, "bad_json"),
        ("login", json!({ "handle": ["ann_1"], "password": PASSWORD }), 422, "bad_json"),
    ] {
        let (got, head, answer) = app.post(&format!("/api/{path}"), "", &body);
        assert_eq!((got, code(&answer)), (status, expected), "{path} {body:.100}");
        assert!(answer["error"]["message"].as_str().is_some_and(|why| why.ends_with('.')));
        assert!(!head.contains("set-cookie"), "{head}");
    }
    // Not from a page of another host, though its browser would send it.
    let login = json!({ "handle": "ann_1", "password": PASSWORD });
    let ann = app.log_in("ann_1");
    for path in ["/api/signup", "/api/login", "/api/logout", "/graphql"] {
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
            let headers = format!("origin: {origin}\r\n{}", ann.cookies());
            let (status, _, answer) = app.post(path, &headers, &login);
            assert_eq!((status, &answer["message"]), (403, &json!("Origin not allowed")), "{path}");
        }
    }
    let own = format!("origin: http://{}\r\n", app.address);
    assert_eq!(app.post("/api/login", &own, &login).0, 200);
    assert_eq!(app.http("POST /api/login", "", &login.to_string()).0, 422, "without its type");
    assert_eq!(app.http("GET /graphql", "", "").0, 405);
}

async fn a_logout_ends_the_session_and_its_sockets_and_no_others(kind: Kind) {
    let app = App::start(kind).await;
    let ann = app.person("ann");
    let phone = app.log_in("ann");
    let (mut first, mut second) = (ann.tab().await, ann.tab().await);
    let mut other = phone.tab().await;
    let (status, head, _) = app.post("/api/logout", &ann.cookies(), &json!({}));
    assert_eq!(status, 204);
    for name in ["id", "secretkey", "session"] {
        let set = cookie(&head, name);
        assert!(set.starts_with("; ") && set.contains("Max-Age=0; SameSite=Strict"), "{set}");
    }
    first.is_turned_away().await;
    second.is_turned_away().await;
    assert_eq!(ann.try_ask("{ me { name } }", &Value::Null).unwrap().0, 401);
    let mut again = app.stranger().await;
    again.socket.emit("initialConnection", ann.claim());
    again.is_turned_away().await;
    // The phone goes on.
    other.hears_nothing().await;
    assert_eq!(phone.ask("{ me { handle } }", Value::Null)["me"]["handle"], "ann");
    // A page that still shows another session changes nothing as this one, and does not end it.
    let shows = |id: &str| format!("x-session: {id}\r\n{}", phone.cookies());
    let query = json!({ "query": "{ me { handle } }" });
    for path in ["/graphql", "/api/logout"] {
        for id in [&*ann.id, ""] {
            let (status, head, answer) = app.post(path, &shows(id), &query);
            assert_eq!((status, code(&answer)), (401, "other_session"), "{path}");
            assert!(!head.contains("set-cookie"), "{head}");
        }
    }
    assert_eq!(app.post("/graphql", &shows(&phone.id), &query).0, 200);
    assert_eq!(app.sockets().await.len(), 1);
    // Whoever is out already may say so again.
    assert_eq!(app.post("/api/logout", &ann.cookies(), &json!({})).0, 204);
    assert_eq!(app.post("/api/logout", "", &json!({})).0, 204);
}

async fn a_session_ends_by_itself_and_its_sockets_hear_so(kind: Kind) {
    let app = App::start_with(kind, &[("SESSION_SECONDS", "5")]).await;
    let ann = app.person("ann");
    let mut tab = ann.tab().await;
    tab.is_turned_away().await;
    assert_eq!(ann.try_ask("{ me { name } }", &Value::Null).unwrap().0, 401);
    let mut again = app.stranger().await;
    again.socket.emit("initialConnection", ann.claim());
    again.is_turned_away().await;
    let ann = app.log_in("ann");
    ann.tab().await.hears_nothing().await;
    assert_eq!(app.rows("SELECT id FROM sessions").await, [ann.id], "the old one is forgotten");
}

/// What proves nothing, beside what is so large or deep that its connection is closed.
fn wrong_claims(ann: &Person, bob: &Person) -> Vec<Value> {
    let (id, key) = (&ann.id, &ann.secretkey);
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let session_key = ann.session.split_once('.').unwrap().1;
    vec![
        Value::Null,
        json!(true),
        json!(7),
        json!("text"),
        json!([]),
        json!({}),
        json!({ "id": id }),
        json!({ "secretkey": key }),
        json!({ "id": null, "secretkey": null }),
        json!({ "id": 1, "secretkey": key }),
        json!({ "id": id, "secretkey": [key] }),
        json!({ "id": { "$ne": "" }, "secretkey": { "$ne": "" } }),
        json!({ "id": deep, "secretkey": key }),
        json!({ "id": "", "secretkey": "" }),
        json!({ "id": id, "secretkey": "" }),
        json!({ "id": id, "secretkey": "x".repeat(64) }),
        json!({ "id": id, "secretkey": "0".repeat(64) }),
        json!({ "id": id, "secretkey": format!("{key} ") }),
        json!({ "id": id, "secretkey": &key[..63] }),
        json!({ "id": id, "secretkey": "0".repeat(10_000) }),
        json!({ "id": id, "secretkey": "0".repeat(20_000) }),
        json!({ "id": "' OR '1'='1", "secretkey": key }),
        json!({ "id": "\0".repeat(32), "secretkey": key }),
        json!({ "id": "ä".repeat(16), "secretkey": key }),
        json!({ "id": "0".repeat(32), "secretkey": key }),
        json!({ "id": ann.handle, "secretkey": key }),
        // Another's, and what is for requests.
        json!({ "id": bob.id, "secretkey": key }),
        json!({ "id": id, "secretkey": bob.secretkey }),
        json!({ "id": id, "secretkey": session_key }),
        json!({ "id": id, "secretkey": ann.session }),
    ]
}

async fn who_claims_wrongly_hears_no_and_then_nothing_ever(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let mut witness = ann.tab().await;
    let mut tabs = Vec::new();
    for claim in wrong_claims(&ann, &bob) {
        let mut tab = app.stranger().await;
        tab.socket.emit("initialConnection", &claim);
        tab.is_turned_away().await;
        tabs.push(tab);
    }
    let mut nothing = app.stranger().await;
    nothing.socket.emit("initialConnection", ());
    nothing.is_turned_away().await;
    // What is larger or deeper than any message may be ends the connection, without a word.
    let deep = (0..1_000).fold(json!(1), |inner, _| json!([inner]));
    for claim in [json!({ "id": "0".repeat(200_000) }), json!({ "id": deep })] {
        let tab = app.stranger().await;
        let mut status = tab.socket.watch();
        tab.socket.emit("initialConnection", &claim);
        soon(status.wait_for(|status| !status.is_connected())).await.unwrap();
        tabs.push(tab);
    }
    assert_eq!(app.sockets().await.len(), 1);
    bob.follow("ann", true);
    bob.send("ann", "hello", "key-of-hello");
    witness.hears("followed").await;
    witness.hears("chatroom").await;
    witness.hears("updatedChat").await;
    tabs.iter_mut().for_each(Tab::has_heard_nothing);
}

/// A client does not show what comes after a disconnect: this looks at the packets.
async fn after_a_no_nothing_more_is_on_the_wire(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let mut witness = ann.tab().await;
    let opened = app.poll("GET", "", "");
    let opened: Value = serde_json::from_str(&opened[1..]).unwrap();
    let sid = opened["sid"].as_str().unwrap();
    app.poll("POST", sid, "40");
    let wrong = json!(["initialConnection", { "id": ann.id, "secretkey": bob.secretkey }]);
    app.poll("POST", sid, &format!("42{wrong}"));
    let mut packets = String::new();
    let mut poll_until = |end: &str| {
        while !packets.contains(end) {
            packets += &app.poll("GET", sid, "");
            packets.push('\u{1e}');
        }
        packets.clone()
    };
    poll_until("41");
    bob.follow("ann", true);
    bob.send("ann", "hello", "key-of-hello");
    bob.post("hello", "key-of-hello");
    witness.hears("followed").await;
    witness.hears("chatroom").await;
    // It joins once more, as a stranger: the answer to that is all that has come meanwhile.
    app.poll("POST", sid, "40");
    let packets = poll_until("41\u{1e}40{");
    let packets: Vec<_> = packets.split_terminator('\u{1e}').collect();
    assert!(packets[0].starts_with("40{") && packets[3].starts_with("40{"), "{packets:?}");
    assert_eq!(packets[1..3], ["42[\"auth\",false]", "41"]);
    assert_eq!(packets.len(), 4);
}

async fn who_has_not_said_who_they_are_hears_nothing_and_can_do_nothing(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let mut stranger = app.stranger().await;
    let mut witness = ann.tab().await;
    bob.send("ann", "hello", "key-of-hello");
    bob.follow("ann", true);
    let query = json!({ "id": "a", "query": "subscription { messages { id } }" });
    for (event, body) in [
        ("subscribe", query),
        ("unsubscribe", json!({ "id": "a" })),
        ("typing", json!({ "to": "ann" })),
    ] {
        assert_eq!(code(&stranger.call(event, body).await), "unauthenticated", "{event}");
    }
    bob.send("ann", "more", "key-of-more");
    for name in ["chatroom", "updatedChat", "followed", "chatroom", "updatedChat"] {
        witness.hears(name).await;
    }
    assert_eq!(code(&stranger.call("typing", json!({ "to": "ann" })).await), "unauthenticated");
    // The first that it hears is that it took too long, and not before ten seconds.
    let began = tokio::time::Instant::now();
    stranger.is_turned_away().await;
    assert!(began.elapsed() > Duration::from_secs(5), "so soon");
    witness.hears_nothing().await;
}

async fn a_socket_stays_whose_it_is(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let mut tab = ann.tab().await;
    // What is sent behind the first event waits for it.
    let mut quick = app.stranger().await;
    quick.socket.emit("initialConnection", ann.claim());
    let answer = quick.subscribe("a", "subscription { messages { id } }").await;
    assert_eq!(answer, json!({ "ok": null }));
    assert_eq!(quick.hears("auth").await, true);

    let phone = app.log_in("ann");
    for claim in [ann.claim(), phone.claim()] {
        tab.socket.emit("initialConnection", claim);
        assert_eq!(tab.hears("auth").await, true);
    }
    assert_eq!(app.sockets().await.len(), 2);
    bob.send("ann", "hello", "key-of-hello");
    tab.hears("chatroom").await;
    tab.hears("updatedChat").await;
    tab.hears_nothing().await;
    // Nobody becomes another person.
    tab.socket.emit("initialConnection", bob.claim());
    tab.is_turned_away().await;
    quick.socket.emit("initialConnection", json!({ "id": ann.id, "secretkey": 1 }));
    quick.comes_to_hear("auth", |answer| answer == false).await;
    quick.is_out().await;
    ann.send("bob", "hello", "key-of-hello");
    tab.has_heard_nothing();
    quick.has_heard_nothing();
}

async fn a_follow_is_told_to_all_sockets_of_the_followed_and_to_nobody_else(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob, eve) = (app.person("ann"), app.person("bob"), app.person("eve"));
    let phone = app.log_in("bob");
    let mut bobs = [bob.tab().await, bob.tab().await, bob.tab().await, phone.tab().await];
    let mut others = [ann.tab().await, eve.tab().await];
    let seen = ann.follow("bob", true);
    assert_eq!(
        seen,
        json!({ "handle": "bob", "name": "BOB", "followers": 1, "following": 0,
        "isFollowed": true, "followsMe": false })
    );
    for tab in &mut bobs {
        let by = json!({ "handle": "ann", "name": "ANN" });
        assert_eq!(tab.hears("followed").await, json!({ "by": by, "follow": true }));
    }
    // Again is the same, and no news.
    assert_eq!(ann.follow("bob", true), seen);
    assert_eq!(ann.follow("bob", Value::Null)["isFollowed"], false);
    assert_eq!(ann.follow("bob", false)["followers"], 0);
    assert_eq!(ann.follow("bob", Value::Null)["isFollowed"], true);
    for tab in &mut bobs {
        assert_eq!(tab.hears("followed").await["follow"], false);
        assert_eq!(tab.hears("followed").await["follow"], true);
        tab.hears_nothing().await;
    }
    for tab in &mut others {
        tab.hears_nothing().await;
    }
    let query = format!("{{ me {{ {PERSON} }} person(handle: \"ann\") {{ followsMe }} }}");
    let data = bob.ask(&query, Value::Null);
    assert_eq!((&data["me"]["followers"], &data["me"]["following"]), (&json!(1), &json!(0)));
    assert_eq!(data["person"]["followsMe"], true);
    let query = "mutation { followUnfollowUser(handle: \"ann\") { name } }";
    assert_eq!(ann.refused(query, Value::Null), "self");
    let query = "mutation { followUnfollowUser(handle: \"nobody\") { name } }";
    assert_eq!(ann.refused(query, Value::Null), "no_person");
}

async fn a_message_reaches_three_tabs_and_a_phone_of_both_and_nobody_else(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob, eve) = (app.person("ann"), app.person("bob"), app.person("eve"));
    assert_eq!(ann.chat("bob"), Value::Null);
    let phone = app.log_in("bob");
    let mut bobs = [bob.tab().await, bob.tab().await, bob.tab().await, phone.tab().await];
    let mut anns = [ann.tab().await, ann.tab().await];
    let mut eves = eve.tab().await;
    let sent = ann.send("bob", " hello\r\n you ", "key-of-hello");
    assert_eq!((&sent["from"], &sent["to"]), (&json!("ann"), &json!("bob")));
    assert_eq!((&sent["text"], &sent["key"]), (&json!("hello\n you"), &json!("key-of-hello")));
    assert!(sent["id"].is_string() && sent["chat"].is_string() && sent["at"].is_i64(), "{sent}");
    let second = ann.send("bob", "2", "key-of-2");
    for tab in &mut bobs {
        for (message, unread) in [(&sent, 1), (&second, 2)] {
            assert_eq!(&tab.hears("chatroom").await, message);
            let expected = json!({ "chat": message["chat"], "with": "ann", "last": message,
                "unread": unread });
            assert_eq!(tab.hears("updatedChat").await, expected);
        }
    }
    let chat = bob.chat("ann");
    assert_eq!((&chat["unread"], &chat["last"]), (&json!(2), &second));
    assert_eq!(chat["messages"], json!([sent, second]));
    assert_eq!(chat["with"]["handle"], "ann");
    assert_eq!(ann.chat("bob")["unread"], 0, "they are of ann");
    // What is read on one device is read on all.
    let read = "mutation ($w: String!) { readChat(with: $w) }";
    assert_eq!(phone.ask(read, json!({ "w": "ann" }))["readChat"], true);
    for tab in &mut bobs {
        let news = tab.hears("updatedChat").await;
        assert_eq!((&news["unread"], &news["last"]), (&json!(0), &second));
    }
    assert_eq!(bob.chat("ann")["unread"], 0);
    assert_eq!(bob.ask(read, json!({ "w": "ann" }))["readChat"], false, "and that is no news");
    assert_eq!(bob.ask(read, json!({ "w": "eve" }))["readChat"], false);
    let answer = bob.send("ann", "3", "key-of-hello");
    assert_eq!(answer["chat"], sent["chat"]);
    for tab in &mut bobs {
        assert_eq!(tab.hears("chatroom").await, answer);
        tab.hears_nothing().await;
    }
    for tab in &mut anns {
        for message in [&sent, &second, &answer] {
            assert_eq!(&tab.hears("chatroom").await, message);
        }
        let news = tab.hears("updatedChat").await;
        assert_eq!((&news["unread"], &news["with"]), (&json!(1), &json!("bob")));
        tab.hears_nothing().await;
    }
    eves.hears_nothing().await;
    // The unread are counted, but not all that there may ever be.
    app.rows(
        "INSERT INTO messages (id, chat, sender, recipient, text, key, time) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) \
         SELECT i - 1000, chat, sender, recipient, text, 'key-of-many-' || i, time \
         FROM n, messages WHERE key = 'key-of-2'",
    )
    .await;
    app.rows("UPDATE chats SET seen = -1000").await;
    assert_eq!(bob.chat("ann")["unread"], 100);
    // The chat with the newest message is the first.
    eve.send("bob", "4", "key-of-4");
    let query = format!("{{ chats {{ unread with {{ handle }} last {{ {MESSAGE} }} }} }}");
    let chats = bob.ask(&query, Value::Null)["chats"].take();
    let with: Vec<_> =
        chats.as_array().unwrap().iter().map(|chat| &chat["with"]["handle"]).collect();
    assert_eq!(with, ["eve", "ann"]);
}

async fn what_is_sent_again_is_stored_and_told_once(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let mut tab = bob.tab().await;
    let (query, variables) = (SEND, json!({ "to": "bob", "t": "once", "k": "key-of-once" }));
    // At the same time, and again.
    let all: Vec<_> = std::thread::scope(|threads| {
        let ask = || ann.ask(query, variables.clone());
        let all: Vec<_> = (0..5).map(|_| threads.spawn(ask)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let first = ann.send("bob", "once", "key-of-once");
    assert!(all.iter().all(|answer| answer["sendMessage"] == first), "{all:?}");
    assert_eq!(tab.hears("chatroom").await, first);
    tab.hears("updatedChat").await;
    tab.hears_nothing().await;
    assert_eq!(bob.chat("ann")["messages"], json!([first]));
    for other in [
        json!({ "to": "bob", "t": "other", "k": "key-of-once" }),
        json!({ "to": "nobody", "t": "once", "k": "key-of-once" }),
    ] {
        let expected = if other["to"] == "bob" { "key_used" } else { "no_person" };
        assert_eq!(ann.refused(SEND, other), expected);
    }
    app.person("eve");
    let to_another = json!({ "to": "eve", "t": "once", "k": "key-of-once" });
    assert_eq!(ann.refused(SEND, to_another), "key_used");
    assert_eq!(ann.chat("eve"), Value::Null, "and that is no chat");
    let typing = ann.tab().await.call("typing", json!({ "to": "eve" })).await;
    assert_eq!(code(&typing), "no_chat");
    // A key is its author's, and a post is no message.
    let post = ann.post("once", "key-of-once");
    assert_eq!(ann.post("once", "key-of-once"), post);
    assert_eq!(ann.refused(POST, json!({ "t": "other", "k": "key-of-once" })), "key_used");
    bob.send("ann", "mine", "key-of-once");
    bob.post("mine", "key-of-once");
    assert_eq!(ann.feed(), ["\"once\""]);
    tab.hears("chatroom").await;
    tab.hears_nothing().await;
}

async fn what_is_stored_when_the_database_fails_is_told_once_it_is_back(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    bob.follow("ann", true);
    let mut tab = bob.tab().await;
    let feed = "subscription { feedPosts { text } }";
    assert_eq!(tab.subscribe("feed", feed).await, json!({ "ok": null }));
    // Who is to be told of a post is in this table.
    app.rows("ALTER TABLE sockets RENAME TO elsewhere").await;
    let post = |text: &str, key: &str| json!({ "t": text, "k": key });
    assert_eq!(ann.refused(POST, post("1", "key-of-1")), "internal_error");
    assert_eq!(ann.refused(POST, post("2", "key-of-2")), "internal_error");
    assert_eq!(ann.feed(), ["\"2\"", "\"1\""]);
    tab.hears_nothing().await;
    app.rows("ALTER TABLE elsewhere RENAME TO sockets").await;
    ann.post("2", "key-of-2");
    ann.post("1", "key-of-1");
    for text in ["1", "2"] {
        assert_eq!(tab.hears("next").await["data"]["feedPosts"]["text"], text);
    }
    tab.hears_nothing().await;
    // A message as if it had not been told, and one that comes after it.
    ann.send("bob", "1", "key-of-1");
    app.rows(
        "INSERT INTO messages (id, chat, sender, recipient, text, key, time) \
         SELECT id + 1, chat, sender, recipient, '2', 'key-of-2', time FROM messages",
    )
    .await;
    ann.send("bob", "3", "key-of-3");
    for text in ["1", "2", "3"] {
        assert_eq!(tab.hears("chatroom").await["text"], text);
        tab.hears("updatedChat").await;
    }
    ann.send("bob", "2", "key-of-2");
    tab.hears_nothing().await;
}

async fn what_is_no_message_no_post_and_no_person_gets_a_clear_answer(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let mut tab = bob.tab().await;
    let message = |to: &str, text: &str, key: &str| json!({ "to": to, "t": text, "k": key });
    for (query, variables, expected) in [
        (SEND, message("bob", " \n ", "key-of-text"), "bad_text"),
        (SEND, message("bob", &"ä".repeat(2_001), "key-of-text"), "bad_text"),
        (SEND, message("bob", "a\0b", "key-of-text"), "bad_text"),
        (SEND, message("bob", "text", "short"), "bad_key"),
        (SEND, message("bob", "text", "key of text"), "bad_key"),
        (SEND, message("bob", "text", &"k".repeat(65)), "bad_key"),
        (SEND, message("nobody", "text", "key-of-text"), "no_person"),
        (SEND, message("\0", "text", "key-of-text"), "no_person"),
        (SEND, message("ann", "text", "key-of-text"), "self"),
        (SEND, json!({ "to": 1, "t": "text", "k": "key-of-text" }), "bad_query"),
        (SEND, json!({ "to": "bob" }), "bad_query"),
        (POST, json!({ "t": "", "k": "key-of-text" }), "bad_text"),
        (POST, json!({ "t": "x".repeat(501), "k": "key-of-text" }), "bad_text"),
        (POST, json!({ "t": "text", "k": "ключ-ключ" }), "bad_key"),
        ("{ person(handle: \"nobody\") { name } }", Value::Null, "no_person"),
        ("{ chat(with: \"nobody\") { id } }", Value::Null, "no_person"),
        ("{ feed(before: \"x\") { id } }", Value::Null, "bad_id"),
        ("{ people(search: \"a\\u0000\") { name } }", Value::Null, "bad_search"),
        ("mutation { readChat(with: \"nobody\") }", Value::Null, "no_person"),
        ("{ nothing }", Value::Null, "bad_query"),
        ("{", Value::Null, "bad_query"),
        ("", Value::Null, "bad_query"),
        ("subscription { messages { id } }", Value::Null, "bad_query"),
    ] {
        assert_eq!(ann.refused(query, variables.clone()), expected, "{query} {variables:.100}");
    }
    assert!(ann.feed().is_empty());
    // The largest that there may be.
    ann.send("bob", &"😀".repeat(2_000), "key-of-large");
    ann.post(&"😀".repeat(500), "key-of-large");
    tab.hears("chatroom").await;
    tab.hears("updatedChat").await;
    tab.hears_nothing().await;
}

async fn who_tries_to_hear_and_read_what_is_of_others_fails(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob, eve) = (app.person("ann"), app.person("bob"), app.person("eve"));
    ann.send("bob", "secret", "key-of-first");
    let mut tab = eve.tab().await;
    let first = eve.send("ann", "mine", "key-of-mine");
    tab.hears("chatroom").await;
    assert_ne!(first["chat"], ann.chat("bob")["id"]);
    // There is no event and no field that would let her in.
    for room in ["person 1", "person 2", "session x"] {
        tab.socket.emit("join", room);
    }
    for event in ["chatroom", "updatedChat", "followed", "auth", "next"] {
        tab.socket.emit(event, json!({ "to": "ann", "from": "bob", "text": "not mine" }));
    }
    for (id, query) in [
        ("mine", "subscription { messages { text } }"),
        ("feed", "subscription { feedPosts { text } }"),
    ] {
        assert_eq!(tab.subscribe(id, query).await, json!({ "ok": null }));
    }
    assert_eq!(code(&tab.call("typing", json!({ "to": "bob" })).await), "no_chat");
    let foreign = tab.subscribe("theirs", "subscription { messages(of: \"ann\") { text } }").await;
    assert_eq!(code(&foreign), "bad_query");
    ann.send("bob", "secret", "key-of-secret");
    bob.send("ann", "secret", "key-of-secret");
    ann.follow("bob", true);
    ann.post("for those who follow", "key-of-post");
    tab.hears_nothing().await;
    // The chat with ann is that of her and ann.
    for (with, texts) in [("ann", json!(["mine"])), ("bob", Value::Null)] {
        let chat = eve.chat(with);
        let messages = chat["messages"].as_array();
        let found: Option<Value> =
            messages.map(|all| all.iter().map(|message| message["text"].clone()).collect());
        assert_eq!(found.unwrap_or_default(), texts);
    }
    let chats = eve.ask("{ chats { with { handle } last { text } } feed { text } }", Value::Null);
    assert_eq!(
        chats["chats"],
        json!([{ "with": { "handle": "ann" }, "last": { "text": "mine" } }])
    );
    assert_eq!(chats["feed"], json!([]));
    assert_eq!(eve.ask("mutation { readChat(with: \"bob\") }", Value::Null)["readChat"], false);
    assert_eq!(bob.chat("ann")["unread"], 2, "nobody else has read it for him");
    for query in ["{ me { passwordHash } }", "{ sessions { id } }", "{ chat(id: \"1\") { id } }"] {
        assert_eq!(eve.refused(query, Value::Null), "bad_query");
    }
    // Her key does not open the sessions of others, and she does not stay for trying.
    tab.socket.emit("initialConnection", json!({ "id": ann.id, "secretkey": eve.secretkey }));
    tab.is_turned_away().await;
}

async fn posts_are_in_the_feeds_of_those_who_follow_in_portions(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob, eve) = (app.person("ann"), app.person("bob"), app.person("eve"));
    ann.follow("bob", true);
    for number in 0..55 {
        bob.post(&format!("bob {number}"), &format!("key-of-{number}"));
    }
    ann.post("ann", "key-of-ann");
    eve.post("eve", "key-of-eve");
    let query = "query ($b: ID) { feed(before: $b) { id text author { handle isFollowed } } }";
    let newest = ann.ask(query, Value::Null)["feed"].take();
    let newest = newest.as_array().unwrap();
    assert_eq!(newest.len(), 50);
    assert_eq!((&newest[0]["text"], &newest[1]["text"]), (&json!("ann"), &json!("bob 54")));
    assert_eq!(newest[1]["author"], json!({ "handle": "bob", "isFollowed": true }));
    let older = ann.ask(query, json!({ "b": newest[49]["id"] }))["feed"].take();
    let older = older.as_array().unwrap();
    assert_eq!(older.len(), 6);
    let number = |post: &Value| post["id"].as_str().unwrap().parse::<u64>().unwrap();
    let numbers: Vec<_> = newest.iter().chain(older).map(number).collect();
    assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    assert_eq!(eve.feed(), ["\"eve\""]);
    ann.follow("bob", false);
    assert_eq!(ann.feed(), ["\"ann\""]);
    // Messages come in portions, too.
    for number in 0..54 {
        ann.send("eve", &number.to_string(), &format!("key-of-{number}"));
    }
    let page = "query ($b: ID) { chat(with: \"ann\") { messages(before: $b) { id text } } }";
    let newest = eve.ask(page, Value::Null)["chat"]["messages"].take();
    assert_eq!((newest[0]["text"].as_str(), newest[49]["text"].as_str()), (Some("4"), Some("53")));
    let older = eve.ask(page, json!({ "b": newest[0]["id"] }))["chat"]["messages"].take();
    assert_eq!((older.as_array().unwrap().len(), &older[0]["text"]), (4, &json!("0")));
}

async fn subscriptions_come_over_the_sockets(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob, eve) = (app.person("ann"), app.person("bob"), app.person("eve"));
    ann.follow("bob", true);
    let mut tab = ann.tab().await;
    let mut bobs = bob.tab().await;
    let feed = "subscription { feedPosts { id text author { handle isFollowed } } }";
    assert_eq!(tab.subscribe("feed", feed).await, json!({ "ok": null }));
    assert_eq!(bobs.subscribe("feed", feed).await, json!({ "ok": null }));
    eve.post("of eve", "key-of-eve");
    let post = bob.post("of bob", "key-of-bob");
    bob.post("of bob", "key-of-bob");
    for (tab, is_followed) in [(&mut tab, true), (&mut bobs, false)] {
        let author = json!({ "handle": "bob", "isFollowed": is_followed });
        let expected = json!({ "id": post["id"], "text": "of bob", "author": author });
        assert_eq!(
            tab.hears("next").await,
            json!({ "id": "feed", "data": { "feedPosts": expected } })
        );
        tab.hears_nothing().await;
    }
    let messages = "subscription M { messages { text to } }";
    assert_eq!(tab.subscribe("messages", messages).await, json!({ "ok": null }));
    bob.send("ann", "hello", "key-of-hello");
    bob.send("eve", "not for ann", "key-of-other");
    ann.send("bob", "answer", "key-of-answer");
    // Events and subscriptions have no order between each other.
    let mut heard = Vec::new();
    for _ in 0..5 {
        let (name, value) = tab.hears_any().await;
        heard.push(if name == "next" {
            value["data"]["messages"]["text"].to_string()
        } else {
            name
        });
    }
    heard.sort();
    assert_eq!(heard, ["\"answer\"", "\"hello\"", "chatroom", "chatroom", "updatedChat"]);
    // Nobody follows any more, and nobody listens.
    ann.follow("bob", false);
    bob.post("of bob again", "key-of-bob-2");
    assert_eq!(tab.call("unsubscribe", json!({ "id": "messages" })).await, json!({ "ok": null }));
    ann.send("bob", "unheard", "key-of-unheard");
    tab.hears("chatroom").await;
    tab.hears_nothing().await;
    // The id is free again.
    assert_eq!(tab.subscribe("messages", messages).await, json!({ "ok": null }));
}

async fn what_is_no_subscription_gets_a_clear_answer(kind: Kind) {
    let app = App::start(kind).await;
    let ann = app.person("ann");
    let mut tab = ann.tab().await;
    let good = "subscription { messages { id } }";
    for (id, query, expected) in [
        ("", good, "bad_id"),
        (&*"x".repeat(41), good, "bad_id"),
        ("a", "", "bad_query"),
        ("a", "subscription { messages }", "bad_query"),
        ("a", "subscription { nothing { id } }", "bad_query"),
        ("a", "{ me { handle } }", "bad_query"),
        ("a", "mutation { readChat(with: \"bob\") }", "bad_query"),
        ("a", "subscription A { messages { id } } query B { me { handle } }", "bad_query"),
        ("a", "subscription { a: messages { id } b: messages { id } }", "bad_query"),
        ("a", "subscription { ...A } fragment A on Subscriptions { messages { id } }", "bad_query"),
    ] {
        assert_eq!(code(&tab.subscribe(id, query).await), expected, "{query}");
    }
    let many = format!("subscription {{ messages {{ {} }} }}", "id ".repeat(10));
    let complex: String = (0..250).map(|number| format!("a{number}: id ")).collect();
    let complex = format!("subscription {{ messages {{ {complex} }} }}");
    assert_eq!(code(&tab.subscribe("a", &complex).await), "bad_query");
    for args in
        [json!(null), json!("text"), json!({ "id": "a" }), json!({ "id": 1, "query": good })]
    {
        assert_eq!(code(&tab.call("subscribe", args).await), "invalid_arguments");
    }
    let large = json!({ "id": "a", "query": "x".repeat(20_000) });
    assert_eq!(code(&tab.call("subscribe", large).await), "too_large");
    assert_eq!(code(&tab.call("unsubscribe", 1).await), "invalid_arguments");
    for number in 0..5 {
        let answer = tab.subscribe(&format!("{number}"), &many).await;
        assert_eq!(answer, json!({ "ok": null }));
    }
    assert_eq!(code(&tab.subscribe("0", good).await), "id_used");
    assert_eq!(code(&tab.subscribe("5", good).await), "too_many");
    tab.hears_nothing().await;
}

async fn typing_is_seen_by_the_other_one_only(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob, eve) = (app.person("ann"), app.person("bob"), app.person("eve"));
    ann.send("bob", "hello", "key-of-hello");
    let (mut anns, mut eves) = (ann.tab().await, eve.tab().await);
    let mut bobs = [bob.tab().await, bob.tab().await];
    for tab in &mut bobs {
        tab.is_upgraded().await;
    }
    assert_eq!(anns.call("typing", json!({ "to": "bob" })).await, json!({ "ok": null }));
    for tab in &mut bobs {
        assert_eq!(tab.hears("typing").await, json!({ "from": "ann" }));
        tab.hears_nothing().await;
    }
    anns.hears_nothing().await;
    assert_eq!(code(&eves.call("typing", json!({ "to": "bob" })).await), "no_chat");
    assert_eq!(code(&eves.call("typing", json!({ "to": ["bob"] })).await), "invalid_arguments");
    let typing = |_| eves.socket.call::<_, _, Value>("typing", json!({ "to": "bob" }));
    let began = Instant::now();
    let calls: Vec<_> = (0..20).map(typing).collect();
    let mut let_through = 0;
    for call in calls {
        let_through += u64::from(code(&soon(call).await.unwrap()) != "rate_limited");
    }
    assert!(let_through <= 3 + 2 * began.elapsed().as_secs(), "{let_through} of 20 let through");
    assert!(let_through < 20, "all were let through");
    assert_eq!(code(&anns.call("typing", json!({ "to": "\0" })).await), "no_chat");
    for tab in &mut bobs {
        tab.hears_nothing().await;
    }
    eves.hears_nothing().await;
}

async fn people_are_found_by_a_part_of_their_names(kind: Kind) {
    let app = App::start(kind).await;
    let ann = app.person("ann");
    for handle in ["bob_1", "bobx1", "carl"] {
        app.person(handle);
    }
    let find = |search: &str| {
        let query = "query ($s: String) { people(search: $s) { handle name } }";
        let found = ann.ask(query, json!({ "s": search }))["people"].take();
        let handle = |person: &Value| person["handle"].as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(handle).collect::<Vec<_>>()
    };
    assert_eq!(find(""), ["bob_1", "bobx1", "carl"], "all but oneself");
    assert_eq!(find(" OB "), ["bob_1", "bobx1"]);
    assert_eq!(find("b_1"), ["bob_1"], "it stands for itself");
    assert!(find("%").is_empty() && find("\\").is_empty() && find("'").is_empty());
    assert!(find("ann").is_empty());
}

async fn graphql_has_limits(kind: Kind) {
    let app = App::start(kind).await;
    let ann = app.person("ann");
    let deep = "fields { type { fields { type { fields { type { fields { name } } } } } } }";
    assert_eq!(
        ann.refused(&format!("{{ __schema {{ types {{ {deep} }} }} }}"), Value::Null),
        "bad_query"
    );
    assert!(
        ann.ask("{ __schema { types { fields { type { name } } } } }", Value::Null).is_object()
    );
    let many = |count: usize| -> String {
        (0..count).map(|number| format!("a{number}: me {{ handle }} ")).collect()
    };
    assert_eq!(ann.refused(&format!("{{ {} }}", many(101)), Value::Null), "bad_query");
    assert!(ann.ask(&format!("{{ {} }}", many(100)), Value::Null).is_object());
    // What lists may hold is counted, too. All that a page asks for is less.
    let people = |name| format!("{name}: people {{ {PERSON} }} ");
    let lists = ["a", "b", "c", "d"].map(people).concat();
    for query in [&*lists, "chats { messages { text } }"] {
        assert_eq!(ann.refused(&format!("{{ {query} }}"), Value::Null), "bad_query", "{query}");
    }
    for query in [
        &*format!(
            "me {{ {PERSON} }} chats {{ id unread with {{ handle name }} last {{ {MESSAGE} }} }}"
        ),
        &format!("chat(with: \"ann\") {{ messages {{ {MESSAGE} }} }}"),
        &format!("people {{ {PERSON} }} feed {{ id text at author {{ handle name }} }}"),
    ] {
        assert!(ann.ask(&format!("{{ {query} }}"), Value::Null).is_object(), "{query}");
    }
    let nested = format!("{}id{}", "{ chats ".repeat(40), " }".repeat(40));
    assert_eq!(ann.refused(&nested, Value::Null), "bad_query");
    let query = json!({ "query": "x".repeat(70_000) });
    let (status, _, answer) = app.post("/graphql", &ann.cookies(), &query);
    assert_eq!((status, code(&answer)), (413, "too_large"));
    for wrong in [json!(1), json!("text"), json!({ "query": 1 })] {
        let (status, _, answer) = app.post("/graphql", &ann.cookies(), &wrong);
        assert_eq!((status, code(&answer)), (422, "bad_json"), "{wrong}");
    }
    let query = json!({ "query": "{ me { handle } }" });
    let (status, _, answer) = app.post("/graphql", "", &query);
    assert_eq!((status, code(&answer)), (401, "unauthenticated"));
    // Pages are given with what keeps others' scripts out.
    std::fs::write(app.directory().join("index.html"), "the page").unwrap();
    for path in ["/", "/portal", "/chats/bob"] {
        let (status, head, body) = app.http(&format!("GET {path}"), "", "");
        assert_eq!((status, &*body), (200, "the page"));
        assert!(head.contains("frame-ancestors 'none'") && head.contains("nosniff"), "{head}");
    }
}

async fn whoever_floods_is_told_so_and_others_go_on(kind: Kind) {
    let app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let (tab, mut other) = (ann.tab().await, bob.tab().await);
    let calls: Vec<_> = (0..300)
        .map(|_| tab.socket.call::<_, _, Value>("unsubscribe", json!({ "id": "a" })))
        .collect();
    let mut refused = 0;
    for call in calls {
        let answer = soon(call).await.unwrap();
        refused += usize::from(answer != json!({ "ok": null }) && code(&answer) == "rate_limited");
    }
    assert!((100..=201).contains(&refused), "{refused} of 300 refused");
    other.hears_nothing().await;
    // Proofs of who one is: each costs a look into the database.
    for _ in 0..50 {
        other.socket.emit("initialConnection", bob.claim());
    }
    assert_eq!(other.call("unsubscribe", json!({ "id": "a" })).await, json!({ "ok": null }));
    let heard = other.heard();
    assert!((1..20).contains(&heard), "{heard} of 50 were looked at");
    // Mutations, of all devices of a person together; one thread would wait for the disk each time.
    let phone = app.log_in("ann");
    let spam = |number: usize| {
        let device = if number.is_multiple_of(2) { &ann } else { &phone };
        let variables = json!({ "t": "spam", "k": format!("key-of-spam-{number}") });
        let (_, answer) = device.try_ask(POST, &variables).unwrap();
        match answer["errors"][0]["extensions"]["code"].as_str() {
            None => true,
            code => {
                assert_eq!(code, Some("rate_limited"));
                false
            }
        }
    };
    let stored = until_refused(60, 10, spam);
    assert!(stored >= 60, "{stored} stored");
    bob.post("ham", "key-of-ham");
    assert!(is_answered(&ann));
    until_refused(200, 20, |_| is_answered(&ann));
    assert!(is_answered(&bob));
}

/// Asks with many threads, since a slow machine takes long for one after the other, until one is refused. How many were
/// let through: no more than may come at once, and in that time.
fn until_refused(
    burst: usize,
    per_second: u32,
    is_let_through: impl Fn(usize) -> bool + Sync,
) -> usize {
    let [number, through, refused] = &[const { AtomicUsize::new(0) }; 3];
    let (most, began) = (20 * burst, Instant::now());
    let ask = || {
        while refused.load(Ordering::SeqCst) == 0 {
            match number.fetch_add(1, Ordering::SeqCst) {
                number if number >= most => return,
                number if is_let_through(number) => through.fetch_add(1, Ordering::SeqCst),
                _ => refused.fetch_add(1, Ordering::SeqCst),
            };
        }
    };
    std::thread::scope(|threads| (0..8).for_each(|_| drop(threads.spawn(ask))));
    let through = through.load(Ordering::SeqCst);
    let may_come = burst as f64 + f64::from(per_second) * began.elapsed().as_secs_f64() + 1.0;
    assert!(refused.load(Ordering::SeqCst) > 0, "all {through} were let through");
    assert!(through as f64 <= may_come, "{through} let through, and not {may_come}");
    through
}

/// Whether a query is answered, or else comes too fast.
fn is_answered(who: &Person) -> bool {
    let (status, answer) = who.try_ask("{ me { handle } }", &Value::Null).unwrap();
    assert!(status == 200 || (status, code(&answer)) == (429, "rate_limited"), "{answer}");
    status == 200
}

async fn passwords_cannot_be_tried_for_long(kind: Kind) {
    let app = App::start(kind).await;
    app.person("ann");
    app.person("bob");
    let log_in = |handle: &str, password: &str| {
        app.post("/api/login", "", &json!({ "handle": handle, "password": password })).0
    };
    // Who knows it may come as often as they like.
    for _ in 0..6 {
        assert_eq!(log_in("ann", PASSWORD), 200);
    }
    let tries: Vec<_> = (0..8).map(|number| log_in("ann", &format!("wrong {number}"))).collect();
    assert_eq!(tries, [401, 401, 401, 401, 401, 429, 429, 429]);
    assert_eq!(log_in("ann", PASSWORD), 429, "a right one is not told from the wrong ones");
    assert_eq!(log_in("bob", PASSWORD), 200);
    // What is no handle is not remembered.
    let tries: Vec<_> = (0..7).map(|_| log_in("No Handle", "wrong")).collect();
    assert_eq!(tries, [401; 7]);
    // An address has a rate for all that costs a password, whatever it asks for.
    let sign_up = |number: usize| {
        let body = json!({ "handle": "x", "name": number, "password": PASSWORD });
        app.post("/api/signup", "", &body).0 != 429
    };
    let let_through = until_refused(300, 20, sign_up);
    assert!(let_through >= 200, "{let_through} let through");
    // So long as some go on with it, a right one does not come in either.
    let comes_in = |number: usize| {
        for _ in 0..20 {
            sign_up(number);
        }
        log_in("bob", PASSWORD) != 429
    };
    until_refused(100, 20, comes_in);
}

async fn no_secret_is_kept_in_clear(kind: Kind) {
    let mut app = App::start(kind).await;
    let ann = app.person("ann");
    ann.tab().await.hears_nothing().await;
    ann.post("this is no secret", "key-of-post");
    let (_, key) = ann.session.split_once('.').unwrap();
    let secrets = [PASSWORD, &ann.secretkey, key];
    let hashes = app
        .rows(
            "SELECT password_hash FROM people UNION ALL SELECT secret_hash FROM sessions \
             UNION ALL SELECT session_hash FROM sessions",
        )
        .await;
    assert_eq!(hashes.len(), 3);
    assert!(hashes.iter().all(|hash| hash.starts_with("$argon2id$v=19$m=")), "{hashes:?}");
    assert!(hashes[0].contains("$m=19456,t=2,p=1$"), "passwords at the cost that is advised");
    app.kill();
    let mut looked_at = 0;
    let bytes = match kind {
        Kind::Sqlite => files(app.directory()),
        Kind::Postgres => support::postgres::files(&app.database).await,
    };
    for (path, bytes) in bytes {
        looked_at += usize::from(holds(&bytes, "this is no secret"));
        for secret in secrets {
            assert!(!holds(&bytes, secret), "{path} has a secret in it");
        }
    }
    assert!(looked_at > 0, "these are the files");
}

fn files(directory: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let files = directory.read_dir().unwrap().map(|file| file.unwrap().path());
    files.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn a_database_that_is_away_turns_nobody_away(kind: Kind) {
    let app = App::start(kind).await;
    let ann = app.person("ann");
    app.rows("ALTER TABLE sessions RENAME TO elsewhere").await;
    let (status, answer) = ann.try_ask("{ me { handle } }", &Value::Null).unwrap();
    assert_eq!((status, code(&answer)), (500, "internal_error"));
    assert!(!answer.to_string().contains("sessions"), "{answer}");
    // It is neither let in nor told no until somebody knows. What is wrong in itself is told so at once.
    let mut stranger = app.stranger().await;
    stranger.socket.emit("initialConnection", json!({ "id": ann.id, "secretkey": 1 }));
    stranger.is_turned_away().await;
    let coming = tokio::spawn({
        let ann = ann.clone();
        async move { ann.tab().await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!coming.is_finished());
    app.rows("ALTER TABLE elsewhere RENAME TO sessions").await;
    coming.await.unwrap().hears_nothing().await;
}

async fn sockets_that_a_crash_has_left_are_forgotten(kind: Kind) {
    let mut app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let tabs = [ann.tab().await, ann.tab().await, bob.tab().await];
    let expected: Vec<_> = tabs.iter().map(|tab| tab.socket.id().unwrap()).collect();
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(sorted(app.sockets().await), sorted(expected));
    app.kill();
    for tab in &tabs {
        soon(tab.socket.manager().close()).await;
    }
    assert_eq!(app.sockets().await.len(), 3, "a crash leaves them");
    app.start_again();
    assert!(app.sockets().await.is_empty());
    // One that leaves in order is forgotten at once.
    let (tab, _other) = (ann.tab().await, bob.tab().await);
    assert_eq!(app.sockets().await.len(), 2);
    tab.socket.disconnect();
    let gone = async {
        while app.sockets().await.len() != 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(gone).await;
}

/// How many messages, posts and follows each of them does.
const ROUNDS: usize = 15;

/// What all of them together have done.
#[derive(Default)]
struct Tally {
    /// So many may be done before the server is killed once more.
    allowed: AtomicUsize,
    waiting: AtomicUsize,
    done: AtomicUsize,
}

async fn nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed(kind: Kind) {
    let mut app = App::start(kind).await;
    let names = ["ann", "bob", "eve", "joe", "lou"];
    let people = Arc::new(names.map(|name| app.person(name)));
    let mut tabs = Vec::new();
    for person in &*people {
        tabs.push(person.tab().await);
    }
    let all = 3 * ROUNDS * people.len();
    let tally = Arc::new(Tally { allowed: (all / 4).into(), ..Tally::default() });
    let works: Vec<_> = (0..people.len())
        .map(|number| {
            let (people, tally) = (Arc::clone(&people), Arc::clone(&tally));
            std::thread::spawn(move || work(&*people, number, &tally))
        })
        .collect();
    for part in 1..=3 {
        comes_to(&tally.done, all * part / 4).await;
        // It dies while something is under way.
        app.freeze();
        let allowed = if part < 3 { all * (part + 1) / 4 } else { usize::MAX };
        tally.allowed.store(allowed, Ordering::SeqCst);
        comes_to(&tally.waiting, 1).await;
        app.kill();
        app.start_again();
    }
    let repeated: usize =
        tokio::task::spawn_blocking(|| works.into_iter().map(|work| work.join().unwrap()).sum())
            .await
            .unwrap();
    assert!(repeated > 0, "nobody was cut off");
    for (number, person) in people.iter().enumerate() {
        let next = names[(number + 1) % names.len()];
        let texts: Vec<_> =
            (0..ROUNDS).map(|round| format!("\"{} {round}\"", names[number])).collect();
        let chat = person.chat(next);
        let messages = chat["messages"].as_array().unwrap();
        let own = messages.iter().filter(|message| message["from"] == names[number]);
        let own: Vec<_> = own.map(|message| message["text"].to_string()).collect();
        assert_eq!(own, texts);
        let query = "{ me { following followers } feed { text author { handle } } }";
        let data = person.ask(query, Value::Null);
        let posts = data["feed"].as_array().unwrap().iter().rev();
        let own = posts.filter(|post| post["author"]["handle"] == names[number]);
        let own: Vec<_> = own.map(|post| post["text"].to_string()).collect();
        assert_eq!(own, texts);
        assert_eq!(data["me"], json!({ "following": 1, "followers": 1 }), "an even number is done");
    }
    // All pages are back by themselves.
    for (number, tab) in tabs.iter_mut().enumerate() {
        tab.is_back().await;
        people[number].send(names[(number + 1) % names.len()], "and after it", "key-of-the-end");
        tab.comes_to_hear("chatroom", |message| message["text"] == "and after it").await;
    }
}

async fn comes_to(count: &AtomicUsize, least: usize) {
    let enough = async {
        while count.load(Ordering::SeqCst) < least {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(enough).await;
}

/// Messages, posts and follows, each until it is answered; says how often something was sent again.
fn work(people: &[Person], number: usize, tally: &Tally) -> usize {
    let (me, next) = (&people[number], &people[(number + 1) % people.len()].handle);
    let follow = "mutation ($h: String!, $f: Boolean!) { followUnfollowUser(handle: $h, follow: $f) { name } }";
    let mut repeated = 0;
    for round in 0..ROUNDS {
        let (text, key) = (format!("{} {round}", me.handle), format!("key-of-{round}"));
        for (query, variables) in [
            (SEND, json!({ "to": next, "t": text, "k": key })),
            (POST, json!({ "t": text, "k": key })),
            (follow, json!({ "h": next, "f": round % 2 == 0 })),
        ] {
            while tally.done.load(Ordering::SeqCst) >= tally.allowed.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            loop {
                tally.waiting.fetch_add(1, Ordering::SeqCst);
                let answer = me.try_ask(query, &variables);
                tally.waiting.fetch_sub(1, Ordering::SeqCst);
                match answer {
                    Ok((200, answer)) if answer["errors"].is_null() => break,
                    Ok((status, answer)) => panic!("{status} {answer}"),
                    Err(_) => repeated += 1,
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            tally.done.fetch_add(1, Ordering::SeqCst);
        }
    }
    repeated
}

async fn a_server_that_is_told_to_stop_ends_what_it_has_begun(kind: Kind) {
    let mut app = App::start(kind).await;
    let (ann, bob) = (app.person("ann"), app.person("bob"));
    let mut tab = bob.tab().await;
    let stopped = Arc::new(AtomicBool::new(false));
    let sending = {
        let (ann, stopped) = (ann.clone(), Arc::clone(&stopped));
        std::thread::spawn(move || {
            let mut answered = Vec::new();
            // Until it stops listening.
            for number in 0.. {
                let variables = json!({ "to": "bob", "t": number.to_string(), "k": format!("key-of-{number}") });
                match ann.try_ask(SEND, &variables) {
                    Ok((200, answer)) if answer["errors"].is_null() => answered.push(number),
                    Ok((200, answer)) => {
                        assert_eq!(answer["errors"][0]["extensions"]["code"], "rate_limited");
                    }
                    // One may be cut off, but in that case nobody has said that it is stored.
                    _ if stopped.load(Ordering::Relaxed) => return answered,
                    other => drop(other),
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            answered
        })
    };
    tab.hears("chatroom").await;
    let status = app.terminate().await;
    stopped.store(true, Ordering::Relaxed);
    assert_eq!(status.code(), Some(0));
    let answered = tokio::task::spawn_blocking(|| sending.join().unwrap()).await.unwrap();
    assert!(app.sockets().await.is_empty(), "they have left in order");
    app.start_again();
    tab.comes_to_hear("auth", |answer| answer == true).await;
    let chat = bob.chat("ann");
    let texts = chat["messages"].as_array().unwrap();
    let stored: Vec<_> = texts.iter().map(|message| message["text"].to_string()).collect();
    for number in answered.iter().rev().take(40) {
        let text = format!("\"{number}\"");
        assert_eq!(
            stored.iter().filter(|stored| **stored == text).count(),
            1,
            "{number}: {stored:?}"
        );
    }
}
