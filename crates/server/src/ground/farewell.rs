//! [`Farewell`]: how a socket ended, and what more is known of it than the [`Reason`].

use std::fmt;
use std::io;
use std::time::Duration;

use roomful_proto::ws::{CloseCode, WsError};
use roomful_proto::{Reason, Violation};

use crate::ground::rate::rates::Rate;

/// What a client can say in a close frame (RFC 6455 section 5.5): 125 bytes, of which two are the code.
const SAID_BYTES_MAX: usize = 123;

/// How a socket ended, as [`Socket::farewell`](crate::Socket::farewell) tells it.
///
/// ```
/// # use roomful::{Description, Reason, Server, Socket};
/// # let io = Server::new();
/// io.on_disconnect(async |me: Socket, _: Reason| {
///     let description = me.farewell().and_then(|farewell| farewell.description.as_ref());
///     if let Some(Description::Closed { code: Some(4001), .. }) = description {
///         println!("{} has logged out", me.id());
///     }
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Farewell {
    /// Why, in one of the official words: the same that `on_disconnect` is given.
    pub reason: Reason,
    /// What more is known; `None` where the reason says all, as when one side wanted the socket gone.
    pub description: Option<Description>,
}

/// What is known of the end of a socket beside its [`Reason`]. Of what the client has said it holds at
/// most 123 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Description {
    /// The client closed its WebSocket.
    Closed {
        /// The close code, if it gave one.
        code: Option<u16>,
        /// What it said about it, up to 123 bytes; empty if it said nothing.
        said: Box<str>,
    },
    /// The client ended its session in order, by an Engine.IO close packet.
    ClosePacket,
    /// The stream of a WebSocket ended, and nothing was said before.
    StreamEnded,
    /// The stream of a WebSocket failed.
    Io(io::ErrorKind),
    /// The client did not answer a ping, or if it is the one that pings did not ping.
    Silent {
        /// How long that was waited for: [`ping_timeout`](crate::Builder::ping_timeout), or where the
        /// client pings that and [`ping_interval`](crate::Builder::ping_interval).
        waited: Duration,
    },
    /// The WebSocket to which the client was to come over has ended, and it did not poll again: as when a page is
    /// left in that moment.
    PollsNoMore {
        /// How long that was waited for: [`ping_timeout`](crate::Builder::ping_timeout).
        waited: Duration,
    },
    /// The client took nothing of what waited for it, which was more than a quarter of
    /// [`outbox_bytes_max`](crate::Builder::outbox_bytes_max), and so did not answer a ping either.
    Stalled {
        /// How long that was waited for, as for one that is [silent](Self::Silent).
        waited: Duration,
    },
    /// The client broke the protocol, or a limit of it.
    Protocol(Violation),
    /// The client broke the protocol of WebSockets, or a limit of it.
    WebSocket(WsError),
    /// A message on a WebSocket was too large, as it came or inflated. (A polling body that is too large
    /// is refused, and the session goes on.)
    TooLarge {
        /// The limit in bytes: [`payload_bytes_max`](crate::Builder::payload_bytes_max).
        bytes_max: usize,
    },
    /// A poll was given up before it was answered.
    PollGone,
    /// There were two polls at once.
    PollOverlap,
    /// A body was given up before all of it was there.
    BodyGone,
    /// There were two bodies at once.
    BodyOverlap,
    /// A body did not come within [`request_timeout`](crate::Builder::request_timeout).
    BodySlow,
    /// A body was declared to be bytes, or was no form where the client polls with scripts.
    BodyKind,
    /// Too much waited to be sent to the client.
    OutboxFull {
        /// The limit in bytes: [`outbox_bytes_max`](crate::Builder::outbox_bytes_max).
        bytes_max: usize,
    },
    /// Events came faster than this rate, which [disconnects](Rate::disconnects).
    TooFast(Rate),
    /// A handler of the socket panicked.
    Panicked,
    /// The client came back on another connection before this one was seen to be lost.
    Replaced,
    /// The server [drains](crate::Server::drain).
    Draining,
    /// The server [closes](crate::Server::close).
    Closing,
}

impl Farewell {
    pub(crate) const fn new(reason: Reason, description: Option<Description>) -> Self {
        Self { reason, description }
    }
}

impl Description {
    /// From what a close frame says, which was checked to be UTF-8.
    pub(crate) fn closed(code: Option<CloseCode>, said: &[u8]) -> Self {
        let said = std::str::from_utf8(said).unwrap_or_default();
        let said = said[..said.floor_char_boundary(SAID_BYTES_MAX)].into();
        Self::Closed { code: code.map(CloseCode::get), said }
    }

    pub(crate) const fn broken(error: WsError, bytes_max: usize) -> Self {
        match error {
            WsError::TooBig | WsError::InflatedTooBig => Self::TooLarge { bytes_max },
            error => Self::WebSocket(error),
        }
    }

    /// Whether a stream that ended so ended in order.
    pub(crate) const fn is_in_order(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::StreamEnded)
    }

    /// What the client is told where it is more than the reason; up to 123 bytes.
    pub(crate) const fn told(&self) -> Option<&'static str> {
        match self {
            Self::Protocol(violation) => Some(violation.as_str()),
            Self::BodyOverlap | Self::PollOverlap | Self::BodyKind => Some(self.as_str()),
            Self::TooFast(_) => Some("too many events"),
            Self::Replaced => Some("back on another connection"),
            _ => None,
        }
    }

    /// A short text for logs, without what the client has said.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed by the client",
            Self::ClosePacket => "ended by the client",
            Self::StreamEnded => "stream ended",
            Self::Io(_) => "stream failed",
            Self::Silent { .. } => "no sign of life in time",
            Self::PollsNoMore { .. } => "no poll after the WebSocket ended",
            Self::Stalled { .. } => "nothing taken in time",
            Self::Protocol(violation) => violation.as_str(),
            Self::WebSocket(error) => error.as_str(),
            Self::TooLarge { .. } => "message too big",
            Self::PollGone => "poll given up",
            Self::PollOverlap => "two polls at once",
            Self::BodyGone => "body given up",
            Self::BodyOverlap => "two bodies at once",
            Self::BodySlow => "body too slow",
            Self::BodyKind => "body of the wrong kind",
            Self::OutboxFull { .. } => "outbox full",
            Self::TooFast(_) => "events too fast",
            Self::Panicked => "a handler panicked",
            Self::Replaced => "replaced by another connection",
            Self::Draining => "server drains",
            Self::Closing => "server closes",
        }
    }
}

/// With what is known in numbers and the client's own words, those escaped.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::Closed { code, said } => {
                code.map_or(Ok(()), |code| write!(f, ", {code}"))?;
                if said.is_empty() { Ok(()) } else { write!(f, ", {said:?}") }
            }
            Self::Io(kind) => write!(f, ": {kind}"),
            Self::Silent { waited } | Self::PollsNoMore { waited } | Self::Stalled { waited } => {
                write!(f, ": {waited:?}")
            }
            Self::TooLarge { bytes_max } | Self::OutboxFull { bytes_max } => {
                write!(f, ": {bytes_max} bytes at most")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        self.description.as_ref().map_or(Ok(()), |description| write!(f, " ({description})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_bounded() {
        for (len, kept) in [(123, 123), (124, 123), (1_000, 123)] {
            let Description::Closed { code, said } =
                Description::closed(CloseCode::new(4_001), "x".repeat(len).as_bytes())
            else {
                panic!("it was closed")
            };
            assert_eq!((code, said.len()), (Some(4_001), kept));
        }
        let Description::Closed { said, .. } =
            Description::closed(None, "é".repeat(100).as_bytes())
        else {
            panic!("it was closed")
        };
        assert_eq!(&*said, "é".repeat(61), "no half of a character");
    }

    /// It is made for each socket that ends, and waits in each order to end one.
    #[test]
    fn a_description_is_small() {
        assert!(size_of::<Description>() <= 32, "{}", size_of::<Description>());
    }

    #[test]
    fn a_farewell_says_in_one_line_what_it_knows() {
        let said = "a\n\"b\"";
        let closed = Description::closed(CloseCode::new(1_001), said.as_bytes());
        for (description, text) in [
            (None, "transport close"),
            (Some(closed), r#"transport close (closed by the client, 1001, "a\n\"b\"")"#),
            (Some(Description::StreamEnded), "transport close (stream ended)"),
            (
                Some(Description::Io(io::ErrorKind::ConnectionReset)),
                "transport close (stream failed: connection reset)",
            ),
            (
                Some(Description::Silent { waited: Duration::from_millis(1_500) }),
                "transport close (no sign of life in time: 1.5s)",
            ),
            (
                Some(Description::OutboxFull { bytes_max: 10 }),
                "transport close (outbox full: 10 bytes at most)",
            ),
        ] {
            assert_eq!(Farewell::new(Reason::TransportClose, description).to_string(), text);
        }
    }

    #[test]
    fn a_message_that_is_too_large_is_told_with_its_limit() {
        for error in [WsError::TooBig, WsError::InflatedTooBig] {
            assert_eq!(Description::broken(error, 9), Description::TooLarge { bytes_max: 9 });
        }
        let other = Description::broken(WsError::Mask, 9);
        assert_eq!(other, Description::WebSocket(WsError::Mask));
    }
}
