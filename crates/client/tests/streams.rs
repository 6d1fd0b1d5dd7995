//! Which streams to the server a client keeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use roomful::Server;
use roomful_client::Transport;
use support::{WAYS, builder, main_socket, serve, soon};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Streams that are there, and that were ever opened.
#[derive(Clone, Copy)]
struct Streams {
    open: usize,
    opened: usize,
}

/// A stream that is counted.
struct Counted {
    stream: TcpStream,
    streams: watch::Sender<Streams>,
}

impl Counted {
    fn new(stream: TcpStream, streams: watch::Sender<Streams>) -> Self {
        streams.send_modify(|Streams { open, opened }| (*open, *opened) = (*open + 1, *opened + 1));
        Self { stream, streams }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.streams.send_modify(|streams| streams.open -= 1);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn one_that_has_upgraded_keeps_the_websocket_alone() {
    let server = Server::new();
    server.on("echo", async |_: roomful::Socket, text: String| text);
    let site = serve(&server).await;
    let (streams, mut seen) = watch::channel(Streams { open: 0, opened: 0 });
    let port = site.port;
    let opens = builder(&site, WAYS[2]).stream(move || {
        let streams = streams.clone();
        async move { Ok(Counted::new(TcpStream::connect(("127.0.0.1", port)).await?, streams)) }
    });
    let socket = main_socket(opens);
    soon(socket.connect()).await.unwrap();
    // The poll and the probe, at least.
    soon(seen.wait_for(|streams| streams.opened > 1 && streams.open == 1)).await.unwrap();
    let answer: String = soon(socket.call("echo", "over")).await.unwrap();
    assert_eq!(
        (answer.as_str(), socket.manager().transport()),
        ("over", Some(Transport::WebSocket))
    );
}
