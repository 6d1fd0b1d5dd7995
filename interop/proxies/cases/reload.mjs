import assert from "node:assert/strict";
import { PATIENCE, within } from "../../node/support/wait.mjs";
import { ask, losses } from "../bench.mjs";
import { noReload } from "../missing.mjs";

const LOOK_AGAIN = 30;

/** The proxy reads its configuration again while sessions are under way. */
export default {
  title: "reload",
  missing: noReload,
  async test(bench) {
    const at = await bench.start();
    const sockets = await bench.connectAll(3, { at });
    let reloaded = false;
    const lives = Promise.all(sockets.map((socket) => live(socket, () => !reloaded)));
    at.program.signal("SIGHUP");
    const written = within(PATIENCE, "nginx to read its configuration", inLog(at, /gracefully shutting down/));
    await Promise.all([written.finally(() => (reloaded = true)), lives]);

    // What came before and what came behind meet in one session each; and newcomers get in.
    await Promise.all(sockets.map((socket) => ask(socket, "echo-ack", 1)));
    await ask(await bench.connect({ at }), "echo-ack", 1);
    assert.deepEqual(sockets.flatMap(losses), []);
  },
};

async function inLog(front, what) {
  while (!what.test(front.log())) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
}

async function live(socket, goesOn) {
  let events = 0;
  do {
    assert.equal(await ask(socket, "count", "events"), ++events);
  } while (goesOn());
}
