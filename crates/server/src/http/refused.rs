//! [`ConnectionError`]: why a request is refused, for the peer and for the user.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use roomful_proto::engine::{Refused, Transport};

use crate::http::answer::Answer;
use crate::http::request::Request;

/// What is shown at most of a text that a peer has sent.
const SHOWN_BYTES_MAX: usize = 64;

/// A request that was refused before a session was opened or found, as
/// [`Server::on_connection_error`](crate::Server::on_connection_error) tells it.
#[doc(alias = "connection_error")]
pub struct ConnectionError<'a> {
    cause: &'a Cause<'a>,
    request: &'a Request<'a>,
}

/// Why a request was refused. Texts that the peer has sent are cut after 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause<'a> {
    /// There is no transport of that name, or the server does not use it.
    UnknownTransport {
        /// The name, empty where there was none.
        transport: &'a str,
    },
    /// There is no session of that id here. Another node may know it, and then it is a secret.
    UnknownSession {
        /// The id.
        session: SecretText<'a>,
    },
    /// A session is opened by a GET.
    HandshakeMethod {
        /// The method.
        method: &'a str,
    },
    /// There are several headers `host`, or one that is no host, or none, which HTTP/1.1 wants.
    InvalidHost,
    /// The origin is not text, or there are several.
    InvalidOrigin {
        /// The first one.
        origin: &'a [u8],
    },
    /// Pages of this origin may not connect: see [`Origins`](crate::Origins).
    OriginRefused {
        /// The origin.
        origin: &'a str,
    },
    /// The request names no origin, and is one of a page of another site, as the browser says in
    /// `Sec-Fetch-Site`: see [`Origins`](crate::Origins).
    SiteRefused {
        /// What it says: `cross-site` or `same-site`.
        site: &'a str,
    },
    /// The request goes to a host that is not one of [`Builder::hosts`](crate::Builder::hosts).
    HostRefused {
        /// The host, with its port; empty where there was none.
        host: &'a str,
    },
    /// The session uses another transport.
    TransportMismatch {
        /// The transport of the request.
        transport: &'static str,
        /// The transport of the session.
        previous: &'static str,
    },
    /// A WebSocket without a right upgrade, or an upgrade to something else.
    TransportHandshake,
    /// The function given to [`Builder::allow_request`](crate::Builder::allow_request) refused it.
    Forbidden {
        /// What that said.
        message: &'a str,
    },
    /// Another revision of the protocol than 4.
    UnsupportedVersion {
        /// The revision, empty where there was none.
        revision: &'a str,
    },
    /// As many connections are open as there may be.
    TooManyConnections,
    /// The function given to [`Builder::allow_request`](crate::Builder::allow_request) did not
    /// decide in time.
    NoDecision,
    /// A function that the server was built with panicked.
    Panicked,
}

/// A text of a peer that may be a secret of somebody: [`Debug`](fmt::Debug) shows only how long it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretText<'a>(&'a str);

impl<'a> SecretText<'a> {
    /// The text itself, which should stand in no log.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for SecretText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…({} bytes)", self.0.len())
    }
}

impl<'a> ConnectionError<'a> {
    pub(crate) const fn new(cause: &'a Cause<'a>, request: &'a Request<'a>) -> Self {
        Self { cause, request }
    }

    /// Why.
    pub const fn cause(&self) -> &Cause<'a> {
        self.cause
    }

    /// The number that the peer is told, 0 to 5.
    pub const fn code(&self) -> u8 {
        self.cause.code()
    }

    /// The text that the peer is told.
    pub const fn message(&self) -> &'a str {
        self.cause.message()
    }

    /// The address of the peer, where the server knows it.
    pub fn address(&self) -> Option<SocketAddr> {
        self.request.address()
    }

    /// A header of the request, by its name in any case, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }
}

impl fmt::Debug for ConnectionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionError")
            .field("cause", &self.cause)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ConnectionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl<'a> Cause<'a> {
    pub(crate) fn unknown_transport(transport: Option<&'a str>) -> Self {
        Self::UnknownTransport { transport: shown(transport.unwrap_or_default()) }
    }

    pub(crate) fn unknown_session(session: &'a str) -> Self {
        Self::UnknownSession { session: SecretText(shown(session)) }
    }

    pub(crate) fn handshake_method(method: &'a str) -> Self {
        Self::HandshakeMethod { method: shown(method) }
    }

    pub(crate) fn invalid_origin(origin: &'a [u8]) -> Self {
        Self::InvalidOrigin { origin: &origin[..origin.len().min(SHOWN_BYTES_MAX)] }
    }

    pub(crate) fn origin_refused(origin: &'a str) -> Self {
        Self::OriginRefused { origin: shown(origin) }
    }

    pub(crate) fn host_refused(host: Option<&'a str>) -> Self {
        Self::HostRefused { host: shown(host.unwrap_or_default()) }
    }

    pub(crate) const fn mismatch(transport: Transport, previous: Transport) -> Self {
        Self::TransportMismatch { transport: transport.as_str(), previous: previous.as_str() }
    }

    pub(crate) fn unsupported_version(revision: Option<&'a str>) -> Self {
        Self::UnsupportedVersion { revision: shown(revision.unwrap_or_default()) }
    }

    const fn refused(&self) -> Refused {
        match self {
            Self::UnknownTransport { .. } => Refused::UnknownTransport,
            Self::UnknownSession { .. } => Refused::UnknownSession,
            Self::HandshakeMethod { .. } => Refused::HandshakeMethod,
            Self::InvalidHost
            | Self::HostRefused { .. }
            | Self::InvalidOrigin { .. }
            | Self::TransportMismatch { .. }
            | Self::TransportHandshake
            | Self::Panicked => Refused::BadRequest,
            Self::OriginRefused { .. }
            | Self::SiteRefused { .. }
            | Self::Forbidden { .. }
            | Self::TooManyConnections
            | Self::NoDecision => Refused::Forbidden,
            Self::UnsupportedVersion { .. } => Refused::Version,
        }
    }

    const fn code(&self) -> u8 {
        self.refused().code()
    }

    const fn message(&self) -> &'a str {
        match self {
            Self::Forbidden { message } => message,
            Self::OriginRefused { .. } | Self::SiteRefused { .. } => "Origin not allowed",
            Self::HostRefused { .. } => "Host not served here",
            Self::TooManyConnections => "Too many connections",
            Self::NoDecision => "No decision in time",
            Self::Panicked => "Internal error",
            _ => self.refused().message(),
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::OriginRefused { .. } | Self::SiteRefused { .. } | Self::Forbidden { .. } => {
                StatusCode::FORBIDDEN
            }
            // What RFC 9110 section 15.5.20 is for. A browser that took a connection to another host for its
            // HTTP/2 request tries again with one of its own.
            Self::HostRefused { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::TooManyConnections | Self::NoDecision => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What the peer is answered; an upgrade is answered in words and with the end of the
    /// connection.
    pub(crate) fn answer(&self, upgrade: bool) -> Answer {
        let (status, message) = (self.status(), self.message());
        if upgrade {
            // Ours are harmless in a page; what a function says may repeat what the peer said.
            let kind = match self {
                Self::Forbidden { .. } => "text/plain; charset=utf-8",
                _ => "text/html",
            };
            return Answer::new(status, kind, Bytes::copy_from_slice(message.as_bytes()))
                .with(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let message = serde_json::Value::from(message);
        let json = format!(r#"{{"code":{},"message":{message}}}"#, self.code());
        Answer::new(status, "application/json", json)
    }
}

/// The beginning of a text, up to [`SHOWN_BYTES_MAX`].
pub(crate) fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_has_sent_is_cut() {
        let long = "é".repeat(100);
        let Cause::UnknownSession { session } = Cause::unknown_session(&long) else { panic!() };
        assert_eq!(session.as_str(), "é".repeat(32));
        let Cause::HandshakeMethod { method } = Cause::handshake_method(&long[..0]) else {
            panic!()
        };
        assert_eq!(method, "");
        let odd = format!("x{long}");
        let Cause::OriginRefused { origin } = Cause::origin_refused(&odd) else { panic!() };
        assert_eq!(origin.len(), 63);
        let Cause::InvalidOrigin { origin } = Cause::invalid_origin(&[0xff; 100]) else { panic!() };
        assert_eq!(origin.len(), 64);
    }

    #[test]
    fn the_id_of_a_session_is_not_shown() {
        let id = "hunter2hunter2hunter";
        let cause = Cause::unknown_session(id);
        for shown in [format!("{cause:?}"), format!("{cause:#?}")] {
            assert!(!shown.contains("hunter") && shown.contains("(20 bytes)"), "{shown}");
        }
    }

    #[test]
    fn a_message_stays_in_its_json() {
        let message = "\"},{\"\r\n\u{2028}";
        let answer = Cause::Forbidden { message }.answer(false);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json, serde_json::json!({ "code": 4, "message": message }));
    }
}
