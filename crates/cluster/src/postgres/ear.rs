//! [`Ear`]: reads what is notified.

use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::cluster::{Malformed, envelope};
use serde::Deserialize;
use tokio::sync::{Notify, mpsc};
use tokio_postgres::{Client, Notification, Statement};

use super::tables::Tables;
use super::{quoted, told};
use crate::bus::{BusError, Inlet};
use crate::log::is_logged;

pub(super) struct Ear {
    inlet: Inlet,
    prefix: String,
    client: Arc<Client>,
    read: Statement,
    /// What is in the log is read there, by whom this wakes.
    log: Option<Arc<Notify>>,
}

/// What is told of a packet that lies in a table.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "attachmentId")]
    attachment: Option<serde_json::Value>,
    log: Option<serde::de::IgnoredAny>,
}

impl Ear {
    pub(super) async fn prepare(
        client: &Arc<Client>,
        tables: &Tables,
        prefix: &str,
        inlet: Inlet,
        log: Option<Arc<Notify>>,
    ) -> Result<Self, BusError> {
        let table = quoted(&tables.attachments);
        let read =
            format!("SELECT payload FROM {table} WHERE id = $1 AND octet_length(payload) <= $2");
        let read = client.prepare(&read).await.map_err(told)?;
        Ok(Self { inlet, prefix: prefix.to_owned(), client: Arc::clone(client), read, log })
    }

    pub(super) async fn listen(self, mut unread: mpsc::Receiver<Notification>) {
        while let Some(notification) = unread.recv().await {
            let payload = notification.payload().as_bytes();
            let told: Option<Told> = serde_json::from_slice(payload).ok();
            let (attachment, is_in_log) =
                told.map_or((None, false), |told| (told.attachment, told.log.is_some()));
            if let (true, Some(log)) = (is_in_log, &self.log) {
                log.notify_one();
                continue;
            }
            let message = match attachment {
                None => Some(Bytes::copy_from_slice(payload)),
                Some(id) => self.attachment(&id).await,
            };
            // It was deleted, or what names it is no id.
            let Some(message) = message else {
                self.inlet.refuse(Malformed::NotAPacket);
                continue;
            };
            let namespace = notification.channel().strip_prefix(&self.prefix);
            let namespace = namespace.and_then(|rest| rest.strip_prefix('#'));
            match envelope::decode_in(namespace, &message, self.inlet.limits()) {
                Ok(packet) if self.log.is_some() && is_logged(&packet.body) => {
                    self.inlet.deliver_past_log(0, packet);
                }
                Ok(packet) => self.inlet.deliver(packet),
                Err(why) => self.inlet.refuse(why),
            }
        }
    }

    async fn attachment(&self, id: &serde_json::Value) -> Option<Bytes> {
        // JavaScript has them as texts.
        let id: i64 = match id {
            serde_json::Value::String(id) => id.parse().ok()?,
            id => id.as_i64()?,
        };
        let bytes_max = i32::try_from(self.inlet.limits().payload_bytes_max).unwrap_or(i32::MAX);
        let row = self.client.query_opt(&self.read, &[&id, &bytes_max]).await.ok()??;
        row.try_get::<_, Vec<u8>>(0).ok().map(Bytes::from)
    }
}
