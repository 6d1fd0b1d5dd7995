// What one test of one cell opens; all of it is closed when the test ends, however it ends.
// It speaks only the words that all generations of the client know.
import { within } from "../support/wait.mjs";
import { Wire } from "../support/wire.mjs";

/** How long anything may take; a failing run waits for it often, and cells overlap. */
export const PATIENCE = 10_000;
const EAGER = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 };

export class Bench {
  #cell;
  #servers;
  #prefix;
  #open = [];

  constructor(cell, servers, title) {
    this.#cell = cell;
    this.#servers = servers;
    this.#prefix = `${cell.name} · ${title}`;
  }

  get client() {
    return this.#cell.client;
  }

  get setup() {
    return this.#cell.setup;
  }

  get transport() {
    return this.#cell.transport.name;
  }

  /** The server that recovers; the other one does not. */
  get recovering() {
    return this.#servers.recovering;
  }

  /** A room that no other test speaks of. */
  room(name) {
    return `${name} · ${this.#prefix}`;
  }

  /** A client that has only begun to connect. */
  open({ at = this.#servers.plain, nsp = "/", ...options } = {}) {
    return this.keep(known(this.client.io(at.url + nsp, this.#options(options))));
  }

  async connect(options) {
    return this.ready(this.open(options));
  }

  connectAll(n) {
    return Promise.all(Array.from({ length: n }, () => this.connect()));
  }

  /** One socket for each of these namespaces, all on one connection. */
  async multiplex(...names) {
    const manager = new this.client.io.Manager(this.#servers.plain.url, this.#options({}));
    const [first, ...others] = names.map((name) => this.keep(known(manager.socket(name))));
    // The transport settles once for all of them.
    await Promise.all([this.ready(first), ...others.map((socket) => welcomed(socket))]);
    return [first, ...others];
  }

  /** Connected, welcomed, and on its final transport: from here on only what a test causes happens. */
  ready(socket) {
    const steps = [welcomed(socket), this.#settled(socket)];
    return within(PATIENCE, `a ${this.#cell.name} client to connect`, Promise.all(steps)).then(() => socket);
  }

  /**
   * A client that comes back by itself, through a wire that can be cut. cut() ends its connection
   * and waits until the client knows; mend() lets it return and gives its next welcome.
   */
  async connectByWire(options) {
    const wire = await this.wire(options?.at);
    const socket = await this.connect({ ...EAGER, ...options, at: wire });
    const cut = async () => {
      if (this.transport === "polling") await wire.waitingGet();
      const gone = once(socket, "disconnect");
      wire.cut();
      await gone;
    };
    const mend = async () => {
      const back = once(socket, "welcome");
      wire.mend();
      await back;
      if (socket.io.engine.transport.name === "polling") await this.#settled(socket);
    };
    return { socket, cut, mend };
  }

  async wire(server = this.#servers.plain) {
    return this.keep(await Wire.to(server));
  }

  /** Anything else with a close() that must not outlive the test. */
  keep(thing) {
    this.#open.push(thing);
    return thing;
  }

  clear() {
    for (const thing of this.#open) thing.close();
  }

  #options(options) {
    const parser = this.setup.parser === "msgpack" ? { parser: this.client.msgpack } : {};
    const transports = this.#cell.transport.list;
    return { forceNew: true, reconnection: false, transports, ...parser, ...options };
  }

  #settled(socket) {
    return this.transport === "upgraded" ? once(socket.io.engine, "upgrade") : undefined;
  }
}

const ids = new WeakMap();

/** Remembers the id by which the server knows a socket. */
function known(socket) {
  socket.on("welcome", ({ id }) => ids.set(socket, id));
  return socket;
}

/**
 * The id by which the server knows a socket. An old client works an id out for itself, and the server need not
 * use that: it is made of the secret id of the session.
 */
export function idOf(socket) {
  return ids.get(socket);
}

/** A refusal ends the wait. */
function welcomed(socket) {
  const refused = new Promise((_, reject) => {
    socket.once(refusal(socket), (error) => reject(new Error(`refused: ${error.message ?? JSON.stringify(error)}`)));
  });
  return Promise.race([Promise.all([once(socket, "connect"), once(socket, "welcome")]), refused]);
}

/** The event by which a socket of this generation hears that it was refused. */
export function refusal(socket) {
  return socket.io.engine.constructor.protocol === 3 ? "error" : "connect_error";
}

/** The arguments of the next such event. */
export function once(emitter, event) {
  return within(PATIENCE, `"${event}"`, new Promise((resolve) => emitter.once(event, (...args) => resolve(args))));
}

/** Emits and waits for the acknowledgement: all its arguments. */
export function askAll(socket, event, ...args) {
  const answer = new Promise((resolve) => socket.emit(event, ...args, (...values) => resolve(values)));
  return within(PATIENCE, `the answer to "${event}"`, answer);
}

/** Its first argument. */
export async function ask(socket, event, ...args) {
  return (await askAll(socket, event, ...args))[0];
}

/** When this resolves, all that the server sent to these sockets before has arrived. */
export function fence(...sockets) {
  return Promise.all(sockets.map((socket) => ask(socket, "echo-ack", "fence")));
}

/** All arguments of every such event from now on. */
export function gather(socket, event) {
  const heard = [];
  socket.on(event, (...args) => heard.push(args));
  return heard;
}
