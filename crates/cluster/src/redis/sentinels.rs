//! [`Sentinels`]: those who know which Redis is the master.

use ::redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use ::redis::{Client, ConnectionAddr, ProtocolVersion, TlsMode};
use percent_encoding::percent_decode_str;

use crate::bus::BusError;

/// The port of a Sentinel.
const PORT: u16 = 26379;

#[derive(Clone)]
pub(crate) struct Sentinels {
    hosts: Vec<(String, u16)>,
    is_tls: bool,
    /// How the master is called.
    name: String,
    /// Those of Redis. Sentinels ask for none.
    user: Option<String>,
    password: Option<String>,
    database: i64,
}

impl Sentinels {
    /// Of what is behind `redis+sentinel://`: `[user:password@]host[:port][,host[:port]]/name[/database]`.
    pub(crate) fn parse(scheme: &str, rest: &str) -> Result<Self, BusError> {
        let wrong = |what: &str| BusError::new(format!("in the URL of the Sentinels {what}"));
        let is_tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong("the scheme is neither redis+sentinel nor rediss+sentinel")),
        };
        let (credentials, rest) = rest.rsplit_once('@').unwrap_or((":", rest));
        let (user, password) = match credentials.split_once(':') {
            Some(both) if !credentials.contains('@') => both,
            _ => return Err(wrong("what is before the @ is not user:password, percent-encoded")),
        };
        let mut path = rest.split('/');
        let hosts = path.next().unwrap_or_default().split(',').map(host);
        let hosts = hosts.collect::<Option<Vec<_>>>().ok_or_else(|| wrong("a host is none"))?;
        let name = path.next().filter(|name| !name.is_empty());
        let name =
            name.ok_or_else(|| wrong("the name of the master is missing: host:26379/name"))?;
        let database = path.next().filter(|database| !database.is_empty()).unwrap_or("0");
        if path.next().is_some() || rest.contains('?') {
            return Err(wrong("there is more than host/name/database"));
        }
        let database = database.parse().map_err(|_| wrong("the database is no number"))?;
        let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) => Ok(Some(text.into_owned()).filter(|text| !text.is_empty())),
            Err(_) => Err(wrong("the user or password is no UTF-8")),
        };
        let (user, password, name) = (decoded(user)?, decoded(password)?, name.to_owned());
        Ok(Self { hosts, is_tls, name, user, password, database })
    }

    /// Asks one after the other which Redis is the master now.
    pub(crate) async fn master(&self) -> Result<Client, BusError> {
        let hosts = self.hosts.iter().map(|(host, port)| ConnectionAddr::Tcp(host.clone(), *port));
        let mut builder =
            SentinelClientBuilder::new(hosts, &self.name, SentinelServerType::Master)?
                .set_client_to_redis_protocol(ProtocolVersion::RESP3)
                .set_client_to_redis_db(self.database);
        if self.is_tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            builder = builder.set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(user) = &self.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_redis_password(password);
        }
        Ok(builder.build()?.async_get_client().await?)
    }
}

fn host(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.trim().rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (text.trim(), PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_all_that_is_needed_or_says_what_is_wrong() {
        let url = "us%40er:p%3Aw@one:1,two,[::1]:3/main/4";
        let Sentinels { hosts, is_tls, name, user, password, database } =
            Sentinels::parse("rediss", url).unwrap();
        let expected = [("one", 1), ("two", PORT), ("::1", 3)];
        assert_eq!(hosts, expected.map(|(host, port)| (host.to_owned(), port)));
        assert_eq!((is_tls, &*name, database), (true, "main", 4));
        assert_eq!((user.as_deref(), password.as_deref()), (Some("us@er"), Some("p:w")));
        let plain = Sentinels::parse("redis", ":pw@host/main").unwrap();
        assert_eq!((plain.user, plain.password.as_deref()), (None, Some("pw")));
        for (scheme, url, what) in [
            ("http", "host/main", "scheme"),
            ("redis", "host", "name of the master"),
            ("redis", "host/", "name of the master"),
            ("redis", "/main", "host"),
            ("redis", "host:x/main", "host"),
            ("redis", "host/main/x", "database"),
            ("redis", ":%ff@host/main", "password"),
            ("redis", "secret@host/main", "user:password"),
            ("redis", "u:p@one,u:p@two/main", "user:password"),
            ("redis", "host/main/0/x", "more"),
            ("redis", "host/main?db=1", "more"),
        ] {
            let why = Sentinels::parse(scheme, url).err().unwrap().to_string();
            assert!(why.contains(what) && !why.contains("secret"), "{url}: {why}");
        }
    }
}
