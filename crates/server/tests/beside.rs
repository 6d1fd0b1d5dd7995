//! What a program has beside its server: routes for the same pages, a signal to end, state, cookies, tasks that end
//! with a client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use roomful::{Cors, EventError, Hello, Origins, Refusal, Server, Socket};
use serde_json::json;
use support::*;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// A server with routes of a program beside it, of which one counts how often it was called.
async fn with_routes(io: Server) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let called = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&called);
    let change = move || async move {
        counts.fetch_add(1, Ordering::Relaxed);
        "changed"
    };
    let routes = Router::new()
        .route("/read", get(async || "read"))
        .route("/change", post(change.clone()).delete(change));
    let routes = routes.layer(io.origin_layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { io.serve_with(listener, routes).await });
    (address, called)
}

const FRIEND: &str = "Origin: https://app.example\r\n";
const FOREIGN: &str = "Origin: https://evil.example\r\n";
const FORBIDDEN: &str = r#"{"code":4,"message":"Origin not allowed"}"#;

fn friends() -> Server {
    let origins = Origins::List(vec!["https://app.example".into()]);
    Server::builder().origins(origins).cors(Cors::new().methods(["GET", "POST", "DELETE"])).build()
}

#[tokio::test]
async fn foreign_pages_change_nothing_beside_the_server() {
    let io = friends();
    let (address, called) = with_routes(io.clone()).await;
    let asks = "Access-Control-Request-Method: POST\r\n";
    for (method, headers) in [
        ("POST", FOREIGN.to_owned()),
        ("DELETE", FOREIGN.to_owned()),
        ("OPTIONS", format!("{FOREIGN}{asks}")),
        ("POST", "Origin: null\r\n".to_owned()),
        ("POST", format!("{FRIEND}{FOREIGN}")),
        ("POST", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n".to_owned()),
        ("GET", FOREIGN.to_owned()),
        ("GET", format!("{FOREIGN}Upgrade: websocket\r\nConnection: upgrade\r\n")),
    ] {
        let answer = request(address, head(method, "/change", &headers)).await;
        assert!(matches!(answer.status, 400 | 403), "{method} {headers}: {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {headers}");
    }
    let answer = request(address, head("POST", "/change", FOREIGN)).await;
    assert_eq!((answer.status, answer.text()), (403, FORBIDDEN));
    assert_eq!(called.load(Ordering::Relaxed), 0);
    assert!(io.stats().origins_refused >= 7);

    // With a body, which is read past: else the answer would be lost with the connection.
    let body = "x".repeat(300_000);
    let with_body =
        head("POST", "/change", &format!("{FOREIGN}Content-Length: {}\r\n", body.len()));
    let answer = request(address, with_body + &body).await;
    assert_eq!((answer.status, called.load(Ordering::Relaxed)), (403, 0));
}

#[tokio::test]
async fn links_from_elsewhere_lead_to_pages_that_others_cannot_read() {
    let (address, _) = with_routes(friends()).await;
    for headers in ["", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"] {
        let answer = get_of(address, "/read", headers).await;
        assert_eq!((answer.status, answer.text()), (200, "read"), "{headers}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{headers}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{headers}");
    }
}

#[tokio::test]
async fn pages_that_may_connect_use_the_routes_beside_the_server() {
    let (address, called) = with_routes(friends()).await;
    let asks = "Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: x-one\r\n";
    let answer = request(address, head("OPTIONS", "/change", &format!("{FRIEND}{asks}"))).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,POST,DELETE"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("x-one"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(called.load(Ordering::Relaxed), 0, "the preflight is not for the routes");
    let own = "Origin: http://localhost\r\n";
    for headers in [FRIEND, own, "", "Sec-Fetch-Site: same-origin\r\n"] {
        let answer = request(address, head("DELETE", "/change", headers)).await;
        assert_eq!((answer.status, answer.text()), (200, "changed"), "{headers}");
        let origin = headers.strip_prefix("Origin: ").map(str::trim);
        assert_eq!(answer.header("access-control-allow-origin"), origin, "{headers}");
    }
    assert_eq!(called.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_page_is_told_once_that_it_may() {
    let io = friends();
    let routes = Router::new()
        .route(
            "/any",
            get(async || ([("access-control-allow-origin", "*"), ("vary", "Cookie")], "any")),
        )
        .layer(io.layer())
        .layer(io.origin_layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    for target in ["/any", POLLING] {
        let answer = get_of(address, target, FRIEND).await;
        assert_eq!(
            answer.headers("access-control-allow-origin"),
            ["https://app.example"],
            "{target}"
        );
    }
    assert_eq!(get_of(address, "/any", FRIEND).await.headers("vary"), ["Cookie", "Origin"]);
    assert_eq!(get_of(address, POLLING, FOREIGN).await.status, 403);
    assert_eq!(io.stats().origins_refused, 1);
}

#[tokio::test]
async fn a_form_without_a_referrer_is_of_its_own_page_where_the_browser_says_so() {
    let (address, called) = with_routes(friends()).await;
    let from = |site| format!("Origin: null\r\nSec-Fetch-Site: {site}\r\n");
    assert_eq!(request(address, head("POST", "/change", &from("cross-site"))).await.status, 403);
    assert_eq!(request(address, head("POST", "/change", &from("same-origin"))).await.status, 200);
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_all_may_read_is_kept_for_all() {
    let (address, _) = with_routes(Server::builder().origins(Origins::Any).build()).await;
    let answer = get_of(address, "/read", "").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("vary"), None);
}

#[tokio::test]
async fn routes_beside_the_server_have_its_hosts() {
    let (address, called) = with_routes(Server::builder().hosts(["example.org"]).build()).await;
    let rebound = "POST /change HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let answer = request(address, rebound).await;
    assert_eq!((answer.status, called.load(Ordering::Relaxed)), (421, 0));
    let named = "POST /change HTTP/1.1\r\nHost: example.org\r\nOrigin: https://example.org\r\n\r\n";
    assert_eq!(request(address, named).await.text(), "changed");
}

async fn get_of(address: std::net::SocketAddr, target: &str, headers: &str) -> Response {
    request(address, head("GET", target, headers)).await
}

#[tokio::test]
async fn who_waits_for_the_end_of_a_client_learns_it_once_it_is_gone() {
    let io = Server::new();
    let watching = Arc::new(AtomicUsize::new(0));
    let watches = Arc::clone(&watching);
    io.on("watch", move |me: Socket| {
        let watches = Arc::clone(&watches);
        async move {
            watches.fetch_add(1, Ordering::SeqCst);
            me.disconnected().await;
            watches.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let server = start(io).await;
    let mut client = server.client().await;
    let socket = socket_of(&server, &client);
    for _ in 0..3 {
        client.emit("watch", "").await;
    }
    until("all watch", || watching.load(Ordering::SeqCst) == 3).await;
    let outside = tokio::spawn({
        let socket = socket.clone();
        async move { socket.disconnected().await }
    });
    client.ws.send_text("41").await;
    within(outside).await.unwrap();
    until("none watches", || watching.load(Ordering::SeqCst) == 0).await;
    // Whoever comes late does not wait.
    within(socket.disconnected()).await;
}

/// Many begin to wait just as the socket ends, on other threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_ever_for_a_client_that_goes_just_then() {
    let server = start(Server::new()).await;
    for _ in 0..200 {
        let client = server.client().await;
        let socket = socket_of(&server, &client);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let socket = socket.clone();
                tokio::spawn(async move { socket.disconnected().await })
            })
            .collect();
        socket.disconnect();
        for waiting in waiting {
            within(waiting).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_is_drained_when_its_signal_ends() {
    let io = Server::new();
    let (asked, signal) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let waits = Arc::clone(&signal);
    io.drain_on(async move { waits.notified().await }, Duration::from_millis(50));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn({
        let (io, asked) = (io.clone(), Arc::clone(&asked));
        async move {
            io.serve_on(listener).await;
            asked.notify_one();
        }
    });
    let mut client = Client::open(address).await;
    client.join("/", "").await.unwrap();
    signal.notify_one();
    while client.try_next().await.is_some() {}
    drop(client);
    within(asked.notified()).await;
    within(serving).await.unwrap();
    assert_eq!(io.len(), 0);
}

#[tokio::test]
async fn the_state_is_at_hand_wherever_the_server_is() {
    let io = Server::builder().state(vec![1, 2]).build();
    assert_eq!(io.state(), &[1, 2]);
    assert_eq!(
        io.of("/chat").connect(async |_: Hello<Vec<i32>>| Ok::<_, Refusal>(7)).state(),
        &[1, 2]
    );
}

#[tokio::test]
async fn a_cookie_is_found_by_its_name() {
    let io = Server::new();
    io.connect(async |hello: Hello| -> Result<(), Refusal> {
        let names = ["id", "key", "ID", "quoted", "empty", "missing", "ey", "__Host-id", "lone"];
        let found: Vec<_> = names.iter().map(|name| hello.cookie(name)).collect();
        Err(Refusal::new("seen").data(found))
    });
    let server = start(io).await;
    let headers = "Cookie: a=b; key=x=y;id=1 ; quoted=\"q\"\r\nCookie: empty=; id=2; \u{2000}__Host-id=planted; lone=\"\r\n";
    let mut client = Client::open_with(server.address, headers).await;
    let refused = client.join("/", "").await.unwrap_err();
    assert_eq!(refused["data"], json!(["1", "x=y", null, "q", "", null, null, null, "\""]));
}

#[tokio::test]
async fn an_error_with_a_code_refuses_with_that_code() {
    let io = Server::new();
    io.connect(async |hello: Hello| -> Result<(), Refusal> {
        let how: serde_json::Value = hello.auth()?;
        if how["fails"] == true {
            let text =
                std::fs::read_to_string("/there/is/no/such/file").map_err(EventError::from)?;
            return Err(Refusal::new(text));
        }
        Err(EventError::new("no_topic", "There is no such topic.").data([7]))?
    });
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    let refused = client.join("/", r#"{"fails":false}"#).await.unwrap_err();
    let told = json!({ "code": "no_topic", "data": [7] });
    assert_eq!(refused, json!({ "message": "There is no such topic.", "data": told }));
    let mut client = Client::open(server.address).await;
    let refused = client.join("/", r#"{"fails":true}"#).await.unwrap_err();
    let told = json!({ "code": "internal_error" });
    assert_eq!(refused, json!({ "message": "internal error", "data": told }));
}
