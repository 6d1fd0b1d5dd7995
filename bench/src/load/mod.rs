//! The load generator: clients that do what they are told and check every answer.

pub mod frames;
pub mod swarm;
pub mod times;
