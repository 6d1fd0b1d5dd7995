import assert from "node:assert/strict";
import { ask, fence, gather, modes } from "../support/client.mjs";
import { suite } from "../support/suite.mjs";
import { next, range } from "../support/wait.mjs";

suite("volatile", ({ test, eachMode }) => {
  eachMode("volatile events may get lost, but never doubled or out of order", async (bench) => {
    const socket = await bench.connect();
    const ticks = gather(socket, "tick");
    assert.equal(await ask(socket, "burst-volatile", 1000), 1000);
    assert.deepEqual(ticks, [...new Set(ticks)].toSorted((one, two) => one - two));
    assert.ok(ticks.every((tick) => tick >= 0 && tick < 1000));
  });

  eachMode("they take nothing from the events that are not", async (bench) => {
    const socket = await bench.connect();
    const echoes = gather(socket, "echo");
    for (const i of range(100)) {
      socket.emit("burst-volatile", 10);
      socket.emit("echo", i);
    }
    await fence(socket);
    assert.deepEqual(echoes, range(100));
  });

  // Between two polls a polling client takes nothing, so only the others can promise this.
  for (const mode of modes.slice(1)) {
    test(`an idle connection takes them [${mode.name}]`, async (bench) => {
      const socket = await bench.connect({ mode });
      await fence(socket);
      const tick = next(socket, "tick");
      socket.emit("burst-volatile", 1);
      assert.deepEqual(await tick, [0]);
    });
  }

  eachMode("what a client emits so while away is not kept", async (bench) => {
    const socket = await bench.connect({ nsp: "/a" });
    socket.disconnect();
    socket.volatile.emit("count", "kept");
    socket.emit("count", "kept");
    const back = next(socket, "welcome");
    socket.connect();
    await back;
    assert.equal(await ask(socket, "count", "kept"), 2);
  });
});
