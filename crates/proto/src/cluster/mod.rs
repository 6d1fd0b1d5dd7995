//! What nodes of a cluster say to each other, on the wires of the official adapters for Node.
//!
//! ```text
//!   Relay      who is there, who was asked, who has answered     state machine, no clock, no I/O
//!   Packet     what is said: an event for others, a question, an answer
//!   envelope   JSON or msgpack: sharded Redis, Redis Streams, PostgreSQL, NATS
//!   classic    `@socket.io/redis-adapter` and `@socket.io/redis-emitter`
//!   sessions   `@socket.io/cluster-engine`: requests of a session at any node
//! ```
//!
//! Whatever comes from a broker may have been sent by anybody who can reach it. It is read as what a client sends is:
//! it cannot panic, takes time and memory in proportion to its size, and is refused as a whole or taken as a whole.

pub mod classic;
mod data;
pub mod envelope;
mod offset;
mod packet;
mod relay;
pub mod sessions;

pub use data::Data;
pub use offset::{NotAnOffset, Offset};
pub use packet::{Body, Flags, Logged, Malformed, Packet, Selection};
pub use relay::{Ask, Presence, Relay, RelaySettings, Signal, TooManyRequests};
