//! What a client offers in `Sec-WebSocket-Extensions`, and what it is answered: RFC 7692 sections 5
//! and 7.1.

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
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_ascii_end(), Some(unquote(value.trim_ascii_start()))),
            None => (part, None),
        };
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
}
