//! The load generator: clients that do what they are told and check every answer.

pub(crate) mod dialect;
pub(crate) mod frames;
pub(crate) mod http;
pub(crate) mod inflate;
pub(crate) mod known;
pub(crate) mod msgpack;
pub(crate) mod pace;
pub(crate) mod polling;
pub(crate) mod swarm;
pub(crate) mod times;
