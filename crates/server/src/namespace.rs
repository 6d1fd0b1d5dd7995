//! [`Namespace`]: handlers, rooms and sockets under one name.
//!
//! The handlers are one table for all sockets. A socket keeps the table that was there when it
//! came, so looking up a handler takes no lock, and a handler that is registered later counts for
//! those who come later.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use roomful_proto::deflate::Deflate;
use roomful_proto::{AckId, Args, Letter, Reason, SocketId, ToArgs};

use crate::broadcast::{Broadcast, Poll};
use crate::core::{Core, WeakCore};
use crate::event::{EmitName, OnName};
use crate::handler::{self, Data, Erased, Handler, Started};
use crate::hello::{Connect, Hello, Refusal, Types};
use crate::link::Link;
use crate::metrics::{Counter, Metrics};
use crate::rooms::{NotJoined, Rooms};
use crate::socket::{Member, Socket, SocketCore};

/// Handlers, rooms and sockets under one name. A cheap handle.
///
/// `A` is the server's shared state, `U` what [`connect`](Self::connect) remembers of each socket.
pub struct Namespace<A = (), U = ()> {
    pub(crate) core: Arc<NamespaceCore>,
    types: Types<A, U>,
}

pub(crate) struct NamespaceCore {
    pub(crate) name: Box<str>,
    pub(crate) rooms: Rooms<Member>,
    pub(crate) state: Arc<dyn Any + Send + Sync>,
    pub(crate) ack_timeout: Duration,
    pub(crate) asks_max: usize,
    rooms_max: usize,
    deflate: Option<Arc<Deflate>>,
    core: WeakCore,
    table: RwLock<Arc<Table>>,
    /// Questions to many, by their id; that of a broadcast is odd.
    polls: Mutex<HashMap<AckId, Arc<Poll>>>,
    polls_asked: AtomicU64,
}

type ConnectFn =
    Arc<dyn Fn(&Arc<Link>, &Arc<NamespaceCore>, Option<Bytes>) -> Option<Deciding> + Send + Sync>;
pub(crate) type Deciding = Pin<Box<dyn Future<Output = Result<Data, Refusal>> + Send>>;
type Greet = Arc<dyn Fn(&Arc<SocketCore>) -> Option<Started> + Send + Sync>;
type Farewell = Arc<dyn Fn(&Arc<SocketCore>, Reason) -> Option<Started> + Send + Sync>;
type Other = Arc<dyn Fn(&Arc<SocketCore>, String, Args) -> Option<Started> + Send + Sync>;

/// The functions of a namespace.
#[derive(Clone, Default)]
pub(crate) struct Table {
    /// `None` lets everyone in.
    pub(crate) connect: Option<ConnectFn>,
    pub(crate) on_connect: Option<Greet>,
    pub(crate) on_disconnecting: Option<Farewell>,
    pub(crate) on_disconnect: Option<Farewell>,
    pub(crate) events: HashMap<Box<[u8]>, Erased, foldhash::fast::RandomState>,
    pub(crate) other: Option<Other>,
}

impl<A: Send + Sync + 'static, U: Send + Sync + 'static> Namespace<A, U> {
    pub(crate) const fn new(core: Arc<NamespaceCore>) -> Self {
        Self { core, types: PhantomData }
    }

    /// Decides who may join, and what is remembered of them: an async function of the [`Hello`]
    /// that gives `Ok(data)` or a [`Refusal`], which the client is told. Without one everybody
    /// may join. When the client leaves before it has decided, the function is dropped where it
    /// waits.
    ///
    /// The namespace that this gives has sockets of that data; register their handlers on it.
    pub fn connect<V, C>(self, connect: C) -> Namespace<A, V>
    where
        V: Send + Sync + 'static,
        C: Connect<A, V>,
    {
        let connect = Arc::new(connect);
        self.core.change(|table| {
            table.connect = Some(Arc::new(move |link, namespace, auth| {
                let hello = Hello::<A>::new(link, namespace, auth)?;
                let deciding = connect.decide(hello);
                let remember = |data| Box::new(data) as Data;
                Some(Box::pin(async move { deciding.await.map(remember) }))
            }));
        });
        Namespace::new(self.core)
    }

    /// Called with each socket that has joined, before its first event.
    pub fn on_connect<F, Fut>(&self, greet: F) -> &Self
    where
        F: Fn(Socket<A, U>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.core.change(|table| {
            table.on_connect =
                Some(Arc::new(move |core| Some(handler::unasked(greet(Socket::new(core)?)))));
        });
        self
    }

    /// Called with each socket that is about to leave, and why. Until its first wait it finds the
    /// socket still in its rooms; nothing can be sent to the socket itself any more.
    pub fn on_disconnecting<F, Fut>(&self, farewell: F) -> &Self
    where
        F: Fn(Socket<A, U>, Reason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.core.change(|table| table.on_disconnecting = Some(erase_farewell(farewell)));
        self
    }

    /// Called with each socket that has left, and why. Its rooms are left already.
    pub fn on_disconnect<F, Fut>(&self, farewell: F) -> &Self
    where
        F: Fn(Socket<A, U>, Reason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.core.change(|table| table.on_disconnect = Some(erase_farewell(farewell)));
        self
    }

    /// Calls `handler` for each event of that name. See [`Handler`] for what it can be; what it
    /// returns is the ack. A second handler for a name takes the place of the first.
    pub fn on<N, H, M>(&self, event: N, handler: H) -> &Self
    where
        N: OnName<M>,
        H: Handler<A, U, M>,
    {
        let erased = handler::erase(handler);
        self.core.change(|table| {
            table.events.insert(event.event_name().as_bytes().into(), erased);
        });
        self
    }

    /// Called for each event that has no handler of its own, with its name and its arguments.
    pub fn on_other<F, Fut>(&self, other: F) -> &Self
    where
        F: Fn(Socket<A, U>, String, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.core.change(|table| {
            table.other = Some(Arc::new(move |core, name, args| {
                Some(handler::unasked(other(Socket::new(core)?, name, args)))
            }));
        });
        self
    }

    /// The socket of that id, if it is here and has this namespace's data.
    pub fn socket(&self, id: SocketId) -> Option<Socket<A, U>> {
        Socket::new(&self.core.rooms.get(id)?.socket)
    }
}

fn erase_farewell<A, U, F, Fut>(farewell: F) -> Farewell
where
    A: 'static,
    U: 'static,
    F: Fn(Socket<A, U>, Reason) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |core, reason| Some(handler::unasked(farewell(Socket::new(core)?, reason))))
}

impl<A, U> Namespace<A, U> {
    /// The name, such as `/` or `/chat`.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Sockets in the namespace.
    pub fn len(&self) -> usize {
        self.core.rooms.len()
    }

    /// Whether nobody is in the namespace.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everyone in the namespace.
    pub fn everyone(&self) -> Broadcast {
        Broadcast::new(&self.core)
    }

    /// Everyone in a room.
    pub fn to(&self, room: impl Into<String>) -> Broadcast {
        self.everyone().to(room)
    }

    /// Everyone who is not in a room.
    pub fn except(&self, room: impl Into<String>) -> Broadcast {
        self.everyone().except(room)
    }

    /// Sends an event to everyone in the namespace.
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        self.everyone().emit(event, args);
    }
}

impl NamespaceCore {
    pub(crate) fn new(name: &str, core: &Core, weak: WeakCore) -> Self {
        Self {
            name: name.into(),
            rooms: Rooms::default(),
            state: Arc::clone(&core.state),
            ack_timeout: core.config.ack_timeout,
            asks_max: core.config.asks_max,
            rooms_max: core.config.rooms_max,
            deflate: core.deflate.clone(),
            core: weak,
            table: RwLock::default(),
            polls: Mutex::default(),
            polls_asked: AtomicU64::new(0),
        }
    }

    /// The server; `None` when it was dropped.
    pub(crate) fn core(&self) -> Option<Arc<Core>> {
        self.core.upgrade()
    }

    /// The handlers as they are now.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        change(Arc::make_mut(&mut self.table.write()));
    }

    pub(crate) fn count(&self, counter: impl Fn(&Metrics) -> &Counter) {
        if let Some(core) = self.core() {
            counter(&core.metrics).add();
        }
    }

    /// Says of a letter how it is to be compressed.
    pub(crate) fn packed(&self, letter: Letter, compress: bool) -> Letter {
        match &self.deflate {
            _ if !compress => letter.deflated_by(Deflate::never()),
            Some(deflate) if letter.len() >= deflate.threshold() => letter.deflated_by(deflate),
            _ => letter,
        }
    }

    pub(crate) fn join(&self, id: SocketId, room: &str) -> Result<bool, NotJoined> {
        let joined = self.rooms.join(id, room, self.rooms_max);
        if joined == Err(NotJoined::TooMany) {
            self.count(|metrics| &metrics.rooms_refused);
        }
        joined
    }

    /// A socket leaves: its rooms, and the questions to many that still wait for it.
    pub(crate) fn exit(&self, id: SocketId) {
        self.rooms.exit(id);
        let polls: Vec<_> = self.polls.lock().values().cloned().collect();
        for poll in polls {
            poll.gone(id);
        }
    }

    /// The id of the next question to many.
    pub(crate) fn next_poll_id(&self) -> Option<AckId> {
        AckId::new((self.polls_asked.fetch_add(1, Ordering::Relaxed) % (1 << 50)) * 2 + 1)
    }

    pub(crate) fn open_poll(&self, id: AckId, poll: Arc<Poll>) {
        self.polls.lock().insert(id, poll);
    }

    pub(crate) fn close_poll(&self, id: AckId) {
        self.polls.lock().remove(&id);
    }

    pub(crate) fn poll(&self, id: AckId) -> Option<Arc<Poll>> {
        self.polls.lock().get(&id).cloned()
    }
}

impl<A, U> Clone for Namespace<A, U> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), types: PhantomData }
    }
}

impl<A, U> fmt::Debug for Namespace<A, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.core.name)
            .field("sockets", &self.len())
            .finish_non_exhaustive()
    }
}
