//! What users hold: handles with the types of their state and of their sockets' data, over the cores that
//! have none. It knows no stream, no HTTP and no connection.

pub(crate) mod broadcast;
pub(crate) mod check_handler;
mod expiry;
pub(crate) mod handler;
pub(crate) mod hello;
pub(crate) mod namespace;
mod namespace_limits;
mod namespace_rooms;
mod registration;
pub(crate) mod remote;
pub(crate) mod socket;
