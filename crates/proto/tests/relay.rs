//! What one node knows of the others, and whom it waits for: small dialogues. `simulate` has long ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use roomful_proto::cluster::{
    Ask, Body, Packet, Presence, Relay, RelaySettings, Selection, Signal, TooManyRequests,
};
use roomful_proto::{Args, Moment};

/// A node that is called `me`, and a time that moves when it is told to.
struct Node {
    relay: Relay,
    now: Moment,
}

impl Node {
    fn new(presence: Presence) -> Self {
        Self::with(RelaySettings::new(presence))
    }

    fn with(settings: RelaySettings) -> Self {
        let now = Moment::from_millis(1_000);
        let mut node = Self { relay: Relay::new("me".into(), settings, now), now };
        let hello = node.signals();
        assert!(hello.is_empty() || hello == [Signal::Publish(Body::Hello)]);
        node
    }

    /// One that has heard others.
    fn among(others: &[&str]) -> Self {
        let mut node = Self::new(Presence::Heartbeats);
        for other in others {
            assert_eq!(node.hears(other, Body::Heartbeat), [Signal::Joined((*other).into())]);
        }
        node
    }

    fn signals(&mut self) -> Vec<Signal> {
        std::iter::from_fn(|| self.relay.poll()).collect()
    }

    fn hears(&mut self, from: &str, body: Body) -> Vec<Signal> {
        self.relay.receive(packet(from, body), self.now);
        self.signals()
    }

    fn waits(&mut self, ms: u64) -> Vec<Signal> {
        self.now = self.now + Duration::from_millis(ms);
        self.relay.expire(self.now);
        self.signals()
    }

    fn asks(&mut self, ask: Ask) -> Option<usize> {
        self.relay.ask(request(), ask).unwrap()
    }

    fn knows(&self) -> Vec<&str> {
        let mut nodes: Vec<_> = self.relay.nodes().map(|node| &**node).collect();
        nodes.sort_unstable();
        nodes
    }
}

fn packet(from: &str, body: Body) -> Packet {
    Packet { from: from.into(), to: None, namespace: "/".into(), body }
}

fn request() -> Arc<str> {
    "request".into()
}

fn fetched() -> Body {
    Body::Fetched { request: request(), sockets: Args::default() }
}

fn count(count: usize) -> Body {
    Body::ClientCount { request: request(), count }
}

fn ack() -> Body {
    Body::Ack { request: request(), answer: Args::default() }
}

fn event() -> Body {
    let (to, name) = (Selection::default(), "event".to_owned());
    Body::Emit { to, name, args: Args::default(), request: None }
}

fn left(node: &str) -> Signal {
    Signal::Left(node.into())
}

fn done() -> Signal {
    Signal::Done(request())
}

fn answer(body: Body) -> Vec<Signal> {
    vec![Signal::Answer(body)]
}

fn last_answer(body: Body) -> Vec<Signal> {
    vec![Signal::Answer(body), done()]
}

// Who is there

#[test]
fn hello_is_answered_by_a_heartbeat() {
    let mut node = Node::new(Presence::Heartbeats);
    let signals = node.hears("a", Body::Hello);
    assert_eq!(signals, [Signal::Joined("a".into()), Signal::Publish(Body::Heartbeat)]);
    assert_eq!(node.hears("a", Body::Heartbeat), []);
    assert_eq!(node.hears("a", event()), [Signal::Deliver(packet("a", event()))]);
    assert_eq!(node.knows(), ["a"]);
}

#[test]
fn a_node_says_at_intervals_that_it_is_there() {
    let mut node = Node::new(Presence::Heartbeats);
    assert_eq!(node.relay.deadline(), Some(Moment::from_millis(6_000)));
    assert_eq!(node.waits(4_999), []);
    assert_eq!(node.waits(1), [Signal::Publish(Body::Heartbeat)]);
    assert_eq!(node.relay.deadline(), Some(Moment::from_millis(11_000)));
    // What it says to all says so, too.
    node.now = Moment::from_millis(8_000);
    node.relay.spoke(node.now);
    assert_eq!(node.relay.deadline(), Some(Moment::from_millis(13_000)));
    let mut counted = Node::new(Presence::Counted);
    counted.relay.spoke(counted.now);
    assert_eq!((counted.relay.deadline(), counted.waits(5_000)), (None, vec![]));
}

#[test]
fn who_is_silent_for_too_long_is_gone_and_not_waited_for() {
    let mut node = Node::among(&["a", "b"]);
    assert_eq!(node.waits(5_000), [Signal::Publish(Body::Heartbeat)]);
    // Whatever it says is a sign of it, as an answer that nobody waits for.
    assert_eq!(node.hears("b", fetched()), []);
    assert_eq!(node.asks(Ask::Nodes), Some(2));
    assert_eq!(node.waits(4_999), []);
    assert_eq!(node.waits(1), [Signal::Publish(Body::Heartbeat), left("a")]);
    assert_eq!(node.hears("b", fetched()), last_answer(fetched()));
    assert_eq!(node.knows(), ["b"]);
}

#[test]
fn the_time_without_an_engine_is_no_silence() {
    let mut node = Node::among(&["a"]);
    node.now = node.now + Duration::from_secs(60);
    node.relay.resume(node.now);
    assert_eq!(node.waits(9_999), [Signal::Publish(Body::Heartbeat)]);
    assert_eq!(node.waits(1), [left("a")]);
}

#[test]
fn a_goodbye_ends_the_waiting_for_a_node() {
    let mut node = Node::among(&["a", "b"]);
    node.asks(Ask::Nodes);
    assert_eq!(node.hears("a", fetched()), answer(fetched()));
    assert_eq!(node.hears("b", Body::Goodbye), [left("b"), done()]);
    assert_eq!(node.hears("b", Body::Goodbye), []);
    assert_eq!((node.knows(), node.relay.open_requests()), (vec!["a"], 0));
}

#[test]
fn neither_itself_nor_an_emitter_nor_who_is_counted_is_a_node() {
    let mut node = Node::new(Presence::Heartbeats);
    for body in [Body::Hello, Body::Heartbeat, Body::Goodbye, event()] {
        assert_eq!(node.hears("me", body), []);
    }
    assert_eq!(node.hears("emitter", Body::Heartbeat), []);
    assert_eq!(node.hears("emitter", event()), [Signal::Deliver(packet("emitter", event()))]);
    assert!(node.knows().is_empty());
    let mut counted = Node::new(Presence::Counted);
    assert_eq!(counted.hears("a", Body::Heartbeat), []);
    assert!(counted.knows().is_empty());
}

#[test]
fn no_more_nodes_are_remembered_than_may_be() {
    let mut settings = RelaySettings::new(Presence::Heartbeats);
    settings.nodes_max = 1;
    let mut node = Node::with(settings);
    node.hears("a", Body::Heartbeat);
    assert_eq!(node.hears("b", Body::Heartbeat), []);
    // What it says is done nevertheless.
    assert_eq!(node.hears("b", event()), [Signal::Deliver(packet("b", event()))]);
    assert_eq!(node.hears("a", Body::Goodbye), [left("a")]);
    assert_eq!(node.hears("b", Body::Heartbeat), [Signal::Joined("b".into())]);
}

/// What a node was asked before it left it still answers, and would be waited for as if it were there.
#[test]
fn an_answer_behind_a_goodbye_brings_nobody_back() {
    let mut node = Node::among(&["a"]);
    assert_eq!(node.hears("a", Body::Goodbye), [left("a")]);
    for late in [fetched(), count(1), ack()] {
        assert_eq!(node.hears("a", late), []);
    }
    assert!(node.knows().is_empty());
    assert_eq!((node.asks(Ask::Nodes), node.signals()), (Some(0), vec![done()]));
}

// Who is waited for

#[test]
fn a_request_ends_with_the_last_answer() {
    let mut node = Node::among(&["a", "b"]);
    assert_eq!(node.asks(Ask::Clients), Some(2));
    assert_eq!(node.hears("a", count(1)), answer(count(1)));
    assert_eq!(node.hears("b", count(0)), answer(count(0)));
    assert_eq!(node.hears("a", ack()), last_answer(ack()));
    assert_eq!(node.hears("a", ack()), []);
    let mut alone = Node::new(Presence::Heartbeats);
    assert_eq!((alone.asks(Ask::Nodes), alone.signals()), (Some(0), vec![done()]));
}

#[test]
fn nodes_are_counted_before_they_answer_or_afterwards() {
    let mut node = Node::new(Presence::Counted);
    assert_eq!(node.asks(Ask::Nodes), None);
    node.relay.counted(&request(), 2);
    assert_eq!(node.hears("a", fetched()), answer(fetched()));
    assert_eq!(node.hears("b", fetched()), last_answer(fetched()));

    node.asks(Ask::Nodes);
    assert_eq!(node.hears("a", fetched()), answer(fetched()));
    assert_eq!(node.hears("b", fetched()), answer(fetched()));
    node.relay.counted(&request(), 2);
    assert_eq!(node.signals(), [done()]);

    node.asks(Ask::Clients);
    node.relay.counted(&request(), 0);
    assert_eq!(node.signals(), [done()]);
}

#[test]
fn too_many_requests_are_refused() {
    let mut settings = RelaySettings::new(Presence::Counted);
    settings.requests_max = 1;
    let mut node = Node::with(settings);
    node.asks(Ask::Nodes);
    assert_eq!(node.relay.ask("another".into(), Ask::Nodes), Err(TooManyRequests));
    node.relay.forget("request");
    assert_eq!(node.relay.ask("another".into(), Ask::Nodes), Ok(None));
}

#[test]
fn a_forgotten_request_has_no_answer_and_no_end() {
    let mut node = Node::among(&["a"]);
    node.asks(Ask::Nodes);
    node.relay.forget("request");
    assert_eq!(node.relay.open_requests(), 0);
    assert_eq!(node.hears("a", fetched()), []);
    assert_eq!(node.hears("a", Body::Goodbye), [left("a")]);
    node.relay.counted(&request(), 0);
    assert_eq!(node.signals(), []);
}

#[test]
fn answers_of_another_kind_or_of_who_was_not_asked_are_none() {
    let mut node = Node::among(&["a"]);
    node.asks(Ask::Nodes);
    for (from, body) in
        [("a", count(0)), ("a", ack()), ("b", fetched()), ("me", fetched()), ("emitter", fetched())]
    {
        assert_eq!(node.hears(from, body), []);
    }
    assert_eq!(node.hears("a", fetched()), last_answer(fetched()));
    node.asks(Ask::Clients);
    for (from, body) in [("a", fetched()), ("a", ack()), ("b", count(usize::MAX)), ("b", ack())] {
        assert_eq!(node.hears(from, body), []);
    }
    assert_eq!(node.hears("a", count(0)), last_answer(count(0)));
}

/// A node that had told how many clients it asks, and then died, was waited for until the time was over.
#[test]
fn clients_of_a_node_that_is_gone_are_not_waited_for() {
    let mut node = Node::among(&["a", "b"]);
    node.asks(Ask::Clients);
    node.hears("a", count(2));
    node.hears("a", ack());
    node.hears("b", count(1));
    assert_eq!(node.hears("a", Body::Goodbye), [left("a")]);
    assert_eq!(node.hears("a", ack()), []);
    assert_eq!(node.hears("b", ack()), last_answer(ack()));
}

/// Answers of others were taken for those of clients that had not answered.
#[test]
fn clients_of_one_node_do_not_answer_for_those_of_another() {
    let mut node = Node::among(&["a", "b"]);
    node.asks(Ask::Clients);
    node.hears("a", count(1));
    node.hears("b", count(1));
    assert_eq!(node.hears("a", ack()), answer(ack()));
    // Again, and of somebody who was not asked.
    assert_eq!(node.hears("a", ack()), []);
    assert_eq!(node.hears("c", ack()), []);
    assert_eq!(node.hears("b", ack()), last_answer(ack()));
}

/// A repeated answer was taken for that of another node.
#[test]
fn a_counted_node_answers_once() {
    let mut node = Node::new(Presence::Counted);
    node.asks(Ask::Nodes);
    assert_eq!(node.hears("a", fetched()), answer(fetched()));
    node.relay.counted(&request(), 2);
    assert_eq!(node.hears("a", fetched()), []);
    assert_eq!(node.hears("b", fetched()), last_answer(fetched()));
    // The wire of classic Redis does not say who answers.
    node.asks(Ask::Clients);
    node.relay.counted(&request(), 2);
    assert_eq!(node.hears("", count(1)), answer(count(1)));
    assert_eq!(node.hears("", count(1)), answer(count(1)));
    assert_eq!(node.hears("", ack()), answer(ack()));
    assert_eq!(node.hears("", ack()), last_answer(ack()));
}

#[test]
fn no_number_of_clients_is_too_large() {
    let mut node = Node::new(Presence::Counted);
    node.asks(Ask::Clients);
    node.relay.counted(&request(), usize::MAX);
    for _ in 0..3 {
        assert_eq!(node.hears("", count(usize::MAX)), answer(count(usize::MAX)));
        assert_eq!(node.hears("", ack()), answer(ack()));
    }
    assert_eq!(node.relay.open_requests(), 1);
}

/// A program that has ended its server may live on for a while, and others come meanwhile.
#[test]
fn who_has_left_says_so_once_and_is_silent_then() {
    let mut node = Node::among(&["other"]);
    assert!(node.relay.leave() && !node.relay.leave());
    assert!(node.waits(60_000).iter().all(|signal| !matches!(signal, Signal::Publish(_))));
    assert_eq!(node.hears("third", Body::Hello), [Signal::Joined("third".into())]);
    assert!(!Node::new(Presence::Counted).relay.leave());
}
