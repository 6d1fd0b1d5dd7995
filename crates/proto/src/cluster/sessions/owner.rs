//! [`Owner`]: the node that holds sessions, as other nodes see it.
//!
//! ```text
//!   poll     granted ──▶ Poll ──▶ polled ──▶ Drain
//!   body     Packet … Packet, Lock ──▶ Body ──▶ taken ──▶ LockAnswer
//!   stream   Lock ──▶ OpenStream ──▶ probed ──▶ LockAnswer ── Upgrade ──▶ packets both ways
//! ```
//!
//! What a session is asked for by another node goes to it as what a client of this node asks for. So the session alone
//! decides, as always, and this machine only keeps who has asked, and the order.

use std::collections::{HashMap, VecDeque};

use super::message::{Body, Carried, Message, NodeId, Want};
use crate::engine::Packet;
use crate::id::SessionId;

/// Bytes of a body that more packets are joined to.
const JOINED_BYTES_MAX: usize = 64 * 1024;

/// The settings of an [`Owner`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnerSettings {
    /// Packets of one session that wait until it has taken those before. Beyond, the session ends. Default 10,000.
    pub waiting_max: usize,
    /// Bytes of these. Default 2,000,000, which is two bodies.
    pub waiting_bytes_max: usize,
}

impl Default for OwnerSettings {
    fn default() -> Self {
        Self { waiting_max: 10_000, waiting_bytes_max: 2_000_000 }
    }
}

/// How a session is, when another node speaks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its client polls, and may go on doing so at any node.
    Polls,
    /// It is none that other nodes can serve: a stream carries it, or the client speaks in a way that has no word
    /// between nodes.
    Bound,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum OwnerOutput {
    /// Say this.
    Say(Message),
    /// Poll the session, and give [`Owner::polled`] what is answered.
    Poll(SessionId),
    /// The poller is gone: drop the poll.
    DropPoll(SessionId),
    /// There is a second poll beside one that waits. It is refused, and ends the session.
    Overlap(SessionId),
    /// Hand this body to the session, and call [`Owner::taken`] when it is worked off.
    Body(SessionId, Vec<Carried>),
    /// Open a WebSocket of this process for the session, send the probe, and tell [`Owner::probed`] whether it was
    /// answered.
    OpenStream(SessionId),
    /// Send a packet of the client on that stream.
    Stream(SessionId, Carried),
    /// The client has closed that stream, in order (`true`) or not.
    CloseStream(SessionId, bool),
    /// The session ends: what its client has sent is lost.
    Break(SessionId),
}

/// The node that holds sessions.
#[derive(Debug)]
pub struct Owner {
    me: NodeId,
    settings: OwnerSettings,
    sessions: HashMap<SessionId, Remote>,
    out: VecDeque<OwnerOutput>,
}

/// What other nodes have to do with a session. It is kept while there is any of it.
#[derive(Debug, Default)]
struct Remote {
    /// The node at which a poll waits.
    poll: Option<NodeId>,
    stream: Stream,
    lane: VecDeque<Step>,
    /// Packets in the lane, and their bytes.
    waiting: usize,
    waiting_bytes: usize,
    /// A body is with the session.
    taking: bool,
}

/// A WebSocket at another node.
#[derive(Debug, Default)]
enum Stream {
    #[default]
    None,
    /// The session is asked whether it takes one.
    Opening { guest: NodeId, request: u64 },
    /// It does; the client has not come over yet.
    Probed(NodeId),
    /// It carries the session.
    Carrying(NodeId),
}

/// What is done for a session, one after the other.
#[derive(Debug)]
enum Step {
    Packets(Vec<Carried>),
    /// Tell a node that all before it is done.
    Fence {
        guest: NodeId,
        request: u64,
    },
    /// The client comes over.
    Upgrade {
        guest: NodeId,
        request: u64,
    },
}

impl Owner {
    /// A node of that name.
    pub fn new(me: NodeId, settings: OwnerSettings) -> Self {
        Self { me, settings, sessions: HashMap::new(), out: VecDeque::new() }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<OwnerOutput> {
        self.out.pop_front()
    }

    /// Sessions with which other nodes have to do now.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Takes a message, with how its session is at this node; `None` where it is not here.
    pub fn receive(&mut self, message: Message, standing: Option<Standing>) {
        let Message { from, to, body } = message;
        let (Some(session), Some(standing)) = (body.session(), standing) else {
            // Of this node alone it is asked behind packets.
            if let (Body::Lock { request, .. }, Some(_)) = (body, to) {
                self.answer(from, request, false);
            }
            return;
        };
        let remote = self.sessions.entry(session).or_default();
        match body {
            Body::Lock { request, want, .. } => {
                let polls = standing == Standing::Polls;
                // What is for this node alone comes behind packets, and waits for them.
                let is_fence = want == Want::Write && to.is_some();
                match want {
                    Want::Write if is_fence && remote.is_busy() => {
                        remote.lane.push_back(Step::Fence { guest: from, request });
                    }
                    Want::Write => self.answer(from, request, polls || is_fence),
                    Want::Read => {
                        let granted = polls && remote.poll.is_none();
                        if granted {
                            remote.poll = Some(from.clone());
                        }
                        self.answer(from, request, granted);
                        if granted {
                            self.out.push_back(OwnerOutput::Poll(session));
                        } else if polls {
                            self.out.push_back(OwnerOutput::Overlap(session));
                        }
                    }
                    Want::Stream if polls && matches!(remote.stream, Stream::None) => {
                        remote.stream = Stream::Opening { guest: from, request };
                        self.out.push_back(OwnerOutput::OpenStream(session));
                    }
                    Want::Stream => self.answer(from, request, false),
                }
            }
            Body::Packet { packet, .. } => self.packet(session, packet),
            Body::Upgrade { request, success, .. } => {
                if remote.stream.is_probed_by(&from) {
                    if success {
                        remote.lane.push_back(Step::Upgrade { guest: from, request });
                    } else {
                        remote.stream = Stream::None;
                        self.out.push_back(OwnerOutput::CloseStream(session, true));
                    }
                }
            }
            Body::Close { in_order, .. } => self.close(session, &from, in_order, standing),
            Body::LockAnswer { .. } | Body::Drain { .. } | Body::UpgradeAnswer { .. } => {}
        }
        self.work(session);
    }

    /// The poll was answered with these packets; `None` where the session has ended without a word.
    pub fn polled(&mut self, session: SessionId, packets: Option<Vec<Carried>>) {
        if let Some(remote) = self.sessions.get_mut(&session)
            && let Some(guest) = remote.poll.take()
        {
            let packets = packets.unwrap_or_else(|| vec![Carried::Packet(Packet::Close)]);
            self.drain(guest, session, packets);
        }
        self.work(session);
    }

    /// The session has worked a body off, or has ended.
    pub fn taken(&mut self, session: SessionId) {
        if let Some(remote) = self.sessions.get_mut(&session) {
            remote.taking = false;
        }
        self.work(session);
    }

    /// Whether the session has answered the probe on the stream that was opened for it.
    pub fn probed(&mut self, session: SessionId, answered: bool) {
        if let Some(remote) = self.sessions.get_mut(&session)
            && let Stream::Opening { guest, request } = std::mem::take(&mut remote.stream)
        {
            if answered {
                remote.stream = Stream::Probed(guest.clone());
            }
            self.answer(guest, request, answered);
        }
        self.work(session);
    }

    /// The session has sent packets on that stream.
    pub fn streamed(&mut self, session: SessionId, packets: Vec<Carried>) {
        if let Some(remote) = self.sessions.get(&session)
            && let Stream::Carrying(guest) = &remote.stream
        {
            let guest = guest.clone();
            self.drain(guest, session, packets);
        }
    }

    /// The session has closed that stream.
    pub fn stream_ended(&mut self, session: SessionId) {
        if let Some(remote) = self.sessions.get_mut(&session) {
            match std::mem::take(&mut remote.stream) {
                Stream::None | Stream::Probed(_) => {}
                Stream::Opening { guest, request } => self.answer(guest, request, false),
                Stream::Carrying(guest) => {
                    self.drain(guest, session, vec![Carried::Packet(Packet::Close)]);
                }
            }
        }
        self.work(session);
    }

    /// Something that was to reach the session or its client is lost, so it cannot go on.
    pub fn lost(&mut self, session: SessionId) {
        self.out.push_back(OwnerOutput::Break(session));
        if let Some(remote) = self.sessions.get_mut(&session) {
            remote.lane.clear();
            (remote.waiting, remote.waiting_bytes) = (0, 0);
            let guest = match std::mem::take(&mut remote.stream) {
                Stream::Probed(guest) | Stream::Carrying(guest) => Some(guest),
                Stream::None | Stream::Opening { .. } => None,
            };
            let poller = remote.poll.take();
            if guest.is_some() {
                self.out.push_back(OwnerOutput::CloseStream(session, false));
            }
            if poller.is_some() {
                self.out.push_back(OwnerOutput::DropPoll(session));
            }
            for reader in guest.into_iter().chain(poller) {
                self.drain(reader, session, vec![Carried::Packet(Packet::Close)]);
            }
        }
        self.work(session);
    }

    /// What other nodes have said, or were to hear, may be lost: of all sessions that they have to do with.
    pub fn interrupted(&mut self) {
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.lost(session));
    }

    fn packet(&mut self, session: SessionId, packet: Carried) {
        let Some(remote) = self.sessions.get_mut(&session) else {
            return;
        };
        if remote.waiting >= self.settings.waiting_max
            || remote.waiting_bytes + packet.len() > self.settings.waiting_bytes_max
        {
            return self.lost(session);
        }
        remote.waiting += 1;
        remote.waiting_bytes += packet.len();
        match remote.lane.back_mut() {
            Some(Step::Packets(packets)) => packets.push(packet),
            _ => remote.lane.push_back(Step::Packets(vec![packet])),
        }
    }

    fn close(&mut self, session: SessionId, from: &NodeId, in_order: bool, standing: Standing) {
        let Some(remote) = self.sessions.get_mut(&session) else {
            return;
        };
        if remote.stream.is_of(from) {
            remote.stream = Stream::None;
            self.out.push_back(OwnerOutput::CloseStream(session, in_order));
        } else if in_order {
            // It stood in a body, behind others.
            self.packet(session, Carried::Packet(Packet::Close));
        } else if remote.poll.as_ref() == Some(from) {
            remote.poll = None;
            self.out.push_back(OwnerOutput::DropPoll(session));
        } else if standing == Standing::Polls {
            self.out.push_back(OwnerOutput::Break(session));
        }
    }

    /// Does what can be done for a session, in order.
    fn work(&mut self, session: SessionId) {
        while let Some(remote) = self.sessions.get_mut(&session)
            && !remote.taking
            && let Some(step) = remote.next_step()
        {
            match step {
                Step::Packets(packets) if matches!(remote.stream, Stream::Carrying(_)) => {
                    let sent = packets.into_iter();
                    self.out.extend(sent.map(|packet| OwnerOutput::Stream(session, packet)));
                }
                Step::Packets(packets) => {
                    remote.taking = true;
                    self.out.push_back(OwnerOutput::Body(session, packets));
                }
                Step::Fence { guest, request } => self.answer(guest, request, true),
                Step::Upgrade { guest, request } if remote.stream.is_probed_by(&guest) => {
                    remote.stream = Stream::Carrying(guest.clone());
                    let come_over = Carried::Packet(Packet::Upgrade);
                    self.out.push_back(OwnerOutput::Stream(session, come_over));
                    let packets = Vec::new();
                    self.say(guest, Body::UpgradeAnswer { request, take_over: false, packets });
                }
                Step::Upgrade { .. } => {}
            }
        }
        if self.sessions.get(&session).is_some_and(Remote::is_over) {
            self.sessions.remove(&session);
        }
    }

    fn answer(&mut self, guest: NodeId, request: u64, granted: bool) {
        self.say(guest, Body::LockAnswer { request, granted });
    }

    fn drain(&mut self, guest: NodeId, session: SessionId, packets: Vec<Carried>) {
        self.say(guest, Body::Drain { session, packets });
    }

    fn say(&mut self, to: NodeId, body: Body) {
        let message = Message { from: self.me.clone(), to: Some(to), body };
        self.out.push_back(OwnerOutput::Say(message));
    }
}

impl Remote {
    fn is_busy(&self) -> bool {
        self.taking || !self.lane.is_empty()
    }

    fn is_over(&self) -> bool {
        !self.is_busy() && self.poll.is_none() && matches!(self.stream, Stream::None)
    }

    /// The next step: of many packets, as many as one body should have.
    fn next_step(&mut self) -> Option<Step> {
        let mut step = self.lane.pop_front()?;
        if let Step::Packets(packets) = &mut step {
            let mut bytes = 0;
            let fits = |packet: &&Carried| {
                let is_first = bytes == 0;
                bytes += 1 + packet.len();
                is_first || bytes <= JOINED_BYTES_MAX
            };
            let rest = packets.split_off(packets.iter().take_while(fits).count());
            self.waiting -= packets.len();
            self.waiting_bytes -= packets.iter().map(Carried::len).sum::<usize>();
            if !rest.is_empty() {
                self.lane.push_front(Step::Packets(rest));
            }
        }
        Some(step)
    }
}

impl Stream {
    fn is_probed_by(&self, node: &NodeId) -> bool {
        matches!(self, Self::Probed(guest) if guest == node)
    }

    fn is_of(&self, node: &NodeId) -> bool {
        matches!(self, Self::Probed(guest) | Self::Carrying(guest) if guest == node)
    }
}
