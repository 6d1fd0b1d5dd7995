//! What the form promises to its pages, and what it answers to those that mean no good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use roomful_client::{CallError, ConnectError, EventError, Socket, Status};
use serde_json::{Value, json};
use support::{App, Document, Edited, Page, WEB_ORIGIN, code, soon};
use tokio::sync::mpsc;
use tokio::time::sleep;

const TITLE: &str = "overview.title";
const POPULATION: &str = "overview.population";

/// Why a socket is not let in: the data of the refusal.
async fn refusal(socket: &Socket) -> Value {
    let Err(ConnectError::Refused(refusal)) = soon(socket.connect()).await else {
        panic!("it was let in");
    };
    assert!(!refusal.message.is_empty());
    refusal.data.unwrap_or_default()
}

/// Waits until its socket has been put out.
async fn is_put_out(page: &mut Page) {
    soon(page.expired.next()).await.unwrap().unwrap();
    let status = soon(page.socket.closed()).await;
    assert!(matches!(status, Status::Disconnected(_)), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_stored_before_its_ack_and_told_to_its_room_without_its_content() {
    let mut app = App::start();
    let mut ana = app.page("Ana", "ohio").await;
    let mut ben = app.page("Ben", "ohio").await;
    let mut tex = app.page("Tex", "texas").await;
    // Of Ohio's creation Ben has not heard, and of that of Texas nobody else.
    let created = json!({ "room": "ohio", "version": 0, "by": ana.id() });
    assert_eq!(ana.change().await, created);
    assert_eq!(tex.change().await, json!({ "room": "texas", "version": 0, "by": tex.id() }));

    let edited = ana.edit("ohio", TITLE, "Floods", 0, "key-of-floods").await.unwrap();
    assert_eq!(edited, Edited { field: TITLE.to_owned(), version: 1, before: json!("") });
    let document = app.document(&ben, "ohio");
    let field = &document.fields[TITLE];
    assert_eq!((document.version, document.fields.len()), (1, 1));
    assert_eq!((&field.value, field.version, &*field.by), (&json!("Floods"), 1, "Ana"));
    assert!(field.at > 0);
    let change = json!({ "room": "ohio", "version": 1, "by": ana.id() });
    assert_eq!(ana.change().await, change);
    assert_eq!(ben.change().await, change);

    // What Texas hears next is its own.
    tex.edit("texas", TITLE, "Heat", 0, "key-of-heat").await.unwrap();
    assert_eq!(tex.change().await, json!({ "room": "texas", "version": 1, "by": tex.id() }));
    assert!(app.line().starts_with("DEMONSTRATION"), "the codes are said loudly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_what_has_changed_since_a_version_and_can_undo() {
    let app = App::start();
    let ana = app.page("Ana", "ohio").await;
    ana.edit("ohio", TITLE, "one", 0, "key-of-one").await.unwrap();
    ana.edit("ohio", "schedule.start", "2028-02-29", 0, "key-of-date").await.unwrap();
    let two = ana.edit("ohio", TITLE, "two", 1, "key-of-two").await.unwrap();
    assert_eq!((two.version, &two.before), (3, &json!("one")));
    let since = |version: i64| -> Document {
        let route = format!("GET /api/documents/ohio/changes?since={version}");
        serde_json::from_value(app.ask(&route, &ana.session, "").1).unwrap()
    };
    assert_eq!(since(0), app.document(&ana, "ohio"));
    let names = |document: &Document| document.fields.keys().cloned().collect::<Vec<_>>();
    assert_eq!((since(1).version, names(&since(1)).len()), (3, 2));
    assert_eq!((since(2).version, names(&since(2))), (3, vec![TITLE.to_owned()]));
    assert_eq!((since(3).version, names(&since(3)).len()), (3, 0));
    assert_eq!(since(99).version, 3);

    let undone = ana.edit("ohio", TITLE, two.before, 3, "key-of-undo").await.unwrap();
    assert_eq!((undone.version, undone.before), (4, json!("two")));
    assert_eq!(since(3).fields[TITLE].value, "one");

    let states = app.ask("GET /api/states", &ana.session, "").1;
    let ohio = json!({ "state": "ohio", "name": "Ohio", "created": true, "version": 4 });
    assert_eq!(states, json!({ "states": [ohio] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_joins_is_announced_to_the_room_and_is_in_one_room_at_a_time() {
    let app = App::start();
    let mut ana = app.page("Ana", "ohio").await;
    let both = app.log_in("Ben", &["ohio", "texas"]);
    let mut ben = app.page_of(&both).await;
    assert_eq!(soon(ana.joins.next()).await.unwrap().unwrap(), text(&ana, "ohio"));
    let joined = ben.ask("join", json!({ "room": "texas" })).await;
    assert_eq!(joined["ok"]["version"], Value::Null, "nobody has begun it");
    assert_eq!(soon(ben.joins.next()).await.unwrap().unwrap(), text(&ben, "texas"));
    let joined = ben.ask("join", json!({ "room": "ohio" })).await;
    assert_eq!(joined["ok"]["version"], 0);
    assert_eq!(joined["ok"]["people"].as_array().unwrap().len(), 2);
    for page in [&mut ana, &mut ben] {
        let told = soon(page.joins.next()).await.unwrap().unwrap();
        assert!(told.ends_with(" has joined the ohio room"), "{told}");
    }
    // The same once more is no news, and Texas is left.
    assert_eq!(ben.ask("join", json!({ "room": "ohio" })).await["ok"]["room"], "ohio");
    let tex = app.page("Tex", "texas").await;
    tex.edit("texas", TITLE, "Heat", 0, "key-of-heat").await.unwrap();
    assert!(!ben.heard().await.iter().any(|heard| heard.starts_with("changed")));
    assert_eq!(ana.heard().await.iter().filter(|heard| heard.starts_with("join ")).count(), 2);

    assert_eq!(ben.ask("leave", json!({ "room": "texas" })).await, json!({ "ok": null }));
    ana.edit("ohio", TITLE, "Floods", 0, "key-of-floods").await.unwrap();
    assert_eq!(ben.change().await["version"], 1, "it was another room that it left");
    assert_eq!(ben.ask("leave", json!({ "room": "ohio" })).await, json!({ "ok": null }));
    ana.edit("ohio", TITLE, "Fires", 1, "key-of-fires").await.unwrap();
    assert!(!ben.heard().await.iter().any(|heard| heard.contains("\"version\":2")));
}

fn text(page: &Page, room: &str) -> String {
    format!("{} has joined the {room} room", page.id())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_at_the_document_of_another_state_by_any_way() {
    let app = App::start();
    let ohio = app.page("Ana", "ohio").await;
    ohio.edit("ohio", TITLE, "secret", 0, "key-of-secret").await.unwrap();
    let mut spy = app.page_of(&app.log_in("Tex", &["texas"])).await;
    for room in ["ohio", "Ohio", "atlantis", "", &ohio.id(), "session:1"] {
        let answer = spy.ask("join", json!({ "room": room })).await;
        assert_eq!(code(&answer), "no_permission", "{room}");
    }
    let edit =
        json!({ "state": "ohio", "field": TITLE, "value": "x", "base": 1, "key": "key-of-spy" });
    assert_eq!(code(&spy.ask("editAPD", edit).await), "no_permission");
    let create = json!({ "state": "oregon", "key": "key-of-spy" });
    assert_eq!(code(&spy.ask("createAPD", create).await), "no_permission");
    // Events that only the server sends join nothing.
    for event in ["changed", "presence", "socketsJoin"] {
        spy.socket.emit(event, json!({ "room": "ohio" }));
    }
    for route in ["/api/documents/ohio", "/api/documents/ohio/changes?since=0", "/api/documents/x"]
    {
        let (status, answer) = app.ask(&format!("GET {route}"), &spy.session, "");
        assert_eq!((status, code(&answer)), (403, "no_permission"), "{route}");
        let (status, answer) = app.ask(&format!("GET {route}"), "", "");
        assert_eq!((status, code(&answer)), (401, "no_session"), "{route}");
    }
    let states = app.ask("GET /api/states", &spy.session, "").1.to_string();
    assert!(!states.contains("ohio"), "{states}");

    ohio.ask("focus", json!({ "section": "budget", "field": null })).await;
    ohio.edit("ohio", TITLE, "more secret", 1, "key-of-more").await.unwrap();
    assert_eq!(spy.heard().await, [""; 0], "it hears nothing of it");
    assert_eq!(app.document(&ohio, "ohio").fields[TITLE].value, "more secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_no_socket_is_let_in() {
    let app = App::start();
    for session in ["", "0", &"0".repeat(64)] {
        assert_eq!(refusal(&app.socket(session)).await, json!({ "code": "no_session" }));
    }
    // A program gives what a cookie would say, and it counts more.
    let session = app.log_in("Ana", &["ohio"]);
    let program = app.socket("wrong");
    program.auth(json!({ "session": session })).unwrap();
    soon(program.connect()).await.unwrap();
    // A page says whom it shows: with the cookie of somebody else it does nothing in their name.
    let page = app.socket(&session);
    page.auth(json!({ "name": "Ben" })).unwrap();
    assert_eq!(refusal(&page).await, json!({ "code": "no_session" }));
    page.auth(json!({ "name": "Ana" })).unwrap();
    soon(page.connect()).await.unwrap();
    let stranger = app.socket(&session);
    stranger.auth(json!({ "session": "wrong" })).unwrap();
    assert_eq!(refusal(&stranger).await, json!({ "code": "no_session" }));
    stranger.auth(json!({ "session": [session] })).unwrap();
    assert_eq!(refusal(&stranger).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_a_code_and_ends_with_all_its_sockets() {
    let app = App::start();
    let session = app.log_in("  Ana ", &["texas", "ohio"]);
    let mine = json!({ "name": "Ana", "states": ["ohio", "texas"] });
    assert_eq!(app.ask("GET /api/session", &session, ""), (200, mine));
    let other = app.log_in("Ben", &["ohio"]);
    assert_ne!(session, other);
    let (mut first, mut second) = (app.page_of(&session).await, app.page_of(&session).await);
    let mut ben = app.page_of(&other).await;
    let (head, body) =
        app.http("DELETE /api/session", &format!("cookie: collab_session={session}\r\n"), "");
    assert!(head.starts_with("http/1.1 204") && body.is_empty(), "{head}");
    assert!(head.contains("set-cookie: collab_session=; path=/; max-age=0;"), "{head}");
    is_put_out(&mut first).await;
    is_put_out(&mut second).await;
    assert_eq!(refusal(&app.socket(&session)).await, json!({ "code": "no_session" }));
    for request in ["GET /api/session", "DELETE /api/session", "GET /api/states"] {
        let (status, answer) = app.ask(request, &session, "");
        assert_eq!((status, code(&answer)), (401, "no_session"));
    }
    assert_eq!(ben.heard().await, [""; 0], "others stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_added_to_a_session_gives_it_a_new_secret() {
    let app = App::start();
    let old = app.log_in("Ana", &["ohio"]);
    let page = app.page_of(&old).await;
    let body = json!({ "name": "Eve", "code": "texas-demo" }).to_string();
    let headers = format!("content-type: application/json\r\ncookie: collab_session={old}\r\n");
    let (head, body) = app.http("POST /api/session", &headers, &body);
    let (_, cookie) = head.split_once("set-cookie: collab_session=").expect("a new cookie");
    let new = cookie.split(';').next().unwrap();
    assert_ne!(new, old);
    let mine = json!({ "name": "Ana", "states": ["ohio", "texas"] });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), mine);
    assert_eq!(app.ask("GET /api/session", new, ""), (200, mine));

    // Whoever knows the old one has nothing: neither a way in, nor the socket that was there.
    let status = soon(page.socket.closed()).await;
    assert!(matches!(status, Status::Disconnected(_)), "{status:?}");
    assert_eq!(refusal(&app.socket(&old)).await, json!({ "code": "no_session" }));
    for request in ["GET /api/session", "DELETE /api/session", "GET /api/states"] {
        let (status, answer) = app.ask(request, &old, "");
        assert_eq!((status, code(&answer)), (401, "no_session"));
    }
    let page = app.page_of(new).await;
    let joined = page.ask("join", json!({ "room": "texas" })).await;
    assert_eq!(joined["ok"]["room"], "texas", "{joined}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_session_expires_its_sockets_are_told_and_put_out() {
    let app = App::with_sessions_of(5);
    let session = app.log_in("Ana", &["ohio"]);
    let mut page = app.page_of(&session).await;
    is_put_out(&mut page).await;
    assert_eq!(app.ask("GET /api/session", &session, "").0, 401);
    assert_eq!(app.ask("GET /api/documents/ohio", &session, "").0, 401);
    assert_eq!(refusal(&app.socket(&session)).await, json!({ "code": "no_session" }));
    // A session that was one is not made longer by its cookie.
    let body = json!({ "name": "Eve", "code": "ohio-demo" }).to_string();
    let headers = format!("content-type: application/json\r\ncookie: collab_session={session}\r\n");
    let (head, _) = app.http("POST /api/session", &headers, &body);
    assert!(head.contains("set-cookie") && !head.contains(&session), "{head}");
    assert!(head.contains("max-age=5; httponly; samesite=lax"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_names_and_bodies_are_refused_and_so_is_who_tries_too_often() {
    let app = App::start();
    let body = |name: Value, code: Value| json!({ "name": name, "code": code }).to_string();
    for (body, status, expected) in [
        (body(json!("Ana"), json!("ohio-demo2")), 401, "bad_code"),
        (body(json!("Ana"), json!("")), 401, "bad_code"),
        (body(json!(" "), json!("ohio-demo")), 422, "bad_name"),
        (body(json!("x".repeat(41)), json!("ohio-demo")), 422, "bad_name"),
        (body(json!("two\nlines"), json!("ohio-demo")), 422, "bad_name"),
        (body(json!(1), json!("ohio-demo")), 422, "bad_body"),
        (body(json!("Ana"), json!(["ohio-demo"])), 422, "bad_body"),
        ("{".to_owned(), 422, "bad_body"),
        (body(json!("Ana"), json!("x".repeat(5_000))), 413, "too_large"),
    ] {
        let (found, answer) = app.ask("POST /api/session", "", &body);
        assert_eq!((found, code(&answer)), (status, expected), "{body}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    assert_eq!(app.ask("GET /api/nothing", "", "").0, 404);
    let page = app.page("Ana", "ohio").await;
    for query in ["?since=", "?since=x", "?since=1.5"] {
        let route = format!("GET /api/documents/ohio/changes{query}");
        let (status, answer) = app.ask(&route, &page.session, "");
        assert_eq!((status, code(&answer)), (422, "bad_since"), "{query}");
    }
    let (app, wrong) = (&app, &body(json!("Eve"), json!("wrong")));
    let one_of_eight =
        || (0..80).filter(|_| app.ask("POST /api/session", "", wrong).0 == 429).count();
    let refused: usize = std::thread::scope(|threads| {
        let all: Vec<_> = (0..8).map(|_| threads.spawn(one_of_eight)).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!((1..=350).contains(&refused), "{refused} of 640 refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_again_is_answered_as_the_first_time_and_stored_and_told_once() {
    let app = App::start();
    let mut ana = app.page("Ana", "ohio").await;
    ana.change().await;
    let once = || ana.edit("ohio", TITLE, "once", 0, "key-of-once");
    let (first, same) = tokio::join!(once(), once());
    let first = first.unwrap();
    assert_eq!(first, same.unwrap());
    ana.edit("ohio", TITLE, "twice", 1, "key-of-twice").await.unwrap();
    assert_eq!(once().await.unwrap(), first, "also when it is long gone");
    for (field, value, base) in [(TITLE, "else", 0), (TITLE, "once", 1), ("goals.first", "once", 0)]
    {
        let taken = ana.edit("ohio", field, value, base, "key-of-once").await.unwrap_err();
        assert_eq!(taken.code(), "key_used");
    }
    assert_eq!(app.document(&ana, "ohio").version, 2);
    assert_eq!(ana.change().await["version"], 1);
    assert_eq!(ana.change().await["version"], 2, "and the first is not told again");
    // In another document it is another key.
    let tex = app.page("Tex", "texas").await;
    assert_eq!(tex.edit("texas", TITLE, "own", 0, "key-of-once").await.unwrap().version, 1);

    let create = |key: &str| {
        let args = json!({ "state": "ohio", "key": key });
        let answer = ana.ask("createAPD", args);
        async { answer.await["ok"].clone() }
    };
    let again = json!({ "state": "ohio", "version": 0, "created": true });
    assert_eq!(create("created-by-Ana").await, again, "who created it has done so");
    let there = json!({ "state": "ohio", "version": 2, "created": false });
    assert_eq!(create("key-of-another").await, there);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_told_once_also_where_what_followed_has_failed() {
    let app = App::start();
    let ana = app.page("Ana", "ohio").await;
    let mut ben = app.page("Ben", "ohio").await;
    let database = app.database().await;
    let before = "UPDATE edits SET before = $1 WHERE state = 'ohio' AND version = 2";
    ana.edit("ohio", TITLE, "one", 0, "key-of-one").await.unwrap();
    sqlx::query("UPDATE edits SET value = 'no JSON'").execute(&database).await.unwrap();
    let two = || ana.edit("ohio", TITLE, "two", 1, "key-of-two");
    assert_eq!(two().await.unwrap_err().code(), "internal_error");
    assert_eq!(ben.change().await["version"], 1);
    assert_eq!(ben.change().await["version"], 2, "it is stored nevertheless");
    sqlx::query(before).bind("\"one\"").execute(&database).await.unwrap();
    assert_eq!(two().await.unwrap().version, 2);
    ana.edit("ohio", TITLE, "three", 2, "key-of-three").await.unwrap();
    assert_eq!(ben.change().await["version"], 3, "and the second is not told again");

    // That old edits cannot be forgotten is for nobody who makes a new one.
    let many = "INSERT INTO edits SELECT state, 19999, field, value, 'key-of-many', base, before, by, at \
                FROM edits WHERE version = 3; \
                CREATE TRIGGER kept BEFORE DELETE ON edits BEGIN SELECT RAISE(ABORT, 'kept'); END";
    sqlx::raw_sql(many).execute(&database).await.unwrap();
    let last = ana.edit("ohio", TITLE, "last", 19_999, "key-of-last").await.unwrap();
    assert_eq!((last.version, last.before), (20_000, json!("three")));
    assert_eq!(ben.change().await["version"], 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_who_edit_the_same_field_one_wins_each_time_and_none_is_lost() {
    let app = App::start();
    app.page("Zoe", "ohio").await;
    let mut editing = Vec::new();
    for number in 0..10 {
        let page = app.page(&format!("Editor-{number}"), "ohio").await;
        editing.push(tokio::spawn(count_up(page, number)));
    }
    let (mut won, mut lost) = (Vec::new(), 0);
    for one in editing {
        let (versions, conflicts) = one.await.unwrap();
        won.extend(versions);
        lost += conflicts;
    }
    won.sort_unstable();
    assert_eq!(won, (1..=30).collect::<Vec<i64>>());
    assert!(lost > 0, "all of them begin at the same version");
    let document = app.document(&app.page("Zoe", "ohio").await, "ohio");
    assert_eq!((document.version, &document.fields[POPULATION].value), (30, &json!(30)));
}

/// Adds one to a number three times, each time to what it finds; the versions, and how often somebody
/// else was faster.
async fn count_up(page: Page, number: usize) -> (Vec<i64>, usize) {
    let (mut value, mut base, mut versions, mut conflicts) = (0, 0, Vec::new(), 0);
    while versions.len() < 3 {
        let key = format!("key-{number}-{}-{conflicts}", versions.len());
        match page.edit("ohio", POPULATION, value + 1, base, &key).await {
            Ok(edited) => {
                assert_eq!(edited.before.as_i64().unwrap_or_default(), value);
                (value, base) = (value + 1, edited.version);
                versions.push(base);
            }
            Err(error) => {
                assert_eq!(error.code(), "conflict");
                let there = error.details().unwrap();
                assert!(there["by"].as_str().unwrap().starts_with("Editor-"), "{there}");
                value = there["value"].as_i64().unwrap();
                base = there["version"].as_i64().unwrap();
                conflicts += 1;
            }
        }
    }
    (versions, conflicts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_says_what_is_there_and_changes_nothing() {
    let app = App::start();
    let mut ana = app.page("Ana", "ohio").await;
    ana.change().await;
    // Of a field that nobody has edited.
    let early = ana.edit("ohio", "budget.items", json!([]), 7, "key-of-early").await.unwrap_err();
    let empty = json!({ "value": [], "version": 0, "by": null, "at": 0 });
    assert_eq!((early.code(), early.details()), ("conflict", Some(&empty)));
    ana.edit("ohio", TITLE, "hers", 0, "key-of-hers").await.unwrap();
    let before = app.document(&ana, "ohio");
    for base in [-1, 0, 2, i64::MAX] {
        let error = ana.edit("ohio", TITLE, "his", base, "key-of-his").await.unwrap_err();
        let there = error.details().unwrap();
        assert_eq!(error.code(), "conflict");
        assert_eq!(
            (&there["value"], &there["version"], &there["by"]),
            (&json!("hers"), &json!(1), &json!("Ana"))
        );
    }
    assert_eq!(app.document(&ana, "ohio"), before);
    assert_eq!(ana.change().await["version"], 1);
    ana.edit("ohio", TITLE, "his", 1, "key-of-his").await.unwrap();
    assert_eq!(ana.change().await["version"], 2, "no conflict was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_their_field_are_refused() {
    let app = App::start();
    let row = json!({ "item": "Sandbags", "cents": 120_050 });
    for (number, (field, good, bad)) in [
        (TITLE, json!("x".repeat(120)), json!(["x".repeat(121), "\u{0}", 1, null, ["x"], {}])),
        ("risks.mitigation", json!("two\n\tlines"), json!(["x".repeat(2_001)])),
        (POPULATION, json!(40_000_000), json!([-1, 40_000_001, "1", [], true])),
        ("goals.target", json!(12.5), json!([100.1, "", {}])),
        (
            "schedule.start",
            json!("2028-02-29"),
            json!([
                "2027-02-29",
                "2028-13-01",
                "2028-04-31",
                "2028-1-01",
                "20280101",
                "0",
                "2028-00-00",
                "+028-01-01",
                "12028-01-01",
                null,
                2028
            ]),
        ),
        ("schedule.phase", json!("in force"), json!(["In force", "done", null, 1])),
        (
            "budget.items",
            json!(vec![row.clone(); 40]),
            json!([
                vec![row.clone(); 41], row, null, "", [{}], [1], [{ "item": "x" }],
                [{ "item": "x", "cents": 1.5 }], [{ "item": "x", "cents": "1" }],
                [{ "item": "x".repeat(81), "cents": 1 }], [{ "item": "x", "cents": 1, "more": 1 }],
                [{ "item": "x", "cents": 9_007_199_254_740_992_i64 }],
                [{ "item": "x", "cents": i64::MIN }],
            ]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let page = app.page(&format!("P{number}"), "ohio").await;
        for bad in bad.as_array().unwrap() {
            let error = page.edit("ohio", field, bad.clone(), 0, "key-of-bad").await.unwrap_err();
            assert_eq!(error.code(), "bad_value", "{field} {bad}");
            assert!(error.message().starts_with("This is "), "{error}");
        }
        let key = format!("key-of-good-{number}");
        let edited = page.edit("ohio", field, good.clone(), 0, &key).await.unwrap();
        assert_eq!(app.document(&page, "ohio").fields[field].value, good);
        // What was there before anybody came may be put back.
        let key = format!("key-of-empty-{number}");
        page.edit("ohio", field, edited.before, edited.version, &key).await.unwrap();
    }
    let page = app.page("Ana", "ohio").await;
    for field in ["", "overview", "overview.Title", "__proto__"] {
        let error = page.edit("ohio", field, "x", 0, "key-of-field").await.unwrap_err();
        assert_eq!(error.code(), "bad_field", "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_and_what_is_huge_or_deep_get_a_clear_answer_and_nobody_else_notices() {
    let app = App::start();
    let mut other = app.page("Ben", "ohio").await;
    other.change().await;
    let page = app.page("Ana", "ohio").await;
    let edit = |name: &str, value: Value| {
        let mut edit = json!({ "state": "ohio", "field": TITLE, "value": "x", "base": 0, "key": "key-of-edit" });
        edit[name] = value;
        edit
    };
    let deep = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    for (event, args, expected) in [
        ("join", json!(null), "invalid_arguments"),
        ("join", json!("ohio"), "invalid_arguments"),
        ("join", json!({ "room": ["ohio"] }), "invalid_arguments"),
        ("leave", json!({}), "invalid_arguments"),
        ("createAPD", json!({ "state": "ohio" }), "invalid_arguments"),
        ("createAPD", json!({ "state": "ohio", "key": "short" }), "bad_key"),
        ("focus", json!({ "section": 1 }), "invalid_arguments"),
        ("focus", json!({ "section": "secrets" }), "bad_field"),
        ("focus", json!({ "section": "goals", "field": TITLE }), "bad_field"),
        ("focus", json!({ "section": null, "field": TITLE }), "bad_field"),
        ("editAPD", json!([1, 2]), "invalid_arguments"),
        ("editAPD", edit("state", json!(1)), "invalid_arguments"),
        ("editAPD", edit("base", json!("0")), "invalid_arguments"),
        ("editAPD", edit("base", json!(0.5)), "invalid_arguments"),
        ("editAPD", edit("key", json!(null)), "invalid_arguments"),
        ("editAPD", edit("key", json!("key of spaces")), "bad_key"),
        ("editAPD", edit("key", json!("k".repeat(65))), "bad_key"),
        ("editAPD", edit("value", deep(100)), "bad_value"),
        ("editAPD", edit("value", deep(200)), "invalid_arguments"),
        ("editAPD", edit("value", json!("x".repeat(17_000))), "too_large"),
    ] {
        let answer = page.ask(event, &args).await;
        assert_eq!(code(&answer), expected, "{event} {args}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    let nothing = page.ask("editAPD", ()).await;
    assert_eq!(code(&nothing), "invalid_arguments");
    // What nobody has begun cannot be edited.
    let tex = app.page_of(&app.log_in("Tex", &["texas"])).await;
    let early = tex.edit("texas", TITLE, "x", 0, "key-of-early").await.unwrap_err();
    assert_eq!(early.code(), "no_document");
    assert_eq!(app.ask("GET /api/documents/texas", &tex.session, "").0, 404);

    // What is beyond the limits of a message costs the connection.
    for value in [json!("x".repeat(200_000)), deep(1_000)] {
        let page = app.page("Eve", "ohio").await;
        let huge = page.socket.call::<_, _, Value>("editAPD", edit("value", value));
        assert!(matches!(soon(huge).await, Err(CallError::Disconnected)));
    }
    let last = page.edit("ohio", TITLE, "still here", 0, "key-of-last").await.unwrap();
    assert_eq!(last.version, 1);
    assert_eq!(other.change().await["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_is_told_so_and_others_can_edit() {
    let app = App::start();
    let (page, other) = (app.page("Eve", "ohio").await, app.page("Ben", "ohio").await);
    let spam = |number: usize| {
        let key = format!("key-of-spam-{number}");
        let edit =
            json!({ "state": "ohio", "field": TITLE, "value": "spam", "base": number, "key": key });
        page.socket.call::<_, _, Result<Edited, EventError>>("editAPD", edit)
    };
    let began = Instant::now();
    let answers: Vec<_> = (0..160).map(spam).collect();
    let mut stored = 0;
    for answer in answers {
        match soon(answer).await.unwrap() {
            Ok(_) => stored += 1,
            Err(error) => assert!(["rate_limited", "conflict"].contains(&error.code()), "{error}"),
        }
    }
    let most = 41 + began.elapsed().as_millis() as i64 / 100;
    assert!((1..=most.min(159)).contains(&stored), "{stored} of 160, {most} at most");
    let version = app.document(&other, "ohio").version;
    assert_eq!(version, stored);
    // Time for some that are let through again.
    sleep(Duration::from_millis(100)).await;
    let focus = |_| page.socket.call::<_, _, Value>("focus", json!({}));
    let answers: Vec<_> = (0..200).map(focus).collect();
    let mut refused = 0;
    for answer in answers {
        let answer = soon(answer).await.unwrap();
        refused += usize::from(answer["error"]["code"] == "rate_limited");
    }
    assert!((1..200).contains(&refused), "{refused} of 200 refused");
    other.edit("ohio", "goals.first", "ham", 0, "key-of-ham").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_in_a_room_see_who_is_where_and_nobody_else_does() {
    let app = App::start();
    let mut ana = app.page("Ana", "ohio").await;
    let ben = app.page("Ben", "ohio").await;
    let mut tex = app.page("Tex", "texas").await;
    ana.sees(json!([["Ana", null, null], ["Ben", null, null]])).await;
    let place = json!({ "section": "budget", "field": "budget.notes" });
    assert_eq!(ben.ask("focus", place).await, json!({ "ok": null }));
    ana.sees(json!([["Ana", null, null], ["Ben", "budget", "budget.notes"]])).await;
    // That Ben is there keeps nobody from editing there.
    ana.edit("ohio", "budget.notes", "mine", 0, "key-of-notes").await.unwrap();
    // Of many moves the last is told, and not each.
    let (before, began) = (lists(&mut ana).await, Instant::now());
    for section in ["overview", "goals", "schedule"].repeat(10) {
        ben.ask("focus", json!({ "section": section })).await;
    }
    ben.ask("focus", json!({ "section": "risks", "field": null })).await;
    ana.sees(json!([["Ana", null, null], ["Ben", "risks", null]])).await;
    let told = lists(&mut ana).await - before;
    assert!(told as u128 <= began.elapsed().as_millis() / 200 + 2, "{told} lists for 31 moves");
    // Whoever leaves is not there any more, and is nowhere when back.
    ben.ask("leave", json!({ "room": "ohio" })).await;
    ana.sees(json!([["Ana", null, null]])).await;
    let joined = ben.ask("join", json!({ "room": "ohio" })).await;
    let people = joined["ok"]["people"].as_array().unwrap();
    assert!(
        people.len() == 2 && people.iter().all(|person| person["section"].is_null()),
        "{joined}"
    );
    ana.sees(json!([["Ana", null, null], ["Ben", null, null]])).await;
    ben.socket.disconnect();
    ana.sees(json!([["Ana", null, null]])).await;
    tex.sees(json!([["Tex", null, null]])).await;
    assert!(!tex.heard().await.iter().any(|heard| heard.contains("Ana")));
}

/// How many lists of people a page has heard.
async fn lists(page: &mut Page) -> usize {
    page.heard().await.iter().filter(|heard| heard.starts_with("presence")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_more_origin_may_call_and_others_may_not() {
    let app = App::start();
    let session = app.log_in("Ana", &["ohio"]);
    let open = "GET /socket.io/?EIO=4&transport=polling";
    let own = format!("http://{}", app.address);
    for (origin, is_allowed) in [
        (&*own, true),
        (WEB_ORIGIN, true),
        ("http://evil.example", false),
        ("http://localhost:5174", false),
        ("https://localhost:5173", false),
        ("null", false),
    ] {
        let headers = format!("origin: {origin}\r\ncookie: collab_session={session}\r\n");
        let named = format!("access-control-allow-origin: {origin}\r\n");
        let status = if is_allowed { "http/1.1 200" } else { "http/1.1 403" };
        for request in [open, "GET /api/session"] {
            let (head, body) = app.http(request, &headers, "");
            assert!(head.starts_with(status), "{request} {origin}: {head}");
            let is_named = format!("{head}\r\n").contains(&named);
            assert_eq!(is_named, is_allowed, "{request} {origin}: {head}");
            assert!(is_allowed || !body.contains("Ana"));
        }
        let (head, _) = app.http("POST /api/session", &headers, "");
        let status = if is_allowed { "http/1.1 422" } else { "http/1.1 403" };
        assert!(head.starts_with(status), "{origin}: {head}");
        let asks = format!("origin: {origin}\r\naccess-control-request-method: DELETE\r\n");
        let (head, _) = app.http("OPTIONS /api/session", &asks, "");
        let is_named = format!("{head}\r\n").contains(&named);
        assert_eq!(is_named, is_allowed, "preflight {origin}: {head}");
    }
    let headers = format!("origin: http://evil.example\r\ncookie: collab_session={session}\r\n");
    let (head, body) = app.http("DELETE /api/session", &headers, "");
    assert!(head.starts_with("http/1.1 403") && body.contains("Origin not allowed"), "{head}");
    assert_eq!(app.ask("GET /api/session", &session, "").0, 200, "the session is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_headers_that_let_no_foreign_script_in() {
    let app = App::start();
    for path in ["/", "/ohio", "/a/b/c"] {
        let (head, body) = app.http(&format!("GET {path}"), "", "");
        assert!(body.contains("the page"), "{path}: {head}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(header), "{path}: {head}");
        }
    }
    let (head, body) = app.http("GET /..%2fcollab.db", "", "");
    assert!(!body.contains("SQLite"), "{head}");
    let (head, body) = app.http("GET /api/nothing", "", "");
    assert!(head.starts_with("http/1.1 404") && body.contains("no_route"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_no_acknowledged_edit_is_lost_or_doubled() {
    through(async |app, edits| {
        // Until it has come while an answer was under way, and not between two edits of all pages.
        for _ in 0..20 {
            app.freeze();
            let all_wait = async {
                while edits.waiting.load(Ordering::SeqCst) < PAGES {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            soon(all_wait).await;
            app.crash_and_start_again();
            sleep(Duration::from_millis(100)).await;
            if edits.cut_off.load(Ordering::SeqCst) > 0 {
                return;
            }
        }
        panic!("no edit was cut off");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_drain_loses_nothing_either() {
    through(async |app, _| app.stop_and_start_again()).await;
}

/// The pages that edit while something happens to the server, each a field of its own.
const PAGES: usize = 5;

/// What becomes of the edits of all pages.
#[derive(Default)]
struct Edits {
    /// How many wait for an answer.
    waiting: AtomicUsize,
    /// How often one had none, and was sent again.
    cut_off: AtomicUsize,
    has_happened: AtomicBool,
}

/// Has the pages edit all the time until something has happened to the server, and looks at what is there then.
async fn through(happens: impl AsyncFnOnce(&mut App, &Edits)) {
    // Some more than a socket may make at once.
    const EDITS: i64 = 50;
    let mut app = App::start();
    let fields: [_; PAGES] =
        [TITLE, "overview.agency", "goals.first", "goals.second", "risks.main"];
    let (done, mut acks) = mpsc::unbounded_channel();
    let edits = Arc::<Edits>::default();
    let mut editing = Vec::new();
    for (number, field) in fields.into_iter().enumerate() {
        let page = app.page(&format!("Editor-{number}"), "ohio").await;
        let (done, edits) = (done.clone(), Arc::clone(&edits));
        editing.push(tokio::spawn(async move {
            let mut versions = vec![0];
            for edit in 0.. {
                if edit >= EDITS && edits.has_happened.load(Ordering::SeqCst) {
                    break;
                }
                let base = versions[versions.len() - 1];
                let edited = insist(&page, field, edit, base, &edits).await;
                let before = if edit == 0 { String::new() } else { (edit - 1).to_string() };
                assert_eq!(edited.before, before);
                versions.push(edited.version);
                done.send(()).unwrap();
            }
            versions.split_off(1)
        }));
    }
    drop(done);
    for _ in 0..40 {
        soon(acks.recv()).await.unwrap();
    }
    happens(&mut app, &edits).await;
    edits.has_happened.store(true, Ordering::SeqCst);
    while soon(acks.recv()).await.is_some() {}
    let (mut all, mut values) = (BTreeMap::new(), Vec::new());
    for (one, field) in editing.into_iter().zip(fields) {
        let versions = one.await.unwrap();
        values.push((versions.len() - 1).to_string());
        for version in versions {
            assert_eq!(all.insert(version, field), None, "two edits have the same version");
        }
    }
    // All were acknowledged, and there are no others.
    let last = all.len() as i64;
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    let document = app.document(&app.page("Zoe", "ohio").await, "ohio");
    assert_eq!(document.version, last);
    for (field, value) in fields.into_iter().zip(values) {
        assert_eq!(document.fields[field].value, value);
    }
}

/// Edits until there is an answer, as a page does: with the same key each time.
async fn insist(page: &Page, field: &str, number: i64, base: i64, edits: &Edits) -> Edited {
    let key = format!("key-{}-{number}", field.replace('.', "-"));
    let edit = json!({ "state": "ohio", "field": field, "value": number.to_string(), "base": base, "key": key });
    loop {
        let answer = page.socket.call("editAPD", &edit);
        edits.waiting.fetch_add(1, Ordering::SeqCst);
        let answer = answer.await;
        edits.waiting.fetch_sub(1, Ordering::SeqCst);
        let answer: Result<Edited, EventError> = match answer {
            Ok(answer) => answer,
            Err(CallError::Disconnected | CallError::Timeout) => {
                edits.cut_off.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        match answer {
            Ok(edited) => return edited,
            // So long until it may edit again.
            Err(error) if error.code() == "rate_limited" => sleep(Duration::from_millis(100)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
