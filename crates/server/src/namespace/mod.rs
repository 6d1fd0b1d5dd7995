//! Who is where, and what runs for them: namespaces, sockets and rooms without types. It knows no connection
//! and no HTTP.
//!
//! Recovery is a part of this room, and not a room of its own: which sockets are in which rooms and what they may miss
//! change under one lock, that of the [`Journal`](recovery::Journal). A log that several machines share may change
//! that.
//!
//! Nodes meet in one waist: `adapter` says how messages travel between them, and `delivery` does what they say.

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
pub(crate) mod recovery;
pub(crate) mod room_news;
pub(crate) mod rooms;
pub(crate) mod shared_ask;
pub(crate) mod socket_core;
pub(crate) mod table;
