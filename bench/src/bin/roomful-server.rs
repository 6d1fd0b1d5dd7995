//! Roomful, with the events that all measured servers have.

use bytes::Bytes;
use roomful::{Server, Socket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: roomful-server PORT")?.parse()?;
    let io = Server::new();
    io.on("echo", async |_: Socket, text: String| text);
    io.on("blob", async |_: Socket, bytes: Bytes| bytes);
    io.on("join", async |me: Socket, room: String| me.join(room));
    io.on("leave", async |me: Socket, room: String| me.leave(room));
    io.on("say", async |me: Socket, room: String, text: String| {
        me.everyone().to(room).emit("said", text);
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("ready");
    io.serve_on(listener).await;
    Ok(())
}
