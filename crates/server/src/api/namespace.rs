//! [`Namespace`]: handlers, rooms and sockets under one name.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use roomful_proto::event::{CallName, EmitName, OnName};
use roomful_proto::{Args, EventError, FromArg, Reason, SocketId, ToArgs};

use crate::api::broadcast::{Broadcast, Others, Recipients};
use crate::api::handler::{self, Handler};
use crate::api::hello::{Connect, Hello, Types};
use crate::api::socket::{Socket, misfit};
use crate::ground::errors::emit_error::EmitError;
use crate::ground::event_flow::EventFlow;
use crate::ground::room_names::RoomNames;
use crate::ground::target::Target;
use crate::namespace::adapter::{Message, Reply};
use crate::namespace::erased::{self, Data, DataType};
use crate::namespace::family::standing::Hold;
use crate::namespace::listeners::{AnyFn, BeforeFn, Catch, Listener, Once, OutgoingFn, Shown};
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::table::{
    Carry, Greet, OnError, Other, Parting, RestoreData, Same, ServerSide, ShareData, Slow, Table,
};

/// Handlers, rooms and sockets under one name. A cheap handle.
///
/// `A` is the server's shared state, `U` what [`connect`](Self::connect) remembers of each socket.
#[doc(alias = "nsp")]
pub struct Namespace<A = (), U = ()> {
    pub(crate) core: Arc<NamespaceCore>,
    pub(crate) hold: Hold,
    types: Types<A, U>,
}

impl<A: Send + Sync + 'static, U: Send + Sync + 'static> Namespace<A, U> {
    pub(crate) const fn new(core: Arc<NamespaceCore>) -> Self {
        Self::held(core, Hold::Found)
    }

    pub(crate) const fn held(core: Arc<NamespaceCore>, hold: Hold) -> Self {
        Self { core, hold, types: PhantomData }
    }

    /// Decides who may join, and what is remembered of them: an async function of the [`Hello`]
    /// that gives `Ok(data)` or a [`Refusal`](crate::Refusal), which the client is told. Without one
    /// everybody may join. When the client leaves before it has decided, the function is dropped where
    /// it waits; so it is after [`Builder::decision_timeout`](crate::Builder::decision_timeout), and the client
    /// is refused.
    ///
    /// How many of these functions run at the same time is bounded, of one connection by
    /// [`Builder::decisions_max`](crate::Builder::decisions_max) and of the server by
    /// [`Builder::deciding_bytes_max`](crate::Builder::deciding_bytes_max). Further clients wait for their turn.
    ///
    /// On a namespace that stands for others it decides about all of them from now on, also about those
    /// that there are.
    ///
    /// The namespace that this gives has sockets of that data; register their handlers on it.
    ///
    /// A second `connect` takes the place of the first, and the log says so: only the second is asked. Where it gives
    /// data of another type, functions that are for sockets with the data of the first are not called for sockets
    /// that come from then on. The log says that at once, and again where it happens; it is counted in
    /// [`Stats::functions_misfit`](crate::Stats::functions_misfit). An event whose handler is such a function is
    /// answered `internal_error`, as is one that such a function of [`before`](Self::before) would have been asked
    /// about, and the function of [`on_error`](Self::on_error) is told. Register them anew on the namespace that the
    /// second `connect` gives.
    ///
    /// A closure that only refuses does not say what data it would give, so name it. A function has a place for
    /// that:
    ///
    /// ```
    /// # use roomful::{Hello, Refusal, Server};
    /// # let io = Server::new();
    /// io.of("/old").connect(async |_: Hello| Err::<(), _>(Refusal::new("closed")));
    ///
    /// async fn closed(_: Hello) -> Result<(), Refusal> {
    ///     Err(Refusal::new("closed"))
    /// }
    /// io.of("/older").connect(closed);
    /// ```
    #[doc(alias = "use")]
    #[doc(alias = "middleware")]
    pub fn connect<V: Send + Sync + 'static>(
        &self,
        connect: impl Connect<A, V>,
    ) -> Namespace<A, V> {
        let connect = Arc::new(connect);
        let given = DataType::of::<V>();
        let changed = self.change(|table| {
            table.own_door |= self.core.lineage().is_some();
            let (fits, wanted) = (table.give(given), table.wanted);
            let old = table.connect.replace(Arc::new(move |link, namespace, auth| {
                let hello = Hello::<A>::new(link, namespace, auth)?;
                let deciding = connect.decide(hello);
                let remember = |data| Arc::new(data) as Data;
                Some(Box::pin(async move { deciding.await.map(remember) }))
            }));
            (old, fits, wanted)
        });
        if let Some((old, fits, wanted)) = changed {
            self.warn_replaced("connect", old.is_some());
            if !fits {
                tracing::error!(
                    namespace = ?self.core.name,
                    given = given.name,
                    wanted = wanted.name,
                    "functions of this namespace are for sockets with other data than this connect gives: they \
                     will not be called for sockets that come from now on, until they are registered anew"
                );
            }
        }
        Namespace::held(Arc::clone(&self.core), self.hold)
    }

    /// Decides whether a client that comes back, and that [`connect`](Self::connect) has let in with
    /// the data `new`, is the one that was lost, of which `old` is remembered: `|old, new| …`. If so it
    /// gets its socket back, with the new data. Compare who they are, such as `old.user == new.user`: then a
    /// token may be another one each time. Without this function, a client is the same if it
    /// gives the same auth payload, cookies and `Authorization` as before; see [`Recovery`](crate::Recovery).
    ///
    /// Only where sockets can be recovered: see [`Builder::recovery`](crate::Builder::recovery).
    pub fn same_visitor<F>(&self, same: F) -> &Self
    where
        F: Fn(&U, &U) -> bool + Send + Sync + 'static,
    {
        let same: Same = Arc::new(move |old, new| {
            let both = erased::read(old).zip(erased::read(new));
            both.is_some_and(|(old, new)| same(old, new))
        });
        self.put("same_visitor", |table| table.same.replace(same))
    }

    /// Takes over what is to stay when a client gets its socket back: `|old, new| …`, where `old` is what was
    /// remembered of it, and `new`, which becomes its data, what [`connect`](Self::connect) has now returned.
    /// Without this function nothing of `old` stays. It is called before it is quite certain: a client whose
    /// socket is revoked just then gets a new one, with `new`.
    ///
    /// ```
    /// # struct User { is_admin: bool, score: std::sync::atomic::AtomicU64 }
    /// # fn carry(game: &roomful::Namespace<(), User>) {
    /// use std::sync::atomic::Ordering;
    ///
    /// // What the user may do is as `connect` has just found it.
    /// game.carry_over(|old, new| *new.score.get_mut() = old.score.load(Ordering::Relaxed));
    /// # }
    /// ```
    pub fn carry_over<F>(&self, carry: F) -> &Self
    where
        F: Fn(&U, &mut U) + Send + Sync + 'static,
    {
        let carry: Carry = Arc::new(move |old, new| {
            let new = Arc::get_mut(new).and_then(|new| new.downcast_mut());
            if let Some((old, new)) = old.downcast_ref().zip(new) {
                carry(old, new);
            }
        });
        self.put("carry_over", |table| table.carry.replace(carry))
    }

    /// Makes that no client gets one of these sockets back, of those that wait for theirs: all whose
    /// data `revoked` says so of. Gives how many. Sockets that are connected are not asked about; those
    /// that are [disconnected](Socket::disconnect) do not come back either.
    pub fn revoke(&self, revoked: impl Fn(&U) -> bool) -> usize {
        self.core.revoke_all(revoked)
    }

    /// Called with each socket that has joined, before its first event. A room that the socket joins before the
    /// function's first wait is joined before the client sees `connect`: it misses nothing of what is sent there from
    /// then on.
    ///
    /// A second function takes the place of the first, and the log warns of that.
    #[doc(alias = "connection")]
    pub fn on_connect<F, Fut>(&self, greet: F) -> &Self
    where
        F: Fn(Socket<A, U>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let greet: Greet = Arc::new(move |core| {
            let socket = Socket::of_event(core, "on_connect", "connect", None)?;
            Some(erased::unasked(greet(socket)))
        });
        self.put("on_connect", |table| table.on_connect.replace(greet))
    }

    /// Called with each socket that is about to leave, and why; [`Socket::farewell`] tells more. Until its
    /// first wait it finds the socket still in its rooms; nothing can be sent to the socket itself any
    /// more.
    ///
    /// A second function takes the place of the first, and the log warns of that.
    #[doc(alias = "disconnecting")]
    pub fn on_disconnecting<F, Fut>(&self, farewell: F) -> &Self
    where
        F: Fn(Socket<A, U>, Reason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let farewell = erase_farewell("on_disconnecting", "disconnecting", farewell);
        self.put("on_disconnecting", |table| table.on_disconnecting.replace(farewell))
    }

    /// Called with each socket that has left, and why; [`Socket::farewell`] tells more. Its rooms are left
    /// already.
    ///
    /// A second function takes the place of the first, and the log warns of that.
    #[doc(alias = "disconnect")]
    pub fn on_disconnect<F, Fut>(&self, farewell: F) -> &Self
    where
        F: Fn(Socket<A, U>, Reason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let farewell = erase_farewell("on_disconnect", "disconnect", farewell);
        self.put("on_disconnect", |table| table.on_disconnect.replace(farewell))
    }

    /// Calls `handler` for each event of that name. See [`Handler`] for what it can be; what it
    /// returns is the ack.
    ///
    /// There is one handler for a name, since an event has one ack. A second takes the place of the first, and the log
    /// warns of that; where it is meant, take the first [off](Self::off) before. In a child of a pattern, which has the
    /// handlers of its parent, another one is no mistake and nothing is said. What several functions are to see is
    /// for [`on_any`](Self::on_any).
    #[doc(alias = "addListener")]
    pub fn on<N, H, M>(&self, event: N, handler: H) -> &Self
    where
        N: OnName<M>,
        H: Handler<A, U, M>,
    {
        let name = event.event_name();
        let erased = handler::erase(name, handler);
        self.put_for("on", name, |table, event| table.events.insert(event, erased))
    }

    /// As [`on`](Self::on), for one event only: the first of that name of any socket whose arguments fit.
    /// It goes before a handler of the same name, which has the others. A second of these for a name takes the place
    /// of the first, and the log warns of that. For one event of each socket, see [`Socket::once`].
    pub fn once<N, H, M>(&self, event: N, handler: H) -> &Self
    where
        N: OnName<M>,
        H: Handler<A, U, M>,
    {
        let name = event.event_name();
        let once = Once::new(handler::erase(name, handler));
        self.put_for("once", name, |table, event| table.extras_mut().once.insert(event, once))
    }

    /// Removes the handlers of an event, for sockets that come later; `false` when there was none.
    #[doc(alias = "removeListener")]
    #[doc(alias = "removeAllListeners")]
    pub fn off(&self, event: &str) -> bool {
        self.change(|table| table.off(event)).is_some_and(|removed| removed.is_some())
    }

    /// Calls `on_error` for each event that comes to nothing, with its name and why: a handler or a
    /// function of [`before`](Self::before) gave an [`EventError`] or panicked, or the arguments did not
    /// fit. The functions of `on_connect`,
    /// `on_disconnecting` and `on_disconnect` count as events `connect`, `disconnecting` and
    /// `disconnect`. A panic of [`connect`](Self::connect) or of
    /// [`Server::of_matching`](crate::Server::of_matching) is none of these, since there is no socket
    /// yet: its client is refused with `Internal error`, and it is logged and counted in
    /// [`Stats::panics`](crate::Stats::panics).
    ///
    /// It is called when the client has its answer, and must be quick; one that panics is counted and
    /// changes nothing. A second function takes the place of the first, and the log warns of that. As handlers
    /// do, it counts for sockets that come later.
    ///
    /// ```
    /// # let io = roomful::Server::new();
    /// io.on_error(|me, event, error| eprintln!("{} {event}: {error}", me.id()));
    /// ```
    #[doc(alias = "error")]
    pub fn on_error<F>(&self, on_error: F) -> &Self
    where
        F: Fn(&Socket<A, U>, &str, &EventError) + Send + Sync + 'static,
    {
        let on_error: OnError = Arc::new(move |core, event, error| {
            if let Some(socket) = Socket::of(core, "on_error") {
                on_error(&socket, event, error);
            }
        });
        self.put("on_error", |table| table.on_error.replace(on_error))
    }

    /// Shows each event to a function before anything else is done with it: its name and its
    /// arguments, whether or not there is a handler. Several see it in the order in which they were
    /// registered. It is called on the way of the event, so it must be quick; one that panics costs
    /// the socket, as a handler does.
    ///
    /// What happens to an event, in order: these functions; those of [`before`](Self::before); its handler.
    /// So they see an event as its client has sent it, also one that is refused then, but none that comes
    /// [too fast](crate::OneEvent::rate). One that waits for an earlier event of its socket they see when it is
    /// its turn. As handlers do, they count for sockets that come later.
    ///
    /// ```
    /// # let io = roomful::Server::new();
    /// let log = io.on_any(|me, event, args| println!("{} {event} {args:?}", me.id()));
    /// log.off();
    /// ```
    #[doc(alias = "onAny")]
    #[doc(alias = "catch-all")]
    pub fn on_any<F>(&self, any: F) -> Listener
    where
        F: Fn(&Socket<A, U>, &str, &Args) + Send + Sync + 'static,
    {
        self.catch(any, false, |list, any| list.push(any))
    }

    /// As [`on_any`](Self::on_any), but before those that there are already.
    #[doc(alias = "prependAny")]
    pub fn prepend_any<F>(&self, any: F) -> Listener
    where
        F: Fn(&Socket<A, U>, &str, &Args) + Send + Sync + 'static,
    {
        self.catch(any, false, |list, any| list.insert(0, any))
    }

    /// As [`on_any`](Self::on_any), for the first event only, of any socket.
    pub fn once_any<F>(&self, any: F) -> Listener
    where
        F: Fn(&Socket<A, U>, &str, &Args) + Send + Sync + 'static,
    {
        self.catch(any, true, |list, any| list.push(any))
    }

    fn catch<F>(
        &self,
        any: F,
        only_once: bool,
        add: impl FnOnce(&mut Vec<Catch<AnyFn>>, Catch<AnyFn>),
    ) -> Listener
    where
        F: Fn(&Socket<A, U>, &str, &Args) + Send + Sync + 'static,
    {
        let any: Arc<AnyFn> = Arc::new(move |core, event, args| {
            if let Some(socket) = Socket::of(core, "on_any") {
                any(&socket, event, args);
            }
        });
        let any = Catch::new(any, only_once);
        let listener = any.handle(&self.core);
        // Those that were for one event are taken out here, and dropped without the lock.
        let _over: Option<Vec<_>> = self.add("on_any", |table| {
            let list = &mut table.extras_mut().any;
            let over = list.extract_if(.., |any| any.is_over()).collect();
            add(list, any);
            over
        });
        listener
    }

    /// Asks a function about each event before it comes to its handler: an async function of the
    /// socket, the name of the event and its arguments, which gives the arguments that the handler is to
    /// have, or an [`EventError`]. Then the handler is not called, a client that asked for an answer has
    /// the error, and so has the function of [`on_error`](Self::on_error).
    ///
    /// Several are asked one after the other, in the order in which they were registered. While one
    /// waits, later events of the same socket wait behind this one; those of other sockets, and answers
    /// to [`Socket::call`], do not. As handlers do, they count for sockets that come later.
    ///
    /// ```
    /// use roomful::{Args, EventError, Server, Socket};
    ///
    /// let io = Server::new();
    /// io.before(async |me: Socket, event: String, args: Args| {
    ///     if event.starts_with("admin ") && !me.is_in("admins") {
    ///         return Err(EventError::new("forbidden", "only for admins"));
    ///     }
    ///     Ok(args)
    /// });
    /// ```
    #[doc(alias = "use")]
    #[doc(alias = "middleware")]
    pub fn before<F, Fut>(&self, before: F) -> &Self
    where
        F: Fn(Socket<A, U>, String, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Args, EventError>> + Send + 'static,
    {
        let before: BeforeFn = Arc::new(move |core, event, args| {
            Some(match Socket::of(core, "before") {
                Some(socket) => Box::pin(before(socket, event, args)),
                // What it would have refused does not come through.
                None => Box::pin(std::future::ready(Err(misfit::<U>()))),
            })
        });
        self.add("before", |table| table.extras_mut().before.push(before));
        self
    }

    /// How the events of its sockets come to their handlers: which wait for each other, how large they may be, and
    /// how fast those of one name may come. What it does not say stays as it was. Default:
    /// [`Builder::event_flow`](crate::Builder::event_flow), and so nothing. As handlers do, this counts for sockets
    /// that come later.
    ///
    /// ```
    /// use roomful::{EventFlow, OneEvent, Rate, Server};
    ///
    /// let io = Server::new();
    /// let login = OneEvent::new().rate(Rate::per_second(1).burst(5));
    /// io.event_flow(EventFlow::new().ordered(true).args_bytes_max(16 * 1024).event("login", login));
    /// ```
    pub fn event_flow(&self, flow: EventFlow) -> &Self {
        self.change(|table| table.extras_mut().flow.merge(flow));
        self
    }

    /// Called for each event that has no handler of its own, with its name and its arguments.
    ///
    /// A second function takes the place of the first, and the log warns of that.
    pub fn on_other<F, Fut>(&self, other: F) -> &Self
    where
        F: Fn(Socket<A, U>, String, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let other: Other = Arc::new(move |core, name, args| {
            let socket = Socket::of_event(core, "on_other", &name, None)?;
            Some(erased::unasked(other(socket, name, args)))
        });
        self.put("on_other", |table| table.other.replace(other))
    }

    /// Called when so much waits for a socket's client that it reads too slowly: a quarter of
    /// [`Builder::outbox_bytes_max`](crate::Builder::outbox_bytes_max), with the bytes that wait. It is called
    /// again only after an eighth or less has waited. Whoever sends to the socket calls it, so it
    /// must be quick; one that panics is counted. A second function takes the place of the first, and the log
    /// warns of that.
    ///
    /// What can be done then: send less, [wait](Socket::drained), send only what is
    /// [latest](Broadcast::latest), or close the connection before the outbox is full and that happens by
    /// itself.
    pub fn on_slow<F>(&self, slow: F) -> &Self
    where
        F: Fn(Socket<A, U>, usize) + Send + Sync + 'static,
    {
        let slow: Slow = Arc::new(move |core, bytes| {
            if let Some(socket) = Socket::of(core, "on_slow") {
                slow(socket, bytes);
            }
        });
        self.put("on_slow", |table| table.on_slow.replace(slow))
    }

    /// Tells what other nodes may see of the data of a socket, as [`RemoteSocket::data`](crate::RemoteSocket::data)
    /// gives it: anything that can be written as JSON. Default: nothing.
    ///
    /// ```
    /// # use roomful::{Hello, Refusal, Server};
    /// # let io = Server::new();
    /// struct User { name: String, key: String }
    ///
    /// # async fn enter(_: Hello) -> Result<User, Refusal> { Err(Refusal::new("no")) }
    /// let chat = io.of("/chat").connect(enter);
    /// chat.share_data(|user| user.name.clone());
    /// ```
    pub fn share_data<F, V>(&self, share: F) -> &Self
    where
        F: Fn(&U) -> V + Send + Sync + 'static,
        V: serde::Serialize,
    {
        let share: ShareData = Arc::new(move |data| {
            let shared = data.downcast_ref().map(&share);
            shared.and_then(|shared| serde_json::to_value(shared).ok()).unwrap_or_default()
        });
        let _old = self.change(|table| table.share_data.replace(share));
        self
    }

    /// Makes the data of a socket again out of what [`share_data`](Self::share_data) has given of it, where its client
    /// comes back to another node of a cluster than the one that has lost it; `None` where that is not possible. It is
    /// then what [`same_visitor`](Self::same_visitor) and [`carry_over`](Self::carry_over) are given as `old`. Without
    /// this function, and for a session of an official server that it cannot read, these two are not asked.
    ///
    /// ```
    /// # use roomful::{Hello, Refusal, Server};
    /// # let io = Server::new();
    /// struct Player { name: String, score: u64 }
    ///
    /// # async fn enter(_: Hello) -> Result<Player, Refusal> { Err(Refusal::new("no")) }
    /// let game = io.of("/game").connect(enter);
    /// game.share_data(|player| (player.name.clone(), player.score));
    /// game.restore_data(|shared| {
    ///     let (name, score) = serde_json::from_value(shared).ok()?;
    ///     Some(Player { name, score })
    /// });
    /// game.same_visitor(|old, new| old.name == new.name);
    /// game.carry_over(|old, new| new.score = old.score);
    /// ```
    pub fn restore_data<F>(&self, restore: F) -> &Self
    where
        F: Fn(serde_json::Value) -> Option<U> + Send + Sync + 'static,
    {
        let restore: RestoreData = Arc::new(move |shared| Some(Arc::new(restore(shared)?)));
        self.put("restore_data", |table| table.restore_data.replace(restore))
    }

    /// Calls `handler` for each event of that name that another node sends with
    /// [`server_side_emit`](Self::server_side_emit); what it returns is the answer, where one is asked
    /// for. A second handler for a name takes the place of the first. On a single node it is never
    /// called: a node does not hear itself.
    #[doc(alias = "serverSideEmit")]
    pub fn on_server_side<F, Fut>(&self, event: &str, handler: F) -> &Self
    where
        F: Fn(Args) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: ToArgs + Send,
    {
        let handler: ServerSide = Arc::new(move |args| {
            let answer = handler(args);
            Box::pin(async move { Args::new(&answer.await) })
        });
        let old = self.change(|table| table.server_side.insert(event.into(), handler));
        self.warn_replaced_for("on_server_side", event, old.flatten().is_some());
        self
    }

    /// The state that the server shares with all its sockets.
    #[allow(
        clippy::expect_used,
        reason = "the state lives as long as the namespace, and its type is that of the server"
    )]
    pub fn state(&self) -> &A {
        self.core.state.downcast_ref().expect("a namespace has its server's state")
    }

    /// The socket of that id, if it is here and has this namespace's data.
    #[doc(alias = "sockets")]
    pub fn socket(&self, id: SocketId) -> Option<Socket<A, U>> {
        let member = match self.core.children() {
            None => self.core.rooms.get(id),
            Some(children) => children.iter().find_map(|child| child.rooms.get(id)),
        }?;
        Socket::new(&member.socket)
    }

    /// The namespaces that there are now of those that this one stands for: see
    /// [`Server::of_pattern`](crate::Server::of_pattern). None for a namespace that clients are in
    /// themselves.
    #[doc(alias = "ParentNamespace")]
    pub fn children(&self) -> Vec<Self> {
        let children = self.core.children().unwrap_or_default();
        children.into_iter().map(Self::new).collect()
    }
}

fn erase_farewell<A, U, F, Fut>(function: &'static str, event: &'static str, farewell: F) -> Parting
where
    A: 'static,
    U: 'static,
    F: Fn(Socket<A, U>, Reason) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |core, reason| {
        let socket = Socket::of_event(core, function, event, None)?;
        Some(erased::unasked(farewell(socket, reason)))
    })
}

impl<A, U> Namespace<A, U> {
    /// Changes the functions, unless a parent stands for the namespace and this handle was not come by as
    /// one of a child. What falls out of the table is dropped without its lock.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> Option<R> {
        self.core.register(self.hold, |table| change(Arc::make_mut(table)))
    }

    /// The name, such as `/` or `/chat`.
    #[doc(alias = "nsp")]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// What stands in a gap of the name, where it was made by
    /// [`Server::of_pattern`](crate::Server::of_pattern), for a client or the program: in `/room-7`, `7` in the gap `id` of
    /// `/room-{id}`.
    pub fn param(&self, gap: &str) -> Option<&str> {
        self.core.param(gap)
    }

    /// Sockets in the namespace.
    #[doc(alias = "clientsCount")]
    #[doc(alias = "size")]
    pub fn len(&self) -> usize {
        self.core.each().iter().map(|core| core.rooms.len()).sum()
    }

    /// Whether nobody is in the namespace.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everyone in the namespace.
    #[doc(alias = "sockets")]
    #[doc(alias = "in")]
    pub fn everyone(&self) -> Broadcast {
        Broadcast::new(&self.core)
    }

    /// Everyone in a room, or in one of several.
    #[doc(alias = "in")]
    pub fn to(&self, rooms: impl RoomNames) -> Broadcast {
        self.everyone().to(rooms)
    }

    /// Everyone who is not in a room, or in none of several.
    pub fn except(&self, rooms: impl RoomNames) -> Broadcast {
        self.everyone().except(rooms)
    }

    /// Shows to a function each event that is sent to sockets of this namespace, ack requests too, but no
    /// answers: to whom, its name and its arguments. It is called once for each `emit` or `call`, before
    /// it is sent, however many it goes to; several in the order in which they were registered. It
    /// counts from now on, for all sockets. It is called by whoever sends, so it must be quick; when it
    /// panics, that is counted and changes nothing.
    ///
    /// The arguments are written once more for it, so this is not for free.
    ///
    /// It may be given to any handle, also to that of a child from [`Server::of`](crate::Server::of), makes
    /// no namespace the program's own, and ends with the namespace: that of a child with its last user.
    #[doc(alias = "onAnyOutgoing")]
    pub fn on_any_outgoing<F>(&self, watch: F) -> Listener
    where
        F: Fn(Recipients<'_>, &str, &Args) + Send + Sync + 'static,
    {
        self.watch(watch, false, |watchers, watcher| watchers.push(watcher))
    }

    /// As [`on_any_outgoing`](Self::on_any_outgoing), but before those that there are already.
    #[doc(alias = "prependAnyOutgoing")]
    pub fn prepend_any_outgoing<F>(&self, watch: F) -> Listener
    where
        F: Fn(Recipients<'_>, &str, &Args) + Send + Sync + 'static,
    {
        self.watch(watch, false, |watchers, watcher| watchers.insert(0, watcher))
    }

    /// As [`on_any_outgoing`](Self::on_any_outgoing), for the first event only that is sent from now on.
    pub fn once_any_outgoing<F>(&self, watch: F) -> Listener
    where
        F: Fn(Recipients<'_>, &str, &Args) + Send + Sync + 'static,
    {
        self.watch(watch, true, |watchers, watcher| watchers.push(watcher))
    }

    fn watch<F>(
        &self,
        watch: F,
        only_once: bool,
        add: impl FnOnce(&mut Vec<Catch<OutgoingFn>>, Catch<OutgoingFn>),
    ) -> Listener
    where
        F: Fn(Recipients<'_>, &str, &Args) + Send + Sync + 'static,
    {
        let watch: Arc<OutgoingFn> = Arc::new(move |namespace, shown, event, args| match shown {
            Shown::One(id) => watch(Recipients::One(id), event, args),
            Shown::Many(target) => {
                let all = Broadcast::over(namespace, target.clone());
                watch(Recipients::Many(&all), event, args);
            }
        });
        let watcher = Catch::new(watch, only_once);
        let listener = watcher.handle(&self.core);
        self.core.change_watchers(|watchers| add(watchers, watcher));
        listener
    }

    /// Sends an event to everyone in the namespace. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one:
    /// see [`ToArgs`].
    pub fn emit<N: EmitName<T>, T: ToArgs>(&self, event: N, args: T) {
        self.everyone().emit(event, args);
    }

    /// Sends a `message` to everyone in the namespace: a short form of [`emit`](Self::emit). `(a, b)` and `[a, b]`
    /// are two arguments, `vec![a, b]` is one: see [`ToArgs`].
    #[doc(alias = "write")]
    pub fn send<T: ToArgs>(&self, args: T) {
        self.emit("message", args);
    }
}

impl<A, U> Namespace<A, U> {
    /// Sends an event to the other nodes of a cluster, for their
    /// [`on_server_side`](Self::on_server_side). No client sees it. On a single node there is nobody to
    /// send it to, so nothing happens. `(a, b)` and `[a, b]` are two arguments, `vec![a, b]` is one: see
    /// [`ToArgs`].
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written as JSON, or the name is `connect`, `connection` or
    /// `new_namespace`.
    #[doc(alias = "serverSideEmit")]
    pub fn server_side_emit<N, T>(&self, event: N, args: T) -> Result<(), EmitError>
    where
        N: EmitName<T>,
        T: ToArgs,
    {
        let name = event.event_name();
        let args = self.core.server_side(name, &args)?;
        if let Some(line) = self.core.line() {
            line.send(Message::ServerSide { name: name.into(), args });
        }
        Ok(())
    }

    /// Asks the other nodes of a cluster: as [`server_side_emit`](Self::server_side_emit), and gives
    /// what each of them answers within the [`ack_timeout`](Self::ack_timeout) of the namespace. On a single
    /// node these are none, at once. A node without a handler of that name does not answer.
    ///
    /// # Errors
    ///
    /// As there.
    #[doc(alias = "serverSideEmitWithAck")]
    pub async fn server_side_call<N, T, R>(
        &self,
        event: N,
        args: T,
    ) -> Result<NodeAnswers<R>, EmitError>
    where
        N: CallName<T, R>,
        T: ToArgs,
        R: FromArg,
    {
        let name = event.event_name();
        let args = self.core.server_side(name, &args)?;
        let ask = |_| Message::ServerSide { name: name.into(), args };
        let timeout = self.core.limits.ack_timeout();
        let mut others = Others::ask(&self.core, &Target::everyone(), ask, timeout);
        let mut answers = Vec::new();
        while let Some(reply) = others.next().await {
            if let Reply::ServerSide(args) = reply {
                answers.extend(R::from_answer(&args).ok());
                others.nodes.note_answer();
            }
        }
        Ok(NodeAnswers { answers, nodes_missing: others.nodes.missing() })
    }
}

/// What other nodes have answered to [`Namespace::server_side_call`].
#[derive(Clone, Debug)]
pub struct NodeAnswers<R> {
    answers: Vec<R>,
    nodes_missing: usize,
}

impl<R> NodeAnswers<R> {
    /// How many nodes have not answered. 0 on a single node.
    pub const fn nodes_missing(&self) -> usize {
        self.nodes_missing
    }
}

impl<R> Deref for NodeAnswers<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.answers
    }
}

impl<R> IntoIterator for NodeAnswers<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.answers.into_iter()
    }
}

impl<A, U> Clone for Namespace<A, U> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), hold: self.hold, types: PhantomData }
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
