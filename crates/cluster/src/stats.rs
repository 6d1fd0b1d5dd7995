//! [`ClusterStats`] and [`ClusterState`]: what a program can see of its cluster.

use std::sync::atomic::{AtomicU64, Ordering};

/// Whether the engine is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterState {
    /// It was not connected to yet.
    Connecting,
    /// It is there, and all namespaces are subscribed.
    Up,
    /// It is away: what is sent to other nodes waits, as far as there is room.
    Down,
}

/// Counters of a cluster, from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStats {
    /// Packets that the engine has taken.
    pub published: u64,
    /// Packets that came from other nodes and were read.
    pub received: u64,
    /// Packets that came for rooms which nobody here is in: they were not read. With Streams those that this node has
    /// sent are among them.
    pub passed_over: u64,
    /// Packets that were dropped since too many, or too many bytes, waited already.
    pub dropped_full: u64,
    /// Volatile events that were sent while the engine was away.
    pub dropped_volatile: u64,
    /// Packets that were being published when the connection was lost. Nobody knows whether they have arrived, so
    /// they are not sent again.
    pub dropped_lost: u64,
    /// Packets that were too large for the engine, or that its wire has no word for.
    pub dropped_unsaid: u64,
    /// What came and was no packet, or of a type that is not known here.
    pub malformed: u64,
    /// Requests that were not made, or not answered for another node, since too many are open.
    pub requests_refused: u64,
    /// Sessions of lost clients that the engine could not keep: who comes back gets a new socket.
    pub sessions_lost: u64,
    /// Times that the connection was lost.
    pub lost: u64,
    /// Packets that wait, now.
    pub waiting: usize,
    /// Bytes of these, now.
    pub waiting_bytes: usize,
}

/// The counters as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) published: Counter,
    pub(crate) received: Counter,
    pub(crate) passed_over: Counter,
    pub(crate) dropped_full: Counter,
    pub(crate) dropped_volatile: Counter,
    pub(crate) dropped_lost: Counter,
    pub(crate) dropped_unsaid: Counter,
    pub(crate) malformed: Counter,
    pub(crate) requests_refused: Counter,
    pub(crate) sessions_lost: Counter,
    pub(crate) lost: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn stats(&self, (waiting, waiting_bytes): (usize, usize)) -> ClusterStats {
        ClusterStats {
            published: self.published.get(),
            received: self.received.get(),
            passed_over: self.passed_over.get(),
            dropped_full: self.dropped_full.get(),
            dropped_volatile: self.dropped_volatile.get(),
            dropped_lost: self.dropped_lost.get(),
            dropped_unsaid: self.dropped_unsaid.get(),
            malformed: self.malformed.get(),
            requests_refused: self.requests_refused.get(),
            sessions_lost: self.sessions_lost.get(),
            lost: self.lost.get(),
            waiting,
            waiting_bytes,
        }
    }
}
