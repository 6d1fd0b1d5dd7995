//! Functions of the user's around requests: what they see, what comes of what they say, and that they
//! cost nobody anything when they wait, panic or never end. Each is tried where the server serves by
//! itself and inside another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomful::{
    AnswerHeaders, Builder, Cause, ConnectionError, Cookie, Flow, Origins, PeerAddress, Refusal,
    Request, Server, StatusCode,
};
use roomful_proto::ws::frame::Opcode;
use support::*;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

/// What functions have told, one line each.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn tell(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The same settings served by the server itself, and inside another server.
async fn both(build: impl Fn(Builder) -> Server) -> [Running; 2] {
    let own = start(build(Server::builder())).await;
    let io = build(Server::builder());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new()
        .layer(io.layer())
        .layer(axum::Extension(PeerAddress(SocketAddr::from(([192, 0, 2, 1], 7)))));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    [own, Running { io, address, serving, others: Vec::new() }]
}

#[track_caller]
fn check_refusal(response: &Response, status: u16, code: u8, message: &str) {
    let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let expected = serde_json::json!({ "code": code, "message": message });
    assert_eq!((response.status, json), (status, expected));
    assert_eq!(response.header("content-type"), Some("application/json"));
}

#[track_caller]
fn check_refused_upgrade(response: &Response, status: u16, message: &str) {
    assert_eq!((response.status, response.text()), (status, message));
    assert_eq!(response.header("connection"), Some("close"));
}

// Who may open a session.

/// Lets in whoever has the key, after a wait.
fn keyed(builder: Builder, told: &Told) -> Server {
    let told = told.clone();
    let is_known = move |request: Request<'static>| {
        let told = told.clone();
        async move {
            tokio::task::yield_now().await;
            told.tell(format!(
                "{} {} {:?} {:?}",
                request.method(),
                request.path(),
                request.query("transport"),
                request.address().map(|address| address.ip())
            ));
            match request.header("X-Key") {
                Some("letmein") => Ok(()),
                key => Err(Refusal::new(format!("not with {key:?}"))),
            }
        }
    };
    builder.allow_request(is_known).build()
}

#[tokio::test]
async fn a_request_that_is_refused_opens_nothing() {
    let told = Told::default();
    for server in both(|builder| keyed(builder, &told)).await {
        let response = get(server.address, POLLING, "x-key: <b>\"\r\n").await;
        check_refusal(&response, 403, 4, "not with Some(\"<b>\\\"\")");
        let mut conn = Conn::open(server.address).await;
        conn.send(upgrade_head(WEBSOCKET)).await;
        let response = conn.response().await;
        check_refused_upgrade(&response, 403, "not with None");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        conn.ended().await;
        let stats = server.stats();
        assert_eq!((stats.forbidden, stats.requests_refused, stats.opened), (2, 2, 0));
        let lines = told.take();
        assert!(lines[0].starts_with("GET /socket.io/ Some(\"polling\") Some("), "{lines:?}");
        assert!(lines[1].starts_with("GET /socket.io/ Some(\"websocket\") Some("), "{lines:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_allowed_opens_its_session_and_is_asked_about_once() {
    let told = Told::default();
    for server in both(|builder| keyed(builder, &told)).await {
        let key = "X-Key: letmein\r\n";
        let response = get(server.address, POLLING, key).await;
        assert_eq!(response.status, 200, "{response:?}");
        let open: serde_json::Value = serde_json::from_str(&response.text()[1..]).unwrap();
        let poller =
            Poller { address: server.address, sid: open["sid"].as_str().unwrap().to_owned() };
        poller.join().await;
        // Its upgrade is not asked about.
        let mut probe = Ws::upgrade(server.address, &poller.upgrade_target()).await;
        probe.send_text("2probe").await;
        assert_eq!(probe.text().await, "3probe");
        let mut conn = Conn::open(server.address).await;
        conn.send(upgrade_head_with(WEBSOCKET, key)).await;
        assert_eq!(conn.response().await.status, 101);
        let mut ws = Ws::over(conn);
        assert!(ws.text().await.starts_with("0{"));
        assert_eq!(told.take().len(), 2);
        assert_eq!((server.stats().forbidden, server.stats().opened), (0, 2));
    }
}

#[tokio::test]
async fn what_is_wrong_anyway_is_not_asked_about() {
    let told = Told::default();
    for server in both(|builder| keyed(builder, &told)).await {
        for (target, headers) in [
            ("/socket.io/?EIO=4", ""),
            ("/socket.io/?EIO=3&transport=polling", ""),
            (POLLING, "Origin: https://evil.example\r\n"),
            (WEBSOCKET, ""),
            ("/socket.io/?EIO=4&transport=polling&sid=none", ""),
        ] {
            let response = get(server.address, target, headers).await;
            assert!(matches!(response.status, 400 | 403), "{target}");
        }
        let bad = upgrade_head(WEBSOCKET).replace(KEY, "short");
        assert_eq!(request(server.address, bad).await.status, 400);
        assert_eq!(told.take(), [""; 0]);
        assert_eq!(server.stats().forbidden, 0);
    }
}

#[tokio::test]
async fn what_the_namespace_sees_is_what_was_asked_about() {
    let told = Told::default();
    let server = start(keyed(Server::builder(), &told)).await;
    let io = server.of("/seen").connect(async |hello: roomful::Hello| {
        Err::<(), _>(Refusal::new(format!("{:?} {:?}", hello.header("x-key"), hello.query("a"))))
    });
    let mut conn = Conn::open(server.address).await;
    conn.send(upgrade_head_with(&format!("{WEBSOCKET}&a=b"), "X-Key: letmein\r\n")).await;
    assert_eq!(conn.response().await.status, 101);
    let mut client = Client { ws: Ws::over(conn), id: String::new() };
    assert!(client.ws.text().await.starts_with("0{"));
    let refused = client.join("/seen", "").await.unwrap_err();
    assert_eq!(refused["message"], "Some(\"letmein\") Some(\"b\")");
    drop(io);
}

#[tokio::test]
async fn a_function_that_panics_at_once_or_later_is_500_and_counted() {
    let at_once = |builder: Builder| {
        let panics = |_: Request<'static>| -> std::future::Ready<Result<(), Refusal>> {
            panic!("on purpose")
        };
        builder.allow_request(panics).build()
    };
    let later = |builder: Builder| {
        let panics = async |_: Request<'static>| -> Result<(), Refusal> {
            tokio::task::yield_now().await;
            panic!("on purpose")
        };
        builder.allow_request(panics).build()
    };
    for server in both(at_once).await.into_iter().chain(both(later).await) {
        check_refusal(&get(server.address, POLLING, "").await, 500, 3, "Internal error");
        let response = request(server.address, upgrade_head(WEBSOCKET)).await;
        check_refused_upgrade(&response, 500, "Internal error");
        let stats = server.stats();
        assert_eq!((stats.panics, stats.forbidden, stats.opened), (2, 0, 0));
    }
}

#[tokio::test]
async fn a_function_that_does_not_decide_is_503_in_time() {
    let never = |builder: Builder| {
        let never = async |_: Request<'static>| std::future::pending().await;
        builder.allow_request(never).allow_timeout(Duration::from_millis(20)).build()
    };
    for server in both(never).await {
        check_refusal(&get(server.address, POLLING, "").await, 503, 4, "No decision in time");
        let response = request(server.address, upgrade_head(WEBSOCKET)).await;
        check_refused_upgrade(&response, 503, "No decision in time");
        assert_eq!((server.stats().allow_timeouts, server.stats().opened), (2, 0));
    }
}

/// Tells when it is dropped.
struct Waiting(mpsc::UnboundedSender<&'static str>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// A function that waits for ever, and tells when it begins and when it is dropped.
fn waiting(builder: Builder, told: &mpsc::UnboundedSender<&'static str>) -> Server {
    let told = told.clone();
    let wait = move |_: Request<'static>| {
        let waiting = Waiting(told.clone());
        let _ = told.send("asked");
        async move {
            let _waiting = waiting;
            std::future::pending().await
        }
    };
    builder.allow_request(wait).build()
}

#[tokio::test]
async fn a_question_is_dropped_when_its_client_goes() {
    let (tell, mut told) = mpsc::unbounded_channel();
    for server in both(|builder| waiting(builder, &tell)).await {
        for request in [head("GET", POLLING, ""), upgrade_head(WEBSOCKET)] {
            let mut conn = Conn::open(server.address).await;
            conn.send(request).await;
            assert_eq!(within(told.recv()).await, Some("asked"));
            drop(conn);
            assert_eq!(within(told.recv()).await, Some("dropped"));
        }
        assert_eq!((server.stats().opened, server.stats().connections), (0, 0));
    }
}

#[tokio::test]
async fn a_server_that_closes_waits_for_no_decision() {
    let (tell, mut told) = mpsc::unbounded_channel();
    for server in both(|builder| waiting(builder, &tell)).await {
        let mut conn = Conn::open(server.address).await;
        conn.send(head("GET", POLLING, "")).await;
        assert_eq!(within(told.recv()).await, Some("asked"));
        within(server.io.close()).await;
        assert_eq!(conn.response().await.status, 503);
        assert_eq!(within(told.recv()).await, Some("dropped"));
    }
}

#[tokio::test]
async fn while_one_is_decided_about_others_come_in() {
    let gate = Arc::new(Notify::new());
    let waits = Arc::clone(&gate);
    let io = Server::builder().connections_max(1).allow_request(move |request| {
        let waits = Arc::clone(&waits);
        async move {
            if request.query("wait").is_some() {
                waits.notified().await;
            }
            Ok(())
        }
    });
    let server = start(io.build()).await;
    let mut slow = Conn::open(server.address).await;
    slow.send(head("GET", &format!("{POLLING}&wait"), "")).await;
    let _first = server.ws().await;
    until("opened", || server.stats().opened == 1).await;
    // There was room when the slow one came.
    gate.notify_one();
    check_refusal(&slow.response().await, 503, 4, "Too many connections");
    assert_eq!(server.stats().connections_refused, 1);
}

#[tokio::test]
async fn requests_behind_one_that_is_asked_about_are_answered_in_order() {
    let told = Told::default();
    for server in both(|builder| keyed(builder, &told)).await {
        let mut conn = Conn::open(server.address).await;
        let key = "X-Key: letmein\r\n";
        let asked = [
            head("GET", POLLING, ""),
            head("GET", "/socket.io/?EIO=4", ""),
            head("GET", POLLING, key),
            head("GET", "/elsewhere", ""),
            // Bytes that come before the answer to an upgrade are not lost.
            upgrade_head_with(WEBSOCKET, key),
        ];
        let mut bytes = asked.concat().into_bytes();
        bytes.extend(frame_bytes(Opcode::Text, b"40"));
        conn.send(bytes).await;
        for status in [403, 400, 200, 404, 101] {
            assert_eq!(conn.response().await.status, status);
        }
        let mut ws = Ws::over(conn);
        assert!(ws.text().await.starts_with("0{"));
        assert!(ws.text().await.starts_with("40{"));
    }
}

// What is told of requests that are refused.

fn told_by(io: Server, told: &Told) -> Server {
    let told = told.clone();
    io.on_connection_error(move |error: &ConnectionError<'_>| {
        assert!(error.address().is_some());
        told.tell(format!("{} {} {:?}", error.code(), error.message(), error.cause()));
    });
    io
}

#[tokio::test]
async fn every_refusal_is_told_with_its_code_its_message_and_what_was_wrong() {
    let told = Told::default();
    let build = |builder: Builder| {
        let allow = async |request: Request<'static>| match request.header("x-key") {
            Some(_) => Err(Refusal::new("not you")),
            None => Ok(()),
        };
        told_by(builder.allow_request(allow).build(), &told)
    };
    for server in both(build).await {
        let ws = server.ws();
        let mut ws = ws.await;
        let open: serde_json::Value = serde_json::from_str(&ws.text().await[1..]).unwrap();
        let sid = open["sid"].as_str().unwrap();
        assert_eq!(told.take(), [""; 0]);
        let check = |line: &str| assert_eq!(told.take(), [line]);
        let ask = async |target: &str, headers: &str| {
            drop(get(server.address, target, headers).await);
        };
        ask("/socket.io/?EIO=4&transport=tele", "").await;
        check("0 Transport unknown UnknownTransport { transport: \"tele\" }");
        ask("/socket.io/?EIO=4", "").await;
        check("0 Transport unknown UnknownTransport { transport: \"\" }");
        ask(&format!("{POLLING}&sid={}", "x".repeat(1_000)), "").await;
        // Another node may know it: that it was cut is all that is shown.
        check("1 Session ID unknown UnknownSession { session: …(64 bytes) }");
        drop(request(server.address, head("PUT", POLLING, "")).await);
        check("2 Bad handshake method HandshakeMethod { method: \"PUT\" }");
        ask(POLLING, "Origin: https://a.example\r\nOrigin: https://b.example\r\n").await;
        assert!(told.take()[0].starts_with("3 Bad request InvalidOrigin { origin: [104, 116, "));
        ask(POLLING, "Origin: https://a.example\r\n").await;
        check("4 Origin not allowed OriginRefused { origin: \"https://a.example\" }");
        ask(&format!("{POLLING}&sid={sid}"), "").await;
        let mismatch = told.take();
        assert_eq!(
            mismatch,
            ["3 Bad request TransportMismatch { transport: \"polling\", previous: \"websocket\" }"]
        );
        assert!(!mismatch[0].contains(sid));
        ask(WEBSOCKET, "").await;
        check("3 Bad request TransportHandshake");
        let bad = upgrade_head(WEBSOCKET).replace("Version: 13", "Version: 8");
        drop(request(server.address, bad).await);
        check("3 Bad request TransportHandshake");
        ask(POLLING, "x-key: 1\r\n").await;
        check("4 not you Forbidden { message: \"not you\" }");
        ask("/socket.io/?EIO=3&transport=polling", "").await;
        check("5 Unsupported protocol version UnsupportedVersion { revision: \"3\" }");
        assert_eq!(server.stats().requests_refused, 11);
        assert_eq!(server.stats().origins_refused, 1);
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told() {
    let told = Told::default();
    let server = start(told_by(Server::builder().connections_max(0).build(), &told)).await;
    check_refusal(&get(server.address, POLLING, "").await, 503, 4, "Too many connections");
    assert_eq!(told.take(), ["4 Too many connections TooManyConnections"]);
}

#[tokio::test]
async fn a_function_that_panics_at_an_error_changes_nothing() {
    for server in both(|builder| builder.origins(Origins::SameHost).build()).await {
        server.on_connection_error(|error| {
            assert!(!matches!(error.cause(), Cause::OriginRefused { .. }), "on purpose");
        });
        let response = get(server.address, POLLING, "Origin: https://a.example\r\n").await;
        check_refusal(&response, 403, 4, "Origin not allowed");
        assert_eq!(server.stats().panics, 1);
        // From within it, the server can be asked anything, and even given another function.
        let (again, told) = (server.io.clone(), Told::default());
        let tell = told.clone();
        server.on_connection_error(move |error| {
            tell.tell(format!("{} {}", error.message(), again.stats().requests_refused));
            again.on_connection_error(|_| {});
        });
        assert_eq!(get(server.address, WEBSOCKET, "").await.status, 400);
        assert_eq!(get(server.address, WEBSOCKET, "").await.status, 400);
        assert_eq!(told.take(), ["Bad request 2"]);
    }
}

// Headers that are added to answers.

fn with_headers(builder: Builder) -> Server {
    builder
        .initial_headers(|request, headers| {
            headers.set("x-first", request.header("x-asked").unwrap_or("none"));
            headers.set("x-both", "first");
        })
        .headers(|request, headers| {
            headers.add("x-every", request.method());
            headers.set("x-both", "every");
        })
        .build()
}

#[track_caller]
fn check_headers(response: &Response, first: Option<&str>, every: Option<&str>) {
    let found = (response.header("x-first"), response.header("x-every"));
    assert_eq!(found, (first, every), "{response:?}");
    assert_eq!(response.header("x-both"), every.map(|_| "every"));
}

#[tokio::test]
async fn the_first_and_every_answer_of_a_session_have_what_was_added() {
    for server in both(with_headers).await {
        let response = get(server.address, POLLING, "X-Asked: a\r\n").await;
        check_headers(&response, Some("a"), Some("GET"));
        assert_eq!(response.header("content-type"), Some("text/plain; charset=UTF-8"));
        let poller = server.poller().await;
        check_headers(&poller.post("40").await, None, Some("POST"));
        check_headers(&poller.get().await, None, Some("GET"));
        let response = request(server.address, upgrade_head(&poller.upgrade_target())).await;
        assert_eq!(response.status, 101);
        check_headers(&response, None, Some("GET"));
        let response = request(server.address, upgrade_head(WEBSOCKET)).await;
        assert_eq!(response.status, 101);
        check_headers(&response, Some("none"), Some("GET"));
        // Refusals have none.
        check_headers(&get(server.address, WEBSOCKET, "").await, None, None);
        check_headers(&request(server.address, upgrade_head(POLLING)).await, None, None);
    }
}

#[tokio::test]
async fn a_session_that_was_asked_about_has_them_and_a_refused_one_has_not() {
    let build = |builder: Builder| {
        with_headers(builder.allow_request(async |request| match request.header("x-asked") {
            Some(_) => Ok(()),
            None => Err(Refusal::new("no")),
        }))
    };
    for server in both(build).await {
        let asked = "X-Asked: b\r\n";
        check_headers(&get(server.address, POLLING, asked).await, Some("b"), Some("GET"));
        let response = request(server.address, upgrade_head_with(WEBSOCKET, asked)).await;
        check_headers(&response, Some("b"), Some("GET"));
        let response = get(server.address, POLLING, "").await;
        assert_eq!(response.status, 403);
        check_headers(&response, None, None);
    }
}

#[tokio::test]
async fn a_value_that_would_be_more_than_a_value_is_left_out_and_counted() {
    let build = |builder: Builder| {
        builder
            .headers(|request, headers| {
                let asked = request.query("x").unwrap_or_default();
                headers.set("x-good", "1");
                headers.set("x-bad", &asked);
                headers.set(&asked, "1");
                headers.set("content-length", "0");
            })
            .build()
    };
    for server in both(build).await {
        let target = format!("{POLLING}&x=a%0d%0aset-cookie:+b=c%0d%0a%0d%0a%3cscript%3e");
        let response = get(server.address, &target, "").await;
        assert!(response.text().starts_with("0{"), "{response:?}");
        assert_eq!(response.header("x-good"), Some("1"));
        assert_eq!((response.header("x-bad"), response.header("set-cookie")), (None, None));
        assert_eq!(server.stats().headers_refused, 3);
    }
}

#[tokio::test]
async fn a_function_that_panics_adds_nothing_and_the_answer_goes_out() {
    let build = |builder: Builder| {
        builder
            .initial_headers(|_, headers| {
                headers.set("x-first", "1");
                panic!("on purpose");
            })
            .headers(|_, headers| headers.set("x-every", "1"))
            .build()
    };
    for server in both(build).await {
        let response = get(server.address, POLLING, "").await;
        assert_eq!((response.status, response.header("x-first")), (200, None));
        assert_eq!(response.header("x-every"), Some("1"));
        let response = request(server.address, upgrade_head(WEBSOCKET)).await;
        assert_eq!((response.status, response.header("x-first")), (101, None));
        assert_eq!(server.stats().panics, 2);
    }
}

// The cookie.

fn set_cookie(response: &Response) -> Vec<&str> {
    response.headers("set-cookie")
}

#[tokio::test]
async fn a_cookie_is_set_with_the_first_polling_answer_and_never_else() {
    for server in both(|builder| builder.cookie(Cookie::new()).build()).await {
        let response = get(server.address, POLLING, "").await;
        let cookies = set_cookie(&response);
        let [cookie] = cookies[..] else { panic!("{response:?}") };
        let (value, attributes) = cookie.strip_prefix("io=").unwrap().split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(value.len(), 20);
        // It is another secret than the one that speaks for the client.
        assert!(!response.text().contains(value));
        let unknown = get(server.address, &format!("{POLLING}&sid={value}"), "").await;
        check_refusal(&unknown, 400, 1, "Session ID unknown");
        let again = get(server.address, POLLING, "").await;
        assert!(!set_cookie(&again)[0].contains(value));

        let poller = server.poller().await;
        for response in [
            poller.post("40").await,
            poller.get().await,
            request(server.address, upgrade_head(&poller.upgrade_target())).await,
            request(server.address, upgrade_head(WEBSOCKET)).await,
            unknown,
            get(server.address, WEBSOCKET, "").await,
        ] {
            assert_eq!(set_cookie(&response), [""; 0], "{response:?}");
        }
    }
}

#[tokio::test]
async fn a_cookie_has_the_value_of_the_server_and_stands_beside_others() {
    let build = |builder: Builder| {
        let cookie = Cookie::new().name("node").value("a").path("/socket.io/");
        builder
            .cookie(cookie.max_age(Duration::from_secs(9)).secure(true))
            .initial_headers(|_, headers| headers.add("set-cookie", "seen=1"))
            .allow_request(async |_| Ok(()))
            .build()
    };
    for server in both(build).await {
        let response = get(server.address, POLLING, "").await;
        let ours = "node=a; Path=/socket.io/; Max-Age=9; HttpOnly; Secure; SameSite=Lax";
        assert_eq!(set_cookie(&response), [ours, "seen=1"]);
        let response = request(server.address, upgrade_head(WEBSOCKET)).await;
        assert_eq!((response.status, set_cookie(&response)), (101, vec!["seen=1"]));
    }
}

// Whoever sees requests first.

#[tokio::test]
async fn every_request_below_the_path_is_seen_and_its_answer_has_what_was_added() {
    let told = Told::default();
    let build = |builder: Builder| {
        let told = told.clone();
        builder
            .on_request(move |request, headers| {
                let upgrade = request.header("Upgrade").unwrap_or("-");
                told.tell(format!("{} {} {upgrade}", request.method(), request.path()));
                headers.set("x-seen", "1");
                Flow::Pass
            })
            .origins(Origins::Any)
            .build()
    };
    for server in both(build).await {
        let poller = server.poller().await;
        let page = "Origin: https://a.example\r\n";
        let asks = format!("{page}Access-Control-Request-Method: GET\r\n");
        for (seen, asked, status) in [
            ("GET /socket.io/ -", head("GET", POLLING, ""), 200),
            ("POST /socket.io/ -", post(&poller.target(), "40"), 200),
            ("GET /socket.io/ websocket", upgrade_head(WEBSOCKET), 101),
            ("GET /socket.io/ websocket", upgrade_head(&poller.upgrade_target()), 101),
            ("OPTIONS /socket.io/ -", head("OPTIONS", POLLING, &asks), 204),
            ("GET /socket.io/ -", head("GET", "/socket.io/?EIO=4", page), 400),
            ("PUT /socket.io -", head("PUT", "/socket.io", ""), 400),
        ] {
            told.take();
            let response = request(server.address, asked).await;
            assert_eq!((response.status, response.header("x-seen")), (status, Some("1")), "{seen}");
            assert_eq!(told.take(), [seen]);
        }
        let _ = get(server.address, "/socket.io/socket.io.js", "").await;
        assert_eq!(told.take(), ["GET /socket.io/socket.io.js -"]);
        let foreign = get(server.address, "/elsewhere", "").await;
        assert_eq!((foreign.status, foreign.header("x-seen")), (404, None));
        assert_eq!(told.take(), [""; 0]);
    }
}

#[tokio::test]
async fn a_request_that_is_answered_goes_nowhere_else() {
    let build = |builder: Builder| {
        builder
            .on_request(|request, headers| {
                if request.query("typed").is_some() {
                    headers.set("content-type", "text/x-own");
                }
                match request.query("stop").as_deref() {
                    Some("teapot") => Flow::answer(StatusCode::IM_A_TEAPOT, "short and stout"),
                    Some("none") => Flow::answer(StatusCode::NO_CONTENT, "not said"),
                    Some("early") => Flow::answer(StatusCode::SWITCHING_PROTOCOLS, "x"),
                    _ => Flow::Pass,
                }
            })
            .origins(Origins::Any)
            .build()
    };
    for server in both(build).await {
        let poller = server.poller().await;
        for stop in ["teapot", "none", "early"] {
            let (status, body) = match stop {
                "teapot" => (418, "short and stout"),
                "none" => (204, ""),
                _ => (500, ""),
            };
            let of_session = format!("{}&stop={stop}", poller.target());
            // All on one connection: what was not wanted of the bodies is read past.
            let mut conn = Conn::open(server.address).await;
            for asked in [
                head("GET", &format!("{POLLING}&stop={stop}"), ""),
                post(&of_session, "40"),
                head("GET", &of_session, "Origin: https://a.example\r\n"),
                upgrade_head(&format!("{WEBSOCKET}&stop={stop}")),
            ] {
                conn.send(asked.clone()).await;
                let response = conn.response().await;
                assert_eq!((response.status, response.text()), (status, body), "{asked}");
                let plain = (!body.is_empty()).then_some("text/plain; charset=utf-8");
                assert_eq!(response.header("content-type"), plain);
                let told = response.header("access-control-allow-origin");
                assert_eq!(told, asked.contains("Origin").then_some("*"));
            }
            // An upgrade that is none is the end.
            conn.ended().await;
        }
        let typed = get(server.address, &format!("{POLLING}&stop=teapot&typed"), "").await;
        assert_eq!((typed.status, typed.header("content-type")), (418, Some("text/x-own")));
        poller.join().await;
        assert_eq!((server.stats().opened, server.stats().requests_refused), (1, 0));
    }
}

#[tokio::test]
async fn a_function_that_panics_at_a_request_is_500_and_counted() {
    let told = Told::default();
    let build = |builder: Builder| {
        let panics = |_: &Request<'_>, headers: &mut AnswerHeaders| -> Flow {
            headers.set("x-seen", "1");
            panic!("on purpose")
        };
        told_by(builder.on_request(panics).build(), &told)
    };
    for server in both(build).await {
        let response = get(server.address, POLLING, "").await;
        check_refusal(&response, 500, 3, "Internal error");
        assert_eq!(response.header("x-seen"), None);
        let response = request(server.address, upgrade_head(WEBSOCKET)).await;
        check_refused_upgrade(&response, 500, "Internal error");
        assert_eq!((server.stats().panics, server.stats().opened), (2, 0));
        assert_eq!(told.take(), ["3 Internal error Panicked"; 2]);
    }
}
