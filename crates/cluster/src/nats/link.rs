//! A connection to NATS, and how one knows that NATS has done what it was told.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Subscriber};
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;
use tokio::sync::Notify;

use crate::bus::BusError;

/// How long NATS may take to be connected to, and to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Connects. `ended` is rung when the connection is lost: whoever has it connects again, since it has to know when.
pub(crate) async fn connect(urls: &str, ended: &Arc<Notify>) -> Result<Client, BusError> {
    let is_over = Arc::clone(ended);
    let urls: Vec<_> = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
    let is_tls = urls.iter().any(|url| url.starts_with("tls:"));
    if is_tls {
        crate::provider::choose();
    }
    // Whoever stands between could name a server of his own before TLS begins.
    let options = ConnectOptions::new().ignore_discovered_servers().require_tls(is_tls);
    let hosts = urls.len().max(1);
    let options = options.connection_timeout(PATIENCE / hosts as u32).max_reconnects(hosts);
    let options = options.event_callback(move |event| {
        if let Event::Disconnected | Event::Closed = event {
            is_over.notify_one();
        }
        ready(())
    });
    let (addresses, mut credentials): (Vec<_>, Vec<_>) = urls.into_iter().map(split).unzip();
    credentials.dedup();
    let options = match &credentials[..] {
        [None] => options,
        [Some(credentials)] => with(options, credentials)?,
        _ => return Err(BusError::new("the URLs of NATS have different users or passwords")),
    };
    options.connect(addresses).await.map_err(BusError::new)
}

/// A URL without what is before its `@`, and that. The library does not look at it, and logs the URL.
fn split(url: &str) -> (String, Option<String>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
    match rest.rsplit_once('@') {
        Some((credentials, host)) => (format!("{scheme}://{host}"), Some(credentials.to_owned())),
        None => (format!("{scheme}://{rest}"), None),
    }
}

/// `user:password`, or a token.
fn with(options: ConnectOptions, credentials: &str) -> Result<ConnectOptions, BusError> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        let text = text.map_err(|_| BusError::new("the user or password of NATS is no UTF-8"));
        text.map(|text| text.into_owned())
    };
    Ok(match credentials.split_once(':') {
        Some((user, password)) => options.user_and_password(decoded(user)?, decoded(password)?),
        None => options.token(decoded(credentials)?),
    })
}

/// Waits until it is lost.
pub(crate) async fn lost(ended: &Notify) -> BusError {
    ended.notified().await;
    BusError::new("NATS has closed the connection")
}

/// A subject of this connection alone. NATS confirms nothing, but does everything in order: when what was said to
/// oneself comes back, all before it was done.
pub(crate) struct Echo {
    subject: String,
    heard: tokio::sync::Mutex<Heard>,
}

struct Heard {
    subscriber: Subscriber,
    count: u64,
}

impl Echo {
    pub(crate) async fn new(client: &Client) -> Result<Self, BusError> {
        let subject = client.new_inbox();
        let subscriber = client.subscribe(subject.clone()).await.map_err(BusError::new)?;
        Ok(Self { subject, heard: tokio::sync::Mutex::new(Heard { subscriber, count: 0 }) })
    }

    /// Waits until all that was told to NATS before has been done.
    pub(crate) async fn wait(&self, client: &Client) -> Result<(), BusError> {
        let mut heard = self.heard.lock().await;
        heard.count += 1;
        let count = heard.count.to_be_bytes();
        let said = client.publish(self.subject.clone(), count.to_vec().into());
        said.await.map_err(BusError::new)?;
        // One that nobody waited for any more may come first.
        while let Some(message) = heard.subscriber.next().await {
            if message.payload[..] == count {
                return Ok(());
            }
        }
        Err(BusError::new("NATS has closed the connection"))
    }
}
