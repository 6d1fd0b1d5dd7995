import assert from "node:assert/strict";
import { idOf, once } from "../bench.mjs";

export default {
  title: "connect",

  async test(bench) {
    const socket = bench.open();
    const [welcome] = await once(socket, "welcome");
    assert.equal(socket.connected, true);
    assert.deepEqual(welcome, { id: idOf(socket), auth: {} });
    assert.match(welcome.id, /^[A-Za-z0-9_-]{20}$/);
    if (bench.client.protocol !== 3) assert.equal(socket.id, welcome.id);

    const other = await bench.connect();
    assert.notEqual(idOf(other), welcome.id);
    const expected = bench.transport === "polling" ? "polling" : "websocket";
    assert.equal(other.io.engine.transport.name, expected);
  },
};
