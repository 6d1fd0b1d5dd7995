//! Both ends of a session with a network between them that loses nothing and is in no hurry: in
//! which order things arrive on different connections, and when, is up to seeded dice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

mod support;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::{Data, Input, Output, Packet, Revision, Session, Transport};
use roomful_proto::{Limits, Moment, Parcel, Reason};
use support::{Dice, Sent, Server};

/// What travels on one of the connections.
#[derive(Debug)]
enum Cargo {
    Get,
    GetAnswer(Vec<u8>),
    Post(Vec<u8>),
    PostAnswer,
    SocketOpens,
    Frame(Data),
}

/// A client as the official one behaves: one poll and one body at a time; to upgrade, it probes,
/// lets both come to an end, and then says so.
struct Client {
    stage: Stage,
    polling: bool,
    posting: bool,
    waiting: VecDeque<Packet>,
    heard: Vec<Data>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Polling,
    Probing,
    Pausing,
    WebSocket,
}

impl Client {
    fn heard(&mut self, packet: Packet) {
        match packet {
            Packet::Message(data) => self.heard.push(data),
            Packet::Ping(_) => self.waiting.push_back(Packet::Pong(Bytes::new())),
            Packet::Open(_) | Packet::Noop => {}
            other => panic!("the client did not expect {other:?}"),
        }
    }
}

/// Server, client, and what is under way between them. Each connection is in order; between
/// connections there is no order.
struct Pair {
    server: Server,
    client: Client,
    get: VecDeque<Cargo>,
    post: VecDeque<Cargo>,
    socket_up: VecDeque<Cargo>,
    socket_down: VecDeque<Cargo>,
    poll_at_server: bool,
    dice: Dice,
}

impl Pair {
    fn new(seed: u64) -> Self {
        Self {
            server: Server::without_application(Transport::Polling, Limits::default()),
            client: Client {
                stage: Stage::Polling,
                polling: false,
                posting: false,
                waiting: VecDeque::new(),
                heard: Vec::new(),
            },
            get: VecDeque::new(),
            post: VecDeque::new(),
            socket_up: VecDeque::new(),
            socket_down: VecDeque::new(),
            poll_at_server: false,
            dice: Dice::new(seed),
        }
    }

    /// Something happens; which thing is up to the dice.
    fn step(&mut self) {
        match self.dice.roll(6) {
            0 => self.deliver_get(),
            1 => self.deliver_post(),
            2 => self.deliver_up(),
            3 => self.deliver_down(),
            4 => self.server.pass(Duration::from_millis(self.dice.next() % 15)),
            _ => self.server.expire(),
        }
        self.server_acts();
        self.client_acts();
    }

    fn deliver_get(&mut self) {
        match self.get.pop_front() {
            Some(Cargo::Get) => {
                assert_eq!(self.server.session.transport(), Transport::Polling);
                self.poll_at_server = true;
                self.server.receive(Input::Poll);
            }
            Some(Cargo::GetAnswer(body)) => {
                self.client.polling = false;
                for packet in body.split(|byte| *byte == 0x1e) {
                    let packet = Bytes::copy_from_slice(packet);
                    self.client.heard(Packet::decode(&packet).unwrap());
                }
            }
            Some(other) => panic!("{other:?} on a poll"),
            None => {}
        }
    }

    fn deliver_post(&mut self) {
        match self.post.pop_front() {
            Some(Cargo::Post(body)) => {
                assert_eq!(self.server.session.transport(), Transport::Polling);
                self.server.receive(Input::Body(Bytes::from(body)));
            }
            Some(Cargo::PostAnswer) => self.client.posting = false,
            Some(other) => panic!("{other:?} on a body"),
            None => {}
        }
    }

    fn deliver_up(&mut self) {
        let Some(cargo) = self.socket_up.pop_front() else {
            return;
        };
        self.server.receive(match (cargo, self.server.session.transport()) {
            (Cargo::SocketOpens, _) => Input::ProbeOpened,
            (Cargo::Frame(data), Transport::Polling) => Input::Probe(data),
            (Cargo::Frame(data), Transport::WebSocket) => Input::Frame(data),
            (other, _) => panic!("{other:?} on a WebSocket"),
        });
    }

    fn deliver_down(&mut self) {
        let Some(Cargo::Frame(data)) = self.socket_down.pop_front() else {
            return;
        };
        let packet = match &data {
            Data::Text(text) => Packet::decode(text).unwrap(),
            Data::Binary(_) => Packet::Message(data),
        };
        match (packet, self.client.stage) {
            (Packet::Pong(text), Stage::Probing) => {
                assert_eq!(text, "probe");
                self.client.stage = Stage::Pausing;
            }
            (packet, Stage::WebSocket) => self.client.heard(packet),
            (packet, stage) => panic!("{packet:?} on the WebSocket while {stage:?}"),
        }
    }

    /// Puts on the way what the server sends.
    fn server_acts(&mut self) {
        for sent in std::mem::take(&mut self.server.sent) {
            match sent {
                Sent::Got(body) => self.answer_poll(body),
                Sent::Posted => self.post.push_back(Cargo::PostAnswer),
                Sent::Probed(text) => {
                    let data = Data::Text(Bytes::from(text));
                    self.socket_down.push_back(Cargo::Frame(data));
                }
                Sent::Frame(data) => self.socket_down.push_back(Cargo::Frame(data)),
                Sent::Upgraded if self.poll_at_server => self.answer_poll(b"6".to_vec()),
                Sent::Upgraded => {}
                other => panic!("the server should not come to {other:?}"),
            }
        }
    }

    fn answer_poll(&mut self, body: Vec<u8>) {
        assert!(self.poll_at_server, "an answer without a poll");
        self.poll_at_server = false;
        self.get.push_back(Cargo::GetAnswer(body));
    }

    /// Puts on the way what the client sends.
    fn client_acts(&mut self) {
        let client = &mut self.client;
        if client.stage == Stage::Pausing && !client.polling && !client.posting {
            client.stage = Stage::WebSocket;
            self.socket_up.push_back(frame(&Packet::Upgrade));
        }
        match client.stage {
            Stage::Polling | Stage::Probing => {
                if !client.polling {
                    client.polling = true;
                    self.get.push_back(Cargo::Get);
                }
                if !client.posting && !client.waiting.is_empty() {
                    client.posting = true;
                    let mut body = Vec::new();
                    for packet in client.waiting.drain(..) {
                        roomful_proto::engine::payload::push(&mut body, &packet);
                    }
                    self.post.push_back(Cargo::Post(body));
                }
            }
            Stage::Pausing => {}
            Stage::WebSocket => {
                let packets = client.waiting.drain(..);
                self.socket_up.extend(packets.map(|packet| frame(&packet)));
            }
        }
    }

    fn upgrade(&mut self) {
        self.client.stage = Stage::Probing;
        self.socket_up.push_back(Cargo::SocketOpens);
        let probe = Packet::Ping(Bytes::from_static(b"probe"));
        self.socket_up.push_back(frame(&probe));
    }
}

fn frame(packet: &Packet) -> Cargo {
    if let Packet::Message(data @ Data::Binary(_)) = packet {
        return Cargo::Frame(data.clone());
    }
    let mut text = Vec::new();
    packet.encode(&mut text);
    Cargo::Frame(Data::Text(Bytes::from(text)))
}

/// The message of that number: mostly a text, now and then bytes.
fn message(number: usize) -> Data {
    let text = Bytes::from(number.to_string());
    if number.is_multiple_of(3) { Data::Binary(text) } else { Data::Text(text) }
}

/// The same message as the server sends it.
fn parcel(number: usize) -> Parcel {
    Parcel::engine(&Packet::Message(message(number)))
}

#[test]
fn messages_both_ways_during_an_upgrade_keep_their_order_and_none_is_lost() {
    for seed in 0..300 {
        let mut pair = Pair::new(seed);
        let count = 5 + pair.dice.roll(60);
        let upgrade_at = pair.dice.roll(count);
        let (mut said, mut told) = (0, 0);
        let mut steps = 0;
        while pair.client.heard.len() < count || pair.server.raw.as_ref().unwrap().len() < count {
            if said < count && pair.dice.roll(4) == 0 {
                pair.client.waiting.push_back(Packet::Message(message(said)));
                said += 1;
            }
            if told < count && pair.dice.roll(4) == 0 {
                pair.server.send(parcel(told));
                told += 1;
            }
            if pair.client.stage == Stage::Polling && said >= upgrade_at {
                pair.upgrade();
            }
            pair.step();
            steps += 1;
            assert!(steps < 20_000, "seed {seed}: nothing moves any more");
        }
        let all: Vec<_> = (0..count).map(message).collect();
        assert_eq!(pair.client.heard, all, "seed {seed}: to the client");
        assert_eq!(pair.server.raw.as_ref(), Some(&all), "seed {seed}: to the server");
        while pair.client.stage != Stage::WebSocket || !pair.socket_up.is_empty() {
            pair.step();
            steps += 1;
            assert!(steps < 40_000, "seed {seed}: the upgrade never ends");
        }
        let transport = pair.server.session.transport();
        assert_eq!(transport, Transport::WebSocket, "seed {seed}");
    }
}

#[test]
fn polling_alone_keeps_the_order_too() {
    for seed in 1000..1100 {
        let mut pair = Pair::new(seed);
        let all: Vec<_> = (0..40).map(message).collect();
        for number in 0..all.len() {
            pair.client.waiting.push_back(Packet::Message(message(number)));
            pair.server.send(parcel(number));
            pair.step();
        }
        for _ in 0..20_000 {
            pair.step();
        }
        assert_eq!(pair.client.heard, all, "seed {seed}: to the client");
        assert_eq!(pair.server.raw, Some(all), "seed {seed}: to the server");
    }
}

#[test]
fn heartbeats_keep_a_session_alive_for_hours() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut dice = Dice::new(7);
        let mut server = Server::without_application(transport, Limits::default());
        let mut poll = transport == Transport::Polling;
        let mut pings = 0;
        let mut last = server.now;
        let day = Duration::from_secs(24 * 3600);
        while server.now.as_millis() < day.as_millis() as u64 {
            if std::mem::take(&mut poll) {
                server.receive(Input::Poll);
            }
            server.pass(Duration::from_millis(100 + dice.next() % 2000));
            for sent in std::mem::take(&mut server.sent) {
                let ping = match sent {
                    Sent::Frame(Data::Text(text)) => text == "2",
                    Sent::Got(body) => {
                        poll = true;
                        body == b"2"
                    }
                    Sent::Posted => false,
                    other => panic!("{transport} at {:?}: {other:?}", server.now),
                };
                if ping {
                    pings += 1;
                    // This long a client waits for a ping before it gives up by itself.
                    assert!(server.now.since(last) <= Duration::from_secs(45));
                    last = server.now;
                    // A slow client: its pong comes just in time.
                    server.pass(Duration::from_millis(dice.next() % 17_000));
                    match transport {
                        Transport::Polling => server.receive(Input::Body("3".into())),
                        Transport::WebSocket => {
                            server.receive(Input::Frame(Data::Text("3".into())));
                        }
                    }
                }
            }
        }
        assert!(pings > 24 * 3600 / 45, "{transport}: only {pings} pings");
        assert!(!server.session.is_closed(), "{transport}");
    }
}

#[test]
fn a_silent_client_is_gone_after_interval_and_timeout_exactly() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut server = Server::without_application(transport, Limits::default());
        server.pass(Duration::from_millis(44_999));
        assert!(!server.session.is_closed(), "{transport}");
        server.pass(Duration::from_millis(1));
        let last = server.sent.last();
        assert_eq!(last, Some(&Sent::Closed(Reason::PingTimeout)), "{transport}");
        assert_eq!(server.deadline(), None, "{transport}: nothing is left to wait for");
    }
}

/// A session that is asked for its deadline only now and then: a ping of Engine.IO 4 that goes out late,
/// or is heard of late.
fn pinged(late: Duration) -> (Session, Moment) {
    let limits = Arc::new(Limits::default());
    let due = Moment::from_millis(0) + limits.ping_interval;
    let opened = Moment::from_millis(0);
    let mut session = Session::new(opened, Transport::WebSocket, Revision::V4, limits);
    session.expire(due + late);
    assert_eq!(session.poll(due + late), Some(Output::Send(Packet::Ping(Bytes::new()))));
    (session, due)
}

#[test]
fn lateness_of_a_ping_does_not_add_up() {
    let timeout = Limits::default().ping_timeout;
    for late_ms in [0, 1, 20, 9_999, 10_000] {
        let (session, due) = pinged(Duration::from_millis(late_ms));
        assert_eq!(session.deadline(), Some(due + timeout), "{late_ms} ms late");
    }
}

#[test]
fn who_is_pinged_much_too_late_has_half_of_the_time() {
    let timeout = Limits::default().ping_timeout;
    for late in [timeout / 2 + Duration::from_millis(1), timeout, Duration::from_secs(86_400)] {
        let (session, due) = pinged(late);
        assert_eq!(session.deadline(), Some(due + late + timeout / 2));
    }
}

#[test]
fn bytes_that_move_are_a_sign_of_life_and_put_off_no_ping() {
    let (mut session, due) = pinged(Duration::ZERO);
    let timeout = Limits::default().ping_timeout;
    // Nothing is awaited of a client between two pings, and nothing changes.
    let resting = {
        let limits = Arc::new(Limits::default());
        let opened = Moment::from_millis(0);
        let mut session = Session::new(opened, Transport::WebSocket, Revision::V4, limits);
        session.alive(opened + Duration::from_secs(20));
        session.deadline()
    };
    assert_eq!(resting, Some(due));
    let mut now = due;
    for _ in 0..10 {
        now = now + (timeout - Duration::from_millis(1));
        assert!(!session.is_silent(now));
        session.alive(now);
        session.expire(now);
        assert_eq!(session.poll(now), None);
    }
    now = now + timeout;
    assert!(session.is_silent(now));
    session.expire(now);
    assert_eq!(session.poll(now), Some(Output::Closed(Reason::PingTimeout)));
}

/// The pong may stand behind other messages in the client's queue; but not for ever.
#[test]
fn whole_messages_put_off_the_end_only_once_more() {
    let limits = Limits::default();
    let (mut session, due) = pinged(Duration::ZERO);
    let at_most = due + limits.ping_timeout + limits.ping_interval + limits.ping_timeout;
    let mut now = due;
    while now < at_most {
        session.heard(now);
        assert!(!session.is_silent(now), "{now:?}");
        now = now + Duration::from_secs(1);
    }
    session.heard(now);
    assert!(session.is_silent(at_most));
}

#[test]
fn nobody_is_silent_before_the_server_had_time_to_read() {
    let (mut session, due) = pinged(Duration::ZERO);
    let timeout = Limits::default().ping_timeout;
    let back = due + timeout + Duration::from_secs(60);
    session.excuse(back + timeout);
    assert!(!session.is_silent(back));
    session.expire(back);
    assert_eq!((session.poll(back), session.deadline()), (None, Some(back + timeout)));
    session.excuse(back);
    assert_eq!(session.deadline(), Some(back + timeout), "it takes no time away");
    session.set_deaf(true);
    assert!(!session.is_silent(back + timeout), "whose pongs are not read by our own will");
}

/// Whatever happens: an early call of `expire` says and changes nothing, and a call in time moves
/// the deadline on ([`Server::pass`] checks that at every stop).
#[test]
fn deadlines_never_lie() {
    let texts: [&'static str; 12] = [
        "40",
        "40/slow,",
        "40/a,",
        "41",
        r#"42["echo",1]"#,
        r#"42["ask"]"#,
        r#"451-["echo",{"_placeholder":true,"num":0}]"#,
        "430[]",
        "3",
        "6",
        "1",
        "2",
    ];
    let mut ended = 0;
    for seed in 0..3000 {
        let mut dice = Dice::new(seed);
        let transport = match dice.roll(2) {
            0 => Transport::Polling,
            _ => Transport::WebSocket,
        };
        let mut server = Server::new(transport, Limits::default());
        for _ in 0..60 {
            let text = Bytes::from_static(texts[dice.roll(texts.len())].as_bytes());
            let data = match dice.roll(8) {
                0 => Data::Binary(text),
                _ => Data::Text(text),
            };
            match (dice.roll(20), data) {
                (0..6, Data::Text(text)) if server.session.transport() == Transport::Polling => {
                    server.receive(Input::Body(text));
                }
                (0..6, data) => server.receive(Input::Frame(data)),
                (6..10, _) if server.session.transport() == Transport::Polling => {
                    if !server.session.is_polled() {
                        server.receive(Input::Poll);
                    }
                }
                (10, _) => server.receive(Input::ProbeOpened),
                (11..13, _) => server.receive(Input::Probe(Data::Text("2probe".into()))),
                (13, _) => server.receive(Input::Probe(Data::Text("5".into()))),
                (14, _) => server.receive(Input::ProbeGone),
                (15, _) if dice.roll(20) == 0 => server.close(Reason::ForcedServerClose),
                _ => server.pass(Duration::from_millis(dice.next() % 12_000)),
            }
            if server.session.is_closed() {
                ended += 1;
                assert_eq!(server.deadline(), None, "seed {seed}");
                let last = server.sent.last();
                assert!(matches!(last, Some(Sent::Closed(_))), "seed {seed}: {last:?}");
                break;
            }
            let deadline = server.deadline().expect("an open session has a heartbeat");
            assert!(deadline > server.now, "seed {seed}: {deadline:?} is over");
            server.sent.clear();
            server.expire();
            assert_eq!(server.sent, [], "seed {seed}: an early call says nothing");
            assert_eq!(server.deadline(), Some(deadline), "seed {seed}");
        }
    }
    assert!(ended > 1000, "only {ended} sessions ended");
}

/// Whoever carries the answers may be slower than the session.
#[test]
fn a_poll_that_is_not_answered_yet_is_let_go_only_once() {
    let limits = Arc::new(Limits::default());
    let mut now = Moment::from_millis(0);
    let mut session = Session::new(now, Transport::Polling, Revision::V4, limits);
    let probe = Data::Text("2probe".into());
    for input in [Input::ProbeOpened, Input::Probe(probe), Input::Poll] {
        session.receive(now, input);
        while session.poll(now).is_some() {}
    }
    let mut noops = 0;
    while now < Moment::from_millis(9_000) {
        now = session.deadline().unwrap();
        session.expire(now);
        while let Some(output) = session.poll(now) {
            noops += usize::from(output == Output::Send(Packet::Noop));
        }
        assert_ne!(session.deadline(), Some(now));
    }
    assert_eq!(noops, 1);
}

/// As [`deadlines_never_lie`], far behind time: a machine that slept for a day finds each deadline
/// once.
#[test]
fn a_late_expire_catches_up_at_once() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut server = Server::new(transport, Limits::default());
        server.now = server.now + Duration::from_secs(86_400);
        let mut calls = 0;
        while server.deadline().is_some_and(|at| at <= server.now) {
            server.expire();
            calls += 1;
            assert!(calls < 10, "{transport}: {:?}", server.deadline());
        }
        assert!(calls > 0, "{transport}");
    }
}
