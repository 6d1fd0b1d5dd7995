// The official server on Bun with its engine for Bun and default options, but for the one that the variable
// OPTION names.
// Usage: bun server.mjs PORT
import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";
import * as msgpack from "socket.io-msgpack-parser";

const OPTIONS = {
  msgpack: { parser: msgpack.default ?? msgpack },
  recovery: { connectionStateRecovery: {} },
};

const io = new Server(OPTIONS[process.env.OPTION] ?? {});
const engine = new Engine({ path: "/socket.io/" });
io.bind(engine);

io.on("connection", (socket) => {
  socket.on("echo", (text, ack) => ack(text));
  socket.on("blob", (buffer, ack) => ack(buffer));
  socket.on("size", (buffer, ack) => ack(buffer.length));
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack(true);
  });
  socket.on("leave", (room, ack) => {
    socket.leave(room);
    ack(true);
  });
  socket.on("say", (room, text) => {
    io.to(room).emit("said", text);
  });
});

// The documentation exports this object instead, but then Bun prints a line of its own.
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  development: false,
  ...engine.handler(),
});
console.log("ready");
