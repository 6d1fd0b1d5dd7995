//! [`Origins`]: which web pages may connect.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Which web pages may connect, by their origin (scheme, host and port).
///
/// This protects the visitors of other pages, whose browsers would act for these pages: with the cookies of
/// the visitor, and from where the visitor is in the network. It does not hold back programs that are no
/// browsers, which name no origin or any. It is checked for polling and for WebSocket alike, and for
/// preflights; the files of the client may be loaded by any page.
///
/// A browser names the origin of a page with all requests but GETs for the same origin, and those for images,
/// scripts, frames and links, which no page can read unless they are scripts. Where a request names none,
/// `Sec-Fetch-Site` counts: what is `cross-site` or `same-site` is refused as an origin would be that is not
/// allowed, unless it is [`Any`](Self::Any). All browsers send it since 2023, to hosts that are `https` or local.
/// Not so where `Sec-Fetch-Mode` is `cors`: there every browser names the origin of another site, but for those
/// that let their pages do everything, as Electron and WebViews may those of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "cors")]
#[doc(alias = "allowedOrigins")]
pub enum Origins {
    /// Only pages of the host that the request goes to, as its header `host` says. The default. That header
    /// is believed: a page whose own name points to this server is of the same host, unless the hosts are
    /// [listed](crate::Builder::hosts). Schemes are not compared, since behind a proxy nobody knows by which
    /// one the request was sent; where the request itself says that it is secure, as one of HTTP/2 can, or the
    /// list of hosts does, pages of `http` are refused. A proxy
    /// must pass that header on as the browser has sent it, or else the origins of the pages must be in
    /// a [`List`](Self::List): nginx passes it on with `proxy_set_header Host $http_host`, and the
    /// development server of Vite without `changeOrigin`.
    #[default]
    SameHost,
    /// All pages. With cookies as the only proof of who somebody is, any page can then act for its
    /// visitors.
    Any,
    /// Pages of the same host and of these origins, such as `https://example.org`. In one with a
    /// star for its first label, `https://*.example.org`, the star stands for one label or more:
    /// for `a.example.org` and `a.b.example.org`, and neither for `example.org` itself nor for
    /// `badexample.org`. A star anywhere else stands for nothing. A slash at the end is none; an origin with
    /// a path, which no page has, is logged when it is given to
    /// [`Builder::origins`](crate::Builder::origins). `file://` is the origin of pages in files, and what
    /// Electron, Cordova and the library for Arduino send; most browsers send `null` for such pages.
    List(Vec<String>),
    /// Pages of the same host and of those origins that a function takes: see
    /// [`matching`](Self::matching).
    Matching(OriginRule),
}

/// A function that takes origins or refuses them. Equal only to itself.
#[derive(Clone)]
pub struct OriginRule(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Origins {
    /// Pages of the same host and of those origins for which `rule` is true. It is given the origin
    /// as the browser has sent it, such as `https://example.org`, or `null`. It is called for every
    /// request that names an origin, so it must be quick; one that panics has refused.
    ///
    /// Compare whole origins: `ends_with("example.org")` is true for `https://badexample.org`.
    ///
    /// ```
    /// # use roomful::Origins;
    /// let branches = Origins::matching(|origin| {
    ///     let name = origin.strip_prefix("https://").and_then(|rest| rest.strip_suffix(".preview.example"));
    ///     name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    /// });
    /// ```
    pub fn matching(rule: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::Matching(OriginRule(Arc::new(rule)))
    }

    /// Pages of the same host and of all sub-domains of an origin: of `https://a.example.org` and
    /// `https://a.b.example.org` for `https://example.org`, and not of that itself. Scheme and port
    /// are compared too. The same as a [`List`](Self::List) of `https://*.example.org`.
    pub fn subdomains_of(origin: &str) -> Self {
        Self::List(vec![origin.replacen("://", "://*.", 1)])
    }

    /// As browsers write them, without a slash at the end and without the port that the scheme implies. What
    /// still cannot be an origin is told to the log.
    pub(crate) fn tidied(mut self) -> Self {
        if let Self::List(origins) = &mut self {
            for origin in origins {
                tidy(origin);
                if !is_origin(origin) {
                    tracing::error!(
                        ?origin,
                        "no page has this origin: it is a scheme, a host and perhaps a port, without a path, \
                         such as https://example.org or https://*.example.org"
                    );
                }
            }
        }
        self
    }

    /// Whether a page of the origin that was `sent` may connect to `host`, whose own pages have a scheme that
    /// fits.
    pub(crate) fn allow(
        &self,
        sent: &str,
        host: Option<&str>,
        scheme_fits: impl FnOnce(&str) -> bool,
    ) -> bool {
        let origin = &*as_of_a_page(sent);
        let same_host = || {
            let named = origin.split_once("://").zip(host);
            named.is_some_and(|((scheme, authority), host)| {
                let authority = without_default_port(scheme, authority);
                // A file has no host, and is not of a request that names none.
                !authority.is_empty()
                    && authority.eq_ignore_ascii_case(without_default_port(scheme, host))
                    && scheme_fits(scheme)
            })
        };
        match self {
            Self::Any => true,
            Self::SameHost => same_host(),
            Self::List(origins) => {
                origins.iter().any(|listed| is_listed(origin, listed)) || same_host()
            }
            Self::Matching(rule) => same_host() || rule.0(sent),
        }
    }
}

impl fmt::Debug for OriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginRule").finish_non_exhaustive()
    }
}

impl PartialEq for OriginRule {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for OriginRule {}

/// Clients that are no browsers make an origin of the address that they connect to: with the scheme of
/// WebSockets, as that for Swift, or with a slash at the end, as one for PHP.
fn as_of_a_page(origin: &str) -> Cow<'_, str> {
    let origin = without_slash(origin);
    match origin.split_once("://") {
        Some(("ws", authority)) => format!("http://{authority}").into(),
        Some(("wss", authority)) => format!("https://{authority}").into(),
        _ => origin.into(),
    }
}

/// Without the slash at its end, unless it is one of `://`: `file://` is whole.
fn without_slash(origin: &str) -> &str {
    match origin.split_once("://") {
        Some((_, authority)) if !authority.is_empty() => origin.strip_suffix('/').unwrap_or(origin),
        _ => origin,
    }
}

/// Browsers leave the port out that a scheme implies; some proxies name it.
fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return authority,
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// Takes off what browsers leave out.
fn tidy(origin: &mut String) {
    let whole = without_slash(origin.trim());
    let scheme = whole.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    let tidied = without_default_port(&scheme, whole).to_owned();
    *origin = tidied;
}

/// Whether a page can have that origin, or one that it stands for.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return text == "null";
    };
    if authority.is_empty() {
        // That of all files: Electron, Cordova and the library for Arduino send it.
        return scheme.eq_ignore_ascii_case("file");
    }
    let host = authority.strip_prefix("*.").unwrap_or(authority);
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is = |text: &str, allowed: fn(u8) -> bool| !text.is_empty() && text.bytes().all(allowed);
    is(scheme, in_scheme) && is(host, in_host)
}

/// Whether an origin is the listed one, or one of its sub-domains where it begins with a star.
fn is_listed(origin: &str, listed: &str) -> bool {
    match listed.split_once("://*.") {
        Some((scheme, domain)) => is_subdomain(origin, scheme, domain),
        None => origin.eq_ignore_ascii_case(listed),
    }
}

/// The dot in front of the domain is compared too: else anybody could register a name with the
/// right end.
fn is_subdomain(origin: &str, scheme: &str, domain: &str) -> bool {
    let Some((found, authority)) = origin.split_once("://") else {
        return false;
    };
    let (authority, domain) = (authority.as_bytes(), domain.as_bytes());
    let Some((rest, end)) =
        authority.len().checked_sub(domain.len()).map(|at| authority.split_at(at))
    else {
        return false;
    };
    let Some(labels) = rest.strip_suffix(b".") else {
        return false;
    };
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let named = !labels.is_empty() && labels.iter().all(in_name);
    let fits = !domain.is_empty() && end.eq_ignore_ascii_case(domain);
    named && fits && found.eq_ignore_ascii_case(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origins: &Origins, origin: &str, allowed: bool) {
        assert_eq!(
            origins.allow(origin, Some("example.org:3000"), |_| true),
            allowed,
            "{origin:?}"
        );
    }

    #[test]
    fn an_origin_is_compared_whole() {
        let same = Origins::SameHost;
        check(&same, "http://example.org:3000", true);
        check(&same, "https://EXAMPLE.org:3000", true);
        check(&same, "http://example.org", false);
        check(&same, "http://evil-example.org:3000", false);
        check(&same, "http://example.org:3000.evil.org", false);
        check(&same, "null", false);
        let list = Origins::List(vec!["https://app.example.com".into()]);
        check(&list, "https://app.example.com", true);
        check(&list, "http://app.example.com", false);
        check(&list, "https://app.example.com.evil.org", false);
        check(&list, "http://example.org:3000", true);
        check(&Origins::Any, "null", true);
    }

    #[test]
    fn clients_that_are_no_browsers_name_the_address_that_they_connect_to() {
        let same = |origin: &str, host: &str, allowed: bool| {
            assert_eq!(
                Origins::SameHost.allow(origin, Some(host), |_| true),
                allowed,
                "{origin} {host}"
            );
        };
        same("wss://example.org", "example.org:443", true);
        same("ws://example.org", "example.org:80", true);
        same("ws://example.org/", "example.org", true);
        same("http://example.org/", "example.org", true);
        same("http://example.org//", "example.org", false);
        same("http://example.org/x", "example.org", false);
        same("wss://evil.org", "example.org:443", false);
        let list = Origins::List(vec!["https://app.example.com".into()]);
        check(&list, "wss://app.example.com", true);
        check(&list, "https://app.example.com/", true);
        check(&list, "ws://app.example.com", false);
    }

    #[test]
    fn the_port_that_a_scheme_implies_may_be_named() {
        let check = |origin: &str, host: &str, allowed: bool| {
            assert_eq!(
                Origins::SameHost.allow(origin, Some(host), |_| true),
                allowed,
                "{origin} {host}"
            );
        };
        check("https://example.org", "example.org:443", true);
        check("http://example.org", "example.org:80", true);
        check("https://example.org:443", "example.org", true);
        check("https://example.org", "example.org:80", false);
        check("http://example.org", "example.org:443", false);
        check("https://example.org:8443", "example.org", false);
        check("https://example.org", "example.org.evil.org:443", false);
        check("https://[::1]", "[::1]:443", true);
    }

    #[test]
    fn a_subdomain_begins_at_a_dot() {
        let subdomains = Origins::subdomains_of("https://example.com");
        for inside in ["https://a.example.com", "HTTPS://A.b-1.EXAMPLE.com"] {
            check(&subdomains, inside, true);
        }
        for outside in [
            "https://example.com",
            "https://.example.com",
            "https://badexample.com",
            "https://a.badexample.com",
            "http://a.example.com",
            "https://a.example.com:444",
            "https://a.example.com.evil.org",
            "https://evil.org/.example.com",
            "https://evil.org:80.example.com",
            "https://evil@.example.com",
            "https://evil.org#.example.com",
            "https://evil.org?.example.com",
            "https://evil.org%2f.example.com",
            "https://é.example.com",
            "a.example.com",
            "null",
            "",
        ] {
            check(&subdomains, outside, false);
        }
        check(
            &Origins::subdomains_of("https://example.com:8443"),
            "https://a.example.com:8443",
            true,
        );
    }

    #[test]
    fn a_star_stands_only_for_whole_labels_at_the_front() {
        let list = |origin: &str| Origins::List(vec![origin.to_owned()]);
        check(&list("https://*.example.com"), "https://a.example.com", true);
        for odd in ["*", "https://*", "https://*.", "https://a*.example.com", "*.example.com"] {
            check(&list(odd), "https://a.example.com", false);
            check(&list(odd), "https://a.", false);
        }
        check(&Origins::subdomains_of("example.com"), "https://a.example.com", false);
    }

    #[test]
    fn a_listed_origin_may_end_with_a_slash_or_name_its_usual_port() {
        for listed in [
            "https://app.example.com/",
            " https://app.example.com ",
            "https://app.example.com:443",
            "HTTPS://App.Example.com:443/",
        ] {
            let list = Origins::List(vec![listed.into()]).tidied();
            check(&list, "https://app.example.com", true);
            check(&list, "https://app.example.com:8443", false);
        }
        let subdomains = Origins::subdomains_of("https://example.com/").tidied();
        check(&subdomains, "https://a.example.com", true);
    }

    #[test]
    fn what_no_page_has_for_its_origin_is_known() {
        for origin in [
            "https://a.b",
            "http://localhost:3000",
            "https://*.a.b",
            "null",
            "app-1://x",
            "http://[::1]:1",
            "file://",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for odd in [
            "https://a.b/c",
            "a.b",
            "*",
            "https://*",
            "https://a.*.b",
            "",
            "https://",
            "://",
            "file:",
            "file:/",
            "file:///x",
            "://a",
            "https://a.b//",
        ] {
            assert!(!is_origin(odd), "{odd}");
        }
    }

    #[test]
    fn the_origin_of_files_may_be_listed() {
        for listed in ["file://", "file:///", "FILE://", " file:// "] {
            let list = Origins::List(vec![listed.into()]).tidied();
            check(&list, "file://", true);
            for other in ["file:", "file:/", "file://x", "file:///x", "http://", "null", ""] {
                check(&list, other, false);
            }
        }
        check(&Origins::SameHost, "file://", false);
        assert!(
            !Origins::SameHost.allow("file://", Some(""), |_| true),
            "no host is not the same host"
        );
        assert!(!Origins::SameHost.allow("http://:80", Some(":80"), |_| true));
    }

    #[test]
    fn a_rule_is_given_the_origin_as_it_was_sent() {
        let sent = ["file://", "ws://a.example/", "https://a.example/", "https://A.example:443"];
        for origin in sent {
            check(&Origins::matching(move |given| given == origin), origin, true);
        }
    }

    #[test]
    fn a_rule_decides_beside_the_same_host() {
        let rule = Origins::matching(|origin| origin == "https://one.example");
        check(&rule, "https://one.example", true);
        check(&rule, "http://example.org:3000", true);
        check(&rule, "https://two.example", false);
        assert_eq!(rule, rule.clone());
        assert_ne!(rule, Origins::matching(|_| true));
    }
}
