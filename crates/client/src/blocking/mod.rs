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
//!
//! # What is not here
//!
//! [`Builder`](crate::Builder) is the same for both: [`Socket::build`] takes it. [`Socket`] has the methods
//! of [`crate::Socket`] and [`Manager`](crate::Manager). Something else takes the place of those that are
//! futures or streams by nature:
//!
//! | with async | here |
//! |---|---|
//! | [`Socket::watch`](crate::Socket::watch) | [`Socket::wait_for`] waits for a status; [`Socket::on_connect`], [`on_disconnect`](Socket::on_disconnect) and [`on_connect_error`](Socket::on_connect_error) hear of each |
//! | [`Connect`](crate::Connect), which goes on when it is dropped | [`Socket::connect`] waits; another thread can wait in its place |
//! | [`Call`](crate::Call) and [`Events`](crate::Events) as futures and streams | [`Call::wait`]; [`Events`] as an iterator, and [`Events::next_timeout`] |
//! | a time for anything else (`tokio::time::timeout`) | [`Socket::wait_for`] takes one, as [`Call::timeout`] does; [`Socket::close`] has its own |
//! | [`Manager::socket`](crate::Manager::socket) | [`Socket::socket`] |
//! | [`Manager::close`](crate::Manager::close), [`drained`](crate::Manager::drained) | [`Socket::close`], [`Socket::drained`] |
//! | [`Manager::watch_transport`](crate::Manager::watch_transport) | [`Manager::transport`](crate::Manager::transport) of [`Socket::manager`], which has all of the manager that waits for nothing |

mod events;
mod handler;
mod socket;
mod threads;

pub use self::events::Events;
pub use self::handler::{Handler, Ready};
pub use self::socket::{Call, Socket};
