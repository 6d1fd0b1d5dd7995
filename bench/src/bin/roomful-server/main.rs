//! Roomful, with the events that all measured servers have.
//!
//! `NAMESPACES` is how many namespaces there are beside `/`: `/n0`, `/n1` and so on.

use std::env;

use bytes::Bytes;
use roomful::{Server, Socket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = env::args().nth(1).ok_or("usage: roomful-server PORT")?.parse()?;
    let namespaces = env::var("NAMESPACES").map_or(Ok(0), |count| count.parse())?;
    let io = Server::new();
    io.on("echo", async |_: Socket, text: String| text);
    io.on("blob", async |_: Socket, bytes: Bytes| bytes);
    io.on("size", async |_: Socket, bytes: Bytes| bytes.len());
    io.on("join", async |me: Socket, room: String| me.join(room));
    io.on("leave", async |me: Socket, room: String| me.leave(room));
    io.on("say", async |me: Socket, room: String, text: String| {
        me.everyone().to(room).emit("said", text);
    });
    for number in 0..namespaces {
        io.of(&format!("n{number}")).on("echo", async |_: Socket, text: String| text);
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("ready");
    io.serve_on(listener).await;
    Ok(())
}
