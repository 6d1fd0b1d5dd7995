//! Compression: `permessage-deflate` for WebSockets,
//! [RFC 7692](https://www.rfc-editor.org/rfc/rfc7692), and the containers of HTTP.
//!
//! [`negotiate`] answers what a client offers, and [`accepted`] reads what a server has answered to [`OFFER`];
//! [`Deflate`] says which packets are compressed and
//! counts what came of it, [`Inflater`] and [`Deflater`] do the work, [`container`] is for HTTP.
//!
//! We forget everything between two messages (`server_no_context_takeover`), so a packet has one
//! compressed form that is right for all who take it. Clients forget, too, where they can be told to
//! (`client_no_context_takeover`). Of what one sends that does not, a connection keeps the last 512 bytes
//! ([`SMALL_WINDOW_BYTES`]), and no other state: the two that there are, of about 50 and 380 KB, belong
//! to the thread.
//!
//! An event says itself how it is compressed (`Letter::deflate_by`). The task that first writes it to a client that
//! takes that makes the one compressed form, outside all locks of the server. What carries no such word, such as a
//! packet of the session or letters that were joined, is never compressed. Letters below the threshold are joined as
//! ever.
//!
//! What a message inflates to is bounded by `payload_bytes_max`. What all messages of a connection inflate to is
//! bounded by `inflate_ratio_max` times their bytes, and one message more.

pub mod container;
mod deflater;
mod inflater;
mod offer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

pub use deflater::{DeflateError, Deflater, End};
pub use inflater::{InflateError, Inflater};
pub(crate) use inflater::{inflate, remember};
pub use offer::{Agreed, OFFER, OfferError, SMALL_WINDOW_BYTES, Unasked, accepted, negotiate};

/// Which packets are compressed, and how well. The packets of a server share one, which counts.
#[derive(Debug)]
pub struct Deflate {
    threshold: usize,
    level: u8,
    messages: AtomicU64,
    bytes_before: AtomicU64,
    bytes_after: AtomicU64,
}

/// What was compressed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Messages that were made smaller, each counted once, however many it went to.
    pub messages: u64,
    /// Their bytes before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// For packets that are to be compressed nowhere.
static NEVER: LazyLock<Arc<Deflate>> = LazyLock::new(|| Arc::new(Deflate::new(usize::MAX, 1)));

impl Deflate {
    /// Messages of at least `threshold` bytes are compressed. `level` is from 1, the fastest, to 9.
    pub const fn new(threshold: usize, level: u8) -> Self {
        Self {
            threshold,
            level,
            messages: AtomicU64::new(0),
            bytes_before: AtomicU64::new(0),
            bytes_after: AtomicU64::new(0),
        }
    }

    /// For packets that are to be compressed nowhere, neither here nor in an answer of HTTP.
    pub fn never() -> &'static Arc<Self> {
        &NEVER
    }

    /// The bytes from which on a message is compressed.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// What was compressed so far.
    pub fn tally(&self) -> Tally {
        Tally {
            messages: self.messages.load(Ordering::Relaxed),
            bytes_before: self.bytes_before.load(Ordering::Relaxed),
            bytes_after: self.bytes_after.load(Ordering::Relaxed),
        }
    }

    /// Compresses one message into `out`, which is emptied first; `false` where that makes it no
    /// smaller, or where it is below the threshold.
    pub fn message(&self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        if payload.len() < self.threshold {
            return false;
        }
        let smaller = Deflater::with(self.level, |deflater| {
            deflater.deflate(payload, End::Message, out).is_ok() && out.len() < payload.len()
        });
        if smaller {
            self.messages.fetch_add(1, Ordering::Relaxed);
            self.bytes_before.fetch_add(payload.len() as u64, Ordering::Relaxed);
            self.bytes_after.fetch_add(out.len() as u64, Ordering::Relaxed);
        }
        smaller
    }
}
