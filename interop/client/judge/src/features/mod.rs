//! [`Feature`]: all that is asked.

mod around;
mod events;
mod lives;
mod options;

use std::future::Future;
use std::pin::Pin;

pub(crate) use self::around::{THROUGH_ENVIRONMENT, through_environment};
use crate::bench::Bench;
use crate::outcome::{Failure, Outcome};

/// What a feature comes to.
type Asked = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

/// One thing that is asked of every server on every way.
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    pub(crate) ask: fn(Bench) -> Asked,
}

macro_rules! features {
    ($($name:literal: $module:ident::$ask:ident,)*) => {
        /// All of them.
        pub(crate) const FEATURES: [Feature; [$($name),*].len()] =
            [$(Feature { name: $name, ask: |bench| Box::pin($module::$ask(bench)) }),*];
    };
}

features! {
    "welcome": lives::welcome,
    "auth": lives::auth,
    "auth made anew": lives::auth_made_anew,
    "cookies": lives::cookies,
    "echo": events::echo,
    "one argument and an offset": events::offsets,
    "binary": events::binary,
    "acks": events::acks,
    "many acks at once": events::many_acks,
    "answers to the server": events::answers,
    "timeouts and late acks": events::timeouts,
    "rooms": events::rooms,
    "broadcast": events::broadcast,
    "10,000 in order": events::burst,
    "1 MB both ways": events::big,
    "volatile to the server": events::volatile,
    "volatile to the client": events::volatile_burst,
    "buffering before": events::buffering_before,
    "buffering while away": lives::buffering_away,
    "retries": events::retries,
    "namespaces": lives::namespaces,
    "dynamic namespaces": lives::dynamic_namespaces,
    "refused namespaces": lives::refusals,
    "server leaves": lives::leave_me,
    "server closes": lives::close_me,
    "server cuts": lives::cut_me,
    "recovery": lives::recovery,
    "disconnect and connect": lives::again,
    "last words": lives::last_words,
    "server gone": lives::gone,
    "server comes back": lives::comes_back,
    "remembers the upgrade": lives::remembers,
    "msgpack": options::msgpack,
    "deflate": options::deflate,
    "wrong revision": options::wrong_revision,
    "no WebSocket there": options::no_websocket,
    "no polling there": options::no_polling,
    "Unix socket": around::unix_socket,
    "own stream": around::own_stream,
    "HTTP proxy": around::http_proxy,
    "HTTP proxy, password": around::http_proxy_password,
    "SOCKS5": around::socks,
    "SOCKS5, password": around::socks_password,
    "proxy that refuses": around::refusing_proxies,
    "proxy of the environment": around::environment,
    "TLS": around::tls,
    "TLS, unknown CA": around::tls_unknown,
    "TLS, wrong name": around::tls_wrong_name,
    "TLS, client certificate": around::tls_client,
    "TLS, anybody": around::tls_anybody,
}
