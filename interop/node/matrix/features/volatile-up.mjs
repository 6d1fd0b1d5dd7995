import assert from "node:assert/strict";
import { ask, fence, gather } from "../bench.mjs";
import { oldVolatile } from "../missing.mjs";
import { range } from "../../support/wait.mjs";

export default {
  title: "volatile up",
  missing: oldVolatile,

  async test(bench) {
    const socket = await bench.connect();
    const echoes = gather(socket, "echo");
    // A client that is still writing drops them, so one may have to be sent again.
    while (echoes.length === 0) {
      socket.volatile.emit("echo", { is: "volatile" });
      await ask(socket, "echo-ack", 1);
    }
    assert.deepEqual(echoes[0], [{ is: "volatile" }]);

    echoes.length = 0;
    for (const i of range(50)) {
      socket.volatile.emit("echo", i);
      if (i % 10 === 0) socket.emit("echo", `kept ${i}`);
    }
    await fence(socket);
    const seen = echoes.flat().filter((value) => typeof value === "number");
    assert.deepEqual(seen, [...new Set(seen)].toSorted((one, two) => one - two));
    const kept = echoes.flat().filter((value) => typeof value === "string");
    assert.deepEqual(kept, ["kept 0", "kept 10", "kept 20", "kept 30", "kept 40"]);
  },
};
