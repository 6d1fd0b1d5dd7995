// One suite is one noun: one server for all its tests, and a clean bench for each of them.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { knownReferenceFailures } from "../known-reference-failures.mjs";
import { dial, manage, modes, ready } from "./client.mjs";
import { openRaw, RawPolling, RawWebSocket } from "./raw.mjs";
import { isReference, startServer } from "./server.mjs";
import { within } from "./wait.mjs";

/** Tests that are not for this setup, by their names or those of their suites, with the reasons. */
const leftOut = process.env.LEFT_OUT ? (await import(pathToFileURL(process.env.LEFT_OUT))).leftOut : new Map();

const TEST_PATIENCE = 60_000;
const CLEAR_PATIENCE = 30_000;

/**
 * `env` chooses the limits of the suite's server. `concurrency` lets tests overlap that
 * mostly wait; not for suites that speak to whole namespaces, because they share the server.
 */
export function suite(noun, define, { env = {}, concurrency = 1 } = {}) {
  describe(noun, { concurrency }, () => {
    let server;
    const titles = new Set();
    before(async () => (server = await startServer(env)));
    after(async () => {
      await server.stop();
      assertListIsCurrent(noun, titles);
    });

    const test = (title, body, mode = modes[0]) => {
      titles.add(`${noun}: ${title}`);
      const skip = leftOut.get(noun) ?? leftOut.get(`${noun}: ${title}`);
      it(title, { timeout: TEST_PATIENCE + CLEAR_PATIENCE, skip }, (t) => judge(t, `${noun}: ${title}`, () => onBench(server, mode, body)));
    };
    const eachMode = (title, body) => modes.forEach((mode) => test(`${title} [${mode.name}]`, body, mode));
    define({ test, eachMode });
  });
}

async function judge(t, name, run) {
  const reason = isReference ? knownReferenceFailures.get(name) : undefined;
  if (reason === undefined) return run();
  t.diagnostic(`fails on the official server, as expected: ${reason}`);
  await assert.rejects(run, undefined, "this passes now: take it off the list of known failures");
}

async function onBench(server, mode, body) {
  const bench = new Bench(server, mode);
  try {
    // Gives up before the test runner would, so that the bench is cleared in any case.
    await within(TEST_PATIENCE, "the test to end", body(bench));
  } finally {
    await bench.clear();
  }
}

function assertListIsCurrent(noun, titles) {
  const listed = [...knownReferenceFailures.keys(), ...leftOut.keys()].filter((name) => name.startsWith(`${noun}: `));
  assert.deepEqual(listed.filter((name) => !titles.has(name)), [], "known failures, or tests left out, that name no test");
}

/** What one test opens; all of it is gone when the test ends, however it ends. */
class Bench {
  #connections = [];
  #servers = [];

  constructor(server, mode) {
    this.server = server;
    this.mode = mode;
  }

  /** A server of its own, for tests that choose its limits or end it. */
  async start(env) {
    this.server = await startServer(env);
    this.#servers.push(this.server);
    return this.server;
  }

  /** A client that has only begun to connect. */
  open({ mode = this.mode, ...options } = {}) {
    return this.#keep(dial(this.server, mode, options));
  }

  async connect({ mode = this.mode, ...options } = {}) {
    return ready(this.open({ mode, ...options }), mode);
  }

  /** `n` clients; `pick(i)` gives the options of each. */
  connectAll(n, pick = () => ({})) {
    return Promise.all(Array.from({ length: n }, (_, i) => this.connect(pick(i))));
  }

  /** A connection that several namespaces can share. */
  manager(options) {
    const manager = manage(this.server, this.mode, options);
    this.#keep({ close: () => hangUp(manager) });
    return manager;
  }

  /** One socket for each of these namespaces, all on one connection. */
  async multiplex(...names) {
    const manager = this.manager();
    const [first, ...others] = names.map((name) => manager.socket(name));
    // The transport settles once for all of them.
    const rest = others.map((socket) => ready(socket, this.mode, { settle: false }));
    await Promise.all([ready(first, this.mode), ...rest]);
    return [first, ...others];
  }

  async raw({ mode = this.mode, ...options } = {}) {
    return this.#keep(await openRaw(this.server, mode, options));
  }

  async rawPolling(options) {
    return this.#keep(await RawPolling.open(this.server, options));
  }

  async rawWebSocket(options) {
    return this.#keep(await RawWebSocket.open(this.server, options));
  }

  async clear() {
    for (const connection of this.#connections) await connection.close();
    for (const server of this.#servers) if (!server.ended) await server.stop();
  }

  /** Anything else with a close() that must not outlive the test. */
  keep(thing) {
    return this.#keep(thing);
  }

  #keep(connection) {
    this.#connections.push(connection);
    return connection;
  }
}

function hangUp(manager) {
  manager.reconnection(false);
  manager.engine.close();
}
