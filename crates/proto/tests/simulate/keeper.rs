//! [`Keeper`]: what has the connection of a node, as `keeper.rs` and `outbox.rs` of `roomful-cluster`.

use std::collections::VecDeque;
use std::sync::Arc;

use roomful_proto::cluster::Packet;

use crate::bus::Bus;
use crate::history::{Entry, Who};
use crate::scene::{Scene, Turn};

/// Packets that are published at once at most.
const PUBLISHED_AT_ONCE: usize = 256;
/// The first pause before it is tried again to connect, and the longest.
const PAUSE_MS: u64 = 100;
const PAUSE_MS_MAX: u64 = 5_000;

/// What a keeper is to do, in order.
pub(crate) enum Order {
    Publish(Packet),
    /// Count the nodes, tell how many were asked, and then publish a packet.
    Ask(Packet, Arc<str>),
    Unsubscribe,
}

/// What a keeper tells of a request.
pub(crate) enum Told {
    /// It asks so many other nodes.
    Counted(Arc<str>, usize),
    /// It is lost.
    NotAsked(Arc<str>),
}

enum Link {
    Up(u32),
    Down { pause_ms: u64 },
}

pub(crate) struct Keeper {
    who: Who,
    orders: VecDeque<Order>,
    link: Link,
    /// It will work soon.
    is_rung: bool,
    /// A connection is to subscribe.
    subscribes: bool,
}

impl Keeper {
    /// One that is still to connect.
    pub(crate) fn new(who: Who) -> Self {
        let link = Link::Down { pause_ms: PAUSE_MS };
        Self { who, orders: VecDeque::new(), link, is_rung: false, subscribes: true }
    }

    /// The number of its connection.
    pub(crate) const fn connection(&self) -> Option<u32> {
        match self.link {
            Link::Up(connection) => Some(connection),
            Link::Down { .. } => None,
        }
    }

    pub(crate) fn order(&mut self, scene: &mut Scene, order: Order) {
        self.orders.push_back(order);
        self.ring(scene, 3);
    }

    fn ring(&mut self, scene: &mut Scene, ms_max: u64) {
        if !self.is_rung && self.connection().is_some() {
            self.is_rung = true;
            let ms = scene.dice.below(ms_max + 1);
            scene.plan_turn(ms, self.who, Turn::Work);
        }
    }

    /// Does some of what is ordered, and tells what becomes of a request.
    pub(crate) fn work(&mut self, scene: &mut Scene, bus: &mut Bus) -> Option<Told> {
        self.is_rung = false;
        if !bus.is_open(self.connection()?) {
            return self.lose(scene);
        }
        let mut counted = None;
        match self.orders.pop_front()? {
            Order::Publish(packet) => {
                bus.publish(scene, self.who, packet);
                for _ in 1..PUBLISHED_AT_ONCE {
                    match self.orders.pop_front_if(|order| matches!(order, Order::Publish(_))) {
                        Some(Order::Publish(packet)) => bus.publish(scene, self.who, packet),
                        _ => break,
                    }
                }
            }
            Order::Ask(packet, request) => {
                counted = Some(Told::Counted(request, bus.count().saturating_sub(1)));
                // Others come and go before it is published.
                self.orders.push_front(Order::Publish(packet));
            }
            Order::Unsubscribe => bus.unsubscribe(self.who),
        }
        if !self.orders.is_empty() {
            self.ring(scene, if counted.is_some() { 20 } else { 1 });
        }
        counted
    }

    /// What was to be done at once is lost with the connection; what is behind it waits.
    fn lose(&mut self, scene: &mut Scene) -> Option<Told> {
        let is_publish = |order: &mut Order| matches!(order, Order::Publish(_));
        let (mut lost, mut told) = (0, None);
        while lost < PUBLISHED_AT_ONCE && self.orders.pop_front_if(is_publish).is_some() {
            lost += 1;
        }
        if lost == 0
            && let Some(Order::Ask(_, request)) = self.orders.pop_front()
        {
            (lost, told) = (1, Some(Told::NotAsked(request)));
        }
        scene.note(Entry::Lost(self.who, lost));
        self.fall(scene);
        told
    }

    /// The connection has ended, if it has.
    pub(crate) fn notice(&mut self, scene: &mut Scene, bus: &Bus) {
        if self.connection().is_some_and(|connection| !bus.is_open(connection)) {
            self.fall(scene);
        }
    }

    /// The connection is lost, and it is tried at once to connect again.
    fn fall(&mut self, scene: &mut Scene) {
        if self.connection().is_some() {
            self.link = Link::Down { pause_ms: PAUSE_MS };
            scene.note(Entry::Disconnected(self.who));
            scene.plan_turn(0, self.who, Turn::Connect);
        }
    }

    /// Tries to connect, and subscribes before anything is published. `false` when it is still to wait.
    pub(crate) fn connect(&mut self, scene: &mut Scene, bus: &mut Bus) -> bool {
        let Some(connection) = bus.connect() else {
            if let Link::Down { pause_ms } = &mut self.link {
                let ms = *pause_ms / 2 + scene.dice.below(*pause_ms / 2 + 1);
                *pause_ms = (2 * *pause_ms).min(PAUSE_MS_MAX);
                scene.plan_turn(ms, self.who, Turn::Connect);
            }
            return false;
        };
        self.orders.retain(|order| !matches!(order, Order::Unsubscribe));
        if self.subscribes {
            bus.subscribe(self.who, connection);
        }
        self.link = Link::Up(connection);
        scene.note(Entry::Connected(self.who));
        self.ring(scene, 3);
        true
    }

    /// A later connection does not subscribe.
    pub(crate) fn unsubscribe(&mut self, scene: &mut Scene) {
        self.subscribes = false;
        self.order(scene, Order::Unsubscribe);
    }
}
