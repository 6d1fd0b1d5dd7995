//! A socketioxide server with default options, but for MessagePack where the variable `OPTION` says so: the
//! same events as every other peer.

use axum::Router;
use axum::serve::ListenerExt;
use bytes::Bytes;
use socketioxide::{ParserConfig, SocketIo};
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::TcpListener;

/// Serves on the port that is the first argument, or prints the versions for `--version`.
///
/// `allocator` is the package that serves memory, none for the system's.
pub async fn run(allocator: Option<&str>) {
    let argument = std::env::args().nth(1).expect("usage: socketioxide PORT | --version");
    if argument == "--version" {
        println!("{}", versions(allocator));
        return;
    }
    let port: u16 = argument.parse().expect("the argument is a port");

    // Clients of Engine.IO 3 need no option: the feature is all.
    let builder = SocketIo::builder();
    let builder = match std::env::var("OPTION").as_deref() {
        Ok("msgpack") => builder.with_parser(ParserConfig::msgpack()),
        _ => builder,
    };
    let (layer, io) = builder.build_layer();
    io.ns("/", on_connect);

    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    // Without this a small answer waits for the client's delayed acknowledgement.
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("TCP_NODELAY"));

    // The kernel accepts from here on. Rust flushes standard output at the end of a line.
    println!("ready");
    axum::serve(listener, Router::new().layer(layer)).await.expect("serving");
}

async fn on_connect(socket: SocketRef) {
    socket.on("echo", async |Data::<String>(text), ack: AckSender| {
        ack.send(&text).ok();
    });
    socket.on("blob", async |Data::<Bytes>(buffer), ack: AckSender| {
        ack.send(&buffer).ok();
    });
    socket.on("size", async |Data::<Bytes>(buffer), ack: AckSender| {
        ack.send(&buffer.len()).ok();
    });
    socket.on("join", async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
        socket.join(room);
        ack.send(&true).ok();
    });
    socket.on("leave", async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
        socket.leave(room);
        ack.send(&true).ok();
    });
    socket.on("say", async |socket: SocketRef, Data::<(String, String)>((room, text))| {
        socket.within(room).emit("said", &text).await.ok();
    });
}

/// What this was built from, on one line.
fn versions(allocator: Option<&str>) -> String {
    let lock = include_str!("../Cargo.lock");
    let version = |name: &str| {
        let entry = format!("name = \"{name}\"\nversion = \"");
        let (_, rest) = lock.split_once(&entry)?;
        Some(format!("{name} {}", rest.split('"').next()?))
    };
    let names = ["socketioxide", "axum", "tokio"].into_iter().chain(allocator);
    names.filter_map(version).collect::<Vec<_>>().join(", ")
}
