//! [`random`]: randomness of the system, fetched for many ids at once.

use std::cell::RefCell;

use roomful_proto::id::ID_BYTES;

/// Bytes of randomness that are fetched at a time, enough for 32 ids.
const RANDOM_BYTES: usize = 32 * ID_BYTES;

thread_local! {
    /// Randomness of the system that is not used yet, since each fetch is a system call.
    static RANDOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes for an id; `None` when the system has no randomness to give, which means no id must be
/// made.
pub(crate) fn random() -> Option<[u8; ID_BYTES]> {
    RANDOM.with_borrow_mut(|random| {
        if random.is_empty() {
            let mut fetched = [0; RANDOM_BYTES];
            getrandom::fill(&mut fetched).ok()?;
            random.extend_from_slice(&fetched);
        }
        // Taken out: no bytes are ever used twice.
        let rest = random.len().checked_sub(ID_BYTES)?;
        let id = random[rest..].try_into().ok();
        random.truncate(rest);
        id
    })
}
