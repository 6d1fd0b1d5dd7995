//! Clients of Socket.IO 2, and polling with scripts: to the byte, at the server's own HTTP and behind
//! an HTTP library. What an official client makes of it is in `interop/node`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use roomful::{Args, Hello, Origins, Refusal, Server, Socket, Transports};
use roomful_proto::ws::Message;
use serde_json::{Value, json};
use support::*;
use tokio::sync::Notify;

const V3: &str = "/socket.io/?EIO=3&transport=polling";
const V3_WEBSOCKET: &str = "/socket.io/?EIO=3&transport=websocket";
const FORM: &str = "application/x-www-form-urlencoded";

/// The server where old clients may come, by themselves or with scripts.
async fn open_server() -> Running {
    open_with(|_| {}).await
}

async fn open_with(offer: impl FnOnce(&Server)) -> Running {
    let io = Server::builder().allow_eio3(true).jsonp(true).build();
    io.on("echo", async |_: Socket, args: Args| args);
    io.on("all", async |me: Socket, args: Args| me.everyone().emit("news", args));
    offer(&io);
    start(io).await
}

/// An old client that polls.
struct Old {
    address: SocketAddr,
    target: String,
    sid: String,
    /// All that the first answer held.
    first: String,
}

impl Old {
    async fn open(address: SocketAddr, query: &str) -> Self {
        let target = format!("{V3}{query}");
        let first = get(address, &target, "").await;
        assert_eq!(first.status, 200, "{first:?}");
        let first = first.text().to_owned();
        // In a script the quotes are escaped.
        let (_, sid) = first.split_once("sid").unwrap();
        let sid = sid.trim_start_matches(['\\', '"', ':']).get(..20).unwrap().to_owned();
        Self { address, target: format!("{target}&sid={sid}"), sid, first }
    }

    async fn get(&self) -> Response {
        get(self.address, &self.target, "").await
    }

    async fn post(&self, content_type: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        let headers = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        let head = head("POST", &self.target, &headers);
        request(self.address, [head.as_bytes(), body].concat()).await
    }

    async fn say(&self, body: &str) {
        assert_eq!(self.post("text/plain", body).await.text(), "ok", "{body}");
    }

    async fn is_over(&self) {
        let response = self.get().await;
        let goodbye = response.status == 200 && matches!(response.text(), "1:1" | "1:6");
        assert!(goodbye || response.status == 400, "{response:?}");
        assert_eq!(self.get().await.status, 400);
    }
}

/// A packet in a body.
fn body(text: &str) -> String {
    format!("{}:{text}", text.encode_utf16().count())
}

/// A packet in a binary body: as text (0) or as bytes (1).
fn binary_body(kind: u8, packet: impl AsRef<[u8]>) -> Vec<u8> {
    let packet = packet.as_ref();
    let len = packet.len().to_string().into_bytes().into_iter().map(|digit| digit - b'0');
    [kind].into_iter().chain(len).chain([0xff]).chain(packet.iter().copied()).collect()
}

#[tokio::test]
async fn they_are_refused_unless_they_are_allowed() {
    let server = start(Server::new()).await;
    for address in in_both_ways(&server).await {
        for revision in ["EIO=3&", "", "EIO=2&", "EIO=x&"] {
            let target = format!("/socket.io/?{revision}transport=polling");
            let response = get(address, &target, "").await;
            let expected = r#"{"code":5,"message":"Unsupported protocol version"}"#;
            assert_eq!((response.status, response.text()), (400, expected), "{revision}");
        }
        let response = request(address, upgrade_head(V3_WEBSOCKET)).await;
        assert_eq!((response.status, response.text()), (400, "Unsupported protocol version"));
    }
    server.is_empty_again().await;
}

#[tokio::test]
async fn one_polls_with_texts_and_bytes() {
    let server = open_server().await;
    for address in in_both_ways(&server).await {
        let old = Old::open(address, "").await;
        assert!(old.first.ends_with("}2:40"), "{}", old.first);
        old.say(&body(r#"420["echo","😀é"]"#)).await;
        let answer = old.get().await;
        assert_eq!(answer.text(), r#"10:430["😀é"]"#);
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
        let bytes = |packet: &str| [binary_body(0, packet), binary_body(1, b"\x04ab")].concat();
        let event = bytes(r#"451-1["echo",{"_placeholder":true,"num":0}]"#);
        let posted = old.post("application/octet-stream", event).await;
        assert_eq!((posted.status, posted.text()), (200, "ok"));
        let answer = old.get().await;
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        let expected = bytes(r#"461-1[{"_placeholder":true,"num":0}]"#);
        assert_eq!(answer.body, expected, "{}", answer.body.escape_ascii());
        // All that waits is one body, and binary for the sake of one packet.
        for text in ["é", "x"] {
            server.emit("news", text);
        }
        server.emit("news", Bytes::from_static(&[9]));
        let expected = [
            binary_body(0, r#"42["news","é"]"#),
            binary_body(0, r#"42["news","x"]"#),
            binary_body(0, r#"451-["news",{"_placeholder":true,"num":0}]"#),
            binary_body(1, [4, 9]),
        ];
        assert_eq!(old.get().await.body, expected.concat());
        old.say("1:1").await;
    }
    server.is_empty_again().await;
}

#[tokio::test]
async fn one_that_takes_no_bytes_gets_base64() {
    let server = open_server().await;
    let old = Old::open(server.address, "&b64=1").await;
    server.emit("news", Bytes::from_static(&[1, 2]));
    let answer = old.get().await;
    assert_eq!(answer.text(), r#"42:451-["news",{"_placeholder":true,"num":0}]6:b4AQI="#);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    let target = format!("{V3_WEBSOCKET}&b64=1");
    let mut ws = Ws::upgrade(server.address, &target).await;
    assert!(ws.text().await.starts_with("0{"));
    assert_eq!(ws.text().await, "40");
    server.emit("news", Bytes::from_static(&[1, 2]));
    assert!(ws.text().await.starts_with("451-"));
    assert_eq!(ws.text().await, "b4AQI=");
}

#[tokio::test]
async fn one_walks_over_to_a_websocket() {
    let server = open_server().await;
    for address in in_both_ways(&server).await {
        let old = Old::open(address, "").await;
        let target = format!("{V3_WEBSOCKET}&sid={}", old.sid);
        let mut ws = Ws::upgrade(address, &target).await;
        let mut waiting = Conn::open(address).await;
        waiting.send(head("GET", &old.target, "")).await;
        ws.send_text("2probe").await;
        assert_eq!(ws.text().await, "3probe");
        assert_eq!(waiting.response().await.text(), "1:6");
        ws.send_text("5").await;
        ws.send_text("2x").await;
        assert_eq!(ws.text().await, "3x");
        ws.send_text(r#"451-0["echo",{"_placeholder":true,"num":0}]"#).await;
        ws.send_binary(b"\x04ab").await;
        assert_eq!(ws.text().await, r#"461-0[{"_placeholder":true,"num":0}]"#);
        assert_eq!(ws.next().await, Some(Message::Binary(Bytes::from_static(b"\x04ab"))));
        assert_eq!(old.get().await.status, 400);
        ws.close().await;
    }
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_broadcast_reaches_each_in_its_own_form() {
    let server = open_server().await;
    let mut young = server.client().await;
    let mut old = Ws::upgrade(server.address, V3_WEBSOCKET).await;
    assert!(old.text().await.starts_with("0{"));
    assert_eq!(old.text().await, "40");
    let polling = Old::open(server.address, "").await;
    // In one turn, so that several are written together.
    old.send_text(r#"42["all","a"]"#).await;
    old.send_text(r#"451-["all",{"_placeholder":true,"num":0}]"#).await;
    old.send_binary(b"\x04\x01\x02").await;
    let json = r#"451-["news",{"_placeholder":true,"num":0}]"#;
    assert_eq!(old.text().await, r#"42["news","a"]"#);
    assert_eq!(old.text().await, json);
    assert_eq!(old.next().await, Some(Message::Binary(Bytes::from_static(&[4, 1, 2]))));
    assert_eq!(young.event().await, json!(["news", "a"]));
    assert_eq!(young.next().await.attachments, [Bytes::from_static(&[1, 2])]);
    let mut heard = Vec::new();
    while !heard.ends_with(b"\x01\x03\xff\x04\x01\x02") {
        heard.extend(polling.get().await.body);
    }
    assert!(heard.windows(json.len()).any(|part| part == json.as_bytes()));
}

#[tokio::test]
async fn what_is_broken_is_400_and_ends_the_session() {
    let server = open_server().await;
    for address in in_both_ways(&server).await {
        let bodies: [&[u8]; 8] = [
            b"",
            b"42",
            b"99:42",
            "11:42[\"echo😀\"]".as_bytes(),
            b"1:6x",
            b"\x01\x09\xff\x04",
            b"\x00\x00\x00\x00",
            "1:6\u{1e}1:6".as_bytes(),
        ];
        for broken in bodies {
            let old = Old::open(address, "").await;
            let response = old.post("text/plain", broken).await;
            assert_eq!(response.status, 400, "{}", broken.escape_ascii());
            old.is_over().await;
        }
        let mut ws = Ws::upgrade(address, V3_WEBSOCKET).await;
        ws.send_binary(b"\x01").await;
        assert_eq!(ws.close_code().await, Some(1002));
    }
    assert_eq!(server.stats().violations, 18);
    server.is_empty_again().await;
}

#[tokio::test]
async fn bytes_in_a_body_are_still_not_for_new_clients() {
    let server = open_server().await;
    let poller = server.poller().await;
    let headers = "Content-Type: application/octet-stream\r\nContent-Length: 1\r\n";
    let head = head("POST", &poller.target(), headers) + "3";
    assert_eq!(request(server.address, head).await.status, 400);
}

#[tokio::test]
async fn the_main_namespace_decides_about_them_too() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let server = open_with(move |io| {
        io.of("/").connect(move |hello: Hello| {
            let auth: Result<Value, _> = hello.auth();
            note.lock().unwrap().push((auth.unwrap(), hello.query("who")));
            let refused = hello.query("who").is_none();
            async move { if refused { Err(Refusal::new("who are you?")) } else { Ok(()) } }
        });
    })
    .await;
    let mut ws = Ws::upgrade(server.address, V3_WEBSOCKET).await;
    assert!(ws.text().await.starts_with("0{"));
    assert_eq!(ws.text().await, r#"44"who are you?""#);
    assert_eq!(server.len(), 0);
    let old = Old::open(server.address, "&who=me").await;
    assert!(old.first.ends_with("2:40"));
    assert_eq!(server.len(), 1);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, [(json!({}), None), (json!({}), Some("me".to_owned()))]);
}

#[tokio::test]
async fn what_comes_before_the_main_namespace_has_decided_is_kept() {
    let decide = Arc::new(Notify::new());
    let decided = Arc::clone(&decide);
    let server = open_with(move |io| {
        io.of("/").connect(move |_: Hello| {
            let decided = Arc::clone(&decided);
            async move {
                decided.notified().await;
                Ok::<_, Refusal>(())
            }
        });
    })
    .await;
    let mut ws = Ws::upgrade(server.address, V3_WEBSOCKET).await;
    assert!(ws.text().await.starts_with("0{"));
    ws.send_text(r#"420["echo",1]"#).await;
    ws.send_text("2").await;
    assert_eq!(ws.text().await, "3");
    decide.notify_one();
    assert_eq!(ws.text().await, "40");
    assert_eq!(ws.text().await, "430[1]");
    // Having left the namespace does not end the connection.
    ws.send_text("41").await;
    until("it has left", || server.is_empty()).await;
    ws.send_text("2").await;
    assert_eq!(ws.text().await, "3");
}

#[tokio::test]
async fn a_namespace_reads_their_query_as_auth() {
    let server = open_with(|io| {
        io.of("/a").connect(async |hello: Hello| -> Result<(), Refusal> {
            let auth: Value = hello.auth()?;
            match auth["say"].as_str() {
                Some("text") => Err(Refusal::new("m").data("a text")),
                Some("object") => Err(Refusal::new("m").data(json!({ "code": 1 }))),
                Some("number") => Err(Refusal::new("m").data(1)),
                Some("nothing") => Err(Refusal::new("m\"")),
                _ => Err(Refusal::new(auth.to_string())),
            }
        });
    })
    .await;
    let mut ws = Ws::upgrade(server.address, V3_WEBSOCKET).await;
    assert!(ws.text().await.starts_with("0{"));
    assert_eq!(ws.text().await, "40");
    for (sent, told) in [
        ("0/a?say=text,", r#"44/a,"a text""#),
        ("0/a?say=object,", r#"44/a,{"code":1}"#),
        ("0/a?say=number,", r#"44/a,"m""#),
        ("0/a?say=nothing,", r#"44/a,"m\"""#),
        ("0/a,", r#"44/a,"{}""#),
        ("0/a?x=%22%2C&x=2", r#"44/a,"{\"x\":\"\\\",\"}""#),
        ("0/none?x=1,", r#"44/none,"Invalid namespace""#),
    ] {
        ws.send_text(&format!("4{sent}")).await;
        assert_eq!(ws.text().await, told, "{sent}");
    }
}

#[tokio::test]
async fn the_public_id_of_a_socket_is_not_made_from_its_session() {
    let server = open_server().await;
    let old = Old::open(server.address, "").await;
    let ids = server.everyone().local_ids();
    assert_eq!(ids.len(), 1);
    assert!(!ids[0].contains(old.sid.as_str()) && !old.sid.contains(ids[0].as_str()));
    assert_eq!(old.first.matches(old.sid.as_str()).count(), 1, "only the open packet has it");
}

#[tokio::test]
async fn a_silent_one_is_dropped_and_a_server_that_closes_says_so() {
    let io = Server::builder().allow_eio3(true);
    let half = std::time::Duration::from_secs(1);
    let server = start(io.ping_interval(half).ping_timeout(half).build()).await;
    let old = Old::open(server.address, "").await;
    assert_eq!(old.get().await.text(), "1:1");
    assert_eq!(server.stats().ping_timeouts, 1);
    let server = open_server().await;
    let mut ws = Ws::upgrade(server.address, V3_WEBSOCKET).await;
    assert!(ws.text().await.starts_with("0{"));
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    assert_eq!(ws.close_code().await, Some(1001));
    drop(ws);
    within(closing).await.unwrap();
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_flood_of_pings_is_held_back_until_its_answers_are_taken() {
    let server = open_server().await;
    let old = Old::open(server.address, "").await;
    let mut flood = Conn::open(server.address).await;
    flood.send(post(&old.target, &"1:2".repeat(200_000))).await;
    let mut pongs = 0;
    let mut bodies = 0;
    while pongs < 200_000 {
        pongs += old.get().await.text().matches("1:3").count();
        bodies += 1;
    }
    assert_eq!((pongs, flood.response().await.text()), (200_000, "ok"));
    assert!(bodies > 1, "all of them waited at once");
}

// With scripts.

#[tokio::test]
async fn scripts_are_refused_unless_they_are_allowed() {
    let server = start(Server::builder().allow_eio3(true).build()).await;
    for address in in_both_ways(&server).await {
        for target in [format!("{POLLING}&j=0"), format!("{V3}&j=0"), format!("{POLLING}&j")] {
            let response = get(address, &target, "").await;
            let expected = r#"{"code":3,"message":"Bad request"}"#;
            assert_eq!((response.status, response.text()), (400, expected), "{target}");
        }
    }
    server.is_empty_again().await;
    // On a WebSocket the parameter has no meaning.
    let mut ws = Ws::upgrade(server.address, &format!("{WEBSOCKET}&j=0")).await;
    assert!(ws.text().await.starts_with("0{"));
}

/// The text that a script gives to the function of that number.
#[track_caller]
fn called(response: &Response, number: u32) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("text/javascript; charset=UTF-8"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let text = response.text().strip_prefix(&format!("___eio[{number}]("));
    let text = text.and_then(|rest| rest.strip_suffix(");")).expect("a call");
    assert!(!text.contains(['<', '\n', '\u{2028}', '\u{2029}']), "{text}");
    serde_json::from_str(text).expect("one text")
}

#[tokio::test]
async fn a_script_carries_a_session_of_either_revision() {
    let server = open_server().await;
    for address in in_both_ways(&server).await {
        let old = Old::open(address, "&j=12").await;
        let odd = "</script><!--\u{2028}\\\");alert(1);//😀";
        let packet = format!("421[\"echo\",{}]", serde_json::to_string(odd).unwrap());
        let form: String = body(&packet).bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(old.post(FORM, format!("d={form}")).await.text(), "ok");
        let answer = format!("431[{}]", serde_json::to_string(odd).unwrap());
        assert_eq!(called(&old.get().await, 12), body(&answer));
        server.emit("news", Bytes::from_static(&[1, 2]));
        let news = "42:451-[\"news\",{\"_placeholder\":true,\"num\":0}]6:b4AQI=";
        assert_eq!(called(&old.get().await, 12), news);
        old.post(FORM, "d=1%3A1").await;

        let response = get(address, &format!("{POLLING}&j=0"), "").await;
        let open = called(&response, 0);
        let open: Value = serde_json::from_str(&open[1..]).unwrap();
        let target = format!("{POLLING}&j=0&sid={}", open["sid"].as_str().unwrap());
        assert_eq!(request(address, post(&target, "d=40")).await.text(), "ok");
        assert!(called(&get(address, &target, "").await, 0).starts_with("40{\"sid\""));
        assert_eq!(request(address, post(&target, "d=1")).await.text(), "ok");
    }
    server.is_empty_again().await;
}

#[tokio::test]
async fn only_digits_name_a_function() {
    let server = open_server().await;
    let odd = ["", "x", "1]", "1](alert(1))//", "-1", "+1", "1.5", "%31", "4294967296", "1;2"];
    for address in in_both_ways(&server).await {
        for j in odd {
            let response = get(address, &format!("{V3}&j={j}"), "").await;
            assert_eq!(response.status, 400, "{j}");
            assert_eq!(response.header("content-type"), Some("application/json"));
        }
    }
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_session_is_read_by_scripts_or_never() {
    let server = open_server().await;
    for address in in_both_ways(&server).await {
        let plain = Old::open(address, "").await;
        let response = get(address, &format!("{}&j=0", plain.target), "").await;
        assert_eq!(response.status, 400);
        plain.say("1:2").await;
        let scripts = Old::open(address, "&j=0").await;
        let target = format!("{V3}&sid={}", scripts.sid);
        assert_eq!(get(address, &target, "").await.status, 400);
        assert_eq!(request(address, post(&target, "1:2")).await.status, 400);
        // It goes on, though, and each answer calls the function that its request names.
        let target = format!("{target}&j=3");
        assert_eq!(request(address, post(&target, "d=1:2")).await.text(), "ok");
        assert_eq!(called(&get(address, &target, "").await, 3), "1:3");
    }
}

#[tokio::test]
async fn a_form_without_a_body_ends_the_session() {
    let server = open_server().await;
    for address in in_both_ways(&server).await {
        for form in ["", "e=1", "1:2", "d", "d=", "d=%ff", "d=1%3A2x"] {
            let old = Old::open(address, "&j=0").await;
            assert_eq!(old.post(FORM, form).await.status, 400, "{form}");
            until("the session has ended", || server.is_empty()).await;
        }
    }
    server.is_empty_again().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_not_post_forms() {
    let io = Server::builder().allow_eio3(true).jsonp(true).origins(Origins::SameHost).build();
    let server = start(io).await;
    let old = Old::open(server.address, "&j=0").await;
    let headers = "Origin: http://evil.example\r\nContent-Length: 7\r\n";
    let head = head("POST", &old.target, headers) + "d=1%3A2";
    assert_eq!(request(server.address, head).await.status, 403);
}

#[tokio::test]
async fn transports_that_are_off_are_off_for_them_too() {
    let io = Server::builder().allow_eio3(true).jsonp(true).transports(Transports::WEBSOCKET);
    let server = start(io.build()).await;
    let response = get(server.address, V3, "").await;
    assert_eq!(response.text(), r#"{"code":0,"message":"Transport unknown"}"#);
    let mut ws = Ws::upgrade(server.address, V3_WEBSOCKET).await;
    assert!(ws.text().await.contains(r#""upgrades":[]"#));
}
