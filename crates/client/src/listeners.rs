//! [`Listeners`]: who hears what of one socket.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use roomful_proto::Args;
use roomful_proto::socket::packet::Event;

use crate::error::ConnectError;
use crate::events::Tap;
use crate::handler::{Ack, Erased, Started};
use crate::lock::lock;
use crate::socket::Socket;
use crate::status::Disconnection;

/// Sees each event that comes, and gives what is to be waited for, if anything is.
pub(crate) type AnyFn = dyn Fn(&str, &Args) -> Option<Started> + Send + Sync;
/// Sees each event that is emitted.
pub(crate) type OutgoingFn = dyn Fn(&str, &Args) + Send + Sync;
/// Takes an event that has no handler, and gives what is to be waited for, if anything is.
pub(crate) type UnhandledFn = dyn Fn(&str, Args, Ack) -> Option<Started> + Send + Sync;
/// Is called when a socket has connected.
pub(crate) type ConnectFn = dyn Fn(Socket) -> Started + Send + Sync;
/// Is called when a socket was disconnected.
pub(crate) type DisconnectFn = dyn Fn(Socket, Disconnection) -> Started + Send + Sync;
/// Is called when a socket could not be connected.
pub(crate) type ErrorFn = dyn Fn(Socket, Arc<ConnectError>) -> Started + Send + Sync;

/// Who hears what of one socket. Nothing is allocated before the first.
#[derive(Default)]
pub(crate) struct Listeners {
    table: Mutex<Option<Box<Table>>>,
    /// Whether there ever was a stream. Where none was, no event has to look for one.
    has_taps: AtomicBool,
    /// The same for listeners to what is emitted.
    has_outgoing: AtomicBool,
}

#[derive(Default)]
struct Table {
    on: HashMap<Box<str>, Erased>,
    once: HashMap<Box<str>, Erased>,
    any: Vec<Arc<AnyFn>>,
    any_outgoing: Vec<Arc<OutgoingFn>>,
    unhandled: Option<Arc<UnhandledFn>>,
    connect: Option<Arc<ConnectFn>>,
    disconnect: Option<Arc<DisconnectFn>>,
    error: Option<Arc<ErrorFn>>,
    taps: Vec<Weak<Tap>>,
}

/// What an event goes to.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) any: Vec<Arc<AnyFn>>,
    pub(crate) once: Option<Erased>,
    pub(crate) on: Option<Erased>,
    /// For an event that neither of both takes.
    pub(crate) unhandled: Option<Arc<UnhandledFn>>,
}

impl Listeners {
    fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> R {
        change(lock(&self.table).get_or_insert_default())
    }

    fn read<R: Default>(&self, read: impl FnOnce(&Table) -> R) -> R {
        lock(&self.table).as_deref().map(read).unwrap_or_default()
    }

    // A handler that is replaced is dropped when the lock is free: it may hold a user's values.

    pub(crate) fn on(&self, name: &str, handler: Erased) {
        let replaced = self.change(|table| table.on.insert(name.into(), handler));
        drop(replaced);
    }

    pub(crate) fn once(&self, name: &str, handler: Erased) {
        let replaced = self.change(|table| table.once.insert(name.into(), handler));
        drop(replaced);
    }

    /// Removes all handlers of an event; whether there was one.
    pub(crate) fn off(&self, name: &str) -> bool {
        let removed = self.change(|table| (table.on.remove(name), table.once.remove(name)));
        removed.0.is_some() || removed.1.is_some()
    }

    pub(crate) fn on_any(&self, listener: Arc<AnyFn>) {
        self.change(|table| table.any.push(listener));
    }

    pub(crate) fn on_any_outgoing(&self, listener: Arc<OutgoingFn>) {
        self.change(|table| table.any_outgoing.push(listener));
        self.has_outgoing.store(true, Ordering::Release);
    }

    pub(crate) fn off_any(&self) {
        let removed = self.change(|table| {
            (std::mem::take(&mut table.any), std::mem::take(&mut table.any_outgoing))
        });
        drop(removed);
    }

    pub(crate) fn on_unhandled(&self, listener: Arc<UnhandledFn>) {
        let replaced = self.change(|table| table.unhandled.replace(listener));
        drop(replaced);
    }

    pub(crate) fn on_connect(&self, listener: Arc<ConnectFn>) {
        let replaced = self.change(|table| table.connect.replace(listener));
        drop(replaced);
    }

    pub(crate) fn on_disconnect(&self, listener: Arc<DisconnectFn>) {
        let replaced = self.change(|table| table.disconnect.replace(listener));
        drop(replaced);
    }

    pub(crate) fn on_connect_error(&self, listener: Arc<ErrorFn>) {
        let replaced = self.change(|table| table.error.replace(listener));
        drop(replaced);
    }

    pub(crate) fn tap(&self, tap: &Arc<Tap>) {
        self.change(|table| {
            table.taps.retain(|tap| tap.strong_count() > 0);
            table.taps.push(Arc::downgrade(tap));
        });
        self.has_taps.store(true, Ordering::Release);
    }

    /// Gives an event to the streams that want it.
    pub(crate) fn pour(&self, event: &Event) {
        if !self.has_taps.load(Ordering::Acquire) {
            return;
        }
        let taps: Vec<_> = self.read(|table| table.taps.iter().filter_map(Weak::upgrade).collect());
        for tap in taps {
            tap.pour(event);
        }
    }

    /// The socket is no more: its streams end.
    pub(crate) fn end(&self) {
        let table = lock(&self.table).take();
        for tap in table.iter().flat_map(|table| &table.taps).filter_map(Weak::upgrade) {
            tap.end();
        }
    }

    /// Whom an event goes to. A handler for one event is taken off.
    pub(crate) fn heard(&self, name: &str) -> Heard {
        let mut table = lock(&self.table);
        let Some(table) = table.as_deref_mut() else {
            return Heard::default();
        };
        let once = if table.once.is_empty() { None } else { table.once.remove(name) };
        let (any, on) = (table.any.clone(), table.on.get(name).cloned());
        Heard { any, once, on, unhandled: table.unhandled.clone() }
    }

    /// Puts a handler for one event back, whose arguments did not fit; unless there is a newer one.
    pub(crate) fn put_back(&self, name: &str, once: Erased) {
        let replaced = self.change(|table| match table.once.entry(name.into()) {
            Entry::Occupied(_) => Some(once),
            Entry::Vacant(place) => {
                place.insert(once);
                None
            }
        });
        drop(replaced);
    }

    pub(crate) fn outgoing(&self) -> Vec<Arc<OutgoingFn>> {
        if !self.has_outgoing.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.read(|table| table.any_outgoing.clone())
    }

    pub(crate) fn connect(&self) -> Option<Arc<ConnectFn>> {
        self.read(|table| table.connect.clone())
    }

    pub(crate) fn disconnect(&self) -> Option<Arc<DisconnectFn>> {
        self.read(|table| table.disconnect.clone())
    }

    pub(crate) fn error(&self) -> Option<Arc<ErrorFn>> {
        self.read(|table| table.error.clone())
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Begun;

    /// A user's value that looks at the lock when it is dropped.
    struct Value {
        listeners: Arc<Listeners>,
        was_free: Arc<AtomicBool>,
    }

    impl Drop for Value {
        fn drop(&mut self) {
            let is_free = self.listeners.table.try_lock().is_ok();
            self.was_free.store(is_free, Ordering::Relaxed);
        }
    }

    fn handler(value: Option<Value>) -> Erased {
        Arc::new(move |_, _, _| {
            let _held = &value;
            Begun::Started(Box::pin(std::future::ready(None)))
        })
    }

    #[test]
    fn a_handler_that_is_dropped_holds_up_no_lock() {
        let check = |drops: fn(&Listeners, Erased)| {
            let (listeners, was_free) = (Arc::new(Listeners::default()), Arc::default());
            let value =
                Value { listeners: Arc::clone(&listeners), was_free: Arc::clone(&was_free) };
            drops(&listeners, handler(Some(value)));
            assert!(was_free.load(Ordering::Relaxed));
        };
        check(|listeners, handler| {
            listeners.on("x", handler);
            listeners.on("x", self::handler(None));
        });
        check(|listeners, handler| {
            listeners.once("x", handler);
            listeners.off("x");
        });
        check(|listeners, handler| {
            // A newer one was registered meanwhile.
            listeners.once("x", self::handler(None));
            listeners.put_back("x", handler);
        });
    }
}
