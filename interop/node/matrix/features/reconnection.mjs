import assert from "node:assert/strict";
import { ask, fence, gather, idOf } from "../bench.mjs";
import { range } from "../../support/wait.mjs";

export default {
  title: "reconnection",

  async test(bench) {
    const { socket, cut, mend } = await bench.connectByWire();
    const echoes = gather(socket, "echo");
    const id = idOf(socket);
    await ask(socket, "join", bench.room("den"));
    await ask(socket, "count", "lives");
    await cut();
    // What is emitted meanwhile waits for the return.
    for (const i of range(20)) socket.emit("echo", i);
    await mend();
    await fence(socket);
    assert.notEqual(idOf(socket), id);
    assert.deepEqual(echoes.flat(), range(20));
    assert.deepEqual(await ask(socket, "rooms"), [idOf(socket)]);
    assert.equal(await ask(socket, "count", "lives"), 1);
  },
};
