//! [`Broadcast`]: one event to many; [`Answers`]: what they say to an ack request.

use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use roomful_proto::event::{CallName, EmitName};
use roomful_proto::socket::packet::is_reserved;
use roomful_proto::{ArgError, FromArg, SocketId, ToArgs};
use tokio::time::{Instant, timeout_at};

use crate::api::remote::{Fetched, RemoteSocket};
use crate::ground::errors::emit_error::EmitError;
use crate::ground::room_names::RoomNames;
use crate::ground::target::{Reliability, Target};
use crate::namespace::adapter::{Message, Replies, Reply, ReplyTo};
use crate::namespace::delivery::OpenSharedAsks;
use crate::namespace::listeners::Shown;
use crate::namespace::namespace_core::NamespaceCore;

/// Whom an event goes to. Each method gives a new value, so a selection can be kept and used again.
///
/// Without [`to`](Self::to) it is everyone in the namespace; with several rooms it is all who are
/// in at least one of them. Nobody gets an event twice. The id of a socket is a room of its own.
#[derive(Clone)]
#[must_use = "a selection sends nothing by itself"]
#[doc(alias = "BroadcastOperator")]
pub struct Broadcast {
    namespace: Arc<NamespaceCore>,
    target: Target,
    timeout: Duration,
}

impl Broadcast {
    pub(crate) fn new(namespace: &Arc<NamespaceCore>) -> Self {
        Self::over(namespace, Target::everyone())
    }

    pub(crate) fn over(namespace: &Arc<NamespaceCore>, target: Target) -> Self {
        let timeout = namespace.limits.ack_timeout();
        Self { namespace: Arc::clone(namespace), target, timeout }
    }

    /// Adds a room, or several.
    #[doc(alias = "in")]
    pub fn to(mut self, rooms: impl RoomNames) -> Self {
        rooms.append_to(&mut self.target.rooms);
        self
    }

    /// Leaves out all who are in a room, or in one of several.
    pub fn except(mut self, rooms: impl RoomNames) -> Self {
        rooms.append_to(&mut self.target.except);
        self
    }

    /// Leaves out the clients of other nodes. On a single node this changes nothing. Where nodes share a
    /// recovery, an event that is sent so is not kept for clients that come back.
    pub fn local(mut self) -> Self {
        self.target.local = true;
        self
    }

    /// Leaves out clients to whom the event could not leave at once: see
    /// [`Socket::emit_volatile`](crate::Socket::emit_volatile).
    pub fn volatile(mut self) -> Self {
        self.target.reliability = Reliability::Volatile;
        self
    }

    /// Whether the event may be compressed, on a WebSocket or in the answer to a poll, where that is
    /// on. Default yes. What must not be guessed from the size of what is sent is better not.
    pub fn compress(mut self, compress: bool) -> Self {
        self.target.compress = compress;
        self
    }

    /// Sends only what is latest: while such an event waits for a client, the next one with the same
    /// `key` takes its place, behind all that was sent meanwhile. For states, such as a position or a
    /// score, of which nobody wants to see a past one; a client that reads slowly then skips some, and
    /// its outbox does not grow with them.
    ///
    /// ```
    /// # let io = roomful::Server::new();
    /// io.to("match").latest("score").emit("score", (2, 1));
    /// ```
    pub fn latest(mut self, key: impl Hash) -> Self {
        self.target.reliability = Reliability::Latest(key_of(&key));
        self
    }

    /// How long [`call`](Self::call) waits for answers. Default: the
    /// [`ack_timeout`](crate::Namespace::ack_timeout) of the namespace, 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends an event to the selected. It is encoded once for all of them. Events of one task reach
    /// everybody in the order in which they were sent. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is
    /// one: see [`ToArgs`].
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        // What goes wrong is counted and logged where it happens.
        let _ = self.try_emit(event, args);
    }

    /// Sends an event to the selected and tells to how many clients of this node. How many other nodes have
    /// is not known when this returns. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see
    /// [`ToArgs`].
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written as JSON, or the name is reserved. A client that is not
    /// reached is no error: it is only not counted.
    pub fn try_emit<N: EmitName<T>, T: ToArgs>(
        &self,
        event: N,
        args: T,
    ) -> Result<Emitted, EmitError> {
        let name = event.event_name();
        self.show(name, &args);
        let local = self.namespace.send(&self.target, name, &args)?;
        Ok(Emitted { local })
    }

    /// Sends a `message` to the selected: a short form of [`emit`](Self::emit). `(a, b)` and `[a, b]` are two
    /// arguments, `vec![a, b]` is one: see [`ToArgs`].
    #[doc(alias = "write")]
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }

    /// Asks the selected: sends an event that each of them is to answer. The answers come as they
    /// arrive, until all are there or the time is over. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is
    /// one: see [`ToArgs`].
    ///
    /// The type of the answers is that of what takes them: `let votes: Answers<u8> = …`, or
    /// `let votes: Vec<(SocketId, u8)> = ….collect().await`; an [`Event`](crate::Event) as the name fixes it, too.
    /// Each is read as by [`Socket::call`](crate::Socket::call): a tuple reads an array, or several arguments.
    #[doc(alias = "emitWithAck")]
    pub fn call<N, T, R>(&self, event: N, args: T) -> Answers<R>
    where
        N: CallName<T, R>,
        T: ToArgs,
        R: FromArg,
    {
        let (to, replies) = ReplyTo::channel();
        let until = Instant::now().checked_add(self.timeout);
        let (name, mut open) = (event.event_name(), OpenSharedAsks::new());
        self.show(name, &args);
        let asked = self.namespace.ask(&self.target, name, &args, self.timeout, &to, &mut open);
        let (answered, nodes, early, answer) = (0, Nodes::default(), None, PhantomData);
        let mut answers = Answers { open, asked, answered, nodes, until, replies, early, answer };
        answers.note_early();
        answers
    }

    /// Puts the selected into a room, or into several: at once, so that what is sent there next
    /// reaches them. Whoever is in [`rooms_max`](crate::Namespace::rooms_max) rooms already, or is refused
    /// by a function of [`Namespace::before_join`](crate::Namespace::before_join), is left out; a name of
    /// more than [`room_name_bytes_max`](crate::Namespace::room_name_bytes_max) nobody joins.
    #[doc(alias = "socketsJoin")]
    pub fn join(&self, rooms: impl RoomNames) {
        self.namespace.join_all(&self.target, &rooms);
    }

    /// Takes the selected out of a room, or out of several, at once.
    #[doc(alias = "socketsLeave")]
    pub fn leave(&self, rooms: impl RoomNames) {
        self.namespace.leave_all(&self.target, &rooms);
    }

    /// Takes the selected out of the namespace. Their connections stay for their other namespaces.
    #[doc(alias = "disconnectSockets")]
    pub fn disconnect(&self) {
        self.namespace.disconnect_all(&self.target, false);
    }

    /// Closes the whole connections of the selected, with all their namespaces.
    #[doc(alias = "disconnectSockets")]
    pub fn close(&self) {
        self.namespace.disconnect_all(&self.target, true);
    }

    /// The ids of the selected sockets of this node.
    #[doc(alias = "allSockets")]
    pub fn local_ids(&self) -> Vec<SocketId> {
        let mut ids = Vec::new();
        self.namespace.each_socket(&self.target, |socket| ids.push(socket.id));
        ids
    }

    /// The selected sockets, each with what is known of it. Those of this node are there at once; those
    /// of others are waited for, for the [`timeout`](Self::timeout). Where a node has not answered by then,
    /// [`Fetched::nodes_missing`] says so.
    #[doc(alias = "fetchSockets")]
    pub async fn sockets(&self) -> Fetched {
        let mut sockets = Vec::new();
        self.namespace
            .each_socket(&self.target, |socket| sockets.extend(RemoteSocket::new(socket)));
        let ask = |target| Message::Sockets { target };
        let mut others = Others::ask(&self.namespace, &self.target, ask, self.timeout);
        while let Some(reply) = others.next().await {
            if let Reply::Sockets(theirs) = reply {
                let theirs = theirs.into_iter();
                sockets.extend(theirs.map(|state| RemoteSocket::of(&self.namespace, state)));
                others.nodes.note_answer();
            }
        }
        Fetched { sockets, nodes_missing: others.nodes.missing() }
    }

    /// Shows an event that is about to be sent to whoever watches.
    #[inline]
    fn show<T: ToArgs>(&self, event: &str, args: &T) {
        if !is_reserved(event) {
            self.namespace.show(Shown::Many(&self.target), event, args);
        }
    }
}

/// To whom an event was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Emitted {
    /// Clients of this node. Where nodes of one process share a recovery, those of all of these.
    pub local: usize,
}

/// How many other nodes were asked, and how many of these have answered: that may be known first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nodes {
    asked: Option<usize>,
    answered: usize,
}

impl Nodes {
    /// One has answered what it was asked.
    pub(crate) const fn note_answer(&mut self) {
        self.answered += 1;
    }

    /// How many have not answered, as far as it is known.
    pub(crate) const fn missing(self) -> usize {
        match self.asked {
            Some(asked) => asked.saturating_sub(self.answered),
            None => 0,
        }
    }

    /// Whether all have answered.
    fn have_answered(self) -> bool {
        self.asked.is_some_and(|asked| self.answered >= asked)
    }
}

/// What other nodes say, until all have or the time is over.
pub(crate) struct Others {
    replies: Replies,
    until: Option<Instant>,
    pub(crate) nodes: Nodes,
}

impl Others {
    pub(crate) fn ask(
        namespace: &NamespaceCore,
        target: &Target,
        message: impl FnOnce(Target) -> Message,
        timeout: Duration,
    ) -> Self {
        let (to, replies) = ReplyTo::channel();
        namespace.ask_others(target, message, to);
        Self { replies, until: Instant::now().checked_add(timeout), nodes: Nodes::default() }
    }

    /// What another node says; `None` when all have answered, or the time is over.
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        while !self.nodes.have_answered() {
            match next_reply(&mut self.replies, self.until).await? {
                Reply::Asked(asked) => self.nodes.asked = Some(asked),
                reply => return Some(reply),
            }
        }
        None
    }
}

async fn next_reply(replies: &mut Replies, until: Option<Instant>) -> Option<Reply> {
    match until {
        Some(until) => timeout_at(until, replies.next()).await.ok().flatten(),
        None => replies.next().await,
    }
}

/// A key as an outbox has it. Nobody can find two that have the same, since it is another function each
/// time.
fn key_of(key: &impl Hash) -> u64 {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    STATE.hash_one(key)
}

/// To whom something is sent, as a function given to
/// [`Namespace::on_any_outgoing`](crate::Namespace::on_any_outgoing) sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Recipients<'a> {
    /// One socket.
    One(SocketId),
    /// Whoever is selected when it is sent.
    Many(&'a Broadcast),
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("namespace", &self.namespace.name)
            .field("rooms", &self.target.rooms)
            .field("except", &self.target.except)
            .finish_non_exhaustive()
    }
}

/// The answers to an ack request to many, as they arrive. `R` is the type of the first argument of an
/// answer, a tuple that of several, and [`Args`](crate::Args) all as they came: see [`FromArg::from_answer`].
///
/// ```
/// # use roomful::{Answers, Server}; use std::time::Duration;
/// # async fn example(io: Server) {
/// let mut votes: Answers<u8> = io.to("jury").timeout(Duration::from_secs(30)).call("vote", ());
/// while let Some((who, vote)) = votes.next().await {
///     println!("{who:?}: {vote:?}");
/// }
/// println!("{} of {} did not vote", votes.missing(), votes.asked());
/// # }
/// ```
#[must_use = "answers that nobody takes are dropped; use `emit` to ask nothing"]
pub struct Answers<R> {
    /// The ack request, in each namespace where it was sent.
    open: OpenSharedAsks,
    asked: usize,
    answered: usize,
    nodes: Nodes,
    /// `None` where the time is longer than a clock can tell.
    until: Option<Instant>,
    replies: Replies,
    /// What came before anybody waited.
    early: Option<Reply>,
    answer: PhantomData<fn() -> R>,
}

impl<R: FromArg> Answers<R> {
    /// The next answer and who gave it; `None` when all have answered or are gone, or when the time
    /// is over. Not every adapter says which socket of another node an answer is of.
    pub async fn next(&mut self) -> Option<(Option<SocketId>, Result<R, ArgError>)> {
        loop {
            let reply = match self.early.take() {
                Some(early) => Some(early),
                None => next_reply(&mut self.replies, self.until).await,
            };
            match reply {
                Some(Reply::Ack(id, args)) => {
                    self.answered += 1;
                    return Some((id, R::from_answer(&args)));
                }
                Some(Reply::Clients(count)) => self.note_clients(count),
                Some(Reply::Asked(asked)) => self.nodes.asked = Some(asked),
                Some(_) => {}
                None => {
                    self.close();
                    return None;
                }
            }
        }
    }

    /// Waits for all answers and gives those that fit.
    pub async fn collect(mut self) -> Vec<(Option<SocketId>, R)> {
        let mut all = Vec::new();
        while let Some((id, answer)) = self.next().await {
            all.extend(answer.ok().map(|answer| (id, answer)));
        }
        all
    }
}

impl<R> Answers<R> {
    /// How many were asked, as far as it is known: other nodes say it before their first answer.
    pub const fn asked(&self) -> usize {
        self.asked
    }

    /// How many have not answered.
    pub const fn missing(&self) -> usize {
        self.asked.saturating_sub(self.answered)
    }

    /// How many other nodes have not said whom they asked.
    pub const fn nodes_missing(&self) -> usize {
        self.nodes.missing()
    }

    /// Counts whom nodes of this process have asked: they say it at once.
    fn note_early(&mut self) {
        loop {
            match self.replies.try_recv() {
                Some(Reply::Clients(count)) => self.note_clients(count),
                Some(Reply::Asked(asked)) => self.nodes.asked = Some(asked),
                other => {
                    self.early = other;
                    return;
                }
            }
        }
    }

    fn note_clients(&mut self, count: usize) {
        self.asked = self.asked.saturating_add(count);
        self.nodes.note_answer();
    }

    fn close(&mut self) {
        for (namespace, id) in self.open.drain(..) {
            namespace.close_shared_ask(id);
        }
    }
}

impl<R> Drop for Answers<R> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<R> fmt::Debug for Answers<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("asked", &self.asked)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}
