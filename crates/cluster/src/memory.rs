//! [`MemoryBus`]: an engine in memory, for servers of one process and for tests.

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use roomful_proto::cluster::{Packet, Presence};

use crate::bus::{Bus, BusError, BusFuture, Connection, Inlet};

/// An engine in memory. Give a clone of it to each [`Cluster`](crate::Cluster) that is to take part.
///
/// Servers of one process are joined with less by [`MemoryAdapter`](roomful::adapter::MemoryAdapter); this one goes
/// all the way that packets of other engines go.
#[derive(Clone)]
pub struct MemoryBus {
    hub: Arc<Hub>,
    presence: Presence,
}

#[derive(Default)]
struct Hub {
    connections: Mutex<HashMap<u64, Listener>>,
    opened: AtomicU64,
}

#[derive(Clone)]
struct Listener {
    inlet: Inlet,
    /// The namespaces that it has subscribed to, each as often as it did.
    namespaces: Vec<Arc<str>>,
}

struct MemoryConnection {
    hub: Arc<Hub>,
    number: u64,
}

impl MemoryBus {
    /// An engine whose nodes know of each other by heartbeats.
    pub fn new() -> Self {
        Self { hub: Arc::default(), presence: Presence::Heartbeats }
    }

    /// An engine that counts its nodes.
    pub fn counted() -> Self {
        Self { presence: Presence::Counted, ..Self::new() }
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus for MemoryBus {
    fn presence(&self) -> Presence {
        self.presence
    }

    fn connect(&self, inlet: Inlet) -> BusFuture<'_, Box<dyn Connection>> {
        Box::pin(async move {
            let number = self.hub.opened.fetch_add(1, Ordering::Relaxed);
            let listener = Listener { inlet, namespaces: Vec::new() };
            self.hub.connections.lock().insert(number, listener);
            let connection = MemoryConnection { hub: Arc::clone(&self.hub), number };
            Ok(Box::new(connection) as Box<dyn Connection>)
        })
    }
}

impl MemoryConnection {
    fn change(&self, change: impl FnOnce(&mut Vec<Arc<str>>)) {
        if let Some(listener) = self.hub.connections.lock().get_mut(&self.number) {
            change(&mut listener.namespaces);
        }
    }
}

impl Connection for MemoryConnection {
    fn subscribe<'a>(
        &'a self,
        namespace: &'a Arc<str>,
        _uid: &'a Arc<str>,
        _past: Option<Duration>,
    ) -> BusFuture<'a, ()> {
        self.change(|namespaces| namespaces.push(Arc::clone(namespace)));
        Box::pin(async { Ok(()) })
    }

    fn unsubscribe<'a>(&'a self, namespace: &'a Arc<str>, _uid: &'a Arc<str>) -> BusFuture<'a, ()> {
        self.change(|namespaces| {
            if let Some(at) = namespaces.iter().position(|subscribed| subscribed == namespace) {
                namespaces.swap_remove(at);
            }
        });
        Box::pin(async { Ok(()) })
    }

    fn publish<'a>(&'a self, packets: &'a [Packet]) -> BusFuture<'a, usize> {
        Box::pin(async move {
            let listeners: Vec<_> = self.hub.connections.lock().values().cloned().collect();
            for packet in packets {
                let hears = |listener: &&Listener| listener.namespaces.contains(&packet.namespace);
                for listener in listeners.iter().filter(hears) {
                    listener.inlet.deliver(packet.clone());
                }
            }
            Ok(0)
        })
    }

    fn count<'a>(&'a self, namespace: &'a Arc<str>) -> BusFuture<'a, usize> {
        let connections = self.hub.connections.lock();
        let each = connections.values().flat_map(|listener| &listener.namespaces);
        let count = each.filter(|subscribed| *subscribed == namespace).count();
        drop(connections);
        Box::pin(async move { Ok(count) })
    }

    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = BusError> + Send + '_>> {
        Box::pin(pending())
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        self.hub.connections.lock().remove(&self.number);
    }
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBus").field("presence", &self.presence).finish_non_exhaustive()
    }
}
