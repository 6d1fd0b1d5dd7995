//! The client for programs without async: the same sockets, with plain functions for handlers and calls
//! that wait.
//!
//! ```no_run
//! use roomful_client::blocking::Socket;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let io = Socket::new("http://localhost:3000")?;
//!     io.on("message", |_: Socket, text: String| println!("{text}"));
//!     io.connect()?;
//!     io.emit("message", "hello");
//!     let sum: i64 = io.call("add", (1, 2)).wait()?;
//!     println!("{sum}");
//!     io.close();
//!     Ok(())
//! }
//! ```
//!
//! Each client has two threads: one for its connection, and one that calls the handlers, one after the
//! other in the order of the events. So a handler may take its time, emit, and wait for an answer to a
//! [`Call`]; the connection goes on beside it. What comes meanwhile waits, as
//! [`Builder::handlers_max`](crate::Builder::handlers_max) and
//! [`Builder::inbox_bytes_max`](crate::Builder::inbox_bytes_max) bound it.

mod events;
mod handler;
mod socket;
mod threads;

pub use self::events::Events;
pub use self::handler::{Handler, Ready};
pub use self::socket::{Call, Socket};
