//! [`Seat`]: who sits at a slot, and how sockets come in and leave.
//!
//! A packet of a namespace that is still deciding is held in the mux, and not lost. What is held is bounded, and so are
//! the auth payloads of clients that are decided about: each by `auth_bytes_max`, all of a server by
//! `deciding_bytes_max`.
//!
//! A socket takes its place in the namespace before CONNECT is answered, and gives it back when it leaves the rooms. So
//! there are never more sockets than `sockets_max`. A client that is still decided about has no place.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use futures_util::future::{AbortHandle, FutureExt as _, TryFutureExt as _, abortable};
use roomful_proto::socket::Slot;
use roomful_proto::{Letter, Moment};

use super::Sockets;
use super::work::{Decided, Further, Work};
use crate::connection::entry::{Identity, Visitor, decide};
use crate::ground::errors::refusal::Refusal;
use crate::ground::farewell::Farewell;
use crate::ground::parser::parcel;
use crate::ground::target::Reliability;
use crate::namespace::decisions::{self, Caller, Patience, Share, Turn, in_time};
use crate::namespace::erased::Data;
use crate::namespace::family::parents;
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::recovery;
use crate::namespace::socket_core::{Entrance, SocketCore};
use crate::transport::link::Pushed;

pub(super) enum Seat {
    Empty,
    /// It is not decided yet whether the namespace is to be, or the client waits for its turn.
    Coming {
        slot: Slot,
        /// Drops what it waits for: nobody waits any more. `None` while it stands in the [`Line`].
        ///
        /// [`Line`]: super::line::Line
        stop: Option<AbortHandle>,
    },
    /// The namespace has not decided yet.
    Deciding {
        entrance: Entrance,
        /// Drops the decision: nobody waits for it any more.
        stop: AbortHandle,
    },
    Joined(Arc<SocketCore>),
}

impl Sockets {
    pub(super) fn connect(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        slot: Slot,
        auth: Option<Bytes>,
    ) {
        let patience = Patience::new(&self.core, now);
        self.approach(cx, now, Caller { slot, auth, patience, turn: None });
    }

    /// Lets a client go to its namespace, or to those who say whether that is to be.
    fn approach(&mut self, cx: &mut Context<'_>, now: Moment, caller: Caller) {
        match self.core.find_namespace(self.mux.namespace(caller.slot)) {
            Some(namespace)
                if namespace.standing.is_settled() || self.core.parents().is_empty() =>
            {
                self.enter(cx, now, namespace, caller);
            }
            None if self.core.parents().is_empty() => {
                self.refuse(caller.slot, &Refusal::new("Invalid namespace"));
            }
            _ => self.find(cx, now, caller),
        }
    }

    /// Gives a client back that may be decided about. Else as many decisions of the connection are under
    /// way as may be, and the client waits until one has ended.
    fn keep_back(&mut self, caller: Caller) -> Option<Caller> {
        if caller.turn.is_some() || self.line.running < self.core.config.decisions_max {
            return Some(caller);
        }
        let mut caller = caller;
        caller.patience.note_waiting(&self.core);
        self.event_bytes += caller.auth_bytes();
        self.seat(caller.slot, Seat::Coming { slot: caller.slot, stop: None });
        self.line.push(caller);
        None
    }

    /// A decision has ended: those who have waited for that go on, in their order.
    pub(super) fn call_up(&mut self, cx: &mut Context<'_>, now: Moment) {
        while self.line.running < self.core.config.decisions_max {
            let Some(caller) = self.line.pop() else {
                return;
            };
            self.event_bytes -= caller.auth_bytes();
            self.seat(caller.slot, Seat::Empty);
            match now < caller.patience.turn_until {
                true => self.approach(cx, now, caller),
                false => self.refuse(caller.slot, &decisions::busy(&self.core)),
            }
        }
    }

    /// Refuses those whose turn in the connection has not come in time.
    pub(super) fn expire_line(&mut self, now: Moment) {
        while let Some(caller) = self.line.pop_late(now) {
            self.event_bytes -= caller.auth_bytes();
            self.seat(caller.slot, Seat::Empty);
            self.refuse(caller.slot, &decisions::busy(&self.core));
        }
    }

    /// Asks whether the namespace that a client wants is to be.
    fn find(&mut self, cx: &mut Context<'_>, now: Moment, caller: Caller) {
        let Some(caller) = self.keep_back(caller) else {
            return;
        };
        let (registry, link) = (Arc::clone(&self.core.registry), Arc::clone(&self.link));
        let (slot, auth_bytes, until) = (caller.slot, caller.auth_bytes(), caller.patience.until);
        let name = self.mux.namespace(slot).into();
        let finding = parents::find(registry, link, name, caller)
            .map_ok(|(namespace, caller)| (caller, Some(namespace)));
        self.come(cx, now, (slot, auth_bytes, until), finding);
    }

    /// Waits for the turn of a client in a family. It has no namespace meanwhile, so that a child does not
    /// live by those who wait.
    fn wait(&mut self, cx: &mut Context<'_>, now: Moment, share: Share, mut caller: Caller) {
        let (registry, link) = (Arc::clone(&self.core.registry), Arc::clone(&self.link));
        let (slot, auth_bytes, until) = (caller.slot, caller.auth_bytes(), caller.patience.until);
        let turn = async move {
            let turn =
                Turn::wait(&registry, &link, &share, auth_bytes, &mut caller.patience).await?;
            caller.turn = Some(Box::new(turn));
            Ok((caller, None))
        };
        self.come(cx, now, (slot, auth_bytes, until), turn);
    }

    /// Runs what brings a client further, in its time.
    fn come(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        (slot, auth_bytes, until): (Slot, usize, Moment),
        coming: impl Future<Output = Further> + Send + 'static,
    ) {
        let (coming, stop) = abortable(coming);
        self.seat(slot, Seat::Coming { slot, stop: Some(stop) });
        let registry = Arc::clone(&self.core.registry);
        // Apart: a future that is moved into another one has its place in both.
        let coming = Box::pin(coming);
        let come = async move {
            let coming = AssertUnwindSafe(in_time(&registry, until, coming)).catch_unwind();
            let further = match coming.await {
                Ok(Ok(Ok(further))) => further,
                // The seat is not its any more, so it is not told to anybody.
                Ok(Ok(Err(_stopped))) => Err(Refusal::new("left")),
                Err(_panic) => {
                    registry.metrics.panics.add();
                    tracing::error!("a function of of_matching panicked; the client is refused");
                    Err(Refusal::new("Internal error"))
                }
                Ok(Err(late)) => Err(late),
            };
            Decided::Further { slot, further }
        };
        self.decide(cx, now, Work::Decision(Box::pin(come)), auth_bytes);
    }

    fn further(&mut self, cx: &mut Context<'_>, now: Moment, slot: Slot, further: Further) {
        let is_theirs =
            |seat: &&mut Seat| matches!(seat, Seat::Coming { slot: own, .. } if *own == slot);
        let Some(seat) = self.seats.get_mut(slot.index()).filter(is_theirs) else {
            // The client has left meanwhile, and perhaps come again.
            return;
        };
        *seat = Seat::Empty;
        match further {
            Ok((caller, Some(namespace))) => self.enter(cx, now, namespace, caller),
            Ok((caller, None)) => self.approach(cx, now, caller),
            Err(refusal) => self.refuse(slot, &refusal),
        }
    }

    /// A client asks to come into a namespace.
    fn enter(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        namespace: Arc<NamespaceCore>,
        caller: Caller,
    ) {
        let slot = caller.slot;
        let table = namespace.table();
        let door = namespace.door(&table);
        let (visitor, auth) = Visitor::new(&namespace, &self.link, caller.auth.clone());
        // The place of one who comes back may still be that of its old connection, which ends first.
        if namespace.is_full() && !visitor.is_returning() {
            return self.refuse_full(slot);
        }
        if door.is_none() && !visitor.is_returning() {
            let entrance = Entrance { slot, namespace, table };
            return self.admit(cx, now, entrance, Arc::new(()), visitor);
        }
        let Some(mut caller) = self.keep_back(caller) else {
            return;
        };
        let (registry, link) = (Arc::clone(&self.core.registry), Arc::clone(&self.link));
        let (auth_bytes, until) = (caller.auth_bytes(), caller.patience.until);
        let share = namespace.share(&registry);
        let turn = caller.turn.take().filter(|turn| turn.is_of(share)).map(|turn| *turn);
        let Some(turn) = turn.or_else(|| Turn::now(&registry, &link, share, auth_bytes)) else {
            return self.wait(cx, now, Arc::clone(share), caller);
        };
        let deciding =
            decide(link, Arc::clone(&namespace), door, Arc::clone(&table), visitor, auth);
        let (deciding, stop) = abortable(deciding);
        self.seat(slot, Seat::Deciding { entrance: Entrance { slot, namespace, table }, stop });
        let deciding = Box::pin(deciding);
        let verdict = async move {
            let verdict = AssertUnwindSafe(in_time(&registry, until, deciding)).catch_unwind();
            let (verdict, visitor) = match verdict.await {
                Ok(Ok(Ok(decided))) => decided,
                // The seat is not this decision's any more, so it is not told to anybody.
                Ok(Ok(Err(_stopped))) => (Err(Refusal::new("left")), Visitor::default()),
                Err(_panic) => {
                    registry.metrics.panics.add();
                    tracing::error!("a connect function panicked; the client is refused");
                    (Err(Refusal::new("Internal error")), Visitor::default())
                }
                Ok(Err(late)) => (Err(late), Visitor::default()),
            };
            drop(turn);
            Decided::Entry { slot, verdict, visitor }
        };
        self.decide(cx, now, Work::Decision(Box::pin(verdict)), auth_bytes);
    }

    pub(super) fn decided(&mut self, cx: &mut Context<'_>, now: Moment, decided: Decided) {
        let (slot, verdict, visitor) = match decided {
            Decided::Entry { slot, verdict, visitor } => (slot, verdict, visitor),
            Decided::Further { slot, further } => return self.further(cx, now, slot, further),
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
        if !entrance.namespace.take_place() {
            return self.refuse_full(slot);
        }
        // One of the limit of all children, with the first who is let in.
        if !self.core.parents().let_in(&self.core, &entrance.namespace) {
            entrance.namespace.give_place_back();
            return self.refuse(slot, &parents::too_many(&self.core));
        }
        if !self.mux.accept(slot) {
            return entrance.namespace.give_place_back();
        }
        let namespace = Arc::clone(&entrance.namespace);
        let Some(socket) = entrance.admit(&self.link, identity, visitor) else {
            namespace.give_place_back();
            return self.refuse_late(now, slot);
        };
        self.core.metrics.joined.add();
        self.seat(slot, Seat::Joined(Arc::clone(&socket)));
        if let Some(greet) = &Arc::clone(&socket.table).on_connect {
            self.call(cx, now, &socket, "connect", || greet(&socket));
        }
        // What was held for it until now.
        while let Some(mut arrived) = self.mux.poll() {
            self.arrived(cx, now, &mut arrived);
        }
    }

    fn refuse(&mut self, slot: Slot, refusal: &Refusal) {
        self.core.metrics.refused.add();
        let letter = Letter::refused(self.mux.namespace(slot), &self.tell(refusal));
        self.mux.refuse(slot);
        self.push(letter);
    }

    /// Refuses a client whose socket went just when it was to be given back: it can come anew.
    fn refuse_late(&mut self, now: Moment, slot: Slot) {
        let refusal = Refusal::new("the socket cannot be given back any more");
        let refusal = refusal.data(serde_json::json!({ "code": "not_recovered" }));
        self.refuse(slot, &refusal);
        self.mux.leave(now, slot);
    }

    fn refuse_full(&mut self, slot: Slot) {
        self.core.metrics.sockets_refused.add();
        let refusal = Refusal::new("the namespace is full");
        self.refuse(slot, &refusal.data(serde_json::json!({ "code": "namespace_full" })));
    }

    pub(super) fn refuse_large(&mut self, slot: Slot) {
        self.core.metrics.auth_too_large.add();
        let bytes_max = self.core.limits.auth_bytes_max;
        let refusal = Refusal::new(format!("the auth payload is larger than {bytes_max} bytes"));
        self.refuse(slot, &refusal.data(serde_json::json!({ "code": "auth_too_large" })));
    }

    pub(super) fn crowded(&self, namespace: &str) {
        self.core.metrics.refused.add();
        let refusal = Refusal::new("too many namespaces on one connection");
        self.push(Letter::refused(namespace, &self.tell(&refusal)));
    }

    /// What the client is told of a refusal, as JSON.
    fn tell(&self, refusal: &Refusal) -> String {
        if self.link.dialect.is_v3() { refusal.to_json_v2() } else { refusal.to_json() }
    }

    fn seat(&mut self, slot: Slot, seat: Seat) {
        let index = slot.index();
        if self.seats.is_empty() {
            // As few as most clients need: a vector that grows by itself begins with four.
            self.seats.reserve_exact(index + 1);
        }
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
        if self.link.push(parcel, Reliability::Reliable) == Pushed::Overflow {
            self.core.metrics.slow_peers.add();
        }
    }

    /// Takes the socket at a slot out of its namespace and tells the client.
    pub(super) fn dismiss(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        index: usize,
        farewell: &Farewell,
    ) {
        let Some(Seat::Joined(socket)) = self.seats.get(index) else {
            return;
        };
        let (slot, letter) = (socket.slot, Letter::disconnected(&socket.namespace.name));
        self.push(letter);
        self.mux.leave(now, slot);
        self.vacate(cx, now, index, farewell);
    }

    /// Ends the socket at a slot.
    pub(super) fn vacate(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        index: usize,
        farewell: &Farewell,
    ) {
        let Some(seat) = self.seats.get_mut(index) else {
            return;
        };
        match std::mem::replace(seat, Seat::Empty) {
            Seat::Joined(socket) => {
                self.event_bytes -= self.lanes.remove(socket.slot);
                self.buckets.remove(socket.slot);
                self.depart(cx, now, &socket, farewell);
            }
            Seat::Coming { stop: Some(stop), .. } | Seat::Deciding { stop, .. } => stop.abort(),
            Seat::Coming { slot, stop: None } => {
                let caller = self.line.remove(slot);
                self.event_bytes -= caller.map_or(0, |caller| caller.auth_bytes());
            }
            Seat::Empty => {}
        }
    }

    /// The socket has left its seat.
    fn depart(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        farewell: &Farewell,
    ) {
        let table = Arc::clone(&socket.table);
        let reason = farewell.reason;
        socket.bid(farewell.clone());
        if let Some(parting) = &table.on_disconnecting {
            self.call(cx, now, socket, "disconnecting", || parting(socket, reason));
        }
        socket.end(recovery::is_lost(reason));
        if let Some(parting) = &table.on_disconnect {
            self.call(cx, now, socket, "disconnect", || parting(socket, reason));
        }
    }
}
