//! [`Cookies`]: what the server has set, which goes with every request to it, as sticky load balancers
//! need it.

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, SET_COOKIE};

/// Cookies that are kept.
const COOKIES_MAX: usize = 64;
/// Bytes of a name and its value.
const COOKIE_BYTES_MAX: usize = 4 * 1024;

/// Cookies of one server. Paths and domains do not matter: all requests go to the same.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    kept: Vec<Cookie>,
}

struct Cookie {
    name: String,
    value: String,
    until: Option<SystemTime>,
}

impl std::fmt::Debug for Cookie {
    /// Without its value, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Cookies {
    /// Takes what an answer sets.
    pub(crate) fn note(&mut self, headers: &HeaderMap, now: SystemTime) {
        for header in headers.get_all(SET_COOKIE) {
            if let Ok(header) = header.to_str() {
                self.set(header, now);
            }
        }
    }

    fn set(&mut self, header: &str, now: SystemTime) {
        let mut parts = header.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > COOKIE_BYTES_MAX {
            return;
        }
        let (mut age, mut expires) = (None, None);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if key.eq_ignore_ascii_case("max-age") {
                age = value.parse::<i64>().ok();
            } else if key.eq_ignore_ascii_case("expires") {
                expires = httpdate::parse_http_date(value).ok();
            }
        }
        // `Max-Age` goes before `Expires` (RFC 6265 section 5.3).
        let until = match age {
            Some(seconds) => {
                let seconds = u64::try_from(seconds).unwrap_or(0);
                // An age beyond all dates has no end.
                now.checked_add(Duration::from_secs(seconds))
            }
            None => expires,
        };
        self.kept.retain(|cookie| cookie.name != name);
        if until.is_none_or(|until| until > now) && self.kept.len() < COOKIES_MAX {
            self.kept.push(Cookie { name: name.to_owned(), value: value.to_owned(), until });
        }
    }

    /// The value of `Cookie`, behind that of the user; `None` where there is nothing.
    pub(crate) fn header(&mut self, own: Option<&str>, now: SystemTime) -> Option<String> {
        self.kept.retain(|cookie| cookie.until.is_none_or(|until| until > now));
        let mut header = own.unwrap_or_default().to_owned();
        for Cookie { name, value, .. } in &self.kept {
            if !header.is_empty() {
                header.push_str("; ");
            }
            header.push_str(name);
            header.push('=');
            header.push_str(value);
        }
        (!header.is_empty()).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn after(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(seconds)
    }

    fn of(headers: &[&str]) -> Cookies {
        let mut cookies = Cookies::default();
        headers.iter().for_each(|header| cookies.set(header, NOW));
        cookies
    }

    #[test]
    fn what_was_set_goes_with_what_the_user_sends() {
        let mut cookies = of(&["a=1; Path=/; HttpOnly", "b = x=y ;Secure", "a=2"]);
        assert_eq!(cookies.header(None, NOW).as_deref(), Some("b=x=y; a=2"));
        assert_eq!(cookies.header(Some("own=1"), NOW).as_deref(), Some("own=1; b=x=y; a=2"));
        assert_eq!(of(&["", "novalue", "=x"]).header(None, NOW), None);
    }

    #[test]
    fn a_cookie_ends_at_its_time() {
        let mut cookies = of(&["a=1; Max-Age=10", "b=1; Expires=Thu, 01 Jan 1970 00:00:20 GMT"]);
        assert_eq!(cookies.header(None, after(9)).as_deref(), Some("a=1; b=1"));
        assert_eq!(cookies.header(None, after(15)).as_deref(), Some("b=1"));
        assert_eq!(cookies.header(None, after(20)), None);
        let both = "a=1; Expires=Thu, 01 Jan 1970 00:00:01 GMT; max-age=99";
        assert!(of(&[both]).header(None, after(50)).is_some());
        for gone in
            ["a=; Max-Age=0", "a=; Max-Age=-1", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]
        {
            assert_eq!(of(&["a=1", gone]).header(None, NOW), None, "{gone}");
        }
        assert!(of(&["a=1; Max-Age=9223372036854775807"]).header(None, after(9)).is_some());
    }

    #[test]
    fn cookies_are_bounded() {
        let many: Vec<_> = (0..1000).map(|n| format!("c{n}=1")).collect();
        let mut cookies = of(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(cookies.kept.len(), COOKIES_MAX);
        cookies.set(&format!("big={}", "x".repeat(COOKIE_BYTES_MAX)), NOW);
        assert_eq!(cookies.kept.len(), COOKIES_MAX);
    }
}
