//! [`Bus`]: an engine, and the ways between it and its nodes.
//!
//! What one says reaches each other once or not at all and in order, as every engine promises; but it takes its time,
//! and what two say comes in any order. Answers and heartbeats may come twice. Acks and events never do: on no wire
//! they say which client or event they are of, so nobody could tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roomful_proto::Moment;
use roomful_proto::cluster::{Body, Packet};

use crate::history::{Crowd, Entry, Who};
use crate::rules::LATE;
use crate::scene::{Due, Scene, Turn};

/// What a packet takes that is late, at most: longer than it takes to be taken for dead.
const LATE_MS_MAX: u64 = 15_000;

#[derive(Default)]
pub(crate) struct Bus {
    /// Who has subscribed, by which connection. Who has died is among them until the engine notices.
    subscribed: BTreeMap<Who, u32>,
    /// How many connections there were, and how many of these broke when the engine went.
    connections: u32,
    broken: u32,
    /// When the last packet of the one reaches the other.
    arrivals: BTreeMap<(Who, Who), Moment>,
    pub(crate) is_away: bool,
    /// One half of the nodes, while it is cut off from the other.
    pub(crate) cut: Option<Crowd>,
}

impl Bus {
    /// Opens a connection, and gives its number; `None` while the engine is away.
    pub(crate) fn connect(&mut self) -> Option<u32> {
        self.connections += u32::from(!self.is_away);
        (!self.is_away).then_some(self.connections)
    }

    pub(crate) const fn is_open(&self, connection: u32) -> bool {
        connection > self.broken
    }

    pub(crate) fn subscribe(&mut self, node: Who, connection: u32) {
        self.subscribed.insert(node, connection);
    }

    pub(crate) fn unsubscribe(&mut self, node: Who) {
        self.subscribed.remove(&node);
    }

    /// The engine goes, and nobody is subscribed any more.
    pub(crate) fn go(&mut self) {
        self.is_away = true;
        self.broken = self.connections;
        self.subscribed.clear();
    }

    pub(crate) fn count(&self) -> usize {
        self.subscribed.len()
    }

    pub(crate) fn publish(&mut self, scene: &mut Scene, from: Who, mut packet: Packet) {
        if scene.rules.is_anonymous && packet.body.answers().is_some() {
            packet.from = Who::NOBODY.uid();
        }
        let addressee = packet.to.as_ref().filter(|_| scene.rules.is_addressed);
        let addressee = addressee.map(|uid| Who::of(uid));
        let packet = Arc::new(packet);
        for (to, connection) in self.subscribed.clone() {
            let is_heard = to != from || scene.rules.echoes;
            if is_heard && addressee.is_none_or(|addressee| addressee == to) {
                self.carry(scene, (from, to), connection, &packet);
            }
        }
    }

    fn carry(
        &mut self,
        scene: &mut Scene,
        (from, to): (Who, Who),
        connection: u32,
        packet: &Arc<Packet>,
    ) {
        let is_cut = self.cut.is_some_and(|half| half.has(from) != half.has(to));
        if is_cut || scene.dice.one_in(scene.rules.lost_one_in) {
            return scene.note(Entry::Undelivered { from, to });
        }
        let is_late = scene.dice.one_in(scene.rules.late_one_in);
        let ms_max = if is_late { LATE_MS_MAX } else { scene.rules.delay_ms_max };
        let last = self.arrivals.entry((from, to)).or_default();
        let comes_twice =
            may_come_twice(&packet.body) && scene.dice.one_in(scene.rules.twice_one_in);
        for _ in 0..=usize::from(comes_twice) {
            let delay = Duration::from_millis(scene.dice.below(ms_max + 1));
            // Nothing overtakes what was said before.
            *last = (scene.now + delay).max(*last);
            scene.plan_at(*last, Due::At(to, Turn::Arrive(connection, Arc::clone(packet))));
        }
        if last.since(scene.now) > LATE {
            scene.note(Entry::Late { from, to, until: *last });
        }
    }
}

const fn may_come_twice(body: &Body) -> bool {
    let is_presence = matches!(body, Body::Hello | Body::Heartbeat | Body::Goodbye);
    let is_of_node = matches!(
        body,
        Body::ClientCount { .. } | Body::Fetched { .. } | Body::ServerSideAnswer { .. }
    );
    is_presence || is_of_node
}
