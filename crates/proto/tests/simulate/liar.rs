//! [`lie`]: what somebody says who can reach the engine, and is no node.

use std::sync::Arc;

use roomful_proto::Args;
use roomful_proto::cluster::{Ask, Body, Packet, Selection};

use crate::history::{Who, request_id};
use crate::node::Node;
use crate::scene::{Scene, Turn};

/// A request that nobody has made.
const UNKNOWN: u32 = u32::MAX;

/// Says something to one node that is not so.
pub(crate) fn lie(scene: &mut Scene, victim: &Node, others: &[Who]) {
    let Some(connection) = victim.ear() else {
        return;
    };
    let other = scene.dice.pick(others).unwrap_or(Who::STRANGER);
    let from = match scene.dice.below(6) {
        // Nobody else has its uid.
        0 => victim.who,
        1 => Who::EMITTER,
        2 => Who::STRANGER,
        _ => other,
    };
    let open: Vec<_> = victim.requests().map(|(id, ask)| (Arc::clone(id), ask)).collect();
    let at = scene.dice.below(open.len() as u64) as usize;
    let body = match open.get(at) {
        Some((request, ask)) if scene.dice.below(4) > 0 => answer(scene, request, *ask),
        _ => other_body(scene, from, victim.who),
    };
    let is_nobodys = scene.rules.is_anonymous && body.answers().is_some();
    let from = if is_nobodys { Who::NOBODY } else { from };
    let packet = Arc::new(Packet { from: from.uid(), to: None, namespace: "/".into(), body });
    scene.plan_turn(0, victim.who, Turn::Arrive(connection, packet));
}

/// An answer to an open request, of the right kind or not.
fn answer(scene: &mut Scene, request: &Arc<str>, ask: Ask) -> Body {
    let request = Arc::clone(request);
    let is_for_clients = (ask == Ask::Clients) != scene.dice.one_in(3);
    match (is_for_clients, scene.dice.below(3)) {
        (true, 0) => Body::ClientCount { request, count: usize::MAX },
        (true, 1) => Body::ClientCount { request, count: 1 },
        (true, _) => Body::Ack { request, answer: Args::default() },
        (false, 0) => Body::RoomsAnswer { request, rooms: Vec::new() },
        (false, 1) => Body::Fetched { request, sockets: Args::default() },
        (false, _) => Body::ServerSideAnswer { request, answer: Args::default() },
    }
}

fn other_body(scene: &mut Scene, from: Who, victim: Who) -> Body {
    match scene.dice.below(4) {
        0 => answer(scene, &request_id(UNKNOWN), Ask::Nodes),
        1 => Body::Goodbye,
        2 => Body::Hello,
        // An event would be believed, but for one of its own.
        _ if from == victim => Body::Emit {
            to: Selection::default(),
            name: UNKNOWN.to_string(),
            args: Args::default(),
            request: None,
        },
        _ => Body::Heartbeat,
    }
}
