//! [`Cookie`]: what a load balancer can keep a polling client to one server by.

use std::fmt::Write as _;
use std::time::Duration;

use roomful_proto::SessionId;

use crate::ground::random;

/// A cookie that the first answer to a polling client sets, so that a load balancer can send all
/// requests of a session to the same server. Default: there is none.
///
/// Its value is random and new for each session, or the [same](Self::value) for all of this server.
/// It is never the session id: that is a secret of the client's, and this goes through every proxy
/// and log on the way. A WebSocket is one connection and sets none.
///
/// The defaults are the name `io`, the path `/`, `HttpOnly` and `SameSite=Lax`.
///
/// ```
/// # use roomful::{Cookie, SameSite, Server};
/// let io = Server::builder()
///     .cookie(Cookie::new().name("node").value("a").secure(true).same_site(SameSite::Strict))
///     .build();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to a builder"]
pub struct Cookie {
    name: String,
    value: Option<String>,
    path: String,
    domain: Option<String>,
    max_age: Option<Duration>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
}

/// With which requests from pages of other sites a browser sends a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// With none.
    Strict,
    /// Only when somebody follows a link here. The default.
    #[default]
    Lax,
    /// With all. Browsers want such a cookie to be secure, so it is.
    None,
}

impl Cookie {
    /// A cookie with the defaults.
    pub fn new() -> Self {
        Self {
            name: "io".to_owned(),
            value: None,
            path: "/".to_owned(),
            domain: None,
            max_age: None,
            secure: false,
            http_only: true,
            same_site: SameSite::Lax,
        }
    }

    /// Its name. Default `io`. One that cannot be a name is not taken, which is logged.
    pub fn name(mut self, name: &str) -> Self {
        if is_taken("name", name, !name.is_empty() && name.bytes().all(is_token)) {
            self.name = name.to_owned();
        }
        self
    }

    pub(crate) fn its_name(&self) -> &str {
        &self.name
    }

    /// The value for all sessions, such as a name of this server that the load balancer knows.
    /// Default: a random one for each session. One that cannot be a value is not taken, which is
    /// logged.
    pub fn value(mut self, value: &str) -> Self {
        if is_taken("value", value, !value.is_empty() && value.bytes().all(is_token)) {
            self.value = Some(value.to_owned());
        }
        self
    }

    /// The path below which it is sent. Default `/`. One that does not begin with a slash, or has a
    /// semicolon or a character that cannot be seen, is not taken, which is logged.
    pub fn path(mut self, path: &str) -> Self {
        let fits = path.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b';');
        if is_taken("path", path, fits && path.starts_with('/')) {
            self.path = path.to_owned();
        }
        self
    }

    /// The domain, with all below it, to which it is sent. Default: only this host. One that cannot be
    /// a domain is not taken, which is logged.
    pub fn domain(mut self, domain: &str) -> Self {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if is_taken("domain", domain, !domain.is_empty() && domain.bytes().all(fits)) {
            self.domain = Some(domain.to_owned());
        }
        self
    }

    /// How long it is kept, in whole seconds. Default: until the browser is closed.
    #[doc(alias = "maxAge")]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Whether it is sent only over TLS. Default no.
    pub const fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Whether it is hidden from scripts of the page. Default yes.
    #[doc(alias = "httpOnly")]
    pub const fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether it is sent with requests from pages of other sites. Default [`SameSite::Lax`].
    #[doc(alias = "sameSite")]
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// The value of a `Set-Cookie`; `None` when the system has no randomness to give.
    pub(crate) fn write(&self) -> Option<String> {
        let mut text = format!("{}=", self.name);
        match &self.value {
            Some(value) => text.push_str(value),
            // As long and as random as a session id, but another.
            None => text.push_str(SessionId::from_random(random::random()?).as_str()),
        }
        let _ = write!(text, "; Path={}", self.path);
        if let Some(domain) = &self.domain {
            let _ = write!(text, "; Domain={domain}");
        }
        if let Some(age) = self.max_age {
            let _ = write!(text, "; Max-Age={}", age.as_secs());
        }
        text.push_str(if self.http_only { "; HttpOnly" } else { "" });
        let secure = self.secure || self.same_site == SameSite::None;
        text.push_str(if secure { "; Secure" } else { "" });
        text.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        Some(text)
    }
}

impl Default for Cookie {
    fn default() -> Self {
        Self::new()
    }
}

fn is_taken(what: &str, text: &str, fits: bool) -> bool {
    if !fits {
        tracing::error!(?text, "not taken: it cannot be the {what} of a cookie");
    }
    fits
}

/// What stands in a name without any question.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        )
        || matches!(byte, b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cookie: Cookie, expected: &str) {
        assert_eq!(cookie.write().as_deref(), Some(expected));
    }

    #[test]
    fn attributes_are_written_as_browsers_read_them() {
        let cookie = Cookie::new().value("a");
        check(cookie.clone(), "io=a; Path=/; HttpOnly; SameSite=Lax");
        check(
            cookie
                .clone()
                .name("node")
                .path("/live/")
                .domain("example.org")
                .max_age(Duration::from_secs(60))
                .secure(true)
                .same_site(SameSite::Strict),
            "node=a; Path=/live/; Domain=example.org; Max-Age=60; HttpOnly; Secure; SameSite=Strict",
        );
        check(
            cookie.http_only(false).same_site(SameSite::None),
            "io=a; Path=/; Secure; SameSite=None",
        );
    }

    #[test]
    fn what_would_be_another_attribute_or_header_is_not_taken() {
        for odd in ["a; Domain=evil", "a\r\nSet-Cookie: b=c", "a b", "a\0", "é", "", "a,b", "a\tb"]
        {
            let cookie = Cookie::new().value("v").name(odd).domain(odd);
            check(cookie.value(odd), "io=v; Path=/; HttpOnly; SameSite=Lax");
            let path = format!("/{odd}");
            if !matches!(odd, "" | "a,b") {
                let cookie = Cookie::new().value("v").path("/mine").path(&path).path(odd);
                check(cookie, "io=v; Path=/mine; HttpOnly; SameSite=Lax");
            }
        }
    }
}
