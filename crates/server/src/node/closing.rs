//! [`Closing`]: how a server ends, one thing after the other.
//!
//! ```text
//! Serving ──▶ Draining ──▶ SayingGoodbye ──▶ HangingUp ──▶ Closed
//!    └─────────────────────────┘
//! ```
//!
//! While it drains, no session is opened, and those that are open end one after the other, so that their
//! clients do not all come to another server at once. While it says goodbye, no session is opened, and those that are open get their close packet;
//! polls for it are still answered. Then HTTP connections write what they owe and end. Only when
//! they have is the server closed, and only then does serving end, so that a program that ends with
//! it loses nothing.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Closing {
    phase: AtomicU8,
    /// Connections that speak HTTP, where the server serves by itself.
    http: AtomicUsize,
    /// Rung when a session or an HTTP connection of a closing server has ended.
    ended: Notify,
    /// Rung when the server hangs up, and when it is closed.
    phased: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Serving,
    Draining,
    SayingGoodbye,
    HangingUp,
    Closed,
}

/// A connection that speaks HTTP, as long as it does.
pub(crate) struct HttpConnection<'a>(&'a Closing);

/// A closing that is given up ends as one that is done: nobody waits for it for ever.
pub(crate) struct Close<'a>(&'a Closing);

impl Closing {
    pub(crate) fn is_past(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::SeqCst) > phase as u8
    }

    /// Begins to drain.
    pub(crate) fn drain(&self) {
        self.enter(Phase::Draining);
    }

    /// Begins; the server is closed when the value is dropped.
    pub(crate) fn begin(&self) -> Close<'_> {
        self.enter(Phase::SayingGoodbye);
        Close(self)
    }

    /// Something has ended.
    pub(crate) fn note_end(&self) {
        if self.is_past(Phase::Serving) {
            self.ended.notify_waiters();
        }
    }

    pub(crate) fn http_connection(&self) -> HttpConnection<'_> {
        self.http.fetch_add(1, Ordering::SeqCst);
        HttpConnection(self)
    }

    /// Waits until the server begins to close.
    pub(crate) async fn begun(&self) {
        self.reached(Phase::SayingGoodbye).await;
    }

    /// Waits until the server hangs up.
    pub(crate) async fn hung_up(&self) {
        self.reached(Phase::HangingUp).await;
    }

    /// Waits until the server is closed.
    pub(crate) async fn closed(&self) {
        self.reached(Phase::Closed).await;
    }

    async fn reached(&self, phase: Phase) {
        loop {
            let phased = self.phased.notified();
            if self.phase.load(Ordering::SeqCst) >= phase as u8 {
                return;
            }
            phased.await;
        }
    }

    /// Never goes back: the second of two closings changes nothing.
    fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.phased.notify_waiters();
    }

    /// Waits until nothing is left of what `count` counts; `false` when `patience` was over before.
    async fn wait(&self, patience: Duration, count: impl Fn() -> usize) -> bool {
        let none_left = async {
            loop {
                let ended = self.ended.notified();
                if count() == 0 {
                    return;
                }
                ended.await;
            }
        };
        tokio::time::timeout(patience, none_left).await.is_ok()
    }
}

impl Close<'_> {
    /// Waits until no session is left.
    pub(crate) async fn sessions_ended(
        &self,
        patience: Duration,
        sessions: impl Fn() -> usize,
    ) -> bool {
        self.0.wait(patience, sessions).await
    }

    /// Lets HTTP connections write what they owe, and waits until they have ended.
    pub(crate) async fn hang_up(&self, patience: Duration) -> bool {
        self.0.enter(Phase::HangingUp);
        self.0.wait(patience, || self.0.http.load(Ordering::SeqCst)).await
    }
}

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.enter(Phase::Closed);
    }
}

impl Drop for HttpConnection<'_> {
    fn drop(&mut self) {
        self.0.http.fetch_sub(1, Ordering::SeqCst);
        self.0.note_end();
    }
}
