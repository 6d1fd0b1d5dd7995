//! The wire of `@socket.io/cluster-engine`, to the byte, and what becomes of bytes that nobody meant.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use bytes::Bytes;
use proptest::prelude::*;
use roomful_proto::SessionId;
use roomful_proto::cluster::Malformed;
use roomful_proto::cluster::sessions::{Body, Carried, Message, NodeId, Want, decode, encode};
use roomful_proto::engine::{Data, Packet};

const MAX: usize = 1_000_000;

fn sid() -> SessionId {
    SessionId::parse("AAAAAAAAAAAAAAAAAAAA").unwrap()
}

fn guest() -> NodeId {
    NodeId::parse("a1b2c3").unwrap()
}

fn owner() -> NodeId {
    NodeId::parse("d4e5f6").unwrap()
}

fn to_all(body: Body) -> Message {
    Message { from: guest(), to: None, body }
}

fn to_owner(body: Body) -> Message {
    Message { from: guest(), to: Some(owner()), body }
}

fn to_guest(body: Body) -> Message {
    Message { from: owner(), to: Some(guest()), body }
}

fn text(text: &'static str) -> Carried {
    Carried::message(Data::Text(Bytes::from_static(text.as_bytes())))
}

fn lock(request: u64, want: Want) -> Message {
    to_all(Body::Lock { request, session: sid(), want })
}

/// What `encode` of `@msgpack/msgpack` 3.1 makes of the objects of the official engine, and what they say.
fn vectors() -> Vec<(&'static str, Message)> {
    let session = sid();
    vec![
        (
            "85a972657175657374496401a873656e6465724964a6613162326333a47479706500a46461746183a3736964b44141414141414141414141414141414141414141ad7472616e73706f72744e616d65a7706f6c6c696e67a474797065a472656164a75f736f75726365a45f65696f",
            lock(1, Want::Read),
        ),
        (
            "85a9726571756573744964ccc8a873656e6465724964a6613162326333a47479706500a46461746183a3736964b44141414141414141414141414141414141414141ad7472616e73706f72744e616d65a7706f6c6c696e67a474797065a57772697465a75f736f75726365a45f65696f",
            lock(200, Want::Write),
        ),
        (
            "85a9726571756573744964ce00011170a873656e6465724964a6613162326333a47479706500a46461746183a3736964b44141414141414141414141414141414141414141ad7472616e73706f72744e616d65a9776562736f636b6574a474797065a472656164a75f736f75726365a45f65696f",
            lock(70_000, Want::Stream),
        ),
        (
            "86a972657175657374496401a873656e6465724964a6643465356636ab726563697069656e744964a6613162326333a47479706501a46461746181a773756363657373c3a75f736f75726365a45f65696f",
            to_guest(Body::LockAnswer { request: 1, granted: true }),
        ),
        (
            "85a873656e6465724964a6613162326333ab726563697069656e744964a6643465356636a47479706503a46461746182a3736964b44141414141414141414141414141414141414141a67061636b657482a474797065a76d657373616765a464617461a130a75f736f75726365a45f65696f",
            to_owner(Body::Packet { session, packet: text("0") }),
        ),
        (
            "85a873656e6465724964a6613162326333ab726563697069656e744964a6643465356636a47479706503a46461746182a3736964b44141414141414141414141414141414141414141a67061636b657482a474797065a56572726f72a464617461ac706172736572206572726f72a75f736f75726365a45f65696f",
            to_owner(Body::Packet { session, packet: Carried::Broken }),
        ),
        (
            "86a972657175657374496402a873656e6465724964a6613162326333ab726563697069656e744964a6643465356636a47479706504a46461746182a3736964b44141414141414141414141414141414141414141a773756363657373c3a75f736f75726365a45f65696f",
            to_owner(Body::Upgrade { request: 2, session, success: true }),
        ),
        (
            "86a972657175657374496402a873656e6465724964a6643465356636ab726563697069656e744964a6613162326333a47479706505a46461746182a874616b654f766572c3a77061636b6574739182a474797065a76d657373616765a464617461a130a75f736f75726365a45f65696f",
            to_guest(Body::UpgradeAnswer { request: 2, take_over: true, packets: vec![text("0")] }),
        ),
        (
            "85a873656e6465724964a6613162326333ab726563697069656e744964a6643465356636a47479706506a46461746182a3736964b44141414141414141414141414141414141414141a6726561736f6eaf7472616e73706f727420636c6f7365a75f736f75726365a45f65696f",
            to_owner(Body::Close { session, in_order: true }),
        ),
    ]
}

/// Packets as an official owner sends them have options, which say nothing here.
const DRAIN: &str = "85a873656e6465724964a6643465356636ab726563697069656e744964a6613162326333a47479706502a46461746182a3736964b44141414141414141414141414141414141414141a77061636b6574739583a474797065a76d657373616765a76f7074696f6e7381a8636f6d7072657373c3a464617461a7325b22c3a9225d83a474797065a76d657373616765a76f7074696f6e7381a8636f6d7072657373c3a464617461c4030102ff82a474797065a470696e67a76f7074696f6e7381a8636f6d7072657373c382a474797065a46e6f6f70a76f7074696f6e7382a8636f6d7072657373c3b17773507265456e636f6465644672616d6591c4010182a474797065a5636c6f7365a76f7074696f6e7381a8636f6d7072657373c3a75f736f75726365a45f65696f";
/// A packet whose data is `undefined` in JavaScript.
const PONG: &str = "85a873656e6465724964a6613162326333ab726563697069656e744964a6643465356636a47479706503a46461746182a3736964b44141414141414141414141414141414141414141a67061636b657482a474797065a4706f6e67a464617461c0a75f736f75726365a45f65696f";
/// A message that came by way of the primary process of a cluster, which says so.
const BRIDGED: &str = "86a972657175657374496401a873656e6465724964a6613162326333a47479706500a46461746183a3736964b44141414141414141414141414141414141414141ad7472616e73706f72744e616d65a7706f6c6c696e67a474797065a472656164a75f736f75726365a45f65696faa5f7072696d6172794964d92436633166366535612d386635612d346137652d396331642d303132333435363738396162";

fn bytes(hex: &str) -> Bytes {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn drained() -> Message {
    let packets = vec![
        text("2[\"é\"]"),
        Carried::message(Data::Binary(Bytes::from_static(&[1, 2, 255]))),
        Carried::Packet(Packet::Ping(Bytes::new())),
        Carried::Packet(Packet::Noop),
        Carried::Packet(Packet::Close),
    ];
    to_guest(Body::Drain { session: sid(), packets })
}

#[test]
fn messages_are_written_and_read_as_the_official_engine_does() {
    for (hex, message) in vectors() {
        assert_eq!(decode(&bytes(hex), MAX), Ok(message.clone()));
        assert_eq!(Bytes::from(encode(&message)), bytes(hex), "{message:?}");
    }
}

#[test]
fn what_only_official_nodes_write_is_read() {
    assert_eq!(decode(&bytes(DRAIN), MAX), Ok(drained()));
    let pong = Carried::Packet(Packet::Pong(Bytes::new()));
    let pong = to_owner(Body::Packet { session: sid(), packet: pong });
    assert_eq!(decode(&bytes(PONG), MAX), Ok(pong));
    assert_eq!(decode(&bytes(BRIDGED), MAX), Ok(lock(1, Want::Read)));
    assert_eq!(decode(&encode(&drained()).into(), MAX), Ok(drained()));
}

#[test]
fn a_message_that_is_cut_or_goes_on_is_none() {
    let whole = bytes(DRAIN);
    for len in 0..whole.len() {
        assert!(decode(&whole.slice(..len), MAX).is_err(), "{len}");
    }
    let more = [&whole[..], b"\xc0"].concat();
    assert_eq!(decode(&more.into(), MAX), Err(Malformed::NotAPacket));
    assert_eq!(decode(&whole, whole.len() - 1), Err(Malformed::TooLarge));
}

#[test]
fn lengths_that_are_only_announced_and_deep_nesting_cost_nothing() {
    // `{"x": [[[[…` and `{"x": an array of 4 billion}`.
    let deep = [b"\x81\xa1x".to_vec(), vec![0x91; 500_000]].concat();
    assert_eq!(decode(&deep.into(), MAX), Err(Malformed::NotAPacket));
    for head in [&b"\xdd\xff\xff\xff\xff"[..], b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"] {
        let announced = [b"\x81\xa1x", head].concat();
        assert_eq!(decode(&announced.into(), MAX), Err(Malformed::NotAPacket));
    }
    let packets = b"\x81\xa4data\x81\xa7packets\xdd\xff\xff\xff\xff";
    assert_eq!(decode(&Bytes::from_static(packets), MAX), Err(Malformed::NotAPacket));
}

#[test]
fn what_others_say_on_the_same_channel_is_not_taken() {
    let hex = vectors()[0].0;
    let foreign = hex.replace("a45f65696f", "a45f65696e");
    assert_eq!(decode(&bytes(&foreign), MAX), Err(Malformed::NotAPacket));
    let newer = hex.replace("a47479706500", "a47479706507");
    assert_eq!(decode(&bytes(&newer), MAX), Err(Malformed::UnknownType));
    // Names of nodes become parts of channels, and ids have their alphabet.
    let sender = hex.replace("a6613162326333", "a66131623223 3".replace(' ', "2").as_str());
    assert_eq!(decode(&bytes(&sender), MAX), Err(Malformed::NotAPacket));
    let session = hex.replace("b44141", "b44123");
    assert_eq!(decode(&bytes(&session), MAX), Err(Malformed::NotAPacket));
}

#[test]
fn a_message_does_not_show_the_session() {
    let session = SessionId::parse("hunter2hunter2hunter").unwrap();
    let shown = format!("{:?}", to_all(Body::Lock { request: 1, session, want: Want::Read }));
    assert!(!shown.contains("hunter"), "{shown}");
    let shown = format!("{:?}", to_owner(Body::Packet { session, packet: text("hunter2") }));
    assert!(!shown.contains("hunter"), "{shown}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes.into(), MAX);
    }

    #[test]
    fn a_message_with_other_bytes_in_it_makes_nothing_panic(
        at in 0usize..400, byte in any::<u8>(), which in 0usize..10,
    ) {
        let all = vectors();
        let hex = all.get(which).map_or(DRAIN, |(hex, _)| hex);
        let mut changed = bytes(hex).to_vec();
        let at = at % changed.len();
        changed[at] = byte;
        if let Ok(message) = decode(&changed.into(), MAX) {
            prop_assert_eq!(decode(&encode(&message).into(), MAX), Ok(message));
        }
    }
}
