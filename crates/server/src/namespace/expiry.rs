//! [`Expiry`]: how long a socket may stay, such as its token is good for.
//!
//! A socket that may stay for ever has a number that says so, and nothing else. For the others their
//! connection has a deadline with its one place in the wheel; there is no timer of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use roomful_proto::Moment;

use crate::namespace::erased::Started;
use crate::namespace::socket_core::SocketCore;

/// Asks whether a socket may stay.
pub(crate) type OnExpire = Arc<dyn Fn(&Arc<SocketCore>) -> Option<Started> + Send + Sync>;

/// Until when a socket may stay, in the lower bits, and which question whether it may is the last one.
///
/// The questions have numbers, since two may wait until the same time. A number comes again after
/// 32,768 questions; one that has waited for so long and until the same time too is taken for the new
/// one.
pub(crate) struct Expiry(AtomicU64);

/// Which question it is, unless that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question(Option<u64>);

/// The time was over, and it is asked whether the socket may stay: until the time beside this.
const ASKED: u64 = 1 << 63;
/// The first question; they count up to `ASKED`.
const QUESTION: u64 = 1 << 48;
/// The time beside all that: for ever.
const NEVER: u64 = QUESTION - 1;
/// The last moment that there is, in 8,900 years.
const LAST_MS: u64 = NEVER - 1;

impl Expiry {
    pub(crate) const fn never() -> Self {
        Self(AtomicU64::new(NEVER))
    }

    /// From now on the socket may stay until then; `None` is for ever.
    pub(crate) fn set(&self, until: Option<Moment>) {
        let until = until.map_or(NEVER, ms);
        self.change(|value| Some(number(value) | until));
    }

    /// When something is to be done.
    pub(crate) fn at(&self) -> Option<Moment> {
        let at = time(self.0.load(Ordering::Relaxed));
        (at != NEVER).then(|| Moment::from_millis(at))
    }

    /// Says that it is asked now whether the socket may stay; `false` when its time is not over, or
    /// when that was asked already.
    pub(crate) fn ask(&self, now: Moment, until: Moment) -> bool {
        self.change(|value| {
            let is_over = value & ASKED == 0 && time(value) <= ms(now);
            is_over.then(|| ASKED | number(value.wrapping_add(QUESTION)) | ms(until))
        })
    }

    /// What is asked now.
    pub(crate) fn question(&self) -> Question {
        let value = self.0.load(Ordering::Relaxed);
        Question((value & ASKED != 0).then_some(value))
    }

    /// That was asked, and nobody said that the socket may stay; `false` when somebody did, whatever was
    /// asked since.
    fn lapse(&self, question: Question) -> bool {
        self.change(|value| (question.0 == Some(value)).then(|| ASKED | number(value)))
    }

    /// Whether the time is over, and nobody is asked any more.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ASKED != 0
    }

    /// One change that no other comes between.
    fn change(&self, change: impl FnMut(u64) -> Option<u64>) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

/// Of the last question.
const fn number(value: u64) -> u64 {
    value & !ASKED & !NEVER
}

const fn time(value: u64) -> u64 {
    value & NEVER
}

fn ms(moment: Moment) -> u64 {
    moment.as_millis().min(LAST_MS)
}

impl SocketCore {
    pub(crate) fn expire_after(&self, life: Duration) {
        let Some(core) = self.namespace.registry() else {
            return;
        };
        self.expiry.set(Some(core.now() + life));
        // Its connection looks when that is, and tells the wheel.
        self.link.nudge();
    }

    /// What is left of its time.
    pub(crate) fn expires_in(&self) -> Option<Duration> {
        let at = self.expiry.at()?;
        let now = self.namespace.registry().map(|core| core.now());
        // Whoever is asked about has no time left.
        Some(now.filter(|_| !self.expiry.is_asked()).map_or(Duration::ZERO, |now| at.since(now)))
    }

    /// The function that was asked has said nothing.
    pub(crate) fn lapse(&self, question: Question) {
        if self.expiry.lapse(question) {
            self.link.nudge();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn it_is_asked_once_and_then_it_ends() {
        let expiry = Expiry::never();
        assert_eq!(expiry.at(), None);
        assert!(!expiry.ask(at(u64::MAX), at(u64::MAX)), "never is never over");
        expiry.set(Some(at(100)));
        assert!(!expiry.ask(at(99), at(200)) && !expiry.is_asked());
        assert!(expiry.ask(at(100), at(200)) && expiry.is_asked());
        assert_eq!(expiry.at(), Some(at(200)));
        assert!(!expiry.ask(at(300), at(400)));
        assert!(expiry.lapse(expiry.question()));
        assert_eq!((expiry.at(), expiry.is_asked()), (Some(at(0)), true));
    }

    #[test]
    fn who_is_renewed_while_it_is_asked_stays() {
        for renewed in [Some(at(500)), None] {
            let expiry = Expiry::never();
            expiry.set(Some(at(100)));
            assert!(expiry.ask(at(100), at(200)));
            let question = expiry.question();
            expiry.set(renewed);
            assert!(!expiry.lapse(question) && !expiry.lapse(expiry.question()));
            assert_eq!((expiry.at(), expiry.is_asked()), (renewed, false));
        }
    }

    /// Whenever it was asked, and though both wait until the same time.
    #[test]
    fn the_end_of_an_old_question_ends_no_newer_one() {
        for until in [at(300), at(u64::MAX)] {
            let expiry = Expiry::never();
            expiry.set(Some(at(100)));
            assert!(expiry.ask(at(100), until));
            let old = expiry.question();
            expiry.set(Some(at(100)));
            assert!(expiry.ask(at(100), until));
            let new = expiry.question();
            assert!(!expiry.lapse(old));
            assert_eq!((expiry.at(), expiry.question()), (Some(at(ms(until))), new));
            assert!(expiry.lapse(new) && !expiry.lapse(new));
            assert_eq!((expiry.at(), expiry.is_asked()), (Some(at(0)), true));
        }
    }

    #[test]
    fn numbers_of_questions_begin_again_and_leave_the_time_alone() {
        let expiry = Expiry::never();
        let ask = || {
            expiry.set(Some(at(100)));
            assert!(expiry.ask(at(100), at(200)));
            assert_eq!((expiry.at(), expiry.is_asked()), (Some(at(200)), true));
            expiry.question()
        };
        let (first, second) = (ask(), ask());
        assert_ne!(first, second);
        (2..ASKED / QUESTION).for_each(|_| assert_ne!(ask(), first));
        assert_eq!(ask(), first);
        expiry.set(None);
        assert_eq!((expiry.at(), expiry.is_asked()), (None, false));
    }

    #[test]
    fn the_longest_time_is_a_time() {
        let expiry = Expiry::never();
        expiry.set(Some(at(0) + Duration::MAX));
        assert_eq!(expiry.at(), Some(at(LAST_MS)));
        assert!(!expiry.is_asked() && expiry.ask(at(u64::MAX), at(u64::MAX)));
        assert_eq!((expiry.at(), expiry.is_asked()), (Some(at(LAST_MS)), true));
    }
}
