//! [`Situation`]: what was asked for, as far as the way out of a failure depends on it.

use super::options::{ConnectionOptions, ParserChoice, RevisionChoice};

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// The connection is by TLS.
    pub(crate) is_secure: bool,
    /// The client has shown a certificate.
    pub(crate) has_certificate: bool,
    /// The other parser.
    pub(crate) other_parser: &'static str,
    /// The other revision.
    pub(crate) other_revision: &'static str,
}

impl Situation {
    pub(crate) fn of(options: &ConnectionOptions) -> Self {
        let scheme = options.url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        Self {
            is_secure: matches!(scheme.as_deref(), Some("https" | "wss")),
            has_certificate: options.cert.is_some(),
            other_parser: match options.parser {
                ParserChoice::Default => "Does the server use another parser? --parser msgpack",
                ParserChoice::Msgpack => "Does the server use another parser? --parser default",
            },
            other_revision: match options.revision {
                RevisionChoice::V3 => "Speak the later one: --revision 4",
                RevisionChoice::V4 => "Speak that of Socket.IO 2: --revision 3",
            },
        }
    }
}
