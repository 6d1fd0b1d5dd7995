import assert from "node:assert/strict";
import { ask, once } from "../bench.mjs";
import { oldVolatile } from "../missing.mjs";

export default {
  title: "volatile up",
  missing: oldVolatile,

  async test(bench) {
    const socket = await bench.connect();
    // A client that is still writing drops it, so it may have to be sent again.
    const heard = once(socket, "tick");
    let arrived = false;
    heard.then(() => (arrived = true), () => {});
    while (!arrived) {
      socket.volatile.emit("burst", 1);
      await ask(socket, "echo-ack", 1);
    }

    // What is emitted so while away is not kept; what is emitted otherwise is.
    socket.disconnect();
    socket.volatile.emit("count", "kept");
    socket.emit("count", "kept");
    const back = once(socket, "welcome");
    socket.connect();
    await back;
    assert.equal(await ask(socket, "count", "kept"), 2);
  },
};
