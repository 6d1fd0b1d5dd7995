//! What clients can do that were let in: events, acks, attachments.

use super::messages::frame;
use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::Attacker;

const HANDLERS: &str =
    "`handlers_max`, and 4 MiB of events that are handled or wait, for a connection";

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("event-100", "for comparison: events of 100 bytes", plain),
        Attack::new("event-acked", "for comparison: events of 60 bytes that are answered", acked),
        Attack::new("event-short", "events as short as they can be", short),
        Attack::new("event-unknown", "events that nobody handles", unknown)
            .counted("events_unhandled"),
        Attack::new("event-name", "an event with a name of 10 kB", long_name).counted("violations"),
        Attack::new("attachments-empty", "10 attachments of no byte for each event", attachments),
        Attack::new("placeholders", "20,000 placeholders for one attachment", placeholders)
            .counted("violations"),
        Attack::new("acks-unknown", "answers to nothing that was asked", acks)
            .counted("acks_unmatched"),
        Attack::new("parked", "events whose handler waits", parked).bound(HANDLERS),
        Attack::new("questions", "events whose handler asks, and gets no answer", questions)
            .bound(HANDLERS),
        Attack::new("slow-reader", "events with large answers that are not read", slow).bound(
            "`outbox_bytes_max`; nothing is read from a client that reads too little itself",
        ),
    ]
    .into_iter()
    .map(Attack::login)
    .collect()
}

fn flood(a: &mut Attacker, connections: usize, packet: &[u8], times: usize) -> Result<()> {
    let lines = a.joined(connections)?;
    a.begin()?;
    for who in lines {
        for _ in 0..times {
            a.text(who, packet);
        }
        a.did(times);
    }
    a.send()
}

fn plain(a: &mut Attacker) -> Result<()> {
    let event = format!("42[\"say\",\"{}\"]", "x".repeat(82));
    flood(a, 16, event.as_bytes(), a.times(50_000, 100))
}

fn acked(a: &mut Attacker) -> Result<()> {
    let event = format!("4217[\"echo\",\"{}\"]", "x".repeat(40));
    flood(a, 16, event.as_bytes(), a.times(40_000, 100))
}

fn short(a: &mut Attacker) -> Result<()> {
    flood(a, 16, b"42[\"say\"]", a.times(100_000, 100))
}

fn unknown(a: &mut Attacker) -> Result<()> {
    flood(a, 16, b"42[\"x\"]", a.times(100_000, 100))
}

fn long_name(a: &mut Attacker) -> Result<()> {
    let event = format!("42[\"{}\"]", "x".repeat(10_000));
    flood(a, a.times(2_000, 500), event.as_bytes(), 1)
}

/// The same bytes many times for each of some clients.
fn raw(a: &mut Attacker, bytes: &[u8], times: usize) -> Result<()> {
    let lines = a.joined(a.times(4, 1))?;
    a.begin()?;
    for who in lines {
        a.write(who, &bytes.repeat(times));
        a.did(times);
    }
    a.send()
}

fn attachments(a: &mut Attacker) -> Result<()> {
    let places: Vec<_> = (0..10).map(placeholder).collect();
    let event = format!("4510-[\"say\",{}]", places.join(","));
    let mut wire = frame(0x81, event.as_bytes());
    wire.extend(frame(0x82, b"").repeat(10));
    raw(a, &wire, a.times(20_000, 100))
}

fn placeholder(number: usize) -> String {
    format!("{{\"_placeholder\":true,\"num\":{number}}}")
}

/// The second is one too many, so each is the end of a connection.
fn placeholders(a: &mut Attacker) -> Result<()> {
    let places = vec![placeholder(0); 20_000].join(",");
    let event = format!("451-[\"blobs\",[{places}]]");
    let mut wire = frame(0x81, event.as_bytes());
    wire.extend(frame(0x82, b"x"));
    let lines = a.joined(a.times(100, 4))?;
    a.begin()?;
    for who in lines.clone() {
        a.write(who, &wire);
    }
    a.did(lines.len());
    a.send()
}

fn acks(a: &mut Attacker) -> Result<()> {
    flood(a, 16, b"4377[]", a.times(100_000, 100))
}

fn parked(a: &mut Attacker) -> Result<()> {
    flood(a, a.times(300, 50), b"42[\"park\"]", 1_024)
}

fn questions(a: &mut Attacker) -> Result<()> {
    flood(a, a.times(200, 50), b"42[\"ask\"]", 1_024)
}

/// What the program sends by itself to clients that do not read.
pub(super) fn pile(a: &mut Attacker) -> Result<()> {
    let lines = a.joined(40)?;
    a.turn_deaf(lines.clone());
    for who in lines {
        a.text(who, b"42[\"pile\",70,100000]");
    }
    a.send()
}

fn slow(a: &mut Attacker) -> Result<()> {
    let lines = a.joined(a.times(20, 20))?;
    a.begin()?;
    a.turn_deaf(lines.clone());
    for who in lines {
        for _ in 0..200 {
            a.text(who, b"42[\"big\",100000]");
        }
        a.did(200);
    }
    a.send()
}
