//! Redis: the wires of the official adapters.

mod classic;
pub(crate) mod link;
mod sharded;
mod shards;
mod stream;
mod streams;

pub use classic::Redis;
pub use sharded::{ShardedRedis, SubscriptionMode};
pub use streams::RedisStreams;
