//! [`ManagerSettings`]: how a manager behaves, and what bounds it.

use std::sync::Arc;
use std::time::Duration;

use super::buffer::Overflow;
use crate::limits::Limits;
use crate::socket::backoff::Reconnection;

/// How a manager behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ManagerSettings {
    /// When the client connects again.
    pub reconnection: Reconnection,
    /// Time for a namespace to answer CONNECT, after which the client is told. Default 20 s.
    pub join_timeout: Duration,
    /// Bytes that may wait to be sent, of all sockets together. Default 16 MiB.
    pub waiting_bytes_max: usize,
    /// What happens to an event above that while its socket is not connected.
    pub overflow: Overflow,
    /// Events of one socket that wait for their ack. Default 100,000.
    pub acks_max: usize,
    /// How often an event is sent again whose ack does not come, where it is emitted so that it is.
    /// Default 3.
    pub retries: u32,
    /// Time for the ack of such an event, each time. Default 10 s.
    pub retry_timeout: Duration,
    /// Packets of namespaces and acks of events that nobody has asked for, until the connection is
    /// closed. Default 1,000.
    pub strays_max: u32,
    /// Limits on what the server sends.
    pub limits: Arc<Limits>,
}

impl Default for ManagerSettings {
    fn default() -> Self {
        Self {
            reconnection: Reconnection::default(),
            join_timeout: Duration::from_secs(20),
            waiting_bytes_max: 16 * 1024 * 1024,
            overflow: Overflow::default(),
            acks_max: 100_000,
            retries: 3,
            retry_timeout: Duration::from_secs(10),
            strays_max: 1_000,
            limits: Arc::new(Limits::client()),
        }
    }
}
