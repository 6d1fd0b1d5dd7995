//! What a session of this node does for a client whose request is at another: the other end of the bridge is a
//! [`Visit`](super::visit::Visit) there.
//!
//! Each function does what a request of the client would do here, and tells the machine what came of it. A bridge ends
//! with its session, and a session whose guest is gone with its heartbeat.

use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::cluster::sessions::Carried;
use roomful_proto::engine::Packet;
use roomful_proto::engine::payload::Payload;
use roomful_proto::ws::{CloseCode, Decoder, Role};
use roomful_proto::{Form, SessionId};
use tokio::io::DuplexStream;
use tokio::sync::oneshot;

use super::Forwarding;
use super::packet_stream::{Heard, PacketStream};
use super::state::{Inbox, ToStream, stream_bytes};
use crate::transport::link::{FromHttp, Link};
use crate::transport::polling::{self, PollReply};
use crate::transport::stream::Stream;
use crate::transport::websocket::{WebSocket, Wire};

/// Bytes on their way within the process, in each direction.
const STREAM_BYTES: usize = 64 * 1024;
/// Packets that are said in one message, where there are as many.
const PACKETS_PER_MESSAGE: usize = 256;

/// Polls a session for another node.
pub(super) fn poll(forwarding: &Arc<Forwarding>, session: SessionId) {
    let found =
        forwarding.find(session).and_then(|found| Some((found, forwarding.core.runtime()?)));
    let Some(((core, link), runtime)) = found else {
        return forwarding.with(|state| state.owner.polled(session, None));
    };
    let ours = Arc::clone(forwarding);
    let given_up = forwarding.with(|state| state.keep_poll(session));
    drop(runtime.spawn(async move {
        let reply = tokio::select! {
            reply = polling::poll(core.now(), &link) => reply,
            _ = given_up => return,
        };
        ours.with(|state| {
            state.end_poll(session);
            state.owner.polled(session, reply.map(|reply| packets(&link, reply)));
        });
    }));
}

/// Polls a session a second time, which is refused.
pub(super) fn overlap(forwarding: &Arc<Forwarding>, session: SessionId) {
    if let Some((core, link)) = forwarding.find(session) {
        let (reply, _) = oneshot::channel();
        // Fails when the session has ended, and then there is nothing to end.
        let _ = link.request_poll(core.now(), FromHttp::Poll(reply));
    }
}

/// The packets of a body that was written here.
fn packets(link: &Link, reply: PollReply) -> Vec<Carried> {
    let PollReply::Body(body) = reply else {
        return vec![Carried::Packet(Packet::Close)];
    };
    let packets = Payload::of(link.dialect.revision, body.bytes, u32::MAX).into_iter().flatten();
    packets.flatten().map(Carried::Packet).collect()
}

/// Hands over what came in a body that another node has received.
pub(super) fn hand_over(forwarding: &Arc<Forwarding>, session: SessionId, packets: Vec<Carried>) {
    let found =
        forwarding.find(session).and_then(|found| Some((found, forwarding.core.runtime()?)));
    let Some(((_, link), runtime)) = found else {
        return forwarding.with(|state| state.owner.taken(session));
    };
    let ours = Arc::clone(forwarding);
    drop(runtime.spawn(async move {
        // What was wrong with it the session has noted, and ended.
        let body = Carried::body(&packets, link.dialect.revision, false).into_bytes();
        let _ = polling::hand_over_forwarded(&link, body).await;
        ours.with(|state| state.owner.taken(session));
    }));
}

/// Opens a WebSocket within the process for a session, and has it probed.
pub(super) fn open_stream(forwarding: &Arc<Forwarding>, session: SessionId) {
    let found =
        forwarding.find(session).and_then(|found| Some((found, forwarding.core.runtime()?)));
    let Some(((core, link), runtime)) = found else {
        return forwarding.with(|state| state.owner.probed(session, false));
    };
    let (ours, theirs) = tokio::io::duplex(STREAM_BYTES);
    let wire = Wire::Other(Box::new(theirs));
    let form = Form::new(link.dialect.revision, false);
    let socket = WebSocket::new(wire, &core.limits, form, false);
    if link.request(FromHttp::Probe(Box::new(Stream::WebSocket(socket)))).is_err() {
        return forwarding.with(|state| state.owner.probed(session, false));
    }
    // What this server says itself has no limit here.
    let decoder = Decoder::new(Role::Client, usize::MAX, u32::MAX);
    let stream = PacketStream::new(ours, Role::Client, decoder).in_form(form, None);
    let inbox = forwarding.with(|state| state.keep_stream(session));
    let bridge = Bridge { forwarding: Arc::clone(forwarding), session, stream, inbox };
    drop(runtime.spawn(bridge.run()));
}

struct Bridge {
    forwarding: Arc<Forwarding>,
    session: SessionId,
    stream: PacketStream<DuplexStream>,
    inbox: Inbox<ToStream>,
}

impl Bridge {
    async fn run(mut self) {
        let probe = |bytes| Carried::Packet(Packet::Ping(Bytes::from_static(bytes)));
        self.stream.send(&probe(b"probe"));
        let pong = Carried::Packet(Packet::Pong(Bytes::from_static(b"probe")));
        let answered = loop {
            match self.stream.next().await {
                Heard::Packet(packet) => break packet == pong,
                Heard::Room => {}
                Heard::Goodbye | Heard::Broken(_) | Heard::Ended(_) => break false,
            }
        };
        let session = self.session;
        self.forwarding.with(|state| state.owner.probed(session, answered));
        if answered {
            self.carry().await;
        }
        let Self { forwarding, stream, inbox, .. } = self;
        forwarding.with(|state| state.end_stream(session));
        drop(inbox);
        stream.finish(forwarding.core.limits.close_timeout).await;
    }

    /// Carries packets both ways until either end closes.
    async fn carry(&mut self) {
        loop {
            tokio::select! {
                heard = self.stream.next() => match heard {
                    Heard::Packet(packet) => {
                        if !self.stream_on(packet) {
                            return self.stream.send_close(CloseCode::NORMAL);
                        }
                    }
                    Heard::Room => {}
                    Heard::Goodbye => return self.stream.send_close(CloseCode::NORMAL),
                    Heard::Broken(_) | Heard::Ended(_) => return,
                },
                told = self.inbox.next(stream_bytes), if !self.stream.is_full() => match told {
                    Some(ToStream::Packet(packet)) => self.stream.send(&packet),
                    Some(ToStream::End(true)) => return self.stream.send_close(CloseCode::NORMAL),
                    Some(ToStream::End(false)) | None => return,
                },
            }
        }
    }

    /// Says what the session has sent, with all that has come at the same time; `false` when it has closed.
    fn stream_on(&mut self, first: Carried) -> bool {
        let mut packets = vec![first];
        let mut goes_on = true;
        while packets.len() < PACKETS_PER_MESSAGE
            && let Some(heard) = self.stream.next_read()
        {
            match heard {
                Heard::Packet(packet) => packets.push(packet),
                Heard::Room => {}
                Heard::Goodbye | Heard::Broken(_) | Heard::Ended(_) => {
                    goes_on = false;
                    break;
                }
            }
        }
        let session = self.session;
        self.forwarding.with(|state| state.owner.streamed(session, packets));
        goes_on
    }
}
