//! Both real ends of a session with a network between them, in virtual time: the client's `Dialer` and
//! `Outgoing`, the server's `Session`. The network is late, splits what goes through a WebSocket, lets
//! requests overtake each other, and breaks.
//!
//! Whatever it does: each side hears the messages of the other once and in order, and all of them unless
//! the session ended, for a reason that has a name; and no deadline stands still.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use roomful_proto::deflate::Deflate;
use roomful_proto::engine::Transport::{Polling, WebSocket};
use roomful_proto::engine::dialer::{Input, Output};
use roomful_proto::engine::{self, Data, Dial, Dialer, Outgoing, Packet, Revision, Transport};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::{Decoder, Message, Role};
use roomful_proto::{DisconnectReason, Limits, Moment, Parcel, Reason};
use support::{Dice, Sent, Server};

/// What arrives.
#[derive(Debug)]
enum Cargo {
    Get,
    Got(Option<Vec<u8>>),
    Post(Bytes),
    Posted(bool),
    /// A WebSocket is asked for.
    Opens,
    /// It is there.
    Opened,
    Up(Vec<u8>),
    Down(Vec<u8>),
    UpEnds,
    DownEnds,
}

/// What becomes of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nothing.
    Never,
    /// Each stream breaks, and both ends see it.
    Loud,
    /// Nothing arrives any more, and nobody is told.
    Silent,
    /// The WebSocket beside the polling breaks, if there is one.
    Probe,
}

#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    revision: Revision,
    base64: bool,
    transports: Vec<Transport>,
    deflates: bool,
    payload_bytes_max: usize,
    late_ms: u64,
    /// Between two messages of a side.
    pause_ms: u64,
    up: usize,
    down: usize,
    cut: (Cut, u64),
    client_closes_at: Option<u64>,
    server_closes_at: Option<u64>,
}

struct Pair {
    plan: Plan,
    now: Moment,
    dice: Dice,
    /// By time, then in the order in which it was sent.
    network: BTreeMap<(Moment, u64), Cargo>,
    cargos: u64,
    is_cut: bool,

    dialer: Dialer,
    outgoing: Outgoing,
    deflate: Option<Deflate>,
    decoder: Decoder,
    /// The WebSocket, seen from the client, and whether it carries the session.
    socket: Option<bool>,
    get_under_way: bool,
    post_under_way: bool,
    heard: Vec<Data>,
    closed: Option<DisconnectReason>,

    server: Option<Server>,
    server_decoder: Decoder,
    server_socket: bool,
    server_closed: Option<Reason>,
    poll_waits: bool,
    body_waits: bool,
    /// When the last piece arrives, up and down: a stream keeps its order.
    last: [Moment; 2],
    said: usize,
    told: usize,
}

impl Pair {
    fn new(plan: Plan) -> Self {
        let mut limits = Limits::default();
        limits.payload_bytes_max = plan.payload_bytes_max;
        let dial = Dial {
            transports: plan.transports.clone(),
            try_all: true,
            upgrade: true,
            revision: plan.revision,
            limits: Arc::new(limits),
        };
        let now = Moment::from_millis(0);
        Self {
            now,
            dice: Dice::new(plan.seed),
            network: BTreeMap::new(),
            cargos: 0,
            is_cut: false,
            dialer: Dialer::new(dial),
            outgoing: Outgoing::new(),
            deflate: plan.deflates.then(|| Deflate::new(50, 1)),
            decoder: Decoder::new(Role::Client, 1 << 20, 100),
            socket: None,
            get_under_way: false,
            post_under_way: false,
            heard: Vec::new(),
            closed: None,
            server: None,
            server_decoder: Decoder::new(Role::Server, 1 << 20, 100).inflating(10_000),
            server_socket: false,
            server_closed: None,
            poll_waits: false,
            body_waits: false,
            last: [now; 2],
            said: 0,
            told: 0,
            plan,
        }
    }

    fn send(&mut self, cargo: Cargo) {
        if self.is_cut {
            return;
        }
        let mut at = self.now + Duration::from_millis(self.dice.next() % (self.plan.late_ms + 1));
        let way = match &cargo {
            Cargo::Opens | Cargo::Up(_) | Cargo::UpEnds => Some(0),
            Cargo::Opened | Cargo::Down(_) | Cargo::DownEnds => Some(1),
            _ => None,
        };
        if let Some(way) = way {
            at = at.max(self.last[way]);
            self.last[way] = at;
        }
        self.cargos += 1;
        self.network.insert((at, self.cargos), cargo);
    }

    /// Sends bytes of a WebSocket, in pieces.
    fn stream(&mut self, bytes: &[u8], piece: fn(Vec<u8>) -> Cargo) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = 1 + self.dice.roll(rest.len().min(200));
            let (head, tail) = rest.split_at(len);
            self.send(piece(head.to_vec()));
            rest = tail;
        }
    }

    // The client

    fn client_hears(&mut self, input: Input) {
        self.dialer.receive(self.now, input);
        self.client_acts();
    }

    fn client_acts(&mut self) {
        loop {
            while let Some(output) = self.dialer.poll(self.now) {
                self.client_does(output);
            }
            if self.closed.is_some() {
                return;
            }
            if self.dialer.is_writable() && !self.outgoing.is_empty() {
                self.client_writes();
            }
            if self.outgoing.is_empty() {
                self.dialer.flushed();
                let Some(output) = self.dialer.poll(self.now) else {
                    return;
                };
                self.client_does(output);
            } else if !self.dialer.is_writable() {
                return;
            }
        }
    }

    fn client_does(&mut self, output: Output) {
        assert!(self.closed.is_none(), "{output:?} after the end");
        match output {
            Output::Get => {
                assert!(!self.get_under_way, "two polls");
                self.get_under_way = true;
                self.send(Cargo::Get);
            }
            Output::OpenWebSocket => {
                self.socket = Some(true);
                self.send(Cargo::Opens);
            }
            Output::OpenProbe => {
                self.socket = Some(false);
                self.send(Cargo::Opens);
            }
            Output::Open => {
                let max = self.dialer.welcome().unwrap().payload_bytes_max;
                assert_eq!(max, Some(self.plan.payload_bytes_max));
            }
            Output::Message(data) => self.heard.push(data),
            Output::Send(packet) => self.outgoing.push_packet(&packet),
            Output::Probe(packet) => {
                assert_eq!(self.socket, Some(false));
                let mut text = Vec::new();
                packet.encode(&mut text);
                let mut wire = Vec::new();
                frame::write(&mut wire, Opcode::Text, &text, Some([1, 2, 3, 4]));
                self.stream(&wire, Cargo::Up);
            }
            Output::DropProbe => {
                assert_eq!(self.socket.take(), Some(false));
                self.send(Cargo::UpEnds);
            }
            Output::Upgraded => {
                assert!(!self.get_under_way && !self.post_under_way);
                self.socket = Some(true);
            }
            Output::NextTransport => {
                self.socket = None;
                self.get_under_way = false;
            }
            Output::HangUp => {
                if self.socket.take() == Some(true) {
                    self.send(Cargo::UpEnds);
                }
            }
            Output::Broken(violation) => panic!("our server breaks no rule: {violation}"),
            Output::Closed(reason) => {
                self.closed = Some(reason);
                self.get_under_way = false;
                self.post_under_way = false;
            }
        }
    }

    fn client_writes(&mut self) {
        let (revision, base64) = (self.plan.revision, self.plan.base64);
        match self.dialer.transport() {
            WebSocket => {
                let mut wire = Vec::new();
                let (deflate, dice) = (self.deflate.as_ref(), &mut self.dice);
                let mask = || (dice.next() as u32).to_be_bytes();
                self.outgoing.take_frames(revision, base64, deflate, 300, mask, &mut wire);
                self.stream(&wire, Cargo::Up);
            }
            Polling => {
                assert!(!self.post_under_way, "two bodies");
                let max = self.dialer.welcome().unwrap().payload_bytes_max;
                let body = self.outgoing.take_body(revision, base64, max).unwrap();
                self.post_under_way = true;
                self.dialer.posting();
                let (Data::Text(body) | Data::Binary(body)) = body;
                self.send(Cargo::Post(body));
            }
        }
    }

    fn client_reads(&mut self, mut piece: Vec<u8>) {
        let mut rest = &mut piece[..];
        while let Some(message) = self.decoder.receive(&mut rest).unwrap() {
            let data = match message {
                Message::Text(text) => Data::Text(text),
                Message::Binary(bytes) => Data::Binary(bytes),
                other => panic!("{other:?}"),
            };
            match self.socket {
                Some(true) => self.client_hears(Input::Frame(data)),
                Some(false) => self.client_hears(Input::Probe(data)),
                None => return,
            }
        }
        self.dialer.alive(self.now);
    }

    fn client_socket_ends(&mut self, in_order: bool) {
        match self.socket.take() {
            Some(true) => self.client_hears(Input::Gone { in_order }),
            Some(false) => self.client_hears(Input::ProbeGone),
            None => {}
        }
    }

    // The server

    fn open_server(&mut self, transport: Transport) {
        let mut limits = Limits::default();
        limits.payload_bytes_max = self.plan.payload_bytes_max;
        let (revision, base64) = (self.plan.revision, self.plan.base64);
        let mut server = Server::speaking(revision, base64, transport, limits);
        server.now = self.now;
        // The session began when its time began.
        server.raw = Some(Vec::new());
        self.server = Some(server);
    }

    fn server_hears(&mut self, input: engine::Input) {
        let server = self.server.as_mut().unwrap();
        server.now = self.now;
        server.receive(input);
        self.server_acts();
    }

    fn server_acts(&mut self) {
        let Some(server) = &mut self.server else {
            return;
        };
        for sent in std::mem::take(&mut server.sent) {
            match sent {
                Sent::Frame(Data::Text(text)) => self.server_writes(Opcode::Text, &text),
                Sent::Frame(Data::Binary(bytes)) => self.server_writes(Opcode::Binary, &bytes),
                Sent::Probed(text) => self.server_writes(Opcode::Text, &text),
                Sent::Got(body) => self.server_answers(Some(body)),
                Sent::GotRefused => panic!("the client polls once"),
                Sent::Posted => {
                    self.body_waits = false;
                    self.send(Cargo::Posted(true));
                }
                Sent::ProbeClosed => {
                    self.server_socket = false;
                    self.send(Cargo::DownEnds);
                }
                Sent::Upgraded => {
                    if self.poll_waits {
                        let noop = match self.plan.revision {
                            Revision::V4 => &b"6"[..],
                            Revision::V3 => engine::v3::NOOP,
                        };
                        self.server_answers(Some(noop.to_vec()));
                    }
                }
                Sent::Broken(violation) => panic!("our client breaks no rule: {violation}"),
                Sent::Closed(reason) => {
                    self.server_closed = Some(reason);
                    if std::mem::take(&mut self.server_socket) {
                        self.send(Cargo::DownEnds);
                    }
                    if self.poll_waits {
                        self.server_answers(None);
                    }
                    if std::mem::take(&mut self.body_waits) {
                        self.send(Cargo::Posted(false));
                    }
                }
            }
        }
    }

    fn server_answers(&mut self, body: Option<Vec<u8>>) {
        assert!(std::mem::take(&mut self.poll_waits), "an answer without a poll");
        self.send(Cargo::Got(body));
    }

    fn server_writes(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut wire = Vec::new();
        frame::write(&mut wire, opcode, payload, None);
        self.stream(&wire, Cargo::Down);
    }

    fn server_reads(&mut self, mut piece: Vec<u8>) {
        let mut rest = &mut piece[..];
        while let Some(message) = self.server_decoder.receive(&mut rest).unwrap() {
            let data = match message {
                Message::Text(text) => Data::Text(text),
                Message::Binary(bytes) => Data::Binary(bytes),
                other => panic!("{other:?}"),
            };
            self.server_hears(match self.server.as_ref().unwrap().session.transport() {
                Polling => engine::Input::Probe(data),
                WebSocket => engine::Input::Frame(data),
            });
        }
    }

    fn server_socket_ends(&mut self, in_order: bool) {
        if std::mem::take(&mut self.server_socket) {
            self.server_hears(match self.server.as_ref().unwrap().session.transport() {
                Polling => engine::Input::ProbeGone,
                WebSocket => engine::Input::Gone { in_order },
            });
        }
    }

    // The network

    fn deliver(&mut self, cargo: Cargo) {
        match cargo {
            Cargo::Get if self.server_closed.is_some() => self.send(Cargo::Got(None)),
            Cargo::Get => {
                if self.server.is_none() {
                    self.open_server(Polling);
                }
                self.poll_waits = true;
                self.server_hears(engine::Input::Poll);
            }
            Cargo::Post(_) if self.server_closed.is_some() => self.send(Cargo::Posted(false)),
            Cargo::Post(body) => {
                self.body_waits = true;
                self.server_hears(engine::Input::Body(body));
            }
            Cargo::Opens if self.server_closed.is_some() => self.send(Cargo::DownEnds),
            Cargo::Opens => {
                self.server_socket = true;
                self.send(Cargo::Opened);
                if self.server.is_none() {
                    self.open_server(WebSocket);
                    self.server_acts();
                } else {
                    self.server_hears(engine::Input::ProbeOpened);
                }
            }
            Cargo::Up(piece) if self.server_socket => self.server_reads(piece),
            Cargo::UpEnds => self.server_socket_ends(true),
            Cargo::Got(body) if self.get_under_way => {
                self.get_under_way = false;
                self.client_hears(
                    body.map_or(Input::RequestFailed, |body| Input::Answered(Bytes::from(body))),
                );
            }
            Cargo::Posted(ok) if self.post_under_way => {
                self.post_under_way = false;
                self.client_hears(if ok { Input::Posted } else { Input::RequestFailed });
            }
            Cargo::Opened => match self.socket {
                Some(true) => self.client_hears(Input::Opened),
                Some(false) => self.client_hears(Input::ProbeOpened),
                None => {}
            },
            Cargo::Down(piece) => self.client_reads(piece),
            Cargo::DownEnds => self.client_socket_ends(true),
            Cargo::Up(_) | Cargo::Got(_) | Cargo::Posted(_) => {}
        }
    }

    fn cut(&mut self) {
        match self.plan.cut.0 {
            Cut::Never => {}
            Cut::Probe => {
                if self.socket == Some(false) {
                    let is_poll = |cargo: &Cargo| {
                        use Cargo::{Get, Got, Post, Posted};
                        matches!(cargo, Get | Got(_) | Post(_) | Posted(_))
                    };
                    self.network.retain(|_, cargo| is_poll(cargo));
                    self.client_socket_ends(false);
                    self.server_socket_ends(false);
                }
            }
            Cut::Silent => {
                self.is_cut = true;
                self.network.clear();
            }
            Cut::Loud => {
                self.is_cut = true;
                let under_way = std::mem::take(&mut self.network);
                if self.get_under_way || self.post_under_way {
                    self.client_hears(Input::RequestFailed);
                }
                self.client_socket_ends(false);
                if std::mem::take(&mut self.poll_waits) {
                    self.server_hears(engine::Input::PollGone);
                }
                if under_way.values().any(|cargo| matches!(cargo, Cargo::Post(_)))
                    && self.dice.roll(2) == 0
                    && self.server_closed.is_none()
                {
                    self.server_hears(engine::Input::BodyBroken);
                }
                self.server_socket_ends(false);
            }
        }
    }

    // Time

    /// Each side says its next message, if it has one.
    fn talk(&mut self) {
        if self.said < self.plan.up && self.dialer.is_open() && self.dice.roll(2) == 0 {
            self.outgoing.push_packet(&Packet::Message(message(self.said)));
            self.said += 1;
            self.client_acts();
        }
        let Some(server) = &mut self.server else {
            return;
        };
        if self.told < self.plan.down && self.server_closed.is_none() && self.dice.roll(2) == 0 {
            server.now = self.now;
            server.send(Parcel::engine_message(message(self.told)));
            self.told += 1;
            self.server_acts();
        }
    }

    fn is_done(&self) -> bool {
        let all = self.closed.is_some() && (self.server.is_none() || self.server_closed.is_some());
        // From the welcome on the upgrade is under way. Where nobody has anything to say, all was heard before.
        let quiet = self.closed.is_none()
            && self.server_closed.is_none()
            && self.server.is_some()
            && self.dialer.welcome().is_some()
            && self.heard_from_server().len() == self.plan.down
            && self.heard_from_client().len() == self.plan.up
            && self.socket != Some(false)
            && self.plan.cut.0 != Cut::Silent
            && self.plan.client_closes_at.is_none()
            && self.plan.server_closes_at.is_none()
            && (self.plan.cut.0 != Cut::Loud || self.is_cut);
        all || quiet
    }

    fn heard_from_client(&self) -> &[Data] {
        self.server.as_ref().and_then(|server| server.raw.as_deref()).unwrap_or_default()
    }

    /// Without what a server of Socket.IO 2 says before anything else.
    fn heard_from_server(&self) -> &[Data] {
        match self.plan.revision {
            Revision::V4 => &self.heard,
            Revision::V3 => self.heard.get(1..).unwrap_or_default(),
        }
    }

    fn run(&mut self) {
        self.client_acts();
        let at = |ms: u64| Moment::from_millis(ms);
        let mut cut_at = (self.plan.cut.0 != Cut::Never).then_some(at(self.plan.cut.1));
        let mut client_closes_at = self.plan.client_closes_at.map(at);
        let mut server_closes_at = self.plan.server_closes_at.map(at);
        let mut talks_at = at(1);
        while !self.is_done() {
            assert!(self.now < at(3_000_000), "nothing moves any more: {:?}", self.dialer);
            let arrives_at = self.network.keys().next().map(|(at, _)| *at);
            let server_at = self.server.as_ref().and_then(|server| server.session.deadline());
            let stops = [arrives_at, server_at, self.dialer.deadline(), cut_at, client_closes_at]
                .into_iter()
                .chain([server_closes_at, Some(talks_at)]);
            let next = stops.flatten().min().unwrap();
            assert!(next >= self.now, "a deadline lies in the past");
            self.now = next;
            if arrives_at == Some(next) {
                let (_, cargo) = self.network.pop_first().unwrap();
                self.deliver(cargo);
            }
            if self.dialer.deadline().is_some_and(|at| at <= next) {
                self.dialer.expire(next);
                self.client_acts();
                assert!(self.dialer.deadline().is_none_or(|at| at > next), "a deadline stays");
            }
            if server_at == Some(next) {
                let server = self.server.as_mut().unwrap();
                server.now = next;
                server.expire();
                self.server_acts();
                let deadline = self.server.as_ref().unwrap().session.deadline();
                assert_ne!(deadline, Some(next), "a deadline stays");
            }
            if cut_at == Some(next) {
                cut_at = None;
                self.cut();
            }
            if client_closes_at == Some(next) {
                client_closes_at = None;
                self.dialer.close(next);
                self.client_acts();
            }
            if server_closes_at == Some(next) {
                server_closes_at = None;
                if let Some(server) = &mut self.server {
                    server.now = next;
                    server.close(Reason::ForcedServerClose);
                    self.server_acts();
                }
                // Nobody is there to close: then it is the client that gives up.
                if self.server.is_none() {
                    self.dialer.abort();
                    self.client_acts();
                }
            }
            if talks_at == next {
                let pause = match self.said < self.plan.up || self.told < self.plan.down {
                    true => 1 + self.dice.next() % self.plan.pause_ms,
                    false => 5_000,
                };
                talks_at = next + Duration::from_millis(pause);
                self.talk();
            }
            // Opening has no deadline of its own: its caller gives up.
            if self.is_cut && self.dialer.welcome().is_none() && self.closed.is_none() {
                self.dialer.abort();
                self.client_acts();
            }
        }
    }
}

/// The message of that number: some are bytes, and some are long.
fn message(number: usize) -> Data {
    let mut text = number.to_string();
    if number % 5 == 4 {
        text += &"é".repeat(number * 7 % 300);
    }
    let text = Bytes::from(text);
    if number.is_multiple_of(3) { Data::Binary(text) } else { Data::Text(text) }
}

trait EngineMessage {
    fn engine_message(data: Data) -> Self;
}

impl EngineMessage for Parcel {
    /// The same message as the server sends it.
    fn engine_message(data: Data) -> Self {
        let mut outgoing = Vec::new();
        match data {
            Data::Binary(bytes) => frame::write(&mut outgoing, Opcode::Binary, &bytes, None),
            Data::Text(text) => {
                let text = [b"4", &text[..]].concat();
                frame::write(&mut outgoing, Opcode::Text, &text, None);
            }
        }
        Self::joined(&outgoing)
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() }
}

fn plan() -> impl Strategy<Value = Plan> {
    let transports = prop_oneof![
        1 => Just(vec![Polling]),
        1 => Just(vec![WebSocket]),
        4 => Just(vec![Polling, WebSocket]),
    ];
    let link = (
        any::<u64>(),
        prop_oneof![Just(Revision::V3), Just(Revision::V4)],
        any::<bool>(),
        transports,
        any::<bool>(),
        prop_oneof![Just(1_usize), 50..2_000_usize],
        prop_oneof![0..5_u64, 0..400_u64],
        prop_oneof![4 => Just(40_u64), 1 => Just(20_000)],
    );
    (link, 0..40_usize, 0..40_usize).prop_map(|(link, up, down)| {
        let (seed, revision, base64, transports, deflates, payload_bytes_max, late_ms, pause_ms) =
            link;
        Plan {
            seed,
            revision,
            base64,
            transports,
            deflates,
            payload_bytes_max,
            late_ms,
            pause_ms,
            up,
            down,
            cut: (Cut::Never, 0),
            client_closes_at: None,
            server_closes_at: None,
        }
    })
}

/// Runs a plan, and checks what both sides heard: a beginning of what was said, without a hole.
fn run(plan: Plan) -> Pair {
    let mut pair = Pair::new(plan);
    pair.run();
    let of = |count: usize| (0..count).map(message).collect::<Vec<_>>();
    let (up, down) = (pair.heard_from_client(), pair.heard_from_server());
    assert_eq!(up, of(up.len()), "to the server");
    assert_eq!(down, of(down.len()), "to the client");
    assert!(up.len() <= pair.said && down.len() <= pair.told);
    pair
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn all_messages_arrive_once_and_in_order(plan in plan()) {
        let upgrades = plan.transports.len() == 2;
        let pair = run(plan.clone());
        prop_assert_eq!(pair.closed, None);
        prop_assert_eq!(pair.heard_from_client().len(), plan.up);
        prop_assert_eq!(pair.heard_from_server().len(), plan.down);
        let expected = if upgrades { WebSocket } else { plan.transports[0] };
        prop_assert_eq!(pair.dialer.transport(), expected);
    }

    #[test]
    fn a_probe_that_breaks_costs_no_message(plan in plan(), at in 1..1_500_u64) {
        let pair = run(Plan { cut: (Cut::Probe, at), ..plan.clone() });
        prop_assert_eq!(pair.closed, None);
        prop_assert_eq!(pair.heard_from_client().len(), plan.up);
        prop_assert_eq!(pair.heard_from_server().len(), plan.down);
    }

    #[test]
    fn a_network_that_breaks_ends_both_sides(plan in plan(), at in 1..2_000_u64, loud: bool) {
        let cut = if loud { Cut::Loud } else { Cut::Silent };
        let pair = run(Plan { cut: (cut, at), ..plan });
        let expected: &[_] = match loud {
            true => &[DisconnectReason::TransportError],
            false => &[DisconnectReason::PingTimeout],
        };
        // It had no session yet, and its caller gave up.
        if pair.dialer.welcome().is_some() {
            prop_assert!(expected.contains(&pair.closed.unwrap()), "{:?}", pair.closed);
        }
        // The last: its WebSocket has ended, and it polls no more.
        let server = [Reason::TransportError, Reason::PingTimeout, Reason::TransportClose];
        prop_assert!(pair.server_closed.is_none_or(|reason| server.contains(&reason)));
    }

    #[test]
    fn a_client_that_closes_has_said_all(plan in plan(), at in 1..2_000_u64) {
        // So slow a network takes longer than the time that closing has.
        let plan = Plan { late_ms: plan.late_ms % 50, ..plan };
        let plan = Plan { payload_bytes_max: plan.payload_bytes_max.max(100), ..plan };
        let pair = run(Plan { client_closes_at: Some(at), ..plan });
        prop_assert_eq!(pair.closed, Some(DisconnectReason::ForcedClose));
        prop_assert_eq!(pair.heard_from_client().len(), pair.said);
        // Without an open packet there was no session to close; the server's goes when nobody pings.
        if pair.dialer.welcome().is_some() {
            prop_assert_eq!(pair.server_closed, Some(Reason::TransportClose));
        }
    }

    #[test]
    fn a_server_that_closes_is_understood(plan in plan(), at in 1..2_000_u64) {
        let pair = run(Plan { server_closes_at: Some(at), ..plan });
        let reasons = [
            DisconnectReason::TransportClose,
            // A body was under way when the server closed, and is answered 400.
            DisconnectReason::TransportError,
            // Nobody was there to close.
            DisconnectReason::ForcedClose,
        ];
        prop_assert!(reasons.contains(&pair.closed.unwrap()), "{:?}", pair.closed);
    }
}

/// In one run of six the plans above had one in which nobody says anything, and which ended before the welcome.
#[test]
fn who_has_nothing_to_say_is_upgraded_too() {
    for revision in [Revision::V3, Revision::V4] {
        for late_ms in [0, 3] {
            let pair = run(Plan {
                seed: 0,
                revision,
                base64: false,
                transports: vec![Polling, WebSocket],
                deflates: false,
                payload_bytes_max: 1,
                late_ms,
                pause_ms: 40,
                up: 0,
                down: 0,
                cut: (Cut::Never, 0),
                client_closes_at: None,
                server_closes_at: None,
            });
            assert_eq!(pair.dialer.transport(), WebSocket);
        }
    }
}
