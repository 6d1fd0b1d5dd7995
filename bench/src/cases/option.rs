//! What a server is asked to be beside itself, by the variable `OPTION`, and which servers can.

use crate::load::dialect::Dialect;
use crate::servers::Contestant;

const VARIABLE: &str = "OPTION";
/// The variable for a server whose sockets can be recovered.
pub(super) const RECOVERY: (&str, &str) = (VARIABLE, "recovery");

/// The variable for a server of clients that speak like this.
pub(super) fn of(dialect: Dialect) -> Option<(&'static str, String)> {
    let option = match dialect {
        Dialect::Default => return None,
        Dialect::V3 => "eio3",
        Dialect::MsgPack => "msgpack",
        Dialect::Deflate => "deflate",
    };
    Some((VARIABLE, option.to_owned()))
}

/// Whether a server can speak like this: the engine for Bun and python-socketio 5 know Engine.IO 4 only,
/// and the engine for Bun and socketioxide do not compress.
pub(super) fn is_known(dialect: Dialect, server: &Contestant) -> bool {
    let lacks: &[&str] = match dialect {
        Dialect::Default | Dialect::MsgPack => &[],
        Dialect::V3 => &["bun", "python"],
        Dialect::Deflate => &["bun", "socketioxide"],
    };
    !lacks.iter().any(|name| server.name.starts_with(name))
}
