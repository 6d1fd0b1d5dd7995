//! What a client offers in `Sec-WebSocket-Extensions`, and what it is answered: RFC 7692 sections 5
//! and 7.1. A server [`negotiate`]s; a client sends [`OFFER`] and looks at what was [`accepted`].

use std::fmt;

/// What a client of ours offers: no end remembers anything between two messages.
pub const OFFER: &str =
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover";
/// Offers that are looked at, over all headers; those behind are as if they were not there.
const OFFERS_MAX: usize = 16;
/// What is answered to most: no end remembers anything between two messages.
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// To an offer that names the size of our window.
const ANSWER_WINDOW: &str = "permessage-deflate; server_no_context_takeover; \
                             client_no_context_takeover; server_max_window_bits=15";
/// To a client that may not take that: it remembers [`SMALL_WINDOW_BYTES`], and so do we.
const ANSWER_SMALL: &str =
    "permessage-deflate; server_no_context_takeover; client_max_window_bits=9";
const ANSWER_SMALL_WINDOW: &str = "permessage-deflate; server_no_context_takeover; \
                                   client_max_window_bits=9; server_max_window_bits=15";

/// What a client remembers from message to message that was answered `client_max_window_bits=9`: 2^9. It is
/// the smallest window that zlib has.
pub const SMALL_WINDOW_BYTES: usize = 512;
/// The exponent of that.
const SMALL_WINDOW_BITS: u8 = 9;

/// Whether a client that has not offered it forgets what it has sent when it is told to
/// (`client_no_context_takeover`). RFC 7692 section 7.1.1.2 lets a server tell that to all, but there are
/// clients that end the handshake then, and their offers look like those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// It does, as browsers do.
    Taken,
    /// Nobody knows.
    Unknown,
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The value of the header to answer with.
    pub answer: &'static str,
    /// Whether the client remembers [`SMALL_WINDOW_BYTES`] from message to message; nothing otherwise.
    pub remembers: bool,
}

/// Takes the first offer that can be taken; `None` when there is none. `headers` are the values of all
/// headers of that name.
///
/// A client is told to remember nothing where it has offered that, or where it is known to do as it is
/// told. Another one is told to remember little, and where it cannot be told that either, its offer is
/// declined: no connection is to keep 32 KiB.
///
/// An offer with a parameter that is unknown, comes twice or has a wrong value is declined, and so
/// is one that wants messages for a smaller window than 32 KiB (`server_max_window_bits` below 15):
/// these would need a compressed form of their own.
pub fn negotiate<'a>(
    headers: impl IntoIterator<Item = &'a str>,
    unasked: Unasked,
) -> Option<Agreed> {
    let mut offers = headers.into_iter().flat_map(|header| split(header, ',')).take(OFFERS_MAX);
    offers.find_map(|offer| answer(offer, unasked))
}

/// The answer to one offer.
fn answer(offer: &str, unasked: Unasked) -> Option<Agreed> {
    let mut parts = split(offer, ';');
    if parts.next()? != "permessage-deflate" {
        return None;
    }
    let mut seen = [false; 4];
    let mut client_window = None;
    for part in parts {
        let (name, value) = parameter(part);
        let (at, fits) = match name {
            "server_no_context_takeover" => (0, value.is_none()),
            "client_no_context_takeover" => (1, value.is_none()),
            "server_max_window_bits" => (2, value.and_then(window_bits) == Some(15)),
            "client_max_window_bits" => {
                client_window = value.map_or(Some(15), window_bits);
                (3, client_window.is_some())
            }
            _ => return None,
        };
        if !fits || std::mem::replace(&mut seen[at], true) {
            return None;
        }
    }
    let [_, forgets, names_ours, _] = seen;
    if forgets || unasked == Unasked::Taken {
        let answer = if names_ours { ANSWER_WINDOW } else { ANSWER };
        return Some(Agreed { answer, remembers: false });
    }
    client_window.filter(|bits| *bits >= SMALL_WINDOW_BITS)?;
    let answer = if names_ours { ANSWER_SMALL_WINDOW } else { ANSWER_SMALL };
    Some(Agreed { answer, remembers: true })
}

/// Why what a server says of extensions is not an answer to [`OFFER`]. The connection must not be used then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OfferError {
    /// It names an extension that was not offered.
    Extension,
    /// It accepts the offer twice.
    Twice,
    /// It does not say that it remembers nothing between two messages, and it was asked to:
    /// `server_no_context_takeover` is missing.
    ServerContext,
    /// It bounds our window by `client_max_window_bits`, and that was not offered.
    ClientWindow,
    /// It has a parameter that is unknown, comes twice or has a wrong value.
    Parameter,
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extension => "the server names an extension that was not offered",
            Self::Twice => "the server accepts compression twice",
            Self::ServerContext => "the server does not accept server_no_context_takeover",
            Self::ClientWindow => "the server names client_max_window_bits, which was not offered",
            Self::Parameter => "the server names a parameter of compression that is not right",
        })
    }
}

impl std::error::Error for OfferError {}

/// Whether a server that was sent [`OFFER`] compresses messages and takes compressed ones; if not, it answered
/// nothing. `headers` are the values of all headers of that name.
///
/// RFC 7692 section 7.1 lets it leave out `client_no_context_takeover`, which then says only that we might
/// remember, and we do not; and name a window of its own (`server_max_window_bits`), since ours holds any.
pub fn accepted<'a>(headers: impl IntoIterator<Item = &'a str>) -> Result<bool, OfferError> {
    let elements = headers.into_iter().flat_map(|header| split(header, ','));
    // HTTP has a list with nothing between two commas be read as if it had one comma.
    let mut answers = elements.filter(|element| !element.is_empty());
    let Some(answer) = answers.next() else {
        return Ok(false);
    };
    check_answer(answer)?;
    match answers.next() {
        None => Ok(true),
        Some(other) => Err(check_answer(other).err().unwrap_or(OfferError::Twice)),
    }
}

/// Checks the answer to [`OFFER`].
fn check_answer(answer: &str) -> Result<(), OfferError> {
    let mut parts = split(answer, ';');
    if parts.next() != Some("permessage-deflate") {
        return Err(OfferError::Extension);
    }
    let mut seen = [false; 3];
    for part in parts {
        let (name, value) = parameter(part);
        let (at, fits) = match name {
            "server_no_context_takeover" => (0, value.is_none()),
            "client_no_context_takeover" => (1, value.is_none()),
            "server_max_window_bits" => (2, value.and_then(window_bits).is_some()),
            "client_max_window_bits" => return Err(OfferError::ClientWindow),
            _ => return Err(OfferError::Parameter),
        };
        if !fits || std::mem::replace(&mut seen[at], true) {
            return Err(OfferError::Parameter);
        }
    }
    if seen[0] { Ok(()) } else { Err(OfferError::ServerContext) }
}

/// The name of a parameter, and its value if it has one.
fn parameter(part: &str) -> (&str, Option<&str>) {
    match part.split_once('=') {
        Some((name, value)) => (name.trim_ascii_end(), Some(unquote(value.trim_ascii_start()))),
        None => (part, None),
    }
}

/// From 8 to 15, in digits without a zero in front.
fn window_bits(text: &str) -> Option<u8> {
    let usual = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|bits| usual && matches!(bits, 8..=15))
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// The parts between separators that are not quoted, without blanks around.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    parts.map(str::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(offer: &str, answer: Option<&str>) {
        let agreed = negotiate([offer], Unasked::Taken);
        assert_eq!(agreed.map(|agreed| agreed.answer), answer, "{offer:?}");
        assert!(agreed.is_none_or(|agreed| !agreed.remembers));
    }

    #[track_caller]
    fn check_unknown(offer: &str, expected: Option<(&str, bool)>) {
        let agreed = negotiate([offer], Unasked::Unknown);
        assert_eq!(agreed.map(|agreed| (agreed.answer, agreed.remembers)), expected, "{offer:?}");
    }

    #[test]
    fn who_may_not_forget_unasked_is_told_to_remember_little_or_gets_no_compression() {
        check_unknown("permessage-deflate; client_max_window_bits", Some((ANSWER_SMALL, true)));
        check_unknown("permessage-deflate; client_max_window_bits=9", Some((ANSWER_SMALL, true)));
        check_unknown(
            "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
            Some((ANSWER_SMALL_WINDOW, true)),
        );
        check_unknown("permessage-deflate; client_no_context_takeover", Some((ANSWER, false)));
        check_unknown("permessage-deflate", None);
        check_unknown("permessage-deflate; client_max_window_bits=8", None);
        check_unknown(
            "permessage-deflate, permessage-deflate; client_no_context_takeover",
            Some((ANSWER, false)),
        );
    }

    #[test]
    fn what_clients_offer_every_day_is_taken() {
        check("permessage-deflate", Some(ANSWER));
        check("permessage-deflate; client_max_window_bits", Some(ANSWER));
        check("permessage-deflate;client_max_window_bits = \"10\"", Some(ANSWER));
        check(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            Some(ANSWER),
        );
        check("permessage-deflate; server_max_window_bits=15", Some(ANSWER_WINDOW));
        check("x-webkit-deflate-frame , permessage-deflate", Some(ANSWER));
    }

    #[test]
    fn the_first_offer_that_can_be_taken_is() {
        check("permessage-deflate; server_max_window_bits=10, permessage-deflate", Some(ANSWER));
        let two = ["permessage-deflate; what", "permessage-deflate; server_max_window_bits=15"];
        assert_eq!(negotiate(two, Unasked::Taken).unwrap().answer, ANSWER_WINDOW);
    }

    #[test]
    fn what_is_unknown_twice_or_wrong_is_declined() {
        let offers = [
            "",
            ",",
            ";",
            "permessage-deflated",
            "Permessage-Deflate",
            "permessage-deflate;",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=14",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=015",
            "permessage-deflate; server_max_window_bits=+15",
            "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=99999999999999999999",
            "x; y=\"a, permessage-deflate, b\"",
            "x; y=\"a, permessage-deflate",
        ];
        offers.iter().for_each(|offer| check(offer, None));
    }

    #[test]
    fn only_so_many_offers_are_looked_at() {
        let late = |others: usize| "x,".repeat(others) + "permessage-deflate";
        check(&late(OFFERS_MAX - 1), Some(ANSWER));
        check(&late(OFFERS_MAX), None);
    }

    #[test]
    fn our_offer_is_accepted_by_our_server() {
        for unasked in [Unasked::Taken, Unasked::Unknown] {
            let agreed = negotiate([OFFER], unasked).unwrap();
            assert!(!agreed.remembers);
            assert_eq!(accepted([agreed.answer]), Ok(true));
        }
    }

    #[test]
    fn what_servers_answer_to_our_offer_is_understood() {
        let good = [
            ANSWER,
            ANSWER_WINDOW,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate;server_no_context_takeover;server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=\"15\" ; server_no_context_takeover",
            " , permessage-deflate; server_no_context_takeover,,",
        ];
        for answer in good {
            assert_eq!(accepted([answer]), Ok(true), "{answer:?}");
            assert_eq!(accepted(["", answer]), Ok(true), "{answer:?}");
        }
        assert_eq!(accepted([]), Ok(false));
        assert_eq!(accepted([""]), Ok(false));
        assert_eq!(accepted([",", " , "]), Ok(false));
    }

    #[test]
    fn each_answer_to_something_else_than_our_offer_has_its_name() {
        use OfferError::{ClientWindow, Extension, Parameter, ServerContext, Twice};
        let cases = [
            ("x-webkit-deflate-frame", Extension),
            ("Permessage-Deflate; server_no_context_takeover", Extension),
            ("permessage-deflated; server_no_context_takeover", Extension),
            (";", Extension),
            ("permessage-deflate; server_no_context_takeover, x", Extension),
            ("x, permessage-deflate; server_no_context_takeover", Extension),
            ("permessage-deflate", ServerContext),
            ("permessage-deflate; client_no_context_takeover", ServerContext),
            ("permessage-deflate; server_max_window_bits=15", ServerContext),
            (ANSWER_SMALL, ClientWindow),
            (
                "permessage-deflate; client_max_window_bits=15; server_no_context_takeover",
                ClientWindow,
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_max_window_bits",
                ClientWindow,
            ),
            ("permessage-deflate; server_no_context_takeover;", Parameter),
            ("permessage-deflate; server_no_context_takeover; unknown", Parameter),
            ("permessage-deflate; server_no_context_takeover=1", Parameter),
            ("permessage-deflate; server_no_context_takeover=", Parameter),
            ("permessage-deflate; Server_no_context_takeover", Parameter),
            (
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                Parameter,
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover=0",
                Parameter,
            ),
            ("permessage-deflate; server_no_context_takeover; server_max_window_bits", Parameter),
            ("permessage-deflate; server_no_context_takeover; server_max_window_bits=7", Parameter),
            (
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=16",
                Parameter,
            ),
            (
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=08",
                Parameter,
            ),
        ];
        for (answer, error) in cases {
            assert_eq!(accepted([answer]), Err(error), "{answer:?}");
        }
        assert_eq!(accepted([ANSWER, ANSWER]), Err(Twice));
        assert_eq!(accepted([&*[ANSWER, ANSWER].join(",")]), Err(Twice));
        assert_eq!(accepted([ANSWER, "permessage-deflate"]), Err(ServerContext));
    }
}
