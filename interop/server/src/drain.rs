//! Two servers in one process, for `interop/node/drain`: the first serves until the signal USR1, then
//! it is drained, and the second takes over all streams that come from then on. Both share one
//! recovery. Four times a second there is a tick for everybody, whoever serves.

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use roomful::{Recovery, Server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let budget = Duration::from_millis(env::var("BUDGET")?.parse()?);
    let recovery = Recovery::new();
    let server = || Server::builder().recovery(recovery.clone()).build();
    let (first, second) = (server(), server());
    let port = env::var("PORT").unwrap_or_default().parse().unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let mut drain = signal(SignalKind::user_defined1())?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("listening on http://{}", listener.local_addr()?);
    let handed_over = Arc::new(AtomicBool::new(false));
    drop(tokio::spawn(tick(first.clone())));
    drop(tokio::spawn(accept(listener, first.clone(), second.clone(), Arc::clone(&handed_over))));
    tokio::select! {
        _ = drain.recv() => {}
        _ = terminate.recv() => return Ok(()),
    }
    handed_over.store(true, Ordering::SeqCst);
    first.drain(budget).await;
    println!("drained, {} left", first.stats().connections);
    terminate.recv().await;
    second.close().await;
    Ok(())
}

async fn accept(
    listener: TcpListener,
    first: Server,
    second: Server,
    handed_over: Arc<AtomicBool>,
) {
    while let Ok((stream, peer)) = listener.accept().await {
        let handed_over = handed_over.load(Ordering::SeqCst);
        let server = if handed_over { second.clone() } else { first.clone() };
        drop(tokio::spawn(async move { server.serve_stream(stream, Some(peer)).await }));
    }
}

async fn tick(server: Server) {
    let mut interval = interval(Duration::from_millis(250));
    for n in 0_u64.. {
        interval.tick().await;
        server.emit("tick", n);
    }
}
