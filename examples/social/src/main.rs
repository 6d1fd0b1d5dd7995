//! A small social network: people with sessions on sockets, GraphQL, and a database of one's choice.

mod chats;
mod follows;
mod graphql;
mod limits;
mod live;
mod people;
mod posts;
mod routes;
mod secrets;
mod sessions;
mod social;

use std::error::Error;
use std::sync::Arc;
use std::{env, time::Duration};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::social::Social;

/// The time over which pages move away when the server stops.
const DRAIN: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let social = Arc::new(Social::open().await.map_err(|error| error.to_string())?);
    social.sweep().await.map_err(|error| error.to_string())?;
    let (io, pages) = live::server(Arc::clone(&social));
    let schema = graphql::schema(Arc::clone(&social), io.clone());
    live::subscriptions(&pages, schema.clone());
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").map_or(Ok(3002), |port| port.parse())?;
    let listener = TcpListener::bind((host, port)).await?;

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stopping = io.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stopping.drain(DRAIN).await;
    });
    println!("everything is kept in {}", social.db.kind());
    println!("listening on http://{}", listener.local_addr()?);
    let router = routes::router(Arc::clone(&social), io.clone(), schema);
    // Returns when the server is closed.
    io.serve_with(listener, router).await;
    // Whatever has begun to be stored is stored and told.
    let _turn = social.turn.lock().await;
    Ok(())
}
