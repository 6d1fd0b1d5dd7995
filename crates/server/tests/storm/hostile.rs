//! Clients that break the rules. What becomes of them is for other tests; here they are in the way of
//! those who keep to them, and nothing of theirs may be left.

use std::sync::Arc;

use roomful::SocketId;
use roomful_proto::ws::frame::Opcode;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::line::{Ended, Line};
use crate::site::{NAMESPACES_MAX, PAYLOAD_BYTES_MAX, ROOMS_MAX, Site};
use crate::support::random::Random;
use crate::support::{Conn, POLLING, Packet, Poller, WEBSOCKET, Ws, get, odd_frame, post, until};

/// Packets that are none, or not at that place.
const ODD_PACKETS: [&str; 14] = [
    "",
    "9",
    "0{}",
    "4",
    "4x",
    "42",
    "42[",
    "42[]",
    "42[7]",
    "42[\"disconnect\"]",
    "42/never-joined,[\"echo\",\"x\"]",
    "451-[\"echo\"]",
    "4599999-[\"echo\",{\"_placeholder\":true,\"num\":0}]",
    "40{\"client\":",
];

/// Heads of requests that are none, or not ours to answer with a session.
const ODD_HEADS: [&str; 6] = [
    "GET /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /socket.io/?EIO=9&transport=pigeon HTTP/1.1\r\nHost: x\r\n\r\n",
    "BREW /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Le",
    "GET / HTTP/1.1\r\n\r\n",
    "\u{16}\u{3}\u{1}\u{2}",
];

/// One of them. Their streams may end at any time, so nothing here is asked for.
pub async fn live(site: Arc<Site>, key: u64, mut random: Random) {
    site.books.is_vague(key);
    site.books.count("visits that break rules");
    let _ = match random.below(9) {
        0 => sends_odd_packets(&site, key, &mut random).await,
        1 => sends_odd_frames(&site, key, &mut random).await,
        2 => reads_nothing(&site, key).await,
        3 => asks_oddly(&site, &mut random).await,
        4 => joins_too_much(&site, key).await,
        5 => answers_what_nobody_asked(&site, key).await,
        6 => polls_twice(&site, key).await,
        7 => claims_what_is_not_its_own(&site, key).await,
        _ => comes_too_often(&site, key).await,
    };
}

async fn joined(site: &Site, key: u64) -> Result<Line, Ended> {
    let mut line = Line::websocket(site.server.address).await?;
    join(&mut line, key).await?;
    Ok(line)
}

/// Joins `/`; gives the answer.
async fn join(line: &mut Line, key: u64) -> Result<String, Ended> {
    line.send(&format!("40{}", json!({ "client": key }))).await?;
    line.next().await
}

async fn sends_odd_packets(site: &Site, key: u64, random: &mut Random) -> Result<(), Ended> {
    let packet = ODD_PACKETS[random.below(ODD_PACKETS.len() as u64) as usize];
    if random.below(2) == 0 {
        let poller = Poller::open(site.server.address).await;
        poller.post(&format!("40{}\u{1e}{packet}", json!({ "client": key }))).await;
        poller.get().await;
        return Ok(());
    }
    let mut line = joined(site, key).await?;
    line.send(packet).await?;
    // Where that did not end it, this does.
    line.send("1").await?;
    line.is_silent().await;
    Ok(())
}

async fn sends_odd_frames(site: &Site, key: u64, random: &mut Random) -> Result<(), Ended> {
    let mut ws = Ws::upgrade(site.server.address, WEBSOCKET).await;
    ws.send_text(&format!("40{}", json!({ "client": key }))).await;
    match random.below(5) {
        // Reserved bits; not UTF-8; a part of nothing; too large; too large for a control frame.
        0 => ws.conn.send(odd_frame(0xf1, b"2")).await,
        1 => ws.send_frame(Opcode::Text, b"4\xff").await,
        2 => ws.conn.send(odd_frame(0x80, b"2")).await,
        3 => ws.send_text(&"4".repeat(PAYLOAD_BYTES_MAX + 1)).await,
        _ => ws.send_frame(Opcode::Ping, &[0; 126]).await,
    }
    ws.ended().await;
    Ok(())
}

/// Asks for more than it takes, until the server has had enough.
///
/// Up to then it reads. What is sent before anything was answered may be lost with the place in the queue of
/// the listener, and then the system resets the stream of a client that no server has seen.
async fn reads_nothing(site: &Site, key: u64) -> Result<(), Ended> {
    let socket = TcpSocket::new_v4().expect("a socket");
    // As little as the system allows, so that it soon waits at the server.
    socket.set_recv_buffer_size(4 * 1024).expect("a small buffer");
    let stream = socket.connect(site.server.address).await.expect("a connection");
    let mut line = Line::websocket_over(Conn::over(stream)).await?;
    let answer = join(&mut line, key).await?;
    let (answer, _) = Packet::parse(&answer);
    let id = answer.data["sid"].as_str().and_then(SocketId::parse);
    let id = id.ok_or_else(|| Ended(format!("a socket, and there was {}", answer.data)))?;
    line.send("42[\"flood\",400]").await?;
    until("a client that reads nothing is let go", || site.books.has_ended(id)).await;
    line.is_silent().await;
    Ok(())
}

async fn asks_oddly(site: &Site, random: &mut Random) -> Result<(), Ended> {
    let mut conn = Conn::open(site.server.address).await;
    conn.send(ODD_HEADS[random.below(ODD_HEADS.len() as u64) as usize]).await;
    let target = format!("{POLLING}&sid=AAAAAAAAAAAAAAAAAAAA");
    let mut other = Conn::open(site.server.address).await;
    other.send(post(&target, "40")).await;
    other.try_response().await;
    Ok(())
}

/// Too many namespaces, and too many rooms.
async fn joins_too_much(site: &Site, key: u64) -> Result<(), Ended> {
    let mut line = joined(site, key).await?;
    for room in 0..=ROOMS_MAX {
        line.send(&format!("42[\"join\",\"{room}\"]")).await?;
    }
    for child in 0..=NAMESPACES_MAX {
        line.send(&format!("40/child-{key}-{child},{}", json!({ "client": key }))).await?;
    }
    while !line.next().await?.starts_with("4/") {}
    Ok(())
}

async fn answers_what_nobody_asked(site: &Site, key: u64) -> Result<(), Ended> {
    let mut line = joined(site, key).await?;
    for id in 0..20 {
        line.send(&format!("43{id}[[7,7]]")).await?;
    }
    line.send("42[\"no such event\"]").await?;
    line.send("427[\"echo\"]").await?;
    while !line.next().await?.starts_with("37") {}
    Ok(())
}

async fn polls_twice(site: &Site, key: u64) -> Result<(), Ended> {
    let poller = Poller::open(site.server.address).await;
    poller.post(&format!("40{}", json!({ "client": key }))).await;
    poller.get().await;
    let mut polls = [poller.pending().await, poller.pending().await];
    for poll in &mut polls {
        poll.try_response().await;
    }
    Ok(())
}

/// A `pid` that was made up, and the session of nobody.
async fn claims_what_is_not_its_own(site: &Site, key: u64) -> Result<(), Ended> {
    let mut line = Line::websocket(site.server.address).await?;
    let auth = json!({ "client": key, "pid": "AAAAAAAAAAAAAAAAAAAA", "offset": "0" });
    line.send(&format!("40{auth}")).await?;
    line.next().await?;
    get(site.server.address, &format!("{WEBSOCKET}&sid=AAAAAAAAAAAAAAAAAAAA"), "").await;
    Ok(())
}

/// Comes and goes without a word.
async fn comes_too_often(site: &Site, key: u64) -> Result<(), Ended> {
    for _ in 0..10 {
        let mut line = Line::websocket(site.server.address).await?;
        line.send(&format!("40{}", json!({ "client": key, "wait_ms": 5 }))).await?;
        line.reset();
    }
    Ok(())
}
