//! [`Address`]: where the server is, from the URL that the user gives.

use http::Uri;
use roomful_proto::percent;

use crate::error::BuildError;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    secure: bool,
    host: String,
    port: u16,
    /// The port is that of the scheme, and not named in `Host`.
    is_usual_port: bool,
    /// The query of the URL, which goes into every request.
    query: String,
}

impl Address {
    /// Reads `http://host[:port][/namespace][?query]`; also gives the namespace. Schemes are `http`,
    /// `https`, `ws` and `wss`; none is `http` for an address with a port, as `localhost:3000`.
    pub(crate) fn parse(url: &str) -> Result<(Self, String), BuildError> {
        let with_scheme;
        let url = if url.contains("://") {
            url
        } else {
            with_scheme = format!("http://{url}");
            &with_scheme
        };
        let uri: Uri = url.parse().map_err(|_| BuildError::Url)?;
        let secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(BuildError::Scheme),
        };
        let authority = uri.authority().ok_or(BuildError::Url)?;
        if authority.as_str().contains('@') {
            return Err(BuildError::Credentials);
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(BuildError::Url)?;
        let usual = if secure { 443 } else { 80 };
        let port = match authority.as_str().strip_prefix(host).unwrap_or_default() {
            // A colon without a port is as none, as in browsers.
            "" | ":" => usual,
            port if port[1..].bytes().all(|byte| byte.is_ascii_digit()) => {
                port[1..].parse().map_err(|_| BuildError::Url)?
            }
            _ => return Err(BuildError::Url),
        };
        let address = Self {
            secure,
            host: host.to_owned(),
            port,
            is_usual_port: port == usual,
            query: uri.query().unwrap_or_default().to_owned(),
        };
        let path = percent_decoded(uri.path());
        let namespace = if path.is_empty() { "/".to_owned() } else { path };
        Ok((address, namespace))
    }

    pub(crate) const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The name or the number of the host; one of IPv6 without brackets.
    #[cfg(feature = "tls")]
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    pub(crate) fn set_query(&mut self, query: String) {
        self.query = query;
    }

    /// What stands in `Host`.
    pub(crate) fn host_header(&self) -> String {
        if self.is_usual_port { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

fn percent_decoded(path: &str) -> String {
    // A plus is a plus in a path.
    let path = path.replace('+', "%2B");
    String::from_utf8_lossy(&percent::decode(path.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, origin: &str, header: &str, namespace: &str, query: &str) {
        let (address, found) = Address::parse(url).unwrap();
        assert_eq!(address.origin(), origin);
        assert_eq!((address.host_header().as_str(), found.as_str()), (header, namespace));
        assert_eq!(address.query(), query);
    }

    #[test]
    fn a_url_names_host_port_namespace_and_query() {
        check("http://a.b", "http://a.b:80", "a.b", "/", "");
        check("https://a.b/", "https://a.b:443", "a.b", "/", "");
        check("ws://a.b:3000/chat?x=1&y=2", "http://a.b:3000", "a.b:3000", "/chat", "x=1&y=2");
        check("wss://a.b:443/a/b", "https://a.b:443", "a.b", "/a/b", "");
        check("http://a:/x", "http://a:80", "a", "/x", "");
        check("localhost:3000", "http://localhost:3000", "localhost:3000", "/", "");
        check("127.0.0.1:80/a%20b+c", "http://127.0.0.1:80", "127.0.0.1", "/a b+c", "");
        check("http://[::1]:3000/", "http://[::1]:3000", "[::1]:3000", "/", "");
    }

    #[test]
    fn what_is_no_url_is_named() {
        let check = |url: &str, error: BuildError| {
            assert_eq!(format!("{:?}", Address::parse(url).unwrap_err()), format!("{error:?}"));
        };
        check("", BuildError::Url);
        check("http://", BuildError::Url);
        check("http://a b", BuildError::Url);
        check("http://a:99999", BuildError::Url);
        check("http://a:+80", BuildError::Url);
        check("ftp://a", BuildError::Scheme);
        check("http://me:secret@a", BuildError::Credentials);
    }
}
