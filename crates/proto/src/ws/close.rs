//! [`CloseCode`]: the numbers of RFC 6455 section 7.4.

use std::fmt;

/// Why a WebSocket is closed, as told to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: all is done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: this end is going away.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1007: a text message was not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: the peer broke a rule of this server.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message was too large.
    pub const TOO_BIG: Self = Self(1009);

    /// The code for a number that may stand in a close frame: 1000 to 1003, 1007 to 1014, and 3000
    /// to 4999 (section 7.4.2); `None` for all others.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
