//! [`Node`]: an owner and a guest with sessions, driven as the server does it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::cluster::sessions::{
    Carried, Guest, GuestOutput, GuestSettings, Message, NodeId, Owner, OwnerOutput, OwnerSettings,
    Standing, Ticket, Told, Want,
};
use roomful_proto::engine::{Data, Input, Output, Packet, Revision, Session, Transport};
use roomful_proto::{Form, Limits, Moment, SessionId};

use crate::client::{Answer, Line, Request, number_of, numbered};

/// A client of a world, by its number.
pub(crate) type Who = usize;

/// What a node has done.
#[derive(Debug)]
pub(crate) enum Done {
    Say(Message),
    Answer(Who, Line, Answer),
    /// A session is given a body when it has the time.
    Body(SessionId),
    /// The time of a request is to be looked at then.
    Look(Ticket, Moment),
}

/// Who has asked something of a session: a client at this node, or another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Client(Who, Line),
    Node,
}

struct Held {
    session: Session,
    outbox: VecDeque<Packet>,
    poll: Option<By>,
    bodies: VecDeque<By>,
    probe: Option<By>,
    stream: Option<By>,
    /// The next numbers to be said, and to be heard.
    says: u64,
    hears: u64,
}

struct Visitor {
    who: Who,
    line: Line,
    kind: Kind,
}

enum Kind {
    Poll,
    Body(Vec<Carried>),
    /// What has come before it is known to whom it goes.
    WebSocket {
        found: bool,
        over: bool,
        carries: bool,
        waiting: VecDeque<Carried>,
    },
}

pub(crate) struct Node {
    owner: Owner,
    guest: Guest,
    limits: Arc<Limits>,
    sessions: BTreeMap<SessionId, Held>,
    visitors: HashMap<Ticket, Visitor>,
    lines: HashMap<Line, Ticket>,
    local: HashMap<Line, SessionId>,
    /// Bodies that other nodes have brought, until their sessions are given them.
    bodies: HashMap<SessionId, Bytes>,
    done: Vec<Done>,
    pub(crate) upgraded_elsewhere: u64,
}

pub(crate) fn limits() -> Arc<Limits> {
    let mut limits = Limits::default();
    limits.ping_interval = Duration::from_secs(5);
    limits.ping_timeout = Duration::from_secs(4);
    limits.upgrade_timeout = Duration::from_secs(3);
    Arc::new(limits)
}

impl Node {
    pub(crate) fn new(name: NodeId) -> Self {
        let limits = limits();
        let mut settings = GuestSettings::default();
        settings.silence_max = limits.ping_interval + limits.ping_timeout;
        Self {
            owner: Owner::new(name.clone(), OwnerSettings::default()),
            guest: Guest::new(name, settings),
            limits,
            sessions: BTreeMap::new(),
            visitors: HashMap::new(),
            lines: HashMap::new(),
            local: HashMap::new(),
            bodies: HashMap::new(),
            done: Vec::new(),
            upgraded_elsewhere: 0,
        }
    }

    pub(crate) fn take_done(&mut self) -> Vec<Done> {
        take(&mut self.done)
    }

    /// Nothing is left of anybody.
    pub(crate) fn assert_empty(&self) {
        assert!(self.sessions.is_empty(), "sessions are left");
        assert!(self.owner.is_empty(), "an owner is left with {:?}", self.owner);
        assert!(self.guest.is_empty(), "a guest is left with {:?}", self.guest);
        assert!(self.visitors.is_empty() && self.lines.is_empty(), "visitors are left");
    }

    /// What the session has heard of its client, and has said.
    pub(crate) fn progress(&self, session: SessionId) -> Option<(u64, u64)> {
        self.sessions.get(&session).map(|held| (held.hears, held.says))
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.sessions.values().filter_map(|held| held.session.deadline()).min()
    }

    /// All sessions look at the time.
    pub(crate) fn expire(&mut self, now: Moment) {
        let due = |held: &Held| held.session.deadline().is_some_and(|at| at <= now);
        let ids: Vec<_> =
            self.sessions.iter().filter(|(_, held)| due(held)).map(|(id, _)| *id).collect();
        for id in ids {
            self.sessions.get_mut(&id).unwrap().session.expire(now);
            self.drive(now, id);
        }
        self.settle(now);
    }

    pub(crate) fn look(&mut self, now: Moment, ticket: Ticket) {
        self.guest.expire(now, ticket);
        self.settle(now);
        if let Some(at) = self.guest.deadline(ticket) {
            self.done.push(Done::Look(ticket, at));
        }
    }

    pub(crate) fn interrupted(&mut self, now: Moment) {
        self.owner.interrupted();
        self.guest.interrupted();
        self.settle(now);
    }

    pub(crate) fn receive(&mut self, now: Moment, message: Message) {
        if message.is_for_owner() {
            let session = message.body.session();
            let held = session.and_then(|session| self.sessions.get(&session));
            let standing = held.map(|held| match held.session.transport() {
                Transport::Polling => Standing::Polls,
                Transport::WebSocket => Standing::Bound,
            });
            self.owner.receive(message, standing);
        } else {
            self.guest.receive(now, message);
        }
        self.settle(now);
    }

    /// A session says the next number to its client.
    pub(crate) fn speak(&mut self, now: Moment, session: SessionId) {
        if let Some(held) = self.sessions.get_mut(&session) {
            let Carried::Packet(packet) = numbered(held.says) else { unreachable!() };
            held.says += 1;
            held.outbox.push_back(packet);
            self.drive(now, session);
            self.settle(now);
        }
    }

    pub(crate) fn open(&mut self, now: Moment, who: Who, line: Line, id: SessionId) {
        let limits = Arc::clone(&self.limits);
        let held = Held {
            session: Session::new(now, Transport::Polling, Revision::V4, limits),
            outbox: VecDeque::new(),
            poll: None,
            bodies: VecDeque::new(),
            probe: None,
            stream: None,
            says: 0,
            hears: 0,
        };
        self.sessions.insert(id, held);
        self.done.push(Done::Answer(who, line, Answer::Opened(id)));
    }

    /// A request of a client, or more of it.
    pub(crate) fn request(
        &mut self,
        now: Moment,
        (who, line): (Who, Line),
        session: SessionId,
        request: Request,
    ) {
        if let Some(ticket) = self.lines.get(&line).copied() {
            self.more(now, ticket, request);
        } else if let Some(id) = self.local.get(&line).copied() {
            self.more_here(now, (who, line), id, request);
        } else if self.sessions.contains_key(&session) {
            self.here(now, (who, line), session, request);
        } else {
            self.elsewhere(now, (who, line), session, request);
        }
        self.settle(now);
    }

    fn elsewhere(
        &mut self,
        now: Moment,
        (who, line): (Who, Line),
        session: SessionId,
        request: Request,
    ) {
        let (want, kind) = match request {
            Request::Poll => (Want::Read, Kind::Poll),
            Request::Body(packets) => (Want::Write, Kind::Body(packets)),
            Request::WebSocket => {
                let waiting = VecDeque::new();
                (
                    Want::Stream,
                    Kind::WebSocket { found: false, over: false, carries: false, waiting },
                )
            }
            // Of a line that has ended.
            Request::Open | Request::Frame(_) | Request::Gone => return,
        };
        let ticket = self.guest.ask(now, session, want).expect("room");
        self.visitors.insert(ticket, Visitor { who, line, kind });
        self.lines.insert(line, ticket);
        self.done.push(Done::Look(ticket, self.guest.deadline(ticket).unwrap()));
    }

    /// More of a line whose session is elsewhere.
    fn more(&mut self, now: Moment, ticket: Ticket, request: Request) {
        let Some(visitor) = self.visitors.get_mut(&ticket) else { return };
        let (who, line) = (visitor.who, visitor.line);
        match (request, &mut visitor.kind) {
            (Request::Gone, Kind::WebSocket { over, .. }) => {
                let in_order = *over;
                self.leave(ticket, in_order);
            }
            (Request::Gone, _) => self.leave(ticket, false),
            (Request::Frame(packet), Kind::WebSocket { found, over, carries, waiting }) => {
                match packet {
                    packet if !*found => waiting.push_back(packet),
                    Carried::Packet(Packet::Ping(text)) => {
                        let pong = Carried::Packet(Packet::Pong(text));
                        self.done.push(Done::Answer(who, line, Answer::Frame(pong)));
                    }
                    Carried::Packet(Packet::Upgrade) => {
                        *over = true;
                        self.guest.upgrade(now, ticket);
                        self.look_later(ticket);
                    }
                    packet if *carries => self.guest.forward(ticket, packet),
                    packet => waiting.push_back(packet),
                }
            }
            _ => {}
        }
    }

    fn leave(&mut self, ticket: Ticket, in_order: bool) {
        if let Some(visitor) = self.visitors.remove(&ticket) {
            self.lines.remove(&visitor.line);
        }
        self.guest.leave(ticket, in_order);
    }

    fn look_later(&mut self, ticket: Ticket) {
        if let Some(at) = self.guest.deadline(ticket) {
            self.done.push(Done::Look(ticket, at));
        }
    }

    /// A request whose session is at this node.
    fn here(&mut self, now: Moment, (who, line): (Who, Line), id: SessionId, request: Request) {
        let held = self.sessions.get_mut(&id).unwrap();
        let by = By::Client(who, line);
        match request {
            Request::Poll if held.session.transport() == Transport::Polling => {
                self.local.insert(line, id);
                self.poll(now, id, by);
            }
            Request::Body(packets) if held.session.transport() == Transport::Polling => {
                self.local.insert(line, id);
                let body = Carried::body(&packets, Revision::V4, false);
                held.bodies.push_back(by);
                held.session.receive(now, Input::Body(body.into_bytes()));
            }
            Request::WebSocket if held.session.can_upgrade() && held.probe.is_none() => {
                self.local.insert(line, id);
                held.probe = Some(by);
                held.session.receive(now, Input::ProbeOpened);
            }
            Request::Poll | Request::Body(_) | Request::WebSocket => {
                self.done.push(Done::Answer(who, line, Answer::Refused));
            }
            Request::Open | Request::Frame(_) | Request::Gone => {}
        }
        self.drive(now, id);
    }

    fn more_here(&mut self, now: Moment, at: (Who, Line), id: SessionId, request: Request) {
        let Some(held) = self.sessions.get_mut(&id) else { return };
        let by = Some(By::Client(at.0, at.1));
        match request {
            Request::Frame(packet) if held.stream == by => {
                held.session.receive(now, Input::Frame(packet.frame(Form::TextOnly)));
            }
            Request::Frame(packet) if held.probe == by => {
                held.session.receive(now, Input::Probe(packet.frame(Form::TextOnly)));
            }
            Request::Gone if held.stream == by => {
                held.session.receive(now, Input::Gone { in_order: true });
            }
            Request::Gone if held.probe == by => {
                held.probe = None;
                held.session.receive(now, Input::ProbeGone);
            }
            Request::Gone if held.poll == by => {
                held.poll = None;
                held.session.receive(now, Input::PollGone);
            }
            Request::Gone if by.is_some_and(|by| held.bodies.contains(&by)) => {
                held.session.receive(now, Input::BodyBroken);
            }
            _ => {}
        }
        self.drive(now, id);
    }

    fn poll(&mut self, now: Moment, id: SessionId, by: By) {
        let held = self.sessions.get_mut(&id).unwrap();
        if held.poll.is_some() {
            // Both end.
            self.answer_poll(id, by, vec![Carried::Packet(Packet::Close)]);
        } else {
            held.poll = Some(by);
        }
        let held = self.sessions.get_mut(&id).unwrap();
        held.session.receive(now, Input::Poll);
        self.drive(now, id);
    }

    fn answer_poll(&mut self, id: SessionId, by: By, packets: Vec<Carried>) {
        match by {
            By::Client(who, line) => {
                self.local.remove(&line);
                self.done.push(Done::Answer(who, line, Answer::Packets(packets)));
            }
            By::Node => self.owner.polled(id, Some(packets)),
        }
    }

    fn answer_body(&mut self, id: SessionId, by: By, taken: bool) {
        match by {
            By::Client(who, line) => {
                self.local.remove(&line);
                let answer = if taken { Answer::Taken } else { Answer::Refused };
                self.done.push(Done::Answer(who, line, answer));
            }
            By::Node => self.owner.taken(id),
        }
    }

    /// What a stream of a session is sent.
    fn send(&mut self, id: SessionId, by: By, packets: Vec<Packet>) {
        let packets = packets.into_iter().map(Carried::Packet);
        match by {
            By::Client(who, line) => {
                let frames = packets.map(|packet| Done::Answer(who, line, Answer::Frame(packet)));
                self.done.extend(frames);
            }
            By::Node => self.owner.streamed(id, packets.collect()),
        }
    }

    fn close_stream(&mut self, id: SessionId, by: By) {
        match by {
            By::Client(who, line) => {
                self.local.remove(&line);
                self.done.push(Done::Answer(who, line, Answer::Closed));
            }
            By::Node => self.owner.stream_ended(id),
        }
    }

    /// Does what a session says, and sends what waits.
    fn drive(&mut self, now: Moment, id: SessionId) {
        while let Some(held) = self.sessions.get_mut(&id) {
            let Some(output) = held.session.poll(now) else {
                if self.flush(now, id) {
                    continue;
                }
                return;
            };
            match output {
                Output::Message(Data::Text(text)) => {
                    assert_eq!(number_of(&text), held.hears, "a session hears what it should not");
                    held.hears += 1;
                }
                Output::Message(Data::Binary(_)) => unreachable!(),
                Output::Send(packet @ Packet::Ping(_)) => held.outbox.push_front(packet),
                Output::Send(packet) => held.outbox.push_back(packet),
                Output::BodyDone => {
                    if let Some(by) = held.bodies.pop_front() {
                        self.answer_body(id, by, true);
                    }
                }
                Output::Probe(packet) => match held.probe {
                    Some(By::Node) => self.owner.probed(id, true),
                    Some(by) => self.send(id, by, vec![packet]),
                    None => {}
                },
                Output::DropProbe => {
                    if let Some(by) = held.probe.take() {
                        self.close_stream(id, by);
                    }
                }
                Output::Upgraded => {
                    held.stream = held.probe.take();
                    let (poll, bodies) = (held.poll.take(), take(&mut held.bodies));
                    if let Some(by) = poll {
                        self.answer_poll(id, by, vec![Carried::Packet(Packet::Noop)]);
                    }
                    bodies.into_iter().for_each(|by| self.answer_body(id, by, true));
                }
                Output::PollRefused => {}
                Output::Broken(violation, _) => panic!("a client breaks the protocol: {violation}"),
                Output::Closed(_) => self.closed(id),
            }
        }
    }

    /// Sends what waits; `true` when that may have changed something.
    fn flush(&mut self, now: Moment, id: SessionId) -> bool {
        let held = self.sessions.get_mut(&id).unwrap();
        if held.outbox.is_empty() {
            held.session.flushed();
            return false;
        }
        if let Some(by) = held.stream {
            let packets = held.outbox.drain(..).collect();
            self.send(id, by, packets);
            return true;
        }
        let Some(by) = held.poll.take() else { return false };
        let packets = held.outbox.drain(..).map(Carried::Packet).collect();
        held.session.receive(now, Input::PollAnswered);
        self.answer_poll(id, by, packets);
        true
    }

    fn closed(&mut self, id: SessionId) {
        let held = self.sessions.remove(&id).unwrap();
        if let Some(by) = held.poll {
            let mut packets: Vec<_> = held.outbox.into_iter().map(Carried::Packet).collect();
            if packets.is_empty() {
                packets.push(Carried::Packet(Packet::Noop));
            }
            self.answer_poll(id, by, packets);
        }
        held.bodies.into_iter().for_each(|by| self.answer_body(id, by, false));
        for by in held.probe.into_iter().chain(held.stream) {
            self.close_stream(id, by);
        }
    }

    /// Does what the machines say.
    fn settle(&mut self, now: Moment) {
        loop {
            if let Some(output) = self.owner.poll() {
                self.owner_says(now, output);
            } else if let Some(output) = self.guest.poll() {
                self.guest_says(now, output);
            } else {
                return;
            }
        }
    }

    /// A session is given the body that another node has brought.
    pub(crate) fn hand_over(&mut self, now: Moment, id: SessionId) {
        let body = self.bodies.remove(&id).unwrap();
        match self.sessions.get_mut(&id) {
            Some(held) if held.session.transport() == Transport::Polling => {
                held.bodies.push_back(By::Node);
                held.session.receive(now, Input::Body(body));
                self.drive(now, id);
            }
            Some(held) => {
                held.session.receive(now, Input::Body(body));
                self.drive(now, id);
                self.owner.taken(id);
            }
            None => self.owner.taken(id),
        }
        self.settle(now);
    }

    fn owner_says(&mut self, now: Moment, output: OwnerOutput) {
        match output {
            OwnerOutput::Say(message) => self.done.push(Done::Say(message)),
            OwnerOutput::Poll(id) if self.sessions.contains_key(&id) => {
                self.poll(now, id, By::Node);
            }
            OwnerOutput::Poll(id) => self.owner.polled(id, None),
            OwnerOutput::Overlap(id) => {
                if let Some(held) = self.sessions.get_mut(&id) {
                    held.session.receive(now, Input::Poll);
                    self.drive(now, id);
                }
            }
            OwnerOutput::DropPoll(id) => {
                if let Some(held) = self.sessions.get_mut(&id)
                    && held.poll == Some(By::Node)
                {
                    held.poll = None;
                    held.session.receive(now, Input::PollGone);
                    self.drive(now, id);
                }
            }
            OwnerOutput::Body(id, packets) => {
                let body = Carried::body(&packets, Revision::V4, false);
                self.bodies.insert(id, body.into_bytes());
                self.done.push(Done::Body(id));
            }
            OwnerOutput::OpenStream(id) => match self.sessions.get_mut(&id) {
                Some(held) if held.session.can_upgrade() && held.probe.is_none() => {
                    held.probe = Some(By::Node);
                    held.session.receive(now, Input::ProbeOpened);
                    held.session.receive(now, Input::Probe(Data::Text("2probe".into())));
                    self.drive(now, id);
                }
                _ => self.owner.probed(id, false),
            },
            OwnerOutput::Stream(id, packet) => {
                let Some(held) = self.sessions.get_mut(&id) else { return };
                if held.stream == Some(By::Node) {
                    held.session.receive(now, Input::Frame(packet.frame(Form::TextOnly)));
                } else if held.probe == Some(By::Node) {
                    held.session.receive(now, Input::Probe(packet.frame(Form::TextOnly)));
                    self.upgraded_elsewhere += 1;
                }
                self.drive(now, id);
            }
            OwnerOutput::CloseStream(id, in_order) => {
                let Some(held) = self.sessions.get_mut(&id) else { return };
                if held.stream == Some(By::Node) {
                    held.session.receive(now, Input::Gone { in_order });
                } else if held.probe == Some(By::Node) {
                    held.probe = None;
                    held.session.receive(now, Input::ProbeGone);
                }
                self.drive(now, id);
            }
            OwnerOutput::Break(id) => {
                if let Some(held) = self.sessions.get_mut(&id)
                    && held.session.transport() == Transport::Polling
                {
                    held.session.receive(now, Input::BodyBroken);
                    self.drive(now, id);
                }
            }
        }
    }

    fn guest_says(&mut self, now: Moment, output: GuestOutput) {
        let (ticket, told) = match output {
            GuestOutput::Say(message) => return self.done.push(Done::Say(message)),
            GuestOutput::Tell(ticket, told) => (ticket, told),
        };
        let Some(visitor) = self.visitors.get_mut(&ticket) else { return };
        let (who, line) = (visitor.who, visitor.line);
        let last = match (told, &mut visitor.kind) {
            (Told::Found, Kind::Body(packets)) => {
                let packets = take(packets);
                self.guest.bring(now, ticket, packets);
                None
            }
            (Told::Found, Kind::WebSocket { found, waiting, .. }) => {
                *found = true;
                let frames = take(waiting);
                frames
                    .into_iter()
                    .for_each(|packet| self.more(now, ticket, Request::Frame(packet)));
                None
            }
            (Told::Found, _) => None,
            (Told::Drained(packets), Kind::Poll) => {
                self.guest.settle(ticket);
                Some(Answer::Packets(packets))
            }
            (Told::Drained(packets), _) => {
                let mut last = None;
                for packet in packets {
                    match packet {
                        Carried::Packet(Packet::Close) => last = Some(Answer::Closed),
                        packet => self.done.push(Done::Answer(who, line, Answer::Frame(packet))),
                    }
                }
                if last.is_some() {
                    self.guest.leave(ticket, false);
                }
                last
            }
            (Told::Carries, Kind::WebSocket { carries, waiting, .. }) => {
                *carries = true;
                waiting.drain(..).for_each(|packet| self.guest.forward(ticket, packet));
                None
            }
            (Told::Taken, _) => Some(Answer::Taken),
            (Told::Refused | Told::Gone, Kind::WebSocket { .. }) => Some(Answer::Closed),
            (Told::Refused | Told::Gone, _) => Some(Answer::Refused),
            (told, _) => panic!("a request is told {told:?}"),
        };
        match last {
            Some(answer) => {
                self.visitors.remove(&ticket);
                self.lines.remove(&line);
                self.done.push(Done::Answer(who, line, answer));
            }
            None => self.look_later(ticket),
        }
    }
}
