//! JSON that is more than it says. It comes as an auth payload of a namespace that refuses, which needs no
//! login, and is looked through to its end before it is refused; as an event it is what a handler reads, too.

use super::connects::objects;
use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::Attacker;

const ARGS: &str = "`args_bytes_max` and `OneEvent::rate`; types in place of values";

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("json-deep", "auth payloads of 500 levels", deep).counted("refused"),
        Attack::new("json-many", "auth payloads of 9,000 small numbers", many).counted("refused"),
        Attack::new("json-number", "auth payloads of one number of 10,000 digits", number)
            .counted("refused"),
        Attack::new("json-escapes", "auth payloads of nothing but escapes", escapes)
            .counted("refused"),
        Attack::new("event-deep", "events of 500 levels, handled as they are", event_deep).login(),
        Attack::new("event-many", "events of 450,000 arguments", event_many).login(),
        Attack::new("event-values", "events of small objects, read into values", event_values)
            .login()
            .bound(ARGS),
        Attack::new("event-escapes", "events of escapes, read into values", event_escapes).login(),
    ]
}

fn flood(a: &mut Attacker, json: &str, times: usize) -> Result<()> {
    let lines = a.websockets(a.times(4, 1), "", "")?;
    let packet = format!("40/refuses,{{\"a\":{json}}}");
    for who in lines {
        for _ in 0..times {
            a.text(who, packet.as_bytes());
        }
        a.did(times);
    }
    a.send()
}

fn event(a: &mut Attacker, packet: &str, times: usize) -> Result<()> {
    let lines = a.joined(a.times(4, 1))?;
    a.begin()?;
    for who in lines {
        for _ in 0..times {
            a.text(who, packet.as_bytes());
        }
        a.did(times);
    }
    a.send()
}

fn nested() -> String {
    "[".repeat(500) + &"]".repeat(500)
}

fn deep(a: &mut Attacker) -> Result<()> {
    flood(a, &nested(), a.times(20_000, 1))
}

fn many(a: &mut Attacker) -> Result<()> {
    flood(a, &format!("[{}0]", "0,".repeat(9_000)), a.times(1_000, 1))
}

fn number(a: &mut Attacker) -> Result<()> {
    flood(a, &"9".repeat(10_000), a.times(2_000, 1))
}

fn escapes(a: &mut Attacker) -> Result<()> {
    flood(a, &format!("\"{}\"", "\\u0000\\\"".repeat(1_200)), a.times(2_000, 1))
}

fn event_deep(a: &mut Attacker) -> Result<()> {
    let lists = vec![nested(); 900].join(",");
    event(a, &format!("42[\"say\",{lists}]"), a.times(20, 1))
}

fn event_many(a: &mut Attacker) -> Result<()> {
    event(a, &format!("42[\"say\"{}]", ",0".repeat(450_000)), a.times(20, 1))
}

fn event_values(a: &mut Attacker) -> Result<()> {
    event(a, &format!("42[\"values\",{}]", objects(900_000)), a.times(4, 1))
}

fn event_escapes(a: &mut Attacker) -> Result<()> {
    event(a, &format!("42[\"values\",\"{}\"]", "\\u0000".repeat(150_000)), a.times(10, 1))
}
