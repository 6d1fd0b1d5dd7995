//! [`Coding`]: how the body of an answer is compressed, as the client accepts it (RFC 9110 section
//! 12.5.3).

use bytes::Bytes;
use roomful_proto::deflate::container;

use crate::ground::compression::HttpCompression;

/// Members of `Accept-Encoding` that are looked at.
const MEMBERS_MAX: usize = 32;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    #[cfg(feature = "brotli")]
    Brotli,
    Gzip,
    Deflate,
}

/// What a client accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codings {
    /// The best of what is known here, if the client likes it no less than none.
    coding: Option<Coding>,
    /// A body that is not compressed is refused.
    always: bool,
}

/// Where clients are indifferent, the first of these is taken.
const CODINGS: &[Coding] = &[
    #[cfg(feature = "brotli")]
    Coding::Brotli,
    Coding::Gzip,
    Coding::Deflate,
];

impl Codings {
    /// What an `Accept-Encoding` says. What is not understood of it says nothing.
    pub(crate) fn new(header: &str) -> Self {
        let weight = |name: &str| {
            let mut members = header.split(',').take(MEMBERS_MAX).filter_map(member);
            members.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, weight)| weight)
        };
        let (identity, others) = (weight("identity"), weight("*"));
        let weights = CODINGS.iter().map(|coding| {
            let weight = weight(coding.name()).or(others).unwrap_or(0);
            (*coding, weight)
        });
        // Of equal ones the last is the greatest, so the best stand last.
        let best = weights.rev().max_by_key(|(_, weight)| *weight);
        let best = best.filter(|(_, weight)| *weight > 0 && *weight >= identity.unwrap_or(0));
        Self { coding: best.map(|(coding, _)| coding), always: identity.or(others) == Some(0) }
    }

    /// How a body of so many bytes is to be compressed.
    pub(crate) fn coding(self, len: usize, settings: HttpCompression) -> Option<Coding> {
        self.coding.filter(|_| self.always || len >= settings.threshold)
    }
}

impl Coding {
    /// Its name in headers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "brotli")]
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// Compresses; `None` where that makes the body no smaller.
    pub(crate) fn encode(self, level: u8, body: &[u8]) -> Option<Bytes> {
        let small = match self {
            #[cfg(feature = "brotli")]
            Self::Brotli => brotli(level, body),
            Self::Gzip => container::gzip(level, body),
            Self::Deflate => container::zlib(level, body),
        };
        small.map(Bytes::from)
    }
}

#[cfg(feature = "brotli")]
fn brotli(level: u8, mut body: &[u8]) -> Option<Vec<u8>> {
    use brotli::enc::BrotliEncoderParams;
    /// 256 KiB: a larger window takes more memory, and little off a body of this kind.
    const WINDOW_BITS: i32 = 18;

    let len = body.len();
    let quality = i32::from(level);
    let params =
        BrotliEncoderParams { quality, lgwin: WINDOW_BITS, size_hint: len, ..Default::default() };
    let mut small = Vec::with_capacity(len / 2);
    brotli::BrotliCompress(&mut body, &mut small, &params).ok()?;
    (small.len() < len).then_some(small)
}

/// A name and how much it is liked, in thousandths.
fn member(member: &str) -> Option<(&str, u16)> {
    let Some((name, parameter)) = member.split_once(';') else {
        return Some((member.trim_ascii(), 1_000));
    };
    let (q, value) = parameter.split_once('=')?;
    if !q.trim_ascii().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim_ascii();
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let places = [100, 10, 1];
    let part: u16 =
        part.bytes().zip(places).map(|(digit, place)| u16::from(digit - b'0') * place).sum();
    match whole {
        "0" => Some((name.trim_ascii(), part)),
        "1" if part == 0 => Some((name.trim_ascii(), 1_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(header: &str) -> (Option<&'static str>, bool) {
        let accepted = Codings::new(header);
        (accepted.coding.map(Coding::name), accepted.always)
    }

    #[track_caller]
    fn check(header: &str, coding: Option<&str>) {
        assert_eq!(accepted(header).0, coding, "{header:?}");
    }

    #[test]
    fn the_best_that_is_accepted_is_taken() {
        let best = CODINGS[0].name();
        check("gzip", Some("gzip"));
        check("deflate", Some("deflate"));
        check("deflate, gzip", Some("gzip"));
        check("gzip, deflate, br, zstd", Some(best));
        check("*", Some(best));
        check("GZIP;Q=0.5", Some("gzip"));
        check("gzip;q=0.5, deflate;q=0.8", Some("deflate"));
        check("gzip ; q = 1.000 ,deflate;q=0.999", Some("gzip"));
        check("br;q=0, gzip;q=0, *;q=0.1", Some("deflate"));
    }

    #[test]
    fn nothing_is_compressed_for_those_who_do_not_want_it() {
        check("", None);
        check("identity", None);
        check("zstd, compress", None);
        check("gzip;q=0", None);
        check("gzip;q=0.000, deflate;q=0.0", None);
        check("*;q=0", None);
        check("identity, gzip;q=0.5", None);
        for odd in ["q=2", "q=1.1", "q=-1", "q=0.1234", "q=.5", "q=", "x=1", "q", "q=0.5;x=1"] {
            check(&format!("gzip;{odd}"), None);
        }
        let late = |others: usize| "x,".repeat(others) + "gzip";
        check(&late(MEMBERS_MAX - 1), Some("gzip"));
        check(&late(MEMBERS_MAX), None);
    }

    #[test]
    fn small_bodies_are_compressed_only_where_they_are_refused_as_they_are() {
        let settings = HttpCompression::default();
        let coding = |header, len| Codings::new(header).coding(len, settings).map(Coding::name);
        assert_eq!(coding("gzip", 1_023), None);
        assert_eq!(coding("gzip", 1_024), Some("gzip"));
        assert_eq!(coding("gzip, identity;q=0", 1), Some("gzip"));
        assert_eq!(coding("gzip, *;q=0", 1), Some("gzip"));
        assert_eq!(coding("identity;q=0", 5_000), None);
        assert_eq!(accepted("identity;q=0, gzip"), (Some("gzip"), true));
        assert_eq!(accepted("identity;q=0.1, *;q=0, gzip"), (Some("gzip"), false));
    }

    #[test]
    fn every_coding_makes_smaller_what_can_be() {
        let body = "again and ".repeat(1_000);
        for coding in CODINGS {
            for level in [1, 9] {
                let small = coding.encode(level, body.as_bytes()).unwrap();
                assert!(small.len() < 200, "{coding:?}: {}", small.len());
            }
            assert_eq!(coding.encode(1, b"x"), None, "{coding:?}");
        }
    }
}
