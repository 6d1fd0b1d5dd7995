//! [`Hosts`]: the names by which requests may call the server.

/// The hosts of a server, from [`Builder::hosts`](crate::Builder::hosts).
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Vec<Entry>);

/// A host as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// `http` or `https`: that of pages of this host.
    scheme: Option<&'static str>,
    /// In lower case; of an address of IP version 6 with its brackets.
    name: String,
    /// Not that host, but those below it.
    below: bool,
    /// `None` is any.
    port: Option<u16>,
}

impl Hosts {
    /// What cannot be a host is told to the log, and so is a list in which there is none.
    pub(crate) fn new<T: AsRef<str>>(hosts: impl IntoIterator<Item = T>) -> Self {
        let mut entries = Vec::new();
        for host in hosts {
            let host = host.as_ref();
            match Entry::parse(host) {
                Some(entry) => entries.push(entry),
                None => tracing::error!(
                    ?host,
                    "no request goes to this host: it is a name or an address, perhaps with a port and a scheme \
                     and without a path, such as example.org, *.example.org or https://example.org:8443; a name \
                     with other letters than those of ASCII is written as xn--"
                ),
            }
        }
        if entries.is_empty() {
            tracing::error!("Builder::hosts has no host in it: every request is refused");
        }
        Self(entries)
    }

    /// Whether a request may go to this host.
    pub(crate) fn has(&self, host: &str) -> bool {
        self.of(host).next().is_some()
    }

    /// Whether pages of this host have that scheme, as far as the list says so.
    pub(crate) fn has_pages(&self, host: &str, scheme: &str) -> bool {
        let fits = |listed: &str| listed.eq_ignore_ascii_case(scheme);
        self.of(host).any(|entry| entry.scheme.is_none_or(fits))
    }

    fn of(&self, host: &str) -> impl Iterator<Item = &Entry> {
        let found = split(host);
        self.0.iter().filter(move |entry| found.is_some_and(|(name, port)| entry.is(name, port)))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, authority) = match text.split_once("://") {
            None => (None, text),
            Some((scheme, authority)) => {
                let known = ["http", "https"].into_iter().find(|k| k.eq_ignore_ascii_case(scheme));
                (Some(known?), authority)
            }
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (below, authority) = match authority.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, authority),
        };
        let (name, port) = split(authority)?;
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let in_address = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
        let is_right = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(address) => !below && !address.is_empty() && address.bytes().all(in_address),
            None => !name.is_empty() && !name.starts_with('.') && name.bytes().all(in_name),
        };
        is_right.then(|| Self { scheme, name: name.to_ascii_lowercase(), below, port })
    }

    fn is(&self, name: &str, port: Option<u16>) -> bool {
        let is_named = if self.below {
            // The dot in front of the domain is compared too: else anybody could register a name with the
            // right end.
            let (name, domain) = (name.as_bytes(), self.name.as_bytes());
            let labels = name.len().checked_sub(domain.len()).map(|at| name.split_at(at));
            labels.is_some_and(|(labels, end)| {
                labels.len() > 1 && labels.ends_with(b".") && end.eq_ignore_ascii_case(domain)
            })
        } else {
            self.name.eq_ignore_ascii_case(name)
        };
        is_named && self.port.is_none_or(|listed| self.is_port(listed, port))
    }

    /// Browsers leave out the port that the scheme implies.
    fn is_port(&self, listed: u16, found: Option<u16>) -> bool {
        match (found, self.scheme) {
            (Some(found), _) => found == listed,
            (None, Some("https")) => listed == 443,
            (None, Some(_)) => listed == 80,
            (None, None) => matches!(listed, 80 | 443),
        }
    }
}

/// A host without its port, and the port if there is one; `None` for what is no host.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    // The colons within an address stand in brackets.
    let mark = host.find(']').map_or(0, |end| end + 1);
    let at = host[mark..].find(':').map_or(host.len(), |at| mark + at);
    let (name, port) = host.split_at(at);
    // A dot at the end says that nothing follows, and the name is the same one.
    let name = if mark > 0 { name } else { name.strip_suffix('.').unwrap_or(name) };
    if name.is_empty() || mark > 0 && mark != name.len() {
        return None;
    }
    match port.strip_prefix(':') {
        None | Some("") => Some((name, None)),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((name, Some(digits.parse().ok()?)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listed: &str, host: &str, has: bool) {
        assert_eq!(Hosts::new([listed]).has(host), has, "{listed:?} {host:?}");
    }

    #[test]
    fn a_host_is_compared_whole_and_its_port_where_one_is_listed() {
        for host in ["example.org", "EXAMPLE.org", "example.org:80", "example.org:3000"] {
            check("example.org", host, true);
            check("Example.ORG/", host, true);
        }
        for other in ["", ":80", "evil.org", "example.org.evil.org", "badexample.org", "org"] {
            check("example.org", other, false);
        }
        for odd in ["example.org:x", "example.org:+80", "example.org:80:80", "example.org:99999"] {
            check("example.org", odd, false);
        }
        check("example.org:8443", "example.org:8443", true);
        check("example.org:8443", "example.org", false);
        check("example.org:8443", "example.org:443", false);
    }

    #[test]
    fn the_port_that_a_scheme_implies_may_be_left_out() {
        check("example.org:443", "example.org", true);
        check("example.org:80", "example.org", true);
        check("https://example.org:443", "example.org", true);
        check("https://example.org:443", "example.org:443", true);
        check("https://example.org:80", "example.org", false);
        check("http://example.org:443", "example.org", false);
    }

    #[test]
    fn a_star_stands_for_one_label_or_more() {
        for host in ["a.example.org", "A.b.Example.org:3000"] {
            check("*.example.org", host, true);
        }
        for host in ["example.org", ".example.org", "badexample.org", "a.example.org.evil.org"] {
            check("*.example.org", host, false);
        }
        check("*.example.org:1", "a.example.org:1", true);
        check("*.example.org:1", "a.example.org:2", false);
    }

    #[test]
    fn a_dot_at_the_end_is_none() {
        for listed in ["example.org", "example.org.", "http://example.org./"] {
            for host in ["example.org", "example.org.", "example.org.:80", "Example.org.:3000"] {
                check(listed, host, true);
            }
            for other in [".", ".:80", "example.org..", "example.org.evil.", "org."] {
                check(listed, other, false);
            }
        }
        check("example.org.:1", "example.org:1", true);
        check("*.example.org", "a.example.org.", true);
        check("*.example.org.", "a.example.org", true);
        check("*.example.org", "example.org.", false);
        check("127.0.0.1", "127.0.0.1.:80", true);
        check("[::1]", "[::1].", false);
        assert_eq!(Entry::parse("."), None);
        assert_eq!(Entry::parse("*.."), None);
    }

    #[test]
    fn addresses_are_hosts() {
        check("127.0.0.1", "127.0.0.1:3000", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("[::1]", "[::1]:3000", true);
        check("[::1]:3000", "[::1]:3000", true);
        check("[::1]:3000", "[::1]", false);
        for odd in ["[::1]x", "[::1]x:1", "[::1", "::1", "a[::1]"] {
            check("[::1]", odd, false);
        }
    }

    #[test]
    fn what_is_no_host_is_known() {
        for odd in [
            "",
            "*",
            "*.",
            "https://",
            "a/b",
            "https://a/b",
            "a.*.b",
            "*a.b",
            "a b",
            "a:b",
            "é.org",
            "ws://a",
            "a@b",
            "[]",
            "*.[::1]",
            ".a",
            "::1",
        ] {
            assert_eq!(Entry::parse(odd), None, "{odd}");
        }
        for right in
            ["localhost", "a_b.c", " a ", "HTTPS://a:1/", "http://[::1]:1", "xn--bcher-kva.org"]
        {
            assert!(Entry::parse(right).is_some(), "{right}");
        }
    }

    #[test]
    fn a_scheme_is_that_of_pages() {
        let hosts = Hosts::new(["https://a.org", "b.org", "http://c.org", "https://c.org"]);
        for (host, scheme, has) in [
            ("a.org", "https", true),
            ("a.org", "http", false),
            ("a.org", "app", false),
            ("b.org", "http", true),
            ("b.org", "app", true),
            ("c.org", "http", true),
            ("c.org", "https", true),
            ("d.org", "https", false),
        ] {
            assert_eq!(hosts.has_pages(host, scheme), has, "{host} {scheme}");
        }
        assert!(hosts.has("a.org"));
    }

    #[test]
    fn a_list_without_a_host_has_none() {
        assert!(!Hosts::new([""; 0]).has("example.org"));
    }
}
