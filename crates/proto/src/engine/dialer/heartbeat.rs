//! [`Heartbeat`]: how long a client believes in a server of which it hears nothing.

use std::time::Duration;

use crate::engine::handshake::Revision;
use crate::engine::welcome::Welcome;
use crate::time::Moment;

#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Engine.IO 4: the server pings, and must do so before then.
    Listening(Moment),
    /// Engine.IO 3: the next ping goes out then.
    Resting(Moment),
    /// Engine.IO 3: the pong must come before then.
    Awaiting(Moment),
}

/// What time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Nothing,
    Ping,
    Silence,
}

impl Heartbeat {
    pub(super) fn new(now: Moment, revision: Revision, welcome: &Welcome) -> Self {
        let state = match revision {
            Revision::V4 => State::Listening(now + welcome.silence_max()),
            Revision::V3 => State::Resting(now + welcome.ping_interval),
        };
        Self { interval: welcome.ping_interval, timeout: welcome.ping_timeout, state }
    }

    /// A ping came.
    pub(super) fn pinged(&mut self, now: Moment) {
        if let State::Listening(_) = self.state {
            self.state = State::Listening(now + self.silence_max());
        }
    }

    /// A pong came. One that was not asked for changes nothing.
    pub(super) fn ponged(&mut self, now: Moment) {
        if let State::Awaiting(_) = self.state {
            self.state = State::Resting(now + self.interval);
        }
    }

    /// Bytes have moved: silence begins anew.
    pub(super) fn alive(&mut self, now: Moment) {
        let (silence_max, timeout) = (self.silence_max(), self.timeout);
        match &mut self.state {
            State::Listening(until) => *until = (*until).max(now + silence_max),
            State::Awaiting(until) => *until = (*until).max(now + timeout),
            State::Resting(_) => {}
        }
    }

    pub(super) const fn deadline(&self) -> Moment {
        let (State::Listening(at) | State::Resting(at) | State::Awaiting(at)) = self.state;
        at
    }

    pub(super) fn expire(&mut self, now: Moment) -> Beat {
        match self.state {
            State::Listening(until) | State::Awaiting(until) if now >= until => Beat::Silence,
            State::Resting(at) if now >= at => {
                self.state = State::Awaiting(now + self.timeout);
                Beat::Ping
            }
            _ => Beat::Nothing,
        }
    }

    /// Whether the time of the server is over, also where nobody has looked at the clock meanwhile.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        match self.state {
            State::Listening(until) | State::Awaiting(until) => now >= until,
            State::Resting(at) => now >= at + self.timeout,
        }
    }

    fn silence_max(&self) -> Duration {
        self.interval.saturating_add(self.timeout)
    }
}
