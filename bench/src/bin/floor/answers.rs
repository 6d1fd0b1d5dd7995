//! [`Peer`]: which prepared bytes answer what a client sent.

use std::sync::LazyLock;

/// `HTTP/1.1 101`, and the open packet behind it.
static UPGRADED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\
        \r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            .to_vec();
    push(&mut bytes, 0x81, br#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#);
    bytes
});
static JOINED: LazyLock<Vec<u8>> = LazyLock::new(|| frame(br#"40{"sid":"BBBBBBBBBBBBBBBBBBBB"}"#));
static IN_ROOM: LazyLock<Vec<u8>> = LazyLock::new(|| frame(b"4310[true]"));
static ECHOES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    numbered(|number| frame(format!(r#"43{number}["{}"]"#, text(number)).as_bytes()))
});
static SAID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    numbered(|number| frame(format!(r#"42["said","{}"]"#, text(number)).as_bytes()))
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

fn text(number: usize) -> String {
    format!("a message of forty-four characters, number {number}")
}

fn numbered(make: impl Fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..90).map(|count| make(count + 10)).collect()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, 0x81, payload);
    bytes
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

/// How many events the room was told.
#[derive(Default)]
pub(crate) struct Room {
    said: usize,
}

/// What the server knows of one client.
#[derive(Default)]
pub(crate) struct Peer {
    upgraded: bool,
    /// Events answered.
    answered: usize,
    /// Received and not whole yet.
    held: Vec<u8>,
}

impl Peer {
    /// Answers what came: to the client in `out`, to everybody in the room in `all`. `true` when
    /// the client has joined the room.
    pub(crate) fn receive(
        &mut self,
        mut bytes: &[u8],
        room: &mut Room,
        out: &mut Vec<u8>,
        all: &mut Vec<u8>,
    ) -> bool {
        let joined;
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            joined = self.receive(&held, room, out, all);
            return joined;
        }
        if !self.upgraded {
            if !bytes.ends_with(b"\r\n\r\n") {
                self.held.extend_from_slice(bytes);
                return false;
            }
            self.upgraded = true;
            out.extend_from_slice(&UPGRADED);
            return false;
        }
        let mut joined = false;
        while let Some((kind, start, mask, len)) = whole(bytes) {
            let unmasked = |at: usize| bytes[len.0 + at] ^ mask[at % 4];
            match kind {
                0x82 => {
                    out.extend_from_slice(&BLOBS[self.answered % 90]);
                    self.answered += 1;
                }
                _ => match (start, (unmasked(0), unmasked(1))) {
                    (_, (b'4', b'0')) => out.extend_from_slice(&JOINED),
                    (_, (b'4', b'2')) if unmasked(2) == b'[' => {
                        all.extend_from_slice(&SAID[room.said % 90]);
                        room.said += 1;
                    }
                    (_, (b'4', b'2')) if unmasked(6) == b'j' => {
                        out.extend_from_slice(&IN_ROOM);
                        joined = true;
                    }
                    (_, (b'4', b'2')) => {
                        out.extend_from_slice(&ECHOES[self.answered % 90]);
                        self.answered += 1;
                    }
                    _ => {}
                },
            }
            bytes = &bytes[len.0 + len.1..];
        }
        self.held.extend_from_slice(bytes);
        joined
    }
}

/// The first whole frame: its first byte, where it starts, its mask, and the lengths of header and
/// payload.
fn whole(bytes: &[u8]) -> Option<(u8, usize, [u8; 4], (usize, usize))> {
    let &[first, short, ..] = bytes else {
        return None;
    };
    let (head, len) = match short & 0x7f {
        126 => (8, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        short => (6, usize::from(short)),
    };
    if bytes.len() < head + len {
        return None;
    }
    let mask = [bytes[head - 4], bytes[head - 3], bytes[head - 2], bytes[head - 1]];
    Some((first, 0, mask, (head, len)))
}
