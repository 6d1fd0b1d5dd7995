//! [`Part`]: what a cluster knows and does in one namespace.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use roomful::SocketId;
use roomful::adapter::{EventLog, Line, Message, Node, Reply, ReplyTo, RoomChange, WatchedRooms};
use roomful_proto::cluster::{Body, Packet, Presence, Relay, Signal};
use tokio::time::{Instant, timeout_at};

use crate::cluster::Held;
use crate::outbox::Order;
use crate::pending::Pending;
use crate::shared::Shared;
use crate::translate;

/// How long a request of another node is answered at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

pub(crate) struct Part {
    pub(crate) namespace: Arc<str>,
    pub(crate) uid: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: Weak<dyn Node>,
    pub(crate) state: Mutex<State>,
    /// Of how long ago the node wants what the log has; `None` where events do not go through it.
    pub(crate) log_of: Option<Duration>,
    /// Rooms of which the engine is still to be told. There are no more than there were rooms.
    followed: Mutex<HashMap<String, Untold>>,
}

/// What the engine is to be told of a room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Untold {
    /// It has begun, and the engine knows nothing of it.
    Began,
    /// The same, and the engine may know of it from before.
    BeganAgain,
    Ended,
}

pub(crate) struct State {
    pub(crate) relay: Relay,
    /// What the log is to bring back.
    pub(crate) pending: Pending,
    /// Whether it is known where the log begins.
    pub(crate) has_begun: bool,
    /// Where the answers to open requests go.
    replies: HashMap<Arc<str>, ReplyTo>,
    /// Other nodes, when they were counted last.
    counted: usize,
    /// Whether a task does what the relay wants.
    is_acting: bool,
}

impl State {
    /// How many other nodes there are, as far as it is known.
    fn missed(&self) -> usize {
        self.relay.nodes().count().max(self.counted)
    }
}

/// The task that does what the relay wants, whatever becomes of it.
struct Acting<'a>(&'a Part);

impl Acting<'_> {
    fn next(&self) -> Option<Signal> {
        let mut state = self.0.state.lock();
        let signal = state.relay.poll();
        // Under the same lock: what comes from now on finds nobody at it.
        state.is_acting = signal.is_some();
        signal
    }
}

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().is_acting = false;
        }
    }
}

/// A part that is left when it is dropped.
pub(crate) struct Open {
    pub(crate) part: Arc<Part>,
    _held: Arc<Held>,
}

impl Part {
    /// Takes part in a namespace, until the line is dropped.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        namespace: Arc<str>,
        node: Weak<dyn Node>,
        held: Arc<Held>,
    ) -> Box<dyn Line> {
        let uid: Arc<str> = random_id().into();
        let relay = Relay::new(Arc::clone(&uid), shared.relay_settings(), shared.now());
        let state = Mutex::new(State {
            relay,
            pending: Pending::default(),
            has_begun: false,
            replies: HashMap::new(),
            counted: 0,
            is_acting: false,
        });
        let log_of = node.upgrade().filter(|_| shared.bus.keeps_log());
        let log_of = log_of.and_then(|node| node.wants_log());
        let (shared, followed) = (Arc::clone(shared), Mutex::default());
        let part = Arc::new(Self { namespace, uid, shared, node, state, log_of, followed });
        let shared = &part.shared;
        shared.add(&part);
        let (namespace, uid) = (Arc::clone(&part.namespace), Arc::clone(&part.uid));
        shared.order(Order::Subscribe(namespace, uid, log_of));
        if let Some(which) = shared.bus.follows_rooms() {
            part.watch_rooms(which);
        }
        part.act();
        Box::new(Open { part, _held: held })
    }

    pub(crate) fn has_room(&self, room: &str) -> bool {
        self.node.upgrade().is_some_and(|node| node.has_room(room))
    }

    /// Whether somebody is in a room, or is put into it by what has come and is still to be done.
    pub(crate) fn may_have(&self, room: &str) -> bool {
        self.has_room(room) || self.state.lock().is_acting
    }

    /// Has the engine told of rooms from now on, and of those that there are.
    fn watch_rooms(self: &Arc<Self>, which: WatchedRooms) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let part = Arc::downgrade(self);
        let told = Box::new(move |change: RoomChange<'_>| {
            if let Some(part) = part.upgrade() {
                part.follow(change);
            }
        });
        node.watch_rooms(which, told);
        self.follow(RoomChange::Missed);
    }

    fn follow(self: &Arc<Self>, change: RoomChange<'_>) {
        let mut followed = self.followed.lock();
        let was_empty = followed.is_empty();
        match change {
            RoomChange::Began(room) => {
                let untold = match followed.get(room) {
                    Some(Untold::Began) => Untold::Began,
                    Some(_) => Untold::BeganAgain,
                    // That of a single socket begins for others once more.
                    None if SocketId::parse(room).is_some() => Untold::BeganAgain,
                    None => Untold::Began,
                };
                followed.insert(room.to_owned(), untold);
            }
            // Somebody has come again, or others have left that of a socket which is still there.
            RoomChange::Ended(room) if self.has_room(room) => {
                let untold = followed.entry(room.to_owned()).or_insert(Untold::BeganAgain);
                if *untold == Untold::Ended {
                    *untold = Untold::BeganAgain;
                }
            }
            RoomChange::Ended(room) => {
                // One that has begun and ended since is nothing to tell.
                if followed.remove(room) != Some(Untold::Began) {
                    followed.insert(room.to_owned(), Untold::Ended);
                }
            }
            // A channel that is followed for nothing costs little; one that is missed, events.
            _ => followed.extend(self.rooms().map(|room| (room, Untold::BeganAgain))),
        }
        if was_empty && !followed.is_empty() {
            drop(followed);
            self.shared.order(Order::Follow(Arc::downgrade(self)));
        }
    }

    /// The rooms of this node of which the engine is to know.
    fn rooms(&self) -> impl Iterator<Item = String> + use<> {
        let names = self.node.upgrade().map(|node| node.room_names()).unwrap_or_default();
        let all = self.shared.bus.follows_rooms() == Some(WatchedRooms::All);
        names.into_iter().filter(move |name| all || SocketId::parse(name).is_none())
    }

    /// The changes of which the engine is to be told now.
    pub(crate) fn followed(&self) -> Vec<(String, bool)> {
        let changes = std::mem::take(&mut *self.followed.lock());
        let changes = changes.into_iter().map(|(room, untold)| (room, untold != Untold::Ended));
        // It may have begun again since, or there may be another server of this process with somebody in it.
        let is_so = |(room, begun): &(String, bool)| {
            *begun || !self.shared.is_in_room(&self.namespace, room)
        };
        changes.filter(is_so).collect()
    }

    /// Rooms of this part alone, now that it ends.
    fn left_rooms(&self) -> Vec<(String, bool)> {
        let rooms = self.rooms().filter(|room| !self.shared.is_in_room(&self.namespace, room));
        rooms.map(|room| (room, false)).collect()
    }

    /// All rooms, of which a new connection is to be told.
    pub(crate) fn followed_anew(&self) -> Vec<(String, bool)> {
        if self.shared.bus.follows_rooms().is_none() {
            return Vec::new();
        }
        self.followed.lock().clear();
        self.rooms().map(|room| (room, true)).collect()
    }

    /// How many other nodes have been heard.
    pub(crate) fn heard(&self) -> usize {
        self.state.lock().relay.nodes().count()
    }

    /// A packet of this namespace has come, perhaps one of its own.
    pub(crate) fn receive(self: &Arc<Self>, packet: Packet) {
        self.state.lock().relay.receive(packet, self.shared.now());
        self.act();
    }

    /// So many other nodes are asked.
    pub(crate) fn counted(self: &Arc<Self>, request: &Arc<str>, nodes: usize) {
        let mut state = self.state.lock();
        state.counted = nodes;
        if let Some(to) = state.replies.get(request) {
            to.send(Reply::Asked(nodes));
        }
        state.relay.counted(request, nodes);
        drop(state);
        self.act();
    }

    /// The engine is back.
    pub(crate) fn resume(&self) {
        self.state.lock().relay.resume(self.shared.now());
        self.tell_gap();
    }

    /// A request was not made, or not in time: as many nodes are missed as were there last.
    pub(crate) fn not_asked(&self, request: &str) {
        let mut state = self.state.lock();
        let asked = state.missed();
        if let Some(to) = state.replies.remove(request) {
            to.send(Reply::Asked(asked));
        }
        state.relay.forget(request);
    }

    /// Time has passed. While the engine is away nobody can be heard, and nobody is taken for dead.
    pub(crate) fn expire(self: &Arc<Self>, is_up: bool) {
        let mut state = self.state.lock();
        let State { relay, replies, .. } = &mut *state;
        if is_up {
            relay.expire(self.shared.now());
        }
        replies.retain(|request, to| {
            let is_over = to.is_closed();
            if is_over {
                relay.forget(request);
            }
            !is_over
        });
        drop(state);
        self.expire_log();
        self.act();
    }

    /// The engine is away, and cannot be asked how many nodes there are.
    fn expect_last_counted(&self, request: &str) {
        let state = self.state.lock();
        if self.shared.bus.presence() == Presence::Counted
            && let Some(to) = state.replies.get(request)
        {
            to.send(Reply::Asked(state.counted));
        }
    }

    /// Does what the relay wants, one thing after the other: whoever finds another task at it leaves it to that one. So
    /// the events of a node stay in order, and a request is over when its last answer was passed on.
    pub(crate) fn act(self: &Arc<Self>) {
        if std::mem::replace(&mut self.state.lock().is_acting, true) {
            return;
        }
        let acting = Acting(self);
        while let Some(signal) = acting.next() {
            self.carry_out(signal);
        }
    }

    fn carry_out(self: &Arc<Self>, signal: Signal) {
        match signal {
            Signal::Publish(body) => self.publish(body),
            Signal::Deliver(packet) => self.deliver(packet),
            Signal::Answer(body) => self.answer(body),
            Signal::Done(request) => drop(self.state.lock().replies.remove(&request)),
            Signal::Joined(node) => {
                tracing::debug!(namespace = %self.namespace, %node, "another node is there");
            }
            Signal::Left(node) => {
                tracing::info!(namespace = %self.namespace, %node, "another node is gone");
            }
            _ => {}
        }
    }

    /// Says something to all, and so that this node is there.
    fn say(&self, body: Body) {
        if body.is_volatile() && !self.shared.is_up() {
            return self.shared.counters.dropped_volatile.add(1);
        }
        if matches!(body, Body::Vacate { .. }) && !self.shared.is_up() {
            // Whoever asks has given up when the engine is back.
            return;
        }
        if self.shared.order(Order::Publish(self.packet(body, None)))
            && self.shared.bus.presence() == Presence::Heartbeats
        {
            self.state.lock().relay.spoke(self.shared.now());
        }
    }

    /// Tells the other nodes that they need not wait for this one any more.
    fn leave(&self) {
        let says_so = self.state.lock().relay.leave();
        if says_so {
            self.publish(Body::Goodbye);
        }
    }

    fn publish(&self, body: Body) {
        self.shared.order(Order::Publish(self.packet(body, None)));
    }

    fn publish_to(&self, to: &Arc<str>, body: Body) {
        self.shared.order(Order::Publish(self.packet(body, Some(Arc::clone(to)))));
    }

    pub(crate) fn packet(&self, body: Body, to: Option<Arc<str>>) -> Packet {
        let (from, namespace) = (Arc::clone(&self.uid), Arc::clone(&self.namespace));
        Packet { from, to, namespace, body }
    }

    fn answer(&self, body: Body) {
        let reply = body.answers().and_then(|request| {
            let to = self.state.lock().replies.get(request).cloned();
            to.zip(translate::reply(&body))
        });
        if let Some((to, reply)) = reply {
            to.send(reply);
        }
    }

    /// Does what another node says, and answers where it asks.
    fn deliver(self: &Arc<Self>, packet: Packet) {
        let Packet { from, body, .. } = packet;
        match body {
            Body::Logged(logged) => self.receive_logged(&from, *logged),
            body => self.deliver_body(&from, body),
        }
    }

    pub(crate) fn deliver_body(self: &Arc<Self>, from: &Arc<str>, body: Body) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        if let Body::Rooms { request } = body {
            let rooms = node.room_names();
            return self.publish_to(from, Body::RoomsAnswer { request, rooms });
        }
        let ids_only = matches!(body, Body::Ids { .. });
        let Some((message, request)) = translate::message(body) else {
            return;
        };
        let Some(request) = request else {
            return node.receive(message, None);
        };
        let Ok(permit) = Arc::clone(&self.shared.answering).try_acquire_owned() else {
            return self.shared.counters.requests_refused.add(1);
        };
        let (to, mut replies) = ReplyTo::channel();
        node.receive(message, Some(to));
        let (part, from) = (Arc::clone(self), Arc::clone(from));
        drop(self.shared.runtime.spawn(async move {
            let until = Instant::now() + ANSWER_TIMEOUT;
            while let Ok(Some(reply)) = timeout_at(until, replies.next()).await {
                if let Some(body) = translate::answer(reply, &request, ids_only) {
                    part.publish_to(&from, body);
                }
            }
            drop(permit);
        }));
    }

    fn ask(self: &Arc<Self>, message: Message, replies: ReplyTo) {
        let request: Arc<str> = random_id().into();
        let Some((ask, body)) = translate::request(message, &request) else {
            return;
        };
        let mut state = self.state.lock();
        match state.relay.ask(Arc::clone(&request), ask) {
            Ok(nodes) => {
                if let Some(nodes) = nodes {
                    replies.send(Reply::Asked(nodes));
                }
                state.replies.insert(Arc::clone(&request), replies);
            }
            Err(_) => {
                replies.send(Reply::Asked(state.missed()));
                return self.shared.counters.requests_refused.add(1);
            }
        }
        drop(state);
        let packet = self.packet(body, None);
        let order = match self.shared.bus.presence() {
            Presence::Counted => Order::Ask(packet, Arc::clone(&request)),
            _ => Order::Publish(packet),
        };
        // One that waits for the engine may be answered in time, and may not.
        if !self.shared.order(order) {
            self.not_asked(&request);
        } else if !self.shared.is_up() {
            self.expect_last_counted(&request);
        }
        // Not here: what comes for others meanwhile may run functions of the program, which may be in the middle of
        // something where it asks.
        let part = Arc::clone(self);
        drop(self.shared.runtime.spawn(async move { part.act() }));
    }
}

impl Line for Open {
    fn send(&self, message: Message) {
        if let Some(body) = translate::body(message) {
            self.part.say(body);
        }
    }

    fn ask(&self, message: Message, replies: ReplyTo) {
        self.part.ask(message, replies);
    }

    fn leave(&self) {
        self.part.leave();
    }

    fn log(&self) -> Option<&dyn EventLog> {
        self.part.log_of.is_some().then_some(self)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let part = &self.part;
        part.shared.remove(part);
        part.leave();
        if part.shared.bus.follows_rooms().is_some() {
            // What the engine was still to be told of is not looked at any more.
            let ended = part.followed().into_iter().filter(|(_, begun)| !begun);
            let rooms = ended.chain(part.left_rooms()).collect();
            part.shared.order(Order::Unfollow(Arc::clone(&part.namespace), rooms));
        }
        let order = Order::Unsubscribe(Arc::clone(&part.namespace), Arc::clone(&part.uid));
        part.shared.order(order);
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Sixteen digits, as the official adapters have.
fn random_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness nothing on this machine would have started.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}
