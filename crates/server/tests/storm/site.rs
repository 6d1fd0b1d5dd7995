//! [`Site`]: a server in the storm, and what its handlers do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roomful::{
    Beginning, CallError, Hello, Namespace, Reason, Recovery, Refusal, Server, Socket, SocketId,
};
use serde::Deserialize;
use tokio::net::TcpSocket;
use tokio::time::sleep;

use crate::books::Books;
use crate::support::Running;

/// Time that a client has for an answer. Who is silent makes its server wait for so long.
const ANSWER_TIME: Duration = Duration::from_millis(400);
/// Time that a client has to come back.
const WINDOW: Duration = Duration::from_secs(1);

/// Connections that wait to be accepted, as many as where the server listens by itself. Beyond that the
/// system loses what comes, and most of the storm would be its retransmissions.
const BACKLOG: u32 = 4_096;

/// What a handler says that panics because it was asked to.
pub const ON_PURPOSE: &str = "a panic that the storm asked for";
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
pub const NAMESPACES_MAX: usize = 8;
pub const ROOMS_MAX: usize = 64;

pub type Me = Socket<Arc<Books>, Guest>;

pub struct Site {
    pub server: Running<Arc<Books>>,
    pub books: Arc<Books>,
    /// Whether clients may have their sockets back.
    pub recovers: bool,
    /// Namespaces that there are in any case.
    pub standing: Vec<Namespace<Arc<Books>, Guest>>,
    /// Namespaces that stand for others.
    pub parents: Vec<Namespace<Arc<Books>, Guest>>,
}

/// What the server knows of a client.
pub struct Guest {
    pub client: u64,
}

/// What a client says when it joins.
#[derive(Deserialize)]
struct Auth {
    client: u64,
    /// How long the decision takes.
    #[serde(default)]
    wait_ms: u64,
    #[serde(default)]
    refuse: bool,
}

impl Site {
    /// A server that serves on the runtime of the caller.
    pub async fn start(recovers: bool) -> Self {
        let books = Arc::<Books>::default();
        let mut builder = Server::builder()
            .ping_interval(Duration::from_secs(1))
            .ping_timeout(Duration::from_secs(2))
            .close_timeout(Duration::from_secs(1))
            .payload_bytes_max(PAYLOAD_BYTES_MAX)
            .outbox_bytes_max(512 * 1024)
            .namespaces_max(NAMESPACES_MAX)
            .rooms_max(ROOMS_MAX);
        if recovers {
            builder = builder.recovery(Recovery::builder().window(WINDOW).build());
        }
        let io = builder.state(Arc::clone(&books)).build();
        let standing = ["/", "/lobby"].map(|name| io.of(name)).map(offer).into();
        let even = |hello: Hello<Arc<Books>>| async move {
            tokio::task::yield_now().await;
            let number =
                hello.namespace().strip_prefix("/even-").and_then(|n| n.parse::<u64>().ok());
            number.is_some_and(|number| number % 2 == 0)
        };
        let parents = [io.of_pattern("/child-{id}"), io.of_matching(even)].map(offer).into();
        Self { server: start(io), books, recovers, standing, parents }
    }

    /// Lets no more in.
    pub async fn close(self) {
        self.server.io.close().await;
        let _ = self.server.serving.await;
    }
}

/// Serves on a free port.
fn start(io: Server<Arc<Books>>) -> Running<Arc<Books>> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let listener = socket.listen(BACKLOG).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let server = io.clone();
    let serving = tokio::spawn(async move { server.serve_on(listener).await });
    Running { io, address, serving, others: Vec::new() }
}

async fn enter(hello: Hello<Arc<Books>>) -> Result<Guest, Refusal> {
    let auth: Auth = hello.auth()?;
    if auth.wait_ms > 0 {
        sleep(Duration::from_millis(auth.wait_ms)).await;
    }
    if auth.refuse {
        hello.state().count("refused as asked for");
        return Err(Refusal::new("refused").data(auth.client));
    }
    Ok(Guest { client: auth.client })
}

fn offer(namespace: Namespace<Arc<Books>>) -> Namespace<Arc<Books>, Guest> {
    let io = namespace.connect(enter);
    io.on_connect(async |me: Me| {
        let books = me.state();
        books.came(me.id(), me.data().client);
        books.count("joined");
        match me.recovery() {
            Beginning::Recovered { missed } => {
                books.count("recovered");
                books.count_all("missed and sent later", missed as u64);
            }
            Beginning::Refused(_) => books.count("came back too late"),
            _ => {}
        }
        me.emit("welcome", me.data().client);
    });
    io.on_disconnect(async |me: Me, reason: Reason| me.state().ended(me.id(), reason));
    offer_rooms(&io);
    offer_questions(&io);
    offer_ends(&io);
    io
}

/// Handlers about rooms. What is `told` in a room is numbered under a lock of the room, which joining
/// and leaving take too: so each member knows exactly which numbers it must see. What is `said` is numbered
/// by who says it and sent without a lock.
fn offer_rooms(io: &Namespace<Arc<Books>, Guest>) {
    // The next number in the room.
    io.on("join", async |me: Me, room: String| {
        let number = me.state().number(me.namespace(), &room);
        let number = number.lock();
        me.join(room).then_some(*number)
    });
    io.on("leave", async |me: Me, room: String| {
        let number = me.state().number(me.namespace(), &room);
        let number = number.lock();
        me.leave(room);
        *number
    });
    io.on("mark", async |me: Me, room: String| {
        let number = me.state().number(me.namespace(), &room);
        let number = number.lock();
        *number
    });
    io.on("tell", async |me: Me, room: String, count: u64| {
        let number = me.state().number(me.namespace(), &room);
        for _ in 0..count {
            let mut number = number.lock();
            let everyone = me.everyone();
            let to = if room == "*" { everyone } else { everyone.to(&room) };
            to.emit("told", (&room, *number));
            *number += 1;
        }
    });
    io.on("say", async |me: Me, room: String, voice: String, number: u64| {
        me.everyone().to(&room).emit("said", (&room, voice, number));
    });
    io.on("rooms", async |me: Me| {
        let rooms = me.rooms();
        rooms.into_iter().filter(|room| *room != me.id().as_str()).collect::<Vec<_>>()
    });
}

fn offer_questions(io: &Namespace<Arc<Books>, Guest>) {
    io.on("echo", async |_: Me, value: String| value);
    io.on("wait", async |_: Me, ms: u64, value: String| {
        sleep(Duration::from_millis(ms)).await;
        value
    });
    io.on("ask me", async |me: Me, nonce: u64| {
        let _open = Open::new(me.state());
        let answer = me.call::<_, _, (u64, u64)>("question", nonce).timeout(ANSWER_TIME).await;
        match answer {
            Ok(answer) => {
                is_answer(&me, "question", me.id(), answer, nonce);
                "answered"
            }
            Err(CallError::Timeout) => "timeout",
            Err(CallError::Gone) => "gone",
            Err(error) => {
                me.state().fault(format!("client {}: a question: {error}", me.data().client));
                "failed"
            }
        }
    });
    io.on("ask room", async |me: Me, room: String, nonce: u64| {
        let _open = Open::new(me.state());
        let to = me.everyone().to(room).timeout(ANSWER_TIME);
        let mut answers = to.call::<_, _, (u64, u64)>("question", nonce);
        let mut answered = 0;
        while let Some((id, answer)) = answers.next().await {
            match (id, answer) {
                (Some(id), Ok(answer)) => is_answer(&me, "broadcast question", id, answer, nonce),
                (None, _) => {
                    me.state().fault("an answer of this node without its socket".to_owned())
                }
                (Some(id), Err(e)) => {
                    me.state().fault(format!("socket {id}: no answer of a question: {e}"));
                }
            }
            answered += 1;
        }
        if answered + answers.missing() != answers.asked() {
            let (missing, asked) = (answers.missing(), answers.asked());
            me.state().fault(format!("{asked} asked, {answered} answered, {missing} missing"));
        }
        answered
    });
}

/// Each client answers with the nonce of the question and its own number.
fn is_answer(me: &Me, what: &str, id: SocketId, (nonce, client): (u64, u64), asked: u64) {
    let books = me.state();
    books.count("answers of clients");
    if nonce != asked || books.client_of(id) != Some(client) {
        books.fault(format!(
            "{what} {asked} of client {}: socket {id} gives the answer of client {client} to question \
             {nonce}",
            me.data().client,
        ));
    }
}

/// A handler that asks a client.
struct Open(Arc<Books>);

impl Open {
    fn new(books: &Arc<Books>) -> Self {
        books.count("questions");
        Self(Arc::clone(books))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count("questions that ended");
    }
}

#[allow(clippy::panic, reason = "on purpose")]
fn offer_ends(io: &Namespace<Arc<Books>, Guest>) {
    io.on("put me out", async |me: Me| me.disconnect());
    io.on("close me", async |me: Me| me.close());
    io.on("panic", async |me: Me| -> () {
        me.state().count("panics");
        std::panic::panic_any(ON_PURPOSE);
    });
    io.on("flood", async |me: Me, count: u64| {
        let much = "x".repeat(16 * 1024);
        for _ in 0..count {
            me.emit("flood", &much);
        }
    });
}
