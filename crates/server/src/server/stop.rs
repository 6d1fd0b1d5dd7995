//! [`stop_signal`]: when a program is asked to end.

/// Waits until the system or the terminal asks the program to end: for SIGTERM or SIGINT (Ctrl-C), and where there
/// are no such signals for Ctrl-C alone. From when it is first awaited these signals end the program no more, and a
/// second one neither; whoever awaits it does. Made for [`Server::drain_on`](crate::Server::drain_on).
///
/// Where the signals cannot be caught, which is logged, it waits for ever, and they end the program as before.
pub async fn stop_signal() {
    if let Err(error) = asked().await {
        tracing::error!(%error, "signals cannot be caught: the program will end without draining");
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn asked() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn asked() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
