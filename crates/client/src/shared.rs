//! [`Shared`]: one client: its manager, which its handles and the task of its connection share.
//!
//! The client lives as long as somebody has a handle ([`Handle`]). Tasks hold [`Shared`], which has the handle weakly.
//! With the last handle the sockets leave, the connection is closed in order, and what listeners hold is dropped. A
//! handler that runs is given a handle.
//!
//! The status of a socket is set under the lock of [`State`], so that it cannot come behind what a user has told the
//! client since. What led to a status is counted before it (`Outcomes`): of several in a row a user sees the last.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Waker;
use std::time::Instant;

use roomful_proto::engine::Transport;
use roomful_proto::socket::Manager;
use roomful_proto::socket::manager::{Key, NoAck};
use roomful_proto::{Args, DisconnectReason, Moment};
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Notify, oneshot, watch};

use crate::core::Core;
use crate::counters::Counters;
use crate::driver::Driver;
use crate::inbox::{self, Inbox, Job};
use crate::lock::lock;
use crate::settings::Settings;
use crate::status::Status;

/// Who waits for an ack.
pub(crate) type Waiter = oneshot::Sender<Result<Args, NoAck>>;

/// Who waits until the server has read all that was emitted.
pub(crate) type Asker = oneshot::Sender<()>;

/// One client.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) inbox: Inbox,
    pub(crate) counters: Counters,
    origin: Instant,
    state: Mutex<State>,
    /// What all handles have in common; gone with the last of them.
    handle: OnceLock<Weak<Handle>>,
    runtime: OnceLock<Runtime>,
    /// Told when the task of the connection rests or ends.
    rests: Notify,
}

/// What a lock guards.
pub(crate) struct State {
    pub(crate) manager: Manager<Waiter>,
    pub(crate) cores: Vec<Option<Arc<Core>>>,
    /// Connections so far, and which of them is there or is being opened.
    pub(crate) sessions: u64,
    pub(crate) session: Option<u64>,
    /// The transport that carries the session, while one is open.
    transport: Option<Transport>,
    /// Tells of each change of it. Not there before somebody watches.
    watched: Option<watch::Sender<Option<Transport>>>,
    /// What is sent now leaves at once.
    pub(crate) writable: bool,
    /// No handle is left.
    pub(crate) abandoned: bool,
    /// The task of the connection is there.
    pub(crate) running: bool,
    /// Something has changed since it looked last: it does not rest before it has looked again.
    pub(crate) changed: bool,
    /// Streams that end beside all else.
    pub(crate) parting: usize,
    /// Who is to be told when the server has read all that was emitted. Gone with the connection.
    pub(crate) askers: Vec<Asker>,
    /// Wakes it; there while it rests.
    pub(crate) waker: Option<Waker>,
}

impl State {
    /// The sockets that are connected, or are to be. What is said of them is said under the lock: else it
    /// could come behind what a user has told them, and was shown, meanwhile.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Arc<Core>> {
        self.cores.iter().flatten().filter(|core| self.manager.is_active(core.key))
    }

    pub(crate) const fn transport(&self) -> Option<Transport> {
        self.transport
    }

    pub(crate) fn set_transport(&mut self, transport: Option<Transport>) {
        self.transport = transport;
        if let Some(watched) = &self.watched {
            watched.send_if_modified(|before| std::mem::replace(before, transport) != transport);
        }
    }

    pub(crate) fn watch_transport(&mut self) -> watch::Receiver<Option<Transport>> {
        let transport = self.transport;
        self.watched.get_or_insert_with(|| watch::Sender::new(transport)).subscribe()
    }

    /// There is no connection any more. Gives back who asked, who learn it when they are dropped: not under
    /// the lock.
    pub(crate) fn disconnected(&mut self) -> Vec<Asker> {
        self.set_transport(None);
        (self.session, self.writable) = (None, false);
        std::mem::take(&mut self.askers)
    }

    /// Asks when the server has read all that was emitted. Without a connection the asker is dropped.
    pub(crate) fn ask(&mut self, asker: Asker) {
        if self.transport.is_some() {
            // Those who did not wait so long have gone.
            self.askers.retain(|asker| !asker.is_closed());
            self.askers.push(asker);
        }
    }

    /// The askers, if all has left that is to leave on this connection.
    pub(crate) fn take_askers(&mut self) -> Vec<Asker> {
        match self.manager.leaving_bytes() {
            0 => std::mem::take(&mut self.askers),
            _ => Vec::new(),
        }
    }

    /// The socket leaves its namespace, or gives up to get there.
    pub(crate) fn leave(&mut self, core: &Core) {
        if self.manager.is_active(core.key) {
            self.manager.disconnect(core.key);
            core.set_status(Status::Disconnected(DisconnectReason::ClientDisconnect.into()));
        }
    }
}

/// What all handles of a client hold. With the last of them the client ends.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl Shared {
    pub(crate) fn start(settings: Settings, seed: u64) -> Arc<Handle> {
        let manager = Manager::new(Arc::clone(&settings.manager), settings.parser.clone(), seed);
        let inbox = Inbox::new(settings.inbox_bytes_max, settings.handlers_max);
        let shared = Arc::new(Self {
            settings,
            inbox,
            counters: Counters::default(),
            origin: Instant::now(),
            state: Mutex::new(State {
                manager,
                cores: Vec::new(),
                sessions: 0,
                session: None,
                transport: None,
                watched: None,
                writable: false,
                abandoned: false,
                running: false,
                changed: false,
                parting: 0,
                askers: Vec::new(),
                waker: None,
            }),
            handle: OnceLock::new(),
            runtime: OnceLock::new(),
            rests: Notify::new(),
        });
        let handle = Arc::new(Handle { shared: Arc::clone(&shared) });
        let _ = shared.handle.set(Arc::downgrade(&handle));
        handle
    }

    /// The handle, while anybody has one.
    pub(crate) fn handle(&self) -> Option<Arc<Handle>> {
        self.handle.get().and_then(Weak::upgrade)
    }

    pub(crate) fn now(&self) -> Moment {
        let ms = self.origin.elapsed().as_millis();
        Moment::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// The same moment on the clock of the system.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        let since = std::time::Duration::from_millis(moment.as_millis());
        // A moment beyond all times is as good as one in thirty years.
        let far = std::time::Duration::from_secs(30 * 365 * 24 * 60 * 60);
        self.origin + since.min(far)
    }

    /// Looks at the state.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut lock(&self.state))
    }

    /// Changes the state, and sees to it that the task of the connection does what follows. No user's code
    /// may run in `act`, but for a `Parser`.
    pub(crate) fn act<R>(self: &Arc<Self>, act: impl FnOnce(&mut State, Moment) -> R) -> R {
        let now = self.now();
        let (result, waker, start) = {
            let mut state = lock(&self.state);
            let result = act(&mut state, now);
            if state.running {
                state.changed = true;
                (result, state.waker.take(), false)
            } else {
                let start = self.runtime().is_some();
                (state.running, state.changed) = (start, start);
                (result, None, start)
            }
        };
        waker.into_iter().for_each(Waker::wake);
        if start {
            self.spawn(Driver::new(Arc::clone(self)));
        }
        result
    }

    /// Whether the server takes so little that nothing more should be read of it, and nothing answered.
    pub(crate) fn is_behind(&self) -> bool {
        let max = self.settings.backlog_bytes_max();
        self.look(|state| state.manager.outgoing().len() > max)
    }

    /// Waits until it is not.
    pub(crate) async fn catch_up(&self) {
        let max = self.settings.backlog_bytes_max();
        self.until(|state| state.manager.outgoing().len() <= max).await;
    }

    /// Waits until that is so at a moment when the task of the connection rests.
    pub(crate) async fn until(&self, is_so: impl Fn(&mut State) -> bool) {
        loop {
            let mut rests = std::pin::pin!(self.rests.notified());
            // What happens from here on is not missed.
            rests.as_mut().enable();
            if self.look(&is_so) {
                return;
            }
            rests.await;
        }
    }

    /// The task of the connection rests, or has ended.
    pub(crate) fn rests(&self) {
        self.rests.notify_waiters();
    }

    /// Wakes the task of the connection, if it is there.
    pub(crate) fn wake(&self) {
        let waker = {
            let mut state = lock(&self.state);
            state.changed = state.running;
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Gives news to the user's functions.
    pub(crate) fn deliver(self: &Arc<Self>, job: Job) {
        if self.inbox.push(job) {
            self.spawn(inbox::work(Arc::clone(self)));
        }
    }

    /// The runtime in which this client lives: the first in which it was used.
    pub(crate) fn runtime(&self) -> Option<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Some(runtime);
        }
        let runtime = Runtime::try_current().ok()?;
        Some(self.runtime.get_or_init(|| runtime))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.runtime() {
            runtime.spawn(task);
        }
    }

    /// Lets a stream end beside all else, which takes no longer than a second.
    pub(crate) fn part(self: &Arc<Self>, goodbye: impl Future<Output = ()> + Send + 'static) {
        self.look(|state| state.parting += 1);
        let parting = Parting(Arc::clone(self));
        self.spawn(async move {
            goodbye.await;
            drop(parting);
        });
    }

    pub(crate) fn core(&self, key: Key) -> Option<Arc<Core>> {
        lock(&self.state).cores.get(key.index()).and_then(Option::clone)
    }

    /// The last handle is gone: all sockets leave, and the connection is closed in order.
    fn abandon(self: &Arc<Self>) {
        let runs = self.act(|state, _| {
            state.abandoned = true;
            let keys: Vec<_> = state.cores.iter().flatten().map(|core| core.key).collect();
            keys.into_iter().for_each(|key| state.manager.remove(key));
            state.running
        });
        if !runs && self.runtime().is_none() {
            self.end();
        }
    }

    /// Nothing is left to do for a client that nobody has any more.
    pub(crate) fn end(&self) {
        let cores = self.look(|state| std::mem::take(&mut state.cores));
        for core in cores.iter().flatten() {
            // What listeners hold is a user's: it is dropped when no lock is held, and can panic.
            if catch_unwind(AssertUnwindSafe(|| core.listeners.end())).is_err() {
                tracing::error!("what a handler held panicked where it was dropped");
            }
        }
    }
}

/// A stream that ends beside all else, until it has.
struct Parting(Arc<Shared>);

impl Drop for Parting {
    fn drop(&mut self) {
        self.0.look(|state| state.parting -= 1);
        self.0.rests();
    }
}
