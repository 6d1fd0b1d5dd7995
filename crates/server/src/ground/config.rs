//! What a server is set to: [`Config`], with its defaults and their reasons.

use std::time::Duration;

use roomful_proto::Limits;

use crate::ground::addressing::Addressing;
use crate::ground::compression::Compression;
use crate::ground::connection_flow::ConnectionFlow;
use crate::ground::event_flow::EventFlow;
use crate::ground::parser::ServerParser;

/// What a server is set to, beside what it is for HTTP. Made by [`Builder`](crate::Builder).
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) limits: Limits,
    /// `None` is the default encoding.
    pub(crate) parser: Option<ServerParser>,
    /// Of WebSocket messages; `None` for none.
    pub(crate) compression: Option<Compression>,
    pub(crate) outbox_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) connection_flow: ConnectionFlow,
    /// What each namespace begins with.
    pub(crate) event_flow: EventFlow,
    /// Of each namespace.
    pub(crate) sockets_max: usize,
    pub(crate) asks_max: usize,
    pub(crate) rooms_max: usize,
    pub(crate) room_name_bytes_max: usize,
    pub(crate) child_namespaces_max: usize,
    /// Of one connection at the same time.
    pub(crate) decisions_max: usize,
    pub(crate) deciding_bytes_max: usize,
    pub(crate) decision_timeout: Duration,
    pub(crate) client_address: Addressing,
    pub(crate) decisions_per_address_max: usize,
    pub(crate) keep_empty_namespaces: bool,
    pub(crate) ack_timeout: Duration,
    pub(crate) expiry_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) namespace_timeout: Duration,
    /// Time for another node to say that it holds a session.
    pub(crate) session_lookup_timeout: Duration,
    /// The name of the cookie that the server sets itself, for load balancers.
    pub(crate) own_cookie: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            parser: None,
            compression: None,
            outbox_bytes_max: 8 * 1024 * 1024,
            connections_max: 1_000_000,
            connection_flow: ConnectionFlow::new(),
            event_flow: EventFlow::new(),
            sockets_max: usize::MAX,
            asks_max: 16_384,
            rooms_max: 1_000,
            room_name_bytes_max: 512,
            child_namespaces_max: 10_000,
            decisions_max: 8,
            deciding_bytes_max: 4 * 1024 * 1024,
            decision_timeout: Duration::from_secs(30),
            client_address: Addressing::default(),
            decisions_per_address_max: 64,
            keep_empty_namespaces: false,
            ack_timeout: Duration::from_secs(10),
            expiry_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(8),
            namespace_timeout: Duration::from_secs(10),
            session_lookup_timeout: Duration::from_secs(1),
            own_cookie: None,
        }
    }
}
