//! [`Reader`]: brings what is in a log, from where the last connection was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use roomful_proto::cluster::{Offset, Packet};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};

use super::history::{self, History};
use super::{Entry, Read, Store, is_logged};
use crate::bus::{BusError, Inlet};
use crate::subscriptions::Subscriptions;

/// Where a bus reads its log, from one connection to the next.
#[derive(Clone, Default)]
pub(crate) struct Place {
    /// Whoever brings entries has the lock, so what a namespace had before it came is brought in front of all that comes.
    position: Arc<tokio::sync::Mutex<Position>>,
    /// The task that reads: the next one begins when it has ended, so that nothing is read by both.
    reading: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Default)]
struct Position {
    /// The last entry that was read; `None` before there was a connection.
    read: Option<Offset>,
    /// The engine has lost entries up to this one, and may give their offsets again.
    given_upto: Option<Offset>,
    /// Others may have read more than this node before that: they have it no more in front of the next entry.
    has_lost: bool,
}

/// What reads for one connection, until it is dropped.
pub(crate) struct Reader {
    place: Place,
    inlet: Inlet,
    namespaces: Subscriptions,
    /// Rung when it cannot be read any more.
    ended: Arc<Notify>,
    /// How long what is in the log may still be read for namespaces that come.
    history_time: Mutex<Duration>,
    task: Mutex<Option<AbortHandle>>,
}

impl Reader {
    pub(crate) fn new(place: &Place, inlet: Inlet, ended: Arc<Notify>) -> Self {
        Self {
            place: place.clone(),
            inlet,
            namespaces: Subscriptions::default(),
            ended,
            history_time: Mutex::new(history::TIME_MAX),
            task: Mutex::default(),
        }
    }

    /// The namespaces whose entries are brought.
    pub(crate) const fn namespaces(&self) -> &Subscriptions {
        &self.namespaces
    }

    /// Brings what the log has of a namespace, and from then on what comes of it.
    pub(crate) async fn subscribe(
        &self,
        namespace: &Arc<str>,
        uid: &Arc<str>,
        past: Option<Duration>,
        log: &mut impl Store,
    ) -> Result<(), BusError> {
        // Nothing is brought meanwhile: what was before comes first.
        let mut position = self.place.position.lock().await;
        if let Some(past) = past {
            let upto = match position.read {
                Some(upto) => upto,
                None => *position.read.insert(log.last(None).await?),
            };
            let (began, time) = (Instant::now(), *self.history_time.lock());
            let history = History { namespace, uid, upto, time };
            let brought = history.bring(log, past, &self.inlet).await;
            *self.history_time.lock() = time.saturating_sub(began.elapsed());
            if let Err(why) = brought {
                if !why.is_refusal() {
                    return Err(why);
                }
                tracing::warn!(%why, "clients that were lost before cannot be recovered here");
                self.inlet.begin_log(namespace, uid, upto);
            }
            self.inlet.log_begun(namespace, uid);
        }
        self.namespaces.add(namespace);
        Ok(())
    }

    /// Begins to read where the last connection was, or at the end. When all are subscribed: entries of a namespace that
    /// is not are passed over for good.
    pub(crate) async fn begin(&self, mut log: impl Store + 'static) -> Result<(), BusError> {
        let mut reading = self.place.reading.lock().await;
        if let Some(before) = reading.take() {
            before.abort();
            // It may be in the middle of what it has read, and says then where it was.
            drop(before.await);
        }
        self.find_position(&mut log).await?;
        let (place, ended) = (self.place.clone(), Arc::clone(&self.ended));
        let (namespaces, inlet) = (self.namespaces.clone(), self.inlet.clone());
        let task = tokio::spawn(async move {
            let error = read_on(&mut log, &place, &namespaces, &inlet).await;
            tracing::debug!(%error, "the log is not read any more");
            ended.notify_one();
        });
        *self.task.lock() = Some(task.abort_handle());
        *reading = Some(task);
        Ok(())
    }

    /// Where to go on. What was read last may be gone, and what came behind it with it.
    async fn find_position(&self, log: &mut impl Store) -> Result<(), BusError> {
        let mut position = self.place.position.lock().await;
        let last = log.last(None).await?;
        let known = *position.read.get_or_insert(last);
        if known != Offset::BEGINNING && log.last(Some(known)).await? != known {
            // An engine that has lost its end, or has begun anew, may give offsets that were given before.
            let from = known.min(last);
            position.read = Some(from);
            if last < known {
                position.given_upto = position.given_upto.max(Some(known));
                position.has_lost = true;
                tell_lost(known, &self.inlet);
            } else {
                let first = log.first(from).await?;
                tell_lost(first.map_or(from, Offset::before), &self.inlet);
            }
        }
        self.inlet.log_reached(position.read.unwrap_or(last));
        Ok(())
    }
}

/// Entries are gone that were not read: all behind an offset is still there.
fn tell_lost(behind: Offset, inlet: &Inlet) {
    tracing::warn!("entries of the engine's log are gone, perhaps before they were read");
    inlet.begin_anew(behind);
}

/// Reads until something fails.
async fn read_on(
    log: &mut impl Store,
    place: &Place,
    namespaces: &Subscriptions,
    inlet: &Inlet,
) -> BusError {
    loop {
        let position = place.position.lock().await;
        let (from, added) = (position.read.unwrap_or_default(), namespaces.added());
        drop(position);
        let mut page = match log.next(from, namespaces).await {
            Ok(page) => page,
            Err(why) => return why,
        };
        let mut position = place.position.lock().await;
        let is_unread = |(_, entry): &(Offset, Read)| matches!(entry, Ok(None));
        if namespaces.added() != added && page.entries.iter().any(is_unread) {
            // It may be of a namespace that has come since. None comes while it is read once more: whoever makes many
            // keeps nobody from going on.
            page = match log.next(from, namespaces).await {
                Ok(page) => page,
                Err(why) => return why,
            };
        }
        position.has_lost |= page.has_lost;
        for (offset, entry) in page.entries {
            if std::mem::take(&mut position.has_lost) {
                tell_lost(offset.before().max(position.given_upto.unwrap_or_default()), inlet);
            }
            match entry {
                Ok(Some(Entry { packet, number })) if is_logged(&packet.body) => {
                    bring(offset, number, packet, position.given_upto, inlet);
                }
                Ok(Some(Entry { packet, .. })) => inlet.deliver(packet),
                Ok(None) => inlet.pass_over(),
                Err(why) => {
                    inlet.refuse(why);
                    // Nobody knows whom it was for.
                    inlet.begin_anew(offset);
                }
            }
            position.read = Some(offset);
        }
        if let Some(read) = position.read {
            inlet.log_reached(read);
        }
    }
}

/// Brings an entry. One whose offset another had before reaches the clients that are here, and nobody recovers across
/// it: which of both somebody has heard cannot be told.
fn bring(offset: Offset, number: u64, packet: Packet, given_upto: Option<Offset>, inlet: &Inlet) {
    match given_upto.filter(|upto| offset <= *upto) {
        Some(upto) => {
            inlet.deliver_past_log(number, packet);
            inlet.begin_anew(upto);
        }
        None => inlet.deliver_logged(offset, number, packet),
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.lock().iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use roomful_proto::cluster::{Body, Malformed, Packet, Selection};

    use super::*;
    use crate::bus::Hears;
    use crate::log::Page;

    /// A log with one entry, which a read finds and gives when it is told to.
    struct OneEntry {
        last: Offset,
        entry: Offset,
        is_read: Arc<Notify>,
        goes_on: Arc<Notify>,
    }

    impl Store for OneEntry {
        async fn last(&mut self, upto: Option<Offset>) -> Result<Offset, BusError> {
            Ok(upto.unwrap_or(self.last).min(self.last))
        }

        async fn first(&mut self, _behind: Offset) -> Result<Option<Offset>, BusError> {
            Ok(None)
        }

        async fn ago(&mut self, _past: Duration) -> Result<Offset, BusError> {
            Ok(Offset::BEGINNING)
        }

        async fn page(&mut self, _: &str, _: Offset, _: Offset) -> Result<Page, BusError> {
            Ok(Page::default())
        }

        async fn next(
            &mut self,
            behind: Offset,
            namespaces: &Subscriptions,
        ) -> Result<Page, BusError> {
            if behind != self.last {
                std::future::pending::<()>().await;
            }
            let body = Body::Join { to: Selection::default(), rooms: vec!["room".into()] };
            let packet = Packet { from: "other".into(), to: None, namespace: "/late".into(), body };
            let entry = namespaces.contains("/late").then_some(Entry { packet, number: 0 });
            self.is_read.notify_one();
            self.goes_on.notified().await;
            Ok(Page { entries: vec![(self.entry, Ok(entry))], ..Page::default() })
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>, Notify);

    impl Heard {
        fn note(&self, what: impl Into<String>) {
            self.0.lock().push(what.into());
            self.1.notify_one();
        }
    }

    impl Hears for Heard {
        fn has_room(&self, _: &str, _: &str) -> bool {
            true
        }
        fn deliver(&self, packet: Packet) {
            let Body::Logged(logged) = packet.body else {
                return self.note("beside the log");
            };
            match logged.offset {
                Some(offset) => self.note(format!("delivered {offset}")),
                None => self.note("past the log"),
            }
        }
        fn begin_log(&self, _: Option<&str>, _: Option<&str>, offset: Offset) {
            self.note(format!("begun behind {offset}"));
        }
        fn log_begun(&self, _: &str, _: &str) {}
        fn log_reached(&self, offset: Offset) {
            self.note(format!("reached {offset}"));
        }
        fn pass_over(&self) {
            self.note("passed over");
        }
        fn refuse(&self, _: Malformed) {
            self.note("refused");
        }
    }

    /// Reads one entry, behind what the log has last, while somebody subscribes to its namespace.
    async fn read_one(place: &Place, last: Offset, entry: Offset) -> Vec<String> {
        let (heard, ended) = (Arc::<Heard>::default(), Arc::default());
        let inlet = Inlet::new(&heard, Arc::default());
        let reader = Reader::new(place, inlet, ended);
        let (is_read, goes_on) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (is_asked, told) = (Arc::clone(&is_read), Arc::clone(&goes_on));
        let log =
            || OneEntry { last, entry, is_read: Arc::clone(&is_asked), goes_on: Arc::clone(&told) };
        reader.begin(log()).await.unwrap();
        is_read.notified().await;
        reader.subscribe(&"/late".into(), &"uid".into(), None, &mut log()).await.unwrap();
        goes_on.notify_one();
        tokio::time::timeout(Duration::from_secs(10), is_read.notified()).await.unwrap();
        goes_on.notify_one();
        let is_through = format!("reached {entry}");
        while !heard.0.lock().contains(&is_through) {
            heard.1.notified().await;
        }
        let heard = heard.0.lock();
        heard.iter().filter(|what| !what.starts_with("reached")).cloned().collect()
    }

    #[tokio::test]
    async fn what_is_read_while_its_namespace_is_subscribed_is_not_passed_over() {
        let place = Place::default();
        assert_eq!(read_one(&place, Offset::new(1, 4), Offset::new(1, 5)).await, ["delivered 1-5"]);
    }

    #[tokio::test]
    async fn offsets_that_an_engine_gives_twice_are_a_gap() {
        let place = Place::default();
        read_one(&place, Offset::new(1, 8), Offset::new(1, 9)).await;
        // It has lost its end, as a disk may when the power fails, or a standby that is behind.
        let heard = read_one(&place, Offset::new(1, 7), Offset::new(1, 8)).await;
        assert_eq!(
            heard,
            ["begun behind 1-9", "begun behind 1-9", "past the log", "begun behind 1-9"]
        );
        // From then on it goes on, and nobody recovers who has heard any of those.
        let heard = read_one(&place, Offset::new(1, 8), Offset::new(1, 10)).await;
        assert_eq!(heard, ["delivered 1-10"]);
    }
}
