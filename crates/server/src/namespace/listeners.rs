//! Listeners beside the handlers: those that see every event, and those that hear one only once.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use roomful_proto::socket::Event;
use roomful_proto::{Args, EventError, SocketId, ToArgs};

use crate::ground::event_flow::EventFlow;
use crate::ground::target::Target;
use crate::namespace::erased::Erased;
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::socket_core::SocketCore;

/// A listener that was registered by [`Namespace::on_any`](crate::Namespace::on_any) and its kin.
/// Dropping this changes nothing.
#[derive(Clone)]
pub struct Listener {
    over: Arc<AtomicBool>,
    namespace: Weak<NamespaceCore>,
}

impl Listener {
    /// Removes it, for all sockets and from now on.
    #[doc(alias = "offAny")]
    #[doc(alias = "offAnyOutgoing")]
    pub fn off(&self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(namespace) = self.namespace.upgrade() {
            namespace.sweep();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = !self.over.load(Ordering::Relaxed);
        f.debug_struct("Listener").field("is_on", &is_on).finish_non_exhaustive()
    }
}

/// To whom something is sent, as those who watch are shown.
#[derive(Clone, Copy)]
pub(crate) enum Shown<'a> {
    One(SocketId),
    Many(&'a Target),
}

/// What happens to an event beside its handler. A table without all of this has none.
#[derive(Clone, Default)]
pub(crate) struct Extras {
    /// See every event first, in this order.
    pub(crate) any: Vec<Catch<AnyFn>>,
    /// Decide whether an event comes to its handler, one after the other.
    pub(crate) before: Vec<BeforeFn>,
    /// Which events wait for others, how large they may be, and how fast they may come.
    pub(crate) flow: EventFlow,
    /// By the name of the event. They go before the handlers.
    pub(crate) once: HashMap<Box<[u8]>, Arc<Once>, foldhash::fast::RandomState>,
}

impl Extras {
    /// The limit of an event's arguments, where they have more than that.
    pub(crate) fn exceeded_bytes_max(&self, event: &Event) -> Option<usize> {
        let bytes_max = self.flow.bytes_max_of(event.name_bytes())?;
        let attached: usize = event.args.attachments().iter().map(Bytes::len).sum();
        (event.args.as_json().len() + attached > bytes_max).then_some(bytes_max)
    }
}

pub(crate) type Passing = Pin<Box<dyn Future<Output = Result<Args, EventError>> + Send>>;
pub(crate) type BeforeFn =
    Arc<dyn Fn(&Arc<SocketCore>, String, Args) -> Option<Passing> + Send + Sync>;
pub(crate) type AnyFn = dyn Fn(&Arc<SocketCore>, &str, &Args) + Send + Sync;
pub(crate) type OutgoingFn = dyn Fn(&Arc<NamespaceCore>, Shown<'_>, &str, &Args) + Send + Sync;

/// Asks one function after the other whether an event may come to its handler. `None` when not; that
/// was told.
pub(crate) async fn pass(
    extras: Arc<Extras>,
    socket: Arc<SocketCore>,
    mut event: Event,
) -> Option<Event> {
    for before in &extras.before {
        match before(&socket, event.name().to_owned(), event.args.clone())?.await {
            Ok(args) => event = event.with_args(args),
            Err(error) => {
                socket.namespace.count(|metrics| &metrics.events_refused);
                socket.fail(event.name(), event.ack, &error);
                return None;
            }
        }
    }
    Some(event)
}

/// A function that sees every event, until it is over.
pub(crate) struct Catch<F: ?Sized> {
    function: Arc<F>,
    over: Arc<AtomicBool>,
    only_once: bool,
}

impl<F: ?Sized> Catch<F> {
    pub(crate) fn new(function: Arc<F>, only_once: bool) -> Self {
        Self { function, over: Arc::default(), only_once }
    }

    /// What the user gets to remove it.
    pub(crate) fn handle(&self, namespace: &Arc<NamespaceCore>) -> Listener {
        Listener { over: Arc::clone(&self.over), namespace: Arc::downgrade(namespace) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether both are of one registration.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.over, &other.over)
    }

    /// The function, if it is to be called.
    pub(crate) fn take(&self) -> Option<&F> {
        let over =
            if self.only_once { self.over.swap(true, Ordering::Relaxed) } else { self.is_over() };
        (!over).then_some(&*self.function)
    }
}

impl<F: ?Sized> Clone for Catch<F> {
    fn clone(&self) -> Self {
        let Self { function, over, only_once } = self;
        Self { function: Arc::clone(function), over: Arc::clone(over), only_once: *only_once }
    }
}

/// A handler of one event. One to which the arguments did not fit is still to come.
pub(crate) struct Once {
    pub(crate) handler: Erased,
    spent: AtomicBool,
}

impl Once {
    pub(crate) fn new(handler: Erased) -> Arc<Self> {
        Arc::new(Self { handler, spent: AtomicBool::new(false) })
    }

    /// Whether this event is the one.
    pub(crate) fn take(&self) -> bool {
        !self.spent.swap(true, Ordering::Relaxed)
    }

    /// It was not.
    pub(crate) fn give_back(&self) {
        self.spent.store(false, Ordering::Relaxed);
    }
}

impl NamespaceCore {
    /// Shows something that is about to be sent to whoever watches. Called without any lock.
    #[inline]
    pub(crate) fn show<T: ToArgs>(self: &Arc<Self>, to: Shown<'_>, event: &str, args: &T) {
        if self.is_watched() {
            self.show_watchers(to, event, args);
        }
    }

    #[cold]
    fn show_watchers<T: ToArgs>(self: &Arc<Self>, to: Shown<'_>, event: &str, args: &T) {
        // What cannot be written is told where it is to be sent.
        let (Some(core), Ok(args)) = (self.registry(), Args::new(args)) else {
            return;
        };
        let mut over = false;
        for watcher in self.watchers().iter() {
            if let Some(function) = watcher.take() {
                core.guarded("a function of on_any_outgoing", || function(self, to, event, &args));
            }
            over |= watcher.is_over();
        }
        if over {
            self.sweep_watchers();
        }
    }
}
