import assert from "node:assert/strict";
import { ask, losses } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";
import { openSession, request } from "../request.mjs";

const BODIES = [20_000, 300_000, 1_500_000, 5_000_000].map((size) => Buffer.alloc(size, "4"));
const AT_ONCE = 3;
const FOR_MS = 3_000;

/** Somebody posts bodies that are too large, in a loop: nobody else loses a session. */
export default {
  title: "hostile client",
  missing: noWebSocket,
  async test(bench) {
    const at = await bench.start();
    const others = await bench.connectAll(4, { at });
    const ends = Date.now() + FOR_MS;
    const attacks = Array.from({ length: AT_ONCE }, () => attack(at, () => Date.now() < ends));
    let done = false;
    const attacked = Promise.all(attacks).finally(() => (done = true));
    const lives = Promise.all(others.map((other) => live(other, () => !done)));
    await Promise.all([attacked, lives]);
    // A proxy that has given up a node would say so to newcomers as well.
    await Promise.all((await bench.connectAll(4, { at })).map((socket) => ask(socket, "echo-ack", 1)));
    assert.deepEqual(others.flatMap(losses), []);
  },
};

/** How it is answered is not the question here. */
async function attack(front, goesOn) {
  let posts = 0;
  do {
    const session = await openSession(front).catch(() => ({ query: { sid: "unknown" } }));
    for (const body of BODIES) {
      await request(front, { method: "POST", body, chunked: posts++ % 2 === 0, ...session }).catch(() => {});
    }
  } while (goesOn());
}

/** Every event is answered, with what it should be. */
async function live(socket, goesOn) {
  let events = 0;
  do {
    assert.equal(await ask(socket, "count", "events"), ++events);
  } while (goesOn());
}
