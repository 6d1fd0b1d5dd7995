//! Engine.IO 4: one session over polling, WebSocket, or first the one and then the other.
//!
//! Specification: <https://socket.io/docs/v4/engine-io-protocol/>. [`packet`] and [`payload`] are the
//! encodings, [`Session`] is the server's end of a connection.
//!
//! Not here: Engine.IO 3, and the HTTP requests themselves.

pub mod handshake;
pub mod packet;
pub mod payload;
mod session;

pub use handshake::{Handshake, Query, Refused, Transport};
pub use packet::{Data, Packet};
pub use session::{Input, Output, Session};
