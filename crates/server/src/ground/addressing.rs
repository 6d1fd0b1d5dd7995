//! [`Addressing`]: what the user says the address of a client is, if anything.

use std::fmt;
use std::sync::Arc;

use crate::ground::handshake::Handshake;

/// Tells the address of a client.
pub(crate) type AddressFn = Arc<dyn Fn(&Handshake) -> Option<String> + Send + Sync>;

/// What the user has said about addresses, if anything.
#[derive(Clone, Default)]
pub(crate) struct Addressing(pub(crate) Option<AddressFn>);

impl Addressing {
    pub(crate) fn set(&mut self, tell: AddressFn) {
        self.0 = Some(tell);
    }
}

impl fmt::Debug for Addressing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Addressing").field(&self.0.is_some()).finish()
    }
}
