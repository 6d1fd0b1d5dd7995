//! [`Visit`]: a request at this node whose session another node holds.

use std::sync::Arc;

use roomful_proto::Form;
use roomful_proto::cluster::sessions::{Carried, Ticket, Told};
use roomful_proto::deflate::Deflate;
use roomful_proto::engine::{Data, Packet};
use roomful_proto::ws::{CloseCode, Decoder, Role, WsError};
use tokio::time::{sleep, timeout};

use super::Forwarding;
use super::packet_stream::{Heard, PacketStream};
use super::state::{Inbox, told_bytes};
use crate::node::closing::Phase;
use crate::transport::stream::Broken;
use crate::transport::websocket::Wire;
use crate::transport::wire::Rewind;

/// A request at this node whose session another node holds. Dropped before its end, it tells the owner.
pub(crate) struct Visit {
    forwarding: Arc<Forwarding>,
    ticket: Ticket,
    inbox: Inbox<Told>,
    /// How its client has ended it: in order, or not.
    in_order: bool,
}

/// A session that this node is to have from now on.
pub(crate) struct TakenOver {
    pub(crate) wire: Wire,
    pub(crate) decoder: Decoder,
    /// What its client has sent, and nobody has looked at.
    pub(crate) packets: Vec<Data>,
}

type Client = PacketStream<Wire>;

impl Visit {
    pub(super) fn new(forwarding: &Arc<Forwarding>, ticket: Ticket, inbox: Inbox<Told>) -> Self {
        Self { forwarding: Arc::clone(forwarding), ticket, inbox, in_order: false }
    }

    /// Waits until an owner is found; `None` when there is none.
    pub(crate) async fn found(mut self) -> Option<Self> {
        match self.next().await {
            Told::Found => {
                self.forwarding.core.metrics.sessions_found.add();
                Some(self)
            }
            _ => None,
        }
    }

    /// Waits for what there is to be answered to a poll; `None` when the session, its owner or this server ends.
    pub(crate) async fn polled(mut self) -> Option<Vec<Carried>> {
        match self.next().await {
            Told::Drained(packets) => {
                let ticket = self.ticket;
                self.forwarding.with(|state| state.guest.settle(ticket));
                Some(packets)
            }
            // This server closes, and with this visit the session ends.
            Told::Gone if self.forwarding.core.closing.is_past(Phase::Draining) => {
                Some(vec![Carried::Packet(Packet::Close)])
            }
            _ => None,
        }
    }

    /// Brings the packets of a body, and waits until the session has them; `false` where they are lost.
    pub(crate) async fn bring(mut self, packets: Vec<Carried>) -> bool {
        let (now, ticket) = (self.forwarding.now(), self.ticket);
        self.forwarding.with(|state| state.guest.bring(now, ticket, packets));
        self.next().await == Told::Taken
    }

    /// Gives a body up without ending the session.
    pub(crate) fn forgive(self) {
        let ticket = self.ticket;
        self.forwarding.with(|state| state.guest.settle(ticket));
    }

    /// Carries packets between the client's WebSocket and the owner, until one of them ends, or the session is given
    /// to this node.
    pub(crate) async fn carry(
        mut self,
        wire: Wire,
        decoder: Decoder,
        form: Form,
        deflate: Option<Arc<Deflate>>,
    ) -> Option<TakenOver> {
        let limits = Arc::clone(&self.forwarding.core.limits);
        let mut client = PacketStream::new(wire, Role::Server, decoder).in_form(form, deflate);
        if timeout(limits.upgrade_timeout, probed(&mut client)).await != Ok(true) {
            drop(self);
            client.send_close(CloseCode::NORMAL);
            client.finish(limits.close_timeout).await;
            return None;
        }
        let (now, ticket) = (self.forwarding.now(), self.ticket);
        self.forwarding.with(|state| state.guest.upgrade(now, ticket));
        // What the client says now is not read before it is known to whom.
        let goodbye = loop {
            match self.next().await {
                Told::Carries => break self.pump(&mut client).await,
                Told::Drained(packets) => {
                    if let Some(goodbye) = send(&mut client, &packets) {
                        break Some(goodbye);
                    }
                }
                Told::TakeOver(packets) => {
                    // As if they were read from the stream.
                    let own = Form::new(form.revision(), false);
                    let (wire, decoder, read) = client.into_parts();
                    let wire = Rewind::new(read, wire).into_wire();
                    let packets = packets.iter().map(|packet| packet.frame(own)).collect();
                    return Some(TakenOver { wire, decoder, packets });
                }
                _ => break Some(CloseCode::GOING_AWAY),
            }
        };
        // The owner is told first.
        drop(self);
        goodbye.into_iter().for_each(|code| client.send_close(code));
        client.finish(limits.close_timeout).await;
        None
    }

    /// Carries packets both ways, and gives the goodbye that the client is still to be told.
    async fn pump(&mut self, client: &mut Client) -> Option<CloseCode> {
        let patience = self.forwarding.core.limits.ping_timeout;
        loop {
            let is_full = client.is_full();
            let overflowed = self.inbox.overflowed();
            tokio::select! {
                heard = client.next() => match heard {
                    Heard::Packet(packet) => {
                        let is_last = packet == Carried::Packet(Packet::Close);
                        let ticket = self.ticket;
                        self.forwarding.with(|state| state.guest.forward(ticket, packet));
                        if is_last {
                            self.in_order = true;
                            return Some(CloseCode::NORMAL);
                        }
                    }
                    Heard::Room => {}
                    Heard::Goodbye => {
                        self.in_order = true;
                        return Some(CloseCode::NORMAL);
                    }
                    Heard::Broken(error) => return Some(self.broken(error)),
                    Heard::Ended(error) => {
                        self.in_order = error.is_none();
                        return None;
                    }
                },
                told = self.next(), if !is_full => match told {
                    Told::Drained(packets) => {
                        if let Some(goodbye) = send(client, &packets) {
                            return Some(goodbye);
                        }
                    }
                    _ => return Some(CloseCode::GOING_AWAY),
                },
                // It takes nothing of what was sent, or less than that.
                () = sleep(patience), if is_full => return None,
                () = overflowed, if is_full => return None,
            }
        }
    }

    /// The client broke the rules of WebSockets: counts it, and gives the goodbye.
    fn broken(&self, error: WsError) -> CloseCode {
        let metrics = &self.forwarding.core.metrics;
        let bytes_max = self.forwarding.core.limits.payload_bytes_max;
        let broken = Broken::web_socket(error, bytes_max);
        metrics.violations.add();
        broken.counter.into_iter().for_each(|counter| counter(metrics).add());
        broken.goodbye.0
    }

    /// What the request is told next. Nothing is lost where it is dropped.
    async fn next(&mut self) -> Told {
        let forwarding = &self.forwarding;
        loop {
            let deadline = forwarding.state.lock().guest.deadline(self.ticket);
            let until = deadline.map(|deadline| forwarding.core.instant(deadline));
            let expired = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                told = self.inbox.next(told_bytes) => return told.unwrap_or(Told::Gone),
                () = forwarding.core.closing.begun() => return Told::Gone,
                () = expired => {
                    let (now, ticket) = (forwarding.now(), self.ticket);
                    forwarding.with(|state| state.guest.expire(now, ticket));
                }
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let (ticket, in_order) = (self.ticket, self.in_order);
        self.forwarding.with(|state| state.leave(ticket, in_order));
    }
}

/// Answers the probe of a client, and waits until it comes over; `false` when it does not.
async fn probed(client: &mut Client) -> bool {
    loop {
        match client.next().await {
            Heard::Packet(Carried::Packet(Packet::Ping(text))) if text == "probe" => {
                client.send(&Carried::Packet(Packet::Pong(text)));
            }
            Heard::Packet(Carried::Packet(Packet::Upgrade)) => return true,
            Heard::Room => {}
            Heard::Packet(_) | Heard::Goodbye | Heard::Broken(_) | Heard::Ended(_) => return false,
        }
    }
}

/// Sends packets to a client; gives the goodbye where the session has ended.
fn send(client: &mut Client, packets: &[Carried]) -> Option<CloseCode> {
    for packet in packets {
        match packet {
            // A client looks for the end of the WebSocket, and not for a packet.
            Carried::Packet(Packet::Close) => return Some(CloseCode::NORMAL),
            packet => client.send(packet),
        }
    }
    None
}
