import assert from "node:assert/strict";
import { ask, fence, gather } from "../bench.mjs";
import { range } from "../../support/wait.mjs";

export default {
  title: "volatile down",

  async test(bench) {
    const socket = await bench.connect();
    const ticks = gather(socket, "tick");
    const echoes = gather(socket, "echo");
    // A connection that is busy drops them, so one may have to be sent again; an idle one takes it.
    while (ticks.length === 0) await ask(socket, "burst-volatile", 1);

    ticks.length = 0;
    for (const i of range(10)) {
      socket.emit("echo", i);
      assert.equal(await ask(socket, "burst-volatile", 50), 50);
      const seen = ticks.splice(0).flat();
      assert.deepEqual(seen, [...new Set(seen)].toSorted((one, two) => one - two));
    }
    await fence(socket);
    assert.deepEqual(echoes.flat(), range(10));
  },
};
