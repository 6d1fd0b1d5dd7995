//! [`Shared`]: what the parts of a cluster and its keeper share.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use roomful_proto::cluster::{Malformed, Offset, Packet, RelaySettings};
use roomful_proto::{Limits, Moment};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::bus::{Bus, Hears, Inlet};
use crate::cluster::ClusterSettings;
use crate::outbox::{Order, Outbox};
use crate::part::Part;
use crate::stats::{ClusterState, Counters};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) settings: ClusterSettings,
    pub(crate) outbox: Outbox,
    pub(crate) counters: Counters,
    pub(crate) state: watch::Sender<ClusterState>,
    pub(crate) runtime: Handle,
    /// Requests of other nodes that may be answered at the same time.
    pub(crate) answering: Arc<Semaphore>,
    /// All up to this entry of the log was given to the parts.
    pub(crate) reached: Mutex<Offset>,
    limits: Arc<Limits>,
    began: Instant,
    /// The namespaces that take part: mostly one part for each, and several where servers of this process share
    /// the cluster. A list is replaced when it changes, so no lock is held while something is delivered.
    parts: Mutex<HashMap<Arc<str>, Parts>>,
}

type Parts = Arc<[Weak<Part>]>;

impl Shared {
    pub(crate) fn new(bus: Arc<dyn Bus>, settings: ClusterSettings) -> Self {
        let mut limits = Limits::default();
        limits.payload_bytes_max = settings.packet_bytes_max;
        Self {
            bus,
            outbox: Outbox::new(settings.waiting_max, settings.waiting_bytes_max),
            counters: Counters::default(),
            state: watch::Sender::new(ClusterState::Connecting),
            runtime: Handle::current(),
            answering: Arc::new(Semaphore::new(settings.requests_max.min(Semaphore::MAX_PERMITS))),
            reached: Mutex::default(),
            limits: Arc::new(limits),
            began: Instant::now(),
            parts: Mutex::default(),
            settings,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::from_millis(self.began.elapsed().as_millis() as u64)
    }

    pub(crate) fn inlet(self: &Arc<Self>) -> Inlet {
        Inlet::new(self, Arc::clone(&self.limits))
    }

    pub(crate) fn relay_settings(&self) -> RelaySettings {
        let mut settings = RelaySettings::new(self.bus.presence());
        settings.heartbeat_interval = self.settings.heartbeat_interval;
        settings.heartbeat_timeout = self.settings.heartbeat_timeout;
        settings.requests_max = self.settings.requests_max;
        settings
    }

    pub(crate) fn enter(&self, state: ClusterState) {
        self.state.send_replace(state);
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.state.borrow() == ClusterState::Up
    }

    /// Puts an order into the outbox; `false` when there was no room, which is counted.
    pub(crate) fn order(&self, order: Order) -> bool {
        let has_room = self.outbox.push(order).is_ok();
        if !has_room {
            self.counters.dropped_full.add(1);
        }
        has_room
    }

    pub(crate) fn add(&self, part: &Arc<Part>) {
        let mut parts = self.parts.lock();
        let list = parts.entry(Arc::clone(&part.namespace)).or_default();
        *list = list.iter().cloned().chain([Arc::downgrade(part)]).collect();
    }

    pub(crate) fn remove(&self, part: &Part) {
        let mut parts = self.parts.lock();
        let Some(list) = parts.get_mut(&part.namespace) else {
            return;
        };
        let is_another = |other: &&Weak<Part>| other.as_ptr() != std::ptr::from_ref(part);
        *list = list.iter().filter(is_another).cloned().collect();
        if list.is_empty() {
            parts.remove(&part.namespace);
        }
    }

    /// All parts.
    pub(crate) fn parts(&self) -> Vec<Arc<Part>> {
        let parts = self.parts.lock();
        parts.values().flat_map(|list| list.iter()).filter_map(Weak::upgrade).collect()
    }

    fn parts_of(&self, namespace: &str) -> Parts {
        self.parts.lock().get(namespace).cloned().unwrap_or_default()
    }

    /// The part whose packet it is.
    pub(crate) fn asking(&self, packet: &Packet) -> Option<Arc<Part>> {
        let parts = self.parts_of(&packet.namespace);
        parts.iter().filter_map(Weak::upgrade).find(|part| part.uid == packet.from)
    }

    /// How many other nodes have been heard in a namespace.
    pub(crate) fn heard(&self, namespace: &str) -> usize {
        let parts = self.parts_of(namespace);
        parts.iter().filter_map(Weak::upgrade).map(|part| part.heard()).max().unwrap_or(0)
    }

    /// Whether somebody of any server is in a room.
    pub(crate) fn is_in_room(&self, namespace: &str, room: &str) -> bool {
        let parts = self.parts_of(namespace);
        parts.iter().filter_map(Weak::upgrade).any(|part| part.has_room(room))
    }

    pub(crate) fn note_unsaid(&self, count: usize) {
        if count > 0 {
            self.counters.dropped_unsaid.add(count);
            tracing::warn!(count, bus = ?self.bus, "not sent to other nodes: too large for the engine");
        }
    }
}

impl Hears for Shared {
    fn has_room(&self, namespace: &str, room: &str) -> bool {
        let parts = self.parts_of(namespace);
        parts.iter().filter_map(Weak::upgrade).any(|part| part.may_have(room))
    }

    fn recovers(&self, namespace: &str) -> bool {
        let parts = self.parts_of(namespace);
        parts.iter().filter_map(Weak::upgrade).any(|part| part.log_of.is_some())
    }

    fn needs(&self, namespace: &str, from: &str, rooms: &[&str]) -> bool {
        let parts = self.parts_of(namespace);
        parts
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|part| *part.uid != *from)
            .any(|part| rooms.iter().any(|room| part.may_have(room)))
    }

    fn deliver(&self, packet: Packet) {
        let mut is_own = false;
        let parts = self.parts_of(&packet.namespace);
        for part in parts.iter().filter_map(Weak::upgrade) {
            is_own |= part.uid == packet.from;
            part.receive(packet.clone());
        }
        self.counters.received.add(usize::from(!is_own));
    }

    fn begin_log(&self, namespace: Option<&str>, uid: Option<&str>, offset: Offset) {
        let parts = self.parts();
        let is_meant = |part: &&Arc<Part>| {
            namespace.is_none_or(|namespace| *part.namespace == *namespace)
                && uid.is_none_or(|uid| *part.uid == *uid)
        };
        parts.iter().filter(is_meant).for_each(|part| part.begin_log(offset));
    }

    fn log_begun(&self, namespace: &str, uid: &str) {
        let parts = self.parts_of(namespace);
        let parts = parts.iter().filter_map(Weak::upgrade).filter(|part| *part.uid == *uid);
        parts.for_each(|part| part.note_begun());
    }

    fn log_reached(&self, offset: Offset) {
        *self.reached.lock() = offset;
    }

    fn pass_over(&self) {
        self.counters.passed_over.add(1);
    }

    fn refuse(&self, why: Malformed) {
        self.counters.malformed.add(1);
        tracing::debug!(%why, bus = ?self.bus, "something of the engine is not taken");
    }
}
