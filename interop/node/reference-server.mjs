// The fixture of README.md on the official server: it proves that the suite itself is right.
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";

const ODD_NAMES = ['with "quotes"', "back\\slash", "line\nbreak", "schön 雪 😀", "a,b/c-1[2]", ""];
const QUESTION_TIMEOUT = 5_000;
const SLOW_CONNECT = 500;

const http = createServer();
const io = new Server(http, options());
notePolls(http);
/** What lets those into `/slow` that have said until when they wait, by that word. */
const gates = new Map();

for (const name of ["/", "/a", "/b", "/admin", "/slow"]) {
  const namespace = io.of(name);
  namespace.on("connection", (socket) => serve(namespace, socket));
}
io.of("/admin").use(requireToken);
io.of("/slow").use(({ handshake: { auth } }, next) => {
  if (auth.until === undefined) setTimeout(next, SLOW_CONNECT);
  else gates.set(auth.until, next);
});

http.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}`);
});
process.once("SIGTERM", async () => {
  await io.close();
  // Everything is sent by now, but timers of sessions long gone may run for half a minute more.
  process.exit(0);
});

/** Says which polls have been taken in to whoever asks with the query of one. */
function notePolls(http) {
  const [handle] = http.listeners("request");
  const taken = new Set();
  http.removeAllListeners("request").on("request", (request, response) => {
    const [path, query] = request.url.split("?");
    if (path === "/socket.io/taken-in") return void response.end(String(taken.has(query)));
    handle.call(http, request, response);
    taken.add(query);
  });
}

function options() {
  const { env } = process;
  return given({
    pingInterval: number(env.PING_INTERVAL),
    pingTimeout: number(env.PING_TIMEOUT),
    connectTimeout: number(env.CONNECT_TIMEOUT),
    maxHttpBufferSize: number(env.MAX_PAYLOAD),
    allowEIO3: env.ALLOW_EIO3 === "1",
    parser: env.PARSER === "msgpack" ? msgpack : undefined,
    // With a context kept between messages this server would compress the short ones as well.
    perMessageDeflate: env.DEFLATE && { ...threshold(env.DEFLATE), serverNoContextTakeover: true },
    httpCompression: threshold(env.HTTP_COMPRESSION),
    connectionStateRecovery: env.RECOVERY && { maxDisconnectionDuration: Number(env.RECOVERY) },
    cors: env.ORIGIN && { origin: env.ORIGIN, credentials: env.ORIGIN !== "*" },
    cookie: env.COOKIE && { name: env.COOKIE },
  });
}

/** What the server's own defaults are to decide has no key at all. */
function given(chosen) {
  return Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined));
}

function number(text) {
  return text && Number(text);
}

function threshold(text) {
  return text && { threshold: Number(text) };
}

function requireToken(socket, next) {
  if (socket.handshake.auth.token === "letmein") return next();
  const refusal = new Error("not allowed");
  refusal.data = { code: 401, hint: "bad token" };
  next(refusal);
}

function serve(namespace, socket) {
  serveEchoes(socket);
  serveQuestions(namespace, socket);
  serveRooms(namespace, socket);
  serveStreams(socket);
  serveState(socket);
  socket.on("kick", (close) => socket.disconnect(close));
  socket.on("disconnect", (reason) => namespace.to("watch").emit("left", socket.id, reason));
  socket.emit("welcome", { id: socket.id, auth: socket.handshake.auth });
}

function serveEchoes(socket) {
  socket.on("echo", (...args) => socket.emit("echo", ...args));
  socket.on("echo-plain", (...args) => socket.compress(false).emit("echo", ...args));
  for (const name of ["echo-ack", ...ODD_NAMES]) {
    socket.on(name, (...args) => {
      const ack = args.pop();
      ack(...args);
    });
  }
  socket.on("wait", async (ms, value, ack) => {
    await pause(ms);
    ack(value);
  });
}

function serveQuestions(namespace, socket) {
  const answer = (error, ...reply) =>
    error ? socket.emit("answer-error", "timeout") : socket.emit("answer", ...reply);
  socket.on("ask", (...args) => socket.timeout(QUESTION_TIMEOUT).emit("question", ...args, answer));
  socket.on("ask-silent", (ms) => socket.timeout(ms).emit("question-silent", answer));
  socket.on("ask-room", (room, ms, ack) => {
    const asked = namespace.adapter.rooms.get(room)?.size ?? 0;
    namespace.to(room).timeout(ms).emit("poll", (_error, answers) => {
      ack({ answers, missing: asked - answers.length });
    });
  });
}

function serveRooms(namespace, socket) {
  on("join", (room) => socket.join(room));
  on("leave", (room) => socket.leave(room));
  on("say", (room, event, ...args) => namespace.to(room).emit(event, ...args));
  on("say-rooms", (rooms, event, ...args) => namespace.to(rooms).emit(event, ...args));
  on("say-others", (room, event, ...args) => socket.to(room).emit(event, ...args));
  on("say-except", (room, except, event, ...args) => namespace.to(room).except(except).emit(event, ...args));
  on("say-volatile", (room, event, ...args) => namespace.to(room).volatile.emit(event, ...args));
  on("say-all", (event, ...args) => namespace.emit(event, ...args));
  socket.on("rooms", (ack) => ack([...socket.rooms]));
  socket.on("members", (room, ack) => ack([...(namespace.adapter.rooms.get(room) ?? [])]));

  // The ack, if one is asked for, says that the work is done.
  function on(event, act) {
    socket.on(event, (...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
      act(...args);
      ack(true);
    });
  }
}

function serveStreams(socket) {
  let streaming = false;
  let sent = 0;
  socket.on("burst", (n, ack) => {
    for (let i = 0; i < n; i++) socket.emit("tick", i);
    ack?.(n);
  });
  socket.on("burst-volatile", (n, ack) => {
    for (let i = 0; i < n; i++) socket.volatile.emit("tick", i);
    ack?.(n);
  });
  socket.on("stream", async (ms) => {
    streaming = true;
    for (sent = 0; streaming && socket.connected; await pause(ms)) socket.emit("tick", sent++);
  });
  socket.on("stream-stop", (ack) => {
    streaming = false;
    ack(sent);
  });
}

function serveState(socket) {
  const counters = new Map();
  socket.on("count", (key, ack) => {
    counters.set(key, (counters.get(key) ?? 0) + 1);
    ack?.(counters.get(key));
  });
  const attempts = new Map();
  socket.on("drop-first", (key, ack) => {
    attempts.set(key, (attempts.get(key) ?? 0) + 1);
    if (attempts.get(key) > 1) ack(attempts.get(key));
  });
  socket.on("release", (key, ack) => {
    gates.get(key)();
    ack(true);
  });
  socket.on("recovered", (ack) => ack(socket.recovered));
  socket.on("set-data", (value, ack) => {
    socket.data.value = value;
    ack?.(true);
  });
  socket.on("get-data", (ack) => ack(socket.data.value ?? null));
}
