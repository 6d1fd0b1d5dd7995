//! [`Seat`]: who sits at a slot, and how sockets come in and leave.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use futures_util::future::{AbortHandle, abortable};
use roomful_proto::socket::Slot;
use roomful_proto::{Letter, Moment};

use super::Sockets;
use crate::entry::{Entrance, Identity, Visitor, decide};
use crate::farewell::Farewell;
use crate::handler::{Data, Decided, Work};
use crate::hello::Refusal;
use crate::link::{Pushed, Worth};
use crate::namespace_core::NamespaceCore;
use crate::parents;
use crate::parser::parcel;
use crate::recovery;
use crate::socket_core::SocketCore;

pub(super) enum Seat {
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

impl Sockets {
    pub(super) fn connect(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        slot: Slot,
        auth: Option<Bytes>,
    ) {
        match self.core.find_namespace(self.mux.namespace(slot)) {
            Some(namespace) if namespace.standing.is_settled() || self.core.parents.is_empty() => {
                self.enter(cx, now, slot, namespace, auth);
            }
            None if self.core.parents.is_empty() => {
                self.refuse(slot, &Refusal::new("Invalid namespace"));
            }
            _ => self.find(cx, now, slot, auth),
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
        let door = namespace.door(&table);
        let (visitor, auth) = Visitor::new(&namespace, &self.link, auth);
        // The place of one who comes back may still be that of its old connection, which ends first.
        if namespace.is_full() && !visitor.is_returning() {
            return self.refuse_full(slot);
        }
        if door.is_none() && !visitor.is_returning() {
            let entrance = Entrance { slot, namespace, table };
            return self.admit(cx, now, entrance, Arc::new(()), visitor);
        }
        let link = Arc::clone(&self.link);
        let auth_bytes = auth.as_ref().map_or(0, Bytes::len);
        let core = Arc::clone(&namespace);
        let deciding = decide(link, core, door, Arc::clone(&table), visitor, auth);
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

    pub(super) fn decided(&mut self, cx: &mut Context<'_>, now: Moment, decided: Decided) {
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
        if !entrance.namespace.take_place() {
            return self.refuse_full(slot);
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
        if self.link.push(parcel, Worth::Kept) == Pushed::Overflow {
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
