//! [`Broadcast`]: one event to many; [`Answers`]: what they say to a question.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use roomful_proto::event::{CallName, EmitName};
use roomful_proto::socket::packet::is_reserved;
use roomful_proto::{
    AckId, ArgError, Args, EncodeError, FromArg, Letter, Parcel, SocketId, ToArgs, Unstamped,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::api::remote::{FetchError, RemoteSocket};
use crate::ground::errors::emit_error::EmitError;
use crate::ground::room_names::RoomNames;
use crate::ground::target::{Reliability, Target};
use crate::namespace::listeners::Shown;
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::poll::Poll;
use crate::namespace::recovery::Journal;
use crate::namespace::rooms::Selection;
use crate::namespace::socket_core::{Member, SocketCore};

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

    /// Leaves out the clients of other nodes. On a single node this changes nothing.
    pub fn local(self) -> Self {
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

    /// Sends an event to the selected and tells to how many. `(a, b)` and `[a, b]` are two arguments,
    /// `vec![a, b]` is one: see [`ToArgs`].
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written as JSON, or the name is reserved. A client that is not
    /// reached is no error: it is only not counted.
    pub fn try_emit<N: EmitName<T>, T: ToArgs>(
        &self,
        event: N,
        args: T,
    ) -> Result<usize, EmitError> {
        let name = event.event_name();
        self.show(name, &args);
        self.send_to_all(name, &args)
    }

    fn send_to_all<T: ToArgs>(&self, name: &str, args: &T) -> Result<usize, EmitError> {
        if let Some(children) = self.namespace.children() {
            let here = children.iter().map(|child| self.within(child).send_to_all(name, args));
            let sent = here.sum::<Result<usize, _>>()?;
            return Ok(sent + self.send_to_absent(&children, name, args)?);
        }
        if let Some(journal) = &self.namespace.journal {
            let write = |namespace: &str, name: &str| Unstamped::event(namespace, name, args);
            let event = self.written(name, write)?;
            return self.send_through(journal, event, name);
        }
        let parcel = self.parcel(name, None, args)?;
        let selection = self.selected();
        let deliver =
            |member: &&Member| member.deliver(parcel.clone(), self.target.reliability).is_queued();
        Ok(selection.iter().filter(deliver).count())
    }

    /// Keeps an event for those who may come back to a child that has ended meanwhile, and sends it to the
    /// children of another server that shares the recovery.
    fn send_to_absent<T: ToArgs>(
        &self,
        children: &[Arc<NamespaceCore>],
        name: &str,
        args: &T,
    ) -> Result<usize, EmitError> {
        let (mut sent, mut kept_max) = (0, self.namespace.absent_max());
        for (child, journal) in self.namespace.absent(children) {
            let event = self.written(name, |_, name| Unstamped::event(&child, name, args))?;
            // Who waits where nothing more is kept is told by a new socket.
            if kept_max == 0
                && self.target.reliability != Reliability::Volatile
                && journal.give_up()
            {
                continue;
            }
            kept_max = kept_max.saturating_sub(1);
            sent += self.send_through(&journal, event, name)?;
        }
        Ok(sent)
    }

    fn send_through(
        &self,
        journal: &Journal,
        event: Unstamped,
        name: &str,
    ) -> Result<usize, EmitError> {
        journal
            .send(event, &self.namespace, &self.target)
            .map_err(|error| self.unwritten(name, error))
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
        let (sender, receiver) = mpsc::unbounded_channel();
        let until = Instant::now().checked_add(self.timeout);
        let mut answers = Answers {
            open: Vec::new(),
            asked: 0,
            answered: 0,
            until,
            receiver,
            answer: PhantomData,
        };
        self.show(event.event_name(), &args);
        for namespace in self.namespace.each() {
            self.within(&namespace).ask(event.event_name(), &args, &sender, &mut answers);
        }
        answers
    }

    /// Asks the selected of one namespace.
    fn ask<T: ToArgs, R>(
        &self,
        event: &str,
        args: &T,
        sender: &mpsc::UnboundedSender<(SocketId, Args)>,
        answers: &mut Answers<R>,
    ) {
        let id = self.namespace.next_poll_id();
        let Some((id, parcel)) = id.zip(self.parcel(event, id, args).ok()) else {
            return;
        };
        let selection = self.selected();
        let waiting: HashSet<_> = selection.iter().map(|member| member.socket.id).collect();
        answers.asked += waiting.len();
        let poll = Arc::new(Poll::new(waiting, sender.clone()));
        self.namespace.open_poll(id, Arc::clone(&poll));
        answers.open.push((Arc::clone(&self.namespace), id));
        for member in selection.iter() {
            let pushed = member.deliver(parcel.clone(), self.target.reliability);
            if !pushed.is_queued() || !member.socket.is_connected() {
                poll.gone(member.socket.id);
            }
        }
        poll.close_if_done();
    }

    /// Puts the selected into a room, or into several: at once, so that what is sent there next
    /// reaches them. Whoever is in [`rooms_max`](crate::Namespace::rooms_max) rooms already, or is refused
    /// by a function of [`Namespace::before_join`](crate::Namespace::before_join), is left out; a name of
    /// more than [`room_name_bytes_max`](crate::Namespace::room_name_bytes_max) nobody joins.
    #[doc(alias = "socketsJoin")]
    pub fn join(&self, rooms: impl RoomNames) {
        self.each(|socket| {
            socket.join(&rooms);
        });
    }

    /// Takes the selected out of a room, or out of several, at once.
    #[doc(alias = "socketsLeave")]
    pub fn leave(&self, rooms: impl RoomNames) {
        self.each(|socket| {
            socket.leave(&rooms);
        });
    }

    /// Takes the selected out of the namespace. Their connections stay for their other namespaces.
    #[doc(alias = "disconnectSockets")]
    pub fn disconnect(&self) {
        self.each(|socket| socket.disconnect());
    }

    /// Closes the whole connections of the selected, with all their namespaces.
    #[doc(alias = "disconnectSockets")]
    pub fn close(&self) {
        self.each(|socket| socket.close());
    }

    /// The ids of the selected.
    #[doc(alias = "allSockets")]
    pub fn ids(&self) -> Vec<SocketId> {
        let mut ids = Vec::new();
        self.each(|socket| ids.push(socket.id));
        ids
    }

    /// The selected sockets, each with what is known of it. Those of this node are there at once; those
    /// of others are waited for, for the [`timeout`](Self::timeout).
    ///
    /// # Errors
    ///
    /// When other nodes do not answer in time. On a single node there is none.
    #[doc(alias = "fetchSockets")]
    pub async fn sockets(&self) -> Result<Vec<RemoteSocket>, FetchError> {
        let mut sockets = Vec::new();
        self.each(|socket| sockets.extend(RemoteSocket::new(socket)));
        Ok(sockets)
    }

    /// Gives each of the selected to a function, in the namespace, or in all that it stands for.
    fn each(&self, mut function: impl FnMut(&Arc<SocketCore>)) {
        for namespace in self.namespace.each() {
            let selection = namespace.rooms.select(&self.target.rooms, &self.target.except);
            selection.iter().for_each(|member| function(&member.socket));
        }
    }

    /// The same selection in another namespace.
    fn within(&self, namespace: &Arc<NamespaceCore>) -> Self {
        Self { namespace: Arc::clone(namespace), ..self.clone() }
    }

    fn selected(&self) -> Selection<Member> {
        self.namespace.rooms.select(&self.target.rooms, &self.target.except)
    }

    /// Shows an event that is about to be sent to whoever watches.
    #[inline]
    fn show<T: ToArgs>(&self, event: &str, args: &T) {
        if !is_reserved(event) {
            self.namespace.show(Shown::Many(&self.target), event, args);
        }
    }

    fn parcel<T: ToArgs>(
        &self,
        event: &str,
        ack: Option<AckId>,
        args: &T,
    ) -> Result<Parcel, EmitError> {
        self.written(event, |namespace, name| {
            self.namespace.parcel(Letter::event(namespace, ack, name, args)?, self.target.compress)
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
        write(&self.namespace.name, event).map_err(|error| self.unwritten(event, error))
    }

    fn unwritten(&self, event: &str, error: EncodeError) -> EmitError {
        self.namespace.note_unwritten(event, &error);
        EmitError::Encode(error)
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

/// The answers to a question to many, as they arrive. `R` is the type of the first argument of an
/// answer, a tuple that of several, and [`Args`] all as they came: see [`FromArg::from_answer`].
///
/// ```
/// # use roomful::{Answers, Server}; use std::time::Duration;
/// # async fn example(io: Server) {
/// let mut votes: Answers<u8> = io.to("jury").timeout(Duration::from_secs(30)).call("vote", ());
/// while let Some((who, vote)) = votes.next().await {
///     println!("{who}: {vote:?}");
/// }
/// println!("{} of {} did not vote", votes.missing(), votes.asked());
/// # }
/// ```
#[must_use = "answers that nobody takes are dropped; use `emit` to ask nothing"]
pub struct Answers<R> {
    /// The question, in each namespace where it was asked.
    open: Vec<(Arc<NamespaceCore>, AckId)>,
    asked: usize,
    answered: usize,
    /// `None` where the time is longer than a clock can tell.
    until: Option<Instant>,
    receiver: mpsc::UnboundedReceiver<(SocketId, Args)>,
    answer: PhantomData<fn() -> R>,
}

impl<R: FromArg> Answers<R> {
    /// The next answer and who gave it; `None` when all have answered or are gone, or when the time
    /// is over.
    pub async fn next(&mut self) -> Option<(SocketId, Result<R, ArgError>)> {
        let next = match self.until {
            Some(until) => timeout_at(until, self.receiver.recv()).await.ok().flatten(),
            None => self.receiver.recv().await,
        };
        let Some((id, args)) = next else {
            self.close();
            return None;
        };
        self.answered += 1;
        Some((id, R::from_answer(&args)))
    }

    /// Waits for all answers and gives those that fit.
    pub async fn collect(mut self) -> Vec<(SocketId, R)> {
        let mut all = Vec::new();
        while let Some((id, answer)) = self.next().await {
            all.extend(answer.ok().map(|answer| (id, answer)));
        }
        all
    }
}

impl<R> Answers<R> {
    /// How many were asked.
    pub const fn asked(&self) -> usize {
        self.asked
    }

    /// How many have not answered.
    pub const fn missing(&self) -> usize {
        self.asked - self.answered
    }

    fn close(&mut self) {
        for (namespace, id) in self.open.drain(..) {
            namespace.close_poll(id);
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
