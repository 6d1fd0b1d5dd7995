//! A server as a service: on SIGTERM its clients move away one after the other, and it ends in time.
use std::error::Error;
use std::time::Duration;

use roomful::{Origins, Server, Socket};

/// The time over which clients move away.
const DRAIN: Duration = Duration::from_secs(4);
/// The most that closing takes, so that everything ends within 8 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let io = Server::builder()
        .origins(Origins::List(vec!["https://example.org".to_owned()]))
        .stop_timeout(STOP_TIMEOUT)
        .build();
    io.on("echo", async |me: Socket, text: String| me.emit("echo", text));

    io.drain_on(roomful::stop_signal(), DRAIN);
    // Returns when the server is closed. A container listens at 0.0.0.0.
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    io.serve(&address).await?;
    Ok(())
}
