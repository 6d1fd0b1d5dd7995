//! Everything of one process: its namespaces, its connections, its timer, and how it ends.

pub(crate) mod closing;
pub(crate) mod core;
pub(crate) mod pace;
pub(crate) mod sessions;
pub(crate) mod wheel;
