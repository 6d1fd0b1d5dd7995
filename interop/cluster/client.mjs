// An official client of one server, in one namespace, that remembers what it hears.
import { io } from "socket.io-client";
import { next, PATIENCE, within } from "../node/support/wait.mjs";

/** What the names of sockets end with that a case has in a namespace where another case may run. */
export const BESIDE = " (beside)";

export class Client {
  /** All events so far, each as [event, ...args]. */
  #log = [];
  #socket;

  /** Connected, in the room that it asks for, and on its final transport. */
  static async connect(url, nsp, { name, room, tag, transport = "websocket", isSilent = false } = {}) {
    const auth = room === undefined ? { name } : { name, room };
    const socket = io(url + nsp, {
      forceNew: true,
      reconnection: false,
      transports: [transport],
      query: tag === undefined ? {} : { tag },
      auth,
    });
    const client = new Client(socket, name, isSilent);
    await client.#ready();
    return client;
  }

  constructor(socket, name, isSilent) {
    this.#socket = socket;
    this.name = name;
    socket.onAny((event, ...args) => {
      if (typeof args.at(-1) === "function") {
        const answer = args.pop();
        if (!isSilent) answer([name, ...args]);
      }
      this.#log.push([event, ...args]);
    });
  }

  async #ready() {
    const refused = new Promise((_, reject) => this.#socket.once("connect_error", reject));
    const connected = next(this.#socket, "connect");
    await Promise.race([connected, refused]);
    // The answer comes when the others can reach it in its room.
    this.id = await this.do("me");
  }

  get socket() {
    return this.#socket;
  }

  /** A socket in another namespace, on the same connection. */
  async beside(nsp) {
    const name = `${this.name}${BESIDE}`;
    const socket = this.#socket.io.socket(nsp, { auth: { name } });
    const client = new Client(socket, name, false);
    await client.#ready();
    return client;
  }

  /** Has the server do something, and gives what came of it. */
  async do(op, params = {}) {
    // Otherwise it would be kept for a connection that never comes.
    if (!this.#socket.connected) throw new Error(`${this.name} is not connected, and cannot ask for "${op}"`);
    const answer = await this.#socket.timeout(PATIENCE).emitWithAck("do", op, params).catch(() => {
      throw new Error(`no answer to "${op}" at ${this.name}`);
    });
    if ("error" in answer) throw new Error(`${op}: ${answer.error}`);
    return answer.ok;
  }

  /** The arguments of each such event so far. */
  heard(event) {
    return this.#log.filter(([name]) => name === event).map(([, ...args]) => args);
  }

  /** Resolves when it has heard so many such events. */
  async hears(event, count = 1) {
    const enough = () => this.heard(event).length >= count;
    if (enough()) return;
    let listener;
    const grown = new Promise((resolve) => {
      // Behind the listener that keeps the log.
      listener = () => enough() && resolve();
      this.#socket.onAny(listener);
    });
    const what = `${this.name} to hear "${event}" (it has heard ${this.heard(event).length} of ${count})`;
    await within(PATIENCE, what, grown).finally(() => this.#socket.offAny(listener));
  }

  /** Resolves with the reason when it is put out. */
  async isPutOut() {
    if (!this.#socket.connected) return;
    await next(this.#socket, "disconnect");
  }

  get isConnected() {
    return this.#socket.connected;
  }

  close() {
    this.#socket.disconnect();
    this.#socket.io.engine?.close();
  }
}
