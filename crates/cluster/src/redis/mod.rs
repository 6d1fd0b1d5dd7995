//! Redis: the wires of the official adapters.

mod classic;
mod history;
mod link;
mod sharded;
mod shards;
mod streams;

pub use classic::Redis;
pub use sharded::{ShardedRedis, SubscriptionMode};
pub use streams::RedisStreams;
