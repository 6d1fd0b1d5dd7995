//! [`Decisions`]: how many decisions about clients are under way, and who waits for its turn.
//!
//! A decision is one run of a `connect` function, or of one of `of_matching`. Such a function reads the auth
//! payload of somebody whom nobody knows yet, mostly into values that take a multiple of its bytes, and may
//! then wait for as long as it likes. So each takes a [`Turn`], which is its share of four bounds:
//!
//! 1. of its connection, a number: what comes beyond waits in the connection itself, in order;
//! 2. of its address in its family, a number, where the user has said what an address is;
//! 3. of its family, a namespace of the program's own or a parent with all its children, in bytes;
//! 4. of the server, in bytes.
//!
//! Whoever waits for one holds only those before it. So a family that is slow, or attacked, never takes
//! more than its part of the server's, and nobody waits for another in a circle. All are first come, first
//! served. What waits has no namespace of its own yet: a child is made when its first client has its turn.
//!
//! A family never has more than a quarter of what the server has. Waiting and deciding together take no longer than
//! `decision_timeout`. Waiting takes no more than half of that, so that where too many clients come the functions that
//! begin have time to end. A client that waits keeps no child alive.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;
use roomful_proto::Moment;
use roomful_proto::socket::Slot;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ground::config::Config;
use crate::ground::errors::refusal::Refusal;
use crate::namespace::family::registry::Registry;
use crate::transport::link::Link;

/// What a decision counts for at least, and the unit in which it is counted.
const DECISION_BYTES_MIN: usize = 1_024;
/// A family may have this part of what the server has.
const FAMILY_PART: usize = 4;
/// What the server may have at most, in units, so that it fits into whatever counts them.
const UNITS_MAX: usize = 1 << 28;

/// The decisions of a server that are under way.
pub(crate) struct Decisions {
    /// Of the server, in units.
    server: Arc<Semaphore>,
    units: usize,
    /// What a family has, in units.
    family_units: usize,
    /// Turns that are taken.
    deciding: AtomicUsize,
    addresses: Arc<Addresses>,
}

/// The addresses that have decisions under way or waiting in a family, by the hashes of both.
struct Addresses {
    by_hash: Mutex<HashMap<u64, Address>>,
    hasher: RandomState,
}

struct Address {
    turns: Arc<Semaphore>,
    /// Those that have a turn, or wait for one.
    users: usize,
}

/// That an address is used.
struct Visit {
    addresses: Arc<Addresses>,
    hash: u64,
    turns: Arc<Semaphore>,
}

/// What a decision may have of a family: the bytes of the auth payloads that its functions have.
pub(crate) type Share = Arc<Semaphore>;

/// The turn of a decision. It is given back when it is dropped.
pub(crate) struct Turn {
    registry: Arc<Registry>,
    share: Share,
    _address: Option<(OwnedSemaphorePermit, Visit)>,
    _family: OwnedSemaphorePermit,
    _server: OwnedSemaphorePermit,
}

/// A client that asks to come in, before it is decided about.
pub(crate) struct Caller {
    pub(crate) slot: Slot,
    pub(crate) auth: Option<Bytes>,
    pub(crate) patience: Patience,
    /// If it has waited for that, or what was decided before needed it. Apart, since many may wait in line
    /// that have none.
    pub(crate) turn: Option<Box<Turn>>,
}

impl Caller {
    pub(crate) fn auth_bytes(&self) -> usize {
        self.auth.as_ref().map_or(0, Bytes::len)
    }
}

/// Until when a client waits for a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) until: Moment,
    /// Until then it waits for its turn. Half of the time is left for the functions: else, where more come than
    /// can be decided about, all functions would begin too late to end.
    pub(crate) turn_until: Moment,
    /// It had to wait for its turn, which is counted once.
    pub(crate) has_waited: bool,
}

impl Decisions {
    pub(crate) fn new(config: &Config) -> Self {
        let units = (config.deciding_bytes_max / DECISION_BYTES_MIN).clamp(1, UNITS_MAX);
        let by_hash = Mutex::default();
        Self {
            server: Arc::new(Semaphore::new(units)),
            units,
            family_units: (units / FAMILY_PART).max(1),
            deciding: AtomicUsize::new(0),
            addresses: Arc::new(Addresses { by_hash, hasher: RandomState::new() }),
        }
    }

    /// Decisions that can be under way at the same time.
    pub(crate) const fn turns_max(&self) -> usize {
        self.units
    }

    /// What a new family has.
    pub(crate) fn share(&self) -> Share {
        Arc::new(Semaphore::new(self.family_units))
    }

    /// Decisions that are under way.
    pub(crate) fn deciding(&self) -> usize {
        self.deciding.load(Ordering::Relaxed)
    }

    /// How much a payload takes of a share. One that is larger than all of it takes all of it, so that its
    /// turn comes too.
    fn units(&self, auth_bytes: usize) -> u32 {
        let units = auth_bytes.div_ceil(DECISION_BYTES_MIN).clamp(1, self.family_units);
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

impl Turn {
    /// A turn of that family for a payload of so many bytes, if it need not wait for it.
    pub(crate) fn now(
        registry: &Arc<Registry>,
        link: &Link,
        share: &Share,
        auth_bytes: usize,
    ) -> Option<Self> {
        let decisions = &registry.decisions;
        let address = match Visit::begin(registry, link, share) {
            None => None,
            Some(visit) => Some((Arc::clone(&visit.turns).try_acquire_owned().ok()?, visit)),
        };
        let units = decisions.units(auth_bytes);
        let family = Arc::clone(share).try_acquire_many_owned(units).ok()?;
        let server = Arc::clone(&decisions.server).try_acquire_many_owned(units).ok()?;
        Some(Self::taken(registry, share, address, family, server))
    }

    /// The same, when it comes; a refusal when it does not come in time.
    pub(crate) async fn wait(
        registry: &Arc<Registry>,
        link: &Link,
        share: &Share,
        auth_bytes: usize,
        patience: &mut Patience,
    ) -> Result<Self, Refusal> {
        if let Some(turn) = Self::now(registry, link, share, auth_bytes) {
            return Ok(turn);
        }
        patience.note_waiting(registry);
        let until = registry.instant(patience.turn_until);
        let coming = Self::coming(registry, link, share, auth_bytes);
        // Apart, since most do not wait.
        let in_time = Box::pin(tokio::time::timeout_at(until, coming));
        match in_time.await {
            // Also where it came just then: nothing would come of the function that has no time left.
            Ok(turn) if registry.now() < patience.turn_until => turn,
            Ok(Err(refusal)) => Err(refusal),
            Ok(Ok(_)) | Err(_) => Err(busy(registry)),
        }
    }

    async fn coming(
        registry: &Arc<Registry>,
        link: &Link,
        share: &Share,
        auth_bytes: usize,
    ) -> Result<Self, Refusal> {
        // Nobody closes these.
        let closed = |_| Refusal::new("Internal error");
        let decisions = &registry.decisions;
        let address = match Visit::begin(registry, link, share) {
            None => None,
            Some(visit) => {
                let permit = Arc::clone(&visit.turns).acquire_owned().await.map_err(closed)?;
                Some((permit, visit))
            }
        };
        let units = decisions.units(auth_bytes);
        let family = Arc::clone(share).acquire_many_owned(units).await.map_err(closed)?;
        let server = Arc::clone(&decisions.server);
        let server = server.acquire_many_owned(units).await.map_err(closed)?;
        Ok(Self::taken(registry, share, address, family, server))
    }

    fn taken(
        registry: &Arc<Registry>,
        share: &Share,
        address: Option<(OwnedSemaphorePermit, Visit)>,
        family: OwnedSemaphorePermit,
        server: OwnedSemaphorePermit,
    ) -> Self {
        registry.decisions.deciding.fetch_add(1, Ordering::Relaxed);
        Self {
            registry: Arc::clone(registry),
            share: Arc::clone(share),
            _address: address,
            _family: family,
            _server: server,
        }
    }

    /// Whether it is one of that family.
    pub(crate) fn is_of(&self, share: &Share) -> bool {
        Arc::ptr_eq(&self.share, share)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.registry.decisions.deciding.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Patience {
    pub(crate) fn new(registry: &Registry, now: Moment) -> Self {
        let timeout = registry.config.decision_timeout;
        Self { until: now + timeout, turn_until: now + timeout / 2, has_waited: false }
    }

    pub(crate) fn note_waiting(&mut self, registry: &Registry) {
        if !self.has_waited {
            self.has_waited = true;
            registry.metrics.decisions_waited.add();
        }
    }
}

/// Runs a decision for as long as its client has patience. A timer is set only for one that waits.
pub(crate) async fn in_time<T>(
    registry: &Registry,
    until: Moment,
    mut decision: impl Future<Output = T> + Unpin,
) -> Result<T, Refusal> {
    let mut timer: Option<Pin<Box<tokio::time::Sleep>>> = None;
    let decided = poll_fn(|cx| {
        if let Poll::Ready(decided) = Pin::new(&mut decision).poll(cx) {
            return Poll::Ready(Some(decided));
        }
        let timer = timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(registry.instant(until))))
            .as_mut();
        timer.poll(cx).map(|()| None)
    });
    decided.await.ok_or_else(|| late(registry, "no_decision"))
}

/// Why a client is refused whose turn did not come in time.
pub(crate) fn busy(registry: &Registry) -> Refusal {
    late(registry, "busy")
}

fn late(registry: &Registry, code: &str) -> Refusal {
    registry.metrics.decision_timeouts.add();
    Refusal::new("No decision in time").data(json!({ "code": code }))
}

impl Visit {
    /// `None` where the client has no address that counts.
    fn begin(registry: &Registry, link: &Link, share: &Share) -> Option<Self> {
        let tell = registry.config.client_address.0.as_ref()?;
        let told = registry.guarded("the function of client_address", || tell(&link.handshake));
        let addresses = &registry.decisions.addresses;
        let hash = addresses.hasher.hash_one((told.flatten()?, Arc::as_ptr(share) as usize));
        let mut by_hash = addresses.by_hash.lock();
        let address = by_hash.entry(hash).or_insert_with(|| Address {
            turns: Arc::new(Semaphore::new(registry.config.decisions_per_address_max)),
            users: 0,
        });
        address.users += 1;
        let turns = Arc::clone(&address.turns);
        Some(Self { addresses: Arc::clone(addresses), hash, turns })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut by_hash = self.addresses.by_hash.lock();
        if let Some(address) = by_hash.get_mut(&self.hash) {
            address.users -= 1;
            if address.users == 0 {
                by_hash.remove(&self.hash);
            }
        }
    }
}
