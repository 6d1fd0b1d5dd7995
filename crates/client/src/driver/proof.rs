//! [`Proof`]: a ping on a WebSocket, whose pong proves that the server has read all before it.

use crate::shared::Asker;

/// The ping that is under way, and who waits for its pong.
#[derive(Default)]
pub(super) struct Proof {
    /// What the last ping says: a pong that says something else is not its answer.
    number: u64,
    askers: Vec<Asker>,
}

impl Proof {
    /// The first ping has the number behind that one.
    pub(super) const fn new(number: u64) -> Self {
        Self { number, askers: Vec::new() }
    }

    /// Whether none is under way.
    pub(super) const fn is_done(&self) -> bool {
        self.askers.is_empty()
    }

    /// What the ping says by which these learn it.
    pub(super) fn begin(&mut self, askers: Vec<Asker>) -> [u8; 8] {
        self.number = self.number.wrapping_add(1);
        self.askers = askers;
        self.number.to_be_bytes()
    }

    /// A pong has come.
    pub(super) fn pong(&mut self, said: &[u8]) {
        if said == self.number.to_be_bytes() {
            tell(std::mem::take(&mut self.askers));
        }
    }
}

/// Tells all that the server has read what they have emitted.
pub(super) fn tell(askers: Vec<Asker>) {
    // Whoever waited may be gone.
    for asker in askers {
        let _ = asker.send(());
    }
}
