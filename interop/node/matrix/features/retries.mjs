import assert from "node:assert/strict";
import { PATIENCE } from "../bench.mjs";
import { oldRetries } from "../missing.mjs";
import { within } from "../../support/wait.mjs";

export default {
  title: "retries",
  missing: oldRetries,

  async test(bench) {
    const socket = await bench.connect({ retries: 20, ackTimeout: 500 });
    const retried = acknowledged(socket, "drop-first", "key");
    const next = acknowledged(socket, "wait", 0, "next");
    const order = [];
    retried.then(() => order.push("retried"), () => {});
    next.then(() => order.push("next"), () => {});
    const [attempts] = await retried;
    // The server answered from the second on; that answer may have come too late once more.
    assert.ok(attempts >= 2, `${attempts} attempts`);
    assert.deepEqual(await next, ["next"]);
    assert.deepEqual(order, ["retried", "next"]);
  },
};

/** With retries a callback is given an error first. */
function acknowledged(socket, event, ...args) {
  const answer = new Promise((resolve, reject) => {
    socket.emit(event, ...args, (error, ...values) => (error ? reject(error) : resolve(values)));
  });
  return within(PATIENCE, `the answer to "${event}"`, answer);
}
