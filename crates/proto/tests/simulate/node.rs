//! [`Node`]: a relay with clients around it, driven as `part.rs` of `roomful-cluster` drives one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roomful_proto::Args;
use roomful_proto::cluster::{Ask, Body, Packet, Presence, Relay, Signal};

use crate::bus::Bus;
use crate::history::{
    Answer, Chosen, Crowd, End, Entry, ROOMS, Rooms, Said, Who, request_id, request_number,
};
use crate::keeper::{Keeper, Order, Told};
use crate::rules::TICK;
use crate::scene::{Scene, Turn};

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Here,
    /// It has said goodbye. Its tasks may still answer what it was asked.
    Leaving,
    Gone,
}

pub(crate) struct Client {
    number: u32,
    rooms: Rooms,
}

/// Whoever has made a request, and counts what comes as `Answers` and `Others` of the server do.
struct Asker {
    request: u32,
    ask: Ask,
    nodes_asked: Option<usize>,
    nodes_answered: usize,
    clients_asked: usize,
    clients_answered: usize,
    /// It waits no longer.
    is_closed: bool,
}

pub(crate) struct Node {
    pub(crate) who: Who,
    pub(crate) life: Life,
    pub(crate) keeper: Keeper,
    relay: Relay,
    clients: Vec<Client>,
    /// Where the answers to open requests go.
    replies: BTreeMap<Arc<str>, Asker>,
    /// Other nodes, when they were counted last.
    counted: usize,
}

impl Node {
    /// Takes part, with some clients.
    pub(crate) fn start(scene: &mut Scene, bus: &mut Bus, who: Who) -> Self {
        scene.note(Entry::Started(who));
        let relay = Relay::new(who.uid(), scene.rules.relay_settings(), scene.now);
        let (life, keeper, counted) = (Life::Here, Keeper::new(who), 0);
        let mut node = Self {
            who,
            life,
            keeper,
            relay,
            clients: Vec::new(),
            replies: BTreeMap::new(),
            counted,
        };
        node.connect(scene, bus);
        for _ in 0..scene.dice.between(0, 20) {
            let client =
                Client { number: scene.number(), rooms: Rooms(scene.dice.below(1 << ROOMS) as u8) };
            node.clients.push(client);
            node.note_moved(scene, node.clients.len() - 1);
        }
        node.act(scene);
        scene.plan_turn(TICK.as_millis() as u64, who, Turn::Tick);
        node
    }

    /// The number of the connection by which it hears.
    pub(crate) fn ear(&self) -> Option<u32> {
        self.keeper.connection().filter(|_| self.life == Life::Here)
    }

    /// The requests that are open.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&Arc<str>, Ask)> {
        self.replies.iter().map(|(request, asker)| (request, asker.ask))
    }

    // What its keeper and the bus bring

    pub(crate) fn take_turn(&mut self, scene: &mut Scene, bus: &mut Bus, turn: Turn) {
        match turn {
            Turn::Arrive(connection, packet) => self.receive(scene, connection, &packet),
            Turn::Tick => self.tick(scene),
            Turn::Work => match self.keeper.work(scene, bus) {
                Some(Told::Counted(request, nodes)) => self.counted(scene, &request, nodes),
                Some(Told::NotAsked(request)) => self.not_asked(scene, &request),
                None => {}
            },
            Turn::Connect => self.connect(scene, bus),
            Turn::Notice => self.keeper.notice(scene, bus),
            Turn::Answer(to, body) => self.publish_to(scene, to, *body),
            Turn::GiveUp(request) => self.give_up(scene, &request),
            Turn::Vanish => self.life = Life::Gone,
        }
    }

    fn connect(&mut self, scene: &mut Scene, bus: &mut Bus) {
        match self.keeper.connect(scene, bus) {
            true => self.relay.resume(scene.now),
            false => self.forget(scene),
        }
    }

    fn tick(&mut self, scene: &mut Scene) {
        scene.plan_turn(TICK.as_millis() as u64, self.who, Turn::Tick);
        // Without a connection the keeper looks when it tries to have one.
        if self.keeper.connection().is_some() && self.life == Life::Here {
            self.expire(scene);
        }
    }

    /// A packet has come, perhaps one of its own.
    fn receive(&mut self, scene: &mut Scene, connection: u32, packet: &Packet) {
        if self.ear() != Some(connection) {
            return;
        }
        let (from, said) = (Who::of(&packet.from), Said::of(&packet.body));
        scene.note(Entry::Heard { node: self.who, from, said });
        self.relay.receive(packet.clone(), scene.now);
        self.act(scene);
    }

    fn counted(&mut self, scene: &mut Scene, request: &Arc<str>, nodes: usize) {
        if self.life != Life::Here {
            return;
        }
        if let Some(asker) = self.replies.get_mut(request) {
            asker.nodes_asked = Some(nodes);
        }
        self.counted = nodes;
        scene.note(Entry::Counted { node: self.who, request: request_number(request), nodes });
        self.relay.counted(request, nodes);
        self.act(scene);
    }

    /// A request was not made: as many nodes are missed as were there last.
    fn not_asked(&mut self, scene: &mut Scene, request: &Arc<str>) {
        let nodes = self.others().len().max(self.counted);
        self.relay.forget(request);
        if let Some(mut asker) = self.replies.remove(request) {
            if !asker.is_closed {
                asker.nodes_asked = Some(nodes);
                asker.end(scene, End::NotAsked);
            }
            scene.note(Entry::Forgotten { request: asker.request });
        }
    }

    /// Time has passed.
    fn expire(&mut self, scene: &mut Scene) {
        self.relay.expire(scene.now);
        self.forget(scene);
        let (node, others, deadline) = (self.who, self.others(), self.relay.deadline());
        scene.note(Entry::Looked { node, others, deadline });
    }

    /// Nobody waits any more for some requests.
    fn forget(&mut self, scene: &mut Scene) {
        let (Self { relay, replies, .. }, mut forgotten) = (&mut *self, Vec::new());
        replies.retain(|request, asker| {
            if asker.is_closed {
                relay.forget(request);
                forgotten.push(asker.request);
            }
            !asker.is_closed
        });
        self.act(scene);
        // What was lost before is told now.
        forgotten.into_iter().for_each(|request| scene.note(Entry::Forgotten { request }));
    }

    fn others(&self) -> Crowd {
        self.relay.nodes().map(|uid| Who::of(uid)).collect()
    }

    /// Does what the relay wants, in order.
    fn act(&mut self, scene: &mut Scene) {
        let node = self.who;
        while let Some(signal) = self.relay.poll() {
            match signal {
                Signal::Publish(body) => self.publish(scene, body),
                Signal::Deliver(packet) => self.deliver(scene, packet),
                Signal::Answer(body) => self.answer(scene, &body),
                Signal::Done(request) => self.done(scene, &request),
                Signal::Joined(other) => {
                    scene.note(Entry::Joined { node, other: Who::of(&other) });
                }
                Signal::Left(other) => scene.note(Entry::Left { node, other: Who::of(&other) }),
                _ => {}
            }
        }
    }

    // What it says

    /// Says something to all, and so that this node is there.
    fn say(&mut self, scene: &mut Scene, body: Body) {
        self.publish(scene, body);
        if scene.rules.presence == Presence::Heartbeats {
            self.relay.spoke(scene.now);
        }
    }

    fn publish(&mut self, scene: &mut Scene, body: Body) {
        let packet = self.packet(None, body);
        self.keeper.order(scene, Order::Publish(packet));
    }

    /// A task has an answer. It has it also when the node has left meanwhile.
    fn publish_to(&mut self, scene: &mut Scene, to: Arc<str>, body: Body) {
        let packet = self.packet(Some(to), body);
        self.keeper.order(scene, Order::Publish(packet));
    }

    fn packet(&self, to: Option<Arc<str>>, body: Body) -> Packet {
        Packet { from: Arc::clone(self.relay.uid()), to, namespace: "/".into(), body }
    }

    /// Sends an event to all that are chosen.
    pub(crate) fn emit(&mut self, scene: &mut Scene, to: Chosen) {
        let event = self.send_here(scene, to);
        let (to, args) = (to.selection(), Args::default());
        let body = Body::Emit { to, name: event.to_string(), args, request: None };
        self.say(scene, body);
    }

    /// Puts all that are chosen into rooms, or takes them out.
    pub(crate) fn move_all(&mut self, scene: &mut Scene, to: Chosen, rooms: Rooms, joins: bool) {
        self.move_here(scene, to, rooms, joins);
        let (to, rooms) = (to.selection(), rooms.names());
        let body = if joins { Body::Join { to, rooms } } else { Body::Leave { to, rooms } };
        self.say(scene, body);
    }

    pub(crate) fn ask_clients(&mut self, scene: &mut Scene, to: Chosen, patience_ms: u64) {
        let event = self.send_here(scene, to);
        let mut to = to.selection();
        to.flags.timeout_ms = Some(patience_ms);
        let (name, args) = (event.to_string(), Args::default());
        let body = |request| Body::Emit { to, name, args, request: Some(request) };
        if !self.ask(scene, Ask::Clients, patience_ms, body) {
            scene.note(Entry::Unsent(event));
        }
    }

    pub(crate) fn fetch(&mut self, scene: &mut Scene, to: Chosen, patience_ms: u64) {
        let to = to.selection();
        self.ask(scene, Ask::Nodes, patience_ms, |request| Body::Fetch { to, request });
    }

    pub(crate) fn ask_servers(&mut self, scene: &mut Scene, patience_ms: u64) {
        let (name, args) = (String::new(), Args::default());
        self.ask(scene, Ask::Nodes, patience_ms, |request| Body::ServerSide {
            name,
            args,
            request: Some(request),
        });
    }

    /// `false` when too many requests are open.
    fn ask(
        &mut self,
        scene: &mut Scene,
        ask: Ask,
        patience_ms: u64,
        body: impl FnOnce(Arc<str>) -> Body,
    ) -> bool {
        let (number, known) = (scene.number(), self.others());
        let request = request_id(number);
        let Ok(said) = self.relay.ask(Arc::clone(&request), ask) else {
            scene.note(Entry::Refused(self.who));
            return false;
        };
        let until = scene.now + Duration::from_millis(patience_ms);
        scene.note(Entry::Asked { request: number, by: self.who, ask, known, said, until });
        let mut nodes_asked = said;
        if scene.rules.presence == Presence::Counted && self.keeper.connection().is_none() {
            // It may be made in time, and may not.
            scene.note(Entry::Expected { request: number, nodes: self.counted });
            nodes_asked = Some(self.counted);
        }
        let asker = Asker {
            request: number,
            ask,
            nodes_asked,
            nodes_answered: 0,
            clients_asked: 0,
            clients_answered: 0,
            is_closed: false,
        };
        self.replies.insert(Arc::clone(&request), asker);
        let packet = self.packet(None, body(Arc::clone(&request)));
        let order = match scene.rules.presence {
            Presence::Counted => Order::Ask(packet, Arc::clone(&request)),
            _ => Order::Publish(packet),
        };
        self.keeper.order(scene, order);
        scene.plan_turn(patience_ms, self.who, Turn::GiveUp(request));
        self.act(scene);
        true
    }

    // What becomes of its requests

    fn answer(&mut self, scene: &mut Scene, body: &Body) {
        let Said::Answer(request, answer) = Said::of(body) else {
            panic!("{body:?} is passed on, and is no answer");
        };
        scene.note(Entry::Passed { node: self.who, request, answer });
        let asker = body.answers().and_then(|request| self.replies.get_mut(request));
        let Some(asker) = asker.filter(|asker| !asker.is_closed) else {
            return;
        };
        match answer {
            Answer::Node => asker.nodes_answered += 1,
            Answer::Count(count) => {
                asker.nodes_answered += 1;
                asker.clients_asked = asker.clients_asked.saturating_add(count);
            }
            Answer::Ack => asker.clients_answered += 1,
        }
    }

    fn done(&mut self, scene: &mut Scene, request: &Arc<str>) {
        scene.note(Entry::Done { node: self.who, request: request_number(request) });
        if let Some(asker) = self.replies.remove(request).filter(|asker| !asker.is_closed) {
            asker.end(scene, End::Done);
        }
    }

    fn give_up(&mut self, scene: &mut Scene, request: &Arc<str>) {
        let asker = self.replies.get_mut(request);
        if let Some(asker) = asker.filter(|_| self.life == Life::Here) {
            asker.is_closed = true;
            asker.end(scene, End::Time);
        }
    }

    // What others want

    /// Does what another node says, and answers where it asks.
    fn deliver(&mut self, scene: &mut Scene, packet: Packet) {
        let Packet { from, body, .. } = packet;
        match body {
            Body::Emit { to, name, request, .. } => {
                let (chosen, event) = (Chosen::of(&to), name.parse().unwrap());
                let asked = self.deliver_event(scene, chosen, event);
                if let Some(request) = request {
                    let patience_ms = to.flags.timeout_ms.unwrap();
                    self.ask_for_another(scene, from, &request, asked, patience_ms);
                }
            }
            Body::Join { to, rooms } => {
                self.move_here(scene, Chosen::of(&to), Rooms::of(&rooms), true);
            }
            Body::Leave { to, rooms } => {
                self.move_here(scene, Chosen::of(&to), Rooms::of(&rooms), false);
            }
            Body::Fetch { request, .. } => {
                self.publish_to(scene, from, Body::Fetched { request, sockets: Args::default() });
            }
            // A server may have no function of that name.
            Body::ServerSide { request: Some(request), .. } if !scene.dice.one_in(10) => {
                let ms = scene.dice.below(2_000);
                let body = Body::ServerSideAnswer { request, answer: Args::default() };
                scene.plan_turn(ms, self.who, Turn::Answer(from, Box::new(body)));
            }
            Body::ServerSide { .. } => {}
            body => panic!("{body:?} is nothing to be delivered"),
        }
    }

    /// Clients answer late or never, and who has asked is told of no answer after its time.
    fn ask_for_another(
        &mut self,
        scene: &mut Scene,
        from: Arc<str>,
        request: &Arc<str>,
        count: usize,
        patience_ms: u64,
    ) {
        let request = || Arc::clone(request);
        self.publish_to(scene, Arc::clone(&from), Body::ClientCount { request: request(), count });
        // Some requests are answered by all.
        let silent_one_in = [0, 20][scene.dice.below(2) as usize];
        for _ in 0..count {
            let ms = scene.dice.below(3_000);
            if ms <= patience_ms && !scene.dice.one_in(silent_one_in) {
                let body = Body::Ack { request: request(), answer: Args::default() };
                scene.plan_turn(ms, self.who, Turn::Answer(Arc::clone(&from), Box::new(body)));
            }
        }
    }

    fn send_here(&self, scene: &mut Scene, to: Chosen) -> u32 {
        let event = scene.number();
        scene.note(Entry::Sent { event, by: self.who, to });
        self.deliver_event(scene, to, event);
        event
    }

    /// Gives an event to the clients that are chosen, and tells how many these are.
    fn deliver_event(&self, scene: &mut Scene, to: Chosen, event: u32) -> usize {
        let chosen = self.clients.iter().filter(|client| to.has(client.rooms));
        chosen.map(|client| scene.note(Entry::Got { event, client: client.number })).count()
    }

    fn move_here(&mut self, scene: &mut Scene, to: Chosen, rooms: Rooms, joins: bool) {
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if to.has(client.rooms) {
                let Rooms(now) = client.rooms;
                client.rooms = Rooms(if joins { now | rooms.0 } else { now & !rooms.0 });
                self.note_moved(scene, at);
            }
        }
    }

    /// One client goes into other rooms by itself.
    pub(crate) fn move_one(&mut self, scene: &mut Scene) {
        let at = scene.dice.below(self.clients.len() as u64) as usize;
        if let Some(client) = self.clients.get_mut(at) {
            client.rooms = Rooms(scene.dice.below(1 << ROOMS) as u8);
            self.note_moved(scene, at);
        }
    }

    fn note_moved(&self, scene: &mut Scene, at: usize) {
        let Client { number, rooms } = self.clients[at];
        scene.note(Entry::Moved { client: number, node: self.who, rooms });
    }

    // How it ends

    /// Goes as it should. What it is still to answer is answered for some time.
    pub(crate) fn leave(&mut self, scene: &mut Scene) {
        scene.note(Entry::Leaves(self.who));
        self.life = Life::Leaving;
        if scene.rules.presence == Presence::Heartbeats {
            self.publish(scene, Body::Goodbye);
        }
        self.keeper.unsubscribe(scene);
        scene.plan_turn(3_000, self.who, Turn::Vanish);
    }

    /// Dies without a word.
    pub(crate) fn die(&mut self, scene: &mut Scene) {
        scene.note(Entry::Killed(self.who));
        self.life = Life::Gone;
    }

    /// What is left of all in the end.
    pub(crate) fn rest(&mut self, scene: &mut Scene) {
        let signals = std::iter::from_fn(|| self.relay.poll()).count();
        let (requests, replies) = (self.relay.open_requests(), self.replies.len());
        scene.note(Entry::Rest { node: self.who, requests, replies, signals });
    }
}

impl Asker {
    fn end(&self, scene: &mut Scene, how: End) {
        let nodes_asked = self.nodes_asked.unwrap_or(0);
        let nodes_missing = nodes_asked.saturating_sub(self.nodes_answered);
        let clients_missing = self.clients_asked.saturating_sub(self.clients_answered);
        let request = self.request;
        scene.note(Entry::Ended { request, how, nodes_missing, clients_missing });
    }
}
