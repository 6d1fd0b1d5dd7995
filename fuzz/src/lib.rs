//! What the fuzz targets check: one function for each, which panics at a finding.
//!
//! The targets in `fuzz_targets` give these functions the inputs of libFuzzer; `tests/seeds.rs` gives them
//! the seeds, in an ordinary test.

mod args;
mod cluster;
mod deflate;
mod dialer;
mod frames;
mod manager;
mod msgpack;
mod mux;
mod payload;
mod session;
mod text_packet;

pub use args::args;
pub use cluster::cluster;
pub use deflate::deflate;
pub use dialer::dialer;
pub use frames::frames;
pub use manager::manager;
pub use msgpack::msgpack;
pub use mux::mux;
pub use payload::payload;
pub use session::session;
pub use text_packet::text_packet;
