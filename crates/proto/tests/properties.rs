//! What must hold for every input, tried on generated ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use roomful_proto::args::{Args, ToArgs};
use roomful_proto::engine::payload::{self, Payload};
use roomful_proto::engine::{Data, Packet, Revision, jsonp, v3};
use roomful_proto::socket::text::Header;
use roomful_proto::socket::{self, Arrived, Mux, Whole, packet};
use roomful_proto::ws::frame::{self, CONTROL_BYTES_MAX, Opcode};
use roomful_proto::ws::{CloseCode, Decoder, Message, Role, WsError};
use roomful_proto::{
    AckId, Form, Letter, Limits, Moment, MsgPack, Parcel, Parser, Violation, percent,
};
use serde_json::Value;

/// A failure is shown whole, so no file has to remember it; the tests leave the tree as it was.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

// WebSocket frames

/// A frame by the letter of RFC 6455, written here on its own so that it can also be wrong.
fn raw_frame(wire: &mut Vec<u8>, first: u8, key: Option<[u8; 4]>, payload: &[u8]) {
    let masked = if key.is_some() { 0x80 } else { 0 };
    wire.push(first);
    match payload.len() {
        len @ 0..=125 => wire.push(masked | len as u8),
        len @ 126..=0xffff => {
            wire.push(masked | 126);
            wire.extend((len as u16).to_be_bytes());
        }
        len => {
            wire.push(masked | 127);
            wire.extend((len as u64).to_be_bytes());
        }
    }
    wire.extend(key.unwrap_or_default().iter().take(if key.is_some() { 4 } else { 0 }));
    let key = key.unwrap_or_default();
    wire.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// A message and how it is cut into frames, with control frames behind each of them.
#[derive(Clone, Debug)]
struct Spoken {
    message: Message,
    cuts: Vec<usize>,
    controls: Vec<Message>,
}

fn control() -> impl Strategy<Value = Message> {
    vec(any::<u8>(), 0..=CONTROL_BYTES_MAX).prop_flat_map(|payload| {
        let payload = Bytes::from(payload);
        prop_oneof![Just(Message::Ping(payload.clone())), Just(Message::Pong(payload))]
    })
}

fn data_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        4 => ".{0,60}".prop_map(|text| Message::Text(Bytes::from(text))),
        3 => vec(any::<u8>(), 0..200).prop_map(|bytes| Message::Binary(Bytes::from(bytes))),
        1 => (120_usize..140, any::<u8>()).prop_map(|(n, b)| Message::Binary(vec![b; n].into())),
        1 => (65_530_usize..65_540).prop_map(|n| Message::Text("x".repeat(n).into())),
    ]
}

fn spoken() -> impl Strategy<Value = Vec<Spoken>> {
    let one = (data_message(), vec(any::<usize>(), 0..4), vec(control(), 0..3));
    let one = one.prop_map(|(message, cuts, controls)| Spoken { message, cuts, controls });
    vec(one, 1..6)
}

/// The wire form of a conversation, and what must be heard of it.
fn speak(spoken: &[Spoken], key: Option<[u8; 4]>) -> (Vec<u8>, Vec<Message>) {
    let mut wire = Vec::new();
    let mut heard = Vec::new();
    for Spoken { message, cuts, controls } in spoken {
        let (opcode, payload) = match message {
            Message::Text(text) => (1, text),
            Message::Binary(bytes) => (2, bytes),
            other => panic!("{other:?} is no data"),
        };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (payload.len() + 1)).collect();
        cuts.sort_unstable();
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([payload.len()]);
        let last = cuts.len();
        for (at, (start, end)) in starts.zip(ends).enumerate() {
            let fin = if at == last { 0x80 } else { 0 };
            let opcode = if at == 0 { opcode } else { 0 };
            raw_frame(&mut wire, fin | opcode, key, &payload[start..end]);
            if at == last {
                heard.push(message.clone());
            }
            for control in controls {
                let (opcode, payload) = match control {
                    Message::Ping(payload) => (9, payload),
                    Message::Pong(payload) => (10, payload),
                    other => panic!("{other:?} is no control"),
                };
                raw_frame(&mut wire, 0x80 | opcode, key, payload);
                heard.push(control.clone());
            }
        }
    }
    (wire, heard)
}

/// All messages of `wire`, given to the decoder in pieces, and the most that it held.
fn hear(
    decoder: &mut Decoder,
    wire: &[u8],
    cuts: &[usize],
) -> (Vec<Message>, Option<WsError>, usize) {
    let mut wire = wire.to_vec();
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    cuts.sort_unstable();
    let mut heard = Vec::new();
    let mut held = 0;
    let mut start = 0;
    for end in cuts.into_iter().chain([wire.len()]) {
        let mut piece = &mut wire[start..end];
        start = end;
        loop {
            let message = decoder.receive(&mut piece);
            held = held.max(decoder.held_bytes());
            match message {
                Ok(Some(message)) => heard.push(message),
                Ok(None) => break,
                Err(e) => return (heard, Some(e), held),
            }
        }
        assert!(piece.is_empty(), "the decoder stopped before the end of its input");
    }
    (heard, None, held)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_split_of_valid_frames_gives_the_same_messages(
        spoken in spoken(),
        key in any::<Option<[u8; 4]>>(),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let (wire, expected) = speak(&spoken, key);
        let role = if key.is_some() { Role::Server } else { Role::Client };
        let mut decoder = Decoder::new(role, 100_000, 100);
        let (heard, error, _) = hear(&mut decoder, &wire, &cuts);
        prop_assert_eq!(error, None);
        prop_assert_eq!(heard, expected);
        prop_assert_eq!(decoder.held_bytes(), 0, "something is still held");
    }

    #[test]
    fn frames_in_single_bytes_give_the_same_messages(
        spoken in vec((".{0,20}", any::<bool>()), 1..4),
        key in any::<[u8; 4]>(),
    ) {
        let spoken: Vec<_> = spoken
            .into_iter()
            .map(|(text, cut)| Spoken {
                message: Message::Text(Bytes::from(text)),
                cuts: if cut { (0..30).collect() } else { Vec::new() },
                controls: vec![Message::Ping(Bytes::from_static(b"abc"))],
            })
            .collect();
        let (wire, expected) = speak(&spoken, Some(key));
        let cuts: Vec<_> = (0..wire.len()).collect();
        let mut decoder = Decoder::new(Role::Server, 100_000, 100);
        let (heard, error, _) = hear(&mut decoder, &wire, &cuts);
        prop_assert_eq!((heard, error), (expected, None));
    }

    #[test]
    fn damaged_frames_are_refused_alike_however_they_are_split(
        spoken in spoken(),
        damage in vec((any::<usize>(), any::<u8>()), 1..4),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let (mut wire, _) = speak(&spoken, Some([1, 2, 3, 4]));
        for (at, byte) in damage {
            // Mostly where the headers are: the damage to a payload is hardly ever seen.
            let at = at % wire.len().min(200);
            wire[at] = byte;
        }
        let decoder = || Decoder::new(Role::Server, 1000, 10);
        let (whole, whole_error, _) = hear(&mut decoder(), &wire, &[]);
        let (pieces, pieces_error, held) = hear(&mut decoder(), &wire, &cuts);
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(whole_error, pieces_error);
        prop_assert!(held <= 1000 + CONTROL_BYTES_MAX, "{held} bytes held");
    }

    #[test]
    fn random_bytes_never_make_a_decoder_hold_more_than_its_limit(
        bytes in vec(any::<u8>(), 0..2000),
        cuts in vec(any::<usize>(), 0..20),
        limit in 0_usize..500,
        server in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let mut decoder = Decoder::new(role, limit, 10);
        let (_, _, held) = hear(&mut decoder, &bytes, &cuts);
        prop_assert!(held <= limit + CONTROL_BYTES_MAX, "{held} bytes held");
    }

    /// Random bytes are soon refused. A message that grows to its limit in pieces is what holds most.
    #[test]
    fn a_growing_message_never_holds_more_than_the_limit(
        sizes in vec(0_usize..700, 1..40),
        limit in 1000_usize..3000,
    ) {
        let mut wire = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            raw_frame(&mut wire, if at == 0 { 2 } else { 0 }, Some([0; 4]), &vec![0; *size]);
        }
        let mut decoder = Decoder::new(Role::Server, limit, 100);
        let (_, error, held) = hear(&mut decoder, &wire, &[]);
        prop_assert!(held <= limit, "{held} of {limit} bytes held");
        let fits = sizes.iter().sum::<usize>() <= limit;
        prop_assert_eq!(error, (!fits).then_some(WsError::TooBig));
    }

    #[test]
    fn a_close_code_is_allowed_or_an_error(code in any::<u16>(), reason in ".{0,30}") {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(reason.as_bytes());
        payload.truncate(CONTROL_BYTES_MAX);
        let whole = std::str::from_utf8(&payload[2..]).is_ok();
        let mut wire = Vec::new();
        raw_frame(&mut wire, 0x88, Some([9; 4]), &payload);
        let found = Decoder::new(Role::Server, 10, 1).receive(&mut &mut wire[..]);
        // RFC 6455 section 7.4 and the registry of codes that it opens.
        let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let expected = match (allowed, whole) {
            (false, _) => Err(WsError::Close),
            (true, false) => Err(WsError::Utf8),
            (true, true) => {
                let said = Bytes::copy_from_slice(&payload[2..]);
                Ok(Some(Message::Close(CloseCode::new(code), said)))
            }
        };
        prop_assert_eq!(found, expected);
    }
}

// Engine.IO

fn engine_packet() -> impl Strategy<Value = Packet> {
    let text = || "[^\u{1e}]{0,20}".prop_map(Bytes::from);
    prop_oneof![
        text().prop_map(Packet::Open),
        Just(Packet::Close),
        text().prop_map(Packet::Ping),
        text().prop_map(Packet::Pong),
        text().prop_map(|text| Packet::Message(Data::Text(text))),
        vec(any::<u8>(), 0..40).prop_map(|b| Packet::Message(Data::Binary(Bytes::from(b)))),
        Just(Packet::Upgrade),
        Just(Packet::Noop),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_body_reads_back_as_the_packets_it_was_made_of(packets in vec(engine_packet(), 1..20)) {
        let mut body = Vec::new();
        for packet in &packets {
            payload::push(&mut body, packet);
        }
        let read: Result<Vec<_>, _> = Payload::new(Bytes::from(body), 20).unwrap().collect();
        prop_assert_eq!(read, Ok(packets));
    }

    #[test]
    fn an_arbitrary_body_ends_after_its_first_error(body in vec(any::<u8>(), 0..200)) {
        let text = std::str::from_utf8(&body).is_ok();
        match Payload::new(Bytes::from(body.clone()), 50) {
            Err(_) => prop_assert!(!text),
            Ok(payload) => {
                prop_assert!(text);
                let found: Vec<_> = payload.collect();
                let separators = body.iter().filter(|byte| **byte == 0x1e).count();
                prop_assert!(found.len() <= separators + 1);
                let errors = found.iter().position(Result::is_err);
                prop_assert!(errors.is_none_or(|at| at == found.len() - 1));
            }
        }
    }

    #[test]
    fn a_packet_that_is_read_is_written_the_same(text in "[0-9b][ -~]{0,20}") {
        let text = Bytes::from(text);
        if let Ok(packet) = Packet::decode(&text) {
            let mut out = Vec::new();
            packet.encode(&mut out);
            let data = !matches!(packet, Packet::Close | Packet::Upgrade | Packet::Noop);
            prop_assert!(!data || out == text, "{packet:?} is written {out:?}");
        }
    }
}

// Arguments

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(Value::from),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        any::<String>().prop_map(Value::from),
        "[\\[\\]{},:\"\\\\ ]{0,10}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((any::<String>(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn read_all(args: &Args, count: usize) -> Vec<Value> {
    let mut cursor = args.cursor();
    let read = (0..count).map(|_| cursor.value().unwrap()).collect();
    assert!(cursor.rest().is_empty(), "more than {count} arguments");
    read
}

fn check_args<T: ToArgs>(values: &T, expected: &[Value]) {
    let args = Args::new(values).unwrap();
    assert_eq!(read_all(&args, expected.len()), expected);
    assert_eq!(args.iter().count(), expected.len());
    for (index, value) in expected.iter().enumerate() {
        assert_eq!(&args.get::<Value>(index).unwrap(), value);
    }
    assert_eq!(Args::new(&args).unwrap(), args);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_values_come_back_from_arguments(a in json(), b in json(), c in json()) {
        check_args(&(), &[]);
        check_args(&a, std::slice::from_ref(&a));
        check_args(&(&a,), std::slice::from_ref(&a));
        check_args(&(&a, &b), &[a.clone(), b.clone()]);
        check_args(&(&a, &b, &c), &[a.clone(), b.clone(), c.clone()]);
        let list = Value::from(vec![a.clone(), b.clone()]);
        check_args(&vec![a, b], &[list]);
    }

    #[test]
    fn bytes_come_back_from_arguments(
        one in vec(any::<u8>(), 0..50),
        more in vec(vec(any::<u8>(), 0..50), 0..4),
        between in json(),
    ) {
        let (one, more) = (Bytes::from(one), more.into_iter().map(Bytes::from).collect::<Vec<_>>());
        let args = Args::new(&(&more, &between, &one)).unwrap();
        prop_assert_eq!(args.attachments().len(), more.len() + 1);
        let mut cursor = args.cursor();
        prop_assert_eq!(cursor.value::<Vec<Bytes>>().unwrap(), more);
        prop_assert_eq!(cursor.value::<Value>().unwrap(), between);
        prop_assert_eq!(cursor.value::<Bytes>().unwrap(), one);
    }

    #[test]
    fn numbers_come_back_to_the_bit(number in any::<f64>()) {
        prop_assume!(number.is_finite());
        let back: f64 = Args::new(&number).unwrap().get(0).unwrap();
        prop_assert_eq!(back.to_bits(), number.to_bits());
    }
}

// Socket.IO

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[a-z0-9é€/?=]{1,12}"]
}

fn event_name() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("no reserved name", |name| !packet::is_reserved(name))
}

fn ack_id() -> impl Strategy<Value = Option<AckId>> {
    prop_oneof![Just(None), (0..=AckId::MAX).prop_map(AckId::new), Just(AckId::new(AckId::MAX))]
}

/// The messages in frames of a server.
fn messages(wire: &[u8]) -> Vec<Data> {
    let mut decoder = Decoder::new(Role::Client, 1_000_000, 1);
    let (messages, error, _) = hear(&mut decoder, wire, &[]);
    assert_eq!(error, None);
    let packets = messages.into_iter().map(|message| match message {
        Message::Text(text) => Packet::decode(&text).unwrap(),
        Message::Binary(bytes) => Packet::Message(Data::Binary(bytes)),
        other => panic!("{other:?} from a parcel"),
    });
    packets.map(data).collect()
}

fn data(packet: Packet) -> Data {
    match packet {
        Packet::Message(data) => data,
        other => panic!("{other:?} is no message"),
    }
}

/// Checks that all forms of a parcel say the same, and gives what they say.
fn read_parcel(parcel: &Parcel) -> (String, socket::Packet) {
    let wire = messages(parcel.wire());
    assert_eq!(messages(parcel.form(Form::TextOnly)), wire, "text only");
    let body = Bytes::copy_from_slice(parcel.polling());
    let polled = Payload::new(body, 100).unwrap().map(|packet| data(packet.unwrap()));
    assert_eq!(polled.collect::<Vec<_>>(), wire, "polling");
    assert_eq!(parcel.len(), parcel.wire().len());

    let limits = Limits::default();
    let mut wire = wire.into_iter();
    let Some(Data::Text(text)) = wire.next() else {
        panic!("a packet begins with a text");
    };
    let header = Header::decode(text, &limits).unwrap();
    let attachments: Box<[_]> = wire
        .map(|data| match data {
            Data::Binary(bytes) => bytes,
            Data::Text(text) => panic!("{text:?} is no attachment"),
        })
        .collect();
    assert_eq!(header.attachments as usize, attachments.len());
    let namespace = header.namespace().to_owned();
    (namespace, header.finish(attachments, &limits).unwrap())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn all_forms_of_an_event_decode_to_the_same(
        namespace in namespace(),
        name in event_name(),
        ack in ack_id(),
        values in (json(), json()),
        attached in vec(vec(any::<u8>(), 0..300), 0..4),
    ) {
        let attached: Vec<_> = attached.into_iter().map(Bytes::from).collect();
        let args = Args::new(&(&values.0, &attached, &values.1)).unwrap();
        let parcel = Parcel::event(&namespace, ack, &name, &args).unwrap();
        let same = Parcel::event(&namespace, ack, &name, &(values.0, attached, values.1)).unwrap();
        prop_assert_eq!(parcel.wire(), same.wire());
        let (found, packet) = read_parcel(&parcel);
        let socket::Packet::Event(event) = packet else { panic!("{packet:?}") };
        prop_assert_eq!(found, namespace);
        prop_assert_eq!(event.name(), name);
        prop_assert_eq!(event.ack, ack);
        prop_assert_eq!(event.args, args);
    }

    #[test]
    fn all_forms_of_an_ack_decode_to_the_same(
        namespace in namespace(),
        id in 0..=AckId::MAX,
        value in json(),
        attached in vec(any::<u8>(), 0..300),
        shape in 0..4,
    ) {
        let id = AckId::new(id).unwrap();
        let attached = Bytes::from(attached);
        let args = match shape {
            0 => Args::new(&()),
            1 => Args::new(&value),
            2 => Args::new(&(&value, &value)),
            _ => Args::new(&(&value, &attached)),
        };
        let args = args.unwrap();
        let (found, packet) = read_parcel(&Parcel::ack(&namespace, id, &args).unwrap());
        let socket::Packet::Ack(found_id, found_args) = packet else { panic!("{packet:?}") };
        prop_assert_eq!(found, namespace);
        prop_assert_eq!(found_id, id);
        prop_assert_eq!(found_args, args);
    }

    #[test]
    fn arbitrary_texts_never_panic_and_what_is_read_can_be_sent_on(
        text in packet_text(),
        attachments in vec(vec(any::<u8>(), 0..4), 0..3),
    ) {
        let limits = Limits::default();
        let attachments: Box<[_]> = attachments.into_iter().map(Bytes::from).collect();
        let Ok(header) = Header::decode(Bytes::from(text), &limits) else {
            return Ok(());
        };
        prop_assert!(header.attachments <= limits.attachments_max);
        prop_assert!(header.namespace().starts_with('/'));
        let Ok(packet) = header.finish(attachments, &limits) else {
            return Ok(());
        };
        match packet {
            socket::Packet::Event(event) => {
                let parcel = Parcel::event("/", event.ack, event.name(), &event.args).unwrap();
                let (_, again) = read_parcel(&parcel);
                let socket::Packet::Event(again) = again else { panic!("{again:?}") };
                prop_assert_eq!(again.name(), event.name());
                prop_assert_eq!(again.args, event.args);
            }
            socket::Packet::Ack(id, args) => {
                let (_, again) = read_parcel(&Parcel::ack("/", id, &args).unwrap());
                let socket::Packet::Ack(_, again) = again else { panic!("{again:?}") };
                // No arguments may have been a space between the brackets.
                prop_assert!(again == args || again.is_empty() && args.is_empty());
            }
            socket::Packet::Connect(Some(auth)) => {
                let auth: &serde_json::value::RawValue = serde_json::from_slice(&auth).unwrap();
                prop_assert_eq!(auth.get().as_bytes()[0], b'{');
            }
            socket::Packet::ConnectError(Some(why)) => {
                serde_json::from_slice::<serde::de::IgnoredAny>(&why).unwrap();
            }
            socket::Packet::ConnectError(None)
            | socket::Packet::Connect(None)
            | socket::Packet::Disconnect => {}
        }
    }
}

// msgpack

/// Whether values are the same to JavaScript, where `1.0` is `1`.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same =
                |(a, b): ((&String, &Value), (&String, &Value))| a.0 == b.0 && alike(a.1, b.1);
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        _ => a == b,
    }
}

/// A packet as msgpack.
fn msgpack(letter: Letter) -> Bytes {
    let parcel = Parcel::worded(letter, &MsgPack);
    let mut wire = messages(parcel.wire());
    assert_eq!(messages(parcel.form(Form::TextOnly)), wire, "text only");
    let body = Bytes::copy_from_slice(parcel.polling());
    let polled = Payload::new(body, 1).unwrap().map(|packet| data(packet.unwrap()));
    assert_eq!(polled.collect::<Vec<_>>(), wire, "polling");
    match (wire.pop(), wire.len()) {
        (Some(Data::Binary(bytes)), 0) => bytes,
        other => panic!("{other:?} is not one binary message"),
    }
}

/// What arrives of a message at one who has joined `namespace`.
fn arrived(namespace: &str, message: Bytes) -> Result<Option<Arrived>, Violation> {
    let (now, limits) = (Moment::from_millis(0), Arc::new(Limits::default()));
    let mut mux = Mux::new(now, Revision::V4, Arc::clone(&limits));
    let hello = Whole::new(0, namespace, None).unwrap();
    let mut arrived = None;
    mux.take_whole(now, hello, &mut arrived).unwrap();
    let Some(Arrived::Connect { slot, .. }) = arrived.take() else {
        panic!("no CONNECT");
    };
    assert!(mux.accept(slot));
    mux.take_whole(now, MsgPack.decode(Data::Binary(message), &limits)?, &mut arrived)?;
    Ok(arrived)
}

fn event_of(namespace: &str, message: Bytes) -> socket::Event {
    match arrived(namespace, message) {
        Ok(Some(Arrived::Event { event, .. })) => event,
        other => panic!("{other:?} is no event"),
    }
}

/// Bytes that are nearly msgpack: whole values, one behind the other, and lengths that lie.
fn msgpack_bytes() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        vec(any::<u8>(), 0..4),
        (any::<u8>(), any::<[u8; 8]>()).prop_map(|(marker, tail)| [&[marker][..], &tail].concat()),
        (0xc0_u8..=0xdf, 0_u8..4).prop_map(|(marker, len)| vec![marker, 0, 0, 0, len]),
        Just(b"\xa1e".to_vec()),
        Just(b"\xc4\x01b".to_vec()),
        Just(b"\x82\xac_placeholder\xc3\xa3num\x00".to_vec()),
        (0x80_u8..=0xa0).prop_map(|marker| vec![marker]),
    ];
    vec(value, 0..30).prop_map(|values| values.concat())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn json_to_msgpack_and_back_says_the_same(
        namespace in namespace(),
        name in event_name(),
        ack in ack_id(),
        values in (json(), json()),
        attached in vec(vec(any::<u8>(), 0..300), 0..4),
    ) {
        let attached: Vec<_> = attached.into_iter().map(Bytes::from).collect();
        let args = (&values.0, &attached, &values.1);
        let letter = Letter::event(&namespace, ack, &name, &args).unwrap();
        let event = event_of(&namespace, msgpack(letter));
        prop_assert_eq!((event.name(), event.ack), (name.as_str(), ack));
        let (first, bytes, second): (Value, Vec<Bytes>, Value) =
            (event.args.get(0).unwrap(), event.args.get(1).unwrap(), event.args.get(2).unwrap());
        prop_assert!(alike(&first, &values.0), "{first} {}", values.0);
        prop_assert!(alike(&second, &values.1), "{second} {}", values.1);
        prop_assert_eq!(bytes, attached);
    }

    #[test]
    fn random_bytes_are_no_msgpack_or_can_be_sent_on(
        bytes in prop_oneof![vec(any::<u8>(), 0..200), msgpack_bytes()],
        is_payload in any::<bool>(),
    ) {
        let limits = Limits::default();
        let message = match is_payload {
            true => [&b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e"[..], &bytes].concat(),
            false => bytes,
        };
        let Ok(mut whole) = MsgPack.decode(Data::Binary(message.clone().into()), &limits) else {
            return Ok(());
        };
        prop_assert!(std::str::from_utf8(whole.json()).is_ok());
        let Ok(Some(Arrived::Event { event, .. })) = arrived("/", message.into()) else {
            return Ok(());
        };
        let letter = Letter::event("/", event.ack, event.name(), &event.args).unwrap();
        let again = event_of("/", msgpack(letter));
        prop_assert_eq!(again.name(), event.name());
        // Numbers may have been in a longer form, but then their text is the same.
        prop_assert_eq!(again.args, event.args);
    }

    #[test]
    fn whatever_text_arrives_can_be_sent_as_msgpack(
        text in packet_text(),
        attachments in vec(vec(any::<u8>(), 0..4), 0..3),
    ) {
        let limits = Limits::default();
        let attachments: Box<[_]> = attachments.into_iter().map(Bytes::from).collect();
        let header = Header::decode(Bytes::from(text), &limits);
        let Ok(packet) = header.and_then(|header| header.finish(attachments, &limits)) else {
            return Ok(());
        };
        if let socket::Packet::Event(event) = packet {
            let letter = Letter::event("/", event.ack, event.name(), &event.args).unwrap();
            // Attachments that no placeholder names are not sent, and spaces are not kept.
            let once = event_of("/", msgpack(letter));
            let letter = Letter::event("/", event.ack, once.name(), &once.args).unwrap();
            let twice = event_of("/", msgpack(letter));
            prop_assert_eq!(once.args, twice.args);
        }
    }
}

/// Texts that are nearly packets: most random ones are refused at their first character.
fn packet_text() -> impl Strategy<Value = String> {
    let head = "[0-6]([0-9]{1,2}-)?(/[a-z]{0,3},?)?([0-9]{1,3})?";
    let broken = r#"[\[\]{},:"\\ 0-9a-z_é-]{0,30}"#;
    let whole = prop_oneof![
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just(r#"["a",{"_placeholder":true,"num":0}]"#.to_owned()),
        Just(r#"["a\u0062", "\ud800" ,1e999]"#.to_owned()),
        (any::<String>(), json())
            .prop_map(|(name, value)| Value::from(vec![name.into(), value]).to_string()),
        json().prop_map(|value| value.to_string()),
    ];
    prop_oneof![
        any::<String>(),
        (head, broken).prop_map(|(head, tail)| head + &tail),
        (head, whole).prop_map(|(head, tail)| head + &tail),
    ]
}

// Engine.IO 3

/// An event with a text and perhaps bytes: as a parcel, and the messages it is made of.
fn parcel() -> impl Strategy<Value = (Parcel, Vec<Data>)> {
    let text = prop_oneof![".{0,30}", "[a-z😀é\u{2028}:]{0,30}"];
    let attachment = proptest::option::of(vec(any::<u8>(), 0..200));
    (text, attachment).prop_map(|(text, attachment)| {
        let parcel = match attachment {
            Some(bytes) => Parcel::event("/", None, "e", &(&text, Bytes::from(bytes))),
            None => Parcel::event("/", None, "e", &text),
        };
        let parcel = parcel.unwrap();
        let message = |(opcode, payload): (Opcode, &[u8])| match opcode {
            Opcode::Binary => Data::Binary(Bytes::copy_from_slice(payload)),
            _ => Data::Text(Bytes::copy_from_slice(&payload[1..])),
        };
        let messages = frame::split(parcel.wire()).map(message).collect();
        (parcel, messages)
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_v3_body_reads_back(parcels in vec(parcel(), 1..6), base64: bool) {
        let body = v3::encode(parcels.iter().flat_map(|(parcel, _)| frame::split(parcel.wire())), base64);
        let mut messages = parcels.iter().flat_map(|(_, messages)| messages);
        let has_bytes = messages.any(|message| matches!(message, Data::Binary(_)));
        prop_assert_eq!(matches!(body, Data::Binary(_)), has_bytes && !base64);
        let (Data::Text(body) | Data::Binary(body)) = body;
        let read: Vec<_> = Payload::v3(body, 100).unwrap().map(Result::unwrap).collect();
        let sent = parcels.into_iter().flat_map(|(_, messages)| messages).map(Packet::Message);
        prop_assert_eq!(read, sent.collect::<Vec<_>>());
    }

    #[test]
    fn any_v3_body_comes_to_an_end(body in vec(any::<u8>(), 0..300), kind in 0..4_u8) {
        // Bytes that are only random hardly ever come behind the first length.
        let of = |alphabet: &[u8]| -> Vec<u8> {
            body.iter().map(|byte| alphabet[usize::from(*byte) % alphabet.len()]).collect()
        };
        let body = match kind {
            0 => of("01246:b😀".as_bytes()),
            1 => of(&[0, 1, 2, 0xff, 4, b'4']),
            2 => [&[0, 1, 0xff, b'6'][..], &body].concat(),
            _ => body,
        };
        let len = body.len();
        if let Ok(payload) = Payload::v3(Bytes::from(body), u32::MAX) {
            let packets: Vec<_> = payload.collect();
            prop_assert!(packets.len() <= len);
            let errors = packets.iter().filter(|packet| packet.is_err()).count();
            prop_assert!(errors == 0 || errors == 1 && packets[packets.len() - 1].is_err());
        }
    }

    #[test]
    fn a_script_holds_any_body_as_one_text(body in ".{0,100}", index: u32) {
        let script = String::from_utf8(jsonp::script(index, body.as_bytes())).unwrap();
        let head = format!("___eio[{index}](");
        let text = script.strip_prefix(&head).and_then(|rest| rest.strip_suffix(");")).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(text).unwrap(), body);
        let ends = text.contains(['<', '\n', '\r', '\u{2028}', '\u{2029}']);
        prop_assert!(!ends);
    }

    /// What a client does to a body, and back.
    #[test]
    fn a_form_gives_any_body(body in "[an\\\\\n%&=+😀]{0,60}") {
        // Which of the two it was, a client does not say.
        prop_assume!(!body.contains("\\\n"));
        let escaped = body.replace("\\n", "\\\n").replace('\n', "\\n");
        let encoded: String = escaped.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let form = format!("x=1&d={encoded}");
        prop_assert_eq!(jsonp::body(form.as_bytes()).unwrap(), body.as_bytes());
    }

    #[test]
    fn percent_decoding_never_grows_a_text(text in vec(any::<u8>(), 0..100)) {
        prop_assert!(percent::decode(&text).len() <= text.len());
    }
}
