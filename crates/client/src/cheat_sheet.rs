//! Each line of the official client's API, and below it what it is here. There is nothing else here.
//!
//! # Connecting
//!
//! ```no_run
//! # use roomful_client::{Manager, MsgPack, Proxy, Reconnection, Socket, Transport};
//! # use std::time::Duration;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // const socket = io("https://example.org/chat")
//! let socket = Socket::new("https://example.org/chat")?;
//! socket.connect().await?;
//!
//! // io(url, { path: "/my/", query: { x: 42 }, extraHeaders: { authorization: "bearer 1234" } })
//! let builder = Manager::builder("https://example.org")?
//!     .path("/my/")?
//!     .query("x", "42")?
//!     .header("authorization", "bearer 1234")?;
//!
//! // { transports: ["websocket"], tryAllTransports: true, upgrade: false, rememberUpgrade: true }
//! let builder = builder
//!     .transports([Transport::WebSocket])
//!     .try_all_transports(true)
//!     .upgrade(false)
//!     .remember_upgrade(true);
//!
//! // { reconnectionAttempts: 10, reconnectionDelay: 1000, reconnectionDelayMax: 5000,
//! //   randomizationFactor: 0.5 }
//! let mut reconnection = Reconnection::default().attempts(10);
//! reconnection.delay = Duration::from_secs(1);
//! reconnection.delay_max = Duration::from_secs(5);
//! reconnection.jitter = 0.5;
//! let builder = builder.reconnection(reconnection);
//!
//! // { reconnectionAttempts: 5, reconnectionDelay: 1000, reconnectionDelayMax: 1000,
//! //   randomizationFactor: 0 }
//! let builder =
//!     builder.reconnection(Reconnection::every(Duration::from_secs(1)).attempts(5));
//!
//! // { reconnection: false }
//! let builder = builder.reconnection(Reconnection::never());
//!
//! // { timeout: 20000, ackTimeout: 10000 }
//! let builder = builder
//!     .connect_timeout(Duration::from_secs(20))
//!     .ack_timeout(Duration::from_secs(10));
//!
//! // { parser: require("socket.io-msgpack-parser") }
//! let builder = builder.parser(MsgPack);
//!
//! // { perMessageDeflate: false, forceBase64: true, withCredentials: false }
//! let builder = builder.compress_from(None).force_base64(true).cookies(false);
//!
//! // { agent: new HttpsProxyAgent("http://proxy:8080") }
//! let builder = builder.proxy(Proxy::url("http://proxy:8080")?);
//!
//! // { retries: 3, ackTimeout: 10000 }, with `retry_events` below
//! let builder = builder.retries(3, Duration::from_secs(10));
//!
//! // const manager = new Manager(url, options)
//! let manager = builder.build()?;
//!
//! // manager.socket("/admin")
//! let admin = manager.socket("/admin");
//!
//! // { auth: { token: "123" } }, or socket.auth = { token: "123" }
//! admin.auth(serde_json::json!({ "token": "123" }))?;
//!
//! // { auth: (cb) => cb({ token: localStorage.token }) }
//! admin.auth_with(|| async { serde_json::json!({ "token": "123" }) });
//!
//! // { retries: 3, … }
//! admin.retry_events(false);
//!
//! // { autoConnect: false }, socket.connect(), socket.open()
//! admin.connect().await?;
//!
//! // socket.disconnect(), socket.close()
//! admin.disconnect();
//! # Ok(()) }
//! ```
//!
//! ```no_run
//! # #[cfg(feature = "tls")]
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # use roomful_client::{Manager, Tls};
//! # let (ca, cert, key) = ([0], [0], [0]);
//! # let builder = Manager::builder("https://example.org")?;
//! // { ca, cert, key }
//! let builder = builder.tls(Tls::new().ca(&ca)?.certificate(&cert, &key)?);
//!
//! // { rejectUnauthorized: false }
//! let builder = builder.tls(Tls::new().dangerously_trust_anybody());
//! # drop(builder); Ok(()) }
//! ```
//!
//! Nothing is connected before `connect`, whatever `autoConnect` would be, and each [`Manager`](crate::Manager)
//! is a connection of its own, as with `forceNew`.
//!
//! # What happens to a socket
//!
//! ```
//! # use roomful_client::{Socket, ConnectError, Disconnection, Status};
//! # use std::sync::Arc;
//! # async fn example(socket: Socket) {
//! // socket.on("connect", () => console.log(socket.id, socket.recovered))
//! socket.on_connect(async |me: Socket| println!("{:?} {}", me.id(), me.is_recovered()));
//!
//! // socket.on("connect_error", (error) => console.log(socket.active, error.message))
//! socket.on_connect_error(async |me: Socket, error: Arc<ConnectError>| {
//!     println!("{} {error}", me.is_active());
//! });
//!
//! // socket.on("disconnect", (reason, details) => console.log(reason, details))
//! socket.on_disconnect(async |_: Socket, why: Disconnection| println!("{why}"));
//!
//! // socket.io.on("reconnect_attempt", (attempt) => console.log(attempt))
//! let mut watch = socket.watch();
//! while watch.changed().await.is_ok() {
//!     let status = watch.borrow_and_update().clone();
//!     if let Status::Waiting { attempt, .. } = status {
//!         println!("{attempt}");
//!     }
//! }
//!
//! // socket.id, socket.connected, socket.active, socket.recovered
//! let _ = (socket.id(), socket.is_connected(), socket.is_active(), socket.is_recovered());
//!
//! // socket.nsp, socket.io
//! let (namespace, manager) = (socket.namespace(), socket.manager());
//!
//! // socket.io.engine.transport.name
//! let transport = socket.manager().transport();
//!
//! // socket.io.engine.on("upgrade", () => …)
//! let changes = socket.manager().watch_transport();
//!
//! // socket.sendBuffer.length, of all sockets and in bytes
//! let waiting = socket.manager().waiting_bytes();
//!
//! // socket.sendBuffer = []
//! let dropped = socket.clear_buffer();
//! # let _ = (transport, changes, waiting, namespace, manager, dropped); }
//! ```
//!
//! # Sending
//!
//! ```
//! # use roomful_client::{Bytes, CallError, Socket};
//! # use std::time::Duration;
//! # async fn example(socket: Socket) -> Result<(), CallError> {
//! // socket.emit("hello", 1, "2", { 3: "4" })
//! socket.emit("hello", (1, "2", serde_json::json!({ "3": "4" })));
//!
//! // socket.emit("hello")
//! socket.emit("hello", ());
//!
//! // socket.emit("hello", Uint8Array.from([6]))
//! socket.emit("hello", Bytes::from_static(&[6]));
//!
//! // socket.send("hello")
//! socket.send("hello");
//!
//! // const answer = await socket.emitWithAck("hello", "world")
//! let answer: String = socket.call("hello", "world").await?;
//!
//! // const answer = await socket.timeout(5000).emitWithAck("hello", "world"),
//! // socket.timeout(5000).emit("hello", "world", (error, answer) => …)
//! let answer: String = socket.call("hello", "world").timeout(Duration::from_secs(5)).await?;
//!
//! // socket.volatile.emit("hello", "world")
//! socket.emit_volatile("hello", "world");
//!
//! // socket.compress(false).emit("hello", "world")
//! socket.emit_uncompressed("hello", "world");
//! # drop(answer); Ok(()) }
//! ```
//!
//! # Hearing
//!
//! ```
//! # use roomful_client::{Args, Socket};
//! # fn example(socket: Socket) {
//! // socket.on("hello", (a, b) => …)
//! socket.on("hello", async |_: Socket, a: i64, b: String| println!("{a} {b}"));
//!
//! // socket.on("hello", (...args) => …)
//! socket.on("hello", async |_: Socket, args: Args| println!("{args:?}"));
//!
//! // socket.on("add", (a, b, callback) => callback(a + b))
//! socket.on("add", async |_: Socket, a: i64, b: i64| a + b);
//!
//! // socket.once("hello", (a) => …)
//! socket.once("hello", async |_: Socket, a: i64| println!("{a}"));
//!
//! // socket.off("hello"), socket.removeAllListeners("hello")
//! socket.off("hello");
//!
//! // socket.onAny((name, ...args) => …)
//! socket.on_any(|name, args| println!("{name} {args:?}"));
//!
//! // socket.onAnyOutgoing((name, ...args) => …)
//! socket.on_any_outgoing(|name, args| println!("{name} {args:?}"));
//!
//! // socket.offAny(), socket.offAnyOutgoing()
//! socket.off_any();
//! # }
//! ```
//!
//! An event has one handler, since its value is the ack: a second `on` takes the place of the first, and
//! [`Socket::events`](crate::Socket::events) hears it as often as you like. `prependAny`, `listeners` and their
//! like have no counterpart.
//!
//! Names that no event can have: `connect`, `connect_error`, `disconnect`, `disconnecting`,
//! `newListener`, `removeListener`.
