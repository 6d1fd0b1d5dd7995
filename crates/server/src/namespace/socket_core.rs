//! [`SocketCore`]: a client in a namespace as the server holds it, without the user's types; [`Member`]: as
//! its namespace lists it.
//!
//! An event of a socket without handlers of its own, in a namespace without `Extras`, pays one branch for all of that
//! (`is_special`). Such a socket has room for one pointer that is not set (`Rare`).
//!
//! An event that comes to nothing is told: `SocketCore::fail` answers the client that waits, and calls the function of
//! `on_error`. The text of a panic, or of an error that was not made for clients, stays in the server.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use roomful_proto::socket::Slot;
use roomful_proto::socket::packet::is_reserved;
use roomful_proto::{
    AckId, Args, EncodeError, EventError, Letter, Parcel, Reason, SocketId, ToArgs, Unstamped,
};
use tokio::sync::Notify;

use crate::ground::errors::emit_error::EmitError;
use crate::ground::farewell::Farewell;
use crate::ground::parser::{self, parcel};
use crate::ground::room_names::RoomNames;
use crate::ground::target::{Reliability, Target};
use crate::namespace::adapter::{EventLog, Line, Message};
use crate::namespace::asks::{Asked, Asks, Call, CallError};
use crate::namespace::erased::{Data, Outcome, Reply};
use crate::namespace::expiry::Expiry;
use crate::namespace::listeners::Shown;
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::recovery::Beginning;
use crate::namespace::table::Table;
use crate::transport::link::{Link, Order, Pushed};

/// A client in a namespace, without types.
pub(crate) struct SocketCore {
    pub(crate) id: SocketId,
    pub(crate) link: Arc<Link>,
    pub(crate) namespace: Arc<NamespaceCore>,
    /// The handlers that were registered when the socket came.
    pub(crate) table: Arc<Table>,
    pub(crate) slot: Slot,
    pub(crate) asks: Asks,
    pub(crate) data: Data,
    pub(crate) beginning: Beginning,
    pub(crate) expiry: Expiry,
    /// The last event of those that can be recovered that it was sent.
    sent: AtomicU64,
    connected: AtomicBool,
    /// There is more to an event of this socket than a handler in its table.
    special: AtomicBool,
    rare: OnceLock<Box<Rare>>,
}

/// What few sockets have, and those that have ended.
#[derive(Default)]
struct Rare {
    /// Its table, if it has handlers of its own.
    own: Mutex<Option<Arc<Table>>>,
    farewell: OnceLock<Farewell>,
    /// Rung when it is not connected any more.
    gone: Notify,
}

/// A socket as its namespace lists it. The link is at hand, so that sending to all of a long list
/// touches nothing else of each.
#[derive(Clone)]
pub(crate) struct Member {
    link: Arc<Link>,
    pub(crate) socket: Arc<SocketCore>,
}

/// Where a client comes in.
pub(crate) struct Entrance {
    pub(crate) slot: Slot,
    pub(crate) namespace: Arc<NamespaceCore>,
    pub(crate) table: Arc<Table>,
}

impl SocketCore {
    pub(crate) fn new(
        id: SocketId,
        link: Arc<Link>,
        entrance: Entrance,
        data: Data,
        beginning: Beginning,
        sent: u64,
    ) -> Self {
        let Entrance { slot, namespace, table } = entrance;
        let special = AtomicBool::new(table.extras.is_some());
        Self {
            id,
            link,
            namespace,
            table,
            slot,
            asks: Asks::new(),
            data,
            beginning,
            expiry: Expiry::never(),
            sent: AtomicU64::new(sent),
            connected: AtomicBool::new(true),
            special,
            rare: OnceLock::new(),
        }
    }

    /// Whether there is more to an event than a handler in [`table`](Self::table).
    #[inline]
    pub(crate) fn is_special(&self) -> bool {
        self.special.load(Ordering::Relaxed)
    }

    /// Its handlers as they are now.
    pub(crate) fn own_table(&self) -> Arc<Table> {
        let own = self.rare.get().and_then(|rare| rare.own.lock().clone());
        own.unwrap_or_else(|| Arc::clone(&self.table))
    }

    /// Changes its own handlers, and gives what falls out of the table, as
    /// [`NamespaceCore::change`]; `None` when the socket has left.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> Option<R> {
        let mut own = self.rare.get_or_init(Box::default).own.lock();
        // After its end nobody would let go of a handler that holds its socket.
        self.is_connected().then(|| {
            self.special.store(true, Ordering::Relaxed);
            change(Arc::make_mut(own.get_or_insert_with(|| Arc::clone(&self.table))))
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// How it ended; `None` while it has not.
    pub(crate) fn farewell(&self) -> Option<&Farewell> {
        self.rare.get()?.farewell.get()
    }

    /// The socket is about to leave, and that is how.
    pub(crate) fn bid(&self, farewell: Farewell) {
        // It leaves once.
        let _ = self.rare.get_or_init(Box::default).farewell.set(farewell);
        self.mute();
    }

    /// Nothing is sent to the socket any more.
    fn mute(&self) {
        self.connected.store(false, Ordering::Release);
        // Whoever begins to wait just now either is seen here, or sees that there is nothing to wait for.
        fence(Ordering::SeqCst);
        if let Some(rare) = self.rare.get() {
            rare.gone.notify_waiters();
        }
    }

    /// Waits until the socket is not connected any more.
    pub(crate) async fn disconnected(&self) {
        let gone = self.rare.get_or_init(Box::default).gone.notified();
        // It is rung for from its creation on.
        fence(Ordering::SeqCst);
        if self.is_connected() {
            gone.await;
        }
    }

    /// The socket leaves, and whoever waits for it learns it. It may come back if it was `lost`.
    pub(crate) fn end(&self, lost: bool) {
        self.mute();
        self.namespace.exit(self, lost);
        self.asks.close();
        if let Some(rare) = self.rare.get() {
            let _own = rare.own.lock().take();
        }
    }

    /// `false` when it is not in all of them then.
    pub(crate) fn join(self: &Arc<Self>, rooms: &impl RoomNames) -> bool {
        let mut all = true;
        rooms.each_room(&mut |room| {
            all &= self.namespace.may_be_joined(self.id, room)
                && self.may_join(room)
                && self.is_here()
                && self.namespace.join(self.id, room).is_ok();
        });
        all
    }

    /// Whether it is still in its namespace itself: its id may be that of the one that has come back.
    fn is_here(self: &Arc<Self>) -> bool {
        let is_this = |member: &Member| Arc::ptr_eq(&member.socket, self);
        self.namespace.rooms.look_at(self.id, is_this).unwrap_or(false)
    }

    /// `false` when it was not in all of them.
    pub(crate) fn leave(self: &Arc<Self>, rooms: &impl RoomNames) -> bool {
        let mut all = true;
        rooms.each_room(&mut |room| {
            all &= self.is_here() && self.namespace.leave(self.id, room);
        });
        all
    }

    /// Has the socket taken out of its namespace, not to come back.
    pub(crate) fn disconnect(&self) {
        self.namespace.revoke(self.id);
        self.link.order(Order::Leave(self.id, None));
    }

    /// Has the whole connection closed.
    pub(crate) fn close(&self) {
        self.namespace.revoke(self.id);
        self.link.order(Order::Close(Reason::ForcedServerClose, None));
    }

    pub(crate) fn emit<T: ToArgs>(
        self: &Arc<Self>,
        event: &str,
        args: &T,
        reliability: Reliability,
        compress: bool,
    ) -> Result<(), EmitError> {
        if is_reserved(event) {
            tracing::error!(event, "a reserved name cannot be emitted");
            return Err(EmitError::ReservedEvent);
        }
        if !self.is_connected() {
            return Err(EmitError::Gone);
        }
        self.namespace.show(Shown::One(self.id), event, args);
        if self.namespace.journal.is_some()
            && let Some(log) = self.namespace.line().and_then(Line::log)
        {
            return self.append(log, event, args, reliability, compress);
        }
        let pushed = match &self.namespace.journal {
            None => Letter::event(&self.namespace.name, None, event, args)
                .map(|letter| self.deliver(letter, reliability, compress)),
            Some(journal) => Unstamped::event(&self.namespace.name, event, args)
                .and_then(|event| journal.send_to(self, event, reliability, compress)),
        };
        let pushed = pushed.map_err(|error| {
            self.note_encode_failure(event, &error);
            EmitError::Encode(error)
        })?;
        match pushed {
            Pushed::Queued | Pushed::Slow => Ok(()),
            Pushed::Gone => Err(EmitError::Gone),
            Pushed::Overflow => Err(EmitError::Overflow),
            Pushed::Dropped => Err(EmitError::Dropped),
            Pushed::Unwritten => Err(EmitError::Encode(parser::panicked())),
        }
    }

    /// Has the engine bring an event to this node, which sends it then.
    fn append<T: ToArgs>(
        &self,
        log: &dyn EventLog,
        event: &str,
        args: &T,
        reliability: Reliability,
        compress: bool,
    ) -> Result<(), EmitError> {
        let args = Args::new(args).map_err(|error| {
            self.note_encode_failure(event, &error);
            EmitError::Encode(error)
        })?;
        let target = Target { reliability, compress, ..Target::socket(self.id) };
        log.append(Message::Emit { target, name: event.into(), args, ask: None });
        Ok(())
    }

    pub(crate) fn call<T: ToArgs, R>(
        self: &Arc<Self>,
        event: &str,
        args: &T,
        compress: bool,
    ) -> Call<R> {
        let asked = self.ask(event, args, compress);
        Call { asked, timeout: self.namespace.limits.ack_timeout(), answer: PhantomData }
    }

    pub(crate) fn ask<T: ToArgs>(
        self: &Arc<Self>,
        event: &str,
        args: &T,
        compress: bool,
    ) -> Result<Asked, CallError> {
        if is_reserved(event) {
            return Err(CallError::ReservedEvent);
        }
        if !self.is_connected() {
            return Err(CallError::Gone);
        }
        self.namespace.show(Shown::One(self.id), event, args);
        let asks_max = self.namespace.limits.asks_max();
        let Some((id, receiver)) = self.asks.open(&self.namespace.ask_ids, asks_max) else {
            self.namespace.count(|metrics| &metrics.asks_refused);
            return Err(CallError::TooMany);
        };
        let asked = Asked { socket: Arc::clone(self), id, receiver };
        if !self.is_connected() {
            // It has left since, and nobody would tell this ack request.
            return Err(CallError::Gone);
        }
        let letter = Letter::event(&self.namespace.name, Some(id), event, args);
        match self.deliver(letter.map_err(CallError::Encode)?, Reliability::Reliable, compress) {
            Pushed::Queued | Pushed::Slow => Ok(asked),
            Pushed::Gone | Pushed::Overflow | Pushed::Dropped => Err(CallError::Gone),
            Pushed::Unwritten => Err(CallError::Encode(parser::panicked())),
        }
    }

    /// Sends the answer to an event, unless the socket has left.
    pub(crate) fn reply(self: &Arc<Self>, reply: Reply) {
        match reply.outcome {
            Outcome::Answer(_) if !self.is_connected() => {}
            Outcome::Answer(Ok(answer)) => {
                let letter = answer.address(&self.namespace.name);
                self.deliver(letter, Reliability::Reliable, true);
            }
            Outcome::Answer(Err(error)) => self.note_encode_failure("an ack", &error),
            Outcome::Failure(failure) => {
                self.namespace.count(|metrics| &metrics.events_failed);
                self.fail(&failure.event, failure.ack, &failure.error);
            }
        }
    }

    /// An event has come to nothing: tells the client, if it waits for an answer, and the function that
    /// is told of errors. Called without any lock.
    pub(crate) fn fail(self: &Arc<Self>, event: &str, ack: Option<AckId>, error: &EventError) {
        tracing::debug!(event, %error, "an event came to nothing");
        if let Some(id) = ack {
            self.refuse(id, error);
        }
        if let (Some(on_error), Some(core)) = (&self.table.on_error, self.namespace.registry()) {
            core.guarded("the function of on_error", || on_error(self, event, error));
        }
    }

    /// Answers an error.
    pub(crate) fn refuse(self: &Arc<Self>, id: AckId, error: &EventError) {
        self.reply(Reply::new(id, &error.to_json()));
    }

    /// Sends a letter to this client, and counts when it does not go.
    fn deliver(
        self: &Arc<Self>,
        mut letter: Letter,
        reliability: Reliability,
        compress: bool,
    ) -> Pushed {
        self.namespace.pack(&mut letter, compress);
        let pushed = if self.namespace.parser.is_none() {
            self.link.push_letter(letter, reliability)
        } else {
            self.deliver_worded(letter, reliability)
        };
        if pushed != Pushed::Queued {
            self.note(pushed);
        }
        pushed
    }

    /// As the server's parser writes it.
    #[inline(never)]
    fn deliver_worded(&self, letter: Letter, reliability: Reliability) -> Pushed {
        match parcel(letter, self.namespace.parser.as_ref()) {
            Ok(parcel) => self.link.push(parcel, reliability),
            Err(error) => {
                self.note_encode_failure("a packet", &error);
                Pushed::Unwritten
            }
        }
    }

    pub(crate) fn note(self: &Arc<Self>, pushed: Pushed) {
        match pushed {
            Pushed::Slow => self.note_slow(),
            // What could not be written is counted where that was tried.
            Pushed::Queued | Pushed::Gone | Pushed::Unwritten => {}
            Pushed::Overflow => {
                self.namespace.count(|metrics| &metrics.slow_peers);
                tracing::warn!(socket = %self.id, "outbox full: the client reads too slowly");
            }
            Pushed::Dropped => self.namespace.count(|metrics| &metrics.volatile_dropped),
        }
    }

    /// So much waits for this client that it is slow: tells whoever wants to know.
    fn note_slow(self: &Arc<Self>) {
        self.namespace.count(|metrics| &metrics.slow_warnings);
        let Some(on_slow) = &self.table.on_slow else {
            return;
        };
        let bytes = self.link.outbox_bytes();
        if catch_unwind(AssertUnwindSafe(|| on_slow(self, bytes))).is_err() {
            self.namespace.count(|metrics| &metrics.panics);
            tracing::error!("an on_slow function panicked");
        }
    }

    /// The last event of those that can be recovered that it was sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// It is sent this event, or should have been. Called with the journal locked.
    pub(crate) fn note_sent(&self, number: u64) {
        self.sent.store(number, Ordering::Relaxed);
    }

    pub(crate) fn note_encode_failure(&self, event: &str, error: &EncodeError) {
        self.namespace.note_unwritten(event, error);
    }
}

impl Member {
    pub(crate) fn new(socket: &Arc<SocketCore>) -> Self {
        Self { link: Arc::clone(&socket.link), socket: Arc::clone(socket) }
    }

    /// Sends an event that can be recovered to this client. Called with the journal locked.
    pub(crate) fn push(&self, parcel: Parcel, number: u64, reliability: Reliability) -> Pushed {
        if reliability != Reliability::Volatile {
            self.socket.note_sent(number);
        }
        self.link.push(parcel, reliability)
    }

    /// Sends a parcel to this client. The caller notes what does not go, when it holds no lock.
    #[inline]
    pub(crate) fn deliver(&self, parcel: Parcel, reliability: Reliability) -> Pushed {
        self.link.push(parcel, reliability)
    }
}
