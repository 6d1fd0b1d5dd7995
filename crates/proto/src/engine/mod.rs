//! Engine.IO 4: one session over polling, WebSocket, or first the one and then the other.
//!
//! Specification: <https://socket.io/docs/v4/engine-io-protocol/>. [`packet`] and [`payload`] are the
//! encodings, [`Session`] is the server's end of a connection, [`Dialer`] the client's, and
//! [`Outgoing`] holds what a client has yet to send. Where Engine.IO 3 differs is in [`v3`]; a session
//! speaks one of them from its handshake on.
//!
//! Not here: the HTTP requests themselves.

pub mod dialer;
pub mod handshake;
pub mod jsonp;
mod outgoing;
pub mod packet;
pub mod payload;
mod session;
pub mod v3;
mod welcome;

pub use dialer::{Dial, Dialer};
pub use handshake::{Handshake, Query, Refused, Revision, Transport};
pub use outgoing::{Outgoing, Owner, Unsent};
pub use packet::{Data, Packet};
pub use session::{Input, Output, Session};
pub use welcome::Welcome;
