//! [`Sockets`]: the Socket.IO half of a connection.
//!
//! It belongs to the connection's task alone: the mux, the sockets in their slots, and the handlers
//! that have not ended. A handler starts in the order of its event and runs to its first wait right
//! here; only then is it parked, in a bounded set. An ack for us never waits behind a handler.

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
use crate::handler::{Data, Decided, Done, Reply, Started, Work};
use crate::hello::Refusal;
use crate::link::{Link, Pushed, Worth};
use crate::namespace::NamespaceCore;
use crate::parents;
use crate::parser::parcel;
use crate::recovery;
use crate::socket::SocketCore;

/// Bytes of events whose handlers run, or wait for one of `handlers_max` places to run. Above it
/// nothing is read from the client until handlers have ended.
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
    /// Of all that is parked or waits.
    event_bytes: usize,
    /// An answer came, and the handler that waits for it may not have gone on yet.
    answered: bool,
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

/// A piece of work, whose it is, and the bytes of its event.
struct Parked {
    work: Work,
    socket: Option<Arc<SocketCore>>,
    bytes: usize,
}

/// Work that has ended.
struct Ended {
    bytes: usize,
    /// What a namespace has decided, if that was the work.
    result: Result<Option<Decided>, Panicked>,
}

/// The work panicked.
struct Panicked {
    socket: Option<Arc<SocketCore>>,
}

/// How far a function of the user's came at once.
enum Begun {
    Ended(Option<Reply>),
    Waits(Started),
    Panicked,
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
    begun.unwrap_or(Begun::Panicked)
}

impl Future for Parked {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let work = &mut self.work;
        let result = match catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Done::Decided(decided))) => Ok(Some(decided)),
            Ok(Poll::Ready(Done::Handled(reply))) => {
                if let (Some(socket), Some(reply)) = (&self.socket, reply) {
                    socket.reply(reply);
                }
                Ok(None)
            }
            Err(_) => Err(Panicked { socket: self.socket.take() }),
        };
        Poll::Ready(Ended { bytes: self.bytes, result })
    }
}

impl Sockets {
    pub(crate) fn new(core: Arc<Core>, link: Arc<Link>, now: Moment) -> Self {
        let limits = Arc::clone(&core.limits);
        Self {
            mux: Mux::new(now + limits.connect_timeout, link.dialect.revision, limits),
            core,
            link,
            seats: Vec::new(),
            parked: None,
            waiting: VecDeque::new(),
            event_bytes: 0,
            answered: false,
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
        for _ in 0..RESUMED_PER_TURN {
            let Some(parked) = &mut self.parked else {
                self.start_waiting(cx, now);
                return false;
            };
            match Pin::new(&mut **parked).poll_next(cx) {
                Poll::Ready(Some(ended)) => {
                    self.event_bytes -= ended.bytes;
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
        self.event_bytes > EVENT_BYTES_MAX || parked > parked_max
    }

    /// Whether no handler runs or waits to.
    pub(crate) fn is_idle(&self) -> bool {
        self.parked.is_none() && self.waiting.is_empty()
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.mux.deadline()
    }

    pub(crate) fn expire(&mut self, now: Moment) -> Result<(), Violation> {
        self.mux.expire(now)
    }

    /// Takes one socket out of its namespace, by the server's will.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>, now: Moment, id: SocketId) {
        let found = |seat: &Seat| matches!(seat, Seat::Joined(socket) if socket.id == id);
        if let Some(index) = self.seats.iter().position(found) {
            self.dismiss(cx, now, index);
        }
    }

    /// Takes all sockets out of their namespaces, by the server's will, and tells the client.
    pub(crate) fn leave_all(&mut self, cx: &mut Context<'_>, now: Moment) {
        for index in 0..self.seats.len() {
            self.dismiss(cx, now, index);
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
        self.decide(cx, now, Work::Decision(Box::pin(found)));
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
        self.decide(cx, now, Work::Decision(Box::pin(verdict)));
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
            self.call(cx, now, &socket, || greet(&socket));
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
        // A handler that got its answer goes on before the client's next event starts, as it came.
        let resuming = std::mem::take(&mut self.answered) && self.run(cx, now);
        if !resuming && self.waiting.is_empty() && self.has_room() {
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
        let bytes = event.held_bytes();
        let begun = if let Some(handler) = socket.table.events.get(event.name_bytes()) {
            begin(cx, || handler(socket, &mut event))
        } else if let Some(other) = &socket.table.other {
            let name = event.name().to_owned();
            begin(cx, || other(socket, name, event.args))
        } else {
            self.core.metrics.events_unhandled.add();
            tracing::debug!(event = event.name(), "no handler for this event");
            return;
        };
        if let Begun::Ended(reply) = begun {
            reply.into_iter().for_each(|reply| socket.reply(reply));
        } else {
            let socket = Arc::clone(socket);
            self.go_on(cx, now, &socket, bytes, begun);
        }
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
        function: impl FnOnce() -> Option<Started>,
    ) {
        let begun = begin(cx, function);
        self.go_on(cx, now, socket, 0, begun);
    }

    fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        bytes: usize,
        begun: Begun,
    ) {
        match begun {
            Begun::Ended(reply) => reply.into_iter().for_each(|reply| socket.reply(reply)),
            Begun::Waits(started) => {
                let socket = Some(Arc::clone(socket));
                self.park(Parked { work: Work::Handler(started), socket, bytes });
            }
            Begun::Panicked => self.panicked(cx, now, Some(socket)),
        }
    }

    fn park(&mut self, parked: Parked) {
        self.event_bytes += parked.bytes;
        self.parked.get_or_insert_default().push(parked);
    }

    /// Runs a decision to its first wait, and parks it there.
    fn decide(&mut self, cx: &mut Context<'_>, now: Moment, work: Work) {
        let mut work = Parked { work, socket: None, bytes: 0 };
        match Pin::new(&mut work).poll(cx) {
            Poll::Ready(ended) => self.done(cx, now, ended.result),
            Poll::Pending => self.park(work),
        }
    }

    fn done(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        result: Result<Option<Decided>, Panicked>,
    ) {
        match result {
            Ok(None) => {}
            Ok(Some(decided)) => self.decided(cx, now, decided),
            Err(panicked) => self.panicked(cx, now, panicked.socket.as_ref()),
        }
    }

    /// A handler panicked: that costs its own socket, and nothing else.
    fn panicked(&mut self, cx: &mut Context<'_>, now: Moment, socket: Option<&Arc<SocketCore>>) {
        self.core.metrics.panics.add();
        if let Some(socket) = socket {
            tracing::error!(socket = %socket.id, "a handler panicked; its socket is disconnected");
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
            let Some((slot, event)) = self.waiting.pop_front() else {
                break;
            };
            self.event_bytes -= event.held_bytes();
            // A socket that has left meanwhile gets no event after its `on_disconnect`.
            self.dispatch(cx, now, slot, event);
            started = true;
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
        started
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
    fn dismiss(&mut self, cx: &mut Context<'_>, now: Moment, index: usize) {
        let Some(Seat::Joined(socket)) = self.seats.get(index) else {
            return;
        };
        let (slot, letter) = (socket.slot, Letter::disconnected(&socket.namespace.name));
        self.push(letter);
        self.mux.leave(now, slot);
        self.vacate(cx, now, index, Reason::ServerNamespaceDisconnect);
    }

    /// Ends the socket at a slot.
    fn vacate(&mut self, cx: &mut Context<'_>, now: Moment, index: usize, reason: Reason) {
        let Some(seat) = self.seats.get_mut(index) else {
            return;
        };
        match std::mem::replace(seat, Seat::Empty) {
            Seat::Joined(socket) => self.depart(cx, now, &socket, reason),
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
            self.call(cx, now, socket, || farewell(socket, reason));
        }
        socket.end(recovery::is_lost(reason));
        if let Some(farewell) = &table.on_disconnect {
            self.call(cx, now, socket, || farewell(socket, reason));
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
