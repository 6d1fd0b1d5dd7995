//! Buses of sessions: what servers without sticky sessions talk by, [`roomful::Builder::session_bus`].
//!
//! ```text
//!   server ──▶ Outbox ──▶ keeper ──▶ Connection ──▶ engine
//!   server ◀─────────── SessionInlet ◀── Connection ◀── engine
//! ```
//!
//! An engine says how it connects, listens and publishes. One task, the keeper, has the connection, and connects again
//! when it is lost. The server is told of that, since what was said meanwhile is gone.

#[cfg(any(feature = "nats", feature = "redis"))]
mod keeper;
mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(any(feature = "nats", feature = "redis"))]
mod outbox;
#[cfg(feature = "redis")]
mod redis;

pub use memory::MemorySessionBus;
#[cfg(feature = "nats")]
pub use nats::NatsSessionBus;
#[cfg(feature = "redis")]
pub use redis::RedisSessionBus;
