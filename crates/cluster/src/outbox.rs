//! [`Outbox`]: what waits for the keeper, bounded by count and by bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use roomful_proto::cluster::Packet;
use tokio::sync::{Notify, oneshot};

use crate::bus::KeptSession;
use crate::part::Part;

/// What the keeper is to do, in order.
#[derive(Debug)]
pub(crate) enum Order {
    /// Publish a packet.
    Publish(Packet),
    /// Count the nodes, tell the part how many were asked, and then publish a packet.
    Ask(Packet, Arc<str>),
    /// Tell somebody that all that was ordered before is done.
    Tell(oneshot::Sender<()>),
    /// Count the nodes of a namespace.
    Count(Arc<str>, oneshot::Sender<usize>),
    /// Subscribe to a namespace, and bring what the log has of so long ago.
    Subscribe(Arc<str>, Arc<str>, Option<Duration>),
    /// Keep a session.
    Keep(KeptSession),
    /// Take a session out, by its key.
    Take(String, oneshot::Sender<Option<String>>),
    /// Tell the engine which rooms have begun and ended in the namespace of a part.
    Follow(Weak<Part>),
    /// Tell it of rooms that have ended.
    Unfollow(Arc<str>, Vec<(String, bool)>),
    /// Unsubscribe from it.
    Unsubscribe(Arc<str>, Arc<str>),
}

/// Orders that wait.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<Waiting>,
    /// Rung when there is something, and when nothing more can come.
    rung: Notify,
    packets_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: VecDeque<Order>,
    packets: usize,
    bytes: usize,
    is_closed: bool,
}

/// There is no room for one more packet.
#[derive(Debug)]
pub(crate) struct Full;

impl Outbox {
    pub(crate) fn new(packets_max: usize, bytes_max: usize) -> Self {
        Self { state: Mutex::default(), rung: Notify::new(), packets_max, bytes_max }
    }

    /// Puts an order at the end. Those that are about no packet are as many as there are namespaces.
    pub(crate) fn push(&self, order: Order) -> Result<(), Full> {
        let mut state = self.state.lock();
        if let Some(bytes) = order.held_bytes() {
            let bytes = state.bytes + bytes;
            if state.packets >= self.packets_max || bytes > self.bytes_max {
                return Err(Full);
            }
            state.packets += 1;
            state.bytes = bytes;
        }
        state.orders.push_back(order);
        drop(state);
        self.rung.notify_one();
        Ok(())
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.rung.notify_one();
    }

    /// The next orders: as many packets as follow one another, or one of another kind. `None` when nothing
    /// more can come.
    pub(crate) async fn next(&self, at_once_max: usize) -> Option<Vec<Order>> {
        loop {
            {
                let mut state = self.state.lock();
                if !state.orders.is_empty() {
                    return Some(state.take(at_once_max));
                }
                if state.is_closed {
                    return None;
                }
            }
            self.rung.notified().await;
        }
    }

    /// Packets that wait, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.packets, state.bytes)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Drops what the next connection does by itself: what is subscribed is known elsewhere. Who waits for a session
    /// waits no longer.
    pub(crate) fn forget_subscriptions(&self) {
        let stays = |order: &Order| {
            !order.is_subscription() && !matches!(order, Order::Follow(_) | Order::Unfollow(..))
        };
        let mut state = self.state.lock();
        let orders = std::mem::take(&mut state.orders);
        let (taking, others): (Vec<_>, Vec<_>) =
            orders.into_iter().partition(|order| matches!(order, Order::Take(..)));
        for order in &taking {
            state.packets -= 1;
            state.bytes -= order.held_bytes().unwrap_or(0);
        }
        state.orders = others.into_iter().filter(stays).collect();
    }
}

impl Waiting {
    /// As many orders of one kind as follow one another.
    fn take(&mut self, at_once_max: usize) -> Vec<Order> {
        let mut taken: Vec<Order> = Vec::new();
        while taken.len() < at_once_max
            && let Some(next) = self.orders.front()
            && taken.last().is_none_or(|last| last.goes_with(next))
            && let Some(order) = self.orders.pop_front()
        {
            if let Some(bytes) = order.held_bytes() {
                self.packets -= 1;
                self.bytes -= bytes;
            }
            taken.push(order);
        }
        taken
    }
}

impl Order {
    /// Bytes that count for it, about; `None` for what there are as many of as there are namespaces.
    fn held_bytes(&self) -> Option<usize> {
        match self {
            Self::Publish(packet) | Self::Ask(packet, _) => Some(packet.body.held_bytes()),
            Self::Keep(session) => Some(size_of::<Self>() + session.json.len()),
            Self::Take(..) => Some(size_of::<Self>()),
            _ => None,
        }
    }

    const fn is_packet(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Ask(..))
    }

    pub(crate) const fn is_subscription(&self) -> bool {
        matches!(self, Self::Subscribe(..) | Self::Unsubscribe(..))
    }

    /// Whether both can be done in one go.
    const fn goes_with(&self, next: &Self) -> bool {
        (self.is_packet() && next.is_packet())
            || (self.is_subscription() && next.is_subscription())
            || matches!(
                (self, next),
                (Self::Keep(_), Self::Keep(_)) | (Self::Take(..), Self::Take(..))
            )
    }
}
