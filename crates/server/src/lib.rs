//! A Socket.IO server: real-time events between many clients.
//!
//! ```no_run
//! use roomful::{Server, Socket};
//!
//! # async fn example() -> Result<(), roomful::ServeError> {
//! let io = Server::new();
//! io.on("message", async |me: Socket, text: String| {
//!     me.emit("message", format!("{} said {text}", &me.id()[..3]));
//! });
//! io.serve("127.0.0.1:3000").await?;
//! # Ok(()) }
//! ```
//!
//! Any Socket.IO client of revision 5 talks to it over WebSocket or HTTP long-polling; in a browser
//! the unchanged `socket.io-client`. Older ones may, too, where [`Builder::allow_eio3`] lets them in.
//!
//! A program that uses it has these lines in its `Cargo.toml`: `macros` and `rt-multi-thread` are for
//! `#[tokio::main]`, and `derive` for types of your own.
//!
//! ```toml
//! [dependencies]
//! roomful = "0.1"      # from a checkout: { path = "…/crates/server" }
//! serde = { version = "1", features = ["derive"] }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! ```
//!
//! # The nouns
//!
//! A [`Server`] has [`Namespace`]s; a client that has joined one is a [`Socket`] there. Sockets are
//! in rooms, which are just names. An event goes to one socket ([`Socket::emit`]) or to a
//! [`Broadcast`]; it can be a question that is answered ([`Socket::call`], [`Broadcast::call`]).
//! [`cheat_sheet`] has each of the ways beside its form in JavaScript.
//!
//! # Handlers
//!
//! A handler is an async function: the [`Socket`] first, then the arguments of the event by
//! position, as any types that `serde` can read. What it returns is the ack.
//!
//! ```
//! # use roomful::{Server, Socket};
//! # let io = Server::new();
//! async fn add(_: Socket, a: i64, b: i64) -> i64 {
//!     a + b
//! }
//! io.on("add", add);
//! ```
//!
//! Handlers of one socket start in the order of its events and run to their first wait before the
//! next one starts; waiting, they overlap. Arguments that do not fit never reach a handler: the
//! client gets `{error: {code, message}}` if it asked for an ack. Arguments that the handler does not take are
//! ignored; [`Args`] as the last argument takes them all. A handler that panics costs its own socket and nothing
//! else.
//!
//! What is sent, or returned as an ack, is one argument, and a tuple is several: [`ToArgs`] has a table.
//!
//! ## State in handlers
//!
//! An `async` closure must not capture anything: the compiler says "async closure does not implement `Fn`
//! because it captures state from its environment", or that a variable "does not live long enough". What handlers
//! share is given to the server, and every socket has it:
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use roomful::{Server, Socket};
//!
//! #[derive(Default)]
//! struct App { visits: AtomicU64 }
//!
//! let io = Server::builder().state(App::default()).build();
//! io.on("visit", async |me: Socket<App>| me.state().visits.fetch_add(1, Ordering::Relaxed) + 1);
//! ```
//!
//! Or a closure that is not `async` captures it, and clones it for each event into the `async move` block that it
//! returns:
//!
//! ```
//! # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//! # use roomful::{Server, Socket};
//! # let io = Server::new();
//! let visits = Arc::new(AtomicU64::new(0));
//! io.on("visit", move |_: Socket| {
//!     let visits = Arc::clone(&visits);
//!     async move { visits.fetch_add(1, Ordering::Relaxed) + 1 }
//! });
//! ```
//!
//! Where the compiler says "this is not a handler", [`check_handler`] has it say what is wrong.
//!
//! ## Events with types
//!
//! An [`Event`] fixes the name, the arguments and the answer of an event in one place, and goes
//! wherever a name goes.
//!
//! ```
//! use roomful::{Event, Server, Socket};
//!
//! const MOVE: Event<(f32, f32)> = Event::new("move");
//! const ADD: Event<(i64, i64), i64> = Event::new("add");
//!
//! let io = Server::new();
//! io.on(ADD, async |_: Socket, a: i64, b: i64| a + b);
//! io.on(MOVE, async |me: Socket, x: f32, y: f32| me.others().emit(MOVE, (x, y)));
//! ```
//!
//! # Who may come in
//!
//! ```
//! # use roomful::{Hello, Refusal, Server, Socket};
//! #[derive(serde::Deserialize)]
//! struct Login { token: String }
//! struct User { name: String }
//!
//! async fn enter(hello: Hello) -> Result<User, Refusal> {
//!     let login: Login = hello.auth()?;
//!     match login.token.as_str() {
//!         "letmein" => Ok(User { name: "guest".into() }),
//!         _ => Err(Refusal::new("not allowed").data(401)),
//!     }
//! }
//!
//! # let io = Server::new();
//! let chat = io.of("/chat").connect(enter);
//! chat.on("whoami", async |me: Socket<(), User>| me.data().name.clone());
//! ```
//!
//! [`Socket::expire_after`] lets a client stay for as long as its token is good for, and shows how it
//! renews that. [`Namespace::before_join`] decides who may join a room; [`Namespace::on_room`] is told of
//! who has.
//!
//! # The end
//!
//! [`Server::drain_on`] ends the server in order when a signal comes: new clients are sent away, those that there
//! are leave one after the other, and [`serve`](Server::serve) returns when all is done. [`stop_signal`] waits for
//! SIGTERM or Ctrl-C; any other future will do, such as a channel's.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use roomful::{ServeError, Server, stop_signal};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), ServeError> {
//!     let io = Server::new();
//!     io.drain_on(stop_signal(), Duration::from_secs(5));
//!     io.serve("127.0.0.1:3000").await
//! }
//! ```
//!
//! # Inside another server
//!
//! [`Server::layer`] and [`Server::service`] fit any tower stack, such as axum's. [`embedding`] shows
//! that and more: a middleware in front, other paths, HTTP/2, TLS, a Unix socket.
//!
//! # Around a request
//!
//! [`Builder::on_request`] sees each request first, [`Builder::allow_request`] decides who may open a
//! session, [`Builder::origins`] and [`Builder::cors`] are about pages of other hosts,
//! [`Builder::headers`] adds to answers, and [`Server::on_connection_error`] tells what was refused.
//!
//! # Around an event
//!
//! [`Namespace::on_any`] sees each event first, [`Namespace::before`] decides whether it comes to its
//! handler, [`Namespace::on_error`] is told of those that come to nothing. [`EventFlow`] says
//! which events wait for each other, how large they may be and how fast they may come; [`ConnectionFlow`] bounds those
//! of one connection.
//!
//! # Other encodings
//!
//! All packets are text by default, with bytes in messages of their own. [`Builder::parser`] makes
//! it msgpack, or anything else: see [`parser`].
//!
//! # Features
//!
//! `brotli` (default): answers to polls are compressed with `br` too, where clients take it.
//!
//! `bundle` (default): the JavaScript client, if `npm ci` was run in `bundle/` before the build.

mod api;
mod connection;
mod forwarding;
mod ground;
mod http;
mod namespace;
mod node;
mod server;
mod transport;

pub use ::http::StatusCode;
pub use api::broadcast::{Answers, Broadcast, Emitted, Recipients};
pub use api::check_handler::check_handler;
#[doc(hidden)]
pub use api::check_handler::{Checked, CheckedAnswer};
pub use api::handler::{Ack, FromEvent, Handler, Incoming};
pub use api::hello::{Connect, Hello};
pub use api::namespace::{Namespace, NodeAnswers};
pub use api::remote::{Fetched, RemoteSocket};
pub use api::socket::{Socket, ToOne};
pub use bytes::Bytes;
pub use forwarding::{SessionBus, SessionInlet, SessionLine};
pub use ground::compression::{Compression, HttpCompression};
pub use ground::connection_flow::ConnectionFlow;
pub use ground::errors::emit_error::EmitError;
pub use ground::errors::refusal::Refusal;
pub use ground::event_flow::{EventFlow, OneEvent};
pub use ground::farewell::{Description, Farewell};
pub use ground::handshake::Handshake;
pub use ground::metrics::Stats;
#[doc(inline)]
pub use ground::parser;
pub use ground::parser::{MsgPack, Parser};
pub use ground::rate::limiter::Limiter;
pub use ground::rate::rates::Rate;
pub use ground::room_names::RoomNames;
pub use http::body::Body;
pub use http::bundle::ServeClient;
pub use http::cookie::{Cookie, SameSite};
pub use http::door::PeerAddress;
pub use http::flow::Flow;
pub use http::front::serve::ServeError;
pub use http::headers::AnswerHeaders;
pub use http::origin::cors::Cors;
pub use http::origin::origin_layer::{OriginChecked, OriginLayer};
pub use http::origin::origins::{OriginRule, Origins};
pub use http::refused::{Cause, ConnectionError, SecretText};
pub use http::request::Request;
pub use http::service::{Layer, Layered, Service};
pub use http::settings::Transports;
#[doc(inline)]
pub use namespace::adapter;
pub use namespace::asks::{Call, CallError};
pub use namespace::erased::{Reply, Started};
pub use namespace::listeners::Listener;
pub use namespace::recovery::{Beginning, NotRecovered, Recovery, RecoveryBuilder};
pub use namespace::room_news::RoomEvent;
#[doc(inline)]
pub use roomful_proto::EventError;
#[doc(inline)]
pub use roomful_proto::args::Before;
#[doc(inline)]
pub use roomful_proto::event::{CallName, EmitName, Event, Fallible, OnName};
pub use roomful_proto::ws::WsError;
pub use roomful_proto::{
    ArgError, Args, EncodeError, FromArg, Reason, SocketId, ToArgs, Violation, args,
};
pub use server::Server;
pub use server::builder::Builder;
pub use server::stop::stop_signal;
#[doc(inline)]
pub use server::{cheat_sheet, embedding};

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
