//! [`Sockets`]: the Socket.IO half of a connection.
//!
//! It belongs to the connection's task alone: the mux, the sockets in their slots, and the handlers that have not
//! ended. A handler starts in the order of its event and runs to its first wait right here. Only then is it parked, in
//! a bounded set. An ack for the server never waits behind a handler, but it is not read either while more than 4 MiB
//! of events wait.
//!
//! A panic in a handler or a middleware costs its socket. A panic in a `connect` function costs its one attempt.

mod events;
mod expired;
mod line;
mod seats;
mod work;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};
use roomful_proto::engine::Data as Message;
use roomful_proto::socket::{Arrived, Event, Mux, Slot};
use roomful_proto::{Moment, Reason, SocketId, Violation};

use self::line::Line;
use self::seats::Seat;
use self::work::Parked;
use crate::connection::lanes::Lanes;
use crate::ground::farewell::{Description, Farewell};
use crate::ground::rate::rates::{Buckets, Rates};
use crate::namespace::recovery;
use crate::node::core::Core;
use crate::transport::link::Link;

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
    /// Decisions that have not ended, and who waits for that.
    line: Line,
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

impl Sockets {
    pub(crate) fn new(core: Arc<Core>, link: Arc<Link>, now: Moment) -> Self {
        let limits = Arc::clone(&core.limits);
        let flow = &core.config.connection_flow;
        Self {
            rates: Rates::new(flow.rate, flow.pace),
            buckets: Buckets::default(),
            mux: Mux::new(now + limits.connect_timeout, link.dialect.revision, limits),
            core,
            link,
            seats: Vec::new(),
            parked: None,
            waiting: VecDeque::new(),
            lanes: Lanes::default(),
            line: Line::default(),
            event_bytes: 0,
            answered: false,
            next_expiry: None,
        }
    }

    /// Joins `/` for a client that is there without asking.
    pub(crate) fn join_main(&mut self, cx: &mut Context<'_>, now: Moment) {
        let mut arrived = self.mux.join_main();
        self.arrived(cx, now, &mut arrived);
    }

    /// Takes a message of the session.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        message: Message,
    ) -> Result<(), Violation> {
        let mut arrived = None;
        match &self.core.config.parser {
            None => self.mux.take(now, message, &mut arrived)?,
            Some(parser) => {
                let whole = parser.read(message, &self.core)?;
                self.mux.take_whole(now, whole, &mut arrived)?;
            }
        }
        if let Some(arrived) = &mut arrived {
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
                    if let Some((slot, hold)) = ended.held {
                        self.lanes.release(slot, hold);
                    }
                    if ended.was_decision {
                        self.line.running -= 1;
                    }
                    self.done(cx, now, ended.result);
                    if ended.was_decision {
                        self.call_up(cx, now);
                    }
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
        let parked_max =
            self.core.config.connection_flow.handlers_max.saturating_add(of_namespaces);
        self.event_bytes > EVENT_BYTES_MAX || parked > parked_max
    }

    /// Whether events wait because they came too fast. That is over in a time that is known, other than
    /// what handlers take.
    pub(crate) fn is_paced(&self) -> bool {
        self.rates.as_ref().is_some_and(|rates| rates.held_until().is_some())
    }

    /// Whether no handler runs or waits to.
    pub(crate) fn is_idle(&self) -> bool {
        self.parked.is_none() && self.waiting.is_empty() && self.lanes.is_empty()
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        let held_until = self.rates.as_ref().and_then(|rates| rates.held_until());
        let deadlines = [self.mux.deadline(), held_until, self.next_expiry, self.line.deadline()];
        deadlines.into_iter().flatten().min()
    }

    pub(crate) fn expire(&mut self, cx: &mut Context<'_>, now: Moment) -> Result<(), Violation> {
        self.expire_sockets(cx, now);
        self.expire_line(now);
        self.mux.expire(now)
    }

    /// Takes one socket out of its namespace, by the server's will.
    pub(crate) fn leave(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        id: SocketId,
        why: Option<Description>,
    ) {
        let found = |seat: &Seat| matches!(seat, Seat::Joined(socket) if socket.id == id);
        if let Some(index) = self.seats.iter().position(found) {
            let farewell = Farewell::new(Reason::ServerNamespaceDisconnect, why);
            self.dismiss(cx, now, index, &farewell);
        }
    }

    /// Takes all sockets out of their namespaces, by the server's will, and tells the client.
    pub(crate) fn leave_all(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        why: Option<&Description>,
    ) {
        let farewell = Farewell::new(Reason::ServerNamespaceDisconnect, why.cloned());
        for index in 0..self.seats.len() {
            self.dismiss(cx, now, index, &farewell);
        }
    }

    /// Ends all sockets: the connection has ended.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>, now: Moment, farewell: &Farewell) {
        for index in 0..self.seats.len() {
            self.vacate(cx, now, index, farewell);
        }
        // Nobody is left to handle these; and time, which some of them wait for, is not looked at any more.
        let waiting = std::mem::take(&mut self.waiting);
        self.event_bytes -= waiting.iter().map(|(_, event)| event.held_bytes()).sum::<usize>();
    }

    /// Takes what it needs out of what arrived: an event that is handled at once stays where it is.
    fn arrived(&mut self, cx: &mut Context<'_>, now: Moment, arrived: &mut Arrived) {
        match arrived {
            Arrived::Connect { slot, auth } => self.connect(cx, now, *slot, auth.take()),
            Arrived::AuthTooLarge { slot } => self.refuse_large(*slot),
            Arrived::Crowded { namespace } => self.crowded(namespace),
            Arrived::Event { slot, event } => self.event(cx, now, *slot, event),
            Arrived::Ack { slot, id, args } => self.ack(*slot, *id, std::mem::take(args)),
            Arrived::Disconnect { slot } => {
                let farewell = Farewell::new(Reason::ClientNamespaceDisconnect, None);
                self.vacate(cx, now, slot.index(), &farewell);
            }
        }
    }
}

impl Drop for Sockets {
    /// A connection whose task is dropped, as at the end of a runtime, leaves no ghost in a room. Of its
    /// sockets no function is told, but whoever has one sees how it ended.
    fn drop(&mut self) {
        let farewell = Farewell::new(Reason::ForcedServerClose, None);
        for seat in &self.seats {
            if let Seat::Joined(socket) = seat {
                socket.bid(farewell.clone());
                socket.end(recovery::is_lost(farewell.reason));
            }
        }
    }
}
