//! Delivery: what a node does to the sockets of a [`Target`], for itself and for other nodes.
//!
//! Each operation has two halves. The first is done here; the second asks the other nodes for theirs, by the
//! line of the namespace, and is left out where the target is local or there is no other node.
//!
//! Nodes that share a recovery ([`Adapter::recovery`](crate::adapter::Adapter::recovery)) get the events by it, in one
//! order for all of them, and no message carries these. Where the engine keeps a [log](crate::adapter::Line::log), events
//! go into that, and come back from it to all nodes in one order. Otherwise an event is a message, and each node with a recovery
//! numbers it in its own journal.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use roomful_proto::socket::packet::is_reserved;
use roomful_proto::{AckId, Args, EncodeError, Letter, Parcel, ToArgs, Unstamped};

use crate::ground::errors::emit_error::EmitError;
use crate::ground::room_names::RoomNames;
use crate::ground::target::{Reliability, Target};
use crate::namespace::adapter::{
    EventLog, Line, Message, Node, Offset, Reply, ReplyTo, RoomChange, SocketState, WatchedRooms,
};
use crate::namespace::listeners::Catch;
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::recovery::Journal;
use crate::namespace::room_news::RoomFn;
use crate::namespace::rooms::Selection;
use crate::namespace::shared_ask::SharedAsk;
use crate::namespace::socket_core::{Member, SocketCore};
use crate::transport::link::Pushed;

/// The ack requests that are open for one call, by their namespaces.
pub(crate) type OpenSharedAsks = Vec<(Arc<NamespaceCore>, AckId)>;

/// How long an ack request of another node waits at most, whatever that says.
const ASK_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// Ack requests to many that may be open in a namespace when another node asks for one more.
const FOREIGN_ASKS_MAX: usize = 10_000;

/// Names that the official servers use among themselves.
const SERVER_SIDE_RESERVED: [&str; 3] = ["connect", "connection", "new_namespace"];

impl NamespaceCore {
    /// Sends an event to all nodes, and tells how many clients of this process it went to.
    pub(crate) fn send<T: ToArgs>(
        self: &Arc<Self>,
        target: &Target,
        name: &str,
        args: &T,
    ) -> Result<usize, EmitError> {
        if let Some(log) = self.log_for(target) {
            return self.append(log, target, name, args);
        }
        let sent = self.send_here(target, name, args)?;
        // A recovery that all nodes share has brought it to them.
        if !self.shares_recovery()
            && let Some(line) = self.line_to(target)
        {
            let args = self.written(name, |_, _| Args::new(args))?;
            line.send(Message::Emit { target: target.clone(), name: name.into(), args, ask: None });
        }
        Ok(sent)
    }

    /// Has the engine bring an event to all nodes, this one too. To whom it goes here is seen when it comes.
    fn append<T: ToArgs>(
        self: &Arc<Self>,
        log: &dyn EventLog,
        target: &Target,
        name: &str,
        args: &T,
    ) -> Result<usize, EmitError> {
        let args = self.written(name, |_, _| Args::new(args))?;
        let mut count = 0;
        self.each_socket(target, |_| count += 1);
        log.append(Message::Emit { target: target.clone(), name: name.into(), args, ask: None });
        Ok(count)
    }

    fn send_here<T: ToArgs>(
        self: &Arc<Self>,
        target: &Target,
        name: &str,
        args: &T,
    ) -> Result<usize, EmitError> {
        if let Some(children) = self.children() {
            let here = children.iter().map(|child| child.send_here(target, name, args));
            let sent = here.sum::<Result<usize, _>>()?;
            return Ok(sent + self.send_to_absent(&children, target, name, args)?);
        }
        if let Some(journal) = &self.journal {
            let write = |namespace: &str, name: &str| Unstamped::event(namespace, name, args);
            let event = self.written(name, write)?;
            return self.send_through(journal, event, target, name);
        }
        let parcel = self.event_parcel(target, name, None, args)?;
        let delivering = self.deliveries.read();
        let selection = self.selected(target);
        let (queued, noted) = push_to(&selection, &parcel, target.reliability);
        drop(delivering);
        noted.into_iter().for_each(|(member, pushed)| member.socket.note(pushed));
        Ok(queued)
    }

    /// Keeps an event for those who may come back to a child that has ended meanwhile, and sends it to the
    /// children of another server that shares the recovery.
    fn send_to_absent<T: ToArgs>(
        &self,
        children: &[Arc<Self>],
        target: &Target,
        name: &str,
        args: &T,
    ) -> Result<usize, EmitError> {
        if target.local && self.line().is_some() {
            return Ok(0);
        }
        let (mut sent, mut kept_max) = (0, self.absent_max());
        for (child, journal) in self.absent(children) {
            let event = self.written(name, |_, name| Unstamped::event(&child, name, args))?;
            // Who waits where nothing more is kept is told by a new socket.
            let is_kept = target.reliability != Reliability::Volatile;
            if kept_max == 0 && is_kept && journal.give_up() {
                continue;
            }
            kept_max = kept_max.saturating_sub(1);
            sent += self.send_through(&journal, event, target, name)?;
        }
        Ok(sent)
    }

    fn send_through(
        &self,
        journal: &Journal,
        event: Unstamped,
        target: &Target,
        name: &str,
    ) -> Result<usize, EmitError> {
        journal.send(event, self, target).map_err(|error| self.unwritten(name, error))
    }

    /// Sends an ack request to all nodes. Its answers come as replies, and from other nodes how many they ask; how
    /// many clients of this one are asked is returned.
    pub(crate) fn ask<T: ToArgs>(
        self: &Arc<Self>,
        target: &Target,
        name: &str,
        args: &T,
        timeout: Duration,
        replies: &ReplyTo,
        open: &mut OpenSharedAsks,
    ) -> usize {
        let asked = self.ask_here(target, name, args, replies, open);
        if let Some(line) = self.line_to(target)
            && let Ok(args) = self.written(name, |_, _| Args::new(args))
        {
            let (target, name, ask) = (target.clone(), name.into(), Some(timeout));
            line.ask(Message::Emit { target, name, args, ask }, replies.clone());
        }
        asked
    }

    /// Asks the clients of this node, and tells how many.
    fn ask_here<T: ToArgs>(
        self: &Arc<Self>,
        target: &Target,
        name: &str,
        args: &T,
        replies: &ReplyTo,
        open: &mut OpenSharedAsks,
    ) -> usize {
        let each = self.each();
        each.iter().map(|namespace| namespace.ask_sockets(target, name, args, replies, open)).sum()
    }

    fn ask_sockets<T: ToArgs>(
        self: &Arc<Self>,
        target: &Target,
        name: &str,
        args: &T,
        replies: &ReplyTo,
        open: &mut OpenSharedAsks,
    ) -> usize {
        let id = self.next_shared_ask_id();
        let Some((id, parcel)) = id.zip(self.event_parcel(target, name, id, args).ok()) else {
            return 0;
        };
        let delivering = self.deliveries.read();
        let selection = self.selected(target);
        let waiting: HashSet<_> = selection.iter().map(|member| member.socket.id).collect();
        let asked = waiting.len();
        let ask = Arc::new(SharedAsk::new(waiting, replies.clone()));
        self.open_shared_ask(id, Arc::clone(&ask));
        open.push((Arc::clone(self), id));
        let (_, noted) = push_to(&selection, &parcel, target.reliability);
        drop(delivering);
        for (member, pushed) in noted {
            member.socket.note(pushed);
            if !pushed.is_queued() {
                ask.gone(member.socket.id);
            }
        }
        let left = selection.iter().filter(|member| !member.socket.is_connected());
        left.for_each(|member| ask.gone(member.socket.id));
        ask.close_if_done();
        asked
    }

    /// Puts sockets into rooms, at all nodes.
    pub(crate) fn join_all(self: &Arc<Self>, target: &Target, rooms: &impl RoomNames) {
        if let Some(log) = self.log_for(target) {
            return log.append(Message::Join { target: target.clone(), rooms: names(rooms) });
        }
        self.each_socket(target, |socket| {
            socket.join(rooms);
        });
        self.tell_others(target, |target| Message::Join { target, rooms: names(rooms) });
    }

    /// Takes sockets out of rooms, at all nodes.
    pub(crate) fn leave_all(self: &Arc<Self>, target: &Target, rooms: &impl RoomNames) {
        if let Some(log) = self.log_for(target) {
            return log.append(Message::Leave { target: target.clone(), rooms: names(rooms) });
        }
        self.each_socket(target, |socket| {
            socket.leave(rooms);
        });
        self.tell_others(target, |target| Message::Leave { target, rooms: names(rooms) });
    }

    /// Disconnects sockets, at all nodes; `close` closes their whole connections.
    pub(crate) fn disconnect_all(self: &Arc<Self>, target: &Target, close: bool) {
        if let Some(log) = self.log_for(target) {
            return log.append(Message::Disconnect { target: target.clone(), close });
        }
        self.disconnect_here(target, close);
        self.tell_others(target, |target| Message::Disconnect { target, close });
    }

    fn disconnect_here(self: &Arc<Self>, target: &Target, close: bool) {
        self.each_socket(target, |socket| if close { socket.close() } else { socket.disconnect() });
        // It may have been lost meanwhile, and is not to come back.
        if let Some(id) = target.socket {
            self.each().iter().for_each(|namespace| namespace.revoke(id));
        }
    }

    fn tell_others(&self, target: &Target, message: impl FnOnce(Target) -> Message) {
        if let Some(line) = self.line_to(target) {
            line.send(message(target.clone()));
        }
    }

    /// Asks the other nodes. What they say comes as replies, which end at once where there is no other.
    pub(crate) fn ask_others(
        &self,
        target: &Target,
        message: impl FnOnce(Target) -> Message,
        replies: ReplyTo,
    ) {
        if let Some(line) = self.line_to(target) {
            line.ask(message(target.clone()), replies);
        }
    }

    /// The arguments of a server-side event. They are written although there may be no other node, so that
    /// what cannot be written is seen on one node already.
    pub(crate) fn server_side<T: ToArgs>(&self, event: &str, args: &T) -> Result<Args, EmitError> {
        if SERVER_SIDE_RESERVED.contains(&event) {
            tracing::error!(event, "a reserved name cannot be emitted");
            return Err(EmitError::ReservedEvent);
        }
        Args::new(args).map_err(|error| self.unwritten(event, error))
    }

    /// Gives each socket of a target to a function: of this namespace, or of all that it stands for.
    pub(crate) fn each_socket(
        self: &Arc<Self>,
        target: &Target,
        mut function: impl FnMut(&Arc<SocketCore>),
    ) {
        for namespace in self.each() {
            let selection = namespace.selected(target);
            selection.iter().for_each(|member| function(&member.socket));
        }
    }

    fn selected(&self, target: &Target) -> Selection<Member> {
        self.rooms.of_target(target)
    }

    fn event_parcel<T: ToArgs>(
        &self,
        target: &Target,
        event: &str,
        ack: Option<AckId>,
        args: &T,
    ) -> Result<Parcel, EmitError> {
        self.written(event, |namespace, name| {
            self.parcel(Letter::event(namespace, ack, name, args)?, target.compress)
        })
    }

    fn written<W>(
        &self,
        event: &str,
        write: impl FnOnce(&str, &str) -> Result<W, EncodeError>,
    ) -> Result<W, EmitError> {
        if is_reserved(event) {
            tracing::error!(event, "a reserved name cannot be emitted");
            return Err(EmitError::ReservedEvent);
        }
        write(&self.name, event).map_err(|error| self.unwritten(event, error))
    }

    fn unwritten(&self, event: &str, error: EncodeError) -> EmitError {
        self.note_unwritten(event, &error);
        EmitError::Encode(error)
    }

    /// The log of the engine, where it brings to all nodes what is for a target. So what follows an event, such as that its
    /// hearers leave, stays behind it.
    fn log_for(&self, target: &Target) -> Option<&dyn EventLog> {
        self.line_to(target).and_then(Line::log)
    }

    fn line_to(&self, target: &Target) -> Option<&dyn Line> {
        if target.local { None } else { self.line() }
    }
}

/// Puts a parcel into the outboxes of a selection. Tells how many took it, and with whom there is more to do: that
/// waits until no lock is held, since it calls functions of the user's, which may leave rooms.
fn push_to<'s>(
    selection: &'s Selection<Member>,
    parcel: &Parcel,
    reliability: Reliability,
) -> (usize, Vec<(&'s Member, Pushed)>) {
    let mut noted = Vec::new();
    let takes = |member: &&'s Member| {
        let pushed = member.deliver(parcel.clone(), reliability);
        if pushed != Pushed::Queued {
            noted.push((*member, pushed));
        }
        pushed.is_queued()
    };
    (selection.iter().filter(takes).count(), noted)
}

/// What other nodes want of this one.
impl Node for NamespaceCore {
    fn receive(self: Arc<Self>, message: Message, replies: Option<ReplyTo>) {
        match message {
            // What goes wrong is counted and logged where it happens.
            Message::Emit { target, name, args, ask: None } => {
                drop(self.send_here(&target, &name, &args));
            }
            Message::Emit { target, name, args, ask: Some(timeout) } => {
                if let Some(replies) = replies {
                    self.ask_for_another(&target, &name, &args, timeout, &replies);
                }
            }
            Message::Join { target, rooms } => {
                self.each_socket(&target, |socket| {
                    socket.join(&rooms);
                });
            }
            Message::Leave { target, rooms } => {
                self.each_socket(&target, |socket| {
                    socket.leave(&rooms);
                });
            }
            Message::Disconnect { target, close } => self.disconnect_here(&target, close),
            Message::Sockets { target } => {
                if let Some(to) = replies {
                    let mut sockets = Vec::new();
                    self.each_socket(&target, |socket| sockets.extend(socket.state()));
                    to.send(Reply::Sockets(sockets));
                }
            }
            Message::ServerSide { name, args } => self.run_server_side(&name, args, replies),
            Message::Vacate { socket, visitor } => {
                if let Some(journal) = &self.journal {
                    journal.vacate_for_another(&socket, &visitor);
                }
            }
        }
    }

    fn wants_log(&self) -> Option<Duration> {
        match (&self.journal, self.children()) {
            // What its parent has sent it before is not looked for.
            (Some(_), _) if self.lineage().is_some() => Some(Duration::ZERO),
            (Some(journal), _) => Some(journal.keeps()),
            (None, Some(_)) if self.registry()?.recovery.is_some() => Some(Duration::ZERO),
            (None, _) => None,
        }
    }

    fn log_begins(self: Arc<Self>, offset: Offset) {
        for namespace in self.each() {
            if let Some(journal) = &namespace.journal {
                journal.begin_behind(offset);
            }
        }
    }

    fn receive_logged(self: Arc<Self>, offset: Option<Offset>, is_past: bool, message: Message) {
        let Message::Emit { target, name, args, ask: None } = message else {
            if !is_past {
                self.receive(message, None);
            }
            return;
        };
        for namespace in self.each() {
            // What goes wrong is counted and logged where it happens.
            drop(namespace.send_logged(offset, is_past, &target, &name, &args));
        }
    }

    fn has_room(&self, room: &str) -> bool {
        match self.children() {
            None => self.rooms.has(room),
            Some(children) => children.iter().any(|child| child.rooms.has(room)),
        }
    }

    fn room_names(&self) -> Vec<String> {
        match self.children() {
            None => self.rooms.names(),
            Some(children) => children.iter().flat_map(|child| child.rooms.names()).collect(),
        }
    }

    fn watch_rooms(
        self: Arc<Self>,
        which: WatchedRooms,
        told: Box<dyn Fn(RoomChange<'_>) + Send + Sync>,
    ) {
        if self.children().is_some() {
            return;
        }
        // The functions are those of all nodes of this process.
        let this = Arc::downgrade(&self);
        let function: Arc<RoomFn> = Arc::new(move |namespace, what| {
            if this.as_ptr() == Arc::as_ptr(namespace) {
                what.change().into_iter().for_each(&told);
            }
        });
        self.watch_rooms_here(&Catch::new(function, false));
        if which == WatchedRooms::All {
            self.rooms.watch_members();
        }
    }
}

impl NamespaceCore {
    /// Does with an event of the log what is to be done in one namespace.
    fn send_logged(
        self: &Arc<Self>,
        offset: Option<Offset>,
        is_past: bool,
        target: &Target,
        name: &str,
        args: &Args,
    ) -> Result<(), EmitError> {
        let Some(journal) = &self.journal else {
            return self.send_here(target, name, args).map(drop);
        };
        let event =
            self.written(name, |namespace, name| Unstamped::event(namespace, name, args))?;
        let sent = match offset.filter(|_| is_past) {
            Some(offset) => journal.recall(event, self, target, offset),
            None => journal.send_logged(event, self, target, offset).map(drop),
        };
        sent.map_err(|error| self.unwritten(name, error))
    }

    /// Asks the clients of this node for another, and stops waiting when that does, or when the time is over.
    fn ask_for_another(
        self: &Arc<Self>,
        target: &Target,
        name: &str,
        args: &Args,
        timeout: Duration,
        replies: &ReplyTo,
    ) {
        let mut count = 0;
        if self.may_ask_for_another() {
            self.each_socket(target, |_| count += 1);
        }
        replies.send(Reply::Clients(count));
        if count == 0 {
            return;
        }
        let mut open = OpenSharedAsks::new();
        self.ask_here(target, name, args, replies, &mut open);
        let closes = ClosesAsks(open_weakly(open));
        // It holds no sender: the replies end when all have answered.
        let over = replies.over(timeout.min(ASK_TIMEOUT_MAX));
        if let Some(runtime) = self.registry().and_then(|registry| registry.runtime()) {
            drop(runtime.spawn(async move {
                over.await;
                drop(closes);
            }));
        }
    }

    /// Whether not too many ack requests are open already.
    fn may_ask_for_another(self: &Arc<Self>) -> bool {
        let open: usize = self.each().iter().map(|namespace| namespace.open_shared_asks()).sum();
        let may = open < FOREIGN_ASKS_MAX;
        if !may {
            tracing::warn!(namespace = ?self.name, open, "too many ack requests: another node's is not sent");
        }
        may
    }

    /// Runs the server-side handler of a name, if there is one.
    fn run_server_side(self: &Arc<Self>, name: &str, args: Args, replies: Option<ReplyTo>) {
        let Some(handler) = self.table().server_side.get(name).cloned() else {
            return;
        };
        let Some(registry) = self.registry() else {
            return;
        };
        let Some(runtime) = registry.runtime() else {
            tracing::error!(name, "a server-side handler is not run: there is no runtime yet");
            return;
        };
        let Some(answer) = registry.guarded("a server-side handler", || handler(args)) else {
            return;
        };
        let namespace = Arc::clone(self);
        drop(runtime.spawn(async move {
            match (AssertUnwindSafe(answer).catch_unwind().await, replies) {
                (Ok(Ok(answer)), Some(to)) => to.send(Reply::ServerSide(answer)),
                (Ok(Err(error)), _) => namespace.note_unwritten("a server-side answer", &error),
                (Ok(Ok(_)), None) => {}
                (Err(_panic), _) => {
                    namespace.count(|metrics| &metrics.panics);
                    tracing::error!("a server-side handler panicked");
                }
            }
        }));
    }
}

impl SocketCore {
    /// What other nodes are told of it; `None` when it has left.
    pub(crate) fn state(self: &Arc<Self>) -> Option<SocketState> {
        let rooms = self.namespace.rooms.of(self.id);
        (!rooms.is_empty()).then(|| SocketState {
            id: self.id,
            handshake: self.link.handshake.clone(),
            rooms,
            data: self.shared_data(),
        })
    }

    /// What its namespace shares of its data.
    pub(crate) fn shared_data(&self) -> serde_json::Value {
        self.namespace.shared(&self.data)
    }
}

/// Ack requests of another node. They are closed with it, whatever becomes of the task that has it.
struct ClosesAsks(Vec<(Weak<NamespaceCore>, AckId)>);

impl Drop for ClosesAsks {
    fn drop(&mut self) {
        for (namespace, id) in self.0.drain(..) {
            namespace.upgrade().into_iter().for_each(|namespace| namespace.close_shared_ask(id));
        }
    }
}

fn open_weakly(open: OpenSharedAsks) -> Vec<(Weak<NamespaceCore>, AckId)> {
    open.into_iter().map(|(namespace, id)| (Arc::downgrade(&namespace), id)).collect()
}

fn names(rooms: &impl RoomNames) -> Vec<String> {
    let mut names = Vec::new();
    rooms.each_room(&mut |room| names.push(room.to_owned()));
    names
}
