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
mod left;
mod link;
mod outbound;
mod retries;
mod settings;
mod signal;
mod socket;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

pub use self::buffer::Overflow;
pub use self::emission::{Ask, Emission, Frames, NotSent, Writable};
use self::left::Left;
use self::link::Link;
pub use self::settings::ManagerSettings;
pub use self::signal::{NoAck, Output};
use self::socket::{Recovery, Socket, State, Waiter};
use super::backoff::Backoff;
use super::parser::{Parser, Whole};
use super::reassembly::{Progress, Reassembly};
use super::text::Header;
use crate::engine::{Data, Outgoing};
use crate::error::Violation;
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

/// The client's end of Socket.IO.
pub struct Manager<W> {
    settings: Arc<ManagerSettings>,
    parser: Option<Arc<dyn Parser>>,
    link: Link,
    backoff: Backoff,
    sockets: Vec<Option<Box<Socket<W>>>>,
    /// Sockets that were made so far, and times that one has asked to join.
    serials: u32,
    attempts: u32,
    assembling: Option<Box<Reassembly>>,
    /// Namespaces that were left on this connection.
    left: Left,
    /// A server of Socket.IO 2 has put the client into `/` before there was a socket that wanted it.
    is_put: bool,
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
            serials: 0,
            attempts: 0,
            assembling: None,
            left: Left::default(),
            is_put: false,
            session: Box::default(),
            strays: 0,
            next_retry: 1,
            out: VecDeque::new(),
            outgoing: Outgoing::new(),
        }
    }

    /// A socket of that namespace, which is not connected; the one there is, if there is one.
    pub fn socket(&mut self, namespace: &str) -> Key {
        let found = self.find(namespace);
        if let Some(key) = found
            && self.get(key).is_some_and(|socket| !socket.is_removed)
        {
            return key;
        }
        self.serials = self.serials.wrapping_add(1);
        let serial = self.serials;
        if let Some(key) = found {
            // The one before has still to leave.
            if let Some(socket) = self.get_mut(key) {
                (socket.serial, socket.is_removed) = (serial, false);
            }
            return key;
        }
        let free = self.sockets.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.sockets.push(None);
            self.sockets.len() - 1
        });
        self.sockets[index] = Some(Box::new(Socket::new(namespace, serial)));
        Key(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Nobody uses the socket any more: it leaves its namespace, and its key may be given again. Outputs
    /// that name it are dropped; those who wait for an ack are told.
    pub fn remove(&mut self, key: Key) {
        self.disconnect(key);
        self.give_up(key);
        self.out.retain(|output| output.key() != Some(key));
        match self.get_mut(key) {
            // Its name is not free before it has left.
            Some(socket) if socket.is_leaving() => socket.is_removed = true,
            Some(_) => self.sockets[key.index()] = None,
            None => {}
        }
    }

    /// Nobody runs the connection any more: all sockets leave without a word, and whoever waits for an ack
    /// is told so.
    pub fn end(&mut self) {
        self.link = Link::Idle;
        self.backoff.reset();
        self.forget_connection();
        self.take_back();
        for key in self.keys() {
            let Some(socket) = self.get_mut(key) else {
                continue;
            };
            if let State::Joined = std::mem::replace(&mut socket.state, State::Inactive) {
                self.left(key, DisconnectReason::ForcedClose);
            }
            self.give_up(key);
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
        self.bytes_of(|_| true)
    }

    /// The same of those that are connected, or will be without being told to.
    pub fn leaving_bytes(&self) -> usize {
        self.bytes_of(Socket::is_active)
    }

    fn bytes_of(&self, counts: impl Fn(&Socket<W>) -> bool) -> usize {
        let sockets = self.sockets.iter().flatten().filter(|socket| counts(socket));
        self.outgoing.len() + sockets.map(|socket| socket.waiting_bytes()).sum::<usize>()
    }

    /// Whether there is no connection, and none is being opened or waited for.
    pub const fn is_idle(&self) -> bool {
        matches!(self.link, Link::Idle)
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
        let leaving_until = now + self.settings.join_timeout;
        let Some(socket) = self.get_mut(key).filter(|socket| !socket.is_removed) else {
            return;
        };
        match &mut socket.state {
            State::Inactive => socket.state = State::Away,
            State::Leaving { again: again @ false, until } => {
                (*again, *until) = (true, Some(leaving_until));
            }
            _ => {}
        }
        match self.link {
            Link::Idle => self.dial(),
            // Whoever asks does not want to wait.
            Link::Waiting { .. } => self.dial(),
            Link::Open { revision, .. } => self.join(now, key, revision),
            Link::Opening | Link::Closing => {}
        }
    }

    /// The socket is to leave its namespace. What it has emitted and was not sent is kept for when it is
    /// connected again.
    pub fn disconnect(&mut self, key: Key) {
        let Some(socket) = self.get_mut(key).filter(|socket| socket.is_active()) else {
            return;
        };
        match std::mem::replace(&mut socket.state, State::Inactive) {
            // A server closes the connection of who leaves where it is not yet, and each CONNECT has its
            // own answer: so that of this one is waited for.
            State::Joining { .. } | State::Leaving { .. } => {
                socket.state = State::Leaving { again: false, until: None };
                socket.recovery = Recovery::default();
            }
            State::Joined => {
                // Whoever has left is not to come back as the same.
                socket.recovery = Recovery::default();
                self.leave(key);
                self.left(key, DisconnectReason::ClientDisconnect);
            }
            State::Inactive | State::Away | State::Authorizing { .. } => {}
        }
        self.hang_up_if_unused();
    }

    // What comes from the server, and time.

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
        let mut first = match self.link {
            Link::Waiting { until } => Some(until),
            _ => None,
        };
        let mut see = |until: Option<Moment>| {
            if let Some(until) = until
                && first.is_none_or(|first| until < first)
            {
                first = Some(until);
            }
        };
        see(self.assembling.as_ref().map(|assembling| assembling.until()));
        for socket in self.sockets.iter_mut().flatten() {
            see(socket.join_until().and_then(|until| *until));
            see(socket.acks.deadline());
        }
        first
    }

    /// The caller reads nothing for now: a packet whose attachments are still to come is not late for that.
    pub fn does_not_read(&mut self, now: Moment) {
        if let Some(assembling) = &mut self.assembling {
            assembling.put_off(now, &self.settings.limits);
        }
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

    fn expire_acks(&mut self, now: Moment, key: Key) {
        let mut late = Vec::new();
        while let Some(socket) = self.get_mut(key)
            && let Some((id, waiter)) = socket.acks.close_late(now)
        {
            late.push(id);
            self.settle(now, key, waiter, Err(NoAck::Timeout));
        }
        late.sort_unstable();
        if let Some(socket) = self.get_mut(key).filter(|_| !late.is_empty()) {
            // Whoever was told that it is too late does not want it sent after all.
            socket.buffer.remove(&late);
            let serial = socket.serial;
            self.outgoing.disown(serial, &late);
        }
    }

    /// The namespace has not answered in time.
    fn expire_join(&mut self, now: Moment, key: Key) {
        let Some(until) = self.get_mut(key).and_then(|socket| socket.join_until()) else {
            return;
        };
        if until.take_if(|until| now >= *until).is_some() {
            self.out.push_back(Output::NotAnswered(key));
        }
    }
}
