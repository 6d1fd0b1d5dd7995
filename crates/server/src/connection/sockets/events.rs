//! An event's way to its handler: whether it came slowly enough, whether it has to wait, and which
//! function it is for. Acks have theirs here too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;

use roomful_proto::socket::{Event, Slot};
use roomful_proto::{AckId, Args, Moment, Reason};

use super::Sockets;
use super::seats::Seat;
use super::work::{Begun, Parked, Trigger, Work, begin};
use crate::ground::errors::failure;
use crate::ground::event_flow::Hold;
use crate::ground::farewell::Description;
use crate::ground::rate::rates::Fate;
use crate::namespace::asks;
use crate::namespace::listeners::{Catch, pass};
use crate::namespace::socket_core::SocketCore;
use crate::namespace::table::Table;
use crate::transport::link::Order;

impl Sockets {
    pub(super) fn event(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        slot: Slot,
        event: &mut Event,
    ) {
        if self.rates.is_some() && !self.admits(now, slot, event) {
            return;
        }
        // A handler that got its answer goes on before the client's next event starts, as it came.
        let resuming = std::mem::take(&mut self.answered) && self.run(cx, now);
        if !resuming && self.waiting.is_empty() && self.has_room() && self.keeps_pace(now) {
            return self.dispatch(cx, now, slot, event);
        }
        self.answered |= resuming;
        self.event_bytes += event.held_bytes();
        self.waiting.push_back((slot, event.take()));
    }

    /// Calls the handler of an event, unless its socket has left.
    fn dispatch(&mut self, cx: &mut Context<'_>, now: Moment, slot: Slot, event: &mut Event) {
        let Some(Seat::Joined(socket)) = self.seats.get(slot.index()) else {
            return;
        };
        if socket.slot != slot || !socket.is_connected() {
            return;
        }
        if socket.is_special() {
            let socket = Arc::clone(socket);
            return self.take_turn(cx, now, &socket, event.take());
        }
        let bytes = event.held_bytes();
        let Some(handler) = socket.table.events.get(event.name_bytes()) else {
            let socket = Arc::clone(socket);
            return self.dispatch_other(cx, now, &socket, event);
        };
        match begin(cx, socket, || handler.start(socket, event)) {
            Begun::Ended => {}
            begun => {
                let trigger = Trigger::event(Some(&handler.event), event);
                let socket = Arc::clone(socket);
                self.go_on(cx, now, &socket, trigger, bytes, begun);
            }
        }
    }

    /// Calls what hears all events that have no handler.
    #[inline(never)]
    fn dispatch_other(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        event: &mut Event,
    ) {
        let bytes = event.held_bytes();
        match listen(cx, &socket.table, socket, event) {
            Some((begun, name)) => {
                let trigger = Trigger::event(name, event);
                self.go_on(cx, now, socket, trigger, bytes, begun);
            }
            None => self.unhandled(event),
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
        let seen = begin(cx, socket, || {
            let any = extras.any.iter().filter_map(Catch::take);
            any.for_each(|any| any(socket, event.name(), &event.args));
            None
        });
        if matches!(seen, Begun::Panicked(_)) {
            return self.go_on(cx, now, socket, Trigger::event(None, &event), bytes, seen);
        }
        if extras.before.is_empty() {
            return self.handle(cx, now, socket, event);
        }
        let whose = Some((Arc::clone(socket), Trigger::event(None, &event)));
        let passage = pass(Arc::clone(extras), Arc::clone(socket), event);
        let work = Work::Passage(Box::pin(passage));
        self.try_now(cx, now, Parked { work, whose, bytes, hold: Hold::All });
    }

    /// Calls the handler of an event that has come through.
    pub(super) fn handle(
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
        let hold = extras.map_or(Hold::None, |extras| extras.flow.hold(event.name_bytes()));
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
                Some((begin(cx, socket, start), Some(&once.handler.event)))
            }
            None => listen(cx, &table, socket, &mut event),
        };
        match begun {
            Some((begun, name)) => {
                let trigger = Trigger::event(name, &event);
                match begun {
                    Begun::Waits(started) => {
                        let (work, whose) =
                            (Work::Handler(started), Some((Arc::clone(socket), trigger)));
                        self.park(Parked { work, whose, bytes, hold });
                    }
                    begun => self.go_on(cx, now, socket, trigger, bytes, begun),
                }
            }
            None => self.unhandled(&event),
        }
    }

    fn unhandled(&self, event: &Event) {
        self.core.metrics.events_unhandled.add();
        tracing::debug!(event = event.name(), "no handler for this event");
    }

    pub(super) fn ack(&mut self, slot: Slot, id: AckId, args: Args) {
        let Some(Seat::Joined(socket)) = self.seats.get(slot.index()) else {
            return;
        };
        let matched = if asks::is_shared(id) {
            socket.namespace.shared_ask(id).is_some_and(|ask| ask.answer(socket.id, args))
        } else {
            socket.asks.answer(id, args)
        };
        if matched {
            self.answered = true;
        } else {
            self.core.metrics.acks_unmatched.add();
        }
    }

    fn has_room(&self) -> bool {
        let parked = self.parked.as_ref().map_or(0, |parked| parked.len());
        parked < self.core.config.connection_flow.handlers_max
    }

    /// Starts handlers for events that wait; `false` when none could start.
    pub(super) fn start_waiting(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let mut started = false;
        while self.has_room() {
            // What waits in a lane came before what waits for room.
            if let Some((slot, event)) = self.lanes.pop() {
                self.event_bytes -= event.held_bytes();
                if let Some(Seat::Joined(socket)) = self.seats.get(slot.index()) {
                    let socket = Arc::clone(socket);
                    self.examine(cx, now, &socket, event);
                }
            } else if let Some((slot, mut event)) = self.next_waiting(now) {
                self.event_bytes -= event.held_bytes();
                // A socket that has left meanwhile gets no event after its `on_disconnect`.
                self.dispatch(cx, now, slot, &mut event);
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
            Fate::Fatal => {
                let why = self.core.config.connection_flow.rate.map(Description::TooFast);
                self.link.order(Order::Close(Reason::ForcedServerClose, why));
            }
        }
        self.core.metrics.events_too_fast.add();
        if let Some(Seat::Joined(socket)) = self.seats.get(slot.index()) {
            socket.fail(event.name(), event.ack, &failure::too_fast());
        }
        false
    }

    /// As [`admits`](Self::admits), for a socket whose namespace limits events: how fast those of one
    /// name may come, and how large they may be.
    fn admits_of(&mut self, now: Moment, socket: &Arc<SocketCore>, event: &Event) -> bool {
        let table = socket.own_table();
        let Some(extras) = &table.extras else {
            return true;
        };
        if let Some((number, rate)) = extras.flow.rate_of(event.name_bytes())
            && !self.buckets.admit(now, socket.slot, number, &rate)
        {
            self.core.metrics.events_too_fast.add();
            socket.fail(event.name(), event.ack, &failure::too_fast());
            if rate.is_strict() {
                let why = Description::TooFast(rate);
                self.link.order(Order::Leave(socket.id, Some(why)));
            }
            return false;
        }
        if let Some(bytes_max) = extras.exceeded_bytes_max(event) {
            self.core.metrics.events_too_large.add();
            socket.fail(event.name(), event.ack, &failure::too_large(bytes_max));
            return false;
        }
        true
    }
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
        return Some((begin(cx, socket, || handler.start(socket, event)), Some(&handler.event)));
    }
    let other = table.other.as_ref()?;
    let start = || other(socket, event.name().to_owned(), event.args.clone());
    Some((begin(cx, socket, start), None))
}
