//! A small social network: people with sessions on sockets, GraphQL, and a database of one's choice.

#[macro_use]
mod social;
mod chats;
mod drafts;
mod graphql;
mod live;
mod people;
mod posts;
mod routes;
mod secrets;
mod sessions;

use std::error::Error;
use std::sync::Arc;
use std::{env, time::Duration};

// As the `malloc` of the whole program: that of glibc keeps the 19 MiB of each hashed password, once for many threads.
use mimalloc as _;
use tokio::net::TcpListener;

use crate::social::Social;

/// The time over which pages move away when the server stops.
const DRAIN: Duration = Duration::from_secs(1);
/// How long what does not answer holds up a stop, unless `STOP_MS` says otherwise: pages that have lost the server try
/// five times, a second apart.
const STOP_MS: u64 = 2_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let social = Arc::new(Social::open().await.map_err(|error| error.to_string())?);
    let stop_ms = env::var("STOP_MS").map_or(Ok(STOP_MS), |ms| ms.parse())?;
    let io = live::server(Arc::clone(&social), Duration::from_millis(stop_ms));
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").map_or(Ok(3002), |port| port.parse())?;
    let listener = TcpListener::bind((host, port)).await?;

    io.drain_on(roomful::stop_signal(), DRAIN);
    println!("everything is kept in {}", social.database());
    println!("listening on http://{}", listener.local_addr()?);
    // Returns when the server is closed.
    io.serve_with(listener, routes::router(io.clone())).await;
    social.close().await;
    Ok(())
}
