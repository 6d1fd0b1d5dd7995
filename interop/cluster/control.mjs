// What the clients of a namespace tell its server to do, see README.md: an event `do` with the name of an operation
// and its parameters, answered with what came of it.
const MAX_WAIT = 60_000;

/** `name` is what this server calls itself, `settled` waits for what the adapter has begun. */
export function control(namespace, { name, settled }) {
  const seen = record(namespace, name);
  namespace.on("connection", (socket) => {
    socket.data.name = socket.handshake.auth.name;
    if (socket.handshake.auth.room !== undefined) socket.join(socket.handshake.auth.room);
    socket.on("do", async (op, params, answer) => {
      try {
        const result = await operations[op]({ namespace, socket, seen, settled }, params);
        answer({ ok: result ?? 0 });
      } catch (error) {
        answer({ error: error.message });
      }
    });
  });
}

/** The events of other servers from now on, each as [event, ...args]. */
function record(namespace, name) {
  const seen = [];
  namespace.on("hello", (...args) => seen.push(["hello", ...args]));
  namespace.on("ask", (...args) => {
    const answer = args.pop();
    seen.push(["ask", ...args]);
    answer({ from: name, got: args });
  });
  namespace.on("mute", (...args) => seen.push(["mute", ...args.slice(0, -1)]));
  return seen;
}

const operations = {
  emit({ namespace }, { rooms, except, flags = {}, event, args }) {
    let selection = select(namespace, rooms, except);
    if (flags.volatile) selection = selection.volatile;
    if (flags.local) selection = selection.local;
    if (flags.compress !== undefined) selection = selection.compress(flags.compress);
    selection.emit(event, ...args);
  },

  /** Many, of which others have their turn now and then. */
  async burst({ namespace }, { rooms, event, args, count }) {
    const selection = select(namespace, rooms);
    for (let sent = 1; sent <= count; sent += 1) {
      selection.emit(event, ...args);
      if (sent % 100 === 0) await new Promise(setImmediate);
    }
  },

  emitAck({ namespace }, { rooms, except, timeout, event, args }) {
    return new Promise((resolve) => {
      select(namespace, rooms, except).timeout(timeout).emit(event, ...args, (error, answers) => {
        // How many are missing is not known here.
        resolve({ answers: sorted(answers), error: error?.message ?? null, missing: null });
      });
    });
  },

  async fetch({ namespace }, { rooms, except }) {
    const sockets = await select(namespace, rooms, except).fetchSockets();
    return sockets
      .map(({ id, rooms, data, handshake: { query, secure } }) => {
        return { id, rooms: [...rooms].sort(), data, query: query.tag, secure };
      })
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  },

  join: ({ namespace }, { rooms, except, into }) => void select(namespace, rooms, except).socketsJoin(into),
  leave: ({ namespace }, { rooms, except, from }) => void select(namespace, rooms, except).socketsLeave(from),

  disconnect({ namespace }, { rooms, except, close }) {
    select(namespace, rooms, except).disconnectSockets(close);
  },

  serverSide: ({ namespace }, { event, args }) => void namespace.serverSideEmit(event, ...args),

  serverSideAck({ namespace }, { event, args }) {
    return new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("neither answers nor an error")), MAX_WAIT).unref();
      namespace.serverSideEmit(event, ...args, (error, answers) => {
        resolve({ answers, error: error?.message ?? null });
      });
    });
  },

  serverSeen: ({ seen }) => seen,
  serverCount: ({ namespace }) => namespace.adapter.serverCount(),
  rooms: ({ namespace }) => [...namespace.adapter.rooms.keys()].sort(),

  async me({ socket, settled }) {
    await settled();
    return socket.id;
  },
};

/** No rooms are all of the namespace. */
function select(namespace, rooms = [], except = []) {
  return namespace.in(rooms).except(except);
}

function sorted(answers) {
  const byText = answers.map((answer) => [JSON.stringify(answer), answer]);
  return byText.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, answer]) => answer);
}
