// A client of one node that comes back by itself, and remembers all: when it was connected, and what it heard.
import { io } from "socket.io-client";

export const NEWS = "news";
const JOIN_PATIENCE = 10_000;

export class Person {
  #socket;
  /** Each { id, node, life, from, joined, until, transport, reason, isRecovered }. */
  connections = [];
  /** Each { at, connection, from, to, n }. */
  heard = [];

  /** `roam` gives the node to which it comes back. */
  constructor({ name, node, nsp, rooms = [], transports, url = node.url, roam = () => this.node }) {
    Object.assign(this, { name, node, nsp, rooms, transports });
    const [room] = rooms;
    this.#socket = io(url + nsp, {
      forceNew: true,
      transports,
      auth: room === undefined ? { name } : { name, room },
      reconnectionDelay: 100,
      reconnectionDelayMax: 1_000,
      timeout: 5_000,
    });
    const socket = this.#socket;
    socket.on("connect", () => this.#connected());
    socket.on("disconnect", (reason) => {
      const transport = this.transport;
      Object.assign(this.connections.at(-1), { until: Date.now(), transport, reason });
    });
    socket.io.on("reconnect_attempt", () => {
      this.node = roam();
      socket.io.uri = this.node.url;
    });
    socket.on(NEWS, (event) => {
      this.heard.push({ at: Date.now(), connection: this.connections.length - 1, ...event });
    });
    socket.on("ask", (...args) => args.at(-1)(this.name));
    // Its transport is gone when it is told that it is disconnected.
    socket.io.on("open", () => {
      this.transport = socket.io.engine.transport.name;
      socket.io.engine.on("upgrade", ({ name: upgraded }) => (this.transport = upgraded));
    });
  }

  /** Its first room comes with its auth; its node makes it join the others. */
  #connected() {
    const { id, recovered: isRecovered } = this.#socket;
    const connection = { id, isRecovered, node: this.node, life: this.node.life, from: Date.now() };
    this.connections.push(connection);
    // It is in its rooms again.
    if (isRecovered) connection.joined = connection.from;
    const more = this.rooms.slice(1);
    const join = { rooms: [this.#socket.id], into: more };
    this.do("join", join, JOIN_PATIENCE).then(({ ok }) => ok === 0 && (connection.joined ??= Date.now()));
  }

  /** The connection that it has now. */
  get connection() {
    return this.#socket.connected ? this.connections.at(-1) : undefined;
  }

  get isThere() {
    return this.connection?.joined !== undefined;
  }

  /** Gives `{ ok }` or `{ error }`, `{ void: true }` when the connection is gone, and `{ late: true }`. */
  do(op, params, ms) {
    const { connection } = this;
    if (connection === undefined) return Promise.resolve({ void: true });
    return new Promise((resolve) => {
      this.#socket.timeout(ms).emit("do", op, params, (error, answer) => {
        if (!error) resolve(answer);
        else resolve(connection.until === undefined && this.#socket.connected ? { late: true } : { void: true });
      });
    });
  }

  close() {
    this.#socket.disconnect();
    this.#socket.io.engine?.close();
  }
}
