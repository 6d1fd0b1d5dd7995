//! [`ConnectionFlow`]: how the events of one connection flow, of all its namespaces together.

use crate::ground::rate::rates::Rate;

/// How the events of one connection flow, of all its namespaces together: how many are handled at the same time, and
/// how fast they may come. Set by [`Builder::connection_flow`](crate::Builder::connection_flow).
/// [`EventFlow`](crate::EventFlow) is the same of one namespace, and says in which order all of these hold.
///
/// ```
/// use roomful::{ConnectionFlow, Rate, Server};
///
/// let flow = ConnectionFlow::new().handlers_max(16).rate(Rate::per_second(100).burst(500));
/// let io = Server::builder().connection_flow(flow).build();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until a builder has it"]
pub struct ConnectionFlow {
    pub(crate) handlers_max: usize,
    pub(crate) rate: Option<Rate>,
    pub(crate) pace: Option<Rate>,
}

impl ConnectionFlow {
    /// The default.
    pub const fn new() -> Self {
        Self { handlers_max: 1_024, rate: None, pace: None }
    }

    /// Handlers that wait for something at the same time; at least one. Further events wait their turn. When the
    /// events that are being handled or wait have more than 4 MiB, nothing more is read from the client until handlers
    /// have ended. Default 1,024. For the sockets of one namespace there can be
    /// [fewer](crate::EventFlow::handlers_max).
    pub fn handlers_max(mut self, count: usize) -> Self {
        self.handlers_max = count.max(1);
        self
    }

    /// How fast events may come. Those beyond are refused, with the error `rate_limited`; where the
    /// [rate disconnects](Rate::disconnects), the first of them closes the connection, and its sockets see
    /// `forced server close`. Default: no limit.
    pub const fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// How fast events are handled. None is lost: while one has to wait, nothing more is read from the client, so that
    /// it has to wait itself. That holds for its answers to ack requests, too. At least what comes in 40 ms is handled at
    /// once. Default: no limit.
    pub const fn pace(mut self, pace: Rate) -> Self {
        self.pace = Some(pace);
        self
    }
}

impl Default for ConnectionFlow {
    fn default() -> Self {
        Self::new()
    }
}
