//! Packets as msgpack: what other libraries write, what no library would, and the way there and back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::engine::Data;
use roomful_proto::socket::{Arrived, Event, Mux, Plain, Whole};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::{AckId, Args, Letter, Limits, Moment, MsgPack, Parcel, Parser, Violation};

const NOW: Moment = Moment::from_millis(0);

/// A mux that has joined `/` and `/a`.
fn mux() -> Mux {
    let mut mux = Mux::new(NOW, roomful_proto::engine::Revision::V4, Arc::new(Limits::default()));
    for text in ["0", "0/a,"] {
        let Some(Arrived::Connect { slot, .. }) = take_one(&mut mux, text_message(text)) else {
            panic!("no CONNECT");
        };
        assert!(mux.accept(slot));
    }
    mux
}

fn text_message(text: &str) -> Data {
    Data::Text(Bytes::copy_from_slice(text.as_bytes()))
}

/// What arrives with a message of the default encoding.
fn take_one(mux: &mut Mux, message: Data) -> Option<Arrived> {
    let mut arrived = None;
    mux.take(NOW, message, &mut arrived).unwrap();
    arrived
}

fn take_whole(mux: &mut Mux, whole: Whole) -> Result<Option<Arrived>, Violation> {
    let mut arrived = None;
    mux.take_whole(NOW, whole, &mut arrived)?;
    Ok(arrived)
}

fn take(mux: &mut Mux, message: impl Into<Bytes>) -> Result<Option<Arrived>, Violation> {
    take_whole(mux, MsgPack.decode(Data::Binary(message.into()), &Limits::default())?)
}

/// The event in a message.
fn event(message: impl Into<Bytes>) -> Result<Event, Violation> {
    match take(&mut mux(), message)? {
        Some(Arrived::Event { event, .. }) => Ok(event),
        other => panic!("{other:?} is no event"),
    }
}

/// The message that a parcel is.
fn message(parcel: &Parcel) -> Bytes {
    let frames: Vec<_> = frame::split(parcel.wire()).collect();
    let [(Opcode::Binary, bytes)] = frames[..] else {
        panic!("{frames:?} is not one binary message");
    };
    Bytes::copy_from_slice(bytes)
}

/// An event as a server sends it.
fn sent(name: &str, args: &Args) -> Bytes {
    let letter = Letter::event("/", None, name, args).unwrap();
    message(&Parcel::worded(letter, &MsgPack))
}

/// What arrives of arguments that are sent.
fn there_and_back(args: &Args) -> Args {
    event(sent("e", args)).unwrap().args
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// An event of `/` with this payload.
fn packet(payload: &[u8]) -> Vec<u8> {
    [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", payload].concat()
}

/// An event `e` with one argument.
fn event_of(argument: &[u8]) -> Vec<u8> {
    packet(&[b"\x92\xa1e", argument].concat())
}

/// The JSON of the argument of an event, as it arrives.
fn json_of(argument: &[u8]) -> Result<String, Violation> {
    let event = event(event_of(argument))?;
    Ok(String::from_utf8(event.args.as_json().to_vec()).unwrap())
}

/// A packet of other libraries, and what it is in the default encoding.
struct Vector {
    libraries: &'static str,
    message: Vec<u8>,
    text: &'static str,
    attachments: Vec<Bytes>,
}

fn vectors() -> Vec<Vector> {
    let lines = include_str!("msgpack/vectors.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let vectors = lines.map(|line| {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap();
        let (libraries, message) = (word(), from_hex(word()));
        let mut parts = word().split('␞');
        let text = parts.next().unwrap();
        Vector {
            libraries,
            message,
            text,
            attachments: parts.map(|p| from_hex(p).into()).collect(),
        }
    });
    let vectors: Vec<_> = vectors.collect();
    assert!(vectors.len() > 20);
    vectors
}

mod others {
    use super::*;

    /// What a mux makes of the default encoding.
    fn expected(mux: &mut Mux, vector: &Vector) -> Option<Arrived> {
        let Vector { text, attachments, .. } = vector;
        let (digit, rest) = text.split_at(1);
        if attachments.is_empty() {
            return take_one(mux, text_message(text));
        }
        let digit = if digit == "2" { "5" } else { "6" };
        let text = format!("{digit}{}-{rest}", attachments.len());
        assert!(take_one(mux, text_message(&text)).is_none());
        let last =
            attachments.iter().map(|bytes| take_one(mux, Data::Binary(bytes.clone()))).last();
        last.flatten()
    }

    /// Without what is not the same: where in the packet things are.
    fn shown(arrived: Option<Arrived>) -> String {
        let args = |args: &Args| {
            let json = String::from_utf8(args.as_json().to_vec()).unwrap();
            (json, args.attachments().to_vec())
        };
        match arrived {
            Some(Arrived::Event { slot, event }) => {
                format!("{slot:?} {} {:?} {:?}", event.name(), event.ack, args(&event.args))
            }
            Some(Arrived::Ack { slot, id, args: answer }) => {
                format!("{slot:?} {id:?} {:?}", args(&answer))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_dialect_is_read_as_the_default_encoding_is() {
        for vector in vectors() {
            let is_connect = vector.text.starts_with('0');
            let new =
                || Mux::new(NOW, roomful_proto::engine::Revision::V4, Arc::new(Limits::default()));
            let mux = || if is_connect { new() } else { mux() };
            let found = take(&mut mux(), vector.message.clone());
            let found =
                found.unwrap_or_else(|v| panic!("{} {}: {v}", vector.libraries, vector.text));
            let expected = expected(&mut mux(), &vector);
            assert_eq!(shown(found), shown(expected), "{}", vector.libraries);
        }
    }

    /// What all three write alike is what is written here, to the byte.
    #[test]
    fn payloads_are_written_as_all_of_them_do() {
        let mut compared = 0;
        for vector in vectors() {
            // NaN and the infinities are numbers to them, and come back as null.
            let is_same = vector.libraries == "np2+np3+mp" && !vector.text.contains("[\"f\"");
            let Some(Arrived::Event { event, .. }) =
                take(&mut mux(), vector.message.clone()).ok().flatten().filter(|_| is_same)
            else {
                continue;
            };
            let written = sent(event.name(), &event.args);
            let payload = written.strip_prefix(b"\x83\xa4type\x02\xa4data").unwrap();
            let payload = payload.strip_suffix(b"\xa3nsp\xa1/").unwrap();
            let found = vector.message.windows(payload.len()).any(|part| part == payload);
            assert!(found, "{}: {written:02x?}", vector.text);
            compared += 1;
        }
        assert!(compared >= 7, "only {compared} payloads are the same");
    }

    #[test]
    fn a_message_that_ends_early_is_refused_at_every_byte() {
        for vector in vectors() {
            for end in 0..vector.message.len() {
                let cut = Bytes::copy_from_slice(&vector.message[..end]);
                let found = MsgPack.decode(Data::Binary(cut), &Limits::default());
                assert!(found.is_err(), "{} at {end}", vector.text);
            }
        }
    }

    #[test]
    fn a_byte_more_is_refused() {
        for mut vector in vectors() {
            vector.message.push(0xc0);
            let found = MsgPack.decode(Data::Binary(vector.message.into()), &Limits::default());
            assert_eq!(found.unwrap_err(), Violation::Malformed, "{}", vector.text);
        }
    }

    #[test]
    fn no_byte_in_another_place_does_harm() {
        for vector in vectors() {
            for at in 0..vector.message.len().min(200) {
                for byte in [0x00, 0x7f, 0x80, 0x91, 0xc0, 0xc1, 0xc6, 0xc9, 0xd4, 0xdd, 0xdf, 0xff]
                {
                    let mut message = vector.message.clone();
                    message[at] = byte;
                    // Some are packets all the same.
                    let _ = take(&mut mux(), message);
                }
            }
        }
    }
}

mod values {
    use super::*;

    #[test]
    fn every_form_of_a_number_is_read() {
        let check = |bytes: &[u8], json: &str| assert_eq!(json_of(bytes).unwrap(), json);
        check(b"\x00", "0");
        check(b"\x7f", "127");
        check(b"\xe0", "-32");
        check(b"\xff", "-1");
        check(b"\xcc\xff", "255");
        check(b"\xcd\xff\xff", "65535");
        check(b"\xce\xff\xff\xff\xff", "4294967295");
        check(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615");
        check(b"\xd0\x80", "-128");
        check(b"\xd0\x05", "5");
        check(b"\xd1\x80\x00", "-32768");
        check(b"\xd2\x80\x00\x00\x00", "-2147483648");
        check(b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808");
        check(b"\xca\x3f\x00\x00\x00", "0.5");
        let float = |number: f64, json: &str| {
            check(&[&b"\xcb"[..], &number.to_be_bytes()].concat(), json);
        };
        float(0.1, "0.1");
        float(-0.0, "0");
        float(5.0, "5");
        float(-9007199254740992.0, "-9007199254740992");
        float(-9223372036854775808.0, "-9223372036854775808");
        float(1e19, "10000000000000000000");
        let large = json_of(b"\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c").unwrap();
        assert_eq!(large.parse(), Ok(1e300));
        float(f64::NAN, "null");
        float(f64::INFINITY, "null");
        float(f64::NEG_INFINITY, "null");
    }

    /// Integers in the shortest form, whatever they look like in JSON; all else is eight bytes.
    #[test]
    fn numbers_are_written_as_javascript_has_them() {
        let check = |json: &str, expected: &[u8]| {
            let args = event_text(json);
            let payload = [b"\x92\xa1e", expected].concat();
            let message = sent("e", &args);
            assert!(message.windows(payload.len()).any(|part| part == payload), "{json}");
        };
        check("0", b"\x00");
        check("-0", b"\x00");
        check("-0.0", b"\x00");
        check("1e3", b"\xcd\x03\xe8");
        check("1.0", b"\x01");
        check("-1E0", b"\xff");
        check("1e18", b"\xcf\x0d\xe0\xb6\xb3\xa7\x64\x00\x00");
        check("18446744073709551615", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
        check("-9223372036854775808", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
        check("1.5", b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00");
        let float = |number: f64| [&b"\xcb"[..], &number.to_be_bytes()].concat();
        check("1e20", &float(1e20));
        check("18446744073709551616", &float(18446744073709551616.0));
        check("-1e300", &float(-1e300));
        check("1e999", &float(f64::INFINITY));
    }

    #[test]
    fn texts_are_escaped_one_way_and_not_the_other() {
        assert_eq!(json_of(b"\xa5a\"\\\n\x01").unwrap(), r#""a\"\\\n\u0001""#);
        let check = |json: &str, expected: &str| {
            let message = sent("e", &event_text(json));
            let payload =
                [&b"\x92\xa1e"[..], &[0xa0 | expected.len() as u8], expected.as_bytes()].concat();
            assert!(message.windows(payload.len()).any(|part| part == payload), "{json}");
        };
        check(r#""a\"\\\/\b\f\n\r\t\u0000b""#, "a\"\\/\u{8}\u{c}\n\r\t\0b");
        check(r#""\u00e9\uD83D\ude00!""#, "é😀!");
        check(r#""\ud800""#, "\u{fffd}");
        check(r#""\ud800\ud83d\ude00""#, "\u{fffd}😀");
        check(r#""\udc00x\ud800\u0041""#, "\u{fffd}x\u{fffd}A");
    }

    #[test]
    fn spaces_in_json_say_nothing() {
        let spaced = event_text(" { \"a\" : [ 1 , { } , [ ] ] ,\n \"b\":\t\"x\" } ");
        assert_eq!(there_and_back(&spaced).as_json(), br#"{"a":[1,{},[]],"b":"x"}"#);
    }

    #[test]
    fn timestamps_are_dates() {
        let check = |bytes: &[u8], json: &str| assert_eq!(json_of(bytes).unwrap(), json);
        check(b"\xd6\xff\xff\xff\xff\xff", r#""2106-02-07T06:28:15.000Z""#);
        check(b"\xc7\x04\xff\x00\x00\x00\x01", r#""1970-01-01T00:00:01.000Z""#);
        // The largest: 34 bits of seconds, 999,999,999 ns.
        check(b"\xd7\xff\xee\x6b\x27\xff\xff\xff\xff\xff", r#""2514-05-30T01:53:03.999Z""#);
        check(b"\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "null");
        let seconds =
            |seconds: i64| [&b"\xc7\x0c\xff\x00\x00\x00\x00"[..], &seconds.to_be_bytes()].concat();
        check(&seconds(-1), r#""1969-12-31T23:59:59.000Z""#);
        check(&seconds(i64::MAX), "null");
        for broken in [
            &b"\xd7\xff\xee\x6b\x28\x00\x00\x00\x00\x00"[..],
            b"\xc7\x0c\xff\x3b\x9a\xca\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\xc7\x05\xff\x00\x00\x00\x00\x00",
            b"\xc7\x00\xff",
            b"\xd8\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        ] {
            assert_eq!(json_of(broken), Err(Violation::Malformed), "{broken:02x?}");
        }
    }

    /// Other extensions than those of the two dialects mean something that nobody here knows.
    #[test]
    fn unknown_extensions_are_refused() {
        for broken in [
            &b"\xd4\x01\x00"[..],
            b"\xd4\xff\x00",
            b"\xd5\x00\x01\x02",
            b"\xd6\x00\x01\x02\x03\x04",
            b"\xd6\x05\x01\x02\x03\x04",
            b"\xd7\x7f\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\xd8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\xc7\x01\x01\x00",
            b"\xc1",
        ] {
            assert_eq!(json_of(broken), Err(Violation::Malformed), "{broken:02x?}");
        }
    }

    #[test]
    fn what_is_undefined_is_left_out_of_objects() {
        let check = |bytes: &[u8], json: &str| assert_eq!(json_of(bytes).unwrap(), json);
        check(b"\x81\xa1a\xd4\x00\x00", "{}");
        check(b"\x83\xa1a\x01\xa1b\xd4\x00\x00\xa1c\x02", r#"{"a":1,"c":2}"#);
        check(b"\x82\xa1a\xd4\x00\x00\xa1b\x93\xd4\x00\x00\xc0\x80", r#"{"b":[null,null,{}]}"#);
    }

    #[test]
    fn attachments_come_back_in_their_places() {
        let bytes = |n: u8| Bytes::from(vec![n; usize::from(n)]);
        let many: Vec<_> = (0..200).map(bytes).collect();
        let args = Args::new(&(1, &many, "x", vec![&many[7]])).unwrap();
        let back = there_and_back(&args);
        assert_eq!(back, args);
        assert_eq!(back.get::<Vec<Bytes>>(1).unwrap(), many);
        let large = Args::new(&(bytes(255), Bytes::from(vec![1; 70_000]))).unwrap();
        assert_eq!(there_and_back(&large), large);
    }

    /// However a placeholder is written: a parser may let it be as it came.
    #[test]
    fn any_placeholder_stands_for_its_attachment() {
        let json = r#"["e",{"num":1,"x":[{}],"_placeholder":true},[{"_place\u0068older":true,"num":0}],[[]]]"#;
        let mut whole = Whole::new(2, "/", None).unwrap();
        whole.json().extend_from_slice(json.as_bytes());
        whole.attachments().extend([Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
        let Some(Arrived::Event { event, .. }) = take_whole(&mut mux(), whole).unwrap() else {
            panic!("no event");
        };
        let message = sent("e", &event.args);
        let payload = b"\x94\xa1e\xc4\x01b\x91\xc4\x01a\x91\x90";
        assert!(message.windows(payload.len()).any(|part| part == payload), "{message:02x?}");
    }

    /// The arguments of a text event `e`.
    fn event_text(json: &str) -> Args {
        match take_one(&mut mux(), text_message(&format!(r#"2["e",{json}]"#))) {
            Some(Arrived::Event { event, .. }) => event.args,
            other => panic!("{other:?}"),
        }
    }
}

mod packets {
    use super::*;

    #[test]
    fn each_packet_of_a_server_is_written_to_the_byte() {
        let check = |letter: Letter, expected: &[u8]| {
            assert_eq!(message(&Parcel::worded(letter, &MsgPack)), expected);
        };
        let id = roomful_proto::SocketId::from_random([0; 15]);
        check(
            Letter::connected("/", id, None),
            b"\x83\xa4type\x00\xa4data\x81\xa3sid\xb4AAAAAAAAAAAAAAAAAAAA\xa3nsp\xa1/",
        );
        check(
            Letter::refused("/a", r#"{"message":"no"}"#),
            b"\x83\xa4type\x04\xa4data\x81\xa7message\xa2no\xa3nsp\xa2/a",
        );
        check(Letter::disconnected("/a"), b"\x82\xa4type\x01\xa3nsp\xa2/a");
        check(
            Letter::event("/", AckId::new(300), "e", &Bytes::from_static(b"b")).unwrap(),
            b"\x84\xa4type\x02\xa4data\x92\xa1e\xc4\x01b\xa2id\xcd\x01\x2c\xa3nsp\xa1/",
        );
        let answer = roomful_proto::Answer::new(AckId::new(0).unwrap(), &()).unwrap();
        check(answer.address("/a"), b"\x84\xa4type\x03\xa4data\x90\xa2id\x00\xa3nsp\xa2/a");
    }

    /// The forms for polling and for clients without binary frames follow by themselves.
    #[test]
    fn every_form_of_a_parcel_is_the_same_message() {
        let parcel = Parcel::worded(Letter::disconnected("/a"), &MsgPack);
        assert_eq!(parcel.polling(), b"bgqR0eXBlAaNuc3CiL2E=");
        let frames: Vec<_> = frame::split(parcel.form(roomful_proto::Form::TextOnly)).collect();
        assert_eq!(frames, [(Opcode::Text, &b"bgqR0eXBlAaNuc3CiL2E="[..])]);
    }

    /// A parser may write texts, too.
    #[test]
    fn a_text_of_a_parser_is_a_text_message() {
        #[derive(Debug)]
        struct Names;

        impl Parser for Names {
            fn decode(&self, _: Data, _: &Limits) -> Result<Whole, Violation> {
                Err(Violation::Malformed)
            }

            fn encode(&self, packet: &Plain<'_>) -> Data {
                let (number, json) = (packet.number(), packet.json());
                let attached = packet.attachments();
                Data::Text(format!("{number} {} {json:?} {attached:?}", packet.namespace()).into())
            }
        }

        let args = Bytes::from_static(b"b");
        let letter = Letter::event("/a", None, "e", &args).unwrap();
        let parcel = Parcel::worded(letter, &Names);
        let json = r#"["e",{"_placeholder":true,"num":0}]"#;
        let expected = format!("42 /a {:?} [[98]]", Some(json));
        assert_eq!(parcel.polling(), expected.as_bytes());
    }

    #[test]
    fn keys_come_in_any_order_and_others_are_passed_over() {
        let message = b"\x86\xa1x\x92\x80\x81\x01\x02\xa4data\x91\xa1e\xa3nsp\xa2/a\
            \xa2id\x07\xa4type\x02\xa7options\xc7\x01\x63\x00";
        assert_eq!(
            MsgPack
                .decode(Data::Binary(Bytes::from_static(message)), &Limits::default())
                .unwrap_err(),
            Violation::Malformed,
            "what is passed over must be msgpack that is known here"
        );
        let message = b"\x86\xa1x\x92\x80\x81\x01\x02\xa4data\x91\xa1e\xa3nsp\xa2/a\
            \xa2id\x07\xa4type\x02\xa7options\xc0";
        let event = event(&message[..]).unwrap();
        assert_eq!((event.name(), event.ack), ("e", AckId::new(7)));
    }

    #[test]
    fn what_is_not_a_packet_is_named() {
        use Violation::*;
        let check = |message: &[u8], violation| {
            let found = take(&mut mux(), message.to_vec());
            assert_eq!(found.map(drop), Err(violation), "{}", message.escape_ascii());
        };
        check(b"", Malformed);
        check(b"\xc0", Malformed);
        check(b"\x92\x01\x02", Malformed);
        check(b"\x80", PacketType);
        check(b"\x81\xa4type\x01", Malformed);
        check(b"\x81\xa3nsp\xa1/", PacketType);
        check(b"\x82\xa4type\x01\xa3nsp\x01", Malformed);
        check(b"\x82\xa4type\x05\xa3nsp\xa1/", PacketType);
        check(b"\x82\xa4type\xff\xa3nsp\xa1/", PacketType);
        check(b"\x82\xa4type\xa11\xa3nsp\xa1/", PacketType);
        check(b"\x82\xa4type\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xa3nsp\xa1/", PacketType);
        check(b"\x83\xa4type\x01\xa4type\x01\xa3nsp\xa1/", Malformed);
        check(b"\x83\xa4type\x01\xa3nsp\xa1/\xa3nsp\xa1/", Malformed);
        check(b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1e\xa4data\xc0", Malformed);
        check(b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1e\xa2id\xa11", Malformed);
        check(b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1e\xa2id\xff", AckId);
        check(
            b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1e\xa2id\xcf\x00\x20\0\0\0\0\0\0",
            AckId,
        );
        check(b"\x82\x01\x01\xa4type\x01", Malformed);
        check(b"\x82\xa4type\x02\xa3nsp\xa1/", Payload);
        check(b"\x82\xa4type\x04\xa3nsp\xa1/", Unexpected);
        check(b"\x83\xa4type\x03\xa3nsp\xa1/\xa4data\x90", Payload);
        check(b"\x83\xa4type\x01\xa3nsp\xa1/\xa4data\x80", Payload);
        check(b"\x83\xa4type\x00\xa3nsp\xa2/n\xa4data\x90", Payload);
        check(b"\x83\xa4type\x00\xa3nsp\xa2/n\xa4data\xa1x", Payload);
        check(b"\x83\xa4type\x00\xa3nsp\xa2/n\xa4data\x81\xa1x\xc4\x00", Payload);
        check(b"\x82\xa4type\x00\xa3nsp\xa1/", ConnectTwice);
        check(&packet(b"\x80"), Payload);
        check(&packet(b"\x05"), Payload);
        check(&packet(b"\x90"), EventName);
        check(&packet(b"\x91\xc0"), EventName);
        check(&packet(b"\x91\x80"), EventName);
        check(&packet(b"\x91\xc4\x01a"), EventName);
        check(&packet(b"\x91\xaadisconnect"), ReservedEvent);
        check(&packet(&[b"\x91\xda\x02\x01", &[b'x'; 513][..]].concat()), EventName);
        check(&event_of(b"\xa2\xff\xfe"), Utf8);
        check(&event_of(b"\xa3\xed\xa0\x80"), Utf8);
        check(&event_of(b"\x81\x01\x02"), Malformed);
        check(&event_of(b"\x81\xc4\x01a\x02"), Malformed);
        check(&event_of(b"\x81\xa1\xff\x02"), Utf8);
    }

    #[test]
    fn a_text_is_no_packet() {
        for text in ["0", r#"2["e"]"#, ""] {
            let found = MsgPack.decode(text_message(text), &Limits::default());
            assert_eq!(found.unwrap_err(), Violation::Malformed);
        }
    }

    #[test]
    fn a_namespace_is_a_name_as_in_any_packet() {
        let long = format!("/{}", "a".repeat(600));
        for name in ["", "a", "12", "a/b", "/a,", "/a,b", ",", "//,", &long] {
            let mut whole = Whole::new(0, name, None).unwrap();
            whole.json().extend_from_slice(b"{}");
            let found = take_whole(&mut mux(), whole).map(drop);
            assert_eq!(found, Err(Violation::NamespaceName), "{name:?}");
        }
        for name in ["/b", "/b/c", "//", "/é[\"", "/1"] {
            let whole = Whole::new(0, name, AckId::new(5)).unwrap();
            let mut mux = mux();
            let Some(Arrived::Connect { slot, auth: None }) = take_whole(&mut mux, whole).unwrap()
            else {
                panic!("{name} is not joined");
            };
            assert_eq!(mux.namespace(slot), name);
        }
    }

    #[test]
    fn the_limit_of_an_auth_payload_is_that_of_its_json() {
        let connect = |name: &str, bytes: usize| {
            let mut whole = Whole::new(0, name, None).unwrap();
            let json = format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
            whole.json().extend_from_slice(json.as_bytes());
            take_whole(&mut mux(), whole).unwrap()
        };
        let bytes_max = Limits::default().auth_bytes_max;
        assert!(matches!(connect("/b", bytes_max), Some(Arrived::Connect { .. })));
        assert!(matches!(connect("/b", bytes_max + 1), Some(Arrived::AuthTooLarge { .. })));
    }

    /// What looks like a placeholder and is none.
    #[test]
    fn a_lie_is_only_an_object_or_is_refused() {
        let lie = b"\x82\xac_placeholder\xc3\xa3num\x00";
        let alone = event(event_of(lie)).unwrap();
        assert_eq!(alone.args.as_json(), br#"{"_placeholder":true,"num":0}"#);
        assert_eq!(there_and_back(&alone.args), alone.args);
        let beside = [&b"\x92\xc4\x01a"[..], lie].concat();
        assert_eq!(event(event_of(&beside)).unwrap_err(), Violation::Placeholder);
        let far = b"\x92\xc4\x01a\x82\xac_placeholder\xc3\xa3num\xff";
        assert_eq!(event(event_of(far)).unwrap_err(), Violation::Placeholder);
    }

    #[test]
    fn there_are_five_types() {
        for number in 0..=u8::MAX {
            let whole = Whole::new(number, "/", None);
            let expected = if number < 5 { Ok(()) } else { Err(Violation::PacketType) };
            assert_eq!(whole.map(drop), expected, "{number}");
        }
    }

    #[test]
    fn a_careless_parser_harms_nobody() {
        let whole = || Whole::new(2, "/a", None).unwrap();
        let refused = |whole: Whole| take_whole(&mut mux(), whole).map(drop).unwrap_err();
        let mut cut = whole();
        cut.json().clear();
        assert_eq!(refused(cut), Violation::NamespaceName);
        let mut other = whole();
        other.json().clear();
        other.json().extend_from_slice(br#"["a","a"]"#);
        assert_eq!(refused(other), Violation::NamespaceName);
        let mut binary = whole();
        binary.json().extend_from_slice(b"[\"\xff\"]");
        assert_eq!(refused(binary), Violation::Utf8);
        let mut broken = whole();
        broken.json().extend_from_slice(b"[\"a\"");
        assert_eq!(refused(broken), Violation::Payload);
        let mut large = whole();
        large.json().extend_from_slice(b"[\"a\"");
        large.json().resize(4_100_000, b' ');
        assert_eq!(refused(large), Violation::Expansion);
        let mut heavy = whole();
        heavy.json().extend_from_slice(b"[\"a\",");
        heavy.attach(vec![0; 1_000_001].into());
        heavy.json().push(b']');
        assert_eq!(refused(heavy), Violation::AttachmentBytes);
    }
}

mod costs {
    use super::*;

    #[test]
    fn lengths_that_are_only_declared_cost_nothing() {
        for marker in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
            let declared = [marker, 0xff, 0xff, 0xff, 0xff];
            for tail in [&b""[..], b"\x00", b"\xa1a\x01"] {
                let argument = [&declared[..], tail].concat();
                assert_eq!(json_of(&argument), Err(Violation::Malformed), "{marker:02x}");
                let found = take(&mut mux(), argument).map(drop);
                assert_eq!(found, Err(Violation::Malformed), "{marker:02x}");
            }
        }
    }

    #[test]
    fn depth_is_bounded_and_nothing_is_recursive() {
        let deep = |open: &[u8], close: &[u8], levels| [&open.repeat(levels), close].concat();
        // The array of the event is a level, too.
        assert!(json_of(&deep(b"\x91", b"\x90", 510)).is_ok());
        assert_eq!(json_of(&deep(b"\x91", b"\x90", 511)), Err(Violation::Depth));
        for levels in [100_000, 330_000] {
            assert_eq!(json_of(&deep(b"\x91", b"\x90", levels)), Err(Violation::Depth));
            assert_eq!(json_of(&deep(b"\x81\xa1a", b"\x90", levels)), Err(Violation::Depth));
        }
        // What is only passed over may be as deep as it likes.
        let options = deep(b"\x91", b"\xc0", 1_000_000);
        let message = [&b"\x83\xa4type\x01\xa3nsp\xa1/\xa7options"[..], &options].concat();
        assert!(matches!(take(&mut mux(), message), Ok(Some(Arrived::Disconnect { .. }))));
    }

    #[test]
    fn json_that_grows_too_much_is_refused() {
        let limits = Limits::default();
        let list = |len: u32, value: &[u8]| {
            [&b"\xdd"[..], &len.to_be_bytes(), &value.repeat(len as usize)].concat()
        };
        let text = |len: u32| [&b"\xdb"[..], &len.to_be_bytes(), &vec![1; len as usize]].concat();
        assert!(json_of(&list(660_000, b"\xc2")).unwrap().len() < limits.json_bytes_max());
        assert_eq!(json_of(&list(990_000, b"\xc2")), Err(Violation::Expansion));
        assert!(json_of(&text(660_000)).unwrap().len() < limits.json_bytes_max());
        assert_eq!(json_of(&text(990_000)), Err(Violation::Expansion));
    }

    #[test]
    fn attachments_are_counted() {
        let list =
            |len: u16| [&b"\xdc"[..], &len.to_be_bytes(), &b"\xc4\x00".repeat(len.into())].concat();
        assert_eq!(event(event_of(&list(10_000))).unwrap().args.attachments().len(), 10_000);
        assert_eq!(json_of(&list(10_001)), Err(Violation::AttachmentCount));
    }

    /// Else one byte that is kept would keep a megabyte that nobody counts.
    #[test]
    fn a_small_attachment_does_not_keep_a_large_message() {
        let message = |attached: &[u8], padding: usize| {
            let text =
                [&b"\xda"[..], &(padding as u16).to_be_bytes(), &vec![b'x'; padding]].concat();
            let len = (attached.len() as u16).to_be_bytes();
            Bytes::from(event_of(&[&b"\x92\xc5"[..], &len, attached, &text].concat()))
        };
        let lies_in = |message: &Bytes| {
            let event = event(message.clone()).unwrap();
            let attachment = event.args.attachments()[0].as_ptr();
            message.as_ptr_range().contains(&attachment)
        };
        assert!(!lies_in(&message(b"small", 60_000)));
        assert!(lies_in(&message(&[7; 60_000], 100)), "a large one is not copied");
    }
}
