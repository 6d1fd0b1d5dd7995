//! Redis: the wires of the official adapters.

pub(crate) mod address;
mod classic;
pub(crate) mod link;
mod pushes;
mod resp;
#[cfg(feature = "redis-sentinel")]
mod sentinels;
mod sharded;
mod shards;
mod stream;
mod streams;

pub use classic::Redis;
pub use sharded::{ShardedRedis, SubscriptionMode};
pub use streams::RedisStreams;
