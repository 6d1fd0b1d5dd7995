//! Pages of other origins, with every setting: what they are told, and that those who may not connect
//! do so in no way. The default settings are in `http.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::time::Duration;

use roomful::{Cors, Origins, Server};
use support::*;

const PAGE: &str = "Origin: https://page.example\r\n";
const ASKS: &str = "Access-Control-Request-Method: PUT\r\n\
                    Access-Control-Request-Headers: x-one, content-type\r\n";

async fn with(origins: Origins, cors: Cors) -> Running {
    start(Server::builder().origins(origins).cors(cors).build()).await
}

fn page() -> Origins {
    Origins::List(vec!["https://page.example".into()])
}

async fn preflight(server: &Running, headers: &str) -> Response {
    request(server.address, head("OPTIONS", POLLING, &format!("{PAGE}{headers}"))).await
}

/// Sees every kind of request with these headers be refused with a status, and answered nothing
/// that a page of another origin could read.
async fn check_refused(server: &Running, origin: &[u8], status: u16) {
    let poller = server.poller().await;
    let shown = String::from_utf8_lossy(origin).into_owned();
    let asks = "Access-Control-Request-Method: GET\r\n";
    for request_head in [
        head("GET", POLLING, "@"),
        head("GET", &poller.target(), "@"),
        head("POST", &poller.target(), "Content-Length: 2\r\n@"),
        head("OPTIONS", POLLING, &format!("{asks}@")),
        upgrade_head_with(WEBSOCKET, "@"),
        upgrade_head_with(&poller.upgrade_target(), "@"),
    ] {
        let (before, after) = request_head.split_once('@').unwrap();
        let mut bytes = before.as_bytes().to_vec();
        bytes.extend(origin);
        bytes.extend(after.as_bytes());
        bytes.extend(b"40");
        let response = request(server.address, bytes).await;
        assert_eq!(response.status, status, "{shown:?} {request_head}");
        assert_eq!(response.header("access-control-allow-origin"), None, "{shown:?}");
        assert_eq!(response.header("access-control-allow-credentials"), None, "{shown:?}");
    }
    // Nothing of it has harmed the session.
    poller.join().await;
    assert_eq!(poller.post("1").await.text(), "ok");
}

#[tokio::test]
async fn foreign_origins_of_any_form_are_refused_on_every_way() {
    for origins in [
        Origins::SameHost,
        page(),
        Origins::subdomains_of("https://page.example"),
        Origins::matching(|origin| origin == "https://page.example"),
    ] {
        let server = with(origins, Cors::new()).await;
        for origin in [
            "Origin: https://evil.example\r\n",
            "Origin: null\r\n",
            "Origin: NULL\r\n",
            "Origin: \r\n",
            "Origin: *\r\n",
            "Origin: file://\r\n",
            "Origin: https://page.example.evil.example\r\n",
            "Origin: https://evilpage.example\r\n",
            "Origin: https://page.example/path\r\n",
            "Origin: https://page.example, https://evil.example\r\n",
            "Origin: //localhost\r\n",
        ] {
            check_refused(&server, origin.as_bytes(), 403).await;
        }
        server.is_unharmed().await;
    }
}

#[tokio::test]
async fn malformed_and_repeated_origins_are_refused_even_where_all_may_connect() {
    for origins in [Origins::Any, Origins::SameHost, page()] {
        let server = with(origins, Cors::new()).await;
        for origin in [
            &b"Origin: http://\xff\r\n"[..],
            b"Origin: https://page.example\r\nOrigin: https://evil.example\r\n",
            b"Origin: https://page.example\r\norigin: https://page.example\r\n",
        ] {
            check_refused(&server, origin, 400).await;
        }
        server.is_unharmed().await;
    }
}

#[tokio::test]
async fn a_rule_that_panics_has_refused_and_is_counted() {
    let origins = Origins::matching(|origin| match origin {
        "https://page.example" => true,
        _ => panic!("on purpose"),
    });
    let server = with(origins, Cors::new()).await;
    check_refused(&server, b"Origin: https://evil.example\r\n", 403).await;
    assert_eq!(server.stats().panics, 6);
    assert_eq!(get(server.address, POLLING, PAGE).await.status, 200);
    // Pages of the same host are no question.
    assert_eq!(get(server.address, POLLING, "Origin: http://localhost\r\n").await.status, 200);
    assert_eq!(server.stats().panics, 6);
}

#[tokio::test]
async fn subdomains_connect_by_polling_and_by_websocket() {
    let server = with(Origins::subdomains_of("https://page.example"), Cors::new()).await;
    for origin in ["https://a.page.example", "https://a.b.page.example"] {
        let headers = format!("Origin: {origin}\r\n");
        let response = get(server.address, POLLING, &headers).await;
        assert_eq!(response.status, 200, "{origin}");
        assert_eq!(response.header("access-control-allow-origin"), Some(origin));
        let response = request(server.address, upgrade_head_with(WEBSOCKET, &headers)).await;
        assert_eq!(response.status, 101, "{origin}");
    }
    assert_eq!(get(server.address, POLLING, PAGE).await.status, 403);
}

#[tokio::test]
async fn every_setting_of_a_preflight_is_told() {
    let cors = Cors::new()
        .methods(["GET", "HEAD", "PUT"])
        .allowed_headers(["x-one", "x-two"])
        .exposed_headers(["x-three"])
        .max_age(Duration::from_secs(600))
        .preflight_status(http::StatusCode::OK);
    let server = with(page(), cors).await;
    let response = preflight(&server, ASKS).await;
    assert_eq!((response.status, response.text()), (200, ""));
    for (name, value) in [
        ("access-control-allow-origin", "https://page.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET,HEAD,PUT"),
        ("access-control-allow-headers", "x-one,x-two"),
        ("access-control-expose-headers", "x-three"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    let response = get(server.address, POLLING, PAGE).await;
    assert_eq!(response.header("access-control-expose-headers"), Some("x-three"));
    assert_eq!(response.header("access-control-allow-methods"), None);
    // A program that is no page is told nothing.
    let response = get(server.address, POLLING, "").await;
    assert_eq!(response.header("access-control-expose-headers"), None);
}

#[tokio::test]
async fn an_answer_that_depends_on_the_page_says_so() {
    let server = with(page(), Cors::new()).await;
    let response = preflight(&server, ASKS).await;
    assert_eq!(response.headers("vary"), ["Access-Control-Request-Headers", "Origin"]);
    let evil = "Origin: https://evil.example\r\n";
    let response = get(server.address, POLLING, evil).await;
    assert_eq!((response.status, response.header("vary")), (403, Some("Origin")));
    // Nobody keeps a poll, so it need not be said for those without an origin.
    assert_eq!(get(server.address, POLLING, "").await.header("vary"), None);
    let any = with(Origins::Any, Cors::new()).await;
    assert_eq!(get(any.address, POLLING, PAGE).await.header("vary"), None);
}

#[tokio::test]
async fn credentials_can_be_denied_and_never_come_with_a_star() {
    let credentials = "access-control-allow-credentials";
    let none = with(page(), Cors::new().credentials(false)).await;
    let response = get(none.address, POLLING, PAGE).await;
    assert_eq!(response.header("access-control-allow-origin"), Some("https://page.example"));
    assert_eq!(response.header(credentials), None);
    assert_eq!(preflight(&none, ASKS).await.header(credentials), None);
    let any = with(Origins::Any, Cors::new().credentials(true)).await;
    for response in [get(any.address, POLLING, PAGE).await, preflight(&any, ASKS).await] {
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header(credentials), None);
    }
}

#[tokio::test]
async fn headers_that_a_page_asks_for_cannot_smuggle_others_in() {
    let server = with(page(), Cors::new()).await;
    let asked = "Access-Control-Request-Method: GET\r\n\
                 Access-Control-Request-Headers: x\tSet-Cookie: a=b\r\n";
    let response = preflight(&server, asked).await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("set-cookie"), None);
}
