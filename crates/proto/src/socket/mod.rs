//! Socket.IO 5: namespaces, events and acks on one engine session.
//!
//! Specification: <https://socket.io/docs/v4/socket-io-protocol/>. [`text`] is the default encoding
//! and [`msgpack`] another one, as a [`Parser`]. [`Mux`] is the server's end: which namespaces a
//! connection has joined, and what arrives in them. [`Manager`] is the client's: its sockets, and when it
//! connects again.
//!
//! Clients of Socket.IO 2 differ only in how they join: they are in `/` without asking, and say about
//! themselves what stands in a query behind the namespace.
//!
//! Not here: who may join a namespace, rooms, and what happens with an event.

mod backoff;
pub mod manager;
pub mod msgpack;
mod mux;
pub mod packet;
pub mod parser;
pub(crate) mod placeholder;
mod query;
mod reassembly;
pub mod text;

pub use backoff::Reconnection;
pub use manager::{Manager, ManagerSettings};
pub use msgpack::{MsgPack, MsgPackV2};
pub use mux::{Arrived, Mux, Slot};
pub use packet::{Event, Packet, PacketKind};
pub use parser::{Parser, Plain, Whole};
