//! A Socket.IO client: real-time events with any Socket.IO server.
//!
//! ```no_run
//! use roomful_client::Socket;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let io = Socket::new("http://localhost:3000")?;
//! io.on("message", async |_: Socket, text: String| println!("{text}"));
//! io.connect().await?;
//! io.emit("message", "hello");
//! let sum: i64 = io.call("add", (1, 2)).await?;
//! # drop(sum); Ok(()) }
//! ```
//!
//! # The nouns
//!
//! A [`Manager`] is one connection; a [`Socket`] is the client in one namespace on it. An event is emitted
//! ([`Socket::emit`]), or asks for an answer ([`Socket::call`]). An [`Event`] fixes the name, the arguments
//! and the answer of an event for both ends. [`cheat_sheet`] has the calls of the JavaScript client beside
//! ours, [`moving`] those of `rust_socketio`.
//!
//! # Handlers
//!
//! A handler is an async function: the [`Socket`] first, then the arguments of the event by position, as
//! any types that `serde` can read. What it returns is the ack; an [`Ack`] among its arguments lets it
//! answer later.
//!
//! ```
//! # use roomful_client::{EventError, Socket};
//! # fn example(io: Socket) {
//! io.on("twice", async |_: Socket, n: i64| n * 2);
//! io.on("half", async |_: Socket, n: i64| match n % 2 {
//!     0 => Ok(n / 2),
//!     _ => Err(EventError::new("odd", "it has no half")),
//! });
//! # }
//! ```
//!
//! Handlers of one socket start in the order of its events and run to their first wait before the next one
//! starts; waiting, they overlap. Heartbeats and acks go on beside them however long they take. Arguments
//! that do not fit never reach a handler: the server gets `{error: {code, message}}` if it asked for an
//! ack, as it does when a handler panics. Arguments that the handler does not take are ignored; [`Args`] as the last
//! argument takes them all. What is sent, or returned as an ack, is one argument, and a tuple is several: [`ToArgs`]
//! has a table.
//!
//! An `async` closure must not capture anything: the compiler says "async closure does not implement `Fn` because
//! it captures state from its environment", or that a variable "does not live long enough". A closure that is not
//! `async` captures what handlers share, and clones it for each event into the `async move` block that it returns:
//!
//! ```
//! # use roomful_client::Socket;
//! # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! # fn example(io: Socket) {
//! let heard = Arc::new(AtomicU64::new(0));
//! io.on("message", move |_: Socket, text: String| {
//!     let heard = Arc::clone(&heard);
//!     async move { println!("{}: {text}", heard.fetch_add(1, Ordering::Relaxed)) }
//! });
//! # }
//! ```
//!
//! Where the compiler says "this is not a handler", [`check_handler`] has it say what is wrong.
//!
//! # Connecting
//!
//! Nothing is connected before [`Socket::connect`], so that handlers can be registered first. Awaited, it
//! tells what became of the first attempt; [`Socket::connected`] waits through all of them, and
//! [`Socket::closed`] until no more are made. [`Socket::status`] tells where it stands, [`Socket::watch`]
//! of each change, and [`Socket::on_connect`], [`on_disconnect`](Socket::on_disconnect) and
//! [`on_connect_error`](Socket::on_connect_error) call functions.
//!
//! After a loss, or where no connection can be opened, the next attempt follows after a second, then two,
//! and at most five, each more or less by up to a half: [`Builder::reconnection`]. The delays begin anew
//! with a connection that has held for ten seconds ([`Reconnection::steady_after`]). Where the server
//! refuses the socket in its namespace, or puts it out, the client makes no further attempt by itself.
//!
//! # Leaving
//!
//! [`Manager::close`] waits until the server has read what was emitted, says goodbye, and waits for the end of
//! the connection. [`Socket::disconnect`], and the last handle that is dropped, say goodbye behind what was
//! emitted, and nobody waits: official servers drop an event that they read together with a goodbye.
//! [`Manager::arrived`] tells when an event is out of that danger.
//!
//! # While there is no connection
//!
//! Events wait, in their order, up to [`Builder::waiting_bytes_max`]; [`Builder::overflow`] says what
//! happens above that, [`Socket::try_emit`] tells. An answer is waited for as long as the time for it
//! lasts, so a [`Call`] may begin while there is no connection; one that was sent when the connection is
//! lost ends with [`CallError::Disconnected`], since nobody knows whether the event arrived. Volatile
//! events ([`Socket::emit_volatile`]) do not wait.
//!
//! [`Socket::retry_events`] sends each event again until its ack comes, as the official client does with
//! `retries`, and can give each a key by which a server knows that it had it.
//!
//! # Recovery
//!
//! Where the server can recover sockets, a socket that was cut off is the same afterwards, with its id and
//! its rooms, and gets each event that it has missed: nothing is to be done for that.
//! [`Socket::is_recovered`] tells.
//!
//! # Streams
//!
//! [`Socket::events`] gives the events of one name as a stream of a type, [`Socket::all_events`] all of
//! them as an enum. They never hold up the connection: what is not taken in time is dropped above
//! [`Builder::stream_bytes_max`], and the stream says how many ([`StreamError::Lagged`]).
//!
//! # By which way
//!
//! It begins with polling and upgrades, as the official client does; [`Builder::transports`] can say
//! otherwise. `https` is by rustls with the roots of the system; [`Tls`] adds others, or a certificate for
//! the client. [`Builder::proxy`] goes through HTTP CONNECT or SOCKS 5, [`Builder::unix_socket`] and
//! [`Builder::stream`] over whatever reads and writes. Cookies that the server sets go with what is sent
//! to it, as sticky load balancers need it.
//!
//! # Limits
//!
//! | limit | default | above it |
//! |---|---|---|
//! | [`Builder::waiting_bytes_max`] | 16 MiB | an event is refused, or the oldest dropped: [`Overflow`] |
//! | answers that wait to be sent | twice that | nothing is read, and no handler that answers begins; [`Stats::pauses`] |
//! | [`Builder::acks_max`] | 100,000 | [`CallError::TooMany`] |
//! | [`Builder::inbox_bytes_max`] | 16 MiB | nothing is read until half of it is worked off; [`Stats::pauses`] |
//! | [`Builder::handlers_max`] | 1,000 | others start when one has ended |
//! | [`Builder::stream_bytes_max`] | 4 MiB | the oldest events of that stream are dropped, and it says how many |
//! | [`Builder::connect_timeout`] | 20 s | the attempt has failed, or the namespace: [`ConnectError::NotAnswered`] |
//! | [`Builder::ack_timeout`] | 10 s | [`CallError::Timeout`] |
//! | [`Builder::retries`] | 3, of 10 s each | the event is dropped, and its [`Call`] ends |
//! | [`Limits::payload_bytes_max`] | 16 MiB | the connection ends: [`TransportCause::WebSocket`], or [`TransportCause::TooLarge`] where it polls |
//! | [`Limits::inflate_ratio_max`] | 100 | the connection ends, [`TransportCause::WebSocket`]; [`Stats::violations`] |
//! | [`Limits::attachments_max`] | 1,000 | the connection ends, [`TransportCause::Protocol`]; [`Stats::violations`] |
//! | [`Limits::held_bytes_max`] | 16 MiB | the same: events of a namespace before its CONNECT is answered |
//! | [`Limits::json_depth_max`] | 512 | the same |
//! | [`Limits::close_timeout`] | 5 s | a connection that closes is given up |
//! | a refusal | 64 KiB | it is not read, and says so: [`Refusal`] |
//! | cookies | 64, of 4 KiB each | further ones are not kept |
//!
//! The other fields of [`Limits`] say their own. All of them, with what a server can make a client cost:
//! `docs/security.md` in the repository.
//!
//! # Errors
//!
//! [`BuildError`]: the client cannot be made. [`ConnectError`]: a socket is not connected, because the
//! server refused it ([`Refusal`]) or there is no connection ([`TransportError`]). [`EmitError`]: an event
//! was not taken. [`CallError`]: an event has no answer. [`StreamError`]: an item of a stream is none.
//! What the server says never panics.
//!
//! # Features
//!
//! `tls` (default): `https` and `wss`.
//!
//! `blocking` (default): [`blocking`], the client for programs without async. It brings no crate.

mod address;
#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod call;
pub mod cheat_sheet;
mod check_handler;
mod connect;
mod cookies;
mod core;
mod counters;
mod driver;
mod error;
mod events;
mod handler;
mod inbox;
mod listeners;
mod lock;
mod manager;
pub mod moving;
mod net;
mod settings;
mod shared;
mod socket;
mod status;

pub use bytes::Bytes;
pub use roomful_proto::args::Before;
pub use roomful_proto::engine::{Revision, Transport};
pub use roomful_proto::event::{CallName, EmitName, Event, Fallible, OnName};
pub use roomful_proto::socket::Reconnection;
pub use roomful_proto::socket::manager::Overflow;
pub use roomful_proto::ws::CloseCode;
pub use roomful_proto::{
    ArgError, Args, DisconnectReason, EncodeError, EventError, FromArg, Limits, MsgPack, MsgPackV2,
    Parser, ToArgs, Violation,
};

pub use crate::builder::Builder;
pub use crate::call::Call;
pub use crate::check_handler::check_handler;
#[doc(hidden)]
pub use crate::check_handler::{Checked, CheckedAnswer};
pub use crate::connect::Connect;
pub use crate::counters::Stats;
pub use crate::error::{
    BuildError, CallError, ConnectError, EmitError, Refusal, TransportCause, TransportError,
};
pub use crate::events::{Events, StreamError};
pub use crate::handler::{Ack, FromEvent, Handler, Incoming, Reply, Started};
pub use crate::manager::Manager;
pub use crate::net::{Proxy, Stream};
#[cfg(feature = "tls")]
pub use crate::net::{Tls, TlsError};
pub use crate::socket::Socket;
pub use crate::status::{Disconnection, Status};

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
