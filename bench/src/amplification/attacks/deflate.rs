//! What is compressed, where compression is on.

use flate2::{Compress, Compression, FlushCompress};

use super::messages::frame;
use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::Attacker;

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const RATIO: &str =
    "`inflate_ratio_max` × the bytes of a connection and one message of `payload_bytes_max` more";

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("deflate-bomb", "1 kB that becomes 999 kB, once for each WebSocket", bomb)
            .option("deflate")
            .bound(RATIO),
        Attack::new("deflate-ratio", "messages that become 90 times their size", ratio)
            .option("deflate")
            .bound(RATIO),
        Attack::new("deflate-tiny", "compressed messages of one byte, with a window", tiny)
            .option("deflate"),
        Attack::new("deflate-window", "32 kB that fill a window, held by each WebSocket", window)
            .option("deflate"),
        Attack::new("deflate-blocks", "a message of nothing but empty blocks", blocks)
            .option("deflate"),
    ]
}

/// A message as it is sent: without the end that all have.
fn deflated(text: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(text.len() + 1024);
    // There is room for all of it.
    let _ = compress.compress_vec(text, &mut out, FlushCompress::Sync);
    out.truncate(out.len().saturating_sub(4));
    out
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        b'!' + (state % 80) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn bomb(a: &mut Attacker) -> Result<()> {
    let count = a.times(1_000, 200);
    let wire = frame(0xc1, &deflated(&b"6ab".repeat(333_000)));
    let lines = a.websockets(count, "", OFFER)?;
    for who in lines {
        a.write(who, &wire);
    }
    a.did(count);
    a.send()
}

fn flood(a: &mut Attacker, message: &[u8], times: usize) -> Result<()> {
    let lines = a.websockets(4, "", OFFER)?;
    let wire = frame(0xc1, message).repeat(times);
    for who in lines {
        a.write(who, &wire);
        a.did(times);
    }
    a.send()
}

fn ratio(a: &mut Attacker) -> Result<()> {
    let mut text = vec![b'6'; 90_000];
    text.extend(noise(900));
    flood(a, &deflated(&text), a.times(1_000, 10))
}

fn tiny(a: &mut Attacker) -> Result<()> {
    flood(a, &deflated(b"6"), a.times(200_000, 1_000))
}

fn window(a: &mut Attacker) -> Result<()> {
    let mut text = b"6".to_vec();
    text.extend(noise(32_768));
    let count = a.times(500, 500);
    let lines = a.websockets(count, "", OFFER)?;
    let wire = frame(0xc1, &deflated(&text)).repeat(a.times(10, 1));
    for who in lines {
        a.write(who, &wire);
    }
    a.did(count);
    a.send()
}

fn blocks(a: &mut Attacker) -> Result<()> {
    // A block of one byte, a noop, before them.
    let mut message = vec![0, 1, 0, 0xfe, 0xff, b'6'];
    message.extend([0, 0, 0, 0xff, 0xff].repeat(190_000));
    message.push(0);
    let wire = frame(0xc1, &message);
    let lines = a.websockets(a.times(20, 5), "", OFFER)?;
    for who in lines.clone() {
        a.write(who, &wire);
    }
    a.did(lines.len());
    a.send()
}
