//! The handshake: what the query of a request asks for, and the open packet that answers it.

use std::fmt;

use crate::hidden::Hidden;
use crate::id::SessionId;
use crate::limits::Limits;

/// How packets travel. What is not [`Polling`](Self::Polling) is a stream: a session asks no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP long-polling.
    Polling,
    /// WebSocket.
    WebSocket,
}

impl Transport {
    /// The name in queries and upgrades.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }

    /// Whether packets wait for requests that fetch them.
    pub const fn polls(self) -> bool {
        matches!(self, Self::Polling)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which Engine.IO a client speaks, and with it which Socket.IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revision {
    /// Engine.IO 3, below Socket.IO 2 and 1: see [`v3`](super::v3).
    V3,
    /// Engine.IO 4, below Socket.IO 3 and later.
    V4,
}

/// Why a request is refused. [`Refused::code`] and the text of [`fmt::Display`] are what the
/// official server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// No transport of that name.
    UnknownTransport,
    /// No session of that id.
    UnknownSession,
    /// A handshake must be a GET.
    HandshakeMethod,
    /// A request that fits no rule: a WebSocket without an upgrade, another transport than that of
    /// the session, or a malformed origin.
    BadRequest,
    /// Not allowed here.
    Forbidden,
    /// A revision of the protocol that is not served.
    Version,
}

impl Refused {
    /// The number in the answer.
    pub const fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSession => 1,
            Self::HandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::Version => 5,
        }
    }

    /// The text in the answer.
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::HandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::Version => "Unsupported protocol version",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Refused {}

/// The query parameters of Engine.IO, still as text. Where one is repeated, the first counts.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// `EIO`: the revision.
    pub revision: Option<&'a str>,
    /// `transport`.
    pub transport: Option<&'a str>,
    /// `sid`: the session; absent in a handshake.
    pub session: Option<&'a str>,
    /// `b64=1`: the client takes no binary frames.
    pub base64: bool,
    /// `j`: the client polls with a script, and this is the number of its function. See
    /// [`jsonp`](super::jsonp).
    pub jsonp: Option<&'a str>,
}

impl fmt::Debug for Query<'_> {
    /// Of the session, which is a secret, with no more than how long it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("revision", &self.revision)
            .field("transport", &self.transport)
            .field("session", &self.session.as_ref().map(Hidden::new))
            .field("base64", &self.base64)
            .field("jsonp", &self.jsonp)
            .finish()
    }
}

impl<'a> Query<'a> {
    /// Reads a query string. Values that need no percent-decoding are all that Engine.IO uses, so
    /// a value that needs it is simply no known value.
    pub fn parse(query: &'a str) -> Self {
        let mut found = Self::default();
        let mut rest = query;
        // Most clients begin like this.
        if let Some(more) = query.strip_prefix("EIO=4&transport=polling&") {
            (found.revision, found.transport) = (Some("4"), Some("polling"));
            rest = more;
        }
        while !rest.is_empty() {
            let pair;
            (pair, rest) = cut(rest);
            if let Some(value) = value(pair, "transport") {
                found.transport.get_or_insert(value);
            } else if let Some(value) = value(pair, "sid") {
                found.session.get_or_insert(value);
            } else if let Some(value) = value(pair, "EIO") {
                found.revision.get_or_insert(value);
            } else if let Some(value) = value(pair, "b64") {
                found.base64 |= value == "1";
            } else if let Some(value) = value(pair, "j") {
                found.jsonp.get_or_insert(value);
            }
        }
        found
    }

    /// The transport that is asked for.
    pub fn transport(&self) -> Result<Transport, Refused> {
        match self.transport {
            Some("polling") => Ok(Transport::Polling),
            Some("websocket") => Ok(Transport::WebSocket),
            _ => Err(Refused::UnknownTransport),
        }
    }

    /// The revision that is asked for: 4 if it is named so, else 3, whatever is named.
    pub fn revision(&self) -> Revision {
        if self.revision == Some("4") { Revision::V4 } else { Revision::V3 }
    }
}

/// The first pair and what is behind it. For texts as short as these a plain loop is faster than a
/// search.
fn cut(text: &str) -> (&str, &str) {
    let found = text.bytes().position(|byte| byte == b'&').unwrap_or(text.len());
    (&text[..found], text.get(found + 1..).unwrap_or_default())
}

/// The value of a pair, if it has that name; empty where there is no sign of equality.
fn value<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    let rest = pair.strip_prefix(name)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('=') }
}

/// The open packet, without its type digit.
#[derive(Clone, Debug)]
pub struct Handshake<'a> {
    /// The id of the new session.
    pub session: SessionId,
    /// Transports that the session can upgrade to.
    pub upgrades: &'a [Transport],
    /// The limits; three of them are told to the client.
    pub limits: &'a Limits,
}

impl Handshake<'_> {
    /// The JSON, with the five keys of the specification in their order.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(128);
        json.push_str("{\"sid\":\"");
        json.push_str(self.session.as_str());
        json.push_str("\",\"upgrades\":[");
        for (n, upgrade) in self.upgrades.iter().enumerate() {
            json.push_str(if n == 0 { "\"" } else { ",\"" });
            json.push_str(upgrade.as_str());
            json.push('"');
        }
        let mut number = |name: &str, number: u128| {
            json.push_str(name);
            json.push_str(itoa::Buffer::new().format(number));
        };
        number("],\"pingInterval\":", self.limits.ping_interval.as_millis());
        number(",\"pingTimeout\":", self.limits.ping_timeout.as_millis());
        number(",\"maxPayload\":", self.limits.payload_bytes_max as u128);
        json.push('}');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_packet_has_five_keys() {
        let handshake = Handshake {
            session: SessionId::from_random([0; 15]),
            upgrades: &[Transport::WebSocket],
            limits: &Limits::default(),
        };
        assert_eq!(
            handshake.to_json(),
            r#"{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }

    #[test]
    fn odd_queries_are_plain_unknowns() {
        let unknown = ["", "transport", "transport=", "transport=__proto__", "transport[]=polling"];
        for query in unknown {
            assert_eq!(Query::parse(query).transport(), Err(Refused::UnknownTransport), "{query}");
        }
        for query in ["", "EIO=3", "EIO=abc", "EIO=", "EIO=04", "EIO[]=4"] {
            assert_eq!(Query::parse(query).revision(), Revision::V3, "{query}");
        }
        let repeated =
            Query::parse("EIO=4&EIO=3&transport=polling&transport=x&sid=a&sid=b&b64=1&j=0&j=1");
        assert_eq!(
            repeated,
            Query {
                revision: Some("4"),
                transport: Some("polling"),
                session: Some("a"),
                base64: true,
                jsonp: Some("0"),
            }
        );
        assert_eq!(repeated.revision(), Revision::V4);
    }
}
