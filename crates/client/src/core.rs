//! [`Core`]: one socket, as its handles and the connection share it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use roomful_proto::socket::manager::Key;
use tokio::sync::watch;

use crate::error::ConnectError;
use crate::listeners::Listeners;
use crate::lock::lock;
use crate::status::Status;

/// Makes an auth payload, as a user does.
pub(crate) type AuthFn =
    dyn Fn() -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send>> + Send + Sync;

/// Where the auth payload of a socket comes from.
#[derive(Clone, Default)]
pub(crate) enum Auth {
    #[default]
    None,
    /// The JSON of an object.
    Value(Bytes),
    /// Made anew each time that the socket is connected.
    Made(Arc<AuthFn>),
}

/// One socket.
pub(crate) struct Core {
    pub(crate) key: Key,
    pub(crate) namespace: Box<str>,
    pub(crate) listeners: Listeners,
    pub(crate) status: watch::Sender<Status>,
    auth: Mutex<Auth>,
    id: Mutex<Option<Box<str>>>,
    outcomes: Mutex<Outcomes>,
    /// Ids of acks: even ones.
    asked: AtomicU64,
    retrying: Mutex<Option<Keyed>>,
    /// Whether it ever did that. Where it never did, no event has to look.
    retries: AtomicBool,
}

/// What has become of attempts to connect. The status shows only the last of it, and often not for long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    /// Times that it was connected.
    pub(crate) connections: u64,
    /// Attempts that failed, and why the last one did.
    pub(crate) failures: u64,
    pub(crate) failure: Option<Arc<ConnectError>>,
}

/// How the events of a socket are made recognisable that are sent until their ack comes.
#[derive(Clone)]
pub(crate) enum Keyed {
    /// Not at all.
    No,
    /// By a last argument: this, a dash, and the number of the event.
    By(Arc<str>),
}

impl Core {
    pub(crate) fn new(key: Key, namespace: &str) -> Self {
        Self {
            key,
            namespace: namespace.into(),
            listeners: Listeners::default(),
            status: watch::Sender::default(),
            auth: Mutex::default(),
            id: Mutex::default(),
            outcomes: Mutex::default(),
            asked: AtomicU64::new(0),
            retrying: Mutex::default(),
            retries: AtomicBool::new(false),
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.status.send_replace(status);
    }

    pub(crate) fn auth(&self) -> Auth {
        lock(&self.auth).clone()
    }

    pub(crate) fn set_auth(&self, auth: Auth) {
        let before = std::mem::replace(&mut *lock(&self.auth), auth);
        // It may hold a user's values, which are dropped when the lock is free.
        drop(before);
    }

    pub(crate) fn id(&self) -> Option<Box<str>> {
        lock(&self.id).clone()
    }

    pub(crate) fn set_id(&self, id: Option<Box<str>>) {
        *lock(&self.id) = id;
    }

    pub(crate) fn outcomes(&self) -> Outcomes {
        lock(&self.outcomes).clone()
    }

    /// Counted before the status says so: who sees a status knows what has led to it.
    pub(crate) fn has_connected(&self) {
        lock(&self.outcomes).connections += 1;
    }

    pub(crate) fn has_failed(&self, error: &Arc<ConnectError>) {
        let mut outcomes = lock(&self.outcomes);
        outcomes.failures += 1;
        outcomes.failure = Some(Arc::clone(error));
    }

    pub(crate) fn retrying(&self) -> Option<Keyed> {
        if self.retries.load(Ordering::Acquire) { lock(&self.retrying).clone() } else { None }
    }

    pub(crate) fn set_retrying(&self, retrying: Option<Keyed>) {
        *lock(&self.retrying) = retrying;
        self.retries.store(true, Ordering::Release);
    }

    /// A number that no event of this socket has had.
    pub(crate) fn next(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed)
    }
}
