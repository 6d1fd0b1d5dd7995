// Two servers that are one, of the kinds of a column: what a case does begins at `from` and is to arrive at `to`.
import { PATIENCE, within } from "../node/support/wait.mjs";
import { Client } from "./client.mjs";
import { ServerProcess } from "./servers.mjs";

const LOOK_AGAIN = 20;

export class Cluster {
  #service;
  #processes = [];
  #options;
  /** One of each end in each namespace, by namespace. */
  #keepers = new Map();

  static async start(column) {
    const cluster = new Cluster(column);
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  constructor(column) {
    this.column = column;
  }

  async #start() {
    const { engine, from, to } = this.column;
    this.#service = await engine.open();
    this.#options = ["--engine", engine.name, "--url", this.#service.url];
    if (engine.isOneProcess) {
      const both = await this.#launch(from, ["--servers", "2"], 2);
      this.urls = both.urls;
    } else {
      const [one, other] = await Promise.all([from, to].map((kind) => this.#launch(kind)));
      this.urls = [one.urls[0], other.urls[0]];
    }
  }

  async #launch(kind, more = [], servers = 1) {
    const server = await ServerProcess.start(kind, [...this.#options, ...more], servers);
    this.#processes.push(server);
    return server;
  }

  get url() {
    return this.#service.url;
  }

  /** A third server, and a way to end it. */
  async third() {
    const server = await this.#launch(this.column.to);
    this.#processes = this.#processes.filter((other) => other !== server);
    return server;
  }

  /** The two ends in a namespace, each { url, kind, keeper }, when each of them hears the other. */
  async ends(nsp) {
    if (!this.#keepers.has(nsp)) this.#keepers.set(nsp, this.#join(nsp));
    return this.#keepers.get(nsp);
  }

  async #join(nsp) {
    const { from, to } = this.column;
    const clients = this.urls.map((url, i) => Client.connect(url, nsp, { name: `keeper ${i}` }));
    const keepers = await Promise.all(clients);
    const kinds = [from, to];
    await within(PATIENCE, `two servers to find each other in ${nsp}`, formed(keepers));
    return keepers.map((keeper, i) => ({ url: this.urls[i], kind: kinds[i], keeper }));
  }

  /** Gives what went wrong, each as an error. */
  async stop() {
    const faults = [];
    const end = async (thing) => thing.stop();
    for (const joining of this.#keepers.values()) {
      for (const { keeper } of await joining.catch(() => [])) keeper.close();
    }
    await Promise.all(this.#processes.map((server) => end(server).catch((error) => faults.push(error))));
    if (this.#service) await end(this.#service).catch((error) => faults.push(error));
    return faults;
  }
}

/** Both count two servers, each is heard by the clients of the other, and both see all sockets. */
async function formed(keepers) {
  const [one, other] = keepers;
  const counts = async () => Promise.all(keepers.map((keeper) => keeper.do("serverCount")));
  while (!(await counts()).every((count) => count === 2)) await pause();
  for (const [from, to] of [[one, other], [other, one]]) {
    while (to.heard("are you there?").length === 0) {
      await from.do("emit", { rooms: [to.id], event: "are you there?", args: [] });
      await pause();
    }
    while ((await from.do("fetch")).length < 2) await pause();
  }
}

export const pause = () => new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
