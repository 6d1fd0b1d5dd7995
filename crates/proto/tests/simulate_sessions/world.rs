//! [`World`]: nodes and clients, and the ways between them, all of it made of one number.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use roomful_proto::cluster::sessions::{Carried, Message, NodeId, Ticket, decode, encode};
use roomful_proto::engine::Packet;
use roomful_proto::{Moment, SessionId};

use crate::client::{Answer, Client, Line, Request, State, Wish};
use crate::dice::Dice;
use crate::node::{Done, Node, Who};

/// When nothing new is begun, and when all is over: some silences of sessions later.
const ACTIVE_MS: u64 = 30_000;
const QUIET_MS: u64 = 36_000;
const END_MS: u64 = 100_000;

/// How often what can happen did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) clients: u64,
    pub(crate) killed: u64,
    pub(crate) lost: u64,
    pub(crate) nodes_killed: u64,
    pub(crate) interrupted: u64,
    pub(crate) upgrades: u64,
    pub(crate) upgrades_elsewhere: u64,
    pub(crate) up: u64,
    pub(crate) down: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        for (own, other) in self.all().into_iter().zip(other.clone().all()) {
            own.1.add_assign(*other.1);
        }
    }

    pub(crate) fn never(&self) -> Vec<&'static str> {
        self.clone()
            .all()
            .into_iter()
            .filter(|(_, count)| **count == 0)
            .map(|(what, _)| what)
            .collect()
    }

    fn all(&mut self) -> [(&'static str, &mut u64); 9] {
        [
            ("clients", &mut self.clients),
            ("killed", &mut self.killed),
            ("lost", &mut self.lost),
            ("nodes_killed", &mut self.nodes_killed),
            ("interrupted", &mut self.interrupted),
            ("upgrades", &mut self.upgrades),
            ("upgrades_elsewhere", &mut self.upgrades_elsewhere),
            ("up", &mut self.up),
            ("down", &mut self.down),
        ]
    }
}

enum Due {
    /// A node hears on the connection to the bus that it had then.
    Hear(usize, u32, Box<Message>),
    ToNode(Who, Line, usize, Request),
    ToClient(Who, Line, Answer),
    Look(usize, Ticket),
    Body(usize, SessionId),
    Expire(usize),
    Operate,
    /// A node is back on the bus.
    Back(usize),
}

/// A node, and its connection to the bus.
struct Place {
    node: Node,
    name: NodeId,
    is_alive: bool,
    /// `None` while it is away from the bus.
    connection: Option<u32>,
    connections: u32,
    /// When its sessions look at the time next.
    expires: Option<Moment>,
}

pub(crate) struct World {
    dice: Dice,
    now: Moment,
    due: BTreeMap<(Moment, u64), Due>,
    count: u64,
    places: Vec<Place>,
    clients: Vec<Client>,
    /// Where each line of a client leads.
    lines: BTreeMap<Line, usize>,
    /// When the last of one way arrives, so that nothing overtakes what was sent before.
    arrivals: BTreeMap<(usize, usize, Line), Moment>,
    /// Nobody dies, and nothing is lost.
    is_sound: bool,
    delay_ms_max: u64,
    seen: Seen,
}

impl World {
    pub(crate) fn run(mut dice: Dice) -> Seen {
        let nodes = dice.between(2, 4);
        let is_sound = dice.one_in(3);
        let delay_ms_max = [1, 20, 200][dice.below(3) as usize];
        let place = |number: u64| {
            let name = NodeId::from_random([0, 0, number as u8]);
            let node = Node::new(name.clone());
            Place { node, name, is_alive: true, connection: Some(0), connections: 0, expires: None }
        };
        let mut world = Self {
            dice,
            now: Moment::from_millis(0),
            due: BTreeMap::new(),
            count: 0,
            places: (0..nodes).map(place).collect(),
            clients: Vec::new(),
            lines: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            is_sound,
            delay_ms_max,
            seen: Seen::default(),
        };
        world.plan(0, Due::Operate);
        while let Some(((at, _), due)) = world.due.pop_first() {
            if at.as_millis() > END_MS {
                break;
            }
            world.now = at;
            world.happen(due);
        }
        world.judge();
        world.seen
    }

    fn plan(&mut self, ms: u64, due: Due) {
        self.plan_at(self.now + Duration::from_millis(ms), due);
    }

    fn plan_at(&mut self, at: Moment, due: Due) {
        self.count += 1;
        self.due.insert((at.max(self.now), self.count), due);
    }

    /// When something arrives that is sent now.
    fn arrival(&mut self, from: usize, to: usize, line: Line) -> Moment {
        let delay = self.dice.below(self.delay_ms_max + 1);
        let at = self.now + Duration::from_millis(delay);
        let last = self.arrivals.entry((from, to, line)).or_default();
        *last = at.max(*last);
        *last
    }

    fn happen(&mut self, due: Due) {
        let now = self.now;
        match due {
            Due::Operate => self.operate(),
            Due::Hear(at, connection, message) => {
                let place = &mut self.places[at];
                if place.is_alive && place.connection == Some(connection) {
                    place.node.receive(now, *message);
                    self.carry_out(at);
                } else {
                    self.seen.lost += 1;
                }
            }
            Due::ToNode(who, line, at, request) => self.serve(who, line, at, request),
            Due::ToClient(who, line, answer) => {
                let client = &mut self.clients[who];
                if !client.is_dead() {
                    client.hear(line, answer);
                    self.let_send(who);
                }
            }
            Due::Look(at, ticket) if self.places[at].is_alive => {
                self.places[at].node.look(now, ticket);
                self.carry_out(at);
            }
            Due::Body(at, session) if self.places[at].is_alive => {
                self.places[at].node.hand_over(now, session);
                self.carry_out(at);
            }
            Due::Expire(at) if self.places[at].is_alive => {
                self.places[at].expires = None;
                self.places[at].node.expire(now);
                self.carry_out(at);
            }
            Due::Back(at) => {
                let place = &mut self.places[at];
                place.connections += 1;
                place.connection = Some(place.connections);
            }
            Due::Look(..) | Due::Body(..) | Due::Expire(_) => {}
        }
    }

    fn serve(&mut self, who: Who, line: Line, at: usize, request: Request) {
        let place = &mut self.places[at];
        if !place.is_alive {
            return self.answer(at, who, line, Answer::Refused);
        }
        match (request, self.clients[who].session) {
            (Request::Open, _) => {
                let mut bytes = [0; 15];
                bytes[..8].copy_from_slice(&(who as u64).to_be_bytes());
                place.node.open(self.now, who, line, SessionId::from_random(bytes));
            }
            (request, Some(session)) => {
                place.node.request(self.now, (who, line), session, request);
            }
            (_, None) => {}
        }
        self.carry_out(at);
    }

    fn answer(&mut self, at: usize, who: Who, line: Line, answer: Answer) {
        let arrival = self.arrival(at, usize::MAX, line);
        self.plan_at(arrival, Due::ToClient(who, line, answer));
    }

    /// Carries out what a node has done.
    fn carry_out(&mut self, at: usize) {
        for done in self.places[at].node.take_done() {
            match done {
                Done::Say(message) => self.say(at, &message),
                Done::Answer(who, line, answer) => self.answer(at, who, line, answer),
                Done::Body(session) => {
                    // A session that is read slowly takes its time.
                    let ms = if self.dice.one_in(3) { self.dice.below(500) } else { 0 };
                    self.plan(ms, Due::Body(at, session));
                }
                Done::Look(ticket, when) => self.plan_at(when, Due::Look(at, ticket)),
            }
        }
        let place = &mut self.places[at];
        if let Some(deadline) = place.node.deadline()
            && place.expires.is_none_or(|planned| deadline < planned)
        {
            place.expires = Some(deadline);
            self.plan_at(deadline, Due::Expire(at));
        }
    }

    fn say(&mut self, from: usize, message: &Message) {
        if self.places[from].connection.is_none() {
            self.seen.lost += 1;
            return;
        }
        for to in 0..self.places.len() {
            let place = &self.places[to];
            let is_for = message.to.as_ref().is_none_or(|name| *name == place.name);
            if to == from || !is_for {
                continue;
            }
            let Some(connection) = place.connection else {
                self.seen.lost += 1;
                continue;
            };
            // As it is on the wire.
            let wire = encode(message).into();
            let message = Box::new(decode(&wire, usize::MAX).expect("a message"));
            let at = self.arrival(from, to, 0);
            self.plan_at(at, Due::Hear(to, connection, message));
        }
    }

    /// A client sends what it wants to.
    fn let_send(&mut self, who: Who) {
        while let Some(wish) = self.clients[who].next() {
            match wish {
                Wish::New(request) => {
                    let line = self.send_new(who, request.clone());
                    match request {
                        Request::Poll => self.clients[who].poll = Some(line),
                        _ => self.clients[who].body = Some(line),
                    }
                }
                Wish::On(line, packet) => {
                    if packet == Carried::Packet(Packet::Upgrade) {
                        self.seen.upgrades += 1;
                    }
                    self.send_on(who, line, Request::Frame(packet));
                }
            }
        }
        if self.clients[who].is_dead() {
            self.hang_up(who);
        }
    }

    /// To any node.
    fn send_new(&mut self, who: Who, request: Request) -> Line {
        self.count += 1;
        let line = self.count;
        let at = self.dice.below(self.places.len() as u64) as usize;
        self.lines.insert(line, at);
        self.send_on(who, line, request);
        line
    }

    fn send_on(&mut self, who: Who, line: Line, request: Request) {
        let at = self.lines[&line];
        let arrival = self.arrival(usize::MAX, at, line);
        self.plan_at(arrival, Due::ToNode(who, line, at, request));
    }

    /// All lines of a client end.
    fn hang_up(&mut self, who: Who) {
        let client = &self.clients[who];
        let lines = [client.poll, client.body, client.socket];
        let lines: Vec<_> = lines.into_iter().flatten().collect();
        self.clients[who].state = State::Dead;
        for line in lines {
            self.send_on(who, line, Request::Gone);
        }
    }

    fn operate(&mut self) {
        let ms = self.now.as_millis();
        if ms >= QUIET_MS {
            // Whoever is left goes, so that nothing may be left.
            self.check_arrived();
            for who in 0..self.clients.len() {
                if !self.clients[who].is_dead() {
                    self.hang_up(who);
                }
            }
            return;
        }
        let next = if ms >= ACTIVE_MS { QUIET_MS - ms } else { self.dice.between(1, 100) };
        self.plan(next, Due::Operate);
        if ms >= ACTIVE_MS {
            return;
        }
        match self.dice.below(100) {
            0..10 if self.clients.len() < 12 => self.arrive(),
            10..45 => self.client_speaks(),
            45..80 => self.session_speaks(),
            80..90 => self.come_over(),
            _ if self.is_sound => {}
            90..93 => self.kill_client(),
            93 if self.dice.one_in(4) => self.kill_node(),
            94..96 => self.interrupt(),
            _ => {}
        }
    }

    fn arrive(&mut self) {
        let who = self.clients.len();
        self.seen.clients += 1;
        self.clients.push(Client::new());
        let line = self.send_new(who, Request::Open);
        self.clients[who].poll = Some(line);
    }

    fn living(&mut self) -> Option<Who> {
        let living: Vec<_> =
            (0..self.clients.len()).filter(|who| !self.clients[*who].is_dead()).collect();
        self.dice.pick(&living)
    }

    fn client_speaks(&mut self) {
        if let Some(who) = self.living() {
            (0..self.dice.between(1, 5)).for_each(|_| self.clients[who].say());
            self.let_send(who);
        }
    }

    fn session_speaks(&mut self) {
        let Some(session) = self.living().and_then(|who| self.clients[who].session) else {
            return;
        };
        for at in 0..self.places.len() {
            if self.places[at].is_alive && self.places[at].node.progress(session).is_some() {
                self.places[at].node.speak(self.now, session);
                self.carry_out(at);
            }
        }
    }

    fn come_over(&mut self) {
        let Some(who) = self.living().filter(|who| self.clients[*who].may_upgrade()) else {
            return;
        };
        let line = self.send_new(who, Request::WebSocket);
        self.clients[who].state = State::Probing { line, paused: false };
        self.clients[who].socket = Some(line);
        let probe = Carried::Packet(Packet::Ping("probe".into()));
        self.send_on(who, line, Request::Frame(probe));
    }

    fn kill_client(&mut self) {
        if let Some(who) = self.living() {
            self.seen.killed += 1;
            self.hang_up(who);
        }
    }

    /// A node dies: its clients see their lines end, other nodes see nothing.
    fn kill_node(&mut self) {
        let at = self.dice.below(self.places.len() as u64) as usize;
        if self.places.iter().filter(|place| place.is_alive).count() < 2 {
            return;
        }
        self.seen.nodes_killed += 1;
        self.places[at].is_alive = false;
        let ends: Vec<_> = (0..self.clients.len())
            .flat_map(|who| {
                let client = &self.clients[who];
                let lines = [client.poll, client.body, client.socket];
                lines.into_iter().flatten().map(move |line| (who, line))
            })
            .filter(|(_, line)| self.lines[line] == at)
            .collect();
        for (who, line) in ends {
            self.answer(at, who, line, Answer::Refused);
        }
    }

    /// A node loses its connection to the bus, and what is on its way there.
    fn interrupt(&mut self) {
        let at = self.dice.below(self.places.len() as u64) as usize;
        if !self.places[at].is_alive || self.places[at].connection.is_none() {
            return;
        }
        self.seen.interrupted += 1;
        self.places[at].connection = None;
        self.places[at].node.interrupted(self.now);
        self.carry_out(at);
        let ms = self.dice.below(2_000);
        self.plan(ms, Due::Back(at));
    }

    /// Where nobody dies and nothing is lost, every client lives, and everything has arrived.
    fn check_arrived(&mut self) {
        for (who, client) in self.clients.iter().enumerate() {
            let Some(session) = client.session.filter(|_| !client.is_dead()) else {
                assert!(!self.is_sound, "client {who} has died: {client:?}");
                continue;
            };
            let nodes = self.places.iter().filter(|place| place.is_alive);
            let progress = nodes.filter_map(|place| place.node.progress(session)).next();
            if let Some((hears, says)) = progress {
                self.seen.up += hears;
                self.seen.down += client.heard;
                if self.is_sound {
                    assert_eq!(
                        (hears, client.heard),
                        (client.said, says),
                        "client {who}: {client:?}"
                    );
                }
            }
            assert!(!self.is_sound || progress.is_some(), "the session of client {who} has ended");
        }
        for place in &self.places {
            self.seen.upgrades_elsewhere += place.node.upgraded_elsewhere;
        }
    }

    fn judge(&self) {
        for place in self.places.iter().filter(|place| place.is_alive) {
            place.node.assert_empty();
        }
    }
}
