//! [`Dialect`]: how the clients of a swarm speak.

use std::net::SocketAddr;

use super::frames::Kind;

/// What clients say differently from those that speak Engine.IO 4 and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Default,
    /// Engine.IO 3: who has opened a session has joined `/`.
    V3,
    /// The packets of `socket.io-msgpack-parser`.
    MsgPack,
    /// Takes compressed messages, each by itself: one thread plays all clients, and has no window
    /// for each.
    Deflate,
}

/// `{ type: 0, nsp: "/" }`
const JOIN_MSGPACK: &[u8] = b"\x82\xa4type\x00\xa3nsp\xa1/";

impl Dialect {
    /// The request that opens a WebSocket.
    pub(crate) fn request(self, address: SocketAddr) -> String {
        let revision = if self == Self::V3 { 3 } else { 4 };
        let extensions = match self {
            Self::Deflate => {
                "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                 client_no_context_takeover\r\n"
            }
            _ => "",
        };
        format!(
            "GET /socket.io/?EIO={revision}&transport=websocket HTTP/1.1\r\nHost: {address}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
        )
    }

    /// What a client sends to join a namespace, if it has to.
    pub(crate) fn join(self, namespace: &str) -> Option<(Kind, Vec<u8>)> {
        match (self, namespace) {
            (Self::V3, _) => None,
            (Self::MsgPack, _) => Some((Kind::Binary, JOIN_MSGPACK.to_vec())),
            (Self::Default | Self::Deflate, "/") => Some((Kind::Text, b"40".to_vec())),
            (Self::Default | Self::Deflate, name) => {
                Some((Kind::Text, format!("40{name},").into_bytes()))
            }
        }
    }

    /// Whether a message tells a client that it has joined.
    pub(crate) fn has_joined(self, kind: Kind, message: &[u8]) -> bool {
        match self {
            // The type is the first entry, or one of the others.
            Self::MsgPack => {
                kind == Kind::Binary && message.windows(6).any(|six| six == b"\xa4type\x00")
            }
            Self::Default | Self::V3 | Self::Deflate => message.starts_with(b"40"),
        }
    }
}
