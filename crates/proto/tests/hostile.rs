//! Bad input on purpose, layer by layer. Each must end in the error that names it, and cost no more
//! than was sent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::payload::Payload;
use roomful_proto::engine::{Data, Input, Packet, Revision, Transport};
use roomful_proto::error::ArgCause;
use roomful_proto::socket::packet::RESERVED_EVENTS;
use roomful_proto::socket::{Arrived, Event, Mux, Slot};
use roomful_proto::ws::{Decoder, Message, Role, WsError};
use roomful_proto::{Limits, Moment, Parcel, Reason, Violation};
use serde_json::Value;
use support::{Sent, Server};

mod frames {
    use super::*;

    fn decoder() -> Decoder {
        Decoder::new(Role::Server, 1000, 100)
    }

    /// A masked frame of that first byte; its length must be below 126.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut wire = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        wire.extend(payload);
        wire
    }

    /// Checks that the last of these frames is refused so, those before give nothing, and that the
    /// code to close with is this.
    fn check(wire: &[Vec<u8>], error: WsError, code: u16) {
        let mut decoder = decoder();
        let (last, before) = wire.split_last().unwrap();
        for frame in before {
            assert_eq!(decoder.receive(&mut &mut frame.clone()[..]), Ok(None));
        }
        let found = decoder.receive(&mut &mut last.clone()[..]);
        assert_eq!(found, Err(error), "{wire:02x?}");
        assert_eq!(error.code().get(), code);
    }

    #[test]
    fn an_unmasked_frame_of_a_client_is_refused() {
        check(&[vec![0x81, 1, b'a']], WsError::Mask, 1002);
        check(&[vec![0x89, 0]], WsError::Mask, 1002);
    }

    #[test]
    fn a_masked_frame_of_a_server_is_refused() {
        let mut decoder = Decoder::new(Role::Client, 1000, 100);
        let found = decoder.receive(&mut &mut masked(0x81, b"a")[..]);
        assert_eq!(found, Err(WsError::Mask));
    }

    #[test]
    fn reserved_bits_are_refused_on_every_frame() {
        for bit in [0x40, 0x20, 0x10] {
            for opcode in [0, 1, 2, 8, 9, 10] {
                check(&[masked(0x80 | bit | opcode, b"")], WsError::ReservedBits, 1002);
            }
        }
    }

    #[test]
    fn opcodes_that_do_not_exist_are_refused() {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[masked(0x80 | opcode, b"")], WsError::Opcode, 1002);
        }
    }

    #[test]
    fn a_fragmented_control_frame_is_refused() {
        for opcode in [8, 9, 10] {
            check(&[masked(opcode, b"")], WsError::Control, 1002);
        }
    }

    #[test]
    fn a_control_frame_above_125_bytes_is_refused_by_its_header() {
        for opcode in [0x88, 0x89, 0x8a] {
            check(&[vec![opcode, 0x80 | 126]], WsError::Control, 1002);
            check(&[vec![opcode, 0x80 | 127]], WsError::Control, 1002);
        }
    }

    #[test]
    fn a_close_frame_of_one_byte_is_refused() {
        check(&[masked(0x88, &[3])], WsError::Close, 1002);
    }

    #[test]
    fn a_close_frame_with_a_code_that_may_not_be_sent_is_refused() {
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            check(&[masked(0x88, &code.to_be_bytes())], WsError::Close, 1002);
        }
    }

    #[test]
    fn a_close_reason_that_is_not_utf8_is_refused() {
        check(&[masked(0x88, &[0x03, 0xe8, 0xff])], WsError::Utf8, 1007);
    }

    #[test]
    fn bad_utf8_is_refused_at_its_first_byte_wherever_the_text_is_cut() {
        for bad in [&[0xc0, 0x80][..], &[0xed, 0xa0, 0x80], &[0xf4, 0x90, 0x80, 0x80], &[0xff]] {
            for cut in 0..bad.len() {
                // As long as what came may still become a character, nothing is wrong.
                match std::str::from_utf8(&bad[..cut]) {
                    Err(e) if e.error_len().is_some() => break,
                    _ => {}
                }
                let frames = [masked(0x01, &bad[..cut]), masked(0x80, &bad[cut..])];
                check(&frames, WsError::Utf8, 1007);
            }
        }
        // The second half is still under way, and it is refused all the same.
        let mut cut = masked(0x81, &[b'a', 0xff, b'a', b'a']);
        cut.truncate(8);
        check(&[cut], WsError::Utf8, 1007);
    }

    #[test]
    fn a_text_that_ends_inside_a_character_is_refused() {
        check(&[masked(0x81, &[0xe2, 0x82])], WsError::Utf8, 1007);
        check(&[masked(0x01, &[0xe2]), masked(0x80, &[0x82])], WsError::Utf8, 1007);
    }

    #[test]
    fn a_continuation_without_a_beginning_is_refused() {
        check(&[masked(0x80, b"")], WsError::Continuation, 1002);
        check(&[masked(0x00, b"")], WsError::Continuation, 1002);
        let mut decoder = decoder();
        let mut wire = [masked(0x81, b"a"), masked(0x80, b"b")].concat();
        let mut rest = &mut wire[..];
        let whole = decoder.receive(&mut rest);
        assert_eq!(whole, Ok(Some(Message::Text("a".into()))));
        assert_eq!(decoder.receive(&mut rest), Err(WsError::Continuation));
    }

    #[test]
    fn a_message_inside_a_fragmented_one_is_refused() {
        for inner in [0x81, 0x82, 0x01, 0x02] {
            for outer in [0x01, 0x02] {
                let frames = [masked(outer, b"a"), masked(inner, b"b")];
                check(&frames, WsError::Continuation, 1002);
            }
        }
    }

    #[test]
    fn a_length_of_2_to_the_63_is_refused_and_nothing_is_allocated() {
        let declare = |len: u64| {
            let mut wire = vec![0x82, 0x80 | 127];
            wire.extend(len.to_be_bytes());
            wire.extend([0; 4]);
            wire
        };
        check(&[declare(1 << 63)], WsError::Length, 1002);
        check(&[declare(u64::MAX)], WsError::Length, 1002);
        check(&[declare((1 << 63) - 1)], WsError::TooBig, 1009);
        check(&[declare(1 << 32)], WsError::TooBig, 1009);
        // Within the limit, only what was sent is held.
        let mut decoder = Decoder::new(Role::Server, 1 << 40, 100);
        assert_eq!(decoder.receive(&mut &mut declare(1 << 39)[..]), Ok(None));
        assert_eq!(decoder.held_bytes(), 0);
        assert_eq!(decoder.receive(&mut &mut [7; 10][..]), Ok(None));
        assert!(decoder.held_bytes() <= 20, "{}", decoder.held_bytes());
    }

    #[test]
    fn a_length_that_is_not_in_its_shortest_form_is_refused() {
        for len in [0_u16, 1, 125] {
            let [high, low] = len.to_be_bytes();
            check(&[vec![0x82, 0xfe, high, low, 0, 0, 0, 0]], WsError::Length, 1002);
        }
        for len in [0_u64, 125, 126, 65_535] {
            let mut wire = vec![0x82, 0xff];
            wire.extend(len.to_be_bytes());
            wire.extend([0; 4]);
            check(&[wire], WsError::Length, 1002);
        }
    }

    #[test]
    fn a_message_one_byte_above_the_limit_is_refused_before_it_is_there() {
        let header = |len: u16| {
            let [high, low] = len.to_be_bytes();
            vec![0x82, 0xfe, high, low, 0, 0, 0, 0]
        };
        check(&[header(1001)], WsError::TooBig, 1009);
        assert_eq!(decoder().receive(&mut &mut header(1000)[..]), Ok(None));
        // The limit is for the message, not for each fragment.
        let mut decoder = decoder();
        let half = [vec![0x02, 0xfe, 2, 0, 0, 0, 0, 0], vec![0; 512]].concat();
        assert_eq!(decoder.receive(&mut &mut half.clone()[..]), Ok(None));
        let mut rest = half;
        rest[0] = 0x80;
        assert_eq!(decoder.receive(&mut &mut rest[..]), Err(WsError::TooBig));
    }

    #[test]
    fn a_flood_of_pings_and_pongs_is_given_out_one_by_one_and_holds_nothing() {
        let mut decoder = decoder();
        let mut wire = [masked(0x89, &[7; 125]), masked(0x8a, b"")].concat().repeat(10_000);
        let mut rest = &mut wire[..];
        let mut count = 0;
        while let Some(message) = decoder.receive(&mut rest).unwrap() {
            // What is echoed is what was sent, to the length.
            match message {
                Message::Ping(bytes) => assert_eq!(bytes.len(), 125),
                Message::Pong(bytes) => assert_eq!(bytes.len(), 0),
                other => panic!("{other:?}"),
            }
            count += 1;
            assert_eq!(decoder.held_bytes(), 0);
        }
        assert_eq!(count, 20_000);
    }

    #[test]
    fn a_message_that_never_ends_is_refused_at_its_limits() {
        // In empty fragments it hits the limit of their number, in full ones that of its size.
        for (payload, error) in [(&b""[..], WsError::Fragments), (&[0; 125], WsError::TooBig)] {
            let mut decoder = decoder();
            let mut first = 0x02;
            let mut frames = 0;
            let found = loop {
                match decoder.receive(&mut &mut masked(first, payload)[..]) {
                    Ok(None) => frames += 1,
                    end => break end,
                }
                first = 0x00;
                assert!(decoder.held_bytes() <= 1000);
            };
            assert_eq!(found, Err(error));
            assert_eq!(frames, if payload.is_empty() { 100 } else { 8 });
        }
    }

    #[test]
    fn fragments_of_one_byte_are_joined_into_one_buffer() {
        let mut decoder = Decoder::new(Role::Server, 1_000_000, 100_000);
        let mut first = 0x01;
        for _ in 0..99_999 {
            assert_eq!(decoder.receive(&mut &mut masked(first, b"x")[..]), Ok(None));
            first = 0x00;
        }
        assert!(decoder.held_bytes() < 200_000, "{}", decoder.held_bytes());
        let whole = decoder.receive(&mut &mut masked(0x80, b"x")[..]);
        let Ok(Some(Message::Text(text))) = whole else {
            panic!("{whole:?}");
        };
        assert_eq!(text.len(), 100_000);
        assert_eq!(decoder.held_bytes(), 0);
    }

    #[test]
    fn a_connection_that_breaks_inside_a_frame_gives_no_message() {
        let wire = masked(0x81, b"hello");
        for end in 0..wire.len() {
            let mut decoder = decoder();
            assert_eq!(decoder.receive(&mut &mut wire.clone()[..end]), Ok(None));
        }
    }
}

mod engine {
    use super::*;

    /// All that a body gives, up to its error.
    fn body(text: impl Into<Bytes>) -> (usize, Option<Violation>) {
        let payload = match Payload::new(text.into(), 200_000) {
            Ok(payload) => payload,
            Err(violation) => return (0, Some(violation)),
        };
        let mut count = 0;
        for packet in payload {
            match packet {
                Ok(_) => count += 1,
                Err(violation) => return (count, Some(violation)),
            }
        }
        (count, None)
    }

    #[test]
    fn empty_and_unknown_packets_are_refused() {
        for text in ["", "7", "9", "x", " 4", "B", "\0", "é"] {
            let found = Packet::decode(&Bytes::from(text));
            assert_eq!(found, Err(Violation::EnginePacket), "{text:?}");
        }
    }

    #[test]
    fn separators_at_odd_places_are_empty_packets() {
        for (text, before) in
            [("", 0), ("\u{1e}", 0), ("\u{1e}4a", 0), ("4a\u{1e}", 1), ("4a\u{1e}\u{1e}4b", 1)]
        {
            let expected = (before, Some(Violation::EnginePacket));
            assert_eq!(body(text), expected, "{text:?}");
        }
        let separators = "\u{1e}".repeat(1_000_000);
        assert_eq!(body(separators), (0, Some(Violation::EnginePacket)));
    }

    #[test]
    fn packets_above_the_limit_of_a_body_are_not_taken() {
        let noops = |count| vec!["6"; count].join("\u{1e}");
        assert_eq!(body(noops(200_000)), (200_000, None));
        let above = (200_000, Some(Violation::PayloadPackets));
        assert_eq!(body(noops(200_001)), above);
        assert_eq!(body(noops(500_000)), above);
    }

    #[test]
    fn broken_base64_is_refused() {
        for text in ["b=", "bA", "bAQI", "bAQI=AQI=", "bAQ-_", "b AQI=", "bAQJ=", "bé"] {
            assert_eq!(body(text), (0, Some(Violation::Base64)), "{text}");
        }
        assert_eq!(body("b"), (1, None), "no bytes are bytes");
    }

    #[test]
    fn huge_base64_costs_what_it_says() {
        let found = Packet::decode(&Bytes::from(format!("b{}", "A".repeat(4_000_000))));
        let Ok(Packet::Message(Data::Binary(bytes))) = found else {
            panic!("{found:?}");
        };
        assert_eq!(bytes.len(), 3_000_000);
        let broken = format!("b{}?", "A".repeat(4_000_003));
        assert_eq!(body(broken), (0, Some(Violation::Base64)));
    }

    #[test]
    fn a_body_that_is_not_utf8_gives_no_packet_at_all() {
        let broken = Bytes::from_static(b"4a\x1e4\xff");
        assert_eq!(body(broken), (0, Some(Violation::Utf8)));
    }

    #[test]
    fn text_and_binary_mix_in_one_body() {
        assert_eq!(body("4a\u{1e}bAQ==\u{1e}4b\u{1e}b"), (4, None));
    }

    #[test]
    fn floods_of_noops_and_pongs_leave_no_trace() {
        let mut server = Server::new(Transport::WebSocket, Limits::default());
        let deadline = server.deadline();
        server.sent.clear();
        for _ in 0..50_000 {
            server.receive(Input::Frame(Data::Text("6".into())));
            server.receive(Input::Frame(Data::Text("3".into())));
        }
        assert_eq!(server.sent, []);
        assert_eq!(server.deadline(), deadline);
    }

    #[test]
    fn what_a_server_sends_is_refused_from_a_client() {
        for (text, reason) in
            [("0{}", Reason::ParseError), ("2", Reason::TransportError), ("5", Reason::ParseError)]
        {
            let mut server = Server::new(Transport::WebSocket, Limits::default());
            server.sent.clear();
            server.receive(Input::Frame(Data::Text(text.into())));
            let expected = [Sent::Broken(Violation::Unexpected), Sent::Closed(reason)];
            assert_eq!(server.sent, expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_said_after_the_end() {
        let mut server = Server::new(Transport::WebSocket, Limits::default());
        server.receive(Input::Frame(Data::Text("1".into())));
        server.sent.clear();
        for input in [
            Input::Frame(Data::Text("2".into())),
            Input::Gone { in_order: false },
            Input::Poll,
            Input::Poll,
            Input::Body("".into()),
            Input::ProbeOpened,
            Input::Probe(Data::Text("5".into())),
            Input::BodyBroken,
        ] {
            server.receive(input);
        }
        server.close(Reason::ServerShuttingDown);
        server.pass(Duration::from_secs(1000));
        assert_eq!(server.sent, []);
    }

    /// A poll can be under way while the upgrade packet is; on a WebSocket nobody will answer it.
    #[test]
    fn a_poll_after_the_upgrade_does_not_wait_for_ever() {
        let mut server = Server::new(Transport::Polling, Limits::default());
        for input in [
            Input::ProbeOpened,
            Input::Probe(Data::Text("2probe".into())),
            Input::Probe(Data::Text("5".into())),
            Input::Poll,
        ] {
            server.receive(input);
        }
        assert!(!server.session.is_polled());
    }
}

mod v3 {
    use super::*;

    /// How many packets a body gives up to its error.
    fn body(body: impl Into<Bytes>) -> (usize, Option<Violation>) {
        let payload = match Payload::v3(body.into(), 200_000) {
            Ok(payload) => payload,
            Err(violation) => return (0, Some(violation)),
        };
        let mut count = 0;
        for packet in payload {
            match packet {
                Ok(_) => count += 1,
                Err(violation) => return (count, Some(violation)),
            }
        }
        (count, None)
    }

    fn open(transport: Transport) -> Server {
        let mut server = Server::speaking(Revision::V3, false, transport, Limits::default());
        server.sent.clear();
        server
    }

    #[test]
    fn a_length_of_310_digits_is_refused_and_nothing_is_allocated() {
        for digit in ["0", "1", "9"] {
            let text = format!("{}:4", digit.repeat(310));
            assert_eq!(body(text), (0, Some(Violation::PayloadLength)));
        }
        for digit in [0, 1, 9] {
            let bytes = [&[1][..], &[digit; 310], &[0xff, 4]].concat();
            assert_eq!(body(bytes), (0, Some(Violation::PayloadLength)));
        }
        let terabyte = [&[1][..], &[9; 12], &[0xff, 4]].concat();
        assert_eq!(body(terabyte), (0, Some(Violation::PayloadLength)));
    }

    #[test]
    fn a_megabyte_of_digits_is_refused_by_the_first_few() {
        for digit in [b'1', 1, 0] {
            assert_eq!(body(vec![digit; 1_000_000]), (0, Some(Violation::PayloadLength)));
        }
    }

    #[test]
    fn many_small_packets_are_taken_up_to_the_limit() {
        assert_eq!(body("1:6".repeat(200_000)), (200_000, None));
        assert_eq!(body("1:6".repeat(200_001)), (200_000, Some(Violation::PayloadPackets)));
        assert_eq!(body("2:4é".repeat(200_000)), (200_000, None));
        assert_eq!(body([0, 1, 0xff, b'6'].repeat(200_000)), (200_000, None));
    }

    #[test]
    fn a_length_within_a_character_is_refused() {
        assert_eq!(body("2:4😀"), (0, Some(Violation::PayloadLength)));
        assert_eq!(body("4:4😀x"), (1, None));
        assert_eq!(body("3:4😀2:4😀1:6"), (1, Some(Violation::PayloadLength)));
        assert_eq!(body(&b"\x00\x03\xff4\xf0\x9f\x98\x80"[..]), (0, Some(Violation::Utf8)));
    }

    #[test]
    fn a_small_packet_does_not_keep_a_large_body() {
        let body = Bytes::from(format!("2:4a{}:4{}", 500_001, "x".repeat(500_000)));
        let mut payload = Payload::v3(body.clone(), 9).unwrap();
        let Some(Ok(Packet::Message(Data::Text(small)))) = payload.next() else {
            panic!("no message");
        };
        drop(payload);
        assert!(body.is_unique(), "{small:?} keeps the body");
    }

    #[test]
    fn a_body_of_pings_can_be_held_back() {
        let mut server = open(Transport::Polling);
        server.hold(true);
        server.receive(Input::Body(Bytes::from("1:2".repeat(200_000))));
        assert_eq!(server.sent, []);
    }

    #[test]
    fn what_another_revision_sends_is_refused() {
        let check = |mut server: Server, input: Input, violation| {
            server.sent.clear();
            server.receive(input);
            assert_eq!(server.sent.first(), Some(&Sent::Broken(violation)));
        };
        for (frame, violation) in [
            (Data::Text("3".into()), Violation::Unexpected),
            (Data::Text("bAQI=".into()), Violation::EnginePacket),
            (Data::Binary(Bytes::from_static(b"\x01")), Violation::EnginePacket),
            (Data::Binary(Bytes::new()), Violation::EnginePacket),
        ] {
            check(open(Transport::WebSocket), Input::Frame(frame), violation);
        }
        check(open(Transport::Polling), Input::Body("40".into()), Violation::PayloadLength);
        let v4 = Server::new(Transport::WebSocket, Limits::default());
        check(v4, Input::Frame(Data::Text("b4AQI=".into())), Violation::Base64);
    }
}

mod sockets {
    use super::*;

    const NOW: Moment = Moment::from_millis(0);

    /// A connection that has joined `/`.
    fn joined(limits: &Limits) -> (Mux, Slot) {
        let mut mux =
            Mux::new(NOW + limits.connect_timeout, Revision::V4, Arc::new(limits.clone()));
        let slot = join(&mut mux, "0");
        assert!(mux.accept(slot));
        (mux, slot)
    }

    fn join(mux: &mut Mux, text: &str) -> Slot {
        receive(mux, text).unwrap();
        match mux.poll() {
            Some(Arrived::Connect { slot, .. }) => slot,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn receive(mux: &mut Mux, text: &str) -> Result<(), Violation> {
        mux.receive(NOW, Data::Text(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn attach(mux: &mut Mux, bytes: &[u8]) -> Result<(), Violation> {
        mux.receive(NOW, Data::Binary(Bytes::copy_from_slice(bytes)))
    }

    /// Checks that a packet is refused so, with as many attachments as it needs.
    fn check(text: &str, violation: Violation) {
        let (mut mux, _) = joined(&Limits::default());
        let mut found = receive(&mut mux, text);
        for _ in 0..10 {
            if found.is_ok() && mux.poll().is_none() {
                found = attach(&mut mux, b"x");
            }
        }
        let start = text.get(..100).unwrap_or(text);
        assert_eq!(found, Err(violation), "{start}");
    }

    /// The event that a packet is, with as many attachments as it needs.
    fn event(text: &str) -> Event {
        let (mut mux, _) = joined(&Limits::default());
        receive(&mut mux, text).unwrap();
        loop {
            match mux.poll() {
                Some(Arrived::Event { event, .. }) => return event,
                Some(other) => panic!("{text}: {other:?}"),
                None => attach(&mut mux, b"x").unwrap(),
            }
        }
    }

    /// What is sent on to others for an event that was received.
    fn sent_on(event: &Event) -> String {
        let parcel = Parcel::event("/", None, event.name(), &event.args).unwrap();
        String::from_utf8(parcel.polling().to_vec()).unwrap()
    }

    fn is_type_error<T>(read: Result<T, roomful_proto::ArgError>) -> bool {
        matches!(read.map(drop), Err(e) if matches!(e.cause, ArgCause::Type(_)))
    }

    #[test]
    fn joining_a_namespace_twice_is_refused() {
        check("0", Violation::ConnectTwice);
        check("0/,{}", Violation::ConnectTwice);
    }

    #[test]
    fn joining_100k_namespaces_takes_no_more_slots_than_the_limit() {
        let (mut mux, _) = joined(&Limits::default());
        let (mut asked, mut crowded) = (0, 0);
        for number in 0..100_000 {
            receive(&mut mux, &format!("0/n{number},")).unwrap();
            match mux.poll() {
                Some(Arrived::Connect { slot, .. }) => {
                    assert!(slot.index() < 32);
                    asked += 1;
                }
                Some(Arrived::Crowded { namespace }) => {
                    assert_eq!(*namespace, format!("/n{number}"));
                    crowded += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((asked, crowded), (31, 99_969));
    }

    #[test]
    fn namespaces_that_are_refused_leave_their_slot_to_others() {
        let (mut mux, main) = joined(&Limits::default());
        for number in 0..100_000 {
            let slot = join(&mut mux, &format!("0/n{number},"));
            assert!(slot.index() < 32 && slot != main);
            mux.refuse(slot);
        }
    }

    #[test]
    fn a_namespace_of_1_mb_is_refused() {
        let long = "n".repeat(1_000_000);
        for text in [format!("0/{long}"), format!("0/{long},"), format!("2/{long},[\"a\"]")] {
            check(&text, Violation::NamespaceName);
        }
        let (mut mux, _) = joined(&Limits::default());
        join(&mut mux, &format!("0/{},", "n".repeat(511)));
    }

    #[test]
    fn a_namespace_ends_at_its_first_comma_and_keeps_its_query() {
        let (mut mux, _) = joined(&Limits::default());
        let slot = join(&mut mux, "0/a?b=1&c,{\"d\":\",\"}");
        assert_eq!(mux.namespace(slot), "/a?b=1&c");
        check("0/a,b,", Violation::Payload);
    }

    #[test]
    fn packets_before_joining_are_refused() {
        for text in ["2[\"a\"]", "31[]", "1", "2/a,[\"a\"]"] {
            let limits = Limits::default();
            let mut mux = Mux::new(NOW + limits.connect_timeout, Revision::V4, Arc::new(limits));
            assert_eq!(receive(&mut mux, text), Err(Violation::NotConnected), "{text}");
        }
        check("2/other,[\"a\"]", Violation::NotConnected);
        check("51-/other,[\"a\"]", Violation::NotConnected);
    }

    #[test]
    fn a_connection_that_never_joins_ends_once() {
        let limits = Limits::default();
        let until = NOW + limits.connect_timeout;
        let mut mux = Mux::new(until, Revision::V4, Arc::new(limits));
        assert_eq!(mux.deadline(), Some(until));
        assert_eq!(mux.expire(Moment::from_millis(44_999)), Ok(()));
        assert_eq!(mux.expire(until), Err(Violation::ConnectTimeout));
        // A connection that closes slowly is not woken again and again.
        assert_eq!(mux.deadline(), None);
        assert_eq!(mux.expire(until), Ok(()));
    }

    #[test]
    fn odd_ack_ids_are_refused() {
        check("29007199254740992[\"a\"]", Violation::AckId);
        check("218446744073709551616[\"a\"]", Violation::AckId);
        check(&format!("2{}[\"a\"]", "9".repeat(100_000)), Violation::AckId);
        check("2-1[\"a\"]", Violation::Payload);
        check("21.5[\"a\"]", Violation::Payload);
        check("3-1[]", Violation::Payload);
        check("3[]", Violation::Payload);
    }

    #[test]
    fn answers_that_nobody_asked_for_are_given_up_as_they_are_and_hold_nothing() {
        let (mut mux, _) = joined(&Limits::default());
        for _ in 0..1000 {
            receive(&mut mux, "39007199254740991[1]").unwrap();
            match mux.poll() {
                Some(Arrived::Ack { id, .. }) => assert_eq!(id.get(), 9_007_199_254_740_991),
                other => panic!("{other:?}"),
            }
            assert!(mux.poll().is_none());
        }
    }

    #[test]
    fn odd_attachment_counts_are_refused_before_anything_is_held() {
        for count in
            ["11", "1000000000", "4294967297", "99999999999999999999", "-1", "1.5", "", "x"]
        {
            check(&format!("5{count}-[\"a\"]"), Violation::AttachmentCount);
        }
        check("5[\"a\"]", Violation::AttachmentCount);
        check("6[]", Violation::AttachmentCount);
    }

    #[test]
    fn a_binary_event_without_attachments_is_an_event() {
        assert_eq!(sent_on(&event("50-[\"a\",1]")), "42[\"a\",1]");
        check("50-[\"a\",{\"_placeholder\":true,\"num\":0}]", Violation::Placeholder);
    }

    #[test]
    fn placeholders_that_lie_are_refused() {
        for num in
            ["1", "-1", "0.5", "0.0", "1e0", "\"0\"", "null", "[]", "{}", "4294967296", "1e99"]
        {
            check(
                &format!(r#"51-["a",{{"_placeholder":true,"num":{num}}}]"#),
                Violation::Placeholder,
            );
        }
        check(r#"51-["a",{"_placeholder":true}]"#, Violation::Placeholder);
        check(r#"51-["a",{"num":0,"num":1,"_placeholder":true}]"#, Violation::Placeholder);
        check(r#"51-["a",{"_pl\u0061ceholder":true,"n\u0075m":1}]"#, Violation::Placeholder);
    }

    /// The official client looks for placeholders in every value of an object that is none itself.
    #[test]
    fn placeholders_that_lie_are_found_inside_the_keys_of_others() {
        for text in [
            r#"51-["a",{"_placeholder":{"_placeholder":true,"num":9}}]"#,
            r#"51-["a",{"num":{"_placeholder":true,"num":9}}]"#,
            r#"51-["a",{"num":[{"_placeholder":true,"num":9}],"_placeholder":1}]"#,
            r#"51-["a",{"x":[[{"y":{"num":9 , "_placeholder" : true}}]]}]"#,
            r#"61-1[{"_placeholder":[{"_placeholder":true,"num":9}]}]"#,
        ] {
            check(text, Violation::Placeholder);
        }
    }

    /// One attachment that is named often would be copied as often into a typed argument.
    #[test]
    fn placeholders_that_repeat_are_refused() {
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        let many = vec![placeholder; 28_000].join(",");
        check(&format!(r#"51-["a",[{many}]]"#), Violation::Placeholder);
        check(&format!(r#"52-["a",{placeholder},{placeholder}]"#), Violation::Placeholder);
        let nested = r#"{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":0}}"#;
        check(&format!(r#"51-["a",{nested}]"#), Violation::Placeholder);
    }

    #[test]
    fn an_object_is_read_as_bytes_only_if_it_was_checked_as_a_placeholder() {
        let event = event(r#"51-["a",[{"num":0},{"num":0}],{"_placeholder":false,"num":0}]"#);
        assert!(is_type_error(event.args.get::<Vec<Bytes>>(0)));
        assert!(is_type_error(event.args.get::<Bytes>(1)));
    }

    #[test]
    fn attachments_that_never_come_end_the_connection_in_time() {
        let (mut mux, _) = joined(&Limits::default());
        receive(&mut mux, r#"52-["a"]"#).unwrap();
        let until = NOW + Duration::from_secs(30);
        assert_eq!(mux.deadline(), Some(until));
        // One that comes does not put it off.
        let later = NOW + Duration::from_secs(29);
        mux.receive(later, Data::Binary(Bytes::from_static(b"x"))).unwrap();
        assert_eq!(mux.deadline(), Some(until));
        assert_eq!(mux.expire(later), Ok(()));
        assert_eq!(mux.expire(until), Err(Violation::AttachmentTimeout));
        assert_eq!(mux.deadline(), None);
    }

    #[test]
    fn attachments_are_limited_in_all() {
        let (mut mux, _) = joined(&Limits::default());
        receive(&mut mux, r#"510-["a"]"#).unwrap();
        let third = vec![0; 333_333];
        for _ in 0..3 {
            assert_eq!(attach(&mut mux, &third), Ok(()));
        }
        assert_eq!(attach(&mut mux, b"x"), Ok(()));
        assert_eq!(attach(&mut mux, b"x"), Err(Violation::AttachmentBytes));
    }

    #[test]
    fn an_attachment_that_nobody_announced_is_refused() {
        let (mut mux, _) = joined(&Limits::default());
        assert_eq!(attach(&mut mux, b""), Err(Violation::StrayAttachment));
    }

    #[test]
    fn a_text_among_attachments_is_refused() {
        for text in ["2[\"a\"]", "1", "51-[\"a\"]", ""] {
            let (mut mux, _) = joined(&Limits::default());
            receive(&mut mux, r#"52-["a"]"#).unwrap();
            attach(&mut mux, b"x").unwrap();
            assert_eq!(receive(&mut mux, text), Err(Violation::MissingAttachment), "{text}");
        }
    }

    #[test]
    fn json_of_10k_levels_is_refused_in_every_packet() {
        let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
        for text in [
            format!("2[\"a\",{open}{close}]"),
            format!("51-[\"a\",{open}{close}]"),
            format!("31[{open}{close}]"),
            format!("0{{\"a\":{open}{close}}}"),
            format!("2{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)),
        ] {
            check(&text, Violation::Depth);
        }
    }

    #[test]
    fn a_megabyte_of_brackets_is_refused() {
        for bracket in ["[", "{", "[{", "[[]", "{\"a\":["] {
            check(&format!("2{}", bracket.repeat(1_000_000 / bracket.len())), Violation::Depth);
        }
        check(&format!("2{}", "]".repeat(1_000_000)), Violation::Payload);
    }

    /// The bound of types is `serde_json`'s; what is only sent on may be as deep as the limit says.
    #[test]
    fn deep_json_is_read_up_to_127_levels_and_sent_on_up_to_the_limit() {
        let limit = Limits::default().json_depth_max as usize;
        assert!(limit >= 128);
        for (kind, inner) in [("2", "[]"), ("51-", r#"{"_placeholder":true,"num":0}"#)] {
            let packet = |levels: usize| {
                let (open, close) = ("[".repeat(levels), "]".repeat(levels));
                (open.clone() + inner + &close, format!("{kind}[\"a\",{open}{inner}{close}]"))
            };
            let (json, text) = packet(126);
            let read: Value = event(&text).args.get(0).unwrap();
            assert_eq!(read.to_string(), json);
            // Around are the array of the packet, inside the innermost one.
            let (json, text) = packet(limit - 2);
            let deepest = event(&text);
            assert!(sent_on(&deepest).contains(&json));
            let read = deepest.args.get::<Value>(0);
            assert!(limit <= 128 || is_type_error(read));
            check(&packet(limit - 1).1, Violation::Depth);
        }
    }

    #[test]
    fn duplicate_keys_pass_as_they_are_and_are_refused_by_types() {
        #[derive(Debug, serde::Deserialize)]
        struct One {
            #[serde(rename = "a")]
            _a: u8,
        }
        let event = event(r#"2["x",{"a":1,"a":2}]"#);
        assert_eq!(sent_on(&event), r#"42["x",{"a":1,"a":2}]"#);
        assert!(is_type_error(event.args.get::<One>(0)));
        assert_eq!(event.args.get::<Value>(0).unwrap(), serde_json::json!({"a": 2}));
    }

    #[test]
    fn names_of_prototypes_are_plain_keys() {
        let json = r#"{"__proto__":{"x":1},"constructor":{"prototype":{}}}"#;
        let event = event(&format!(r#"2["__proto__",{json}]"#));
        assert_eq!(event.name(), "__proto__");
        assert_eq!(sent_on(&event), format!(r#"42["__proto__",{json}]"#));
        let read: HashMap<String, Value> = event.args.get(0).unwrap();
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn numbers_beyond_f64_pass_as_they_are_and_are_refused_by_types() {
        let numbers = "1e400,-1e999999999,123456789012345678901234567890,1e-999999";
        for (kind, tail) in [("2", ""), ("51-", r#",{"_placeholder":true,"num":0}"#)] {
            let event = event(&format!(r#"{kind}["x",{numbers}{tail}]"#));
            assert!(sent_on(&event).contains(numbers), "{kind}");
            assert!(is_type_error(event.args.get::<f64>(0)));
            assert!(is_type_error(event.args.get::<Value>(1)));
            assert!(is_type_error(event.args.get::<u64>(2)));
            assert_eq!(event.args.get::<f64>(3).unwrap(), 0.0);
        }
    }

    #[test]
    fn half_a_surrogate_pair_passes_as_it_is_and_is_refused_by_types() {
        let text = r#""\ud800","\udc00\ud800",{"\udfff":1}"#;
        for (kind, tail) in [("2", ""), ("51-", r#",{"_placeholder":true,"num":0}"#)] {
            let event = event(&format!(r#"{kind}["x",{text}{tail}]"#));
            assert!(sent_on(&event).contains(text), "{kind}");
            assert!(is_type_error(event.args.get::<String>(0)));
            assert!(is_type_error(event.args.get::<Value>(1)));
            assert!(is_type_error(event.args.get::<HashMap<String, u8>>(2)));
        }
        check(r#"2["\ud800"]"#, Violation::EventName);
    }

    #[test]
    fn reserved_names_are_refused_however_they_are_written() {
        for name in RESERVED_EVENTS {
            check(&format!("2[\"{name}\"]"), Violation::ReservedEvent);
            check(&format!("50-[\"{name}\",1]"), Violation::ReservedEvent);
            let escaped: String = name.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
            check(&format!("2[\"{escaped}\"]"), Violation::ReservedEvent);
        }
        // Only these: a name that merely looks like one is the application's.
        for name in ["Connect", "connect ", "error", "connection"] {
            assert_eq!(event(&format!("2[\"{name}\"]")).name(), name);
        }
    }

    #[test]
    fn an_event_must_have_a_name() {
        for text in ["2[]", "2[null]", "2[true]", "2[[\"a\"]]", "2[{}]", "50-[]"] {
            check(text, Violation::EventName);
        }
        for text in ["2", "2{}", "2\"a\"", "2[\"a\"", "2[\"a\",]", "2[,]", "2 ", "2[\"a\"]x"] {
            check(text, Violation::Payload);
        }
    }

    #[test]
    fn the_limit_of_a_name_is_for_the_name_and_not_for_how_it_is_written() {
        let longest = "n".repeat(512);
        assert_eq!(event(&format!("2[\"{longest}\"]")).name(), longest);
        assert_eq!(event(&format!("2[\"{}\"]", "\\u006e".repeat(512))).name(), longest);
        check(&format!("2[\"{longest}n\"]"), Violation::EventName);
        check(&format!("2[\"{}\"]", "\\u006e".repeat(513)), Violation::EventName);
        check(&format!("2[{}]", "1".repeat(513)), Violation::EventName);
    }

    #[test]
    fn an_auth_payload_must_be_an_object() {
        for auth in ["[]", "null", "\"token\"", "-1", "true", "{", "{}{}", "{a:1}", "\u{c}{}"] {
            check(&format!("0/a,{auth}"), Violation::Payload);
        }
    }

    /// Of `bytes` bytes.
    fn auth(bytes: usize) -> String {
        format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8))
    }

    #[test]
    fn an_auth_payload_that_is_too_large_is_dropped_and_nothing_else_is_lost() {
        let mut limits = Limits::default();
        limits.auth_bytes_max = 1_000;
        let (mut mux, main) = joined(&limits);
        join(&mut mux, &format!("0/fits,{}", auth(1_000)));
        receive(&mut mux, &format!("0/a,{}", auth(1_001))).unwrap();
        let Some(Arrived::AuthTooLarge { slot }) = mux.poll() else {
            panic!("it was taken");
        };
        assert_eq!(mux.namespace(slot), "/a");
        assert!(!mux.accept(slot), "there is nothing to accept");
        // What was sent behind it, before the client could know.
        receive(&mut mux, "2/a,[\"x\"]").unwrap();
        assert!(mux.poll().is_none());
        receive(&mut mux, "2[\"x\"]").unwrap();
        assert!(matches!(mux.poll(), Some(Arrived::Event { slot, .. }) if slot == main));
        let again = join(&mut mux, "0/a,{}");
        assert_eq!(again.index(), slot.index());
        assert!(mux.accept(again));
        // It is read all the same: what is no JSON is no auth payload of any size.
        let found = receive(&mut mux, &format!("0/b,{}{{", auth(1_001)));
        assert_eq!(found, Err(Violation::Payload));
    }

    #[test]
    fn the_limit_of_an_auth_payload_is_that_of_the_json_that_is_made_of_a_query() {
        let mut limits = Limits::default();
        limits.auth_bytes_max = 1_000;
        let mut mux = Mux::new(NOW, Revision::V3, Arc::new(limits));
        let fits = "%78".repeat(1_000 - 8);
        join(&mut mux, &format!("0/a?a={fits},"));
        // Two bytes of JSON each.
        receive(&mut mux, &format!("0/b?a={},", "%22".repeat(497))).unwrap();
        assert!(matches!(mux.poll(), Some(Arrived::AuthTooLarge { .. })));
    }

    #[test]
    fn what_only_a_server_sends_is_refused() {
        check(r#"4{"message":"x"}"#, Violation::Unexpected);
        check("4", Violation::Unexpected);
    }

    #[test]
    fn events_for_a_namespace_that_decides_slowly_are_limited_in_number() {
        let (mut mux, _) = joined(&Limits::default());
        join(&mut mux, "0/slow,");
        for _ in 0..64 {
            assert_eq!(receive(&mut mux, "2/slow,[\"a\"]"), Ok(()));
            assert!(mux.poll().is_none());
        }
        let found = receive(&mut mux, "2/slow,[\"a\"]");
        assert_eq!(found, Err(Violation::HeldEvents));
    }

    #[test]
    fn events_for_namespaces_that_decide_slowly_are_limited_in_size() {
        let (mut mux, _) = joined(&Limits::default());
        let big = "x".repeat(900_000);
        let mut held = 0;
        'all: for number in 0..31 {
            join(&mut mux, &format!("0/slow{number},"));
            for _ in 0..64 {
                if receive(&mut mux, &format!("2/slow{number},[\"a\",\"{big}\"]")).is_err() {
                    break 'all;
                }
                held += big.len();
                assert!(held <= 10_000_000, "more than {held} bytes are held");
            }
        }
        assert!(held > 0);
    }

    /// A decision that was under way when the client left must not let it in under other auth.
    #[test]
    fn a_late_decision_does_not_count_for_a_later_attempt() {
        let (mut mux, _) = joined(&Limits::default());
        let first = join(&mut mux, r#"0/slow,{"token":"good"}"#);
        receive(&mut mux, "1/slow,").unwrap();
        assert!(matches!(mux.poll(), Some(Arrived::Disconnect { .. })));
        join(&mut mux, r#"0/slow,{"token":"stolen"}"#);
        assert!(!mux.accept(first));
    }
}
