import assert from "node:assert/strict";
import { bytes } from "../../node/support/values.mjs";
import { ask } from "../bench.mjs";
import { noWebSocket } from "../missing.mjs";

export default {
  title: "300 kB of bytes",
  missing: noWebSocket,
  async test(bench) {
    const socket = await bench.connect();
    const large = bytes(300_000);
    for (let i = 0; i < 3; i++) {
      const back = Buffer.from(await ask(socket, "echo-ack", large));
      assert.ok(back.equals(large), `${back.length} bytes came back`);
    }
  },
};
