//! All attacks, in the order of the table: from the first packet of a connection to what only clients can do
//! that were let in.

mod connects;
mod contact;
mod deflate;
mod events;
mod json;
mod messages;
mod msgpack;
mod polling;
mod rooms;

use super::attack::Attack;
use super::attacker::Attacker;
use crate::Result;

type Run = fn(&mut Attacker) -> Result<()>;

/// The attacks.
pub(super) fn all() -> Vec<Attack> {
    [
        contact::all(),
        polling::all(),
        messages::all(),
        deflate::all(),
        connects::all(),
        json::all(),
        msgpack::all(),
        events::all(),
        rooms::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Those of which it is measured what stays, and what each of them is.
pub(super) fn aftermaths() -> [(&'static str, Run); 3] {
    [
        ("640 auth payloads of 10 kB, 102 of them read into values at once", connects::values),
        ("45 MB of messages that never end, on 50 connections", messages::endless),
        ("40 outboxes of 7 MB that nobody reads", events::pile),
    ]
}
