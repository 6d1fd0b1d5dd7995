//! [`Pressure`]: why nothing more is read from a client for now.
//!
//! Each cause ends in its own way, and each says something else about a client that is not heard.
//!
//! So a flood ends in the flooder's own buffers: a turn reads a bounded amount, and nothing is read from a client whose
//! outbox is a quarter full, whose events wait for handlers, or whose events are paced. A WebSocket that probes is
//! always read, also when the session is closing: only the end of its upgrade lets a client that has stopped polling
//! take what waits. For the same reason one body of such a client is let through (`Session::hold`).

/// The causes that keep a client from being read. None of them is the usual case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Too much waits to be sent to it. This ends when the client takes bytes.
    pub(crate) outbox: bool,
    /// Too many of its events wait for handlers, or for decisions. These end by themselves, mostly.
    pub(crate) handlers: bool,
    /// Its events came faster than they may. This ends with time.
    pub(crate) pace: bool,
}

impl Pressure {
    /// Whether anything keeps the client from being read.
    pub(crate) const fn is_on(self) -> bool {
        self.outbox || self.handlers || self.pace
    }

    /// Whether the silence of the client says nothing about it: its pong lies unread by our own will.
    ///
    /// Under a full outbox it does say something. The client could end that by taking bytes, and bytes
    /// that it takes are a sign of life; so whoever takes none for the time of a pong is not there.
    pub(crate) const fn excuses_silence(self) -> bool {
        (self.handlers || self.pace) && !self.outbox
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Pressure = Pressure { outbox: false, handlers: false, pace: false };

    #[test]
    fn silence_is_excused_where_only_we_can_end_it() {
        let excused = |pressure: Pressure| (pressure.is_on(), pressure.excuses_silence());
        assert_eq!(excused(NONE), (false, false));
        assert_eq!(excused(Pressure { handlers: true, ..NONE }), (true, true));
        assert_eq!(excused(Pressure { pace: true, ..NONE }), (true, true));
        assert_eq!(excused(Pressure { outbox: true, ..NONE }), (true, false));
        assert_eq!(excused(Pressure { outbox: true, handlers: true, pace: true }), (true, false));
    }
}
