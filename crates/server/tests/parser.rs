//! Servers whose packets are not text in the default encoding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use roomful::parser::{AckId, Data, Limits, Parser, Plain, Violation, Whole};
use roomful::{Args, Bytes, CallError, EmitError, MsgPack, Refusal, Server, Socket, SocketId};
use roomful_proto::ws::Message;
use serde_json::{Value, json};
use support::*;

/// Packets as `[type, namespace, ack id, payload, bytes]`. It panics where it finds that word.
#[derive(Debug, Default)]
struct Arrays {
    encoded: Arc<AtomicUsize>,
}

type Array = (u8, String, Option<u64>, Option<Value>, Vec<Vec<u8>>);

impl Parser for Arrays {
    fn decode(&self, message: Data, _: &Limits) -> Result<Whole, Violation> {
        let Data::Text(text) = message else {
            return Err(Violation::Malformed);
        };
        assert!(!text.ends_with(b"panic"), "as it was told to");
        let (number, namespace, ack, payload, bytes): Array =
            serde_json::from_slice(&text).map_err(|_| Violation::Malformed)?;
        let mut whole = Whole::new(number, &namespace, ack.and_then(AckId::new))?;
        if let Some(payload) = payload {
            serde_json::to_writer(whole.json(), &payload).unwrap();
        }
        whole.attachments().extend(bytes.into_iter().map(Bytes::from));
        Ok(whole)
    }

    fn encode(&self, packet: &Plain<'_>) -> Data {
        self.encoded.fetch_add(1, Ordering::Relaxed);
        let payload = packet.json().map(|json| serde_json::from_str::<Value>(json).unwrap());
        assert!(
            !payload.as_ref().is_some_and(|json| json.to_string().contains("panic")),
            "so told"
        );
        let ack = packet.ack().map(AckId::get);
        let (number, attachments) = (packet.number(), packet.attachments());
        let array = json!([number, packet.namespace(), ack, payload, attachments]);
        Data::Text(array.to_string().into())
    }
}

fn placeholder(number: usize) -> Value {
    json!({ "_placeholder": true, "num": number })
}

async fn send(client: &mut Ws, packet: Value) {
    client.send_text(&format!("4{packet}")).await;
}

/// The next packet of the server.
async fn packet(client: &mut Ws) -> Value {
    let text = client.text().await;
    serde_json::from_str(text.strip_prefix('4').unwrap()).unwrap()
}

/// A client of arrays in `/`, and its id.
async fn join(server: &Running) -> (Ws, SocketId) {
    let mut client = server.opened().await;
    send(&mut client, json!([0, "/", null, null, []])).await;
    let joined = packet(&mut client).await;
    assert_eq!((&joined[0], &joined[1]), (&json!(0), &json!("/")), "{joined}");
    let id = SocketId::parse(joined[3]["sid"].as_str().unwrap()).unwrap();
    (client, id)
}

/// Whatever was sent to the client before this has arrived, and there was nothing.
async fn hears_nothing(client: &mut Ws) {
    send(client, json!([2, "/", 99, ["echo", 0], []])).await;
    assert_eq!(packet(client).await, json!([3, "/", 99, [0], []]));
}

async fn server() -> (Running, Arc<AtomicUsize>) {
    let encoded = Arc::default();
    let io = Server::builder().parser(Arrays { encoded: Arc::clone(&encoded) }).build();
    io.on("echo", async |_: Socket, args: Args| args);
    io.of("/never")
        .connect(async |_| Err::<(), _>(Refusal::new("no").data(1)))
        .on("echo", async |_: Socket, args: Args| args);
    (start(io).await, encoded)
}

#[tokio::test]
async fn every_packet_goes_through_the_parser() {
    let (server, _) = server().await;
    let (mut client, id) = join(&server).await;
    send(&mut client, json!([2, "/", 7, ["echo", "x", placeholder(0)], [[1, 2]]])).await;
    assert_eq!(packet(&mut client).await, json!([3, "/", 7, ["x", placeholder(0)], [[1, 2]]]));
    send(&mut client, json!([0, "/never", null, {}, []])).await;
    let refusal = json!({ "message": "no", "data": 1 });
    assert_eq!(packet(&mut client).await, json!([4, "/never", null, refusal, []]));

    let me = server.socket(id).unwrap();
    me.emit("one", Bytes::from_static(b"b"));
    assert_eq!(packet(&mut client).await, json!([2, "/", null, ["one", placeholder(0)], [[98]]]));
    server.emit("all", ());
    assert_eq!(packet(&mut client).await, json!([2, "/", null, ["all"], []]));
    let asked = me.call::<_, _, u8>("ask", ());
    let question = packet(&mut client).await;
    assert_eq!(question[3], json!(["ask"]));
    send(&mut client, json!([3, "/", question[2], [5], []])).await;
    assert_eq!(within(asked.into_future()).await.unwrap(), 5);

    me.disconnect();
    assert_eq!(packet(&mut client).await, json!([1, "/", null, null, []]));
}

#[tokio::test]
async fn an_event_to_many_is_written_once() {
    let (server, encoded) = server().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(join(&server).await.0);
    }
    let before = encoded.load(Ordering::Relaxed);
    assert_eq!(server.everyone().try_emit("all", 1).unwrap().local, 5);
    assert_eq!(encoded.load(Ordering::Relaxed) - before, 1);
    for client in &mut clients {
        assert_eq!(packet(client).await, json!([2, "/", null, ["all", 1], []]));
    }
}

#[tokio::test]
async fn a_parser_that_panics_costs_the_packet_or_the_client_that_sent_it() {
    let (server, _) = server().await;
    let (mut member, id) = join(&server).await;
    for text in ["4panic", "4nonsense", "4[9,\"/\",null,null,[]]"] {
        let (mut client, _) = join(&server).await;
        client.send_text(text).await;
        client.close_code().await;
    }
    assert_eq!((server.stats().panics, server.stats().violations), (1, 3));

    let me = server.socket(id).unwrap();
    assert!(matches!(server.everyone().try_emit("panic", ()), Err(EmitError::Encode(_))));
    assert!(matches!(me.try_emit("panic", ()), Err(EmitError::Encode(_))));
    let unasked = within(me.call::<_, _, u8>("panic", ()).into_future()).await;
    assert!(matches!(unasked, Err(CallError::Encode(_))));
    send(&mut member, json!([2, "/", 1, ["echo", "panic"], []])).await;
    hears_nothing(&mut member).await;
    assert_eq!(server.stats().encode_failures, 3 + 1);
}

#[tokio::test]
async fn msgpack_is_one_binary_message_for_each_packet() {
    let io = Server::builder().parser(MsgPack).build();
    io.on("echo", async |_: Socket, args: Args| args);
    let server = start(io).await;
    let mut client = server.opened().await;
    client.send_binary(b"\x82\xa4type\x00\xa3nsp\xa1/").await;
    let Some(Message::Binary(joined)) = client.next().await else {
        panic!("no binary message");
    };
    assert!(joined.starts_with(b"\x83\xa4type\x00\xa4data\x81\xa3sid\xb4"));
    client
        .send_binary(b"\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x05\xa4data\x92\xa4echo\xc4\x01b")
        .await;
    let answer = b"\x84\xa4type\x03\xa4data\x91\xc4\x01b\xa2id\x05\xa3nsp\xa1/";
    assert_eq!(client.next().await, Some(Message::Binary(Bytes::from_static(answer))));
    client.send_text("42[\"echo\"]").await;
    client.close_code().await;
    drop(client);
    server.is_empty_again().await;
    assert_eq!(server.stats().violations, 1);
}
