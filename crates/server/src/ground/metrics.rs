//! [`Stats`]: what the server counts. Each number is a thing that an operator may be asked about.

use std::sync::atomic::{AtomicU64, Ordering};

use roomful_proto::deflate::Tally;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the server was built, as [`Server::stats`](crate::Server::stats) read them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct Stats {
            /// Connections that are open now.
            pub connections: u64,
            /// Decisions about clients that are under way now: `connect` functions, and those of
            /// `of_matching`, that have not ended.
            pub deciding: u64,
            $($(#[$doc])* pub $name: u64,)*
        }

        /// Of several servers together.
        impl std::ops::Add for Stats {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self {
                    connections: self.connections.wrapping_add(other.connections),
                    deciding: self.deciding.wrapping_add(other.deciding),
                    $($name: self.$name.wrapping_add(other.$name),)*
                }
            }
        }

        #[derive(Default)]
        pub(crate) struct Metrics {
            $(pub(crate) $name: Counter,)*
        }

        impl Metrics {
            pub(crate) fn read(&self, connections: usize, deciding: usize) -> Stats {
                let (connections, deciding) = (connections as u64, deciding as u64);
                Stats { connections, deciding, $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Connections that were opened.
    opened,
    /// Connections that have ended.
    closed,
    /// Requests that were refused before a session began or was found, for whatever reason; and those to routes of
    /// the program, by [`Server::origin_layer`](crate::Server::origin_layer).
    requests_refused,
    /// Requests refused because pages of their origin may not connect, or those of another site that name no
    /// origin.
    origins_refused,
    /// Requests refused because their host is not one of [`Builder::hosts`](crate::Builder::hosts).
    hosts_refused,
    /// Requests that the function given to `allow_request` refused.
    forbidden,
    /// Requests refused because that function did not decide in time.
    allow_timeouts,
    /// Requests refused because `connections_max` were open, and TCP connections dropped because
    /// `http_connections_max` were.
    connections_refused,
    /// HTTP connections that were ended although their client was still sending behind its last answer:
    /// more than 32 MiB, for more than 30 s, or with a pause of 5 s.
    lingers_cut,
    /// Bodies of sessions that were refused: 413, because they had more than `payload_bytes_max`, after which
    /// the session goes on, or 408, because they did not come within `request_timeout`, which ends it.
    bodies_refused,
    /// Headers that functions of the user's could not add to an answer.
    headers_refused,
    /// Upgrades from polling to WebSocket.
    upgrades,
    /// Requests whose session was looked for at other nodes: see
    /// [`Builder::session_bus`](crate::Builder::session_bus).
    sessions_asked,
    /// Those of them whose session was found.
    sessions_found,
    /// Requests that were refused because too many sessions were looked for at the same time, or too many visitors of
    /// other nodes were here.
    session_asks_refused,
    /// Messages about sessions that the bus did not take. The sessions ended.
    session_messages_dropped,
    /// What came by the bus of sessions and was no message, or of a type that is not known here.
    session_messages_malformed,
    /// Connections closed because the peer broke the protocol or crossed a limit.
    violations,
    /// Connections closed because the peer did not answer a ping.
    ping_timeouts,
    /// Connections closed because the peer took nothing of what waited for it, and so no ping either.
    stalled_peers,
    /// Connections closed because their outbox was full.
    slow_peers,
    /// Times that a client became slow: a quarter of its outbox was full.
    slow_warnings,
    /// Volatile events that were dropped because they could not leave at once.
    volatile_dropped,
    /// Namespaces joined.
    joined,
    /// Namespaces refused to a client.
    refused,
    /// Namespaces refused to a client because they had `sockets_max` sockets already.
    sockets_refused,
    /// Namespaces refused to a client because its auth payload had more than `auth_bytes_max`.
    auth_too_large,
    /// Decisions about clients that had to wait for their turn.
    decisions_waited,
    /// Namespaces refused to a client because its turn did not come within `decision_timeout`, or the
    /// decision did not end.
    decision_timeouts,
    /// Children of parents that were made, because a client or the program asked for them.
    namespaces_made,
    /// Namespaces refused to a client because there were `child_namespaces_max` already.
    namespaces_refused,
    /// Namespaces refused to a client because the functions given to `of_matching` did not decide in
    /// time.
    namespace_timeouts,
    /// Functions and limits that were not registered, because a parent stands for the namespace: see
    /// [`Server::of`](crate::Server::of).
    registrations_refused,
    /// Times that a function was not called because it is for sockets with data of another type: see
    /// [`Namespace::connect`](crate::Namespace::connect).
    functions_misfit,
    /// Sockets that were taken out of their namespace because their
    /// [time](crate::Socket::expire_after) was over.
    expired,
    /// Sockets that were given back to clients whose connection was lost.
    recovered,
    /// Clients that wanted their socket back and got a new one.
    recoveries_refused,
    /// Events that no handler listens to.
    events_unhandled,
    /// Events whose arguments did not fit their handler.
    events_misfit,
    /// Events that a function of [`Namespace::before`](crate::Namespace::before) refused.
    events_refused,
    /// Events that were refused because they came faster than a rate of their connection or name.
    events_too_fast,
    /// Events that were refused because their arguments had more than an `args_bytes_max`.
    events_too_large,
    /// Times that a client was not read from because its events came faster than their
    /// [pace](crate::ConnectionFlow::pace).
    paced,
    /// Events whose handler gave an [`EventError`](crate::EventError).
    events_failed,
    /// Answers to nothing that was asked, or that came too late.
    acks_unmatched,
    /// Ack requests not asked because too many of that client were open.
    asks_refused,
    /// Rooms not joined because the socket was in `rooms_max` already.
    rooms_refused,
    /// Rooms not joined because their name was longer than `room_name_bytes_max`.
    room_names_refused,
    /// Rooms not joined because a function of
    /// [`Namespace::before_join`](crate::Namespace::before_join) refused.
    joins_refused,
    /// Values that could not be written as JSON, or by the server's parser, so that their event was
    /// not sent.
    encode_failures,
    /// Handlers and other functions of the user's that panicked, and parsers that did while they read.
    panics,
    /// WebSocket messages that were compressed: each once, however many clients it went to.
    messages_compressed,
    /// Answers to polls that were compressed.
    answers_compressed,
    /// Bytes of all these, before.
    bytes_before_compression,
    /// And after.
    bytes_after_compression,
    /// Connections closed because a compressed message was larger than `payload_bytes_max`.
    inflated_too_big,
    /// Connections closed because their messages inflated to more than the `ratio_max` of
    /// [`Compression`](crate::Compression).
    inflate_ratio_exceeded,
}

impl Stats {
    /// With what the packets themselves have counted.
    pub(crate) fn with(mut self, tally: Tally) -> Self {
        self.messages_compressed += tally.messages;
        self.bytes_before_compression += tally.bytes_before;
        self.bytes_after_compression += tally.bytes_after;
        self
    }
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.add_all(1);
    }

    pub(crate) fn add_all(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
