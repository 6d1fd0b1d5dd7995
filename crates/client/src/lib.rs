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
//! and the answer of an event for both ends.

mod address;
#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod call;
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
mod net;
mod settings;
mod shared;
mod socket;
mod status;

pub use bytes::Bytes;
pub use roomful_proto::engine::{Revision, Transport};
pub use roomful_proto::event::{CallName, EmitName, Event, Fallible, OnName};
pub use roomful_proto::socket::Reconnection;
pub use roomful_proto::socket::manager::Overflow;
pub use roomful_proto::ws::CloseCode;
pub use roomful_proto::{
    ArgError, Args, DisconnectReason, EncodeError, EventError, FromArg, Limits, MsgPack, Parser,
    ToArgs, Violation,
};

pub use crate::builder::Builder;
pub use crate::call::Call;
pub use crate::counters::Stats;
pub use crate::error::{
    BuildError, CallError, ConnectError, EmitError, Refusal, TransportCause, TransportError,
};
pub use crate::events::{Events, StreamError};
pub use crate::handler::{Ack, Before, FromEvent, Handler, Incoming, Reply, Started};
pub use crate::manager::Manager;
pub use crate::net::{Proxy, Stream};
#[cfg(feature = "tls")]
pub use crate::net::{Tls, TlsError};
pub use crate::socket::{Connect, Socket};
pub use crate::status::{Disconnection, Status};
