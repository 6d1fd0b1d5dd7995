import assert from "node:assert/strict";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { ask, losses } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";

const PINGS = 3;

/** Only the heartbeat is on the line, for several times its interval. */
export default {
  title: "idle",
  missing: noWebSocket,
  async test(bench) {
    const socket = await bench.connect();
    await within(PATIENCE, "some heartbeats", heartbeats(socket, PINGS));
    assert.equal(await ask(socket, "echo-ack", 1), 1);
    assert.deepEqual(losses(socket), []);
  },
};

/** Resolves after so many pings of the server, or when the client has lost its connection. */
export function heartbeats(socket, n) {
  return new Promise((resolve, reject) => {
    socket.io.on("ping", () => --n === 0 && resolve());
    socket.once("disconnect", () => reject(new Error(`the client was lost: ${losses(socket)}`)));
  });
}
