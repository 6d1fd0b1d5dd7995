//! The HTTP half of opening a WebSocket, RFC 6455 section 4. Headers are given as texts, so that
//! any HTTP library fits.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest, Sha1};

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
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

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
}
