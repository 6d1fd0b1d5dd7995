//! The WebSocket protocol, [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455).
//!
//! [`Decoder`] turns arriving bytes into messages and holds nothing while nothing is half there;
//! [`frame`] writes frames; [`handshake`] is the HTTP half. A server's frames are not masked, so
//! one encoded frame is right for every recipient: that is why this codec is our own.
//!
//! Not here: what compresses (that is [`deflate`](crate::deflate)), and everything that reads or
//! writes a stream.

pub mod close;
mod decoder;
pub mod frame;
pub mod handshake;
mod mask;
mod utf8;

pub use close::CloseCode;
pub use decoder::{Decoder, Message, Role, WsError};
