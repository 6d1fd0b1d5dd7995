// What one test of one row opens; all of it is closed when the test ends, however it ends.
import { PATIENCE, within } from "../node/support/wait.mjs";
import { certificate } from "./certificate.mjs";
import { startFront } from "./front.mjs";
import { Http2 } from "./http2.mjs";
import { io, NodeWebSocket } from "./official.mjs";

export class Bench {
  #row;
  #open = [];

  /** Where its clients connect, unless they are told otherwise. */
  front;

  constructor(row, title) {
    this.#row = row;
    this.title = title;
  }

  get setup() {
    return this.#row.setup;
  }

  get mode() {
    return this.#row.mode.name;
  }

  /** Where clients of this row end up. */
  get transport() {
    return this.mode === "polling" || !this.setup.webSocket ? "polling" : "websocket";
  }

  /** A room that no other test speaks of. */
  get room() {
    return `${this.#row.name} · ${this.title}`;
  }

  /** A front of its own, for tests that choose how it is set up or do it harm. */
  async start(options) {
    const front = await startFront(this.setup, options);
    this.#open.push({ close: () => front.stop() });
    return front;
  }

  /** A client that has only begun to connect. */
  open({ at = this.front, ...options } = {}) {
    const { setup, mode } = this.#row;
    const secure = setup.tls ? { ca: certificate().ca } : {};
    const socket = io(at.url, {
      forceNew: true,
      reconnection: false,
      path: setup.path,
      transports: setup.tls ? this.#overHttp2(at, mode.transports) : mode.transports,
      withCredentials: setup.cookies,
      ...secure,
      ...options,
    });
    return this.keep(counted(socket));
  }

  async connect(options) {
    return this.ready(this.open(options));
  }

  connectAll(n, options) {
    return Promise.all(Array.from({ length: n }, () => this.connect(options)));
  }

  /** A client of one node, with nothing in between. */
  async direct(node) {
    const socket = io(node.url, { forceNew: true, reconnection: false, transports: ["websocket"] });
    await within(PATIENCE, "a client of a node", welcomed(this.keep(counted(socket))));
    return socket;
  }

  /** Connected, welcomed, and on its final transport. */
  async ready(socket) {
    const settles = this.mode === "upgraded" && this.setup.webSocket;
    const steps = [welcomed(socket), settles ? happened(socket.io.engine, "upgrade") : undefined];
    await within(PATIENCE, `a client to connect (${this.#row.name})`, Promise.all(steps));
    return socket;
  }

  /** The HTTP/2 connection of the last client. */
  http2;

  keep(thing) {
    this.#open.push(thing);
    return thing;
  }

  async clear() {
    const faults = [];
    // Clients go before what they are connected to.
    for (const thing of this.#open.toReversed()) {
      try {
        await thing.close();
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw faults[0];
  }

  /** As browsers do: WebSockets are inside the connection where that is offered, else beside it. */
  #overHttp2(at, names) {
    this.http2 = this.keep(new Http2(at.url));
    const { polling, webSocket } = this.http2;
    const chosen = { polling, websocket: this.setup.webSocketInHttp2 ? webSocket : NodeWebSocket };
    return names.map((name) => chosen[name]);
  }
}

const reasons = new WeakMap();

/** Remembers how often a client lost its connection. */
function counted(socket) {
  reasons.set(socket, []);
  socket.on("disconnect", (reason, details) => reasons.get(socket).push(described(reason, details)));
  return socket;
}

function described(reason, details) {
  const why = [details?.message, details?.description, details?.context?.status, details?.context?.statusText];
  return [reason, ...why.filter((word) => typeof word === "string" || typeof word === "number")].join(": ");
}

/** Why a client lost its connection, each time. */
export const losses = (socket) => reasons.get(socket);

function welcomed(socket) {
  const refused = new Promise((_, reject) => {
    socket.once("connect_error", (error) => reject(new Error(`refused: ${described(error.message, error)}`)));
  });
  return Promise.race([Promise.all([happened(socket, "connect"), happened(socket, "welcome")]), refused]);
}

export function happened(emitter, event) {
  return new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));
}

/** An answer, or why there will be none. */
export function ask(socket, event, ...args) {
  const lost = () => `${event} was not answered (${losses(socket).join(", ") || "still connected"})`;
  return socket.timeout(PATIENCE).emitWithAck(event, ...args).catch(() => {
    throw new Error(lost());
  });
}
