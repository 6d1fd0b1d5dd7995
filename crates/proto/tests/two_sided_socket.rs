//! A client and a server of Socket.IO with a connection between them that takes its time, is cut between any
//! two messages, and comes back. In virtual time, for generated sequences of what both do.
//!
//! Events of the client arrive at most once and in their order, those that are sent again at least once if
//! they are acked; each who waits for an ack is told exactly once, and the right thing; with recovery no event
//! of the server is lost or doubled; and in the end nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use roomful_proto::engine::{Data, Revision};
use roomful_proto::socket::manager::{
    Ask, Attempt, Emission, Frames, Key, Manager, ManagerSettings, NoAck, Output, Writable,
};
use roomful_proto::socket::{Arrived, Event, Mux, Reconnection, Slot};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::{
    AckId, Answer, Args, DisconnectReason, Letter, Limits, Moment, RecoveryId, SocketId, ToArgs,
};

/// The first of them recovers its sockets.
const NAMES: [&str; 2] = ["/", "/a"];
const CUT: DisconnectReason = DisconnectReason::TransportClose;

#[derive(Clone, Debug)]
enum Step {
    Emit(usize),
    EmitBytes(usize),
    EmitVolatile(usize),
    Ask(usize, Option<u64>),
    Retry(usize),
    Connect(usize),
    Disconnect(usize),
    Remove(usize),
    /// The client answers the oldest event that asks for an ack.
    Answer,
    Advance(u64),
    /// So many frames leave the client; arrive at the server; arrive at the client.
    Flush(usize),
    Up(usize),
    Down(usize),
    /// What becomes of the attempt to open a connection.
    Dialed(bool),
    Cut,
    /// The server decides about the client that has asked first.
    Decide(bool),
    ServerEmit(usize),
    ServerAsk(usize),
    ServerKick(usize),
    /// The server acks one event, twice if so.
    ServerAck(bool),
    /// The server acks what was never sent.
    Invent(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let timeout = proptest::option::of(prop_oneof![Just(1_u64), Just(700), Just(15_000)]);
    // What ends a socket is rare, so that there is something to end.
    prop_oneof![
        9 => name().prop_map(Step::Emit),
        3 => name().prop_map(Step::EmitBytes),
        3 => name().prop_map(Step::EmitVolatile),
        9 => (name(), timeout).prop_map(|(name, timeout)| Step::Ask(name, timeout)),
        6 => name().prop_map(Step::Retry),
        6 => name().prop_map(Step::Connect),
        1 => name().prop_map(Step::Disconnect),
        1 => name().prop_map(Step::Remove),
        3 => Just(Step::Answer),
        6 => prop_oneof![4 => Just(1_u64), 3 => Just(1_000), 1 => Just(11_000), 1 => Just(21_000)]
            .prop_map(Step::Advance),
        20 => (1..9_usize).prop_map(Step::Flush),
        20 => (1..9_usize).prop_map(Step::Up),
        20 => (1..9_usize).prop_map(Step::Down),
        15 => proptest::bool::weighted(0.9).prop_map(Step::Dialed),
        2 => Just(Step::Cut),
        20 => proptest::bool::weighted(0.9).prop_map(Step::Decide),
        12 => name().prop_map(Step::ServerEmit),
        6 => name().prop_map(Step::ServerAsk),
        1 => name().prop_map(Step::ServerKick),
        12 => proptest::bool::weighted(0.2).prop_map(Step::ServerAck),
        1 => name().prop_map(Step::Invent),
    ]
}

/// A socket of the server that can be recovered: the events that it was sent, whether they arrived or not.
struct Session {
    pid: RecoveryId,
    number: u64,
    sent: u64,
}

/// The server: one connection at most, and what outlives it.
#[derive(Default)]
struct Server {
    ids: u8,
    /// The one of the first namespace, until its socket leaves.
    session: Option<Session>,
    sessions: u64,
    /// Of each namespace, numbers of events as they arrived, and of those that are sent again.
    heard: [Vec<u64>; NAMES.len()],
    heard_again: [Vec<u64>; NAMES.len()],
    asked: u64,
}

struct Connection {
    mux: Mux,
    up: VecDeque<Data>,
    down: VecDeque<Data>,
    /// Who has asked to come in, and what they show.
    asking: VecDeque<(Slot, Option<Bytes>)>,
    joined: [Option<Slot>; NAMES.len()],
    /// Acks that the server has still to send: of whom, and for whom.
    acks: VecDeque<(usize, AckId, u32)>,
    /// Acks that it waits for: the socket they were asked of.
    open: BTreeMap<AckId, Slot>,
}

/// What the client has seen of one session of the server: its number, and the next event.
type Seen = Option<(u64, u64)>;

struct World {
    now: Moment,
    manager: Manager<u32>,
    keys: [Key; NAMES.len()],
    dialing: bool,
    connection: Option<Connection>,
    server: Server,
    numbers: u64,
    retried: u64,
    next_ack: u64,
    waiters: u32,
    waiting: BTreeSet<u32>,
    /// Those who wait for the ack of an event that is sent again: its number.
    retrying: BTreeMap<u32, (usize, u64)>,
    answers: VecDeque<(Attempt, AckId)>,
    seen: [Seen; NAMES.len()],
    /// In the end all are let in, and all events are acked.
    settling: bool,
    recovered: usize,
}

fn messages(letter: Letter) -> Vec<Data> {
    let mut wire = Vec::new();
    letter.append_to(&mut wire);
    let message = |(opcode, payload): (Opcode, &[u8])| match opcode {
        Opcode::Text => Data::Text(Bytes::copy_from_slice(&payload[1..])),
        _ => Data::Binary(Bytes::copy_from_slice(payload)),
    };
    frame::split(&wire).map(message).collect()
}

/// Bytes as serde knows them.
struct Attached;

impl serde::Serialize for Attached {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&[1, 2, 3])
    }
}

impl World {
    fn new() -> Self {
        let mut settings = ManagerSettings::default();
        settings.reconnection = Reconnection::every(Duration::from_secs(1));
        settings.retries = 2;
        let mut manager = Manager::new(Arc::new(settings), None, 1);
        let keys = NAMES.map(|name| manager.socket(name));
        Self {
            now: Moment::from_millis(1_000),
            manager,
            keys,
            dialing: false,
            connection: None,
            server: Server::default(),
            numbers: 0,
            retried: 0,
            next_ack: 0,
            waiters: 0,
            waiting: BTreeSet::new(),
            retrying: BTreeMap::new(),
            answers: VecDeque::new(),
            seen: [None; NAMES.len()],
            settling: false,
            recovered: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Emit(name) => self.emit(name, "event", None, |number| (number, 0)),
            Step::EmitBytes(name) => self.emit(name, "event", None, |number| (number, Attached)),
            Step::EmitVolatile(name) => {
                self.emit(name, "event", Some(Writable(true)), |number| (number, 0));
            }
            Step::Ask(name, timeout) => self.ask(name, timeout),
            Step::Retry(name) => self.retry(name),
            Step::Connect(name) => self.manager.connect(self.now, self.keys[name]),
            Step::Disconnect(name) => self.manager.disconnect(self.keys[name]),
            Step::Remove(name) => {
                self.manager.remove(self.keys[name]);
                self.drain();
                self.seen[name] = None;
                self.keys[name] = self.manager.socket(NAMES[name]);
                assert_ne!(self.keys[0], self.keys[1]);
            }
            Step::Answer => {
                if let Some((attempt, id)) = self.answers.pop_front() {
                    self.manager.answer(attempt, Answer::new(id, &id.get()).unwrap());
                }
            }
            Step::Advance(ms) => self.advance(ms),
            Step::Flush(count) => self.flush(count),
            Step::Up(count) => (0..count).for_each(|_| self.up()),
            Step::Down(count) => (0..count).for_each(|_| self.down()),
            Step::Dialed(opens) => self.dialed(opens),
            Step::Cut => self.cut(CUT),
            Step::Decide(accepts) => self.decide(accepts),
            Step::ServerEmit(name) => self.server_emit(name),
            Step::ServerAsk(name) => self.server_ask(name),
            Step::ServerKick(name) => self.server_kick(name),
            Step::ServerAck(twice) => self.server_ack(twice),
            Step::Invent(name) => {
                if let Some(connection) = &mut self.connection {
                    let id = AckId::new(1 << 40).unwrap();
                    let letter = Answer::new(id, &()).unwrap().address(NAMES[name]);
                    connection.down.extend(messages(letter));
                }
            }
        }
        self.drain();
    }

    // The client

    fn emit<T: ToArgs>(
        &mut self,
        name: usize,
        event: &str,
        volatile: Option<Writable>,
        args: impl FnOnce(u64) -> T,
    ) {
        self.numbers += 1;
        let letter = Letter::event(NAMES[name], None, event, &args(self.numbers)).unwrap();
        let frames = Frames::new(letter, None);
        let emission = Emission { frames, ask: None, volatile, compress: true };
        let taken = self.manager.emit(self.now, self.keys[name], emission);
        assert!(taken.is_ok() || volatile.is_some());
    }

    fn ask(&mut self, name: usize, timeout: Option<u64>) {
        self.numbers += 1;
        self.waiters += 1;
        let waiter = self.waiters;
        let id = AckId::new(self.next_ack).unwrap();
        self.next_ack += 2;
        let letter = Letter::event(NAMES[name], Some(id), "event", &(self.numbers, waiter));
        let emission = Emission {
            frames: Frames::new(letter.unwrap(), None),
            ask: Some(Ask { id, waiter, timeout: timeout.map(Duration::from_millis) }),
            volatile: None,
            compress: true,
        };
        self.waiting.insert(waiter);
        self.manager.emit(self.now, self.keys[name], emission).unwrap();
    }

    fn retry(&mut self, name: usize) {
        self.retried += 1;
        self.waiters += 1;
        let (waiter, number) = (self.waiters, self.retried);
        let args = Args::new(&(number, waiter)).unwrap();
        self.waiting.insert(waiter);
        self.retrying.insert(waiter, (name, number));
        let key = self.keys[name];
        self.manager.emit_retrying(self.now, key, "again", args, Some(waiter)).unwrap();
    }

    fn advance(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        // Attachments that never come end a connection.
        if self.manager.expire(self.now).is_err() {
            self.cut(DisconnectReason::ParseError);
        }
        assert!(self.manager.deadline().is_none_or(|at| at > self.now), "it stands still");
        let now = self.now;
        if self.connection.as_mut().is_some_and(|connection| connection.mux.expire(now).is_err()) {
            self.cut(CUT);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.manager.poll() {
            self.output(output);
        }
    }

    fn name_of(&self, key: Key) -> usize {
        self.keys.iter().position(|known| *known == key).unwrap()
    }

    fn output(&mut self, output: Output<u32>) {
        match output {
            Output::Dial { .. } => {
                assert!(!self.dialing && self.connection.is_none());
                self.dialing = true;
            }
            Output::HangUp => {
                self.flush(usize::MAX);
                (0..1_000).for_each(|_| self.up());
                self.cut(DisconnectReason::ForcedClose);
            }
            Output::Authorize(attempt) => self.manager.authorize(self.now, attempt, None),
            Output::Connected { attempt, recovered, .. } => {
                let name = self.name_of(attempt.key());
                if !recovered {
                    self.seen[name] = None;
                }
                assert!(name == 0 || !recovered);
                self.recovered += usize::from(recovered);
            }
            Output::NotAnswered(_) if !self.keys.iter().any(|key| self.manager.is_joined(*key)) => {
                self.cut(DisconnectReason::ForcedClose);
            }
            Output::NotAnswered(_) => {}
            Output::Event { attempt, event } => self.event(attempt, &event),
            Output::Ack { waiter, answer } => {
                assert!(self.waiting.remove(&waiter), "{waiter} is told twice: {answer:?}");
                let is_acked = answer.is_ok();
                match answer {
                    Ok(args) => assert_eq!(args.get::<u32>(0).unwrap(), waiter),
                    Err(why) => assert_ne!(why, NoAck::Dropped),
                }
                if let Some((name, number)) = self.retrying.remove(&waiter)
                    && is_acked
                {
                    assert!(self.server.heard_again[name].contains(&number));
                }
            }
            Output::GaveUp => panic!("there is no bound"),
            _ => {}
        }
    }

    fn event(&mut self, attempt: Attempt, event: &Event) {
        let name = self.name_of(attempt.key());
        if let Some(id) = event.ack {
            self.answers.push_back((attempt, id));
            return;
        }
        let session: u64 = event.args.get(0).unwrap();
        let number: u64 = event.args.get(1).unwrap();
        let expected = self.seen[name].unwrap_or((session, 0));
        assert_eq!((session, number), expected, "{}", NAMES[name]);
        self.seen[name] = Some((session, number + 1));
    }

    // The connection

    fn dialed(&mut self, opens: bool) {
        if !std::mem::take(&mut self.dialing) {
            return;
        }
        if !opens {
            self.manager.closed(self.now, DisconnectReason::TransportError);
            return;
        }
        let limits = Arc::new(Limits::default());
        let until = self.now + limits.connect_timeout;
        self.connection = Some(Connection {
            mux: Mux::new(until, Revision::V4, limits),
            up: VecDeque::new(),
            down: VecDeque::new(),
            asking: VecDeque::new(),
            joined: [None; NAMES.len()],
            acks: VecDeque::new(),
            open: BTreeMap::new(),
        });
        self.manager.opened(self.now, Revision::V4, "S");
    }

    fn cut(&mut self, reason: DisconnectReason) {
        self.dialing = false;
        self.connection = None;
        self.manager.closed(self.now, reason);
    }

    fn flush(&mut self, count: usize) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        for _ in 0..count {
            // One frame: the bound is below any.
            let Some(body) = self.manager.outgoing().take_body(Revision::V4, false, Some(1)) else {
                return;
            };
            let (Data::Text(body) | Data::Binary(body)) = body;
            connection.up.push_back(match body[0] {
                b'b' => Data::Binary(STANDARD.decode(&body[1..]).unwrap().into()),
                _ => Data::Text(body.slice(1..)),
            });
        }
    }

    fn down(&mut self) {
        let message = self.connection.as_mut().and_then(|connection| connection.down.pop_front());
        if let Some(message) = message {
            self.manager.receive(self.now, message).unwrap();
            self.drain();
        }
    }

    // The server

    fn up(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let Some(message) = connection.up.pop_front() else {
            return;
        };
        connection.mux.receive(self.now, message).unwrap();
        self.arrivals();
    }

    fn arrivals(&mut self) {
        let Self { server, connection: Some(connection), settling, .. } = self else {
            return;
        };
        while let Some(arrived) = connection.mux.poll() {
            match arrived {
                Arrived::Connect { slot, auth } => connection.asking.push_back((slot, auth)),
                Arrived::Event { slot, event } => {
                    let name = connection.joined.iter().position(|at| *at == Some(slot)).unwrap();
                    let number: u64 = event.args.get(0).unwrap();
                    match event.name() {
                        "event" => server.heard[name].push(number),
                        _ => server.heard_again[name].push(number),
                    }
                    if let Some(id) = event.ack {
                        connection.acks.push_back((name, id, event.args.get(1).unwrap()));
                    }
                }
                Arrived::Ack { slot, id, args } => {
                    assert_eq!(connection.open.remove(&id), Some(slot));
                    assert_eq!(args.get::<u64>(0).unwrap(), id.get());
                }
                Arrived::Disconnect { slot } => {
                    // Another server closes the connection of who leaves where it is not.
                    let name = connection.joined.iter().position(|at| *at == Some(slot)).unwrap();
                    connection.joined[name] = None;
                    if name == 0 {
                        server.session = None;
                    }
                }
                Arrived::AuthTooLarge { .. } | Arrived::Crowded { .. } => panic!("{arrived:?}"),
            }
        }
        if *settling {
            while self.connection.as_ref().is_some_and(|at| !at.asking.is_empty()) {
                self.decide(true);
            }
            while self.connection.as_ref().is_some_and(|at| !at.acks.is_empty()) {
                self.server_ack(false);
            }
        }
    }

    fn decide(&mut self, accepts: bool) {
        let Self { server, connection: Some(connection), .. } = self else {
            return;
        };
        let Some((slot, auth)) = connection.asking.pop_front() else {
            return;
        };
        let namespace = connection.mux.namespace(slot).to_owned();
        let name = NAMES.iter().position(|known| *known == namespace).unwrap();
        if !accepts {
            connection.mux.refuse(slot);
            let letter = Letter::refused(&namespace, "{\"message\":\"no\"}");
            connection.down.extend(messages(letter));
            return;
        }
        assert!(connection.mux.accept(slot), "the client waits for the answer");
        connection.joined[name] = Some(slot);
        server.ids = server.ids.wrapping_add(1);
        let id = SocketId::from_random([server.ids; 15]);
        if name == 0 {
            let shown: serde_json::Value =
                serde_json::from_slice(auth.as_deref().unwrap_or(b"{}")).unwrap();
            let offset: Option<u64> = shown["offset"].as_str().and_then(|at| at.parse().ok());
            let before = server.session.take();
            let before = before.filter(|session| shown["pid"] == *session.pid.as_str());
            if let (Some(session), Some(offset)) = (before, offset) {
                assert!(offset < session.sent, "the client knows more than was sent");
                for number in offset + 1..session.sent {
                    connection.down.extend(event_of(&session, number));
                }
                server.session = Some(session);
            } else {
                server.sessions += 1;
                let pid = RecoveryId::from_random([server.ids; 15]);
                server.session = Some(Session { pid, number: server.sessions, sent: 0 });
            }
        }
        let pid = server.session.as_ref().filter(|_| name == 0).map(|session| session.pid);
        connection.down.extend(messages(Letter::connected(&namespace, id, pid)));
        self.arrivals();
    }

    /// To the socket of the first namespace also while its client is away.
    fn server_emit(&mut self, name: usize) {
        let joined = self.connection.as_ref().is_some_and(|at| at.joined[name].is_some());
        if name > 0 {
            return;
        }
        let Some(session) = &mut self.server.session else {
            return;
        };
        session.sent += 1;
        if joined && let Some(connection) = &mut self.connection {
            connection.down.extend(event_of(session, session.sent - 1));
        }
    }

    fn server_ask(&mut self, name: usize) {
        let Self { server, connection: Some(connection), .. } = self else {
            return;
        };
        let Some(slot) = connection.joined[name] else {
            return;
        };
        server.asked += 1;
        let id = AckId::new(server.asked).unwrap();
        connection.open.insert(id, slot);
        let letter = Letter::event(NAMES[name], Some(id), "ask", &(1, "no offset")).unwrap();
        connection.down.extend(messages(letter));
    }

    fn server_kick(&mut self, name: usize) {
        let Self { server, connection: Some(connection), now, .. } = self else {
            return;
        };
        if let Some(slot) = connection.joined[name].take() {
            connection.mux.leave(*now, slot);
            connection.down.extend(messages(Letter::disconnected(NAMES[name])));
            if name == 0 {
                server.session = None;
            }
        }
    }

    /// Some servers send it even if the socket has left since.
    fn server_ack(&mut self, twice: bool) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if let Some((name, id, waiter)) = connection.acks.pop_front() {
            for _ in 0..=usize::from(twice) {
                let letter = Answer::new(id, &waiter).unwrap().address(NAMES[name]);
                connection.down.extend(messages(letter));
            }
        }
    }

    // The end

    fn settle(&mut self) {
        self.settling = true;
        self.cut(CUT);
        self.drain();
        for round in 0..40 {
            for name in 0..NAMES.len() {
                self.step(Step::Connect(name));
            }
            self.step(Step::Dialed(true));
            for _ in 0..20 {
                self.step(Step::Flush(1_000));
                self.step(Step::Up(1_000));
                self.step(Step::Down(1_000));
            }
            // After that no time of any ack is left.
            self.step(Step::Advance(if round < 20 { 1_000 } else { 20_000 }));
        }
    }

    fn check(&mut self) {
        for heard in &self.server.heard {
            assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
        }
        for heard in &self.server.heard_again {
            assert!(heard.is_sorted(), "{heard:?}");
        }
        assert!(self.keys.iter().all(|key| self.manager.is_joined(*key)));
        assert_eq!(self.waiting, BTreeSet::new());
        assert_eq!((self.manager.waiting_bytes(), self.manager.deadline()), (0, None));
        // All that this session was sent has been seen.
        let session = self.server.session.as_ref().unwrap();
        let seen = self.seen[0].unwrap_or((session.number, 0));
        assert_eq!(seen, (session.number, session.sent));
    }
}

fn event_of(session: &Session, number: u64) -> Vec<Data> {
    let offset = number.to_string();
    messages(Letter::event("/", None, "event", &(session.number, number, offset)).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 200,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_sides_agree_in_the_end(steps in vec(step(), 0..400)) {
        let mut world = World::new();
        for name in 0..NAMES.len() {
            world.step(Step::Connect(name));
        }
        for step in steps {
            world.step(step);
        }
        world.settle();
        world.check();
    }
}

/// The generated sequences shall come far enough that the checks mean something.
#[test]
fn generated_sequences_reach_what_they_are_about() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut heard, mut again, mut recovered) = (0, 0, 0);
    for _ in 0..100 {
        let steps = vec(step(), 400).new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        world.step(Step::Connect(0));
        world.step(Step::Connect(1));
        steps.into_iter().for_each(|step| world.step(step));
        heard += world.server.heard.iter().map(Vec::len).sum::<usize>();
        again += world.server.heard_again.iter().map(Vec::len).sum::<usize>();
        recovered += world.recovered;
    }
    assert!(heard > 200 && again > 20 && recovered > 5, "{heard} {again} {recovered}");
}
