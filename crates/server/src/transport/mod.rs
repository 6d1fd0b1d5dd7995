//! What carries bytes to and from one client, and what waits to be carried. It knows no session, no socket and
//! no handler.

pub(crate) mod cork;
pub(crate) mod framed;
pub(crate) mod link;
pub(crate) mod outbox;
pub(crate) mod polling;
pub(crate) mod scratch;
pub(crate) mod stream;
pub(crate) mod websocket;
pub(crate) mod wire;
