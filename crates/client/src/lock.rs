//! [`lock`]: the locks of this crate.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic of whoever had the lock: what it guards is whole after each statement. No
/// user's code runs under any lock here, but for a [`Parser`](roomful_proto::Parser) under that of the
/// state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
