//! [`EventFlow`]: how the events of a socket come to their handlers, and [`OneEvent`] for those of one name.

use std::collections::HashMap;

use bytes::Bytes;

use crate::ground::rate::rates::Rate;

/// How the events of the sockets of a namespace come to their handlers: which wait for each other, how large they may
/// be, and how fast those of one name may come.
///
/// [`Namespace::event_flow`](crate::Namespace::event_flow) sets it for one namespace,
/// [`Builder::event_flow`](crate::Builder::event_flow) what every namespace begins with. What a value does not
/// say stays as it was before, so that several parts of a program may each say what they know of.
///
/// An event passes these in turn:
///
/// | what | where it is set | default | beyond |
/// |---|---|---|---|
/// | events of the connection in a time | [`ConnectionFlow::rate`](crate::ConnectionFlow::rate) | no limit | refused, `rate_limited`; or the connection ends |
/// | events of the connection in a time | [`ConnectionFlow::pace`](crate::ConnectionFlow::pace) | no limit | it waits, and nothing more is read |
/// | waiting handlers of the connection | [`ConnectionFlow::handlers_max`](crate::ConnectionFlow::handlers_max) | 1,024 | it waits |
/// | events of its name of the socket in a time | [`OneEvent::rate`] | no limit | refused, `rate_limited`; or the socket leaves |
/// | bytes of its arguments | [`OneEvent::args_bytes_max`], else [`args_bytes_max`](Self::args_bytes_max) | no limit | refused, `too_large` |
/// | a handler of the socket that is to end first | [`OneEvent::ordered`], else [`ordered`](Self::ordered) | none | it waits |
/// | waiting handlers of the socket | [`handlers_max`](Self::handlers_max) | no limit | it waits |
///
/// Then [`on_any`](crate::Namespace::on_any), [`before`](crate::Namespace::before) and its handler see it. An event
/// that is refused is dropped and counted, and [`on_error`](crate::Namespace::on_error) is told; a client that asked
/// for an answer gets the error of that code.
///
/// ```
/// use std::time::Duration;
/// use roomful::{EventFlow, OneEvent, Rate, Server};
///
/// let io = Server::builder().event_flow(EventFlow::new().args_bytes_max(16 * 1024)).build();
/// // Draw as it was drawn, but let a long export not hold that up.
/// io.of("/board").event_flow(
///     EventFlow::new()
///         .ordered(true)
///         .event("export", OneEvent::new().ordered(false).rate(Rate::new(5, Duration::from_secs(60))))
///         .event("picture", OneEvent::new().args_bytes_max(512 * 1024)),
/// );
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until a namespace or a builder has it"]
pub struct EventFlow {
    ordered: Option<bool>,
    handlers_max: Option<usize>,
    args_bytes_max: Option<usize>,
    events: HashMap<Bytes, Numbered, foldhash::fast::RandomState>,
}

/// A name's own flow, and a number for its [buckets](crate::ground::rate::rates::Buckets), which stays when the flow
/// changes.
type Numbered = (u32, OneEvent);

impl EventFlow {
    /// One that says nothing: all is as it was.
    pub fn new() -> Self {
        Self { ordered: None, handlers_max: None, args_bytes_max: None, events: HashMap::default() }
    }

    /// Whether the next event of a socket waits until the handler of the one before has ended. Default no: handlers
    /// start in the order of their events, and overlap while they wait.
    ///
    /// With it, a handler that waits for long holds up all later events of its socket; those of other sockets, and
    /// answers to [`Socket::call`](crate::Socket::call), go on. Not more than 4 MiB of events are read ahead.
    pub const fn ordered(mut self, ordered: bool) -> Self {
        self.ordered = Some(ordered);
        self
    }

    /// Handlers of one socket that wait for something at the same time; at least one. Further events of the socket
    /// wait their turn, in order, whatever their names; those of other sockets, and answers to
    /// [`Socket::call`](crate::Socket::call), do not. Not more than 4 MiB of events are read ahead, and no answers
    /// behind them. Default: no limit but [that of the connection](crate::ConnectionFlow::handlers_max).
    pub fn handlers_max(mut self, count: usize) -> Self {
        self.handlers_max = Some(count.max(1));
        self
    }

    /// Bytes that the arguments of one event may have: their JSON, without the name, and their attachments. An event
    /// with more is refused before any function sees it, with the error `too_large` and the data
    /// `{"args_bytes_max": …}`. Answers to ack requests are no events. Default: no limit but
    /// [`payload_bytes_max`](crate::Builder::payload_bytes_max), beyond which nothing is read and the connection is
    /// closed.
    pub const fn args_bytes_max(mut self, bytes: usize) -> Self {
        self.args_bytes_max = Some(bytes);
        self
    }

    /// What is different for events of that name. What it does not say is as for all others, or as an earlier call
    /// for the name has said.
    pub fn event(mut self, name: &str, flow: OneEvent) -> Self {
        self.set(Bytes::copy_from_slice(name.as_bytes()), flow);
        self
    }

    /// Takes over what another says.
    pub(crate) fn merge(&mut self, other: Self) {
        self.ordered = other.ordered.or(self.ordered);
        self.handlers_max = other.handlers_max.or(self.handlers_max);
        self.args_bytes_max = other.args_bytes_max.or(self.args_bytes_max);
        for (name, (_, flow)) in other.events {
            self.set(name, flow);
        }
    }

    fn set(&mut self, name: Bytes, flow: OneEvent) {
        let next = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        self.events.entry(name).or_insert((next, OneEvent::new())).1.merge(flow);
    }

    /// Whether it says anything.
    pub(crate) fn is_set(&self) -> bool {
        let all = self.ordered.is_some() || self.handlers_max.is_some();
        all || self.args_bytes_max.is_some() || !self.events.is_empty()
    }

    /// How fast events of that name may come, and the number of its buckets.
    pub(crate) fn rate_of(&self, event: &[u8]) -> Option<(u32, Rate)> {
        let (number, flow) = self.events.get(event)?;
        flow.rate.map(|rate| (*number, rate))
    }

    /// Bytes that the arguments of an event of that name may have.
    pub(crate) fn bytes_max_of(&self, event: &[u8]) -> Option<usize> {
        let of_event = self.events.get(event).and_then(|(_, flow)| flow.args_bytes_max);
        of_event.or(self.args_bytes_max)
    }

    /// What the handler of an event of that name is for later events of its socket.
    pub(crate) fn hold(&self, event: &[u8]) -> Hold {
        let of_event = self.events.get(event).and_then(|(_, flow)| flow.ordered);
        if of_event.or(self.ordered).unwrap_or(false) {
            return Hold::All;
        }
        self.handlers_max.map_or(Hold::None, Hold::UpTo)
    }
}

impl Default for EventFlow {
    fn default() -> Self {
        Self::new()
    }
}

/// What is different for the events of one name: a part of an [`EventFlow`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing until a flow has it"]
pub struct OneEvent {
    ordered: Option<bool>,
    rate: Option<Rate>,
    args_bytes_max: Option<usize>,
}

impl OneEvent {
    /// One that says nothing: such events are as all others.
    pub const fn new() -> Self {
        Self { ordered: None, rate: None, args_bytes_max: None }
    }

    /// Whether later events of the socket, of whatever name, wait until the handler of this one has ended. Default:
    /// [`EventFlow::ordered`].
    pub const fn ordered(mut self, ordered: bool) -> Self {
        self.ordered = Some(ordered);
        self
    }

    /// How fast they may come from each socket. Those beyond are refused before anything else sees them, with the
    /// error `rate_limited`; where the [rate disconnects](Rate::disconnects), the first of them takes its socket out
    /// of the namespace. Default: no limit.
    pub const fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Bytes that their arguments may have; more than those of all others, too. Default:
    /// [`EventFlow::args_bytes_max`].
    pub const fn args_bytes_max(mut self, bytes: usize) -> Self {
        self.args_bytes_max = Some(bytes);
        self
    }

    fn merge(&mut self, other: Self) {
        self.ordered = other.ordered.or(self.ordered);
        self.rate = other.rate.or(self.rate);
        self.args_bytes_max = other.args_bytes_max.or(self.args_bytes_max);
    }
}

/// What a handler that runs is for later events of its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing.
    None,
    /// They wait until it has ended.
    All,
    /// They wait while there are so many of these.
    UpTo(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_flow_does_not_say_stays_as_it_was() {
        let rate = Rate::per_second(1);
        let mut flow = EventFlow::new().ordered(true).handlers_max(0).args_bytes_max(9);
        flow = flow.event("a", OneEvent::new().ordered(false).rate(rate).args_bytes_max(90));
        flow.merge(EventFlow::new());
        flow.merge(EventFlow::new().args_bytes_max(8).event("b", OneEvent::new().rate(rate)));
        flow.merge(EventFlow::new().event("a", OneEvent::new().rate(rate.burst(5))));
        assert_eq!((flow.hold(b"a"), flow.hold(b"b")), (Hold::UpTo(1), Hold::All));
        assert_eq!((flow.bytes_max_of(b"a"), flow.bytes_max_of(b"b")), (Some(90), Some(8)));
        assert_eq!(flow.rate_of(b"a"), Some((0, rate.burst(5))), "of the same bucket");
        assert_eq!((flow.rate_of(b"b"), flow.rate_of(b"c")), (Some((1, rate)), None));
    }

    #[test]
    fn one_that_says_nothing_is_not_set() {
        assert!(!EventFlow::default().is_set());
        for flow in [
            EventFlow::new().ordered(false),
            EventFlow::new().handlers_max(1),
            EventFlow::new().args_bytes_max(0),
            EventFlow::new().event("a", OneEvent::new()),
        ] {
            assert!(flow.is_set(), "{flow:?}");
        }
    }
}
