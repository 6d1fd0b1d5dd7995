//! [`Welcome`]: what a server's open packet tells its client.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::error::Violation;
use crate::hidden::Hidden;

/// Bytes of an open packet. That of the official server has about 120.
const JSON_BYTES_MAX: usize = 16 * 1024;
/// Characters of a session id.
const SESSION_BYTES_MAX: usize = 128;
/// Between these two an interval is taken as it is told; one beyond counts as the nearer of them.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the open packet says, as a client reads it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Welcome {
    /// The id of the session: 1 to 128 visible ASCII characters. It is a secret, and has to be
    /// percent-encoded where it becomes part of a query.
    pub session: Box<str>,
    /// Whether the session can be upgraded to a WebSocket.
    pub offers_websocket: bool,
    /// Time between two pings, from 1 ms to a day.
    pub ping_interval: Duration,
    /// Time for an answer to a ping, from 1 ms to a day.
    pub ping_timeout: Duration,
    /// Bytes of the largest body that the server takes; `None` where it tells of no limit.
    pub payload_bytes_max: Option<usize>,
}

impl Welcome {
    /// Reads an open packet without its type. Keys beside those five are ignored; `maxPayload` may be
    /// absent, as older servers do not know it.
    pub fn parse(json: &[u8]) -> Result<Self, Violation> {
        Self::read(json).ok_or(Violation::Handshake)
    }

    fn read(json: &[u8]) -> Option<Self> {
        if json.len() > JSON_BYTES_MAX {
            return None;
        }
        let json: Value = serde_json::from_slice(json).ok()?;
        let session = json.get("sid")?.as_str().filter(|session| is_session(session))?;
        let upgrades = json.get("upgrades")?.as_array()?;
        Some(Self {
            session: session.into(),
            offers_websocket: upgrades.iter().any(|name| name == "websocket"),
            ping_interval: interval(json.get("pingInterval")?)?,
            ping_timeout: interval(json.get("pingTimeout")?)?,
            payload_bytes_max: match json.get("maxPayload") {
                None | Some(Value::Null) => None,
                Some(bytes) => bytes_max(bytes)?,
            },
        })
    }

    /// How long a server that pings may be silent.
    pub(super) fn silence_max(&self) -> Duration {
        self.ping_interval.saturating_add(self.ping_timeout)
    }
}

impl fmt::Debug for Welcome {
    /// Of the session id, only how long it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("session", &Hidden::new(&self.session.as_bytes()))
            .field("offers_websocket", &self.offers_websocket)
            .field("ping_interval", &self.ping_interval)
            .field("ping_timeout", &self.ping_timeout)
            .field("payload_bytes_max", &self.payload_bytes_max)
            .finish()
    }
}

fn is_session(text: &str) -> bool {
    (1..=SESSION_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Milliseconds, which some servers write with a fraction.
fn interval(number: &Value) -> Option<Duration> {
    let ms = number.as_f64().filter(|ms| *ms >= 0.0)?;
    let ms = ms.clamp(INTERVAL_MIN.as_millis() as f64, INTERVAL_MAX.as_millis() as f64);
    Some(Duration::from_millis(ms as u64))
}

/// A limit of zero is none, as for the official client.
fn bytes_max(number: &Value) -> Option<Option<usize>> {
    let bytes = number.as_f64().filter(|bytes| *bytes >= 0.0)?;
    // What is more than a `usize` becomes the largest one.
    Some((bytes >= 1.0).then_some(bytes as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Welcome, Violation> {
        Welcome::parse(json.as_bytes())
    }

    #[test]
    fn an_open_packet_is_read() {
        let welcome = parse(
            r#"{"sid":"hunter2/+=","upgrades":["webtransport","websocket"],"pingInterval":25000,
                "pingTimeout":20000.5,"maxPayload":1000000,"more":[1]}"#,
        )
        .unwrap();
        assert_eq!(&*welcome.session, "hunter2/+=");
        assert!(welcome.offers_websocket);
        assert_eq!(welcome.silence_max(), Duration::from_secs(45));
        assert_eq!(welcome.payload_bytes_max, Some(1_000_000));
        assert!(!format!("{welcome:?}").contains("hunter"), "{welcome:?}");
        let old = r#"{"sid":"a","upgrades":[],"pingInterval":1,"pingTimeout":1}"#;
        let old = parse(old).unwrap();
        assert_eq!((old.offers_websocket, old.payload_bytes_max), (false, None));
    }

    #[test]
    fn numbers_beyond_reason_are_the_nearest_that_is_not() {
        let read = |interval: &str, max: &str| {
            let welcome = parse(&format!(
                r#"{{"sid":"a","upgrades":[],"pingInterval":{interval},"pingTimeout":1,"maxPayload":{max}}}"#
            ))?;
            Ok((welcome.ping_interval, welcome.payload_bytes_max))
        };
        assert_eq!(read("0", "0"), Ok((INTERVAL_MIN, None)));
        assert_eq!(read("0.5", "null"), Ok((INTERVAL_MIN, None)));
        assert_eq!(read("1e300", "1e300"), Ok((INTERVAL_MAX, Some(usize::MAX))));
        for (interval, max) in
            [("-1", "1"), ("1", "-1"), ("null", "1"), ("\"1\"", "1"), ("1", "[]")]
        {
            assert_eq!(read(interval, max), Err(Violation::Handshake), "{interval} {max}");
        }
    }

    #[test]
    fn what_is_no_open_packet_is_named() {
        let with = |session: &str| {
            format!(r#"{{"sid":{session},"upgrades":[],"pingInterval":1,"pingTimeout":1}}"#)
        };
        assert!(parse(&with(&format!("\"{}\"", "a".repeat(128)))).is_ok());
        let long = format!("\"{}\"", "a".repeat(129));
        for session in ["\"\"", "1", "null", "\"a b\"", "\"é\"", "\"a\\n\"", &long] {
            assert_eq!(parse(&with(session)), Err(Violation::Handshake), "{session}");
        }
        for json in ["", "{}", "[]", "null", "{", "{\"sid\":\"a\"}", &"[".repeat(10_000)] {
            assert_eq!(parse(json), Err(Violation::Handshake), "{json}");
        }
        let padded = with("\"a\"") + &" ".repeat(JSON_BYTES_MAX);
        assert_eq!(parse(&padded), Err(Violation::Handshake));
    }
}
