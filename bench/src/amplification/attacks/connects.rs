//! What asks for a namespace: `CONNECT`, what comes with it, and what waits for the answer.

use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::Attacker;

const DECISIONS: &str = "`namespaces_max` for a connection, of which `decisions_max` are decided about; \
                         `deciding_bytes_max` for all, 4,096 at once; `decision_timeout` for each";
const AUTH: &str = "`auth_bytes_max` for a payload, of which `deciding_bytes_max` are decided about at \
                    once; read them into types";

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("connect-unknown", "`CONNECT`s to namespaces that there are not", unknown)
            .counted("refused"),
        Attack::new("connect-refused", "`CONNECT`s that the `connect` function refuses", refused)
            .counted("refused"),
        Attack::new("connect-name", "`CONNECT`s with names of 500 bytes", long_names)
            .counted("refused"),
        Attack::new("connect-waits", "32 `CONNECT`s, of which 8 are decided about at once", waits)
            .counted("decisions_waited")
            .bound(DECISIONS),
        Attack::new("connect-pattern", "8 to names of a pattern, made for each", pattern_waits)
            .counted("deciding")
            .bound(DECISIONS),
        Attack::new("auth", "32 auth payloads of 10 kB whose decision waits, not read", raw)
            .counted("decisions_waited")
            .bound(DECISIONS),
        Attack::new("auth-large", "auth payloads of 900 kB, of which none is taken", large)
            .counted("auth_too_large"),
        Attack::new(
            "auth-typed",
            "auth payloads of 10 kB of small objects, read into a type",
            typed,
        )
        .counted("refused"),
        Attack::new(
            "auth-values",
            "32 of 10 kB of small objects, read into values, waiting",
            values,
        )
        .counted("decisions_waited")
        .bound(AUTH),
        Attack::new("held-events", "64 events for a namespace that is deciding", held)
            .bound("`held_events_max` and `held_bytes_max` for a connection"),
        Attack::new(
            "recovery-unknown",
            "`CONNECT`s with a `pid` that was never given",
            unknown_pid,
        )
        .option("recovery")
        .counted("refused"),
    ]
}

/// The same packet many times on each of some WebSockets.
fn flood(a: &mut Attacker, packet: &[u8], times: usize) -> Result<()> {
    let lines = a.websockets(a.times(4, 1), "", "")?;
    for who in lines {
        for _ in 0..times {
            a.text(who, packet);
        }
        a.did(times);
    }
    a.send()
}

/// So many packets, each with a number in it, on each of some WebSockets that stay.
fn each(
    a: &mut Attacker,
    (connections, packets): (usize, usize),
    packet: impl Fn(usize, usize) -> String,
) -> Result<()> {
    let lines = a.websockets(connections, "", "")?;
    for who in lines {
        for number in 0..packets {
            let packet = packet(who, number);
            a.text(who, packet.as_bytes());
        }
        a.did(packets);
    }
    a.send()
}

fn unknown(a: &mut Attacker) -> Result<()> {
    flood(a, b"40/unknown,", a.times(100_000, 100))
}

fn refused(a: &mut Attacker) -> Result<()> {
    flood(a, b"40/refuses,", a.times(50_000, 100))
}

fn long_names(a: &mut Attacker) -> Result<()> {
    let name = format!("40/{},", "x".repeat(500));
    flood(a, name.as_bytes(), a.times(50_000, 100))
}

/// Only the first of a namespace on a connection waits; a pattern has names for all.
fn waits(a: &mut Attacker) -> Result<()> {
    each(a, (a.times(2_000, 200), 32), |_, number| format!("40/wait-{number},"))
}

/// As many as the share of a pattern is for: 1,024.
fn pattern_waits(a: &mut Attacker) -> Result<()> {
    each(a, (128, 8), |who, number| format!("40/wait-{who}-{number},"))
}

/// Objects as small as they can be, in about so many bytes.
pub(super) fn objects(bytes: usize) -> String {
    let list = vec!["{\"\":0}"; bytes / 7].join(",");
    format!("{{\"a\":[{list}]}}")
}

fn raw(a: &mut Attacker) -> Result<()> {
    let auth = objects(10_000);
    each(a, (a.times(200, 40), 32), |_, number| format!("40/wait-{number},{auth}"))
}

fn large(a: &mut Attacker) -> Result<()> {
    let packet = format!("40/wait-0,{}", objects(900_000));
    flood(a, packet.as_bytes(), a.times(20, 1))
}

fn typed(a: &mut Attacker) -> Result<()> {
    let packet = format!("40/typed,{}", objects(10_000));
    flood(a, packet.as_bytes(), a.times(1_000, 1))
}

pub(super) fn values(a: &mut Attacker) -> Result<()> {
    let auth = objects(10_000);
    each(a, (a.times(100, 20), 32), |_, number| format!("40/values-{number},{auth}"))
}

fn held(a: &mut Attacker) -> Result<()> {
    let connections = a.times(2_000, 500);
    let lines = a.websockets(connections, "", "")?;
    for who in lines {
        a.text(who, b"40/waits,");
        for _ in 0..64 {
            a.text(who, b"42/waits,[\"x\"]");
        }
        a.did(64);
    }
    a.send()
}

fn unknown_pid(a: &mut Attacker) -> Result<()> {
    // With a namespace that refuses, so that it can be said again.
    let packet = br#"40/refuses,{"pid":"AAAAAAAAAAAAAAAAAAAA","offset":"AAAA"}"#;
    flood(a, packet, a.times(50_000, 100))
}
