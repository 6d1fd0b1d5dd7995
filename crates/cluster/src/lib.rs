//! Joins Roomful servers into one, by an engine that there already is.
//!
//! ```no_run
//! # #[cfg(feature = "redis")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use roomful::Server;
//! use roomful_cluster::Redis;
//!
//! let io = Server::builder().adapter(Redis::connect("redis://127.0.0.1:6379").await?).build();
//! io.to("news").emit("headline", "this reaches the clients of all servers");
//! # Ok(()) }
//! ```
//!
//! The wires are those of the official adapters for Node, so servers in JavaScript take part as they are, and so do
//! emitters.
//!
//! | engine | feature | wire of |
//! |---|---|---|
//! | [`Redis`] | `redis` | `@socket.io/redis-adapter` 8, `@socket.io/redis-emitter` 5 |
//! | [`ShardedRedis`] | `redis`; `redis-cluster` for a Redis Cluster | `createShardedAdapter` of `@socket.io/redis-adapter` 8, Redis 7 |
//! | [`RedisStreams`] | `redis` | `@socket.io/redis-streams-adapter` 0.3, with its sessions |
//! | [`Postgres`] | `postgres` | `@socket.io/postgres-adapter` 0.5, and its emitter; a log of ours besides |
//! | [`Nats`] | `nats` | ours: see [`Nats`]; a log in JetStream besides |
//! | [`MemoryBus`] | none | none: servers of one process, and tests |
//!
//! # How it works
//!
//! ```text
//!   namespace ──▶ Part ──▶ Outbox ──▶ Keeper ──▶ Connection ──▶ engine
//!   namespace ◀── Part ◀────────── Inlet ◀────── Connection ◀── engine
//! ```
//!
//! A [`Cluster`] is the adapter of a server. Each namespace has a `Part`, which knows the other nodes and who has
//! been asked ([`Relay`](roomful_proto::cluster::Relay)). What it says waits in the outbox, which is bounded. One
//! task, the keeper, has the connection: it publishes, connects again when the connection is lost, and subscribes
//! before it publishes.
//! Whoever brings another engine writes a [`Bus`], checks it with `conformance::check` (feature `conformance`), and
//! has the rest.
//!
//! # No sticky sessions
//!
//! [`RedisSessionBus`], [`NatsSessionBus`] and [`MemorySessionBus`] let a load balancer send each request of a session to
//! any server: see [`Builder::session_bus`](roomful::Builder::session_bus).
//!
//! # What it promises
//!
//! - Clients of this server are reached at once, whether the engine is there or not.
//! - What one task sends reaches each node once or not at all, in order. What is lost is counted, by its reason
//!   ([`ClusterStats`]): the outbox was full, or the engine went away while it was published.
//! - Nothing waits for ever: a request has the time that its caller gives, and whoever has not answered then is told
//!   as `nodes_missing`.

mod bus;
mod cluster;
#[cfg(feature = "conformance")]
pub mod conformance;
mod emitter;
mod keeper;
#[cfg(any(feature = "nats", feature = "postgres", feature = "redis"))]
mod log;
mod logged;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod outbox;
mod part;
mod pending;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "nats", feature = "redis-tls"))]
mod provider;
#[cfg(feature = "redis")]
mod redis;
mod sessions;
mod shared;
mod stats;
#[cfg(any(feature = "nats", feature = "postgres", feature = "redis"))]
mod subscriptions;
mod translate;

pub use bus::{Bus, BusError, BusFuture, Connection, Inlet, KeptSession};
pub use cluster::{Cluster, ClusterSettings};
pub use emitter::Emitter;
pub use memory::MemoryBus;
#[cfg(feature = "nats")]
pub use nats::Nats;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisStreams, ShardedRedis, SubscriptionMode};
pub use sessions::MemorySessionBus;
#[cfg(feature = "nats")]
pub use sessions::NatsSessionBus;
#[cfg(feature = "redis")]
pub use sessions::RedisSessionBus;
pub use stats::{ClusterState, ClusterStats};

/// The code in the page about clusters compiles.
#[cfg(all(doctest, feature = "redis"))]
#[doc = include_str!("../../../docs/cluster.md")]
struct Page;
