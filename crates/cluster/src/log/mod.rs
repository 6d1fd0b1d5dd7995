//! The log of an engine: events in one order, which every node reads for itself.
//!
//! ```text
//!   Store ──▶ Reader ──▶ Inlet      what comes, from where the last connection was
//!   Store ──▶ History ─▶ Inlet      what a namespace had before it came
//! ```
//!
//! An engine that keeps a log implements [`Store`], which says what there is. In which order that is brought, and what
//! becomes of entries that are gone, is the same for all of them.

mod history;
mod reader;
#[cfg(any(feature = "nats", feature = "postgres"))]
mod sealed;

use std::future::Future;
use std::time::Duration;

use roomful_proto::cluster::{Body, Malformed, Offset, Packet};

use crate::bus::BusError;
use crate::subscriptions::Subscriptions;
pub(crate) use reader::{Place, Reader};
#[cfg(any(feature = "nats", feature = "postgres"))]
pub(crate) use sealed::Sealed;

/// Entries that are asked for at once.
pub(crate) const PAGE: usize = 100;
/// How long a read waits for the next entry.
pub(crate) const READ_WAIT: Duration = Duration::from_secs(5);

/// The log of an engine, as one connection reads it.
pub(crate) trait Store: Send {
    /// The last entry up to an offset, or of all. [`Offset::BEGINNING`] where there is none.
    fn last(&mut self, upto: Option<Offset>) -> impl Asked<Offset>;

    /// The first entry behind an offset.
    fn first(&mut self, behind: Offset) -> impl Asked<Option<Offset>>;

    /// An offset before which all entries are older than this.
    fn ago(&mut self, past: Duration) -> impl Asked<Offset>;

    /// When an entry was written, by which it is told from another that had its offset. 0 where that is not known, as of
    /// one that is gone.
    fn stamp(&mut self, of: Offset) -> impl Asked<u64>;

    /// The first entries of a namespace from an offset on up to another, at most [`PAGE`]. Others may be among them, unread.
    fn page(&mut self, namespace: &str, from: Offset, upto: Offset) -> impl Asked<Page>;

    /// The first entries behind an offset, which is where the read before has ended. It waits for them, for at most
    /// [`READ_WAIT`]. Of other namespaces than these nothing need be read.
    fn next(&mut self, behind: Offset, namespaces: &Subscriptions) -> impl Asked<Page>;
}

/// What an engine answers.
pub(crate) trait Asked<T>: Future<Output = Result<T, BusError>> + Send {}
impl<T, F: Future<Output = Result<T, BusError>> + Send> Asked<T> for F {}

/// Entries, in order.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<(Offset, Read)>,
    /// Whether there may be more of them now.
    pub(crate) has_more: bool,
    /// Entries before these may be gone that were not read.
    pub(crate) has_lost: bool,
    /// The stamp of the last entry: see [`Store::stamp`].
    pub(crate) stamp: u64,
}

/// What was read of an entry: nothing of one whose namespace is not meant.
pub(crate) type Read = Result<Option<Entry>, Malformed>;

/// An entry.
pub(crate) struct Entry {
    pub(crate) packet: Packet,
    /// By which its node knows it; 0 where it does not.
    pub(crate) number: u64,
}

/// Whether it is of the log, and not only carried by it.
pub(crate) const fn is_logged(body: &Body) -> bool {
    matches!(
        body,
        Body::Emit { request: None, .. }
            | Body::Join { .. }
            | Body::Leave { .. }
            | Body::Disconnect { .. }
            | Body::Gap
    )
}
