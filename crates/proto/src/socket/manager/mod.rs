//! [`Manager`]: the client's end of Socket.IO: its sockets, and the connection that they share.
//!
//! It knows which namespaces the client is in or wants to be in, joins attachments to the packet that
//! announced them, holds what is emitted while there is no connection, and says when to connect again.
//! The Engine.IO connection itself is the caller's, who runs a [`Dialer`](crate::engine::Dialer) for each
//! [`Output::Dial`] and tells what becomes of it.
//!
//! ```text
//!   Idle ──connect──▶ Opening ──opened──▶ Open ──closed──▶ Waiting ──time──▶ Opening …
//!                        └────closed────────────────────────▶ ┘
//!   Open ──no socket is active──▶ Closing ──closed──▶ Idle
//! ```

mod acks;
mod buffer;
mod emission;
mod inbound;
mod retries;
mod settings;
mod signal;
mod socket;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::buffer::Overflow;
use self::buffer::Waiting;
pub use self::emission::{Ask, Emission, Frames, NotSent, Writable};
use self::retries::Retry;
pub use self::settings::ManagerSettings;
pub use self::signal::{NoAck, Output};
use self::socket::{Held, Socket, State, Waiter};
use super::backoff::Backoff;
use super::parser::{Parser, Whole};
use super::query;
use super::reassembly::{Progress, Reassembly};
use super::text::Header;
use crate::args::Args;
use crate::engine::{Data, Outgoing, Owner, Revision, Unsent};
use crate::error::Violation;
use crate::id::AckId;
use crate::letter::{Answer, Letter};
use crate::reason::DisconnectReason;
use crate::time::Moment;

/// A socket of a manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u32);

impl Key {
    /// As an index into a table of the caller's. Keys of sockets that were removed are used again.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One time that a socket is in its namespace, or tries to be: an answer belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    key: Key,
    number: u32,
}

impl Attempt {
    /// The socket.
    pub const fn key(self) -> Key {
        self.key
    }
}

/// The state of the connection.
#[derive(Debug)]
enum Link {
    /// There is none, and none is wanted.
    Idle,
    /// One is being opened.
    Opening,
    Open {
        revision: Revision,
    },
    /// The next attempt is made then.
    Waiting {
        until: Moment,
    },
    /// It was asked to close.
    Closing,
}

/// The client's end of Socket.IO.
pub struct Manager<W> {
    settings: Arc<ManagerSettings>,
    parser: Option<Arc<dyn Parser>>,
    link: Link,
    backoff: Backoff,
    sockets: Vec<Option<Box<Socket<W>>>>,
    attempts: u32,
    assembling: Option<Box<Reassembly>>,
    /// The id of the session, which ids of sockets are made of in Socket.IO 2.
    session: Box<str>,
    strays: u32,
    /// The id of the next event that is sent again: odd ones.
    next_retry: u64,
    out: VecDeque<Output<W>>,
    outgoing: Outgoing,
}

impl<W> fmt::Debug for Manager<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("link", &self.link)
            .field("sockets", &self.sockets.iter().flatten().count())
            .finish_non_exhaustive()
    }
}

impl<W> Manager<W> {
    /// A manager without sockets. `seed` is what the jitter of its delays is made of, and must differ
    /// from client to client, so that not all come back at once.
    pub fn new(settings: Arc<ManagerSettings>, parser: Option<Arc<dyn Parser>>, seed: u64) -> Self {
        Self {
            settings,
            parser,
            link: Link::Idle,
            backoff: Backoff::new(seed),
            sockets: Vec::new(),
            attempts: 0,
            assembling: None,
            session: Box::default(),
            strays: 0,
            next_retry: 1,
            out: VecDeque::new(),
            outgoing: Outgoing::new(),
        }
    }

    /// A socket of that namespace, which is not connected; the one there is, if there is one.
    pub fn socket(&mut self, namespace: &str) -> Key {
        if let Some(key) = self.find(namespace) {
            return key;
        }
        let free = self.sockets.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.sockets.push(None);
            self.sockets.len() - 1
        });
        self.sockets[index] = Some(Box::new(Socket::new(namespace)));
        Key(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Nobody uses the socket any more: it leaves its namespace, and its key may be given again.
    pub fn remove(&mut self, key: Key) {
        self.disconnect(key);
        if let Some(mut socket) = self.sockets.get_mut(key.index()).and_then(Option::take) {
            self.give_up(&mut socket);
        }
    }

    /// What is to be done next; `None` when that was all.
    pub fn poll(&mut self) -> Option<Output<W>> {
        let output = self.out.pop_front();
        if output.is_none() && self.out.capacity() > 64 {
            self.out = VecDeque::new();
        }
        output
    }

    /// All that is to be done next, in its order: [`poll`](Self::poll) until it gives `None`, at once.
    pub fn take_outputs(&mut self) -> VecDeque<Output<W>> {
        std::mem::take(&mut self.out)
    }

    /// Gives the memory of what was [taken](Self::take_outputs) back, for what is said next.
    pub fn give_back(&mut self, mut taken: VecDeque<Output<W>>) {
        if self.out.is_empty() {
            taken.clear();
            self.out = taken;
        }
    }

    /// Whether [`poll`](Self::poll) would say something.
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// What waits to be sent on the connection that is open.
    pub const fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Bytes that wait to be sent, of all sockets, whether they are connected or not.
    pub fn waiting_bytes(&self) -> usize {
        let buffered = |socket: &Option<Box<Socket<W>>>| {
            socket.as_ref().map_or(0, |socket| socket.waiting_bytes())
        };
        self.outgoing.len() + self.sockets.iter().map(buffered).sum::<usize>()
    }

    /// Whether the socket is connected.
    pub fn is_joined(&self, key: Key) -> bool {
        self.get(key).is_some_and(Socket::is_joined)
    }

    /// Whether the socket is connected, or will be without being told to.
    pub fn is_active(&self, key: Key) -> bool {
        self.get(key).is_some_and(Socket::is_active)
    }

    // What the user wants.

    /// The socket is to be connected. Does nothing where it is, or is about to be.
    pub fn connect(&mut self, now: Moment, key: Key) {
        let Some(socket) = self.get_mut(key) else {
            return;
        };
        if !socket.is_active() {
            socket.state = State::Away;
        }
        match self.link {
            Link::Idle => self.dial(),
            // Whoever asks does not want to wait.
            Link::Waiting { .. } => self.dial(),
            Link::Open { revision } => self.join(now, key, revision),
            Link::Opening | Link::Closing => {}
        }
    }

    /// The socket is to leave its namespace. What it has emitted and was not sent is kept for when it is
    /// connected again.
    pub fn disconnect(&mut self, key: Key) {
        let Some(socket) = self.get_mut(key).filter(|socket| socket.is_active()) else {
            return;
        };
        let state = std::mem::replace(&mut socket.state, State::Inactive);
        if matches!(state, State::Joined | State::Joining { .. }) {
            let letter = Letter::disconnected(&socket.namespace);
            self.send(letter);
        }
        if matches!(state, State::Joined) {
            self.left(key, DisconnectReason::ClientDisconnect);
        }
        self.hang_up_if_unused();
    }

    /// Takes an event that a user emits on a socket.
    pub fn emit(&mut self, now: Moment, key: Key, emission: Emission<W>) -> Result<(), NotSent> {
        let acks_max = self.settings.acks_max;
        let is_idle = self.outgoing.is_empty();
        let Some(socket) = self.get_mut(key) else {
            return Err(NotSent::Dropped);
        };
        let joined = socket.is_joined();
        if let Some(Writable(writable)) = emission.volatile
            && !(joined && writable && is_idle)
        {
            return Err(NotSent::Dropped);
        }
        if emission.ask.is_some() && socket.acks.len() >= acks_max {
            return Err(NotSent::TooManyAcks);
        }
        let Emission { frames, ask, compress, volatile } = emission;
        let ack = ask.as_ref().map(|ask| ask.id);
        if joined {
            if self.outgoing.len() >= self.settings.waiting_bytes_max {
                return Err(NotSent::Full);
            }
            // What is volatile is not worth being sent later.
            let owner = volatile.is_none().then_some((key.0, ack));
            self.push(owner, frames, compress);
        } else {
            let waiting = Waiting { frames: frames.into_bytes(), ack, compress };
            self.make_room(key, waiting.held_bytes())?;
            if let Some(socket) = self.get_mut(key) {
                socket.buffer.push(waiting);
            }
        }
        if let (Some(ask), Some(socket)) = (ask, self.get_mut(key)) {
            let until = ask.timeout.map(|timeout| now + timeout);
            socket.acks.open(ask.id, Waiter::User(ask.waiter), until, joined);
        }
        Ok(())
    }

    /// Takes an event that is sent again until its ack comes, [`retries`](ManagerSettings::retries) times.
    /// One of a socket is under way at a time, so that they arrive in order.
    pub fn emit_retrying(
        &mut self,
        now: Moment,
        key: Key,
        name: &str,
        args: Args,
        waiter: Option<W>,
    ) -> Result<(), NotSent> {
        let retry = Retry { name: name.into(), args, waiter, tries: 0, pending: None };
        if self.waiting_bytes() + retry.held_bytes() > self.settings.waiting_bytes_max {
            return Err(NotSent::Full);
        }
        let Some(socket) = self.get_mut(key) else {
            return Err(NotSent::Dropped);
        };
        socket.retries.push(retry);
        self.retry(now, key, false);
        Ok(())
    }

    /// Changes until when the ack of an event is waited for.
    pub fn set_ack_timeout(&mut self, now: Moment, key: Key, id: AckId, timeout: Duration) {
        if let Some(socket) = self.get_mut(key) {
            socket.acks.set_until(id, now + timeout);
        }
    }

    /// Nobody waits for the ack of an event any more. One that was not sent yet still is.
    pub fn forget(&mut self, key: Key, id: AckId) {
        if let Some(socket) = self.get_mut(key) {
            drop(socket.acks.close(id));
        }
    }

    /// Answers an event. Dropped where its socket was disconnected since: the server has forgotten it.
    pub fn answer(&mut self, attempt: Attempt, answer: Answer) {
        let Some(socket) = self.get(attempt.key).filter(|socket| socket.is_joined()) else {
            return;
        };
        if socket.attempt == attempt.number {
            let letter = answer.address(&socket.namespace);
            self.send(letter);
        }
    }

    /// The auth payload of a socket that is about to join: the JSON of an object.
    pub fn authorize(&mut self, now: Moment, attempt: Attempt, auth: Option<&[u8]>) {
        let Link::Open { revision } = self.link else {
            return;
        };
        let until = now + self.settings.join_timeout;
        let Some(socket) = self.get_mut(attempt.key) else {
            return;
        };
        if socket.attempt != attempt.number || !matches!(socket.state, State::Authorizing { .. }) {
            return;
        }
        socket.state = State::Joining { until, held: Held::default() };
        let letter = match revision {
            Revision::V4 => {
                let payload = socket.connect_payload(auth);
                Letter::connect(&socket.namespace, payload.as_deref())
            }
            Revision::V3 => Letter::connect(&query::join(&socket.namespace, auth), None),
        };
        self.send(letter);
    }

    // What becomes of the connection.

    /// The connection is open.
    pub fn opened(&mut self, now: Moment, revision: Revision, session: &str) {
        if !matches!(self.link, Link::Opening) {
            return;
        }
        self.link = Link::Open { revision };
        self.session = session.into();
        (self.strays, self.assembling) = (0, None);
        self.out.push_back(Output::Opened { attempt: self.backoff.attempts() });
        self.backoff.reset();
        for key in self.keys() {
            self.join(now, key, revision);
        }
    }

    /// The connection has ended, or could not be opened.
    pub fn closed(&mut self, now: Moment, reason: DisconnectReason) {
        let link = std::mem::replace(&mut self.link, Link::Idle);
        self.assembling = None;
        self.take_back();
        for key in self.keys() {
            let Some(socket) = self.get_mut(key).filter(|socket| socket.is_active()) else {
                continue;
            };
            if let State::Joined = std::mem::replace(&mut socket.state, State::Away) {
                self.left(key, reason);
            }
        }
        match link {
            Link::Closing if self.is_wanted() => self.dial(),
            Link::Closing | Link::Idle => {}
            Link::Opening => self.wait(now),
            Link::Open { .. } | Link::Waiting { .. } => {
                self.backoff.reset();
                self.wait(now);
            }
        }
    }

    /// Takes a message of the session. After an error the connection must be closed.
    pub fn receive(&mut self, now: Moment, data: Data) -> Result<(), Violation> {
        if let Some(parser) = &self.parser {
            let whole = parser.decode(data, &self.settings.limits)?;
            return self.receive_whole(now, whole);
        }
        match (data, self.assembling.take()) {
            (Data::Text(text), None) => {
                let header = Header::decode(text, &self.settings.limits)?;
                if header.attachments == 0 {
                    return self.packet(now, header, Box::default());
                }
                let limits = &self.settings.limits;
                self.assembling = Some(Reassembly::begin(now, header, limits));
                Ok(())
            }
            (Data::Binary(bytes), Some(assembling)) => {
                match assembling.push(bytes, &self.settings.limits)? {
                    Progress::Missing(assembling) => {
                        self.assembling = Some(assembling);
                        Ok(())
                    }
                    Progress::Whole(header, attachments) => self.packet(now, header, attachments),
                }
            }
            (Data::Text(_), Some(_)) => Err(Violation::MissingAttachment),
            (Data::Binary(_), None) => Err(Violation::StrayAttachment),
        }
    }

    fn receive_whole(&mut self, now: Moment, whole: Whole) -> Result<(), Violation> {
        let (header, attachments) = whole.into_parts(&self.settings.limits)?;
        self.packet(now, header, attachments.into())
    }

    /// When [`expire`](Self::expire) must be called, at the latest.
    pub fn deadline(&mut self) -> Option<Moment> {
        let link = match self.link {
            Link::Waiting { until } => Some(until),
            _ => None,
        };
        let assembling = self.assembling.as_ref().map(|assembling| assembling.until());
        let socket = self.sockets.iter_mut().flatten().filter_map(|socket| {
            [socket.join_until(), socket.acks.deadline()].into_iter().flatten().min()
        });
        [link, assembling, socket.min()].into_iter().flatten().min()
    }

    /// Does what time asks for: after an error the connection must be closed.
    pub fn expire(&mut self, now: Moment) -> Result<(), Violation> {
        if let Link::Waiting { until } = self.link
            && now >= until
        {
            self.dial();
        }
        for key in self.keys() {
            self.expire_acks(now, key);
            self.expire_join(now, key);
        }
        let late = |assembling: &mut Box<Reassembly>| now >= assembling.until();
        match self.assembling.take_if(late) {
            Some(_) => Err(Violation::AttachmentTimeout),
            None => Ok(()),
        }
    }

    // Within.

    fn find(&self, namespace: &str) -> Option<Key> {
        let is_it = |socket: &Option<Box<Socket<W>>>| {
            socket.as_ref().is_some_and(|socket| *socket.namespace == *namespace)
        };
        self.sockets.iter().position(is_it).and_then(|at| u32::try_from(at).ok()).map(Key)
    }

    fn keys(&self) -> impl Iterator<Item = Key> + use<W> {
        (0..self.sockets.len()).filter_map(|at| u32::try_from(at).ok()).map(Key)
    }

    fn get(&self, key: Key) -> Option<&Socket<W>> {
        self.sockets.get(key.index()).and_then(Option::as_deref)
    }

    fn get_mut(&mut self, key: Key) -> Option<&mut Socket<W>> {
        self.sockets.get_mut(key.index()).and_then(Option::as_deref_mut)
    }

    fn is_wanted(&self) -> bool {
        self.sockets.iter().flatten().any(|socket| socket.is_active())
    }

    fn dial(&mut self) {
        self.link = Link::Opening;
        self.out.push_back(Output::Dial { attempt: self.backoff.attempts() });
    }

    /// The next attempt is to be made after a while, if there is to be one.
    fn wait(&mut self, now: Moment) {
        if !self.is_wanted() {
            self.backoff.reset();
            return;
        }
        let reconnection = &self.settings.reconnection;
        if reconnection.attempts_max.is_some_and(|max| self.backoff.attempts() >= max) {
            self.backoff.reset();
            for socket in self.sockets.iter_mut().flatten() {
                socket.state = State::Inactive;
            }
            self.out.push_back(Output::GaveUp);
            return;
        }
        let until = now + self.backoff.next(reconnection);
        self.link = Link::Waiting { until };
        self.out.push_back(Output::Waiting { attempt: self.backoff.attempts(), until });
    }

    fn hang_up_if_unused(&mut self) {
        if self.is_wanted() {
            return;
        }
        match self.link {
            Link::Opening | Link::Open { .. } => {
                self.link = Link::Closing;
                self.backoff.reset();
                self.out.push_back(Output::HangUp);
            }
            Link::Waiting { .. } => {
                self.link = Link::Idle;
                self.backoff.reset();
            }
            Link::Idle | Link::Closing => {}
        }
    }

    /// Begins to join the namespace of a socket that wants to be there and is not.
    fn join(&mut self, now: Moment, key: Key, revision: Revision) {
        let number = self.attempts.wrapping_add(1);
        let until = now + self.settings.join_timeout;
        let Some(socket) = self.get_mut(key).filter(|socket| matches!(socket.state, State::Away))
        else {
            return;
        };
        socket.attempt = number;
        // A server of Socket.IO 2 puts everybody into `/` by itself.
        let is_put = revision == Revision::V3 && *socket.namespace == *"/";
        socket.state = if is_put {
            State::Joining { until, held: Held::default() }
        } else {
            State::Authorizing { until }
        };
        self.attempts = number;
        if !is_put {
            self.out.push_back(Output::Authorize(Attempt { key, number }));
        }
    }

    /// The socket is not connected any more: nobody will answer what it has sent.
    fn left(&mut self, key: Key, reason: DisconnectReason) {
        self.out.push_back(Output::Disconnected { key, reason });
        while let Some(socket) = self.get_mut(key)
            && let Some(waiter) = socket.acks.close_sent()
        {
            // It is not connected, so nothing is sent again now, and the time does not matter.
            self.settle(Moment::default(), key, waiter, Err(NoAck::Disconnected));
        }
    }

    /// Tells all that wait for an ack of a socket that is no more.
    fn give_up(&mut self, socket: &mut Socket<W>) {
        let mut waiters = Vec::new();
        while let Some(waiting) = socket.buffer.pop() {
            waiters.extend(waiting.ack.and_then(|id| socket.acks.close(id)));
        }
        while let Some(waiter) = socket.acks.close_sent() {
            waiters.push(waiter);
        }
        let users = waiters.into_iter().filter_map(|waiter| match waiter {
            Waiter::User(waiter) => Some(waiter),
            Waiter::Retries => None,
        });
        let retries = std::iter::from_fn(|| socket.retries.pop()).filter_map(|retry| retry.waiter);
        let answer = |waiter| Output::Ack { waiter, answer: Err(NoAck::Disconnected) };
        self.out.extend(users.chain(retries).map(answer));
    }

    fn expire_acks(&mut self, now: Moment, key: Key) {
        while let Some(socket) = self.get_mut(key)
            && let Some((id, waiter)) = socket.acks.close_late(now)
        {
            socket.buffer.remove(id);
            self.settle(now, key, waiter, Err(NoAck::Timeout));
        }
    }

    /// The namespace has not answered in time.
    fn expire_join(&mut self, now: Moment, key: Key) {
        let Some(socket) = self.get_mut(key) else {
            return;
        };
        if socket.join_until().is_none_or(|until| now < until) {
            return;
        }
        match &mut socket.state {
            State::Authorizing { until } | State::Joining { until, .. } => {
                *until = Moment::from_millis(u64::MAX);
            }
            _ => {}
        }
        self.out.push_back(Output::NotAnswered(key));
    }

    /// Makes room for an event that is to wait.
    fn make_room(&mut self, key: Key, bytes: usize) -> Result<(), NotSent> {
        let max = self.settings.waiting_bytes_max;
        while self.waiting_bytes() + bytes > max {
            if self.settings.overflow == Overflow::Refuse {
                return Err(NotSent::Full);
            }
            let dropped = self.get_mut(key).and_then(|socket| {
                let waiting = socket.buffer.pop()?;
                Some(waiting.ack.and_then(|id| socket.acks.close(id)))
            });
            match dropped {
                None => return Err(NotSent::Full),
                Some(Some(Waiter::User(waiter))) => {
                    let answer = Err(NoAck::Dropped);
                    self.out.push_back(Output::Ack { waiter, answer });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Sends a packet that is lost with its connection.
    fn send(&mut self, letter: Letter) {
        let frames = Frames::new(letter, self.parser.as_deref());
        self.push(None, frames, true);
    }

    fn push(&mut self, owner: Option<Owner>, frames: Frames, compress: bool) {
        match frames {
            Frames::Letter(letter) => self.outgoing.push(letter, owner, compress),
            Frames::Parcel(parcel) => self.outgoing.push_wire(parcel.wire(), owner, compress),
        }
    }

    /// Events that the connection has taken and not sent go back into the buffers of their sockets.
    fn take_back(&mut self) {
        for Unsent { owner: (key, ack), frames, compress } in
            self.outgoing.take_unsent().into_iter().rev()
        {
            if let Some(socket) = self.get_mut(Key(key)) {
                if let Some(id) = ack {
                    socket.acks.set_sent(id, false);
                }
                socket.buffer.push_front(Waiting { frames, ack, compress });
            }
        }
    }
}
