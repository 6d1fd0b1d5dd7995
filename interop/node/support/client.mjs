// Official clients in their three ways to connect, and the small verbs that the tests speak.
import { io, Manager } from "socket.io-client";
import { takenIn } from "./raw.mjs";
import { next, PATIENCE, within } from "./wait.mjs";

export const modes = [
  { name: "polling", transports: ["polling"] },
  { name: "websocket", transports: ["websocket"] },
  { name: "upgraded", transports: ["polling", "websocket"] },
];

const DEFAULTS = { forceNew: true, reconnection: false };

/** The n-th client of a crowd in which all modes are mixed. */
export const mixed = (n) => modes[n % modes.length];

export function dial(server, mode, { nsp = "/", ...options } = {}) {
  return io(server.url + nsp, { ...DEFAULTS, transports: mode.transports, ...options });
}

export function manage(server, mode, options = {}) {
  return new Manager(server.url, { ...DEFAULTS, transports: mode.transports, ...options });
}

/** Connected, welcomed, and on its final transport: from here on only what a test causes happens. */
export function ready(socket, mode, { settle = true } = {}) {
  const steps = [happened(socket, "connect"), happened(socket, "welcome")];
  if (settle && mode.name === "upgraded") steps.push(happened(socket.io.engine, "upgrade"));
  const refused = new Promise((_, reject) => socket.once("connect_error", reject));
  const done = Promise.race([Promise.all(steps), refused]).then(() => socket);
  return within(PATIENCE, `a ${mode.name} client to connect`, done);
}

function happened(emitter, event) {
  return new Promise((resolve) => emitter.once(event, resolve));
}

export function ask(socket, event, ...args) {
  return socket.timeout(PATIENCE).emitWithAck(event, ...args);
}

/** A question that the server answers with `release(value)`, and not before: it asks back. */
export async function held(socket) {
  const asked = next(socket, "poll");
  const answer = ask(socket, "ask-room", socket.id, 60_000).then(({ answers }) => answers[0]);
  const [release] = await asked;
  return { answer, release };
}

/** When this resolves, all that the server sent to this socket before has arrived. */
export async function fence(...sockets) {
  await Promise.all(sockets.map((socket) => ask(socket, "echo-ack", "fence")));
}

/** Resolves when each of these clients that polls has a poll at the server, which waits if nothing is to be sent. */
export async function pollsTakenIn(server, ...sockets) {
  for (const { io: { engine } } of sockets) {
    const url = () => engine.transport.pollXhr?._uri;
    for (let taken; url() !== taken; ) {
      taken = url();
      await takenIn(server, taken);
    }
  }
}

/** All events that the socket receives from now on, each as [name, ...args]. */
export function record(socket) {
  const log = [];
  socket.onAny((...event) => log.push(event));
  return log;
}

/** The first arguments of all events of that name from now on. */
export function gather(socket, event) {
  const values = [];
  socket.on(event, (value) => values.push(value));
  return values;
}
