//! [`Peer`]: which prepared bytes answer what a client sent.

use std::env;
use std::sync::LazyLock;

use flate2::{Compress, Compression, FlushCompress};

use crate::polling::Request;
use crate::words::{many, text};

/// How much the events in many words are compressed: as Roomful does where nothing is said.
const LEVEL: u32 = 3;

/// What a case wants of the server beside itself.
static OPTION: LazyLock<String> = LazyLock::new(|| env::var("OPTION").unwrap_or_default());
/// `HTTP/1.1 101`, and the open packet behind it; to a client of Engine.IO 3, that it has joined, too.
static UPGRADED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\
        \r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            .to_vec();
    if *OPTION == "deflate" {
        bytes.extend_from_slice(
            b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
              client_no_context_takeover\r\n",
        );
    }
    bytes.extend_from_slice(b"\r\n");
    push(&mut bytes, 0x81, br#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#);
    if *OPTION == "eio3" {
        push(&mut bytes, 0x81, b"40");
    }
    bytes
});
static JOINED: LazyLock<Vec<u8>> = LazyLock::new(|| frame(br#"40{"sid":"BBBBBBBBBBBBBBBBBBBB"}"#));
static JOINED_MSGPACK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    framed(0x82, b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x81\xa3sid\xb4BBBBBBBBBBBBBBBBBBBB")
});
/// Let in, and let go.
static TRUES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| numbered(|number| frame(format!("43{number}[true]").as_bytes())));
static ECHOES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    numbered(|number| frame(format!(r#"43{number}["{}"]"#, text(number)).as_bytes()))
});
static SAID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    numbered(|number| match OPTION.as_str() {
        "deflate" => framed(0xc1, &deflated(&format!(r#"42["said","{}"]"#, many(number)))),
        _ => frame(format!(r#"42["said","{}"]"#, text(number)).as_bytes()),
    })
});
static ECHOES_MSGPACK: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    numbered(|number| {
        let text = text(number);
        let parts: [&[u8]; 5] = [
            b"\x84\xa4type\x03\xa3nsp\xa1/\xa2id",
            &[number as u8],
            b"\xa4data\x91\xd9",
            &[text.len() as u8],
            text.as_bytes(),
        ];
        framed(0x82, &parts.concat())
    })
});
static BLOBS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let blob: Vec<u8> = (0..1024).map(|at| at as u8).collect();
    numbered(|number| {
        let mut bytes =
            frame(format!(r#"461-{number}[{{"_placeholder":true,"num":0}}]"#).as_bytes());
        push(&mut bytes, 0x82, &blob);
        bytes
    })
});
static SIZES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| numbered(|number| frame(format!("43{number}[1024]").as_bytes())));

/// One for each number that a client counts its messages with.
pub(crate) fn numbered(make: impl Fn(u64) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..90).map(|count| make(count + 10)).collect()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    framed(0x81, payload)
}

fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, first, payload);
    bytes
}

/// A message as RFC 7692 has it: without the four bytes that each ends with.
fn deflated(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    // Into memory that is there, this cannot fail.
    let _ = Compress::new(Compression::new(LEVEL), false).compress_vec(
        text.as_bytes(),
        &mut out,
        FlushCompress::Sync,
    );
    out.truncate(out.len().saturating_sub(4));
    out
}

fn push(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    if payload.len() > 125 {
        out.push(126);
        out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    } else {
        out.push(payload.len() as u8);
    }
    out.extend_from_slice(payload);
}

/// What one read brings about.
#[derive(Default)]
pub(crate) struct Turn {
    /// To the client itself.
    pub(crate) out: Vec<u8>,
    /// To everybody in the room; what one read brings is for one room.
    pub(crate) all: Vec<u8>,
    pub(crate) room: usize,
    /// Rooms that the client has entered (`true`) and left.
    pub(crate) moves: Vec<(usize, bool)>,
    pub(crate) requests: Vec<Request>,
}

impl Turn {
    pub(crate) fn clear(&mut self) {
        self.out.clear();
        self.all.clear();
        self.moves.clear();
        self.requests.clear();
    }
}

/// How many events each room was told.
#[derive(Default)]
pub(crate) struct Told(Vec<usize>);

impl Told {
    fn next(&mut self, room: usize) -> &'static [u8] {
        if self.0.len() <= room {
            self.0.resize(room + 1, 0);
        }
        self.0[room] += 1;
        &SAID[(self.0[room] - 1) % 90]
    }
}

/// What the server knows of one client.
#[derive(Default)]
pub(crate) struct Peer {
    upgraded: bool,
    /// The binary event whose attachment comes next asks for its size only.
    sizing: bool,
    /// Events answered.
    answered: usize,
    /// Received and not whole yet.
    held: Vec<u8>,
}

impl Peer {
    /// Answers what came.
    pub(crate) fn receive(&mut self, bytes: &[u8], told: &mut Told, turn: &mut Turn) {
        if self.held.is_empty() {
            let used = self.take(bytes, told, turn);
            self.held.extend_from_slice(&bytes[used..]);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            let used = self.take(&held, told, turn);
            held.drain(..used);
            self.held = held;
        }
    }

    /// Answers all that is whole, and tells how many bytes that was.
    fn take(&mut self, bytes: &[u8], told: &mut Told, turn: &mut Turn) -> usize {
        let mut at = 0;
        if !self.upgraded {
            while let Some((request, len)) = Request::first(&bytes[at..]) {
                at += len;
                if matches!(request, Request::Upgrade) {
                    self.upgraded = true;
                    turn.out.extend_from_slice(&UPGRADED);
                    break;
                }
                turn.requests.push(request);
            }
        }
        while self.upgraded
            && let Some(frame) = Frame::first(&bytes[at..])
        {
            at += frame.len;
            self.answer(&frame, told, turn);
        }
        at
    }

    fn answer(&mut self, frame: &Frame<'_>, told: &mut Told, turn: &mut Turn) {
        let Turn { out, all, room, moves, .. } = turn;
        let answers = match (frame.binary, frame.at(0), frame.at(1)) {
            // { type: 0, nsp: "/" } has two entries, an event has more.
            (true, 0x82, _) => return out.extend_from_slice(&JOINED_MSGPACK),
            (true, 0x85, _) => &ECHOES_MSGPACK,
            (true, ..) => {
                if self.sizing {
                    &SIZES
                } else {
                    &BLOBS
                }
            }
            (_, b'4', b'0') => return out.extend_from_slice(&JOINED),
            // 451-10["size",
            (_, b'4', b'5') => {
                self.sizing = frame.at(8) == b's';
                return;
            }
            // 42["say","r012",
            (_, b'4', b'2') if frame.at(2) == b'[' => {
                *room = frame.room(11);
                return all.extend_from_slice(told.next(*room));
            }
            // 4210["join","r012"] and 4210["leave","r012"]
            (_, b'4', b'2') if frame.at(6) != b'e' => {
                let enters = frame.at(6) == b'j';
                moves.push((frame.room(if enters { 14 } else { 15 }), enters));
                &TRUES
            }
            (_, b'4', b'2') => &ECHOES,
            _ => return,
        };
        out.extend_from_slice(&answers[self.answered % 90]);
        self.answered += 1;
    }
}

/// A whole frame, still masked.
struct Frame<'a> {
    binary: bool,
    mask: [u8; 4],
    payload: &'a [u8],
    /// With its header.
    len: usize,
}

impl<'a> Frame<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let &[first, short, ..] = bytes else {
            return None;
        };
        let (head, len) = match short & 0x7f {
            126 => (8, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
            short => (6, usize::from(short)),
        };
        let payload = bytes.get(head..head + len)?;
        let mask = [bytes[head - 4], bytes[head - 3], bytes[head - 2], bytes[head - 1]];
        Some(Self { binary: first == 0x82, mask, payload, len: head + len })
    }

    /// One byte, unmasked.
    fn at(&self, at: usize) -> u8 {
        self.payload.get(at).map_or(0, |byte| byte ^ self.mask[at % 4])
    }

    /// The index of a room, from the last three characters of its name, which has four.
    fn room(&self, at: usize) -> usize {
        (0..3).fold(0, |room, digit| room * 10 + usize::from(self.at(at + digit) & 0x1f))
    }
}
