import assert from "node:assert/strict";
import { within } from "../../node/support/wait.mjs";
import { ask, losses } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";
import { heartbeats } from "./idle.mjs";

// Three intervals of 25 s are more than what any of the proxies waits for something to move.
const PINGS = 3;
const PATIENCE = 150_000;

/** With the heartbeat that the server has by default: see fronts.mjs. */
export default {
  title: "idle 75 s",
  isLong: true,
  missing: noWebSocket,
  async test(bench) {
    const socket = await bench.connect();
    await within(PATIENCE, "three heartbeats", heartbeats(socket, PINGS));
    assert.equal(await ask(socket, "echo-ack", 1), 1);
    assert.deepEqual(losses(socket), []);
  },
};
