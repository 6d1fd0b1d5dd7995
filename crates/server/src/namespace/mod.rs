//! Who is where, and what runs for them: namespaces, sockets and rooms without types. It knows no connection
//! and no HTTP.

pub mod adapter;
pub(crate) mod admission;
pub(crate) mod asks;
pub(crate) mod decisions;
pub(crate) mod delivery;
pub(crate) mod erased;
pub(crate) mod expiry;
pub(crate) mod family;
pub(crate) mod listeners;
pub(crate) mod namespace_core;
pub(crate) mod namespace_limits;
pub(crate) mod poll;
pub(crate) mod recovery;
pub(crate) mod room_news;
pub(crate) mod rooms;
pub(crate) mod socket_core;
pub(crate) mod table;
