// The official server on Node with default options, but for the one that the variable OPTION names.
// Usage: node server.mjs PORT
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { Server } from "socket.io";
import * as msgpack from "socket.io-msgpack-parser";

// Both add-ons fall back to JavaScript without a word, and a benchmark must know what it measures.
if (!process.env.WS_NO_BUFFER_UTIL) {
  const require = createRequire(import.meta.url);
  // ws takes this one only where Node has no `buffer.isUtf8`, thus before Node 18.14.
  require("utf-8-validate");
  for (const addon of ["bufferutil", "utf-8-validate"]) {
    if (!Object.keys(require.cache).some((file) => file.endsWith(".node") && file.includes(addon))) {
      console.error(`${addon} has no native code for this machine; install a C++ compiler, then reinstall it`);
      process.exit(1);
    }
  }
}

const OPTIONS = {
  deflate: { perMessageDeflate: true },
  eio3: { allowEIO3: true },
  msgpack: { parser: msgpack.default ?? msgpack },
  recovery: { connectionStateRecovery: {} },
};

const http = createServer();
const io = new Server(http, OPTIONS[process.env.OPTION] ?? {});

// From the documentation on memory usage: nobody needs the first request any more.
io.engine.on("connection", (raw) => {
  raw.request = null;
});

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

http.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
