//! [`Wheel`]: one timer for all connections.
//!
//! A connection stands in at most a few slots of the wheel, as eight bytes. When its slot comes up,
//! the wheel looks at when the connection really wants to run: later, and it moves there; now, and
//! the connection's task is woken. So a deadline that moves away, as at every pong, costs nothing
//! until the old one would have come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use roomful_proto::Moment;
use tokio::sync::Notify;

use crate::node::core::Core;
use crate::transport::link::Key;
use crate::transport::link::Link;

/// How fine time is. A deadline is met up to this much late.
const TICK_MS: u64 = 20;
/// Slots of the wheel: with 20 ms a tick, 30 s. What is further away is looked at when they are
/// over.
const SLOTS: usize = 1500;
/// A server that is late by this part of the time for a pong has stood still. Less than that a pong
/// does not miss: it has mostly come long before.
const STILL_PART: u32 = 4;
const UNSCHEDULED: u64 = u64::MAX;

pub(crate) struct Wheel {
    state: Mutex<State>,
    /// Nobody is called silent before this time, in milliseconds.
    patient_until_ms: AtomicU64,
    /// Rung when an earlier slot than that which is waited for was filled, or at the end.
    alarm: Notify,
}

struct State {
    slots: Vec<Vec<Key>>,
    /// All slots up to this tick have come up.
    done: u64,
    /// The tick that the wheel's task waits for.
    awaited: u64,
    running: bool,
    stopped: bool,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let state = State {
            slots: Vec::new(),
            done: 0,
            awaited: UNSCHEDULED,
            running: false,
            stopped: false,
        };
        let patient_until_ms = AtomicU64::new(0);
        Self { state: Mutex::new(state), patient_until_ms, alarm: Notify::new() }
    }

    /// Makes sure that `link` is looked at when its deadline comes.
    pub(crate) fn schedule(self: &Arc<Self>, core: &Arc<Core>, link: &Link) {
        let deadline = link.deadline_ms();
        // A tick late, never early: an early call would only have to be repeated.
        let tick = deadline.saturating_add(TICK_MS - 1) / TICK_MS;
        // In one order with what the wheel does: either it sees the new deadline, or its having
        // taken the connection out of its slot is seen here.
        if deadline == u64::MAX || link.scheduled().load(Ordering::SeqCst) <= tick {
            return;
        }
        let mut state = self.state.lock();
        let tick = state.insert(tick, link.key);
        link.scheduled().store(tick, Ordering::Relaxed);
        if tick < state.awaited {
            // Only where the wheel runs: else it waits for nothing, and cannot be late for it.
            state.awaited = if state.running { tick } else { state.awaited };
            self.alarm.notify_one();
        }
        if !state.running {
            state.running = true;
            let now_tick = core.now().as_millis() / TICK_MS;
            state.done = state.done.max(now_tick.min(tick - 1));
            drop(tokio::spawn(Arc::clone(self).run(Arc::downgrade(core))));
        }
    }

    /// A server that stood still, as in a container that was paused or behind a handler that blocked its
    /// thread, has not read what came meanwhile. Until this moment nobody is called silent: it is
    /// patient for as long as it stood still, but no longer than a pong may take.
    ///
    /// Whoever asks may have been woken before the wheel, so it is looked again how late that is.
    pub(crate) fn patient_until(&self, now: Moment, ping_timeout: Duration) -> Moment {
        let awaited_ms = self.state.lock().awaited.saturating_mul(TICK_MS);
        let late_ms = now.as_millis().saturating_sub(awaited_ms);
        self.note_late(Duration::from_millis(late_ms), now.as_millis(), ping_timeout);
        Moment::from_millis(self.patient_until_ms.load(Ordering::Relaxed))
    }

    fn note_late(&self, late: Duration, now_ms: u64, ping_timeout: Duration) {
        if late >= ping_timeout / STILL_PART {
            let patient_until = Moment::from_millis(now_ms) + late.min(ping_timeout);
            self.patient_until_ms.fetch_max(patient_until.as_millis(), Ordering::Relaxed);
        }
    }

    /// Ends the task of the wheel.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.alarm.notify_one();
    }

    async fn run(self: Arc<Self>, core: Weak<Core>) {
        let _running = Running(&self);
        loop {
            let Some(wait) = self.turn(&core) else {
                return;
            };
            tokio::select! {
                () = self.alarm.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Wakes whom it is time for; gives how long nothing else will be.
    fn turn(&self, core: &Weak<Core>) -> Option<Duration> {
        let core = core.upgrade()?;
        let now_ms = core.now().as_millis();
        let mut due = Vec::new();
        {
            let mut state = self.state.lock();
            if state.stopped {
                return None;
            }
            let late_ms = now_ms.saturating_sub(state.awaited.saturating_mul(TICK_MS));
            self.note_late(Duration::from_millis(late_ms), now_ms, core.limits.ping_timeout);
            state.advance(now_ms / TICK_MS, &mut due);
        }
        for key in due {
            if let Some(link) = core.sessions.by_key(key) {
                link.scheduled().store(UNSCHEDULED, Ordering::SeqCst);
                if link.deadline_ms() <= now_ms { link.nudge() } else { self.reschedule(&link) }
            }
        }
        let mut state = self.state.lock();
        state.awaited = state.next();
        let wait_ms = state.awaited.saturating_mul(TICK_MS).saturating_sub(now_ms);
        Some(Duration::from_millis(wait_ms.min(3_600_000)))
    }

    fn reschedule(&self, link: &Link) {
        let tick = link.deadline_ms().saturating_add(TICK_MS - 1) / TICK_MS;
        if link.deadline_ms() != u64::MAX {
            let tick = self.state.lock().insert(tick, link.key);
            link.scheduled().store(tick, Ordering::Relaxed);
        }
    }
}

/// The task of the wheel runs. When its runtime ends it, the next deadline starts another, on the
/// runtime of then.
struct Running<'a>(&'a Wheel);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.running = false;
        state.awaited = UNSCHEDULED;
    }
}

impl State {
    /// Puts a key into the slot for `tick`, or into the last slot there is before it.
    fn insert(&mut self, tick: u64, key: Key) -> u64 {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Vec::new);
        }
        let tick = tick.clamp(self.done + 1, self.done + SLOTS as u64 - 1);
        self.slots[(tick % SLOTS as u64) as usize].push(key);
        tick
    }

    /// Takes the keys out of all slots up to `tick`.
    fn advance(&mut self, tick: u64, due: &mut Vec<Key>) {
        if self.slots.is_empty() {
            self.done = self.done.max(tick);
            return;
        }
        // After a long sleep each slot comes up once, not once for every turn that was missed.
        let first = (self.done + 1).max(tick.saturating_sub(SLOTS as u64));
        for at in first..=tick {
            due.append(&mut std::mem::take(&mut self.slots[(at % SLOTS as u64) as usize]));
        }
        self.done = self.done.max(tick);
    }

    /// The next tick with a key in its slot.
    fn next(&self) -> u64 {
        let filled = |tick: &u64| !self.slots[(tick % SLOTS as u64) as usize].is_empty();
        if self.slots.is_empty() {
            return UNSCHEDULED;
        }
        (self.done + 1..self.done + SLOTS as u64).find(filled).unwrap_or(UNSCHEDULED)
    }
}
