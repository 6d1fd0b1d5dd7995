//! [`Bus`]: what an engine has to do so that nodes can talk by it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use roomful::adapter::WatchedRooms;
use roomful_proto::Limits;
use roomful_proto::cluster::{Body, Logged, Malformed, Offset, Packet, Presence};

/// What the functions of a bus give.
pub type BusFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BusError>> + Send + 'a>>;

/// An engine by which nodes talk.
///
/// It knows how packets look on the wire and how to connect. It need not connect again, keep what could not be sent,
/// or know who has answered: the cluster does.
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// How nodes of this wire know of each other.
    fn presence(&self) -> Presence;

    /// Of which rooms a connection wants to be told: see [`Connection::follow`]. `None`, the default, is of none.
    fn follows_rooms(&self) -> Option<WatchedRooms> {
        None
    }

    /// Whether it has a log, which makes that a client is recovered by any node. Its connections keep sessions, then,
    /// and bring what is in the log by [`Inlet::deliver_logged`], each entry to all nodes and in one order for all of
    /// them, to the one that has published it, too.
    fn keeps_log(&self) -> bool {
        false
    }

    /// Connects. What the engine brings is given to the inlet, until the connection is dropped.
    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>>;
}

/// A connection to an engine. It is dropped when a function of it fails, unless that is a
/// [refusal](BusError::refusal): then the others go on without what was refused.
///
/// What it promises: of the packets of one `publish` after another, each reaches every node that has subscribed, once
/// or not at all, and in order. It never takes a packet for sent that the engine has not confirmed.
pub trait Connection: Send + Sync + 'static {
    /// All namespaces that there are have been subscribed: what was missed may be brought now.
    fn begin(&self) -> BusFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Begins to bring what is said in a namespace. When it is done, nothing that is said later is missed. `past` is of
    /// how long ago what is in the log is to be brought before anything else: see [`Inlet::begin_log`].
    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        uid: &'a Arc<str>,
        past: Option<Duration>,
    ) -> BusFuture<'a, ()>;

    /// Ends that, when all rooms have been told as ended.
    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, uid: &'a Arc<str>) -> BusFuture<'a, ()>;

    /// Rooms have begun (`true`) and ended at this node, in a namespace that is subscribed: for engines that have a
    /// channel for each.
    fn follow<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        rooms: &'a [(String, bool)],
    ) -> BusFuture<'a, ()> {
        let _ = (namespace, rooms);
        Box::pin(async { Ok(()) })
    }

    /// Publishes packets, in order. An answer goes to whoever has asked, as the wire allows. Gives how many could not
    /// be said: the wire has no word for them, or they are too large.
    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize>;

    /// Keeps sessions of clients that were lost, each under its key and for its time. Gives how many could not be kept,
    /// such as those that are too large. Only of a bus that keeps a log.
    fn keep_sessions<'a>(&'a self, sessions: &'a [KeptSession]) -> BusFuture<'a, usize> {
        let _ = sessions;
        Box::pin(async { Err(BusError::refusal("this engine keeps no sessions")) })
    }

    /// Takes sessions out by their keys, each for one who asks and for nobody else. Only of a bus that keeps a log.
    fn take_sessions<'a>(&'a self, keys: &'a [String]) -> BusFuture<'a, Vec<Option<String>>> {
        let _ = keys;
        Box::pin(async { Err(BusError::refusal("this engine keeps no sessions")) })
    }

    /// How many nodes have subscribed to a namespace, this one too. Only where [`Presence::Counted`].
    fn count<'a>(&'a self, namespace: &'a Arc<str>) -> BusFuture<'a, usize>;

    /// Asks the engine for a sign of life.
    fn ping(&self) -> BusFuture<'_, ()>;

    /// Waits until the connection has ended.
    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>>;
}

/// The session of a client that was lost.
#[derive(Clone)]
pub struct KeptSession {
    /// Its key: a secret, without which nobody gets it.
    pub key: String,
    /// The session, a JSON object.
    pub json: String,
    /// How long it is kept.
    pub keeps: Duration,
}

impl fmt::Debug for KeptSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptSession").field("bytes", &self.json.len()).finish_non_exhaustive()
    }
}

/// Where a connection brings what it hears. It never waits.
#[derive(Clone)]
pub struct Inlet {
    hears: Weak<dyn Hears>,
    limits: Arc<Limits>,
}

/// Who is brought what a connection hears.
pub(crate) trait Hears: Send + Sync + 'static {
    fn has_room(&self, namespace: &str, room: &str) -> bool;
    fn recovers(&self, namespace: &str) -> bool;
    fn needs(&self, namespace: &str, from: &str, rooms: &[&str]) -> bool;
    fn deliver(&self, packet: Packet);
    fn begin_log(&self, namespace: Option<&str>, uid: Option<&str>, offset: Offset);
    fn log_begun(&self, namespace: &str, uid: &str);
    fn log_reached(&self, offset: Offset);
    fn pass_over(&self);
    fn refuse(&self, why: Malformed);
}

impl Inlet {
    pub(crate) fn new<H: Hears>(hears: &Arc<H>, limits: Arc<Limits>) -> Self {
        let hears: Weak<H> = Arc::downgrade(hears);
        Self { hears, limits }
    }

    /// What may be read of a packet.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether somebody here is in a room, or may be soon: an event for one that nobody is in need not be read.
    pub fn has_room(&self, namespace: &str, room: &str) -> bool {
        self.hears.upgrade().is_some_and(|hears| hears.has_room(namespace, room))
    }

    /// Whether the log of a namespace is read for those who come back, too: then all of it has to be.
    pub fn recovers(&self, namespace: &str) -> bool {
        self.hears.upgrade().is_some_and(|hears| hears.recovers(namespace))
    }

    /// Whether an event of a node is for somebody here in one of these rooms, of which there is one at least.
    pub fn needs(&self, namespace: &str, from: &str, rooms: &[&str]) -> bool {
        self.hears.upgrade().is_some_and(|hears| hears.needs(namespace, from, rooms))
    }

    /// A packet has come.
    pub fn deliver(&self, packet: Packet) {
        if let Some(hears) = self.hears.upgrade() {
            hears.deliver(packet);
        }
    }

    /// An entry of the log has come, which was put there under a number by its node.
    pub fn deliver_logged(&self, offset: Offset, number: u64, packet: Packet) {
        let Packet { from, to, namespace, body } = packet;
        let body = Body::Logged(Box::new(Logged::brought(offset, number, body)));
        self.deliver(Packet { from, to, namespace, body });
    }

    /// Something has come that has no place in the log, though it should: of a node that writes none, under the number 0, or
    /// an entry whose offset another had before. It reaches the clients that are here, and nobody recovers across it.
    pub fn deliver_past_log(&self, number: u64, packet: Packet) {
        let Packet { from, to, namespace, body } = packet;
        self.deliver(Packet {
            from,
            to,
            namespace,
            body: Body::Logged(Box::new(Logged::new(number, body))),
        });
    }

    /// An entry that was in the log before the namespace was subscribed.
    pub fn recall(&self, offset: Offset, packet: Packet) {
        let Packet { from, to, namespace, body } = packet;
        let entry = Logged { is_past: true, ..Logged::brought(offset, 0, body) };
        self.deliver(Packet { from, to, namespace, body: Body::Logged(Box::new(entry)) });
    }

    /// All entries of a namespace behind this offset will be brought to the node of that uid: first what is in the log,
    /// by [`recall`](Self::recall), and then what comes.
    pub fn begin_log(&self, namespace: &str, uid: &str, offset: Offset) {
        if let Some(hears) = self.hears.upgrade() {
            hears.begin_log(Some(namespace), Some(uid), offset);
        }
    }

    /// All that the log had of a namespace was brought to the node of that uid. Without it the next connection brings it
    /// again.
    pub fn log_begun(&self, namespace: &str, uid: &str) {
        if let Some(hears) = self.hears.upgrade() {
            hears.log_begun(namespace, uid);
        }
    }

    /// All entries up to this offset were brought, of whatever namespace.
    pub fn log_reached(&self, offset: Offset) {
        if let Some(hears) = self.hears.upgrade() {
            hears.log_reached(offset);
        }
    }

    /// Entries were lost: what is behind this offset will be brought, and perhaps not all that was before.
    pub fn begin_anew(&self, offset: Offset) {
        if let Some(hears) = self.hears.upgrade() {
            hears.begin_log(None, None, offset);
        }
    }

    /// Something has come that was passed over unread, since it is for nobody here.
    pub fn pass_over(&self) {
        if let Some(hears) = self.hears.upgrade() {
            hears.pass_over();
        }
    }

    /// Something has come that is not taken. It is counted, and logged now and then.
    pub fn refuse(&self, why: Malformed) {
        if let Some(hears) = self.hears.upgrade() {
            hears.refuse(why);
        }
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").finish_non_exhaustive()
    }
}

/// Why an engine cannot do something.
#[derive(Clone)]
pub struct BusError {
    why: Arc<dyn std::error::Error + Send + Sync>,
    is_refusal: bool,
}

impl BusError {
    /// An error of the library that speaks with the engine, or a text.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { why: error.into().into(), is_refusal: false }
    }

    /// The engine is there, and refuses just this: the connection is as good as before.
    pub fn refusal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { why: error.into().into(), is_refusal: true }
    }

    /// Whether the engine is there, and refuses just this.
    pub const fn is_refusal(&self) -> bool {
        self.is_refusal
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

/// Not more than it says: what it is made of may have a URL with a password in it.
impl fmt::Debug for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BusError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.source()
    }
}
