//! Clients that mean harm, or only do it: each is dealt with by a clear close or an error, it is
//! counted, nobody else notices, and nothing of it stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use roomful::{Args, ConnectionFlow, Refusal, Server, Socket};
use roomful_proto::ws::Message;
use roomful_proto::ws::frame::Opcode;
use serde_json::{Value, json};
use support::*;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

type Leaving = mpsc::UnboundedReceiver<&'static str>;

/// A server that echoes, and tells why sockets leave.
async fn watched() -> (Running, Leaving) {
    watch(Server::new()).await
}

async fn watch(io: Server) -> (Running, Leaving) {
    let (gone, leaving) = mpsc::unbounded_channel();
    io.on("echo", async |_: Socket, args: Args| args);
    io.on_disconnect(move |_: Socket, reason| {
        let _ = gone.send(reason.as_str());
        async {}
    });
    (start(io).await, leaving)
}

/// A gate that handlers wait at until it is opened.
#[derive(Clone)]
struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    fn open(&self) {
        self.0.send_replace(true);
    }

    fn passed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut at = self.0.subscribe();
        async move { drop(at.wait_for(|open| *open).await) }
    }
}

/// Counts how many of it live.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lets the server run for a while: as long as many questions to it take.
async fn let_it_work(bystander: &mut Client) {
    for n in 0..500 {
        assert_eq!(bystander.ask("echo", &n.to_string()).await, json!([n]));
    }
}

// Packets that break the protocol: each closes its connection with a code, and is counted.

/// What a client sends.
enum Sent {
    Text(String),
    Binary(Vec<u8>),
}

impl From<&str> for Sent {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Sent {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Sent {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(bytes.to_owned())
    }
}

/// Sends WebSocket messages behind a CONNECT, and checks how that ends.
async fn breach(messages: Vec<Sent>, code: Option<u16>, reason: &str) {
    let (server, mut leaving) = watched().await;
    let mut bystander = server.client().await;
    let mut client = server.client().await;
    for message in messages {
        match message {
            Sent::Text(text) => client.ws.send_text(&text).await,
            Sent::Binary(bytes) => client.ws.send_binary(&bytes).await,
        }
    }
    assert_eq!(client.ws.close_code().await, code);
    drop(client);
    assert_eq!(within(leaving.recv()).await, Some(reason));
    assert_eq!(server.stats().violations, 1);
    assert_eq!(bystander.ask("echo", "1").await, json!([1]));
    drop(bystander);
    server.is_unharmed().await;
}

macro_rules! breaches {
    ($($name:ident: [$($message:expr),*] => $code:expr, $reason:literal;)*) => {$(
        #[tokio::test]
        async fn $name() {
            breach(vec![$(Sent::from($message)),*], $code, $reason).await;
        }
    )*};
}

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

breaches! {
    an_empty_engine_packet_is_a_parse_error: [""] => Some(1002), "parse error";
    an_unknown_engine_packet_is_a_parse_error: ["9"] => Some(1002), "parse error";
    an_open_packet_from_a_client_is_a_parse_error: ["0{}"] => Some(1002), "parse error";
    an_upgrade_packet_at_the_wrong_time_is_a_parse_error: ["5"] => Some(1002), "parse error";
    a_ping_from_a_client_is_a_transport_error: ["2"] => None, "transport error";
    broken_base64_is_a_parse_error: ["b!!!!"] => Some(1002), "parse error";
    huge_base64_without_an_announcement_is_a_parse_error:
        [format!("b{}", "A".repeat(900_000))] => Some(1002), "parse error";
    an_empty_packet_is_a_parse_error: ["4"] => Some(1002), "parse error";
    an_unknown_packet_is_a_parse_error: ["47"] => Some(1002), "parse error";
    a_packet_that_only_servers_send_is_a_parse_error:
        [r#"44{"message":"x"}"#] => Some(1002), "parse error";
    a_second_connect_to_a_namespace_closes: ["40"] => Some(1000), "forced server close";
    an_event_for_a_namespace_that_was_not_joined_closes:
        [r#"42/other,["x"]"#] => Some(1000), "forced server close";
    a_disconnect_of_a_namespace_that_was_not_joined_closes:
        ["41/other"] => Some(1000), "forced server close";
    a_namespace_name_of_almost_1_mb_is_a_parse_error:
        [format!("40/{}", "x".repeat(900_000))] => Some(1002), "parse error";
    an_auth_that_is_a_text_is_a_parse_error: [r#"40/a,"token""#] => Some(1002), "parse error";
    an_auth_that_is_an_array_is_a_parse_error: ["40/a,[1]"] => Some(1002), "parse error";
    an_auth_that_is_no_json_is_a_parse_error: ["40/a,{"] => Some(1002), "parse error";
    a_disconnect_with_a_payload_is_a_parse_error: ["41[]"] => Some(1002), "parse error";

    a_huge_ack_id_is_a_parse_error: [r#"42999999999999999999["echo"]"#] => Some(1002), "parse error";
    an_ack_id_above_2_to_53_is_a_parse_error:
        [r#"429007199254740992["echo"]"#] => Some(1002), "parse error";
    a_negative_ack_id_is_a_parse_error: [r#"42-1["echo"]"#] => Some(1002), "parse error";
    an_ack_without_an_id_is_a_parse_error: ["43[]"] => Some(1002), "parse error";
    an_ack_that_is_no_array_is_a_parse_error: ["431{}"] => Some(1002), "parse error";

    a_thousand_million_attachments_are_a_parse_error:
        [r#"451000000000-["echo"]"#] => Some(1002), "parse error";
    an_attachment_count_beyond_all_numbers_is_a_parse_error:
        [format!(r#"45{}-["echo"]"#, "9".repeat(100_000))] => Some(1002), "parse error";
    a_negative_attachment_count_is_a_parse_error: [r#"45-1-["echo"]"#] => Some(1002), "parse error";
    an_attachment_count_that_is_no_number_is_a_parse_error:
        [r#"451.5-["echo"]"#] => Some(1002), "parse error";
    one_attachment_more_than_allowed_is_a_parse_error:
        [r#"4511-["echo"]"#] => Some(1002), "parse error";
    an_attachment_that_nobody_announced_is_a_parse_error: [&b"x"[..]] => Some(1002), "parse error";
    a_text_in_the_middle_of_attachments_is_a_parse_error:
        [format!(r#"452-["echo",{PLACEHOLDER}]"#), &b"x"[..], r#"42["echo"]"#]
        => Some(1002), "parse error";
    attachments_larger_than_a_message_are_a_parse_error:
        [r#"453-["echo"]"#, &[0; 400_000][..], &[0; 400_000][..], &[0; 400_000][..]]
        => Some(1002), "parse error";
    a_negative_placeholder_is_a_parse_error:
        [r#"451-["echo",{"_placeholder":true,"num":-1}]"#, &b"x"[..]] => Some(1002), "parse error";
    a_placeholder_of_a_fraction_is_a_parse_error:
        [r#"451-["echo",{"_placeholder":true,"num":0.5}]"#, &b"x"[..]] => Some(1002), "parse error";
    a_placeholder_of_a_text_is_a_parse_error:
        [r#"451-["echo",{"_placeholder":true,"num":"splice"}]"#, &b"x"[..]]
        => Some(1002), "parse error";
    a_placeholder_beyond_the_attachments_is_a_parse_error:
        [r#"451-["echo",{"_placeholder":true,"num":1}]"#, &b"x"[..]] => Some(1002), "parse error";
    a_placeholder_without_a_number_is_a_parse_error:
        [r#"451-["echo",{"_placeholder":true}]"#, &b"x"[..]] => Some(1002), "parse error";
    a_placeholder_that_comes_twice_is_a_parse_error:
        [format!(r#"451-["echo",{PLACEHOLDER},{PLACEHOLDER}]"#), &b"x"[..]]
        => Some(1002), "parse error";

    json_of_10_000_levels_is_a_parse_error:
        [format!(r#"42["echo",{}{}]"#, "[".repeat(10_000), "]".repeat(10_000))]
        => Some(1002), "parse error";
    almost_1_mb_of_brackets_is_a_parse_error:
        [format!("42{}", "[".repeat(900_000))] => Some(1002), "parse error";
    almost_1_mb_of_braces_is_a_parse_error:
        [format!("40/x,{}", "{\"a\":".repeat(180_000))] => Some(1002), "parse error";
    broken_json_is_a_parse_error: [r#"42["echo",}"#] => Some(1002), "parse error";
    json_with_something_behind_it_is_a_parse_error: [r#"42["echo"]x"#] => Some(1002), "parse error";
    an_event_without_json_is_a_parse_error: ["42"] => Some(1002), "parse error";
    an_event_that_is_an_object_is_a_parse_error: [r#"42{"0":"echo"}"#] => Some(1002), "parse error";
    an_empty_event_is_a_parse_error: ["42[]"] => Some(1002), "parse error";
    an_event_named_null_is_a_parse_error: ["42[null]"] => Some(1002), "parse error";
    an_event_named_by_an_object_is_a_parse_error:
        [r#"42[{"toString":"echo"}]"#] => Some(1002), "parse error";
    an_event_name_of_half_a_surrogate_pair_is_a_parse_error:
        [r#"42["\ud800"]"#] => Some(1002), "parse error";
    an_event_name_of_1_kb_is_a_parse_error:
        [format!(r#"42["{}"]"#, "x".repeat(1_024))] => Some(1002), "parse error";
    an_event_named_connect_is_a_parse_error: [r#"42["connect"]"#] => Some(1002), "parse error";
    an_event_named_connect_error_is_a_parse_error:
        [r#"42["connect_error"]"#] => Some(1002), "parse error";
    an_event_named_disconnect_is_a_parse_error: [r#"42["disconnect"]"#] => Some(1002), "parse error";
    an_event_named_disconnecting_is_a_parse_error:
        [r#"42["disconnecting"]"#] => Some(1002), "parse error";
    an_event_named_new_listener_is_a_parse_error:
        [r#"42["newListener"]"#] => Some(1002), "parse error";
    an_event_named_remove_listener_is_a_parse_error:
        [r#"42["removeListener"]"#] => Some(1002), "parse error";
    a_reserved_name_in_escapes_is_a_parse_error:
        [r#"42["\u0064isconnect"]"#] => Some(1002), "parse error";
}

/// The same before any CONNECT.
async fn breach_before_connect(text: &str, code: Option<u16>) {
    let (server, _leaving) = watched().await;
    let mut ws = server.opened().await;
    ws.send_text(text).await;
    assert_eq!(ws.close_code().await, code);
    drop(ws);
    assert_eq!(server.stats().violations, 1);
    server.is_unharmed().await;
}

#[tokio::test]
async fn an_event_before_any_connect_closes() {
    breach_before_connect(r#"42["echo"]"#, Some(1000)).await;
}

#[tokio::test]
async fn an_ack_before_any_connect_closes() {
    breach_before_connect("431[]", Some(1000)).await;
}

#[tokio::test]
async fn a_connect_that_never_comes_closes_at_the_connect_timeout() {
    let io = Server::builder().connect_timeout(Duration::from_millis(100)).build();
    let (server, _leaving) = watch(io).await;
    let mut ws = server.opened().await;
    let poller = server.poller().await;
    assert_eq!(ws.close_code().await, Some(1000));
    assert_eq!(poller.get().await.text(), "1");
    drop(ws);
    until("counted", || server.stats().violations == 2).await;
    server.is_empty_again().await;
}

#[tokio::test]
async fn only_refused_connects_close_at_the_connect_timeout() {
    let io = Server::builder().connect_timeout(Duration::from_secs(10)).build();
    let (server, _leaving) = watch(io).await;
    let mut client = Client::open(server.address).await;
    let refused = client.join("/none", "").await;
    assert_eq!(refused, Err(json!({"message": "Invalid namespace"})));
    passes(Duration::from_secs(11)).await;
    assert_eq!(client.ws.close_code().await, Some(1000));
}

// Packets that look wrong and are not, or that hurt nobody but their sender.

#[tokio::test]
async fn odd_packets_that_break_no_rule_are_taken() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    // Numbers beyond all types, half a surrogate pair, keys of prototypes, keys that come twice.
    for data in [
        "1e999",
        "-0",
        "123456789012345678901234567890",
        r#""\ud800""#,
        r#"{"__proto__":{"a":1},"constructor":1}"#,
        r#"{"a":1,"a":2}"#,
        r#""\u0000""#,
        r#"{"_placeholder":true,"num":0}"#,
    ] {
        client.send(&format!(r#"21["echo",{data}]"#)).await;
        assert_eq!(client.ws.text().await, format!("431[{data}]"));
    }
    // An event with no attachments announced as one with some.
    client.send(r#"50-1["echo",5]"#).await;
    assert_eq!(client.ws.text().await, "431[5]");
    assert_eq!(client.ask("echo", "6").await, json!([6]));
    // A noop, and an event that nobody listens to; `error` is a name like any other.
    client.ws.send_text("6").await;
    client.emit("error", "1").await;
    client.send("2[7]").await;
    assert_eq!(client.ask("echo", "6").await, json!([6]));
    let stats = server.stats();
    assert_eq!((stats.violations, stats.events_unhandled), (0, 2));
}

#[tokio::test]
async fn a_namespace_with_a_query_is_another_namespace() {
    let (server, _leaving) = watched().await;
    server.of("/chat");
    let mut client = Client::open(server.address).await;
    let refused = client.join("/chat?a=1", "").await;
    assert_eq!(refused, Err(json!({"message": "Invalid namespace"})));
    assert!(client.join("/chat", "").await.is_ok());
}

#[tokio::test]
async fn acks_that_nobody_asked_for_are_counted_and_dropped() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    for id in ["0", "1", "2", "9007199254740991"] {
        client.send(&format!("3{id}[1]")).await;
    }
    assert_eq!(client.ask("echo", "6").await, json!([6]));
    assert_eq!(server.stats().acks_unmatched, 4);
}

#[tokio::test]
async fn a_second_answer_to_one_question_is_counted_and_dropped() {
    let (server, _leaving) = watched().await;
    server.on("ask", async |me: Socket| -> Option<u8> { me.call("q", ()).await.ok() });
    let mut client = server.client().await;
    client.send("27[\"ask\"]").await;
    let question = client.next().await;
    let id = question.ack.unwrap();
    client.send(&format!("3{id}[1]")).await;
    client.send(&format!("3{id}[2]")).await;
    assert_eq!(client.next().await.data, json!([1]));
    assert_eq!(client.ask("echo", "6").await, json!([6]));
    assert_eq!(server.stats().acks_unmatched, 1);
}

#[tokio::test]
async fn nobody_answers_a_question_to_somebody_else() {
    let (server, _leaving) = watched().await;
    let (mut asked, mut other) = (server.client().await, server.client().await);
    let mut answers = server.to(&asked.id).call::<_, _, u8>("q", ());
    let id = asked.next().await.ack.unwrap();
    other.send(&format!("3{id}[66]")).await;
    assert_eq!(other.ask("echo", "6").await, json!([6]));
    assert_eq!(server.stats().acks_unmatched, 1);
    asked.send(&format!("3{id}[1]")).await;
    let (who, answer) = within(answers.next()).await.unwrap();
    assert_eq!((who.unwrap().as_str(), answer.unwrap()), (asked.id.as_str(), 1));
    assert!(within(answers.next()).await.is_none());
}

#[tokio::test]
async fn attachments_that_never_come_end_the_connection_in_time() {
    let (server, mut leaving) = watched().await;
    let mut client = server.client().await;
    client.send(&format!(r#"52-["echo",{PLACEHOLDER}]"#)).await;
    client.ws.send_binary(b"one of two").await;
    client.ws.send_frame(Opcode::Ping, b"").await;
    assert_eq!(within(client.ws.next()).await, Some(Message::Pong(roomful::Bytes::new())));
    // The 30 s are not a setting.
    passes(Duration::from_secs(31)).await;
    assert_eq!(client.ws.close_code().await, Some(1002));
    drop(client);
    assert_eq!(within(leaving.recv()).await, Some("parse error"));
    assert_eq!(server.stats().violations, 1);
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed_in_time() {
    let (server, _leaving) = watched().await;
    let mut idle = Conn::open(server.address).await;
    let mut slow = Conn::open(server.address).await;
    slow.send("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nx: ").await;
    // Requests behind these show that they have been accepted.
    server.poller().await.post("1").await;
    // The 10 s are not a setting.
    passes(Duration::from_secs(11)).await;
    slow.ended().await;
    idle.ended().await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn connects_to_100_000_namespaces_are_each_refused_and_nothing_is_kept() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    for hundred in 0..1_000 {
        let mut bytes = Vec::new();
        for n in 0..100 {
            let text = format!("40/{hundred}-{n},");
            bytes.extend(frame_bytes(Opcode::Text, text.as_bytes()));
        }
        client.ws.conn.send(bytes).await;
        for n in 0..100 {
            let expected = format!(r#"44/{hundred}-{n},{{"message":"Invalid namespace"}}"#);
            assert_eq!(client.ws.text().await, expected);
        }
    }
    assert_eq!(server.stats().refused, 100_000);
    drop(client);
    server.is_unharmed().await;
}

#[tokio::test]
async fn one_namespace_more_than_a_connection_may_join_is_refused() {
    let io = Server::builder().namespaces_max(3).build();
    let (server, _leaving) = watch(io).await;
    for name in ["/a", "/b", "/c"] {
        server.of(name);
    }
    let mut client = server.client().await;
    assert!(client.join("/a", "").await.is_ok());
    assert!(client.join("/b", "").await.is_ok());
    let refused = client.join("/c", "").await.unwrap_err();
    assert_eq!(refused["message"], "too many namespaces on one connection");
    client.send("1/a").await;
    assert!(client.join("/c", "").await.is_ok());
}

#[tokio::test]
async fn more_events_than_may_wait_for_a_decision_close_the_connection() {
    let gate = Gate::new();
    let io = Server::new();
    let at = gate.clone();
    io.of("/slow").connect(move |_: roomful::Hello| {
        let passed = at.passed();
        async move {
            passed.await;
            Ok::<_, Refusal>(())
        }
    });
    let (server, _leaving) = watch(io).await;
    let mut ws = server.opened().await;
    ws.send_text("40/slow").await;
    for _ in 0..65 {
        ws.send_text(r#"42/slow,["echo"]"#).await;
    }
    assert_eq!(ws.close_code().await, Some(1002));
    drop(ws);
    assert_eq!(server.stats().violations, 1);
    // The gate is still closed: the decision is not waited for.
    server.is_unharmed().await;
}

// Floods.

#[tokio::test]
async fn a_message_that_never_ends_is_closed_at_the_limit() {
    let (server, mut leaving) = watched().await;
    let mut client = server.client().await;
    let mut bytes = odd_frame(0x01, b"4");
    bytes.extend(odd_frame(0x00, &[b'2'; 60_000]).repeat(20));
    client.ws.conn.send(bytes).await;
    assert_eq!(client.ws.close_code().await, Some(1009));
    drop(client);
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_message_in_fragments_of_one_byte_is_closed_at_the_limit() {
    let (server, mut leaving) = watched().await;
    let mut client = server.client().await;
    let mut bytes = odd_frame(0x01, b"4");
    bytes.extend(odd_frame(0x00, b"2").repeat(100_001));
    client.ws.conn.send(bytes).await;
    assert_eq!(client.ws.close_code().await, Some(1008));
    drop(client);
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    assert_eq!(server.stats().violations, 1);
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_message_in_a_few_fragments_of_one_byte_is_taken() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    let text = br#"421["echo","abc"]"#;
    let mut bytes = odd_frame(0x01, &text[..1]);
    for byte in &text[1..text.len() - 1] {
        bytes.extend(odd_frame(0x00, &[*byte]));
        bytes.extend(odd_frame(0x00, b""));
    }
    bytes.extend(odd_frame(0x80, b"]"));
    // Byte by byte, too.
    for byte in bytes {
        client.ws.conn.send([byte]).await;
    }
    assert_eq!(client.ws.text().await, r#"431["abc"]"#);
}

#[tokio::test]
async fn a_frame_that_is_announced_and_never_sent_costs_nothing() {
    let (server, mut leaving) = watched().await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = server.client().await;
        // 999,999 bytes are to follow.
        client.ws.conn.send([0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x3f, 0, 0, 0, 0, 1]).await;
        clients.push(client);
    }
    let mut bystander = server.client().await;
    assert_eq!(bystander.ask("echo", "1").await, json!([1]));
    for client in clients {
        client.ws.conn.reset();
        assert_eq!(within(leaving.recv()).await, Some("transport error"));
    }
    drop(bystander);
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_body_of_more_packets_than_allowed_is_400_and_ends_the_session() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    assert_eq!(poller.post(&"6\u{1e}".repeat(300_000)).await.status, 400);
    assert_eq!(within(leaving.recv()).await, Some("parse error"));
    assert_eq!(server.stats().violations, 1);
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_body_of_a_close_and_then_events_delivers_none_of_them() {
    let (sender, mut heard) = mpsc::unbounded_channel();
    let (server, mut leaving) = watched().await;
    server.on("heard", move |_: Socket| {
        sender.send(()).unwrap();
        async {}
    });
    let poller = server.poller().await;
    poller.join().await;
    assert_eq!(poller.post("1\u{1e}42[\"heard\"]").await.text(), "ok");
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
    assert!(heard.try_recv().is_err());
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_flood_of_events_is_handled_in_order_and_others_are_served_meanwhile() {
    const COUNT: usize = 200_000;
    let (server, _leaving) = watched().await;
    let next = Arc::new(AtomicUsize::new(0));
    let expected = Arc::clone(&next);
    server.on("n", move |_: Socket, n: usize| {
        // Out of order, it panics, and that is counted.
        let in_order = expected.fetch_add(1, Ordering::SeqCst) == n;
        assert!(in_order);
        async {}
    });
    let mut bystander = server.client().await;
    let client = server.client().await;
    let mut writer = client.ws.conn.writer();
    let flood = tokio::spawn(async move {
        for thousand in 0..COUNT / 1_000 {
            let mut bytes = Vec::new();
            for n in thousand * 1_000..(thousand + 1) * 1_000 {
                bytes.extend(frame_bytes(Opcode::Text, format!("42[\"n\",{n}]").as_bytes()));
            }
            writer.write_all(&bytes).await.unwrap();
        }
    });
    let mut rounds = 0;
    while next.load(Ordering::SeqCst) < COUNT {
        bystander.ask("echo", "1").await;
        rounds += 1;
    }
    within(flood).await.unwrap();
    assert!(rounds > 5, "only {rounds}");
    assert_eq!(server.stats().panics, 0);
    drop((client, bystander));
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_flood_of_preflights_opens_nothing() {
    let io = Server::builder().origins(roomful::Origins::Any).build();
    let (server, _leaving) = watch(io).await;
    let mut conn = Conn::open(server.address).await;
    let asks = "Origin: http://x\r\nAccess-Control-Request-Method: POST\r\n";
    let asked = head("OPTIONS", POLLING, asks);
    for _ in 0..20 {
        conn.send(asked.repeat(100)).await;
        for _ in 0..100 {
            assert_eq!(conn.response().await.status, 204);
        }
    }
    assert_eq!(server.stats().opened, 0);
    server.is_unharmed().await;
}

#[tokio::test]
async fn guessed_session_ids_are_refused_and_counted() {
    let (server, _leaving) = watched().await;
    let poller = server.poller().await;
    let mut conn = Conn::open(server.address).await;
    for n in 0..1_000 {
        let target = format!("{POLLING}&sid={n:020}");
        conn.send(head("GET", &target, "")).await;
        assert_eq!(conn.response().await.status, 400);
    }
    assert_eq!(server.stats().requests_refused, 1_000);
    poller.join().await;
}

#[tokio::test]
async fn polls_that_are_given_up_leave_no_session() {
    let (server, _leaving) = watched().await;
    for _ in 0..200 {
        let poller = server.poller().await;
        poller.join().await;
        drop(poller.pending().await);
    }
    server.is_unharmed().await;
}

#[tokio::test]
async fn sessions_that_nobody_polls_end_by_the_heartbeat() {
    let io = Server::builder()
        .ping_interval(Duration::from_millis(50))
        .ping_timeout(Duration::from_millis(50))
        .build();
    let (server, _leaving) = watch(io).await;
    for _ in 0..200 {
        server.poller().await;
    }
    server.is_empty_again().await;
    assert_eq!(server.stats().ping_timeouts, 200);
}

// Handlers and connect functions.

#[tokio::test]
async fn a_handler_that_panics_costs_its_socket_and_nothing_else() {
    let (server, mut leaving) = watched().await;
    let chat = server.of("/chat");
    chat.on("echo", async |_: Socket, args: Args| args);
    server.on("now", |_: Socket| -> std::future::Ready<()> { panic!("on purpose") });
    server.on("later", async |_: Socket| -> () {
        tokio::task::yield_now().await;
        panic!("on purpose")
    });
    server.on("answer", async |_: Socket| Panics);
    let mut bystander = server.client().await;
    for (n, event) in ["now", "later", "answer"].into_iter().enumerate() {
        let mut client = server.client().await;
        client.join("/chat", "").await.unwrap();
        let answer = client.ask(event, "").await;
        assert_eq!(answer[0]["error"]["code"], "internal_error");
        let left = client.next().await;
        assert_eq!((left.kind, left.namespace.as_str()), (1, "/"));
        let reason = within(leaving.recv()).await;
        assert_eq!(reason, Some("server namespace disconnect"));
        // The same connection, in its other namespace.
        client.send(r#"2/chat,8["echo",1]"#).await;
        assert_eq!(client.next().await.data, json!([1]));
        // And it may come back.
        client.join("/", "").await.unwrap();
        assert_eq!(client.ask("echo", "1").await, json!([1]));
        assert_eq!(server.stats().panics, n as u64 + 1);
        client.ws.close().await;
        assert_eq!(within(leaving.recv()).await, Some("transport close"));
    }
    assert_eq!(bystander.ask("echo", "1").await, json!([1]));
    drop(bystander);
    server.is_unharmed().await;
}

/// Writing it panics.
struct Panics;

impl serde::Serialize for Panics {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_greeting_or_a_farewell_that_panics_costs_its_socket_and_nothing_else() {
    let (server, _leaving) = watched().await;
    let chat = server.of("/chat");
    chat.on_connect(async |_: Socket| panic!("on purpose"));
    chat.on_disconnect(async |_: Socket, _| panic!("on purpose"));
    let mut client = server.client().await;
    assert!(client.join("/chat", "").await.is_ok());
    let left = client.next().await;
    assert_eq!((left.kind, left.namespace.as_str()), (1, "/chat"));
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    assert_eq!(server.stats().panics, 2);
    assert!(chat.is_empty());
    drop(client);
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_connect_function_that_panics_refuses_and_is_counted() {
    let (server, _leaving) = watched().await;
    server.of("/now").connect(|_: roomful::Hello| -> std::future::Ready<Result<(), Refusal>> {
        panic!("on purpose")
    });
    server.of("/later").connect(async |_: roomful::Hello| -> Result<(), Refusal> {
        tokio::task::yield_now().await;
        panic!("on purpose")
    });
    let mut client = server.client().await;
    for (n, name) in ["/now", "/later"].into_iter().enumerate() {
        let refused = client.join(name, "").await;
        assert_eq!(refused, Err(json!({"message": "Internal error"})));
        assert_eq!(server.stats().panics, n as u64 + 1);
    }
    assert_eq!(client.ask("echo", "1").await, json!([1]));
}

#[tokio::test]
async fn a_connect_function_that_never_ends_is_dropped_with_its_client() {
    let alive = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&alive);
    let (server, _leaving) = watched().await;
    server.of("/never").connect(move |_: roomful::Hello| {
        let alive = Alive::new(&counted);
        async move {
            std::future::pending::<()>().await;
            drop(alive);
            Ok::<_, Refusal>(())
        }
    });
    // By leaving the namespace, by closing, by a reset, and on polling.
    let mut client = server.client().await;
    client.send("0/never").await;
    client.send("1/never").await;
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    until("dropped", || alive.load(Ordering::SeqCst) == 0).await;
    client.send("0/never").await;
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    client.ws.close().await;
    let mut client = server.client().await;
    client.send("0/never").await;
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    client.ws.conn.reset();
    let poller = server.poller().await;
    poller.post("40/never").await;
    poller.post("1").await;
    until("dropped", || alive.load(Ordering::SeqCst) == 0).await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_client_that_comes_and_leaves_without_end_is_slowed_down() {
    let alive = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let gate = Gate::new();
    let (server, _leaving) = watched().await;
    let slow = server.of("/slow");
    let (counted, highest, at) = (Arc::clone(&alive), Arc::clone(&most), gate.clone());
    slow.on_connect(move |_: Socket| {
        let alive = Alive::new(&counted);
        highest.fetch_max(counted.load(Ordering::SeqCst), Ordering::SeqCst);
        let passed = at.passed();
        async move {
            passed.await;
            drop(alive);
        }
    });
    let mut bystander = server.client().await;
    let client = server.client().await;
    let mut writer = client.ws.conn.writer();
    let flood = tokio::spawn(async move {
        let mut bytes = frame_bytes(Opcode::Text, b"40/slow");
        bytes.extend(frame_bytes(Opcode::Text, b"41/slow"));
        let bytes = bytes.repeat(1_000);
        while writer.write_all(&bytes).await.is_ok() {}
    });
    let_it_work(&mut bystander).await;
    let_it_work(&mut bystander).await;
    let most = most.load(Ordering::SeqCst);
    assert!(most < 20_000, "{most} greetings at once");
    client.ws.conn.reset();
    gate.open();
    flood.abort();
    drop(flood.await);
    until("ended", || alive.load(Ordering::SeqCst) == 0).await;
    drop(bystander);
    server.is_unharmed().await;
}

/// A server of which two handlers at a time may wait at a gate.
async fn gated() -> (Running, Leaving, Gate, Arc<AtomicUsize>) {
    let gate = Gate::new();
    let started = Arc::new(AtomicUsize::new(0));
    let io = Server::builder().connection_flow(ConnectionFlow::new().handlers_max(2)).build();
    let (at, count) = (gate.clone(), Arc::clone(&started));
    io.on("wait", move |_: Socket, n: usize, _: Option<String>| {
        assert_eq!(count.fetch_add(1, Ordering::SeqCst), n, "in order");
        let passed = at.passed();
        async move {
            passed.await;
            n
        }
    });
    let (server, leaving) = watch(io).await;
    (server, leaving, gate, started)
}

#[tokio::test]
async fn events_beyond_the_handlers_that_may_wait_start_later_and_in_order() {
    let (server, _leaving, gate, started) = gated().await;
    let mut client = server.client().await;
    for n in 0..100 {
        client.send(&format!("2{n}[\"wait\",{n}]")).await;
    }
    client.ws.send_frame(Opcode::Ping, b"").await;
    assert!(matches!(within(client.ws.next()).await, Some(Message::Pong(_))));
    assert_eq!(started.load(Ordering::SeqCst), 2);
    gate.open();
    let mut answered = Vec::new();
    for _ in 0..100 {
        answered.push(client.next().await.ack.unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..100).collect::<Vec<_>>());
    assert_eq!(server.stats().panics, 0);
}

#[tokio::test]
async fn when_too_much_waits_for_handlers_nothing_more_is_read() {
    const EVENTS: usize = 1_000;
    let (server, _leaving, gate, started) = gated().await;
    let mut bystander = server.client().await;
    let client = server.client().await;
    let mut writer = client.ws.conn.writer();
    let flood = tokio::spawn(async move {
        // 64 MB, far more than the kernel holds.
        let blob = "x".repeat(64_000);
        for n in 0..EVENTS {
            let text = format!("42[\"wait\",{n},\"{blob}\"]");
            let bytes = frame_bytes(Opcode::Text, text.as_bytes());
            writer.write_all(&bytes).await.unwrap();
        }
    });
    let_it_work(&mut bystander).await;
    assert_eq!(started.load(Ordering::SeqCst), 2);
    assert!(!flood.is_finished(), "64 MB were read into memory");
    gate.open();
    until("all are handled", || started.load(Ordering::SeqCst) == EVENTS).await;
    within(flood).await.unwrap();
    assert_eq!(server.stats().panics, 0);
}

#[tokio::test]
async fn large_events_whose_handlers_wait_are_limited_in_size() {
    const EVENTS: usize = 40;
    let gate = Gate::new();
    let started = Arc::new(AtomicUsize::new(0));
    let io = Server::new();
    let (at, count) = (gate.clone(), Arc::clone(&started));
    io.on("wait", move |_: Socket, blob: String| {
        count.fetch_add(1, Ordering::SeqCst);
        let passed = at.passed();
        async move {
            passed.await;
            blob.len()
        }
    });
    let (server, _leaving) = watch(io).await;
    let mut bystander = server.client().await;
    let client = server.client().await;
    let mut writer = client.ws.conn.writer();
    let flood = tokio::spawn(async move {
        // 36 MB, far more than the kernel holds; 1,024 handlers may wait, and 4 MiB of events.
        let text = format!("42[\"wait\",\"{}\"]", "x".repeat(900_000));
        let bytes = frame_bytes(Opcode::Text, text.as_bytes());
        for _ in 0..EVENTS {
            writer.write_all(&bytes).await.unwrap();
        }
    });
    until("some wait", || started.load(Ordering::SeqCst) >= 5).await;
    let_it_work(&mut bystander).await;
    assert_eq!(started.load(Ordering::SeqCst), 5);
    assert!(!flood.is_finished(), "36 MB were read into memory");
    gate.open();
    until("all are handled", || started.load(Ordering::SeqCst) == EVENTS).await;
    within(flood).await.unwrap();
}

#[tokio::test]
async fn acks_arrive_though_all_handlers_wait_for_them() {
    let io = Server::builder().connection_flow(ConnectionFlow::new().handlers_max(2)).build();
    let (server, _leaving) = watch(io).await;
    server.on("ask", async |me: Socket, n: u32| -> Option<u32> { me.call("q", n).await.ok() });
    let mut client = server.client().await;
    for n in 0..100 {
        client.send(&format!("2{n}[\"ask\",{n}]")).await;
    }
    let mut answered = 0;
    while answered < 100 {
        let packet = client.next().await;
        if packet.kind == 2 {
            let n = packet.data[1].as_u64().unwrap();
            let id = packet.ack.unwrap();
            client.send(&format!("3{id}[{}]", n * 2)).await;
        } else {
            let n = packet.ack.unwrap();
            assert_eq!(packet.data, json!([n * 2]));
            answered += 1;
        }
    }
}

#[tokio::test]
async fn no_event_is_handled_after_its_socket_has_left() {
    let (server, mut leaving, gate, started) = gated().await;
    let mut client = server.client().await;
    for n in 0..100 {
        client.emit("wait", &n.to_string()).await;
    }
    client.send("1").await;
    let reason = within(leaving.recv()).await;
    assert_eq!(reason, Some("client namespace disconnect"));
    gate.open();
    client.join("/", "").await.unwrap();
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    assert_eq!(started.load(Ordering::SeqCst), 2);
    drop(client);
    server.is_unharmed().await;
}

#[tokio::test]
async fn an_event_behind_the_answer_at_which_a_handler_panics_is_not_handled() {
    let (sender, mut heard) = mpsc::unbounded_channel();
    let (server, mut leaving) = watched().await;
    server.on("ask", async |me: Socket| -> () {
        let _: Value = me.call("q", ()).await.unwrap();
        panic!("on purpose");
    });
    server.on("heard", move |_: Socket| {
        sender.send(()).unwrap();
        async {}
    });
    let mut client = server.client().await;
    client.emit("ask", "").await;
    let id = client.next().await.ack.unwrap();
    let answer = format!("43{id}[1]");
    let mut bytes = frame_bytes(Opcode::Text, answer.as_bytes());
    bytes.extend(frame_bytes(Opcode::Text, b"42[\"heard\"]"));
    client.ws.conn.send(bytes).await;
    assert_eq!(client.next().await.kind, 1);
    let reason = within(leaving.recv()).await;
    assert_eq!(reason, Some("server namespace disconnect"));
    client.join("/", "").await.unwrap();
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_body_that_waits_for_handlers_and_is_given_up_ends_the_session() {
    let (server, mut leaving, gate, _started) = gated().await;
    let poller = server.poller().await;
    poller.join().await;
    let blob = "x".repeat(1_000);
    let body = |from: usize| {
        let event = |n| format!("42[\"wait\",{n},\"{blob}\"]");
        let events: Vec<_> = (from..from + 800).map(event).collect();
        events.join("\u{1e}")
    };
    for nth in 0..5 {
        assert_eq!(poller.post(&body(nth * 800)).await.text(), "ok");
    }
    // This one finds too much waiting. Could it be given up and sent again, bodies would pile up.
    let mut conn = Conn::open(server.address).await;
    conn.send(post(&poller.target(), &body(5 * 800))).await;
    drop(conn);
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    gate.open();
    server.is_unharmed().await;
}

// Peers that do not read.

#[tokio::test]
async fn a_peer_that_does_not_read_a_broadcast_is_dropped_and_the_others_get_all_in_order() {
    const MEMBERS: usize = 4;
    let io = Server::builder().outbox_bytes_max(2_000_000).build();
    io.on_connect(async |me: Socket| {
        me.join("room");
    });
    let (server, mut leaving) = watch(io).await;
    let deaf = server.client().await;
    let mut readers = Vec::new();
    for _ in 0..MEMBERS {
        readers.push(server.client().await);
    }
    let blob = "x".repeat(100_000);
    for ten in 0..40 {
        for n in ten * 10..(ten + 1) * 10 {
            server.to("room").emit("n", (n, &blob));
        }
        for reader in &mut readers {
            for n in ten * 10..(ten + 1) * 10 {
                let event = reader.event().await;
                assert_eq!((&event[0], &event[1]), (&json!("n"), &json!(n)));
                assert_eq!(event[2].as_str().map(str::len), Some(blob.len()));
            }
        }
    }
    assert_eq!(within(leaving.recv()).await, Some("forced server close"));
    assert_eq!(server.stats().slow_peers, 1);
    assert_eq!(server.to("room").local_ids().len(), MEMBERS);
    until("gone", || server.stats().connections == MEMBERS as u64).await;
    drop((deaf, readers));
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_polling_client_that_does_not_poll_is_dropped() {
    let io = Server::builder().outbox_bytes_max(100_000).build();
    let (server, mut leaving) = watch(io).await;
    let poller = server.poller().await;
    poller.join().await;
    let blob = "x".repeat(30_000);
    for _ in 0..4 {
        server.emit("blob", &blob);
    }
    assert_eq!(within(leaving.recv()).await, Some("forced server close"));
    assert_eq!(server.stats().slow_peers, 1);
    assert_eq!(poller.get().await.status, 400);
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_client_that_reads_none_of_the_answers_it_causes_is_not_read_from() {
    const EVENTS: usize = 600;
    let io = Server::builder().outbox_bytes_max(4_000_000).build();
    let (server, _leaving) = watch(io).await;
    let mut bystander = server.client().await;
    let mut client = server.client().await;
    let mut writer = client.ws.conn.writer();
    let blob = "x".repeat(60_000);
    let text = blob.clone();
    let sending = tokio::spawn(async move {
        for n in 0..EVENTS {
            let text = format!("42{n}[\"echo\",\"{text}\"]");
            let bytes = frame_bytes(Opcode::Text, text.as_bytes());
            writer.write_all(&bytes).await.unwrap();
        }
    });
    let_it_work(&mut bystander).await;
    assert!(!sending.is_finished());
    assert_eq!(server.stats().slow_peers, 0);
    // Now it reads, and everything goes on at once, though nothing but its own reading says so.
    for n in 0..EVENTS {
        let answer = client.next().await;
        assert_eq!(answer.ack, Some(n as u64));
        assert_eq!(answer.data[0].as_str().map(str::len), Some(blob.len()));
    }
    within(sending).await.unwrap();
    drop((client, bystander));
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_does_not_outlive_its_heartbeat() {
    let io = Server::builder()
        .ping_interval(Duration::from_millis(100))
        .ping_timeout(Duration::from_millis(100))
        .close_timeout(Duration::from_millis(100))
        .outbox_bytes_max(100_000_000)
        .build();
    let (server, mut leaving) = watch(io).await;
    let deaf = server.client().await;
    let blob = "x".repeat(1_000_000);
    for _ in 0..40 {
        server.emit("blob", &blob);
    }
    assert_eq!(within(leaving.recv()).await, Some("ping timeout"));
    server.is_empty_again().await;
    drop(deaf);
}

// Coming and going.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storms_of_connections_leave_no_ghost_in_a_room() {
    const CLIENTS: usize = 2_000;
    let io = Server::new();
    io.on_connect(async |me: Socket| {
        me.join("all");
        me.join(format!("own-{}", me.id()));
        tokio::task::yield_now().await;
        // Perhaps it has gone already.
        me.join("late");
        me.to("all").emit("hi", ());
    });
    let (server, _leaving) = watch(io).await;
    let address = server.address;
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        if clients.len() >= 50 {
            clients.join_next().await.unwrap().unwrap();
        }
        clients.spawn(async move {
            match n % 5 {
                0 => drop(Client::open(address).await),
                1 => {
                    let mut client = Client::open(address).await;
                    client.send("0").await;
                    client.ws.conn.reset();
                }
                2 => {
                    let mut client = Client::open(address).await;
                    client.send("0").await;
                    client.send("1").await;
                    client.send("0").await;
                    client.ws.text().await;
                }
                3 => {
                    let poller = Poller::open(address).await;
                    poller.post("40").await;
                    // It may find something to take along, and then it is not given up.
                    drop(poller.pending().await);
                    poller.post("1").await;
                }
                _ => {
                    let mut client = Client::open(address).await;
                    client.send("0").await;
                    client.ws.send_frame(Opcode::Close, &[]).await;
                    client.ws.ended().await;
                }
            }
        });
    }
    while let Some(done) = within(clients.join_next()).await {
        done.unwrap();
    }
    server.is_empty_again().await;
    for room in ["all", "late"] {
        assert_eq!(server.to(room).local_ids(), [], "{room}");
    }
    let stats = server.stats();
    assert_eq!((stats.opened, stats.panics), (CLIENTS as u64, 0));
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_server_closes_with_clients_in_every_state() {
    let io = Server::builder().close_timeout(Duration::from_millis(200)).build();
    let never = io.of("/never");
    never
        .connect(async |_: roomful::Hello| -> Result<(), Refusal> { std::future::pending().await });
    io.on("ask", async |me: Socket| -> bool { me.call::<_, _, u8>("q", ()).await.is_ok() });
    let (server, _leaving) = watch(io).await;
    let address = server.address;
    // Before and in a request.
    let nothing = Conn::open(address).await;
    let mut half = Conn::open(address).await;
    half.send(&upgrade_head(WEBSOCKET)[..50]).await;
    // Polling: opened, joined, with a poll, in a body, upgrading, probed.
    let opened = server.poller().await;
    let joined = server.poller().await;
    joined.join().await;
    let polled = server.poller().await;
    polled.join().await;
    let mut pending = polled.pending().await;
    let posting = server.poller().await;
    let mut body = Conn::open(address).await;
    let headers = "Content-Length: 100\r\n";
    body.send(head("POST", &posting.target(), headers) + "40").await;
    let upgrading = server.poller().await;
    let mut probe = Ws::upgrade(address, &upgrading.upgrade_target()).await;
    let probed = server.poller().await;
    let mut probing = Ws::upgrade(address, &probed.upgrade_target()).await;
    probing.send_text("2probe").await;
    assert_eq!(probing.text().await, "3probe");
    // WebSocket: opened, joined, deciding, in a handler, in a frame, deaf.
    let mut silent = server.opened().await;
    let mut client = server.client().await;
    let mut deciding = server.opened().await;
    deciding.send_text("40/never").await;
    let mut asking = server.client().await;
    asking.send("27[\"ask\"]").await;
    let question = asking.next().await;
    assert!(question.ack.is_some());
    let mut inside = server.client().await;
    inside.ws.conn.send([0x81]).await;
    let deaf = server.client().await;
    within(server.close()).await;
    assert_eq!(server.stats().connections, 0);
    assert!(server.is_empty());
    assert_eq!(silent.close_code().await, Some(1001));
    assert_eq!(client.ws.close_code().await, Some(1001));
    assert_eq!(deciding.close_code().await, Some(1001));
    assert_eq!(inside.ws.close_code().await, Some(1001));
    let polled = pending.try_response().await.unwrap();
    assert!(matches!(polled.text(), "1" | ""), "{polled:?}");
    probe.ended().await;
    probing.ended().await;
    within(server.serving).await.unwrap();
    drop((nothing, half, opened, body, deaf));
    let stats = server.io.stats();
    assert_eq!(stats.opened, stats.closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_while_the_server_closes_are_closed_too() {
    for _ in 0..20 {
        let io = Server::builder().close_timeout(Duration::from_secs(3_600)).build();
        let (server, _leaving) = watch(io).await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut coming = JoinSet::new();
        for _ in 0..4 {
            let (address, stop) = (server.address, Arc::clone(&stop));
            coming.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let Ok(stream) = tokio::net::TcpStream::connect(address).await else {
                        return;
                    };
                    let mut conn = Conn { stream, input: Vec::new() };
                    conn.send(upgrade_head(WEBSOCKET)).await;
                    match conn.try_response().await {
                        Some(response) if response.status == 101 => {}
                        _ => return,
                    }
                    let mut ws = Ws::over(conn);
                    // Whoever was let in is told to go, and then goes.
                    let Some(Message::Text(_)) = ws.next().await else {
                        return;
                    };
                    if stop.load(Ordering::SeqCst) {
                        assert_eq!(ws.close_code().await, Some(1001));
                    }
                    ws.send_frame(Opcode::Close, &[]).await;
                    ws.ended().await;
                }
            });
        }
        until("some came", || server.stats().opened > 20).await;
        stop.store(true, Ordering::SeqCst);
        within(server.close()).await;
        assert_eq!(server.stats().connections, 0);
        // One that was accepted and not yet asked anything.
        coming.abort_all();
        while let Some(done) = coming.join_next().await {
            assert!(!done.is_err_and(|error| error.is_panic()));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_still_serves_those_who_are_there() {
    let (server, mut leaving) = watched().await;
    let mut client = server.client().await;
    let Running { io, serving, address, .. } = server;
    let socket = io.socket(io.everyone().local_ids()[0]).unwrap();
    serving.abort();
    drop(serving.await);
    drop(io);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert_eq!(client.ask("echo", "1").await, json!([1]));
    socket.emit("still", 1);
    assert_eq!(client.event().await, json!(["still", 1]));
    drop(client);
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
    // The handle outlives all of it.
    socket.emit("gone", ());
    assert!(!socket.is_connected() && !socket.join("room") && socket.rooms().is_empty());
    assert!(matches!(socket.call::<_, _, Value>("q", ()).await, Err(roomful::CallError::Gone)));
}

#[test]
fn a_runtime_that_ends_leaves_no_ghost() {
    let io = Server::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(async {
        let server = start(io.clone()).await;
        let clients = [server.client().await, server.client().await];
        assert_eq!(server.len(), 2);
        clients
    });
    drop(runtime);
    assert_eq!((io.len(), io.stats().connections), (0, 0));
    drop(clients);
}
