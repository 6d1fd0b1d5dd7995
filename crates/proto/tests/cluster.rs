//! The wires of clusters, to the byte, and what becomes of bytes that nobody meant.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use roomful_proto::cluster::classic::{self, Channel};
use roomful_proto::cluster::{Body, Flags, Malformed, Packet, Selection, envelope};
use roomful_proto::{Args, Limits};

fn packet(body: Body) -> Packet {
    Packet { from: "0123456789abcdef".into(), to: None, namespace: "/".into(), body }
}

fn to(rooms: &[&str]) -> Selection {
    let rooms = rooms.iter().map(|room| (*room).to_owned()).collect();
    Selection { rooms, ..Selection::default() }
}

fn emit(args: Args, request: Option<&str>) -> Packet {
    let to = Selection { except: vec!["b".into()], ..to(&["a"]) };
    packet(Body::Emit { to, name: "said".into(), args, request: request.map(Arc::from) })
}

fn text() -> Args {
    Args::new(&("hello", 7)).unwrap()
}

fn binary() -> Args {
    Args::new(&("hello", Bytes::from_static(b"\x01\x02"))).unwrap()
}

/// One of each kind that has a word on both wires.
fn all() -> Vec<Packet> {
    let request: Arc<str> = "abcd".into();
    vec![
        emit(text(), None),
        emit(binary(), None),
        emit(text(), Some("abcd")),
        emit(Args::default(), None),
        packet(Body::Join { to: to(&["a"]), rooms: vec!["x".into(), "y".into()] }),
        packet(Body::Leave { to: to(&[]), rooms: vec!["x".into()] }),
        packet(Body::Disconnect { to: to(&["a"]), close: true }),
        packet(Body::Fetch { to: to(&["a"]), request: Arc::clone(&request) }),
        packet(Body::ServerSide { name: "hi".into(), args: text(), request: None }),
        packet(Body::ServerSide {
            name: "hi".into(),
            args: binary(),
            request: Some(Arc::clone(&request)),
        }),
        packet(Body::Fetched {
            request: Arc::clone(&request),
            sockets: Args::new(&vec![serde_json::json!({ "id": "x" })]).unwrap(),
        }),
        packet(Body::ServerSideAnswer {
            request: Arc::clone(&request),
            answer: Args::new(&"yes").unwrap(),
        }),
        packet(Body::ClientCount { request: Arc::clone(&request), count: 3 }),
        packet(Body::Ack { request: Arc::clone(&request), answer: Args::new(&5).unwrap() }),
        packet(Body::Ack { request, answer: Args::new(&Bytes::from_static(b"\x07")).unwrap() }),
    ]
}

#[test]
fn the_envelope_is_that_of_the_official_adapters() {
    let json =
        |packet: &Packet| String::from_utf8(envelope::encode(packet).unwrap().into()).unwrap();
    assert_eq!(
        json(&emit(text(), None)),
        r#"{"uid":"0123456789abcdef","nsp":"/","type":3,"data":{"opts":{"rooms":["a"],"except":["b"],"flags":{}},"packet":{"type":2,"data":["said","hello",7],"nsp":"/"}}}"#
    );
    assert_eq!(json(&packet(Body::Hello)), r#"{"uid":"0123456789abcdef","nsp":"/","type":1}"#);
    assert_eq!(
        json(&packet(Body::ClientCount { request: "ab".into(), count: 3 })),
        r#"{"uid":"0123456789abcdef","nsp":"/","type":11,"data":{"requestId":"ab","clientCount":3}}"#
    );
    // Bytes make it msgpack: a map of four.
    assert_eq!(envelope::encode(&emit(binary(), None)).unwrap()[0], 0x84);
}

#[test]
fn what_is_written_is_read_again() {
    let limits = Limits::default();
    let presence = [Body::Hello, Body::Heartbeat, Body::Goodbye].map(packet);
    for packet in presence.into_iter().chain(all()) {
        for bytes in [envelope::encode(&packet), envelope::encode_msgpack(&packet)] {
            let read = envelope::decode(&bytes.unwrap(), &limits).unwrap();
            assert_eq!(read, packet);
        }
        let (kind, data) = envelope::encode_data(&packet).unwrap();
        let (from, namespace) = (Arc::clone(&packet.from), Arc::clone(&packet.namespace));
        assert_eq!(
            envelope::decode_data(from, namespace, kind, data.as_ref(), &limits),
            Ok(packet)
        );
    }
}

#[test]
fn what_is_written_on_the_classic_wire_is_read_again() {
    let limits = Limits::default();
    let request: Arc<str> = "abcd".into();
    let of_old = [
        Body::Ids { to: to(&["a"]), request: Arc::clone(&request) },
        Body::IdsAnswer { request: Arc::clone(&request), ids: vec!["x".into()] },
        Body::Rooms { request: Arc::clone(&request) },
        Body::RoomsAnswer { request, rooms: vec!["a".into()] },
    ];
    for packet in all().into_iter().chain(of_old.map(packet)) {
        let (channel, bytes) = classic::encode(&packet).unwrap();
        let namespace = &packet.namespace;
        let read = match channel {
            Channel::Events(_) => {
                classic::decode_event(namespace, &bytes, &limits).map(Option::unwrap)
            }
            Channel::Requests => classic::decode_request(namespace, &bytes, &limits),
            Channel::Answers => classic::decode_answer(namespace, &bytes, &limits),
        };
        let mut read = read.unwrap();
        if channel == Channel::Answers {
            // It does not say who answers.
            assert_eq!(&*read.from, "");
            read.from = Arc::clone(&packet.from);
        }
        assert_eq!(read, packet);
    }
}

#[test]
fn channels_are_those_of_the_classic_adapter() {
    assert_eq!(Channel::Events(None).name("socket.io", "/"), "socket.io#/#");
    assert_eq!(Channel::Events(Some("a")).name("socket.io", "/x"), "socket.io#/x#a#");
    assert_eq!(Channel::Requests.name("socket.io", "/"), "socket.io-request#/#");
    assert_eq!(Channel::Answers.name("socket.io", "/"), "socket.io-response#/#");
    let event = emit(text(), None);
    let (channel, bytes) = classic::encode(&event).unwrap();
    assert_eq!(channel, Channel::Events(Some("a")));
    // An array of three, and the uid.
    assert!(bytes.starts_with(b"\x93\xb00123456789abcdef\x83\xa4type\x02"));
    assert_eq!(classic::room_of("a#b#"), Some("a#b"));
    assert_eq!(classic::room_of(""), None);
}

#[test]
fn flags_go_both_ways() {
    let limits = Limits::default();
    for flags in [
        Flags { volatile: true, ..Flags::default() },
        Flags { compress: false, ..Flags::default() },
        Flags { latest: Some(u64::MAX), ..Flags::default() },
        Flags { timeout_ms: Some(5_000), ..Flags::default() },
    ] {
        let to = Selection { flags, ..Selection::default() };
        let sent = packet(Body::Emit { to, name: "e".into(), args: text(), request: None });
        for bytes in [envelope::encode(&sent), envelope::encode_msgpack(&sent)] {
            assert_eq!(envelope::decode(&bytes.unwrap(), &limits).unwrap(), sent);
        }
    }
}

/// Emitters in Go and Python have nothing where others have an empty list.
#[test]
fn nothing_is_as_good_as_an_empty_list() {
    let limits = Limits::default();
    let json = Bytes::from_static(
        br#"["emitter",{"type":2,"data":["e"],"nsp":"/"},{"rooms":null,"except":null,"flags":null}]"#,
    );
    // It is msgpack on the wire.
    let message = envelope_of(&json);
    let read = classic::decode_event(&"/".into(), &message, &limits).unwrap().unwrap();
    assert!(matches!(read.body, Body::Emit { to, .. } if to == Selection::default()));
}

/// JSON as msgpack.
fn envelope_of(json: &[u8]) -> Bytes {
    let data = roomful_proto::cluster::Data { json: json.to_vec(), attachments: Vec::new() };
    data.to_msgpack().into()
}

/// A uid becomes a part of a subject or a channel, and stands in the log.
#[test]
fn what_is_too_long_or_odd_is_refused() {
    let limits = Limits::default();
    let long = "x".repeat(65);
    for uid in ["", "a b", "a.b", "a\n", "a#", &long] {
        let json = format!(r#"{{"uid":{},"nsp":"/","type":2}}"#, serde_json::json!(uid));
        assert_eq!(envelope::decode(&json.into(), &limits), Err(Malformed::Refused), "{uid}");
    }
    let to = Selection { rooms: vec!["r".into(); 10_001], ..Selection::default() };
    let many = packet(Body::Join { to, rooms: Vec::new() });
    let bytes = envelope::encode(&many).unwrap();
    assert_eq!(envelope::decode(&bytes, &limits), Err(Malformed::Refused));
    let elsewhere = envelope::encode(&packet(Body::Hello)).unwrap();
    assert_eq!(envelope::decode_in(Some("/a"), &elsewhere, &limits), Err(Malformed::Refused));
}

/// A node without sockets was taken for one that has not answered.
#[test]
fn the_rooms_of_an_event_are_told_where_nothing_else_may_need_it() {
    let of = |kind, opts: &str, more: &str| {
        let data =
            format!(r#"{{"packet":{{"data":["x",{{"rooms":["no"]}}]}},"opts":{opts}{more}}}"#);
        let rooms = envelope::rooms_of(kind, data.as_bytes());
        rooms.map(|rooms| rooms.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let two = r#"{"rooms":["a","é b"],"except":["c"],"flags":{}}"#;
    let names = Some(vec!["a".to_owned(), "é b".to_owned()]);
    assert_eq!(of(3, two, ""), names);
    assert_eq!(of(3, two, r#","requestId":null"#), names);
    // It wants answers, is none, is for all, or has names that are not written as they are.
    assert_eq!(of(3, two, r#","requestId":"r""#), None);
    assert_eq!(of(4, two, ""), None);
    for opts in [
        "null",
        "{}",
        r#"{"rooms":[]}"#,
        r#"{"rooms":null}"#,
        r#"{"rooms":["a\u0062"]}"#,
        r#"{"rooms":["a",7]}"#,
        r#"{"rooms":"a"}"#,
    ] {
        assert_eq!(of(3, opts, ""), None, "{opts}");
    }
    assert_eq!(envelope::rooms_of(3, b"gqRvcHRz"), None);
    assert_eq!(envelope::rooms_of(3, br#"{"opts":{"rooms":["a"]}"#), None);
}

#[test]
fn no_sockets_are_an_answer() {
    let json = Bytes::from_static(br#"{"requestId":"ab","sockets":[]}"#);
    let read = classic::decode_answer(&"/".into(), &json, &Limits::default()).unwrap();
    assert!(matches!(read.body, Body::Fetched { .. }));
}

/// JavaScript leaves out what is `undefined`, and has numbers for rooms.
#[test]
fn what_servers_in_javascript_leave_out_is_not_missed() {
    let limits = Limits::default();
    let read = |json: &'static str| envelope::decode(&Bytes::from_static(json.as_bytes()), &limits);
    let sent = read(
        r#"{"uid":"u","nsp":"/","type":3,"data":{"opts":{"rooms":[42,"a"],"except":[]},"packet":{"type":2,"data":["e"]}}}"#,
    );
    let Body::Emit { to, args, .. } = sent.unwrap().body else { panic!("no event") };
    assert_eq!(to.rooms, ["42", "a"]);
    assert!(args.is_empty() && to.flags.compress);
    let flags = r#"{"uid":"u","nsp":"/","type":3,"data":{"opts":{"rooms":[],"flags":{"volatile":null,"broadcast":true}},"packet":{"type":2,"data":["e"]}}}"#;
    assert!(read(flags).is_ok());
}

/// Nobody is to disconnect everyone by leaving something out.
#[test]
fn what_says_nothing_of_whom_it_is_for_is_refused() {
    let limits = Limits::default();
    for (kind, more) in
        [(4, r#","rooms":["a"]"#), (5, r#","rooms":["a"]"#), (6, r#","close":true"#)]
    {
        let json = format!(r#"{{"uid":"u","nsp":"/","type":{kind},"data":{{"x":1{more}}}}}"#);
        assert_eq!(envelope::decode(&json.into(), &limits), Err(Malformed::NotAPacket));
    }
    let json = Bytes::from_static(br#"{"uid":"u","type":4,"close":true}"#);
    assert_eq!(classic::decode_request(&"/".into(), &json, &limits), Err(Malformed::NotAPacket));
}

#[test]
fn what_is_no_packet_says_why() {
    let limits = Limits::default();
    let read =
        |bytes: &[u8]| envelope::decode(&Bytes::copy_from_slice(bytes), &limits).unwrap_err();
    assert_eq!(read(b""), Malformed::NotAPacket);
    assert_eq!(read(b"hello"), Malformed::NotAPacket);
    assert_eq!(read(b"{}"), Malformed::NotAPacket);
    assert_eq!(read(br#"{"uid":"u","nsp":"/","type":99}"#), Malformed::UnknownType);
    assert_eq!(read(br#"{"uid":"u","nsp":"/","type":3}"#), Malformed::NotAPacket);
    let deep = format!(
        r#"{{"uid":"u","nsp":"/","type":3,"data":{{"opts":{{"rooms":[],"except":[]}},"packet":{{"type":2,"data":["e",{}{}]}}}}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    assert_eq!(read(deep.as_bytes()), Malformed::Refused);
    let mut small = Limits::default();
    small.payload_bytes_max = 100;
    let large = envelope::encode(&emit(Args::new(&"x".repeat(200)).unwrap(), None)).unwrap();
    assert_eq!(envelope::decode(&large, &small), Err(Malformed::TooLarge));
    // A placeholder that names nothing would end the connections of all who hear it.
    let ghost = br#"{"uid":"u","nsp":"/","type":3,"data":{"opts":{"rooms":[],"except":[]},"packet":{"type":2,"data":["e",{"_placeholder":true,"num":0}]}}}"#;
    assert_eq!(read(ghost), Malformed::Refused);
}

proptest! {
    /// Bytes of a packet of which some were changed are a packet or none, and never a panic.
    #[test]
    fn no_bytes_panic(
        which in 0..15_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let limits = Limits::default();
        let packet = &all()[which];
        let envelopes = [envelope::encode(packet), envelope::encode_msgpack(packet)];
        let classic = classic::encode(packet).map(|(_, bytes)| bytes);
        for bytes in envelopes.into_iter().chain([classic]).flatten() {
            let mut bytes = bytes.to_vec();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            for bytes in [bytes[..cut.index(bytes.len())].to_vec(), bytes] {
                let (bytes, namespace) = (Bytes::from(bytes), Arc::from("/"));
                drop(envelope::decode(&bytes, &limits));
                drop(classic::decode_event(&namespace, &bytes, &limits));
                drop(classic::decode_request(&namespace, &bytes, &limits));
                drop(classic::decode_answer(&namespace, &bytes, &limits));
            }
        }
    }
}
