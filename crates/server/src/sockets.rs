//! [`Sockets`]: the Socket.IO half of a connection.
//!
//! It belongs to the connection's task alone: the mux, the sockets in their slots, and the handlers
//! that have not ended. A handler starts in the order of its event and runs to its first wait right
//! here; only then is it parked, in a bounded set. An ack for us never waits behind a handler.

mod expired;

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::{FuturesUnordered, Stream};
use roomful_proto::engine::Data as Message;
use roomful_proto::socket::{Arrived, Event, Mux, Slot};
use roomful_proto::{AckId, Args, Letter, Moment, Reason, SocketId, Violation};

use crate::asks;
use crate::core::Core;
use crate::entry::{Entrance, Identity, Visitor, decide};
use crate::failure::EventError;
use crate::handler::{Data, Decided, Done, Reply, Started, Work};
use crate::hello::Refusal;
use crate::lanes::Lanes;
use crate::link::{Link, Order, Pushed, Worth};
use crate::listeners::{Catch, pass};
use crate::namespace::{NamespaceCore, Table};
use crate::parents;
use crate::parser::parcel;
use crate::rates::{Buckets, Fate, Rates};
use crate::recovery;
use crate::socket::SocketCore;

/// Bytes of events whose handlers run, or wait for one of `handlers_max` places to run, and of auth
/// payloads about which namespaces decide. Above it nothing is read from the client until some of
/// that has ended.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Handlers that go on in one turn. Tokio gives a task a budget of operations, and what comes after
/// its end comes out of order; a turn stays within it.
const RESUMED_PER_TURN: usize = 32;

pub(crate) struct Sockets {
    core: Arc<Core>,
    link: Arc<Link>,
    mux: Mux,
    seats: Vec<Seat>,
    /// Handlers that wait for something; absent while there are none.
    parked: Option<Box<FuturesUnordered<Parked>>>,
    waiting: VecDeque<(Slot, Event)>,
    /// Events that wait for the one in front of them.
    lanes: Lanes,
    /// How fast its events may come.
    rates: Option<Box<Rates>>,
    buckets: Buckets,
    /// Of all that is parked or waits.
    event_bytes: usize,
    /// An answer came, and the handler that waits for it may not have gone on yet.
    answered: bool,
    /// When the time of the next socket is over, as far as it was told.
    next_expiry: Option<Moment>,
}

enum Seat {
    Empty,
    /// It is not decided yet whether the namespace is to be.
    Finding {
        slot: Slot,
        /// Drops the search: nobody waits for it any more.
        stop: AbortHandle,
    },
    /// The namespace has not decided yet.
    Deciding {
        entrance: Entrance,
        /// Drops the decision: nobody waits for it any more.
        stop: AbortHandle,
    },
    Joined(Arc<SocketCore>),
}

/// A piece of work, whose it is, what for, and the bytes of its event or its auth payload.
struct Parked {
    work: Work,
    whose: Option<(Arc<SocketCore>, Cause)>,
    bytes: usize,
    /// Later events of the socket wait until it has ended.
    holds: bool,
}

/// What a function of the user's was called for.
struct Cause {
    event: Name,
    ack: Option<AckId>,
}

enum Name {
    /// Of an event.
    Event(Arc<str>),
    /// A socket has come, or leaves.
    Passage(&'static str),
}

impl Cause {
    fn event(name: Option<&Arc<str>>, event: &Event) -> Self {
        let name = name.map_or_else(|| event.name().into(), Arc::clone);
        Self { event: Name::Event(name), ack: event.ack }
    }

    const fn passage(name: &'static str) -> Self {
        Self { event: Name::Passage(name), ack: None }
    }

    fn name(&self) -> &str {
        match &self.event {
            Name::Event(name) => name,
            Name::Passage(name) => name,
        }
    }
}

/// Work that has ended.
struct Ended {
    bytes: usize,
    /// Whose lane it has held.
    held: Option<Slot>,
    result: Result<Next, Panicked>,
}

/// What is to be done when a piece of work has ended.
enum Next {
    Nothing,
    /// A namespace has decided.
    Decided(Decided),
    /// An event may come to its handler.
    Passed(Arc<SocketCore>, Event),
}

/// The work panicked.
struct Panicked {
    whose: Option<(Arc<SocketCore>, Cause)>,
    error: EventError,
}

/// How far a function of the user's came at once.
enum Begun {
    Ended(Option<Reply>),
    Waits(Started),
    Panicked(EventError),
}

/// Calls a function of the user's and runs what it gives to its first wait.
fn begin(cx: &mut Context<'_>, function: impl FnOnce() -> Option<Started>) -> Begun {
    let begun = catch_unwind(AssertUnwindSafe(|| {
        let Some(mut started) = function() else {
            return Begun::Ended(None);
        };
        match started.as_mut().poll(cx) {
            Poll::Ready(reply) => Begun::Ended(reply),
            Poll::Pending => Begun::Waits(started),
        }
    }));
    begun.unwrap_or_else(|panic| Begun::Panicked(EventError::panicked(&*panic)))
}

/// Calls what a table has for an event; `None` when it has nothing. Gives the name, too, if it is at
/// hand.
#[inline]
fn listen<'t>(
    cx: &mut Context<'_>,
    table: &'t Table,
    socket: &Arc<SocketCore>,
    event: &mut Event,
) -> Option<(Begun, Option<&'t Arc<str>>)> {
    if let Some(handler) = table.events.get(event.name_bytes()) {
        return Some((begin(cx, || handler.start(socket, event)), Some(&handler.event)));
    }
    let other = table.other.as_ref()?;
    Some((begin(cx, || other(socket, event.name().to_owned(), event.args.clone())), None))
}

impl Future for Parked {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let held = self.whose.as_ref().filter(|_| self.holds).map(|(socket, _)| socket.slot);
        let work = &mut self.work;
        let result = match catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Done::Decided(decided))) => Ok(Next::Decided(decided)),
            Ok(Poll::Ready(Done::Passed(event))) => {
                let socket = self.whose.as_ref().map(|(socket, _)| Arc::clone(socket));
                let passed = socket.zip(event);
                Ok(passed.map_or(Next::Nothing, |(socket, event)| Next::Passed(socket, event)))
            }
            Ok(Poll::Ready(Done::Handled(reply))) => {
                if let (Some((socket, _)), Some(reply)) = (&self.whose, reply) {
                    socket.reply(reply);
                }
                Ok(Next::Nothing)
            }
            Err(panic) => {
                Err(Panicked { whose: self.whose.take(), error: EventError::panicked(&*panic) })
            }
        };
        Poll::Ready(Ended { bytes: self.bytes, held, result })
    }
}

impl Sockets {
    pub(crate) fn new(core: Arc<Core>, link: Arc<Link>, now: Moment) -> Self {
        let limits = Arc::clone(&core.limits);
        Self {
            rates: Rates::new(core.config.event_rate, core.config.event_pace),
            buckets: Buckets::default(),
            mux: Mux::new(now + limits.connect_timeout, link.dialect.revision, limits),
            core,
            link,
            seats: Vec::new(),
            parked: None,
            waiting: VecDeque::new(),
            lanes: Lanes::default(),
            event_bytes: 0,
            answered: false,
            next_expiry: None,
        }
    }

    /// Joins `/` for a client that is there without asking.
    pub(crate) fn join_main(&mut self, cx: &mut Context<'_>, now: Moment) {
        let arrived = self.mux.join_main();
        self.arrived(cx, now, arrived);
    }

    /// Takes a message of the session.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        message: Message,
    ) -> Result<(), Violation> {
        let arrived = match &self.core.config.parser {
            None => self.mux.take(now, message)?,
            Some(parser) => {
                let whole = parser.read(message, &self.core)?;
                self.mux.take_whole(now, whole)?
            }
        };
        if let Some(arrived) = arrived {
            self.arrived(cx, now, arrived);
        }
        Ok(())
    }

    /// Runs the handlers that can go on, in the order in which what they waited for came; `true`
    /// when there may be more of them than fit into one turn.
    pub(crate) fn run(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        if let Some(rates) = &mut self.rates {
            rates.wake(now);
        }
        for _ in 0..RESUMED_PER_TURN {
            let Some(parked) = &mut self.parked else {
                self.start_waiting(cx, now);
                return false;
            };
            match Pin::new(&mut **parked).poll_next(cx) {
                Poll::Ready(Some(ended)) => {
                    self.event_bytes -= ended.bytes;
                    if let Some(slot) = ended.held {
                        self.lanes.release(slot);
                    }
                    self.done(cx, now, ended.result);
                }
                Poll::Ready(None) => self.parked = None,
                Poll::Pending if self.start_waiting(cx, now) => {}
                Poll::Pending => return false,
            }
        }
        true
    }

    /// Whether so much waits for handlers that nothing more should be read. What namespaces run
    /// when a socket comes or leaves waits for no room; a client that comes and leaves without
    /// end is slowed down here.
    pub(crate) fn is_congested(&self) -> bool {
        let parked = self.parked.as_ref().map_or(0, |parked| parked.len());
        let of_namespaces = self.core.limits.namespaces_max.saturating_mul(2);
        let parked_max = self.core.config.handlers_max.saturating_add(of_namespaces);
        let paced = self.rates.as_ref().is_some_and(|rates| rates.held_until().is_some());
        paced || self.event_bytes > EVENT_BYTES_MAX || parked > parked_max
    }

    /// Whether no handler runs or waits to.
    pub(crate) fn is_idle(&self) -> bool {
        self.parked.is_none() && self.waiting.is_empty() && self.lanes.is_empty()
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        let held_until = self.rates.as_ref().and_then(|rates| rates.held_until());
        [self.mux.deadline(), held_until, self.next_expiry].into_iter().flatten().min()
    }

    pub(crate) fn expire(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<(), Violation> {
        self.expire_sockets(cx, now);
        self.mux.expire(now)
    }

    /// Takes one socket out of its namespace, by the server's will.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>, now: Moment, id: SocketId) {
        let found = |seat: &Seat| matches!(seat, Seat::Joined(socket) if socket.id == id);
        if let Some(index) = self.seats.iter().position(found) {
            self.dismiss(cx, now, index, Reason::ServerNamespaceDisconnect);
        }
    }

    /// Takes all sockets out of their namespaces, by the server's will, and tells the client.
    pub(crate) fn leave_all(&mut self, cx: &mut Context<'_>, now: Moment) {
        for index in 0..self.seats.len() {
            self.dismiss(cx, now, index, Reason::ServerNamespaceDisconnect);
        }
    }

    /// Ends all sockets: the connection has ended.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>, now: Moment, reason: Reason) {
        for index in 0..self.seats.len() {
            self.vacate(cx, now, index, reason);
        }
    }

    fn arrived(&mut self, cx: &mut Context<'_>, now: Moment, arrived: Arrived) {
        match arrived {
            Arrived::Connect { slot, auth } => self.connect(cx, now, slot, auth),
            Arrived::Crowded { namespace } => self.crowded(&namespace),
            Arrived::Event { slot, event } => self.event(cx, now, slot, event),
            Arrived::Ack { slot, id, args } => self.ack(slot, id, args),
            Arrived::Disconnect { slot } => {
                self.vacate(cx, now, slot.index(), Reason::ClientNamespaceDisconnect);
            }
        }
    }

    fn connect(&mut self, cx: &mut Context<'_>, now: Moment, slot: Slot, auth: Option<Bytes>) {
        match self.core.find_namespace(self.mux.namespace(slot)) {
            Some(namespace) => self.enter(cx, now, slot, namespace, auth),
            None if self.core.parents.is_empty() => {
                self.refuse(slot, &Refusal::new("Invalid namespace"));
            }
            None => self.find(cx, now, slot, auth),
        }
    }

    /// Asks whether the namespace that a client wants is to be.
    fn find(&mut self, cx: &mut Context<'_>, now: Moment, slot: Slot, auth: Option<Bytes>) {
        let (core, link) = (Arc::clone(&self.core), Arc::clone(&self.link));
        let name = self.mux.namespace(slot).into();
        let auth_bytes = auth.as_ref().map_or(0, Bytes::len);
        let (finding, stop) = abortable(parents::find(core, link, name, auth.clone()));
        self.seat(slot, Seat::Finding { slot, stop });
        let core = Arc::clone(&self.core);
        let found = async move {
            let finding = AssertUnwindSafe(finding);
            let found = match futures_util::FutureExt::catch_unwind(finding).await {
                Ok(Ok(found)) => found,
                // The seat is not this search's any more, so it is not told to anybody.
                Ok(Err(_stopped)) => Err(Refusal::new("left")),
                Err(_panic) => {
                    core.metrics.panics.add();
                    tracing::error!("a function of of_matching panicked; the client is refused");
                    Err(Refusal::new("Internal error"))
                }
            };
            Decided::Namespace { slot, found, auth }
        };
        self.decide(cx, now, Work::Decision(Box::pin(found)), auth_bytes);
    }

    fn found(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        slot: Slot,
        found: Result<Arc<NamespaceCore>, Refusal>,
        auth: Option<Bytes>,
    ) {
        let is_theirs =
            |seat: &&mut Seat| matches!(seat, Seat::Finding { slot: own, .. } if *own == slot);
        let Some(seat) = self.seats.get_mut(slot.index()).filter(is_theirs) else {
            // The client has left meanwhile, and perhaps come again.
            return;
        };
        *seat = Seat::Empty;
        match found {
            Ok(namespace) => self.enter(cx, now, slot, namespace, auth),
            Err(refusal) => self.refuse(slot, &refusal),
        }
    }

    /// A client asks to come into a namespace.
    fn enter(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        slot: Slot,
        namespace: Arc<NamespaceCore>,
        auth: Option<Bytes>,
    ) {
        let table = namespace.table();
        let (visitor, auth) = Visitor::new(&namespace, auth);
        if table.connect.is_none() && !visitor.is_returning() {
            let entrance = Entrance { slot, namespace, table };
            return self.admit(cx, now, entrance, Arc::new(()), visitor);
        }
        let link = Arc::clone(&self.link);
        let auth_bytes = auth.as_ref().map_or(0, Bytes::len);
        let deciding = decide(link, Arc::clone(&namespace), Arc::clone(&table), visitor, auth);
        let (deciding, stop) = abortable(deciding);
        self.seat(slot, Seat::Deciding { entrance: Entrance { slot, namespace, table }, stop });
        let core = Arc::clone(&self.core);
        let verdict = async move {
            let verdict = AssertUnwindSafe(deciding);
            let (verdict, visitor) = match futures_util::FutureExt::catch_unwind(verdict).await {
                Ok(Ok(decided)) => decided,
                // The seat is not this decision's any more, so it is not told to anybody.
                Ok(Err(_stopped)) => (Err(Refusal::new("left")), Visitor::default()),
                Err(_panic) => {
                    core.metrics.panics.add();
                    tracing::error!("a connect function panicked; the client is refused");
                    (Err(Refusal::new("Internal error")), Visitor::default())
                }
            };
            Decided::Entry { slot, verdict, visitor }
        };
        self.decide(cx, now, Work::Decision(Box::pin(verdict)), auth_bytes);
    }

    fn decided(&mut self, cx: &mut Context<'_>, now: Moment, decided: Decided) {
        let (slot, verdict, visitor) = match decided {
            Decided::Entry { slot, verdict, visitor } => (slot, verdict, visitor),
            Decided::Namespace { slot, found, auth } => {
                return self.found(cx, now, slot, found, auth);
            }
        };
        let Some(seat) = self.seats.get_mut(slot.index()) else {
            return;
        };
        let entrance = match std::mem::replace(seat, Seat::Empty) {
            Seat::Deciding { entrance, .. } if entrance.slot == slot => entrance,
            // The client has left meanwhile, and perhaps come again.
            other => {
                *seat = other;
                return;
            }
        };
        match verdict {
            Ok(data) => self.admit(cx, now, entrance, data, visitor),
            Err(refusal) => self.refuse(slot, &refusal),
        }
    }

    fn admit(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        entrance: Entrance,
        data: Data,
        visitor: Visitor,
    ) {
        let slot = entrance.slot;
        let Some(identity) = Identity::new(data) else {
            tracing::error!("the system gives no randomness for a socket id");
            return self.refuse(slot, &Refusal::new("Internal error"));
        };
        if !self.mux.accept(slot) {
            return;
        }
        let socket = entrance.admit(&self.link, identity, visitor);
        self.core.metrics.joined.add();
        self.seat(slot, Seat::Joined(Arc::clone(&socket)));
        if let Some(greet) = &Arc::clone(&socket.table).on_connect {
            self.call(cx, now, &socket, "connect", || greet(&socket));
        }
        // What was held for it until now.
        while let Some(arrived) = self.mux.poll() {
            self.arrived(cx, now, arrived);
        }
    }

    fn refuse(&mut self, slot: Slot, refusal: &Refusal) {
        self.core.metrics.refused.add();
        let letter = Letter::refused(self.mux.namespace(slot), &self.tell(refusal));
        self.mux.refuse(slot);
        self.push(letter);
    }

    fn crowded(&self, namespace: &str) {
        self.core.metrics.refused.add();
        let refusal = Refusal::new("too many namespaces on one connection");
        self.push(Letter::refused(namespace, &self.tell(&refusal)));
    }

    /// What the client is told of a refusal, as JSON.
    fn tell(&self, refusal: &Refusal) -> String {
        if self.link.dialect.is_v3() { refusal.to_json_v2() } else { refusal.to_json() }
    }

    fn event(&mut self, cx: &mut Context<'_>, now: Moment, slot: Slot, event: Event) {
        if self.rates.is_some() && !self.admits(now, slot, &event) {
            return;
        }
        // A handler that got its answer goes on before the client's next event starts, as it came.
        let resuming = std::mem::take(&mut self.answered) && self.run(cx, now);
        if !resuming && self.waiting.is_empty() && self.has_room() && self.keeps_pace(now) {
            return self.dispatch(cx, now, slot, event);
        }
        self.answered |= resuming;
        self.event_bytes += event.held_bytes();
        self.waiting.push_back((slot, event));
    }

    /// Calls the handler of an event, unless its socket has left.
    fn dispatch(&mut self, cx: &mut Context<'_>, now: Moment, slot: Slot, mut event: Event) {
        let Some(Seat::Joined(socket)) = self.seats.get(slot.index()) else {
            return;
        };
        if socket.slot != slot || !socket.is_connected() {
            return;
        }
        if socket.is_special() {
            let socket = Arc::clone(socket);
            return self.take_turn(cx, now, &socket, event);
        }
        let bytes = event.held_bytes();
        let Some((begun, name)) = listen(cx, &socket.table, socket, &mut event) else {
            return self.unhandled(&event);
        };
        if let Begun::Ended(reply) = begun {
            reply.into_iter().for_each(|reply| socket.reply(reply));
        } else {
            let cause = Cause::event(name, &event);
            let socket = Arc::clone(socket);
            self.go_on(cx, now, &socket, cause, bytes, begun);
        }
    }

    /// Begins with an event of a socket that has more than a handler for it, unless another of its events
    /// is to end first.
    fn take_turn(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        event: Event,
    ) {
        if !self.admits_of(now, socket, &event) {
            return;
        }
        if self.lanes.is_blocked(socket.slot) {
            self.event_bytes += event.held_bytes();
            self.lanes.queue(socket.slot, event);
        } else {
            self.examine(cx, now, socket, event);
        }
    }

    /// Shows an event to all that come before its handler.
    fn examine(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        event: Event,
    ) {
        let table = socket.own_table();
        let bytes = event.held_bytes();
        let Some(extras) = &table.extras else {
            return self.handle(cx, now, socket, event);
        };
        let seen = begin(cx, || {
            let any = extras.any.iter().filter_map(Catch::take);
            any.for_each(|any| any(socket, event.name(), &event.args));
            None
        });
        if matches!(seen, Begun::Panicked(_)) {
            return self.go_on(cx, now, socket, Cause::event(None, &event), bytes, seen);
        }
        if extras.before.is_empty() {
            return self.handle(cx, now, socket, event);
        }
        let whose = Some((Arc::clone(socket), Cause::event(None, &event)));
        let passage = pass(Arc::clone(extras), Arc::clone(socket), event);
        let work = Work::Passage(Box::pin(passage));
        self.try_now(cx, now, Parked { work, whose, bytes, holds: true });
    }

    /// Calls the handler of an event that has come through.
    fn handle(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        mut event: Event,
    ) {
        if !socket.is_connected() {
            return;
        }
        let table = socket.own_table();
        let bytes = event.held_bytes();
        let extras = table.extras.as_ref();
        let ordered = extras.is_some_and(|extras| extras.is_ordered(event.name_bytes()));
        let once = extras.and_then(|extras| extras.once.get(event.name_bytes()));
        let begun = match once.filter(|once| once.take()) {
            Some(once) => {
                let start = || {
                    let started = once.handler.start(socket, &mut event);
                    if started.is_none() {
                        once.give_back();
                    }
                    started
                };
                Some((begin(cx, start), Some(&once.handler.event)))
            }
            None => listen(cx, &table, socket, &mut event),
        };
        match begun {
            Some((begun, name)) => {
                let cause = Cause::event(name, &event);
                match begun {
                    Begun::Waits(started) if ordered => {
                        let (work, whose) =
                            (Work::Handler(started), Some((Arc::clone(socket), cause)));
                        self.park(Parked { work, whose, bytes, holds: true });
                    }
                    begun => self.go_on(cx, now, socket, cause, bytes, begun),
                }
            }
            None => self.unhandled(&event),
        }
    }

    fn unhandled(&self, event: &Event) {
        self.core.metrics.events_unhandled.add();
        tracing::debug!(event = event.name(), "no handler for this event");
    }

    fn ack(&mut self, slot: Slot, id: AckId, args: Args) {
        let Some(Seat::Joined(socket)) = self.seats.get(slot.index()) else {
            return;
        };
        let matched = if asks::is_shared(id) {
            socket.namespace.poll(id).is_some_and(|poll| poll.answer(socket.id, args))
        } else {
            socket.asks.answer(id, args)
        };
        if matched {
            self.answered = true;
        } else {
            self.core.metrics.acks_unmatched.add();
        }
    }

    /// Calls a function of the user's, runs what it gives to its first wait, and parks it there.
    fn call(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        what: &'static str,
        function: impl FnOnce() -> Option<Started>,
    ) {
        let begun = begin(cx, function);
        self.go_on(cx, now, socket, Cause::passage(what), 0, begun);
    }

    fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        cause: Cause,
        bytes: usize,
        begun: Begun,
    ) {
        match begun {
            Begun::Ended(reply) => reply.into_iter().for_each(|reply| socket.reply(reply)),
            Begun::Waits(started) => {
                let whose = Some((Arc::clone(socket), cause));
                self.park(Parked { work: Work::Handler(started), whose, bytes, holds: false });
            }
            Begun::Panicked(error) => {
                let whose = Some((Arc::clone(socket), cause));
                self.panicked(cx, now, &Panicked { whose, error });
            }
        }
    }

    fn park(&mut self, parked: Parked) {
        self.event_bytes += parked.bytes;
        if let Some((socket, _)) = parked.whose.as_ref().filter(|_| parked.holds) {
            self.lanes.hold(socket.slot);
        }
        self.parked.get_or_insert_default().push(parked);
    }

    /// Runs a decision to its first wait, and parks it there. Until then it may hold the auth payload.
    fn decide(&mut self, cx: &mut Context<'_>, now: Moment, work: Work, bytes: usize) {
        self.try_now(cx, now, Parked { work, whose: None, bytes, holds: false });
    }

    /// Runs a piece of work to its first wait, and parks it there.
    fn try_now(&mut self, cx: &mut Context<'_>, now: Moment, mut work: Parked) {
        match Pin::new(&mut work).poll(cx) {
            Poll::Ready(ended) => self.done(cx, now, ended.result),
            Poll::Pending => self.park(work),
        }
    }

    fn done(&mut self, cx: &mut Context<'_>, now: Moment, result: Result<Next, Panicked>) {
        match result {
            Ok(Next::Nothing) => {}
            Ok(Next::Decided(decided)) => self.decided(cx, now, decided),
            Ok(Next::Passed(socket, event)) => self.handle(cx, now, &socket, event),
            Err(panicked) => self.panicked(cx, now, &panicked),
        }
    }

    /// A handler panicked: that costs its own socket, and nothing else. Its client is told no more than
    /// that there was an error.
    fn panicked(&mut self, cx: &mut Context<'_>, now: Moment, panicked: &Panicked) {
        self.core.metrics.panics.add();
        if let Some((socket, cause)) = &panicked.whose {
            tracing::error!(socket = %socket.id, "a handler panicked; its socket is disconnected");
            socket.fail(cause.name(), cause.ack, &panicked.error);
            self.leave(cx, now, socket.id);
        }
    }

    fn has_room(&self) -> bool {
        let parked = self.parked.as_ref().map_or(0, |parked| parked.len());
        parked < self.core.config.handlers_max
    }

    /// Starts handlers for events that wait; `false` when none could start.
    fn start_waiting(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let mut started = false;
        while self.has_room() {
            // What waits in a lane came before what waits for room.
            if let Some((slot, event)) = self.lanes.pop() {
                self.event_bytes -= event.held_bytes();
                if let Some(Seat::Joined(socket)) = self.seats.get(slot.index()) {
                    let socket = Arc::clone(socket);
                    self.examine(cx, now, &socket, event);
                }
            } else if let Some((slot, event)) = self.next_waiting(now) {
                self.event_bytes -= event.held_bytes();
                // A socket that has left meanwhile gets no event after its `on_disconnect`.
                self.dispatch(cx, now, slot, event);
            } else {
                break;
            }
            started = true;
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
        started
    }

    fn next_waiting(&mut self, now: Moment) -> Option<(Slot, Event)> {
        if self.waiting.is_empty() || !self.keeps_pace(now) {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Whether an event may be handled now, or waits for that.
    fn keeps_pace(&mut self, now: Moment) -> bool {
        let Some(rates) = &mut self.rates else {
            return true;
        };
        let was_held = rates.held_until().is_some();
        let keeps = rates.keeps_pace(now);
        if !keeps && !was_held {
            self.core.metrics.paced.add();
        }
        keeps
    }

    /// Whether an event came slowly enough for its connection; if not, says so.
    fn admits(&mut self, now: Moment, slot: Slot, event: &Event) -> bool {
        match self.rates.as_mut().map_or(Fate::Handled, |rates| rates.admit(now)) {
            Fate::Handled => return true,
            Fate::Ignored => return false,
            Fate::Refused => {}
            Fate::Fatal => self.link.order(Order::Close(Reason::ForcedServerClose)),
        }
        self.core.metrics.events_too_fast.add();
        if let Some(Seat::Joined(socket)) = self.seats.get(slot.index()) {
            socket.fail(event.name(), event.ack, &EventError::too_fast());
        }
        false
    }

    /// As [`admits`](Self::admits), for a socket that has rates for single events.
    fn admits_of(&mut self, now: Moment, socket: &Arc<SocketCore>, event: &Event) -> bool {
        let table = socket.own_table();
        let rates = table.extras.as_ref().map(|extras| &extras.rates);
        let Some((number, rate)) = rates.and_then(|rates| rates.get(event.name_bytes())) else {
            return true;
        };
        if self.buckets.admit(now, socket.slot, *number, rate) {
            return true;
        }
        self.core.metrics.events_too_fast.add();
        socket.fail(event.name(), event.ack, &EventError::too_fast());
        if rate.is_strict() {
            self.link.order(Order::Leave(socket.id));
        }
        false
    }

    fn seat(&mut self, slot: Slot, seat: Seat) {
        let index = slot.index();
        if self.seats.len() <= index {
            self.seats.resize_with(index + 1, || Seat::Empty);
        }
        self.seats[index] = seat;
    }

    /// Sends what belongs to no event.
    fn push(&self, letter: Letter) {
        let parcel = match parcel(letter, self.core.config.parser.as_ref()) {
            Ok(parcel) => parcel,
            Err(error) => {
                self.core.metrics.encode_failures.add();
                tracing::error!(%error, "a packet could not be sent");
                return;
            }
        };
        if self.link.push(parcel, Worth::Kept) == Pushed::Overflow {
            self.core.metrics.slow_peers.add();
        }
    }

    /// Takes the socket at a slot out of its namespace and tells the client.
    fn dismiss(&mut self, cx: &mut Context<'_>, now: Moment, index: usize, reason: Reason) {
        let Some(Seat::Joined(socket)) = self.seats.get(index) else {
            return;
        };
        let (slot, letter) = (socket.slot, Letter::disconnected(&socket.namespace.name));
        self.push(letter);
        self.mux.leave(now, slot);
        self.vacate(cx, now, index, reason);
    }

    /// Ends the socket at a slot.
    fn vacate(&mut self, cx: &mut Context<'_>, now: Moment, index: usize, reason: Reason) {
        let Some(seat) = self.seats.get_mut(index) else {
            return;
        };
        match std::mem::replace(seat, Seat::Empty) {
            Seat::Joined(socket) => {
                self.event_bytes -= self.lanes.remove(socket.slot);
                self.buckets.remove(socket.slot);
                self.depart(cx, now, &socket, reason);
            }
            Seat::Finding { stop, .. } | Seat::Deciding { stop, .. } => stop.abort(),
            Seat::Empty => {}
        }
    }

    /// The socket has left its seat.
    fn depart(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        reason: Reason,
    ) {
        let table = Arc::clone(&socket.table);
        socket.mute();
        if let Some(farewell) = &table.on_disconnecting {
            self.call(cx, now, socket, "disconnecting", || farewell(socket, reason));
        }
        socket.end(recovery::is_lost(reason));
        if let Some(farewell) = &table.on_disconnect {
            self.call(cx, now, socket, "disconnect", || farewell(socket, reason));
        }
    }
}

impl Drop for Sockets {
    /// A connection whose task is dropped, as at the end of a runtime, leaves no ghost in a room.
    fn drop(&mut self) {
        for seat in &self.seats {
            if let Seat::Joined(socket) = seat {
                socket.end(true);
            }
        }
    }
}
