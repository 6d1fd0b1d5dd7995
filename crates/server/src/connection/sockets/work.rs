//! [`Parked`]: work that has not ended, and what becomes of it when it has.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use roomful_proto::socket::{Event, Slot};
use roomful_proto::{AckId, EventError, Moment};

use super::Sockets;
use crate::connection::entry::Visitor;
use crate::ground::errors::refusal::Refusal;
use crate::ground::event_flow::Hold;
use crate::ground::farewell::Description;
use crate::namespace::decisions::Caller;
use crate::namespace::erased::{Data, Reply, Started};
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::socket_core::SocketCore;

/// What a connection runs for its sockets.
pub(super) enum Work {
    Handler(Started),
    Decision(Pin<Box<dyn Future<Output = Decided> + Send>>),
    Passage(Pin<Box<dyn Future<Output = Option<Event>> + Send>>),
}

/// What came of a piece of work.
pub(super) enum Done {
    /// A handler has ended.
    Handled(Option<Reply>),
    /// A namespace has decided about a client.
    Decided(Decided),
    /// An event has come through the functions before its handler, or not.
    Passed(Option<Event>),
}

impl Future for Work {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        match &mut *self {
            Self::Handler(running) => running.as_mut().poll(cx).map(Done::Handled),
            Self::Decision(decision) => decision.as_mut().poll(cx).map(Done::Decided),
            Self::Passage(passage) => passage.as_mut().poll(cx).map(Done::Passed),
        }
    }
}

pub(super) enum Decided {
    /// Whether a client may come in.
    Entry { slot: Slot, verdict: Result<Data, Refusal>, visitor: Visitor },
    /// A client comes further: to the namespace that it asks for, since it is to be, or to its turn.
    Further { slot: Slot, further: Further },
}

/// The client, and the namespace if that was what it waited for.
pub(super) type Further = Result<(Caller, Option<Arc<NamespaceCore>>), Refusal>;

/// A piece of work, whose it is, what for, and the bytes of its event or its auth payload.
pub(super) struct Parked {
    pub(super) work: Work,
    pub(super) whose: Option<(Arc<SocketCore>, Trigger)>,
    pub(super) bytes: usize,
    /// What it is for later events of the socket.
    pub(super) hold: Hold,
}

/// What a function of the user's was called for.
pub(super) struct Trigger {
    event: Name,
    ack: Option<AckId>,
}

enum Name {
    /// Of an event.
    Event(Arc<str>),
    /// A socket has come, or leaves.
    Passage(&'static str),
}

impl Trigger {
    pub(super) fn event(name: Option<&Arc<str>>, event: &Event) -> Self {
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
pub(super) struct Ended {
    pub(super) bytes: usize,
    pub(super) was_decision: bool,
    /// Whose lane it has held, and how.
    pub(super) held: Option<(Slot, Hold)>,
    pub(super) result: Result<Next, Panicked>,
}

/// What is to be done when a piece of work has ended.
pub(super) enum Next {
    Nothing,
    /// A namespace has decided.
    Decided(Decided),
    /// An event may come to its handler.
    Passed(Arc<SocketCore>, Event),
}

/// The work panicked.
pub(super) struct Panicked {
    whose: Option<(Arc<SocketCore>, Trigger)>,
    error: EventError,
}

/// How far a function of the user's came at once.
pub(super) enum Begun {
    /// To its end, and what it has answered is sent.
    Ended,
    Waits(Started),
    Panicked(EventError),
}

/// Calls a function of the user's, runs what it gives to its first wait, and sends what it answers.
pub(super) fn begin(
    cx: &mut Context<'_>,
    socket: &Arc<SocketCore>,
    function: impl FnOnce() -> Option<Started>,
) -> Begun {
    let begun = catch_unwind(AssertUnwindSafe(|| {
        let Some(mut started) = function() else {
            return Begun::Ended;
        };
        let Poll::Ready(reply) = started.as_mut().poll(cx) else {
            return Begun::Waits(started);
        };
        // It may panic as it is dropped, and an event has one answer.
        drop(started);
        if let Some(reply) = reply {
            socket.reply(reply);
        }
        Begun::Ended
    }));
    begun.unwrap_or_else(|panic| Begun::Panicked(EventError::panicked(&*panic)))
}

impl Parked {
    const fn is_decision(&self) -> bool {
        matches!(self.work, Work::Decision(_))
    }

    fn held_lane(&self) -> Option<(Slot, Hold)> {
        let (socket, _) = self.whose.as_ref().filter(|_| self.hold != Hold::None)?;
        Some((socket.slot, self.hold))
    }
}

impl Future for Parked {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let held = self.held_lane();
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
        let was_decision = self.is_decision();
        Poll::Ready(Ended { bytes: self.bytes, was_decision, held, result })
    }
}

impl Sockets {
    /// Calls a function of the user's, runs what it gives to its first wait, and parks it there.
    pub(super) fn call(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        what: &'static str,
        function: impl FnOnce() -> Option<Started>,
    ) {
        let begun = begin(cx, socket, function);
        self.go_on(cx, now, socket, Trigger::passage(what), 0, begun);
    }

    pub(super) fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        socket: &Arc<SocketCore>,
        trigger: Trigger,
        bytes: usize,
        begun: Begun,
    ) {
        match begun {
            Begun::Ended => {}
            Begun::Waits(started) => {
                let whose = Some((Arc::clone(socket), trigger));
                let work = Work::Handler(started);
                self.park(Parked { work, whose, bytes, hold: Hold::None });
            }
            Begun::Panicked(error) => {
                let whose = Some((Arc::clone(socket), trigger));
                self.panicked(cx, now, &Panicked { whose, error });
            }
        }
    }

    pub(super) fn park(&mut self, parked: Parked) {
        self.event_bytes += parked.bytes;
        self.line.running += usize::from(parked.is_decision());
        if let Some((slot, hold)) = parked.held_lane() {
            self.lanes.hold(slot, hold);
        }
        self.parked.get_or_insert_default().push(parked);
    }

    /// Runs a decision to its first wait, and parks it there. Until then it may hold the auth payload.
    pub(super) fn decide(&mut self, cx: &mut Context<'_>, now: Moment, work: Work, bytes: usize) {
        self.try_now(cx, now, Parked { work, whose: None, bytes, hold: Hold::None });
    }

    /// Runs a piece of work to its first wait, and parks it there.
    pub(super) fn try_now(&mut self, cx: &mut Context<'_>, now: Moment, mut work: Parked) {
        match Pin::new(&mut work).poll(cx) {
            Poll::Ready(ended) => self.done(cx, now, ended.result),
            Poll::Pending => self.park(work),
        }
    }

    pub(super) fn done(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        result: Result<Next, Panicked>,
    ) {
        match result {
            Ok(Next::Nothing) => {}
            Ok(Next::Decided(decided)) => self.decided(cx, now, decided),
            Ok(Next::Passed(socket, event)) => self.handle(cx, now, &socket, event),
            Err(panicked) => self.panicked(cx, now, &panicked),
        }
    }

    /// A handler panicked: that costs its own socket, and nothing else. Its client is told no more than
    /// that there was an error.
    pub(super) fn panicked(&mut self, cx: &mut Context<'_>, now: Moment, panicked: &Panicked) {
        self.core.metrics.panics.add();
        if let Some((socket, trigger)) = &panicked.whose {
            tracing::error!(socket = %socket.id, "a handler panicked; its socket is disconnected");
            socket.fail(trigger.name(), trigger.ack, &panicked.error);
            self.leave(cx, now, socket.id, Some(Description::Panicked));
        }
    }
}
