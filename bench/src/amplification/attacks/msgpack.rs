//! What becomes more as JSON than it was as msgpack, where that is the encoding.

use super::messages::frame;
use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::Attacker;

const JSON: &str = "`payload_bytes_max` for a message, four times that for its JSON";

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("msgpack-nested", "lists of one, in 500 levels", nested),
        Attack::new("msgpack-nil", "lists of `nil`, a byte that becomes five", nil).bound(JSON),
        Attack::new("msgpack-controls", "control characters, which become six bytes", controls)
            .bound(JSON),
        Attack::new("msgpack-keys", "maps of one empty key", keys).bound(JSON),
        Attack::new("msgpack-ext", "timestamps, 6 bytes that become 26", extensions).bound(JSON),
        Attack::new("msgpack-lengths", "a list of 4,294,967,295 that has none", lengths)
            .counted("violations"),
        Attack::new("msgpack-bytes", "10,000 attachments of no byte", bytes)
            .login()
            .bound("`whole_attachments_max`"),
    ]
    .into_iter()
    .map(|attack| attack.option("msgpack"))
    .collect()
}

/// A packet of msgpack: its payload comes as it is.
fn packet(kind: u8, namespace: &str, data: &[u8]) -> Vec<u8> {
    let head = [&b"\x83\xa4type"[..], &[kind], b"\xa3nsp", &[0xa0 + namespace.len() as u8]];
    [&head.concat(), namespace.as_bytes(), b"\xa4data", data].concat()
}

/// `{ "a": list }`, the list having so many of these.
fn auth(item: &[u8], count: usize) -> Vec<u8> {
    let mut data = b"\x81\xa1a\xdd".to_vec();
    data.extend_from_slice(&(count as u32).to_be_bytes());
    data.extend(item.repeat(count));
    packet(0, "/refuses", &data)
}

/// Auth payloads of a namespace that refuses.
fn flood(a: &mut Attacker, message: &[u8], times: usize) -> Result<()> {
    let lines = a.websockets(a.times(4, 1), "", "")?;
    let wire = frame(0x82, message).repeat(times);
    for who in lines {
        a.write(who, &wire);
        a.did(times);
    }
    a.send()
}

fn nested(a: &mut Attacker) -> Result<()> {
    let list = [&b"\x91".repeat(500)[..], b"\xc0"].concat();
    flood(a, &auth(&list, 20), a.times(1_000, 1))
}

fn nil(a: &mut Attacker) -> Result<()> {
    flood(a, &auth(b"\xc0", 10_000), a.times(2_000, 1))
}

fn controls(a: &mut Attacker) -> Result<()> {
    let text = [&b"\xda\x23\x28"[..], &[1; 9_000]].concat();
    flood(a, &auth(&text, 1), a.times(2_000, 1))
}

fn keys(a: &mut Attacker) -> Result<()> {
    flood(a, &auth(b"\x81\xa0\xc0", 3_000), a.times(2_000, 1))
}

fn extensions(a: &mut Attacker) -> Result<()> {
    flood(a, &auth(b"\xd6\xff\x00\x00\x00\x00", 1_600), a.times(2_000, 1))
}

fn lengths(a: &mut Attacker) -> Result<()> {
    let message = packet(0, "/refuses", b"\xdd\xff\xff\xff\xff");
    let count = a.times(2_000, 500);
    let lines = a.websockets(count, "", "")?;
    for who in lines {
        a.write(who, &frame(0x82, &message));
    }
    a.did(count);
    a.send()
}

fn bytes(a: &mut Attacker) -> Result<()> {
    let lines = a.websockets(a.times(4, 1), "", "")?;
    for who in lines.clone() {
        a.write(who, &frame(0x82, b"\x82\xa4type\x00\xa3nsp\xa1/"));
    }
    a.hear(lines.clone(), "data")?;
    a.begin()?;
    let data = [&b"\xdc\x27\x10\xa5blobs"[..], &[0xc4, 0].repeat(9_999)].concat();
    let times = a.times(200, 1);
    for who in lines {
        a.write(who, &frame(0x82, &packet(2, "/", &data)).repeat(times));
        a.did(times);
    }
    a.send()
}
