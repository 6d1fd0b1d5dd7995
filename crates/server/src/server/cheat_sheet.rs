//! How to send what to whom: each line of the official "emit cheatsheet" for servers, and below it what
//! it is here. There is nothing else here.
//!
//! # One client
//!
//! ```
//! # use roomful::{Bytes, CallError, Socket};
//! # use std::time::Duration;
//! # async fn example(socket: Socket) -> Result<(), CallError> {
//! // basic emit: socket.emit("hello", 1, "2", { 3: "4" })
//! socket.emit("hello", (1, "2", serde_json::json!({ "3": "4" })));
//!
//! // no arguments: socket.emit("hello")
//! socket.emit("hello", ());
//!
//! // binary: socket.emit("hello", Buffer.from([6]))
//! socket.emit("hello", Bytes::from_static(&[6]));
//!
//! // the short form of a "message": socket.send("hello")
//! socket.send("hello");
//!
//! // ack: const answer = await socket.emitWithAck("hello", "world")
//! let answer: String = socket.call("hello", "world").await?;
//!
//! // ack with a time: socket.timeout(5000).emitWithAck("hello", "world")
//! let answer: String = socket.call("hello", "world").timeout(Duration::from_secs(5)).await?;
//!
//! // an answer of several arguments: socket.emit("hello", "world", (id, name) => …)
//! let (id, name): (u32, String) = socket.call("hello", "world").await?;
//!
//! // volatile: socket.volatile.emit("hello", "world")
//! socket.emit_volatile("hello", "world");
//!
//! // compress: socket.compress(false).emit("hello", "world")
//! socket.compress(false).emit("hello", "world");
//!
//! // an individual client: io.to(socketId).emit("hello", "world")
//! socket.everyone().to(socket.id()).emit("hello", "world");
//! # drop((answer, id, name)); Ok(()) }
//! ```
//!
//! # All but the sender
//!
//! ```
//! # use roomful::Socket;
//! # fn example(socket: Socket) {
//! // everyone else: socket.broadcast.emit("hello")
//! socket.others().emit("hello", ());
//!
//! // in a room: socket.to("room").emit("hello")
//! socket.to("room").emit("hello", ());
//!
//! // in at least one of several: socket.to(["room1", "room2"]).emit("hello")
//! socket.to(["room1", "room2"]).emit("hello", ());
//!
//! // not in a room: socket.except("room").emit("hello")
//! socket.except("room").emit("hello", ());
//! # }
//! ```
//!
//! # Everyone
//!
//! ```
//! # use roomful::{Server, Socket};
//! # fn example(io: Server, socket: Socket) {
//! // all clients: io.emit("hello")
//! io.emit("hello", ());
//!
//! // in a room: io.in("room").emit("hello")
//! io.to("room").emit("hello", ());
//!
//! // in one of several, but not in another: io.to("a").to("b").except("c").emit("hello")
//! io.to("a").to("b").except("c").emit("hello", ());
//!
//! // in a namespace: io.of("/admin").emit("hello")
//! io.of("/admin").emit("hello", ());
//!
//! // in a room of a namespace: io.of("/admin").to("room").emit("hello")
//! io.of("/admin").to("room").emit("hello", ());
//!
//! // in all of the namespaces of a pattern: io.of(/^\/room-\w+$/).emit("hello")
//! let rooms = io.of_pattern("/room-{id}");
//! rooms.emit("hello", ());
//!
//! // from a handler, everyone of its namespace: io.emit("hello")
//! socket.everyone().emit("hello", ());
//!
//! // volatile: io.volatile.emit("hello")
//! io.everyone().volatile().emit("hello", ());
//!
//! // compress: io.compress(false).emit("hello")
//! io.everyone().compress(false).emit("hello", ());
//!
//! // clients of this node: io.local.emit("hello")
//! io.everyone().local().emit("hello", ());
//! # }
//! ```
//!
//! # Ack requests to many
//!
//! ```
//! # use roomful::{Answers, Server};
//! # use std::time::Duration;
//! # async fn example(io: Server) {
//! // const answers = await io.timeout(5000).emitWithAck("hello", "world")
//! let all = io.everyone().timeout(Duration::from_secs(5));
//! let answers: Vec<(_, String)> = all.call("hello", "world").collect().await;
//!
//! // and as they come, also those that do not fit or are missing
//! let mut answers: Answers<String> = io.to("room").call("hello", "world");
//! while let Some((id, answer)) = answers.next().await {
//!     println!("{id:?}: {answer:?}");
//! }
//! # }
//! ```
//!
//! # What is done to many
//!
//! ```
//! # use roomful::Server;
//! # async fn example(io: Server) {
//! // io.in("room1").socketsJoin(["room2", "room3"])
//! io.to("room1").join(["room2", "room3"]);
//!
//! // io.in("room1").socketsLeave("room2")
//! io.to("room1").leave("room2");
//!
//! // io.in("room").disconnectSockets()
//! io.to("room").disconnect();
//!
//! // io.in("room").disconnectSockets(true)
//! io.to("room").close();
//!
//! // const sockets = await io.in("room").fetchSockets()
//! for socket in io.to("room").sockets().await {
//!     println!("{} {:?} {}", socket.id(), socket.rooms(), socket.handshake().url());
//!     socket.emit("hello", ());
//! }
//! # }
//! ```
//!
//! # One socket
//!
//! ```
//! # use roomful::Socket;
//! # fn example(socket: Socket) {
//! // socket.join("room"), socket.join(["room1", "room2"]), socket.leave("room1")
//! socket.join("room");
//! socket.join(["room1", "room2"]);
//! socket.leave("room1");
//!
//! // socket.disconnect()
//! socket.disconnect();
//!
//! // socket.disconnect(true)
//! socket.close();
//! # }
//! ```
//!
//! # Other nodes
//!
//! ```
//! # use roomful::{Args, EmitError, NodeAnswers, Server};
//! # async fn example(io: Server) -> Result<(), EmitError> {
//! // io.on("ping", (arg, cb) => cb("pong"))
//! io.on_server_side("ping", async |_: Args| "pong");
//!
//! // io.serverSideEmit("hello", "world")
//! io.server_side_emit("hello", "world")?;
//!
//! // const answers = await io.serverSideEmitWithAck("ping")
//! let answers: NodeAnswers<String> = io.server_side_call("ping", ()).await?;
//! # drop(answers); Ok(()) }
//! ```
//!
//! Names that no event can have: `connect`, `connect_error`, `disconnect`, `disconnecting`,
//! `newListener`, `removeListener`.
