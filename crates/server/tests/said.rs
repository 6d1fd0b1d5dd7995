//! What is said to whoever runs the server, and what was said by nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/logs.rs"]
mod logs;
mod support;

use std::time::{Duration, Instant};

use logs::Logs;
use roomful::{Origins, Server, Socket};
use support::*;
use tokio::sync::mpsc;

#[tokio::test]
async fn a_listed_origin_is_taken_with_a_slash_at_its_end_and_told_where_it_has_a_path() {
    let logs = Logs::collect();
    let listed = ["https://app.example/", "https://other.example/app"].map(str::to_owned);
    let io = Server::builder().origins(Origins::List(listed.to_vec())).build();
    let errors = logs.with("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("https://other.example/app"), "{errors:?}");
    let server = start(io).await;
    for (origin, status) in [("https://app.example", 200), ("https://other.example", 403)] {
        let headers = format!("Origin: {origin}\r\n");
        assert_eq!(get(server.address, POLLING, &headers).await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn the_origin_of_files_is_taken_where_it_is_listed_and_no_error_is_told() {
    let logs = Logs::collect();
    let io = Server::builder().origins(Origins::List(vec!["file://".to_owned()])).build();
    let server = start(io).await;
    for address in in_both_ways(&server).await {
        let response = get(address, POLLING, "Origin: file://\r\n").await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("access-control-allow-origin"), Some("file://"));
    }
    assert_eq!(logs.with("ERROR"), [""; 0]);
}

#[tokio::test]
async fn the_log_of_a_refused_origin_names_the_host_and_what_a_proxy_has_to_do() {
    let logs = Logs::collect();
    let server = start(Server::new()).await;
    let request = format!(
        "GET {POLLING} HTTP/1.1\r\nHost: upstream:3000\r\nOrigin: https://app.example\r\n\r\n"
    );
    assert_eq!(request_at(&server, &request).await.status, 403);
    let lines = logs.with("https://app.example");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for said in ["WARN", "upstream:3000", "proxy_set_header Host $http_host", "Builder::origins"] {
        assert!(lines[0].contains(said), "{said}: {lines:?}");
    }
}

#[tokio::test]
async fn requests_of_a_refused_origin_do_not_fill_the_log() {
    let logs = Logs::collect();
    let server = start(Server::new()).await;
    let long = "h".repeat(5_000);
    let request =
        format!("GET {POLLING} HTTP/1.1\r\nHost: {long}\r\nOrigin: https://{long}.example\r\n\r\n");
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(request_at(&server, &request).await.status, 403);
    }
    let lines = logs.with("refused: the origin");
    // One line, and one more for each second that this takes.
    let lines_max = 1 + usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((1..=lines_max).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines[0].len() < 500, "{} bytes", lines[0].len());
    assert_eq!(server.stats().origins_refused, 20, "all are counted");
}

async fn request_at(server: &Running, text: &str) -> Response {
    request(server.address, text).await
}

#[tokio::test]
async fn the_headers_of_a_handshake_have_names_in_lower_case_in_every_way_of_serving() {
    let io = Server::builder()
        .on_request(|request, _| {
            assert!(request.headers().any(|(name, value)| name == "x-one" && value == b"One"));
            roomful::Flow::Pass
        })
        .build();
    let (sender, mut names) = mpsc::unbounded_channel();
    io.on_connect(move |me: Socket| {
        let handshake = me.handshake();
        let names: Vec<_> = handshake.headers().map(|(name, _)| name.to_owned()).collect();
        sender.send(names).unwrap();
        std::future::ready(())
    });
    let server = start(io).await;
    for address in in_both_ways(&server).await {
        let mut conn = Conn::open(address).await;
        conn.send(upgrade_head_with(WEBSOCKET, "X-One: One\r\nx-TWO: Two\r\n")).await;
        assert_eq!(conn.response().await.status, 101);
        let mut client = Ws::over(conn);
        client.text().await;
        client.send_text("40").await;
        let names = within(names.recv()).await.unwrap();
        assert!(
            names.iter().any(|name| name == "x-one") && names.iter().any(|name| name == "x-two")
        );
        assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()), "{names:?}");
    }
    assert_eq!(server.stats().panics, 0);
}

/// RFC 9112 section 3.2.
#[tokio::test]
async fn a_request_says_once_and_rightly_for_which_host_it_is() {
    let server = start(Server::new()).await;
    let many = ["Host: a\r\nHost: b\r\n", "Host: a\r\nhost: a\r\n", "HOST: a\r\nX: y\r\nHost:\r\n"];
    let odd =
        ["Host: a/b\r\n", "Host: a@b\r\n", "Host: a b\r\n", "Host: \"a\"\r\n", "Host: \u{e9}\r\n"];
    let right =
        ["Host: a\r\n", "Host: a:80\r\n", "Host: [::1]:80\r\n", "Host:\r\n", "Host: a_b.c\r\n"];
    for address in in_both_ways(&server).await {
        let mut cases = vec![("1.1", "", 400), ("1.0", "", 200), ("1.0", "Host: a\r\n", 200)];
        for version in ["1.0", "1.1"] {
            cases.extend(many.iter().chain(&odd).map(|host| (version, *host, 400)));
        }
        cases.extend(right.iter().map(|host| ("1.1", *host, 200)));
        for (version, host, status) in cases {
            let text = format!("GET {POLLING} HTTP/{version}\r\n{host}\r\n");
            assert_eq!(request(address, text).await.status, status, "{version} {host:?}");
        }
        let upgrade = upgrade_head(WEBSOCKET).replace("Host: localhost\r\n", "");
        assert_eq!(request(address, upgrade).await.status, 400);
    }
}

/// RFC 9112 section 3.2.2: what the first line says counts, and the header must be there all the same.
#[tokio::test]
async fn the_host_of_a_request_in_absolute_form_is_that_of_its_first_line() {
    let server = start(Server::new()).await;
    for address in in_both_ways(&server).await {
        for (origin, status) in [
            ("http://one.example:3000", 200),
            ("http://two.example", 403),
            ("http://one.example", 403),
        ] {
            for user in ["", "user:word@"] {
                let text = format!(
                    "GET http://{user}one.example:3000{POLLING} HTTP/1.1\r\nHost: two.example\r\n\
                     Origin: {origin}\r\n\r\n"
                );
                assert_eq!(request(address, text).await.status, status, "{origin} {user}");
            }
        }
        let without = format!("GET http://one.example{POLLING} HTTP/1.1\r\n\r\n");
        assert_eq!(request(address, without).await.status, 400);
    }
}

/// As `docker stop` would kill it after 10 s.
#[tokio::test]
async fn a_server_closes_in_its_time_whatever_a_handler_waits_for() {
    let io = Server::builder().stop_timeout(Duration::from_millis(200)).build();
    let (sender, mut began) = mpsc::unbounded_channel();
    io.on("stuck", move |_: Socket| {
        sender.send(()).unwrap();
        std::future::pending::<()>()
    });
    let server = start(io).await;
    let mut client = server.client().await;
    client.emit("stuck", "1").await;
    within(began.recv()).await.unwrap();
    drop(client);
    let began = Instant::now();
    within(server.close()).await;
    // One wait for the peer of a single connection is 5 s, and there were three such.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
