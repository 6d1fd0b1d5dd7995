//! WebSocket to the byte: opening and upgrading, closing from either side, pings, and resets at
//! every step on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::time::Duration;

use roomful::{Args, Bytes, Server, Socket};
use roomful_proto::ws::Message;
use roomful_proto::ws::frame::Opcode;
use support::*;
use tokio::sync::mpsc;

/// A server that echoes, and tells why sockets leave.
async fn watched() -> (Running, mpsc::UnboundedReceiver<&'static str>) {
    watch(Server::new()).await
}

/// As long as the defaults and a little longer.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(11);
const PING_INTERVAL: Duration = Duration::from_secs(26);
const PING_TIMEOUT: Duration = Duration::from_secs(21);

async fn watch(io: Server) -> (Running, mpsc::UnboundedReceiver<&'static str>) {
    let (gone, leaving) = mpsc::unbounded_channel();
    io.on("echo", async |_: Socket, args: Args| args);
    io.on("ping", async |me: Socket, args: Args| me.emit("pong", args));
    io.on_disconnect(move |_: Socket, reason| {
        let _ = gone.send(reason.as_str());
        async {}
    });
    (start(io).await, leaving)
}

/// A polling client in `/`, and its upgrade before the first probe.
async fn upgrading(server: &Running) -> (Poller, Ws) {
    let poller = server.poller().await;
    poller.join().await;
    let ws = Ws::upgrade(server.address, &poller.upgrade_target()).await;
    (poller, ws)
}

async fn probed(server: &Running) -> (Poller, Ws) {
    let (poller, mut ws) = upgrading(server).await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    (poller, ws)
}

/// The session is still on polling, and well.
async fn still_polls(poller: &Poller) {
    let (posted, mut polled) = tokio::join!(poller.post("421[\"echo\",5]"), poller.get());
    assert_eq!((posted.status, posted.text()), (200, "ok"));
    while polled.text() == "6" {
        polled = poller.get().await;
    }
    assert_eq!(polled.text(), "431[5]");
}

/// The session is on this WebSocket, and well.
async fn echoes(ws: &mut Ws) {
    ws.send_text("421[\"echo\",5]").await;
    assert_eq!(ws.text().await, "431[5]");
}

// Opening.

#[tokio::test]
async fn the_open_packet_comes_before_everything() {
    let (server, _leaving) = watched().await;
    let mut conn = Conn::open(server.address).await;
    // All at once: the request, the CONNECT and an event.
    let mut bytes = upgrade_head(WEBSOCKET).into_bytes();
    bytes.extend(frame_bytes(Opcode::Text, b"40"));
    bytes.extend(frame_bytes(Opcode::Text, b"421[\"echo\",1]"));
    conn.send(bytes).await;
    assert_eq!(conn.response().await.status, 101);
    let mut ws = Ws::over(conn);
    let open = ws.text().await;
    assert!(open.starts_with("0{\"sid\":\"") && open.contains(r#""upgrades":[],"#));
    assert!(ws.text().await.starts_with("40{\"sid\":\""));
    assert_eq!(ws.text().await, "431[1]");
    ws.close().await;
    server.is_unharmed().await;
}

#[tokio::test]
async fn the_id_of_a_socket_is_not_that_of_its_session() {
    let (server, _leaving) = watched().await;
    let mut ws = server.ws().await;
    let open: serde_json::Value = serde_json::from_str(&ws.text().await[1..]).unwrap();
    ws.send_text("40").await;
    let connect: serde_json::Value = serde_json::from_str(&ws.text().await[2..]).unwrap();
    assert_ne!(open["sid"], connect["sid"]);
}

#[tokio::test]
async fn bytes_go_as_binary_frames_and_with_b64_as_texts() {
    let (server, _leaving) = watched().await;
    for (target, b64) in [(WEBSOCKET.to_owned(), false), (format!("{WEBSOCKET}&b64=1"), true)] {
        let mut ws = Ws::upgrade(server.address, &target).await;
        ws.text().await;
        ws.send_text("40").await;
        ws.text().await;
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        ws.send_text(&format!(r#"451-3["echo",{placeholder}]"#)).await;
        if b64 {
            ws.send_text("bAQID").await;
        } else {
            ws.send_binary(&[1, 2, 3]).await;
        }
        assert_eq!(ws.text().await, format!("461-3[{placeholder}]"));
        let expected = if b64 {
            Message::Text(Bytes::from_static(b"bAQID"))
        } else {
            Message::Binary(Bytes::from_static(&[1, 2, 3]))
        };
        assert_eq!(within(ws.next()).await, Some(expected));
    }
}

#[tokio::test]
async fn a_text_with_base64_is_binary_for_everybody() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    client.send(r#"51-4["echo",{"_placeholder":true,"num":0}]"#).await;
    client.ws.send_text("bAQID").await;
    let answer = client.next().await;
    assert_eq!(answer.attachments, [Bytes::from_static(&[1, 2, 3])]);
}

// The upgrade.

#[tokio::test]
async fn a_probe_is_answered_the_poll_is_released_and_the_websocket_takes_over() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = upgrading(&server).await;
    let mut pending = poller.pending().await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    assert_eq!(pending.response().await.text(), "6");
    ws.send_text("5").await;
    echoes(&mut ws).await;
    assert_eq!(server.stats().upgrades, 1);
    let refused = poller.get().await;
    assert_eq!((refused.status, refused.text()), (400, r#"{"code":3,"message":"Bad request"}"#));
    let refused = poller.post("42[\"x\"]").await;
    assert_eq!(refused.status, 400);
    echoes(&mut ws).await;
    ws.close().await;
    server.is_unharmed().await;
}

/// As the client for .NET and Unity does by default.
#[tokio::test]
async fn an_upgrade_without_a_probe_takes_over_and_releases_the_poll() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = upgrading(&server).await;
    let mut pending = poller.pending().await;
    ws.send_text("5").await;
    echoes(&mut ws).await;
    assert_eq!(pending.response().await.text(), "6");
    assert_eq!(poller.get().await.status, 400, "it polls no more");
    assert_eq!(server.stats().upgrades, 1);
}

#[tokio::test]
async fn the_upgrade_and_what_follows_may_come_in_one_piece() {
    let (server, _leaving) = watched().await;
    let (_poller, mut ws) = probed(&server).await;
    let mut bytes = frame_bytes(Opcode::Text, b"5");
    for n in 0..100 {
        bytes.extend(frame_bytes(Opcode::Text, format!("42[\"ping\",{n}]").as_bytes()));
    }
    ws.conn.send(bytes).await;
    for n in 0..100 {
        assert_eq!(ws.text().await, format!("42[\"pong\",{n}]"));
    }
}

#[tokio::test]
async fn events_that_are_sent_during_an_upgrade_keep_their_order() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = probed(&server).await;
    for n in 0..100 {
        server.emit("n", n);
    }
    // A poll that comes during the upgrade may carry some of them, or only be sent away.
    let polled = poller.get().await;
    let mut got: Vec<String> = polled.text().split('\u{1e}').map(str::to_owned).collect();
    got.retain(|packet| packet != "6");
    for n in 100..200 {
        server.emit("n", n);
    }
    ws.send_text("5").await;
    while got.len() < 200 {
        let text = ws.text().await;
        if text != "6" {
            got.push(text);
        }
    }
    for (n, packet) in got.iter().enumerate() {
        assert_eq!(*packet, format!("42[\"n\",{n}]"));
    }
}

/// A client that has stopped polling can take it only after its upgrade.
#[tokio::test]
async fn an_upgrade_ends_however_much_waits_for_the_client() {
    let (server, _leaving) = watched().await;
    let (_poller, mut ws) = probed(&server).await;
    let megabyte = "x".repeat(1 << 20);
    for n in 0..4 {
        server.emit("n", (n, &megabyte));
    }
    ws.send_text("5").await;
    for n in 0..4 {
        assert_eq!(ws.text().await, format!("42[\"n\",{n},\"{megabyte}\"]"));
    }
    echoes(&mut ws).await;
}

/// The official client waits for the answer to its body, too, before it comes over.
#[tokio::test]
async fn a_body_is_answered_in_an_upgrade_however_much_waits_for_the_client() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = probed(&server).await;
    let megabyte = "x".repeat(1 << 20);
    for n in 0..4 {
        server.emit("n", (n, &megabyte));
    }
    // The first makes the server see how much waits.
    assert_eq!(poller.post("3").await.text(), "ok");
    assert_eq!(poller.post("421[\"echo\",5]").await.text(), "ok");
    ws.send_text("5").await;
    for n in 0..4 {
        assert_eq!(ws.text().await, format!("42[\"n\",{n},\"{megabyte}\"]"));
    }
    assert_eq!(ws.text().await, "431[5]");
    echoes(&mut ws).await;
}

#[tokio::test]
async fn a_poll_during_a_probed_upgrade_is_sent_away_soon() {
    let (server, _leaving) = watched().await;
    let (poller, _ws) = probed(&server).await;
    assert_eq!(poller.get().await.text(), "6");
    assert_eq!(poller.get().await.text(), "6");
}

#[tokio::test]
async fn a_silent_probe_is_closed_at_the_upgrade_timeout_and_polling_goes_on() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = upgrading(&server).await;
    passes(UPGRADE_TIMEOUT).await;
    assert_eq!(ws.close_code().await, Some(1000));
    ws.ended().await;
    still_polls(&poller).await;
    // And the next try may succeed.
    let mut ws = Ws::upgrade(server.address, &poller.upgrade_target()).await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws.send_text("5").await;
    echoes(&mut ws).await;
}

#[tokio::test]
async fn a_probe_without_its_upgrade_is_closed_at_the_upgrade_timeout() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = probed(&server).await;
    passes(UPGRADE_TIMEOUT).await;
    assert_eq!(ws.close_code().await, Some(1000));
    ws.ended().await;
    still_polls(&poller).await;
}

#[tokio::test]
async fn a_second_probe_is_closed_and_the_first_goes_on() {
    let (server, _leaving) = watched().await;
    let (poller, mut first) = probed(&server).await;
    let mut second = Ws::upgrade(server.address, &poller.upgrade_target()).await;
    second.send_text("2probe").await;
    assert!(!matches!(within(second.next()).await, Some(Message::Text(_))));
    second.ended().await;
    first.send_text("5").await;
    echoes(&mut first).await;
}

#[tokio::test]
async fn a_websocket_for_a_session_that_is_on_one_is_closed() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = probed(&server).await;
    ws.send_text("5").await;
    echoes(&mut ws).await;
    let mut conn = Conn::open(server.address).await;
    conn.send(upgrade_head(&poller.upgrade_target())).await;
    // Refused at the door, or let in and closed.
    if conn.response().await.status == 101 {
        Ws::over(conn).ended().await;
    } else {
        conn.ended().await;
    }
    echoes(&mut ws).await;
}

#[tokio::test]
async fn a_wrong_first_packet_closes_the_probe_and_polling_goes_on() {
    let (server, _leaving) = watched().await;
    for packet in ["2", "2prob", "2probe2", "4x", "6", "3probe", "", "9", "b?"] {
        let (poller, mut ws) = upgrading(&server).await;
        ws.send_text(packet).await;
        assert_eq!(ws.close_code().await, Some(1000), "{packet:?}");
        ws.ended().await;
        still_polls(&poller).await;
    }
    let (poller, mut ws) = upgrading(&server).await;
    ws.send_binary(b"2probe").await;
    assert_eq!(ws.close_code().await, Some(1000));
    still_polls(&poller).await;
}

#[tokio::test]
async fn a_wrong_second_packet_closes_the_probe_and_polling_goes_on() {
    let (server, _leaving) = watched().await;
    for packet in ["2probe", "4x", "6", ""] {
        let (poller, mut ws) = probed(&server).await;
        ws.send_text(packet).await;
        assert_eq!(ws.close_code().await, Some(1000), "{packet:?}");
        still_polls(&poller).await;
    }
}

#[tokio::test]
async fn broken_frames_end_the_probe_alone() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = upgrading(&server).await;
    ws.conn.send(odd_frame(0xf1, b"2probe")).await;
    ws.ended().await;
    still_polls(&poller).await;
    assert_eq!(server.stats().violations, 1);
}

#[tokio::test]
async fn an_upgrade_that_is_followed_by_silence_ends_by_the_heartbeat() {
    let (server, mut leaving) = watched().await;
    let (_poller, mut ws) = probed(&server).await;
    ws.send_text("5").await;
    echoes(&mut ws).await;
    passes(PING_INTERVAL).await;
    assert_eq!(ws.text().await, "2");
    passes(PING_TIMEOUT).await;
    assert_eq!(ws.close_code().await, Some(1000));
    ws.send_frame(Opcode::Close, &[]).await;
    assert_eq!(within(leaving.recv()).await, Some("ping timeout"));
    assert_eq!(server.stats().ping_timeouts, 1);
    server.is_empty_again().await;
}

#[tokio::test]
async fn an_upgrade_may_race_a_post_and_nothing_is_lost_of_what_was_answered_ok() {
    for _ in 0..20 {
        let (sender, mut received) = mpsc::unbounded_channel();
        let (server, _leaving) = watched().await;
        server.on("n", move |_: Socket, n: u32| {
            sender.send(n).unwrap();
            async {}
        });
        let (poller, mut ws) = probed(&server).await;
        let (posted, ()) = tokio::join!(poller.post("42[\"n\",1]"), ws.send_text("5"));
        echoes(&mut ws).await;
        ws.send_text("42[\"n\",2]").await;
        if posted.status == 200 {
            assert_eq!(within(received.recv()).await, Some(1));
        } else {
            assert_eq!(posted.status, 400);
        }
        assert_eq!(within(received.recv()).await, Some(2));
    }
}

#[tokio::test]
async fn a_close_by_polling_during_an_upgrade_ends_both() {
    let (server, mut leaving) = watched().await;
    let (poller, mut ws) = probed(&server).await;
    assert_eq!(poller.post("1").await.text(), "ok");
    ws.ended().await;
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
    server.is_unharmed().await;
}

/// The official client polls no more when its probe was answered, and does not begin again when the
/// probe ends.
#[tokio::test]
async fn who_is_closed_while_it_upgrades_comes_over_and_ends_there() {
    let (server, mut leaving) = watched().await;
    let (poller, mut ws) = probed(&server).await;
    server.emit("last", 1);
    server.everyone().close();
    assert_eq!(within(leaving.recv()).await, Some("server namespace disconnect"));
    ws.send_text("5").await;
    assert_eq!(ws.text().await, "42[\"last\",1]");
    assert_eq!(ws.text().await, "41");
    assert_eq!(ws.close_frame().await, Some((1000, "forced server close".to_owned())));
    ws.send_frame(Opcode::Close, &[]).await;
    ws.ended().await;
    assert_eq!(poller.get().await.status, 400);
    server.is_unharmed().await;
}

#[tokio::test]
async fn who_is_closed_while_it_upgrades_may_poll_instead() {
    let (server, _leaving) = watched().await;
    let (poller, mut ws) = probed(&server).await;
    server.everyone().close();
    assert_eq!(poller.get().await.text(), "41");
    assert_eq!(poller.get().await.text(), "1");
    ws.ended().await;
    server.is_unharmed().await;
}

// Resets.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_at_any_step_of_the_way_leaves_nothing_behind() {
    // A polling session that is closed waits for a poll, which here never comes.
    let io = Server::builder().close_timeout(Duration::from_millis(100)).build();
    let (server, _leaving) = watch(io).await;
    let head = upgrade_head(WEBSOCKET);
    for round in 0..5 {
        // Before and in the request, and before its answer.
        for cut in [0, 1, head.len() / 2, head.len() - 1, head.len()] {
            let mut conn = Conn::open(server.address).await;
            conn.send(&head[..cut]).await;
            conn.reset();
        }
        // After the answer, in a frame, and in the namespace.
        server.ws().await.conn.reset();
        let mut ws = server.opened().await;
        ws.conn.send(&frame_bytes(Opcode::Text, b"40")[..round + 1]).await;
        ws.conn.reset();
        let mut ws = server.opened().await;
        ws.send_text("40").await;
        ws.conn.reset();
        server.client().await.ws.conn.reset();
        // At each step of an upgrade; then on the polling beside it.
        let (poller, ws) = upgrading(&server).await;
        ws.conn.reset();
        still_polls(&poller).await;
        let (poller, ws) = probed(&server).await;
        ws.conn.reset();
        still_polls(&poller).await;
        poller.pending().await.reset();
        let (_poller, mut ws) = probed(&server).await;
        ws.send_text("5").await;
        echoes(&mut ws).await;
        ws.conn.reset();
        let (poller, ws) = probed(&server).await;
        poller.pending().await.reset();
        ws.conn.reset();
        let (poller, _ws) = upgrading(&server).await;
        poller.post("1").await;
    }
    // Some polling sessions are well and have only lost their probe.
    let stats = server.stats();
    assert_eq!(stats.violations, 0, "{stats:?}");
    server.io.close().await;
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_reset_is_a_transport_error_and_an_end_a_transport_close() {
    let (server, mut leaving) = watched().await;
    server.client().await.ws.conn.reset();
    assert_eq!(within(leaving.recv()).await, Some("transport error"));
    drop(server.client().await);
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
    server.is_unharmed().await;
}

// Closing.

#[tokio::test]
async fn a_close_frame_is_answered_and_the_stream_ends_at_once() {
    // Were the close timeout waited for, the test would fail.
    let io = Server::builder().close_timeout(Duration::from_secs(3_600)).build();
    let (server, mut leaving) = watch(io).await;
    for payload in [
        &b""[..],
        &1000_u16.to_be_bytes(),
        &1001_u16.to_be_bytes(),
        &4999_u16.to_be_bytes(),
        b"\x03\xe8bye",
    ] {
        let mut client = server.client().await;
        client.ws.send_frame(Opcode::Close, payload).await;
        assert_eq!(client.ws.close_code().await, Some(1000), "{payload:?}");
        client.ws.ended().await;
        assert_eq!(within(leaving.recv()).await, Some("transport close"));
    }
    assert_eq!(server.stats().violations, 0);
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_close_frame_ends_the_stream_though_a_handler_still_runs() {
    let (release, released) = tokio::sync::watch::channel(false);
    let io = Server::new();
    io.on("wait", move |_: Socket| {
        let mut released = released.clone();
        async move { drop(released.wait_for(|done| *done).await) }
    });
    let (server, mut leaving) = watch(io).await;
    let mut client = server.client().await;
    client.emit("wait", "").await;
    client.ws.close().await;
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
    release.send(true).unwrap();
    server.is_empty_again().await;
}

#[tokio::test]
async fn what_comes_after_a_close_frame_is_not_heard() {
    let (server, mut leaving) = watched().await;
    let mut client = server.client().await;
    let mut bytes = frame_bytes(Opcode::Close, &[]);
    bytes.extend(frame_bytes(Opcode::Text, b"421[\"echo\",1]"));
    client.ws.conn.send(bytes).await;
    assert_eq!(within(client.ws.next()).await, {
        let code = roomful_proto::ws::CloseCode::NORMAL;
        Some(Message::Close(Some(code), Bytes::new()))
    });
    client.ws.ended().await;
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
}

#[tokio::test]
async fn an_engine_close_packet_closes_the_websocket_at_once() {
    let (server, mut leaving) = watched().await;
    let mut client = server.client().await;
    client.ws.send_text("1").await;
    assert_eq!(client.ws.close_code().await, Some(1000));
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
    client.ws.send_frame(Opcode::Close, &[]).await;
    client.ws.ended().await;
    server.is_empty_again().await;
}

/// As the client for Swift leaves.
#[tokio::test]
async fn an_engine_close_packet_with_a_close_frame_behind_it_is_answered_by_one() {
    let (server, mut leaving) = watched().await;
    let mut client = server.client().await;
    let mut both = frame_bytes(Opcode::Text, b"1");
    both.extend(frame_bytes(Opcode::Close, &1000_u16.to_be_bytes()));
    client.ws.conn.send(both).await;
    assert_eq!(client.ws.close_code().await, Some(1000));
    client.ws.ended().await;
    assert_eq!(within(leaving.recv()).await, Some("transport close"));
    server.is_empty_again().await;
}

#[tokio::test]
async fn clients_of_a_server_that_closes_see_1001_after_all_that_was_sent() {
    let (server, mut leaving) = watched().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(server.client().await);
    }
    server.emit("last", 1);
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    for client in &mut clients {
        assert_eq!(client.ws.text().await, "42[\"last\",1]");
        assert_eq!(client.ws.close_code().await, Some(1001));
        client.ws.send_frame(Opcode::Close, &1001_u16.to_be_bytes()).await;
        client.ws.ended().await;
        assert_eq!(within(leaving.recv()).await, Some("server shutting down"));
    }
    within(closing).await.unwrap();
    assert_eq!(server.stats().connections, 0);
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_close_is_dropped_at_the_close_timeout() {
    let io = Server::builder().close_timeout(Duration::from_millis(100)).build();
    let (server, _leaving) = watch(io).await;
    let mut client = server.client().await;
    server.everyone().disconnect();
    assert_eq!(client.ws.text().await, "41");
    within(server.close()).await;
    assert_eq!(client.ws.close_code().await, Some(1001));
    client.ws.ended().await;
    assert_eq!(server.stats().connections, 0);
}

#[tokio::test]
async fn each_breach_of_the_protocol_has_its_close_code() {
    let io = Server::builder().payload_bytes_max(1_000).build();
    let (server, mut leaving) = watch(io).await;
    let unmasked = {
        let mut wire = Vec::new();
        roomful_proto::ws::frame::write(&mut wire, Opcode::Text, b"40", None);
        wire
    };
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("too big", frame_bytes(Opcode::Text, &[b'4'; 1_001]), 1009),
        (
            "too big in parts",
            [odd_frame(0x01, &[b'4'; 600]), odd_frame(0x80, &[b'4'; 600])].concat(),
            1009,
        ),
        ("not UTF-8", frame_bytes(Opcode::Text, b"4\xff"), 1007),
        ("cut UTF-8", [odd_frame(0x01, b"4\xf0\x9f"), odd_frame(0x80, b"x")].concat(), 1007),
        ("unmasked", unmasked, 1002),
        ("reserved bit 1", odd_frame(0xc1, b"40"), 1002),
        ("reserved bit 2", odd_frame(0xa1, b"40"), 1002),
        ("reserved bit 3", odd_frame(0x91, b"40"), 1002),
        ("reserved bit on a ping", odd_frame(0xc9, b""), 1002),
        ("unknown opcode", odd_frame(0x83, b""), 1002),
        ("unknown control opcode", odd_frame(0x8b, b""), 1002),
        ("fragmented ping", odd_frame(0x09, b""), 1002),
        ("long ping", frame_bytes(Opcode::Ping, &[0; 126]), 1002),
        ("close of one byte", frame_bytes(Opcode::Close, &[3]), 1002),
        ("close with 1005", frame_bytes(Opcode::Close, &1005_u16.to_be_bytes()), 1002),
        ("close with 65535", frame_bytes(Opcode::Close, &[0xff, 0xff]), 1002),
        ("close with broken text", frame_bytes(Opcode::Close, b"\x03\xe8\xff"), 1007),
        ("continuation of nothing", odd_frame(0x80, b"40"), 1002),
        (
            "text in a fragmented binary",
            [odd_frame(0x02, b"x"), odd_frame(0x81, b"40")].concat(),
            1002,
        ),
        ("length not in its shortest form", vec![0x81, 0xfe, 0, 2, 0, 0, 0, 0, b'4', b'0'], 1002),
        (
            "length with the highest bit",
            vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
            1002,
        ),
        ("length of 2^62", vec![0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
    ];
    for (n, (what, bytes, code)) in cases.iter().enumerate() {
        let mut client = server.client().await;
        client.ws.conn.send(bytes).await;
        assert_eq!(client.ws.close_code().await, Some(*code), "{what}");
        client.ws.ended().await;
        assert_eq!(within(leaving.recv()).await, Some("transport error"), "{what}");
        assert_eq!(server.stats().violations, n as u64 + 1, "{what}");
    }
    server.is_unharmed().await;
}

#[tokio::test]
async fn a_peer_that_broke_the_protocol_can_still_read_why() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    // More than fits into any buffer on the way, behind what is wrong.
    let mut bytes = odd_frame(0xf1, b"");
    bytes.resize(4_000_000, 0);
    client.ws.conn.send(bytes).await;
    assert_eq!(client.ws.close_code().await, Some(1002));
}

// Pings.

#[tokio::test]
async fn a_ping_is_answered_with_its_bytes() {
    let (server, _leaving) = watched().await;
    let mut ws = server.opened().await;
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        ws.send_frame(Opcode::Ping, payload).await;
        let pong = Message::Pong(Bytes::copy_from_slice(payload));
        assert_eq!(within(ws.next()).await, Some(pong));
    }
}

#[tokio::test]
async fn a_ping_between_fragments_is_answered() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    client.ws.conn.send(odd_frame(0x01, b"421[\"echo\",")).await;
    client.ws.send_frame(Opcode::Ping, b"x").await;
    let pong = Message::Pong(Bytes::from_static(b"x"));
    assert_eq!(within(client.ws.next()).await, Some(pong));
    client.ws.conn.send(odd_frame(0x80, b"7]")).await;
    assert_eq!(client.ws.text().await, "431[7]");
}

#[tokio::test]
async fn a_ping_behind_events_is_answered_too() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    // Three answers wait when the ping is read; then nothing more comes that could help it out.
    let mut bytes = Vec::new();
    for n in 0..3 {
        bytes.extend(frame_bytes(Opcode::Text, format!("42{n}[\"echo\"]").as_bytes()));
    }
    bytes.extend(frame_bytes(Opcode::Ping, b"x"));
    client.ws.conn.send(bytes).await;
    let mut pong = None;
    let mut answers = 0;
    while pong.is_none() || answers < 3 {
        match within(client.ws.next()).await.unwrap() {
            Message::Pong(bytes) => pong = Some(bytes),
            Message::Text(text) if text.starts_with(b"43") => answers += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pong.unwrap(), "x");
}

#[tokio::test]
async fn pongs_that_nobody_asked_for_change_nothing() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    let pongs = frame_bytes(Opcode::Pong, b"x").repeat(20_000);
    client.ws.conn.send(pongs).await;
    assert_eq!(client.ask("echo", "1").await, serde_json::json!([1]));
    let engine_pongs = frame_bytes(Opcode::Text, b"3").repeat(20_000);
    client.ws.conn.send(engine_pongs).await;
    assert_eq!(client.ask("echo", "2").await, serde_json::json!([2]));
}

#[tokio::test]
async fn a_flood_of_pings_from_a_peer_that_does_not_read_holds_no_pongs() {
    let (server, _leaving) = watched().await;
    let mut client = server.client().await;
    let pings = frame_bytes(Opcode::Ping, &[7; 125]).repeat(8_000);
    // 8 MB: were each answered, the kernel's buffers would be full and then the outbox.
    for _ in 0..8 {
        client.ws.conn.send(&pings).await;
    }
    client.ws.send_text("421[\"echo\",1]").await;
    let mut pongs = 0;
    loop {
        match within(client.ws.next()).await.unwrap() {
            Message::Pong(bytes) => {
                assert_eq!(bytes, [7; 125][..]);
                pongs += 1;
            }
            Message::Text(text) => break assert_eq!(text, "431[1]"),
            other => panic!("{other:?}"),
        }
    }
    assert!(pongs < 64_000, "{pongs}");
    assert_eq!(server.stats().slow_peers, 0);
}

#[tokio::test]
async fn the_heartbeat_is_a_ping_after_each_pong() {
    let io = Server::builder().ping_interval(Duration::from_millis(50)).build();
    let (server, _leaving) = watch(io).await;
    let mut ws = server.opened().await;
    for _ in 0..4 {
        assert_eq!(ws.text().await, "2");
        ws.send_text("3").await;
    }
}

#[tokio::test]
async fn a_ping_that_is_not_answered_ends_the_connection() {
    let io = Server::builder()
        .ping_interval(Duration::from_millis(50))
        .ping_timeout(Duration::from_millis(50))
        .build();
    let (server, mut leaving) = watch(io).await;
    let mut client = server.client().await;
    assert_eq!(client.ws.text().await, "2");
    assert_eq!(client.ws.close_code().await, Some(1000));
    assert_eq!(within(leaving.recv()).await, Some("ping timeout"));
    assert_eq!(server.stats().ping_timeouts, 1);
    drop(client);
    server.is_empty_again().await;
}

#[tokio::test]
async fn a_polling_client_gets_pings_and_is_closed_without_a_pong() {
    let (server, mut leaving) = watched().await;
    let poller = server.poller().await;
    poller.join().await;
    passes(PING_INTERVAL).await;
    assert_eq!(poller.get().await.text(), "2");
    passes(PING_TIMEOUT).await;
    let polled = poller.get().await;
    assert!(polled.text() == "1" || polled.status == 400, "{polled:?}");
    assert_eq!(within(leaving.recv()).await, Some("ping timeout"));
    server.is_empty_again().await;
}
