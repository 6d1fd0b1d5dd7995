//! [`Handshake`]: the request that opened a connection, as one compact slice.
//!
//! A header map would keep the whole read buffer of its HTTP library alive for as long as the
//! connection lives. What is asked for later, the query and the headers, is copied out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use roomful_proto::percent;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// What is kept of a request at most. One that has more opens no session: which of its headers are seen
/// must not be for the client to choose. A browser with cookies sends one or two kilobytes.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// Headers about the HTTP connection itself, which say nothing about the client.
const LEFT_OUT: [&str; 12] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "accept",
    "accept-encoding",
    "cache-control",
    "pragma",
    "content-length",
    "content-type",
    "transfer-encoding",
];

/// The request that opened a client's connection: its path and query, and its headers but those that
/// are about the HTTP connection itself, such as `Upgrade` or `Content-Type`. All of them together have up
/// to 16 KiB: a request with more opens no session.
///
/// It can be serialised, in the shape of `socket.handshake` in JavaScript, for pages of an administrator or other
/// servers. **Secrets are in it**: cookies, `Authorization`, and whatever a client has in its query. Nothing here
/// writes it anywhere; its `Debug`, which is for logs, has neither query nor headers.
///
/// ```json
/// {
///   "headers": { "host": "example.org", "cookie": "a=b; c=d", "user-agent": "…" },
///   "time": "Sun Nov 29 2026 18:49:33 GMT+0000 (Coordinated Universal Time)",
///   "address": "203.0.113.7",
///   "xdomain": false,
///   "secure": false,
///   "issued": 1795978173000,
///   "url": "/socket.io/?EIO=4&transport=websocket",
///   "query": { "EIO": "4", "transport": "websocket" }
/// }
/// ```
///
/// Headers of one name are joined, of parameters of one name the first counts, `xdomain` is whether there is a
/// header `origin`, and `address` is `null` where nobody knows it. There is no `auth`: that is of one namespace, and
/// is kept only where the [data](crate::Socket::data) of a socket keeps it.
///
/// It can be read from that shape again, so that an adapter can tell of the sockets of another node, a server in
/// JavaScript too. What is not there is empty, no address and the time 0; the port of the address is 0, since nobody
/// tells it; `query`, `time` and `xdomain` follow from the rest. A `url` of more than 16 KiB is an error; headers that do
/// not fit beside it are left out.
#[derive(Clone)]
pub struct Handshake {
    /// Whether it was secure, the path, the query, then for each header its name and its value, each
    /// ended by a zero byte.
    bytes: Box<[u8]>,
    address: Option<SocketAddr>,
    issued_ms: u64,
}

/// What stands in place of nothing where a request was secure.
const SECURE: &[u8] = b"s";

impl Handshake {
    /// Copies a request: its headers by their names, in any case, and their values.
    pub(crate) fn new<'a>(
        secure: bool,
        path: &str,
        query: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        address: Option<SocketAddr>,
    ) -> Self {
        let issued = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let issued_ms = u64::try_from(issued.as_millis()).unwrap_or(u64::MAX);
        Self { bytes: packed(secure, path, query, headers), address, issued_ms }
    }

    /// When the request came, to the millisecond, by the clock of the system.
    #[doc(alias = "time")]
    pub fn issued(&self) -> SystemTime {
        let since = Duration::from_millis(self.issued_ms);
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The address of the peer: a proxy's, where there is one. `None` when the server is embedded
    /// in another that did not say (see [`PeerAddress`](crate::PeerAddress)).
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether the request itself says that it is an `https` one, as over HTTP/2. No for HTTP/1.1, even
    /// over TLS: there only the header of a proxy can tell, such as `x-forwarded-proto`, which whoever
    /// knows that proxy may [read](Self::header) and believe.
    #[doc(alias = "secure")]
    pub fn is_secure(&self) -> bool {
        self.parts().next() == Some(SECURE)
    }

    /// The path and the query as they were sent, such as `/socket.io/?EIO=4&transport=polling`. Where
    /// the server is a tower service in a router, the router may have taken the beginning off.
    pub fn url(&self) -> String {
        match self.query_string() {
            "" => self.path().to_owned(),
            query => format!("{}?{query}", self.path()),
        }
    }

    /// The path as it was sent, without the query.
    pub fn path(&self) -> &str {
        self.text(1)
    }

    /// The query as it was sent, without the question mark.
    pub fn query_string(&self) -> &str {
        self.text(2)
    }

    /// The first parameter of that name in the query, percent-decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        query_value(self.query_string(), name)
    }

    /// The names and values of all parameters in the query, percent-decoded.
    pub fn query_pairs(&self) -> impl Iterator<Item = (String, String)> {
        pairs(self.query_string())
            .map(|(name, value)| (percent_decode(name), percent_decode(value)))
    }

    /// The first header of that name, in any case, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name));
        std::str::from_utf8(found?.1).ok()
    }

    /// The value of the first cookie of that name, as it was sent: not decoded, and without the quotes around it
    /// (RFC 6265 section 4.1.1). Names are compared with their case.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        // HTTP/2 may send each in a header of its own (RFC 9113 section 8.2.3).
        let lines = self.headers().filter(|(found, _)| *found == "cookie");
        let lines = lines.filter_map(|(_, value)| std::str::from_utf8(value).ok());
        let mut pairs =
            lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(found, _)| without_blanks(found) == name)?;
        let value = without_blanks(value);
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some(quoted.unwrap_or(value))
    }

    /// The names, in lower case, and values of all headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut parts = self.parts().skip(3);
        std::iter::from_fn(move || {
            let (name, value) = (parts.next()?, parts.next()?);
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    fn text(&self, nth: usize) -> &str {
        let part = self.parts().nth(nth).unwrap_or_default();
        std::str::from_utf8(part).unwrap_or_default()
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|&byte| byte == 0)
    }
}

impl Serialize for Handshake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers() {
            let between = if name == "cookie" { "; " } else { ", " };
            let joined: &mut String = headers.entry(name).or_default();
            if !joined.is_empty() {
                joined.push_str(between);
            }
            joined.push_str(&String::from_utf8_lossy(value));
        }
        let mut query = BTreeMap::new();
        for (name, value) in self.query_pairs() {
            query.entry(name).or_insert(value);
        }
        let mut handshake = serializer.serialize_struct("Handshake", 8)?;
        handshake.serialize_field("headers", &headers)?;
        handshake.serialize_field("time", &time(self.issued()))?;
        handshake.serialize_field("address", &self.address.map(|address| address.ip()))?;
        handshake.serialize_field("xdomain", &headers.contains_key("origin"))?;
        handshake.serialize_field("secure", &self.is_secure())?;
        handshake.serialize_field("issued", &self.issued_ms)?;
        handshake.serialize_field("url", &self.url())?;
        handshake.serialize_field("query", &query)?;
        handshake.end()
    }
}

impl<'de> Deserialize<'de> for Handshake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let told = Told::deserialize(deserializer)?;
        let (path, query) = told.url.split_once('?').unwrap_or((&told.url, ""));
        if told.url.len() > HANDSHAKE_BYTES_MAX || told.url.contains('\0') {
            return Err(D::Error::custom(
                "the `url` of a handshake is too long, or has a zero byte",
            ));
        }
        let headers = told.headers.iter().flat_map(|(name, value)| {
            let values = match value {
                TellsOf::One(value) => std::slice::from_ref(value),
                TellsOf::Many(values) => values,
                TellsOf::Other(_) => &[],
            };
            values.iter().map(|value| (name.as_str(), value.as_bytes()))
        });
        let headers = headers.filter(|(name, value)| !name.contains('\0') && !value.contains(&0));
        let address: Option<IpAddr> = told.address.and_then(|address| address.parse().ok());
        Ok(Self {
            bytes: packed(told.secure, path, query, headers),
            address: address.map(|address| SocketAddr::new(address, 0)),
            issued_ms: told.issued as u64,
        })
    }
}

/// A handshake as another server tells it.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Told {
    headers: BTreeMap<String, TellsOf>,
    address: Option<String>,
    secure: bool,
    /// Encodings write whole numbers that are large as any number.
    issued: f64,
    url: String,
}

/// What a header is told as: Node has some as lists.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum TellsOf {
    One(String),
    Many(Vec<String>),
    Other(IgnoredAny),
}

/// A request as one slice: see [`Handshake::bytes`].
fn packed<'a>(
    secure: bool,
    path: &str,
    query: &str,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(512);
    push(&mut bytes, if secure { SECURE } else { b"" });
    push(&mut bytes, path.as_bytes());
    push(&mut bytes, query.as_bytes());
    for (name, value) in headers {
        let len = name.len() + value.len() + 2;
        let left_out = LEFT_OUT.iter().any(|other| other.eq_ignore_ascii_case(name));
        if left_out || bytes.len() + len > HANDSHAKE_BYTES_MAX {
            continue;
        }
        let start = bytes.len();
        push(&mut bytes, name.as_bytes());
        bytes[start..].make_ascii_lowercase();
        push(&mut bytes, value);
    }
    bytes.into_boxed_slice()
}

/// A time as JavaScript writes a date where the clock shows UTC.
fn time(issued: SystemTime) -> String {
    // There is no later day that the date could be written of.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_DATE);
    let date = httpdate::fmt_http_date(issued.min(last));
    let mut parts = date.split([',', ' ']).filter(|part| !part.is_empty());
    let mut next = || parts.next().unwrap_or_default();
    let (weekday, day, month, year, clock) = (next(), next(), next(), next(), next());
    format!("{weekday} {month} {day} {year} {clock} GMT+0000 (Coordinated Universal Time)")
}

/// The last second of the year 9999.
const LAST_DATE: u64 = 253_402_300_799;

impl fmt::Debug for Handshake {
    /// Without the query and the headers, in which secrets are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("path", &self.path())
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The value of the first parameter of that name, percent-decoded.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let found = pairs(query).find(|(key, _)| percent_decode(key) == name);
    found.map(|(_, value)| percent_decode(value))
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Without spaces and tabs around it. Other blanks belong to a name: a browser takes ` __Host-id` with one of them
/// in front for a name without a prefix.
fn without_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Neither a path nor a query nor a header can hold a zero byte: such requests are refused.
fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(part);
    bytes.push(0);
}

/// Decodes `%41` and `+`; what is not UTF-8 is replaced.
fn percent_decode(text: &str) -> String {
    String::from_utf8_lossy(&percent::decode(text.as_bytes())).into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn handshake(query: &str, headers: &[(&str, &str)]) -> Handshake {
        let headers = headers.iter().map(|&(name, value)| (name, value.as_bytes()));
        Handshake::new(true, "/live/", query, headers, None)
    }

    #[test]
    fn query_and_headers_are_found_again() {
        let headers = [("X-one", "1"), ("cookie", "a=b"), ("Upgrade", "websocket")];
        let handshake = handshake("EIO=4&name=J%C3%B6+x&bad=%4", &headers);
        assert_eq!(handshake.header("X-One"), Some("1"));
        assert_eq!(handshake.header("cookie"), Some("a=b"));
        assert_eq!(handshake.header("upgrade"), None);
        assert_eq!(handshake.query("name").as_deref(), Some("Jö x"));
        assert_eq!(handshake.query("bad").as_deref(), Some("%4"));
        assert_eq!(handshake.query("none"), None);
        let pairs: Vec<_> =
            handshake.query_pairs().map(|(name, value)| name + "=" + &value).collect();
        assert_eq!(pairs, ["EIO=4", "name=Jö x", "bad=%4"]);
        let headers: Vec<_> = handshake.headers().collect();
        assert_eq!(headers, [("x-one", &b"1"[..]), ("cookie", b"a=b")]);
        assert_eq!(handshake.path(), "/live/");
        assert_eq!(handshake.url(), "/live/?EIO=4&name=J%C3%B6+x&bad=%4");
        assert!(handshake.is_secure());
    }

    #[test]
    fn it_is_serialised_in_the_shape_of_javascript_and_shows_no_secret_in_a_log() {
        let headers = [
            ("Host", "example.org"),
            ("cookie", "a=secret"),
            ("cookie", "b=2"),
            ("X-Forwarded-For", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("Origin", "https://example.org"),
            ("Upgrade", "websocket"),
        ];
        let query = "EIO=4&token=J%C3%B6&token=other";
        let mut handshake = handshake(query, &headers);
        handshake.address = Some(([203, 0, 113, 7], 5_000).into());
        // The moment of JavaScript's `new Date(1795978173123) + ""` where the clock shows UTC.
        handshake.issued_ms = 1_795_978_173_123;
        let expected = serde_json::json!({
            "headers": {
                "host": "example.org",
                "cookie": "a=secret; b=2",
                "x-forwarded-for": "1.1.1.1, 2.2.2.2",
                "origin": "https://example.org",
            },
            "time": "Sun Nov 29 2026 18:49:33 GMT+0000 (Coordinated Universal Time)",
            "address": "203.0.113.7",
            "xdomain": true,
            "secure": true,
            "issued": 1_795_978_173_123_u64,
            "url": format!("/live/?{query}"),
            "query": { "EIO": "4", "token": "Jö" },
        });
        assert_eq!(serde_json::to_value(&handshake).unwrap(), expected);
        let shown = format!("{handshake:?}");
        assert!(!shown.contains("secret") && !shown.contains("token"), "{shown}");
        // A clock that is far ahead is no reason to panic.
        handshake.issued_ms = u64::MAX;
        handshake.address = None;
        let value = serde_json::to_value(&handshake).unwrap();
        assert_eq!(
            (&value["address"], value["headers"]["upgrade"].is_null()),
            (&serde_json::Value::Null, true)
        );
        assert!(value["time"].as_str().unwrap().contains(" 9999 "), "{}", value["time"]);
    }

    #[test]
    fn it_is_read_from_what_it_is_serialised_as() {
        let headers = [("host", "example.org"), ("cookie", "a=b"), ("cookie", "c=d")];
        let mut handshake = handshake("EIO=4&name=J%C3%B6", &headers);
        handshake.address = Some(([203, 0, 113, 7], 5_000).into());
        let told = serde_json::to_value(&handshake).unwrap();
        let read: Handshake = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), told);
        assert_eq!(read.address(), Some(([203, 0, 113, 7], 0).into()), "nobody tells the port");
        assert_eq!((read.issued(), read.is_secure()), (handshake.issued(), true));
        assert_eq!((read.cookie("c"), read.query("name")), (Some("d"), Some("Jö".to_owned())));
    }

    #[test]
    fn what_others_tell_of_it_may_be_anything() {
        let read = |told: &str| serde_json::from_str::<Handshake>(told);
        let nothing = read("{}").unwrap();
        assert_eq!((nothing.url(), nothing.address()), (String::new(), None));
        assert_eq!((nothing.issued(), nothing.is_secure()), (SystemTime::UNIX_EPOCH, false));
        let odd = r#"{"headers": {"Set": ["1", "2"], "n": 7, "z": "a\u0000b", "\u0000": "c", "upgrade": "h2"},
            "address": "::ffff:1.2.3.4", "issued": 1795978173123.0, "url": "/?a?b", "auth": {"x": [1]}, "query": 3}"#;
        let odd = read(odd).unwrap();
        assert_eq!(odd.headers().collect::<Vec<_>>(), [("set", &b"1"[..]), ("set", b"2")]);
        assert_eq!((odd.query_string(), odd.issued_ms), ("a?b", 1_795_978_173_123));
        assert!(odd.address().is_some());
        for (told, expected) in [
            (r#"{"issued": -1, "address": "localhost"}"#, Some((0, None))),
            (r#"{"issued": 1e300}"#, Some((u64::MAX, None))),
            (r#"{"url": "a\u0000b"}"#, None),
            (r#"{"headers": 1}"#, None),
            ("7", None),
        ] {
            let read = read(told).ok().map(|read| (read.issued_ms, read.address()));
            assert_eq!(read, expected, "{told}");
        }
        let long = |bytes| serde_json::json!({ "url": "u".repeat(bytes), "headers": { "x": "x".repeat(9_000), "y": "" } });
        assert!(serde_json::from_value::<Handshake>(long(16_385)).is_err());
        let long = serde_json::from_value::<Handshake>(long(10_000)).unwrap();
        assert_eq!((long.header("x"), long.header("y")), (None, Some("")));
    }

    #[test]
    fn a_handshake_is_bounded() {
        let handshake = handshake("", &[("x-big", &"x".repeat(100_000)), ("x-small", "1")]);
        assert_eq!((handshake.header("x-big"), handshake.header("x-small")), (None, Some("1")));
    }
}
