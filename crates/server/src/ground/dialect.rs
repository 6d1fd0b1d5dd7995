//! [`Dialect`]: how a client speaks, as its handshake has said, for the whole of its session.

use roomful_proto::engine::{Query, Revision};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) revision: Revision,
    /// While it polls, it takes no bytes. (Engine.IO 4 has only texts there.)
    pub(crate) base64: bool,
    /// It polls with scripts.
    pub(crate) jsonp: bool,
}

impl Dialect {
    pub(crate) fn new(query: &Query<'_>) -> Self {
        let jsonp = query.jsonp.is_some();
        Self { revision: query.revision(), base64: query.base64 || jsonp, jsonp }
    }

    /// Whether the client speaks Engine.IO 3, and with it Socket.IO 2.
    pub(crate) fn is_v3(self) -> bool {
        self.revision == Revision::V3
    }
}
