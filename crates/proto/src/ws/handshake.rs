//! The HTTP half of opening a WebSocket, RFC 6455 section 4. Headers are given as texts, so that
//! any HTTP library fits.
//!
//! A server [`accept`]s a [`Request`]; a client makes a [`Key`] for its own, and [verifies](Key::verify) the
//! [`Response`] with it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1_smol::Sha1;

/// What section 1.3 appends to a key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Of the last character of a key only some bits count, and some clients write any.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Why a request does not open a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The method is not GET.
    Method,
    /// `Upgrade: websocket` or `Connection: upgrade` is missing.
    NotAnUpgrade,
    /// `Sec-WebSocket-Version` is not 13; answer 426 and name the version.
    Version,
    /// `Sec-WebSocket-Key` is missing or not 16 bytes in base64.
    Key,
}

/// The headers of the request, those that matter; `None` where one is missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// `Connection`.
    pub connection: Option<&'a str>,
    /// `Upgrade`.
    pub upgrade: Option<&'a str>,
    /// `Sec-WebSocket-Version`.
    pub version: Option<&'a str>,
    /// `Sec-WebSocket-Key`.
    pub key: Option<&'a str>,
}

/// Checks the request and gives the value for `Sec-WebSocket-Accept` in the 101 answer.
pub fn accept(request: &Request<'_>) -> Result<String, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::Method);
    }
    if !names(request.upgrade, "websocket") || !names(request.connection, "upgrade") {
        return Err(Refusal::NotAnUpgrade);
    }
    if request.version != Some("13") {
        return Err(Refusal::Version);
    }
    let key = request.key.unwrap_or_default();
    // Room for as many characters as 16 bytes have, with what is padded.
    match KEY.decode_slice(key, &mut [0; 18]) {
        Ok(16) => Ok(accept_key(key)),
        _ => Err(Refusal::Key),
    }
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.digest().bytes())
}

/// A client's key for one request, the value of `Sec-WebSocket-Key`. The rest of the request says `GET`,
/// `Connection: Upgrade`, `Upgrade: websocket` and `Sec-WebSocket-Version: 13`.
///
/// It is no secret: it shows that a WebSocket server has read this very request.
///
/// ```
/// use roomful_proto::ws::handshake::{Key, Response};
///
/// let key = Key::new(*b"the sample nonce");
/// assert_eq!(key.as_str(), "dGhlIHNhbXBsZSBub25jZQ==");
/// let response = Response {
///     upgrade: Some("websocket"),
///     connection: Some("Upgrade"),
///     accept: Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
///     protocol: None,
/// };
/// assert_eq!(key.verify(&response), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct Key(String);

impl Key {
    /// The key of these bytes, which have to be random, and others for each request.
    pub fn new(random: [u8; 16]) -> Self {
        Self(STANDARD.encode(random))
    }

    /// The value of the header: 24 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Verifies that a 101 answer opens the WebSocket that was asked for with this key, as section 4.1 has
    /// it. What else than 101 means is HTTP's to say; what the server says in `Sec-WebSocket-Extensions`
    /// is looked at by [`deflate::accepted`](crate::deflate::accepted).
    pub fn verify(&self, response: &Response<'_>) -> Result<(), Mismatch> {
        // Here the whole value counts, not one of a list.
        let is_websocket = |value: &str| value.trim().eq_ignore_ascii_case("websocket");
        if !response.upgrade.is_some_and(is_websocket) {
            return Err(Mismatch::Upgrade);
        }
        if !names(response.connection, "upgrade") {
            return Err(Mismatch::Connection);
        }
        if response.accept.map(str::trim) != Some(&accept_key(&self.0)) {
            return Err(Mismatch::Accept);
        }
        match response.protocol {
            None => Ok(()),
            Some(_) => Err(Mismatch::Protocol),
        }
    }
}

/// The headers of the answer to a client, those that matter; `None` where one is missing. Where a header
/// came several times, its values are joined with commas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// `Upgrade`.
    pub upgrade: Option<&'a str>,
    /// `Connection`.
    pub connection: Option<&'a str>,
    /// `Sec-WebSocket-Accept`.
    pub accept: Option<&'a str>,
    /// `Sec-WebSocket-Protocol`. Nothing of Socket.IO asks for one, so an answer must not name one.
    pub protocol: Option<&'a str>,
}

/// Why an answer does not open the WebSocket that was asked for: the first header that is not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mismatch {
    /// `Upgrade` is missing or not `websocket`.
    Upgrade,
    /// `Connection` is missing or does not name `upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` is missing or belongs to another key: who answered has not read the request,
    /// as a cache has not, or speaks no WebSocket.
    Accept,
    /// `Sec-WebSocket-Protocol` names a protocol, and none was asked for.
    Protocol,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upgrade => "the answer's Upgrade is not websocket",
            Self::Connection => "the answer's Connection does not name upgrade",
            Self::Accept => "the answer's Sec-WebSocket-Accept does not belong to the key",
            Self::Protocol => "the answer has a Sec-WebSocket-Protocol that was not asked for",
        })
    }
}

impl std::error::Error for Mismatch {}

/// Whether a comma-separated header names `token`, in any case.
fn names(header: Option<&str>, token: &str) -> bool {
    header.unwrap_or_default().split(',').any(|name| name.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Request<'_> = Request {
        method: "GET",
        connection: Some("keep-alive, Upgrade"),
        upgrade: Some("WebSocket"),
        version: Some("13"),
        key: Some("dGhlIHNhbXBsZSBub25jZQ=="),
    };

    #[test]
    fn the_example_of_the_specification_is_accepted() {
        assert_eq!(accept(&GOOD).as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn bits_that_say_nothing_may_be_any() {
        assert!(accept(&Request { key: Some("AAAAAAAAAAAAAAAAAAAAAB=="), ..GOOD }).is_ok());
    }

    #[test]
    fn each_missing_part_has_its_name() {
        let cases = [
            (Request { method: "POST", ..GOOD }, Refusal::Method),
            (Request { upgrade: None, ..GOOD }, Refusal::NotAnUpgrade),
            (Request { connection: Some("close"), ..GOOD }, Refusal::NotAnUpgrade),
            (Request { version: Some("8"), ..GOOD }, Refusal::Version),
            (Request { key: None, ..GOOD }, Refusal::Key),
            (Request { key: Some("c2hvcnQ="), ..GOOD }, Refusal::Key),
            (Request { key: Some("?"), ..GOOD }, Refusal::Key),
        ];
        for (request, refusal) in cases {
            assert_eq!(accept(&request), Err(refusal), "{request:?}");
        }
    }

    const RANDOM: [u8; 16] = *b"the sample nonce";
    const ANSWER: Response<'_> = Response {
        upgrade: Some("websocket"),
        connection: Some("Upgrade"),
        accept: Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        protocol: None,
    };

    #[test]
    fn the_example_of_the_specification_opens() {
        let key = Key::new(RANDOM);
        assert_eq!(Some(key.as_str()), GOOD.key);
        assert_eq!(key.verify(&ANSWER), Ok(()));
        let unusual = Response {
            upgrade: Some(" WebSocket "),
            connection: Some("keep-alive ,UPGRADE"),
            accept: Some("\ts3pPLMBiTxaQ9kYGzzhZRbK+xOo= "),
            ..ANSWER
        };
        assert_eq!(key.verify(&unusual), Ok(()));
    }

    #[test]
    fn a_server_of_ours_answers_what_a_client_of_ours_verifies() {
        for byte in 0..=u8::MAX {
            let key = Key::new([byte; 16]);
            let accept = accept(&Request { key: Some(key.as_str()), ..GOOD }).unwrap();
            assert_eq!(key.verify(&Response { accept: Some(&accept), ..ANSWER }), Ok(()));
            let other = Key::new([byte.wrapping_add(1); 16]);
            let wrong = other.verify(&Response { accept: Some(&accept), ..ANSWER });
            assert_eq!(wrong, Err(Mismatch::Accept));
        }
    }

    #[test]
    fn each_part_of_an_answer_that_is_not_right_has_its_name() {
        let cases = [
            (Response { upgrade: None, ..ANSWER }, Mismatch::Upgrade),
            (Response { upgrade: Some(""), ..ANSWER }, Mismatch::Upgrade),
            (Response { upgrade: Some("h2c"), ..ANSWER }, Mismatch::Upgrade),
            (Response { upgrade: Some("h2c, websocket"), ..ANSWER }, Mismatch::Upgrade),
            (Response { upgrade: Some("websocket/13"), ..ANSWER }, Mismatch::Upgrade),
            (Response { connection: None, ..ANSWER }, Mismatch::Connection),
            (Response { connection: Some("keep-alive"), ..ANSWER }, Mismatch::Connection),
            (Response { connection: Some("upgraded"), ..ANSWER }, Mismatch::Connection),
            (Response { accept: None, ..ANSWER }, Mismatch::Accept),
            (Response { accept: Some(""), ..ANSWER }, Mismatch::Accept),
            // Of the key itself, in another case, without what is padded, twice.
            (Response { accept: GOOD.key, ..ANSWER }, Mismatch::Accept),
            (Response { accept: Some("S3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ..ANSWER }, Mismatch::Accept),
            (Response { accept: Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo"), ..ANSWER }, Mismatch::Accept),
            (
                Response {
                    accept: Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=, s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                    ..ANSWER
                },
                Mismatch::Accept,
            ),
            (Response { protocol: Some("chat"), ..ANSWER }, Mismatch::Protocol),
            (Response { protocol: Some(""), ..ANSWER }, Mismatch::Protocol),
            (Response::default(), Mismatch::Upgrade),
        ];
        for (response, mismatch) in cases {
            assert_eq!(Key::new(RANDOM).verify(&response), Err(mismatch), "{response:?}");
        }
    }
}
