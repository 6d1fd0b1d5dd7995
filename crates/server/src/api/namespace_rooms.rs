//! What a program says about the rooms of a namespace: who may join one, and who is told of it.

use std::sync::Arc;

use crate::api::namespace::Namespace;
use crate::api::socket::Socket;
use crate::namespace::admission::BeforeJoin;
use crate::namespace::listeners::{Catch, Listener};
use crate::namespace::room_news::{RoomEvent, RoomFn, Told};

impl<A: Send + Sync + 'static, U: Send + Sync + 'static> Namespace<A, U> {
    /// Asks a function about each socket that is to join a room, whoever wants it to: `false` keeps it
    /// out, and then [`Socket::join`] gives `false`. Several are asked one after the other, in the order
    /// in which they were registered, until one refuses. One that panics refuses, and is told to the
    /// function of [`on_error`](Self::on_error) as event `join`.
    ///
    /// It is not asked about a room that the socket is in already, nor about those of a socket that
    /// [comes back](crate::Builder::recovery): it has been asked when they were joined. It is called by
    /// whoever lets the socket join, so it must be quick, and no lock is held then; several sockets may
    /// be asked about at the same time. As handlers do, it counts for sockets that come later.
    ///
    /// ```
    /// # use roomful::Server;
    /// # let io = Server::new();
    /// io.before_join(|me, room| match room.strip_prefix("user:") {
    ///     Some(user) => me.query("user").as_deref() == Some(user),
    ///     None => true,
    /// });
    /// ```
    pub fn before_join<F>(&self, before: F) -> &Self
    where
        F: Fn(&Socket<A, U>, &str) -> bool + Send + Sync + 'static,
    {
        // A socket of other types than those it knows is none that it could let in.
        let before: BeforeJoin = Arc::new(move |core, room| {
            Socket::of(core, "before_join").is_some_and(|socket| before(&socket, room))
        });
        self.add("before_join", |table| table.before_join.push(before));
        self
    }

    /// Tells a function of each room that comes to be, of who joins and leaves it, and when it is gone.
    /// It counts from now on, for all sockets; where the namespace stands for many, for all of them. The
    /// room of a socket's own id is not told, since [`on_connect`](Self::on_connect) and
    /// [`on_disconnect`](Self::on_disconnect) are.
    ///
    /// All of a namespace is told in the order in which it happened, each piece when the one before has
    /// been. Mostly that is before the `join` or `leave` returns that did it; where another task is
    /// telling just then, that one tells this too, soon after. What a function does there, such as
    /// joining a room, is told when it has returned. It must be quick; one that panics is counted and
    /// changes nothing.
    ///
    /// It may be given to any handle, also to that of a child from [`Server::of`](crate::Server::of), makes
    /// no namespace the program's own, and ends with the namespace: that of a child with its last user. For
    /// all children, give it to their parent.
    ///
    /// A socket that [comes back](crate::Builder::recovery) has left its rooms when it was lost, and
    /// joins them again.
    ///
    /// ```
    /// use roomful::{RoomEvent, Server};
    ///
    /// let io = Server::new();
    /// let listener = io.on_room(|io, event| match event {
    ///     RoomEvent::Joined(room, who) => io.to(room).except(who).emit("joined", who.as_str()),
    ///     RoomEvent::Left(room, who) => io.to(room).emit("left", who.as_str()),
    ///     _ => {}
    /// });
    /// listener.off();
    /// ```
    #[doc(alias = "create-room")]
    #[doc(alias = "delete-room")]
    #[doc(alias = "join-room")]
    #[doc(alias = "leave-room")]
    pub fn on_room<F>(&self, told: F) -> Listener
    where
        F: Fn(&Self, RoomEvent<'_>) + Send + Sync + 'static,
    {
        let told: Arc<RoomFn> = Arc::new(move |core, what| {
            if let Told::Room(event) = what {
                told(&Self::new(Arc::clone(core)), event);
            }
        });
        let watcher = Catch::new(told, false);
        let listener = watcher.handle(&self.core);
        self.core.watch_rooms(&watcher);
        listener
    }
}
