//! Panics: those that the storm asks for, and all others.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::site::ON_PURPOSE;

static UNASKED: AtomicUsize = AtomicUsize::new(0);

/// Makes that panics which were asked for are not worth a line each, and counts the others.
pub fn watch() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&ON_PURPOSE) {
            UNASKED.fetch_add(1, Ordering::Relaxed);
            usual(panic);
        }
    }));
}

/// Panics that nobody asked for, of clients and of servers.
pub fn unasked() -> usize {
    UNASKED.load(Ordering::Relaxed)
}
