//! How many instructions the server takes. Run by `make bench-instructions`.
//!
//! All goes through the public API, with clients on WebSockets in memory. What is counted, and what
//! must not be in a body that is counted, stands in proto's `benches/instructions.rs`.
#![allow(clippy::unwrap_used)]
#![allow(missing_docs, unused_qualifications, reason = "of what the macros write")]

use gungraun::Callgrind;
use gungraun::prelude::*;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use roomful::{Server, Socket};
use roomful_proto::ws::frame::{self, Opcode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const CLIENTS: usize = 1000;
const ROOM: &str = "news";

const UPGRADE: &[u8] = b"GET /?EIO=4&transport=websocket HTTP/1.1\r\n\
    Host: localhost\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A server and its clients, all in one room, their connections at rest.
struct Audience {
    runtime: Runtime,
    io: Server,
    sockets: Vec<Socket>,
    _clients: Vec<DuplexStream>,
}

impl Audience {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let io = Server::new();
        let (sockets, clients) = runtime.block_on(gather(&io));
        Self { runtime, io, sockets, _clients: clients }
    }

    /// One that has changed since the last event, so that its members have to be listed anew.
    fn changed() -> Self {
        let audience = Self::without_first();
        assert!(audience.sockets[0].join(ROOM));
        audience
    }

    /// One whose allocator has what a room takes at hand: it costs several times as much to look for it, which depends
    /// on all that was allocated before.
    fn roomy() -> Self {
        let audience = Self::new();
        assert!(audience.sockets[0].join("another") && audience.sockets[0].leave("another"));
        audience
    }

    fn without_first() -> Self {
        let audience = Self::new();
        assert!(audience.sockets[0].leave(ROOM));
        audience
    }
}

async fn gather(io: &Server) -> (Vec<Socket>, Vec<DuplexStream>) {
    let (sender, mut joined) = mpsc::unbounded_channel();
    io.on_connect(move |socket: Socket| {
        socket.join(ROOM);
        sender.send(socket).unwrap();
        std::future::ready(())
    });
    let mut sockets = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(connect(io).await);
        sockets.push(joined.recv().await.unwrap());
    }
    emit(io).await;
    // A connection that has written this has nothing more to do.
    for client in &mut clients {
        let mut read = Vec::new();
        while !read.ends_with(br#"42["event","hello"]"#) {
            assert_ne!(client.read_buf(&mut read).await.unwrap(), 0);
        }
    }
    (sockets, clients)
}

/// Events with acks of one client, all sent at once, and how long what they bring is.
struct Dialogue {
    runtime: Runtime,
    _io: Server,
    client: DuplexStream,
    events: Vec<u8>,
    acks: Vec<u8>,
}

const EVENTS: usize = 16;

impl Dialogue {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let io = Server::new();
        io.on("echo", async |_: Socket, text: String| text);
        let mut events = Vec::new();
        for number in 10..10 + EVENTS {
            let event = format!(
                r#"42{number}["echo","a message of forty-four characters, number {number}"]"#
            );
            frame::write(&mut events, Opcode::Text, event.as_bytes(), Some([1, 2, 3, 4]));
        }
        let client = runtime.block_on(async {
            let mut client = connect(&io).await;
            let mut read = Vec::new();
            while !read.ends_with(br#""}"#) || !read.windows(3).any(|part| part == b"40{") {
                assert_ne!(client.read_buf(&mut read).await.unwrap(), 0);
            }
            client
        });
        let mut dialogue = Self { runtime, _io: io, client, events, acks: Vec::new() };
        // The first time brings memory that stays.
        dialogue.exchange();
        dialogue
    }

    fn exchange(&mut self) {
        let Self { runtime, client, events, acks, .. } = self;
        acks.clear();
        runtime.block_on(async {
            client.write_all(events).await.unwrap();
            // Each ack is a frame: the mask and the digit of the event less, the text and the name.
            let expected = events.len() - EVENTS * (4 + br#""echo","#.len());
            while acks.len() < expected {
                client.read_buf(acks).await.unwrap();
            }
        });
    }
}

async fn connect(io: &Server) -> DuplexStream {
    let (mut client, server) = tokio::io::duplex(4096);
    let service = TowerToHyperService::new(io.service());
    let serving = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    tokio::spawn(serving.with_upgrades());
    let mut sent = UPGRADE.to_vec();
    frame::write(&mut sent, Opcode::Text, b"40", Some([1, 2, 3, 4]));
    client.write_all(&sent).await.unwrap();
    client
}

async fn emit(io: &Server) {
    io.to(ROOM).emit("event", "hello");
}

// One event to 1,000 outboxes, from a task of the same runtime: encoded, pushed, tasks woken.
#[library_benchmark]
#[bench::unchanged(Audience::new())]
#[bench::changed(Audience::changed())]
fn fan_out(audience: Audience) -> Audience {
    audience.runtime.block_on(emit(&audience.io));
    audience
}

#[library_benchmark]
#[bench::existing(Audience::without_first(), ROOM)]
#[bench::new(Audience::roomy(), "empty")]
fn room_join(audience: Audience, room: &str) -> Audience {
    audience.sockets[0].join(room);
    audience
}

// Sixteen events with acks that one read brings, from a stream in memory, and their answer in one write.
#[library_benchmark]
#[bench::sixteen(Dialogue::new())]
fn event_ack(mut dialogue: Dialogue) -> Dialogue {
    dialogue.exchange();
    dialogue
}

// The list of the members that was made for the last event goes with it.
#[library_benchmark]
#[bench::listed(Audience::new())]
fn room_leave(audience: Audience) -> Audience {
    audience.sockets[0].leave(ROOM);
    audience
}

library_benchmark_group!(name = server, benchmarks = [event_ack, fan_out, room_join, room_leave]);

// The caches of a simulated machine are not asked for, and cost time.
main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = server
);
