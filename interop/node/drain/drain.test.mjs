// A server with many clients is drained, and a second one takes them over (interop/server/src/drain.rs).
import assert from "node:assert/strict";
import { test } from "node:test";
import { io } from "socket.io-client";
import { modes } from "../support/client.mjs";
import { startServer } from "../support/server.mjs";
import { within } from "../support/wait.mjs";

const CLIENTS = 2_000;
const BUDGET = 5_000;
const PATIENCE = 30_000;

test("two thousand clients are moved to another server, and see nothing but a reconnect", async () => {
  const server = await startServer({ BUDGET: String(BUDGET) });
  const visitors = [];
  try {
    for (let n = 0; n < CLIENTS; n++) {
      visitors.push(new Visitor(server.url, mode(n)));
      // In portions, as a crowd comes that nobody synchronises.
      if (n % 100 === 99) await everyone(visitors.slice(-100), "here", (visitor) => visitor.connects === 1);
    }
    const drained = server.announcement(/^drained, (\d+) left$/);
    server.signal("SIGUSR1");
    const [, left] = await within(PATIENCE, "the first server to be drained", drained);
    assert.equal(left, "0");
    await everyone(visitors, "back", (visitor) => visitor.socket.connected && visitor.connects === 2);
    const last = Math.max(...visitors.map((visitor) => visitor.ticks.at(-1)));
    await everyone(visitors, "to hear a later tick", (visitor) => visitor.ticks.at(-1) > last);
    for (const visitor of visitors) visitor.assertUnharmed();
    const spread = visitors.map((visitor) => visitor.leftAt).toSorted((a, b) => a - b);
    console.log(`  ${CLIENTS} clients left within ${spread.at(-1) - spread[0]} ms of a budget of ${BUDGET}`);
  } finally {
    for (const visitor of visitors) visitor.socket.disconnect();
    await server.stop();
  }
});

/** An official client with its default options, and what happened to it. */
class Visitor {
  connects = 0;
  ticks = [];
  reasons = [];
  errors = [];
  leftAt = 0;

  constructor(url, transports) {
    this.transports = transports;
    this.socket = io(url, { forceNew: true, transports });
    this.socket.on("connect", () => {
      this.connects++;
      this.recovered = this.socket.recovered;
      this.ids = [...(this.ids ?? []), this.socket.id];
    });
    this.socket.on("tick", (n) => this.ticks.push(n));
    this.socket.on("connect_error", (error) => this.errors.push(error.message));
    this.socket.on("disconnect", (reason) => {
      this.reasons.push(reason);
      this.leftAt = Date.now();
    });
  }

  assertUnharmed() {
    assert.equal(this.reasons.length, 1, `${this.reasons}`);
    // A client that polls may ask the second server for a session of the first, and is told that there is none.
    const expected = this.transports.includes("polling") ? ["transport close", "transport error"] : ["transport close"];
    assert.ok(expected.includes(this.reasons[0]), this.reasons[0]);
    assert.deepEqual(this.errors, []);
    assert.equal(this.recovered, true);
    assert.equal(this.ids[0], this.ids[1]);
    const expectedTicks = Array.from(this.ticks, (_, i) => this.ticks[0] + i);
    assert.deepEqual(this.ticks, expectedTicks, "a tick missing, twice or out of order");
  }
}

/** One in twenty polls, one in twenty is upgraded from polling; the others use WebSocket. */
function mode(n) {
  const [polling, websocket, upgraded] = modes.map(({ transports }) => transports);
  return { 0: polling, 1: upgraded }[n % 20] ?? websocket;
}

/** Waits until all are as they should be; each tick is an occasion to look. */
function everyone(visitors, what, isSo) {
  const waiting = new Set(visitors);
  const look = () => {
    for (const visitor of waiting) if (isSo(visitor)) waiting.delete(visitor);
    return waiting.size === 0;
  };
  const all = new Promise((resolve) => {
    const again = () => (look() ? resolve() : setTimeout(again, 10));
    again();
  });
  return within(PATIENCE, `all of ${visitors.length} ${what}`, all);
}
