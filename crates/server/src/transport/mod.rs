//! What carries bytes to and from one client, and what waits to be carried. It knows no session, no socket and
//! no handler.
//!
//! The link of a connection (`link`) is a part of this room, and not a room of its own: what waits for a client and how
//! it is written change under one lock.
//!
//! Memory that only a running turn needs belongs to the thread, so it needs no lock: the read buffer (`scratch`), the
//! list of the cork, the bytes in which small parcels are joined, and the memory of a tail that was written (`outbox`).
//! The same holds elsewhere: for the states that compress and inflate and the memory in which packets are written (the
//! crate `roomful-proto`), for randomness (`ground`) and for the date of an answer (`http/front`).
//!
//! # io_uring
//!
//! The server does not use `io_uring`, and could. Few places call a stream: `Wire` and the reading half in `websocket`,
//! the `AsyncRead` and `AsyncWrite` of `Wire` in `wire`, through which the front goes, and the writing half in
//! `link/writing` (`try_write`, `poll_writable`). `http/front/serve` accepts. Each call reads or writes at once, into
//! or from memory that is lent for the call. A ring keeps that memory until it is done.
//!
//! Writing needs a small step for that. A `Batch` owns its parcels and its tail, and `Writing::Busy` keeps all others
//! away from when it is taken until it is given back. Only the bytes that are joined would have to be its own too.
//! Reading needs more: `connection/read` and the front lend the thread's buffer to each read, and buffers of the ring
//! would take its place. The protocol, the sockets, the rooms, the queue of the outbox and the rule of who writes would
//! stay.

pub(crate) mod cork;
pub(crate) mod framed;
pub(crate) mod link;
pub(crate) mod outbox;
pub(crate) mod polling;
pub(crate) mod scratch;
pub(crate) mod stream;
pub(crate) mod websocket;
pub(crate) mod wire;
