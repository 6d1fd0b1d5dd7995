// The site of README.md, on any of the official servers: they differ only in what is handed in.
const range = (n) => Array.from({ length: n }, (_, i) => i);

/**
 * `cut(socket)` ends the connection below a socket without a goodbye; `missing` are the words for what
 * this server cannot do.
 */
export function serve(io, { cut, missing }) {
  const tries = new Map();
  io.on("connection", (socket) => serveMain(io, socket, { cut, missing, tries }));

  const inner = io.of("/private");
  inner.use(requireToken);
  inner.on("connection", (socket) => {
    greet(socket);
    listener(socket)("whoami", (ack) => ack(authOf(socket).user));
  });
  for (const name of ["/a", "/b", /^\/dyn-\d+$/]) io.of(name).on("connection", serveEcho);
}

/** What a client said of itself. A client of version 2 says it in the query of the namespace. */
function authOf(socket) {
  return socket.handshake.auth ?? (socket.nsp.name === "/" ? {} : socket.handshake.query);
}

function requireToken(socket, next) {
  if (authOf(socket).token === "letmein") return next();
  next(Object.assign(new Error("not allowed"), { data: { code: 401 } }));
}

function greet(socket) {
  const { query, headers } = socket.handshake;
  socket.emit("welcome", {
    id: socket.id,
    auth: authOf(socket),
    query: { ...query },
    headers: { "x-test": headers["x-test"] ?? null, cookie: headers.cookie ?? null },
    transport: socket.conn.transport.name,
    recovered: socket.recovered ?? false,
  });
}

/** Adds handlers that are given the ack first, if there is one, and then the arguments. */
function listener(socket) {
  return (event, handle) => {
    socket.on(event, (...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
      handle(ack, ...args);
    });
  };
}

function serveEcho(socket) {
  greet(socket);
  const on = listener(socket);
  on("echo", (_ack, ...args) => socket.emit("echo", socket.nsp.name, ...args));
  on("ask", (ack, ...args) => ack(...args));
}

function serveMain(io, socket, { cut, missing, tries }) {
  const on = listener(socket);
  greet(socket);
  on("names", (ack) => ack(missing));

  on("echo", (_ack, ...args) => socket.emit("echo", ...args));
  on("ask", (ack, ...args) => ack(...args));
  on("binary-ask", (ack, ...args) => ack(...args));
  on("sum", (ack, a, b) => ack(a + b));
  on("slow", (ack, ms, value) => setTimeout(ack, ms, value));
  on("never", () => {});
  const held = [];
  on("hold", (ack, value) => held.push(() => ack(value)));
  on("let-go", (ack) => {
    for (const answer of held.splice(0)) answer();
    ack(true);
  });
  on("question-me", async (_ack, n) => {
    const question = (i) => new Promise((resolve) => socket.emit("question", i, resolve));
    socket.emit("answered", await Promise.all(range(n).map(question)));
  });

  on("flaky", (ack, key, n, value) => {
    const count = (tries.get(key) ?? 0) + 1;
    tries.set(key, count);
    if (count >= n) ack({ value, tries: count });
  });
  on("seen", (ack, key) => ack(tries.get(key) ?? 0));

  on("join", (ack, room) => {
    socket.join(room);
    ack(true);
  });
  on("leave", (ack, room) => {
    socket.leave(room);
    ack(true);
  });
  on("say", (ack, room, text) => {
    socket.to(room).emit("said", text);
    ack(true);
  });

  on("burst", (ack, n) => {
    for (const i of range(n)) socket.emit("number", i);
    ack(n);
  });
  on("volatile-burst", (ack, n) => {
    for (const i of range(n)) socket.volatile.emit("number", i);
    ack(n);
  });
  on("big", (_ack, length) => socket.emit("big", "x".repeat(length)));

  on("leave-me", () => socket.disconnect());
  on("close-me", () => socket.disconnect(true));
  on("cut-me", () => cut(socket));
  on("cut-and-send", (_ack, n) => {
    const { id } = socket;
    const room = `all-of-${id}`;
    socket.join(room);
    socket.once("disconnect", () => {
      for (const i of range(n)) io.to(i % 2 === 0 ? id : room).emit("number", i);
    });
    cut(socket);
  });
}
