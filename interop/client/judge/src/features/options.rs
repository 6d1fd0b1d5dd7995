//! What both ends must agree on: the encoding, compression, the revision, the transports.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use roomful_client::{ConnectError, Revision, Transport, TransportCause};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::events::{answers_come_back, bytes_come_back, next};
use crate::bench::{Bench, Guest, Way, welcomed};
use crate::outcome::{Failure, Outcome, holds, same};

type Answer = Result<Outcome, Failure>;

pub(super) async fn msgpack(bench: Bench) -> Answer {
    let Some(server) = &bench.servers.msgpack else {
        return Ok(Outcome::NotThere("msgpack"));
    };
    let guest = bench.join_packed(server).await?;
    answers_come_back(&guest).await?;
    bytes_come_back(&guest).await?;
    guest.socket.on("question", async |_: roomful_client::Socket, i: i64| i * 2);
    let mut answered = guest.socket.events::<_, (Vec<i64>,)>("answered");
    guest.emit("question-me", 5);
    same("the answers", next(&mut answered).await?.0, [0, 2, 4, 6, 8])?;
    let manager = guest.manager();
    let private = manager.socket("/private");
    let refused = private.connect().await;
    holds(format!("{refused:?}"), matches!(refused, Err(ConnectError::Refused(_))))?;
    private.auth(json!({ "token": "letmein", "user": "ada" }))?;
    welcomed(&private).await?;
    same("who", private.call::<_, _, String>("whoami", ()).await?, "ada")?;
    Ok(Outcome::Passed)
}

/// Counts the bytes that come and go.
struct Counted {
    stream: TcpStream,
    bytes: Arc<Moved>,
}

#[derive(Default)]
struct Moved {
    came: AtomicUsize,
    went: AtomicUsize,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.bytes.came.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.bytes.went.fetch_add(written, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

pub(super) async fn deflate(bench: Bench) -> Answer {
    if bench.way == Way::Polling {
        return Ok(Outcome::OtherWay);
    }
    let server = &bench.servers.deflate;
    let port = u16::try_from(server.port())?;
    let text = "all work and no play makes a dull text ".repeat(2_000);
    for (compress, is_small) in [(Some(1024), true), (None, false)] {
        let bytes = Arc::new(Moved::default());
        let counter = Arc::clone(&bytes);
        let builder = bench.builder_at(server)?.compress_from(compress).stream(move || {
            let bytes = Arc::clone(&counter);
            async move {
                let stream = TcpStream::connect(("127.0.0.1", port)).await?;
                Ok(Counted { stream, bytes })
            }
        });
        let guest = bench.enter(builder, "/").await?;
        let read = || [&bytes.came, &bytes.went].map(|count| count.load(Ordering::Relaxed));
        let before = read();
        let found: String = guest.ask("ask", &text).await?;
        holds("another text came back", found == text)?;
        let now = read();
        let [came, went] = [now[0] - before[0], now[1] - before[1]];
        let small = |bytes: usize| bytes < text.len() / 10;
        holds(format!("{went} bytes went for {}", text.len()), small(went) == is_small)?;
        let comes_small = is_small && bench.site.can("answers-deflated");
        holds(format!("{came} bytes came for {}", text.len()), small(came) == comes_small)?;
        same("the sum", guest.ask::<i64>("sum", (1, 2)).await?, 3)?;
        bytes_come_back(&guest).await?;
    }
    Ok(Outcome::Passed)
}

pub(super) async fn wrong_revision(bench: Bench) -> Answer {
    let wrong = if bench.site.is_old() { Revision::V4 } else { Revision::V3 };
    let builder = bench.builder()?.revision(wrong).connect_timeout(Duration::from_secs(3));
    let socket = builder.build()?.socket("/");
    let refused = socket.connect().await;
    let Err(ConnectError::Transport(error)) = refused else {
        return Err(format!("{refused:?}").into());
    };
    let told = error.to_string();
    let names_it = if bench.site.is_old() {
        told.contains("Engine.IO 3") && told.contains("Builder::revision")
    } else if bench.site.title == "Node 3.1" && bench.way == Way::WebSocket {
        // That server opens the WebSocket, and says nothing on it.
        told.contains("was not open in time")
    } else {
        // What the server says: code 5 in a JSON object, or its own words.
        told.contains("400") && told.to_lowercase().contains("version")
    };
    holds(told, names_it)?;
    Ok(Outcome::Passed)
}

pub(super) async fn no_websocket(bench: Bench) -> Answer {
    let Some(server) = &bench.servers.no_websocket else {
        return Ok(Outcome::NotThere("transports"));
    };
    let socket = bench.builder_at(server)?.build()?.socket("/");
    if bench.way == Way::WebSocket {
        return refused_with_400(socket).await;
    }
    welcomed(&socket).await?;
    let guest = Guest { socket, welcome: Value::Null };
    for n in 0..20 {
        same("the answer", guest.ask::<i64>("ask", n).await?, n)?;
    }
    same("the transport", guest.manager().transport(), Some(Transport::Polling))?;
    same("connections", guest.manager().stats().connections, 1)?;
    Ok(Outcome::Passed)
}

pub(super) async fn no_polling(bench: Bench) -> Answer {
    let Some(server) = &bench.servers.no_polling else {
        return Ok(Outcome::NotThere("transports"));
    };
    let builder = bench.builder_at(server)?;
    match bench.way {
        Way::Polling => return refused_with_400(builder.build()?.socket("/")).await,
        Way::WebSocket => {}
        Way::Upgrade => {
            refused_with_400(bench.builder_at(server)?.build()?.socket("/")).await?;
        }
    }
    let guest = bench.enter(builder.try_all_transports(true), "/").await?;
    same("the transport", &guest.welcome["transport"], &json!("websocket"))?;
    same("the sum", guest.ask::<i64>("sum", (1, 2)).await?, 3)?;
    Ok(Outcome::Passed)
}

async fn refused_with_400(socket: roomful_client::Socket) -> Answer {
    let refused = socket.connect().await;
    let Err(ConnectError::Transport(error)) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    let is_400 = matches!(error.cause(), TransportCause::Status { status: 400, .. });
    holds(error.to_string(), is_400)?;
    Ok(Outcome::Passed)
}
