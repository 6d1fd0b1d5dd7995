//! What a WebSocket can send without a namespace: frames, and packets of Engine.IO.

use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::Attacker;

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("noops", "frames of one byte: noops", noops),
        Attack::new("pongs", "frames of one byte: pongs that nobody asked for", pongs),
        Attack::new("ws-pings", "empty pings of WebSocket, each of which is answered", ws_pings),
        Attack::new("ws-pings-full", "such pings with 125 bytes", ws_pings_full),
        Attack::new("ws-pongs", "empty pongs of WebSocket", ws_pongs),
        Attack::new("ws-fragments", "messages in fragments of one byte", fragments)
            .bound("`fragments_max` for a message"),
        Attack::new("ws-fragments-empty", "messages in fragments of no byte", empty_fragments)
            .bound("`fragments_max` for a message"),
        Attack::new("ws-unmasked", "a frame without a mask, 10 kB", unmasked).counted("violations"),
        Attack::new("ws-utf8", "900 kB of text that ends with a byte that is none", utf8)
            .counted("violations"),
        Attack::new("ws-announced", "a frame of 1 MB that is announced and never comes", announced)
            .bound("`connect_timeout`"),
        Attack::new("ws-endless", "900 kB of a message that never ends", endless)
            .bound("`payload_bytes_max` for a connection, `connect_timeout`"),
    ]
}

/// The same bytes many times on each of some WebSockets.
fn flood(a: &mut Attacker, bytes: &[u8], times: usize) -> Result<()> {
    let lines = a.websockets(a.times(4, 1), "", "")?;
    for who in lines {
        a.write(who, &bytes.repeat(times));
        a.did(times);
    }
    a.send()
}

/// A masked frame, by the key of zeros.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn noops(a: &mut Attacker) -> Result<()> {
    flood(a, &frame(0x81, b"6"), a.times(500_000, 1_000))
}

fn pongs(a: &mut Attacker) -> Result<()> {
    flood(a, &frame(0x81, b"3"), a.times(500_000, 1_000))
}

fn ws_pings(a: &mut Attacker) -> Result<()> {
    flood(a, &frame(0x89, b""), a.times(500_000, 1_000))
}

fn ws_pings_full(a: &mut Attacker) -> Result<()> {
    flood(a, &frame(0x89, &[b'x'; 125]), a.times(200_000, 1_000))
}

fn ws_pongs(a: &mut Attacker) -> Result<()> {
    flood(a, &frame(0x8a, b""), a.times(500_000, 1_000))
}

/// A noop in so many fragments, of which the last one ends the message.
fn fragmented(piece: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = frame(0x01, b"6");
    bytes.extend(frame(0x00, piece).repeat(count));
    bytes.extend(frame(0x80, b""));
    bytes
}

fn fragments(a: &mut Attacker) -> Result<()> {
    flood(a, &fragmented(b"x", 90_000), a.times(6, 1))
}

fn empty_fragments(a: &mut Attacker) -> Result<()> {
    flood(a, &fragmented(b"", 90_000), a.times(6, 1))
}

/// A WebSocket for each time the bytes are sent, since they end it.
fn each(a: &mut Attacker, bytes: &[u8], count: usize) -> Result<()> {
    let lines = a.websockets(count, "", "")?;
    for who in lines {
        a.write(who, bytes);
    }
    a.did(count);
    a.send()
}

fn unmasked(a: &mut Attacker) -> Result<()> {
    let mut bytes = frame(0x81, &[b'6'; 10_000]);
    bytes[1] &= 0x7f;
    each(a, &bytes, a.times(2_000, 500))
}

fn utf8(a: &mut Attacker) -> Result<()> {
    let mut text = vec![b'6'; 900_000];
    text.push(0xff);
    each(a, &frame(0x81, &text), a.times(200, 20))
}

fn announced(a: &mut Attacker) -> Result<()> {
    let whole = frame(0x81, &vec![b'6'; 999_000]);
    each(a, &whole[..15], a.times(2_000, 2_000))
}

pub(super) fn endless(a: &mut Attacker) -> Result<()> {
    each(a, &frame(0x01, &vec![b'6'; 900_000]), a.times(100, 50))
}
