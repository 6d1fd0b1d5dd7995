//! [`lock`]: the locks of this crate.
//!
//! No lock is taken under another one, but for those of a `Status` (in the watch channel) and of `Core::outcomes`,
//! which are set under `Shared::state`. So a user who holds what `borrow` gave must not call the client.
//!
//! The manager runs under `Shared::state`, and so do decoding, inflating, framing, masking and compressing: the lock is
//! taken once for all that was read, and once for all that is written. A `Parser` runs under it too, and is the only
//! user's code under any lock of the client: it must be quick, and must not call the client. Arguments are written, and
//! read into types, under no lock. What falls out of a table, such as a handler that is replaced, is dropped when the
//! lock is free.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic of whoever had the lock: what it guards is whole after each statement. No
/// user's code runs under any lock here, but for a [`Parser`](roomful_proto::Parser) under that of the
/// state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
