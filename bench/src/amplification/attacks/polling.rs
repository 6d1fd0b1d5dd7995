//! What a session that polls can send without a namespace.

use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::{Attacker, get, post};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const V4: &str = "EIO=4";
const V3: &str = "EIO=3";

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("polling-packets", "bodies of nothing but noops and separators", packets)
            .bound("`payload_packets_max` for a body"),
        Attack::new("polling-small", "bodies of one byte", small),
        Attack::new("polling-abandoned", "a poll whose connection is cut", abandoned),
        Attack::new("polling-drip", "a body of 900 kB in pieces of 1 kB, never whole", drip)
            .bound("`request_timeout` for each 64 KiB"),
        Attack::new("jsonp-escapes", "a form of nothing but escapes", escapes).option("eio3"),
        Attack::new("eio3-pings", "bodies of 3-byte pings, each of which is answered", pings)
            .option("eio3")
            .bound("`outbox_bytes_max`"),
        Attack::new("eio3-lengths", "packets of two characters beyond ASCII", lengths)
            .option("eio3")
            .bound("`payload_packets_max` for a body"),
    ]
}

/// The same body many times for each of some sessions.
fn flood(a: &mut Attacker, query: &str, headers: &str, body: &[u8], times: usize) -> Result<()> {
    let (lines, targets) = a.pollers(a.times(4, 1), query)?;
    for (who, target) in lines.zip(&targets) {
        a.write(who, &post(target, headers, body).repeat(times));
        a.did(times);
    }
    a.send()
}

fn packets(a: &mut Attacker) -> Result<()> {
    flood(
        a,
        V4,
        "",
        b"6\x1e".repeat(199_999).strip_suffix(b"\x1e").unwrap_or_default(),
        a.times(20, 1),
    )
}

fn small(a: &mut Attacker) -> Result<()> {
    flood(a, V4, "", b"6", a.times(5_000, 20))
}

fn abandoned(a: &mut Attacker) -> Result<()> {
    let sessions = a.times(2_000, 500);
    let (lines, targets) = a.pollers(sessions, V4)?;
    for (who, target) in lines.clone().zip(&targets) {
        a.write(who, get(target, "").as_bytes());
    }
    a.did(sessions);
    a.rest()?;
    a.cut(lines)
}

fn drip(a: &mut Attacker) -> Result<()> {
    let (lines, targets) = a.pollers(a.times(40, 40), V4)?;
    let body = vec![b'x'; 900_000];
    for (who, target) in lines.clone().zip(&targets) {
        let request = post(target, "", &body);
        a.write(who, &request[..request.len() - body.len()]);
    }
    for piece in body[1..].chunks(1_000) {
        for who in lines.clone() {
            a.write(who, piece);
        }
        a.send()?;
    }
    a.did(lines.len());
    a.rest()
}

fn escapes(a: &mut Attacker) -> Result<()> {
    // `2:6\n…`, of which each character is three.
    let text = format!("{}:6{}", 200_001, "\"".repeat(200_000));
    let form: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let body = format!("d={form}");
    let query = format!("{V3}&j=0");
    flood(a, &query, FORM, body.as_bytes(), a.times(40, 1))
}

fn pings(a: &mut Attacker) -> Result<()> {
    flood(a, V3, "Content-Type: text/plain\r\n", &b"1:2".repeat(100_000), a.times(4, 1))
}

fn lengths(a: &mut Attacker) -> Result<()> {
    let body = "3:6éé".repeat(140_000);
    flood(a, V3, "Content-Type: text/plain;charset=UTF-8\r\n", body.as_bytes(), a.times(20, 1))
}
