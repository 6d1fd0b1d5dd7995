//! [`Outbox`]: messages about sessions that wait for the keeper, bounded by count and by bytes.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Messages that may wait: more than a body of 200,000 packets is, each of which is one.
const MESSAGES_MAX: usize = 262_144;
/// Bytes that may wait. One message always fits.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is to be said, and to which node: `None` is all.
pub(super) struct Outgoing {
    pub(super) to: Option<Box<str>>,
    pub(super) message: Bytes,
}

#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Rung when there is something, and when nothing more can come.
    rung: Notify,
}

struct Waiting {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    /// What one message may have.
    message_bytes_max: usize,
    is_closed: bool,
}

impl Default for Waiting {
    fn default() -> Self {
        let message_bytes_max = usize::MAX;
        Self { messages: VecDeque::new(), bytes: 0, message_bytes_max, is_closed: false }
    }
}

impl Outbox {
    /// The engine takes messages of so many bytes.
    pub(super) fn take_up_to(&self, message_bytes_max: usize) {
        self.waiting.lock().message_bytes_max = message_bytes_max;
    }

    /// `false` where there is no room, or the engine does not take it.
    pub(super) fn push(&self, to: Option<&str>, message: Bytes) -> bool {
        let mut waiting = self.waiting.lock();
        let bytes = waiting.bytes + message.len();
        let has_room = waiting.messages.is_empty()
            || waiting.messages.len() < MESSAGES_MAX && bytes <= BYTES_MAX;
        let fits = has_room && message.len() <= waiting.message_bytes_max;
        if fits {
            waiting.bytes = bytes;
            waiting.messages.push_back(Outgoing { to: to.map(Into::into), message });
            drop(waiting);
            self.rung.notify_one();
        }
        fits
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.rung.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.waiting.lock().is_closed
    }

    /// Drops what waits: it was said on a connection that has ended.
    pub(super) fn clear(&self) {
        let mut waiting = self.waiting.lock();
        waiting.messages.clear();
        waiting.bytes = 0;
    }

    /// The next messages, up to so many; `None` when nothing more can come.
    pub(super) async fn next(&self, at_once_max: usize) -> Option<Vec<Outgoing>> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.messages.is_empty() {
                    let count = waiting.messages.len().min(at_once_max);
                    let taken: Vec<_> = waiting.messages.drain(..count).collect();
                    waiting.bytes -= taken.iter().map(|one| one.message.len()).sum::<usize>();
                    return Some(taken);
                }
                if waiting.is_closed {
                    return None;
                }
            }
            self.rung.notified().await;
        }
    }
}
