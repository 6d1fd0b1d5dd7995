//! [`Sessions`]: a stream that keeps the last message of each subject, which is a session.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::stream::Stream;
use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::try_join_all;

use super::BASE64;
use super::event_log::{self, HEADER_BYTES};
use super::stream::is_answer;
use crate::bus::{BusError, KeptSession};
use crate::log::Sealed;

/// The header with the time when a session is over, in milliseconds since 1970.
const OVER_AT: &str = "Roomful-Over-At";

/// Sessions of clients that were lost. One that was taken out leaves an empty message, until that is too old.
pub(super) struct Sessions {
    context: Context,
    stream: Stream,
    prefix: String,
}

impl Sessions {
    pub(super) fn new(context: &Context, stream: Stream, prefix: String) -> Self {
        Self { context: context.clone(), stream, prefix }
    }

    fn subject(&self, hash: &[u8]) -> String {
        format!("{}.{}", self.prefix, BASE64.encode(hash))
    }

    pub(super) async fn keep(&self, sessions: &[KeptSession]) -> Result<usize, BusError> {
        // The header is small, and counts.
        let bytes_max = self.context.client().max_payload().saturating_sub(HEADER_BYTES);
        let mut kept = Vec::with_capacity(sessions.len());
        for KeptSession { key, json, keeps } in sessions {
            let sealed = Sealed::new(key, json);
            let Some(sealed) = sealed.filter(|sealed| sealed.json.len() <= bytes_max) else {
                continue;
            };
            let mut headers = HeaderMap::new();
            headers.insert(OVER_AT, now().saturating_add(*keeps).as_millis().to_string());
            let (subject, json) = (self.subject(&sealed.hash), sealed.json.into());
            let said = self.context.publish_with_headers(subject, headers, json);
            kept.push(said.await.map_err(BusError::new)?);
        }
        Ok(sessions.len() - kept.len() + event_log::refused(kept).await?)
    }

    pub(super) async fn take(&self, keys: &[String]) -> Result<Vec<Option<String>>, BusError> {
        try_join_all(keys.iter().map(|key| self.take_one(key))).await
    }

    /// Of two who ask for one, one gets it: whose empty message comes first.
    async fn take_one(&self, key: &str) -> Result<Option<String>, BusError> {
        let subject = self.subject(&Sealed::hash(key));
        let found = match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(found) => found,
            Err(why) if is_answer(&why) => return Ok(None),
            Err(why) => return Err(BusError::new(why)),
        };
        if found.payload.is_empty() {
            return Ok(None);
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, found.sequence.to_string());
        let said = self.context.publish_with_headers(subject, headers, Bytes::new());
        match said.await.map_err(BusError::new)?.await {
            Err(why) if why.kind() == PublishErrorKind::WrongLastSequence => return Ok(None),
            answer => {
                if let Err(why) = event_log::taken(answer)? {
                    tracing::warn!(%why, "a session cannot be taken out");
                    return Ok(None);
                }
            }
        }
        let over_at = found.headers.get(OVER_AT).and_then(|millis| millis.as_str().parse().ok());
        let is_over = now() >= Duration::from_millis(over_at.unwrap_or(0));
        let json = std::str::from_utf8(&found.payload).ok().filter(|_| !is_over);
        Ok(json.and_then(|json| Sealed::open(key, json)))
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
