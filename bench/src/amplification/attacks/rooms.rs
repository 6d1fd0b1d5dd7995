//! Namespaces that are made for who asks, rooms, and sockets that come back.

use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::Attacker;

const CHILDREN: &str =
    "`child_namespaces_max` × 1.2 KiB, 12 MiB for all; `namespaces_max` for a connection";
const ROOMS_OF_ONE: &str =
    "`search_max`; `rooms_max` × `room_name_bytes_max`, which is what the rooms of a socket take";
const MISSED: &str = "by design: they are sent. `search_max`, three quarters of `outbox_bytes_max`, \
                      `events_max` and `bytes_max` of `Recovery`";

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("connect-leave", "`CONNECT` and `DISCONNECT` of one namespace", connect_leave)
            .counted("joined"),
        Attack::new("children", "32 namespaces of a pattern, made for each connection", children)
            .counted("namespaces_made")
            .bound(CHILDREN),
        Attack::new("children-ended", "such a namespace, made and left", children_ended)
            .counted("namespaces_made"),
        Attack::new("rooms", "900 rooms for each client", rooms)
            .bound("`rooms_max` for a socket, `room_name_bytes_max` for a name"),
        Attack::new("rooms-left", "joins and leaves of a room", rooms_left),
        Attack::new("broadcast", "an event for a room of 1,000", broadcast).bound(
            "by design: the program sends it on. `OneEvent::rate`, and who may speak in a room",
        ),
        Attack::new("recovery-lost", "sockets in children that are cut, and may come back", lost)
            .option("recovery")
            .counted("joined")
            .bound("`sockets_max` and `sockets_bytes_max` of `Recovery`: 64 MiB for all"),
        Attack::new(
            "recovery",
            "returns with an old offset to 999 rooms, 90,000 events for others later",
            returns,
        )
        .option("recovery")
        .counted("recovered")
        .bound(ROOMS_OF_ONE),
        Attack::new(
            "recovery-missed",
            "returns to 20,000 events, all of which were missed",
            missed,
        )
        .option("recovery")
        .counted("recovered")
        .bound(MISSED),
        Attack::new(
            "recovery-much",
            "returns to 90,000 events, more than are looked through",
            too_much,
        )
        .option("recovery")
        .counted("recoveries_refused")
        .bound("`search_max`"),
    ]
    .into_iter()
    .map(Attack::login)
    .collect()
}

fn connect_leave(a: &mut Attacker) -> Result<()> {
    let lines = a.websockets(4, "", "")?;
    a.begin()?;
    let times = a.times(30_000, 50);
    for who in lines {
        for _ in 0..times {
            a.text(who, b"40");
            a.text(who, b"41");
        }
        a.did(times);
    }
    a.send()
}

fn children(a: &mut Attacker) -> Result<()> {
    let connections = a.times(300, 100);
    let lines = a.websockets(connections, "", "")?;
    a.begin()?;
    for who in lines {
        for number in 0..32 {
            a.text(who, format!("40/child-{who}-{number},").as_bytes());
        }
        a.did(32);
    }
    a.send()
}

fn children_ended(a: &mut Attacker) -> Result<()> {
    let lines = a.websockets(4, "", "")?;
    a.begin()?;
    let times = a.times(20_000, 50);
    for who in lines {
        for number in 0..times {
            a.text(who, format!("40/child-{who}-{number},").as_bytes());
            a.text(who, format!("41/child-{who}-{number},").as_bytes());
        }
        a.did(times);
    }
    a.send()
}

fn rooms(a: &mut Attacker) -> Result<()> {
    let lines = a.joined(a.times(200, 50))?;
    a.begin()?;
    for who in lines {
        for number in 0..900 {
            a.text(who, format!("42[\"join\",\"{who}-{number}\"]").as_bytes());
        }
        a.did(900);
    }
    a.send()
}

fn rooms_left(a: &mut Attacker) -> Result<()> {
    let lines = a.joined(4)?;
    a.begin()?;
    let times = a.times(50_000, 50);
    for who in lines {
        for _ in 0..times {
            a.text(who, b"42[\"join\",\"r\"]");
            a.text(who, b"42[\"leave\",\"r\"]");
        }
        a.did(times);
    }
    a.send()
}

fn broadcast(a: &mut Attacker) -> Result<()> {
    let lines = a.joined(1_000)?;
    for who in lines.clone() {
        a.text(who, b"42[\"join\",\"r\"]");
    }
    a.begin()?;
    let times = a.times(500, 20);
    let event = format!("42[\"tell\",\"r\",\"{}\"]", "x".repeat(60));
    for _ in 0..times {
        a.text(lines.start, event.as_bytes());
    }
    a.did(times);
    a.send()
}

/// What waits for its client is what is held, so the connections are cut at once.
fn lost(a: &mut Attacker) -> Result<()> {
    let sockets = a.times(3_000, 1_000);
    let lines = a.websockets(sockets, "", "")?;
    a.begin()?;
    for who in lines.clone() {
        a.text(who, format!("40/child-{who},").as_bytes());
    }
    a.hear(lines.clone(), "40/child")?;
    a.did(sockets);
    a.cut(lines)
}

const EVENTS: usize = 90_000;
const ROOMS: usize = 999;

fn returns(a: &mut Attacker) -> Result<()> {
    come_back(a, ("y", EVENTS), a.times(5, 1))
}

/// As many as fit into an outbox.
fn missed(a: &mut Attacker) -> Result<()> {
    come_back(a, ("x", 20_000), a.times(5, 1))
}

/// Once, since nothing waits for a client any more that was refused.
fn too_much(a: &mut Attacker) -> Result<()> {
    come_back(a, ("x", EVENTS), 1)
}

/// Rooms whose names begin alike, so many events behind the last one that a client has seen, and that client,
/// which comes back over and over. With `x` the events are for its rooms, with `y` for others.
fn come_back(a: &mut Attacker, (whose, events): (&str, usize), times: usize) -> Result<()> {
    let alike = "r".repeat(400);
    let lines = a.joined(1)?;
    let who = lines.start;
    let heard = a.heard(who);
    let pid = between(&heard, "\"pid\":\"", "\"")?;
    for number in 0..ROOMS {
        a.text(who, format!("42[\"join\",\"{alike}x{number}\"]").as_bytes());
    }
    // The first event is the last that it has seen.
    a.text(who, format!("42[\"tell\",\"{alike}x1\",\"\"]").as_bytes());
    a.hear(lines.clone(), "told")?;
    let heard = a.heard(who);
    let offset = between(&heard, "\"told\",\"\",\"", "\"")?;
    a.cut(lines)?;
    a.rest()?;
    let filler = a.joined(1)?;
    a.heard(filler.start);
    a.text(filler.start, format!("4217[\"fill\",{events},\"{alike}{whose}\"]").as_bytes());
    a.hear(filler, "4317[")?;
    a.begin()?;
    let auth = format!("40{{\"pid\":\"{pid}\",\"offset\":\"{offset}\"}}");
    for _ in 0..times {
        let lines = a.websockets(1, "", "")?;
        a.heard(lines.start);
        a.text(lines.start, auth.as_bytes());
        a.hear(lines.clone(), "40{")?;
        a.rest()?;
        a.cut(lines)?;
    }
    a.did(times);
    a.send()
}

fn between(text: &str, before: &str, behind: &str) -> Result<String> {
    let rest = text.split_once(before).and_then(|(_, rest)| rest.split_once(behind));
    let (found, _) = rest.ok_or_else(|| format!("no {before} in {text}"))?;
    Ok(found.to_owned())
}
