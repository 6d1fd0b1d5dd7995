//! Sessions that requests reach at any node: no load balancer has to send a client to the same node each time.
//!
//! ```text
//!   http ──▶ Visit ──▶ Guest ──▶ SessionBus ──▶ Owner ──▶ link of the session, at another node
//! ```
//!
//! A request whose session is not here is a [`Visit`](visit::Visit). What it brings goes over a [`SessionBus`] to the
//! node that holds the session, which does there what a request of its own client would do: it polls, brings a body, or
//! opens a WebSocket, which is a stream within the process. So the session, its link and its end know nothing of it.
//!
//! Who asks whom, and in what order, is in two state machines of `roomful-proto`. [`Forwarding`] drives both of them
//! under one lock. What they say goes out in the order in which they said it, without that lock: a bus may deliver at
//! once, to another server of the process.

mod bridge;
mod bus;
mod packet_stream;
mod state;
pub(crate) mod visit;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use roomful_proto::cluster::sessions::{
    GuestSettings, Message, NodeId, OwnerSettings, Standing, Want, decode, encode,
};
use roomful_proto::engine::Transport;
use roomful_proto::{Moment, Reason, SessionId};

use self::bus::Hears;
pub use self::bus::{SessionBus, SessionInlet, SessionLine};
use self::state::{Job, State};
use self::visit::Visit;
use crate::ground::farewell::Description;
use crate::ground::random;
use crate::node::core::Core;
use crate::transport::link::{FromHttp, Link, Order};

/// What a message may have that is read or sent: events that a server sends may be longer than those that it takes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Finds the sessions of this process, at whichever of its nodes they are.
pub(crate) trait Finds: Send + Sync {
    fn find(&self, session: SessionId) -> Option<(Arc<Core>, Arc<Link>)>;
}

/// The part of a server that speaks with other nodes about sessions.
pub(crate) struct Forwarding {
    core: Arc<Core>,
    finds: Weak<dyn Finds>,
    line: OnceLock<Box<dyn SessionLine>>,
    me: NodeId,
    state: Mutex<State>,
}

impl Forwarding {
    /// Takes part in a bus; `None` where the system has no randomness for a name.
    pub(crate) fn open(
        core: &Arc<Core>,
        finds: Weak<dyn Finds>,
        bus: &dyn SessionBus,
    ) -> Option<Arc<Self>> {
        let [a, b, c, ..] = random::random()?;
        let me = NodeId::from_random([a, b, c]);
        let limits = &core.limits;
        let mut guest = GuestSettings::default();
        guest.deadline = core.config.session_lookup_timeout;
        guest.silence_max = limits.ping_interval.saturating_add(limits.ping_timeout);
        let mut owner = OwnerSettings::default();
        // What a body may have may come at once.
        owner.waiting_max = owner.waiting_max.max(limits.payload_packets_max as usize);
        owner.waiting_bytes_max = limits.payload_bytes_max.saturating_mul(2);
        let state = Mutex::new(State::new(me.clone(), owner, guest));
        let core = Arc::clone(core);
        let line = OnceLock::new();
        let this = Arc::new(Self { core, finds, line, me, state });
        let hears: Weak<Self> = Arc::downgrade(&this);
        let line = bus.open(this.me.as_str(), SessionInlet::new(hears));
        // It is set once, here.
        let _ = this.line.set(line);
        Some(this)
    }

    /// Looks for the node that holds a session. `None` where too many are looked for already, or served.
    pub(crate) fn visit(self: &Arc<Self>, session: SessionId, want: Want) -> Option<Visit> {
        let now = self.now();
        let core = &self.core;
        let room = core.config.connections_max.saturating_sub(core.sessions.len());
        let told = self.with(|state| state.visit(now, session, want, room));
        match told {
            Some((ticket, told)) => {
                core.metrics.sessions_asked.add();
                Some(Visit::new(self, ticket, told))
            }
            None => {
                core.metrics.session_asks_refused.add();
                None
            }
        }
    }

    fn now(&self) -> Moment {
        self.core.now()
    }

    /// Has the machines do something, and does what they say.
    fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let done = act(&mut state);
        let jobs = state.settle(self.core.config.outbox_bytes_max);
        drop(state);
        jobs.into_iter().for_each(|job| self.work(job));
        self.speak();
        done
    }

    /// Says what waits to be said, in order: one task at a time.
    fn speak(self: &Arc<Self>) {
        if !self.state.lock().begin_speaking() {
            return;
        }
        while let Some(message) = self.next_message() {
            if !self.say(&message) {
                self.core.metrics.session_messages_dropped.add();
                self.with(|state| state.not_said(&message));
            }
        }
    }

    fn next_message(&self) -> Option<Message> {
        self.state.lock().next_message()
    }

    fn say(&self, message: &Message) -> bool {
        let bytes = encode(message);
        let Some(line) = self.line.get().filter(|_| bytes.len() <= MESSAGE_BYTES_MAX) else {
            return false;
        };
        let to = message.to.as_ref().map(NodeId::as_str);
        self.core.guarded("the bus of sessions", || line.say(to, bytes.into())).unwrap_or(false)
    }

    fn find(&self, session: SessionId) -> Option<(Arc<Core>, Arc<Link>)> {
        self.finds.upgrade()?.find(session)
    }

    /// How a session of this process is; `None` where there is none.
    fn standing(&self, session: SessionId) -> Option<Standing> {
        let (_, link) = self.find(session)?;
        let polls = link.transport() == Transport::Polling;
        Some(if polls { Standing::Polls } else { Standing::Bound })
    }

    /// What is to be done without the lock.
    fn work(self: &Arc<Self>, job: Job) {
        match job {
            Job::Poll(session) => bridge::poll(self, session),
            Job::Body(session, packets) => bridge::hand_over(self, session, packets),
            Job::OpenStream(session) => bridge::open_stream(self, session),
            Job::Overlap(session) => bridge::overlap(self, session),
            Job::Break(session) => {
                let why = Description::BodyGone;
                match self.find(session) {
                    Some((_, link)) if link.transport() == Transport::Polling => {
                        // Fails when the session has ended, and then there is nothing to end.
                        let _ = link.request(FromHttp::BodyBroken(why));
                    }
                    // It may not be read from, and would not see that its stream has ended.
                    Some((_, link)) => link.order(Order::Close(Reason::TransportError, Some(why))),
                    None => {}
                }
            }
        }
    }
}

impl Hears for Forwarding {
    fn hear(self: Arc<Self>, message: Bytes) {
        let message = match decode(&message, MESSAGE_BYTES_MAX) {
            Ok(message) => message,
            Err(why) => {
                self.core.metrics.session_messages_malformed.add();
                tracing::debug!(%why, "a message about a session is not taken");
                return;
            }
        };
        let is_ours = message.from == self.me;
        if is_ours || message.to.as_ref().is_some_and(|to| *to != self.me) {
            return;
        }
        if !message.is_for_owner() {
            let now = self.now();
            return self.with(|state| state.guest.receive(now, message));
        }
        let standing = message.body.session().and_then(|session| self.standing(session));
        // Most of what all are asked is for others.
        if standing.is_some() || message.to.is_some() {
            self.with(|state| state.owner.receive(message, standing));
        }
    }

    fn interrupted(self: Arc<Self>) {
        self.with(|state| {
            state.owner.interrupted();
            state.guest.interrupted();
        });
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarding").field("me", &self.me).finish_non_exhaustive()
    }
}
