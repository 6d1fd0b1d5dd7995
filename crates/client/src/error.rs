//! What can go wrong: when a client is built, when it connects, when it emits, when it waits for an ack.

use std::fmt;

use roomful_proto::socket::manager::NotSent;
use roomful_proto::{ArgError, DisconnectReason, EncodeError, Violation};

#[cfg(feature = "tls")]
use crate::net::TlsError;
use crate::status::Disconnection;

/// Why a client cannot be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// It is no URL such as `https://example.org/namespace`.
    Url,
    /// A URL of another scheme than `http`, `https`, `ws` or `wss`.
    Scheme,
    /// A user and a password in the URL: they belong into `auth`, or into a header.
    Credentials,
    /// A path that does not begin with `/`, or has a character that no URL has.
    Path,
    /// A parameter of the query that is Engine.IO's own: `EIO`, `transport`, `sid`, `t`, `j` or `b64`.
    Query(String),
    /// A header that is none, or that the client sets itself.
    Header(String),
    /// A proxy that is neither `http://host:port` nor `socks5://host:port`.
    Proxy,
    /// No transport is left to try.
    NoTransport,
    /// The auth payload is not an object, or cannot be written as JSON.
    Auth(String),
    /// The system gives no thread, for [`blocking`](crate::blocking).
    #[cfg(feature = "blocking")]
    Thread(String),
    /// A certificate or a key cannot be used.
    #[cfg(feature = "tls")]
    Tls(TlsError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("no URL of a server, such as https://example.org/namespace"),
            Self::Scheme => f.write_str("the scheme of the URL is not http, https, ws or wss"),
            Self::Credentials => {
                f.write_str("the URL has a user and a password: give them by `auth` or in a header")
            }
            Self::Path => f.write_str("the path must begin with / and be percent-encoded"),
            Self::Query(name) => write!(f, "the parameter {name} belongs to Engine.IO"),
            Self::Header(name) => write!(f, "the header {name:?} cannot be set"),
            Self::Proxy => f.write_str("a proxy is http://[user:password@]host:port or socks5://…"),
            Self::NoTransport => f.write_str("no transport is left to try"),
            Self::Auth(why) => write!(f, "the auth payload must be an object: {why}"),
            #[cfg(feature = "blocking")]
            Self::Thread(why) => write!(f, "no thread for the client: {why}"),
            #[cfg(feature = "tls")]
            Self::Tls(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {}

#[cfg(feature = "tls")]
impl From<TlsError> for BuildError {
    fn from(e: TlsError) -> Self {
        Self::Tls(e)
    }
}

/// Why a socket is not connected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no connection.
    Transport(TransportError),
    /// The server has refused the client in the namespace.
    Refused(Refusal),
    /// The namespace did not answer in time.
    NotAnswered,
    /// One of both sides has left the namespace meanwhile: the disconnection says which.
    Disconnected(Disconnection),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(e) => e.fmt(f),
            Self::Refused(refusal) => write!(f, "the server refused: {refusal}"),
            Self::NotAnswered => f.write_str("the namespace did not answer in time"),
            Self::Disconnected(why) => write!(f, "disconnected: {why}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(e) => Some(e),
            _ => None,
        }
    }
}

/// Bytes of a refusal that are read: its data can take some thirty times as much.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// What a server says that refuses a client. One of more than 64 KiB is not read: its message tells how long
/// it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refusal {
    /// The message.
    pub message: String,
    /// What else it says, for programs.
    pub data: Option<serde_json::Value>,
}

impl Refusal {
    /// Reads what the server says: an object with a message, or in Socket.IO 2 the data alone, if there is
    /// any, and otherwise the message.
    pub(crate) fn read(json: Option<&[u8]>) -> Self {
        if let Some(json) = json.filter(|json| json.len() > REFUSAL_BYTES_MAX) {
            let message = format!("a refusal of {} bytes, which is not read", json.len());
            return Self { message, data: None };
        }
        let value = json.and_then(|json| serde_json::from_slice(json).ok());
        match value {
            Some(serde_json::Value::Object(mut object)) => {
                let message = object.remove("message");
                if message.is_none() && !object.contains_key("data") {
                    let data = serde_json::Value::Object(object);
                    return Self { message: String::new(), data: Some(data) };
                }
                let data = object.remove("data");
                let message = message.map(text).unwrap_or_default();
                Self { message, data }
            }
            Some(other) => Self { message: text(other), data: None },
            None => Self::default(),
        }
    }
}

fn text(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            None => f.write_str(&self.message),
            Some(data) if self.message.is_empty() => write!(f, "{data}"),
            Some(data) => write!(f, "{} ({data})", self.message),
        }
    }
}

/// Why there is no connection: what failed on which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportError {
    pub(crate) cause: TransportCause,
}

impl TransportError {
    /// What failed.
    pub const fn cause(&self) -> &TransportCause {
        &self.cause
    }
}

impl From<TransportCause> for TransportError {
    fn from(cause: TransportCause) -> Self {
        Self { cause }
    }
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportCause {
    /// The address cannot be used.
    Address,
    /// No stream to the server could be opened, or it failed: what the system says.
    Stream(String),
    /// The proxy refused, or cannot be reached.
    Proxy(String),
    /// TLS failed, for example because the certificate is not to be trusted.
    Tls(String),
    /// The URL says `https`, and this client was built without TLS.
    NoTls,
    /// The server does not speak HTTP as it should.
    Http(String),
    /// An answer of another status than 200 (101 for a WebSocket).
    Status {
        /// The status.
        status: u16,
        /// What a Socket.IO server says by that: its number, from 0 to 5, and its text.
        engine: Option<(u64, String)>,
        /// The beginning of the body, at most 200 characters.
        excerpt: String,
    },
    /// The server answers with a redirect, which is not followed.
    Redirect {
        /// Where to.
        location: String,
    },
    /// An answer that is not of Socket.IO, such as a page of a captive portal.
    NotSocketIo {
        /// Its type.
        content_type: String,
        /// Its beginning, at most 200 characters.
        excerpt: String,
    },
    /// An answer above `payload_bytes_max`.
    TooLarge,
    /// The WebSocket failed, or the server broke its rules.
    WebSocket(String),
    /// The connection was not open in time.
    Timeout,
    /// The server broke the protocol, or a limit.
    Protocol(Violation),
    /// The connection ended.
    Ended(DisconnectReason),
    /// The client is used where no tokio runtime is, or the one that it was used in first has ended.
    NoRuntime,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            TransportCause::Address => f.write_str("the address cannot be used"),
            TransportCause::Stream(why) => write!(f, "cannot reach the server: {why}"),
            TransportCause::Proxy(why) => write!(f, "cannot get through the proxy: {why}"),
            TransportCause::Tls(why) => write!(f, "TLS with the server failed: {why}"),
            TransportCause::NoTls => {
                f.write_str("this client has no TLS: build roomful-client with the feature `tls`")
            }
            TransportCause::Http(why) => write!(f, "the server does not speak HTTP: {why}"),
            TransportCause::Status { status, engine: Some((code, text)), .. } => {
                write!(f, "the server answered {status}: {text} (code {code})")
            }
            TransportCause::Status { status, excerpt, .. } if excerpt.is_empty() => {
                write!(f, "the server answered {status}; is this the path of a Socket.IO server?")
            }
            TransportCause::Status { status, excerpt, .. } => {
                write!(f, "the server answered {status}: {excerpt}")
            }
            TransportCause::Redirect { location } => {
                write!(f, "the server redirects to {location}: use that address")
            }
            TransportCause::NotSocketIo { content_type, excerpt } => write!(
                f,
                "the answer is not of Socket.IO but {content_type}: {excerpt}; does something stand \
                 between, such as a login page of the network?"
            ),
            TransportCause::TooLarge => f.write_str("an answer above `payload_bytes_max`"),
            TransportCause::WebSocket(why) => write!(f, "the WebSocket failed: {why}"),
            TransportCause::Timeout => f.write_str("the connection was not open in time"),
            TransportCause::Protocol(Violation::EngineIo3 | Violation::NoSocketId) => f.write_str(
                "the server speaks Engine.IO 3, as Socket.IO 2 does: set `Builder::revision`",
            ),
            TransportCause::Protocol(violation) => {
                write!(f, "the server broke the protocol: {violation}")
            }
            TransportCause::Ended(reason) => write!(f, "the connection ended: {reason}"),
            TransportCause::NoRuntime => f.write_str(
                "no tokio runtime is here to connect in, or the client's has ended: use it within one that \
                 lasts, or `blocking`",
            ),
        }
    }
}

impl std::error::Error for TransportError {}

/// Why an event was not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The arguments could not be written.
    Encode(EncodeError),
    /// The name belongs to the protocol, such as `disconnect`.
    ReservedEvent,
    /// More than `waiting_bytes_max` wait to be sent.
    Full,
    /// It was volatile, and could not leave at once.
    Dropped,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(e) => e.fmt(f),
            Self::ReservedEvent => f.write_str("the name of the event is reserved"),
            Self::Full => f.write_str("too much waits to be sent (`waiting_bytes_max`)"),
            Self::Dropped => f.write_str("a volatile event could not leave at once"),
        }
    }
}

impl std::error::Error for EmitError {}

impl From<NotSent> for EmitError {
    fn from(why: NotSent) -> Self {
        match why {
            NotSent::Full | NotSent::TooManyAcks => Self::Full,
            _ => Self::Dropped,
        }
    }
}

/// Why an event has no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The answer did not come in time.
    Timeout,
    /// The socket was disconnected after the event was sent: nobody knows whether it arrived. Or there is
    /// no client any more.
    Disconnected,
    /// The event was dropped to make room for later ones.
    Dropped,
    /// More than `acks_max` events wait for their answer.
    TooMany,
    /// More than `waiting_bytes_max` wait to be sent.
    Full,
    /// The arguments could not be written.
    Encode(EncodeError),
    /// The name belongs to the protocol, such as `disconnect`.
    ReservedEvent,
    /// The answer is not of the type that was asked for.
    Answer(ArgError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the server did not answer in time"),
            Self::Disconnected => f.write_str("the socket was disconnected before the answer came"),
            Self::Dropped => f.write_str("the event was dropped to make room for later ones"),
            Self::TooMany => f.write_str("too many events wait for their answer (`acks_max`)"),
            Self::Full => f.write_str("too much waits to be sent (`waiting_bytes_max`)"),
            Self::Encode(e) => e.fmt(f),
            Self::ReservedEvent => f.write_str("the name of the event is reserved"),
            Self::Answer(e) => write!(f, "the answer does not fit: {e}"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<EmitError> for CallError {
    fn from(e: EmitError) -> Self {
        match e {
            EmitError::Encode(e) => Self::Encode(e),
            EmitError::ReservedEvent => Self::ReservedEvent,
            EmitError::Full => Self::Full,
            EmitError::Dropped => Self::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_has_a_message_or_data_or_both() {
        let read = |text: &str| {
            let refusal = Refusal::read(Some(text.as_bytes()));
            let told = refusal.to_string();
            (refusal.message, refusal.data, told)
        };
        let (message, data, told) = read(r#"{"message":"no","data":{"code":401}}"#);
        assert_eq!((&*message, data), ("no", Some(json!({ "code": 401 }))));
        assert_eq!(told, r#"no ({"code":401})"#);
        // Socket.IO 2.
        let (message, data, told) = read(r#"{"code":401}"#);
        assert_eq!((&*message, data), ("", Some(json!({ "code": 401 }))));
        assert_eq!(told, r#"{"code":401}"#);
        assert_eq!(read(r#""Invalid namespace""#).0, "Invalid namespace");
        assert_eq!(read(r#"{"message":"no"}"#).1, None);
        assert_eq!(Refusal::read(None), Refusal::default());
        let large =
            format!("{{\"message\":\"no\",\"data\":[1{}]}}", ",1".repeat(REFUSAL_BYTES_MAX / 2));
        let (message, data, _) = read(&large);
        assert!(message.contains(&large.len().to_string()) && data.is_none(), "{message}");
    }
}
