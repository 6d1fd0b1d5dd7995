//! The frame codec against two others: they must take and refuse the same frames, and each must
//! read what the others write. Where they differ and we know why, [`Oracle::pardons`] says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

mod support;

use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use fastwebsockets as fast;
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::handshake::accept_key;
use roomful_proto::ws::{CloseCode, Decoder, Message, Role, WsError};
use roomful_proto::{AckId, Form, Parcel};
use support::Dice;
use tungstenite as tung;

/// Largest message in these tests.
const LIMIT: usize = 300;

/// How reading a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The stream was over, maybe inside a frame.
    Over,
    /// A close frame came; what follows is not looked at.
    Closed,
    /// Something was wrong.
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum Oracle {
    Tungstenite,
    FastWebSockets,
}

impl Oracle {
    /// Known differences: what we refuse and the other takes. Each is a rule of RFC 6455 that it
    /// does not check.
    const fn pardons(self, error: WsError) -> bool {
        match self {
            // A length need not be in its shortest form (5.2).
            Self::Tungstenite => matches!(error, WsError::Length),
            Self::FastWebSockets => matches!(
                error,
                // The same.
                WsError::Length
                // Unmasked frames of a client are taken (5.1).
                | WsError::Mask
                // Of control frames, only pings are measured (5.5).
                | WsError::Control
                // A message may begin inside another, which is then lost (5.4).
                | WsError::Continuation
                // A fragmented text may end inside a character (8.1).
                | WsError::Utf8
                // The limit is for a frame, not for a message.
                | WsError::TooBig
            ),
        }
    }

    fn read(self, wire: &[u8], role: Role) -> (Vec<Message>, End) {
        match self {
            Self::Tungstenite => read_tungstenite(wire, role),
            Self::FastWebSockets => read_fast(wire, role),
        }
    }
}

fn read_ours(wire: &[u8], role: Role) -> (Vec<Message>, Result<End, WsError>) {
    let mut wire = wire.to_vec();
    let mut rest = &mut wire[..];
    let mut decoder = Decoder::new(role, LIMIT, 1000);
    let mut heard = Vec::new();
    loop {
        match decoder.receive(&mut rest) {
            Ok(None) => return (heard, Ok(End::Over)),
            Ok(Some(message @ Message::Close(..))) => {
                heard.push(message);
                return (heard, Ok(End::Closed));
            }
            Ok(Some(message)) => heard.push(message),
            Err(e) => return (heard, Err(e)),
        }
    }
}

/// A stream of which the one half is prepared and the other is thrown away.
struct Stream(Cursor<Vec<u8>>);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read_tungstenite(wire: &[u8], role: Role) -> (Vec<Message>, End) {
    let role = match role {
        Role::Server => tung::protocol::Role::Server,
        Role::Client => tung::protocol::Role::Client,
    };
    let config = tung::protocol::WebSocketConfig::default()
        .max_message_size(Some(LIMIT))
        .max_frame_size(Some(LIMIT));
    let stream = Stream(Cursor::new(wire.to_vec()));
    let mut socket = tung::WebSocket::from_raw_socket(stream, role, Some(config));
    let mut heard = Vec::new();
    loop {
        heard.push(match socket.read() {
            Ok(tung::Message::Text(text)) => Message::Text(text.into()),
            Ok(tung::Message::Binary(bytes)) => Message::Binary(bytes),
            Ok(tung::Message::Ping(bytes)) => Message::Ping(bytes),
            Ok(tung::Message::Pong(bytes)) => Message::Pong(bytes),
            // It answers a code that may not be sent by itself, and shows this instead.
            Ok(tung::Message::Close(Some(frame))) if frame.reason == "Protocol violation" => {
                return (heard, End::Refused);
            }
            Ok(tung::Message::Close(frame)) => {
                let code = frame.as_ref().and_then(|frame| CloseCode::new(frame.code.into()));
                let said = frame.map_or_else(Bytes::new, |frame| frame.reason.into());
                heard.push(Message::Close(code, said));
                return (heard, End::Closed);
            }
            Ok(tung::Message::Frame(frame)) => panic!("{frame:?} is raw"),
            Err(tung::Error::Protocol(
                tung::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return (heard, End::Over),
            Err(_) => return (heard, End::Refused),
        });
    }
}

fn read_fast(wire: &[u8], role: Role) -> (Vec<Message>, End) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let role = match role {
            Role::Server => fast::Role::Server,
            Role::Client => fast::Role::Client,
        };
        let stream = tokio::io::join(Cursor::new(wire.to_vec()), tokio::io::sink());
        let mut socket = fast::WebSocket::after_handshake(stream, role);
        socket.set_auto_pong(false);
        // It refuses what is as large as its limit.
        socket.set_max_message_size(LIMIT + 1);
        let mut socket = fast::FragmentCollector::new(socket);
        let mut heard = Vec::new();
        loop {
            let frame = match socket.read_frame().await {
                Ok(frame) => frame,
                Err(fast::WebSocketError::UnexpectedEOF) => return (heard, End::Over),
                Err(_) => return (heard, End::Refused),
            };
            let payload = Bytes::copy_from_slice(&frame.payload);
            heard.push(match frame.opcode {
                fast::OpCode::Text => Message::Text(payload),
                fast::OpCode::Binary => Message::Binary(payload),
                fast::OpCode::Ping => Message::Ping(payload),
                fast::OpCode::Pong => Message::Pong(payload),
                fast::OpCode::Close => {
                    let code = payload.first_chunk().copied().map(u16::from_be_bytes);
                    let said = payload.get(2..).map_or_else(Bytes::new, Bytes::copy_from_slice);
                    heard.push(Message::Close(code.and_then(CloseCode::new), said));
                    return (heard, End::Closed);
                }
                fast::OpCode::Continuation => panic!("a continuation by itself"),
            });
        }
    })
}

/// How often the three came to the same end, so that a test can see that it tests something.
#[derive(Debug, Default)]
struct Score {
    taken: u32,
    refused: u32,
    pardoned: u32,
}

/// Checks that all come to the same end. In a `cut` stream the last frame may miss its end: there
/// we refuse some by the header alone, while the others wait for the rest.
fn check(wire: &[u8], role: Role, cut: bool, score: &mut Score) {
    let (ours, our_end) = read_ours(wire, role);
    for oracle in [Oracle::Tungstenite, Oracle::FastWebSockets] {
        let (theirs, their_end) = oracle.read(wire, role);
        let context = || format!("{oracle:?}: {our_end:?}, {their_end:?}\n{wire:02x?}");
        match our_end {
            Ok(End::Closed) if heard_1014(&ours) => {
                // Registered after they were written: both take it for a code that may not be sent.
                assert_eq!(their_end, End::Refused, "{}", context());
                score.pardoned += 1;
            }
            Ok(end) => {
                assert_eq!((&ours, end), (&theirs, their_end), "{}", context());
                score.taken += 1;
            }
            Err(_)
                if ours == theirs
                    && (their_end == End::Refused || cut && their_end == End::Over) =>
            {
                score.refused += 1;
            }
            Err(error) => {
                assert!(theirs.starts_with(&ours), "{}", context());
                assert!(oracle.pardons(error), "{}", context());
                score.pardoned += 1;
            }
        }
    }
}

fn heard_1014(heard: &[Message]) -> bool {
    matches!(heard.last(), Some(Message::Close(Some(code), _)) if code.get() == 1014)
}

/// A frame that is right but for what the dice of one in `odds` make wrong. It is always whole.
fn frame(wire: &mut Vec<u8>, dice: &mut Dice, open: &mut bool, masked: bool, odds: usize) {
    let mut slip = || dice.roll(odds) == 0;
    let (slip_first, slip_mask, slip_length, slip_payload) = (slip(), slip(), slip(), slip());
    let fin = dice.roll(3) > 0;
    let mut first = match dice.roll(6) {
        0 => 0x89,
        1 => 0x8a,
        2 if dice.roll(4) == 0 => 0x88,
        kind => {
            let start = if *open { 0 } else { 1 + (kind as u8 & 1) };
            *open = !fin;
            start | if fin { 0x80 } else { 0 }
        }
    };
    if slip_first {
        first ^= 1 << dice.roll(8);
    }
    let len = match dice.roll(8) {
        0 => 0,
        1 => dice.roll(LIMIT + 20),
        2 => 120 + dice.roll(10),
        _ => dice.roll(20),
    };
    let len = if first & 0x08 == 0 || slip_payload { len } else { len.min(125) };
    let mut payload = vec![b'a'; len];
    if first & 0x0f == 8 && len >= 2 {
        let code = [1000, 1001, 1007, 1011, 1012, 1014, 3000, 4999, 1000 + dice.roll(20) as u16];
        payload[..2].copy_from_slice(&code[dice.roll(code.len())].to_be_bytes());
    }
    if slip_payload && len > 0 {
        let at = dice.roll(len);
        payload[at] = dice.next() as u8;
    } else if len >= 5 && first & 0x0f != 8 {
        payload[..5].copy_from_slice("é€".as_bytes());
    }
    let masked = masked ^ slip_mask;
    let mask = if masked { 0x80 } else { 0 };
    wire.push(first);
    // A long form in a control frame is two faults at once, of which we name the other.
    match (slip_length && first & 0x08 == 0, len) {
        (false, 0..=125) => wire.push(mask | len as u8),
        (true, 0..=125) | (false, _) => {
            wire.push(mask | 126);
            wire.extend((len as u16).to_be_bytes());
        }
        (true, _) => {
            wire.push(mask | 127);
            wire.extend((len as u64).to_be_bytes());
        }
    }
    if masked {
        let key = (dice.next() as u32).to_be_bytes();
        wire.extend(key);
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    }
    wire.extend(payload);
}

fn frames(dice: &mut Dice, role: Role, odds: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut open = false;
    for _ in 0..1 + dice.roll(12) {
        frame(&mut wire, dice, &mut open, role == Role::Server, odds);
    }
    wire
}

const ROLES: [Role; 2] = [Role::Server, Role::Client];

#[test]
fn right_frames_are_taken_alike() {
    let mut score = Score::default();
    for seed in 0..1500 {
        let mut dice = Dice::new(seed);
        let role = ROLES[dice.roll(2)];
        let wire = frames(&mut dice, role, usize::MAX);
        check(&wire, role, false, &mut score);
    }
    assert!(score.taken > 2000, "{score:?}");
}

#[test]
fn frames_with_one_thing_wrong_are_refused_alike() {
    let mut score = Score::default();
    for seed in 0..4000 {
        let mut dice = Dice::new(seed);
        let role = ROLES[dice.roll(2)];
        let wire = frames(&mut dice, role, 20);
        check(&wire, role, false, &mut score);
    }
    assert!(score.taken > 1000 && score.refused > 2000, "{score:?}");
}

#[test]
fn damaged_frames_are_refused_alike() {
    let mut score = Score::default();
    for seed in 0..4000 {
        let mut dice = Dice::new(seed);
        let role = ROLES[dice.roll(2)];
        let mut wire = frames(&mut dice, role, usize::MAX);
        for _ in 0..1 + dice.roll(3) {
            let at = dice.roll(wire.len());
            wire[at] ^= 1 << dice.roll(8);
        }
        check(&wire, role, true, &mut score);
    }
    assert!(score.taken > 500 && score.refused > 1500, "{score:?}");
}

/// Payloads around every border of the length forms.
fn payloads() -> impl Iterator<Item = Vec<u8>> {
    [0, 1, 2, 7, 8, 9, 125, 126, 127, LIMIT].into_iter().map(|len| vec![b'x'; len])
}

#[test]
fn they_read_the_frames_that_we_write() {
    for payload in payloads() {
        let whole = Bytes::from(payload.clone());
        let mut messages = vec![
            (Opcode::Text, Message::Text(whole.clone())),
            (Opcode::Binary, Message::Binary(whole.clone())),
        ];
        if payload.len() <= 125 {
            messages.push((Opcode::Ping, Message::Ping(whole.clone())));
            messages.push((Opcode::Pong, Message::Pong(whole)));
        }
        for (role, mask) in [(Role::Client, None), (Role::Server, Some([1, 0xf0, 3, 4]))] {
            let mut wire = Vec::new();
            for (opcode, _) in &messages {
                frame::write(&mut wire, *opcode, &payload, mask);
            }
            frame::write(&mut wire, Opcode::Close, b"\x03\xe9until later", mask);
            let mut expected: Vec<_> = messages.iter().map(|(_, heard)| heard.clone()).collect();
            let said = Bytes::from_static(b"until later");
            expected.push(Message::Close(Some(CloseCode::GOING_AWAY), said));
            for oracle in [Oracle::Tungstenite, Oracle::FastWebSockets] {
                let found = oracle.read(&wire, role);
                assert_eq!(found, (expected.clone(), End::Closed), "{oracle:?}, {role:?}");
            }
        }
    }
}

#[test]
fn they_read_our_parcels() {
    let bytes = Bytes::from_static(&[0, 1, 0xff]);
    let parcels = [
        Parcel::event("/", None, "hello", &("é", 1)).unwrap(),
        Parcel::event("/a", AckId::new(7), "file", &(&bytes, "x".repeat(150), &bytes)).unwrap(),
        Parcel::ack("/a", AckId::new(8).unwrap(), &bytes).unwrap(),
        Parcel::disconnected("/a"),
    ];
    for parcel in parcels {
        for wire in [parcel.wire(), parcel.form(Form::TextOnly)] {
            let (ours, _) = read_ours(wire, Role::Client);
            assert_eq!(ours.len(), frame::split(wire).count());
            for oracle in [Oracle::Tungstenite, Oracle::FastWebSockets] {
                let found = oracle.read(wire, Role::Client);
                assert_eq!(found, (ours.clone(), End::Over), "{oracle:?}");
            }
        }
    }
}

/// A stream of which nothing can be read and all that is written is kept.
#[derive(Default)]
struct Written(Vec<u8>);

impl Read for Written {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn we_read_the_frames_that_tungstenite_writes() {
    for (role, their_role) in
        [(Role::Server, tung::protocol::Role::Client), (Role::Client, tung::protocol::Role::Server)]
    {
        let mut expected = Vec::new();
        let written = Written::default();
        let mut socket = tung::WebSocket::from_raw_socket(written, their_role, None);
        for payload in payloads() {
            let text = String::from_utf8(payload.clone()).unwrap();
            let payload = Bytes::from(payload);
            socket.send(tung::Message::Text(text.into())).unwrap();
            expected.push(Message::Text(payload.clone()));
            socket.send(tung::Message::Binary(payload.clone())).unwrap();
            expected.push(Message::Binary(payload.clone()));
            if payload.len() <= 125 {
                socket.send(tung::Message::Ping(payload.clone())).unwrap();
                expected.push(Message::Ping(payload));
            }
        }
        socket.close(None).unwrap();
        expected.push(Message::Close(None, Bytes::new()));
        let found = read_ours(&socket.get_ref().0, role);
        assert_eq!(found, (expected, Ok(End::Closed)), "{role:?}");
    }
}

#[test]
fn we_read_the_frames_that_fastwebsockets_writes() {
    for role in ROLES {
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for payload in payloads() {
            let frames = [
                (fast::OpCode::Text, Message::Text(payload.clone().into())),
                (fast::OpCode::Binary, Message::Binary(payload.clone().into())),
            ];
            for (opcode, heard) in frames {
                // It masks with a key that it chooses.
                let mut frame = fast::Frame::new(true, opcode, None, payload.clone().into());
                if role == Role::Server {
                    frame.mask();
                }
                let mut bytes = Vec::new();
                wire.extend_from_slice(frame.write(&mut bytes));
                expected.push(heard);
            }
        }
        assert_eq!(read_ours(&wire, role), (expected, Ok(End::Over)), "{role:?}");
    }
}

#[test]
fn the_answer_to_a_key_is_the_same() {
    let mut dice = Dice::new(1);
    for _ in 0..100 {
        let key = format!("{:022x}==", dice.next());
        assert_eq!(accept_key(&key), tung::handshake::derive_accept_key(key.as_bytes()));
    }
}
