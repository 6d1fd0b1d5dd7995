//! [`Target`]: whom an event goes to, and how.

/// Whom an event goes to, and how: without rooms to everyone in the namespace, else to all who are in at least one
/// of them, but to nobody who is in one of those that are excepted.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) rooms: Vec<String>,
    pub(crate) except: Vec<String>,
    pub(crate) reliability: Reliability,
    /// Whether it may be compressed, where that is on.
    pub(crate) compress: bool,
}

/// What becomes of an event that cannot leave at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reliability {
    /// It waits.
    Reliable,
    /// It is dropped.
    Volatile,
    /// It waits until the next one of the same key takes its place.
    Latest(u64),
}

impl Target {
    /// Everyone in a namespace.
    pub(crate) const fn everyone() -> Self {
        Self {
            rooms: Vec::new(),
            except: Vec::new(),
            reliability: Reliability::Reliable,
            compress: true,
        }
    }
}
