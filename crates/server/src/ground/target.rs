//! [`Target`]: whom an event goes to, and how.

use roomful_proto::SocketId;

/// Whom an event goes to, and how: without rooms to everyone in the namespace, else to all who are in at least one
/// of them, but to nobody who is in one of those that are excepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Target {
    /// The rooms; none is everyone.
    pub rooms: Vec<String>,
    /// The rooms whose members are left out.
    pub except: Vec<String>,
    /// What becomes of an event that cannot leave at once.
    pub reliability: Reliability,
    /// Whether it may be compressed, where that is on.
    pub compress: bool,
    /// Only clients of this node.
    pub local: bool,
    /// This very socket, and then rooms say nothing. (Whoever is in a room of the name of its id is another.)
    pub socket: Option<SocketId>,
}

/// What becomes of an event that cannot leave at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reliability {
    /// It waits.
    Reliable,
    /// It is dropped.
    Volatile,
    /// It waits until the next one of the same key takes its place.
    Latest(u64),
}

impl Target {
    /// Everyone in a namespace.
    pub const fn everyone() -> Self {
        Self {
            rooms: Vec::new(),
            except: Vec::new(),
            reliability: Reliability::Reliable,
            compress: true,
            local: false,
            socket: None,
        }
    }

    /// One socket.
    pub fn socket(id: SocketId) -> Self {
        Self { socket: Some(id), ..Self::everyone() }
    }
}
