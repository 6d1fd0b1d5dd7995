// A running setup: the nodes of the server, and the proxies in front of them.
import { Redis } from "../cluster/services.mjs";
import { startServer } from "../node/support/server.mjs";
import { freePort } from "./ports.mjs";
import { directory, remove } from "./process.mjs";

/** Pings come often, so that idle connections are seen; a pong may take its time, as the machine does. */
const HEARTBEAT = { PING_INTERVAL: "1000", PING_TIMEOUT: "20000" };

/** `changes` to the file are [what, by what]. */
export async function startFront(setup, { env = HEARTBEAT, changes } = {}) {
  const front = new Front(setup);
  await front.start({ ...setup.env, ...env }, changes);
  return front;
}

class Front {
  nodes = [];
  #env;
  #proxies = [];
  #directories = [];
  /** What joins the nodes. */
  #engine;

  constructor(setup) {
    this.setup = setup;
  }

  async start(env, changes) {
    const { kind, file, tls, hops, nodes, joined } = this.setup;
    this.#env = env;
    if (joined) {
      this.#engine = await Redis.start();
      this.#env = { ...env, CLUSTER_URL: this.#engine.url, CLUSTER_KEY: "proxies" };
    }
    const starts = Array.from({ length: nodes }, async () => startServer({ ...this.#env, PORT: String(await freePort()) }));
    this.nodes = await Promise.all(starts);
    let behind = this.nodes;
    for (let hop = 0; hop < hops; hop++) {
      const [at, port] = [directory(), await freePort()];
      this.#directories.push(at);
      this.#proxies.push(await kind({ at, port, nodes: behind, file, tls, changes }));
      behind = [{ port }];
      this.url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
    }
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  /** The program that clients meet first. */
  get program() {
    return this.#proxies.at(-1).program;
  }

  /** What that has written down. */
  log() {
    return this.#proxies.at(-1).log();
  }

  /** All nodes end, and come back where they were. */
  async restart() {
    await Promise.all(this.nodes.map((node) => node.stop()));
    const again = this.nodes.map(({ port }) => startServer({ ...this.#env, PORT: String(port) }));
    this.nodes = await Promise.all(again);
  }

  /** The proxies first: a node that waits for its connections to end would wait for them. */
  async stop() {
    const faults = [];
    const end = (thing) => thing.stop().catch((error) => faults.push(error));
    for (const { program } of this.#proxies.toReversed()) await end(program);
    await Promise.all(this.nodes.map(end));
    if (this.#engine) await end(this.#engine);
    this.#directories.forEach(remove);
    if (faults.length > 0) throw new Error(faults.map(({ message }) => message).join("\n"));
  }
}
