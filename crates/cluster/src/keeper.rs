//! The keeper: the task that has the connection of a cluster.
//!
//! ```text
//! Connecting ──▶ Up ──▶ Down ──▶ Up ──▶ …
//! ```
//!
//! When it has connected again, all namespaces are subscribed before anything is published. So an event that a node
//! answers to another's is not missed by whoever made it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use roomful_proto::cluster::{Body, Packet, Presence};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::bus::{BusError, Connection, KeptSession};
use crate::outbox::Order;
use crate::shared::Shared;
use crate::stats::ClusterState;

/// Rooms of which the engine is told within its time to answer.
const FOLLOWED_AT_ONCE: usize = 5_000;
/// Packets that are published at once at most.
const PUBLISHED_AT_ONCE: usize = 256;
/// The first pause before it is tried again to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long a session is kept that was taken out for somebody who does not want it any more.
const GIVEN_BACK_FOR: Duration = Duration::from_secs(60);
/// How often parts look whose time is over.
const TICK: Duration = Duration::from_millis(500);

/// Connects, and subscribes to all namespaces.
pub(crate) async fn connect(shared: &Arc<Shared>) -> Result<Box<dyn Connection>, BusError> {
    let patience = shared.settings.response_timeout;
    let connection = within(patience, shared.bus.connect(shared.inlet())).await?;
    shared.outbox.forget_subscriptions();
    for part in shared.parts() {
        let subscribed = connection.subscribe(&part.namespace, &part.uid, part.wants_past());
        unless_refused(within(patience, subscribed).await, &part.namespace)?;
        let rooms = part.followed_anew();
        follow(&*connection, patience, &part.namespace, &rooms).await?;
    }
    within(patience, connection.begin()).await?;
    Ok(connection)
}

/// Tells the engine of rooms. It has its time for so many, however many there are.
async fn follow(
    connection: &dyn Connection,
    patience: Duration,
    namespace: &Arc<str>,
    rooms: &[(String, bool)],
) -> Result<(), BusError> {
    for rooms in rooms.chunks(FOLLOWED_AT_ONCE) {
        let followed = within(patience, connection.follow(namespace, rooms)).await;
        unless_refused(followed, namespace)?;
    }
    Ok(())
}

/// Keeps a cluster connected until nobody has it any more.
pub(crate) async fn keep(shared: Arc<Shared>, first: Box<dyn Connection>) {
    let mut connection = first;
    while let Err(error) = serve(&shared, &*connection).await {
        drop(connection);
        shared.counters.lost.add(1);
        shared.enter(ClusterState::Down);
        shared.parts().iter().for_each(|part| part.lose_log());
        tracing::warn!(%error, bus = ?shared.bus, "the engine of the cluster is away");
        let Some(next) = connect_again(&shared).await else {
            return;
        };
        connection = next;
        shared.parts().iter().for_each(|part| part.resume());
        shared.enter(ClusterState::Up);
        tracing::info!(bus = ?shared.bus, "the engine of the cluster is back");
    }
}

/// Tries until it is connected; `None` when nobody has the cluster any more.
async fn connect_again(shared: &Arc<Shared>) -> Option<Box<dyn Connection>> {
    let mut pause = RECONNECT_PAUSE.min(shared.settings.reconnect_pause_max);
    loop {
        if shared.outbox.is_closed() {
            return None;
        }
        // Before the first as well: an engine that ends connections would be connected to without a pause.
        sleep(jittered(pause)).await;
        match connect(shared).await {
            Ok(connection) => return Some(connection),
            Err(error) => tracing::debug!(%error, "the engine of the cluster is still away"),
        }
        expire(shared);
        pause = (2 * pause).min(shared.settings.reconnect_pause_max);
    }
}

/// Between half of it and all of it, so that nodes do not all come at once.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness it is no less a pause.
    let _ = getrandom::fill(&mut byte);
    pause / 2 + pause / 2 * u32::from(byte[0]) / 255
}

/// Does what is ordered, until nobody has the cluster any more; an error when the connection is lost.
async fn serve(shared: &Arc<Shared>, connection: &dyn Connection) -> Result<(), BusError> {
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let interval = shared.settings.heartbeat_interval;
    let mut pings = interval_at(Instant::now() + interval, interval);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let patience = shared.settings.response_timeout;
    loop {
        tokio::select! {
            orders = shared.outbox.next(PUBLISHED_AT_ONCE) => match orders {
                Some(orders) => carry_out(shared, connection, orders).await?,
                None => return Ok(()),
            },
            _ = ticks.tick() => expire(shared),
            _ = pings.tick() => within(patience, connection.ping()).await?,
            error = connection.ended() => return Err(error),
        }
    }
}

fn expire(shared: &Shared) {
    let is_up = shared.is_up();
    shared.parts().iter().for_each(|part| part.expire(is_up));
}

async fn carry_out(
    shared: &Arc<Shared>,
    connection: &dyn Connection,
    orders: Vec<Order>,
) -> Result<(), BusError> {
    let patience = shared.settings.response_timeout;
    let (subscriptions, orders): (Vec<_>, Vec<_>) =
        orders.into_iter().partition(Order::is_subscription);
    subscribe_all(connection, patience, subscriptions).await?;
    let mut packets = Vec::with_capacity(orders.len());
    let (mut keeping, mut taking) = (Vec::new(), (Vec::new(), Vec::new()));
    let mut counted = HashMap::new();
    for order in orders {
        match order {
            Order::Publish(packet) => packets.push(packet),
            Order::Ask(packet, request) => {
                if let Err(error) = count(shared, connection, &packet, &request, &mut counted).await
                {
                    shared.counters.dropped_lost.add(packets.len() + 1);
                    shared.asking(&packet).into_iter().for_each(|part| part.not_asked(&request));
                    return Err(error);
                }
                packets.push(packet);
            }
            Order::Keep(session) => keeping.push(session),
            Order::Take(key, told) => {
                taking.0.push(key);
                taking.1.push(told);
            }
            // Whoever waits may have given up.
            Order::Tell(done) => drop(done.send(())),
            Order::Count(namespace, told) => {
                let count = match shared.bus.presence() {
                    Presence::Counted => within(patience, connection.count(&namespace)).await,
                    _ => Ok(shared.heard(&namespace) + 1),
                };
                match count {
                    // Whoever has asked may have given up.
                    Ok(count) => drop(told.send(count)),
                    Err(error) if error.is_refusal() => {
                        tracing::warn!(%error, "nodes cannot be counted");
                    }
                    Err(error) => return Err(error),
                }
            }
            Order::Follow(part) => {
                if let Some(part) = part.upgrade() {
                    let rooms = part.followed();
                    follow(connection, patience, &part.namespace, &rooms).await?;
                }
            }
            Order::Unfollow(namespace, rooms) => {
                follow(connection, patience, &namespace, &rooms).await?;
            }
            // They were taken out before.
            Order::Subscribe(..) | Order::Unsubscribe(..) => {}
        }
    }
    if !keeping.is_empty() {
        match unless_ended(connection, patience, connection.keep_sessions(&keeping)).await {
            Err(error) if error.is_refusal() => {
                tracing::warn!(%error, "sessions of lost clients are not kept");
                shared.counters.sessions_lost.add(keeping.len());
            }
            Ok(unkept) => shared.counters.sessions_lost.add(unkept),
            Err(error) => {
                shared.counters.sessions_lost.add(keeping.len());
                return Err(error);
            }
        }
    }
    if !taking.0.is_empty() {
        // Whoever waits is told by the end of it where this fails.
        let taken = connection.take_sessions(&taking.0);
        let taken = match unless_ended(connection, patience, taken).await {
            Err(error) if error.is_refusal() => {
                tracing::warn!(%error, "sessions of lost clients cannot be taken out");
                Vec::new()
            }
            taken => taken?,
        };
        for ((key, told), session) in taking.0.into_iter().zip(taking.1).zip(taken) {
            // Whoever has asked may be gone.
            if let Err(Some(json)) = told.send(session) {
                shared.order(Order::Keep(KeptSession { key, json, keeps: GIVEN_BACK_FOR }));
            }
        }
    }
    if packets.is_empty() {
        return Ok(());
    }
    match unless_ended(connection, patience, connection.publish(&packets)).await {
        Ok(unsaid) => {
            shared.counters.published.add(packets.len().saturating_sub(unsaid));
            shared.note_unsaid(unsaid);
            if unsaid > 0 {
                deliver_unsaid(shared, &packets);
            }
            Ok(())
        }
        Err(error) if error.is_refusal() => {
            tracing::warn!(%error, "not sent to other nodes");
            shared.note_unsaid(packets.len());
            deliver_unsaid(shared, &packets);
            Ok(())
        }
        Err(error) => {
            shared.counters.dropped_lost.add(packets.len());
            Err(error)
        }
    }
}

/// Some of these are not in the log: the clients of this node need not wait for them.
fn deliver_unsaid(shared: &Shared, packets: &[Packet]) {
    let mut told = HashSet::new();
    for packet in packets.iter().filter(|packet| matches!(packet.body, Body::Logged(_))) {
        if told.insert(Arc::clone(&packet.from)) {
            shared.asking(packet).into_iter().for_each(|part| part.lose_log());
        }
    }
}

/// Subscribes and unsubscribes in one go: the commands are sent in this order.
async fn subscribe_all(
    connection: &dyn Connection,
    patience: Duration,
    orders: Vec<Order>,
) -> Result<(), BusError> {
    let done = orders.iter().map(|order| async move {
        match order {
            Order::Subscribe(namespace, uid, past) => {
                let done = within(patience, connection.subscribe(namespace, uid, *past)).await;
                unless_refused(done, namespace)
            }
            Order::Unsubscribe(namespace, uid) => {
                let done = within(patience, connection.unsubscribe(namespace, uid)).await;
                unless_refused(done, namespace)
            }
            _ => Ok(()),
        }
    });
    try_join_all(done).await.map(drop)
}

/// Counts the other nodes, where the engine does that, and tells the part that asks. Requests that are made together
/// are of one count.
async fn count(
    shared: &Shared,
    connection: &dyn Connection,
    packet: &Packet,
    request: &Arc<str>,
    counted: &mut HashMap<Arc<str>, usize>,
) -> Result<(), BusError> {
    if shared.bus.presence() != Presence::Counted {
        return Ok(());
    }
    let patience = shared.settings.response_timeout;
    let count = match counted.get(&packet.namespace) {
        Some(count) => *count,
        None => match within(patience, connection.count(&packet.namespace)).await {
            Ok(count) => count,
            // Whoever asks waits for the time that it has given.
            Err(error) if error.is_refusal() => {
                tracing::warn!(%error, "nodes cannot be counted");
                return Ok(());
            }
            Err(error) => return Err(error),
        },
    };
    counted.insert(Arc::clone(&packet.namespace), count);
    if let Some(part) = shared.asking(packet) {
        part.counted(request, count.saturating_sub(1));
    }
    Ok(())
}

/// One namespace that the engine refuses is no reason to lose all others.
fn unless_refused(done: Result<(), BusError>, namespace: &str) -> Result<(), BusError> {
    match done {
        Err(error) if error.is_refusal() => {
            tracing::error!(namespace = ?namespace, %error, "the namespace is not part of the cluster");
            Ok(())
        }
        done => done,
    }
}

/// As [`within`], and no longer than the connection is there: its library may wait for an answer that cannot come.
async fn unless_ended<T>(
    connection: &dyn Connection,
    patience: Duration,
    done: impl Future<Output = Result<T, BusError>>,
) -> Result<T, BusError> {
    tokio::select! {
        biased;
        done = within(patience, done) => done,
        error = connection.ended() => Err(error),
    }
}

async fn within<T>(
    patience: Duration,
    done: impl Future<Output = Result<T, BusError>>,
) -> Result<T, BusError> {
    match timeout(patience, done).await {
        Ok(result) => result,
        Err(_) => Err(BusError::new(format!("no answer of the engine within {patience:?}"))),
    }
}
