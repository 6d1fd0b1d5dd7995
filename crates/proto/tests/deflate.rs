//! Compressed messages through the decoder, and the compressed form of a parcel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use roomful_proto::deflate::{Deflate, Deflater, End, SMALL_WINDOW_BYTES};
use roomful_proto::engine::Packet;
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::{CloseCode, Decoder, Message, Role, WsError};
use roomful_proto::{Form, Letter, Parcel};

const MESSAGE_BYTES_MAX: usize = 1_000_000;
const FRAGMENTS_MAX: u32 = 100;
const RATIO_MAX: u32 = 100;
const KEY: [u8; 4] = [1, 2, 3, 4];

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const PING: u8 = 0x9;
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;

fn decoder() -> Decoder {
    Decoder::new(Role::Server, MESSAGE_BYTES_MAX, FRAGMENTS_MAX).inflating(RATIO_MAX)
}

/// A frame of a client, whose first byte can also be wrong.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    frame::write(&mut wire, Opcode::Binary, payload, Some(KEY));
    wire[0] = first;
    wire
}

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new(9).deflate(message, End::Message, &mut out).unwrap();
    out
}

/// All that a decoder makes of frames that arrive in pieces of this size.
fn hear(decoder: &mut Decoder, frames: &[Vec<u8>], pieces: usize) -> Result<Vec<Message>, WsError> {
    let mut wire = frames.concat();
    let mut heard = Vec::new();
    for mut piece in wire.chunks_mut(pieces) {
        while let Some(message) = decoder.receive(&mut piece)? {
            heard.push(message);
        }
    }
    Ok(heard)
}

#[track_caller]
fn check(frames: &[Vec<u8>], expected: Result<Vec<Message>, WsError>) {
    for pieces in [1, 7, usize::MAX] {
        assert_eq!(hear(&mut decoder(), frames, pieces), expected, "in pieces of {pieces}");
    }
}

fn text(text: &str) -> Message {
    Message::Text(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn compressed_and_other_messages_come_side_by_side() {
    let long = "snow 雪 ".repeat(1_000);
    let small = deflated(long.as_bytes());
    let frames = [
        frame(FIN | RSV1 | TEXT, &small),
        frame(FIN | TEXT, b"plain"),
        frame(FIN | RSV1 | BINARY, &small),
        frame(FIN | RSV1 | TEXT, &[0]),
        frame(FIN | RSV1 | TEXT, &[]),
    ];
    let binary = Message::Binary(Bytes::from(long.clone()));
    check(&frames, Ok(vec![text(&long), text("plain"), binary, text(""), text("")]));
}

#[test]
fn fragments_are_joined_before_they_are_inflated() {
    let long = "fragments ".repeat(1_000);
    let small = deflated(long.as_bytes());
    let (head, tail) = small.split_at(small.len() / 2);
    let frames = [
        frame(RSV1 | TEXT, head),
        frame(FIN | PING, b"?"),
        frame(0, &[]),
        frame(0, tail),
        frame(FIN, &[]),
    ];
    check(&frames, Ok(vec![Message::Ping(Bytes::from_static(b"?")), text(&long)]));
}

#[test]
fn the_bit_has_a_meaning_only_at_the_beginning_of_a_message() {
    let small = deflated(b"x");
    let reserved = Err(WsError::ReservedBits);
    check(&[frame(RSV1 | TEXT, &small), frame(FIN | RSV1, &small)], reserved.clone());
    check(&[frame(TEXT, b"x"), frame(FIN | RSV1, &small)], reserved.clone());
    check(&[frame(FIN | RSV1 | PING, &small)], reserved.clone());
    check(&[frame(FIN | RSV1 | 0x8, &[])], reserved.clone());
    check(&[frame(FIN | RSV2 | TEXT, &small)], reserved.clone());
    check(&[frame(FIN | RSV1 | RSV2 | TEXT, &small)], reserved.clone());
    check(&[frame(FIN | RSV1 | 0x3, &small)], reserved.clone());
    check(&[frame(RSV1 | TEXT, &small), frame(RSV1 | TEXT, &small)], Err(WsError::Continuation));
    assert_eq!(WsError::ReservedBits.code(), CloseCode::PROTOCOL);
    let mut decoder = Decoder::new(Role::Server, MESSAGE_BYTES_MAX, FRAGMENTS_MAX);
    let heard = hear(&mut decoder, &[frame(FIN | RSV1 | TEXT, &small)], usize::MAX);
    assert_eq!(heard, reserved, "compression was not agreed on");
}

#[test]
fn what_is_inflated_must_be_what_it_says() {
    check(&[frame(FIN | RSV1 | TEXT, &deflated(b"\xff"))], Err(WsError::Utf8));
    check(&[frame(FIN | RSV1 | TEXT, &[0xff; 20])], Err(WsError::Inflate));
    let small = deflated("cut".repeat(100).as_bytes());
    check(&[frame(FIN | RSV1 | TEXT, &small[..small.len() - 1])], Err(WsError::Inflate));
    assert_eq!(WsError::Inflate.code(), CloseCode::INVALID_DATA);
}

#[test]
fn a_message_is_bounded_before_and_after() {
    let largest = deflated(&vec![b' '; MESSAGE_BYTES_MAX]);
    let mut decoder = decoder();
    let heard = hear(&mut decoder, &[frame(FIN | RSV1 | TEXT, &largest)], usize::MAX).unwrap();
    assert!(matches!(&heard[..], [Message::Text(text)] if text.len() == MESSAGE_BYTES_MAX));
    let larger = deflated(&vec![b' '; MESSAGE_BYTES_MAX + 1]);
    // Enough that its ratio is none too many.
    let earned = frame(FIN | RSV1 | BINARY, &deflated(&noise(20_000)));
    let frames = [earned, frame(FIN | RSV1 | TEXT, &larger)];
    check(&frames, Err(WsError::InflatedTooBig));
    assert_eq!(WsError::InflatedTooBig.code(), CloseCode::TOO_BIG);
    let half = vec![0; MESSAGE_BYTES_MAX / 2];
    let endless = [frame(RSV1 | TEXT, &half), frame(0, &half), frame(0, &[0])];
    check(&endless, Err(WsError::TooBig));
}

/// A gigabyte in a megabyte, in one message and in many.
#[test]
fn bombs_are_refused_and_hold_nothing() {
    let mega = deflated(&vec![0; 1 << 20]);
    let bomb = [mega.as_slice(), &[0, 0, 0xff, 0xff]].concat().repeat(900);
    let mut decoder = decoder();
    let heard = hear(&mut decoder, &[frame(FIN | RSV1 | BINARY, &bomb)], 32 * 1024);
    assert_eq!(heard, Err(WsError::InflatedTooBig));
    assert!(decoder.held_bytes() <= MESSAGE_BYTES_MAX);
    let largest = deflated(&vec![0; MESSAGE_BYTES_MAX]);
    check(&vec![frame(FIN | RSV1 | BINARY, &largest); 2], Err(WsError::InflateRatio));
    assert_eq!(WsError::InflateRatio.code(), CloseCode::POLICY);
}

/// Over a connection's life, at most one message more comes out than its bytes allow.
#[test]
fn what_comes_out_is_bounded_by_what_came_in() {
    for size in [10_000, 100_000, MESSAGE_BYTES_MAX] {
        let small = deflated(&vec![0; size]);
        let mut decoder = decoder();
        let (mut came, mut out) = (0, 0);
        loop {
            came += small.len();
            match hear(&mut decoder, &[frame(FIN | RSV1 | BINARY, &small)], usize::MAX) {
                Ok(_) => out += size,
                Err(e) => break assert_eq!(e, WsError::InflateRatio),
            }
            assert!(out <= MESSAGE_BYTES_MAX + came * RATIO_MAX as usize);
            assert!(out < 2 * MESSAGE_BYTES_MAX, "{size}");
        }
        assert!(out >= MESSAGE_BYTES_MAX / 2, "{size}: {out}");
    }
}

/// What honest clients send goes on for ever, and one that has a large empty board now and then is
/// none the worse for it.
#[test]
fn honest_messages_are_never_too_many() {
    let records: Vec<String> = (0..2_000)
        .map(|i| format!(r#"{{"id":{i},"name":"nobody","x":0,"y":0,"alive":true}}"#))
        .collect();
    let records = deflated(format!("[{}]", records.join(",")).as_bytes());
    let board = deflated(format!("[{}0]", "0,".repeat(400_000)).as_bytes());
    let mut decoder = decoder();
    for _ in 0..50 {
        for _ in 0..3 {
            hear(&mut decoder, &[frame(FIN | RSV1 | TEXT, &records)], 4096).unwrap();
        }
        hear(&mut decoder, &[frame(FIN | RSV1 | TEXT, &board)], 4096).unwrap();
    }
}

/// Bytes that do not get smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

// Peers that remember.

/// The payloads of messages that one stream has compressed.
fn taken_over(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut stream = flate2::Compress::new_with_window_bits(flate2::Compression::new(6), false, 9);
    let deflate = |message: &Vec<u8>| {
        let mut out = Vec::with_capacity(message.len() * 2 + 100);
        stream.compress_vec(message, &mut out, flate2::FlushCompress::Sync).unwrap();
        out.truncate(out.len() - 4);
        out
    };
    messages.iter().map(deflate).collect()
}

proptest! {
    #[test]
    fn what_a_peer_remembers_is_remembered_here(
        messages in vec(vec(0_u8..4, 1..2_000), 1..12),
    ) {
        let mut decoder = decoder().remembering();
        for (message, payload) in messages.iter().zip(taken_over(&messages)) {
            let mut wire = frame(FIN | RSV1 | BINARY, &payload);
            let heard = decoder.receive(&mut &mut wire[..]);
            prop_assert_eq!(heard, Ok(Some(Message::Binary(message.clone().into()))));
            let held = decoder.held_bytes();
            prop_assert!((1..=SMALL_WINDOW_BYTES).contains(&held), "{} bytes", held);
        }
    }
}

#[test]
fn a_message_that_refers_to_another_is_broken_where_nothing_is_remembered() {
    let messages = vec![b"abcdefghijklmnopqrstuvwxyz".to_vec(); 2];
    let payloads = taken_over(&messages);
    let mut decoder = decoder();
    let mut receive =
        |payload: &[u8]| decoder.receive(&mut &mut frame(FIN | RSV1 | BINARY, payload)[..]);
    assert!(receive(&payloads[0]).is_ok());
    assert_eq!(receive(&payloads[1]), Err(WsError::Inflate));
}

// Parcels.

fn event(deflate: &Arc<Deflate>, args: &impl roomful_proto::ToArgs) -> Parcel {
    let mut letter = Letter::event("/", None, "e", args).unwrap();
    letter.deflate_by(deflate);
    letter.into()
}

/// What a client makes of the frames of a server.
fn read(wire: &[u8]) -> Vec<Message> {
    let mut decoder = Decoder::new(Role::Client, MESSAGE_BYTES_MAX, 1).inflating(u32::MAX);
    let mut wire = wire.to_vec();
    let mut input = &mut wire[..];
    let mut heard = Vec::new();
    while let Some(message) = decoder.receive(&mut input).unwrap() {
        heard.push(message);
    }
    heard
}

#[test]
fn a_parcel_is_compressed_once_for_all() {
    let deflate = Arc::new(Deflate::new(1_024, 3));
    let long = "again and ".repeat(1_000);
    let parcel = event(&deflate, &long);
    assert!(parcel.deflates());
    assert_eq!(deflate.tally().messages, 0, "nobody needs it yet");
    let clones = vec![parcel.clone(); 100];
    let first = parcel.form(Form::Deflated).as_ptr();
    assert!(clones.iter().all(|clone| clone.form(Form::Deflated).as_ptr() == first));
    let tally = deflate.tally();
    assert_eq!(tally.messages, 1);
    assert!(tally.bytes_before > 10_000 && tally.bytes_after < 200, "{tally:?}");
    assert_eq!(parcel.form(Form::Deflated)[0], FIN | RSV1 | TEXT);
    assert_eq!(read(parcel.form(Form::Deflated)), read(parcel.wire()));
}

#[test]
fn what_is_small_or_gets_no_smaller_has_no_other_form() {
    let deflate = Arc::new(Deflate::new(1_024, 3));
    let same = |parcel: &Parcel| parcel.form(Form::Deflated).as_ptr() == parcel.wire().as_ptr();
    assert!(same(&event(&deflate, &"x".repeat(500))));
    assert!(same(&event(&deflate, &Bytes::from(noise(5_000)))));
    assert!(same(&event(Deflate::never(), &"x".repeat(5_000))));
    assert!(event(Deflate::never(), &()).is_plain() && !event(&deflate, &()).is_plain());
    assert!(same(&Parcel::event("/", None, "e", &"x".repeat(5_000)).unwrap()));
    assert_eq!(deflate.tally().messages, 0);
}

#[test]
fn only_the_large_messages_of_a_parcel_are_compressed() {
    let deflate = Arc::new(Deflate::new(1_024, 3));
    let (small, large) = (Bytes::from(vec![1; 1_023]), Bytes::from(vec![2; 1_024]));
    let parcel = event(&deflate, &(&small, &large));
    let wire = parcel.form(Form::Deflated);
    assert_eq!(read(wire), read(parcel.wire()));
    assert_eq!(wire[0], FIN | TEXT, "the packet");
    assert!(wire.windows(1_023).any(|window| window == small));
    assert_eq!(deflate.tally().messages, 1);
}

/// What stands before it is not WebSocket, and is never looked at.
#[test]
fn packets_of_the_session_are_never_compressed() {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".repeat(100);
    let parcel = Parcel::engine_behind(&answer, &Packet::Open("{}".into()));
    assert_eq!(parcel.form(Form::Deflated), parcel.wire());
    let joined = Parcel::joined(&parcel.wire()[answer.len()..].repeat(1_000));
    assert_eq!(joined.form(Form::Deflated), joined.wire());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_compressed_reads_as_it_was(
        text in "[a-c\"é雪]{0,3000}",
        attachments in vec(vec(0..4_u8, 0..3_000), 0..3),
        threshold in 0..2_000_usize,
        level in 0..=10_u8,
    ) {
        let deflate = Arc::new(Deflate::new(threshold, level));
        let attachments: Vec<Bytes> = attachments.into_iter().map(Bytes::from).collect();
        let parcel = event(&deflate, &(text, attachments));
        prop_assert_eq!(read(parcel.form(Form::Deflated)), read(parcel.wire()));
        prop_assert!(parcel.form(Form::Deflated).len() <= parcel.len() + 8);
    }

    #[test]
    fn garbage_hurts_nobody(garbage in vec(any::<u8>(), 0..2_000), pieces in 1..500_usize) {
        let frames = [frame(FIN | RSV1 | BINARY, &garbage)];
        let whole = hear(&mut decoder(), &frames, usize::MAX);
        prop_assert_eq!(hear(&mut decoder(), &frames, pieces), whole);
    }
}
