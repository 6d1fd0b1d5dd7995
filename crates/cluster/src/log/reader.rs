//! [`Reader`]: brings what is in a log, from where the last connection was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use roomful_proto::cluster::{Malformed, Offset, Packet};
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

/// So many connections try to read an entry, before it is passed over: it may be what ends them.
const TRIES_MAX: usize = 3;

#[derive(Default)]
struct Position {
    /// The last entry that was read; `None` before there was a connection.
    read: Option<Offset>,
    /// Its stamp.
    stamp: u64,
    /// How many connections in a row have begun here with something to read, and have read nothing.
    tries: usize,
    /// How many histories in a row have not come to an end.
    histories: usize,
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
            position.histories += 1;
            let began = Instant::now();
            // What ends each connection that reads it is not read for ever.
            let is_hopeless = position.histories > TRIES_MAX;
            let time = if is_hopeless { Duration::ZERO } else { *self.history_time.lock() };
            let history = History { namespace, uid, upto, time };
            let brought = history.bring(log, past, &self.inlet).await;
            if !is_hopeless {
                *self.history_time.lock() = time.saturating_sub(began.elapsed());
            }
            if let Err(why) = brought {
                if !why.is_refusal() {
                    return Err(why);
                }
                tracing::warn!(%why, "clients that were lost before cannot be recovered here");
                self.inlet.begin_log(namespace, uid, upto);
            }
            position.histories = 0;
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
        self.pass_over_what_ends_all(&mut log).await?;
        let (place, ended) = (self.place.clone(), Ended(Arc::clone(&self.ended)));
        let (namespaces, inlet) = (self.namespaces.clone(), self.inlet.clone());
        let task = tokio::spawn(async move {
            let _ended = ended;
            let error = read_on(&mut log, &place, &namespaces, &inlet).await;
            tracing::debug!(%error, "the log is not read any more");
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
        let is_there = known == Offset::BEGINNING || log.last(Some(known)).await? == known;
        let stamp = if is_there { log.stamp(known).await? } else { 0 };
        // Where one of both is not known, who can tell?
        let is_another = stamp.min(position.stamp) > 0 && stamp != position.stamp;
        if last < known {
            // The engine has lost its end, or has begun anew, and may give offsets that were given before.
            position.read = Some(last);
            position.given_upto = position.given_upto.max(Some(known));
            position.has_lost = true;
            tell_lost(known, &self.inlet);
        } else if is_another {
            // It has lost its end, and others have filled that up.
            position.has_lost = true;
            tell_lost(last, &self.inlet);
        } else if !is_there {
            let first = log.first(known).await?;
            position.read = Some(first.map_or(last, Offset::before));
            tell_lost(first.map_or(last, Offset::before), &self.inlet);
        }
        let read = position.read.unwrap_or(last);
        position.stamp = if read == known { stamp } else { log.stamp(read).await? };
        self.inlet.log_reached(read);
        Ok(())
    }

    /// An entry that ends each connection which reads it would keep this node from all that come behind it.
    async fn pass_over_what_ends_all(&self, log: &mut impl Store) -> Result<(), BusError> {
        let mut position = self.place.position.lock().await;
        let Some(first) = log.first(position.read.unwrap_or_default()).await? else {
            position.tries = 0;
            return Ok(());
        };
        position.tries += 1;
        if position.tries > TRIES_MAX {
            (position.read, position.stamp, position.tries) = (Some(first), 0, 0);
            self.inlet.refuse(Malformed::NotAPacket);
            tell_lost(first.max(position.given_upto.unwrap_or_default()), &self.inlet);
        }
        Ok(())
    }
}

/// Rings when it is dropped, however that comes.
struct Ended(Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
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
        position.tries = 0;
        if !page.entries.is_empty() {
            position.stamp = page.stamp;
        }
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
                    inlet.begin_anew(offset.max(position.given_upto.unwrap_or_default()));
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
    use roomful_proto::cluster::{Body, Selection};

    use super::*;
    use crate::bus::Hears;
    use crate::log::Page;

    /// A log with one entry, which a read finds and gives when it is told to.
    struct OneEntry {
        last: Offset,
        /// Whether other entries have the offsets now that were given before.
        is_another: bool,
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

        async fn stamp(&mut self, of: Offset) -> Result<u64, BusError> {
            Ok(of.minor() + u64::from(self.is_another))
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
            let stamp = self.entry.minor();
            Ok(Page { entries: vec![(self.entry, Ok(entry))], stamp, ..Page::default() })
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
        fn recovers(&self, _: &str) -> bool {
            true
        }

        fn needs(&self, _: &str, _: &str, _: &[&str]) -> bool {
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
    async fn read_one(place: &Place, last: u64, entry: u64, is_another: bool) -> Vec<String> {
        let (last, entry) = (Offset::new(1, last), Offset::new(1, entry));
        let (heard, ended) = (Arc::<Heard>::default(), Arc::default());
        let inlet = Inlet::new(&heard, Arc::default());
        let reader = Reader::new(place, inlet, ended);
        let (is_read, goes_on) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (is_asked, told) = (Arc::clone(&is_read), Arc::clone(&goes_on));
        let log = || OneEntry {
            last,
            is_another,
            entry,
            is_read: Arc::clone(&is_asked),
            goes_on: Arc::clone(&told),
        };
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
        assert_eq!(read_one(&Place::default(), 4, 5, false).await, ["delivered 1-5"]);
    }

    #[tokio::test]
    async fn offsets_that_an_engine_gives_twice_are_a_gap() {
        let place = Place::default();
        read_one(&place, 8, 9, false).await;
        // It has lost its end, as a disk may when the power fails, or a standby that is behind.
        let heard = read_one(&place, 7, 8, false).await;
        let behind = "begun behind 1-9";
        assert_eq!(heard, [behind, behind, "past the log", behind]);
        // From then on it goes on, and nobody recovers who has heard any of those.
        assert_eq!(read_one(&place, 8, 10, false).await, ["delivered 1-10"]);
    }

    #[tokio::test]
    async fn an_end_that_was_lost_and_filled_up_by_others_is_a_gap() {
        let place = Place::default();
        read_one(&place, 8, 9, false).await;
        let behind = "begun behind 1-9";
        assert_eq!(read_one(&place, 9, 10, true).await, [behind, behind, "delivered 1-10"]);
    }

    /// A log with an entry that ends all connections which read it.
    struct Poisoned;

    impl Store for Poisoned {
        async fn last(&mut self, upto: Option<Offset>) -> Result<Offset, BusError> {
            Ok(upto.unwrap_or(Offset::new(1, 4)))
        }

        async fn first(&mut self, behind: Offset) -> Result<Option<Offset>, BusError> {
            Ok((behind < Offset::new(1, 5)).then_some(Offset::new(1, 5)))
        }

        async fn ago(&mut self, _past: Duration) -> Result<Offset, BusError> {
            Ok(Offset::BEGINNING)
        }

        async fn stamp(&mut self, _of: Offset) -> Result<u64, BusError> {
            Ok(0)
        }

        async fn page(&mut self, _: &str, _: Offset, _: Offset) -> Result<Page, BusError> {
            Ok(Page::default())
        }

        async fn next(&mut self, behind: Offset, _: &Subscriptions) -> Result<Page, BusError> {
            if behind < Offset::new(1, 5) {
                return Err(BusError::new("the connection is lost"));
            }
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn an_entry_that_ends_each_connection_is_passed_over_as_a_gap() {
        let (place, heard) = (Place::default(), Arc::<Heard>::default());
        for _ in 0..TRIES_MAX {
            let ended = Arc::<Notify>::default();
            let inlet = Inlet::new(&heard, Arc::default());
            let reader = Reader::new(&place, inlet, Arc::clone(&ended));
            reader.begin(Poisoned).await.unwrap();
            ended.notified().await;
        }
        assert!(!heard.0.lock().contains(&"refused".to_owned()));
        let reader = Reader::new(&place, Inlet::new(&heard, Arc::default()), Arc::default());
        reader.begin(Poisoned).await.unwrap();
        let heard = heard.0.lock();
        assert_eq!(heard[heard.len() - 2..], ["refused", "begun behind 1-5"]);
    }

    /// A log from 1-1 to 1-6 that loses its beginning while it is read, or ends each connection that reads it.
    struct Trimmed {
        is_trimmed: bool,
        is_poisoned: bool,
    }

    impl Store for Trimmed {
        async fn last(&mut self, upto: Option<Offset>) -> Result<Offset, BusError> {
            let upto = upto.unwrap_or(Offset::new(1, 6));
            Ok(if self.is_trimmed && upto < Offset::new(1, 5) { Offset::BEGINNING } else { upto })
        }

        async fn first(&mut self, _behind: Offset) -> Result<Option<Offset>, BusError> {
            Ok(Some(Offset::new(1, if self.is_trimmed { 5 } else { 1 })))
        }

        async fn ago(&mut self, _past: Duration) -> Result<Offset, BusError> {
            Ok(Offset::new(1, 2))
        }

        async fn stamp(&mut self, _of: Offset) -> Result<u64, BusError> {
            Ok(0)
        }

        async fn page(&mut self, _: &str, _: Offset, _: Offset) -> Result<Page, BusError> {
            if self.is_poisoned {
                return Err(BusError::new("the connection is lost"));
            }
            self.is_trimmed = true;
            let body = Body::Join { to: Selection::default(), rooms: vec!["room".into()] };
            let packet = Packet { from: "other".into(), to: None, namespace: "/".into(), body };
            let entry = Ok(Some(Entry { packet, number: 0 }));
            Ok(Page { entries: vec![(Offset::new(1, 6), entry)], ..Page::default() })
        }

        async fn next(&mut self, _: Offset, _: &Subscriptions) -> Result<Page, BusError> {
            std::future::pending().await
        }
    }

    async fn subscribe(
        place: &Place,
        heard: &Arc<Heard>,
        mut log: Trimmed,
    ) -> Result<(), BusError> {
        let reader = Reader::new(place, Inlet::new(heard, Arc::default()), Arc::default());
        let past = Some(Duration::from_secs(60));
        reader.subscribe(&"/".into(), &"uid".into(), past, &mut log).await
    }

    #[tokio::test]
    async fn a_history_that_makes_room_while_it_is_read_is_none() {
        let heard = Arc::<Heard>::default();
        let log = Trimmed { is_trimmed: false, is_poisoned: false };
        subscribe(&Place::default(), &heard, log).await.unwrap();
        let all = ["begun behind 1-1", "delivered 1-6", "begun behind 1-6"];
        assert_eq!(*heard.0.lock(), all);
    }

    #[tokio::test]
    async fn a_history_that_ends_each_connection_is_not_read_for_ever() {
        let (place, heard) = (Place::default(), Arc::<Heard>::default());
        let log = || Trimmed { is_trimmed: false, is_poisoned: true };
        for _ in 0..TRIES_MAX {
            subscribe(&place, &heard, log()).await.unwrap_err();
        }
        subscribe(&place, &heard, log()).await.unwrap();
        assert_eq!(heard.0.lock().last().unwrap(), "begun behind 1-6");
    }
}
