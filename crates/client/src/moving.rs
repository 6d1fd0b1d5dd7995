//! From `rust_socketio` 0.6: each of its calls, and below it what it is here. There is nothing else here.
//!
//! What is different altogether: a [`Socket`](crate::Socket) exists before it is connected, so handlers are
//! registered on it and not on a builder, and can be changed later. Handlers have types, where there all
//! have a `Payload`. Events wait while there is no connection. The callback of an ack is a future. The path of
//! the URL is a namespace, as in JavaScript, where there it is the path of the server:
//! [`Builder::path`](crate::Builder::path).
//!
//! # Connecting
//!
//! ```no_run
//! # use roomful_client::{Manager, Reconnection, Transport};
//! # use std::time::Duration;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // ClientBuilder::new("http://localhost:4200/").namespace("/admin")
//! let builder = Manager::builder("http://localhost:4200/")?;
//!
//! //     .transport_type(TransportType::Websocket)
//! let builder = builder.transports([Transport::WebSocket]);
//!
//! //     .transport_type(TransportType::Polling)
//! let builder = builder.transports([Transport::Polling]);
//!
//! //     .transport_type(TransportType::Any), which is the default here, too
//! let builder = builder.transports([Transport::Polling, Transport::WebSocket]);
//!
//! //     .opening_header("accept-encoding", "application/json")
//! let builder = builder.header("accept-encoding", "application/json")?;
//!
//! //     .tls_config(connector)
//! # #[cfg(feature = "tls")]
//! let builder = builder.tls(roomful_client::Tls::new().ca(&std::fs::read("ca.pem")?)?);
//!
//! //     .reconnect_delay(500, 8000).max_reconnect_attempts(10)
//! let mut reconnection = Reconnection::default().attempts(10);
//! reconnection.delay = Duration::from_millis(500);
//! reconnection.delay_max = Duration::from_secs(8);
//! let builder = builder.reconnection(reconnection);
//!
//! //     .reconnect(false)
//! let builder = builder.reconnection(Reconnection::never());
//!
//! //     .auth(json!({ "password": "1337" })).connect().await?
//! let socket = builder.build()?.socket("/admin");
//! socket.auth(serde_json::json!({ "password": "1337" }))?;
//! socket.connect().await?;
//!
//! // client.disconnect().await?
//! socket.disconnect();
//! # Ok(()) }
//! ```
//!
//! `TransportType::WebsocketUpgrade` is an error there where the server offers no WebSocket; here a client
//! stays with polling then, or takes [`Transport::WebSocket`](crate::Transport) alone.
//!
//! `reconnect_on_disconnect(true)` has no counterpart: who is put out by the server comes back by
//! [`Socket::connect`](crate::Socket::connect) in `on_disconnect`. `on_reconnect` gives an auth payload and an
//! address to the next attempt: [`Socket::auth_with`](crate::Socket::auth_with) makes the payload anew each time,
//! and [`Manager::set_header`](crate::Manager::set_header) changes a header. The address, which
//! `set_reconnect_url` changes, too, stays as it is here: another one is another client.
//!
//! # Hearing
//!
//! ```
//! # use roomful_client::{Args, Bytes, ConnectError, Disconnection, Socket};
//! # use std::sync::Arc;
//! # fn example(socket: Socket) {
//! // .on("foo", |payload: Payload, client: Client| async move {
//! //     match payload { Payload::Text(values) => …, Payload::Binary(bytes) => …, _ => … } }.boxed())
//! socket.on("foo", async |_: Socket, text: String, bytes: Bytes| println!("{text} {bytes:?}"));
//!
//! // .on_any(|event, payload, client| …), which is called behind the handler there, and before it here
//! socket.on_any(|name: &str, args: &Args| println!("{name} {args:?}"));
//!
//! // .on(Event::Connect, …)
//! socket.on_connect(async |_: Socket| println!("connected"));
//!
//! // .on(Event::Close, …)
//! socket.on_disconnect(async |_: Socket, why: Disconnection| println!("{why}"));
//!
//! // .on(Event::Error, |error, _| …), where it was a refusal or no connection
//! socket.on_connect_error(async |_: Socket, why: Arc<ConnectError>| println!("{why}"));
//!
//! // an answer to the server is not there
//! socket.on("add", async |_: Socket, a: i64, b: i64| a + b);
//! # }
//! ```
//!
//! # Sending
//!
//! ```
//! # use roomful_client::{Bytes, CallError, EmitError, Socket};
//! # use std::time::Duration;
//! # async fn example(socket: Socket) -> Result<(), Box<dyn std::error::Error>> {
//! // client.emit("foo", json!({ "a": true })).await?
//! socket.try_emit("foo", serde_json::json!({ "a": true }))?;
//!
//! // client.emit("foo", vec![1u8, 2]).await?
//! socket.try_emit("foo", Bytes::from_static(&[1, 2]))?;
//!
//! // client.emit("foo", Payload::Text(vec![json!(1), json!("two")])).await?
//! socket.try_emit("foo", (1, "two"))?;
//!
//! // client.emit_with_ack("foo", "bar", Duration::from_secs(2), |answer, client| …).await?
//! let answer: String = socket.call("foo", "bar").timeout(Duration::from_secs(2)).await?;
//! # drop(answer); Ok(()) }
//! ```
//!
//! # Without async
//!
//! `rust_socketio::Client` is [`blocking::Socket`](crate::blocking::Socket). `connect_raw` is a client that does
//! not come back: [`Reconnection::never`](crate::Reconnection::never).
//!
//! ```no_run
//! # #[cfg(feature = "blocking")]
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // ClientBuilder::new("http://localhost:4200").on("foo", |payload, socket| …).connect()?
//! let socket = roomful_client::blocking::Socket::new("http://localhost:4200")?;
//! socket.on("foo", |_: roomful_client::blocking::Socket, text: String| println!("{text}"));
//! socket.connect()?;
//! # Ok(()) }
//! ```
