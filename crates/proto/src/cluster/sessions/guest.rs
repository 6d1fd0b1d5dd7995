//! [`Guest`]: the node at which requests arrive whose session another node holds.
//!
//! ```text
//!   poll     Asking ──▶ Polling ──Drain──▶ Answered ──settle──▶ over
//!   body     Asking ──▶ Writing ──say──▶ Fencing ──▶ over
//!   stream   Asking ──▶ Probing ──upgrade──▶ Upgrading ──▶ Carrying ──Drain, forward──▶ over
//! ```
//!
//! Everything has its time: an owner that does not answer, or from which nothing has come for longer than any session
//! is silent, is taken for dead, and the client is told.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::message::{Body, Carried, Message, NodeId, Want};
use crate::engine::Packet;
use crate::id::SessionId;
use crate::time::Moment;

/// The settings of a [`Guest`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GuestSettings {
    /// Time for an owner to answer. Default 1 s, as the official engine.
    pub deadline: Duration,
    /// Silence of an owner after which what waits for it is given up. It has to be longer than sessions are silent: their
    /// ping interval and ping timeout. Default 45 s.
    pub silence_max: Duration,
    /// Requests whose owner is being looked for at the same time. Default 1,000.
    pub asks_max: usize,
}

impl Default for GuestSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(1),
            silence_max: Duration::from_secs(45),
            asks_max: 1_000,
        }
    }
}

/// A request at this node. No two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum GuestOutput {
    /// Say this.
    Say(Message),
    /// Tell a request.
    Tell(Ticket, Told),
}

/// What a request is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// There is an owner, and the request may go on.
    Found,
    /// There is none, or it does not let the request go on. Nothing follows.
    Refused,
    /// Packets for the client. A poll has them when it [says so](Guest::settle).
    Drained(Vec<Carried>),
    /// The packets of a body are with the session. Nothing follows.
    Taken,
    /// The owner carries the session on over the stream of this node.
    Carries,
    /// The session is this node's from now on; its client has sent these packets before. Nothing follows.
    TakeOver(Vec<Carried>),
    /// The owner is gone. Nothing follows.
    Gone,
}

/// The node at which requests arrive whose session another node holds.
#[derive(Debug)]
pub struct Guest {
    me: NodeId,
    settings: GuestSettings,
    /// The last number that was given to a request, for its ticket or an answer to it.
    last: u64,
    visits: HashMap<Ticket, Visit>,
    asking: usize,
    /// The tickets of answers that are waited for.
    answers: HashMap<u64, Ticket>,
    /// Polls and streams of a session, in the order in which they came.
    readers: HashMap<SessionId, VecDeque<Ticket>>,
    /// Requests that were given up before they were answered: an owner that lets one go on must hear of it.
    forsaken: VecDeque<(u64, SessionId, Want)>,
    out: VecDeque<GuestOutput>,
}

#[derive(Debug)]
struct Visit {
    session: SessionId,
    want: Want,
    phase: Phase,
    /// When it is over, where that does not depend on others.
    until: Option<Moment>,
}

#[derive(Debug)]
enum Phase {
    Asking,
    Polling(NodeId),
    /// Its answer is on the way to the client.
    Answered(NodeId),
    Writing(NodeId),
    Fencing {
        owner: NodeId,
        request: u64,
    },
    Probing(NodeId),
    Upgrading {
        owner: NodeId,
        request: u64,
    },
    Carrying(NodeId),
}

impl Guest {
    /// A node of that name.
    pub fn new(me: NodeId, settings: GuestSettings) -> Self {
        Self {
            me,
            settings,
            last: 0,
            visits: HashMap::new(),
            asking: 0,
            answers: HashMap::new(),
            readers: HashMap::new(),
            forsaken: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<GuestOutput> {
        self.out.pop_front()
    }

    /// Requests and streams that are served now.
    pub fn len(&self) -> usize {
        self.visits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.visits.is_empty()
    }

    /// Asks whose a session is. `None` where too many are asked for already.
    pub fn ask(&mut self, now: Moment, session: SessionId, want: Want) -> Option<Ticket> {
        if self.asking >= self.settings.asks_max {
            return None;
        }
        let request = self.number();
        let ticket = Ticket(request);
        let until = Some(now + self.settings.deadline);
        self.visits.insert(ticket, Visit { session, want, phase: Phase::Asking, until });
        self.asking += 1;
        self.answers.insert(request, ticket);
        self.say(None, Body::Lock { request, session, want });
        Some(ticket)
    }

    /// Brings the packets of a body. They are followed by a lock, which the owner answers behind them. It may take its
    /// time: a session that is read slowly takes bodies slowly.
    pub fn bring(&mut self, now: Moment, ticket: Ticket, packets: Vec<Carried>) {
        let until = Some(now + self.settings.silence_max);
        let request = self.number();
        let Some(visit) = self.visits.get_mut(&ticket) else {
            return;
        };
        let Phase::Writing(owner) = &visit.phase else {
            return;
        };
        let (session, owner) = (visit.session, owner.clone());
        visit.phase = Phase::Fencing { owner: owner.clone(), request };
        visit.until = until;
        self.answers.insert(request, ticket);
        let ends = packets.contains(&Carried::Packet(Packet::Close));
        for packet in packets {
            self.carry(owner.clone(), session, packet);
        }
        if ends {
            // Official owners do not answer for a session that has ended.
            drop(self.forget(ticket));
            return self.tell(ticket, Told::Taken);
        }
        self.say(Some(owner), Body::Lock { request, session, want: Want::Write });
    }

    /// The client has come over to its WebSocket.
    pub fn upgrade(&mut self, now: Moment, ticket: Ticket) {
        let until = Some(now + self.settings.deadline);
        let request = self.number();
        let Some(visit) = self.visits.get_mut(&ticket) else {
            return;
        };
        let Phase::Probing(owner) = &visit.phase else {
            return;
        };
        let (session, owner) = (visit.session, owner.clone());
        visit.phase = Phase::Upgrading { owner: owner.clone(), request };
        visit.until = until;
        self.answers.insert(request, ticket);
        self.readers.entry(session).or_default().push_back(ticket);
        self.say(Some(owner), Body::Upgrade { request, session, success: true });
    }

    /// Passes on what the client has sent on its WebSocket.
    pub fn forward(&mut self, ticket: Ticket, packet: Carried) {
        if let Some(visit) = self.visits.get(&ticket)
            && let Phase::Carrying(owner) = &visit.phase
        {
            self.carry(owner.clone(), visit.session, packet);
        }
    }

    /// The client has the answer to its poll, or its body is not brought, and the session goes on all the same.
    pub fn settle(&mut self, ticket: Ticket) {
        let visit = self.visits.get(&ticket);
        if visit.is_some_and(|visit| matches!(visit.phase, Phase::Answered(_) | Phase::Writing(_)))
        {
            drop(self.forget(ticket));
        }
    }

    /// Something that this node has said of a session is lost on the way, so that nothing can go on.
    pub fn lost(&mut self, session: SessionId) {
        let is_its = |ticket: &Ticket| {
            let visit = self.visits.get(ticket).filter(|visit| visit.session == session);
            visit.is_some_and(|visit| visit.phase.owner().is_some())
        };
        let readers = self.readers.get(&session).into_iter().flatten();
        let tickets: Vec<_> =
            readers.chain(self.answers.values()).copied().filter(is_its).collect();
        self.cut(tickets);
    }

    /// What owners have said, or were to hear, may be lost: of all requests that have one.
    pub fn interrupted(&mut self) {
        let has_owner = |visit: &Visit| visit.phase.owner().is_some();
        let mut tickets: Vec<_> = self
            .visits
            .iter()
            .filter(|(_, visit)| has_owner(visit))
            .map(|(ticket, _)| *ticket)
            .collect();
        tickets.sort_unstable();
        self.cut(tickets);
    }

    fn cut(&mut self, tickets: Vec<Ticket>) {
        for ticket in tickets {
            if let Some(visit) = self.forget(ticket) {
                self.tell(ticket, Told::Gone);
                let owner = visit.phase.owner().cloned();
                self.say(owner, Body::Close { session: visit.session, in_order: false });
            }
        }
    }

    /// The request is given up, or its WebSocket has ended: `in_order` if the client said so.
    pub fn leave(&mut self, ticket: Ticket, in_order: bool) {
        let Some(visit) = self.forget(ticket) else {
            return;
        };
        let session = visit.session;
        match visit.phase {
            // Whether what was brought has arrived the owner knows.
            Phase::Asking | Phase::Fencing { .. } => {}
            // An official owner whose stream closes ends the session, which may go on polling.
            Phase::Probing(owner) => {
                let request = self.number();
                self.say(Some(owner), Body::Upgrade { request, session, success: false });
            }
            Phase::Polling(owner) | Phase::Answered(owner) | Phase::Writing(owner) => {
                self.say(Some(owner), Body::Close { session, in_order: false });
            }
            Phase::Upgrading { owner, .. } | Phase::Carrying(owner) => {
                self.say(Some(owner), Body::Close { session, in_order });
            }
        }
    }

    /// Takes a message.
    pub fn receive(&mut self, now: Moment, message: Message) {
        let Message { from, body, .. } = message;
        match body {
            Body::LockAnswer { request, granted } => self.answered(now, from, request, granted),
            Body::Drain { session, packets } => self.drained(now, &from, session, packets),
            Body::UpgradeAnswer { request, take_over, packets } => {
                self.upgraded(now, &from, request, take_over, packets);
            }
            Body::Lock { .. } | Body::Packet { .. } | Body::Upgrade { .. } | Body::Close { .. } => {
            }
        }
    }

    /// When [`expire`](Self::expire) must be called for a request; `None` when its time has no end, or it is over.
    pub fn deadline(&self, ticket: Ticket) -> Option<Moment> {
        self.visits.get(&ticket)?.until
    }

    /// Gives a request up whose time is over. Too early a call does nothing.
    pub fn expire(&mut self, now: Moment, ticket: Ticket) {
        if self.deadline(ticket).is_none_or(|until| now < until) {
            return;
        }
        match self.visits.get(&ticket).map(|visit| &visit.phase) {
            Some(Phase::Asking) => {
                self.leave(ticket, false);
                self.tell(ticket, Told::Refused);
            }
            // What was brought may be lost.
            _ => self.cut(vec![ticket]),
        }
    }

    fn answered(&mut self, now: Moment, from: NodeId, request: u64, granted: bool) {
        let Some(ticket) = self.answers.get(&request).copied() else {
            return self.answered_late(from, request, granted);
        };
        let Some(visit) = self.visits.get_mut(&ticket) else {
            return;
        };
        match &visit.phase {
            Phase::Asking if granted => {
                self.answers.remove(&request);
                self.asking -= 1;
                visit.until = None;
                visit.phase = match visit.want {
                    Want::Read => {
                        visit.until = Some(now + self.settings.silence_max);
                        self.readers.entry(visit.session).or_default().push_back(ticket);
                        Phase::Polling(from)
                    }
                    Want::Write => Phase::Writing(from),
                    Want::Stream => Phase::Probing(from),
                };
                self.tell(ticket, Told::Found);
            }
            Phase::Asking => {
                self.answers.remove(&request);
                drop(self.forget(ticket));
                self.tell(ticket, Told::Refused);
            }
            Phase::Fencing { owner, .. } if *owner == from => {
                drop(self.forget(ticket));
                self.tell(ticket, Told::Taken);
            }
            _ => {}
        }
    }

    /// An owner lets a request go on that is not there any more.
    fn answered_late(&mut self, from: NodeId, request: u64, granted: bool) {
        let at = self.forsaken.iter().position(|(number, ..)| *number == request);
        let Some((_, session, want)) = at.and_then(|at| self.forsaken.remove(at)) else {
            return;
        };
        match want {
            Want::Read if granted => {
                self.say(Some(from), Body::Close { session, in_order: false });
            }
            Want::Stream if granted => {
                let request = self.number();
                self.say(Some(from), Body::Upgrade { request, session, success: false });
            }
            _ => {}
        }
    }

    fn drained(&mut self, now: Moment, from: &NodeId, session: SessionId, packets: Vec<Carried>) {
        let readers = self.readers.get(&session).into_iter().flatten().copied();
        let is_its = |ticket: &Ticket| {
            let phase = self.visits.get(ticket).map(|visit| &visit.phase);
            phase.and_then(Phase::reads_from) == Some(from)
        };
        // A poll is answered once, and only then is there a stream of the same session.
        let reader = readers.into_iter().find(is_its);
        let Some(ticket) = reader else {
            // Nobody is here to be given this, so it is lost.
            let is_lost = packets.iter().any(|packet| !packet.is_empty());
            if is_lost {
                self.say(Some(from.clone()), Body::Close { session, in_order: false });
            }
            return;
        };
        match self.visits.get_mut(&ticket) {
            Some(Visit { phase: phase @ Phase::Polling(_), until, .. }) => {
                *phase = Phase::Answered(from.clone());
                *until = None;
                self.unlist(session, ticket);
            }
            Some(Visit { phase: Phase::Carrying(_), until, .. }) => {
                *until = Some(now + self.settings.silence_max);
            }
            _ => {}
        }
        self.tell(ticket, Told::Drained(packets));
    }

    fn upgraded(
        &mut self,
        now: Moment,
        from: &NodeId,
        request: u64,
        take_over: bool,
        packets: Vec<Carried>,
    ) {
        let Some(ticket) = self.answers.get(&request).copied() else {
            return;
        };
        let Some(visit) = self.visits.get_mut(&ticket) else {
            return;
        };
        match &visit.phase {
            Phase::Upgrading { owner, .. } if owner == from => {}
            _ => return,
        }
        self.answers.remove(&request);
        if take_over {
            drop(self.forget(ticket));
            self.tell(ticket, Told::TakeOver(packets));
        } else {
            visit.phase = Phase::Carrying(from.clone());
            visit.until = Some(now + self.settings.silence_max);
            self.tell(ticket, Told::Carries);
        }
    }

    /// Takes a request out of all tables.
    fn forget(&mut self, ticket: Ticket) -> Option<Visit> {
        let visit = self.visits.remove(&ticket)?;
        match &visit.phase {
            Phase::Asking => {
                self.asking -= 1;
                if self.answers.remove(&ticket.0).is_some() {
                    self.forsake(ticket.0, visit.session, visit.want);
                }
            }
            Phase::Fencing { request, .. } | Phase::Upgrading { request, .. } => {
                self.answers.remove(request);
            }
            _ => {}
        }
        self.unlist(visit.session, ticket);
        Some(visit)
    }

    /// It reads nothing any more.
    fn unlist(&mut self, session: SessionId, ticket: Ticket) {
        if let Some(readers) = self.readers.get_mut(&session) {
            readers.retain(|reader| *reader != ticket);
            if readers.is_empty() {
                self.readers.remove(&session);
            }
        }
    }

    fn forsake(&mut self, request: u64, session: SessionId, want: Want) {
        if want == Want::Write {
            return;
        }
        if self.forsaken.len() >= self.settings.asks_max {
            self.forsaken.pop_front();
        }
        self.forsaken.push_back((request, session, want));
    }

    const fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn carry(&mut self, owner: NodeId, session: SessionId, packet: Carried) {
        let body = match packet {
            // Official owners know an end only by its own message.
            Carried::Packet(Packet::Close) => Body::Close { session, in_order: true },
            packet => Body::Packet { session, packet },
        };
        self.say(Some(owner), body);
    }

    fn say(&mut self, to: Option<NodeId>, body: Body) {
        let message = Message { from: self.me.clone(), to, body };
        self.out.push_back(GuestOutput::Say(message));
    }

    fn tell(&mut self, ticket: Ticket, told: Told) {
        self.out.push_back(GuestOutput::Tell(ticket, told));
    }
}

impl Phase {
    /// The owner, once it is known.
    const fn owner(&self) -> Option<&NodeId> {
        match self {
            Self::Asking => None,
            Self::Polling(owner)
            | Self::Answered(owner)
            | Self::Writing(owner)
            | Self::Fencing { owner, .. }
            | Self::Probing(owner)
            | Self::Upgrading { owner, .. }
            | Self::Carrying(owner) => Some(owner),
        }
    }

    /// The owner that answers it with packets.
    const fn reads_from(&self) -> Option<&NodeId> {
        match self {
            Self::Polling(_) | Self::Upgrading { .. } | Self::Carrying(_) => self.owner(),
            _ => None,
        }
    }
}
