//! A server that is one of a cluster and does what its clients tell it, for `interop/cluster`.
//!
//! Usage: `cluster-node --engine redis --url redis://127.0.0.1:6379 [--servers N] [--recovery yes]`

mod control;
mod engine;
mod value;

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use roomful::{Recovery, Server, stop_signal};
use roomful_cluster::Cluster;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::control::State;
use crate::engine::Options;

const OUTBOX_BYTES: usize = 64 * 1024 * 1024;
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut serving = JoinSet::new();
    let options = Options::parse()?;
    let clusters = options.connect().await?;
    for cluster in &clusters {
        let io = server(cluster, options.recovers);
        // What was subscribed until here was, when the engine has done what was ordered behind it.
        cluster.nodes("/").await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        serving.spawn(async move { io.serve_on(listener).await });
    }
    serving.join_all().await;
    for cluster in clusters {
        // What clients have left behind: their sockets are to be had by the other nodes.
        cluster.flush(FLUSH_PATIENCE).await?;
    }
    Ok(())
}

fn server(cluster: &Cluster, recovers: bool) -> Server<Arc<State>> {
    let name = format!("rust-{}", std::process::id());
    let state = Arc::new(State { name, cluster: cluster.clone(), io: OnceLock::new() });
    let builder = Server::builder().state(Arc::clone(&state)).adapter(cluster.clone());
    // A case that has much said at once is not about clients that read slowly.
    let builder = builder.outbox_bytes_max(OUTBOX_BYTES);
    let builder = if recovers { builder.recovery(Recovery::new()) } else { builder };
    let io = builder.build();
    let named = ["/", "/named", "/beside"].map(|name| io.of(name));
    for namespace in named.into_iter().chain([io.of_pattern("/dynamic-{number}")]) {
        control::serve(&namespace, &state);
    }
    drop(state.io.set(io.clone()));
    let closing = io.clone();
    drop(tokio::spawn(async move {
        stop_signal().await;
        closing.close().await;
    }));
    io
}
