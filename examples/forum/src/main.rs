//! A forum: pages that plain axum serves, and what of them is real time.

mod live;
mod pages;
mod posts;
mod visitors;

use std::error::Error;
use std::sync::Arc;
use std::{env, time::Duration};

use tokio::net::TcpListener;

use crate::posts::Posts;
use crate::visitors::Visitors;

/// The time over which pages move away when the server stops.
const DRAIN: Duration = Duration::from_secs(1);

/// What all of the program shares.
struct Forum {
    posts: Posts,
    visitors: Visitors,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let forum = Arc::new(Forum { posts: Posts::open().await?, visitors: Visitors::default() });
    let io = live::server(forum);
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").map_or(Ok(3003), |port| port.parse())?;
    let listener = TcpListener::bind((host, port)).await?;

    io.drain_on(roomful::stop_signal(), DRAIN);
    tokio::spawn(live::tell_visitors(io.clone()));
    println!("listening on http://{}", listener.local_addr()?);
    // Returns when the server is closed.
    io.serve_with(listener, pages::router(io.clone())).await;
    Ok(())
}
