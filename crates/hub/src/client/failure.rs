//! [`Failure`]: why a command failed, and how it can be made to work.

use std::fmt;

use roomful_client::{
    BuildError, CallError, ConnectError, Disconnection, EmitError, TransportCause, Violation,
};

/// Why a command failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    message: String,
    /// What to do about it.
    fix: Option<&'static str>,
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

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        let message = error.to_string();
        let cause = match error {
            // As the official servers say it.
            ConnectError::Refused(refusal) if refusal.message == "Invalid namespace" => {
                return Self::new(Kind::Refused, message)
                    .fix("Another one is the path of the URL, or --namespace NAME");
            }
            ConnectError::Refused(_) => {
                return Self::new(Kind::Refused, message)
                    .fix("What the namespace wants to know goes into --auth '{\"token\":\"…\"}'");
            }
            ConnectError::NotAnswered => {
                return Self::new(Kind::Timeout, message)
                    .fix("More time: --timeout SECONDS. A server of Socket.IO 2: --revision 3");
            }
            ConnectError::Disconnected(why) => return Self::lost(why),
            ConnectError::Transport(error) => error.cause(),
            _ => return Self::new(Kind::Connection, message),
        };
        let failure = Self::new(Kind::Connection, message);
        match cause {
            TransportCause::Stream(_) => failure
                .fix("Does a server listen there? `roomful dev` starts one at localhost:3000"),
            TransportCause::Proxy(_) => {
                failure.fix("Another proxy: --proxy URL. None: set NO_PROXY to the host")
            }
            TransportCause::Tls(_) => failure
                .fix("A certificate of your own: --ca FILE. For a test, any at all: --insecure"),
            TransportCause::Status { engine: None, .. } | TransportCause::NotSocketIo { .. } => {
                failure.fix("The path of the server, if it is not /socket.io/: --path PATH")
            }
            TransportCause::Timeout => {
                Self { kind: Kind::Timeout, ..failure }.fix("More time: --timeout SECONDS")
            }
            TransportCause::Protocol(Violation::EngineIo3 | Violation::NoSocketId) => Self {
                message: "the server speaks Engine.IO 3, as Socket.IO 2 does".to_owned(),
                ..failure
            }
            .fix("Speak it as well: --revision 3"),
            TransportCause::Protocol(_) => {
                failure.fix("Does the server use another parser? --parser msgpack")
            }
            _ => failure,
        }
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
