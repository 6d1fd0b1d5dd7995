//! Requests that name no origin, and hosts that are not the server's: pages that would act for their
//! visitors. Each is tried where the server serves by itself and inside another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/logs.rs"]
mod logs;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use logs::Logs;
use roomful::{Cause, Flow, Hello, Origins, Refusal, Server};
use support::*;
use tower_service::Service as _;

const CROSS_SITE: &str = "Sec-Fetch-Site: cross-site\r\n";
const SAME_SITE: &str = "Sec-Fetch-Site: same-site\r\n";

fn page() -> Origins {
    Origins::List(vec!["https://page.example".into()])
}

fn rule() -> Origins {
    Origins::matching(|origin| origin == "https://page.example")
}

#[track_caller]
fn check_refused(response: &Response, upgrade: bool) {
    let expected = r#"{"code":4,"message":"Origin not allowed"}"#;
    let expected = if upgrade { "Origin not allowed" } else { expected };
    assert_eq!((response.status, response.text()), (403, expected));
    assert_eq!(response.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn an_image_of_another_site_joins_nothing() {
    const OLD: &str = "/socket.io/?EIO=3&transport=polling";
    let asked = Arc::new(AtomicUsize::new(0));
    let io = Server::builder().allow_eio3(true).build();
    let count = Arc::clone(&asked);
    io.connect(move |hello: Hello| {
        assert_eq!(hello.header("cookie"), Some("session=alice"));
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Refusal>(()) }
    });
    let server = start(io).await;
    let image = "Accept: image/avif,image/webp,*/*;q=0.8\r\nCookie: session=alice\r\n\
                 Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n";
    for (nth, address) in in_both_ways(&server).await.into_iter().enumerate() {
        for site in [CROSS_SITE, SAME_SITE] {
            check_refused(&get(address, OLD, &format!("{image}{site}")).await, false);
        }
        assert_eq!((server.stats().opened, asked.load(Ordering::Relaxed)), (nth as u64, nth));
        // What an image of the same page would be.
        let same = format!("{image}Sec-Fetch-Site: same-origin\r\n");
        assert_eq!(get(address, OLD, &same).await.status, 200);
        until("connect was asked", || asked.load(Ordering::Relaxed) == nth + 1).await;
    }
    assert_eq!(server.stats().origins_refused, 4);
}

/// Sees what every kind of request is answered, with these headers.
async fn check_all(server: &Running, headers: &str, refused: bool) {
    for address in in_both_ways(server).await {
        let response = get(address, POLLING, headers).await;
        let upgraded = request(address, upgrade_head_with(WEBSOCKET, headers)).await;
        let poller = Poller::open(address).await;
        let sent =
            head("POST", &poller.target(), &format!("Content-Length: 2\r\n{headers}")) + "40";
        let posted = request(address, sent).await;
        if refused {
            check_refused(&response, false);
            check_refused(&upgraded, true);
            check_refused(&posted, false);
            check_refused(&get(address, &poller.target(), headers).await, false);
            let probe = upgrade_head_with(&poller.upgrade_target(), headers);
            check_refused(&request(address, probe).await, true);
            // Nothing of it has harmed the session.
            poller.join().await;
        } else {
            let statuses = [response.status, upgraded.status, posted.status];
            assert_eq!(statuses, [200, 101, 200], "{headers}");
            assert_eq!(get(address, &poller.target(), headers).await.status, 200);
        }
    }
}

#[tokio::test]
async fn without_an_origin_a_request_of_another_site_is_refused_on_every_way() {
    for origins in [Origins::SameHost, page(), rule()] {
        let server = start(Server::builder().origins(origins).build()).await;
        check_all(&server, CROSS_SITE, true).await;
        check_all(&server, SAME_SITE, true).await;
        assert_eq!(server.stats().origins_refused, 20);
        for site in ["", "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"] {
            check_all(&server, site, false).await;
        }
        // A value that there is not counts as none.
        check_all(&server, "Sec-Fetch-Site: elsewhere\r\n", false).await;
    }
}

/// Electron and WebViews that let pages of files do everything name no origin for a GET.
#[tokio::test]
async fn a_page_in_a_file_whose_browser_guards_nothing_connects() {
    let files = Origins::List(vec!["file://".into()]);
    let server = start(Server::builder().origins(files).build()).await;
    let fetch = format!("{CROSS_SITE}Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n");
    check_all(&server, &fetch, false).await;
    check_all(&server, &format!("Origin: file://\r\n{fetch}"), false).await;
    let modes = ["no-cors", "navigate", "websocket", "same-origin", "CORS", "cors, cors", ""];
    for mode in modes.map(|mode| format!("{CROSS_SITE}Sec-Fetch-Mode: {mode}\r\n")) {
        check_all(&server, &mode, true).await;
    }
    check_all(&server, &format!("Origin: https://evil.example\r\n{fetch}"), true).await;
}

#[tokio::test]
async fn where_all_pages_may_connect_those_of_other_sites_need_name_nothing() {
    let server = start(Server::builder().origins(Origins::Any).build()).await;
    check_all(&server, CROSS_SITE, false).await;
    check_all(&server, SAME_SITE, false).await;
}

#[tokio::test]
async fn where_an_origin_is_named_that_counts() {
    let server = start(Server::builder().origins(page()).build()).await;
    let allowed = format!("Origin: https://page.example\r\n{CROSS_SITE}");
    check_all(&server, &allowed, false).await;
    let refused = "Origin: https://evil.example\r\nSec-Fetch-Site: same-origin\r\n";
    check_all(&server, refused, true).await;
}

#[tokio::test]
async fn a_script_of_another_site_polls_only_where_all_pages_may() {
    const SCRIPT: &str = "/socket.io/?EIO=4&transport=polling&j=0";
    for (origins, status) in [(Origins::Any, 200), (Origins::SameHost, 403), (page(), 403)] {
        let server = start(Server::builder().jsonp(true).origins(origins).build()).await;
        for address in in_both_ways(&server).await {
            let fetch = "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n";
            let response = get(address, SCRIPT, &format!("{fetch}{CROSS_SITE}")).await;
            assert_eq!(response.status, status);
            let same = format!("{fetch}Sec-Fetch-Site: same-origin\r\n");
            assert_eq!(get(address, SCRIPT, &same).await.status, 200);
            assert_eq!(
                get(address, SCRIPT, "").await.status,
                200,
                "a browser that does not say it"
            );
        }
    }
}

#[tokio::test]
async fn any_page_may_load_the_client() {
    let server = start(Server::new()).await;
    for address in in_both_ways(&server).await {
        let answers = [CROSS_SITE, ""].map(|site| get(address, "/socket.io/socket.io.js", site));
        let [there, here] = answers;
        let (there, here) = (there.await, here.await);
        // 404 where the program was built without it.
        assert!(matches!(here.status, 200 | 404), "{here:?}");
        assert_eq!((there.status, there.body), (here.status, here.body));
    }
}

#[tokio::test]
async fn the_cause_says_what_the_browser_said_and_the_log_what_can_be_done() {
    let logs = Logs::collect();
    let server = start(Server::new()).await;
    server.on_connection_error(|error| {
        assert_eq!(error.cause(), &Cause::SiteRefused { site: "same-site" });
        assert_eq!((error.code(), error.message()), (4, "Origin not allowed"));
    });
    assert_eq!(get(server.address, POLLING, SAME_SITE).await.status, 403);
    assert_eq!(server.stats().panics, 0);
    let lines = logs.with("without naming its origin");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("same-site"), "{lines:?}");
    assert!(lines[0].contains("or a script. Pages of other"), "{lines:?}");
    assert!(lines[0].contains("such requests in too"), "{lines:?}");
}

/// Anybody can send the one, and then nobody would hear of the other.
#[tokio::test]
async fn an_origin_and_a_site_that_are_refused_are_each_told_to_the_log() {
    let logs = Logs::collect();
    let server = start(Server::new()).await;
    for headers in ["Origin: https://evil.example\r\n", CROSS_SITE] {
        assert_eq!(get(server.address, POLLING, headers).await.status, 403);
    }
    assert_eq!(logs.with("the origin is not that of the host").len(), 1);
    assert_eq!(logs.with("without naming its origin").len(), 1);
}

// Hosts.

fn to_host(head: &str, host: &str) -> String {
    head.replacen("Host: localhost\r\n", &format!("Host: {host}\r\n"), 1)
}

#[tokio::test]
async fn a_request_to_a_host_that_is_not_listed_is_answered_421_and_seen_by_nobody() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let io = Server::builder()
        .hosts(["example.org", "*.example.org"])
        .origins(Origins::Any)
        .on_request(move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            Flow::Pass
        })
        .build();
    io.on_connection_error(|error| {
        assert_eq!(error.cause(), &Cause::HostRefused { host: "evil.example:80" });
        assert_eq!((error.code(), error.message()), (3, "Host not served here"));
    });
    let server = start(io).await;
    let asks = "Origin: http://evil.example\r\nAccess-Control-Request-Method: GET\r\n";
    for address in in_both_ways(&server).await {
        for text in [
            head("GET", POLLING, ""),
            head("GET", "/socket.io/socket.io.js", ""),
            head("GET", "/socket.io/anything", ""),
            head("OPTIONS", POLLING, asks),
            post(&format!("{POLLING}&sid=x"), "40"),
        ] {
            let response = request(address, to_host(&text, "evil.example:80")).await;
            assert_eq!(response.status, 421, "{text}");
            assert_eq!(response.text(), r#"{"code":3,"message":"Host not served here"}"#);
        }
        let upgrade = to_host(&upgrade_head(WEBSOCKET), "evil.example:80");
        let response = request(address, upgrade).await;
        assert_eq!((response.status, response.text()), (421, "Host not served here"));
    }
    assert_eq!((seen.load(Ordering::Relaxed), server.stats().panics), (0, 0));
    let stats = server.stats();
    assert_eq!((stats.hosts_refused, stats.requests_refused, stats.opened), (12, 12, 0));
    for address in in_both_ways(&server).await {
        for host in ["example.org", "EXAMPLE.org:3000", "a.b.example.org"] {
            let response = request(address, to_host(&head("GET", POLLING, ""), host)).await;
            assert_eq!(response.status, 200, "{host}");
            let upgrade = to_host(&upgrade_head(WEBSOCKET), host);
            assert_eq!(request(address, upgrade).await.status, 101, "{host}");
        }
    }
}

#[tokio::test]
async fn the_origin_of_a_request_to_a_host_that_is_not_listed_is_no_question() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let rule = Origins::matching(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        true
    });
    for (origins, per_request) in [(rule, 1), (Origins::Any, 0)] {
        let server = start(Server::builder().hosts(["localhost"]).origins(origins).build()).await;
        for address in in_both_ways(&server).await {
            asked.store(0, Ordering::Relaxed);
            let text = head("GET", POLLING, "Origin: https://page.example\r\n");
            for host in ["evil.example", "a@b"] {
                let response = request(address, to_host(&text, host)).await;
                assert!(matches!(response.status, 421 | 400), "{response:?}");
                for name in ["origin", "credentials"] {
                    let name = format!("access-control-allow-{name}");
                    assert_eq!(response.header(&name), None, "{host}");
                }
            }
            assert_eq!(asked.load(Ordering::Relaxed), 0);
            let response = request(address, &text).await;
            assert_eq!(response.status, 200);
            assert!(response.header("access-control-allow-origin").is_some());
            assert_eq!(asked.load(Ordering::Relaxed), per_request);
        }
    }
}

#[tokio::test]
async fn a_dot_at_the_end_of_a_host_is_none() {
    let server = start(Server::builder().hosts(["example.org"]).build()).await;
    for address in in_both_ways(&server).await {
        let text = to_host(&head("GET", POLLING, ""), "example.org.");
        assert_eq!(request(address, text).await.status, 200);
    }
}

/// Its page is of the same host once its name points here.
#[tokio::test]
async fn a_name_that_was_bound_again_is_no_host_of_ours() {
    let page = head("GET", POLLING, "Origin: http://evil.example\r\n");
    let page = to_host(&page, "evil.example");
    for (io, status) in
        [(Server::new(), 200), (Server::builder().hosts(["127.0.0.1", "localhost"]).build(), 421)]
    {
        let server = start(io).await;
        for address in in_both_ways(&server).await {
            assert_eq!(request(address, &page).await.status, status);
            // No host is none of ours, either.
            let nobody = format!("GET {POLLING} HTTP/1.0\r\n\r\n");
            assert_eq!(request(address, nobody).await.status, status);
            assert_eq!(get(address, POLLING, "Origin: http://localhost\r\n").await.status, 200);
        }
    }
}

#[tokio::test]
async fn of_a_request_in_absolute_form_the_host_of_its_first_line_is_looked_for() {
    let server = start(Server::builder().hosts(["example.org"]).build()).await;
    for address in in_both_ways(&server).await {
        for (first, header, status) in
            [("example.org", "evil.example", 200), ("evil.example", "example.org", 421)]
        {
            let text = format!("GET http://{first}{POLLING} HTTP/1.1\r\nHost: {header}\r\n\r\n");
            assert_eq!(request(address, text).await.status, status, "{first}");
        }
    }
}

#[tokio::test]
async fn a_listed_scheme_is_that_of_the_pages_of_the_host() {
    let io = Server::builder().hosts(["https://example.org", "localhost"]).build();
    let server = start(io).await;
    for address in in_both_ways(&server).await {
        for (host, origin, status) in [
            ("example.org", "https://example.org", 200),
            ("example.org", "wss://example.org", 200),
            ("example.org", "http://example.org", 403),
            ("example.org", "ws://example.org", 403),
            ("localhost", "http://localhost", 200),
            ("localhost", "https://localhost", 200),
        ] {
            let text = head("GET", POLLING, &format!("Origin: {origin}\r\n"));
            let response = request(address, to_host(&text, host)).await;
            assert_eq!(response.status, status, "{host} {origin}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_a_host_and_a_host_that_is_refused_are_told_to_the_log() {
    let logs = Logs::collect();
    let io = Server::builder().hosts(["example.org", "example.org/path"]).build();
    let errors = logs.with("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("example.org/path"), "{errors:?}");
    drop(Server::builder().hosts(["*"]).build());
    assert_eq!(logs.with("every request is refused").len(), 1);
    let server = start(io).await;
    let text = to_host(&head("GET", POLLING, ""), "upstream:3000");
    assert_eq!(request(server.address, text).await.status, 421);
    let lines = logs.with("upstream:3000");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for said in ["WARN", "Builder::hosts", "`host` on (nginx: proxy_set_header Host $http_host)"] {
        assert!(lines[0].contains(said), "{said}: {lines:?}");
    }
}

/// What a request of HTTP/2 is answered, by the service that an HTTP library asks.
async fn h2(io: &Server, url: &str, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = Request::get(format!("{url}{POLLING}")).version(Version::HTTP_2);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = io.service().call(request).await.unwrap();
    let status = response.status();
    drop(response.into_body().collect().await.unwrap());
    status
}

#[tokio::test]
async fn over_http_2_the_host_and_the_scheme_are_those_of_the_request_itself() {
    let io = Server::builder().hosts(["example.org"]).build();
    let to = async |url: &str, headers: &[(&str, &str)]| h2(&io, url, headers).await.as_u16();
    assert_eq!(to("https://example.org", &[]).await, 200);
    assert_eq!(to("https://example.org", &[("host", "evil.example")]).await, 200);
    assert_eq!(to("https://evil.example", &[("host", "example.org")]).await, 421);
    assert_eq!(to("https://example.org", &[("origin", "https://example.org")]).await, 200);
    assert_eq!(to("https://example.org", &[("sec-fetch-site", "cross-site")]).await, 403);
    // What is known to be secure has no page that is not.
    assert_eq!(to("https://example.org", &[("origin", "http://example.org")]).await, 403);
    let any_host = Server::new();
    let insecure = [("origin", "http://example.org")];
    assert_eq!(h2(&any_host, "https://example.org", &insecure).await, 403);
    // A proxy may have ended TLS.
    assert_eq!(h2(&any_host, "http://example.org", &insecure).await, 200);
    let secure = [("origin", "https://example.org")];
    assert_eq!(h2(&any_host, "http://example.org", &secure).await, 200);
}
