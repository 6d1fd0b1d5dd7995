//! What the forum promises to its pages, and what it answers to those that mean no good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use roomful_client::{CallError, ConnectError, EventError};
use serde_json::{Value, json};
use support::{Answer, App, Post, soon};

const ANN: &str = "0123456789abcdef0123456789abcdef";
const BOB: &str = "fedcba9876543210fedcba9876543210";

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_stored_before_its_ack_and_heard_by_the_pages_of_its_topic_and_by_the_list() {
    let app = App::start();
    let mut ann = app.page(1).await;
    let mut list = app.page(Value::Null).await;
    let mut elsewhere = app.page(2).await;
    let post = ann.say(1, "hello", "key-of-ann-1").await.unwrap();
    assert_eq!((&*post.text, &*post.name, post.topic), ("hello", "ann", 1));
    assert_eq!(app.texts(1), ["hello"]);
    assert_eq!(ann.update().await, post);
    assert_eq!(list.update().await, post);
    // What the other topic's page hears first is its own.
    let own = ann.say(2, "elsewhere", "key-of-ann-2").await.unwrap();
    assert_eq!(elsewhere.update().await, own);
    assert_eq!(list.update().await, own);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_gets_into_a_topic_that_there_is_not_or_into_one_by_a_wrong_auth() {
    let app = App::start();
    for (topic, why) in
        [(json!(99), "no such topic"), (json!("1"), "does not fit"), (json!([1]), "does not fit")]
    {
        let socket = app.socket(topic, None);
        let Err(ConnectError::Refused(refusal)) = soon(socket.connect()).await else {
            panic!("it was let in");
        };
        assert!(refusal.message.contains(why), "{refusal}");
    }
    let mut page = app.page(1).await;
    assert_eq!(page.greeting["topic"], 1);
    // There is no event that would join another one.
    page.socket.emit("join", "topic 2");
    page.socket.emit("event_from_server", json!({ "topic": 2 }));
    let post = page.say(2, "elsewhere", "key-of-somebody").await.unwrap();
    let own = page.say(1, "here", "key-of-somebody-else").await.unwrap();
    assert_ne!(post.id, own.id);
    assert_eq!(page.update().await, own);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_again_is_answered_as_the_first_time_and_stored_and_told_once() {
    let app = App::start();
    let mut page = app.page(1).await;
    let (first, same) =
        tokio::join!(page.say(1, "once", "key-of-once"), page.say(1, "once", "key-of-once"));
    let first = first.unwrap();
    assert_eq!(first, same.unwrap());
    assert_eq!(page.say(1, "once", "key-of-once").await.unwrap(), first);
    assert_eq!(app.texts(1), ["once"]);
    assert_eq!(page.update().await, first);
    let taken = page.say(1, "something else", "key-of-once").await.unwrap_err();
    assert_eq!(taken.code(), "key_used");
    // What is heard next is the next post, and not the first one again.
    let second = page.say(1, "twice", "key-of-twice").await.unwrap();
    assert_eq!(page.update().await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_an_answer_is_there_after_a_crash_and_its_key_still_counts() {
    let mut app = App::start();
    let page = app.page(1).await;
    let post = page.say(1, "kept", "key-of-kept").await.unwrap();
    drop(page);
    app.crash_and_start_again();
    let page = app.page(1).await;
    assert_eq!(page.say(1, "kept", "key-of-kept").await.unwrap(), post);
    assert_eq!(app.texts(1), ["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_and_what_is_no_post_get_a_clear_answer_and_are_not_stored() {
    let app = App::start();
    let page = app.page(1).await;
    let (text, key) = ("text", "key-of-nothing");
    for (answer, expected) in [
        (page.say_anything(()).await, "invalid_arguments"),
        (page.say_anything(("1", text, key)).await, "invalid_arguments"),
        (page.say_anything((1, 2, key)).await, "invalid_arguments"),
        (page.say_anything((1, json!({ "text": text }), key)).await, "invalid_arguments"),
        (page.say_anything((1, text, Value::Null)).await, "invalid_arguments"),
        (page.say_anything((1, text, key, json!([]))).await, "invalid_arguments"),
        (page.say_anything((1, " \n ", key)).await, "bad_text"),
        (page.say_anything((1, "x".repeat(2_001), key)).await, "bad_text"),
    ] {
        assert_eq!(code(&answer), expected);
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    // A socket has a rate: the others come from another one.
    let page = app.page(1).await;
    for (answer, expected) in [
        (page.say_anything((1, text, "short")).await, "bad_key"),
        (page.say_anything((1, text, "key of spaces")).await, "bad_key"),
        (page.say_anything((1, text, key, "x".repeat(41))).await, "bad_name"),
        (page.say_anything((1, text, key, "two\nlines")).await, "bad_name"),
        (page.say_anything((99, text, key)).await, "no_topic"),
        (page.say_anything((-1, text, key)).await, "no_topic"),
    ] {
        assert_eq!(code(&answer), expected);
    }
    let wrong: Value = soon(page.socket.call("event_from_client", "pigeon")).await.unwrap();
    assert_eq!(code(&wrong), "invalid_arguments");
    let time: i64 = soon(page.socket.call("event_from_client", "polling")).await.unwrap();
    assert!(time > 0);
    assert!(app.texts(1).is_empty());
    // Without a name it is a guest's.
    let answer = page.say_anything((1, text, key)).await;
    assert_eq!(answer["ok"]["name"], "guest");
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_and_deep_payloads_are_refused_and_nobody_else_notices() {
    let app = App::start();
    let mut other = app.page(1).await;
    let page = app.page(1).await;
    let large = page.say_anything((1, "x".repeat(20_000), "key-of-large")).await;
    assert_eq!(code(&large), "too_large");
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(code(&page.say_anything((1, deep, "key-of-deep")).await), "invalid_arguments");

    // What is beyond the limits of a message costs the connection.
    let huge = page
        .socket
        .call::<_, _, Value>("post_from_client", (1, "x".repeat(200_000), "key-of-huge"));
    assert!(matches!(soon(huge).await, Err(CallError::Disconnected)));
    let page = app.page(1).await;
    let deeper = (0..1_000).fold(json!(1), |inner, _| json!([inner]));
    let deeper = page.socket.call::<_, _, Value>("post_from_client", (1, deeper, "key-of-deeper"));
    assert!(matches!(soon(deeper).await, Err(CallError::Disconnected)));

    let post = other.say(1, "still here", "key-of-other").await.unwrap();
    assert_eq!(other.update().await, post);
    assert_eq!(app.texts(1), ["still here"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_is_told_so_and_others_can_post() {
    let app = App::start();
    let page = app.page(1).await;
    let other = app.page(1).await;
    let mut refused = 0;
    let spam =
        |number| page.socket.call("post_from_client", (1, "spam", format!("key-of-spam-{number}")));
    let answers: Vec<_> = (0..40).map(spam).collect();
    for answer in answers {
        let answer: Result<Post, EventError> = soon(answer).await.unwrap();
        if let Err(error) = answer {
            assert_eq!(error.code(), "rate_limited");
            refused += 1;
        }
    }
    assert!(refused >= 20, "{refused} of 40 refused");
    assert_eq!(app.texts(1).len(), 40 - refused);
    other.say(1, "ham", "key-of-ham").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_in_names_and_texts_is_text_in_the_pages() {
    let app = App::start();
    let page = app.page(1).await;
    let (text, name) = ("<script>alert('x')</script> & \"more\"", "<img src=x onerror=a>");
    page.say_anything((1, text, "key-of-markup", name)).await;
    for path in ["/topics/1", "/"] {
        let html = app.get(path);
        assert!(!html.contains("<script>alert") && !html.contains("<img"), "{path}");
        assert!(
            html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot;"),
            "{path}"
        );
        assert!(html.contains("&lt;img src=x onerror=a&gt;"), "{path}");
    }
    let (head, _) = app.http("GET /", "", "");
    let head = head.to_lowercase();
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{head}"
    );
    assert!(head.contains("httponly; samesite=lax"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_neither_connect_nor_post() {
    let app = App::start();
    let open = "GET /socket.io/?EIO=4&transport=polling";
    let (head, _) = app.http(open, "origin: http://evil.example\r\n", "");
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let own = format!("origin: http://{}\r\n", app.address);
    let (head, _) = app.http(open, &own, "");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");

    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let body = "text=hello&key=key-of-a-form";
    for origin in ["http://evil.example", "null"] {
        let headers = format!("{form}origin: {origin}\r\n");
        let (head, _) = app.http("POST /topics/1", &headers, body);
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    }
    assert!(app.texts(1).is_empty());
    let (head, _) = app.http("POST /topics/1", &format!("{form}{own}"), body);
    assert!(head.starts_with("HTTP/1.1 303"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_posts_without_a_script_and_the_live_pages_hear_of_it() {
    let app = App::start();
    let mut page = app.page(1).await;
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let body = "text=by+hand+%3Cb%3E&name=&key=key-of-a-form";
    for _ in 0..2 {
        let (head, _) = app.http("POST /topics/1", form, body);
        assert!(head.starts_with("HTTP/1.1 303"), "{head}");
        assert!(head.to_lowercase().contains("location: /topics/1#post-1"), "{head}");
    }
    let post = page.update().await;
    assert_eq!((&*post.text, &*post.name), ("by hand <b>", "guest"));
    assert_eq!(app.texts(1), ["by hand <b>"]);

    for (request, body, status) in [
        ("POST /topics/99", "text=a&key=key-of-no-topic", "404"),
        ("POST /topics/1", "text=+&key=key-of-no-text", "422"),
        ("POST /topics/1", "text=a&key=%00", "422"),
        ("POST /topics/1", "name=a", "422"),
        ("GET /topics/99", "", "404"),
        ("GET /topics/x", "", "400"),
        ("GET /nothing", "", "404"),
        ("GET /api/posts?since=x", "", "400"),
    ] {
        let (head, _) = app.http(request, form, body);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request} {body}: {head}");
    }
    let large = format!("key=key-of-large&text={}", "x".repeat(40_000));
    assert!(app.http("POST /topics/1", form, &large).0.starts_with("HTTP/1.1 413"));
    let app = &app;
    let flood = |number: usize| {
        app.http("POST /topics/1", form, &format!("text=a&key=key-of-flood-{number}")).0
    };
    let refused = std::thread::scope(|threads| {
        let all: Vec<_> = (0..60).map(|number| threads.spawn(move || flood(number))).collect();
        all.into_iter()
            .map(|one| one.join().unwrap())
            .filter(|head| head.starts_with("HTTP/1.1 429"))
            .count()
    });
    assert!(refused > 0, "forms have a rate, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_given_all_posts_that_were_missed_in_portions() {
    let app = App::start();
    let mut posts = Vec::new();
    // Each socket may post ten times at once.
    for round in 0..11 {
        let page = app.page(1 + round % 2).await;
        for number in 0..10 {
            posts.push(
                page.say(1 + round % 2, "one of many", &format!("key-of-{round}-{number}"))
                    .await
                    .unwrap(),
            );
        }
    }
    let ask = |query: &str| -> Answer {
        serde_json::from_str(&app.get(&format!("/api/posts?{query}"))).unwrap()
    };
    let first = ask("since=0");
    assert!(first.more);
    let rest = ask(&format!("since={}", first.posts.last().unwrap().id));
    assert!(!rest.more);
    let all: Vec<Post> = first.posts.into_iter().chain(rest.posts).collect();
    assert_eq!(all, posts);
    assert!(ask("since=0&topic=2").posts.iter().all(|post| post.topic == 2));
    assert_eq!(ask("since=0&topic=2").posts.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_are_browsers_and_not_sockets() {
    let app = App::start();
    let mut program = app.page(Value::Null).await;
    assert_eq!(program.greeting["visitors"], 0, "a program is no visitor");
    let tab = app.page_of(1, Some(ANN)).await;
    assert_eq!(tab.greeting["visitors"], 1);
    let mut second_tab = app.page_of(2, Some(ANN)).await;
    assert_eq!(second_tab.greeting["visitors"], 1, "two tabs of one browser");
    let bob = app.page_of(1, Some(BOB)).await;
    assert_eq!(bob.greeting["visitors"], 2);
    program.hears_of_visitors(2).await;
    assert!(app.get("/").contains(r#"data-testid="visitors">2<"#));

    // Ann has one tab left, so that Bob is the one who is missing.
    soon(tab.socket.manager().close()).await;
    soon(bob.socket.manager().close()).await;
    second_tab.hears_of_visitors(1).await;
    soon(second_tab.socket.manager().close()).await;
    program.hears_of_visitors(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_no_departure() {
    let app = App::start();
    let mut list = app.page(Value::Null).await;
    let tab = app.page_of(1, Some(ANN)).await;
    list.hears_of_visitors(1).await;
    soon(tab.socket.manager().close()).await;
    // It has left before this has its answer.
    list.say(1, "meanwhile", "key-of-meanwhile").await.unwrap();
    assert!(app.get("/").contains(r#"data-testid="visitors">1<"#));
    let tab = app.page_of(1, Some(ANN)).await;
    assert_eq!(tab.greeting["visitors"], 1);
    // The next that anybody hears is that Bob is here, too.
    let _bob = app.page_of(1, Some(BOB)).await;
    assert_eq!(soon(list.visitors.next()).await.unwrap().unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_is_right_again_after_a_crash_of_the_server() {
    let mut app = App::start();
    let mut ann = app.page_of(1, Some(ANN)).await;
    let _second_tab = app.page_of(1, Some(ANN)).await;
    let _bob = app.page_of(1, Some(BOB)).await;
    ann.hears_of_visitors(2).await;
    app.crash_and_start_again();
    // All of them come back by themselves.
    let mut fresh = app.page(1).await;
    if fresh.greeting["visitors"] != 2 {
        fresh.hears_of_visitors(2).await;
    }
}
