//! What anybody on the net can send before there is a session.

use crate::Result;
use crate::amplification::attack::Attack;
use crate::amplification::attacker::{Attacker, get, post};

/// The bound of what waits for a head.
const WAITS: &str = "10 s for each head, and `http_connections_max`";
const SESSIONS: &str = "`connections_max`, and `ping_interval` + `ping_timeout` of a silent session; \
                        `allow_request` decides who may have one, a proxy how fast an address may ask";

pub(super) fn all() -> Vec<Attack> {
    vec![
        Attack::new("tcp-silent", "a connection with one byte", silent).bound(WAITS),
        Attack::new("head-half", "8 KiB of a head that never ends", half_head).bound(WAITS),
        Attack::new("head-drip", "a head of 15 KiB, byte by byte", drip).bound(WAITS),
        Attack::new("head-large", "a WebSocket handshake with 15 KiB of headers", large_head)
            .counted("opened")
            .bound(SESSIONS),
        Attack::new("polling-handshake", "a first poll; its session is left", polling_handshake)
            .counted("opened")
            .bound(SESSIONS),
        Attack::new("websocket-handshake", "a WebSocket handshake; left", websocket_handshake)
            .counted("opened")
            .bound(SESSIONS),
        Attack::new("origin", "a first poll from a page of elsewhere", origin)
            .counted("origins_refused"),
        Attack::new("session-unknown", "a poll of a session that there is not", unknown_poll)
            .counted("requests_refused"),
        Attack::new("session-unknown-body", "a body of 10 kB for such a session", unknown_body)
            .counted("requests_refused"),
        Attack::new("preflight", "`OPTIONS` of a page of elsewhere", preflight),
        Attack::new("client-file", "a request for the JavaScript client, uncompressed", client_file)
            .bound("by design: it is served. `serve_client(false)`, or a proxy or CDN that has it"),
        Attack::new("http-unusual", "a poll with a body in chunks, for the HTTP library", unusual)
            .counted("requests_refused")
            .bound(
                "`http_connections_max` × 22 KiB, 2.1 GiB for all; `keep_alive_timeout`. The HTTP library has two \
                 buffers of 8 KiB for each, and nothing smaller can be set",
            ),
    ]
}

fn silent(a: &mut Attacker) -> Result<()> {
    let connections = a.times(2_000, 2_000);
    let lines = a.open(connections)?;
    for who in lines.clone() {
        a.write(who, b"G");
    }
    a.did(connections);
    a.send()?;
    hold_or_cut(a, lines)
}

/// What was opened stays for the peak; a flood ends it, which is part of the cost.
fn hold_or_cut(a: &mut Attacker, lines: std::ops::Range<usize>) -> Result<()> {
    a.rest()?;
    a.cut(lines)
}

fn header(bytes: usize) -> String {
    format!("X-Padding: {}\r\n", "x".repeat(bytes))
}

fn half_head(a: &mut Attacker) -> Result<()> {
    let connections = a.times(2_000, 500);
    let head = get("EIO=4&transport=polling", &header(8_192));
    let lines = a.open(connections)?;
    for who in lines.clone() {
        a.write(who, &head.as_bytes()[..head.len() - 4]);
    }
    a.did(connections);
    a.send()?;
    hold_or_cut(a, lines)
}

fn drip(a: &mut Attacker) -> Result<()> {
    let connections = a.times(20, 20);
    let head = get("EIO=4&transport=polling", &header(15_000));
    let lines = a.open(connections)?;
    for piece in head.as_bytes()[..15_000].chunks(1) {
        for who in lines.clone() {
            a.write(who, piece);
        }
        a.send()?;
    }
    a.did(connections);
    hold_or_cut(a, lines)
}

fn large_head(a: &mut Attacker) -> Result<()> {
    let connections = a.times(2_000, 500);
    let lines = a.websockets(connections, "", &header(15_000))?;
    a.did(connections);
    hold_or_cut(a, lines)
}

fn polling_handshake(a: &mut Attacker) -> Result<()> {
    let (connections, requests) = (a.times(20, 20), a.times(1_000, 250));
    let request = get("EIO=4&transport=polling", "");
    flood(a, connections, requests, request.as_bytes())
}

fn websocket_handshake(a: &mut Attacker) -> Result<()> {
    let connections = a.times(5_000, 2_000);
    let lines = a.websockets(connections, "", "")?;
    a.did(connections);
    hold_or_cut(a, lines)
}

/// Many requests on each of some connections.
fn flood(a: &mut Attacker, connections: usize, requests: usize, request: &[u8]) -> Result<()> {
    let lines = a.open(connections)?;
    for who in lines {
        a.write(who, &request.repeat(requests));
    }
    a.did(connections * requests);
    a.send()
}

fn origin(a: &mut Attacker) -> Result<()> {
    let request = get("EIO=4&transport=polling", "Origin: http://b\r\n");
    flood(a, 20, a.times(1_000, 20), request.as_bytes())
}

fn unknown_poll(a: &mut Attacker) -> Result<()> {
    let request = get("EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", "");
    flood(a, 20, a.times(1_000, 20), request.as_bytes())
}

fn unknown_body(a: &mut Attacker) -> Result<()> {
    let query = "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA";
    // One for each connection, since what stands behind it may not be read.
    let request = post(query, "", &[b'6'; 10_000]);
    flood(a, a.times(3_000, 300), 1, &request)
}

fn preflight(a: &mut Attacker) -> Result<()> {
    let request = "OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\
                   Origin: http://b\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    flood(a, 20, a.times(1_000, 20), request.as_bytes())
}

fn client_file(a: &mut Attacker) -> Result<()> {
    let request = "GET /socket.io/socket.io.js HTTP/1.1\r\nHost: a\r\n\r\n";
    let connections = 20;
    let times = a.times(200, 5);
    let lines = a.open(connections)?;
    for who in lines.clone() {
        a.write(who, &request.as_bytes().repeat(times));
    }
    a.did(connections * times);
    // It was built with the client.
    a.hear(lines, "200 OK")
}

fn unusual(a: &mut Attacker) -> Result<()> {
    let request = "POST /socket.io/?EIO=4&transport=polling&sid=A HTTP/1.1\r\nHost: a\r\n\
                   Transfer-Encoding: chunked\r\n\r\n1\r\n6\r\n0\r\n\r\n";
    flood(a, a.times(3_000, 300), 1, request.as_bytes())
}
