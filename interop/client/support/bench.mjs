// What one check opens, in the words that all generations of the client know; all is closed when it ends.
import { createRequire } from "node:module";
import { within } from "./within.mjs";

const require = createRequire(import.meta.url);
const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], upgraded: ["polling", "websocket"] };
// A connection that ends while a message is decompressed keeps its share of this limit for good. It is 10 by
// default, for all of a process.
const DEFLATE = { concurrencyLimit: 1_000_000 };
let keys = 0;

export class Bench {
  #site;
  #port;
  #transport;
  #open = [];

  constructor(site, port, transport) {
    this.#site = site;
    this.#port = port;
    this.#transport = transport;
  }

  get isOld() {
    return this.#site.client === "2.5";
  }

  /** A client that has only begun to connect; `auth` goes where this generation has it. */
  open(nsp = "/", { auth = {}, ...options } = {}) {
    const io = require(`client-${this.#site.client}`);
    const parser = this.#site.options.includes("msgpack") ? { parser: require(this.#site.msgpack) } : {};
    const key = `key-${keys++}`;
    const socket = io(`http://127.0.0.1:${this.#port}${nsp}`, {
      forceNew: true,
      reconnection: false,
      transports: TRANSPORTS[this.#transport],
      query: { key, ...(this.isOld ? auth : {}) },
      auth,
      perMessageDeflate: DEFLATE,
      extraHeaders: { "x-test": "tested" },
      ...parser,
      ...options,
    });
    this.#open.push(socket);
    return Object.assign(socket, { key });
  }

  /** Connected, welcomed and on its last transport. */
  async connect(nsp, options) {
    const socket = this.open(nsp, options);
    const upgraded = this.#transport === "upgraded" ? once(socket.io.engine, "upgrade") : undefined;
    const [[welcome]] = await Promise.all([once(socket, "welcome"), once(socket, "connect"), upgraded]);
    return Object.assign(socket, { welcome });
  }

  /** Why a client may not come in: the message and the data. */
  async refusal(nsp, options) {
    const socket = this.open(nsp, options);
    // A client of version 2 hears of it only as `error`, of the data or else the message.
    const [error] = await once(socket, this.isOld ? "error" : "connect_error");
    return this.isOld ? error : { message: error.message, data: error.data };
  }

  close() {
    for (const socket of this.#open) socket.close();
  }
}

/** The arguments of the next such event. */
export function once(emitter, event) {
  return within(`"${event}"`, new Promise((resolve) => emitter.once(event, (...args) => resolve(args))));
}

/** Emits and waits for the ack: all its arguments. */
export function askAll(socket, event, ...args) {
  const answer = new Promise((resolve) => socket.emit(event, ...args, (...values) => resolve(values)));
  return within(`the ack of "${event}"`, answer);
}

/** Its first argument. */
export async function ask(socket, event, ...args) {
  return (await askAll(socket, event, ...args))[0];
}

/** The first argument of every such event from now on. */
export function gather(socket, event) {
  const heard = [];
  socket.on(event, (value) => heard.push(value));
  return heard;
}
