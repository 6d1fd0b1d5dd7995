//! [`History`]: what a log has of a namespace, for a node that comes.

use std::time::{Duration, Instant};

use roomful_proto::cluster::{Body, Offset};

use super::{Entry, Store, is_logged};
use crate::bus::{BusError, Inlet};

/// How long all namespaces of a connection may take. A node to which the log is too long begins with what comes.
pub(super) const TIME_MAX: Duration = Duration::from_secs(2);

/// What a log has of a namespace.
pub(super) struct History<'a> {
    pub(super) namespace: &'a str,
    /// The node that comes.
    pub(super) uid: &'a str,
    /// The last entry of it: what is behind comes by itself.
    pub(super) upto: Offset,
    /// How long it may take.
    pub(super) time: Duration,
}

impl History<'_> {
    /// Brings the events of so long ago, and all that came behind. An official server that recovers a client looks at
    /// the whole log; here the end of it is read once.
    pub(super) async fn bring(
        &self,
        log: &mut impl Store,
        past: Duration,
        inlet: &Inlet,
    ) -> Result<(), BusError> {
        if past.is_zero() || self.time.is_zero() {
            if !past.is_zero() {
                tracing::warn!("there is no time left to read what is in the log of the engine");
            }
            inlet.begin_log(self.namespace, self.uid, self.upto);
            return Ok(());
        }
        let began = Instant::now();
        let first = log.ago(past).await?.min(self.upto.after());
        let (mut from, behind) = (first, beginning(log, first).await?);
        inlet.begin_log(self.namespace, self.uid, behind);
        while from <= self.upto {
            if began.elapsed() > self.time {
                tracing::warn!("what is in the log of the engine takes too long to read");
                inlet.begin_log(self.namespace, self.uid, self.upto);
                return Ok(());
            }
            let page = log.page(self.namespace, from, self.upto).await?;
            for (offset, entry) in page.entries {
                from = offset.after();
                match entry {
                    Ok(Some(Entry { packet, .. })) if packet.body == Body::Gap => {
                        inlet.begin_log(self.namespace, self.uid, offset);
                    }
                    Ok(Some(Entry { packet, .. })) if is_logged(&packet.body) => {
                        inlet.recall(offset, packet);
                    }
                    Ok(_) => {}
                    Err(why) => {
                        inlet.refuse(why);
                        inlet.begin_log(self.namespace, self.uid, offset);
                    }
                }
            }
            if !page.has_more {
                break;
            }
        }
        // What makes room does not wait, and may have taken what was not read yet.
        if beginning(log, first).await? > behind {
            inlet.begin_log(self.namespace, self.uid, self.upto);
        }
        Ok(())
    }
}

/// The offset behind which all entries are there, of those from `from` on.
async fn beginning(log: &mut impl Store, from: Offset) -> Result<Offset, BusError> {
    // Nothing is before the beginning, and Redis refuses to look there.
    if from != Offset::BEGINNING {
        let before = log.last(Some(from.before())).await?;
        if before != Offset::BEGINNING {
            return Ok(before);
        }
    }
    // What was before the first was dropped, or there was nothing, or the log was begun anew: who can tell?
    let first = log.first(Offset::BEGINNING).await?;
    Ok(first.map_or(Offset::BEGINNING, Offset::before))
}
