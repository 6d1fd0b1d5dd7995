//! Sessions that requests reach at any node: the wire of `@socket.io/cluster-engine`, and both of its ends.
//!
//! ```text
//!   client ── poll, body, WebSocket ──▶ Guest ── Message ──▶ Owner ──▶ session
//!   client ◀────────────────────────── Guest ◀── Message ── Owner ◀── session
//! ```
//!
//! The node that holds a session is its [`Owner`]. The node at which a request of that session has arrived is a
//! [`Guest`] of it. Both are state machines: they are given messages and what happens at their node, and say what
//! is to be said and done.
//!
//! | message | from | says |
//! |---|---|---|
//! | [`Lock`](Body::Lock) | guest, to all | a request of this session is here: whose is it? |
//! | [`LockAnswer`](Body::LockAnswer) | owner | mine, and the request may go on, or not |
//! | [`Packet`](Body::Packet) | guest | a packet that the client has sent |
//! | [`Drain`](Body::Drain) | owner | packets for the client: the answer to a poll, or for its WebSocket |
//! | [`Upgrade`](Body::Upgrade) | guest | the client has come over to a WebSocket, or has failed to |
//! | [`UpgradeAnswer`](Body::UpgradeAnswer) | owner | the session stays with me, or take it over |
//! | [`Close`](Body::Close) | guest | the request or the WebSocket has ended |
//!
//! The wire has no answer to [`Packet`](Body::Packet). So a guest of ours asks for the lock once more behind the
//! packets of a body, and of the owner alone; an owner answers such a lock when all before it is with the session.
//! The client is told only then that its body was taken, so what it sends next cannot overtake it on the way of
//! another node. Official nodes answer that lock as any other.
//!
//! The session id in a message is what lets a client be spoken for, so nothing here shows one.

mod fields;
mod guest;
mod message;
mod owner;
mod wire;

pub use guest::{Guest, GuestOutput, GuestSettings, Ticket, Told};
pub use message::{Body, Carried, Message, NodeId, Want};
pub use owner::{Owner, OwnerOutput, OwnerSettings, Standing};
pub use wire::{decode, encode};
