//! What all tests need: a server of ours, and a client of it.

#![allow(dead_code, reason = "each test uses its part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod proxy;
pub(crate) mod raw;

use std::time::Duration;

use roomful::Server;
use roomful_client::{Builder, Manager, Socket, Transport};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Nothing in a test takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs, until it is dropped.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Lets a server listen at a port of its own.
pub(crate) async fn serve(server: &Server) -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve_at(server, listener)
}

pub(crate) fn serve_at(server: &Server, listener: TcpListener) -> Site {
    let port = listener.local_addr().unwrap().port();
    let server = server.clone();
    let task = tokio::spawn(async move {
        let _ = server.serve_on(listener).await;
    });
    Site { url: format!("http://127.0.0.1:{port}"), port, task }
}

/// The ways by which a client can be connected.
pub(crate) const WAYS: [&[Transport]; 3] =
    [&[Transport::Polling], &[Transport::WebSocket], &[Transport::Polling, Transport::WebSocket]];

pub(crate) fn builder(site: &Site, way: &[Transport]) -> Builder {
    Manager::builder(&site.url).unwrap().transports(way.iter().copied())
}

pub(crate) fn main_socket(builder: Builder) -> Socket {
    builder.build().unwrap().socket("/")
}

/// What comes, before patience ends.
pub(crate) async fn soon<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future.into_future()).await.expect("nothing came in time")
}
