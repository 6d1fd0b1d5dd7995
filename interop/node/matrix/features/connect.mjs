import assert from "node:assert/strict";
import { once } from "../bench.mjs";

export default {
  title: "connect",

  async test(bench) {
    const socket = bench.open();
    const [welcome] = await once(socket, "welcome");
    assert.equal(socket.connected, true);
    assert.deepEqual(welcome, { id: socket.id, auth: {} });
    if (bench.client.protocol === 3) assert.equal(socket.id, socket.io.engine.id);
    else assert.match(socket.id, /^[A-Za-z0-9_-]{20}$/);

    const other = await bench.connect();
    assert.notEqual(other.id, socket.id);
    const expected = bench.transport === "polling" ? "polling" : "websocket";
    assert.equal(other.io.engine.transport.name, expected);
  },
};
