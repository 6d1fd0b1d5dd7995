//! What every room may use: settings and their limits, counters, errors, and small values without a place of
//! their own. It knows the protocol crate and nothing of this one.

pub(crate) mod addressing;
pub(crate) mod compression;
pub(crate) mod config;
pub(crate) mod connection_flow;
pub(crate) mod dialect;
pub(crate) mod errors;
pub(crate) mod event_flow;
pub(crate) mod farewell;
pub(crate) mod handshake;
pub(crate) mod metrics;
pub mod parser;
pub(crate) mod random;
pub(crate) mod rate;
pub(crate) mod room_names;
pub(crate) mod shared;
pub(crate) mod target;
