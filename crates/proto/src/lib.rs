//! The protocols that Roomful speaks, as state machines that own no clock, no socket and no task.
//!
//! ```text
//!   socket   namespaces, events, acks                Socket.IO 5   (socket::Mux)
//!   engine   handshake, heartbeat, upgrade, polling  Engine.IO 4   (engine::Session, engine::Dialer)
//!   ws       frames                                  RFC 6455      (ws::Decoder)
//!   deflate  smaller messages                        RFC 7692      (deflate::Deflate)
//!   cluster  what nodes say to each other            adapters      (cluster::Relay)
//! ```
//!
//! Every machine has the same four verbs: `receive(now, input)` takes what arrived, `poll()` gives
//! what is to be done about it (call it until it gives `None`), `deadline()` says when to come back
//! at the latest, and `expire(now)` is that coming back; an early call is harmless. Time is a
//! [`Moment`], given by the caller.
//!
//! What goes down is encoded once into a [`Parcel`] and shared by all its recipients; what comes up
//! stays raw JSON in [`Args`] until somebody asks for a type.
//!
//! Deliberately absent: reading a clock, opening a socket, starting a task, choosing randomness
//! (ids are made from bytes that the caller gives), and every policy of the server above.

pub mod args;
pub mod cluster;
pub mod deflate;
pub mod engine;
pub mod error;
pub mod event;
mod failure;
pub mod framed;
mod hidden;
pub mod id;
pub mod letter;
pub mod limits;
pub mod parcel;
pub mod percent;
pub mod reason;
pub mod socket;
mod text;
pub mod time;
pub mod ws;

pub use args::{Args, FromArg, ToArgs};
pub use error::{ArgError, EncodeError, Violation};
pub use failure::EventError;
pub use id::{AckId, RecoveryId, SessionId, SocketId};
pub use letter::{Answer, Letter, Unstamped};
pub use limits::Limits;
pub use parcel::{Form, Parcel};
pub use reason::{DisconnectReason, Reason};
pub use socket::{MsgPack, MsgPackV2, Parser};
pub use time::Moment;
