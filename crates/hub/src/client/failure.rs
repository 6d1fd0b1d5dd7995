//! [`Failure`]: why a command failed, and how it can be made to work.

use std::fmt;

use roomful_client::{
    BuildError, CallError, ConnectError, Disconnection, EmitError, TransportCause, Violation,
};

use super::situation::Situation;

/// Why a command failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) fix: Option<&'static str>,
    /// It is on the screen already.
    is_told: bool,
}

/// Failures as scripts tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Usage,
    Connection,
    Refused,
    Timeout,
    ServerError,
    Interrupted,
}

impl Kind {
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 1,
            Self::Connection => 2,
            Self::Refused => 3,
            Self::Timeout => 4,
            Self::ServerError => 5,
            Self::Interrupted => 130,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Connection => "connection",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::ServerError => "server_error",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), fix: None, is_told: false }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    const fn fix(mut self, fix: &'static str) -> Self {
        self.fix = Some(fix);
        self
    }

    /// The same, which needs not be told again.
    pub(crate) fn told(self) -> Self {
        Self { is_told: true, ..self }
    }

    /// The connection ended before the command did.
    pub(crate) fn lost(why: &Disconnection) -> Self {
        Self::new(Kind::Connection, format!("disconnected: {why}"))
    }

    /// The failure for programs; its text is for the reader.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": self.kind.name(), "message": self.to_string() } })
    }

    /// Whether there is anything to say: the answer of the server is printed already, and who has
    /// interrupted knows.
    pub(crate) const fn is_silent(&self) -> bool {
        self.is_told || matches!(self.kind, Kind::ServerError | Kind::Interrupted)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.fix.map_or(Ok(()), |fix| write!(f, "\n  {fix}"))
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let failure = Self::usage(error.to_string());
        match error {
            BuildError::Credentials => {
                failure.fix("Leave them out of the URL: --header 'authorization: Basic …'")
            }
            BuildError::Path => failure.fix("For example: --path /socket.io/"),
            _ => failure,
        }
    }
}

impl Failure {
    /// Why there is no connection, and what may help in that situation.
    pub(crate) fn of(error: &ConnectError, situation: &Situation) -> Self {
        let message = error.to_string();
        match error {
            // As the official servers say it.
            ConnectError::Refused(refusal) if refusal.message == "Invalid namespace" => {
                Self::new(Kind::Refused, message)
                    .fix("Another one is the path of the URL, or --namespace NAME")
            }
            ConnectError::Refused(_) => Self::new(Kind::Refused, message)
                .fix("What the namespace wants to know goes into --auth '{\"token\":\"…\"}'"),
            ConnectError::NotAnswered => Self::new(Kind::Timeout, message)
                .fix("More time: --timeout SECONDS. A server of Socket.IO 2: --revision 3"),
            ConnectError::Disconnected(why) => Self::lost(why),
            ConnectError::Transport(error) => Self::of_transport(error.cause(), message, situation),
            _ => Self::new(Kind::Connection, message),
        }
    }

    fn of_transport(cause: &TransportCause, message: String, situation: &Situation) -> Self {
        let failure = Self::new(Kind::Connection, message);
        let fix = match cause {
            TransportCause::Timeout => {
                return Self { kind: Kind::Timeout, ..failure }.fix("More time: --timeout SECONDS");
            }
            TransportCause::Protocol(Violation::EngineIo3 | Violation::NoSocketId) => {
                let message = "the server speaks Engine.IO 3, as Socket.IO 2 does".to_owned();
                return Self { message, ..failure }.fix("Speak it as well: --revision 3");
            }
            TransportCause::Stream(why) | TransportCause::Tls(why) | TransportCause::Http(why) => {
                of_stream(cause, why, situation)
            }
            TransportCause::Proxy(why) if is_about_login(why) => {
                "Its user and password: --proxy SCHEME://user:password@host:port"
            }
            TransportCause::Proxy(_) => {
                "Another proxy: --proxy URL. None: leave --proxy out, and set NO_PROXY to the host"
            }
            TransportCause::Status { engine: Some((UNSUPPORTED_REVISION, _)), .. } => {
                situation.other_revision
            }
            // On a WebSocket the server says it without the number.
            TransportCause::Status { excerpt, .. } if excerpt.contains("protocol version") => {
                situation.other_revision
            }
            TransportCause::Status { engine: Some((UNKNOWN_TRANSPORT, _)), .. } => {
                "Another transport: --transport polling or --transport websocket"
            }
            TransportCause::Status { engine: None, .. } | TransportCause::NotSocketIo { .. } => {
                "The path of the server, if it is not /socket.io/: --path PATH"
            }
            // Who does not understand the first packet hangs up.
            TransportCause::Protocol(_) | TransportCause::Ended(_) => situation.other_parser,
            _ => return failure,
        };
        failure.fix(fix)
    }
}

/// Numbers by which a Socket.IO server says why it refuses a request.
const UNKNOWN_TRANSPORT: u64 = 0;
const UNSUPPORTED_REVISION: u64 = 5;

fn is_about_login(why: &str) -> bool {
    ["authorization", "password", "credentials"].iter().any(|word| why.contains(word))
}

/// What may help where a stream, TLS on it, or HTTP in that has failed. A server of TLS 1.3 says what it has
/// against the client's certificate when the client believes to be connected: as an alert, or by a reset.
fn of_stream(cause: &TransportCause, why: &str, situation: &Situation) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
    let is_peers_word = has(&["received fatal alert"]);
    let is_cut = has(&["reset", "Broken pipe", "closed before", "eof"]);
    match cause {
        TransportCause::Tls(_) if has(&["corrupt message"]) => {
            "Does the server speak TLS at this port? Without it the address begins with http://"
        }
        TransportCause::Tls(_) if has(&["not valid for name"]) => {
            "The address must have the name in the certificate. For a test, any at all: --insecure"
        }
        _ if situation.is_secure && (is_peers_word || is_cut) => match situation.has_certificate {
            false => "Does the server want a certificate of the client? --cert FILE --key FILE",
            true => "Does the server trust the authority that has signed the one in --cert?",
        },
        TransportCause::Tls(_) => {
            "A certificate of your own: --ca FILE. For a test, any at all: --insecure"
        }
        _ if !situation.is_secure && (is_cut || matches!(cause, TransportCause::Http(_))) => {
            "Does the server speak TLS at this port? With it the address begins with https://"
        }
        _ => "Does a server listen there? `roomful dev` starts one at localhost:3000",
    }
}

impl From<EmitError> for Failure {
    fn from(error: EmitError) -> Self {
        let failure = Self::usage(error.to_string());
        match error {
            EmitError::Full => Self {
                message: "the event is larger than what may wait, 16 MiB".to_owned(),
                ..failure
            }
            .fix("Send it in parts; most servers take 1 MB at once"),
            EmitError::ReservedEvent => failure.fix("Choose another name of the event"),
            _ => failure,
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::Timeout => Self::new(Kind::Timeout, message)
                .fix("Does the server know the event and answer it? More time: --timeout SECONDS"),
            CallError::Disconnected => Self::new(Kind::Connection, message),
            CallError::Full => EmitError::Full.into(),
            CallError::ReservedEvent => EmitError::ReservedEvent.into(),
            _ => Self::usage(message),
        }
    }
}
