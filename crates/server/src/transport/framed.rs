//! [`Framed`]: a third transport, for tests: packets behind their lengths, as Engine.IO over WebTransport has them,
//! on any stream. It shows what another transport needs.
#![cfg(test)]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use roomful_proto::engine::{Data, Packet, Query, Transport};
use roomful_proto::framed::Decoder;
use roomful_proto::ws::CloseCode;
use roomful_proto::{Form, Parcel, SessionId};
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf};

use crate::connection::Connection;
use crate::ground::dialect::Dialect;
use crate::ground::farewell::Description;
use crate::ground::handshake::Handshake;
use crate::ground::random;
use crate::node::core::Core;
use crate::transport::link::Link;
use crate::transport::outbox::Batch;
use crate::transport::stream::{Broken, Received, Stream};

pub(crate) struct Framed {
    stream: DuplexStream,
    decoder: Decoder,
}

impl Framed {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(super) fn decode(
        &mut self,
        input: &mut &mut [u8],
    ) -> Result<Option<Received>, Box<Broken>> {
        let mut rest = &**input;
        let data = self.decoder.receive(&mut rest);
        let taken = input.len() - rest.len();
        *input = &mut std::mem::take(input)[taken..];
        match data {
            // Its goodbye is a packet like any other.
            Ok(Some(Data::Text(text))) if text == "1" => {
                Ok(Some(Received::Goodbye(Description::ClosePacket)))
            }
            Ok(data) => Ok(data.map(Received::Packet)),
            Err(error) => {
                let goodbye = (CloseCode::PROTOCOL, error.as_str());
                Err(Box::new(Broken { how: Description::StreamEnded, goodbye, counter: None }))
            }
        }
    }

    pub(super) fn is_within_packet(&self) -> bool {
        self.decoder.is_within_packet()
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
    ) -> Poll<io::Result<()>> {
        while !batch.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = batch.write(Form::Framed, |parts| stream.poll_write_vectored(cx, parts));
            batch.written(ready!(written)?, Form::Framed);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    pub(super) fn goodbye() -> Parcel {
        Parcel::engine(&Packet::Close)
    }
}

/// Accepts a stream: all that is needed beside the file above and its variant. In one that is served to others, this
/// would stand in `http/door`.
pub(crate) fn accept(core: &Arc<Core>, stream: DuplexStream) {
    let dialect = Dialect::new(&Query::parse("EIO=4"));
    let handshake = Handshake::new(true, "/framed", "", [].into_iter(), None);
    let id = SessionId::from_random(random::random().unwrap());
    let transport = Transport::WebSocket;
    let make = |key| Link::new(id, key, transport, dialect, handshake, 1_000_000);
    let link = core.sessions.insert(10, make).unwrap();
    let framed = Framed { stream, decoder: Decoder::new(core.limits.payload_bytes_max) };
    let stream = Box::new(Stream::Framed(framed));
    drop(tokio::spawn(Connection::over(Arc::clone(core), link, stream, &[])));
}

mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::{Args, Server, Socket};

    struct Peer {
        stream: DuplexStream,
        decoder: Decoder,
        read: Vec<u8>,
    }

    impl Peer {
        async fn says(&mut self, text: &str) {
            let mut out = Vec::new();
            roomful_proto::framed::write(&mut out, false, text.as_bytes());
            self.stream.write_all(&out).await.unwrap();
        }

        async fn says_bytes(&mut self, bytes: &[u8]) {
            let mut out = Vec::new();
            roomful_proto::framed::write(&mut out, true, bytes);
            self.stream.write_all(&out).await.unwrap();
        }

        /// The next packet; `None` at the end of the stream.
        async fn hears(&mut self) -> Option<Data> {
            loop {
                let mut input = &self.read[..];
                let data = self.decoder.receive(&mut input).unwrap();
                self.read = input.to_vec();
                if data.is_some() {
                    return data;
                }
                let reading = self.stream.read_buf(&mut self.read);
                let read = tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap();
                if read.unwrap() == 0 {
                    return None;
                }
            }
        }

        async fn hears_text(&mut self) -> String {
            match self.hears().await {
                Some(Data::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }

    fn peer(io: &Server) -> Peer {
        let (stream, ours) = tokio::io::duplex(4_096);
        accept(&io.core(), ours);
        Peer { stream, decoder: Decoder::new(1_000_000), read: Vec::new() }
    }

    /// A whole conversation: session, namespace, events both ways with bytes, acks, rooms, a heartbeat, the end.
    #[tokio::test]
    async fn a_third_transport_carries_a_whole_conversation() {
        let io = Server::builder().ping_interval(Duration::from_millis(30)).build();
        io.on("echo", async |_: Socket, args: Args| args);
        io.on("join", async |me: Socket, room: String| me.join(room));
        let mut peer = peer(&io);
        let open = peer.hears_text().await;
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["upgrades"], serde_json::json!([]));
        peer.says("40").await;
        assert!(peer.hears_text().await.starts_with("40{\"sid\":\""));
        peer.says("421[\"join\",\"den\"]").await;
        assert_eq!(peer.hears_text().await, "431[true]");
        // Small, large and many, shared with others and not.
        let long = "x".repeat(100_000);
        io.to("den").emit("long", &long);
        io.emit("short", 1);
        assert_eq!(peer.hears_text().await, format!("42[\"long\",\"{long}\"]"));
        assert_eq!(peer.hears_text().await, "42[\"short\",1]");
        peer.says(&format!("422[\"echo\",\"{long}\"]")).await;
        assert_eq!(peer.hears_text().await, format!("432[\"{long}\"]"));
        peer.says("451-3[\"echo\",{\"_placeholder\":true,\"num\":0}]").await;
        peer.says_bytes(&[0, 255]).await;
        assert_eq!(peer.hears_text().await, "461-3[{\"_placeholder\":true,\"num\":0}]");
        assert_eq!(peer.hears().await, Some(Data::Binary(Bytes::from_static(&[0, 255]))));
        for _ in 0..2 {
            assert_eq!(peer.hears_text().await, "2");
            peer.says("3").await;
        }
        peer.says("1").await;
        assert_eq!(peer.hears().await, None);
        tokio::time::timeout(Duration::from_secs(20), async {
            while !io.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn who_breaks_it_is_told_and_who_closes_says_goodbye() {
        let io = Server::builder().close_timeout(Duration::from_millis(100)).build();
        let mut broken = peer(&io);
        broken.hears_text().await;
        broken.stream.write_all(&[0]).await.unwrap();
        assert_eq!(broken.hears_text().await, "1");
        assert_eq!(broken.hears().await, None);
        assert_eq!(io.stats().violations, 1);
        let mut kept = peer(&io);
        kept.hears_text().await;
        let closing = {
            let io = io.clone();
            tokio::spawn(async move { io.close().await })
        };
        assert_eq!(kept.hears_text().await, "1");
        kept.says("1").await;
        assert_eq!(kept.hears().await, None);
        closing.await.unwrap();
    }
}
