//! A connection to NATS, and how one knows that NATS has done what it was told.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::Notify;

use crate::bus::BusError;

/// How long NATS may take to be connected to, and to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Connects. `ended` is rung when the connection is lost: whoever has it connects again, since it has to know when.
pub(crate) async fn connect(urls: &str, ended: &Arc<Notify>) -> Result<Client, BusError> {
    let is_over = Arc::clone(ended);
    let options = ConnectOptions::new().connection_timeout(PATIENCE).max_reconnects(1);
    let options = options.event_callback(move |event| {
        if let Event::Disconnected | Event::Closed = event {
            is_over.notify_one();
        }
        ready(())
    });
    let urls: Vec<_> = urls.split(',').map(str::trim).map(str::to_owned).collect();
    options.connect(urls).await.map_err(BusError::new)
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
