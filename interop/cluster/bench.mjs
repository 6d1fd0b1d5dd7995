// What one case opens, in one namespace of one cluster; all of it is gone when the case ends, however it ends.
import assert from "node:assert/strict";
import { buffered } from "../node/support/values.mjs";
import { PATIENCE, within } from "../node/support/wait.mjs";
import { Client } from "./client.mjs";
import { pause } from "./cluster.mjs";
import { openEmitter } from "./emitters.mjs";

let keys = 0;

export class Bench {
  #cluster;
  #open = [];
  #clients = [];
  #ends;

  static async open(cluster, nsp) {
    const bench = new Bench();
    bench.#cluster = cluster;
    bench.nsp = nsp;
    bench.#ends = await cluster.ends(nsp);
    return bench;
  }

  /** The end at which things are done. */
  get from() {
    return this.#ends[0].keeper;
  }

  /** The end at which they are to arrive. */
  get to() {
    return this.#ends[1].keeper;
  }

  get keepers() {
    return [this.from, this.to];
  }

  get column() {
    return this.#cluster.column;
  }

  /** A name that nothing else has: of a room, of an event, of a value. */
  key(what) {
    return `${what} ${++keys}`;
  }

  /** A client of the one end or the other. */
  async connect(where, options = {}) {
    const end = this.#ends[where === "from" ? 0 : 1];
    const name = options.name ?? this.key(`${options.transport ?? "websocket"} at ${where}`);
    const client = await Client.connect(end.url, this.nsp, { ...options, name });
    this.#clients.push(client);
    return client;
  }

  /** One at the near end, and at the far end one of each transport. */
  crowd(options = {}) {
    const polling = { ...options, transport: "polling" };
    return Promise.all([this.connect("from", options), this.connect("to", options), this.connect("to", polling)]);
  }

  /** As many, all at the far end. */
  crowdThere(options = {}) {
    const polling = { ...options, transport: "polling" };
    return Promise.all([this.connect("to", options), this.connect("to", options), this.connect("to", polling)]);
  }

  /** A second socket of a client, in a namespace that no case is about: in another's it would be asked, and go. */
  async beside(client) {
    return this.keep(await client.beside("/beside"));
  }

  /** The emitter of this engine. */
  async emitter() {
    return this.keep(await openEmitter(this.column.engine.name, this.#cluster.url, this.nsp));
  }

  /** A third server that is there for all, and silent from now on. */
  async frozen() {
    const server = await this.#cluster.third();
    this.keep({ close: () => server.crash() });
    await this.until("three servers to be counted", async () => (await this.from.do("serverCount")) === 3);
    await server.freeze();
  }

  /** Whatever ends with close() and must not outlive the case. */
  keep(thing) {
    this.#open.push(thing);
    return thing;
  }

  /** Waits until it is so; only for what nobody is told of. */
  async until(what, isSo) {
    const looking = async () => {
      while (!(await isSo())) await pause();
    };
    await within(PATIENCE, what, looking());
  }

  /** Resolves when these sockets, and no others, are in a room, at both ends. */
  async members(room, clients) {
    const expected = ids(clients);
    const found = async (end) => ids(await end.do("fetch", { rooms: [room] }));
    const areThere = async (end) => JSON.stringify(await found(end)) === JSON.stringify(expected);
    for (const end of this.keepers) {
      await this.until(`${clients.length} sockets to be in "${room}"`, () => areThere(end));
    }
  }

  /**
   * Resolves when every client has heard a last event. Whatever `speaker` had sent before has arrived by then: on its
   * way that event was behind, if its arguments are of the same kind and size, for some adapters take others on
   * another way.
   */
  async fence(speaker, args = []) {
    const event = this.key("fence");
    await speaker.do("emit", { event, args });
    await Promise.all(this.#clients.filter((client) => client.isConnected).map((client) => client.hears(event)));
  }

  /** What `speaker` emits to a selection is heard once by each of `hearers`, and by nobody else. */
  async expectHearing(selection, hearers, { args = ["news"], speaker = this.from } = {}) {
    const event = this.key("event");
    await speaker.do("emit", { ...selection, event, args });
    await this.fence(speaker, args);
    for (const client of this.#clients) {
      const expected = hearers.includes(client) ? [args] : [];
      const what = `what ${client.name} heard of what went to ${JSON.stringify(selection)}`;
      assert.deepEqual(buffered(client.heard(event)), buffered(expected), what);
    }
  }

  /** What servers have heard of a server-side event, each as [event, ...args]. */
  async seen(keeper, value) {
    return buffered(await keeper.do("serverSeen")).filter((event) => event[1] === value);
  }

  async clear() {
    for (const client of this.#clients) client.close();
    for (const thing of this.#open.toReversed()) await thing.close();
    // A server may find out a moment later, and the next case would find them.
    const closed = ids(this.#clients);
    for (const keeper of this.keepers) {
      await this.until("clients that were closed to be gone", async () => {
        const rooms = await keeper.do("rooms");
        return !closed.some((id) => rooms.includes(id));
      });
    }
  }
}

export const ids = (sockets) => sockets.map(({ id }) => id).sort();
