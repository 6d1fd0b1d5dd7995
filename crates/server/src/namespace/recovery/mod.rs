//! [`Recovery`]: what a client missed while its connection was lost, and who may have it.
//!
//! ```text
//!   connected ──lost──▶ waiting ──comes back in time──▶ connected, with its id, rooms, data and
//!                          │                            every event that it missed, in order
//!                          └──time over, revoked──▶ gone
//! ```
//!
//! [`Journal`] is that of one namespace, with a [`Log`](log::Log) of its events and a
//! [`Session`](session::Session) for each of its sockets; [`Claim`] is what a client shows that comes back.
//!
//! Specification: Socket.IO 5, connection state recovery.
//!
//! Locks are taken in this order: `Store::making_room`, then that of all journals or one journal at a time.
//! `Journal::family` is taken under that of all journals. The locks of rooms and links are taken under that of one
//! journal.
//!
//! Nodes on several machines share the log of an engine, where the adapter [has one](crate::adapter::Line::log). Each
//! has a copy of its end in its own journals. A socket that is lost is [kept](kept_session) by the engine, and taken out
//! by the node to which its client comes back.

mod claim;
mod credentials;
mod guard;
mod handover;
mod journal;
mod kept_session;
mod log;
mod search;
mod session;
mod shares;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use roomful_proto::Reason;
use tokio::sync::Semaphore;

use crate::namespace::asks::AskIds;
use crate::namespace::rooms::Rooms;
use crate::namespace::socket_core::Member;

pub(crate) use claim::{AuthDigest, Claim, Key};
pub(crate) use credentials::credentials;
pub(crate) use guard::Guard;
pub(crate) use journal::Journal;
pub(crate) use kept_session::{Departed, KeptSession};
pub(crate) use search::Search;
pub(crate) use session::Newcomer;
use shares::Totals;

/// Connection state recovery: a client that comes back in time gets its socket back, with its id, its
/// rooms, its data, and the events that it missed, each once and in order. A cheap handle: give it to
/// [`Builder::recovery`](crate::Builder::recovery), and a second time to the server that takes over
/// from the first in the same process. To events, servers that share it are one: what is sent by one
/// reaches the clients of all. They must have the same [`Parser`](crate::Parser), or none.
///
/// What comes back: events to a socket or to many, unless they were volatile or questions. Each of
/// them carries its offset as one more argument, a short text behind the others, which clients
/// in JavaScript from 4.6 on take note of and show again. They take any text at the end of an event
/// for one; so a volatile event carries the offset of the event before it. A question carries none.
/// Acks and questions that were under way are lost, and whoever asked learns it.
///
/// Who comes back is asked for twice: the client shows a secret that only it was given, and the
/// namespace's `connect` function decides about it as about anybody else. Then the socket is given
/// back only if the namespace's [`same_visitor`](crate::Namespace::same_visitor) says that it is who was
/// lost. Without that function, the auth payload, the cookies
/// ([which](RecoveryBuilder::visitor_cookies)) and the header `Authorization` must be those of before, byte
/// by byte but for the order of the fields of the payload, and so must the query be but for what the
/// protocol has in it. A `connect` function that goes by anything else, such as another header, needs
/// `same_visitor`. What `connect` returns is the socket's data from
/// then on, so a right that was taken away does not come back;
/// [`carry_over`](crate::Namespace::carry_over) takes over what is to stay. Who left by itself, or was put out by
/// `disconnect`, `close`, a [rate](crate::Rate::disconnects) or the end of its
/// [time](crate::Socket::expire_after), does not come back, nor does who sent a packet that cannot be
/// read. Who lost its connection does, also when the server ended it because it closes or
/// [drains](crate::Server::drain), or because too much waited.
///
/// Where it cannot be proven that nothing is missing, the client gets a new socket, as without all
/// this, and [`Socket::recovery`](crate::Socket::recovery) says why.
///
/// ```
/// use std::time::Duration;
/// use roomful::{Recovery, Server};
///
/// let recovery = Recovery::builder().window(Duration::from_secs(300)).build();
/// let io = Server::builder().recovery(recovery).build();
/// ```
#[derive(Clone)]
pub struct Recovery {
    store: Arc<Store>,
}

/// Settings of a [`Recovery`]. Sizes are in bytes.
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until the recovery is built"]
pub struct RecoveryBuilder {
    settings: Settings,
}

/// How a socket began, as [`Socket::recovery`](crate::Socket::recovery) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beginning {
    /// The client came without a claim, or nothing is recovered here.
    New,
    /// The client has its socket back.
    Recovered {
        /// Events that it had missed and was sent now.
        missed: usize,
    },
    /// The client wanted its socket back and got a new one.
    Refused(NotRecovered),
}

/// Why a client did not get its socket back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRecovered {
    /// Nothing waits for whoever shows this secret: the time was over, the socket was revoked or put
    /// out, the server was started anew, or the secret was made up.
    Unknown,
    /// The offset is none that was given out here.
    Offset,
    /// Some of what was missed is not kept any more, or the rooms of that time are not known.
    Incomplete,
    /// What was missed is more than three quarters of what may wait for one client (see
    /// [`Builder::outbox_bytes_max`](crate::Builder::outbox_bytes_max)), or more than
    /// [`search_max`](RecoveryBuilder::search_max) would have to be looked at.
    TooMuch,
    /// It may be somebody else: the auth payload, a cookie or the header `Authorization` is another, or
    /// [`same_visitor`](crate::Namespace::same_visitor) said no.
    Stranger,
    /// The socket is still connected: its old connection did not end in time.
    Connected,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) window: Duration,
    pub(crate) events_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) sockets_max: usize,
    pub(crate) sockets_bytes_max: usize,
    pub(crate) search_max: usize,
    /// The cookies that say who somebody is; `None` for all but those that change by themselves.
    pub(crate) visitor_cookies: Option<Arc<[Box<str>]>>,
    pub(crate) skips_connect: bool,
}

/// What all that share a recovery have in common.
pub(crate) struct Store {
    pub(crate) settings: Arc<Settings>,
    journals: Mutex<HashMap<Box<str>, Arc<Journal>>>,
    totals: Arc<Totals>,
    /// Held by who makes room.
    making_room: Mutex<()>,
    /// Searches at once.
    searches: Arc<Semaphore>,
    sweeping: AtomicBool,
    /// The next server may be answered what the one before has asked.
    ask_ids: AskIds,
}

/// How often what is too old is looked for, where nothing else makes anybody look.
const SWEEPS_PER_WINDOW: u32 = 4;
/// Clients for which is looked at the same time for what they missed. Each holds what it has found.
const SEARCHES_AT_ONCE: usize = 64;
/// No more often than this.
const SWEEP_PAUSE_MIN: Duration = Duration::from_millis(100);

impl Recovery {
    /// With the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings, to build a recovery from.
    pub fn builder() -> RecoveryBuilder {
        RecoveryBuilder { settings: Settings::default() }
    }

    /// Another with the same settings, which knows nothing of this one.
    pub(crate) fn another(&self) -> Self {
        RecoveryBuilder { settings: (*self.store.settings).clone() }.build()
    }

    /// Whether who shows what was shown before need not be let in again.
    pub(crate) fn skips_connect(&self) -> bool {
        self.store.settings.skips_connect
    }

    /// Whether a cookie says who somebody is.
    pub(crate) fn counts(&self, cookie: &str) -> bool {
        match &self.store.settings.visitor_cookies {
            Some(names) => names.iter().any(|name| **name == *cookie),
            None => !credentials::changes_by_itself(cookie),
        }
    }

    /// The ids of questions of all servers that share it.
    pub(crate) fn ask_ids(&self) -> AskIds {
        self.store.ask_ids.clone()
    }

    /// The journal of the namespace of that name. Events are kept for as long as a socket waits, and
    /// for `silence` more: so long it may take to notice that a connection was lost.
    pub(crate) fn journal(
        &self,
        namespace: &str,
        silence: Duration,
        rooms: &Arc<Rooms<Member>>,
    ) -> Arc<Journal> {
        let make = || Arc::new(Journal::new(namespace, &self.store, silence));
        let mut journals = self.store.journals.lock();
        let journal = Arc::clone(journals.entry(namespace.into()).or_insert_with(make));
        drop(journals);
        journal.attach(rooms);
        journal
    }

    /// The journals of the children of a family, by their names.
    pub(crate) fn journals_of(&self, family: &str) -> Vec<(Box<str>, Arc<Journal>)> {
        let journals = self.store.journals.lock();
        let theirs = journals.iter().filter(|(_, journal)| journal.is_of(family));
        theirs.map(|(name, journal)| (name.clone(), Arc::clone(journal))).collect()
    }

    /// The namespace of that name is no more: its journal goes, unless somebody waits there. Then it goes
    /// when nobody does any more.
    pub(crate) fn forget(&self, namespace: &str, rooms: &Arc<Rooms<Member>>) {
        let journal = self.store.journals.lock().get(namespace).cloned();
        if let Some(journal) = &journal {
            journal.detach(rooms);
        }
        if let Some(journal) = journal.filter(|journal| !journal.sweep()) {
            self.store.forget(namespace, &journal);
        }
    }

    /// Sees to it that what is too old goes even if nothing more is sent. Called in a task.
    pub(crate) fn keep_tidy(&self) {
        if !self.store.sweeping.swap(true, Ordering::AcqRel) {
            drop(tokio::spawn(sweep(Sweeping(Arc::downgrade(&self.store)))));
        }
    }
}

/// The task that sweeps; when it is dropped before it has ended, another may begin.
struct Sweeping(Weak<Store>);

async fn sweep(mut sweeping: Sweeping) {
    loop {
        let Some(store) = sweeping.0.upgrade() else {
            return;
        };
        let pause = (store.settings.window / SWEEPS_PER_WINDOW).max(SWEEP_PAUSE_MIN);
        let journals = store.journals.lock().clone();
        let mut left = 0;
        for (name, journal) in journals {
            if journal.sweep() {
                left += 1;
            } else {
                store.forget(&name, &journal);
            }
        }
        if left == 0 && store.sweeps_no_more() {
            // Another may sweep already, and what says so is not to be taken back.
            sweeping.0 = Weak::new();
            return;
        }
        drop(store);
        tokio::time::sleep(pause).await;
    }
}

impl Store {
    /// Nothing was left, so nobody sweeps from now on; `false` if somebody has come since that was seen,
    /// who took it that somebody does.
    fn sweeps_no_more(&self) -> bool {
        self.sweeping.swap(false, Ordering::AcqRel);
        let journals: Vec<_> = self.journals.lock().values().cloned().collect();
        journals.iter().all(|journal| !journal.sweep())
            || self.sweeping.swap(true, Ordering::AcqRel)
    }

    /// Drops a journal in which nothing is left, if no namespace has it.
    fn forget(&self, namespace: &str, journal: &Arc<Journal>) {
        let _dropped;
        let mut journals = self.journals.lock();
        // That of the table, and the one that was given.
        let is_free =
            |kept: &Arc<Journal>| Arc::ptr_eq(kept, journal) && Arc::strong_count(kept) == 2;
        if journals.get(namespace).is_some_and(is_free) {
            _dropped = journals.remove(namespace);
        }
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(store) = self.0.upgrade() {
            store.sweeping.store(false, Ordering::Release);
        }
    }
}

impl RecoveryBuilder {
    /// The recovery.
    pub fn build(self) -> Recovery {
        let store = Store {
            settings: Arc::new(self.settings),
            journals: Mutex::default(),
            totals: Arc::default(),
            making_room: Mutex::default(),
            searches: Arc::new(Semaphore::new(SEARCHES_AT_ONCE)),
            sweeping: AtomicBool::new(false),
            ask_ids: AskIds::new(),
        };
        Recovery { store: Arc::new(store) }
    }

    /// How long a socket waits for its client. Default 2 minutes, as the official server.
    pub fn window(mut self, window: Duration) -> Self {
        self.settings.window = window;
        self
    }

    /// Events that a namespace keeps. Default 100,000.
    pub fn events_max(mut self, count: usize) -> Self {
        self.settings.events_max = count;
        self
    }

    /// What the events of all namespaces may take. Default 64 MiB. Each namespace that the program has by
    /// its name is sure of an equal share, and so are all children of one pattern together; what one does
    /// not need is shared by the others. Where that is too little, the oldest events go of whoever
    /// has more than its share.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.settings.bytes_max = bytes;
        self
    }

    /// Sockets of a namespace that wait for their clients at the same time. The oldest go first.
    /// Default 100,000.
    pub fn sockets_max(mut self, count: usize) -> Self {
        self.settings.sockets_max = count;
        self
    }

    /// What the sockets of all namespaces that wait may take, with the names of their rooms, but without
    /// the data that they remember. Default 64 MiB. It is shared as [`bytes_max`](Self::bytes_max) is;
    /// those that wait longest go first. One that would take more than a sixteenth of it does not wait.
    pub fn sockets_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.sockets_bytes_max = bytes;
        self
    }

    /// What is looked at for one client that comes back: its rooms, the events that went to them while it
    /// was away, and the names of rooms that these excepted. A client for which more would have to be
    /// looked at gets a new socket, and hears [`NotRecovered::TooMuch`]. Default 65,536.
    pub fn search_max(mut self, count: usize) -> Self {
        self.settings.search_max = count;
        self
    }

    /// The cookies that say who somebody is, by their names: a client that comes back with other values
    /// of them is another visitor, where no [`same_visitor`](crate::Namespace::same_visitor) decides. Default
    /// all, but the [`Cookie`](crate::Cookie) that the server sets itself, and those that say nothing about
    /// a visitor: of load balancers (such as `AWSALB`, `__cf_bm`, `INGRESSCOOKIE`) and of statistics (`_ga`,
    /// `_gid`, `_gat`). Give the name of the session's cookie here where others change while a page is open, or
    /// where the first answer to a client sets one: who comes back with a cookie that it did not have before
    /// may have logged in meanwhile, and is another visitor.
    pub fn visitor_cookies<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let names = names.into_iter().map(|name| name.into().into_boxed_str());
        self.settings.visitor_cookies = Some(names.collect());
        self
    }

    /// Whether a client that comes back with the same auth payload, cookies and `Authorization` need not
    /// pass the namespace's `connect` function again. Who must be kept out meanwhile is then to be
    /// [revoked](crate::Namespace::revoke). Default no, other than the official server.
    pub fn skip_connect(mut self, skip: bool) -> Self {
        self.settings.skips_connect = skip;
        self
    }
}

impl Default for Recovery {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(120),
            events_max: 100_000,
            bytes_max: 64 * 1024 * 1024,
            sockets_max: 100_000,
            sockets_bytes_max: 64 * 1024 * 1024,
            search_max: 65_536,
            visitor_cookies: None,
            skips_connect: false,
        }
    }
}

impl NotRecovered {
    /// A short text for logs and counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "nothing waits for this client",
            Self::Offset => "unknown offset",
            Self::Incomplete => "not all that was missed is kept",
            Self::TooMuch => "too much was missed",
            Self::Stranger => "perhaps another visitor",
            Self::Connected => "still connected",
        }
    }
}

impl fmt::Display for NotRecovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("settings", &self.store.settings).finish_non_exhaustive()
    }
}

/// Whether a client that was lost for this reason may come back to its socket. Not if one of the two
/// sides wanted it gone, nor if what it sends cannot be read.
pub(crate) const fn is_lost(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TransportError
            | Reason::TransportClose
            | Reason::ForcedClose
            | Reason::PingTimeout
            | Reason::ServerShuttingDown
            | Reason::ForcedServerClose
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_connection_was_lost_comes_back_and_who_was_to_go_does_not() {
        for reason in [
            Reason::TransportError,
            Reason::TransportClose,
            Reason::ForcedClose,
            Reason::PingTimeout,
            Reason::ServerShuttingDown,
            Reason::ForcedServerClose,
        ] {
            assert!(is_lost(reason), "{reason}");
        }
        for reason in [
            Reason::ParseError,
            Reason::ClientNamespaceDisconnect,
            Reason::ServerNamespaceDisconnect,
            Reason::Expired,
        ] {
            assert!(!is_lost(reason), "{reason}");
        }
    }

    /// Who comes while the last one who swept is about to end relies on it.
    #[tokio::test]
    async fn who_comes_while_a_sweep_ends_is_swept_too() {
        let recovery = Recovery::new();
        let journal = recovery.journal("/", Duration::ZERO, &Arc::default());
        let store = &recovery.store;
        store.sweeping.store(true, Ordering::Release);
        let id = roomful_proto::SocketId::from_random([1; 15]);
        let newcomer = Newcomer {
            link: crate::transport::link::for_tests(),
            auth: AuthDigest::new(None, b""),
            data: Arc::new(()),
            same: None,
            asked: None,
            bytes_max: 100_000,
        };
        journal.lock().enter(id, &roomful_proto::RecoveryId::from_random([1; 15]), &newcomer);
        recovery.keep_tidy();
        assert!(!store.sweeps_no_more(), "it goes on");
        assert!(store.sweeping.load(Ordering::Acquire));
        journal.lock().depart(id, false, 0, None);
        assert!(store.sweeps_no_more());
        assert!(!store.sweeping.load(Ordering::Acquire));
    }
}
