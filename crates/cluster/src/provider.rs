//! What computes for TLS, where a library asks the process for it.

use rustls::crypto::{CryptoProvider, ring};

/// Names one where nobody has: of two that a program may have brought, rustls takes none, and panics.
pub(crate) fn choose() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been first.
        let _ = ring::default_provider().install_default();
    }
}
