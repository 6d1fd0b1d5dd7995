//! Redis: the wires of the official adapters.

mod classic;
mod history;
pub(crate) mod link;
mod reader;
mod sharded;
mod shards;
mod streams;

pub use classic::Redis;
pub use sharded::{ShardedRedis, SubscriptionMode};
pub use streams::RedisStreams;
