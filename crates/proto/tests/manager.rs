//! Dialogues of a client with a server of which only the messages are there, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::{Data, Revision};
use roomful_proto::socket::Reconnection;
use roomful_proto::socket::manager::{
    Ask, Attempt, Emission, Frames, Key, Manager, ManagerSettings, NotSent, Output, Overflow,
    Writable,
};
use roomful_proto::{
    AckId, Answer, Args, DisconnectReason, Letter, Moment, MsgPack, Parser, ToArgs, Violation,
};

const CUT: DisconnectReason = DisconnectReason::TransportClose;

/// A client, and what it has said.
struct Client {
    now: Moment,
    manager: Manager<u32>,
    parser: Option<Arc<dyn Parser>>,
    names: BTreeMap<Key, String>,
    attempts: Vec<Attempt>,
    /// The id of the next event that asks for an ack.
    next: u64,
}

impl Client {
    fn with(change: impl FnOnce(&mut ManagerSettings)) -> Self {
        Self::speaking(None, change)
    }

    fn speaking(
        parser: Option<Arc<dyn Parser>>,
        change: impl FnOnce(&mut ManagerSettings),
    ) -> Self {
        let mut settings = ManagerSettings::default();
        settings.reconnection = Reconnection::every(Duration::from_secs(1));
        change(&mut settings);
        Self {
            now: Moment::from_millis(1_000),
            manager: Manager::new(Arc::new(settings), parser.clone(), 1),
            parser,
            names: BTreeMap::new(),
            attempts: Vec::new(),
            next: 0,
        }
    }

    fn new() -> Self {
        Self::with(|_| ())
    }

    /// With a socket in `/` that is connected.
    fn joined() -> (Self, Key) {
        Self::joined_with(|_| ())
    }

    fn joined_with(change: impl FnOnce(&mut ManagerSettings)) -> (Self, Key) {
        let mut client = Self::with(change);
        let key = client.connect("/");
        client.open();
        client.hears("0{\"sid\":\"A\",\"pid\":\"P\"}");
        client.said();
        client.sent();
        (client, key)
    }

    /// Another one.
    fn joins(&mut self, namespace: &str) -> Key {
        let key = self.connect(namespace);
        self.said();
        self.hears(&format!("0{namespace},{{\"sid\":\"A\"}}"));
        self.said();
        self.sent();
        key
    }

    fn socket(&mut self, namespace: &str) -> Key {
        let key = self.manager.socket(namespace);
        self.names.insert(key, namespace.into());
        key
    }

    fn connect(&mut self, namespace: &str) -> Key {
        let key = self.socket(namespace);
        self.manager.connect(self.now, key);
        key
    }

    /// The connection opens, and who is asked for an auth payload has none.
    fn open(&mut self) {
        self.manager.opened(self.now, Revision::V4, "S");
        self.said();
    }

    fn open_v3(&mut self) {
        self.manager.opened(self.now, Revision::V3, "S");
        self.said();
    }

    /// The connection is cut, and the next one opens.
    fn reopen(&mut self) {
        self.manager.closed(self.now, CUT);
        self.wait(1_000);
        self.open();
        self.sent();
    }

    fn hears(&mut self, text: &str) {
        self.try_hear(text).unwrap();
    }

    fn try_hear(&mut self, text: &str) -> Result<(), Violation> {
        self.manager.receive(self.now, Data::Text(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// Time passes.
    fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        self.manager.expire(self.now).unwrap();
    }

    /// What it has said since. Payloads that it asks for are empty.
    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.manager.poll() {
            said.push(self.tell(output));
        }
        said
    }

    fn tell(&mut self, output: Output<u32>) -> String {
        let name = |key: Key| self.names[&key].clone();
        let json = |why: Option<Bytes>| String::from_utf8(why.unwrap_or_default().to_vec());
        match output {
            Output::Dial { attempt } => format!("dial {attempt}"),
            Output::HangUp => "hang up".into(),
            Output::Opened { attempt } => format!("opened {attempt}"),
            Output::Waiting { attempt, until } => {
                format!("waits {attempt} {}", until.since(self.now).as_millis())
            }
            Output::GaveUp => "gave up".into(),
            Output::Authorize(attempt) => {
                let said = format!("authorize {}", name(attempt.key()));
                self.manager.authorize(self.now, attempt, None);
                said
            }
            Output::Connected { attempt, id, recovered } => {
                self.attempts.push(attempt);
                let again = if recovered { " again" } else { "" };
                format!("connected {} {}{again}", name(attempt.key()), id.unwrap_or_default())
            }
            Output::Refused { key, why } => {
                format!("refused {} {}", name(key), json(why).unwrap())
            }
            Output::NotAnswered(key) => format!("not answered {}", name(key)),
            Output::Event { attempt, event } => {
                let args = String::from_utf8_lossy(event.args.as_json()).into_owned();
                let bytes = event.args.attachments().len();
                let bytes = if bytes == 0 { String::new() } else { format!(" +{bytes}") };
                format!("event {} {} {args}{bytes}", name(attempt.key()), event.name())
            }
            Output::Ack { waiter, answer } => match answer {
                Ok(args) => {
                    format!("ack {waiter} {}", String::from_utf8_lossy(args.as_json()))
                }
                Err(why) => format!("ack {waiter} {why:?}"),
            },
            Output::Disconnected { key, reason } => format!("disconnected {} {reason}", name(key)),
        }
    }

    /// What was sent since, each message.
    fn sent(&mut self) -> Vec<String> {
        let Some(body) = self.manager.outgoing().take_body(Revision::V4, false, None) else {
            return Vec::new();
        };
        let Data::Text(body) = body else {
            panic!("it is text");
        };
        let body = String::from_utf8(body.to_vec()).unwrap();
        let message = |text: &str| text.strip_prefix('4').unwrap_or(text).to_owned();
        body.split('\x1e').map(message).collect()
    }

    fn frames(&self, letter: Letter) -> Frames {
        Frames::new(letter, self.parser.as_deref())
    }

    fn emission<T: ToArgs + ?Sized>(&self, key: Key, name: &str, args: &T) -> Emission<u32> {
        let letter = Letter::event(&self.names[&key], None, name, args).unwrap();
        Emission { frames: self.frames(letter), ask: None, volatile: None, compress: true }
    }

    fn emit(&mut self, key: Key, name: &str) -> Result<(), NotSent> {
        let emission = self.emission(key, name, &());
        self.manager.emit(self.now, key, emission)
    }

    fn emit_volatile(&mut self, key: Key, name: &str, writable: bool) -> Result<(), NotSent> {
        let mut emission = self.emission(key, name, &());
        emission.volatile = Some(Writable(writable));
        self.manager.emit(self.now, key, emission)
    }

    /// With an ack, for which waits who has that number.
    fn ask(&mut self, key: Key, waiter: u32, timeout_ms: Option<u64>) -> Result<u64, NotSent> {
        let number = self.next;
        self.next += 2;
        let id = AckId::new(number).unwrap();
        let letter = Letter::event(&self.names[&key], Some(id), "ask", &waiter).unwrap();
        let timeout = timeout_ms.map(Duration::from_millis);
        let emission = Emission {
            frames: self.frames(letter),
            ask: Some(Ask { id, waiter, timeout }),
            volatile: None,
            compress: true,
        };
        self.manager.emit(self.now, key, emission).map(|()| number)
    }

    fn retry(&mut self, key: Key, waiter: u32) {
        let args = Args::new(&waiter).unwrap();
        self.manager.emit_retrying(self.now, key, "retry", args, Some(waiter)).unwrap();
    }

    fn deadline(&mut self) -> Option<u64> {
        self.manager.deadline().map(|at| at.since(self.now).as_millis() as u64)
    }
}

fn none() -> Vec<String> {
    Vec::new()
}

// Connecting

#[test]
fn a_socket_is_connected_and_leaves() {
    let mut client = Client::new();
    let key = client.connect("/");
    assert_eq!(client.said(), ["dial 0"]);
    assert!(client.manager.is_active(key) && !client.manager.is_joined(key));
    client.manager.opened(client.now, Revision::V4, "S");
    assert_eq!(client.said(), ["opened 0", "authorize /"]);
    assert_eq!(client.sent(), ["0"]);
    client.hears("0{\"sid\":\"A\"}");
    assert_eq!(client.said(), ["connected / A"]);
    assert!(client.manager.is_joined(key));
    client.hears("2[\"hello\",1,{\"a\":2}]");
    assert_eq!(client.said(), ["event / hello 1,{\"a\":2}"]);
    client.emit(key, "bye").unwrap();
    client.manager.disconnect(key);
    assert_eq!(client.said(), ["disconnected / io client disconnect", "hang up"]);
    assert_eq!(client.sent(), ["2[\"bye\"]", "1"]);
    client.manager.closed(client.now, DisconnectReason::ForcedClose);
    assert_eq!((client.said(), client.deadline()), (none(), None));
    client.manager.connect(client.now, key);
    assert_eq!(client.said(), ["dial 0"]);
}

#[test]
fn the_auth_payload_goes_with_connect_and_is_that_of_this_attempt() {
    let mut client = Client::new();
    let key = client.connect("/a");
    client.manager.opened(client.now, Revision::V4, "S");
    let attempt = |client: &mut Client| {
        while let Some(output) = client.manager.poll() {
            if let Output::Authorize(attempt) = output {
                return attempt;
            }
        }
        panic!("nobody asks for the payload");
    };
    let first = attempt(&mut client);
    client.manager.disconnect(key);
    client.manager.closed(client.now, CUT);
    client.connect("/a");
    client.manager.opened(client.now, Revision::V4, "S");
    let second = attempt(&mut client);
    client.manager.authorize(client.now, first, Some(b"{\"old\":1}"));
    assert_eq!(client.sent(), none());
    client.manager.authorize(client.now, second, Some(b" {\"token\":\"x\"} "));
    client.manager.authorize(client.now, second, Some(b"{\"twice\":1}"));
    assert_eq!(client.sent(), ["0/a,{\"token\":\"x\"}"]);
}

#[test]
fn a_refused_socket_does_not_come_back_by_itself() {
    let (mut client, main) = Client::joined();
    let key = client.connect("/a");
    client.said();
    client.hears("4/a,{\"message\":\"no\"}");
    assert_eq!(client.said(), ["refused /a {\"message\":\"no\"}"]);
    assert!(!client.manager.is_active(key) && client.manager.is_joined(main));
    client.manager.closed(client.now, CUT);
    assert_eq!(client.said(), ["disconnected / transport close", "waits 1 1000"]);
    client.wait(1_000);
    client.manager.opened(client.now, Revision::V4, "S");
    assert_eq!(client.said(), ["dial 1", "opened 1", "authorize /"]);
}

#[test]
fn the_connection_ends_with_the_last_socket() {
    let (mut client, main) = Client::joined();
    let key = client.joins("/a");
    client.hears("1");
    assert_eq!(client.said(), ["disconnected / io server disconnect"]);
    assert!(!client.manager.is_active(main));
    client.manager.disconnect(key);
    assert_eq!(client.said(), ["disconnected /a io client disconnect", "hang up"]);
    // Somebody wants it while it closes.
    client.manager.connect(client.now, main);
    assert_eq!(client.said(), none());
    client.manager.closed(client.now, DisconnectReason::ForcedClose);
    assert_eq!(client.said(), ["dial 0"]);
}

#[test]
fn an_attempt_that_nobody_wants_any_more_is_hung_up() {
    let mut client = Client::new();
    let key = client.connect("/");
    client.manager.disconnect(key);
    assert_eq!(client.said(), ["dial 0", "hang up"]);
    // It was opened before that was heard.
    client.manager.opened(client.now, Revision::V4, "S");
    client.manager.closed(client.now, CUT);
    assert_eq!((client.said(), client.deadline()), (none(), None));
}

/// The one that was to be hung up had ended by itself: it hung up the next one.
#[test]
fn who_leaves_and_comes_back_while_the_connection_ends_hangs_up_nothing() {
    let (mut client, key) = Client::joined();
    client.manager.disconnect(key);
    client.manager.connect(client.now, key);
    client.manager.closed(client.now, CUT);
    assert_eq!(client.said(), ["disconnected / io client disconnect", "dial 0"]);
}

#[test]
fn when_nobody_runs_the_connection_any_more_all_are_told_and_it_can_begin_anew() {
    let (mut client, main) = Client::joined();
    let (left, joining, never) =
        (client.joins("/left"), client.connect("/joining"), client.socket("/never"));
    client.manager.disconnect(left);
    client.said();
    client.sent();
    client.ask(main, 1, None).unwrap();
    client.ask(joining, 2, Some(100)).unwrap();
    client.ask(never, 3, None).unwrap();
    client.retry(main, 4);
    client.retry(never, 5);
    client.emit(main, "x").unwrap();
    client.hears("51-[\"x\",{\"_placeholder\":true,\"num\":0}]");
    client.manager.end();
    assert_eq!(
        client.said(),
        [
            "disconnected / forced close",
            "ack 1 Disconnected",
            "ack 4 Disconnected",
            "ack 2 Disconnected",
            "ack 3 Disconnected",
            "ack 5 Disconnected",
        ]
    );
    assert_eq!((client.manager.waiting_bytes(), client.deadline()), (0, None));
    for key in [main, left, joining, never] {
        assert!(!client.manager.is_active(key) && !client.manager.is_joined(key));
    }
    // What is asked of it now waits for the next one, of which nothing of before is left.
    client.emit(left, "y").unwrap();
    client.connect("/left");
    assert_eq!(client.said(), ["dial 0"]);
    client.open();
    client.hears("2/left,[\"missed\"]");
    client.hears("0/left,{\"sid\":\"B\"}");
    assert_eq!(client.said(), ["connected /left B", "event /left missed "]);
    assert_eq!(client.sent(), ["0/left,", "2/left,[\"y\"]"]);
}

#[test]
fn namespaces_share_the_connection_and_keep_apart() {
    let (mut client, main) = Client::joined();
    let key = client.joins("/a");
    client.hears("2/a,[\"x\"]");
    client.hears("2[\"y\"]");
    assert_eq!(client.said(), ["event /a x ", "event / y "]);
    client.emit(main, "m").unwrap();
    client.emit(key, "n").unwrap();
    assert_eq!(client.sent(), ["2[\"m\"]", "2/a,[\"n\"]"]);
    client.hears("1/a,");
    assert_eq!(client.said(), ["disconnected /a io server disconnect"]);
    client.manager.connect(client.now, key);
    assert_eq!(client.said(), ["authorize /a"]);
    client.hears("0/a,{\"sid\":\"B\"}");
    assert_eq!(client.said(), ["connected /a B"]);
    assert_eq!(client.manager.socket("/a"), key);
}

#[test]
fn attachments_are_joined_to_their_packet() {
    let (mut client, _) = Client::joined();
    client.hears("51-[\"x\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!((client.said(), client.deadline()), (none(), Some(30_000)));
    client.manager.receive(client.now, Data::Binary(Bytes::from_static(&[1, 2]))).unwrap();
    assert_eq!(client.said(), ["event / x {\"_placeholder\":true,\"num\":0} +1"]);
    let stray = client.manager.receive(client.now, Data::Binary(Bytes::new()));
    assert_eq!(stray, Err(Violation::StrayAttachment));
    client.hears("51-[\"x\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(client.try_hear("2[\"y\"]"), Err(Violation::MissingAttachment));
    client.hears("51-[\"x\",{\"_placeholder\":true,\"num\":0}]");
    client.now = client.now + Duration::from_secs(30);
    assert_eq!(client.manager.expire(client.now), Err(Violation::AttachmentTimeout));
    // The rest of it does not come on the next connection.
    client.hears("51-[\"x\",{\"_placeholder\":true,\"num\":0}]");
    client.reopen();
    client.hears("0{\"sid\":\"B\"}");
    assert_eq!(client.said(), ["connected / B"]);
}

#[test]
fn a_server_that_tells_no_id_is_not_understood() {
    let mut client = Client::new();
    client.connect("/");
    client.open();
    assert_eq!(client.try_hear("0"), Err(Violation::NoSocketId));
}

// Waiting for the answer to CONNECT

#[test]
fn an_answer_to_connect_has_a_bound() {
    for more in [0, 20_000] {
        let mut client = Client::new();
        client.connect("/");
        client.open();
        let answer = format!("0{{\"sid\":\"A\",\"more\":\"{}\"}}", "x".repeat(more));
        let expected = if more == 0 { Ok(()) } else { Err(Violation::Payload) };
        assert_eq!(client.try_hear(&answer), expected);
    }
}

#[test]
fn a_namespace_that_does_not_answer_is_told_once() {
    let mut client = Client::new();
    let key = client.connect("/");
    client.open();
    client.wait(19_999);
    assert_eq!((client.said(), client.deadline()), (none(), Some(1)));
    client.wait(1);
    assert_eq!(client.said(), ["not answered /"]);
    // It goes on waiting, and nothing has to be done about it any more.
    assert_eq!(client.deadline(), None);
    client.wait(1_000_000);
    assert_eq!((client.said(), client.manager.is_active(key)), (none(), true));
    client.hears("0{\"sid\":\"A\"}");
    assert_eq!(client.said(), ["connected / A"]);
}

#[test]
fn a_payload_that_does_not_come_is_told_too() {
    let mut client = Client::new();
    client.connect("/");
    client.manager.opened(client.now, Revision::V4, "S");
    client.now = client.now + Duration::from_secs(20);
    client.manager.expire(client.now).unwrap();
    assert_eq!(client.said(), ["dial 0", "opened 0", "authorize /", "not answered /"]);
    // It has come in the end: the server has its whole time.
    assert_eq!((client.sent().len(), client.deadline()), (1, Some(20_000)));
}

#[test]
fn who_leaves_before_the_answer_tells_the_server_behind_it() {
    let (mut client, _) = Client::joined();
    let key = client.connect("/a");
    client.said();
    client.sent();
    client.manager.disconnect(key);
    // A server closes the connection of who leaves where it is not.
    assert_eq!((client.said(), client.sent()), (none(), none()));
    client.hears("2/a,[\"x\"]");
    client.hears("0/a,{\"sid\":\"A\"}");
    assert_eq!((client.said(), client.sent()), (none(), vec!["1/a,".into()]));
    assert!(!client.manager.is_active(key) && client.deadline().is_none());
}

#[test]
fn who_leaves_and_comes_back_is_not_taken_for_who_has_left() {
    let (mut client, _) = Client::joined();
    let key = client.connect("/a");
    client.said();
    client.sent();
    client.manager.disconnect(key);
    client.manager.connect(client.now, key);
    client.manager.connect(client.now, key);
    assert_eq!((client.said(), client.sent()), (none(), none()));
    assert!(client.manager.is_active(key) && client.deadline() == Some(20_000));
    // Of the first CONNECT.
    client.hears("0/a,{\"sid\":\"A\"}");
    assert_eq!(client.said(), ["authorize /a"]);
    assert_eq!(client.sent(), ["1/a,", "0/a,"]);
    client.hears("2/a,[\"to the first\"]");
    client.hears("1/a,");
    client.hears("0/a,{\"sid\":\"B\"}");
    assert_eq!(client.said(), ["connected /a B"]);
    // Or it was refused, the first time.
    client.manager.disconnect(key);
    client.manager.connect(client.now, key);
    client.said();
    client.sent();
    client.manager.disconnect(key);
    client.manager.connect(client.now, key);
    client.hears("4/a,{\"message\":\"no\"}");
    assert_eq!((client.said(), client.sent()), (vec!["authorize /a".into()], vec!["0/a,".into()]));
    client.hears("0/a,{\"sid\":\"C\"}");
    assert_eq!(client.said(), ["connected /a C"]);
}

#[test]
fn who_waits_for_the_one_before_to_leave_is_told_that_it_takes_long() {
    let (mut client, _) = Client::joined();
    let key = client.connect("/a");
    client.said();
    client.manager.disconnect(key);
    client.manager.connect(client.now, key);
    client.wait(20_000);
    assert_eq!(client.said(), ["not answered /a"]);
    assert_eq!(client.deadline(), None);
    client.reopen();
    client.hears("0/a,{\"sid\":\"C\"}");
    assert_eq!(client.said(), ["connected /a C"]);
}

#[test]
fn a_late_disconnect_of_the_server_does_not_meet_who_has_come_again() {
    let (mut client, _) = Client::joined();
    let key = client.joins("/a");
    client.manager.disconnect(key);
    client.manager.connect(client.now, key);
    client.said();
    client.hears("2/a,[\"late\"]");
    client.hears("1/a,");
    assert_eq!((client.said(), client.manager.is_active(key)), (none(), true));
    client.hears("0/a,{\"sid\":\"B\"}");
    assert_eq!(client.said(), ["connected /a B"]);
}

#[test]
fn a_disconnect_in_place_of_an_answer_is_a_refusal() {
    let (mut client, _) = Client::joined();
    client.connect("/a");
    client.said();
    client.hears("1/a,");
    assert_eq!(client.said(), ["refused /a "]);
}

#[test]
fn events_before_the_answer_are_bounded_for_all_sockets_together() {
    let mut client = Client::with(|settings| {
        Arc::make_mut(&mut settings.limits).held_events_max = 3;
    });
    client.connect("/");
    client.connect("/a");
    client.open();
    for event in ["2[\"x\"]", "2[\"x\"]", "2/a,[\"x\"]"] {
        client.hears(event);
    }
    assert_eq!(client.try_hear("2/a,[\"x\"]"), Err(Violation::HeldEvents));

    let mut client = Client::with(|settings| {
        Arc::make_mut(&mut settings.limits).held_bytes_max = 1_500;
    });
    client.connect("/");
    client.connect("/a");
    client.open();
    client.hears(&format!("2[\"x\",\"{}\"]", "x".repeat(1_000)));
    let other = format!("2/a,[\"x\",\"{}\"]", "x".repeat(1_000));
    assert_eq!(client.try_hear(&other), Err(Violation::HeldEvents));
}

// Sockets that are removed

#[test]
fn what_is_said_of_a_removed_socket_is_not_taken_for_the_next_one() {
    let (mut client, _) = Client::joined();
    let key = client.joins("/a");
    client.hears("2/a,[\"x\"]");
    client.ask(key, 7, None).unwrap();
    client.manager.remove(key);
    assert_eq!(client.socket("/b"), key);
    assert_eq!(client.said(), ["ack 7 Disconnected"]);
    assert_eq!(client.sent(), ["2/a,0[\"ask\",7]", "1/a,"]);
}

#[test]
fn events_of_a_removed_socket_are_not_sent_by_the_next_one() {
    let (mut client, _) = Client::joined();
    let key = client.joins("/a");
    client.emit(key, "x").unwrap();
    client.manager.remove(key);
    assert_eq!(client.connect("/b"), key);
    client.reopen();
    client.hears("0/b,{\"sid\":\"B\"}");
    assert_eq!(client.sent(), none());
    assert_eq!(client.manager.waiting_bytes(), 0);
}

#[test]
fn a_socket_that_was_removed_before_the_answer_still_leaves() {
    let (mut client, _) = Client::joined();
    let key = client.connect("/a");
    client.said();
    client.sent();
    client.manager.remove(key);
    client.emit(key, "x").unwrap_err();
    client.manager.connect(client.now, key);
    // Its name is not free yet.
    let again = client.connect("/a");
    let other = client.socket("/b");
    assert!(again == key && other != key);
    assert_eq!(client.sent(), none());
    client.hears("0/a,{\"sid\":\"A\"}");
    assert_eq!((client.said(), client.sent().len()), (vec!["authorize /a".into()], 2));
    client.hears("0/a,{\"sid\":\"B\"}");
    assert_eq!(client.said(), ["connected /a B"]);
    // Without another one, its key is free again.
    let key = client.connect("/c");
    client.said();
    client.sent();
    client.manager.remove(key);
    client.hears("0/c,{\"sid\":\"A\"}");
    assert_eq!((client.said(), client.sent()), (none(), vec!["1/c,".into()]));
    assert_eq!(client.socket("/d"), key);
}

#[test]
fn what_still_comes_for_a_removed_socket_is_no_fault_of_the_server() {
    let (mut client, main) = Client::joined_with(|settings| settings.strays_max = 10);
    let key = client.joins("/a");
    client.manager.remove(key);
    for _ in 0..100 {
        client.hears("2/a,[\"x\"]");
    }
    assert_eq!(client.said(), none());
    assert!(client.manager.is_joined(main));
    for _ in 0..10 {
        client.hears("2/b,[\"x\"]");
    }
    assert_eq!(client.try_hear("2/b,[\"x\"]"), Err(Violation::Strays));
}

// Buffering

#[test]
fn what_is_emitted_before_the_connection_waits_and_keeps_its_order() {
    let mut client = Client::new();
    let key = client.socket("/");
    client.emit(key, "a").unwrap();
    client.manager.connect(client.now, key);
    client.emit(key, "b").unwrap();
    client.retry(key, 1);
    client.open();
    client.emit(key, "c").unwrap();
    assert_eq!(client.sent(), ["0"]);
    client.hears("0{\"sid\":\"A\"}");
    client.emit(key, "d").unwrap();
    let sent = ["2[\"a\"]", "2[\"b\"]", "2[\"c\"]", "21[\"retry\",1]", "2[\"d\"]"];
    assert_eq!(client.sent(), sent);
    client.hears("31[]");
    assert_eq!(client.manager.waiting_bytes(), 0);
}

#[test]
fn what_the_connection_has_not_sent_is_sent_on_the_next_one() {
    let (mut client, key) = Client::joined();
    client.emit(key, "gone").unwrap();
    client.ask(key, 1, None).unwrap();
    assert_eq!(client.sent().len(), 2);
    client.emit(key, "a").unwrap();
    client.ask(key, 2, None).unwrap();
    client.emit_volatile(key, "v", true).unwrap_err();
    client.manager.closed(client.now, CUT);
    // Only of what was sent nobody knows.
    assert_eq!(
        client.said(),
        ["disconnected / transport close", "ack 1 Disconnected", "waits 1 1000"]
    );
    client.emit(key, "b").unwrap();
    client.wait(1_000);
    client.open();
    client.sent();
    client.hears("0{\"sid\":\"A\"}");
    assert_eq!(client.sent(), ["2[\"a\"]", "22[\"ask\",2]", "2[\"b\"]"]);
    client.hears("32[5]");
    assert_eq!(client.said(), ["connected / A", "ack 2 5"]);
}

#[test]
fn a_full_buffer_refuses() {
    let mut client = Client::with(|settings| settings.waiting_bytes_max = 150);
    let key = client.socket("/");
    client.emit(key, "a").unwrap();
    client.emit(key, "b").unwrap();
    let before = client.manager.waiting_bytes();
    assert_eq!(client.emit(key, &"c".repeat(100)), Err(NotSent::Full));
    assert_eq!(client.ask(key, 1, None), Err(NotSent::Full));
    let args = Args::new(&"x".repeat(100)).unwrap();
    let full = client.manager.emit_retrying(client.now, key, "r", args, None);
    assert_eq!((full, client.manager.waiting_bytes()), (Err(NotSent::Full), before));
    client.manager.connect(client.now, key);
    client.open();
    client.hears("0{\"sid\":\"A\"}");
    assert_eq!(client.sent(), ["0", "2[\"a\"]", "2[\"b\"]"]);
    // So does a connection that takes nothing.
    while client.emit(key, "x").is_ok() {}
    assert!((150..170).contains(&client.manager.waiting_bytes()));
}

#[test]
fn a_full_buffer_drops_its_oldest() {
    let mut client = Client::with(|settings| {
        settings.waiting_bytes_max = 250;
        settings.overflow = Overflow::DropOldest;
    });
    let key = client.connect("/");
    client.said();
    for waiter in 0..10 {
        client.ask(key, waiter, None).unwrap();
        assert!(client.manager.waiting_bytes() <= 250);
    }
    let dropped = client.said();
    assert_eq!(dropped[0], "ack 0 Dropped");
    client.open();
    client.hears("0{\"sid\":\"A\"}");
    assert_eq!(client.sent().len(), 1 + 10 - dropped.len());
}

#[test]
fn nothing_is_dropped_for_what_does_not_fit_in_any_case() {
    let mut client = Client::with(|settings| {
        settings.waiting_bytes_max = 250;
        settings.overflow = Overflow::DropOldest;
    });
    let key = client.connect("/");
    client.emit(key, "a").unwrap();
    assert_eq!(client.emit(key, &"b".repeat(300)), Err(NotSent::Full));
    client.open();
    client.hears("0{\"sid\":\"A\"}");
    assert_eq!(client.sent(), ["0", "2[\"a\"]"]);
}

#[test]
fn volatile_events_do_not_wait() {
    let (mut client, key) = Client::joined();
    assert_eq!(client.emit_volatile(key, "a", false), Err(NotSent::Dropped));
    client.emit_volatile(key, "b", true).unwrap();
    // Something waits now.
    assert_eq!(client.emit_volatile(key, "c", true), Err(NotSent::Dropped));
    client.manager.closed(client.now, CUT);
    assert_eq!(client.emit_volatile(key, "d", true), Err(NotSent::Dropped));
    assert_eq!(client.manager.waiting_bytes(), 0);
}

// Acks

#[test]
fn acks_find_who_waits_for_them() {
    let (mut client, key) = Client::joined();
    client.ask(key, 10, None).unwrap();
    client.ask(key, 11, Some(500)).unwrap();
    client.hears("32[\"b\"]");
    client.hears("30[1,2]");
    assert_eq!(client.said(), ["ack 11 \"b\"", "ack 10 1,2"]);
    // Each once.
    client.hears("30[1,2]");
    client.wait(1_000);
    assert_eq!((client.said(), client.deadline()), (none(), None));
}

#[test]
fn an_ack_that_does_not_come_in_time_comes_too_late() {
    let (mut client, key) = Client::joined();
    let id = client.ask(key, 1, Some(500)).unwrap();
    assert_eq!(client.deadline(), Some(500));
    client.wait(499);
    assert_eq!(client.said(), none());
    client.wait(1);
    client.hears(&format!("3{id}[]"));
    assert_eq!((client.said(), client.deadline()), (vec!["ack 1 Timeout".into()], None));
}

#[test]
fn an_event_whose_time_is_over_before_it_was_sent_is_not_sent() {
    let mut client = Client::new();
    let key = client.connect("/");
    client.said();
    client.ask(key, 1, Some(500)).unwrap();
    client.emit(key, "a").unwrap();
    client.ask(key, 2, Some(500)).unwrap();
    client.ask(key, 3, Some(600)).unwrap();
    client.wait(500);
    assert_eq!(client.said(), ["ack 1 Timeout", "ack 2 Timeout"]);
    client.open();
    client.hears("0{\"sid\":\"A\"}");
    assert_eq!(client.sent(), ["0", "2[\"a\"]", "24[\"ask\",3]"]);
    assert_eq!(client.manager.waiting_bytes(), 0);
}

/// Each was looked for among all that wait: that took minutes.
#[test]
fn as_many_acks_as_there_may_be_can_be_late_at_once() {
    let (mut client, key) = Client::joined();
    for waiter in 0..100_000 {
        client.ask(key, waiter, Some(500)).unwrap();
    }
    client.emit(key, "x").unwrap();
    client.wait(500);
    assert_eq!(client.said().len(), 100_000);
    // None of them is sent on the next connection.
    client.reopen();
    client.hears("0{\"sid\":\"B\"}");
    assert_eq!(client.sent(), ["2[\"x\"]"]);
}

#[test]
fn invented_acks_end_the_connection_in_the_end_and_late_ones_do_not() {
    let (mut client, key) = Client::joined_with(|settings| settings.strays_max = 3);
    client.ask(key, 1, Some(1)).unwrap();
    client.wait(1);
    for _ in 0..100 {
        client.hears("30[]");
    }
    for _ in 0..3 {
        client.hears("34[]");
    }
    assert_eq!(client.try_hear("34[]"), Err(Violation::Strays));
}

#[test]
fn the_ack_of_an_event_that_was_not_sent_is_invented() {
    let (mut client, key) = Client::joined_with(|settings| settings.strays_max = 1);
    client.ask(key, 1, None).unwrap();
    client.reopen();
    client.said();
    client.hears("30[]");
    assert_eq!(client.said(), none());
    assert_eq!(client.try_hear("30[]"), Err(Violation::Strays));
    client.hears("0{\"sid\":\"A\"}");
    client.hears("30[1]");
    assert_eq!(client.said(), ["connected / A", "ack 1 1"]);
}

#[test]
fn acks_are_bounded() {
    let (mut client, key) = Client::joined_with(|settings| settings.acks_max = 2);
    client.ask(key, 1, None).unwrap();
    client.ask(key, 2, None).unwrap();
    assert_eq!(client.ask(key, 3, None), Err(NotSent::TooManyAcks));
    client.hears("30[]");
    client.ask(key, 4, None).unwrap();
}

#[test]
fn who_waits_for_an_ack_is_told_when_the_socket_leaves_or_goes() {
    let (mut client, key) = Client::joined();
    client.ask(key, 1, Some(9_000)).unwrap();
    client.hears("1");
    assert_eq!(
        client.said(),
        ["disconnected / io server disconnect", "ack 1 Disconnected", "hang up"]
    );
    client.ask(key, 2, Some(9_000)).unwrap();
    client.retry(key, 3);
    client.manager.remove(key);
    assert_eq!(client.said(), ["ack 2 Disconnected", "ack 3 Disconnected"]);
    assert_eq!((client.deadline(), client.manager.is_active(key)), (None, false));
}

#[test]
fn events_of_the_server_are_acked_while_it_waits_for_that() {
    let (mut client, key) = Client::joined();
    client.hears("27[\"x\"]");
    client.said();
    let first = client.attempts[0];
    let answer = || Answer::new(AckId::new(7).unwrap(), &"yes").unwrap();
    client.manager.answer(first, answer());
    assert_eq!(client.sent(), ["37[\"yes\"]"]);
    client.reopen();
    client.manager.answer(first, answer());
    client.hears("0{\"sid\":\"A\"}");
    client.manager.answer(first, answer());
    assert_eq!(client.sent(), none());
    assert!(client.manager.is_joined(key));
}

// Events that are sent again

#[test]
fn one_event_is_under_way_at_a_time_until_its_ack_comes() {
    let (mut client, key) = Client::joined();
    for waiter in [1, 2, 3] {
        client.retry(key, waiter);
    }
    assert_eq!(client.sent(), ["21[\"retry\",1]"]);
    client.hears("31[\"ok\"]");
    assert_eq!(client.sent(), ["23[\"retry\",2]"]);
    // Late or doubled.
    client.hears("31[\"ok\"]");
    assert_eq!(client.sent(), none());
    client.hears("33[]");
    client.hears("35[]");
    assert_eq!(client.said(), ["ack 1 \"ok\"", "ack 2 ", "ack 3 "]);
    client.sent();
    assert_eq!((client.manager.waiting_bytes(), client.deadline()), (0, None));
}

#[test]
fn an_event_is_sent_again_until_it_is_given_up() {
    let (mut client, key) = Client::joined_with(|settings| settings.retries = 2);
    client.retry(key, 1);
    client.retry(key, 2);
    for id in [1, 3, 5] {
        assert_eq!(client.sent(), [format!("2{id}[\"retry\",1]")]);
        assert_eq!(client.said(), none());
        client.wait(10_000);
    }
    assert_eq!(client.said(), ["ack 1 Timeout"]);
    // The ack of the first is late, and not that of the second.
    client.hears("35[]");
    assert_eq!((client.said(), client.sent()), (none(), vec!["27[\"retry\",2]".into()]));
    client.hears("37[]");
    assert_eq!((client.said(), client.deadline()), (vec!["ack 2 ".into()], None));
}

#[test]
fn an_event_is_sent_again_on_the_next_connection_and_in_order() {
    let (mut client, key) = Client::joined_with(|settings| settings.retries = 1);
    client.retry(key, 1);
    client.retry(key, 2);
    assert_eq!(client.sent(), ["21[\"retry\",1]"]);
    client.reopen();
    client.said();
    client.wait(60_000);
    client.said();
    client.hears("0{\"sid\":\"A\"}");
    client.said();
    assert_eq!(client.sent(), ["23[\"retry\",1]"]);
    // That was the last time.
    client.reopen();
    assert_eq!(client.said(), none());
    client.hears("0{\"sid\":\"A\"}");
    assert_eq!(client.sent(), ["25[\"retry\",2]"]);
    client.hears("35[]");
    assert_eq!(client.said(), ["connected / A", "ack 2 "]);
}

#[test]
fn no_time_at_all_for_an_ack_is_some() {
    let (mut client, key) = Client::joined_with(|settings| {
        settings.retries = u32::MAX;
        settings.retry_timeout = Duration::ZERO;
    });
    client.retry(key, 1);
    client.wait(1);
    client.wait(1);
    assert_eq!(client.sent().len(), 3);
}

// Connecting again

#[test]
fn attempts_are_made_until_there_are_too_many() {
    let mut client = Client::with(|settings| {
        settings.reconnection = Reconnection::every(Duration::from_secs(1)).attempts(2);
    });
    let key = client.connect("/");
    client.ask(key, 1, Some(60_000)).unwrap();
    for attempt in 1..=2 {
        client.said();
        client.manager.closed(client.now, DisconnectReason::TransportError);
        assert_eq!(client.said(), [format!("waits {attempt} 1000")]);
        client.wait(999);
        assert_eq!(client.said(), none());
        client.wait(1);
        assert_eq!(client.said(), [format!("dial {attempt}")]);
    }
    client.manager.closed(client.now, DisconnectReason::TransportError);
    assert_eq!(client.said(), ["gave up"]);
    assert!(!client.manager.is_active(key));
    // What waits does so until its time is over.
    assert_eq!(client.deadline(), Some(58_000));
    client.manager.connect(client.now, key);
    assert_eq!(client.said(), ["dial 0"]);
}

/// A client whose delays double and have no jitter.
fn doubling(change: impl FnOnce(&mut Reconnection)) -> Client {
    Client::with(|settings| {
        settings.reconnection = Reconnection::default();
        settings.reconnection.jitter = 0.0;
        change(&mut settings.reconnection);
    })
}

impl Client {
    /// The next connection opens, and is lost after a while; how the client waits then.
    fn holds(&mut self, ms: u64) -> String {
        self.wait(5_000);
        self.open();
        self.wait(ms);
        self.manager.closed(self.now, CUT);
        self.said().pop().unwrap()
    }
}

#[test]
fn delays_double_and_begin_anew_with_a_connection_that_holds() {
    let mut client = doubling(|_| ());
    client.connect("/");
    client.said();
    for delay in ["waits 1 1000", "waits 2 2000", "waits 3 4000", "waits 4 5000"] {
        client.manager.closed(client.now, DisconnectReason::TransportError);
        assert_eq!(client.said(), [delay]);
        client.wait(5_000);
        client.said();
    }
    client.manager.opened(client.now, Revision::V4, "S");
    assert_eq!(client.said()[0], "opened 4");
    client.wait(10_000);
    client.manager.closed(client.now, CUT);
    assert_eq!(client.said(), ["waits 1 1000"]);
}

#[test]
fn a_server_that_accepts_and_closes_at_once_is_called_less_and_less() {
    let mut client = doubling(|_| ());
    client.connect("/");
    // Each is the first attempt after a connection, so that no number of them is used up.
    let delays = ["waits 1 1000", "waits 1 2000", "waits 1 4000", "waits 1 5000", "waits 1 5000"];
    assert_eq!(delays.map(|_| client.holds(0)), delays);
    // Just not long enough.
    assert_eq!(client.holds(9_999), "waits 1 5000");
    assert_eq!(client.holds(10_000), "waits 1 1000");
    assert_eq!(client.holds(0), "waits 1 2000");
    // Nor is it long enough to be open in between attempts that fail.
    client.wait(2_000);
    client.manager.closed(client.now, CUT);
    assert_eq!(client.said().pop().unwrap(), "waits 2 4000");
}

#[test]
fn delays_begin_anew_with_each_connection_where_none_must_hold() {
    let mut client = doubling(|reconnection| reconnection.steady_after = Duration::ZERO);
    client.connect("/");
    assert_eq!([0; 3].map(|ms| client.holds(ms)), ["waits 1 1000"; 3]);
}

#[test]
fn connections_that_do_not_hold_use_up_no_attempts() {
    let mut client = doubling(|reconnection| reconnection.attempts_max = Some(1));
    client.connect("/");
    assert_eq!([0; 3].map(|ms| client.holds(ms)), ["waits 1 1000", "waits 1 2000", "waits 1 4000"]);
    client.wait(5_000);
    client.said();
    client.manager.closed(client.now, CUT);
    assert_eq!(client.said(), ["gave up"]);
}

#[test]
fn a_user_who_leaves_and_comes_back_begins_the_delays_anew() {
    let mut client = doubling(|_| ());
    let key = client.connect("/");
    assert_eq!([0; 2].map(|ms| client.holds(ms)), ["waits 1 1000", "waits 1 2000"]);
    client.manager.disconnect(key);
    client.manager.connect(client.now, key);
    assert_eq!(client.holds(0), "waits 1 1000");
}

#[test]
fn a_client_that_never_reconnects_does_not() {
    let mut client = Client::with(|settings| settings.reconnection = Reconnection::never());
    let key = client.connect("/");
    client.open();
    client.hears("0{\"sid\":\"A\"}");
    client.said();
    client.manager.closed(client.now, CUT);
    assert_eq!(client.said(), ["disconnected / transport close", "gave up"]);
    assert!(!client.manager.is_active(key));
}

#[test]
fn a_user_does_not_wait_for_the_next_attempt() {
    let (mut client, key) = Client::joined();
    client.manager.closed(client.now, CUT);
    client.said();
    client.connect("/a");
    assert_eq!((client.said(), client.deadline()), (vec!["dial 1".into()], None));
    client.manager.closed(client.now, CUT);
    assert_eq!(client.said(), ["waits 2 1000"]);
    for name in ["/", "/a"] {
        let key = client.manager.socket(name);
        client.manager.disconnect(key);
    }
    assert_eq!((client.said(), client.deadline()), (none(), None));
    client.manager.connect(client.now, key);
    assert_eq!(client.said(), ["dial 0"]);
}

#[test]
fn a_connection_ends_only_once() {
    let (mut client, _) = Client::joined();
    client.manager.closed(client.now, CUT);
    client.manager.closed(client.now, DisconnectReason::TransportError);
    assert_eq!(client.said(), ["disconnected / transport close", "waits 1 1000"]);
}

// Recovery

#[test]
fn a_socket_shows_how_far_it_has_come_and_is_recovered() {
    let (mut client, _) = Client::joined();
    for event in ["2[\"a\",\"o1\"]", "2[\"b\",1]", "25[\"c\",\"no\"]", "2[\"d\",{},\"o2\"]"] {
        client.hears(event);
    }
    client.said();
    client.manager.closed(client.now, CUT);
    client.wait(1_000);
    client.open();
    assert_eq!(client.sent(), ["0{\"pid\":\"P\",\"offset\":\"o2\"}"]);
    // What was missed comes before the answer.
    client.hears("2[\"e\",\"o3\"]");
    client.hears("2[\"f\",\"o4\"]");
    assert_eq!(client.said(), none());
    client.hears("0{\"sid\":\"A\",\"pid\":\"P\"}");
    client.hears("2[\"g\",\"o5\"]");
    let said = ["connected / A again", "event / e \"o3\"", "event / f \"o4\"", "event / g \"o5\""];
    assert_eq!(client.said(), said);
    client.manager.closed(client.now, CUT);
    client.wait(1_000);
    client.open();
    assert_eq!(client.sent(), ["0{\"pid\":\"P\",\"offset\":\"o5\"}"]);
}

#[test]
fn what_was_missed_and_not_handed_over_is_missed_again() {
    let (mut client, _) = Client::joined();
    client.hears("2[\"a\",\"o1\"]");
    client.said();
    client.manager.closed(client.now, CUT);
    client.wait(1_000);
    client.open();
    client.hears("2[\"b\",\"o2\"]");
    client.sent();
    client.manager.closed(client.now, CUT);
    client.wait(1_000);
    client.open();
    assert_eq!(client.sent(), ["0{\"pid\":\"P\",\"offset\":\"o1\"}"]);
    client.hears("2[\"b\",\"o2\"]");
    client.hears("0{\"sid\":\"A\",\"pid\":\"P\"}");
    let said = client.said();
    assert_eq!(said[said.len() - 2..], ["connected / A again", "event / b \"o2\""]);
}

#[test]
fn a_server_that_does_not_recover_begins_anew() {
    let (mut client, key) = Client::joined();
    client.hears("2[\"a\",\"o1\"]");
    client.reopen();
    client.said();
    client.hears("0{\"sid\":\"B\",\"pid\":\"Q\"}");
    assert_eq!(client.said(), ["connected / B"]);
    client.manager.closed(client.now, CUT);
    client.wait(1_000);
    client.open();
    // The old offset is none of this one.
    assert_eq!(client.sent(), ["0{\"pid\":\"Q\"}"]);
    // It does not recover any more.
    client.hears("0{\"sid\":\"C\"}");
    client.manager.closed(client.now, CUT);
    client.wait(1_000);
    client.manager.opened(client.now, Revision::V4, "S");
    client.said();
    assert_eq!((client.sent(), client.manager.is_active(key)), (vec!["0".into()], true));
}

#[test]
fn who_has_left_does_not_come_back_as_the_same() {
    let (mut client, key) = Client::joined();
    client.joins("/a");
    client.hears("2[\"a\",\"o1\"]");
    client.manager.disconnect(key);
    client.manager.connect(client.now, key);
    client.said();
    assert_eq!(client.sent(), ["1", "0"]);
    client.hears("0{\"sid\":\"B\",\"pid\":\"Q\"}");
    client.hears("1");
    client.manager.connect(client.now, key);
    client.said();
    assert_eq!(client.sent(), ["0"]);
}

// Socket.IO 2

#[test]
fn a_client_of_socket_io_2_is_put_into_main_and_asks_for_others() {
    let mut client = Client::new();
    client.connect("/");
    let key = client.socket("/a");
    client.manager.opened(client.now, Revision::V3, "S");
    assert_eq!(client.said(), ["dial 0", "opened 0"]);
    assert_eq!(client.sent(), none());
    client.hears("0");
    assert_eq!(client.said(), ["connected / S"]);
    client.manager.connect(client.now, key);
    assert_eq!(client.said(), ["authorize /a"]);
    assert_eq!(client.sent(), ["0/a,"]);
    client.hears("0/a,");
    client.hears("2/a,[\"x\"]");
    assert_eq!(client.said(), ["connected /a /a#S", "event /a x "]);
}

#[test]
fn main_is_no_stray_in_socket_io_2_and_can_be_wanted_later() {
    let mut client = Client::with(|settings| settings.strays_max = 3);
    let key = client.connect("/a");
    client.open_v3();
    client.hears("0");
    client.hears("0/a,");
    for _ in 0..10 {
        client.hears("2[\"x\"]");
    }
    assert_eq!(client.said(), ["connected /a /a#S"]);
    // It is there already, and nobody says so again.
    let main = client.connect("/");
    assert_eq!(client.said(), ["connected / S"]);
    client.hears("2[\"x\"]");
    assert_eq!(client.said(), ["event / x "]);
    assert!(client.manager.is_joined(main) && client.manager.is_joined(key));
}

#[test]
fn who_has_left_main_asks_for_it_in_socket_io_2() {
    let mut client = Client::new();
    client.connect("/a");
    let main = client.connect("/");
    client.open_v3();
    client.hears("0");
    client.hears("0/a,");
    client.manager.disconnect(main);
    client.said();
    client.sent();
    client.manager.connect(client.now, main);
    assert_eq!((client.said(), client.sent()), (vec!["authorize /".into()], vec!["0".into()]));
    client.hears("0");
    assert_eq!(client.said(), ["connected / S"]);
    client.hears("1");
    client.said();
    client.manager.connect(client.now, main);
    assert_eq!(client.said(), ["authorize /"]);
    // Refused with any value.
    client.hears("4\"no\"");
    assert_eq!(client.said(), ["refused / \"no\""]);
    client.manager.connect(client.now, main);
    assert_eq!(client.said(), ["authorize /"]);
}

// Another encoding

#[test]
fn a_parser_writes_and_reads_whole_packets() {
    let msgpack: Arc<dyn Parser> = Arc::new(MsgPack);
    let mut client = Client::speaking(Some(Arc::clone(&msgpack)), |_| ());
    let key = client.connect("/");
    client.emit(key, "early").unwrap();
    client.open();
    let bytes = |client: &mut Client| client.sent().len();
    assert_eq!(bytes(&mut client), 1);
    let hear = |client: &mut Client, letter: Letter| {
        let parcel = roomful_proto::Parcel::worded(letter, &MsgPack);
        let (_, payload) = roomful_proto::ws::frame::split(parcel.wire()).next().unwrap();
        let data = Data::Binary(Bytes::copy_from_slice(payload));
        client.manager.receive(client.now, data).unwrap();
    };
    let id = roomful_proto::SocketId::parse("AAAAAAAAAAAAAAAAAAAA").unwrap();
    hear(&mut client, Letter::connected("/", id, None));
    assert_eq!(client.said(), ["connected / AAAAAAAAAAAAAAAAAAAA"]);
    assert_eq!(bytes(&mut client), 1);
    hear(&mut client, Letter::event("/", None, "x", &(1, "a")).unwrap());
    assert_eq!(client.said(), ["event / x 1,\"a\""]);
    client.ask(key, 1, None).unwrap();
    client.retry(key, 2);
    assert_eq!(bytes(&mut client), 2);
    for (id, answer) in [(0, "a"), (1, "b")] {
        let answer = Answer::new(AckId::new(id).unwrap(), answer).unwrap();
        hear(&mut client, answer.address("/"));
    }
    assert_eq!(client.said(), ["ack 1 \"a\"", "ack 2 \"b\""]);
    hear(&mut client, Letter::disconnected("/"));
    assert_eq!(client.said(), ["disconnected / io server disconnect", "hang up"]);
}
