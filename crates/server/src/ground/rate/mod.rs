//! How often something may happen: events of a connection, anything by keys, lines of the log.

pub(crate) mod limiter;
pub(crate) mod rates;
pub(crate) mod throttle;
